//! Bodies: strict JSON in, with bounds on what is decoded, and JSON or CSV out.

use std::io::Read as _;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use poem::http::{StatusCode, header};
use poem::{Body, FromRequest, IntoResponse, Request, RequestBody, Response, Result};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, impl_apirequest_for_payload};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use uuid::Uuid;

use super::problem::ApiError;
use super::server::Connection;
use crate::app::App;
use crate::domain;
use crate::wire::collector::HandIn;
use crate::wire::parse::parse;
use crate::wire::report::Report;

/// Time that a body waits for room to be decoded in.
const PATIENCE: Duration = Duration::from_secs(5);
/// A value of two bytes in JSON takes sixteen in memory.
pub const MEMORY_FACTOR: usize = 8;
/// Largest ordinary body, in bytes, decoded.
const ORDINARY_BYTES: usize = 64 * 1024;
/// Largest body with a list, in bytes, decoded.
const LONG_BYTES: usize = 4 * 1024 * 1024;
/// Largest report on the wire, in bytes.
const REPORT_WIRE_BYTES: usize = 1024 * 1024;
/// Largest report, decoded, in bytes.
const REPORT_BYTES: usize = 8 * 1024 * 1024;
/// So much of what is too large is still taken: proxies make 502 of an answer that comes before they have sent all, and
/// an agent halves its report at 413 alone.
const DISCARDED_BYTES: usize = 4 * 1024 * 1024;
/// Decoded bytes may be so many times those on the wire.
const MAX_RATIO: usize = 100;
/// Bodies that may be larger than this, decoded, are understood off the async threads.
const OFF_THREAD_BYTES: usize = 256 * 1024;

/// A JSON body: types are strict, a key is given once, and its size is bounded before and after decoding.
pub struct JsonBody<T, const BYTES: usize = ORDINARY_BYTES>(pub T);

/// The body of a list that a person selected: thousands of items.
pub type LongJsonBody<T> = JsonBody<T, LONG_BYTES>;

/// The body of a report. Whatever is wrong with it is for the handler to say, so that each refusal is logged.
pub struct ReportBody {
    /// What was sent, checked.
    pub report: Result<domain::report::Report, ApiError>,
    /// Bytes on the wire.
    pub wire_bytes: usize,
}

impl<T: Type + Send, const BYTES: usize> Payload for JsonBody<T, BYTES> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case(Self::CONTENT_TYPE)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + DeserializeOwned + Send + 'static, const BYTES: usize> ParsePayload
    for JsonBody<T, BYTES>
{
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let bytes = read(request, body, BYTES).await?;
        Ok(Self(understand(request, bytes, BYTES, parse_body).await?))
    }
}

impl_apirequest_for_payload!(JsonBody<T, BYTES>, T: Type + DeserializeOwned + Send + 'static, const BYTES: usize);

impl Payload for ReportBody {
    const CONTENT_TYPE: &'static str = JsonBody::<Report>::CONTENT_TYPE;

    fn check_content_type(content_type: &str) -> bool {
        JsonBody::<Report>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        Report::schema_ref()
    }

    fn register(registry: &mut Registry) {
        Report::register(registry);
    }
}

impl ParsePayload for ReportBody {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let (report, wire_bytes) = match read(request, body, REPORT_WIRE_BYTES).await {
            Ok(bytes) => {
                let wire_bytes = bytes.len();
                (
                    understand(request, bytes, REPORT_BYTES, parse_report).await,
                    wire_bytes,
                )
            }
            Err(error) => (Err(error), 0),
        };
        Ok(Self { report, wire_bytes })
    }
}

impl_apirequest_for_payload!(ReportBody);

/// The body of a hand-in: as large as a report, and checked like one.
pub struct HandInBody {
    /// The lease.
    pub lease_id: Uuid,
    /// The report, or why there is none.
    pub brought: Result<domain::report::Report, domain::collection::Failure>,
    /// How long the collection took, in seconds.
    pub duration_seconds: f64,
}

impl Payload for HandInBody {
    const CONTENT_TYPE: &'static str = JsonBody::<HandIn>::CONTENT_TYPE;

    fn check_content_type(content_type: &str) -> bool {
        JsonBody::<HandIn>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        HandIn::schema_ref()
    }

    fn register(registry: &mut Registry) {
        HandIn::register(registry);
    }
}

impl ParsePayload for HandInBody {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let bytes = read(request, body, REPORT_WIRE_BYTES).await?;
        Ok(understand(request, bytes, REPORT_BYTES, parse_hand_in).await?)
    }
}

impl_apirequest_for_payload!(HandInBody);

fn parse_hand_in(bytes: &[u8]) -> Result<HandInBody, ApiError> {
    let HandIn {
        lease_id,
        duration_seconds,
        report,
        error,
    } = parse(bytes)?;
    let brought = match (report, error) {
        (Some(report), None) => Ok(report.into_domain().map_err(|error| {
            ApiError::invalid(&format!("report.{}", error.field), error.message)
        })?),
        (None, Some(error)) => Err(error.into()),
        _ => {
            return Err(ApiError::invalid(
                "report",
                "or error must be given, and not both",
            ));
        }
    };
    Ok(HandInBody {
        lease_id,
        brought,
        duration_seconds: duration_seconds.map_or(0.0, |number| number.0),
    })
}

fn parse_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    Ok(parse(bytes)?)
}

fn parse_report(bytes: &[u8]) -> Result<domain::report::Report, ApiError> {
    Ok(Report::read(bytes)?)
}

/// Decodes and parses within the memory that all bodies together may take.
async fn understand<T: Send + 'static>(
    request: &Request,
    bytes: Vec<u8>,
    limit_bytes: usize,
    parse: fn(&[u8]) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let coding = coding(request)?;
    let limit_bytes = match coding {
        Coding::Identity => bytes.len(),
        Coding::Gzip | Coding::Zstd => limit_bytes.min(bytes.len().saturating_mul(MAX_RATIO)),
    };
    let app = request.data::<Arc<App>>().ok_or_else(ApiError::internal)?;
    let permits = u32::try_from(limit_bytes * MEMORY_FACTOR).unwrap_or(u32::MAX);
    let busy = || ApiError::unavailable("too many bodies are under way; try again in a moment");
    let room = Arc::clone(&app.body_bytes).acquire_many_owned(permits);
    let room = tokio::time::timeout(PATIENCE, room)
        .await
        .map_err(|_| busy())?
        .map_err(|_| busy())?;
    let work = move || {
        let _room = room;
        parse(&decode(coding, bytes, limit_bytes)?)
    };
    if limit_bytes > OFF_THREAD_BYTES {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| ApiError::internal())?
    } else {
        work()
    }
}

/// How a body is encoded.
#[derive(Clone, Copy)]
enum Coding {
    Identity,
    Gzip,
    Zstd,
}

fn coding(request: &Request) -> Result<Coding, ApiError> {
    let Some(value) = request.headers().get(header::CONTENT_ENCODING) else {
        return Ok(Coding::Identity);
    };
    match value
        .to_str()
        .unwrap_or("?")
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "identity" | "" => Ok(Coding::Identity),
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        "zstd" => Ok(Coding::Zstd),
        _ => Err(ApiError::unsupported_media(
            "Content-Encoding must be gzip, zstd or identity",
        )),
    }
}

async fn read(
    request: &Request,
    body: &mut RequestBody,
    limit_bytes: usize,
) -> Result<Vec<u8>, ApiError> {
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|declared| declared > limit_bytes.saturating_add(DISCARDED_BYTES)) {
        return Err(ApiError::too_large(limit_bytes));
    }
    let body = body
        .take()
        .map_err(|_| ApiError::bad_request("the body is missing"))?;
    let due = request
        .extensions()
        .get::<Arc<Connection>>()
        .map(|connection| connection.body_due());
    let due = due.ok_or_else(ApiError::internal)?;
    Ok(collect(body, limit_bytes, due).await?.into())
}

/// A whole body, within its bound and its time. One that is somewhat too large is taken to its end before it is refused.
pub async fn collect(body: Body, limit_bytes: usize, due: Instant) -> Result<Bytes, ApiError> {
    let mut chunks = pin!(body.into_bytes_stream());
    let mut whole = Vec::new();
    let mut arrived_bytes = 0;
    loop {
        let chunk = match tokio::time::timeout_at(due, chunks.next()).await {
            Err(_) => return Err(ApiError::timeout()),
            Ok(None) if arrived_bytes > limit_bytes => break,
            Ok(None) => return Ok(whole.into()),
            Ok(Some(Err(_))) => return Err(ApiError::bad_request("the body ended too early")),
            Ok(Some(Ok(chunk))) => chunk,
        };
        arrived_bytes += chunk.len();
        if arrived_bytes <= limit_bytes {
            whole.extend_from_slice(&chunk);
        } else {
            whole = Vec::new();
            if arrived_bytes > limit_bytes.saturating_add(DISCARDED_BYTES) {
                break;
            }
        }
    }
    Err(ApiError::too_large(limit_bytes))
}

fn decode(coding: Coding, bytes: Vec<u8>, limit_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let reader: Box<dyn std::io::Read> = match coding {
        Coding::Identity => return Ok(bytes),
        Coding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes.as_slice())),
        Coding::Zstd => match zstd::stream::read::Decoder::with_buffer(bytes.as_slice()) {
            Ok(decoder) => Box::new(decoder),
            Err(_) => return Err(ApiError::bad_request("the body cannot be decoded")),
        },
    };
    let mut decoded = Vec::with_capacity(bytes.len().saturating_mul(4).min(limit_bytes));
    // One byte more than allowed shows that there is more.
    let allowed = u64::try_from(limit_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    reader
        .take(allowed)
        .read_to_end(&mut decoded)
        .map_err(|_| ApiError::bad_request("the body cannot be decoded"))?;
    if decoded.len() > limit_bytes {
        Err(ApiError::too_large(limit_bytes))
    } else {
        Ok(decoded)
    }
}

/// A JSON answer with a status.
pub struct Reply<T, const STATUS: u16 = 200>(pub T);

/// 201: something was made.
pub type Created<T> = Reply<T, 201>;
/// 202: a report was taken.
pub type Accepted<T> = Reply<T, 202>;

impl<T: Serialize + Send, const STATUS: u16> IntoResponse for Reply<T, STATUS> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => Response::builder()
                .status(StatusCode::from_u16(STATUS).unwrap_or(StatusCode::OK))
                .content_type("application/json")
                .header(header::CONTENT_LENGTH, bytes.len())
                .body(bytes),
            Err(error) => {
                tracing::error!(%error, "writing an answer");
                ApiError::internal().into_response()
            }
        }
    }
}

impl<T: Type + Serialize + Send, const STATUS: u16> ApiResponse for Reply<T, STATUS> {
    fn meta() -> MetaResponses {
        let content = vec![MetaMediaType {
            content_type: "application/json",
            schema: T::schema_ref(),
        }];
        let response = MetaResponse {
            description: "Done.",
            status: Some(STATUS),
            status_range: None,
            content,
            headers: vec![],
        };
        MetaResponses {
            responses: vec![response],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// 204: done, and nothing to say.
#[derive(ApiResponse)]
pub enum NoContent {
    /// Done.
    #[oai(status = 204)]
    Done,
}

/// JSON that was written where it was made, off the async threads.
pub struct Encoded<T>(Vec<u8>, PhantomData<fn() -> T>);

impl<T: Serialize> Encoded<T> {
    /// Writes a value.
    ///
    /// # Errors
    /// When it has no JSON form, which is a mistake of ours.
    pub fn new(value: &T) -> Result<Self, ApiError> {
        let bytes = serde_json::to_vec(value).map_err(|error| {
            tracing::error!(%error, "writing an answer");
            ApiError::internal()
        })?;
        Ok(Self(bytes, PhantomData))
    }
}

impl<T: Type> Payload for Encoded<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T> IntoResponse for Encoded<T> {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type("application/json")
            .header(header::CONTENT_LENGTH, self.0.len())
            .body(self.0)
    }
}

/// A CSV payload with a header line.
pub struct Csv(pub Vec<u8>);

impl Payload for Csv {
    const CONTENT_TYPE: &'static str = "text/csv";

    fn schema_ref() -> MetaSchemaRef {
        String::schema_ref()
    }
}

impl IntoResponse for Csv {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type("text/csv; charset=utf-8")
            .header(header::CONTENT_LENGTH, self.0.len())
            .body(self.0)
    }
}

/// Whether the caller asks for CSV rather than JSON.
pub fn wants_csv(request: &Request) -> bool {
    let accept = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accept
        .split(',')
        .map(|part| part.split(';').next().unwrap_or_default().trim())
        .find_map(|media| match media {
            "text/csv" => Some(true),
            "application/json" | "*/*" => Some(false),
            _ => None,
        })
        == Some(true)
}

/// A cell that a spreadsheet takes as text: what would begin a formula gets an apostrophe in front.
pub fn csv_cell(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

/// The address that a request came from; see `guard`.
pub struct Peer(pub std::net::IpAddr);

impl<'a> FromRequest<'a> for Peer {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        Ok(Self(super::guard::client_address(request)))
    }
}
