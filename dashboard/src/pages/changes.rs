//! What changed in the fleet: by item, the same change of many hosts as one line, or host by host.

use infra_watch_client::operations;
use infra_watch_client::types::{ChangeGroup, ChangeGrouping, ChangeItem, ChangedHost};
use yew::prelude::*;

use super::configuration::skeleton;
use super::host_changes::SetCard;
use crate::change::{Set, key_pattern};
use crate::components::change::change_parts;
use crate::components::empty::empty;
use crate::components::filters::{Filter, filters, labels};
use crate::components::fold::Fold;
use crate::components::go::{Address, link};
use crate::components::icon::Glyph;
use crate::components::time::time;
use crate::format;
use crate::hooks::clock;
use crate::hooks::paged::use_paged;
use crate::hooks::query::use_query;
use crate::loaded::Shared;
use crate::route::Route;

/// How often new changes are asked for.
const CHANGES_SECONDS: u32 = 60;
/// Lines of a page.
const LINES: u64 = 50;
/// A span begins at a multiple of this, so that all pages of a list are of the same one.
const ROUND_SECONDS: i64 = 300;
/// Spans: what stands in the address, words, seconds; the first holds without.
const SPANS: [(&str, &str, i64); 3] = [
    ("", "last 7 days", 7 * 86_400),
    ("24h", "last 24 hours", 86_400),
    ("30d", "last 30 days", 30 * 86_400),
];

/// The filters, then the changes.
#[component]
pub fn Changes() -> Html {
    let query = use_query();
    let text = |name| query.get(name).map(str::to_owned);
    let by_host = query.get("by") == Some("host");
    let span = SPANS
        .iter()
        .find(|(name, ..)| Some(*name) == query.get("range"))
        .map_or(SPANS[0].2, |(.., seconds)| *seconds);
    let key = (
        by_host,
        span,
        text("section"),
        text("key"),
        labels(query.get("label")),
    );
    let changes = use_paged(
        key,
        Some(CHANGES_SECONDS),
        |(by_host, span, section, key, labels), cursor| {
            let now = clock::read().timestamp() / ROUND_SECONDS * ROUND_SECONDS;
            operations::list_changes()
                .section(section.as_deref())
                .key(key.as_deref().and_then(key_pattern).as_deref())
                .label(labels)
                .from((now - span).to_string().as_str())
                .group_by((!by_host).then_some(ChangeGrouping::Item))
                .limit(LINES)
                .cursor(cursor)
        },
    );
    let fields = vec![
        Filter::choice("by", "Shown", [("", "by item"), ("host", "by host")]),
        Filter::text("key", "Item", "openssl, lib*"),
        Filter::section(("", "all sections")),
        Filter::choice("range", "When", SPANS.map(|(name, words, _)| (name, words))),
        Filter::text("label", "Hosts with", "role=web"),
    ];
    let sets = use_memo(changes.list.data().cloned(), |pages| {
        let items = pages.iter().flat_map(|pages| pages.items.iter());
        let sets = items.filter_map(|item| match item {
            ChangeItem::Set(set) => Some(Shared::new(Set::from(set.clone()))),
            ChangeItem::Group(_) => None,
        });
        sets.collect::<Vec<_>>()
    });
    html! {
        <>
            <header class="page-head"><div><h1>{ "Changes" }</h1><p class="muted">{ "What changed in the fleet, newest first." }</p></div></header>
            <div class="filters-row">{ filters(&query, &fields, Html::default()) }</div>
            { changes.list.show(skeleton, |pages| if pages.items.is_empty() {
                html! { <div class="card">{ empty(Glyph::Change, "Nothing like that has changed in this time.", Html::default()) }</div> }
            } else {
                html! {
                    <>
                        { for sets.iter().map(|set| html! { <SetCard key={set.head.change_set_id.as_u128()} set={set.clone()} with_host={true} /> }) }
                        if sets.is_empty() { <div class="card groups">{ for pages.items.iter().map(group) }</div> }
                    </>
                }
            }) }
            { changes.more() }
        </>
    }
}

/// The same change at one or more hosts, the hosts behind it.
fn group(item: &ChangeItem) -> Html {
    let ChangeItem::Group(group) = item else {
        return Html::default();
    };
    let change = &group.change;
    let key = format!("{} {} {:?}", change.section, change.key, change.after);
    let hosts = group.hosts.clone();
    let rest = count(group).saturating_sub(hosts.len());
    let view = Callback::from(move |()| {
        html! {
            <>
                <ul class="group-hosts">{ for hosts.iter().map(host) }</ul>
                if rest > 0 { <p class="muted">{ format!("and {} more", format::count(rest, "host")) }</p> }
            </>
        }
    });
    let title = html! {
        <span class={format!("group-line change-{}", change.kind)} data-group={change.key.clone()}>
            { change_parts(change, true) }
            <span class="group-count">{ match group.hosts.as_slice() { [only] => format!("on {}", only.host_name), _ => format!("on {}", format::count(count(group), "host")) } }</span>
            <span class="group-time muted">{ time(Some(group.last_at)) }if group.first_at != group.last_at { { ", first " }{ time(Some(group.first_at)) } }</span>
        </span>
    };
    html! { <Fold {key} {title} {view} class="group" /> }
}

fn count(group: &ChangeGroup) -> usize {
    usize::try_from(group.host_count).unwrap_or(usize::MAX)
}

fn host(host: &ChangedHost) -> Html {
    let to = Address::new(
        Route::Host {
            host_id: host.host_id,
        },
        [
            ("tab", "changes".to_owned()),
            ("change", host.change_set_id.to_string()),
        ],
    );
    html! { <li>{ link(to, "", html! { <>{ &host.host_name }</> }) }<span class="muted">{ " " }{ time(Some(host.at)) }</span></li> }
}
