//! One public key of a JWK set (RFC 7517, 7518, 8037), and the algorithms it may be used with.
//!
//! Keys that we cannot use (symmetric ones, other curves, for encryption, malformed) are passed over, as
//! RFC 7517, section 5 says; they never make the set fail.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use super::Algorithm;

/// A key with its id and the only algorithms it counts for (RFC 8725, section 3.1).
pub(super) struct PublicKey {
    pub(super) kid: String,
    pub(super) algorithms: &'static [Algorithm],
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    /// A key without an id is one that only a token without `kid` can mean.
    #[serde(default)]
    kid: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl PublicKey {
    /// The key that this JWK holds, if it is one that we can verify with.
    pub(super) fn of_jwk(jwk: &Value) -> Option<Self> {
        let jwk = Jwk::deserialize(jwk).ok()?;
        if !jwk.is_for_verifying() {
            return None;
        }
        let (key, of_type) = jwk.key()?;
        let algorithms = match &jwk.alg {
            None => of_type,
            Some(name) => one_of(of_type, Algorithm::parse(name)?)?,
        };
        Some(Self { kid: jwk.kid, algorithms, key })
    }

    /// A P-256 key in its uncompressed form, for ES256.
    pub(super) fn of_p256(kid: String, point: &[u8]) -> Self {
        Self { kid, algorithms: &[Algorithm::Es256], key: DecodingKey::from_ec_der(point) }
    }

    /// A P-256 key by its coordinates, for a signature that names no key.
    pub(super) fn of_coordinates(x: &[u8; 32], y: &[u8; 32]) -> Self {
        let mut point = [0x04; 65];
        let (_, coordinates) = point.split_at_mut(1);
        let (first, second) = coordinates.split_at_mut(32);
        first.copy_from_slice(x);
        second.copy_from_slice(y);
        Self::of_p256(String::new(), &point)
    }

    /// An Ed25519 key, the same.
    pub(super) fn of_ed25519(x: &[u8; 32]) -> Self {
        Self { kid: String::new(), algorithms: &[Algorithm::EdDsa], key: DecodingKey::from_ed_der(x) }
    }

    /// Whether the signature (base64url) holds.
    pub(super) fn signed(&self, signed: &str, signature: &str, algorithm: Algorithm) -> bool {
        let verdict =
            jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.key, algorithm.of_library());
        matches!(verdict, Ok(true))
    }
}

impl Jwk {
    fn is_for_verifying(&self) -> bool {
        let usage = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let operation = self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        usage && operation
    }

    fn key(&self) -> Option<(DecodingKey, &'static [Algorithm])> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => {
                let mut point = vec![0x04];
                point.extend_from_slice(&bytes::<32>(self.x.as_deref()?)?);
                point.extend_from_slice(&bytes::<32>(self.y.as_deref()?)?);
                Some((DecodingKey::from_ec_der(&point), &[Algorithm::Es256]))
            }
            ("OKP", Some("Ed25519")) => {
                let point = bytes::<32>(self.x.as_deref()?)?;
                Some((DecodingKey::from_ed_der(&point), &[Algorithm::EdDsa]))
            }
            ("RSA", _) => {
                let modulus = URL_SAFE_NO_PAD.decode(self.n.as_deref()?).ok()?;
                let exponent = URL_SAFE_NO_PAD.decode(self.e.as_deref()?).ok()?;
                // The library holds to 2048 to 8192 bits; smaller keys would only fail later (RFC 7518, 3.3).
                if !(256..=1025).contains(&modulus.len()) {
                    return None;
                }
                let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
                Some((key, &[Algorithm::Ps256, Algorithm::Rs256]))
            }
            _ => None,
        }
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// The part of the list that is this one.
fn one_of(algorithms: &'static [Algorithm], one: Algorithm) -> Option<&'static [Algorithm]> {
    let place = algorithms.iter().position(|algorithm| *algorithm == one)?;
    algorithms.get(place..=place)
}
