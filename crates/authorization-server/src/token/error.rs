//! Why the token endpoint refuses (RFC 6749, section 5.2; RFC 8707, section 2). One reason for each way to fail;
//! several reasons share a code, so that a client learns nothing that would help a thief.

use protocol::oauth::{ErrorCode, TokenRequestError};
use store::StoreError;
use thiserror::Error;

use crate::access_token::NotSigned;
use crate::blame::Blame;
use crate::client_authentication::{ClientRefusal, NotAuthenticated};
use crate::grants::authorization_code::CodeRefusal;
use crate::grants::client_credentials::ClientCredentialsRefusal;
use crate::grants::device_code::DeviceCodeRefusal;
use crate::grants::id_jag::IdJagRefusal;
use crate::grants::refresh_token::RefreshRefusal;
use crate::grants::token_exchange::ExchangeRefusal;
use crate::grants::workload::WorkloadRefusal;
use crate::proof::ProofRefusal;

/// A refused token request.
#[derive(Debug, Error)]
pub enum TokenError {
    /// Who asks is not who it says.
    #[error("the client is not authenticated: {0}")]
    Client(#[from] NotAuthenticated),
    /// The machine gets no token.
    #[error("the client credentials are refused: {0}")]
    ClientCredentials(#[from] ClientCredentialsRefusal),
    /// The code does not buy a token.
    #[error("the code is refused: {0}")]
    Code(#[from] CodeRefusal),
    /// The row of the code is none of ours, so it buys nothing; asking the person again is the way out (attacks.md,
    /// TK-08).
    #[error("the record of the code cannot be read")]
    CodeCorrupt(#[source] StoreError),
    /// The device code does not buy a token, or not yet.
    #[error("the device code is refused: {0}")]
    DeviceCode(#[from] DeviceCodeRefusal),
    /// The token is not exchanged.
    #[error("the exchange is refused: {0}")]
    Exchange(#[from] ExchangeRefusal),
    /// The client did not register this grant type.
    #[error("the client may not use this grant type")]
    GrantTypeNotRegistered,
    /// The ID-JAG does not buy a token.
    #[error("the id-jag is refused: {0}")]
    IdJag(#[from] IdJagRefusal),
    /// The proof proves nothing.
    #[error("the proof is refused: {0}")]
    Proof(#[from] ProofRefusal),
    /// The refresh token does not buy a token.
    #[error("the refresh token is refused: {0}")]
    Refresh(#[from] RefreshRefusal),
    /// The request cannot be read.
    #[error("the token request is malformed: {0}")]
    Request(#[from] TokenRequestError),
    /// The access token could not be signed.
    #[error("the access token could not be signed")]
    Signing,
    /// The record did not answer.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
    /// The JWT of a workload does not buy a token.
    #[error("the workload is refused: {0}")]
    Workload(#[from] WorkloadRefusal),
}

impl TokenError {
    /// What the client is told.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Client(error) => error.refusal.code(),
            Self::ClientCredentials(refusal) => refusal.code(),
            Self::Code(refusal) => refusal.code(),
            Self::CodeCorrupt(_) => ErrorCode::InvalidGrant,
            Self::DeviceCode(refusal) => refusal.code(),
            Self::Exchange(refusal) => refusal.code(),
            Self::GrantTypeNotRegistered => ErrorCode::UnauthorizedClient,
            Self::IdJag(refusal) => refusal.code(),
            Self::Proof(refusal) => refusal.code(),
            Self::Refresh(refusal) => refusal.code(),
            Self::Request(error) => error.code(),
            Self::Signing => ErrorCode::ServerError,
            Self::Store(error) => crate::error::store_code(error),
            Self::Workload(refusal) => refusal.code(),
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Client(NotAuthenticated { refusal: ClientRefusal::Store(_), .. })
            | Self::CodeCorrupt(_)
            | Self::Proof(ProofRefusal::Store(_))
            | Self::Signing
            | Self::Store(_) => Blame::House,
            Self::IdJag(IdJagRefusal::KeysMissing) | Self::Workload(WorkloadRefusal::KeysMissing) => {
                Blame::Upstream
            }
            Self::Client(_)
            | Self::ClientCredentials(_)
            | Self::Code(_)
            | Self::DeviceCode(_)
            | Self::Exchange(_)
            | Self::GrantTypeNotRegistered
            | Self::IdJag(_)
            | Self::Proof(_)
            | Self::Refresh(_)
            | Self::Request(_)
            | Self::Workload(_) => Blame::Client,
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Client(error) => error.refusal.reason(),
            Self::ClientCredentials(refusal) => refusal.reason(),
            Self::Code(refusal) => refusal.reason(),
            Self::CodeCorrupt(_) => "code_corrupt",
            Self::DeviceCode(refusal) => refusal.reason(),
            Self::Exchange(refusal) => refusal.reason(),
            Self::GrantTypeNotRegistered => "grant_type_not_registered",
            Self::IdJag(refusal) => refusal.reason(),
            Self::Proof(refusal) => refusal.reason(),
            Self::Refresh(refusal) => refusal.reason(),
            Self::Request(error) => match error {
                TokenRequestError::AssertionMissing => "assertion_missing",
                TokenRequestError::ActorTokenHalf => "actor_token_half",
                TokenRequestError::CodeMissing => "code_missing",
                TokenRequestError::DeviceCodeMissing => "device_code_missing",
                TokenRequestError::GrantTypeMissing => "grant_type_missing",
                TokenRequestError::RefreshTokenMissing => "refresh_token_missing",
                TokenRequestError::Repeated => "parameter_repeated",
                TokenRequestError::SubjectTokenMissing => "subject_token_missing",
                TokenRequestError::UnsupportedGrantType => "grant_type_unsupported",
            },
            Self::Signing => "signing",
            Self::Store(_) => "store",
            Self::Workload(refusal) => refusal.reason(),
        }
    }

    /// Whether the 401 is to carry `WWW-Authenticate: Basic` (RFC 6749, section 5.2).
    #[must_use]
    pub const fn basic_tried(&self) -> bool {
        match self {
            Self::Client(error) => error.basic_tried,
            Self::ClientCredentials(_)
            | Self::Code(_)
            | Self::CodeCorrupt(_)
            | Self::DeviceCode(_)
            | Self::Exchange(_)
            | Self::GrantTypeNotRegistered
            | Self::IdJag(_)
            | Self::Proof(_)
            | Self::Refresh(_)
            | Self::Request(_)
            | Self::Signing
            | Self::Store(_)
            | Self::Workload(_) => false,
        }
    }
}

impl From<NotSigned> for TokenError {
    fn from(_: NotSigned) -> Self {
        Self::Signing
    }
}
