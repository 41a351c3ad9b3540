//! A stream that ends when its holder lets go: what reads it runs in a task of its own, and must not outlive the visit.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

/// Both ways of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A stream on a leash.
pub struct Leashed<S> {
    stream: S,
    is_let_go: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Leashed<S> {
    /// Puts a stream on a leash, which is let go when the guard is dropped.
    pub fn new(stream: S) -> (Self, DropGuard) {
        let token = CancellationToken::new();
        let leashed = Self {
            stream,
            is_let_go: Box::pin(token.clone().cancelled_owned()),
        };
        (leashed, token.drop_guard())
    }

    /// Reading and writing happen in one task, so that one waker is enough.
    fn hold(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.is_let_go.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Leashed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.hold(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Leashed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.hold(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hold(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hold(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
