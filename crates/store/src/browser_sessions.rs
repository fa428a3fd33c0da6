//! Browser sessions: that a browser belongs to a person who logged in. Found by the hash of the cookie.

use protocol::id::{Id, User};
use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, StoreError, UserRecord, users};

/// One browser in which a person is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrowserSessionRecord {
    /// Hash of the cookie.
    pub hash: Hash,
    /// Whose it is.
    pub user: Id<User>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When the person last proved to the identity provider who they are (`auth_time`).
    pub authenticated_at: Timestamp,
    /// When it ends unless it is used.
    pub expires_at: Timestamp,
    /// The session at the identity provider in which it began: the hash of connector and `sid`, if the provider named one.
    pub upstream_session: Option<Hash>,
}

/// The browser sessions in the record.
pub trait BrowserSessions: Send + Sync {
    /// The session with this cookie and its person, if it has not ended and the person is not shut out.
    fn find_browser_session<'a>(
        &'a self,
        hash: &'a Hash,
        now: Timestamp,
    ) -> Answer<'a, Option<(BrowserSessionRecord, UserRecord)>>;

    /// Lets a session live until then, if it is still there; never shorter than it would anyway.
    fn extend_browser_session(&self, hash: Hash, expires_at: Timestamp) -> Answer<'_, ()>;

    /// Ends a session at once. Whether it was there to be ended.
    fn end_browser_session(&self, hash: Hash, at: Timestamp) -> Answer<'_, bool>;
}

statement_list! {
    FIND = "SELECT s.hash, s.user_id, s.created_at, s.authenticated_at, s.expires_at, s.upstream_session, \
        u.id, u.connector, u.subject, u.name, u.email, u.groups, u.created_at, u.last_sign_in_at, u.disabled_at \
        FROM browser_sessions s JOIN users u ON u.id = s.user_id \
        WHERE s.hash = $1 AND s.expires_at > $2 AND u.disabled_at IS NULL";
    EXTEND = "UPDATE browser_sessions SET expires_at = $1 WHERE hash = $2 AND expires_at < $1";
    // Until the end of the write: whoever ends the session comes before it, and then it misses, or after it.
    HOLD = "UPDATE browser_sessions SET expires_at = expires_at WHERE hash = $1 AND user_id = $2 AND expires_at > $3";
    END = "DELETE FROM browser_sessions WHERE hash = $1 AND expires_at > $2";
}

/// Columns of the session in [`FIND`]; the person's follow.
const WIDTH: usize = 6;

impl BrowserSessions for Engine {
    fn find_browser_session<'a>(
        &'a self,
        hash: &'a Hash,
        now: Timestamp,
    ) -> Answer<'a, Option<(BrowserSessionRecord, UserRecord)>> {
        Box::pin(async move {
            let Some(mut row) = self.one(FIND, params![*hash, now]).await? else { return Ok(None) };
            let user = users::decode(row.split_off(WIDTH.min(row.len())))?;
            Ok(Some((decode(row)?, user)))
        })
    }

    fn extend_browser_session(&self, hash: Hash, expires_at: Timestamp) -> Answer<'_, ()> {
        Box::pin(async move {
            let extend = Step::at_most_one(EXTEND, params![expires_at, hash]);
            self.write(Write::new(vec![extend])).await.map(|_| ())
        })
    }

    fn end_browser_session(&self, hash: Hash, at: Timestamp) -> Answer<'_, bool> {
        Box::pin(async move {
            let end = Step::one(END, params![hash, at]);
            Ok(matches!(self.write(Write::new(vec![end])).await?, Written::Done(_)))
        })
    }
}

/// The step of a write that counts only while this person is signed in by this session.
pub(crate) fn held(hash: Hash, user: Id<User>, now: Timestamp) -> Step {
    Step::one(HOLD, params![hash, user, now])
}

fn decode(row: Row) -> Result<BrowserSessionRecord, StoreError> {
    let mut row = Decoder::new("browser_sessions", row);
    Ok(BrowserSessionRecord {
        hash: row.hash("hash")?,
        user: row.id("user_id")?,
        created_at: row.time("created_at")?,
        authenticated_at: row.time("authenticated_at")?,
        expires_at: row.time("expires_at")?,
        upstream_session: row.opt_hash("upstream_session")?,
    })
}
