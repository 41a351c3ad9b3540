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

/// Longest pattern of keys or values: each is held against all that the fleet has.
const MAX_PATTERN_BYTES: usize = 256;
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
        for (field, text) in [("key", &key.0), ("value", &value.0)] {
            if text
                .as_ref()
                .is_some_and(|text| text.len() > MAX_PATTERN_BYTES)
            {
                return Err(ApiError::invalid(field, "must be at most 256 bytes"));
            }
        }
        let mut hosts = select(&app, &label.0.unwrap_or_default())?;
        hosts.sort_by_cached_key(|host| sort_key(host));
        let mut after = None;
        if let Some(cursor) = decoded(cursor.0)? {
            let (key, place) = cursor.split_once('\u{0}').ok_or_else(bad_cursor)?;
            hosts.retain(|host| sort_key(host).as_str() >= place);
            let first = hosts.first().filter(|host| sort_key(host) == place);
            after = first.map(|host| (host.host_id, key.to_owned()));
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
            let after = after.as_ref().map(|(host, key)| (*host, key.as_str()));
            let query = InventoryQuery {
                section: &section,
                key: &key,
                value: &matches,
            };
            Ok::<_, ApiError>(inventory.search(&ids, &query, after, limit + 1))
        };
        let found = off_thread(&app, search).await?;
        Ok(Reply(shape_page(&hosts, found, limit)))
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
        let limit = page_limit(limit.0);
        let group = compare::group(&app, hosts, golden.0, sort_key, skip..skip + limit).await?;
        let compared_with = if golden.0.is_some() {
            ComparedWith::Golden
        } else {
            ComparedWith::Majority
        };
        let next = skip + group.members.len();
        let has_more = next < group.count;
        Ok(Reply(Page {
            items: group
                .members
                .into_iter()
                .map(|member| shape_member(member, compared_with))
                .collect(),
            next_cursor: Nullable(has_more.then(|| encode_cursor(&next.to_string()))),
        }))
    }
}

/// The cursor of a page is its last key and its last host's place.
fn shape_page(hosts: &[Arc<Host>], found: Vec<Found>, limit: usize) -> Page<InventoryItem> {
    let hosts: HashMap<Uuid, &Arc<Host>> = hosts.iter().map(|host| (host.host_id, host)).collect();
    let found = found.into_iter().filter_map(|found| {
        let host = hosts.get(&found.host_id)?;
        Some((*host, found.item))
    });
    Page::cut(
        found,
        limit,
        |(host, item)| format!("{}\u{0}{}", item.key, sort_key(host)),
        |(host, item)| InventoryItem {
            host_id: host.host_id,
            host_name: host.name().to_owned(),
            section: item.section.to_string(),
            key: item.key.to_string(),
            version: item.value.to_string(),
        },
    )
}

fn shape_member(member: Outlier, compared_with: ComparedWith) -> GroupMember {
    GroupMember {
        host_id: member.host.host_id,
        host_name: member.host.name().to_owned(),
        compared_with,
        difference_count: member.count.map(|count| count as u64).into(),
        items: member.items.into_iter().map(Into::into).collect(),
    }
}
