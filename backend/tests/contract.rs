//! The published document: committed, current, and shaped so that a client can be generated from it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde_json::Value;

fn document() -> Value {
    serde_json::from_str(&infra_watch::http::document()).unwrap()
}

/// Every operation: path, method, and what the document says of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(|(method, operation)| (path.clone(), method.clone(), operation.clone()))
    });
    operations.collect()
}

#[test]
fn the_committed_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/openapi.json");
    let committed = fs::read_to_string(path).unwrap();
    assert!(
        committed == infra_watch::http::document(),
        "openapi/openapi.json is stale: run `make openapi`"
    );
}

#[test]
fn it_has_every_call_of_the_contract() {
    let document = document();
    let calls = [
        "POST /auth/login",
        "POST /auth/refresh",
        "POST /auth/logout",
        "GET /auth/me",
        "POST /auth/password",
        "GET /users",
        "POST /users",
        "GET /users/{user_id}",
        "PATCH /users/{user_id}",
        "DELETE /users/{user_id}",
        "GET /api-tokens",
        "POST /api-tokens",
        "DELETE /api-tokens/{token_id}",
        "GET /audit",
        "GET /system",
        "POST /backup",
        "POST /system/jobs/{name}/run",
        "GET /enrollment-keys",
        "POST /enrollment-keys",
        "DELETE /enrollment-keys/{key_id}",
        "POST /agent/enroll",
        "POST /agent/token",
        "POST /agent/reports",
        "GET /collector-tokens",
        "POST /collector-tokens",
        "DELETE /collector-tokens/{token_id}",
        "POST /collector/lease",
        "POST /collector/reports/{host_id}",
        "GET /hosts",
        "POST /hosts",
        "POST /hosts/{host_id}/host-key",
        "POST /hosts/{host_id}/collect",
        "POST /hosts/{host_id}/collect/trace",
        "GET /hosts/{host_id}",
        "PATCH /hosts/{host_id}",
        "DELETE /hosts/{host_id}",
        "POST /hosts/{host_id}/token",
        "POST /hosts/{host_id}/set-aside/{set_aside_id}/accept",
        "DELETE /hosts/{host_id}/set-aside/{set_aside_id}",
        "GET /hosts/{host_id}/snapshots",
        "GET /hosts/{host_id}/snapshots/{snapshot_id}",
        "GET /diff",
        "GET /hosts/{host_id}/changes",
        "GET /hosts/{host_id}/changes/{change_set_id}",
        "GET /changes",
        "GET /hosts/{host_id}/drift",
        "GET /drift",
        "GET /drift/hosts",
        "POST /hosts/{host_id}/drift/approve",
        "POST /drift/approve",
        "GET /hosts/{host_id}/baselines",
        "GET /drift-rules",
        "POST /drift-rules",
        "DELETE /drift-rules/{rule_id}",
        "GET /inventory",
        "GET /alert-rules",
        "POST /alert-rules",
        "POST /alert-rules/preview",
        "GET /alert-rules/{rule_id}",
        "PATCH /alert-rules/{rule_id}",
        "DELETE /alert-rules/{rule_id}",
        "GET /alerts",
        "GET /alerts/{alert_id}",
        "POST /alerts/{alert_id}/acknowledge",
        "GET /silences",
        "POST /silences",
        "DELETE /silences/{silence_id}",
        "GET /notification-channels",
        "POST /notification-channels",
        "PATCH /notification-channels/{channel_id}",
        "DELETE /notification-channels/{channel_id}",
        "POST /notification-channels/{channel_id}/test",
        "GET /groups/compare",
        "GET /metrics/catalog",
        "GET /hosts/{host_id}/series",
        "GET /hosts/{host_id}/samples",
        "GET /hosts/{host_id}/trends",
        "GET /trends",
        "GET /top",
    ];
    let published: Vec<String> = operations(&document)
        .iter()
        .map(|(path, method, _)| format!("{} {path}", method.to_uppercase()))
        .collect();
    for call in calls {
        assert!(
            published.iter().any(|published| published == call),
            "{call} is not in the document"
        );
    }
    assert_eq!(
        published.len(),
        calls.len(),
        "an operation has no place in this table"
    );
}

#[test]
fn every_operation_has_an_id_a_summary_and_problems_for_errors() {
    let document = document();
    let mut ids = Vec::new();
    for (path, method, operation) in operations(&document) {
        let place = format!("{method} {path}");
        let id = operation["operationId"]
            .as_str()
            .unwrap_or_else(|| panic!("{place} has no id"))
            .to_owned();
        assert!(operation["summary"].is_string(), "{place} has no summary");
        assert!(!ids.contains(&id), "{id} twice");
        ids.push(id);
        let responses = operation["responses"].as_object().unwrap();
        assert!(!responses.contains_key("default"), "{place}");
        let success: Vec<&String> = responses
            .keys()
            .filter(|status| status.starts_with('2'))
            .collect();
        assert_eq!(success.len(), 1, "{place} has successes {success:?}");
        for (status, response) in responses
            .iter()
            .filter(|(status, _)| !status.starts_with('2'))
        {
            let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(problem, "#/components/schemas/Problem", "{place} {status}");
        }
    }
}

#[test]
fn numbers_that_may_be_absent_are_nullable() {
    let document = document();
    let column = &document["components"]["schemas"]["Column"]["properties"];
    assert_eq!(column["values"]["items"]["nullable"], true);
    assert_eq!(
        document["components"]["schemas"]["Host"]["properties"]["cpu_usage_percent"]["nullable"],
        true
    );
    assert!(document["openapi"].as_str().unwrap().starts_with("3.0"));
}
