//! The backend ended at any point of any work under load, again and again: what was acknowledged is there, once, with
//! its value.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/count.rs"]
mod count;
#[path = "support/process.rs"]
mod process;
#[path = "support/random.rs"]
mod random;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use count::count;
use infra_watch::domain::report::{Point, SeriesKey};
use infra_watch::domain::tier::{DAY_SECONDS, SLOT_SECONDS, day_of, day_start};
use infra_watch::store::kv::Table;
use infra_watch::store::migration;
use infra_watch::store::redb::RedbKv;
use infra_watch::store::series::{Columns, GroupCommit, Post, SeriesStore};
use infra_watch_client::{Client, types};
use process::{Process, Site, unix_now, until};
use random::Random;
use support::report;
use tokio::time::Instant;
use uuid::Uuid;

/// Rounds in CI; `CRASH_ROUNDS` asks for more.
const ROUNDS: usize = 200;
/// Stores that are tortured side by side: one a core.
const LANES: usize = 2;
/// Rounds that one store goes through.
const ROUNDS_OF_SITE: usize = 25;
const WRITERS: usize = 4;
/// Points of one report, each in a slot of its own.
const POINTS: i64 = 3;
/// Every so many reports, one that was acknowledged before is sent again.
const AGAIN: i64 = 7;
/// After so many reports and rounds of jobs a point that was not passed often enough is given up.
const MOST_ACKNOWLEDGED: usize = 400;
const MOST_JOBS: usize = 24;
/// The jobs that the admin runs, over and over.
const JOBS: [&str; 4] = ["seal", "repack", "rollup", "retention"];
/// Where the backend ends, and after how many passes at most.
const FAULT_POINTS: [(&str, i64); 11] = [
    ("append.before", 80),
    ("append.written", 80),
    ("seal.before", 30),
    ("seal.written", 30),
    ("seal.before_trim", 30),
    ("trim.written", 30),
    ("repack.before", 6),
    ("repack.written", 6),
    ("rollup.before", 4),
    ("rollup.written", 4),
    (RETENTION_POINT, 12),
];
const RETENTION_POINT: &str = "retain.rows_gone";
/// Days that retention finds when it is to be ended in the middle.
const OLD_DAYS: i64 = 24;
/// The host they are of, which nobody enrolled.
const OLD_HOST: u32 = u32::MAX;

/// One host, its agent, and what it knows of what it sent.
struct Writer {
    host_id: Uuid,
    agent: Client,
    number: usize,
    /// The first moment of the first of two days that have ended.
    first_at: i64,
    /// Reports made so far.
    made: i64,
    acknowledged: BTreeMap<i64, f64>,
    /// Sent without an answer: there or not, but whole and with these values.
    unanswered: Vec<types::Report>,
}

impl Writer {
    /// Posts one report after the other until the backend is gone.
    async fn write(mut self, count: Arc<AtomicUsize>) -> Self {
        loop {
            let body = self.report(self.made);
            self.made += 1;
            match self.send(&body).await {
                Some(outcome) => {
                    assert_eq!((outcome.accepted, outcome.duplicates), (POINTS as u64, 0));
                    self.acknowledge(&body);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                None => {
                    self.unanswered.push(body);
                    return self;
                }
            }
            if self.made % AGAIN == 0 {
                let before = self.report(self.made / AGAIN);
                match self.send(&before).await {
                    Some(outcome) => {
                        assert_eq!((outcome.accepted, outcome.duplicates), (0, POINTS as u64));
                    }
                    None => return self,
                }
            }
        }
    }

    /// The report of this number: its points lie in slots next to each other, of one of two days, so that some are
    /// late for slots that are sealed and days that are repacked.
    fn report(&self, number: i64) -> types::Report {
        assert!(number < SLOT_SECONDS, "a store that lives too long");
        let day = number / 4 % 2 * DAY_SECONDS;
        let points: Vec<(i64, Option<f64>)> = (0..POINTS)
            .map(|row| self.first_at + day + (number % 4 + row) * SLOT_SECONDS + number)
            .map(|at| (at, Some(self.value(at))))
            .collect();
        report(&points)
    }

    /// Sends a report until it is answered; `None` when the backend is gone.
    async fn send(&self, body: &types::Report) -> Option<types::ReportOutcome> {
        loop {
            match self.agent.submit_report().body(body.clone()).send().await {
                Ok(outcome) => return Some(outcome.into_inner()),
                // Busy: nothing was kept, and it is to be sent again.
                Err(error) if error.status().is_some_and(|status| status == 503) => {}
                Err(error) => {
                    assert_eq!(error.status(), None, "a refusal: {error:?}");
                    return None;
                }
            }
        }
    }

    fn acknowledge(&mut self, body: &types::Report) {
        let values = body.points.iter().map(|point| point.at);
        let values: Vec<_> = values.map(|at| (at, self.value(at))).collect();
        self.acknowledged.extend(values);
    }

    /// A value that belongs to this host and second alone.
    fn value(&self, at: i64) -> f64 {
        (at % 1_000_000) as f64 + self.number as f64 / 16.0
    }

    /// What is stored: every acknowledged point, whatever else was sent, nothing twice.
    async fn check(&self, site: &Site, admin: &Client) {
        let stored = site.samples(admin, self.host_id, "cpu_usage_percent").await;
        assert!(
            stored.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "a second is there twice"
        );
        for (at, value) in &stored {
            assert!(
                value.to_bits() == self.value(*at).to_bits(),
                "{at}: {value}"
            );
        }
        let stored: BTreeMap<i64, f64> = stored.into_iter().collect();
        let lost: Vec<_> = self
            .acknowledged
            .keys()
            .filter(|at| !stored.contains_key(at))
            .collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let sent = self.unanswered.len() * POINTS as usize + self.acknowledged.len();
        assert!(stored.len() <= sent, "more than was ever sent");
        for report in &self.unanswered {
            let there = report
                .points
                .iter()
                .filter(|point| stored.contains_key(&point.at))
                .count() as i64;
            assert!(there == 0 || there == POINTS, "half a report: {there}");
        }
    }

    /// Sends again what had no answer: it is now either new or a duplicate, as a whole.
    async fn send_again(&mut self) {
        for report in std::mem::take(&mut self.unanswered) {
            let Some(outcome) = self.send(&report).await else {
                self.unanswered.push(report);
                continue;
            };
            let all = POINTS as u64;
            let found = (outcome.accepted, outcome.duplicates);
            assert!(found == (all, 0) || found == (0, all), "{found:?}");
            self.acknowledge(&report);
        }
    }
}

/// Runs one job after the other until the backend is gone.
async fn run_jobs(admin: Client, count: Arc<AtomicUsize>) {
    for job in JOBS.into_iter().cycle() {
        if let Err(error) = admin.run_job().name(job).send().await {
            assert_eq!(error.status(), None, "{job} failed: {error:?}");
            return;
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Puts days into a stopped store that are so old that retention removes them.
async fn add_old_days(site: &Site) {
    let directory = site.directory.path().join("data");
    let kv = RedbKv::open(&directory).unwrap();
    let at_once = GroupCommit {
        interval: Duration::ZERO,
        disk_reserve_bytes: 0,
        ..GroupCommit::default()
    };
    let store = SeriesStore::open(Arc::new(kv), at_once).await.unwrap();
    let now = unix_now();
    let first_at = day_start(day_of(now) - 60);
    let points = (0..OLD_DAYS).map(|day| Point {
        at: first_at + day * DAY_SECONDS,
        values: vec![Some(day as f64)],
    });
    let post = Post {
        host: OLD_HOST,
        received_at: now,
        columns: Columns::Named(
            vec![SeriesKey {
                metric: "old".to_owned(),
                instance: None,
            }],
            None,
        ),
        points: points.collect(),
    };
    store.append(post).await.unwrap();
    store.seal(now, true).await.unwrap();
    drop(store);
    // Its threads free the two files a moment later; then what is in each can be looked at.
    let first_name = [OLD_HOST.to_be_bytes(), [0; 4]].concat();
    until("the store is free", 30, || {
        let format = RedbKv::peek(&directory, Table::Meta, migration::FORMAT_KEY);
        let name = RedbKv::peek(&directory, Table::SeriesNames, &first_name);
        async move { format.and(name) }
    })
    .await;
}

/// What a lane went through.
#[derive(Default)]
struct Tally {
    acknowledged: usize,
    slowest: Duration,
    /// Rounds by where the backend ended.
    ends: BTreeMap<&'static str, usize>,
}

/// A site whose backend is ended so often, its hosts and what they sent.
struct Torture {
    site: Site,
    admin: Client,
    writers: Vec<Writer>,
}

impl Torture {
    async fn new() -> Self {
        let site = Site::new();
        let backend = Self::start(&site, &[]).await;
        let admin = site.admin().await;
        let mut writers = Vec::new();
        for number in 0..WRITERS {
            let (host_id, agent) = site.enroll(&format!("writer-{number}")).await;
            writers.push(Writer {
                host_id,
                agent,
                number,
                first_at: day_start(day_of(unix_now()) - 3),
                made: 0,
                acknowledged: BTreeMap::new(),
                unanswered: Vec::new(),
            });
        }
        backend.kill();
        Self {
            site,
            admin,
            writers,
        }
    }

    async fn start(site: &Site, more: &[&str]) -> Process {
        // Commits close together, so that an end falls into one.
        let flags = ["--group-commit-interval", "5ms", "--log", "error"];
        site.start(&[&flags[..], more].concat()).await
    }

    /// Starts the backend, holds it against what was acknowledged, loads it, and sees it end.
    async fn round(&mut self, random: &mut Random, tally: &mut Tally) {
        let kinds = i64::try_from(FAULT_POINTS.len()).unwrap();
        // A quarter of the rounds end anywhere.
        let kind = usize::try_from(random.below(kinds * 4 / 3)).unwrap();
        let point = FAULT_POINTS.get(kind);
        let flag = point.map(|(name, passes)| format!("{name}:{}", 1 + random.below(*passes)));
        if point.is_some_and(|(name, _)| *name == RETENTION_POINT) {
            add_old_days(&self.site).await;
        }
        let mut more = Vec::new();
        if let Some(flag) = &flag {
            more.extend(["--fault-point", flag.as_str()]);
        }
        let started = Instant::now();
        let mut backend = Self::start(&self.site, &more).await;
        tally.slowest = tally.slowest.max(started.elapsed());
        for writer in &self.writers {
            writer.check(&self.site, &self.admin).await;
        }
        // The first of these may already be the pass at which it ends.
        for writer in &mut self.writers {
            writer.send_again().await;
        }

        let (reports, jobs) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let writing: Vec<_> = self
            .writers
            .drain(..)
            .map(|writer| tokio::spawn(writer.write(Arc::clone(&reports))))
            .collect();
        let housekeeping = tokio::spawn(run_jobs(self.admin.clone(), Arc::clone(&jobs)));
        let (most, most_jobs) = match point {
            Some(_) => (MOST_ACKNOWLEDGED, MOST_JOBS),
            None => (usize::try_from(20 + random.below(150)).unwrap(), 0),
        };
        let ended_at = until("the backend ended or did enough", 60, || {
            let ended = if backend.has_ended() {
                point.map(|(name, _)| *name)
            } else {
                let is_enough = reports.load(Ordering::Relaxed) >= most
                    && jobs.load(Ordering::Relaxed) >= most_jobs;
                is_enough.then_some("anywhere")
            };
            async move { ended }
        })
        .await;
        backend.kill();
        for writer in writing {
            self.writers.push(writer.await.unwrap());
        }
        housekeeping.await.unwrap();
        tally.acknowledged += reports.load(Ordering::Relaxed);
        *tally.ends.entry(ended_at).or_default() += 1;
    }

    /// In the end once more without an end.
    async fn end(mut self) {
        let _backend = Self::start(&self.site, &[]).await;
        for writer in &mut self.writers {
            writer.check(&self.site, &self.admin).await;
            writer.send_again().await;
            assert!(writer.unanswered.is_empty());
        }
        for job in JOBS {
            self.admin.run_job().name(job).send().await.unwrap();
        }
        for writer in &self.writers {
            writer.check(&self.site, &self.admin).await;
        }
    }
}

async fn lane(seed: u64, rounds: usize) -> Tally {
    let mut random = Random(seed);
    let mut tally = Tally::default();
    let mut left = rounds;
    while left > 0 {
        let mut torture = Torture::new().await;
        let some = left.min(ROUNDS_OF_SITE);
        for _ in 0..some {
            torture.round(&mut random, &mut tally).await;
        }
        torture.end().await;
        left -= some;
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_anywhere_under_load_it_keeps_what_it_acknowledged() {
    let rounds = count("CRASH_ROUNDS", ROUNDS);
    let started = Instant::now();
    let lanes: Vec<_> = (0..LANES)
        .map(|number| {
            let rounds = rounds / LANES + usize::from(number < rounds % LANES);
            tokio::spawn(lane(number as u64, rounds))
        })
        .collect();
    let mut all = Tally::default();
    for lane in lanes {
        let tally = lane.await.unwrap();
        all.acknowledged += tally.acknowledged;
        all.slowest = all.slowest.max(tally.slowest);
        for (end, times) in tally.ends {
            *all.ends.entry(end).or_default() += times;
        }
    }
    println!(
        "{rounds} rounds in {} s, {} reports acknowledged, ready after {} ms at most; ended at {:?}",
        started.elapsed().as_secs(),
        all.acknowledged,
        all.slowest.as_millis(),
        all.ends
    );
    // So many rounds reach every point, unless one is no longer there.
    if rounds >= ROUNDS {
        for (point, _) in FAULT_POINTS {
            assert!(all.ends.contains_key(point), "never ended at {point}");
        }
    }
}
