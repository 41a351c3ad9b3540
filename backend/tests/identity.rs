//! Copies of a host: set aside until an admin decides.

#[path = "support/configuration.rs"]
mod configuration;
mod support;

use configuration::{call, get};
use infra_watch_client::types;
use serde_json::json;
use support::{Backend, facts, report, status};

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
