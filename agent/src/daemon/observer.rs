//! Sees what there is to tell of the machine: points at each tick, its facts, snapshots of its configuration.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::{Instant, sleep, sleep_until};

use super::FIRST_MEASURE;
use super::taker::Taker;
use super::tick::Ticks;
use crate::clock;
use crate::facts::{Host, Snapshot};
use crate::measure::{Measurement, Meter};

/// Facts are read again at most this often, in seconds.
const FACTS_CHECK_SECONDS: i64 = 60;

/// What was seen.
#[derive(Clone, Debug)]
pub enum Seen {
    /// Measurements, and the facts when they were read again.
    Point {
        /// What was measured.
        point: Measurement,
        /// What the host says of itself.
        host: Option<Box<Host>>,
    },
    /// A snapshot was taken.
    Snapshot(Arc<Snapshot>),
}

/// See the module.
pub struct Observer {
    root: PathBuf,
    meter: Meter,
    taker: Taker,
    ticks: Ticks,
    first_at: Instant,
    last: Option<i64>,
    host_read_at: i64,
}

impl Observer {
    /// Observes the system whose root directory is `root`.
    pub fn new(root: PathBuf, ticks: Ticks, taker: Taker) -> Self {
        let mut meter = Meter::new(&root);
        // Counters are read once, so that the first point, which does not wait for a tick, has rates.
        meter.measure(std::time::Instant::now());
        Self {
            root,
            meter,
            taker,
            ticks,
            first_at: Instant::now() + FIRST_MEASURE,
            last: None,
            host_read_at: 0,
        }
    }

    /// What the host says of itself now.
    pub fn host(&self) -> Host {
        Host::read(&self.root)
    }

    /// What is seen next, when it is seen. Nothing is lost when the wait is given up and begun again.
    pub async fn next(&mut self) -> Seen {
        loop {
            let tick = async {
                match self.last {
                    Some(_) => sleep(self.ticks.wait(clock::since_epoch())).await,
                    None => sleep_until(self.first_at).await,
                }
            };
            tokio::select! {
                biased;
                () = tick => {
                    if let Some(seen) = self.measure(clock::unix_seconds()) {
                        return seen;
                    }
                }
                snapshot = self.taker.next() => return Seen::Snapshot(Arc::new(snapshot)),
            }
        }
    }

    /// The point for the tick at `now`, unless it was measured already.
    fn measure(&mut self, now: i64) -> Option<Seen> {
        let at = match self.last {
            Some(last) => self.ticks.due(last, now)?,
            None => now,
        };
        self.last = Some(at);
        let point = Measurement {
            at,
            samples: self.meter.measure(std::time::Instant::now()),
        };
        Some(Seen::Point {
            point,
            host: self.host_again(now),
        })
    }

    fn host_again(&mut self, now: i64) -> Option<Box<Host>> {
        if (now - self.host_read_at).abs() < FACTS_CHECK_SECONDS {
            return None;
        }
        self.host_read_at = now;
        Some(Box::new(self.host()))
    }
}
