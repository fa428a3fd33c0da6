//! The keys of a backup, before anything of it is restored: do they open, is it of this house, and which signing key works
//! from the restore on.
//!
//! The signing keys of the backup are withdrawn by the restore: a token that was good before must not be good after,
//! whatever the clocks said by which it was issued (attacks.md, F-24).

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::keys::{KeyRing, MasterKey};
use protocol::world::{Entropy, Timestamp};
use store::{AuditEvent, AuditKind, KeyPurpose, KeyRecord, Outcome, Revocation, RevocationKind};

use super::{KeysError, MASTER_KEY, PUBLIC_URL, mint, open, recorded_by};
use crate::settings::Lifetimes;

/// A node whose clock goes after ours must find the new key at work too.
const CLOCKS_APART: Duration = Duration::from_secs(5 * 60);

/// What a restore adds to the record.
#[derive(Debug)]
pub struct Restorable {
    /// The signing key that works from now on.
    pub signing: KeyRecord,
    /// The end of every access token.
    pub revocation: Revocation,
    /// What is written down about it.
    pub audit: AuditEvent,
}

/// Looks at the keys and facts of a backup. Nothing is written.
///
/// # Errors
/// [`KeysError`] if it is of another master key or public URL, or its keys are missing or damaged.
pub fn of_backup(
    (meta, keys): (&BTreeMap<String, String>, &[KeyRecord]),
    masters: &KeyRing<MasterKey>,
    (public_url, former): (&str, &[String]),
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Restorable, KeysError> {
    let master = match meta.get(MASTER_KEY) {
        Some(recorded) => recorded_by(masters, recorded).ok_or_else(|| KeysError::OtherMasterKey {
            given: masters.active().fingerprint(),
            recorded: recorded.clone(),
        })?,
        None => masters.active(),
    };
    let is_ours = |recorded: &String| recorded == public_url || former.contains(recorded);
    if let Some(recorded) = meta.get(PUBLIC_URL).filter(|recorded| !is_ours(recorded)) {
        return Err(KeysError::OtherPublicUrl { given: public_url.to_owned(), recorded: recorded.clone() });
    }
    if keys.is_empty() {
        return Err(KeysError::Gone);
    }
    open(masters, keys, now)?;
    let signing = mint(KeyPurpose::Signing, master, (now, now.minus(CLOCKS_APART)), entropy)?;
    let revocation = Revocation {
        kind: RevocationKind::Issuer,
        id: public_url.to_owned(),
        // Not ahead, as that of a grant is: what is issued from now on is good, and a token knows its second only. What
        // was issued in this second before now has a key that is withdrawn.
        not_before: now.minus(Duration::from_secs(1)),
        expires_at: now.plus(Lifetimes::LONGEST_ACCESS_TOKEN + CLOCKS_APART),
    };
    let id = protocol::id::Id::mint(now, entropy);
    let mut audit = AuditEvent::new(id, now, AuditKind::Restored, Outcome::Ok);
    audit.detail.insert("key", signing.id.to_string());
    Ok(Restorable { signing, revocation, audit })
}
