//! Why a pushed authorization request is refused: as an OAuth error, with the codes of both endpoints (RFC 9126, section 2.3).

use protocol::oauth::ErrorCode;
use thiserror::Error;

use super::super::{PageReason, RedirectReason};
use crate::blame::Blame;
use crate::client_authentication::{ClientRefusal, NotAuthenticated};
use crate::proof::ProofRefusal;

/// A request that is not taken.
#[derive(Debug, Error)]
pub enum PushError {
    /// Who asks is not who it says.
    #[error("the client is not authenticated: {0}")]
    Client(#[from] NotAuthenticated),
    /// `dpop_jkt` and the proof name two keys (RFC 9449, section 10.1).
    #[error("`dpop_jkt` and the proof name two keys")]
    OtherKey,
    /// The authorization endpoint would show a page.
    #[error("{0}")]
    Page(PageReason),
    /// The proof proves nothing.
    #[error("the proof is refused: {0}")]
    Proof(#[from] ProofRefusal),
    /// The authorization endpoint would send the person back with an error.
    #[error("{0}")]
    Redirect(#[from] RedirectReason),
    /// It names a pushed request itself.
    #[error("`request_uri` is among the parameters")]
    RequestUri,
    /// It is too long for a URL.
    #[error("the request is longer than 8 KiB")]
    TooLarge,
}

impl PushError {
    /// What the client is told.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Client(error) => error.refusal.code(),
            Self::OtherKey => ErrorCode::InvalidDpopProof,
            Self::Page(reason) => reason.code(),
            Self::Proof(refusal) => refusal.code(),
            Self::Redirect(reason) => reason.code(),
            Self::RequestUri | Self::TooLarge => ErrorCode::InvalidRequest,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Client(NotAuthenticated { refusal: ClientRefusal::Store(_), .. })
            | Self::Proof(ProofRefusal::Store(_)) => Blame::House,
            Self::Page(reason) => reason.blame(),
            Self::Client(_)
            | Self::OtherKey
            | Self::Proof(_)
            | Self::Redirect(_)
            | Self::RequestUri
            | Self::TooLarge => Blame::Client,
        }
    }

    /// The reason for log and timeline.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Client(error) => error.refusal.reason(),
            Self::OtherKey => "pushed_key_mismatch",
            Self::Page(reason) => reason.reason(),
            Self::Proof(refusal) => refusal.reason(),
            Self::Redirect(reason) => reason.reason(),
            Self::RequestUri => "pushed_request_uri",
            Self::TooLarge => "pushed_too_large",
        }
    }

    /// Whether the 401 is to carry `WWW-Authenticate: Basic` (RFC 6749, section 5.2).
    #[must_use]
    pub const fn basic_tried(&self) -> bool {
        match self {
            Self::Client(error) => error.basic_tried,
            Self::OtherKey
            | Self::Page(_)
            | Self::Proof(_)
            | Self::Redirect(_)
            | Self::RequestUri
            | Self::TooLarge => false,
        }
    }
}
