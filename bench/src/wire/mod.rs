//! How a post looks on the wire, for each kind of target.

mod remote_write;
mod report;

use std::io::Write as _;
use std::net::SocketAddr;

pub use remote_write::RemoteWrite;
pub use report::{Credentials, Reports, install_id};

use crate::data::Values;

/// One host's next points: one when it is live, many of its history.
pub struct Post<'a> {
    /// Number of the host.
    pub host: usize,
    /// Unix seconds of the first of them.
    pub first_at: i64,
    /// Seconds from one to the next.
    pub step_seconds: i64,
    /// Their values.
    pub rows: &'a [Values],
}

impl Post<'_> {
    /// Unix seconds and values of each point.
    pub fn points(&self) -> impl Iterator<Item = (i64, &Values)> {
        let moments = (0..).map(|tick| self.first_at + tick * self.step_seconds);
        moments.zip(self.rows)
    }
}

/// Writes posts as requests and judges their answers.
pub trait Wire {
    /// Appends the whole request, head and body.
    fn render(&mut self, post: &Post<'_>, request: &mut Vec<u8>);

    /// Whether this answer says that all of the post is kept.
    fn is_accepted(&self, status: u16, body: &[u8]) -> bool;
}

/// Appends a POST with these header lines, each ended by CR LF.
pub fn write_post(
    request: &mut Vec<u8>,
    address: SocketAddr,
    path: &str,
    headers: &str,
    body: &[u8],
) {
    let length = body.len();
    // Writing to memory cannot fail.
    drop(write!(
        request,
        "POST {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n"
    ));
    request.extend_from_slice(body);
}
