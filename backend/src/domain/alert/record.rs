//! An alert as it is kept, from the moment it fires: one object for the log, the page and the messages.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rule::{AlertRule, Condition, Severity, quantity};
use super::step::Reason;
use crate::domain::notification::Told;

/// How an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its condition holds, and not yet for long enough.
    Pending,
    /// It fires.
    Firing,
    /// It is over.
    Resolved,
}

/// Why an alert is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The condition holds no longer.
    Cleared,
    /// There is no data any more.
    NoData,
    /// The rule was edited or disabled, or no longer means the host.
    RuleChanged,
    /// The rule was removed.
    RuleDeleted,
    /// The host was removed.
    HostDeleted,
}

impl EndReason {
    /// In words, as in "over: the rule was removed".
    pub fn words(self) -> &'static str {
        match self {
            Self::Cleared => "the condition holds no longer",
            Self::NoData => "there is no data any more",
            Self::RuleChanged => "the rule was changed",
            Self::RuleDeleted => "the rule was removed",
            Self::HostDeleted => "the host was removed",
        }
    }
}

/// Somebody knows of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What they say of it.
    pub comment: String,
}

/// What channels know of an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telling {
    /// Channels that were told that it fires, and are to be told that it is over.
    pub channels: Vec<Uuid>,
    /// When they were told last; never while it is silenced from the start.
    pub last_at: Option<DateTime<Utc>>,
    /// How often they were told again.
    pub repeats: u32,
}

/// The place of an alert: one rule at one host or one instance of its metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The host.
    pub host_id: Uuid,
    /// The rule.
    pub rule_id: Uuid,
    /// The instance, of a metric that has instances.
    pub instance: Option<String>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Identifier, UUIDv7.
    pub alert_id: Uuid,
    /// Its rule.
    pub rule_id: Uuid,
    /// The rule's name.
    pub rule_name: String,
    /// How bad it is.
    pub severity: Severity,
    /// The host.
    pub host_id: Uuid,
    /// The number under which the host's data is kept.
    pub host_number: u32,
    /// The host's name.
    pub host_name: String,
    /// The instance, of a metric that has instances.
    pub instance: Option<String>,
    /// What is watched.
    pub condition: Condition,
    /// The condition as a sentence.
    pub sentence: String,
    /// Since when the condition has held.
    pub pending_at: DateTime<Utc>,
    /// When it began to fire; while it is pending, `None`.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it was over.
    pub end_reason: Option<EndReason>,
    /// Whether it fires because there is no data.
    pub is_no_data: bool,
    /// The value when it began to fire.
    pub value: Option<f64>,
    /// The worst value while it fired, as far as it was written down.
    pub worst_value: Option<f64>,
    /// The value when it was over.
    pub last_value: Option<f64>,
    /// Who knows of it.
    pub acknowledgement: Option<Acknowledgement>,
    /// What channels know of it.
    pub telling: Telling,
}

impl Alert {
    /// How it stands.
    pub fn phase(&self) -> Phase {
        match (self.started_at, self.ended_at) {
            (None, _) => Phase::Pending,
            (Some(_), None) => Phase::Firing,
            (Some(_), Some(_)) => Phase::Resolved,
        }
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place {
            host_id: self.host_id,
            rule_id: self.rule_id,
            instance: self.instance.clone(),
        }
    }

    /// Lets a pending alert fire.
    pub fn fire(&mut self, reason: Reason, value: Option<f64>, now: DateTime<Utc>) {
        self.started_at = Some(now);
        self.is_no_data = reason == Reason::NoData;
        self.value = value.filter(|_| !self.is_no_data);
        self.worst_value = self.value;
    }

    /// Ends it.
    pub fn end(&mut self, reason: EndReason, now: DateTime<Utc>) {
        self.ended_at = Some(now);
        self.end_reason = Some(reason);
    }

    /// Takes over what of its rule people see.
    pub fn follow(&mut self, rule: &AlertRule) -> bool {
        let is_same = self.rule_name == rule.name && self.severity == rule.severity;
        self.rule_name.clone_from(&rule.name);
        self.severity = rule.severity;
        !is_same
    }

    /// What was seen, as a sentence: `disk_usage_percent of /var is 93 %`.
    pub fn summary(&self) -> String {
        let place = match &self.instance {
            Some(instance) => format!(" of {instance}"),
            None => String::new(),
        };
        let value = self.ended_at.and(self.last_value).or(self.value);
        match &self.condition {
            Condition::Threshold(threshold) | Condition::Forecast { threshold, .. } => {
                let metric = &threshold.metric;
                match value {
                    _ if self.is_no_data && self.end_reason != Some(EndReason::Cleared) => {
                        format!("There is no data of {metric}{place}")
                    }
                    Some(value) => {
                        let is = match self.condition {
                            Condition::Forecast { .. } => "is on its way to",
                            _ => "is",
                        };
                        format!("{metric}{place} {is} {}", quantity(metric, value))
                    }
                    None => format!("{metric}{place}"),
                }
            }
            Condition::Absence if self.end_reason == Some(EndReason::Cleared) => {
                format!("{} reports again", self.host_name)
            }
            Condition::Absence => format!(
                "{} has been silent since {}",
                self.host_name,
                self.pending_at.format("%Y-%m-%d %H:%M:%S UTC")
            ),
            Condition::Drift { .. } => match value.filter(|items| *items > 0.0) {
                Some(1.0) => "1 item differs from the baseline".to_owned(),
                Some(items) => format!("{items} items differ from the baseline"),
                None => "The host is at its baseline".to_owned(),
            },
            Condition::HostKey if self.end_reason == Some(EndReason::Cleared) => {
                format!("{} shows the host key that is known", self.host_name)
            }
            Condition::HostKey => format!(
                "{} shows another host key than the one that is known",
                self.host_name
            ),
        }
    }

    /// What a message says of it.
    pub fn told(&self) -> Told {
        Told {
            alert_id: self.alert_id,
            rule_id: self.rule_id,
            rule_name: self.rule_name.clone(),
            severity: self.severity,
            host_id: self.host_id,
            host_name: self.host_name.clone(),
            instance: self.instance.clone(),
            condition: self.sentence.clone(),
            summary: match self.end_reason {
                None | Some(EndReason::Cleared) => self.summary(),
                Some(reason) => format!("{}: {}", self.summary(), reason.words()),
            },
            value: self.ended_at.and(self.last_value).or(self.value),
            started_at: self.started_at.unwrap_or(self.pending_at),
            ended_at: self.ended_at,
        }
    }
}
