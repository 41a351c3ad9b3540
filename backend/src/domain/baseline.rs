//! The approved configuration of a host, and what differs from it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::{self, Change};
use super::snapshot::{DocumentId, Sections};

/// Section and key of one item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ItemId {
    /// Section.
    pub section: String,
    /// Key within it.
    pub key: String,
}

/// An item that differs from the baseline: `before` is the baseline's value, `after` the host's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftItem {
    /// The difference.
    #[serde(flatten)]
    pub change: Change,
    /// When it left the baseline.
    pub since: DateTime<Utc>,
    /// When it took its present value: rules are about this change, not about the first one.
    pub changed_at: DateTime<Utc>,
}

/// What differs from a host's baseline now; empty for a host at its baseline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDrift {
    /// The host.
    pub host_id: Uuid,
    /// Its items, in the order of section and key.
    pub items: Vec<DriftItem>,
}

/// Names the baseline that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineReference {
    /// Identifier, UUIDv7.
    pub baseline_id: Uuid,
    /// Its content.
    pub document: DocumentId,
    /// When it was approved.
    pub at: DateTime<Utc>,
}

/// One entry of a baseline's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Identifier, UUIDv7.
    pub baseline_id: Uuid,
    /// Its content.
    pub document: DocumentId,
    /// When it was approved.
    pub at: DateTime<Utc>,
    /// By whom: a user's name, or the backend's for the first snapshot and new sections.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What it took over, as it differed from the baseline before; empty for the first one.
    pub changes: Vec<Change>,
}

/// What differs now. An item that differed before keeps the time at which it left the baseline.
pub fn drift(
    baseline: &Sections,
    current: &Sections,
    known: &[DriftItem],
    now: DateTime<Utc>,
) -> Vec<DriftItem> {
    let known: BTreeMap<(&str, &str), &DriftItem> = known
        .iter()
        .map(|item| {
            let Change { section, key, .. } = &item.change;
            ((section.as_str(), key.as_str()), item)
        })
        .collect();
    change::diff(baseline, current)
        .into_iter()
        .map(|change| {
            let known = known.get(&(change.section.as_str(), change.key.as_str()));
            let is_same = known.is_some_and(|known| known.change.after == change.after);
            DriftItem {
                since: known.map_or(now, |known| known.since),
                changed_at: known
                    .filter(|_| is_same)
                    .map_or(now, |known| known.changed_at),
                change,
            }
        })
        .collect()
}

/// The baseline after these items took their current value, or all items for `None`; and which of them changed it.
pub fn approve(
    baseline: &Sections,
    current: &Sections,
    items: Option<&BTreeSet<ItemId>>,
) -> (Sections, Vec<Change>) {
    let mut changes = change::diff(baseline, current);
    changes.retain(|change| {
        items.is_none_or(|items| {
            items.contains(&ItemId {
                section: change.section.clone(),
                key: change.key.clone(),
            })
        })
    });
    let mut approved = baseline.clone();
    for change in &changes {
        let Some(section) = approved.get_mut(&change.section) else {
            continue;
        };
        match &change.after {
            Some(value) => section.insert(change.key.clone(), value.clone()),
            None => section.remove(&change.key),
        };
    }
    (approved, changes)
}

/// The baseline with the sections that it does not have yet: what begins to be collected is taken as it is found.
/// `None` when there are no such sections.
pub fn adopt_new_sections(baseline: &Sections, current: &Sections) -> Option<Sections> {
    let new = current
        .iter()
        .filter(|(section, _)| !baseline.contains_key(*section));
    let mut adopted = baseline.clone();
    adopted.extend(new.map(|(section, items)| (section.clone(), items.clone())));
    (adopted.len() > baseline.len()).then_some(adopted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn sections(json: &str) -> Sections {
        serde_json::from_str(json).unwrap()
    }

    fn keys(items: &[DriftItem]) -> Vec<(&str, i64)> {
        items
            .iter()
            .map(|item| (item.change.key.as_str(), item.since.timestamp()))
            .collect()
    }

    #[test]
    fn drift_keeps_the_time_at_which_it_began() {
        let baseline = sections(r#"{"os":{"a":"1","b":"1"}}"#);
        let first = drift(
            &baseline,
            &sections(r#"{"os":{"a":"2","b":"1"}}"#),
            &[],
            at(10),
        );
        assert_eq!(keys(&first), [("a", 10)]);
        let second = drift(
            &baseline,
            &sections(r#"{"os":{"a":"3","b":"2"}}"#),
            &first,
            at(20),
        );
        assert_eq!(keys(&second), [("a", 10), ("b", 20)]);
        assert_eq!(second[0].changed_at, at(20));
        let back = drift(&baseline, &baseline, &second, at(30));
        assert_eq!(back, []);
        let again = drift(
            &baseline,
            &sections(r#"{"os":{"a":"2","b":"1"}}"#),
            &back,
            at(40),
        );
        assert_eq!(keys(&again), [("a", 40)]);
    }

    #[test]
    fn approving_some_items_leaves_the_others() {
        let baseline = sections(r#"{"os":{"a":"1","b":"1","c":"1"}}"#);
        let current = sections(r#"{"os":{"a":"2","c":"3","d":"4"}}"#);
        let some = [("os", "a"), ("os", "b"), ("os", "absent"), ("no", "x")]
            .map(|(section, key)| ItemId {
                section: section.to_owned(),
                key: key.to_owned(),
            })
            .into();
        let (approved, changes) = approve(&baseline, &current, Some(&some));
        assert_eq!(approved, sections(r#"{"os":{"a":"2","c":"1"}}"#));
        assert_eq!(changes.len(), 2);
        let left = drift(&approved, &current, &[], at(0));
        assert_eq!(keys(&left), [("c", 0), ("d", 0)]);
    }

    fn any_sections() -> impl Strategy<Value = Sections> {
        let items = proptest::collection::btree_map("[a-e]", "[1-3]", 0..5);
        proptest::collection::btree_map(
            prop_oneof![Just("os".to_owned()), Just("x".to_owned())],
            items,
            0..3,
        )
    }

    proptest! {
        /// After everything is approved nothing differs, and approving what one sees item by item comes to the same.
        #[test]
        fn approving_all_ends_drift(baseline in any_sections(), current in any_sections()) {
            let baseline = adopt_new_sections(&baseline, &current).unwrap_or(baseline);
            let (approved, changes) = approve(&baseline, &current, None);
            prop_assert!(drift(&approved, &current, &[], at(0)).is_empty());
            let by_item = changes.iter().fold(baseline.clone(), |baseline, change| {
                let item = ItemId { section: change.section.clone(), key: change.key.clone() };
                approve(&baseline, &current, Some(&[item].into())).0
            });
            prop_assert_eq!(by_item, approved);
            prop_assert!(adopt_new_sections(&baseline, &current).is_none());
        }
    }
}
