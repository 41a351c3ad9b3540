//! Every operation of the document, tried out by schemathesis: no 5xx, nothing that the document does not say.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/process.rs"]
mod process;

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use infra_watch_client::{ClientInfo as _, types};
use process::{ENROLLMENT_KEY, PASSWORD, Site, unix_now, until};
use serde_json::json;
use uuid::Uuid;

/// Objects of each kind for calls to work on, and to remove.
const OBJECTS: usize = 40;
/// Of these, hosts and users that are not removed.
const LASTING: usize = 5;
/// Below this share of 2xx, too few calls reach anything to prove anything.
const LEAST_SUCCESS_PERCENT: u64 = 30;

/// Where `scripts/need.sh test` puts it.
fn schemathesis() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let program = target.join("schemathesis/bin/schemathesis");
    assert!(
        program.exists(),
        "{} is not there: scripts/need.sh test",
        program.display()
    );
    program
}

/// Fills the backend and returns the words of the configuration with what stands for them.
async fn seed(site: &Site) -> Vec<(&'static str, String)> {
    let admin = site.admin().await;
    let (mut hosts, mut users, mut keys, mut tokens) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut rules, mut change_sets, mut sides) = (Vec::new(), Vec::new(), Vec::new());
    let (mut alert_rules, mut channels, mut silences) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..OBJECTS {
        let (host_id, agent) = site.enroll(&format!("host-{number}")).await;
        for openssl in ["3.0.13", "3.0.14"] {
            let report = agent.submit_report().body(report(openssl));
            report.send().await.unwrap();
        }
        hosts.push(host_id);
        let rule = types::CreateDriftRule::builder()
            .kind(types::DriftRuleKind::Ignore)
            .section("packages")
            .key("doomed")
            .reason("for a test");
        let rule = admin.create_drift_rule().body(rule).send().await;
        rules.push(rule.unwrap().rule_id);
        let rule = serde_json::from_value::<types::CreateAlertRule>(json!({
            "name": "doomed", "severity": "warning", "selector": { "host_ids": [host_id] },
            "condition": { "kind": "threshold", "metric": "cpu_usage_percent", "operator": "gte", "value": 0 },
        }));
        let rule = admin.create_alert_rule().body(rule.unwrap()).send().await;
        alert_rules.push(rule.unwrap().rule_id);
        // Nobody may post there, and nobody needs to be asked.
        let channel = serde_json::from_value::<types::CreateChannel>(json!({
            "name": "doomed", "kind": "webhook", "url": "http://127.0.0.1:9/", "secret": "doomed",
        }));
        let channel = admin.create_channel().body(channel.unwrap()).send().await;
        channels.push(channel.unwrap().channel_id);
        let silence = types::CreateSilence::builder()
            .comment("doomed")
            .to(chrono::DateTime::from_timestamp(unix_now() + 86_400, 0).unwrap());
        let silence = admin.create_silence().body(silence).send().await;
        silences.push(silence.unwrap().silence_id);
        let user = types::CreateUser::builder()
            .username(format!("user-{number}"))
            .password(PASSWORD);
        let user = admin
            .create_user()
            .body(user.role(types::Role::Viewer))
            .send()
            .await
            .unwrap()
            .into_inner();
        users.push(user.user_id);
        let key = types::CreateEnrollmentKey::builder().name("doomed");
        keys.push(
            admin
                .create_enrollment_key()
                .body(key)
                .send()
                .await
                .unwrap()
                .into_inner()
                .key_id,
        );
        let token = types::CreateApiToken::builder()
            .name("doomed")
            .role(types::Role::Viewer);
        tokens.push(
            admin
                .create_api_token()
                .body(token)
                .send()
                .await
                .unwrap()
                .into_inner()
                .token_id,
        );
    }
    let (mut collectors, mut collector_token) = (Vec::new(), String::new());
    for _ in 0..OBJECTS {
        let token = types::CreateCollectorToken::builder()
            .name("doomed")
            .selector(types::Selector::builder());
        let token = admin.create_collector_token().body(token).send().await;
        let token = token.unwrap().into_inner();
        collectors.push(token.token_id);
        collector_token = token.token;
    }
    // One host that a collector had, which also the backend may ask, and does not reach.
    let pulled = json!({
        "name": "pulled", "interval_seconds": 86400,
        "collection": { "kind": "http", "url": "http://127.0.0.1:9/report", "token": "t", "collected_by": "collector" },
    });
    let pulled: types::CreateHost = serde_json::from_value(pulled).unwrap();
    let pulled = admin.create_host().body(pulled).send().await.unwrap();
    let lent = redeem(site, &collector_token, pulled.host_id).await;
    let anybody = json!({ "collection": { "kind": "http", "collected_by": "any" } });
    let anybody: types::UpdateHost = serde_json::from_value(anybody).unwrap();
    let update = admin.update_host().host_id(pulled.host_id).body(anybody);
    update.send().await.unwrap();
    for role in [types::Role::Operator, types::Role::Viewer] {
        let user = types::CreateUser::builder()
            .username(role.to_string())
            .password(PASSWORD)
            .role(role);
        admin.create_user().body(user).send().await.unwrap();
    }
    for host_id in &hosts[..LASTING] {
        let changes = admin.list_host_changes().host_id(*host_id).send().await;
        change_sets.push(changes.unwrap().items[0].change_set_id);
        sides.push(format!("\"{host_id}:latest\", \"{host_id}:baseline\""));
    }
    admin.run_job().name("evaluate").send().await.unwrap();
    let alerts = admin.list_alerts().send().await.unwrap().into_inner();
    let alerts: Vec<Uuid> = alerts.items.iter().map(|alert| alert.alert_id).collect();
    assert_eq!(alerts.len(), OBJECTS);
    let (_, agent) = site.enroll("agent").await;
    let page = admin
        .list_users()
        .limit(NonZeroU64::MIN)
        .send()
        .await
        .unwrap()
        .into_inner();
    vec![
        ("AGENT_TOKEN", agent.inner().get().unwrap()),
        ("COLLECTOR_TOKEN", collector_token),
        ("ENROLLMENT_KEY", ENROLLMENT_KEY.to_owned()),
        ("CHANGE_SETS", list(&change_sets)),
        ("SIDES", sides.join(", ")),
        // Longer words first: each is replaced wherever it stands.
        ("ALERT_RULES", list(&alert_rules)),
        ("ALERTS", list(&alerts)),
        ("LENT_HOSTS", list(&[pulled.host_id])),
        ("LENT_LEASES", list(&[lent])),
        // One stays: its token is used.
        ("DOOMED_COLLECTORS", list(&collectors[1..OBJECTS - 1])),
        ("DOOMED_CHANNELS", list(&channels)),
        ("DOOMED_SILENCES", list(&silences)),
        ("DOOMED_RULES", list(&rules)),
        ("DOOMED_HOSTS", list(&hosts[LASTING..])),
        ("DOOMED_USERS", list(&users[LASTING..])),
        ("DOOMED_KEYS", list(&keys)),
        ("DOOMED_TOKENS", list(&tokens)),
        ("HOSTS", list(&hosts[..LASTING])),
        ("USERS", list(&users[..LASTING])),
        ("STARTS", times(unix_now() - 1800)),
        ("ENDS", times(unix_now() + 300)),
        ("CURSOR", page.next_cursor.unwrap()),
    ]
}

/// Leases a host as a collector does, when nobody else is at it, and hands in: the lease.
async fn redeem(site: &Site, token: &str, host_id: Uuid) -> Uuid {
    let collector = site.client(Some(token));
    let wanted = json!({ "max": 1, "selector": { "host_ids": [host_id] } });
    let wanted: types::RequestLease = serde_json::from_value(wanted).unwrap();
    let lease = until("the host is lent", 60, || async {
        let leases = collector.lease_hosts().body(wanted.clone()).send().await;
        leases.unwrap().into_inner().items.into_iter().next()
    })
    .await;
    let brought = json!({ "lease_id": lease.lease_id, "error": { "step": "connect", "reason": "for a test" } });
    let brought: types::HandIn = serde_json::from_value(brought).unwrap();
    let hand_in = collector.hand_in_report().host_id(host_id).body(brought);
    hand_in.send().await.unwrap();
    lease.lease_id
}

fn list(ids: &[Uuid]) -> String {
    ids.iter()
        .map(|id| format!("\"{id}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Both forms of a moment.
fn times(at: i64) -> String {
    let long = chrono::DateTime::from_timestamp(at, 0).unwrap();
    format!(
        "\"{at}\", \"{}\"",
        long.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    )
}

/// Some minutes of a host, and its configuration.
fn report(openssl: &str) -> types::Report {
    let now = unix_now();
    let taken_at = chrono::DateTime::from_timestamp(now, 0);
    let sections = json!({
        "packages": { "dpkg/openssl:amd64": openssl, "dpkg/bash:amd64": "5.2" },
        "os": { "id": "debian", "kernel": "6.1" },
    });
    let points: Vec<_> = (0..10)
        .map(|age| json!({ "at": now - age * 60, "values": [age, 1.5, null] }))
        .collect();
    serde_json::from_value(json!({
        "report_id": Uuid::new_v4(), "agent_version": "0.1.0", "sent_at": chrono::DateTime::from_timestamp(now, 0),
        "interval_seconds": 60, "snapshot_interval_seconds": 3600, "points": points,
        "snapshot": { "taken_at": taken_at, "sections": sections },
        "series": [{ "metric": "cpu_usage_percent" }, { "metric": "disk_usage_percent", "instance": "/" }, { "metric": "load1" }],
    }))
    .unwrap()
}

/// Calls that the backend answered so far: all, and those with 2xx.
async fn calls(site: &Site, token: &str) -> (u64, u64) {
    let page = reqwest::Client::new()
        .get(site.url("/metrics"))
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    let page = page.error_for_status().unwrap().text().await.unwrap();
    let counters = page
        .lines()
        .filter(|line| line.starts_with("infra_watch_http_requests_total{"));
    counters.fold((0, 0), |(all, success), line| {
        let count: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        (
            all + count,
            success
                + if line.contains("status=\"2") {
                    count
                } else {
                    0
                },
        )
    })
}

/// Tries out the document in a role and returns how many percent of the calls succeeded.
async fn run(
    site: &Site,
    seed: &[(&'static str, String)],
    role: types::Role,
    examples: u32,
) -> u64 {
    let token = site.token(&role.to_string()).await;
    let mut config = include_str!("schemathesis/config.toml").to_owned();
    let words = [
        ("USER_TOKEN", token.clone()),
        ("EXAMPLES", examples.to_string()),
    ];
    for (word, value) in seed.iter().chain(&words) {
        config = config.replace(word, value);
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("schemathesis.toml"), config).unwrap();
    let before = calls(site, &token).await;
    let mut command = Command::new(schemathesis());
    command
        .args(["run", "--no-color", &site.url("/openapi.json")])
        .current_dir(directory.path());
    let output =
        tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap())
            .await
            .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let after = calls(site, &token).await;
    let (all, success) = (after.0 - before.0, after.1 - before.1);
    println!("{role}: {all} calls, {success} of them with 2xx");
    success * 100 / all.max(1)
}

/// A fresh backend, tried out in a role.
async fn check(role: types::Role, examples: u32, least_success_percent: u64) {
    let site = Site::new();
    let mut backend = site.start(&["--log", "error"]).await;
    let seed = seed(&site).await;
    let percent = run(&site, &seed, role, examples).await;
    assert!(
        percent >= least_success_percent,
        "only {percent} % of the calls succeeded"
    );
    assert!(!backend.has_ended());
}

#[tokio::test]
async fn an_admin_finds_what_the_document_says() {
    check(types::Role::Admin, 60, LEAST_SUCCESS_PERCENT).await;
}

/// Whom most is forbidden to: what counts is that the document says so.
#[tokio::test]
async fn an_operator_finds_what_the_document_says() {
    check(types::Role::Operator, 10, 0).await;
}

#[tokio::test]
async fn a_viewer_finds_what_the_document_says() {
    check(types::Role::Viewer, 10, 0).await;
}
