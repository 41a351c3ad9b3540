//! Snapshots as agents send them, and the API as JSON.
#![expect(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use chrono::{DateTime, Utc};
use infra_watch::domain::snapshot;
use infra_watch_client::types;
use serde_json::{Value, json};

use crate::support::{Backend, Host, report};

/// Two packages, a system and an environment.
pub fn debian() -> Value {
    json!({
        "packages": { "dpkg/bash:amd64": "5.2.15-2+b7", "dpkg/openssl:amd64": "3.0.13-1~deb12u1" },
        "os": { "id": "debian", "kernel": "6.1.0-28-amd64", "reboot_required": "false", "pending_upgrades": "3" },
        "environment": { "PATH": "/usr/bin", "DB_PASSWORD": "hmac:4f09c1" },
    })
}

/// `sections` with other values; `null` takes an item or a whole section away.
pub fn with(mut sections: Value, changes: &Value) -> Value {
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

pub fn snapshot_report(at: DateTime<Utc>, sections: &Value, failed: &[&str]) -> Value {
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
pub async fn send(backend: &Backend, host: &Host, sections: &Value) -> types::SnapshotOutcome {
    send_failing(backend, host, sections, &[]).await
}

pub async fn send_failing(
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
pub async fn get(backend: &Backend, path: &str) -> Value {
    let (status, body) = try_get(backend, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

pub async fn try_get(backend: &Backend, path: &str) -> (u16, Value) {
    call(backend, reqwest::Method::GET, path, None).await
}

pub async fn post(backend: &Backend, path: &str, body: Value) -> (u16, Value) {
    call(backend, reqwest::Method::POST, path, Some(body)).await
}

pub async fn call(
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
pub fn lines(items: &Value) -> Vec<String> {
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

pub const OPENSSL_UP: &str =
    "changed packages/dpkg/openssl:amd64 3.0.13-1~deb12u1 3.0.14-1~deb12u2 upgrade drift";

pub fn upgraded() -> Value {
    with(
        debian(),
        &json!({ "packages": { "dpkg/openssl:amd64": "3.0.14-1~deb12u2" } }),
    )
}

/// Removes what is older than it is to be kept.
pub async fn retention(backend: &Backend) {
    let admin = backend.client("admin").await;
    admin.run_job().name("retention").send().await.unwrap();
}
