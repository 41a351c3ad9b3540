//! The short way of an ordinary report: one that brings points and nothing new about its host.
//!
//! It only ever accepts. Whatever is unusual (compression, facts, a snapshot, series not seen before in this form, any
//! error) goes the long way, with its body put back: there alone is decided what is refused and in which words.
//! `tests/fast.rs` holds the two against each other.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use poem::http::{Method, header};
use poem::{Body, IntoResponse, Request, Response};
use poem_openapi::payload::Payload as _;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::body::{self, Accepted, JsonBody};
use super::guard;
use super::problem::ApiError;
use super::report::{Received, settle};
use super::server::Connection;
use crate::app::App;
use crate::domain::host::Host;
use crate::domain::report::{Point, SeriesKey};
use crate::flows::ingest::{self, Ordinary};
use crate::store::series::Columns;
use crate::wire::report::{MAX_POINTS, MAX_SERIES, Report, ReportOutcome, ReportSeries};
use crate::wire::scalar::List;

/// Where reports go.
const PATH: &str = "/api/v1/agent/reports";
/// Larger bodies are a backlog or a snapshot, and not worth a shortcut, in bytes.
const BODY_BYTES: usize = 16 * 1024;

/// Answers an ordinary report; `None` for everything else, with the request as it came.
pub async fn answer(app: &Arc<App>, request: &mut Request) -> Option<Response> {
    let length = ordinary_length(request)?;
    let token = bearer(request)?;
    let now = app.clock.now();
    let (host, _) = app.tokens.host(&app.store, token, now)?;
    guard::authenticated(request);
    let started = Instant::now();
    let memory = u32::try_from(length * body::MEMORY_FACTOR).ok()?;
    let _room = app.body_bytes.try_acquire_many(memory).ok()?;
    let due = request.extensions().get::<Arc<Connection>>()?.body_due();
    let bytes = match body::collect(request.take_body(), BODY_BYTES, due).await {
        Ok(bytes) => bytes,
        Err(error) => {
            let received = Received::unread(started);
            return Some(respond(settle(app, &host, received, Err(error))));
        }
    };
    let Some((report_id, ordinary)) = understand(app, &host, &bytes, now) else {
        request.set_body(Body::from(bytes));
        return None;
    };
    let received = Received {
        report_id,
        points: ordinary.points.len(),
        wire_bytes: bytes.len(),
        started,
    };
    app.metrics.reports_short.inc();
    let outcome = ingest::ingest_ordinary(app, &host, ordinary).await;
    let outcome = outcome.map_err(ApiError::from);
    Some(respond(settle(app, &host, received, outcome)))
}

fn respond(settled: Result<Accepted<ReportOutcome>, ApiError>) -> Response {
    match settled {
        Ok(accepted) => accepted.into_response(),
        Err(error) => error.into_response(),
    }
}

/// The length of a body that may go the short way.
fn ordinary_length(request: &Request) -> Option<usize> {
    let headers = request.headers();
    let is_report = request.method() == Method::POST && request.uri().path() == PATH;
    let media = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let length: usize = headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    (is_report
        && request.uri().query().is_none()
        && !headers.contains_key(header::CONTENT_ENCODING)
        && JsonBody::<Report>::check_content_type(media)
        && length <= BODY_BYTES)
        .then_some(length)
}

fn bearer(request: &Request) -> Option<&str> {
    let mut given = request.headers().get_all(header::AUTHORIZATION).iter();
    let token = given.next()?.to_str().ok()?.strip_prefix("Bearer ")?;
    given.next().is_none().then_some(token)
}

/// Reads a body that says nothing but points. What its series are is known by their very bytes from the report before.
fn understand(
    app: &App,
    host: &Host,
    bytes: &[u8],
    now: DateTime<Utc>,
) -> Option<(Uuid, Ordinary)> {
    let report: PlainReport<'_> = serde_json::from_slice(bytes).ok()?;
    if !ingest::says_nothing_new(
        host,
        &report.agent_version,
        report.interval_seconds,
        report.snapshot_interval_seconds,
        report.snapshot_hash.as_deref(),
        now,
    ) {
        return None;
    }
    let text = report.series.get();
    let (columns, width) = match app.store.series.known_columns(host.number, text) {
        Some(numbers) => {
            let width = numbers.len();
            (Columns::Known(numbers), width)
        }
        None => {
            let names = read_series(text)?;
            let width = names.len();
            (Columns::Named(names, Some(text.into())), width)
        }
    };
    let fits = report.points.len() <= MAX_POINTS
        && report
            .points
            .iter()
            .all(|point| point.values.len() == width);
    fits.then_some((
        report.report_id,
        Ordinary {
            columns,
            points: report.points,
            names_snapshot: report.snapshot_hash.is_some(),
        },
    ))
}

/// The names of a report's series, by the checked types of the document.
fn read_series(text: &str) -> Option<Vec<SeriesKey>> {
    // Objects alone: serde's derived types would take an array of their fields for one.
    let list: List<&RawValue, MAX_SERIES> = serde_json::from_str(text).ok()?;
    let mut names = Vec::with_capacity(list.0.len());
    for item in &list.0 {
        if !item.get().starts_with('{') {
            return None;
        }
        let series: ReportSeries = serde_json::from_str(item.get()).ok()?;
        names.push(SeriesKey::from(series));
    }
    let mut sorted: Vec<&SeriesKey> = names.iter().collect();
    sorted.sort_unstable();
    let is_twice = sorted.windows(2).any(|pair| pair[0] == pair[1]);
    (!is_twice).then_some(names)
}

/// A report without facts and snapshot, borrowed from its body.
struct PlainReport<'a> {
    report_id: Uuid,
    agent_version: Cow<'a, str>,
    interval_seconds: u32,
    snapshot_interval_seconds: u32,
    series: &'a RawValue,
    points: Vec<Point>,
    snapshot_hash: Option<Cow<'a, str>>,
}

/// Sets a field that is to be given once.
fn once<T, E: Error>(field: &mut Option<T>, value: T) -> Result<(), E> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("given twice")),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for PlainReport<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = PlainReport<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an ordinary report")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut report_id, mut sent_at) = (None, None::<DateTime<Utc>>);
                let (mut agent_version, mut snapshot_hash) = (None, None);
                let (mut interval_seconds, mut snapshot_interval_seconds) = (None, None);
                let (mut series, mut points) = (None, None);
                while let Some(name) = map.next_key::<&str>()? {
                    match name {
                        "report_id" => once(&mut report_id, map.next_value()?)?,
                        "agent_version" => {
                            once(&mut agent_version, map.next_value::<Text<'_>>()?.0)?;
                        }
                        "sent_at" => once(&mut sent_at, map.next_value()?)?,
                        "interval_seconds" => once(&mut interval_seconds, map.next_value()?)?,
                        "snapshot_interval_seconds" => {
                            once(&mut snapshot_interval_seconds, map.next_value()?)?;
                        }
                        "series" => once(&mut series, map.next_value()?)?,
                        "points" => once(&mut points, map.next_value::<Points>()?.0)?,
                        "snapshot_hash" => {
                            once(&mut snapshot_hash, map.next_value::<Text<'_>>()?.0)?;
                        }
                        "host" | "snapshot" => return Err(A::Error::custom("not ordinary")),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                let missing = || A::Error::custom("a field is missing");
                sent_at.ok_or_else(missing)?;
                Ok(PlainReport {
                    report_id: report_id.ok_or_else(missing)?,
                    agent_version: agent_version.ok_or_else(missing)?,
                    interval_seconds: interval_seconds.ok_or_else(missing)?,
                    snapshot_interval_seconds: snapshot_interval_seconds.ok_or_else(missing)?,
                    series: series.ok_or_else(missing)?,
                    points: points.ok_or_else(missing)?,
                    snapshot_hash,
                })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Points, straight into the domain's.
struct Points(Vec<Point>);

impl<'de> Deserialize<'de> for Points {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = Points;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("points")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Points, A::Error> {
                let mut points = Vec::with_capacity(1);
                while let Some(OnePoint(point)) = items.next_element()? {
                    points.push(point);
                }
                Ok(Points(points))
            }
        }

        deserializer.deserialize_seq(Items)
    }
}

struct OnePoint(Point);

impl<'de> Deserialize<'de> for OnePoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = OnePoint;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a point")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OnePoint, A::Error> {
                let (mut at, mut values) = (None, None);
                while let Some(name) = map.next_key::<&str>()? {
                    match name {
                        "at" => once(&mut at, map.next_value()?)?,
                        "values" => once(&mut values, map.next_value()?)?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                let values: Vec<Option<f64>> =
                    values.ok_or_else(|| A::Error::missing_field("values"))?;
                if values.iter().flatten().any(|value| !value.is_finite()) {
                    return Err(A::Error::custom("not finite"));
                }
                Ok(OnePoint(Point {
                    at: at.ok_or_else(|| A::Error::missing_field("at"))?,
                    values,
                }))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}
