//! What an identity provider says of a person after the sign-in: that they logged out, or are out. It ends all that is theirs, or
//! what began in one session at the provider, in the same write in which the word of it is used up.
//!
//! Must never end what it does not name: a session is named by a hash that only its own provider's word gives. Must never end a part
//! of it: of several people all or nobody, since whoever asks again is told that it was done.

use protocol::id::{Grant, Id, User};
use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::stop::{Before, end_codes};
use crate::{
    Answer, AuditEvent, Once, Revocation, RevocationKind, StopCounts, StoreError, UserRecord, audit_events,
    grants, replays, revocations, stop, users,
};

/// What is ended.
#[derive(Debug)]
pub enum Ending {
    /// The browser sessions alone.
    BrowserSessions(OfSession),
    /// All of the people whom the revocations name; each grant is revoked as this says. Of nobody the word is used up alone.
    Everything(Vec<Revocation>, Reach),
    /// What began in the session: browser sessions, codes, and grants, each of which is revoked as this says.
    Session(OfSession, Reach),
}

/// A session at an identity provider.
#[derive(Debug, Clone)]
pub struct OfSession {
    /// The hash of connector and `sid`; `None` for every session of the people.
    pub session: Option<Hash>,
    /// Whose it may be, as far as is known: what of theirs began in a session that nobody noted belongs to it.
    pub people: Vec<Id<User>>,
}

/// How far the revocation of a grant reaches.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// Tokens issued at or before this are dead.
    pub not_before: Timestamp,
    /// When the last of them has expired anyway.
    pub expires_at: Timestamp,
}

/// What is ended on the word of an identity provider.
pub trait Signals: Send + Sync {
    /// Uses up the word of it, ends what it ends, and writes the events, all or nothing. What was ended; `None` if the word was
    /// used before, or is over: then nothing was written.
    fn end_on_signal(
        &self,
        once: Once,
        ending: Ending,
        audit: Vec<AuditEvent>,
        now: Timestamp,
    ) -> Answer<'_, Option<StopCounts>>;

    /// All people of a connector, by their own identity or a linked one, who have this verified address, in the order of their
    /// ids: whoever ends all of them, and another who does the same, then wait for each other.
    fn list_people_at(&self, connector: &str, email: &str) -> Answer<'_, Vec<UserRecord>>;
}

/// Grants can be made by others between the look and the write; not as often as this, since their codes are gone.
const TRIES: usize = 8;

statement_list! {
    SESSIONS = "DELETE FROM browser_sessions WHERE upstream_session = $1";
    SESSIONS_UNKNOWN = "DELETE FROM browser_sessions WHERE user_id = $1 AND upstream_session IS NULL";
    CODES = end_codes!(" AND upstream_session = $1");
    CODES_UNKNOWN = end_codes!(" AND user_id = $1 AND upstream_session IS NULL");
    GRANTS = "SELECT g.id FROM authorizations a JOIN grants g ON g.authorization_id = a.id \
        WHERE a.upstream_session = $1 AND g.revoked_at IS NULL";
    GRANTS_OF_USER = "SELECT id FROM grants WHERE user_id = $1 AND revoked_at IS NULL";
    GRANTS_UNKNOWN = "SELECT g.id FROM grants g JOIN authorizations a ON a.id = g.authorization_id \
        WHERE g.user_id = $1 AND g.revoked_at IS NULL AND a.upstream_session IS NULL";
    // Whoever is linked to somebody is that person, whatever address stands there.
    PEOPLE_AT = concat!("SELECT ", users::columns!(), " FROM users WHERE \
        (lower(email) = lower($1) AND (connector = $2 OR id IN (SELECT user_id FROM identity_links WHERE connector = $2))) \
        OR id IN (SELECT l.user_id FROM identity_links l JOIN users own ON own.connector = l.connector \
        AND own.subject = l.subject WHERE l.connector = $2 AND lower(own.email) = lower($1)) ORDER BY id");
}

impl Signals for Engine {
    fn end_on_signal(
        &self,
        once: Once,
        ending: Ending,
        audit: Vec<AuditEvent>,
        now: Timestamp,
    ) -> Answer<'_, Option<StopCounts>> {
        Box::pin(async move {
            if once.expires_at <= now {
                return Ok(None);
            }
            match ending {
                Ending::BrowserSessions(of) => end_browser_sessions(self, once, of, (audit, now)).await,
                Ending::Everything(ends, reach) => {
                    let mut named = Vec::new();
                    for end in &ends {
                        let grants = self.many(GRANTS_OF_USER, params![stop::user(&end.id)?]).await?;
                        for grant in grants {
                            named.push(self::revocation(decode(grant)?, reach));
                        }
                    }
                    let before = Before { first: Vec::new(), once: Some(once), named };
                    stop::stop_all(self, before, ends, audit, now).await
                }
                Ending::Session(of, reach) => end_session(self, once, (of, reach), (audit, now)).await,
            }
        })
    }

    fn list_people_at(&self, connector: &str, email: &str) -> Answer<'_, Vec<UserRecord>> {
        let found = params![email, connector];
        Box::pin(async move { self.many(PEOPLE_AT, found).await?.into_iter().map(users::decode).collect() })
    }
}

/// The browser sessions of it.
fn sessions(of: &OfSession) -> Vec<Step> {
    let sql = if of.session.is_some() { SESSIONS_UNKNOWN } else { stop::SESSIONS_OF_USER };
    let known = of.session.map(|session| Step::any(SESSIONS, params![session]));
    known.into_iter().chain(of.people.iter().map(|user| Step::any(sql, params![*user]))).collect()
}

fn codes(of: &OfSession) -> impl Iterator<Item = Step> {
    let known = of.session.map(|session| Step::any(CODES, params![session]));
    let unknown = of.people.iter().map(|user| Step::any(CODES_UNKNOWN, params![*user]));
    known.into_iter().chain(unknown)
}

fn used(once: Once, now: Timestamp) -> Step {
    replays::used(once.kind, once.hash, once.expires_at, now)
}

async fn end_browser_sessions(
    engine: &Engine,
    once: Once,
    of: OfSession,
    (audit, now): (Vec<AuditEvent>, Timestamp),
) -> Result<Option<StopCounts>, StoreError> {
    let mut steps = sessions(&of);
    let count = steps.len();
    steps.push(used(once, now));
    audit_events::push_all(&mut steps, &audit)?;
    match engine.write(Write::new(steps)).await? {
        Written::Done(touched) => {
            let browser_sessions = touched.iter().take(count).map(|step| step.count).sum();
            Ok(Some(StopCounts { browser_sessions, ..StopCounts::default() }))
        }
        Written::Missed(_) => Ok(None),
    }
}

/// Codes go before grants, and the grants are looked for once more after the write: whoever redeemed at the same instant either
/// finds the code gone or is found.
async fn end_session(
    engine: &Engine,
    once: Once,
    (of, reach): (OfSession, Reach),
    (audit, now): (Vec<AuditEvent>, Timestamp),
) -> Result<Option<StopCounts>, StoreError> {
    let mut ended = StopCounts::default();
    for turn in 0..TRIES {
        let living = living(engine, &of).await?;
        let is_first = turn == 0;
        if !is_first && living.is_empty() {
            return Ok(Some(ended));
        }
        let mut steps = sessions(&of);
        let browser = steps.len();
        steps.extend(codes(&of));
        let before_grants = steps.len();
        if is_first {
            steps.push(used(once, now));
        }
        let first_grant = steps.len();
        steps.extend(living.iter().map(|grant| Step::at_most_one(grants::END, params![now, *grant])));
        let after_grants = steps.len();
        let revoked: Vec<Revocation> = living.iter().map(|grant| revocation(*grant, reach)).collect();
        steps.extend(revoked.iter().map(|revocation| revocations::entry(revocation, now)));
        if is_first {
            audit_events::push_all(&mut steps, &audit)?;
        }
        let write = revoked.into_iter().fold(Write::new(steps).long(), Write::announcing);
        let Written::Done(touched) = engine.write(write).await? else { return Ok(None) };
        let sum = |from: usize, to: usize| -> u64 {
            touched.iter().take(to).skip(from).map(|step| step.count).sum()
        };
        ended.browser_sessions += sum(0, browser);
        ended.codes += sum(browser, before_grants);
        ended.grants += sum(first_grant, after_grants);
    }
    Err(StoreError::unavailable("grants of a session that ended were made again and again"))
}

fn revocation(grant: Id<Grant>, reach: Reach) -> Revocation {
    let Reach { not_before, expires_at } = reach;
    Revocation { kind: RevocationKind::Grant, id: grant.to_string(), not_before, expires_at }
}

/// The live grants of it.
async fn living(engine: &Engine, of: &OfSession) -> Result<Vec<Id<Grant>>, StoreError> {
    let mut rows = Vec::new();
    if let Some(session) = of.session {
        rows.extend(engine.many(GRANTS, params![session]).await?);
    }
    for user in &of.people {
        rows.extend(engine.many(GRANTS_UNKNOWN, params![*user]).await?);
    }
    rows.into_iter().map(decode).collect()
}

fn decode(row: Row) -> Result<Id<Grant>, StoreError> {
    Decoder::new("grants", row).id("id")
}
