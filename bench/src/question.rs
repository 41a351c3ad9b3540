//! The five questions, what their answers must be, and whether they are.

use std::collections::BTreeMap;

use crate::data::{STEP_SECONDS, Shape, host_name};

const DAY_SECONDS: i64 = 86_400;
/// Six gauges of a host page, by their place in [`crate::data::METRICS`].
pub const SIX: [usize; 6] = [0, 1, 2, 3, 4, 7];
/// The host that single hosts are asked of.
const ASKED_HOST: usize = 7;
/// Half a hundredth: values have two decimals.
const ROUNDING: f64 = 0.005;
/// Length of the top list.
pub const TOP: usize = 10;

/// What a dashboard asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Raw samples of a gauge over a day.
    RawDay,
    /// Averages over five minutes of six gauges over a day.
    SixTrends,
    /// The greatest of each hour over a week.
    WeekMax,
    /// The latest value of every host.
    Latest,
    /// The ten hosts with the greatest average over a day.
    Top,
}

/// The range that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Unix seconds, inclusive.
    pub from: i64,
    /// Unix seconds, exclusive.
    pub to: i64,
    /// Seconds of a bucket, where there are buckets.
    pub step_seconds: i64,
}

/// Series by metric or host; buckets and samples by their Unix second, 0 where there is but one.
pub type Points = BTreeMap<String, BTreeMap<i64, f64>>;

impl Question {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::RawDay,
        Self::SixTrends,
        Self::WeekMax,
        Self::Latest,
        Self::Top,
    ];

    /// What it asks, in words.
    pub fn title(self) -> &'static str {
        match self {
            Self::RawDay => "raw 24 h of one gauge",
            Self::SixTrends => "six gauges, 24 h, 5 min averages",
            Self::WeekMax => "7 d, greatest of each hour",
            Self::Latest => "latest CPU of every host",
            Self::Top => "top 10 by average CPU, 24 h",
        }
    }

    /// How fast it is to be answered.
    pub fn aim(self) -> &'static str {
        match self {
            Self::RawDay => "≤ 0.5 ms",
            Self::SixTrends => "",
            Self::WeekMax => "≤ 0.4 ms",
            Self::Latest => "≤ 0.8 ms",
            Self::Top => "≤ 5 ms",
        }
    }

    /// Its range when the data ends there; buckets are whole ones.
    pub fn window(self, last_at: i64) -> Window {
        let after = last_at + STEP_SECONDS;
        let buckets = |step_seconds: i64, length: i64| {
            let to = after - after.rem_euclid(step_seconds);
            Window {
                from: to - length,
                to,
                step_seconds,
            }
        };
        let samples = |length: i64| Window {
            from: after - length,
            to: last_at + 1,
            step_seconds: 0,
        };
        match self {
            Self::RawDay | Self::Top => samples(DAY_SECONDS),
            Self::Latest => samples(300),
            Self::SixTrends => buckets(300, DAY_SECONDS),
            Self::WeekMax => buckets(3600, 7 * DAY_SECONDS),
        }
    }

    /// The true answer.
    pub fn truth(self, shape: &Shape) -> Points {
        let window = self.window(shape.last_at);
        let metric = |gauge: usize| crate::data::METRICS[gauge].name.to_owned();
        let of_one = |gauge| gauge_of(shape, asked_host(shape), gauge, window);
        match self {
            Self::RawDay => [(metric(0), of_one(0))].into(),
            Self::SixTrends => SIX
                .into_iter()
                .map(|gauge| (metric(gauge), bucketed(&of_one(gauge), window, mean)))
                .collect(),
            Self::WeekMax => [(metric(0), bucketed(&of_one(0), window, greatest))].into(),
            Self::Latest => (0..shape.hosts)
                .filter_map(|host| {
                    let (_, value) = gauge_of(shape, host, 0, window).pop_last()?;
                    Some((host_name(host), [(0, value)].into()))
                })
                .collect(),
            Self::Top => {
                let mut averages: Vec<_> = (0..shape.hosts)
                    .map(|host| {
                        let values: Vec<_> =
                            gauge_of(shape, host, 0, window).into_values().collect();
                        (host_name(host), mean(&values))
                    })
                    .collect();
                averages.sort_by(|(_, left), (_, right)| right.total_cmp(left));
                averages.truncate(TOP);
                averages
                    .into_iter()
                    .map(|(host, value)| (host, [(0, value)].into()))
                    .collect()
            }
        }
    }
}

/// The host that single hosts are asked of.
pub fn asked_host(shape: &Shape) -> usize {
    ASKED_HOST.min(shape.hosts.saturating_sub(1))
}

fn gauge_of(shape: &Shape, host: usize, gauge: usize, window: Window) -> BTreeMap<i64, f64> {
    shape
        .points(host)
        .filter(|(at, _)| (window.from..window.to).contains(at))
        .map(|(at, values)| (at, values[gauge]))
        .collect()
}

fn bucketed(
    points: &BTreeMap<i64, f64>,
    window: Window,
    aggregate: fn(&[f64]) -> f64,
) -> BTreeMap<i64, f64> {
    let mut buckets: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (at, value) in points {
        let start = at - at.rem_euclid(window.step_seconds);
        buckets.entry(start).or_default().push(*value);
    }
    buckets
        .into_iter()
        .map(|(start, values)| (start, aggregate(&values)))
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn greatest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::MIN, f64::max)
}

/// What is wrong with an answer; nothing when it is the truth within rounding.
pub fn mismatch(truth: &Points, answer: &Points) -> Option<String> {
    // Whether a series without points is named is a matter of taste.
    let named = |points: &Points| -> Vec<String> {
        let some = points.iter().filter(|(_, series)| !series.is_empty());
        some.map(|(name, _)| name.clone()).collect()
    };
    let (wanted, got) = (named(truth), named(answer));
    if wanted != got {
        let (wanted, got) = (wanted.len(), got.len());
        return Some(format!("{got} series, not the {wanted} that there are"));
    }
    for (name, wanted) in truth {
        let Some(got) = answer.get(name) else {
            continue;
        };
        if !wanted.keys().eq(got.keys()) {
            let (wanted, got) = (wanted.len(), got.len());
            return Some(format!(
                "{name}: {got} points, or other ones, not the {wanted} there are"
            ));
        }
        for (at, value) in wanted {
            let other = got.get(at).copied().unwrap_or(f64::NAN);
            if (value - other).abs() <= ROUNDING + value.abs() * 1e-9 {
                continue;
            }
            return Some(format!("{name} at {at}: {other}, not {value}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        seed: 42,
        hosts: 12,
        live_ticks: 2880,
        long_hosts: 8,
        history_ticks: 17_040,
        last_at: 1_795_604_970,
    };

    #[test]
    fn truths_have_the_points_that_there_are() {
        let sizes = Question::ALL.map(|question| {
            let truth = question.truth(&SHAPE);
            let points: usize = truth.values().map(BTreeMap::len).sum();
            (truth.len(), points)
        });
        assert_eq!(sizes[0], (1, 2880));
        assert_eq!(sizes[1], (6, 6 * 288));
        // 166 hours of history, of which the first and the last bucket may be cut.
        assert!((166..=167).contains(&sizes[2].1), "{sizes:?}");
        assert_eq!(sizes[3], (12, 12));
        assert_eq!(sizes[4], (10, 10));
    }

    #[test]
    fn an_answer_may_differ_by_rounding_only() {
        let points = |value| Points::from([("a".to_owned(), BTreeMap::from([(0, value)]))]);
        assert_eq!(mismatch(&points(1.0), &points(1.004)), None);
        assert!(mismatch(&points(1.0), &points(1.01)).is_some());
        assert!(mismatch(&points(1.0), &points(f64::NAN)).is_some());
        assert!(mismatch(&points(1.0), &Points::new()).is_some());
    }
}
