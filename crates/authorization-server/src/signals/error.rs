//! Why what an identity provider says, or seems to say, is not done.

use protocol::jose::JoseError;
use protocol::oauth::ErrorCode;
use store::StoreError;
use thiserror::Error;
use upstream::key_sets::KeySetError;

use crate::blame::Blame;

/// A signal that did nothing.
#[derive(Debug, Error)]
pub enum SignalError {
    /// There is no such endpoint: no such provider, or it says nothing of this kind.
    #[error("no identity provider of that name sends such signals")]
    NotOffered,
    /// It is refused.
    #[error("{0}")]
    Refused(#[from] SignalRefusal),
    /// The record did not answer: nothing may have ended, and the provider tries again.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
}

/// Why a signal is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignalRefusal {
    /// It is for somebody else.
    #[error("the signal is for another audience")]
    Audience,
    /// It is no signal of this kind.
    #[error("the token does not say that it is such a signal")]
    Event,
    /// It is over.
    #[error("the signal is over")]
    Expired,
    /// It has no id of its own.
    #[error("the signal does not name itself")]
    IdMissing,
    /// It is of another issuer.
    #[error("the signal is of another issuer")]
    Issuer,
    /// The form, the type, the algorithm, the key or the signature is wrong.
    #[error("{0}")]
    Jose(#[from] JoseError),
    /// The keys of the provider cannot be had.
    #[error("the keys of the identity provider cannot be had")]
    KeysMissing,
    /// It would be good for more than an hour.
    #[error("the signal lives too long")]
    LivesTooLong,
    /// The request cannot be read as one.
    #[error("the request does not carry one signal")]
    Malformed,
    /// It has a nonce, as an ID token has.
    #[error("the token has a nonce")]
    Nonce,
    /// It is not good yet.
    #[error("the signal is from the future")]
    NotYet,
    /// It names somebody in a way that cannot be followed.
    #[error("the subject identifier is of a format that is not known here")]
    SubjectFormat,
    /// It does not say of whom it speaks.
    #[error("the signal names nobody")]
    SubjectMissing,
    /// Nobody says who sends it.
    #[error("the request is not authenticated")]
    Unauthenticated,
}

impl SignalRefusal {
    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Audience => "signal_audience",
            Self::Event => "signal_event",
            Self::Expired => "signal_expired",
            Self::IdMissing => "signal_id_missing",
            Self::Issuer => "signal_issuer",
            Self::Jose(error) => error.reason(),
            Self::KeysMissing => "signal_keys_missing",
            Self::LivesTooLong => "signal_lives_too_long",
            Self::Malformed => "signal_malformed",
            Self::Nonce => "signal_nonce",
            Self::NotYet => "signal_not_yet",
            Self::SubjectFormat => "signal_subject_format",
            Self::SubjectMissing => "signal_subject_missing",
            Self::Unauthenticated => "signal_unauthenticated",
        }
    }

    /// Whether the provider signed what is refused, so that not anybody can have sent it.
    pub(crate) const fn is_signed(self) -> bool {
        match self {
            Self::Jose(_) | Self::KeysMissing | Self::Malformed | Self::Unauthenticated => false,
            Self::Audience
            | Self::Event
            | Self::Expired
            | Self::IdMissing
            | Self::Issuer
            | Self::LivesTooLong
            | Self::Nonce
            | Self::NotYet
            | Self::SubjectFormat
            | Self::SubjectMissing => true,
        }
    }
}

impl From<KeySetError> for SignalRefusal {
    fn from(error: KeySetError) -> Self {
        match error {
            KeySetError::Refused(error) => Self::Jose(error),
            KeySetError::Malformed | KeySetError::Unreachable => Self::KeysMissing,
        }
    }
}

impl SignalError {
    /// What the provider is told. All that is wrong with a signal is one code: nobody learns from it what is configured.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(SignalRefusal::KeysMissing) => ErrorCode::TemporarilyUnavailable,
            Self::NotOffered | Self::Refused(_) => ErrorCode::InvalidRequest,
            Self::Store(error) => crate::error::store_code(error),
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::NotOffered => Blame::Client,
            Self::Refused(SignalRefusal::KeysMissing) => Blame::Upstream,
            Self::Refused(_) => Blame::Client,
            Self::Store(_) => Blame::House,
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotOffered => "signal_not_offered",
            Self::Refused(refusal) => refusal.reason(),
            Self::Store(_) => "store",
        }
    }
}
