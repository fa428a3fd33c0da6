//! Grants: the standing permission of a person for a client at one resource, and the generation of its refresh
//! token (product.md, P-3). No token is kept: only the seed by which one is recognised.

use protocol::id::{Authorization, Grant, Id, User};
use protocol::jose::dpop::Thumbprint;
use protocol::oauth::{ClientId, ResourceUri, Scope};
use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Value, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, AuditEvent, Revocation, StoreError, audit_events, consents, revocations};

/// A grant.
#[derive(Clone, PartialEq, Eq)]
pub struct GrantRecord {
    /// Its id: `grant_id` of our tokens.
    pub id: Id<Grant>,
    /// Whose permission.
    pub user: Id<User>,
    /// For which client.
    pub client_id: ClientId,
    /// At which resource.
    pub resource: ResourceUri,
    /// Our name of the MCP server behind that resource.
    pub server: String,
    /// To do what.
    pub scope: Scope,
    /// The authorization that gave it; it gives one only.
    pub authorization: Id<Authorization>,
    /// What the MAC of its refresh tokens is made over. Useless without the key.
    pub seed: [u8; 16],
    /// The generation of the refresh token that is good.
    pub generation: u32,
    /// When that generation was made.
    pub rotated_at: Timestamp,
    /// When the grant was made.
    pub created_at: Timestamp,
    /// When a token of it was last asked for.
    pub last_used_at: Timestamp,
    /// When it ends unless it is used.
    pub idle_expires_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Hash of what was shown to the person who consented.
    pub shown: Hash,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// The key to which its refresh tokens are bound (RFC 9449, section 5), if they are.
    pub dpop_key: Option<Thumbprint>,
}

impl std::fmt::Debug for GrantRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The seed is left out: it is half of what a refresh token is made of.
        f.debug_struct("GrantRecord")
            .field("id", &self.id)
            .field("user", &self.user)
            .field("server", &self.server)
            .field("generation", &self.generation)
            .field("revoked_at", &self.revoked_at)
            .finish_non_exhaustive()
    }
}

/// One rotation of a refresh token.
#[derive(Debug)]
pub struct Rotate {
    /// The grant.
    pub grant: Id<Grant>,
    /// The generation that was presented.
    pub from_generation: u32,
    /// Now.
    pub now: Timestamp,
    /// When the grant ends from now on unless it is used.
    pub idle_expires_at: Timestamp,
    /// The event of it.
    pub audit: AuditEvent,
}

/// Whether a refresh token was rotated by this caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotateOutcome {
    /// The generation had moved on, or the grant had ended. Nothing was written.
    Lost,
    /// It was: the next generation is the good one.
    Rotated,
}

/// The end of one grant.
#[derive(Debug)]
pub struct EndGrant {
    /// The grant.
    pub grant: Id<Grant>,
    /// What the nodes must hear.
    pub revocation: Revocation,
    /// The event of it, with its reason.
    pub audit: AuditEvent,
}

/// The grants in the record.
pub trait Grants: Send + Sync {
    /// The grant with this id, ended or not; the caller judges.
    fn find_grant(&self, id: Id<Grant>) -> Answer<'_, Option<GrantRecord>>;

    /// Moves a live grant from one generation to the next, at most once (OAuth 2.1, section 4.3.1).
    fn rotate(&self, rotate: Rotate) -> Answer<'_, RotateOutcome>;

    /// Says that a token of somebody else stands on a living grant until then (RFC 8693). Whether it was alive: from then on
    /// whatever ends it names it to every node by itself.
    fn lend_grant(&self, id: Id<Grant>, until: Timestamp, now: Timestamp) -> Answer<'_, bool>;

    /// Ends a grant with all its tokens: the mark, the revocation and the event in one write. Whether it was
    /// there to be ended; if not, nothing is written, so that ending twice is ending once.
    fn end_grant(&self, end: EndGrant, now: Timestamp) -> Answer<'_, bool>;
}

/// All columns of a grant that its record shows.
macro_rules! columns {
    () => {
        "id, user_id, client_id, resource, server, scope, authorization_id, seed, generation, rotated_at, \
         created_at, last_used_at, idle_expires_at, expires_at, shown, revoked_at, dpop_key"
    };
}

pub(crate) use columns;

statement_list! {
    FIND = concat!("SELECT ", columns!(), " FROM grants WHERE id = $1");
    MAKE = concat!(
        "INSERT INTO grants (", columns!(), ") \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
    );
    ROTATE = "UPDATE grants SET generation = generation + 1, rotated_at = $1, last_used_at = $1, \
        idle_expires_at = $2 WHERE id = $3 AND generation = $4 AND revoked_at IS NULL \
        AND expires_at > $1 AND idle_expires_at > $1";
    LEND = "UPDATE grants SET lent_until = CASE WHEN lent_until > $1 THEN lent_until ELSE $1 END \
        WHERE id = $2 AND revoked_at IS NULL AND expires_at > $3";
    END = "UPDATE grants SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL";
}

impl Grants for Engine {
    fn find_grant(&self, id: Id<Grant>) -> Answer<'_, Option<GrantRecord>> {
        Box::pin(async move { self.one(FIND, params![id]).await?.map(decode).transpose() })
    }

    fn rotate(&self, rotate: Rotate) -> Answer<'_, RotateOutcome> {
        Box::pin(async move {
            let next = params![rotate.now, rotate.idle_expires_at, rotate.grant, rotate.from_generation];
            let mut steps = vec![Step::one(ROTATE, next)];
            audit_events::push(&mut steps, &rotate.audit)?;
            Ok(match self.write(Write::new(steps)).await? {
                Written::Done(_) => RotateOutcome::Rotated,
                Written::Missed(_) => RotateOutcome::Lost,
            })
        })
    }

    fn lend_grant(&self, id: Id<Grant>, until: Timestamp, now: Timestamp) -> Answer<'_, bool> {
        Box::pin(async move {
            let lent = vec![Step::one(LEND, params![until, id, now])];
            Ok(matches!(self.write(Write::new(lent)).await?, Written::Done(_)))
        })
    }

    fn end_grant(&self, end: EndGrant, now: Timestamp) -> Answer<'_, bool> {
        Box::pin(async move {
            let forget = Step::any(consents::FORGET_OF_GRANT, params![end.grant]);
            let mut steps = vec![forget, Step::one(END, params![now, end.grant])];
            steps.push(revocations::entry(&end.revocation, now));
            audit_events::push(&mut steps, &end.audit)?;
            let write = Write::new(steps).announcing(end.revocation);
            Ok(matches!(self.write(write).await?, Written::Done(_)))
        })
    }
}

#[cfg(feature = "seeding")]
impl Engine {
    /// Writes grants as they are, all in one write: what a record holds after years of use. For the bench.
    ///
    /// # Errors
    /// [`StoreError`], also when one of them is there already.
    pub async fn seed_grants(&self, grants: &[GrantRecord]) -> Result<(), StoreError> {
        let steps = grants.iter().map(made).collect();
        match self.write(Write::new(steps).long()).await? {
            Written::Done(_) => Ok(()),
            Written::Missed(_) => Err(StoreError::unavailable("a grant to be seeded is there already")),
        }
    }
}

/// The step that makes a grant; it misses if the authorization gave one before.
pub(crate) fn made(grant: &GrantRecord) -> Step {
    Step::one(MAKE, row(grant))
}

/// Its columns, in the order of their names above.
pub(crate) fn row(grant: &GrantRecord) -> Vec<Value> {
    params![
        grant.id,
        grant.user,
        grant.client_id.as_str(),
        grant.resource.as_str(),
        grant.server.as_str(),
        grant.scope.to_string(),
        grant.authorization,
        grant.seed,
        grant.generation,
        grant.rotated_at,
        grant.created_at,
        grant.last_used_at,
        grant.idle_expires_at,
        grant.expires_at,
        grant.shown,
        grant.revoked_at,
        grant.dpop_key.map(|key| Hash::from_bytes(*key.as_bytes())),
    ]
}

pub(crate) fn decode(row: Row) -> Result<GrantRecord, StoreError> {
    let mut row = Decoder::new("grants", row);
    Ok(GrantRecord {
        id: row.id("id")?,
        user: row.id("user_id")?,
        client_id: row.parsed("client_id", ClientId::parse)?,
        resource: row.parsed("resource", ResourceUri::parse)?,
        server: row.text("server")?,
        scope: row.parsed("scope", Scope::parse)?,
        authorization: row.id("authorization_id")?,
        seed: row.array("seed")?,
        generation: row.count("generation")?,
        rotated_at: row.time("rotated_at")?,
        created_at: row.time("created_at")?,
        last_used_at: row.time("last_used_at")?,
        idle_expires_at: row.time("idle_expires_at")?,
        expires_at: row.time("expires_at")?,
        shown: row.hash("shown")?,
        revoked_at: row.opt_time("revoked_at")?,
        dpop_key: row.opt_hash("dpop_key")?.map(|hash| Thumbprint::from_bytes(*hash.as_bytes())),
    })
}
