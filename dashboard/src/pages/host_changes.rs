//! A host's changes over time: each set with its items, what it did to the load, and its diff.

use infra_watch_client::operations;
use infra_watch_client::types::{Change, ChangeEffect, ChangeSet};
use uuid::Uuid;
use yew::prelude::*;

use super::configuration::skeleton;
use crate::api::Pages;
use crate::change::{Set, key_pattern};
use crate::components::change::ChangeList;
use crate::components::empty::empty;
use crate::components::filters::{Filter, filters};
use crate::components::fold::Fold;
use crate::components::go::{Address, link};
use crate::components::icon::{Glyph, icon};
use crate::components::time::exact_time;
use crate::configuration::{Side, Which};
use crate::format::{self, Unit};
use crate::hooks::clock::{use_now, zone};
use crate::hooks::paged::use_paged;
use crate::hooks::polled::use_polled;
use crate::hooks::query::Query;
use crate::loaded::Shared;
use crate::range::Range;
use crate::route::Route;

/// How often new changes are asked for.
const CHANGES_SECONDS: u32 = 60;
/// Sets of a page.
const SETS: u64 = 20;

/// One change set if the address names it, else all of them.
pub fn changes_tab(host_id: Uuid, query: &Query) -> Html {
    match query.get("change").and_then(|id| id.parse::<Uuid>().ok()) {
        Some(change_set_id) => {
            html! { <One key={format!("{change_set_id}")} {host_id} {change_set_id} /> }
        }
        None => html! { <Timeline {host_id} query={query.clone()} /> },
    }
}

#[derive(PartialEq, Properties)]
struct OneProps {
    host_id: Uuid,
    change_set_id: Uuid,
}

/// One change set with what it did.
#[component]
fn One(props: &OneProps) -> Html {
    let found = use_polled(
        (props.host_id, props.change_set_id),
        None,
        |api, (host_id, id)| {
            let answer = api.ask(operations::get_change_set(host_id, id));
            Box::pin(async move {
                let found = answer.await?;
                Ok((Set::from(found.change_set), found.effects))
            })
        },
    );
    let all = host_changes(props.host_id);
    html! {
        <section aria-label="A change">
            <div class="filters-row">{ link(all, "button", html! { <>{ "Show all changes" }</> }) }</div>
            { found.show(skeleton, |found| html! {
                <article class="card change-set" data-change={found.0.head.change_set_id.to_string()}>
                    { head(&found.0.head, false, false) }
                    { effects(&found.1) }
                    <ChangeList changes={found.0.changes.clone()} />
                </article>
            }) }
        </section>
    }
}

#[derive(PartialEq, Properties)]
struct TimelineProps {
    host_id: Uuid,
    query: Query,
}

/// The newest first, older ones on demand.
#[component]
fn Timeline(props: &TimelineProps) -> Html {
    let now = use_now();
    let query = &props.query;
    let text = |name| query.get(name).map(str::to_owned);
    let span = span(query);
    let key = (props.host_id, text("section"), text("key"), span);
    let sets = use_paged(
        key,
        Some(CHANGES_SECONDS),
        |(host_id, section, key, span), cursor| {
            let moment = |at: i64| at.to_string();
            operations::list_host_changes(*host_id)
                .section(section.as_deref())
                .key(key.as_deref().and_then(key_pattern).as_deref())
                .from(span.map(|span| moment(span.0)).as_deref())
                .to(span.map(|span| moment(span.1)).as_deref())
                .limit(SETS)
                .cursor(cursor)
        },
    );
    let fields = vec![
        Filter::text("key", "Item", "openssl, lib*, /etc/ssh/*"),
        Filter::section(("", "all sections")),
        Filter::choice(
            "kind",
            "Kind",
            [
                ("", "all kinds"),
                ("changed", "changed"),
                ("added", "added"),
                ("removed", "removed"),
            ],
        ),
    ];
    let kind = text("kind");
    let known = use_sets(sets.list.data());
    html! {
        <section aria-label="Changes">
            <div class="filters-row">{ filters(query, &fields, span.map_or_else(Html::default, |(from, to)| only(Range::between(from, to).words(now, zone(now)), query))) }</div>
            { sets.list.show(skeleton, |_| {
                let is_shown = |set: &&Shared<Set>| of_kind(&set.changes, kind.as_deref()).next().is_some();
                let shown: Vec<_> = known.iter().filter(is_shown).collect();
                html! {
                    <>
                        { for shown.iter().map(|set| html! { <SetCard key={set.head.change_set_id.as_u128()} set={(*set).clone()} kind={kind.clone()} /> }) }
                        if shown.is_empty() { <div class="card">{ empty(Glyph::Change, nothing(query), Html::default()) }</div> }
                    </>
                }
            }) }
            { sets.more() }
        </section>
    }
}

fn nothing(query: &Query) -> &'static str {
    let is_narrow = ["key", "section", "kind", "from"].map(|name| query.get(name).is_some());
    if is_narrow.contains(&true) {
        "No change is like that."
    } else {
        "Nothing has changed since the first configuration of this host arrived."
    }
}

/// The span that the address asks for, such as that of a joined marker.
fn span(query: &Query) -> Option<(i64, i64)> {
    let seconds = |name| query.get(name)?.parse().ok();
    Some((seconds("from")?, seconds("to")?))
}

fn of_kind<'a>(changes: &'a [Change], kind: Option<&'a str>) -> impl Iterator<Item = &'a Change> {
    changes
        .iter()
        .filter(move |change| kind.is_none_or(|kind| change.kind.to_string() == kind))
}

/// The sets on some pages; they stay the same until the pages change.
#[hook]
fn use_sets(pages: Option<&Shared<Pages<ChangeSet>>>) -> std::rc::Rc<Vec<Shared<Set>>> {
    use_memo(pages.cloned(), |pages| {
        let items = pages.iter().flat_map(|pages| pages.items.iter());
        items
            .map(|set| Shared::new(Set::from(set.clone())))
            .collect()
    })
}

/// The span, and the way out of it.
fn only(span: String, query: &Query) -> Html {
    let query = query.clone();
    let onclick = move |_: MouseEvent| query.push([("from", None), ("to", None)]);
    html! { <button type="button" class="button" {onclick} aria-label={format!("Only {span}: show all times")}>{ span }{ icon(Glyph::Cross) }</button> }
}

#[derive(PartialEq, Properties)]
pub struct SetCardProps {
    /// What changed.
    pub set: Shared<Set>,
    /// Only changes of this kind.
    #[prop_or_default]
    pub kind: Option<String>,
    /// Whether the host is said.
    #[prop_or_default]
    pub with_host: bool,
}

/// A change set.
#[component]
pub fn SetCard(props: &SetCardProps) -> Html {
    let set = &props.set;
    let changes = use_memo(
        (set.clone(), props.kind.clone()),
        |(set, kind)| match kind {
            Some(kind) => Shared::new(of_kind(&set.changes, Some(kind)).cloned().collect()),
            None => set.changes.clone(),
        },
    );
    let (host_id, change_set_id) = (set.head.host_id, set.head.change_set_id);
    let view = Callback::from(move |()| html! { <Effects {host_id} {change_set_id} /> });
    html! {
        <article class="card change-set" data-change={change_set_id.to_string()}>
            { head(&set.head, props.with_host, true) }
            <ChangeList changes={(*changes).clone()} />
            <Fold title={html! { <span>{ "What it did to the load" }</span> }} {view} class="effects-fold" />
        </article>
    }
}

/// All changes of a host.
fn host_changes(host_id: Uuid) -> Address {
    Address::new(Route::Host { host_id }, [("tab", "changes".to_owned())])
}

/// When, what, and the way to the diff.
fn head(set: &ChangeSet, with_host: bool, with_link: bool) -> Html {
    let side = |id| {
        Side {
            host_id: set.host_id,
            which: Which::Id(id),
        }
        .text()
    };
    let diff = Address::new(
        Route::Compare,
        [
            ("left", side(set.from_snapshot_id)),
            ("right", side(set.to_snapshot_id)),
        ],
    );
    let own = Address::new(
        Route::Host {
            host_id: set.host_id,
        },
        [
            ("tab", "changes".to_owned()),
            ("change", set.change_set_id.to_string()),
        ],
    );
    html! {
        <header class="change-head">
            <div>
                <h3>if with_host { { link(host_changes(set.host_id), "host-link", html! { <>{ &set.host_name }</> }) }{ ": " } }{ &set.summary }</h3>
                <p class="muted">
                    { exact_time(Some(set.detected_at), format::NOTHING) }
                    if with_link { { " · " }{ link(own, "", html! { <>{ "link" }</> }) } }
                </p>
            </div>
            { link(diff, "button", html! { <>{ icon(Glyph::Compare) }{ "Diff" }</> }) }
        </header>
    }
}

#[derive(PartialEq, Properties)]
struct EffectsProps {
    host_id: Uuid,
    change_set_id: Uuid,
}

/// What a change set did, asked for when it is wanted.
#[component]
fn Effects(props: &EffectsProps) -> Html {
    let found = use_polled(
        (props.host_id, props.change_set_id),
        None,
        |api, (host_id, id)| api.ask(operations::get_change_set(host_id, id)),
    );
    found.show(
        || html! { <span class="skeleton"></span> },
        |found| effects(&found.effects),
    )
}

/// The means of the hour before and of the hour after.
fn effects(effects: &[ChangeEffect]) -> Html {
    let effect = |effect: &ChangeEffect| {
        let unit = Unit::parse(&effect.unit);
        html! {
            <div class="effect" data-effect={effect.metric.clone()}>
                <dt>{ format::metric_title(&effect.metric) }</dt>
                <dd>{ unit.format_or_nothing(effect.before_mean) }<span class="change-arrow" aria-label="to">{ "→" }</span>{ unit.format_or_nothing(effect.after_mean) }</dd>
            </div>
        }
    };
    html! {
        <div class="effects">
            <dl>{ for effects.iter().map(effect) }</dl>
            <p class="muted" title="Means; of the hour after, as far as it is over">{ "hour before → hour after" }</p>
        </div>
    }
}
