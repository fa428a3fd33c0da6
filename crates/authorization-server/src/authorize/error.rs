//! Why a request to the authorization endpoint is refused, before and after the redirect URI is trusted
//! (RFC 6749, section 4.1.2.1). The two are different variants with different reasons, so that a reason of the first
//! kind cannot become a redirect.

use protocol::id::Reference;
use protocol::oauth::{ErrorCode, VerifiedRedirectUri};
use store::StoreError;
use thiserror::Error;

use crate::blame::Blame;
use crate::clients::ResolveError;

/// A refused request.
#[derive(Debug, Error)]
pub enum AuthorizeError {
    /// Tell the person, on our own page: there is no redirect URI that may be trusted, or nobody to be sent away.
    #[error("{reason}")]
    Page {
        /// Why.
        reason: PageReason,
        /// For people to read out.
        reference: Reference,
    },
    /// Tell the client, through the redirect URI that was verified.
    #[error("{reason}")]
    Redirect {
        /// The person acts first: show a page with a link. So for a client that registered itself with a remote
        /// redirect URI, whom nobody vouches for; the endpoint would be an open redirector otherwise
        /// (RFC 9700, section 4.11.2).
        act_first: bool,
        /// Why.
        reason: RedirectReason,
        /// For people to read out.
        reference: Reference,
        /// The client's `state`, to be returned as it came.
        state: Option<String>,
        /// Where to.
        to: Box<VerifiedRedirectUri>,
    },
}

impl AuthorizeError {
    /// What the client is told.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Page { reason, .. } => reason.code(),
            Self::Redirect { reason, .. } => reason.code(),
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Page { reason, .. } => reason.blame(),
            Self::Redirect { reason, .. } => reason.blame(),
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Page { reason, .. } => reason.reason(),
            Self::Redirect { reason, .. } => reason.reason(),
        }
    }

    /// The reference of the sign-in.
    #[must_use]
    pub const fn reference(&self) -> &Reference {
        match self {
            Self::Page { reference, .. } | Self::Redirect { reference, .. } => reference,
        }
    }
}

/// Reasons for a page of our own.
#[derive(Debug, Error)]
pub enum PageReason {
    /// The client was stopped.
    #[error("the client is blocked")]
    ClientBlocked,
    /// The client leads outside, and the MCP server is not for such (product.md, P-7).
    #[error("the MCP server is closed to clients that lead outside")]
    ClientOutside,
    /// There is no metadata document of the client that could be fetched and believed. Why is in the log alone.
    #[error("there is no metadata document of the client")]
    ClientDocument,
    /// Too many metadata documents are being fetched. Trying again later helps.
    #[error("too many metadata documents are being fetched")]
    ClientDocumentBusy,
    /// The host of the client is not on the list of those whose documents are read.
    #[error("no metadata documents are read from the host of the client")]
    ClientHostRefused,
    /// `client_id` is missing.
    #[error("`client_id` is missing")]
    ClientIdMissing,
    /// `client_id` came more than once.
    #[error("`client_id` is repeated")]
    ClientIdRepeated,
    /// No such client. Connecting again registers it again.
    #[error("the client is not known here")]
    ClientUnknown,
    /// The metadata document asks for less proof of who the client is than the one that people consented to.
    #[error("the metadata document weakens how the client authenticates")]
    ClientWeaker,
    /// `redirect_uri` is missing and the client has several.
    #[error("`redirect_uri` is missing")]
    RedirectUriMissing,
    /// `redirect_uri` came more than once.
    #[error("`redirect_uri` is repeated")]
    RedirectUriRepeated,
    /// `redirect_uri` is none of the client's.
    #[error("`redirect_uri` is not one that the client registered")]
    RedirectUriUnknown,
    /// The pushed request is over (RFC 9126, section 2.2).
    #[error("the pushed request is over")]
    RequestUriExpired,
    /// No such request was pushed, or another client pushed it (RFC 9126, section 4).
    #[error("there is no such pushed request of this client")]
    RequestUriUnknown,
    /// The pushed request was used before (RFC 9126, section 7.3).
    #[error("the pushed request was used before")]
    RequestUriUsed,
    /// `state` is too long to be returned as it came; it is never cut.
    #[error("`state` is longer than 8 KiB")]
    StateTooLong,
    /// The record did not answer.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
    /// Too many sign-ins are pending, here or from this address. Trying again later helps.
    #[error("too many sign-ins are pending")]
    TooManyPending,
}

impl PageReason {
    /// The code that fits best; it is shown and logged, never sent to a client.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::ClientBlocked
            | Self::ClientDocument
            | Self::ClientHostRefused
            | Self::ClientUnknown
            | Self::ClientWeaker => ErrorCode::InvalidClient,
            Self::ClientOutside => ErrorCode::AccessDenied,
            Self::ClientIdMissing
            | Self::ClientIdRepeated
            | Self::RedirectUriMissing
            | Self::RedirectUriRepeated
            | Self::RedirectUriUnknown
            | Self::StateTooLong => ErrorCode::InvalidRequest,
            Self::RequestUriExpired | Self::RequestUriUnknown | Self::RequestUriUsed => {
                ErrorCode::InvalidRequestUri
            }
            Self::Store(error) => crate::error::store_code(error),
            Self::ClientDocumentBusy | Self::TooManyPending => ErrorCode::TemporarilyUnavailable,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::ClientBlocked
            | Self::ClientOutside
            | Self::ClientDocument
            | Self::ClientDocumentBusy
            | Self::ClientHostRefused
            | Self::ClientIdMissing
            | Self::ClientIdRepeated
            | Self::ClientUnknown
            | Self::ClientWeaker
            | Self::RedirectUriMissing
            | Self::RedirectUriRepeated
            | Self::RedirectUriUnknown
            | Self::RequestUriExpired
            | Self::RequestUriUnknown
            | Self::RequestUriUsed
            | Self::StateTooLong
            | Self::TooManyPending => Blame::Client,
            Self::Store(_) => Blame::House,
        }
    }

    /// The reason for log and metric.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ClientBlocked => "client_blocked",
            Self::ClientOutside => "client_outside",
            Self::ClientDocument => "client_document",
            Self::ClientDocumentBusy => "client_document_busy",
            Self::ClientHostRefused => "client_host_refused",
            Self::ClientIdMissing => "client_id_missing",
            Self::ClientIdRepeated => "client_id_repeated",
            Self::ClientUnknown => "client_unknown",
            Self::ClientWeaker => "client_weaker",
            Self::RedirectUriMissing => "redirect_uri_missing",
            Self::RedirectUriRepeated => "redirect_uri_repeated",
            Self::RedirectUriUnknown => "redirect_uri_unknown",
            Self::RequestUriExpired => "request_uri_expired",
            Self::RequestUriUnknown => "request_uri_unknown",
            Self::RequestUriUsed => "request_uri_used",
            Self::StateTooLong => "state_too_long",
            Self::Store(_) => "store",
            Self::TooManyPending => "too_many_pending",
        }
    }
}

impl From<ResolveError> for PageReason {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Blocked => Self::ClientBlocked,
            ResolveError::Busy => Self::ClientDocumentBusy,
            ResolveError::HostRefused => Self::ClientHostRefused,
            ResolveError::NoDocument => Self::ClientDocument,
            ResolveError::Store(error) => Self::Store(error),
            ResolveError::Unknown => Self::ClientUnknown,
            ResolveError::Weaker => Self::ClientWeaker,
        }
    }
}

/// Reasons that go to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RedirectReason {
    /// PKCE's challenge or method is malformed, or the method is not S256 (OAuth 2.1, section 4.1.1).
    #[error("`code_challenge` or its method cannot be used")]
    CodeChallengeMalformed,
    /// No PKCE (OAuth 2.1, section 7.5.1).
    #[error("`code_challenge` is missing")]
    CodeChallengeMissing,
    /// `prompt=none`, but a person must decide here (OpenID Connect Core, section 3.1.2.6).
    #[error("consent must be asked, and `prompt=none` forbids it")]
    ConsentRequired,
    /// `dpop_jkt` is no thumbprint (RFC 9449, section 10).
    #[error("`dpop_jkt` is not a thumbprint")]
    DpopJktMalformed,
    /// The client registered no `authorization_code` grant.
    #[error("the client may not use the authorization code grant")]
    GrantTypeNotRegistered,
    /// `prompt=none`, but nobody is signed in, or not recently enough.
    #[error("a sign-in must be asked, and `prompt=none` forbids it")]
    LoginRequired,
    /// `max_age` is no number of seconds.
    #[error("`max_age` is not a number of seconds")]
    MaxAgeMalformed,
    /// The client's requests must be pushed (RFC 9126, sections 5 and 6).
    #[error("the request was not pushed, and must be")]
    NotPushed,
    /// A parameter came more than once (OAuth 2.1, section 3.1).
    #[error("a parameter is repeated")]
    ParameterRepeated,
    /// `prompt` joins `none` with something else.
    #[error("`prompt` joins `none` with another value")]
    PromptMalformed,
    /// `request` (OpenID Connect Core, section 6) is not offered.
    #[error("`request` is not supported")]
    RequestNotSupported,
    /// `request_uri` (OpenID Connect Core, section 6) that is none of a pushed request is not offered, and never fetched.
    #[error("`request_uri` is not supported")]
    RequestUriNotSupported,
    /// No `resource`, and no MCP server is the default (RFC 8707, section 2).
    #[error("`resource` is missing and there is no default")]
    ResourceMissing,
    /// Two different resources: a token has one audience (product.md, P-1).
    #[error("`resource` names more than one MCP server")]
    ResourceSeveral,
    /// No MCP server has this resource identifier, or it is none at all.
    #[error("`resource` names no MCP server here")]
    ResourceUnknown,
    /// `response_mode` other than `query`.
    #[error("`response_mode` is not supported")]
    ResponseModeUnsupported,
    /// `response_type` is missing.
    #[error("`response_type` is missing")]
    ResponseTypeMissing,
    /// `response_type` other than `code`.
    #[error("`response_type` is not supported")]
    ResponseTypeUnsupported,
    /// `scope` breaks the grammar (RFC 6749, section 3.3).
    #[error("`scope` is malformed")]
    ScopeMalformed,
    /// Nothing of `scope` is known to this MCP server.
    #[error("`scope` names nothing that the MCP server knows")]
    ScopeUnknown,
}

impl RedirectReason {
    /// What the client is told (RFC 6749, section 4.1.2.1; RFC 8707, section 2; OpenID Connect Core, 3.1.2.6).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::CodeChallengeMalformed
            | Self::CodeChallengeMissing
            | Self::DpopJktMalformed
            | Self::MaxAgeMalformed
            | Self::NotPushed
            | Self::ParameterRepeated
            | Self::PromptMalformed
            | Self::ResponseModeUnsupported
            | Self::ResponseTypeMissing => ErrorCode::InvalidRequest,
            Self::ConsentRequired => ErrorCode::ConsentRequired,
            Self::GrantTypeNotRegistered => ErrorCode::UnauthorizedClient,
            Self::LoginRequired => ErrorCode::LoginRequired,
            Self::RequestNotSupported => ErrorCode::RequestNotSupported,
            Self::RequestUriNotSupported => ErrorCode::RequestUriNotSupported,
            Self::ResourceMissing | Self::ResourceSeveral | Self::ResourceUnknown => ErrorCode::InvalidTarget,
            Self::ResponseTypeUnsupported => ErrorCode::UnsupportedResponseType,
            Self::ScopeMalformed | Self::ScopeUnknown => ErrorCode::InvalidScope,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(self) -> Blame {
        Blame::Client
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::CodeChallengeMalformed => "code_challenge_malformed",
            Self::CodeChallengeMissing => "code_challenge_missing",
            Self::ConsentRequired => "consent_required",
            Self::DpopJktMalformed => "dpop_jkt_malformed",
            Self::GrantTypeNotRegistered => "grant_type_not_registered",
            Self::LoginRequired => "login_required",
            Self::MaxAgeMalformed => "max_age_malformed",
            Self::NotPushed => "request_not_pushed",
            Self::ParameterRepeated => "parameter_repeated",
            Self::PromptMalformed => "prompt_malformed",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::ResourceMissing => "resource_missing",
            Self::ResourceSeveral => "resource_several",
            Self::ResourceUnknown => "resource_unknown",
            Self::ResponseModeUnsupported => "response_mode_unsupported",
            Self::ResponseTypeMissing => "response_type_missing",
            Self::ResponseTypeUnsupported => "response_type_unsupported",
            Self::ScopeMalformed => "scope_malformed",
            Self::ScopeUnknown => "scope_unknown",
        }
    }
}
