//! The chart of a rule's metric at one host: the bounds across it, and when the rule fired, or would have.

use infra_watch_client::operations;
use infra_watch_client::types::Aggregate;
use uuid::Uuid;
use yew::prelude::*;

use super::metrics::{changes, skeleton};
use crate::alert::Band;
use crate::components::chart::ChartCard;
use crate::components::empty::empty;
use crate::components::go::Address;
use crate::components::icon::Glyph;
use crate::components::rail::History;
use crate::hooks::clock;
use crate::hooks::polled::use_polled;
use crate::loaded::Shared;
use crate::panel::{self, Panel};
use crate::range::Range;
use crate::route::Route;

#[derive(PartialEq, Properties)]
pub struct AlertChartProps {
    /// The host.
    pub host_id: Uuid,
    /// The metric.
    pub metric: String,
    /// Which of its instances; all if there is none.
    #[prop_or_default]
    pub instance: Option<String>,
    /// What is drawn across.
    #[prop_or_default]
    pub bounds: Vec<f64>,
    /// When the rule fired.
    pub bands: Vec<Band>,
    /// The span.
    pub range: Range,
    /// The span in words.
    pub words: AttrValue,
}

/// The chart, asked for anew when what it shows is another.
#[component]
pub fn AlertChart(props: &AlertChartProps) -> Html {
    let host_id = props.host_id;
    let wanted = (
        props.metric.clone(),
        props.instance.clone(),
        props.bounds.clone(),
    );
    let found = use_polled(
        (host_id, wanted, props.range),
        None,
        |api, (host_id, wanted, range)| {
            let (metric, instance, bounds) = wanted;
            let (from, to) = range.bounds(clock::read().timestamp());
            let sets = changes(&api, host_id, (from, to));
            Box::pin(async move {
                let host = api.ask(operations::get_host(host_id)).await?;
                let step = range.step_seconds(host.interval_seconds.into());
                let metrics = [metric];
                let trends = operations::get_trends(host_id, &metrics)
                    .instance(instance.as_deref())
                    .aggregate(&[Aggregate::Avg, Aggregate::Min, Aggregate::Max])
                    .from(from.to_string().as_str())
                    .to(to.to_string().as_str())
                    .step(step.to_string().as_str());
                let columns = api.ask(trends).await?;
                let panel = panel::group(&columns, &metrics).pop();
                let panel = panel.map(|panel| Shared::new(Panel { bounds, ..panel }));
                Ok((panel, sets.await?))
            })
        },
    );
    let bands = use_memo(props.bands.clone(), |bands| Shared::new(bands.clone()));
    let on_zoom = Callback::from(move |(from, to): (i64, i64)| {
        let span = [("from", from), ("to", to)].map(|(name, at)| (name, at.to_string()));
        Address::new(Route::Host { host_id }, span).go();
    });
    found.show(|| skeleton(1), |found| match &found.0 {
        None => html! { <div class="card">{ empty(Glyph::Table, "Nothing was measured in this time.", Html::default()) }</div> },
        Some(panel) => {
            let (sets, bands) = (found.1.clone(), (*bands).clone());
            let history = History { host_id, sets, bands };
            html! { <ChartCard panel={panel.clone()} range_words={props.words.clone()} {on_zoom} on_back={Callback::noop()} history={Some(history)} /> }
        }
    })
}
