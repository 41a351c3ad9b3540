//! Measurements: appended to the log by one task with group commit, kept in the head, replayed at start.
//!
//! Sealing slots into chunks, roll-ups and retention will stand beside this file and trim the log.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::OpenError;
use super::chunk::{self, Frame, slot_of};
use super::head::HostHead;
use super::kv::{Batch, Class, Key, Kv, KvError, Table, scan_all};
use crate::domain::report::{Point, SeriesKey};

/// Most series that one host may ever have: a host whose interfaces come and go stays far below.
pub const MAX_HOST_SERIES: usize = 1_000;
/// Most values that the head keeps of one host, gaps included: 128 MiB. A series every 10 s for a week has 60,480.
const MAX_HOST_CELLS: usize = 16 * 1024 * 1024;
/// Posts of one host that may wait: a host's posts go into commits one by one, and must not hold up the others'.
const HOST_POSTS_WAITING: u32 = 4;
/// Values, in bytes of memory, that may wait to be written; past that a post is refused as busy.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Posts that may wait.
const QUEUE_POSTS: usize = 65_536;
/// Rows of one frame: keeps a value of the log far below its bound.
const FRAME_CELLS: usize = 20_000;
/// Bytes at which a value of the log is full and the next one begins.
const LOG_VALUE_BYTES: usize = 512 * 1024;
/// The only writer there is; more of them would number their log values apart.
const WRITER: u16 = 0;

/// When posts that wait are written together.
#[derive(Clone, Copy, Debug)]
pub struct GroupCommit {
    /// Least time between the starts of two commits.
    pub interval: Duration,
    /// So many bytes are written without waiting for it.
    pub bytes: usize,
    /// So many posts are written without waiting for it.
    pub posts: usize,
}

impl Default for GroupCommit {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            bytes: 256 * 1024,
            posts: 500,
        }
    }
}

/// The points of one report.
#[derive(Debug)]
pub struct Post {
    /// The host's number.
    pub host: u32,
    /// When it arrived, Unix seconds.
    pub received_at: i64,
    /// Names of the columns.
    pub series: Vec<SeriesKey>,
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
    /// The host has so many values that more would fill the memory.
    #[error("the host has too many values that are not sealed yet")]
    TooManyValues,
    /// The host was deleted meanwhile.
    #[error("the host was deleted")]
    Deleted,
    /// The engine did not take it.
    #[error("appending to the log")]
    Kv(#[from] KvError),
}

struct Waiting {
    post: Post,
    bytes: usize,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
    _permit: tokio::sync::OwnedSemaphorePermit,
    _entered: Entered,
}

type Heads = RwLock<HashMap<u32, Arc<RwLock<HostHead>>>>;

/// How many posts of each host wait, and which hosts were deleted since the start.
#[derive(Default)]
struct Gate {
    waiting: Mutex<HashMap<u32, u32>>,
    deleted: Mutex<HashSet<u32>>,
}

impl Gate {
    fn enter(self: &Arc<Self>, host: u32) -> Result<Entered, AppendError> {
        if self.deleted.lock().contains(&host) {
            return Err(AppendError::Deleted);
        }
        let mut waiting = self.waiting.lock();
        let count = waiting.entry(host).or_default();
        if *count >= HOST_POSTS_WAITING {
            return Err(KvError::Busy.into());
        }
        *count += 1;
        Ok(Entered {
            gate: Arc::clone(self),
            host,
        })
    }
}

/// A post's place among those of its host that wait.
struct Entered {
    gate: Arc<Gate>,
    host: u32,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut waiting = self.gate.waiting.lock();
        if let Some(count) = waiting.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.host);
            }
        }
    }
}

/// The series of every host.
pub struct SeriesStore {
    heads: Arc<Heads>,
    queue: mpsc::Sender<Waiting>,
    budget: Arc<Semaphore>,
    gate: Arc<Gate>,
}

impl SeriesStore {
    /// Replays the log and starts the task that appends to it. The task ends when the store is dropped.
    ///
    /// # Errors
    /// The engine's, and a log that cannot be understood.
    pub async fn open(kv: Arc<dyn Kv>, group_commit: GroupCommit) -> Result<Self, OpenError> {
        let heads = Heads::default();
        let sequence = replay(kv.as_ref(), &heads).await?;
        let heads = Arc::new(heads);
        let (queue, waiting) = mpsc::channel(QUEUE_POSTS);
        let gate = Arc::new(Gate::default());
        let appender = Appender {
            kv,
            heads: Arc::clone(&heads),
            gate: Arc::clone(&gate),
            sequence,
        };
        tokio::spawn(appender.run(waiting, group_commit));
        Ok(Self {
            heads,
            queue,
            budget: Arc::new(Semaphore::new(QUEUE_BYTES)),
            gate,
        })
    }

    /// Keeps a post; it is durable when this answers.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing is acknowledged then, and sending it again is safe.
    pub async fn append(&self, post: Post) -> Result<Appended, AppendError> {
        let bytes = post.points.len() * (16 + post.series.len() * 16) + post.series.len() * 64;
        let permits = u32::try_from(bytes.clamp(1, QUEUE_BYTES)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.budget)
            .try_acquire_many_owned(permits)
            .map_err(|_| KvError::Busy)?;
        let entered = self.gate.enter(post.host)?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            post,
            bytes,
            answer,
            _permit: permit,
            _entered: entered,
        };
        self.queue.try_send(waiting).map_err(|_| KvError::Busy)?;
        answered
            .await
            .map_err(|_| KvError::Io("the appender ended".to_owned()))?
    }

    /// Looks at one host's head; a host that never reported has an empty one.
    pub fn with_head<T>(&self, host: u32, look: impl FnOnce(&HostHead) -> T) -> T {
        let head = self.heads.read().get(&host).cloned();
        match head {
            Some(head) => look(&head.read()),
            None => look(&HostHead::default()),
        }
    }

    /// Notes that a report came in, without points to keep.
    pub fn touch(&self, host: u32, received_at: i64) {
        head_of(&self.heads, host).write().touch(received_at);
    }

    /// Forgets a deleted host.
    pub fn forget(&self, host: u32) {
        self.gate.deleted.lock().insert(host);
        self.heads.write().remove(&host);
    }

    /// Forgets every host but those named: hosts that were deleted still stand in the log.
    pub fn retain(&self, hosts: &HashSet<u32>) {
        self.heads.write().retain(|host, _| hosts.contains(host));
    }

    /// Series and moments in memory.
    pub fn size(&self) -> (usize, usize) {
        let heads: Vec<_> = self.heads.read().values().cloned().collect();
        heads.iter().fold((0, 0), |(series, rows), head| {
            let head = head.read();
            (series + head.keys().len(), rows + head.rows())
        })
    }
}

fn head_of(heads: &Heads, host: u32) -> Arc<RwLock<HostHead>> {
    if let Some(head) = heads.read().get(&host) {
        return Arc::clone(head);
    }
    Arc::clone(heads.write().entry(host).or_default())
}

async fn replay(kv: &dyn Kv, heads: &Heads) -> Result<u64, OpenError> {
    scan_all(
        kv,
        Table::SeriesNames,
        Vec::new()..vec![0xff; 9],
        |key, value| {
            let host = key
                .first_chunk()
                .map_or(0, |bytes| u32::from_be_bytes(*bytes));
            let series = serde_json::from_slice(&value)
                .map_err(|_| OpenError::Log(chunk::DecodeError::Damaged))?;
            head_of(heads, host).write().add_series(series);
            Ok::<_, OpenError>(())
        },
    )
    .await?;
    let mut sequence = 0;
    scan_all(kv, Table::Log, Vec::new()..vec![0xff; 15], |key, value| {
        if let Some(bytes) = key.last_chunk() {
            sequence = sequence.max(u64::from_be_bytes(*bytes));
        }
        chunk::decode(&value, |frame| {
            let head = head_of(heads, frame.host);
            let mut head = head.write();
            head.touch(frame.received_at);
            for row in &frame.rows {
                head.insert(&frame.series, row);
            }
        })
        .map_err(OpenError::Log)
    })
    .await?;
    Ok(sequence)
}

/// The one task that changes heads: what it plans still holds when it applies it.
struct Appender {
    kv: Arc<dyn Kv>,
    heads: Arc<Heads>,
    gate: Arc<Gate>,
    sequence: u64,
}

/// A post of the batch under way.
struct Planned {
    frame: Frame,
    new_series: Vec<SeriesKey>,
    appended: Appended,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
}

impl Appender {
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>, group_commit: GroupCommit) {
        let mut queue: VecDeque<Waiting> = VecDeque::new();
        let mut last_commit: Option<Instant> = None;
        loop {
            if queue.is_empty() {
                let Some(first) = waiting.recv().await else {
                    return;
                };
                queue.push_back(first);
            }
            let due = last_commit.map_or_else(Instant::now, |last| last + group_commit.interval);
            let mut bytes = queue.iter().map(|post| post.bytes).sum::<usize>();
            while queue.len() < group_commit.posts && bytes < group_commit.bytes {
                match tokio::time::timeout_at(due, waiting.recv()).await {
                    Ok(Some(next)) => {
                        bytes += next.bytes;
                        queue.push_back(next);
                    }
                    Ok(None) | Err(_) => break,
                }
            }
            last_commit = Some(Instant::now());
            let batch = take_batch(&mut queue, group_commit);
            self.commit(batch).await;
        }
    }

    async fn commit(&mut self, posts: Vec<Waiting>) {
        let mut batch = Batch::new(Class::Series);
        let mut planned = Vec::with_capacity(posts.len());
        for Waiting { post, answer, .. } in posts {
            match self.plan(post, &mut batch) {
                Ok((frame, new_series, appended)) => planned.push(Planned {
                    frame,
                    new_series,
                    appended,
                    answer,
                }),
                // Whoever asked may have gone.
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        self.write_frames(&planned, &mut batch);
        let outcome = self.kv.write(batch).await;
        for Planned {
            frame,
            new_series,
            appended,
            answer,
        } in planned
        {
            let result = outcome.clone().map(|()| {
                let head = head_of(&self.heads, frame.host);
                let mut head = head.write();
                for key in new_series {
                    head.add_series(key);
                }
                head.touch(frame.received_at);
                for row in &frame.rows {
                    head.insert(&frame.series, row);
                }
                appended
            });
            // Whoever asked may have gone; the points stand all the same.
            let _ = answer.send(result.map_err(AppendError::from));
        }
    }

    /// Numbers a post's series and blanks the values that are there already.
    fn plan(
        &self,
        post: Post,
        batch: &mut Batch,
    ) -> Result<(Frame, Vec<SeriesKey>, Appended), AppendError> {
        if self.gate.deleted.lock().contains(&post.host) {
            return Err(AppendError::Deleted);
        }
        let head = head_of(&self.heads, post.host);
        let head = head.read();
        if head.cells() > MAX_HOST_CELLS {
            return Err(AppendError::TooManyValues);
        }
        let mut new_series = Vec::new();
        let mut series = Vec::with_capacity(post.series.len());
        for key in post.series {
            series.push(match head.number(&key) {
                Some(number) => number,
                None => {
                    let number = head.keys().len() + new_series.len();
                    if number >= MAX_HOST_SERIES {
                        return Err(AppendError::TooManySeries);
                    }
                    new_series.push(key);
                    u32::try_from(number).unwrap_or(u32::MAX)
                }
            });
        }
        for (number, key) in (head.keys().len()..).zip(&new_series) {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let name = serde_json::to_vec(key).map_err(|error| KvError::Io(error.to_string()))?;
            batch.put(
                Table::SeriesNames,
                [post.host.to_be_bytes(), number.to_be_bytes()].concat(),
                Bytes::from(name),
            );
        }
        let mut appended = Appended::default();
        let mut rows = post.points;
        rows.retain_mut(|row| {
            if !head.has_row(row.at) {
                let values = row.values.iter().flatten().count();
                appended.accepted += values as u64;
                return values > 0;
            }
            for (number, value) in series.iter().zip(&mut row.values) {
                if value.is_none() {
                    continue;
                }
                if head.contains(*number, row.at) {
                    appended.duplicates += 1;
                    *value = None;
                } else {
                    appended.accepted += 1;
                }
            }
            row.values.iter().any(Option::is_some)
        });
        Ok((
            Frame {
                host: post.host,
                received_at: post.received_at,
                series,
                rows,
            },
            new_series,
            appended,
        ))
    }

    /// Writes frames into values of the log, a frame for each host and slot.
    fn write_frames(&mut self, planned: &[Planned], batch: &mut Batch) {
        let mut open: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        for Planned { frame, .. } in planned {
            let rows_of_frame = (FRAME_CELLS / frame.series.len().max(1)).max(1);
            for slot_rows in frame.rows.chunk_by(|a, b| slot_of(a.at) == slot_of(b.at)) {
                let Some(slot) = slot_rows.first().map(|row| slot_of(row.at)) else {
                    continue;
                };
                for rows in slot_rows.chunks(rows_of_frame) {
                    let value = open.entry(slot).or_default();
                    chunk::encode(value, frame.host, frame.received_at, &frame.series, rows);
                    if value.len() >= LOG_VALUE_BYTES {
                        let full = std::mem::take(value);
                        self.put_log(slot, full, batch);
                    }
                }
            }
        }
        for (slot, value) in open.into_iter().filter(|(_, value)| !value.is_empty()) {
            self.put_log(slot, value, batch);
        }
    }

    fn put_log(&mut self, slot: u32, value: Vec<u8>, batch: &mut Batch) {
        self.sequence += 1;
        batch.put(Table::Log, log_key(slot, self.sequence), Bytes::from(value));
    }
}

fn log_key(slot: u32, sequence: u64) -> Key {
    [
        &slot.to_be_bytes()[..],
        &WRITER.to_be_bytes(),
        &sequence.to_be_bytes(),
    ]
    .concat()
}

/// Takes the posts of one commit: a host's second post waits for the next, so that each is planned against what
/// is durable.
fn take_batch(queue: &mut VecDeque<Waiting>, group_commit: GroupCommit) -> Vec<Waiting> {
    let mut hosts = HashSet::new();
    let (mut taken, mut left, mut bytes) = (Vec::new(), VecDeque::new(), 0);
    while let Some(waiting) = queue.pop_front() {
        let has_room =
            taken.is_empty() || (taken.len() < group_commit.posts && bytes < group_commit.bytes);
        if has_room && hosts.insert(waiting.post.host) {
            bytes += waiting.bytes;
            taken.push(waiting);
        } else {
            left.push_back(waiting);
        }
    }
    *queue = left;
    taken
}
