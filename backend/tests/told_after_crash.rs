//! The backend ended at any point of evaluating and telling, again and again: no notification is lost, and none has a
//! second key.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/count.rs"]
mod count;
#[path = "support/process.rs"]
mod process;
#[path = "support/random.rs"]
mod random;
mod support;
#[path = "support/webhook.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod webhook;

use std::collections::{BTreeMap, BTreeSet};

use count::count;
use infra_watch_client::{Client, types};
use process::{Process, Site, unix_now};
use random::Random;
use serde_json::json;
use support::report_of;
use webhook::Receiver;

/// Rounds in CI; `CRASH_ROUNDS` asks for more.
const ROUNDS: usize = 24;
/// Where the backend ends, and after how many passes at most.
const FAULT_POINTS: [(&str, i64); 6] = [
    ("evaluate.before", 8),
    ("evaluate.kept", 8),
    ("deliver.formed", 8),
    ("deliver.sent", 4),
    ("deliver.written", 4),
    ("append.written", 8),
];
/// Instances of the metric, each with an alert of its own.
const INSTANCES: usize = 4;
/// Reports after which a backend that has not ended is ended by hand.
const MOST_REPORTS: usize = 60;
const SECRET: &str = "between us";

async fn start(site: &Site, more: &[&str]) -> Process {
    let mut flags = vec!["--allow-private-egress"];
    flags.extend(more);
    site.start(&flags).await
}

/// Reports with values that come and go, an evaluation and a delivery after each, until the backend is gone.
async fn work(admin: &Client, agent: &Client, random: &mut Random, at: &mut i64) {
    for _ in 0..MOST_REPORTS {
        *at += 1;
        let names: Vec<String> = (0..INSTANCES).map(|number| format!("/{number}")).collect();
        let series: Vec<_> = names
            .iter()
            .map(|name| ("disk_usage_percent", Some(name.as_str())))
            .collect();
        let values = (0..INSTANCES).map(|_| Some(if random.below(3) == 0 { 95.0 } else { 5.0 }));
        let mut body = report_of(&series, &[(*at, values.collect())]);
        body.interval_seconds = 3600.try_into().unwrap();
        if agent.submit_report().body(body).send().await.is_err() {
            return;
        }
        for job in ["evaluate", "deliver"] {
            if admin.run_job().name(job).send().await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn ended_anywhere_it_loses_no_notification_and_gives_none_a_second_key() {
    let rounds = count("CRASH_ROUNDS", ROUNDS);
    let receiver = Receiver::start(SECRET).await;
    let site = Site::new();
    let backend = start(&site, &[]).await;
    let admin = site.admin().await;
    let channel: types::CreateChannel = serde_json::from_value(json!({
        "name": "On call", "kind": "webhook", "url": receiver.url(), "secret": SECRET,
    }))
    .unwrap();
    let channel = admin.create_channel().body(channel).send().await.unwrap();
    let rule: types::CreateAlertRule = serde_json::from_value(json!({
        "name": "Full", "severity": "critical", "channels": [channel.channel_id],
        "condition": { "kind": "threshold", "metric": "disk_usage_percent", "operator": "gt", "value": 90 },
    }))
    .unwrap();
    let rule_id = admin
        .create_alert_rule()
        .body(rule)
        .send()
        .await
        .unwrap()
        .rule_id;
    let (_, agent) = site.enroll("host").await;
    backend.kill();

    // Old samples count, as an hour passes between two of them.
    let mut at = unix_now() - 6000;
    let mut random = Random(5);
    let mut ended_by_itself = 0;
    for round in 0..rounds {
        let (name, most) = FAULT_POINTS[round % FAULT_POINTS.len()];
        let point = format!("{name}:{}", 1 + random.below(most));
        let mut backend = start(&site, &["--fault-point", &point]).await;
        receiver.answer(if round % 5 == 4 { 500 } else { 200 });
        work(&site.admin().await, &agent, &mut random, &mut at).await;
        ended_by_itself += usize::from(backend.has_ended());
        backend.kill();
    }
    assert!(
        ended_by_itself * 2 > rounds,
        "{ended_by_itself} of {rounds}"
    );

    // At last it is left in peace.
    receiver.answer(200);
    let _backend = start(&site, &[]).await;
    let admin = site.admin().await;
    loop {
        admin.run_job().name("evaluate").send().await.unwrap();
        admin.run_job().name("deliver").send().await.unwrap();
        let system = admin.get_system().send().await.unwrap().into_inner();
        if system.alerts.waiting_notifications == 0 {
            break;
        }
    }
    // What arrived: alert and transition → the keys under which they did.
    let mut keys: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for received in receiver.received() {
        if received.status != 200 {
            continue;
        }
        for alert in received.body["alerts"].as_array().unwrap() {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let alert_id = text(&alert["annotations"]["alert_id"]);
            let transition = text(&alert["transition"]);
            keys.entry((alert_id, transition))
                .or_default()
                .insert(received.key.clone());
        }
    }
    for (told, keys) in &keys {
        assert_eq!(keys.len(), 1, "{told:?}: {keys:?}");
    }
    let (mut cursor, mut checked) = (None, 0);
    loop {
        let mut page = admin
            .list_alerts()
            .rule_id(rule_id)
            .limit(std::num::NonZeroU64::new(1000).unwrap());
        if let Some(cursor) = cursor {
            page = page.cursor(cursor);
        }
        let page = page.send().await.unwrap().into_inner();
        for alert in &page.items {
            let details = admin
                .get_alert()
                .alert_id(alert.alert_id)
                .send()
                .await
                .unwrap();
            let notifications = details.notifications.clone().unwrap();
            let is_over = alert.state == types::AlertState::Resolved;
            assert_eq!(
                notifications.len(),
                if is_over { 2 } else { 1 },
                "{details:?}"
            );
            let all_arrived = notifications
                .iter()
                .all(|told| told.state == types::NotificationState::Delivered);
            assert!(all_arrived, "{notifications:?}");
            // A message that has both its beginning and its end says the end.
            let last = if is_over { "resolved" } else { "firing" };
            let told = (alert.alert_id.to_string(), last.to_owned());
            assert!(keys.contains_key(&told), "{told:?} never arrived");
            checked += 1;
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    println!(
        "{rounds} rounds, {ended_by_itself} ended at a point; {checked} alerts, {} messages",
        receiver.received().len()
    );
    assert!(
        checked > rounds,
        "too few alerts to prove anything: {checked}"
    );
}
