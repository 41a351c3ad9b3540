//! A watched machine: its record, and its status and health decided from what was last heard.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::alert::rule::Severity;
use super::baseline::BaselineReference;
use super::collection::Collection;
use super::credential::HostToken;
use super::identity::SetAside;
use super::report::Facts;
use super::snapshot::{SnapshotReference, StaleSection};

/// Interval assumed before a host's first report, in seconds.
pub const DEFAULT_INTERVAL_SECONDS: u32 = 30;
/// Snapshot interval assumed before a host's first report, in seconds.
pub const DEFAULT_SNAPSHOT_INTERVAL_SECONDS: u32 = 3600;

/// A watched machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Identifier, UUIDv7.
    pub host_id: Uuid,
    /// The short number under which its series are kept; never used again.
    pub number: u32,
    /// The agent's random identity, made at its first start; not known before the first report of a host that is
    /// pulled.
    pub install_id: Option<Uuid>,
    /// The name an admin gave it; without one it goes by its hostname.
    pub given_name: Option<String>,
    /// Labels, by name.
    pub labels: BTreeMap<String, String>,
    /// What it last said of itself.
    pub facts: Facts,
    /// The agent's version.
    pub agent_version: String,
    /// Seconds between two of its measurements.
    pub interval_seconds: u32,
    /// Seconds between two of its snapshots.
    pub snapshot_interval_seconds: u32,
    /// When it enrolled first, or was added.
    pub enrolled_at: DateTime<Utc>,
    /// Tokens that are valid: the one in use and, while it is renewed, its successor.
    pub tokens: Vec<HostToken>,
    /// The last snapshot that was kept.
    pub snapshot: Option<SnapshotReference>,
    /// The configuration that was approved.
    #[serde(default)]
    pub baseline: Option<BaselineReference>,
    /// The boot id before the present one.
    #[serde(default)]
    pub previous_boot_id: Option<String>,
    /// Other machines that report as this one.
    #[serde(default)]
    pub set_aside: Vec<SetAside>,
    /// How its reports are fetched, unless its agent alone sends them.
    #[serde(default)]
    pub collection: Option<Collection>,
}

impl Host {
    /// Whether an agent may send reports of it.
    pub fn is_pushed(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// The name people see.
    pub fn name(&self) -> &str {
        self.given_name.as_deref().unwrap_or(&self.facts.hostname)
    }
}

/// How fresh a host's reports are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Reports arrive.
    Up,
    /// A report is overdue.
    Late,
    /// Silent for so long that it must be taken for down.
    Down,
    /// Enrolled, and nothing heard yet.
    Pending,
}

/// The colour of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// All is well.
    Green,
    /// Late, a warning, or a stale snapshot.
    Yellow,
    /// Down, or a critical alert.
    Red,
    /// Nothing is known yet.
    Grey,
}

/// Silence of more than so many seconds is late: two intervals and 15 s.
pub fn late_after_seconds(interval_seconds: i64) -> i64 {
    2 * interval_seconds + 15
}

/// Silence of more than so many seconds is down: four intervals and 60 s.
pub fn down_after_seconds(interval_seconds: i64) -> i64 {
    4 * interval_seconds + 60
}

/// Late after two intervals and 15 s, down after four and 60 s. Silence counts from `listening_since` at the
/// earliest: what could not have been heard, because the backend itself was away, is no silence.
pub fn status(
    interval_seconds: u32,
    last_seen_at: Option<DateTime<Utc>>,
    listening_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Status {
    let Some(last_seen_at) = last_seen_at else {
        return Status::Pending;
    };
    let silence = now - last_seen_at.max(listening_since);
    let interval_seconds = i64::from(interval_seconds);
    if silence > TimeDelta::seconds(down_after_seconds(interval_seconds)) {
        Status::Down
    } else if silence > TimeDelta::seconds(late_after_seconds(interval_seconds)) {
        Status::Late
    } else {
        Status::Up
    }
}

/// A snapshot is stale after two of its intervals and ten minutes; a host that never sent one has none to be stale.
pub fn is_snapshot_stale(
    interval_seconds: u32,
    snapshot_at: Option<DateTime<Utc>>,
    listening_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> bool {
    snapshot_at.is_some_and(|at| {
        now - at.max(listening_since) > TimeDelta::seconds(i64::from(interval_seconds) * 2 + 600)
    })
}

/// Sections of a host's snapshot that could not be read for as long as makes a snapshot stale.
pub fn stale_sections(
    host: &Host,
    listening_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Vec<&StaleSection> {
    let stale = host.snapshot.iter().flat_map(|known| &known.stale);
    stale
        .filter(|section| {
            let interval = host.snapshot_interval_seconds;
            // One that was never read is as old as its host.
            let as_of = section.as_of.unwrap_or(host.enrolled_at);
            is_snapshot_stale(interval, Some(as_of), listening_since, now)
        })
        .collect()
}

/// Whether what is known of a host's configuration is too old, or lacks a section for too long. Unlike a status, this is
/// a statement about the host: that nobody listened does not make it fresher.
pub fn is_configuration_stale(host: &Host, now: DateTime<Utc>) -> bool {
    let since = DateTime::UNIX_EPOCH;
    let snapshot_at = host.snapshot.as_ref().map(|known| known.confirmed_at);
    is_snapshot_stale(host.snapshot_interval_seconds, snapshot_at, since, now)
        || !stale_sections(host, since, now).is_empty()
}

/// The colour for a status, the worst alert that fires, and whether something else needs a look: a stale snapshot, a
/// machine that is set aside.
pub fn health(status: Status, worst: Option<Severity>, needs_look: bool) -> Health {
    match (status, worst) {
        (Status::Down, _) | (_, Some(Severity::Critical)) => Health::Red,
        (Status::Pending, None) => Health::Grey,
        (Status::Late, _) | (_, Some(Severity::Warning)) => Health::Yellow,
        (Status::Up, None) if needs_look => Health::Yellow,
        (Status::Up, None) => Health::Green,
    }
}

#[cfg(test)]
pub mod tests {
    //! A host for the tests of others.

    use super::*;

    /// A host of this name of which nothing else is known.
    pub fn host(name: &str) -> Host {
        Host {
            host_id: Uuid::nil(),
            number: 1,
            install_id: None,
            given_name: Some(name.to_owned()),
            labels: BTreeMap::new(),
            facts: Facts::default(),
            agent_version: String::new(),
            interval_seconds: DEFAULT_INTERVAL_SECONDS,
            snapshot_interval_seconds: DEFAULT_SNAPSHOT_INTERVAL_SECONDS,
            enrolled_at: DateTime::UNIX_EPOCH,
            tokens: Vec::new(),
            snapshot: None,
            baseline: None,
            previous_boot_id: None,
            set_aside: Vec::new(),
            collection: None,
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn status_by_silence() {
        let check = |interval, last_seen: Option<i64>, since, now, expect| {
            assert_eq!(
                status(interval, last_seen.map(at), at(since), at(now)),
                expect,
                "{last_seen:?} at {now}"
            );
        };
        check(30, None, 0, 1_000_000, Status::Pending);
        check(30, Some(1000), 0, 1075, Status::Up);
        check(30, Some(1000), 0, 1076, Status::Late);
        check(30, Some(1000), 0, 1180, Status::Late);
        check(30, Some(1000), 0, 1181, Status::Down);
        check(10, Some(1000), 0, 1036, Status::Late);
        check(30, Some(1000), 5000, 5060, Status::Up);
        check(30, Some(1000), 5000, 5181, Status::Down);
        check(30, Some(2000), 0, 1000, Status::Up);
    }

    #[test]
    fn colours() {
        let check = |status, worst, stale, expect| {
            assert_eq!(health(status, worst, stale), expect);
        };
        let (warning, critical) = (Some(Severity::Warning), Some(Severity::Critical));
        check(Status::Up, None, false, Health::Green);
        check(Status::Up, None, true, Health::Yellow);
        check(Status::Up, warning, false, Health::Yellow);
        check(Status::Up, critical, true, Health::Red);
        check(Status::Late, None, false, Health::Yellow);
        check(Status::Late, critical, false, Health::Red);
        check(Status::Down, None, false, Health::Red);
        check(Status::Down, warning, false, Health::Red);
        check(Status::Pending, None, false, Health::Grey);
        check(Status::Pending, warning, false, Health::Yellow);
        assert!(!is_snapshot_stale(3600, None, at(0), at(1_000_000)));
        assert!(!is_snapshot_stale(3600, Some(at(0)), at(0), at(7800)));
        assert!(is_snapshot_stale(3600, Some(at(0)), at(0), at(7801)));
        assert!(!is_snapshot_stale(3600, Some(at(0)), at(7000), at(7801)));
    }
}
