//! What goes on in one connection: whether anything was asked, whether an answer is on its way, and whether its peer
//! has stopped taking what it asked for.
//!
//! Costs two counters for each piece of an answer; no timer, lock or allocation for each request.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use http::{Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use pin_project_lite::pin_project;

/// Pieces are counted by the round in which they were handed over: this one, the one before, and the one before that.
const ROUNDS: usize = 3;

/// What goes on.
#[derive(Debug, Default)]
pub(super) struct Activity {
    asked: AtomicUsize,
    asked_before: AtomicUsize,
    open: AtomicUsize,
    http2: AtomicBool,
    round: AtomicUsize,
    /// Answers whose last piece was handed over in that round, and that were not asked for another yet.
    untaken: [AtomicUsize; ROUNDS],
}

/// How a connection looks from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Something was asked lately, or an answer is on its way.
    Busy,
    /// Nothing was asked since the last look, and nothing is on its way.
    Idle,
    /// Nothing was ever asked.
    Silent,
    /// A piece of an answer has lain here for a whole round.
    Stuck,
}

impl Activity {
    /// Looks, and begins the next round.
    pub(super) fn look(&self) -> Look {
        let round = self.round.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let asked = self.asked.load(Ordering::Relaxed);
        let asked_before = self.asked_before.swap(asked, Ordering::Relaxed);
        if asked == 0 {
            Look::Silent
        } else if self.untaken_in(round.wrapping_add(1)).load(Ordering::Relaxed) > 0 {
            Look::Stuck
        } else if self.open.load(Ordering::Relaxed) == 0 && asked == asked_before {
            Look::Idle
        } else {
            Look::Busy
        }
    }

    /// Whether it speaks HTTP/2, where many answers share it.
    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    fn untaken_in(&self, round: usize) -> &AtomicUsize {
        let [first, second, third] = &self.untaken;
        match round % ROUNDS {
            0 => first,
            1 => second,
            _ => third,
        }
    }
}

/// One request, from its arrival to the last byte of its answer.
#[derive(Debug)]
struct Exchange {
    activity: Arc<Activity>,
    handed_over: Option<usize>,
}

impl Exchange {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Ordering::Relaxed);
        activity.asked.fetch_add(1, Ordering::Relaxed);
        Self { activity: Arc::clone(activity), handed_over: None }
    }

    fn handed_over(&mut self) {
        let round = self.activity.round.load(Ordering::Relaxed);
        self.activity.untaken_in(round).fetch_add(1, Ordering::Relaxed);
        self.handed_over = Some(round);
    }

    fn taken(&mut self) {
        if let Some(round) = self.handed_over.take() {
            self.activity.untaken_in(round).fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.taken();
        self.activity.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A service whose requests are noticed.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) inner: S,
    pub(super) activity: Arc<Activity>,
}

impl<S, B> Service<Request<Incoming>> for Watched<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
{
    type Response = Response<Answer<B>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.version() == Version::HTTP_2 {
            self.activity.http2.store(true, Ordering::Relaxed);
        }
        let exchange = Some(Exchange::begin(&self.activity));
        Answering { inner: self.inner.call(request), exchange }
    }
}

pin_project! {
    /// An answer that is being made.
    pub(super) struct Answering<F> {
        #[pin]
        inner: F,
        exchange: Option<Exchange>,
    }
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<Answer<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.inner.poll(cx));
        let exchange = this.exchange.take();
        Poll::Ready(Ok(response.map(|inner| Answer { inner, exchange })))
    }
}

pin_project! {
    /// The body of an answer on its way.
    pub(super) struct Answer<B> {
        #[pin]
        inner: B,
        exchange: Option<Exchange>,
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        if let Some(exchange) = this.exchange {
            exchange.taken();
        }
        let frame = ready!(this.inner.poll_frame(cx));
        if let (Some(Ok(_)), Some(exchange)) = (&frame, this.exchange) {
            exchange.handed_over();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_silent_then_busy_then_idle() {
        let activity = Arc::new(Activity::default());
        assert_eq!(activity.look(), Look::Silent);
        let exchange = Exchange::begin(&activity);
        assert_eq!(
            [activity.look(), activity.look(), activity.look()],
            [Look::Busy; 3],
            "a stream may wait for ever"
        );
        drop(exchange);
        let ended = Exchange::begin(&activity);
        drop(ended);
        assert_eq!([activity.look(), activity.look()], [Look::Busy, Look::Idle]);
    }

    #[test]
    fn a_piece_that_is_not_taken_for_a_whole_round_is_noticed_among_others_that_are() {
        let activity = Arc::new(Activity::default());
        for _ in 0..4 {
            activity.look();
        }
        let (mut stuck, mut lively) = (Exchange::begin(&activity), Exchange::begin(&activity));
        stuck.handed_over();
        for look in [Look::Busy, Look::Stuck] {
            lively.taken();
            lively.handed_over();
            assert_eq!(activity.look(), look);
        }
        stuck.taken();
        stuck.handed_over();
        lively.taken();
        assert_eq!(activity.look(), Look::Busy, "taken in time after all");
    }
}
