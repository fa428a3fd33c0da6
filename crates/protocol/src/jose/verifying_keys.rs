//! The one door through which a signed token comes in ([`VerifyingKeys::verify`]).
//!
//! It judges form, `crit`, `typ`, `alg`, `kid` and signature, in that order, and hands out strictly typed claims.
//! It never judges time, issuer or audience, and never fetches a key (RFC 8725; attack ST-14).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::header::{Header, object};
use super::jwk::PublicKey;
use super::{Algorithm, JoseError, SigningKey};

/// No honest token is larger; it bounds what a false one costs.
const MAX_TOKEN: usize = 16 * 1024;
/// No honest key set is larger.
const MAX_KEYS: usize = 64;
/// How many keys are tried for a token that names none: it bounds what a stranger's token costs.
const MAX_TRIED: usize = 4;

/// What a token must be, before its claims are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Expect<'a> {
    /// The types it may say (`at+jwt`), without `application/`. `None`: it says none, or plain `JWT`, as ID tokens
    /// do; so that a token of another type never passes for one.
    pub typ: Option<&'a [&'a str]>,
    /// The algorithms it may be signed with.
    pub algorithms: &'a [Algorithm],
}

/// When a token says of itself that it ends (`exp`, in seconds since 1970), if it says so. Nothing is verified: to be
/// believed against whoever presents it, and never for them.
#[must_use]
pub fn claimed_expiry(token: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    claims_of::<Claims>(token).map(|claims| claims.exp)
}

/// The claims of a token as they stand there. Nothing is verified: good to find out whose keys to verify it by.
pub(crate) fn claims_of<C: DeserializeOwned>(token: &str) -> Option<C> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    object(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?)
}

/// The `typ` that a token says it is of. Nothing is verified: good to find out by which rules to judge it.
pub(crate) fn claimed_type(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Typed {
        typ: String,
    }
    if token.len() > MAX_TOKEN {
        return None;
    }
    object::<Typed>(&URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?).map(|typed| typed.typ)
}

/// A token taken apart, of the expected type and algorithm, and not verified.
struct Read<'a> {
    algorithm: Algorithm,
    claims: Vec<u8>,
    kid: Option<String>,
    signature: &'a str,
    signed: &'a str,
}

impl<'a> Read<'a> {
    fn parse(token: &'a str, expect: &Expect<'_>) -> Result<Self, JoseError> {
        if token.len() > MAX_TOKEN {
            return Err(JoseError::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JoseError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(JoseError::Malformed)?;
        // A second dot in the claims is no base64url: exactly three segments remain.
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| JoseError::Malformed)?;
        let header = Header::parse(&URL_SAFE_NO_PAD.decode(header).map_err(|_| JoseError::Malformed)?)?;
        if !header.is_of_type(expect.typ) {
            return Err(JoseError::Type);
        }
        let algorithm = Algorithm::parse(&header.alg)
            .filter(|algorithm| expect.algorithms.contains(algorithm))
            .ok_or(JoseError::Algorithm)?;
        Ok(Self { algorithm, claims, kid: header.kid, signature, signed })
    }
}

/// Public keys by their `kid`.
#[derive(Default)]
pub struct VerifyingKeys {
    keys: Vec<PublicKey>,
}

impl VerifyingKeys {
    /// The public halves of our own keys.
    pub fn of<'a>(keys: impl Iterator<Item = &'a SigningKey>) -> Self {
        Self { keys: keys.filter_map(|key| PublicKey::of_jwk(&key.public_jwk())).collect() }
    }

    /// The keys of somebody's JWK set that we can use; there may be none.
    ///
    /// # Errors
    /// [`JoseError::KeySet`] if it is no JWK set, or one of more than 64 keys.
    pub fn from_jwks(jwks: &Value) -> Result<Self, JoseError> {
        let keys = jwks.get("keys").and_then(Value::as_array).ok_or(JoseError::KeySet)?;
        if keys.len() > MAX_KEYS {
            return Err(JoseError::KeySet);
        }
        Ok(Self { keys: keys.iter().filter_map(PublicKey::of_jwk).collect() })
    }

    /// Whether a key has this `kid`.
    #[must_use]
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid == kid)
    }

    /// How many usable keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no usable key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The claims of a token that one of these keys signed, and that is what is expected.
    ///
    /// `C` is a struct with a field for each claim that is judged: what is mistyped or stands twice is then an
    /// error. The caller judges `iss`, `aud`, `exp`, `nonce`.
    ///
    /// # Errors
    /// [`JoseError`], the first that was found.
    pub fn verify<C: DeserializeOwned>(&self, token: &str, expect: &Expect<'_>) -> Result<C, JoseError> {
        self.verify_named(token, expect).map(|(_, claims)| claims)
    }

    /// The same, and the `kid` of the key that signed it.
    ///
    /// # Errors
    /// As [`VerifyingKeys::verify`].
    pub fn verify_named<C: DeserializeOwned>(
        &self,
        token: &str,
        expect: &Expect<'_>,
    ) -> Result<(&str, C), JoseError> {
        let read = Read::parse(token, expect)?;
        let key = self.find(read.kid.as_deref().ok_or(JoseError::KeyMissing)?, read.algorithm)?;
        if !key.signed(read.signed, read.signature, read.algorithm) {
            return Err(JoseError::Signature);
        }
        Ok((&key.kid, object(&read.claims).ok_or(JoseError::Claims)?))
    }

    /// The same for a token whose `kid` may be left out: then the keys for its algorithm are tried, if there are only a
    /// few. Of issuers who are known beforehand with few keys; a token that names a key is judged by that key alone.
    ///
    /// # Errors
    /// As [`VerifyingKeys::verify`].
    pub fn verify_with_any<C: DeserializeOwned>(
        &self,
        token: &str,
        expect: &Expect<'_>,
    ) -> Result<C, JoseError> {
        let read = Read::parse(token, expect)?;
        if read.kid.is_some() {
            return self.verify(token, expect);
        }
        let mut keys = self.keys.iter().filter(|key| key.algorithms.contains(&read.algorithm));
        if keys.clone().nth(MAX_TRIED).is_some() {
            return Err(JoseError::KeyMissing);
        }
        if !keys.any(|key| key.signed(read.signed, read.signature, read.algorithm)) {
            return Err(JoseError::Signature);
        }
        object(&read.claims).ok_or(JoseError::Claims)
    }

    /// The key with this id that is for this algorithm. (Keys of two types may share an id: RFC 7517, 4.5.)
    fn find(&self, kid: &str, algorithm: Algorithm) -> Result<&PublicKey, JoseError> {
        let mut named = self.keys.iter().filter(|key| key.kid == kid).peekable();
        if named.peek().is_none() {
            return Err(JoseError::KeyUnknown);
        }
        named.find(|key| key.algorithms.contains(&algorithm)).ok_or(JoseError::Algorithm)
    }
}

#[cfg(test)]
impl VerifyingKeys {
    /// Whether the signature of a token without `kid`, as the RFCs have them, holds by this key.
    pub(super) fn holds(&self, kid: &str, token: &str) -> bool {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let key = self.keys.iter().find(|key| key.kid == kid).unwrap();
        let header = URL_SAFE_NO_PAD.decode(signed.split('.').next().unwrap()).unwrap();
        let algorithm = Algorithm::parse(&Header::parse(&header).unwrap().alg).unwrap();
        key.algorithms.contains(&algorithm) && key.signed(signed, signature, algorithm)
    }
}

impl fmt::Debug for VerifyingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.kid)).finish()
    }
}
