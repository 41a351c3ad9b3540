//! The accepted stream, watched: a head must arrive in time, and an answer must be taken.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::server::Connection;

/// A peer that takes nothing of an answer for so long is cut.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// Ends a connection whose head is late or whose peer takes nothing of an answer for [`WRITE_STALL`].
pub struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
    reading: Pin<Box<Sleep>>,
    writing: Pin<Box<Sleep>>,
    is_stalled: bool,
}

impl<S> Watched<S> {
    /// Watches a stream for its connection.
    pub fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self {
            stream,
            connection,
            reading: Box::pin(sleep(WRITE_STALL)),
            writing: Box::pin(sleep(WRITE_STALL)),
            is_stalled: false,
        }
    }

    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.is_stalled = false;
            return progress;
        }
        if !self.is_stalled {
            self.is_stalled = true;
            self.writing.as_mut().reset(Instant::now() + WRITE_STALL);
        }
        ready!(self.writing.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            if buffer.filled().len() > before {
                self.connection.bytes_arrived();
            }
            return read;
        }
        // While a request is being answered nothing is due; when it ends, hyper asks again.
        let Some(due) = self.connection.head_due() else {
            return Poll::Pending;
        };
        if self.reading.deadline() != due {
            self.reading.as_mut().reset(due);
        }
        ready!(self.reading.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
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
