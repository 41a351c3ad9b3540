//! What a series store must say: a sorted map in which the first value stands, and readings held against it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "random.rs"]
mod random;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use infra_watch::domain::report::{Point, SeriesKey};
use infra_watch::domain::series::{Aggregate, Buckets, Grid};
use infra_watch::store::kv::KvError;
use infra_watch::store::series::{
    AppendError, Appended, Columns, Fragment, Post, Reading, SeriesStore, Wanted,
};

pub use random::Random;

/// Metrics that every host of a test has.
pub const METRICS: [&str; 4] = ["cpu", "memory", "disk", "odd"];

/// Everything that was ever acknowledged.
#[derive(Clone, Default)]
pub struct Model(pub BTreeMap<(u32, usize, i64), f64>);

impl Model {
    /// Takes over a post as the store should: the first value of a host, series and second stands.
    pub fn append(&mut self, post: &Post) -> Appended {
        let mut appended = Appended::default();
        for point in &post.points {
            for (series, value) in point.values.iter().enumerate() {
                let Some(value) = value else { continue };
                match self.0.entry((post.host, series, point.at)) {
                    Entry::Occupied(_) => appended.duplicates += 1,
                    Entry::Vacant(place) => {
                        place.insert(*value);
                        appended.accepted += 1;
                    }
                }
            }
        }
        appended
    }

    pub fn points(&self, host: u32, series: usize, from: i64, to: i64) -> Vec<(i64, u64)> {
        self.0
            .range((host, series, from)..(host, series, to))
            .map(|((_, _, at), value)| (*at, value.to_bits()))
            .collect()
    }

    /// Forgets what is older.
    pub fn forget_before(&mut self, at: i64) {
        self.0.retain(|(_, _, of), _| *of >= at);
    }
}

/// A post of every metric; `value` gives each.
pub fn post(
    host: u32,
    received_at: i64,
    times: &[i64],
    mut value: impl FnMut(usize, i64) -> Option<f64>,
) -> Post {
    Post {
        host,
        received_at,
        columns: Columns::Named(
            METRICS
                .iter()
                .map(|metric| SeriesKey {
                    metric: (*metric).to_owned(),
                    instance: None,
                })
                .collect(),
            None,
        ),
        points: times
            .iter()
            .map(|at| Point {
                at: *at,
                values: (0..METRICS.len())
                    .map(|series| value(series, *at))
                    .collect(),
            })
            .collect(),
    }
}

/// A value of some kind: mostly decimals, some constant, some that no scale takes.
pub fn any_value(random: &mut Random, series: usize) -> Option<f64> {
    match (series, random.below(20)) {
        (_, 0) => None,
        (2, _) => Some(12.5),
        (3, 1..=4) => Some(1.0 / (1.0 + random.below(1000) as f64)),
        _ => Some(random.below(1_000_000) as f64 / 100.0),
    }
}

/// Appends, again while it is busy.
pub async fn append(store: &SeriesStore, post: impl Fn() -> Post) -> Result<Appended, AppendError> {
    loop {
        match store.append(post()).await {
            Err(AppendError::Kv(KvError::Busy)) => tokio::task::yield_now().await,
            done => return done,
        }
    }
}

fn reading(hosts: &[u32], from: i64, to: i64, step: Option<i64>) -> Reading {
    let series = (0..u32::try_from(METRICS.len()).unwrap()).collect::<Vec<_>>();
    Reading {
        hosts: hosts
            .iter()
            .map(|host| Wanted {
                host: *host,
                series: series.clone(),
            })
            .collect(),
        from,
        to,
        step,
    }
}

/// Every point of a range must be there, once, with its value, and no other.
pub fn check_points(store: &SeriesStore, model: &Model, hosts: &[u32], from: i64, to: i64) {
    let mut read: BTreeMap<(usize, usize), Vec<(i64, u64)>> = BTreeMap::new();
    store
        .read(&reading(hosts, from, to, None), |host, series, fragment| {
            match fragment {
                Fragment::Point(at, value) => {
                    read.entry((host, series))
                        .or_default()
                        .push((at, value.to_bits()));
                }
                Fragment::Summary(..) => panic!("points were asked for"),
            }
            Ok::<_, KvError>(())
        })
        .unwrap();
    for (position, host) in hosts.iter().enumerate() {
        for series in 0..METRICS.len() {
            let mut points = read.remove(&(position, series)).unwrap_or_default();
            points.sort_unstable();
            let expect = model.points(*host, series, from, to);
            assert!(
                points == expect,
                "host {host} series {series} [{from}, {to}): {} read, {} expected; first difference {:?}",
                points.len(),
                expect.len(),
                points.iter().zip(&expect).find(|(a, b)| a != b)
            );
        }
    }
}

/// Buckets must be what the points make of them, whether they were read as points, rows or tiers.
pub fn check_buckets(
    store: &SeriesStore,
    model: &Model,
    hosts: &[u32],
    from: i64,
    to: i64,
    step: i64,
) {
    let grid = Grid { from, to, step };
    let aggregates = [
        Aggregate::Avg,
        Aggregate::Min,
        Aggregate::Max,
        Aggregate::Sum,
        Aggregate::Count,
        Aggregate::Last,
    ];
    let mut read: BTreeMap<(usize, usize), Buckets> = BTreeMap::new();
    store
        .read(
            &reading(hosts, from, to, Some(step)),
            |host, series, fragment| {
                let buckets = read
                    .entry((host, series))
                    .or_insert_with(|| Buckets::new(grid, &aggregates));
                match fragment {
                    Fragment::Point(at, value) => buckets.push(at, value),
                    Fragment::Summary(at, summary) => buckets.push_summary(at, &summary),
                }
                Ok::<_, KvError>(())
            },
        )
        .unwrap();
    for (position, host) in hosts.iter().enumerate() {
        for series in 0..METRICS.len() {
            let mut expect = Buckets::new(grid, &aggregates);
            for (at, bits) in model.points(*host, series, from, to) {
                expect.push(at, f64::from_bits(bits));
            }
            let mut found = read
                .remove(&(position, series))
                .unwrap_or_else(|| Buckets::new(grid, &aggregates));
            for aggregate in aggregates {
                let (found, expect) = (found.aggregate(aggregate), expect.aggregate(aggregate));
                for (index, (found, expect)) in found.iter().zip(&expect).enumerate() {
                    let is_same = match (found, expect) {
                        (Some(found), Some(expect)) => {
                            (found - expect).abs() <= expect.abs() * 1e-9
                        }
                        (found, expect) => found == expect,
                    };
                    assert!(
                        is_same,
                        "host {host} series {series} [{from}, {to}) step {step} {aggregate:?} bucket {index}: {found:?} instead of {expect:?}"
                    );
                }
            }
        }
    }
}
