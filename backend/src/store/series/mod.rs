//! Measurements: appended to a log with group commit and kept in the head, sealed into rows by slot, repacked by day,
//! rolled up, and removed when they are old.
//!
//! Data moves one way, from the log and head to slots, days and tiers, and each step is one batch that can be repeated.
//! Who reads goes the same way and so misses nothing: the head first, then what is on disk as it is at one moment.

mod append;
mod latest;
mod purge;
mod read;
mod repack;
mod retain;
mod rollup;
mod seal;
mod units;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::append::{Appender, Entered, Gate, Waiting};
pub use self::read::{Fragment, Reading, Wanted};
pub use self::units::Unit;
use self::units::{Tally, Units};
use super::OpenError;
use super::frame;
use super::head::{HostHead, QuickMap};
use super::kv::{Batch, Key, Kv, KvError, Table, scan_all};
use super::row::Packer;
use super::varint::DecodeError;
use crate::domain::report::{Point, SeriesKey};
use crate::domain::tier::{Tier, Unsealed, day_of_slot, day_start, slot_of, slot_start};

/// Most series that one host may ever have: a host whose interfaces come and go stays far below.
pub const MAX_HOST_SERIES: usize = 1_000;
/// Values, in bytes of memory, that may wait to be written; past that a post is refused as busy.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Posts that may wait.
const QUEUE_POSTS: usize = 65_536;

/// When posts that wait are written together.
#[derive(Clone, Copy, Debug)]
pub struct GroupCommit {
    /// Least time between the starts of two commits.
    pub interval: Duration,
    /// So many bytes are written without waiting for it.
    pub bytes: usize,
    /// So many posts are written without waiting for it.
    pub posts: usize,
    /// Posts are refused while less is free on the disk, in bytes: before the disk refuses, and before what is kept
    /// has no room to be sealed in.
    pub disk_reserve_bytes: u64,
}

impl Default for GroupCommit {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            bytes: 256 * 1024,
            posts: 500,
            disk_reserve_bytes: 128 * 1024 * 1024,
        }
    }
}

/// The series of a post.
#[derive(Clone, Debug)]
pub enum Columns {
    /// By name, and how the report spelled them, if its next one shall be recognised by that.
    Named(Vec<SeriesKey>, Option<Box<str>>),
    /// By number: spelled as in a report before.
    Known(Arc<[u32]>),
}

impl Columns {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Named(names, _) => names.len(),
            Self::Known(numbers) => numbers.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The points of one report.
#[derive(Debug)]
pub struct Post {
    /// The host's number.
    pub host: u32,
    /// When it arrived, Unix seconds.
    pub received_at: i64,
    /// The series that each point has a value for.
    pub columns: Columns,
    /// In the order of time, one for each second.
    pub points: Vec<Point>,
}

/// What became of a post.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Values that are now durable.
    pub accepted: u64,
    /// Values that were there already.
    pub duplicates: u64,
}

/// Why a post was not kept.
#[derive(Clone, Debug, Error)]
pub enum AppendError {
    /// The host would have more than [`MAX_HOST_SERIES`].
    #[error("the host has more than {MAX_HOST_SERIES} series")]
    TooManySeries,
    /// Too much of the host is in memory, not yet sealed.
    #[error("the host has too many values that are not sealed yet")]
    TooManyValues,
    /// The host was deleted.
    #[error("the host was deleted")]
    Deleted,
    /// The engine's.
    #[error(transparent)]
    Kv(#[from] KvError),
}

type Heads = RwLock<QuickMap<u32, Arc<RwLock<HostHead>>>>;

/// What the log holds of a slot.
#[derive(Clone, Copy, Debug)]
struct LogSlot {
    /// The last value of the log that has something of it, and is in the head.
    last_sequence: u64,
    unsealed: Unsealed,
}

/// What appending, reading and housekeeping share.
struct Shared {
    kv: Arc<dyn Kv>,
    heads: Heads,
    gate: Arc<Gate>,
    /// Names that hosts have in common are kept once.
    names: Mutex<HashSet<Arc<SeriesKey>>>,
    log: Mutex<BTreeMap<u32, LogSlot>>,
    units: RwLock<Arc<Units>>,
    /// Day and host number: repacked and not yet rolled up.
    unrolled: RwLock<BTreeSet<(u32, u32)>>,
    /// Housekeeping runs alone, and knows how full the last page of each table is.
    housekeeping: tokio::sync::Mutex<Packers>,
}

#[derive(Clone, Copy)]
struct Packers {
    slots: Packer,
    days: Packer,
    five_minutes: Packer,
    hours: Packer,
}

/// The series of every host.
pub struct SeriesStore {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Waiting>,
    budget: Arc<Semaphore>,
}

/// How much is kept of one tier.
#[derive(Clone, Copy, Debug)]
pub struct TierStats {
    /// Which.
    pub tier: Tier,
    /// Values in rows; raw ones that are in the log alone are not counted.
    pub points: u64,
    /// Bytes of the rows.
    pub bytes: u64,
    /// Its first moment, Unix seconds; none when it is empty.
    pub from: Option<i64>,
}

/// What is in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadStats {
    /// Series of all hosts.
    pub series: usize,
    /// Values, gaps included, that are not sealed.
    pub cells: usize,
}

impl SeriesStore {
    /// Replays the log and starts the task that appends to it. The task ends when the store is dropped.
    ///
    /// # Errors
    /// The engine's, and a log that cannot be understood.
    pub async fn open(kv: Arc<dyn Kv>, group_commit: GroupCommit) -> Result<Self, OpenError> {
        let packer = Packer::new(kv.packing());
        let shared = Shared {
            units: RwLock::new(Arc::new(Units::load(kv.as_ref()).await?)),
            unrolled: RwLock::new(rollup::load_unrolled(kv.as_ref()).await?),
            kv,
            heads: Heads::default(),
            gate: Arc::default(),
            names: Mutex::default(),
            log: Mutex::default(),
            housekeeping: tokio::sync::Mutex::new(Packers {
                slots: packer,
                days: packer,
                five_minutes: packer,
                hours: packer,
            }),
        };
        let sequence = replay(&shared).await?;
        let shared = Arc::new(shared);
        let (queue, waiting) = mpsc::channel(QUEUE_POSTS);
        let appender = Appender::new(Arc::clone(&shared), sequence, group_commit);
        tokio::spawn(appender.run(waiting));
        Ok(Self {
            shared,
            queue,
            budget: Arc::new(Semaphore::new(QUEUE_BYTES)),
        })
    }

    /// Keeps a post; it is durable when this answers.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing is acknowledged then, and sending it again is safe.
    pub async fn append(&self, post: Post) -> Result<Appended, AppendError> {
        let bytes = post.points.len() * (16 + post.columns.len() * 16) + post.columns.len() * 64;
        let permits = u32::try_from(bytes.clamp(1, QUEUE_BYTES)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.budget)
            .try_acquire_many_owned(permits)
            .map_err(|_| KvError::Busy)?;
        let entered: Entered = self.shared.gate.enter(post.host)?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting::new(post, bytes, answer, permit, entered);
        self.queue.try_send(waiting).map_err(|_| KvError::Busy)?;
        answered
            .await
            .map_err(|_| KvError::Io("the appender ended".to_owned()))?
    }

    /// Looks at one host's head; a host that never reported has an empty one.
    pub fn with_head<T>(&self, host: u32, look: impl FnOnce(&HostHead) -> T) -> T {
        let head = self.shared.heads.read().get(&host).cloned();
        match head {
            Some(head) => look(&head.read()),
            None => look(&HostHead::default()),
        }
    }

    /// Numbers of the series that a host's last report spelled in just this way.
    pub fn known_columns(&self, host: u32, spelled: &str) -> Option<Arc<[u32]>> {
        self.with_head(host, |head| head.known_columns(spelled))
    }

    /// Notes that a report came in, without points to keep.
    pub fn touch(&self, host: u32, received_at: i64) {
        self.shared.head_of(host).write().touch(received_at);
    }

    /// Forgets a deleted host; what it left on disk goes with [`SeriesStore::purge`].
    pub fn forget(&self, host: u32) {
        self.shared.gate.delete(host);
        self.shared.heads.write().remove(&host);
    }

    /// Forgets every host but those named: hosts that were deleted still stand in the log.
    pub fn retain_hosts(&self, hosts: &HashSet<u32>) {
        self.shared
            .heads
            .write()
            .retain(|host, _| hosts.contains(host));
    }

    /// Whether all that may still come in after a moment is in memory: nothing of its slot or a later one is sealed.
    pub fn is_in_memory_after(&self, at: i64) -> bool {
        let sealed_through = self.shared.units.read().sealed_through();
        sealed_through.is_none_or(|sealed| slot_of(at + 1) > sealed)
    }

    /// Whether any host ever sent a metric.
    pub fn knows_metric(&self, metric: &str) -> bool {
        let names = self.shared.names.lock();
        names.iter().any(|name| name.metric == metric)
    }

    /// What is in memory.
    pub fn head_stats(&self) -> HeadStats {
        let heads: Vec<_> = self.shared.heads.read().values().cloned().collect();
        heads.iter().fold(HeadStats::default(), |sum, head| {
            let head = head.read();
            HeadStats {
                series: sum.series + head.keys().len(),
                cells: sum.cells + head.cells(),
            }
        })
    }

    /// What is on disk, tier by tier.
    pub fn tier_stats(&self) -> [TierStats; 3] {
        let units = self.shared.units.read();
        Tier::ALL.map(|tier| {
            let tables: &[Table] = match tier {
                Tier::Raw => &[Table::Slots, Table::Days],
                Tier::FiveMinutes => &[Table::FiveMinutes],
                Tier::Hour => &[Table::Hours],
            };
            let total = tables.iter().fold((0, 0), |(points, bytes), table| {
                let unit = units.total(*table);
                (points + unit.points, bytes + unit.bytes)
            });
            let from = tables.iter().filter_map(|table| {
                let (first, _) = units.extent(*table)?;
                Some(if *table == Table::Slots {
                    slot_start(first)
                } else {
                    day_start(first)
                })
            });
            TierStats {
                tier,
                points: total.0,
                bytes: total.1,
                from: from.min(),
            }
        })
    }

    /// Bytes of rows that the last repacked day has in each tier; 0 when there is none yet.
    pub fn bytes_of_last_day(&self) -> [u64; 3] {
        let units = self.shared.units.read();
        [Table::Days, Table::FiveMinutes, Table::Hours].map(|table| {
            let last = units.extent(Table::Days);
            last.map_or(0, |(_, last)| units.unit(table, last).bytes)
        })
    }

    /// The first moment of which raw points are kept, when older ones were kept once: before it there are only
    /// buckets. Unix seconds.
    pub fn raw_since(&self) -> Option<i64> {
        let units = self.shared.units.read();
        let first = |table| units.extent(table).map(|(first, _)| first);
        let rolled = first(Table::FiveMinutes)
            .into_iter()
            .chain(first(Table::Hours))
            .min()?;
        let logged = self.shared.log.lock().keys().next().copied();
        let raw = first(Table::Days)
            .into_iter()
            .chain(first(Table::Slots).map(day_of_slot))
            .chain(logged.map(day_of_slot))
            .min();
        match raw {
            Some(raw) => (rolled < raw).then(|| day_start(raw)),
            None => Some(i64::MAX),
        }
    }

    /// The same for buckets of five minutes, before which there are only those of an hour.
    pub fn five_minutes_since(&self) -> Option<i64> {
        let units = self.shared.units.read();
        let first = |table| units.extent(table).map(|(first, _)| first);
        let hours = first(Table::Hours)?;
        match first(Table::FiveMinutes) {
            Some(five_minutes) => (hours < five_minutes).then(|| day_start(five_minutes)),
            None => Some(i64::MAX),
        }
    }
}

impl Shared {
    fn head_of(&self, host: u32) -> Arc<RwLock<HostHead>> {
        if let Some(head) = self.heads.read().get(&host) {
            return Arc::clone(head);
        }
        Arc::clone(self.heads.write().entry(host).or_default())
    }

    /// The one copy of a name.
    fn intern(&self, key: SeriesKey) -> Arc<SeriesKey> {
        let mut names = self.names.lock();
        if let Some(known) = names.get(&key) {
            return Arc::clone(known);
        }
        let key = Arc::new(key);
        names.insert(Arc::clone(&key));
        key
    }

    /// Notes that a value of the log has points of a slot, which are in the head now.
    fn logged(&self, slot: u32, sequence: u64, received_at: i64) {
        let mut log = self.log.lock();
        let entry = log.entry(slot).or_insert(LogSlot {
            last_sequence: sequence,
            unsealed: Unsealed {
                first_at: received_at,
                last_at: received_at,
            },
        });
        entry.last_sequence = entry.last_sequence.max(sequence);
        entry.unsealed.last_at = entry.unsealed.last_at.max(received_at);
        entry.unsealed.first_at = entry.unsealed.first_at.min(received_at);
    }

    /// Writes a batch with what it changes in the units.
    async fn write(&self, mut batch: Batch, tally: &Tally) -> Result<(), KvError> {
        self.units.read().write(tally, &mut batch);
        self.kv.write(batch).await?;
        Arc::make_mut(&mut self.units.write()).apply(tally);
        Ok(())
    }
}

/// The first moment of a row's unit, to which its times are relative.
fn unit_start(table: Table, unit: u32) -> i64 {
    match table {
        Table::Slots => slot_start(unit),
        _ => day_start(unit),
    }
}

/// Runs work on the engine off the async threads.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KvError> + Send + 'static,
) -> Result<T, KvError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(KvError::Io(error.to_string())))
}

impl From<DecodeError> for KvError {
    fn from(error: DecodeError) -> Self {
        Self::Damaged(format!("a row of measurements: {error}"))
    }
}

async fn replay(shared: &Shared) -> Result<u64, OpenError> {
    let kv = shared.kv.as_ref();
    let every = || Vec::new()..vec![0xff; 16];
    scan_all(kv, Table::SeriesNames, every(), |key, value| {
        let host = key
            .first_chunk()
            .map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let series =
            serde_json::from_slice(&value).map_err(|_| OpenError::Log(DecodeError::Damaged))?;
        shared
            .head_of(host)
            .write()
            .add_series(shared.intern(series));
        Ok::<_, OpenError>(())
    })
    .await?;
    scan_all(kv, Table::Latest, every(), |key, value| {
        let host = key
            .first_chunk()
            .map_or(0, |bytes| u32::from_be_bytes(*bytes));
        latest::read(&value, &mut shared.head_of(host).write()).map_err(OpenError::Log)
    })
    .await?;
    let sealed_through = shared.units.read().sealed_through();
    let mut sequence = 0;
    scan_all(kv, Table::Log, every(), |key, value| {
        let (slot, value_sequence) = parse_log_key(&key);
        sequence = sequence.max(value_sequence);
        frame::decode(&value, |frame| {
            shared.logged(slot, value_sequence, frame.received_at);
            let head = shared.head_of(frame.host);
            let mut head = head.write();
            head.touch(frame.received_at);
            for row in &frame.rows {
                head.insert(&frame.series, row, sealed_through);
            }
        })
        .map_err(OpenError::Log)
    })
    .await?;
    Ok(sequence)
}

/// The only writer there is; more of them would number their log values apart.
const WRITER: u16 = 0;

fn log_key(slot: u32, sequence: u64) -> Key {
    [
        &slot.to_be_bytes()[..],
        &WRITER.to_be_bytes(),
        &sequence.to_be_bytes(),
    ]
    .concat()
}

fn parse_log_key(key: &[u8]) -> (u32, u64) {
    let slot = key
        .first_chunk()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let sequence = key
        .last_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes));
    (slot, sequence)
}
