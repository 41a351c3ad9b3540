//! When to take a snapshot: at the start, at each interval, and soon after packages were installed or removed. A
//! decision on values alone.
//!
//! A run of apt writes its database many times. It shall give one snapshot, of how it ended, so a change is waited out.

use crate::facts::Stamp;

/// The databases have to be unchanged for so long, in seconds, and for so many looks.
const SETTLE_SECONDS: i64 = 10;
const SETTLE_LOOKS: u32 = 2;
/// Longest that a change is waited out, in seconds: what goes on for longer is shown as it is.
const MAX_WAIT_SECONDS: i64 = 900;

/// What one look at the package managers shows.
#[derive(Clone, Debug)]
pub struct Look {
    /// The state of their databases.
    pub stamp: Stamp,
    /// Whether one of them is at work.
    pub is_running: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Pace {
    interval_seconds: i64,
    /// When the last snapshot was taken, and the databases' state then.
    last: Option<(i64, Stamp)>,
    /// A change that is waited out.
    change: Option<Change>,
}

#[derive(Debug)]
struct Change {
    since: i64,
    stamp: Stamp,
    unchanged_since: i64,
    unchanged_looks: u32,
}

impl Pace {
    /// A snapshot each `interval_seconds`.
    pub fn new(interval_seconds: u32) -> Self {
        Self {
            interval_seconds: i64::from(interval_seconds),
            last: None,
            change: None,
        }
    }

    /// Whether to take a snapshot at `now`, in Unix seconds. If so, it counts as taken with what this look shows.
    pub fn is_due(&mut self, now: i64, look: Look) -> bool {
        let is_changed = match &self.last {
            Some((_, stamp)) => *stamp != look.stamp,
            None => false,
        };
        let is_time = match self.last {
            Some((at, _)) => !(at..at.saturating_add(self.interval_seconds)).contains(&now),
            None => true,
        };
        let is_due_now = if is_changed || self.change.is_some() || (is_time && look.is_running) {
            self.has_settled(now, &look)
        } else {
            is_time
        };
        if is_due_now {
            self.change = None;
            self.last = Some((now, look.stamp));
        }
        is_due_now
    }

    fn has_settled(&mut self, now: i64, look: &Look) -> bool {
        let change = self.change.get_or_insert_with(|| Change {
            since: now,
            stamp: look.stamp.clone(),
            unchanged_since: now,
            unchanged_looks: 0,
        });
        if change.stamp != look.stamp || look.is_running || now < change.since {
            change.stamp = look.stamp.clone();
            change.unchanged_since = now;
            change.unchanged_looks = 0;
            // The clock was put back.
            change.since = change.since.min(now);
        } else {
            change.unchanged_looks += u32::from(now > change.unchanged_since);
        }
        let is_still = change.unchanged_looks >= SETTLE_LOOKS
            && now - change.unchanged_since >= SETTLE_SECONDS;
        is_still || now - change.since >= MAX_WAIT_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(letter: char) -> Stamp {
        Stamp::of_test(u64::from(letter))
    }

    /// A timeline: each letter is one look `step` seconds after the one before, and names the databases' state; in
    /// upper case a package manager is at work. Under each stands `!` if a snapshot is taken then.
    fn check(interval: u32, step: i64, looks: &str, expect: &str) {
        let mut pace = Pace::new(interval);
        let taken = looks.chars().zip(0..).map(|(letter, index)| {
            let look = Look {
                stamp: stamp(letter.to_ascii_lowercase()),
                is_running: letter.is_ascii_uppercase(),
            };
            if pace.is_due(index * step, look) {
                '!'
            } else {
                '.'
            }
        });
        assert_eq!(taken.collect::<String>(), expect, "{looks}");
    }

    #[test]
    fn timelines() {
        // Each interval.
        check(100, 30, "aaaaaaaaa", "!...!...!");
        // A run of apt: one snapshot, after its end.
        check(3600, 5, "aaBBBCCDDDddddd", "!..........!...");
        // Without a lock that can be seen.
        check(3600, 5, "aabcdeeeeee", "!......!...");
        // With long ticks two of them.
        check(3600, 30, "aabbbbb", "!...!..");
        // With short ones ten seconds.
        check(3600, 1, "abbbbbbbbbbbbbb", "!..........!...");
        // What changes back was a change too, and falls due as one.
        check(3600, 10, "abaaaaa", "!...!..");
        // The interval ends in the middle of a run.
        check(60, 30, "aaBBBbbbbb", "!.....!.!.");
        // The agent starts in the middle of one.
        check(3600, 10, "AABBbbbb", ".....!..");
    }

    #[test]
    fn a_run_without_end_is_shown_as_it_is() {
        let mut pace = Pace::new(3600);
        let mut taken = Vec::new();
        for (index, now) in (0..2000).step_by(10).enumerate() {
            let look = Look {
                stamp: Stamp::of_test(index as u64),
                is_running: true,
            };
            if pace.is_due(now, look) {
                taken.push(now);
            }
        }
        assert_eq!(taken, [900, 1810]);
    }

    #[test]
    fn a_clock_that_jumps() {
        let mut pace = Pace::new(3600);
        let mut is_due = |now, letter| {
            pace.is_due(
                now,
                Look {
                    stamp: stamp(letter),
                    is_running: false,
                },
            )
        };
        assert!(is_due(10_000, 'a'));
        assert!(!is_due(10_010, 'a'));
        assert!(is_due(500, 'a'));
        assert!(!is_due(510, 'b'));
        assert!(!is_due(100, 'b'));
        assert!(!is_due(110, 'b'));
        assert!(is_due(120, 'b'));
    }
}
