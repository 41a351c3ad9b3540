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
use crate::domain::collection::{CollectedBy, Collection, Target};
use crate::domain::host::Host;
use crate::domain::progress::{Attempt, Progress};
use crate::flows::ingest::Ingested;

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
#[derive(Clone, Debug)]
pub struct Lease {
    /// Names it.
    pub lease_id: Uuid,
    /// The collector's token.
    pub token_id: Uuid,
    /// How the host was to be collected.
    pub collection: Collection,
    ends_at: DateTime<Utc>,
}

impl Lease {
    /// A lease that begins now.
    pub fn new(lease_id: Uuid, token_id: Uuid, collection: Collection, now: DateTime<Utc>) -> Self {
        Self {
            lease_id,
            token_id,
            collection,
            ends_at: now + TimeDelta::seconds(LEASE_SECONDS),
        }
    }

    /// Whether it holds. One that ends later than any could is of a time before the clock was put back.
    fn holds(&self, now: DateTime<Utc>) -> bool {
        now < self.ends_at && self.ends_at - now <= TimeDelta::seconds(LEASE_SECONDS)
    }
}

/// What joins a collection that runs: none until it is over.
pub type Joined = watch::Receiver<Option<Arc<Outcome>>>;

enum Busy {
    /// Nobody is at the host.
    Free,
    /// The backend is.
    Running(Joined),
    /// A collector is.
    Leased(Box<Lease>),
}

struct Place {
    progress: Progress,
    busy: Busy,
    /// Closed when the task ends that waits for its turn at the host; others may be quicker.
    queued: Option<watch::Receiver<()>>,
    /// Collectors do not get it before: one failed that need not have been there.
    collectors_not_before: Option<DateTime<Utc>>,
    /// What came of the last lease, for a collector that did not hear of it.
    redeemed: Option<(Uuid, Option<Ingested>)>,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            progress: Progress::default(),
            busy: Busy::Free,
            queued: None,
            collectors_not_before: None,
            redeemed: None,
        }
    }
}

impl Place {
    fn is_free(&self, now: DateTime<Utc>) -> bool {
        match &self.busy {
            Busy::Free => true,
            Busy::Running(_) => false,
            Busy::Leased(lease) => !lease.holds(now),
        }
    }

    fn is_for_collectors(&self, now: DateTime<Utc>) -> bool {
        self.collectors_not_before.is_none_or(|at| now >= at)
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

    /// Forgets how a host's collections went, as it is to be reached otherwise: it is due at once, also when it is lent.
    pub fn restart(&self, host_id: Uuid, now: DateTime<Utc>) {
        let mut places = self.places.lock();
        let place = places.entry(host_id).or_default();
        place.progress = Progress {
            next_at: Some(now),
            ..Progress::default()
        };
        place.collectors_not_before = None;
        if let Busy::Leased(_) = place.busy {
            place.busy = Busy::Free;
        }
    }

    /// Forgets hosts that are no longer there.
    pub fn retain(&self, hosts: &HashSet<Uuid>) {
        self.places.lock().retain(|host_id, place| {
            hosts.contains(host_id) || matches!(place.busy, Busy::Running(_))
        });
    }

    /// Hosts that are due and that nobody is at, the longest overdue first.
    pub fn due(&self, hosts: Vec<Arc<Host>>, asker: Asker, now: DateTime<Utc>) -> Vec<Arc<Host>> {
        let mut places = self.places.lock();
        let mut due: Vec<_> = hosts
            .into_iter()
            .filter_map(|host| {
                let collection = host.collection.as_ref()?;
                let place = places.entry(host.host_id).or_default();
                let is_due = place
                    .progress
                    .is_due(host.host_id, collection.interval_seconds, now);
                let may = match asker {
                    Asker::Backend => {
                        let waits = place.queued.as_ref();
                        collection.collected_by != CollectedBy::Collector
                            && waits.is_none_or(|waits| waits.has_changed().is_err())
                    }
                    // A key of the host's own stays here, so that others need not try without it.
                    Asker::Collector => match collection.collected_by {
                        CollectedBy::Any => {
                            !collection.target.has_private_key() && place.is_for_collectors(now)
                        }
                        by => by == CollectedBy::Collector,
                    },
                };
                (is_due && may && place.is_free(now)).then_some((place.progress.next_at, host))
            })
            .collect();
        due.sort_by_key(|(since, _)| *since);
        due.into_iter().map(|(_, host)| host).collect()
    }

    /// Notes that a task waits for its turn at a host, for as long as what is given back lives.
    pub fn queue(&self, host_id: Uuid) -> watch::Sender<()> {
        let (sender, receiver) = watch::channel(());
        let mut places = self.places.lock();
        places.entry(host_id).or_default().queued = Some(receiver);
        sender
    }

    /// Whether a task's turn has come and the host is still to be collected; it no longer waits then.
    pub fn is_still_due(&self, host: &Host, now: DateTime<Utc>) -> bool {
        let mut places = self.places.lock();
        let place = places.entry(host.host_id).or_default();
        place.queued = None;
        host.collection.as_ref().is_some_and(|collection| {
            let interval = collection.interval_seconds;
            place.progress.is_due(host.host_id, interval, now)
        })
    }

    /// Takes what became of a collection. A collector that failed where it need not have been is kept away for a while.
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
        let place = places.entry(host_id).or_default();
        if let Some(failure) = attempt.failure.as_ref().filter(|_| attempt.has_substitute) {
            place.collectors_not_before = Some(now + failure.back_off(1, jitter));
        }
        let progress = &mut place.progress;
        progress.settle(attempt, host_id, interval_seconds, now, jitter);
    }

    /// A place among the hosts of its kind.
    pub async fn take(&self, collection: &Collection, is_failing: bool) -> Permit<'_> {
        match &collection.target {
            Target::Http(_) => self.http.take(is_failing).await,
            Target::Ssh(_) => self.ssh.take(is_failing).await,
        }
    }

    /// A place among the hosts that people want to be collected.
    pub async fn by_hand(&self) -> Permit<'_> {
        Permit([None, self.by_hand.acquire().await.ok()])
    }

    /// Collections that run from here, and those that wait for their turn.
    pub fn running(&self) -> (Vec<Joined>, Vec<watch::Receiver<()>>) {
        let places = self.places.lock();
        let running = places.values().filter_map(|place| match &place.busy {
            Busy::Running(joined) => Some(joined.clone()),
            Busy::Free | Busy::Leased(_) => None,
        });
        let queued = places.values().filter_map(|place| place.queued.clone());
        (running.collect(), queued.collect())
    }

    /// What came of a lease that was redeemed, if it was the last.
    pub fn redeemed(&self, host_id: Uuid, lease_id: Uuid) -> Option<Option<Ingested>> {
        let places = self.places.lock();
        let (last, outcome) = places.get(&host_id)?.redeemed.as_ref()?;
        (*last == lease_id).then(|| outcome.clone())
    }

    fn release(&self, host_id: Uuid) {
        if let Some(place) = self.places.lock().get_mut(&host_id) {
            place.busy = Busy::Free;
        }
    }

    /// Lends a host to a collector, if it is still due and nobody was quicker.
    pub fn lend(&self, host_id: Uuid, lease: Lease, now: DateTime<Utc>) -> bool {
        let mut places = self.places.lock();
        let place = places.entry(host_id).or_default();
        let interval = lease.collection.interval_seconds;
        let may = place.is_free(now) && place.progress.is_due(host_id, interval, now);
        if may {
            place.busy = Busy::Leased(Box::new(lease));
        }
        may
    }
}

/// Who asks for hosts that are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The backend itself.
    Backend,
    /// A collector.
    Collector,
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
            Busy::Leased(lease) if lease.holds(now) => return Err(Taken::Leased),
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
    ) -> Option<(Self, Lease)> {
        let mut places = app.collections.places.lock();
        let place = places.get_mut(&host_id)?;
        let Busy::Leased(lease) = &place.busy else {
            return None;
        };
        let is_its = lease.lease_id == lease_id && lease.token_id == token_id;
        let lease = Lease::clone(lease);
        (is_its && lease.holds(now)).then(|| (Self::new(app, host_id, place).0, lease))
    }

    /// Gives a lease back as it was: what its collector brought could not be taken, and comes again.
    pub fn restore(mut self, lease: Lease) {
        self.is_given_back = true;
        let mut places = self.app.collections.places.lock();
        if let Some(place) = places.get_mut(&self.host_id) {
            place.busy = Busy::Leased(Box::new(lease));
        }
    }

    /// Ends a lease, and remembers what came of it.
    pub fn close(mut self, lease_id: Uuid, outcome: Option<Ingested>) {
        {
            let mut places = self.app.collections.places.lock();
            if let Some(place) = places.get_mut(&self.host_id) {
                place.redeemed = Some((lease_id, outcome));
            }
        }
        self.give_back();
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
