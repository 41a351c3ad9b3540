//! Channels and silences.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use uuid::Uuid;

use super::Tags;
use super::body::{Created, JsonBody, LongJsonBody, NoContent, Reply};
use super::drift::selector_into_domain;
use super::guard::{Admin, Operator};
use super::paging;
use super::problem::ApiError;
use crate::app::App;
use crate::domain;
use crate::flows::channel::{self, ChannelFields, EmailFields, WebhookFields};
use crate::flows::silence::{self, NewSilence};
use crate::wire::alert::seconds;
use crate::wire::notification::{
    Channel, ChannelKind, CreateChannel, CreateSilence, Silence, SilenceState, UpdateChannel,
};
use crate::wire::page::{Limit, Page};

/// Channels and silences.
pub struct NotificationApi;

#[OpenApi(tag = "Tags::Alerts")]
impl NotificationApi {
    /// Silences, oldest first; those that are over for 30 days.
    ///
    /// Least role: operator.
    #[oai(path = "/silences", method = "get", operation_id = "list_silences")]
    async fn list_silences(
        &self,
        _caller: Operator,
        app: Data<&Arc<App>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<Silence>>, ApiError> {
        let now = app.clock.now();
        paging::by_id(
            app.store.state.silences.all(),
            |silence| silence.silence_id,
            |silence| shape_silence(silence, now),
            limit.0,
            cursor.0,
        )
    }

    /// Make a silence: nobody is told of what starts in it, unless it still fires at its end.
    ///
    /// Least role: admin.
    #[oai(path = "/silences", method = "post", operation_id = "create_silence")]
    async fn create_silence(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        body: LongJsonBody<CreateSilence>,
    ) -> Result<Created<Silence>, ApiError> {
        let CreateSilence {
            selector,
            rule_id,
            from,
            to,
            comment,
        } = body.0;
        let new = NewSilence {
            selector: selector_into_domain(selector)?,
            rule_id,
            from,
            to,
            comment: comment.0,
        };
        let silence = silence::create(&app, &caller.0, new).await?;
        Ok(Reply(shape_silence(&silence, app.clock.now())))
    }

    /// Remove a silence; what it kept back and still fires is told.
    ///
    /// Least role: admin.
    #[oai(
        path = "/silences/:silence_id",
        method = "delete",
        operation_id = "delete_silence"
    )]
    async fn delete_silence(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        silence_id: Path<Uuid>,
    ) -> Result<NoContent, ApiError> {
        silence::delete(&app, &caller.0, silence_id.0).await?;
        Ok(NoContent::Done)
    }

    /// Channels, oldest first, without their secrets.
    ///
    /// Least role: admin.
    #[oai(
        path = "/notification-channels",
        method = "get",
        operation_id = "list_channels"
    )]
    async fn list_channels(
        &self,
        _caller: Admin,
        app: Data<&Arc<App>>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<Channel>>, ApiError> {
        paging::by_id(
            app.store.state.channels.all(),
            |channel| channel.channel_id,
            |channel| shape_channel(&app, channel),
            limit.0,
            cursor.0,
        )
    }

    /// Make a channel. Whether it may be reached is decided when it is: see `test`.
    ///
    /// Least role: admin.
    #[oai(
        path = "/notification-channels",
        method = "post",
        operation_id = "create_channel"
    )]
    async fn create_channel(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        body: JsonBody<CreateChannel>,
    ) -> Result<Created<Channel>, ApiError> {
        let CreateChannel {
            name,
            kind,
            url,
            secret,
            heartbeat_seconds,
            smtp_host,
            smtp_port,
            security,
            username,
            password,
            from,
            to,
        } = body.0;
        let fields = fields(UpdateChannel {
            name: Some(name),
            url,
            secret,
            heartbeat_seconds,
            smtp_host,
            smtp_port,
            security,
            username,
            password,
            from,
            to,
        });
        let is_webhook = kind == ChannelKind::Webhook;
        let channel = channel::create(&app, &caller.0, is_webhook, fields).await?;
        Ok(Reply(shape_channel(&app, &channel)))
    }

    /// Change a channel; what is absent stays, secrets too. What waits for it is tried again at once.
    ///
    /// Least role: admin.
    #[oai(
        path = "/notification-channels/:channel_id",
        method = "patch",
        operation_id = "update_channel"
    )]
    async fn update_channel(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        channel_id: Path<Uuid>,
        body: JsonBody<UpdateChannel>,
    ) -> Result<Reply<Channel>, ApiError> {
        let fields = fields(body.0);
        let channel = channel::update(&app, &caller.0, channel_id.0, fields).await?;
        Ok(Reply(shape_channel(&app, &channel)))
    }

    /// Remove a channel that no rule tells, and what waits for it.
    ///
    /// Least role: admin.
    #[oai(
        path = "/notification-channels/:channel_id",
        method = "delete",
        operation_id = "delete_channel"
    )]
    async fn delete_channel(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        channel_id: Path<Uuid>,
    ) -> Result<NoContent, ApiError> {
        channel::delete(&app, &caller.0, channel_id.0).await?;
        Ok(NoContent::Done)
    }

    /// Send a message that says that somebody tries the channel; 502 says why it did not arrive.
    ///
    /// Least role: admin.
    #[oai(
        path = "/notification-channels/:channel_id/test",
        method = "post",
        operation_id = "test_channel"
    )]
    async fn test_channel(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
        channel_id: Path<Uuid>,
    ) -> Result<NoContent, ApiError> {
        channel::test(&app, &caller.0, channel_id.0).await?;
        Ok(NoContent::Done)
    }
}

/// What is set of a channel, in the words of the domain.
fn fields(given: UpdateChannel) -> ChannelFields {
    let port = given.smtp_port;
    ChannelFields {
        name: given.name.map(|text| text.0),
        webhook: WebhookFields {
            url: given.url.map(|text| text.0),
            secret: given.secret.map(|text| text.0),
            heartbeat_seconds: seconds(given.heartbeat_seconds),
        },
        email: EmailFields {
            smtp_host: given.smtp_host.map(|text| text.0),
            smtp_port: port.and_then(|port| u16::try_from(port.0).ok()),
            security: given.security.map(Into::into),
            username: given.username.map(|text| text.0),
            password: given.password.map(|text| text.0),
            from: given.from.map(|text| text.0),
            to: given
                .to
                .map(|to| to.0.into_iter().map(|text| text.0).collect()),
        },
    }
}

fn shape_silence(silence: &domain::alert::silence::Silence, now: DateTime<Utc>) -> Silence {
    Silence {
        silence_id: silence.silence_id,
        selector: (&silence.selector).into(),
        rule_id: silence.rule_id.into(),
        from: silence.from,
        to: silence.to,
        comment: silence.comment.clone(),
        state: if now < silence.from {
            SilenceState::Planned
        } else if now < silence.to {
            SilenceState::Active
        } else {
            SilenceState::Ended
        },
        created_by: silence.created_by.clone(),
        created_at: silence.created_at,
    }
}

fn shape_channel(app: &App, channel: &domain::notification::Channel) -> Channel {
    let state = &app.store.state;
    let is_own = |channel_id| channel_id == channel.channel_id;
    let messages = state.messages.all();
    let messages: Vec<_> = messages
        .iter()
        .filter(|message| is_own(message.channel_id))
        .collect();
    let alone = state.notices.all();
    let alone = alone.iter().filter(|notice| is_own(notice.channel_id));
    let waiting = alone.count()
        + messages
            .iter()
            .map(|message| message.notices.len())
            .sum::<usize>();
    let (webhook, email) = match &channel.kind {
        domain::notification::ChannelKind::Webhook(webhook) => (Some(webhook), None),
        domain::notification::ChannelKind::Email(email) => (None, Some(email)),
    };
    Channel {
        channel_id: channel.channel_id,
        name: channel.name.clone(),
        kind: if webhook.is_some() {
            ChannelKind::Webhook
        } else {
            ChannelKind::Email
        },
        url: webhook.map(|webhook| webhook.url.clone()),
        heartbeat_seconds: webhook.and_then(|webhook| webhook.heartbeat_seconds),
        smtp_host: email.map(|email| email.smtp_host.clone()),
        smtp_port: email.map(|email| email.smtp_port),
        security: email.map(|email| email.security.into()),
        username: email.and_then(|email| email.username.clone()),
        from: email.map(|email| email.from.clone()),
        to: email.map(|email| email.to.clone()),
        created_at: channel.created_at,
        waiting: waiting as u64,
        last_error: messages
            .iter()
            .find_map(|message| message.last_error.clone())
            .into(),
    }
}
