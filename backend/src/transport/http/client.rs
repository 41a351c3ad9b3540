//! HTTP clients: one for all endpoints whose certificates the system believes, and one for each pinned certificate.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use rustls::client::Resumption;

use super::pin;
use crate::domain::collection::{Failure, HttpTarget, Step};
use crate::outgoing::{Resolver, Roots};
use crate::transport::TransportError;

/// How long an idle connection is kept for the next collection, which mostly is due every 30 or 60 seconds.
const IDLE: Duration = Duration::from_secs(90);
/// How many clients with a certificate of their own are kept: each holds some tens of kilobytes.
const MAX_PINNED: usize = 256;

/// Clients, and what they are made of.
pub struct Clients {
    resolver: Resolver,
    connect_patience: Duration,
    believing: ClientConfig,
    shared: Client,
    pinned: Mutex<HashMap<String, Pinned>>,
}

struct Pinned {
    client: Client,
    used_at: Instant,
}

impl Clients {
    pub fn new(resolver: Resolver, connect_patience: Duration) -> Result<Self, TransportError> {
        let believing = Roots::of_system().client_config()?;
        Ok(Self {
            shared: client(&resolver, believing.clone(), connect_patience, true)?,
            resolver,
            connect_patience,
            believing,
            pinned: Mutex::new(HashMap::new()),
        })
    }

    /// The client for an endpoint.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn of(&self, target: &HttpTarget, may_reuse: bool) -> Result<Client, Failure> {
        let made = match &target.certificate_fingerprint {
            Some(fingerprint) if may_reuse => self.pinned(fingerprint),
            Some(fingerprint) => self.client(pin::client_config(fingerprint), false),
            None if may_reuse => Ok(self.shared.clone()),
            None => {
                let mut anew = self.believing.clone();
                // A session that is resumed shows no certificate.
                anew.resumption = Resumption::disabled();
                self.client(Ok(anew), false)
            }
        };
        made.map_err(|error| Failure::new(Step::HostKey, error.to_string()))
    }

    fn pinned(&self, fingerprint: &str) -> Result<Client, TransportError> {
        let mut pinned = self.pinned.lock();
        let now = Instant::now();
        if let Some(known) = pinned.get_mut(fingerprint) {
            known.used_at = now;
            return Ok(known.client.clone());
        }
        if pinned.len() >= MAX_PINNED {
            let oldest = pinned.iter().min_by_key(|(_, known)| known.used_at);
            if let Some(oldest) = oldest.map(|(fingerprint, _)| fingerprint.clone()) {
                pinned.remove(&oldest);
            }
        }
        let client = self.client(pin::client_config(fingerprint), true)?;
        let known = Pinned {
            client: client.clone(),
            used_at: now,
        };
        pinned.insert(fingerprint.to_owned(), known);
        Ok(client)
    }

    fn client(
        &self,
        tls: Result<ClientConfig, rustls::Error>,
        keeps_connections: bool,
    ) -> Result<Client, TransportError> {
        client(
            &self.resolver,
            tls?,
            self.connect_patience,
            keeps_connections,
        )
    }
}

/// A client that dials what the resolver permits, and follows nobody.
fn client(
    resolver: &Resolver,
    tls: ClientConfig,
    connect_patience: Duration,
    keeps_connections: bool,
) -> Result<Client, TransportError> {
    Client::builder()
        .dns_resolver(resolver.clone())
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .no_proxy()
        // Answers are decoded where they are counted.
        .no_gzip()
        .connect_timeout(connect_patience)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(usize::from(keeps_connections))
        .user_agent(concat!("infra-watch/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(TransportError::Client)
}
