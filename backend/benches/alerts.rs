//! What alerts cost: a cycle of evaluation over a fleet, in processor time, and trying a rule over a month.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, criterion_group, criterion_main};
use infra_watch::app::App;
use infra_watch::clock::{Clock as _, ManualClock};
use infra_watch::domain::alert::rule::{
    AlertRule, Condition, NoData, Operator, Severity, Threshold,
};
use infra_watch::domain::host::Host;
use infra_watch::domain::id;
use infra_watch::domain::report::{Facts, Point, SeriesKey};
use infra_watch::domain::selector::Selector;
use infra_watch::flows::evaluate::evaluate;
use infra_watch::flows::password::Passwords;
use infra_watch::flows::preview;
use infra_watch::flows::token::Tokens;
use infra_watch::notify::Notifiers;
use infra_watch::store::Store;
use infra_watch::store::redb::RedbKv;
use infra_watch::store::series::{Columns, GroupCommit, Post};
use infra_watch::transport::{TransportSettings, Transports};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

/// Hosts that are evaluated, as many as the target says.
const HOSTS: u32 = 1_000;
/// Rules.
const RULES: usize = 100;
/// Hosts over which a rule is tried.
const PREVIEW_HOSTS: u32 = 100;
/// Days over which it is tried.
const PREVIEW_DAYS: i64 = 30;
/// Seconds between two samples.
const INTERVAL_SECONDS: i64 = 30;
/// When it all begins.
const START: i64 = 1_800_000_000;
/// What rules are about, and what else hosts send.
const METRICS: [&str; 12] = [
    "cpu_usage_percent",
    "memory_usage_percent",
    "swap_usage_percent",
    "disk_usage_percent",
    "load5",
    "load1",
    "load15",
    "uptime_seconds",
    "network_receive_bytes_per_second",
    "network_transmit_bytes_per_second",
    "disk_read_bytes_per_second",
    "process_count",
];

struct Fleet {
    app: Arc<App>,
    clock: Arc<ManualClock>,
    hosts: Vec<Host>,
    _directory: tempfile::TempDir,
}

/// Numbers that look random (Steele and others 2014, SplitMix64).
fn mixed(seed: u64) -> u64 {
    let mut number = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// A value of a host: most are at rest, some near the bounds of the rules.
fn value(host: u32, tick: i64, metric: usize) -> f64 {
    let noise = mixed(u64::from(host) << 40 ^ (tick as u64) << 8 ^ metric as u64) % 1000;
    let rest = if host.is_multiple_of(50) { 82.0 } else { 30.0 };
    rest + noise as f64 / 100.0
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn fleet(runtime: &Runtime, count: u32) -> Fleet {
    drop(rustls::crypto::ring::default_provider().install_default());
    let directory = tempfile::tempdir().unwrap();
    let kv = Arc::new(RedbKv::open(directory.path()).unwrap());
    let group_commit = GroupCommit {
        interval: Duration::ZERO,
        ..GroupCommit::default()
    };
    let store = runtime.block_on(Store::open(kv, group_commit)).unwrap();
    let clock = Arc::new(ManualClock::new(at(START)));
    let app = Arc::new(App::new(
        store,
        clock.clone(),
        Tokens::new(b"a secret for benches, 32 bytes long").unwrap(),
        Passwords::new().unwrap(),
        Notifiers::new(infra_watch::domain::egress::EgressRules::default(), None).unwrap(),
        Transports::new(TransportSettings::default()).unwrap(),
    ));
    let hosts: Vec<Host> = (1..=count).map(host).collect();
    let put = app.store.state.change(|change| {
        for host in &hosts {
            change.put(host.clone());
        }
        Ok::<_, infra_watch::store::kv::KvError>(())
    });
    runtime.block_on(put).unwrap();
    Fleet {
        app,
        clock,
        hosts,
        _directory: directory,
    }
}

fn host(number: u32) -> Host {
    Host {
        host_id: id::new(at(START)),
        number,
        install_id: None,
        given_name: Some(format!("web-{number}")),
        labels: [("role".to_owned(), "web".to_owned())].into(),
        facts: Facts::default(),
        agent_version: String::new(),
        interval_seconds: 30,
        snapshot_interval_seconds: 3600,
        enrolled_at: at(START),
        tokens: Vec::new(),
        snapshot: None,
        baseline: None,
        previous_boot_id: None,
        set_aside: Vec::new(),
        collection: None,
    }
}

fn columns(metrics: &[&str]) -> Columns {
    let keys = metrics.iter().map(|metric| SeriesKey {
        metric: (*metric).to_owned(),
        instance: None,
    });
    Columns::Named(keys.collect(), None)
}

fn rule(number: usize) -> AlertRule {
    AlertRule {
        rule_id: id::new(at(START)),
        name: format!("rule {number}"),
        severity: Severity::Warning,
        enabled: true,
        selector: Selector::default(),
        condition: Condition::Threshold(Threshold {
            metric: METRICS[number % 5].to_owned(),
            instance: None,
            operator: Operator::Gt,
            value: 90.0 - (number / 5) as f64 * 0.5,
        }),
        for_seconds: 300,
        clear_value: None,
        clear_for_seconds: 0,
        no_data: NoData::Keep,
        repeat_interval_seconds: None,
        channels: Vec::new(),
        is_default: false,
        created_by: String::new(),
        created_at: at(START),
        updated_at: at(START),
    }
}

impl Fleet {
    /// One sample of every series of every host.
    async fn tick(&self) {
        let now = self.clock.now().timestamp();
        let posts = self.hosts.iter().map(|host| Post {
            host: host.number,
            received_at: now,
            columns: columns(&METRICS),
            points: vec![Point {
                at: now,
                values: (0..METRICS.len())
                    .map(|metric| Some(value(host.number, now, metric)))
                    .collect(),
            }],
        });
        let mut waiting = tokio::task::JoinSet::new();
        for post in posts {
            let app = Arc::clone(&self.app);
            waiting.spawn(async move { app.store.series.append(post).await });
        }
        while let Some(done) = waiting.join_next().await {
            done.unwrap().unwrap();
        }
    }
}

/// Processor time of this process.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

fn evaluation(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let fleet = fleet(&runtime, HOSTS);
    let rules: Vec<AlertRule> = (0..RULES).map(rule).collect();
    runtime
        .block_on(fleet.app.store.state.change(|change| {
            rules.iter().for_each(|rule| change.put(rule.clone()));
            Ok::<_, infra_watch::store::kv::KvError>(())
        }))
        .unwrap();
    // Until what breaches fires, and no more begins.
    for _ in 0..15 {
        runtime.block_on(fleet.tick());
        runtime.block_on(evaluate(&fleet.app)).unwrap();
        fleet.clock.advance(INTERVAL_SECONDS);
    }
    let mut group = criterion.benchmark_group("alerts");
    group.sample_size(20);
    for (name, has_news) in [
        ("100 rules x 1000 hosts, a new sample of each", true),
        ("100 rules x 1000 hosts, nothing new", false),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|cycles| {
                let mut spent = Duration::ZERO;
                for _ in 0..cycles {
                    if has_news {
                        fleet.clock.advance(INTERVAL_SECONDS);
                        runtime.block_on(fleet.tick());
                    }
                    let before = processor_time();
                    runtime.block_on(evaluate(&fleet.app)).unwrap();
                    spent += processor_time() - before;
                }
                spent
            });
        });
    }
    group.finish();
    let figures = fleet.app.alerts.figures();
    println!(
        "{} watches take {} bytes, {:.0} each; {} alerts fire, {} are pending",
        figures.watches,
        figures.watch_bytes,
        figures.watch_bytes as f64 / figures.watches as f64,
        fleet.app.store.state.active_alerts.len(),
        fleet.app.alerts.view().pending.len(),
    );
}

fn previewing(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let fleet = fleet(&runtime, PREVIEW_HOSTS);
    runtime.block_on(async {
        for day in 0..PREVIEW_DAYS {
            for host in &fleet.hosts {
                let points = (0..86_400 / INTERVAL_SECONDS).map(|tick| {
                    let at = START + day * 86_400 + tick * INTERVAL_SECONDS;
                    Point {
                        at,
                        values: vec![Some(value(host.number, at, 0))],
                    }
                });
                let post = Post {
                    host: host.number,
                    received_at: START,
                    columns: columns(&METRICS[..1]),
                    points: points.collect(),
                };
                fleet.app.store.series.append(post).await.unwrap();
            }
            let now = START + (day + 1) * 86_400;
            fleet.app.store.series.seal(now, true).await.unwrap();
            fleet.app.store.series.repack(now, true).await.unwrap();
        }
    });
    fleet.clock.advance(PREVIEW_DAYS * 86_400);
    let now = fleet.clock.now();
    let mut group = criterion.benchmark_group("alerts");
    group.sample_size(10);
    group.bench_function("preview of 30 days of 100 hosts", |bencher| {
        bencher.iter(|| {
            let range = (Some(now - TimeDelta::days(PREVIEW_DAYS)), Some(now));
            let found = preview::run(&fleet.app, rule(5), range);
            runtime.block_on(found).unwrap().firing_count
        });
    });
    group.finish();
}

criterion_group!(benches, evaluation, previewing);
criterion_main!(benches);
