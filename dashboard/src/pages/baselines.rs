//! The history of a host's baseline: when, by whom, why, and what it took over.

use infra_watch_client::operations;
use infra_watch_client::types::Baseline;
use uuid::Uuid;
use yew::prelude::*;

use super::configuration::skeleton;
use crate::components::change::ChangeList;
use crate::components::fold::Fold;
use crate::components::go::{Address, link};
use crate::components::time::time;
use crate::configuration::{Side, Which};
use crate::format;
use crate::hooks::paged::use_paged;
use crate::loaded::Shared;
use crate::route::Route;

/// Entries of a page.
const BASELINES: u64 = 10;

/// The newest first; `version` counts what was approved here, so that it is seen at once.
#[hook]
pub fn use_baselines(host_id: Uuid, version: u32) -> Html {
    let baselines = use_paged((host_id, version), None, |(host_id, _), cursor| {
        operations::list_baselines(*host_id)
            .limit(BASELINES)
            .cursor(cursor)
    });
    html! {
        <section aria-label="History of the baseline">
            <h2 class="table-title">{ "Baseline" }</h2>
            { baselines.list.show(skeleton, |pages| if pages.items.is_empty() {
                html! { <p class="muted">{ "There is none yet: the first configuration that arrives becomes it." }</p> }
            } else {
                html! { <ol class="card baselines">{ for pages.items.iter().map(|baseline| entry(host_id, baseline)) }</ol> }
            }) }
            { baselines.more() }
        </section>
    }
}

fn entry(host_id: Uuid, baseline: &Baseline) -> Html {
    let id = baseline.baseline_id;
    let side = |which| Side { host_id, which }.text();
    let configuration = Address::new(
        Route::Host { host_id },
        [
            ("tab", "configuration".to_owned()),
            ("snapshot", id.to_string()),
        ],
    );
    let compare = Address::new(
        Route::Compare,
        [
            ("left", side(Which::Id(id))),
            ("right", side(Which::Latest)),
        ],
    );
    let changes = baseline.items.clone();
    let view = Callback::from(
        move |()| html! { <ChangeList changes={Shared::new(changes.clone())} with_meaning={false} /> },
    );
    html! {
        <li key={id.as_u128()} class="baseline" data-baseline={id.to_string()}>
            <div class="baseline-head">
                <span class="baseline-reason">{ &baseline.reason }</span>
                <span class="muted">{ &baseline.by }{ " · " }{ time(Some(baseline.at)) }</span>
                <span class="baseline-links">{ link(configuration, "", html! { <>{ "Configuration" }</> }) }{ link(compare, "", html! { <>{ "Compare with now" }</> }) }</span>
            </div>
            if !baseline.items.is_empty() {
                <Fold title={html! { <span>{ format!("{} taken over", format::count(baseline.items.len(), "item")) }</span> }} {view} />
            }
        </li>
    }
}
