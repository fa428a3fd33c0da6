//! Our signing key: ES256 (RFC 7518, section 3.4), parsed once.
//!
//! ECDSA draws its own randomness for each signature; that is the one place where chance is not asked for.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Algorithm, JoseError};
use crate::keys::{KeyId, NamedKey};

/// A P-256 key pair with its id.
pub struct SigningKey {
    id: KeyId,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    /// A new key pair, as PKCS #8, to be wrapped and stored.
    ///
    /// # Errors
    /// [`JoseError::Key`] if the machine cannot make one.
    pub fn generate_pkcs8() -> Result<Zeroizing<Vec<u8>>, JoseError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Ok(Zeroizing::new(document.map_err(|_| JoseError::Key)?.as_ref().to_vec()))
    }

    /// The key pair in this PKCS #8 document.
    ///
    /// # Errors
    /// [`JoseError::Key`] if it is not a P-256 key pair.
    pub fn from_pkcs8(id: KeyId, pkcs8: &[u8]) -> Result<Self, JoseError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
        Ok(Self { id, pair: pair.map_err(|_| JoseError::Key)? })
    }

    /// The id of this key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Its `kid`: the id as text.
    #[must_use]
    pub fn kid(&self) -> String {
        self.id.to_string()
    }

    /// The public half as a JWK (RFC 7517, section 4).
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        let (x, y) =
            self.public_point().get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
        json!({
            "kty": "EC",
            "crv": "P-256",
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
            "use": "sig",
            "alg": Algorithm::Es256.as_str(),
            "kid": self.kid(),
        })
    }

    /// Signs the claims in compact form (RFC 7515, section 7.1), with `typ` in the header.
    ///
    /// # Errors
    /// [`JoseError::Claims`] if they are no JSON, [`JoseError::Signing`] if the machine failed.
    pub fn sign(&self, typ: &'static str, claims: &impl Serialize) -> Result<String, JoseError> {
        let header = json!({ "typ": typ, "alg": Algorithm::Es256.as_str(), "kid": self.kid() });
        let claims = serde_json::to_vec(claims).map_err(|_| JoseError::Claims)?;
        let mut token = String::with_capacity(256 + claims.len() * 4 / 3);
        URL_SAFE_NO_PAD.encode_string(header.to_string(), &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.sign_bytes(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    pub(crate) fn sign_bytes(&self, signed: &[u8]) -> Result<impl AsRef<[u8]> + use<>, JoseError> {
        self.pair.sign(&SystemRandom::new(), signed).map_err(|_| JoseError::Signing)
    }

    /// `0x04`, x, y.
    pub(super) fn public_point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }
}

impl NamedKey for SigningKey {
    fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}
