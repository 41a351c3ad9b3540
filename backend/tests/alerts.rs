//! Alerts: rules, what becomes of them over time, the log, and what they say of a host.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/alerts.rs"]
mod alerting;
#[path = "support/configuration.rs"]
mod configuration;
mod support;

use std::collections::BTreeSet;

use alerting::{
    alerts, cpu_rule, create_rule, evaluate, run, sample, samples, state, third, timeline,
};
use chrono::TimeDelta;
use configuration::{call, debian, get, post, send, try_get, upgraded, with};
use infra_watch::flows::alert_rule;
use infra_watch::flows::job::Job;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Backend, START, report};
use uuid::Uuid;

#[tokio::test]
async fn an_alert_begins_goes_on_and_is_over_and_the_log_says_so() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let rule_id = create_rule(&backend, cpu_rule(&json!({ "clear_value": 80 }))).await;
    let said = timeline(&backend, &host, &[50.0, 95.0, 99.0, 97.0]).await;
    assert_eq!(said, ["ok", "pending", "pending", "firing"]);

    let firing = alerts(&backend, "?state=firing").await;
    let alert = &firing[0];
    assert_eq!(firing.len(), 1);
    assert_eq!(alert["rule_id"], json!(rule_id));
    assert_eq!(alert["rule_name"], "Busy");
    assert_eq!(alert["host_name"], "web-1");
    assert_eq!(alert["severity"], "warning");
    assert_eq!(
        alert["sentence"],
        "cpu_usage_percent is above 90 % for 1 min"
    );
    assert_eq!(alert["summary"], "cpu_usage_percent is 97 %");
    assert_eq!(alert["worst_value"], 97.0);
    assert_eq!(alert["unit"], "%");
    assert_eq!(alert["ended_at"], Value::Null);
    let at = |seconds: i64| chrono::DateTime::from_timestamp(START + seconds, 0).unwrap();
    assert_eq!(alert["pending_at"], json!(at(30)));
    // The first evaluation after the first breach was sixty seconds old.
    assert_eq!(alert["started_at"], json!(at(90)));
    let hosts = get(&backend, "/hosts").await;
    assert_eq!(hosts["items"][0]["firing_alerts"], 1);
    assert_eq!(hosts["items"][0]["health"], "yellow");
    let rules = get(&backend, "/alert-rules").await;
    assert_eq!(rules["items"][0]["firing_alerts"], 1);

    // Between the bounds it goes on.
    let said = timeline(&backend, &host, &[99.5, 85.0, 79.0, 95.0]).await;
    assert_eq!(said, ["firing", "firing", "resolved", "pending"]);
    let over = &alerts(&backend, "?state=resolved").await[0];
    assert_eq!(over["alert_id"], alert["alert_id"]);
    assert_eq!(over["worst_value"], 99.5);
    assert_eq!(over["latest_value"], 79.0);
    assert_eq!(over["end_reason"], "cleared");
    assert_eq!(over["ended_at"], json!(at(180)));
    let hosts = get(&backend, "/hosts").await;
    assert_eq!(hosts["items"][0]["firing_alerts"], 0);
    assert_eq!(hosts["items"][0]["health"], "green");

    // A pending alert has an id under which it can be looked at.
    let pending = &alerts(&backend, "?state=pending").await[0];
    let path = format!("/alerts/{}", pending["alert_id"].as_str().unwrap());
    assert_eq!(get(&backend, &path).await["state"], "pending");
    let id = Uuid::now_v7();
    assert_eq!(try_get(&backend, &format!("/alerts/{id}")).await.0, 404);
    assert_eq!(try_get(&backend, "/alerts/none").await.0, 404);
}

#[tokio::test]
async fn a_restart_or_a_pause_neither_ends_nor_repeats_anything() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::start_in(directory.path()).await;
    let busy = backend.enroll("busy").await;
    let silent = backend.enroll("silent").await;
    let absence =
        json!({ "name": "Down", "severity": "critical", "condition": { "kind": "absence" } });
    create_rule(&backend, absence).await;
    create_rule(&backend, cpu_rule(&json!({ "for_seconds": 300 }))).await;
    sample(&backend, &silent, 95.0).await;
    for _ in 0..8 {
        sample(&backend, &busy, 95.0).await;
        third(&backend).await;
    }
    let down = alerts(&backend, "?state=firing").await;
    assert_eq!(down.len(), 1, "{down:?}");
    assert_eq!(down[0]["host_name"], "silent");
    let of_busy = format!("?state=pending&host_id={}", busy.host_id);
    let pending = alerts(&backend, &of_busy).await;
    assert_eq!(pending.len(), 1, "{pending:?}");
    backend.stop().await;

    // A minute later. What was breaching goes on where it was: 300 s after its first sample it fires.
    let backend = Backend::start_in_at(directory.path(), START + 300).await;
    evaluate(&backend).await;
    let firing = alerts(&backend, "?state=firing").await;
    assert_eq!(firing.len(), 1, "the host is still down: {firing:?}");
    assert_eq!(firing[0]["alert_id"], down[0]["alert_id"]);
    let body = report(&[
        (START + 240, Some(95.0)),
        (START + 270, Some(95.0)),
        (START + 300, Some(95.0)),
    ]);
    let busy_again = backend.with_token(&busy.token);
    busy_again.submit_report().body(body).send().await.unwrap();
    evaluate(&backend).await;
    let firing = alerts(&backend, "?state=firing").await;
    assert_eq!(firing.len(), 2, "{firing:?}");
    let began = firing.iter().find(|alert| alert["host_name"] == "busy");
    assert_eq!(began.unwrap()["pending_at"], pending[0]["pending_at"]);

    // The backend stands still for an hour: nobody was heard, so nobody is down, and nothing is over.
    backend.clock.advance(3600);
    evaluate(&backend).await;
    let still = alerts(&backend, "?state=firing").await;
    assert_eq!(still, firing);
    assert_eq!(alerts(&backend, "").await.len(), 2);
    let body = report(&[(backend.now().timestamp(), Some(10.0))]);
    busy_again.submit_report().body(body).send().await.unwrap();
    evaluate(&backend).await;
    let over = alerts(&backend, "?state=resolved").await;
    assert_eq!(over.len(), 1);
    assert_eq!(over[0]["host_name"], "busy");
}

#[tokio::test]
async fn a_host_that_goes_down_keeps_its_alerts_and_gets_one_for_itself() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let absence =
        json!({ "name": "Down", "severity": "critical", "condition": { "kind": "absence" } });
    create_rule(&backend, absence).await;
    create_rule(
        &backend,
        cpu_rule(&json!({ "for_seconds": 0, "no_data": "resolve" })),
    )
    .await;
    create_rule(&backend, cpu_rule(&json!({
        "name": "Memory", "for_seconds": 0, "no_data": "alert",
        "condition": { "kind": "threshold", "metric": "memory_usage_percent", "operator": "gt", "value": 90 },
    })))
    .await;
    samples(
        &backend,
        &host,
        &[
            ("cpu_usage_percent", None, 95.0),
            ("memory_usage_percent", None, 20.0),
        ],
    )
    .await;
    for _ in 0..20 {
        third(&backend).await;
    }
    let firing = alerts(&backend, "?state=firing").await;
    let names: Vec<_> = firing
        .iter()
        .map(|alert| alert["rule_name"].as_str().unwrap())
        .collect();
    assert_eq!(BTreeSet::from_iter(names), ["Busy", "Down"].into());
    let down = firing.iter().find(|alert| alert["rule_name"] == "Down");
    let summary = down.unwrap()["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("web-1 has been silent since 2027-01-15 08:00:00"),
        "{summary}"
    );
    let hosts = get(&backend, "/hosts").await;
    assert_eq!(hosts["items"][0]["health"], "red");
    assert_eq!(hosts["items"][0]["firing_alerts"], 2);

    // It comes back, and a series of it does not.
    for _ in 0..5 {
        sample(&backend, &host, 10.0).await;
        third(&backend).await;
    }
    let firing = alerts(&backend, "?state=firing").await;
    assert_eq!(firing.len(), 1, "{firing:?}");
    assert_eq!(
        firing[0]["summary"],
        "There is no data of memory_usage_percent"
    );
    assert_eq!(firing[0]["is_no_data"], true);
    let over = alerts(&backend, "?state=resolved").await;
    let down = over
        .iter()
        .find(|alert| alert["rule_name"] == "Down")
        .unwrap();
    assert_eq!(down["summary"], "web-1 reports again");
}

/// Why the alert was over that was over last.
async fn last_end(backend: &Backend) -> String {
    let over = alerts(backend, "?state=resolved").await;
    let last = over
        .iter()
        .max_by_key(|alert| alert["ended_at"].as_str().unwrap().to_owned());
    last.unwrap()["end_reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_done_to_rules_and_hosts_ends_their_alerts() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let rule_id = create_rule(&backend, cpu_rule(&json!({ "for_seconds": 0 }))).await;
    let path = format!("/alert-rules/{rule_id}");
    let change = async |body: Value| {
        let (status, changed) = call(&backend, Method::PATCH, &path, Some(body)).await;
        assert_eq!(status, 200, "{changed}");
        backend.clock.advance(1);
        evaluate(&backend).await;
        changed
    };
    sample(&backend, &host, 95.0).await;
    evaluate(&backend).await;
    let first = alerts(&backend, "").await[0].clone();
    assert_eq!(first["state"], "firing");

    // Another name, severity or time changes nothing but what people see.
    let changed =
        change(json!({ "name": "Very busy", "severity": "critical", "for_seconds": 30 })).await;
    assert_eq!(changed["name"], "Very busy");
    let now = alerts(&backend, "").await[0].clone();
    assert_eq!(now["alert_id"], first["alert_id"]);
    assert_eq!(
        (&now["rule_name"], &now["severity"]),
        (&json!("Very busy"), &json!("critical"))
    );
    // A bound that is not reached ends it; one that is reached begins it again from what is stored.
    let above = |value| json!({ "condition": { "kind": "threshold", "metric": "cpu_usage_percent", "operator": "gt", "value": value } });
    change(above(96)).await;
    assert_eq!(last_end(&backend).await, "cleared");
    change(above(90)).await;
    change(json!({ "for_seconds": 0 })).await;
    assert_eq!(state(&backend).await, "firing");
    // It no longer means the host, it is about something else, it is disabled, it is removed.
    change(json!({ "selector": { "labels": { "role": "db" } } })).await;
    assert_eq!(last_end(&backend).await, "rule_changed");
    change(json!({ "selector": {} })).await;
    assert_eq!(state(&backend).await, "firing");
    change(json!({ "condition": { "kind": "absence" } })).await;
    assert_eq!(last_end(&backend).await, "rule_changed");
    change(above(90)).await;
    assert_eq!(state(&backend).await, "firing");
    change(json!({ "enabled": false })).await;
    assert_eq!(last_end(&backend).await, "rule_changed");
    change(json!({ "enabled": true })).await;
    assert_eq!(call(&backend, Method::DELETE, &path, None).await.0, 204);
    evaluate(&backend).await;
    let all = alerts(&backend, "").await;
    assert_eq!(last_end(&backend).await, "rule_deleted");
    assert_eq!(all.len(), 5);

    // Of a host that is removed nothing is kept.
    create_rule(&backend, cpu_rule(&json!({ "for_seconds": 0 }))).await;
    evaluate(&backend).await;
    assert_eq!(alerts(&backend, "?state=firing").await.len(), 1);
    let path = format!("/hosts/{}", host.host_id);
    assert_eq!(call(&backend, Method::DELETE, &path, None).await.0, 204);
    evaluate(&backend).await;
    run(&backend, Job::Sweep).await;
    assert_eq!(alerts(&backend, "").await, Vec::<Value>::new());
}

#[tokio::test]
async fn the_log_has_filters_pages_and_csv() {
    let backend = Backend::start().await;
    let hosts = [backend.enroll("=web").await, backend.enroll("db-1").await];
    let rule_id = create_rule(&backend, cpu_rule(&json!({ "for_seconds": 0 }))).await;
    for round in 0..5 {
        for host in &hosts {
            sample(&backend, host, 95.0).await;
        }
        third(&backend).await;
        for host in &hosts[..if round == 4 { 1 } else { 2 }] {
            sample(&backend, host, 5.0).await;
        }
        third(&backend).await;
    }
    let all = alerts(&backend, "").await;
    assert_eq!(all.len(), 10);
    assert_eq!(all[0]["state"], "firing");
    let times: Vec<_> = all[1..]
        .iter()
        .map(|alert| alert["pending_at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");

    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(&backend, &format!("/alerts?limit=3{cursor}")).await;
        paged.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    for (query, count) in [
        ("?state=resolved".to_owned(), 9),
        ("?state=pending".to_owned(), 0),
        (format!("?host_id={}", hosts[1].host_id), 5),
        (format!("?host_id={}&state=resolved", hosts[1].host_id), 4),
        (format!("?host_id={}", Uuid::now_v7()), 0),
        (format!("?rule_id={rule_id}"), 10),
        (format!("?rule_id={}", Uuid::now_v7()), 0),
        ("?severity=critical".to_owned(), 0),
        // The second round, and what fires.
        (format!("?from={}&to={}", START + 60, START + 89), 2),
        (format!("?from={}", START + 240), 2),
        (format!("?to={START}"), 0),
    ] {
        assert_eq!(alerts(&backend, &query).await.len(), count, "{query}");
    }
    for query in [
        "?state=over",
        "?cursor=x",
        "?from=5&to=4",
        "?host_id=x",
        "?limit=0",
    ] {
        assert_eq!(
            try_get(&backend, &format!("/alerts{query}")).await.0,
            422,
            "{query}"
        );
    }
    let token = backend.token("operator").await;
    let csv = reqwest::Client::new()
        .get(backend.url("/api/v1/alerts?limit=2"))
        .bearer_auth(token)
        .header("Accept", "text/csv")
        .send()
        .await
        .unwrap();
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
    let csv = csv.text().await.unwrap();
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[0].starts_with("alert_id,state,severity,rule,host,instance,summary"),
        "{csv}"
    );
    assert!(csv.contains(",warning,Busy,'=web,,"), "{csv}");

    // After two years the log forgets.
    backend.clock.advance(731 * 86_400);
    run(&backend, Job::Retention).await;
    assert_eq!(alerts(&backend, "?state=resolved").await.len(), 0);
}

#[tokio::test]
async fn an_alert_says_what_changed_before() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    create_rule(&backend, cpu_rule(&json!({ "for_seconds": 0 }))).await;
    send(&backend, &host, &debian()).await;
    backend.clock.advance(3600);
    send(&backend, &host, &upgraded()).await;
    backend.clock.advance(25 * 3600);
    let path_changed = with(
        upgraded(),
        &json!({ "environment": { "PATH": "/opt/bin" } }),
    );
    send(&backend, &host, &path_changed).await;
    let kernel = with(
        path_changed,
        &json!({ "os": { "kernel": "6.1.0-29-amd64" } }),
    );
    send(&backend, &host, &kernel).await;
    sample(&backend, &host, 99.0).await;
    evaluate(&backend).await;
    let alert = &alerts(&backend, "").await[0];
    assert!(alert.get("changes_before").is_none());
    let path = format!("/alerts/{}", alert["alert_id"].as_str().unwrap());
    let alert = get(&backend, &path).await;
    let changes = alert["changes_before"].as_array().unwrap();
    // The upgrade was more than a day before.
    let keys: Vec<_> = changes
        .iter()
        .map(|set| set["items"][0]["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["kernel", "PATH"]);
    assert_eq!(changes[0]["host_name"], "web-1");
    assert_eq!(alert["notifications"], json!([]));
}

#[tokio::test]
async fn drift_fires_unless_it_was_expected() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let condition = json!({ "kind": "drift", "section": "packages", "key": "*openssl*" });
    let rule = json!({ "name": "Drift", "severity": "warning", "condition": condition });
    create_rule(&backend, rule).await;
    send(&backend, &host, &debian()).await;
    evaluate(&backend).await;
    assert_eq!(state(&backend).await, "ok");
    let vim = with(
        debian(),
        &json!({ "packages": { "dpkg/vim:amd64": "9.0" } }),
    );
    send(&backend, &host, &vim).await;
    evaluate(&backend).await;
    assert_eq!(state(&backend).await, "ok", "another package");
    send(&backend, &host, &upgraded()).await;
    evaluate(&backend).await;
    let alert = &alerts(&backend, "").await[0];
    assert_eq!(alert["summary"], "1 item differs from the baseline");
    assert_eq!(alert["state"], "firing");

    // Old snapshots say nothing, so it is not over.
    for _ in 0..3 {
        backend.clock.advance(3600);
        sample(&backend, &host, 1.0).await;
        evaluate(&backend).await;
    }
    let path = format!("/hosts/{}/drift/approve", host.host_id);
    assert_eq!(
        post(&backend, &path, json!({ "reason": "planned" }))
            .await
            .0,
        200
    );
    evaluate(&backend).await;
    assert_eq!(state(&backend).await, "firing");
    send(&backend, &host, &upgraded()).await;
    evaluate(&backend).await;
    assert_eq!(state(&backend).await, "resolved");

    let expected = json!({
        "kind": "expected", "section": "packages", "key": "*", "selector": {}, "reason": "upgrade",
        "to": backend.now() + TimeDelta::hours(1),
    });
    assert_eq!(post(&backend, "/drift-rules", expected).await.0, 201);
    send(&backend, &host, &debian()).await;
    evaluate(&backend).await;
    assert_eq!(alerts(&backend, "?state=firing").await.len(), 0);
}

#[tokio::test]
async fn each_instance_has_its_own_alert_and_a_forecast_comes_before_the_bound() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let forecast = json!({ "kind": "forecast", "metric": "disk_usage_percent", "operator": "gte", "value": 100, "within_seconds": 86_400 });
    let above = json!({ "kind": "threshold", "metric": "disk_usage_percent", "operator": "gt", "value": 80 });
    create_rule(
        &backend,
        cpu_rule(&json!({ "name": "Soon full", "condition": forecast, "for_seconds": 0 })),
    )
    .await;
    create_rule(
        &backend,
        cpu_rule(&json!({ "name": "Nearly full", "condition": above, "for_seconds": 0 })),
    )
    .await;
    for minute in 0..90 {
        let filling = 50.0 + f64::from(minute) / 20.0;
        samples(
            &backend,
            &host,
            &[
                ("disk_usage_percent", Some("/"), filling),
                ("disk_usage_percent", Some("/data"), 85.0),
            ],
        )
        .await;
        evaluate(&backend).await;
        backend.clock.advance(30);
        evaluate(&backend).await;
        backend.clock.advance(30);
    }
    let firing = alerts(&backend, "?state=firing").await;
    let mut said: Vec<_> = firing
        .iter()
        .map(|alert| {
            format!(
                "{} {}",
                alert["rule_name"].as_str().unwrap(),
                alert["instance"].as_str().unwrap()
            )
        })
        .collect();
    said.sort();
    assert_eq!(said, ["Nearly full /data", "Soon full /"]);
    let soon = firing
        .iter()
        .find(|alert| alert["instance"] == "/")
        .unwrap();
    let summary = soon["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("disk_usage_percent of / is on its way to 12"),
        "{summary}"
    );
}

#[tokio::test]
async fn late_samples_are_seen_where_they_belong_and_sealing_changes_nothing() {
    let backend = Backend::start().await;
    let (whole, torn) = (backend.enroll("whole").await, backend.enroll("torn").await);
    create_rule(&backend, cpu_rule(&json!({ "for_seconds": 1800 }))).await;
    // The slot of two hours ends in the middle of the window.
    backend.clock.advance(7200 - START % 7200 - 900);
    let begin = backend.now().timestamp();
    for tick in 0..59 {
        sample(&backend, &whole, 95.0).await;
        if !(20..40).contains(&tick) {
            sample(&backend, &torn, 95.0).await;
        }
        evaluate(&backend).await;
        if tick == 45 {
            let admin = backend.client("admin").await;
            admin.run_job().name("seal").send().await.unwrap();
        }
        backend.clock.advance(30);
    }
    assert_eq!(alerts(&backend, "?state=firing").await.len(), 0);
    evaluate(&backend).await;
    sample(&backend, &whole, 95.0).await;
    backend.clock.advance(30);
    evaluate(&backend).await;
    let firing = alerts(&backend, "?state=firing").await;
    assert_eq!(firing.len(), 1, "{firing:?}");
    assert_eq!(firing[0]["host_name"], "whole");
    // The backlog of the other arrives: its window is covered after all.
    let backlog: Vec<_> = (20..40)
        .map(|tick| (begin + tick * 30, Some(95.0)))
        .collect();
    torn.agent
        .submit_report()
        .body(report(&backlog))
        .send()
        .await
        .unwrap();
    sample(&backend, &torn, 95.0).await;
    evaluate(&backend).await;
    assert_eq!(alerts(&backend, "?state=firing").await.len(), 2);

    // A backlog older than the window never fires.
    let old = backend.enroll("old").await;
    let from = backend.now().timestamp() - 3 * 3600;
    let backlog: Vec<_> = (0..120)
        .map(|tick| (from + tick * 30, Some(95.0)))
        .collect();
    old.agent
        .submit_report()
        .body(report(&backlog))
        .send()
        .await
        .unwrap();
    evaluate(&backend).await;
    assert_eq!(alerts(&backend, "").await.len(), 2);
}

#[tokio::test]
async fn a_preview_says_what_would_have_been() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    backend.enroll("silent").await;
    let rule = cpu_rule(&json!({ "for_seconds": 90, "clear_value": 70, "clear_for_seconds": 30 }));
    create_rule(&backend, rule.clone()).await;
    // A made-up hour: the same numbers each time.
    let mut number = 1_u64;
    for tick in 0..240 {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let is_busy = (number >> 33) % 10 < 8;
        let is_phase_busy = tick / 12 % 2 == 0;
        let is_lost = tick % 37 == 5;
        if !is_lost {
            sample(
                &backend,
                &host,
                if is_busy == is_phase_busy { 95.0 } else { 60.0 },
            )
            .await;
        }
        third(&backend).await;
    }
    let live: Vec<(Value, Value)> = alerts(&backend, "?limit=1000")
        .await
        .into_iter()
        .filter(|alert| alert["state"] != "pending")
        .map(|alert| (alert["started_at"].clone(), alert["ended_at"].clone()))
        .collect();
    assert!(live.len() > 3, "{live:?}");
    let path = format!(
        "/alert-rules/preview?from={START}&to={}",
        backend.now().timestamp()
    );
    let (status, preview) = post(&backend, &path, rule).await;
    assert_eq!(status, 200, "{preview}");
    let firings = preview["firings"].as_array().unwrap();
    let tried: Vec<(Value, Value)> = firings
        .iter()
        .map(|firing| (firing["started_at"].clone(), firing["ended_at"].clone()))
        .collect();
    assert_eq!(tried, live);
    assert_eq!(preview["firing_count"], json!(live.len()));
    assert_eq!(preview["host_count"], 2);
    assert_eq!(firings[0]["host_name"], "web-1");

    // Nothing was kept.
    assert_eq!(
        get(&backend, "/alert-rules").await["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let absence = json!({ "name": "Down", "severity": "critical", "condition": { "kind": "absence" }, "for_seconds": 45 });
    let (_, preview) = post(&backend, &path, absence).await;
    assert_eq!(preview["firing_count"], 0, "{preview}");
    for range in ["?from=5&to=4", "?from=2030-01-01T00:00:00Z", "?from=x"] {
        let path = format!("/alert-rules/preview{range}");
        assert_eq!(
            post(&backend, &path, cpu_rule(&json!({}))).await.0,
            422,
            "{range}"
        );
    }
}

#[tokio::test]
async fn a_preview_knows_silence_and_drift() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    send(&backend, &host, &debian()).await;
    for minute in 0..120 {
        if minute == 1 {
            samples(&backend, &host, &[("memory_usage_percent", None, 1.0)]).await;
        }
        if !(60..80).contains(&minute) {
            sample(&backend, &host, 1.0).await;
        }
        if minute == 30 {
            send(&backend, &host, &upgraded()).await;
        } else if minute == 90 {
            send(&backend, &host, &debian()).await;
        } else {
            backend.clock.advance(60);
        }
    }
    let path = format!(
        "/alert-rules/preview?from={START}&to={}",
        backend.now().timestamp()
    );
    let tried = async |condition: Value, for_seconds: u32| {
        let rule = json!({ "name": "n", "severity": "warning", "condition": condition, "for_seconds": for_seconds });
        let (status, preview) = post(&backend, &path, rule).await;
        assert_eq!(status, 200, "{preview}");
        preview["firings"].as_array().unwrap().clone()
    };
    let minutes = |firing: &Value, field: &str| {
        let at: chrono::DateTime<chrono::Utc> = firing[field].as_str().unwrap().parse().unwrap();
        (at.timestamp() - START) / 60
    };
    let silent = tried(json!({ "kind": "absence" }), 600).await;
    assert_eq!(silent.len(), 1, "{silent:?}");
    assert_eq!(
        (
            minutes(&silent[0], "started_at"),
            minutes(&silent[0], "ended_at")
        ),
        (70, 81)
    );
    let drifted = tried(json!({ "kind": "drift", "section": "packages" }), 0).await;
    assert_eq!(drifted.len(), 1, "{drifted:?}");
    assert_eq!(
        (
            minutes(&drifted[0], "started_at"),
            minutes(&drifted[0], "ended_at")
        ),
        (31, 91)
    );
    // Nothing is missing of a host that is silent as a whole; of one that reports it is.
    let cpu = json!({ "kind": "threshold", "metric": "cpu_usage_percent", "operator": "gt", "value": 90 });
    let memory = json!({ "kind": "threshold", "metric": "memory_usage_percent", "operator": "gt", "value": 90 });
    for (condition, count) in [(cpu, 0), (memory, 1)] {
        let rule = json!({ "name": "n", "severity": "warning", "condition": condition, "no_data": "alert" });
        let (_, preview) = post(&backend, &path, rule).await;
        assert_eq!(preview["firing_count"], json!(count), "{preview}");
    }
    let drifted = tried(json!({ "kind": "drift", "section": "packages" }), 1200).await;
    assert_eq!(minutes(&drifted[0], "started_at"), 51);
    assert_eq!(
        tried(json!({ "kind": "drift", "section": "os" }), 0)
            .await
            .len(),
        0
    );
}

#[tokio::test]
async fn rules_are_checked() {
    let backend = Backend::start().await;
    backend.enroll("web-1").await;
    let unknown = Uuid::now_v7();
    let threshold = |more: Value| {
        let mut condition = json!({ "kind": "threshold", "metric": "cpu_usage_percent", "operator": "gt", "value": 90 });
        for (key, value) in more.as_object().unwrap() {
            condition[key] = value.clone();
        }
        json!({ "condition": condition })
    };
    for (more, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "severity": "bad" }), "severity"),
        (json!({ "enabled": "yes" }), "enabled"),
        (json!({ "for_seconds": -1 }), "for_seconds"),
        (json!({ "for_seconds": 604_801 }), "for_seconds"),
        (json!({ "for_seconds": 1.5 }), "for_seconds"),
        (json!({ "clear_value": 91 }), "clear_value"),
        (json!({ "no_data": "maybe" }), "no_data"),
        (
            json!({ "repeat_interval_seconds": 59 }),
            "repeat_interval_seconds",
        ),
        (json!({ "channels": [unknown] }), "channels[0]"),
        (json!({ "channels": ["x"] }), "channels[0]"),
        (
            json!({ "selector": { "host_ids": [] } }),
            "selector.host_ids",
        ),
        (json!({ "selector": { "role": "web" } }), "selector.role"),
        (json!({ "other": 1 }), "other"),
        (
            threshold(json!({ "metric": "no_such_metric" })),
            "condition.metric",
        ),
        (threshold(json!({ "metric": "CPU" })), "condition.metric"),
        (threshold(json!({ "metric": null })), "condition.metric"),
        (threshold(json!({ "operator": null })), "condition.operator"),
        (threshold(json!({ "operator": "eq" })), "condition.operator"),
        (threshold(json!({ "value": "90" })), "condition.value"),
        (
            threshold(json!({ "within_seconds": 60 })),
            "condition.within_seconds",
        ),
        (
            threshold(json!({ "section": "packages" })),
            "condition.section",
        ),
        (
            threshold(json!({ "kind": "forecast" })),
            "condition.within_seconds",
        ),
        (threshold(json!({ "kind": "absence" })), "condition.metric"),
        (
            json!({ "condition": { "kind": "drift", "value": 1 } }),
            "condition.value",
        ),
        (
            json!({ "condition": { "kind": "absence" }, "clear_value": 1 }),
            "clear_value",
        ),
        (json!({ "condition": {} }), "condition.kind"),
    ] {
        for path in ["/alert-rules", "/alert-rules/preview"] {
            let (status, problem) = post(&backend, path, cpu_rule(&more)).await;
            assert_eq!(status, 422, "{more}: {problem}");
            assert_eq!(problem["errors"][0]["field"], field, "{more}: {problem}");
        }
    }
    let rule_id = create_rule(&backend, cpu_rule(&json!({ "clear_value": 80 }))).await;
    let path = format!("/alert-rules/{rule_id}");
    let change = async |body: Value| call(&backend, Method::PATCH, &path, Some(body)).await;
    let (status, problem) = change(threshold(json!({ "value": 70 }))).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("clear_value"))
    );
    let (_, changed) = change(json!({ "clear_value": 90, "repeat_interval_seconds": 3600 })).await;
    assert_eq!(
        (&changed["clear_value"], &changed["repeat_interval_seconds"]),
        (&Value::Null, &json!(3600))
    );
    let (_, changed) = change(json!({ "repeat_interval_seconds": 0 })).await;
    assert_eq!(changed["repeat_interval_seconds"], Value::Null);
    let nothing = format!("/alert-rules/{unknown}");
    assert_eq!(
        call(&backend, Method::PATCH, &nothing, Some(json!({})))
            .await
            .0,
        404
    );
    assert_eq!(call(&backend, Method::DELETE, &nothing, None).await.0, 404);
    // A custom metric counts once any host sent it.
    let host = backend.enroll("custom").await;
    samples(&backend, &host, &[("queue_length", None, 5.0)]).await;
    create_rule(
        &backend,
        cpu_rule(&threshold(json!({ "metric": "queue_length" }))),
    )
    .await;
    let audit = get(&backend, "/audit").await;
    let actions: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert!(
        actions.contains(&"alert_rule.create") && actions.contains(&"alert_rule.update"),
        "{actions:?}"
    );
}

#[tokio::test]
async fn rules_that_come_with_the_product_are_made_once_and_are_ones_own_to_change() {
    let backend = Backend::start().await;
    alert_rule::create_defaults(&backend.app).await.unwrap();
    let rules = get(&backend, "/alert-rules").await["items"]
        .as_array()
        .unwrap()
        .clone();
    let mut said: Vec<String> = rules
        .iter()
        .map(|rule| {
            assert_eq!(
                (&rule["is_default"], &rule["enabled"]),
                (&json!(true), &json!(true))
            );
            format!(
                "{}: {}",
                rule["severity"].as_str().unwrap(),
                rule["sentence"].as_str().unwrap()
            )
        })
        .collect();
    said.sort();
    assert_eq!(
        said,
        [
            "critical: The host is silent",
            "critical: The host shows another host key than the one that is known",
            "critical: disk_usage_percent is above 90 % for 5 min",
            "warning: cpu_usage_percent is above 90 % for 5 min",
            "warning: disk_usage_percent is above 80 % for 5 min",
            "warning: disk_usage_percent will be at or above 100 % within 24 h for 30 min",
            "warning: memory_usage_percent is above 90 % for 5 min",
        ]
    );
    let path = |rule: &Value| format!("/alert-rules/{}", rule["rule_id"].as_str().unwrap());
    let (_, changed) = call(
        &backend,
        Method::PATCH,
        &path(&rules[0]),
        Some(json!({ "for_seconds": 60 })),
    )
    .await;
    assert_eq!(changed["is_default"], false);
    for rule in &rules {
        assert_eq!(
            call(&backend, Method::DELETE, &path(rule), None).await.0,
            204
        );
    }
    alert_rule::create_defaults(&backend.app).await.unwrap();
    assert_eq!(get(&backend, "/alert-rules").await["items"], json!([]));
}

#[tokio::test]
async fn acknowledging_is_for_what_fires_and_once() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    create_rule(&backend, cpu_rule(&json!({}))).await;
    timeline(&backend, &host, &[95.0]).await;
    let acknowledge = async |alert: &Value, comment: &str| {
        let path = format!(
            "/alerts/{}/acknowledge",
            alert["alert_id"].as_str().unwrap()
        );
        post(&backend, &path, json!({ "comment": comment })).await
    };
    let pending = alerts(&backend, "").await[0].clone();
    assert_eq!(acknowledge(&pending, "early").await.0, 409);
    timeline(&backend, &host, &[95.0, 95.0]).await;
    let firing = alerts(&backend, "").await[0].clone();
    assert_eq!(firing["alert_id"], pending["alert_id"]);
    let (status, known) = acknowledge(&firing, "on it").await;
    assert_eq!(status, 200, "{known}");
    assert_eq!(known["acknowledgement"]["by"], "admin");
    assert_eq!(known["acknowledgement"]["comment"], "on it");
    assert_eq!(acknowledge(&firing, "again").await.0, 409);
    timeline(&backend, &host, &[10.0]).await;
    let over = alerts(&backend, "").await[0].clone();
    assert_eq!(over["acknowledgement"]["comment"], "on it");
    assert_eq!(acknowledge(&over, "late").await.0, 409);
    let nobody = json!({ "alert_id": Uuid::now_v7() });
    assert_eq!(acknowledge(&nobody, "").await.0, 404);
}

#[tokio::test]
async fn the_evaluation_says_how_it_does() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    create_rule(&backend, cpu_rule(&json!({}))).await;
    timeline(&backend, &host, &[95.0]).await;
    let system = get(&backend, "/system").await;
    let figures = &system["alerts"];
    assert_eq!(
        (&figures["pending"], &figures["firing"], &figures["watches"]),
        (&json!(1), &json!(0), &json!(1))
    );
    assert_eq!(figures["lag_seconds"], 10.0);
    let bytes = figures["watch_bytes"].as_u64().unwrap();
    assert!((50..1000).contains(&bytes), "{bytes}");
    timeline(&backend, &host, &[95.0, 95.0]).await;
    let token = backend.token("viewer").await;
    let page = reqwest::Client::new()
        .get(backend.url("/metrics"))
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    let page = page.text().await.unwrap();
    for line in [
        "infra_watch_alerts{state=\"firing\"} 1",
        "infra_watch_alert_transitions_total{transition=\"firing\"} 1",
        "infra_watch_alert_evaluation{figure=\"watches\"} 1",
        "infra_watch_notifications{figure=\"waiting\"} 0",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
}
