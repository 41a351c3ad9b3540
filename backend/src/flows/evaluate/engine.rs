//! What is watched, and what is known of each place: in memory, and rebuilt from what is stored when it must be.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::board::{Figures, Values, View};
use super::history::history;
use crate::app::App;
use crate::domain::alert::record::Telling;
use crate::domain::alert::rule::{AlertRule, Condition, NoData};
use crate::domain::alert::step::{Heard, Outcome, Readings, Reason, Watch, step};
use crate::domain::alert::{Alert, EndReason, Place};
use crate::domain::baseline::HostDrift;
use crate::domain::change::Disposition;
use crate::domain::drift_rule::{self, DriftRule};
use crate::domain::host::{Host, is_configuration_stale};
use crate::domain::id;
use crate::domain::report::SeriesKey;
use crate::flows::FlowError;

/// After a pause of so many seconds it is as if the backend had been away: nobody listened meanwhile.
const PAUSE_SECONDS: i64 = 60;
/// Places that are watched at most; each takes some hundred bytes of memory.
const MAX_WATCHES: usize = 2_000_000;
/// Alerts that are pending and can be looked at; further ones are counted.
const MAX_PENDING: usize = 10_000;
/// Late samples of a host are taken in at most so often, in seconds: each time its watches see their windows again.
const REWIND_SECONDS: i64 = 60;

/// The series of a place.
#[derive(Clone)]
struct PlacedSeries {
    key: Arc<SeriesKey>,
    number: u32,
    /// Where its samples are among those that are read of the host.
    position: usize,
}

/// A place and its rule.
struct Placed {
    rule: Arc<AlertRule>,
    series: Option<PlacedSeries>,
    watch: Watch,
    /// The alert that fires.
    alert_id: Option<Uuid>,
    replay: Replay,
}

/// Which stored samples a watch is to see first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replay {
    /// None.
    Nothing,
    /// Those of its window: some came in late.
    Window,
    /// Those, and all since its alert fires: it knows nothing yet.
    All,
}

/// The places of a host.
struct HostWatches {
    host: Arc<Host>,
    known_series: usize,
    /// Samples up to here were seen, Unix seconds.
    seen_through: i64,
    /// So many moments had come in late, and the watches have seen them.
    late: u64,
    /// When watches last saw stored samples because of that, Unix seconds.
    rewound_at: i64,
    /// Numbers of the series whose samples are read.
    series: Vec<u32>,
    placed: Vec<Placed>,
}

/// Everything that is watched.
#[derive(Default)]
pub struct Engine {
    rules: Vec<Arc<AlertRule>>,
    hosts: HashMap<u32, HostWatches>,
    /// Ids of alerts that are pending, so that they keep them.
    pending_ids: HashMap<Place, Uuid>,
    listening_since: i64,
    /// When the last evaluation ended, Unix seconds; 0 before the first.
    ended_at: i64,
}

/// Where a place is in the engine.
#[derive(Clone, Copy, Debug)]
struct Spot {
    host: u32,
    index: usize,
}

/// An alert that begins to fire.
#[derive(Debug)]
pub struct Fired {
    spot: Spot,
    outcome: Outcome,
    /// The alert, of which nobody has been told.
    pub alert: Alert,
}

/// An alert that is over.
#[derive(Debug)]
pub struct Ended {
    spot: Option<(Spot, Outcome)>,
    /// Which.
    pub alert_id: Uuid,
    /// Why.
    pub reason: EndReason,
    /// Its last values.
    pub values: Values,
}

/// What an evaluation found.
#[derive(Debug, Default)]
pub struct Sweep {
    /// What begins to fire.
    pub fired: Vec<Fired>,
    /// What is over.
    pub ended: Vec<Ended>,
    /// What others may see.
    pub view: View,
    /// How much is watched.
    pub figures: Figures,
    /// Places whose alert fires already.
    firing: usize,
    /// Why some hosts could not be looked at.
    pub failure: Option<FlowError>,
}

/// What a sweep looks things up in.
struct Looking<'a> {
    app: &'a App,
    now: DateTime<Utc>,
    active: &'a [Arc<Alert>],
    by_place: OnceCell<HashMap<Place, Arc<Alert>>>,
    drift_rules: Vec<Arc<DriftRule>>,
    listening_since: i64,
}

impl Engine {
    /// Looks at every place. Nothing fires or is over in the engine before [`Engine::settle`].
    pub fn sweep(&mut self, app: &App, now: DateTime<Utc>) -> Sweep {
        let seconds = now.timestamp();
        if self.ended_at == 0 {
            self.listening_since = app.listening_since.timestamp();
        } else if !(0..=PAUSE_SECONDS).contains(&(seconds - self.ended_at)) {
            // Neither is there silence where the clock was set back or ahead.
            self.listening_since = seconds;
        }
        let rules_changed = self.take_rules(app);
        let active = app.store.state.active_alerts.all();
        let looking = Looking {
            app,
            now,
            active: &active,
            by_place: OnceCell::new(),
            drift_rules: app.store.state.drift_rules.all(),
            listening_since: self.listening_since,
        };
        let mut sweep = Sweep::default();
        let mut samples = Vec::new();
        let hosts = app.store.state.hosts.all();
        let numbers: HashSet<u32> = hosts.iter().map(|host| host.number).collect();
        self.hosts.retain(|number, _| numbers.contains(number));
        for host in &hosts {
            let known = self
                .hosts
                .entry(host.number)
                .or_insert_with(|| HostWatches::new(host));
            let room = MAX_WATCHES.saturating_sub(sweep.figures.watches);
            known.prepare(&looking, host, &self.rules, rules_changed, room);
            if let Err(error) = known.look(&looking, &self.pending_ids, &mut samples, &mut sweep) {
                tracing::error!(
                    host = host.name(), host_id = %host.host_id,
                    error = &error as &dyn std::error::Error,
                    "evaluating the alerts of a host"
                );
                sweep.failure = Some(error);
            }
        }
        self.pending_ids = sweep
            .view
            .pending
            .iter()
            .chain(sweep.fired.iter().map(|fired| &fired.alert))
            .map(|alert| (alert.place(), alert.alert_id))
            .collect();
        self.end_orphans(app, &active, &mut sweep);
        sweep
    }

    /// Notes when an evaluation ended.
    pub fn end(&mut self, now: DateTime<Utc>) {
        self.ended_at = now.timestamp();
    }

    /// Takes over what a sweep found at `now`, now that it is durable.
    pub fn settle(&mut self, sweep: &Sweep, now: DateTime<Utc>) {
        for fired in &sweep.fired {
            self.pending_ids.remove(&fired.alert.place());
        }
        let fired = sweep
            .fired
            .iter()
            .map(|fired| (fired.spot, fired.outcome, Some(fired.alert.alert_id)));
        let ended = sweep.ended.iter().filter_map(|ended| {
            let (spot, outcome) = ended.spot?;
            Some((spot, outcome, None))
        });
        for (spot, outcome, alert_id) in fired.chain(ended) {
            let known = self.hosts.get_mut(&spot.host);
            if let Some(placed) = known.and_then(|known| known.placed.get_mut(spot.index)) {
                placed.watch.settle(outcome, now.timestamp());
                placed.alert_id = alert_id;
            }
        }
    }

    /// Takes the rules that are enabled, and says whether any is another than before.
    fn take_rules(&mut self, app: &App) -> bool {
        let mut rules = app.store.state.alert_rules.all();
        rules.retain(|rule| rule.enabled);
        let is_same = rules.len() == self.rules.len()
            && rules
                .iter()
                .zip(&self.rules)
                .all(|(new, old)| Arc::ptr_eq(new, old));
        self.rules = rules;
        !is_same
    }

    /// Ends alerts that no place stands for any more.
    fn end_orphans(&self, app: &App, active: &[Arc<Alert>], sweep: &mut Sweep) {
        // Each place has an alert of its own, so that as many of them are all of them.
        if sweep.firing == active.len() {
            return;
        }
        let placed: HashSet<Uuid> = self
            .hosts
            .values()
            .flat_map(|known| &known.placed)
            .filter_map(|placed| placed.alert_id)
            .collect();
        let state = &app.store.state;
        let last = app.alerts.view();
        for alert in active {
            if placed.contains(&alert.alert_id) {
                continue;
            }
            let reason = if state.hosts.get(alert.host_id).is_none() {
                EndReason::HostDeleted
            } else if state.alert_rules.get(alert.rule_id).is_none() {
                EndReason::RuleDeleted
            } else {
                EndReason::RuleChanged
            };
            sweep.ended.push(Ended {
                spot: None,
                alert_id: alert.alert_id,
                reason,
                values: last
                    .values
                    .get(&alert.alert_id)
                    .copied()
                    .unwrap_or_default(),
            });
        }
    }
}

impl HostWatches {
    fn new(host: &Arc<Host>) -> Self {
        Self {
            host: Arc::clone(host),
            known_series: usize::MAX,
            seen_through: i64::MIN,
            late: 0,
            rewound_at: i64::MIN / 2,
            series: Vec::new(),
            placed: Vec::new(),
        }
    }

    /// Lays out the places of a host, where something of it, its series or the rules is new.
    fn prepare(
        &mut self,
        looking: &Looking<'_>,
        host: &Arc<Host>,
        rules: &[Arc<AlertRule>],
        rules_changed: bool,
        room: usize,
    ) {
        let is_same = Arc::ptr_eq(&self.host, host) && !rules_changed;
        let known_series = self.known_series;
        let keys = looking.app.store.series.with_head(host.number, |head| {
            let is_same = is_same && head.keys().len() == known_series;
            (!is_same).then(|| head.keys().to_vec())
        });
        let Some(keys) = keys else {
            return;
        };
        let mut known: HashMap<(Uuid, Option<u32>), Placed> = self
            .placed
            .drain(..)
            .map(|placed| {
                let number = placed.series.as_ref().map(|series| series.number);
                ((placed.rule.rule_id, number), placed)
            })
            .collect();
        self.host = Arc::clone(host);
        self.known_series = keys.len();
        self.series.clear();
        let places = rules
            .iter()
            .filter(|rule| rule.selector.matches(host))
            .flat_map(|rule| series_of(&rule.condition, &keys).map(move |series| (rule, series)));
        for (rule, series) in places {
            if self.placed.len() == room {
                tracing::warn!(
                    host = host.name(),
                    "not every rule can be watched: there are too many series"
                );
                return;
            }
            let number = series.map(|(number, _)| number);
            let same = known.remove(&(rule.rule_id, number));
            let same = same.filter(|placed| {
                Arc::ptr_eq(&placed.rule, rule) || placed.rule.is_watched_like(rule)
            });
            let series = series.map(|(number, key)| PlacedSeries {
                key: Arc::clone(key),
                number,
                position: position(&mut self.series, number),
            });
            self.placed.push(match same {
                Some(placed) => Placed {
                    rule: Arc::clone(rule),
                    series,
                    ..placed
                },
                None => looking.place(host, rule, series),
            });
        }
    }

    /// Looks at every place of the host.
    fn look(
        &mut self,
        looking: &Looking<'_>,
        pending_ids: &HashMap<Place, Uuid>,
        samples: &mut Vec<Vec<(i64, f64)>>,
        sweep: &mut Sweep,
    ) -> Result<(), FlowError> {
        sweep.figures.watches += self.placed.len();
        if self.placed.is_empty() {
            // The first place to come sees what is stored.
            self.seen_through = i64::MIN;
            return Ok(());
        }
        let now = looking.now.timestamp();
        let heard = self.hear(looking, samples)?;
        let has_news = samples.iter().any(|samples| !samples.is_empty());
        let mut drifted = None;
        for (index, placed) in self.placed.iter_mut().enumerate() {
            sweep.firing += usize::from(placed.alert_id.is_some());
            sweep.figures.watch_bytes +=
                size_of::<Placed>() - size_of::<Watch>() + placed.watch.bytes();
            let rule = &placed.rule;
            let mut items = None;
            let readings = if let Some(series) = &placed.series {
                if !has_news && placed.watch.is_idle() && rule.no_data != NoData::Alert {
                    continue;
                }
                Readings::Samples(samples.get(series.position).map_or(&[], Vec::as_slice))
            } else if rule.condition == Condition::Absence {
                Readings::Silence
            } else if rule.condition == Condition::HostKey {
                looking.host_key(&self.host)
            } else {
                let drifted = drifted.get_or_insert_with(|| looking.drifted(&self.host));
                let (since, count) = drifted.meant_by(&rule.condition);
                items = Some(count as f64);
                Readings::Fact {
                    since,
                    is_known: drifted.is_known,
                }
            };
            let outcome = step(rule, &mut placed.watch, readings, &heard, now);
            let values = Values {
                worst: placed.watch.worst(),
                latest: items.or(placed.watch.value()),
            };
            let spot = Spot {
                host: self.host.number,
                index,
            };
            let alert = |since| {
                let mut alert = looking.alert(&self.host, placed, since, values.latest);
                if let Some(id) = pending_ids.get(&alert.place()) {
                    alert.alert_id = *id;
                }
                alert
            };
            match outcome {
                Outcome::Quiet => {}
                Outcome::Pending { since } => {
                    sweep.figures.pending += 1;
                    if sweep.view.pending.len() < MAX_PENDING {
                        sweep.view.pending.push(alert(since));
                    }
                }
                Outcome::Fires { since, reason } => {
                    let mut alert = alert(since);
                    alert.fire(reason, values.latest, looking.now);
                    let values = Values {
                        worst: alert.value,
                        latest: alert.value,
                    };
                    sweep.view.values.insert(alert.alert_id, values);
                    sweep.fired.push(Fired {
                        spot,
                        outcome,
                        alert,
                    });
                }
                Outcome::Firing => {
                    sweep
                        .view
                        .values
                        .extend(placed.alert_id.map(|id| (id, values)));
                }
                Outcome::Resolves(reason) => {
                    sweep.ended.extend(placed.alert_id.map(|alert_id| Ended {
                        spot: Some((spot, outcome)),
                        alert_id,
                        reason: match reason {
                            Reason::Condition => EndReason::Cleared,
                            Reason::NoData => EndReason::NoData,
                        },
                        values,
                    }));
                }
            }
        }
        Ok(())
    }

    /// When the host was heard, and its new samples. Watches that must see stored samples first see them.
    fn hear(
        &mut self,
        looking: &Looking<'_>,
        samples: &mut Vec<Vec<(i64, f64)>>,
    ) -> Result<Heard, FlowError> {
        samples.iter_mut().for_each(Vec::clear);
        samples.resize_with(self.series.len().max(samples.len()), Vec::new);
        let store = &looking.app.store.series;
        let number = self.host.number;
        let now = looking.now.timestamp();
        let seen_through = self.seen_through;
        let (newest_at, late, last_at) = store.with_head(number, |head| {
            let newest_at = head.newest_at();
            if seen_through > i64::MIN && newest_at > Some(seen_through) {
                head.read_after(seen_through, &self.series, samples);
            }
            (newest_at, head.late(), head.last_received_at())
        });
        let newest = newest_at.unwrap_or(i64::MIN);
        if seen_through == i64::MIN {
            // Everything so far is to be seen as stored.
            self.seen_through = newest;
            self.late = late.count;
        } else if newest > seen_through && !store.is_in_memory_after(seen_through) {
            let stored = history(
                looking.app,
                number,
                &self.series,
                seen_through + 1,
                newest + 1,
            )?;
            for (samples, stored) in samples.iter_mut().zip(stored) {
                *samples = stored;
            }
        }
        if late.count != self.late && now - self.rewound_at >= REWIND_SECONDS {
            self.rewind(looking, late.newest_at);
            self.late = late.count;
            self.rewound_at = now;
        }
        self.replay(looking)?;
        self.seen_through = self.seen_through.max(newest);
        Ok(Heard {
            last_at,
            newest_at,
            interval_seconds: i64::from(self.host.interval_seconds),
            listening_since: looking.listening_since,
        })
    }

    /// How far back a watch of this host must see, in seconds: a little more than its rule says, so that a window
    /// begins within what is seen.
    fn memory_seconds(&self, rule: &AlertRule) -> i64 {
        rule.memory_seconds() + 2 * i64::from(self.host.interval_seconds) + 60
    }

    /// Lets watches forget what they saw, where samples came in late that they should have seen before.
    fn rewind(&mut self, looking: &Looking<'_>, late_at: i64) {
        let now = looking.now.timestamp();
        for index in 0..self.placed.len() {
            let Some(placed) = self.placed.get(index) else {
                return;
            };
            let is_meant =
                placed.series.is_some() && late_at >= now - self.memory_seconds(&placed.rule);
            if let Some(placed) = self.placed.get_mut(index).filter(|_| is_meant) {
                placed.watch.rewind();
                if placed.replay == Replay::Nothing {
                    placed.replay = Replay::Window;
                }
            }
        }
    }

    /// Lets fresh watches see stored samples, up to those that are new.
    fn replay(&mut self, looking: &Looking<'_>) -> Result<(), FlowError> {
        let now = looking.now.timestamp();
        let mut by_start: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (index, placed) in self.placed.iter().enumerate() {
            if placed.replay == Replay::Nothing {
                continue;
            }
            let knows_nothing = placed.alert_id.filter(|_| placed.replay == Replay::All);
            let started_at = knows_nothing.and_then(|_| {
                let alert = looking.alert_at(&looking.place_of(&self.host, placed))?;
                Some(alert.started_at?.timestamp())
            });
            let window = now - self.memory_seconds(&placed.rule);
            let from = started_at.map_or(window, |started_at| started_at.min(window));
            by_start.entry(from).or_default().push(index);
        }
        let interval_seconds = i64::from(self.host.interval_seconds);
        let to = self.seen_through.saturating_add(1);
        for (from, indices) in by_start {
            let mut numbers: Vec<u32> = indices
                .iter()
                .filter_map(|index| Some(self.placed.get(*index)?.series.as_ref()?.number))
                .collect();
            numbers.sort_unstable();
            numbers.dedup();
            let stored = history(looking.app, self.host.number, &numbers, from, to)?;
            for index in indices {
                let Some(placed) = self.placed.get_mut(index) else {
                    continue;
                };
                placed.replay = Replay::Nothing;
                let Some(series) = &placed.series else {
                    continue;
                };
                let latest = looking.latest(&self.host, series.number, self.seen_through);
                let found = numbers.binary_search(&series.number).ok();
                if let Some(samples) = found.and_then(|position| stored.get(position)) {
                    let rule = &placed.rule;
                    placed.watch.replay(rule, samples, latest, interval_seconds);
                }
            }
        }
        Ok(())
    }
}

impl Looking<'_> {
    /// The alert that fires at a place. It is asked for where something is new: mostly nowhere.
    fn alert_at(&self, place: &Place) -> Option<&Arc<Alert>> {
        let by_place = self.by_place.get_or_init(|| {
            let active = self.active.iter();
            active
                .map(|alert| (alert.place(), Arc::clone(alert)))
                .collect()
        });
        by_place.get(place)
    }

    fn place_of(&self, host: &Host, placed: &Placed) -> Place {
        Place {
            host_id: host.host_id,
            rule_id: placed.rule.rule_id,
            instance: placed
                .series
                .as_ref()
                .and_then(|series| series.key.instance.clone()),
        }
    }

    /// A place that is new, or whose rule is; what fires there goes on if it is still about the same.
    fn place(&self, host: &Host, rule: &Arc<AlertRule>, series: Option<PlacedSeries>) -> Placed {
        let placed = Placed {
            rule: Arc::clone(rule),
            replay: if series.is_some() {
                Replay::All
            } else {
                Replay::Nothing
            },
            series,
            watch: Watch::default(),
            alert_id: None,
        };
        let active = self.alert_at(&self.place_of(host, &placed));
        match active.filter(|alert| alert.condition.is_about_the_same(&rule.condition)) {
            Some(alert) => Placed {
                watch: Watch::firing(
                    alert.started_at.unwrap_or(self.now).timestamp(),
                    alert.worst_value,
                ),
                alert_id: Some(alert.alert_id),
                ..placed
            },
            None => placed,
        }
    }

    /// The last sample that a host ever sent of a series, if it is one of those that were seen.
    fn latest(&self, host: &Host, series: u32, seen_through: i64) -> Option<(i64, f64)> {
        let store = &self.app.store.series;
        let latest = store.with_head(host.number, |head| head.latest(series));
        latest.filter(|(at, _)| *at <= seen_through)
    }

    /// An alert that is pending.
    fn alert(&self, host: &Host, placed: &Placed, since: i64, value: Option<f64>) -> Alert {
        let place = self.place_of(host, placed);
        let rule = &placed.rule;
        let pending_at = DateTime::from_timestamp(since, 0).unwrap_or(self.now);
        Alert {
            // The log is in the order of when it began.
            alert_id: id::new(pending_at),
            rule_id: rule.rule_id,
            rule_name: rule.name.clone(),
            severity: rule.severity,
            host_id: host.host_id,
            host_number: host.number,
            host_name: host.name().to_owned(),
            instance: place.instance,
            condition: rule.condition.clone(),
            sentence: rule.sentence(),
            pending_at,
            started_at: None,
            ended_at: None,
            end_reason: None,
            is_no_data: false,
            value,
            worst_value: None,
            last_value: None,
            acknowledgement: None,
            telling: Telling::default(),
        }
    }

    /// Whether the host shows another host key. Who was not asked since the start may still do so.
    fn host_key(&self, host: &Host) -> Readings<'static> {
        let progress = self.app.collections.progress(host.host_id);
        Readings::Fact {
            since: progress
                .changed_host_key_since
                .map(|since| since.timestamp()),
            is_known: host.collection.is_none() || progress.is_host_key_seen,
        }
    }

    fn drifted(&self, host: &Host) -> Drifted {
        let drift = self.app.store.state.drift.get(host.host_id);
        let counts = drift.iter().flat_map(|drift| &drift.items).map(|item| {
            let rules = self.drift_rules.iter().map(AsRef::as_ref);
            let (section, key) = (&item.change.section, &item.change.key);
            drift_rule::disposition(rules, host, section, key, item.changed_at)
                == Disposition::Drift
        });
        Drifted {
            counts: counts.collect(),
            drift,
            is_known: host.snapshot.is_some() && !is_configuration_stale(host, self.now),
        }
    }
}

/// What of a host differs from its baseline, and whether each item counts: nobody expected it, and it matters.
struct Drifted {
    drift: Option<Arc<HostDrift>>,
    counts: Vec<bool>,
    is_known: bool,
}

impl Drifted {
    /// When the first of the items that a condition means left the baseline, and how many there are.
    fn meant_by(&self, condition: &Condition) -> (Option<i64>, usize) {
        let items = self.drift.iter().flat_map(|drift| &drift.items);
        let meant = items.zip(&self.counts).filter(|(item, counts)| {
            **counts && condition.means_item(&item.change.section, &item.change.key)
        });
        meant.fold((None, 0), |(first, count), (item, _)| {
            let since = item.since.timestamp();
            (
                Some(first.map_or(since, |first: i64| first.min(since))),
                count + 1,
            )
        })
    }
}

/// Where a series is among those that are read, added if it is not.
fn position(series: &mut Vec<u32>, number: u32) -> usize {
    let known = series.iter().position(|other| *other == number);
    known.unwrap_or_else(|| {
        series.push(number);
        series.len() - 1
    })
}

/// The series that a condition is about, by number; one place without a series for a condition that is about none.
pub fn series_of<'a>(
    condition: &'a Condition,
    keys: &'a [Arc<SeriesKey>],
) -> impl Iterator<Item = Option<(u32, &'a Arc<SeriesKey>)>> {
    let threshold = condition.threshold();
    let series = (0..).zip(keys).filter(move |(_, key)| {
        threshold.is_some_and(|threshold| {
            threshold.metric == key.metric
                && threshold
                    .instance
                    .as_ref()
                    .is_none_or(|instance| Some(instance) == key.instance.as_ref())
        })
    });
    let whole_host = threshold.is_none().then_some(None);
    series.map(Some).chain(whole_host)
}
