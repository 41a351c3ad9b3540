//! One host: what it is, how it is, what may be done with it.

use infra_watch_client::operations;
use infra_watch_client::types::{Host, Role};
use uuid::Uuid;
use yew::prelude::*;

use super::alerts::AlertLog;
use super::collection::CollectionTab;
use super::configuration::{ConfigurationTab, nothing_yet};
use super::drift::DriftTab;
use super::host_changes::changes_tab;
use super::host_edit::{EditHost, delete_host};
use super::metrics::Metrics;
use super::set_aside::SetAside;
use crate::api::use_role;
use crate::collection;
use crate::components::fact::fact;
use crate::components::go::{Address, link, tab};
use crate::components::icon::{Glyph, icon};
use crate::components::labels::{self, label_chips};
use crate::components::status::{self, status_mark};
use crate::components::time::{time, time_or};
use crate::format;
use crate::hooks::polled::use_polled;
use crate::hooks::query::{Query, use_query};
use crate::loaded::Shared;
use crate::route::Route;

/// The tabs: what stands in the address, and words.
const TABS: [(&str, &str); 6] = [
    ("", "Metrics"),
    ("configuration", "Configuration"),
    ("changes", "Changes"),
    ("drift", "Drift"),
    ("alerts", "Alerts"),
    ("collection", "Collection"),
];
/// How often the host is asked for.
const HOST_SECONDS: u32 = 5;

#[derive(PartialEq, Properties)]
pub struct HostPageProps {
    /// The host.
    pub host_id: Uuid,
}

/// The header, then its metrics.
#[component]
pub fn HostPage(props: &HostPageProps) -> Html {
    let host = use_polled(props.host_id, Some(HOST_SECONDS), |api, host_id| {
        api.ask(operations::get_host(host_id))
    });
    let query = use_query();
    let may_see = use_role() >= Role::Operator;
    let refresh = host.retry.clone();
    html! {
        <>
            <nav class="crumbs" aria-label="Where this is">{ link(Route::Overview, "", html! { <>{ "Overview" }</> }) }<span aria-hidden="true">{ "/" }</span></nav>
            { host.show(skeleton, |host| html! { <><Header host={host.clone()} is_brief={query.get("tab").is_some()} refresh={refresh.clone()} />{ tabs(host, &query, may_see, &refresh) }</> }) }
        </>
    }
}

/// The tabs of those who may see configurations, and what is behind the one that is open.
fn tabs(host: &Shared<Host>, query: &Query, may_see: bool, refresh: &Callback<()>) -> Html {
    let host_id = host.host_id;
    let open = query.get("tab").filter(|_| may_see).unwrap_or_default();
    let open = TABS
        .iter()
        .find(|(name, _)| *name == open)
        .map_or("", |(name, _)| *name);
    let link = |(name, words): &(&str, &str)| {
        let to = Address::new(Route::Host { host_id }, [("tab", (*name).to_owned())]);
        tab(to, "tab", *name == open, html! { *words })
    };
    html! {
        <>
            if may_see { <nav class="tabs host-tabs" aria-label="Of this host">{ for TABS.iter().map(link) }</nav> }
            { match open {
                "configuration" if host.snapshot_at.is_none() => html! { <div class="card">{ nothing_yet() }</div> },
                "configuration" => html! { <ConfigurationTab {host_id} /> },
                "changes" => changes_tab(host_id, query),
                "alerts" => html! { <AlertLog host_id={Some(host_id)} /> },
                "collection" => html! { <CollectionTab host={host.clone()} is_editing={query.get("edit").is_some()} refresh={refresh.clone()} /> },
                "drift" => html! { <DriftTab host={host.clone()} /> },
                _ => html! { <Metrics {host_id} interval_seconds={host.interval_seconds} /> },
            } }
        </>
    }
}

#[derive(PartialEq, Properties)]
struct HeaderProps {
    host: Shared<Host>,
    /// Whether facts give way on a small screen.
    is_brief: bool,
    refresh: Callback<()>,
}

/// What is known of the host, and the buttons of those who may change it.
#[component]
fn Header(props: &HeaderProps) -> Html {
    let host = &props.host;
    let role = use_role();
    let editing = use_state(|| false);
    let deleting = use_state(|| false);
    let set = |state: &UseStateHandle<bool>, value: bool| {
        let state = state.clone();
        Callback::from(move |()| state.set(value))
    };
    let alerts = Address::new(
        Route::Host {
            host_id: host.host_id,
        },
        [("tab", "alerts".to_owned())],
    );
    let (edit, delete) = (set(&editing, true), set(&deleting, true));
    html! {
        <section class="host-head" data-status={status::name(host.status)}>
            <div class="host-title">
                <h1>{ &host.name }</h1>
                { status_mark(host.status) }
                if role >= Role::Operator && host.firing_alerts > 0 {
                    { link(alerts, "badge badge-firing", html! { <>{ icon(Glyph::Bell) }{ format::count(host.firing_alerts as usize, "alert") }{ " firing" }</> }) }
                }
                { label_chips(&labels::sorted(&host.labels)) }
                if role == Role::Admin {
                    <div class="host-actions">
                        <button type="button" class="button" onclick={move |_| edit.emit(())}>{ icon(Glyph::Pencil) }{ "Edit" }</button>
                        <button type="button" class="button" onclick={move |_| delete.emit(())}>{ icon(Glyph::Bin) }{ "Delete" }</button>
                    </div>
                }
            </div>
            if !host.stale_sections.is_empty() {
                <p class="notice" role="status">{ icon(Glyph::Warning) }<span>{ format!("Could not be read for too long: {}. What is shown of it is old.", host.stale_sections.join(", ")) }</span></p>
            }
            if role >= Role::Operator && !host.set_aside.is_empty() {
                <SetAside host={host.clone()} on_done={props.refresh.clone()} />
            }
            <dl class={classes!("card", "facts", props.is_brief.then_some("facts-brief"))}>{ facts(host) }</dl>
            if *editing { <EditHost host={host.clone()} on_close={set(&editing, false)} on_done={props.refresh.clone()} /> }
            if *deleting { { delete_host(host, set(&deleting, false)) } }
        </section>
    }
}

fn facts(host: &Host) -> Html {
    let known = |text: &str| {
        if text.is_empty() {
            format::NOTHING.to_owned()
        } else {
            text.to_owned()
        }
    };
    // Of a host that never reported nothing is known.
    let hardware = if host.cpu_count == 0 {
        format::NOTHING.to_owned()
    } else {
        format!(
            "{} × {}, {}",
            host.cpu_count,
            known(&host.architecture),
            format::bytes(host.memory_bytes as f64)
        )
    };
    html! {
        <>
            { fact("System", html! { known(&host.os) }) }
            { fact("Kernel", html! { known(&host.kernel) }) }
            { fact("Hardware", html! { hardware }) }
            { fact("Addresses", html! { <span title={host.addresses.join("\n")}>{ known(&host.addresses.join(", ")) }</span> }) }
            { fact("Uptime", html! { host.uptime_seconds.map_or_else(|| format::NOTHING.to_owned(), format::duration) }) }
            { fact("Collection", html! { <>{ format!("{}, every {}", collection::way(&host.collection), format::step(host.interval_seconds.into())) }<span class="muted">{ " · " }{ time_or(host.last_seen_at, "nothing yet") }</span></> }) }
            { fact("Agent", html! { <>{ known(&host.agent_version) }<span class="muted">{ if host.collection.is_pushed { " · enrolled " } else { " · added " } }{ time(Some(host.enrolled_at)) }</span></> }) }
            { fact("Configuration", html! { <>{ if host.snapshot_at.is_some() { "read " } else { "" } }{ time_or(host.snapshot_at, "not read yet") }</> }) }
        </>
    }
}

/// The layout with nothing in it yet.
fn skeleton() -> Html {
    html! {
        <>
            <div class="host-title"><span class="skeleton skeleton-title"></span></div>
            <div class="card facts">{ for (0..8).map(|_| html! { <div class="fact"><span class="skeleton"></span></div> }) }</div>
            <div class="charts">{ for (0..4).map(|_| html! { <div class="card chart-card"><div class="skeleton skeleton-chart"></div></div> }) }</div>
        </>
    }
}
