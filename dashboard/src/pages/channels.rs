//! Channels: how people are told of alerts.

use infra_watch_client::operations;
use infra_watch_client::types::{
    Channel, ChannelKind, CreateChannel, HostStatus, SmtpSecurity, UpdateChannel,
};
use uuid::Uuid;
use yew::prelude::*;

use super::section::{SectionPage, skeleton};
use crate::alert;
use crate::api::{Api, ApiError, PAGE_ITEMS};
use crate::components::ask::Ask;
use crate::components::dialog::Dialog;
use crate::components::empty::empty;
use crate::components::field::{TextField, select_field};
use crate::components::form::{Action, form};
use crate::components::icon::Glyph;
use crate::components::status::mark;
use crate::format;
use crate::hooks::polled::use_polled;
use crate::hooks::submit::use_submit;
use crate::loaded::Shared;
use crate::route::Route;

/// How often the channels are asked for: what waits and what failed changes by itself.
const CHANNELS_SECONDS: u32 = 15;

/// What is being done; a channel is said by its place.
#[derive(Clone, PartialEq)]
enum Doing {
    Nothing,
    Edit(Option<Uuid>),
    Delete(Uuid, String),
}

/// The list and what may be done with it.
#[component]
pub fn Channels() -> Html {
    let channels = use_polled((), Some(CHANNELS_SECONDS), |api, ()| {
        api.all(|cursor| operations::list_channels().limit(PAGE_ITEMS).cursor(cursor))
    });
    let doing = use_state(|| Doing::Nothing);
    let start = |next: Doing| {
        let doing = doing.clone();
        Callback::from(move |()| doing.set(next.clone()))
    };
    let refresh = &channels.retry;
    let row = |channel: &Channel| {
        let edit = start(Doing::Edit(Some(channel.channel_id)));
        let delete = start(Doing::Delete(channel.channel_id, channel.name.clone()));
        html! {
            <tr key={channel.channel_id.as_u128()} data-channel={channel.name.clone()}>
                <th scope="row" class="rule-sentence">{ &channel.name }<p class="meaning">{ target(channel) }</p></th>
                <td data-label="Kind">{ kind(channel.kind) }</td>
                <td data-label="Waiting" class="number">{ format::number(channel.waiting as f64) }</td>
                <td data-label="Last error" class="result wide">{ match &channel.last_error { Some(error) => html! { <p class="field-error">{ error }</p> }, None => html! { <span class="muted">{ "none" }</span> } } }</td>
                <td class="row-actions">
                    <Test channel_id={channel.channel_id} name={channel.name.clone()} refresh={refresh.clone()} />
                    <button type="button" class="button" data-action="edit" aria-label={format!("Edit {}", channel.name)} onclick={move |_| edit.emit(())}>{ "Edit" }</button>
                    <button type="button" class="button" data-action="delete" aria-label={format!("Delete {}", channel.name)} onclick={move |_| delete.emit(())}>{ "Delete" }</button>
                </td>
            </tr>
        }
    };
    let close = start(Doing::Nothing);
    html! {
        <SectionPage route={Route::Channels} about="How people are told of alerts. Rules name the channels that they tell." create={Some(AttrValue::from("New channel"))} on_create={start(Doing::Edit(None))}>
            { channels.show(skeleton, |channels| if channels.is_empty() {
                html! { <div class="card">{ empty(Glyph::Bell, "There is no channel yet.", html! { <p class="muted">{ "Make a webhook or an e-mail channel, then name it in a rule." }</p> }) }</div> }
            } else {
                html! {
                    <div class="card table-card">
                        <table class="table rules">
                            <caption class="visually-hidden">{ "Channels" }</caption>
                            <thead><tr><th scope="col">{ "Channel" }</th><th scope="col">{ "Kind" }</th><th scope="col" class="number">{ "Waiting" }</th><th scope="col">{ "Last error" }</th><th scope="col"><span class="visually-hidden">{ "Actions" }</span></th></tr></thead>
                            <tbody>{ for channels.iter().map(row) }</tbody>
                        </table>
                    </div>
                }
            }) }
            { match ((*doing).clone(), channels.data()) {
                (Doing::Edit(id), Some(channels)) => {
                    let place = channels.iter().position(|channel| Some(channel.channel_id) == id);
                    html! { <EditChannel channels={channels.clone()} {place} on_close={close} on_done={refresh.clone()} /> }
                }
                (Doing::Delete(channel_id, name), _) => delete_channel(channel_id, name, close, refresh.clone()),
                _ => Html::default(),
            } }
        </SectionPage>
    }
}

fn kind(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Webhook => "webhook",
        ChannelKind::Email => "e-mail",
    }
}

/// Where messages go.
fn target(channel: &Channel) -> String {
    match (&channel.url, &channel.smtp_host) {
        (Some(url), _) => url.clone(),
        (None, Some(host)) => {
            let to = channel.to.as_deref().unwrap_or_default().join(", ");
            format!("{to} by {host}")
        }
        (None, None) => String::new(),
    }
}

#[derive(PartialEq, Properties)]
struct TestProps {
    channel_id: Uuid,
    name: String,
    refresh: Callback<()>,
}

/// Sends a message and says what became of it.
#[component]
fn Test(props: &TestProps) -> Html {
    let submit = use_submit();
    let is_sent = use_state(|| false);
    let is_busy = submit.is_busy();
    let onclick = {
        let (submit, is_sent, channel_id) = (submit.clone(), is_sent.clone(), props.channel_id);
        let refresh = props.refresh.clone();
        move |_: MouseEvent| {
            let (done, refresh) = (is_sent.clone(), refresh.clone());
            is_sent.set(false);
            submit.send(operations::test_channel(channel_id), move |()| {
                done.set(true);
                refresh.emit(());
            });
        }
    };
    let outcome = match (submit.whole(&[]), *is_sent) {
        _ if is_busy => Html::default(),
        (Some(error), _) => html! { <span class="field-error">{ error }</span> },
        (None, true) => mark(HostStatus::Up, "it arrived"),
        (None, false) => Html::default(),
    };
    html! {
        <>
            <span class="test-outcome" role="status">{ outcome }</span>
            <button type="button" class="button" data-action="test" aria-label={format!("Test {}", props.name)} aria-disabled={is_busy.to_string()} {onclick}>{ if is_busy { "Testing" } else { "Test" } }</button>
        </>
    }
}

/// A channel as it is edited.
#[derive(Clone, PartialEq)]
struct Draft {
    is_email: bool,
    name: String,
    url: String,
    secret: String,
    heartbeat: String,
    host: String,
    port: String,
    security: String,
    username: String,
    password: String,
    from: String,
    to: String,
}

impl Draft {
    /// A channel as it would have been edited, without its secrets; a new one without one.
    fn of(channel: Option<&Channel>) -> Self {
        let text =
            |take: fn(&Channel) -> Option<String>| channel.and_then(take).unwrap_or_default();
        let or = |text: String, otherwise: &str| match text.is_empty() {
            true => otherwise.to_owned(),
            false => text,
        };
        Self {
            is_email: channel.is_some_and(|channel| channel.kind == ChannelKind::Email),
            name: text(|channel| Some(channel.name.clone())),
            url: text(|channel| channel.url.clone()),
            secret: String::new(),
            heartbeat: text(|channel| Some(alert::edited(channel.heartbeat_seconds?.into()))),
            host: text(|channel| channel.smtp_host.clone()),
            port: or(text(|channel| Some(channel.smtp_port?.to_string())), "587"),
            security: or(
                text(|channel| Some(channel.security?.to_string())),
                "starttls",
            ),
            username: text(|channel| channel.username.clone()),
            password: String::new(),
            from: text(|channel| channel.from.clone()),
            to: text(|channel| Some(channel.to.as_deref()?.join(", "))),
        }
    }

    /// The request for a new channel, or which field cannot be part of one.
    fn create(&self) -> Result<CreateChannel, ApiError> {
        let whole = self.update()?;
        let (is_email, is_webhook) = (self.is_email, !self.is_email);
        Ok(CreateChannel {
            name: ApiError::checked("name", self.name.trim())?,
            kind: if is_email {
                ChannelKind::Email
            } else {
                ChannelKind::Webhook
            },
            url: wanted("url", &self.url, is_webhook)?,
            secret: wanted("secret", &self.secret, is_webhook)?,
            heartbeat_seconds: whole.heartbeat_seconds,
            smtp_host: wanted("smtp_host", &self.host, is_email)?,
            smtp_port: whole.smtp_port,
            security: whole.security,
            username: whole
                .username
                .map(|text| ApiError::checked("username", &text))
                .transpose()?,
            password: filled("password", &self.password, is_email)?,
            from: wanted("from", &self.from, is_email)?,
            to: self.to(|text| ApiError::checked("to", text))?,
        })
    }

    /// The whole of it as a change; secrets only where there are new ones.
    fn update(&self) -> Result<UpdateChannel, ApiError> {
        let (is_email, is_webhook) = (self.is_email, !self.is_email);
        let heartbeat = match self.heartbeat.trim() {
            "" => Some(0),
            text => alert::seconds(text),
        };
        let heartbeat = heartbeat.ok_or_else(|| {
            ApiError::field("heartbeat_seconds", "is not a time such as 30s or 5m")
        })?;
        let port = || ApiError::checked("smtp_port", self.port.trim());
        Ok(UpdateChannel {
            name: Some(ApiError::checked("name", self.name.trim())?),
            url: wanted("url", &self.url, is_webhook)?,
            secret: filled("secret", &self.secret, is_webhook)?,
            heartbeat_seconds: is_webhook.then_some(heartbeat),
            smtp_host: wanted("smtp_host", &self.host, is_email)?,
            smtp_port: is_email.then(port).transpose()?,
            security: is_email.then(|| self.security.parse().unwrap_or(SmtpSecurity::Starttls)),
            username: wanted("username", &self.username, is_email)?,
            password: filled("password", &self.password, is_email)?,
            from: wanted("from", &self.from, is_email)?,
            to: self.to(|text| ApiError::checked("to", text))?,
        })
    }

    /// The receivers of mail.
    fn to<T>(
        &self,
        read: impl Fn(&str) -> Result<T, ApiError>,
    ) -> Result<Option<Vec<T>>, ApiError> {
        let receivers = || self.to.split(',').map(|text| read(text.trim())).collect();
        self.is_email.then(receivers).transpose()
    }
}

/// A field of this kind of channel.
fn wanted<T>(name: &str, text: &str, is_wanted: bool) -> Result<Option<T>, ApiError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let checked = || ApiError::checked(name, text.trim());
    is_wanted.then(checked).transpose()
}

/// A field of this kind of channel that may stay empty.
fn filled<T>(name: &str, text: &str, is_wanted: bool) -> Result<Option<T>, ApiError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    wanted(name, text, is_wanted && !text.is_empty())
}

#[derive(PartialEq, Properties)]
struct EditChannelProps {
    channels: Shared<Vec<Channel>>,
    /// Which of them; a new one without.
    place: Option<usize>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

/// The fields of a kind of channel.
#[component]
fn EditChannel(props: &EditChannelProps) -> Html {
    let channel = props.place.and_then(|place| props.channels.get(place));
    let draft = use_state(|| Draft::of(channel));
    let submit = use_submit();
    let take = |put: fn(&mut Draft, String)| {
        let draft = draft.clone();
        Callback::from(move |text| {
            let mut next = (*draft).clone();
            put(&mut next, text);
            draft.set(next);
        })
    };
    let on_submit = {
        let (draft, submit) = (draft.clone(), submit.clone());
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        let channel_id = channel.map(|channel| channel.channel_id);
        Callback::from(move |()| {
            let (on_close, on_done) = (on_close.clone(), on_done.clone());
            let done = move |_| {
                on_done.emit(());
                on_close.emit(());
            };
            match channel_id {
                None => match draft.create() {
                    Err(error) => submit.refuse(error),
                    Ok(body) => submit.send(operations::create_channel(&body), done),
                },
                Some(channel_id) => match draft.update() {
                    Err(error) => submit.refuse(error),
                    Ok(body) => submit.send(operations::update_channel(channel_id, &body), done),
                },
            }
        })
    };
    let text = |id: &'static str, label: &'static str, value: &str, put, help: &'static str| {
        let kind = match id {
            "secret" | "password" => "password",
            _ => "text",
        };
        html! { <TextField {id} {label} {kind} autocomplete={if kind == "password" { "new-password" } else { "off" }} value={value.to_owned()} on_input={take(put)} error={submit.field(id)} help={(!help.is_empty()).then(|| AttrValue::from(help))} /> }
    };
    let words = |(value, words): (&'static str, &'static str)| (value.into(), words.into());
    let kinds = [
        ("webhook", "webhook: a request to a URL"),
        ("email", "e-mail by a mail server"),
    ];
    let securities = [
        ("starttls", "STARTTLS"),
        ("tls", "TLS from the first byte"),
        ("none", "none: in the clear"),
    ];
    let is_new = channel.is_none();
    let (title, action) = if is_new {
        ("New channel", "Create channel")
    } else {
        ("Edit channel", "Save")
    };
    let stays = |words: &'static str| {
        if is_new {
            words
        } else {
            "It stays as it is, unless another is written here."
        }
    };
    let shown = [
        "name",
        "url",
        "secret",
        "heartbeat_seconds",
        "smtp_host",
        "smtp_port",
        "security",
        "username",
        "password",
        "from",
        "to",
    ];
    html! {
            <Dialog {title} on_close={props.on_close.clone()}>
                { form(Action::new(action), submit.is_busy(), submit.whole(&shown), on_submit, Some(props.on_close.clone()), html! {
    <>
                    { text("name", "Name", &draft.name, |draft, text| draft.name = text, "") }
                    if is_new {
                        { select_field("kind".into(), "Kind", if draft.is_email { "email" } else { "webhook" }, &kinds.map(words), take(|draft, text| draft.is_email = text == "email"), None, None) }
                    }
                    if draft.is_email {
                        { text("smtp_host", "Mail server", &draft.host, |draft, text| draft.host = text, "") }
                        <div class="field-pair">
                            { text("smtp_port", "Port", &draft.port, |draft, text| draft.port = text, "") }
                            { select_field("security".into(), "Kept private by", &draft.security, &securities.map(words), take(|draft, text| draft.security = text), None, submit.field("security")) }
                        </div>
                        <div class="field-pair">
                            { text("username", "User name", &draft.username, |draft, text| draft.username = text, "Empty: no login.") }
                            { text("password", "Password", &draft.password, |draft, text| draft.password = text, stays("")) }
                        </div>
                        { text("from", "From", &draft.from, |draft, text| draft.from = text, "") }
                        { text("to", "To", &draft.to, |draft, text| draft.to = text, "Several are separated by commas.") }
                    } else {
                        { text("url", "URL", &draft.url, |draft, text| draft.url = text, "Gets a body as Alertmanager's webhooks have it.") }
                        { text("secret", "Secret", &draft.secret, |draft, text| draft.secret = text, stays("Signs each request: HMAC-SHA256.")) }
                        { text("heartbeat_seconds", "Sign of life each", &draft.heartbeat, |draft, text| draft.heartbeat = text, "Tells that the backend is alive, such as 1m; empty is never.") }
                    }
                </>
    }) }
            </Dialog>
        }
}

/// Asks for the name before the channel goes.
fn delete_channel(
    channel_id: Uuid,
    name: String,
    on_close: Callback<()>,
    on_done: Callback<()>,
) -> Html {
    let act = Callback::from(move |api: Api| api.ask(operations::delete_channel(channel_id)));
    html! {
        <Ask title={format!("Delete {name}?")} {name} action="Delete channel" {act} {on_close} {on_done} warning="What waits for it is given up. A channel that a rule tells cannot be deleted." />
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_checked_before_it_is_sent() {
        let webhook = Draft {
            name: "ops".to_owned(),
            url: "https://example.org/hook".to_owned(),
            secret: "s3cret".to_owned(),
            ..Draft::of(None)
        };
        let email = Draft {
            is_email: true,
            host: "mail.example.org".to_owned(),
            from: "watch@example.org".to_owned(),
            to: "a@example.org, b@example.org".to_owned(),
            ..webhook.clone()
        };
        let check = |draft: &Draft, change: fn(&mut Draft), expect: Option<&str>| {
            let mut draft = draft.clone();
            change(&mut draft);
            let error = draft.create().err();
            let field = error.map(|error| error.fields[0].name.clone());
            assert_eq!(field.as_deref(), expect);
        };
        check(&webhook, |_| {}, None);
        check(&webhook, |draft| draft.url.clear(), Some("url"));
        check(&webhook, |draft| draft.secret.clear(), Some("secret"));
        check(
            &webhook,
            |draft| draft.heartbeat = "often".to_owned(),
            Some("heartbeat_seconds"),
        );
        check(&email, |_| {}, None);
        check(
            &email,
            |draft| draft.port = "mail".to_owned(),
            Some("smtp_port"),
        );
        check(&email, |draft| draft.to.clear(), Some("to"));
        let body = email.create().unwrap();
        assert_eq!(body.to.map(|to| to.len()), Some(2));
        assert!(body.url.is_none() && body.password.is_none() && body.heartbeat_seconds.is_none());
        // Secrets stay unless there are new ones.
        let kept = Draft {
            secret: String::new(),
            ..webhook
        };
        assert!(kept.update().unwrap().secret.is_none());
    }
}
