//! Who is told of an alert, when, and how often: channels, silences, acknowledgements, and receivers that go away.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/alerts.rs"]
mod alerting;
#[path = "support/configuration.rs"]
mod configuration;
#[path = "support/smtp.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod smtp;
mod support;
#[path = "support/webhook.rs"]
mod webhook;

use std::collections::BTreeSet;

use alerting::{alerts, cpu_rule, create_rule, deliver, evaluate, run, sample, third, timeline};
use chrono::TimeDelta;
use configuration::{call, debian, get, post, send, upgraded};
use infra_watch::flows::job::Job;
use reqwest::Method;
use serde_json::{Value, json};
use smtp::MailServer;
use support::{Backend, Host};
use uuid::Uuid;
use webhook::{Received, Receiver};

const SECRET: &str = "between us";

/// Makes a channel and returns its id.
async fn create_channel(backend: &Backend, channel: Value) -> String {
    let (status, made) = post(backend, "/notification-channels", channel).await;
    assert_eq!(status, 201, "{made}");
    made["channel_id"].as_str().unwrap().to_owned()
}

fn webhook_to(receiver: &Receiver) -> Value {
    json!({ "name": "On call", "kind": "webhook", "url": receiver.url(), "secret": SECRET })
}

/// A backend with one host, and a rule that tells a receiver.
struct Scene {
    backend: Backend,
    host: Host,
    receiver: Receiver,
    channel_id: String,
    rule_id: String,
}

async fn scene(more: &Value) -> Scene {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let receiver = Receiver::start(SECRET).await;
    let channel_id = create_channel(&backend, webhook_to(&receiver)).await;
    let mut rule = cpu_rule(&json!({ "for_seconds": 0, "channels": [channel_id] }));
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    let rule_id = create_rule(&backend, rule).await;
    Scene {
        backend,
        host,
        receiver,
        channel_id,
        rule_id,
    }
}

impl Scene {
    /// Half a minute with one sample, evaluations every ten seconds, and deliveries.
    async fn half_minute(&self, value: f64) {
        timeline(&self.backend, &self.host, &[value]).await;
        deliver(&self.backend).await;
    }

    async fn minutes(&self, value: f64, minutes: usize) {
        for _ in 0..2 * minutes {
            self.half_minute(value).await;
        }
    }

    /// What arrived: status, and the transition of each alert.
    fn told(&self) -> Vec<String> {
        self.receiver.received().iter().map(told).collect()
    }

    async fn silence(&self, more: Value) -> String {
        let mut silence =
            json!({ "comment": "works", "to": self.backend.now() + TimeDelta::minutes(10) });
        for (key, value) in more.as_object().unwrap() {
            silence[key] = value.clone();
        }
        let (status, made) = post(&self.backend, "/silences", silence).await;
        assert_eq!(status, 201, "{made}");
        made["silence_id"].as_str().unwrap().to_owned()
    }
}

fn told(received: &Received) -> String {
    let alerts = received.body["alerts"].as_array().unwrap().iter();
    let transitions: Vec<_> = alerts
        .map(|alert| alert["transition"].as_str().unwrap())
        .collect();
    format!("{} {}", received.status, transitions.join(" "))
}

#[tokio::test]
async fn a_channel_is_told_that_it_fires_and_that_it_is_over() {
    let scene = scene(&json!({})).await;
    send(&scene.backend, &scene.host, &debian()).await;
    send(&scene.backend, &scene.host, &upgraded()).await;
    sample(&scene.backend, &scene.host, 95.0).await;
    evaluate(&scene.backend).await;
    // A first notice waits for others.
    deliver(&scene.backend).await;
    assert_eq!(scene.told(), [""; 0]);
    let alert = alerts(&scene.backend, "").await[0].clone();
    let path = format!("/alerts/{}", alert["alert_id"].as_str().unwrap());
    let waiting = &get(&scene.backend, &path).await["notifications"][0];
    assert_eq!(
        (&waiting["state"], &waiting["channel_name"]),
        (&json!("waiting"), &json!("On call"))
    );
    scene.backend.clock.advance(30);
    deliver(&scene.backend).await;
    scene.minutes(95.0, 5).await;
    assert_eq!(scene.told(), ["200 firing"]);
    let first = &scene.receiver.received()[0];
    let body = &first.body;
    assert_eq!(body["alerts"][0]["labels"]["alertname"], "Busy");
    assert_eq!(body["alerts"][0]["labels"]["host"], "web-1");
    assert_eq!(body["alerts"][0]["startsAt"], alert["started_at"]);
    assert_eq!(body["drift"][0]["items"][0]["key"], "dpkg/openssl:amd64");
    let url = format!("https://watch.example.org{path}");
    assert_eq!(body["alerts"][0]["generatorURL"], json!(url));

    scene.minutes(5.0, 2).await;
    assert_eq!(scene.told(), ["200 firing", "200 resolved"]);
    let details = get(&scene.backend, &path).await;
    let notifications = details["notifications"].as_array().unwrap();
    let said: Vec<_> = notifications
        .iter()
        .map(|told| {
            (
                told["transition"].as_str().unwrap(),
                told["state"].as_str().unwrap(),
                told["attempts"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [("resolved", "delivered", 1), ("firing", "delivered", 1)]
    );
    let keys: BTreeSet<_> = scene
        .receiver
        .received()
        .into_iter()
        .map(|received| received.key)
        .collect();
    assert_eq!(keys.len(), 2);
}

#[tokio::test]
async fn who_does_not_acknowledge_is_told_again() {
    let scene = scene(&json!({ "repeat_interval_seconds": 300 })).await;
    scene.minutes(95.0, 12).await;
    assert_eq!(scene.told(), ["200 firing", "200 repeat-1", "200 repeat-2"]);
    let alert = alerts(&scene.backend, "").await[0].clone();
    let path = format!(
        "/alerts/{}/acknowledge",
        alert["alert_id"].as_str().unwrap()
    );
    assert_eq!(
        post(&scene.backend, &path, json!({ "comment": "" }))
            .await
            .0,
        200
    );
    scene.minutes(95.0, 12).await;
    scene.minutes(5.0, 2).await;
    assert_eq!(scene.told().split_off(3), ["200 resolved"]);
}

#[tokio::test]
async fn what_starts_in_a_silence_is_told_at_its_end_if_it_still_fires() {
    let scene = scene(&json!({})).await;
    // A silence of another rule or host keeps nothing back.
    let other = scene
        .silence(json!({ "selector": { "labels": { "role": "db" } } }))
        .await;
    scene.silence(json!({})).await;
    scene.minutes(95.0, 3).await;
    assert_eq!(alerts(&scene.backend, "").await[0]["is_silenced"], true);
    scene.minutes(5.0, 1).await;
    scene.minutes(95.0, 3).await;
    assert_eq!(scene.told(), [""; 0]);
    scene.minutes(95.0, 6).await;
    assert_eq!(scene.told(), ["200 firing"]);
    assert_eq!(alerts(&scene.backend, "").await[0]["is_silenced"], false);
    // One that was told is told to be over, also in a silence; one that was not is not.
    let silence_id = scene.silence(json!({ "rule_id": scene.rule_id })).await;
    scene.minutes(5.0, 2).await;
    assert_eq!(scene.told(), ["200 firing", "200 resolved"]);
    scene.minutes(95.0, 1).await;
    let path = format!("/silences/{silence_id}");
    assert_eq!(
        call(&scene.backend, Method::DELETE, &path, None).await.0,
        204
    );
    assert_eq!(
        call(&scene.backend, Method::DELETE, &path, None).await.0,
        404
    );
    scene.minutes(95.0, 2).await;
    assert_eq!(scene.told().split_off(2), ["200 firing"]);

    let path = format!("/silences/{other}");
    let listed = get(&scene.backend, "/silences").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert_eq!(listed["items"][0]["state"], "ended");
    assert_eq!(
        call(&scene.backend, Method::DELETE, &path, None).await.0,
        204
    );
    let now = scene.backend.now();
    for (body, field) in [
        (json!({ "comment": "c" }), "to"),
        (
            json!({ "comment": "", "to": now + TimeDelta::hours(1) }),
            "comment",
        ),
        (json!({ "comment": "c", "to": now }), "to"),
        (
            json!({ "comment": "c", "from": now + TimeDelta::hours(2), "to": now + TimeDelta::hours(1) }),
            "to",
        ),
        (
            json!({ "comment": "c", "to": now + TimeDelta::hours(1), "rule_id": Uuid::now_v7() }),
            "rule_id",
        ),
        (json!({ "comment": "c", "to": "tomorrow" }), "to"),
    ] {
        let (status, problem) = post(&scene.backend, "/silences", body).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (422, &json!(field)),
            "{problem}"
        );
    }
    // What was over long ago goes.
    scene.backend.clock.advance(31 * 86_400);
    run(&scene.backend, Job::Sweep).await;
    assert_eq!(get(&scene.backend, "/silences").await["items"], json!([]));
}

#[tokio::test]
async fn a_receiver_that_is_away_gets_everything_once_it_is_back() {
    let mut scene = scene(&json!({})).await;
    let mut mail = MailServer::start(smtp::Options {
        security: "none",
        ..smtp::Options::default()
    })
    .await;
    let email = json!({
        "name": "Mail", "kind": "email", "smtp_host": "127.0.0.1", "smtp_port": mail.port, "security": "none",
        "from": "Infra-Watch <watch@example.org>", "to": ["ops@example.org"],
    });
    let email_id = create_channel(&scene.backend, email).await;
    let path = format!("/alert-rules/{}", scene.rule_id);
    let channels = json!({ "channels": [scene.channel_id, email_id, email_id] });
    let (_, rule) = call(&scene.backend, Method::PATCH, &path, Some(channels)).await;
    assert_eq!(rule["channels"].as_array().unwrap().len(), 2);

    mail.kill();
    scene.receiver.answer(500);
    scene.minutes(95.0, 2).await;
    scene.receiver.end().await;
    scene.minutes(95.0, 2).await;
    let channels = get(&scene.backend, "/notification-channels").await;
    let errors: Vec<_> = channels["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|channel| channel["last_error"].as_str().unwrap())
        .collect();
    assert!(errors[0].contains("refused"), "{errors:?}");
    assert!(errors[1].contains("refused"), "{errors:?}");
    // Meanwhile it is over; they are told of both, in turn.
    scene.minutes(5.0, 1).await;
    let system = get(&scene.backend, "/system").await;
    assert_eq!(system["alerts"]["waiting_notifications"], 4);
    assert!(
        system["alerts"]["failed_deliveries"].as_u64().unwrap() >= 6,
        "{system}"
    );
    scene.receiver.listen().await;
    scene.receiver.answer(200);
    mail.restart().await;
    scene.minutes(5.0, 20).await;
    let mut told = scene.told();
    told.retain(|told| told.starts_with("200"));
    assert_eq!(told, ["200 firing", "200 resolved"]);
    // Each attempt had the key of the first.
    let received = scene.receiver.received();
    let keys: BTreeSet<_> = received.iter().map(|received| &received.key).collect();
    assert!(received.len() > 2 && keys.len() == 2, "{received:?}");
    let (first, second) = (mail.next().await, mail.next().await);
    assert_eq!(mail.unread(), 0);
    let text = [first.to_string(), second.to_string()];
    assert!(text[0].contains("[FIRING] Busy on web-1"), "{}", text[0]);
    assert!(text[1].contains("[RESOLVED] Busy on web-1"), "{}", text[1]);
    assert_eq!(
        get(&scene.backend, "/system").await["alerts"]["waiting_notifications"],
        0
    );

    // After a day it is given up, and the log says so.
    scene.receiver.end().await;
    scene.minutes(95.0, 2).await;
    scene.backend.clock.advance(86_400);
    scene.half_minute(95.0).await;
    let alert = alerts(&scene.backend, "").await[0].clone();
    let path = format!("/alerts/{}", alert["alert_id"].as_str().unwrap());
    let notifications = get(&scene.backend, &path).await["notifications"].clone();
    let failed = notifications
        .as_array()
        .unwrap()
        .iter()
        .find(|told| told["channel_name"] == "On call")
        .unwrap();
    assert_eq!(failed["state"], "failed");
    assert!(
        failed["error"].as_str().unwrap().contains("refused"),
        "{failed}"
    );
}

#[tokio::test]
async fn many_alerts_go_together_and_a_storm_is_counted() {
    let scene = scene(&json!({})).await;
    let mut hosts = Vec::new();
    for number in 0..129 {
        hosts.push(scene.backend.enroll(&format!("web-{}", number + 2)).await);
    }
    sample(&scene.backend, &scene.host, 95.0).await;
    for host in &hosts {
        sample(&scene.backend, host, 95.0).await;
    }
    third(&scene.backend).await;
    deliver(&scene.backend).await;
    let received = scene.receiver.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body["alerts"].as_array().unwrap().len(), 100);
    assert_eq!(received[0].body["truncatedAlerts"], 30);
    let mut states = Vec::new();
    for alert in alerts(&scene.backend, "?limit=1000").await {
        let path = format!("/alerts/{}", alert["alert_id"].as_str().unwrap());
        states.push(get(&scene.backend, &path).await["notifications"][0]["state"].clone());
    }
    let held_back = states.iter().filter(|state| *state == "held_back").count();
    assert_eq!((states.len(), held_back), (130, 30));
}

#[tokio::test]
async fn ends_are_never_held_back() {
    let scene = scene(&json!({ "repeat_interval_seconds": 60 })).await;
    let mut hosts = Vec::new();
    for number in 0..120 {
        hosts.push(scene.backend.enroll(&format!("web-{}", number + 2)).await);
    }
    // The first message does not arrive; behind it a hundred and twenty alerts begin, are to be told again, and end.
    scene.receiver.answer(500);
    scene.minutes(95.0, 1).await;
    for value in [95.0, 95.0, 95.0, 95.0, 5.0] {
        for host in &hosts {
            sample(&scene.backend, host, value).await;
        }
        scene.half_minute(95.0).await;
    }
    // Nobody is told again of what they have not been told yet.
    let system = get(&scene.backend, "/system").await;
    assert_eq!(system["alerts"]["waiting_notifications"], 241);
    scene.receiver.answer(200);
    scene.minutes(95.0, 15).await;
    let mut ended = BTreeSet::new();
    for received in scene.receiver.received() {
        assert_eq!(received.body["truncatedAlerts"], 0);
        for alert in received.body["alerts"].as_array().unwrap() {
            if received.status == 200 && alert["status"] == "resolved" {
                ended.insert(
                    alert["annotations"]["alert_id"]
                        .as_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    assert_eq!(ended.len(), 120);
}

#[tokio::test]
async fn a_channel_gets_so_many_messages_an_hour_and_no_more() {
    let scene = scene(&json!({})).await;
    // An alert that comes and goes each minute, for an hour and a half.
    for _ in 0..90 {
        scene.half_minute(95.0).await;
        scene.half_minute(5.0).await;
    }
    let received = scene.receiver.received();
    let times: Vec<i64> = received.iter().map(|received| received.timestamp).collect();
    for window in times.windows(61) {
        assert!(window[60] - window[0] >= 3600, "{window:?}");
    }
    // What waited came in one message.
    let most = received
        .iter()
        .map(|received| received.body["alerts"].as_array().unwrap().len());
    assert!(most.max().unwrap() > 10, "{times:?}");
}

#[tokio::test]
async fn signs_of_life_stop_with_the_evaluation() {
    let scene = scene(&json!({})).await;
    let path = format!("/notification-channels/{}", scene.channel_id);
    let change = json!({ "heartbeat_seconds": 60 });
    let (status, changed) = call(&scene.backend, Method::PATCH, &path, Some(change)).await;
    assert_eq!((status, &changed["heartbeat_seconds"]), (200, &json!(60)));
    scene.minutes(5.0, 5).await;
    let names = |received: &[Received]| {
        let names = received.iter().map(|received| {
            received.body["alerts"][0]["labels"]["alertname"]
                .as_str()
                .unwrap()
                .to_owned()
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&scene.receiver.received()), ["Watchdog"; 5]);
    for _ in 0..10 {
        scene.backend.clock.advance(60);
        deliver(&scene.backend).await;
    }
    // Without an evaluation there is none: one may fall into the minute after the last.
    assert!(scene.receiver.received().len() <= 6);
}

#[tokio::test]
async fn channels_are_checked_tried_and_never_say_their_secrets() {
    let backend = Backend::start().await;
    let receiver = Receiver::start(SECRET).await;
    let webhook = |more: Value| {
        let mut webhook = webhook_to(&receiver);
        for (key, value) in more.as_object().unwrap() {
            webhook[key] = value.clone();
        }
        webhook
    };
    let email = |more: Value| {
        let mut email = json!({
            "name": "Mail", "kind": "email", "smtp_host": "mail.example.org", "smtp_port": 587, "security": "starttls",
            "username": "watch", "password": "very secret", "from": "watch@example.org", "to": ["ops@example.org"],
        });
        for (key, value) in more.as_object().unwrap() {
            email[key] = value.clone();
        }
        email
    };
    for (body, field) in [
        (webhook(json!({ "name": "" })), "name"),
        (webhook(json!({ "kind": "pager" })), "kind"),
        (webhook(json!({ "url": null })), "url"),
        (webhook(json!({ "url": "ftp://example.org" })), "url"),
        (
            webhook(json!({ "url": "https://user:password@example.org" })),
            "url",
        ),
        (webhook(json!({ "secret": null })), "secret"),
        (
            webhook(json!({ "heartbeat_seconds": 5 })),
            "heartbeat_seconds",
        ),
        (webhook(json!({ "smtp_host": "x" })), "smtp_host"),
        (email(json!({ "url": "https://example.org" })), "url"),
        (email(json!({ "smtp_host": null })), "smtp_host"),
        (email(json!({ "smtp_port": 0 })), "smtp_port"),
        (email(json!({ "smtp_port": 65_536 })), "smtp_port"),
        (email(json!({ "security": "ssl" })), "security"),
        (email(json!({ "password": null })), "password"),
        (email(json!({ "from": "nobody" })), "from"),
        (email(json!({ "to": [] })), "to"),
        (email(json!({ "to": ["a@example.org", "b"] })), "to[1]"),
        (
            email(json!({ "from": "a@example.org\r\nBcc: x@example.org" })),
            "from",
        ),
    ] {
        let (status, problem) = post(&backend, "/notification-channels", body.clone()).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (422, &json!(field)),
            "{body}: {problem}"
        );
    }
    let channel_id = create_channel(&backend, webhook(json!({}))).await;
    let email_id = create_channel(&backend, email(json!({}))).await;
    let listed = get(&backend, "/notification-channels").await.to_string();
    assert!(
        !listed.contains("secret") && !listed.contains(SECRET) && !listed.contains("password"),
        "{listed}"
    );
    assert!(
        listed.contains("mail.example.org") && listed.contains("\"username\":\"watch\""),
        "{listed}"
    );

    let path = format!("/notification-channels/{channel_id}");
    let test = format!("{path}/test");
    assert_eq!(post(&backend, &test, json!({})).await.0, 204);
    let tried = receiver.until(|received| !received.is_empty()).await;
    assert_eq!(tried[0].body["alerts"][0]["labels"]["alertname"], "Test");
    receiver.answer(503);
    let (status, problem) = post(&backend, &test, json!({})).await;
    assert_eq!(status, 502);
    assert_eq!(
        problem["detail"],
        "the message was not delivered: the endpoint answered 503"
    );
    // A secret that is not given stays; another one makes another signature.
    receiver.answer(200);
    let change = async |body: Value| call(&backend, Method::PATCH, &path, Some(body)).await;
    assert_eq!(change(json!({ "name": "Night" })).await.1["name"], "Night");
    assert_eq!(post(&backend, &test, json!({})).await.0, 204);
    assert_eq!(change(json!({ "secret": "another" })).await.0, 200);
    assert_eq!(
        post(&backend, &test, json!({})).await.1["detail"],
        "the message was not delivered: the endpoint answered 401"
    );
    let (status, problem) = change(json!({ "smtp_port": 25 })).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("smtp_port"))
    );

    // A channel that a rule tells stays.
    let rule_id = create_rule(&backend, cpu_rule(&json!({ "channels": [channel_id] }))).await;
    assert_eq!(call(&backend, Method::DELETE, &path, None).await.0, 409);
    let rule = format!("/alert-rules/{rule_id}");
    assert_eq!(
        call(
            &backend,
            Method::PATCH,
            &rule,
            Some(json!({ "channels": [] }))
        )
        .await
        .0,
        200
    );
    assert_eq!(call(&backend, Method::DELETE, &path, None).await.0, 204);
    let email_path = format!("/notification-channels/{email_id}");
    // A password is not for another server.
    let elsewhere = json!({ "smtp_host": "mail.example.com" });
    let (status, problem) = call(&backend, Method::PATCH, &email_path, Some(elsewhere)).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("password"))
    );
    let elsewhere = json!({ "smtp_host": "mail.example.com", "password": "another" });
    assert_eq!(
        call(&backend, Method::PATCH, &email_path, Some(elsewhere))
            .await
            .0,
        200
    );
    let none = json!({ "username": "" });
    let (_, changed) = call(&backend, Method::PATCH, &email_path, Some(none)).await;
    assert_eq!(changed.get("username"), None);
    assert_eq!(post(&backend, &test, json!({})).await.0, 404);
}
