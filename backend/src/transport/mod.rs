//! Reaching a host to fetch its report: over HTTP, or over SSH. One call connects, gets one report, and leaves nothing
//! behind; it can run anywhere.

mod answer;
mod bounded;
mod http;
mod ssh;
mod words;

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;
use uuid::Uuid;

use self::bounded::Budget;
use self::http::HttpTransport;
pub use self::http::check_url;
use self::ssh::SshTransport;
pub use self::ssh::{SshKey, check_private_key};
use crate::domain::collection::{Failure, Step, Target, Want};
use crate::domain::egress::EgressRules;
use crate::domain::report::Report;
use crate::wire;

/// Largest report, in bytes.
pub const REPORT_BYTES: usize = 8 * 1024 * 1024;

/// Why the ways to hosts cannot be prepared.
#[derive(Debug, Error)]
pub enum TransportError {
    /// TLS.
    #[error("preparing TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP client.
    #[error("preparing HTTP: {0}")]
    Client(reqwest::Error),
    /// The key that logs in.
    #[error("reading the SSH key in {path}: {reason}")]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A key that was to be made.
    #[error("making an SSH key: {0}")]
    Generate(String),
}

/// What the ways to hosts need to know.
#[derive(Clone, Debug, Default)]
pub struct TransportSettings {
    /// Where they may lead.
    pub egress: EgressRules,
    /// The key that logs in where a host has none of its own.
    pub key: Option<SshKey>,
    /// Directory with the agents that are uploaded.
    pub agent_binaries: Option<PathBuf>,
    /// Waits no longer than this for a whole collection, as tests need it.
    pub patience: Option<Duration>,
}

/// A way to fetch a report.
trait Transport {
    /// Where it is.
    type Target;

    /// Fetches the report of a host, as text that is still to be checked.
    fn fetch(
        &self,
        host_id: Uuid,
        target: &Self::Target,
        want: &Want,
        visit: &mut Visit,
    ) -> impl Future<Output = Result<Bytes, Failure>> + Send;
}

/// What one visit to a host went through.
#[derive(Debug)]
pub struct Visit {
    /// Whether a connection that was kept may serve.
    pub may_reuse: bool,
    /// Steps that were passed, in order, with how long each took and what there is to say of it.
    pub passed: Vec<Passed>,
    since: Instant,
    under_way: (Step, String),
    /// That another key than the known one was shown: it counts even when the time is up before all kinds were asked for.
    shown: Option<Failure>,
}

/// A step that was passed.
#[derive(Clone, Debug)]
pub struct Passed {
    /// Which.
    pub step: Step,
    /// How long it took.
    pub duration: Duration,
    /// What was found, such as an address or a fingerprint; for people.
    pub detail: String,
}

impl Visit {
    /// A visit that begins now.
    pub fn new(may_reuse: bool) -> Self {
        Self {
            may_reuse,
            passed: Vec::new(),
            since: Instant::now(),
            under_way: (Step::Resolve, "beginning".to_owned()),
            shown: None,
        }
    }

    /// Notes what is being done, in words that "took more than" can follow.
    fn begin(&mut self, step: Step, doing: impl Into<String>) {
        self.under_way = (step, doing.into());
    }

    /// What is being done took too long.
    fn took_too_long(&self, patience: Duration) -> Failure {
        let (step, doing) = &self.under_way;
        let shown = self.shown.clone();
        shown.unwrap_or_else(|| Failure::new(*step, words::too_long(doing, patience)))
    }

    /// Notes that a step was passed.
    pub fn pass(&mut self, step: Step, detail: impl Into<String>) {
        let now = Instant::now();
        self.passed.push(Passed {
            step,
            duration: now - self.since,
            detail: detail.into(),
        });
        self.since = now;
    }

    /// How long the step that is under way has taken.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

/// All ways to hosts, built once.
pub struct Transports {
    http: HttpTransport,
    ssh: SshTransport,
}

impl Transports {
    /// Prepares them.
    ///
    /// # Errors
    /// See [`TransportError`].
    pub fn new(settings: TransportSettings) -> Result<Self, TransportError> {
        let budget = Budget::new();
        Ok(Self {
            http: HttpTransport::new(&settings, budget.clone())?,
            ssh: SshTransport::new(&settings, budget),
        })
    }

    /// Fetches the report of a host, as text that is still to be checked. It ends within a deadline of its own, whatever
    /// the host does; dropped earlier, it closes what it opened.
    ///
    /// # Errors
    /// With the step where it ended, and why.
    pub async fn fetch(
        &self,
        host_id: Uuid,
        target: &Target,
        want: &Want,
        visit: &mut Visit,
    ) -> Result<Bytes, Failure> {
        match target {
            Target::Http(target) => self.http.fetch(host_id, target, want, visit).await,
            Target::Ssh(target) => self.ssh.fetch(host_id, target, want, visit).await,
        }
    }

    /// The public part of the key that logs in, as a line for `authorized_keys`: of a host's own, which was checked when
    /// it was given, or of ours. `None` when there is no key.
    pub fn public_key(&self, own: Option<&str>) -> Option<String> {
        match own {
            Some(key) => check_private_key(key).ok(),
            None => self.ssh.public_key(),
        }
    }

    /// Ends connections to a host that are kept, since it is to be reached otherwise or not at all.
    pub fn forget(&self, host_id: Uuid) {
        self.ssh.forget(host_id);
    }
}

/// Checks that what a host gave is a report.
///
/// # Errors
/// With what is wrong, at [`Step::Report`].
pub fn read(bytes: &[u8]) -> Result<Report, Failure> {
    wire::report::Report::read(bytes).map_err(|error| {
        Failure::new(
            Step::Report,
            format!("what the agent sent is no valid report: {error}"),
        )
    })
}
