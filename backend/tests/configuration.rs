//! Configurations through the API: snapshots, changes, drift, approvals, rules, comparisons, inventory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use chrono::{DateTime, TimeDelta, Utc};
use infra_watch::domain::snapshot;
use infra_watch::store::kv::{Batch, Class, Direction, Table};
use infra_watch::store::migration;
use infra_watch_client::types;
use serde_json::{Value, json};
use support::{Backend, Host, START, facts, report, status};
use uuid::Uuid;

/// Two packages, a system and an environment.
fn debian() -> Value {
    json!({
        "packages": { "dpkg/bash:amd64": "5.2.15-2+b7", "dpkg/openssl:amd64": "3.0.13-1~deb12u1" },
        "os": { "id": "debian", "kernel": "6.1.0-28-amd64", "reboot_required": "false", "pending_upgrades": "3" },
        "environment": { "PATH": "/usr/bin", "DB_PASSWORD": "hmac:4f09c1" },
    })
}

/// `sections` with other values; `null` takes an item or a whole section away.
fn with(mut sections: Value, changes: &Value) -> Value {
    for (section, items) in changes.as_object().unwrap() {
        let Some(items) = items.as_object() else {
            sections.as_object_mut().unwrap().remove(section);
            continue;
        };
        for (key, value) in items {
            if value.is_null() {
                sections[section].as_object_mut().unwrap().remove(key);
            } else {
                sections[section][key] = value.clone();
            }
        }
    }
    sections
}

fn snapshot_report(at: DateTime<Utc>, sections: &Value, failed: &[&str]) -> Value {
    let failed: Vec<Value> = failed
        .iter()
        .map(|section| json!({ "section": section, "error": "the database is locked" }))
        .collect();
    let hash = snapshot::hash(&serde_json::from_value(sections.clone()).unwrap());
    let mut body = serde_json::to_value(report(&[(at.timestamp(), Some(1.0))])).unwrap();
    body["snapshot_hash"] = json!(hash);
    body["snapshot"] = json!({ "taken_at": at, "sections": sections, "failed_sections": failed });
    body
}

/// Sends a snapshot taken now, and lets a minute pass.
async fn send(backend: &Backend, host: &Host, sections: &Value) -> types::SnapshotOutcome {
    send_failing(backend, host, sections, &[]).await
}

async fn send_failing(
    backend: &Backend,
    host: &Host,
    sections: &Value,
    failed: &[&str],
) -> types::SnapshotOutcome {
    let body = snapshot_report(backend.now(), sections, failed);
    let body: types::Report = serde_json::from_value(body).unwrap();
    let outcome = host.agent.submit_report().body(body).send().await.unwrap();
    backend.clock.advance(60);
    outcome.snapshot
}

/// An answer of the API as JSON.
async fn get(backend: &Backend, path: &str) -> Value {
    let (status, body) = try_get(backend, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn try_get(backend: &Backend, path: &str) -> (u16, Value) {
    call(backend, reqwest::Method::GET, path, None).await
}

async fn post(backend: &Backend, path: &str, body: Value) -> (u16, Value) {
    call(backend, reqwest::Method::POST, path, Some(body)).await
}

async fn call(
    backend: &Backend,
    method: reqwest::Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let token = backend.token("admin").await;
    let url = backend.url(&format!("/api/v1{path}"));
    let mut request = reqwest::Client::new()
        .request(method, url)
        .bearer_auth(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

/// Items as lines: kind, section/key, before, after, direction, disposition.
fn lines(items: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let items = items.as_array().unwrap();
    items
        .iter()
        .map(|item| {
            let (before, after) = if item.get("baseline").is_some() {
                (&item["baseline"], &item["current"])
            } else {
                (&item["before"], &item["after"])
            };
            format!(
                "{} {}/{} {} {} {} {}",
                text(&item["kind"]),
                text(&item["section"]),
                text(&item["key"]),
                text(before),
                text(after),
                text(&item["direction"]),
                text(&item["disposition"]),
            )
        })
        .collect()
}

const OPENSSL_UP: &str =
    "changed packages/dpkg/openssl:amd64 3.0.13-1~deb12u1 3.0.14-1~deb12u2 upgrade drift";

fn upgraded() -> Value {
    with(
        debian(),
        &json!({ "packages": { "dpkg/openssl:amd64": "3.0.14-1~deb12u2" } }),
    )
}

#[tokio::test]
async fn a_snapshot_becomes_a_change_and_drift_until_it_is_undone() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let path = |rest: &str| format!("/hosts/{}/{rest}", host.host_id);

    // Nothing is known: that is not the same as no drift.
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["state"], "unknown");
    assert_eq!(try_get(&backend, &path("snapshots/latest")).await.0, 404);
    assert_eq!(try_get(&backend, &path("snapshots/baseline")).await.0, 404);

    // The first one is silent and is the baseline.
    let stored = types::SnapshotOutcome::Stored;
    assert_eq!(send(&backend, &host, &debian()).await, stored);
    let unchanged = types::SnapshotOutcome::Unchanged;
    assert_eq!(send(&backend, &host, &debian()).await, unchanged);
    assert_eq!(get(&backend, &path("changes")).await["items"], json!([]));
    let baseline = get(&backend, &path("snapshots/baseline")).await;
    assert_eq!(baseline["sections"], debian());
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["state"], "at_baseline");

    // What is never compared changes nothing, but is kept.
    let moved = with(debian(), &json!({ "os": { "pending_upgrades": "4" } }));
    assert_eq!(send(&backend, &host, &moved).await, stored);
    assert_eq!(get(&backend, &path("changes")).await["items"], json!([]));

    let upgraded = with(
        upgraded(),
        &json!({ "os": { "kernel": "6.1.0-31-amd64", "reboot_required": "true" } }),
    );
    let upgraded_at = backend.now();
    send(&backend, &host, &upgraded).await;
    let changes = get(&backend, &path("changes")).await;
    let set = &changes["items"][0];
    assert_eq!(
        lines(&set["items"]),
        [
            "changed os/kernel 6.1.0-28-amd64 6.1.0-31-amd64 - drift",
            "changed os/reboot_required false true - drift",
            OPENSSL_UP,
        ]
    );
    assert_eq!(
        set["summary"],
        "openssl 3.0.13-1~deb12u1 → 3.0.14-1~deb12u2 upgraded, kernel 6.1.0-28-amd64 → 6.1.0-31-amd64, reboot required"
    );
    let snapshots = get(&backend, &path("snapshots")).await;
    assert_eq!(set["to_snapshot_id"], snapshots["items"][0]["snapshot_id"]);
    assert_eq!(
        set["from_snapshot_id"],
        snapshots["items"][1]["snapshot_id"]
    );

    let drift = get(&backend, &path("drift")).await;
    assert_eq!(lines(&drift["items"]), lines(&set["items"]));
    let since: DateTime<Utc> = drift["items"][0]["since"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(since, upgraded_at);
    let states = get(&backend, "/drift/hosts?state=drifted").await;
    assert_eq!(states["items"][0]["drifted"], 3);

    // The state at any time is still there.
    let at = (upgraded_at - TimeDelta::seconds(1)).timestamp();
    let before = get(&backend, &path(&format!("snapshots/latest?at={at}"))).await;
    assert_eq!(before["sections"], moved);
    let listed = get(&backend, &path(&format!("snapshots?at={at}"))).await;
    assert_eq!(listed["items"][0]["snapshot_id"], before["snapshot_id"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let first = get(&backend, &path("snapshots?limit=1")).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = get(
        &backend,
        &path(&format!("snapshots?limit=1&cursor={cursor}")),
    )
    .await;
    assert_eq!(second["items"][0], snapshots["items"][1]);

    // Back at the baseline.
    send(&backend, &host, &debian()).await;
    assert_eq!(get(&backend, &path("drift")).await["items"], json!([]));
    let changes = get(&backend, &path("changes")).await;
    assert_eq!(changes["items"].as_array().unwrap().len(), 2);
    assert_eq!(changes["items"][0]["items"][2]["direction"], "downgrade");
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["state"], "at_baseline");

    // All of it survives a restart; nothing is lost of what an agent did while nobody listened.
    let metrics = reqwest::Client::new()
        .get(backend.url("/metrics"))
        .bearer_auth(backend.token("viewer").await);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("infra_watch_snapshots_stored_total 4"),
        "{metrics}"
    );
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::start_in(directory.path()).await;
    let host = backend.enroll("web-1").await;
    send(&backend, &host, &debian()).await;
    send(&backend, &host, &upgraded()).await;
    let paths = [
        format!("/hosts/{}/snapshots/latest", host.host_id),
        format!("/hosts/{}/snapshots/baseline", host.host_id),
        format!("/hosts/{}/changes", host.host_id),
        format!("/hosts/{}/drift", host.host_id),
        format!("/hosts/{}/baselines", host.host_id),
        "/inventory?key=openssl".to_owned(),
    ];
    let mut before = Vec::new();
    for path in &paths {
        before.push(get(&backend, path).await);
    }
    backend.stop().await;
    let backend = Backend::start_in(directory.path()).await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(get(&backend, path).await, before, "{path}");
    }
}

#[tokio::test]
async fn approvals_move_the_baseline_and_have_a_history() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let path = |rest: &str| format!("/hosts/{}/{rest}", host.host_id);
    send(&backend, &host, &debian()).await;
    let drifted = with(
        upgraded(),
        &json!({ "packages": { "dpkg/vim:amd64": "9.0" }, "environment": { "PATH": null } }),
    );
    send(&backend, &host, &drifted).await;
    let drift = get(&backend, &path("drift")).await;
    assert_eq!(drift["items"].as_array().unwrap().len(), 3);
    let vim_since = drift["items"][2]["since"].clone();

    let openssl = json!({ "section": "packages", "key": "dpkg/openssl:amd64" });
    for (body, field) in [
        (json!({ "items": [], "reason": "r" }), "items"),
        (json!({ "items": [openssl], "reason": "" }), "reason"),
        (json!({ "items": [openssl] }), "reason"),
        (
            json!({ "items": [openssl], "reason": "r", "by": "me" }),
            "by",
        ),
    ] {
        let (status, problem) = post(&backend, &path("drift/approve"), body.clone()).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let unknown = format!("/hosts/{}/drift/approve", Uuid::now_v7());
    assert_eq!(
        post(&backend, &unknown, json!({ "reason": "r" })).await.0,
        404
    );

    let body = json!({ "items": [openssl, { "section": "packages", "key": "no" }], "reason": "CVE-2024-1" });
    let (status, approval) = post(&backend, &path("drift/approve"), body).await;
    assert_eq!((status, approval), (200, json!({ "hosts": 1, "items": 1 })));
    let drift = get(&backend, &path("drift")).await;
    assert_eq!(drift["items"].as_array().unwrap().len(), 2);
    assert_eq!(drift["items"][1]["since"], vim_since);
    let history = get(&backend, &path("baselines")).await;
    let history = history["items"].as_array().unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[0]["by"], "admin");
    assert_eq!(history[0]["reason"], "CVE-2024-1");
    assert_eq!(lines(&history[0]["items"]), [OPENSSL_UP]);
    assert_eq!(history[1]["reason"], "the first snapshot");

    // The same again finds nothing to do, and a baseline of the past can still be looked at.
    let body = json!({ "items": [openssl], "reason": "again" });
    let (_, approval) = post(&backend, &path("drift/approve"), body).await;
    assert_eq!(approval, json!({ "hosts": 0, "items": 0 }));
    let baseline = get(&backend, &path("snapshots/baseline")).await;
    assert_eq!(baseline["sections"], upgraded());
    let first = history[1]["baseline_id"].as_str().unwrap();
    let first = get(&backend, &path(&format!("snapshots/{first}"))).await;
    assert_eq!(first["sections"], debian());

    let (_, approval) = post(&backend, &path("drift/approve"), json!({ "reason": "all" })).await;
    assert_eq!(approval, json!({ "hosts": 1, "items": 2 }));
    assert_eq!(get(&backend, &path("drift")).await["items"], json!([]));
    let audit = get(&backend, "/audit").await;
    let mut actions = audit["items"].as_array().unwrap().iter();
    assert!(actions.any(|entry| entry["action"] == "drift.approve"));
}

#[tokio::test]
async fn a_fleet_is_approved_by_selector() {
    let backend = Backend::start().await;
    let mut hosts = Vec::new();
    for name in ["web-1", "web-2", "db-1"] {
        let host = backend.enroll(name).await;
        let (role, _) = name.split_once('-').unwrap();
        let labels = json!({ "labels": { "role": role } });
        let path = format!("/hosts/{}", host.host_id);
        call(&backend, reqwest::Method::PATCH, &path, Some(labels)).await;
        send(&backend, &host, &debian()).await;
        send(&backend, &host, &upgraded()).await;
        hosts.push(host);
    }
    let drift = get(&backend, "/drift").await;
    let names: Vec<&Value> = drift["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["host_name"])
        .collect();
    assert_eq!(names, ["db-1", "web-1", "web-2"]);
    let first = get(&backend, "/drift?limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = get(&backend, &format!("/drift?limit=2&cursor={cursor}")).await;
    assert_eq!(rest["items"][0], drift["items"][2]);
    assert_eq!(rest["next_cursor"], Value::Null);
    let web = get(&backend, "/drift?label=role=web&key=openssl").await;
    assert_eq!(web["items"].as_array().unwrap().len(), 2);
    assert_eq!(get(&backend, "/drift?key=bash").await["items"], json!([]));

    let refused = json!({ "selector": { "host_ids": [] }, "reason": "r" });
    let (status, problem) = post(&backend, "/drift/approve", refused).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("selector.host_ids"))
    );
    let body = json!({ "selector": { "labels": { "role": "web" } }, "reason": "planned" });
    let (_, approval) = post(&backend, "/drift/approve", body).await;
    assert_eq!(approval, json!({ "hosts": 2, "items": 2 }));
    let drift = get(&backend, "/drift").await;
    assert_eq!(drift["items"].as_array().unwrap().len(), 1);
    let one = json!({ "selector": { "host_ids": [hosts[2].host_id] }, "reason": "too" });
    let (_, approval) = post(&backend, "/drift/approve", one).await;
    assert_eq!(approval, json!({ "hosts": 1, "items": 1 }));
}

#[tokio::test]
async fn a_section_that_cannot_be_read_stays_and_grows_old() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let path = |rest: &str| format!("/hosts/{}/{rest}", host.host_id);
    send(&backend, &host, &debian()).await;
    let failing = with(debian(), &json!({ "packages": null }));
    let stored = types::SnapshotOutcome::Stored;
    assert_eq!(
        send_failing(&backend, &host, &failing, &["packages"]).await,
        stored
    );
    assert_eq!(get(&backend, &path("changes")).await["items"], json!([]));
    assert_eq!(get(&backend, &path("drift")).await["items"], json!([]));
    let latest = get(&backend, &path("snapshots/latest")).await;
    assert_eq!(latest["sections"], debian());
    let stale = &latest["freshness"][2];
    assert_eq!(
        (&stale["section"], &stale["is_stale"]),
        (&json!("packages"), &json!(true))
    );
    assert_eq!(stale["error"], "the database is locked");
    let read_at: DateTime<Utc> = stale["as_of"].as_str().unwrap().parse().unwrap();
    assert_eq!(read_at.timestamp(), START);

    // While it is fresh enough, all is well; then the host needs a look, and drift cannot be told.
    let hosts = get(&backend, "/hosts").await;
    assert_eq!(hosts["items"][0]["health"], "green");
    for _ in 0..3 {
        backend.clock.advance(3600);
        send_failing(&backend, &host, &failing, &["packages"]).await;
    }
    let hosts = get(&backend, "/hosts").await;
    assert_eq!(hosts["items"][0]["stale_sections"], json!(["packages"]));
    assert_eq!(hosts["items"][0]["health"], "yellow");
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["state"], "unknown");
    assert_eq!(states["items"][0]["is_stale"], true);

    // It is read again, and what changed meanwhile is reported.
    send(&backend, &host, &upgraded()).await;
    let changes = get(&backend, &path("changes")).await;
    assert_eq!(lines(&changes["items"][0]["items"]), [OPENSSL_UP]);
    let hosts = get(&backend, "/hosts").await;
    assert_eq!(hosts["items"][0]["health"], "green");
}

#[tokio::test]
async fn a_new_section_is_taken_as_it_is_found() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let path = |rest: &str| format!("/hosts/{}/{rest}", host.host_id);
    send(&backend, &host, &debian()).await;
    let text = "sha256:aa mode:0644 owner:root:root\nPort 22\n\tRoot no\n";
    let more = with(debian(), &json!({ "files": {} }));
    let more = with(more, &json!({ "files": { "/etc/ssh/sshd_config": text } }));
    send(&backend, &host, &more).await;
    assert_eq!(get(&backend, &path("changes")).await["items"], json!([]));
    assert_eq!(get(&backend, &path("drift")).await["items"], json!([]));
    let history = get(&backend, &path("baselines")).await;
    assert_eq!(history["items"][0]["reason"], "newly collected: files");
    assert_eq!(history["items"][0]["by"], "infra-watch");

    // From then on it is compared, as lines too.
    let other = text.replace("Root no", "Root yes").replace("aa", "bb");
    let other = with(
        more.clone(),
        &json!({ "files": { "/etc/ssh/sshd_config": other } }),
    );
    send(&backend, &host, &other).await;
    let changes = get(&backend, &path("changes")).await;
    assert_eq!(
        changes["items"][0]["summary"],
        "file /etc/ssh/sshd_config changed"
    );
    let (left, right) = (
        &changes["items"][0]["from_snapshot_id"],
        &changes["items"][0]["to_snapshot_id"],
    );
    let id = host.host_id;
    let diff = format!(
        "/diff?left={id}:{}&right={id}:{}",
        left.as_str().unwrap(),
        right.as_str().unwrap()
    );
    let diff = get(&backend, &diff).await;
    let unified = diff["unified"].as_str().unwrap();
    assert!(
        unified.contains("-    \tRoot no\n+    \tRoot yes\n"),
        "{unified}"
    );
    assert_eq!(diff["items"].as_array().unwrap().len(), 1);

    // No longer collected: silent as well.
    send(&backend, &host, &debian()).await;
    let changes = get(&backend, &path("changes")).await;
    assert_eq!(changes["items"].as_array().unwrap().len(), 1);
    assert_eq!(get(&backend, &path("drift")).await["items"], json!([]));
}

#[tokio::test]
async fn bad_snapshots_are_refused_with_a_reason_and_change_nothing() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    send(&backend, &host, &debian()).await;
    let raw = |text: String| {
        let request = reqwest::Client::new()
            .post(backend.url("/api/v1/agent/reports"))
            .bearer_auth(&host.token)
            .header("content-type", "application/json")
            .body(text);
        async move {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            (status, answer.json::<Value>().await.unwrap())
        }
    };
    let many: serde_json::Map<String, Value> = (0..20_001)
        .map(|number| (format!("dpkg/p{number}:all"), json!("1")))
        .collect();
    let long = |letter: &str, length: usize| letter.repeat(length);
    for (sections, field) in [
        (json!({ "packages": many }), "snapshot.sections.packages"),
        (
            json!({ "packages": { "a\u{7}b": "1" } }),
            "snapshot.sections.packages",
        ),
        (
            json!({ "packages": { "a": "1\u{7}" } }),
            "snapshot.sections.packages.a",
        ),
        (
            json!({ "packages": { "a": long("x", 16_385) } }),
            "snapshot.sections.packages.a",
        ),
        (
            json!({ "packages": { long("k", 1_025): "1" } }),
            "snapshot.sections.packages",
        ),
        (
            json!({ "packages": { "a": 1 } }),
            "snapshot.sections.packages.a",
        ),
        (json!({ "pack\nages": {} }), "snapshot.sections"),
    ] {
        let mut body = snapshot_report(backend.now(), &json!({}), &[]);
        body.as_object_mut().unwrap().remove("snapshot_hash");
        body["snapshot"]["sections"] = sections;
        let (status, problem) = raw(body.to_string()).await;
        assert_eq!(status, 422, "{field}: {problem}");
        let found = problem["errors"][0]["field"].as_str().unwrap();
        assert!(found.starts_with(field), "{found} is not {field}");
        assert!(!problem.to_string().contains("xxxx"), "a value is echoed");
    }
    let text = snapshot_report(backend.now(), &json!({ "os": { "id": "1" } }), &[]).to_string();
    let twice = text.replace(r#"{"id":"1"}"#, r#"{"id":"1","id":"2"}"#);
    assert_ne!(twice, text);
    let (status, problem) = raw(twice).await;
    assert_eq!(status, 422, "{problem}");
    let other = text.replace(r#"{"id":"1"}"#, r#"{"id":"2"}"#);
    let (status, problem) = raw(other).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("snapshot_hash"))
    );

    let latest = get(
        &backend,
        &format!("/hosts/{}/snapshots/latest", host.host_id),
    )
    .await;
    assert_eq!(latest["sections"], debian());
    // Markup and other scripts are names like any others.
    let odd = json!({ "packages": { "dpkg/<img src=x onerror=alert(1)>:all": "<b>1</b>", "ключ": "值" } });
    assert_eq!(
        send(&backend, &host, &odd).await,
        types::SnapshotOutcome::Stored
    );
    let latest = get(
        &backend,
        &format!("/hosts/{}/snapshots/latest", host.host_id),
    )
    .await;
    assert_eq!(latest["sections"], odd);
}

#[tokio::test]
async fn the_largest_snapshot_is_kept_and_compared() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let many = |version: u32| {
        let packages: serde_json::Map<String, Value> = (0..20_000)
            .map(|number| {
                (
                    format!("dpkg/package-{number}:amd64"),
                    json!(format!("{version}.{}-1", number % 97)),
                )
            })
            .collect();
        json!({ "packages": packages })
    };
    assert_eq!(
        send(&backend, &host, &many(1)).await,
        types::SnapshotOutcome::Stored
    );
    assert_eq!(
        send(&backend, &host, &many(2)).await,
        types::SnapshotOutcome::Stored
    );
    let changes = get(&backend, &format!("/hosts/{}/changes", host.host_id)).await;
    assert_eq!(changes["items"][0]["summary"], "20000 packages upgraded");
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["drifted"], 20_000);
    let (_, approval) = post(&backend, "/drift/approve", json!({ "reason": "all" })).await;
    assert_eq!(approval["items"], 20_000);
}

#[tokio::test]
async fn a_snapshot_from_the_past_does_not_become_the_present() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    send(&backend, &host, &debian()).await;
    send(&backend, &host, &upgraded()).await;
    let old = snapshot_report(backend.now() - TimeDelta::seconds(600), &debian(), &[]);
    let old: types::Report = serde_json::from_value(old).unwrap();
    let outcome = host.agent.submit_report().body(old).send().await.unwrap();
    assert_eq!(outcome.snapshot, types::SnapshotOutcome::Unchanged);
    let latest = get(
        &backend,
        &format!("/hosts/{}/snapshots/latest", host.host_id),
    )
    .await;
    assert_eq!(latest["sections"], upgraded());
}

#[tokio::test]
async fn rules_mark_and_never_hide() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let path = |rest: &str| format!("/hosts/{}/{rest}", host.host_id);
    let now = backend.now();
    let rule = |kind: &str, key: &str, more: Value| {
        let mut body = json!({ "kind": kind, "section": "packages", "key": key, "reason": "r" });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    for (body, field) in [
        (rule("expected", "*", json!({})), "to"),
        (
            rule("expected", "*", json!({ "from": now, "to": now })),
            "to",
        ),
        (
            rule(
                "expected",
                "*",
                json!({ "to": now - TimeDelta::seconds(1) }),
            ),
            "to",
        ),
        (rule("ignore", "", json!({})), "key"),
        (
            rule("ignore", "*", json!({ "selector": { "host_ids": [] } })),
            "selector.host_ids",
        ),
        (rule("hide", "*", json!({})), "kind"),
    ] {
        let (status, problem) = post(&backend, "/drift-rules", body.clone()).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    send(&backend, &host, &debian()).await;
    let until = backend.now() + TimeDelta::seconds(90);
    let window = rule("expected", "*openssl*", json!({ "to": until }));
    let (status, window) = post(&backend, "/drift-rules", window).await;
    assert_eq!(status, 201);
    send(&backend, &host, &upgraded()).await;
    let changes = get(&backend, &path("changes")).await;
    let expected = OPENSSL_UP.replace(" drift", " expected");
    assert_eq!(
        lines(&changes["items"][0]["items"]),
        std::slice::from_ref(&expected)
    );
    // It stays expected after the window, and what comes later does not become so.
    backend.clock.advance(3600);
    send(
        &backend,
        &host,
        &with(
            upgraded(),
            &json!({ "packages": { "dpkg/bash:amd64": "5.3" } }),
        ),
    )
    .await;
    assert_eq!(
        lines(&get(&backend, &path("drift")).await["items"])[1],
        expected
    );
    let states = get(&backend, "/drift/hosts").await;
    let state = &states["items"][0];
    assert_eq!(
        (&state["state"], &state["drifted"], &state["expected"]),
        (&json!("drifted"), &json!(1), &json!(1))
    );

    // An ignored item is still there to be seen; the host counts as being at its baseline.
    let (_, ignore) = post(
        &backend,
        "/drift-rules",
        rule("ignore", "dpkg/bash:*", json!({})),
    )
    .await;
    let drift = get(&backend, "/drift?disposition=ignored").await;
    assert_eq!(
        lines(&drift["items"]),
        ["changed packages/dpkg/bash:amd64 5.2.15-2+b7 5.3 upgrade ignored"]
    );
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["state"], "at_baseline");
    let changes = get(&backend, &path("changes?key=bash")).await;
    assert_eq!(changes["items"][0]["items"][0]["disposition"], "ignored");

    let listed = get(&backend, "/drift-rules").await;
    assert_eq!(listed["items"], json!([window, ignore]));
    for rule in [window, ignore] {
        let path = format!("/drift-rules/{}", rule["rule_id"].as_str().unwrap());
        let delete = reqwest::Method::DELETE;
        assert_eq!(call(&backend, delete.clone(), &path, None).await.0, 204);
        assert_eq!(call(&backend, delete, &path, None).await.0, 404);
    }
    // What was expected at its time is so for ever in the history; the present counts by the rules of the present.
    let changes = get(&backend, &path("changes?key=openssl")).await;
    assert_eq!(lines(&changes["items"][0]["items"]), [expected]);
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["drifted"], 2);
}

/// Ten hosts that are alike, but for the version of one package on three of them, and an odd one.
async fn fleet(backend: &Backend) -> Vec<Host> {
    let mut hosts = Vec::new();
    for number in 0..10 {
        let host = backend.enroll(&format!("web-{number}")).await;
        let mut sections = debian();
        sections["environment"]["DB_PASSWORD"] = json!(format!("hmac:{number:032x}"));
        if number < 3 {
            sections["packages"]["dpkg/openssl:amd64"] = json!("3.0.9-1");
        }
        if number == 9 {
            sections["packages"]["dpkg/nmap:amd64"] = json!("7.93");
        }
        send(backend, &host, &sections).await;
        hosts.push(host);
    }
    hosts
}

#[tokio::test]
async fn the_fleet_is_searched_by_version() {
    let backend = Backend::start().await;
    let hosts = fleet(&backend).await;
    let names = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["host_name"].as_str().unwrap().to_owned())
            .collect()
    };
    // As a text 3.0.9 is after 3.0.13.
    let found = get(
        &backend,
        "/inventory?section=packages&key=openssl&version_below=3.0.13",
    )
    .await;
    assert_eq!(names(&found), ["web-0", "web-1", "web-2"]);
    assert_eq!(
        found["items"][0],
        json!({
            "host_id": hosts[0].host_id, "host_name": "web-0", "section": "packages",
            "key": "dpkg/openssl:amd64", "version": "3.0.9-1",
        })
    );
    let check = |query: &'static str, expect: usize| {
        let backend = &backend;
        async move {
            let found = get(backend, &format!("/inventory?{query}")).await;
            assert_eq!(found["items"].as_array().unwrap().len(), expect, "{query}");
        }
    };
    check("key=dpkg/openssl:amd64&version_from=3.0.10", 7).await;
    check(
        "key=openssl&version_from=3.0.9&version_below=3.0.13-1~deb12u1",
        3,
    )
    .await;
    check("key=openssl&value=3.0.9*", 3).await;
    check("key=nmap", 1).await;
    check("key=*", 21).await;
    check("key=open*", 10).await;
    check("key=absent", 0).await;
    check("section=nothing", 0).await;
    check("section=os&key=kernel&value=6.1.0-28-amd64", 10).await;
    check("section=environment&key=DB_PASSWORD&value=hmac", 10).await;
    check("label=role=web", 0).await;
    let (status, _) = try_get(&backend, "/inventory?section=os&version_below=1").await;
    assert_eq!(status, 422);

    // Pages that cut hosts in the middle give each item once.
    let (mut all, mut query) = (Vec::new(), "/inventory?limit=4".to_owned());
    loop {
        let page = get(&backend, &query).await;
        all.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        query = format!("/inventory?limit=4&cursor={cursor}");
    }
    let whole = get(&backend, "/inventory").await;
    assert_eq!(json!(all), whole["items"]);

    // A host that goes takes its items along.
    let path = format!("/hosts/{}", hosts[9].host_id);
    assert_eq!(
        call(&backend, reqwest::Method::DELETE, &path, None).await.0,
        204
    );
    check("key=nmap", 0).await;
}

#[tokio::test]
async fn a_group_is_compared_with_most_of_it_or_with_one() {
    let backend = Backend::start().await;
    let hosts = fleet(&backend).await;
    let silent = backend.enroll("silent").await;
    let compared = get(&backend, "/groups/compare").await;
    let members = compared["items"].as_array().unwrap();
    assert_eq!(members.len(), 11);
    let counts: Vec<(&str, &Value)> = members
        .iter()
        .map(|member| {
            (
                member["host_name"].as_str().unwrap(),
                &member["difference_count"],
            )
        })
        .collect();
    assert_eq!(counts[0], ("web-0", &json!(1)));
    assert_eq!(counts[3], ("web-9", &json!(1)));
    let nothing = counts.iter().find(|(name, _)| *name == "silent").unwrap();
    assert_eq!(nothing.1, &Value::Null);
    assert_eq!(
        lines(&members[0]["items"]),
        ["changed packages/dpkg/openssl:amd64 3.0.13-1~deb12u1 3.0.9-1 downgrade drift"]
    );
    assert_eq!(
        lines(&members[3]["items"]),
        ["added packages/dpkg/nmap:amd64 - 7.93 - drift"]
    );

    let golden = get(
        &backend,
        &format!("/groups/compare?golden={}", hosts[9].host_id),
    )
    .await;
    let members = golden["items"].as_array().unwrap();
    assert_eq!(members[0]["difference_count"], 2);
    assert_eq!(members[0]["compared_with"], "golden");
    let none = format!("/groups/compare?golden={}", silent.host_id);
    assert_eq!(try_get(&backend, &none).await.0, 404);

    // Two hosts: their keyed hashes say nothing about each other.
    let (left, right) = (hosts[0].host_id, hosts[9].host_id);
    let diff = get(
        &backend,
        &format!("/diff?left={left}:latest&right={right}:baseline"),
    )
    .await;
    assert_eq!(diff["items"].as_array().unwrap().len(), 2);
    let unified = diff["unified"].as_str().unwrap();
    assert!(unified.contains("+dpkg/nmap:amd64 = 7.93"), "{unified}");
    assert!(unified.starts_with("--- web-0 2027-01-15T"), "{unified}");
    for (query, status) in [
        (format!("left={left}:latest&right={right}:never"), 422),
        (format!("left={left}:latest&right={right}"), 422),
        (
            format!("left={left}:latest&right={}:latest", Uuid::now_v7()),
            404,
        ),
        (
            format!("left={left}:latest&right={right}:{}", Uuid::now_v7()),
            404,
        ),
        (
            format!("left={left}:latest&right={right}:2020-01-01T00:00:00Z"),
            404,
        ),
        (
            format!("left={left}:latest&right={right}:{}", START + 3600),
            200,
        ),
    ] {
        assert_eq!(
            try_get(&backend, &format!("/diff?{query}")).await.0,
            status,
            "{query}"
        );
    }
}

#[tokio::test]
async fn the_same_change_on_many_hosts_is_one_line() {
    let backend = Backend::start().await;
    let hosts = fleet(&backend).await;
    let first_at = backend.now();
    for host in &hosts[3..8] {
        send(&backend, host, &upgraded()).await;
    }
    let groups = get(&backend, "/changes?group_by=item&key=openssl").await;
    let groups = groups["items"].as_array().unwrap();
    assert_eq!(groups.len(), 1);
    let group = &groups[0];
    assert_eq!(group["host_count"], 5);
    assert_eq!(lines(&json!([group["change"]])), [OPENSSL_UP]);
    let first: DateTime<Utc> = group["first_at"].as_str().unwrap().parse().unwrap();
    let last: DateTime<Utc> = group["last_at"].as_str().unwrap().parse().unwrap();
    assert_eq!((first, last - first), (first_at, TimeDelta::seconds(240)));
    assert_eq!(group["hosts"][0]["host_name"], "web-3");
    // Keyed hashes of different hosts are one change too.
    let all = get(&backend, "/changes?group_by=item&limit=1").await;
    let cursor = all["next_cursor"].as_str().unwrap();
    let rest = get(&backend, &format!("/changes?group_by=item&cursor={cursor}")).await;
    assert_eq!(
        all["items"].as_array().unwrap().len() + rest["items"].as_array().unwrap().len(),
        2
    );

    let sets = get(&backend, "/changes?limit=3").await;
    assert_eq!(sets["items"][0]["host_name"], "web-7");
    let cursor = sets["next_cursor"].as_str().unwrap();
    let rest = get(&backend, &format!("/changes?limit=3&cursor={cursor}")).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    assert_eq!(rest["next_cursor"], Value::Null);
    let from = first_at.timestamp() + 60;
    let some = get(&backend, &format!("/changes?from={from}&to={}", from + 120)).await;
    assert_eq!(some["items"].as_array().unwrap().len(), 2);
    assert_eq!(try_get(&backend, "/changes?from=10&to=5").await.0, 422);
    assert_eq!(try_get(&backend, "/changes?cursor=!").await.0, 422);
    let set_id = sets["items"][0]["change_set_id"].as_str().unwrap();
    let one = get(
        &backend,
        &format!("/hosts/{}/changes/{set_id}", hosts[7].host_id),
    )
    .await;
    assert_eq!(one["change_set"], sets["items"][0]);
    assert_eq!(one["effects"][0]["metric"], "cpu_usage_percent");
    assert_eq!(one["effects"][0]["before_mean"], 1.0);
    let other = format!("/hosts/{}/changes/{set_id}", hosts[6].host_id);
    assert_eq!(try_get(&backend, &other).await.0, 404);
}

#[tokio::test]
async fn a_copy_of_a_host_is_set_aside_until_an_admin_decides() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let path = format!("/hosts/{}", host.host_id);
    let report_as = |machine: &'static str, boot: &'static str| {
        let mut body =
            serde_json::to_value(report(&[(backend.now().timestamp(), Some(2.0))])).unwrap();
        body["host"] = facts("web-1");
        body["host"]["machine_id"] = json!(machine);
        body["host"]["boot_id"] = json!(boot);
        let body: types::Report = serde_json::from_value(body).unwrap();
        let sent = host.agent.submit_report().body(body).send();
        async move { sent.await.map_or_else(status, |_| 202) }
    };
    assert_eq!(report_as("m", "b1").await, 202);
    backend.clock.advance(30);
    // A new start is no copy.
    assert_eq!(report_as("m", "b2").await, 202);
    backend.clock.advance(30);
    assert_eq!(report_as("other", "b9").await, 409);
    assert_eq!(report_as("other", "b9").await, 409);
    let shown = get(&backend, &path).await;
    assert_eq!(shown["set_aside"].as_array().unwrap().len(), 1);
    assert_eq!(shown["set_aside"][0]["machine_id"], "other");
    assert_eq!(shown["health"], "yellow");
    let last = backend.now().timestamp() - 30;
    let stored = get(
        &backend,
        &format!(
            "{path}/samples?metric=cpu_usage_percent&from={last}&to={}",
            last + 60
        ),
    )
    .await;
    assert_eq!(
        stored["timestamps"].as_array().unwrap().len(),
        1,
        "the copy's points are not kept"
    );

    // The first one to start comes back: what was let in as its next start is a copy as well.
    assert_eq!(report_as("m", "b1").await, 202);
    assert_eq!(report_as("m", "b2").await, 409);
    let shown = get(&backend, &path).await;
    assert_eq!(shown["set_aside"].as_array().unwrap().len(), 2);

    let id = shown["set_aside"][0]["set_aside_id"].as_str().unwrap();
    let accept = format!("{path}/set-aside/{id}/accept");
    assert_eq!(
        call(&backend, reqwest::Method::POST, &accept, None).await.0,
        204
    );
    assert_eq!(
        call(&backend, reqwest::Method::POST, &accept, None).await.0,
        404
    );
    assert_eq!(report_as("other", "b9").await, 202);
    assert_eq!(report_as("m", "b1").await, 409);
    let shown = get(&backend, &path).await;
    for known in shown["set_aside"].as_array().unwrap() {
        let forget = format!(
            "{path}/set-aside/{}",
            known["set_aside_id"].as_str().unwrap()
        );
        assert_eq!(
            call(&backend, reqwest::Method::DELETE, &forget, None)
                .await
                .0,
            204
        );
    }
    let shown = get(&backend, &path).await;
    assert_eq!(
        (&shown["set_aside"], &shown["health"]),
        (&json!([]), &json!("green"))
    );
    // When the host has been silent for long, another machine may take its place.
    backend.clock.advance(3600);
    assert_eq!(report_as("third", "b1").await, 202);
}

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

async fn retention(backend: &Backend) {
    let admin = backend.client("admin").await;
    admin.run_job().name("retention").send().await.unwrap();
}

#[tokio::test]
async fn secrets_that_an_agent_should_not_have_sent_are_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::start_in(directory.path()).await;
    let host = backend.enroll("web-1").await;
    let canary = "kanarienvogel-8273645";
    let leaky = with(
        debian(),
        &json!({ "environment": { "API_TOKEN": canary, "APP": format!("ghp_{canary}") } }),
    );
    send(&backend, &host, &leaky).await;
    // The hash is of what was sent: the agent need not send it again.
    assert_eq!(
        send(&backend, &host, &leaky).await,
        types::SnapshotOutcome::Unchanged
    );
    let latest = get(
        &backend,
        &format!("/hosts/{}/snapshots/latest", host.host_id),
    )
    .await;
    assert_eq!(latest["sections"]["environment"]["API_TOKEN"], "removed");
    assert_eq!(latest["sections"]["environment"]["PATH"], "/usr/bin");
    for path in [
        "/inventory?section=environment",
        "/drift",
        "/changes",
        "/audit",
        "/hosts",
    ] {
        let answer = get(&backend, path).await.to_string();
        assert!(!answer.contains(canary), "{path}");
    }
    let metrics = reqwest::Client::new()
        .get(backend.url("/metrics"))
        .bearer_auth(backend.token("viewer").await);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("infra_watch_environment_values_removed_total 2"));
    backend.stop().await;
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        let found = content
            .windows(canary.len())
            .any(|window| window == canary.as_bytes());
        assert!(!found, "{}", path.display());
    }
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

#[tokio::test]
async fn a_copy_that_enrols_does_not_shut_its_original_out() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let admin = backend.client("admin").await;
    let key = types::CreateEnrollmentKey::builder().name("k");
    let key = admin
        .create_enrollment_key()
        .body(key)
        .send()
        .await
        .unwrap();
    let enroll = |machine: &'static str| {
        let body = types::Enroll::builder()
            .install_id(host.install_id)
            .machine_id(machine)
            .hostname("web-1")
            .agent_version("0.1.0");
        let client = backend.with_token(&key.key);
        async move {
            client
                .enroll_agent()
                .body(body)
                .send()
                .await
                .unwrap()
                .into_inner()
        }
    };
    let report_as = |client: &infra_watch_client::Client, machine: &'static str| {
        let mut body =
            serde_json::to_value(report(&[(backend.now().timestamp(), Some(2.0))])).unwrap();
        body["host"] = facts("web-1");
        body["host"]["machine_id"] = json!(machine);
        let body: types::Report = serde_json::from_value(body).unwrap();
        let client = client.clone();
        async move {
            let sent = client.submit_report().body(body).send().await;
            sent.map_or_else(status, |_| 202)
        }
    };
    assert_eq!(report_as(&host.agent, "m").await, 202);
    let copy = enroll("other").await;
    assert_eq!(copy.host_id, host.host_id);
    let copy = backend.with_token(&copy.token);
    assert_eq!(report_as(&copy, "other").await, 409);
    assert_eq!(report_as(&host.agent, "m").await, 202);
    // The same machine again: its old tokens are worth nothing, the copy's neither.
    let again = enroll("m").await;
    assert_eq!(report_as(&host.agent, "m").await, 401);
    assert_eq!(report_as(&copy, "other").await, 401);
    assert_eq!(report_as(&backend.with_token(&again.token), "m").await, 202);
}
