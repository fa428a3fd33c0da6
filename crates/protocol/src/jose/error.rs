//! Why a token was refused, or could not be made. For the log: the peer is told `invalid_token` at most.

use thiserror::Error;

/// What is wrong with a token, a key or a key set. It never holds a part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JoseError {
    /// `alg` is not among the expected ones, or not one that the key is for.
    #[error("the algorithm of the token is not an expected one")]
    Algorithm,
    /// The claims are not an object of the expected types.
    #[error("the claims of the token are malformed")]
    Claims,
    /// The header has `crit` (RFC 7515, section 4.1.11): we understand no extension.
    #[error("the token demands an extension")]
    Critical,
    /// The header is not an object of the expected types.
    #[error("the header of the token is malformed")]
    Header,
    /// The signing key is not a P-256 key in PKCS #8.
    #[error("not a signing key")]
    Key,
    /// The header has no `kid`.
    #[error("the token names no key")]
    KeyMissing,
    /// No key has that `kid`. Of a foreign issuer: fetch its keys again, once.
    #[error("the token names an unknown key")]
    KeyUnknown,
    /// The JWK set is not one.
    #[error("not a jwk set")]
    KeySet,
    /// Not three segments of base64url.
    #[error("not a token in compact form")]
    Malformed,
    /// The signature does not hold.
    #[error("the signature of the token does not hold")]
    Signature,
    /// Signing failed.
    #[error("signing failed")]
    Signing,
    /// Beyond 16 KiB.
    #[error("the token is too large")]
    TooLarge,
    /// `typ` is not an expected one (RFC 8725, section 3.11).
    #[error("the token is of another type")]
    Type,
}

impl JoseError {
    /// The reason, for logs, metrics and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Algorithm => "token_algorithm",
            Self::Claims => "token_claims",
            Self::Critical => "token_critical",
            Self::Header => "token_header",
            Self::Key => "signing_key",
            Self::KeyMissing => "token_key_missing",
            Self::KeyUnknown => "token_key_unknown",
            Self::KeySet => "jwk_set",
            Self::Malformed => "token_malformed",
            Self::Signature => "token_signature",
            Self::Signing => "signing",
            Self::TooLarge => "token_too_large",
            Self::Type => "token_type",
        }
    }
}
