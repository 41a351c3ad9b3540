//! Telling people: notices that became durable with their alerts are put together into messages, and messages are sent
//! until they arrive or a day has passed. A message is written down before its first attempt, so that each attempt, also
//! after a crash, has the same content and key.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{FlowError, alert, sha256_hex};
use crate::app::App;
use crate::domain::alert::Alert;
use crate::domain::id;
use crate::domain::notification::{
    Channel, ChannelKind, Content, Message, Notice, NoticeState, Notified, Preceding, Transition,
};
use crate::store::state::Change;
use crate::store::{alert as log, fault};

/// A first notice waits so long for others to go with it.
const GROUP_WAIT: TimeDelta = TimeDelta::seconds(30);
/// Messages that one channel gets in an hour at most; what comes up beyond waits, and then goes in one message.
const MESSAGES_PER_HOUR: usize = 60;
/// Notices that a message names; further ones are counted.
const NOTICES_OF_MESSAGE: usize = 100;
/// Change sets that a message tells of each alert.
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
        while formed_at
            .front()
            .is_some_and(|at| now - *at >= TimeDelta::hours(1))
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

/// The id of what a channel is told of a transition of an alert: made of these alone.
fn notice_id(alert_id: Uuid, channel_id: Uuid, transition: Transition) -> Uuid {
    let text = format!("{alert_id}/{channel_id}/{}", transition.key());
    let hash = sha256_hex(&text);
    let number = hash
        .get(..32)
        .and_then(|hash| u128::from_str_radix(hash, 16).ok());
    uuid::Builder::from_custom_bytes(number.unwrap_or_default().to_be_bytes()).into_uuid()
}

/// Puts messages together and sends those that are due; with `hurry`, all there are. Returns how many arrived.
///
/// # Errors
/// The store's.
pub async fn deliver(app: &Arc<App>, hurry: bool) -> Result<usize, FlowError> {
    let now = app.clock.now();
    form(app, now, hurry).await?;
    fault::point("deliver.formed");
    let mut sending = JoinSet::new();
    for message in app.store.state.messages.all() {
        if message.next_at <= now || hurry {
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

/// Puts the notices of each channel that has no message under way into one.
async fn form(app: &App, now: DateTime<Utc>, hurry: bool) -> Result<(), FlowError> {
    if app.store.state.notices.is_empty() {
        return Ok(());
    }
    let formed = app
        .store
        .state
        .change(|change| {
            let state = change.state;
            let mut by_channel: HashMap<Uuid, Vec<Arc<Notice>>> = HashMap::new();
            for notice in state.notices.all() {
                by_channel
                    .entry(notice.channel_id)
                    .or_default()
                    .push(notice);
            }
            let mut formed = Vec::new();
            for (channel_id, notices) in by_channel {
                let is_busy = state.messages.find(|other| other.channel_id == channel_id);
                let waits = notices
                    .iter()
                    .all(|notice| now - notice.created_at < GROUP_WAIT);
                let is_capped = !app.deliveries.may_form(channel_id, now);
                if is_busy.is_some() || is_capped || (waits && !hurry) {
                    continue;
                }
                put_together(change, channel_id, notices, now)?;
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

/// Makes one message of the notices of a channel, the worst first; those beyond its bound are counted.
fn put_together(
    change: &mut Change<'_>,
    channel_id: Uuid,
    mut notices: Vec<Arc<Notice>>,
    now: DateTime<Utc>,
) -> Result<(), FlowError> {
    notices.sort_by_key(|notice| {
        let is_over = notice.transition == Transition::Resolved;
        let severity = std::cmp::Reverse(notice.told.severity);
        (is_over, severity, notice.created_at, notice.notice_id)
    });
    for notice in &notices {
        change.delete::<Notice>(notice.notice_id);
    }
    let held_back = notices.split_off(notices.len().min(NOTICES_OF_MESSAGE));
    let message = Message {
        message_id: id::new(now),
        channel_id,
        key: key(&notices),
        formed_at: now,
        notices: notices.iter().map(|notice| (**notice).clone()).collect(),
        held_back: held_back.len() as u64,
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
        preceding: preceding(app, &message.notices).await?,
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
    count(app, channel, error.is_none());
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

fn count(app: &App, channel: &Channel, has_arrived: bool) {
    let outcome = if has_arrived { "delivered" } else { "failed" };
    app.metrics
        .deliveries
        .with_label_values(&[channel.kind.as_str(), outcome])
        .inc();
}

/// What changed before the alerts of some notices.
async fn preceding(app: &App, notices: &[Notice]) -> Result<Vec<Preceding>, FlowError> {
    let mut all: Vec<Preceding> = Vec::new();
    for notice in notices {
        let alert_id = notice.told.alert_id;
        if all.iter().any(|known| known.alert_id == alert_id) {
            continue;
        }
        let (alert, host) = match alert::find(app, alert_id).await? {
            Some(found) => found,
            None => continue,
        };
        let mut change_sets = alert::changes_before(app, &host, &alert).await?;
        change_sets.truncate(PRECEDING_CHANGE_SETS);
        for change_set in &mut change_sets {
            change_set.items.truncate(PRECEDING_ITEMS);
        }
        if !change_sets.is_empty() {
            all.push(Preceding {
                alert_id,
                change_sets,
            });
        }
    }
    Ok(all)
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
            count(&app, &channel, sent.is_ok());
            if let Err(error) = &sent {
                tracing::warn!(channel = channel.name, %error, "sign of life not delivered");
            }
            Ok(false)
        });
    }
}
