//! What this authorization server can do: one table. The metadata documents, registration and enforcement all read
//! it, so that none of them can say what another does not do (house.md, principle 9).

use protocol::jose::Algorithm;
use protocol::oauth::{
    ClientIdKind, ClientMetadata, GrantType, ResponseType, TokenEndpointAuthMethod, client_assertion,
    identity_assertion, pkce,
};

use crate::{PreRegisteredClient, Settings};

/// Grant types (RFC 6749, section 1.3).
pub const GRANT_TYPES: &[GrantType] = GrantType::ALL;
/// Grant types that a client may register by itself. The others are for clients that the operator knows: with
/// `client_credentials` nobody would have been asked (RFC 7591, section 5).
pub const REGISTRABLE_GRANT_TYPES: &[GrantType] =
    &[GrantType::AuthorizationCode, GrantType::DeviceCode, GrantType::RefreshToken];
/// Grant types of a client that the operator knows: those, and assertions of an issuer that knows it too.
pub const KNOWN_GRANT_TYPES: &[GrantType] =
    &[GrantType::AuthorizationCode, GrantType::DeviceCode, GrantType::JwtBearer, GrantType::RefreshToken];
/// Grant types of a client that acts as a service account: no person is behind it, so it is not asked for one.
pub const MACHINE_GRANT_TYPES: &[GrantType] = &[GrantType::ClientCredentials, GrantType::TokenExchange];
/// Assertions that are taken as grants, where an issuer of them is trusted.
pub const GRANT_PROFILES: &[&str] = &[identity_assertion::GRANT_PROFILE];
/// What a client with a metadata document may use, whatever else it lists: grants that a person stands behind.
pub const DOCUMENT_GRANT_TYPES: &[GrantType] = &[GrantType::AuthorizationCode, GrantType::RefreshToken];
/// Response types (RFC 6749, section 3.1.1): OAuth 2.1 leaves one.
pub const RESPONSE_TYPES: &[ResponseType] = ResponseType::ALL;
/// Where the response stands.
pub const RESPONSE_MODES: &[&str] = &["query"];
/// Ways of client authentication at the token and revocation endpoints.
pub const AUTH_METHODS: &[TokenEndpointAuthMethod] = TokenEndpointAuthMethod::ALL;
/// Ways in which a client that registers itself may authenticate. Not by a key: the id is the registration (product.md, P-4), so
/// a key in it could never be exchanged; a client with keys has a metadata document that names them (decision 10).
pub const REGISTRABLE_AUTH_METHODS: &[TokenEndpointAuthMethod] = &[
    TokenEndpointAuthMethod::ClientSecretBasic,
    TokenEndpointAuthMethod::ClientSecretPost,
    TokenEndpointAuthMethod::None,
];
/// What client assertions may be signed with.
pub const ASSERTION_ALGORITHMS: &[Algorithm] = client_assertion::ALGORITHMS;
/// What identity providers may sign their signals with (OpenID Connect Back-Channel Logout 1.0, section 2.6, step 3).
pub const SIGNAL_ALGORITHMS: &[Algorithm] = client_assertion::ALGORITHMS;
/// Ways in which an MCP server says who it is at the introspection endpoint (RFC 7662, section 2.1).
pub const INTROSPECTION_AUTH_METHODS: &[TokenEndpointAuthMethod] =
    &[TokenEndpointAuthMethod::ClientSecretBasic, TokenEndpointAuthMethod::ClientSecretPost];
/// Ways of PKCE (RFC 7636, section 4.2).
pub const CODE_CHALLENGE_METHODS: &[&str] = &[pkce::S256];
/// Scopes that are taken without a word and never granted: clients add them out of habit (product.md, P-3).
pub const IGNORED_SCOPES: &[&str] = &["claudeai", "email", "offline_access", "openid", "profile"];
/// Whether every authorization response carries `iss` (RFC 9207).
pub const ISS_IN_RESPONSES: bool = true;

/// Whether a `client_id` may be the URL of a metadata document: one that is read, or one that the operator wrote down.
#[must_use]
pub fn client_id_metadata_documents(settings: &Settings) -> bool {
    let pinned = |client: &PreRegisteredClient| client.client_id().kind() == ClientIdKind::MetadataDocument;
    settings.documents.read_any() || settings.clients.iter().any(pinned)
}

/// Whether a client may be registered with this metadata.
#[must_use]
pub fn can_serve(metadata: &ClientMetadata) -> bool {
    metadata.grant_types.iter().all(|grant_type| REGISTRABLE_GRANT_TYPES.contains(grant_type))
        && metadata.response_types.iter().all(|response_type| RESPONSE_TYPES.contains(response_type))
        && REGISTRABLE_AUTH_METHODS.contains(&metadata.token_endpoint_auth_method)
}

/// The registered response type of that name.
#[must_use]
pub fn response_type(name: &str) -> Option<ResponseType> {
    ResponseType::parse(name).filter(|known| RESPONSE_TYPES.contains(known))
}

/// Whether the response may stand there.
#[must_use]
pub fn response_mode(name: &str) -> bool {
    RESPONSE_MODES.contains(&name)
}
