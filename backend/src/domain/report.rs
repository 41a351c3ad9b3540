//! One report of one host, checked: what arrived, before it is kept.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::snapshot::Snapshot;

/// A point may be this much ahead of the backend's clock, in seconds.
pub const POINT_AHEAD_SECONDS: i64 = 5 * 60;
/// A point may be this old, in seconds.
pub const POINT_AGE_SECONDS: i64 = 7 * 24 * 3600;

/// Names one series of a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// Metric name.
    pub metric: String,
    /// Which of several, such as a mount point.
    pub instance: Option<String>,
}

/// One moment of a report: a value, or nothing, for each of the report's series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Unix seconds.
    pub at: i64,
    /// As many as the report has series; finite.
    pub values: Vec<Option<f64>>,
}

/// What a host says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Host name.
    pub hostname: String,
    /// The system's machine id, for telling clones apart.
    pub machine_id: String,
    /// Changes with each start of the machine.
    pub boot_id: String,
    /// The operating system's name for people.
    pub os: String,
    /// `linux` and the like.
    pub os_family: String,
    /// Kernel release.
    pub kernel: String,
    /// Processor architecture.
    pub architecture: String,
    /// IP addresses.
    pub addresses: Vec<String>,
    /// Number of processors.
    pub cpu_count: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// A report in the words of the domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Names the report in logs.
    pub report_id: Uuid,
    /// The agent's identity, where the report names it.
    pub install_id: Option<Uuid>,
    /// The agent's version.
    pub agent_version: String,
    /// When the agent sent it, by its own clock.
    pub sent_at: DateTime<Utc>,
    /// Seconds between two measurements.
    pub interval_seconds: u32,
    /// Seconds between two snapshots.
    pub snapshot_interval_seconds: u32,
    /// What the host says of itself, where that changed.
    pub facts: Option<Facts>,
    /// The series that each point has a value for.
    pub series: Vec<SeriesKey>,
    /// The moments measured, in any order.
    pub points: Vec<Point>,
    /// Hash of the host's snapshot as it is now.
    pub snapshot_hash: Option<String>,
    /// The snapshot itself.
    pub snapshot: Option<Snapshot>,
}

/// A point that was refused, and why, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Unix seconds, as sent.
    pub at: i64,
    /// The reason.
    pub reason: &'static str,
}

/// Keeps the points that may be stored at `now` (Unix seconds) and names the others.
pub fn split_by_time(points: Vec<Point>, now: i64) -> (Vec<Point>, Vec<Rejected>) {
    let mut rejected = Vec::new();
    let mut points = points;
    points.retain(|point| {
        let reason = if point.at > now.saturating_add(POINT_AHEAD_SECONDS) {
            "more than 5 minutes ahead of the backend's clock"
        } else if point.at < now.saturating_sub(POINT_AGE_SECONDS) {
            "older than 7 days"
        } else {
            return true;
        };
        rejected.push(Rejected {
            at: point.at,
            reason,
        });
        false
    });
    (points, rejected)
}

/// Brings points into the order of time and merges those of the same second, where the first value given for a
/// series wins. Returns how many values the merge dropped.
pub fn merge_seconds(points: &mut Vec<Point>) -> u64 {
    if points.windows(2).all(|pair| pair[0].at < pair[1].at) {
        return 0;
    }
    points.sort_by_key(|point| point.at);
    let mut dropped = 0;
    points.dedup_by(|later, kept| {
        if later.at != kept.at {
            return false;
        }
        for (value, first) in later.values.iter().zip(&mut kept.values) {
            match (value, &first) {
                (Some(_), Some(_)) => dropped += 1,
                (Some(_), None) => *first = *value,
                (None, _) => {}
            }
        }
        true
    });
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: i64, values: &[Option<f64>]) -> Point {
        Point {
            at,
            values: values.to_vec(),
        }
    }

    #[test]
    fn late_and_future_points_are_named() {
        let now = 10_000_000;
        let times = [
            now,
            now + 300,
            now + 301,
            now - POINT_AGE_SECONDS,
            now - POINT_AGE_SECONDS - 1,
            i64::MIN,
            i64::MAX,
        ];
        let (kept, rejected) = split_by_time(times.iter().map(|at| point(*at, &[])).collect(), now);
        assert_eq!(
            kept.iter().map(|point| point.at).collect::<Vec<_>>(),
            [now, now + 300, now - POINT_AGE_SECONDS]
        );
        assert_eq!(rejected.len(), 4);
        assert!(rejected[0].reason.contains("ahead") && rejected[1].reason.contains("older"));
    }

    #[test]
    fn seconds_merge_and_the_first_value_wins() {
        let mut points = vec![
            point(20, &[Some(1.0), None]),
            point(10, &[Some(5.0), None]),
            point(20, &[Some(2.0), Some(3.0)]),
        ];
        assert_eq!(merge_seconds(&mut points), 1);
        assert_eq!(
            points,
            [
                point(10, &[Some(5.0), None]),
                point(20, &[Some(1.0), Some(3.0)])
            ]
        );
    }
}
