//! The rail above a chart: a ◆ where the configuration changed, what changed on hover or focus, there on a press.

use chrono::{DateTime, Utc};
use uuid::Uuid;
use web_sys::KeyboardEvent;
use yew::prelude::*;

use super::change::change_line;
use super::go::{Address, follow};
use crate::change::Set;
use crate::format;
use crate::hooks::clock::{use_now, zone};
use crate::hooks::media::use_media;
use crate::hooks::width::use_width;
use crate::loaded::Shared;
use crate::markers::{Marker, join};
use crate::route::Route;

/// Changes of one set that are shown beside its marker.
const SHOWN_CHANGES: usize = 5;
/// Sets of a joined marker that are shown beside it.
const SHOWN_SETS: usize = 4;
/// How wide the box beside a marker is, in CSS pixels, as the stylesheet has it.
const TIP_PIXELS: f64 = 360.0;

#[derive(PartialEq, Properties)]
pub struct RailProps {
    /// The host.
    pub host_id: Uuid,
    /// What the chart below is called.
    pub title: AttrValue,
    /// The changes, oldest first.
    pub sets: Shared<Vec<Set>>,
    /// What the chart shows, in Unix seconds.
    pub from: i64,
    /// Its end.
    pub to: i64,
}

/// The markers over the chart's span.
#[component]
pub fn Rail(props: &RailProps) -> Html {
    let now = use_now();
    let node = use_node_ref();
    let width = use_width(&node);
    let active = use_state_eq(|| None::<Uuid>);
    let has_no_hover = use_media("(hover: none)");
    let only_shows = use_mut_ref(|| false);
    let sets = &props.sets;
    let moments: Vec<i64> = sets
        .iter()
        .map(|set| set.head.detected_at.timestamp())
        .collect();
    let markers = join(&moments, (props.from, props.to), width);
    let first = |marker: &Marker| sets[marker.places.start].head.change_set_id;
    let set_active = |to: Option<Uuid>| {
        let active = active.clone();
        move || active.set(to)
    };
    let (leave, blur, escape) = (set_active(None), set_active(None), set_active(None));
    let onkeydown = move |event: KeyboardEvent| {
        if event.key() == "Escape" {
            escape();
        }
    };
    let diamond = |marker: &Marker| {
        let id = first(marker);
        let is_active = *active == Some(id);
        let address = address(props.host_id, &sets[marker.places.clone()]);
        let go = follow(address.clone());
        let (enter, focus) = (set_active(Some(id)), set_active(Some(id)));
        let blur = blur.clone();
        // Where nothing hovers, the first touch shows what changed, and the second goes there.
        let onpointerdown = {
            let only_shows = only_shows.clone();
            move |_: PointerEvent| *only_shows.borrow_mut() = has_no_hover && !is_active
        };
        let only_shows = only_shows.clone();
        let onclick = move |event: MouseEvent| {
            if only_shows.replace(false) {
                event.prevent_default();
            } else {
                go.emit(event);
            }
        };
        let count = marker.places.len();
        html! {
            <a key={id.as_u128()} class={classes!("marker", is_active.then_some("marker-active"))} href={address.href()} aria-label={label(&sets[marker.places.clone()])}
                {onclick} {onpointerdown} onmouseenter={move |_| enter()} onfocus={move |_| focus()} onblur={move |_| blur()}>
                <svg x={format!("{:.3}%", marker.along * 100.0)} y="10" width="1" height="1" overflow="visible">
                    <circle class="marker-ground" r="10" />
                    if count > 1 {
                        <path class="marker-shape" d="M0-8.500l8.500 8.500-8.500 8.500-8.500-8.500z" />
                        <text class="marker-count" y="3.500" text-anchor="middle">{ if count > 99 { "99".to_owned() } else { count.to_string() } }</text>
                    } else {
                        <path class="marker-shape" d="M0-6l6 6-6 6-6-6z" />
                    }
                </svg>
            </a>
        }
    };
    let shown = markers.iter().find(|marker| Some(first(marker)) == *active);
    html! {
        <div class="rail" role="group" aria-label={format!("Changes over {}", props.title)} onmouseleave={move |_| leave()} {onkeydown}>
            <svg ref={node} class="rail-line" width="100%" height="20">
                <line x1="0" x2="100%" y1="10" y2="10" />
                { for markers.iter().map(diamond) }
            </svg>
            if let Some(marker) = shown {
                <div class="tip-row">
                    // The page's policy allows no style attribute: an empty drawing holds the distance.
                    <svg class="tip-space" width={format!("{:.0}", (marker.along * width - TIP_PIXELS / 2.0).clamp(0.0, (width - TIP_PIXELS).max(0.0)))} height="1" aria-hidden="true"></svg>
                    { tip(&sets[marker.places.clone()], &address(props.host_id, &sets[marker.places.clone()]), now) }
                </div>
            }
        </div>
    }
}

/// The change, or all of them that the marker stands for.
fn address(host_id: Uuid, sets: &[Set]) -> Address {
    let tab = ("tab", "changes".to_owned());
    let route = Route::Host { host_id };
    match sets {
        [set] => Address::new(route, [tab, ("change", set.head.change_set_id.to_string())]),
        [] => Address::new(route, [tab]),
        [first, .., last] => {
            let at = |set: &Set| set.head.detected_at.timestamp();
            let span = [("from", at(first)), ("to", at(last) + 1)];
            let span = span.map(|(name, at)| (name, at.to_string()));
            Address::new(route, std::iter::once(tab).chain(span))
        }
    }
}

/// What a marker stands for, in words.
fn label(sets: &[Set]) -> String {
    let clock = |set: &Set| {
        let at = set.head.detected_at;
        format::clock(at, at, zone(at))
    };
    match sets {
        [set] => format!("{}: {}", clock(set), set.head.summary),
        [first, .., last] => format!(
            "{} from {} to {}",
            format::count(sets.len(), "change"),
            clock(first),
            clock(last)
        ),
        [] => String::new(),
    }
}

/// What changed.
fn tip(sets: &[Set], to: &Address, now: DateTime<Utc>) -> Html {
    let zone = zone(now);
    let head = |set: &Set| {
        html! { <p class="tip-head"><time>{ format::clock(set.head.detected_at, now, zone) }</time><strong>{ &set.head.summary }</strong></p> }
    };
    let rest = |count: usize, noun: &str| {
        if count == 0 {
            Html::default()
        } else {
            html! { <p class="muted">{ format!("and {} more", format::count(count, noun)) }</p> }
        }
    };
    html! {
        // A press in it leaves the focus on the marker: without it the box would go before the press ends.
        <div class="tip" role="tooltip" onmousedown={|event: MouseEvent| event.prevent_default()}>
            if let [set] = sets {
                { head(set) }
                <ul class="changes">{ for set.changes.iter().take(SHOWN_CHANGES).map(|change| change_line(change, false)) }</ul>
                { rest(set.changes.len().saturating_sub(SHOWN_CHANGES), "item") }
            } else {
                { for sets.iter().rev().take(SHOWN_SETS).map(head) }
                { rest(sets.len().saturating_sub(SHOWN_SETS), "change") }
            }
            <a class="tip-link" tabindex="-1" href={to.href()} onclick={follow(to.clone())}>{ if sets.len() == 1 { "Show the change" } else { "Show these changes" } }</a>
        </div>
    }
}
