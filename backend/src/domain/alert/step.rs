//! The step: from a rule, what is known of it at one place, and what is new, to what becomes of the alert.
//!
//! A place is a host, or one series of it. What is known of a place holds all that a window needs, so that each step
//! looks at new samples only, and the same steps over stored samples lead to the same state.

use super::fit::{FIT_SECONDS, Fit};
use super::rule::{AlertRule, Condition, NoData};
use super::run::Run;

/// A series that had no data for so long is gone, not missing: nothing begins to fire for it.
const GONE_SECONDS: i64 = 86_400;

/// What is new at a place.
#[derive(Clone, Copy, Debug)]
pub enum Readings<'a> {
    /// Samples of its series, Unix seconds and value, rising; those that are not later than what was seen are left out.
    Samples(&'a [(i64, f64)]),
    /// Nothing but when the host was heard.
    Silence,
    /// How the host stands to its baseline.
    Drift {
        /// When the first of the items that count left the baseline, Unix seconds.
        since: Option<i64>,
        /// Whether the host's snapshot is fresh enough for "nothing differs" to mean that.
        is_known: bool,
    },
}

/// When the host of a place was heard.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Last report, Unix seconds; none when it never reported.
    pub last_at: Option<i64>,
    /// Seconds between its reports.
    pub interval_seconds: i64,
    /// Since when reports could have been heard: silence before counts for nothing.
    pub listening_since: i64,
}

impl Heard {
    /// Silence of so many seconds is more than a late report: as `host::status` has it.
    fn late_seconds(&self) -> i64 {
        2 * self.interval_seconds + 15
    }

    /// Silence of so many seconds is a host that is down.
    fn down_seconds(&self) -> i64 {
        4 * self.interval_seconds + 60
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
    is_firing: bool,
    /// The last sample: when it was taken, and what is held against the bound: its value, or a forecast.
    last: Option<(i64, f64)>,
    /// Samples that breach while nothing fires, or are clear while it fires.
    run: Option<Box<Run>>,
    fit: Option<Box<Fit>>,
    /// The worst value since the alert fires.
    worst: Option<f64>,
}

impl Watch {
    /// A place whose alert fires already, of which samples are to be seen again.
    pub fn firing(worst: Option<f64>) -> Self {
        Self {
            is_firing: true,
            worst,
            ..Self::default()
        }
    }

    /// Forgets the samples, which are to be seen again: some came in that are earlier than the last.
    pub fn rewind(&mut self) {
        *self = Self {
            is_firing: self.is_firing,
            worst: self.worst,
            ..Self::default()
        };
    }

    /// Sees stored samples without a judgement, the way a step sees new ones.
    pub fn replay(&mut self, rule: &AlertRule, samples: &[(i64, f64)], interval_seconds: i64) {
        self.see(rule, samples, interval_seconds);
    }

    /// Whether the alert fires.
    pub fn is_firing(&self) -> bool {
        self.is_firing
    }

    /// Whether nothing will come of it without a new sample.
    pub fn is_idle(&self) -> bool {
        !self.is_firing && self.run.is_none()
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

    /// Takes over what a step said, once that is durable.
    pub fn settle(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Fires { reason, .. } => {
                self.is_firing = true;
                self.run = None;
                self.worst = self.value().filter(|_| reason == Reason::Condition);
            }
            Outcome::Resolves(_) => {
                self.is_firing = false;
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
            let goes_on = if self.is_firing {
                self.worst = Some(match self.worst {
                    Some(worst) if rule.is_worse(worst, held) => worst,
                    _ => held,
                });
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

impl AlertRule {
    /// The longest window that its state depends on, in seconds: before it, samples matter no more.
    pub fn window_seconds(&self) -> i64 {
        i64::from(self.for_seconds.max(self.clear_for_seconds))
    }

    /// How far back samples must be seen to know all that a watch knows, in seconds.
    pub fn memory_seconds(&self) -> i64 {
        match self.condition {
            Condition::Forecast { .. } => self.window_seconds() + FIT_SECONDS,
            _ => self.window_seconds(),
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
                0 => heard.down_seconds() + 1,
                seconds => seconds.max(heard.late_seconds()),
            };
            level.judge(rule, watch, needed, now)
        }
        Readings::Drift { since, is_known } => {
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
    let quiet = if watch.is_firing {
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
    let late = heard.late_seconds();
    let is_fresh = now - last_at <= late;
    let missing = heard.silence(last_at, now);
    // While the host is silent as a whole, that is what is wrong, and not its series one by one.
    let is_missing = |seconds: i64| missing > seconds.max(late) && heard.is_up(now);
    let interval = heard.interval_seconds;
    if watch.is_firing {
        let is_clear = |run: &Run| is_fresh && run.fills(clear_for_seconds, interval, now);
        return if watch.run.as_deref().is_some_and(is_clear) {
            Outcome::Resolves(Reason::Condition)
        } else if rule.no_data == NoData::Resolve && is_missing(clear_for_seconds) {
            Outcome::Resolves(Reason::NoData)
        } else {
            Outcome::Firing
        };
    }
    if rule.no_data == NoData::Alert
        && is_missing(for_seconds)
        && now - last_at <= GONE_SECONDS.max(for_seconds + late)
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
    if now - last_at > for_seconds.max(late) {
        // Nothing of the window is left.
        watch.run = None;
        return quiet;
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
        match (watch.is_firing, self.since) {
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
