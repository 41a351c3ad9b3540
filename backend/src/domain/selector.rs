//! Which hosts something is about: by labels, by id, or all.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::host::Host;

/// Hosts that have all these labels and, where ids are given, one of them. Without either: all hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selector {
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// Hosts by id.
    pub host_ids: Option<BTreeSet<Uuid>>,
}

impl Selector {
    /// Whether a host is meant.
    pub fn matches(&self, host: &Host) -> bool {
        self.labels
            .iter()
            .all(|(name, value)| host.labels.get(name) == Some(value))
            && self
                .host_ids
                .as_ref()
                .is_none_or(|ids| ids.contains(&host.host_id))
    }
}
