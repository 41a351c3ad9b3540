//! Who collects which host at the moment, and how each host's collections go.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Outcome;
use crate::app::App;
use crate::domain::collection::{Collection, Target};
use crate::domain::host::Host;
use crate::domain::progress::{Attempt, Progress};

/// Hosts that are asked over HTTP at a time.
const HTTP_AT_A_TIME: usize = 50;
/// Hosts that are asked over SSH at a time.
const SSH_AT_A_TIME: usize = 16;
/// Hosts that are asked at a time because a person wants it, beside the others.
const BY_HAND_AT_A_TIME: usize = 8;
/// Snapshots of hosts that are pulled that are kept at a time; the others wait. It is less than all that may be.
const SNAPSHOTS_AT_A_TIME: usize = 8;
/// A collector has so long for what it leased, in seconds.
pub const LEASE_SECONDS: i64 = 60;

/// A host that a collector is at.
#[derive(Clone, Copy, Debug)]
struct Lease {
    lease_id: Uuid,
    token_id: Uuid,
    ends_at: DateTime<Utc>,
}

/// What joins a collection that runs: none until it is over.
pub type Joined = watch::Receiver<Option<Arc<Outcome>>>;

enum Busy {
    /// Nobody is at the host.
    Free,
    /// The backend is.
    Running(Joined),
    /// A collector is.
    Leased(Lease),
}

struct Place {
    progress: Progress,
    busy: Busy,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            progress: Progress::default(),
            busy: Busy::Free,
        }
    }
}

impl Place {
    fn is_free(&self, now: DateTime<Utc>) -> bool {
        match &self.busy {
            Busy::Free => true,
            Busy::Running(_) => false,
            Busy::Leased(lease) => now >= lease.ends_at,
        }
    }
}

/// Places of one kind of host. Those that failed last time get no more than half of them, so that many that are stuck
/// leave room for the others.
struct Lanes {
    all: Semaphore,
    failing: Semaphore,
}

/// A place that is taken.
pub struct Permit<'a>(
    #[expect(dead_code, reason = "held until dropped")] [Option<SemaphorePermit<'a>>; 2],
);

impl Lanes {
    fn new(places: usize) -> Self {
        Self {
            all: Semaphore::new(places),
            failing: Semaphore::new(places / 2),
        }
    }

    async fn take(&self, is_failing: bool) -> Permit<'_> {
        let failing = if is_failing {
            self.failing.acquire().await.ok()
        } else {
            None
        };
        Permit([failing, self.all.acquire().await.ok()])
    }
}

/// See the module.
pub struct CollectionBoard {
    places: Mutex<HashMap<Uuid, Place>>,
    http: Lanes,
    ssh: Lanes,
    by_hand: Semaphore,
    /// Snapshots that are kept at a time.
    pub snapshots: Semaphore,
    /// Collections that run.
    pub tasks: TaskTracker,
}

impl Default for CollectionBoard {
    fn default() -> Self {
        Self {
            places: Mutex::default(),
            http: Lanes::new(HTTP_AT_A_TIME),
            ssh: Lanes::new(SSH_AT_A_TIME),
            by_hand: Semaphore::new(BY_HAND_AT_A_TIME),
            snapshots: Semaphore::new(SNAPSHOTS_AT_A_TIME),
            tasks: TaskTracker::new(),
        }
    }
}

impl CollectionBoard {
    /// How a host's collections go.
    pub fn progress(&self, host_id: Uuid) -> Progress {
        let places = self.places.lock();
        let place = places.get(&host_id);
        place
            .map(|place| place.progress.clone())
            .unwrap_or_default()
    }

    /// Forgets how a host's collections went, as it is to be reached otherwise: it is due at once.
    pub fn restart(&self, host_id: Uuid, now: DateTime<Utc>) {
        let mut places = self.places.lock();
        places.entry(host_id).or_default().progress = Progress {
            next_at: Some(now),
            ..Progress::default()
        };
    }

    /// Forgets hosts that are no longer there.
    pub fn retain(&self, hosts: &HashSet<Uuid>) {
        self.places.lock().retain(|host_id, place| {
            hosts.contains(host_id) || matches!(place.busy, Busy::Running(_))
        });
    }

    /// Hosts that are due and that nobody is at, the longest overdue first. Each host comes with how it is collected.
    pub fn due(&self, hosts: Vec<(Arc<Host>, Collection)>, now: DateTime<Utc>) -> Vec<Due> {
        let mut places = self.places.lock();
        let mut due: Vec<Due> = hosts
            .into_iter()
            .filter_map(|(host, collection)| {
                let place = places.entry(host.host_id).or_default();
                let interval = collection.interval_seconds;
                let is_due = place.progress.is_due(host.host_id, interval, now);
                (is_due && place.is_free(now)).then_some(Due {
                    since: place.progress.next_at,
                    host,
                    collection,
                })
            })
            .collect();
        due.sort_by_key(|due| due.since);
        due
    }

    /// Takes what became of a collection.
    pub fn settle(
        &self,
        host_id: Uuid,
        interval_seconds: u32,
        attempt: Attempt,
        now: DateTime<Utc>,
    ) {
        // Without randomness hosts are as far apart as they were.
        let jitter = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
        let mut places = self.places.lock();
        let progress = &mut places.entry(host_id).or_default().progress;
        progress.settle(attempt, host_id, interval_seconds, now, jitter);
    }

    /// A place among the hosts of its kind.
    pub async fn take(
        &self,
        collection: &Collection,
        is_failing: bool,
        by_hand: bool,
    ) -> Permit<'_> {
        match (by_hand, &collection.target) {
            (true, _) => Permit([None, self.by_hand.acquire().await.ok()]),
            (false, Target::Http(_)) => self.http.take(is_failing).await,
            (false, Target::Ssh(_)) => self.ssh.take(is_failing).await,
        }
    }

    /// Collections that run from here.
    pub fn running(&self) -> Vec<Joined> {
        let places = self.places.lock();
        let running = places.values().filter_map(|place| match &place.busy {
            Busy::Running(joined) => Some(joined.clone()),
            Busy::Free | Busy::Leased(_) => None,
        });
        running.collect()
    }

    fn release(&self, host_id: Uuid) {
        if let Some(place) = self.places.lock().get_mut(&host_id) {
            place.busy = Busy::Free;
        }
    }

    /// Lends a host to a collector.
    pub fn lease(&self, host_id: Uuid, token_id: Uuid, lease_id: Uuid, now: DateTime<Utc>) -> bool {
        let mut places = self.places.lock();
        let place = places.entry(host_id).or_default();
        let is_free = place.is_free(now);
        if is_free {
            place.busy = Busy::Leased(Lease {
                lease_id,
                token_id,
                ends_at: now + TimeDelta::seconds(LEASE_SECONDS),
            });
        }
        is_free
    }
}

/// A host that is due.
pub struct Due {
    since: Option<DateTime<Utc>>,
    /// The host.
    pub host: Arc<Host>,
    /// How it is collected.
    pub collection: Collection,
}

/// What there is instead of a ticket.
pub enum Taken {
    /// The backend is at the host: its outcome can be waited for.
    Running(Joined),
    /// A collector is at it.
    Leased,
}

/// The right to be at a host; others wait until it is given back, however that comes.
pub struct Ticket {
    app: Arc<App>,
    host_id: Uuid,
    outcome: watch::Sender<Option<Arc<Outcome>>>,
    is_given_back: bool,
}

impl Ticket {
    /// Takes the right to be at a host.
    pub fn take(
        app: &Arc<App>,
        host_id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(Self, Joined), Taken> {
        let mut places = app.collections.places.lock();
        let place = places.entry(host_id).or_default();
        match &place.busy {
            Busy::Running(joined) => return Err(Taken::Running(joined.clone())),
            Busy::Leased(lease) if now < lease.ends_at => return Err(Taken::Leased),
            Busy::Leased(_) | Busy::Free => {}
        }
        Ok(Self::new(app, host_id, place))
    }

    /// Takes a lease for what its collector brings; `None` when it has run out or is not its.
    pub fn redeem(
        app: &Arc<App>,
        host_id: Uuid,
        token_id: Uuid,
        lease_id: Uuid,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let mut places = app.collections.places.lock();
        let place = places.get_mut(&host_id)?;
        let Busy::Leased(lease) = &place.busy else {
            return None;
        };
        let is_its = lease.lease_id == lease_id && lease.token_id == token_id;
        (is_its && now < lease.ends_at).then(|| Self::new(app, host_id, place).0)
    }

    fn new(app: &Arc<App>, host_id: Uuid, place: &mut Place) -> (Self, Joined) {
        let (outcome, joined) = watch::channel(None);
        place.busy = Busy::Running(joined.clone());
        let ticket = Self {
            app: Arc::clone(app),
            host_id,
            outcome,
            is_given_back: false,
        };
        (ticket, joined)
    }

    /// Gives the right back, with what came of it for those who wait: when they hear of it, the host is free.
    pub fn finish(mut self, outcome: Arc<Outcome>) {
        self.give_back();
        self.outcome.send_replace(Some(outcome));
    }

    fn give_back(&mut self) {
        if !std::mem::replace(&mut self.is_given_back, true) {
            self.app.collections.release(self.host_id);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.give_back();
    }
}
