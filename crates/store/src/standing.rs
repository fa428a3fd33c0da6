//! Standing grants: what a person may do through a client at a resource without a browser, by an assertion or as a service
//! account. However often a token is asked for on it, of each person, client and resource one is alive; what was ended is
//! never alive again, the next one is another grant.

use std::time::Duration;

use protocol::id::{Id, User};
use protocol::oauth::{ClientId, ResourceUri};
use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::engine::{Engine, Step, Value, Write, Written, params};
use crate::grants::{columns, decode, row};
use crate::statements::statement_list;
use crate::{Answer, AuditEvent, GrantRecord, ReplayKind, StoreError, audit_events, replays};

/// A token that is asked for on a standing grant.
#[derive(Debug)]
pub struct Stand {
    /// The grant as it is to be if there is none: its `authorization` is its own id, its `last_used_at` is now.
    pub grant: GrantRecord,
    /// What is used up by it, with it or not at all.
    pub once: Option<Once>,
    /// The event of it. Its `grant` is filled in here.
    pub audit: AuditEvent,
}

/// What may be used once ([`crate::Replays::use_once`]).
#[derive(Debug, Clone, Copy)]
pub struct Once {
    /// What it is.
    pub kind: ReplayKind,
    /// All that makes it one of its kind.
    pub hash: Hash,
    /// When nobody takes it any more, tolerance included.
    pub expires_at: Timestamp,
}

/// Whether there is a token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StandOutcome {
    /// The person is disabled, or the client blocked. Nothing was written.
    Barred,
    /// This is the grant. Its `scope` is all that was asked for on it so far: the token says what is granted now.
    Standing(Box<GrantRecord>),
    /// What may be used once was used before, or is over. Nothing was written.
    Used,
}

/// The standing grants in the record.
pub trait StandingGrants: Send + Sync {
    /// Finds the living grant of this person, client and resource that no browser flow made, or makes it; and uses up what
    /// comes with it: all in one write.
    ///
    /// The caller says when it began (`last_used_at`) by a look at the clock *before* this: a token that is dated so dies by
    /// whatever ends the grant from then on.
    fn stand(&self, stand: Stand) -> Answer<'_, StandOutcome>;

    /// That grant, if it is alive.
    fn find_standing(
        &self,
        user: Id<User>,
        client_id: &ClientId,
        resource: &ResourceUri,
    ) -> Answer<'_, Option<GrantRecord>>;
}

/// A grant that was used as lately is not marked anew: tokens for a busy service account do not queue for its one row.
/// Far below the quarter of an hour within which a stop names the grants that it ended (`revocations.rs`).
const MARKED: Duration = Duration::from_secs(60);
/// A grant can be made or ended by others between the look and the write; not as often as this.
const TRIES: usize = 4;

statement_list! {
    FIND = concat!(
        "SELECT ", columns!(), " FROM grants \
         WHERE user_id = $1 AND client_id = $2 AND resource = $3 AND standing IS NOT NULL AND revoked_at IS NULL"
    );
    // Holds the person's row: whoever disables them waits, and then ends this grant too; or has done so.
    MAY_STAND = "UPDATE users SET last_sign_in_at = last_sign_in_at WHERE id = $1 AND disabled_at IS NULL";
    MAKE = concat!(
        "INSERT INTO grants (", columns!(), ", standing) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18 \
         WHERE NOT EXISTS (SELECT 1 FROM clients WHERE client_id = $3 AND blocked_at IS NOT NULL) \
         ON CONFLICT (user_id, client_id, resource) WHERE standing IS NOT NULL AND revoked_at IS NULL DO NOTHING"
    );
    MARK = "UPDATE grants SET last_used_at = $1, scope = $2, server = $3, idle_expires_at = $4, expires_at = $5 \
        WHERE id = $6 AND revoked_at IS NULL";
}

impl StandingGrants for Engine {
    fn stand(&self, stand: Stand) -> Answer<'_, StandOutcome> {
        Box::pin(async move {
            let now = stand.grant.last_used_at;
            if stand.once.is_some_and(|once| once.expires_at <= now) {
                return Ok(StandOutcome::Used);
            }
            for _ in 0..TRIES {
                if let Some(outcome) = attempt(self, &stand).await? {
                    return Ok(outcome);
                }
            }
            Err(StoreError::unavailable("a standing grant was made and ended again and again"))
        })
    }

    fn find_standing(
        &self,
        user: Id<User>,
        client_id: &ClientId,
        resource: &ResourceUri,
    ) -> Answer<'_, Option<GrantRecord>> {
        let whose = params![user, client_id.as_str(), resource.as_str()];
        Box::pin(async move { self.one(FIND, whose).await?.map(decode).transpose() })
    }
}

/// What a step of the write is about.
#[derive(Clone, Copy)]
enum About {
    Event,
    Grant,
    Once,
    Person,
}

/// One look and one write. `None`: the grant came or went in between.
async fn attempt(engine: &Engine, stand: &Stand) -> Result<Option<StandOutcome>, StoreError> {
    let asked = &stand.grant;
    let found = engine.find_standing(asked.user, &asked.client_id, &asked.resource).await?;
    let is_new = found.is_none();
    let (grant, is_marked) = match found {
        None => (asked.clone(), false),
        Some(found) => marked(found, asked),
    };
    let mut steps = Vec::new();
    let mut about = Vec::new();
    if is_new {
        steps.push(Step::one(MAY_STAND, params![grant.user]));
        about.push(About::Person);
    }
    if let Some(once) = stand.once {
        steps.push(replays::used(once.kind, once.hash, once.expires_at, asked.last_used_at));
        about.push(About::Once);
    }
    if is_new || !is_marked {
        steps.push(if is_new { made(&grant) } else { mark(&grant) });
        about.push(About::Grant);
    }
    let audit = AuditEvent { grant: Some(grant.id), ..stand.audit.clone() };
    audit_events::push(&mut steps, &audit)?;
    let missed = match engine.write(Write::new(steps)).await? {
        Written::Done(_) => return Ok(Some(StandOutcome::Standing(Box::new(grant)))),
        Written::Missed(step) => about.get(step).copied().unwrap_or(About::Event),
    };
    match missed {
        About::Event => Err(StoreError::unavailable("an event of a standing grant missed its key")),
        About::Grant if is_new => barred_or_raced(engine, asked).await,
        About::Grant => Ok(None),
        About::Once => Ok(Some(StandOutcome::Used)),
        About::Person => Ok(Some(StandOutcome::Barred)),
    }
}

/// Why a new grant was not made: another made it, or its client is blocked.
async fn barred_or_raced(engine: &Engine, asked: &GrantRecord) -> Result<Option<StandOutcome>, StoreError> {
    let client = crate::Clients::find_client(engine, &asked.client_id).await?;
    let is_blocked = client.is_some_and(|client| client.blocked_at.is_some());
    Ok(is_blocked.then_some(StandOutcome::Barred))
}

/// The found grant as it is when this was asked on it, and whether it says so already.
fn marked(found: GrantRecord, asked: &GrantRecord) -> (GrantRecord, bool) {
    let scope = found.scope.union(&asked.scope);
    let lately = asked.last_used_at < found.last_used_at.plus(MARKED);
    if lately && scope == found.scope && found.server == asked.server {
        return (found, true);
    }
    let grant = GrantRecord {
        last_used_at: found.last_used_at.max(asked.last_used_at),
        scope,
        server: asked.server.clone(),
        idle_expires_at: found.idle_expires_at.max(asked.idle_expires_at),
        expires_at: found.expires_at.max(asked.expires_at),
        ..found
    };
    (grant, false)
}

fn made(grant: &GrantRecord) -> Step {
    let mut row = row(grant);
    row.push(Value::from(1_u32));
    Step::one(MAKE, row)
}

fn mark(grant: &GrantRecord) -> Step {
    let to = params![
        grant.last_used_at,
        grant.scope.to_string(),
        grant.server.as_str(),
        grant.idle_expires_at,
        grant.expires_at,
        grant.id,
    ];
    Step::one(MARK, to)
}
