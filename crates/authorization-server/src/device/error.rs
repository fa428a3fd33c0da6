//! Why a device authorization is refused: to the device as an OAuth error (RFC 8628, section 3.1), to the person as a page.

use protocol::id::Reference;
use protocol::oauth::ErrorCode;
use store::StoreError;
use thiserror::Error;

use crate::blame::Blame;
use crate::client_authentication::{ClientRefusal, NotAuthenticated};
use crate::clients::ResolveError;
use crate::grants::target::TargetRefusal;

/// A device that is not helped.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// Who asks is not who it says.
    #[error("the client is not authenticated: {0}")]
    Client(#[from] NotAuthenticated),
    /// The client did not register this grant type.
    #[error("the client may not use this grant type")]
    GrantTypeNotRegistered,
    /// The MCP server does not allow it to this kind of client.
    #[error("the MCP server does not allow device authorization to this kind of client")]
    NotAllowed,
    /// A parameter came more than once.
    #[error("a parameter is repeated")]
    ParameterRepeated,
    /// The record did not answer.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
    /// What is asked for is not there.
    #[error("{0}")]
    Target(#[from] TargetRefusal),
    /// Too many wait already.
    #[error("too many device authorizations wait")]
    TooMany,
}

impl DeviceError {
    /// What the client is told.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Client(error) => error.refusal.code(),
            Self::GrantTypeNotRegistered | Self::NotAllowed => ErrorCode::UnauthorizedClient,
            Self::ParameterRepeated => ErrorCode::InvalidRequest,
            Self::Store(error) => crate::error::store_code(error),
            Self::Target(refusal) => refusal.code(),
            Self::TooMany => ErrorCode::TemporarilyUnavailable,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Client(NotAuthenticated { refusal: ClientRefusal::Store(_), .. }) | Self::Store(_) => {
                Blame::House
            }
            Self::Client(_)
            | Self::GrantTypeNotRegistered
            | Self::NotAllowed
            | Self::ParameterRepeated
            | Self::Target(_)
            | Self::TooMany => Blame::Client,
        }
    }

    /// The reason for log and metric.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Client(error) => error.refusal.reason(),
            Self::GrantTypeNotRegistered => "grant_type_not_registered",
            Self::NotAllowed => "device_flow_not_allowed",
            Self::ParameterRepeated => "parameter_repeated",
            Self::Store(_) => "store",
            Self::Target(refusal) => refusal.reason(),
            Self::TooMany => "too_many_pending",
        }
    }

    /// Whether the 401 is to carry `WWW-Authenticate: Basic` (RFC 6749, section 5.2).
    #[must_use]
    pub const fn basic_tried(&self) -> bool {
        match self {
            Self::Client(error) => error.basic_tried,
            Self::GrantTypeNotRegistered
            | Self::NotAllowed
            | Self::ParameterRepeated
            | Self::Store(_)
            | Self::Target(_)
            | Self::TooMany => false,
        }
    }
}

/// A user code that leads nowhere.
#[derive(Debug, Error)]
#[error("{reason}")]
pub struct DevicePageError {
    /// Why.
    pub reason: DevicePageReason,
    /// For people to read out.
    pub reference: Reference,
}

/// Reasons why a user code leads nowhere.
#[derive(Debug, Error)]
pub enum DevicePageReason {
    /// The client was stopped.
    #[error("the client is blocked")]
    ClientBlocked,
    /// The client is gone, or may not do this any more.
    #[error("the client is not known here any more, or may not do this")]
    ClientGone,
    /// There is no such code: mistyped, over, or made up. One answer for all.
    #[error("there is no such user code")]
    CodeUnknown,
    /// Somebody began with it in another browser, or it was decided.
    #[error("the user code was used")]
    CodeUsed,
    /// The MCP server is gone from the configuration.
    #[error("the MCP server is not here any more")]
    ServerGone,
    /// The record did not answer.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
    /// So many wrong codes came lately, from wherever, that none is looked at.
    #[error("too many wrong user codes came lately")]
    TooManyGuesses,
    /// Too many sign-ins wait.
    #[error("too many sign-ins wait")]
    TooManyPending,
}

impl DevicePageReason {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Store(_) => Blame::House,
            Self::ClientBlocked
            | Self::ClientGone
            | Self::CodeUnknown
            | Self::CodeUsed
            | Self::ServerGone
            | Self::TooManyGuesses
            | Self::TooManyPending => Blame::Client,
        }
    }

    /// The code that fits best; it is logged.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::ClientBlocked | Self::ClientGone => ErrorCode::UnauthorizedClient,
            Self::CodeUnknown | Self::CodeUsed => ErrorCode::InvalidRequest,
            Self::ServerGone => ErrorCode::InvalidTarget,
            Self::Store(error) => crate::error::store_code(error),
            Self::TooManyGuesses | Self::TooManyPending => ErrorCode::TemporarilyUnavailable,
        }
    }

    /// The reason for log and metric.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ClientBlocked => "client_blocked",
            Self::ClientGone => "client_gone",
            Self::CodeUnknown => "user_code_unknown",
            Self::CodeUsed => "user_code_used",
            Self::ServerGone => "server_gone",
            Self::Store(_) => "store",
            Self::TooManyGuesses => "too_many_guesses",
            Self::TooManyPending => "too_many_pending",
        }
    }
}

impl From<ResolveError> for DevicePageReason {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Blocked => Self::ClientBlocked,
            ResolveError::Store(error) => Self::Store(error),
            ResolveError::Busy
            | ResolveError::HostRefused
            | ResolveError::NoDocument
            | ResolveError::Unknown
            | ResolveError::Weaker => Self::ClientGone,
        }
    }
}
