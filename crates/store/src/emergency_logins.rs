//! Emergency logins: a way in for one person while their identity provider is away. Found by the hash of the code, good
//! once and for minutes.
//!
//! Whose it is stands sealed in the row as well: the role compares, since whoever can write into the record must not be
//! able to sign in by it.

use protocol::id::{Id, User};
use protocol::secret::{Hash, Sealed};
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, AuditEvent, BrowserSessionRecord, StoreError, UserRecord, audit_events, users};

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmergencyLoginRecord {
    /// Its id.
    pub id: Id<protocol::id::EmergencyLogin>,
    /// Hash of the code.
    pub hash: Hash,
    /// Whose it is.
    pub user: Id<User>,
    /// Hash and person, sealed in the context `["emergency_logins", "sealed", id]`.
    pub sealed: Sealed,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// The use of one: the session it opens, and the event of it.
#[derive(Debug)]
pub struct UseEmergencyLogin {
    /// Hash of the code.
    pub hash: Hash,
    /// The session. Its `user` is the person of the row, which the role has compared with what is sealed.
    pub session: BrowserSessionRecord,
    /// The event; `at` is the time of it.
    pub audit: AuditEvent,
}

/// The emergency logins in the record.
pub trait EmergencyLogins: Send + Sync {
    /// Stores one, with its event. Whether the person is there to be let in and is not shut out. A service
    /// account never is let in.
    fn put_emergency_login(&self, login: EmergencyLoginRecord, audit: AuditEvent) -> Answer<'_, bool>;

    /// The login with this code and its person, if it is not used, not over, and the person is not shut out.
    fn find_emergency_login<'a>(
        &'a self,
        hash: &'a Hash,
        now: Timestamp,
    ) -> Answer<'a, Option<(EmergencyLoginRecord, UserRecord)>>;

    /// Whether any is open: then the login page leads to them.
    fn has_emergency_login(&self, now: Timestamp) -> Answer<'_, bool>;

    /// Uses one up and opens its session, at most once. Whether it did.
    fn use_emergency_login(&self, used: UseEmergencyLogin) -> Answer<'_, bool>;
}

statement_list! {
    PUT = "INSERT INTO emergency_logins (id, hash, user_id, sealed, created_at, expires_at) \
        SELECT $1, $2, id, $3, $4, $5 FROM users WHERE id = $6 AND disabled_at IS NULL \
        AND connector <> 'service-account'";
    FIND = "SELECT e.id, e.hash, e.user_id, e.sealed, e.created_at, e.expires_at, \
        u.id, u.connector, u.subject, u.name, u.email, u.groups, u.created_at, u.last_sign_in_at, u.disabled_at \
        FROM emergency_logins e JOIN users u ON u.id = e.user_id \
        WHERE e.hash = $1 AND e.expires_at > $2 AND e.used_at IS NULL AND u.disabled_at IS NULL";
    OPEN = "SELECT expires_at FROM emergency_logins WHERE used_at IS NULL AND expires_at > $1 LIMIT 1";
    OPEN_SESSION = "INSERT INTO browser_sessions (hash, user_id, created_at, authenticated_at, expires_at) \
        SELECT $1, id, $2, $3, $4 FROM users WHERE id = $5 AND disabled_at IS NULL \
        AND connector <> 'service-account'";
    USE = "UPDATE emergency_logins SET used_at = $1 \
        WHERE hash = $2 AND user_id = $3 AND used_at IS NULL AND expires_at > $1";
}

/// Columns of the login in [`FIND`]; the person's follow.
const WIDTH: usize = 6;

impl EmergencyLogins for Engine {
    fn put_emergency_login(&self, login: EmergencyLoginRecord, audit: AuditEvent) -> Answer<'_, bool> {
        Box::pin(async move {
            let row =
                params![login.id, login.hash, &login.sealed, login.created_at, login.expires_at, login.user];
            let mut steps = vec![Step::one(PUT, row)];
            audit_events::push(&mut steps, &audit)?;
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }

    fn find_emergency_login<'a>(
        &'a self,
        hash: &'a Hash,
        now: Timestamp,
    ) -> Answer<'a, Option<(EmergencyLoginRecord, UserRecord)>> {
        Box::pin(async move {
            let Some(mut row) = self.one(FIND, params![*hash, now]).await? else { return Ok(None) };
            let user = users::decode(row.split_off(WIDTH.min(row.len())))?;
            Ok(Some((decode(row)?, user)))
        })
    }

    fn has_emergency_login(&self, now: Timestamp) -> Answer<'_, bool> {
        Box::pin(async move { Ok(self.one(OPEN, params![now]).await?.is_some()) })
    }

    fn use_emergency_login(&self, used: UseEmergencyLogin) -> Answer<'_, bool> {
        Box::pin(async move {
            let (session, now) = (&used.session, used.audit.at);
            let opened = params![
                session.hash,
                session.created_at,
                session.authenticated_at,
                session.expires_at,
                session.user,
            ];
            let used_up = params![now, used.hash, session.user];
            let mut steps = vec![Step::one(OPEN_SESSION, opened), Step::one(USE, used_up)];
            audit_events::push(&mut steps, &used.audit)?;
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }
}

fn decode(row: Row) -> Result<EmergencyLoginRecord, StoreError> {
    let mut row = Decoder::new("emergency_logins", row);
    Ok(EmergencyLoginRecord {
        id: row.id("id")?,
        hash: row.hash("hash")?,
        user: row.id("user_id")?,
        sealed: row.bytes("sealed").map(Sealed::from_bytes)?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}
