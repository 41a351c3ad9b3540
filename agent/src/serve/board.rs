//! What readers are shown: the newest of all that is seen. Nothing is ever measured for a reader.

use std::sync::Arc;

use infra_watch_client::types;
use infra_watch_client::types::error::ConversionError;
use parking_lot::Mutex;

use super::ring::Ring;
use crate::asked::Asked;
use crate::daemon::Seen;
use crate::facts::{Host, Snapshot};
use crate::report::{Mention, Sender};

/// See the module.
pub struct Board {
    sender: Sender,
    shown: Mutex<Shown>,
}

struct Shown {
    ring: Ring,
    host: Host,
    snapshot: Option<Arc<Snapshot>>,
}

impl Board {
    /// A board without points yet.
    pub fn new(sender: Sender, host: Host) -> Self {
        Self {
            sender,
            shown: Mutex::new(Shown {
                ring: Ring::default(),
                host,
                snapshot: None,
            }),
        }
    }

    /// Shows what was seen.
    pub fn take(&self, seen: &Seen) {
        let mut shown = self.shown.lock();
        match seen {
            Seen::Point { point, host } => {
                shown.ring.add(point);
                if let Some(host) = host {
                    shown.host.clone_from(host);
                }
            }
            Seen::Snapshot(snapshot) => shown.snapshot = Some(Arc::clone(snapshot)),
        }
    }

    /// The host's name at present.
    pub fn hostname(&self) -> String {
        self.shown.lock().host.hostname.clone()
    }

    /// What a reader is given that asks at `now`, in Unix seconds.
    pub fn report(&self, asked: &Asked, now: i64) -> Result<types::Report, ConversionError> {
        let shown = self.shown.lock();
        let columns = shown.ring.columns(asked.since(now))?;
        let snapshot = shown.snapshot.as_deref();
        let mention = snapshot.map_or(Mention::Nothing, |snapshot| asked.mention(snapshot));
        self.sender.report(columns, Some(&shown.host), mention, now)
    }
}
