//! Why a sign-in does not go on. A page of our own, since nobody is signed in (OAuth 2.1, section 7.13.2); only what the
//! identity provider itself answers to a person who approved the client is passed on to it.

use protocol::id::Reference;
use protocol::oauth::ErrorCode;
use store::StoreError;
use thiserror::Error;
use upstream::connectors::{ConnectorError, Denial, Malformation, Refusal};

use crate::blame::Blame;
use crate::clients::ResolveError;
use crate::pending::PendingRefusal;

/// A sign-in that does not go on.
#[derive(Debug, Error)]
#[error("{reason}")]
pub struct LoginError {
    /// Why.
    pub reason: LoginReason,
    /// For people to read out.
    pub reference: Reference,
}

impl LoginError {
    /// The code that fits best; it is shown and logged.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.reason.code()
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        self.reason.blame()
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason.reason()
    }
}

/// Reasons why a sign-in does not go on.
#[derive(Debug, Error)]
pub enum LoginReason {
    /// No identity provider is that of people with such an address.
    #[error("no identity provider is configured for the address")]
    AddressUnknown,
    /// It was decided already: the person allowed or refused, perhaps in another tab.
    #[error("the sign-in was already decided")]
    AlreadyDecided,
    /// The callback's parameters make no sense together (RFC 9207, section 2.4).
    #[error("the answer of the identity provider is malformed")]
    CallbackMalformed,
    /// The callback came to a browser that did not start it (product.md, P-10).
    #[error("the answer of the identity provider came to another browser")]
    CallbackUnboundBrowser,
    /// No sign-in waits for this callback: it was used, or it is made up.
    #[error("no sign-in waits for this answer")]
    CallbackUnknown,
    /// The client was stopped in the meantime.
    #[error("the client is blocked")]
    ClientBlocked,
    /// The client, or its redirect URI, is gone.
    #[error("the client is not known here any more")]
    ClientGone,
    /// The callback is another identity provider's (RFC 9700, section 4.4).
    #[error("the answer is of another identity provider")]
    ConnectorMismatch,
    /// There is no such identity provider here.
    #[error("there is no such identity provider")]
    ConnectorUnknown,
    /// The form was not made for this sign-in in this browser.
    #[error("the form is not of this sign-in")]
    CsrfMismatch,
    /// The emergency code is not one, was used, is over, or its person is shut out.
    #[error("the emergency code is not good")]
    EmergencyCodeUnknown,
    /// It took too long.
    #[error("the sign-in took too long")]
    Expired,
    /// The sign-in was started in another browser, or its cookie is gone.
    #[error("the sign-in was started in another browser")]
    OtherBrowser,
    /// The person is stopped here.
    #[error("the person is disabled")]
    PersonDisabled,
    /// What was sealed for the way back does not open: the record was changed from outside, or a key is gone.
    #[error("what was sealed for the way back does not open")]
    SealBroken,
    /// The record did not answer.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
    /// No such sign-in.
    #[error("there is no such sign-in")]
    Unknown,
    /// The identity provider sent something that cannot be trusted.
    #[error("the identity provider's answer cannot be trusted")]
    UpstreamMalformed(Malformation),
    /// The identity provider knows the person, but the person may not come in here.
    #[error("the identity provider does not admit the person here")]
    UpstreamNotAllowed(Denial),
    /// The person, or the identity provider, said no.
    #[error("the identity provider refused")]
    UpstreamRefused(Refusal),
    /// The identity provider did not answer.
    #[error("the identity provider did not answer")]
    UpstreamUnreachable,
}

impl LoginReason {
    /// The code that fits best.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::AddressUnknown
            | Self::AlreadyDecided
            | Self::CallbackMalformed
            | Self::CallbackUnknown
            | Self::ConnectorMismatch
            | Self::ConnectorUnknown
            | Self::Expired
            | Self::Unknown => ErrorCode::InvalidRequest,
            Self::CallbackUnboundBrowser
            | Self::CsrfMismatch
            | Self::EmergencyCodeUnknown
            | Self::OtherBrowser
            | Self::PersonDisabled
            | Self::UpstreamNotAllowed(_)
            | Self::UpstreamRefused(_) => ErrorCode::AccessDenied,
            Self::ClientBlocked | Self::ClientGone => ErrorCode::InvalidClient,
            Self::Store(error) => crate::error::store_code(error),
            Self::SealBroken | Self::UpstreamMalformed(_) => ErrorCode::ServerError,
            Self::UpstreamUnreachable => ErrorCode::TemporarilyUnavailable,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::ClientBlocked | Self::ClientGone => Blame::Client,
            // Our registration at the identity provider is wrong: somebody here must look.
            Self::SealBroken | Self::Store(_) | Self::UpstreamRefused(Refusal::ClientRefused) => Blame::House,
            Self::UpstreamMalformed(_)
            | Self::UpstreamRefused(Refusal::ProviderError)
            | Self::UpstreamUnreachable => Blame::Upstream,
            Self::AddressUnknown
            | Self::AlreadyDecided
            | Self::CallbackMalformed
            | Self::CallbackUnboundBrowser
            | Self::CallbackUnknown
            | Self::ConnectorMismatch
            | Self::ConnectorUnknown
            | Self::CsrfMismatch
            | Self::EmergencyCodeUnknown
            | Self::Expired
            | Self::OtherBrowser
            | Self::PersonDisabled
            | Self::Unknown
            | Self::UpstreamNotAllowed(_)
            | Self::UpstreamRefused(Refusal::AccessDenied | Refusal::CodeRefused | Refusal::UnknownPerson) => {
                Blame::User
            }
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AddressUnknown => "address_unknown",
            Self::AlreadyDecided => "already_decided",
            Self::CallbackMalformed => "callback_malformed",
            Self::CallbackUnboundBrowser => "callback_unbound_browser",
            Self::CallbackUnknown => "callback_unknown",
            Self::ClientBlocked => "client_blocked",
            Self::ClientGone => "client_gone",
            Self::ConnectorMismatch => "connector_mismatch",
            Self::ConnectorUnknown => "connector_unknown",
            Self::CsrfMismatch => "csrf_mismatch",
            Self::EmergencyCodeUnknown => "emergency_code_unknown",
            Self::Expired => "expired",
            Self::OtherBrowser => "other_browser",
            Self::PersonDisabled => "person_disabled",
            Self::SealBroken => "seal_broken",
            Self::Store(_) => "store",
            Self::Unknown => "unknown",
            Self::UpstreamMalformed(malformation) => malformation.reason(),
            Self::UpstreamNotAllowed(denial) => denial.reason(),
            Self::UpstreamRefused(refusal) => refusal.reason(),
            Self::UpstreamUnreachable => ConnectorError::Unreachable.reason(),
        }
    }
}

impl From<PendingRefusal> for LoginReason {
    fn from(refusal: PendingRefusal) -> Self {
        match refusal {
            PendingRefusal::AlreadyDecided => Self::AlreadyDecided,
            PendingRefusal::Expired => Self::Expired,
            PendingRefusal::OtherBrowser => Self::OtherBrowser,
            PendingRefusal::Unknown => Self::Unknown,
        }
    }
}

impl From<ResolveError> for LoginReason {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Blocked => Self::ClientBlocked,
            ResolveError::Store(error) => Self::Store(error),
            // A sign-in under way asks nobody: these are what is left of a rule that changed meanwhile.
            ResolveError::Busy
            | ResolveError::HostRefused
            | ResolveError::NoDocument
            | ResolveError::Unknown
            | ResolveError::Weaker => Self::ClientGone,
        }
    }
}

impl From<ConnectorError> for LoginReason {
    fn from(error: ConnectorError) -> Self {
        match error {
            ConnectorError::Malformed(malformation) => Self::UpstreamMalformed(malformation),
            ConnectorError::NotAllowed(denial) => Self::UpstreamNotAllowed(denial),
            ConnectorError::Refused(refusal) => Self::UpstreamRefused(refusal),
            ConnectorError::Unreachable => Self::UpstreamUnreachable,
        }
    }
}
