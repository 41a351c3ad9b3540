//! One connection that waits for each answer: for questions and for administration.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::response::Frame;

/// Longest time that an answer may take: merging a whole store takes minutes.
const PATIENCE: Duration = Duration::from_secs(900);

/// A whole answer, and how long it took.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
    /// From the first byte sent to the last one received.
    pub took: Duration,
}

impl Answer {
    /// The body as JSON, of an answer that says yes.
    pub fn json(&self) -> Result<Value> {
        ensure!(
            (200..300).contains(&self.status),
            "answered {}: {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        serde_json::from_slice(&self.body).context("the answer is not JSON")
    }
}

/// A client that keeps its connection.
pub struct Client {
    address: SocketAddr,
    token: Option<String>,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    /// A client that shows this token, or none.
    pub fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self {
            address,
            token,
            stream: None,
            buffer: Vec::new(),
        }
    }

    /// Asks for something.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.send("GET", path, "")
    }

    /// Posts JSON, or nothing.
    pub fn post(&mut self, path: &str, json: &str) -> Result<Answer> {
        self.send("POST", path, json)
    }

    fn send(&mut self, method: &str, path: &str, json: &str) -> Result<Answer> {
        let kept = self.stream.is_some();
        match self.try_once(method, path, json) {
            // Servers end idle connections.
            Err(_) if kept => {
                self.stream = None;
                self.try_once(method, path, json)
            }
            answer => answer,
        }
        .with_context(|| format!("{method} {path}"))
    }

    fn try_once(&mut self, method: &str, path: &str, json: &str) -> Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream
            }
        };
        let (address, length) = (self.address, json.len());
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if method == "POST" {
            head.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {length}\r\n"
            ));
        }
        let request = format!("{head}\r\n{json}");
        let began = Instant::now();
        stream.write_all(request.as_bytes())?;
        self.buffer.clear();
        let mut piece = [0; 64 * 1024];
        loop {
            let read = stream.read(&mut piece)?;
            if read == 0 {
                bail!("the server ended the connection");
            }
            self.buffer.extend_from_slice(&piece[..read]);
            if let Some(frame) = Frame::find(&self.buffer)? {
                let took = began.elapsed();
                self.stream = (!frame.is_last).then_some(stream);
                return Ok(Answer {
                    status: frame.status,
                    body: frame.body(&self.buffer).into_owned(),
                    took,
                });
            }
        }
    }
}
