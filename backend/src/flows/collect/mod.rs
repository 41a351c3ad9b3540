//! Collecting: hosts that are due are asked for their reports, each by one task within its deadline, and what they say
//! goes the way of every report.

mod board;
mod lease;

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::timeout;
use uuid::Uuid;

use self::board::{Asker, Joined, Taken, Ticket};
pub use self::board::{CollectionBoard, LEASE_SECONDS};
pub use self::lease::{Leased, hand_in, lease};
use super::ingest::{self, Ingested};
use super::{Caller, FlowError, identity, note};
use crate::app::App;
use crate::domain::collection::{CollectedBy, Collection, Failure, SshMode, Step, Target, Want};
use crate::domain::host::{Host, late_after_seconds};
use crate::domain::progress::Attempt;
use crate::domain::report::Report;
use crate::store::head::HostHead;
use crate::transport::{self, Passed, Visit};

/// A value of two bytes in JSON takes sixteen in memory.
const MEMORY_FACTOR: usize = 8;
/// Time that a report waits for room to be understood in, and a snapshot for its turn.
const PATIENCE: Duration = Duration::from_secs(20);
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
    pub last_step_took: Duration,
}

/// Begins to collect every host that is due, and says how many. It waits for none.
pub fn start_due(app: &Arc<App>) -> usize {
    let now = app.clock.now();
    let all = app.store.state.hosts.all();
    let ids: HashSet<Uuid> = all.iter().map(|host| host.host_id).collect();
    app.collections.retain(&ids);
    let due = app.collections.due(all, Asker::Backend, now);
    let started = due.len();
    for host in due {
        queue(app, &host);
    }
    started
}

/// Lets a task wait for a place among the hosts of its kind. Whoever wants the host meanwhile does not wait for it.
fn queue(app: &Arc<App>, host: &Host) {
    let host_id = host.host_id;
    let is_failing = app.collections.progress(host_id).failures > 0;
    let queued = app.collections.queue(host_id);
    let Some(collection) = host.collection.clone() else {
        return;
    };
    run(app, move |app| async move {
        let _queued = queued;
        let _place = app.collections.take(&collection, is_failing).await;
        // It may have been changed, removed, or collected by somebody else meanwhile.
        let Some(host) = app.store.state.hosts.get(host_id) else {
            return;
        };
        let now = app.clock.now();
        if app.collections.is_still_due(&host, now)
            && let Ok((ticket, _)) = Ticket::take(&app, host_id, now)
        {
            collect(&app, &host, ticket, true).await;
        }
    });
}

/// Runs a task until the backend stops. What is being kept then is kept or not, as when the backend dies.
fn run<F: Future<Output = ()> + Send>(
    app: &Arc<App>,
    task: impl FnOnce(Arc<App>) -> F + Send + 'static,
) {
    let app_of = Arc::clone(app);
    app.collections.tasks.spawn(async move {
        let stopping = app_of.stopping.clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = task(app_of) => {}
        }
    });
}

/// Waits for the collections that run now, or wait for their turn.
pub async fn settle_running(app: &App) {
    let (running, queued) = app.collections.running();
    for mut joined in running {
        // One that broke off is over too.
        drop(joined.wait_for(Option::is_some).await);
    }
    for mut queued in queued {
        // Nothing is ever said: it closes when the task ends.
        drop(queued.changed().await);
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
            run(app, move |app| async move {
                let _place = app.collections.by_hand().await;
                collect(&app, &host, ticket, may_reuse).await;
            });
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

async fn collect(app: &Arc<App>, host: &Host, ticket: Ticket, may_reuse: bool) {
    let host_id = host.host_id;
    let Some(collection) = &host.collection else {
        return;
    };
    let (started_at, started) = (app.clock.now(), Instant::now());
    let mut visit = Visit::new(may_reuse);
    let want = want(host, app, started_at);
    let fetched = app
        .transports
        .fetch(host_id, &collection.target, &want, &mut visit)
        .await;
    let last_step_took = visit.elapsed();
    let result = match fetched {
        Ok(bytes) => take(app, host, collection, bytes).await,
        Err(failure) => Err(failure),
    };
    let attempt = Attempt {
        started_at,
        took: TimeDelta::from_std(started.elapsed()).unwrap_or_default(),
        collector: None,
        failure: result.as_ref().err().cloned(),
        has_substitute: false,
    };
    settle(app, host, collection, attempt, result.as_ref().ok());
    ticket.finish(Arc::new(Outcome {
        result,
        last_step_took,
        passed: visit.passed,
    }));
}

/// What is new to us: points after those that are stored, and the snapshot unless it is the one that is known.
fn want(host: &Host, app: &App, now: DateTime<Utc>) -> Want {
    let head = |head: &HostHead| head.newest_at();
    Want {
        // A clock that was ahead has told what is still to come.
        since: app
            .store
            .series
            .with_head(host.number, head)
            .map(|newest| newest.min(now.timestamp())),
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
    let busy = || Failure::ours(Step::Report, "too many reports are under way");
    let room = app.body_bytes.acquire_many(permits);
    let room = timeout(PATIENCE, room).await.ok().and_then(Result::ok);
    let room = room.ok_or_else(busy)?;
    let report = if bytes.len() > OFF_THREAD_BYTES {
        let read = tokio::task::spawn_blocking(move || transport::read(&bytes));
        let broken = |_| Failure::new(Step::Report, "reading the report broke off");
        read.await.map_err(broken)??
    } else {
        transport::read(&bytes)?
    };
    drop(room);
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
    let mut host = find_unchanged(app.store.state.hosts.get(host_id), collection)?;
    if let Some(install_id) = report.install_id.filter(|id| Some(*id) != host.install_id) {
        if let Some(facts) = &report.facts {
            // A machine that is set aside must not become the host's.
            identity::admit(app, host_id, facts).await?;
        }
        host = claim(app, host_id, collection, install_id).await?;
    }
    let now = app.clock.now();
    if host.is_pushed() && is_heard_in_time(app, &host, now) {
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
        Some(_) => {
            let turn = timeout(PATIENCE, app.collections.snapshots.acquire()).await;
            Some(turn.map_err(|_| FlowError::Busy)?)
        }
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

/// Whether a host was heard as often as it says: then its agent pushes.
fn is_heard_in_time(app: &App, host: &Host, now: DateTime<Utc>) -> bool {
    let last = |head: &HostHead| head.last_received_at();
    let last = app.store.series.with_head(host.number, last);
    let silence = last.map(|last| now.timestamp() - last);
    let longest = late_after_seconds(i64::from(host.interval_seconds));
    silence.is_some_and(|silence| silence <= longest)
}

/// The host, unless it is to be reached otherwise than it was: what an old way brings may be another machine's.
fn find_unchanged(
    host: Option<Arc<Host>>,
    collection: &Collection,
) -> Result<Arc<Host>, FlowError> {
    let host = host.ok_or(FlowError::NotFound("host"))?;
    if is_unchanged(&host, collection) {
        Ok(host)
    } else {
        Err(FlowError::Conflict(
            "the host's collection was changed meanwhile",
        ))
    }
}

fn is_unchanged(host: &Host, collection: &Collection) -> bool {
    let target = host.collection.as_ref().map(|known| &known.target);
    target == Some(&collection.target)
}

/// The first agent that answers becomes the host's, unless it is that of another host.
async fn claim(
    app: &App,
    host_id: Uuid,
    collection: &Collection,
    install_id: Uuid,
) -> Result<Arc<Host>, FlowError> {
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
            let host = find_unchanged(change.state.hosts.get(host_id), collection)?;
            if host.install_id.is_some() {
                return Err(FlowError::Foreign(
                    "another agent answers than before: if the host was set up anew, save its collection again"
                        .to_owned(),
                ));
            }
            let mut host = (*host).clone();
            host.install_id = Some(install_id);
            change.put(host.clone());
            Ok(Arc::new(host))
        })
        .await
}

/// Why a report was not kept, for people.
fn in_words(error: &FlowError) -> Failure {
    let host = |reason: &str| Failure::new(Step::Report, reason);
    match error {
        FlowError::Foreign(reason) => host(reason),
        FlowError::Conflict(reason) => host(reason),
        FlowError::Invalid { .. } | FlowError::NotFound(_) => {
            host(&format!("the report was not kept: {error}"))
        }
        FlowError::TooMany { .. } => Failure::ours(
            Step::Report,
            "its configuration changes too often: snapshots are left out for a while",
        ),
        FlowError::Store(cause) => Failure::ours(
            Step::Report,
            format!("the report could not be kept: {cause}"),
        ),
        error => Failure::ours(
            Step::Report,
            format!("the report could not be kept: {error}"),
        ),
    }
}

/// Writes down and logs what became of a collection.
fn settle(
    app: &App,
    host: &Host,
    collection: &Collection,
    attempt: Attempt,
    ingested: Option<&Ingested>,
) {
    let current = app.store.state.hosts.get(host.host_id);
    if !current.is_some_and(|host| is_unchanged(&host, collection)) {
        // What the old way brought, or did not, says nothing of the new one.
        return;
    }
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
