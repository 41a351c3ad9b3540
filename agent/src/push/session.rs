//! One agent's dealings with its backend as a state machine: which call is next, and what its answer means. It makes
//! no call itself and reads no clock.

mod settle;

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::api::{Body, Call};
use super::dead_letters::DeadLetters;
use super::decide::{PAUSE, wait};
use super::delivery::{Delivery, Due};
use super::outbox::{Batch, Outbox};
use crate::facts::{Host, Snapshot};
use crate::measure::Measurement;
use crate::report::{self, Columns, Mention, Sender};
use crate::state::{StateDir, Token};

/// Facts that did not change are sent again after this time, in seconds.
const FACTS_SECONDS: i64 = 3600;
/// A renewal that failed is tried again after this time, in seconds: the token is still good for half a year.
const RENEW_AGAIN_SECONDS: i64 = 3600;

/// What the session is made of.
pub struct Parts {
    /// Who enrols.
    pub install_id: Uuid,
    /// What every report says.
    pub sender: Sender,
    /// The backend's address: tokens are worth something only there.
    pub server: String,
    /// Allows to enrol.
    pub enrollment_key: Option<String>,
    /// Where the token is kept.
    pub state: StateDir,
    /// The points that wait.
    pub outbox: Outbox,
    /// What this host is, at present.
    pub host: Host,
    /// Any number, for the jitter.
    pub random: fn() -> u64,
}

/// See the module.
pub struct Session {
    parts: Parts,
    token: Option<Token>,
    in_flight: Option<InFlight>,
    /// Facts that the backend has, and since when.
    known_host: Option<(Host, i64)>,
    delivery: Delivery,
    /// The snapshot did not get through: points have their turn, so that on a bad line they do.
    points_first: bool,
    dead_letters: DeadLetters,
    may_enroll: bool,
    may_compress: bool,
    attempt: u32,
    not_before: Option<Instant>,
    renew_not_before: i64,
}

enum InFlight {
    Enroll,
    Renew,
    Submit(Box<Submission>),
}

struct Submission {
    load: Load,
    with_host: Option<Host>,
    /// The snapshot that goes with points.
    with_hash: Option<String>,
    compressed: bool,
    bytes: usize,
    started: Instant,
}

/// What a report is for.
enum Load {
    Points(Batch),
    Snapshot(Due),
}

impl Load {
    fn points(&self) -> &[Measurement] {
        match self {
            Self::Points(batch) => &batch.points,
            Self::Snapshot(_) => &[],
        }
    }
}

impl Submission {
    /// What the report says of the snapshot.
    fn mention(&self) -> Mention<'_> {
        mention(&self.load, self.with_hash.as_deref())
    }
}

fn mention<'a>(load: &'a Load, with_hash: Option<&'a str>) -> Mention<'a> {
    match load {
        Load::Snapshot(Due::Whole(snapshot)) => Mention::Whole(snapshot),
        Load::Snapshot(Due::Hash(snapshot)) => Mention::Hash(&snapshot.hash),
        Load::Points(_) => with_hash.map_or(Mention::Nothing, Mention::Hash),
    }
}

impl Session {
    /// A session that goes on with the token that is kept, if it is for this backend.
    pub fn new(parts: Parts) -> Self {
        Self {
            token: parts.state.token(&parts.server),
            in_flight: None,
            known_host: None,
            delivery: Delivery::default(),
            points_first: false,
            dead_letters: DeadLetters::new(parts.state.path()),
            may_enroll: parts.enrollment_key.is_some(),
            may_compress: true,
            attempt: 0,
            not_before: None,
            renew_not_before: 0,
            parts,
        }
    }

    /// Whether there is a way to be let in at all.
    pub fn can_start(&self) -> bool {
        self.token.is_some() || self.may_enroll
    }

    /// Takes a point that was measured.
    pub fn add(&mut self, point: Measurement) {
        let can_send = self.in_flight.is_none() && self.not_before.is_none();
        self.parts.outbox.add(point, can_send);
    }

    /// Takes facts that were read again.
    pub fn set_host(&mut self, host: Host) {
        self.parts.host = host;
    }

    /// Takes a snapshot that was taken.
    pub fn set_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        self.delivery.set(snapshot);
    }

    /// Until when nothing may be sent.
    pub fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// The wait is over.
    pub fn resume(&mut self) {
        self.not_before = None;
    }

    /// The next call to make. None while one is made, while waiting, and when there is nothing to say.
    pub fn next_call(&mut self, now: i64, instant: Instant) -> Option<Call> {
        if self.in_flight.is_some() || self.not_before.is_some() {
            return None;
        }
        let Some(token) = &self.token else {
            return self.enroll(instant);
        };
        if token.is_past_half(now) && now >= self.renew_not_before {
            self.in_flight = Some(InFlight::Renew);
            return Some(Call::Renew {
                token: token.token.clone(),
            });
        }
        let token = token.token.clone();
        let due = self.delivery.due().map(Load::Snapshot);
        let load = match due {
            Some(due) if !self.points_first => due,
            due => match self.parts.outbox.next_batch() {
                Ok(Some(batch)) => Load::Points(batch),
                Ok(None) => due?,
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be read");
                    self.wait_for(Duration::ZERO, instant);
                    return None;
                }
            },
        };
        self.submit(token, load, now, instant)
    }

    fn enroll(&mut self, instant: Instant) -> Option<Call> {
        let Some(key) = self
            .parts
            .enrollment_key
            .clone()
            .filter(|_| self.may_enroll)
        else {
            tracing::error!("paused: this host has no token and no enrolment key that works");
            self.pause(instant);
            return None;
        };
        match report::enrollment(self.parts.install_id, &self.parts.host) {
            Ok(body) => {
                self.in_flight = Some(InFlight::Enroll);
                Some(Call::Enroll { key, body })
            }
            Err(error) => {
                tracing::error!(%error, "paused: this host's facts do not fit the contract");
                self.pause(instant);
                None
            }
        }
    }

    fn submit(&mut self, token: String, load: Load, now: i64, started: Instant) -> Option<Call> {
        let host = &self.parts.host;
        let is_known = self.known_host.as_ref().is_some_and(|(known, since)| {
            known == host && (*since..since.saturating_add(FACTS_SECONDS)).contains(&now)
        });
        let with_host = (!is_known).then(|| host.clone());
        let with_hash = self.delivery.hash().map(str::to_owned);
        let report = Columns::of(load.points()).and_then(|columns| {
            let mention = mention(&load, with_hash.as_deref());
            let sender = &self.parts.sender;
            sender.report(columns, with_host.as_ref(), mention, now)
        });
        let json = report
            .map_err(|error| error.to_string())
            .and_then(|report| serde_json::to_vec(&report).map_err(|error| error.to_string()));
        let json = match json {
            Ok(json) => json,
            Err(error) => {
                tracing::error!(
                    error,
                    points = load.points().len(),
                    "a report is lost: it does not fit the contract"
                );
                self.drop_load(&load);
                return None;
            }
        };
        let body = Body::new(json, self.may_compress);
        let (compressed, bytes) = (body.compressed, body.bytes.len());
        self.in_flight = Some(InFlight::Submit(Box::new(Submission {
            load,
            with_host,
            with_hash,
            compressed,
            bytes,
            started,
        })));
        Some(Call::Submit { token, body })
    }

    /// Writes down what is on its way or only in memory, as the agent ends.
    pub fn close(&mut self) {
        if let Some(InFlight::Submit(submission)) = self.in_flight.take() {
            self.give_back(submission.load);
        }
        self.parts.outbox.close();
        tracing::info!(backlog = self.parts.outbox.backlog_points(), "stopped");
    }

    /// What is on its way will have to go again.
    fn give_back(&mut self, load: Load) {
        match load {
            Load::Points(batch) => self.parts.outbox.give_back(batch),
            // It stays due until it is settled.
            Load::Snapshot(_) => {}
        }
    }

    /// It will never be taken.
    fn drop_load(&mut self, load: &Load) {
        match load {
            Load::Points(batch) => self.finish(batch),
            Load::Snapshot(due) => self.delivery.refuse(&due.snapshot().hash),
        }
    }

    fn wait_for(&mut self, at_least: Duration, instant: Instant) -> Duration {
        self.attempt = self.attempt.saturating_add(1);
        let wait = wait(self.attempt, at_least, (self.parts.random)());
        self.hold(wait, instant);
        wait
    }

    fn pause(&mut self, instant: Instant) {
        // By then an operator may have made the key valid again.
        self.may_enroll = self.parts.enrollment_key.is_some();
        self.hold(PAUSE, instant);
    }

    fn hold(&mut self, wait: Duration, instant: Instant) {
        self.not_before = Some(instant + wait);
        // Waiting may take long: what is only in memory must not be lost with the process.
        self.parts.outbox.close();
    }
}

#[cfg(test)]
mod tests;
