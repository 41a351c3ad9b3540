//! Takes snapshots beside everything else: on a thread of its own, so that neither measuring nor sending waits for it.

use std::collections::BTreeMap;
use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::pace::{Look, Pace};
use crate::clock;
use crate::facts::{self, Facts, Snapshot};

/// It is looked at least this often whether a snapshot is due.
const LOOK: Duration = Duration::from_secs(30);

/// See the module.
pub struct Taker {
    root: PathBuf,
    pace: Pace,
    look_each: Duration,
    next_look: Instant,
    /// None while a snapshot is taken with them.
    facts: Option<Facts>,
    taking: Option<JoinHandle<(Facts, Snapshot)>>,
    /// The failures that were said.
    failed: BTreeMap<String, String>,
}

impl Taker {
    /// Takes snapshots of the system whose root directory is `root`; the first after `wait`.
    pub fn new(
        root: PathBuf,
        facts: Facts,
        interval_seconds: u32,
        tick_seconds: u32,
        wait: Duration,
    ) -> Self {
        let shortest = u64::from(interval_seconds.min(tick_seconds));
        Self {
            root,
            pace: Pace::new(interval_seconds),
            look_each: Duration::from_secs(shortest).min(LOOK),
            next_look: Instant::now() + wait,
            facts: Some(facts),
            taking: None,
            failed: BTreeMap::new(),
        }
    }

    /// The next snapshot, when it is taken. Nothing is lost when the wait is given up and begun again.
    pub async fn next(&mut self) -> Snapshot {
        loop {
            if let Some(taking) = &mut self.taking {
                let taken = taking.await;
                self.taking = None;
                match taken {
                    Ok((facts, snapshot)) => {
                        self.facts = Some(facts);
                        self.note(&snapshot);
                        return snapshot;
                    }
                    Err(error) => {
                        tracing::error!(%error, "no more snapshots: taking one broke off");
                    }
                }
            }
            if self.facts.is_none() {
                pending::<()>().await;
            }
            sleep_until(self.next_look).await;
            self.next_look = Instant::now() + self.look_each;
            self.look();
        }
    }

    fn look(&mut self) {
        let look = Look {
            stamp: facts::stamp(&self.root),
            is_running: facts::is_running(&self.root),
        };
        let now = clock::unix_seconds();
        if self.pace.is_due(now, look)
            && let Some(mut facts) = self.facts.take()
        {
            self.taking = Some(spawn_blocking(move || {
                let snapshot = facts.take(now);
                (facts, snapshot)
            }));
        }
    }

    /// Says what cannot be collected, each reason once.
    fn note(&mut self, snapshot: &Snapshot) {
        for (section, error) in &snapshot.failed {
            if self.failed.get(section) != Some(error) {
                tracing::warn!(
                    section,
                    error,
                    "cannot be collected; said once until it changes"
                );
            }
        }
        self.failed.clone_from(&snapshot.failed);
    }
}
