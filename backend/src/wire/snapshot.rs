//! Kept configurations in JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::report::FailedSection;
use super::scalar::{Nullable, Text};
use crate::domain;

/// How fresh what is known of a section is.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct SectionFreshness {
    /// The section's name.
    pub section: String,
    /// When it was last known to be so; `null` when it was never read.
    pub as_of: Nullable<DateTime<Utc>>,
    /// Whether it could not be read with this snapshot: then it is as it was before.
    pub is_stale: bool,
    /// Why it could not be read.
    pub error: Nullable<String>,
}

/// A snapshot of a host, without its content.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct SnapshotSummary {
    /// Identifier.
    pub snapshot_id: Uuid,
    /// When the host took it.
    pub taken_at: DateTime<Utc>,
    /// When the backend received it: from then on it was in force.
    pub received_at: DateTime<Utc>,
    /// Whether it changed anything against the one before: then there is a change set of the same id.
    pub has_changes: bool,
    /// Sections that could not be read.
    pub failed_sections: Vec<String>,
}

impl From<&domain::snapshot::StaleSection> for FailedSection {
    fn from(stale: &domain::snapshot::StaleSection) -> Self {
        Self {
            section: Text(stale.section.clone()),
            error: Text(stale.error.clone()),
        }
    }
}

/// A configuration of a host.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct HostSnapshot {
    /// Identifier of the snapshot, or of the baseline.
    pub snapshot_id: Uuid,
    /// The host.
    pub host_id: Uuid,
    /// The host's name.
    pub host_name: String,
    /// When the host took it; of a baseline, when it was approved.
    pub taken_at: DateTime<Utc>,
    /// When the backend received it.
    pub received_at: DateTime<Utc>,
    /// Section → key → value.
    pub sections: BTreeMap<String, BTreeMap<String, String>>,
    /// What could not be read with it: these sections are as they were before.
    pub failed_sections: Vec<FailedSection>,
    /// How fresh each section is.
    pub freshness: Vec<SectionFreshness>,
}
