//! The people behind the tokens: groups, name, and whether they were stopped, at most 30 s old.
//!
//! Read from the record, one read per person and half a minute. A person who was stopped or is not known is dead
//! whatever the token says. Must never answer from memory beyond that age.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use protocol::id::{Id, User};
use protocol::world::Clock;
use quick_cache::sync::Cache;
use store::Store;

use crate::presence::{Bounds, Presence, Presences};
use crate::reason::CallReason;

const REMEMBERED: usize = 100_000;
const LIFE: Duration = Duration::from_secs(30);

/// What the record says of one person.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) user: Id<User>,
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) groups: Vec<String>,
    /// The name of the service account, if it is one and no person.
    pub(crate) service_account: Option<String>,
    /// What they hold at this moment.
    pub(crate) presence: Arc<Presence>,
    stopped: bool,
    read_at: Duration,
}

impl Person {
    #[cfg(test)]
    pub(crate) fn for_tests(user: Id<User>) -> Self {
        let (name, groups) = (Some("alice".to_owned()), vec!["staff".to_owned()]);
        let presence = Arc::new(Presence::new(Bounds { calls: 100, events: 1000, streams: 10 }));
        let service_account = None;
        Self {
            user,
            name,
            email: None,
            groups,
            service_account,
            presence,
            stopped: false,
            read_at: Duration::ZERO,
        }
    }

    /// As the policy is asked about them.
    pub(crate) fn asking(&self) -> policy::Person<'_> {
        let service_account = self.service_account.as_deref();
        policy::Person {
            user: self.user,
            email: self.email.as_deref(),
            groups: &self.groups,
            service_account,
        }
    }

    /// Whether an MCP server would be told the same of both.
    pub(crate) fn is_described_as(&self, other: &Self) -> bool {
        self.user == other.user
            && self.name == other.name
            && self.email == other.email
            && self.groups == other.groups
            && self.service_account == other.service_account
    }
}

/// The people seen last.
pub(crate) struct People {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    known: Cache<Id<User>, Arc<Person>>,
    presences: Presences,
}

impl People {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, bounds: Bounds) -> Self {
        Self { store, clock, known: Cache::new(REMEMBERED), presences: Presences::new(bounds) }
    }

    /// The person, if they may use anything at all.
    pub(crate) async fn find_live(&self, user: Id<User>) -> Result<Arc<Person>, CallReason> {
        let now = self.clock.monotonic();
        let person = match self.known.get(&user) {
            Some(person) if now.saturating_sub(person.read_at) < LIFE => person,
            Some(old) => {
                self.known.remove_if(&user, |known| Arc::ptr_eq(known, &old));
                Box::pin(self.read(user)).await?
            }
            None => Box::pin(self.read(user)).await?,
        };
        if person.stopped {
            return Err(CallReason::PersonStopped);
        }
        Ok(person)
    }

    /// One read, however many calls wait for it. That somebody is not known is not remembered.
    async fn read(&self, user: Id<User>) -> Result<Arc<Person>, CallReason> {
        self.known
            .get_or_insert_async(&user, async {
                let read_at = self.clock.monotonic();
                let record = self.store.find_user(user).await?.ok_or(CallReason::PersonUnknown)?;
                let service_account = record.service_account().map(str::to_owned);
                Ok(Arc::new(Person {
                    user,
                    service_account,
                    name: record.name,
                    email: record.email,
                    groups: record.groups,
                    presence: self.presences.of(user),
                    stopped: record.disabled_at.is_some(),
                    read_at,
                }))
            })
            .await
    }
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("People").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
