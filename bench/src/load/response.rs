//! Answers in HTTP/1.1: where they end, what they say.

use std::borrow::Cow;
use std::ops::Range;

use anyhow::{Context as _, Result, bail};

/// A complete answer at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its status.
    pub status: u16,
    /// Where its body is, in chunks or as a whole.
    body: Body,
    /// Bytes of all of it.
    pub length: usize,
    /// The server ends the connection after it.
    pub is_last: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    Whole(Range<usize>),
    Chunks(Vec<Range<usize>>),
}

impl Frame {
    /// Finds the answer; nothing while it is incomplete.
    pub fn find(buffer: &[u8]) -> Result<Option<Self>> {
        let Some(end) = position(buffer, b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&buffer[..end]).context("the head is not text")?;
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5))
            .and_then(|status| status.parse().ok())
            .with_context(|| format!("not HTTP: {first}"))?;
        let (mut length, mut is_chunked, mut is_last) = (0, false, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().context("a length that is no number")?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                is_chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                is_last = value.eq_ignore_ascii_case("close");
            }
        }
        let start = end + 4;
        let (body, length) = if is_chunked {
            let Some((chunks, end)) = chunks(buffer, start)? else {
                return Ok(None);
            };
            (Body::Chunks(chunks), end)
        } else {
            (Body::Whole(start..start + length), start + length)
        };
        Ok((buffer.len() >= length).then_some(Self {
            status,
            body,
            length,
            is_last,
        }))
    }

    /// The body, out of the buffer in which it was found.
    pub fn body<'a>(&self, buffer: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.body {
            Body::Whole(range) => Cow::Borrowed(&buffer[range.clone()]),
            Body::Chunks(ranges) => {
                let chunks = ranges.iter().map(|range| &buffer[range.clone()]);
                Cow::Owned(chunks.collect::<Vec<_>>().concat())
            }
        }
    }
}

/// The chunks' contents and where the last of them ends; nothing while they are incomplete.
fn chunks(buffer: &[u8], mut at: usize) -> Result<Option<(Vec<Range<usize>>, usize)>> {
    let mut chunks = Vec::new();
    loop {
        let Some(line) = position(&buffer[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&buffer[at..at + line])?;
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            bail!("a chunk of size {size:?}");
        };
        let start = at + line + 2;
        at = start + size + 2;
        if buffer.len() < at {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some((chunks, at)));
        }
        chunks.push(start..start + size);
    }
}

fn position(buffer: &[u8], wanted: &[u8]) -> Option<usize> {
    buffer.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let answer =
            b"HTTP/1.1 202 Accepted\r\ncontent-LENGTH: 2\r\nConnection: close\r\n\r\nokmore";
        for short in 0..answer.len() - 4 {
            assert_eq!(Frame::find(&answer[..short]).unwrap(), None);
        }
        let frame = Frame::find(answer).unwrap().unwrap();
        assert_eq!((frame.status, frame.is_last), (202, true));
        assert_eq!(frame.length, answer.len() - 4);
        assert_eq!(frame.body(answer).as_ref(), b"ok");
    }

    #[test]
    fn chunks_are_joined() {
        let answer =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        for short in 0..answer.len() {
            assert_eq!(Frame::find(&answer[..short]).unwrap(), None);
        }
        let frame = Frame::find(answer).unwrap().unwrap();
        assert_eq!(frame.body(answer).as_ref(), b"abc0123456789");
        assert_eq!(frame.length, answer.len());
    }

    #[test]
    fn an_answer_without_a_body_is_complete() {
        let frame = Frame::find(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!((frame.status, frame.is_last), (204, false));
        assert!(Frame::find(b"SMTP\r\n\r\n").is_err());
    }
}
