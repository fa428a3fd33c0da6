//! Keys, sealed under the master key, and the few facts about the record itself ("meta").
//!
//! What is sealed here can be opened only with the master key, which is never in the record (P-15).

use std::sync::Arc;

use protocol::keys::KeyId;
use protocol::secret::Sealed;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, AuditEvent, StoreError, audit_events};

/// What a key is for; no key is for two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPurpose {
    /// Seals over the audit (P-18).
    Audit,
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
    /// Access tokens by RS256, where an MCP server is to have such.
    SigningRs256,
}

impl KeyPurpose {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ClientIds,
        Self::Forms,
        Self::RefreshTokens,
        Self::Sealing,
        Self::Signing,
        Self::Audit,
        Self::SigningRs256,
    ];
    /// Those that every record has a key of.
    pub const ALWAYS: [Self; 6] =
        [Self::ClientIds, Self::Forms, Self::RefreshTokens, Self::Sealing, Self::Signing, Self::Audit];

    /// As it is written down.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::ClientIds => "client_ids",
            Self::Forms => "forms",
            Self::RefreshTokens => "refresh_tokens",
            Self::Sealing => "sealing",
            Self::Signing => "signing",
            Self::SigningRs256 => "signing_rs256",
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
    /// From when it may make things. It is read, and a public half published, from its birth on.
    pub activates_at: Timestamp,
    /// Since when it makes nothing new, whatever else there is. Usually that is told by its successor.
    pub retired_at: Option<Timestamp>,
    /// Since when what it made is not accepted.
    pub withdrawn_at: Option<Timestamp>,
}

/// A new key, and after which one it comes.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The key.
    pub key: KeyRecord,
    /// The key of that purpose that was the last one made when this was decided. If another has been made since, the
    /// whole change is lost: of several nodes that see a key grow old, one makes its successor.
    pub after: KeyId,
}

/// One change of the keys: done whole or not at all.
#[derive(Debug, Clone)]
pub struct KeyChange {
    /// The fingerprint of the master key under which new keys are sealed; the record must be that one's.
    pub master: KeyId,
    /// Keys that count no more from this moment on; each must still count.
    pub withdraw: Vec<KeyId>,
    /// Keys to add.
    pub add: Vec<NewKey>,
    /// What is written down about it; its time is the time of the change.
    pub audit: Vec<AuditEvent>,
    /// When.
    pub at: Timestamp,
}

/// Called when keys have changed, here or at another node.
pub type KeysListener = Arc<dyn Fn() + Send + Sync>;

/// The keys in the record.
pub trait KeysRecord: Send + Sync {
    /// All keys, oldest first.
    fn list_keys(&self) -> Answer<'_, Vec<KeyRecord>>;

    /// Stores keys, all or none; a key that is there already is brought up to date (its purpose and birth stay).
    ///
    /// With `expect_none`, only if the record has never had a key: of two nodes that start on an empty record one
    /// gets `true`, and the other must read what the first one stored. Otherwise always `true`.
    fn put_keys(&self, keys: Vec<KeyRecord>, expect_none: bool) -> Answer<'_, bool>;

    /// Changes the keys. Whether it was done; if not, somebody else was first, and nothing has changed.
    fn change_keys(&self, change: KeyChange) -> Answer<'_, bool>;

    /// Replaces the sealed form of a key by another one of the same key. Whether it was still the old one.
    fn rewrap_key(&self, id: KeyId, old: Sealed, new: Sealed) -> Answer<'_, bool>;

    /// Writes down that the record is another master key's, if it was `from`'s and every key that counts is sealed under
    /// the new one. Whether it was done.
    fn move_master_key(&self, from: KeyId, to: KeyId, audit: AuditEvent) -> Answer<'_, bool>;

    /// Has every change of keys announced that this process commits, and those of others as far as they are heard of:
    /// look now and then all the same. The listener must be quick and must not call the record.
    fn on_keys_changed(&self, listener: KeysListener);

    /// A fact about the record.
    fn meta<'a>(&'a self, key: &'a str) -> Answer<'a, Option<String>>;

    /// Writes down a fact once. Whether it was not there before; if it was, it stays as it is.
    fn put_meta<'a>(&'a self, key: &'a str, value: &'a str) -> Answer<'a, bool>;

    /// Changes a fact from one value to another, with the event of it. Whether it had the former value; if not, nothing
    /// is written, so that of several nodes that change it at once one does.
    fn replace_meta<'a>(
        &'a self,
        key: &'a str,
        from_to: (&'a str, &'a str),
        audit: AuditEvent,
    ) -> Answer<'a, bool>;
}

/// The fact that names the record's master key by its fingerprint.
const MASTER_KEY: &str = "master_key";
/// The fact that is written down with the first keys: of two nodes that start at once, one writes it.
const FIRST_KEYS: &str = "first_keys";

statement_list! {
    LIST = "SELECT id, purpose, sealed, created_at, COALESCE(activates_at, created_at), retired_at, withdrawn_at \
        FROM keys ORDER BY created_at, id";
    CLAIM = "INSERT INTO meta (key, value) SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM keys) \
        ON CONFLICT (key) DO NOTHING";
    PUT = "INSERT INTO keys (id, purpose, sealed, created_at, activates_at, retired_at, withdrawn_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, \
        retired_at = excluded.retired_at, withdrawn_at = excluded.withdrawn_at \
        WHERE keys.purpose = excluded.purpose";
    // Changes of keys wait for each other here, and for the move to another master key.
    HOLD = "UPDATE meta SET value = value WHERE key = $1 AND value = $2";
    WITHDRAW = "UPDATE keys SET withdrawn_at = $1 WHERE id = $2 AND withdrawn_at IS NULL";
    ADD = "INSERT INTO keys (id, purpose, sealed, created_at, activates_at) SELECT $1, $2, $3, $4, $5 \
        WHERE $6 = (SELECT k.id FROM keys k WHERE k.purpose = $2 ORDER BY k.created_at DESC, k.id DESC LIMIT 1)";
    REWRAP = "UPDATE keys SET sealed = $1 WHERE id = $2 AND sealed = $3";
    // The id of the sealing key stands in the second to the fifth byte of what it sealed.
    MOVE_MASTER = "UPDATE meta SET value = $1 WHERE key = $2 AND value = $3 AND NOT EXISTS \
        (SELECT 1 FROM keys k WHERE k.withdrawn_at IS NULL AND substr(k.sealed, 2, 4) <> $4)";
    META = "SELECT value FROM meta WHERE key = $1";
    REPLACE_META = "UPDATE meta SET value = $1 WHERE key = $2 AND value = $3";
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
            match self.write(Write::new(steps).announcing_keys()).await? {
                Written::Done(_) => Ok(true),
                Written::Missed(0) if expect_none => Ok(false),
                Written::Missed(_) => Err(StoreError::unavailable("a key id is taken by another purpose")),
            }
        })
    }

    fn change_keys(&self, change: KeyChange) -> Answer<'_, bool> {
        Box::pin(async move {
            let mut steps = vec![Step::one(HOLD, params![MASTER_KEY, change.master.to_string()])];
            steps.extend(change.withdraw.iter().map(|id| Step::one(WITHDRAW, params![change.at, *id])));
            steps.extend(change.add.iter().map(add));
            for event in &change.audit {
                audit_events::push(&mut steps, event)?;
            }
            Ok(matches!(self.write(Write::new(steps).announcing_keys()).await?, Written::Done(_)))
        })
    }

    fn rewrap_key(&self, id: KeyId, old: Sealed, new: Sealed) -> Answer<'_, bool> {
        Box::pin(async move {
            let swap = Step::one(REWRAP, params![&new, id, &old]);
            Ok(matches!(self.write(Write::new(vec![swap])).await?, Written::Done(_)))
        })
    }

    fn move_master_key(&self, from: KeyId, to: KeyId, audit: AuditEvent) -> Answer<'_, bool> {
        Box::pin(async move {
            let row = params![to.to_string(), MASTER_KEY, from.to_string(), to];
            let mut steps = vec![Step::one(MOVE_MASTER, row)];
            audit_events::push(&mut steps, &audit)?;
            Ok(matches!(self.write(Write::new(steps).announcing_keys()).await?, Written::Done(_)))
        })
    }

    fn on_keys_changed(&self, listener: KeysListener) {
        self.listen_to_keys(listener);
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

    fn replace_meta<'a>(
        &'a self,
        key: &'a str,
        (from, to): (&'a str, &'a str),
        audit: AuditEvent,
    ) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut steps = vec![Step::one(REPLACE_META, params![to, key, from])];
            audit_events::push(&mut steps, &audit)?;
            Ok(matches!(self.write(Write::new(steps)).await?, Written::Done(_)))
        })
    }
}

/// The step that stores a key.
pub(crate) fn put(key: &KeyRecord) -> Step {
    let row = params![
        key.id,
        key.purpose.as_str(),
        &key.sealed,
        key.created_at,
        key.activates_at,
        key.retired_at,
        key.withdrawn_at,
    ];
    Step::one(PUT, row)
}

fn add(new: &NewKey) -> Step {
    let key = &new.key;
    let row = params![key.id, key.purpose.as_str(), &key.sealed, key.created_at, key.activates_at, new.after];
    Step::one(ADD, row)
}

fn decode(row: Row) -> Result<KeyRecord, StoreError> {
    let mut row = Decoder::new("keys", row);
    Ok(KeyRecord {
        id: row.array("id").map(KeyId::from_bytes)?,
        purpose: row.one_of("purpose", &KeyPurpose::ALL, KeyPurpose::as_str)?,
        sealed: row.bytes("sealed").map(Sealed::from_bytes)?,
        created_at: row.time("created_at")?,
        activates_at: row.time("activates_at")?,
        retired_at: row.opt_time("retired_at")?,
        withdrawn_at: row.opt_time("withdrawn_at")?,
    })
}
