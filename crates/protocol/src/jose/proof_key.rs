//! A public key by which something is proved that is no token: its JWK, its thumbprint, and whether it made a signature.
//!
//! Must never take a JWK that gives its private key away.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::Algorithm;
use super::dpop::Thumbprint;
use super::jwk::PublicKey;

/// Private members of a JWK (RFC 7518, section 6; RFC 8037, section 2).
const PRIVATE: [&str; 8] = ["d", "dp", "dq", "k", "oth", "p", "q", "qi"];

/// A public key on P-256 or an Ed25519 key.
pub struct ProofKey {
    key: PublicKey,
    algorithm: Algorithm,
    thumbprint: Thumbprint,
}

impl ProofKey {
    /// The key that this JWK holds, if it is a public one of these kinds (RFC 7518, section 6.2; RFC 8037, section 2).
    #[must_use]
    pub fn of_jwk(jwk: &Value) -> Option<Self> {
        if PRIVATE.iter().any(|member| jwk.get(member).is_some()) {
            return None;
        }
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let coordinate =
            |name: &str| -> Option<[u8; 32]> { URL_SAFE_NO_PAD.decode(text(name)?).ok()?.try_into().ok() };
        let x = coordinate("x")?;
        match (text("kty")?, text("crv")?) {
            ("EC", "P-256") => {
                let y = coordinate("y")?;
                let (key, thumbprint) = (PublicKey::of_coordinates(&x, &y), Thumbprint::of_p256(&x, &y));
                Some(Self { key, algorithm: Algorithm::Es256, thumbprint })
            }
            ("OKP", "Ed25519") => {
                let (key, thumbprint) = (PublicKey::of_ed25519(&x), Thumbprint::of_ed25519(&x));
                Some(Self { key, algorithm: Algorithm::EdDsa, thumbprint })
            }
            _ => None,
        }
    }

    /// Its thumbprint (RFC 7638).
    #[must_use]
    pub const fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// Whether it made the signature.
    #[must_use]
    pub fn signed(&self, signed: &str, signature: &[u8]) -> bool {
        self.key.signed(signed, &URL_SAFE_NO_PAD.encode(signature), self.algorithm)
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofKey").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}
