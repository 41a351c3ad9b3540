//! How a host differs from its approved baseline, and what may be done about it.

use std::collections::BTreeSet;

use infra_watch_client::operations;
use infra_watch_client::types::{Drift, DriftState, Host, HostDriftState, HostStatus, Role};
use web_sys::HtmlInputElement;
use yew::prelude::*;

use super::baselines::Baselines;
use super::configuration::{NothingYet, skeleton};
use super::drift_acts::{Act, DriftDialog};
use crate::api::{PAGE_ITEMS, use_role};
use crate::change::of_drift;
use crate::components::change::{direction, disposition, item_name, values};
use crate::components::empty::Empty;
use crate::components::filters::{Filter, Filters};
use crate::components::go::{Address, Go};
use crate::components::icon::{Glyph, icon};
use crate::components::labels;
use crate::components::status::mark;
use crate::components::time::Time;
use crate::configuration::{Side, Which};
use crate::format;
use crate::hooks::capped::use_capped;
use crate::hooks::polled::use_polled;
use crate::hooks::query::use_query;
use crate::loaded::Shared;
use crate::route::Route;

/// How often the drift is asked for.
const DRIFT_SECONDS: u32 = 30;

/// Items by section and key.
pub type Chosen = BTreeSet<(String, String)>;

/// All that is known of a host's drift.
struct Known {
    state: Option<HostDriftState>,
    items: Shared<Vec<Drift>>,
}

#[derive(PartialEq, Properties)]
pub struct DriftTabProps {
    /// The host.
    pub host: Shared<Host>,
}

/// The state in one line, the items below, then the baseline's history.
#[component]
pub fn DriftTab(props: &DriftTabProps) -> Html {
    let host = &props.host;
    let done_count = use_state(|| 0_u32);
    // The list of states has no host to ask for; its labels leave few others beside it.
    let labels: Vec<String> = labels::sorted(&host.labels)
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let known = use_polled(
        (host.host_id, labels),
        Some(DRIFT_SECONDS),
        |api, (host_id, labels)| {
            let states = api.all(move |cursor| {
                operations::list_drift_states()
                    .label(&labels)
                    .limit(PAGE_ITEMS)
                    .cursor(cursor)
            });
            let items = api.all(move |cursor| {
                operations::list_host_drift(host_id)
                    .limit(PAGE_ITEMS)
                    .cursor(cursor)
            });
            Box::pin(async move {
                let mut states = states.await?.into_iter();
                Ok(Known {
                    state: states.find(|state| state.host_id == host_id),
                    items: Shared::new(items.await?),
                })
            })
        },
    );
    let on_done = {
        let (retry, done_count) = (known.retry.clone(), done_count.clone());
        Callback::from(move |()| {
            done_count.set(*done_count + 1);
            retry.emit(());
        })
    };
    html! {
        <section aria-label="Drift">
            { known.show(skeleton, |known| html! {
                <>
                    { state_line(host, known.state.as_ref()) }
                    if host.snapshot_at.is_none() {
                        <div class="card"><NothingYet /></div>
                    } else if known.items.is_empty() {
                        { none(known.state.as_ref()) }
                    } else {
                        <Items host={host.clone()} items={known.items.clone()} {on_done} />
                    }
                </>
            }) }
            <Baselines host_id={host.host_id} version={*done_count} />
        </section>
    }
}

/// Where nothing differs; without data nothing of that kind is said.
fn none(state: Option<&HostDriftState>) -> Html {
    match state.map(|state| state.state) {
        Some(DriftState::AtBaseline) => html! {
            <div class="card"><Empty glyph={Glyph::Tick} title="Nothing differs from the baseline." /></div>
        },
        _ => Html::default(),
    }
}

/// At its baseline, drifted, or unknown and why.
fn state_line(host: &Host, state: Option<&HostDriftState>) -> Html {
    let Some(state) = state else {
        return html! { <p class="state-line" data-state="unknown">{ mark(HostStatus::Pending, "Unknown") }<span>{ "Nothing is known of this host's drift." }</span></p> };
    };
    let compare = || {
        let side = |which| {
            Side {
                host_id: host.host_id,
                which,
            }
            .text()
        };
        let to = Address::new(
            Route::Compare,
            [
                ("left", side(Which::Baseline)),
                ("right", side(Which::Latest)),
            ],
        );
        html! { <Go {to} class="button">{ icon(Glyph::Compare) }{ "Baseline beside now" }</Go> }
    };
    let (status, word) = match state.state {
        DriftState::AtBaseline => (HostStatus::Up, "At its baseline"),
        DriftState::Drifted => (HostStatus::Late, "Drifted"),
        DriftState::Unknown => (HostStatus::Pending, "Unknown"),
    };
    let about = match state.state {
        DriftState::Unknown => unknown(host, state),
        DriftState::Drifted => html! {
            <>{ format!("{} from the baseline{}; the first left it ", differ(state.drifted), marked(state)) }<Time at={state.since} />{ "." }</>
        },
        DriftState::AtBaseline => html! {
            <>{ "The configuration read " }<Time at={state.snapshot_at} />{ " is as it was approved " }<Time at={state.baseline_at} />{ marked(state) }{ "." }</>
        },
    };
    html! {
        <div class="state-line" data-state={state.state.to_string()}>
            { mark(status, word) }<span>{ about }</span>
            if state.baseline_at.is_some() { { compare() } }
        </div>
    }
}

fn differ(count: u64) -> String {
    let items = format::count(usize::try_from(count).unwrap_or(usize::MAX), "item");
    format!("{items} {}", if count == 1 { "differs" } else { "differ" })
}

/// What differs and is no drift.
fn marked(state: &HostDriftState) -> String {
    [(state.expected, "expected"), (state.ignored, "ignored")]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!(", {count} more {word}"))
        .collect()
}

/// Why nothing can be said.
fn unknown(host: &Host, state: &HostDriftState) -> Html {
    if state.snapshot_at.is_none() {
        return html! { "No configuration has arrived, so nothing can be compared." };
    }
    let known = if state.drifted > 0 {
        format!(" As far as it is known, {}.", differ(state.drifted))
    } else {
        String::new()
    };
    if !host.stale_sections.is_empty() {
        return html! { format!("Could not be read for too long: {}. Whether it drifted cannot be said.{known}", host.stale_sections.join(", ")) };
    }
    html! { <>{ "The last configuration was read " }<Time at={state.snapshot_at} />{ format!(", too long ago to say how the host is now.{known}") }</> }
}

#[derive(PartialEq, Properties)]
struct ItemsProps {
    host: Shared<Host>,
    items: Shared<Vec<Drift>>,
    on_done: Callback<()>,
}

/// The items, those to be approved or ignored chosen among them.
#[component]
fn Items(props: &ItemsProps) -> Html {
    let query = use_query();
    let is_admin = use_role() == Role::Admin;
    let chosen = use_state(Chosen::new);
    let act = use_state(|| None::<Act>);
    let (section, meaning) = (query.get("section"), query.get("meaning"));
    let words = query.get("q").unwrap_or_default().to_lowercase();
    let is_shown = |item: &&Drift| {
        section.is_none_or(|section| section == item.section)
            && meaning.is_none_or(|meaning| meaning == item.disposition.to_string())
            && item.key.to_lowercase().contains(&words)
    };
    let items: Vec<&Drift> = props.items.iter().filter(is_shown).collect();
    let (shown, more) = use_capped(items.len());
    let id = |item: &Drift| (item.section.clone(), item.key.clone());
    // Those that are gone meanwhile are not approved, and not counted.
    let ready: Chosen = props
        .items
        .iter()
        .map(id)
        .filter(|id| chosen.contains(id))
        .collect();
    let choose = |label: String, of: Chosen| {
        let is_on = !of.is_empty() && of.is_subset(&ready);
        let (chosen, ready) = (chosen.clone(), ready.clone());
        let onchange = move |event: Event| {
            let is_on = event
                .target_dyn_into::<HtmlInputElement>()
                .is_some_and(|input| input.checked());
            chosen.set(if is_on {
                ready.union(&of).cloned().collect()
            } else {
                ready.difference(&of).cloned().collect()
            });
        };
        html! { <input type="checkbox" checked={is_on} aria-label={label} {onchange} /> }
    };
    let row = |item: &&Drift| {
        let change = of_drift(item);
        html! {
            <tr key={format!("{} {}", item.section, item.key)} data-key={item.key.clone()}>
                if is_admin { <td class="cell-choice">{ choose(item.key.clone(), BTreeSet::from([id(item)])) }</td> }
                <th scope="row">{ item_name(&item.section, &item.key) }</th>
                <td class="cell-values">{ values(&change) }</td>
                <td class="cell-direction">{ direction(&change) }</td>
                <td data-label="Since"><Time at={Some(item.since)} /></td>
                <td>{ disposition(item.disposition) }</td>
            </tr>
        }
    };
    let head = |section: &str| {
        let of: Chosen = items
            .iter()
            .filter(|item| item.section == section)
            .map(|item| id(item))
            .collect();
        let count = format::number(of.len() as f64);
        html! {
            <tr class="section-row" key={format!("section {section}")}>
                if is_admin { <td class="cell-choice">{ choose(format!("All of {section}"), of) }</td> }
                <th scope="rowgroup" colspan="5">{ section.to_owned() }<span class="muted">{ format!(" {count}") }</span></th>
            </tr>
        }
    };
    let mut rows = Vec::new();
    for (place, item) in items[..shown].iter().enumerate() {
        if place == 0 || items[place - 1].section != item.section {
            rows.push(head(&item.section));
        }
        rows.push(row(item));
    }
    let start = |next: fn(Chosen) -> Act, of: Chosen| {
        let act = act.clone();
        move |_: MouseEvent| act.set(Some(next(of.clone())))
    };
    let on_close = {
        let act = act.clone();
        Callback::from(move |()| act.set(None))
    };
    let on_done = {
        let (on_done, chosen) = (props.on_done.clone(), chosen.clone());
        Callback::from(move |()| {
            chosen.set(Chosen::new());
            on_done.emit(());
        })
    };
    let fields = vec![
        Filter::text("q", "Item", "openssl, PATH, sshd"),
        Filter::section(("", "all sections")),
        Filter::choice(
            "meaning",
            "Meaning",
            [
                ("", "any"),
                ("drift", "drift"),
                ("expected", "expected"),
                ("ignored", "ignored"),
            ],
        ),
    ];
    let count = ready.len();
    html! {
        <>
            <div class="filters-row">
                <Filters {query} {fields} />
                if is_admin {
                    <div class="row-actions">
                        <span class="muted" role="status">{ if count == 0 { "Nothing selected".to_owned() } else { format!("{} selected", format::count(count, "item")) } }</span>
                        <button type="button" class="button" data-action="ignore" disabled={count == 0} onclick={start(Act::Ignore, ready.clone())}>{ "Ignore…" }</button>
                        <button type="button" class="button button-primary" data-action="approve" disabled={count == 0} onclick={start(Act::Approve, ready.clone())}>{ "Approve…" }</button>
                    </div>
                }
            </div>
            if items.is_empty() {
                <div class="card"><Empty glyph={Glyph::Search} title="No item is like that." /></div>
            } else {
                <div class="card table-card">
                    <table class="table drift">
                        <caption class="visually-hidden">{ "What differs from the baseline" }</caption>
                        <thead><tr>
                            if is_admin { <th scope="col" class="cell-choice">{ choose("All".to_owned(), items.iter().map(|item| id(item)).collect()) }</th> }
                            <th scope="col">{ "Item" }</th><th scope="col">{ "Baseline → now" }</th><th scope="col"><span class="visually-hidden">{ "Direction" }</span></th><th scope="col">{ "Since" }</th><th scope="col">{ "Meaning" }</th>
                        </tr></thead>
                        <tbody>{ for rows }</tbody>
                    </table>
                </div>
                { more }
            }
            if let Some(act) = (*act).clone() { <DriftDialog host={props.host.clone()} {act} {on_close} {on_done} /> }
        </>
    }
}
