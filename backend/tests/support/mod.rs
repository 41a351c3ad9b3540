//! A real backend on a free port, driven by the generated client.
#![expect(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use infra_watch::app::App;
use infra_watch::clock::{Clock, ManualClock};
use infra_watch::domain::egress::EgressRules;
use infra_watch::domain::role::Role;
use infra_watch::flows::password::Passwords;
use infra_watch::flows::token::Tokens;
use infra_watch::flows::user::{self, NewUser};
use infra_watch::http::HttpSettings;
use infra_watch::http::server::ServeOptions;
use infra_watch::notify::{Notifiers, NotifyError};
use infra_watch::store::Store;
use infra_watch::store::audit::Actor;
use infra_watch::store::kv::{Kv, KvError};
use infra_watch::store::redb::RedbKv;
use infra_watch::store::series::GroupCommit;
use infra_watch::transport::{SshKey, TransportSettings, Transports};
use infra_watch_client::{Client, ClientInfo as _, Credentials, types};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// The password of every user that tests make.
pub const PASSWORD: &str = "correct horse battery";
/// When tests begin.
pub const START: i64 = 1_800_000_000;

/// Notifiers that may reach what tests start.
fn notifiers() -> Result<Notifiers, NotifyError> {
    let egress = EgressRules {
        allow_private: true,
        ..EgressRules::default()
    };
    Notifiers::new(egress, Some("https://watch.example.org".to_owned()))
}

/// Ways to what tests start on this machine, with a key of their own.
fn transports(patience: Option<Duration>) -> Transports {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ssh_key");
    std::fs::write(&path, SshKey::generate().unwrap()).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    Transports::new(TransportSettings {
        egress: EgressRules {
            allow_private: true,
            ..EgressRules::default()
        },
        key: Some(SshKey::open(&path).unwrap()),
        patience,
        ..TransportSettings::default()
    })
    .unwrap()
}

/// A backend that runs until it is dropped or stopped.
pub struct Backend {
    pub address: SocketAddr,
    pub app: Arc<App>,
    pub clock: Arc<ManualClock>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
    _directory: Option<TempDir>,
}

impl Backend {
    /// A backend over a fresh store, with the users `viewer`, `operator` and `admin`.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let backend = Self::start_in(directory.path()).await;
        Self {
            _directory: Some(directory),
            ..backend
        }
    }

    /// A backend over the store in a directory.
    pub async fn start_in(directory: &Path) -> Self {
        Self::start_in_at(directory, START).await
    }

    /// A backend over the store in a directory, whose clock shows that many seconds since 1970.
    pub async fn start_in_at(directory: &Path, seconds: i64) -> Self {
        // The writer threads of a backend that stopped free the files a moment later.
        let kv = loop {
            match RedbKv::open(directory) {
                Err(KvError::Io(reason)) if reason.contains("already open") => {
                    tokio::task::yield_now().await;
                }
                opened => break opened.unwrap(),
            }
        };
        Self::start_at(Arc::new(kv), seconds).await
    }

    /// A backend over an engine.
    pub async fn start_over(kv: Arc<dyn Kv>) -> Self {
        Self::start_at(kv, START).await
    }

    /// A backend over a fresh store that waits no longer than this for a host.
    pub async fn start_impatient(patience: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let kv = Arc::new(RedbKv::open(directory.path()).unwrap());
        Self {
            _directory: Some(directory),
            ..Self::start_with(kv, START, Some(patience)).await
        }
    }

    /// A backend over an engine whose clock shows that many seconds since 1970.
    pub async fn start_at(kv: Arc<dyn Kv>, seconds: i64) -> Self {
        Self::start_with(kv, seconds, None).await
    }

    async fn start_with(kv: Arc<dyn Kv>, seconds: i64, patience: Option<Duration>) -> Self {
        // Whoever is second finds it there.
        drop(rustls::crypto::ring::default_provider().install_default());
        let group_commit = GroupCommit {
            interval: Duration::ZERO,
            ..GroupCommit::default()
        };
        let store = Store::open(kv, group_commit).await.unwrap();
        let clock = Arc::new(ManualClock::new(
            DateTime::from_timestamp(seconds, 0).unwrap(),
        ));
        let tokens = Tokens::new(b"a secret for tests, 32 bytes long").unwrap();
        let app = Arc::new(App::new(
            store,
            Arc::clone(&clock) as Arc<dyn Clock>,
            tokens,
            Passwords::new().unwrap(),
            notifiers().unwrap(),
            transports(patience),
        ));
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            if app
                .store
                .state
                .users
                .find(|user| user.username == role.as_str())
                .is_none()
            {
                let new = NewUser {
                    username: role.as_str().to_owned(),
                    password: PASSWORD.to_owned(),
                    role,
                    disabled: false,
                };
                user::create(&app, Actor::system(), new).await.unwrap();
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Arc::clone(&app);
        let served = tokio::spawn(async move {
            let shutdown = async {
                drop(stopped.await);
            };
            infra_watch::serve(
                serving,
                HttpSettings::default(),
                listener,
                ServeOptions::default(),
                shutdown,
            )
            .await
            .unwrap();
        });
        Self {
            address,
            app,
            clock,
            stop: Some(stop),
            served,
            _directory: None,
        }
    }

    /// Ends the backend and waits until its store is free.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.served).await.unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A client that sends no token.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.url("/api/v1"), Credentials::default())
    }

    /// A client that sends this token.
    pub fn with_token(&self, token: &str) -> Client {
        let client = self.anonymous();
        client.inner().set(Some(token.to_owned()));
        client
    }

    /// An access token of one of the users.
    pub async fn token(&self, username: &str) -> String {
        let body = types::Login::builder()
            .username(username)
            .password(PASSWORD);
        self.anonymous()
            .login()
            .body(body)
            .send()
            .await
            .unwrap()
            .into_inner()
            .access_token
    }

    /// A client logged in as one of the users.
    pub async fn client(&self, username: &str) -> Client {
        self.with_token(&self.token(username).await)
    }

    /// Enrols a new host and returns it with a client for its agent.
    pub async fn enroll(&self, hostname: &str) -> Host {
        let key = types::CreateEnrollmentKey::builder().name("for tests");
        let admin = self.client("admin").await;
        let key = admin
            .create_enrollment_key()
            .body(key)
            .send()
            .await
            .unwrap()
            .into_inner()
            .key;
        let install_id = Uuid::new_v4();
        let body = types::Enroll::builder()
            .install_id(install_id)
            .machine_id("m")
            .hostname(hostname)
            .agent_version("0.1.0");
        let enrolled = self
            .with_token(&key)
            .enroll_agent()
            .body(body)
            .send()
            .await
            .unwrap()
            .into_inner();
        Host {
            host_id: enrolled.host_id,
            install_id,
            agent: self.with_token(&enrolled.token),
            token: enrolled.token,
        }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}

/// An enrolled host.
pub struct Host {
    pub host_id: Uuid,
    pub install_id: Uuid,
    pub token: String,
    pub agent: Client,
}

/// A report with one series, `cpu_usage_percent`.
pub fn report(points: &[(i64, Option<f64>)]) -> types::Report {
    report_of(
        &[("cpu_usage_percent", None)],
        &points
            .iter()
            .map(|(at, value)| (*at, vec![*value]))
            .collect::<Vec<_>>(),
    )
}

/// A report with any series.
pub fn report_of(
    series: &[(&str, Option<&str>)],
    points: &[(i64, Vec<Option<f64>>)],
) -> types::Report {
    let series: Vec<serde_json::Value> = series
        .iter()
        .map(|(metric, instance)| match instance {
            Some(instance) => serde_json::json!({ "metric": metric, "instance": instance }),
            None => serde_json::json!({ "metric": metric }),
        })
        .collect();
    let points: Vec<serde_json::Value> = points
        .iter()
        .map(|(at, values)| serde_json::json!({ "at": at, "values": values }))
        .collect();
    serde_json::from_value(serde_json::json!({
        "report_id": Uuid::new_v4(),
        "agent_version": "0.1.0",
        "sent_at": DateTime::from_timestamp(START, 0),
        "interval_seconds": 30,
        "snapshot_interval_seconds": 3600,
        "series": series,
        "points": points,
    }))
    .unwrap()
}

/// The facts of a host, as its agent sends them.
pub fn facts(hostname: &str) -> serde_json::Value {
    serde_json::json!({
        "hostname": hostname, "machine_id": "m", "boot_id": "b", "os": "Debian GNU/Linux 12 (bookworm)",
        "os_family": "linux", "kernel": "6.1.0-28-amd64", "architecture": "x86_64", "addresses": ["10.0.0.5"],
        "cpu_count": 2, "memory_bytes": 25_769_803_776_u64,
    })
}

/// The HTTP status of a client's error.
pub fn status<E: std::fmt::Debug>(error: infra_watch_client::Error<E>) -> u16 {
    error
        .status()
        .map_or_else(|| panic!("no status: {error:?}"), |status| status.as_u16())
}
