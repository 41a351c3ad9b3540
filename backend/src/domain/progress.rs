//! What became of a host's collections, and when the next is due.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::collection::{Failure, OfferedHostKey, Step, next_tick};

/// A host of which nothing is known is asked within so many seconds.
const FIRST_WITHIN_SECONDS: u32 = 60;

/// How a host's collections go. It is in memory alone: after a start the next collection says it anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// When the next is due; none before the first was planned.
    pub next_at: Option<DateTime<Utc>>,
    /// When the last began.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// When the last began that brought a report.
    pub last_success_at: Option<DateTime<Utc>>,
    /// How long the last took.
    pub last_took: Option<TimeDelta>,
    /// Name of the collector that did the last; none when it was the backend.
    pub collector: Option<String>,
    /// How many failed in a row.
    pub failures: u32,
    /// Why the last failed.
    pub failure: Option<Failure>,
    /// Whether anybody has seen the host's key since the start.
    pub is_host_key_seen: bool,
    /// Since when the host shows another key than the one that is known.
    pub changed_host_key_since: Option<DateTime<Utc>>,
}

/// One collection that is over.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub took: TimeDelta,
    /// Name of the collector that did it; none for the backend.
    pub collector: Option<String>,
    /// Why it gave no report.
    pub failure: Option<Failure>,
    /// Whether another will do instead of this one: then its failure puts nobody off.
    pub has_substitute: bool,
}

impl Attempt {
    /// Whether a failure is no reason to wait longer.
    fn is_soft(&self) -> bool {
        let is_ours = self.failure.as_ref().is_some_and(|failure| failure.is_ours);
        self.has_substitute || is_ours
    }
}

impl Progress {
    /// Whether the host is due. One of which nothing is known gets its first moment.
    pub fn is_due(&mut self, host_id: Uuid, interval_seconds: u32, now: DateTime<Utc>) -> bool {
        // After a start everybody has a turn soon, however seldom it comes otherwise.
        let first = || next_tick(host_id, interval_seconds.min(FIRST_WITHIN_SECONDS), now);
        let next_at = *self.next_at.get_or_insert_with(first);
        // Whoever put the clock back is not waited for.
        next_at <= now || next_at > self.latest_next(interval_seconds, now)
    }

    /// No next moment lies farther ahead.
    fn latest_next(&self, interval_seconds: u32, now: DateTime<Utc>) -> DateTime<Utc> {
        let back_off = self
            .failure
            .as_ref()
            .map(|failure| failure.back_off(self.failures, 1.0))
            .unwrap_or_default();
        now + back_off.max(TimeDelta::seconds(i64::from(interval_seconds)))
    }

    /// Takes what became of a collection that ended at `now`. `jitter` is from 0 to 1.
    pub fn settle(
        &mut self,
        attempt: Attempt,
        host_id: Uuid,
        interval_seconds: u32,
        now: DateTime<Utc>,
        jitter: f64,
    ) {
        let is_soft = attempt.is_soft();
        self.last_attempt_at = Some(attempt.started_at);
        self.last_took = Some(attempt.took);
        self.collector = attempt.collector;
        match &attempt.failure {
            None => {
                self.failures = 0;
                self.last_success_at = Some(attempt.started_at);
                self.next_at = Some(next_tick(host_id, interval_seconds, now));
            }
            Some(_) if is_soft => {
                self.next_at = Some(next_tick(host_id, interval_seconds, now));
            }
            Some(failure) => {
                self.failures = self.failures.saturating_add(1);
                self.next_at = Some(now + failure.back_off(self.failures, jitter));
            }
        }
        if let Some(is_changed) = shows_changed_host_key(attempt.failure.as_ref()) {
            self.is_host_key_seen = true;
            let since = self.changed_host_key_since.unwrap_or(attempt.started_at);
            self.changed_host_key_since = is_changed.then_some(since);
        }
        self.failure = attempt.failure;
    }

    /// The host key that waits to be confirmed.
    pub fn offered_host_key(&self) -> Option<&OfferedHostKey> {
        let offered = self.failure.as_ref()?.host_key.as_ref()?;
        offered.known.is_none().then_some(offered)
    }
}

/// Whether a collection met another host key than the known one; `None` when it did not get so far. A refused login says
/// nothing: it may have been at the machine in between.
fn shows_changed_host_key(failure: Option<&Failure>) -> Option<bool> {
    match failure {
        None => Some(false),
        Some(failure) if failure.is_changed_host_key() => Some(true),
        Some(failure) if failure.step >= Step::Agent && !failure.is_ours => Some(false),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// A host with phase zero, collected every 30 s.
    const HOST: Uuid = Uuid::from_u64_pair(7, 0);

    fn settle(progress: &mut Progress, seconds: i64, failure: Option<Failure>) {
        let attempt = Attempt {
            started_at: at(seconds),
            took: TimeDelta::seconds(1),
            collector: None,
            failure,
            has_substitute: false,
        };
        progress.settle(attempt, HOST, 30, at(seconds + 1), 1.0);
    }

    fn key(known: Option<&str>) -> Failure {
        Failure {
            host_key: Some(OfferedHostKey {
                is_jump: false,
                algorithm: "ssh-ed25519".to_owned(),
                fingerprint: "SHA256:new".to_owned(),
                known: known.map(str::to_owned),
            }),
            ..Failure::new(Step::HostKey, "x")
        }
    }

    #[test]
    fn what_is_due() {
        let mut progress = Progress::default();
        assert!(
            !progress.is_due(HOST, 30, at(61)),
            "a fleet is not asked at once"
        );
        assert!(!progress.is_due(HOST, 30, at(89)));
        assert!(progress.is_due(HOST, 30, at(90)));
        settle(&mut progress, 90, None);
        assert_eq!(progress.next_at, Some(at(120)));
        settle(&mut progress, 120, Some(Failure::new(Step::Connect, "x")));
        assert_eq!((progress.next_at, progress.failures), (Some(at(151)), 1));
        settle(&mut progress, 151, Some(Failure::new(Step::Connect, "x")));
        assert_eq!(progress.next_at, Some(at(212)));
        assert!(!progress.is_due(HOST, 30, at(160)));
        // The clock was put back by a day.
        assert!(progress.is_due(HOST, 30, at(212 - 86_400)));
        settle(&mut progress, 212, None);
        assert_eq!((progress.next_at, progress.failures), (Some(at(240)), 0));
        assert_eq!(progress.last_success_at, Some(at(212)));
    }

    #[test]
    fn what_is_not_the_hosts_fault_puts_it_off_no_longer() {
        let mut progress = Progress::default();
        settle(&mut progress, 90, Some(Failure::ours(Step::Report, "x")));
        assert_eq!((progress.next_at, progress.failures), (Some(at(120)), 0));
        assert!(progress.failure.is_some());
        // Once a day otherwise, but soon after a start.
        let mut daily = Progress::default();
        assert!(!daily.is_due(HOST, 86_400, at(61)));
        assert_eq!(daily.next_at, Some(at(120)));
    }

    #[test]
    fn a_changed_host_key_is_remembered_until_the_known_one_is_seen() {
        let mut progress = Progress::default();
        settle(&mut progress, 0, Some(Failure::new(Step::Connect, "x")));
        assert!(!progress.is_host_key_seen);
        settle(&mut progress, 10, Some(key(None)));
        assert_eq!(progress.changed_host_key_since, None);
        assert!(!progress.is_host_key_seen && progress.offered_host_key().is_some());
        settle(&mut progress, 20, Some(key(Some("SHA256:old"))));
        settle(&mut progress, 50, Some(key(Some("SHA256:old"))));
        for step in [Step::Connect, Step::HostKey, Step::Authenticate] {
            settle(&mut progress, 90, Some(Failure::new(step, "x")));
            assert_eq!(progress.changed_host_key_since, Some(at(20)), "{step:?}");
        }
        settle(&mut progress, 95, Some(Failure::ours(Step::Report, "x")));
        assert_eq!(progress.changed_host_key_since, Some(at(20)));
        assert_eq!(progress.offered_host_key(), None);
        settle(&mut progress, 120, Some(Failure::new(Step::Agent, "x")));
        assert_eq!(progress.changed_host_key_since, None);
    }
}
