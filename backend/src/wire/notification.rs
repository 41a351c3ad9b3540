//! Channels, silences, and what became of notifications, in JSON.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::drift::Selector;
use super::scalar::{List, Nullable, Text, Whole};
use crate::domain::notification as domain;

/// How a channel reaches people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum ChannelKind {
    /// An HTTP endpoint.
    Webhook,
    /// A mail server.
    Email,
}

/// How a connection to a mail server is kept private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum SmtpSecurity {
    /// Not at all.
    None,
    /// TLS after a greeting in the clear; without it nothing is sent.
    Starttls,
    /// TLS from the first byte.
    Tls,
}

impl From<SmtpSecurity> for domain::SmtpSecurity {
    fn from(security: SmtpSecurity) -> Self {
        match security {
            SmtpSecurity::None => Self::None,
            SmtpSecurity::Starttls => Self::Starttls,
            SmtpSecurity::Tls => Self::Tls,
        }
    }
}

impl From<domain::SmtpSecurity> for SmtpSecurity {
    fn from(security: domain::SmtpSecurity) -> Self {
        match security {
            domain::SmtpSecurity::None => Self::None,
            domain::SmtpSecurity::Starttls => Self::Starttls,
            domain::SmtpSecurity::Tls => Self::Tls,
        }
    }
}

/// Seconds between two signs of life; 0 for none.
type HeartbeatSeconds = Whole<0, 86_400>;
/// A user's name at a mail server; an empty one for none.
type SmtpUsername = Text<0, 256>;

/// A new channel: a webhook takes url, secret and heartbeat_seconds, e-mail all others.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct CreateChannel {
    /// Its name.
    pub name: Text<1, 200>,
    /// How it reaches people.
    pub kind: ChannelKind,
    /// Where to post to, `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Text<1, 2048>>,
    /// Key of the signature. Written, never read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Text<1, 256>>,
    /// Tell so often that the backend is alive, at least every 10 s; 0 or absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_seconds: Option<HeartbeatSeconds>,
    /// Name or address of the mail server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp_host: Option<Text<1, 253>>,
    /// Its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp_port: Option<Whole<1, 65_535>>,
    /// How the connection is kept private.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<SmtpSecurity>,
    /// Name to log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<SmtpUsername>,
    /// Password to log in with. Written, never read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Text<0, 256>>,
    /// Sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Text<1, 320>>,
    /// Receivers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<List<Text<1, 320>, 50>>,
}

/// What shall be different of a channel; what is absent stays, secrets too.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct UpdateChannel {
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<1, 200>>,
    /// Where to post to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Text<1, 2048>>,
    /// Key of the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Text<1, 256>>,
    /// Tell so often that the backend is alive; 0 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_seconds: Option<HeartbeatSeconds>,
    /// Name or address of the mail server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp_host: Option<Text<1, 253>>,
    /// Its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp_port: Option<Whole<1, 65_535>>,
    /// How the connection is kept private.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<SmtpSecurity>,
    /// Name to log in with; an empty one for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<SmtpUsername>,
    /// Password to log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Text<0, 256>>,
    /// Sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Text<1, 320>>,
    /// All receivers, in place of those there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<List<Text<1, 320>, 50>>,
}

/// A channel, without its secrets.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Channel {
    /// Identifier.
    pub channel_id: Uuid,
    /// Its name.
    pub name: String,
    /// How it reaches people.
    pub kind: ChannelKind,
    /// Where a webhook posts to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How often a webhook tells that the backend is alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_seconds: Option<u32>,
    /// Name or address of the mail server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp_host: Option<String>,
    /// Its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp_port: Option<u16>,
    /// How the connection is kept private.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<SmtpSecurity>,
    /// Name to log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Receivers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Vec<String>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Notifications that wait to be delivered.
    pub waiting: u64,
    /// Why the last attempt failed, while it has not succeeded since.
    pub last_error: Nullable<String>,
}

/// What becomes of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum NotificationState {
    /// It waits for others to go with, or for the next attempt.
    Waiting,
    /// It was delivered.
    Delivered,
    /// It was counted in a message that named others.
    HeldBack,
    /// It was given up.
    Failed,
}

/// What a notification says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum NotificationTransition {
    /// The alert fires.
    Firing,
    /// It still fires.
    Repeat,
    /// It is over.
    Resolved,
}

/// Somebody is told of an alert.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Notification {
    /// The channel.
    pub channel_id: Uuid,
    /// Its name at the time.
    pub channel_name: String,
    /// What it says.
    pub transition: NotificationTransition,
    /// What becomes of it.
    pub state: NotificationState,
    /// When it came up.
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub ended_at: Nullable<DateTime<Utc>>,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: Nullable<String>,
}

/// A new silence.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct CreateSilence {
    /// Alerts of which hosts; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Alerts of this rule alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<Uuid>,
    /// From when on; now if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DateTime<Utc>>,
    /// Until when.
    pub to: DateTime<Utc>,
    /// Why.
    pub comment: Text<1, 1024>,
}

/// How a silence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum SilenceState {
    /// It is to come.
    Planned,
    /// It is in force.
    Active,
    /// It is over.
    Ended,
}

/// A time in which nobody is told of some alerts. What starts in it and still fires at its end is told then.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Silence {
    /// Identifier.
    pub silence_id: Uuid,
    /// Alerts of which hosts.
    pub selector: Selector,
    /// Alerts of this rule alone.
    pub rule_id: Nullable<Uuid>,
    /// From when on.
    pub from: DateTime<Utc>,
    /// Until when.
    pub to: DateTime<Utc>,
    /// Why.
    pub comment: String,
    /// How it stands.
    pub state: SilenceState,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}
