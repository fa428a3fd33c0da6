//! Consents that outlive the page on which they were given (product.md, P-9): remembered ones, and those that were given
//! in advance for another MCP server on the same page.
//!
//! Using one is a step of the write that answers the authorization, with its condition inside, and it locks the row: a
//! stop that comes at the same instant either finds the code that came of it, or leaves no consent to use. Whether one
//! may be used at all is decided elsewhere; here is no rule.

use protocol::id::{Authorization, Id, User};
use protocol::oauth::{ClientId, ResourceUri, Scope};
use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, params};
use crate::statements::statement_list;
use crate::{Answer, StoreError};

/// For whom and how often a consent is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsentKind {
    /// Once, in the browser session in which it was given: in advance, for another MCP server of the same page.
    Ahead,
    /// In the browser in which it was given.
    Browser,
    /// Wherever the person is signed in.
    Person,
}

impl ConsentKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ahead, Self::Browser, Self::Person];

    /// As it is written down.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ahead => "ahead",
            Self::Browser => "browser",
            Self::Person => "person",
        }
    }
}

/// One consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRecord {
    /// Whose.
    pub user: Id<User>,
    /// For which client.
    pub client_id: ClientId,
    /// At which resource.
    pub resource: ResourceUri,
    /// For whom and how often it is good.
    pub kind: ConsentKind,
    /// Hash of the cookie that must be there; of one that is good anywhere, [`ConsentRecord::NOBODY`].
    pub holder: Hash,
    /// Our name of the MCP server behind the resource.
    pub server: String,
    /// To do what.
    pub scope: Scope,
    /// Hash of all that must still be so for it to count.
    pub facts: Hash,
    /// Hash of the page on which it was given.
    pub shown: Hash,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When a grant that comes of it ends at the latest.
    pub grant_expires_at: Timestamp,
}

impl ConsentRecord {
    /// The holder of a consent that is good anywhere.
    pub const NOBODY: Hash = Hash::from_bytes([0; 32]);
}

/// The consents in the record.
pub trait Consents: Send + Sync {
    /// What this person allowed this client at this resource and has not ended.
    fn list_consents<'a>(
        &'a self,
        user: Id<User>,
        client_id: &'a ClientId,
        resource: &'a ResourceUri,
        now: Timestamp,
    ) -> Answer<'a, Vec<ConsentRecord>>;
}

macro_rules! columns {
    () => {
        "user_id, client_id, resource, kind, holder, server, scope, facts, shown, created_at, last_used_at, \
         expires_at, grant_expires_at"
    };
}

statement_list! {
    LIST = concat!(
        "SELECT ", columns!(), " FROM consents \
         WHERE user_id = $1 AND client_id = $2 AND resource = $3 AND expires_at > $4 ORDER BY kind, holder"
    );
    // The last word counts.
    PUT = concat!(
        "INSERT INTO consents (", columns!(), ") \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (user_id, client_id, resource, kind, holder) DO UPDATE SET server = excluded.server, \
         scope = excluded.scope, facts = excluded.facts, shown = excluded.shown, \
         created_at = excluded.created_at, last_used_at = excluded.last_used_at, \
         expires_at = excluded.expires_at, grant_expires_at = excluded.grant_expires_at"
    );
    USE = "UPDATE consents SET last_used_at = $1 WHERE user_id = $2 AND client_id = $3 AND resource = $4 \
        AND kind = $5 AND holder = $6 AND facts = $7 AND expires_at > $1";
    USE_UP = "DELETE FROM consents WHERE user_id = $1 AND client_id = $2 AND resource = $3 \
        AND kind = $4 AND holder = $5 AND facts = $6 AND expires_at > $7";
    FORGET_ASKED = "DELETE FROM consents WHERE user_id = $1 AND (client_id, resource) IN \
        (SELECT client_id, resource FROM authorizations WHERE id = $2)";
    // What a person, or whoever saw a theft, ends is not to come back by itself.
    FORGET_OF_GRANT = "DELETE FROM consents WHERE (user_id, client_id, resource) IN \
        (SELECT user_id, client_id, resource FROM grants WHERE id = $1 AND revoked_at IS NULL)";
}

impl Consents for Engine {
    fn list_consents<'a>(
        &'a self,
        user: Id<User>,
        client_id: &'a ClientId,
        resource: &'a ResourceUri,
        now: Timestamp,
    ) -> Answer<'a, Vec<ConsentRecord>> {
        Box::pin(async move {
            let of = params![user, client_id.as_str(), resource.as_str(), now];
            self.few(LIST, of).await?.into_iter().map(decode).collect()
        })
    }
}

/// The step that keeps a consent, in place of the one before it.
pub(crate) fn put(consent: &ConsentRecord) -> Step {
    let row = params![
        consent.user,
        consent.client_id.as_str(),
        consent.resource.as_str(),
        consent.kind.as_str(),
        consent.holder,
        consent.server.as_str(),
        consent.scope.to_string(),
        consent.facts,
        consent.shown,
        consent.created_at,
        consent.last_used_at,
        consent.expires_at,
        consent.grant_expires_at,
    ];
    Step::one(PUT, row)
}

/// The step that uses a consent; it misses if that is gone, over, or of other facts.
pub(crate) fn used(consent: &ConsentRecord, now: Timestamp) -> Step {
    let (client_id, resource) = (consent.client_id.as_str(), consent.resource.as_str());
    let (kind, holder, facts) = (consent.kind.as_str(), consent.holder, consent.facts);
    match consent.kind {
        ConsentKind::Ahead => {
            Step::one(USE_UP, params![consent.user, client_id, resource, kind, holder, facts, now])
        }
        ConsentKind::Browser | ConsentKind::Person => {
            Step::one(USE, params![now, consent.user, client_id, resource, kind, holder, facts])
        }
    }
}

/// The step that forgets what this person allowed the client of a request at its resource.
pub(crate) fn forgotten(user: Id<User>, asked: Id<Authorization>) -> Step {
    Step::any(FORGET_ASKED, params![user, asked])
}

fn decode(row: Row) -> Result<ConsentRecord, StoreError> {
    let mut row = Decoder::new("consents", row);
    Ok(ConsentRecord {
        user: row.id("user_id")?,
        client_id: row.parsed("client_id", ClientId::parse)?,
        resource: row.parsed("resource", ResourceUri::parse)?,
        kind: row.one_of("kind", &ConsentKind::ALL, ConsentKind::as_str)?,
        holder: row.hash("holder")?,
        server: row.text("server")?,
        scope: row.parsed("scope", Scope::parse)?,
        facts: row.hash("facts")?,
        shown: row.hash("shown")?,
        created_at: row.time("created_at")?,
        last_used_at: row.time("last_used_at")?,
        expires_at: row.time("expires_at")?,
        grant_expires_at: row.time("grant_expires_at")?,
    })
}
