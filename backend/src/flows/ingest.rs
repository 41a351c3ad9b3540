//! Ingest, the one way in: points are durable before the answer, then what follows from facts and snapshot.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::FlowError;
use crate::app::App;
use crate::domain::host::Host;
use crate::domain::id;
use crate::domain::report::{Point, Rejected, Report, merge_seconds, split_by_time};
use crate::domain::snapshot::{Snapshot, SnapshotReference};
use crate::store::series::{AppendError, Appended, Columns, Post};
use crate::store::snapshot;

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
#[derive(Debug)]
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
/// [`FlowError::Conflict`] for a report of another install, [`FlowError::Invalid`] for too many series, and the
/// store's. Sending the report again is safe.
pub async fn ingest(app: &App, host: &Host, report: Report) -> Result<Ingested, FlowError> {
    let now = app.clock.now();
    if report
        .install_id
        .is_some_and(|install_id| install_id != host.install_id)
    {
        return Err(FlowError::Conflict(
            "the report is of another install than the token",
        ));
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
    now - known.confirmed_at >= TimeDelta::seconds(half_interval)
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
    report: Report,
) -> Result<SnapshotOutcome, FlowError> {
    let before = app
        .store
        .state
        .hosts
        .get(host_id)
        .ok_or(FlowError::NotFound("host"))?;
    let now = app.clock.now();
    let outcome = match (&report.snapshot_hash, &report.snapshot) {
        (None, _) => SnapshotOutcome::None,
        (Some(hash), _)
            if before
                .snapshot
                .as_ref()
                .is_some_and(|known| known.hash == *hash) =>
        {
            SnapshotOutcome::Unchanged
        }
        (Some(_), Some(_)) => SnapshotOutcome::Stored,
        (Some(_), None) => SnapshotOutcome::Wanted,
    };
    let must_confirm = outcome == SnapshotOutcome::Unchanged
        && before
            .snapshot
            .as_ref()
            .is_some_and(|known| is_due(report.snapshot_interval_seconds, known, now));
    let is_same = report
        .facts
        .as_ref()
        .is_none_or(|facts| *facts == before.facts)
        && report.agent_version == before.agent_version
        && report.interval_seconds == before.interval_seconds
        && report.snapshot_interval_seconds == before.snapshot_interval_seconds;
    if is_same && !must_confirm && outcome != SnapshotOutcome::Stored {
        return Ok(outcome);
    }
    let encoded = match (&report.snapshot, outcome) {
        (Some(snapshot), SnapshotOutcome::Stored) => Some(encode(snapshot.clone()).await?),
        _ => None,
    };
    app.store
        .state
        .change(|change| {
            let mut host = (*change
                .state
                .hosts
                .get(host_id)
                .ok_or(FlowError::NotFound("host"))?)
            .clone();
            if let (Some(encoded), Some(snapshot), Some(hash)) =
                (encoded, &report.snapshot, &report.snapshot_hash)
            {
                let snapshot_id = id::new(now);
                snapshot::put(change, host.number, snapshot_id, encoded);
                host.snapshot = Some(SnapshotReference {
                    snapshot_id,
                    hash: hash.clone(),
                    taken_at: snapshot.taken_at,
                    confirmed_at: now,
                });
            } else if let Some(known) = host.snapshot.as_mut().filter(|_| must_confirm) {
                known.confirmed_at = now;
            }
            host.facts = report.facts.unwrap_or(host.facts);
            host.agent_version = report.agent_version;
            host.interval_seconds = report.interval_seconds;
            host.snapshot_interval_seconds = report.snapshot_interval_seconds;
            change.put(host);
            Ok(outcome)
        })
        .await
}

/// Compressing takes milliseconds: off the async threads.
async fn encode(snapshot: Snapshot) -> Result<bytes::Bytes, FlowError> {
    tokio::task::spawn_blocking(move || snapshot::encode(&snapshot))
        .await
        .map_err(|_| FlowError::Busy)?
        .ok_or_else(|| FlowError::invalid("snapshot", "is too large, even compressed"))
}
