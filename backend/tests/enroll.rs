//! Agents: keys, tokens, hosts as admins change them, and what survives a restart.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use infra_watch::store::kv::{Direction, Table};
use infra_watch_client::types;
use support::{Backend, Host, START, report, status};
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

async fn enroll(backend: &Backend, key: &str, install_id: Uuid) -> Result<types::HostToken, u16> {
    let body = types::Enroll::builder()
        .install_id(install_id)
        .machine_id("m")
        .hostname("web-1")
        .agent_version("0.1.0");
    match backend
        .with_token(key)
        .enroll_agent()
        .body(body)
        .send()
        .await
    {
        Ok(enrolled) => Ok(enrolled.into_inner()),
        Err(error) => Err(status(error)),
    }
}

async fn key(
    backend: &Backend,
    body: types::builder::CreateEnrollmentKey,
) -> types::CreatedEnrollmentKey {
    backend
        .client("admin")
        .await
        .create_enrollment_key()
        .body(body)
        .send()
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn max_uses_holds_under_parallel_use() {
    let backend = Backend::start().await;
    let key = key(
        &backend,
        types::CreateEnrollmentKey::builder()
            .name("k")
            .max_uses(std::num::NonZeroU64::new(3)),
    )
    .await;
    let attempts = (0..20).map(|_| enroll(&backend, &key.key, Uuid::new_v4()));
    let outcomes = futures_util::future::join_all(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.as_ref().err().is_none_or(|status| *status == 401))
    );
}

#[tokio::test]
async fn keys_end_by_time_and_by_revocation_and_are_never_shown_again() {
    let backend = Backend::start().await;
    let admin = backend.client("admin").await;
    let end = backend.now() + chrono::TimeDelta::hours(1);
    let labels = serde_json::json!({ "name": "k", "expires_at": end, "labels": { "role": "web" } });
    let key = admin
        .create_enrollment_key()
        .body(serde_json::from_value::<types::CreateEnrollmentKey>(labels).unwrap());
    let key = key.send().await.unwrap().into_inner();
    let enrolled = enroll(&backend, &key.key, Uuid::new_v4()).await.unwrap();
    let host = admin
        .get_host()
        .host_id(enrolled.host_id)
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (host.status, host.health),
        (types::HostStatus::Pending, types::HostHealth::Grey)
    );
    assert_eq!(
        serde_json::to_value(&host.labels).unwrap(),
        serde_json::json!({ "role": "web" })
    );
    let listed = serde_json::to_string(
        &admin
            .list_enrollment_keys()
            .send()
            .await
            .unwrap()
            .into_inner(),
    )
    .unwrap();
    assert!(
        !listed.contains(&key.key) && listed.contains("\"uses\":1"),
        "{listed}"
    );
    backend.clock.advance(3600);
    assert_eq!(
        enroll(&backend, &key.key, Uuid::new_v4()).await.err(),
        Some(401)
    );
    let other = self::key(
        &backend,
        types::CreateEnrollmentKey::builder().name("other"),
    )
    .await;
    backend
        .client("admin")
        .await
        .delete_enrollment_key()
        .key_id(other.key_id)
        .send()
        .await
        .unwrap();
    assert_eq!(
        enroll(&backend, &other.key, Uuid::new_v4()).await.err(),
        Some(401)
    );
}

#[tokio::test]
async fn enrolling_again_is_the_same_host_with_a_new_token() {
    let backend = Backend::start().await;
    let key = key(
        &backend,
        types::CreateEnrollmentKey::builder()
            .name("k")
            .max_uses(std::num::NonZeroU64::new(1)),
    )
    .await;
    let install_id = Uuid::new_v4();
    let first = enroll(&backend, &key.key, install_id).await.unwrap();
    let second = enroll(&backend, &key.key, install_id).await.unwrap();
    assert_eq!(
        first.host_id, second.host_id,
        "and the key is not used up by it"
    );
    let old = backend
        .with_token(&first.token)
        .submit_report()
        .body(report(&[]))
        .send()
        .await;
    assert_eq!(status(old.unwrap_err()), 401);
    backend
        .with_token(&second.token)
        .submit_report()
        .body(report(&[]))
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn tokens_are_renewed_revoked_and_end_after_a_year() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let post = |token: String| {
        let agent = backend.with_token(&token);
        async move {
            agent
                .submit_report()
                .body(report(&[]))
                .send()
                .await
                .map_or_else(status, |_| 202)
        }
    };
    let renewed = host
        .agent
        .renew_agent_token()
        .send()
        .await
        .unwrap()
        .into_inner()
        .token;
    assert_eq!(
        post(host.token.clone()).await,
        202,
        "the answer may have been lost"
    );
    assert_eq!(post(renewed.clone()).await, 202);
    let third = backend
        .with_token(&renewed)
        .renew_agent_token()
        .send()
        .await
        .unwrap()
        .into_inner()
        .token;
    assert_eq!(post(host.token.clone()).await, 401, "two are enough");
    let admin = backend.client("admin").await;
    let issued = admin
        .issue_host_token()
        .host_id(host.host_id)
        .send()
        .await
        .unwrap()
        .into_inner()
        .token;
    assert_eq!(
        (
            post(renewed).await,
            post(third).await,
            post(issued.clone()).await
        ),
        (401, 401, 202)
    );
    backend.clock.advance(365 * 86_400 + 10);
    assert_eq!(post(issued).await, 401);
}

async fn points(backend: &Backend, host: &Host) -> Vec<i64> {
    let viewer = backend.client("viewer").await;
    let samples = viewer
        .get_samples()
        .host_id(host.host_id)
        .metric(vec!["cpu_usage_percent".to_owned()]);
    samples.send().await.unwrap().into_inner().timestamps
}

#[tokio::test]
async fn a_deleted_host_is_gone_with_everything() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    host.agent
        .submit_report()
        .body(report(&[(START, Some(1.0))]))
        .send()
        .await
        .unwrap();
    let admin = backend.client("admin").await;
    admin
        .delete_host()
        .host_id(host.host_id)
        .send()
        .await
        .unwrap();
    assert_eq!(
        status(
            admin
                .get_host()
                .host_id(host.host_id)
                .send()
                .await
                .unwrap_err()
        ),
        404
    );
    assert_eq!(
        status(
            host.agent
                .submit_report()
                .body(report(&[]))
                .send()
                .await
                .unwrap_err()
        ),
        401
    );
    assert_eq!(
        status(
            admin
                .delete_host()
                .host_id(host.host_id)
                .send()
                .await
                .unwrap_err()
        ),
        404
    );
    let left = |table| {
        let kv = &backend.app.store.kv;
        kv.scan(table, Vec::new()..vec![0xff; 65], 10, Direction::Forward)
    };
    for table in [Table::Hosts, Table::SeriesNames, Table::Snapshots] {
        assert!(left(table).await.unwrap().is_empty(), "{table:?}");
    }
    // Its number is not given again: a new host begins empty.
    let next = backend.enroll("web-1").await;
    assert!(points(&backend, &next).await.is_empty());
}

#[tokio::test]
async fn names_and_labels_are_changed_and_lists_filtered_and_paged() {
    let backend = Backend::start().await;
    let admin = backend.client("admin").await;
    let mut hosts = Vec::new();
    for name in ["delta", "Alpha", "charlie", "bravo"] {
        hosts.push(backend.enroll(name).await);
    }
    let patch = serde_json::json!({ "name": "echo", "labels": { "role": "db", "zone": "a" } });
    let patch: types::UpdateHost = serde_json::from_value(patch).unwrap();
    let echo = admin
        .update_host()
        .host_id(hosts[1].host_id)
        .body(patch)
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!(echo.name, "echo");
    let list = || admin.list_hosts();
    let names = |page: types::PageHost| {
        page.items
            .into_iter()
            .map(|host| host.name)
            .collect::<Vec<_>>()
    };
    let first = list().limit(3).send().await.unwrap().into_inner();
    let cursor = first.next_cursor.clone().unwrap();
    assert_eq!(names(first), ["bravo", "charlie", "delta"]);
    let second = list()
        .limit(3)
        .cursor(cursor)
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!(second.next_cursor, None);
    assert_eq!(names(second), ["echo"]);
    let labels = list().label(vec!["role=db".to_owned(), "zone=a".to_owned()]);
    assert_eq!(names(labels.send().await.unwrap().into_inner()), ["echo"]);
    assert_eq!(
        names(list().q("ALPH").send().await.unwrap().into_inner()),
        ["echo"],
        "by its hostname"
    );
    assert!(
        names(
            list()
                .status(types::HostStatus::Up)
                .send()
                .await
                .unwrap()
                .into_inner()
        )
        .is_empty()
    );
    let pending = list()
        .status(types::HostStatus::Pending)
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!(names(pending).len(), 4);
    assert_eq!(
        status(
            list()
                .label(vec!["role".to_owned()])
                .send()
                .await
                .unwrap_err()
        ),
        422
    );
    assert_eq!(status(list().cursor("?").send().await.unwrap_err()), 422);
    let back: types::UpdateHost =
        serde_json::from_value(serde_json::json!({ "name": "" })).unwrap();
    let back = admin
        .update_host()
        .host_id(hosts[1].host_id)
        .body(back)
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!(back.name, "Alpha");
}

async fn restarted(directory: &Path, backend: Backend) -> Backend {
    backend.stop().await;
    Backend::start_in(directory).await
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::start_in(directory.path()).await;
    let host = backend.enroll("web-1").await;
    let gone = backend.enroll("gone").await;
    for host in [&host, &gone] {
        host.agent
            .submit_report()
            .body(report(&[(START - 30, Some(1.5)), (START, Some(2.5))]))
            .send()
            .await
            .unwrap();
    }
    let admin = backend.client("admin").await;
    admin
        .delete_host()
        .host_id(gone.host_id)
        .send()
        .await
        .unwrap();
    let session = backend.token("viewer").await;

    let backend = restarted(directory.path(), backend).await;
    assert_eq!(points(&backend, &host).await, [START - 30, START]);
    backend.with_token(&session).get_me().send().await.unwrap();
    let seen = backend
        .with_token(&session)
        .get_host()
        .host_id(host.host_id)
        .send()
        .await
        .unwrap()
        .into_inner();
    assert_eq!(seen.last_seen_at.map(|at| at.timestamp()), Some(START));
    assert_eq!(seen.cpu_usage_percent, Some(2.5));
    // The token from before still works, and what was kept counts as a duplicate.
    let agent = backend.with_token(&host.token);
    let outcome = agent
        .submit_report()
        .body(report(&[(START, Some(9.0)), (START + 30, Some(3.5))]))
        .send()
        .await
        .unwrap();
    assert_eq!((outcome.accepted, outcome.duplicates), (1, 1));
    let mut hosts = backend
        .client("admin")
        .await
        .list_hosts()
        .send()
        .await
        .unwrap()
        .into_inner()
        .items;
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts.remove(0).host_id, host.host_id);
}

#[tokio::test]
async fn snapshots_are_kept_when_new_and_asked_for_when_missing() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let sections =
        serde_json::json!({ "os": { "kernel": "6.1" }, "environment": { "PATH": "/usr/bin" } });
    let hash =
        infra_watch::domain::snapshot::hash(&serde_json::from_value(sections.clone()).unwrap());
    let with = |hash: Option<&str>, sections: Option<&serde_json::Value>| {
        let mut body = serde_json::to_value(report(&[])).unwrap();
        body["snapshot_hash"] = serde_json::json!(hash);
        if let Some(sections) = sections {
            body["snapshot"] =
                serde_json::json!({ "taken_at": "2027-01-15T08:00:00Z", "sections": sections });
        }
        let body: types::Report = serde_json::from_value(body).unwrap();
        host.agent.submit_report().body(body).send()
    };
    assert_eq!(
        with(Some(&hash), None).await.unwrap().snapshot,
        types::SnapshotOutcome::Wanted
    );
    assert_eq!(
        with(Some(&hash), Some(&sections)).await.unwrap().snapshot,
        types::SnapshotOutcome::Stored
    );
    assert_eq!(
        with(Some(&hash), None).await.unwrap().snapshot,
        types::SnapshotOutcome::Unchanged
    );
    let mut other = sections.clone();
    other["os"]["kernel"] = serde_json::json!("6.2");
    assert_eq!(
        with(None, Some(&other)).await.unwrap().snapshot,
        types::SnapshotOutcome::Stored,
        "a hash may be left out: it is computed here"
    );
    assert_eq!(
        with(None, None).await.unwrap().snapshot,
        types::SnapshotOutcome::None
    );
    assert_eq!(
        status(
            with(Some(&"0".repeat(64)), Some(&sections))
                .await
                .unwrap_err()
        ),
        422
    );
    // A stale snapshot makes the host yellow: two snapshot intervals and ten minutes.
    backend.clock.advance(2 * 3600 + 600);
    host.agent
        .submit_report()
        .body(report(&[]))
        .send()
        .await
        .unwrap();
    let health = |viewer: infra_watch_client::Client| async move {
        viewer
            .get_host()
            .host_id(host.host_id)
            .send()
            .await
            .unwrap()
            .into_inner()
            .health
    };
    assert_eq!(
        health(backend.client("viewer").await).await,
        types::HostHealth::Green
    );
    backend.clock.advance(1);
    assert_eq!(
        health(backend.client("viewer").await).await,
        types::HostHealth::Yellow
    );
}

#[tokio::test]
async fn memory_and_disk_agree_when_peers_go_away_before_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::start_in(directory.path()).await;
    let key = key(&backend, types::CreateEnrollmentKey::builder().name("k")).await;
    for number in 0..50 {
        let body = serde_json::json!({
            "install_id": Uuid::new_v4(), "machine_id": "m", "hostname": format!("h{number}"), "agent_version": "1",
        })
        .to_string();
        let request = format!(
            "POST /api/v1/agent/enroll HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            key.key,
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(backend.address)
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // Let some of them get on before they are left alone.
        for _ in 0..number {
            tokio::task::yield_now().await;
        }
        drop(stream);
    }
    // One that waits for its answer shows that the backend got so far.
    enroll(&backend, &key.key, Uuid::new_v4()).await.unwrap();
    let seen = |app: &infra_watch::app::App| {
        let hosts = app.store.state.hosts.all();
        let numbers: HashSet<u32> = hosts.iter().map(|host| host.number).collect();
        assert_eq!(numbers.len(), hosts.len(), "a number was given twice");
        let uses = app
            .store
            .state
            .enrollment_keys
            .get(key.key_id)
            .unwrap()
            .uses;
        assert_eq!(hosts.len(), uses as usize);
        hosts
            .iter()
            .map(|host| (host.host_id, host.number))
            .collect::<Vec<_>>()
    };
    let app = Arc::clone(&backend.app);
    backend.stop().await;
    let in_memory = seen(&app);
    drop(app);
    let again = Backend::start_in(directory.path()).await;
    assert_eq!(seen(&again.app), in_memory);
}
