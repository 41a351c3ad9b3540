//! The power cut at any moment of a store's life, again and again: what was acknowledged is there, once, with its value.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/count.rs"]
mod count;
#[path = "support/crash_disk.rs"]
mod crash_disk;
#[path = "support/model.rs"]
mod model;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use count::count;
use crash_disk::{CrashDisk, Power};
use futures_util::future::join_all;
use infra_watch::domain::tier::{
    DAY_SECONDS, Retention, SLOT_SECONDS, Tier, day_start, slot_of, slot_start,
};
use infra_watch::store::OpenError;
use infra_watch::store::kv::{Batch, Class, Kv, KvError, Table};
use infra_watch::store::redb::RedbKv;
use infra_watch::store::series::{
    AppendError, Fragment, GroupCommit, Post, Reading, SeriesStore, Wanted,
};
use model::{METRICS, Model, Random, any_value, append, check_buckets, check_points, post};

/// Power cuts in CI; `POWER_CUTS` asks for more.
const CUTS: usize = 600;
/// Power cuts that one store goes through.
const CUTS_OF_LIFE: usize = 12;
/// Most writes and syncs between two cuts: some dozen commits.
const MOST_CALLS: i64 = 500;
/// Most between the start of an opening and a cut, where it is to fall into the repair.
const MOST_CALLS_OF_OPENING: i64 = 12;
/// Lives on a disk that lies.
const LYING_LIVES: u64 = 6;
/// The first moment of a day.
const START: i64 = day_start(20_000);
const HOSTS: [u32; 3] = [1, 2, 7];
/// Short enough that every tier loses days.
const RETENTION: Retention = Retention {
    raw_seconds: 2 * DAY_SECONDS,
    five_minutes_seconds: 3 * DAY_SECONDS,
    hour_seconds: 5 * DAY_SECONDS,
};

/// A store's two disks, which lose their power at the same moment.
struct Machine {
    power: Arc<Power>,
    state: CrashDisk,
    series: CrashDisk,
}

type Opened = (Arc<dyn Kv>, SeriesStore);

impl Machine {
    fn new() -> Self {
        let power = Power::new();
        Self {
            state: CrashDisk::new(&power),
            series: CrashDisk::new(&power),
            power,
        }
    }

    /// The machine after a cut, powered again.
    fn crash(&self, random: &mut Random) -> Self {
        let power = Power::new();
        Self {
            state: CrashDisk::with_bytes(&power, self.state.crash(random)),
            series: CrashDisk::with_bytes(&power, self.series.crash(random)),
            power,
        }
    }

    /// The machine after a cut that left nothing but what was synced.
    fn forget(&self) -> Self {
        let power = Power::new();
        Self {
            state: CrashDisk::with_bytes(&power, self.state.synced()),
            series: CrashDisk::with_bytes(&power, self.series.synced()),
            power,
        }
    }

    async fn open(&self) -> Result<Opened, OpenError> {
        let kv = RedbKv::with_openers(self.state.opener(), self.series.opener())?;
        let kv: Arc<dyn Kv> = Arc::new(kv);
        let at_once = GroupCommit {
            interval: Duration::ZERO,
            ..GroupCommit::default()
        };
        let store = SeriesStore::open(Arc::clone(&kv), at_once).await?;
        Ok((kv, store))
    }

    /// Closes the store in good order.
    async fn close(&self, opened: Opened) {
        drop(opened);
        while !(self.state.is_free() && self.series.is_free()) {
            tokio::task::yield_now().await;
        }
    }

    /// Opens what a cut left; the power may go once more while that is repaired.
    async fn recover(mut self, random: &mut Random, cuts: &mut usize) -> (Self, Opened) {
        loop {
            self = self.crash(random);
            *cuts += 1;
            if random.below(3) == 0 {
                self.power
                    .cut_after(1 + random.below(MOST_CALLS_OF_OPENING));
            }
            match self.open().await {
                Ok(opened) if !self.power.is_cut() => {
                    self.power.stay();
                    return (self, opened);
                }
                Err(error) if !self.power.is_cut() => panic!("after a power cut: {error:?}"),
                _ => {}
            }
        }
    }
}

/// What a store went through, and what it must say.
struct Life {
    random: Random,
    now: i64,
    /// Points that are kept.
    kept: Model,
    /// Those and the ones that retention removed, of which buckets are left.
    ever: Model,
    /// Posts without an answer: there or not, but whole.
    unanswered: Vec<Post>,
    /// Raw points before may be gone, and buckets before: those of five minutes, and of an hour.
    kept_from: i64,
    buckets_from: [i64; 2],
    /// Retention ran to its end: until it did, a day may be half gone.
    is_retained: bool,
    /// A record of the other file: what it was acknowledged to be, and what it was asked to be.
    number: u64,
    asked: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            now: START + DAY_SECONDS,
            kept: Model::default(),
            ever: Model::default(),
            unanswered: Vec::new(),
            kept_from: START,
            buckets_from: [START; 2],
            is_retained: true,
            number: 0,
            asked: 0,
        }
    }

    /// Lives on until the power is cut.
    async fn live(&mut self, machine: &Machine, mut opened: Opened) {
        loop {
            let (kv, store) = &opened;
            let done = match self.random.below(14) {
                0..=5 => self.posts(store).await,
                6 | 7 => {
                    let hurry = self.random.below(2) == 0;
                    store.seal(self.now, hurry).await.map(drop)
                }
                8 => {
                    let hurry = self.random.below(2) == 0;
                    store.repack(self.now, hurry).await.map(drop)
                }
                9 => store.roll_up().await.map(drop),
                10 => self.retain(store).await,
                11 | 12 => self.write_number(kv.as_ref()).await,
                _ => {
                    machine.close(opened).await;
                    match machine.open().await {
                        Ok(again) => {
                            opened = again;
                            Ok(())
                        }
                        Err(error) => {
                            assert!(machine.power.is_cut(), "{error:?}");
                            return;
                        }
                    }
                }
            };
            if let Err(error) = done {
                assert!(machine.power.is_cut(), "{error:?}");
                return;
            }
        }
    }

    /// Posts of some hosts at once, in order or late, some of it for the second time.
    async fn posts(&mut self, store: &SeriesStore) -> Result<(), KvError> {
        let random = &mut self.random;
        self.now += random.below(5 * 3600);
        let (now, seed) = (self.now, random.next());
        let late = match random.below(3) {
            0 => random.below(DAY_SECONDS),
            _ => 0,
        };
        let from = (now - late - 3000) / 30 * 30;
        let step = [30, 30, 17, 1200][usize::try_from(random.below(4)).unwrap()];
        let times: Vec<i64> = (0..random.below(40) + 1)
            .map(|row| from + row * step)
            .filter(|at| *at <= now)
            .collect();
        let hosts = &HOSTS[..usize::try_from(1 + random.below(3)).unwrap()];
        let make = |host: u32| {
            let mut random = Random(seed ^ u64::from(host));
            post(host, now, &times, |series, _| {
                any_value(&mut random, series)
            })
        };
        let sent = hosts.iter().map(|host| append(store, || make(*host)));
        let mut outcome = Ok(());
        for (host, answer) in hosts.iter().zip(join_all(sent).await) {
            match answer {
                Ok(appended) => {
                    assert_eq!(appended, self.kept.append(&make(*host)));
                    self.ever.append(&make(*host));
                }
                Err(AppendError::Kv(error)) => {
                    self.unanswered.push(make(*host));
                    outcome = Err(error);
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        outcome
    }

    /// Everything that ends with the removal of what is old, as it runs every night.
    async fn retain(&mut self, store: &SeriesStore) -> Result<(), KvError> {
        let newest = self.kept.0.keys().map(|(_, _, at)| *at).max();
        // Else the store rightly mistrusts the clock, and keeps more.
        let Some(newest) = newest.filter(|newest| self.now <= newest + DAY_SECONDS) else {
            return Ok(());
        };
        store.seal(self.now, true).await?;
        store.repack(self.now, false).await?;
        store.roll_up().await?;
        let [raw, five_minutes, hour] =
            Tier::ALL.map(|tier| day_start(RETENTION.first_kept_day(tier, self.now, newest)));
        self.kept_from = raw;
        self.buckets_from = [five_minutes, hour];
        self.kept.forget_before(self.kept_from);
        self.is_retained = false;
        store.retain(self.now, &RETENTION).await?;
        self.is_retained = true;
        Ok(())
    }

    /// A commit of the file of records.
    async fn write_number(&mut self, kv: &dyn Kv) -> Result<(), KvError> {
        self.asked = self.number + 1;
        let mut batch = Batch::new(Class::State);
        let value = Bytes::copy_from_slice(&self.asked.to_be_bytes());
        batch.put(Table::Users, b"number".to_vec(), value);
        kv.write(batch).await?;
        self.number = self.asked;
        Ok(())
    }

    /// Holds a store that was opened after a cut against what was acknowledged before.
    async fn check(&mut self, (kv, store): &Opened) {
        for post in std::mem::take(&mut self.unanswered) {
            let mut new = post.points.iter().flat_map(|point| {
                let values = point.values.iter().enumerate();
                values
                    .filter(|(_, value)| value.is_some())
                    .map(|(series, _)| (post.host, series, point.at))
            });
            // One new value that is there stands for all: they are compared below.
            if let Some(place) = new.find(|place| !self.kept.0.contains_key(place))
                && is_there(store, place)
            {
                self.kept.append(&post);
                self.ever.append(&post);
            }
        }
        let end = self.now + DAY_SECONDS;
        check_points(store, &self.kept, &HOSTS, self.kept_from, end);
        let from = self.kept_from + self.random.below(DAY_SECONDS);
        let step = [60, 300, 3600, i64::MAX][usize::try_from(self.random.below(4)).unwrap()];
        check_buckets(store, &self.kept, &HOSTS, from, end, step);
        if self.is_retained {
            let steps = [Tier::FiveMinutes, Tier::Hour].map(Tier::step_seconds);
            for (from, step) in self.buckets_from.into_iter().zip(steps) {
                check_buckets(store, &self.ever, &HOSTS, from, end, step);
            }
        }
        let number = kv
            .get_many(Table::Users, vec![b"number".to_vec()])
            .await
            .unwrap()
            .remove(0)
            .map_or(0, |bytes| {
                u64::from_be_bytes(bytes.as_ref().try_into().unwrap())
            });
        assert!(
            number == self.number || number == self.asked,
            "{number} instead of {} or {}",
            self.number,
            self.asked
        );
        self.number = number;
        self.asked = number;
    }

    /// In the end all is in rows, as often as it was acknowledged.
    async fn end(&mut self, opened: &Opened) {
        let (_, store) = opened;
        self.retain(store).await.unwrap();
        let later = slot_start(slot_of(self.now) + 1) + SLOT_SECONDS;
        store.seal(later, true).await.unwrap();
        store.repack(later, true).await.unwrap();
        store.roll_up().await.unwrap();
        assert_eq!(store.head_stats().cells, 0);
        let [raw, ..] = store.tier_stats();
        if self.is_retained {
            assert_eq!(raw.points, self.kept.0.len() as u64);
        }
        self.check(opened).await;
    }
}

fn is_there(store: &SeriesStore, (host, series, at): (u32, usize, i64)) -> bool {
    let reading = Reading {
        hosts: vec![Wanted {
            host,
            series: vec![u32::try_from(series).unwrap()],
        }],
        from: at,
        to: at + 1,
        step: None,
    };
    let mut found = 0;
    let each = |_, _, _: Fragment| {
        found += 1;
        Ok::<_, KvError>(())
    };
    store.read(&reading, each).unwrap();
    found > 0
}

/// One store from its making to its end; returns how often its power was cut.
async fn live_through_cuts(seed: u64) -> usize {
    let mut life = Life::new(seed);
    let mut machine = Machine::new();
    let mut opened = machine.open().await.unwrap();
    let mut cuts = 0;
    while cuts < CUTS_OF_LIFE {
        let calls = 1 + life.random.below(MOST_CALLS);
        machine.power.cut_after(calls);
        life.live(&machine, opened).await;
        (machine, opened) = machine.recover(&mut life.random, &mut cuts).await;
        life.check(&opened).await;
    }
    life.end(&opened).await;
    assert!(
        life.ever.0.len() > HOSTS.len() * METRICS.len(),
        "seed {seed}: nothing was acknowledged"
    );
    cuts
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let wanted = count("POWER_CUTS", CUTS);
    let mut cuts = 0;
    let mut seed = 0;
    while cuts < wanted {
        // A life of its own, so that its seed is named when it fails.
        let life = tokio::spawn(live_through_cuts(seed)).await;
        cuts += life.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        seed += 1;
    }
    println!("{cuts} power cuts in {seed} lives");
}

/// The control: were acknowledged points lost, this would be seen.
#[tokio::test]
async fn a_disk_that_lies_about_syncs_is_found_out() {
    let (mut refused, mut lost) = (0, 0);
    for seed in 0..LYING_LIVES {
        let mut life = Life::new(seed);
        let machine = Machine::new();
        let opened = machine.open().await.unwrap();
        machine.power.lie();
        machine.power.cut_after(MOST_CALLS);
        life.live(&machine, opened).await;
        // Of what was written since the lies began, some is left, or nothing: then only the points can tell.
        let left = if seed % 2 == 0 {
            machine.crash(&mut life.random)
        } else {
            machine.forget()
        };
        let Ok(opened) = left.open().await else {
            refused += 1;
            continue;
        };
        let check = tokio::spawn(async move { life.check(&opened).await });
        lost += u64::from(check.await.is_err_and(|error| error.is_panic()));
    }
    println!("of {LYING_LIVES} lies {refused} left damage and {lost} lost points");
    assert!(lost >= LYING_LIVES / 2);
}
