//! The dashboard in a real browser, over a real backend with a real agent.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/browser.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod browser;
#[path = "support/demo.rs"]
mod demo;
#[path = "support/process.rs"]
mod process;

use std::path::{Path, PathBuf};

use browser::{Browser, ENTER, Theme};
use infra_watch_client::types;
use process::{ADMIN, PASSWORD, Site, unix_now, until};

const VIEWER: &str = "vera";
const CPU_CHART: &str = "[data-metric=cpu_usage_percent] canvas";
const ADMINISTRATION: &str = "a[href='/administration/users']";
const SYSTEM: &str = "/administration/system";

/// A file below `dashboard/`.
fn dashboard(file: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../dashboard")
        .join(file);
    assert!(
        path.exists(),
        "{} is not there: make dashboard",
        path.display()
    );
    path
}

fn axe() -> String {
    std::fs::read_to_string(dashboard("node_modules/axe-core/axe.min.js")).unwrap()
}

async fn log_in(browser: &Browser, username: &str) {
    browser.type_into("#username", username).await;
    browser
        .type_into("#password", &format!("{PASSWORD}{ENTER}"))
        .await;
    browser.see("[data-action=user-menu]").await;
}

async fn log_out(browser: &Browser) {
    browser.click("[data-action=user-menu]").await;
    browser.click("[data-action=logout]").await;
    browser.see("#password").await;
}

/// Every request went to the site itself, and the console shows nothing but the question whether a session goes on.
async fn check_traffic(browser: &Browser, site: &Site) {
    let is_foreign = |url: &String| url.starts_with("http") && !url.starts_with(&site.url("/"));
    let foreign: Vec<_> = browser
        .requests()
        .await
        .into_iter()
        .filter(is_foreign)
        .collect();
    assert!(foreign.is_empty(), "requests to others: {foreign:?}");
    let errors: Vec<_> = browser
        .errors()
        .await
        .into_iter()
        .filter(|error| !error.contains("/api/v1/auth/refresh"))
        .collect();
    assert!(errors.is_empty(), "errors in the console: {errors:?}");
}

#[tokio::test]
async fn logs_in_sees_this_machine_and_its_charts_and_logs_out() {
    dashboard("dist/index.html");
    let site = Site::new();
    let _backend = site.start(&[]).await;
    let _agent = site.start_agent("1s");
    let admin = site.admin().await;
    let host = until("this machine is up", 30, || async {
        let hosts = admin
            .list_hosts()
            .status(types::HostStatus::Up)
            .send()
            .await
            .unwrap();
        hosts.into_inner().items.into_iter().next()
    })
    .await;
    let browser = Browser::start(&site.url("")).await;

    browser.open("/").await;
    browser.type_into("#username", ADMIN).await;
    browser.type_into("#password", "not the password").await;
    browser.click("button[type=submit]").await;
    browser.see("[role=alert]").await;
    assert!(
        browser
            .errors()
            .await
            .iter()
            .all(|error| error.contains("401"))
    );
    browser.open("/").await;
    log_in(&browser, ADMIN).await;

    let row = format!("[data-host='{}'][data-status=up]", host.name);
    browser.see(&row).await;
    assert_eq!(
        browser.count(ADMINISTRATION).await.min(1),
        1,
        "an admin administers"
    );
    browser.click(&row).await;
    browser.see(CPU_CHART).await;
    assert_eq!(browser.path().await, format!("/hosts/{}", host.host_id));
    assert_eq!(browser.text("h1").await, host.name);

    // A page that is loaded anew goes on with its session.
    browser.open(&format!("/hosts/{}", host.host_id)).await;
    browser.see(CPU_CHART).await;
    log_out(&browser).await;
    browser.open("/").await;
    browser.see("#password").await;
    check_traffic(&browser, &site).await;

    let viewer = types::CreateUser::builder()
        .username(VIEWER)
        .password(PASSWORD)
        .role(types::Role::Viewer);
    admin.create_user().body(viewer).send().await.unwrap();
    log_in(&browser, VIEWER).await;
    browser.see(&row).await;
    assert_eq!(
        browser.count(ADMINISTRATION).await,
        0,
        "a viewer does not administer"
    );
    check_traffic(&browser, &site).await;
    browser.close().await;
}

#[tokio::test]
async fn an_admin_looks_after_the_backend() {
    dashboard("dist/index.html");
    let site = Site::new();
    let _backend = site.start(&[]).await;
    demo::fill(&site, 6 * 60).await;
    let admin = site.admin().await;
    let browser = Browser::start(&site.url("")).await;
    browser.open("/").await;
    log_in(&browser, ADMIN).await;
    browser.click(ADMINISTRATION).await;
    browser.click(&format!(".tabs a[href='{SYSTEM}']")).await;
    for tier in ["raw", "five_minutes", "hour"] {
        browser.see(&format!("[data-tier={tier}]")).await;
    }
    let jobs = admin.get_system().send().await.unwrap().into_inner().jobs;
    for job in &jobs {
        browser.see(&format!("[data-job={}]", job.name)).await;
    }
    assert_eq!(browser.count("[data-action=run]").await, jobs.len());

    let seal = "[data-job=seal]";
    let pressed = unix_now();
    browser.click(&format!("{seal} [data-action=run]")).await;
    let run_at = until("seal ran", 30, || async {
        let system = admin.get_system().send().await.unwrap().into_inner();
        let seal = system.jobs.into_iter().find(|job| job.name == "seal");
        let run_at = seal.and_then(|job| job.last_run_at);
        run_at.filter(|at| at.timestamp() >= pressed)
    })
    .await
    .to_rfc3339();
    browser
        .see(&format!("{seal} time[datetime='{run_at}']"))
        .await;
    browser.see(&format!("{seal} .status-up")).await;
    log_out(&browser).await;
    check_traffic(&browser, &site).await;

    let viewer = types::CreateUser::builder()
        .username(VIEWER)
        .password(PASSWORD)
        .role(types::Role::Viewer);
    admin.create_user().body(viewer).send().await.unwrap();
    log_in(&browser, VIEWER).await;
    browser.open(SYSTEM).await;
    browser.see("[data-action=user-menu]").await;
    browser.settle().await;
    assert_eq!(browser.count("[data-job], [data-tier]").await, 0);
    assert_eq!(
        browser.text(".empty-title").await,
        "There is no page at this address."
    );
    check_traffic(&browser, &site).await;
    browser.close().await;
}

#[tokio::test]
async fn nothing_serious_hinders_anyone_from_using_it() {
    dashboard("dist/index.html");
    let axe = axe();
    let site = Site::new();
    let _backend = site.start(&[]).await;
    let hosts = demo::fill(&site, 10).await;
    let browser = Browser::start(&site.url("")).await;
    let mut violations = Vec::new();
    let host_page = format!("/hosts/{}", hosts[0]);
    let pages = [
        "/",
        &host_page,
        "/administration/users",
        "/administration/enrollment-keys",
        "/administration/audit",
        SYSTEM,
        "/api-tokens",
        "/nowhere",
    ];
    let themes = [Theme::Light, Theme::Dark];
    browser.open("/").await;
    browser.see("#password").await;
    for theme in themes {
        browser.theme(theme).await;
        let found = browser.violations(&axe).await.into_iter();
        violations.extend(found.map(|violation| format!("login, {}: {violation}", theme.name())));
    }
    log_in(&browser, ADMIN).await;
    for page in pages {
        browser.open(page).await;
        browser.see("[data-action=user-menu]").await;
        browser.settle().await;
        for theme in themes {
            browser.theme(theme).await;
            let found = browser.violations(&axe).await.into_iter();
            violations
                .extend(found.map(|violation| format!("{page}, {}: {violation}", theme.name())));
        }
    }
    check_traffic(&browser, &site).await;
    browser.close().await;
    assert!(violations.is_empty(), "{violations:#?}");
}
