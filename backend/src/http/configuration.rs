//! Configurations of hosts.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use super::Tags;
use super::body::Reply;
use super::guard::Operator;
use super::host::find;
use super::paging::{page_limit, parsed};
use super::problem::ApiError;
use crate::app::App;
use crate::domain::host::Host;
use crate::domain::id;
use crate::domain::snapshot::StaleSection;
use crate::flows::FlowError;
use crate::flows::compare::{self, Found, Which};
use crate::store::snapshot::{self, StoredSnapshot};
use crate::wire::change::ConfigurationDiff;
use crate::wire::page::{Limit, Page};
use crate::wire::scalar::Moment;
use crate::wire::snapshot::{HostSnapshot, SectionFreshness, SnapshotSummary};

/// Configurations of hosts.
pub struct ConfigurationApi;

#[OpenApi(tag = "Tags::Configuration")]
impl ConfigurationApi {
    /// A host's snapshots, newest first.
    ///
    /// Least role: operator.
    #[oai(
        path = "/hosts/:host_id/snapshots",
        method = "get",
        operation_id = "list_snapshots"
    )]
    async fn list_snapshots(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        /// Only the one that was in force then: RFC 3339 or Unix seconds.
        at: Query<Option<Moment>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<SnapshotSummary>>, ApiError> {
        let host = find(&app, host_id.0)?;
        let kv = app.store.kv.as_ref();
        let limit = page_limit(limit.0);
        let found = match at.0 {
            Some(at) => snapshot::in_force_at(kv, host.number, at.0)
                .await
                .map(|found| found.into_iter().collect()),
            None => {
                let before = parsed(cursor.0)?;
                snapshot::page(kv, host.number, before, limit + 1).await
            }
        };
        Ok(Reply(Page::cut(
            found.map_err(FlowError::from)?,
            limit,
            |snapshot| snapshot.snapshot_id.to_string(),
            shape_summary,
        )))
    }

    /// A host's configuration.
    ///
    /// Least role: operator. `snapshot_id` may also be `latest`, `baseline`, or the id of a baseline of the past.
    #[oai(
        path = "/hosts/:host_id/snapshots/:snapshot_id",
        method = "get",
        operation_id = "get_snapshot"
    )]
    async fn get_snapshot(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        /// Which: an id, `latest` or `baseline`.
        snapshot_id: Path<String>,
        /// With `latest`: the one that was in force then; RFC 3339 or Unix seconds.
        at: Query<Option<Moment>>,
    ) -> Result<Reply<HostSnapshot>, ApiError> {
        let host = find(&app, host_id.0)?;
        let which = match (snapshot_id.0.as_str(), at.0) {
            ("latest", Some(at)) => Which::At(at.0),
            (_, Some(_)) => return Err(ApiError::invalid("at", "goes with latest only")),
            (text, None) => which(text).ok_or_else(|| ApiError::not_found("snapshot"))?,
        };
        let found = compare::find(&app, &host, which).await?;
        Ok(Reply(shape(&host, found)))
    }

    /// Two configurations beside each other, of one host or of two.
    ///
    /// Least role: operator. Keyed hashes of the environment say nothing across hosts, and are equal there.
    #[oai(path = "/diff", method = "get", operation_id = "diff_snapshots")]
    async fn diff_snapshots(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        /// `<host_id>:<snapshot>`; the snapshot is an id, `latest`, `baseline`, or the moment at which it was in force.
        left: Query<String>,
        /// As `left`.
        right: Query<String>,
    ) -> Result<Reply<ConfigurationDiff>, ApiError> {
        let left = side(&app, "left", &left.0)?;
        let right = side(&app, "right", &right.0)?;
        let difference = compare::difference(&app, left, right).await?;
        Ok(Reply(ConfigurationDiff {
            items: difference.items.into_iter().map(Into::into).collect(),
            unified: difference.unified,
        }))
    }
}

fn which(text: &str) -> Option<Which> {
    match text {
        "latest" => Some(Which::Latest),
        "baseline" => Some(Which::Baseline),
        _ => text.parse().ok().map(Which::Id),
    }
}

fn side(app: &App, field: &str, text: &str) -> Result<(Arc<Host>, Which), ApiError> {
    let malformed = || {
        let message = "must be <host_id>:<snapshot>, where the snapshot is an id, latest, baseline, or a moment";
        ApiError::invalid(field, message)
    };
    let (host_id, snapshot) = text.split_once(':').ok_or_else(malformed)?;
    let host = find(app, host_id.parse().map_err(|_| malformed())?)?;
    let at = || snapshot.parse().ok().map(|at: Moment| Which::At(at.0));
    let which = which(snapshot).or_else(at).ok_or_else(malformed)?;
    Ok((host, which))
}

fn shape_summary(snapshot: StoredSnapshot) -> SnapshotSummary {
    SnapshotSummary {
        snapshot_id: snapshot.snapshot_id,
        taken_at: snapshot.taken_at,
        received_at: id::time(snapshot.snapshot_id),
        has_changes: snapshot.has_changes,
        failed_sections: snapshot
            .stale
            .into_iter()
            .map(|stale| stale.section)
            .collect(),
    }
}

fn shape(host: &Host, found: Found) -> HostSnapshot {
    // What is in force was confirmed since; of one of the past, only when it came is known.
    let confirmed_at = host
        .snapshot
        .as_ref()
        .filter(|known| known.snapshot_id == found.id)
        .map_or(found.received_at, |known| known.confirmed_at);
    let sections = Arc::unwrap_or_clone(found.configuration.sections);
    let fresh = sections
        .keys()
        .filter(|name| !found.stale.iter().any(|stale| stale.section == **name))
        .map(|name| SectionFreshness {
            section: name.clone(),
            as_of: Some(confirmed_at).into(),
            is_stale: false,
            error: None.into(),
        });
    let stale = found
        .stale
        .iter()
        .map(|stale: &StaleSection| SectionFreshness {
            section: stale.section.clone(),
            as_of: stale.as_of.into(),
            is_stale: true,
            error: Some(stale.error.clone()).into(),
        });
    let mut freshness: Vec<SectionFreshness> = fresh.chain(stale).collect();
    freshness.sort_by(|left, right| left.section.cmp(&right.section));
    HostSnapshot {
        snapshot_id: found.id,
        host_id: host.host_id,
        host_name: host.name().to_owned(),
        taken_at: found.taken_at,
        received_at: found.received_at,
        sections,
        failed_sections: found.stale.iter().map(Into::into).collect(),
        freshness,
    }
}
