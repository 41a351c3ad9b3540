//! Many connections with one request under way on each, driven by readiness.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::response::Frame;

/// Connections that are opened together: fewer than a backend takes of one address before they show a token.
pub const OPENED_TOGETHER: usize = 32;
/// Readiness events taken at once.
const EVENTS: usize = 1024;

/// What happened on a connection.
pub enum Happening {
    /// Its request was answered.
    Answered {
        /// Number of the connection.
        lane: usize,
        /// The answer's status.
        status: u16,
        /// The answer's body.
        body: Vec<u8>,
        /// When the request was sent.
        sent_at: Instant,
    },
    /// It ended without an answer.
    Broken {
        /// Number of the connection.
        lane: usize,
        /// Why.
        reason: String,
    },
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    written: usize,
    answer: Vec<u8>,
    sent_at: Instant,
    is_waiting: bool,
}

/// Connections to one address.
pub struct Pool {
    address: SocketAddr,
    poll: Poll,
    events: Events,
    lanes: Vec<Option<Connection>>,
    scratch: Vec<u8>,
}

impl Pool {
    /// Room for so many connections; none is open yet.
    pub fn new(address: SocketAddr, lanes: usize) -> Result<Self> {
        Ok(Self {
            address,
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            lanes: (0..lanes).map(|_| None).collect(),
            scratch: vec![0; 64 * 1024],
        })
    }

    /// How many connections there may be.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Sends a request, written by `render`, on a connection that is idle or is opened for it.
    pub fn send(&mut self, lane: usize, render: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let connection = match &mut self.lanes[lane] {
            Some(connection) => connection,
            empty => {
                // On the loopback this takes no time, and a refusal is known at once.
                let stream = std::net::TcpStream::connect(self.address).context("connecting")?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                let mut stream = TcpStream::from_std(stream);
                let interest = Interest::READABLE | Interest::WRITABLE;
                self.poll
                    .registry()
                    .register(&mut stream, Token(lane), interest)?;
                empty.insert(Connection {
                    stream,
                    request: Vec::new(),
                    written: 0,
                    answer: Vec::new(),
                    sent_at: Instant::now(),
                    is_waiting: false,
                })
            }
        };
        connection.request.clear();
        connection.written = 0;
        connection.answer.clear();
        render(&mut connection.request);
        connection.sent_at = Instant::now();
        connection.is_waiting = true;
        // A broken connection is reported by the next wait.
        drop(connection.write());
        Ok(())
    }

    /// Whether this connection is open.
    pub fn is_open(&self, lane: usize) -> bool {
        self.lanes[lane].is_some()
    }

    /// Waits for something to happen, at most for so long.
    pub fn wait(&mut self, at_most: Duration, happenings: &mut Vec<Happening>) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(at_most)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &self.events {
            let lane = event.token().0;
            let Some(connection) = &mut self.lanes[lane] else {
                continue;
            };
            let was_waiting = connection.is_waiting;
            match connection.advance(&mut self.scratch) {
                Ok(None) => {}
                Ok(Some(frame)) => {
                    connection.is_waiting = false;
                    happenings.push(Happening::Answered {
                        lane,
                        status: frame.status,
                        body: frame.body(&connection.answer).into_owned(),
                        sent_at: connection.sent_at,
                    });
                    if frame.is_last {
                        self.lanes[lane] = None;
                    }
                }
                Err(error) => {
                    self.lanes[lane] = None;
                    // One that ends between two requests is opened anew for the next.
                    if was_waiting {
                        let reason = format!("{error:#}");
                        happenings.push(Happening::Broken { lane, reason });
                    }
                }
            }
        }
        Ok(())
    }
}

impl Connection {
    fn write(&mut self) -> Result<()> {
        while self.written < self.request.len() {
            match self.stream.write(&self.request[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes what is left, reads what is there, and says whether the answer is complete.
    fn advance(&mut self, scratch: &mut [u8]) -> Result<Option<Frame>> {
        if self.is_waiting {
            self.write()?;
        }
        loop {
            match self.stream.read(scratch) {
                Ok(0) => bail!("the server ended the connection"),
                Ok(count) => {
                    self.answer.extend_from_slice(&scratch[..count]);
                    if self.is_waiting
                        && let Some(frame) = Frame::find(&self.answer)?
                    {
                        return Ok(Some(frame));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
