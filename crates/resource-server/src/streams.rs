//! The streams that are open: each can be ended from outside, at once, when the access behind it is withdrawn
//! (product.md, P-2 and P-16).
//!
//! A stream enters the registry first and asks the revocations second, so that one withdrawn in between is seen by
//! either. Must never hold anything of what flows through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::audit::Who;
use crate::verdicts::Access;

/// Why a stream is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nobody knows any more whether its access was withdrawn.
    Stale,
    /// The process is about to stop.
    Stopping,
    /// Its access was withdrawn.
    Withdrawn,
}

/// All open streams.
#[derive(Debug)]
pub(crate) struct Streams {
    most: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_number: HashMap<u64, Stream>,
}

#[derive(Debug)]
struct Stream {
    who: Who,
    end: End,
    /// It brings the answer to one call, after which it is over by itself.
    is_answer: bool,
}

/// Set once, from outside.
#[derive(Debug, Clone, Default)]
pub(crate) struct End {
    token: CancellationToken,
    cause: Arc<OnceLock<Cause>>,
}

impl End {
    fn set(&self, cause: Cause) {
        self.cause.get_or_init(|| cause);
        self.token.cancel();
    }

    /// Cancelled when the stream is to end.
    pub(crate) const fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Why, once it is.
    pub(crate) fn cause(&self) -> Cause {
        self.cause.get().copied().unwrap_or(Cause::Withdrawn)
    }
}

impl Streams {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, open: Mutex::new(Open::default()) }
    }

    /// Takes a place for a stream; `None` if there is none. `is_answer` if it brings the answer to one call and is not
    /// a subscription.
    pub(crate) fn enter(self: &Arc<Self>, who: Who, is_answer: bool) -> Option<Lease> {
        let mut open = self.lock();
        if open.by_number.len() >= self.most {
            return None;
        }
        let number = open.next;
        open.next = number.wrapping_add(1);
        let end = End::default();
        open.by_number.insert(number, Stream { who, end: end.clone(), is_answer });
        Some(Lease { streams: Arc::clone(self), number, end })
    }

    /// Ends every stream of an access that is dead.
    pub(crate) fn end_where(&self, is_dead: impl Fn(&Access) -> bool) {
        self.end(Cause::Withdrawn, |stream| is_dead(&stream.who.verdict.access));
    }

    /// Ends the streams of all MCP servers but the low-risk ones: nobody knows whether they may still be open.
    pub(crate) fn end_unless_low_risk(&self) {
        self.end(Cause::Stale, |stream| !stream.who.server.is_low_risk());
    }

    /// Ends those that would never end by themselves. An answer may finish, for a client cannot know whether what it
    /// asked for was done.
    pub(crate) fn end_subscriptions(&self) {
        self.end(Cause::Stopping, |stream| !stream.is_answer);
    }

    fn end(&self, cause: Cause, which: impl Fn(&Stream) -> bool) {
        for stream in self.lock().by_number.values().filter(|stream| which(stream)) {
            stream.end.set(cause);
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.lock().by_number.len()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nothing that runs under the lock can leave the map half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one stream; given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    streams: Arc<Streams>,
    number: u64,
    end: End,
}

impl Lease {
    /// Set when the stream is to end.
    pub(crate) const fn end(&self) -> &End {
        &self.end
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.streams.lock().by_number.remove(&self.number);
    }
}
