//! The talk with a mail server: to an address that was judged, private as the channel asks, refusals by their code.

use std::net::SocketAddr;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{self, Data, Rcpt};
use lettre::transport::smtp::{Error, extension::ClientId};
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::bounded::Bounded;
use super::email::Mail;
use super::{Links, MAX_ANSWER_BYTES, Notifiers, NotifyError, trust};
use crate::domain::notification::{Email, SmtpSecurity};
use crate::outgoing::cause;

/// Ways to log in, the better one first.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
/// Time for a farewell, which no longer changes anything.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(1);

impl Notifiers {
    /// Sends a mail. A receiver whom the server refuses for good does not keep the others from being told, except in a
    /// trial, which is there to find that out.
    pub(super) async fn mail(
        &self,
        email: &Email,
        mail: &Mail,
        is_trial: bool,
    ) -> Result<(), NotifyError> {
        let sending = async {
            let mut connection = self.connect(email).await?;
            deliver(&mut connection, mail, is_trial).await?;
            Ok(connection)
        };
        let mut connection = timeout(self.mail_patience, sending)
            .await
            .unwrap_or(Err(NotifyError::Timeout(self.mail_patience)))?;
        drop(timeout(FAREWELL_PATIENCE, connection.quit()).await);
        Ok(())
    }

    async fn connect(&self, email: &Email) -> Result<AsyncSmtpConnection, NotifyError> {
        let addresses = self
            .resolver
            .permitted(&email.smtp_host, email.smtp_port)
            .await?;
        let hello = self.links.client_id();
        let mut connection = match email.security {
            SmtpSecurity::Tls => self.connect_tls(email, &addresses, &hello).await?,
            SmtpSecurity::None | SmtpSecurity::Starttls => {
                let stream = TcpStream::connect(&*addresses).await;
                let stream = stream.map_err(|error| broken("connecting", &error))?;
                let stream = Box::new(Bounded::new(stream, MAX_ANSWER_BYTES));
                AsyncSmtpConnection::connect_with_transport(stream, &hello)
                    .await
                    .map_err(|error| refused("the connection", &error))?
            }
        };
        if email.security == SmtpSecurity::Starttls {
            if !connection.can_starttls() {
                return Err(NotifyError::NotOffered("STARTTLS"));
            }
            let parameters = trust::parameters(&self.roots, &email.smtp_host);
            let parameters = parameters.map_err(|error| broken("preparing TLS", &error))?;
            let upgraded = connection.starttls(parameters, &hello).await;
            upgraded.map_err(|error| refused("STARTTLS", &error))?;
        }
        if let Some(username) = &email.username {
            let password = email.password.clone().unwrap_or_default();
            if connection
                .server_info()
                .get_auth_mechanism(&MECHANISMS)
                .is_none()
            {
                return Err(NotifyError::NotOffered("a login with a password"));
            }
            let credentials = Credentials::new(username.clone(), password);
            let logged_in = connection.auth(&MECHANISMS, &credentials).await;
            logged_in.map_err(|error| refused("the login", &error))?;
        }
        Ok(connection)
    }

    /// TLS from the first byte. What is said then is not bounded: only the server that was meant can say it.
    async fn connect_tls(
        &self,
        email: &Email,
        addresses: &[SocketAddr],
        hello: &ClientId,
    ) -> Result<AsyncSmtpConnection, NotifyError> {
        let parameters = trust::parameters(&self.roots, &email.smtp_host);
        let parameters = parameters.map_err(|error| broken("preparing TLS", &error))?;
        AsyncSmtpConnection::connect_tokio1(addresses, None, hello, Some(parameters), None)
            .await
            .map_err(|error| refused("the connection", &error))
    }
}

impl Links {
    /// Who says hello: the dashboard's host, as many servers want a whole name; without one, this machine's name.
    fn client_id(&self) -> ClientId {
        let url = self.0.as_ref().and_then(|url| Url::parse(url).ok());
        url.as_ref()
            .and_then(Url::domain)
            .filter(|domain| domain.contains('.'))
            .map_or_else(ClientId::default, |domain| {
                ClientId::Domain(domain.to_owned())
            })
    }
}

async fn deliver(
    connection: &mut AsyncSmtpConnection,
    mail: &Mail,
    is_trial: bool,
) -> Result<(), NotifyError> {
    let from = commands::Mail::new(Some(mail.from.clone()), Vec::new());
    let answer = connection.command(from).await;
    answer.map_err(|error| refused(&format!("the sender {}", mail.from), &error))?;
    let (mut accepted, mut refusal) = (0, None);
    for to in &mail.to {
        match connection.command(Rcpt::new(to.clone(), Vec::new())).await {
            Ok(_) => accepted += 1,
            Err(error) => {
                let refused = refused(&format!("the receiver {to}"), &error);
                if is_trial || !error.is_permanent() {
                    return Err(refused);
                }
                tracing::warn!(%refused, "a receiver is left out");
                refusal = Some(refused);
            }
        }
    }
    if let (0, Some(refused)) = (accepted, refusal) {
        return Err(refused);
    }
    let answer = connection.command(Data).await;
    answer.map_err(|error| refused("the message", &error))?;
    let answer = connection.message(&mail.bytes).await;
    answer.map_err(|error| refused("the message", &error))?;
    Ok(())
}

/// What an error of the library means. Its own text may repeat what the server said.
fn refused(what: &str, error: &Error) -> NotifyError {
    if let Some(code) = error.status() {
        return NotifyError::Refused {
            what: what.to_owned(),
            code: code.into(),
        };
    }
    if error.is_response() {
        return NotifyError::NotSmtp;
    }
    broken("talking to the mail server", error)
}

fn broken(doing: &'static str, error: &(dyn std::error::Error + 'static)) -> NotifyError {
    NotifyError::Connection {
        doing,
        cause: cause(error),
    }
}
