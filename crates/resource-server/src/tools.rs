//! What the tools of one MCP server say of themselves: `readOnlyHint` (product.md, P-12).
//!
//! Asked for a caller who may read and not write; and for one who may write and calls much, so that calls that only read
//! need not be written down before they are forwarded. A hint is good for a minute, and for the person in whose name the
//! list was read: an MCP server may have another list for everybody, and who can put a tool on their own must not decide
//! what others may call (attacks PX-25). After that, and for a tool that is not known, the list is read again, once for
//! all of this person's calls that wait. A tool that stays unknown counts as one that writes.
//! Must never take a hint from anything but the MCP server's own list.

mod listing;
pub(crate) mod sse;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use policy::ReadOnly;
use protocol::id::{Id, User};
use protocol::world::{Clock, Entropy};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use self::listing::Flaw;
use crate::call::Asked;
use crate::session::Session;
use crate::vault::credential::Credentials;

/// How long a hint is good.
const LIFE: Duration = Duration::from_secs(60);
/// How soon the list may be read again for the same person.
const PAUSE: Duration = Duration::from_secs(5);
/// How long reading the whole list may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// At every so many calls of somebody who may write, of tools that are not known, the list is asked for.
const MUCH: u64 = 16;
/// People whose last reading is remembered.
const PEOPLE: usize = 10_000;
/// Bytes of all names that are remembered: of a hundred tools for each of some thousands of people.
const NAMES: u64 = 16 * 1024 * 1024;

/// The hints of one MCP server, for each person.
pub(crate) struct Catalogue {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    known: Cache<Id<User>, Arc<Known>, Bytes>,
    /// When the list was last read for a person. Held while it is: their other calls wait for what it brings.
    reading: Cache<Id<User>, Arc<tokio::sync::Mutex<Option<Duration>>>>,
    /// Calls of those who may write, of tools of which nothing was known.
    unknown: Cache<Id<User>, Arc<AtomicU64>>,
    /// When the MCP server last did not answer at all: then nobody needs to try, one after the other.
    unanswered: Mutex<Option<Duration>>,
}

#[derive(Debug)]
struct Known {
    hints: HashMap<String, bool>,
    read_at: Duration,
}

impl Known {
    fn hint(&self, tool: &str, now: Duration) -> Option<ReadOnly> {
        let young = now.saturating_sub(self.read_at) < LIFE;
        let hint = self.hints.get(tool).filter(|_| young)?;
        Some(if *hint { ReadOnly::Yes } else { ReadOnly::No })
    }
}

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<Id<User>, Arc<Known>> for Bytes {
    fn weight(&self, _: &Id<User>, known: &Arc<Known>) -> u64 {
        /// What a name costs beside its letters.
        const PLACE: usize = 48;
        let names: usize = known.hints.keys().map(|name| name.len() + PLACE).sum();
        u64::try_from(names + PLACE).unwrap_or(u64::MAX)
    }
}

impl Catalogue {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            clock,
            entropy,
            known: Cache::with_weighter(PEOPLE, NAMES, Bytes),
            reading: Cache::new(PEOPLE),
            unknown: Cache::new(PEOPLE),
            unanswered: Mutex::new(None),
        }
    }

    /// What the tool says of itself to this caller, as far as we may believe it.
    pub(crate) async fn find(
        &self,
        tool: &str,
        asked: &Asked,
        session: &Session,
        credentials: &Credentials,
    ) -> ReadOnly {
        let user = asked.who().person.user;
        if let Some(hint) = self.known(user, tool) {
            return hint;
        }
        let Ok(reading) = self.reading.get_or_insert_with(&user, || Ok::<_, Flaw>(Arc::default())) else {
            return ReadOnly::No;
        };
        let mut tried_at = reading.lock().await;
        if let Some(hint) = self.known(user, tool) {
            return hint;
        }
        let now = self.clock.monotonic();
        let lately = |at: Duration| now.saturating_sub(at) < PAUSE;
        if tried_at.is_some_and(lately) || self.unanswered().is_some_and(lately) {
            return ReadOnly::No;
        }
        *tried_at = Some(now);
        let reading = listing::read(asked, session, credentials, &*self.entropy);
        match tokio::time::timeout(PATIENCE, reading).await.unwrap_or(Err(Flaw::Unanswered)) {
            Ok(hints) => {
                let fresh = Arc::new(Known { hints, read_at: now });
                self.known.insert(user, Arc::clone(&fresh));
                fresh.hint(tool, now).unwrap_or(ReadOnly::No)
            }
            Err(flaw) => {
                tracing::warn!(server = asked.who().server.name(), %flaw, "the list of tools cannot be read");
                match flaw {
                    Flaw::Unanswered => *self.unanswered() = Some(self.clock.monotonic()),
                    Flaw::Malformed | Flaw::Refused | Flaw::TooLong => {}
                }
                ReadOnly::No
            }
        }
    }

    /// What the tool said of itself to this person within the last minute; nobody is asked.
    pub(crate) fn recall(&self, user: Id<User>, tool: &str) -> Option<ReadOnly> {
        self.known(user, tool)
    }

    /// Whether to ask on behalf of somebody who may call the tool either way: at every so many calls of which nothing is
    /// known, so that who calls now and then causes no request, and who calls much is soon known.
    pub(crate) fn is_worth_asking(&self, user: Id<User>) -> bool {
        let counted = self.unknown.get_or_insert_with(&user, || Ok::<_, Flaw>(Arc::default()));
        counted.is_ok_and(|count| count.fetch_add(1, Ordering::Relaxed) % MUCH == MUCH - 1)
    }

    fn known(&self, user: Id<User>, tool: &str) -> Option<ReadOnly> {
        self.known.get(&user)?.hint(tool, self.clock.monotonic())
    }

    fn unanswered(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").field("people", &self.known.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
