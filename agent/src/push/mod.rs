//! The push daemon: measures at each tick and keeps the backend supplied, whatever happens to either.

mod api;
mod dead_letters;
mod decide;
mod delivery;
mod outbox;
mod pace;
mod session;
mod taker;

use std::future::{Future, pending};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::time::{sleep, sleep_until};
use uuid::Uuid;

use crate::clock;
use crate::facts::{Facts, Host};
use crate::measure::{Measurement, Meter};
use crate::report::Sender;
use crate::spool::{Limits, Spool};
use crate::state::StateDir;
use crate::tick::Ticks;

use api::{Answer, Api};
use outbox::Outbox;
use session::{Parts, Session};
use taker::Taker;

pub use api::ApiError;

/// Facts are compared with what the backend has at most this often, in seconds.
const FACTS_CHECK_SECONDS: i64 = 60;
/// The first point is measured over this time, so that it has rates.
pub const FIRST_MEASURE: Duration = Duration::from_secs(1);

/// Why the agent cannot run.
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

/// What the daemon needs to know.
pub struct Daemon {
    /// Root directory of the system that is measured.
    pub root: PathBuf,
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
    /// What takes snapshots.
    pub facts: Facts,
}

impl Daemon {
    /// Runs until `shutdown`. What was measured and not taken by then is in the spool.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), PushError> {
        let api = Api::new(&self.server, self.ca_file.as_deref())?;
        let path = self.state.path().join("spool");
        let spool = Spool::open(&path, self.spool_limits)
            .map_err(|source| PushError::Spool { path, source })?;
        let ticks = Ticks::new(self.sender.interval_seconds.get(), self.install_id);
        let machine = Machine::new(&self.root);
        let taker = Taker::new(
            self.root,
            self.facts,
            self.sender.snapshot_interval_seconds.get(),
            self.sender.interval_seconds.get(),
            FIRST_MEASURE,
        );
        let session = Session::new(Parts {
            install_id: self.install_id,
            sender: self.sender,
            server: self.server.clone(),
            enrollment_key: self.enrollment_key,
            state: self.state,
            outbox: Outbox::new(spool),
            host: machine.host(),
            random: random_number,
        });
        if !session.can_start() {
            return Err(PushError::NoKey {
                server: self.server,
            });
        }
        drive(session, api, machine, taker, ticks, shutdown).await;
        Ok(())
    }
}

async fn drive(
    mut session: Session,
    api: Api,
    mut machine: Machine,
    mut taker: Taker,
    ticks: Ticks,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = std::pin::pin!(shutdown);
    let mut in_flight: Option<Pin<Box<dyn Future<Output = Answer>>>> = None;
    // Counters are read once, so that the first point, which does not wait for a tick, has rates.
    machine.measure(0);
    let mut last = None;
    loop {
        if in_flight.is_none()
            && let Some(call) = session.next_call(clock::unix_seconds(), Instant::now())
        {
            in_flight = Some(Box::pin(api.clone().perform(call)));
        }
        let tick = if last.is_some() {
            ticks.wait(clock::since_epoch())
        } else {
            FIRST_MEASURE
        };
        let answered = async {
            match &mut in_flight {
                Some(call) => call.await,
                None => pending().await,
            }
        };
        let waited = async {
            match session.not_before() {
                Some(instant) => sleep_until(instant.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = sleep(tick) => {
                let now = clock::unix_seconds();
                let due = last.map_or(Some(now), |last| ticks.due(last, now));
                if let Some(at) = due {
                    last = Some(at);
                    session.add(machine.measure(at));
                    if let Some(host) = machine.host_again(now) {
                        session.set_host(host);
                    }
                }
            }
            answer = answered => {
                in_flight = None;
                session.settle(answer, clock::unix_seconds(), Instant::now());
            }
            () = waited => session.resume(),
            snapshot = taker.next() => session.set_snapshot(snapshot),
        }
    }
    session.close();
}

/// What is measured, and the facts about it.
struct Machine {
    root: PathBuf,
    meter: Meter,
    host_read_at: i64,
}

impl Machine {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            meter: Meter::new(root),
            host_read_at: 0,
        }
    }

    fn measure(&mut self, at: i64) -> Measurement {
        Measurement {
            at,
            samples: self.meter.measure(Instant::now()),
        }
    }

    fn host(&self) -> Host {
        Host::read(&self.root)
    }

    fn host_again(&mut self, now: i64) -> Option<Host> {
        if (now - self.host_read_at).abs() < FACTS_CHECK_SECONDS {
            return None;
        }
        self.host_read_at = now;
        Some(self.host())
    }
}

/// For the jitter; if the system has no randomness, the clock is as good.
fn random_number() -> u64 {
    getrandom::u64().unwrap_or_else(|_| u64::from(clock::since_epoch().subsec_nanos()))
}
