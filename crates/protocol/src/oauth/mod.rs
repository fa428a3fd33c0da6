//! The words of OAuth 2.1 and its neighbours, one file each, as types that hold only what the texts allow.
//!
//! Everything here reads hostile input: a parser may refuse, it may never panic, and what it accepts has one
//! reading. Nothing here decides who may have what.

pub mod application_type;
pub mod authorization_request;
pub mod authorization_response;
pub mod authorization_server_metadata;
pub mod bearer_challenge;
pub mod client_assertion;
pub mod client_authentication;
pub mod client_id;
pub mod client_metadata;
pub mod device_authorization_response;
pub mod dpop_mode;
pub mod dynamic_client;
pub mod error_code;
pub mod form;
pub mod grant_type;
pub mod https_url;
pub mod identity_assertion;
pub mod introspection;
pub mod pkce;
pub mod protected_resource_metadata;
pub mod pushed_request;
pub mod redirect_uri;
pub mod refresh_token;
mod registered;
pub mod registration_response;
pub mod resource;
pub mod response_type;
pub mod revocation;
pub mod scope;
pub mod token_endpoint_auth_method;
pub mod token_request;
pub mod token_response;
mod uri;
pub mod user_code;
pub mod verified_redirect_uri;
pub mod workload_assertion;

pub use application_type::ApplicationType;
pub use authorization_request::AuthorizationRequest;
pub use authorization_response::AuthorizationResponse;
pub use authorization_server_metadata::AuthorizationServerMetadata;
pub use bearer_challenge::BearerChallenge;
pub use client_assertion::{ClientAssertion, ClientAssertionClaims};
pub use client_authentication::{ClientAuthentication, Presented, PresentedError};
pub use client_id::{ClientId, ClientIdError, ClientIdKind};
pub use client_metadata::{ClientMetadata, DocumentFlaw, LARGEST_DOCUMENT, MetadataError, PublishedKeys};
pub use device_authorization_response::DeviceAuthorizationResponse;
pub use dpop_mode::{DpopMode, DpopRules};
pub use error_code::ErrorCode;
pub use form::{Form, FormError, Parameter};
pub use grant_type::GrantType;
pub use https_url::{HttpsUrl, HttpsUrlError};
pub use introspection::{
    ActiveToken, IntrospectionRequest, IntrospectionRequestError, IntrospectionResponse,
};
pub use pkce::{CodeChallenge, CodeVerifier, PkceError};
pub use protected_resource_metadata::ProtectedResourceMetadata;
pub use redirect_uri::{Destination, RedirectPolicy, RedirectUri, RedirectUriError};
pub use refresh_token::RefreshToken;
pub use registration_response::RegistrationResponse;
pub use resource::{ResourceError, ResourceUri};
pub use response_type::ResponseType;
pub use revocation::{RevocationRequest, RevocationRequestError, TokenTypeHint};
pub use scope::{Scope, ScopeError, ScopeToken};
pub use token_endpoint_auth_method::TokenEndpointAuthMethod;
pub use token_request::{TokenExchangeRequest, TokenRequest, TokenRequestError};
pub use token_response::{TokenResponse, TokenType};
pub use uri::UriFlaw;
pub use user_code::{UserCode, UserCodeError};
pub use verified_redirect_uri::VerifiedRedirectUri;
pub use workload_assertion::WorkloadClaims;
