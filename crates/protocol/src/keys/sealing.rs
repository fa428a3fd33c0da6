//! Sealing: AES-256-GCM (NIST SP 800-38D), bound to the place where the sealed thing belongs.
//!
//! The context goes into the associated data, each part with its length before it, together with version and
//! key id: a blob moved to another row, column, person or key does not open (attack ST-02).
//! The nonce is 96 bits of chance; a key must be rotated long before 2^32 seals.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{KEY_BYTES, KeyId, KeyRing, NamedKey, framing};
use crate::secret::Sealed;
use crate::world::Entropy;

/// Why something sealed did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The bytes are of no known form.
    #[error("not a sealed value of a known version")]
    Malformed,
    /// Another key sealed it.
    #[error("sealed with another key ({0})")]
    OtherKey(KeyId),
    /// Changed, or moved from where it belongs.
    #[error("the sealed value was changed or belongs elsewhere")]
    NotAuthentic,
}

/// An AEAD key.
pub struct SealingKey {
    id: KeyId,
    key: LessSafeKey,
}

impl SealingKey {
    /// The key with this id and material.
    ///
    /// # Panics
    /// Never: the material has the length of the algorithm by its type.
    #[must_use]
    #[expect(clippy::expect_used, reason = "32 bytes are what AES-256 takes; the type says so")]
    pub fn new(id: KeyId, material: &[u8; KEY_BYTES]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, material).expect("32 bytes make an AES-256 key");
        Self { id, key: LessSafeKey::new(key) }
    }

    /// The id of this key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Seals for the place that the context names.
    ///
    /// # Panics
    /// Never for what a machine can hold: GCM takes up to 64 GiB at once.
    #[must_use]
    #[expect(clippy::expect_used, reason = "fails only beyond 64 GiB")]
    pub fn seal(&self, context: &[&[u8]], plaintext: &[u8], entropy: &dyn Entropy) -> Sealed {
        let mut nonce = [0; 12];
        entropy.fill(&mut nonce);
        let header = 1 + 4 + nonce.len();
        let mut sealed = Vec::with_capacity(header + plaintext.len() + AES_256_GCM.tag_len());
        sealed.push(Sealed::VERSION);
        sealed.extend_from_slice(self.id.as_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let (_, in_place) = sealed.split_at_mut(header);
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), self.aad(context), in_place)
            .expect("a plaintext in memory is within the limit of GCM");
        sealed.extend_from_slice(tag.as_ref());
        Sealed::from_bytes(sealed)
    }

    /// Opens what was sealed with this key for this context.
    ///
    /// # Errors
    /// [`OpenError`]: unknown form, another key, or not what was sealed for this place.
    pub fn open(&self, context: &[&[u8]], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (key, nonce, ciphertext) = sealed.parts().ok_or(OpenError::Malformed)?;
        if key != self.id {
            return Err(OpenError::OtherKey(key));
        }
        let mut opened = Zeroizing::new(ciphertext.to_vec());
        let length = self
            .key
            .open_in_place(Nonce::assume_unique_for_key(nonce), self.aad(context), opened.as_mut_slice())
            .map_err(|_| OpenError::NotAuthentic)?
            .len();
        opened.truncate(length);
        Ok(opened)
    }

    fn aad(&self, context: &[&[u8]]) -> Aad<Vec<u8>> {
        let mut aad = Vec::with_capacity(64);
        aad.push(Sealed::VERSION);
        aad.extend_from_slice(self.id.as_bytes());
        for part in context {
            aad.extend_from_slice(&framing(part));
            aad.extend_from_slice(part);
        }
        Aad::from(aad)
    }
}

impl KeyRing<SealingKey> {
    /// Opens with the key of the ring that sealed it.
    ///
    /// # Errors
    /// [`OpenError::OtherKey`] if the key is not in the ring, else as [`SealingKey::open`].
    pub fn open(&self, context: &[&[u8]], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let id = sealed.key_id().ok_or(OpenError::Malformed)?;
        self.find(id).ok_or(OpenError::OtherKey(id))?.open(context, sealed)
    }
}

impl NamedKey for SealingKey {
    fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}
