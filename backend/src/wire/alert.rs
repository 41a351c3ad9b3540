//! Alert rules and alerts in JSON.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::ChangeSet;
use super::drift::Selector;
use super::notification::Notification;
use super::scalar::{List, MetricName, Nullable, Number, Text, Whole};
use crate::domain::alert::rule::{self, MAX_FOR_SECONDS, MAX_WITHIN_SECONDS, MIN_REPEAT_SECONDS};
use crate::domain::alert::{EndReason, Phase};

/// A time that a rule waits for, in seconds.
pub type ForSeconds = Whole<0, { MAX_FOR_SECONDS as i64 }>;
/// A time between two messages, in seconds; 0 for never.
pub type RepeatSeconds = Whole<0, 2_592_000>;
/// Most channels of a rule.
const MAX_CHANNELS: usize = 20;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should look at it.
    Warning,
    /// Somebody must look at it now.
    Critical,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Operator {
    /// Greater than.
    Gt,
    /// Greater than, or equal.
    Gte,
    /// Less than.
    Lt,
    /// Less than, or equal.
    Lte,
}

/// What a rule watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum ConditionKind {
    /// The values of a metric.
    Threshold,
    /// Where the trend of a metric over the last six hours leads to.
    Forecast,
    /// The host is silent.
    Absence,
    /// Items differ from the host's baseline, and nobody expected it.
    Drift,
    /// The host shows another host key, or certificate, than the one that is known.
    HostKey,
}

/// What a series without data means while its host reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum NoData {
    /// Nothing: all stays as it is.
    Keep,
    /// What fired is over.
    Resolve,
    /// It is a reason to fire.
    Alert,
}

/// Pairs of variants that mean the same.
macro_rules! same {
    ($wire:ident, $domain:path: $($variant:ident)*) => {
        impl From<$domain> for $wire {
            fn from(value: $domain) -> Self {
                match value { $(<$domain>::$variant => Self::$variant,)* }
            }
        }

        impl From<$wire> for $domain {
            fn from(value: $wire) -> Self {
                match value { $($wire::$variant => Self::$variant,)* }
            }
        }
    };
}

same!(Severity, rule::Severity: Warning Critical);
same!(Operator, rule::Operator: Gt Gte Lt Lte);
same!(NoData, rule::NoData: Keep Resolve Alert);

/// What a rule watches: `threshold` takes metric, instance, operator and value; `forecast` those and within_seconds;
/// `drift` section and key; `absence` and `host_key` nothing.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct Condition {
    /// What is watched.
    pub kind: ConditionKind,
    /// Name of the metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricName>,
    /// One instance, such as a mount point; every instance if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Text<1, 1024>>,
    /// Which side of the value is bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
    /// The bound, in the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Number>,
    /// How far a forecast looks ahead, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_seconds: Option<Whole<60, { MAX_WITHIN_SECONDS as i64 }>>,
    /// Pattern of sections; every section if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<Text<1, 64>>,
    /// Pattern of keys; every key if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Text<1, 1024>>,
}

/// A field of a condition, and what is wrong with it.
pub type Fault = (&'static str, &'static str);

impl Condition {
    /// Into the words of the domain.
    ///
    /// # Errors
    /// What is missing, or does not belong to its kind.
    pub fn into_domain(self) -> Result<rule::Condition, Fault> {
        let has_metric = matches!(
            self.kind,
            ConditionKind::Threshold | ConditionKind::Forecast
        );
        let foreign = [
            ("condition.metric", self.metric.is_some() && !has_metric),
            ("condition.instance", self.instance.is_some() && !has_metric),
            ("condition.operator", self.operator.is_some() && !has_metric),
            ("condition.value", self.value.is_some() && !has_metric),
            (
                "condition.within_seconds",
                self.within_seconds.is_some() && self.kind != ConditionKind::Forecast,
            ),
            (
                "condition.section",
                self.section.is_some() && self.kind != ConditionKind::Drift,
            ),
            (
                "condition.key",
                self.key.is_some() && self.kind != ConditionKind::Drift,
            ),
        ];
        if let Some((field, _)) = foreign.into_iter().find(|(_, is_foreign)| *is_foreign) {
            return Err((field, "does not belong to this kind of condition"));
        }
        let missing = |field| (field, "is needed for this kind of condition");
        let threshold = |condition: Self| -> Result<_, Fault> {
            Ok(rule::Threshold {
                metric: condition.metric.ok_or(missing("condition.metric"))?.0,
                instance: condition.instance.map(|instance| instance.0),
                operator: condition
                    .operator
                    .ok_or(missing("condition.operator"))?
                    .into(),
                value: condition.value.ok_or(missing("condition.value"))?.0,
            })
        };
        Ok(match self.kind {
            ConditionKind::Threshold => rule::Condition::Threshold(threshold(self)?),
            ConditionKind::Forecast => {
                let within = self.within_seconds;
                let within = within.ok_or(missing("condition.within_seconds"))?.0;
                rule::Condition::Forecast {
                    threshold: threshold(self)?,
                    within_seconds: u32::try_from(within).unwrap_or(MAX_WITHIN_SECONDS),
                }
            }
            ConditionKind::Absence => rule::Condition::Absence,
            ConditionKind::HostKey => rule::Condition::HostKey,
            ConditionKind::Drift => rule::Condition::Drift {
                section: self.section.map(|section| section.0),
                key: self.key.map(|key| key.0),
            },
        })
    }
}

impl From<&rule::Condition> for Condition {
    fn from(condition: &rule::Condition) -> Self {
        let threshold = condition.threshold();
        let (section, key) = match condition {
            rule::Condition::Drift { section, key } => (section.clone(), key.clone()),
            _ => (None, None),
        };
        Self {
            kind: match condition {
                rule::Condition::Threshold(_) => ConditionKind::Threshold,
                rule::Condition::Forecast { .. } => ConditionKind::Forecast,
                rule::Condition::Absence => ConditionKind::Absence,
                rule::Condition::HostKey => ConditionKind::HostKey,
                rule::Condition::Drift { .. } => ConditionKind::Drift,
            },
            metric: threshold.map(|threshold| MetricName(threshold.metric.clone())),
            instance: threshold.and_then(|threshold| threshold.instance.clone().map(Text)),
            operator: threshold.map(|threshold| threshold.operator.into()),
            value: threshold.map(|threshold| Number(threshold.value)),
            within_seconds: match condition {
                rule::Condition::Forecast { within_seconds, .. } => {
                    Some(Whole(i64::from(*within_seconds)))
                }
                _ => None,
            },
            section: section.map(Text),
            key: key.map(Text),
        }
    }
}

/// A rule, or a rule to be tried.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct CreateAlertRule {
    /// Its name, which is that of its alerts.
    pub name: Text<1, 200>,
    /// How bad it is when it fires.
    pub severity: Severity,
    /// Whether it is evaluated; yes if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// On which hosts; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// What is watched.
    pub condition: Condition,
    /// For how long the condition must hold before it fires; 0 for at once. A silent host is taken for down after
    /// four of its intervals and 60 s, unless a time is given here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<ForSeconds>,
    /// The bound that values must be back behind for the alert to be over; the condition's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_value: Option<Number>,
    /// For how long they must be back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_for_seconds: Option<ForSeconds>,
    /// What a series without data means while its host reports; `keep` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data: Option<NoData>,
    /// While it fires and nobody acknowledged it, tell again after so long, at least 60 s; 0 or absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_interval_seconds: Option<RepeatSeconds>,
    /// Who is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<List<Uuid, MAX_CHANNELS>>,
}

/// What shall be different of a rule; what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct UpdateAlertRule {
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<1, 200>>,
    /// Another severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Whether it is evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Other hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Another condition, as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// For how long the condition must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<ForSeconds>,
    /// Another bound for being over; the condition's own value for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_value: Option<Number>,
    /// For how long values must be back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_for_seconds: Option<ForSeconds>,
    /// What a series without data means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data: Option<NoData>,
    /// Tell again after so long; 0 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_interval_seconds: Option<RepeatSeconds>,
    /// All who are told, in place of those who are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<List<Uuid, MAX_CHANNELS>>,
}

/// A rule.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct AlertRule {
    /// Identifier.
    pub rule_id: Uuid,
    /// Its name.
    pub name: String,
    /// How bad it is when it fires.
    pub severity: Severity,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// On which hosts.
    pub selector: Selector,
    /// What is watched.
    pub condition: Condition,
    /// The condition as a sentence.
    pub sentence: String,
    /// For how long the condition must hold before it fires.
    pub for_seconds: u32,
    /// The bound that values must be back behind.
    pub clear_value: Nullable<Number>,
    /// For how long they must be back.
    pub clear_for_seconds: u32,
    /// What a series without data means.
    pub no_data: NoData,
    /// Tell again after so long.
    pub repeat_interval_seconds: Nullable<u32>,
    /// Who is told.
    pub channels: Vec<Uuid>,
    /// Whether it came with the product and was not edited since.
    pub is_default: bool,
    /// Number of its alerts that fire.
    pub firing_alerts: u32,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was last edited.
    pub updated_at: DateTime<Utc>,
}

/// Seconds as the domain has them.
pub fn seconds<const MAX: i64>(seconds: Option<Whole<0, MAX>>) -> Option<u32> {
    seconds.and_then(|seconds| u32::try_from(seconds.0).ok())
}

/// The repeat interval in the words of the domain: 0 is none.
///
/// # Errors
/// For an interval that is too short.
pub fn repeat_interval(interval: Option<RepeatSeconds>) -> Result<Option<Option<u32>>, Fault> {
    match seconds(interval) {
        None => Ok(None),
        Some(0) => Ok(Some(None)),
        Some(seconds) if seconds < MIN_REPEAT_SECONDS => {
            Err(("repeat_interval_seconds", "must be 0, or at least 60"))
        }
        Some(seconds) => Ok(Some(Some(seconds))),
    }
}

/// When a rule would have fired.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Preview {
    /// Times at which it would have fired, the latest first; at most 1,000.
    pub firings: Vec<Firing>,
    /// How often in all.
    pub firing_count: u64,
    /// Hosts that were looked at.
    pub host_count: u64,
}

/// One time at which a rule would have fired.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Firing {
    /// The host.
    pub host_id: Uuid,
    /// Its name.
    pub host_name: String,
    /// The instance, where the metric has instances.
    pub instance: Nullable<String>,
    /// When it would have begun.
    pub started_at: DateTime<Utc>,
    /// When it would have been over; `null` if it would still fire at the end.
    pub ended_at: Nullable<DateTime<Utc>>,
}

/// How an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum AlertState {
    /// Its condition holds, and not yet for long enough.
    Pending,
    /// It fires.
    Firing,
    /// It is over.
    Resolved,
}

impl From<Phase> for AlertState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Pending => Self::Pending,
            Phase::Firing => Self::Firing,
            Phase::Resolved => Self::Resolved,
        }
    }
}

/// Why an alert is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum AlertEnd {
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

impl From<EndReason> for AlertEnd {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::Cleared => Self::Cleared,
            EndReason::NoData => Self::NoData,
            EndReason::RuleChanged => Self::RuleChanged,
            EndReason::RuleDeleted => Self::RuleDeleted,
            EndReason::HostDeleted => Self::HostDeleted,
        }
    }
}

/// Somebody knows of it.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What they say of it.
    pub comment: String,
}

/// An alert.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Alert {
    /// Identifier.
    pub alert_id: Uuid,
    /// How it stands.
    pub state: AlertState,
    /// Its rule.
    pub rule_id: Uuid,
    /// The rule's name at the time.
    pub rule_name: String,
    /// How bad it is.
    pub severity: Severity,
    /// The host.
    pub host_id: Uuid,
    /// The host's name at the time.
    pub host_name: String,
    /// The instance, where the metric has instances.
    pub instance: Nullable<String>,
    /// What is watched.
    pub condition: Condition,
    /// The condition as a sentence.
    pub sentence: String,
    /// What was seen, as a sentence.
    pub summary: String,
    /// Since when the condition has held.
    pub pending_at: DateTime<Utc>,
    /// When it began to fire.
    pub started_at: Nullable<DateTime<Utc>>,
    /// When it was over.
    pub ended_at: Nullable<DateTime<Utc>>,
    /// Why it was over.
    pub end_reason: Nullable<AlertEnd>,
    /// Whether it fires because there is no data.
    pub is_no_data: bool,
    /// The value when it began to fire; the latest one while it is pending.
    pub value: Nullable<Number>,
    /// The worst value while it fired.
    pub worst_value: Nullable<Number>,
    /// The latest value, or that when it was over.
    pub latest_value: Nullable<Number>,
    /// The metric's unit.
    pub unit: Nullable<String>,
    /// Who knows of it.
    pub acknowledgement: Nullable<Acknowledgement>,
    /// Whether a silence keeps it from being told now.
    pub is_silenced: bool,
    /// Who was told, newest first; of one alert alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notifications: Option<Vec<Notification>>,
    /// What changed on the host in the 24 hours before, by recency and kind; of one alert alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_before: Option<Vec<ChangeSet>>,
}

/// Somebody takes an alert on.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
pub struct AcknowledgeAlert {
    /// What they say of it.
    pub comment: Text<0, 1024>,
}
