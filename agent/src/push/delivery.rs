//! What has to be said of the snapshot, and what an answer means for that: decisions on values alone.
//!
//! A snapshot travels in a report without points, so that neither can be refused for the other's sake.

use std::sync::Arc;

use infra_watch_client::types::SnapshotOutcome;

use crate::facts::Snapshot;

/// How the backend stands to the snapshot that is the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It was not asked yet, as after a start.
    Unknown,
    /// It has another one, or none.
    Wanted,
    /// It has this one.
    Known,
    /// It will not take this one.
    Refused,
}

/// What has to be sent in a report of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// The hash, to ask whether the backend has the snapshot.
    Hash(Arc<Snapshot>),
    /// All of it.
    Whole(Arc<Snapshot>),
}

impl Due {
    /// The snapshot that it is about.
    pub fn snapshot(&self) -> &Snapshot {
        match self {
            Self::Hash(snapshot) | Self::Whole(snapshot) => snapshot,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Delivery {
    newest: Option<(Arc<Snapshot>, Standing)>,
}

impl Delivery {
    /// Takes a snapshot that was taken. One that was refused is tried again: the backend may have changed.
    pub fn set(&mut self, snapshot: Arc<Snapshot>) {
        let standing = match &self.newest {
            None => Standing::Unknown,
            Some((before, standing)) if before.says_the_same(&snapshot) => match standing {
                Standing::Refused => Standing::Wanted,
                standing => *standing,
            },
            Some((_, Standing::Unknown)) => Standing::Unknown,
            Some(_) => Standing::Wanted,
        };
        self.newest = Some((snapshot, standing));
    }

    /// The hash that goes with every report: it says that the snapshot the backend has still holds.
    pub fn hash(&self) -> Option<&str> {
        match &self.newest {
            Some((snapshot, Standing::Known)) => Some(&snapshot.hash),
            _ => None,
        }
    }

    /// What has to be sent now.
    pub fn due(&self) -> Option<Due> {
        match &self.newest {
            Some((snapshot, Standing::Unknown)) => Some(Due::Hash(snapshot.clone())),
            Some((snapshot, Standing::Wanted)) => Some(Due::Whole(snapshot.clone())),
            _ => None,
        }
    }

    /// A report that named the snapshot `hash` was taken; `was_whole` if it held all of it.
    pub fn settle(&mut self, hash: &str, was_whole: bool, outcome: Option<SnapshotOutcome>) {
        if let Some((snapshot, standing)) = &mut self.newest
            && snapshot.hash == hash
        {
            *standing = match outcome {
                // Asking for what it was just given would go on for ever.
                Some(SnapshotOutcome::Wanted) if was_whole => Standing::Refused,
                Some(SnapshotOutcome::Wanted) => Standing::Wanted,
                _ => Standing::Known,
            };
        }
    }

    /// A report with the snapshot `hash` will never be taken.
    pub fn refuse(&mut self, hash: &str) {
        if let Some((snapshot, standing)) = &mut self.newest
            && snapshot.hash == hash
        {
            *standing = Standing::Refused;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one step and says what follows: what is due, and which hash goes with reports.
    fn step(delivery: &mut Delivery, step: &str) -> String {
        let snapshot = |id: &str| {
            let mut snapshot = Snapshot::new(0, Vec::new());
            snapshot.hash = id.to_owned();
            Arc::new(snapshot)
        };
        match step.split_once(' ').unwrap() {
            ("take", id) => delivery.set(snapshot(id)),
            ("refuse", id) => delivery.refuse(id),
            ("stored", id) => delivery.settle(id, true, Some(SnapshotOutcome::Stored)),
            ("odd", id) => delivery.settle(id, true, Some(SnapshotOutcome::Wanted)),
            ("unchanged", id) => delivery.settle(id, false, Some(SnapshotOutcome::Unchanged)),
            ("wanted", id) => delivery.settle(id, false, Some(SnapshotOutcome::Wanted)),
            ("later", id) => delivery.settle(id, false, None),
            _ => panic!("{step}"),
        }
        let due = match delivery.due() {
            Some(Due::Hash(snapshot)) => format!("hash {}", snapshot.hash),
            Some(Due::Whole(snapshot)) => format!("whole {}", snapshot.hash),
            None => "nothing".to_owned(),
        };
        format!("{due}, {}", delivery.hash().unwrap_or("-"))
    }

    fn check(steps: &[(&str, &str)]) {
        let mut delivery = Delivery::default();
        for (input, expect) in steps {
            assert_eq!(step(&mut delivery, input), *expect, "{input} of {steps:?}");
        }
    }

    #[test]
    fn lives_of_snapshots() {
        // A new host.
        check(&[
            ("take a", "hash a, -"),
            ("wanted a", "whole a, -"),
            ("stored a", "nothing, a"),
        ]);
        // A restart.
        check(&[
            ("take a", "hash a, -"),
            ("unchanged a", "nothing, a"),
            ("take a", "nothing, a"),
        ]);
        // A change, and one while the first is on its way.
        check(&[
            ("take a", "hash a, -"),
            ("unchanged a", "nothing, a"),
            ("take b", "whole b, -"),
            ("take c", "whole c, -"),
            ("stored b", "whole c, -"),
            ("stored c", "nothing, c"),
        ]);
        // The backend was restored from a backup.
        check(&[
            ("take a", "hash a, -"),
            ("unchanged a", "nothing, a"),
            ("wanted a", "whole a, -"),
        ]);
        // Refused: not again until it is taken again.
        check(&[
            ("take a", "hash a, -"),
            ("wanted a", "whole a, -"),
            ("refuse a", "nothing, -"),
            ("refuse b", "nothing, -"),
            ("take a", "whole a, -"),
            ("odd a", "nothing, -"),
            ("take b", "whole b, -"),
        ]);
        // An answer of a later version.
        check(&[("take a", "hash a, -"), ("later a", "nothing, a")]);
        check(&[
            ("take a", "hash a, -"),
            ("take b", "hash b, -"),
            ("wanted a", "hash b, -"),
        ]);
    }
}
