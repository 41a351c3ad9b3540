//! The published document and Swagger UI over it.

use std::sync::Arc;

use poem::http::{StatusCode, header};
use poem::web::{Data, Path};
use poem::{IntoResponse, Request, Response, handler};

use super::problem::ApiError;
use crate::domain::snapshot::hex;
use sha2::{Digest, Sha256};

/// The document as it is published, and what it says about methods.
pub struct Document {
    /// OpenAPI 3.0 as JSON.
    pub json: String,
    etag: String,
    /// Path templates, split at `/`, with their methods in upper case.
    methods: Vec<(Vec<String>, Vec<String>)>,
}

impl Document {
    /// Reads the methods out of a document.
    pub fn new(json: String) -> Self {
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
        let paths = parsed
            .get("paths")
            .and_then(|paths| paths.as_object())
            .cloned()
            .unwrap_or_default();
        let methods = paths
            .iter()
            .map(|(path, operations)| {
                let operations = operations
                    .as_object()
                    .into_iter()
                    .flat_map(|operations| operations.keys());
                (
                    path.split('/').map(str::to_owned).collect(),
                    operations.map(|method| method.to_uppercase()).collect(),
                )
            })
            .collect();
        let etag = format!("\"{}\"", hex(&Sha256::digest(json.as_bytes())[..16]));
        Self {
            json,
            etag,
            methods,
        }
    }

    /// What `Allow` says for a path below `/api/v1`.
    pub fn allow(&self, path: &str) -> Option<String> {
        let segments: Vec<&str> = path.strip_prefix("/api/v1")?.split('/').collect();
        let matches = |template: &[String]| {
            template.len() == segments.len()
                && template
                    .iter()
                    .zip(&segments)
                    .all(|(expected, given)| expected.starts_with('{') || expected == given)
        };
        let mut methods: Vec<&str> = self
            .methods
            .iter()
            .filter(|(template, _)| matches(template))
            .flat_map(|(_, methods)| methods.iter().map(String::as_str))
            .collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        (!methods.is_empty()).then(|| methods.join(", "))
    }
}

/// The published document.
#[handler]
pub fn openapi_json(request: &Request, document: Data<&Arc<Document>>) -> Response {
    let known = request
        .headers()
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let response = Response::builder()
        .content_type("application/json")
        .header(header::ETAG, &document.etag)
        .header(header::CACHE_CONTROL, "no-cache");
    if known.contains(&document.etag) {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    response.body(document.json.clone())
}

/// `/docs` → `/docs/`.
#[handler]
pub fn to_swagger() -> Response {
    Response::builder()
        .status(StatusCode::PERMANENT_REDIRECT)
        .header(header::LOCATION, "/docs/")
        .finish()
}

/// A file of Swagger UI.
#[handler]
pub fn swagger(path: Path<String>) -> Response {
    let config = utoipa_swagger_ui::Config::from("/openapi.json")
        .persist_authorization(false)
        .try_it_out_enabled(true);
    match utoipa_swagger_ui::serve(&path.0, Arc::new(config)) {
        Ok(Some(file)) => Response::builder()
            .content_type(&file.content_type)
            .header(header::CACHE_CONTROL, "no-cache")
            .body(file.bytes.into_owned()),
        Ok(None) => ApiError::not_found("file").into_response(),
        Err(error) => {
            tracing::error!(%error, "reading a file of Swagger UI");
            ApiError::internal().into_response()
        }
    }
}
