//! The log of alerts: what fires, what is pending, and what is over.

use infra_watch_client::operations;
use infra_watch_client::types::{Alert, AlertState, Severity};
use uuid::Uuid;
use yew::prelude::*;

use super::section::{SectionPage, skeleton};
use crate::alert::{began, lasted};
use crate::api::PAGE_ITEMS;
use crate::components::alert::{notes, severity_mark, state_mark};
use crate::components::empty::empty;
use crate::components::filters::{Filter, filters};
use crate::components::go::{Address, link};
use crate::components::icon::Glyph;
use crate::components::time::time;
use crate::hooks::clock::{self, use_now};
use crate::hooks::paged::use_paged;
use crate::hooks::polled::use_polled;
use crate::hooks::query::use_query;
use crate::route::Route;

/// How often the log is asked for.
const LOG_SECONDS: u32 = 10;
/// Alerts of a page.
const LINES: u64 = 50;
/// A span begins at a multiple of this, so that all pages of a list are of the same one.
const ROUND_SECONDS: i64 = 300;
/// Spans: what stands in the address, words, seconds; the first holds without.
const SPANS: [(&str, &str, i64); 4] = [
    ("", "any time", 0),
    ("24h", "last 24 hours", 86_400),
    ("7d", "last 7 days", 7 * 86_400),
    ("30d", "last 30 days", 30 * 86_400),
];
/// What narrows the log down.
const NAMES: [&str; 5] = ["state", "severity", "rule", "host", "range"];

/// The log of all hosts.
pub fn alerts() -> Html {
    html! {
        <SectionPage route={Route::Alerts} about="What fires and what is pending, then what is over, newest first.">
            <AlertLog />
        </SectionPage>
    }
}

#[derive(PartialEq, Properties)]
pub struct AlertLogProps {
    /// Only alerts of this host.
    #[prop_or_default]
    pub host_id: Option<Uuid>,
}

/// Identifiers and names to choose from.
type Choices = Vec<(AttrValue, AttrValue)>;

/// The filters, then the alerts.
#[component]
pub fn AlertLog(props: &AlertLogProps) -> Html {
    let query = use_query();
    let now = use_now();
    let host_id = props.host_id;
    let known = use_polled(host_id, None, |api, host_id| {
        let rules = api.all(|cursor| {
            operations::list_alert_rules()
                .limit(PAGE_ITEMS)
                .cursor(cursor)
        });
        let hosts = api.all(|cursor| operations::list_hosts().limit(PAGE_ITEMS).cursor(cursor));
        Box::pin(async move {
            let choice = |id: Uuid, name: String| (id.to_string().into(), name.into());
            let rules = rules
                .await?
                .into_iter()
                .map(|rule| choice(rule.rule_id, rule.name));
            let rules: Choices = rules.collect();
            let mut names = Choices::new();
            if host_id.is_none() {
                names.extend(
                    hosts
                        .await?
                        .into_iter()
                        .map(|host| choice(host.host_id, host.name)),
                );
            }
            Ok((rules, names))
        })
    });
    let id = |name| query.get(name)?.parse::<Uuid>().ok();
    let state = query
        .get("state")
        .and_then(|state| state.parse::<AlertState>().ok());
    let severity = query
        .get("severity")
        .and_then(|name| name.parse::<Severity>().ok());
    let range = query.get("range");
    let span = SPANS.iter().skip(1).find(|(name, ..)| Some(*name) == range);
    let span = span.map(|(.., seconds)| *seconds);
    let key = (
        host_id.or_else(|| id("host")),
        id("rule"),
        state,
        severity,
        span,
    );
    let log = use_paged(
        key,
        Some(LOG_SECONDS),
        |(host_id, rule_id, state, severity, span), cursor| {
            let now = clock::read().timestamp() / ROUND_SECONDS * ROUND_SECONDS;
            operations::list_alerts()
                .host_id(*host_id)
                .rule_id(*rule_id)
                .state(*state)
                .severity(*severity)
                .from(span.map(|span| (now - span).to_string()).as_deref())
                .limit(LINES)
                .cursor(cursor)
        },
    );
    let choices = |name, label, all: &'static str, known: Option<&Choices>| {
        let first = (AttrValue::from(""), AttrValue::from(all));
        let others = known.into_iter().flatten().cloned();
        Filter::choice(name, label, std::iter::once(first).chain(others))
    };
    let lists = known.data();
    let mut fields = vec![
        Filter::choice(
            "state",
            "State",
            [
                ("", "all states"),
                ("firing", "firing"),
                ("pending", "pending"),
                ("resolved", "resolved"),
            ],
        ),
        Filter::choice(
            "severity",
            "Severity",
            [
                ("", "both"),
                ("critical", "critical"),
                ("warning", "warning"),
            ],
        ),
        choices("rule", "Rule", "all rules", lists.map(|lists| &lists.0)),
        choices("host", "Host", "all hosts", lists.map(|lists| &lists.1)),
        Filter::choice("range", "When", SPANS.map(|(name, words, _)| (name, words))),
    ];
    if host_id.is_some() {
        fields.remove(3);
    }
    let row = |alert: &Alert| {
        let to = Route::Alert {
            alert_id: alert.alert_id,
        };
        let host = Route::Host {
            host_id: alert.host_id,
        };
        html! {
            <tr key={alert.alert_id.as_u128()} data-alert={alert.rule_name.clone()} data-state={alert.state.to_string()}>
                <td class="cell-severity">{ severity_mark(alert.severity) }</td>
                <th scope="row" class="rule-sentence">{ link(to, "host-link", html! { &alert.rule_name }) }<p class="meaning">{ &alert.summary }</p></th>
                if host_id.is_none() {
                    <td data-label="Host">{ link(host, "", html! { &alert.host_name }) }if let Some(instance) = &alert.instance { <span class="muted">{ " " }{ instance }</span> }</td>
                }
                <td data-label="Since" class="nowrap">{ time(Some(began(alert))) }</td>
                <td data-label="For" class="nowrap">{ lasted(alert, now) }</td>
                <td class="cell-state"><span class="cell-notes">{ state_mark(alert.state) }{ notes(alert) }</span></td>
            </tr>
        }
    };
    html! {
        <section aria-label="Alerts">
            <div class="filters-row">{ filters(&query, &fields, Html::default()) }</div>
            { log.list.show(skeleton, |pages| if pages.items.is_empty() {
                let is_narrow = NAMES.iter().any(|name| query.get(name).is_some());
                nothing(is_narrow, state)
            } else {
                html! {
                    <div class="card table-card">
                        <table class="table alerts">
                            <caption class="visually-hidden">{ "Alerts" }</caption>
                            <thead><tr>
                                <th scope="col">{ "Severity" }</th><th scope="col">{ "Alert" }</th>
                                if host_id.is_none() { <th scope="col">{ "Host" }</th> }
                                <th scope="col">{ "Since" }</th><th scope="col">{ "For" }</th><th scope="col">{ "State" }</th>
                            </tr></thead>
                            <tbody>{ for pages.items.iter().map(row) }</tbody>
                        </table>
                    </div>
                }
            }) }
            { log.more() }
        </section>
    }
}

fn nothing(is_narrow: bool, state: Option<AlertState>) -> Html {
    let title = match (is_narrow, state) {
        (_, Some(AlertState::Firing)) => "No alert fires.",
        (true, _) => "No alert is like that.",
        (false, _) => "No alert fires, and none ever did.",
    };
    let next = html! {
        <>
            <p class="muted">{ "The rules say when one does." }</p>
            { link(Route::AlertRules, "button", html! { "Rules" }) }
        </>
    };
    html! { <div class="card">{ empty(Glyph::Bell, title, next) }</div> }
}

/// The log of what fires.
pub fn firing() -> Address {
    Address::new(Route::Alerts, [("state", "firing".to_owned())])
}
