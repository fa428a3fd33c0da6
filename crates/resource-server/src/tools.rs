//! What the tools of one MCP server say of themselves: `readOnlyHint` (product.md, P-12).
//!
//! Only asked for a caller who may read and not write. A hint is good for a minute; after that, and for a tool that
//! is not known, the MCP server's list is read again in the name of the caller, once for all who wait. A tool that
//! stays unknown counts as one that writes. Must never take a hint from anything but the MCP server's own list.

mod listing;
mod sse;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use policy::ReadOnly;
use protocol::id::{Id, User};
use protocol::world::{Clock, Entropy};
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

use self::listing::Flaw;
use crate::call::Asked;
use crate::session::Session;

/// How long a hint is good.
const LIFE: Duration = Duration::from_secs(60);
/// How soon the list may be read again.
const PAUSE: Duration = Duration::from_secs(5);
/// How long reading the whole list may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// People in whose name reading was refused.
const REFUSED: usize = 1024;

/// The hints of one MCP server.
pub(crate) struct Catalogue {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    known: ArcSwap<Known>,
    /// Held while the list is read: the others wait for what it brings. In it, when the MCP server last did not
    /// answer at all: then nobody needs to try, one after the other.
    reading: Mutex<Option<Duration>>,
    /// When reading was refused in somebody's name: a broken session of one must not shut out the others.
    refused: Cache<Id<User>, Duration>,
}

#[derive(Debug, Default)]
struct Known {
    hints: HashMap<String, bool>,
    read_at: Option<Duration>,
}

impl Known {
    fn is_younger_than(&self, age: Duration, now: Duration) -> bool {
        self.read_at.is_some_and(|read_at| now.saturating_sub(read_at) < age)
    }

    fn hint(&self, tool: &str, now: Duration) -> Option<ReadOnly> {
        let hint = self.hints.get(tool).filter(|_| self.is_younger_than(LIFE, now))?;
        Some(if *hint { ReadOnly::Yes } else { ReadOnly::No })
    }
}

impl Catalogue {
    pub(crate) fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            clock,
            entropy,
            known: ArcSwap::default(),
            reading: Mutex::new(None),
            refused: Cache::new(REFUSED),
        }
    }

    /// What the tool says of itself, as far as we may believe it.
    pub(crate) async fn find(
        &self,
        tool: &str,
        asked: &Asked,
        session: &Session,
        assertion: &HeaderValue,
    ) -> ReadOnly {
        if let Some(hint) = self.known.load().hint(tool, self.clock.monotonic()) {
            return hint;
        }
        let mut unanswered = self.reading.lock().await;
        let now = self.clock.monotonic();
        let known = self.known.load();
        if let Some(hint) = known.hint(tool, now) {
            return hint;
        }
        let user = asked.who().person.user;
        let lately = |at: Duration| now.saturating_sub(at) < PAUSE;
        if unanswered.is_some_and(lately)
            || self.refused.get(&user).is_some_and(lately)
            || known.is_younger_than(PAUSE, now)
        {
            return ReadOnly::No;
        }
        let reading = listing::read(asked, session, assertion, &*self.entropy);
        match tokio::time::timeout(PATIENCE, reading).await.unwrap_or(Err(Flaw::Unanswered)) {
            Ok(hints) => {
                let fresh = Arc::new(Known { hints, read_at: Some(now) });
                self.known.store(Arc::clone(&fresh));
                fresh.hint(tool, now).unwrap_or(ReadOnly::No)
            }
            Err(flaw) => {
                tracing::warn!(server = asked.who().server.name(), %flaw, "the list of tools cannot be read");
                match flaw {
                    Flaw::Unanswered => *unanswered = Some(self.clock.monotonic()),
                    Flaw::Malformed | Flaw::Refused | Flaw::TooLong => self.refused.insert(user, now),
                }
                ReadOnly::No
            }
        }
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").field("tools", &self.known.load().hints.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
