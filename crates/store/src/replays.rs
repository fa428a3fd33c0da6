//! Things that may be used once: the `jti` of an assertion or a proof (RFC 7519, section 4.1.7; RFC 7523, section 3). What is
//! here was used; what is not was not.
//!
//! A restore keeps the rows of the backup and knows nothing of what was used since. So whoever takes a thing refuses one that
//! was issued at or before [`last_restore`](crate::Maintenance::last_restore): it may be a repeat that nobody remembers.

use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::Answer;
use crate::engine::{Engine, Step, Write, Written, params};
use crate::statements::statement_list;

/// What is used once. The hash must cover all that makes the thing one of its kind: of a `jti` its issuer too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplayKind {
    /// An assertion as authorization grant, as ID-JAG is (RFC 7523, section 2.1).
    AuthorizationGrant,
    /// An assertion by which a client authenticates (RFC 7523, section 2.2).
    ClientAssertion,
    /// A proof of possession (RFC 9449, section 4.2).
    DpopProof,
    /// The `request_uri` of a pushed authorization request (RFC 9126, section 7.3).
    PushedRequest,
    /// What an identity provider says of somebody later, as a logout token is (RFC 8417).
    SecurityEvent,
}

impl ReplayKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::AuthorizationGrant,
        Self::ClientAssertion,
        Self::DpopProof,
        Self::PushedRequest,
        Self::SecurityEvent,
    ];

    /// As it is written down.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationGrant => "authorization_grant",
            Self::ClientAssertion => "client_assertion",
            Self::DpopProof => "dpop_proof",
            Self::PushedRequest => "pushed_request",
            Self::SecurityEvent => "security_event",
        }
    }
}

/// The record of what was used.
pub trait Replays: Send + Sync {
    /// Uses a thing up, on all nodes at most once. Whether this was the use of it: not if it was used before, and not if it
    /// is over. `expires_at` is when nobody takes it any more, tolerance included: until then it is remembered.
    fn use_once(
        &self,
        kind: ReplayKind,
        hash: Hash,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Answer<'_, bool>;
}

statement_list! {
    USE = "INSERT INTO replays (kind, hash, expires_at) VALUES ($1, $2, $3) \
        ON CONFLICT (kind, hash) DO UPDATE SET expires_at = excluded.expires_at WHERE replays.expires_at <= $4";
}

impl Replays for Engine {
    fn use_once(
        &self,
        kind: ReplayKind,
        hash: Hash,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Answer<'_, bool> {
        Box::pin(async move {
            if expires_at <= now {
                return Ok(false);
            }
            let used = vec![used(kind, hash, expires_at, now)];
            Ok(matches!(self.write(Write::new(used)).await?, Written::Done(_)))
        })
    }
}

/// The step that uses a thing up; it misses if it was used before. The caller has seen that it is not over.
pub(crate) fn used(kind: ReplayKind, hash: Hash, expires_at: Timestamp, now: Timestamp) -> Step {
    Step::one(USE, params![kind.as_str(), hash, expires_at, now])
}
