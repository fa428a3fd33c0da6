//! The streams that are open: each can be ended from outside, at once, when the access behind it is withdrawn
//! (product.md, P-2 and P-16), or the connection by whose credential it was opened (P-15).
//!
//! A stream enters the registry first and asks the revocations second, so that one withdrawn in between is seen by
//! either. Ending one takes what it reads from out of its hands, so that it ends although its client reads nothing.
//! Must never hold anything of what flows through.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use protocol::id::{Connection, Id};

use crate::audit::Who;
use crate::counts::Ending;
use crate::presence::Held;
use crate::reason::CallReason;
use crate::verdicts::Access;

/// Why a stream is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The account by which it was opened is connected no more.
    Disconnected,
    /// Nobody knows any more whether its access was withdrawn.
    Stale,
    /// The process is about to stop.
    Stopping,
    /// Its access was withdrawn.
    Withdrawn,
}

impl Cause {
    /// How the call is written down.
    pub(crate) const fn ending(self) -> (Ending, &'static str) {
        match self {
            Self::Disconnected => (Ending::Revoked, "connection_ended"),
            Self::Stale => (Ending::Unavailable, "revocations_stale"),
            Self::Stopping => (Ending::Unavailable, "stopping"),
            Self::Withdrawn => (Ending::Revoked, "access_withdrawn"),
        }
    }
}

/// What a stream reads from, as far as it can be taken from it.
pub(crate) trait Source: Debug + Send + Sync {
    /// Lets go of the MCP server, and writes the call down.
    fn end(&self, cause: Cause);
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
    end: Arc<End>,
    /// It brings the answer to one call, after which it is over by itself.
    is_answer: bool,
    /// By the credential of which the MCP server was asked.
    connection: Option<Id<Connection>>,
}

/// Set once, from outside.
#[derive(Debug, Default)]
pub(crate) struct End {
    cause: OnceLock<Cause>,
    source: OnceLock<Arc<dyn Source>>,
    reader: AtomicWaker,
}

impl End {
    fn set(&self, cause: Cause) {
        if self.cause.set(cause).is_ok() {
            self.take_source();
            self.reader.wake();
        }
    }

    /// From here on what is read from is ended with the stream, even if that has happened already.
    pub(crate) fn attach(&self, source: Arc<dyn Source>) {
        // One stream reads from one source; a second one is not let in.
        if self.source.set(source).is_ok() {
            self.take_source();
        }
    }

    /// Whoever comes second, source or cause, sees the other.
    fn take_source(&self) {
        if let (Some(cause), Some(source)) = (self.cause.get(), self.source.get()) {
            source.end(*cause);
        }
    }

    /// Why, once it is to end.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Cause> {
        if let Some(cause) = self.cause.get() {
            return Poll::Ready(*cause);
        }
        self.reader.register(cx.waker());
        self.cause.get().copied().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Streams {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, open: Mutex::new(Open::default()) }
    }

    /// Takes a place for a stream. `is_answer` if it brings the answer to one call and is not a subscription: of these
    /// a person may have as many as calls; of those that stand by themselves only so many.
    pub(crate) fn enter(self: &Arc<Self>, who: Who, is_answer: bool) -> Result<Lease, CallReason> {
        let held = match is_answer {
            true => None,
            false => Some(who.person.presence.stream().ok_or(CallReason::PersonStreamsExhausted)?),
        };
        let mut open = self.lock();
        if open.by_number.len() >= self.most {
            return Err(CallReason::StreamsExhausted);
        }
        let number = open.next;
        open.next = number.wrapping_add(1);
        let end = Arc::new(End::default());
        open.by_number.insert(number, Stream { who, end: Arc::clone(&end), is_answer, connection: None });
        Ok(Lease { streams: Arc::clone(self), number, end, _held: held })
    }

    /// Ends every stream of an access that is dead.
    pub(crate) fn end_where(&self, is_dead: impl Fn(&Access) -> bool) {
        self.end(Cause::Withdrawn, |stream| is_dead(&stream.who.verdict.access));
    }

    /// Ends the streams of all MCP servers but the low-risk ones: nobody knows whether they may still be open.
    pub(crate) fn end_unless_low_risk(&self) {
        self.end(Cause::Stale, |stream| !stream.who.server.is_low_risk());
    }

    /// Ends those of people and MCP servers that are not to stay.
    pub(crate) fn end_unless(&self, may_stay: impl Fn(&Who, bool) -> bool) {
        self.end(Cause::Withdrawn, |stream| !may_stay(&stream.who, stream.is_answer));
    }

    /// Ends those that would never end by themselves. An answer may finish, for a client cannot know whether what it
    /// asked for was done.
    pub(crate) fn end_subscriptions(&self) {
        self.end(Cause::Stopping, |stream| !stream.is_answer);
    }

    fn end(&self, cause: Cause, which: impl Fn(&Stream) -> bool) {
        // Gathered first: ending one drops connections, and nobody should wait for a place meanwhile.
        let ends: Vec<Arc<End>> = self
            .lock()
            .by_number
            .values()
            .filter(|stream| which(stream))
            .map(|stream| Arc::clone(&stream.end))
            .collect();
        for end in ends {
            end.set(cause);
        }
    }

    /// The connections by whose credentials streams are open.
    pub(crate) fn connections(&self) -> Vec<Id<Connection>> {
        let mut all: Vec<_> = self.lock().by_number.values().filter_map(|stream| stream.connection).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Ends those whose connection is over.
    pub(crate) fn end_disconnected(&self, is_over: impl Fn(Id<Connection>) -> bool) {
        self.end(Cause::Disconnected, |stream| stream.connection.is_some_and(&is_over));
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
    end: Arc<End>,
    _held: Option<Held>,
}

impl Lease {
    /// By the credential of which connection the MCP server was asked.
    pub(crate) fn carried_by(&self, connection: Id<Connection>) {
        if let Some(stream) = self.streams.lock().by_number.get_mut(&self.number) {
            stream.connection = Some(connection);
        }
    }

    /// Set when the stream is to end.
    pub(crate) fn end(&self) -> &End {
        &self.end
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.streams.lock().by_number.remove(&self.number);
    }
}
