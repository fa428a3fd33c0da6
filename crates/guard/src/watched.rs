//! An answer that is open, such as a stream of events: it ends when its token was withdrawn, is over for longer than
//! `stream_grace`, or nobody can know any more whether it was withdrawn (attacks SE-10; product.md, P-2).
//!
//! Looked at before anything of it goes out, and twice a second; what ends is dropped, so that the MCP server notices.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::time::{Interval, MissedTickBehavior};

use crate::guard::{Admitted, Guard};

/// Between two looks. By the next one it must still be known that nothing was withdrawn, so an answer ends within T.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The body of an answer of the guarded service. One whose length is known goes through as it is.
#[derive(Debug)]
pub struct Watched<B> {
    /// `None` once it was ended.
    body: Option<Pin<Box<B>>>,
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Watch {
    guard: Guard,
    admitted: Admitted,
    looks: Interval,
}

impl<B: Body> Watched<B> {
    pub(crate) fn new(body: B, guard: Guard, admitted: Admitted) -> Self {
        let watch = body.size_hint().exact().is_none().then(|| {
            // The first look is at once: the MCP server may have thought for long.
            let mut looks = tokio::time::interval(LOOK_EVERY);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Watch { guard, admitted, looks }
        });
        Self { body: Some(Box::pin(body)), watch }
    }
}

impl Watch {
    /// Whether a look was due, and it may not go on.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let mut looked = false;
        while self.looks.poll_tick(context).is_ready() {
            looked = true;
        }
        looked && !self.guard.inside.still_admits(&self.admitted, LOOK_EVERY)
    }
}

impl<B: Body> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        if this.watch.as_mut().is_some_and(|watch| watch.is_over(context)) {
            (this.body, this.watch) = (None, None);
        }
        match &mut this.body {
            Some(body) => body.as_mut().poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.body, &self.watch) {
            (None, _) => SizeHint::with_exact(0),
            // It may end before its time.
            (Some(_), Some(_)) => SizeHint::default(),
            (Some(body), None) => body.size_hint(),
        }
    }
}
