//! What the tools of one MCP server say of themselves: `readOnlyHint` (product.md, P-12).
//!
//! Asked for a caller who may read and not write; and for one who may write and calls much, so that calls that only read
//! need not be written down before they are forwarded. A hint is good for a minute, and for the person in whose name the
//! list was read: an MCP server may have another list for everybody, and who can put a tool on their own must not decide
//! what others may call (attacks PX-25). A list that the person's client was shown counts as one that was read for it, and from
//! then on. After that, and for a tool that is not known, the list is read again, once for
//! all of this person's calls that wait. A tool that stays unknown counts as one that writes. If the MCP server turns the
//! person's own credential away, that is said, and not taken for a tool that writes.
//! Must never take a hint from anything but the MCP server's own list.

mod listing;
pub(crate) mod sse;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::id::{Id, User};
use protocol::world::{Clock, Entropy};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use self::listing::Flaw;
pub(crate) use self::listing::Said;
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
    /// Held by whoever changes what is known.
    turn: Mutex<()>,
    /// When the list was last read for a person. Held while it is: their other calls wait for what it brings.
    reading: Cache<Id<User>, Arc<tokio::sync::Mutex<Option<Tried>>>>,
    /// Calls of those who may write, of tools of which nothing was known.
    unknown: Cache<Id<User>, Arc<AtomicU64>>,
    /// When the MCP server last did not answer at all: then nobody needs to try, one after the other.
    unanswered: Mutex<Option<Duration>>,
}

/// The MCP server lets the person in no more with the credential that it was shown, which is their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// 403: it is good, and not for this.
    Forbidden,
    /// 401: it is good no more.
    Unauthorized,
}

/// The last reading for a person.
#[derive(Debug, Clone, Copy)]
struct Tried {
    at: Duration,
    forbidden: bool,
}

/// What each tool said, and when.
#[derive(Debug, Default)]
struct Known(HashMap<String, (Said, Duration)>);

impl Known {
    fn said(&self, tool: &str, now: Duration) -> Option<Said> {
        self.0.get(tool).filter(|(_, at)| is_young(*at, now)).map(|(said, _)| *said)
    }
}

fn is_young(at: Duration, now: Duration) -> bool {
    now.saturating_sub(at) < LIFE
}

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<Id<User>, Arc<Known>> for Bytes {
    fn weight(&self, _: &Id<User>, known: &Arc<Known>) -> u64 {
        /// What a name costs beside its letters.
        const PLACE: usize = 96;
        let names: usize = known.0.keys().map(|name| name.len() + PLACE).sum();
        u64::try_from(names + PLACE).unwrap_or(u64::MAX)
    }
}

impl Catalogue {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            clock,
            entropy,
            known: Cache::with_weighter(PEOPLE, NAMES, Bytes),
            turn: Mutex::default(),
            reading: Cache::new(PEOPLE),
            unknown: Cache::new(PEOPLE),
            unanswered: Mutex::new(None),
        }
    }

    /// What the tool says of itself to this caller, as far as we may believe it; none, if it is not known.
    pub(crate) async fn find(
        &self,
        tool: &str,
        asked: &Asked,
        session: &Session,
        credentials: &Credentials,
    ) -> Result<Option<Said>, TurnedAway> {
        let user = asked.who().person.user;
        if let Some(said) = self.recall(user, tool) {
            return Ok(Some(said));
        }
        let Ok(reading) = self.reading.get_or_insert_with(&user, || Ok::<_, Flaw>(Arc::default())) else {
            return Ok(None);
        };
        let mut tried = reading.lock().await;
        if let Some(said) = self.recall(user, tool) {
            return Ok(Some(said));
        }
        let now = self.clock.monotonic();
        let lately = |at: Duration| now.saturating_sub(at) < PAUSE;
        if let Some(last) = tried.filter(|last| lately(last.at)) {
            return if last.forbidden { Err(TurnedAway::Forbidden) } else { Ok(None) };
        }
        if self.unanswered().is_some_and(lately) {
            return Ok(None);
        }
        *tried = Some(Tried { at: now, forbidden: false });
        let reading = listing::read(asked, session, credentials, &*self.entropy);
        let flaw = match tokio::time::timeout(PATIENCE, reading).await.unwrap_or(Err(Flaw::Unanswered)) {
            Ok(said) => {
                return Ok(self.learn(user, said, now).said(tool, now));
            }
            Err(flaw) => flaw,
        };
        tracing::warn!(server = asked.who().server.name(), %flaw, "the list of tools cannot be read");
        // That of the house is no business of the person's.
        let is_their_own = credentials.behind.is_some();
        match flaw {
            Flaw::Forbidden if is_their_own => {
                *tried = Some(Tried { at: now, forbidden: true });
                Err(TurnedAway::Forbidden)
            }
            Flaw::Unauthorized if is_their_own => {
                // Whoever waits comes with another one, or hears that there is none.
                *tried = None;
                Err(TurnedAway::Unauthorized)
            }
            Flaw::Unanswered => {
                *self.unanswered() = Some(self.clock.monotonic());
                Ok(None)
            }
            Flaw::Forbidden | Flaw::Malformed | Flaw::Refused | Flaw::TooLong | Flaw::Unauthorized => {
                Ok(None)
            }
        }
    }

    /// What the tool said of itself to this person within the last minute; nobody is asked.
    pub(crate) fn recall(&self, user: Id<User>, tool: &str) -> Option<Said> {
        self.known.get(&user)?.said(tool, self.clock.monotonic())
    }

    /// The whole list said this when it was asked for. What the person was shown since then says it anew.
    fn learn(&self, user: Id<User>, said: HashMap<String, Said>, at: Duration) -> Arc<Known> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh: HashMap<_, _> = said.into_iter().map(|(tool, said)| (tool, (said, at))).collect();
        if let Some(known) = self.known.get(&user) {
            let since = known.0.iter().filter(|(_, (_, shown_at))| *shown_at > at);
            fresh.extend(since.map(|(tool, shown)| (tool.clone(), *shown)));
        }
        let fresh = Arc::new(Known(fresh));
        self.known.insert(user, Arc::clone(&fresh));
        fresh
    }

    /// A list, or a page of one, that this person is about to be shown: whether each tool on it only reads. Of what `begins`
    /// nothing that was said before counts any more; what goes on, or comes by another way, takes nothing back of that a tool
    /// writes.
    pub(crate) fn shown(&self, user: Id<User>, begins: bool, page: impl Iterator<Item = (String, bool)>) {
        let now = self.clock.monotonic();
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.known.get(&user).unwrap_or_default();
        let young = before.0.iter().filter(|(_, (_, at))| is_young(*at, now));
        let mut next: HashMap<_, _> = young.map(|(tool, said)| (tool.clone(), *said)).collect();
        for (tool, read_only) in page {
            // A word that is kept is not younger for it: it ends a minute after it was said.
            let writes = next.get(&tool).filter(|(said, _)| !begins && read_only && !said.read_only);
            let anew = (Said { read_only, fingerprint: None }, now);
            let said = writes.copied().unwrap_or(anew);
            next.insert(tool, said);
        }
        if listing::has_room(next.keys()) {
            self.known.insert(user, Arc::new(Known(next)));
        } else {
            self.known.remove(&user);
        }
    }

    /// Forgets what the list said to this person, who has just read it: it may say something else.
    pub(crate) fn forget(&self, user: Id<User>) {
        if self.known.remove(&user).is_some() {
            self.reading.remove(&user);
        }
    }

    /// Whether to ask on behalf of somebody who may call the tool either way: at every so many calls of which nothing is
    /// known, so that who calls now and then causes no request, and who calls much is soon known.
    pub(crate) fn is_worth_asking(&self, user: Id<User>) -> bool {
        let counted = self.unknown.get_or_insert_with(&user, || Ok::<_, Flaw>(Arc::default()));
        counted.is_ok_and(|count| count.fetch_add(1, Ordering::Relaxed) % MUCH == MUCH - 1)
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
