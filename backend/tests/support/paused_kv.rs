//! An engine whose next reading of rows stops when it has read, and goes on when it is told to.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use infra_watch::store::kv::{
    Batch, Class, Direction, DiskSpace, Dump, Key, Kv, KvError, KvFuture, Packing, Read, Table,
    TableStats, Visitor,
};
use infra_watch::store::redb::RedbKv;
use parking_lot::Mutex;

pub struct PausedKv {
    inner: RedbKv,
    pause: Mutex<Option<Pause>>,
}

/// A stop: one side says that it is reached, the other that it is over.
struct Pause {
    reached: Sender<()>,
    over: Receiver<()>,
}

impl PausedKv {
    pub fn new(inner: RedbKv) -> Self {
        Self {
            inner,
            pause: Mutex::default(),
        }
    }

    /// Stops the next reading: where to hear that it has read, and where to say that it may go on.
    pub fn pause(&self) -> (Receiver<()>, Sender<()>) {
        let (reached, is_reached) = channel();
        let (go_on, over) = channel();
        *self.pause.lock() = Some(Pause { reached, over });
        (is_reached, go_on)
    }
}

impl Kv for PausedKv {
    fn visit(&self, class: Class, reads: &[Read], each: &mut Visitor<'_>) -> Result<(), KvError> {
        let pause = self.pause.lock().take();
        let done = self.inner.visit(class, reads, each);
        if let Some(Pause { reached, over }) = pause {
            reached.send(()).unwrap();
            over.recv().unwrap();
        }
        done
    }

    fn get_many(&self, table: Table, keys: Vec<Key>) -> KvFuture<'_, Vec<Option<Bytes>>> {
        self.inner.get_many(table, keys)
    }

    fn scan(
        &self,
        table: Table,
        range: Range<Key>,
        limit: usize,
        direction: Direction,
    ) -> KvFuture<'_, Vec<(Key, Bytes)>> {
        self.inner.scan(table, range, limit, direction)
    }

    fn write(&self, batch: Batch) -> KvFuture<'_, ()> {
        self.inner.write(batch)
    }

    fn delete_range(&self, table: Table, range: Range<Key>, max: usize) -> KvFuture<'_, usize> {
        self.inner.delete_range(table, range, max)
    }

    fn packing(&self) -> Packing {
        self.inner.packing()
    }

    fn disk(&self) -> Option<DiskSpace> {
        self.inner.disk()
    }

    fn compact(&self, least_free_percent: u64) -> KvFuture<'_, bool> {
        self.inner.compact(least_free_percent)
    }

    fn stats(&self) -> KvFuture<'_, Vec<TableStats>> {
        self.inner.stats()
    }

    fn dump(&self, each: &mut Dump<'_>) -> Result<(), KvError> {
        self.inner.dump(each)
    }
}
