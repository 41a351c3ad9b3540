//! Drift, baselines and rules in JSON.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::{Change, ChangeDirection, ChangeKind, Disposition};
use super::scalar::{Labels, List, Nullable, Text, plain_labels, wire_labels};
use crate::domain;

/// One item that differs from the baseline now.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Drift {
    /// The host.
    pub host_id: Uuid,
    /// The host's name.
    pub host_name: String,
    /// Section.
    pub section: String,
    /// Key within it.
    pub key: String,
    /// How it differs.
    pub kind: ChangeKind,
    /// The approved value.
    pub baseline: Nullable<String>,
    /// The value now.
    pub current: Nullable<String>,
    /// When it left the baseline.
    pub since: DateTime<Utc>,
    /// Which way its version went, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<ChangeDirection>,
    /// What it means.
    pub disposition: Disposition,
}

/// Whether a host is as it was approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum DriftState {
    /// It is at its baseline.
    AtBaseline,
    /// Something differs, and nobody said that it was to be.
    Drifted,
    /// It cannot be said: there is no snapshot, or only an old one.
    Unknown,
}

/// How a host stands to its baseline.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct HostDriftState {
    /// The host.
    pub host_id: Uuid,
    /// Its name.
    pub host_name: String,
    /// Whether it is as it was approved.
    pub state: DriftState,
    /// Items that differ, without those that are expected or ignored.
    pub drifted: u64,
    /// Items that differ as expected.
    pub expected: u64,
    /// Items that differ and are ignored.
    pub ignored: u64,
    /// When the first of its items left the baseline.
    pub since: Nullable<DateTime<Utc>>,
    /// When the baseline was approved.
    pub baseline_at: Nullable<DateTime<Utc>>,
    /// When the host last said how it is.
    pub snapshot_at: Nullable<DateTime<Utc>>,
    /// Whether that is too long ago, or a section could not be read for too long.
    pub is_stale: bool,
}

/// Names one item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct ItemId {
    /// Section.
    pub section: Text<1, 64>,
    /// Key within it.
    pub key: Text<1, 1024>,
}

/// Which hosts; `{}` means all.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct Selector {
    /// Hosts that have all these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// These hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ids: Option<List<Uuid, 10_000>>,
}

impl Selector {
    /// Into the words of the domain; `Err` for an empty list, which would mean nobody.
    pub fn into_domain(self) -> Result<domain::selector::Selector, &'static str> {
        if self.host_ids.as_ref().is_some_and(|ids| ids.0.is_empty()) {
            return Err("must name a host, or be absent for all");
        }
        Ok(domain::selector::Selector {
            labels: self.labels.map(plain_labels).unwrap_or_default(),
            host_ids: self.host_ids.map(|ids| ids.0.into_iter().collect()),
        })
    }
}

impl From<&domain::selector::Selector> for Selector {
    fn from(selector: &domain::selector::Selector) -> Self {
        let labels = (!selector.labels.is_empty()).then(|| wire_labels(&selector.labels));
        Self {
            labels,
            host_ids: selector
                .host_ids
                .as_ref()
                .map(|ids| List(ids.iter().copied().collect())),
        }
    }
}

/// Most items of one approval.
const MAX_ITEMS: usize = 20_000;

/// An approval for one host.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct ApproveHostDrift {
    /// The items that are approved; absent for all that differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<List<ItemId, MAX_ITEMS>>,
    /// Why.
    pub reason: Text<1, 1024>,
}

/// An approval for several hosts.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct ApproveDrift {
    /// Which hosts; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// The items that are approved; absent for all that differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<List<ItemId, MAX_ITEMS>>,
    /// Why.
    pub reason: Text<1, 1024>,
}

/// Items into the words of the domain; `Err` for an empty list.
pub fn items_into_domain(
    items: Option<List<ItemId, MAX_ITEMS>>,
) -> Result<Option<BTreeSet<domain::baseline::ItemId>>, &'static str> {
    if items.as_ref().is_some_and(|items| items.0.is_empty()) {
        return Err("must name an item, or be absent for all");
    }
    Ok(items.map(|items| {
        let items = items.0.into_iter().map(|item| domain::baseline::ItemId {
            section: item.section.0,
            key: item.key.0,
        });
        items.collect()
    }))
}

/// What an approval did.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Approval {
    /// Hosts whose baseline is another now.
    pub hosts: u64,
    /// Items that were taken over.
    pub items: u64,
}

/// One entry of a baseline's history.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Baseline {
    /// Identifier; it also names the configuration where a snapshot's is asked for.
    pub baseline_id: Uuid,
    /// When it was approved.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What it took over.
    pub items: Vec<Change>,
}

impl From<domain::baseline::Baseline> for Baseline {
    fn from(baseline: domain::baseline::Baseline) -> Self {
        Self {
            baseline_id: baseline.baseline_id,
            at: baseline.at,
            by: baseline.by,
            reason: baseline.reason,
            items: baseline.changes.into_iter().map(Into::into).collect(),
        }
    }
}

/// What a rule says of what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum DriftRuleKind {
    /// It does not matter.
    Ignore,
    /// It was planned.
    Expected,
}

/// A rule to be made.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct CreateDriftRule {
    /// What it says.
    pub kind: DriftRuleKind,
    /// Pattern of sections, with `*` and `?`.
    pub section: Text<1, 64>,
    /// Pattern of keys, with `*` and `?`.
    pub key: Text<1, 1024>,
    /// Whose changes; absent for all hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// From when on; for expected changes, now without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DateTime<Utc>>,
    /// Until when; for ever without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Text<1, 1024>,
}

/// A rule that marks changes.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct DriftRule {
    /// Identifier.
    pub rule_id: Uuid,
    /// What it says.
    pub kind: DriftRuleKind,
    /// Pattern of sections.
    pub section: String,
    /// Pattern of keys.
    pub key: String,
    /// Whose changes.
    pub selector: Selector,
    /// From when on.
    pub from: Nullable<DateTime<Utc>>,
    /// Until when.
    pub to: Nullable<DateTime<Utc>>,
    /// Why.
    pub reason: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl From<&domain::drift_rule::DriftRule> for DriftRule {
    fn from(rule: &domain::drift_rule::DriftRule) -> Self {
        Self {
            rule_id: rule.rule_id,
            kind: match rule.kind {
                domain::drift_rule::DriftRuleKind::Ignore => DriftRuleKind::Ignore,
                domain::drift_rule::DriftRuleKind::Expected => DriftRuleKind::Expected,
            },
            section: rule.section.clone(),
            key: rule.key.clone(),
            selector: Selector::from(&rule.selector),
            from: rule.from.into(),
            to: rule.to.into(),
            reason: rule.reason.clone(),
            created_by: rule.created_by.clone(),
            created_at: rule.created_at,
        }
    }
}

impl From<DriftRuleKind> for domain::drift_rule::DriftRuleKind {
    fn from(kind: DriftRuleKind) -> Self {
        match kind {
            DriftRuleKind::Ignore => Self::Ignore,
            DriftRuleKind::Expected => Self::Expected,
        }
    }
}
