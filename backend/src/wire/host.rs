//! Hosts in JSON.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::collection::{Collection, CollectionSettings, PullInterval};
use super::scalar::{Labels, Nullable, Number, Text};
use crate::domain;

/// How fresh a host's reports are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum HostStatus {
    /// Reports arrive.
    Up,
    /// A report is overdue.
    Late,
    /// Silent for long.
    Down,
    /// Enrolled, nothing heard yet.
    Pending,
}

impl From<domain::host::Status> for HostStatus {
    fn from(status: domain::host::Status) -> Self {
        match status {
            domain::host::Status::Up => Self::Up,
            domain::host::Status::Late => Self::Late,
            domain::host::Status::Down => Self::Down,
            domain::host::Status::Pending => Self::Pending,
        }
    }
}

/// The colour of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum HostHealth {
    /// All is well.
    Green,
    /// Late, a warning, or a stale snapshot.
    Yellow,
    /// Down, or a critical alert.
    Red,
    /// Nothing is known yet.
    Grey,
}

impl From<domain::host::Health> for HostHealth {
    fn from(health: domain::host::Health) -> Self {
        match health {
            domain::host::Health::Green => Self::Green,
            domain::host::Health::Yellow => Self::Yellow,
            domain::host::Health::Red => Self::Red,
            domain::host::Health::Grey => Self::Grey,
        }
    }
}

/// A watched machine with its latest figures.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Host {
    /// Identifier.
    pub host_id: Uuid,
    /// Name: the hostname, until an admin gives another.
    pub name: String,
    /// Labels, by name.
    pub labels: Labels,
    /// How its reports arrive.
    pub collection: Collection,
    /// The operating system's name.
    pub os: String,
    /// IP addresses.
    pub addresses: Vec<String>,
    /// How fresh its reports are.
    pub status: HostStatus,
    /// Its colour.
    pub health: HostHealth,
    /// When the last report came in.
    pub last_seen_at: Nullable<DateTime<Utc>>,
    /// When the host last took a snapshot, or confirmed that the last one still holds.
    pub snapshot_at: Nullable<DateTime<Utc>>,
    /// Latest, in seconds.
    pub uptime_seconds: Nullable<Number>,
    /// Latest, 0 to 100.
    pub cpu_usage_percent: Nullable<Number>,
    /// Latest, 0 to 100.
    pub memory_usage_percent: Nullable<Number>,
    /// Latest of the fullest mount, 0 to 100.
    pub disk_usage_percent: Nullable<Number>,
    /// Number of alerts that are firing.
    pub firing_alerts: u32,
    /// Host name as the host has it.
    pub hostname: String,
    /// Kernel release.
    pub kernel: String,
    /// Processor architecture.
    pub architecture: String,
    /// Number of processors.
    pub cpu_count: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The agent's version.
    pub agent_version: String,
    /// Seconds between two measurements.
    pub interval_seconds: u32,
    /// When it enrolled, or was added.
    pub enrolled_at: DateTime<Utc>,
    /// Sections of its configuration that could not be read for too long; for operators and admins.
    pub stale_sections: Vec<String>,
    /// Other machines that report with its identity, such as copies of it, and are not let in; for operators and admins.
    pub set_aside: Vec<SetAsideMachine>,
}

/// A machine that reports with the identity of a host.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct SetAsideMachine {
    /// Identifier.
    pub set_aside_id: Uuid,
    /// Host name as it says.
    pub hostname: String,
    /// IP addresses as it says.
    pub addresses: Vec<String>,
    /// Its machine id: another one, unless it was copied carelessly.
    pub machine_id: String,
    /// Its boot id.
    pub boot_id: String,
    /// When it first tried to report.
    pub first_seen_at: DateTime<Utc>,
    /// When it last did, to the minute.
    pub last_seen_at: DateTime<Utc>,
}

impl From<&domain::identity::SetAside> for SetAsideMachine {
    fn from(known: &domain::identity::SetAside) -> Self {
        Self {
            set_aside_id: known.set_aside_id,
            hostname: known.machine.hostname.clone(),
            addresses: known.machine.addresses.clone(),
            machine_id: known.machine.machine_id.clone(),
            boot_id: known.machine.boot_id.clone(),
            first_seen_at: known.first_seen_at,
            last_seen_at: known.last_seen_at,
        }
    }
}

/// What shall be different; what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct UpdateHost {
    /// Another name; an empty one goes back to the hostname.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<0, 253>>,
    /// All its labels, in place of those it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// Seconds between two collections of a host that is pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<PullInterval>,
    /// How it is pulled. What is absent stays while the kind does; `push` ends pulling. A host without an enrolled agent
    /// takes the next agent that answers for its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<CollectionSettings>,
}

/// A host to be pulled.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct CreateHost {
    /// Its name.
    pub name: Text<1, 253>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// Seconds between two collections; 30 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<PullInterval>,
    /// How it is pulled: `http` or `ssh`.
    pub collection: CollectionSettings,
}
