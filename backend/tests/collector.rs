//! Collectors: what their tokens allow, and how hosts are lent to them and nobody else meanwhile.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/agents.rs"]
#[expect(dead_code, reason = "nobody is kept waiting here")]
mod agents;
#[path = "support/configuration.rs"]
mod configuration;
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use agents::{Agents, TOKEN};
use configuration::{call, get, post};
use infra_watch::clock::Clock;
use infra_watch::flows::alert_rule;
use infra_watch::flows::collect;
use infra_watch::flows::job::{Job, run_scheduled};
use reqwest::Method;
use serde_json::{Value, json};
use support::{Backend, START, report};

/// A token for a collector of hosts with these labels.
async fn token(backend: &Backend, labels: Value) -> Value {
    let body = json!({ "name": "site b", "selector": { "labels": labels } });
    let (status, made) = post(backend, "/collector-tokens", body).await;
    assert_eq!(status, 201, "{made}");
    made
}

/// Adds a host for collectors, due at once.
async fn add(backend: &Backend, labels: Value, collection: Value) -> String {
    let body = json!({ "name": "web-1", "labels": labels, "interval_seconds": 30, "collection": collection });
    let (status, made) = post(backend, "/hosts", body).await;
    assert_eq!(status, 201, "{made}");
    made["host_id"].as_str().unwrap().to_owned()
}

fn http(by: &str) -> Value {
    json!({ "kind": "http", "url": "http://127.0.0.1:9/report", "token": TOKEN, "collected_by": by })
}

fn ssh() -> Value {
    json!({
        "kind": "ssh", "address": "192.0.2.7", "user": "watch", "mode": "tunnel", "token": TOKEN,
        "collected_by": "collector",
    })
}

/// A call with a collector's token.
async fn ask(backend: &Backend, token: &Value, path: &str, body: Value) -> (u16, Value) {
    let url = backend.url(&format!("/api/v1{path}"));
    let request = reqwest::Client::new().post(url).json(&body);
    let request = request.bearer_auth(token["token"].as_str().unwrap());
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

async fn lease(backend: &Backend, token: &Value, max: u32) -> Vec<Value> {
    let (status, leases) = ask(backend, token, "/collector/lease", json!({ "max": max })).await;
    assert_eq!(status, 200, "{leases}");
    leases["items"].as_array().unwrap().clone()
}

async fn hand_in(backend: &Backend, token: &Value, lease: &Value, brought: Value) -> (u16, Value) {
    let mut body = json!({ "lease_id": lease["lease_id"], "duration_seconds": 0.5 });
    for (key, value) in brought.as_object().unwrap() {
        body[key] = value.clone();
    }
    let path = format!("/collector/reports/{}", lease["host_id"].as_str().unwrap());
    ask(backend, token, &path, body).await
}

fn a_report(at: i64) -> Value {
    json!({ "report": report(&[(at, Some(7.0))]) })
}

#[tokio::test]
async fn a_host_is_lent_and_what_is_brought_is_kept() {
    let backend = Backend::start().await;
    let token = token(&backend, json!({ "site": "b" })).await;
    let host_id = add(&backend, json!({ "site": "b" }), http("collector")).await;
    add(&backend, json!({ "site": "c" }), http("any")).await;
    add(&backend, json!({ "site": "b" }), http("backend")).await;
    // What is only for collectors is not collected from here, not even by hand.
    let (status, problem) = post(&backend, &format!("/hosts/{host_id}/collect"), json!({})).await;
    assert_eq!(
        (status, &problem["detail"]),
        (409, &json!("only collectors collect this host"))
    );

    let leases = lease(&backend, &token, 10).await;
    assert_eq!(leases.len(), 1, "{leases:?}");
    let lent = &leases[0];
    assert_eq!(lent["host_id"], json!(host_id));
    assert_eq!(lent["collection"]["token"], TOKEN);
    assert_eq!(
        (&lent["since"], &lent["known_snapshot"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        lease(&backend, &token, 10).await.is_empty(),
        "it is lent once"
    );

    let (status, outcome) = hand_in(&backend, &token, lent, a_report(START)).await;
    assert_eq!(
        (status, &outcome["accepted"]),
        (202, &json!(1)),
        "{outcome}"
    );
    // Whoever did not hear of it hears the same again, and nothing is taken twice.
    let again = hand_in(&backend, &token, lent, a_report(START + 5)).await;
    assert_eq!(again, (202, outcome));
    let host = get(&backend, &format!("/hosts/{host_id}")).await;
    assert_eq!(
        (&host["status"], &host["cpu_usage_percent"]),
        (&json!("up"), &json!(7.0))
    );
    let state = &host["collection"];
    assert_eq!(state["last_collector"], "site b");
    assert_eq!(state["duration_seconds"], 0.5);
    assert!(
        lease(&backend, &token, 10).await.is_empty(),
        "it is not due"
    );

    backend.clock.advance(30);
    let next = lease(&backend, &token, 10).await;
    assert_eq!(next[0]["since"], START);
    // A report that is none is refused with its field, and the lease stays.
    let (status, problem) = hand_in(&backend, &token, &next[0], json!({ "report": {} })).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("report.report_id"))
    );
    assert_eq!(hand_in(&backend, &token, &next[0], json!({})).await.0, 422);
    assert_eq!(
        hand_in(&backend, &token, &next[0], a_report(START + 30))
            .await
            .0,
        202
    );
}

#[tokio::test]
async fn a_lease_that_runs_out_frees_the_host() {
    let backend = Backend::start().await;
    let first = token(&backend, json!({})).await;
    let second = token(&backend, json!({})).await;
    let host_id = add(&backend, json!({}), http("any")).await;
    let lent = lease(&backend, &first, 1).await;
    // Neither the backend nor another collector comes near.
    run_scheduled(&backend.app, Job::Collect)
        .await
        .unwrap()
        .unwrap();
    collect::settle_running(&backend.app).await;
    assert!(lease(&backend, &second, 1).await.is_empty());
    assert_eq!(
        post(&backend, &format!("/hosts/{host_id}/collect"), json!({}))
            .await
            .0,
        409
    );
    assert_eq!(
        hand_in(&backend, &second, &lent[0], a_report(START))
            .await
            .0,
        409
    );
    backend.clock.advance(59);
    assert!(lease(&backend, &second, 1).await.is_empty());
    backend.clock.advance(1);
    let again = lease(&backend, &second, 1).await;
    assert_eq!(again.len(), 1);
    // Who is late brings nothing.
    assert_eq!(
        hand_in(&backend, &first, &lent[0], a_report(START)).await.0,
        409
    );
    assert_eq!(
        hand_in(&backend, &second, &again[0], a_report(START))
            .await
            .0,
        202
    );
}

#[tokio::test]
async fn many_at_once_never_get_the_same_host() {
    let backend = Backend::start().await;
    let token = token(&backend, json!({})).await;
    for _ in 0..40 {
        add(&backend, json!({}), http("any")).await;
    }
    let asked: Vec<_> = (0..8).map(|_| lease(&backend, &token, 7)).collect();
    let lent = futures_util::future::join_all(asked).await.concat();
    let hosts: BTreeSet<_> = lent
        .iter()
        .map(|lease| lease["host_id"].to_string())
        .collect();
    assert_eq!((lent.len(), hosts.len()), (40, 40));
}

#[tokio::test]
async fn a_token_allows_no_more_than_its_hosts() {
    let backend = Backend::start().await;
    let token = token(&backend, json!({ "site": "b" })).await;
    let body =
        json!({ "kind": "ssh", "address": "192.0.2.7", "user": "watch", "collected_by": "any" });
    let theirs = add(&backend, json!({ "site": "b", "role": "web" }), body).await;
    let other = add(&backend, json!({ "site": "c" }), http("any")).await;
    let narrowed = json!({ "max": 9, "selector": { "labels": { "role": "mail" } } });
    let (_, leases) = ask(&backend, &token, "/collector/lease", narrowed).await;
    assert_eq!(leases["items"], json!([]));
    let lent = lease(&backend, &token, 9).await;
    assert_eq!((lent.len(), &lent[0]["host_id"]), (1, &json!(theirs)));
    // Another's host is not there, whatever lease is named.
    let mut forged = lent[0].clone();
    forged["host_id"] = json!(other);
    assert_eq!(
        hand_in(&backend, &token, &forged, a_report(START)).await.0,
        404
    );
    for (path, body) in [
        ("/agent/reports", serde_json::to_value(report(&[])).unwrap()),
        ("/hosts", json!({})),
        ("/collector-tokens", json!({})),
    ] {
        assert_eq!(ask(&backend, &token, path, body).await.0, 401, "{path}");
    }
    // Revoked, it ends at once, and its lease with it in time.
    let path = format!("/collector-tokens/{}", token["token_id"].as_str().unwrap());
    assert_eq!(call(&backend, Method::DELETE, &path, None).await.0, 204);
    assert_eq!(call(&backend, Method::DELETE, &path, None).await.0, 404);
    assert_eq!(
        hand_in(&backend, &token, &lent[0], a_report(START)).await.0,
        401
    );
    let listed = get(&backend, "/collector-tokens").await;
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test]
async fn a_private_key_is_never_lent() {
    let backend = Backend::start().await;
    let token = token(&backend, json!({})).await;
    let mut collection = ssh();
    collection["private_key"] = json!(infra_watch::transport::SshKey::generate().unwrap());
    collection["jump"] = json!({
        "address": "192.0.2.1", "user": "hop", "private_key": infra_watch::transport::SshKey::generate().unwrap(),
    });
    add(&backend, json!({}), collection).await;
    let lent = json!(lease(&backend, &token, 9).await).to_string();
    assert!(lent.contains("192.0.2.1") && lent.contains(TOKEN), "{lent}");
    assert!(
        !lent.contains("PRIVATE") && !lent.contains("private_key"),
        "{lent}"
    );
}

#[tokio::test]
async fn what_a_collector_could_not_do_counts_and_a_changed_host_key_alerts() {
    let backend = Backend::start().await;
    alert_rule::create_defaults(&backend.app).await.unwrap();
    let token = token(&backend, json!({})).await;
    let host_id = add(&backend, json!({}), ssh()).await;
    let path = format!("/hosts/{host_id}");
    let (old, new) = (
        format!("SHA256:{}", "a".repeat(43)),
        format!("SHA256:{}", "b".repeat(43)),
    );
    let shown = |key: &str, known: Option<&str>| {
        json!({ "error": { "step": "host_key", "reason": "the host key is another", "host_key": {
            "is_jump": false, "algorithm": "ssh-ed25519", "fingerprint": key, "known": known } } })
    };
    let fail = async |brought: Value| {
        let lent = lease(&backend, &token, 1).await;
        assert_eq!(lent.len(), 1);
        assert_eq!(hand_in(&backend, &token, &lent[0], brought).await.0, 202);
        run_scheduled(&backend.app, Job::Evaluate)
            .await
            .unwrap()
            .unwrap();
        lent[0].clone()
    };
    let firing = async || {
        let alerts = get(&backend, "/alerts?state=firing").await;
        let alerts = alerts["items"].as_array().unwrap().clone();
        alerts
            .iter()
            .map(|alert| alert["rule_name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    // A first key waits to be confirmed, and is no alert.
    fail(shown(&old, None)).await;
    let state = get(&backend, &path).await["collection"].clone();
    assert_eq!(state["offered_host_key"], json!(old));
    assert_eq!(state["offered_host_key_algorithm"], "ssh-ed25519");
    assert_eq!(state["last_error"], "the host key is another");
    assert!(firing().await.is_empty());
    let wrong = json!({ "fingerprint": new });
    assert_eq!(
        post(&backend, &format!("{path}/host-key"), wrong).await.0,
        409
    );
    let right = json!({ "fingerprint": old });
    let (status, host) = post(&backend, &format!("{path}/host-key"), right).await;
    assert_eq!(
        (status, &host["collection"]["host_key"]),
        (200, &json!(old))
    );
    assert_eq!(host["collection"].get("offered_host_key"), None);

    // From then on another key is an alert, and is not learnt.
    let lent = fail(shown(&new, Some(&old))).await;
    assert_eq!(lent["collection"]["host_key"], json!(old));
    assert_eq!(firing().await, ["Host key changed"]);
    let host = get(&backend, &path).await;
    assert_eq!(host["health"], "red");
    assert_eq!(host["collection"]["changed_host_key"], json!(new));
    assert_eq!(host["collection"]["host_key"], json!(old));
    assert_eq!(
        post(
            &backend,
            &format!("{path}/host-key"),
            json!({ "fingerprint": new })
        )
        .await
        .0,
        409
    );
    // That the host cannot be reached says nothing of its key.
    backend.clock.advance(60);
    fail(json!({ "error": { "step": "connect", "reason": "refused" } })).await;
    assert_eq!(firing().await, ["Host key changed"]);
    backend.clock.advance(300);
    let lent = lease(&backend, &token, 1).await;
    let now = backend.now().timestamp();
    assert_eq!(
        hand_in(&backend, &token, &lent[0], a_report(now)).await.0,
        202
    );
    run_scheduled(&backend.app, Job::Evaluate)
        .await
        .unwrap()
        .unwrap();
    assert!(firing().await.is_empty());
    let over = get(&backend, "/alerts?state=resolved").await["items"][0].clone();
    assert_eq!(over["summary"], "web-1 shows the host key that is known");
}

#[tokio::test]
async fn a_collector_does_not_say_which_host_key_is_known() {
    let backend = Backend::start().await;
    let token = token(&backend, json!({})).await;
    let (old, new) = (
        format!("SHA256:{}", "a".repeat(43)),
        format!("SHA256:{}", "b".repeat(43)),
    );
    let mut collection = ssh();
    collection["host_key"] = json!(old);
    let host_id = add(&backend, json!({}), collection).await;
    // It says that none is known, so that its own be confirmed.
    let lent = lease(&backend, &token, 1).await;
    let brought = json!({ "error": { "step": "host_key", "reason": "a\u{202e}key", "host_key": {
        "is_jump": false, "algorithm": "ssh-ed25519", "fingerprint": new } } });
    assert_eq!(hand_in(&backend, &token, &lent[0], brought).await.0, 202);
    let state = get(&backend, &format!("/hosts/{host_id}")).await["collection"].clone();
    assert_eq!(state.get("offered_host_key"), None, "{state}");
    assert_eq!(state["changed_host_key"], json!(new));
    assert_eq!(state["last_error"], "a·key");
    let confirm = json!({ "fingerprint": new });
    assert_eq!(
        post(&backend, &format!("/hosts/{host_id}/host-key"), confirm)
            .await
            .0,
        409
    );
}

#[tokio::test]
async fn a_collector_that_fails_where_it_need_not_be_puts_nobody_off() {
    let backend = Backend::start().await;
    let clock = Arc::clone(&backend.clock) as Arc<dyn Clock>;
    let agents = Agents::start(1, 10, START - 600, clock).await;
    let token = token(&backend, json!({})).await;
    let collection = json!({ "kind": "http", "url": agents.all[0].url(), "token": TOKEN });
    let host_id = add(&backend, json!({}), collection).await;
    let lent = lease(&backend, &token, 1).await;
    let brought = json!({ "error": { "step": "authenticate", "reason": "no key here" } });
    assert_eq!(hand_in(&backend, &token, &lent[0], brought).await.0, 202);
    backend.clock.advance(30);
    assert!(
        lease(&backend, &token, 1).await.is_empty(),
        "it has had its turn"
    );
    run_scheduled(&backend.app, Job::Collect)
        .await
        .unwrap()
        .unwrap();
    collect::settle_running(&backend.app).await;
    let host = get(&backend, &format!("/hosts/{host_id}")).await;
    assert_eq!(
        (&host["status"], &host["collection"]["failures"]),
        (&json!("up"), &json!(0))
    );
    // A host with a key of its own is not lent unless it must be.
    let mut own = json!({ "kind": "ssh", "address": "192.0.2.7", "user": "watch" });
    own["private_key"] = json!(infra_watch::transport::SshKey::generate().unwrap());
    add(&backend, json!({}), own).await;
    assert!(lease(&backend, &token, 9).await.is_empty());
}

#[tokio::test]
async fn an_agent_pulled_by_both_is_stored_once() {
    let backend = Backend::start().await;
    let clock = Arc::clone(&backend.clock) as Arc<dyn Clock>;
    let agents = Agents::start(1, 10, START - 600, clock).await;
    let agent = &agents.all[0];
    let token = token(&backend, json!({})).await;
    let collection = json!({ "kind": "http", "url": agent.url(), "token": TOKEN });
    let host_id = add(&backend, json!({}), collection).await;
    let fetch = async |since: &Value| {
        let url = match since.as_i64() {
            Some(since) => format!("{}?since={since}", agent.url()),
            None => agent.url(),
        };
        let request = reqwest::Client::new().get(url).bearer_auth(TOKEN);
        let report: Value = request.send().await.unwrap().json().await.unwrap();
        json!({ "report": report })
    };
    for round in 0..6 {
        if round % 2 == 0 {
            let lent = lease(&backend, &token, 1).await;
            let brought = fetch(&lent[0]["since"]).await;
            assert_eq!(hand_in(&backend, &token, &lent[0], brought).await.0, 202);
        } else {
            run_scheduled(&backend.app, Job::Collect)
                .await
                .unwrap()
                .unwrap();
            collect::settle_running(&backend.app).await;
        }
        backend.clock.advance(30);
    }
    let path = format!("/hosts/{host_id}/samples?metric=cpu_usage_percent&from=0&to=9999999999");
    let samples = get(&backend, &path).await;
    let times: Vec<i64> = serde_json::from_value(samples["timestamps"].clone()).unwrap();
    assert_eq!(times, agent.moments(START - 9, START + 150));
}
