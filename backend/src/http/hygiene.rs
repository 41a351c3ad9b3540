//! What holds for every answer: problems for every error, security headers, compression, and figures.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use poem::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use poem::web::{Compress, CompressionAlgo, CompressionLevel};
use poem::{Endpoint, IntoResponse, Request, Response, Result};

use super::HttpSettings;
use super::assets::is_wanted;
use super::docs::Document;
use super::fast;
use super::problem::{self, ApiError, PROBLEM_JSON, Problem};
use crate::app::App;

/// Longest URL, in bytes.
const URL_BYTES: usize = 4096;
/// Largest head of a request, in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// Answers below are not worth compressing, in bytes.
const COMPRESS_BYTES: usize = 1024;
/// Nothing from elsewhere, nothing inline; WebAssembly may be compiled.
const DASHBOARD_CSP: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Swagger UI sets styles inline.
const DOCS_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
     img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Wraps the whole service.
pub struct Hygiene<E> {
    /// The service.
    pub inner: E,
    /// For figures.
    pub app: Arc<App>,
    /// For headers.
    pub settings: Arc<HttpSettings>,
    /// For `Allow`.
    pub document: Arc<Document>,
}

impl<E: Endpoint> Endpoint for Hygiene<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let started = Instant::now();
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let coding = coding(&request);
        let mut response = match oversized(&request) {
            Some(refusal) => refusal,
            None => self.answer(request).await,
        };
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let allow = self
                .document
                .allow(&path)
                .unwrap_or_else(|| "GET, HEAD".to_owned());
            if let Ok(allow) = HeaderValue::from_str(&allow) {
                response.headers_mut().insert(header::ALLOW, allow);
            }
        }
        self.secure(&path, &mut response);
        let status = response.status();
        let name = method_name(&method);
        self.app
            .metrics
            .http_requests
            .with_label_values(&[name, status.as_str()])
            .inc();
        self.app
            .metrics
            .http_seconds
            .with_label_values(&[name])
            .observe(started.elapsed().as_secs_f64());
        tracing::debug!(%method, path, status = status.as_u16(), "request");
        Ok(compress(response, coding))
    }
}

impl<E: Endpoint> Hygiene<E> {
    async fn answer(&self, mut request: Request) -> Response {
        let answered = async {
            match fast::answer(&self.app, &mut request).await {
                Some(response) => Ok(response),
                None => Ok(self.inner.call(request).await?.into_response()),
            }
        };
        let answered: std::thread::Result<Result<Response>> =
            AssertUnwindSafe(answered).catch_unwind().await;
        match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => problem::from_error(error),
            Err(_) => {
                tracing::error!("a handler panicked");
                ApiError::internal().into_response()
            }
        }
    }

    fn secure(&self, path: &str, response: &mut Response) {
        let is_docs = path == "/docs" || path.starts_with("/docs/");
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: &'static str| {
            headers.insert(name, HeaderValue::from_static(value))
        };
        set(
            header::CONTENT_SECURITY_POLICY,
            if is_docs { DOCS_CSP } else { DASHBOARD_CSP },
        );
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(header::REFERRER_POLICY, "no-referrer");
        set(header::X_FRAME_OPTIONS, "DENY");
        set(
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        );
        set(
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        );
        if self.settings.strict_transport {
            set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
        }
        if path.starts_with("/api/") || ["/metrics", "/livez", "/readyz"].contains(&path) {
            set(header::CACHE_CONTROL, "no-store");
        }
    }
}

fn oversized(request: &Request) -> Option<Response> {
    let refuse = |status, detail: &str| {
        let problem = serde_json::to_vec(&Problem::new(status, detail)).unwrap_or_default();
        Some(
            Response::builder()
                .status(status)
                .content_type(PROBLEM_JSON)
                .body(problem),
        )
    };
    let head: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if url_bytes(request.original_uri()) > URL_BYTES {
        refuse(StatusCode::URI_TOO_LONG, "the URL is longer than 4 KiB")
    } else if head > HEAD_BYTES {
        refuse(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the head is larger than 16 KiB",
        )
    } else {
        None
    }
}

/// The length of a URL, of which servers are nearly always sent path and query alone.
fn url_bytes(uri: &Uri) -> usize {
    let rest = uri.path_and_query().map_or(0, |path| path.as_str().len());
    rest + uri
        .authority()
        .map_or(0, |authority| authority.as_str().len())
}

/// A bounded set of names, whatever clients send.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The coding that the caller likes best of those that are quick enough to make on the fly.
fn coding(request: &Request) -> Option<CompressionAlgo> {
    let accept = request
        .headers()
        .get(header::ACCEPT_ENCODING)?
        .to_str()
        .ok()?;
    let accepts = |coding| accept.split(',').any(|part| is_wanted(part, coding));
    if accepts("zstd") {
        Some(CompressionAlgo::ZSTD)
    } else if accepts("gzip") {
        Some(CompressionAlgo::GZIP)
    } else if accepts("br") {
        Some(CompressionAlgo::BR)
    } else {
        None
    }
}

fn compress(mut response: Response, coding: Option<CompressionAlgo>) -> Response {
    let headers = response.headers();
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let is_text = ["application/json", PROBLEM_JSON, "text/"]
        .iter()
        .any(|prefix| kind.starts_with(prefix))
        || kind.contains("javascript");
    let is_large = text(header::CONTENT_LENGTH)
        .and_then(|length| length.parse().ok())
        .is_none_or(|length: usize| length >= COMPRESS_BYTES);
    let is_plain = !headers.contains_key(header::CONTENT_ENCODING);
    let has_body = !matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    let Some(coding) =
        coding.filter(|_| is_text && is_large && is_plain && has_body && kind != PROBLEM_JSON)
    else {
        return response;
    };
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    Compress::new(response, coding)
        .with_quality(CompressionLevel::Fastest)
        .into_response()
}
