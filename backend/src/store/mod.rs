//! Keeping: an ordered key-value seam, state as typed records above it, and series as a log with a head in memory.

pub mod alert;
pub mod archive;
pub mod audit;
pub mod backup;
pub mod baseline;
pub mod chunk;
pub mod decimal;
pub mod document;
pub mod fault;
pub mod frame;
pub mod head;
pub mod inventory;
pub mod kv;
pub mod migration;
pub mod record;
pub mod redb;
pub mod row;
pub mod series;
pub mod snapshot;
pub mod state;
pub mod varint;

use std::sync::Arc;

use self::document::Documents;
use self::inventory::Inventory;
use self::kv::{Kv, KvError};
use self::series::{GroupCommit, SeriesStore};
use self::state::State;

/// Everything that is kept, over one engine.
pub struct Store {
    /// The engine, for what has no room of its own.
    pub kv: Arc<dyn Kv>,
    /// Users, sessions, keys, hosts: records that also live in memory.
    pub state: State,
    /// Measurements.
    pub series: SeriesStore,
    /// Configurations.
    pub documents: Arc<Documents>,
    /// What every host has now.
    pub inventory: Arc<Inventory>,
    /// One place for hosts of the same number modulo their count: see [`Store::alone_with`].
    alone: [tokio::sync::Mutex<()>; 64],
}

impl Store {
    /// Brings an older store up to date, reads state into memory and replays the log of series.
    ///
    /// # Errors
    /// [`OpenError::Newer`] when a newer build wrote the store, which is then left as it was.
    pub async fn open(kv: Arc<dyn Kv>, group_commit: GroupCommit) -> Result<Self, OpenError> {
        migration::run(kv.as_ref(), migration::MIGRATIONS).await?;
        let state = State::load(Arc::clone(&kv)).await?;
        let series = SeriesStore::open(Arc::clone(&kv), group_commit).await?;
        let documents = Arc::new(Documents::open(Arc::clone(&kv)).await?);
        Ok(Self {
            kv,
            state,
            series,
            documents,
            inventory: Arc::default(),
            alone: [const { tokio::sync::Mutex::const_new(()) }; 64],
        })
    }

    /// Keeps everybody else from changing the configurations of a host: what reads documents and then writes what
    /// depends on them holds this meanwhile.
    pub async fn alone_with(&self, number: u32) -> tokio::sync::MutexGuard<'_, ()> {
        let [first, ..] = &self.alone;
        let place = usize::try_from(number).unwrap_or_default() % self.alone.len();
        self.alone.get(place).unwrap_or(first).lock().await
    }

    /// Removes what deleted hosts left on disk, in bounded transactions. Safe to repeat: the mark of a deletion goes
    /// last.
    ///
    /// # Errors
    /// The engine's.
    pub async fn purge_deleted_hosts(&self) -> Result<(), KvError> {
        for number in self.state.deleted_hosts().await? {
            self.series.purge(number).await?;
            self.state.purge(number).await?;
        }
        Ok(())
    }
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer build wrote it.
    #[error(
        "the store has format {found}, and this build knows formats up to {known}: start the newer build that wrote it, \
         or restore a backup; nothing was changed"
    )]
    Newer {
        /// Format found.
        found: u32,
        /// Newest format that this build knows.
        known: u32,
    },
    /// A record cannot be understood.
    #[error("reading the record {key} of table {table}")]
    Record {
        /// The table's name.
        table: &'static str,
        /// The record's key, in hexadecimal.
        key: String,
        /// What is wrong with it.
        source: record::RecordError,
    },
    /// A value of the log cannot be understood.
    #[error("reading the log of series")]
    Log(#[source] varint::DecodeError),
    /// The engine does not open.
    #[error("opening the store")]
    Kv(#[from] KvError),
}
