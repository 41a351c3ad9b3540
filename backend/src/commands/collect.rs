//! `collect`: a collector that keeps nothing. It leases hosts that are due from the backend, fetches their reports with
//! its own SSH key from wherever it runs, and hands each in.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

use super::client::{self, ClientError, detail};
use super::stop_signal;
use crate::config::{CollectArguments, ConfigError, secret};
use crate::domain::collection::{Failure, Step, Target, Want};
use crate::domain::egress::EgressRules;
use crate::outgoing::cause;
use crate::telemetry;
use crate::transport::{self, SshKey, TransportError, TransportSettings, Transports, Visit};
use crate::wire::collector::{CollectionError, Lease, Leases, RequestLease};
use crate::wire::drift::Selector;
use crate::wire::scalar::{Number, Whole, wire_labels};

/// Hosts that are asked at a time: what is leased is begun at once, so that no lease runs out in a queue.
const AT_A_TIME: usize = 32;
/// Time for the backend to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a report is handed in before it is given up.
const ATTEMPTS: u32 = 3;
/// Wait between two attempts.
const PAUSE: Duration = Duration::from_secs(2);
/// After the signal to stop, collections that run have so long.
const FAREWELL: Duration = Duration::from_secs(10);

/// Why a collector ends.
#[derive(Debug, Error)]
pub enum CollectError {
    /// Settings.
    #[error("reading settings")]
    Config(#[from] ConfigError),
    /// No token.
    #[error("--token-file is missing: the file with a collector token")]
    NoToken,
    /// The ways to hosts.
    #[error("preparing collections")]
    Transport(#[from] TransportError),
    /// What the HTTP client needs.
    #[error("preparing HTTP")]
    Prepare(#[from] ClientError),
    /// The HTTP client.
    #[error("preparing HTTP: {0}")]
    Client(reqwest::Error),
    /// The backend cannot be reached.
    #[error("asking {server} for hosts: {reason}")]
    Unreachable {
        /// The backend.
        server: String,
        /// Why, in words.
        reason: String,
    },
    /// The backend refuses.
    #[error("the backend refuses: {0}")]
    Refused(String),
    /// What was brought was not taken.
    #[error("the backend did not take what came of {0} hosts")]
    Lost(usize),
    /// The token is none that counts.
    #[error("the backend refuses the token: it is no collector token, has ended or was revoked")]
    Unauthorized,
}

/// Collects, once or again and again until a signal to stop; says what was done.
///
/// # Errors
/// See [`CollectError`]. A host that cannot be collected is none: the backend is told.
pub async fn run(arguments: CollectArguments) -> Result<String, CollectError> {
    telemetry::init_log(arguments.logging.log_format, &arguments.logging.log);
    let collector = Arc::new(Collector::new(&arguments)?);
    let mut round = Round::default();
    let mut stop = std::pin::pin!(stop_signal());
    let outcome = match arguments.every {
        Some(period) => {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = &mut stop => break Ok(()),
                    _ = ticks.tick() => match round.lease(&collector).await {
                        // Nothing that waiting could mend.
                        Err(CollectError::Unauthorized) => break Err(CollectError::Unauthorized),
                        Err(error) => tracing::warn!(error = super::chain(&error), "no hosts this time"),
                        Ok(()) => {}
                    },
                    // One that is stuck keeps its place, and nobody else waiting.
                    () = round.next(), if !round.running.is_empty() => {
                        if round.is_more && let Err(error) = round.lease(&collector).await {
                            tracing::warn!(error = super::chain(&error), "no more hosts this time");
                        }
                    }
                }
            }
        }
        None => {
            let mut outcome = round.lease(&collector).await;
            while !round.running.is_empty() {
                tokio::select! {
                    () = &mut stop => break,
                    () = round.next() => {
                        if round.is_more && outcome.is_ok() {
                            // What is leased already is brought in all the same.
                            outcome = round.lease(&collector).await;
                        }
                    }
                }
            }
            outcome
        }
    };
    let farewell = async {
        while !round.running.is_empty() {
            round.next().await;
        }
    };
    // What is not handed in by then is collected again when its lease has run out.
    drop(timeout(FAREWELL, farewell).await);
    outcome?;
    if arguments.every.is_none() && round.lost > 0 {
        return Err(CollectError::Lost(round.lost));
    }
    Ok(format!(
        "hosts collected: {}, not collected: {}\n",
        round.collected, round.failed
    ))
}

/// What became of a host that was leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visited {
    /// Its report was handed in.
    Collected,
    /// Why it could not be collected was.
    Failed,
    /// The backend did not take either.
    Lost,
}

/// The hosts that are being collected, and what became of those before.
#[derive(Default)]
struct Round {
    running: JoinSet<Visited>,
    /// Whether there may be more that are due.
    is_more: bool,
    collected: usize,
    failed: usize,
    lost: usize,
}

impl Round {
    /// Leases as many as there is room for, and begins to collect them.
    async fn lease(&mut self, collector: &Arc<Collector>) -> Result<(), CollectError> {
        self.is_more = false;
        let free = AT_A_TIME.saturating_sub(self.running.len());
        if free == 0 {
            self.is_more = true;
            return Ok(());
        }
        let leases = collector.lease(free).await?;
        self.is_more = leases.len() == free;
        for lease in leases {
            self.running.spawn(Arc::clone(collector).visit(lease));
        }
        Ok(())
    }

    /// Waits for one to end.
    async fn next(&mut self) {
        let Some(visited) = self.running.join_next().await else {
            return;
        };
        match visited.unwrap_or(Visited::Lost) {
            Visited::Collected => self.collected += 1,
            Visited::Failed => self.failed += 1,
            Visited::Lost => self.lost += 1,
        }
    }
}

struct Collector {
    client: Client,
    server: String,
    token: String,
    selector: Option<Selector>,
    transports: Transports,
}

/// What is handed in.
#[derive(Serialize)]
struct HandIn<'a> {
    lease_id: Uuid,
    duration_seconds: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CollectionError>,
}

impl Collector {
    fn new(arguments: &CollectArguments) -> Result<Self, CollectError> {
        let token = secret(arguments.token.as_ref(), arguments.token_file.as_ref())?;
        let client = client::builder("collect", arguments.ca_file.as_deref())?
            .timeout(PATIENCE)
            .build()
            .map_err(CollectError::Client)?;
        if is_exposed(&arguments.server) {
            tracing::warn!(
                server = arguments.server,
                "without https, tokens and all that is sent can be read on the way"
            );
        }
        let labels = arguments.selector.iter().cloned().collect();
        Ok(Self {
            client,
            server: arguments.server.trim_end_matches('/').to_owned(),
            token: token.ok_or(CollectError::NoToken)?,
            selector: (!arguments.selector.is_empty()).then(|| Selector {
                labels: Some(wire_labels(&labels)),
                host_ids: None,
            }),
            transports: Transports::new(TransportSettings {
                egress: EgressRules {
                    allow_private: arguments.allow_private_egress,
                    ..EgressRules::default()
                },
                key: arguments
                    .ssh_key_file
                    .as_deref()
                    .map(SshKey::open)
                    .transpose()?,
                agent_binaries: arguments.agent_binaries.clone(),
                patience: None,
            })?,
        })
    }

    async fn lease(&self, max: usize) -> Result<Vec<Lease>, CollectError> {
        let body = RequestLease {
            max: Whole(i64::try_from(max).unwrap_or(1)),
            selector: self.selector.clone(),
        };
        let request = self.post("/collector/lease").json(&body);
        let unreachable = |error: reqwest::Error| CollectError::Unreachable {
            server: self.server.clone(),
            reason: cause(&error),
        };
        let answer = request.send().await.map_err(unreachable)?;
        match answer.status() {
            status if status.is_success() => {
                let leases: Leases = answer.json().await.map_err(unreachable)?;
                Ok(leases.items)
            }
            StatusCode::UNAUTHORIZED => Err(CollectError::Unauthorized),
            _ => Err(CollectError::Refused(detail(answer).await)),
        }
    }

    /// Collects one host and hands in what came of it.
    async fn visit(self: Arc<Self>, lease: Lease) -> Visited {
        let (host_id, lease_id) = (lease.host_id, lease.lease_id);
        let started = Instant::now();
        let fetched = match lease.collection.into_domain() {
            Some(target) => {
                let want = Want {
                    since: lease.since.0,
                    known_snapshot: lease.known_snapshot.0,
                };
                self.fetch(host_id, &target, &want).await
            }
            None => Err(Failure::new(
                Step::Resolve,
                "the collector does not know this kind of collection: it is older than the backend",
            )),
        };
        let duration_seconds = Number(started.elapsed().as_secs_f64());
        let is_report = fetched.is_ok();
        let (report, failure) = match fetched {
            Ok(report) => (Some(report), None),
            Err(failure) => {
                tracing::warn!(%host_id, reason = failure.reason, "host not collected");
                (None, Some(failure))
            }
        };
        let body = HandIn {
            lease_id,
            duration_seconds,
            report: report.as_deref(),
            error: failure.map(Into::into),
        };
        match (self.hand_in(host_id, &body).await, is_report) {
            (true, true) => Visited::Collected,
            (true, false) => Visited::Failed,
            (false, _) => Visited::Lost,
        }
    }

    async fn fetch(
        &self,
        host_id: Uuid,
        target: &Target,
        want: &Want,
    ) -> Result<Box<RawValue>, Failure> {
        let mut visit = Visit::new(true);
        let bytes = self
            .transports
            .fetch(host_id, target, want, &mut visit)
            .await?;
        // The backend checks it again; here it is checked for the words that its host gets to hear.
        transport::read(&bytes)?;
        let text = String::from_utf8(bytes.into()).ok();
        let raw = text.and_then(|text| RawValue::from_string(text).ok());
        raw.ok_or_else(|| Failure::new(Step::Report, "what the agent sent is not text"))
    }

    /// Hands in; whether it was taken.
    async fn hand_in(&self, host_id: Uuid, body: &HandIn<'_>) -> bool {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = serde_json::to_vec(body)
            .map_err(std::io::Error::from)
            .and_then(|text| encoder.write_all(&text))
            .and_then(|()| encoder.finish());
        let body = match written {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%host_id, %error, "writing what is handed in");
                return false;
            }
        };
        for attempt in 1..=ATTEMPTS {
            let request = self
                .post(&format!("/collector/reports/{host_id}"))
                .header(CONTENT_TYPE, "application/json")
                .header(CONTENT_ENCODING, "gzip")
                .body(body.clone());
            let reason = match request.send().await {
                Ok(answer) if answer.status().is_success() => return true,
                Ok(answer) if is_final(answer.status()) => {
                    let reason = detail(answer).await;
                    tracing::warn!(%host_id, reason, "not taken by the backend");
                    return false;
                }
                Ok(answer) => detail(answer).await,
                Err(error) => cause(&error),
            };
            tracing::warn!(%host_id, attempt, reason, "handing in");
            if attempt < ATTEMPTS {
                sleep(PAUSE).await;
            }
        }
        false
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client
            .post(client::url(&self.server, path))
            .bearer_auth(&self.token)
    }
}

/// Whether what is sent to this server can be read on the way: no TLS, and not this machine itself.
fn is_exposed(server: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(server) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    url.scheme() == "http" && !is_loopback
}

/// Whether the same would be refused again.
fn is_final(status: StatusCode) -> bool {
    let may_pass = matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
    );
    status.is_client_error() && !may_pass
}
