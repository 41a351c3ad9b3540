//! What months of configurations take on disk. `make torture` runs it for a hundred hosts.

#[path = "support/count.rs"]
mod count;
#[path = "support/fleet.rs"]
mod fleet;
mod support;

use infra_watch::domain::report::Report;
use infra_watch::domain::snapshot::{self, Snapshot};
use infra_watch::flows::ingest;
use infra_watch::store::kv::Table;
use support::Backend;
use uuid::Uuid;

/// Hosts in CI; `SNAPSHOT_HOSTS` asks for more.
const HOSTS: usize = 4;
/// Snapshots of each host, over thirty days.
const SNAPSHOTS: usize = 100;
/// Seconds from one to the next.
const SECONDS: i64 = 30 * 24 * 3600 / SNAPSHOTS as i64;
/// What a host with a hundred snapshots may take, in bytes: a hundred hosts are to stay within 3 MB.
const BYTES_OF_HOST: u64 = 28_000;
/// What hosts share.
const BYTES_OF_PATTERNS: u64 = 200_000;

#[tokio::test]
async fn ten_thousand_snapshots_of_a_hundred_hosts_stay_within_three_megabytes() {
    let count: usize = count::count("SNAPSHOT_HOSTS", HOSTS);
    let backend = Backend::start().await;
    let mut hosts = Vec::new();
    for number in 0..count {
        hosts.push(backend.enroll(&format!("host-{number}")).await);
    }
    let mut raw = 0;
    for step in 0..SNAPSHOTS {
        let images: Vec<_> = (0..fleet::IMAGES)
            .map(|image| fleet::packages(image, step))
            .collect();
        for (number, host) in hosts.iter().enumerate() {
            let packages = &images[number % fleet::IMAGES];
            let sections = fleet::with_packages(packages, number, step);
            raw += snapshot::canonical(&sections).len();
            let host = backend.app.store.state.hosts.get(host.host_id).unwrap();
            let report = Report {
                report_id: Uuid::nil(),
                sent_at: backend.now(),
                install_id: None,
                agent_version: host.agent_version.clone(),
                interval_seconds: 30,
                snapshot_interval_seconds: 3600,
                facts: None,
                series: Vec::new(),
                points: Vec::new(),
                snapshot_hash: Some(snapshot::hash(&sections)),
                snapshot: Some(Snapshot {
                    taken_at: backend.now(),
                    sections,
                    failed_sections: Vec::new(),
                }),
            };
            let ingested = ingest::ingest(&backend.app, &host, report).await.unwrap();
            assert_eq!(ingested.snapshot, ingest::SnapshotOutcome::Stored);
        }
        backend.clock.advance(SECONDS);
    }
    let stats = backend.app.store.kv.stats().await.unwrap();
    let of = |table: Table| {
        let found = stats.iter().find(|stats| stats.table == table).unwrap();
        println!(
            "{}: {} keys, {} bytes",
            table.name(),
            found.keys,
            found.stored_bytes
        );
        found.stored_bytes
    };
    let tables = [
        Table::Documents,
        Table::Snapshots,
        Table::ChangeSets,
        Table::Baselines,
    ];
    let bytes: u64 = tables.into_iter().map(of).sum();
    of(Table::Drift);
    println!(
        "{} snapshots: {raw} bytes of JSON are {bytes} bytes",
        SNAPSHOTS * count
    );
    assert!(
        bytes <= BYTES_OF_HOST * count as u64 + BYTES_OF_PATTERNS,
        "{bytes} bytes"
    );

    // And each of them is still what it was.
    for (number, host) in hosts.iter().enumerate().step_by(4) {
        let host = backend.app.store.state.hosts.get(host.host_id).unwrap();
        let kv = backend.app.store.kv.as_ref();
        let kept = infra_watch::store::snapshot::page(kv, host.number, None, 1000)
            .await
            .unwrap();
        assert_eq!(kept.len(), SNAPSHOTS);
        for (step, snapshot) in kept.iter().rev().enumerate().step_by(7) {
            let documents = &backend.app.store.documents;
            let document = documents
                .read(host.number, snapshot.document)
                .await
                .unwrap();
            assert_eq!(
                *document.content,
                snapshot::canonical(&fleet::configuration(number, step))
            );
        }
    }
}
