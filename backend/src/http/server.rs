//! Connections: accepted within bounds, over TLS where it is set, cut when they drip, and ended in good order.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use poem::endpoint::BoxEndpoint;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guard::TrustedProxies;
use crate::tls::TlsFiles;

/// Time for a request's head to arrive, and for an idle connection to send the next one.
const HEAD_ARRIVAL: Duration = Duration::from_secs(20);
/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A peer that takes nothing of an answer for so long is cut.
const WRITE_STALL: Duration = Duration::from_secs(30);
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

/// One connection, as requests on it see it.
pub struct Connection {
    address: IpAddr,
    is_stranger: AtomicBool,
    strangers: Arc<Strangers>,
}

/// Connections by address that have not yet shown a valid token.
#[derive(Default)]
struct Strangers(Mutex<HashMap<IpAddr, usize>>);

impl Strangers {
    fn admit(self: &Arc<Self>, address: IpAddr, is_trusted: bool) -> Option<Connection> {
        if !is_trusted {
            let mut counts = self.0.lock();
            let count = counts.entry(address).or_default();
            if *count >= STRANGERS_PER_ADDRESS {
                return None;
            }
            *count += 1;
        }
        Some(Connection {
            address,
            is_stranger: AtomicBool::new(!is_trusted),
            strangers: Arc::clone(self),
        })
    }
}

impl Connection {
    /// A valid token was shown: the connection is no longer a stranger's.
    pub fn authenticated(&self) {
        if self.is_stranger.swap(false, Ordering::AcqRel) {
            let mut counts = self.strangers.0.lock();
            if let Some(count) = counts.get_mut(&self.address) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&self.address);
                }
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.authenticated();
    }
}

struct Server {
    endpoint: BoxEndpoint<'static, Response>,
    tls: Option<TlsFiles>,
    stopping: CancellationToken,
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
    let server = Arc::new(Server {
        endpoint,
        tls,
        stopping: CancellationToken::new(),
    });
    let strangers = Arc::new(Strangers::default());
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
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
        let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
            let (scheme, connection) = (scheme.clone(), Arc::clone(&connection));
            async move {
                let addresses = (
                    LocalAddr(Addr::SocketAddr(local)),
                    RemoteAddr(Addr::SocketAddr(peer)),
                );
                let mut request = Request::from((request, addresses.0, addresses.1, scheme));
                request.extensions_mut().insert(connection);
                let response = self
                    .endpoint
                    .call(request)
                    .await
                    .unwrap_or_else(poem::Error::into_response);
                Ok::<hyper::Response<BoxBody<bytes::Bytes, io::Error>>, Infallible>(response.into())
            }
        });
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_ARRIVAL)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(WriteGuard::new(stream)), service);
        let mut serving = pin!(serving);
        tokio::select! {
            // A peer that went away or sent nonsense is no news.
            _ = serving.as_mut() => return,
            () = self.stopping.cancelled() => serving.as_mut().graceful_shutdown(),
        }
        let _ = serving.await;
    }
}

/// Ends a connection whose peer takes nothing of an answer for [`WRITE_STALL`].
struct WriteGuard<S> {
    stream: S,
    stalled: Pin<Box<Sleep>>,
    is_waiting: bool,
}

impl<S> WriteGuard<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            stalled: Box::pin(sleep(WRITE_STALL)),
            is_waiting: false,
        }
    }

    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.is_waiting = false;
            return progress;
        }
        if !self.is_waiting {
            self.is_waiting = true;
            self.stalled.as_mut().reset(Instant::now() + WRITE_STALL);
        }
        ready!(self.stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, progress)
    }
}
