//! The local endpoint: what a backend that pulls reads, over HTTP, with a token and within bounds.

mod answer;
mod board;
mod hosts;
mod reloaded;
mod ring;
mod tls;
mod token;
mod watched;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use hosts::Hosts;
use tls::{Tls, TlsError};
use token::{Token, TokenError};
use watched::{Phase, Watched};

pub use board::Board;

/// Connections at a time; one more is closed at once.
const CONNECTIONS: usize = 32;
/// Longest head of a request.
const HEAD_BYTES: usize = 16 << 10;
/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Time for answers that are on their way when the agent ends.
const GRACE: Duration = Duration::from_secs(5);
/// Pause after an error of accepting, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there can be no endpoint.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// How to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Address and port.
    pub listen: SocketAddr,
    /// File with the token that readers have to show.
    pub token_file: PathBuf,
    /// Further names under which the endpoint may be asked.
    pub allowed_hosts: Vec<String>,
    /// Files with certificate and key; without them there is no TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// The endpoint, which has its address and answers once it serves.
pub struct Endpoint {
    listener: TcpListener,
    tls: Option<Tls>,
    access: Arc<Access>,
}

/// What is shown, and who may see it.
struct Access {
    board: Arc<Board>,
    token: Token,
    hosts: Hosts,
}

impl Endpoint {
    /// Takes the address and reads the files.
    pub async fn open(options: &Options, board: Arc<Board>) -> Result<Self, ServeError> {
        let listen_error = |source| ServeError::Listen {
            address: options.listen,
            source,
        };
        let token = Token::open(&options.token_file)?;
        let tls = options.tls.as_ref();
        let tls = tls
            .map(|(certificate, key)| Tls::open(certificate, key))
            .transpose()?;
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        tracing::info!(%address, tls = tls.is_some(), "the endpoint listens");
        if tls.is_none() && !address.ip().to_canonical().is_loopback() {
            tracing::warn!(
                "without TLS, the token and all that is read can be read on the way: --tls-cert and --tls-key"
            );
        }
        Ok(Self {
            listener,
            tls,
            access: Arc::new(Access {
                board,
                token,
                hosts: Hosts::new(&options.allowed_hosts),
            }),
        })
    }

    /// Serves until the other end of `stopped` is gone, and gives answers that are on their way some time.
    pub async fn serve(self, mut stopped: watch::Receiver<()>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                _ = stopped.changed() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        while connections.try_join_next().is_some() {}
                        if connections.len() < CONNECTIONS {
                            connections.spawn(self.connection(stream, stopped.clone()));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(GRACE, ended).await.is_err() {
            tracing::warn!("readers were cut off at the end");
        }
    }

    /// What becomes of one connection.
    fn connection(
        &self,
        stream: TcpStream,
        stopped: watch::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let access = Arc::clone(&self.access);
        let acceptor = self.tls.as_ref().map(Tls::acceptor);
        async move {
            // The peer may be gone already.
            let Ok(local) = stream.local_addr() else {
                return;
            };
            // Answers go out at once; if that cannot be had, they go a little later.
            let _ = stream.set_nodelay(true);
            match acceptor {
                None => speak(access, stream, local.ip(), stopped).await,
                Some(acceptor) => match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => speak(access, stream, local.ip(), stopped).await,
                    Ok(Err(error)) => tracing::debug!(%error, "no TLS with a reader"),
                    Err(_) => tracing::debug!("no TLS with a reader in time"),
                },
            }
        }
    }
}

/// Answers the requests of a connection until either side ends it, or too little happens.
async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    access: Arc<Access>,
    stream: S,
    local: IpAddr,
    mut stopped: watch::Receiver<()>,
) {
    let (phase, mut phases) = watch::channel(Phase::Arriving(Instant::now()));
    let stream = Watched::new(stream, phase.clone());
    let service = service_fn(|request| {
        let answer = answer::answer(&access, &request, local);
        phase.send_replace(Phase::Quiet(Instant::now()));
        async { Ok::<_, Infallible>(answer) }
    });
    let serving = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let mut is_stopping = false;
    loop {
        let end = phases.borrow_and_update().end();
        tokio::select! {
            // A reader that went away or sent nonsense is no news.
            _ = serving.as_mut() => return,
            () = sleep_until(end) => return,
            _ = phases.changed() => {}
            _ = stopped.changed(), if !is_stopping => {
                is_stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}
