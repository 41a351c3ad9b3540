//! Questions over the configurations of a fleet.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Query;
use uuid::Uuid;

use super::Tags;
use super::body::Reply;
use super::guard::Operator;
use super::host::{find, select, sort_key};
use super::paging::{bad_cursor, decoded, page_limit, parsed};
use super::problem::ApiError;
use crate::app::App;
use crate::domain::change::{is_meant, is_value_meant};
use crate::domain::host::Host;
use crate::domain::snapshot::PACKAGES;
use crate::domain::version::{self, Scheme};
use crate::flows::compare::{self, Outlier};
use crate::flows::query::off_thread;
use crate::store::inventory::{Found, Query as InventoryQuery};
use crate::wire::inventory::{ComparedWith, GroupMember, InventoryItem};
use crate::wire::page::{Limit, Page, encode_cursor};
use crate::wire::scalar::Nullable;

/// Differences of a host that are listed.
const LISTED_DIFFERENCES: usize = 1_000;

/// Questions over the configurations of a fleet.
pub struct InventoryApi;

#[OpenApi(tag = "Tags::Configuration")]
impl InventoryApi {
    /// Which hosts have what, by host and key.
    ///
    /// Least role: operator. Bounds of versions follow the ordering of the key's package manager; of several installed
    /// versions the highest counts.
    #[oai(path = "/inventory", method = "get", operation_id = "search_inventory")]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a parameter of the document"
    )]
    async fn search_inventory(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        /// Section; `packages` if absent.
        section: Query<Option<String>>,
        /// A name (`openssl`), a whole key (`dpkg/openssl:amd64`) or a pattern with `*` and `?`; all if absent.
        key: Query<Option<String>>,
        /// Only versions below this one.
        version_below: Query<Option<String>>,
        /// Only this version or later ones.
        version_from: Query<Option<String>>,
        /// Only this value: whole, or a pattern with `*` and `?`.
        value: Query<Option<String>>,
        /// Only hosts with this label, as `name=value`; may repeat.
        label: Query<Option<Vec<String>>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<InventoryItem>>, ApiError> {
        let section = section.0.unwrap_or_else(|| PACKAGES.to_owned());
        let has_bounds = version_below.0.is_some() || version_from.0.is_some();
        if has_bounds && section != PACKAGES {
            return Err(ApiError::invalid(
                "version_below",
                "goes with packages only",
            ));
        }
        let mut hosts = select(&app, &label.0.unwrap_or_default())?;
        hosts.sort_by_cached_key(|host| sort_key(host));
        let mut skip = 0;
        if let Some(cursor) = decoded(cursor.0)? {
            let (after, taken) = parse_cursor(&cursor).ok_or_else(bad_cursor)?;
            hosts.retain(|host| sort_key(host) >= after);
            let is_there = hosts.first().is_some_and(|host| sort_key(host) == after);
            skip = if is_there { taken } else { 0 };
        }
        let inventory = compare::loaded(&app).await?;
        let limit = page_limit(limit.0);
        let ids: Vec<Uuid> = hosts.iter().map(|host| host.host_id).collect();
        let search = move || {
            let key = |found: &str| {
                let wanted = key.0.as_ref();
                wanted.is_none_or(|wanted| is_meant(&section, found, wanted))
            };
            let bound = |found: &str, version: &str, bound: &str| {
                let scheme = Scheme::of_key(found)?;
                let highest = version::versions(version)
                    .max_by(|left, right| version::compare(scheme, left, right))?;
                Some(version::compare(scheme, highest, bound))
            };
            let matches = |found: &str, version: &str| {
                let is = |wanted: &Option<String>, accept: fn(Ordering) -> bool| {
                    wanted
                        .as_ref()
                        .is_none_or(|wanted| bound(found, version, wanted).is_some_and(accept))
                };
                is(&version_below.0, Ordering::is_lt)
                    && is(&version_from.0, Ordering::is_ge)
                    && value
                        .0
                        .as_ref()
                        .is_none_or(|wanted| is_value_meant(version, wanted))
            };
            let query = InventoryQuery {
                section: &section,
                key: &key,
                value: &matches,
            };
            Ok::<_, ApiError>(inventory.search(&ids, &query, skip, limit + 1))
        };
        let found = off_thread(&app, search).await?;
        Ok(Reply(shape_page(&hosts, found, skip, limit)))
    }

    /// How each host of a group differs from the golden one, or from what more than half of them have; outliers first.
    ///
    /// Least role: operator.
    #[oai(
        path = "/groups/compare",
        method = "get",
        operation_id = "compare_group"
    )]
    async fn compare_group(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        /// Only hosts with this label, as `name=value`; may repeat.
        label: Query<Option<Vec<String>>>,
        /// The host that the others are compared with.
        golden: Query<Option<Uuid>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<GroupMember>>, ApiError> {
        let hosts = select(&app, &label.0.unwrap_or_default())?;
        if let Some(golden) = golden.0 {
            find(&app, golden)?;
        }
        let skip: usize = parsed(cursor.0)?.unwrap_or_default();
        let mut members = compare::group(&app, hosts, golden.0).await?;
        members.sort_by_cached_key(|member| {
            let count = member.items.as_ref().map_or(0, Vec::len);
            (std::cmp::Reverse(count), sort_key(&member.host))
        });
        let compared_with = if golden.0.is_some() {
            ComparedWith::Golden
        } else {
            ComparedWith::Majority
        };
        Ok(Reply(Page::cut(
            (1..).zip(members).skip(skip),
            page_limit(limit.0),
            |(place, _): &(usize, Outlier)| place.to_string(),
            |(_, member)| shape_member(member, compared_with),
        )))
    }
}

/// A cursor of a search: the host to go on with, and how many of its items were given.
fn parse_cursor(text: &str) -> Option<(String, usize)> {
    let (taken, host) = text.split_once('\u{0}')?;
    Some((host.to_owned(), taken.parse().ok()?))
}

fn shape_page(
    hosts: &[Arc<Host>],
    found: Vec<Found>,
    skip: usize,
    limit: usize,
) -> Page<InventoryItem> {
    let hosts: HashMap<Uuid, &Arc<Host>> = hosts.iter().map(|host| (host.host_id, host)).collect();
    let is_last = found.len() <= limit;
    let mut next = None;
    let mut items: Vec<InventoryItem> = Vec::with_capacity(found.len().min(limit));
    let mut taken = skip;
    for found in found.into_iter().take(limit) {
        let Some(host) = hosts.get(&found.host_id) else {
            continue;
        };
        let is_same = items
            .last()
            .is_some_and(|last| last.host_id == found.host_id);
        taken = if is_same || items.is_empty() {
            taken + 1
        } else {
            1
        };
        next = Some(format!("{taken}\u{0}{}", sort_key(host)));
        items.push(InventoryItem {
            host_id: found.host_id,
            host_name: host.name().to_owned(),
            section: found.item.section.to_string(),
            key: found.item.key.to_string(),
            version: found.item.value.to_string(),
        });
    }
    Page {
        items,
        next_cursor: Nullable(next.filter(|_| !is_last).map(|next| encode_cursor(&next))),
    }
}

fn shape_member(member: Outlier, compared_with: ComparedWith) -> GroupMember {
    let count = member.items.as_ref().map(|items| items.len() as u64);
    let items = member.items.into_iter().flatten().take(LISTED_DIFFERENCES);
    GroupMember {
        host_id: member.host.host_id,
        host_name: member.host.name().to_owned(),
        compared_with,
        difference_count: count.into(),
        items: items.map(Into::into).collect(),
    }
}
