//! Alert rules: made, changed, removed, and those that come with the product.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Caller, FlowError, note, set};
use crate::app::App;
use crate::domain::alert::rule::{AlertRule, Condition, NoData, Operator, Severity, Threshold};
use crate::domain::id;
use crate::domain::metric;
use crate::domain::selector::Selector;
use crate::store::audit::Actor;
use crate::store::kv::Table;
use crate::store::state::{Change, State};

/// Most rules that there may be.
const MAX_RULES: usize = 1_000;
/// Key in table `meta` that says which default rules were made, as the number of the last build that brought some; who
/// removes them does not want them.
const DEFAULTS_KEY: &[u8] = b"default_alert_rules";
/// How many default rules there were after each build that brought some.
const DEFAULTS: [usize; 2] = [6, 7];

/// A rule to be made.
#[derive(Clone, Debug)]
pub struct NewAlertRule {
    /// Its name.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// On which hosts.
    pub selector: Selector,
    /// What is watched.
    pub condition: Condition,
    /// For how long.
    pub for_seconds: u32,
    /// The bound for being over.
    pub clear_value: Option<f64>,
    /// For how long values must be back.
    pub clear_for_seconds: u32,
    /// What a series without data means.
    pub no_data: NoData,
    /// Tell again after so long.
    pub repeat_interval_seconds: Option<u32>,
    /// Who is told.
    pub channels: Vec<Uuid>,
}

/// What shall be different of a rule.
#[derive(Clone, Debug, Default)]
pub struct RuleUpdate {
    /// Another name.
    pub name: Option<String>,
    /// Another severity.
    pub severity: Option<Severity>,
    /// Whether it is evaluated.
    pub enabled: Option<bool>,
    /// Other hosts.
    pub selector: Option<Selector>,
    /// Another condition.
    pub condition: Option<Condition>,
    /// For how long.
    pub for_seconds: Option<u32>,
    /// Another bound for being over.
    pub clear_value: Option<f64>,
    /// For how long values must be back.
    pub clear_for_seconds: Option<u32>,
    /// What a series without data means.
    pub no_data: Option<NoData>,
    /// Tell again after so long, or never.
    pub repeat_interval_seconds: Option<Option<u32>>,
    /// All who are told.
    pub channels: Option<Vec<Uuid>>,
}

/// A rule that is not kept yet: checked as if it were to be.
///
/// # Errors
/// [`FlowError::Invalid`] for a rule that contradicts itself, an unknown metric and an unknown channel.
pub fn draft(app: &App, new: NewAlertRule, by: &str) -> Result<AlertRule, FlowError> {
    let now = app.clock.now();
    let rule = AlertRule {
        rule_id: id::new(now),
        name: new.name,
        severity: new.severity,
        enabled: new.enabled,
        selector: new.selector,
        clear_value: meaningful_clear_value(&new.condition, new.clear_value),
        condition: new.condition,
        for_seconds: new.for_seconds,
        clear_for_seconds: new.clear_for_seconds,
        no_data: new.no_data,
        repeat_interval_seconds: new.repeat_interval_seconds,
        channels: distinct(new.channels),
        is_default: false,
        created_by: by.to_owned(),
        created_at: now,
        updated_at: now,
    };
    check(app, &rule)?;
    Ok(rule)
}

/// Makes a rule.
///
/// # Errors
/// As [`draft`], and [`FlowError::Conflict`] when there are too many rules.
pub async fn create(app: &App, caller: &Caller, new: NewAlertRule) -> Result<AlertRule, FlowError> {
    let now = app.clock.now();
    let rule = draft(app, new, &caller.actor().name)?;
    app.store
        .state
        .change(|change| {
            if change.state.alert_rules.len() >= MAX_RULES {
                return Err(FlowError::Conflict(
                    "there are 1000 rules; delete one first",
                ));
            }
            check_channels(change.state, &rule)?;
            put(change, now, caller.actor(), "alert_rule.create", &rule);
            Ok(rule)
        })
        .await
}

/// Changes a rule; what fires by it goes on, is over, or begins as the changed rule says.
///
/// # Errors
/// [`FlowError::NotFound`], and as [`draft`].
pub async fn update(
    app: &App,
    caller: &Caller,
    rule_id: Uuid,
    update: RuleUpdate,
) -> Result<AlertRule, FlowError> {
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            let rule = change.state.alert_rules.get(rule_id);
            let mut rule = (*rule.ok_or(FlowError::NotFound("rule"))?).clone();
            let RuleUpdate {
                name,
                severity,
                enabled,
                selector,
                condition,
                for_seconds,
                clear_value,
                clear_for_seconds,
                no_data,
                repeat_interval_seconds,
                channels,
            } = update;
            let is_about_metric = condition
                .as_ref()
                .is_none_or(|condition| condition.threshold().is_some());
            let clear_value = clear_value.or(rule.clear_value.filter(|_| is_about_metric));
            set(&mut rule.name, name);
            set(&mut rule.severity, severity);
            set(&mut rule.enabled, enabled);
            set(&mut rule.selector, selector);
            set(&mut rule.condition, condition);
            set(&mut rule.for_seconds, for_seconds);
            rule.clear_value = meaningful_clear_value(&rule.condition, clear_value);
            set(&mut rule.clear_for_seconds, clear_for_seconds);
            set(&mut rule.no_data, no_data);
            set(&mut rule.repeat_interval_seconds, repeat_interval_seconds);
            set(&mut rule.channels, channels.map(distinct));
            rule.is_default = false;
            rule.updated_at = now;
            check(app, &rule)?;
            check_channels(change.state, &rule)?;
            put(change, now, caller.actor(), "alert_rule.update", &rule);
            Ok(rule)
        })
        .await
}

/// Removes a rule. What fires by it is over with the next evaluation, and stays in the log.
///
/// # Errors
/// [`FlowError::NotFound`].
pub async fn delete(app: &App, caller: &Caller, rule_id: Uuid) -> Result<(), FlowError> {
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            let rule = change.state.alert_rules.get(rule_id);
            let rule = rule.ok_or(FlowError::NotFound("rule"))?;
            let actor = caller.actor();
            note(
                change,
                now,
                actor,
                "alert_rule.delete",
                Some(rule_id),
                &rule.name,
            );
            change.delete::<AlertRule>(rule_id);
            Ok(())
        })
        .await
}

/// Makes the rules that come with the product, once in the life of a store.
///
/// # Errors
/// The store's.
pub async fn create_defaults(app: &App) -> Result<(), FlowError> {
    let made = app
        .store
        .kv
        .get_many(Table::Meta, vec![DEFAULTS_KEY.to_vec()])
        .await?;
    let made = made.into_iter().flatten().next();
    let builds = made.and_then(|bytes| bytes.first().copied());
    let builds = usize::from(builds.unwrap_or_default());
    if builds >= DEFAULTS.len() {
        return Ok(());
    }
    let known = builds.checked_sub(1).and_then(|last| DEFAULTS.get(last));
    let known = known.copied().unwrap_or_default();
    let now = app.clock.now();
    app.store
        .state
        .change(|change| {
            for rule in defaults(now).into_iter().skip(known) {
                put(change, now, Actor::system(), "alert_rule.create", &rule);
            }
            let done = Bytes::from(vec![DEFAULTS.len() as u8]);
            change.batch().put(Table::Meta, DEFAULTS_KEY.to_vec(), done);
            Ok(())
        })
        .await
}

/// The rules that come with the product.
fn defaults(now: DateTime<Utc>) -> [AlertRule; DEFAULTS[DEFAULTS.len() - 1]] {
    let mut last_id = None;
    // Ids of one moment have no order, and these are listed in theirs.
    let mut next_id = || *last_id.insert(id::after(now, last_id));
    let mut rule = |name: &str, severity, condition, for_seconds, clear_value, no_data| AlertRule {
        rule_id: next_id(),
        name: name.to_owned(),
        severity,
        enabled: true,
        selector: Selector::default(),
        condition,
        for_seconds,
        clear_value,
        clear_for_seconds: 0,
        no_data,
        repeat_interval_seconds: None,
        channels: Vec::new(),
        is_default: true,
        created_by: Actor::system().name,
        created_at: now,
        updated_at: now,
    };
    let above = |metric: &str, operator, value| Threshold {
        metric: metric.to_owned(),
        instance: None,
        operator,
        value,
    };
    let usage = |metric, value| Condition::Threshold(above(metric, Operator::Gt, value));
    let five_minutes = 300;
    // An unmounted disk is no longer full; a process that died took its load with it only if the host says so.
    let (gone, keep) = (NoData::Resolve, NoData::Keep);
    [
        rule(
            "Host down",
            Severity::Critical,
            Condition::Absence,
            0,
            None,
            keep,
        ),
        rule(
            "CPU above 90 %",
            Severity::Warning,
            usage("cpu_usage_percent", 90.0),
            five_minutes,
            Some(80.0),
            keep,
        ),
        rule(
            "Memory above 90 %",
            Severity::Warning,
            usage("memory_usage_percent", 90.0),
            five_minutes,
            Some(85.0),
            keep,
        ),
        rule(
            "Disk above 80 %",
            Severity::Warning,
            usage("disk_usage_percent", 80.0),
            five_minutes,
            Some(78.0),
            gone,
        ),
        rule(
            "Disk above 90 %",
            Severity::Critical,
            usage("disk_usage_percent", 90.0),
            five_minutes,
            Some(88.0),
            gone,
        ),
        rule(
            "Disk full within 24 h",
            Severity::Warning,
            Condition::Forecast {
                threshold: above("disk_usage_percent", Operator::Gte, 100.0),
                within_seconds: 86_400,
            },
            1800,
            None,
            gone,
        ),
        rule(
            "Host key changed",
            Severity::Critical,
            Condition::HostKey,
            0,
            None,
            keep,
        ),
    ]
}

fn distinct(channels: Vec<Uuid>) -> Vec<Uuid> {
    let mut distinct = Vec::with_capacity(channels.len());
    for channel in channels {
        if !distinct.contains(&channel) {
            distinct.push(channel);
        }
    }
    distinct
}

/// The condition's own value as the bound for being over is what holds without one.
fn meaningful_clear_value(condition: &Condition, clear_value: Option<f64>) -> Option<f64> {
    let own = condition.threshold().map(|threshold| threshold.value);
    clear_value.filter(|clear| Some(*clear) != own)
}

fn check(app: &App, rule: &AlertRule) -> Result<(), FlowError> {
    if let Some((field, message)) = rule.fault() {
        return Err(FlowError::invalid(field, message));
    }
    if let Some(threshold) = rule.condition.threshold()
        && metric::find(&threshold.metric).is_none()
        && !app.store.series.knows_metric(&threshold.metric)
    {
        return Err(FlowError::invalid(
            "condition.metric",
            "is neither in the catalogue nor sent by any host",
        ));
    }
    check_channels(&app.store.state, rule)
}

fn check_channels(state: &State, rule: &AlertRule) -> Result<(), FlowError> {
    let unknown = rule
        .channels
        .iter()
        .position(|channel_id| state.channels.get(*channel_id).is_none());
    match unknown {
        Some(place) => Err(FlowError::invalid(
            &format!("channels[{place}]"),
            "is no channel",
        )),
        None => Ok(()),
    }
}

fn put(change: &mut Change<'_>, now: DateTime<Utc>, actor: Actor, action: &str, rule: &AlertRule) {
    note(change, now, actor, action, Some(rule.rule_id), &rule.name);
    change.put(rule.clone());
}
