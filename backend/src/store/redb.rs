//! The embedded engine: redb, a file for each class, one writer thread each with group commit.
//!
//! A write is queued; the thread takes all that wait, applies them in one transaction, makes it durable and then
//! answers them. After an I/O error the handle is dropped, because redb answers `PreviousIo` for ever, and the next
//! call opens the file again.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use redb::{
    CompactionError, Database, DatabaseError, Durability, ReadOnlyDatabase, ReadableDatabase,
    ReadableTable, ReadableTableMetadata, StorageError, TableDefinition, TableError, TableHandle,
    WriteTransaction,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::kv::{
    Batch, Class, Direction, DiskSpace, Dump, Key, Kv, KvError, KvFuture, Operation, Packing,
    Precondition, Read, Table, TableStats, Visitor,
};

/// Bytes that may wait to be written, for each class; past that a write is refused as busy.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Bytes after which a transaction takes no further batch: bounds its time and memory.
const TRANSACTION_BYTES: usize = 8 * 1024 * 1024;
/// Batches that may wait, whatever their size.
const QUEUE_BATCHES: usize = 65_536;
const STATE_FILE: &str = "state.redb";
const SERIES_FILE: &str = "series.redb";
/// Directory in which a restore puts a store together, before it is moved to its place.
pub const RESTORING: &str = "restoring";
/// redb's page cache for state, which lives in memory anyway, in bytes.
const STATE_CACHE_BYTES: usize = 8 * 1024 * 1024;
/// And for series: a day of 200 hosts, so that a top list over it reads no file.
const SERIES_CACHE_BYTES: usize = 64 * 1024 * 1024;
/// Files below are not worth compacting, in bytes.
const COMPACT_LEAST_BYTES: u64 = 4 * 1024 * 1024;
/// Files above would hold up writers for more than seconds, in bytes.
const COMPACT_MOST_BYTES: u64 = 1024 * 1024 * 1024;
/// A leaf page has 4096 bytes, of which four are its header; an entry has two offsets of four bytes
/// (redb's `docs/design.md`).
const PACKING: Packing = Packing {
    page_bytes: 4092,
    entry_bytes: 8,
};

type OpenTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;
type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}

fn builder(class: Class) -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(match class {
        Class::State => STATE_CACHE_BYTES,
        Class::Series => SERIES_CACHE_BYTES,
    });
    builder
}

/// Looks at a file without writing a byte: one that was cut is refused before redb would mend it.
fn inspect(path: &Path) -> Result<(), KvError> {
    let damaged = |reason: String| KvError::Damaged(format!("{}: {reason}", path.display()));
    let read = || -> Result<(), redb::Error> {
        let database = match builder(Class::State).open_read_only(path) {
            Ok(database) => database,
            // It was not closed in good order: opening it for writing repairs it.
            Err(DatabaseError::RepairAborted) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        database.begin_read()?.list_tables()?.for_each(drop);
        Ok(())
    };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(translate(error)),
        Err(_) => Err(damaged("its pages do not fit together".to_owned())),
    }
}

/// Opens one file's database; called again after the handle failed.
pub type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// redb behind [`Kv`].
pub struct RedbKv {
    state: FileHandle,
    series: FileHandle,
    /// Where the files are; nowhere when they are in memory.
    directory: Option<PathBuf>,
}

struct FileHandle {
    file: Arc<File>,
    queue: mpsc::Sender<Request>,
    budget: Arc<Semaphore>,
    writer: std::thread::JoinHandle<()>,
}

enum Request {
    Write(Batch, oneshot::Sender<Result<(), KvError>>),
    DeleteRange(
        Table,
        Range<Key>,
        usize,
        oneshot::Sender<Result<usize, KvError>>,
    ),
    Compact(PathBuf, u64, oneshot::Sender<Result<bool, KvError>>),
    /// Answers once nothing before it is under way, and goes on when the other side is dropped.
    Hold(oneshot::Sender<()>, oneshot::Receiver<()>),
}

impl RedbKv {
    /// Opens `state.redb` and `series.redb` in a directory, or makes both where there is neither.
    ///
    /// # Errors
    /// [`KvError::Damaged`] for a file that is no database, is damaged, empty, or missing beside the other: nothing
    /// is changed then, and never is an empty store made in place of a lost one.
    pub fn open(directory: &Path) -> Result<Self, KvError> {
        let paths = [STATE_FILE, SERIES_FILE].map(|name| directory.join(name));
        if paths.iter().any(|path| path.exists()) {
            for path in &paths {
                let bytes = path.metadata().map_or(0, |metadata| metadata.len());
                if bytes == 0 {
                    let reason = format!(
                        "{} is empty or missing; restore it from a backup",
                        path.display()
                    );
                    return Err(KvError::Damaged(reason));
                }
                inspect(path)?;
            }
        } else if directory.join(RESTORING).exists() {
            let reason = format!(
                "restoring a backup into {} was interrupted; restore it again",
                directory.display()
            );
            return Err(KvError::Damaged(reason));
        } else {
            for path in &paths {
                builder(Class::State)
                    .create(path)
                    .map_err(|error| translate(error.into()))?;
            }
        }
        let opener = |class: Class, path: PathBuf| -> Opener {
            Box::new(move || builder(class).open(&path))
        };
        let [state, series] = paths;
        Ok(Self {
            directory: Some(directory.to_owned()),
            ..Self::with_openers(opener(Class::State, state), opener(Class::Series, series))?
        })
    }

    /// Whether there is a store in a directory.
    pub fn exists(directory: &Path) -> bool {
        directory.join(STATE_FILE).exists()
    }

    /// Whether a file of this name makes a directory one with a store.
    pub fn is_mark(name: &str) -> bool {
        name == STATE_FILE
    }

    /// One value of a store that nobody has open, without writing a byte: for deciding whether to open it at all.
    /// `None` when there is no store yet, or when it was not closed in good order and must be repaired first.
    pub fn peek(directory: &Path, table: Table, key: &[u8]) -> Option<Bytes> {
        let name = match table.class() {
            Class::State => STATE_FILE,
            Class::Series => SERIES_FILE,
        };
        let database = ReadOnlyDatabase::open(directory.join(name)).ok()?;
        let open = database
            .begin_read()
            .ok()?
            .open_table(definition(table))
            .ok()?;
        let value = open.get(key).ok()??;
        Some(Bytes::copy_from_slice(value.value()))
    }

    /// The same over any backend that redb takes; for tests that make the disk fail.
    ///
    /// # Errors
    /// As [`RedbKv::open`].
    pub fn with_openers(state: Opener, series: Opener) -> Result<Self, KvError> {
        Ok(Self {
            state: FileHandle::open(Class::State, state)?,
            series: FileHandle::open(Class::Series, series)?,
            directory: None,
        })
    }

    /// Ends the writers and closes the files, so that somebody else can open them. Blocks.
    pub fn close(self) {
        self.state.close();
        self.series.close();
    }

    fn handle(&self, class: Class) -> &FileHandle {
        match class {
            Class::State => &self.state,
            Class::Series => &self.series,
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        class: Class,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, KvError> {
        let file = Arc::clone(&self.handle(class).file);
        off_thread(move || file.with(read)).await
    }
}

impl FileHandle {
    fn open(class: Class, opener: Opener) -> Result<Self, KvError> {
        let file = Arc::new(File {
            opener,
            database: RwLock::default(),
        });
        // Tables are made at once, so that a read never meets a missing one; a store that has them is not written.
        file.with(|database| {
            let present: Vec<String> = database
                .begin_read()?
                .list_tables()?
                .map(|table| table.name().to_owned())
                .collect();
            let mut missing = Table::ALL.iter().filter(|table| table.class() == class);
            if missing.all(|table| present.iter().any(|name| name == table.name())) {
                return Ok(());
            }
            let transaction = begin(database)?;
            for table in Table::ALL.iter().filter(|table| table.class() == class) {
                transaction.open_table(definition(*table))?;
            }
            transaction.commit()?;
            Ok(())
        })?;
        let (queue, requests) = mpsc::channel(QUEUE_BATCHES);
        let written = Arc::clone(&file);
        let writer = std::thread::Builder::new()
            .name(format!("store-{class:?}").to_lowercase())
            .spawn(move || write_loop(&written, requests))
            .map_err(|error| KvError::Io(format!("starting the writer thread: {error}")))?;
        Ok(Self {
            file,
            queue,
            budget: Arc::new(Semaphore::new(QUEUE_BYTES)),
            writer,
        })
    }

    /// Waits until nothing is being written. The writer goes on when what is returned is dropped.
    fn hold(&self) -> Result<oneshot::Sender<()>, KvError> {
        let (held, holding) = oneshot::channel();
        let (release, until) = oneshot::channel();
        let ended = || KvError::Io("the writer ended".to_owned());
        self.queue
            .blocking_send(Request::Hold(held, until))
            .map_err(|_| ended())?;
        holding.blocking_recv().map_err(|_| ended())?;
        Ok(release)
    }

    /// Waits until what was asked for is done and the file is closed in good order.
    fn close(self) {
        drop(self.queue);
        // A writer that panicked has said so.
        drop(self.writer.join());
    }

    async fn send<T>(
        &self,
        bytes: usize,
        request: impl FnOnce(oneshot::Sender<Result<T, KvError>>) -> Request,
    ) -> Result<T, KvError> {
        let permits = u32::try_from(bytes.clamp(1, QUEUE_BYTES)).unwrap_or(u32::MAX);
        let _permit = self
            .budget
            .try_acquire_many(permits)
            .map_err(|_| KvError::Busy)?;
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(request(answer))
            .map_err(|_| KvError::Busy)?;
        answered
            .await
            .map_err(|_| KvError::Io("the writer ended".to_owned()))?
    }
}

/// One database file and the handle on it, absent after it failed.
struct File {
    opener: Opener,
    database: RwLock<Handle>,
}

#[derive(Default)]
struct Handle {
    /// Tells handles on the same file apart.
    generation: u64,
    database: Option<Database>,
}

impl File {
    fn open(&self) -> Result<(), KvError> {
        let mut handle = self.database.write();
        if handle.database.is_some() {
            return Ok(());
        }
        // redb may panic on a file that was damaged after it was closed in good order.
        let opened = catch_unwind(AssertUnwindSafe(|| (self.opener)()))
            .map_err(|_| KvError::Damaged("its pages do not fit together".to_owned()))?;
        handle.database = Some(opened.map_err(|error| translate(error.into()))?);
        handle.generation += 1;
        Ok(())
    }

    /// Runs `work` on the database; on an I/O error the handle is dropped, to be opened again by the next caller.
    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, KvError> {
        let handle = loop {
            let handle = self.database.read();
            if handle.database.is_some() {
                break handle;
            }
            drop(handle);
            self.open()?;
        };
        let Some(database) = &handle.database else {
            return Err(KvError::Io("the file is not open".to_owned()));
        };
        let done = catch_unwind(AssertUnwindSafe(|| work(database)));
        let error = match done {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => translate(error),
            Err(_) => KvError::Io("the engine panicked".to_owned()),
        };
        let generation = handle.generation;
        drop(handle);
        self.forget(generation, &error);
        Err(error)
    }

    fn forget(&self, generation: u64, error: &KvError) {
        if matches!(error, KvError::Io(_) | KvError::StorageFull) {
            let mut handle = self.database.write();
            if handle.generation == generation && handle.database.is_some() {
                tracing::error!(%error, "store failed, its file will be opened again");
                handle.database = None;
            }
        }
    }

    /// Compacts the file when so much of it is free, and not when something reads it.
    fn compact(&self, path: &Path, least_free_percent: u64) -> Result<bool, KvError> {
        let bytes = allocated_bytes(path);
        if !(COMPACT_LEAST_BYTES..COMPACT_MOST_BYTES).contains(&bytes) {
            return Ok(false);
        }
        let used = self.with(|database| {
            let transaction = database.begin_write()?;
            let stats = transaction.stats()?;
            let used = stats.allocated_pages() * stats.page_size() as u64;
            transaction.abort()?;
            Ok(used)
        })?;
        if bytes.saturating_sub(used) * 100 < bytes * least_free_percent {
            return Ok(false);
        }
        let mut handle = self.database.write();
        let Some(database) = &mut handle.database else {
            return Ok(false);
        };
        match database.compact() {
            Ok(_) => Ok(true),
            Err(CompactionError::Storage(error)) => Err(translate(error.into())),
            Err(_) => Ok(false),
        }
    }
}

/// Bytes that a file takes on the disk, which is less than its length where nothing was written.
fn allocated_bytes(path: &Path) -> u64 {
    path.metadata()
        .map_or(0, |metadata| metadata.blocks() * 512)
}

fn translate(error: redb::Error) -> KvError {
    match error {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            KvError::StorageFull
        }
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            KvError::Damaged(error.to_string())
        }
        redb::Error::Corrupted(reason) => KvError::Damaged(reason),
        error @ (redb::Error::UpgradeRequired(_) | redb::Error::RepairAborted) => {
            KvError::Damaged(error.to_string())
        }
        error => KvError::Io(error.to_string()),
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KvError> + Send + 'static,
) -> Result<T, KvError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(KvError::Io(error.to_string())))
}

fn write_loop(file: &File, mut requests: mpsc::Receiver<Request>) {
    let mut carried = None;
    while let Some(first) = carried.take().or_else(|| requests.blocking_recv()) {
        match first {
            Request::Write(batch, answer) => {
                let mut bytes = batch.bytes();
                let mut group = vec![(batch, answer)];
                while bytes < TRANSACTION_BYTES {
                    match requests.try_recv() {
                        Ok(Request::Write(batch, answer)) => {
                            bytes += batch.bytes();
                            group.push((batch, answer));
                        }
                        Ok(other) => {
                            carried = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                commit_group(file, group);
            }
            Request::DeleteRange(table, range, max, answer) => {
                // Whoever asked may have gone; the work is done all the same.
                let _ =
                    answer.send(file.with(|database| delete_range(database, table, &range, max)));
            }
            Request::Compact(path, least_free_percent, answer) => {
                let _ = answer.send(file.compact(&path, least_free_percent));
            }
            Request::Hold(held, until) => {
                if held.send(()).is_ok() {
                    let _ = until.blocking_recv();
                }
            }
        }
    }
}

fn commit_group(file: &File, group: Vec<(Batch, oneshot::Sender<Result<(), KvError>>)>) {
    let batches: Vec<&Batch> = group.iter().map(|(batch, _)| batch).collect();
    let outcome = file.with(|database| apply(database, &batches));
    for (index, (_, answer)) in group.into_iter().enumerate() {
        let result = match &outcome {
            Ok(conflicts) if conflicts.contains(&index) => Err(KvError::Conflict),
            Ok(_) => Ok(()),
            Err(error) => Err(error.clone()),
        };
        // Whoever asked may have gone; the write stands all the same.
        let _ = answer.send(result);
    }
}

fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    // The allocator's state is saved with each commit: opening after kill -9 takes milliseconds.
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Applies batches in one durable transaction and names those whose preconditions did not hold.
fn apply(database: &Database, batches: &[&Batch]) -> Result<Vec<usize>, redb::Error> {
    let transaction = begin(database)?;
    let mut conflicts = Vec::new();
    {
        let mut tables: HashMap<Table, redb::Table<'_, &[u8], &[u8]>> = HashMap::new();
        for (index, batch) in batches.iter().enumerate() {
            let mut holds = true;
            for precondition in batch.preconditions() {
                let (table, key, expected) = match precondition {
                    Precondition::Absent(table, key) => (*table, key, None),
                    Precondition::Equals(table, key, value) => (*table, key, Some(&value[..])),
                };
                let table = open(&transaction, &mut tables, table)?;
                holds &= table
                    .get(key.as_slice())?
                    .as_ref()
                    .map(redb::AccessGuard::value)
                    == expected;
            }
            if !holds {
                conflicts.push(index);
                continue;
            }
            for operation in batch.operations() {
                match operation {
                    Operation::Put(table, key, value) => {
                        open(&transaction, &mut tables, *table)?
                            .insert(key.as_slice(), &value[..])?;
                    }
                    Operation::Delete(table, key) => {
                        open(&transaction, &mut tables, *table)?.remove(key.as_slice())?;
                    }
                }
            }
        }
    }
    transaction.commit()?;
    Ok(conflicts)
}

fn open<'tables, 'transaction>(
    transaction: &'transaction WriteTransaction,
    tables: &'tables mut HashMap<Table, redb::Table<'transaction, &'static [u8], &'static [u8]>>,
    table: Table,
) -> Result<&'tables mut redb::Table<'transaction, &'static [u8], &'static [u8]>, TableError> {
    Ok(match tables.entry(table) {
        std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::hash_map::Entry::Vacant(entry) => {
            entry.insert(transaction.open_table(definition(table))?)
        }
    })
}

fn delete_range(
    database: &Database,
    table: Table,
    range: &Range<Key>,
    max: usize,
) -> Result<usize, redb::Error> {
    let transaction = begin(database)?;
    let removed = {
        let mut table = transaction.open_table(definition(table))?;
        let keys: Vec<Key> = table
            .range(range.start.as_slice()..range.end.as_slice())?
            .take(max)
            .map(|entry| entry.map(|(key, _)| key.value().to_vec()))
            .collect::<Result<_, StorageError>>()?;
        for key in &keys {
            table.remove(key.as_slice())?;
        }
        keys.len()
    };
    transaction.commit()?;
    Ok(removed)
}

impl Kv for RedbKv {
    fn get_many(&self, table: Table, keys: Vec<Key>) -> KvFuture<'_, Vec<Option<Bytes>>> {
        Box::pin(self.read(table.class(), move |database| {
            let table = database.begin_read()?.open_table(definition(table))?;
            keys.iter()
                .map(|key| {
                    Ok(table
                        .get(key.as_slice())?
                        .map(|value| Bytes::copy_from_slice(value.value())))
                })
                .collect()
        }))
    }

    fn scan(
        &self,
        table: Table,
        range: Range<Key>,
        limit: usize,
        direction: Direction,
    ) -> KvFuture<'_, Vec<(Key, Bytes)>> {
        Box::pin(self.read(table.class(), move |database| {
            if range.start >= range.end {
                return Ok(Vec::new());
            }
            let table = database.begin_read()?.open_table(definition(table))?;
            let mut entries = table.range(range.start.as_slice()..range.end.as_slice())?;
            let mut page = Vec::new();
            while page.len() < limit {
                let entry = match direction {
                    Direction::Forward => entries.next(),
                    Direction::Backward => entries.next_back(),
                };
                let Some(entry) = entry else { break };
                let (key, value) = entry?;
                page.push((key.value().to_vec(), Bytes::copy_from_slice(value.value())));
            }
            Ok(page)
        }))
    }

    fn write(&self, batch: Batch) -> KvFuture<'_, ()> {
        Box::pin(async move {
            batch.check()?;
            if batch.is_empty() && batch.preconditions().is_empty() {
                return Ok(());
            }
            self.handle(batch.class())
                .send(batch.bytes(), |answer| Request::Write(batch, answer))
                .await
        })
    }

    fn delete_range(&self, table: Table, range: Range<Key>, max: usize) -> KvFuture<'_, usize> {
        Box::pin(async move {
            if range.start >= range.end {
                return Ok(0);
            }
            self.handle(table.class())
                .send(0, |answer| Request::DeleteRange(table, range, max, answer))
                .await
        })
    }

    fn visit(&self, class: Class, reads: &[Read], each: &mut Visitor<'_>) -> Result<(), KvError> {
        self.handle(class).file.with(|database| {
            let transaction = database.begin_read()?;
            let mut open: Option<(Table, OpenTable)> = None;
            for (index, Read { table, range }) in reads.iter().enumerate() {
                if range.start >= range.end {
                    continue;
                }
                let entries = match &open {
                    Some((of, entries)) if of == table => entries,
                    _ => {
                        let entries = transaction.open_table(definition(*table))?;
                        &open.insert((*table, entries)).1
                    }
                };
                for entry in entries.range(range.start.as_slice()..range.end.as_slice())? {
                    let (key, value) = entry?;
                    if let ControlFlow::Break(()) = each(index, key.value(), value.value()) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    fn packing(&self) -> Packing {
        PACKING
    }

    fn disk(&self) -> Option<DiskSpace> {
        let directory = self.directory.as_ref()?;
        let disk = rustix::fs::statvfs(directory).ok()?;
        Some(DiskSpace {
            free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
            total_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
            used_bytes: [STATE_FILE, SERIES_FILE]
                .map(|name| allocated_bytes(&directory.join(name)))
                .iter()
                .sum(),
        })
    }

    fn compact(&self, least_free_percent: u64) -> KvFuture<'_, bool> {
        Box::pin(async move {
            let Some(directory) = &self.directory else {
                return Ok(false);
            };
            let mut done = false;
            for (handle, name) in [(&self.state, STATE_FILE), (&self.series, SERIES_FILE)] {
                let path = directory.join(name);
                done |= handle
                    .send(0, |answer| {
                        Request::Compact(path, least_free_percent, answer)
                    })
                    .await?;
            }
            Ok(done)
        })
    }

    fn stats(&self) -> KvFuture<'_, Vec<TableStats>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for class in [Class::State, Class::Series] {
                all.extend(
                    self.read(class, move |database| table_stats(database, class))
                        .await?,
                );
            }
            Ok(all)
        })
    }

    fn dump(&self, each: &mut Dump<'_>) -> Result<(), KvError> {
        let handles = [&self.state, &self.series];
        // Both read transactions begin while no writer runs; then the writers may go on.
        let held = handles.map(FileHandle::hold);
        let held = held.into_iter().collect::<Result<Vec<_>, _>>()?;
        let begun = handles.map(|handle| handle.file.with(|database| Ok(database.begin_read()?)));
        drop(held);
        for (begun, class) in begun.into_iter().zip([Class::State, Class::Series]) {
            let transaction = begun?;
            for table in Table::ALL.iter().filter(|table| table.class() == class) {
                if dump(&transaction, *table, each)
                    .map_err(translate)?
                    .is_break()
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn dump(
    transaction: &redb::ReadTransaction,
    table: Table,
    each: &mut Dump<'_>,
) -> Result<ControlFlow<()>, redb::Error> {
    for entry in transaction.open_table(definition(table))?.iter()? {
        let (key, value) = entry?;
        if each(table, key.value(), value.value()).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn table_stats(database: &Database, class: Class) -> Result<Vec<TableStats>, redb::Error> {
    let transaction = database.begin_read()?;
    Table::ALL
        .iter()
        .filter(|table| table.class() == class)
        .map(|table| {
            let open = transaction.open_table(definition(*table))?;
            Ok(TableStats {
                table: *table,
                keys: open.len()?,
                stored_bytes: open.stats()?.stored_bytes(),
            })
        })
        .collect()
}
