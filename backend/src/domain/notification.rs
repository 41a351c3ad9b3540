//! Telling people: channels, what they are told about an alert, and messages on their way.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::alert::rule::Severity;
use super::change::ChangeSet;

/// A way to tell people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// Identifier, UUIDv7.
    pub channel_id: Uuid,
    /// Its name.
    pub name: String,
    /// How it reaches them.
    pub kind: ChannelKind,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// How a channel reaches people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ChannelKind {
    /// An HTTP endpoint.
    Webhook(Webhook),
    /// A mail server.
    Email(Email),
}

impl ChannelKind {
    /// The name as documents say it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
        }
    }
}

/// An HTTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Where to post to: `http` or `https`, without user and password.
    pub url: String,
    /// Key of the signature.
    pub secret: String,
    /// Tell so often that the backend is alive.
    pub heartbeat_seconds: Option<u32>,
}

/// How a connection to a mail server is kept private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpSecurity {
    /// Not at all.
    None,
    /// TLS after a greeting in the clear; without it nothing is sent.
    Starttls,
    /// TLS from the first byte.
    Tls,
}

/// A mail server, and who gets mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// Name or address of the server.
    pub smtp_host: String,
    /// Its port.
    pub smtp_port: u16,
    /// How the connection is kept private.
    pub security: SmtpSecurity,
    /// Name to log in with.
    pub username: Option<String>,
    /// Password to log in with.
    pub password: Option<String>,
    /// Sender, as `Name <user@example.org>` or an address alone.
    pub from: String,
    /// Receivers, alike.
    pub to: Vec<String>,
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// It fires.
    Firing,
    /// It still fires, and nobody has acknowledged it: said for the nth time again.
    Repeat(u32),
    /// It is over.
    Resolved,
}

impl Transition {
    /// As it stands in keys: `firing`, `repeat-2`, `resolved`.
    pub fn key(self) -> String {
        match self {
            Self::Firing => "firing".to_owned(),
            Self::Repeat(count) => format!("repeat-{count}"),
            Self::Resolved => "resolved".to_owned(),
        }
    }
}

/// An alert as a channel is told of it: all that a message says, as it was at that moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The alert.
    pub alert_id: Uuid,
    /// Its rule.
    pub rule_id: Uuid,
    /// The rule's name.
    pub rule_name: String,
    /// How bad it is.
    pub severity: Severity,
    /// The host.
    pub host_id: Uuid,
    /// The host's name.
    pub host_name: String,
    /// The instance, such as a mount point, of a condition on a metric that has instances.
    pub instance: Option<String>,
    /// What is watched, as a sentence: `cpu_usage_percent is above 90 % for 5 min`.
    pub condition: String,
    /// What was seen, as a sentence: `cpu_usage_percent is 97.2 %`.
    pub summary: String,
    /// The value that was seen, of a condition on a metric.
    pub value: Option<f64>,
    /// When it began to fire.
    pub started_at: DateTime<Utc>,
    /// When it was over.
    pub ended_at: Option<DateTime<Utc>>,
}

/// One channel is to be told of one transition of one alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Identifier, made of alert, channel and transition alone.
    pub notice_id: Uuid,
    /// Who is told.
    pub channel_id: Uuid,
    /// What became of the alert.
    pub transition: Transition,
    /// When.
    pub created_at: DateTime<Utc>,
    /// What is told.
    pub told: Told,
}

/// Notices that go to a channel together. Its content and key never change, however often it is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Identifier, UUIDv7.
    pub message_id: Uuid,
    /// Who is told.
    pub channel_id: Uuid,
    /// The same at each attempt, and of no other message: of its alerts, channel and transitions.
    pub key: String,
    /// When it was put together.
    pub formed_at: DateTime<Utc>,
    /// What is told, the worst first.
    pub notices: Vec<Notice>,
    /// Further notices that are only counted.
    pub held_back: u64,
    /// What changed before the alerts, for some of the worst.
    pub preceding: Vec<Preceding>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: DateTime<Utc>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// The wait after a first failure.
const FIRST_RETRY_SECONDS: i64 = 5;
/// The longest wait between two attempts.
const LONGEST_RETRY_SECONDS: i64 = 600;
/// After so long a message is given up.
const GIVE_UP_SECONDS: i64 = 86_400;

impl Message {
    /// Whether it is to be tried: also when the clock was set back since the last attempt.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.next_at <= now || self.next_at - now > TimeDelta::seconds(LONGEST_RETRY_SECONDS)
    }

    /// Notes that an attempt failed: when to try next, or that it is given up (`false`).
    pub fn failed(&mut self, error: String, now: DateTime<Utc>) -> bool {
        let doubled = FIRST_RETRY_SECONDS << self.attempts.min(10);
        self.attempts += 1;
        self.last_error = Some(error);
        self.next_at = now + TimeDelta::seconds(doubled.min(LONGEST_RETRY_SECONDS));
        self.next_at < self.formed_at + TimeDelta::seconds(GIVE_UP_SECONDS)
    }
}

/// What changed on a host before an alert: change sets in the order of their weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preceding {
    /// The alert.
    pub alert_id: Uuid,
    /// The changes, each with at most a few dozen items.
    pub change_sets: Vec<ChangeSet>,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Notices, how many more there would be, and what changed before their alerts.
    Notices {
        /// The worst first.
        notices: Vec<Notice>,
        /// Further ones that are only counted.
        held_back: u64,
        /// What changed before, for alerts of `notices` that have something.
        preceding: Vec<Preceding>,
    },
    /// Somebody tries the channel.
    Test {
        /// Who.
        by: String,
    },
    /// The backend is alive.
    Heartbeat,
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// It waits for others to go with, or for the next attempt.
    Waiting,
    /// It was delivered.
    Delivered,
    /// It was counted in a message that named others.
    HeldBack,
    /// It was given up.
    Failed,
}

/// A notice as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// Identifier of the notice.
    pub notice_id: Uuid,
    /// The alert.
    pub alert_id: Uuid,
    /// The channel.
    pub channel_id: Uuid,
    /// The channel's name at the time.
    pub channel_name: String,
    /// What it said.
    pub transition: Transition,
    /// What became of it.
    pub state: NoticeState,
    /// When it came up.
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub ended_at: Option<DateTime<Utc>>,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
}
