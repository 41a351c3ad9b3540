//! The real binaries as processes on 127.0.0.1, ended with the test.
#![expect(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use infra_watch_client::{Client, ClientInfo as _, Credentials, types};
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

/// Name and password of the first admin.
pub const ADMIN: &str = "admin";
pub const PASSWORD: &str = "correct horse battery";
/// The enrolment key that every backend starts with.
pub const ENROLLMENT_KEY: &str = "a key for tests, long enough";
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Looks again and again until there is an answer; fails the test after `seconds`.
pub async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    seconds: u64,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(answer) = look().await {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "after {seconds} s still not: {what}"
        );
    }
}

/// Seconds since 1970: processes live in real time.
#[expect(
    clippy::disallowed_methods,
    reason = "processes under test live in real time"
)]
pub fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        .try_into()
        .unwrap()
}

/// A process that does not outlive the test.
pub struct Process(Child);

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        Self(
            command
                .stdin(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(mut self) {
        self.end();
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn end(&mut self) {
        // One that ended already cannot be killed; waiting frees its entry all the same.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// The directory of a test and an address: where a backend lives, whichever process it is at the time.
pub struct Site {
    pub directory: tempfile::TempDir,
    pub address: SocketAddr,
}

impl Site {
    pub fn new() -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        Self {
            directory: tempfile::tempdir().unwrap(),
            address: free_address(),
        }
    }

    /// Starts a backend here and waits until it is ready.
    pub async fn start(&self, flags: &[&str]) -> Process {
        let mut command = Command::new(backend_binary());
        command
            .env_clear()
            .env("INFRA_WATCH_ADMIN_USERNAME", ADMIN)
            .env("INFRA_WATCH_ADMIN_PASSWORD", PASSWORD)
            .env("INFRA_WATCH_ENROLLMENT_KEY", ENROLLMENT_KEY)
            .args([
                "serve",
                "--drain",
                "0s",
                "--listen",
                &self.address.to_string(),
                "--data-dir",
            ])
            .arg(self.directory.path().join("data"))
            .args(flags)
            .stderr(self.log("backend.log"));
        let mut backend = Process::spawn(&mut command);
        let url = self.url("/readyz");
        let client = reqwest::Client::new();
        until("the backend is ready", 30, || {
            assert!(
                !backend.has_ended(),
                "the backend ended:\n{}",
                self.read("backend.log")
            );
            let request = client.get(&url).send();
            async {
                request
                    .await
                    .ok()
                    .filter(|answer| answer.status().is_success())
            }
        })
        .await;
        backend
    }

    /// Starts a real agent that reports here.
    pub fn start_agent(&self, interval: &str) -> Process {
        self.start_agent_with(interval, &[])
    }

    /// Starts a real agent that reports here, with more flags.
    pub fn start_agent_with(&self, interval: &str, flags: &[&str]) -> Process {
        let binary = agent_binary();
        let mut command = Command::new(&binary);
        command
            .env_clear()
            .args([
                "run",
                "--interval",
                interval,
                "--server",
                &self.url(""),
                "--enrollment-key",
                ENROLLMENT_KEY,
            ])
            .arg("--state-dir")
            .arg(self.agent_directory())
            .args(flags)
            .stdout(Stdio::null())
            .stderr(self.log("agent.log"));
        Process::spawn(&mut command)
    }

    pub fn agent_directory(&self) -> PathBuf {
        self.directory.path().join("agent")
    }

    fn log(&self, name: &str) -> File {
        File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join(name))
            .unwrap()
    }

    /// What a process wrote to its log.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A client that sends this token, or none.
    pub fn client(&self, token: Option<&str>) -> Client {
        let client = Client::new(&self.url("/api/v1"), Credentials::default());
        client.inner().set(token.map(str::to_owned));
        client
    }

    /// An access token.
    pub async fn token(&self, username: &str) -> String {
        let body = types::Login::builder()
            .username(username)
            .password(PASSWORD);
        self.client(None)
            .login()
            .body(body)
            .send()
            .await
            .unwrap()
            .into_inner()
            .access_token
    }

    /// A client logged in as the admin.
    pub async fn admin(&self) -> Client {
        self.client(Some(&self.token(ADMIN).await))
    }

    /// Enrols a made-up host: its id and a client for its agent.
    pub async fn enroll(&self, hostname: &str) -> (Uuid, Client) {
        let body = types::Enroll::builder()
            .install_id(Uuid::new_v4())
            .machine_id("m")
            .hostname(hostname)
            .agent_version("0.1.0");
        let enrolled = self
            .client(Some(ENROLLMENT_KEY))
            .enroll_agent()
            .body(body)
            .send()
            .await
            .unwrap()
            .into_inner();
        (enrolled.host_id, self.client(Some(&enrolled.token)))
    }

    /// A host's samples of a metric without an instance, over all time.
    pub async fn samples(&self, admin: &Client, host_id: Uuid, metric: &str) -> Vec<(i64, f64)> {
        let samples = admin
            .get_samples()
            .host_id(host_id)
            .metric(vec![metric.parse().unwrap()])
            .from("0")
            .to("9999999999")
            .send()
            .await
            .unwrap()
            .into_inner();
        let Some(series) = samples.series.first() else {
            return Vec::new();
        };
        let values = series.values.iter().map(|value| value.unwrap());
        samples.timestamps.iter().copied().zip(values).collect()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no settings of its own"
)]
/// The backend's binary; `INFRA_WATCH_BINARY` names another, such as one to be measured.
pub fn backend_binary() -> PathBuf {
    std::env::var_os("INFRA_WATCH_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_infra-watch").into(), PathBuf::from)
}

/// The agent's binary, which cargo puts beside the backend's.
pub fn agent_binary() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_infra-watch")).with_file_name("infra-watch-agent");
    assert!(
        binary.exists(),
        "{} is not there: cargo build --package infra-watch-agent",
        binary.display()
    );
    binary
}
