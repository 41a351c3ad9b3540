//! Collecting: hosts that are due are asked for their reports, each by one task within its deadline, and what they say
//! goes the way of every report.

mod board;
mod lease;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

pub use self::board::{CollectionBoard, LEASE_SECONDS};
use self::board::{Joined, Taken, Ticket};
pub use self::lease::{Leased, hand_in, lease};
use super::ingest::{self, Ingested};
use super::{Caller, FlowError, change_host, note};
use crate::app::App;
use crate::domain::collection::{CollectedBy, Collection, Failure, SshMode, Step, Target, Want};
use crate::domain::host::Host;
use crate::domain::progress::Attempt;
use crate::domain::report::Report;
use crate::transport::{self, Passed, Visit};

/// A value of two bytes in JSON takes sixteen in memory.
const MEMORY_FACTOR: usize = 8;
/// Larger reports are understood off the async threads, in bytes.
const OFF_THREAD_BYTES: usize = 256 * 1024;

/// What became of a collection.
#[derive(Debug)]
pub struct Outcome {
    /// What was stored, or why nothing was.
    pub result: Result<Ingested, Failure>,
    /// Steps that were passed, in order.
    pub passed: Vec<Passed>,
    /// How long the step took at which it ended.
    pub last_step_took: std::time::Duration,
}

/// Begins to collect every host that is due, and says how many. It waits for none.
pub fn start_due(app: &Arc<App>) -> usize {
    let now = app.clock.now();
    let all = app.store.state.hosts.all();
    let ids: HashSet<Uuid> = all.iter().map(|host| host.host_id).collect();
    app.collections.retain(&ids);
    let due = due(app, all, now, |collection| {
        collection.collected_by != CollectedBy::Collector
    });
    let mut started = 0;
    for due in due {
        if let Ok((ticket, _)) = Ticket::take(app, due.host.host_id, now) {
            spawn(app, due.host, ticket, true, false);
            started += 1;
        }
    }
    started
}

/// Hosts that are due, of those that may be collected so.
fn due(
    app: &App,
    hosts: Vec<Arc<Host>>,
    now: DateTime<Utc>,
    may: impl Fn(&Collection) -> bool,
) -> Vec<board::Due> {
    let pulled = hosts.into_iter().filter_map(|host| {
        let collection = host.collection.as_ref().filter(|known| may(known))?.clone();
        Some((host, collection))
    });
    app.collections.due(pulled.collect(), now)
}

/// Waits for the collections that run now.
pub async fn settle_running(app: &App) {
    for mut joined in app.collections.running() {
        // One that broke off is over too.
        drop(joined.wait_for(Option::is_some).await);
    }
}

/// Collects a host now, whatever its back-off, or joins a collection that runs.
///
/// # Errors
/// [`FlowError::NotFound`], and [`FlowError::Conflict`] for a host that is not collected from here.
pub async fn collect_now(
    app: &Arc<App>,
    caller: &Caller,
    host_id: Uuid,
    may_reuse: bool,
) -> Result<Arc<Outcome>, FlowError> {
    let now = app.clock.now();
    let host = app.store.state.hosts.get(host_id);
    let host = host.ok_or(FlowError::NotFound("host"))?;
    let Some(collection) = &host.collection else {
        return Err(FlowError::Conflict("the host is not pulled"));
    };
    if collection.collected_by == CollectedBy::Collector {
        return Err(FlowError::Conflict("only collectors collect this host"));
    }
    app.store
        .state
        .change(|change| {
            let (actor, name) = (caller.actor(), host.name());
            note(change, now, actor, "host.collect", Some(host_id), name);
            Ok::<_, FlowError>(())
        })
        .await?;
    let joined = match Ticket::take(app, host_id, now) {
        Ok((ticket, joined)) => {
            spawn(app, host, ticket, may_reuse, true);
            joined
        }
        Err(Taken::Running(joined)) => joined,
        Err(Taken::Leased) => {
            return Err(FlowError::Conflict("a collector is at the host"));
        }
    };
    outcome(joined).await
}

async fn outcome(mut joined: Joined) -> Result<Arc<Outcome>, FlowError> {
    let outcome = joined.wait_for(Option::is_some).await;
    // Without an outcome the backend stops.
    let outcome = outcome.map_err(|_| FlowError::Busy)?;
    outcome.clone().ok_or(FlowError::Busy)
}

fn spawn(app: &Arc<App>, host: Arc<Host>, ticket: Ticket, may_reuse: bool, by_hand: bool) {
    let app_of = Arc::clone(app);
    app.collections.tasks.spawn(async move {
        let app = app_of;
        let stopping = app.stopping.clone();
        tokio::select! {
            biased;
            // What is being kept when the backend stops is kept or not, as when it dies.
            () = stopping.cancelled() => {}
            () = collect(&app, host.host_id, ticket, may_reuse, by_hand) => {}
        }
    });
}

async fn collect(app: &Arc<App>, host_id: Uuid, ticket: Ticket, may_reuse: bool, by_hand: bool) {
    let is_failing = app.collections.progress(host_id).failures > 0;
    let find = || {
        let host = app.store.state.hosts.get(host_id)?;
        let collection = host.collection.clone()?;
        Some((host, collection))
    };
    let Some((_, collection)) = find() else {
        return;
    };
    let _place = app.collections.take(&collection, is_failing, by_hand).await;
    // It may have been changed or removed meanwhile.
    let Some((host, collection)) = find() else {
        return;
    };
    let (started_at, started) = (app.clock.now(), Instant::now());
    let mut visit = Visit::new(may_reuse);
    let want = want(&host, app, started_at);
    let fetched = app
        .transports
        .fetch(host_id, &collection.target, &want, &mut visit)
        .await;
    let result = match fetched {
        Ok(bytes) => take(app, &host, &collection, bytes).await,
        Err(failure) => Err(failure),
    };
    let attempt = Attempt {
        started_at,
        took: TimeDelta::from_std(started.elapsed()).unwrap_or_default(),
        collector: None,
        failure: result.as_ref().err().cloned(),
    };
    settle(app, &host, &collection, attempt, result.as_ref().ok());
    ticket.finish(Arc::new(Outcome {
        result,
        last_step_took: visit.elapsed(),
        passed: visit.passed,
    }));
}

/// What is new to us: points after those that are stored, and the snapshot unless it is the one that is known.
fn want(host: &Host, app: &App, now: DateTime<Utc>) -> Want {
    let head = |head: &crate::store::head::HostHead| head.newest_at();
    Want {
        since: app.store.series.with_head(host.number, head),
        known_snapshot: ingest::settled_snapshot(host, now).map(str::to_owned),
    }
}

/// Understands what a host said, and keeps it.
async fn take(
    app: &Arc<App>,
    host: &Host,
    collection: &Collection,
    bytes: Bytes,
) -> Result<Ingested, Failure> {
    let permits = u32::try_from(bytes.len() * MEMORY_FACTOR).unwrap_or(u32::MAX);
    let room = app.body_bytes.acquire_many(permits).await;
    let _room = room.map_err(|_| Failure::new(Step::Report, "the backend stops"))?;
    let report = if bytes.len() > OFF_THREAD_BYTES {
        let read = tokio::task::spawn_blocking(move || transport::read(&bytes));
        let broken = |_| Failure::new(Step::Report, "reading the report broke off");
        read.await.map_err(broken)??
    } else {
        transport::read(&bytes)?
    };
    keep(app, host.host_id, collection, report)
        .await
        .map_err(|error| in_words(&error))
}

/// Keeps the report of a host that is pulled.
async fn keep(
    app: &App,
    host_id: Uuid,
    collection: &Collection,
    mut report: Report,
) -> Result<Ingested, FlowError> {
    let host = match report.install_id {
        Some(install_id) => claim(app, host_id, install_id).await?,
        None => {
            let host = app.store.state.hosts.get(host_id);
            host.ok_or(FlowError::NotFound("host"))?
        }
    };
    if host.is_pushed() {
        // How often it sends is said by what it sends.
        report.interval_seconds = host.interval_seconds;
        report.snapshot_interval_seconds = host.snapshot_interval_seconds;
    } else {
        let interval = collection.interval_seconds;
        report.interval_seconds = if runs_for_one_report(&collection.target) {
            interval
        } else {
            interval.max(report.interval_seconds)
        };
        report.snapshot_interval_seconds = report.snapshot_interval_seconds.max(interval);
    }
    // A fleet that is pulled for the first time brings all its snapshots at once: they wait here, and are not refused.
    let _turn = match report.snapshot {
        Some(_) => app.collections.snapshots.acquire().await.ok(),
        None => None,
    };
    ingest::ingest(app, &host, report).await
}

/// Whether the agent measures when it is asked, and not by itself.
fn runs_for_one_report(target: &Target) -> bool {
    match target {
        Target::Http(_) => false,
        Target::Ssh(ssh) => ssh.mode != SshMode::Tunnel,
    }
}

/// Holds the agent that answered against the one that is the host's; the first to answer becomes it, unless it is that
/// of another host.
async fn claim(app: &App, host_id: Uuid, install_id: Uuid) -> Result<Arc<Host>, FlowError> {
    let host = app.store.state.hosts.get(host_id);
    let host = host.ok_or(FlowError::NotFound("host"))?;
    if host.install_id == Some(install_id) {
        return Ok(host);
    }
    app.store
        .state
        .change(|change| {
            let is_owner = |other: &Host| other.install_id == Some(install_id);
            if let Some(owner) = change.state.hosts.find(is_owner) {
                return Err(FlowError::Foreign(format!(
                    "the agent there is that of the host {}: collect that host instead",
                    owner.name()
                )));
            }
            let mut host = change_host(change, host_id)?;
            if host.install_id.is_some() {
                return Err(FlowError::Foreign(
                    "another agent answers than before: if the host was set up anew, save its collection again"
                        .to_owned(),
                ));
            }
            host.install_id = Some(install_id);
            change.put(host.clone());
            Ok(Arc::new(host))
        })
        .await
}

/// Why a report was not kept, for people.
fn in_words(error: &FlowError) -> Failure {
    let reason = match error {
        FlowError::Foreign(reason) => reason.clone(),
        FlowError::Conflict(reason) => (*reason).to_owned(),
        FlowError::Store(error) => format!("the report could not be kept: {error}"),
        error => format!("the report was not kept: {error}"),
    };
    Failure::new(Step::Report, reason)
}

/// Writes down and logs what became of a collection.
fn settle(
    app: &App,
    host: &Host,
    collection: &Collection,
    attempt: Attempt,
    ingested: Option<&Ingested>,
) {
    let kind = match collection.target {
        Target::Http(_) => "http",
        Target::Ssh(_) => "ssh",
    };
    let (host_id, name) = (host.host_id, host.name());
    let milliseconds = attempt.took.num_milliseconds();
    let collector = attempt.collector.as_deref().unwrap_or("backend");
    let before = app.collections.progress(host_id).failure;
    match (ingested, &attempt.failure) {
        (Some(ingested), _) => {
            app.metrics
                .collections
                .with_label_values(&[kind, "collected"])
                .inc();
            ingest::count(app, ingested);
            tracing::info!(
                host = name, %host_id, kind, collector,
                accepted = ingested.appended.accepted, duplicates = ingested.appended.duplicates,
                rejected = ingested.rejected.len(), milliseconds, "host collected"
            );
        }
        (None, Some(failure)) => {
            app.metrics
                .collections
                .with_label_values(&[kind, "failed"])
                .inc();
            // A host that is away for days says so once.
            if before.as_ref() == Some(failure) {
                tracing::debug!(host = name, %host_id, kind, collector, milliseconds, reason = failure.reason, "host not collected");
            } else {
                tracing::warn!(host = name, %host_id, kind, collector, milliseconds, reason = failure.reason, "host not collected");
            }
        }
        (None, None) => {}
    }
    let took = attempt.took.as_seconds_f64();
    app.metrics
        .collection_seconds
        .with_label_values(&[kind])
        .observe(took);
    app.collections.settle(
        host_id,
        collection.interval_seconds,
        attempt,
        app.clock.now(),
    );
}
