//! What keeping measurements costs: encoding and decoding rows, the head, sealing a slot, and readings.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use infra_watch::domain::report::{Point, SeriesKey};
use infra_watch::domain::series::{Aggregate, Buckets, Grid};
use infra_watch::domain::tier::{DAY_SECONDS, SLOT_SECONDS, day_start};
use infra_watch::store::chunk::{self, Block, Effort, Row};
use infra_watch::store::head::HostHead;
use infra_watch::store::kv::KvError;
use infra_watch::store::redb::RedbKv;
use infra_watch::store::series::{
    Columns, Fragment, GroupCommit, Post, Reading, SeriesStore, Wanted,
};
use tokio::runtime::Runtime;

/// The first moment of a day.
const START: i64 = day_start(20_000);
const SERIES: u32 = 12;
const STEP: i64 = 30;
/// Hosts of the store that is read.
const HOSTS: u32 = 50;

/// Two decimals that wander, as gauges do: the same for a host, series and moment.
fn value(host: u32, series: u32, at: i64) -> f64 {
    let mut mixed = (at as u64 ^ u64::from(host) << 40 ^ u64::from(series) << 56)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^= mixed >> 29;
    let wave = ((at / STEP) % 720) as f64 / 10.0;
    ((wave + f64::from(series) * 10.0 + (mixed % 500) as f64 / 100.0) * 100.0).round() / 100.0
}

fn block(seconds: i64) -> Block {
    let times: Vec<i64> = (0..seconds / STEP).map(|row| START + row * STEP).collect();
    let column = |series| {
        (
            series,
            times.iter().map(|at| value(1, series, *at)).collect(),
        )
    };
    Block {
        columns: (0..SERIES).map(column).collect(),
        times,
    }
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    for (name, seconds, effort) in [
        ("slot", SLOT_SECONDS, Effort::Slot),
        ("day", DAY_SECONDS, Effort::Day),
    ] {
        let block = block(seconds);
        let bytes = chunk::encode(&block, START, effort);
        println!(
            "{name}: {:.3} bytes a sample",
            bytes.len() as f64 / block.points() as f64
        );
        group.throughput(Throughput::Elements(block.points()));
        group.bench_function(format!("encode a {name}"), |bencher| {
            bencher.iter(|| chunk::encode(black_box(&block), START, effort));
        });
        group.throughput(Throughput::Elements(block.points() / u64::from(SERIES)));
        group.bench_function(format!("decode one series of a {name}"), |bencher| {
            bencher.iter(|| {
                let row = Row::read(black_box(&bytes), START).unwrap();
                let mut sum = 0.0;
                row.points(7, 0..i64::MAX, |_, value| sum += value).unwrap();
                sum
            });
        });
        group.bench_function(format!("summary of one series of a {name}"), |bencher| {
            bencher.iter(|| {
                let row = Row::read(black_box(&bytes), START).unwrap();
                row.summary(7).unwrap()
            });
        });
    }
    group.finish();
}

fn head(criterion: &mut Criterion) {
    let numbers: Vec<u32> = (0..SERIES).collect();
    let rows: Vec<Point> = (0..SLOT_SECONDS / STEP)
        .map(|row| START + row * STEP)
        .map(|at| Point {
            at,
            values: numbers
                .iter()
                .map(|series| Some(value(1, *series, at)))
                .collect(),
        })
        .collect();
    let empty = || {
        let mut head = HostHead::default();
        for number in 0..SERIES {
            head.add_series(Arc::new(name(number)));
        }
        head
    };
    let fill = |mut head: HostHead| {
        for row in &rows {
            head.insert(&numbers, row, None);
        }
        head
    };
    let mut group = criterion.benchmark_group("head");
    group.throughput(Throughput::Elements(rows.len() as u64 * u64::from(SERIES)));
    group.bench_function("insert a slot", |bencher| {
        bencher.iter_batched(empty, fill, BatchSize::SmallInput);
    });
    let full = fill(empty());
    group.bench_function("copy a slot", |bencher| {
        bencher.iter(|| full.copy_slot(black_box(infra_watch::domain::tier::slot_of(START))));
    });
    group.finish();
}

fn name(number: u32) -> SeriesKey {
    SeriesKey {
        metric: format!("gauge_{number}"),
        instance: None,
    }
}

/// One slot of a host.
fn post(host: u32, from: i64) -> Post {
    let times = (0..SLOT_SECONDS / STEP).map(|row| from + row * STEP);
    Post {
        host,
        received_at: from + SLOT_SECONDS,
        columns: Columns::Named((0..SERIES).map(name).collect(), None),
        points: times
            .map(|at| Point {
                at,
                values: (0..SERIES)
                    .map(|series| Some(value(host, series, at)))
                    .collect(),
            })
            .collect(),
    }
}

struct Site {
    store: SeriesStore,
    _directory: tempfile::TempDir,
}

async fn site() -> Site {
    let directory = tempfile::tempdir().unwrap();
    let kv = Arc::new(RedbKv::open(directory.path()).unwrap());
    let group_commit = GroupCommit {
        interval: Duration::ZERO,
        disk_reserve_bytes: 0,
        ..GroupCommit::default()
    };
    Site {
        store: SeriesStore::open(kv, group_commit).await.unwrap(),
        _directory: directory,
    }
}

fn seal(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("seal");
    group.sample_size(10);
    let points = u64::from(HOSTS) * u64::from(SERIES) * (SLOT_SECONDS / STEP) as u64;
    group.throughput(Throughput::Elements(points));
    group.bench_function("a slot of 50 hosts", |bencher| {
        let prepare = || {
            runtime.block_on(async {
                let site = site().await;
                for host in 0..HOSTS {
                    site.store.append(post(host, START)).await.unwrap();
                }
                site
            })
        };
        bencher.iter_batched(
            prepare,
            |site| {
                runtime
                    .block_on(site.store.seal(START + SLOT_SECONDS, true))
                    .unwrap();
                site
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Reads the first series of some hosts into buckets, or point by point.
fn read(store: &SeriesStore, hosts: u32, from: i64, to: i64, step: Option<i64>) -> usize {
    let reading = Reading {
        hosts: (0..hosts)
            .map(|host| Wanted {
                host,
                series: vec![0],
            })
            .collect(),
        from,
        to,
        step,
    };
    let grid = Grid {
        from,
        to,
        step: step.unwrap_or(STEP),
    };
    let mut buckets = Buckets::new(grid, &[Aggregate::Avg]);
    let mut given = 0;
    store
        .read(&reading, |_, _, fragment| {
            given += 1;
            match fragment {
                Fragment::Point(at, value) => buckets.push(at, value),
                Fragment::Summary(at, summary) => buckets.push_summary(at, &summary),
            }
            Ok::<_, KvError>(())
        })
        .unwrap();
    given
}

fn query(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let site = runtime.block_on(async {
        let site = site().await;
        // Seven days, of which the last is in slots.
        for slot in 0..84 {
            for host in 0..HOSTS {
                let post = post(host, START + slot * SLOT_SECONDS);
                site.store.append(post).await.unwrap();
            }
            if slot % 12 == 11 {
                let now = START + (slot + 1) * SLOT_SECONDS;
                site.store.seal(now, true).await.unwrap();
                if slot < 80 {
                    site.store.repack(now, true).await.unwrap();
                    site.store.roll_up().await.unwrap();
                }
            }
        }
        site
    });
    let end = START + 7 * DAY_SECONDS;
    let store = &site.store;
    let mut group = criterion.benchmark_group("query");
    group.bench_function("raw, 24 h in slots", |bencher| {
        bencher.iter(|| read(store, 1, end - DAY_SECONDS, end, None));
    });
    group.bench_function("raw, 24 h in a day's row", |bencher| {
        bencher.iter(|| read(store, 1, end - 2 * DAY_SECONDS, end - DAY_SECONDS, None));
    });
    group.bench_function("7 days by the hour", |bencher| {
        bencher.iter(|| read(store, 1, START + 777, end, Some(3600)));
    });
    group.bench_function("50 hosts, 24 h as one bucket", |bencher| {
        bencher.iter(|| read(store, HOSTS, end - DAY_SECONDS, end, Some(i64::MAX)));
    });
    group.finish();
}

criterion_group!(benches, codec, head, seal, query);
criterion_main!(benches);
