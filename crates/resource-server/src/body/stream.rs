//! What an answer that may take long needs beside: its place among the open streams, its end in time, and a last word when the MCP
//! server ends it without an answer, or breaks off.

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

use super::watch::Watch;

const INTERNAL: i64 = -32603;
const BROKE_OFF: &str = "The MCP server behind the gateway broke off in the middle of its answer.";
const NO_ANSWER: &str = "The MCP server behind the gateway ended its stream without an answer.";

/// One open stream.
pub(crate) struct Stream {
    lease: Lease,
    outlived: Pin<Box<Sleep>>,
    media: Media,
    /// The request that waits for an answer on it.
    id: Option<RequestId>,
    /// Whether its client may come back for the rest, if events have ids.
    is_resumable: bool,
    /// Whether it ends with an answer.
    is_answered_once: bool,
    /// What went out.
    watch: Watch,
    /// What judges the lists on it, and for whom.
    sieve: Option<Box<(Sieve, Sight)>>,
}

impl Stream {
    /// `life` is how long it may be open; `id` is the request that a last word may answer, if any.
    pub(crate) fn new(lease: Lease, life: Duration, media: Media, id: Option<RequestId>) -> Self {
        Self {
            lease,
            outlived: Box::pin(tokio::time::sleep(life)),
            media,
            id: id.filter(|_| media == Media::Events),
            is_resumable: false,
            is_answered_once: true,
            watch: Watch::default(),
            sieve: None,
        }
    }

    /// The same, of a client that may come back for the rest if events have ids.
    pub(crate) const fn resumable(mut self, is_resumable: bool) -> Self {
        self.is_resumable = is_resumable;
        self
    }

    /// The same, where no answer need come: of a subscription, if it is not answered once.
    pub(crate) const fn answered_once(mut self, is_answered_once: bool) -> Self {
        self.is_answered_once = is_answered_once;
        self
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
        let may_come_back = self.may_come_back();
        self.sieve.as_mut().map_or_else(Sifted::default, |sieve| sieve.0.end(may_come_back))
    }

    /// Whether the answer may still come, on another stream (MCP 2025-11-25, transports, "Resumability and Redelivery"; 2026-07-28
    /// has no such thing).
    fn may_come_back(&self) -> bool {
        self.is_resumable && self.watch.has_ids()
    }

    /// Whether the answer went out without the empty line that ends it: readers of events pass over it then.
    pub(super) fn ends_inside_an_answer(&self) -> bool {
        self.id.is_some() && self.watch.is_answered() && !self.watch.is_between_events()
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

    /// So much went out.
    pub(super) fn saw(&mut self, data: &[u8]) {
        if self.id.is_some() {
            self.watch.push(data);
            if self.watch.is_answered() && self.watch.is_between_events() {
                self.id = None;
            }
        }
    }

    /// Whether a request still waits for its answer here.
    pub(super) fn waits(&self) -> bool {
        self.id.is_some() && self.is_answered_once && !self.watch.is_answered()
    }

    /// An error that answers the request: the MCP server has broken off.
    pub(super) fn last_words(&mut self) -> Option<Bytes> {
        self.instead_of_an_answer(BROKE_OFF)
    }

    /// The same: it has ended the stream, and said nothing. A subscription may end so.
    pub(super) fn last_words_at_end(&mut self) -> Option<Bytes> {
        self.is_answered_once.then(|| self.instead_of_an_answer(NO_ANSWER)).flatten()
    }

    /// Only where a broken stream cannot be resumed: otherwise the answer comes yet.
    fn instead_of_an_answer(&mut self, message: &'static str) -> Option<Bytes> {
        if self.watch.is_answered() || self.may_come_back() {
            return None;
        }
        let error = JsonRpcError { id: Some(self.id.take()?), code: INTERNAL, message, data: None };
        // What has gone on of an event is ended as it is, half a JSON text.
        let before: &[u8] = if self.watch.is_between_events() { b"data: " } else { b"\n\ndata: " };
        Some([before, &error.to_body()[..], b"\n\n"].concat().into())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("media", &self.media).finish_non_exhaustive()
    }
}
