//! The dashboard: files built by `cargo xtask dashboard`, embedded and precompressed.

use poem::http::{HeaderMap, StatusCode, header};
use poem::{IntoResponse, Request, Response, handler};
use rust_embed::RustEmbed;

use super::problem::{ApiError, PROBLEM_JSON, Problem};
use crate::domain::snapshot::hex;

#[derive(RustEmbed)]
#[folder = "../dashboard/dist/"]
#[allow_missing = true]
struct Dist;

/// The page that every address of the dashboard loads.
const INDEX: &str = "index.html";
/// Files below have their content's hash in their name.
const HASHED: &str = "assets/";

/// A file of the dashboard; every path that is not a file is an address within it.
#[handler]
pub fn dashboard(request: &Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if Dist::get(path).is_some() && !path.is_empty() {
        return file(path, request.headers());
    }
    let is_file = path.starts_with(HASHED) || path == "api" || path.starts_with("api/");
    if is_file {
        return ApiError::not_found("file").into_response();
    }
    file(INDEX, request.headers())
}

fn file(path: &str, headers: &HeaderMap) -> Response {
    let accepts = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let encoded = [("br", ".br"), ("gzip", ".gz")]
        .into_iter()
        .find_map(|(encoding, suffix)| {
            let is_accepted = accepts.split(',').any(|part| is_wanted(part, encoding));
            let file = is_accepted
                .then(|| Dist::get(&format!("{path}{suffix}")))
                .flatten()?;
            Some((Some(encoding), file))
        });
    let Some((encoding, content)) = encoded.or_else(|| Dist::get(path).map(|file| (None, file)))
    else {
        let detail = "this binary was built without the dashboard: `make build` embeds it";
        let problem =
            serde_json::to_vec(&Problem::new(StatusCode::NOT_FOUND, detail)).unwrap_or_default();
        return Response::builder()
            .status(StatusCode::NOT_FOUND)
            .content_type(PROBLEM_JSON)
            .body(problem);
    };
    let etag = format!("\"{}\"", hex(&content.metadata.sha256_hash()[..16]));
    let mime = Dist::get(path)
        .map(|file| file.metadata.mimetype().to_owned())
        .unwrap_or_default();
    let cache = if path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let mut response = Response::builder()
        .content_type(if mime == "text/html" {
            "text/html; charset=utf-8"
        } else {
            &mime
        })
        .header(header::ETAG, &etag)
        .header(header::CACHE_CONTROL, cache)
        .header(header::VARY, "Accept-Encoding");
    if let Some(encoding) = encoding {
        response = response.header(header::CONTENT_ENCODING, encoding);
    }
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if known
        .split(',')
        .any(|tag| tag.trim().trim_start_matches("W/") == etag)
    {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    response.body(content.data.into_owned())
}

/// Whether one part of `Accept-Encoding` asks for this coding, and not with `q=0`.
pub fn is_wanted(part: &str, encoding: &str) -> bool {
    let mut parameters = part.split(';').map(str::trim);
    let is_named = parameters
        .next()
        .is_some_and(|name| name.eq_ignore_ascii_case(encoding));
    is_named
        && !parameters.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
}
