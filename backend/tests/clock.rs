//! A clock that jumps, ahead and back, by a day and by ten years: nothing that was acknowledged goes, and what comes at
//! the right time is taken.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use infra_watch::domain::tier::DAY_SECONDS;
use infra_watch_client::types;
use support::{Backend, Host, START, report, status};

/// When it is in truth: some days after the host was enrolled, so that its token is older than any jump back.
const RIGHT: i64 = START + 2 * DAY_SECONDS;
const TEN_YEARS: i64 = 3_653 * DAY_SECONDS;
const JOBS: [&str; 4] = ["seal", "repack", "rollup", "retention"];
/// Points of one report, a minute apart.
const POINTS: i64 = 60;

/// A host and what was acknowledged of it.
struct Watched {
    backend: Backend,
    host: Host,
    acknowledged: BTreeMap<i64, f64>,
}

impl Watched {
    /// An hour of points that ends so long before the right time.
    fn hour(before: i64) -> types::Report {
        let points: Vec<_> = (0..POINTS)
            .map(|row| RIGHT - before - (POINTS - row) * 60)
            .map(|at| (at, Some((at % 100_003) as f64 / 100.0)))
            .collect();
        report(&points)
    }

    async fn post(&mut self, body: &types::Report) -> types::ReportOutcome {
        let sent = self.host.agent.submit_report().body(body.clone()).send();
        let outcome = sent.await.unwrap().into_inner();
        if outcome.rejected.is_empty() {
            let values = body.points.iter();
            self.acknowledged
                .extend(values.map(|point| (point.at, point.values[0].unwrap())));
        }
        outcome
    }

    /// Posts what is new and what is not: each is told from the other.
    async fn post_new_and_old(&mut self, before: i64) {
        let all = POINTS as u64;
        let new = Self::hour(before);
        for (accepted, duplicates) in [(all, 0), (0, all)] {
            let outcome = self.post(&new).await;
            assert_eq!(
                (outcome.accepted, outcome.duplicates),
                (accepted, duplicates),
                "{before} s before the right time"
            );
        }
        let oldest = self.post(&Self::hour(0)).await;
        assert_eq!((oldest.accepted, oldest.duplicates), (0, all));
    }

    /// Every job by hand, and then everything is there, once, with its value.
    async fn run_jobs_and_check(&self, when: &str) {
        // Tokens given out at another time may not hold now.
        let admin = self.backend.client("admin").await;
        for job in JOBS {
            let done = admin.run_job().name(job).send().await;
            assert!(done.is_ok(), "{job} {when}: {done:?}");
            self.check(&admin, &format!("{job} {when}")).await;
        }
    }

    async fn check(&self, client: &infra_watch_client::Client, when: &str) {
        let samples = client
            .get_samples()
            .host_id(self.host.host_id)
            .metric(vec!["cpu_usage_percent".to_owned()])
            .from("0")
            .to("9999999999");
        let samples = samples.send().await.unwrap().into_inner();
        let values = samples.series[0].values.iter().copied();
        let found: Vec<_> = samples.timestamps.iter().copied().zip(values).collect();
        let expect: Vec<_> = self
            .acknowledged
            .iter()
            .map(|(at, value)| (*at, Some(*value)))
            .collect();
        assert!(
            found == expect,
            "after {when}: {} instead of {}",
            found.len(),
            expect.len()
        );
    }
}

#[tokio::test]
async fn a_clock_that_jumps_loses_nothing() {
    let backend = Backend::start().await;
    let host = backend.enroll("web-1").await;
    let mut watched = Watched {
        backend,
        host,
        acknowledged: BTreeMap::new(),
    };
    watched.backend.clock.advance(RIGHT - START);
    let all = POINTS as u64;
    let first = watched.post(&Watched::hour(0)).await;
    assert_eq!((first.accepted, first.duplicates), (all, 0));
    // Sealed, repacked, rolled up, or still in the log when the clock jumps: hours of four days.
    for day in 1..4 {
        watched.post_new_and_old(day * DAY_SECONDS).await;
        watched.run_jobs_and_check("at the right time").await;
    }
    let mut hours = 4..;
    for jump in [DAY_SECONDS, TEN_YEARS, -DAY_SECONDS] {
        // Some of it is in the log.
        let mut before = || hours.next().unwrap() * 3600;
        watched.post_new_and_old(before()).await;
        watched.backend.clock.advance(jump);
        watched.run_jobs_and_check(&format!("{jump} s off")).await;
        match jump {
            // Late by a day is not too late.
            DAY_SECONDS => watched.post_new_and_old(before()).await,
            // The token has expired: the agent keeps its points until the clock is right.
            TEN_YEARS => {
                let late = Watched::hour(before());
                let sent = watched.host.agent.submit_report().body(late).send();
                assert_eq!(status(sent.await.unwrap_err()), 401);
            }
            // What is measured now lies ahead: refused by point, and not acknowledged.
            _ => {
                let ahead = watched.post(&Watched::hour(before())).await;
                assert_eq!((ahead.accepted, ahead.rejected.len() as u64), (0, all));
            }
        }
        watched.run_jobs_and_check(&format!("{jump} s off")).await;
        watched.backend.clock.advance(-jump);
        watched.run_jobs_and_check("at the right time again").await;
        watched.post_new_and_old(before()).await;
        watched.run_jobs_and_check("at the right time again").await;
    }
}
