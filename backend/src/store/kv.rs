//! The one seam under everything that is kept: ordered keys and values, atomic batches with preconditions.
//!
//! A table belongs to a class, and a batch names one class: classes commit independently, so whatever spans both
//! must be safe to repeat. Nothing of an engine shows above this file.

use std::future::Future;
use std::ops::{ControlFlow, Range};
use std::pin::Pin;

use bytes::Bytes;
use thiserror::Error;

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 64;
/// Largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1_000_000;

/// A key; keys are ordered bytewise.
pub type Key = Vec<u8>;

/// What a method of [`Kv`] gives: a boxed future, so that the engine can be chosen at start.
pub type KvFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, KvError>> + Send + 'a>>;

/// Which of the two independent halves a table belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Users, hosts, keys, snapshots: small and precious.
    State,
    /// Measurements: large, written all the time.
    Series,
}

macro_rules! tables {
    ($($(#[$meta:meta])* $variant:ident = $name:literal in $class:ident,)*) => {
        /// A table of the store.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Table {
            $($(#[$meta])* $variant,)*
        }

        impl Table {
            /// Every table.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The table's name in the engine.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The class it belongs to.
            pub fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)* }
            }
        }
    };
}

tables! {
    /// The format of the store, and counters.
    Meta = "meta" in State,
    /// User id → user.
    Users = "users" in State,
    /// Session id → session.
    Sessions = "sessions" in State,
    /// Token id → API token.
    ApiTokens = "api_tokens" in State,
    /// Key id → enrolment key.
    EnrollmentKeys = "enrollment_keys" in State,
    /// Token id → collector token.
    CollectorTokens = "collector_tokens" in State,
    /// Host id → host.
    Hosts = "hosts" in State,
    /// Audit id → entry, in the order of time.
    Audit = "audit" in State,
    /// Host number, snapshot id → its document, and what could not be read.
    Snapshots = "snapshots" in State,
    /// Host number, content → a configuration, mostly as what differs from another; host 0 has what hosts share.
    Documents = "documents" in State,
    /// Change set id, host number → what a snapshot changed.
    ChangeSets = "change_sets" in State,
    /// Host number, baseline id → an approved configuration, by whom and why.
    Baselines = "baselines" in State,
    /// Host id → what differs from the baseline now.
    Drift = "drift" in State,
    /// Rule id → rule that marks changes.
    DriftRules = "drift_rules" in State,
    /// Rule id → alert rule.
    AlertRules = "alert_rules" in State,
    /// Alert id → alert that fires.
    ActiveAlerts = "active_alerts" in State,
    /// Alert id → alert that is over, in the order of time.
    AlertLog = "alert_log" in State,
    /// Host number, alert id → nothing: which alerts of the log are the host's.
    HostAlerts = "host_alerts" in State,
    /// Silence id → silence.
    Silences = "silences" in State,
    /// Channel id → channel, its secrets too.
    Channels = "channels" in State,
    /// Notice id → notice that waits to be put into a message.
    Notices = "notices" in State,
    /// Message id → message that is on its way.
    Messages = "messages" in State,
    /// Alert id, notice id → what became of a notice.
    Notified = "notified" in State,
    /// Host number, series number → the series' name.
    SeriesNames = "series_names" in Series,
    /// Slot, writer, sequence → the posts of one commit.
    Log = "log" in Series,
    /// Slot, host number, piece → the sealed points of a host in a slot.
    Slots = "slots" in Series,
    /// Day, host number, piece → the repacked points of a host on a day.
    Days = "days" in Series,
    /// Day, host number, piece → buckets of five minutes.
    FiveMinutes = "five_minutes" in Series,
    /// Day, host number, piece → buckets of an hour.
    Hours = "hours" in Series,
    /// Day, host number → the day was repacked since it was rolled up.
    Unrolled = "unrolled" in Series,
    /// Table, unit → what it holds.
    Units = "units" in Series,
    /// Host number → when it last reported, and its latest values.
    Latest = "latest" in Series,
}

/// Order of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Lowest key first.
    Forward,
    /// Highest key first.
    Backward,
}

/// One change of a batch.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Sets a key.
    Put(Table, Key, Bytes),
    /// Removes a key, if it is there.
    Delete(Table, Key),
}

/// What must hold when a batch is applied.
#[derive(Clone, Debug)]
pub enum Precondition {
    /// The key is not there.
    Absent(Table, Key),
    /// The key has this value.
    Equals(Table, Key, Bytes),
}

/// Changes that become durable together or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    class: Class,
    operations: Vec<Operation>,
    preconditions: Vec<Precondition>,
    bytes: usize,
}

impl Batch {
    /// An empty batch of one class.
    pub fn new(class: Class) -> Self {
        Self {
            class,
            operations: Vec::new(),
            preconditions: Vec::new(),
            bytes: 0,
        }
    }

    /// Sets a key.
    pub fn put(&mut self, table: Table, key: Key, value: Bytes) {
        self.bytes += key.len() + value.len();
        self.operations.push(Operation::Put(table, key, value));
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, key: Key) {
        self.bytes += key.len();
        self.operations.push(Operation::Delete(table, key));
    }

    /// Adds the changes and preconditions of another batch of the same class.
    pub fn append(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.operations.extend(other.operations);
        self.preconditions.extend(other.preconditions);
    }

    /// Applies only if the key is not there.
    pub fn expect_absent(&mut self, table: Table, key: Key) {
        self.bytes += key.len();
        self.preconditions.push(Precondition::Absent(table, key));
    }

    /// Applies only if the key has this value.
    pub fn expect_equals(&mut self, table: Table, key: Key, value: Bytes) {
        self.bytes += key.len() + value.len();
        self.preconditions
            .push(Precondition::Equals(table, key, value));
    }

    /// The class that it changes.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Its changes, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// What must hold.
    pub fn preconditions(&self) -> &[Precondition] {
        &self.preconditions
    }

    /// Bytes of all its keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Refuses tables of another class, keys and values beyond their bounds.
    ///
    /// # Errors
    /// [`KvError::Invalid`] with what is wrong.
    pub fn check(&self) -> Result<(), KvError> {
        let check = |table: Table, key: &Key, value: Option<&Bytes>| {
            if table.class() != self.class {
                Err(KvError::Invalid("a table of another class"))
            } else if key.len() > MAX_KEY_BYTES {
                Err(KvError::Invalid("a key over 64 bytes"))
            } else if value.is_some_and(|value| value.len() > MAX_VALUE_BYTES) {
                Err(KvError::Invalid("a value over 1 MB"))
            } else {
                Ok(())
            }
        };
        for operation in &self.operations {
            match operation {
                Operation::Put(table, key, value) => check(*table, key, Some(value))?,
                Operation::Delete(table, key) => check(*table, key, None)?,
            }
        }
        self.preconditions
            .iter()
            .try_for_each(|precondition| match precondition {
                Precondition::Absent(table, key) => check(*table, key, None),
                Precondition::Equals(table, key, value) => check(*table, key, Some(value)),
            })
    }
}

/// How an engine lays entries out: what fills a page exactly wastes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Bytes of a page that entries can use.
    pub page_bytes: usize,
    /// Bytes that an entry takes beside its key and value.
    pub entry_bytes: usize,
}

/// Space on the disk under a store, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Free for us.
    pub free_bytes: u64,
    /// In all.
    pub total_bytes: u64,
    /// Taken by the store's files.
    pub used_bytes: u64,
}

/// One range to be read; see [`Kv::visit`].
#[derive(Clone, Debug)]
pub struct Read {
    /// The table.
    pub table: Table,
    /// Its keys.
    pub range: Range<Key>,
}

/// What [`Kv::visit`] calls: the number of the range, key and value; `Break` ends the reading.
pub type Visitor<'a> = dyn FnMut(usize, &[u8], &[u8]) -> ControlFlow<()> + 'a;

/// What [`Kv::dump`] calls: table, key and value; `Break` ends the reading.
pub type Dump<'a> = dyn FnMut(Table, &[u8], &[u8]) -> ControlFlow<()> + 'a;

/// How large a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// The table.
    pub table: Table,
    /// Number of keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub stored_bytes: u64,
}

/// Why the engine did not do what it was asked. After any error but [`KvError::Conflict`] and
/// [`KvError::Invalid`] the write may or may not have happened; repeating it is safe.
#[derive(Clone, Debug, Error)]
pub enum KvError {
    /// A precondition does not hold; nothing was changed.
    #[error("a precondition of the batch does not hold")]
    Conflict,
    /// The batch itself is wrong; nothing was changed.
    #[error("the batch has {0}")]
    Invalid(&'static str),
    /// No space is left.
    #[error("no space is left for the store")]
    StorageFull,
    /// Too much is waiting to be written.
    #[error("too much is waiting to be written")]
    Busy,
    /// The disk or the file failed.
    #[error("the store cannot be read or written: {0}")]
    Io(String),
    /// The file is damaged.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// An ordered key-value engine. Every implementation passes the same conformance suite.
pub trait Kv: Send + Sync + 'static {
    /// The values of keys, in their order.
    fn get_many(&self, table: Table, keys: Vec<Key>) -> KvFuture<'_, Vec<Option<Bytes>>>;

    /// One page of a range: at most `limit` entries; go on from the last key.
    fn scan(
        &self,
        table: Table,
        range: Range<Key>,
        limit: usize,
        direction: Direction,
    ) -> KvFuture<'_, Vec<(Key, Bytes)>>;

    /// Applies a batch; durable when it answers `Ok`.
    fn write(&self, batch: Batch) -> KvFuture<'_, ()>;

    /// Removes at most `max` keys of a range, lowest first, and says how many it removed.
    fn delete_range(&self, table: Table, range: Range<Key>, max: usize) -> KvFuture<'_, usize>;

    /// Reads ranges one after the other, as they all are at one moment, without copying. Blocks: for use off the
    /// async threads. The ranges are of one class.
    ///
    /// # Errors
    /// As the other methods.
    fn visit(&self, class: Class, reads: &[Read], each: &mut Visitor<'_>) -> Result<(), KvError>;

    /// How entries are laid out.
    fn packing(&self) -> Packing;

    /// Space on the disk, where the engine knows it. Quick enough to be asked at each commit.
    fn disk(&self) -> Option<DiskSpace>;

    /// Gives space that is no longer used back to the disk, where at least so much of it is free and it can be done
    /// in seconds, during which writers wait; says whether it did.
    fn compact(&self, least_free_percent: u64) -> KvFuture<'_, bool>;

    /// The size of every table.
    fn stats(&self) -> KvFuture<'_, Vec<TableStats>>;

    /// Reads everything, table by table and key by key, as both classes are at one moment, while serving. Blocks: for
    /// use off the async threads.
    ///
    /// # Errors
    /// As the other methods.
    fn dump(&self, each: &mut Dump<'_>) -> Result<(), KvError>;
}

/// The range of all keys that begin with `prefix`.
pub fn prefix_range(prefix: &[u8]) -> Range<Key> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return prefix.to_vec()..end;
        }
    }
    prefix.to_vec()..vec![0xff; MAX_KEY_BYTES + 1]
}

/// Entries that one page of [`scan_all`] reads.
const PAGE_ENTRIES: usize = 1000;

/// Calls `each` with every entry of a range, page by page, lowest key first.
///
/// # Errors
/// The engine's, or the first that `each` gives.
pub async fn scan_all<E: From<KvError>>(
    kv: &dyn Kv,
    table: Table,
    range: Range<Key>,
    mut each: impl FnMut(Key, Bytes) -> Result<(), E>,
) -> Result<(), E> {
    let mut start = range.start;
    loop {
        let page = kv
            .scan(
                table,
                start..range.end.clone(),
                PAGE_ENTRIES,
                Direction::Forward,
            )
            .await?;
        let is_last = page.len() < PAGE_ENTRIES;
        start = match page.last() {
            Some((key, _)) => [key.as_slice(), &[0]].concat(),
            None => return Ok(()),
        };
        for (key, value) in page {
            each(key, value)?;
        }
        if is_last {
            return Ok(());
        }
    }
}
