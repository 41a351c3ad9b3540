//! Drift: approvals over many hosts, and the rules that mark changes.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::configuration::{self, Approved};
use super::{Caller, FlowError, note};
use crate::app::App;
use crate::domain::baseline::ItemId;
use crate::domain::drift_rule::{DriftRule, DriftRuleKind};
use crate::domain::id;
use crate::domain::selector::Selector;

/// Most rules: each change is held against all of them.
const MAX_RULES: usize = 1_000;

/// Approves drift of every host that is selected and differs from its baseline.
///
/// # Errors
/// The store's; hosts that came before are approved by then, and doing it again does the rest.
pub async fn approve(
    app: &App,
    caller: &Caller,
    selector: &Selector,
    items: Option<&BTreeSet<ItemId>>,
    reason: &str,
) -> Result<Approved, FlowError> {
    let actor = caller.actor();
    let mut total = Approved::default();
    for host in app.store.state.hosts.all() {
        let drift = app.store.state.drift.get(host.host_id);
        let differs = drift.is_some_and(|drift| !drift.items.is_empty());
        if !differs || !selector.matches(&host) {
            continue;
        }
        match configuration::approve(app, &actor, host.host_id, items, reason).await {
            Ok(Approved { hosts, items }) => {
                total.hosts += hosts;
                total.items += items;
            }
            // Deleted meanwhile.
            Err(FlowError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// A rule to be made.
pub struct NewDriftRule {
    /// What it says.
    pub kind: DriftRuleKind,
    /// Pattern of sections.
    pub section: String,
    /// Pattern of keys.
    pub key: String,
    /// Whose changes.
    pub selector: Selector,
    /// From when on.
    pub from: Option<DateTime<Utc>>,
    /// Until when.
    pub to: Option<DateTime<Utc>>,
    /// Why.
    pub reason: String,
}

/// Makes a rule.
///
/// # Errors
/// [`FlowError::Invalid`] for a window that never is, and [`FlowError::Conflict`] when there are too many rules.
pub async fn create_rule(
    app: &App,
    caller: &Caller,
    new: NewDriftRule,
) -> Result<DriftRule, FlowError> {
    let now = app.clock.now();
    if new.from.zip(new.to).is_some_and(|(from, to)| to <= from) {
        return Err(FlowError::invalid("to", "must be after from"));
    }
    let rule = DriftRule {
        rule_id: id::new(now),
        kind: new.kind,
        section: new.section,
        key: new.key,
        selector: new.selector,
        from: new
            .from
            .or((new.kind == DriftRuleKind::Expected).then_some(now)),
        to: new.to,
        reason: new.reason,
        created_by: caller.actor().name,
        created_at: now,
    };
    if rule.from.zip(rule.to).is_some_and(|(from, to)| to <= from) {
        return Err(FlowError::invalid("to", "is over"));
    }
    app.store
        .state
        .change(|change| {
            if change.state.drift_rules.len() >= MAX_RULES {
                return Err(FlowError::Conflict(
                    "there are 1000 rules; delete one first",
                ));
            }
            let name = format!("{}/{}", rule.section, rule.key);
            note(
                change,
                now,
                caller.actor(),
                "drift_rule.create",
                Some(rule.rule_id),
                &name,
            );
            change.put(rule.clone());
            Ok(rule)
        })
        .await
}

/// Removes a rule. What it marked while it was in force stays marked in the history of changes.
///
/// # Errors
/// [`FlowError::NotFound`].
pub async fn delete_rule(app: &App, caller: &Caller, rule_id: Uuid) -> Result<(), FlowError> {
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            let rule = change.state.drift_rules.get(rule_id);
            let rule = rule.ok_or(FlowError::NotFound("rule"))?;
            let name = format!("{}/{}", rule.section, rule.key);
            note(
                change,
                now,
                caller.actor(),
                "drift_rule.delete",
                Some(rule_id),
                &name,
            );
            change.delete::<DriftRule>(rule_id);
            Ok(())
        })
        .await
}
