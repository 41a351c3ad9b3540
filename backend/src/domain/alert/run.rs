//! An unbroken run of samples that say the same, in little memory however long it lasts: what a window must know.

use crate::domain::host::late_after_seconds;

/// Samples farther apart than so many half intervals leave a gap between them.
const GAP_HALF_INTERVALS: i64 = 3;
/// Stretches without a gap that are told apart; of more, the two oldest count as one.
const MAX_STRETCHES: usize = 16;

/// Samples at a regular distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    first_at: i64,
    last_at: i64,
    samples: i64,
}

impl Stretch {
    /// Samples after `at`.
    fn samples_after(&self, at: i64) -> i64 {
        if at < self.first_at {
            return self.samples;
        }
        if at >= self.last_at {
            return 0;
        }
        let before = (self.samples - 1) * (at - self.first_at) / (self.last_at - self.first_at);
        self.samples - 1 - before
    }
}

/// A run of samples without any that says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// When the first of them was taken, Unix seconds.
    pub first_at: i64,
    stretches: Vec<Stretch>,
}

impl Run {
    /// A run of one sample.
    pub fn new(at: i64) -> Self {
        Self {
            first_at: at,
            stretches: vec![Stretch {
                first_at: at,
                last_at: at,
                samples: 1,
            }],
        }
    }

    /// Adds a sample, which is later than all before; `window_seconds` is the longest that is ever asked for.
    pub fn push(&mut self, at: i64, interval_seconds: i64, window_seconds: i64) {
        let longest = interval_seconds * GAP_HALF_INTERVALS / 2;
        match self.stretches.last_mut() {
            Some(last) if at - last.last_at <= longest => {
                last.last_at = at;
                last.samples += 1;
            }
            _ => self.stretches.push(Stretch {
                first_at: at,
                last_at: at,
                samples: 1,
            }),
        }
        let is_over = |stretch: &Stretch| stretch.last_at <= at - window_seconds;
        if self.stretches.len() > 1 && self.stretches.first().is_some_and(is_over) {
            self.stretches.retain(|stretch| !is_over(stretch));
        }
        if self.stretches.len() > MAX_STRETCHES {
            let oldest = self.stretches.remove(0);
            if let Some(second) = self.stretches.first_mut() {
                second.first_at = oldest.first_at;
                second.samples += oldest.samples;
            }
        }
    }

    /// Whether the run fills the last `for_seconds`: its first sample is that old, and its samples cover at least
    /// 80 % of them. A window under three intervals needs two samples, and none at all needs one.
    pub fn fills(&self, for_seconds: i64, interval_seconds: i64, now: i64) -> bool {
        if for_seconds == 0 {
            return true;
        }
        if now - self.first_at < for_seconds {
            return false;
        }
        if for_seconds < 3 * interval_seconds {
            // So short a window may have room for one sample only: the second is as young as one that is not late.
            let seconds = for_seconds.max(late_after_seconds(interval_seconds));
            return self.samples_after(now - seconds) >= 2;
        }
        self.samples_after(now - for_seconds) * interval_seconds * 100 >= for_seconds * 80
    }

    fn samples_after(&self, at: i64) -> i64 {
        let stretches = self.stretches.iter();
        stretches.map(|stretch| stretch.samples_after(at)).sum()
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.stretches.capacity() * size_of::<Stretch>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_window_is_filled_by_enough_samples_that_are_old_enough() {
        let check = |samples: &[i64], for_seconds, now, expect| {
            let mut run = Run::new(samples[0]);
            for at in &samples[1..] {
                run.push(*at, 30, for_seconds);
            }
            assert_eq!(
                run.fills(for_seconds, 30, now),
                expect,
                "{samples:?} at {now}"
            );
        };
        let regular: Vec<i64> = (0..=10).map(|tick| tick * 30).collect();
        check(&regular, 300, 299, false);
        check(&regular, 300, 300, true);
        // Eight of ten are enough, seven are not.
        check(&[0, 30, 60, 90, 120, 210, 240, 270, 300], 300, 300, true);
        check(&[0, 30, 60, 90, 210, 240, 270, 300], 300, 300, false);
        // A gap that leaves the window no longer counts.
        check(&[0, 600, 630, 660, 690, 720, 750, 780], 300, 780, false);
        check(&[0, 600, 630, 660, 690, 720, 750, 780, 810], 300, 810, true);
        // What is too old covers nothing.
        check(&regular, 300, 361, true);
        check(&regular, 300, 391, false);
        // Short windows.
        check(&[0], 0, 0, true);
        check(&[0], 60, 60, false);
        check(&[0, 30], 60, 60, true);
        check(&[0, 30], 10, 30, true);
        check(&[0, 30], 60, 59, false);
    }

    proptest! {
        /// Against counting the samples themselves, with gaps but no jitter.
        #[test]
        fn it_counts_as_if_it_kept_every_sample(
            present in proptest::collection::vec(proptest::bool::weighted(0.9), 1..200),
            window in 3_i64..60,
            late in 0_i64..45,
        ) {
            let (interval, window) = (15, window * 15);
            let times: Vec<i64> = (0..).zip(&present).filter(|(_, present)| **present).map(|(tick, _)| tick * interval).collect();
            prop_assume!(!times.is_empty());
            let mut run = Run::new(times[0]);
            for at in &times[1..] {
                run.push(*at, interval, window);
            }
            prop_assume!(run.stretches.len() < MAX_STRETCHES);
            let now = times[times.len() - 1] + late;
            let samples = times.iter().filter(|at| **at > now - window).count() as i64;
            let expect = now - times[0] >= window && samples * interval * 100 >= window * 80;
            prop_assert_eq!(run.fills(window, interval, now), expect);
        }

        #[test]
        fn its_memory_is_bounded(gaps in proptest::collection::vec(1_i64..200, 1..500)) {
            let mut run = Run::new(0);
            let mut at = 0;
            for gap in gaps {
                at += gap;
                run.push(at, 10, i64::MAX / 2);
            }
            prop_assert!(run.stretches.len() <= MAX_STRETCHES);
            prop_assert!(run.bytes() < 1024);
        }
    }
}
