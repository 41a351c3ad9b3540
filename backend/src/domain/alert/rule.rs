//! Alert rules: what is watched, on which hosts, for how long, and who is told.

use chrono::{DateTime, Utc};
use infra_watch_rules::glob;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::metric;
use crate::domain::selector::Selector;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should look at it.
    Warning,
    /// Somebody must look at it now.
    Critical,
}

impl Severity {
    /// The name as documents say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

impl Operator {
    /// Whether `value` stands so to `bound`.
    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Gt => value > bound,
            Self::Gte => value >= bound,
            Self::Lt => value < bound,
            Self::Lte => value <= bound,
        }
    }

    /// Whether greater values are worse.
    pub fn is_upper(self) -> bool {
        matches!(self, Self::Gt | Self::Gte)
    }

    /// In words, as in "CPU is above 90 %".
    pub fn words(self) -> &'static str {
        match self {
            Self::Gt => "above",
            Self::Gte => "at or above",
            Self::Lt => "below",
            Self::Lte => "at or below",
        }
    }
}

/// A bound that values of a metric are held against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Name of the metric.
    pub metric: String,
    /// One instance, such as a mount point; every instance without it.
    pub instance: Option<String>,
    /// Which side of the value is bad.
    pub operator: Operator,
    /// The bound, in the metric's unit.
    pub value: f64,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Condition {
    /// The values themselves.
    Threshold(Threshold),
    /// Where the trend of the last six hours leads to.
    Forecast {
        /// The bound that would be reached.
        #[serde(flatten)]
        threshold: Threshold,
        /// How far to look ahead, in seconds.
        within_seconds: u32,
    },
    /// The host is silent.
    Absence,
    /// Items differ from the host's baseline, unexpected.
    Drift {
        /// Pattern of sections; every section without it.
        section: Option<String>,
        /// Pattern of keys; every key without it.
        key: Option<String>,
    },
    /// The host shows another host key, or certificate, than the one that is known.
    HostKey,
}

impl Condition {
    /// The bound and the metric, where the condition is about one.
    pub fn threshold(&self) -> Option<&Threshold> {
        match self {
            Self::Threshold(threshold) | Self::Forecast { threshold, .. } => Some(threshold),
            Self::Absence | Self::Drift { .. } | Self::HostKey => None,
        }
    }

    /// Whether an alert of one goes on under the other: both are about the same measurement or fact.
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        let metric = |condition: &Self| {
            let threshold = condition.threshold();
            threshold.map(|threshold| threshold.metric.clone())
        };
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && metric(self) == metric(other)
    }

    /// Whether a condition on drift means this item.
    pub fn means_item(&self, section: &str, key: &str) -> bool {
        let Self::Drift {
            section: sections,
            key: keys,
        } = self
        else {
            return false;
        };
        let fits = |pattern: &Option<String>, text| {
            pattern
                .as_ref()
                .is_none_or(|pattern| glob::matches(pattern, text))
        };
        fits(sections, section) && fits(keys, key)
    }
}

/// What a series without data means while its host reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoData {
    /// Nothing: all stays as it is.
    #[default]
    Keep,
    /// What fired is over.
    Resolve,
    /// It is a reason to fire.
    Alert,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRule {
    /// Identifier, UUIDv7.
    pub rule_id: Uuid,
    /// Its name, which is that of its alerts.
    pub name: String,
    /// How bad it is when it fires.
    pub severity: Severity,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// On which hosts.
    pub selector: Selector,
    /// What is watched.
    pub condition: Condition,
    /// For how long the condition must hold before it fires.
    pub for_seconds: u32,
    /// The bound that a value must be back behind for the alert to be over; the condition's own without it.
    pub clear_value: Option<f64>,
    /// For how long it must be back.
    pub clear_for_seconds: u32,
    /// What a series without data means.
    pub no_data: NoData,
    /// While it fires and nobody acknowledged it, tell again after so long; never without it.
    pub repeat_interval_seconds: Option<u32>,
    /// Who is told.
    pub channels: Vec<Uuid>,
    /// Whether it came with the product, and nobody has edited it since.
    pub is_default: bool,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was last edited.
    pub updated_at: DateTime<Utc>,
}

/// Longest `for_seconds` and `clear_for_seconds`: single measurements are kept for longer than that.
pub const MAX_FOR_SECONDS: u32 = 7 * 86_400;
/// Shortest time between two messages about the same alert, in seconds.
pub const MIN_REPEAT_SECONDS: u32 = 60;
/// Farthest that a forecast looks ahead, in seconds.
pub const MAX_WITHIN_SECONDS: u32 = 90 * 86_400;

impl AlertRule {
    /// What is wrong with the rule by itself: field and message.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let clear = self.clear_value;
        if let Some(threshold) = self.condition.threshold() {
            let is_behind = |clear: f64| {
                if threshold.operator.is_upper() {
                    clear <= threshold.value
                } else {
                    clear >= threshold.value
                }
            };
            if clear.is_some_and(|clear| !is_behind(clear)) {
                return Some((
                    "clear_value",
                    if threshold.operator.is_upper() {
                        "must not be above the condition's value"
                    } else {
                        "must not be below the condition's value"
                    },
                ));
            }
        } else if clear.is_some() {
            return Some(("clear_value", "is only for conditions on a metric"));
        }
        None
    }

    /// Whether a value is bad.
    pub fn breaches(&self, value: f64) -> bool {
        self.condition
            .threshold()
            .is_some_and(|threshold| threshold.operator.holds(value, threshold.value))
    }

    /// Whether a value is good enough for the alert to be over.
    pub fn clears(&self, value: f64) -> bool {
        self.condition.threshold().is_some_and(|threshold| {
            let bound = self.clear_value.unwrap_or(threshold.value);
            !threshold.operator.holds(value, bound)
        })
    }

    /// The condition as a sentence, such as "CPU usage is above 90 % for 5 min".
    pub fn sentence(&self) -> String {
        let lasting = |subject: String| match self.for_seconds {
            0 => subject,
            seconds => format!("{subject} for {}", duration(seconds)),
        };
        match &self.condition {
            Condition::Threshold(threshold) => lasting(format!(
                "{} is {} {}",
                subject(threshold),
                threshold.operator.words(),
                quantity(&threshold.metric, threshold.value)
            )),
            Condition::Forecast {
                threshold,
                within_seconds,
            } => lasting(format!(
                "{} will be {} {} within {}",
                subject(threshold),
                threshold.operator.words(),
                quantity(&threshold.metric, threshold.value),
                duration(*within_seconds)
            )),
            Condition::Absence => lasting("The host is silent".to_owned()),
            Condition::HostKey => {
                lasting("The host shows another host key than the one that is known".to_owned())
            }
            Condition::Drift { section, key } => lasting(format!(
                "{}/{} differs from the baseline",
                section.as_deref().unwrap_or("*"),
                key.as_deref().unwrap_or("*")
            )),
        }
    }
}

fn subject(threshold: &Threshold) -> String {
    match &threshold.instance {
        Some(instance) => format!("{} of {instance}", threshold.metric),
        None => threshold.metric.clone(),
    }
}

/// A value with its unit, as people read it: `93.4 %`, `12 By/s`.
pub fn quantity(name: &str, value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    match metric::unit(name) {
        "1" => rounded.to_string(),
        unit => format!("{rounded} {unit}"),
    }
}

/// A time span in its greatest whole unit: `90 s`, `5 min`, `24 h`, `3 d`.
pub fn duration(seconds: u32) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    units
        .into_iter()
        .find(|(unit, _)| {
            seconds.is_multiple_of(*unit)
                && (seconds > *unit || (seconds == *unit && *unit < 86_400))
        })
        .map_or_else(
            || format!("{seconds} s"),
            |(unit, name)| format!("{} {name}", seconds / unit),
        )
}
