//! A host's series grouped into one panel for each metric: pure functions over the client's columns.

use chrono::{DateTime, FixedOffset, Utc};
use infra_watch_client::types::{Aggregate, Columns};

use crate::format::{self, Unit};
use crate::order;

/// Metrics in the order in which people look for them; others follow by name.
const ORDER: [&str; 13] = [
    "cpu_usage_percent",
    "memory_usage_percent",
    "load1",
    "load5",
    "load15",
    "disk_usage_percent",
    "network_receive_bytes_per_second",
    "network_transmit_bytes_per_second",
    "disk_read_bytes_per_second",
    "disk_write_bytes_per_second",
    "swap_usage_percent",
    "process_count",
    "uptime_seconds",
];

/// One line of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// Which of several.
    pub instance: Option<String>,
    /// The mean of each bucket.
    pub avg: Vec<Option<f64>>,
    /// The least of each bucket.
    pub min: Vec<Option<f64>>,
    /// The greatest of each bucket.
    pub max: Vec<Option<f64>>,
}

/// A metric with its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// The metric's name.
    pub metric: String,
    /// How its values are written.
    pub unit: Unit,
    /// First moment, Unix seconds.
    pub from: i64,
    /// Last moment, Unix seconds.
    pub to: i64,
    /// Width of a bucket in seconds.
    pub step_seconds: i64,
    /// The start of each bucket, Unix seconds.
    pub timestamps: Vec<i64>,
    /// One for each instance.
    pub lines: Vec<Line>,
    /// Values that are drawn across: the bound of a rule, and that for being over.
    pub bounds: Vec<f64>,
}

/// The metrics in the order of [`ORDER`], each once.
pub fn order(metrics: Vec<String>) -> Vec<String> {
    let place = |metric: &String| {
        ORDER
            .iter()
            .position(|known| known == metric)
            .unwrap_or(ORDER.len())
    };
    let mut metrics = order::sorted(metrics, &|a, b| {
        place(a).cmp(&place(b)).then_with(|| a.cmp(b))
    });
    metrics.dedup();
    metrics
}

/// The panels of `columns`, for metrics in the order given.
pub fn group(columns: &Columns, metrics: &[String]) -> Vec<Panel> {
    metrics
        .iter()
        .filter_map(|metric| panel(columns, metric))
        .collect()
}

fn panel(columns: &Columns, metric: &str) -> Option<Panel> {
    let mut lines: Vec<Line> = Vec::new();
    let mut unit = None;
    for column in columns
        .series
        .iter()
        .filter(|column| column.metric == metric)
    {
        unit = Some(Unit::parse(&column.unit));
        let place = lines
            .iter()
            .position(|line| line.instance == column.instance)
            .unwrap_or_else(|| {
                lines.push(Line {
                    instance: column.instance.clone(),
                    ..Line::default()
                });
                lines.len() - 1
            });
        let values = column.values.clone();
        match column.aggregate {
            Some(Aggregate::Min) => lines[place].min = values,
            Some(Aggregate::Max) => lines[place].max = values,
            _ => lines[place].avg = values,
        }
    }
    let lines = order::sorted(lines, &|a, b| a.instance.cmp(&b.instance));
    Some(Panel {
        metric: metric.to_owned(),
        unit: unit?,
        from: columns.from,
        to: columns.to,
        step_seconds: columns.step.unwrap_or_default(),
        timestamps: columns.timestamps.clone(),
        lines,
        bounds: Vec::new(),
    })
}

impl Line {
    /// Whether its buckets hold more than one value, so that a band says more than the line.
    pub fn has_band(&self) -> bool {
        self.min.iter().zip(&self.max).any(|(min, max)| min != max)
    }

    /// The last value that is known.
    pub fn latest(&self) -> Option<f64> {
        self.avg.iter().rev().copied().flatten().next()
    }

    /// The value at a place, if there is one.
    pub fn at(&self, place: usize) -> Option<f64> {
        self.avg.get(place).copied().flatten()
    }
}

impl Panel {
    /// Whether any line has a band.
    pub fn has_band(&self) -> bool {
        self.lines.iter().any(Line::has_band)
    }

    /// What it shows, in one sentence: "CPU, last hour: average 12.0 %, maximum 96.0 % at 14:05".
    pub fn sentence(&self, range: &str, now: DateTime<Utc>, zone: FixedOffset) -> String {
        let title = format::metric_title(&self.metric);
        let values = || self.lines.iter().flat_map(|line| line.avg.iter().flatten());
        let count = values().count();
        let greatest = self
            .lines
            .iter()
            .flat_map(|line| {
                self.timestamps.iter().zip(if line.max.is_empty() {
                    &line.avg
                } else {
                    &line.max
                })
            })
            .filter_map(|(at, value)| value.map(|value| (*at, value)))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((at, greatest)) = greatest.filter(|_| count > 0) else {
            return format!("{title}, {range}: no data");
        };
        let average = values().sum::<f64>() / count as f64;
        let clock = DateTime::from_timestamp(at, 0)
            .map(|at| format::clock(at, now, zone))
            .unwrap_or_default();
        format!(
            "{title}, {range}: average {}, maximum {} at {clock}",
            self.unit.format(average),
            self.unit.format(greatest)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel() -> Panel {
        let line = Line {
            instance: None,
            avg: vec![Some(10.0), None, Some(20.0)],
            min: vec![Some(9.0), None, Some(20.0)],
            max: vec![Some(30.0), None, Some(20.0)],
        };
        Panel {
            metric: "cpu_usage_percent".to_owned(),
            unit: Unit::Percent,
            from: 1_763_881_200,
            to: 1_763_881_380,
            step_seconds: 60,
            timestamps: vec![1_763_881_200, 1_763_881_260, 1_763_881_320],
            lines: vec![line],
            bounds: Vec::new(),
        }
    }

    #[test]
    fn a_sentence_says_what_is_seen() {
        let zone = FixedOffset::east_opt(0).unwrap();
        let now = DateTime::from_timestamp(1_763_881_400, 0).unwrap();
        assert_eq!(
            panel().sentence("last hour", now, zone),
            "CPU, last hour: average 15.0 %, maximum 30.0 % at 07:00"
        );
        let empty = Panel {
            lines: vec![Line::default()],
            timestamps: Vec::new(),
            ..panel()
        };
        assert_eq!(
            empty.sentence("last hour", now, zone),
            "CPU, last hour: no data"
        );
        assert!(panel().has_band() && !empty.has_band());
        assert_eq!(panel().lines[0].latest(), Some(20.0));
    }

    #[test]
    fn known_metrics_come_first() {
        let metrics = ["zebra", "load1", "apples", "cpu_usage_percent", "load1"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(
            order(metrics),
            ["cpu_usage_percent", "load1", "apples", "zebra"]
        );
    }
}
