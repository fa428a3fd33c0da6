//! Connections: what a provider gave for a person's account there, by which an MCP server is asked in their name
//! (product.md, P-14 and P-15).
//!
//! One lives for each person and MCP server. One asks the provider at a time, over all nodes: whoever claims it holds a
//! lease, and no lock while the provider thinks. What the provider gives in exchange is written by the holder of the claim
//! in one statement, before anybody uses it. A connection that ended stays, useless to everybody, until the provider has
//! been told; whoever was refreshing it at that moment leaves there what is to be revoked.

mod place;

use std::time::Duration;

use protocol::id::{Connecting, Connection, Id, User};
use protocol::secret::{Hash, Sealed};
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Value, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, AuditEvent, StoreError, audit_events};

pub use place::TokensPlace;

/// One that holds for longer was claimed by a clock that was wrong; a claim is a minute.
const NO_CLAIM_IS_LONGER: Duration = Duration::from_secs(15 * 60);
/// The same of one that ended: a provider that is away is left alone for six hours at most.
const NO_PAUSE_IS_LONGER: Duration = Duration::from_secs(12 * 60 * 60);

/// What a provider gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenTokens {
    /// The access token.
    pub access_token: Sealed,
    /// The refresh token; none, or the same as before, if it gave no other.
    pub refresh_token: Option<Sealed>,
    /// When the access token ends, if the provider says so.
    pub expires_at: Option<Timestamp>,
    /// What it may do there, as far as the provider says so.
    pub scope: Option<String>,
}

/// A connection that begins.
#[derive(Debug)]
pub struct NewConnection {
    /// Its id; the tokens are sealed for the row with it, and for whose it is.
    pub id: Id<Connection>,
    /// The attempt that it comes of.
    pub attempt: Id<Connecting>,
    /// Whose.
    pub user: Id<User>,
    /// For which MCP server, by our name.
    pub server: String,
    /// To whom it was given, by whom and for where: that stays as it is.
    pub binding: String,
    /// What of what was asked for was not granted.
    pub missing: String,
    /// Who the person is there, in the provider's words.
    pub account: Option<String>,
    /// What was given.
    pub tokens: GivenTokens,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// Its id.
    pub id: Id<Connection>,
    /// Whose.
    pub user: Id<User>,
    /// For which MCP server.
    pub server: String,
    /// To whom it was given, by whom and for where.
    pub binding: String,
    /// What was asked for, or needed since, and was not granted.
    pub missing: String,
    /// Who the person is there.
    pub account: Option<String>,
    /// What was given.
    pub tokens: GivenTokens,
    /// How often something else was given in exchange.
    pub generation: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the access token was given.
    pub refreshed_at: Timestamp,
    /// When the refresh token was given.
    pub rotated_at: Timestamp,
    /// Why the provider takes it no more, if it does not: the person has to connect again.
    pub needs_sign_in: Option<String>,
    /// Until when nobody else asks the provider.
    pub claimed_until: Option<Timestamp>,
    /// Whether somebody asks it now. Otherwise it is left alone until then.
    pub is_claimed: bool,
    /// When it ended, if it did.
    pub ended_at: Option<Timestamp>,
    /// How often the provider could not be told of the end.
    pub tries: u32,
}

/// How a connection was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectOutcome {
    /// It lives, and the one before it ended.
    Connected,
    /// The attempt was ended meanwhile, or the person is shut out: nothing was written.
    Gone,
}

/// What the provider said to the holder of a claim.
#[derive(Debug)]
pub enum Renewed {
    /// It gave others.
    Given(GivenTokens),
    /// The same to somebody whose claim was taken over meanwhile: they count if the tokens are still those of this
    /// generation, for then nobody has newer ones.
    Late(GivenTokens, u32),
    /// It takes these no more, for this reason; with the event that says so.
    Refused(&'static str, Box<AuditEvent>),
    /// It did not answer: nobody asks again before that time.
    Silent(Timestamp),
}

/// What became of what the holder of a claim wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewOutcome {
    /// It is in use.
    Written,
    /// The connection ended meanwhile: what was given is kept to be revoked.
    Ended,
    /// Somebody else holds the claim by now, or the row is gone: what was given is kept nowhere.
    Lost,
}

/// The connections in the record.
pub trait Connections: Send + Sync {
    /// The living connection of a person with an MCP server.
    fn find_connection<'a>(&'a self, user: Id<User>, server: &'a str)
    -> Answer<'a, Option<ConnectionRecord>>;

    /// The living connections: of one person or of all, a page at a time in the order of ids.
    fn list_connections(
        &self,
        user: Option<Id<User>>,
        after: Option<Id<Connection>>,
    ) -> Answer<'_, Vec<ConnectionRecord>>;

    /// Begins a connection in the place of the one before it, with its event.
    fn put_connection(&self, new: NewConnection, audit: AuditEvent) -> Answer<'_, ConnectOutcome>;

    /// Claims a connection, as it was seen, until then: to refresh it, or to have it revoked if it ended. Whether nobody
    /// else did.
    fn claim_connection(
        &self,
        seen: ConnectionRecord,
        claim: Hash,
        until: Timestamp,
        now: Timestamp,
    ) -> Answer<'_, bool>;

    /// Writes down what the provider said, and gives the claim back.
    fn renew_connection(
        &self,
        id: Id<Connection>,
        claim: Hash,
        renewed: Renewed,
        now: Timestamp,
    ) -> Answer<'_, RenewOutcome>;

    /// Writes down what else is missing, of a connection that is as it was seen. Whether it was.
    fn want_of_connection(&self, seen: ConnectionRecord, missing: String) -> Answer<'_, bool>;

    /// The tokens of this generation are of no use any more, with the events that say so. Whether that was news.
    fn mark_connection(
        &self,
        id: Id<Connection>,
        generation: u32,
        reason: &'static str,
        audit: Vec<AuditEvent>,
    ) -> Answer<'_, bool>;

    /// Ends a connection. Whether it lived.
    fn end_connection(&self, id: Id<Connection>, audit: AuditEvent) -> Answer<'_, bool>;

    /// Which of these live.
    fn list_living_connections(&self, ids: Vec<Id<Connection>>) -> Answer<'_, Vec<Id<Connection>>>;

    /// Those that ended and of which the provider may be told now, a few.
    fn list_ended_connections(&self, now: Timestamp) -> Answer<'_, Vec<ConnectionRecord>>;

    /// The provider was told, or nobody can tell it any more: the row goes. Whether the claim was still held.
    fn forget_connection(
        &self,
        id: Id<Connection>,
        claim: Hash,
        audit: Option<AuditEvent>,
    ) -> Answer<'_, bool>;

    /// The provider could not be told: nobody tries before that time. Whether the claim was still held.
    fn postpone_connection(&self, id: Id<Connection>, claim: Hash, until: Timestamp) -> Answer<'_, bool>;
}

macro_rules! columns {
    () => {
        "id, user_id, server, binding, missing, account, scope, access_token, refresh_token, expires_at, generation, \
         created_at, refreshed_at, rotated_at, needs_sign_in, claimed_until, claim, ended_at, tries"
    };
}

/// What ends a connection. Whoever holds the claim goes on holding it: what they are given is to be revoked too.
macro_rules! end_connections {
    ($of:literal) => {
        concat!("UPDATE connections SET ended_at = $1 WHERE ended_at IS NULL", $of)
    };
}

/// A new pair: whatever was said of the one before is over.
macro_rules! renew {
    ($of:literal) => {
        // The refresh token comes first: by its column the parameter gets its type on PostgreSQL.
        concat!(
            "UPDATE connections SET access_token = $1, refresh_token = COALESCE($2, refresh_token), \
             rotated_at = CASE WHEN $2 IS NULL THEN rotated_at ELSE $3 END, expires_at = $4, scope = COALESCE($5, scope), \
             generation = generation + 1, refreshed_at = $3, needs_sign_in = NULL, claim = NULL, claimed_until = NULL \
             WHERE id = $6 AND ", $of, " RETURNING ended_at"
        )
    };
}

statement_list! {
    FIND = concat!("SELECT ", columns!(), " FROM connections WHERE user_id = $1 AND server = $2 AND ended_at IS NULL");
    LIST = concat!("SELECT ", columns!(), " FROM connections WHERE ended_at IS NULL AND id > $1 ORDER BY id LIMIT 100");
    LIST_OF_USER = concat!("SELECT ", columns!(), " FROM connections WHERE user_id = $1 AND ended_at IS NULL AND id > $2 \
        ORDER BY id LIMIT 100");
    LIVING = "SELECT id FROM connections WHERE ended_at IS NULL AND id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    LIST_ENDED = concat!("SELECT ", columns!(), " FROM connections WHERE ended_at IS NOT NULL \
        AND (COALESCE(claimed_until, 0) <= $1 OR claimed_until > $2) ORDER BY ended_at LIMIT 20");
    PUT = "INSERT INTO connections (id, user_id, server, binding, missing, account, scope, access_token, refresh_token, \
        expires_at, generation, created_at, refreshed_at, rotated_at, tries) \
        SELECT $1, id, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $10, $10, 0 FROM users WHERE id = $11 AND disabled_at IS NULL";
    USE_UP = "DELETE FROM connecting WHERE id = $1 AND user_id = $2 AND server = $3 AND taken_at IS NOT NULL";
    // Whoever saw an older state of it claims nothing.
    CLAIM = "UPDATE connections SET claim = $1, claimed_until = $2 WHERE id = $3 AND generation = $4 \
        AND (COALESCE(claimed_until, 0) <= $5 OR claimed_until > $6) AND COALESCE(ended_at, 0) = $7 AND (needs_sign_in IS NULL OR ended_at IS NOT NULL)";
    RENEW = renew!("claim = $7");
    RENEW_LATE = renew!("generation = $7");
    REFUSE = "UPDATE connections SET needs_sign_in = $1, claim = NULL, claimed_until = NULL \
        WHERE id = $2 AND claim = $3 RETURNING ended_at";
    LEAVE = "UPDATE connections SET claim = NULL, claimed_until = $1 WHERE id = $2 AND claim = $3 RETURNING ended_at";
    WANT = "UPDATE connections SET missing = $1 WHERE id = $2 AND generation = $3 AND missing = $4 AND ended_at IS NULL";
    MARK = "UPDATE connections SET needs_sign_in = $1 WHERE id = $2 AND generation = $3 AND ended_at IS NULL \
        AND needs_sign_in IS NULL";
    END = end_connections!(" AND id = $2");
    END_BEFORE = end_connections!(" AND user_id = $2 AND server = $3");
    END_OF_ALL = end_connections!("");
    END_OF_SERVER = end_connections!(" AND server = $2");
    END_OF_USER = end_connections!(" AND user_id = $2");
    // Not ended: the providers would be told to revoke what is in use where the backup was taken.
    RESTORED = "UPDATE connections SET needs_sign_in = 'connection_restored', claim = NULL, claimed_until = NULL \
        WHERE ended_at IS NULL";
    FORGET = "DELETE FROM connections WHERE id = $1 AND claim = $2 AND ended_at IS NOT NULL";
    POSTPONE = "UPDATE connections SET tries = tries + 1, claim = NULL, claimed_until = $1 \
        WHERE id = $2 AND claim = $3 AND ended_at IS NOT NULL";
}

impl Connections for Engine {
    fn find_connection<'a>(
        &'a self,
        user: Id<User>,
        server: &'a str,
    ) -> Answer<'a, Option<ConnectionRecord>> {
        Box::pin(async move { self.one(FIND, params![user, server]).await?.map(decode).transpose() })
    }

    fn list_connections(
        &self,
        user: Option<Id<User>>,
        after: Option<Id<Connection>>,
    ) -> Answer<'_, Vec<ConnectionRecord>> {
        Box::pin(async move {
            let after = after.unwrap_or(Id::from_bytes([0; 16]));
            let rows = match user {
                Some(user) => self.many(LIST_OF_USER, params![user, after]).await?,
                None => self.many(LIST, params![after]).await?,
            };
            rows.into_iter().map(decode).collect()
        })
    }

    fn put_connection(&self, new: NewConnection, audit: AuditEvent) -> Answer<'_, ConnectOutcome> {
        Box::pin(async move {
            let (now, server) = (audit.at, new.server.as_str());
            let row = params![
                new.id,
                server,
                new.binding.as_str(),
                new.missing.as_str(),
                new.account.as_deref(),
                new.tokens.scope.as_deref(),
                &new.tokens.access_token,
                new.tokens.refresh_token.as_ref(),
                new.tokens.expires_at,
                now,
                new.user,
            ];
            let mut steps = vec![
                Step::one(USE_UP, params![new.attempt, new.user, server]),
                Step::any(END_BEFORE, params![now, new.user, server]),
                Step::one(PUT, row),
            ];
            audit_events::push(&mut steps, &audit)?;
            Ok(match self.write(Write::new(steps)).await? {
                Written::Done(_) => ConnectOutcome::Connected,
                Written::Missed(_) => ConnectOutcome::Gone,
            })
        })
    }

    fn claim_connection(
        &self,
        seen: ConnectionRecord,
        claim: Hash,
        until: Timestamp,
        now: Timestamp,
    ) -> Answer<'_, bool> {
        Box::pin(async move {
            let ended = seen.ended_at.map_or(0, Timestamp::micros);
            let most = if seen.ended_at.is_some() { NO_PAUSE_IS_LONGER } else { NO_CLAIM_IS_LONGER };
            let row = params![claim, until, seen.id, seen.generation, now, now.plus(most), ended];
            done(self, Step::one(CLAIM, row)).await
        })
    }

    fn renew_connection(
        &self,
        id: Id<Connection>,
        claim: Hash,
        renewed: Renewed,
        now: Timestamp,
    ) -> Answer<'_, RenewOutcome> {
        Box::pin(async move {
            let step = match &renewed {
                Renewed::Given(given) => {
                    let (scope, refresh) = (given.scope.as_deref(), given.refresh_token.as_ref());
                    let row = params![&given.access_token, refresh, now, given.expires_at, scope, id, claim];
                    Step::one(RENEW, row)
                }
                Renewed::Late(given, seen) => {
                    let (scope, refresh) = (given.scope.as_deref(), given.refresh_token.as_ref());
                    let row = params![&given.access_token, refresh, now, given.expires_at, scope, id, *seen];
                    Step::one(RENEW_LATE, row)
                }
                Renewed::Refused(reason, _) => Step::one(REFUSE, params![*reason, id, claim]),
                Renewed::Silent(until) => Step::one(LEAVE, params![*until, id, claim]),
            };
            let mut steps = vec![step.returning()];
            if let Renewed::Refused(_, audit) = &renewed {
                audit_events::push(&mut steps, audit)?;
            }
            let Written::Done(touched) = self.write(Write::new(steps)).await? else {
                return Ok(RenewOutcome::Lost);
            };
            let row = touched.into_iter().next().and_then(|step| step.rows.into_iter().next());
            let ended = Decoder::new("connections", row.unwrap_or_default()).opt_time("ended_at")?;
            Ok(if ended.is_some() { RenewOutcome::Ended } else { RenewOutcome::Written })
        })
    }

    fn want_of_connection(&self, seen: ConnectionRecord, missing: String) -> Answer<'_, bool> {
        Box::pin(async move {
            let row = params![missing.as_str(), seen.id, seen.generation, seen.missing.as_str()];
            done(self, Step::one(WANT, row)).await
        })
    }

    fn mark_connection(
        &self,
        id: Id<Connection>,
        generation: u32,
        reason: &'static str,
        audit: Vec<AuditEvent>,
    ) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut steps = vec![Step::one(MARK, params![reason, id, generation])];
            for event in &audit {
                audit_events::push(&mut steps, event)?;
            }
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }

    fn end_connection(&self, id: Id<Connection>, audit: AuditEvent) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut steps = vec![Step::one(END, params![audit.at, id])];
            audit_events::push(&mut steps, &audit)?;
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }

    fn list_living_connections(&self, ids: Vec<Id<Connection>>) -> Answer<'_, Vec<Id<Connection>>> {
        /// So many the statement takes.
        const AT_ONCE: usize = 10;
        Box::pin(async move {
            let mut living = Vec::new();
            for some in ids.chunks(AT_ONCE) {
                let last = some.last().into_iter().cycle();
                let row = some.iter().chain(last).take(AT_ONCE).map(|id| Value::from(*id)).collect();
                for row in self.many(LIVING, row).await? {
                    living.push(Decoder::new("connections", row).id("id")?);
                }
            }
            Ok(living)
        })
    }

    fn list_ended_connections(&self, now: Timestamp) -> Answer<'_, Vec<ConnectionRecord>> {
        Box::pin(async move {
            self.many(LIST_ENDED, params![now, now.plus(NO_PAUSE_IS_LONGER)])
                .await?
                .into_iter()
                .map(decode)
                .collect()
        })
    }

    fn forget_connection(
        &self,
        id: Id<Connection>,
        claim: Hash,
        audit: Option<AuditEvent>,
    ) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut steps = vec![Step::one(FORGET, params![id, claim])];
            if let Some(audit) = &audit {
                audit_events::push(&mut steps, audit)?;
            }
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }

    fn postpone_connection(&self, id: Id<Connection>, claim: Hash, until: Timestamp) -> Answer<'_, bool> {
        Box::pin(async move { done(self, Step::one(POSTPONE, params![until, id, claim])).await })
    }
}

async fn done(engine: &Engine, step: Step) -> Result<bool, StoreError> {
    Ok(matches!(engine.write(Write::new(vec![step])).await?, Written::Done(_)))
}

fn decode(row: Row) -> Result<ConnectionRecord, StoreError> {
    let mut row = Decoder::new("connections", row);
    let (id, user, server) = (row.id("id")?, row.id("user_id")?, row.text("server")?);
    let (binding, missing) = (row.text("binding")?, row.text("missing")?);
    let (account, scope) = (row.opt_text("account")?, row.opt_text("scope")?);
    Ok(ConnectionRecord {
        id,
        user,
        server,
        binding,
        missing,
        account,
        tokens: GivenTokens {
            access_token: row.bytes("access_token").map(Sealed::from_bytes)?,
            refresh_token: row.opt_bytes("refresh_token")?.map(Sealed::from_bytes),
            expires_at: row.opt_time("expires_at")?,
            scope,
        },
        generation: row.count("generation")?,
        created_at: row.time("created_at")?,
        refreshed_at: row.time("refreshed_at")?,
        rotated_at: row.time("rotated_at")?,
        needs_sign_in: row.opt_text("needs_sign_in")?,
        claimed_until: row.opt_time("claimed_until")?,
        is_claimed: row.opt_bytes("claim")?.is_some(),
        ended_at: row.opt_time("ended_at")?,
        tries: row.count("tries")?,
    })
}
