//! What the MCP server sends, with an eye on it: counted, ended when access is withdrawn, and written down once it
//! is over, whichever way.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::BodyError;
use super::stream::Stream;
use crate::audit::Entry;
use crate::counts::Ending;
use crate::lists::{Judged, Screen, Screened, Sifted, Why};
use crate::streams::{Cause, Source};

/// How long an answer of known length may take from where it first stalls: it can be waited for, but not for ever.
const STALLED: Duration = Duration::from_secs(600);

/// How an answer is written down that never came.
const NO_ANSWER: (Ending, Option<&str>) = (Ending::Cut, Some("upstream_cut"));

/// How an answer is written down of which nothing goes on.
const fn refused(why: Why) -> (Ending, Option<&'static str>) {
    let reason = match why {
        Why::Question => "question_refused",
        Why::Unreadable => "upstream_malformed",
    };
    (Ending::UpstreamFailed, Some(reason))
}

type Polled<T> = Poll<Option<Result<Frame<Bytes>, T>>>;

/// An answer on its way.
pub(crate) struct Guarded<B> {
    from: From<B>,
    /// Only for an answer that may take long.
    stream: Option<Stream>,
    /// Set once an answer without a stream's own end has to be waited for.
    stalled: Option<Pin<Box<Sleep>>>,
    /// How many bytes are to come, if that is known.
    left: Option<u64>,
    /// How the call is written down when the answer comes through.
    whole: (Ending, Option<&'static str>),
    /// What looks for lists and questions in a JSON text.
    screen: Option<Screen>,
    /// Nothing went out yet.
    is_empty: bool,
}

/// What is read from, and where the call is written down. Gone as soon as the answer is over, so that the MCP server's
/// connection is free or closed.
struct Passing<B> {
    inner: B,
    entry: Entry,
}

/// Where the passing is: here alone, or where it can be taken away from outside.
#[expect(
    clippy::large_enum_variant,
    reason = "one for each answer; a box would cost every call an allocation"
)]
enum From<B> {
    Own(Option<Passing<B>>),
    Shared(Arc<Slot<B>>),
}

struct Slot<B>(Mutex<Option<Passing<B>>>);

impl<B> Slot<B> {
    fn lock(&self) -> MutexGuard<'_, Option<Passing<B>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> fmt::Debug for Slot<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.lock().is_some()).finish()
    }
}

impl<B: Send> Source for Slot<B> {
    fn end(&self, cause: Cause) {
        let taken = self.lock().take();
        if let Some(Passing { inner, mut entry }) = taken {
            drop(inner);
            let (ending, reason) = cause.ending();
            entry.finish(ending, Some(reason));
        }
    }
}

impl<B> From<B> {
    fn with<T>(&mut self, look: impl FnOnce(&mut Passing<B>) -> T) -> Option<T> {
        match self {
            Self::Own(passing) => passing.as_mut().map(look),
            Self::Shared(slot) => slot.lock().as_mut().map(look),
        }
    }

    fn finish(&mut self, ending: Ending, reason: Option<&'static str>) {
        let taken = match self {
            Self::Own(passing) => passing.take(),
            Self::Shared(slot) => slot.lock().take(),
        };
        if let Some(Passing { inner, mut entry }) = taken {
            drop(inner);
            entry.finish(ending, reason);
        }
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Guarded<B> {
    /// `whole` says how the call is written down when the answer comes through.
    pub(crate) fn new(
        inner: B,
        entry: Entry,
        stream: Option<Stream>,
        whole: (Ending, Option<&'static str>),
    ) -> Self {
        let left = if inner.is_end_stream() { Some(0) } else { inner.size_hint().exact() };
        let mut passing = Passing { inner, entry };
        passing.entry.waits(stream.as_ref().is_some_and(Stream::waits));
        let from = match &stream {
            None => From::Own(Some(passing)),
            Some(stream) => {
                let slot = Arc::new(Slot(Mutex::new(Some(passing))));
                stream.end().attach(Arc::clone(&slot) as _);
                From::Shared(slot)
            }
        };
        Self { from, stream, stalled: None, left, whole, screen: None, is_empty: true }
    }

    /// The same, with its lists and questions judged.
    pub(crate) fn screened(mut self, screen: Screen) -> Self {
        self.screen = Some(screen);
        self
    }

    fn finish_whole(&mut self) {
        let (ending, reason) = self.whole;
        self.finish(ending, reason);
    }

    /// What of this piece goes out; `None` if nothing does yet.
    fn pass(&mut self, data: Bytes) -> Option<Polled<BodyError>> {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
        }
        let is_end =
            self.left == Some(0) || self.from.with(|passing| passing.inner.is_end_stream()) == Some(true);
        let data = match self.screen(data, is_end) {
            Ok(data) => data,
            Err(done) => return done,
        };
        let (data, sifted) = match self.stream.as_mut().and_then(|stream| stream.sift(&data)) {
            None => {
                self.count(&data);
                (data, false)
            }
            Some(Sifted { bytes, dropped, endless }) => {
                self.filtered(dropped);
                if endless {
                    self.count(&bytes);
                    self.finish(Ending::UpstreamFailed, Some("filter_dropped"));
                    let last = Some(bytes).filter(|bytes| !bytes.is_empty());
                    return Some(Poll::Ready(last.map(|bytes| Ok(Frame::data(bytes)))));
                }
                if !is_end {
                    self.count(&bytes);
                }
                (if is_end { self.with_end(bytes) } else { bytes }, true)
            }
        };
        let data = if is_end { self.with_last_words(data) } else { data };
        // Whoever sends this on may see as well that it is the end, and not ask again.
        if is_end {
            self.finish_whole();
        }
        if sifted && data.is_empty() {
            return is_end.then_some(Poll::Ready(None));
        }
        Some(Poll::Ready(Some(Ok(Frame::data(data)))))
    }

    /// What of a piece of JSON goes out; otherwise what is to be done instead.
    fn screen(&mut self, data: Bytes, is_end: bool) -> Result<Bytes, Option<Polled<BodyError>>> {
        let Some(screen) = &mut self.screen else { return Ok(data) };
        match screen.push(data, is_end) {
            Screened::Pass(data) => Ok(data),
            Screened::Hold => Err(None),
            Screened::Judge(text) => {
                let Some(mut sight) = self.from.with(|passing| screen.sight(passing.entry.who())) else {
                    return Err(None);
                };
                let Judged { bytes, dropped, refused: why } = screen.judge(text, &mut sight);
                self.filtered(dropped);
                self.whole = why.map_or(self.whole, refused);
                Ok(bytes)
            }
            Screened::Cut => {
                self.filtered(1);
                self.finish(Ending::UpstreamFailed, Some("filter_dropped"));
                Err(Some(Poll::Ready(Some(Err(BodyError::Cut)))))
            }
        }
    }

    /// The MCP server has said everything.
    fn end(&mut self) -> Polled<BodyError> {
        let rest = match self.screen(Bytes::new(), true) {
            Ok(rest) => self.with_end(rest),
            Err(done) => return done.unwrap_or(Poll::Ready(None)),
        };
        let rest = self.with_last_words(rest);
        self.finish_whole();
        Poll::Ready(Some(rest).filter(|rest| !rest.is_empty()).map(|rest| Ok(Frame::data(rest))))
    }

    /// These bytes and what is to follow the last ones.
    fn with_end(&mut self, bytes: Bytes) -> Bytes {
        self.count(&bytes);
        let rest = self.stream.as_mut().map(Stream::sift_end).unwrap_or_default();
        self.filtered(rest.dropped);
        self.count(&rest.bytes);
        match (bytes.is_empty(), rest.bytes.is_empty()) {
            (_, true) => bytes,
            (true, false) => rest.bytes,
            (false, false) => [bytes, rest.bytes].concat().into(),
        }
    }

    /// The last bytes, and an answer in our words if nothing that went out was one (attacks F-16).
    fn with_last_words(&mut self, bytes: Bytes) -> Bytes {
        let words = if self.stream.as_ref().is_some_and(Stream::ends_inside_an_answer) {
            Bytes::from_static(b"\n\n")
        } else if let Some(words) = self.stream.as_mut().and_then(Stream::last_words_at_end) {
            self.whole = NO_ANSWER;
            words
        } else if let Some(words) = self.in_place_of_nothing(&bytes) {
            self.whole = refused(Why::Unreadable);
            words
        } else {
            return bytes;
        };
        self.count(&words);
        if bytes.is_empty() { words } else { [bytes, words].concat().into() }
    }

    /// The answer to a request that was answered by a JSON text of no length.
    fn in_place_of_nothing(&self, bytes: &Bytes) -> Option<Bytes> {
        let is_nothing = bytes.is_empty() && self.is_empty && self.left.is_none();
        self.screen.as_ref().filter(|_| is_nothing).and_then(Screen::in_place_of_nothing)
    }

    fn filtered(&mut self, dropped: u32) {
        self.from.with(|passing| passing.entry.filtered(dropped));
    }

    fn count(&mut self, data: &Bytes) {
        self.is_empty &= data.is_empty();
        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let waits = self.stream.as_mut().is_some_and(|stream| {
            stream.saw(data);
            stream.waits()
        });
        self.from.with(|passing| {
            passing.entry.passed(bytes);
            passing.entry.waits(waits);
        });
    }

    /// Nothing there yet.
    fn wait(&mut self, cx: &mut Context<'_>) -> Polled<BodyError> {
        if self.stream.is_some() {
            return Poll::Pending;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALLED)));
        ready!(stalled.as_mut().poll(cx));
        self.finish(Ending::Cut, Some("upstream_stalled"));
        Poll::Ready(Some(Err(BodyError::Cut)))
    }

    /// The MCP server broke off.
    fn cut(&mut self) -> Polled<BodyError> {
        let last_words = self.stream.as_mut().and_then(Stream::last_words);
        self.finish(Ending::Cut, Some("upstream_cut"));
        Poll::Ready(Some(last_words.map(Frame::data).ok_or(BodyError::Cut)))
    }

    /// `None` if there is nothing to read from any more.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Option<Polled<B::Error>> {
        self.from.with(|passing| Pin::new(&mut passing.inner).poll_frame(cx))
    }
}

impl<B> Guarded<B> {
    fn finish(&mut self, ending: Ending, reason: Option<&'static str>) {
        self.from.finish(ending, reason);
        self.stream = None;
    }

    /// Ready when the stream is to end, from outside or in time.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Polled<BodyError> {
        let Some(stream) = &mut self.stream else { return Poll::Pending };
        let (ending, reason) = ready!(stream.poll_end(cx));
        // A stream of events may end anywhere; half a JSON text must not look like a whole one.
        let clean = stream.is_events();
        self.finish(ending, Some(reason));
        Poll::Ready(if clean { None } else { Some(Err(BodyError::Ended)) })
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Body for Guarded<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled<BodyError> {
        let this = self.get_mut();
        loop {
            if let Poll::Ready(end) = this.poll_end(cx) {
                return Poll::Ready(end);
            }
            let next = match this.poll_inner(cx) {
                Some(Poll::Ready(next)) => next,
                Some(Poll::Pending) => return this.wait(cx),
                None if this.stream.is_none() => return Poll::Ready(None),
                // Taken away at this very moment: the reason is there to be seen.
                None => continue,
            };
            match next {
                Some(Ok(frame)) => {
                    // Trailers are headers that nobody has on a list.
                    if let Ok(data) = frame.into_data()
                        && let Some(passed) = this.pass(data)
                    {
                        return passed;
                    }
                }
                Some(Err(_)) => return this.cut(),
                None => return this.end(),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.from {
            From::Own(passing) => passing.as_ref().is_none_or(|passing| passing.inner.is_end_stream()),
            // What was taken away is not at its end before that was said.
            From::Shared(slot) => match &*slot.lock() {
                // After the last event something of ours may come.
                Some(passing) => {
                    let is_events = self.stream.as_ref().is_some_and(Stream::is_events);
                    !is_events && passing.inner.is_end_stream()
                }
                None => self.stream.is_none(),
            },
        }
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.left.filter(|_| self.stream.as_ref().is_none_or(Stream::is_untouched));
        let held = self.screen.as_ref().map_or(0, Screen::held);
        let left = left.map(|left| left.saturating_add(u64::try_from(held).unwrap_or(u64::MAX)));
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl<B> Drop for Guarded<B> {
    fn drop(&mut self) {
        // Empty from the start: nobody asks for a frame then. Otherwise the client is gone.
        let (ending, reason) =
            if self.left == Some(0) { self.whole } else { (Ending::ClientGone, Some("client_gone")) };
        self.finish(ending, reason);
    }
}

impl<B> fmt::Debug for Guarded<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("left", &self.left).finish_non_exhaustive()
    }
}
