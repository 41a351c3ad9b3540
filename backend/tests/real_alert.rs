//! A real machine that is busy for a while: its agent reports it, the rule fires, the mail and the webhook arrive, and
//! when it is at rest again all are told so.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/process.rs"]
mod process;
#[path = "support/smtp.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod smtp;
#[path = "support/webhook.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod webhook;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, available_parallelism};

use infra_watch_client::{Client, types};
use process::{Site, until};
use serde_json::json;
use smtp::MailServer;
use webhook::Receiver;

const SECRET: &str = "between us";
/// Longest that something real may take, in seconds.
const PATIENCE_SECONDS: u64 = 120;

/// Keeps every processor busy until it is dropped.
struct Burn(Arc<AtomicBool>, Vec<JoinHandle<()>>);

impl Burn {
    fn start() -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let threads = (0..available_parallelism().unwrap().get()).map(|_| {
            let goes_on = Arc::clone(&goes_on);
            std::thread::spawn(move || {
                let mut number = 1_u64;
                while goes_on.load(Ordering::Relaxed) {
                    number = black_box(number.wrapping_mul(3));
                }
            })
        });
        Self(Arc::clone(&goes_on), threads.collect())
    }
}

impl Drop for Burn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
        for thread in self.1.drain(..) {
            drop(thread.join());
        }
    }
}

async fn alert(admin: &Client, state: types::AlertState) -> types::Alert {
    until("the alert stands so", PATIENCE_SECONDS, async || {
        let alerts = admin.list_alerts().state(state).send().await.unwrap();
        let mut alerts = alerts.into_inner().items.into_iter();
        alerts.find(|alert| alert.rule_name == "Busy machine")
    })
    .await
}

#[tokio::test]
async fn a_busy_machine_is_told_and_a_quiet_one_too() {
    let mut mail = MailServer::start(smtp::Options {
        security: "none",
        ..smtp::Options::default()
    })
    .await;
    let receiver = Receiver::start(SECRET).await;
    let site = Site::new();
    let flags = [
        "--allow-private-egress",
        "--public-url",
        "https://watch.example.org",
    ];
    let _backend = site.start(&flags).await;
    let admin = site.admin().await;
    let mut channels = Vec::new();
    for channel in [
        json!({ "name": "Hook", "kind": "webhook", "url": receiver.url(), "secret": SECRET }),
        json!({
            "name": "Mail", "kind": "email", "smtp_host": "localhost", "smtp_port": mail.port, "security": "none",
            "from": "watch@example.org", "to": ["ops@example.org"],
        }),
    ] {
        let body: types::CreateChannel = serde_json::from_value(channel).unwrap();
        let made = admin.create_channel().body(body).send().await.unwrap();
        channels.push(made.channel_id);
    }
    let rule: types::CreateAlertRule = serde_json::from_value(json!({
        "name": "Busy machine", "severity": "critical", "for_seconds": 5, "clear_value": 80, "channels": channels,
        "condition": { "kind": "threshold", "metric": "cpu_usage_percent", "operator": "gt", "value": 90 },
    }))
    .unwrap();
    admin.create_alert_rule().body(rule).send().await.unwrap();
    let _agent = site.start_agent("1s");

    let burn = Burn::start();
    let firing = alert(&admin, types::AlertState::Firing).await;
    assert!(firing.value.unwrap() > 90.0);
    let received = receiver.until(|received| !received.is_empty()).await;
    let told = &received[0].body["alerts"][0];
    assert_eq!(
        (
            told["status"].as_str(),
            told["labels"]["alertname"].as_str()
        ),
        (Some("firing"), Some("Busy machine"))
    );
    let letter = mail.next().await.to_string();
    assert!(letter.contains("[FIRING] Busy machine on"), "{letter}");
    let link = format!("https://watch.example.org/alerts/{}", firing.alert_id);
    assert!(letter.contains(&link), "{letter}");
    let hosts = admin.list_hosts().send().await.unwrap().into_inner();
    assert_eq!(hosts.items[0].health, types::HostHealth::Red);

    drop(burn);
    let over = alert(&admin, types::AlertState::Resolved).await;
    assert_eq!(over.alert_id, firing.alert_id);
    let received = receiver.until(|received| received.len() == 2).await;
    assert_eq!(received[1].body["status"], "resolved");
    assert_ne!(received[0].key, received[1].key);
    let letter = mail.next().await.to_string();
    assert!(letter.contains("[RESOLVED] Busy machine on"), "{letter}");
}
