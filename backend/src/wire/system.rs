//! The backend itself, in JSON.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::scalar::{Nullable, Number};
use crate::domain;

/// How much detail is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Tier {
    /// Every point.
    Raw,
    /// Buckets of five minutes.
    FiveMinutes,
    /// Buckets of an hour.
    Hour,
}

impl From<domain::tier::Tier> for Tier {
    fn from(tier: domain::tier::Tier) -> Self {
        match tier {
            domain::tier::Tier::Raw => Self::Raw,
            domain::tier::Tier::FiveMinutes => Self::FiveMinutes,
            domain::tier::Tier::Hour => Self::Hour,
        }
    }
}

/// What is kept of one tier.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct StoredTier {
    /// Which.
    pub tier: Tier,
    /// Values on disk; raw ones that are not sealed yet are counted apart.
    pub points: u64,
    /// Bytes of their rows.
    pub bytes: u64,
    /// The first moment that is kept.
    pub from: Nullable<DateTime<Utc>>,
    /// For how long it is kept, in seconds.
    pub retention_seconds: i64,
}

/// How a run of a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum JobResult {
    /// Well.
    Succeeded,
    /// With an error.
    Failed,
}

/// A job and its last run.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Job {
    /// Name.
    pub name: String,
    /// Second, minute, hour, day, month and weekday at which it runs, in UTC.
    pub schedule: String,
    /// Whether it runs now.
    pub running: bool,
    /// When the last run began.
    pub last_run_at: Nullable<DateTime<Utc>>,
    /// How long it took, in seconds.
    pub last_duration_seconds: Nullable<Number>,
    /// How it ended.
    pub last_result: Nullable<JobResult>,
    /// How many things it dealt with.
    pub last_items: Nullable<i64>,
    /// Why it failed, in words.
    pub last_error: Nullable<String>,
    /// When it runs next by itself.
    pub next_run_at: Nullable<DateTime<Utc>>,
}

/// How alerts are evaluated and told.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct AlertFigures {
    /// Alerts that fire.
    pub firing: u64,
    /// Alerts that are pending.
    pub pending: u64,
    /// Places that are watched: a rule at a host, or at one of its series.
    pub watches: u64,
    /// Bytes of memory that they take: bounded, as each knows a run of samples and not the samples.
    pub watch_bytes: u64,
    /// How long the last evaluation took, in seconds.
    pub evaluation_seconds: Number,
    /// When it was; `null` before the first.
    pub evaluated_at: Nullable<DateTime<Utc>>,
    /// How long ago that is, in seconds.
    pub lag_seconds: Nullable<Number>,
    /// Notifications that wait to be delivered.
    pub waiting_notifications: u64,
    /// When the oldest of them came up.
    pub oldest_waiting_at: Nullable<DateTime<Utc>>,
    /// Attempts to deliver that failed, since the start.
    pub failed_deliveries: u64,
}

/// How the backend is doing.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct System {
    /// Version of the backend.
    pub version: String,
    /// Since when it listens.
    pub started_at: DateTime<Utc>,
    /// Number of hosts.
    pub hosts: u64,
    /// Number of series of all hosts.
    pub series: u64,
    /// Raw values that are kept, sealed or not.
    pub points: u64,
    /// Of these, values that are in the log and in memory until their slot is sealed.
    pub unsealed_points: u64,
    /// What is kept, finest first.
    pub tiers: Vec<StoredTier>,
    /// Bytes that the store's files take on the disk.
    pub store_bytes: Nullable<u64>,
    /// Bytes that are free on the disk.
    pub disk_free_bytes: Nullable<u64>,
    /// Size of the disk, in bytes.
    pub disk_total_bytes: Nullable<u64>,
    /// When the disk is full at the present pace; `null` when it will not be, or less than a day is known.
    pub days_until_full: Nullable<Number>,
    /// How alerts are evaluated and told.
    pub alerts: AlertFigures,
    /// Every job.
    pub jobs: Vec<Job>,
}
