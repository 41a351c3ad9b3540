//! Webhooks: what a receiver gets, and whom the backend does not dial.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/notices.rs"]
mod notices;
#[path = "support/webhook.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod webhook;

use std::net::SocketAddr;
use std::time::Duration;

use infra_watch::domain::egress::EgressRules;
use infra_watch::domain::notification::{ChannelKind, Content, Transition, Webhook};
use infra_watch::notify::Notifiers;
use notices::{content, fires, notice, now, tell, upgrade};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use webhook::Receiver;

const SECRET: &str = "a secret of the channel";

fn notifiers(allow_private: bool) -> Notifiers {
    let rules = EgressRules {
        allow: Vec::new(),
        allow_private,
    };
    Notifiers::new(rules, Some("https://watch.example/".to_owned())).unwrap()
}

fn webhook(url: &str) -> ChannelKind {
    ChannelKind::Webhook(Webhook {
        url: url.to_owned(),
        secret: SECRET.to_owned(),
        heartbeat_seconds: None,
    })
}

/// The error of telling this URL that something fires, in words.
async fn error_of(notifiers: &Notifiers, url: &str) -> String {
    let told = tell(notifiers, webhook(url), "key", &fires()).await;
    told.unwrap_err()
}

/// What a receiver gets.
async fn body_of(content: &Content) -> Value {
    let receiver = Receiver::start(SECRET).await;
    let told = tell(&notifiers(true), webhook(&receiver.url()), "a key", content).await;
    told.unwrap();
    let [received] = receiver.received().try_into().unwrap();
    assert_eq!(
        (received.key.as_str(), received.timestamp),
        ("a key", now().timestamp())
    );
    received.body
}

#[tokio::test]
async fn a_receiver_gets_the_body_of_alertmanager_and_what_changed_before() {
    let content = Content::Notices {
        notices: vec![
            notice(1, Transition::Firing),
            notice(2, Transition::Resolved),
        ],
        held_back: 3,
        preceding: vec![upgrade(1)],
    };
    let drift = json!([{
        "host": "web-1",
        "host_id": "00000000-0000-0000-0000-000000000032",
        "alert_id": "00000000-0000-0000-0000-000000000001",
        "change_set_id": "00000000-0000-0000-0000-000000000046",
        "detected_at": "2027-01-15T07:50:00Z",
        "summary": "openssl 3.0.13 → 3.0.14 upgraded, variable DB_PASSWORD changed",
        "items": [
            {
                "section": "environment", "key": "DB_PASSWORD", "kind": "changed",
                "before": "hmac:01", "after": "hmac:02", "direction": null, "disposition": "drift",
            },
            {
                "section": "packages", "key": "dpkg/openssl:amd64", "kind": "changed",
                "before": "3.0.13", "after": "3.0.14", "direction": "upgrade", "disposition": "drift",
            },
        ],
    }]);
    let expect = json!({
        "version": "4",
        "groupKey": "{}:4b08d11c795095d8",
        "truncatedAlerts": 3,
        "status": "firing",
        "receiver": "the team",
        "groupLabels": {},
        "commonLabels": {
            "host": "web-1",
            "host_id": "00000000-0000-0000-0000-000000000032",
            "severity": "critical",
        },
        "commonAnnotations": { "summary": "disk_usage_percent is 97.2 %" },
        "externalURL": "https://watch.example",
        "alerts": [
            {
                "status": "firing",
                "labels": {
                    "alertname": "Disk above 90 %",
                    "severity": "critical",
                    "host": "web-1",
                    "host_id": "00000000-0000-0000-0000-000000000032",
                    "instance": "/var",
                    "rule_id": "00000000-0000-0000-0000-000000000065",
                },
                "annotations": {
                    "summary": "disk_usage_percent is 97.2 %",
                    "description": "disk_usage_percent is above 90 % for 5 min: disk_usage_percent is 97.2 %, \
                        since 2027-01-15T07:55:00Z",
                    "alert_id": "00000000-0000-0000-0000-000000000001",
                    "value": "97.2",
                },
                "startsAt": "2027-01-15T07:55:00Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "https://watch.example/alerts/00000000-0000-0000-0000-000000000001",
                "fingerprint": "d3464f796c35d9c1",
                "transition": "firing",
                "drift": drift,
            },
            {
                "status": "resolved",
                "labels": {
                    "alertname": "Rule 2",
                    "severity": "critical",
                    "host": "web-1",
                    "host_id": "00000000-0000-0000-0000-000000000032",
                    "rule_id": "00000000-0000-0000-0000-000000000066",
                },
                "annotations": {
                    "summary": "disk_usage_percent is 97.2 %",
                    "description": "disk_usage_percent is above 90 % for 5 min: disk_usage_percent is 97.2 %, \
                        over; it lasted from 2027-01-15T07:55:00Z to 2027-01-15T08:00:00Z",
                    "alert_id": "00000000-0000-0000-0000-000000000002",
                },
                "startsAt": "2027-01-15T07:55:00Z",
                "endsAt": "2027-01-15T08:00:00Z",
                "generatorURL": "https://watch.example/alerts/00000000-0000-0000-0000-000000000002",
                "fingerprint": "6270ce8d9fbfb43a",
                "transition": "resolved",
                "drift": [],
            },
        ],
        "drift": drift,
    });
    assert_eq!(body_of(&content).await, expect);
}

#[tokio::test]
async fn an_alert_is_told_once_with_its_last_state() {
    use Transition::{Firing, Repeat, Resolved};
    let check = async |transitions: &[Transition], status: &str, last: &str| {
        let notices = transitions.iter().map(|transition| notice(1, *transition));
        let body = body_of(&content(notices.collect())).await;
        let alerts = body["alerts"].as_array().unwrap();
        assert_eq!(alerts.len(), 1, "{transitions:?}");
        assert_eq!(alerts[0]["transition"], last, "{transitions:?}");
        assert_eq!(body["status"], status, "{transitions:?}");
        body["groupKey"].as_str().unwrap().to_owned()
    };
    let first = check(&[Firing], "firing", "firing").await;
    check(&[Repeat(2)], "firing", "repeat-2").await;
    check(&[Firing, Resolved], "resolved", "resolved").await;
    check(&[Resolved, Firing], "resolved", "resolved").await;
    // A receiver can tell that it is the same incident.
    assert_eq!(check(&[Resolved], "resolved", "resolved").await, first);
}

#[tokio::test]
async fn a_trial_and_a_heartbeat_look_like_alerts() {
    let check = async |content: Content, name: &str, words: &str| {
        let body = body_of(&content).await;
        assert_eq!(body["status"], "firing");
        let alert = &body["alerts"][0];
        assert_eq!(
            alert["labels"],
            json!({ "alertname": name, "severity": "none" })
        );
        let summary = alert["annotations"]["summary"].as_str().unwrap();
        assert!(summary.contains(words), "{summary}");
    };
    let by = "alice".to_owned();
    check(Content::Test { by }, "Test", "alice tries").await;
    check(Content::Heartbeat, "Watchdog", "alive").await;
}

#[tokio::test]
async fn a_receiver_that_went_away_is_told_when_it_is_back() {
    let mut receiver = Receiver::start(SECRET).await;
    let (notifiers, url) = (notifiers(true), receiver.url());
    receiver.end().await;
    let error = error_of(&notifiers, &url).await;
    assert_eq!(error, "connecting: connection refused");
    receiver.listen().await;
    let told = tell(&notifiers, webhook(&url), "key", &fires()).await;
    told.unwrap();
    let received = receiver.until(|received| !received.is_empty()).await;
    assert_eq!((received.len(), received[0].key.as_str()), (1, "key"));
}

#[tokio::test]
async fn only_success_counts_and_the_answer_is_not_repeated() {
    let check = async |status: u16, expect: Option<&str>| {
        let receiver = Receiver::start(SECRET).await;
        receiver.answer(status);
        let told = tell(&notifiers(true), webhook(&receiver.url()), "key", &fires()).await;
        assert_eq!(told.err().as_deref(), expect);
    };
    check(200, None).await;
    check(202, None).await;
    check(204, None).await;
    check(400, Some("the endpoint answered 400")).await;
    check(404, Some("the endpoint answered 404")).await;
    check(500, Some("the endpoint answered 500")).await;
    let receiver = Receiver::start("another secret").await;
    let error = error_of(&notifiers(true), &receiver.url()).await;
    assert_eq!(error, "the endpoint answered 401");
}

/// An endpoint that answers each request with these bytes, and then with the others for as long as they are taken.
async fn endpoint(head: String, forever: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            drop(stream.read(&mut request).await);
            drop(stream.write_all(head.as_bytes()).await);
            while !forever.is_empty() && stream.write_all(forever).await.is_ok() {}
            // Nothing more comes until the other side goes.
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
    });
    address
}

#[tokio::test]
async fn nobody_is_followed_elsewhere() {
    let receiver = Receiver::start(SECRET).await;
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let head = format!(
            "HTTP/1.1 {status}\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
            receiver.url()
        );
        let address = endpoint(head, b"").await;
        let error = error_of(&notifiers(true), &format!("http://{address}/")).await;
        assert_eq!(error, format!("the endpoint answered {}", &status[..3]));
    }
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let address = endpoint(head.to_owned(), b"4\r\nmore\r\n").await;
    let url = format!("http://{address}/");
    let told = tell(&notifiers(true), webhook(&url), "key", &fires()).await;
    told.unwrap();
    let head = "HTTP/1.1 200 OK\r\n".to_owned();
    let address = endpoint(head, b"X: a head without end\r\n").await;
    let error = error_of(&notifiers(true), &format!("http://{address}/")).await;
    assert!(error.starts_with("waiting for an answer: "), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_is_silent_is_given_up() {
    let address = endpoint(String::new(), b"").await;
    let notifiers = notifiers(true).patient_for(Duration::from_millis(500));
    let error = error_of(&notifiers, &format!("http://{address}/")).await;
    assert_eq!(error, "no answer within 0.5 s");
}

#[tokio::test]
async fn addresses_that_are_not_permitted_are_not_dialled() {
    let receiver = Receiver::start(SECRET).await;
    let port = receiver.address.port();
    let check = async |host: &str, expect: &str| {
        let error = error_of(&notifiers(false), &format!("http://{host}:{port}/")).await;
        assert!(error.contains(expect), "{host}: {error}");
    };
    check(
        "127.0.0.1",
        "the address 127.0.0.1 is loopback: --egress-allow must name it",
    )
    .await;
    check("2130706433", "127.0.0.1 is loopback").await;
    check("0x7f.1", "127.0.0.1 is loopback").await;
    check("0", "0.0.0.0 is loopback").await;
    check("[::1]", "::1 is loopback").await;
    check("[::ffff:127.0.0.1]", "translated").await;
    check("10.0.0.5", "10.0.0.5 is private").await;
    check("169.254.169.254", "metadata").await;
    check("localhost", "is loopback").await;
    check(
        "nowhere.invalid",
        "the name nowhere.invalid cannot be resolved",
    )
    .await;
    assert!(receiver.received().is_empty());
    // Unless the admin named them.
    let rules = EgressRules {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        allow_private: false,
    };
    let named = Notifiers::new(rules, None).unwrap();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/");
        let told = tell(&named, webhook(&url), host, &fires()).await;
        told.unwrap();
    }
    assert_eq!(receiver.received().len(), 3);
}
