//! What configurations cost: comparing two, keeping one, and questions over a fleet.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "../tests/support/fleet.rs"]
mod fleet;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use infra_watch::domain::change::{self, is_meant};
use infra_watch::domain::compare;
use infra_watch::domain::snapshot::{Sections, canonical, hash};
use infra_watch::domain::version::{self, Scheme};
use infra_watch::store::document::Documents;
use infra_watch::store::inventory::{Inventory, Query};
use infra_watch::store::kv::{Batch, Class, Kv as _};
use infra_watch::store::redb::RedbKv;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Hosts that are searched.
const HOSTS: usize = 1_000;
/// Steps between the two sides of a difference: a month of upgrades.
const STEPS: usize = 30;

/// Two configurations of 3,000 packages, a month apart.
fn sides() -> (Sections, Sections) {
    let mut sides = (fleet::configuration(0, 0), fleet::configuration(0, STEPS));
    for (number, side) in [&mut sides.0, &mut sides.1].into_iter().enumerate() {
        let packages = side.get_mut("packages").unwrap();
        for extra in packages.len()..3_000 {
            packages.insert(
                format!("dpkg/extra-{extra}:all"),
                format!("1.{}", number / 2),
            );
        }
    }
    sides
}

fn differences(criterion: &mut Criterion) {
    let (left, right) = sides();
    assert_eq!(left["packages"].len(), 3_000);
    let mut group = criterion.benchmark_group("configuration");
    group.bench_function("diff of 3000 packages", |bencher| {
        bencher.iter(|| change::diff(black_box(&left), black_box(&right)));
    });
    group.bench_function("unified diff of 3000 packages", |bencher| {
        bencher.iter(|| compare::unified(("a", "b"), black_box(&left), black_box(&right)));
    });
    group.bench_function("canonical form and hash", |bencher| {
        bencher.iter(|| hash(black_box(&left)));
    });
    let versions = ("1:3.0.14-1~deb12u2", "1:3.0.14-1~deb12u10");
    group.bench_function("version order, dpkg", |bencher| {
        bencher
            .iter(|| version::compare(Scheme::Dpkg, black_box(versions.0), black_box(versions.1)));
    });
    group.finish();
}

fn documents(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let kv = Arc::new(RedbKv::open(directory.path()).unwrap());
    let documents = Arc::new(runtime.block_on(Documents::open(kv.clone())).unwrap());
    let mut last = None;
    runtime.block_on(async {
        for step in 0..=STEPS {
            let content = Arc::new(canonical(&fleet::configuration(0, step)));
            let new = documents
                .prepare(1, content.clone(), content, last.take())
                .await;
            let new = new.unwrap().unwrap();
            let id = new.id;
            let mut batch = Batch::new(Class::State);
            new.put(&mut batch);
            kv.write(batch).await.unwrap();
            last = Some(documents.read(1, id).await.unwrap());
        }
    });
    let last = last.unwrap();
    let next = Arc::new(canonical(&fleet::configuration(0, STEPS + 1)));
    let mut group = criterion.benchmark_group("document");
    group.bench_function("read at the end of a chain", |bencher| {
        bencher.iter(|| runtime.block_on(documents.read(1, last.id)).unwrap());
    });
    group.bench_function("prepare the next", |bencher| {
        bencher.iter_batched(
            || (next.clone(), last.clone()),
            |(next, last)| {
                let prepared = documents.prepare(1, next, Arc::default(), Some(last));
                runtime.block_on(prepared).unwrap()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn inventory(criterion: &mut Criterion) {
    let inventory = Inventory::default();
    let hosts: Vec<Uuid> = (0..HOSTS as u128).map(Uuid::from_u128).collect();
    for (number, host) in hosts.iter().enumerate() {
        inventory.set(*host, &fleet::configuration(number, number % STEPS));
    }
    let mut group = criterion.benchmark_group("inventory of 1000 hosts");
    let search = |wanted: &'static str, below: Option<&'static str>| {
        let query = Query {
            section: "packages",
            key: &|key| is_meant("packages", key, wanted),
            value: &|_, found| {
                below.is_none_or(|below| version::compare(Scheme::Dpkg, found, below).is_lt())
            },
        };
        inventory.search(&hosts, &query, None, 1_001)
    };
    assert!(!search("libssl-9*", Some("5")).is_empty());
    group.bench_function("a name, below a version", |bencher| {
        bencher.iter(|| search(black_box("libarchive-0"), Some("999")));
    });
    group.bench_function("a pattern that few fit, below a version", |bencher| {
        bencher.iter(|| search(black_box("*ssl-9*"), Some("5")));
    });
    group.bench_function("a name that nobody has", |bencher| {
        bencher.iter(|| search(black_box("absent"), None));
    });
    group.bench_function("the majority, and how each differs", |bencher| {
        bencher.iter(|| {
            let reference = inventory.majority(&hosts);
            let differing = hosts
                .iter()
                .filter_map(|host| inventory.differences(&reference, *host));
            differing.map(|items| items.len()).sum::<usize>()
        });
    });
    let sections = fleet::configuration(1, 0);
    group.bench_function("set what a host has", |bencher| {
        bencher.iter(|| inventory.set(hosts[1], &sections));
    });
    group.finish();
    let (items, held) = inventory.size();
    println!("{items} items of the fleet, {held} held by hosts");
}

criterion_group!(benches, differences, documents, inventory);
criterion_main!(benches);
