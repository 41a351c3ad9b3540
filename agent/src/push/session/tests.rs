//! Tests of the session: answers go in, calls come out, and no point is lost or doubled.

use std::io::Read;
use std::num::NonZeroU32;
use std::path::Path;

use uuid::Uuid;

use infra_watch_client::types;

use super::*;
use crate::measure::Sample;
use crate::push::api::Answer;
use crate::push::decide::Failure;
use crate::spool::{Limits, Spool};

const NOW: i64 = 1_000_000;

struct Bench {
    session: Session,
    directory: tempfile::TempDir,
    now: Instant,
}

fn parts(directory: &Path, enrollment_key: Option<&str>) -> Parts {
    let limits = Limits {
        max_bytes: 64 << 20,
        max_age_seconds: 86_400,
    };
    Parts {
        install_id: Uuid::from_u128(7),
        sender: Sender {
            install_id: Some(Uuid::from_u128(7)),
            interval_seconds: NonZeroU32::MIN,
            snapshot_interval_seconds: NonZeroU32::MIN,
        },
        server: "http://watch.example".to_owned(),
        enrollment_key: enrollment_key.map(str::to_owned),
        state: StateDir::open(directory).unwrap(),
        outbox: Outbox::new(Spool::open(&directory.join("spool"), limits).unwrap()),
        host: Host::read(Path::new("/nowhere")),
        random: || 0,
    }
}

fn host_token(token: &str) -> types::HostToken {
    types::HostToken {
        host_id: Uuid::from_u128(1),
        token: token.to_owned(),
        expires_at: chrono::DateTime::from_timestamp(NOW + 1000, 0).unwrap(),
    }
}

fn refused(status: u16) -> Failure {
    Failure::Refused {
        status,
        retry_after: None,
        reason: "because".to_owned(),
    }
}

fn unreachable() -> Failure {
    Failure::Unreachable {
        reason: "connection refused".to_owned(),
    }
}

impl Bench {
    /// With an enrolment key and no token yet.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let session = Session::new(parts(directory.path(), Some("key")));
        Self {
            session,
            directory,
            now: Instant::now(),
        }
    }

    fn enrolled() -> Self {
        let mut bench = Self::new();
        assert_eq!(bench.next(), "enroll key");
        bench.token(Ok(host_token("t1")));
        bench
    }

    fn measure(&mut self, times: std::ops::RangeInclusive<i64>) {
        for at in times {
            let sample = Sample {
                metric: "load1".into(),
                instance: None,
                value: Some(1.0),
            };
            self.session.add(Measurement {
                at,
                samples: vec![sample],
            });
        }
    }

    /// The next call in words: `submit t1 +host [1, 2]`.
    fn next(&mut self) -> String {
        self.next_at(NOW)
    }

    fn next_at(&mut self, now: i64) -> String {
        match self.session.next_call(now, self.now) {
            None => "nothing".to_owned(),
            Some(Call::Enroll { key, .. }) => format!("enroll {key}"),
            Some(Call::Renew { token }) => format!("renew {token}"),
            Some(Call::Submit { token, body }) => {
                let mut json = Vec::new();
                let gzip = if body.compressed {
                    flate2::read::GzDecoder::new(body.bytes.as_slice())
                        .read_to_end(&mut json)
                        .unwrap();
                    " gzip"
                } else {
                    json = body.bytes;
                    ""
                };
                let report: types::Report = serde_json::from_slice(&json).unwrap();
                let times: Vec<i64> = report.points.iter().map(|point| point.at).collect();
                let host = if report.host.is_some() { " +host" } else { "" };
                let whole = report.snapshot.as_ref().map_or("", |_| " +snapshot");
                let hash = report
                    .snapshot_hash
                    .map_or_else(String::new, |hash| format!(" #{}", &hash[..4]));
                format!("submit {token}{gzip}{host}{hash}{whole} {times:?}")
            }
        }
    }

    /// A snapshot was taken, with this in it.
    fn snapshot(&mut self, value: &str) {
        let section = [("kernel".to_owned(), value.to_owned())].into();
        self.session
            .set_snapshot(Arc::new(Snapshot::new(NOW, vec![("os", Ok(section))])));
    }

    /// The report was taken, and this was said of its snapshot.
    fn told(&mut self, snapshot: types::SnapshotOutcome) {
        let outcome = types::ReportOutcome {
            accepted: 0,
            duplicates: 0,
            rejected: Vec::new(),
            snapshot,
        };
        self.session
            .settle(Answer::Report(Ok(Some(outcome))), NOW, self.now);
    }

    fn answer(&mut self, answer: Result<(), Failure>) {
        self.session
            .settle(Answer::Report(answer.map(|()| None)), NOW, self.now);
    }

    fn token(&mut self, answer: Result<types::HostToken, Failure>) {
        self.session.settle(Answer::Token(answer), NOW, self.now);
    }

    fn wait_seconds(&self) -> Option<u64> {
        self.session
            .not_before()
            .map(|until| until.duration_since(self.now).as_secs())
    }

    fn resume(&mut self) {
        assert!(self.session.not_before().is_some());
        self.session.resume();
    }
}

#[test]
fn a_healthy_life() {
    let mut bench = Bench::new();
    assert!(bench.session.can_start());
    bench.measure(1..=1);
    assert_eq!(bench.next(), "enroll key");
    assert_eq!(bench.next(), "nothing");
    bench.token(Ok(host_token("t1")));
    assert_eq!(bench.next(), "submit t1 +host [1]");
    bench.answer(Ok(()));
    assert_eq!(bench.next(), "nothing");
    bench.measure(2..=2);
    assert_eq!(bench.next(), "submit t1 [2]");
    bench.answer(Ok(()));

    // Facts go again when they change, and after an hour.
    let mut host = bench.session.parts.host.clone();
    host.hostname = "renamed".to_owned();
    bench.session.set_host(host);
    bench.measure(3..=3);
    assert_eq!(bench.next(), "submit t1 +host [3]");
    bench.answer(Ok(()));
    bench.session.renew_not_before = i64::MAX;
    bench.measure(4..=4);
    assert_eq!(bench.next_at(NOW + FACTS_SECONDS - 1), "submit t1 [4]");
    bench.answer(Ok(()));
    bench.measure(5..=5);
    assert_eq!(bench.next_at(NOW + FACTS_SECONDS), "submit t1 +host [5]");
}

#[test]
fn the_token_is_kept_and_renewed() {
    let mut bench = Bench::enrolled();
    let again = Session::new(parts(bench.directory.path(), None));
    assert!(again.can_start());
    assert_eq!(again.token.as_ref().unwrap().token, "t1");
    let elsewhere = parts(bench.directory.path(), None);
    assert!(
        !Session::new(Parts {
            server: "http://other.example".to_owned(),
            ..elsewhere
        })
        .can_start()
    );

    bench.measure(1..=1);
    assert_eq!(bench.next_at(NOW + 500), "renew t1");
    bench.token(Err(refused(500)));
    assert_eq!(bench.next_at(NOW + 501), "submit t1 +host [1]");
    bench.answer(Ok(()));
    assert_eq!(bench.next_at(NOW + RENEW_AGAIN_SECONDS), "renew t1");
    bench.token(Ok(host_token("t2")));
    bench.measure(2..=2);
    assert_eq!(bench.next(), "submit t2 [2]");
}

#[test]
fn an_outage_loses_and_doubles_nothing() {
    let mut bench = Bench::enrolled();
    bench.measure(1..=1);
    assert_eq!(bench.next(), "submit t1 +host [1]");
    bench.measure(2..=2);
    bench.answer(Err(unreachable()));
    assert_eq!(
        (bench.wait_seconds(), bench.next().as_str()),
        (Some(1), "nothing")
    );
    bench.measure(3..=4);
    bench.resume();
    assert_eq!(bench.next(), "submit t1 +host [4]");
    let failure = Failure::Refused {
        status: 503,
        retry_after: Some(Duration::from_secs(20)),
        reason: String::new(),
    };
    bench.answer(Err(failure));
    assert_eq!(bench.wait_seconds(), Some(20));

    // The agent ends meanwhile, and another goes on.
    bench.session.close();
    let mut bench = Bench {
        session: Session::new(parts(bench.directory.path(), Some("key"))),
        directory: bench.directory,
        now: bench.now,
    };
    bench.measure(5..=5);
    assert_eq!(bench.next(), "submit t1 +host [5]");
    bench.answer(Ok(()));
    assert_eq!(bench.next(), "submit t1 [2, 1, 3, 4]");
    bench.measure(6..=6);
    bench.answer(Ok(()));
    assert_eq!(bench.next(), "submit t1 [6]");
    bench.answer(Ok(()));
    assert_eq!(bench.next(), "nothing");
    assert!(bench.session.parts.outbox.is_empty());
}

#[test]
fn a_refused_token_enrolls_once() {
    let mut bench = Bench::enrolled();
    bench.measure(1..=1);
    assert_eq!(bench.next(), "submit t1 +host [1]");
    bench.answer(Ok(()));
    bench.measure(2..=2);
    assert_eq!(bench.next(), "submit t1 [2]");
    bench.answer(Err(refused(401)));
    assert_eq!(bench.next(), "enroll key");
    bench.token(Ok(host_token("t2")));
    assert_eq!(bench.next(), "submit t2 [2]");
    bench.answer(Err(refused(401)));
    // Not in a circle.
    assert_eq!(
        (bench.wait_seconds(), bench.next().as_str()),
        (Some(PAUSE.as_secs()), "nothing")
    );
    bench.resume();
    assert_eq!(bench.next(), "submit t2 [2]");
    bench.answer(Ok(()));
    assert!(bench.session.parts.outbox.is_empty());
}

#[test]
fn without_a_key_a_refused_token_pauses() {
    let directory = Bench::enrolled().directory;
    let mut bench = Bench {
        session: Session::new(parts(directory.path(), None)),
        directory,
        now: Instant::now(),
    };
    bench.measure(1..=1);
    assert_eq!(bench.next(), "submit t1 +host [1]");
    bench.answer(Err(refused(401)));
    assert_eq!(bench.wait_seconds(), Some(PAUSE.as_secs()));
    bench.measure(2..=2);
    bench.resume();
    assert_eq!(bench.next(), "submit t1 +host [2]");
}

#[test]
fn enrolment_that_fails() {
    let check = |failure: Failure, wait| {
        let mut bench = Bench::new();
        bench.measure(1..=1);
        assert_eq!(bench.next(), "enroll key");
        bench.token(Err(failure));
        assert_eq!(bench.wait_seconds(), Some(wait));
        // What was only in memory is on disk now.
        assert_eq!(bench.session.parts.outbox.backlog_points(), 1);
        bench.resume();
        assert_eq!(bench.next(), "enroll key");
    };
    check(unreachable(), 1);
    check(refused(503), 1);
    check(refused(401), PAUSE.as_secs());
    check(refused(422), PAUSE.as_secs());
}

#[test]
fn too_big_a_report_goes_in_halves() {
    let mut bench = Bench::enrolled();
    assert_eq!(bench.next(), "nothing");
    bench.measure(1..=5);
    assert_eq!(bench.next(), "submit t1 +host [1]");
    bench.answer(Ok(()));
    assert_eq!(bench.next(), "submit t1 [5]");
    bench.answer(Ok(()));
    assert_eq!(bench.next(), "submit t1 [2, 3, 4]");
    bench.answer(Err(refused(413)));
    assert_eq!(
        (bench.wait_seconds(), bench.next().as_str()),
        (None, "submit t1 [2]")
    );
    bench.answer(Ok(()));
    assert_eq!(bench.next(), "submit t1 [3, 4]");
}

#[test]
fn what_is_never_taken_is_put_aside() {
    let mut bench = Bench::enrolled();
    bench.measure(1..=2);
    for status in [422, 413] {
        assert!(bench.next().starts_with("submit"));
        bench.answer(Err(refused(status)));
    }
    assert_eq!(bench.next(), "nothing");
    assert!(bench.session.parts.outbox.is_empty());
    let text = std::fs::read_to_string(bench.directory.path().join("dead-letters.jsonl")).unwrap();
    let letters: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let check = |letter: &serde_json::Value, status: u16, at: i64| {
        assert_eq!(
            (letter["status"].as_u64(), letter["reason"].as_str()),
            (Some(status.into()), Some("because"))
        );
        assert_eq!(letter["report"]["points"][0]["at"], at);
    };
    assert_eq!(letters.len(), 2);
    check(&letters[0], 422, 1);
    check(&letters[1], 413, 2);
}

#[test]
fn a_backend_that_takes_no_gzip() {
    let mut bench = Bench::enrolled();
    bench.session.known_host = Some((bench.session.parts.host.clone(), NOW));
    let samples = |index: i64| Sample {
        metric: "x".into(),
        instance: Some(format!("instance-{index:030}")),
        value: None,
    };
    bench.session.add(Measurement {
        at: 1,
        samples: (0..30).map(samples).collect(),
    });
    assert_eq!(bench.next(), "submit t1 gzip [1]");
    bench.answer(Err(refused(415)));
    assert_eq!(bench.next(), "submit t1 [1]");
    bench.answer(Err(refused(415)));
    assert_eq!(bench.wait_seconds(), Some(1));
    bench.resume();
    assert_eq!(bench.next(), "submit t1 [1]");
}

#[test]
fn a_snapshot_goes_when_it_is_wanted() {
    use types::SnapshotOutcome::{Stored, Unchanged, Wanted};

    let mut bench = Bench::enrolled();
    bench.snapshot("6.1");
    bench.measure(1..=1);
    assert_eq!(bench.next(), "submit t1 +host #829c []");
    bench.told(Wanted);
    assert_eq!(bench.next(), "submit t1 #829c +snapshot []");
    bench.told(Stored);
    // From now on its hash goes with every report, and says that it still holds.
    assert_eq!(bench.next(), "submit t1 #829c [1]");
    bench.told(Unchanged);
    bench.snapshot("6.1");
    assert_eq!(bench.next(), "nothing");
    bench.snapshot("6.2");
    assert_eq!(bench.next(), "submit t1 #1a70 +snapshot []");
    bench.told(Stored);
    // The backend lost it.
    bench.measure(2..=2);
    assert_eq!(bench.next(), "submit t1 #1a70 [2]");
    bench.told(Wanted);
    assert_eq!(bench.next(), "submit t1 #1a70 +snapshot []");
    bench.told(Stored);
    assert_eq!(bench.next(), "nothing");
}

#[test]
fn a_snapshot_that_is_refused_holds_up_no_point() {
    for status in [413, 422, 400] {
        let mut bench = Bench::enrolled();
        bench.snapshot("6.1");
        bench.measure(1..=1);
        assert_eq!(bench.next(), "submit t1 +host #829c []");
        bench.told(types::SnapshotOutcome::Wanted);
        assert_eq!(bench.next(), "submit t1 #829c +snapshot []");
        bench.answer(Err(refused(status)));
        assert_eq!(bench.next(), "submit t1 [1]");
        bench.answer(Ok(()));
        assert_eq!(bench.next(), "nothing");
        let letters = std::fs::read_to_string(bench.directory.path().join("dead-letters.jsonl"));
        assert_eq!(letters.unwrap().lines().count(), 1);
        // With the next one it is tried again.
        bench.snapshot("6.1");
        assert_eq!(bench.next(), "submit t1 #829c +snapshot []");
    }
}

#[test]
fn a_snapshot_that_does_not_get_through_gives_way_to_points() {
    let mut bench = Bench::enrolled();
    bench.snapshot("6.1");
    bench.measure(1..=2);
    assert_eq!(bench.next(), "submit t1 +host #829c []");
    bench.answer(Err(unreachable()));
    bench.resume();
    assert_eq!(bench.next(), "submit t1 +host [2]");
    bench.answer(Ok(()));
    assert_eq!(bench.next(), "submit t1 #829c []");
    bench.answer(Err(refused(401)));
    assert_eq!(bench.next(), "enroll key");
    bench.token(Ok(host_token("t2")));
    assert_eq!(bench.next(), "submit t2 #829c []");
    bench.told(types::SnapshotOutcome::Unchanged);
    assert_eq!(bench.next(), "submit t2 #829c [1]");
    bench.answer(Ok(()));
    assert!(bench.session.parts.outbox.is_empty());
}
