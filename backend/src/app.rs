//! Everything that flows need, built once and passed down.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::session::LoginLimiter;
use crate::domain::snapshot::SnapshotLimiter;
use crate::domain::tier::Retention;
use crate::flows::backup::BackupPlan;
use crate::flows::collect::CollectionBoard;
use crate::flows::deliver::Deliveries;
use crate::flows::evaluate::AlertBoard;
use crate::flows::job::JobBoard;
use crate::flows::password::Passwords;
use crate::flows::token::Tokens;
use crate::notify::Notifiers;
use crate::store::Store;
use crate::store::archive::Secrets;
use crate::telemetry::Metrics;
use crate::transport::Transports;

/// Memory that bodies being understood may take together, as far as they can need it: 256 MiB.
const BODY_BYTES: usize = 256 * 1024 * 1024;
/// Queries that may run at a time: more would only share the same cores.
const QUERIES_AT_A_TIME: usize = 8;
/// Snapshots that may be understood at a time: each can take tens of megabytes in memory.
const SNAPSHOTS_AT_A_TIME: usize = 16;
/// The cron table shows a sign of life every 10 s; silent for so long it is not running, in seconds.
const JOBS_SILENT_SECONDS: i64 = 60;

/// For how long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Measurements, tier by tier.
    pub series: Retention,
    /// Snapshots and their changes.
    pub snapshots: TimeDelta,
    /// Entries of the audit log.
    pub audit: TimeDelta,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            series: Retention::default(),
            snapshots: TimeDelta::days(365),
            audit: TimeDelta::days(365),
        }
    }
}

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
    /// Memory that bodies being understood may take together, in bytes.
    pub body_bytes: Arc<Semaphore>,
    /// Queries that may run at a time.
    pub queries: Arc<Semaphore>,
    /// Snapshots that may be understood at a time.
    pub snapshots: Semaphore,
    /// How many snapshots hosts brought lately.
    pub snapshot_limiter: Mutex<SnapshotLimiter>,
    /// When the cron table last showed a sign of life, Unix seconds; 0 when there is none, as in tests.
    pub jobs_alive_at: AtomicI64,
    /// For how long things are kept.
    pub retention: Keep,
    /// How the jobs run.
    pub jobs: JobBoard,
    /// What the evaluation of alerts found.
    pub alerts: AlertBoard,
    /// What deliveries remember.
    pub deliveries: Deliveries,
    /// Tells people.
    pub notifiers: Notifiers,
    /// Reaches hosts.
    pub transports: Transports,
    /// How hosts are collected.
    pub collections: CollectionBoard,
    /// Secrets that stand beside the store, for backups.
    pub secrets: Secrets,
    /// Backups that the backend makes by itself.
    pub backups: Option<BackupPlan>,
    /// Held by the one backup that is being made.
    pub backup_alone: Arc<tokio::sync::Mutex<()>>,
    /// Cancelled when the backend begins to stop.
    pub stopping: CancellationToken,
}

impl App {
    /// Puts the application together over an open store.
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        tokens: Tokens,
        passwords: Passwords,
        notifiers: Notifiers,
        transports: Transports,
    ) -> Self {
        let hosts = store
            .state
            .hosts
            .all()
            .iter()
            .map(|host| host.number)
            .collect();
        store.series.retain_hosts(&hosts);
        let listening_since = clock.now();
        Self {
            store,
            clock,
            tokens,
            passwords,
            login_limiter: Mutex::default(),
            metrics: Metrics::new(),
            listening_since,
            body_bytes: Arc::new(Semaphore::new(BODY_BYTES)),
            queries: Arc::new(Semaphore::new(QUERIES_AT_A_TIME)),
            snapshots: Semaphore::new(SNAPSHOTS_AT_A_TIME),
            snapshot_limiter: Mutex::default(),
            jobs_alive_at: AtomicI64::new(0),
            retention: Keep::default(),
            jobs: JobBoard::default(),
            alerts: AlertBoard::default(),
            deliveries: Deliveries::default(),
            notifiers,
            transports,
            collections: CollectionBoard::default(),
            secrets: Secrets::default(),
            backups: None,
            backup_alone: Arc::default(),
            stopping: CancellationToken::new(),
        }
    }

    /// Whether the cron table runs, as far as it should.
    pub fn jobs_run(&self) -> bool {
        let alive_at = self.jobs_alive_at.load(Ordering::Relaxed);
        alive_at == 0 || self.clock.now().timestamp() - alive_at <= JOBS_SILENT_SECONDS
    }
}
