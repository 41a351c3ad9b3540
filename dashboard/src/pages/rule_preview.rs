//! When a rule that is being edited would have fired.

use infra_watch_client::number::parse;
use infra_watch_client::operations;
use infra_watch_client::types::{Firing, Preview};
use uuid::Uuid;
use yew::prelude::*;

use super::alert_chart::AlertChart;
use super::alert_rules::Known;
use super::compare::host_choice;
use crate::alert::{Band, Draft, found};
use crate::api::ApiError;
use crate::components::capped::Capped;
use crate::components::go::{Address, link};
use crate::format;
use crate::hooks::clock::{self, use_now, zone};
use crate::hooks::polled::use_polled;
use crate::hooks::query::use_query;
use crate::hooks::rested::use_rested;
use crate::loaded::Shared;
use crate::range::{PRESETS, Range};
use crate::route::Route;

/// The spans that a rule can be tried over: places among the presets.
const SPANS: [usize; 3] = [3, 4, 5];
/// How much of the time around a firing its link shows.
const AROUND_SECONDS: i64 = 3600;

#[derive(PartialEq, Properties)]
pub struct RulePreviewProps {
    /// What a rule may name.
    pub known: Shared<Known>,
    /// The rule as it is now.
    pub draft: Draft,
}

/// What came of a try.
enum Tried {
    /// What it found, and the host at which it would have fired most often.
    Found(Preview, Option<Uuid>),
    /// Why it could not be tried.
    Not(String),
}

/// The sentence, the chart of a host, and each time.
#[component]
pub fn RulePreview(props: &RulePreviewProps) -> Html {
    let now = use_now();
    let draft = use_rested(&props.draft);
    let query = use_query();
    let name = |span: &usize| query.get("range") == Some(PRESETS[*span].0);
    let span = SPANS.into_iter().find(name).unwrap_or(SPANS[1]);
    let chosen = use_state(|| None::<Uuid>);
    let range = Range::Preset(span);
    let known = props.known.clone();
    let hosts = known.clone();
    let tried = use_polled(
        (draft.clone(), range),
        None,
        move |api, (mut draft, range)| {
            // Neither says when it fires.
            draft.name = "preview".to_owned();
            draft.channels.clear();
            let body = draft.body(&hosts.hosts);
            let (from, to) = range.bounds(clock::read().timestamp());
            Box::pin(async move {
                let preview = match body {
                    Ok(body) => {
                        let preview = operations::preview_alert_rule(&body)
                            .from(from.to_string().as_str())
                            .to(to.to_string().as_str());
                        api.ask(preview).await
                    }
                    Err(error) => Err(error),
                };
                match preview {
                    Ok(preview) => {
                        let most = most(&preview.firings);
                        Ok(Tried::Found(preview, most))
                    }
                    Err(error) => not(error).map(Tried::Not),
                }
            })
        },
    );
    let words = PRESETS[span].2;
    let button = |index: usize| {
        let query = query.clone();
        let pressed = (span == index).to_string();
        html! { <button type="button" aria-pressed={pressed} onclick={move |_| query.replace([("range", Some(PRESETS[index].0.to_owned()))])}>{ PRESETS[index].0 }</button> }
    };
    let on_host = {
        let chosen = chosen.clone();
        Callback::from(move |host| chosen.set(host))
    };
    let chart = |most: Option<Uuid>, firings: &[Firing]| {
        let meant = || draft.whom.first(&known.hosts);
        let host_id = (*chosen).or(most).or_else(meant)?;
        let bounds = [&draft.value, &draft.clear_value];
        let bounds = bounds.map(|text| parse(text.trim()));
        let own = firings.iter().filter(|firing| firing.host_id == host_id);
        let bands = own.map(|firing| Band::of_firing(firing, draft.severity));
        let instance = draft.instance.trim().to_owned();
        Some(html! {
            <>
                <label class="filter-field"><span>{ "Host" }</span>{ host_choice(&known.hosts, Some(host_id), "the one with most", on_host.clone()) }</label>
                <AlertChart {host_id} metric={draft.metric.trim().to_owned()} instance={Some(instance).filter(|instance| !instance.is_empty())} bounds={bounds.into_iter().flatten().collect::<Vec<_>>()}
                    bands={bands.collect::<Vec<_>>()} {range} {words} />
            </>
        })
    };
    html! {
        <section class="preview" aria-label="When it would have fired">
            <div class="preview-head"><h2>{ "When it would have fired" }</h2><div class="segments" role="group" aria-label="Tried over">{ for SPANS.map(button) }</div></div>
            { tried.show(|| html! { <span class="skeleton"></span> }, |tried| match &**tried {
                Tried::Not(why) => html! { <p class="muted" role="status">{ why }</p> },
                Tried::Found(preview, most) => {
                    let firings = preview.firings.clone();
                    let count = firings.len();
                    let line = move |firing: &Firing| line(firing, now);
                    let view = Callback::from(move |shown| html! { <ul class="firings">{ for firings[..shown].iter().map(line) }</ul> });
                    html! {
                        <>
                            <p class="preview-found" role="status" data-firings={preview.firing_count.to_string()}>{ found(preview, words) }</p>
                            if draft.has_metric() { { for chart(*most, &preview.firings) } }
                            <Capped {count} {view} />
                        </>
                    }
                }
            }) }
        </section>
    }
}

/// What is said in place of a preview: what is wrong with a field is no failure of the page.
fn not(error: ApiError) -> Result<String, ApiError> {
    match error.fields.as_slice() {
        [] => Err(error),
        [field, ..] => Ok(format!(
            "Not yet: {} {}.",
            field.name.replace(['.', '_'], " "),
            field.message
        )),
    }
}

/// The host with most firings.
fn most(firings: &[Firing]) -> Option<Uuid> {
    let count = |host_id: Uuid| {
        firings
            .iter()
            .filter(|firing| firing.host_id == host_id)
            .count()
    };
    let mut most = None;
    for firing in firings {
        let is_known = most.is_some_and(|(known, _)| known == firing.host_id);
        if !is_known {
            let count = count(firing.host_id);
            if most.is_none_or(|(_, least)| count > least) {
                most = Some((firing.host_id, count));
            }
        }
    }
    most.map(|(host_id, _)| host_id)
}

/// One time, and the way to what was measured around it.
fn line(firing: &Firing, now: chrono::DateTime<chrono::Utc>) -> Html {
    let zone = zone(now);
    let from = firing.started_at;
    let to = firing.ended_at.unwrap_or(now);
    let around = [
        ("from", from.timestamp() - AROUND_SECONDS),
        ("to", to.timestamp() + AROUND_SECONDS),
    ];
    let around = around.map(|(name, at)| (name, at.to_string()));
    let host = Address::new(
        Route::Host {
            host_id: firing.host_id,
        },
        around,
    );
    let until = match firing.ended_at {
        Some(at) => format::clock(at, now, zone),
        None => "now".to_owned(),
    };
    html! {
        <li>
            { link(host, "", html! { &firing.host_name }) }
            if let Some(instance) = &firing.instance { <span>{ instance }</span> }
            <span class="muted">{ format!("{} to {until}, {}", format::clock(from, now, zone), format::duration((to - from).num_seconds().max(0) as f64)) }</span>
        </li>
    }
}
