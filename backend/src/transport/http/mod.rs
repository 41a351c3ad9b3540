//! Agents' endpoints over HTTP.

mod client;
mod pin;
mod url;

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING};
use reqwest::{Request, Response};
use tokio::time::timeout;
use uuid::Uuid;

use self::client::Clients;
use self::pin::WrongCertificate;
pub use self::url::check_url;
use super::bounded::Budget;
use super::{Transport, TransportError, TransportSettings, Visit, Want, answer, words};
use crate::domain::collection::{Failure, HttpTarget, OfferedHostKey, Step};
use crate::domain::egress::Purpose;
use crate::outgoing::{EgressError, Resolver, cause, causes};

/// Time for a whole collection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks endpoints.
pub struct HttpTransport {
    resolver: Resolver,
    clients: Clients,
    budget: Budget,
    patience: Duration,
    connect_patience: Duration,
}

impl HttpTransport {
    pub(super) fn new(
        settings: &TransportSettings,
        budget: Budget,
    ) -> Result<Self, TransportError> {
        let resolver = Resolver::new(settings.egress.clone(), Purpose::Collection);
        let patience = settings.patience.unwrap_or(PATIENCE);
        // Half of it, so that who waits for an answer is known to be connected.
        let connect_patience = patience / 2;
        Ok(Self {
            clients: Clients::new(resolver.clone(), connect_patience)?,
            resolver,
            budget,
            patience,
            connect_patience,
        })
    }

    async fn ask(
        &self,
        target: &HttpTarget,
        want: &Want,
        visit: &mut Visit,
    ) -> Result<Bytes, Failure> {
        let mut url = url::parse(&target.url)
            .map_err(|fault| Failure::new(Step::Resolve, format!("the URL {fault}")))?;
        self.resolver
            .judge_literal(url.host_str().unwrap_or_default())
            .map_err(|refusal| Failure::new(Step::Resolve, refusal.to_string()))?;
        for (name, value) in answer::query(want) {
            url.query_pairs_mut().append_pair(name, &value);
        }
        let place = url::authority(&url);
        let client = self.clients.of(target, visit.may_reuse)?;
        let request = client
            .get(url)
            .bearer_auth(&target.token)
            .header(ACCEPT, answer::ACCEPTED_TYPE)
            .header(ACCEPT_ENCODING, answer::ACCEPTED_ENCODING)
            .build()
            .map_err(|error| Failure::new(Step::Authenticate, refused_request(&error)))?;
        let is_encrypted = is_encrypted(&request);
        visit.begin(Step::Agent, "waiting for the answer of the endpoint");
        let response = client.execute(request).await;
        let response = response.map_err(|error| self.failure(&error, target, &place))?;
        note(&response, target, is_encrypted, visit);
        let intake = self.budget.intake();
        let report = answer::report(response.into(), &place, intake, visit).await?;
        visit.pass(Step::Agent, format!("{} bytes", report.len()));
        Ok(report)
    }

    /// What an error before the answer means.
    fn failure(&self, error: &reqwest::Error, target: &HttpTarget, place: &str) -> Failure {
        if let Some(refusal) = causes(error).find_map(|error| error.downcast_ref::<EgressError>()) {
            return Failure::new(Step::Resolve, refusal.to_string());
        }
        if let (Some(wrong), Some(known)) = (
            WrongCertificate::behind(error),
            &target.certificate_fingerprint,
        ) {
            return changed_certificate(wrong, known);
        }
        if let Some(tls) = causes(error).find_map(pin::tls) {
            return Failure::new(Step::HostKey, format!("TLS with {place} failed: {tls}"));
        }
        if error.is_connect() {
            let reason = if error.is_timeout() {
                words::too_long(&format!("connecting to {place}"), self.connect_patience)
            } else {
                match causes(error).find_map(|error| error.downcast_ref()) {
                    Some(network) => words::unreachable(place, network),
                    None => format!("connecting to {place} failed: {}", cause(error)),
                }
            };
            return Failure::new(Step::Connect, reason);
        }
        Failure::new(
            Step::Agent,
            format!("{place} gave no answer in HTTP: {}", cause(error)),
        )
    }
}

impl Transport for HttpTransport {
    type Target = HttpTarget;

    async fn fetch(
        &self,
        _host_id: Uuid,
        target: &HttpTarget,
        want: &Want,
        visit: &mut Visit,
    ) -> Result<Bytes, Failure> {
        match timeout(self.patience, self.ask(target, want, visit)).await {
            Ok(answered) => answered,
            Err(_) => Err(visit.took_too_long(self.patience)),
        }
    }
}

fn is_encrypted(request: &Request) -> bool {
    request.url().scheme() == "https"
}

/// A request cannot be written when its token is no header.
fn refused_request(error: &reqwest::Error) -> String {
    format!("the token cannot be sent: {}", cause(error))
}

/// What is known once there is an answer; the client says nothing before.
fn note(response: &Response, target: &HttpTarget, is_encrypted: bool, visit: &mut Visit) {
    let address = response.remote_addr();
    visit.pass(
        Step::Resolve,
        address.map_or_else(String::new, |address| address.ip().to_string()),
    );
    visit.pass(
        Step::Connect,
        address.map_or_else(String::new, |address| address.to_string()),
    );
    let identity = match &target.certificate_fingerprint {
        _ if !is_encrypted => "not encrypted".to_owned(),
        Some(fingerprint) => format!("the certificate {fingerprint}"),
        None => "a certificate that the system believes".to_owned(),
    };
    visit.pass(Step::HostKey, identity);
    visit.begin(Step::Authenticate, "waiting for the answer of the endpoint");
}

fn changed_certificate(wrong: &WrongCertificate, known: &str) -> Failure {
    let offered = &wrong.fingerprint;
    let reason = format!(
        "the certificate is {offered}, and {known} is known; no token was sent: if the endpoint was set up anew, an \
         admin must set the new fingerprint"
    );
    Failure {
        host_key: Some(OfferedHostKey {
            is_jump: false,
            algorithm: "certificate".to_owned(),
            fingerprint: offered.clone(),
            known: Some(known.to_owned()),
        }),
        ..Failure::new(Step::HostKey, reason)
    }
}
