//! The span of time that charts show: a preset that moves with the clock, or two fixed moments.

use chrono::{DateTime, FixedOffset, TimeZone, Utc};

use crate::api::ApiError;
use crate::{date, format};

/// The presets: what stands in the address, seconds, and words.
pub const PRESETS: [(&str, i64, &str); 7] = [
    ("15m", 15 * 60, "last 15 minutes"),
    ("1h", 3600, "last hour"),
    ("6h", 6 * 3600, "last 6 hours"),
    ("24h", 24 * 3600, "last 24 hours"),
    ("7d", 7 * 86_400, "last 7 days"),
    ("30d", 30 * 86_400, "last 30 days"),
    ("90d", 90 * 86_400, "last 90 days"),
];

/// Points that a chart of a page is asked for: about one each two pixels of its width.
const POINTS: i64 = 360;

/// Widths of buckets that people can name, in seconds.
const STEPS: [i64; 14] = [
    10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 86_400,
];

/// The finest buckets that the backend keeps, in seconds.
const KEPT_SECONDS: i64 = 300;
/// A day.
const DAY_SECONDS: i64 = 86_400;

/// The least span that a zoom may leave, in seconds.
pub const SHORTEST_SECONDS: i64 = 60;

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// One of [`PRESETS`], by its place, ending now.
    Preset(usize),
    /// From (inclusive) to (exclusive), in Unix seconds.
    Fixed {
        /// First moment.
        from: i64,
        /// Last moment.
        to: i64,
    },
}

impl Default for Range {
    fn default() -> Self {
        Self::Preset(1)
    }
}

impl Range {
    /// Reads the range out of an address's `range`, `from` and `to`.
    pub fn parse(range: Option<&str>, from: Option<&str>, to: Option<&str>) -> Self {
        let seconds = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        if let (Some(from), Some(to)) = (seconds(from), seconds(to)) {
            return Self::between(from, to);
        }
        PRESETS
            .iter()
            .position(|(name, ..)| Some(*name) == range)
            .map_or_else(Self::default, Self::Preset)
    }

    /// Two moments in either order, not closer than the shortest span.
    pub fn between(a: i64, b: i64) -> Self {
        let (from, to) = (a.min(b).max(0), a.max(b).max(0));
        Self::Fixed {
            from,
            to: to.max(from + SHORTEST_SECONDS),
        }
    }

    /// What stands in the address for it.
    pub fn query(self) -> [(&'static str, Option<String>); 3] {
        match self {
            Self::Preset(1) => [("range", None), ("from", None), ("to", None)],
            Self::Preset(index) => [
                ("range", Some(PRESETS[index].0.to_owned())),
                ("from", None),
                ("to", None),
            ],
            Self::Fixed { from, to } => [
                ("range", None),
                ("from", Some(from.to_string())),
                ("to", Some(to.to_string())),
            ],
        }
    }

    /// The moments it stands for at `now`, in Unix seconds.
    pub fn bounds(self, now: i64) -> (i64, i64) {
        match self {
            Self::Preset(index) => (now - PRESETS[index].1, now),
            Self::Fixed { from, to } => (from, to),
        }
    }

    /// Its length in seconds.
    pub fn seconds(self) -> i64 {
        let (from, to) = self.bounds(0);
        to - from
    }

    /// Whether it moves with the clock.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Preset(_))
    }

    /// The width of a bucket, in seconds, that suits a host measured each `interval_seconds`. Over long spans it holds
    /// whole buckets of those that the backend keeps, so that it need not read single points.
    pub fn step_seconds(self, interval_seconds: i64) -> i64 {
        let least = (self.seconds() / POINTS).max(interval_seconds).max(1);
        if least == interval_seconds && least < KEPT_SECONDS {
            return least;
        }
        STEPS
            .into_iter()
            .find(|step| *step >= least)
            .unwrap_or_else(|| (least + DAY_SECONDS - 1) / DAY_SECONDS * DAY_SECONDS)
    }

    /// In words: `last hour`, or both moments.
    pub fn words(self, now: DateTime<Utc>, zone: FixedOffset) -> String {
        match self {
            Self::Preset(index) => PRESETS[index].2.to_owned(),
            Self::Fixed { from, to } => {
                let clock = |seconds| {
                    DateTime::from_timestamp(seconds, 0)
                        .map_or_else(String::new, |at| format::clock(at, now, zone))
                };
                format!("{} to {}", clock(from), clock(to))
            }
        }
    }
}

/// Seconds as a `datetime-local` field writes them.
pub fn to_field(seconds: i64, zone: FixedOffset) -> String {
    DateTime::from_timestamp(seconds, 0)
        .map(|at| at.with_timezone(&zone))
        .map(|at| format!("{}T{}", date::date(at), date::minutes(at)))
        .unwrap_or_default()
}

/// Seconds out of a `datetime-local` field.
pub fn from_field(text: &str, zone: FixedOffset) -> Option<i64> {
    zone.from_local_datetime(&date::parse(text)?)
        .single()
        .map(|at| at.timestamp())
}

/// The moment out of such a field if it is filled, or what is wrong with the field of this name.
pub fn moment(
    name: &str,
    text: &str,
    zone: FixedOffset,
) -> Result<Option<DateTime<Utc>>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    from_field(text, zone)
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .map(Some)
        .ok_or_else(|| ApiError::field(name, "is not a date with a time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |range, from, to, expect| assert_eq!(Range::parse(range, from, to), expect);
        check(None, None, None, Range::Preset(1));
        check(Some("24h"), None, None, Range::Preset(3));
        check(Some("century"), None, None, Range::Preset(1));
        check(
            None,
            Some("100"),
            Some("700"),
            Range::Fixed { from: 100, to: 700 },
        );
        check(
            None,
            Some("700"),
            Some("100"),
            Range::Fixed { from: 100, to: 700 },
        );
        check(
            None,
            Some("100"),
            Some("101"),
            Range::Fixed { from: 100, to: 160 },
        );
        check(Some("6h"), Some("x"), Some("700"), Range::Preset(2));
        for index in 0..PRESETS.len() {
            let [range, from, to] = Range::Preset(index).query().map(|(_, value)| value);
            let parsed = Range::parse(range.as_deref(), from.as_deref(), to.as_deref());
            assert_eq!(parsed, Range::Preset(index));
        }
    }

    #[test]
    fn buckets_are_no_finer_than_the_samples() {
        let check = |range: Range, interval, expect| {
            assert_eq!(range.step_seconds(interval), expect, "{range:?}");
        };
        check(Range::Preset(0), 30, 30);
        check(Range::Preset(1), 10, 10);
        check(Range::Preset(1), 30, 30);
        check(Range::Preset(2), 30, 60);
        check(Range::Preset(3), 30, 300);
        check(Range::Preset(6), 30, 21_600);
        check(Range::Preset(1), 300, 300);
        check(
            Range::Fixed {
                from: 0,
                to: 86_400 * 4000,
            },
            30,
            12 * 86_400,
        );
    }

    #[test]
    fn long_spans_take_the_buckets_that_are_kept() {
        let (week, month, quarter) = (Range::Preset(4), Range::Preset(5), Range::Preset(6));
        for interval in [1, 30, 299, 300, 1000, 1700, 5000, 86_400] {
            assert_eq!(week.step_seconds(interval) % 300, 0, "{interval}");
            assert_eq!(month.step_seconds(interval) % 3600, 0, "{interval}");
            assert_eq!(quarter.step_seconds(interval) % 3600, 0, "{interval}");
        }
        assert_eq!(week.step_seconds(30), 1800);
        assert_eq!(month.step_seconds(30), 7200);
    }

    #[test]
    fn fields() {
        let zone = FixedOffset::east_opt(7200).unwrap();
        assert_eq!(to_field(1_763_881_200, zone), "2025-11-23T09:00");
        assert_eq!(from_field("2025-11-23T09:00", zone), Some(1_763_881_200));
        assert_eq!(from_field("2025-11-23T09:00:30", zone), Some(1_763_881_230));
        assert_eq!(from_field("soon", zone), None);
    }
}
