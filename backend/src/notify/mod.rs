//! Telling people: webhooks and mail. What is told comes ready from the flows; here it is put into words, and sent.

mod bounded;
mod email;
mod html;
mod payload;
mod smtp;
mod text;
mod trust;
mod webhook;

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Client;
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use uuid::Uuid;

pub use self::email::check_addresses;
pub use self::webhook::check_url;
use crate::domain::change::ChangeSet;
use crate::domain::egress::{EgressRules, Purpose};
use crate::domain::notification::{Channel, ChannelKind, Content, Notice, Preceding, Told};
use crate::outgoing::{EgressError, Resolver, Roots};

/// Time for a webhook, from its name's resolution to the end of its answer.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(10);
/// Time for a mail, which takes a dozen answers.
const MAIL_PATIENCE: Duration = Duration::from_secs(20);
/// What is read of an answer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why nobody was told. Each is a whole sentence, fit to be kept and shown: none repeats what the other side said.
#[derive(Debug, Error)]
pub enum NotifyError {
    /// There is nothing to dial.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// The other side is not there, or went away.
    #[error("{doing}: {cause}")]
    Connection {
        /// What we were doing.
        doing: &'static str,
        /// Why it failed, in words.
        cause: String,
    },
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The endpoint did not take it.
    #[error("the endpoint answered {0}")]
    Status(u16),
    /// The mail server did not take it.
    #[error("the mail server refused {what}: {code}")]
    Refused {
        /// What it refused.
        what: String,
        /// Its answer.
        code: u16,
    },
    /// The mail server cannot do what the channel asks for.
    #[error("the mail server does not offer {0}")]
    NotOffered(&'static str),
    /// Something else than a mail server answers.
    #[error("the mail server does not speak SMTP")]
    NotSmtp,
    /// The channel's URL, which was checked when it was given.
    #[error("the URL {0}")]
    Url(&'static str),
    /// One of the channel's addresses, which were checked when they were given.
    #[error("the address {0} {1}")]
    Address(String, &'static str),
    /// The message cannot be written.
    #[error("writing the message: {0}")]
    Message(String),
    /// TLS cannot be prepared.
    #[error("preparing TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP client cannot be prepared.
    #[error("preparing HTTP: {0}")]
    Client(reqwest::Error),
}

/// Where people read on: the public address of the dashboard, if there is one.
#[derive(Clone, Debug, Default)]
struct Links(Option<String>);

impl Links {
    fn new(public_url: Option<String>) -> Self {
        Self(public_url.map(|url| url.trim_end_matches('/').to_owned()))
    }

    fn alert(&self, alert_id: Uuid) -> Option<String> {
        self.0
            .as_ref()
            .map(|url| format!("{url}/alerts/{alert_id}"))
    }

    fn alert_log(&self) -> Option<String> {
        self.0.as_ref().map(|url| format!("{url}/alerts"))
    }
}

/// All ways of telling people, built once.
pub struct Notifiers {
    resolver: Resolver,
    roots: Roots,
    client: Client,
    links: Links,
    webhook_patience: Duration,
    mail_patience: Duration,
}

impl Notifiers {
    /// Notifiers that keep to these rules and link to this dashboard.
    ///
    /// # Errors
    /// When TLS or HTTP cannot be prepared.
    pub fn new(egress: EgressRules, public_url: Option<String>) -> Result<Self, NotifyError> {
        let resolver = Resolver::new(egress, Purpose::Notification);
        let roots = Roots::of_system();
        Ok(Self {
            client: webhook::client(&resolver, &roots)?,
            resolver,
            roots,
            links: Links::new(public_url),
            webhook_patience: WEBHOOK_PATIENCE,
            mail_patience: MAIL_PATIENCE,
        })
    }

    /// Believes a further root certificate, as tests need it.
    ///
    /// # Errors
    /// When it is none.
    pub fn trusting(mut self, certificate_der: Vec<u8>) -> Result<Self, NotifyError> {
        self.roots.add(CertificateDer::from(certificate_der))?;
        self.client = webhook::client(&self.resolver, &self.roots)?;
        Ok(self)
    }

    /// Waits no longer than this, as tests need it.
    pub fn patient_for(mut self, patience: Duration) -> Self {
        (self.webhook_patience, self.mail_patience) = (patience, patience);
        self
    }

    /// Tells a channel. `key` is the same at each attempt, so that who is told twice can know it.
    ///
    /// # Errors
    /// In words, when it was not told; then it may be tried again.
    pub async fn send(
        &self,
        channel: &Channel,
        key: &str,
        content: &Content,
        now: DateTime<Utc>,
    ) -> Result<(), NotifyError> {
        match &channel.kind {
            ChannelKind::Webhook(webhook) => {
                let body = payload::body(&channel.name, content, &self.links, now)?;
                self.post(webhook, key, body, now).await
            }
            ChannelKind::Email(email) => {
                let mail = email::compose(email, key, content, &self.links, now)?;
                let is_trial = matches!(content, Content::Test { .. });
                self.mail(email, &mail, is_trial).await
            }
        }
    }
}

/// Each alert once, with what became of it last, in the order given. A message may hold its beginning and its end.
fn latest(notices: &[Notice]) -> Vec<&Notice> {
    let mut latest: Vec<&Notice> = Vec::with_capacity(notices.len());
    for notice in notices {
        let age = |notice: &Notice| (notice.created_at, notice.transition);
        match latest
            .iter_mut()
            .find(|other| other.told.alert_id == notice.told.alert_id)
        {
            Some(other) if age(other) < age(notice) => *other = notice,
            Some(_) => {}
            None => latest.push(notice),
        }
    }
    latest
}

/// What changed on the host before an alert.
fn changes_before<'a>(told: &Told, preceding: &'a [Preceding]) -> &'a [ChangeSet] {
    preceding
        .iter()
        .find(|preceding| preceding.alert_id == told.alert_id)
        .map_or(&[], |preceding| &preceding.change_sets)
}
