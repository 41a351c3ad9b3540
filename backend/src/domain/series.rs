//! Series as numbers over time: buckets, aggregates, and the choice of a step.

use serde::{Deserialize, Serialize};

/// How values of a bucket become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Arithmetic mean.
    Avg,
    /// Least.
    Min,
    /// Greatest.
    Max,
    /// Sum.
    Sum,
    /// Number of values.
    Count,
    /// The latest in time.
    Last,
    /// Median.
    P50,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
}

impl Aggregate {
    /// The name as documents say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Sum => "sum",
            Self::Count => "count",
            Self::Last => "last",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
        }
    }

    /// Which part of the values lies below, for the percentiles.
    pub fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.50),
            Self::P95 => Some(0.95),
            Self::P99 => Some(0.99),
            _ => None,
        }
    }
}

/// Most points of one series in one answer.
pub const MAX_POINTS: i64 = 10_000;
/// Most points when the step is chosen for the caller.
pub const MAX_AUTO_POINTS: i64 = 1_000;

/// Steps that people read easily, in seconds.
const STEPS_SECONDS: [i64; 18] = [
    1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
    604_800,
];

/// The smallest easy step that keeps `[from, to)` within [`MAX_AUTO_POINTS`] and is not finer than the data.
pub fn auto_step(from: i64, to: i64, interval_seconds: i64) -> i64 {
    let least = interval_seconds.max((to - from) / (MAX_AUTO_POINTS - 1) + 1);
    STEPS_SECONDS
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or(least)
}

/// The grid of one trend: buckets that start at multiples of `step` and cover `[from, to)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// First moment asked for, Unix seconds, inclusive.
    pub from: i64,
    /// Last moment asked for, Unix seconds, exclusive.
    pub to: i64,
    /// Width of a bucket, in seconds.
    pub step: i64,
}

impl Grid {
    /// Number of buckets.
    pub fn len(&self) -> usize {
        let buckets = (self.to - 1).div_euclid(self.step) - self.from.div_euclid(self.step) + 1;
        usize::try_from(buckets).unwrap_or_default()
    }

    /// Whether the grid has no bucket.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts of the buckets, Unix seconds.
    pub fn starts(&self) -> impl Iterator<Item = i64> + use<> {
        let (first, step) = (self.from.div_euclid(self.step) * self.step, self.step);
        (0..self.len()).map(move |bucket| first + i64::try_from(bucket).unwrap_or_default() * step)
    }

    fn bucket(&self, at: i64) -> Option<usize> {
        if !(self.from..self.to).contains(&at) {
            return None;
        }
        usize::try_from(at.div_euclid(self.step) - self.from.div_euclid(self.step)).ok()
    }
}

/// Several points as one: what is kept of them where the points themselves are not read, or are gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many points, at least one.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// The latest.
    pub last: f64,
    /// When that was, Unix seconds.
    pub last_at: i64,
    /// The 95th percentile, where it is kept: of an hour.
    pub p95: Option<f64>,
}

#[derive(Clone, Debug)]
struct Bucket {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    last_at: i64,
    last: f64,
    values: Vec<f64>,
    p95: Option<f64>,
}

const EMPTY: Bucket = Bucket {
    count: 0,
    sum: 0.0,
    min: f64::INFINITY,
    max: f64::NEG_INFINITY,
    last_at: i64::MIN,
    last: 0.0,
    values: Vec::new(),
    p95: None,
};

/// Gathers points into a grid, from one series or several.
#[derive(Clone, Debug)]
pub struct Buckets {
    grid: Grid,
    keeps_values: bool,
    kept: usize,
    buckets: Vec<Bucket>,
}

impl Buckets {
    /// An empty grid, ready for the given aggregates; single values are kept only where a percentile asks for them.
    pub fn new(grid: Grid, aggregates: &[Aggregate]) -> Self {
        let keeps_values = aggregates
            .iter()
            .any(|aggregate| aggregate.quantile().is_some());
        Self {
            grid,
            keeps_values,
            kept: 0,
            buckets: vec![EMPTY; grid.len()],
        }
    }

    /// Adds one point; one outside the grid's range is left out.
    pub fn push(&mut self, at: i64, value: f64) {
        let Some(bucket) = self
            .grid
            .bucket(at)
            .and_then(|index| self.buckets.get_mut(index))
        else {
            return;
        };
        bucket.count += 1;
        bucket.sum += value;
        bucket.min = bucket.min.min(value);
        bucket.max = bucket.max.max(value);
        if at >= bucket.last_at {
            (bucket.last_at, bucket.last) = (at, value);
        }
        if self.keeps_values {
            bucket.values.push(value);
            self.kept += 1;
        }
    }

    /// Adds several points that all lie in the bucket of `at`.
    pub fn push_summary(&mut self, at: i64, summary: &Summary) {
        let Some(bucket) = self
            .grid
            .bucket(at)
            .and_then(|index| self.buckets.get_mut(index))
        else {
            return;
        };
        bucket.count += summary.count;
        bucket.sum += summary.sum;
        bucket.min = bucket.min.min(summary.min);
        bucket.max = bucket.max.max(summary.max);
        if summary.last_at >= bucket.last_at {
            (bucket.last_at, bucket.last) = (summary.last_at, summary.last);
        }
        bucket.p95 = summary.p95;
    }

    /// How many single values were kept since this was last asked.
    pub fn take_kept(&mut self) -> usize {
        std::mem::take(&mut self.kept)
    }

    /// Whether no point was added.
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.count == 0)
    }

    /// One value for each bucket; an empty bucket has none.
    pub fn aggregate(&mut self, aggregate: Aggregate) -> Vec<Option<f64>> {
        self.buckets
            .iter_mut()
            .map(|bucket| bucket.aggregate(aggregate))
            .collect()
    }
}

impl Bucket {
    fn aggregate(&mut self, aggregate: Aggregate) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        // Counts stay far below 2^53, where f64 is exact.
        let count = self.count as f64;
        Some(match aggregate {
            Aggregate::Avg => (self.sum / count).clamp(self.min, self.max),
            Aggregate::Min => self.min,
            Aggregate::Max => self.max,
            Aggregate::Sum => self.sum,
            Aggregate::Count => count,
            Aggregate::Last => self.last,
            Aggregate::P95 if self.values.is_empty() => return self.p95,
            Aggregate::P50 | Aggregate::P95 | Aggregate::P99 => {
                return aggregate
                    .quantile()
                    .and_then(|quantile| percentile(&mut self.values, quantile));
            }
        })
    }
}

/// The quantile (0 to 1) of values, linear between neighbours as `quantile_over_time` of Prometheus has it.
pub fn percentile(values: &mut [f64], quantile: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    values.sort_unstable_by(f64::total_cmp);
    let rank = quantile * last as f64;
    let below = rank.floor() as usize;
    let (low, high) = (values.get(below)?, values.get((below + 1).min(last))?);
    Some(low + (high - low) * (rank - rank.floor()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_start_at_multiples_of_the_step() {
        let grid = Grid {
            from: 95,
            to: 301,
            step: 60,
        };
        assert_eq!(grid.starts().collect::<Vec<_>>(), [60, 120, 180, 240, 300]);
        assert_eq!(
            Grid {
                from: 120,
                to: 240,
                step: 60
            }
            .starts()
            .collect::<Vec<_>>(),
            [120, 180]
        );
    }

    #[test]
    fn aggregates() {
        let check = |aggregate, expect: &[Option<f64>]| {
            let mut buckets = Buckets::new(
                Grid {
                    from: 0,
                    to: 180,
                    step: 60,
                },
                &[aggregate],
            );
            for (at, value) in [
                (30, 4.0),
                (0, 1.0),
                (59, 2.0),
                (120, -3.0),
                (180, 99.0),
                (-1, 99.0),
            ] {
                buckets.push(at, value);
            }
            assert_eq!(buckets.aggregate(aggregate), expect, "{aggregate:?}");
        };
        check(Aggregate::Avg, &[Some(7.0 / 3.0), None, Some(-3.0)]);
        check(Aggregate::Min, &[Some(1.0), None, Some(-3.0)]);
        check(Aggregate::Max, &[Some(4.0), None, Some(-3.0)]);
        check(Aggregate::Sum, &[Some(7.0), None, Some(-3.0)]);
        check(Aggregate::Count, &[Some(3.0), None, Some(1.0)]);
        check(Aggregate::Last, &[Some(2.0), None, Some(-3.0)]);
        check(Aggregate::P50, &[Some(2.0), None, Some(-3.0)]);
        check(Aggregate::P95, &[Some(3.8), None, Some(-3.0)]);
    }

    #[test]
    fn percentiles() {
        let mut values: Vec<f64> = (1..=101).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.5), Some(51.0));
        assert_eq!(percentile(&mut values, 0.95), Some(96.0));
        assert_eq!(percentile(&mut values, 0.99), Some(100.0));
        assert_eq!(percentile(&mut [], 0.5), None);
    }

    #[test]
    fn steps_are_easy_to_read_and_never_finer_than_the_data() {
        let check = |hours: i64, interval, expect| {
            let (from, to) = (1_000_007, 1_000_007 + hours * 3600);
            let step = auto_step(from, to, interval);
            assert_eq!(step, expect, "{hours} h");
            assert!(Grid { from, to, step }.len() <= 1000);
        };
        check(1, 30, 30);
        check(1, 1, 5);
        check(24, 30, 120);
        check(24 * 7, 30, 900);
        check(24 * 90, 30, 10_800);
        check(24 * 365 * 30, 30, 24 * 365 * 30 * 3600 / 999 + 1);
    }
}
