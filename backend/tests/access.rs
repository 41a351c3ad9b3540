//! Who may: every operation of the document, against every kind of token.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use infra_watch_client::types;
use reqwest::{Client, Method};
use support::{Backend, status};
use uuid::Uuid;

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Anyone: no token is looked at.
    Open,
    /// The refresh cookie.
    Cookie,
    Key,
    Agent,
    Collector,
    Viewer,
    Operator,
    Admin,
}

use Access::{Admin, Agent, Collector, Cookie, Key, Open, Operator, Viewer};

/// Every operation stands here, or the test fails.
const TABLE: &[(&str, Access)] = &[
    ("login", Open),
    ("refresh_session", Cookie),
    ("logout", Viewer),
    ("get_me", Viewer),
    ("change_password", Viewer),
    ("list_users", Admin),
    ("create_user", Admin),
    ("get_user", Admin),
    ("update_user", Admin),
    ("delete_user", Admin),
    ("list_api_tokens", Viewer),
    ("create_api_token", Viewer),
    ("delete_api_token", Viewer),
    ("list_audit_entries", Admin),
    ("get_system", Admin),
    ("run_job", Admin),
    ("create_backup", Admin),
    ("list_enrollment_keys", Admin),
    ("create_enrollment_key", Admin),
    ("delete_enrollment_key", Admin),
    ("enroll_agent", Key),
    ("renew_agent_token", Agent),
    ("submit_report", Agent),
    ("list_collector_tokens", Admin),
    ("create_collector_token", Admin),
    ("delete_collector_token", Admin),
    ("lease_hosts", Collector),
    ("hand_in_report", Collector),
    ("list_hosts", Viewer),
    ("create_host", Admin),
    ("confirm_host_key", Admin),
    ("collect_host", Admin),
    ("trace_collection", Admin),
    ("get_host", Viewer),
    ("update_host", Admin),
    ("delete_host", Admin),
    ("issue_host_token", Admin),
    ("accept_set_aside_machine", Admin),
    ("forget_set_aside_machine", Admin),
    ("list_snapshots", Operator),
    ("get_snapshot", Operator),
    ("diff_snapshots", Operator),
    ("list_host_changes", Operator),
    ("get_change_set", Operator),
    ("list_changes", Operator),
    ("list_host_drift", Operator),
    ("list_drift", Operator),
    ("list_drift_states", Operator),
    ("approve_host_drift", Admin),
    ("approve_drift", Admin),
    ("list_baselines", Operator),
    ("list_drift_rules", Admin),
    ("create_drift_rule", Admin),
    ("delete_drift_rule", Admin),
    ("search_inventory", Operator),
    ("compare_group", Operator),
    ("list_alert_rules", Operator),
    ("create_alert_rule", Admin),
    ("preview_alert_rule", Admin),
    ("get_alert_rule", Operator),
    ("update_alert_rule", Admin),
    ("delete_alert_rule", Admin),
    ("list_alerts", Operator),
    ("get_alert", Operator),
    ("acknowledge_alert", Operator),
    ("list_silences", Operator),
    ("create_silence", Admin),
    ("delete_silence", Admin),
    ("list_channels", Admin),
    ("create_channel", Admin),
    ("update_channel", Admin),
    ("delete_channel", Admin),
    ("test_channel", Admin),
    ("list_metrics", Viewer),
    ("list_series", Viewer),
    ("get_samples", Viewer),
    ("get_trends", Viewer),
    ("get_fleet_trends", Viewer),
    ("get_top", Viewer),
];

/// What a caller holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bearer {
    Nothing,
    Garbage,
    Tampered,
    Viewer,
    Operator,
    Admin,
    ViewerApiToken,
    Agent,
    Collector,
    EnrollmentKey,
}

fn expected(access: Access, bearer: Bearer) -> Option<u16> {
    let role = match bearer {
        Bearer::Viewer | Bearer::ViewerApiToken => Some(0),
        Bearer::Operator => Some(1),
        Bearer::Admin => Some(2),
        _ => None,
    };
    match access {
        Open => None,
        Cookie => Some(401),
        Key => (bearer != Bearer::EnrollmentKey).then_some(401),
        Agent => (bearer != Bearer::Agent).then_some(401),
        Collector => (bearer != Bearer::Collector).then_some(401),
        Viewer | Operator | Admin => match role {
            None => Some(401),
            Some(role) if access == Admin && role < 2 => Some(403),
            Some(role) if access == Operator && role < 1 => Some(403),
            Some(_) => None,
        },
    }
}

struct Operation {
    id: String,
    method: Method,
    path: String,
}

fn operations() -> Vec<Operation> {
    let document: serde_json::Value = serde_json::from_str(&infra_watch::http::document()).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
            });
        }
    }
    operations
}

async fn call(backend: &Backend, operation: &Operation, token: Option<&str>) -> u16 {
    let path: String = operation
        .path
        .split('/')
        .map(|segment| {
            if segment.starts_with('{') {
                Uuid::now_v7().to_string()
            } else {
                segment.to_owned()
            }
        })
        .collect::<Vec<_>>()
        .join("/");
    let mut request = Client::new().request(
        operation.method.clone(),
        backend.url(&format!("/api/v1{path}")),
    );
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if operation.method == Method::POST || operation.method == Method::PATCH {
        request = request
            .header("content-type", "application/json")
            .body("{}");
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    if status >= 400 {
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json",
            "{}",
            operation.id
        );
        assert_eq!(
            response.headers().contains_key("www-authenticate"),
            status == 401,
            "{}",
            operation.id
        );
        let problem: serde_json::Value = response.json().await.unwrap();
        assert_eq!(problem["status"], status, "{}", operation.id);
    }
    status
}

#[tokio::test]
async fn every_operation_refuses_whom_it_should() {
    let backend = Backend::start().await;
    let operations = operations();
    let named: Vec<&str> = TABLE.iter().map(|(id, _)| *id).collect();
    for operation in &operations {
        assert!(
            named.contains(&operation.id.as_str()),
            "{} is not in the table",
            operation.id
        );
    }
    assert_eq!(named.len(), operations.len());

    let host = backend.enroll("web-1").await;
    let admin = backend.client("admin").await;
    let key = admin
        .create_enrollment_key()
        .body(types::CreateEnrollmentKey::builder().name("k"))
        .send()
        .await
        .unwrap();
    let api_token = types::CreateApiToken::builder()
        .name("t")
        .role(types::Role::Viewer);
    let api_token = admin
        .create_api_token()
        .body(api_token)
        .send()
        .await
        .unwrap()
        .into_inner()
        .token;
    let collector = types::CreateCollectorToken::builder()
        .name("c")
        .selector(types::Selector::builder());
    let collector = admin
        .create_collector_token()
        .body(collector)
        .send()
        .await
        .unwrap()
        .into_inner()
        .token;
    let mut tampered = backend.token("admin").await;
    let last = tampered.pop().unwrap();
    tampered.push(if last == 'A' { 'Q' } else { 'A' });
    let mut bearers: BTreeMap<Bearer, Option<String>> = BTreeMap::from([
        (Bearer::Nothing, None),
        (Bearer::Garbage, Some("garbage".to_owned())),
        (Bearer::Tampered, Some(tampered)),
        (Bearer::ViewerApiToken, Some(api_token)),
        (Bearer::Agent, Some(host.token.clone())),
        (Bearer::Collector, Some(collector)),
        (Bearer::EnrollmentKey, Some(key.into_inner().key)),
    ]);
    let mut wrong = Vec::new();
    for operation in &operations {
        let access = TABLE.iter().find(|(id, _)| *id == operation.id).unwrap().1;
        // A logout ends the session: fresh ones for each operation that may.
        if operation.id == "logout" || bearers.len() < 10 {
            for (bearer, name) in [
                (Bearer::Viewer, "viewer"),
                (Bearer::Operator, "operator"),
                (Bearer::Admin, "admin"),
            ] {
                bearers.insert(bearer, Some(backend.token(name).await));
            }
        }
        for (bearer, token) in &bearers {
            let status = call(&backend, operation, token.as_deref()).await;
            let right = match expected(access, *bearer) {
                Some(expected) => status == expected,
                None => status < 500 && (![401, 403].contains(&status) || operation.id == "login"),
            };
            if !right {
                wrong.push(format!("{} with {bearer:?}: {status}", operation.id));
            }
        }
        if operation.id == "logout" {
            bearers.retain(|bearer, _| {
                ![Bearer::Viewer, Bearer::Operator, Bearer::Admin].contains(bearer)
            });
        }
        if operation.id == "renew_agent_token" {
            // The token in use stays valid until the next renewal.
            assert_eq!(call(&backend, operation, Some(&host.token)).await, 200);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn another_users_token_is_not_there() {
    let backend = Backend::start().await;
    let (viewer, operator) = (
        backend.client("viewer").await,
        backend.client("operator").await,
    );
    let body = types::CreateApiToken::builder()
        .name("mine")
        .role(types::Role::Viewer);
    let token = viewer
        .create_api_token()
        .body(body)
        .send()
        .await
        .unwrap()
        .into_inner();
    let refused = operator
        .delete_api_token()
        .token_id(token.token_id)
        .send()
        .await;
    assert_eq!(status(refused.unwrap_err()), 404);
    assert!(
        operator
            .list_api_tokens()
            .send()
            .await
            .unwrap()
            .items
            .is_empty()
    );
    // The owner's works until it is revoked.
    let script = backend.with_token(&token.token);
    script.get_me().send().await.unwrap();
    viewer
        .delete_api_token()
        .token_id(token.token_id)
        .send()
        .await
        .unwrap();
    assert_eq!(status(script.get_me().send().await.unwrap_err()), 401);
}

#[tokio::test]
async fn an_api_token_is_never_above_its_owner() {
    let backend = Backend::start().await;
    let admin = backend.client("admin").await;
    let above = types::CreateApiToken::builder()
        .name("t")
        .role(types::Role::Admin);
    let refused = backend
        .client("operator")
        .await
        .create_api_token()
        .body(above.clone())
        .send()
        .await;
    assert_eq!(status(refused.unwrap_err()), 422);
    // An owner who is demoted takes the token down too.
    let user = types::CreateUser::builder()
        .username("second")
        .password(support::PASSWORD)
        .role(types::Role::Admin);
    let user = admin
        .create_user()
        .body(user)
        .send()
        .await
        .unwrap()
        .into_inner();
    let second = backend.client("second").await;
    let script = backend.with_token(
        &second
            .create_api_token()
            .body(above)
            .send()
            .await
            .unwrap()
            .into_inner()
            .token,
    );
    script.list_users().send().await.unwrap();
    let demoted = types::UpdateUser::builder().role(types::Role::Viewer);
    admin
        .update_user()
        .user_id(user.user_id)
        .body(demoted)
        .send()
        .await
        .unwrap();
    assert_eq!(status(script.list_users().send().await.unwrap_err()), 403);
    admin
        .delete_user()
        .user_id(user.user_id)
        .send()
        .await
        .unwrap();
    assert_eq!(status(script.get_me().send().await.unwrap_err()), 401);
}

#[tokio::test]
async fn figures_for_prometheus_need_a_viewer() {
    let backend = Backend::start().await;
    let get = |token: Option<String>| {
        let request = Client::new().get(backend.url("/metrics"));
        let request = token
            .into_iter()
            .fold(request, reqwest::RequestBuilder::bearer_auth);
        async move { request.send().await.unwrap() }
    };
    assert_eq!(get(None).await.status(), 401);
    assert_eq!(
        get(Some(backend.enroll("web-1").await.token))
            .await
            .status(),
        401
    );
    let page = get(Some(backend.token("viewer").await))
        .await
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("infra_watch_logins_total{outcome=\"ok\"}"),
        "{page}"
    );
}
