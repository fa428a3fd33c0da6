//! The keys at start: made once on an empty record, opened ever after (product.md, P-15; attacks.md, ST-04).
//!
//! Must never make a key over existing data: a wrong or lost master key is an error with a sentence, not a fresh start.
//! The second guard of the same kind is the public URL, which is in every audience (P-23).

use protocol::jose::{JoseError, SigningKey};
use protocol::keys::{KeyId, KeyRing, Keys, MacKey, MasterKey, NamedKey, OpenError, SealingKey};
use protocol::secret::Secret;
use protocol::world::{Clock, Entropy, Timestamp};
use store::{AuditEvent, AuditKind, KeyPurpose, KeyRecord, Outcome, Store, StoreError};
use thiserror::Error;

/// Where the record keeps the fingerprint of its master key.
const MASTER_KEY: &str = "master_key";
/// Where the record keeps the public URL it was made under.
const PUBLIC_URL: &str = "public_url";

/// Why the keys cannot be had.
#[derive(Debug, Error)]
pub enum KeysError {
    /// A purpose without a key that makes new things.
    #[error("the record has no working key for `{purpose}`; restore the record from a backup")]
    Absent {
        /// The purpose.
        purpose: &'static str,
    },
    /// Keys are gone although there is data.
    #[error("the record holds data but no keys; restore it from a backup, or start with an empty one")]
    Gone,
    /// A signing key could not be made.
    #[error("a signing key could not be made")]
    Jose(#[from] JoseError),
    /// Another master key.
    #[error(
        "the master key is not the one of this record: the record was made with the key of fingerprint `{recorded}`, \
         and the given one has `{given}`; give the former, since without it nothing that is sealed can be opened"
    )]
    OtherMasterKey {
        /// Fingerprint of the given key.
        given: KeyId,
        /// Fingerprint in the record.
        recorded: String,
    },
    /// Another public URL.
    #[error(
        "`public_url` is `{given}`, but this record was made for `{recorded}`, which is the issuer and the audience of \
         every token it gave out; set it back, or start with an empty record"
    )]
    OtherPublicUrl {
        /// The configured one.
        given: String,
        /// The one in the record.
        recorded: String,
    },
    /// The record did not answer.
    #[error("the record did not answer: {0}")]
    Store(#[from] StoreError),
    /// The right master key, but a key that does not open: somebody changed the record.
    #[error("key `{key}` for `{purpose}` does not open with the right master key: the record was damaged")]
    Unopened {
        /// The key.
        key: KeyId,
        /// Its purpose.
        purpose: &'static str,
    },
}

/// All working keys: read from the record, or made if the record is empty.
///
/// # Errors
/// [`KeysError`] if the master key is another one, or keys are missing or damaged.
pub async fn load_or_create(
    store: &dyn Store,
    master: &MasterKey,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Keys, KeysError> {
    let recorded = fingerprint_of(store, master).await?;
    let mut records = store.list_keys().await?;
    if records.is_empty() {
        if recorded.is_some() || holds_data(store).await? {
            return Err(KeysError::Gone);
        }
        create(store, master, clock.now(), entropy).await?;
        // Of several nodes that start at once one was first; all read what it wrote.
        records = store.list_keys().await?;
    }
    let keys = open(master, &records)?;
    if recorded.is_none() {
        store.put_meta(MASTER_KEY, &master.fingerprint().to_string()).await?;
    }
    Ok(keys)
}

/// Makes sure that the record belongs to this public URL, which it remembers from its first start.
///
/// # Errors
/// [`KeysError::OtherPublicUrl`] if it was made for another one.
pub async fn claim_public_url(store: &dyn Store, public_url: &str) -> Result<(), KeysError> {
    let recorded = match store.meta(PUBLIC_URL).await? {
        Some(recorded) => recorded,
        // Written once; of several nodes that start at once one was first, and all read what it wrote. A start over
        // existing data writes nothing, and waits for no disk.
        None => {
            store.put_meta(PUBLIC_URL, public_url).await?;
            store.meta(PUBLIC_URL).await?.unwrap_or_default()
        }
    };
    if recorded == public_url {
        return Ok(());
    }
    Err(KeysError::OtherPublicUrl { given: public_url.to_owned(), recorded })
}

/// Tries keys and public URL without writing anything (`sekisho check`), and says in a sentence what was found.
///
/// # Errors
/// [`KeysError`] for whatever would keep the server from starting.
pub async fn examine(store: &dyn Store, master: &MasterKey, public_url: &str) -> Result<String, KeysError> {
    let recorded = fingerprint_of(store, master).await?;
    let records = store.list_keys().await?;
    if records.is_empty() && (recorded.is_some() || holds_data(store).await?) {
        return Err(KeysError::Gone);
    }
    if let Some(recorded) = store.meta(PUBLIC_URL).await?
        && recorded != public_url
    {
        return Err(KeysError::OtherPublicUrl { given: public_url.to_owned(), recorded });
    }
    if records.is_empty() {
        return Ok("the record is empty; keys will be made at the first start".to_owned());
    }
    open(master, &records)?;
    Ok(format!("{} keys, all of which open with the master key `{}`", records.len(), master.fingerprint()))
}

/// The fingerprint in the record, if there is one; it must be the given one.
async fn fingerprint_of(store: &dyn Store, master: &MasterKey) -> Result<Option<String>, KeysError> {
    let (recorded, given) = (store.meta(MASTER_KEY).await?, master.fingerprint());
    match recorded {
        Some(recorded) if recorded != given.to_string() => Err(KeysError::OtherMasterKey { given, recorded }),
        recorded => Ok(recorded),
    }
}

async fn holds_data(store: &dyn Store) -> Result<bool, StoreError> {
    let counts = store.counts().await?;
    Ok(counts.users + counts.clients + counts.grants + counts.authorizations > 0)
}

async fn create(
    store: &dyn Store,
    master: &MasterKey,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(), KeysError> {
    let mut records = Vec::new();
    for purpose in KeyPurpose::ALL {
        let id = KeyId::mint(entropy);
        let sealed = match purpose {
            KeyPurpose::Signing => master.wrap(purpose.as_str(), id, &SigningKey::generate_pkcs8()?, entropy),
            KeyPurpose::ClientIds | KeyPurpose::Forms | KeyPurpose::RefreshTokens | KeyPurpose::Sealing => {
                // The text of a random secret, hashed: 32 bytes that are wiped with it.
                let material = Secret::random("", entropy).hash();
                master.wrap(purpose.as_str(), id, material.as_bytes(), entropy)
            }
        };
        records.push(KeyRecord {
            id,
            purpose,
            sealed,
            created_at: now,
            retired_at: None,
            withdrawn_at: None,
        });
    }
    let made = records.iter().map(|record| created_event(record, now, entropy)).collect();
    if store.put_keys(records, true).await? {
        store.append_audit(made).await?;
    }
    Ok(())
}

fn created_event(record: &KeyRecord, now: Timestamp, entropy: &dyn Entropy) -> AuditEvent {
    let id = protocol::id::Id::mint(now, entropy);
    let mut event = AuditEvent::new(id, now, AuditKind::KeyCreated, Outcome::Ok);
    event.detail.insert("key", record.id.to_string());
    event.detail.insert("purpose", record.purpose.as_str().to_owned());
    event
}

fn open(master: &MasterKey, records: &[KeyRecord]) -> Result<Keys, KeysError> {
    Ok(Keys {
        signing: ring(master, records, KeyPurpose::Signing, |id, material| {
            SigningKey::from_pkcs8(id, material).ok()
        })?,
        sealing: ring(master, records, KeyPurpose::Sealing, |id, material| {
            Some(SealingKey::new(id, material.try_into().ok()?))
        })?,
        client_ids: ring(master, records, KeyPurpose::ClientIds, mac_key)?,
        refresh_tokens: ring(master, records, KeyPurpose::RefreshTokens, mac_key)?,
        forms: ring(master, records, KeyPurpose::Forms, mac_key)?,
    })
}

fn mac_key(id: KeyId, material: &[u8]) -> Option<MacKey> {
    Some(MacKey::new(id, material.try_into().ok()?))
}

/// The keys of one purpose: the youngest that is not retired makes, the rest that is not withdrawn still reads.
fn ring<K: NamedKey>(
    master: &MasterKey,
    records: &[KeyRecord],
    purpose: KeyPurpose,
    make: impl Fn(KeyId, &[u8]) -> Option<K>,
) -> Result<KeyRing<K>, KeysError> {
    let name = purpose.as_str();
    let (mut active, mut older) = (None, Vec::new());
    let usable = records.iter().filter(|record| record.purpose == purpose && record.withdrawn_at.is_none());
    for record in usable {
        let unopened = || KeysError::Unopened { key: record.id, purpose: name };
        let material = master.unwrap(name, record.id, &record.sealed).map_err(|error| match error {
            // A record from before its fingerprint was written down.
            OpenError::OtherKey(of) => {
                KeysError::OtherMasterKey { given: master.fingerprint(), recorded: of.to_string() }
            }
            OpenError::Malformed | OpenError::NotAuthentic => unopened(),
        })?;
        let key = make(record.id, &material).ok_or_else(unopened)?;
        if record.retired_at.is_some() {
            older.push(key);
        } else {
            older.extend(active.replace(key));
        }
    }
    Ok(KeyRing::new(active.ok_or(KeysError::Absent { purpose: name })?, older))
}

#[cfg(test)]
mod tests;
