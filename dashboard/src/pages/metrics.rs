//! A host's metrics over time: one chart for each, all over the same span.

use infra_watch_client::operations;
use infra_watch_client::types::{Aggregate, Role, SeriesInfo};
use uuid::Uuid;
use yew::prelude::*;

use crate::alert::{Band, is_about};
use crate::api::{Api, PAGE_ITEMS, Pending, use_role};
use crate::change::Set;
use crate::components::chart::ChartCard;
use crate::components::empty::empty;
use crate::components::icon::Glyph;
use crate::components::rail::History;
use crate::components::range_picker::RangePicker;
use crate::hooks::clock::{self, use_now, zone};
use crate::hooks::polled::use_polled;
use crate::hooks::query::use_query;
use crate::loaded::Shared;
use crate::panel::{self, Panel};
use crate::range::Range;

/// How often the names of series are asked for: new disks and interfaces are rare.
const SERIES_SECONDS: u32 = 60;
/// How often new changes and alerts are asked for.
const HISTORY_SECONDS: u32 = 60;
/// A moving span is asked for at most this often.
const LIVE_SECONDS: u32 = 10;

#[derive(PartialEq, Properties)]
pub struct MetricsProps {
    /// The host.
    pub host_id: Uuid,
    /// Seconds between two of its measurements.
    pub interval_seconds: u32,
}

/// The span above, the charts below.
#[component]
pub fn Metrics(props: &MetricsProps) -> Html {
    let query = use_query();
    let range = Range::parse(query.get("range"), query.get("from"), query.get("to"));
    // Those with tabs have read the word there.
    let has_tabs = use_role() >= Role::Operator;
    let before_zoom = use_mut_ref(|| None::<Range>);
    let series = use_polled(props.host_id, Some(SERIES_SECONDS), |api, host_id| {
        let series = api.all(move |cursor| {
            operations::list_series(host_id)
                .limit(PAGE_ITEMS)
                .cursor(cursor)
        });
        Box::pin(async move { series.await.map(names) })
    });
    let change = {
        let (query, before_zoom) = (query.clone(), before_zoom.clone());
        Callback::from(move |range: Range| {
            before_zoom.replace(None);
            query.push(range.query());
        })
    };
    let on_zoom = {
        let (query, before_zoom) = (query.clone(), before_zoom.clone());
        Callback::from(move |(from, to)| {
            before_zoom.borrow_mut().get_or_insert(range);
            query.push(Range::between(from, to).query());
        })
    };
    let on_back = Callback::from(move |()| {
        if let Some(range) = before_zoom.take() {
            query.push(range.query());
        }
    });
    html! {
        <section class="metrics" aria-label="Metrics">
            <div class="metrics-head"><h2 class={if has_tabs { "visually-hidden" } else { "" }}>{ "Metrics" }</h2><RangePicker {range} on_change={change} /></div>
            { series.show(|| skeleton(4), |metrics| if metrics.is_empty() {
                empty(Glyph::Table, "Nothing has been measured yet.", Html::default())
            } else {
                html! { <Charts host_id={props.host_id} interval_seconds={props.interval_seconds} metrics={(**metrics).clone()} {range} {on_zoom} {on_back} /> }
            }) }
        </section>
    }
}

#[derive(PartialEq, Properties)]
struct ChartsProps {
    host_id: Uuid,
    interval_seconds: u32,
    metrics: Vec<String>,
    range: Range,
    on_zoom: Callback<(i64, i64)>,
    on_back: Callback<()>,
}

/// The charts over one span, fetched together.
#[component]
fn Charts(props: &ChartsProps) -> Html {
    let now = use_now();
    let (range, step) = (
        props.range,
        props.range.step_seconds(props.interval_seconds.into()),
    );
    let every = range.is_live().then(|| {
        u32::try_from(step)
            .unwrap_or(u32::MAX)
            .clamp(LIVE_SECONDS, 60)
    });
    let key = (props.host_id, props.metrics.clone(), range, step);
    let panels = use_polled(key, every, |api, (host_id, metrics, range, step)| {
        let (from, to) = range.bounds(clock::read().timestamp());
        let trends = operations::get_trends(host_id, &metrics)
            .aggregate(&[Aggregate::Avg, Aggregate::Min, Aggregate::Max])
            .from(from.to_string().as_str())
            .to(to.to_string().as_str())
            .step(step.to_string().as_str());
        let columns = api.ask(trends);
        Box::pin(async move {
            let panels = panel::group(&columns.await?, &metrics).into_iter();
            Ok(panels.map(Shared::new).collect::<Vec<Shared<Panel>>>())
        })
    });
    let may_see = use_role() >= Role::Operator;
    let key = (props.host_id, props.metrics.clone(), range, may_see);
    let histories = use_polled(
        key,
        range.is_live().then_some(HISTORY_SECONDS),
        |api, (host_id, metrics, range, may_see)| {
            if !may_see {
                return Box::pin(async { Ok(Vec::new()) });
            }
            let (from, to) = range.bounds(clock::read().timestamp());
            let sets = changes(&api, host_id, (from, to));
            let alerts = operations::list_alerts()
                .host_id(host_id)
                .from(from.to_string().as_str())
                .to((to + 1).to_string().as_str())
                .limit(PAGE_ITEMS);
            let alerts = api.ask(alerts);
            Box::pin(async move {
                let (sets, alerts) = (sets.await?, alerts.await?.items);
                let history = |metric: String| {
                    let own = alerts.iter().filter(|alert| is_about(alert, &metric));
                    let bands = Shared::new(own.filter_map(Band::of).collect());
                    let sets = sets.clone();
                    (
                        metric,
                        History {
                            host_id,
                            sets,
                            bands,
                        },
                    )
                };
                Ok(metrics.into_iter().map(history).collect::<Vec<_>>())
            })
        },
    );
    let history = |metric: &str| {
        let mut histories = histories.data()?.iter();
        let own = histories.find(|(known, _)| known == metric)?;
        Some(own.1.clone())
    };
    let range_words = AttrValue::from(range.words(now, zone(now)));
    panels.show(|| skeleton(4), |panels| {
        html! {
            <div class="charts">
                { for panels.iter().map(|panel| html! {
                    <ChartCard key={panel.metric.clone()} panel={panel.clone()} range_words={range_words.clone()} on_zoom={props.on_zoom.clone()} on_back={props.on_back.clone()} history={history(&panel.metric)} />
                }) }
            </div>
        }
    })
}

/// The changes of a host in a span, oldest first.
pub fn changes(api: &Api, host_id: Uuid, (from, to): (i64, i64)) -> Pending<Shared<Vec<Set>>> {
    let sets = api.ask(
        operations::list_host_changes(host_id)
            .from(from.to_string().as_str())
            .to((to + 1).to_string().as_str())
            .limit(PAGE_ITEMS),
    );
    Box::pin(async move {
        let sets = sets.await?.items.into_iter().rev().map(Set::from);
        Ok(Shared::new(sets.collect()))
    })
}

/// The metrics of all series, each once.
fn names(series: Vec<SeriesInfo>) -> Vec<String> {
    panel::order(series.into_iter().map(|series| series.metric).collect())
}

/// The layout with nothing in it yet.
pub fn skeleton(charts: usize) -> Html {
    html! { <div class="charts">{ for (0..charts).map(|_| html! { <div class="card chart-card"><div class="skeleton skeleton-chart"></div></div> }) }</div> }
}
