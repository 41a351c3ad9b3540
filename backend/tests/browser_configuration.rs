//! The dashboard's pages about configurations in a real browser, over a real backend whose clock is moved by hand.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/browser.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod browser;
#[path = "support/configurations.rs"]
mod configurations;
#[path = "support/demo.rs"]
#[expect(dead_code, reason = "each test binary uses its part")]
mod demo;
#[path = "support/process.rs"]
mod process;
mod support;

use std::path::{Path, PathBuf};

use browser::{Browser, ENTER, Theme};
use infra_watch_client::Client;
use process::unix_now;
use support::{Backend, PASSWORD, START};
use uuid::Uuid;

const CPU_CHART: &str = "[data-metric=cpu_usage_percent] canvas";

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

/// A backend whose clock shows the time that browsers have.
async fn start() -> Backend {
    dashboard("dist/index.html");
    let backend = Backend::start().await;
    backend.clock.advance(unix_now() - START);
    backend
}

/// The made-up fleet with a day behind it.
async fn fleet(backend: &Backend) -> Vec<(Uuid, Client)> {
    backend.clock.advance(-configurations::DAY_MINUTES * 60);
    let admin = backend.client("admin").await;
    let enroll = async |name| {
        let host = backend.enroll(name).await;
        (host.host_id, host.agent)
    };
    let hosts = demo::enroll(&admin, enroll).await;
    configurations::live_through_a_day(backend, &hosts).await;
    demo::report(&hosts, 6 * 60).await;
    hosts
}

#[tokio::test]
#[ignore = "writes docs/screenshots: make screenshots"]
async fn screenshots() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    let backend = start().await;
    let hosts = fleet(&backend).await;
    let admin = backend.client("admin").await;
    for job in ["seal", "repack", "rollup", "sweep"] {
        admin.run_job().name(job).send().await.unwrap();
    }
    // The one that reports each second is late by then.
    backend.clock.advance(20);
    let (web, cache, mail) = (hosts[0].0, hosts[4].0, hosts[6].0);
    let pages = [
        ("overview", "/".to_owned(), "[data-host]"),
        ("host", format!("/hosts/{web}"), ".marker"),
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
        (
            "system",
            "/administration/system".to_owned(),
            "[data-job=seal]",
        ),
    ];
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
                browser.screenshot(&file(page)).await;
            }
            log_out(&browser).await;
        }
    }
    browser.close().await;
}
