//! Client metadata: RFC 7591, section 2, as far as it is used here.
//!
//! Everything in it is the client's own claim (section 5). Members that are not used are dropped; members
//! that belong to the server (`client_id`, `client_secret`, …) are never read.

mod display_name;
mod document;
pub(super) mod inline_keys;
mod registration;

pub use display_name::is_hidden;
pub use document::{DocumentFlaw, LARGEST_DOCUMENT};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use thiserror::Error;

use super::{
    ApplicationType, ClientId, Destination, ErrorCode, GrantType, HttpsUrl, RedirectPolicy, RedirectUri,
    RedirectUriError, ResponseType, Scope, ScopeError, TokenEndpointAuthMethod, UriFlaw, VerifiedRedirectUri,
};
use crate::secret::Hash;
use crate::strict_json::StrictJsonError;

/// How deep values may lie in each other.
const DEEPEST: usize = 16;

/// The metadata of one client. Made by [`ClientMetadata::parse_registration`] and [`ClientMetadata::of_machine`], or read from
/// a document.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientMetadata {
    /// 1 to 20 redirect URIs, without repetitions; none of a machine.
    pub redirect_uris: Vec<RedirectUri>,
    /// The name it claims, without control and direction characters; at most 80 characters.
    pub client_name: Option<String>,
    /// The page it claims, `https` or `http`.
    pub client_uri: Option<String>,
    /// Grant types; `authorization_code` is always among them, but for a machine.
    pub grant_types: Vec<GrantType>,
    /// Response types.
    pub response_types: Vec<ResponseType>,
    /// How it authenticates, and in no other way.
    pub token_endpoint_auth_method: TokenEndpointAuthMethod,
    /// The scope it may ask for; `None` leaves that to the server.
    pub scope: Option<Scope>,
    /// Kind of application, if it said so.
    pub application_type: Option<ApplicationType>,
    /// The software it claims to be.
    pub software_id: Option<String>,
    /// The version it claims to be.
    pub software_version: Option<String>,
    /// Whether it proves a key with every token request (RFC 9449, section 5.2).
    pub dpop_bound_access_tokens: bool,
    /// The keys that it publishes. Of a metadata document alone: a registration's are judged and dropped.
    pub keys: Option<PublishedKeys>,
}

/// Where the public keys of a client are (RFC 7591, section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishedKeys {
    /// `jwks_uri`. A stranger named it: it is fetched as the document is.
    At(HttpsUrl),
    /// `jwks`: a set of public keys.
    Inline(Value),
}

/// Why metadata is refused (RFC 7591, section 3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MetadataError {
    /// `invalid_client_metadata`.
    #[error("client metadata: {0}")]
    InvalidClientMetadata(#[from] MetadataFlaw),
    /// `invalid_redirect_uri`.
    #[error("redirect uri: {0}")]
    InvalidRedirectUri(#[from] RedirectUrisFlaw),
}

/// What is wrong with `redirect_uris`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RedirectUrisFlaw {
    /// `http` or this very machine, for a web application (OpenID Connect Dynamic Client Registration, 2).
    #[error("a web application redirects to this very machine or without tls")]
    LocalForWeb,
    /// Missing, or not a list of strings.
    #[error("`redirect_uris` is missing or not a list of strings")]
    NotAList,
    /// One of them is refused.
    #[error("{0}")]
    Refused(#[from] RedirectUriError),
    /// None, or more than 20.
    #[error("none, or more than 20")]
    Number,
}

/// What is wrong with any other member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MetadataFlaw {
    /// An `application_type` other than `native` and `web`.
    #[error("`application_type` is unknown")]
    ApplicationType,
    /// A grant type that is not served, or no `authorization_code`.
    #[error("`grant_types` are not supported")]
    GrantTypes,
    /// Inline keys that are no public keys, too weak or too many.
    #[error("`jwks` is not a set of public keys")]
    InlineKeys,
    /// Not a JSON object with one reading.
    #[error("{0}")]
    Json(#[from] StrictJsonError),
    /// `jwks` and `jwks_uri` together (RFC 7591, section 2).
    #[error("`jwks` and `jwks_uri` together")]
    KeysTwice,
    /// A link that is neither `http` nor `https`, or malformed.
    #[error("a link is refused: {0}")]
    Link(UriFlaw),
    /// Response types other than `code`, or none.
    #[error("`response_types` do not agree with `grant_types`")]
    ResponseTypes,
    /// A malformed scope.
    #[error("`scope` is malformed: {0}")]
    Scope(ScopeError),
    /// An authentication method that is not supported.
    #[error("`token_endpoint_auth_method` is not supported")]
    TokenEndpointAuthMethod,
    /// Over 64 KiB.
    #[error("larger than 64 KiB")]
    TooLarge,
    /// A member is of another JSON type than the standard says.
    #[error("a member is of the wrong type")]
    WrongType,
}

impl ClientMetadata {
    /// Reads the body of a registration.
    ///
    /// # Errors
    /// [`MetadataError`] for whatever RFC 7591 or the policy for redirect URIs forbids.
    pub fn parse_registration(body: &[u8], policy: &RedirectPolicy) -> Result<Self, MetadataError> {
        registration::parse(body, policy)
    }

    /// The metadata of a client that has no person in front of it: it is called back nowhere, and uses these grants only.
    #[must_use]
    pub fn of_machine(
        client_name: Option<&str>,
        method: TokenEndpointAuthMethod,
        grant_types: &[GrantType],
    ) -> Self {
        Self {
            redirect_uris: Vec::new(),
            client_name: client_name.and_then(display_name::clean),
            client_uri: None,
            grant_types: grant_types.to_vec(),
            response_types: Vec::new(),
            token_endpoint_auth_method: method,
            scope: None,
            application_type: None,
            software_id: None,
            software_version: None,
            dpop_bound_access_tokens: false,
            keys: None,
        }
    }

    /// Reads a client ID metadata document that was fetched from `id`.
    ///
    /// # Errors
    /// [`DocumentFlaw`] if it is not that client's, or must not be believed.
    pub fn parse_document(body: &[u8], id: &ClientId, policy: &RedirectPolicy) -> Result<Self, DocumentFlaw> {
        document::parse(body, id, policy)
    }

    /// Reads what [`Self::to_json`] made of the metadata of a document.
    ///
    /// # Errors
    /// [`DocumentFlaw`] if the policy for redirect URIs forbids it by now.
    pub fn parse_kept(json: &str, policy: &RedirectPolicy) -> Result<Self, DocumentFlaw> {
        document::parse_kept(json.as_bytes(), policy)
    }

    /// One text for one metadata: the form in which it is kept. [`Self::parse_registration`] reads it back.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Serializing texts into memory cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// One value for all registrations of the same software: the metadata without the ports on which single
    /// installations happen to listen. Chosen by the client, so it may serve to show and to block, never to
    /// allow.
    #[must_use]
    pub fn fingerprint(&self) -> Hash {
        let mut uris: Vec<String> = self.redirect_uris.iter().map(RedirectUri::without_port).collect();
        uris.dedup();
        Hash::of(serde_json::to_string(&(uris, WithoutRedirectUris(self))).unwrap_or_default().as_bytes())
    }

    /// The proof that this client may be answered at `requested`, if it may.
    #[must_use]
    pub fn verify_redirect_uri(&self, requested: &str) -> Option<VerifiedRedirectUri> {
        let registered = self.redirect_uris.iter().find(|registered| registered.matches(requested))?;
        // A record from before the rule must not get past it.
        registration::fits(registered, self.application_type)
            .then(|| VerifiedRedirectUri::new(requested, registered.destination()))
    }

    /// Whether every redirect URI leads to the person's own machine.
    #[must_use]
    pub fn all_loopback(&self) -> bool {
        self.redirect_uris.iter().all(|uri| matches!(uri.destination(), Destination::Loopback(_)))
    }

    /// Whether the client may use this grant type.
    #[must_use]
    pub fn may_use(&self, grant_type: GrantType) -> bool {
        self.grant_types.contains(&grant_type)
    }

    /// Writes the members into a JSON object, `redirect_uris` first.
    pub(super) fn serialize_members<M: SerializeMap>(&self, json: &mut M) -> Result<(), M::Error> {
        json.serialize_entry("redirect_uris", &self.redirect_uris)?;
        self.serialize_other_members(json)
    }

    fn serialize_other_members<M: SerializeMap>(&self, json: &mut M) -> Result<(), M::Error> {
        optional(json, "client_name", self.client_name.as_ref())?;
        optional(json, "client_uri", self.client_uri.as_ref())?;
        json.serialize_entry("grant_types", &self.grant_types)?;
        json.serialize_entry("response_types", &self.response_types)?;
        json.serialize_entry("token_endpoint_auth_method", &self.token_endpoint_auth_method)?;
        optional(json, "scope", self.scope.as_ref())?;
        optional(json, "application_type", self.application_type.as_ref())?;
        optional(json, "software_id", self.software_id.as_ref())?;
        optional(json, "software_version", self.software_version.as_ref())?;
        // "If omitted, the default value is "false"" (RFC 9449, section 5.2)
        optional(json, "dpop_bound_access_tokens", self.dpop_bound_access_tokens.then_some(&true))?;
        match &self.keys {
            Some(PublishedKeys::At(url)) => json.serialize_entry("jwks_uri", url.as_str()),
            Some(PublishedKeys::Inline(keys)) => json.serialize_entry("jwks", keys),
            None => Ok(()),
        }
    }
}

fn optional<M: SerializeMap>(
    json: &mut M,
    name: &str,
    value: Option<&impl Serialize>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| json.serialize_entry(name, value))
}

impl Serialize for ClientMetadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_map(None)?;
        self.serialize_members(&mut json)?;
        json.end()
    }
}

struct WithoutRedirectUris<'a>(&'a ClientMetadata);

impl Serialize for WithoutRedirectUris<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_map(None)?;
        self.0.serialize_other_members(&mut json)?;
        json.end()
    }
}

impl MetadataError {
    /// What the client is told.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::InvalidClientMetadata(_) => ErrorCode::InvalidClientMetadata,
            Self::InvalidRedirectUri(_) => ErrorCode::InvalidRedirectUri,
        }
    }
}

#[cfg(test)]
mod tests;
