//! Everything that flows need, built once and passed down.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::session::LoginLimiter;
use crate::flows::password::Passwords;
use crate::flows::token::Tokens;
use crate::store::Store;
use crate::telemetry::Metrics;

/// The application: what is kept, what time it is, and the keys to both.
pub struct App {
    /// What is kept.
    pub store: Store,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Makes and checks tokens.
    pub tokens: Tokens,
    /// Makes and checks password hashes.
    pub passwords: Passwords,
    /// Counts logins that failed.
    pub login_limiter: Mutex<LoginLimiter>,
    /// Figures about the backend itself.
    pub metrics: Metrics,
    /// Since when reports could have arrived: silence before counts for nothing.
    pub listening_since: DateTime<Utc>,
    /// Cancelled when the backend begins to stop.
    pub stopping: CancellationToken,
}

impl App {
    /// Puts the application together over an open store.
    pub fn new(store: Store, clock: Arc<dyn Clock>, tokens: Tokens, passwords: Passwords) -> Self {
        let hosts = store
            .state
            .hosts
            .all()
            .iter()
            .map(|host| host.number)
            .collect();
        store.series.retain(&hosts);
        let listening_since = clock.now();
        Self {
            store,
            clock,
            tokens,
            passwords,
            login_limiter: Mutex::default(),
            metrics: Metrics::new(),
            listening_since,
            stopping: CancellationToken::new(),
        }
    }
}
