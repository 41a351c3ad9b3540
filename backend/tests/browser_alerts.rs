//! The dashboard's pages about alerts in a real browser, over a real backend whose clock is moved by hand.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/alerts.rs"]
mod alerting;
#[path = "support/browser.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod browser;
#[path = "support/configuration.rs"]
mod configuration;
#[path = "support/day.rs"]
mod day;
#[path = "support/demo.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod demo;
#[path = "support/process.rs"]
mod process;
mod support;
#[path = "support/webhook.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod webhook;

use std::path::Path;
use std::sync::Arc;

use alerting::{alerts, cpu_rule, create_rule, deliver, evaluate};
use browser::{Browser, Theme, axe, check_traffic, dashboard, log_in, log_out};
use configuration::{post, with};
use infra_watch::flows::alert_rule;
use infra_watch::store::redb::RedbKv;
use infra_watch_client::types;
use process::{unix_now, until};
use serde_json::{Value, json};
use support::{Backend, Host, facts};
use tempfile::TempDir;
use uuid::Uuid;
use webhook::Receiver;

const MINUTE: i64 = 60;
/// What the webhook's requests are signed with.
const SECRET: &str = "between us";
const CPU_CHART: &str = "[data-metric=cpu_usage_percent] canvas";

/// A backend whose clock shows so many seconds before the time that browsers have, and where its store is.
async fn start(seconds_ago: i64) -> (Backend, TempDir) {
    dashboard("dist/index.html");
    let directory = tempfile::tempdir().unwrap();
    let kv = RedbKv::open(directory.path()).unwrap();
    let backend = Backend::start_at(Arc::new(kv), unix_now() - seconds_ago).await;
    (backend, directory)
}

/// Moves the clock to a moment.
fn go_to(backend: &Backend, at: i64) {
    backend.clock.advance(at - backend.now().timestamp());
}

/// Sends what a host measured from one moment to before another, each half minute.
async fn measure(host: &Host, name: &str, (from, to): (i64, i64), cpu: impl Fn(i64) -> f64) {
    let points: Vec<Value> = (from / 30 * 30..to)
        .step_by(30)
        .map(|at| json!({ "at": at, "values": [cpu(at), 52.0 + 3.0 * (at as f64 / 2100.0).sin(), 61.0] }))
        .collect();
    let body: types::Report = serde_json::from_value(json!({
        "report_id": Uuid::new_v4(), "agent_version": env!("CARGO_PKG_VERSION"),
        "sent_at": chrono::DateTime::from_timestamp(to, 0), "interval_seconds": 30, "snapshot_interval_seconds": 3600,
        "series": [
            { "metric": "cpu_usage_percent" }, { "metric": "memory_usage_percent" },
            { "metric": "disk_usage_percent", "instance": "/" },
        ],
        "points": points, "host": facts(name),
    }))
    .unwrap();
    host.agent.submit_report().body(body).send().await.unwrap();
}

/// Made-up figures of a calm machine.
fn calm(at: i64) -> f64 {
    let minute = at as f64 / 60.0;
    34.0 + 6.0 * (minute / 19.0).sin() + 2.0 * (minute * 12.9).sin()
}

/// Pages that are looked at: what they are called, where they are, and what is there when they are.
type Pages = Vec<(&'static str, String, &'static str)>;

/// A fleet with a day behind it, in whose last hour something fired, was taken on and was over; other things fire.
struct Scene {
    backend: Backend,
    pages: Pages,
    _directory: TempDir,
    _receiver: Receiver,
}

async fn scene() -> Scene {
    let (backend, directory) = start((day::DAY_MINUTES + 60) * MINUTE).await;
    let end = backend.now().timestamp() + (day::DAY_MINUTES + 60) * MINUTE;
    let admin = backend.client("admin").await;
    let hosts = demo::enroll(&admin, async |name| {
        let host = backend.enroll(name).await;
        (host.host_id, host.agent)
    })
    .await;
    let web = backend.enroll("web-3").await;
    let labels = json!({ "labels": { "role": "web", "site": "fra" } });
    let labels: types::UpdateHost = serde_json::from_value(labels).unwrap();
    let update = admin.update_host().host_id(web.host_id).body(labels);
    update.send().await.unwrap();
    day::send(&web.agent, backend.now(), &day::debian(), &[]).await;
    day::live_through_a_day(&backend, &hosts).await;

    let receiver = Receiver::start(SECRET).await;
    let on_call =
        json!({ "name": "On call", "kind": "webhook", "url": receiver.url(), "secret": SECRET });
    let mail = json!({
        "name": "Mail to operations", "kind": "email", "smtp_host": "127.0.0.1", "smtp_port": 9, "security": "none",
        "from": "watch@example.org", "to": ["operations@example.org"],
    });
    let mut channels = Vec::new();
    for channel in [on_call, mail] {
        let (status, made) = post(&backend, "/notification-channels", channel).await;
        assert_eq!(status, 201, "{made}");
        channels.push(made["channel_id"].clone());
    }
    let rule = json!({
        "name": "Web servers are busy", "severity": "critical", "for_seconds": 300, "clear_value": 75,
        "selector": { "labels": { "role": "web" } }, "channels": channels,
    });
    let rule_id = create_rule(&backend, cpu_rule(&rule)).await;

    // An upgrade, then another configuration, then too much to do for a quarter of an hour.
    go_to(&backend, end - 55 * MINUTE);
    day::send(&web.agent, backend.now(), &day::upgraded(), &[]).await;
    go_to(&backend, end - 46 * MINUTE);
    let tuned = json!({ "files": { "/etc/sysctl.conf": "sha256:77cc\nvm.swappiness = 60" } });
    let tuned = with(day::upgraded(), &tuned);
    day::send(&web.agent, backend.now(), &tuned, &[]).await;
    let cpu = |at: i64| match end - at {
        1320..=2400 => 95.5 + 2.5 * (at as f64 / 70.0).sin(),
        _ => calm(at),
    };
    let since = end - 6 * 60 * MINUTE;
    let span = |from_minutes: i64, to_minutes: i64| {
        (end - from_minutes * MINUTE, end - to_minutes * MINUTE)
    };
    go_to(&backend, end - 31 * MINUTE);
    measure(&web, "web-3", (since, end - 31 * MINUTE), cpu).await;
    evaluate(&backend).await;
    backend.clock.advance(30);
    deliver(&backend).await;
    let busy = alerts(&backend, "?state=firing").await;
    let busy = busy
        .iter()
        .find(|alert| alert["rule_id"] == json!(rule_id))
        .unwrap();
    let alert_id = busy["alert_id"].as_str().unwrap();
    let known = json!({ "comment": "The crawler again; blocked it" });
    let (status, said) = post(&backend, &format!("/alerts/{alert_id}/acknowledge"), known).await;
    assert_eq!(status, 200, "{said}");
    go_to(&backend, end - 15 * MINUTE);
    measure(&web, "web-3", span(31, 15), cpu).await;
    evaluate(&backend).await;
    backend.clock.advance(30);
    deliver(&backend).await;

    go_to(&backend, end);
    measure(&web, "web-3", span(15, 0), cpu).await;
    demo::report(&hosts, 6 * 60).await;
    // The fleet was silent until now: before, these would have found every host down.
    alert_rule::create_defaults(&backend.app).await.unwrap();
    evaluate(&backend).await;
    let at = |minutes: i64| chrono::DateTime::from_timestamp(end + minutes * MINUTE, 0).unwrap();
    for silence in [
        json!({ "selector": { "labels": { "role": "mail" } }, "to": at(240), "comment": "The disk is being replaced" }),
        json!({ "rule_id": rule_id, "from": at(600), "to": at(720), "comment": "Load test, ticket 4711" }),
    ] {
        let (status, made) = post(&backend, "/silences", silence).await;
        assert_eq!(status, 201, "{made}");
    }
    let pages = vec![
        ("alerts", "/alerts".to_owned(), "[data-alert]"),
        ("alert", format!("/alerts/{alert_id}"), CPU_CHART),
        ("alert-rules", "/alerts/rules".to_owned(), "[data-rule]"),
        (
            "alert-rule",
            format!("/alerts/rules?edit={rule_id}&range=24h"),
            ".preview-found",
        ),
        ("silences", "/alerts/silences".to_owned(), "[data-silence]"),
        ("channels", "/alerts/channels".to_owned(), "[data-channel]"),
        (
            "alerts-of-host",
            format!("/hosts/{}?tab=alerts", web.host_id),
            "[data-alert]",
        ),
        ("bands", format!("/hosts/{}", web.host_id), ".band-critical"),
    ];
    Scene {
        backend,
        pages,
        _directory: directory,
        _receiver: receiver,
    }
}

/// A browser in which somebody is logged in.
async fn browse(backend: &Backend, username: &str) -> Browser {
    let browser = Browser::start(&backend.url("")).await;
    browser.open("/").await;
    log_in(&browser, username).await;
    browser
}

/// Puts a text into a field in place of what is in it.
async fn fill(browser: &Browser, css: &str, text: &str) {
    browser.see(css).await;
    let set = format!(
        "const field = document.querySelector({css:?}); field.value = {text:?};
         field.dispatchEvent(new InputEvent('input', {{ bubbles: true }}))"
    );
    browser.run(&set).await;
}

#[tokio::test]
async fn a_rule_is_tried_and_made_and_what_fires_by_it_is_taken_on_silenced_and_over() {
    let (backend, _directory) = start(0).await;
    let end = backend.now().timestamp();
    let host = backend.enroll("web-1").await;
    // Twenty minutes of too much two hours ago, and now again for seven.
    let cpu = |at: i64| match end - at {
        ..=420 | 7200..=8400 => 97.0,
        _ => calm(at),
    };
    measure(&host, "web-1", (end - 6 * 3600, end + 1), cpu).await;
    let browser = browse(&backend, "admin").await;

    browser.open("/alerts").await;
    assert_eq!(
        browser.text(".empty-title").await,
        "No alert fires, and none ever did."
    );
    browser.open("/alerts/rules").await;
    browser.click("[data-action=create]").await;
    fill(&browser, "#name", "Web servers are busy").await;
    browser.click("#severity option[value=critical]").await;
    browser
        .click("#whose option[value='hosts with labels']")
        .await;
    fill(&browser, "#which", "role").await;
    assert_eq!(
        browser.text(".rule-draft").await,
        "When cpu_usage_percent is above 90 % for 5 min on hosts with role, raise critical."
    );
    // What is wrong stands beside its field, and keeps the preview back.
    browser.click(".editor-form button[type=submit]").await;
    browser.see("#which-note[role=alert]").await;
    browser.click("#whose option[value='all hosts']").await;
    browser.see("[data-firings='2']").await;
    assert_eq!(
        browser.text(".preview-found").await,
        "Would have fired 2 times on 1 host in the last 7 days."
    );
    browser
        .see(".preview [data-metric=cpu_usage_percent] canvas")
        .await;
    assert_eq!(browser.count(".firings li").await, 2);
    fill(&browser, "#for", "15m").await;
    browser.see("[data-firings='1']").await;
    fill(&browser, "#value", "98").await;
    browser.see("[data-firings='0']").await;
    fill(&browser, "#value", "90").await;
    fill(&browser, "#for", "5m").await;
    fill(&browser, "#clear", "75").await;
    browser.click(".editor-form button[type=submit]").await;
    browser.see("[data-rule='Web servers are busy']").await;
    assert_eq!(browser.address().await, "/alerts/rules");

    evaluate(&backend).await;
    browser.open("/").await;
    assert!(
        browser
            .text(".sections .section-badge")
            .await
            .starts_with('1')
    );
    browser.see("[data-host='web-1'] .badge-firing").await;
    browser.click(".tile-alerts").await;
    assert_eq!(browser.address().await, "/alerts?state=firing");
    browser
        .click("[data-alert='Web servers are busy'] th a")
        .await;
    browser.see(".host-head[data-state=firing]").await;
    browser.see(CPU_CHART).await;
    browser.see(".band-critical").await;
    fill(&browser, "#comment", "I look at it <b>now</b>").await;
    browser.click(".alert-part button[type=submit]").await;
    assert_eq!(
        browser.text(".alert-comment").await,
        "I look at it <b>now</b>"
    );

    // The bar would cover it.
    browser.run("scrollTo(0, 0)").await;
    browser.click("a[href^='/alerts/silences?']").await;
    browser.see("dialog").await;
    assert_eq!(
        browser
            .run("return document.querySelector('#which').value")
            .await,
        "web-1"
    );
    fill(&browser, "#comment", "while I do").await;
    browser.click("dialog button[type=submit]").await;
    browser.see("[data-silence=active]").await;
    browser.open("/alerts").await;
    browser.see("[data-state=firing] .badge-ignored").await;
    browser.open("/alerts/silences").await;
    browser
        .click("[data-silence=active] [data-action=delete]")
        .await;
    browser.click("dialog button[type=submit]").await;
    browser.miss("[data-silence=active]").await;

    backend.clock.advance(60);
    measure(&host, "web-1", (end + 1, end + 60), calm).await;
    evaluate(&backend).await;
    browser.open("/alerts?state=resolved").await;
    browser
        .see("[data-alert='Web servers are busy'][data-state=resolved]")
        .await;
    browser.miss(".section-badge").await;
    // The band over the chart leads there.
    browser.open(&format!("/hosts/{}", host.host_id)).await;
    browser
        .click("[aria-label='Changes and alerts over CPU'] .band-link")
        .await;
    browser.see(".host-head[data-state=resolved]").await;

    // What fires by no rule any more is over; the name is asked for.
    browser.open("/alerts/rules").await;
    browser
        .click("[data-rule='Web servers are busy'] [data-action=toggle]")
        .await;
    browser
        .see("[data-rule='Web servers are busy'] [aria-checked=false]")
        .await;
    browser
        .click("[data-rule='Web servers are busy'] [data-action=delete]")
        .await;
    browser.see("dialog button[type=submit]:disabled").await;
    browser
        .type_into("#confirm-name", "Web servers are busy")
        .await;
    browser.click("dialog button[type=submit]").await;
    browser.miss("[data-rule='Web servers are busy']").await;
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
}

#[tokio::test]
async fn channels_are_made_tried_and_keep_their_secrets() {
    let (backend, _directory) = start(0).await;
    let mut receiver = Receiver::start(SECRET).await;
    let browser = browse(&backend, "admin").await;
    browser.open("/alerts/channels").await;
    assert_eq!(
        browser.text(".empty-title").await,
        "There is no channel yet."
    );
    browser.click("[data-action=create]").await;
    fill(&browser, "#name", "On call").await;
    fill(&browser, "#url", &receiver.url()).await;
    browser.click("dialog button[type=submit]").await;
    browser.see("#secret-note[role=alert]").await;
    fill(&browser, "#secret", SECRET).await;
    browser.click("dialog button[type=submit]").await;
    browser.miss("dialog").await;
    let row = "[data-channel='On call'] ";
    browser.click(&format!("{row}[data-action=test]")).await;
    browser.see(&format!("{row}.status-up")).await;

    // Another name, the same secret: it still arrives.
    browser.click(&format!("{row}[data-action=edit]")).await;
    browser.see("dialog #url").await;
    assert_eq!(
        browser
            .run("return document.querySelector('#secret').value")
            .await,
        ""
    );
    fill(&browser, "#name", "At night").await;
    browser.click("dialog button[type=submit]").await;
    let row = "[data-channel='At night'] ";
    browser.click(&format!("{row}[data-action=test]")).await;
    browser.see(&format!("{row}.status-up")).await;
    receiver.answer(500);
    browser.click(&format!("{row}[data-action=test]")).await;
    browser
        .see(&format!("{row}.test-outcome .field-error"))
        .await;

    browser.click(&format!("{row}[data-action=delete]")).await;
    browser.type_into("#confirm-name", "At night").await;
    browser.click("dialog button[type=submit]").await;
    browser.miss("[data-channel]").await;
    receiver.end().await;
    browser.close().await;
}

#[tokio::test]
async fn operators_see_what_fires_and_viewers_do_not() {
    let Scene { backend, pages, .. } = scene().await;
    let browser = browse(&backend, "operator").await;
    for (page, address, waits_for) in &pages {
        if matches!(*page, "alert-rule" | "channels") {
            continue;
        }
        browser.open(address).await;
        browser.see(waits_for).await;
        let acts = "[data-action=create], [data-action=toggle], [data-action=delete], a[href^='/alerts/silences?']";
        assert_eq!(browser.count(acts).await, 0, "{page}");
    }
    browser.open("/alerts").await;
    browser.see("[data-alert]").await;
    assert_eq!(browser.count("a[href='/alerts/channels']").await, 0);
    // The filters are in the address.
    browser
        .click("[data-filter=state] option[value=resolved]")
        .await;
    browser.miss("[data-state=firing]").await;
    assert_eq!(browser.address().await, "/alerts?state=resolved");
    browser.open("/alerts/channels").await;
    assert_eq!(
        browser.text(".empty-title").await,
        "There is no page at this address."
    );
    check_traffic(&browser, &backend.url("/")).await;
    log_out(&browser).await;

    log_in(&browser, "viewer").await;
    browser.open("/").await;
    browser.see("[data-host='web-3']").await;
    let hidden = "a[href^='/alerts'], .section-badge, .badge-firing, .tile-alerts";
    assert_eq!(
        browser.count(hidden).await,
        0,
        "a viewer sees metrics alone"
    );
    for address in [
        "/alerts",
        "/alerts/rules",
        "/alerts/silences",
        pages[1].1.as_str(),
    ] {
        browser.open(address).await;
        assert_eq!(
            browser.text(".empty-title").await,
            "There is no page at this address."
        );
    }
    let host = &pages[7].1;
    browser.open(host).await;
    browser.see(CPU_CHART).await;
    assert_eq!(browser.count(".band, .host-tabs").await, 0);
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
}

#[tokio::test]
async fn an_alert_says_what_changed_before_it_and_who_was_told() {
    let Scene { backend, pages, .. } = scene().await;
    let browser = browse(&backend, "operator").await;
    browser.open(&pages[1].1).await;
    browser.see(".before").await;
    browser.click(".before .fold-line").await;
    browser.see(".before .change").await;
    let said = browser.text("main").await;
    for part in [
        "min before",
        "/etc/sysctl.conf",
        "The crawler again; blocked it",
        "On call",
        "delivered",
        "the condition holds no longer",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The changes stand over its chart.
    until("markers are there", 10, || async {
        (browser.count(".marker").await > 0).then_some(())
    })
    .await;
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
}

#[tokio::test]
async fn nothing_serious_hinders_anyone_from_using_these_pages() {
    let axe = axe();
    let Scene { backend, pages, .. } = scene().await;
    let browser = browse(&backend, "admin").await;
    let mut violations = browser.hindrances(&axe, &pages).await;
    for address in ["/alerts/silences", "/alerts/channels"] {
        browser.open(address).await;
        browser.click("[data-action=create]").await;
        browser.see("dialog").await;
        let found = browser.violations(&axe).await.into_iter();
        violations.extend(found.map(|violation| format!("{address}, new: {violation}")));
    }
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
    assert!(violations.is_empty(), "{violations:#?}");
}

#[tokio::test]
#[ignore = "writes docs/screenshots: make screenshots"]
async fn screenshots() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    let Scene { backend, pages, .. } = scene().await;
    let browser = browse(&backend, "admin").await;
    let shots = [("", 1280, 800, false), ("-phone", 390, 844, true)];
    for theme in [Theme::Light, Theme::Dark] {
        browser.theme(theme).await;
        for (suffix, width, height, is_phone) in shots {
            browser.size(width, height, is_phone).await;
            for (page, address, waits_for) in &pages {
                browser.open(address).await;
                browser.see(waits_for).await;
                browser.settle().await;
                if matches!(*page, "alert-rule" | "bands") {
                    browser.see(CPU_CHART).await;
                }
                let file = format!("{page}-{}{suffix}.png", theme.name());
                browser.screenshot(&folder.join(file)).await;
            }
        }
    }
    browser.close().await;
}
