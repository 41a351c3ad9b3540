//! Alerts and their rules as people read and edit them: sentences, durations, bands over a chart. Pure.

use chrono::{DateTime, FixedOffset, Utc};
use infra_watch_client::number::{parse, shortest};
use infra_watch_client::types::{
    self, Alert, AlertEnd, AlertRule, AlertState, Condition, ConditionKind, Firing, Host, Metric,
    NoData, Operator, Severity,
};
use uuid::Uuid;

use crate::api::ApiError;
use crate::format;
use crate::whom::{Whom, or};

/// Bands that stand one above the other over a chart; more of them share the last place.
const LANES: usize = 3;
/// How far an alert's chart goes back beyond the time that its rule waits for.
const LEAD_SECONDS: i64 = 3600;

/// A comparison in words.
pub fn operator(operator: Operator) -> &'static str {
    match operator {
        Operator::Gt => "above",
        Operator::Gte => "at or above",
        Operator::Lt => "below",
        Operator::Lte => "at or below",
    }
}

/// Why an alert is over, in words.
pub fn end(reason: AlertEnd) -> &'static str {
    match reason {
        AlertEnd::Cleared => "the condition holds no longer",
        AlertEnd::NoData => "there is no data any more",
        AlertEnd::RuleChanged => "the rule was changed or disabled",
        AlertEnd::RuleDeleted => "the rule was deleted",
        AlertEnd::HostDeleted => "the host was deleted",
    }
}

/// Since when an alert stands as it does: it fires, or it is pending.
pub fn began(alert: &Alert) -> DateTime<Utc> {
    alert.started_at.unwrap_or(alert.pending_at)
}

/// How long it has stood so, or stood so until it was over.
pub fn lasted(alert: &Alert, now: DateTime<Utc>) -> String {
    let until = alert.ended_at.unwrap_or(now);
    format::duration((until - began(alert)).num_seconds().max(0) as f64)
}

/// What the chart of an alert shows: from well before its condition held until a while after it was over.
pub fn span(alert: &Alert, now: DateTime<Utc>) -> (i64, i64) {
    let held = (began(alert) - alert.pending_at).num_seconds();
    let from = alert.pending_at.timestamp() - LEAD_SECONDS.max(2 * held);
    let now = now.timestamp();
    let to = alert.ended_at.map_or(now, |ended| {
        let ended = ended.timestamp();
        (ended + LEAD_SECONDS.max((ended - from) / 4)).min(now)
    });
    (from, to.max(from + LEAD_SECONDS))
}

/// A time in which an alert fired, over a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// The alert; none for what would have fired.
    pub alert_id: Option<Uuid>,
    /// How bad it is.
    pub severity: Severity,
    /// The rule's name, with the instance where there is one.
    pub name: String,
    /// Where it begins, in Unix seconds.
    pub from: i64,
    /// Where it ends; nothing while it fires.
    pub to: Option<i64>,
    /// Whether it is about the values of the chart, and tints it.
    pub is_of_values: bool,
}

impl Band {
    /// Of an alert that fires or fired; what is pending has none.
    pub fn of(alert: &Alert) -> Option<Self> {
        Some(Self {
            alert_id: Some(alert.alert_id),
            severity: alert.severity,
            name: named(&alert.rule_name, alert.instance.as_deref()),
            from: alert.started_at?.timestamp(),
            to: alert.ended_at.map(|at| at.timestamp()),
            is_of_values: alert.condition.metric.is_some(),
        })
    }

    /// Of a time at which a rule would have fired.
    pub fn of_firing(firing: &Firing, severity: Severity) -> Self {
        Self {
            alert_id: None,
            severity,
            name: named("would have fired", firing.instance.as_deref()),
            from: firing.started_at.timestamp(),
            to: firing.ended_at.map(|at| at.timestamp()),
            is_of_values: true,
        }
    }

    /// The part of it that lies within a span.
    fn within(&self, from: i64, to: i64) -> (i64, i64) {
        (self.from.max(from), self.to.unwrap_or(to).min(to))
    }

    /// What it is, in words: "Critical: Disk full (/var), 12:00 to 12:30".
    pub fn words(&self, now: DateTime<Utc>, zone: FixedOffset) -> String {
        let clock = |seconds| {
            let at = DateTime::from_timestamp(seconds, 0).unwrap_or(now);
            format::clock(at, now, zone)
        };
        let until = self
            .to
            .map_or_else(|| "now, still firing".to_owned(), clock);
        format!(
            "{}: {}, {} to {until}",
            format::capitalised(severity(self.severity)),
            self.name,
            clock(self.from)
        )
    }
}

fn named(name: &str, instance: Option<&str>) -> String {
    match instance {
        Some(instance) => format!("{name} ({instance})"),
        None => name.to_owned(),
    }
}

/// A severity's name.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// A state's name.
pub fn state(state: AlertState) -> &'static str {
    match state {
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
        AlertState::Resolved => "resolved",
    }
}

/// Whether an alert belongs over the chart of a metric: those without a metric belong over each.
pub fn is_about(alert: &Alert, metric: &str) -> bool {
    let own = alert.condition.metric.as_deref();
    own.is_none_or(|own| own == metric)
}

/// Where a band stands over a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Which band.
    pub place: usize,
    /// Where it begins, of 1.
    pub along: f64,
    /// How wide it is, of 1.
    pub width: f64,
    /// In which of the lanes.
    pub lane: usize,
}

/// The bands that reach into a span, in lanes, so that those of one time lie one above the other.
pub fn place(bands: &[Band], (from, to): (i64, i64)) -> Vec<Placed> {
    let span = (to - from).max(1) as f64;
    let mut placed: Vec<Placed> = Vec::new();
    for (place, band) in bands.iter().enumerate() {
        let (start, end) = band.within(from, to);
        if start >= to || end < from {
            continue;
        }
        let is_free = |lane: &usize| {
            let mut others = placed.iter().filter(|other| other.lane == *lane);
            others.all(|other| {
                let (other_start, other_end) = bands[other.place].within(from, to);
                end <= other_start || other_end <= start
            })
        };
        placed.push(Placed {
            place,
            along: (start - from) as f64 / span,
            width: (end - start) as f64 / span,
            lane: (0..LANES).find(is_free).unwrap_or(LANES - 1),
        });
    }
    placed
}

/// Seconds out of `90s`, `5m`, `1h 30m`, `2d` or `5 min`; a plain number is seconds.
pub fn seconds(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after
            .find(|character: char| !character.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let seconds = match unit {
            "" | "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        let number = number.parse::<i64>().ok()?.checked_mul(seconds)?;
        total = total.checked_add(number)?;
        rest = after.trim_start();
    }
    Some(total)
}

/// Seconds as they are edited, in the greatest whole unit; nothing for none.
pub fn edited(seconds: i64) -> String {
    let units = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
    match units.iter().find(|(unit, _)| seconds % unit == 0) {
        _ if seconds == 0 => String::new(),
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// A number out of a field.
fn number(name: &str, text: &str) -> Result<f64, ApiError> {
    parse(text.trim()).ok_or_else(|| ApiError::field(name, "is not a number"))
}

/// A rule as it is edited.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Its name.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it is evaluated.
    pub is_enabled: bool,
    /// What is watched.
    pub kind: ConditionKind,
    /// The metric.
    pub metric: String,
    /// Which of its instances; all if empty.
    pub instance: String,
    /// Which side is bad.
    pub operator: Operator,
    /// The bound.
    pub value: String,
    /// How far a forecast looks ahead.
    pub within: String,
    /// Pattern of sections.
    pub section: String,
    /// Pattern of keys.
    pub key: String,
    /// For how long it must hold.
    pub lasting: String,
    /// The bound to be back behind.
    pub clear_value: String,
    /// For how long.
    pub clear_for: String,
    /// What no data means.
    pub no_data: NoData,
    /// Tell again after so long.
    pub repeat: String,
    /// On which hosts.
    pub whom: Whom,
    /// Who is told.
    pub channels: Vec<Uuid>,
}

impl Draft {
    /// What a new rule begins with.
    pub fn new() -> Self {
        let text = str::to_owned;
        Self {
            name: String::new(),
            severity: Severity::Warning,
            is_enabled: true,
            kind: ConditionKind::Threshold,
            metric: text("cpu_usage_percent"),
            instance: String::new(),
            operator: Operator::Gt,
            value: text("90"),
            within: text("1d"),
            section: String::new(),
            key: String::new(),
            lasting: text("5m"),
            clear_value: String::new(),
            clear_for: String::new(),
            no_data: NoData::Keep,
            repeat: String::new(),
            whom: Whom::all(),
            channels: Vec::new(),
        }
    }

    /// A rule as it would have been edited.
    pub fn of(rule: &AlertRule, hosts: &[Host]) -> Self {
        let condition = &rule.condition;
        let number = |value: Option<f64>| value.map_or_else(String::new, shortest);
        let known = Self::new();
        Self {
            name: rule.name.clone(),
            severity: rule.severity,
            is_enabled: rule.enabled,
            kind: condition.kind,
            metric: condition.metric.clone().unwrap_or(known.metric),
            instance: condition.instance.as_deref().cloned().unwrap_or_default(),
            operator: condition.operator.unwrap_or(known.operator),
            value: number(condition.value),
            within: condition.within_seconds.map_or(known.within, edited),
            section: condition.section.as_deref().cloned().unwrap_or_default(),
            key: condition.key.as_deref().cloned().unwrap_or_default(),
            lasting: edited(rule.for_seconds.into()),
            clear_value: number(rule.clear_value),
            clear_for: edited(rule.clear_for_seconds.into()),
            no_data: rule.no_data,
            repeat: edited(rule.repeat_interval_seconds.unwrap_or_default().into()),
            whom: Whom::of(&rule.selector, hosts),
            channels: rule.channels.clone(),
        }
    }

    /// Whether values of a metric are watched.
    pub fn has_metric(&self) -> bool {
        matches!(
            self.kind,
            ConditionKind::Threshold | ConditionKind::Forecast
        )
    }

    /// The unit of its metric, as the catalogue says.
    pub fn unit<'a>(&self, catalog: &'a [Metric]) -> Option<&'a str> {
        let metric = catalog.iter().find(|known| known.name == self.metric)?;
        Some(metric.unit.as_str()).filter(|unit| *unit != "1")
    }

    /// What it says: "When cpu_usage_percent is above 90 % for 5 min on hosts with role=web, raise critical."
    pub fn sentence(&self, catalog: &[Metric]) -> String {
        let metric = || {
            let metric = or(&self.metric, "…");
            match self.instance.trim() {
                "" => metric,
                instance => format!("{metric} of {instance}"),
            }
        };
        let bound = || {
            let unit = self.unit(catalog).map(|unit| format!(" {unit}"));
            let value = or(&self.value, "…");
            format!(
                "{} {value}{}",
                operator(self.operator),
                unit.unwrap_or_default()
            )
        };
        let within = seconds(&self.within).map_or_else(|| "…".to_owned(), format::step);
        let what = match self.kind {
            ConditionKind::Threshold => format!("{} is {}", metric(), bound()),
            ConditionKind::Forecast => {
                format!("{} will be {} within {within}", metric(), bound())
            }
            ConditionKind::Absence => "nothing is heard".to_owned(),
            ConditionKind::HostKey => "the host key changed".to_owned(),
            ConditionKind::Drift => format!(
                "{} in {} differs from the baseline",
                or(&self.key, "anything"),
                or(&self.section, "any section")
            ),
        };
        let lasting = match seconds(&self.lasting) {
            Some(0) => String::new(),
            None if self.lasting.trim().is_empty() => String::new(),
            None => " for …".to_owned(),
            Some(seconds) => format!(" for {}", format::step(seconds)),
        };
        let preposition = if self.kind == ConditionKind::Absence {
            "of"
        } else {
            "on"
        };
        format!(
            "When {what}{lasting} {preposition} {}, raise {}.",
            self.whom.words(),
            severity(self.severity)
        )
    }

    /// The request, or which field cannot be part of one.
    pub fn body(&self, hosts: &[Host]) -> Result<types::CreateAlertRule, ApiError> {
        let time = |name: &str, text: &str| {
            let is_empty = text.trim().is_empty();
            let time = if is_empty { Some(0) } else { seconds(text) };
            time.ok_or_else(|| ApiError::field(name, "is not a time such as 90s, 5m, 2h or 1d"))
        };
        let has_metric = self.has_metric();
        let value = match has_metric {
            true => Some(number("condition.value", &self.value)?),
            false => None,
        };
        let is_forecast = self.kind == ConditionKind::Forecast;
        let is_drift = self.kind == ConditionKind::Drift;
        let clear_value = match self.clear_value.trim() {
            // The condition's own value is none.
            "" => value,
            _ if has_metric => Some(number("clear_value", &self.clear_value)?),
            _ => None,
        };
        let instance = filled("condition.instance", &self.instance, has_metric)?;
        let within = || time("condition.within_seconds", &self.within);
        Ok(types::CreateAlertRule {
            name: ApiError::checked("name", self.name.trim())?,
            severity: self.severity,
            enabled: Some(self.is_enabled),
            selector: Some(self.whom.selector(hosts)?),
            condition: Condition {
                kind: self.kind,
                metric: has_metric.then(|| self.metric.trim().to_owned()),
                instance,
                operator: has_metric.then_some(self.operator),
                value,
                within_seconds: is_forecast.then(within).transpose()?,
                section: filled("condition.section", &self.section, is_drift)?,
                key: filled("condition.key", &self.key, is_drift)?,
            },
            for_seconds: Some(time("for_seconds", &self.lasting)?),
            clear_value,
            clear_for_seconds: Some(time("clear_for_seconds", &self.clear_for)?),
            no_data: Some(self.no_data),
            repeat_interval_seconds: Some(time("repeat_interval_seconds", &self.repeat)?),
            channels: Some(self.channels.clone()),
        })
    }
}

/// What was typed into a field that may stay empty, if it is wanted.
fn filled<T>(name: &str, text: &str, is_wanted: bool) -> Result<Option<T>, ApiError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = text.trim();
    let wanted = (is_wanted && !text.is_empty()).then_some(text);
    wanted.map(|text| ApiError::checked(name, text)).transpose()
}

/// The whole of a rule as a change of it.
pub fn update(body: types::CreateAlertRule) -> types::UpdateAlertRule {
    types::UpdateAlertRule {
        name: body.name.parse().ok(),
        severity: Some(body.severity),
        enabled: body.enabled,
        selector: body.selector,
        condition: Some(body.condition),
        for_seconds: body.for_seconds,
        clear_value: body.clear_value,
        clear_for_seconds: body.clear_for_seconds,
        no_data: body.no_data,
        repeat_interval_seconds: body.repeat_interval_seconds,
        channels: body.channels,
    }
}

/// What a preview found: "Would have fired 3 times on 2 hosts in the last 7 days."
pub fn found(preview: &types::Preview, range: &str) -> String {
    if preview.host_count == 0 {
        return "No host is meant.".to_owned();
    }
    let looked_at = format::count(preview.host_count as usize, "host");
    if preview.firing_count == 0 {
        return format!("Would not have fired in the {range}, on any of {looked_at}.");
    }
    let times = format::count(preview.firing_count as usize, "time");
    let mut hosts: Vec<Uuid> = Vec::new();
    for firing in &preview.firings {
        if !hosts.contains(&firing.host_id) {
            hosts.push(firing.host_id);
        }
    }
    // Only so many firings are told: there may be more hosts.
    let more = if preview.firing_count > preview.firings.len() as u64 {
        "at least "
    } else {
        ""
    };
    let hosts = format::count(hosts.len(), "host");
    format!("Would have fired {times} on {more}{hosts} in the {range}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whom::Whose;

    fn catalog() -> Vec<Metric> {
        vec![Metric {
            name: "cpu_usage_percent".to_owned(),
            unit: "%".to_owned(),
            description: String::new(),
            instance: None,
        }]
    }

    fn draft() -> Draft {
        Draft {
            name: "CPU".to_owned(),
            ..Draft::new()
        }
    }

    #[test]
    fn durations_there_and_back() {
        let check = |text, expect| assert_eq!(seconds(text), expect, "{text}");
        check("90s", Some(90));
        check("5m", Some(300));
        check("5 min", Some(300));
        check("1h 30m", Some(5400));
        check("1h30m", Some(5400));
        check("2d", Some(172_800));
        check("300", Some(300));
        check("0", Some(0));
        for text in [
            "",
            " ",
            "soon",
            "5x",
            "m",
            "-5m",
            "1.5h",
            "99999999999999999d",
        ] {
            check(text, None);
        }
        for (seconds, text) in [
            (0, ""),
            (90, "90s"),
            (300, "5m"),
            (5400, "90m"),
            (86_400, "1d"),
        ] {
            assert_eq!(edited(seconds), text);
            assert_eq!(super::seconds(text).unwrap_or_default(), seconds);
        }
    }

    #[test]
    fn a_rule_reads_as_a_sentence() {
        let check = |change: fn(&mut Draft), expect: &str| {
            let mut draft = draft();
            change(&mut draft);
            assert_eq!(draft.sentence(&catalog()), expect);
        };
        check(
            |draft| {
                draft.severity = Severity::Critical;
                draft.whom.whose = Whose::Labels;
                draft.whom.which = "role=web".to_owned();
            },
            "When cpu_usage_percent is above 90 % for 5 min on hosts with role=web, raise critical.",
        );
        check(
            |draft| {
                draft.kind = ConditionKind::Forecast;
                draft.metric = "disk_usage_percent".to_owned();
                draft.instance = "/var".to_owned();
                draft.operator = Operator::Gte;
                draft.value = "100".to_owned();
                draft.lasting = String::new();
            },
            "When disk_usage_percent of /var will be at or above 100 within 1 d on all hosts, raise warning.",
        );
        check(
            |draft| draft.kind = ConditionKind::Absence,
            "When nothing is heard for 5 min of all hosts, raise warning.",
        );
        check(
            |draft| {
                draft.kind = ConditionKind::Drift;
                draft.section = "packages".to_owned();
                draft.lasting = "x".to_owned();
            },
            "When anything in packages differs from the baseline for … on all hosts, raise warning.",
        );
    }

    #[test]
    fn what_is_wrong_is_said_beside_its_field() {
        let check = |change: fn(&mut Draft), expect: Option<&str>| {
            let mut draft = draft();
            change(&mut draft);
            let error = draft.body(&[]).err();
            let field = error.map(|error| error.fields[0].name.clone());
            assert_eq!(field.as_deref(), expect, "{draft:?}");
        };
        check(|_| {}, None);
        check(|draft| draft.name = " ".to_owned(), Some("name"));
        check(
            |draft| draft.value = "much".to_owned(),
            Some("condition.value"),
        );
        check(
            |draft| draft.lasting = "long".to_owned(),
            Some("for_seconds"),
        );
        check(
            |draft| draft.clear_value = "x".to_owned(),
            Some("clear_value"),
        );
        check(
            |draft| {
                draft.kind = ConditionKind::Absence;
                draft.value = "much".to_owned();
                draft.clear_value = "x".to_owned();
            },
            None,
        );
        let body = draft().body(&[]).unwrap();
        assert_eq!(
            (body.clear_value, body.for_seconds),
            (Some(90.0), Some(300))
        );
        assert_eq!(update(body).repeat_interval_seconds, Some(0));
    }

    fn band(from: i64, to: Option<i64>) -> Band {
        Band {
            alert_id: None,
            severity: Severity::Critical,
            name: "Disk full (/var)".to_owned(),
            from,
            to,
            is_of_values: true,
        }
    }

    #[test]
    fn bands_of_one_time_lie_above_each_other() {
        let check = |bands: &[(i64, Option<i64>)], expect: &[(usize, f64, f64, usize)]| {
            let bands: Vec<_> = bands.iter().map(|(from, to)| band(*from, *to)).collect();
            let placed = place(&bands, (1000, 2000));
            let placed: Vec<_> = placed
                .iter()
                .map(|placed| (placed.place, placed.along, placed.width, placed.lane))
                .collect();
            assert_eq!(placed, expect);
        };
        check(&[], &[]);
        check(&[(0, Some(900)), (2000, None)], &[]);
        check(&[(900, Some(1100))], &[(0, 0.0, 0.1, 0)]);
        check(
            &[(1000, Some(1500)), (1500, None)],
            &[(0, 0.0, 0.5, 0), (1, 0.5, 0.5, 0)],
        );
        check(
            &[(1500, None), (1000, Some(1500))],
            &[(0, 0.5, 0.5, 0), (1, 0.0, 0.5, 0)],
        );
        check(
            &[(1000, None), (1100, None), (1200, None), (1500, Some(1600))],
            &[
                (0, 0.0, 1.0, 0),
                (1, 0.1, 0.9, 1),
                (2, 0.2, 0.8, 2),
                (3, 0.5, 0.1, 2),
            ],
        );
    }

    #[test]
    fn bands_in_words() {
        let zone = FixedOffset::east_opt(0).unwrap();
        let now = DateTime::from_timestamp(1_763_881_200, 0).unwrap();
        let at = now.timestamp();
        assert_eq!(
            band(at - 3600, Some(at - 1800)).words(now, zone),
            "Critical: Disk full (/var), 06:00 to 06:30"
        );
        assert_eq!(
            band(at - 3600, None).words(now, zone),
            "Critical: Disk full (/var), 06:00 to now, still firing"
        );
    }

    #[test]
    fn previews_in_words() {
        let firing = |id| Firing {
            host_id: Uuid::from_u128(id),
            host_name: "web-1".to_owned(),
            instance: None,
            started_at: DateTime::UNIX_EPOCH,
            ended_at: None,
        };
        let check = |firings: &[u128], firing_count, host_count, expect: &str| {
            let preview = types::Preview {
                firings: firings.iter().copied().map(firing).collect(),
                firing_count,
                host_count,
            };
            assert_eq!(found(&preview, "last 7 days"), expect);
        };
        check(&[], 0, 0, "No host is meant.");
        check(
            &[],
            0,
            8,
            "Would not have fired in the last 7 days, on any of 8 hosts.",
        );
        check(
            &[1, 2, 1],
            3,
            8,
            "Would have fired 3 times on 2 hosts in the last 7 days.",
        );
        check(
            &[1],
            2000,
            8,
            "Would have fired 2\u{202f}000 times on at least 1 host in the last 7 days.",
        );
    }
}
