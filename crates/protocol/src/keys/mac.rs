//! Marks that only this house can make: HMAC-SHA-256 (RFC 2104) over a label and length-prefixed parts.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::{KEY_BYTES, KeyId, NamedKey, framing};

/// A MAC key.
///
/// The label names what is marked, so that a mark made for one use is never accepted for another.
pub struct MacKey {
    id: KeyId,
    key: hmac::Key,
}

impl MacKey {
    /// The key with this id and material.
    #[must_use]
    pub fn new(id: KeyId, material: &[u8; KEY_BYTES]) -> Self {
        Self { id, key: hmac::Key::new(hmac::HMAC_SHA256, material) }
    }

    /// The id of this key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The mark of these parts under this label.
    #[must_use]
    pub fn mac(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in std::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
            context.update(&framing(part));
            context.update(part);
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }

    /// Whether `mac` is the whole mark of these parts, in constant time. A shortened mark is none.
    #[must_use]
    pub fn verify(&self, label: &str, parts: &[&[u8]], mac: &[u8]) -> bool {
        verify_slices_are_equal(&self.mac(label, parts), mac).is_ok()
    }
}

/// HMAC-SHA-256 (RFC 2104) of somebody else's protocol. What we mark ourselves has a label: [`MacKey::mac`].
#[must_use]
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = [0; 32];
    mac.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref());
    mac
}

impl NamedKey for MacKey {
    fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MacKey({})", self.id)
    }
}
