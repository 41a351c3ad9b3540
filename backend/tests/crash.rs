//! The backend killed again and again under load: what was acknowledged is there, once, with its value.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/process.rs"]
mod process;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use infra_watch_client::{Client, types};
use process::{Site, unix_now, until};
use support::report;
use tokio::time::Instant;
use uuid::Uuid;

const ROUNDS: usize = 20;
const WRITERS: usize = 8;
/// A round with fewer acknowledged reports proves nothing.
const LEAST_ACKNOWLEDGED: usize = 100;
/// Points of one report.
const POINTS: i64 = 3;

/// One host, its agent, and what it knows of what it sent.
struct Writer {
    host_id: Uuid,
    agent: Client,
    number: usize,
    next_at: i64,
    acknowledged: BTreeMap<i64, f64>,
    /// Sent without an answer: there or not, but whole and with these values.
    unanswered: Vec<types::Report>,
}

impl Writer {
    /// Posts one report after the other until the backend is gone.
    async fn write(mut self, count: Arc<AtomicUsize>) -> Self {
        loop {
            let points: Vec<(i64, Option<f64>)> = (0..POINTS)
                .map(|row| self.next_at + row)
                .map(|at| (at, Some(self.value(at))))
                .collect();
            self.next_at += POINTS;
            let body = report(&points);
            match self.agent.submit_report().body(body.clone()).send().await {
                Ok(outcome) => {
                    assert_eq!((outcome.accepted, outcome.duplicates), (POINTS as u64, 0));
                    self.acknowledged
                        .extend(points.iter().map(|(at, value)| (*at, value.unwrap())));
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    assert_eq!(error.status(), None, "a refusal: {error:?}");
                    self.unanswered.push(body);
                    return self;
                }
            }
        }
    }

    /// A value that belongs to this host and second alone.
    fn value(&self, at: i64) -> f64 {
        (at % 100_000) as f64 + self.number as f64 / 16.0
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
        for report in &self.unanswered {
            let there = report
                .points
                .iter()
                .filter(|point| stored.contains_key(&point.at))
                .count() as i64;
            assert!(there == 0 || there == POINTS, "half a report: {there}");
        }
    }

    /// Sends again what had no answer: every value is now either new or a duplicate.
    async fn send_again(&mut self) {
        for report in std::mem::take(&mut self.unanswered) {
            let outcome = self
                .agent
                .submit_report()
                .body(report.clone())
                .send()
                .await
                .unwrap();
            assert_eq!(outcome.accepted + outcome.duplicates, POINTS as u64);
            let values = report
                .points
                .iter()
                .map(|point| (point.at, self.value(point.at)));
            self.acknowledged.extend(values.collect::<Vec<_>>());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_eight_writers_it_keeps_what_it_acknowledged() {
    let site = Site::new();
    // Commits close together, so that a kill falls into one.
    let flags = ["--group-commit-interval", "10ms", "--log", "warn"];
    let mut backend = site.start(&flags).await;
    let first_at = unix_now() - 86_400;
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let (host_id, agent) = site.enroll(&format!("writer-{number}")).await;
        writers.push(Writer {
            host_id,
            agent,
            number,
            next_at: first_at,
            acknowledged: BTreeMap::new(),
            unanswered: Vec::new(),
        });
    }
    let (mut acknowledged, mut slowest) = (0, Duration::ZERO);
    for round in 0..ROUNDS {
        let count = Arc::new(AtomicUsize::new(0));
        let writing: Vec<_> = writers
            .drain(..)
            .map(|writer| tokio::spawn(writer.write(Arc::clone(&count))))
            .collect();
        // Not always at the same moment of a commit.
        let enough = LEAST_ACKNOWLEDGED + 5 + round * 7;
        until("enough reports are acknowledged", 30, || async {
            (count.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
        backend.kill();
        for writer in writing {
            writers.push(writer.await.unwrap());
        }
        assert!(count.load(Ordering::Relaxed) > LEAST_ACKNOWLEDGED);
        acknowledged += count.load(Ordering::Relaxed);

        let killed = Instant::now();
        backend = site.start(&flags).await;
        slowest = slowest.max(killed.elapsed());
        let admin = site.admin().await;
        for writer in &mut writers {
            writer.check(&site, &admin).await;
            writer.send_again().await;
        }
    }
    println!(
        "{acknowledged} reports acknowledged in {ROUNDS} rounds; ready again after {} ms at most",
        slowest.as_millis()
    );
}
