//! Why there is no token from an MCP server's authorization server: four kinds, each with a reason for log, metric and record,
//! and words by which an operator knows what to do.
//!
//! Nothing in here is a peer's text: what it said goes to the debug log, and never holds a token.

use thiserror::Error;

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum OauthClientError {
    /// The answer is none that this request could have; nobody can say what became of the credential.
    #[error("the authorization server's answer cannot be used: {0}")]
    Malformed(Malformed),
    /// Nothing about the person: somebody who keeps this server or that one has to change something.
    #[error("the mcp server's authorization server cannot be used: {0}")]
    Obstacle(Obstacle),
    /// A definite no to this person or credential.
    #[error("the authorization server refuses: {0}")]
    Rejected(Rejection),
    /// There is no answer, or it says that it cannot now. Nothing was learnt, and what was sent once may have been heard.
    #[error("{0} cannot be reached, or says that it cannot now")]
    Unreachable(Place),
}

/// At whom it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Place {
    /// The authorization server, for its metadata.
    #[error("the authorization server's metadata")]
    AuthorizationServer,
    /// The identity provider, for an ID-JAG.
    #[error("the identity provider")]
    IdentityProvider,
    /// The MCP server, for its challenge or its metadata.
    #[error("the mcp server")]
    McpServer,
    /// The registration endpoint.
    #[error("the registration endpoint")]
    Registration,
    /// The record of our registrations.
    #[error("the record of registrations")]
    Registrations,
    /// The revocation endpoint.
    #[error("the revocation endpoint")]
    Revocation,
    /// The token endpoint.
    #[error("the token endpoint")]
    Token,
}

/// What was wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Malformed {
    /// The callback lacks a parameter, or has one twice, or both `code` and `error`.
    #[error("the callback is none of this flow")]
    Callback,
    /// The callback lacks `iss` although the metadata says that it is sent (RFC 9207, section 2.4).
    #[error("the callback does not say from which issuer it comes, although the metadata promises it")]
    IssuerMissing,
    /// The callback is from another issuer: a mix-up (RFC 9207, section 2.4).
    #[error("the callback comes from another issuer")]
    IssuerMismatch,
    /// What the exchange issued is not what was asked for (RFC 8693, section 2.2.1).
    #[error("another type of token than was asked for")]
    IssuedType,
    /// The registration response is not one (RFC 7591, section 3.2.1).
    #[error("the registration response is not one")]
    Registration,
    /// The token response is not one (RFC 6749, section 5.1), or its token cannot stand in a header.
    #[error("the token response is not one")]
    Token,
    /// A token of another type than `Bearer`.
    #[error("the token is not a bearer token")]
    TokenType,
}

/// What keeps everybody away until somebody acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Obstacle {
    /// What a document names leads to where strangers may not lead us, and the operator did not name it.
    #[error(
        "its metadata leads to a host that is not on the Internet, uses another port than 443 or no TLS: if it is meant, set \
         `authorization_server` to its issuer"
    )]
    Address,
    /// The MCP server's metadata does not name the configured authorization server (RFC 9728, section 2).
    #[error("the mcp server does not name the configured `authorization_server`")]
    AuthorizationServer,
    /// The client is refused at the token endpoint.
    #[error("it does not accept our client: look at `client_id` and `client_secret_file`")]
    Client,
    /// The identity provider is not one that gives ID-JAGs, or refuses this one.
    #[error("no identity assertion for it can be had from the identity provider")]
    IdentityAssertion,
    /// The metadata is for another issuer than it was asked for (RFC 8414, section 3.3).
    #[error("its metadata names another issuer than the mcp server, or `authorization_server`, does")]
    Issuer,
    /// The key file of an app or a service account is none.
    #[error("the key of the app or service account cannot be used")]
    Key,
    /// No usable metadata, or an endpoint in it that may not be used.
    #[error(
        "it publishes no usable metadata: set `authorization_server` to its issuer, or `kind` if it is a known one"
    )]
    Metadata,
    /// It does not say that it does PKCE with S256 (MCP 2026-07-28, security considerations, 4).
    #[error("its metadata does not promise PKCE with S256; if it is known to do it, set `assume_pkce`")]
    Pkce,
    /// The request is refused for a reason of its own, which says nothing about the credential.
    #[error("it refuses the request for a reason of its own")]
    Refused,
    /// The registration is refused.
    #[error("it refuses to register this server: register by hand there, and set `client_id`")]
    Registration,
    /// There is no way left in which it could know us (MCP 2026-07-28, client registration).
    #[error("it offers no registration that is allowed here: register by hand there, and set `client_id`")]
    NoRegistration,
    /// The metadata is for another resource (RFC 9728, section 3.3).
    #[error("its metadata is for another resource than the configured url: set `resource` if it is meant")]
    Resource,
    /// The scope is refused.
    #[error("it refuses the scope: look at `scopes`")]
    Scope,
    /// The resource is refused (RFC 8707, section 2).
    #[error("it refuses the resource")]
    Target,
    /// It does not do what was asked of it.
    #[error("it does not offer this grant")]
    Unsupported,
}

/// A definite no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Rejection {
    /// The person, or a rule there, said no: `access_denied`.
    #[error("access was denied")]
    AccessDenied,
    /// Somebody acts for the person, and there is no way to say so to whoever gives the credential.
    #[error("somebody acts for the person, which cannot be said there")]
    Acted,
    /// The client that the credential was given to is not known any more: it is registered anew at the next sign-in.
    #[error("the registration that the credential belongs to is gone")]
    Forgotten,
    /// `invalid_grant`: the code or the refresh token is not good, or not any more.
    #[error("the grant is not good any more")]
    Grant,
    /// The credential belongs to another authorization server than the MCP server has now (SEP-2352).
    #[error("the mcp server has another authorization server now")]
    Moved,
    /// The sign-in ended with another error.
    #[error("the request")]
    Request,
    /// The person has to sign in at the identity provider again.
    #[error("the person has to sign in again")]
    SignInNeeded,
}

impl OauthClientError {
    /// The reason in snake case, for log, metric label, record and audit.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed(malformed) => malformed.reason(),
            Self::Obstacle(obstacle) => obstacle.reason(),
            Self::Rejected(rejection) => rejection.reason(),
            Self::Unreachable(place) => place.reason(),
        }
    }

    /// Whether trying again later may help, with nothing changed.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Unreachable(_))
    }

    /// Whether the authorization server itself said no, and not why: it may be whoever stands before it, or its own way to say
    /// that a credential is over.
    #[must_use]
    pub const fn is_unexplained(self) -> bool {
        matches!(self, Self::Obstacle(Obstacle::Refused))
    }

    /// Whether the credential that was presented is dead, so that only a new sign-in helps.
    #[must_use]
    pub const fn ends_credential(self) -> bool {
        matches!(self, Self::Rejected(_))
    }
}

impl Place {
    const fn reason(self) -> &'static str {
        match self {
            Self::AuthorizationServer => "connection_authorization_server_unreachable",
            Self::IdentityProvider => "connection_identity_provider_unreachable",
            Self::McpServer => "connection_mcp_server_unreachable",
            Self::Registration => "connection_registration_unreachable",
            Self::Registrations => "connection_registrations_unreachable",
            Self::Revocation => "connection_revocation_unreachable",
            Self::Token => "connection_token_endpoint_unreachable",
        }
    }
}

impl Malformed {
    const fn reason(self) -> &'static str {
        match self {
            Self::Callback => "connection_callback_malformed",
            Self::IssuerMissing => "connection_issuer_missing",
            Self::IssuerMismatch => "connection_issuer_mismatch",
            Self::IssuedType => "connection_issued_token_type",
            Self::Registration => "connection_registration_malformed",
            Self::Token => "connection_token_response_malformed",
            Self::TokenType => "connection_token_type",
        }
    }
}

impl Obstacle {
    const fn reason(self) -> &'static str {
        match self {
            Self::Address => "connection_address_refused",
            Self::AuthorizationServer => "connection_authorization_server_not_named",
            Self::Client => "connection_client_refused",
            Self::IdentityAssertion => "connection_identity_assertion_refused",
            Self::Issuer => "connection_metadata_issuer",
            Self::Key => "connection_key_unusable",
            Self::Metadata => "connection_metadata_unusable",
            Self::Pkce => "connection_pkce_not_promised",
            Self::Refused => "connection_request_refused",
            Self::Registration => "connection_registration_refused",
            Self::NoRegistration => "connection_no_registration",
            Self::Resource => "connection_metadata_resource",
            Self::Scope => "connection_scope_refused",
            Self::Target => "connection_target_refused",
            Self::Unsupported => "connection_grant_not_offered",
        }
    }
}

impl Rejection {
    const fn reason(self) -> &'static str {
        match self {
            Self::AccessDenied => "connection_access_denied",
            Self::Acted => "connection_acted_for",
            Self::Forgotten => "connection_registration_gone",
            Self::Grant => "connection_grant_refused",
            Self::Moved => "connection_authorization_server_moved",
            Self::Request => "connection_request_refused",
            Self::SignInNeeded => "connection_sign_in_needed",
        }
    }
}

impl From<Malformed> for OauthClientError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Obstacle> for OauthClientError {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(obstacle)
    }
}

impl From<Rejection> for OauthClientError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl crate::kept::Failure for OauthClientError {
    fn is_passing(self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}
