//! What changed before an alert: change sets in the order in which somebody should look at them.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::change::{Change, ChangeSet, Disposition};
use crate::domain::snapshot::{ENVIRONMENT, FILES, OS, PACKAGES, SERVICES};

/// Changes this long before an alert may have to do with it.
pub const PRECEDING: TimeDelta = TimeDelta::hours(24);
/// A change this much older counts half.
const HALF_LIFE_SECONDS: f64 = 4.0 * 3600.0;

/// Orders change sets by how likely they have to do with an alert that began at `at`: recent ones first, and among
/// those of like age kernel and packages before services, files and environment. What was ignored comes last.
pub fn rank(change_sets: &mut [ChangeSet], at: DateTime<Utc>) {
    change_sets.sort_by_cached_key(|change_set| {
        // The order of positive numbers is that of their bits.
        std::cmp::Reverse(score(change_set, at).to_bits())
    });
}

fn score(change_set: &ChangeSet, at: DateTime<Utc>) -> f64 {
    let age = (at - change_set.detected_at).num_seconds().max(0) as f64;
    let weight = change_set.items.iter().map(weight).fold(0.0, f64::max);
    weight * (-age / HALF_LIFE_SECONDS).exp2()
}

fn weight(change: &Change) -> f64 {
    let section = match change.section.as_str() {
        OS => 1.0,
        PACKAGES => 0.9,
        SERVICES => 0.8,
        FILES => 0.7,
        ENVIRONMENT => 0.6,
        _ => 0.5,
    };
    match change.disposition {
        Disposition::Drift | Disposition::Expected => section,
        Disposition::Ignored => section * 0.01,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::ChangeKind;
    use uuid::Uuid;

    #[test]
    fn recent_ones_first_then_by_what_changed() {
        let at = DateTime::UNIX_EPOCH + PRECEDING;
        let set = |name: u128, minutes: i64, section: &str, disposition| ChangeSet {
            change_set_id: Uuid::from_u128(name),
            detected_at: at - TimeDelta::minutes(minutes),
            from_snapshot_id: Uuid::nil(),
            items: vec![Change {
                section: section.to_owned(),
                key: String::new(),
                kind: ChangeKind::Changed,
                before: None,
                after: None,
                direction: None,
                disposition,
            }],
        };
        let mut sets = [
            set(1, 600, PACKAGES, Disposition::Drift),
            set(2, 5, ENVIRONMENT, Disposition::Drift),
            set(3, 8, PACKAGES, Disposition::Expected),
            set(4, 1, FILES, Disposition::Ignored),
            set(5, 60, OS, Disposition::Drift),
            // Seen after the alert began, as the snapshot is taken later than the samples.
            set(6, -1, "custom", Disposition::Drift),
        ];
        rank(&mut sets, at);
        let order: Vec<u128> = sets.iter().map(|set| set.change_set_id.as_u128()).collect();
        assert_eq!(order, [3, 5, 2, 6, 1, 4]);
    }
}
