//! Telling people: notices that became durable with their alerts are put together into messages, and messages are sent
//! until they arrive or a day has passed. A message is written down before its first attempt, so that each attempt, also
//! after a crash, has the same content and key.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{FlowError, alert, sha256_hex};
use crate::app::App;
use crate::domain::alert::Alert;
use crate::domain::change::{ChangeSet, cut};
use crate::domain::id;
use crate::domain::notification::{
    Channel, ChannelKind, Content, Message, Notice, NoticeState, Notified, Preceding, Transition,
};
use crate::store::state::{Change, State};
use crate::store::{alert as log, fault};

/// A first notice waits so long for others to go with it.
const GROUP_WAIT: TimeDelta = TimeDelta::seconds(30);
/// Messages that one channel gets in an hour at most; what comes up beyond waits, and then goes in one message.
const MESSAGES_PER_HOUR: usize = 60;
/// Alerts that a message names; further ones are counted.
const ALERTS_OF_MESSAGE: usize = 100;
/// Alerts of which a message tells what changed before.
const PRECEDING_ALERTS: usize = 20;
/// Change sets that it tells of each of them.
const PRECEDING_CHANGE_SETS: usize = 5;
/// Items that it tells of each change set.
const PRECEDING_ITEMS: usize = 20;
/// Without an evaluation for so long there is no sign of life: what matters does not work.
const ALIVE: TimeDelta = TimeDelta::seconds(60);

/// What deliveries remember of each channel; a restart may forget it.
#[derive(Default)]
pub struct Deliveries {
    channels: Mutex<HashMap<Uuid, Remembered>>,
}

#[derive(Default)]
struct Remembered {
    /// When messages were put together in the last hour.
    formed_at: VecDeque<DateTime<Utc>>,
    /// When the last sign of life was sent.
    heartbeat_at: Option<DateTime<Utc>>,
}

impl Deliveries {
    fn may_form(&self, channel_id: Uuid, now: DateTime<Utc>) -> bool {
        let mut channels = self.channels.lock();
        let formed_at = &mut channels.entry(channel_id).or_default().formed_at;
        // One in the future was before the clock was set back.
        while formed_at
            .front()
            .is_some_and(|at| now - *at >= TimeDelta::hours(1) || *at > now)
        {
            formed_at.pop_front();
        }
        formed_at.len() < MESSAGES_PER_HOUR
    }

    fn formed(&self, channel_id: Uuid, now: DateTime<Utc>) {
        let mut channels = self.channels.lock();
        let remembered = channels.entry(channel_id).or_default();
        remembered.formed_at.push_back(now);
    }

    /// Whether a sign of life is due; it then counts as sent.
    fn take_heartbeat(&self, channel_id: Uuid, every_seconds: u32, now: DateTime<Utc>) -> bool {
        let mut channels = self.channels.lock();
        let last = &mut channels.entry(channel_id).or_default().heartbeat_at;
        let every = TimeDelta::seconds(every_seconds.into());
        let is_due = last.is_none_or(|last| now - last >= every || last > now);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

/// Adds to a change that a channel is to be told of a transition of an alert. Said again it is the same notice.
pub fn tell(
    change: &mut Change<'_>,
    alert: &Alert,
    channel_id: Uuid,
    transition: Transition,
    now: DateTime<Utc>,
) {
    if change.state.channels.get(channel_id).is_none() {
        return;
    }
    change.put(Notice {
        notice_id: notice_id(alert.alert_id, channel_id, transition),
        channel_id,
        transition,
        created_at: now,
        told: alert.told(),
    });
}

/// Whether a channel is still to be told of an alert.
pub fn is_waiting(state: &State, alert_id: Uuid, channel_id: Uuid) -> bool {
    let is_it =
        |notice: &Notice| notice.told.alert_id == alert_id && notice.channel_id == channel_id;
    let is_under_way = |message: &Message| message.notices.iter().any(is_it);
    state.notices.find(is_it).is_some() || state.messages.find(is_under_way).is_some()
}

/// The id of what a channel is told of a transition of an alert: made of these alone.
fn notice_id(alert_id: Uuid, channel_id: Uuid, transition: Transition) -> Uuid {
    let text = format!("{alert_id}/{channel_id}/{}", transition.key());
    let hash = sha256_hex(&text);
    let number = hash
        .get(..32)
        .and_then(|hash| u128::from_str_radix(hash, 16).ok());
    uuid::Builder::from_custom_bytes(number.unwrap_or_default().to_be_bytes()).into_uuid()
}

/// Puts messages together and sends those that are due; with `hurry`, also what waits for others or for its next attempt.
/// Returns how many arrived.
///
/// # Errors
/// The store's.
pub async fn deliver(app: &Arc<App>, hurry: bool) -> Result<usize, FlowError> {
    let now = app.clock.now();
    form(app, now, hurry).await?;
    fault::point("deliver.formed");
    let mut sending = JoinSet::new();
    for message in app.store.state.messages.all() {
        if message.is_due(now) || hurry {
            let app = Arc::clone(app);
            sending.spawn(async move { attempt(&app, &message).await });
        }
    }
    send_heartbeats(app, now, &mut sending);
    let mut arrived = 0;
    let mut failure = None;
    while let Some(done) = sending.join_next().await {
        match done {
            Ok(Ok(true)) => arrived += 1,
            Ok(Ok(false)) => {}
            Ok(Err(error)) => failure = Some(error),
            Err(error) => tracing::error!(%error, "delivering a message"),
        }
    }
    failure.map_or(Ok(arrived), Err)
}

/// The notices of each channel that may get a message now.
fn ready(
    app: &App,
    state: &State,
    now: DateTime<Utc>,
    hurry: bool,
) -> Vec<(Uuid, Vec<Arc<Notice>>)> {
    let mut by_channel: HashMap<Uuid, Vec<Arc<Notice>>> = HashMap::new();
    for notice in state.notices.all() {
        let notices = by_channel.entry(notice.channel_id).or_default();
        notices.push(notice);
    }
    let is_young =
        |notice: &Arc<Notice>| notice.created_at <= now && now - notice.created_at < GROUP_WAIT;
    by_channel.retain(|channel_id, notices| {
        let is_busy = |message: &Message| message.channel_id == *channel_id;
        (hurry || !notices.iter().all(is_young))
            && state.messages.find(is_busy).is_none()
            && app.deliveries.may_form(*channel_id, now)
    });
    by_channel.into_iter().collect()
}

/// Puts the notices of each channel that has no message under way into one.
async fn form(app: &App, now: DateTime<Utc>, hurry: bool) -> Result<(), FlowError> {
    let state = &app.store.state;
    let mut preceding = HashMap::new();
    for (_, notices) in ready(app, state, now, hurry) {
        for notice in chosen(notices).named.iter().take(PRECEDING_ALERTS) {
            let alert_id = notice.told.alert_id;
            if let Entry::Vacant(entry) = preceding.entry(alert_id) {
                entry.insert(changes_before(app, alert_id).await);
            }
        }
    }
    if preceding.is_empty() {
        return Ok(());
    }
    let formed = state
        .change(|change| {
            let mut formed = Vec::new();
            for (channel_id, notices) in ready(app, change.state, now, hurry) {
                put_together(change, channel_id, notices, &preceding, now)?;
                formed.push(channel_id);
            }
            Ok::<_, FlowError>(formed)
        })
        .await?;
    for channel_id in formed {
        app.deliveries.formed(channel_id, now);
    }
    Ok(())
}

/// What of the notices of a channel goes into its next message.
struct Chosen {
    /// Notices that are named, the worst alerts first, each with what came before it.
    named: Vec<Arc<Notice>>,
    /// Notices of alerts that fire, which are only counted.
    held_back: Vec<Arc<Notice>>,
}

/// Chooses what a message names: of each alert all there is. Ends that it has no room for wait for the next message, as
/// who was told of a beginning must be told of the end.
fn chosen(notices: Vec<Arc<Notice>>) -> Chosen {
    let mut by_alert: HashMap<Uuid, Vec<Arc<Notice>>> = HashMap::new();
    for notice in notices {
        let of_alert = by_alert.entry(notice.told.alert_id).or_default();
        of_alert.push(notice);
    }
    let mut alerts: Vec<Vec<Arc<Notice>>> = by_alert.into_values().collect();
    for of_alert in &mut alerts {
        of_alert.sort_by_key(|notice| (notice.transition, notice.created_at));
    }
    let is_over = |of_alert: &[Arc<Notice>]| {
        let last = of_alert.last();
        last.is_some_and(|last| last.transition == Transition::Resolved)
    };
    alerts.sort_by_key(|of_alert| {
        let first = of_alert.first();
        let told = first.map(|notice| (Reverse(notice.told.severity), notice.created_at));
        (
            is_over(of_alert),
            told,
            first.map(|notice| notice.notice_id),
        )
    });
    let rest = alerts.split_off(alerts.len().min(ALERTS_OF_MESSAGE));
    Chosen {
        named: alerts.into_iter().flatten().collect(),
        held_back: rest
            .into_iter()
            .filter(|of_alert| !is_over(of_alert))
            .flatten()
            .collect(),
    }
}

/// Makes one message of the notices of a channel.
fn put_together(
    change: &mut Change<'_>,
    channel_id: Uuid,
    notices: Vec<Arc<Notice>>,
    preceding: &HashMap<Uuid, Vec<ChangeSet>>,
    now: DateTime<Utc>,
) -> Result<(), FlowError> {
    let Chosen { named, held_back } = chosen(notices);
    for notice in named.iter().chain(&held_back) {
        change.delete::<Notice>(notice.notice_id);
    }
    let mut told: Vec<Preceding> = Vec::new();
    for notice in &named {
        let alert_id = notice.told.alert_id;
        let change_sets = preceding.get(&alert_id).filter(|sets| !sets.is_empty());
        if let Some(change_sets) = change_sets
            && told.len() < PRECEDING_ALERTS
            && told.iter().all(|known| known.alert_id != alert_id)
        {
            told.push(Preceding {
                alert_id,
                change_sets: change_sets.clone(),
            });
        }
    }
    let message = Message {
        message_id: id::new(now),
        channel_id,
        key: key(&named),
        formed_at: now,
        notices: named.iter().map(|notice| (**notice).clone()).collect(),
        held_back: held_back.len() as u64,
        preceding: told,
        attempts: 0,
        next_at: now,
        last_error: None,
    };
    let channel = change.state.channels.get(channel_id);
    let name = channel.map_or_else(String::new, |channel| channel.name.clone());
    for notice in held_back {
        let state = NoticeState::HeldBack;
        log::note(change, &noted(&notice, &message, &name, state, now))?;
    }
    change.put(message);
    Ok(())
}

/// The key of a message: of the alerts, the channel and the transitions in it.
fn key(notices: &[Arc<Notice>]) -> String {
    match notices {
        [notice] => notice.notice_id.to_string(),
        notices => {
            let mut ids: Vec<String> = notices
                .iter()
                .map(|notice| notice.notice_id.to_string())
                .collect();
            ids.sort_unstable();
            sha256_hex(&ids.join(",")).split_off(32)
        }
    }
}

fn noted(
    notice: &Notice,
    message: &Message,
    channel_name: &str,
    state: NoticeState,
    now: DateTime<Utc>,
) -> Notified {
    Notified {
        notice_id: notice.notice_id,
        alert_id: notice.told.alert_id,
        channel_id: notice.channel_id,
        channel_name: channel_name.to_owned(),
        transition: notice.transition,
        state,
        created_at: notice.created_at,
        ended_at: Some(now),
        attempts: message.attempts,
        error: message.last_error.clone(),
    }
}

/// Tries to deliver a message once, and writes down what became of it; says whether it arrived.
async fn attempt(app: &App, message: &Message) -> Result<bool, FlowError> {
    let Some(channel) = app.store.state.channels.get(message.channel_id) else {
        return Ok(false);
    };
    let content = Content::Notices {
        preceding: message.preceding.clone(),
        notices: message.notices.clone(),
        held_back: message.held_back,
    };
    let now = app.clock.now();
    let sent = app
        .notifiers
        .send(&channel, &message.key, &content, now)
        .await;
    fault::point("deliver.sent");
    let error = sent.err().map(|error| error.to_string());
    let now = app.clock.now();
    let is_over = app
        .store
        .state
        .change(|change| {
            // The channel may have been removed meanwhile, and the message with it.
            let Some(known) = change.state.messages.get(message.message_id) else {
                return Ok(true);
            };
            let mut known = (*known).clone();
            let state = match &error {
                None => {
                    known.attempts += 1;
                    NoticeState::Delivered
                }
                Some(error) if known.failed(error.clone(), now) => {
                    change.put(known);
                    return Ok::<_, FlowError>(false);
                }
                Some(_) => NoticeState::Failed,
            };
            for notice in &known.notices {
                log::note(change, &noted(notice, &known, &channel.name, state, now))?;
            }
            change.delete::<Message>(known.message_id);
            Ok(true)
        })
        .await?;
    fault::point("deliver.written");
    report(app, &channel, message, error.as_deref(), is_over);
    Ok(error.is_none())
}

/// Counts and logs what became of an attempt.
fn report(app: &App, channel: &Channel, message: &Message, error: Option<&str>, is_over: bool) {
    let outcome = match error {
        None => "delivered",
        Some(_) if is_over => "given_up",
        Some(_) => "failed",
    };
    count(app, channel, outcome);
    let kind = channel.kind.as_str();
    let attempt = message.attempts + 1;
    let notices = message.notices.len();
    match error {
        None => {
            tracing::info!(
                channel = channel.name,
                kind,
                key = message.key,
                notices,
                attempt,
                "message delivered"
            );
        }
        Some(error) if is_over => {
            tracing::error!(
                channel = channel.name,
                kind,
                key = message.key,
                notices,
                attempt,
                error,
                "message given up"
            );
        }
        Some(error) => {
            tracing::warn!(
                channel = channel.name,
                kind,
                key = message.key,
                notices,
                attempt,
                error,
                "message not delivered"
            );
        }
    }
}

fn count(app: &App, channel: &Channel, outcome: &str) {
    app.metrics
        .deliveries
        .with_label_values(&[channel.kind.as_str(), outcome])
        .inc();
}

/// What changed before an alert, as far as a message tells it. A message goes without what cannot be read.
async fn changes_before(app: &App, alert_id: Uuid) -> Vec<ChangeSet> {
    let read = async {
        let Some((alert, host)) = alert::find(app, alert_id).await? else {
            return Ok(Vec::new());
        };
        alert::changes_before(app, &host, &alert).await
    };
    let mut change_sets = read.await.unwrap_or_else(|error: FlowError| {
        let error = &error as &dyn std::error::Error;
        tracing::error!(%alert_id, error, "reading what changed before an alert");
        Vec::new()
    });
    change_sets.truncate(PRECEDING_CHANGE_SETS);
    for change_set in &mut change_sets {
        change_set.items.truncate(PRECEDING_ITEMS);
        for item in &mut change_set.items {
            for value in [&mut item.before, &mut item.after] {
                *value = value.as_deref().map(|value| cut(value).into_owned());
            }
        }
    }
    change_sets
}

/// Tells those who want to know that the backend is alive, as long as it evaluates.
fn send_heartbeats(
    app: &Arc<App>,
    now: DateTime<Utc>,
    sending: &mut JoinSet<Result<bool, FlowError>>,
) {
    let evaluated_at = DateTime::from_timestamp(app.alerts.figures().at, 0).unwrap_or_default();
    if now - evaluated_at > ALIVE {
        return;
    }
    for channel in app.store.state.channels.all() {
        let ChannelKind::Webhook(webhook) = &channel.kind else {
            continue;
        };
        let Some(every_seconds) = webhook.heartbeat_seconds else {
            continue;
        };
        if !app
            .deliveries
            .take_heartbeat(channel.channel_id, every_seconds, now)
        {
            continue;
        }
        let app = Arc::clone(app);
        sending.spawn(async move {
            let key = format!("heartbeat-{}-{}", channel.channel_id, now.timestamp());
            let sent = app
                .notifiers
                .send(&channel, &key, &Content::Heartbeat, now)
                .await;
            count(
                &app,
                &channel,
                if sent.is_ok() { "delivered" } else { "failed" },
            );
            if let Err(error) = &sent {
                tracing::warn!(channel = channel.name, %error, "sign of life not delivered");
            }
            Ok(false)
        });
    }
}
