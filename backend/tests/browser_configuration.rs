//! The dashboard's pages about configurations in a real browser, over a real backend whose clock is moved by hand.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

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

use std::path::Path;
use std::sync::Arc;

use browser::{Browser, ENTER, Theme, axe, check_traffic, dashboard, log_in, log_out};
use infra_watch::store::redb::RedbKv;
use infra_watch_client::Client;
use process::{unix_now, until};
use support::Backend;
use tempfile::TempDir;
use uuid::Uuid;

/// The Escape key, as WebDriver writes it.
const ESCAPE: &str = "\u{E00C}";
/// More packages than most machines have.
const LARGE: usize = 3000;
/// Remembers the longest pause of the page from now on.
const WATCH_PAUSES: &str = "window.pauses = 0; new PerformanceObserver(list => list.getEntries().forEach(
    task => window.pauses = Math.max(window.pauses, task.duration))).observe({ entryTypes: ['longtask'] })";
const CPU_CHART: &str = "[data-metric=cpu_usage_percent] canvas";

/// A backend whose clock shows a day before the time that browsers have, and where its store is.
async fn start_a_day_ago() -> (Backend, TempDir) {
    dashboard("dist/index.html");
    let directory = tempfile::tempdir().unwrap();
    let kv = RedbKv::open(directory.path()).unwrap();
    let day_ago = unix_now() - day::DAY_MINUTES * 60;
    (Backend::start_at(Arc::new(kv), day_ago).await, directory)
}

/// The made-up fleet with a day behind it.
async fn fleet(backend: &Backend) -> Vec<(Uuid, Client)> {
    let admin = backend.client("admin").await;
    let enroll = async |name| {
        let host = backend.enroll(name).await;
        (host.host_id, host.agent)
    };
    let hosts = demo::enroll(&admin, enroll).await;
    day::live_through_a_day(backend, &hosts).await;
    demo::report(&hosts, 6 * 60).await;
    hosts
}

/// Pages that are looked at: what they are called, where they are, and what is there when they are.
fn pages(hosts: &[(Uuid, Client)]) -> Vec<(&'static str, String, &'static str)> {
    let (web, cache, mail) = (hosts[0].0, hosts[4].0, hosts[6].0);
    let side = |host: usize, which: &str| format!("{}:{which}", hosts[host].0);
    vec![
        ("overview", "/".to_owned(), ".tile-drifted"),
        ("host", format!("/hosts/{web}"), ".marker"),
        ("markers", format!("/hosts/{web}"), ".marker"),
        (
            "configuration",
            format!("/hosts/{web}?tab=configuration"),
            ".items",
        ),
        (
            "stale",
            format!("/hosts/{mail}?tab=configuration"),
            ".section-stale",
        ),
        (
            "changes-of-host",
            format!("/hosts/{web}?tab=changes"),
            ".change-set",
        ),
        ("drift", format!("/hosts/{web}?tab=drift"), ".drift"),
        (
            "set-aside",
            format!("/hosts/{cache}?tab=drift"),
            ".set-aside",
        ),
        ("changes", "/changes".to_owned(), ".group"),
        (
            "inventory",
            "/inventory?key=openssl&below=3.0.14".to_owned(),
            ".inventory",
        ),
        (
            "compare",
            format!(
                "/compare?left={}&right={}",
                side(1, "latest"),
                side(0, "latest")
            ),
            ".beside",
        ),
        (
            "compare-unified",
            format!(
                "/compare?view=unified&left={}&right={}",
                side(1, "latest"),
                side(0, "latest")
            ),
            ".unified",
        ),
        (
            "compare-group",
            "/compare?mode=group".to_owned(),
            ".member-line",
        ),
        (
            "drift-rules",
            "/administration/drift-rules".to_owned(),
            ".rules",
        ),
        (
            "system",
            "/administration/system".to_owned(),
            "[data-job=seal]",
        ),
    ]
}

/// A browser in which somebody is logged in.
async fn browse(backend: &Backend, username: &str) -> Browser {
    let browser = Browser::start(&backend.url("")).await;
    browser.open("/").await;
    log_in(&browser, username).await;
    browser
}

#[tokio::test]
async fn an_admin_approves_what_drifted_and_says_why() {
    let (backend, _directory) = start_a_day_ago().await;
    let hosts = fleet(&backend).await;
    let drift = format!("/hosts/{}?tab=drift", hosts[0].0);
    let curl = "[data-key='dpkg/wget:amd64']";
    let browser = browse(&backend, "admin").await;
    browser.open(&drift).await;
    browser.see("[data-state=drifted]").await;
    browser.see("[data-action=approve]:disabled").await;
    browser.click(&format!("{curl} input")).await;
    browser.click("[data-action=approve]:enabled").await;

    // Without a reason nothing is approved.
    browser.click("dialog button[type=submit]").await;
    browser.see("#reason-note[role=alert]").await;
    browser
        .type_into("#reason", "not needed <b>any more</b>")
        .await;
    browser.click("dialog button[type=submit]").await;
    browser.miss(curl).await;
    browser.miss("dialog").await;
    assert_eq!(
        browser.text(".baseline:first-child .baseline-reason").await,
        "not needed <b>any more</b>"
    );
    browser.click(".baseline:first-child .fold-line").await;
    assert!(
        browser
            .text(".baseline:first-child .change")
            .await
            .contains("wget")
    );

    // What is ignored stays, and counts no more.
    let shell = "[data-key='telnet.socket']";
    browser.click(&format!("{shell} input")).await;
    browser.click("[data-action=ignore]:enabled").await;
    browser.type_into("#reason", "a test").await;
    browser.click("dialog button[type=submit]").await;
    browser.see(&format!("{shell} .badge-ignored")).await;
    browser.open("/administration/drift-rules").await;
    browser.see("[data-rule='telnet.socket']").await;
    assert!(
        browser
            .text("[data-rule='telnet.socket'] .rule-sentence")
            .await
            .contains("Ignore telnet.socket in services on web-1")
    );
    browser
        .click("[data-rule='telnet.socket'] [data-action=delete]")
        .await;
    browser.click("dialog button[type=submit]").await;
    browser.miss("[data-rule='telnet.socket']").await;

    // A whole section at once.
    browser.open(&drift).await;
    browser.click("[aria-label='Select all of packages']").await;
    browser.click("[data-action=approve]:enabled").await;
    browser.type_into("#reason", "all of them").await;
    browser.click("dialog button[type=submit]").await;
    browser.miss("[data-key^='dpkg/']").await;
    log_out(&browser).await;

    log_in(&browser, "operator").await;
    browser.open(&drift).await;
    browser.see("[data-key='telnet.socket']").await;
    assert_eq!(
        browser.count("[data-action=approve], .cell-choice").await,
        0
    );
    check_traffic(&browser, &backend.url("/")).await;
    log_out(&browser).await;

    log_in(&browser, "viewer").await;
    browser.open(&drift).await;
    browser.see(CPU_CHART).await;
    let hidden =
        ".host-tabs, a[href='/changes'], a[href='/inventory'], .marker, .tile-drifted, .state-line";
    assert_eq!(
        browser.count(hidden).await,
        0,
        "a viewer sees metrics alone"
    );
    for page in [
        "/changes",
        "/inventory",
        "/compare",
        "/administration/drift-rules",
    ] {
        browser.open(page).await;
        assert_eq!(
            browser.text(".empty-title").await,
            "There is no page at this address."
        );
    }
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
}

#[tokio::test]
async fn changes_stand_over_the_charts_and_lead_to_what_changed() {
    let (backend, _directory) = start_a_day_ago().await;
    let hosts = fleet(&backend).await;
    let browser = browse(&backend, "operator").await;
    let host = format!("/hosts/{}", hosts[0].0);
    browser.open(&host).await;
    browser.see(CPU_CHART).await;
    let rail = "[aria-label='Changes and alerts over CPU'] ";
    browser.see(&format!("{rail}.marker")).await;
    // Those of 31 and of 30 minutes ago are joined.
    assert_eq!(browser.count(&format!("{rail}.marker")).await, 3);
    assert_eq!(browser.text(&format!("{rail}.marker-count")).await, "2");

    browser
        .hover(&format!("{rail}.marker:nth-of-type(1) .marker-shape"))
        .await;
    let tip = browser.text(".tip").await;
    assert!(
        tip.contains("DB_PASSWORD") && tip.contains("hidden #9e107d9d"),
        "{tip}"
    );
    assert!(
        !tip.contains("9e107d9d372b"),
        "no more of a hash than tells it apart"
    );
    browser
        .click(&format!("{rail}.marker:nth-of-type(1) .marker-shape"))
        .await;
    browser.see(".change-set[data-change]").await;
    browser.see("[data-effect=cpu_usage_percent]").await;
    assert!(browser.address().await.contains("&tab=changes"));
    assert_eq!(browser.count(".change-set").await, 1);

    // By keyboard alone, the pointer elsewhere; and back is back.
    browser.hover("h1").await;
    browser.run("history.back()").await;
    browser.see(&format!("{rail}.marker")).await;
    browser
        .run(&format!(
            "document.querySelectorAll(\"{rail}.marker\")[2].focus()"
        ))
        .await;
    assert!(browser.text(".tip").await.contains("wget"));
    browser.press(ESCAPE).await;
    browser.miss(".tip").await;
    browser.press(ENTER).await;
    browser.see(".change-set").await;
    assert!(browser.text(".change-set h3").await.contains("wget"));

    // A joined one leads to the changes of its time.
    browser.open(&host).await;
    browser
        .click(&format!("{rail}.marker:nth-of-type(2) .marker-shape"))
        .await;
    browser.see(".change-set").await;
    assert_eq!(browser.count(".change-set").await, 2);

    // Markers follow the range: over a day, those of the last hour are one beside the upgrade five hours ago.
    browser.open(&format!("{host}?range=24h")).await;
    browser.see(&format!("{rail}.marker")).await;
    assert_eq!(browser.count(&format!("{rail}.marker")).await, 2);
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
}

#[tokio::test]
async fn configurations_are_searched_and_compared() {
    let (backend, _directory) = start_a_day_ago().await;
    let hosts = fleet(&backend).await;
    let (web_1, web_2) = (hosts[0].0, hosts[1].0);
    let browser = browse(&backend, "operator").await;

    browser
        .open(&format!("/hosts/{web_1}?tab=configuration"))
        .await;
    browser.see("[data-section=packages]").await;
    browser
        .type_into("[data-filter=q]", "sshd permitroot")
        .await;
    browser.miss("[data-key='PATH']").await;
    browser.see("[data-key='/etc/ssh/sshd_config']").await;
    assert!(browser.address().await.contains("q=sshd%20permitroot"));
    browser
        .click("[data-key='/etc/ssh/sshd_config'] .fold-line")
        .await;
    assert!(browser.text(".text").await.contains("PermitRootLogin yes"));
    // As it was before anyone changed it.
    let before = unix_now() - 6 * 3600;
    browser
        .open(&format!(
            "/hosts/{web_1}?tab=configuration&snapshot={before}&section=services"
        ))
        .await;
    browser.see("[data-key='nginx.service']").await;
    assert_eq!(browser.count("[data-key='telnet.socket']").await, 0);

    browser.open("/compare").await;
    for (side, host) in [("Left", web_2), ("Right", web_1)] {
        browser
            .click(&format!("[data-side={side}] option[value='{host}']"))
            .await;
        browser
            .see(&format!("[data-side={side}] [data-picker=snapshot]"))
            .await;
    }
    let row = ".beside [data-key='/etc/ssh/sshd_config']";
    browser.see(row).await;
    browser
        .click("[aria-label='How it is shown'] button:nth-child(2)")
        .await;
    browser.see(".unified").await;
    let added = "return [...document.querySelectorAll('.line-added')].map(line => line.textContent.trimEnd())";
    let added = browser.run(added).await;
    assert!(
        added
            .as_array()
            .unwrap()
            .contains(&"+    PermitRootLogin yes".into()),
        "{added}"
    );
    let sides = browser.address().await;
    browser.click("[data-action=swap]").await;
    until("the sides are swapped", 10, || async {
        (browser.address().await != sides).then_some(())
    })
    .await;
    browser.see(".unified").await;
    until("the line is on the other side", 10, || async {
        browser
            .text(".unified")
            .await
            .contains("-    PermitRootLogin yes")
            .then_some(())
    })
    .await;

    browser.open("/compare?mode=group&label=role%3Dweb").await;
    browser.see("[data-member='web-1']").await;
    assert_eq!(browser.count("[data-member]").await, 2);
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
}

#[tokio::test]
async fn thousands_of_items_are_searched_and_approved() {
    let (backend, _directory) = start_a_day_ago().await;
    let host = backend.enroll("large-1").await;
    let mut sections = day::debian();
    day::send(&host.agent, backend.now(), &sections, &[]).await;
    for number in 0..LARGE {
        sections["packages"][format!("dpkg/package-{number}:amd64")] = "1.0-1".into();
    }
    day::send(&host.agent, backend.now(), &sections, &[]).await;
    let browser = browse(&backend, "admin").await;
    browser
        .open(&format!("/hosts/{}?tab=configuration", host.host_id))
        .await;
    browser.see(".items").await;
    assert!(browser.count(".items tbody tr").await < LARGE / 2);
    browser.run(WATCH_PAUSES).await;
    browser.type_into("[data-filter=q]", "package-2999").await;
    browser.see("[data-key='dpkg/package-2999:amd64']").await;
    browser.miss("[data-key='PATH']").await;
    let pause = browser.run("return window.pauses").await;
    println!("longest pause when searching: {pause} ms");

    browser
        .open(&format!("/hosts/{}?tab=drift", host.host_id))
        .await;
    browser.see(".drift").await;
    browser.run(WATCH_PAUSES).await;
    browser.click("[aria-label='Select all']").await;
    browser.see("[data-action=approve]:enabled").await;
    let pause = browser.run("return window.pauses").await;
    println!("longest pause when selecting all: {pause} ms");

    assert!(
        browser
            .text(".row-actions")
            .await
            .contains("3\u{202f}000 items selected")
    );
    browser.click("[data-action=approve]").await;
    browser.type_into("#reason", "all of them").await;
    browser.click("dialog button[type=submit]").await;
    browser.see("[data-state=at_baseline]").await;
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
}

#[tokio::test]
async fn the_fleet_is_asked_who_has_what_and_what_changed() {
    let (backend, _directory) = start_a_day_ago().await;
    fleet(&backend).await;
    let browser = browse(&backend, "operator").await;
    browser.click("a[href='/inventory']").await;
    browser.type_into("[data-filter=key]", "openssl").await;
    browser.see(".inventory [data-host='web-1']").await;
    assert_eq!(browser.count(".inventory tbody tr").await, 8);
    browser.type_into("[data-filter=below]", "3.0.14").await;
    browser.miss(".inventory [data-host='web-1']").await;
    browser.see(".inventory [data-host='db-1']").await;
    assert!(browser.text(".table-foot").await.ends_with("on 4 hosts"));
    browser.open("/inventory?key=no-such-package").await;
    assert_eq!(browser.text(".empty-title").await, "No host has that.");

    browser.open("/changes?key=openssl").await;
    browser.see("[data-group='dpkg/openssl:amd64']").await;
    let line = browser.text("[data-group='dpkg/openssl:amd64']").await;
    assert!(
        line.contains("on 3 hosts") && line.contains("upgrade"),
        "{line}"
    );
    browser.click(".group .fold-line").await;
    assert_eq!(browser.count(".group-hosts li").await, 3);
    browser.click(".group-hosts li:first-child a").await;
    browser.see(".change-set").await;
    assert!(
        browser
            .text(".change-set h3")
            .await
            .contains("20 packages upgraded")
    );
    browser.click(".change-set .change-list .fold-line").await;
    assert!(
        browser
            .text(".change-list")
            .await
            .contains("3.0.14-1~deb12u2")
    );

    // The strip of the overview leads there, and is a filter.
    browser.open("/").await;
    browser.click(".tile-drifted").await;
    browser.see("[data-host='web-1']").await;
    browser.miss("[data-host='db-2']").await;
    browser.see("[data-host='cache-1'] .badge-warning").await;
    browser.click(".tile-changes").await;
    browser.see(".change-set .host-link").await;
    assert!(browser.address().await.starts_with("/changes?by=host"));
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
}

#[tokio::test]
async fn what_is_not_known_is_not_called_good_and_copies_are_decided_about() {
    let (backend, _directory) = start_a_day_ago().await;
    let hosts = fleet(&backend).await;
    let silent = backend.enroll("silent-1").await.host_id;
    let browser = browse(&backend, "admin").await;
    browser.open(&format!("/hosts/{silent}?tab=drift")).await;
    browser.see("[data-state=unknown]").await;
    let said = browser.text("main").await;
    assert!(said.contains("No configuration has arrived"), "{said}");
    assert!(!said.contains("Nothing differs"), "{said}");
    browser
        .open(&format!("/hosts/{silent}?tab=configuration"))
        .await;
    assert!(
        browser
            .text(".copy")
            .await
            .contains("infra-watch-agent report --pretty")
    );
    // A section that could not be read for a day.
    browser
        .open(&format!("/hosts/{}?tab=drift", hosts[6].0))
        .await;
    browser.see("[data-state=unknown]").await;
    let said = browser.text(".state-line").await;
    assert!(said.contains("packages"), "{said}");
    assert_eq!(browser.count(".notice").await, 1);

    browser.open(&format!("/hosts/{}", hosts[4].0)).await;
    browser.see(".set-aside").await;
    let machines = browser.count(".set-aside").await;
    browser
        .click(".set-aside:last-child [data-action=forget]")
        .await;
    browser.click("dialog button[type=submit]").await;
    until("one is forgotten", 10, || async {
        (browser.count(".set-aside").await == machines - 1).then_some(())
    })
    .await;
    let copy = browser.text(".set-aside").await;
    browser.click(".set-aside [data-action=accept]").await;
    assert!(
        browser
            .text("dialog p")
            .await
            .contains("are kept as those of this host")
    );
    browser.click("dialog button[type=submit]").await;
    browser.miss("dialog").await;
    // What was the host until now is set aside in its place.
    until("the machines changed places", 10, || async {
        (browser.text(".set-aside").await != copy).then_some(())
    })
    .await;
    assert_eq!(browser.count(".set-aside").await, 1);
    log_out(&browser).await;
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
}

#[tokio::test]
async fn rules_are_made_and_what_is_wrong_is_said_beside_its_field() {
    let (backend, _directory) = start_a_day_ago().await;
    fleet(&backend).await;
    let browser = browse(&backend, "admin").await;
    browser.open("/administration/drift-rules").await;
    browser.click("[data-action=create]").await;
    browser.type_into("#key", "dpkg/nginx*").await;
    assert_eq!(
        browser.text(".rule-draft").await,
        "Ignore dpkg/nginx* in packages on all hosts."
    );
    browser.click("#kind option[value=expected]").await;
    browser.type_into("#reason", "a planned upgrade").await;
    browser
        .click("#whose option[value='hosts with labels']")
        .await;
    browser.type_into("#which", "role").await;
    browser.click("dialog button[type=submit]").await;
    browser.see("#which-note[role=alert]").await;
    browser.type_into("#which", "=web").await;
    browser.run("const to = document.querySelector('#to'); to.value = '2099-01-01T00:00'; to.dispatchEvent(new InputEvent('input', { bubbles: true }))").await;
    browser.click("dialog button[type=submit]").await;
    browser.see("[data-rule='dpkg/nginx*']").await;
    assert!(
        browser
            .text("[data-rule='dpkg/nginx*'] .rule-sentence")
            .await
            .starts_with("Expect changes of dpkg/nginx* in packages on hosts with role=web")
    );
    check_traffic(&browser, &backend.url("/")).await;
    browser.close().await;
}

#[tokio::test]
async fn nothing_serious_hinders_anyone_from_using_these_pages() {
    let axe = axe();
    let (backend, _directory) = start_a_day_ago().await;
    let hosts = fleet(&backend).await;
    let pages = pages(&hosts);
    let browser = browse(&backend, "admin").await;
    let mut violations = browser.hindrances(&axe, &pages).await;
    for (address, opener) in [
        (pages[6].1.as_str(), "[data-action=approve]:enabled"),
        ("/administration/drift-rules", "[data-action=create]"),
        (pages[7].1.as_str(), "[data-action=accept]"),
    ] {
        browser.open(address).await;
        browser.see("[data-action=user-menu]").await;
        browser.settle().await;
        if opener.contains("approve") {
            browser.click("[aria-label='Select all']").await;
        }
        browser.click(opener).await;
        browser.see("dialog").await;
        let found = browser.violations(&axe).await.into_iter();
        violations.extend(found.map(|violation| format!("{opener}: {violation}")));
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
    let (backend, _directory) = start_a_day_ago().await;
    let hosts = fleet(&backend).await;
    let admin = backend.client("admin").await;
    for job in ["seal", "repack", "rollup", "sweep"] {
        admin.run_job().name(job).send().await.unwrap();
    }
    // The one that reports each second is late by then.
    backend.clock.advance(45);
    let pages = pages(&hosts);
    let browser = Browser::start(&backend.url("")).await;
    let shots = [("", 1280, 800, false), ("-phone", 390, 844, true)];
    for theme in [Theme::Light, Theme::Dark] {
        browser.theme(theme).await;
        for (suffix, width, height, is_phone) in shots {
            browser.size(width, height, is_phone).await;
            let file = |page: &str| folder.join(format!("{page}-{}{suffix}.png", theme.name()));
            browser.open("/login").await;
            browser.see("#password").await;
            browser.screenshot(&file("login")).await;
            log_in(&browser, "admin").await;
            for (page, address, waits_for) in &pages {
                browser.open(address).await;
                browser.see(waits_for).await;
                if *page == "host" {
                    browser.see(CPU_CHART).await;
                }
                browser.settle().await;
                if *page == "markers" {
                    browser.see(CPU_CHART).await;
                    browser
                        .run("document.querySelectorAll('.marker')[2].focus()")
                        .await;
                    browser.see(".tip").await;
                }
                browser.screenshot(&file(page)).await;
            }
            log_out(&browser).await;
        }
    }
    browser.close().await;
}
