//! The keys of the house: to seal ([`SealingKey`]), to mark ([`MacKey`]), to sign
//! ([`SigningKey`]), and the one above them ([`MasterKey`]).
//!
//! Every key has an id that is written into what it makes, so that keys rotate while old work stays readable.
//! No key is ever printed, compared by `==`, or used for two purposes.

mod mac;
mod master;
mod ring;
mod sealing;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub use mac::{MacKey, hmac_sha256};
pub use master::{MasterKey, MasterKeyError};
pub use ring::{KeyRing, NamedKey};
pub use sealing::{OpenError, SealingKey};

use crate::jose::{SigningKey, VerifyingKeys};
use crate::world::Entropy;

/// The id of a key: four bytes of chance, shown as eight hexadecimal digits. Public.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

/// The text is not a key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a key id: expected eight lower-case hexadecimal digits")]
pub struct KeyIdError;

impl KeyId {
    /// A new id.
    #[must_use]
    pub fn mint(entropy: &dyn Entropy) -> Self {
        let mut chance = [0; 4];
        entropy.fill(&mut chance);
        Self(chance)
    }

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The four bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        // `from_str_radix` alone would take a sign and upper case: an id has one spelling.
        let exact = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match u32::from_str_radix(text, 16) {
            Ok(number) if exact => Ok(Self(number.to_be_bytes())),
            Ok(_) | Err(_) => Err(KeyIdError),
        }
    }
}

/// All working keys, one ring for each purpose.
#[derive(Debug)]
pub struct Keys {
    /// Sign seals over the audit (P-18). A record from before there were seals has none until a node starts on it.
    pub audit: Option<KeyRing<SigningKey>>,
    /// Sign access tokens and identity assertions, by ES256.
    pub signing: KeyRing<SigningKey>,
    /// Sign access tokens by RS256, for the MCP servers that are to have such. A record has none until one is.
    pub signing_rs256: Option<KeyRing<SigningKey>>,
    /// Seal what must come back: upstream secrets, sessions.
    pub sealing: KeyRing<SealingKey>,
    /// Mark the metadata written into a client id (RFC 7591, P-4).
    pub client_ids: KeyRing<MacKey>,
    /// Mark refresh tokens (P-3).
    pub refresh_tokens: KeyRing<MacKey>,
    /// Mark the forms of our pages (CSRF).
    pub forms: KeyRing<MacKey>,
    /// Signing keys that were withdrawn: what they signed counts no more, and neither do the streams it opened.
    pub withdrawn: Vec<KeyId>,
}

impl Keys {
    /// The JWK set (RFC 7517, section 5) of the public halves: what stands at `jwks_uri`.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<serde_json::Value> = self.all_signing().map(SigningKey::public_jwk).collect();
        serde_json::json!({ "keys": keys })
    }

    /// The public halves, for verifying what we signed. Make it once for each change of the keys.
    #[must_use]
    pub fn verifying(&self) -> VerifyingKeys {
        VerifyingKeys::of(self.all_signing())
    }

    fn all_signing(&self) -> impl Iterator<Item = &SigningKey> {
        self.signing.iter().chain(self.signing_rs256.iter().flat_map(KeyRing::iter))
    }
}

/// Key material of 32 bytes, kept by [`Zeroizing`](zeroize::Zeroizing) where it is held at all.
const KEY_BYTES: usize = 32;

/// What goes before each part where several are joined: its length, so that `["ab", "c"]` and `["a", "bc"]` differ.
const fn framing(part: &[u8]) -> [u8; 8] {
    (part.len() as u64).to_be_bytes()
}

#[cfg(test)]
mod tests;
