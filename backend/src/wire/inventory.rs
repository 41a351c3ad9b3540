//! Questions over the configurations of a fleet, in JSON.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::Change;
use super::scalar::Nullable;

/// What a host has of what was searched for.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct InventoryItem {
    /// The host.
    pub host_id: Uuid,
    /// Its name.
    pub host_name: String,
    /// Section.
    pub section: String,
    /// Key within it.
    pub key: String,
    /// The installed version, or in other sections the value's first line.
    pub version: String,
}

/// What hosts of a group are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum ComparedWith {
    /// A golden host.
    Golden,
    /// What more than half of them have.
    Majority,
}

/// A host of a group and how it differs.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct GroupMember {
    /// The host.
    pub host_id: Uuid,
    /// Its name.
    pub host_name: String,
    /// What it is compared with.
    pub compared_with: ComparedWith,
    /// Number of items that differ; `null` when nothing is known of the host.
    pub difference_count: Nullable<u64>,
    /// What differs: `before` is what it is compared with, `after` the host; at most 1,000.
    pub items: Vec<Change>,
}
