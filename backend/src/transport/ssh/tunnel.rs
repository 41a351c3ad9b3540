//! The endpoint of an agent that runs on the host, asked through the connection.

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HOST, HeaderValue};
use hyper_util::rt::TokioIo;

use super::session::Session;
use crate::domain::collection::{Failure, SshTarget, Step, Want};
use crate::domain::egress::{Kind, kind};
use crate::outgoing::cause;
use crate::transport::bounded::Budget;
use crate::transport::{Visit, answer};

/// Longest head of an answer, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Asks the endpoint.
///
/// # Errors
/// When it gives no report.
pub async fn report(
    session: &Session,
    target: &SshTarget,
    want: &Want,
    budget: &Budget,
    visit: &mut Visit,
) -> Result<Bytes, Failure> {
    let endpoint = &target.endpoint;
    visit.begin(Step::Agent, format!("waiting for the answer of {endpoint}"));
    let request = request(target, want)?;
    let place = endpoint.rsplit_once(':');
    let place = place.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let Some((host, port)) = place else {
        return Err(agent(format!("{endpoint} is no address with a port")));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // Where clouds hand out credentials there is no agent. Its own machine is the usual place, seen from the host.
    if host
        .parse()
        .is_ok_and(|address| kind(address) == Kind::LinkLocal)
    {
        return Err(agent(format!(
            "the address {host} is link-local or a metadata service, where no agent is asked"
        )));
    }
    let channel = session.tunnel(host, port).await.map_err(|why| {
        agent(format!(
            "the host does not let us through to {endpoint}: {why}"
        ))
    })?;
    let not_http = |error: hyper::Error| {
        agent(format!(
            "{endpoint} gave no answer in HTTP: {}",
            cause(&error)
        ))
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(channel.into_stream()))
        .await
        .map_err(not_http)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(not_http)?;
        answer::report(response, endpoint, budget.intake(), visit).await
    };
    // The connection is driven beside the exchange, and ends with it. It may end first: the answer is there then.
    match select(Box::pin(exchange), Box::pin(connection)).await {
        Either::Left((answered, _)) => answered,
        Either::Right((_, exchange)) => exchange.await,
    }
}

fn request(target: &SshTarget, want: &Want) -> Result<Request<Empty<Bytes>>, Failure> {
    let query: Vec<String> = answer::query(want)
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut request = Request::get(format!("/report?{}", query.join("&")))
        .header(HOST, &target.endpoint)
        .header(ACCEPT, answer::ACCEPTED_TYPE)
        .header(ACCEPT_ENCODING, answer::ACCEPTED_ENCODING);
    if let Some(token) = &target.token {
        let bearer = HeaderValue::try_from(format!("Bearer {token}"));
        let bearer = bearer.map_err(|_| {
            Failure::new(Step::Authenticate, "the token cannot be sent in a header")
        })?;
        request = request.header(AUTHORIZATION, bearer);
    }
    request
        .body(Empty::new())
        .map_err(|error| agent(format!("the endpoint cannot be asked: {error}")))
}

fn agent(reason: String) -> Failure {
    Failure::new(Step::Agent, reason)
}
