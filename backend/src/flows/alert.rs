//! Alerts: the log with what fires and what is pending, one alert with all that is known of it, and taking one on.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Caller, FlowError, change, note};
use crate::app::App;
use crate::domain::alert::record::Acknowledgement;
use crate::domain::alert::rule::Severity;
use crate::domain::alert::{Alert, Phase, preceding};
use crate::domain::change::ChangeSet;
use crate::domain::host::Host;
use crate::domain::id;
use crate::domain::notification::{Message, Notice, NoticeState, Notified};
use crate::store::alert as log;

/// Change sets before an alert that are told.
const PRECEDING_CHANGE_SETS: usize = 50;
/// Longest that the log is searched, in seconds.
const QUERY_SECONDS: u64 = 5;

/// Which alerts.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// How they stand.
    pub phase: Option<Phase>,
    /// Of which host.
    pub host_id: Option<Uuid>,
    /// Of which rule.
    pub rule_id: Option<Uuid>,
    /// How bad.
    pub severity: Option<Severity>,
    /// Pending or firing at this moment or later.
    pub from: Option<DateTime<Utc>>,
    /// Pending or firing before this moment.
    pub to: Option<DateTime<Utc>>,
}

impl Filter {
    fn matches(&self, alert: &Alert) -> bool {
        self.phase.is_none_or(|phase| phase == alert.phase())
            && self.host_id.is_none_or(|host_id| host_id == alert.host_id)
            && self.rule_id.is_none_or(|rule_id| rule_id == alert.rule_id)
            && self
                .severity
                .is_none_or(|severity| severity == alert.severity)
            && self.to.is_none_or(|to| alert.pending_at < to)
            && self
                .from
                .is_none_or(|from| alert.ended_at.is_none_or(|ended_at| ended_at >= from))
    }
}

/// A place in the list: how the alert there stands, and its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    phase: Phase,
    alert_id: Uuid,
}

impl std::fmt::Display for Position {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}{}", rank(self.phase), self.alert_id)
    }
}

impl std::str::FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (rank_text, alert_id) = text.split_at_checked(1).ok_or(())?;
        let phase = [Phase::Firing, Phase::Pending, Phase::Resolved]
            .into_iter()
            .find(|phase| rank(*phase).to_string() == rank_text);
        Ok(Self {
            phase: phase.ok_or(())?,
            alert_id: alert_id.parse().map_err(|_| ())?,
        })
    }
}

impl Position {
    /// Where an alert stands.
    pub fn of(alert: &Alert) -> Self {
        Self {
            phase: alert.phase(),
            alert_id: alert.alert_id,
        }
    }

    /// Whether an alert comes later: what fires first, then what is pending, then the log; the newest first in each.
    fn is_before(self, alert: &Alert) -> bool {
        let (own, other) = (rank(self.phase), rank(alert.phase()));
        own < other || own == other && alert.alert_id < self.alert_id
    }
}

fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Firing => 0,
        Phase::Pending => 1,
        Phase::Resolved => 2,
    }
}

/// At most `limit` alerts after a place in the list.
///
/// # Errors
/// The store's.
pub async fn list(
    app: &App,
    filter: &Filter,
    after: Option<Position>,
    limit: usize,
) -> Result<Vec<Alert>, FlowError> {
    let is_wanted = |alert: &Alert| {
        filter.matches(alert) && after.is_none_or(|position| position.is_before(alert))
    };
    let mut found: Vec<Alert> = active(app).filter(|alert| is_wanted(alert)).collect();
    // One that begins to fire at this moment may be in both.
    let mut known = HashSet::new();
    found.retain(|alert| known.insert(alert.alert_id));
    found.sort_by_key(|alert| (rank(alert.phase()), std::cmp::Reverse(alert.alert_id)));
    found.truncate(limit);
    if filter.phase.is_some_and(|phase| phase != Phase::Resolved) || found.len() == limit {
        return Ok(found);
    }
    let host = filter
        .host_id
        .map(|host_id| app.store.state.hosts.get(host_id));
    let host_number = match host {
        Some(None) => return Ok(found),
        Some(Some(host)) => Some(host.number),
        None => None,
    };
    let end = filter.to.map_or(Uuid::max(), id::lowest);
    let end = after
        .filter(|position| position.phase == Phase::Resolved)
        .map_or(end, |position| end.min(position.alert_id));
    let started = Instant::now();
    let mut is_late = false;
    log::visit(app.store.kv.as_ref(), host_number, end, |alert| {
        if is_wanted(&alert) && known.insert(alert.alert_id) {
            found.push(alert);
        }
        is_late = started.elapsed() > Duration::from_secs(QUERY_SECONDS);
        if found.len() < limit && !is_late {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })
    .await?;
    if is_late {
        return Err(FlowError::QueryTimeout(QUERY_SECONDS));
    }
    Ok(found)
}

/// What fires and what is pending, with the values of now.
fn active(app: &App) -> impl Iterator<Item = Alert> {
    let view = app.alerts.view();
    let firing = app.store.state.active_alerts.all();
    let pending = view.pending.clone();
    firing
        .into_iter()
        .map(move |alert| view.with_values(&alert))
        .chain(pending)
}

/// All that is known of an alert.
#[derive(Debug)]
pub struct Details {
    /// The alert.
    pub alert: Alert,
    /// Who was told, newest first.
    pub notified: Vec<Notified>,
    /// Its host, unless that was removed.
    pub host: Option<Arc<Host>>,
    /// What changed on the host before, in the order in which somebody should look at it.
    pub changes_before: Vec<ChangeSet>,
}

/// One alert.
///
/// # Errors
/// [`FlowError::NotFound`], and the store's.
pub async fn one(app: &App, alert_id: Uuid) -> Result<Details, FlowError> {
    let alert = match active(app).find(|alert| alert.alert_id == alert_id) {
        Some(alert) => alert,
        None => log::get(app.store.kv.as_ref(), alert_id)
            .await?
            .ok_or(FlowError::NotFound("alert"))?,
    };
    let host = app.store.state.hosts.get(alert.host_id);
    let changes_before = match &host {
        Some(host) => changes_before(app, host, &alert).await?,
        None => Vec::new(),
    };
    Ok(Details {
        notified: notified(app, alert_id).await?,
        alert,
        host,
        changes_before,
    })
}

/// An alert that fires or is in the log, with its host.
///
/// # Errors
/// The store's.
pub async fn find(app: &App, alert_id: Uuid) -> Result<Option<(Alert, Arc<Host>)>, FlowError> {
    let alert = match app.store.state.active_alerts.get(alert_id) {
        Some(alert) => Some((*alert).clone()),
        None => log::get(app.store.kv.as_ref(), alert_id).await?,
    };
    let found = alert.and_then(|alert| {
        let host = app.store.state.hosts.get(alert.host_id)?;
        Some((alert, host))
    });
    Ok(found)
}

/// What changed on a host in the day before an alert began, in the order in which somebody should look at it.
///
/// # Errors
/// The store's.
pub async fn changes_before(
    app: &App,
    host: &Arc<Host>,
    alert: &Alert,
) -> Result<Vec<ChangeSet>, FlowError> {
    // A snapshot may show what happened before a sample a little later than that.
    let end = alert.started_at.unwrap_or(alert.pending_at);
    let filter = change::Filter {
        from: Some(alert.pending_at - preceding::PRECEDING),
        to: Some(end + chrono::TimeDelta::seconds(1)),
        ..change::Filter::default()
    };
    let page = change::of_host(app, host, &filter, None, PRECEDING_CHANGE_SETS).await?;
    let mut change_sets: Vec<ChangeSet> = page
        .items
        .into_iter()
        .map(|found| found.change_set)
        .collect();
    preceding::rank(&mut change_sets, alert.pending_at);
    Ok(change_sets)
}

/// Who was told, newest first, and who is to be told.
async fn notified(app: &App, alert_id: Uuid) -> Result<Vec<Notified>, FlowError> {
    let state = &app.store.state;
    let name = |channel_id| {
        let channel = state.channels.get(channel_id);
        channel.map_or_else(String::new, |channel| channel.name.clone())
    };
    let waiting = |notice: &Notice, message: Option<&Message>| Notified {
        notice_id: notice.notice_id,
        alert_id,
        channel_id: notice.channel_id,
        channel_name: name(notice.channel_id),
        transition: notice.transition,
        state: NoticeState::Waiting,
        created_at: notice.created_at,
        ended_at: None,
        attempts: message.map_or(0, |message| message.attempts),
        error: message.and_then(|message| message.last_error.clone()),
    };
    // What waits first: what is delivered meanwhile is in the log then, and counts.
    let mut notified = Vec::new();
    for notice in state.notices.all() {
        if notice.told.alert_id == alert_id {
            notified.push(waiting(&notice, None));
        }
    }
    for message in state.messages.all() {
        let own = message
            .notices
            .iter()
            .filter(|notice| notice.told.alert_id == alert_id);
        notified.extend(own.map(|notice| waiting(notice, Some(&message))));
    }
    let logged = log::notified(app.store.kv.as_ref(), alert_id).await?;
    notified.retain(|waiting| {
        logged
            .iter()
            .all(|done| done.notice_id != waiting.notice_id)
    });
    notified.extend(logged);
    notified.sort_by_key(|notified| std::cmp::Reverse(notified.created_at));
    Ok(notified)
}

/// Takes an alert on: nobody is told of it again until it is over.
///
/// # Errors
/// [`FlowError::NotFound`], and [`FlowError::Conflict`] for one that does not fire, or was taken on by somebody else.
pub async fn acknowledge(
    app: &App,
    caller: &Caller,
    alert_id: Uuid,
    comment: String,
) -> Result<(), FlowError> {
    let now = app.clock.now();
    if app.store.state.active_alerts.get(alert_id).is_none() {
        one(app, alert_id).await?;
        return Err(FlowError::Conflict("the alert does not fire"));
    }
    app.store
        .state
        .change(|change| {
            let alert = change.state.active_alerts.get(alert_id);
            let alert = alert.ok_or(FlowError::Conflict("the alert does not fire"))?;
            if alert.acknowledgement.is_some() {
                return Err(FlowError::Conflict("the alert was acknowledged before"));
            }
            let actor = caller.actor();
            let by = actor.name.clone();
            let what = format!("{} on {}", alert.rule_name, alert.host_name);
            note(
                change,
                now,
                actor,
                "alert.acknowledge",
                Some(alert_id),
                &what,
            );
            change.put(Alert {
                acknowledgement: Some(Acknowledgement {
                    by,
                    at: now,
                    comment,
                }),
                ..(*alert).clone()
            });
            Ok(())
        })
        .await
}
