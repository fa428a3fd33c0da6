//! Our signing keys: ES256 (RFC 7518, section 3.4) or RS256 (section 3.3), parsed once.
//!
//! ECDSA draws its own randomness for each signature; that is the one place where chance is not asked for.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Algorithm, JoseError};
use crate::keys::{KeyId, NamedKey};

/// A key pair with its id.
pub struct SigningKey {
    id: KeyId,
    pair: Pair,
}

enum Pair {
    P256(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl SigningKey {
    /// A new P-256 key pair, as PKCS #8, to be wrapped and stored.
    ///
    /// # Errors
    /// [`JoseError::Key`] if the machine cannot make one.
    pub fn generate_pkcs8() -> Result<Zeroizing<Vec<u8>>, JoseError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Ok(Zeroizing::new(document.map_err(|_| JoseError::Key)?.as_ref().to_vec()))
    }

    /// A new RSA key pair of 2048 bits (RFC 7518, section 3.3), the same. A larger one costs three times as much for each token, and
    /// what this signs is over within the hour.
    ///
    /// # Errors
    /// [`JoseError::Key`] if the machine cannot make one.
    pub fn generate_rsa_pkcs8() -> Result<Zeroizing<Vec<u8>>, JoseError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| JoseError::Key)?;
        let document = pair.as_der().map_err(|_| JoseError::Key)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The key pair in this PKCS #8 document, for ES256.
    ///
    /// # Errors
    /// [`JoseError::Key`] if it is not a P-256 key pair.
    pub fn from_pkcs8(id: KeyId, pkcs8: &[u8]) -> Result<Self, JoseError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
        Ok(Self { id, pair: Pair::P256(pair.map_err(|_| JoseError::Key)?) })
    }

    /// The same for RS256.
    ///
    /// # Errors
    /// [`JoseError::Key`] if it is not an RSA key pair.
    pub fn from_rsa_pkcs8(id: KeyId, pkcs8: &[u8]) -> Result<Self, JoseError> {
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| JoseError::Key)?;
        Ok(Self { id, pair: Pair::Rsa(Box::new(pair)) })
    }

    /// The algorithm that it signs by.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::P256(_) => Algorithm::Es256,
            Pair::Rsa(_) => Algorithm::Rs256,
        }
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
        let (alg, kid) = (self.algorithm().as_str(), self.kid());
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::P256(pair) => {
                // `0x04`, x, y.
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
                json!({
                    "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y), "use": "sig", "alg": alg, "kid": kid,
                })
            }
            Pair::Rsa(pair) => {
                let key = pair.public_key();
                let (n, e) = (key.modulus(), key.exponent());
                json!({
                    "kty": "RSA", "n": text(n.big_endian_without_leading_zero()),
                    "e": text(e.big_endian_without_leading_zero()), "use": "sig", "alg": alg, "kid": kid,
                })
            }
        }
    }

    /// Signs the claims in compact form (RFC 7515, section 7.1), with `typ` in the header.
    ///
    /// # Errors
    /// [`JoseError::Claims`] if they are no JSON, [`JoseError::Signing`] if the machine failed.
    pub fn sign(&self, typ: &'static str, claims: &impl Serialize) -> Result<String, JoseError> {
        let header = json!({ "typ": typ, "alg": self.algorithm().as_str(), "kid": self.kid() });
        let claims = serde_json::to_vec(claims).map_err(|_| JoseError::Claims)?;
        let mut token = String::with_capacity(640 + claims.len() * 4 / 3);
        URL_SAFE_NO_PAD.encode_string(header.to_string(), &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.sign_bytes(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    pub(crate) fn sign_bytes(&self, signed: &[u8]) -> Result<Vec<u8>, JoseError> {
        match &self.pair {
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), signed).map_err(|_| JoseError::Signing)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let digest = digest(&SHA256, signed);
                pair.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature)
                    .map_err(|_| JoseError::Signing)?;
                Ok(signature)
            }
        }
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
