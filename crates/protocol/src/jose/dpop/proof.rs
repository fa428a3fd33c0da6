//! The proof itself: the checks of RFC 9449, section 4.3, in an order in which the signature comes last.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

use super::super::claims::{present, seconds};
use super::super::header::object;
use super::super::jwk::PublicKey;
use super::{ALGORITHMS, Algorithm, Thumbprint, url};
use crate::secret::Hash;
use crate::world::Timestamp;

/// No honest proof is larger; some 500 bytes are usual.
const LONGEST: usize = 4 * 1024;
/// How far `iat` may lie from our time, either way (MCP authorization extension for DPoP; requirements RS-194).
const WINDOW: Duration = Duration::from_secs(5 * 60);

/// What a proof must be for.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The method of the request, exactly.
    pub method: &'a str,
    /// The URLs by which the request may have been sent: one of them.
    pub urls: &'a [&'a str],
    /// Hash of the access token that comes with it; at the token endpoint there is none.
    pub access_token: Option<&'a Hash>,
    /// The key that it must be by, if that is known.
    pub key: Option<&'a Thumbprint>,
    /// What time it is.
    pub now: Timestamp,
}

/// A proof that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DpopProof {
    /// The key that signed it.
    pub key: Thumbprint,
    /// What makes it one of its kind: its key and its `jti`.
    pub id: Hash,
    /// When it was made.
    pub issued_at: Timestamp,
    /// The nonce that it answers, if any; not judged yet.
    pub nonce: Option<String>,
}

/// Why a proof does not hold. It never carries a part of the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProofError {
    /// `alg` is none that counts, or not that of the key.
    #[error("the algorithm of the proof is not one that counts")]
    Algorithm,
    /// A claim is missing, mistyped or repeated.
    #[error("the claims of the proof are malformed")]
    Claims,
    /// The header demands an extension.
    #[error("the proof demands an extension")]
    Critical,
    /// The header is not an object of the expected members.
    #[error("the header of the proof is malformed")]
    Header,
    /// `jwk` is no public key that can be used here.
    #[error("the proof has no key that can be used")]
    Key,
    /// `jwk` holds a private key.
    #[error("the proof gives its private key away")]
    KeyPrivate,
    /// Not three segments of base64url.
    #[error("the proof is not a token in compact form")]
    Malformed,
    /// `htm` is another method.
    #[error("the proof is for another method")]
    Method,
    /// It is by another key than the one the access token or the grant is bound to.
    #[error("the proof is by another key")]
    OtherKey,
    /// The signature does not hold.
    #[error("the signature of the proof does not hold")]
    Signature,
    /// `iat` is too far from now.
    #[error("the proof is not from now")]
    Time,
    /// `ath` is not of the access token.
    #[error("the proof is for another access token")]
    Token,
    /// It is larger than any honest one.
    #[error("the proof is too large")]
    TooLarge,
    /// `typ` is not `dpop+jwt`.
    #[error("the proof is of another type")]
    Type,
    /// `htu` is another URL.
    #[error("the proof is for another url")]
    Url,
}

impl ProofError {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Algorithm,
        Self::Claims,
        Self::Critical,
        Self::Header,
        Self::Key,
        Self::KeyPrivate,
        Self::Malformed,
        Self::Method,
        Self::OtherKey,
        Self::Signature,
        Self::Time,
        Self::Token,
        Self::TooLarge,
        Self::Type,
        Self::Url,
    ];

    /// The reason, for logs, metrics and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Algorithm => "proof_algorithm",
            Self::Claims => "proof_claims",
            Self::Critical => "proof_critical",
            Self::Header => "proof_header",
            Self::Key => "proof_key",
            Self::KeyPrivate => "proof_key_private",
            Self::Malformed => "proof_malformed",
            Self::Method => "proof_of_another_method",
            Self::OtherKey => "proof_by_another_key",
            Self::Signature => "proof_signature",
            Self::Time => "proof_not_from_now",
            Self::Token => "proof_of_another_token",
            Self::TooLarge => "proof_too_large",
            Self::Type => "proof_type",
            Self::Url => "proof_of_another_url",
        }
    }
}

/// RFC 9449, section 4.2. What else stands there is not looked at, `kid` and `x5c` least of all.
#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
}

/// The public members that we use, and every private one there is (RFC 7518, section 6; RFC 8037, section 2), `null` included.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    #[serde(default, deserialize_with = "present")]
    d: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    p: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    q: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    dp: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    dq: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    qi: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    oth: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    k: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    #[serde(deserialize_with = "seconds")]
    iat: i64,
    #[serde(default, deserialize_with = "present")]
    ath: Option<String>,
    #[serde(default, deserialize_with = "present")]
    nonce: Option<String>,
}

impl DpopProof {
    /// The proof that stands in this header, if it holds for this request.
    ///
    /// # Errors
    /// [`ProofError`], the first that was found.
    pub fn verify(text: &str, expected: &Expected<'_>) -> Result<Self, ProofError> {
        if text.len() > LONGEST {
            return Err(ProofError::TooLarge);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(ProofError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(ProofError::Malformed)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| ProofError::Malformed);
        let (header, claims) = (decode(header)?, decode(claims)?);
        let header: Header = object(&header).ok_or(ProofError::Header)?;
        let algorithm = header.algorithm()?;
        let (key, thumbprint) = header.jwk.key(algorithm)?;
        if expected.key.is_some_and(|bound| *bound != thumbprint) {
            return Err(ProofError::OtherKey);
        }
        let claims: Claims = object(&claims).ok_or(ProofError::Claims)?;
        claims.judge(expected)?;
        if !key.signed(signed, signature, algorithm) {
            return Err(ProofError::Signature);
        }
        let mut id = thumbprint.as_bytes().to_vec();
        id.extend_from_slice(claims.jti.as_bytes());
        Ok(Self {
            key: thumbprint,
            id: Hash::of(&id),
            issued_at: Timestamp::from_secs(claims.iat),
            nonce: claims.nonce,
        })
    }

    /// From when on nobody takes it any more.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.issued_at.plus(WINDOW)
    }
}

impl Header {
    fn algorithm(&self) -> Result<Algorithm, ProofError> {
        if self.crit.is_some() {
            return Err(ProofError::Critical);
        }
        // RFC 7515, section 4.1.9: media types ignore case.
        if !self.typ.eq_ignore_ascii_case("dpop+jwt")
            && !self.typ.eq_ignore_ascii_case("application/dpop+jwt")
        {
            return Err(ProofError::Type);
        }
        let algorithm = Algorithm::parse(&self.alg).filter(|algorithm| ALGORITHMS.contains(algorithm));
        algorithm.ok_or(ProofError::Algorithm)
    }
}

impl Jwk {
    fn key(&self, algorithm: Algorithm) -> Result<(PublicKey, Thumbprint), ProofError> {
        let private = [&self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth, &self.k];
        if private.iter().any(|member| member.is_some()) {
            return Err(ProofError::KeyPrivate);
        }
        match (algorithm, self.kty.as_str(), self.crv.as_deref()) {
            (Algorithm::Es256, "EC", Some("P-256")) => {
                let (x, y) = (coordinate(self.x.as_deref())?, coordinate(self.y.as_deref())?);
                Ok((PublicKey::of_coordinates(&x, &y), Thumbprint::of_p256(&x, &y)))
            }
            (Algorithm::EdDsa, "OKP", Some("Ed25519")) if self.y.is_none() => {
                let x = coordinate(self.x.as_deref())?;
                Ok((PublicKey::of_ed25519(&x), Thumbprint::of_ed25519(&x)))
            }
            (Algorithm::EdDsa | Algorithm::Es256 | Algorithm::Ps256 | Algorithm::Rs256, _, _) => {
                Err(ProofError::Key)
            }
        }
    }
}

fn coordinate(text: Option<&str>) -> Result<[u8; 32], ProofError> {
    let bytes = URL_SAFE_NO_PAD.decode(text.ok_or(ProofError::Key)?).map_err(|_| ProofError::Key)?;
    bytes.try_into().map_err(|_| ProofError::Key)
}

impl Claims {
    fn judge(&self, expected: &Expected<'_>) -> Result<(), ProofError> {
        if self.jti.is_empty() {
            return Err(ProofError::Claims);
        }
        // RFC 9110, section 9.1: methods are case-sensitive.
        if self.htm != expected.method {
            return Err(ProofError::Method);
        }
        if !expected.urls.iter().any(|ours| url::is_same(ours, &self.htu)) {
            return Err(ProofError::Url);
        }
        let issued_at = Timestamp::from_secs(self.iat);
        if issued_at > expected.now.plus(WINDOW) || expected.now > issued_at.plus(WINDOW) {
            return Err(ProofError::Time);
        }
        let Some(token) = expected.access_token else { return Ok(()) };
        // Of equal length or unequal: neither is a secret to whoever holds the token.
        let is_of_token =
            self.ath.as_deref().is_some_and(|ath| ath == URL_SAFE_NO_PAD.encode(token.as_bytes()));
        if is_of_token { Ok(()) } else { Err(ProofError::Token) }
    }
}
