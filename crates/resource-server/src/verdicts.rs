//! What verified access tokens mean, remembered until they are over, so that a signature is checked once per token.
//!
//! The key is the SHA-256 of the whole token, signature included: who has the hash has nothing, and a changed
//! signature is another token. Bounded. A remembered verdict is never enough by itself: audience, expiry and
//! revocation are judged at every call (see `bearer.rs`).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use protocol::id::{Grant, Id, User};
use protocol::jose::claims::ActorClaims;
use protocol::jose::dpop::Thumbprint;
use protocol::keys::{KeyId, Keys};
use protocol::oauth::{ClientId, Scope};
use protocol::secret::Hash;
use protocol::world::Timestamp;
use quick_cache::sync::Cache;
use store::Timeline;

use crate::assertion::Assertion;
use crate::counts::Ending;

/// Tokens of 10 minutes, so this is some 150 new ones a second before the oldest are verified again.
const REMEMBERED: usize = 100_000;
/// So many more than twice those that were alive are kept before the ones that are over are looked for.
pub(crate) const SLACK: usize = 256;

/// So many refused calls of a token are told, until one goes through.
const FIRST_CALLS: u8 = 4;

/// How a call ended, for the timeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) at: Timestamp,
    pub(crate) address: IpAddr,
    pub(crate) ending: Ending,
    pub(crate) reason: Option<&'static str>,
    pub(crate) status: u16,
}

/// What a verified access token means (house.md, 1.4).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// The person.
    pub(crate) user: Id<User>,
    /// Who acts for the person, the one who does it now first.
    pub(crate) actors: Vec<Actor>,
    /// The client it was issued to.
    pub(crate) client: ClientId,
    /// The grant it stands on.
    pub(crate) grant: Id<Grant>,
    /// Which of our names issued it.
    pub(crate) issuer: String,
    /// The one audience.
    pub(crate) resource: String,
    /// What was granted.
    pub(crate) scope: Scope,
    /// The key that signed it.
    pub(crate) key: KeyId,
    /// The key that whoever presents it must hold (RFC 9449, section 6).
    pub(crate) bound_to: Option<Thumbprint>,
    /// `iat`.
    pub(crate) issued_at: Timestamp,
    /// `exp`.
    pub(crate) expires_at: Timestamp,
}

/// Somebody who acts for the person of a token (RFC 8693, section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor {
    /// The service account.
    pub(crate) user: Id<User>,
    /// The client by which it acts.
    pub(crate) client: ClientId,
    /// Its own grant.
    pub(crate) grant: Id<Grant>,
    /// The same as it was said.
    pub(crate) claims: ActorClaims,
}

/// One verified access token.
pub(crate) struct Verdict {
    pub(crate) access: Access,
    /// The end of the token by the clock that is never set back (attacks I-13).
    ends: Duration,
    /// The set of keys that it was verified with. With another set it is verified again, so that a key that was
    /// withdrawn is worth nothing from that moment.
    keys: Arc<Keys>,
    /// The identity assertion made last.
    pub(crate) assertion: ArcSwapOption<Assertion>,
    watch: Option<Watch>,
}

/// Tells the timeline how the first calls of a young grant ended (product.md, P-19). All other calls look at one number.
#[derive(Debug)]
struct Watch {
    timeline: Arc<Timeline>,
    left: AtomicU8,
}

impl Verdict {
    /// `now` and `monotonic` are of the same moment.
    pub(crate) fn new(access: Access, keys: Arc<Keys>, now: Timestamp, monotonic: Duration) -> Self {
        let ends = monotonic.saturating_add(access.expires_at.since(now));
        Self { access, ends, keys, assertion: ArcSwapOption::empty(), watch: None }
    }

    /// The timeline hears of its first calls, if its grant is young.
    pub(crate) fn watched(mut self, timeline: Option<&Arc<Timeline>>, now: Timestamp) -> Self {
        let left = if Timeline::is_young(self.access.grant, now) { FIRST_CALLS } else { 0 };
        let watch = |timeline| Watch { timeline: Arc::clone(timeline), left: AtomicU8::new(left) };
        self.watch = timeline.map(watch);
        self
    }

    /// A call with the token has ended: with this status, or refused for this reason.
    pub(crate) fn tell(&self, ended: &Ended) {
        let Some(watch) = &self.watch else { return };
        let grant = self.access.grant;
        if ended.reason == Some("scope_insufficient") {
            watch.timeline.needs_more(grant, ended.at);
            return;
        }
        let left = watch.left.load(Ordering::Relaxed);
        if left == 0 {
            return;
        }
        match (ended.ending, ended.reason) {
            (Ending::Answered, _) if ended.status < 400 => {
                watch.left.store(0, Ordering::Relaxed);
                watch.timeline.called(ended.address, grant, ended.at, None);
            }
            (Ending::Refused | Ending::Unavailable | Ending::UpstreamFailed, Some(reason)) => {
                watch.left.store(left - 1, Ordering::Relaxed);
                watch.timeline.called(ended.address, grant, ended.at, Some(reason));
            }
            (
                Ending::Answered
                | Ending::ClientGone
                | Ending::Cut
                | Ending::Outlived
                | Ending::Refused
                | Ending::Revoked
                | Ending::Unauthenticated
                | Ending::Unavailable
                | Ending::UpstreamFailed,
                _,
            ) => {}
        }
    }

    pub(crate) fn is_by(&self, keys: &Arc<Keys>) -> bool {
        Arc::ptr_eq(&self.keys, keys)
    }

    /// Over by either clock: setting the time of day back does not wake a token up.
    pub(crate) fn is_over(&self, now: Timestamp, monotonic: Duration) -> bool {
        now >= self.access.expires_at || monotonic >= self.ends
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verdict").field("access", &self.access).finish_non_exhaustive()
    }
}

/// The verdicts of the tokens seen last.
pub(crate) struct Verdicts {
    known: Cache<Hash, Arc<Verdict>>,
    /// How many there were when those that are over were last forgotten.
    alive: AtomicUsize,
}

impl Verdicts {
    pub(crate) fn new() -> Self {
        Self { known: Cache::new(REMEMBERED), alive: AtomicUsize::new(0) }
    }

    pub(crate) fn find(&self, token: &Hash) -> Option<Arc<Verdict>> {
        self.known.get(token)
    }

    /// `now` and `monotonic` are of the same moment.
    pub(crate) fn put(
        &self,
        token: Hash,
        verdict: Verdict,
        (now, monotonic): (Timestamp, Duration),
    ) -> Arc<Verdict> {
        // Now and then, so that it costs each new token the same: a verdict with its assertion takes 2 KiB.
        let alive = self.alive.load(Ordering::Relaxed);
        if self.known.len() >= alive.saturating_mul(2).saturating_add(SLACK) {
            self.known.retain(|_, verdict| !verdict.is_over(now, monotonic));
            self.alive.store(self.known.len(), Ordering::Relaxed);
        }
        let verdict = Arc::new(verdict);
        self.known.insert(token, Arc::clone(&verdict));
        verdict
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

impl fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verdicts").field("len", &self.known.len()).finish_non_exhaustive()
    }
}
