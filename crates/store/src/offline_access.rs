//! By what an identity provider can be asked, long after the sign-in, whether a person is still there (OpenID Connect Core 1.0,
//! section 11): one sealed token for each person and connector.
//!
//! One asks at a time, over all nodes: whoever claims it holds a lease, and no lock while the provider thinks. A token that the
//! provider gives in exchange is kept only by the one who holds the claim. What is found claimed and over was left by somebody
//! who did not come back: from then on nobody knows which token is the good one.

use protocol::id::{Id, User};
use protocol::secret::{Hash, Sealed};
use protocol::world::Timestamp;

use crate::codec::{Decoder, json};
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, AuditEvent, NewIdentity, StoreError, audit_events};

/// What a provider gave at a sign-in.
#[derive(Debug)]
pub struct NewOfflineAccess {
    /// Its id; the token is sealed for the row with it.
    pub id: Id<OfflineAccessRecord>,
    /// For whom it is sealed: if the person is another by the record, it is not kept.
    pub user: Id<User>,
    /// The token.
    pub sealed: Sealed,
}

/// For what a token is sealed: whose row it stands in, and who they are at which provider (attacks.md, ST-02).
#[derive(Debug, Clone, Copy)]
pub struct OfflinePlace<'a> {
    /// The id of the row.
    pub id: &'a Id<OfflineAccessRecord>,
    /// Whose.
    pub user: &'a Id<User>,
    /// At which provider.
    pub connector: &'a str,
    /// Who they are there.
    pub subject: &'a str,
}

impl<'a> OfflinePlace<'a> {
    /// The context.
    #[must_use]
    pub fn context(self) -> [&'a [u8]; 6] {
        let owner = [self.user.as_bytes().as_slice(), self.connector.as_bytes(), self.subject.as_bytes()];
        let [user, connector, subject] = owner;
        [b"offline_access", b"sealed", self.id.as_bytes(), user, connector, subject]
    }
}

impl OfflineAccessRecord {
    /// For what its token is sealed.
    #[must_use]
    pub fn place(&self) -> OfflinePlace<'_> {
        OfflinePlace { id: &self.id, user: &self.user, connector: &self.connector, subject: &self.subject }
    }
}

/// By what a provider can be asked about a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineAccessRecord {
    /// Its id.
    pub id: Id<OfflineAccessRecord>,
    /// Whose.
    pub user: Id<User>,
    /// At which provider.
    pub connector: String,
    /// Who they are there.
    pub subject: String,
    /// The token.
    pub sealed: Sealed,
    /// When the provider last said that the person is there.
    pub checked_at: Timestamp,
    /// Until when nobody else asks.
    pub claimed_until: Option<Timestamp>,
    /// Whether an answer was lost, so that a newer token than this may be the good one.
    pub is_doubtful: bool,
    /// Whether the provider gives another token in exchange, as far as is known.
    pub rotates: bool,
}

/// What the provider said to whoever holds the claim.
#[derive(Debug)]
pub enum Asked {
    /// The person is there. The token it gave in exchange, if it gave one, and what it says of them now.
    There(Option<Sealed>, Option<Box<NewIdentity>>),
    /// It cannot be asked by this any more.
    Useless,
    /// It did not answer: nobody asks again before that time. Whether a newer token may have been lost with the answer.
    NoAnswer(Timestamp, bool),
}

/// The offline access in the record.
pub trait OfflineAccess: Send + Sync {
    /// All that is kept of a person.
    fn list_offline_access(&self, user: Id<User>) -> Answer<'_, Vec<OfflineAccessRecord>>;

    /// Claims one, as it was seen, until then. Whether nobody else did.
    fn claim_offline_access(
        &self,
        seen: OfflineAccessRecord,
        claim: Hash,
        until: Timestamp,
    ) -> Answer<'_, bool>;

    /// It does not open where it stands, and goes, with the event that says so. Whether it was still there as it was read.
    fn forget_broken_offline_access(
        &self,
        broken: OfflineAccessRecord,
        audit: AuditEvent,
    ) -> Answer<'_, bool>;

    /// Writes down what the provider said, and gives the claim back. Whether it was still held.
    fn answer_offline_access(
        &self,
        of: OfflineAccessRecord,
        claim: Hash,
        asked: Asked,
        now: Timestamp,
    ) -> Answer<'_, bool>;
}

statement_list! {
    PUT = "INSERT INTO offline_access \
        (id, user_id, connector, subject, sealed, obtained_at, checked_at, doubtful, rotates) \
        SELECT $1, id, $2, $3, $4, $5, $5, 0, 1 FROM users WHERE id = COALESCE( \
        (SELECT user_id FROM identity_links WHERE connector = $2 AND subject = $3), \
        (SELECT id FROM users WHERE connector = $2 AND subject = $3)) AND id = $6 \
        ON CONFLICT (user_id, connector) DO UPDATE SET id = excluded.id, subject = excluded.subject, \
        sealed = excluded.sealed, obtained_at = excluded.obtained_at, checked_at = excluded.checked_at, \
        claim = NULL, claimed_until = NULL, doubtful = 0, rotates = 1";
    LIST = "SELECT id, user_id, connector, subject, sealed, checked_at, claimed_until, \
        CASE WHEN claim IS NULL THEN doubtful ELSE 1 END, rotates FROM offline_access \
        WHERE user_id = $1 ORDER BY connector";
    // A claim that is over and was never given back: whoever held it may have exchanged the token.
    CLAIM = "UPDATE offline_access SET claim = $1, claimed_until = $2, \
        doubtful = CASE WHEN claim IS NULL THEN doubtful ELSE 1 END \
        WHERE id = $3 AND checked_at = $4 AND COALESCE(claimed_until, 0) = $5";
    KEEP = "UPDATE offline_access SET sealed = $1, checked_at = $2, claim = NULL, claimed_until = NULL, \
        doubtful = 0, rotates = 1 \
        WHERE id = $3 AND claim = $4";
    CONFIRM = "UPDATE offline_access SET checked_at = $1, claim = NULL, claimed_until = NULL, \
        doubtful = 0, rotates = 0 \
        WHERE id = $2 AND claim = $3";
    LEAVE = "UPDATE offline_access SET claim = NULL, claimed_until = $1, \
        doubtful = CASE WHEN doubtful > $2 THEN doubtful ELSE $2 END WHERE id = $3 AND claim = $4";
    FORGET = "DELETE FROM offline_access WHERE id = $1 AND claim = $2";
    FORGET_BROKEN = "DELETE FROM offline_access WHERE id = $1 AND sealed = $2";
    TELL = "UPDATE users SET name = $1, email = $2, groups = $3 WHERE id = $4";
}

impl OfflineAccess for Engine {
    fn list_offline_access(&self, user: Id<User>) -> Answer<'_, Vec<OfflineAccessRecord>> {
        Box::pin(async move { self.few(LIST, params![user]).await?.into_iter().map(decode).collect() })
    }

    fn claim_offline_access(
        &self,
        seen: OfflineAccessRecord,
        claim: Hash,
        until: Timestamp,
    ) -> Answer<'_, bool> {
        Box::pin(async move {
            let before = seen.claimed_until.map_or(0, Timestamp::micros);
            let claimed = params![claim, until, seen.id, seen.checked_at, before];
            let write = Write::new(vec![Step::one(CLAIM, claimed)]);
            Ok(matches!(self.write(write).await?, Written::Done(_)))
        })
    }

    fn forget_broken_offline_access(
        &self,
        broken: OfflineAccessRecord,
        audit: AuditEvent,
    ) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut steps = vec![Step::one(FORGET_BROKEN, params![broken.id, &broken.sealed])];
            audit_events::push(&mut steps, &audit)?;
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }

    fn answer_offline_access(
        &self,
        of: OfflineAccessRecord,
        claim: Hash,
        asked: Asked,
        now: Timestamp,
    ) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut steps = Vec::new();
            match asked {
                Asked::There(sealed, person) => {
                    if let Some(person) = person {
                        let (name, email) = (person.name.as_deref(), person.email.as_deref());
                        let told = params![name, email, json(&person.groups)?, of.user];
                        steps.push(Step::at_most_one(TELL, told));
                    }
                    steps.push(match sealed {
                        Some(sealed) => Step::one(KEEP, params![&sealed, now, of.id, claim]),
                        None => Step::one(CONFIRM, params![now, of.id, claim]),
                    });
                }
                Asked::Useless => steps.push(Step::one(FORGET, params![of.id, claim])),
                Asked::NoAnswer(until, is_doubtful) => {
                    let left = params![until, u32::from(is_doubtful), of.id, claim];
                    steps.push(Step::one(LEAVE, left));
                }
            }
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }
}

/// The step that keeps what was given at a sign-in, in place of what was there.
pub(crate) fn put(new: &NewOfflineAccess, (connector, subject): (&str, &str), now: Timestamp) -> Step {
    Step::at_most_one(PUT, params![new.id, connector, subject, &new.sealed, now, new.user])
}

fn decode(row: Row) -> Result<OfflineAccessRecord, StoreError> {
    let mut row = Decoder::new("offline_access", row);
    Ok(OfflineAccessRecord {
        id: row.id("id")?,
        user: row.id("user_id")?,
        connector: row.text("connector")?,
        subject: row.text("subject")?,
        sealed: row.bytes("sealed").map(Sealed::from_bytes)?,
        checked_at: row.time("checked_at")?,
        claimed_until: row.opt_time("claimed_until")?,
        is_doubtful: row.count::<u8>("doubtful")? != 0,
        rotates: row.count::<u8>("rotates")? != 0,
    })
}
