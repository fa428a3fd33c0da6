//! Revocations: what every node must hear of within T (product.md, P-2). An access token is dead when it was
//! issued at or before `not_before` of an entry that names its grant, user, client, resource or issuer.

use std::sync::Arc;

use protocol::id::Grant;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, params};
use crate::statements::statement_list;
use crate::{Answer, AuditEvent, StoreError, stop};

/// What a revocation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RevocationKind {
    /// Everything of one client.
    Client,
    /// One grant.
    Grant,
    /// Everything.
    Issuer,
    /// Everything at one resource.
    Resource,
    /// Everything of one person.
    User,
}

impl RevocationKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Client, Self::Grant, Self::Issuer, Self::Resource, Self::User];

    /// As it is written down.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Grant => "grant",
            Self::Issuer => "issuer",
            Self::Resource => "resource",
            Self::User => "user",
        }
    }
}

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Revocation {
    /// What `id` names.
    pub kind: RevocationKind,
    /// The id in its text form, exact to the byte.
    pub id: String,
    /// Tokens issued at or before this are dead.
    pub not_before: Timestamp,
    /// When the last token that it could kill has expired anyway.
    pub expires_at: Timestamp,
}

/// How much a stop ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StopCounts {
    /// Browser sessions.
    pub browser_sessions: u64,
    /// Codes that were not redeemed yet.
    pub codes: u64,
    /// Grants that were alive.
    pub grants: u64,
}

/// Called with each revocation that this process commits, and with those of other nodes that it hears of.
pub type RevocationListener = Arc<dyn Fn(&Revocation) + Send + Sync>;

/// The revocations in the record.
pub trait Revocations: Send + Sync {
    /// All revocations written at or after `since`, oldest first.
    ///
    /// Nodes' clocks differ and a write takes time to commit: ask with a generous overlap, and take an entry
    /// twice as once.
    fn list_revocations(&self, since: Timestamp) -> Answer<'_, Vec<Revocation>>;

    /// The grants that a stop written at or after `since` ended, each as a revocation of its own, as far as they were
    /// used lately. The entry of a stop goes by the clocks of whoever issued and whoever stopped; these do not: no token
    /// of an ended grant is ever good again.
    fn list_stopped_grants(&self, since: Timestamp) -> Answer<'_, Vec<Revocation>>;

    /// Ends everything of what the revocation names: its live grants, its codes that are not redeemed, for a
    /// person also the browser sessions; with the entry and the event in one write. Returns what was ended.
    /// `audit.at` is the time of it; `audit.server`, of a stop of a resource, is our name of the MCP server, whose grants
    /// under another resource identifier end too.
    fn stop(&self, revocation: Revocation, audit: AuditEvent) -> Answer<'_, StopCounts>;

    /// Has every revocation that this process commits announced, after its commit and before its write is
    /// answered; and those of other nodes, as far as they are heard of at once: look all the same. The listener must be quick and must not call the record.
    fn on_revocation(&self, listener: RevocationListener);
}

statement_list! {
    // Written again only when it reaches further; then it is new to those who poll.
    PUT = "INSERT INTO revocations (kind, id, not_before, expires_at, created_at) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (kind, id) DO UPDATE SET not_before = excluded.not_before, \
        expires_at = CASE WHEN revocations.expires_at > excluded.expires_at THEN revocations.expires_at \
        ELSE excluded.expires_at END, created_at = excluded.created_at \
        WHERE revocations.not_before < excluded.not_before";
    // What was stopped within a quarter of an hour before counts too: a stop that is repeated moves its entry forward,
    // and what the first one ended must still be named. A token that the entry misses is of a grant used as lately; or
    // somebody else's that stands on it, which no entry for its person's client names.
    STOPPED_GRANTS = "SELECT g.id, r.expires_at FROM revocations r JOIN grants g \
        ON g.revoked_at > r.created_at - 900000000 AND g.revoked_at <= r.created_at \
        AND (g.last_used_at > r.created_at - 900000000 OR g.lent_until > r.created_at) \
        WHERE r.created_at >= $1 AND r.kind <> 'grant' AND g.revoked_at IS NOT NULL";
    LIST = "SELECT kind, id, not_before, expires_at FROM revocations WHERE created_at >= $1 \
        ORDER BY created_at";
}

impl Revocations for Engine {
    fn list_revocations(&self, since: Timestamp) -> Answer<'_, Vec<Revocation>> {
        Box::pin(async move { self.many(LIST, params![since]).await?.into_iter().map(decode).collect() })
    }

    fn list_stopped_grants(&self, since: Timestamp) -> Answer<'_, Vec<Revocation>> {
        Box::pin(async move {
            self.many(STOPPED_GRANTS, params![since]).await?.into_iter().map(decode_stopped).collect()
        })
    }

    fn stop(&self, revocation: Revocation, audit: AuditEvent) -> Answer<'_, StopCounts> {
        Box::pin(stop::stop(self, Vec::new(), revocation, audit))
    }

    fn on_revocation(&self, listener: RevocationListener) {
        self.listen(listener);
    }
}

/// The step by which the other nodes hear of it.
pub(crate) fn entry(revocation: &Revocation, created_at: Timestamp) -> Step {
    let row = params![
        revocation.kind.as_str(),
        revocation.id.as_str(),
        revocation.not_before,
        revocation.expires_at,
        created_at,
    ];
    Step::at_most_one(PUT, row)
}

fn decode_stopped(row: Row) -> Result<Revocation, StoreError> {
    let mut row = Decoder::new("grants", row);
    let (id, expires_at) = (row.id::<Grant>("id")?, row.time("expires_at")?);
    Ok(Revocation { kind: RevocationKind::Grant, id: id.to_string(), not_before: expires_at, expires_at })
}

fn decode(row: Row) -> Result<Revocation, StoreError> {
    let mut row = Decoder::new("revocations", row);
    Ok(Revocation {
        kind: row.one_of("kind", &RevocationKind::ALL, RevocationKind::as_str)?,
        id: row.text("id")?,
        not_before: row.time("not_before")?,
        expires_at: row.time("expires_at")?,
    })
}
