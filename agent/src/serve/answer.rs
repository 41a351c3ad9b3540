//! One request and its answer: who may read, what is asked for, and problems in the backend's form.

use std::net::IpAddr;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING,
    CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use infra_watch_client::types;

use super::Access;
use crate::asked::Asked;
use crate::{clock, gzip};

/// An answer, whole in memory.
pub type Answer = Response<Full<Bytes>>;

/// Why a request is not answered as it was meant.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    detail: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, detail: impl ToString) -> Self {
        Self {
            status,
            detail: detail.to_string(),
            header: None,
        }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }
}

/// Answers a request that arrived on a connection to the address `local`. Its body, if it has one, is not looked at.
pub fn answer<B>(access: &Access, request: &Request<B>, local: IpAddr) -> Answer {
    let mut answer = body(access, request, local).unwrap_or_else(|refusal| {
        tracing::warn!(
            status = refusal.status.as_u16(),
            detail = refusal.detail,
            "a reader is refused"
        );
        problem(refusal)
    });
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

fn body<B>(access: &Access, request: &Request<B>, local: IpAddr) -> Result<Answer, Refusal> {
    let is_known =
        host(request).is_some_and(|host| access.hosts.allow(host, &access.board.hostname(), local));
    if !is_known {
        return Err(Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this endpoint is not asked under that name: --allowed-hosts allows more",
        ));
    }
    let path = request.uri().path();
    if !["/report", "/livez"].contains(&path) {
        let detail = "there is /report and /livez";
        return Err(Refusal::new(StatusCode::NOT_FOUND, detail));
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let detail = "everything here is read only";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, detail).with(ALLOW, "GET, HEAD"));
    }
    if path == "/livez" {
        let mut live = of_type("text/plain; charset=utf-8", "live".into());
        // Whoever asks shows no token, and keeps no place.
        let close = HeaderValue::from_static("close");
        live.headers_mut().insert(CONNECTION, close);
        return Ok(live);
    }
    if !bearer(request.headers()).is_some_and(|token| access.token.is(token)) {
        let detail = "a valid bearer token is needed";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, detail).with(WWW_AUTHENTICATE, "Bearer"));
    }
    let asked = Asked::of_query(request.uri().query().unwrap_or_default())
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error))?;
    report(access, request.headers(), &asked)
}

fn report(access: &Access, headers: &HeaderMap, asked: &Asked) -> Result<Answer, Refusal> {
    let failed = |error: &dyn std::error::Error| {
        tracing::error!(error = crate::chain(error), "no report can be made");
        let detail = "no report can be made; the agent's log says why";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    };
    let report = access
        .board
        .report(asked, clock::unix_seconds())
        .map_err(|error| failed(&error))?;
    let (points, is_whole) = (report.points.len(), report.snapshot.is_some());
    let json = serde_json::to_vec(&report).map_err(|error| failed(&error))?;
    drop(report);
    let compressed = takes_gzip(headers).then(|| gzip::compress(&json)).flatten();
    let is_compressed = compressed.is_some();
    let body = compressed.unwrap_or(json);
    tracing::info!(
        points,
        snapshot = is_whole,
        bytes = body.len(),
        "report read"
    );
    let mut answer = of_type("application/json", body.into());
    if is_compressed {
        answer
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(answer)
}

fn problem(refusal: Refusal) -> Answer {
    let title = refusal.status.canonical_reason().unwrap_or_default();
    let body = serde_json::to_vec(&types::Problem {
        type_: "about:blank".to_owned(),
        title: title.to_owned(),
        status: refusal.status.as_u16(),
        detail: refusal.detail,
        errors: Vec::new(),
    });
    // A few texts and a number cannot fail to be written.
    let mut answer = of_type("application/problem+json", body.unwrap_or_default().into());
    *answer.status_mut() = refusal.status;
    let headers = answer.headers_mut();
    // Places are few: who has no business here does not keep one.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.extend(refusal.header);
    answer
}

fn of_type(media_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// The name under which the request was sent; none if it does not say one.
fn host<B>(request: &Request<B>) -> Option<&str> {
    match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => only(request.headers(), &HOST),
    }
}

/// The token that is shown.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = only(headers, &AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.into_iter().any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        // `q=0`, also as `q=0.0`, says that it is not taken.
        let is_refused = quality
            .trim()
            .strip_prefix("q=")
            .is_some_and(|quality| quality.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        let values = values.iter();
        values
            .map(|value| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn bearers() {
        let check = |values: &[&'static str], expect: Option<&str>| {
            let headers = headers(AUTHORIZATION, values);
            assert_eq!(bearer(&headers), expect, "{values:?}");
        };
        check(&["Bearer abc"], Some("abc"));
        check(&["bearer  abc "], Some("abc"));
        check(&["Basic abc"], None);
        check(&["Bearer"], None);
        check(&["abc"], None);
        check(&["Bearer abc", "Bearer abc"], None);
        check(&[], None);
    }

    #[test]
    fn hosts() {
        let check = |uri: &str, values: &[&'static str], expect: Option<&str>| {
            let mut request = Request::new(());
            *request.uri_mut() = uri.parse().unwrap();
            *request.headers_mut() = headers(HOST, values);
            assert_eq!(host(&request), expect, "{uri} {values:?}");
        };
        check("/report", &["a:1"], Some("a:1"));
        check("/report", &["a", "b"], None);
        check("/report", &[], None);
        check("http://b/report", &["a"], Some("b"));
    }

    #[test]
    fn encodings() {
        let check = |values: &[&'static str], expect: bool| {
            let headers = headers(ACCEPT_ENCODING, values);
            assert_eq!(takes_gzip(&headers), expect, "{values:?}");
        };
        check(&["gzip"], true);
        check(&["br, GZIP;q=0.5"], true);
        check(&["br", "deflate, gzip"], true);
        check(&["gzip;q=0"], false);
        check(&["gzip; q=0.0, br"], false);
        check(&["identity"], false);
        check(&["x-gzipped"], false);
        check(&[], false);
    }
}
