//! The calls to the backend, each ended in a bounded time and turned into values.

use std::path::{Path, PathBuf};
use std::time::Duration;

use infra_watch_client::{Client, Credentials, Error, ResponseValue, types};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Response, Url, redirect};
use thiserror::Error as ThisError;

use super::decide::{Failure, parse_retry_after};
use crate::gzip;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Most of an answer that is read; a real one is far shorter.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Most of what the backend says that goes into a log.
const MAX_REASON_CHARS: usize = 300;

/// What comes from something between, such as a proxy or a login page.
const NOT_OURS: &str = "the answer is not the backend's: is --server right?";

/// Why there can be no client.
#[derive(Debug, ThisError)]
pub enum ApiError {
    /// The file of certificates could not be read.
    #[error("cannot read {}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds no certificates.
    #[error("{} holds no certificates in PEM", path.display())]
    NoCertificates {
        /// The file.
        path: PathBuf,
    },
    /// The backend's address is none.
    #[error("{server} is no address")]
    Server {
        /// What was given.
        server: String,
    },
    /// The client could not be made, for one because the system has no trusted certificates.
    #[error("cannot prepare for TLS; --ca-file names certificates to trust if the system has none")]
    Client(#[source] reqwest::Error),
}

/// One call.
#[derive(Debug)]
pub enum Call {
    /// Makes this host known.
    Enroll {
        /// The enrolment key.
        key: String,
        /// Who asks.
        body: types::Enroll,
    },
    /// Asks for a fresh token.
    Renew {
        /// The present one.
        token: String,
    },
    /// Sends a report.
    Submit {
        /// The host's token.
        token: String,
        /// The report.
        body: Body,
    },
}

/// What came of a call.
#[derive(Debug)]
pub enum Answer {
    /// Of an enrolment or a renewal.
    Token(Result<types::HostToken, Failure>),
    /// Of a report; an answer in a form of a later version counts as success without figures.
    Report(Result<Option<types::ReportOutcome>, Failure>),
}

/// A report as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether they are gzip.
    pub compressed: bool,
}

impl Body {
    /// Compresses `json` where that is allowed and gains something.
    pub fn new(json: Vec<u8>, may_compress: bool) -> Self {
        if may_compress && let Some(bytes) = gzip::compress(&json) {
            return Self {
                bytes,
                compressed: true,
            };
        }
        Self {
            bytes: json,
            compressed: false,
        }
    }
}

/// The way to the backend.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base_url: String,
    reports_url: Url,
}

impl Api {
    /// A way to the backend at `server` that trusts the certificates in `ca_file`, or the system's.
    pub fn new(server: &str, ca_file: Option<&Path>) -> Result<Self, ApiError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("infra-watch-agent/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(1)
            .no_proxy();
        if let Some(path) = ca_file {
            builder = builder.tls_certs_only(read_certificates(path)?);
        } else if !server.starts_with("https:") {
            // Without TLS the system's certificates would only take memory.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(ApiError::Client)?;
        let base_url = format!("{server}/api/v1");
        let reports_url =
            Url::parse(&format!("{base_url}/agent/reports")).map_err(|_| ApiError::Server {
                server: server.to_owned(),
            })?;
        Ok(Self {
            http,
            base_url,
            reports_url,
        })
    }

    /// Makes the call. It ends by itself: every wait in it has a limit.
    pub async fn perform(self, call: Call) -> Answer {
        match call {
            Call::Enroll { key, body } => {
                let answer = self.client(key).enroll_agent().body(body).send().await;
                Answer::Token(answer.map(ResponseValue::into_inner).map_err(failure))
            }
            Call::Renew { token } => {
                let answer = self.client(token).renew_agent_token().send().await;
                Answer::Token(answer.map(ResponseValue::into_inner).map_err(failure))
            }
            Call::Submit { token, body } => Answer::Report(self.submit(&token, body).await),
        }
    }

    fn client(&self, bearer: String) -> Client {
        let credentials = Credentials::default();
        credentials.set(Some(bearer));
        Client::new_with_client(&self.base_url, self.http.clone(), credentials)
    }

    /// `submit_report` by hand, since the generated client does not compress and hides the answer of a proxy.
    async fn submit(
        &self,
        token: &str,
        body: Body,
    ) -> Result<Option<types::ReportOutcome>, Failure> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| unreachable("the token is no header"))?;
        bearer.set_sensitive(true);
        let mut request = self
            .http
            .post(self.reports_url.clone())
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if body.compressed {
            request = request.header(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let response = request
            .body(body.bytes)
            .send()
            .await
            .map_err(|error| unreachable(&chain(&error)))?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let answer = read_answer(response).await?;
        if !status.is_success() {
            let problem = serde_json::from_slice::<types::Problem>(&answer).ok();
            let reason = problem.map_or_else(String::new, |problem| describe(&problem));
            return Err(Failure::Refused {
                status: status.as_u16(),
                retry_after,
                reason,
            });
        }
        if let Ok(outcome) = serde_json::from_slice(&answer) {
            return Ok(Some(outcome));
        }
        match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&answer) {
            Ok(_) => Ok(None),
            Err(_) => Err(unreachable(NOT_OURS)),
        }
    }
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate>, ApiError> {
    let pem = std::fs::read(path).map_err(|source| ApiError::CaFile {
        path: path.to_owned(),
        source,
    })?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(ApiError::NoCertificates {
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}

async fn read_answer(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut answer = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| unreachable(&chain(&error)))?
    {
        answer.extend_from_slice(&chunk);
        if answer.len() > MAX_ANSWER_BYTES {
            return Err(unreachable("the answer is too long"));
        }
    }
    Ok(answer)
}

fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()
        .and_then(parse_retry_after)
}

fn unreachable(reason: &str) -> Failure {
    Failure::Unreachable {
        reason: reason.to_owned(),
    }
}

fn failure(error: Error<types::Problem>) -> Failure {
    match error {
        Error::ErrorResponse(answer) => Failure::Refused {
            status: answer.status().as_u16(),
            retry_after: retry_after(answer.headers()),
            reason: describe(&answer),
        },
        Error::UnexpectedResponse(response) => Failure::Refused {
            status: response.status().as_u16(),
            retry_after: retry_after(response.headers()),
            reason: String::new(),
        },
        Error::CommunicationError(error) | Error::ResponseBodyError(error) => {
            unreachable(&chain(&error))
        }
        Error::InvalidResponsePayload(..) => unreachable(NOT_OURS),
        other => unreachable(&other.to_string()),
    }
}

/// A problem in one line, cut to what a log should hold.
fn describe(problem: &types::Problem) -> String {
    let fields = problem
        .errors
        .iter()
        .map(|error| format!("; {}: {}", error.field, error.message));
    let text = format!("{}{}", problem.detail, fields.collect::<String>());
    text.chars()
        .filter(|character| !character.is_control())
        .take(MAX_REASON_CHARS)
        .collect()
}

/// An error and its causes in one line; reqwest says the address, and each cause only once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn only_long_bodies_are_compressed() {
        let check = |length, may_compress, compressed| {
            let json = vec![b'x'; length];
            let body = Body::new(json.clone(), may_compress);
            assert_eq!(body.compressed, compressed, "{length} {may_compress}");
            let mut plain = Vec::new();
            if compressed {
                flate2::read::GzDecoder::new(body.bytes.as_slice())
                    .read_to_end(&mut plain)
                    .unwrap();
            } else {
                plain = body.bytes;
            }
            assert_eq!(plain, json);
        };
        check(gzip::MIN_BYTES - 1, true, false);
        check(gzip::MIN_BYTES, true, true);
        check(gzip::MIN_BYTES, false, false);
        check(100_000, true, true);
    }
}
