//! One alert: how it stands, its metric around it, what changed before it, who was told, who took it on.

use chrono::{DateTime, Utc};
use infra_watch_client::operations;
use infra_watch_client::types::{
    AcknowledgeAlert, Alert, AlertState, Change, ChangeSet, ConditionKind, Notification,
    NotificationState, NotificationTransition, Role,
};
use uuid::Uuid;
use yew::prelude::*;

use super::alert_chart::AlertChart;
use super::section::skeleton;
use crate::alert::{self, Band, began, lasted, span};
use crate::api::{ApiError, use_role};
use crate::components::alert::{notes, severity_mark, state_mark};
use crate::components::change::ChangeList;
use crate::components::fact::fact;
use crate::components::field::TextField;
use crate::components::fold::Fold;
use crate::components::form::{Action, form};
use crate::components::go::{Address, link};
use crate::components::time::{exact_time, time};
use crate::format::{self, Unit};
use crate::hooks::clock::{use_now, zone};
use crate::hooks::polled::use_polled;
use crate::hooks::submit::use_submit;
use crate::loaded::Shared;
use crate::range::Range;
use crate::route::Route;

/// How often the alert is asked for.
const ALERT_SECONDS: u32 = 10;
/// The end of the chart of what still fires moves in steps of so many seconds.
const STEP_SECONDS: i64 = 60;
/// What the chart of a silent host shows.
const SILENT_METRIC: &str = "cpu_usage_percent";

#[derive(PartialEq, Properties)]
pub struct AlertPageProps {
    /// The alert.
    pub alert_id: Uuid,
}

/// An alert and the bound for its being over.
struct Known {
    alert: Alert,
    clear_value: Option<f64>,
    changes: Vec<(ChangeSet, Shared<Vec<Change>>)>,
}

/// The header, the chart, then what is known beside.
#[component]
pub fn AlertPage(props: &AlertPageProps) -> Html {
    let role = use_role();
    let now = use_now();
    let known = use_polled(props.alert_id, Some(ALERT_SECONDS), |api, alert_id| {
        Box::pin(async move {
            let mut alert = api.ask(operations::get_alert(alert_id)).await?;
            // The rule may be gone.
            let rule = api
                .ask(operations::get_alert_rule(alert.rule_id))
                .await
                .ok();
            let sets = alert.changes_before.take().unwrap_or_default().into_iter();
            let apart = |mut set: ChangeSet| {
                let items = Shared::new(std::mem::take(&mut set.items));
                (set, items)
            };
            Ok(Known {
                clear_value: rule.and_then(|rule| rule.clear_value),
                changes: sets.map(apart).collect(),
                alert,
            })
        })
    });
    let refresh = known.retry.clone();
    html! {
        <>
            <nav class="crumbs" aria-label="Where this is">{ link(Route::Alerts, "", html! { "Alerts" }) }<span aria-hidden="true">{ "/" }</span></nav>
            { known.show(skeleton, |known| {
                let alert = &known.alert;
                html! {
                    <>
                        { header(alert, role, now) }
                        { chart(known, now) }
                        <div class="alert-columns">
                            <section class="card alert-part" aria-labelledby="before">
                                <h2 id="before">{ "Changed before" }</h2>
                                if known.changes.is_empty() { <p class="muted">{ "Nothing changed on the host in the 24 hours before." }</p> }
                                { for known.changes.iter().map(|(set, items)| before(set, items, alert)) }
                            </section>
                            <div>
                                { acknowledgement(alert, refresh) }
                                <section class="card alert-part" aria-labelledby="told">
                                    <h2 id="told">{ "Who was told" }</h2>
                                    { told(alert.notifications.as_deref().unwrap_or_default()) }
                                </section>
                            </div>
                        </div>
                    </>
                }
            }) }
        </>
    }
}

fn header(alert: &Alert, role: Role, now: DateTime<Utc>) -> Html {
    let host = Route::Host {
        host_id: alert.host_id,
    };
    let rule = Address::new(Route::AlertRules, [("edit", alert.rule_id.to_string())]);
    let silence = Address::new(
        Route::Silences,
        [
            ("new", "1h".to_owned()),
            ("host", alert.host_name.clone()),
            ("rule", alert.rule_id.to_string()),
        ],
    );
    let unit = Unit::parse(alert.unit.as_deref().unwrap_or_default());
    let value = |value: Option<f64>| unit.format_or_nothing(value);
    let is_admin = role == Role::Admin;
    let over = alert.end_reason.map_or("", alert::end);
    html! {
        <section class="host-head" data-state={alert.state.to_string()}>
            <div class="host-title">
                <h1>{ &alert.rule_name }</h1>
                { severity_mark(alert.severity) }{ state_mark(alert.state) }{ notes(alert) }
                if is_admin && alert.state != AlertState::Resolved {
                    <div class="host-actions">{ link(silence, "button", html! { "Silence this" }) }</div>
                }
            </div>
            <p class="alert-summary">{ link(host, "host-link", html! { &alert.host_name }) }{ ": " }{ &alert.summary }{ "." }</p>
            <dl class="card facts facts-whole">
                { fact("Rule", if is_admin { link(rule, "", html! { &alert.sentence }) } else { html! { &alert.sentence } }) }
                { fact("Began to hold", exact_time(Some(alert.pending_at), format::NOTHING)) }
                { fact("Began to fire", exact_time(alert.started_at, "not yet")) }
                if alert.ended_at.is_some() {
                    { fact("Over", html! { <>{ time(alert.ended_at) }{ ", " }{ over }</> }) }
                }
                { fact(if alert.ended_at.is_some() { "Lasted" } else { "Lasts" }, html! { lasted(alert, now) }) }
                if alert.value.is_some() && alert.unit.is_some() {
                    { fact("Value", html! { format!("{}, worst {}, latest {}", value(alert.value), value(alert.worst_value), value(alert.latest_value)) }) }
                }
            </dl>
        </section>
    }
}

/// The metric around the alert; of a silent host its load, of drift the way to what differs.
fn chart(known: &Known, now: DateTime<Utc>) -> Html {
    let alert = &known.alert;
    let host_id = alert.host_id;
    let condition = &alert.condition;
    if condition.kind == ConditionKind::Drift {
        let drift = Address::new(Route::Host { host_id }, [("tab", "drift".to_owned())]);
        return html! { <p class="card alert-part">{ link(drift, "", html! { "What differs from the baseline now, and what may be done about it" }) }</p> };
    }
    if condition.kind == ConditionKind::HostKey {
        let collection = Address::new(Route::Host { host_id }, [("tab", "collection".to_owned())]);
        return html! { <p class="card alert-part">{ link(collection, "", html! { "The key that is known, the one that is shown, and what may be done about it" }) }</p> };
    }
    let (from, to) = span(alert, now);
    let to = (to + STEP_SECONDS - 1) / STEP_SECONDS * STEP_SECONDS;
    let range = Range::between(from, to);
    let metric = condition.metric.clone();
    let value = metric.as_ref().and(condition.value);
    let words = range.words(now, zone(now));
    html! {
        <AlertChart {host_id} metric={metric.unwrap_or_else(|| SILENT_METRIC.to_owned())} instance={alert.instance.clone()}
            bounds={value.into_iter().chain(known.clear_value).collect::<Vec<_>>()} bands={Band::of(alert).into_iter().collect::<Vec<_>>()} {range} {words} />
    }
}

/// A change set before the alert, its items behind it.
fn before(set: &ChangeSet, items: &Shared<Vec<Change>>, alert: &Alert) -> Html {
    let seconds = (began(alert) - set.detected_at).num_seconds().max(0);
    let title = html! {
        <span class="before-line"><span class="before-time">{ format!("{} before", format::duration(seconds as f64)) }</span><span>{ &set.summary }</span></span>
    };
    let to = Address::new(
        Route::Host {
            host_id: set.host_id,
        },
        [
            ("tab", "changes".to_owned()),
            ("change", set.change_set_id.to_string()),
        ],
    );
    let changes = items.clone();
    let view = Callback::from(move |()| {
        html! { <><ChangeList changes={changes.clone()} /><p>{ link(to.clone(), "", html! { "Show the change" }) }</p></> }
    });
    html! { <Fold key={set.change_set_id.as_u128()} {title} {view} class="before" /> }
}

/// Notifications, newest first, with what became of them.
fn told(notifications: &[Notification]) -> Html {
    if notifications.is_empty() {
        return html! { <p class="muted">{ "Nobody: the rule has no channel, or a silence held." }</p> };
    }
    let line = |notification: &Notification| {
        let what = match notification.transition {
            NotificationTransition::Firing => "that it fires",
            NotificationTransition::Repeat => "that it still fires",
            NotificationTransition::Resolved => "that it is over",
        };
        let outcome = match notification.state {
            NotificationState::Waiting => "waits",
            NotificationState::Delivered => "delivered",
            NotificationState::HeldBack => "counted in a message about others",
            NotificationState::Failed => "given up",
        };
        let tries = (notification.attempts > 1).then(|| {
            format!(
                " after {}",
                format::count(notification.attempts as usize, "attempt")
            )
        });
        html! {
            <li class="told">
                <strong>{ &notification.channel_name }</strong>{ " " }{ what }{ ": " }{ outcome }{ for tries }
                <span class="muted">{ " · " }{ time(notification.ended_at.or(Some(notification.created_at))) }</span>
                if let Some(error) = &notification.error { <p class="field-error">{ error }</p> }
            </li>
        }
    };
    html! { <ul>{ for notifications.iter().map(line) }</ul> }
}

/// Who took the alert on, or the form to do so.
fn acknowledgement(alert: &Alert, on_done: Callback<()>) -> Html {
    let content = match &alert.acknowledgement {
        Some(known) => html! {
            <>
                <p><strong>{ &known.by }</strong>{ " · " }{ time(Some(known.at)) }</p>
                if !known.comment.is_empty() { <p class="alert-comment">{ &known.comment }</p> }
            </>
        },
        None if alert.state == AlertState::Resolved => {
            html! { <p class="muted">{ "Nobody took it on." }</p> }
        }
        None => html! { <Acknowledge alert_id={alert.alert_id} {on_done} /> },
    };
    html! { <section class="card alert-part" aria-labelledby="taken"><h2 id="taken">{ "Taken on" }</h2>{ content }</section> }
}

#[derive(PartialEq, Properties)]
struct AcknowledgeProps {
    alert_id: Uuid,
    on_done: Callback<()>,
}

/// Says that somebody knows.
#[component]
fn Acknowledge(props: &AcknowledgeProps) -> Html {
    let comment = use_state(String::new);
    let submit = use_submit();
    let on_submit = {
        let (comment, submit, on_done, alert_id) = (
            comment.clone(),
            submit.clone(),
            props.on_done.clone(),
            props.alert_id,
        );
        Callback::from(
            move |()| match ApiError::checked("comment", comment.trim()) {
                Err(error) => submit.refuse(error),
                Ok(comment) => {
                    let body = AcknowledgeAlert { comment };
                    let on_done = on_done.clone();
                    submit.send(operations::acknowledge_alert(alert_id, &body), move |_| {
                        on_done.emit(());
                    });
                }
            },
        )
    };
    let on_input = {
        let comment = comment.clone();
        Callback::from(move |text| comment.set(text))
    };
    html! {
            { form(Action::new("Take it on"), submit.is_busy(), submit.whole(&["comment"]), on_submit, None, html! {
    <>
                <TextField id="comment" label="Comment" value={(*comment).clone()} {on_input} error={submit.field("comment")} help="Nobody is told again until it is over." />
            </>
    }) }
        }
}
