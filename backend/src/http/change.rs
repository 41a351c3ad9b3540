//! Changes of configurations.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use super::Tags;
use super::body::Reply;
use super::guard::Operator;
use super::host::{find, select};
use super::paging::{bad_cursor, decoded, page_limit, parsed};
use super::problem::ApiError;
use crate::app::App;
use crate::domain;
use crate::domain::metric;
use crate::flows::change::{self, Effect, Filter, Group, HostChangeSet};
use crate::flows::query::off_thread;
use crate::wire::change::{
    ChangeEffect, ChangeGroup, ChangeGrouping, ChangeItem, ChangeSet, ChangeSetDetails, ChangedHost,
};
use crate::wire::page::{Limit, Page, encode_cursor};
use crate::wire::scalar::{Moment, Nullable, Number};

/// The range of groups when none is asked for, in days.
const GROUP_DAYS: i64 = 30;

/// Changes of configurations.
pub struct ChangeApi;

#[OpenApi(tag = "Tags::Configuration")]
impl ChangeApi {
    /// A host's changes, newest first.
    ///
    /// Least role: operator.
    #[oai(
        path = "/hosts/:host_id/changes",
        method = "get",
        operation_id = "list_host_changes"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a parameter of the document"
    )]
    async fn list_host_changes(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        /// Only items of this section.
        section: Query<Option<String>>,
        /// Only items of this key: a name (`openssl`), a whole key, or a pattern with `*` and `?`.
        key: Query<Option<String>>,
        /// First moment, inclusive: RFC 3339 or Unix seconds; all if absent.
        from: Query<Option<Moment>>,
        /// Last moment, exclusive.
        to: Query<Option<Moment>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<ChangeSet>>, ApiError> {
        let host = find(&app, host_id.0)?;
        let before = parsed(cursor.0)?;
        let filter = filter(section.0, key.0, from.0, to.0);
        let limit = page_limit(limit.0);
        let page = change::of_host(&app, &host, &filter, before, limit).await?;
        Ok(Reply(Page {
            items: page.items.into_iter().map(shape).collect(),
            next_cursor: Nullable(page.next.map(|next| encode_cursor(&next.to_string()))),
        }))
    }

    /// One change set of a host, and what it did to the load.
    ///
    /// Least role: operator.
    #[oai(
        path = "/hosts/:host_id/changes/:change_set_id",
        method = "get",
        operation_id = "get_change_set"
    )]
    async fn get_change_set(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        change_set_id: Path<Uuid>,
    ) -> Result<Reply<ChangeSetDetails>, ApiError> {
        let host = find(&app, host_id.0)?;
        let found = change::one(&app, &host, change_set_id.0).await?;
        let detected_at = found.change_set.detected_at;
        let store = Arc::clone(&app);
        let effects = off_thread(&app, move || change::effects(&store, &host, detected_at)).await?;
        Ok(Reply(ChangeSetDetails {
            change_set: shape(found),
            effects: effects.into_iter().map(shape_effect).collect(),
        }))
    }

    /// The fleet's changes, newest first; with `group_by=item`, the same change at many hosts as one.
    ///
    /// Least role: operator. Groups are made over the last 30 days unless a range is given.
    #[oai(path = "/changes", method = "get", operation_id = "list_changes")]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a parameter of the document"
    )]
    async fn list_changes(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        /// Only items of this section.
        section: Query<Option<String>>,
        /// Only items of this key: a name (`openssl`), a whole key, or a pattern with `*` and `?`.
        key: Query<Option<String>>,
        /// Only hosts with this label, as `name=value`; may repeat.
        label: Query<Option<Vec<String>>>,
        /// First moment, inclusive: RFC 3339 or Unix seconds; all if absent.
        from: Query<Option<Moment>>,
        /// Last moment, exclusive.
        to: Query<Option<Moment>>,
        /// `item`, to put the same change of several hosts together.
        group_by: Query<Option<ChangeGrouping>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<ChangeItem>>, ApiError> {
        let hosts = select(&app, &label.0.unwrap_or_default())?;
        let mut filter = filter(section.0, key.0, from.0, to.0);
        let limit = page_limit(limit.0);
        if group_by.0 == Some(ChangeGrouping::Item) {
            // The pages of one list are of one range: what happens meanwhile moves none of its items.
            let (skip, end) = match decoded(cursor.0)? {
                Some(cursor) => parse_group_cursor(&cursor).ok_or_else(bad_cursor)?,
                None => (0, filter.to.unwrap_or_else(|| app.clock.now())),
            };
            filter.to = Some(end);
            filter.from = filter
                .from
                .or_else(|| end.checked_sub_signed(TimeDelta::days(GROUP_DAYS)));
            let groups = change::groups(&app, &hosts, &filter).await?;
            let rest = (0..).zip(groups).skip(skip);
            return Ok(Reply(Page::cut(
                rest,
                limit,
                |(place, _): &(usize, Group)| format!("{} {}", place + 1, end.timestamp_millis()),
                |(_, group)| ChangeItem::ChangeGroup(shape_group(group)),
            )));
        }
        let before = decoded(cursor.0)?
            .map(|cursor| unhex(&cursor).ok_or_else(bad_cursor))
            .transpose()?;
        let page = change::of_fleet(&app, &hosts, &filter, before, limit).await?;
        let next = page.next.map(|next| domain::snapshot::hex(&next));
        Ok(Reply(Page {
            items: page
                .items
                .into_iter()
                .map(|item| ChangeItem::ChangeSet(shape(item)))
                .collect(),
            next_cursor: Nullable(next.map(|next| encode_cursor(&next))),
        }))
    }
}

/// How many groups were given, and where the range ends.
fn parse_group_cursor(text: &str) -> Option<(usize, DateTime<Utc>)> {
    let (skip, end) = text.split_once(' ')?;
    let end = DateTime::from_timestamp_millis(end.parse().ok()?)?;
    Some((skip.parse().ok()?, end))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn filter(
    section: Option<String>,
    key: Option<String>,
    from: Option<Moment>,
    to: Option<Moment>,
) -> Filter {
    Filter {
        section,
        key,
        from: from.map(|from| from.0),
        to: to.map(|to| to.0),
    }
}

fn shape(item: HostChangeSet) -> ChangeSet {
    shape_change_set(&item.host, item.change_set)
}

/// A change set of a host.
pub fn shape_change_set(
    host: &domain::host::Host,
    change_set: domain::change::ChangeSet,
) -> ChangeSet {
    ChangeSet {
        change_set_id: change_set.change_set_id,
        host_id: host.host_id,
        host_name: host.name().to_owned(),
        detected_at: change_set.detected_at,
        from_snapshot_id: change_set.from_snapshot_id,
        to_snapshot_id: change_set.change_set_id,
        summary: domain::change::summary(&change_set.items),
        items: change_set.items.into_iter().map(Into::into).collect(),
    }
}

fn shape_group(group: Group) -> ChangeGroup {
    let hosts = group
        .hosts
        .into_iter()
        .map(|(host, change_set_id)| ChangedHost {
            host_id: host.host_id,
            host_name: host.name().to_owned(),
            change_set_id,
            at: domain::id::time(change_set_id),
        });
    ChangeGroup {
        hosts: hosts.collect(),
        change: group.change.into(),
        host_count: group.host_count as u64,
        first_at: group.first_at,
        last_at: group.last_at,
    }
}

fn shape_effect(effect: Effect) -> ChangeEffect {
    let mean = |value: Option<f64>| Nullable(value.map(Number));
    ChangeEffect {
        metric: effect.metric.to_owned(),
        unit: metric::unit(effect.metric).to_owned(),
        before_mean: mean(effect.before),
        after_mean: mean(effect.after),
    }
}
