//! Pushing: keeps the backend supplied with what is seen, whatever happens to either.

mod api;
mod dead_letters;
mod decide;
mod delivery;
mod outbox;
mod session;

use std::future::{Future, pending};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Instant;

use thiserror::Error;
use tokio::time::sleep_until;
use uuid::Uuid;

use crate::clock;
use crate::daemon::Seen;
use crate::facts::Host;
use crate::report::Sender;
use crate::spool::{Limits, Spool};
use crate::state::StateDir;

use api::{Answer, Api};
use outbox::Outbox;
use session::Session;

pub use api::ApiError;

/// Why nothing can be pushed.
#[derive(Debug, Error)]
pub enum PushError {
    /// The way to the backend cannot be prepared.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The backlog cannot be kept.
    #[error("cannot open the spool {}", path.display())]
    Spool {
        /// Its directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing would let this agent in.
    #[error(
        "this host has no token for {server} yet: give --enrollment-key-file or --enrollment-key"
    )]
    NoKey {
        /// The backend.
        server: String,
    },
}

/// What pushing needs to know.
pub struct Parts {
    /// Who this agent is.
    pub install_id: Uuid,
    /// What every report says.
    pub sender: Sender,
    /// The backend's address.
    pub server: String,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Allows to enrol.
    pub enrollment_key: Option<String>,
    /// Identity, token, spool.
    pub state: StateDir,
    /// How much the spool may hold.
    pub spool_limits: Limits,
    /// What this host is, at present.
    pub host: Host,
}

/// Keeps the backend supplied: makes one call after the other, and waits where that is better.
pub struct Pusher {
    session: Session,
    api: Api,
    in_flight: Option<Pin<Box<dyn Future<Output = Answer>>>>,
}

impl Pusher {
    /// Opens the spool and prepares the way to the backend; nothing is sent yet.
    pub fn new(parts: Parts) -> Result<Self, PushError> {
        let api = Api::new(&parts.server, parts.ca_file.as_deref())?;
        let path = parts.state.path().join("spool");
        let spool = Spool::open(&path, parts.spool_limits)
            .map_err(|source| PushError::Spool { path, source })?;
        let server = parts.server.clone();
        let session = Session::new(session::Parts {
            install_id: parts.install_id,
            sender: parts.sender,
            server: parts.server,
            enrollment_key: parts.enrollment_key,
            state: parts.state,
            outbox: Outbox::new(spool),
            host: parts.host,
            random: random_number,
        });
        if !session.can_start() {
            return Err(PushError::NoKey { server });
        }
        Ok(Self {
            session,
            api,
            in_flight: None,
        })
    }

    /// Takes what was seen.
    pub fn take(&mut self, seen: Seen) {
        match seen {
            Seen::Point { point, host } => {
                self.session.add(point);
                if let Some(host) = host {
                    self.session.set_host(*host);
                }
            }
            Seen::Snapshot(snapshot) => self.session.set_snapshot(snapshot),
        }
    }

    /// Goes one step on; never, while there is nothing to say. Nothing is lost when the wait is given up and begun
    /// again.
    pub async fn proceed(&mut self) {
        if self.in_flight.is_none()
            && let Some(call) = self
                .session
                .next_call(clock::unix_seconds(), Instant::now())
        {
            self.in_flight = Some(Box::pin(self.api.clone().perform(call)));
        }
        if let Some(call) = &mut self.in_flight {
            let answer = call.await;
            self.in_flight = None;
            self.session
                .settle(answer, clock::unix_seconds(), Instant::now());
        } else if let Some(instant) = self.session.not_before() {
            sleep_until(instant.into()).await;
            self.session.resume();
        } else {
            pending::<()>().await;
        }
    }

    /// Writes down what is on its way or only in memory.
    pub fn close(mut self) {
        self.session.close();
    }
}

/// For the jitter; if the system has no randomness, the clock is as good.
fn random_number() -> u64 {
    getrandom::u64().unwrap_or_else(|_| u64::from(clock::since_epoch().subsec_nanos()))
}
