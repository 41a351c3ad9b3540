//! Connections: accepted within bounds, over TLS where it is set, cut when they drip, and ended in good order.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use poem::endpoint::BoxEndpoint;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, IntoResponse, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guard::TrustedProxies;
use super::problem::ApiError;
use super::stream::Watched;
use crate::domain::session::network_of;
use crate::tls::TlsFiles;

/// Time for a request to arrive, head and body, and for a stranger to begin one.
const ARRIVAL: Duration = Duration::from_secs(20);
/// An idle connection that has shown a valid token is kept for so long: agents post every 30 s, some more seldom.
const KEEP_ALIVE: Duration = Duration::from_secs(120);
/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections at a time.
const CONNECTIONS: usize = 16_384;
/// Connections from one address that have not yet shown a valid token.
const STRANGERS_PER_ADDRESS: usize = 64;
/// Buffer of a connection: bounds a request's head, with room for its body.
const BUFFER_BYTES: usize = 64 * 1024;
/// Pause after an accept error, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How to serve.
pub struct ServeOptions {
    /// Certificate and key, for TLS.
    pub tls: Option<TlsFiles>,
    /// Proxies that are not counted as strangers.
    pub trusted_proxies: TrustedProxies,
    /// After the signal to stop, still accept for so long, so that probes see it.
    pub drain: Duration,
    /// Then wait at most so long for requests under way.
    pub grace: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            tls: None,
            trusted_proxies: TrustedProxies::default(),
            drain: Duration::ZERO,
            grace: Duration::from_secs(20),
        }
    }
}

/// One connection, as its stream and the requests on it see it.
pub struct Connection {
    network: IpAddr,
    is_stranger: AtomicBool,
    strangers: Arc<Strangers>,
    phase: Mutex<Phase>,
}

/// What a connection is doing.
#[derive(Clone, Copy)]
enum Phase {
    /// Nothing of a request has arrived since then.
    Idle(Instant),
    /// A request began to arrive then.
    Arriving(Instant),
    /// It is being answered; it began to arrive then.
    Answering(Instant),
}

/// Connections by address that have not yet shown a valid token.
#[derive(Default)]
struct Strangers(Mutex<HashMap<IpAddr, usize>>);

impl Strangers {
    fn admit(self: &Arc<Self>, address: IpAddr, is_trusted: bool) -> Option<Connection> {
        let network = network_of(address);
        if !is_trusted {
            let mut counts = self.0.lock();
            let count = counts.entry(network).or_default();
            if *count >= STRANGERS_PER_ADDRESS {
                return None;
            }
            *count += 1;
        }
        Some(Connection {
            network,
            is_stranger: AtomicBool::new(!is_trusted),
            strangers: Arc::clone(self),
            phase: Mutex::new(Phase::Idle(Instant::now())),
        })
    }
}

impl Connection {
    /// A valid token was shown: the connection is no longer a stranger's.
    pub fn authenticated(&self) {
        if self.is_stranger.swap(false, Ordering::AcqRel) {
            let mut counts = self.strangers.0.lock();
            if let Some(count) = counts.get_mut(&self.network) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&self.network);
                }
            }
        }
    }
}

impl Connection {
    /// Bytes came in: the first of a request begin its time.
    pub fn bytes_arrived(&self) {
        let mut phase = self.phase.lock();
        if matches!(*phase, Phase::Idle(_)) {
            *phase = Phase::Arriving(Instant::now());
        }
    }

    /// When the connection is to be cut unless a head is complete; never while a request is answered.
    pub fn head_due(&self) -> Option<Instant> {
        match *self.phase.lock() {
            Phase::Idle(since) if self.is_stranger.load(Ordering::Acquire) => Some(since + ARRIVAL),
            Phase::Idle(since) => Some(since + KEEP_ALIVE),
            Phase::Arriving(since) => Some(since + ARRIVAL),
            Phase::Answering(_) => None,
        }
    }

    /// When the body of the request being answered must be complete.
    pub fn body_due(&self) -> Instant {
        match *self.phase.lock() {
            Phase::Idle(since) | Phase::Arriving(since) | Phase::Answering(since) => {
                since + ARRIVAL
            }
        }
    }

    fn answering(&self) {
        let mut phase = self.phase.lock();
        *phase = match *phase {
            Phase::Arriving(since) => Phase::Answering(since),
            _ => Phase::Answering(Instant::now()),
        };
    }

    fn answered(&self) {
        *self.phase.lock() = Phase::Idle(Instant::now());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.authenticated();
    }
}

type AnswerBody = BoxBody<Bytes, io::Error>;

/// A request is answered once its answer has left; a small one leaves at once.
fn until_sent(body: AnswerBody, connection: Arc<Connection>) -> AnswerBody {
    let bytes = body.size_hint().exact();
    if bytes.is_some_and(|bytes| bytes <= BUFFER_BYTES as u64) {
        connection.answered();
        return body;
    }
    BoxBody::new(Sending { body, connection })
}

/// A body on its way: the peer is not idle while it takes it.
struct Sending {
    body: AnswerBody,
    connection: Arc<Connection>,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.connection.answered();
    }
}

struct Server {
    endpoint: Arc<BoxEndpoint<'static, Response>>,
    tls: Option<TlsFiles>,
    stopping: CancellationToken,
    /// Connections and requests: the end waits for both.
    tasks: TaskTracker,
}

/// Serves until `shutdown`, then ends connections in good order.
///
/// # Errors
/// When the listener has no local address.
pub async fn serve(
    endpoint: BoxEndpoint<'static, Response>,
    listener: TcpListener,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let local = listener.local_addr()?;
    let ServeOptions {
        tls,
        trusted_proxies,
        drain,
        grace,
    } = options;
    let connections = TaskTracker::new();
    let server = Arc::new(Server {
        endpoint: Arc::new(endpoint),
        tls,
        stopping: CancellationToken::new(),
        tasks: connections.clone(),
    });
    let strangers = Arc::new(Strangers::default());
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let accept = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let address = peer.ip().to_canonical();
                    // One over the bound is closed by dropping it.
                    if let Some(connection) =
                        strangers.admit(address, trusted_proxies.contains(address))
                    {
                        let server = Arc::clone(&server);
                        connections.spawn(async move {
                            server
                                .connection(stream, local, peer, connection, place)
                                .await;
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    let stop = async {
        shutdown.await;
        sleep(drain).await;
    };
    tokio::select! {
        () = accept => {}
        () = stop => {}
    }
    drop(listener);
    server.stopping.cancel();
    connections.close();
    if timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "connections were cut at the end of the grace period"
        );
    }
    Ok(())
}

impl Server {
    async fn connection(
        &self,
        stream: TcpStream,
        local: SocketAddr,
        peer: SocketAddr,
        connection: Connection,
        place: OwnedSemaphorePermit,
    ) {
        let _place = place;
        // Small answers go out at once.
        drop(stream.set_nodelay(true));
        let connection = Arc::new(connection);
        match &self.tls {
            None => {
                self.http(stream, Scheme::HTTP, local, peer, connection)
                    .await;
            }
            Some(tls) => match timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
                Ok(Ok(stream)) => {
                    self.http(stream, Scheme::HTTPS, local, peer, connection)
                        .await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
            },
        }
    }

    async fn http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        scheme: Scheme,
        local: SocketAddr,
        peer: SocketAddr,
        connection: Arc<Connection>,
    ) {
        let watched = Watched::new(stream, Arc::clone(&connection));
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (scheme, connection) = (scheme.clone(), Arc::clone(&connection));
            let endpoint = Arc::clone(&self.endpoint);
            async move {
                connection.answering();
                let addresses = (
                    LocalAddr(Addr::SocketAddr(local)),
                    RemoteAddr(Addr::SocketAddr(peer)),
                );
                let mut request = Request::from((request, addresses.0, addresses.1, scheme));
                request.extensions_mut().insert(Arc::clone(&connection));
                // A task of its own: what a request began it finishes, even when the peer goes away, so that
                // memory always learns what became durable.
                let answer = self
                    .tasks
                    .spawn(async move { endpoint.call(request).await });
                let response = match answer.await {
                    Ok(Ok(response)) => response,
                    Ok(Err(error)) => error.into_response(),
                    Err(_) => ApiError::internal().into_response(),
                };
                let response: hyper::Response<AnswerBody> = response.into();
                Ok::<_, Infallible>(response.map(|body| until_sent(body, connection)))
            }
        });
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(KEEP_ALIVE + ARRIVAL)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(watched), service);
        let mut serving = pin!(serving);
        tokio::select! {
            // A peer that went away or sent nonsense is no news.
            _ = serving.as_mut() => return,
            () = self.stopping.cancelled() => serving.as_mut().graceful_shutdown(),
        }
        let _ = serving.await;
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    #[test]
    fn a_connection_is_not_idle_while_its_answer_leaves() {
        let check = |bytes: usize, is_idle: bool| {
            let strangers = Arc::<Strangers>::default();
            let admitted = strangers.admit(IpAddr::from([127, 0, 0, 1]), true);
            let connection = Arc::new(admitted.unwrap());
            connection.answering();
            let whole = Full::new(Bytes::from(vec![0; bytes]));
            let body = BoxBody::new(whole.map_err(|never| match never {}));
            let sending = until_sent(body, Arc::clone(&connection));
            assert_eq!(connection.head_due().is_some(), is_idle, "{bytes}");
            drop(sending);
            assert!(connection.head_due().is_some(), "{bytes}");
        };
        check(10, true);
        check(BUFFER_BYTES, true);
        check(BUFFER_BYTES + 1, false);
    }
}
