//! A receiver of webhooks, as somebody would write it from the documentation: it checks who sent what, and keeps it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use infra_watch::domain::snapshot::hex;
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the receiver says to a request without a right signature.
const UNSIGNED: u16 = 401;

/// A signed request, and how it was answered.
#[derive(Clone, Debug)]
pub struct Received {
    pub key: String,
    pub timestamp: i64,
    pub body: Value,
    pub status: u16,
}

struct State {
    secret: String,
    status: AtomicU16,
    received: watch::Sender<Vec<Received>>,
}

/// A receiver that listens until it is ended or dropped, and can listen again at the same place.
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<State>,
    serving: Option<JoinHandle<()>>,
}

impl Receiver {
    pub async fn start(secret: &str) -> Self {
        let state = State {
            secret: secret.to_owned(),
            status: AtomicU16::new(200),
            received: watch::Sender::new(Vec::new()),
        };
        let mut receiver = Self {
            address: ([127, 0, 0, 1], 0).into(),
            state: Arc::new(state),
            serving: None,
        };
        receiver.listen().await;
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers with this from now on.
    pub fn answer(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    /// Listens again where it did.
    pub async fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        self.serving = Some(tokio::spawn(serve(listener, Arc::clone(&self.state))));
    }

    /// Goes away, with all connections.
    pub async fn end(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            drop(serving.await);
        }
    }

    /// All that came until now.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.borrow().clone()
    }

    /// Waits until what came is as it should be.
    pub async fn until(&self, is_so: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let mut received = self.state.received.subscribe();
        let received = received.wait_for(|received| is_so(received)).await;
        received.unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    // Dropped with this task, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(|request| receive(request, &state));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // Who hangs up has heard enough.
            drop(connection.await);
        });
    }
}

async fn receive(
    request: Request<Incoming>,
    state: &State,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| {
        let value = head.headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let (timestamp, signature) = (
        header("infra-watch-timestamp").unwrap_or_default(),
        header("infra-watch-signature").unwrap_or_default(),
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(state.secret.as_bytes()).unwrap();
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(&body);
    let expected = format!("sha256={}", hex(&mac.finalize().into_bytes()));
    let is_json = header("content-type").as_deref() == Some("application/json");
    let status = if signature == expected && is_json {
        let status = state.status.load(Ordering::SeqCst);
        let received = Received {
            key: header("idempotency-key").unwrap(),
            timestamp: timestamp.parse().unwrap(),
            body: serde_json::from_slice(&body).unwrap(),
            status,
        };
        state.received.send_modify(|all| all.push(received));
        status
    } else {
        UNSIGNED
    };
    let body = Full::new(Bytes::from_static(b"words of the receiver"));
    Ok(Response::builder().status(status).body(body).unwrap())
}
