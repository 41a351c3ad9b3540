//! How a host differs from its approved baseline, and what may be done about it.

use infra_watch_client::operations;
use infra_watch_client::types::{Drift, DriftState, Host, HostDriftState, HostStatus, Role};
use web_sys::HtmlInputElement;
use yew::prelude::*;

use super::baselines::use_baselines;
use super::configuration::{nothing_yet, skeleton};
use super::drift_acts::{Act, DriftDialog};
use crate::api::{PAGE_ITEMS, use_role};
use crate::change::of_drift;
use crate::components::capped::Capped;
use crate::components::change::{direction, disposition, item_name, values};
use crate::components::empty::empty;
use crate::components::filters::{Filter, filters};
use crate::components::go::{Address, link};
use crate::components::icon::{Glyph, icon};
use crate::components::labels;
use crate::components::status::mark;
use crate::components::time::time;
use crate::configuration::{Side, Which};
use crate::format;
use crate::hooks::polled::use_polled;
use crate::hooks::query::use_query;
use crate::loaded::Shared;
use crate::pairs::Pairs;
use crate::route::Route;

/// How often the drift is asked for.
const DRIFT_SECONDS: u32 = 30;

/// Items by section and key.
pub type Chosen = Pairs;

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
    let may_act = use_role() == Role::Admin;
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
    let baselines = use_baselines(host.host_id, *done_count);
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
                    { state_line(host, known.state.as_ref(), may_act) }
                    if host.snapshot_at.is_none() {
                        <div class="card">{ nothing_yet() }</div>
                    } else if known.items.is_empty() {
                        { none(known.state.as_ref()) }
                    } else {
                        <Items host={host.clone()} items={known.items.clone()} {on_done} />
                    }
                </>
            }) }
            { baselines }
        </section>
    }
}

/// Where nothing differs; without data nothing of that kind is said.
fn none(state: Option<&HostDriftState>) -> Html {
    match state.map(|state| state.state) {
        Some(DriftState::AtBaseline) => html! {
            <div class="card">{ empty(Glyph::Tick, "Nothing differs from the baseline.", Html::default()) }</div>
        },
        _ => Html::default(),
    }
}

/// At its baseline, drifted, or unknown and why.
fn state_line(host: &Host, state: Option<&HostDriftState>, may_act: bool) -> Html {
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
        html! { { link(to, "button", html! { <>{ icon(Glyph::Compare) }{ "Baseline beside now" }</> }) } }
    };
    let (status, word) = match state.state {
        DriftState::AtBaseline => (HostStatus::Up, "At its baseline"),
        DriftState::Drifted => (HostStatus::Late, "Drifted"),
        DriftState::Unknown => (HostStatus::Pending, "Unknown"),
    };
    let about = match state.state {
        DriftState::Unknown => unknown(host, state),
        DriftState::Drifted => html! {
            <>{ format!("{} from the baseline{}; the first left it ", differ(state.drifted), marked(state)) }{ time(state.since) }{ "." }</>
        },
        DriftState::AtBaseline => html! {
            <>{ "The configuration read " }{ time(state.snapshot_at) }{ " is as it was approved " }{ time(state.baseline_at) }{ marked(state) }{ "." }</>
        },
    };
    html! {
        <div class="state-line" data-state={state.state.to_string()}>
            { mark(status, word) }<span>{ about }</span>
            <span class="state-links">
                if may_act { { link(Route::DriftRules, "", html! { "Drift rules" }) } }
                if state.baseline_at.is_some() { { compare() } }
            </span>
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
    html! { <>{ "The last configuration was read " }{ time(state.snapshot_at) }{ format!(", too long ago to say how the host is now.{known}") }</> }
}

/// What is chosen among the items, for those who may do something with it.
#[derive(Clone)]
struct Choice {
    chosen: UseStateHandle<Chosen>,
    /// Those of them that are still there.
    ready: Chosen,
}

impl Choice {
    /// A box that chooses these items, or leaves them.
    fn over(&self, label: &str, of: Chosen) -> Html {
        let is_on = !of.is_empty() && of.iter().all(|item| self.ready.contains(item));
        let this = self.clone();
        let onchange = move |event: Event| {
            let is_on = event
                .target_dyn_into::<HtmlInputElement>()
                .is_some_and(|input| input.checked());
            let mut next = this.ready.clone();
            for item in of.iter() {
                if is_on {
                    next.insert(item.clone());
                } else {
                    next.remove(item);
                }
            }
            this.chosen.set(next);
        };
        html! { <td class="cell-choice"><input type="checkbox" checked={is_on} aria-label={format!("Select {label}")} {onchange} /></td> }
    }
}

fn ids<'a>(items: impl IntoIterator<Item = &'a Drift>) -> Chosen {
    let mut ids = Chosen::new();
    for item in items {
        ids.insert((item.section.clone(), item.key.clone()));
    }
    ids
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
    let items = &props.items;
    let is_shown = |place: &usize| {
        let item = &items[*place];
        section.is_none_or(|section| section == item.section)
            && meaning.is_none_or(|meaning| meaning == item.disposition.to_string())
            && item.key.to_lowercase().contains(&words)
    };
    let places: Vec<usize> = (0..items.len()).filter(is_shown).collect();
    // Those that are gone meanwhile are not approved, and not counted.
    let is_chosen = |item: &&Drift| chosen.contains(&(item.section.clone(), item.key.clone()));
    let ready = ids(items.iter().filter(is_chosen));
    let count = ready.len();
    let act_on = |action: &'static str,
                  is_primary: bool,
                  words: &'static str,
                  next: fn(Chosen) -> Act| {
        let (act, of) = (act.clone(), ready.clone());
        let onclick = move |_: MouseEvent| act.set(Some(next(of.clone())));
        html! { <button type="button" class={classes!("button", is_primary.then_some("button-primary"))} data-action={action} disabled={count == 0} {onclick}>{ words }</button> }
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
    let fields = [
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
    let actions = is_admin.then(|| {
        html! {
            <div class="row-actions">
                <span class="muted" role="status">{ if count == 0 { "Nothing selected".to_owned() } else { format!("{} selected", format::count(count, "item")) } }</span>
                { act_on("ignore", false, "Ignore…", Act::Ignore) }
                { act_on("approve", true, "Approve…", Act::Approve) }
            </div>
        }
    });
    let choice = is_admin.then_some(Choice { chosen, ready });
    let (items, shown_count) = (items.clone(), places.len());
    let view = Callback::from(move |shown| table(&items, &places, shown, choice.as_ref()));
    html! {
        <>
            <div class="filters-row drift-bar">{ filters(&query, &fields, Html::default()) }{ for actions }</div>
            if shown_count == 0 {
                <div class="card">{ empty(Glyph::Search, "No item is like that.", Html::default()) }</div>
            } else {
                <Capped count={shown_count} {view} />
            }
            if let Some(act) = (*act).clone() { <DriftDialog host={props.host.clone()} {act} {on_close} {on_done} /> }
        </>
    }
}

/// The first of the items, section by section; "all" is all that could be shown.
fn table(items: &[Drift], places: &[usize], shown: usize, choice: Option<&Choice>) -> Html {
    let all = || places.iter().map(|place| &items[*place]);
    let over = |label: &str, of: Chosen| choice.map(|choice| choice.over(label, of));
    let mut rows = Vec::new();
    let mut section = "";
    for item in all().take(shown) {
        if section != item.section {
            section = &item.section;
            let of = ids(all().filter(|item| item.section == section));
            let count = format::number(of.len() as f64);
            rows.push(html! {
                <tr class="section-row" key={format!("section {section}")}>
                    { for over(&format!("all of {section}"), of) }
                    <th scope="rowgroup" colspan="5">{ section.to_owned() }<span class="muted">{ format!(" {count}") }</span></th>
                </tr>
            });
        }
        let change = of_drift(item);
        rows.push(html! {
            <tr key={format!("{section} {}", item.key)} data-key={item.key.clone()}>
                { for over(&item.key, ids([item])) }
                <th scope="row">{ item_name(section, &item.key) }</th>
                <td class="cell-values">{ values(&change) }</td>
                <td class="cell-direction">{ direction(&change) }</td>
                <td data-label="Since">{ time(Some(item.since)) }</td>
                <td>{ disposition(item.disposition) }</td>
            </tr>
        });
    }
    html! {
        <div class="card table-card">
            <table class="table drift">
                <caption class="visually-hidden">{ "What differs from the baseline" }</caption>
                <thead><tr>
                    { for over("all", ids(all())) }
                    <th scope="col">{ "Item" }</th><th scope="col">{ "Baseline → now" }</th><th scope="col"><span class="visually-hidden">{ "Direction" }</span></th><th scope="col">{ "Since" }</th><th scope="col">{ "Meaning" }</th>
                </tr></thead>
                <tbody>{ for rows }</tbody>
            </table>
        </div>
    }
}
