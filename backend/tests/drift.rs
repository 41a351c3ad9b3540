//! Drift: approvals for a host and for a fleet, and the rules that mark changes.

#[path = "support/configuration.rs"]
mod configuration;
mod support;

use chrono::TimeDelta;
use configuration::{OPENSSL_UP, call, debian, get, lines, post, send, upgraded, with};
use serde_json::{Value, json};
use support::Backend;
use uuid::Uuid;

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
async fn thousands_of_items_are_approved_at_once() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    send(&backend, &host, &debian()).await;
    let keys: Vec<String> = (0..4000)
        .map(|number| format!("dpkg/package-{number}:amd64"))
        .collect();
    let mut sections = debian();
    for key in &keys {
        sections["packages"][key] = json!("1.0-1");
    }
    send(&backend, &host, &sections).await;
    let items: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "section": "packages", "key": key }))
        .collect();
    let body = json!({ "reason": "a new release", "items": items });
    let (status, approval) = post(&backend, "/drift/approve", body).await;
    assert_eq!((status, &approval["items"]), (200, &json!(4000)));
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

#[tokio::test]
async fn a_window_expects_one_change_and_not_the_next() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    send(&backend, &host, &debian()).await;
    let until = backend.now() + TimeDelta::seconds(90);
    let body = json!({ "kind": "expected", "section": "*", "key": "*openssl*", "to": until, "reason": "r" });
    assert_eq!(post(&backend, "/drift-rules", body).await.0, 201);
    let since = backend.now();
    send(&backend, &host, &upgraded()).await;
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["state"], "at_baseline");
    // The same item changes again, and nobody planned that.
    backend.clock.advance(3600);
    let again = with(
        upgraded(),
        &json!({ "packages": { "dpkg/openssl:amd64": "3.0.15" } }),
    );
    send(&backend, &host, &again).await;
    let drift = get(&backend, "/drift").await;
    assert_eq!(drift["items"][0]["disposition"], "drift");
    let found: chrono::DateTime<chrono::Utc> = drift["items"][0]["since"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(found, since, "it left its baseline with the first change");
    let states = get(&backend, "/drift/hosts").await;
    assert_eq!(states["items"][0]["state"], "drifted");
}
