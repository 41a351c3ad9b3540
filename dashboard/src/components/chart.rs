//! A metric's chart: title and figures above, the lines, their names below, the numbers as a table on demand.

use std::cell::RefCell;
use std::rc::Rc;

use chrono::{DateTime, FixedOffset, Utc};
use wasm_bindgen::closure::Closure;
use web_sys::{HtmlElement, ResizeObserver};
use yew::prelude::*;

use super::icon::{Glyph, icon};
use super::rail::{History, Rail, percent};
use crate::alert::{Band, place};
use crate::chart::{Chart, Events};
use crate::hooks::clock::{use_now, zone};
use crate::hooks::theme::use_theme;
use crate::loaded::Shared;
use crate::panel::Panel;
use crate::{date, format};

#[derive(PartialEq, Properties)]
pub struct ChartCardProps {
    /// What is drawn.
    pub panel: Shared<Panel>,
    /// The span in words, for the sentence.
    pub range_words: AttrValue,
    /// A span was chosen by dragging, in Unix seconds.
    pub on_zoom: Callback<(i64, i64)>,
    /// A double click: back to the span before.
    pub on_back: Callback<()>,
    /// What happened to the host, for those who may see it.
    #[prop_or_default]
    pub history: Option<History>,
}

/// The card with everything that belongs to a metric.
#[component]
pub fn ChartCard(props: &ChartCardProps) -> Html {
    let cursor = use_state_eq(|| None);
    let hidden = use_state(Vec::new);
    let as_table = use_state(|| false);
    let now = use_now();
    let panel = &props.panel;
    let title = format::metric_title(&panel.metric);
    let on_cursor = {
        let cursor = cursor.clone();
        Callback::from(move |place| cursor.set(place))
    };
    let toggle = {
        let (hidden, count) = (hidden.clone(), panel.lines.len());
        Callback::from(move |place: usize| {
            let mut next: Vec<bool> = (*hidden).clone();
            next.resize(count, false);
            next[place] = !next[place];
            hidden.set(next);
        })
    };
    let switch = {
        let as_table = as_table.clone();
        move |_| as_table.set(!*as_table)
    };
    let back = {
        let on_back = props.on_back.clone();
        move |_: MouseEvent| on_back.emit(())
    };
    let step = panel.has_band().then(|| {
        format!(
            "{} steps, band from least to greatest",
            format::step(panel.step_seconds)
        )
    });
    let sentence = panel.sentence(&props.range_words, now, zone(now));
    let switch_label = if *as_table {
        format!("{title} as a chart")
    } else {
        format!("{title} as a table")
    };
    html! {
        <section class="card chart-card" aria-label={title.clone()}>
            <header class="chart-head">
                <h3>{ &title }</h3>
                <p class="chart-figure">{ figure(panel, *cursor) }</p>
                <button type="button" class="button-icon" aria-label={switch_label.clone()} title={switch_label} aria-pressed={as_table.to_string()} onclick={switch}>
                    { icon(Glyph::Table) }
                </button>
            </header>
            if *as_table {
                { numbers(panel) }
            } else {
                if let Some(history) = &props.history {
                    <Rail history={history.clone()} title={title.clone()} from={panel.from} to={panel.to} />
                }
                <div class="chart" data-metric={panel.metric.clone()} role="img" aria-label={sentence} ondblclick={back}>
                    { for props.history.as_ref().map(|history| tints(&history.bands, panel)) }
                    <Canvas panel={panel.clone()} hidden={(*hidden).clone()} {on_cursor} on_zoom={props.on_zoom.clone()} />
                </div>
            }
            <footer class="chart-foot">
                if panel.lines.len() > 1 {
                    { legend(panel, &hidden, *cursor, &toggle) }
                }
                if let Some(step) = step {
                    <span class="chart-step">{ step }</span>
                }
            </footer>
        </section>
    }
}

/// The ground of the chart while an alert about its values fired.
fn tints(bands: &[Band], panel: &Panel) -> Html {
    let placed = place(bands, (panel.from, panel.to));
    let placed = placed
        .iter()
        .filter(|placed| bands[placed.place].is_of_values);
    html! {
        <svg class="chart-tints" aria-hidden="true" focusable="false">
            { for placed.map(|placed| html! { <rect x={percent(placed.along)} width={percent(placed.width)} height="100%" /> }) }
        </svg>
    }
}

/// A moment to the second, its day as `day` writes it.
fn written(at: DateTime<Utc>, day: fn(DateTime<FixedOffset>) -> String) -> String {
    let at = at.with_timezone(&zone(at));
    format!("{} {}", day(at), date::seconds(at))
}

/// The value of a single line, at the pointer or the latest; the time at the pointer.
fn figure(panel: &Panel, cursor: Option<usize>) -> Html {
    let at = cursor
        .and_then(|place| panel.timestamps.get(place))
        .and_then(|seconds| DateTime::from_timestamp(*seconds, 0));
    let value = match (panel.lines.as_slice(), cursor) {
        ([line], Some(place)) => Some(panel.unit.format_or_nothing(line.at(place))),
        ([line], None) => Some(panel.unit.format_or_nothing(line.latest())),
        _ => None,
    };
    html! {
        <>
            if let Some(at) = at {
                <span class="muted">{ written(at, date::day) }</span>
            }
            if let Some(value) = value {
                <strong>{ value }</strong>
            }
        </>
    }
}

/// Names of the lines with their values; a press hides a line or brings it back.
fn legend(panel: &Panel, hidden: &[bool], cursor: Option<usize>, toggle: &Callback<usize>) -> Html {
    let unit = panel.unit;
    html! {
        <ul class="legend">
            { for panel.lines.iter().enumerate().map(|(place, line)| {
                let toggle = toggle.clone();
                let is_hidden = hidden.get(place).copied().unwrap_or_default();
                let value = cursor.map_or_else(|| line.latest(), |cursor| line.at(cursor));
                html! {
                    <li>
                        <button type="button" aria-pressed={(!is_hidden).to_string()} onclick={move |_| toggle.emit(place)}>
                            <svg class={format!("swatch series-{}", place % 8 + 1)} viewBox="0 0 12 4" width="12" height="4" aria-hidden="true"><rect width="12" height="4" rx="2" /></svg>
                            <span class="legend-name">{ line.instance.as_deref().unwrap_or("all") }</span>
                            <span class="legend-value">{ unit.format_or_nothing(value) }</span>
                        </button>
                    </li>
                }
            }) }
        </ul>
    }
}

/// The numbers behind a chart, newest first.
fn numbers(panel: &Panel) -> Html {
    html! {
        <div class="numbers" tabindex="0" role="region" aria-label={format!("{} in numbers", format::metric_title(&panel.metric))}>
            <table class="table">
                <thead><tr>
                    <th scope="col">{ "Time" }</th>
                    { for panel.lines.iter().map(|line| html! { <th scope="col" class="number">{ line.instance.as_deref().unwrap_or("Value") }</th> }) }
                </tr></thead>
                <tbody>
                    { for panel.timestamps.iter().enumerate().rev().map(|(place, seconds)| {
                        let at = DateTime::from_timestamp(*seconds, 0).unwrap_or_default();
                        html! {
                            <tr>
                                <td>{ written(at, date::date) }</td>
                                { for panel.lines.iter().map(|line| html! { <td class="number">{ panel.unit.format_or_nothing(line.at(place)) }</td> }) }
                            </tr>
                        }
                    }) }
                </tbody>
            </table>
        </div>
    }
}

#[derive(PartialEq, Properties)]
struct CanvasProps {
    panel: Shared<Panel>,
    hidden: Vec<bool>,
    on_cursor: Callback<Option<usize>>,
    on_zoom: Callback<(i64, i64)>,
}

/// The drawing itself: made anew when its lines or the theme change, updated in place when only values do.
#[component]
fn Canvas(props: &CanvasProps) -> Html {
    let node = use_node_ref();
    let chart: Rc<RefCell<Option<Chart>>> = use_mut_ref(|| None);
    let latest = use_mut_ref(|| props.panel.clone());
    *latest.borrow_mut() = props.panel.clone();
    // The page makes new callbacks with each drawing of its own; the chart need not be drawn anew for that.
    let listeners = use_mut_ref(|| (props.on_cursor.clone(), props.on_zoom.clone()));
    *listeners.borrow_mut() = (props.on_cursor.clone(), props.on_zoom.clone());
    let theme = use_theme().theme;
    let bounds = props.panel.bounds.len();
    let shape: Vec<(Option<String>, bool)> = props
        .panel
        .lines
        .iter()
        .map(|line| (line.instance.clone(), line.has_band()))
        .collect();
    use_effect_with((shape, bounds, props.hidden.clone(), theme), {
        let (node, chart, latest) = (node.clone(), chart.clone(), latest.clone());
        move |(_, _, hidden, _)| {
            let cursors = listeners.clone();
            let events = Events {
                on_cursor: Callback::from(move |place| cursors.borrow().0.emit(place)),
                on_zoom: Callback::from(move |span| listeners.borrow().1.emit(span)),
            };
            let drawn = node
                .cast::<HtmlElement>()
                .and_then(|target| Chart::draw(&latest.borrow(), hidden, &target, &events).ok());
            chart.replace(drawn);
            move || drop(chart.replace(None))
        }
    });
    use_effect_with(props.panel.clone(), {
        let chart = chart.clone();
        move |panel| {
            if let Some(chart) = &*chart.borrow() {
                chart.update(panel);
            }
        }
    });
    use_effect_with((), {
        let node = node.clone();
        move |()| {
            let element = node.cast::<HtmlElement>();
            let on_resize = {
                let element = element.clone();
                Closure::<dyn Fn()>::new(move || {
                    if let (Some(chart), Some(element)) = (&*chart.borrow(), &element) {
                        chart.resize(
                            f64::from(element.client_width()),
                            f64::from(element.client_height()),
                        );
                    }
                })
            };
            let observer =
                ResizeObserver::new(wasm_bindgen::JsCast::unchecked_ref(on_resize.as_ref())).ok();
            if let (Some(observer), Some(element)) = (&observer, &element) {
                observer.observe(element);
            }
            move || {
                if let Some(observer) = observer {
                    observer.disconnect();
                }
                drop(on_resize);
            }
        }
    });
    html! { <div ref={node} class="chart-canvas"></div> }
}
