//! When to measure: on multiples of the interval, moved by a phase of the host's own so that a fleet does not post
//! at once.

use std::time::Duration;

use uuid::Uuid;

/// The moments at which one host measures.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    interval_seconds: i64,
    phase_seconds: i64,
}

impl Ticks {
    /// Ticks of the agent with this identity; the interval is at least one second.
    pub fn new(interval_seconds: u32, install_id: Uuid) -> Self {
        let interval_seconds = i64::from(interval_seconds.max(1));
        let phase = crc32fast::hash(install_id.as_bytes());
        Self {
            interval_seconds,
            phase_seconds: i64::from(phase) % interval_seconds,
        }
    }

    /// The last tick that is not after `now`, in Unix seconds.
    pub fn at_or_before(&self, now: i64) -> i64 {
        now - (now - self.phase_seconds).rem_euclid(self.interval_seconds)
    }

    /// How long to wait from `now`, the time since 1970, until the next tick.
    pub fn wait(&self, now: Duration) -> Duration {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX / 2);
        let next = self.at_or_before(seconds) + self.interval_seconds;
        Duration::from_secs(u64::try_from(next).unwrap_or_default()).saturating_sub(now)
    }

    /// The tick to measure for at `now`, if it is not the one measured `last`. A clock that jumps, either way, costs
    /// the ticks that it jumps over and no more.
    pub fn due(&self, last: i64, now: i64) -> Option<i64> {
        let tick = self.at_or_before(now);
        (tick != self.at_or_before(last)).then_some(tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(interval_seconds: i64, phase_seconds: i64) -> Ticks {
        Ticks {
            interval_seconds,
            phase_seconds,
        }
    }

    #[test]
    fn the_tick_of_a_moment() {
        let check = |interval, phase, now, expect| {
            assert_eq!(
                ticks(interval, phase).at_or_before(now),
                expect,
                "{interval} {phase} {now}"
            );
        };
        check(30, 0, 90, 90);
        check(30, 0, 119, 90);
        check(30, 7, 90, 67);
        check(30, 7, 97, 97);
        check(30, 7, 6, -23);
        check(1, 0, 5, 5);
        check(3600, 3599, 7198, 3599);
    }

    #[test]
    fn waiting() {
        let check = |now_ms, expect_ms| {
            let wait = ticks(30, 7).wait(Duration::from_millis(now_ms));
            assert_eq!(wait, Duration::from_millis(expect_ms), "{now_ms}");
        };
        check(67_000, 30_000);
        check(67_001, 29_999);
        check(96_999, 1);
    }

    #[test]
    fn what_is_due() {
        let check =
            |last, now, expect| assert_eq!(ticks(30, 7).due(last, now), expect, "{last} {now}");
        check(67, 97, Some(97));
        check(67, 98, Some(97));
        check(70, 98, Some(97));
        // Woken early.
        check(67, 96, None);
        // The machine slept, or the clock was put forward: one point, not many.
        check(67, 10_000, Some(9_997));
        // The clock was put back.
        check(10_000, 97, Some(97));
    }

    #[test]
    fn phases_are_stable_and_spread() {
        let phase = |number| Ticks::new(30, Uuid::from_u128(number)).phase_seconds;
        assert_eq!(phase(7), phase(7));
        let mut hosts = [0_u32; 30];
        for number in 0..3000 {
            hosts[usize::try_from(phase(number)).unwrap()] += 1;
        }
        assert!(
            hosts.iter().all(|count| (50..200).contains(count)),
            "{hosts:?}"
        );
        assert_eq!(Ticks::new(0, Uuid::nil()).interval_seconds, 1);
    }
}
