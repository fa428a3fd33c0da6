//! The keys: made once on an empty record, opened ever after (product.md, P-15; attacks.md, ST-04), rotated, withdrawn,
//! and sealed anew under another master key while Sekisho runs.
//!
//! Must never make a key over existing data: a wrong or lost master key is an error with a sentence, not a fresh start.
//! The second guard of the same kind is the public URL, which is in every audience (P-23).

mod change;
mod keeper;
mod lifecycle;
mod reseal;
mod restored;

use protocol::jose::{JoseError, SigningKey};
use protocol::keys::{KeyId, KeyRing, Keys, MacKey, MasterKey, NamedKey, OpenError, SealingKey};
use protocol::secret::Secret;
use protocol::world::{Clock, Entropy, Timestamp};
use store::{AuditEvent, AuditKind, KeyPurpose, KeyRecord, Outcome, Store, StoreError};
use thiserror::Error;

pub use change::{Change, Rotated, When};
pub use keeper::{Keeper, KeeperParts, KeeperSettings};
pub use lifecycle::{KeyState, read_for, states};
pub use reseal::{Progress, Resealed, Sealing, sealed_with, under_other_master, unlike_active};
pub use restored::{Restorable, of_backup};

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
    /// Our clock, or that of the record, is wrong.
    #[error(
        "the clock of this machine is {ahead} s ahead of and {behind} s behind that of the database, and {bound} s are \
         the most: set the wrong one right"
    )]
    ClocksApart {
        /// Ours is so many seconds ahead.
        ahead: u64,
        /// Or behind.
        behind: u64,
        /// The most.
        bound: u64,
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
         and the given one has `{given}`; give the former, as `master_key_…` or, to go over to a new one, as \
         `previous_master_key_…`, since without it nothing that is sealed can be opened"
    )]
    OtherMasterKey {
        /// Fingerprint of the given key.
        given: KeyId,
        /// Fingerprint in the record.
        recorded: String,
    },
    /// No such key.
    #[error("there is no key `{0}`; `sekisho keys list` shows all")]
    NoSuchKey(KeyId),
    /// Another public URL.
    #[error(
        "`public_url` is `{given}`, but this record was made for `{recorded}`, which is the issuer and the audience of \
         every token it gave out; set it back, list the former one in `[[former_public_url]]`, or start with an empty \
         record"
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

/// The keys in the record, which are made if it is empty. All of them open with one of the master keys.
///
/// # Errors
/// [`KeysError`] if the master key is another one, or keys are missing or damaged.
pub(crate) async fn load_or_create(
    store: &dyn Store,
    masters: &KeyRing<MasterKey>,
    (clock, entropy): (&dyn Clock, &dyn Entropy),
    rs256: bool,
) -> Result<Vec<KeyRecord>, KeysError> {
    let recorded = fingerprint_of(store, masters).await?;
    let mut records = store.list_keys().await?;
    if records.is_empty() {
        if recorded.is_some() || holds_data(store).await? {
            return Err(KeysError::Gone);
        }
        create(store, masters.active(), clock.now(), entropy).await?;
        // Of several nodes that start at once one was first; all read what it wrote.
        records = store.list_keys().await?;
    }
    for (purpose, is_needed) in [(KeyPurpose::Audit, true), (KeyPurpose::SigningRs256, rs256)] {
        if is_needed && !counts(&records, purpose) {
            add_first(store, &records, (purpose, masters), clock.now(), entropy).await?;
            records = store.list_keys().await?;
        }
    }
    open(masters, &records, clock.now())?;
    if recorded.is_none() {
        let by = records.first().and_then(|record| record.sealed.key_id());
        let by = by.unwrap_or_else(|| masters.active().fingerprint());
        store.put_meta(MASTER_KEY, &by.to_string()).await?;
    }
    Ok(records)
}

/// Whether there is a key of this purpose that was not withdrawn.
fn counts(records: &[KeyRecord], purpose: KeyPurpose) -> bool {
    records.iter().any(|record| record.purpose == purpose && record.withdrawn_at.is_none())
}

/// The first key of a purpose that not every record has a key of: for seals over the audit, in a record from before there were any,
/// and for access tokens by RS256. Of several nodes that start at once each may make one: the last works, and all are read.
async fn add_first(
    store: &dyn Store,
    records: &[KeyRecord],
    (purpose, masters): (KeyPurpose, &KeyRing<MasterKey>),
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(), KeysError> {
    // Sealed under the master key that the record is of, so that every node can open it.
    let by = records.first().and_then(|record| record.sealed.key_id());
    let master = by.and_then(|by| masters.find(by)).unwrap_or_else(|| masters.active());
    let key = mint(purpose, master, (now, now), entropy)?;
    let made = event(&key, AuditKind::KeyCreated, now, entropy);
    store.put_keys(vec![key], false).await?;
    Ok(store.append_audit(vec![made]).await?)
}

/// The keys of a record that has some, for a command beside a running Sekisho. Writes nothing.
///
/// # Errors
/// [`KeysError`] if the master key is another one, or keys are missing or damaged.
pub async fn read(
    store: &dyn Store,
    masters: &KeyRing<MasterKey>,
    clock: &dyn Clock,
) -> Result<Keys, KeysError> {
    fingerprint_of(store, masters).await?;
    open(masters, &store.list_keys().await?, clock.now())
}

/// Makes sure that the record belongs to this public URL, which it remembers from its first start; or from now on, if
/// the one that it remembers is among the `former` ones. Whether it moved.
///
/// # Errors
/// [`KeysError::OtherPublicUrl`] if it belongs to another one.
pub async fn claim_public_url(
    store: &dyn Store,
    public_url: &str,
    former: &[String],
    (clock, entropy): (&dyn Clock, &dyn Entropy),
) -> Result<bool, KeysError> {
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
        return Ok(false);
    }
    if !former.contains(&recorded) {
        return Err(KeysError::OtherPublicUrl { given: public_url.to_owned(), recorded });
    }
    let now = clock.now();
    let id = protocol::id::Id::mint(now, entropy);
    let mut event = AuditEvent::new(id, now, AuditKind::HouseMoved, Outcome::Ok);
    event.detail.insert("from", recorded.clone());
    event.detail.insert("to", public_url.to_owned());
    Ok(store.replace_meta(PUBLIC_URL, (&recorded, public_url), event).await?)
}

/// Tries keys and public URL without writing anything (`sekisho check`), and says in a sentence what was found.
///
/// # Errors
/// [`KeysError`] for whatever would keep the server from starting.
pub async fn examine(
    store: &dyn Store,
    masters: &KeyRing<MasterKey>,
    clock: &dyn Clock,
    public_url: &str,
    former: &[String],
) -> Result<String, KeysError> {
    let recorded = fingerprint_of(store, masters).await?;
    let records = store.list_keys().await?;
    if records.is_empty() && (recorded.is_some() || holds_data(store).await?) {
        return Err(KeysError::Gone);
    }
    if let Some(recorded) = store.meta(PUBLIC_URL).await?
        && recorded != public_url
        && !former.contains(&recorded)
    {
        return Err(KeysError::OtherPublicUrl { given: public_url.to_owned(), recorded });
    }
    if records.is_empty() {
        return Ok("the record is empty; keys will be made at the first start".to_owned());
    }
    open(masters, &records, clock.now())?;
    let master = masters.active().fingerprint();
    let under_other = under_other_master(&records, master);
    let all = records.len();
    Ok(match (under_other, masters.iter().nth(1)) {
        (0, None) => format!("{all} keys, all of which open with the master key `{master}`"),
        (0, Some(_)) if recorded.is_some_and(|recorded| recorded == master.to_string()) => format!(
            "{all} keys, all of which are sealed under the master key `{master}`; the previous one is needed no more"
        ),
        (under_other, _) => format!(
            "{under_other} of {all} keys are still sealed under the previous master key, which is needed until \
             `sekisho keys rotate-master` has sealed them under `{master}`"
        ),
    })
}

/// The fingerprint in the record, if there is one; it must be of one of the given keys.
async fn fingerprint_of(
    store: &dyn Store,
    masters: &KeyRing<MasterKey>,
) -> Result<Option<String>, KeysError> {
    let recorded = store.meta(MASTER_KEY).await?;
    if let Some(recorded) = &recorded
        && recorded_by(masters, recorded).is_none()
    {
        let given = masters.active().fingerprint();
        return Err(KeysError::OtherMasterKey { given, recorded: recorded.clone() });
    }
    Ok(recorded)
}

/// The master key that the record is of, if it is one of the given.
fn recorded_by<'a>(masters: &'a KeyRing<MasterKey>, recorded: &str) -> Option<&'a MasterKey> {
    masters.find(recorded.parse().ok()?)
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
    for purpose in KeyPurpose::ALWAYS {
        records.push(mint(purpose, master, (now, now), entropy)?);
    }
    let made = records.iter().map(|record| event(record, AuditKind::KeyCreated, now, entropy)).collect();
    if store.put_keys(records, true).await? {
        store.append_audit(made).await?;
    }
    Ok(())
}

/// A new key, sealed under this master key; made and working from these moments.
fn mint(
    purpose: KeyPurpose,
    master: &MasterKey,
    (created_at, activates_at): (Timestamp, Timestamp),
    entropy: &dyn Entropy,
) -> Result<KeyRecord, KeysError> {
    let id = KeyId::mint(entropy);
    let sealed = match purpose {
        KeyPurpose::Audit | KeyPurpose::Signing => {
            master.wrap(purpose.as_str(), id, &SigningKey::generate_pkcs8()?, entropy)
        }
        KeyPurpose::SigningRs256 => {
            master.wrap(purpose.as_str(), id, &SigningKey::generate_rsa_pkcs8()?, entropy)
        }
        KeyPurpose::ClientIds | KeyPurpose::Forms | KeyPurpose::RefreshTokens | KeyPurpose::Sealing => {
            // The text of a random secret, hashed: 32 bytes that are wiped with it.
            let material = Secret::random("", entropy).hash();
            master.wrap(purpose.as_str(), id, material.as_bytes(), entropy)
        }
    };
    Ok(KeyRecord { id, purpose, sealed, created_at, activates_at, retired_at: None, withdrawn_at: None })
}

/// What is written down about a key.
fn event(record: &KeyRecord, kind: AuditKind, now: Timestamp, entropy: &dyn Entropy) -> AuditEvent {
    let id = protocol::id::Id::mint(now, entropy);
    let mut event = AuditEvent::new(id, now, kind, Outcome::Ok);
    event.detail.insert("key", record.id.to_string());
    event.detail.insert("purpose", record.purpose.as_str().to_owned());
    event
}

/// The rings of the keys that are read at this time.
fn open(masters: &KeyRing<MasterKey>, records: &[KeyRecord], now: Timestamp) -> Result<Keys, KeysError> {
    let opening = Opening { masters, records, now };
    let signing_key = |id, material: &[u8]| SigningKey::from_pkcs8(id, material).ok();
    let rsa_key = |id, material: &[u8]| SigningKey::from_rsa_pkcs8(id, material).ok();
    let has_audit = records.iter().any(|record| record.purpose == KeyPurpose::Audit);
    let has_rsa = counts(records, KeyPurpose::SigningRs256);
    Ok(Keys {
        audit: has_audit.then(|| opening.ring(KeyPurpose::Audit, signing_key)).transpose()?,
        signing: opening.ring(KeyPurpose::Signing, signing_key)?,
        signing_rs256: has_rsa.then(|| opening.ring(KeyPurpose::SigningRs256, rsa_key)).transpose()?,
        sealing: opening.sealing()?,
        client_ids: opening.ring(KeyPurpose::ClientIds, mac_key)?,
        refresh_tokens: opening.ring(KeyPurpose::RefreshTokens, mac_key)?,
        forms: opening.ring(KeyPurpose::Forms, mac_key)?,
        withdrawn: lifecycle::withdrawn(records),
    })
}

fn mac_key(id: KeyId, material: &[u8]) -> Option<MacKey> {
    Some(MacKey::new(id, material.try_into().ok()?))
}

struct Opening<'a> {
    masters: &'a KeyRing<MasterKey>,
    records: &'a [KeyRecord],
    now: Timestamp,
}

impl Opening<'_> {
    fn sealing(&self) -> Result<KeyRing<SealingKey>, KeysError> {
        self.ring(KeyPurpose::Sealing, |id, material| Some(SealingKey::new(id, material.try_into().ok()?)))
    }

    /// The keys of one purpose: the one that makes, and those that still read or will.
    fn ring<K: NamedKey>(
        &self,
        purpose: KeyPurpose,
        make: impl Fn(KeyId, &[u8]) -> Option<K>,
    ) -> Result<KeyRing<K>, KeysError> {
        let name = purpose.as_str();
        let (mut active, mut others) = (None, Vec::new());
        for (record, state) in states(self.records, purpose, self.now) {
            if !state.is_read() {
                continue;
            }
            let unopened = || KeysError::Unopened { key: record.id, purpose: name };
            let material =
                self.masters.unwrap(name, record.id, &record.sealed).map_err(|error| match error {
                    // A record from before its fingerprint was written down, or one that is between two master keys.
                    OpenError::OtherKey(of) => KeysError::OtherMasterKey {
                        given: self.masters.active().fingerprint(),
                        recorded: of.to_string(),
                    },
                    OpenError::Malformed | OpenError::NotAuthentic => unopened(),
                })?;
            let key = make(record.id, &material).ok_or_else(unopened)?;
            if state == KeyState::Active { active = Some(key) } else { others.push(key) }
        }
        Ok(KeyRing::new(active.ok_or(KeysError::Absent { purpose: name })?, others))
    }
}

#[cfg(test)]
mod tests;
