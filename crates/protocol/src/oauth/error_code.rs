//! Every error code that is sent, and the one sentence that goes with it (RFC 6749, sections 4.1.2.1 and 5.2).
//!
//! The sentences are fixed: no word of a request is ever echoed in an `error_description`.

use std::fmt;

use serde::{Serialize, Serializer};

/// An error code of OAuth or of one of its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// RFC 6749, section 4.1.2.1.
    AccessDenied,
    /// RFC 8628, section 3.5.
    AuthorizationPending,
    /// OpenID Connect Core 1.0, section 3.1.2.6.
    ConsentRequired,
    /// RFC 8628, section 3.5.
    ExpiredToken,
    /// RFC 6750, section 3.1.
    InsufficientScope,
    /// RFC 6749, section 5.2.
    InvalidClient,
    /// RFC 7591, section 3.2.2.
    InvalidClientMetadata,
    /// RFC 9449, section 5.
    InvalidDpopProof,
    /// RFC 6749, section 5.2.
    InvalidGrant,
    /// RFC 7591, section 3.2.2.
    InvalidRedirectUri,
    /// RFC 6749, section 4.1.2.1.
    InvalidRequest,
    /// RFC 9101, section 7; RFC 9126, section 2.3.
    InvalidRequestUri,
    /// RFC 6749, section 4.1.2.1.
    InvalidScope,
    /// RFC 8707, section 2.
    InvalidTarget,
    /// RFC 6750, section 3.1.
    InvalidToken,
    /// OpenID Connect Core 1.0, section 3.1.2.6.
    LoginRequired,
    /// OpenID Connect Core 1.0, section 3.1.2.6.
    RequestNotSupported,
    /// OpenID Connect Core 1.0, section 3.1.2.6.
    RequestUriNotSupported,
    /// RFC 6749, section 4.1.2.1.
    ServerError,
    /// RFC 8628, section 3.5.
    SlowDown,
    /// RFC 6749, section 4.1.2.1.
    TemporarilyUnavailable,
    /// RFC 6749, section 4.1.2.1.
    UnauthorizedClient,
    /// RFC 6749, section 5.2.
    UnsupportedGrantType,
    /// RFC 6749, section 4.1.2.1.
    UnsupportedResponseType,
    /// RFC 7009, section 2.2.1.
    UnsupportedTokenType,
    /// RFC 9449, section 8.
    UseDpopNonce,
}

impl ErrorCode {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::AccessDenied,
        Self::AuthorizationPending,
        Self::ConsentRequired,
        Self::ExpiredToken,
        Self::InsufficientScope,
        Self::InvalidClient,
        Self::InvalidClientMetadata,
        Self::InvalidDpopProof,
        Self::InvalidGrant,
        Self::InvalidRedirectUri,
        Self::InvalidRequest,
        Self::InvalidRequestUri,
        Self::InvalidScope,
        Self::InvalidTarget,
        Self::InvalidToken,
        Self::LoginRequired,
        Self::RequestNotSupported,
        Self::RequestUriNotSupported,
        Self::ServerError,
        Self::SlowDown,
        Self::TemporarilyUnavailable,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::UnsupportedResponseType,
        Self::UnsupportedTokenType,
        Self::UseDpopNonce,
    ];

    /// The code as it is sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::AuthorizationPending => "authorization_pending",
            Self::ConsentRequired => "consent_required",
            Self::ExpiredToken => "expired_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InvalidClient => "invalid_client",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidToken => "invalid_token",
            Self::LoginRequired => "login_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::ServerError => "server_error",
            Self::SlowDown => "slow_down",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::UseDpopNonce => "use_dpop_nonce",
        }
    }

    /// What is said beside it, in the alphabet of `error_description`: `%x20-21 / %x23-5B / %x5D-7E`.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AccessDenied => "The request was denied.",
            Self::AuthorizationPending => "Nobody has decided yet. Ask again after the interval.",
            Self::ConsentRequired => "The person has to be asked for consent, and the request forbids it.",
            Self::ExpiredToken => "The device code has expired. Begin again.",
            Self::InsufficientScope => "The access token does not have the scope that this call needs.",
            Self::InvalidClient => "The client is unknown, or its authentication failed. Register again.",
            Self::InvalidClientMetadata => "The client metadata is not acceptable.",
            Self::InvalidDpopProof => {
                "The DPoP proof is missing, repeated, malformed, used before, or for another request, key or time."
            }
            Self::InvalidGrant => {
                "The code or refresh token is invalid, expired, already used, or was issued to another client."
            }
            Self::InvalidRedirectUri => {
                "A redirect URI is missing or not acceptable. Use https, or http on the loopback interface."
            }
            Self::InvalidRequest => {
                "The request is malformed: a parameter is missing, repeated, or has a value that is not supported."
            }
            Self::InvalidRequestUri => {
                "The pushed authorization request is unknown, expired, or already used."
            }
            Self::InvalidScope => "The scope is malformed, unknown, or more than was granted.",
            Self::InvalidTarget => {
                "The resource is missing, malformed, unknown, or not the one that was granted."
            }
            Self::InvalidToken => "The access token is invalid, expired or revoked.",
            Self::LoginRequired => "The person has to log in, and the request forbids it.",
            Self::RequestNotSupported => "The request parameter is not supported.",
            Self::RequestUriNotSupported => "The request_uri parameter is not supported.",
            Self::ServerError => "The server met a fault of its own. Try again.",
            Self::SlowDown => "Too many requests. Wait five seconds longer between them.",
            Self::TemporarilyUnavailable => "The server cannot answer at the moment. Try again later.",
            Self::UnauthorizedClient => "The client may not use this grant or ask for access here.",
            Self::UnsupportedGrantType => "The grant type is not supported.",
            Self::UnsupportedResponseType => "The response type is not supported. Use code.",
            Self::UnsupportedTokenType => "This type of token cannot be revoked.",
            Self::UseDpopNonce => "The DPoP proof has to hold the nonce that comes with this answer.",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_code_has_its_own_name_and_sentence() {
        let names: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        let sentences: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.sentence()).collect();
        assert_eq!((names.len(), sentences.len()), (ErrorCode::ALL.len(), ErrorCode::ALL.len()));
    }

    /// RFC 6749, appendix A.7 and A.8.
    #[test]
    fn names_and_sentences_keep_to_the_alphabet_of_the_standard() {
        for code in ErrorCode::ALL {
            let both = [code.as_str(), code.sentence()];
            assert!(
                both.iter()
                    .flat_map(|text| text.bytes())
                    .all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E))
            );
            assert!(code.sentence().ends_with('.'));
        }
    }
}
