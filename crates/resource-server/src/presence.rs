//! What each person holds at this moment: calls in progress, streams, events that are not written yet. Bounded, so that
//! one person cannot take what is there for all (product.md, P-20).
//!
//! Counted in memory, per node. It must never decide who a person is or what they may do.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use protocol::id::{Id, User};

use crate::audit::PLACES_OF_A_PERSON;
use crate::settings::Settings;

/// How many dead entries may be kept before they are looked for.
const SLACK: usize = 1024;

/// What one person may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) calls: u32,
    pub(crate) events: u32,
    pub(crate) streams: u32,
}

impl Bounds {
    /// As the settings say.
    pub(crate) const fn of(settings: &Settings) -> Self {
        Self {
            calls: settings.calls_per_person,
            events: PLACES_OF_A_PERSON,
            streams: settings.streams_per_person,
        }
    }
}

/// What one person holds.
#[derive(Debug)]
pub(crate) struct Presence {
    bounds: Bounds,
    calls: Arc<AtomicU32>,
    events: Arc<AtomicU32>,
    streams: Arc<AtomicU32>,
}

/// One of what a person may hold; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held(Arc<AtomicU32>);

impl Held {
    pub(crate) fn take(count: &Arc<AtomicU32>, most: u32) -> Option<Self> {
        // Counted first and looked at second, so that two at once cannot both take the last.
        let held = Self(Arc::clone(count));
        (count.fetch_add(1, Ordering::Relaxed) < most).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Presence {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, calls: Arc::default(), events: Arc::default(), streams: Arc::default() }
    }

    /// A call in progress.
    pub(crate) fn call(&self) -> Option<Held> {
        Held::take(&self.calls, self.bounds.calls)
    }

    /// An event that is not written yet.
    pub(crate) fn event(&self) -> Option<Held> {
        Held::take(&self.events, self.bounds.events)
    }

    /// A stream that stands by itself.
    pub(crate) fn stream(&self) -> Option<Held> {
        Held::take(&self.streams, self.bounds.streams)
    }
}

/// Everybody who holds something, or has called lately.
#[derive(Debug)]
pub(crate) struct Presences {
    bounds: Bounds,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_user: HashMap<Id<User>, Weak<Presence>>,
    /// How many there were when the dead ones were last removed.
    alive: usize,
}

impl Presences {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, known: Mutex::default() }
    }

    /// The one presence of a person, for as long as anybody holds it.
    pub(crate) fn of(&self, user: Id<User>) -> Arc<Presence> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(presence) = known.by_user.get(&user).and_then(Weak::upgrade) {
            return presence;
        }
        if known.by_user.len() >= known.alive.saturating_mul(2).saturating_add(SLACK) {
            known.by_user.retain(|_, presence| presence.strong_count() > 0);
            known.alive = known.by_user.len();
        }
        let presence = Arc::new(Presence::new(self.bounds));
        known.by_user.insert(user, Arc::downgrade(&presence));
        presence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { calls: 2, events: 1, streams: 1 };

    #[test]
    fn what_is_held_is_given_back_and_no_more_is_taken() {
        let presence = Presence::new(BOUNDS);
        let (first, second) = (presence.call(), presence.call());
        assert!(first.is_some() && second.is_some() && presence.call().is_none());
        assert!(presence.stream().is_some(), "another kind");
        drop(first);
        assert!(presence.call().is_some());
    }

    /// The person is read anew every half minute; what they hold stays theirs.
    #[test]
    fn a_person_has_one_presence_while_it_is_held_and_none_is_kept_after() {
        let presences = Presences::new(BOUNDS);
        let user = |number: u16| {
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            Id::from_bytes(bytes)
        };
        let mine = presences.of(user(0));
        let held = mine.event();
        assert!(held.is_some() && presences.of(user(0)).event().is_none());
        assert!(presences.of(user(1)).event().is_some());
        for number in 0..5000 {
            presences.of(user(number));
        }
        assert!(presences.known.lock().unwrap().by_user.len() <= SLACK + 2);
        assert!(presences.of(user(0)).event().is_none(), "not forgotten meanwhile");
    }
}
