//! Every host at a glance, the worst first.

use std::rc::Rc;

use infra_watch_client::operations;
use infra_watch_client::types::{Columns, DriftState, Host, HostStatus, Role};
use uuid::Uuid;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use super::alerts;
use super::enrollment_keys::enrol;
use crate::api::{PAGE_ITEMS, use_role};
use crate::components::empty::empty;
use crate::components::fleet_table::{FleetTable, Histories};
use crate::components::go::{Address, link};
use crate::components::icon::{Glyph, icon};
use crate::components::status::{self, status_shape};
use crate::fleet::{self, Column, Counts, Filter, Sort};
use crate::format;
use crate::hooks::clock;
use crate::hooks::polled::use_polled;
use crate::hooks::query::{Query, use_query};
use crate::loaded::Shared;
use crate::route::Route;

/// How often the fleet is asked for.
const FLEET_SECONDS: u32 = 5;
/// How often the small charts are asked for.
const HISTORY_SECONDS: u32 = 60;
/// How often drift and changes are counted.
const NEWS_SECONDS: u32 = 120;
/// Of what time changes are counted.
const NEWS_SPAN_SECONDS: i64 = 86_400;
/// Changes are counted up to this many: the API has no number of them alone, and each brings
/// all that changed.
const CHANGES_COUNTED: u64 = 100;
/// What the small charts show.
const HISTORY_SPAN_SECONDS: i64 = 3600;
/// The width of a bucket of the small charts.
const HISTORY_STEP_SECONDS: i64 = 120;

/// The fleet in one line, then the table.
#[component]
pub fn Overview() -> Html {
    let query = use_query();
    let fleet = use_polled((), Some(FLEET_SECONDS), |api, ()| {
        api.all(|cursor| operations::list_hosts().limit(PAGE_ITEMS).cursor(cursor))
    });
    let histories = use_polled((), Some(HISTORY_SECONDS), |api, ()| {
        let now = clock::read().timestamp() / HISTORY_STEP_SECONDS * HISTORY_STEP_SECONDS;
        let trends = operations::get_fleet_trends(&["cpu_usage_percent"])
            .group_by("host")
            .from((now - HISTORY_SPAN_SECONDS).to_string().as_str())
            .to(now.to_string().as_str())
            .step(HISTORY_STEP_SECONDS.to_string().as_str());
        let answer = api.ask(trends);
        Box::pin(async move { answer.await.map(by_host) })
    });
    let histories = histories.data().cloned();
    let role = use_role();
    let may_see = role >= Role::Operator;
    let news = use_polled(may_see, Some(NEWS_SECONDS), |api, may_see| {
        if !may_see {
            return Box::pin(async { Ok(None) });
        }
        let drifted = api.all(|cursor| {
            operations::list_drift_states()
                .state(DriftState::Drifted)
                .limit(PAGE_ITEMS)
                .cursor(cursor)
        });
        let since = clock::read().timestamp() - NEWS_SPAN_SECONDS;
        let changes = operations::list_changes()
            .from(since.to_string().as_str())
            .limit(CHANGES_COUNTED);
        let changes = api.ask(changes);
        Box::pin(async move {
            let mut ids: Vec<Uuid> = Vec::new();
            for state in drifted.await? {
                if let Err(place) = ids.binary_search(&state.host_id) {
                    ids.insert(place, state.host_id);
                }
            }
            let changes = changes.await?;
            Ok(Some(News {
                drifted: Rc::new(ids),
                changes: changes.items.len(),
                has_more: changes.next_cursor.is_some(),
            }))
        })
    });
    let news = news.data().cloned();
    html! {
        <>
            <h1 class="visually-hidden">{ "Overview" }</h1>
            { fleet.show(skeleton, |hosts| if hosts.is_empty() { first_steps(role == Role::Admin) } else { filled(&query, hosts, histories, news.as_deref().and_then(Option::as_ref), role == Role::Admin) }) }
        </>
    }
}

/// What operators are told beside the hosts themselves.
#[derive(Clone, PartialEq)]
struct News {
    /// Hosts that drifted, in order.
    drifted: Rc<Vec<Uuid>>,
    /// Change sets of the last day.
    changes: usize,
    /// Whether there are more than were counted.
    has_more: bool,
}

fn filled(
    query: &Query,
    hosts: &Shared<Vec<Host>>,
    histories: Option<Shared<Histories>>,
    news: Option<&News>,
    is_admin: bool,
) -> Html {
    let status = query
        .get("status")
        .and_then(|name| name.parse::<HostStatus>().ok());
    let text = query.get("q").unwrap_or_default().to_owned();
    let sort = Sort::parse(query.get("sort"));
    let only_drifted = query.get("drift") == Some("drifted");
    let filter = Filter {
        status,
        text: text.clone(),
        among: news
            .filter(|_| only_drifted)
            .map(|news| news.drifted.clone()),
    };
    let places = fleet::arrange(hosts, &filter, sort);
    let on_sort = {
        let query = query.clone();
        Callback::from(move |column: Column| {
            query.replace([("sort", sort.pressed(column).query())]);
        })
    };
    let shown = places.len();
    let parts = Strip {
        counts: Counts::of(hosts),
        total: hosts.len(),
        chosen: status,
        text,
        query: query.clone(),
        only_drifted,
        news,
    };
    html! {
        <>
            { strip(&parts, is_admin) }
            if shown == 0 {
                { empty(Glyph::Search, "No host matches.", clear(query)) }
            } else {
                <div class="card table-card"><FleetTable hosts={hosts.clone()} {places} {histories} {sort} {on_sort} /></div>
                <p class="table-foot muted" role="status">{ if shown == hosts.len() { format::count(shown, "host") } else { format!("{shown} of {}", format::count(hosts.len(), "host")) } }</p>
            }
        </>
    }
}

fn clear(query: &Query) -> Html {
    let query = query.clone();
    html! { <button type="button" class="button" onclick={move |_| query.replace([("status", None), ("q", None), ("drift", None)])}>{ "Show all hosts" }</button> }
}

/// What the strip says.
struct Strip<'a> {
    counts: Counts,
    total: usize,
    chosen: Option<HostStatus>,
    text: String,
    query: Query,
    only_drifted: bool,
    news: Option<&'a News>,
}

/// The fleet in one line; each number is a filter.
fn strip(props: &Strip<'_>, is_admin: bool) -> Html {
    let choose = |status: Option<HostStatus>| {
        let query = props.query.clone();
        move |_: MouseEvent| {
            query.replace([(
                "status",
                status.map(|status| status::name(status).to_owned()),
            )]);
        }
    };
    let tile = |status: HostStatus| {
        let is_chosen = props.chosen == Some(status);
        let count = props.counts.get(status);
        html! {
            <button type="button" class={classes!("tile", format!("tile-{}", status::name(status)), (count == 0).then_some("tile-zero"))}
                aria-pressed={is_chosen.to_string()} onclick={choose((!is_chosen).then_some(status))}>
                { status_shape(status) }<span class="tile-count">{ count }</span><span class="tile-name">{ status::name(status) }</span>
            </button>
        }
    };
    let search = {
        let query = props.query.clone();
        move |event: InputEvent| {
            if let Some(input) = event.target_dyn_into::<HtmlInputElement>() {
                query.replace([("q", Some(input.value()))]);
            }
        }
    };
    html! {
        <div class="strip">
            <div class="tiles" role="group" aria-label="Hosts by status">
                <button type="button" class="tile" aria-pressed={props.chosen.is_none().to_string()} onclick={choose(None)}>
                    <span class="tile-count">{ props.total }</span><span class="tile-name">{ if props.total == 1 { "host" } else { "hosts" } }</span>
                </button>
                { for [HostStatus::Up, HostStatus::Late, HostStatus::Down, HostStatus::Pending].map(tile) }
                { for props.news.map(|news| tell(news, props)) }
            </div>
            <label class="filter">
                { icon(Glyph::Search) }
                <span class="visually-hidden">{ "Filter hosts" }</span>
                <input type="search" value={props.text.clone()} oninput={search} placeholder="Filter by name, label, system, address" spellcheck="false" autocomplete="off" />
            </label>
            if is_admin { { link(Route::AddHost, "button add-host", html! { <>{ icon(Glyph::Plus) }{ "Add a host" }</> }) } }
        </div>
    }
}

/// How many hosts drifted, which is a filter, and how much changed in a day, which leads there.
fn tell(news: &News, props: &Strip<'_>) -> Html {
    let drifted = news.drifted.len();
    let (query, is_chosen) = (props.query.clone(), props.only_drifted);
    let onclick = move |_: MouseEvent| {
        query.replace([("drift", (!is_chosen).then(|| "drifted".to_owned()))]);
    };
    let day = Address::new(
        Route::Changes,
        [("by", "host".to_owned()), ("range", "24h".to_owned())],
    );
    let zero = |count: usize| (count == 0).then_some("tile-zero");
    let more = if news.has_more { "+" } else { "" };
    let firing = props.counts.firing;
    html! {
        <>
            { link(alerts::firing(), classes!("tile", "tile-alerts", zero(usize::try_from(firing).unwrap_or(usize::MAX))), html! { <>
                { icon(Glyph::Bell) }<span class="tile-count">{ firing }</span><span class="tile-name">{ "firing" }<span class="visually-hidden">{ " alerts" }</span></span>
            </> }) }
            <button type="button" class={classes!("tile", "tile-drifted", zero(drifted))} aria-pressed={is_chosen.to_string()} {onclick}>
                { icon(Glyph::Warning) }<span class="tile-count">{ drifted }</span><span class="tile-name">{ "drifted" }</span>
            </button>
            { link(day, classes!("tile", "tile-changes", zero(news.changes)), html! { <>
                { icon(Glyph::Change) }<span class="tile-count">{ format!("{}{more}", news.changes) }</span><span class="tile-name">{ "changes in 24 h" }</span>
            </> }) }
        </>
    }
}

/// What to do when there is no host yet.
fn first_steps(is_admin: bool) -> Html {
    let next = if is_admin {
        html! {
            <>
                { enrol() }
                <p class="muted">{ "Or let its reports be fetched, over HTTP or SSH:" }</p>
                { link(Route::AddHost, "button", html! { <>{ icon(Glyph::Plus) }{ "Add a host" }</> }) }
            </>
        }
    } else {
        html! { <p class="muted">{ "An administrator enrols machines; they appear here by themselves." }</p> }
    };
    empty(Glyph::Machine, "No host reports yet.", next)
}

/// The layout with nothing in it yet.
fn skeleton() -> Html {
    html! {
        <>
            <div class="strip"><div class="tiles">{ for (0..5).map(|_| html! { <span class="skeleton skeleton-tile"></span> }) }</div></div>
            <div class="card table-card">{ for (0..10).map(|_| html! { <div class="skeleton-row"><span class="skeleton"></span><span class="skeleton"></span><span class="skeleton"></span><span class="skeleton"></span></div> }) }</div>
        </>
    }
}

fn by_host(columns: Columns) -> Histories {
    columns
        .series
        .into_iter()
        .filter_map(|column| Some((column.host_id?, column.values)))
        .collect()
}
