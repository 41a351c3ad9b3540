//! Metrics in JSON: the catalogue, series, and columns ready for a chart.

use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::scalar::{Nullable, Number};
use crate::domain;

/// How values of a bucket become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
pub enum Aggregate {
    /// Arithmetic mean.
    Avg,
    /// Least.
    Min,
    /// Greatest.
    Max,
    /// Sum.
    Sum,
    /// Number of values.
    Count,
    /// The latest.
    Last,
    /// Median.
    P50,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
}

impl From<Aggregate> for domain::series::Aggregate {
    fn from(aggregate: Aggregate) -> Self {
        match aggregate {
            Aggregate::Avg => Self::Avg,
            Aggregate::Min => Self::Min,
            Aggregate::Max => Self::Max,
            Aggregate::Sum => Self::Sum,
            Aggregate::Count => Self::Count,
            Aggregate::Last => Self::Last,
            Aggregate::P50 => Self::P50,
            Aggregate::P95 => Self::P95,
            Aggregate::P99 => Self::P99,
        }
    }
}

/// One metric of the catalogue.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Metric {
    /// Name.
    pub name: String,
    /// Unit in UCUM: `%`, `By/s`, `s`, `1`.
    pub unit: String,
    /// What the instance is, where there is one.
    pub instance: Nullable<String>,
    /// One sentence.
    pub description: String,
}

impl From<&domain::metric::Metric> for Metric {
    fn from(metric: &domain::metric::Metric) -> Self {
        Self {
            name: metric.name.to_owned(),
            unit: metric.unit.to_owned(),
            instance: Nullable(metric.instance.map(str::to_owned)),
            description: metric.description.to_owned(),
        }
    }
}

/// One series of a host with its latest value.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct SeriesInfo {
    /// Metric name.
    pub metric: String,
    /// Which of several.
    pub instance: Nullable<String>,
    /// Unit.
    pub unit: String,
    /// The latest value.
    pub latest_value: Nullable<Number>,
    /// When it was measured, Unix seconds.
    pub latest_at: Nullable<i64>,
}

/// One column of an answer.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Column {
    /// The host; `null` where hosts are grouped.
    pub host_id: Nullable<Uuid>,
    /// The group: a host's name, a label's value, or `all`; `null` for one host.
    pub group: Nullable<String>,
    /// Metric name.
    pub metric: String,
    /// Which of several.
    pub instance: Nullable<String>,
    /// How values were brought together; `null` for raw samples.
    pub aggregate: Nullable<Aggregate>,
    /// Unit.
    pub unit: String,
    /// One for each timestamp; `null` where there is none.
    pub values: Vec<Nullable<Number>>,
}

/// Columns over one list of timestamps.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Columns {
    /// First moment, Unix seconds, inclusive.
    pub from: i64,
    /// Last moment, Unix seconds, exclusive.
    pub to: i64,
    /// Width of a bucket in seconds; `null` for raw samples.
    pub step: Nullable<i64>,
    /// Unix seconds, rising.
    pub timestamps: Vec<i64>,
    /// The columns.
    pub series: Vec<Column>,
}

/// One line of a top list.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct TopItem {
    /// The host.
    pub host_id: Uuid,
    /// Its name.
    pub name: String,
    /// The instance that has the value.
    pub instance: Nullable<String>,
    /// The value.
    pub value: Number,
}

/// A top list, greatest first.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Top {
    /// In order.
    pub items: Vec<TopItem>,
}

/// The catalogue.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Catalog {
    /// Every metric that agents measure by themselves.
    pub items: Vec<Metric>,
}
