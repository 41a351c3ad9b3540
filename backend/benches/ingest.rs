//! What one report costs on its way in: parsing, encoding for the log, the head in memory, decoding at replay.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use infra_watch::domain::report::{Point, SeriesKey};
use infra_watch::store::frame;
use infra_watch::store::head::HostHead;
use infra_watch::wire::report::Report;
use serde_json::{Value, json};

/// Series of the report: what an agent measures on a machine with a few disks.
const SERIES: u32 = 20;
/// When the first point was measured.
const START: i64 = 1_800_000_000;
/// Rows of a log that is read again: an hour at 10 s.
const ROWS: i64 = 360;

/// A report of one point, about 1.1 kB.
fn report() -> Vec<u8> {
    let series: Vec<Value> = (0..SERIES)
        .map(|number| match number {
            0 => json!({ "metric": "cpu_usage_percent" }),
            1 => json!({ "metric": "memory_usage_percent" }),
            _ => json!({ "metric": "disk_usage_percent", "instance": format!("/{number}") }),
        })
        .collect();
    let report = json!({
        "report_id": "0193570c-0d1f-7000-8000-000000000001", "agent_version": "0.1.0",
        "sent_at": "2027-01-15T08:00:00Z", "interval_seconds": 30, "snapshot_interval_seconds": 3600,
        "series": series, "points": [{ "at": START, "values": values(0) }],
    });
    report.to_string().into_bytes()
}

/// Values as gauges have them: two decimals, moving slowly.
fn values(row: i64) -> Vec<f64> {
    (0..SERIES)
        .map(|number| f64::from(number) + (row % 700) as f64 / 100.0)
        .collect()
}

fn rows(count: i64) -> Vec<Point> {
    let row = |row| Point {
        at: START + row * 10,
        values: values(row).into_iter().map(Some).collect(),
    };
    (0..count).map(row).collect()
}

fn numbers() -> Vec<u32> {
    (0..SERIES).collect()
}

fn parse(criterion: &mut Criterion) {
    let body = report();
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("a report into the domain", |bencher| {
        bencher.iter(|| {
            let report: Result<Report, _> = serde_json::from_slice(black_box(&body));
            report.map(Report::into_domain)
        });
    });
    group.finish();
}

fn log(criterion: &mut Criterion) {
    let (numbers, one, many) = (numbers(), rows(1), rows(ROWS));
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Elements(u64::from(SERIES)));
    group.bench_function("encode one row", |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            frame::encode(&mut out, 7, START, &numbers, black_box(&one));
            out.len()
        });
    });
    let mut replayed = Vec::new();
    for row in &many {
        frame::encode(
            &mut replayed,
            7,
            row.at,
            &numbers,
            std::slice::from_ref(row),
        );
    }
    group.throughput(Throughput::Elements(many.len() as u64 * u64::from(SERIES)));
    group.bench_function("decode an hour", |bencher| {
        bencher.iter(|| frame::decode(black_box(&replayed), |frame| drop(black_box(frame))));
    });
    group.finish();
}

fn head(criterion: &mut Criterion) {
    let (numbers, many) = (numbers(), rows(ROWS));
    let empty = || {
        let mut head = HostHead::default();
        for number in 0..SERIES {
            head.add_series(Arc::new(SeriesKey {
                metric: format!("gauge_{number}"),
                instance: None,
            }));
        }
        head
    };
    let mut group = criterion.benchmark_group("head");
    group.throughput(Throughput::Elements(many.len() as u64 * u64::from(SERIES)));
    group.bench_function("insert an hour", |bencher| {
        let insert = |mut head: HostHead| {
            for row in &many {
                head.insert(&numbers, row, None);
            }
            head
        };
        bencher.iter_batched(empty, insert, BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(benches, parse, log, head);
criterion_main!(benches);
