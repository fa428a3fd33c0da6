//! A client's key and the proofs that it makes with it (RFC 9449), each part to be spoilt by a test.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::secret::Hash;
use serde_json::{Value, json};

/// A key on P-256.
#[derive(Debug)]
pub struct DpopKey {
    pair: EcdsaKeyPair,
}

impl DpopKey {
    /// A new key.
    pub fn new() -> Result<Self, String> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())
            .map_err(|error| error.to_string())?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).map_err(|error| error.to_string())?;
        Ok(Self { pair })
    }

    /// Its public half.
    pub fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let half = |from: usize| URL_SAFE_NO_PAD.encode(point.get(from..from + 32).unwrap_or_default());
        json!({"kty": "EC", "crv": "P-256", "x": half(1), "y": half(33)})
    }

    /// `jkt`: the members in the order of their names (RFC 7638, section 3).
    pub fn thumbprint(&self) -> String {
        let jwk = self.jwk();
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
        URL_SAFE_NO_PAD.encode(Hash::of(text.as_bytes()).as_bytes())
    }

    /// Signs any header and claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String, String> {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature =
            self.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|error| error.to_string())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Signs any text, as the algorithm writes signatures (RFC 9421, section 3.3.4).
    pub fn sign_text(&self, text: &str) -> Result<Vec<u8>, String> {
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes());
        signature.map(|signature| signature.as_ref().to_vec()).map_err(|error| error.to_string())
    }

    /// Whether the signature of a proof is by this key: the bare verification, for comparison.
    pub fn signed(&self, proof: &str) -> bool {
        let Some((signed, signature)) = proof.rsplit_once('.') else { return false };
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key());
        key.verify(signed.as_bytes(), &signature).is_ok()
    }

    /// The proof with these claims.
    pub fn proof(&self, claims: &Value) -> Result<String, String> {
        self.sign(&json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()}), claims)
    }
}

/// The claims of a proof for a request that is made now; each has an id of its own.
pub fn claims(method: &str, url: &str, iat: i64) -> Value {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let jti = format!("proof {}", NUMBER.fetch_add(1, Ordering::Relaxed));
    json!({"jti": jti, "htm": method, "htu": url, "iat": iat})
}

/// `ath` of an access token (RFC 9449, section 4.2).
pub fn ath(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Hash::of(token.as_bytes()).as_bytes())
}
