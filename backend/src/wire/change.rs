//! Changes of configurations in JSON.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object, Union};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::scalar::{Nullable, Number};
use crate::domain;

/// How an item differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It is no longer there.
    Removed,
    /// Its value is another.
    Changed,
}

impl From<domain::change::ChangeKind> for ChangeKind {
    fn from(kind: domain::change::ChangeKind) -> Self {
        match kind {
            domain::change::ChangeKind::Added => Self::Added,
            domain::change::ChangeKind::Removed => Self::Removed,
            domain::change::ChangeKind::Changed => Self::Changed,
        }
    }
}

/// Which way a version went, by the ordering of its package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum ChangeDirection {
    /// To a later version.
    Upgrade,
    /// To an earlier one.
    Downgrade,
}

impl From<domain::change::Direction> for ChangeDirection {
    fn from(direction: domain::change::Direction) -> Self {
        match direction {
            domain::change::Direction::Upgrade => Self::Upgrade,
            domain::change::Direction::Downgrade => Self::Downgrade,
        }
    }
}

/// What a change means to those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Disposition {
    /// Nobody said that it was to be.
    Drift,
    /// It fell into a window in which it was expected.
    Expected,
    /// A rule says that it does not matter.
    Ignored,
}

impl From<domain::change::Disposition> for Disposition {
    fn from(disposition: domain::change::Disposition) -> Self {
        match disposition {
            domain::change::Disposition::Drift => Self::Drift,
            domain::change::Disposition::Expected => Self::Expected,
            domain::change::Disposition::Ignored => Self::Ignored,
        }
    }
}

/// One item that differs.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Change {
    /// Section, such as `packages`.
    pub section: String,
    /// Identity within the section, without version, such as `dpkg/openssl:amd64`.
    pub key: String,
    /// How it differs.
    pub kind: ChangeKind,
    /// Its value before; a removed item carries its old one.
    pub before: Nullable<String>,
    /// Its value after.
    pub after: Nullable<String>,
    /// Which way its version went, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<ChangeDirection>,
    /// What it means.
    pub disposition: Disposition,
}

impl From<domain::change::Change> for Change {
    fn from(change: domain::change::Change) -> Self {
        Self {
            section: change.section,
            key: change.key,
            kind: change.kind.into(),
            before: change.before.into(),
            after: change.after.into(),
            direction: change.direction.map(Into::into),
            disposition: change.disposition.into(),
        }
    }
}

/// What one snapshot of a host changed against the one before.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct ChangeSet {
    /// Identifier.
    pub change_set_id: Uuid,
    /// The host.
    pub host_id: Uuid,
    /// The host's name.
    pub host_name: String,
    /// When the backend saw it.
    pub detected_at: DateTime<Utc>,
    /// The snapshot before.
    pub from_snapshot_id: Uuid,
    /// The snapshot that showed it.
    pub to_snapshot_id: Uuid,
    /// All of it in one line.
    pub summary: String,
    /// The differences, in the order of section and key.
    pub items: Vec<Change>,
}

/// The same change of the same item at several hosts.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct ChangeGroup {
    /// The change.
    pub change: Change,
    /// Number of hosts that took it.
    pub host_count: u64,
    /// When the first of them did.
    pub first_at: DateTime<Utc>,
    /// When the last of them did.
    pub last_at: DateTime<Utc>,
    /// Who took it, first ones first; at most 100.
    pub hosts: Vec<ChangedHost>,
}

/// A host that took a change.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct ChangedHost {
    /// The host.
    pub host_id: Uuid,
    /// Its name.
    pub host_name: String,
    /// With which change set.
    pub change_set_id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
}

/// A change set, or with `group_by=item` a change and the hosts that took it.
#[derive(Clone, Debug, Serialize, Deserialize, Union)]
#[serde(untagged)]
#[oai(one_of)]
pub enum ChangeItem {
    /// One host's.
    ChangeSet(ChangeSet),
    /// Several hosts'.
    ChangeGroup(ChangeGroup),
}

/// By what changes are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum ChangeGrouping {
    /// The same change of the same item.
    Item,
}

/// A metric before and after a change.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct ChangeEffect {
    /// Metric.
    pub metric: String,
    /// Unit of its values.
    pub unit: String,
    /// Mean of the hour before; `null` when nothing was measured.
    pub before_mean: Nullable<Number>,
    /// Mean of the hour after, as far as it is over.
    pub after_mean: Nullable<Number>,
}

/// A change set and what it did to the load.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct ChangeSetDetails {
    /// The change set.
    pub change_set: ChangeSet,
    /// Processor, memory and load, before and after.
    pub effects: Vec<ChangeEffect>,
}

/// Two configurations beside each other.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct ConfigurationDiff {
    /// What differs, item by item: `before` is left, `after` is right.
    pub items: Vec<Change>,
    /// The same as a unified difference of text; empty when nothing differs.
    pub unified: String,
}
