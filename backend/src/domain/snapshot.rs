//! A configuration snapshot: sections of keys and values, its canonical form and its hash.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};

use chrono::{DateTime, TimeDelta, Utc};
use infra_watch_rules::compared;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The section of installed packages.
pub const PACKAGES: &str = "packages";
/// The section of environment variables.
pub const ENVIRONMENT: &str = "environment";
/// The section of the operating system and its kernel.
pub const OS: &str = "os";
/// The section of files.
pub const FILES: &str = "files";
/// The section of services.
pub const SERVICES: &str = "services";

/// Agents send a snapshot within seconds, and try for minutes: one older than this when it was sent is of the past.
const LATE_SECONDS: i64 = 10 * 60;
/// A snapshot taken this much after it arrived comes from a clock that is ahead, in seconds.
const CLOCK_AHEAD_SECONDS: i64 = 5 * 60;

/// Section name → key → value.
pub type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// A section that could not be collected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedSection {
    /// The section's name.
    pub section: String,
    /// What the collector said.
    pub error: String,
}

/// A host's configuration at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When the host took it.
    pub taken_at: DateTime<Utc>,
    /// What was found.
    pub sections: Sections,
    /// What could not be read.
    pub failed_sections: Vec<FailedSection>,
}

/// Names a document of a host by its content: the first eight bytes of its SHA-256. Among the few hundred documents of
/// one host that is unique, and whoever reads one checks it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentId(pub [u8; 8]);

impl DocumentId {
    /// The id of this content.
    pub fn of(content: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(content).into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Self([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

/// Names the snapshot that is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotReference {
    /// Identifier, UUIDv7: its time is when the backend received it.
    pub snapshot_id: Uuid,
    /// The hash of the sections that the host sent; see [`hash`].
    pub hash: String,
    /// Its content: what was sent, and what was carried over for sections that failed.
    pub document: DocumentId,
    /// When the host took it.
    pub taken_at: DateTime<Utc>,
    /// When the backend received it.
    pub received_at: DateTime<Utc>,
    /// When the host last said that this is still how it is.
    pub confirmed_at: DateTime<Utc>,
    /// Sections that could not be read, and how old what is known of them is.
    pub stale: Vec<StaleSection>,
}

/// A section of which only older content is known, or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StaleSection {
    /// The section's name.
    pub section: String,
    /// What the collector said.
    pub error: String,
    /// When it was last read well; `None` when it never was.
    pub as_of: Option<DateTime<Utc>>,
}

impl SnapshotReference {
    /// When a section was last known to be as it is kept.
    pub fn section_as_of(&self, section: &str) -> Option<DateTime<Utc>> {
        self.stale
            .iter()
            .find(|stale| stale.section == section)
            .map_or(Some(self.confirmed_at), |stale| stale.as_of)
    }

    /// Whether a snapshot taken at `taken_at`, and sent at `sent_at` by the same clock, is an older one that arrives late.
    /// A host whose clock was set back, or was ahead before, is believed.
    pub fn is_after(&self, taken_at: DateTime<Utc>, sent_at: DateTime<Utc>) -> bool {
        let late = TimeDelta::seconds(LATE_SECONDS);
        let was_ahead = self.taken_at - self.received_at > TimeDelta::seconds(CLOCK_AHEAD_SECONDS);
        let is_before = taken_at < self.taken_at;
        // Old when it was sent, or overtaken on the way.
        let is_old = sent_at - taken_at > late || self.taken_at - taken_at <= late;
        !was_ahead && is_before && is_old
    }
}

/// What of a system moves by itself.
const VOLATILE_SYSTEM: &[&str] = &["pending_upgrades", "uptime_seconds", "build_date"];

/// Whether an item is compared at all: what changes by itself would drown what somebody changed.
pub fn is_compared(section: &str, key: &str) -> bool {
    match section {
        ENVIRONMENT => !compared::is_volatile(key),
        OS => !VOLATILE_SYSTEM.contains(&key),
        _ => true,
    }
}

/// What stands before a keyed hash.
const KEYED_HASH: &str = "hmac:";

/// Sections as they can be compared between hosts: each host has a key of its own, so of a keyed hash only counts that it
/// is one.
pub fn without_keyed_hashes(sections: &Sections) -> Cow<'_, Sections> {
    let environment = sections.get(ENVIRONMENT);
    if !environment.is_some_and(|items| items.values().any(|value| value.contains(KEYED_HASH))) {
        return Cow::Borrowed(sections);
    }
    let mut comparable = sections.clone();
    for value in comparable
        .get_mut(ENVIRONMENT)
        .into_iter()
        .flat_map(BTreeMap::values_mut)
    {
        let parts = value.split(' ').map(|part| {
            if part.starts_with(KEYED_HASH) {
                "hmac"
            } else {
                part
            }
        });
        *value = parts.collect::<Vec<_>>().join(" ");
    }
    Cow::Owned(comparable)
}

/// What is known of a host after a snapshot: its sections, and those that failed as they were before; and how old
/// these are.
pub fn carry_over(
    before: Option<(&SnapshotReference, &Sections)>,
    snapshot: Snapshot,
) -> (Sections, Vec<StaleSection>) {
    let mut sections = snapshot.sections;
    let mut stale = Vec::new();
    for FailedSection { section, error } in snapshot.failed_sections {
        // One that arrived all the same did not fail.
        if sections.contains_key(&section)
            || stale
                .iter()
                .any(|known: &StaleSection| known.section == section)
        {
            continue;
        }
        let known = before.and_then(|(reference, known)| Some((reference, known.get(&section)?)));
        let as_of = known.and_then(|(reference, items)| {
            sections.insert(section.clone(), items.clone());
            reference.section_as_of(&section)
        });
        stale.push(StaleSection {
            section,
            error,
            as_of,
        });
    }
    (sections, stale)
}

/// The canonical JSON of sections: keys sorted, no spaces.
pub fn canonical(sections: &Sections) -> Vec<u8> {
    // Maps of strings cannot fail to serialise, and a BTreeMap is written in the order of its keys.
    serde_json::to_vec(sections).unwrap_or_default()
}

/// New snapshots that a host may bring in an hour: a run of a package manager gives one.
const SNAPSHOTS_AN_HOUR: u32 = 120;
const HOUR_SECONDS: i64 = 3600;

/// Counts the new snapshots of each host, hour by hour: each is kept for a year.
#[derive(Debug, Default)]
pub struct SnapshotLimiter {
    hour: i64,
    taken: HashMap<u32, u32>,
}

impl SnapshotLimiter {
    /// Counts one more of a host, or says in how many seconds there may be one again.
    ///
    /// # Errors
    /// The seconds.
    pub fn take(&mut self, number: u32, now: DateTime<Utc>) -> Result<(), u64> {
        let hour = now.timestamp().div_euclid(HOUR_SECONDS);
        if hour != self.hour {
            self.taken.clear();
            self.hour = hour;
        }
        let taken = self.taken.entry(number).or_default();
        if *taken >= SNAPSHOTS_AN_HOUR {
            let left = HOUR_SECONDS - now.timestamp().rem_euclid(HOUR_SECONDS);
            return Err(left.unsigned_abs());
        }
        *taken += 1;
        Ok(())
    }
}

/// SHA-256, in lower-case hexadecimal, over the canonical JSON of the sections.
pub fn hash(sections: &Sections) -> String {
    hex(&Sha256::digest(canonical(sections)))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_hash() {
        let sections: Sections =
            serde_json::from_str(r#"{"os":{"kernel":"6.1"},"environment":{"B":"2","A":"ä"}}"#)
                .unwrap();
        let canonical = r#"{"environment":{"A":"ä","B":"2"},"os":{"kernel":"6.1"}}"#;
        assert_eq!(hash(&sections), hex(&Sha256::digest(canonical.as_bytes())));
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn reference(taken_at: i64, received_at: i64) -> SnapshotReference {
        SnapshotReference {
            snapshot_id: Uuid::nil(),
            hash: String::new(),
            document: DocumentId::of(b""),
            taken_at: at(taken_at),
            received_at: at(received_at),
            confirmed_at: at(received_at + 100),
            stale: Vec::new(),
        }
    }

    fn snapshot(sections: &str, failed: &[&str]) -> Snapshot {
        Snapshot {
            taken_at: at(0),
            sections: serde_json::from_str(sections).unwrap(),
            failed_sections: failed
                .iter()
                .map(|section| FailedSection {
                    section: (*section).to_owned(),
                    error: "locked".to_owned(),
                })
                .collect(),
        }
    }

    #[test]
    fn a_section_that_fails_stays_as_it_was_and_grows_old() {
        let (known, stale) = carry_over(None, snapshot(r#"{"os":{"id":"a"}}"#, &["packages"]));
        assert_eq!((known.len(), stale[0].as_of), (1, None));

        let (known, stale) = carry_over(
            None,
            snapshot(r#"{"os":{"id":"a"},"packages":{"dpkg/x:all":"1"}}"#, &[]),
        );
        assert!(stale.is_empty());
        let first = reference(0, 0);
        let failing = r#"{"os":{"id":"b"}}"#;
        let (carried, stale) = carry_over(
            Some((&first, &known)),
            snapshot(failing, &["packages", "packages"]),
        );
        assert_eq!(carried["packages"]["dpkg/x:all"], "1");
        assert_eq!(carried["os"]["id"], "b");
        assert_eq!((stale.len(), stale[0].as_of), (1, Some(at(100))));

        // It goes on failing: its age still counts from when it was last read well.
        let second = SnapshotReference {
            stale,
            ..reference(500, 500)
        };
        let (_, stale) = carry_over(Some((&second, &carried)), snapshot(failing, &["packages"]));
        assert_eq!(stale[0].as_of, Some(at(100)));
        assert_eq!(second.section_as_of("os"), Some(at(600)));
    }

    #[test]
    fn snapshots_are_counted_by_host_and_hour() {
        let mut limiter = SnapshotLimiter::default();
        let mut take = |number, seconds| limiter.take(number, at(seconds));
        for _ in 0..SNAPSHOTS_AN_HOUR {
            assert_eq!(take(1, 3600), Ok(()));
        }
        assert_eq!(take(1, 7199), Err(1));
        assert_eq!(take(2, 7199), Ok(()));
        assert_eq!(take(1, 7200), Ok(()));
    }

    #[test]
    fn snapshots_from_the_past() {
        let check = |known: (i64, i64), taken_at, sent_at, expect| {
            let known = reference(known.0, known.1);
            assert_eq!(
                known.is_after(at(taken_at), at(sent_at)),
                expect,
                "{taken_at} {sent_at}"
            );
        };
        let known = (100_000, 100_000);
        check(known, 100_000, 100_001, false);
        check(known, 200_000, 200_001, false);
        // Overtaken on the way.
        check(known, 99_999, 100_000, true);
        check(known, 99_400, 99_401, true);
        // Old when it was sent.
        check(known, 10, 100_100, true);
        // The clock was set back.
        check(known, 50_000, 50_001, false);
        check((200_000, 100_000), 100_100, 100_101, false);
    }
}
