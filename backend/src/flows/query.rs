//! Reading series: raw samples, trends, fleet trends and top lists, each bounded in points and time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::FlowError;
use crate::app::App;
use crate::domain::host::Host;
use crate::domain::report::SeriesKey;
use crate::domain::series::{Aggregate, Buckets, Grid, MAX_POINTS, auto_step};

/// A query that takes longer is ended.
const QUERY_SECONDS: u64 = 5;
/// Most values in one answer, nulls included: bounds its memory whatever the mix of series, points and aggregates.
const MAX_CELLS: usize = 2_000_000;

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

/// Raw samples of one host.
///
/// # Errors
/// [`FlowError::Invalid`] for an impossible range or too many points, which a trend would not have.
pub fn samples(app: &App, host: &Host, selection: &Selection) -> Result<Columns, FlowError> {
    selection.check()?;
    let mut budget = Budget::new();
    let mut series: Vec<(SeriesKey, Vec<(i64, f64)>)> = Vec::new();
    let is_too_long = app.store.series.with_head(host.number, |head| {
        for (number, key) in (0..)
            .zip(head.keys())
            .filter(|(_, key)| selection.matches(key))
        {
            let mut points = Vec::new();
            head.read(number, selection.from, selection.to, |at, value| {
                points.push((at, value));
            });
            if i64::try_from(points.len()).unwrap_or(i64::MAX) > MAX_POINTS {
                return Ok(true);
            }
            budget.take(points.len())?;
            series.push((key.clone(), points));
        }
        Ok::<_, FlowError>(false)
    })?;
    let mut timestamps: Vec<i64> = series
        .iter()
        .flat_map(|(_, points)| points.iter().map(|(at, _)| *at))
        .collect();
    timestamps.sort_unstable();
    timestamps.dedup();
    if is_too_long || i64::try_from(timestamps.len()).unwrap_or(i64::MAX) > MAX_POINTS {
        return Err(FlowError::invalid(
            "from",
            format!(
                "the range holds more than {MAX_POINTS} samples a series; ask for a shorter one, or for trends"
            ),
        ));
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
                key,
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

fn check_grid(
    app_interval: i64,
    selection: &Selection,
    step: Option<i64>,
) -> Result<Grid, FlowError> {
    selection.check()?;
    let step = step.unwrap_or_else(|| auto_step(selection.from, selection.to, app_interval));
    let grid = Grid {
        from: selection.from,
        to: selection.to,
        step,
    };
    if i64::try_from(grid.len()).unwrap_or(i64::MAX) > MAX_POINTS {
        return Err(FlowError::invalid(
            "step",
            format!("makes more than {MAX_POINTS} points; take a larger step or a shorter range"),
        ));
    }
    Ok(grid)
}

/// Series being gathered into columns over one grid.
struct Gathering<'a> {
    app: &'a App,
    selection: &'a Selection,
    grid: Grid,
    aggregates: &'a [Aggregate],
    budget: Budget,
    columns: BTreeMap<ColumnKey, Buckets>,
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
            columns: BTreeMap::new(),
        }
    }

    /// Adds the series of one host, each to its column.
    fn add(
        &mut self,
        host: &Host,
        column: impl Fn(&SeriesKey) -> ColumnKey,
    ) -> Result<(), FlowError> {
        let (grid, aggregates) = (self.grid, self.aggregates);
        self.app.store.series.with_head(host.number, |head| {
            for (number, key) in (0..)
                .zip(head.keys())
                .filter(|(_, key)| self.selection.matches(key))
            {
                let buckets = match self.columns.entry(column(key)) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        self.budget.take(grid.len() * aggregates.len().max(1))?;
                        entry.insert(Buckets::new(grid, aggregates))
                    }
                };
                head.read(number, grid.from, grid.to, |at, value| {
                    buckets.push(at, value);
                });
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
            ..
        } = self;
        let mut columns = Vec::new();
        for (column, mut buckets) in self
            .columns
            .into_iter()
            .filter(|(_, buckets)| !buckets.is_empty())
        {
            budget.take(0)?;
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
    let grid = check_grid(i64::from(host.interval_seconds), selection, step)?;
    let mut gathering = Gathering::new(app, selection, grid, aggregates);
    gathering.add(host, |key| ColumnKey {
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
    let grid = check_grid(interval, selection, step)?;
    let mut gathering = Gathering::new(app, selection, grid, aggregates);
    for host in hosts {
        gathering.add(host, |key| match group_by {
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
    }
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
    // One bucket over the whole range, wherever multiples of a step would fall.
    let grid = Grid {
        from: selection.from,
        to: selection.to,
        step: i64::MAX,
    };
    let mut budget = Budget::new();
    let mut items = Vec::new();
    for host in hosts {
        let best = app.store.series.with_head(host.number, |head| {
            let keys = (0..)
                .zip(head.keys())
                .filter(|(_, key)| selection.matches(key));
            let values = keys.filter_map(|(number, key)| {
                let mut buckets = Buckets::new(grid, &[aggregate]);
                head.read(number, grid.from, grid.to, |at, value| {
                    buckets.push(at, value);
                });
                buckets
                    .aggregate(aggregate)
                    .first()
                    .copied()
                    .flatten()
                    .map(|value| (key.instance.clone(), value))
            });
            values.max_by(|a, b| a.1.total_cmp(&b.1))
        });
        items.extend(best.map(|(instance, value)| TopItem {
            host,
            instance,
            value,
        }));
        budget.take(0)?;
    }
    items.sort_by(|a, b| {
        b.value
            .total_cmp(&a.value)
            .then_with(|| a.host.name().cmp(b.host.name()))
    });
    items.truncate(limit);
    Ok(items)
}
