//! The thumbprint of a public key (RFC 7638): the one name it has, however its JWK is written.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::secret::Hash;

/// The SHA-256 thumbprint of a public key; `jkt` of a confirmation (RFC 9449, section 6.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

/// The text is no thumbprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a thumbprint: expected 43 characters of base64url")]
pub struct ThumbprintError;

impl Thumbprint {
    /// Of a key on P-256, from its coordinates. "The members MUST be ordered lexicographically" (RFC 7638, section 3), and
    /// they are written anew from the key itself, so that nothing of how it was sent remains.
    pub(in crate::jose) fn of_p256(x: &[u8; 32], y: &[u8; 32]) -> Self {
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Self::of(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#))
    }

    /// Of an Ed25519 key (RFC 8037, section 2 and appendix A.3).
    pub(in crate::jose) fn of_ed25519(x: &[u8; 32]) -> Self {
        Self::of(&format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(x)))
    }

    fn of(canonical: &str) -> Self {
        Self(*Hash::of(canonical.as_bytes()).as_bytes())
    }

    /// The thumbprint that was stored as these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Thumbprint {
    type Err = ThumbprintError;

    fn from_str(text: &str) -> Result<Self, ThumbprintError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ThumbprintError)?;
        bytes.try_into().map(Self).map_err(|_| ThumbprintError)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

impl Serialize for Thumbprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Thumbprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
