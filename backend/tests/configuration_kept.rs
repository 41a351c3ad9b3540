//! How long configurations are kept, what a deleted host leaves, and stores of older builds.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/configuration.rs"]
mod configuration;
mod support;

use configuration::{call, debian, get, retention, send, snapshot_report, upgraded, with};
use infra_watch::domain::snapshot;
use infra_watch::store::kv::{Batch, Class, Direction, Table};
use infra_watch::store::migration;
use infra_watch_client::types;
use serde_json::{Value, json};
use support::{Backend, Host};
use uuid::Uuid;

#[tokio::test]
async fn what_is_old_goes_and_what_is_referred_to_stays() {
    let backend = Backend::start().await;
    let mut host = backend.enroll("web-1").await;
    let path = |rest: &str| format!("/hosts/{}/{rest}", host.host_id);
    let versioned = |number: u32| {
        with(
            debian(),
            &json!({ "packages": { "dpkg/openssl:amd64": format!("3.0.{number}") } }),
        )
    };
    for number in 0..40 {
        if number == 20 {
            // A token lasts a year.
            let renewed = host.agent.renew_agent_token().send().await.unwrap();
            host.agent = backend.with_token(&renewed.token);
        }
        send(&backend, &host, &versioned(number)).await;
        backend.clock.advance(10 * 86_400);
    }
    let before = get(&backend, &path("snapshots")).await;
    assert_eq!(before["items"].as_array().unwrap().len(), 40);
    let documents = || async {
        let stats = backend.app.store.kv.stats().await.unwrap();
        let table = Table::Documents;
        stats
            .iter()
            .find(|stats| stats.table == table)
            .unwrap()
            .keys
    };
    assert_eq!(documents().await, 41, "forty documents and a pattern");
    retention(&backend).await;
    // 400 days less 365: four are older, and the last of them was in force when the year began.
    let after = get(&backend, &path("snapshots")).await;
    let after = after["items"].as_array().unwrap();
    assert_eq!(after.len(), 37);
    assert_eq!(after[36]["has_changes"], false);
    let changes = get(&backend, &path("changes")).await;
    let changes = changes["items"].as_array().unwrap();
    assert_eq!(changes.len(), 36);
    let referred: Vec<&Value> = after
        .iter()
        .map(|snapshot| &snapshot["snapshot_id"])
        .collect();
    assert!(
        changes
            .iter()
            .all(|set| referred.contains(&&set["from_snapshot_id"]))
    );
    let baseline = get(&backend, &path("snapshots/baseline")).await;
    assert_eq!(baseline["sections"], versioned(0));
    for (place, snapshot) in after.iter().enumerate() {
        let id = snapshot["snapshot_id"].as_str().unwrap();
        let found = get(&backend, &path(&format!("snapshots/{id}"))).await;
        assert_eq!(
            found["sections"],
            versioned(39 - u32::try_from(place).unwrap())
        );
    }

    // Much later only what is in force is left, the baseline, and what both are kept against.
    backend.clock.advance(1000 * 86_400);
    retention(&backend).await;
    let after = get(&backend, &path("snapshots")).await;
    assert_eq!(after["items"].as_array().unwrap().len(), 1);
    assert!(documents().await < 20, "{}", documents().await);
    let latest = get(&backend, &path("snapshots/latest")).await;
    assert_eq!(latest["sections"], versioned(39));
    let drift = get(&backend, &path("drift")).await;
    assert_eq!(drift["items"].as_array().unwrap().len(), 1);
}

async fn keys_of(backend: &Backend, table: Table) -> Vec<Vec<u8>> {
    let kv = &backend.app.store.kv;
    let range = Vec::new()..vec![0xff; 65];
    let found = kv.scan(table, range, 1000, Direction::Forward).await;
    found.unwrap().into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn a_deleted_host_leaves_nothing() {
    let backend = Backend::start().await;
    let (host, other) = (backend.enroll("web-1").await, backend.enroll("web-2").await);
    for host in [&host, &other] {
        send(&backend, host, &debian()).await;
        send(&backend, host, &upgraded()).await;
    }
    let before = get(&backend, &format!("/hosts/{}/changes", other.host_id)).await;
    for host in [&host, &other] {
        let tables = [
            Table::Snapshots,
            Table::Documents,
            Table::ChangeSets,
            Table::Baselines,
            Table::Drift,
        ];
        for table in tables {
            assert!(!keys_of(&backend, table).await.is_empty(), "{table:?}");
        }
        assert_eq!(
            get(&backend, &format!("/hosts/{}/changes", other.host_id)).await,
            before
        );
        let path = format!("/hosts/{}", host.host_id);
        assert_eq!(
            call(&backend, reqwest::Method::DELETE, &path, None).await.0,
            204
        );
    }
    for table in [
        Table::Snapshots,
        Table::ChangeSets,
        Table::Baselines,
        Table::Drift,
    ] {
        assert!(keys_of(&backend, table).await.is_empty(), "{table:?}");
    }
    // What hosts shared goes once two nights have seen that nothing needs it.
    assert_eq!(keys_of(&backend, Table::Documents).await.len(), 1);
    retention(&backend).await;
    retention(&backend).await;
    assert!(keys_of(&backend, Table::Documents).await.is_empty());
    assert_eq!(get(&backend, "/changes").await["items"], json!([]));
    assert_eq!(get(&backend, "/inventory").await["items"], json!([]));
}

#[tokio::test]
async fn a_store_without_configurations_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::start_in(directory.path()).await;
    let host = backend.enroll("web-1").await;
    let kv = &backend.app.store.kv;
    let key = host.host_id.as_bytes().to_vec();
    let record = kv.get_many(Table::Hosts, vec![key.clone()]).await.unwrap();
    let mut record: Value = serde_json::from_slice(&record[0].clone().unwrap()[2..]).unwrap();
    let fields = record.as_object_mut().unwrap();
    for new in ["baseline", "previous_boot_id", "set_aside"] {
        fields.remove(new).unwrap();
    }
    let hash = snapshot::hash(&serde_json::from_value(debian()).unwrap());
    let at = backend.now();
    record["snapshot"] =
        json!({ "snapshot_id": Uuid::now_v7(), "hash": hash, "taken_at": at, "confirmed_at": at });
    let mut batch = Batch::new(Class::State);
    let old = [
        &1_u16.to_be_bytes()[..],
        &serde_json::to_vec(&record).unwrap(),
    ]
    .concat();
    batch.put(Table::Hosts, key, old.into());
    batch.put(Table::Snapshots, vec![0, 0, 0, 1, 7], vec![1, 2, 3].into());
    let format = migration::FORMAT_KEY.to_vec();
    batch.put(Table::Meta, format, 2_u32.to_be_bytes().to_vec().into());
    kv.write(batch).await.unwrap();
    backend.stop().await;

    let backend = Backend::start_in(directory.path()).await;
    assert_eq!(
        keys_of(&backend, Table::Snapshots).await,
        Vec::<Vec<u8>>::new()
    );
    let agent = backend.with_token(&host.token);
    let mut body = snapshot_report(backend.now(), &debian(), &[]);
    body.as_object_mut().unwrap().remove("snapshot");
    let body: types::Report = serde_json::from_value(body).unwrap();
    let outcome = agent.submit_report().body(body).send().await.unwrap();
    assert_eq!(outcome.snapshot, types::SnapshotOutcome::Wanted);
    let host = Host { agent, ..host };
    assert_eq!(
        send(&backend, &host, &debian()).await,
        types::SnapshotOutcome::Stored
    );
}
