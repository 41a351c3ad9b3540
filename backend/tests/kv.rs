//! One conformance suite that takes any `Kv`, and what the embedded engine does when its disk fails.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/disk.rs"]
mod disk;

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use disk::{Disk, Mood};
use infra_watch::store::OpenError;
use infra_watch::store::kv::{
    Batch, Class, Direction, DiskSpace, Dump, Key, Kv, KvError, KvFuture, Operation, Packing,
    Precondition, Read, Table, TableStats, Visitor, prefix_range, scan_all,
};
use infra_watch::store::migration::{self, Migration};
use infra_watch::store::redb::RedbKv;
use parking_lot::Mutex;

/// The simplest engine there is: what the suite asks for, and nothing else.
#[derive(Default)]
struct MemoryKv(Mutex<BTreeMap<(Table, Key), Bytes>>);

impl MemoryKv {
    fn range(&self, table: Table, range: &Range<Key>) -> Vec<(Key, Bytes)> {
        let map = self.0.lock();
        let inside = map
            .iter()
            .filter(|((in_table, key), _)| *in_table == table && range.contains(key));
        inside
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect()
    }
}

impl Kv for MemoryKv {
    fn get_many(&self, table: Table, keys: Vec<Key>) -> KvFuture<'_, Vec<Option<Bytes>>> {
        let map = self.0.lock();
        let values = keys
            .into_iter()
            .map(|key| map.get(&(table, key)).cloned())
            .collect();
        Box::pin(async move { Ok(values) })
    }

    fn scan(
        &self,
        table: Table,
        range: Range<Key>,
        limit: usize,
        direction: Direction,
    ) -> KvFuture<'_, Vec<(Key, Bytes)>> {
        let mut entries = self.range(table, &range);
        if direction == Direction::Backward {
            entries.reverse();
        }
        entries.truncate(limit);
        Box::pin(async move { Ok(entries) })
    }

    fn write(&self, batch: Batch) -> KvFuture<'_, ()> {
        let apply = || {
            batch.check()?;
            let mut map = self.0.lock();
            let holds = batch
                .preconditions()
                .iter()
                .all(|precondition| match precondition {
                    Precondition::Absent(table, key) => !map.contains_key(&(*table, key.clone())),
                    Precondition::Equals(table, key, value) => {
                        map.get(&(*table, key.clone())) == Some(value)
                    }
                });
            if !holds {
                return Err(KvError::Conflict);
            }
            for operation in batch.operations() {
                match operation {
                    Operation::Put(table, key, value) => {
                        drop(map.insert((*table, key.clone()), value.clone()));
                    }
                    Operation::Delete(table, key) => drop(map.remove(&(*table, key.clone()))),
                }
            }
            Ok(())
        };
        let applied = apply();
        Box::pin(async move { applied })
    }

    fn delete_range(&self, table: Table, range: Range<Key>, max: usize) -> KvFuture<'_, usize> {
        let mut entries = self.range(table, &range);
        entries.truncate(max);
        for (key, _) in &entries {
            self.0.lock().remove(&(table, key.clone()));
        }
        Box::pin(async move { Ok(entries.len()) })
    }

    fn stats(&self) -> KvFuture<'_, Vec<TableStats>> {
        let stats = Table::ALL.iter().map(|table| {
            let entries = self.range(*table, &(Vec::new()..vec![0xff; 65]));
            let stored_bytes = entries
                .iter()
                .map(|(key, value)| (key.len() + value.len()) as u64)
                .sum();
            TableStats {
                table: *table,
                keys: entries.len() as u64,
                stored_bytes,
            }
        });
        let stats = stats.collect();
        Box::pin(async move { Ok(stats) })
    }

    fn visit(&self, _class: Class, reads: &[Read], each: &mut Visitor<'_>) -> Result<(), KvError> {
        for (index, Read { table, range }) in reads.iter().enumerate() {
            for (key, value) in self.range(*table, range) {
                if each(index, &key, &value).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn packing(&self) -> Packing {
        Packing {
            page_bytes: 4096,
            entry_bytes: 0,
        }
    }

    fn disk(&self) -> Option<DiskSpace> {
        None
    }

    fn compact(&self, _least_free_percent: u64) -> KvFuture<'_, bool> {
        Box::pin(async { Ok(false) })
    }

    fn dump(&self, each: &mut Dump<'_>) -> Result<(), KvError> {
        let entries = self.0.lock().clone();
        for ((table, key), value) in &entries {
            if each(*table, key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn put(batch: &mut Batch, table: Table, key: &str, value: &str) {
    batch.put(
        table,
        key.as_bytes().to_vec(),
        Bytes::copy_from_slice(value.as_bytes()),
    );
}

async fn write(kv: &dyn Kv, entries: &[(&str, &str)]) {
    let mut batch = Batch::new(Class::Series);
    for (key, value) in entries {
        put(&mut batch, Table::Log, key, value);
    }
    kv.write(batch).await.unwrap();
}

async fn keys(kv: &dyn Kv, range: Range<&str>, limit: usize, direction: Direction) -> Vec<String> {
    let range = range.start.as_bytes().to_vec()..range.end.as_bytes().to_vec();
    let page = kv.scan(Table::Log, range, limit, direction).await.unwrap();
    page.into_iter()
        .map(|(key, _)| String::from_utf8(key).unwrap())
        .collect()
}

/// What every engine must do.
async fn conforms(kv: Arc<dyn Kv>) {
    let kv_ref = kv.as_ref();
    // Reading what is not there.
    assert_eq!(
        kv.get_many(Table::Log, vec![b"a".to_vec()]).await.unwrap(),
        [None]
    );
    assert!(
        keys(kv_ref, "".."z", 10, Direction::Forward)
            .await
            .is_empty()
    );

    // Order, ranges and pages.
    write(
        kv_ref,
        &[("b", "2"), ("a", "1"), ("d", "4"), ("c", "3"), ("cc", "33")],
    )
    .await;
    assert_eq!(
        keys(kv_ref, "".."z", 10, Direction::Forward).await,
        ["a", "b", "c", "cc", "d"]
    );
    assert_eq!(
        keys(kv_ref, "b".."d", 10, Direction::Forward).await,
        ["b", "c", "cc"]
    );
    assert_eq!(
        keys(kv_ref, "b".."d", 2, Direction::Forward).await,
        ["b", "c"]
    );
    assert_eq!(
        keys(kv_ref, "".."z", 2, Direction::Backward).await,
        ["d", "cc"]
    );
    assert!(
        keys(kv_ref, "z".."a", 10, Direction::Forward)
            .await
            .is_empty()
    );
    let found = kv
        .get_many(
            Table::Log,
            [b"c", b"x", b"a"].map(|key| key.to_vec()).to_vec(),
        )
        .await
        .unwrap();
    assert_eq!(
        found,
        [Some(Bytes::from("3")), None, Some(Bytes::from("1"))]
    );
    assert_eq!(
        kv.get_many(Table::SeriesNames, vec![b"a".to_vec()])
            .await
            .unwrap(),
        [None],
        "tables are apart"
    );

    // Ranges are visited in the order in which they are asked for, and no further than wanted.
    let read = |start: &str, end: &str| Read {
        table: Table::Log,
        range: start.as_bytes().to_vec()..end.as_bytes().to_vec(),
    };
    let visit = |reads: &[Read], limit: usize| {
        let mut seen = Vec::new();
        let mut each = |index: usize, key: &[u8], value: &[u8]| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            seen.push(format!("{index} {}={}", text(key), text(value)));
            if seen.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        kv.visit(Class::Series, reads, &mut each).unwrap();
        seen
    };
    let reads = [read("c", "d"), read("z", "a"), read("a", "c")];
    assert_eq!(visit(&reads, 9), ["0 c=3", "0 cc=33", "2 a=1", "2 b=2"]);
    assert_eq!(visit(&reads, 3), ["0 c=3", "0 cc=33", "2 a=1"]);
    assert!(visit(&[], 9).is_empty());

    // A batch is applied in order, whole, and over classes it is refused.
    let mut batch = Batch::new(Class::Series);
    put(&mut batch, Table::Log, "e", "5");
    batch.delete(Table::Log, b"e".to_vec());
    batch.delete(Table::Log, b"nothing".to_vec());
    put(&mut batch, Table::SeriesNames, "e", "name");
    kv.write(batch).await.unwrap();
    assert_eq!(
        kv.get_many(Table::Log, vec![b"e".to_vec()]).await.unwrap(),
        [None]
    );
    assert!(
        kv.get_many(Table::SeriesNames, vec![b"e".to_vec()])
            .await
            .unwrap()[0]
            .is_some()
    );
    let mut mixed = Batch::new(Class::Series);
    put(&mut mixed, Table::Log, "f", "6");
    put(&mut mixed, Table::Users, "f", "6");
    assert!(matches!(kv.write(mixed).await, Err(KvError::Invalid(_))));
    assert_eq!(
        kv.get_many(Table::Log, vec![b"f".to_vec()]).await.unwrap(),
        [None]
    );
    let mut long = Batch::new(Class::Series);
    long.put(Table::Log, vec![0; 65], Bytes::new());
    assert!(matches!(kv.write(long).await, Err(KvError::Invalid(_))));
    let mut large = Batch::new(Class::Series);
    large.put(Table::Log, vec![0], Bytes::from(vec![0; 1_000_001]));
    assert!(matches!(kv.write(large).await, Err(KvError::Invalid(_))));
    kv.write(Batch::new(Class::Series)).await.unwrap();

    // Preconditions.
    let guarded = |expect_absent: bool, value: &str| {
        let mut batch = Batch::new(Class::Series);
        if expect_absent {
            batch.expect_absent(Table::Log, b"g".to_vec());
        } else {
            batch.expect_equals(Table::Log, b"g".to_vec(), Bytes::from("1"));
        }
        put(&mut batch, Table::Log, "g", value);
        put(&mut batch, Table::Log, "h", value);
        kv.write(batch)
    };
    assert!(matches!(guarded(false, "0").await, Err(KvError::Conflict)));
    guarded(true, "1").await.unwrap();
    assert!(matches!(guarded(true, "2").await, Err(KvError::Conflict)));
    assert_eq!(
        kv.get_many(Table::Log, vec![b"h".to_vec()]).await.unwrap(),
        [Some(Bytes::from("1"))],
        "nothing of it"
    );
    guarded(false, "2").await.unwrap();
    assert!(matches!(guarded(false, "3").await, Err(KvError::Conflict)));

    // Of writers that race for one key, one wins.
    let racers = (0..32).map(|number| {
        let kv = Arc::clone(&kv);
        tokio::spawn(async move {
            let mut batch = Batch::new(Class::State);
            batch.expect_absent(Table::Users, b"race".to_vec());
            put(&mut batch, Table::Users, "race", &number.to_string());
            kv.write(batch).await.is_ok()
        })
    });
    let mut winners = 0;
    for racer in racers.collect::<Vec<_>>() {
        winners += u32::from(racer.await.unwrap());
    }
    assert_eq!(winners, 1);

    // Ranges are removed piece by piece, lowest first.
    let range = || b"a".to_vec()..b"d".to_vec();
    assert_eq!(kv.delete_range(Table::Log, range(), 3).await.unwrap(), 3);
    assert_eq!(
        keys(kv_ref, "".."z", 10, Direction::Forward).await,
        ["cc", "d", "g", "h"]
    );
    assert_eq!(kv.delete_range(Table::Log, range(), 3).await.unwrap(), 1);
    assert_eq!(kv.delete_range(Table::Log, range(), 3).await.unwrap(), 0);

    // Long scans page by themselves, and prefixes make ranges.
    let numbers: Vec<String> = (0..2500).map(|number| format!("p{number:05}")).collect();
    write(
        kv_ref,
        &numbers
            .iter()
            .map(|key| (key.as_str(), ""))
            .collect::<Vec<_>>(),
    )
    .await;
    let mut seen = Vec::new();
    scan_all(kv_ref, Table::Log, prefix_range(b"p"), |key, _| {
        seen.push(String::from_utf8(key).unwrap());
        Ok::<_, KvError>(())
    })
    .await
    .unwrap();
    assert_eq!(seen, numbers);
    assert_eq!(prefix_range(&[1, 0xff]), vec![1, 0xff]..vec![2]);

    // Figures.
    let stats = kv.stats().await.unwrap();
    let log = stats
        .iter()
        .find(|stats| stats.table == Table::Log)
        .unwrap();
    assert_eq!(log.keys, 2503);
    assert!(log.stored_bytes >= 2500 * 6);
    assert_eq!(stats.len(), Table::ALL.len());

    // Everything at one moment, of both classes, in order; and no more than is asked for.
    let mut state = Batch::new(Class::State);
    put(&mut state, Table::Users, "user", "name");
    kv.write(state).await.unwrap();
    let dump = |most: usize| {
        let mut found = Vec::new();
        let mut each = |table: Table, key: &[u8], _: &[u8]| {
            found.push((table, key.to_vec()));
            if found.len() == most {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        tokio::task::block_in_place(|| kv_ref.dump(&mut each)).unwrap();
        found
    };
    let all = dump(usize::MAX);
    let count = |table: Table| all.iter().filter(|(found, _)| *found == table).count();
    assert_eq!((count(Table::Users), count(Table::Log)), (2, 2503));
    assert!(all.is_sorted());
    assert_eq!(dump(2), all[..2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    conforms(Arc::new(MemoryKv::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redb_conforms() {
    let directory = tempfile::tempdir().unwrap();
    conforms(Arc::new(RedbKv::open(directory.path()).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redb_keeps_what_it_acknowledged_and_is_free_once_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let kv = RedbKv::open(directory.path()).unwrap();
    write(&kv, &[("a", "1")]).await;
    assert!(matches!(
        RedbKv::open(directory.path()),
        Err(KvError::Io(_))
    ));
    tokio::task::block_in_place(|| kv.close());
    let kv = RedbKv::open(directory.path()).unwrap();
    assert_eq!(keys(&kv, "".."z", 9, Direction::Forward).await, ["a"]);
}

/// Pairs are written one after the other, first into state and then into series: at each moment state is the same or
/// one ahead.
#[tokio::test(flavor = "multi_thread")]
async fn redb_dumps_both_files_as_they_are_at_one_moment() {
    let directory = tempfile::tempdir().unwrap();
    let kv = Arc::new(RedbKv::open(directory.path()).unwrap());
    let stop = Arc::new(std::sync::atomic::AtomicBool::default());
    let (writer, stopped) = (Arc::clone(&kv), Arc::clone(&stop));
    let writing = tokio::spawn(async move {
        let mut written = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            for (class, table) in [(Class::State, Table::Users), (Class::Series, Table::Log)] {
                let mut batch = Batch::new(class);
                put(&mut batch, table, &format!("{written:06}"), "x");
                writer.write(batch).await.unwrap();
            }
            written += 1;
        }
        written
    });
    let mut seen = 0;
    for _ in 0..20 {
        let (mut state, mut series) = (0, 0);
        let mut each = |table: Table, _: &[u8], _: &[u8]| {
            match table {
                Table::Users => state += 1,
                Table::Log => series += 1,
                _ => {}
            }
            ControlFlow::Continue(())
        };
        tokio::task::block_in_place(|| kv.dump(&mut each)).unwrap();
        assert!(state == series || state == series + 1, "{state} {series}");
        assert!(state >= seen);
        seen = state;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(writing.await.unwrap() >= 1);
}

fn faulty() -> (Disk, RedbKv) {
    let (state, series) = (Disk::default(), Disk::default());
    let kv = RedbKv::with_openers(state.opener(), series.opener()).unwrap();
    (series, kv)
}

async fn try_write(kv: &RedbKv, key: &str) -> Result<(), KvError> {
    let mut batch = Batch::new(Class::Series);
    put(&mut batch, Table::Log, key, "value");
    kv.write(batch).await
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_the_handle_comes_back_by_itself() {
    let (disk, kv) = faulty();
    try_write(&kv, "before").await.unwrap();
    disk.set(Mood::Full);
    assert!(matches!(
        try_write(&kv, "full").await,
        Err(KvError::StorageFull)
    ));
    assert!(try_write(&kv, "still full").await.is_err());
    disk.set(Mood::Works);
    try_write(&kv, "after").await.unwrap();
    let found = keys(&kv, "".."z", 9, Direction::Forward).await;
    assert!(
        found.contains(&"before".to_owned()) && found.contains(&"after".to_owned()),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_broken_disk_fails_reads_and_writes_until_it_is_mended() {
    let (disk, kv) = faulty();
    try_write(&kv, "before").await.unwrap();
    disk.set(Mood::Broken);
    assert!(try_write(&kv, "broken").await.is_err());
    assert!(
        kv.get_many(Table::Log, vec![b"before".to_vec()])
            .await
            .is_err()
    );
    // The other class goes on.
    let mut batch = Batch::new(Class::State);
    put(&mut batch, Table::Users, "ann", "value");
    kv.write(batch).await.unwrap();
    disk.set(Mood::Works);
    try_write(&kv, "after").await.unwrap();
    assert!(
        kv.get_many(Table::Log, vec![b"before".to_vec()])
            .await
            .unwrap()[0]
            .is_some()
    );
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let garbage = vec![0x5a; 10_000];
    std::fs::write(&path, &garbage).unwrap();
    assert!(matches!(
        RedbKv::open(directory.path()),
        Err(KvError::Damaged(_))
    ));
    assert_eq!(std::fs::read(&path).unwrap(), garbage);
}

/// What is left of a file that was cut: its header and little else.
const CUT_BYTES: usize = 8192;

#[tokio::test]
async fn a_lost_or_emptied_file_never_becomes_an_empty_store() {
    for damage in ["removed", "emptied", "cut"] {
        let directory = tempfile::tempdir().unwrap();
        let kv = RedbKv::open(directory.path()).unwrap();
        let mut batch = Batch::new(Class::State);
        put(&mut batch, Table::Meta, "a", "1");
        kv.write(batch).await.unwrap();
        drop(kv);
        // The writer threads close the files a moment after the handle is gone.
        while RedbKv::peek(directory.path(), Table::Meta, b"a").is_none() {
            std::thread::yield_now();
        }
        let path = directory.path().join("state.redb");
        let bytes = std::fs::read(&path).unwrap();
        match damage {
            "removed" => std::fs::remove_file(&path).unwrap(),
            "emptied" => std::fs::write(&path, []).unwrap(),
            _ => std::fs::write(&path, &bytes[..CUT_BYTES]).unwrap(),
        }
        // Until the writer threads have freed the other file it is only busy.
        let refusal = loop {
            match RedbKv::open(directory.path()) {
                Err(KvError::Io(reason)) if reason.contains("already open") => {
                    std::thread::yield_now();
                }
                other => break other.err(),
            }
        };
        assert!(
            matches!(refusal, Some(KvError::Damaged(_) | KvError::Io(_))),
            "{damage}: {refusal:?}"
        );
        let after = std::fs::read(&path).ok();
        let expect = match damage {
            "removed" => None,
            "emptied" => Some(Vec::new()),
            _ => Some(bytes[..CUT_BYTES].to_vec()),
        };
        assert!(after == expect, "{damage}: the file was touched");
    }
}

fn rename_users(kv: &dyn Kv) -> KvFuture<'_, ()> {
    Box::pin(async move {
        let found = kv.get_many(Table::Users, vec![b"old".to_vec()]).await?;
        let Some(value) = found.into_iter().flatten().next() else {
            return Ok(());
        };
        let mut batch = Batch::new(Class::State);
        batch.put(Table::Users, b"new".to_vec(), value);
        batch.delete(Table::Users, b"old".to_vec());
        kv.write(batch).await
    })
}

fn fail(_: &dyn Kv) -> KvFuture<'_, ()> {
    Box::pin(async { Err(KvError::Busy) })
}

#[tokio::test]
async fn an_older_store_is_migrated_and_a_newer_one_refused_untouched() {
    let kv = MemoryKv::default();
    migration::run(&kv, &[]).await.unwrap();
    assert_eq!(migration::format(&kv).await.unwrap(), Some(1));
    let mut batch = Batch::new(Class::State);
    put(&mut batch, Table::Users, "old", "ann");
    kv.write(batch).await.unwrap();

    // A step that fails leaves the format at the last one that succeeded; the next start goes on from there.
    let steps: [Migration; 2] = [rename_users, fail];
    assert!(migration::run(&kv, &steps).await.is_err());
    assert_eq!(migration::format(&kv).await.unwrap(), Some(2));
    migration::run(&kv, &[rename_users, rename_users])
        .await
        .unwrap();
    assert_eq!(migration::format(&kv).await.unwrap(), Some(3));
    assert!(
        kv.get_many(Table::Users, vec![b"new".to_vec()])
            .await
            .unwrap()[0]
            .is_some()
    );

    let before = kv.0.lock().clone();
    let refusal = migration::run(&kv, &[rename_users]).await.unwrap_err();
    assert!(matches!(refusal, OpenError::Newer { found: 3, known: 2 }));
    assert!(refusal.to_string().contains("newer build"), "{refusal}");
    assert_eq!(*kv.0.lock(), before);
}
