//! Evaluating alerts: the engine looks at every place, and what begins, goes on or is over is kept and told.
//!
//! What fires and what is to be told of it become durable together; the engine follows only then. What it knows beside
//! that comes from stored samples, so that a restart loses nothing.

mod board;
mod engine;
mod history;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

pub use self::board::{AlertBoard, Figures, Values, View};
pub use self::engine::series_of;
use self::engine::{Engine, Sweep};
pub use self::history::history;
use super::{FlowError, deliver};
use crate::app::App;
use crate::domain::alert::rule::AlertRule;
use crate::domain::alert::{Alert, EndReason};
use crate::domain::notification::Transition;
use crate::store::state::{Change, State};
use crate::store::{alert as log, fault};

/// Evaluates every rule at every host, and says how many alerts began or were over.
///
/// # Errors
/// The store's. What could not be kept comes again with the next evaluation.
pub async fn evaluate(app: &Arc<App>) -> Result<usize, FlowError> {
    let mut place = app.alerts.engine.lock().await;
    let now = app.clock.now();
    let started = Instant::now();
    // A sweep that panics leaves an engine that knows nothing, and learns all again from what is stored.
    let mut engine = std::mem::take(&mut *place);
    let swept = {
        let app = Arc::clone(app);
        tokio::task::spawn_blocking(move || {
            let sweep = engine.sweep(&app, now);
            (engine, sweep)
        })
    };
    let (mut engine, mut sweep) = swept.await.map_err(|_| FlowError::Busy)?;
    fault::point("evaluate.before");
    let kept = keep(app, &sweep, now).await;
    fault::point("evaluate.kept");
    if kept.is_ok() {
        engine.settle(&sweep, now);
    }
    engine.end(app.clock.now());
    *place = engine;
    sweep.figures.seconds = started.elapsed().as_secs_f64();
    // An evaluation that could not be kept is none: signs of life must not hide it.
    sweep.figures.at = match kept {
        Ok(()) => now.timestamp(),
        Err(_) => app.alerts.figures().at,
    };
    let events = sweep.fired.len() + sweep.ended.len();
    let failure = sweep.failure.take();
    app.alerts.show(sweep.view, sweep.figures);
    kept?;
    match failure {
        Some(error) => Err(error),
        None => Ok(events),
    }
}

/// Writes down what a sweep found, and what is to be told.
async fn keep(app: &App, sweep: &Sweep, now: DateTime<Utc>) -> Result<(), FlowError> {
    let said = app
        .store
        .state
        .change(|change| {
            let mut said = Vec::new();
            for ended in &sweep.ended {
                said.extend(end(change, ended, now)?);
            }
            for fired in &sweep.fired {
                if change.state.hosts.get(fired.alert.host_id).is_none() {
                    // It was removed a moment ago, and the next evaluation knows.
                    continue;
                }
                let mut alert = fired.alert.clone();
                tell_if_due(change, &mut alert, now);
                change.put(alert.clone());
                said.push(alert);
            }
            let ended: HashSet<Uuid> = sweep.ended.iter().map(|ended| ended.alert_id).collect();
            for alert in change.state.active_alerts.all() {
                if !ended.contains(&alert.alert_id) {
                    go_on(change, &alert, now);
                }
            }
            Ok::<_, FlowError>(said)
        })
        .await?;
    for alert in said {
        log_transition(app, &alert);
    }
    Ok(())
}

/// Ends an alert: it goes into the log, and who was told of it is told.
fn end(
    change: &mut Change<'_>,
    ended: &engine::Ended,
    now: DateTime<Utc>,
) -> Result<Option<Alert>, FlowError> {
    let Some(alert) = change.state.active_alerts.get(ended.alert_id) else {
        return Ok(None);
    };
    let mut alert = (*alert).clone();
    alert.worst_value = ended.values.worst.or(alert.worst_value);
    alert.last_value = ended.values.latest;
    alert.end(ended.reason, now);
    for channel_id in &alert.telling.channels {
        deliver::tell(change, &alert, *channel_id, Transition::Resolved, now);
    }
    if change.state.hosts.get(alert.host_id).is_none() {
        // Nothing is kept of a deleted host.
        change.delete::<Alert>(alert.alert_id);
    } else {
        log::end(change, &alert)?;
    }
    Ok(Some(alert))
}

/// Writes down an alert that goes on firing only if it follows its rule, or somebody is to be told.
fn go_on(change: &mut Change<'_>, alert: &Alert, now: DateTime<Utc>) {
    let Some(rule) = change.state.alert_rules.get(alert.rule_id) else {
        return;
    };
    let follows = alert.rule_name != rule.name || alert.severity != rule.severity;
    if !follows && due(change.state, &rule, alert, now).is_none() {
        return;
    }
    let mut alert = alert.clone();
    alert.follow(&rule);
    tell_if_due(change, &mut alert, now);
    change.put(alert);
}

/// What the channels of a rule are to be told of an alert that fires: that it does, once no silence covers it, and
/// again after the rule's interval, until somebody acknowledges it.
fn due(state: &State, rule: &AlertRule, alert: &Alert, now: DateTime<Utc>) -> Option<Transition> {
    if rule.channels.is_empty() || alert.acknowledgement.is_some() {
        return None;
    }
    let transition = match (alert.telling.last_at, rule.repeat_interval_seconds) {
        (None, _) => Transition::Firing,
        (Some(last_at), Some(seconds)) if now - last_at >= TimeDelta::seconds(seconds.into()) => {
            Transition::Repeat(alert.telling.repeats + 1)
        }
        (Some(_), _) => return None,
    };
    let host = state.hosts.get(alert.host_id)?;
    let is_silenced = state
        .silences
        .find(|silence| silence.covers(alert.rule_id, &host, now))
        .is_some();
    (!is_silenced).then_some(transition)
}

fn tell_if_due(change: &mut Change<'_>, alert: &mut Alert, now: DateTime<Utc>) {
    let Some(rule) = change.state.alert_rules.get(alert.rule_id) else {
        return;
    };
    let Some(transition) = due(change.state, &rule, alert, now) else {
        return;
    };
    for channel_id in &rule.channels {
        let is_repeat = matches!(transition, Transition::Repeat(_));
        if is_repeat && deliver::is_waiting(change.state, alert.alert_id, *channel_id) {
            // Who has not been told yet need not be told again.
            continue;
        }
        deliver::tell(change, alert, *channel_id, transition, now);
        if !alert.telling.channels.contains(channel_id) {
            alert.telling.channels.push(*channel_id);
        }
    }
    alert.telling.last_at = Some(now);
    if let Transition::Repeat(count) = transition {
        alert.telling.repeats = count;
    }
}

fn log_transition(app: &App, alert: &Alert) {
    let (transition, message) = match alert.end_reason {
        None => ("firing", "alert fires"),
        Some(_) => ("resolved", "alert is over"),
    };
    app.metrics
        .alert_transitions
        .with_label_values(&[transition])
        .inc();
    tracing::info!(
        alert_id = %alert.alert_id,
        rule = alert.rule_name,
        severity = alert.severity.as_str(),
        host = alert.host_name,
        host_id = %alert.host_id,
        instance = alert.instance,
        value = alert.last_value.or(alert.value),
        reason = alert.end_reason.map(EndReason::words),
        "{message}"
    );
}
