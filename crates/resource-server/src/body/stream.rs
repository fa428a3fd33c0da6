//! What an answer that may take long needs beside: its place among the open streams, its end in time, and, for
//! clients of 2026-07-28, a last word when the MCP server breaks off.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use protocol::mcp::{JsonRpcError, RequestId};
use tokio::time::Sleep;

use crate::counts::Ending;
use crate::lists::{Sieve, Sifted, Sight};
use crate::media::Media;
use crate::streams::{End, Lease};

const INTERNAL: i64 = -32603;
const BROKE_OFF: &str = "The MCP server behind the gateway broke off in the middle of its answer.";
/// `\r\n\r\n`
const LONGEST_BOUNDARY: usize = 4;

/// One open stream.
pub(crate) struct Stream {
    lease: Lease,
    outlived: Pin<Box<Sleep>>,
    media: Media,
    id: Option<RequestId>,
    /// What judges the lists on it, and for whom.
    sieve: Option<Box<(Sieve, Sight)>>,
    /// The last bytes that went through.
    tail: ([u8; LONGEST_BOUNDARY], usize),
}

impl Stream {
    /// `life` is how long it may be open; `id` is the request that a last word may answer, if any.
    pub(crate) fn new(lease: Lease, life: Duration, media: Media, id: Option<RequestId>) -> Self {
        let outlived = Box::pin(tokio::time::sleep(life));
        Self { lease, outlived, media, id, sieve: None, tail: ([0; LONGEST_BOUNDARY], 0) }
    }

    /// The same, with its lists judged.
    pub(crate) fn sifted(mut self, sieve: Sieve, sight: Sight) -> Self {
        self.sieve = Some(Box::new((sieve, sight)));
        self
    }

    /// Whether as much goes out as comes in.
    pub(super) const fn is_untouched(&self) -> bool {
        self.sieve.is_none()
    }

    /// What of a piece goes on; `None` if all of it does.
    pub(super) fn sift(&mut self, data: &Bytes) -> Option<Sifted> {
        let (sieve, sight) = &mut **self.sieve.as_mut()?;
        Some(sieve.push(data, sight))
    }

    /// What goes on after the last piece.
    pub(super) fn sift_end(&mut self) -> Sifted {
        self.sieve.as_mut().map_or_else(Sifted::default, |sieve| sieve.0.end())
    }

    pub(super) fn end(&self) -> &End {
        self.lease.end()
    }

    pub(super) fn is_events(&self) -> bool {
        self.media == Media::Events
    }

    /// Ready when it is to end.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<(Ending, &'static str)> {
        if let Poll::Ready(cause) = self.lease.end().poll(cx) {
            return Poll::Ready(cause.ending());
        }
        self.outlived.as_mut().poll(cx).map(|()| (Ending::Outlived, "token_outlived"))
    }

    /// Remembers the last bytes.
    pub(super) fn saw(&mut self, data: &[u8]) {
        let (bytes, len) = &mut self.tail;
        for byte in data.iter().skip(data.len().saturating_sub(LONGEST_BOUNDARY)) {
            bytes.rotate_left(1);
            if let Some(last) = bytes.last_mut() {
                *last = *byte;
            }
            *len = (*len + 1).min(LONGEST_BOUNDARY);
        }
    }

    /// An error that answers the request, if the client can understand it: on a stream of events, between two of
    /// them, and only where a broken stream cannot be resumed (MCP 2026-07-28, transports).
    pub(super) fn last_words(&mut self) -> Option<Bytes> {
        if !self.is_events() || !self.is_between_events() {
            return None;
        }
        let error =
            JsonRpcError { id: Some(self.id.take()?), code: INTERNAL, message: BROKE_OFF, data: None };
        let mut event = b"data: ".to_vec();
        event.extend_from_slice(&error.to_body());
        event.extend_from_slice(b"\n\n");
        Some(Bytes::from(event))
    }

    fn is_between_events(&self) -> bool {
        let (bytes, len) = &self.tail;
        *len == 0 || bytes.ends_with(b"\n\n") || bytes.ends_with(b"\r\n\r\n") || bytes.ends_with(b"\r\r")
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("media", &self.media).finish_non_exhaustive()
    }
}
