//! How measurements age: slots of two hours, days, and tiers that keep less and less detail; pure plans of what is due.

use serde::{Deserialize, Serialize};

/// Length of a slot, in seconds: what is sealed together.
pub const SLOT_SECONDS: i64 = 7200;
/// Length of a day, in seconds: what is repacked and rolled up together.
pub const DAY_SECONDS: i64 = 86_400;
/// Slots of a day.
pub const SLOTS_PER_DAY: u32 = 12;
/// A slot is sealed once it has ended and been quiet for so long, in seconds.
pub const QUIET_SECONDS: i64 = 300;
/// A slot that is never quiet is sealed all the same when its oldest unsealed point has waited for so long, in seconds.
pub const MAX_UNSEALED_SECONDS: i64 = 3 * 3600;
/// The clock may be ahead of the newest measurement by so much before retention stops believing it, in seconds.
const BELIEVED_AHEAD_SECONDS: i64 = DAY_SECONDS;

/// The slot that a moment belongs to.
pub fn slot_of(at: i64) -> u32 {
    u32::try_from(at.div_euclid(SLOT_SECONDS)).unwrap_or_default()
}

/// The first moment of a slot.
pub fn slot_start(slot: u32) -> i64 {
    i64::from(slot) * SLOT_SECONDS
}

/// The day that a moment belongs to, counted from 1970 in UTC.
pub fn day_of(at: i64) -> u32 {
    u32::try_from(at.div_euclid(DAY_SECONDS)).unwrap_or_default()
}

/// The first moment of a day.
pub const fn day_start(day: u32) -> i64 {
    day as i64 * DAY_SECONDS
}

/// The day of a slot.
pub fn day_of_slot(slot: u32) -> u32 {
    slot / SLOTS_PER_DAY
}

/// How much detail is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Every point.
    Raw,
    /// Minimum, maximum, sum, count and last of every five minutes.
    FiveMinutes,
    /// The same of every hour, and its 95th percentile.
    Hour,
}

impl Tier {
    /// Every tier, finest first.
    pub const ALL: [Self; 3] = [Self::Raw, Self::FiveMinutes, Self::Hour];

    /// Width of its buckets, in seconds; one for raw points.
    pub fn step_seconds(self) -> i64 {
        match self {
            Self::Raw => 1,
            Self::FiveMinutes => 300,
            Self::Hour => 3600,
        }
    }

    /// Its name in documents and figures.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::FiveMinutes => "five_minutes",
            Self::Hour => "hour",
        }
    }
}

/// Raw points are kept at least so long, in seconds: points come up to seven days late, and a day must still be whole
/// when it is repacked and rolled up with them.
pub const LEAST_RAW_SECONDS: i64 = 9 * DAY_SECONDS;

/// For how long each tier is kept, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Raw points.
    pub raw_seconds: i64,
    /// Buckets of five minutes.
    pub five_minutes_seconds: i64,
    /// Buckets of an hour.
    pub hour_seconds: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            raw_seconds: 30 * DAY_SECONDS,
            five_minutes_seconds: 90 * DAY_SECONDS,
            hour_seconds: 730 * DAY_SECONDS,
        }
    }
}

impl Retention {
    /// Whether each tier outlives the finer ones, and raw points the latest that may come.
    ///
    /// # Errors
    /// In words, what does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.raw_seconds < LEAST_RAW_SECONDS {
            Err("retention_raw must be at least 9d: points come up to 7 days late")
        } else if self.five_minutes_seconds < self.raw_seconds {
            Err("retention_five_minutes must be at least retention_raw")
        } else if self.hour_seconds < self.five_minutes_seconds {
            Err("retention_hour must be at least retention_five_minutes")
        } else {
            Ok(())
        }
    }

    /// How long a tier is kept, in days.
    pub fn days(&self, tier: Tier) -> u64 {
        let days = self.seconds(tier).div_euclid(DAY_SECONDS);
        u64::try_from(days).unwrap_or_default()
    }

    /// How long a tier is kept, in seconds.
    pub fn seconds(&self, tier: Tier) -> i64 {
        match tier {
            Tier::Raw => self.raw_seconds,
            Tier::FiveMinutes => self.five_minutes_seconds,
            Tier::Hour => self.hour_seconds,
        }
    }

    /// The first day of a tier that is still kept. The age of data is told by the newest measurement where the clock
    /// is far ahead of it: a clock that jumps must not empty the store.
    pub fn first_kept_day(&self, tier: Tier, now: i64, newest_at: i64) -> u32 {
        let now = now.min(newest_at.saturating_add(BELIEVED_AHEAD_SECONDS));
        day_of(now.saturating_sub(self.seconds(tier)).max(0))
    }
}

/// What is unsealed of a slot: when the first and the last of it arrived, Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsealed {
    /// Arrival of the oldest point that is not sealed.
    pub first_at: i64,
    /// Arrival of the newest.
    pub last_at: i64,
}

/// Whether a slot should be sealed now: it has ended, and nothing arrived for a while, or some of it has waited too
/// long. `hurry` is for a person who asks, or a head that is too large: then it is enough that the slot has ended.
pub fn seal_is_due(slot: u32, unsealed: Unsealed, now: i64, hurry: bool) -> bool {
    let end = slot_start(slot + 1);
    let is_quiet = now >= end.max(unsealed.last_at).saturating_add(QUIET_SECONDS);
    let has_waited = now >= end.max(unsealed.first_at.saturating_add(MAX_UNSEALED_SECONDS));
    is_quiet || has_waited || (hurry && now >= end)
}

/// Whether a day has ended and its last slot has been sealed, so that it can be repacked.
pub fn repack_is_due(day: u32, now: i64) -> bool {
    now >= day_start(day + 1) + 2 * QUIET_SECONDS
}

/// Days until the disk is full: from what is free, what a day adds, and by how much the store grows at all before as
/// much leaves as comes. `None` when it does not fill up, or nothing comes.
pub fn days_until_full(free_bytes: u64, bytes_of_a_day: u64, grows_by_bytes: u64) -> Option<f64> {
    (bytes_of_a_day > 0 && grows_by_bytes > free_bytes)
        .then(|| free_bytes as f64 / bytes_of_a_day as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_sealed_when_ended_and_quiet() {
        let end = slot_start(101);
        let check = |first_at: i64, last_at: i64, now: i64, hurry, expect| {
            let unsealed = Unsealed {
                first_at: end + first_at,
                last_at: end + last_at,
            };
            let due = seal_is_due(100, unsealed, end + now, hurry);
            assert_eq!(due, expect, "{first_at} {last_at} {now}");
        };
        check(-7000, -1, 299, false, false);
        check(-7000, -1, 300, false, true);
        check(-7000, -1, 0, true, true);
        check(-7000, -1, -1, true, false);
        // A backlog that trickles in: sealed when quiet, or when the oldest has waited.
        check(5000, 6000, 6299, false, false);
        check(5000, 6000, 6300, false, true);
        check(5000, 5000 + 10_800, 5000 + 10_799, false, false);
        check(5000, 5000 + 10_800, 5000 + 10_800, false, true);
    }

    #[test]
    fn a_clock_that_jumps_ahead_empties_nothing() {
        let retention = Retention::default();
        let newest_at = day_start(20_000) + 100;
        let first = |now| retention.first_kept_day(Tier::Raw, now, newest_at);
        assert_eq!(first(newest_at), 19_970);
        assert_eq!(first(newest_at + 10 * 365 * DAY_SECONDS), 19_971);
        assert_eq!(first(0), 0);
        assert_eq!(
            retention.first_kept_day(Tier::Hour, newest_at, newest_at),
            19_270
        );
    }

    #[test]
    fn days_end_in_utc() {
        assert_eq!(day_of(slot_start(12 * 20_000)), 20_000);
        assert_eq!(day_of_slot(12 * 20_000 + 11), 20_000);
        assert!(!repack_is_due(20_000, day_start(20_001) + 599));
        assert!(repack_is_due(20_000, day_start(20_001) + 600));
        assert_eq!(days_until_full(100, 0, 0), None);
        assert_eq!(days_until_full(100, 50, 100), None);
        assert_eq!(days_until_full(100, 50, 101), Some(2.0));
    }
}
