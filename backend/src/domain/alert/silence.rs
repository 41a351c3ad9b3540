//! Silences: times in which nobody is told.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::host::Host;
use crate::domain::selector::Selector;

/// A time in which nobody is told of some alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Identifier, UUIDv7.
    pub silence_id: Uuid,
    /// Alerts of which hosts.
    pub selector: Selector,
    /// Alerts of this rule alone.
    pub rule_id: Option<Uuid>,
    /// From when on.
    pub from: DateTime<Utc>,
    /// Until when.
    pub to: DateTime<Utc>,
    /// Why.
    pub comment: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl Silence {
    /// Whether it keeps an alert of a rule at a host from being told at `now`.
    pub fn covers(&self, rule_id: Uuid, host: &Host, now: DateTime<Utc>) -> bool {
        self.from <= now
            && now < self.to
            && self.rule_id.is_none_or(|meant| meant == rule_id)
            && self.selector.matches(host)
    }
}
