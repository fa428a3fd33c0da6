//! The end of a connection on which a client is still sending (RFC 9112, section 9.6): we say that we are done, and throw
//! away what comes until the client is done too. A socket that is closed over unread bytes is reset, and a reset takes the
//! answer from a client that has not read it yet.
//!
//! Bounded in time and in bytes. Must never read of a connection that was not ended by us.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::rest::Rest;

/// How long a client may take to notice.
const PATIENCE: Duration = Duration::from_secs(5);
/// As much as it may send meanwhile: more than the largest message, with a client that only listens when it has spoken.
const MOST: usize = 8 * 1024 * 1024;
/// What is read at once.
const PIECE: usize = 4 * 1024;

/// A connection whose end is heard out.
#[derive(Debug)]
pub(super) struct Lingering<I> {
    inner: I,
    rest: Arc<Rest>,
    /// Since we said that we are done.
    patience: Option<Pin<Box<Sleep>>>,
    thrown_away: usize,
}

impl<I> Lingering<I> {
    pub(super) const fn new(inner: I, rest: Arc<Rest>) -> Self {
        Self { inner, rest, patience: None, thrown_away: 0 }
    }
}

impl<I: AsyncRead + Unpin> Lingering<I> {
    /// Ready when the client is done, or has had enough time.
    fn poll_rest(&mut self, cx: &mut Context<'_>, patience: &mut Pin<Box<Sleep>>) -> Poll<Result<()>> {
        while self.thrown_away < MOST && patience.as_mut().poll(cx).is_pending() {
            let mut piece = [0; PIECE];
            let mut buffer = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.thrown_away += buffer.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Lingering<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let mut patience = match this.patience.take() {
            Some(patience) => patience,
            None => {
                ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
                if !this.rest.is_unread() {
                    return Poll::Ready(Ok(()));
                }
                Box::pin(tokio::time::sleep(PATIENCE))
            }
        };
        let done = this.poll_rest(cx, &mut patience);
        if done.is_pending() {
            this.patience = Some(patience);
        }
        done
    }
}
