//! Ingest, the one way in: points are durable before the answer, then what follows from facts and snapshot.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{FlowError, change_host, configuration, identity};
use crate::app::App;
use crate::domain::host::Host;
use crate::domain::report::{Facts, Point, Rejected, Report, merge_seconds, split_by_time};
use crate::domain::secrecy;
use crate::domain::snapshot::{Snapshot, SnapshotReference};
use crate::store::series::{AppendError, Appended, Columns, Post};

/// A snapshot that still holds is written down at most so often, in seconds.
const CONFIRM_SECONDS: i64 = 60;

/// What became of a report's snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotOutcome {
    /// It was new and is kept.
    Stored,
    /// It is the one that is known.
    Unchanged,
    /// Its hash is new.
    Wanted,
    /// The report had none.
    None,
}

/// What became of a report.
#[derive(Clone, Debug)]
pub struct Ingested {
    /// Values kept, and values that were there already.
    pub appended: Appended,
    /// Points that were refused.
    pub rejected: Vec<Rejected>,
    /// What became of the snapshot.
    pub snapshot: SnapshotOutcome,
}

/// Keeps a host's report. When this answers `Ok`, all that it counts is on disk.
///
/// # Errors
/// [`FlowError::Conflict`] for a report of another install or of a copy of the host, [`FlowError::Invalid`] for too many
/// series, and the store's. Sending the report again is safe.
pub async fn ingest(app: &App, host: &Host, report: Report) -> Result<Ingested, FlowError> {
    let now = app.clock.now();
    if report
        .install_id
        .is_some_and(|install_id| Some(install_id) != host.install_id)
    {
        return Err(FlowError::Conflict(
            "the report is of another install than the token",
        ));
    }
    if let Some(facts) = &report.facts {
        identity::admit(app, host.host_id, facts).await?;
    }
    let Report { series, points, .. } = report;
    let columns = Columns::Named(series, None);
    let (appended, rejected) = append(app, host, now, columns, points).await?;
    let report = Report {
        series: Vec::new(),
        points: Vec::new(),
        ..report
    };
    let snapshot = keep_facts_and_snapshot(app, host.host_id, report).await?;
    Ok(Ingested {
        appended,
        rejected,
        snapshot,
    })
}

/// What an ordinary report brings: points, and nothing new about its host.
#[derive(Debug)]
pub struct Ordinary {
    /// The series of its points.
    pub columns: Columns,
    /// The moments measured, in any order; as many values as there are series, all finite.
    pub points: Vec<Point>,
    /// Whether it names the snapshot that is known.
    pub names_snapshot: bool,
}

/// Keeps the points of an ordinary report; the same as [`ingest`] does with it.
///
/// # Errors
/// As [`ingest`].
pub async fn ingest_ordinary(
    app: &App,
    host: &Host,
    ordinary: Ordinary,
) -> Result<Ingested, FlowError> {
    let now = app.clock.now();
    let Ordinary {
        columns,
        points,
        names_snapshot,
    } = ordinary;
    let (appended, rejected) = append(app, host, now, columns, points).await?;
    Ok(Ingested {
        appended,
        rejected,
        snapshot: if names_snapshot {
            SnapshotOutcome::Unchanged
        } else {
            SnapshotOutcome::None
        },
    })
}

/// Whether a report without facts and snapshot leaves its host as it is: then it is an ordinary one.
pub fn says_nothing_new(
    host: &Host,
    agent_version: &str,
    interval_seconds: u32,
    snapshot_interval_seconds: u32,
    snapshot_hash: Option<&str>,
    now: DateTime<Utc>,
) -> bool {
    let is_known = snapshot_hash.is_none_or(|hash| {
        host.snapshot.as_ref().is_some_and(|known| {
            known.hash == hash && !is_due(snapshot_interval_seconds, known, now)
        })
    });
    is_known
        && host.agent_version == agent_version
        && host.interval_seconds == interval_seconds
        && host.snapshot_interval_seconds == snapshot_interval_seconds
}

/// Whether it should be written down again that a snapshot still holds.
fn is_due(snapshot_interval_seconds: u32, known: &SnapshotReference, now: DateTime<Utc>) -> bool {
    let half_interval = (i64::from(snapshot_interval_seconds) / 2).max(CONFIRM_SECONDS);
    // A clock that was ahead must not make a host look fresh for as long.
    known.confirmed_at > now || now - known.confirmed_at >= TimeDelta::seconds(half_interval)
}

/// Appends what of the points may be stored, and names the others.
async fn append(
    app: &App,
    host: &Host,
    now: DateTime<Utc>,
    columns: Columns,
    points: Vec<Point>,
) -> Result<(Appended, Vec<Rejected>), FlowError> {
    let (mut points, rejected) = split_by_time(points, now.timestamp());
    let merged = merge_seconds(&mut points);
    let mut appended = if points.is_empty() {
        app.store.series.touch(host.number, now.timestamp());
        Appended::default()
    } else {
        let post = Post {
            host: host.number,
            received_at: now.timestamp(),
            columns,
            points,
        };
        app.store
            .series
            .append(post)
            .await
            .map_err(|error| match error {
                AppendError::TooManySeries | AppendError::TooManyValues => {
                    FlowError::invalid("series", error)
                }
                AppendError::Deleted => FlowError::NotFound("host"),
                AppendError::Kv(error) => FlowError::Store(error),
            })?
    };
    appended.duplicates += merged;
    Ok((appended, rejected))
}

/// Writes the host's record only when something of it changed: most reports cost no commit here.
async fn keep_facts_and_snapshot(
    app: &App,
    host_id: Uuid,
    mut report: Report,
) -> Result<SnapshotOutcome, FlowError> {
    let now = app.clock.now();
    let host = find(app, host_id)?;
    let outcome = judge(&host, &report, now);
    if outcome != SnapshotOutcome::Stored {
        keep_facts(app, &host, report).await?;
        return Ok(outcome);
    }
    // Each holds a whole configuration: those that find no place come again.
    let _place = app.snapshots.try_acquire().map_err(|_| FlowError::Busy)?;
    let allowed = app.snapshot_limiter.lock().take(host.number, now);
    allowed.map_err(|retry_after_seconds| FlowError::TooMany {
        retry_after_seconds,
    })?;
    let _alone = app.store.alone_with(host.number).await;
    // Another report may have brought the same one meanwhile.
    let host = find(app, host_id)?;
    let outcome = judge(&host, &report, now);
    let new = report.snapshot.take().zip(report.snapshot_hash.clone());
    let Some((mut snapshot, hash)) = new.filter(|_| outcome == SnapshotOutcome::Stored) else {
        keep_facts(app, &host, report).await?;
        return Ok(outcome);
    };
    let removed = secrecy::remove_secrets(&mut snapshot.sections);
    if removed > 0 {
        app.metrics
            .environment_values_removed
            .inc_by(removed as u64);
        tracing::warn!(
            host = host.name(), %host_id, removed,
            "the agent sent values that may be secrets; they were removed"
        );
    }
    let taken = configuration::take(app, &host, snapshot, hash).await?;
    let (sections, summary) = (taken.sections().clone(), taken.summary().map(str::to_owned));
    app.store
        .state
        .change(|change| {
            let mut host = change_host(change, host_id)?;
            taken.put(change, &mut host);
            take_facts(&mut host, report);
            change.put(host);
            Ok::<_, FlowError>(())
        })
        .await?;
    app.metrics.snapshots_stored.inc();
    if let Some(summary) = summary {
        tracing::info!(host = host.name(), %host_id, summary, "configuration changed");
    }
    let inventory = std::sync::Arc::clone(&app.store.inventory);
    tokio::task::spawn_blocking(move || inventory.set(host_id, &sections))
        .await
        .map_err(|_| FlowError::Busy)?;
    if app.store.state.hosts.get(host_id).is_none() {
        app.store.inventory.remove(host_id);
    }
    Ok(SnapshotOutcome::Stored)
}

/// What becomes of a report's snapshot.
fn judge(host: &Host, report: &Report, now: DateTime<Utc>) -> SnapshotOutcome {
    match (&report.snapshot_hash, &report.snapshot) {
        (None, _) => SnapshotOutcome::None,
        (Some(hash), None) if is_known(host, hash) && !has_old_failures(host, now) => {
            SnapshotOutcome::Unchanged
        }
        (Some(hash), Some(snapshot)) if is_known(host, hash) && fails_alike(host, snapshot) => {
            SnapshotOutcome::Unchanged
        }
        (Some(_), Some(snapshot)) if is_late(host, snapshot, report.sent_at) => {
            SnapshotOutcome::Unchanged
        }
        (Some(_), Some(_)) => SnapshotOutcome::Stored,
        (Some(_), None) => SnapshotOutcome::Wanted,
    }
}

fn find(app: &App, host_id: Uuid) -> Result<std::sync::Arc<Host>, FlowError> {
    let host = app.store.state.hosts.get(host_id);
    host.ok_or(FlowError::NotFound("host"))
}

fn is_known(host: &Host, hash: &str) -> bool {
    host.snapshot
        .as_ref()
        .is_some_and(|known| known.hash == hash)
}

/// The hash of the host's snapshot, unless it should be sent again to see whether what could not be read can be.
pub fn settled_snapshot(host: &Host, now: DateTime<Utc>) -> Option<&str> {
    let known = host.snapshot.as_ref();
    let settled = known.filter(|_| !has_old_failures(host, now));
    settled.map(|known| known.hash.as_str())
}

/// Counts what was kept.
pub fn count(app: &App, ingested: &Ingested) {
    app.metrics.reports.with_label_values(&["accepted"]).inc();
    app.metrics
        .values_accepted
        .inc_by(ingested.appended.accepted);
    app.metrics
        .values_duplicate
        .inc_by(ingested.appended.duplicates);
    app.metrics
        .points_rejected
        .inc_by(ingested.rejected.len() as u64);
}

/// Whether it is time to look again whether what could not be read still cannot: the hash does not tell.
fn has_old_failures(host: &Host, now: DateTime<Utc>) -> bool {
    host.snapshot.as_ref().is_some_and(|known| {
        !known.stale.is_empty() && is_due(host.snapshot_interval_seconds, known, now)
    })
}

/// Whether the same sections cannot be read as before: one that can be again, or no longer, is news with the same hash.
fn fails_alike(host: &Host, snapshot: &Snapshot) -> bool {
    let known = host.snapshot.iter().flat_map(|known| &known.stale);
    let known: BTreeSet<&str> = known.map(|stale| stale.section.as_str()).collect();
    let failed = snapshot.failed_sections.iter();
    let failed = failed.map(|failed| failed.section.as_str());
    known
        == failed
            .filter(|section| !snapshot.sections.contains_key(*section))
            .collect()
}

fn is_late(host: &Host, snapshot: &Snapshot, sent_at: DateTime<Utc>) -> bool {
    host.snapshot
        .as_ref()
        .is_some_and(|known| known.is_after(snapshot.taken_at, sent_at))
}

/// Writes down what a report without a new snapshot says of its host, if that is new, and from time to time that the
/// snapshot still holds.
async fn keep_facts(app: &App, host: &Host, report: Report) -> Result<(), FlowError> {
    let now = app.clock.now();
    let must_confirm = host.snapshot.as_ref().is_some_and(|known| {
        report.snapshot_hash.as_ref() == Some(&known.hash)
            && is_due(report.snapshot_interval_seconds, known, now)
    });
    let is_same = report
        .facts
        .as_ref()
        .is_none_or(|facts| *facts == host.facts)
        && report.agent_version == host.agent_version
        && report.interval_seconds == host.interval_seconds
        && report.snapshot_interval_seconds == host.snapshot_interval_seconds;
    if is_same && !must_confirm {
        return Ok(());
    }
    let host_id = host.host_id;
    app.store
        .state
        .change(|change| {
            let mut host = change_host(change, host_id)?;
            if let Some(known) = host.snapshot.as_mut().filter(|_| must_confirm) {
                known.confirmed_at = now;
            }
            take_facts(&mut host, report);
            change.put(host);
            Ok(())
        })
        .await
}

fn take_facts(host: &mut Host, report: Report) {
    if let Some(facts) = report.facts {
        let Facts { boot_id, .. } = std::mem::replace(&mut host.facts, facts);
        if !boot_id.is_empty() && boot_id != host.facts.boot_id {
            host.previous_boot_id = Some(boot_id);
        }
    }
    host.agent_version = report.agent_version;
    host.interval_seconds = report.interval_seconds;
    host.snapshot_interval_seconds = report.snapshot_interval_seconds;
}
