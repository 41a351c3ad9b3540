//! Metrics: the catalogue, a host's series, samples, trends, fleet trends and top lists.

use std::sync::Arc;

use chrono::TimeDelta;
use poem::Request;
use poem::web::Data;
use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, OpenApi, ResponseContent};
use uuid::Uuid;

use super::Tags;
use super::body::{Csv, Encoded, Reply, csv_cell, wants_csv};
use super::guard::Viewer;
use super::host::{find, select};
use super::paging::{decoded, page_limit};
use super::problem::ApiError;
use crate::app::App;
use crate::domain;
use crate::flows::query::{self, GroupBy, Selection, off_thread};
use crate::wire::metric::{Aggregate, Catalog, Column, Columns, Metric, SeriesInfo, Top, TopItem};
use crate::wire::page::{Limit, Page};
use crate::wire::scalar::{MetricName, Moment, Nullable, Number};

/// Range that is taken when none is named.
const DEFAULT_RANGE: TimeDelta = TimeDelta::hours(1);
/// Items of a top list when none are named.
const DEFAULT_TOP: i64 = 10;
/// Longest step, in seconds: ten years.
const MAX_STEP_SECONDS: i64 = 315_360_000;

/// Columns, as JSON or, when asked for, as CSV.
#[derive(ResponseContent)]
pub enum ColumnsContent {
    /// Ready for a chart.
    Json(Encoded<Columns>),
    /// A line for each timestamp, a column for each series.
    Csv(Csv),
}

/// Columns.
#[derive(ApiResponse)]
pub enum ColumnsReply {
    /// Done.
    #[oai(status = 200)]
    Ok(ColumnsContent),
}

/// Metrics.
pub struct MetricApi;

#[OpenApi(tag = "Tags::Metrics")]
#[expect(
    clippy::too_many_arguments,
    reason = "each is a parameter of the document"
)]
impl MetricApi {
    /// Name, unit and meaning of every metric that agents measure by themselves.
    ///
    /// Least role: viewer.
    #[oai(
        path = "/metrics/catalog",
        method = "get",
        operation_id = "list_metrics"
    )]
    async fn list_metrics(&self, _caller: Viewer) -> Result<Reply<Catalog>, ApiError> {
        Ok(Reply(Catalog {
            items: domain::metric::CATALOG.iter().map(Metric::from).collect(),
        }))
    }

    /// A host's series with their latest values.
    ///
    /// Least role: viewer.
    #[oai(
        path = "/hosts/:host_id/series",
        method = "get",
        operation_id = "list_series"
    )]
    async fn list_series(
        &self,
        _caller: Viewer,
        app: Data<&Arc<App>>,
        host_id: Path<Uuid>,
        /// Items of a page.
        limit: Query<Option<Limit>>,
        /// `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Reply<Page<SeriesInfo>>, ApiError> {
        let host = find(&app, host_id.0)?;
        let mut series = app.store.series.with_head(host.number, |head| {
            let latest = (0..)
                .zip(head.keys())
                .map(|(number, key)| (key.clone(), head.latest(number)));
            latest.collect::<Vec<_>>()
        });
        series.sort_by_cached_key(|(key, _)| series_key(key));
        if let Some(after) = decoded(cursor.0)? {
            series.retain(|(key, _)| series_key(key) > after);
        }
        let limit = page_limit(limit.0);
        Ok(Reply(Page::cut(
            series,
            limit,
            |(key, _)| series_key(key),
            |(key, latest)| SeriesInfo {
                unit: domain::metric::unit(&key.metric).to_owned(),
                metric: key.metric.clone(),
                instance: key.instance.clone().into(),
                latest_value: Nullable(latest.map(|(_, value)| Number(value))),
                latest_at: Nullable(latest.map(|(at, _)| at)),
            },
        )))
    }

    /// Raw samples of a host.
    ///
    /// Least role: viewer. At most 10,000 samples a series. `Accept: text/csv` gives CSV.
    #[oai(
        path = "/hosts/:host_id/samples",
        method = "get",
        operation_id = "get_samples"
    )]
    async fn get_samples(
        &self,
        _caller: Viewer,
        app: Data<&Arc<App>>,
        request: &Request,
        host_id: Path<Uuid>,
        /// Metric name; may repeat.
        metric: Query<Vec<MetricName>>,
        /// One instance; all of them if absent.
        instance: Query<Option<String>>,
        /// First moment, inclusive: RFC 3339 or Unix seconds; an hour before `to` if absent.
        from: Query<Option<Moment>>,
        /// Last moment, exclusive; now if absent.
        to: Query<Option<Moment>>,
    ) -> Result<ColumnsReply, ApiError> {
        let host = find(&app, host_id.0)?;
        let selection = selection(&app, metric.0, instance.0, from.0, to.0)?;
        let store = Arc::clone(&app);
        let as_csv = wants_csv(request);
        off_thread(&app, move || {
            reply(as_csv, query::samples(&store, &host, &selection)?)
        })
        .await
    }

    /// Aggregates of a host's series over buckets of time.
    ///
    /// Least role: viewer. Buckets start at multiples of `step`; an empty bucket is `null`. At most 10,000 points a
    /// series. `Accept: text/csv` gives CSV.
    #[oai(
        path = "/hosts/:host_id/trends",
        method = "get",
        operation_id = "get_trends"
    )]
    async fn get_trends(
        &self,
        _caller: Viewer,
        app: Data<&Arc<App>>,
        request: &Request,
        host_id: Path<Uuid>,
        /// Metric name; may repeat.
        metric: Query<Vec<MetricName>>,
        /// One instance; all of them if absent.
        instance: Query<Option<String>>,
        /// First moment, inclusive: RFC 3339 or Unix seconds; an hour before `to` if absent.
        from: Query<Option<Moment>>,
        /// Last moment, exclusive; now if absent.
        to: Query<Option<Moment>>,
        /// Width of a bucket in seconds, or `auto` for at most 1,000 points; `auto` if absent.
        step: Query<Option<String>>,
        /// Aggregate; may repeat; `avg` if absent.
        aggregate: Query<Option<Vec<Aggregate>>>,
    ) -> Result<ColumnsReply, ApiError> {
        let host = find(&app, host_id.0)?;
        let selection = selection(&app, metric.0, instance.0, from.0, to.0)?;
        let (step, aggregates) = (
            parse_step(step.0)?,
            aggregates(aggregate.0.unwrap_or_default()),
        );
        let store = Arc::clone(&app);
        let as_csv = wants_csv(request);
        off_thread(&app, move || {
            reply(
                as_csv,
                query::trends(&store, &host, &selection, step, &aggregates)?,
            )
        })
        .await
    }

    /// Aggregates over many hosts.
    ///
    /// Least role: viewer. With `label:<name>` and `all`, instances of a metric become one unless one is named.
    /// `Accept: text/csv` gives CSV.
    #[oai(path = "/trends", method = "get", operation_id = "get_fleet_trends")]
    async fn get_fleet_trends(
        &self,
        _caller: Viewer,
        app: Data<&Arc<App>>,
        request: &Request,
        /// Metric name; may repeat.
        metric: Query<Vec<MetricName>>,
        /// One instance; all of them if absent.
        instance: Query<Option<String>>,
        /// Only hosts with this label, as `name=value`; may repeat.
        label: Query<Option<Vec<String>>>,
        /// `host`, `all`, or `label:<name>`; `host` if absent.
        group_by: Query<Option<String>>,
        /// First moment, inclusive: RFC 3339 or Unix seconds; an hour before `to` if absent.
        from: Query<Option<Moment>>,
        /// Last moment, exclusive; now if absent.
        to: Query<Option<Moment>>,
        /// Width of a bucket in seconds, or `auto` for at most 1,000 points; `auto` if absent.
        step: Query<Option<String>>,
        /// Aggregate; may repeat; `avg` if absent.
        aggregate: Query<Option<Vec<Aggregate>>>,
    ) -> Result<ColumnsReply, ApiError> {
        let group_by: GroupBy = group_by
            .0
            .as_deref()
            .unwrap_or("host")
            .parse()
            .map_err(|message| ApiError::invalid("group_by", message))?;
        let hosts = select(&app, &label.0.unwrap_or_default())?;
        let selection = selection(&app, metric.0, instance.0, from.0, to.0)?;
        let (step, aggregates) = (
            parse_step(step.0)?,
            aggregates(aggregate.0.unwrap_or_default()),
        );
        let store = Arc::clone(&app);
        let as_csv = wants_csv(request);
        off_thread(&app, move || {
            reply(
                as_csv,
                query::fleet_trends(&store, &hosts, &selection, step, &aggregates, &group_by)?,
            )
        })
        .await
    }

    /// Hosts with the greatest value of a metric over a range.
    ///
    /// Least role: viewer. Of a host's instances the greatest counts.
    #[oai(path = "/top", method = "get", operation_id = "get_top")]
    async fn get_top(
        &self,
        _caller: Viewer,
        app: Data<&Arc<App>>,
        /// Metric name.
        metric: Query<MetricName>,
        /// One instance; all of them if absent.
        instance: Query<Option<String>>,
        /// Only hosts with this label, as `name=value`; may repeat.
        label: Query<Option<Vec<String>>>,
        /// Aggregate over the range; `avg` if absent.
        aggregate: Query<Option<Aggregate>>,
        /// First moment, inclusive: RFC 3339 or Unix seconds; an hour before `to` if absent.
        from: Query<Option<Moment>>,
        /// Last moment, exclusive; now if absent.
        to: Query<Option<Moment>>,
        /// Length of the list; 10 if absent.
        limit: Query<Option<Limit>>,
    ) -> Result<Reply<Top>, ApiError> {
        let hosts = select(&app, &label.0.unwrap_or_default())?;
        let selection = selection(&app, vec![metric.0], instance.0, from.0, to.0)?;
        let aggregate = aggregate.0.unwrap_or(Aggregate::Avg).into();
        let limit =
            usize::try_from(limit.0.map_or(DEFAULT_TOP, |limit| limit.0)).unwrap_or_default();
        let store = Arc::clone(&app);
        let items = off_thread(&app, move || {
            query::top(&store, hosts, &selection, aggregate, limit)
        })
        .await?;
        let shape = |item: query::TopItem| TopItem {
            host_id: item.host.host_id,
            name: item.host.name().to_owned(),
            instance: item.instance.into(),
            value: Number(item.value),
        };
        Ok(Reply(Top {
            items: items.into_iter().map(shape).collect(),
        }))
    }
}

fn series_key(key: &domain::report::SeriesKey) -> String {
    format!(
        "{}\u{0}{}",
        key.metric,
        key.instance.as_deref().unwrap_or_default()
    )
}

fn selection(
    app: &App,
    metrics: Vec<MetricName>,
    instance: Option<String>,
    from: Option<Moment>,
    to: Option<Moment>,
) -> Result<Selection, ApiError> {
    if metrics.is_empty() {
        return Err(ApiError::invalid("metric", "is required"));
    }
    let to = to.map_or_else(
        || app.clock.now() + TimeDelta::seconds(1),
        |moment| moment.0,
    );
    let from = from.map_or_else(
        || to.checked_sub_signed(DEFAULT_RANGE).unwrap_or(to),
        |moment| moment.0,
    );
    Ok(Selection {
        metrics: metrics.into_iter().map(|metric| metric.0).collect(),
        instance,
        from: from.timestamp(),
        to: to.timestamp(),
    })
}

fn parse_step(step: Option<String>) -> Result<Option<i64>, ApiError> {
    match step.as_deref() {
        None | Some("auto") => Ok(None),
        Some(text) => match text.parse() {
            Ok(seconds) if (1..=MAX_STEP_SECONDS).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(ApiError::invalid(
                "step",
                "must be auto or whole seconds from 1 to 315360000",
            )),
        },
    }
}

fn aggregates(wanted: Vec<Aggregate>) -> Vec<domain::series::Aggregate> {
    let mut aggregates: Vec<domain::series::Aggregate> = Vec::new();
    for aggregate in wanted.into_iter().map(domain::series::Aggregate::from) {
        if !aggregates.contains(&aggregate) {
            aggregates.push(aggregate);
        }
    }
    if aggregates.is_empty() {
        aggregates.push(domain::series::Aggregate::Avg);
    }
    aggregates
}

fn reply(as_csv: bool, columns: query::Columns) -> Result<ColumnsReply, ApiError> {
    Ok(ColumnsReply::Ok(if as_csv {
        ColumnsContent::Csv(Csv(csv(&columns)))
    } else {
        ColumnsContent::Json(Encoded::new(&shape(columns))?)
    }))
}

fn shape(columns: query::Columns) -> Columns {
    Columns {
        from: columns.from,
        to: columns.to,
        step: columns.step.into(),
        timestamps: columns.timestamps,
        series: columns
            .columns
            .into_iter()
            .map(|column| Column {
                host_id: column.host_id.into(),
                group: column.group.into(),
                unit: domain::metric::unit(&column.key.metric).to_owned(),
                metric: column.key.metric,
                instance: column.key.instance.into(),
                aggregate: Nullable(column.aggregate.map(shape_aggregate)),
                values: column
                    .values
                    .into_iter()
                    .map(|value| Nullable(value.map(Number)))
                    .collect(),
            })
            .collect(),
    }
}

fn shape_aggregate(aggregate: domain::series::Aggregate) -> Aggregate {
    use domain::series::Aggregate as Domain;
    match aggregate {
        Domain::Avg => Aggregate::Avg,
        Domain::Min => Aggregate::Min,
        Domain::Max => Aggregate::Max,
        Domain::Sum => Aggregate::Sum,
        Domain::Count => Aggregate::Count,
        Domain::Last => Aggregate::Last,
        Domain::P50 => Aggregate::P50,
        Domain::P95 => Aggregate::P95,
        Domain::P99 => Aggregate::P99,
    }
}

/// A line for each timestamp; the header names group, host id, metric, instance and aggregate, as far as there are.
fn csv(columns: &query::Columns) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = columns.columns.iter().map(|column| {
        let host_id = column
            .group
            .as_ref()
            .and(column.host_id)
            .map(|id| id.to_string());
        let parts = [
            column.group.as_deref(),
            host_id.as_deref(),
            Some(column.key.metric.as_str()),
            column.key.instance.as_deref(),
            column.aggregate.map(domain::series::Aggregate::as_str),
        ];
        csv_cell(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
    });
    // Writing into memory cannot fail, and every line has as many cells as the header.
    let _ = writer.write_record(std::iter::once("timestamp".to_owned()).chain(names));
    for (row, at) in columns.timestamps.iter().enumerate() {
        let cells = columns.columns.iter().map(|column| {
            column
                .values
                .get(row)
                .copied()
                .flatten()
                .map_or_else(String::new, |value| value.to_string())
        });
        let _ = writer.write_record(std::iter::once(at.to_string()).chain(cells));
    }
    writer.into_inner().unwrap_or_default()
}
