//! Client assertions: a JWT by which a client proves that it holds its key (RFC 7521, section 4.2; RFC 7523, section 2.2, as
//! updated by draft-ietf-oauth-rfc7523bis).
//!
//! Whom it names is read before anything is verified, to find the keys; nothing else of it may be believed until
//! [`ClientAssertion::verify`] has said so. Time, audience and repetition are judged by the caller, who has a clock and a record.

use serde::Deserialize;
use serde_json::Value;

use super::client_metadata::inline_keys;
use super::{ClientId, PresentedError};
use crate::jose::claims::{Audience, present, present_seconds, seconds};
use crate::jose::{Algorithm, Expect, JoseError, VerifyingKeys, claims_of};
use crate::secret::Secret;

/// The one `client_assertion_type` there is (RFC 7523, section 2.2).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a client assertion may be signed with.
pub const ALGORITHMS: &[Algorithm] =
    &[Algorithm::EdDsa, Algorithm::Es256, Algorithm::Ps256, Algorithm::Rs256];

/// Its explicit type (RFC 7523bis, section 4). Assertions that say none, or plain `JWT`, are taken too, as that section
/// advises; one that says it is something else is not (RFC 8725, section 3.11).
const TYPE: &[&str] = &["client-authentication+jwt"];

/// A client assertion that nobody has verified yet.
#[derive(Debug)]
pub struct ClientAssertion {
    client_id: ClientId,
    token: Secret,
}

/// Its claims (RFC 7523, section 3), strictly typed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ClientAssertionClaims {
    /// The client.
    pub iss: String,
    /// The client too.
    pub sub: String,
    /// Whom it was made for.
    pub aud: Audience,
    /// When it ends, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    /// When it was made, in seconds since 1970.
    #[serde(default, deserialize_with = "present_seconds")]
    pub iat: Option<i64>,
    /// Before this it does not count.
    #[serde(default, deserialize_with = "present_seconds")]
    pub nbf: Option<i64>,
    /// Its own id, by which it is used once.
    #[serde(default, deserialize_with = "present")]
    pub jti: Option<String>,
}

impl ClientAssertion {
    /// Reads whom it names.
    ///
    /// # Errors
    /// [`PresentedError::AssertionMalformed`] if it is no JWT that names a client as its subject.
    pub fn parse(text: &str) -> Result<Self, PresentedError> {
        #[derive(Deserialize)]
        struct Named {
            sub: String,
        }
        let named: Named = claims_of(text).ok_or(PresentedError::AssertionMalformed)?;
        let client_id = ClientId::parse(&named.sub).map_err(|_| PresentedError::AssertionMalformed)?;
        Ok(Self { client_id, token: Secret::new(text.to_owned()) })
    }

    /// The client that it names. It proves nothing.
    #[must_use]
    pub const fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// What is expected of one, in this order: the type that such assertions have now, and that of before.
    pub const EXPECTED: [Expect<'static>; 2] =
        [Expect { typ: Some(TYPE), algorithms: ALGORITHMS }, Expect { typ: None, algorithms: ALGORITHMS }];

    /// Lends the token to whoever holds the keys.
    pub fn expose<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        self.token.expose(read)
    }

    /// The claims, if one of these keys signed them.
    ///
    /// # Errors
    /// [`JoseError`], the first that was found.
    pub fn verify(&self, keys: &VerifyingKeys) -> Result<ClientAssertionClaims, JoseError> {
        let verify = |expect| self.token.expose(|token| keys.verify_with_any(token, &expect));
        let [typed, untyped] = Self::EXPECTED;
        match verify(typed) {
            Err(JoseError::Type) => verify(untyped),
            verified => verified,
        }
    }
}

/// The keys of a client, from the JWK set that was given for it: 1 to 20, all public, at least one of them of use.
#[must_use]
pub fn client_keys(jwks: &Value) -> Option<VerifyingKeys> {
    let keys = VerifyingKeys::from_jwks(jwks).ok().filter(|keys| !keys.is_empty())?;
    inline_keys::are_public(jwks).then_some(keys)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::jose::SigningKey;
    use crate::keys::KeyId;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_pkcs8(KeyId::from_bytes([number; 4]), &SigningKey::generate_pkcs8().unwrap())
            .unwrap()
    }

    fn claims() -> Value {
        json!({"iss": "portal", "sub": "portal", "aud": "https://as.example", "exp": 2, "jti": "one"})
    }

    fn of(keys: &[&SigningKey]) -> VerifyingKeys {
        VerifyingKeys::of(keys.iter().copied())
    }

    /// The header exchanged, the signature left.
    fn with_header(token: &str, header: &Value) -> String {
        let rest = token.split_once('.').unwrap().1;
        format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
    }

    #[test]
    fn whom_it_names_is_read_and_then_verified() {
        let own = key(1);
        let token = own.sign("client-authentication+jwt", &claims()).unwrap();
        let assertion = ClientAssertion::parse(&token).unwrap();
        assert_eq!(assertion.client_id().as_str(), "portal");
        assert_eq!(assertion.verify(&of(&[&own])).unwrap().jti.as_deref(), Some("one"));
        assert_eq!(assertion.verify(&of(&[&key(1)])), Err(JoseError::Signature));
        assert_eq!(assertion.verify(&of(&[&key(2)])), Err(JoseError::KeyUnknown));
        assert_eq!(assertion.verify(&of(&[])), Err(JoseError::KeyUnknown));
    }

    /// AS-150.
    #[test]
    fn an_untyped_one_passes_and_one_of_another_type_does_not() {
        let own = key(1);
        for (typ, passes) in
            [("JWT", true), ("client-authentication+jwt", true), ("at+jwt", false), ("dpop+jwt", false)]
        {
            let token = own.sign(typ, &claims()).unwrap();
            let verified = ClientAssertion::parse(&token).unwrap().verify(&of(&[&own]));
            assert_eq!(verified.is_ok(), passes, "{typ}");
        }
    }

    #[test]
    fn without_kid_a_few_keys_are_tried_and_no_more() {
        let sign = |key: &SigningKey| {
            let header = json!({"alg": "ES256", "typ": "JWT"});
            let claims = URL_SAFE_NO_PAD.encode(claims().to_string());
            let signed = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header.to_string()));
            let signature = key.sign_bytes(signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        };
        let keys: Vec<SigningKey> = (1..=5).map(key).collect();
        let token = sign(&keys[3]);
        let assertion = ClientAssertion::parse(&token).unwrap();
        let four: Vec<&SigningKey> = keys[..4].iter().collect();
        assert!(assertion.verify(&of(&four)).is_ok());
        let five: Vec<&SigningKey> = keys.iter().collect();
        assert_eq!(assertion.verify(&of(&five)), Err(JoseError::KeyMissing));
        let others: Vec<&SigningKey> = keys[..3].iter().collect();
        assert_eq!(assertion.verify(&of(&others)), Err(JoseError::Signature));
    }

    /// TK-43.
    #[test]
    fn neither_none_nor_a_mac_nor_a_key_of_its_own_is_believed() {
        let own = key(1);
        let token = own.sign("JWT", &claims()).unwrap();
        let kid = own.kid();
        for header in [
            json!({"alg": "none", "kid": kid}),
            json!({"alg": "HS256", "kid": kid}),
            json!({"alg": "RS256", "kid": kid}),
            json!({"alg": "ES256", "kid": "../../x"}),
            json!({"alg": "ES256", "kid": kid, "jku": "https://evil.example/jwks"}),
            json!({"alg": "ES256", "kid": kid, "jwk": own.public_jwk()}),
            json!({"alg": "ES256", "kid": kid, "crit": ["x"]}),
        ] {
            let assertion = ClientAssertion::parse(&with_header(&token, &header)).unwrap();
            assert!(assertion.verify(&of(&[&own])).is_err(), "{header}");
        }
    }

    #[test]
    fn what_names_nobody_is_malformed() {
        let of = |claims: Value| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims.to_string()));
        for text in [
            String::new(),
            "x".to_owned(),
            "a.b.c".to_owned(),
            of(json!({})),
            of(json!({"sub": 1})),
            of(json!({"sub": "line\nbreak"})),
            of(json!(["portal"])),
            "x".repeat(1 << 20),
        ] {
            assert!(matches!(ClientAssertion::parse(&text), Err(PresentedError::AssertionMalformed)));
        }
    }
}
