//! Channels: made, changed, removed and tried.

use uuid::Uuid;

use super::{Caller, FlowError, note, set};
use crate::app::App;
use crate::domain::id;
use crate::domain::notification::{
    Channel, ChannelKind, Content, Email, Message, Notice, SmtpSecurity, Webhook,
};
use crate::notify;

/// Most channels that there may be.
const MAX_CHANNELS: usize = 100;
/// Shortest time between two signs of life, in seconds.
const MIN_HEARTBEAT_SECONDS: u32 = 10;

/// What is set of a webhook.
#[derive(Clone, Debug, Default)]
pub struct WebhookFields {
    /// Where to post to.
    pub url: Option<String>,
    /// Key of the signature.
    pub secret: Option<String>,
    /// Tell so often that the backend is alive; 0 for never.
    pub heartbeat_seconds: Option<u32>,
}

/// What is set of a mail server.
#[derive(Clone, Debug, Default)]
pub struct EmailFields {
    /// Name or address of the server.
    pub smtp_host: Option<String>,
    /// Its port.
    pub smtp_port: Option<u16>,
    /// How the connection is kept private.
    pub security: Option<SmtpSecurity>,
    /// Name to log in with; an empty one for none.
    pub username: Option<String>,
    /// Password to log in with.
    pub password: Option<String>,
    /// Sender.
    pub from: Option<String>,
    /// Receivers.
    pub to: Option<Vec<String>>,
}

/// What is set of a channel.
#[derive(Clone, Debug, Default)]
pub struct ChannelFields {
    /// Its name.
    pub name: Option<String>,
    /// What is set of a webhook.
    pub webhook: WebhookFields,
    /// What is set of a mail server.
    pub email: EmailFields,
}

impl WebhookFields {
    fn foreign(&self) -> Option<&'static str> {
        [
            ("url", self.url.is_some()),
            ("secret", self.secret.is_some()),
            ("heartbeat_seconds", self.heartbeat_seconds.is_some()),
        ]
        .into_iter()
        .find_map(|(field, is_set)| is_set.then_some(field))
    }

    fn apply(self, webhook: &mut Webhook) {
        set(&mut webhook.url, self.url);
        set(&mut webhook.secret, self.secret);
        let heartbeat = self.heartbeat_seconds;
        set(
            &mut webhook.heartbeat_seconds,
            heartbeat.map(|seconds| Some(seconds).filter(|seconds| *seconds > 0)),
        );
    }
}

impl EmailFields {
    /// A password is for the server it was given for: for another it must be given anew, or it could be read there.
    fn keeps_password(&self, known: &ChannelKind) -> Result<(), FlowError> {
        let ChannelKind::Email(known) = known else {
            return Ok(());
        };
        let is_another = self
            .smtp_host
            .as_ref()
            .is_some_and(|host| *host != known.smtp_host)
            || self.smtp_port.is_some_and(|port| port != known.smtp_port)
            || self
                .security
                .is_some_and(|security| security != known.security);
        let drops_it = self.username.as_ref().is_some_and(String::is_empty);
        if known.password.is_some() && self.password.is_none() && is_another && !drops_it {
            return Err(FlowError::invalid(
                "password",
                "must be given again for another server, port or security",
            ));
        }
        Ok(())
    }

    fn foreign(&self) -> Option<&'static str> {
        [
            ("smtp_host", self.smtp_host.is_some()),
            ("smtp_port", self.smtp_port.is_some()),
            ("security", self.security.is_some()),
            ("username", self.username.is_some()),
            ("password", self.password.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
        ]
        .into_iter()
        .find_map(|(field, is_set)| is_set.then_some(field))
    }

    fn apply(self, email: &mut Email) {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        set(&mut email.smtp_host, self.smtp_host);
        set(&mut email.smtp_port, self.smtp_port);
        set(&mut email.security, self.security);
        set(&mut email.username, self.username.map(some));
        set(&mut email.password, self.password.map(some));
        set(&mut email.from, self.from);
        set(&mut email.to, self.to);
        if email.username.is_none() {
            email.password = None;
        }
    }
}

/// Refuses fields that belong to another kind of channel.
fn refuse_foreign(is_webhook: bool, fields: &ChannelFields) -> Result<(), FlowError> {
    let foreign = if is_webhook {
        fields.email.foreign()
    } else {
        fields.webhook.foreign()
    };
    match foreign {
        Some(field) => Err(FlowError::invalid(
            field,
            "does not belong to this kind of channel",
        )),
        None => Ok(()),
    }
}

fn apply(channel: &mut Channel, fields: ChannelFields) {
    set(&mut channel.name, fields.name);
    match &mut channel.kind {
        ChannelKind::Webhook(webhook) => fields.webhook.apply(webhook),
        ChannelKind::Email(email) => fields.email.apply(email),
    }
}

fn check(channel: &Channel) -> Result<(), FlowError> {
    let missing = |field, is_missing: bool| {
        if is_missing {
            return Err(FlowError::invalid(
                field,
                "is needed for this kind of channel",
            ));
        }
        Ok(())
    };
    match &channel.kind {
        ChannelKind::Webhook(webhook) => {
            missing("url", webhook.url.is_empty())?;
            missing("secret", webhook.secret.is_empty())?;
            let heartbeat = webhook.heartbeat_seconds;
            if heartbeat.is_some_and(|seconds| seconds < MIN_HEARTBEAT_SECONDS) {
                return Err(FlowError::invalid(
                    "heartbeat_seconds",
                    "must be 0, or at least 10",
                ));
            }
            notify::check_url(&webhook.url).map_err(|message| FlowError::invalid("url", message))
        }
        ChannelKind::Email(email) => {
            missing("smtp_host", email.smtp_host.is_empty())?;
            missing("smtp_port", email.smtp_port == 0)?;
            missing("from", email.from.is_empty())?;
            missing("to", email.to.is_empty())?;
            missing(
                "password",
                email.username.is_some() && email.password.is_none(),
            )?;
            notify::check_addresses(email)
                .map_err(|(field, message)| FlowError::invalid(&field, message))
        }
    }
}

/// Makes a channel: a webhook, or a mail server.
///
/// # Errors
/// [`FlowError::Invalid`] for what is missing, wrong or of another kind, and [`FlowError::Conflict`] when there are too
/// many.
pub async fn create(
    app: &App,
    caller: &Caller,
    is_webhook: bool,
    fields: ChannelFields,
) -> Result<Channel, FlowError> {
    let now = app.clock.now();
    refuse_foreign(is_webhook, &fields)?;
    let kind = if is_webhook {
        ChannelKind::Webhook(Webhook {
            url: String::new(),
            secret: String::new(),
            heartbeat_seconds: None,
        })
    } else {
        ChannelKind::Email(Email {
            smtp_host: String::new(),
            smtp_port: 0,
            security: SmtpSecurity::Starttls,
            username: None,
            password: None,
            from: String::new(),
            to: Vec::new(),
        })
    };
    let mut channel = Channel {
        channel_id: id::new(now),
        name: String::new(),
        kind,
        created_at: now,
    };
    apply(&mut channel, fields);
    check(&channel)?;
    app.store
        .state
        .change(|change| {
            if change.state.channels.len() >= MAX_CHANNELS {
                return Err(FlowError::Conflict(
                    "there are 100 channels; delete one first",
                ));
            }
            let actor = caller.actor();
            let id = Some(channel.channel_id);
            note(change, now, actor, "channel.create", id, &channel.name);
            change.put(channel.clone());
            Ok(channel)
        })
        .await
}

/// Changes a channel; what waits for it is tried again at once.
///
/// # Errors
/// [`FlowError::NotFound`], and [`FlowError::Invalid`] as for [`create`].
pub async fn update(
    app: &App,
    caller: &Caller,
    channel_id: Uuid,
    fields: ChannelFields,
) -> Result<Channel, FlowError> {
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            let channel = change.state.channels.get(channel_id);
            let mut channel = (*channel.ok_or(FlowError::NotFound("channel"))?).clone();
            refuse_foreign(matches!(channel.kind, ChannelKind::Webhook(_)), &fields)?;
            fields.email.keeps_password(&channel.kind)?;
            apply(&mut channel, fields);
            check(&channel)?;
            let actor = caller.actor();
            let id = Some(channel_id);
            note(change, now, actor, "channel.update", id, &channel.name);
            for message in change.state.messages.all() {
                if message.channel_id == channel_id {
                    change.put(Message {
                        next_at: now,
                        ..(*message).clone()
                    });
                }
            }
            change.put(channel.clone());
            Ok(channel)
        })
        .await
}

/// Removes a channel that no rule uses, and what waits for it.
///
/// # Errors
/// [`FlowError::NotFound`], and [`FlowError::Conflict`] while a rule uses it.
pub async fn delete(app: &App, caller: &Caller, channel_id: Uuid) -> Result<(), FlowError> {
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            let state = change.state;
            let channel = state.channels.get(channel_id);
            let channel = channel.ok_or(FlowError::NotFound("channel"))?;
            let uses =
                |rule: &crate::domain::alert::rule::AlertRule| rule.channels.contains(&channel_id);
            if state.alert_rules.find(uses).is_some() {
                return Err(FlowError::Conflict(
                    "a rule still tells this channel; take it out of the rule first",
                ));
            }
            let actor = caller.actor();
            let id = Some(channel_id);
            note(change, now, actor, "channel.delete", id, &channel.name);
            for notice in state.notices.all() {
                if notice.channel_id == channel_id {
                    change.delete::<Notice>(notice.notice_id);
                }
            }
            for message in state.messages.all() {
                if message.channel_id == channel_id {
                    change.delete::<Message>(message.message_id);
                }
            }
            change.delete::<Channel>(channel_id);
            Ok(())
        })
        .await
}

/// Sends a message that says that somebody tries the channel.
///
/// # Errors
/// [`FlowError::NotFound`], and [`FlowError::Undelivered`] with why it did not arrive.
pub async fn test(app: &App, caller: &Caller, channel_id: Uuid) -> Result<(), FlowError> {
    let now = app.clock.now();
    let channel = app.store.state.channels.get(channel_id);
    let channel = channel.ok_or(FlowError::NotFound("channel"))?;
    app.store
        .state
        .change(|change| {
            let actor = caller.actor();
            let id = Some(channel_id);
            note(change, now, actor, "channel.test", id, &channel.name);
            Ok::<_, FlowError>(())
        })
        .await?;
    let content = Content::Test {
        by: caller.actor().name,
    };
    let key = format!("test-{}", id::new(now));
    app.notifiers
        .send(&channel, &key, &content, now)
        .await
        .map_err(|error| FlowError::Undelivered(error.to_string()))
}
