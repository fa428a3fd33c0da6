//! HTTP message signatures (RFC 9421) as a client's proof that it holds a key, in the profile of SEP-2752 (requirements,
//! section 3.3; experimental).
//!
//! Read and judged here as far as no memory is needed: form, parameters, what is covered, time, key, the digest of the body
//! (RFC 9530), and the signature last. Whether a signature was seen before is for whoever keeps `Seen` or a record. Only
//! what the profile needs of RFC 9421 is there: requests, without parameters of components. Must never print a signature.

mod base;
mod digest;
mod key;
mod mode;

use std::time::Duration;

use http::HeaderMap;
use sfv::{Dictionary, InnerList, ListEntry, Parser};
use thiserror::Error;

pub use self::mode::{SignatureMode, SignatureModeError};
use crate::jose::dpop::Thumbprint;
use crate::secret::Hash;
use crate::world::Timestamp;

/// RFC 9421, section 4.1.
const SIGNATURE_INPUT: &str = "signature-input";
/// RFC 9421, section 4.2.
const SIGNATURE: &str = "signature";
/// How old a signature may be, and how far from the future.
const OLDEST: Duration = Duration::from_secs(300);
const AHEAD: Duration = Duration::from_secs(60);
/// 96 bits in base64, and no more than anybody needs.
const NONCE: std::ops::RangeInclusive<usize> = 16..=256;
const TAG: std::ops::RangeInclusive<usize> = 1..=256;
/// What must be covered of every request, and of those that have it.
const COVERED: [&str; 3] = ["@method", "@target-uri", "content-digest"];
const COVERED_IF_THERE: [&str; 2] = ["mcp-protocol-version", "mcp-session-id"];

/// What a client is told of the signature that it must send (RFC 9421, section 5.1).
pub const ACCEPT_SIGNATURE: &str = "sig1=(\"@method\" \"@target-uri\" \"content-digest\" \"mcp-protocol-version\" \"mcp-session-id\");created;nonce;keyid;tag";

/// A request as it was signed.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// Its method.
    pub method: &'a str,
    /// The URLs by which it may have been sent, with their query: one of them.
    pub targets: &'a [&'a str],
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// Its body; empty if it has none.
    pub body: &'a [u8],
}

/// A signature that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageSignature {
    /// The key that made it.
    pub key: Thumbprint,
    /// What makes it one of its kind: its key and its nonce.
    pub id: Hash,
    /// When it was made.
    pub created: Timestamp,
}

/// Why a signature does not hold. It never carries a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// What it covers is not in the request, stands twice, or cannot be covered here.
    #[error("the signature covers something that the request does not have, or that cannot be covered")]
    Component,
    /// `Content-Digest` is missing or not that of the body.
    #[error("the digest is not that of the body")]
    Digest,
    /// There is no key for `keyid`, or none that can be used.
    #[error("there is no key for the signature")]
    Key,
    /// The fields are not what RFC 9421 says, or hold not exactly one signature.
    #[error("the signature is malformed")]
    Malformed,
    /// It does not cover what it must.
    #[error("the signature covers too little")]
    NotCovered,
    /// It is by another key than the one that the access token is bound to.
    #[error("the signature is by another key")]
    OtherKey,
    /// A parameter is missing or unusable.
    #[error("the parameters of the signature are not usable")]
    Parameters,
    /// It does not hold.
    #[error("the signature does not hold")]
    Signature,
    /// It is not from now.
    #[error("the signature is not from now")]
    Time,
}

impl SignatureError {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Component,
        Self::Digest,
        Self::Key,
        Self::Malformed,
        Self::NotCovered,
        Self::OtherKey,
        Self::Parameters,
        Self::Signature,
        Self::Time,
    ];

    /// The reason, for logs, metrics and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Component => "signature_component",
            Self::Digest => "signature_digest",
            Self::Key => "signature_key",
            Self::Malformed => "signature_malformed",
            Self::NotCovered => "signature_covers_too_little",
            Self::OtherKey => "signature_by_another_key",
            Self::Parameters => "signature_parameters",
            Self::Signature => "signature_does_not_hold",
            Self::Time => "signature_not_from_now",
        }
    }
}

impl MessageSignature {
    /// Whether a request claims to be signed.
    #[must_use]
    pub fn is_there(headers: &HeaderMap) -> bool {
        headers.contains_key(SIGNATURE) || headers.contains_key(SIGNATURE_INPUT)
    }

    /// The one signature of a request, if it holds; `bound` is the key that it must be by, if that is known.
    ///
    /// # Errors
    /// [`SignatureError`], the first that was found.
    pub fn verify(
        request: &SignedRequest<'_>,
        bound: Option<&Thumbprint>,
        now: Timestamp,
    ) -> Result<Self, SignatureError> {
        let (input, signature) = present(request.headers)?;
        let parameters = Parameters::read(&input)?;
        parameters.judge_time(now)?;
        let names = base::names(&input)?;
        judge_coverage(&names, request.headers)?;
        if bound.is_some_and(|bound| *bound != parameters.key) {
            return Err(SignatureError::OtherKey);
        }
        digest::judge(request.headers, request.body)?;
        let key = key::find(request.headers, &parameters.key).ok_or(SignatureError::Key)?;
        let signed_params = base::params(&input).ok_or(SignatureError::Malformed)?;
        let mut holds = false;
        for target in request.targets {
            let base = base::build(request, target, &names, &signed_params)?;
            holds |= key.signed(&base, &signature);
        }
        if !holds {
            return Err(SignatureError::Signature);
        }
        let id = [
            b"message signature\0".as_slice(),
            parameters.key.as_bytes().as_slice(),
            parameters.nonce.as_bytes(),
        ];
        let created = Timestamp::from_secs(parameters.created);
        Ok(Self { key: parameters.key, id: Hash::of(&id.concat()), created })
    }

    /// From when on nobody takes it any more.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.created.plus(OLDEST)
    }
}

/// The one member of both fields, under the same label (RFC 9421, section 4).
fn present(headers: &HeaderMap) -> Result<(InnerList, Vec<u8>), SignatureError> {
    let parse = |name| {
        let text = base::field(headers, name).ok_or(SignatureError::Malformed)?;
        Parser::new(&text).parse::<Dictionary>().map_err(|_| SignatureError::Malformed)
    };
    let mut inputs = parse(SIGNATURE_INPUT)?.into_iter();
    let mut signatures = parse(SIGNATURE)?.into_iter();
    let only =
        |one: Option<_>, two: Option<_>| one.filter(|_| two.is_none()).ok_or(SignatureError::Malformed);
    let (label, input) = only(inputs.next(), inputs.next())?;
    let (of, signature) = only(signatures.next(), signatures.next())?;
    match (input, signature) {
        (ListEntry::InnerList(input), ListEntry::Item(signature)) if label == of => {
            let bytes = signature.bare_item.as_byte_sequence().ok_or(SignatureError::Malformed)?;
            Ok((input, bytes.to_vec()))
        }
        (ListEntry::InnerList(_) | ListEntry::Item(_), ListEntry::InnerList(_) | ListEntry::Item(_)) => {
            Err(SignatureError::Malformed)
        }
    }
}

/// The parameters of a signature (RFC 9421, section 2.3). `alg` is not looked at: the key says it.
struct Parameters {
    created: i64,
    expires: Option<i64>,
    key: Thumbprint,
    nonce: String,
}

impl Parameters {
    fn read(input: &InnerList) -> Result<Self, SignatureError> {
        let text = |name: &str| {
            let item = input.params.get(name).and_then(|item| item.as_string());
            item.map(|text| text.as_str()).ok_or(SignatureError::Parameters)
        };
        let seconds = |name: &str| match input.params.get(name) {
            Some(item) => item.as_integer().map(|at| Some(i64::from(at))).ok_or(SignatureError::Parameters),
            None => Ok(None),
        };
        let (nonce, tag) = (text("nonce")?, text("tag")?);
        if !NONCE.contains(&nonce.len()) || !TAG.contains(&tag.len()) {
            return Err(SignatureError::Parameters);
        }
        Ok(Self {
            created: seconds("created")?.ok_or(SignatureError::Parameters)?,
            expires: seconds("expires")?,
            key: text("keyid")?.parse().map_err(|_| SignatureError::Parameters)?,
            nonce: nonce.to_owned(),
        })
    }

    fn judge_time(&self, now: Timestamp) -> Result<(), SignatureError> {
        let created = Timestamp::from_secs(self.created);
        let is_over = self.expires.is_some_and(|expires| Timestamp::from_secs(expires) <= now);
        let is_from_now = created <= now.plus(AHEAD) && now <= created.plus(OLDEST);
        if is_from_now && !is_over { Ok(()) } else { Err(SignatureError::Time) }
    }
}

fn judge_coverage(names: &[&str], headers: &HeaderMap) -> Result<(), SignatureError> {
    let there = COVERED_IF_THERE.into_iter().filter(|name| headers.contains_key(*name));
    let whole = COVERED.into_iter().chain(there).all(|name| names.contains(&name));
    if whole { Ok(()) } else { Err(SignatureError::NotCovered) }
}

#[cfg(test)]
mod tests;
