//! The step: from a rule, what is known of it at one place, and what is new, to what becomes of the alert.
//!
//! A place is a host, or one series of it. What is known of a place holds all that a window needs, so that each step
//! looks at new samples only, and the same steps over stored samples lead to the same state.

use super::fit::{CELL_SECONDS, FIT_SECONDS, Fit};
use super::rule::{AlertRule, Condition, NoData};
use super::run::Run;
use crate::domain::host::{down_after_seconds, late_after_seconds};

/// A series that had no data for so long is gone, not missing: nothing begins to fire for it.
const GONE_SECONDS: i64 = 86_400;
/// A host's clock may be slow by so many seconds before its series seem to be missing.
const SLOWEST_CLOCK_SECONDS: i64 = 300;

/// What is new at a place.
#[derive(Clone, Copy, Debug)]
pub enum Readings<'a> {
    /// Samples of its series, Unix seconds and value, rising; those that are not later than what was seen are left out.
    Samples(&'a [(i64, f64)]),
    /// Nothing but when the host was heard.
    Silence,
    /// What is known of the host: how it stands to its baseline, whether it shows another host key.
    Fact {
        /// Since when it is as it should not be, such as the first of the items that count left the baseline; Unix
        /// seconds.
        since: Option<i64>,
        /// Whether what is known is fresh enough for "it is as it should be" to mean that.
        is_known: bool,
    },
}

/// When the host of a place was heard.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Last report, Unix seconds; none when it never reported.
    pub last_at: Option<i64>,
    /// Its newest sample of any series, Unix seconds by its own clock.
    pub newest_at: Option<i64>,
    /// Seconds between its reports.
    pub interval_seconds: i64,
    /// Since when reports could have been heard: silence before counts for nothing.
    pub listening_since: i64,
}

impl Heard {
    fn late_seconds(&self) -> i64 {
        late_after_seconds(self.interval_seconds)
    }

    /// Silence after a report at `at`, as far as somebody listened.
    fn silence(&self, at: i64, now: i64) -> i64 {
        now - at.max(self.listening_since)
    }

    /// Whether the host reports.
    fn is_up(&self, now: i64) -> bool {
        self.last_at
            .is_some_and(|at| now - at <= self.late_seconds())
    }

    /// How long a series whose last sample is of `last_at` has been missing, as far as that can be said: it is measured
    /// against the host's own newest sample, whose clock may be slow.
    fn missing_seconds(&self, last_at: i64, now: i64) -> i64 {
        let newest_at = self.newest_at.unwrap_or(last_at);
        newest_at.max(now - SLOWEST_CLOCK_SECONDS) - last_at
    }
}

/// Why an alert begins or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The condition holds, or no longer does.
    Condition,
    /// There is no data.
    NoData,
}

/// What becomes of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Quiet,
    /// The condition holds, and not yet for long enough.
    Pending {
        /// Since when, Unix seconds.
        since: i64,
    },
    /// It begins to fire.
    Fires {
        /// Since when the condition has held, Unix seconds.
        since: i64,
        /// Why.
        reason: Reason,
    },
    /// It goes on firing.
    Firing,
    /// It is over.
    Resolves(Reason),
}

/// What is known of a place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watch {
    /// When the alert began to fire, Unix seconds.
    firing_since: Option<i64>,
    /// The last sample: when it was taken, and what is held against the bound: its value, or a forecast.
    last: Option<(i64, f64)>,
    /// Samples that breach while nothing fires, or are clear while it fires.
    run: Option<Box<Run>>,
    fit: Option<Box<Fit>>,
    /// The worst value since the alert fires.
    worst: Option<f64>,
}

impl Watch {
    /// A place whose alert fires since a moment, of which samples are to be seen again.
    pub fn firing(since: i64, worst: Option<f64>) -> Self {
        Self {
            firing_since: Some(since),
            worst,
            ..Self::default()
        }
    }

    /// Forgets the samples, which are to be seen again: some came in that are earlier than the last.
    pub fn rewind(&mut self) {
        *self = Self {
            firing_since: self.firing_since,
            worst: self.worst,
            ..Self::default()
        };
    }

    /// Sees stored samples without a judgement, the way a step sees new ones. Without any of its window, `latest` says
    /// when there was one at all.
    pub fn replay(
        &mut self,
        rule: &AlertRule,
        samples: &[(i64, f64)],
        latest: Option<(i64, f64)>,
        interval_seconds: i64,
    ) {
        self.see(rule, samples, interval_seconds);
        self.last = self.last.or(latest);
    }

    /// Whether the alert fires.
    pub fn is_firing(&self) -> bool {
        self.firing_since.is_some()
    }

    /// Whether nothing will come of it without a new sample.
    pub fn is_idle(&self) -> bool {
        !self.is_firing() && self.run.is_none()
    }

    /// The value that is held against the bound: the last one, or the last forecast.
    pub fn value(&self) -> Option<f64> {
        self.last.map(|(_, value)| value)
    }

    /// The worst value since the alert fires.
    pub fn worst(&self) -> Option<f64> {
        self.worst
    }

    /// When the last sample was taken, Unix seconds.
    pub fn last_at(&self) -> Option<i64> {
        self.last.map(|(at, _)| at)
    }

    /// Takes over what a step said at `now`, once that is durable.
    pub fn settle(&mut self, outcome: Outcome, now: i64) {
        match outcome {
            Outcome::Fires { reason, .. } => {
                self.firing_since = Some(now);
                self.run = None;
                self.worst = self.value().filter(|_| reason == Reason::Condition);
            }
            Outcome::Resolves(_) => {
                self.firing_since = None;
                self.run = None;
                self.worst = None;
            }
            Outcome::Quiet | Outcome::Pending { .. } | Outcome::Firing => {}
        }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.run.as_ref().map_or(0, |run| run.bytes())
            + self.fit.as_ref().map_or(0, |fit| fit.bytes())
    }

    fn see(&mut self, rule: &AlertRule, samples: &[(i64, f64)], interval_seconds: i64) {
        for (at, value) in samples {
            if self.last.is_some_and(|(last, _)| *at <= last) {
                continue;
            }
            let gap_seconds = self.last.map_or(0, |(last_at, _)| at - last_at);
            self.forget_run(rule, gap_seconds, interval_seconds);
            let held = match &rule.condition {
                Condition::Forecast { within_seconds, .. } => {
                    let fit = self.fit.get_or_insert_default();
                    fit.push(*at, *value);
                    fit.value_at(at + i64::from(*within_seconds))
                }
                _ => Some(*value),
            };
            let Some(held) = held else {
                // No trend yet: neither bad nor good.
                continue;
            };
            self.last = Some((*at, held));
            let goes_on = if let Some(since) = self.firing_since {
                let is_worst = self.worst.is_none_or(|worst| !rule.is_worse(worst, held));
                if is_worst && *at >= since {
                    self.worst = Some(held);
                }
                rule.clears(held)
            } else {
                rule.breaches(held)
            };
            match &mut self.run {
                run if !goes_on => *run = None,
                Some(run) => run.push(*at, interval_seconds, rule.window_seconds()),
                run => *run = Some(Box::new(Run::new(*at))),
            }
        }
    }
}

impl Watch {
    /// Forgets the run after so long without a sample that nothing of its window is left, or that the rule takes what
    /// was before for over.
    fn forget_run(&mut self, rule: &AlertRule, gap_seconds: i64, interval_seconds: i64) {
        let window = if self.is_firing() || rule.no_data == NoData::Resolve {
            rule.clear_for_seconds
        } else {
            rule.for_seconds
        };
        if gap_seconds > i64::from(window).max(late_after_seconds(interval_seconds)) {
            self.run = None;
        }
    }
}

impl AlertRule {
    /// Whether places see the same under both: then what they know stays.
    pub fn is_watched_like(&self, other: &Self) -> bool {
        self.condition == other.condition
            && self.for_seconds == other.for_seconds
            && self.clear_value == other.clear_value
            && self.clear_for_seconds == other.clear_for_seconds
            && self.no_data == other.no_data
    }

    /// The longest window that its state depends on, in seconds: before it, samples matter no more.
    pub fn window_seconds(&self) -> i64 {
        i64::from(self.for_seconds.max(self.clear_for_seconds))
    }

    /// How far back samples must be seen to know all that a watch knows, in seconds: to the window, and before it to the
    /// last sample that may belong to the same run.
    pub fn memory_seconds(&self) -> i64 {
        let run = 2 * self.window_seconds();
        match self.condition {
            Condition::Forecast { .. } => run + FIT_SECONDS + CELL_SECONDS,
            _ => run,
        }
    }

    /// Whether `value` is worse than `other`, or as bad.
    fn is_worse(&self, value: f64, other: f64) -> bool {
        self.condition.threshold().is_some_and(|threshold| {
            if threshold.operator.is_upper() {
                value >= other
            } else {
                value <= other
            }
        })
    }
}

/// What becomes of the alert of `rule` at a place. The watch sees the readings; whether it fires changes with
/// [`Watch::settle`] alone, so that a step whose outcome could not be kept is simply taken again.
pub fn step(
    rule: &AlertRule,
    watch: &mut Watch,
    readings: Readings<'_>,
    heard: &Heard,
    now: i64,
) -> Outcome {
    match readings {
        Readings::Samples(samples) => {
            watch.see(rule, samples, heard.interval_seconds);
            judge_samples(rule, watch, heard, now)
        }
        Readings::Silence => {
            let Some(last_at) = heard.last_at else {
                return Outcome::Quiet;
            };
            let silence = heard.silence(last_at, now);
            let is_silent = silence > heard.late_seconds();
            let level = Level {
                since: is_silent.then_some(last_at),
                age_seconds: silence,
                // Nobody listened for long enough to say that the host is silent, or that it is not.
                is_known: is_silent || last_at >= heard.listening_since,
            };
            let needed = match i64::from(rule.for_seconds) {
                0 => down_after_seconds(heard.interval_seconds) + 1,
                seconds => seconds.max(heard.late_seconds()),
            };
            level.judge(rule, watch, needed, now)
        }
        Readings::Fact { since, is_known } => {
            let level = Level {
                since,
                age_seconds: since.map_or(0, |since| now - since),
                is_known,
            };
            level.judge(rule, watch, i64::from(rule.for_seconds), now)
        }
    }
}

fn judge_samples(rule: &AlertRule, watch: &mut Watch, heard: &Heard, now: i64) -> Outcome {
    let quiet = if watch.is_firing() {
        Outcome::Firing
    } else {
        Outcome::Quiet
    };
    let Some((last_at, _)) = watch.last else {
        return quiet;
    };
    let (for_seconds, clear_for_seconds) = (
        i64::from(rule.for_seconds),
        i64::from(rule.clear_for_seconds),
    );
    let (late, interval) = (heard.late_seconds(), heard.interval_seconds);
    let is_up = heard.is_up(now);
    let missing = if is_up {
        heard.missing_seconds(last_at, now)
    } else {
        now - last_at
    };
    watch.forget_run(rule, missing, interval);
    // Neither a silent host nor a series that has ended decides anything.
    let is_fresh = is_up && missing <= late;
    // While the host is silent as a whole, that is what is wrong, and not its series one by one.
    let is_missing = |seconds: i64| is_up && missing > seconds.max(late);
    if watch.is_firing() {
        let is_clear = |run: &Run| run.fills(clear_for_seconds, interval, now);
        return if is_fresh && watch.run.as_deref().is_some_and(is_clear) {
            Outcome::Resolves(Reason::Condition)
        } else if rule.no_data == NoData::Resolve && is_missing(clear_for_seconds) {
            Outcome::Resolves(Reason::NoData)
        } else {
            Outcome::Firing
        };
    }
    if rule.no_data == NoData::Alert
        && is_missing(for_seconds)
        && missing <= GONE_SECONDS.max(for_seconds + late)
    {
        return Outcome::Fires {
            since: last_at,
            reason: Reason::NoData,
        };
    }
    let Some(run) = &watch.run else {
        return quiet;
    };
    let since = run.first_at;
    if is_fresh && run.fills(for_seconds, interval, now) {
        return Outcome::Fires {
            since,
            reason: Reason::Condition,
        };
    }
    Outcome::Pending { since }
}

/// A condition that holds or does not, without samples.
struct Level {
    since: Option<i64>,
    age_seconds: i64,
    is_known: bool,
}

impl Level {
    fn judge(&self, rule: &AlertRule, watch: &mut Watch, needed: i64, now: i64) -> Outcome {
        match (watch.is_firing(), self.since) {
            (false, Some(since)) if self.age_seconds >= needed => Outcome::Fires {
                since,
                reason: Reason::Condition,
            },
            (false, Some(since)) => Outcome::Pending { since },
            (false, None) => Outcome::Quiet,
            (true, Some(_)) => {
                watch.run = None;
                Outcome::Firing
            }
            (true, None) if self.is_known => {
                let clear = watch.run.get_or_insert_with(|| Box::new(Run::new(now)));
                if now - clear.first_at >= i64::from(rule.clear_for_seconds) {
                    Outcome::Resolves(Reason::Condition)
                } else {
                    Outcome::Firing
                }
            }
            (true, None) => Outcome::Firing,
        }
    }
}
