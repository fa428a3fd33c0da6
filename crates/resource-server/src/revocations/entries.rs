//! The entries themselves: for each id the moment up to which tokens are dead. Pure.

use std::collections::HashMap;
use std::hash::Hash;

use protocol::id::{Grant, Id, User};
use protocol::world::Timestamp;
use store::{Revocation, RevocationKind};

use crate::verdicts::{Access, Actor};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    not_before: Timestamp,
    expires_at: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Entries {
    clients: HashMap<String, Entry>,
    grants: HashMap<Id<Grant>, Entry>,
    issuer: Option<Entry>,
    resources: HashMap<String, Entry>,
    users: HashMap<Id<User>, Entry>,
}

impl Entries {
    /// Adds an entry or moves one forward; `false` if nothing changed.
    pub(super) fn put(&mut self, revocation: &Revocation) -> bool {
        let entry = Entry { not_before: revocation.not_before, expires_at: revocation.expires_at };
        let id = revocation.id.as_str();
        match revocation.kind {
            RevocationKind::Client => put_in(&mut self.clients, id.to_owned(), entry),
            RevocationKind::Grant => id.parse().is_ok_and(|id| put_in(&mut self.grants, id, entry)),
            RevocationKind::Issuer => match &mut self.issuer {
                Some(known) => merge(known, entry),
                none @ None => {
                    *none = Some(entry);
                    true
                }
            },
            RevocationKind::Resource => put_in(&mut self.resources, id.to_owned(), entry),
            RevocationKind::User => id.parse().is_ok_and(|id| put_in(&mut self.users, id, entry)),
        }
    }

    /// `iat` has whole seconds: a token issued in the second of a revocation counts as issued before it.
    pub(super) fn kills(&self, access: &Access) -> bool {
        let killed = |entry: Option<&Entry>| entry.is_some_and(|entry| access.issued_at <= entry.not_before);
        // Whoever acts for the person has what they have, and loses it with them or with what is its own.
        let actor_is_dead = |actor: &Actor| {
            killed(self.grants.get(&actor.grant))
                || killed(self.users.get(&actor.user))
                || killed(self.clients.get(actor.client.as_str()))
        };
        killed(self.grants.get(&access.grant))
            || access.actors.iter().any(actor_is_dead)
            || killed(self.users.get(&access.user))
            || killed(self.clients.get(access.client.as_str()))
            || killed(self.resources.get(&access.resource))
            || killed(self.issuer.as_ref())
    }

    pub(super) fn forget(&mut self, before: Timestamp) {
        let lives = |entry: &Entry| entry.expires_at > before;
        self.clients.retain(|_, entry| lives(entry));
        self.grants.retain(|_, entry| lives(entry));
        self.resources.retain(|_, entry| lives(entry));
        self.users.retain(|_, entry| lives(entry));
        self.issuer = self.issuer.filter(lives);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty()
            && self.grants.is_empty()
            && self.issuer.is_none()
            && self.resources.is_empty()
            && self.users.is_empty()
    }
}

fn put_in<K: Eq + Hash>(map: &mut HashMap<K, Entry>, id: K, entry: Entry) -> bool {
    match map.entry(id) {
        std::collections::hash_map::Entry::Occupied(mut known) => merge(known.get_mut(), entry),
        std::collections::hash_map::Entry::Vacant(free) => {
            free.insert(entry);
            true
        }
    }
}

/// A later entry wins; an earlier one changes nothing.
fn merge(known: &mut Entry, new: Entry) -> bool {
    let merged = Entry {
        not_before: known.not_before.max(new.not_before),
        expires_at: known.expires_at.max(new.expires_at),
    };
    let changed = *known != merged;
    *known = merged;
    changed
}
