//! Keys, sealed under the master key, and the few facts about the record itself ("meta").
//!
//! What is sealed here can be opened only with the master key, which is never in the record (P-15).

use protocol::keys::KeyId;
use protocol::secret::Sealed;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, StoreError};

/// What a key is for; no key is for two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPurpose {
    /// Client ids of dynamic registration (P-4).
    ClientIds,
    /// The tokens in our forms.
    Forms,
    /// Refresh tokens (P-3).
    RefreshTokens,
    /// Sealing rows.
    Sealing,
    /// Access tokens.
    Signing,
}

impl KeyPurpose {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ClientIds, Self::Forms, Self::RefreshTokens, Self::Sealing, Self::Signing];

    /// As it is written down.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientIds => "client_ids",
            Self::Forms => "forms",
            Self::RefreshTokens => "refresh_tokens",
            Self::Sealing => "sealing",
            Self::Signing => "signing",
        }
    }
}

/// A key, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id, as written into what it makes.
    pub id: KeyId,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// The key, sealed under the master key.
    pub sealed: Sealed,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it makes nothing new.
    pub retired_at: Option<Timestamp>,
    /// Since when what it made is not accepted.
    pub withdrawn_at: Option<Timestamp>,
}

/// The keys in the record.
pub trait KeysRecord: Send + Sync {
    /// All keys, oldest first.
    fn list_keys(&self) -> Answer<'_, Vec<KeyRecord>>;

    /// Stores keys, all or none; a key that is there already is brought up to date (its purpose and birth stay).
    ///
    /// With `expect_none`, only if the record has never had a key: of two nodes that start on an empty record one
    /// gets `true`, and the other must read what the first one stored. Otherwise always `true`.
    fn put_keys(&self, keys: Vec<KeyRecord>, expect_none: bool) -> Answer<'_, bool>;

    /// A fact about the record.
    fn meta<'a>(&'a self, key: &'a str) -> Answer<'a, Option<String>>;

    /// Writes down a fact once. Whether it was not there before; if it was, it stays as it is.
    fn put_meta<'a>(&'a self, key: &'a str, value: &'a str) -> Answer<'a, bool>;
}

/// The fact that is written down with the first keys: of two nodes that start at once, one writes it.
const FIRST_KEYS: &str = "first_keys";

statement_list! {
    LIST = "SELECT id, purpose, sealed, created_at, retired_at, withdrawn_at FROM keys ORDER BY created_at, id";
    CLAIM = "INSERT INTO meta (key, value) SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM keys) \
        ON CONFLICT (key) DO NOTHING";
    PUT = "INSERT INTO keys (id, purpose, sealed, created_at, retired_at, withdrawn_at) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, \
        retired_at = excluded.retired_at, withdrawn_at = excluded.withdrawn_at \
        WHERE keys.purpose = excluded.purpose";
    META = "SELECT value FROM meta WHERE key = $1";
    PUT_META = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
}

impl KeysRecord for Engine {
    fn list_keys(&self) -> Answer<'_, Vec<KeyRecord>> {
        Box::pin(async move { self.many(LIST, params![]).await?.into_iter().map(decode).collect() })
    }

    fn put_keys(&self, keys: Vec<KeyRecord>, expect_none: bool) -> Answer<'_, bool> {
        Box::pin(async move {
            let claim = expect_none.then(|| Step::one(CLAIM, params![FIRST_KEYS, "stored"]));
            let mut steps: Vec<Step> = claim.into_iter().collect();
            steps.extend(keys.iter().map(put));
            match self.write(Write::new(steps)).await? {
                Written::Done(_) => Ok(true),
                Written::Missed(0) if expect_none => Ok(false),
                Written::Missed(_) => Err(StoreError::unavailable("a key id is taken by another purpose")),
            }
        })
    }

    fn meta<'a>(&'a self, key: &'a str) -> Answer<'a, Option<String>> {
        Box::pin(async move {
            let row = self.one(META, params![key]).await?;
            row.map(|row| Decoder::new("meta", row).text("value")).transpose()
        })
    }

    fn put_meta<'a>(&'a self, key: &'a str, value: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            let put = Step::one(PUT_META, params![key, value]);
            Ok(matches!(self.write(Write::new(vec![put])).await?, Written::Done(_)))
        })
    }
}

fn put(key: &KeyRecord) -> Step {
    let row =
        params![key.id, key.purpose.as_str(), &key.sealed, key.created_at, key.retired_at, key.withdrawn_at,];
    Step::one(PUT, row)
}

fn decode(row: Row) -> Result<KeyRecord, StoreError> {
    let mut row = Decoder::new("keys", row);
    Ok(KeyRecord {
        id: row.array("id").map(KeyId::from_bytes)?,
        purpose: row.one_of("purpose", &KeyPurpose::ALL, KeyPurpose::as_str)?,
        sealed: row.bytes("sealed").map(Sealed::from_bytes)?,
        created_at: row.time("created_at")?,
        retired_at: row.opt_time("retired_at")?,
        withdrawn_at: row.opt_time("withdrawn_at")?,
    })
}
