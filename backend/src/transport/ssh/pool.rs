//! Connections that are kept from one collection to the next, which saves the host most of a login.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::connect::Connection;
use crate::domain::collection::SshTarget;

/// How long a connection is kept, which mostly is used again after 30 or 60 seconds.
const IDLE: Duration = Duration::from_secs(90);
/// How many are kept. Further ones are not, rather than that all take turns and none is there when it is needed.
const MAX_KEPT: usize = 128;

/// Kept connections, by host.
#[derive(Default)]
pub struct Pool(Arc<Mutex<HashMap<Uuid, Kept>>>);

struct Kept {
    target: SshTarget,
    connection: Connection,
    _closing: AbortOnDropHandle<()>,
}

impl Pool {
    /// The connection that was kept for exactly this target.
    pub fn take(&self, host_id: Uuid, target: &SshTarget) -> Option<Connection> {
        let kept = self.0.lock().remove(&host_id)?;
        (kept.target == *target).then_some(kept.connection)
    }

    /// Keeps a connection for a while.
    pub fn keep(&self, host_id: Uuid, target: &SshTarget, connection: Connection) {
        let closing = AbortOnDropHandle::new(tokio::spawn(close(Arc::downgrade(&self.0), host_id)));
        let kept = Kept {
            target: target.clone(),
            connection,
            _closing: closing,
        };
        let mut all = self.0.lock();
        if all.len() < MAX_KEPT || all.contains_key(&host_id) {
            all.insert(host_id, kept);
        }
    }

    /// Closes what is kept of a host.
    pub fn forget(&self, host_id: Uuid) {
        self.0.lock().remove(&host_id);
    }
}

/// Closes a connection once it was kept long enough.
async fn close(kept: Weak<Mutex<HashMap<Uuid, Kept>>>, host_id: Uuid) {
    sleep(IDLE).await;
    if let Some(kept) = kept.upgrade() {
        kept.lock().remove(&host_id);
    }
}
