//! Secrets that cannot be printed, cloned or stored ([`Secret`]), and the two forms of them that may be stored:
//! [`Hash`](struct@Hash) (to recognise one) and [`Sealed`] (to get it back).
//!
//! The store takes `Hash` and `Sealed`, nothing else. A `Secret` must never get a `Clone`, `Display` or
//! `Serialize`: each of them is a way into a log or a row.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::keys::KeyId;
use crate::world::Entropy;

/// A secret in its text form, wiped when dropped.
///
/// Its text comes out in two ways: [`Secret::reveal`], which ends it, and [`Secret::expose`], for the moment of a call.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text in.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A new secret: the prefix and 256 bits of chance in base64url (OAuth 2.1, section 7.1.3.4 asks for 128).
    #[must_use]
    pub fn random(prefix: &str, entropy: &dyn Entropy) -> Self {
        let mut chance = Zeroizing::new([0; 32]);
        entropy.fill(chance.as_mut_slice());
        // Room for all of it at once: a text that grows leaves its first letters behind, unwiped.
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + 44));
        text.push_str(prefix);
        URL_SAFE_NO_PAD.encode_string(chance.as_slice(), &mut text);
        Self(text)
    }

    /// The text, for the one who is meant to have it. The wiping is theirs from here.
    #[must_use]
    pub fn reveal(mut self) -> String {
        std::mem::take(&mut *self.0)
    }

    /// Lends the text to one call.
    pub fn expose<R>(&self, use_it: impl FnOnce(&str) -> R) -> R {
        use_it(&self.0)
    }

    /// What may be stored of it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(self.0.as_bytes())
    }

    /// Length of the text in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the two are the same, in a time that tells at most their lengths.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// SHA-256 of a secret with at least 128 bits of chance: enough to recognise it, useless to present it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(hash)
    }

    /// The hash that was stored as these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether the two are the same, in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Hash({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// A sealed secret: version 1, id of the key (4 bytes), nonce (12), ciphertext with its tag.
///
/// Made by [`SealingKey::seal`](crate::keys::SealingKey::seal) alone. Bytes from a row or a peer are wrapped
/// unread; opening is what judges them.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// The one version there is.
    pub(crate) const VERSION: u8 = 1;

    /// Wraps bytes that claim to be sealed.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id of the key that sealed it, if the form is known at all.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        self.parts().map(|(key, _, _)| key)
    }

    /// Key id, nonce, ciphertext with tag.
    pub(crate) fn parts(&self) -> Option<(KeyId, [u8; 12], &[u8])> {
        let (version, rest) = self.0.split_first()?;
        let (key, rest) = rest.split_first_chunk::<4>()?;
        let (nonce, ciphertext) = rest.split_first_chunk::<12>()?;
        (*version == Self::VERSION).then_some((KeyId::from_bytes(*key), *nonce, ciphertext))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::Counting;

    #[test]
    fn a_secret_prints_its_name_only() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "Secret(..)");
    }

    /// AS-167.
    #[test]
    fn a_random_secret_is_its_prefix_and_43_characters() {
        let entropy = Counting::new();
        let secret = Secret::random("ska_", &entropy);
        assert_eq!(secret.len(), 4 + 43);
        assert!(!secret.matches(&Secret::random("ska_", &entropy)));
        let hash = secret.hash();
        let text = secret.reveal();
        assert!(text.starts_with("ska_"));
        assert!(hash.matches(&Hash::of(text.as_bytes())));
    }

    #[test]
    fn secrets_match_when_every_byte_does() {
        let secret = |text: &str| Secret::new(text.to_owned());
        assert!(secret("abc").matches(&secret("abc")));
        assert!(!secret("abc").matches(&secret("abd")));
        assert!(!secret("abc").matches(&secret("abcd")));
        assert!(secret("").is_empty());
        assert_eq!(secret("abc").expose(str::len), 3);
    }

    #[test]
    fn the_hash_is_sha_256_and_shows_four_bytes() {
        let hash = Hash::of(b"abc");
        assert_eq!(format!("{hash:?}"), "Hash(ba7816bf..)");
        assert_eq!(Hash::from_bytes(*hash.as_bytes()), hash);
        assert!(!hash.matches(&Hash::of(b"abd")));
    }

    #[test]
    fn bytes_that_are_not_sealed_have_no_key_id() {
        assert_eq!(Sealed::from_bytes(Vec::new()).key_id(), None);
        assert_eq!(Sealed::from_bytes(vec![1; 16]).key_id(), None);
        assert_eq!(Sealed::from_bytes(vec![2; 60]).key_id(), None);
        assert_eq!(Sealed::from_bytes(vec![1; 17]).key_id(), Some(KeyId::from_bytes([1; 4])));
    }
}
