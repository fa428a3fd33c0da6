//! Why consent is not asked, or not taken. A page of our own: the client hears of a decision only.

use protocol::id::Reference;
use protocol::oauth::ErrorCode;
use store::StoreError;
use thiserror::Error;

use crate::blame::Blame;
use crate::clients::ResolveError;
use crate::pending::PendingRefusal;

/// Consent that is not asked, or not taken.
#[derive(Debug, Error)]
#[error("{reason}")]
pub struct ConsentError {
    /// Why.
    pub reason: ConsentReason,
    /// For people to read out.
    pub reference: Reference,
}

impl ConsentError {
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

/// Reasons why consent is not asked, or not taken.
#[derive(Debug, Error)]
pub enum ConsentReason {
    /// An administrator must say first whether the client may be used (product.md, P-7).
    #[error("the client waits for an administrator")]
    ApprovalNeeded,
    /// It was decided already: a second press, or another tab.
    #[error("the sign-in was already decided")]
    AlreadyDecided,
    /// The client was stopped in the meantime.
    #[error("the client is blocked")]
    ClientBlocked,
    /// The client, or its redirect URI, is gone.
    #[error("the client is not known here any more")]
    ClientGone,
    /// The client leads outside, and the MCP server is not for such (product.md, P-7).
    #[error("the MCP server is closed to clients that lead outside")]
    ClientOutside,
    /// The form was not made for this sign-in, this browser and this person.
    #[error("the form is not of this sign-in")]
    CsrfMismatch,
    /// It took too long.
    #[error("the sign-in took too long")]
    Expired,
    /// For another time than the page offers.
    #[error("the page offers no such time")]
    LifeUnknown,
    /// Nobody is signed in, or not recently enough for this request: go to the login page.
    #[error("a sign-in is needed first")]
    LoginRequired,
    /// The person is in no group that may use the MCP server.
    #[error("the person is in no group that may use the MCP server")]
    NotAdmitted,
    /// Allowed, but with every scope unticked.
    #[error("nothing was ticked")]
    NothingTicked,
    /// The sign-in was started in another browser, or its cookie is gone.
    #[error("the sign-in was started in another browser")]
    OtherBrowser,
    /// The person is stopped here.
    #[error("the person is disabled")]
    PersonDisabled,
    /// The MCP server is gone from the configuration.
    #[error("the MCP server is not here any more")]
    ServerGone,
    /// What was shown is no longer so: look again.
    #[error("what the page showed has changed")]
    StalePage,
    /// The record did not answer.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
    /// The person waits for too many clients already.
    #[error("the person waits for too many clients")]
    TooManyWaiting,
    /// No such sign-in.
    #[error("there is no such sign-in")]
    Unknown,
}

impl ConsentReason {
    /// The code that fits best.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::AlreadyDecided | Self::Expired | Self::NothingTicked | Self::StalePage | Self::Unknown => {
                ErrorCode::InvalidRequest
            }
            Self::ClientBlocked | Self::ClientGone => ErrorCode::InvalidClient,
            Self::ApprovalNeeded
            | Self::ClientOutside
            | Self::CsrfMismatch
            | Self::LifeUnknown
            | Self::NotAdmitted
            | Self::OtherBrowser
            | Self::PersonDisabled => ErrorCode::AccessDenied,
            Self::LoginRequired => ErrorCode::LoginRequired,
            Self::ServerGone => ErrorCode::InvalidTarget,
            Self::Store(error) => crate::error::store_code(error),
            Self::TooManyWaiting => ErrorCode::TemporarilyUnavailable,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::ClientBlocked | Self::ClientGone => Blame::Client,
            Self::Store(_) => Blame::House,
            Self::AlreadyDecided
            | Self::ApprovalNeeded
            | Self::ClientOutside
            | Self::CsrfMismatch
            | Self::Expired
            | Self::LifeUnknown
            | Self::LoginRequired
            | Self::NotAdmitted
            | Self::NothingTicked
            | Self::OtherBrowser
            | Self::PersonDisabled
            | Self::ServerGone
            | Self::StalePage
            | Self::TooManyWaiting
            | Self::Unknown => Blame::User,
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AlreadyDecided => "already_decided",
            Self::ApprovalNeeded => "approval_needed",
            Self::ClientBlocked => "client_blocked",
            Self::ClientGone => "client_gone",
            Self::ClientOutside => "client_outside",
            Self::CsrfMismatch => "csrf_mismatch",
            Self::Expired => "expired",
            Self::LifeUnknown => "life_unknown",
            Self::LoginRequired => "login_required",
            Self::NotAdmitted => "not_admitted",
            Self::NothingTicked => "nothing_ticked",
            Self::OtherBrowser => "other_browser",
            Self::PersonDisabled => "person_disabled",
            Self::ServerGone => "server_gone",
            Self::StalePage => "stale_page",
            Self::Store(_) => "store",
            Self::TooManyWaiting => "too_many_waiting",
            Self::Unknown => "unknown",
        }
    }
}

impl From<PendingRefusal> for ConsentReason {
    fn from(refusal: PendingRefusal) -> Self {
        match refusal {
            PendingRefusal::AlreadyDecided => Self::AlreadyDecided,
            PendingRefusal::Expired => Self::Expired,
            PendingRefusal::OtherBrowser => Self::OtherBrowser,
            PendingRefusal::Unknown => Self::Unknown,
        }
    }
}

impl From<ResolveError> for ConsentReason {
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
