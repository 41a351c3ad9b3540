//! Errors as RFC 9457 problems: one schema for every operation, and everything else that goes wrong mapped to it.

use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object};
use serde::{Deserialize, Serialize};

use crate::flows::FlowError;
use crate::store::kv::KvError;
use crate::wire::parse::ParseError;

/// Seconds after which something that was busy may be tried again.
const RETRY_SECONDS: u64 = 2;
/// Media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct FieldError {
    /// Path of the field, such as `points[3].values[1]`.
    pub field: String,
    /// What is wrong with it, in words.
    pub message: String,
}

/// What went wrong (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Object)]
pub struct Problem {
    /// Names the kind of problem; `about:blank` when the status says it all.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, in words.
    pub detail: String,
    /// Fields that are wrong, where it is about fields.
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem that its status and one sentence describe.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    fn about(mut self, field: &str, message: &str) -> Self {
        self.errors.push(FieldError {
            field: field.to_owned(),
            message: message.to_owned(),
        });
        self
    }
}

/// Every way in which an operation can fail.
#[derive(Debug, ApiResponse)]
pub enum ApiError {
    /// The request is malformed.
    #[oai(status = 400, content_type = "application/problem+json")]
    BadRequest(Json<Problem>),
    /// No token, or not a valid one.
    #[oai(status = 401, content_type = "application/problem+json")]
    Unauthorized(Json<Problem>, #[oai(header = "WWW-Authenticate")] String),
    /// The role does not allow it.
    #[oai(status = 403, content_type = "application/problem+json")]
    Forbidden(Json<Problem>),
    /// There is no such thing.
    #[oai(status = 404, content_type = "application/problem+json")]
    NotFound(Json<Problem>),
    /// The path has no such method.
    #[oai(status = 405, content_type = "application/problem+json")]
    MethodNotAllowed(Json<Problem>),
    /// The body took too long to arrive.
    #[oai(status = 408, content_type = "application/problem+json")]
    Timeout(Json<Problem>),
    /// It does not go together with what is there.
    #[oai(status = 409, content_type = "application/problem+json")]
    Conflict(Json<Problem>),
    /// The body is too large.
    #[oai(status = 413, content_type = "application/problem+json")]
    TooLarge(Json<Problem>),
    /// The body's media type or encoding is not taken.
    #[oai(status = 415, content_type = "application/problem+json")]
    UnsupportedMedia(Json<Problem>),
    /// Well-formed, but a field is invalid.
    #[oai(status = 422, content_type = "application/problem+json")]
    Invalid(Json<Problem>),
    /// Tried too often.
    #[oai(status = 429, content_type = "application/problem+json")]
    TooMany(Json<Problem>, #[oai(header = "Retry-After")] u64),
    /// A mistake of ours.
    #[oai(status = 500, content_type = "application/problem+json")]
    Internal(Json<Problem>),
    /// Somebody else could not be reached, or refused.
    #[oai(status = 502, content_type = "application/problem+json")]
    BadGateway(Json<Problem>),
    /// Not at the moment.
    #[oai(status = 503, content_type = "application/problem+json")]
    Unavailable(Json<Problem>, #[oai(header = "Retry-After")] u64),
}

impl ApiError {
    /// What went wrong, in words that may be logged.
    pub fn detail(&self) -> &str {
        let (Self::BadRequest(problem)
        | Self::Unauthorized(problem, _)
        | Self::Forbidden(problem)
        | Self::NotFound(problem)
        | Self::MethodNotAllowed(problem)
        | Self::Timeout(problem)
        | Self::Conflict(problem)
        | Self::TooLarge(problem)
        | Self::UnsupportedMedia(problem)
        | Self::Invalid(problem)
        | Self::TooMany(problem, _)
        | Self::Internal(problem)
        | Self::BadGateway(problem)
        | Self::Unavailable(problem, _)) = self;
        &problem.detail
    }

    /// Somebody else did not do their part.
    pub fn bad_gateway(detail: &str) -> Self {
        Self::BadGateway(Json(Problem::new(StatusCode::BAD_GATEWAY, detail)))
    }

    /// The request is malformed.
    pub fn bad_request(detail: &str) -> Self {
        Self::BadRequest(Json(Problem::new(StatusCode::BAD_REQUEST, detail)))
    }

    /// One body for every token that is missing, wrong, expired or revoked.
    pub fn unauthorized() -> Self {
        let detail = "a valid bearer token is needed";
        Self::Unauthorized(
            Json(Problem::new(StatusCode::UNAUTHORIZED, detail)),
            "Bearer".to_owned(),
        )
    }

    /// A login that failed, whatever the reason.
    pub fn login_failed() -> Self {
        let detail = "the username or the password is wrong";
        Self::Unauthorized(
            Json(Problem::new(StatusCode::UNAUTHORIZED, detail)),
            "Bearer".to_owned(),
        )
    }

    /// The role does not allow it.
    pub fn forbidden() -> Self {
        Self::Forbidden(Json(Problem::new(
            StatusCode::FORBIDDEN,
            "your role does not allow this",
        )))
    }

    /// There is no such thing.
    pub fn not_found(what: &str) -> Self {
        Self::NotFound(Json(Problem::new(
            StatusCode::NOT_FOUND,
            format!("there is no such {what}"),
        )))
    }

    /// One field is wrong.
    pub fn invalid(field: &str, message: &str) -> Self {
        let detail = if field.is_empty() {
            message.to_owned()
        } else {
            format!("{field} {message}")
        };
        Self::Invalid(Json(
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).about(field, message),
        ))
    }

    /// The body is larger than `limit_bytes`.
    pub fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("the body must not be larger than {limit_bytes} bytes, decoded");
        Self::TooLarge(Json(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)))
    }

    /// The body's media type or encoding is not taken.
    pub fn unsupported_media(detail: &str) -> Self {
        Self::UnsupportedMedia(Json(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            detail,
        )))
    }

    /// The body took too long.
    pub fn timeout() -> Self {
        Self::Timeout(Json(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body took too long to arrive",
        )))
    }

    /// Not at the moment.
    pub fn unavailable(detail: &str) -> Self {
        Self::Unavailable(
            Json(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)),
            RETRY_SECONDS,
        )
    }

    /// A mistake of ours; its cause is in the log.
    pub fn internal() -> Self {
        Self::Internal(Json(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "something went wrong here; it is in the log",
        )))
    }
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Json(place) => {
                Self::bad_request(&format!("the body is not valid JSON{place}"))
            }
            ParseError::Field { field, message } => Self::invalid(&field, &message),
        }
    }
}

impl From<FlowError> for ApiError {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::NotFound(what) => Self::not_found(what),
            FlowError::Conflict(detail) => {
                Self::Conflict(Json(Problem::new(StatusCode::CONFLICT, detail)))
            }
            FlowError::Foreign(detail) => {
                Self::Conflict(Json(Problem::new(StatusCode::CONFLICT, &detail)))
            }
            FlowError::Invalid { field, message } => Self::invalid(&field, &message),
            FlowError::Unauthenticated => Self::unauthorized(),
            FlowError::Forbidden => Self::forbidden(),
            FlowError::TooMany {
                retry_after_seconds,
            } => {
                let detail = format!(
                    "too many attempts; the next one is possible in {retry_after_seconds} s"
                );
                Self::TooMany(
                    Json(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)),
                    retry_after_seconds,
                )
            }
            FlowError::Busy => {
                Self::unavailable("too much of this is under way; try again in a moment")
            }
            FlowError::QueryTimeout(_) => {
                Self::unavailable("the query took too long; ask for less")
            }
            error @ FlowError::Undelivered(_) => Self::bad_gateway(&error.to_string()),
            FlowError::Store(error) => error.into(),
            FlowError::Backup(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "making a backup");
                Self::unavailable("the backup was not made; why is in the log")
            }
            FlowError::Read(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "reading the store"
                );
                Self::internal()
            }
        }
    }
}

impl From<KvError> for ApiError {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Busy => {
                Self::unavailable("the store has too much to write; try again in a moment")
            }
            KvError::StorageFull => {
                tracing::error!(
                    "the store's disk is full: nothing is accepted until there is space"
                );
                let mut problem =
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the store's disk is full");
                problem.kind = "urn:infra-watch:storage-full".to_owned();
                Self::Unavailable(Json(problem), RETRY_SECONDS)
            }
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
                Self::unavailable("the store cannot be used at the moment")
            }
        }
    }
}

/// Any error of the HTTP library as a problem; what is a response already passes.
pub fn from_error(error: poem::Error) -> Response {
    use poem::error::{MethodNotAllowedError, NotFoundError};
    use poem_openapi::error::{
        AuthorizationError, ContentTypeError, ParseParamError, ParsePathError,
        ParseRequestPayloadError,
    };

    if error.is_from_response() {
        return error.into_response();
    }
    let problem = if error.is::<AuthorizationError>() {
        ApiError::unauthorized()
    } else if error.is::<NotFoundError>() || error.is::<ParsePathError>() {
        ApiError::not_found("thing here")
    } else if error.is::<MethodNotAllowedError>() {
        let detail = "this path does not know the method; Allow names those it knows";
        ApiError::MethodNotAllowed(Json(Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)))
    } else if error.is::<ContentTypeError>() {
        ApiError::unsupported_media("the body must be application/json")
    } else if error.is::<ParseRequestPayloadError>() {
        ApiError::bad_request("the body is malformed")
    } else if let Some(error) = error.downcast_ref::<ParseParamError>() {
        ApiError::invalid(error.name, &parameter_message(&error.reason))
    } else {
        match error.status() {
            StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!(%error, "unexpected error");
                ApiError::internal()
            }
            StatusCode::NOT_FOUND => ApiError::not_found("thing here"),
            StatusCode::PAYLOAD_TOO_LARGE => {
                ApiError::TooLarge(Json(Problem::new(error.status(), "the body is too large")))
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                ApiError::unsupported_media("the body's encoding or type is not taken")
            }
            _ => ApiError::bad_request("the request is malformed"),
        }
    };
    problem.into_response()
}

/// Our own messages say what a parameter must be; those of libraries are told as one sentence.
fn parameter_message(reason: &str) -> String {
    let Some(start) = reason.find("must ") else {
        return "is missing or not valid".to_owned();
    };
    let ours = reason.get(start..).unwrap_or_default();
    let end = ours.find(" (occurred while").unwrap_or(ours.len());
    ours.get(..end).unwrap_or(ours).to_owned()
}
