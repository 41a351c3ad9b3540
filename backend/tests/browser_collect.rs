//! The dashboard's pages about pulled hosts and collectors in a real browser. What a host would show is brought by a
//! collector, as one in another network would.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/browser.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod browser;
#[path = "support/configuration.rs"]
mod configuration;
#[path = "support/process.rs"]
mod process;
#[path = "support/quick_agent.rs"]
mod quick_agent;
#[path = "support/sshd.rs"]
mod sshd;
mod support;

use std::path::Path;
use std::sync::Arc;

use browser::{Browser, Theme, axe, check_traffic, dashboard, log_in, log_out};
use configuration::{get, post};
use infra_watch::store::redb::RedbKv;
use infra_watch::transport::SshKey;
use infra_watch_client::{Client, types};
use process::unix_now;
use quick_agent::quick_agent;
use serde_json::{Value, json};
use sshd::{Sshd, user};
use support::{Backend, facts, report};
use tempfile::TempDir;

/// Fingerprints as OpenSSH writes them.
const FIRST_KEY: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const SECOND_KEY: &str = "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
/// A name that never becomes an address.
const NOWHERE: &str = "web-1.invalid";
/// Longer than the first back-offs, shorter than a session may rest.
const LONG_SECONDS: i64 = 20 * 60;

/// A backend whose clock shows so many seconds before the time that browsers have, and where its store is.
async fn start(seconds_ago: i64) -> (Backend, TempDir) {
    dashboard("dist/index.html");
    let directory = tempfile::tempdir().unwrap();
    let kv = RedbKv::open(directory.path()).unwrap();
    let backend = Backend::start_at(Arc::new(kv), unix_now() - seconds_ago).await;
    (backend, directory)
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

/// What is in a field.
async fn held(browser: &Browser, css: &str) -> Value {
    browser.see(css).await;
    browser
        .run(&format!("return document.querySelector({css:?}).value"))
        .await
}

/// Presses a button, wherever the page is scrolled to: the bar would cover some.
async fn press(browser: &Browser, css: &str) {
    browser.see(css).await;
    browser
        .run(&format!(
            "document.querySelector({css:?}).scrollIntoView({{ block: 'center' }})"
        ))
        .await;
    browser.click(css).await;
}

/// Adds a host, and answers with its id.
async fn add(backend: &Backend, name: &str, collection: Value) -> String {
    let labels = json!({ "role": "web" });
    let host = json!({ "name": name, "labels": labels, "collection": collection });
    let (status, made) = post(backend, "/hosts", host).await;
    assert_eq!(status, 201, "{made}");
    made["host_id"].as_str().unwrap().to_owned()
}

fn ssh() -> Value {
    json!({
        "kind": "ssh", "address": NOWHERE, "user": "watch",
        "jump": { "address": "bastion.invalid", "user": "hop" },
    })
}

fn http() -> Value {
    json!({ "kind": "http", "url": "https://web-2.invalid:7421/report", "token": "s3cret" })
}

/// A collector in another network.
struct Collector {
    client: Client,
}

impl Collector {
    async fn new(backend: &Backend) -> Self {
        let token = json!({ "name": "branch office", "selector": {} });
        let (status, made) = post(backend, "/collector-tokens", token).await;
        assert_eq!(status, 201, "{made}");
        Self {
            client: backend.with_token(made["token"].as_str().unwrap()),
        }
    }

    /// Brings what came of collecting the one host.
    async fn bring(&self, backend: &Backend, host_id: &str, brought: Value) {
        // Whatever was tried before, it is due again.
        backend.clock.advance(LONG_SECONDS);
        let wanted = json!({ "max": 1, "selector": { "host_ids": [host_id] } });
        let body: types::RequestLease = serde_json::from_value(wanted).unwrap();
        let leases = self.client.lease_hosts().body(body).send().await.unwrap();
        let lease = leases.items.first().unwrap();
        let mut body = json!({ "lease_id": lease.lease_id, "duration_seconds": 0.84 });
        for (name, value) in brought.as_object().unwrap() {
            body[name] = value.clone();
        }
        let body: types::HandIn = serde_json::from_value(body).unwrap();
        let host_id = lease.host_id;
        let hand_in = self.client.hand_in_report().host_id(host_id).body(body);
        hand_in.send().await.unwrap();
    }

    async fn offer(&self, backend: &Backend, host_id: &str, key: &str) {
        let offered = json!({ "is_jump": false, "algorithm": "ssh-ed25519", "fingerprint": key });
        let reason = "the host key is not known yet and waits to be confirmed";
        let error = json!({ "step": "host_key", "reason": reason, "host_key": offered });
        self.bring(backend, host_id, json!({ "error": error }))
            .await;
    }

    async fn change(&self, backend: &Backend, host_id: &str, known: &str, shown: &str) {
        let changed = json!({ "is_jump": false, "algorithm": "ssh-ed25519", "fingerprint": shown, "known": known });
        let reason = format!("the host shows {shown} in place of {known}");
        let error = json!({ "step": "host_key", "reason": reason, "host_key": changed });
        self.bring(backend, host_id, json!({ "error": error }))
            .await;
    }

    async fn succeed(&self, backend: &Backend, host_id: &str, hostname: &str) {
        let now = (backend.now().timestamp() + LONG_SECONDS) / 30 * 30;
        let mut report = serde_json::to_value(report(&[(now, Some(12.0))])).unwrap();
        report["host"] = facts(hostname);
        report["host"]["install_id"] = json!(uuid::Uuid::new_v4());
        report["agent_version"] = json!(env!("CARGO_PKG_VERSION"));
        self.bring(backend, host_id, json!({ "report": report }))
            .await;
    }
}

#[tokio::test]
async fn a_host_is_added_tested_and_changed_over_ssh() {
    let (backend, _directory) = start(0).await;
    let browser = browse(&backend, "admin").await;
    browser.click("a[href='/hosts/add']").await;
    assert!(
        browser
            .text(".way-push .copy code")
            .await
            .starts_with("infra-watch-agent run --server http")
    );
    browser.click("input[name=kind][value=ssh]").await;

    // What is wrong stands beside its field, whoever finds it.
    let submit = ".collection-form button[type=submit]";
    press(&browser, submit).await;
    browser.see("#name-note[role=alert]").await;
    fill(&browser, "#name", "web-1").await;
    fill(&browser, "#labels", "role=web").await;
    press(&browser, submit).await;
    browser.see("#collection\\.address-note[role=alert]").await;
    fill(&browser, "#collection\\.address", NOWHERE).await;
    fill(&browser, "#collection\\.user", "two words").await;
    press(&browser, submit).await;
    browser.see("#collection\\.user-note[role=alert]").await;
    fill(&browser, "#collection\\.user", "watch").await;
    press(&browser, "input[name='collection.mode'][value=tunnel]").await;
    press(&browser, submit).await;
    browser.see("#collection\\.token-note[role=alert]").await;
    press(&browser, "input[name='collection.mode'][value=command]").await;
    // What is wrong behind the fold opens it.
    press(&browser, ".unfold summary").await;
    browser.click("#login option[value=own]").await;
    fill(&browser, "#collection\\.jump\\.address", "bastion.invalid").await;
    press(&browser, ".unfold summary").await;
    press(&browser, submit).await;
    browser
        .see("#collection\\.private_key-note[role=alert]")
        .await;
    let key = SshKey::generate().unwrap();
    fill(&browser, "#collection\\.private_key", &key).await;
    press(&browser, submit).await;
    browser
        .see("#collection\\.jump\\.user-note[role=alert]")
        .await;
    fill(&browser, "#collection\\.jump\\.user", "hop").await;
    press(&browser, submit).await;

    // What is to be done on the machines, then a test that says where it ends.
    browser.see(".collection[data-kind=ssh]").await;
    assert!(browser.address().await.ends_with("?tab=collection"));
    let line = browser.text(".prepare .copy code").await;
    assert!(
        line.starts_with("restrict,command=\"infra-watch-agent report\""),
        "{line}"
    );
    press(&browser, "[data-action=test]").await;
    browser
        .see("[data-step=resolve][data-outcome=failed]")
        .await;
    assert_eq!(browser.count("[data-outcome=skipped]").await, 5);
    assert!(
        !browser
            .text("[data-step=resolve] .step-detail")
            .await
            .is_empty()
    );
    assert!(
        browser
            .text("[data-step=host_key]")
            .await
            .contains("Host key")
    );
    let said = browser.text(".collection-result[role=status]").await;
    assert!(said.contains("It failed at “Name resolved”"), "{said}");
    press(&browser, "[data-action=collect]").await;
    browser.see(".collection-result .field-error").await;
    browser.see(".last-error").await;

    // In the fleet it says why nothing comes.
    let tab = browser.address().await;
    browser.open("/").await;
    browser
        .see("[data-host='web-1'] .cell-status[title='It cannot be collected']")
        .await;
    browser.open(&tab).await;

    // The form holds what is known, without secrets, which stay.
    press(&browser, ".host-actions a[href*='edit=collection']").await;
    assert_eq!(held(&browser, "#collection\\.address").await, NOWHERE);
    assert_eq!(browser.count("#name").await, 0);
    press(&browser, ".unfold summary").await;
    assert_eq!(held(&browser, "#collection\\.private_key").await, "");
    assert_eq!(held(&browser, "#collection\\.jump\\.user").await, "hop");
    fill(&browser, "#collection\\.port", "2222").await;
    press(&browser, submit).await;
    browser.see(".collection .facts").await;
    let said = browser.text(".collection .facts").await;
    let place = format!("watch@{NOWHERE}:2222 through hop@bastion.invalid:22");
    assert!(said.contains(&place), "{said}");
    let hosts = get(&backend, "/hosts").await;
    assert_eq!(hosts["items"][0]["collection"]["has_private_key"], true);
    browser.close().await;
}

#[tokio::test]
async fn a_real_host_goes_from_the_form_to_green() {
    let (backend, _directory) = start(0).await;
    let sshd = Sshd::start(&["ed25519"]).await;
    let state_dir = sshd.path("state");
    std::fs::create_dir(&state_dir).unwrap();
    std::fs::write(state_dir.join("id"), uuid::Uuid::new_v4().to_string()).unwrap();
    let browser = browse(&backend, "admin").await;
    browser.open("/hosts/add").await;
    browser.click("input[name=kind][value=ssh]").await;
    fill(&browser, "#name", "web-1").await;
    fill(&browser, "#collection\\.address", "127.0.0.1").await;
    fill(&browser, "#collection\\.port", &sshd.port.to_string()).await;
    fill(&browser, "#collection\\.user", &user()).await;
    press(&browser, ".unfold summary").await;
    let script = sshd.script("agent", &quick_agent());
    fill(&browser, "#collection\\.agent_path", &script).await;
    let state_dir = state_dir.display().to_string();
    fill(&browser, "#collection\\.state_dir", &state_dir).await;
    press(&browser, ".collection-form button[type=submit]").await;

    // The host shows its key, and nobody logs in before it is confirmed.
    press(&browser, "[data-action=test]").await;
    browser
        .see("[data-step=host_key][data-outcome=failed]")
        .await;
    let shown = browser.text(".key-offered .fingerprint").await;
    assert_eq!(shown, sshd.fingerprint("ed25519"));
    press(&browser, "[data-action=confirm]").await;
    // It does not know our key yet: the line is to be pasted there.
    browser
        .see("[data-step=authenticate][data-outcome=failed]")
        .await;
    assert_eq!(sshd.logins(), 0, "{}", sshd.log());
    sshd.authorize(&browser.text(".prepare .copy code").await);
    press(&browser, "[data-action=test]").await;
    browser.see("[data-step=report][data-outcome=passed]").await;
    assert_eq!(browser.count("[data-outcome=passed]").await, 6);
    let said = browser.text(".collection-result[role=status]").await;
    assert!(!said.contains("failed"), "{said}");
    browser.see(".host-head[data-status=up]").await;
    let said = browser.text(".collection .facts").await;
    assert!(said.contains(&shown), "{said}");

    // It is set up anew: both keys are said, and it is accepted by name.
    let mut sshd = sshd;
    sshd.set_up_anew(&["ed25519"]).await;
    backend.app.transports.forget(
        get(&backend, "/hosts").await["items"][0]["host_id"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap(),
    );
    press(&browser, "[data-action=test]").await;
    let said = browser.text(".key-changed[role=alert]").await;
    let anew = sshd.fingerprint("ed25519");
    assert!(said.contains(&shown) && said.contains(&anew), "{said}");
    press(&browser, "[data-action=accept]").await;
    browser.type_into("#confirm-name", "web-1").await;
    browser.click("dialog button[type=submit]").await;
    browser.see("[data-step=report][data-outcome=passed]").await;
    browser.miss(".key-changed").await;
    browser.close().await;
}

#[tokio::test]
async fn host_keys_are_confirmed_and_changed_ones_accepted_by_name() {
    let (backend, _directory) = start(0).await;
    let host_id = add(&backend, "web-1", ssh()).await;
    let collector = Collector::new(&backend).await;
    let browser = browse(&backend, "admin").await;
    let tab = format!("/hosts/{host_id}?tab=collection");

    collector.offer(&backend, &host_id, FIRST_KEY).await;
    browser.open(&tab).await;
    assert_eq!(browser.text(".key-offered .fingerprint").await, FIRST_KEY);
    assert_eq!(
        browser.text(".key-offered .copy code").await,
        "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
    );
    press(&browser, "[data-action=confirm]").await;
    // The test runs by itself.
    browser
        .see("[data-step=resolve][data-outcome=failed]")
        .await;
    browser.miss(".key-offered").await;
    let said = browser.text(".collection .facts").await;
    assert!(said.contains(FIRST_KEY), "{said}");

    collector
        .change(&backend, &host_id, FIRST_KEY, SECOND_KEY)
        .await;
    browser.open(&tab).await;
    let said = browser.text(".key-changed[role=alert]").await;
    assert!(
        said.contains(FIRST_KEY) && said.contains(SECOND_KEY),
        "{said}"
    );
    press(&browser, "[data-action=accept]").await;
    browser.see("dialog button[type=submit]:disabled").await;
    browser.type_into("#confirm-name", "web-1").await;
    browser.click("dialog button[type=submit]").await;
    browser.miss("dialog").await;
    browser
        .see("[data-step=resolve][data-outcome=failed]")
        .await;
    browser.miss(".key-changed").await;
    let said = browser.text(".collection .facts").await;
    assert!(
        said.contains(SECOND_KEY) && !said.contains(FIRST_KEY),
        "{said}"
    );

    // Once a report came, what is to be done on the host steps back.
    browser.see(".prepare[open]").await;
    collector.succeed(&backend, &host_id, "web-1").await;
    browser.open(&tab).await;
    browser.see(".host-head[data-status=up]").await;
    browser.see(".prepare:not([open])").await;
    assert_eq!(browser.count(".last-error").await, 0);
    let said = browser.text(".collection .facts").await;
    assert!(said.contains("the collector branch office"), "{said}");
    press(&browser, ".prepare summary").await;
    browser.see(".prepare[open]").await;
    assert_eq!(browser.count(".prepare .copy").await, 2);
    browser.close().await;
}

#[tokio::test]
async fn an_endpoint_is_polled_beside_an_agent_that_pushes() {
    let (backend, _directory) = start(0).await;
    let host = backend.enroll("web-3").await;
    let browser = browse(&backend, "admin").await;
    browser.open("/hosts/add").await;
    browser.click("input[name=kind][value=http]").await;
    let submit = ".collection-form button[type=submit]";
    fill(&browser, "#name", "web-2").await;
    fill(&browser, "#collection\\.url", "web-2").await;
    fill(&browser, "#collection\\.token", "s3cret").await;
    press(&browser, submit).await;
    browser.see("#collection\\.url-note[role=alert]").await;
    fill(
        &browser,
        "#collection\\.url",
        "https://web-2.invalid:8443/report",
    )
    .await;
    press(&browser, submit).await;
    let command = browser.text(".prepare .copy code").await;
    assert!(
        command.starts_with(
            "infra-watch-agent serve --listen 0.0.0.0:8443 --token-file FILE --tls-cert"
        ),
        "{command}"
    );
    press(&browser, "[data-action=test]").await;
    assert!(
        browser
            .text("[data-step=host_key]")
            .await
            .contains("Certificate")
    );

    browser
        .open(&format!("/hosts/{}?tab=collection", host.host_id))
        .await;
    assert!(
        browser
            .text(".collection")
            .await
            .starts_with("Its agent pushes.")
    );
    press(&browser, ".collection a").await;
    browser.see("#collection\\.url").await;
    assert_eq!(browser.count("input[name=kind]").await, 2);
    fill(
        &browser,
        "#collection\\.url",
        "https://web-3.invalid/report",
    )
    .await;
    fill(&browser, "#collection\\.token", "s3cret").await;
    press(&browser, submit).await;
    browser.see(".collection[data-kind=http]").await;
    let said = browser.text(".host-head .facts").await;
    assert!(said.contains("pushed, and fetched over HTTP"), "{said}");
    press(&browser, "[data-action=stop]").await;
    browser.click("dialog button[type=submit]").await;
    browser.see(".collection[data-kind=push]").await;
    browser.close().await;
}

#[tokio::test]
async fn collector_tokens_are_shown_once() {
    let (backend, _directory) = start(0).await;
    let browser = browse(&backend, "admin").await;
    browser.open("/administration/collector-tokens").await;
    assert_eq!(
        browser.text(".empty-title").await,
        "There is no collector token yet."
    );
    browser.click("[data-action=create]").await;
    browser.click("dialog button[type=submit]").await;
    browser.see("#name-note[role=alert]").await;
    fill(&browser, "#name", "branch office").await;
    browser
        .click("#whose option[value='hosts with labels']")
        .await;
    browser.click("dialog button[type=submit]").await;
    browser.see("#which-note[role=alert]").await;
    fill(&browser, "#which", "site=fra").await;
    browser.click("dialog button[type=submit]").await;
    browser.see("dialog .copy + .copy").await;
    let command = browser.text("dialog .copy + .copy code").await;
    let server = backend.url("");
    assert_eq!(
        command,
        format!("infra-watch collect --server {server} --token-file FILE --every 30s")
    );
    browser.click("dialog .button-primary").await;
    browser.see("[data-token='branch office']").await;
    assert!(
        browser
            .text("[data-token='branch office']")
            .await
            .contains("hosts with site=fra")
    );
    browser.click("[data-action=delete]").await;
    browser.type_into("#confirm-name", "branch office").await;
    browser.click("dialog button[type=submit]").await;
    browser.miss("[data-token]").await;
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
}

/// Hosts in every state that pages show: what they are called, where they are, and what is there when they are.
type Pages = Vec<(&'static str, String, &'static str)>;

async fn scene() -> (Backend, Pages, TempDir) {
    let (backend, directory) = start(4 * LONG_SECONDS).await;
    let collector = Collector::new(&backend).await;
    let offered = add(&backend, "web-1", ssh()).await;
    let changed = add(&backend, "web-2", ssh()).await;
    let fresh = add(&backend, "web-3", http()).await;
    let good = add(&backend, "web-4", ssh()).await;
    collector.offer(&backend, &offered, FIRST_KEY).await;
    collector.offer(&backend, &changed, FIRST_KEY).await;
    let confirmed = json!({ "fingerprint": FIRST_KEY });
    let path = format!("/hosts/{changed}/host-key");
    let (status, said) = post(&backend, &path, confirmed).await;
    assert_eq!(status, 200, "{said}");
    collector
        .change(&backend, &changed, FIRST_KEY, SECOND_KEY)
        .await;
    collector.succeed(&backend, &good, "web-4").await;
    let tab = |host_id: &str| format!("/hosts/{host_id}?tab=collection");
    let pages = vec![
        ("collection-new", tab(&fresh), ".prepare .copy"),
        ("collection-offered", tab(&offered), ".key-offered"),
        ("collection-changed", tab(&changed), ".key-changed"),
        ("collection", tab(&good), ".collection .facts"),
        (
            "collection-edit",
            format!("{}&edit=collection", tab(&good)),
            ".collection-form #collection\\.address",
        ),
        ("add-host", "/hosts/add".to_owned(), ".collection-form"),
        (
            "collector-tokens",
            "/administration/collector-tokens".to_owned(),
            "[data-token]",
        ),
    ];
    (backend, pages, directory)
}

#[tokio::test]
async fn operators_see_how_it_goes_and_viewers_do_not() {
    let (backend, pages, _directory) = scene().await;
    let browser = browse(&backend, "operator").await;
    for (page, address, _) in &pages[..5] {
        browser.open(address).await;
        browser.see(".collection .facts").await;
        let acts = ".collection button, .collection a, .collection-form, .prepare";
        assert_eq!(browser.count(acts).await, 0, "{page}");
    }
    for (_, address, _) in &pages[5..] {
        browser.open(address).await;
        assert_eq!(
            browser.text(".empty-title").await,
            "There is no page at this address."
        );
    }
    browser.open("/").await;
    browser.see("[data-host='web-4']").await;
    assert_eq!(browser.count("a[href='/hosts/add']").await, 0);
    check_traffic(&browser, &backend.url("/")).await;
    log_out(&browser).await;
    log_in(&browser, "viewer").await;
    browser.open(&pages[3].1).await;
    browser.see(".host-head .facts").await;
    assert!(
        browser
            .text(".host-head .facts")
            .await
            .contains("fetched over SSH")
    );
    assert_eq!(browser.count(".collection, .host-tabs").await, 0);
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
}

/// Opens every part of the form for a new host.
async fn unfold(browser: &Browser, way: &str) {
    browser.open("/hosts/add").await;
    browser
        .click(&format!("input[name=kind][value={way}]"))
        .await;
    press(browser, ".unfold summary").await;
    browser.see("#collection\\.collected_by").await;
    if way == "ssh" {
        browser.click("#login option[value=own]").await;
        browser.see("#collection\\.private_key").await;
    }
}

#[tokio::test]
async fn nothing_serious_hinders_anyone_from_using_these_pages() {
    let axe = axe();
    let (backend, pages, _directory) = scene().await;
    let browser = browse(&backend, "admin").await;
    let mut violations = browser.hindrances(&axe, &pages).await;
    for way in ["http", "ssh"] {
        unfold(&browser, way).await;
        let found = browser.violations(&axe).await.into_iter();
        violations.extend(found.map(|violation| format!("{way}, new: {violation}")));
    }
    browser.open(&pages[0].1).await;
    press(&browser, "[data-action=test]").await;
    browser.see(".step").await;
    let found = browser.violations(&axe).await.into_iter();
    violations.extend(found.map(|violation| format!("tested: {violation}")));
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
    assert!(violations.is_empty(), "{violations:#?}");
}

#[tokio::test]
#[ignore = "writes docs/screenshots: make screenshots"]
async fn screenshots() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    let (backend, pages, _directory) = scene().await;
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
                match *page {
                    "add-host" => unfold(&browser, "ssh").await,
                    "collection-new" => {
                        press(&browser, "[data-action=test]").await;
                        browser.see(".step").await;
                    }
                    _ => {}
                }
                let file = format!("{page}-{}{suffix}.png", theme.name());
                browser.screenshot(&folder.join(file)).await;
            }
        }
    }
    browser.close().await;
}
