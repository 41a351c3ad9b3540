//! What an agent's endpoint answers, over whichever connection: its status in words, its body bounded and decoded.

use std::error::Error;
use std::io::Write as _;
use std::mem;

use bytes::{Buf, Bytes};
use flate2::write::GzDecoder;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use hyper::{HeaderMap, Response, StatusCode};

use super::bounded::Intake;
use super::{Visit, Want};
use crate::domain::collection::{Failure, Step};
use crate::outgoing::cause;

/// What is decoded at a time, in bytes: at most a thousand times as much comes out of it, and is counted.
const DECODE_BYTES: usize = 1024;

/// The form that is asked for.
pub const ACCEPTED_TYPE: &str = "application/json";
/// The encoding that is understood.
pub const ACCEPTED_ENCODING: &str = "gzip";

/// What is wanted, as the query of the endpoint.
pub fn query(want: &Want) -> Vec<(&'static str, String)> {
    let since = want.since.map(|since| ("since", since.to_string()));
    let known = want.known_snapshot.clone();
    let known = known.map(|hash| ("known_snapshot", hash));
    since.into_iter().chain(known).collect()
}

/// Takes the report out of an answer. `name` is what the endpoint was called.
///
/// # Errors
/// When it is no report.
pub async fn report<B>(
    response: Response<B>,
    name: &str,
    mut intake: Intake,
    visit: &mut Visit,
) -> Result<Bytes, Failure>
where
    B: Body<Data: Buf, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let (head, body) = response.into_parts();
    if let Some(failure) = refusal(head.status, name) {
        return Err(failure);
    }
    visit.pass(Step::Authenticate, "with its token");
    visit.begin(Step::Agent, "reading the answer of the endpoint");
    if head.status != StatusCode::OK {
        return Err(other_than_ok(head.status, name));
    }
    let is_json = value(&head.headers, &CONTENT_TYPE).is_some_and(|kind| {
        let essence = kind.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(ACCEPTED_TYPE)
    });
    if !is_json {
        return Err(agent(format!(
            "the answer of the endpoint is no {ACCEPTED_TYPE}: is the URL whole, with /report?"
        )));
    }
    let mut decoder = match value(&head.headers, &CONTENT_ENCODING) {
        None | Some("identity") => Decoder::Plain,
        Some("gzip" | "x-gzip") => Decoder::Gzip(Box::new(GzDecoder::new(Vec::new()))),
        Some(_) => {
            return Err(agent(format!(
                "the answer of the endpoint is encoded otherwise than with {ACCEPTED_ENCODING}"
            )));
        }
    };
    let mut body = std::pin::pin!(body);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let error: Box<dyn Error + Send + Sync> = error.into();
            agent(format!(
                "the answer of the endpoint broke off: {}",
                cause(error.as_ref())
            ))
        })?;
        if let Ok(mut data) = frame.into_data() {
            let data = data.copy_to_bytes(data.remaining());
            decoder.decode(&data, &mut intake).await?;
        }
    }
    decoder.finish(&mut intake).await?;
    intake.finish()
}

fn agent(reason: impl AsRef<str>) -> Failure {
    Failure::new(Step::Agent, reason)
}

fn value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether the status says that we may not ask.
fn refusal(status: StatusCode, name: &str) -> Option<Failure> {
    let code = status.as_u16();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(Failure::new(
            Step::Authenticate,
            format!("the endpoint refuses the token: {code}"),
        )),
        // It is judged before the token.
        StatusCode::MISDIRECTED_REQUEST => Some(agent(format!(
            "the endpoint does not answer to the name {name}: its --allowed-hosts must name it"
        ))),
        _ => None,
    }
}

fn other_than_ok(status: StatusCode, name: &str) -> Failure {
    let code = status.as_u16();
    agent(match status {
        StatusCode::NOT_FOUND => {
            format!("{name} answered {code}: is the URL whole, with /report?")
        }
        _ if status.is_redirection() => {
            format!("{name} answered {code}: redirects are not followed")
        }
        _ => format!("{name} answered {code}"),
    })
}

/// The encoding of an answer.
enum Decoder {
    Plain,
    Gzip(Box<GzDecoder<Vec<u8>>>),
}

impl Decoder {
    async fn decode(&mut self, data: &[u8], intake: &mut Intake) -> Result<(), Failure> {
        let Self::Gzip(decoder) = self else {
            return intake.take(data).await;
        };
        for piece in data.chunks(DECODE_BYTES) {
            decoder.write_all(piece).map_err(|_| not_gzip())?;
            intake.take(&mem::take(decoder.get_mut())).await?;
        }
        Ok(())
    }

    async fn finish(self, intake: &mut Intake) -> Result<(), Failure> {
        match self {
            Self::Plain => Ok(()),
            Self::Gzip(decoder) => {
                let rest = decoder.finish().map_err(|_| not_gzip())?;
                intake.take(&rest).await
            }
        }
    }
}

fn not_gzip() -> Failure {
    agent("the answer of the endpoint is no whole gzip")
}
