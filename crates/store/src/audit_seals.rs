//! Seals over audit events (product.md, P-18; attacks ST-19): each covers a batch of rows and the seal before it, so that
//! a row that was altered, removed or put in between is found, and which one.
//!
//! A row is sealed once: the write that seals claims each of its rows and the place after the last seal, and of several
//! nodes that seal at once one wins. Must never seal what is not committed, and never touch what a row says.

mod digest;
mod found;
pub(crate) mod names;

use std::collections::BTreeMap;

use protocol::id::{AuditEvent, Id};
use protocol::keys::KeyId;
use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::audit_events::AuditKind;
use crate::codec::{Decoder, json};
use crate::engine::{Engine, Step, Write, Written, params};
use crate::statements::{sane, statement_list};
use crate::{Answer, StoreError};

pub(crate) use digest::{name_id, salt};
pub use found::FoundSeal;
pub use names::{NameState, SealedName};

/// Rows of one seal at most: events, and blocks of calls.
const EVENTS: u32 = 500;
const BLOCKS: u32 = 16;

/// How long an event is kept, and what a seal says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditClass {
    /// Calls, many to a row.
    Block,
    /// A call that is a row of its own.
    Call,
    /// What changed who may do what, and what was refused for it.
    Security,
    /// Sign-ins and consents.
    SignIn,
    /// Tokens in the ordinary course: issued and refreshed.
    Token,
}

impl AuditClass {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Block, Self::Call, Self::Security, Self::SignIn, Self::Token];

    /// As settings name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block | Self::Call => "calls",
            Self::Security => "security",
            Self::SignIn => "sign_ins",
            Self::Token => "tokens",
        }
    }

    /// Of an event of this kind. What a newer release wrote is kept the longest, so a node of the release before seals it as
    /// of that class: a kind that is to be kept for less time is of [`Self::Security`] in the release that first writes it.
    fn of(kind: &str) -> Self {
        const SIGN_INS: [AuditKind; 7] = [
            AuditKind::AuthorizeRefused,
            AuditKind::ConsentDenied,
            AuditKind::ConsentGiven,
            AuditKind::EmergencySignIn,
            AuditKind::SignIn,
            AuditKind::SignInRefused,
            AuditKind::SignOut,
        ];
        const TOKENS: [AuditKind; 4] = [
            AuditKind::CredentialObtained,
            AuditKind::RefreshRepeated,
            AuditKind::TokenIssued,
            AuditKind::TokenRefreshed,
        ];
        let is_one_of = |kinds: &[AuditKind]| kinds.iter().any(|one| one.as_str() == kind);
        if is_one_of(&[AuditKind::Call, AuditKind::CallEnded, AuditKind::CallRefused]) {
            Self::Call
        } else if is_one_of(&SIGN_INS) {
            Self::SignIn
        } else if is_one_of(&TOKENS) {
            Self::Token
        } else {
            Self::Security
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Block => 0,
            Self::Call => 1,
            Self::Token => 2,
            Self::SignIn => 3,
            Self::Security => 4,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.number() == number)
    }
}

/// A row as a seal names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealEntry {
    /// Of which class it is.
    pub class: AuditClass,
    /// Its time; of a block, that of its last event.
    pub at: Timestamp,
    /// Its id.
    pub id: Id<AuditEvent>,
    /// The hash of all it says.
    pub hash: Hash,
}

/// What is sealed: everything that the digest is made over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealing {
    /// Its number: one more than that of the seal before it; 1 for the first.
    pub id: u64,
    /// The digest of the seal before it; zeros for the first.
    pub previous: Hash,
    /// When.
    pub sealed_at: Timestamp,
    /// Rows in all seals, with those of this one.
    pub total: u64,
    /// By class, and for `first_seal`: what may be gone; for `names`: from when on names are sealed. JSON.
    pub cutoffs: String,
    /// The rows, in their order.
    pub entries: Vec<SealEntry>,
}

/// A seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// What it was made over.
    pub sealing: Sealing,
    /// The digest of that.
    pub digest: Hash,
    /// The key that signed it.
    pub key: KeyId,
    /// The digest and what it stands for, signed: a compact JWS.
    pub signature: String,
}

/// Up to which time rows may be gone, by the name of their class; the number of the first seal under `first_seal`; and under
/// `names` from when on each row says which name and address stand beside it.
pub type Cutoffs = BTreeMap<String, i64>;

impl Sealing {
    /// The digest of it.
    #[must_use]
    pub fn digest(&self) -> Hash {
        digest::seal_digest(self)
    }

    /// What may be gone. Nothing, if that cannot be read.
    #[must_use]
    pub fn read_cutoffs(&self) -> Cutoffs {
        serde_json::from_str(&self.cutoffs).unwrap_or_default()
    }

    /// As the text that is sealed.
    ///
    /// # Errors
    /// None that could happen.
    pub fn write_cutoffs(cutoffs: &Cutoffs) -> Result<String, StoreError> {
        json(cutoffs)
    }
}

/// A row as it stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedAuditRow {
    /// At which place of the seal it says that it stands.
    pub position: i64,
    /// What a seal over it would name.
    pub entry: SealEntry,
}

/// How many rows are outside of all seals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outside {
    /// Not sealed yet.
    pub unsealed: u64,
    /// Of a seal that is not there.
    pub foreign: u64,
}

/// The seals in the record.
pub trait AuditSeals: Send + Sync {
    /// The last one.
    fn last_seal(&self) -> Answer<'_, Option<FoundSeal>> {
        Box::pin(async move { Ok(self.last_seals(1).await?.pop()) })
    }

    /// The last ones, the last of all first, at most so many.
    fn last_seals(&self, limit: u32) -> Answer<'_, Vec<FoundSeal>>;

    /// Seals after this number, in their order, at most so many.
    fn list_seals(&self, after: u64, limit: u32) -> Answer<'_, Vec<FoundSeal>>;

    /// Rows that are in the record and under no seal, by time, at most so many as a seal takes.
    fn unsealed_rows(&self) -> Answer<'_, Vec<SealEntry>>;

    /// Seals. Whether it was done; if not, somebody else was first, and nothing has changed.
    fn put_seal(&self, seal: Seal) -> Answer<'_, bool>;

    /// The rows that say they are under this seal, by their place.
    fn sealed_rows(&self, seal: u64) -> Answer<'_, Vec<SealedAuditRow>>;

    /// Of the names and addresses beside the rows under this seal those that are not what the row says they were.
    fn sealed_names(&self, seal: u64) -> Answer<'_, Vec<SealedName>>;

    /// How many rows are under no seal that is there. Reads all of them.
    fn outside_seals(&self) -> Answer<'_, Outside>;
}

/// The columns of a row in the order of the schema, and what it says of its seal.
macro_rules! events {
    ($where:literal) => {
        concat!(
            "SELECT ",
            sane!("id"),
            ", at, ",
            sane!("kind"),
            ", ",
            sane!("outcome"),
            ", ",
            sane!("reason"),
            ", ",
            sane!("reference"),
            ", ",
            sane!("user_id"),
            ", ",
            sane!("client_id"),
            ", ",
            sane!("server"),
            ", ",
            sane!("grant_id"),
            ", ",
            sane!("subject_id"),
            ", ",
            sane!("detail"),
            ", seal_position FROM audit_events WHERE ",
            $where
        )
    };
}

macro_rules! blocks {
    ($where:literal) => {
        concat!(
            "SELECT ",
            sane!("id"),
            ", first_at, last_at, events, ",
            sane!("packed"),
            ", seal_position FROM audit_blocks WHERE ",
            $where
        )
    };
}

macro_rules! seals {
    ($where:literal) => {
        concat!(
            "SELECT id, count, sealed_at, total, ",
            sane!("previous_digest"),
            ", ",
            sane!("cutoffs"),
            ", ",
            sane!("entries"),
            ", ",
            sane!("digest"),
            ", ",
            sane!("key_id"),
            ", ",
            sane!("signature"),
            " FROM audit_seals ",
            $where
        )
    };
}

statement_list! {
    LAST = seals!("ORDER BY id DESC LIMIT $1");
    LIST = seals!("WHERE id > $1 ORDER BY id LIMIT $2");
    UNSEALED_EVENTS = events!("seal_id IS NULL ORDER BY at, id LIMIT $1");
    UNSEALED_BLOCKS = blocks!("seal_id IS NULL ORDER BY last_at, id LIMIT $1");
    EVENTS_OF = events!("seal_id = $1 ORDER BY seal_position, at, id");
    BLOCKS_OF = blocks!("seal_id = $1 ORDER BY seal_position, last_at, id");
    CLAIM_EVENT = "UPDATE audit_events SET seal_id = $1, seal_position = $2 \
        WHERE at = $3 AND id = $4 AND seal_id IS NULL";
    CLAIM_BLOCK = "UPDATE audit_blocks SET seal_id = $1, seal_position = $2 \
        WHERE last_at = $3 AND id = $4 AND seal_id IS NULL";
    // Whoever sealed as well has taken the number, and the place after the seal before.
    PUT = "INSERT INTO audit_seals (id, previous, previous_digest, sealed_at, count, total, cutoffs, entries, digest, \
        key_id, signature) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    OUTSIDE = "SELECT (SELECT COUNT(*) FROM audit_events WHERE seal_id IS NULL) \
        + (SELECT COUNT(*) FROM audit_blocks WHERE seal_id IS NULL), \
        (SELECT COUNT(*) FROM audit_events e WHERE e.seal_id IS NOT NULL \
        AND NOT EXISTS (SELECT 1 FROM audit_seals s WHERE s.id = e.seal_id)) \
        + (SELECT COUNT(*) FROM audit_blocks b WHERE b.seal_id IS NOT NULL \
        AND NOT EXISTS (SELECT 1 FROM audit_seals s WHERE s.id = b.seal_id))";
}

impl AuditSeals for Engine {
    fn last_seals(&self, limit: u32) -> Answer<'_, Vec<FoundSeal>> {
        Box::pin(async move {
            self.many(LAST, params![limit]).await?.into_iter().map(FoundSeal::decode).collect()
        })
    }

    fn list_seals(&self, after: u64, limit: u32) -> Answer<'_, Vec<FoundSeal>> {
        Box::pin(async move {
            self.many(LIST, params![signed(after), limit]).await?.into_iter().map(FoundSeal::decode).collect()
        })
    }

    fn unsealed_rows(&self) -> Answer<'_, Vec<SealEntry>> {
        Box::pin(async move {
            let events = self.many(UNSEALED_EVENTS, params![EVENTS]).await?;
            let blocks = self.many(UNSEALED_BLOCKS, params![BLOCKS]).await?;
            let mut rows = found::rows(events, blocks)?;
            rows.sort_by_key(|row| (row.entry.at, row.entry.class == AuditClass::Block, row.entry.id));
            // What has no id cannot be claimed, and stays outside.
            Ok(rows.into_iter().map(|row| row.entry).filter(|entry| entry.id != found::NO_ID).collect())
        })
    }

    fn put_seal(&self, seal: Seal) -> Answer<'_, bool> {
        Box::pin(async move {
            let sealing = &seal.sealing;
            let claims = |of_blocks: bool| {
                let sql = if of_blocks { CLAIM_BLOCK } else { CLAIM_EVENT };
                let claimed = move |entry: &SealEntry| (entry.class == AuditClass::Block) == of_blocks;
                (0_i64..).zip(&sealing.entries).filter(move |(_, entry)| claimed(entry)).map(
                    move |(position, entry)| {
                        Step::one(sql, params![signed(sealing.id), position, entry.at, entry.id])
                    },
                )
            };
            let mut steps: Vec<Step> = claims(false).chain(claims(true)).collect();
            steps.push(put(&seal));
            Ok(matches!(self.write(Write::new(steps).long()).await?, Written::Done(_)))
        })
    }

    fn sealed_rows(&self, seal: u64) -> Answer<'_, Vec<SealedAuditRow>> {
        Box::pin(async move {
            let events = self.many(EVENTS_OF, params![signed(seal)]).await?;
            let mut rows = found::rows(events, self.many(BLOCKS_OF, params![signed(seal)]).await?)?;
            rows.sort_by_key(|row| row.position);
            Ok(rows)
        })
    }

    fn sealed_names(&self, seal: u64) -> Answer<'_, Vec<SealedName>> {
        Box::pin(names::under_seal(self, signed(seal)))
    }

    fn outside_seals(&self) -> Answer<'_, Outside> {
        Box::pin(async move {
            let row = self.many(OUTSIDE, params![]).await?.into_iter().next();
            let mut row = Decoder::new("audit_seals", row.unwrap_or_default());
            Ok(Outside { unsealed: row.count("unsealed")?, foreign: row.count("foreign")? })
        })
    }
}

/// Numbers of seals begin at 1 and never come near the end.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn put(seal: &Seal) -> Step {
    let sealing = &seal.sealing;
    let previous = signed(sealing.id).checked_sub(1).filter(|previous| *previous > 0);
    let row = params![
        signed(sealing.id),
        previous,
        sealing.previous,
        sealing.sealed_at,
        i64::try_from(sealing.entries.len()).unwrap_or(i64::MAX),
        signed(sealing.total),
        sealing.cutoffs.as_str(),
        digest::packed(&sealing.entries).as_slice(),
        seal.digest,
        seal.key,
        seal.signature.as_bytes(),
    ];
    Step::one(PUT, row)
}
