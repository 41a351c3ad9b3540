//! A headless browser, driven over WebDriver by Debian's chromium-driver.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fantoccini::actions::{InputSource as _, MouseActions, PointerAction};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{PASSWORD, Process, free_address, until};

/// Time for the page to show what is waited for.
const PATIENCE_SECONDS: u64 = 30;
/// The Enter key, as WebDriver writes it.
pub const ENTER: &str = "\u{E007}";
/// How far a page may be wider than the screen, by rounding.
const ROUNDING_PIXELS: f64 = 1.0;

/// Light or dark, as the system asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
}

impl Theme {
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// One browser with an empty profile, on the pages of one site.
pub struct Browser {
    client: Client,
    session: String,
    site: String,
    driver: Driver,
    _profile: TempDir,
}

/// The process between the test and the browser.
struct Driver {
    address: SocketAddr,
    _process: Process,
}

impl Drop for Driver {
    /// Asks it to end its browsers before it is ended itself.
    fn drop(&mut self) {
        let Ok(mut stream) = TcpStream::connect(self.address) else {
            return;
        };
        let request = format!(
            "GET /shutdown HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        );
        let asked = stream.write_all(request.as_bytes());
        drop(asked.and_then(|()| stream.read_to_end(&mut Vec::new())));
    }
}

impl Browser {
    pub async fn start(site: &str) -> Self {
        let address = free_address();
        let mut command = Command::new("chromedriver");
        command
            .arg(format!("--port={}", address.port()))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let driver = Driver {
            address,
            _process: Process::spawn(&mut command),
        };
        let url = format!("http://{address}");
        until("the driver answers", PATIENCE_SECONDS, || {
            let request = reqwest::get(format!("{url}/status"));
            async { request.await.ok() }
        })
        .await;
        let profile = tempfile::tempdir().unwrap();
        let capabilities = json!({
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--window-size=1280,900",
                format!("--user-data-dir={}", profile.path().display()),
            ] },
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(serde_json::from_value(capabilities).unwrap())
            .connect(&url)
            .await
            .unwrap();
        let session = client.session_id().await.unwrap().unwrap();
        let browser = Self {
            client,
            session,
            site: site.to_owned(),
            driver,
            _profile: profile,
        };
        browser.theme(Theme::Light).await;
        browser
    }

    /// Ends the browser in good order.
    pub async fn close(self) {
        self.client.close().await.unwrap();
    }

    /// Loads a page of the site.
    pub async fn open(&self, path: &str) {
        self.client
            .goto(&format!("{}{path}", self.site))
            .await
            .unwrap();
    }

    /// The address that is shown, without the site.
    pub async fn path(&self) -> String {
        self.client.current_url().await.unwrap().path().to_owned()
    }

    /// How many elements there are now.
    pub async fn count(&self, css: &str) -> usize {
        self.client.find_all(Locator::Css(css)).await.unwrap().len()
    }

    /// Waits until there is such an element.
    pub async fn see(&self, css: &str) {
        until(&format!("{css} is there"), PATIENCE_SECONDS, || async {
            (self.count(css).await > 0).then_some(())
        })
        .await;
    }

    /// Waits until the page is there with all that it loads.
    pub async fn settle(&self) {
        self.see("main").await;
        until("nothing is loading", PATIENCE_SECONDS, || async {
            (self.count(".skeleton").await == 0).then_some(())
        })
        .await;
    }

    /// Waits for an element and clicks it; a page that changes meanwhile is no failure.
    pub async fn click(&self, css: &str) {
        until(
            &format!("{css} can be clicked"),
            PATIENCE_SECONDS,
            || async {
                self.client
                    .find(Locator::Css(css))
                    .await
                    .ok()?
                    .click()
                    .await
                    .ok()
            },
        )
        .await;
    }

    /// Waits for a field and types into it.
    pub async fn type_into(&self, css: &str, text: &str) {
        until(&format!("{css} takes text"), PATIENCE_SECONDS, || async {
            self.client
                .find(Locator::Css(css))
                .await
                .ok()?
                .send_keys(text)
                .await
                .ok()
        })
        .await;
    }

    /// Puts the pointer over an element, as soon as it is there.
    pub async fn hover(&self, css: &str) {
        let element = until(&format!("{css} is there"), PATIENCE_SECONDS, || async {
            self.client.find(Locator::Css(css)).await.ok()
        })
        .await;
        let over = MouseActions::new("mouse".to_owned()).then(PointerAction::MoveToElement {
            element,
            duration: None,
            x: 0.0,
            y: 0.0,
        });
        self.client.perform_actions(over).await.unwrap();
    }

    /// Runs a script of the test's own.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Presses a key where the focus is.
    pub async fn press(&self, key: &str) {
        let element = self.client.active_element().await.unwrap();
        element.send_keys(key).await.unwrap();
    }

    /// Path and query of the address that is shown.
    pub async fn address(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        let query = url.query().map(|query| format!("?{query}"));
        format!("{}{}", url.path(), query.unwrap_or_default())
    }

    /// Waits until there is no such element.
    pub async fn miss(&self, css: &str) {
        until(&format!("{css} is gone"), PATIENCE_SECONDS, || async {
            (self.count(css).await == 0).then_some(())
        })
        .await;
    }

    /// The page does not scroll sideways.
    pub async fn fits(&self) -> bool {
        let script = "return document.documentElement.scrollWidth - window.innerWidth";
        self.run(script).await.as_f64().unwrap() <= ROUNDING_PIXELS
    }

    /// What an element says, waited for.
    pub async fn text(&self, css: &str) -> String {
        until(&format!("{css} can be read"), PATIENCE_SECONDS, || async {
            self.client
                .find(Locator::Css(css))
                .await
                .ok()?
                .text()
                .await
                .ok()
        })
        .await
    }

    /// What the system asks pages for; without motion, so that a colour is read when it has arrived.
    pub async fn theme(&self, theme: Theme) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": theme.name() },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
    }

    /// The size of the page, in its own pixels; without scroll bars, which differ from system to system.
    pub async fn size(&self, width: u32, height: u32, is_phone: bool) {
        let metrics = json!({
            "width": width, "height": height, "mobile": is_phone, "deviceScaleFactor": if is_phone { 2 } else { 1 },
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        self.devtools("Emulation.setScrollbarsHidden", json!({ "hidden": true }))
            .await;
    }

    /// What is shown, as PNG.
    pub async fn screenshot(&self, file: &Path) {
        std::fs::write(file, self.client.screenshot().await.unwrap()).unwrap();
    }

    /// What hinders anyone on pages, each a name, an address and what shows that it is there: serious violations in
    /// both themes, and a page that is wider than its window, down to a phone's.
    pub async fn hindrances(
        &self,
        axe: &str,
        pages: &[(&'static str, String, &'static str)],
    ) -> Vec<String> {
        let mut found = Vec::new();
        for (page, address, waits_for) in pages {
            self.size(1280, 800, false).await;
            self.open(address).await;
            self.see(waits_for).await;
            self.settle().await;
            for theme in [Theme::Light, Theme::Dark] {
                self.theme(theme).await;
                let violations = self.violations(axe).await.into_iter();
                found.extend(
                    violations.map(|violation| format!("{page}, {}: {violation}", theme.name())),
                );
            }
            for (width, is_phone) in [(1280, false), (900, false), (390, true), (320, true)] {
                self.size(width, 800, is_phone).await;
                self.settle().await;
                if !self.fits().await {
                    found.push(format!("{page} is wider than {width} pixels"));
                }
            }
        }
        self.size(1280, 800, false).await;
        found
    }

    /// Violations that axe-core, whose source this is, calls serious or critical.
    pub async fn violations(&self, axe: &str) -> Vec<String> {
        let script = format!(
            "{axe}; const done = arguments[arguments.length - 1];
             axe.run(document, {{ resultTypes: ['violations'] }}).then(
                 result => done(result.passes.length === 0 ? ['axe found nothing to check'] : result.violations
                     .filter(found => ['serious', 'critical'].includes(found.impact))
                     .map(found => `${{found.id}}: ${{found.nodes.map(node => node.html).join(' | ')}}`)),
                 error => done([`axe failed: ${{error}}`]))"
        );
        let found = self
            .client
            .execute_async(&script, Vec::new())
            .await
            .unwrap();
        serde_json::from_value(found).unwrap()
    }

    /// Errors in the console since the last call.
    pub async fn errors(&self) -> Vec<String> {
        let entries = self
            .log("browser")
            .await
            .into_iter()
            .filter(|entry| entry["level"] == "SEVERE");
        entries
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Addresses that were asked for since the last call.
    pub async fn requests(&self) -> Vec<String> {
        let events = self.log("performance").await.into_iter().map(|entry| {
            let event: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            event["message"].clone()
        });
        let requests = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        requests
            .map(|event| {
                event["params"]["request"]["url"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let answer = self.command("se/log", json!({ "type": kind })).await;
        serde_json::from_value(answer).unwrap()
    }

    async fn devtools(&self, method: &str, parameters: Value) {
        self.command(
            "goog/cdp/execute",
            json!({ "cmd": method, "params": parameters }),
        )
        .await;
    }

    /// What the driver knows beyond WebDriver.
    async fn command(&self, name: &str, body: Value) -> Value {
        let url = format!(
            "http://{}/session/{}/{name}",
            self.driver.address, self.session
        );
        let answer = reqwest::Client::new()
            .post(url)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert!(
            answer.status().is_success(),
            "{name}: {}",
            answer.text().await.unwrap()
        );
        let mut answer: Value = answer.json().await.unwrap();
        answer["value"].take()
    }
}

/// A file below `dashboard/`.
pub fn dashboard(file: &str) -> PathBuf {
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

pub fn axe() -> String {
    std::fs::read_to_string(dashboard("node_modules/axe-core/axe.min.js")).unwrap()
}

pub async fn log_in(browser: &Browser, username: &str) {
    browser.type_into("#username", username).await;
    browser
        .type_into("#password", &format!("{PASSWORD}{ENTER}"))
        .await;
    browser.see("[data-action=user-menu]").await;
}

pub async fn log_out(browser: &Browser) {
    browser.click("[data-action=user-menu]").await;
    browser.click("[data-action=logout]").await;
    browser.see("#password").await;
}

/// Every request went to the site itself, and the console shows nothing but the question whether a session goes on.
pub async fn check_traffic(browser: &Browser, site: &str) {
    let is_foreign = |url: &String| url.starts_with("http") && !url.starts_with(site);
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
