//! The one task that appends to the log: it gathers posts, plans each against what is stored, writes one value of the
//! log in one commit, applies it to the head once it is durable, and answers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use super::{
    AppendError, Appended, Columns, GroupCommit, MAX_HOST_SERIES, Post, Shared, log_key, off_thread,
};
use crate::domain::report::SeriesKey;
use crate::domain::tier::slot_of;
use crate::store::fault;
use crate::store::frame::{self, Frame};
use crate::store::kv::{Batch, Class, KvError, Table};

/// Most values that the head keeps of one host, gaps included: 64 MiB. A series every 10 s for a week has 60,480.
const MAX_HOST_CELLS: usize = 16 * 1024 * 1024;
/// Posts of one host that may wait: a host's posts go into commits one by one, and must not hold up the others'.
const HOST_POSTS_WAITING: u32 = 4;
/// Rows of one frame: keeps a value of the log far below its bound.
const FRAME_CELLS: usize = 20_000;
/// Bytes at which a value of the log is full and the next one begins.
const LOG_VALUE_BYTES: usize = 512 * 1024;

/// Where the outcome of a post goes.
type Answer = oneshot::Sender<Result<Appended, AppendError>>;

/// A post that waits for its commit.
pub struct Waiting {
    post: Post,
    bytes: usize,
    answer: Answer,
    _permit: OwnedSemaphorePermit,
    _entered: Entered,
}

impl Waiting {
    pub fn new(
        post: Post,
        bytes: usize,
        answer: Answer,
        permit: OwnedSemaphorePermit,
        entered: Entered,
    ) -> Self {
        Self {
            post,
            bytes,
            answer,
            _permit: permit,
            _entered: entered,
        }
    }
}

/// How many posts of each host wait, and which hosts were deleted since the start.
#[derive(Default)]
pub struct Gate {
    waiting: Mutex<HashMap<u32, u32>>,
    deleted: Mutex<HashSet<u32>>,
}

impl Gate {
    pub fn enter(self: &Arc<Self>, host: u32) -> Result<Entered, AppendError> {
        if self.is_deleted(host) {
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

    pub fn delete(&self, host: u32) {
        self.deleted.lock().insert(host);
    }

    pub fn is_deleted(&self, host: u32) -> bool {
        self.deleted.lock().contains(&host)
    }
}

/// A post's place among those of its host that wait.
pub struct Entered {
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

/// The one task that adds to heads: what it plans still holds when it applies it.
pub struct Appender {
    shared: Arc<Shared>,
    sequence: u64,
    group_commit: GroupCommit,
}

/// A post of the batch under way.
struct Planned {
    frame: Frame,
    new_series: Vec<SeriesKey>,
    spelled: Option<Box<str>>,
    appended: Appended,
}

impl Appender {
    pub fn new(shared: Arc<Shared>, sequence: u64, group_commit: GroupCommit) -> Self {
        Self {
            shared,
            sequence,
            group_commit,
        }
    }

    pub async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let group_commit = self.group_commit;
        let mut queue: VecDeque<Waiting> = VecDeque::new();
        let mut queued_bytes = 0;
        let mut last_commit: Option<Instant> = None;
        loop {
            if queue.is_empty() {
                let Some(first) = waiting.recv().await else {
                    return;
                };
                queued_bytes = first.bytes;
                queue.push_back(first);
            }
            let due = last_commit.map_or_else(Instant::now, |last| last + group_commit.interval);
            let wait = tokio::time::sleep_until(due);
            tokio::pin!(wait);
            while queue.len() < group_commit.posts && queued_bytes < group_commit.bytes {
                tokio::select! {
                    biased;
                    next = waiting.recv() => match next {
                        Some(next) => {
                            queued_bytes += next.bytes;
                            queue.push_back(next);
                        }
                        None => break,
                    },
                    () = &mut wait => break,
                }
            }
            last_commit = Some(Instant::now());
            let batch = take_batch(&mut queue, group_commit);
            queued_bytes = queue.iter().map(|post| post.bytes).sum();
            self.commit(batch).await;
        }
    }

    async fn commit(&mut self, posts: Vec<Waiting>) {
        let loaded = match self.prepare(&posts).await {
            Ok(loaded) => loaded,
            Err(error) => {
                for post in posts {
                    // Whoever asked may have gone.
                    drop(post.answer.send(Err(error.clone().into())));
                }
                return;
            }
        };
        let sealed_through = self.shared.units.read().sealed_through();
        let mut batch = Batch::new(Class::Series);
        let mut planned = Vec::with_capacity(posts.len());
        for Waiting { post, answer, .. } in posts {
            match self.plan(post, sealed_through, &mut batch) {
                Ok(plan) => planned.push((plan, answer)),
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        let written = self.write_frames(&planned, &mut batch);
        fault::point("append.before");
        let outcome = self.shared.kv.write(batch).await;
        fault::point("append.written");
        let sealed_through = self.shared.units.read().sealed_through();
        for (plan, answer) in planned {
            let Planned {
                frame,
                new_series,
                spelled,
                appended,
            } = plan;
            let result = outcome.clone().map(|()| {
                let head = self.shared.head_of(frame.host);
                let mut head = head.write();
                for key in new_series {
                    head.add_series(self.shared.intern(key));
                }
                head.touch(frame.received_at);
                for row in &frame.rows {
                    head.insert(&frame.series, row, sealed_through);
                }
                if let Some(spelled) = spelled {
                    head.know_columns(spelled, Arc::clone(&frame.series));
                }
                appended
            });
            // Whoever asked may have gone; the points stand all the same.
            let _ = answer.send(result.map_err(AppendError::from));
        }
        if outcome.is_ok() {
            for (slot, (sequence, received_at)) in written {
                self.shared.logged(slot, sequence, received_at);
            }
        }
        // What was loaded and brought nothing new is not kept.
        for host in loaded {
            self.shared.head_of(host).write().drop_clean();
        }
    }

    /// Refuses posts while the disk is nearly full, and loads what is sealed of the slots that posts are late for, so
    /// that they can be planned against it. Returns the hosts for which that was done.
    async fn prepare(&self, posts: &[Waiting]) -> Result<BTreeSet<u32>, KvError> {
        let disk = self.shared.kv.disk();
        if disk.is_some_and(|disk| disk.free_bytes < self.group_commit.disk_reserve_bytes) {
            return Err(KvError::StorageFull);
        }
        let Some(sealed_through) = self.shared.units.read().sealed_through() else {
            return Ok(BTreeSet::new());
        };
        let mut late = BTreeSet::new();
        for Waiting { post, .. } in posts {
            let is_late = |at: i64| slot_of(at) <= sealed_through;
            if !post.points.first().is_some_and(|point| is_late(point.at)) {
                continue;
            }
            let head = self.shared.head_of(post.host);
            let head = head.read();
            let slots = post.points.iter().map(|point| slot_of(point.at));
            late.extend(
                slots
                    .filter(|slot| *slot <= sealed_through && !head.is_complete(*slot))
                    .map(|slot| (post.host, slot)),
            );
        }
        if late.is_empty() {
            return Ok(BTreeSet::new());
        }
        let shared = Arc::clone(&self.shared);
        off_thread(move || {
            for (host, slot) in &late {
                shared.load_sealed(*host, *slot)?;
            }
            Ok(late.into_iter().map(|(host, _)| host).collect())
        })
        .await
    }

    /// Numbers a post's series and blanks the values that are there already.
    fn plan(
        &self,
        post: Post,
        sealed_through: Option<u32>,
        batch: &mut Batch,
    ) -> Result<Planned, AppendError> {
        if self.shared.gate.is_deleted(post.host) {
            return Err(AppendError::Deleted);
        }
        let head = self.shared.head_of(post.host);
        let head = head.read();
        if head.cells() > MAX_HOST_CELLS {
            return Err(AppendError::TooManyValues);
        }
        // Sealed and taken out of memory since it was loaded: sent again, the post is planned against it.
        let slots = post.points.iter().map(|point| slot_of(point.at));
        let mut late =
            slots.take_while(|slot| sealed_through.is_some_and(|sealed| *slot <= sealed));
        if late.any(|slot| !head.is_complete(slot)) {
            return Err(KvError::Busy.into());
        }
        let mut new_series = Vec::new();
        let (series, spelled): (Arc<[u32]>, _) = match post.columns {
            Columns::Known(numbers) => (numbers, None),
            Columns::Named(names, spelled) => {
                let mut series = Vec::with_capacity(names.len());
                for key in names {
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
                (series.into(), spelled)
            }
        };
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
        Ok(Planned {
            frame: Frame {
                host: post.host,
                received_at: post.received_at,
                series,
                rows,
            },
            new_series,
            spelled,
            appended,
        })
    }

    /// Writes frames into values of the log, a frame for each host and slot. Returns, for each slot, the last value
    /// that has something of it, and when that arrived.
    fn write_frames(
        &mut self,
        planned: &[(Planned, Answer)],
        batch: &mut Batch,
    ) -> BTreeMap<u32, (u64, i64)> {
        let mut open: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let mut written = BTreeMap::new();
        for (Planned { frame, .. }, _) in planned {
            let rows_of_frame = (FRAME_CELLS / frame.series.len().max(1)).max(1);
            for slot_rows in frame.rows.chunk_by(|a, b| slot_of(a.at) == slot_of(b.at)) {
                let Some(slot) = slot_rows.first().map(|row| slot_of(row.at)) else {
                    continue;
                };
                for rows in slot_rows.chunks(rows_of_frame) {
                    let value = open.entry(slot).or_default();
                    frame::encode(value, frame.host, frame.received_at, &frame.series, rows);
                    written.insert(slot, (0, frame.received_at));
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
        // The last number given is at least that of every slot's last value.
        for (sequence, _) in written.values_mut() {
            *sequence = self.sequence;
        }
        written
    }

    fn put_log(&mut self, slot: u32, value: Vec<u8>, batch: &mut Batch) {
        self.sequence += 1;
        batch.put(Table::Log, log_key(slot, self.sequence), Bytes::from(value));
    }
}

impl Shared {
    /// Makes a slot in the head complete with what is sealed of it.
    fn load_sealed(&self, host: u32, slot: u32) -> Result<(), KvError> {
        let head = self.head_of(host);
        loop {
            let was_here = head.read().has_slot(slot);
            let sealed = self.sealed_slot(host, slot)?;
            let mut head = head.write();
            // Sealed while it was read: what has left the head since may not be in what was read.
            if was_here && !head.has_slot(slot) {
                continue;
            }
            head.load(slot, &sealed);
            return Ok(());
        }
    }
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
