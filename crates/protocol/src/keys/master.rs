//! The master key: 32 bytes that wrap all other keys and are themselves stored nowhere in the record.
//!
//! A key to wrap with and a fingerprint are derived from it by HKDF (RFC 5869); the bytes themselves are used
//! for nothing else. A missing master key must never lead to a new one (P-15). While the record goes over from one to
//! another there are two, in a [`KeyRing`].

use std::fmt;

use aws_lc_rs::hkdf;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{KEY_BYTES, KeyId, KeyRing, NamedKey, OpenError, SealingKey};
use crate::secret::{Sealed, Secret};
use crate::world::Entropy;

const SALT: &[u8] = b"sekisho master key, version 1";

/// The text is not a master key. The text is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a master key: expected 32 bytes as base64url, base64 or 64 hexadecimal digits")]
pub struct MasterKeyError;

/// The master key, as far as it is kept: the key derived from it to wrap others with.
pub struct MasterKey {
    wrapping: SealingKey,
}

impl MasterKey {
    /// Reads it from text; white space around it (the line end of a file) is dropped.
    ///
    /// # Errors
    /// [`MasterKeyError`] if it is not 32 bytes in one of the three spellings, or all bytes are the same.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let text = text.trim();
        let bytes = if text.len() == 2 * KEY_BYTES { from_hex(text) } else { from_base64(text) };
        let bytes = bytes.ok_or(MasterKeyError)?;
        // A key of equal bytes is a placeholder somebody forgot, not a key.
        if bytes.iter().all(|byte| Some(byte) == bytes.first()) {
            return Err(MasterKeyError);
        }
        Ok(Self::of(&bytes))
    }

    /// A new one, and its text (base64url) to be put where it is kept.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> (Self, Secret) {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(bytes.as_mut_slice());
        let text = URL_SAFE_NO_PAD.encode(bytes.as_slice());
        (Self::of(&bytes), Secret::new(text))
    }

    /// What tells this master key from another. Derived: it says nothing of the key.
    #[must_use]
    pub const fn fingerprint(&self) -> KeyId {
        self.wrapping.id()
    }

    /// Wraps the material of the key `key`, whose purpose is `purpose`.
    #[must_use]
    pub fn wrap(&self, purpose: &str, key: KeyId, material: &[u8], entropy: &dyn Entropy) -> Sealed {
        self.wrapping.seal(&[purpose.as_bytes(), key.as_bytes()], material, entropy)
    }

    /// The material that was wrapped for this purpose and key.
    ///
    /// # Errors
    /// [`OpenError::OtherKey`] names the fingerprint of the master key that wrapped it, if it was not this one.
    pub fn unwrap(
        &self,
        purpose: &str,
        key: KeyId,
        wrapped: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.wrapping.open(&[purpose.as_bytes(), key.as_bytes()], wrapped)
    }

    fn of(bytes: &[u8; KEY_BYTES]) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(bytes);
        let fingerprint = derive::<4>(&root, b"fingerprint");
        let wrapping = derive::<KEY_BYTES>(&root, b"wrapping key");
        Self { wrapping: SealingKey::new(KeyId::from_bytes(*fingerprint), &wrapping) }
    }
}

impl NamedKey for MasterKey {
    fn id(&self) -> KeyId {
        self.fingerprint()
    }
}

impl KeyRing<MasterKey> {
    /// The material that one of these master keys wrapped for this purpose and key.
    ///
    /// # Errors
    /// [`OpenError::OtherKey`] if it was none of them, else as [`MasterKey::unwrap`].
    pub fn unwrap(
        &self,
        purpose: &str,
        key: KeyId,
        wrapped: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let by = wrapped.key_id().ok_or(OpenError::Malformed)?;
        self.find(by).ok_or(OpenError::OtherKey(by))?.unwrap(purpose, key, wrapped)
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[expect(clippy::expect_used, reason = "HKDF fails only beyond 255 times its hash length")]
fn derive<const N: usize>(root: &hkdf::Prk, info: &[u8]) -> Zeroizing<[u8; N]> {
    let mut derived = Zeroizing::new([0; N]);
    root.expand(&[info], Length(N))
        .and_then(|okm| okm.fill(derived.as_mut_slice()))
        .expect("a few bytes are within the limit of HKDF");
    derived
}

fn from_hex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = *pair else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

fn from_base64(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let decoded = [&URL_SAFE_NO_PAD, &URL_SAFE, &STANDARD, &STANDARD_NO_PAD]
        .into_iter()
        .find_map(|engine| engine.decode(text).ok().map(Zeroizing::new))?;
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    if decoded.len() != KEY_BYTES {
        return None;
    }
    bytes.copy_from_slice(&decoded);
    Some(bytes)
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.fingerprint())
    }
}
