//! The life of measurements: appended, sealed, repacked, rolled up, removed, and at every moment read as they were
//! acknowledged.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/model.rs"]
mod model;
#[path = "support/paused_kv.rs"]
mod paused_kv;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use infra_watch::domain::tier::{DAY_SECONDS, Retention, SLOT_SECONDS, Tier, day_start};
use infra_watch::store::Store;
use infra_watch::store::kv::{Batch, Class, Kv, KvError, Table};
use infra_watch::store::migration;
use infra_watch::store::redb::RedbKv;
use infra_watch::store::series::{GroupCommit, Post, SeriesStore};
use model::{METRICS, Model, Random, any_value, append, check_buckets, check_points, post};
use paused_kv::PausedKv;

/// The first moment of a day.
const START: i64 = day_start(20_000);
const HOSTS: [u32; 3] = [1, 2, 7];

fn at_once() -> GroupCommit {
    GroupCommit {
        interval: Duration::ZERO,
        disk_reserve_bytes: 0,
        ..GroupCommit::default()
    }
}

/// Opens the store in a directory, once the one before has let go of its files.
async fn open(directory: &Path) -> (Arc<dyn Kv>, SeriesStore) {
    let kv = loop {
        match RedbKv::open(directory) {
            Err(KvError::Io(reason)) if reason.contains("already open") => {
                tokio::task::yield_now().await;
            }
            opened => break opened.unwrap(),
        }
    };
    let kv: Arc<dyn Kv> = Arc::new(kv);
    let store = SeriesStore::open(Arc::clone(&kv), at_once()).await.unwrap();
    (kv, store)
}

/// Whatever happens to them in whatever order, points read as they were acknowledged, and buckets as points make them.
#[tokio::test]
async fn reads_like_a_map_through_every_stage() {
    for seed in 0..12 {
        let mut random = Random(seed);
        let directory = tempfile::tempdir().unwrap();
        let (_, mut store) = open(directory.path()).await;
        let mut model = Model::default();
        // Three days, in which time goes on and points come late.
        let mut now = START + random.below(DAY_SECONDS);
        let first = now;
        for _ in 0..70 {
            match random.below(12) {
                0..=5 => {
                    now += random.below(3 * 3600);
                    let host = HOSTS[usize::try_from(random.below(3)).unwrap()];
                    let late = if random.below(3) == 0 {
                        random.below(2 * DAY_SECONDS)
                    } else {
                        0
                    };
                    let from = (now - late - 5000).max(first - 3600);
                    let step = [30, 30, 17][usize::try_from(random.below(3)).unwrap()];
                    let times: Vec<i64> = (0..random.below(150) + 1)
                        .map(|row| from / 30 * 30 + row * step)
                        .collect();
                    let base = random.next();
                    let make = || {
                        let mut random = Random(base);
                        post(host, now, &times, |series, _| {
                            any_value(&mut random, series)
                        })
                    };
                    let expect = model.append(&make());
                    let done = append(&store, make).await.unwrap();
                    assert_eq!(done, expect, "seed {seed}");
                }
                6 | 7 => drop(store.seal(now, random.below(3) == 0).await.unwrap()),
                8 => drop(store.repack(now, random.below(3) == 0).await.unwrap()),
                9 => drop(store.roll_up().await.unwrap()),
                10 => {
                    drop(store);
                    store = open(directory.path()).await.1;
                }
                _ => {}
            }
            let from = first - 4000 + random.below(3 * DAY_SECONDS);
            let to = from + random.below(2 * DAY_SECONDS) + 1;
            let hosts = match random.below(3) {
                0 => &HOSTS[..1],
                1 => &HOSTS[1..2],
                _ => &HOSTS[..],
            };
            check_points(&store, &model, hosts, from, to);
            let steps = [60, 300, 900, 3600, 7200, 21_600, i64::MAX];
            let step = steps[usize::try_from(random.below(7)).unwrap()];
            check_buckets(&store, &model, hosts, from, to, step);
        }
        // In the end all of it is in days and tiers, and nothing in log and head.
        store.seal(now + 2 * SLOT_SECONDS, true).await.unwrap();
        store.repack(now + 2 * DAY_SECONDS, false).await.unwrap();
        store.roll_up().await.unwrap();
        assert_eq!(store.head_stats().cells, 0);
        check_points(&store, &model, &HOSTS, 0, now + DAY_SECONDS);
        for step in [300, 3600, i64::MAX] {
            check_buckets(
                &store,
                &model,
                &HOSTS,
                first - 86_400 * 3,
                now + DAY_SECONDS,
                step,
            );
        }
        let [raw, ..] = store.tier_stats();
        assert_eq!(raw.points, model.0.len() as u64, "seed {seed}");
    }
}

/// A minute of posts of a few hosts every ten minutes.
fn slot_of_posts(from: i64) -> Vec<impl Fn() -> Post> {
    let posts = HOSTS.into_iter().map(move |host| {
        move || {
            let times: Vec<i64> = (0..SLOT_SECONDS / 30).map(|row| from + row * 30).collect();
            post(host, from + SLOT_SECONDS, &times, |series, at| {
                Some(((at * 7 + i64::from(host)) % 9973) as f64 / 100.0 + series as f64)
            })
        }
    });
    posts.collect()
}

/// Sixty slots with a moving clock: every table is trimmed at its left edge, and the file does not grow.
#[tokio::test]
async fn sixty_slots_leave_the_file_as_large_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (kv, store) = open(directory.path()).await;
    let retention = Retention {
        raw_seconds: DAY_SECONDS,
        five_minutes_seconds: 2 * DAY_SECONDS,
        hour_seconds: 3 * DAY_SECONDS,
    };
    let mut sizes = Vec::new();
    let mut model = Model::default();
    for slot in 0..60 + 36 {
        let from = START + slot * SLOT_SECONDS;
        for make in slot_of_posts(from) {
            model.append(&make());
            append(&store, make).await.unwrap();
        }
        let now = from + SLOT_SECONDS + 600;
        store.seal(now, false).await.unwrap();
        store.repack(now, false).await.unwrap();
        store.roll_up().await.unwrap();
        store.retain(now, &retention).await.unwrap();
        if slot >= 36 {
            sizes.push(kv.disk().unwrap().used_bytes);
        }
        let first_kept = retention.first_kept_day(Tier::Raw, now, from + SLOT_SECONDS);
        model.forget_before(day_start(first_kept));
    }
    let (early, late) = (
        sizes[..12].iter().max().unwrap(),
        sizes[48..].iter().max().unwrap(),
    );
    assert!(
        late <= &(early * 11 / 10),
        "{early} bytes became {late}: {sizes:?}"
    );
    let end = START + 96 * SLOT_SECONDS;
    check_points(&store, &model, &HOSTS, 0, end);
    assert_eq!(store.head_stats().cells, 0);
    for stats in kv.stats().await.unwrap() {
        if stats.table == Table::Log {
            assert_eq!(stats.keys, 0, "the log is trimmed");
        }
    }
    // What is no longer raw says so, and is still there in buckets.
    let raw_since = store.raw_since().unwrap();
    assert_eq!(raw_since, day_start(20_007));
    let [raw, five_minutes, hour] = store.tier_stats();
    assert_eq!(raw.from, Some(raw_since));
    assert_eq!(five_minutes.from, Some(raw_since - DAY_SECONDS));
    assert_eq!(hour.from, Some(raw_since - 2 * DAY_SECONDS));
    assert_eq!(store.five_minutes_since(), five_minutes.from);
}

#[tokio::test]
async fn buckets_outlive_their_points() {
    let directory = tempfile::tempdir().unwrap();
    let (_, store) = open(directory.path()).await;
    let mut model = Model::default();
    for slot in 0..48 {
        for make in slot_of_posts(START + slot * SLOT_SECONDS) {
            model.append(&make());
            append(&store, make).await.unwrap();
        }
    }
    let now = START + 4 * DAY_SECONDS;
    store.seal(now, true).await.unwrap();
    store.repack(now + 700, false).await.unwrap();
    store.roll_up().await.unwrap();
    let retention = Retention {
        raw_seconds: DAY_SECONDS,
        ..Retention::default()
    };
    store.retain(now, &retention).await.unwrap();
    assert_eq!(store.raw_since(), Some(START + 3 * DAY_SECONDS));
    for step in [300, 900, 3600, DAY_SECONDS] {
        check_buckets(&store, &model, &HOSTS, START, now, step);
        check_buckets(
            &store,
            &model,
            &HOSTS,
            START + 3600,
            now - 7200,
            step.max(3600),
        );
    }
    let gone = model.clone();
    model.forget_before(START + 3 * DAY_SECONDS);
    check_points(&store, &model, &HOSTS, START, now);

    // A deleted host leaves nothing, and the others everything.
    store.forget(2);
    store.purge(2).await.unwrap();
    model.0.retain(|(host, _, _), _| *host != 2);
    check_points(&store, &model, &HOSTS, START, now);
    let mut gone = gone;
    gone.0.retain(|(host, _, _), _| *host != 2);
    check_buckets(&store, &gone, &HOSTS, START, now, 3600);
    let [raw, ..] = store.tier_stats();
    assert_eq!(raw.points, model.0.len() as u64);
    drop(store);
    let (_, store) = open(directory.path()).await;
    store.with_head(2, |head| assert!(head.keys().is_empty()));
}

#[tokio::test]
async fn the_latest_values_outlive_log_and_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (_, store) = open(directory.path()).await;
    for make in slot_of_posts(START) {
        append(&store, make).await.unwrap();
    }
    let latest = store.with_head(1, |head| (head.last_received_at(), head.latest(0)));
    assert!(latest.1.is_some());
    store.seal(START + SLOT_SECONDS, true).await.unwrap();
    assert_eq!(store.head_stats().cells, 0);
    drop(store);
    let (_, store) = open(directory.path()).await;
    assert_eq!(
        store.with_head(1, |head| (head.last_received_at(), head.latest(0))),
        latest
    );
    assert_eq!(store.with_head(1, |head| head.keys().len()), METRICS.len());
}

/// A late post is planned against what is sealed. While that is read, the slot may be sealed and leave the head: what
/// it had there must be seen all the same.
#[tokio::test]
async fn a_slot_sealed_while_a_late_post_reads_it_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (kv, store) = open(directory.path()).await;
    let mut model = Model::default();
    let now = START + DAY_SECONDS;
    let late = move |second: i64| {
        move || {
            post(1, now, &[START + second], |series, at| {
                Some((at % 1000) as f64 + series as f64)
            })
        }
    };
    for second in [10, 20] {
        model.append(&late(second)());
        append(&store, late(second)).await.unwrap();
        // The first is sealed; the second waits in the log, and after a restart in a head that lacks the first.
        if second == 10 {
            store.seal(now, true).await.unwrap();
        }
    }
    drop((kv, store));
    let inner = loop {
        match RedbKv::open(directory.path()) {
            Err(KvError::Io(reason)) if reason.contains("already open") => {
                tokio::task::yield_now().await;
            }
            opened => break opened.unwrap(),
        }
    };
    let kv = Arc::new(PausedKv::new(inner));
    let store = SeriesStore::open(Arc::clone(&kv) as Arc<dyn Kv>, at_once());
    let store = Arc::new(store.await.unwrap());

    let (is_reached, go_on) = kv.pause();
    let posting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { append(&store, late(30)).await.unwrap() })
    };
    tokio::task::spawn_blocking(move || is_reached.recv().unwrap())
        .await
        .unwrap();
    store.seal(now, true).await.unwrap();
    go_on.send(()).unwrap();
    assert_eq!(posting.await.unwrap(), model.append(&late(30)()));
    check_points(&store, &model, &[1], START, now);
    store.seal(now, true).await.unwrap();
    check_points(&store, &model, &[1], START, now);
    let again = append(&store, late(20)).await.unwrap();
    assert_eq!(again.accepted, 0);
}

/// Posts go on while slots are sealed and days repacked, and nothing is lost or doubled between.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn housekeeping_and_posts_run_side_by_side() {
    let directory = tempfile::tempdir().unwrap();
    let (_, store) = open(directory.path()).await;
    let store = Arc::new(store);
    let mut writers = Vec::new();
    for host in HOSTS {
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            let mut random = Random(u64::from(host));
            let mut model = Model::default();
            for round in 0..150 {
                // Back and forth over two slots that are sealed meanwhile.
                let from = START + random.below(2 * SLOT_SECONDS - 400);
                let times: Vec<i64> = (0..10).map(|row| from + row * 30).collect();
                let make = || {
                    post(host, START + 20_000 + round, &times, |series, at| {
                        Some((at + round * 1000 + series as i64) as f64 / 100.0)
                    })
                };
                let expect = model.append(&make());
                assert_eq!(append(&store, make).await.unwrap(), expect);
                check_points(&store, &model, &[host], START, START + 3 * SLOT_SECONDS);
                check_buckets(
                    &store,
                    &model,
                    &[host],
                    START,
                    START + 3 * SLOT_SECONDS,
                    3600,
                );
            }
            model
        }));
    }
    let mut models = Vec::new();
    let mut jobs = 0;
    for writer in writers {
        while !writer.is_finished() {
            let now = START + 30_000;
            store.seal(now, true).await.unwrap();
            if jobs % 3 == 0 {
                store.repack(now, true).await.unwrap();
                store.roll_up().await.unwrap();
            }
            jobs += 1;
        }
        models.push(writer.await.unwrap());
    }
    assert!(jobs > 3);
    let mut all = Model::default();
    models.into_iter().for_each(|model| all.0.extend(model.0));
    check_points(&store, &all, &HOSTS, 0, START + DAY_SECONDS);
}

/// A store of the first format has its measurements in the log alone: they are there after the upgrade, and are sealed.
#[tokio::test]
async fn a_store_of_the_first_format_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (kv, store) = open(directory.path()).await;
    let mut model = Model::default();
    for make in slot_of_posts(START) {
        model.append(&make());
        append(&store, make).await.unwrap();
    }
    drop(store);
    let mut batch = Batch::new(Class::State);
    let key = migration::FORMAT_KEY.to_vec();
    batch.put(Table::Meta, key, 1_u32.to_be_bytes().to_vec().into());
    kv.write(batch).await.unwrap();
    let upgraded = Store::open(Arc::clone(&kv), at_once()).await.unwrap();
    assert_eq!(migration::format(kv.as_ref()).await.unwrap(), Some(3));
    check_points(&upgraded.series, &model, &HOSTS, 0, START + DAY_SECONDS);
    let rows = upgraded.series.seal(START + 2 * SLOT_SECONDS, true).await;
    assert_eq!(rows.unwrap(), HOSTS.len());
    check_points(&upgraded.series, &model, &HOSTS, 0, START + DAY_SECONDS);
}
