//! The dashboard in a real browser, over a real backend with a real agent.

#[path = "support/browser.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod browser;
#[path = "support/demo.rs"]
mod demo;
#[path = "support/process.rs"]
mod process;

use browser::{Browser, Theme, axe, check_traffic, dashboard, log_in, log_out};
use infra_watch_client::types;
use process::{ADMIN, PASSWORD, Site, unix_now, until};

const VIEWER: &str = "vera";
const CPU_CHART: &str = "[data-metric=cpu_usage_percent] canvas";
const ADMINISTRATION: &str = "a[href='/administration/users']";
const SYSTEM: &str = "/administration/system";

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
    check_traffic(&browser, &site.url("/")).await;

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
    check_traffic(&browser, &site.url("/")).await;
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
    check_traffic(&browser, &site.url("/")).await;

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
    check_traffic(&browser, &site.url("/")).await;
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
    check_traffic(&browser, &site.url("/")).await;
    browser.close().await;
    assert!(violations.is_empty(), "{violations:#?}");
}
