//! Which of a host's configurations: now, the baseline, a snapshot, or a moment.

use infra_watch_client::operations;
use uuid::Uuid;
use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

use crate::configuration::Which;
use crate::hooks::clock::{use_now, zone};
use crate::hooks::paged::use_paged;
use crate::range;

/// Snapshots in the choice until more are asked for.
const SNAPSHOTS: u64 = 50;

#[derive(PartialEq, Properties)]
pub struct SnapshotsProps {
    /// The host.
    pub host_id: Uuid,
    /// What holds.
    pub which: Which,
    /// Another was chosen.
    pub on_change: Callback<Which>,
}

/// The choice, a field for the moment when one is wanted, and the way to older snapshots.
#[component]
pub fn Snapshots(props: &SnapshotsProps) -> Html {
    let now = use_now();
    let zone = zone(now);
    let list = use_paged(props.host_id, None, |host_id, cursor| {
        operations::list_snapshots(*host_id)
            .limit(SNAPSHOTS)
            .cursor(cursor)
    });
    let snapshots = list.list.data();
    let snapshots = snapshots.map_or(&[][..], |snapshots| snapshots.items.as_slice());
    let held = match props.which {
        Which::At(_) => "at".to_owned(),
        _ => props.which.text(),
    };
    let onchange = {
        let on_change = props.on_change.clone();
        move |event: Event| {
            if let Some(select) = event.target_dyn_into::<HtmlSelectElement>() {
                on_change.emit(match select.value().as_str() {
                    "at" => Which::At(now.timestamp()),
                    text => Which::parse(text),
                });
            }
        }
    };
    let on_moment = {
        let on_change = props.on_change.clone();
        move |event: Event| {
            let input = event.target_dyn_into::<HtmlInputElement>();
            if let Some(seconds) = input.and_then(|input| range::from_field(&input.value(), zone)) {
                on_change.emit(Which::At(seconds));
            }
        }
    };
    let option = |value: String, words: String| {
        let selected = value == held;
        html! { <option {value} {selected}>{ words }</option> }
    };
    let is_known = |id| snapshots.iter().any(|snapshot| snapshot.snapshot_id == id);
    html! {
        <>
            <label class="filter-field">
                <span>{ "Which" }</span>
                <select data-picker="snapshot" {onchange}>
                    { option("latest".to_owned(), "Now".to_owned()) }
                    { option("baseline".to_owned(), "Approved baseline".to_owned()) }
                    { option("at".to_owned(), "At a moment…".to_owned()) }
                    if let Which::Id(id) = props.which {
                        if !is_known(id) { { option(held.clone(), props.which.words(snapshots, now, zone)) } }
                    }
                    if !snapshots.is_empty() {
                        <optgroup label="Snapshots">
                            { for snapshots.iter().map(|snapshot| {
                                let which = Which::Id(snapshot.snapshot_id);
                                let what = if snapshot.has_changes { ", changed" } else { "" };
                                let failed = if snapshot.failed_sections.is_empty() { "" } else { ", incomplete" };
                                option(which.text(), format!("{}{what}{failed}", which.words(snapshots, now, zone)))
                            }) }
                        </optgroup>
                    }
                </select>
            </label>
            if let Which::At(seconds) = props.which {
                <label class="filter-field">
                    <span>{ "Moment" }</span>
                    <input type="datetime-local" value={range::to_field(seconds, zone)} onchange={on_moment} />
                </label>
            }
            { list.more() }
        </>
    }
}
