//! Why a person could not be signed in: four kinds, each with a reason for log, metric and timeline.
//!
//! No text of the provider is in here, or in what these print: `error_description` is written by whoever made the
//! link (CB-16). What it said goes to the debug log.

/// Why a sign-in came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ConnectorError {
    /// The provider answered against its own standard, or somebody else answered.
    #[error("the identity provider's answer cannot be trusted: {}", .0.reason())]
    Malformed(Malformation),
    /// The provider vouches for the person, but the connector's settings do not admit them.
    #[error("the connector does not admit this person: {}", .0.reason())]
    NotAllowed(Denial),
    /// The person said no, or the provider did.
    #[error("the sign-in was refused: {}", .0.reason())]
    Refused(Refusal),
    /// The provider did not answer in time, or said that it cannot now.
    #[error("the identity provider cannot be reached")]
    Unreachable,
}

impl ConnectorError {
    /// The reason in snake case, for log, metric label and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed(malformation) => malformation.reason(),
            Self::NotAllowed(denial) => denial.reason(),
            Self::Refused(refusal) => refusal.reason(),
            Self::Unreachable => "provider_unreachable",
        }
    }
}

/// What was wrong with what came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformation {
    /// `auth_time` is missing or too old although reauthentication was demanded.
    AuthenticationTime,
    /// The callback has both `code` and `error`.
    CallbackContradictory,
    /// The callback lacks `state`, or has neither `code` nor `error`, or one is too long.
    CallbackIncomplete,
    /// The callback has a parameter twice.
    CallbackRepeated,
    /// The discovery document is not one.
    Discovery,
    /// The discovery document names another issuer.
    DiscoveryIssuer,
    /// What was answered about groups or memberships is not of its form.
    Groups,
    /// The ID token is for another audience, or for others beside us.
    IdTokenAudience,
    /// The ID token was issued to another party.
    IdTokenAuthorizedParty,
    /// The claims of the ID token are not of the types the standard gives them, or one is missing.
    IdTokenClaims,
    /// The ID token has expired.
    IdTokenExpired,
    /// The ID token is from the future.
    IdTokenIssuedAt,
    /// The ID token is of another issuer.
    IdTokenIssuer,
    /// The ID token answers another request.
    IdTokenNonce,
    /// The ID token is not signed by the provider, or by an algorithm that is not accepted.
    IdTokenSignature,
    /// The ID token's subject is empty or too long.
    IdTokenSubject,
    /// The ID token is beyond 16 KiB; mostly it carries too many groups.
    IdTokenTooLarge,
    /// The callback lacks `iss` although the provider says that it sends it.
    IssuerMissing,
    /// The callback is from another issuer.
    IssuerMismatch,
    /// The key set is not one.
    KeySet,
    /// The answer of the token endpoint is not one.
    TokenResponse,
    /// The provider's key for this ID token is not in its key set.
    UnknownKey,
    /// The answer of the userinfo endpoint is not one.
    Userinfo,
    /// Userinfo speaks of somebody else.
    UserinfoSubject,
}

impl Malformation {
    /// The reason in snake case.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::AuthenticationTime => "authentication_time",
            Self::CallbackContradictory => "callback_contradictory",
            Self::CallbackIncomplete => "callback_incomplete",
            Self::CallbackRepeated => "callback_repeated",
            Self::Discovery => "discovery",
            Self::DiscoveryIssuer => "discovery_issuer",
            Self::Groups => "groups",
            Self::IdTokenAudience => "id_token_audience",
            Self::IdTokenAuthorizedParty => "id_token_authorized_party",
            Self::IdTokenClaims => "id_token_claims",
            Self::IdTokenExpired => "id_token_expired",
            Self::IdTokenIssuedAt => "id_token_issued_at",
            Self::IdTokenIssuer => "id_token_issuer",
            Self::IdTokenNonce => "id_token_nonce",
            Self::IdTokenSignature => "id_token_signature",
            Self::IdTokenSubject => "id_token_subject",
            Self::IdTokenTooLarge => "id_token_too_large",
            Self::IssuerMissing => "issuer_missing",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::KeySet => "key_set",
            Self::TokenResponse => "token_response",
            Self::UnknownKey => "unknown_key",
            Self::Userinfo => "userinfo",
            Self::UserinfoSubject => "userinfo_subject",
        }
    }
}

impl crate::kept::Failure for ConnectorError {
    fn is_passing(self) -> bool {
        match self {
            Self::Unreachable => true,
            Self::Malformed(_) | Self::NotAllowed(_) | Self::Refused(_) => false,
        }
    }
}

impl From<Malformation> for ConnectorError {
    fn from(malformation: Malformation) -> Self {
        Self::Malformed(malformation)
    }
}

/// Which setting of the connector does not admit the person (CB-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denial {
    /// No verified e-mail address in a domain that is admitted.
    EmailDomain,
    /// Not a member of any organisation, or user of any site, that is admitted.
    Foreign,
    /// The groups are somewhere else (`_claim_names`) or unreadable, so nobody knows them.
    GroupsUnavailable,
    /// A claim that is required is missing or has another value.
    RequiredClaim,
    /// The organisation demands its own single sign-on, and this session has not been through it.
    SingleSignOn,
}

impl Denial {
    /// The reason in snake case.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::EmailDomain => "email_domain",
            Self::Foreign => "foreign",
            Self::GroupsUnavailable => "groups_unavailable",
            Self::RequiredClaim => "required_claim",
            Self::SingleSignOn => "single_sign_on",
        }
    }
}

impl From<Denial> for ConnectorError {
    fn from(denial: Denial) -> Self {
        Self::NotAllowed(denial)
    }
}

/// Who refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The person or the provider's own rules said no: `access_denied`.
    AccessDenied,
    /// The provider does not accept us: wrong client, secret or authentication method. The operator must look.
    ClientRefused,
    /// The provider does not accept the code: used, expired, or not from this sign-in.
    CodeRefused,
    /// The provider sent the person back with any other error.
    ProviderError,
    /// Nobody of that name (development connector only).
    UnknownPerson,
}

impl Refusal {
    /// The reason in snake case.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::ClientRefused => "client_refused",
            Self::CodeRefused => "code_refused",
            Self::ProviderError => "provider_error",
            Self::UnknownPerson => "unknown_person",
        }
    }
}

impl From<Refusal> for ConnectorError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What keeps everybody from signing in, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The provider could not be tried out.
    #[error(transparent)]
    Provider(#[from] ConnectorError),
    /// A setting is wrong.
    #[error("{setting}: {problem}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What about it.
        problem: String,
    },
}

impl CheckError {
    pub(super) const fn setting(setting: &'static str, problem: String) -> Self {
        Self::Setting { setting, problem }
    }
}
