//! Alerts on a clock that tests move: samples, evaluations and what came of them.
#![expect(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use infra_watch::flows::job::{Job, run_scheduled};
use serde_json::{Value, json};

use crate::configuration::{get, post};
use crate::support::{Backend, Host, report, report_of};

/// Runs a job as the clock would.
pub async fn run(backend: &Backend, job: Job) {
    run_scheduled(&backend.app, job).await.unwrap().unwrap();
}

pub async fn evaluate(backend: &Backend) {
    run(backend, Job::Evaluate).await;
}

pub async fn deliver(backend: &Backend) {
    run(backend, Job::Deliver).await;
}

/// A rule on the processor of every host.
pub fn cpu_rule(more: &Value) -> Value {
    let mut rule = json!({
        "name": "Busy", "severity": "warning", "enabled": true, "selector": {},
        "condition": { "kind": "threshold", "metric": "cpu_usage_percent", "operator": "gt", "value": 90 },
        "for_seconds": 60, "no_data": "keep", "channels": [],
    });
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    rule
}

/// Makes a rule and returns its id.
pub async fn create_rule(backend: &Backend, rule: Value) -> String {
    let (status, made) = post(backend, "/alert-rules", rule).await;
    assert_eq!(status, 201, "{made}");
    made["rule_id"].as_str().unwrap().to_owned()
}

/// Sends a sample of the processor taken now.
pub async fn sample(backend: &Backend, host: &Host, value: f64) {
    let body = report(&[(backend.now().timestamp(), Some(value))]);
    host.agent.submit_report().body(body).send().await.unwrap();
}

/// Sends samples of several series taken now.
pub async fn samples(backend: &Backend, host: &Host, values: &[(&str, Option<&str>, f64)]) {
    let series: Vec<_> = values
        .iter()
        .map(|(metric, instance, _)| (*metric, *instance))
        .collect();
    let row = values.iter().map(|(_, _, value)| Some(*value)).collect();
    let body = report_of(&series, &[(backend.now().timestamp(), row)]);
    host.agent.submit_report().body(body).send().await.unwrap();
}

/// Each sample, then three evaluations ten seconds apart; the state of the first alert after the last of them.
pub async fn timeline(backend: &Backend, host: &Host, values: &[f64]) -> Vec<String> {
    let mut said = Vec::new();
    for value in values {
        sample(backend, host, *value).await;
        said.push(third(backend).await);
    }
    said
}

/// Three evaluations ten seconds apart, and the state of the first alert then.
pub async fn third(backend: &Backend) -> String {
    for _ in 0..3 {
        evaluate(backend).await;
        backend.clock.advance(10);
    }
    state(backend).await
}

/// The state of the first alert of the list, `ok` without one.
pub async fn state(backend: &Backend) -> String {
    let alerts = alerts(backend, "").await;
    alerts
        .first()
        .map_or("ok", |alert| alert["state"].as_str().unwrap())
        .to_owned()
}

/// Alerts of the list.
pub async fn alerts(backend: &Backend, query: &str) -> Vec<Value> {
    let page = get(backend, &format!("/alerts{query}")).await;
    page["items"].as_array().unwrap().clone()
}
