//! Rules that mark changes: some never matter, some were expected at their time. A rule never hides anything.

use chrono::{DateTime, Utc};
use infra_watch_rules::glob;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::Disposition;
use super::host::Host;
use super::selector::Selector;

/// What a rule says of what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftRuleKind {
    /// It does not matter.
    Ignore,
    /// It was planned.
    Expected,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftRule {
    /// Identifier, UUIDv7.
    pub rule_id: Uuid,
    /// What it says.
    pub kind: DriftRuleKind,
    /// Pattern of sections.
    pub section: String,
    /// Pattern of keys.
    pub key: String,
    /// Whose changes.
    pub selector: Selector,
    /// From when on; from ever without it.
    pub from: Option<DateTime<Utc>>,
    /// Until when; for ever without it.
    pub to: Option<DateTime<Utc>>,
    /// Why.
    pub reason: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl DriftRule {
    fn matches(&self, host: &Host, section: &str, key: &str, at: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| from <= at)
            && self.to.is_none_or(|to| at < to)
            && glob::matches(&self.section, section)
            && glob::matches(&self.key, key)
            && self.selector.matches(host)
    }
}

/// What rules say of an item of `host` that changed at `at`; to ignore is stronger than to expect.
pub fn disposition<'a>(
    rules: impl IntoIterator<Item = &'a DriftRule>,
    host: &Host,
    section: &str,
    key: &str,
    at: DateTime<Utc>,
) -> Disposition {
    rules
        .into_iter()
        .filter(|rule| rule.matches(host, section, key, at))
        .map(|rule| match rule.kind {
            DriftRuleKind::Ignore => Disposition::Ignored,
            DriftRuleKind::Expected => Disposition::Expected,
        })
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::tests::host;
    use chrono::TimeDelta;

    #[test]
    fn rules_mark_what_they_match() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let rule = |kind, section: &str, key: &str, window: (Option<i64>, Option<i64>)| DriftRule {
            rule_id: Uuid::nil(),
            kind,
            section: section.to_owned(),
            key: key.to_owned(),
            selector: Selector {
                labels: [("role".to_owned(), "web".to_owned())].into(),
                host_ids: None,
            },
            from: window.0.map(at),
            to: window.1.map(at),
            reason: String::new(),
            created_by: String::new(),
            created_at: at(0),
        };
        let web = Host {
            labels: [("role".to_owned(), "web".to_owned())].into(),
            ..host("web-1")
        };
        let rules = [
            rule(DriftRuleKind::Ignore, "packages", "*tzdata*", (None, None)),
            rule(DriftRuleKind::Expected, "*", "*", (Some(10), Some(20))),
        ];
        let check = |host: &Host, key: &str, seconds, expect| {
            let found = disposition(&rules, host, "packages", key, at(seconds));
            assert_eq!(found, expect, "{key} at {seconds}");
        };
        check(&web, "dpkg/tzdata:all", 0, Disposition::Ignored);
        check(&web, "dpkg/tzdata:all", 15, Disposition::Ignored);
        check(&web, "dpkg/bash:amd64", 9, Disposition::Drift);
        check(&web, "dpkg/bash:amd64", 10, Disposition::Expected);
        check(&web, "dpkg/bash:amd64", 19, Disposition::Expected);
        check(&web, "dpkg/bash:amd64", 20, Disposition::Drift);
        check(&host("db-1"), "dpkg/tzdata:all", 0, Disposition::Drift);
    }
}
