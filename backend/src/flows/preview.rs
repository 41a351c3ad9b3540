//! Trying a rule: the step that evaluates alerts, run over what is stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::evaluate::{history, series_of};
use super::query::off_thread;
use super::{FlowError, configuration};
use crate::app::App;
use crate::domain::alert::rule::{AlertRule, Condition, NoData};
use crate::domain::alert::step::{Heard, Outcome, Readings, Watch, step};
use crate::domain::baseline;
use crate::domain::change::Disposition;
use crate::domain::drift_rule::{self, DriftRule};
use crate::domain::host::Host;
use crate::domain::id;
use crate::store::{baseline as baselines, snapshot as snapshots};

/// Longest that a rule is tried, in seconds.
const PREVIEW_SECONDS: u64 = 5;
/// Times that are told; the others are counted.
const MAX_FIRINGS: usize = 1_000;
/// Alerts are evaluated so often, in seconds.
const TICK_SECONDS: i64 = 10;
/// The range when none is named.
const DEFAULT_RANGE: TimeDelta = TimeDelta::hours(1);
/// Snapshots and baselines of a host that are looked at.
const MAX_CONFIGURATIONS: usize = 1_000;
/// What stands for the reports of a host, if it has it: every agent sends it.
const SIGN_OF_LIFE: &str = "cpu_usage_percent";

/// One time at which a rule would have fired.
#[derive(Clone, Debug)]
pub struct Firing {
    /// The host.
    pub host: Arc<Host>,
    /// The instance, of a metric that has instances.
    pub instance: Option<String>,
    /// When it would have begun.
    pub started_at: DateTime<Utc>,
    /// When it would have been over.
    pub ended_at: Option<DateTime<Utc>>,
}

/// When a rule would have fired.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// The times, the latest first.
    pub firings: Vec<Firing>,
    /// How many there are in all.
    pub firing_count: usize,
    /// Hosts that were looked at.
    pub host_count: usize,
}

/// Runs a rule over what is stored in `[from, to)`: the last hour if nothing is named.
///
/// # Errors
/// [`FlowError::Invalid`] for a range that is none, [`FlowError::QueryTimeout`], and the store's.
pub async fn run(
    app: &Arc<App>,
    rule: AlertRule,
    range: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
) -> Result<Preview, FlowError> {
    let now = app.clock.now();
    // What is to come is not stored.
    let to = range.1.unwrap_or(now).min(now);
    let from = range.0.unwrap_or(to - DEFAULT_RANGE);
    if from >= to {
        return Err(FlowError::invalid(
            "from",
            "must be before to, and not in the future",
        ));
    }
    let mut hosts = app.store.state.hosts.all();
    hosts.retain(|host| rule.selector.matches(host));
    let deadline = Deadline(Instant::now());
    let span = Span {
        from: from.timestamp(),
        to: to.timestamp(),
    };
    let mut preview = Preview {
        host_count: hosts.len(),
        ..Preview::default()
    };
    if rule.condition == Condition::HostKey {
        return Err(FlowError::invalid(
            "condition.kind",
            "has no stored history: which host keys were shown is not kept",
        ));
    }
    if let Condition::Drift { .. } = rule.condition {
        for host in hosts {
            let changes = drift_over_time(app, &rule, &host, span, deadline).await?;
            preview.take(&host, None, replay_drift(&rule, &host, &changes, span));
        }
    } else {
        let app_of = Arc::clone(app);
        preview = off_thread(app, move || {
            for host in hosts {
                replay_samples(&app_of, &rule, &host, span, deadline, &mut preview)?;
            }
            Ok::<_, FlowError>(preview)
        })
        .await?;
    }
    preview.keep_latest(MAX_FIRINGS);
    Ok(preview)
}

/// When the work began that may take so long.
#[derive(Clone, Copy)]
struct Deadline(Instant);

impl Deadline {
    fn check(self) -> Result<(), FlowError> {
        if self.0.elapsed() > Duration::from_secs(PREVIEW_SECONDS) {
            return Err(FlowError::QueryTimeout(PREVIEW_SECONDS));
        }
        Ok(())
    }
}

impl Preview {
    fn take(
        &mut self,
        host: &Arc<Host>,
        instance: Option<&String>,
        found: Vec<(i64, Option<i64>)>,
    ) {
        self.firing_count += found.len();
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        self.firings
            .extend(found.into_iter().map(|(started_at, ended_at)| Firing {
                host: Arc::clone(host),
                instance: instance.cloned(),
                started_at: at(started_at),
                ended_at: ended_at.map(at),
            }));
        // So many that only some are told anyhow.
        if self.firings.len() > 8 * MAX_FIRINGS {
            self.keep_latest(MAX_FIRINGS);
        }
    }

    fn keep_latest(&mut self, most: usize) {
        self.firings
            .sort_by_key(|firing| std::cmp::Reverse(firing.started_at));
        self.firings.truncate(most);
    }
}

/// What a rule is run over, Unix seconds.
#[derive(Clone, Copy)]
struct Span {
    from: i64,
    to: i64,
}

/// Collects when a rule fires; before `from`, it only gets to know what it must.
struct Replay<'a> {
    rule: &'a AlertRule,
    heard: Heard,
    /// When the host was heard, Unix seconds, rising, as far as it is to come.
    signs: &'a [i64],
    watch: Watch,
    span: Span,
    firings: Vec<(i64, Option<i64>)>,
}

impl<'a> Replay<'a> {
    fn new(rule: &'a AlertRule, host: &Host, signs: &'a [i64], span: Span) -> Self {
        Self {
            rule,
            signs,
            heard: Heard {
                last_at: None,
                newest_at: None,
                interval_seconds: i64::from(host.interval_seconds),
                listening_since: i64::MIN / 2,
            },
            watch: Watch::default(),
            span,
            firings: Vec::new(),
        }
    }

    fn step(&mut self, readings: Readings<'_>, now: i64) {
        while let Some((sign, rest)) = self.signs.split_first().filter(|(sign, _)| **sign <= now) {
            (self.heard.last_at, self.signs) = (Some(*sign), rest);
        }
        self.heard.newest_at = self.heard.last_at;
        let outcome = step(self.rule, &mut self.watch, readings, &self.heard, now);
        self.watch.settle(outcome, now);
        match outcome {
            Outcome::Fires { .. } => self.firings.push((now, None)),
            Outcome::Resolves(_) => {
                if let Some((_, ended_at)) = self.firings.last_mut() {
                    *ended_at = Some(now);
                }
            }
            Outcome::Quiet | Outcome::Pending { .. } | Outcome::Firing => {}
        }
    }

    /// Steps at every tick in which something may happen without a sample, until `end`.
    fn pass(&mut self, from: i64, end: i64) {
        let readings = match self.rule.condition {
            Condition::Absence => Readings::Silence,
            _ => Readings::Samples(&[]),
        };
        // After such a silence nothing more comes of it.
        let settled = self.rule.window_seconds().max(86_400) + 10 * self.heard.interval_seconds;
        let mut tick = next_tick(from + 1);
        while tick < end && tick - from <= settled {
            self.step(readings, tick);
            tick += TICK_SECONDS;
        }
    }

    /// What was found within the span: a time that began before is said to begin with it.
    fn finish(self) -> Vec<(i64, Option<i64>)> {
        let Span { from, .. } = self.span;
        let within = self.firings.into_iter();
        within
            .filter(|(_, ended_at)| ended_at.is_none_or(|ended_at| ended_at > from))
            .map(|(started_at, ended_at)| (started_at.max(from), ended_at))
            .collect()
    }
}

fn next_tick(at: i64) -> i64 {
    -(-at).div_euclid(TICK_SECONDS) * TICK_SECONDS
}

/// Runs a rule over the samples of a host.
fn replay_samples(
    app: &App,
    rule: &AlertRule,
    host: &Arc<Host>,
    span: Span,
    deadline: Deadline,
    preview: &mut Preview,
) -> Result<(), FlowError> {
    let keys = app
        .store
        .series
        .with_head(host.number, |head| head.keys().to_vec());
    let from = span.from - rule.memory_seconds() - 5 * i64::from(host.interval_seconds) - 60;
    let read = |number: u32| -> Result<Vec<(i64, f64)>, FlowError> {
        deadline.check()?;
        let found = history(app, host.number, &[number], from, span.to)?;
        Ok(found.into_iter().next().unwrap_or_default())
    };
    let times = |samples: &[(i64, f64)]| samples.iter().map(|(at, _)| *at).collect();
    let is_absence = rule.condition == Condition::Absence;
    let mut signs: Vec<i64> = Vec::new();
    // Whether a series is missing, or the host silent, is told by another one that it sends all the time.
    if is_absence || rule.no_data != NoData::Keep {
        let sign = keys.iter().position(|key| key.metric == SIGN_OF_LIFE);
        let number = u32::try_from(sign.unwrap_or_default()).unwrap_or_default();
        if !keys.is_empty() {
            signs = times(&read(number)?);
        }
    }
    if is_absence {
        let mut replay = Replay::new(rule, host, &signs, span);
        for pair in signs.windows(2) {
            if let [last, at] = pair {
                replay.step(Readings::Silence, next_tick(*last));
                if at - last > replay.heard.interval_seconds * 3 / 2 || !replay.watch.is_idle() {
                    replay.pass(*last, *at);
                }
            }
        }
        if let Some(last) = signs.last() {
            replay.step(Readings::Silence, next_tick(*last));
            replay.pass(*last, span.to);
        }
        preview.take(host, None, replay.finish());
        return Ok(());
    }
    for (number, key) in series_of(&rule.condition, &keys).flatten() {
        let samples = read(number)?;
        let mut own = times(&samples);
        if !signs.is_empty() {
            own = merged(own, &signs);
        }
        let mut replay = Replay::new(rule, host, &own, span);
        let mut last = None;
        for (at, value) in samples {
            // Between two samples that follow each other nothing happens that does not with the second.
            if let Some(last) = last
                && (at - last > replay.heard.interval_seconds * 3 / 2 || !replay.watch.is_idle())
            {
                replay.pass(last, at);
            }
            replay.step(Readings::Samples(&[(at, value)]), next_tick(at));
            last = Some(at);
        }
        if let Some(last) = last {
            replay.pass(last, span.to);
        }
        preview.take(host, key.instance.as_ref(), replay.finish());
    }
    Ok(())
}

/// Both, rising.
fn merged(mut times: Vec<i64>, others: &[i64]) -> Vec<i64> {
    times.extend(others);
    times.sort_unstable();
    times.dedup();
    times
}

/// When the drift that a rule means began or ended: moments, and since when it is so then.
async fn drift_over_time(
    app: &App,
    rule: &AlertRule,
    host: &Host,
    span: Span,
    deadline: Deadline,
) -> Result<Vec<(i64, Option<i64>)>, FlowError> {
    let kv = app.store.kv.as_ref();
    let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    let mut snapshots = snapshots::page(kv, host.number, None, MAX_CONFIGURATIONS).await?;
    snapshots.reverse();
    let mut approved = baselines::page(kv, host.number, None, MAX_CONFIGURATIONS).await?;
    approved.reverse();
    let times = snapshots
        .iter()
        .map(|snapshot| id::time(snapshot.snapshot_id))
        .chain(approved.iter().map(|baseline| baseline.at));
    let mut times: Vec<DateTime<Utc>> = times.filter(|time| *time < at(span.to)).collect();
    times.sort_unstable();
    times.dedup();
    // What was so when the span began is known from the last moment before it.
    let first = times.partition_point(|time| *time <= at(span.from));
    let rules: Vec<Arc<DriftRule>> = app.store.state.drift_rules.all();
    let mut known = Vec::new();
    let mut changes = Vec::new();
    for time in times.into_iter().skip(first.saturating_sub(1)) {
        deadline.check()?;
        let snapshot = snapshots
            .iter()
            .rfind(|snapshot| id::time(snapshot.snapshot_id) <= time);
        let baseline = approved.iter().rfind(|baseline| baseline.at <= time);
        let (Some(snapshot), Some(baseline)) = (snapshot, baseline) else {
            continue;
        };
        let current = configuration::read(app, host.number, snapshot.document).await?;
        let approved = configuration::read(app, host.number, baseline.document).await?;
        known = baseline::drift(&approved.sections, &current.sections, &known, time);
        let meant = known.iter().filter(|item| {
            let (section, key) = (&item.change.section, &item.change.key);
            let rules = rules.iter().map(AsRef::as_ref);
            rule.condition.means_item(section, key)
                && drift_rule::disposition(rules, host, section, key, item.changed_at)
                    == Disposition::Drift
        });
        let since = meant.map(|item| item.since.timestamp()).min();
        changes.push((time.timestamp(), since));
    }
    Ok(changes)
}

/// Runs a rule over what a host differed in.
fn replay_drift(
    rule: &AlertRule,
    host: &Host,
    changes: &[(i64, Option<i64>)],
    span: Span,
) -> Vec<(i64, Option<i64>)> {
    let mut replay = Replay::new(rule, host, &[], span);
    let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([span.to]);
    for ((at, since), end) in changes.iter().zip(ends) {
        let readings = Readings::Fact {
            since: *since,
            is_known: true,
        };
        let tick = next_tick(*at);
        replay.step(readings, tick);
        // It may fire once, so long after it began, or be over once, so long after nothing differed any more.
        let then = match since {
            Some(since) => since + i64::from(rule.for_seconds),
            None => tick + i64::from(rule.clear_for_seconds),
        };
        if (tick..end).contains(&then) {
            replay.step(readings, next_tick(then));
        }
    }
    replay.finish()
}
