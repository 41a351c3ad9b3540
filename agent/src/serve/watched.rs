//! A connection's stream, watched: when it has to be cut because nothing more comes, or only in drops.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

/// Time for a request to arrive, and for a new connection to send its first.
const ARRIVAL: Duration = Duration::from_secs(10);
/// A connection on which nothing moves is kept for so long: readers come again every half minute or minute.
const QUIET: Duration = Duration::from_secs(75);

/// What a connection is doing.
#[derive(Clone, Copy, Debug)]
pub enum Phase {
    /// A request is arriving since then.
    Arriving(Instant),
    /// Nothing moves since then.
    Quiet(Instant),
}

impl Phase {
    /// When the connection is to be cut if nothing happens.
    pub fn end(self) -> Instant {
        match self {
            Self::Arriving(since) => since + ARRIVAL,
            Self::Quiet(since) => since + QUIET,
        }
    }
}

/// See the module.
pub struct Watched<S> {
    stream: S,
    phase: watch::Sender<Phase>,
}

impl<S> Watched<S> {
    /// Says of this stream, to whom it may concern, what it is doing.
    pub fn new(stream: S, phase: watch::Sender<Phase>) -> Self {
        Self { stream, phase }
    }

    /// Something of an answer was taken. It does not give a request that arrives meanwhile more time.
    fn moved<T>(&self, progress: &Poll<io::Result<T>>) {
        if progress.is_ready() {
            self.phase.send_if_modified(|phase| match phase {
                Phase::Arriving(_) => false,
                Phase::Quiet(since) => {
                    *since = Instant::now();
                    true
                }
            });
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.phase.send_if_modified(|phase| match phase {
                Phase::Arriving(_) => false,
                Phase::Quiet(_) => {
                    *phase = Phase::Arriving(Instant::now());
                    true
                }
            });
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.moved(&progress);
        progress
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.moved(&progress);
        progress
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
