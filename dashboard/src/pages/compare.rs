//! One configuration beside another: of two hosts, or of one at two times; or a group of hosts.

use infra_watch_client::operations;
use infra_watch_client::types::{Change, ConfigurationDiff, Host};
use uuid::Uuid;
use web_sys::HtmlSelectElement;
use yew::prelude::*;

use super::compare_group::Group;
use super::configuration::{skeleton, whole_value};
use super::snapshots::Snapshots;
use crate::api::PAGE_ITEMS;
use crate::components::capped::Capped;
use crate::components::change::{change_sign, item_name};
use crate::components::empty::empty;
use crate::components::filters::{Filter, filters};
use crate::components::icon::{Glyph, icon};
use crate::configuration::{Side, Which};
use crate::format;
use crate::hooks::polled::use_polled;
use crate::hooks::query::{Query, use_query};
use crate::loaded::Shared;

/// Two sides or a group, as the address says.
#[component]
pub fn Compare() -> Html {
    let query = use_query();
    let hosts = use_polled((), None, |api, ()| {
        api.all(|cursor| operations::list_hosts().limit(PAGE_ITEMS).cursor(cursor))
    });
    let is_group = query.get("mode") == Some("group");
    html! {
        <>
            <header class="page-head">
                <div><h1>{ "Compare" }</h1><p class="muted">{ "A configuration beside another, or the hosts of a group." }</p></div>
                { segments(&query, "mode", "What is compared", [("", "Two sides"), ("group", "A group")]) }
            </header>
            { hosts.show(skeleton, |hosts| if is_group {
                html! { <Group hosts={hosts.clone()} query={query.clone()} /> }
            } else {
                two_sides(hosts, &query)
            }) }
        </>
    }
}

/// One of two, kept in the address.
fn segments(
    query: &Query,
    name: &'static str,
    label: &'static str,
    choices: [(&'static str, &'static str); 2],
) -> Html {
    let held = query.get(name).unwrap_or_default();
    let button = |(value, words): (&'static str, &'static str)| {
        let query = query.clone();
        let onclick = move |_: MouseEvent| query.replace([(name, Some(value.to_owned()))]);
        html! { <button type="button" aria-pressed={(held == value).to_string()} {onclick}>{ words }</button> }
    };
    html! { <div class="segments" role="group" aria-label={label}>{ for choices.map(button) }</div> }
}

fn two_sides(hosts: &Shared<Vec<Host>>, query: &Query) -> Html {
    let side = |name| query.get(name).and_then(Side::parse);
    let (left, right) = (side("left"), side("right"));
    let set = |name: &'static str| {
        let query = query.clone();
        Callback::from(move |side: Option<Side>| {
            query.push([(name, side.map(|side| side.text()))]);
        })
    };
    let swap = {
        let query = query.clone();
        let texts = (left.clone(), right.clone());
        move |_: MouseEvent| {
            let text = |side: &Option<Side>| side.as_ref().map(Side::text);
            query.push([("left", text(&texts.1)), ("right", text(&texts.0))]);
        }
    };
    html! {
        <>
            <div class="sides">
                { side_choice("Left", hosts, left.as_ref(), set("left")) }
                <button type="button" class="button-icon" data-action="swap" aria-label="Swap the sides" title="Swap the sides" onclick={swap}>{ icon(Glyph::Swap) }</button>
                { side_choice("Right", hosts, right.as_ref(), set("right")) }
            </div>
            if let (Some(left), Some(right)) = (left, right) {
                <Diff left={left.text()} right={right.text()} query={query.clone()} />
            } else {
                <div class="card">{ empty(Glyph::Compare, "Choose a host on each side.", html! { <p class="muted">{ "The same host twice compares two of its configurations." }</p> }) }</div>
            }
        </>
    }
}

/// A choice of a host; the first choice is none.
pub fn host_choice(
    hosts: &[Host],
    held: Option<Uuid>,
    none: &'static str,
    on_change: Callback<Option<Uuid>>,
) -> Html {
    let onchange = move |event: Event| {
        if let Some(select) = event.target_dyn_into::<HtmlSelectElement>() {
            on_change.emit(select.value().parse().ok());
        }
    };
    html! {
        <select data-picker="host" {onchange}>
            <option value="" selected={held.is_none()}>{ none }</option>
            { for hosts.iter().map(|host| html! { <option value={host.host_id.to_string()} selected={held == Some(host.host_id)}>{ &host.name }</option> }) }
        </select>
    }
}

/// A host and which of its configurations.
fn side_choice(
    label: &'static str,
    hosts: &[Host],
    side: Option<&Side>,
    on_change: Callback<Option<Side>>,
) -> Html {
    let on_host = on_change.reform(|host_id: Option<Uuid>| {
        host_id.map(|host_id| Side {
            host_id,
            which: Which::Latest,
        })
    });
    html! {
        <fieldset class="side" data-side={label}>
            <legend class="visually-hidden">{ label }</legend>
            <label class="filter-field"><span>{ label }</span>{ host_choice(hosts, side.map(|side| side.host_id), "Choose a host", on_host) }</label>
            if let Some(Side { host_id, which }) = side.cloned() {
                <Snapshots {host_id} {which} on_change={on_change.reform(move |which| Some(Side { host_id, which }))} />
            }
        </fieldset>
    }
}

#[derive(PartialEq, Properties)]
struct DiffProps {
    left: String,
    right: String,
    query: Query,
}

/// What differs, side by side or as text.
#[component]
fn Diff(props: &DiffProps) -> Html {
    let query = &props.query;
    let diff = use_polled(
        (props.left.clone(), props.right.clone()),
        None,
        |api, (left, right)| api.ask(operations::diff_snapshots(&left, &right)),
    );
    diff.show(skeleton, |diff| {
        if diff.items.is_empty() {
            return html! { <div class="card">{ empty(Glyph::Tick, "Nothing differs.", Html::default()) }</div> };
        }
        let is_text = query.get("view") == Some("unified");
        let fields = [
            Filter::text("q", "Item", "openssl, PATH"),
            Filter::section(("", "all sections")),
        ];
        html! {
            <>
                <div class="filters-row">
                    { filters(query, if is_text { &[] } else { &fields }, segments(query, "view", "How it is shown", [("", "Side by side"), ("unified", "Unified")])) }
                    <span class="muted" role="status">{ format!("{} between them", format::count(diff.items.len(), "difference")) }</span>
                </div>
                { if is_text { unified(diff) } else { beside(diff, query) } }
            </>
        }
    })
}

/// One item a row, left and right.
fn beside(diff: &Shared<ConfigurationDiff>, query: &Query) -> Html {
    let section = query.get("section");
    let words = query.get("q").unwrap_or_default().to_lowercase();
    let is_shown = |place: &usize| {
        let change = &diff.items[*place];
        section.is_none_or(|section| section == change.section)
            && change.key.to_lowercase().contains(&words)
    };
    let places: Vec<usize> = (0..diff.items.len()).filter(is_shown).collect();
    let (diff, count) = (diff.clone(), places.len());
    let view = Callback::from(move |shown| {
        html! {
            <div class="card table-card">
                <table class="table beside">
                    <caption class="visually-hidden">{ "Differences" }</caption>
                    <thead><tr><th scope="col">{ "Item" }</th><th scope="col">{ "Left" }</th><th scope="col">{ "Right" }</th></tr></thead>
                    <tbody>{ for places[..shown].iter().map(|place| row(&diff.items[*place])) }</tbody>
                </table>
            </div>
        }
    });
    html! { <Capped {count} {view} /> }
}

fn row(change: &Change) -> Html {
    let side = |value: &Option<String>| {
        value.as_deref().map_or_else(
            || html! { <span class="muted">{ format::NOTHING }</span> },
            whole_value,
        )
    };
    html! {
        <tr key={format!("{} {}", change.section, change.key)} data-key={change.key.clone()} class={format!("change-{}", change.kind)}>
            <th scope="row">{ change_sign(change) }{ item_name(&change.section, &change.key) }<span class="item-rest">{ &change.section }</span></th>
            <td data-label="Left">{ side(&change.before) }</td>
            <td data-label="Right">{ side(&change.after) }</td>
        </tr>
    }
}

/// The difference as text: the sign says what the colour does.
fn unified(diff: &Shared<ConfigurationDiff>) -> Html {
    let (diff, count) = (diff.clone(), diff.unified.lines().count());
    let view = Callback::from(move |shown| {
        html! {
            <pre class="card unified" tabindex="0" role="region" aria-label="Unified difference">{ for diff.unified.lines().take(shown).enumerate().map(line) }</pre>
        }
    });
    html! { <Capped {count} {view} /> }
}

fn line((place, line): (usize, &str)) -> Html {
    let class = match line.as_bytes().first() {
        // What is compared with what.
        _ if place < 2 => "line line-place",
        Some(b'+') => "line line-added",
        Some(b'-') => "line line-removed",
        Some(b'@') => "line line-place",
        _ => "line",
    };
    html! { <span {class}>{ line }{ "\n" }</span> }
}
