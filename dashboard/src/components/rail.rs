//! The rail above a chart: a ◆ where the configuration changed, a band while an alert fired; what it was on hover or
//! focus, there on a press.

use chrono::{DateTime, Utc};
use infra_watch_client::number::fixed;
use uuid::Uuid;
use web_sys::KeyboardEvent;
use yew::prelude::*;

use super::change::change_line;
use super::go::{Address, follow};
use crate::alert::{self, Band, Placed, place};
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

/// What the word in a band needs, in CSS pixels.
const WORD_PIXELS: f64 = 56.0;
/// How high all bands of one time are together, in CSS pixels.
const BANDS_PIXELS: f64 = 16.0;

/// What happened to a host.
#[derive(Clone, PartialEq)]
pub struct History {
    /// The host.
    pub host_id: Uuid,
    /// Its changes, oldest first.
    pub sets: Shared<Vec<Set>>,
    /// Its alerts.
    pub bands: Shared<Vec<Band>>,
}

#[derive(PartialEq, Properties)]
pub struct RailProps {
    /// What happened to the host.
    pub history: History,
    /// What the chart below is called.
    pub title: AttrValue,
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
    let History {
        host_id,
        sets,
        bands,
    } = &props.history;
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
    let anchor = |id: Uuid, class: &'static str, address: Address, label: String, drawing: Html| {
        let is_active = *active == Some(id);
        let go = follow(address.clone());
        let (enter, focus) = (set_active(Some(id)), set_active(Some(id)));
        let blur = blur.clone();
        // Where nothing hovers, the first touch shows what it is, and the second goes there.
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
        html! {
            <a key={id.as_u128()} class={classes!(class, is_active.then_some("marker-active"))} href={address.href()} aria-label={label}
                {onclick} {onpointerdown} onmouseenter={move |_| enter()} onfocus={move |_| focus()} onblur={move |_| blur()}>{ drawing }</a>
        }
    };
    let diamond = |marker: &Marker| {
        let sets = &sets[marker.places.clone()];
        let count = sets.len();
        let drawing = html! {
            <svg x={percent(marker.along)} y="10" width="1" height="1" overflow="visible">
                <circle class="marker-ground" r="10" />
                if count > 1 {
                    <path class="marker-shape" d="M0-8.500l8.500 8.500-8.500 8.500-8.500-8.500z" />
                    <text class="marker-count" y="3.500" text-anchor="middle">{ if count > 99 { "99".to_owned() } else { count.to_string() } }</text>
                } else {
                    <path class="marker-shape" d="M0-6l6 6-6 6-6-6z" />
                }
            </svg>
        };
        anchor(
            first(marker),
            "marker",
            address(*host_id, sets),
            label(sets),
            drawing,
        )
    };
    let placed = place(bands, (props.from, props.to));
    let lanes = placed
        .iter()
        .map(|placed| placed.lane + 1)
        .max()
        .unwrap_or(1);
    let zone = zone(now);
    let band = |placed: &Placed| {
        let band = &bands[placed.place];
        let height = BANDS_PIXELS / lanes as f64;
        let name = alert::severity(band.severity);
        let drawing = html! {
            <svg class={format!("band band-{name}")} x={percent(placed.along)} y={fixed(2.0 + height * placed.lane as f64, 1)} width={percent(placed.width)} height={fixed(height, 1)}>
                <rect width="100%" height="100%" rx="3" />
                if lanes == 1 && placed.width * width > WORD_PIXELS { <text x="6" y="12">{ name }</text> }
            </svg>
        };
        match band.alert_id {
            Some(alert_id) => anchor(
                alert_id,
                "band-link",
                Route::Alert { alert_id }.into(),
                band.words(now, zone),
                drawing,
            ),
            None => {
                html! { <g role="img" aria-label={band.words(now, zone)}><title>{ band.words(now, zone) }</title>{ drawing }</g> }
            }
        }
    };
    let shown = markers.iter().find(|marker| Some(first(marker)) == *active);
    let shown_band = placed
        .iter()
        .find(|placed| active.is_some() && bands[placed.place].alert_id == *active);
    let tip = match (shown, shown_band) {
        (Some(marker), _) => {
            let sets = &sets[marker.places.clone()];
            Some((marker.along, tip(sets, &address(*host_id, sets), now)))
        }
        (None, Some(placed)) => {
            let (words, alert_id) = (
                bands[placed.place].words(now, zone),
                (*active).unwrap_or_default(),
            );
            let words = html! { <p class="tip-head"><strong>{ words }</strong></p> };
            Some((
                placed.along,
                tip_box(words, &Route::Alert { alert_id }.into(), "Show the alert"),
            ))
        }
        (None, None) => None,
    };
    html! {
        <div class="rail" role="group" aria-label={format!("Changes and alerts over {}", props.title)} onmouseleave={move |_| leave()} {onkeydown}>
            <svg ref={node} class="rail-line" width="100%" height="20">
                <line x1="0" x2="100%" y1="10" y2="10" />
                { for placed.iter().map(band) }
                { for markers.iter().map(diamond) }
            </svg>
            if let Some((along, tip)) = tip {
                <div class="tip-row">
                    // The page's policy allows no style attribute: an empty drawing holds the distance.
                    <svg class="tip-space" width={fixed((along * width - TIP_PIXELS / 2.0).clamp(0.0, (width - TIP_PIXELS).max(0.0)), 0)} height="1" aria-hidden="true"></svg>
                    { tip }
                </div>
            }
        </div>
    }
}

/// A share as SVG writes it.
pub fn percent(share: f64) -> String {
    format!("{}%", fixed(share * 100.0, 3))
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
    let words = html! {
        <>
            if let [set] = sets {
                { head(set) }
                <ul class="changes">{ for set.changes.iter().take(SHOWN_CHANGES).map(|change| change_line(change, false)) }</ul>
                { rest(set.changes.len().saturating_sub(SHOWN_CHANGES), "item") }
            } else {
                { for sets.iter().rev().take(SHOWN_SETS).map(head) }
                { rest(sets.len().saturating_sub(SHOWN_SETS), "change") }
            }
        </>
    };
    let action = if sets.len() == 1 {
        "Show the change"
    } else {
        "Show these changes"
    };
    tip_box(words, to, action)
}

/// The box beside what is pointed at, with the way there.
fn tip_box(words: Html, to: &Address, action: &'static str) -> Html {
    html! {
        // A press in it leaves the focus on the marker: without it the box would go before the press ends.
        <div class="tip" role="tooltip" onmousedown={|event: MouseEvent| event.prevent_default()}>
            { words }
            <a class="tip-link" tabindex="-1" href={to.href()} onclick={follow(to.clone())}>{ action }</a>
        </div>
    }
}
