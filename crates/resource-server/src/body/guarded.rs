//! What the MCP server sends, with an eye on it: counted, ended when access is withdrawn, and written down once it
//! is over, whichever way.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::BodyError;
use super::stream::Stream;
use crate::audit::Entry;
use crate::counts::Ending;

/// How long an answer of known length may take from where it first stalls: it can be waited for, but not for ever.
const STALLED: Duration = Duration::from_secs(600);

/// An answer on its way.
pub(crate) struct Guarded<B> {
    /// Gone as soon as the answer is over, so that the MCP server's connection is free or closed.
    inner: Option<B>,
    entry: Entry,
    /// Only for an answer that may take long.
    stream: Option<Stream>,
    /// Set once an answer without a stream's own end has to be waited for.
    stalled: Option<Pin<Box<Sleep>>>,
    /// How many bytes are to come, if that is known.
    left: Option<u64>,
    /// How the call is written down when the answer comes through.
    whole: (Ending, Option<&'static str>),
}

impl<B: Body<Data = Bytes> + Unpin> Guarded<B> {
    /// `whole` says how the call is written down when the answer comes through.
    pub(crate) fn new(
        inner: B,
        entry: Entry,
        stream: Option<Stream>,
        whole: (Ending, Option<&'static str>),
    ) -> Self {
        let left = if inner.is_end_stream() { Some(0) } else { inner.size_hint().exact() };
        Self { inner: Some(inner), entry, stream, stalled: None, left, whole }
    }

    fn finish(&mut self, ending: Ending, reason: Option<&'static str>) {
        self.inner = None;
        self.stream = None;
        self.entry.finish(ending, reason);
    }

    fn finish_whole(&mut self) {
        let (ending, reason) = self.whole;
        self.finish(ending, reason);
    }

    fn pass(&mut self, data: Bytes) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.entry.passed(bytes);
        if let Some(stream) = &mut self.stream {
            stream.saw(&data);
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(bytes);
        }
        // Whoever sends this on may see as well that it is the end, and not ask again.
        if self.left == Some(0) || self.inner.as_ref().is_some_and(Body::is_end_stream) {
            self.finish_whole();
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    /// Nothing there yet.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.stream.is_some() {
            return Poll::Pending;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALLED)));
        ready!(stalled.as_mut().poll(cx));
        self.finish(Ending::Cut, Some("upstream_stalled"));
        Poll::Ready(Some(Err(BodyError::Cut)))
    }

    /// The MCP server broke off.
    fn cut(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let last_words = self.stream.as_mut().and_then(Stream::last_words);
        self.finish(Ending::Cut, Some("upstream_cut"));
        Poll::Ready(Some(last_words.map(Frame::data).ok_or(BodyError::Cut)))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Guarded<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(stream) = &mut this.stream
            && let Poll::Ready((ending, reason)) = stream.poll_end(cx)
        {
            // A stream of events may end anywhere; half a JSON text must not look like a whole one.
            let clean = stream.is_events();
            this.finish(ending, Some(reason));
            return Poll::Ready(if clean { None } else { Some(Err(BodyError::Ended)) });
        }
        loop {
            let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
            let Poll::Ready(next) = Pin::new(inner).poll_frame(cx) else { return this.wait(cx) };
            match next {
                Some(Ok(frame)) => {
                    // Trailers are headers that nobody has on a list.
                    if let Ok(data) = frame.into_data() {
                        return this.pass(data);
                    }
                }
                Some(Err(_)) => return this.cut(),
                None => {
                    this.finish_whole();
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl<B> Drop for Guarded<B> {
    fn drop(&mut self) {
        // Empty from the start: nobody asks for a frame then. Otherwise `entry` says by itself that the client is gone.
        if self.left == Some(0) {
            let (ending, reason) = self.whole;
            self.entry.finish(ending, reason);
        }
    }
}

impl<B> fmt::Debug for Guarded<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("left", &self.left).finish_non_exhaustive()
    }
}
