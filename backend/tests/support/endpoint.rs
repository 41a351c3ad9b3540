//! An agent's endpoint as a test wants it: it answers every request the same way, good or bad, plain or with TLS.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// The token that good requests carry.
pub const TOKEN: &str = "a token for tests";
/// Between two bytes of one who drips.
const DRIP: Duration = Duration::from_millis(20);

/// What TLS begins with.
const TLS_HANDSHAKE: u8 = 22;

/// What is said to a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These bytes, and then a space now and then for ever.
    ThenDrip(Vec<u8>),
    /// These bytes, and then 100 MB.
    ThenFlood(Vec<u8>),
}

/// An answer in HTTP.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut bytes = head(status, headers, body.len()).into_bytes();
    bytes.extend_from_slice(body);
    Answer::Bytes(bytes)
}

/// A good answer.
pub fn json_answer(body: &[u8]) -> Answer {
    answer(200, &[("content-type", "application/json")], body)
}

pub fn head(status: u16, headers: &[(&str, &str)], length: usize) -> String {
    let headers = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers = headers.collect::<String>();
    format!("HTTP/1.1 {status} As It Is\r\n{headers}content-length: {length}\r\n\r\n")
}

/// A report that is valid.
pub fn report() -> Value {
    json!({
        "report_id": "0198c0de-0000-7000-8000-000000000001",
        "agent_version": "0.1.0",
        "sent_at": "2027-01-15T08:00:00Z",
        "interval_seconds": 30,
        "snapshot_interval_seconds": 3600,
        "series": [{ "metric": "cpu_usage_percent" }],
        "points": [{ "at": 1_800_000_000, "values": [12.5] }],
    })
}

/// What an endpoint saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Connections.
    pub connections: usize,
    /// Heads of requests.
    pub requests: Vec<String>,
    /// Connections that ended.
    pub ended: usize,
}

/// An endpoint that listens until it is dropped.
pub struct Endpoint {
    pub address: SocketAddr,
    /// Its certificate, when it has one.
    pub certificate_der: Option<Vec<u8>>,
    seen: watch::Receiver<Seen>,
    serving: JoinHandle<()>,
}

impl Endpoint {
    pub async fn start(answer: Answer) -> Self {
        Self::listen(answer, None, None).await
    }

    /// One that speaks TLS, with a certificate that it signed itself.
    pub async fn start_tls(answer: Answer) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let der = made.cert.der().to_vec();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(der.clone())], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::listen(answer, Some(acceptor), Some(der)).await
    }

    async fn listen(
        answer: Answer,
        tls: Option<TlsAcceptor>,
        certificate_der: Option<Vec<u8>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (note, seen) = watch::channel(Seen::default());
        let serving = tokio::spawn(serve(listener, tls, answer, note));
        Self {
            address,
            certificate_der,
            seen,
            serving,
        }
    }

    pub fn url(&self) -> String {
        let scheme = if self.certificate_der.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}/report", self.address)
    }

    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until what was seen is as it should be.
    pub async fn until(&mut self, is_so: impl FnMut(&Seen) -> bool) -> Seen {
        self.seen.wait_for(is_so).await.unwrap().clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    answer: Answer,
    note: watch::Sender<Seen>,
) {
    // Dropped with this task, and its connections with it.
    let mut connections = JoinSet::new();
    let note = Arc::new(note);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        note.send_modify(|seen| seen.connections += 1);
        let (tls, answer, note) = (tls.clone(), answer.clone(), Arc::clone(&note));
        connections.spawn(async move {
            // Who hangs up has heard enough.
            drop(match tls {
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => talk(stream, &answer, &note).await,
                    Err(error) => Err(error),
                },
                None => talk(stream, &answer, &note).await,
            });
            note.send_modify(|seen| seen.ended += 1);
        });
    }
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &Answer,
    note: &watch::Sender<Seen>,
) -> io::Result<()> {
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await?);
            if request == [TLS_HANDSHAKE] {
                return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        }
        let request = String::from_utf8(request).unwrap();
        note.send_modify(|seen| seen.requests.push(request));
        match answer {
            Answer::Bytes(bytes) => stream.write_all(bytes).await?,
            Answer::ThenDrip(bytes) => {
                stream.write_all(bytes).await?;
                let mut ticks = tokio::time::interval(DRIP);
                loop {
                    ticks.tick().await;
                    stream.write_all(b" ").await?;
                    stream.flush().await?;
                }
            }
            Answer::ThenFlood(bytes) => {
                stream.write_all(bytes).await?;
                let megabyte = vec![b' '; 1_000_000];
                for _ in 0..100 {
                    stream.write_all(&megabyte).await?;
                }
            }
        }
        stream.flush().await?;
    }
}
