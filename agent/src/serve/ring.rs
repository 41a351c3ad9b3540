//! What was measured lately, in little memory: readers come when they like, and reading takes nothing away.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use infra_watch_client::types::error::ConversionError;

use crate::measure::{Measurement, Series};
use crate::report::{Columns, MAX_SERIES};

/// How long points are kept, in seconds.
const MAX_AGE_SECONDS: i64 = 86_400;
/// Most memory that points take, in bytes: a day of a usual host measured every 30 s takes a third of it.
const MAX_BYTES: usize = 4 << 20;
/// Most points in one report.
const MAX_POINTS: usize = 20_000;
/// Most values in one report: about 1 MB as JSON and half of it compressed, which readers take.
const MAX_VALUES: usize = 50_000;
/// What a point costs beside its values: time, pointers, and what the allocator adds.
const POINT_BYTES: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub struct Ring {
    /// In the order in which they were measured.
    points: VecDeque<Point>,
    bytes: usize,
}

#[derive(Debug)]
struct Point {
    at: i64,
    /// One list for all points that have the same series.
    names: Arc<Names>,
    /// One a name; NaN where nothing was measured.
    values: Box<[f64]>,
}

/// Metric and instance of each series.
type Names = [(Box<str>, Option<Box<str>>)];

impl Point {
    fn samples(&self) -> impl Iterator<Item = (Series<'_>, Option<f64>)> + Clone {
        let values = self.values.iter().map(|value| Some(*value));
        series(&self.names).zip(values)
    }

    fn bytes(&self) -> usize {
        POINT_BYTES + size_of_val(&*self.values)
    }
}

fn series(names: &Names) -> impl Iterator<Item = Series<'_>> + Clone {
    names
        .iter()
        .map(|(metric, instance)| (metric.as_ref(), instance.as_deref()))
}

impl Ring {
    /// Keeps a point, and drops the oldest where there is no room.
    pub fn add(&mut self, point: &Measurement) {
        let known = self.points.back().map(|last| Arc::clone(&last.names));
        let names = known
            .filter(|names| series(names).eq(point.samples.iter().map(|sample| sample.series())))
            .unwrap_or_else(|| names_of(point));
        let values = point.samples.iter();
        let point = Point {
            at: point.at,
            names,
            values: values
                .map(|sample| sample.value.unwrap_or(f64::NAN))
                .collect(),
        };
        let oldest = point.at.saturating_sub(MAX_AGE_SECONDS);
        self.bytes += point.bytes();
        self.points.push_back(point);
        while let Some(first) = self.points.front()
            && (self.bytes > MAX_BYTES || first.at < oldest)
        {
            self.bytes -= first.bytes();
            self.points.pop_front();
        }
    }

    /// The points after `since`, in Unix seconds: the oldest of them, as many as fit into one report. The newest alone
    /// for a reader that does not say what it has.
    pub fn columns(&self, since: Option<i64>) -> Result<Columns, ConversionError> {
        let skipped = match since {
            Some(_) => 0,
            None => self.points.len().saturating_sub(1),
        };
        let wanted = self.points.iter().skip(skipped);
        let wanted = wanted.filter(|point| since.is_none_or(|since| point.at > since));
        let fitting = fitting(wanted.clone());
        Columns::collect(
            wanted
                .take(fitting)
                .map(|point| (point.at, point.samples())),
        )
    }
}

/// How many of the points, from the first one on, fit into one report; one always does.
fn fitting<'a>(points: impl Iterator<Item = &'a Point>) -> usize {
    let mut names: Option<&Arc<Names>> = None;
    let mut all = BTreeSet::new();
    for (count, point) in points.enumerate() {
        if !names.is_some_and(|names| Arc::ptr_eq(names, &point.names)) {
            all.extend(series(&point.names));
            names = Some(&point.names);
        }
        let is_too_much = all.len() > MAX_SERIES
            || count >= MAX_POINTS
            || all.len().saturating_mul(count + 1) > MAX_VALUES;
        if is_too_much && count > 0 {
            return count;
        }
    }
    usize::MAX
}

fn names_of(point: &Measurement) -> Arc<Names> {
    let samples = point.samples.iter();
    samples
        .map(|sample| {
            let (metric, instance) = sample.series();
            (metric.into(), instance.map(Into::into))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;

    fn point(at: i64, names: &[&str]) -> Measurement {
        let sample = |name: &&str| Sample {
            metric: "disk_usage_percent".into(),
            instance: Some((*name).to_owned()),
            value: (*name != "none").then_some(1.5),
        };
        Measurement {
            at,
            samples: names.iter().map(sample).collect(),
        }
    }

    fn ring(points: impl IntoIterator<Item = Measurement>) -> Ring {
        let mut ring = Ring::default();
        for point in points {
            ring.add(&point);
        }
        ring
    }

    /// Times of the points that a reader is given.
    fn times(ring: &Ring, since: Option<i64>) -> Vec<i64> {
        let points = ring.columns(since).unwrap().points;
        points.iter().map(|point| point.at).collect()
    }

    #[test]
    fn what_readers_are_given() {
        let ring = ring([10, 20, 30].map(|at| point(at, &["/"])));
        let check = |since: Option<i64>, expect: &[i64]| {
            // As often as one likes.
            assert_eq!(times(&ring, since), expect, "{since:?}");
            assert_eq!(times(&ring, since), expect, "{since:?}");
        };
        check(None, &[30]);
        check(Some(0), &[10, 20, 30]);
        check(Some(9), &[10, 20, 30]);
        check(Some(10), &[20, 30]);
        check(Some(29), &[30]);
        check(Some(30), &[]);
        check(Some(99), &[]);
        assert_eq!(times(&Ring::default(), None), [] as [i64; 0]);
        assert_eq!(times(&Ring::default(), Some(0)), [] as [i64; 0]);
    }

    #[test]
    fn a_clock_that_was_put_back_hides_nothing() {
        let ring = ring([100, 130, 40, 70].map(|at| point(at, &["/"])));
        assert_eq!(times(&ring, Some(39)), [100, 130, 40, 70]);
        assert_eq!(times(&ring, Some(40)), [100, 130, 70]);
        assert_eq!(times(&ring, None), [70]);
    }

    #[test]
    fn a_day_is_kept() {
        let ring = ring((0..2000).map(|number| point(number * 60, &["/"])));
        let kept = times(&ring, Some(-1));
        assert_eq!(kept.first(), Some(&(1999 * 60 - MAX_AGE_SECONDS)));
        assert_eq!(kept.len(), 1441);
        assert_eq!(ring.bytes, 1441 * (POINT_BYTES + 8));
    }

    #[test]
    fn memory_is_bounded() {
        let names: Vec<String> = (0..100).map(|number| format!("/mnt/{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let ring = ring((0..10_000).map(|at| point(at, &names)));
        let fit = MAX_BYTES / (POINT_BYTES + 800);
        assert_eq!(ring.points.len(), fit);
        assert!(ring.bytes <= MAX_BYTES);
        assert_eq!(times(&ring, None), [9999]);
        // A report is bounded too: the oldest go first, and what is left comes with the next ones.
        let mut since = 0;
        let mut read = Vec::new();
        loop {
            let times = times(&ring, Some(since));
            let Some(last) = times.last() else { break };
            since = *last;
            assert!(times.len() <= MAX_VALUES / 100);
            read.extend(times);
        }
        let first = 10_000 - i64::try_from(fit).unwrap();
        assert_eq!(read, (first..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_report_has_no_more_series_than_the_contract_takes() {
        let of_point = |at| (0..200).map(move |number| format!("/mnt/{at}/{number}"));
        let ring = ring((1..6).map(|at| {
            let names: Vec<String> = of_point(at).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            point(at, &names)
        }));
        assert_eq!(times(&ring, Some(0)), [1, 2]);
        assert_eq!(times(&ring, Some(2)), [3, 4]);
        assert_eq!(times(&ring, Some(4)), [5]);
    }

    #[test]
    fn names_are_shared_while_they_stay() {
        let ring = ring([
            point(1, &["/", "none"]),
            point(2, &["/", "none"]),
            point(3, &["/data"]),
            point(4, &[]),
        ]);
        let is_shared = |one: usize, other: usize| {
            Arc::ptr_eq(&ring.points[one].names, &ring.points[other].names)
        };
        assert_eq!((is_shared(0, 1), is_shared(1, 2)), (true, false));
        let columns = ring.columns(Some(0)).unwrap();
        assert_eq!(
            serde_json::to_value(&columns.points).unwrap(),
            serde_json::json!([
                { "at": 1, "values": [1.5, null, null] },
                { "at": 2, "values": [1.5, null, null] },
                { "at": 3, "values": [null, null, 1.5] },
                { "at": 4, "values": [null, null, null] },
            ])
        );
    }
}
