//! Reading series: raw samples, trends, fleet trends and top lists, each bounded in points and time.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::FlowError;
use crate::app::App;
use crate::domain::host::Host;
use crate::domain::report::SeriesKey;
use crate::domain::series::{Aggregate, Buckets, Grid, MAX_POINTS, auto_step};
use crate::domain::tier::Tier;
use crate::store::series::{Fragment, Reading, Wanted};

/// A query that takes longer is ended.
const QUERY_SECONDS: u64 = 5;
/// Most values in one answer, nulls included: bounds its memory whatever the mix of series, points and aggregates.
const MAX_CELLS: usize = 2_000_000;

/// How many points are read between two looks at the budget.
const POINTS_A_LOOK: usize = 1024;

/// How long a query waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does the work of a query when its turn has come: off the async threads, so that probes and reports go on.
///
/// # Errors
/// [`FlowError::Busy`] when too many are under way, and those of the work.
pub async fn off_thread<T: Send + 'static, E: From<FlowError> + Send + 'static>(
    app: &App,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let place = tokio::time::timeout(PATIENCE, Arc::clone(&app.queries).acquire_owned()).await;
    let place = place
        .map_err(|_| FlowError::Busy)?
        .map_err(|_| FlowError::Busy)?;
    let done = tokio::task::spawn_blocking(move || {
        // The place is taken until the work ends, also when nobody waits for it any more.
        let _place = place;
        work()
    });
    match done.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(FlowError::Busy.into()),
        },
    }
}

/// What a query may still use.
struct Budget {
    deadline: Instant,
    cells: usize,
}

impl Budget {
    fn new() -> Self {
        Self {
            deadline: Instant::now() + Duration::from_secs(QUERY_SECONDS),
            cells: MAX_CELLS,
        }
    }

    /// Takes the values of one more series.
    fn take(&mut self, cells: usize) -> Result<(), FlowError> {
        if Instant::now() > self.deadline {
            return Err(FlowError::QueryTimeout(QUERY_SECONDS));
        }
        self.cells = self.cells.checked_sub(cells).ok_or_else(|| {
            let message = format!(
                "gives more than {MAX_CELLS} values; ask for fewer series, points or aggregates"
            );
            FlowError::invalid("metric", message)
        })?;
        Ok(())
    }
}

/// The range and the series that a query asks for.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Metric names.
    pub metrics: Vec<String>,
    /// One instance, or all of them.
    pub instance: Option<String>,
    /// First moment, Unix seconds, inclusive.
    pub from: i64,
    /// Last moment, Unix seconds, exclusive.
    pub to: i64,
}

impl Selection {
    fn matches(&self, key: &SeriesKey) -> bool {
        self.metrics.contains(&key.metric)
            && self
                .instance
                .as_ref()
                .is_none_or(|instance| key.instance.as_ref() == Some(instance))
    }

    fn check(&self) -> Result<(), FlowError> {
        if self.from >= self.to {
            return Err(FlowError::invalid("to", "must be after from"));
        }
        if self.from < 0 || self.to > 1 << 40 {
            return Err(FlowError::invalid(
                "from",
                "must be after 1970 and within reason",
            ));
        }
        Ok(())
    }
}

/// One column of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The host, unless hosts are grouped.
    pub host_id: Option<Uuid>,
    /// The group, unless it is one host's answer.
    pub group: Option<String>,
    /// The series; with grouped instances, without an instance.
    pub key: SeriesKey,
    /// How values were brought together; none for raw samples.
    pub aggregate: Option<Aggregate>,
    /// One for each timestamp.
    pub values: Vec<Option<f64>>,
}

/// Columns over one list of timestamps.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// First moment, Unix seconds, inclusive.
    pub from: i64,
    /// Last moment, Unix seconds, exclusive.
    pub to: i64,
    /// Width of a bucket in seconds; none for raw samples.
    pub step: Option<i64>,
    /// Unix seconds, rising.
    pub timestamps: Vec<i64>,
    /// The columns.
    pub columns: Vec<Column>,
}

/// Moments, in Unix seconds, and their values.
type Points = Vec<(i64, f64)>;

/// A host's series that a selection names, by number and by name.
fn wanted(app: &App, host: &Host, selection: &Selection) -> (Wanted, Vec<Arc<SeriesKey>>) {
    app.store.series.with_head(host.number, |head| {
        let named = (0..)
            .zip(head.keys())
            .filter(|(_, key)| selection.matches(key))
            .map(|(number, key)| (number, Arc::clone(key)));
        let (series, keys) = named.unzip();
        let wanted = Wanted {
            host: host.number,
            series,
        };
        (wanted, keys)
    })
}

/// Raw samples of one host.
///
/// # Errors
/// [`FlowError::Invalid`] for an impossible range or too many points, which a trend would not have.
pub fn samples(app: &App, host: &Host, selection: &Selection) -> Result<Columns, FlowError> {
    selection.check()?;
    let mut budget = Budget::new();
    let (wanted, keys) = wanted(app, host, selection);
    let mut series: Vec<(Arc<SeriesKey>, Points)> =
        keys.into_iter().map(|key| (key, Points::new())).collect();
    let too_long = || {
        FlowError::invalid(
            "from",
            format!(
                "the range holds more than {MAX_POINTS} samples a series; ask for a shorter one, or for trends"
            ),
        )
    };
    let reading = Reading {
        hosts: vec![wanted],
        from: selection.from,
        to: selection.to,
        step: None,
    };
    let limit = usize::try_from(MAX_POINTS).unwrap_or(usize::MAX);
    app.store.series.read(&reading, |_, index, fragment| {
        if let (Some((_, points)), Fragment::Point(at, value)) = (series.get_mut(index), fragment) {
            if points.len() >= limit {
                return Err(too_long());
            }
            if points.len() % POINTS_A_LOOK == 0 {
                budget.take(POINTS_A_LOOK)?;
            }
            points.push((at, value));
        }
        Ok(())
    })?;
    series.retain(|(_, points)| !points.is_empty());
    for (_, points) in &mut series {
        // Recent points come first, from memory.
        points.sort_by_key(|(at, _)| *at);
    }
    let mut timestamps: Vec<i64> = series
        .iter()
        .flat_map(|(_, points)| points.iter().map(|(at, _)| *at))
        .collect();
    timestamps.sort_unstable();
    timestamps.dedup();
    if timestamps.len() > limit {
        return Err(too_long());
    }
    // Series that were measured at different moments share the timestamps of all.
    budget.take(
        (timestamps.len() * series.len())
            .saturating_sub(series.iter().map(|(_, points)| points.len()).sum()),
    )?;
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let columns = series
        .into_iter()
        .map(|(key, points)| {
            let mut values = vec![None; timestamps.len()];
            for (at, value) in points {
                if let Some(cell) = timestamps
                    .binary_search(&at)
                    .ok()
                    .and_then(|index| values.get_mut(index))
                {
                    *cell = Some(value);
                }
            }
            Column {
                host_id: Some(host.host_id),
                group: None,
                key: SeriesKey::clone(&key),
                aggregate: None,
                values,
            }
        })
        .collect();
    Ok(Columns {
        from: selection.from,
        to: selection.to,
        step: None,
        timestamps,
        columns,
    })
}

/// Which hosts become one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// Each for itself.
    Host,
    /// Those with the same value of a label.
    Label(String),
    /// All of them.
    All,
}

impl std::str::FromStr for GroupBy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "host" => Ok(Self::Host),
            "all" => Ok(Self::All),
            _ => match text.strip_prefix("label:") {
                Some(name) if !name.is_empty() => Ok(Self::Label(name.to_owned())),
                _ => Err("must be host, all or label:<name>"),
            },
        }
    }
}

/// What identifies one column while it is gathered.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ColumnKey {
    group: Option<String>,
    host_id: Option<Uuid>,
    key: SeriesKey,
}

/// The grid of a trend. Where points are no longer kept, its step is at least that of the buckets that are.
fn check_grid(
    app: &App,
    interval: i64,
    selection: &Selection,
    step: Option<i64>,
    aggregates: &[Aggregate],
) -> Result<Grid, FlowError> {
    selection.check()?;
    check_percentiles(app, selection, step, aggregates)?;
    let series = &app.store.series;
    let is_before = |since: Option<i64>| since.is_some_and(|since| selection.from < since);
    let least = if is_before(series.five_minutes_since()) {
        Tier::Hour.step_seconds()
    } else if is_before(series.raw_since()) {
        Tier::FiveMinutes.step_seconds()
    } else {
        1
    };
    let step = step.unwrap_or_else(|| auto_step(selection.from, selection.to, interval.max(least)));
    let grid = Grid {
        from: selection.from,
        to: selection.to,
        step: step.max(least),
    };
    if i64::try_from(grid.len()).unwrap_or(i64::MAX) > MAX_POINTS {
        return Err(FlowError::invalid(
            "step",
            format!("makes more than {MAX_POINTS} points; take a larger step or a shorter range"),
        ));
    }
    Ok(grid)
}

/// Percentiles are exact, from points; where those are gone, only the 95th of whole hours is left.
fn check_percentiles(
    app: &App,
    selection: &Selection,
    step: Option<i64>,
    aggregates: &[Aggregate],
) -> Result<(), FlowError> {
    let needs_points = aggregates.iter().any(|aggregate| match aggregate {
        Aggregate::P95 => step != Some(Tier::Hour.step_seconds()),
        aggregate => aggregate.quantile().is_some(),
    });
    match app.store.series.raw_since() {
        Some(since) if needs_points && selection.from < since => {
            let since = since.min(selection.to.max(selection.from));
            let oldest = DateTime::<Utc>::from_timestamp(since, 0).unwrap_or_default();
            Err(FlowError::invalid(
                "from",
                format!(
                    "percentiles need single points, which are kept from {} on; p95 with a step of 3600 goes back further",
                    oldest.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Series being gathered into columns over one grid.
struct Gathering<'a> {
    app: &'a App,
    selection: &'a Selection,
    grid: Grid,
    aggregates: &'a [Aggregate],
    budget: Budget,
    places: BTreeMap<ColumnKey, usize>,
    columns: Vec<Buckets>,
}

impl<'a> Gathering<'a> {
    fn new(
        app: &'a App,
        selection: &'a Selection,
        grid: Grid,
        aggregates: &'a [Aggregate],
    ) -> Self {
        Self {
            app,
            selection,
            grid,
            aggregates,
            budget: Budget::new(),
            places: BTreeMap::new(),
            columns: Vec::new(),
        }
    }

    /// Adds the series of hosts, each to the column that `column` names.
    fn add(
        &mut self,
        hosts: &[Arc<Host>],
        column: impl Fn(&Host, &SeriesKey) -> ColumnKey,
    ) -> Result<(), FlowError> {
        let (grid, aggregates) = (self.grid, self.aggregates);
        let mut places: Vec<Vec<usize>> = Vec::with_capacity(hosts.len());
        let mut of_hosts = Vec::with_capacity(hosts.len());
        for host in hosts {
            let (wanted, keys) = wanted(self.app, host, self.selection);
            let mut of_host = Vec::with_capacity(keys.len());
            for key in &keys {
                of_host.push(match self.places.entry(column(host, key)) {
                    Entry::Occupied(entry) => *entry.get(),
                    Entry::Vacant(entry) => {
                        self.budget.take(grid.len() * aggregates.len().max(1))?;
                        self.columns.push(Buckets::new(grid, aggregates));
                        *entry.insert(self.columns.len() - 1)
                    }
                });
            }
            places.push(of_host);
            of_hosts.push(wanted);
        }
        let needs_points = aggregates
            .iter()
            .any(|aggregate| aggregate.quantile().is_some());
        let raw_since = self.app.store.series.raw_since();
        let reading = Reading {
            hosts: of_hosts,
            from: grid.from,
            to: grid.to,
            // Percentiles are taken from buckets only where points are gone, which was checked before.
            step: (!needs_points || raw_since.is_some_and(|since| grid.from < since))
                .then_some(grid.step),
        };
        let mut given = 0_usize;
        self.app
            .store
            .series
            .read(&reading, |host, index, fragment| {
                let place = places.get(host).and_then(|of_host| of_host.get(index));
                let Some(buckets) = place.and_then(|place| self.columns.get_mut(*place)) else {
                    return Ok(());
                };
                match fragment {
                    Fragment::Point(at, value) => buckets.push(at, value),
                    Fragment::Summary(at, summary) => buckets.push_summary(at, &summary),
                }
                given += 1;
                if given.is_multiple_of(POINTS_A_LOOK) {
                    self.budget.take(buckets.take_kept())?;
                }
                Ok(())
            })
    }

    fn finish(self) -> Result<Columns, FlowError> {
        let Self {
            grid,
            aggregates,
            mut budget,
            columns: mut gathered,
            places,
            ..
        } = self;
        let mut columns = Vec::new();
        for (column, place) in places {
            let Some(buckets) = gathered
                .get_mut(place)
                .filter(|buckets| !buckets.is_empty())
            else {
                continue;
            };
            budget.take(buckets.take_kept())?;
            columns.extend(aggregates.iter().map(|aggregate| Column {
                host_id: column.host_id,
                group: column.group.clone(),
                key: column.key.clone(),
                aggregate: Some(*aggregate),
                values: buckets.aggregate(*aggregate),
            }));
        }
        Ok(Columns {
            from: grid.from,
            to: grid.to,
            step: Some(grid.step),
            timestamps: grid.starts().collect(),
            columns,
        })
    }
}

/// Trends of one host; `step` in seconds, or chosen.
///
/// # Errors
/// As [`samples`].
pub fn trends(
    app: &App,
    host: &Arc<Host>,
    selection: &Selection,
    step: Option<i64>,
    aggregates: &[Aggregate],
) -> Result<Columns, FlowError> {
    let interval = i64::from(host.interval_seconds);
    let grid = check_grid(app, interval, selection, step, aggregates)?;
    let mut gathering = Gathering::new(app, selection, grid, aggregates);
    gathering.add(std::slice::from_ref(host), |host, key| ColumnKey {
        group: None,
        host_id: Some(host.host_id),
        key: key.clone(),
    })?;
    gathering.finish()
}

/// Trends over many hosts. With `label:<name>` and `all`, the instances of a metric become one unless one is named.
///
/// # Errors
/// As [`samples`], and [`FlowError::QueryTimeout`].
pub fn fleet_trends(
    app: &App,
    hosts: &[Arc<Host>],
    selection: &Selection,
    step: Option<i64>,
    aggregates: &[Aggregate],
    group_by: &GroupBy,
) -> Result<Columns, FlowError> {
    // The middle one: a single host with an odd interval must not choose the step of everyone.
    let mut intervals: Vec<i64> = hosts
        .iter()
        .map(|host| i64::from(host.interval_seconds))
        .collect();
    intervals.sort_unstable();
    let interval = intervals.get(intervals.len() / 2).copied().unwrap_or(1);
    let grid = check_grid(app, interval, selection, step, aggregates)?;
    let mut gathering = Gathering::new(app, selection, grid, aggregates);
    gathering.add(hosts, |host, key| match group_by {
        GroupBy::Host => ColumnKey {
            group: Some(host.name().to_owned()),
            host_id: Some(host.host_id),
            key: key.clone(),
        },
        GroupBy::Label(label) => merged(
            host.labels.get(label).cloned().unwrap_or_default(),
            selection,
            key,
        ),
        GroupBy::All => merged("all".to_owned(), selection, key),
    })?;
    gathering.finish()
}

fn merged(group: String, selection: &Selection, key: &SeriesKey) -> ColumnKey {
    let key = SeriesKey {
        metric: key.metric.clone(),
        instance: selection.instance.clone(),
    };
    ColumnKey {
        group: Some(group),
        host_id: None,
        key,
    }
}

/// One line of a top list.
#[derive(Clone, Debug, PartialEq)]
pub struct TopItem {
    /// The host.
    pub host: Arc<Host>,
    /// The instance with the greatest value.
    pub instance: Option<String>,
    /// The value.
    pub value: f64,
}

/// Hosts by the aggregate of a metric over a range, greatest first; of a host's instances the greatest counts.
///
/// # Errors
/// As [`fleet_trends`].
pub fn top(
    app: &App,
    hosts: Vec<Arc<Host>>,
    selection: &Selection,
    aggregate: Aggregate,
    limit: usize,
) -> Result<Vec<TopItem>, FlowError> {
    selection.check()?;
    check_percentiles(app, selection, None, &[aggregate])?;
    // One bucket over the whole range, wherever multiples of a step would fall.
    let grid = Grid {
        from: selection.from,
        to: selection.to,
        step: i64::MAX,
    };
    let aggregates = [aggregate];
    let mut gathering = Gathering::new(app, selection, grid, &aggregates);
    gathering.add(&hosts, |host, key| ColumnKey {
        group: None,
        host_id: Some(host.host_id),
        key: key.clone(),
    })?;
    let columns = gathering.finish()?.columns;
    let by_id: HashMap<Uuid, Arc<Host>> =
        hosts.into_iter().map(|host| (host.host_id, host)).collect();
    // Columns come host by host.
    let of_hosts = columns.chunk_by(|a, b| a.host_id == b.host_id);
    let mut items: Vec<TopItem> = of_hosts
        .filter_map(|columns| {
            let values = columns.iter().filter_map(|column| {
                let value = column.values.first().copied().flatten()?;
                Some((column.key.instance.clone(), value))
            });
            let (instance, value) = values.max_by(|a, b| a.1.total_cmp(&b.1))?;
            let host = by_id.get(&columns.first()?.host_id?)?;
            Some(TopItem {
                host: Arc::clone(host),
                instance,
                value,
            })
        })
        .collect();
    items.sort_by(|a, b| {
        b.value
            .total_cmp(&a.value)
            .then_with(|| a.host.name().cmp(b.host.name()))
    });
    items.truncate(limit);
    Ok(items)
}
