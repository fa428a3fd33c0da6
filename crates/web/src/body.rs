//! The body of an answer: a page or document of ours, or what an MCP server streams.
//!
//! An enum rather than a box, so that a call's answer passes without an allocation or a copy of ours.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// Why an answer broke off.
pub type BodyError = Box<dyn StdError + Send + Sync>;

/// The body of an answer.
pub struct Body(Kind);

enum Kind {
    Call(resource_server::Body),
    Page(axum::body::Body),
}

impl Body {
    pub(crate) const fn call(body: resource_server::Body) -> Self {
        Self(Kind::Call(body))
    }

    pub(crate) const fn page(body: axum::body::Body) -> Self {
        Self(Kind::Page(body))
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::page(axum::body::Body::empty())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::page(axum::body::Body::from(bytes))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Call(_) => f.write_str("Body::Call"),
            Kind::Page(_) => f.write_str("Body::Page"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Call(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Kind::Page(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Call(body) => body.is_end_stream(),
            Kind::Page(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Call(body) => body.size_hint(),
            Kind::Page(body) => body.size_hint(),
        }
    }
}
