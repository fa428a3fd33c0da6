//! The body of an answer: a short one of our own, or what the MCP server sends, frame by frame and untouched.
//!
//! Back-pressure is passed on: nothing is read from the MCP server that was not asked for here. When the client goes
//! away this is dropped, and the MCP server's connection with it. Must never hold more than one frame.

mod guarded;
mod stream;
mod watch;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use thiserror::Error;

pub(crate) use guarded::Guarded;
pub(crate) use stream::Stream;

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    Guarded(Box<Guarded<Incoming>>),
    Own(Full<Bytes>),
}

/// Why a body broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BodyError {
    /// The MCP server broke off.
    #[error("the mcp server broke off in the middle of its answer")]
    Cut,
    /// Access was withdrawn, or its token is long over.
    #[error("access was withdrawn in the middle of an answer")]
    Ended,
}

impl Body {
    /// A body of our own.
    #[must_use]
    pub fn full(bytes: Bytes) -> Self {
        Self(Kind::Own(Full::new(bytes)))
    }

    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    pub(crate) fn guarded(guarded: Guarded<Incoming>) -> Self {
        Self(Kind::Guarded(Box::new(guarded)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Kind::Guarded(guarded) => Pin::new(&mut **guarded).poll_frame(cx),
            Kind::Own(full) => Pin::new(full).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Guarded(guarded) => guarded.is_end_stream(),
            Kind::Own(full) => full.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Guarded(guarded) => guarded.size_hint(),
            Kind::Own(full) => full.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests;
