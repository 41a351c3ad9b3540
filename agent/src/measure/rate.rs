//! Counters into rates, without a spike when a counter starts again.

use std::time::Instant;

/// Two counters that belong together, such as bytes received and sent, by name.
pub type Counters = Vec<(String, [u64; 2])>;

/// Remembers the last reading of named counters.
#[derive(Default)]
pub struct Rates {
    before: Option<(Instant, Counters)>,
}

impl Rates {
    /// Takes a reading of `now` and gives what each counter grew by in a second since the reading before. None for a
    /// counter that is new or went back.
    pub fn step(&mut self, now: Instant, counters: Counters) -> Vec<(String, [Option<f64>; 2])> {
        let before = self.before.take();
        let rates = counters
            .iter()
            .map(|(name, after)| {
                let rate = before.as_ref().and_then(|(then, counters)| {
                    let (_, before) = counters.iter().find(|(known, _)| known == name)?;
                    Some([0, 1].map(|side| per_second(*then, before[side], now, after[side])))
                });
                (name.clone(), rate.unwrap_or_default())
            })
            .collect();
        self.before = Some((now, counters));
        rates
    }
}

fn per_second(then: Instant, before: u64, now: Instant, after: u64) -> Option<f64> {
    let grown = after.checked_sub(before)?;
    let seconds = now.checked_duration_since(then)?.as_secs_f64();
    (seconds > 0.0).then(|| (grown as f64 / seconds).round())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates() {
        let start = Instant::now();
        let mut rates = Rates::default();
        let mut check = |seconds, counters: &[(&str, [u64; 2])], expect: &[[Option<f64>; 2]]| {
            let counters = counters
                .iter()
                .map(|(name, pair)| ((*name).to_owned(), *pair))
                .collect();
            let found = rates.step(start + Duration::from_secs(seconds), counters);
            assert_eq!(
                found.into_iter().map(|(_, rate)| rate).collect::<Vec<_>>(),
                expect
            );
        };
        check(0, &[("eth0", [1000, 50])], &[[None, None]]);
        check(10, &[("eth0", [2000, 55])], &[[Some(100.0), Some(1.0)]]);
        // One side starts again, a second interface comes.
        check(
            20,
            &[("eth0", [10, 155]), ("eth1", [5, 5])],
            &[[None, Some(10.0)], [None, None]],
        );
        check(
            30,
            &[("eth0", [20, 155]), ("eth1", [5, 5])],
            &[[Some(1.0), Some(0.0)], [Some(0.0), Some(0.0)]],
        );
        // No time passed; an interface that went away is a new one when it comes back.
        check(30, &[("eth0", [20, 155])], &[[None, None]]);
        check(40, &[("eth1", [500, 500])], &[[None, None]]);
    }
}
