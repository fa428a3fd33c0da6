//! Connections on their way: a person was sent to a provider, and is to come back in the same browser (product.md, P-10).
//!
//! An attempt is taken at most once, and only by what it was made for: state, browser, person and MCP server together. A
//! stop takes it away, taken or not, so that no connection can come of it any more.

use protocol::id::{Connecting, Id, User};
use protocol::secret::{Hash, Sealed};
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, StoreError};

/// A connection on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectingRecord {
    /// Its id; the verifier is sealed for the row with it, and for whose it is.
    pub id: Id<Connecting>,
    /// Hash of the `state`.
    pub state_hash: Hash,
    /// The hash of what ties it to a browser.
    pub browser: Hash,
    /// Who wants it.
    pub user: Id<User>,
    /// For which MCP server, by our name.
    pub server: String,
    /// What was settled before the person was sent away.
    pub leg: String,
    /// The PKCE verifier.
    pub verifier: Sealed,
    /// When it began.
    pub created_at: Timestamp,
    /// Until when the person may come back.
    pub expires_at: Timestamp,
}

impl ConnectingRecord {
    /// For what the verifier is sealed (attacks.md, ST-02): all that the attempt was begun as.
    #[must_use]
    pub fn context(&self) -> [&[u8]; 7] {
        let row = [b"connecting".as_slice(), b"verifier", self.id.as_bytes()];
        let owner: [&[u8]; 4] =
            [self.user.as_bytes(), self.server.as_bytes(), self.browser.as_bytes(), self.leg.as_bytes()];
        let ([table, column, id], [user, server, browser, leg]) = (row, owner);
        [table, column, id, user, server, browser, leg]
    }
}

/// The attempts in the record.
pub trait ConnectingRecords: Send + Sync {
    /// Begins one, if the person is there and not shut out, and has fewer than `most` under way. Whether it did.
    fn put_connecting(&self, new: ConnectingRecord, most: u32) -> Answer<'_, bool>;

    /// The one of this `state`, if nobody took it.
    fn find_connecting(&self, state_hash: Hash) -> Answer<'_, Option<ConnectingRecord>>;

    /// Takes one, as it was found, in time. Whether nobody else did.
    fn take_connecting(&self, found: ConnectingRecord, now: Timestamp) -> Answer<'_, bool>;
}

statement_list! {
    PUT = "INSERT INTO connecting (id, state_hash, browser, user_id, server, leg, verifier, created_at, expires_at) \
        SELECT $1, $2, $3, id, $4, $5, $6, $7, $8 FROM users WHERE id = $9 AND disabled_at IS NULL \
        AND (SELECT COUNT(*) FROM connecting WHERE user_id = $9 AND expires_at > $7) < $10";
    FIND = "SELECT id, state_hash, browser, user_id, server, leg, verifier, created_at, expires_at FROM connecting \
        WHERE state_hash = $1 AND taken_at IS NULL";
    TAKE = "UPDATE connecting SET taken_at = $1 WHERE id = $2 AND browser = $3 AND user_id = $4 AND server = $5 \
        AND taken_at IS NULL AND expires_at > $1";
    END_OF_ALL = "DELETE FROM connecting";
    END_OF_SERVER = "DELETE FROM connecting WHERE server = $1";
    END_OF_USER = "DELETE FROM connecting WHERE user_id = $1";
}

impl ConnectingRecords for Engine {
    fn put_connecting(&self, new: ConnectingRecord, most: u32) -> Answer<'_, bool> {
        Box::pin(async move {
            let row = params![
                new.id,
                new.state_hash,
                new.browser,
                new.server.as_str(),
                new.leg.as_str(),
                &new.verifier,
                new.created_at,
                new.expires_at,
                new.user,
                most,
            ];
            Ok(matches!(self.write(Write::new(vec![Step::one(PUT, row)])).await?, Written::Done(_)))
        })
    }

    fn find_connecting(&self, state_hash: Hash) -> Answer<'_, Option<ConnectingRecord>> {
        Box::pin(async move { self.one(FIND, params![state_hash]).await?.map(decode).transpose() })
    }

    fn take_connecting(&self, found: ConnectingRecord, now: Timestamp) -> Answer<'_, bool> {
        Box::pin(async move {
            let taken = params![now, found.id, found.browser, found.user, found.server.as_str()];
            Ok(matches!(self.write(Write::new(vec![Step::one(TAKE, taken)])).await?, Written::Done(_)))
        })
    }
}

fn decode(row: Row) -> Result<ConnectingRecord, StoreError> {
    let mut row = Decoder::new("connecting", row);
    Ok(ConnectingRecord {
        id: row.id("id")?,
        state_hash: row.hash("state_hash")?,
        browser: row.hash("browser")?,
        user: row.id("user_id")?,
        server: row.text("server")?,
        leg: row.text("leg")?,
        verifier: row.bytes("verifier").map(Sealed::from_bytes)?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}
