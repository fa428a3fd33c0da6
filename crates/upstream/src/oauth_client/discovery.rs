//! Who authorizes at an MCP server, by its own word and that of the authorization server (RFC 9728; RFC 8414; OpenID Connect
//! Discovery 1.0; MCP authorization of all four revisions).
//!
//! 1. The challenge of an unauthenticated call names the resource's metadata, or it stands at its well-known places (CL-004).
//! 2. That names the authorization servers: the configured one, or else the first, is taken (CL-007).
//! 3. Its metadata stands at one of three places, in an order (CL-008), and is believed only for its own issuer (CL-009).
//! 4. A server of 2025-03-26 has no metadata of its own: then its host is the authorization server, with endpoints that need no
//!    metadata (CL-001).
//!
//! Must never use a document about another resource (CL-005) or of another issuer, nor an endpoint less protected than who names
//! it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use protocol::oauth::{Scope, ScopeToken};
use protocol::world::Clock;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use url::Url;

use super::accounts::Quirks;
use super::challenge::Challenge;
use super::error::{OauthClientError, Obstacle, Place};
use super::settings::OauthClientSettings;
use super::ways::{Reach, usable};
use crate::document::{freshness, is_json};
use crate::kept::FRESH;

/// No document is asked for again sooner, whatever its host says.
const SHORTEST: Duration = Duration::from_secs(60);

/// An authorization server, as it is used.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) registration_endpoint: Option<Url>,
    pub(super) revocation_endpoint: Option<Url>,
    /// `token_endpoint_auth_methods_supported`; absent means `client_secret_basic` (RFC 8414, section 2).
    pub(super) methods: Vec<String>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207, section 3).
    pub(super) sends_iss: bool,
    pub(super) takes_documents: bool,
    pub(super) offers_offline_access: bool,
    /// `resource` of every request there; an account has none.
    pub(super) resource: Option<String>,
    /// What the MCP server says is needed: by its challenge, or else by its metadata (CL-035).
    pub(super) scope: Scope,
    pub(super) quirks: Quirks,
    /// Whether the MCP server, or the operator, said that it is the one.
    pub(super) is_named: bool,
    /// Whether it was said just now by which name the MCP server is known there.
    pub(super) is_described: bool,
    /// How long this may be used.
    pub(super) fresh: Duration,
}

/// `/.well-known/oauth-protected-resource` (RFC 9728, section 2).
#[derive(Deserialize)]
struct ResourceDocument {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// What is used of authorization server metadata (RFC 8414, section 2).
#[derive(Deserialize)]
struct ServerDocument {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    registration_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    scopes_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
}

/// A document and how long it may be kept.
struct Found<T> {
    document: T,
    fresh: Duration,
}

/// What the MCP server says of itself.
struct Resource {
    identifier: String,
    issuer: String,
    scope: Scope,
    fresh: Duration,
    /// Whether its metadata said so just now.
    described: bool,
    /// Whether that or the operator names the issuer; if not, it may be one of 2025-03-26.
    named: bool,
}

/// One discovery.
pub(super) struct Discovery<'a> {
    pub(super) clock: &'a dyn Clock,
    pub(super) reach: &'a Reach,
    pub(super) settings: &'a OauthClientSettings,
}

impl Discovery<'_> {
    pub(super) async fn run(&self) -> Result<Server, OauthClientError> {
        let challenge = self.challenge().await?;
        let resource = self.resource(&challenge).await?;
        let found = self.server(&resource.issuer).await?;
        let scope = challenge.scope.unwrap_or(resource.scope);
        match found {
            Some(Found { document, fresh }) => {
                let fresh = fresh.min(resource.fresh);
                let described = described(document, &resource.issuer, self.settings.assume_pkce)?;
                let (is_named, is_described) = (resource.named, resource.described);
                let resource = Some(resource.identifier);
                Ok(Server { resource, scope, fresh, is_named, is_described, ..described })
            }
            None if resource.named => Err(Obstacle::Metadata.into()),
            None => {
                let undescribed = undescribed(&resource.issuer)?;
                let fresh = undescribed.fresh.min(resource.fresh);
                Ok(Server { resource: Some(resource.identifier), scope, fresh, ..undescribed })
            }
        }
    }

    /// What the MCP server says to somebody without a token. That it says nothing, or lets everybody in, is fine.
    async fn challenge(&self) -> Result<Challenge, OauthClientError> {
        // Some let everybody say hello and ask only then; and a list leaves no session behind.
        let question = json!({"jsonrpc": "2.0", "id": 0, "method": "tools/list"});
        let request = Request::post(self.settings.url.as_str())
            .header(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("mcp-protocol-version", HeaderValue::from_static("2025-11-25"))
            .body(Bytes::from(question.to_string()))
            .map_err(|_| Obstacle::Metadata)?;
        match self.reach.ask(Place::McpServer, request).await {
            Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
                Ok(Challenge::read(answer.headers()).unwrap_or_default())
            }
            Ok(_) => Ok(Challenge::default()),
            Err(error) => Err(error),
        }
    }

    async fn resource(&self, challenge: &Challenge) -> Result<Resource, OauthClientError> {
        let url = Url::parse(&self.settings.url).map_err(|_| Obstacle::Metadata)?;
        let origin = url.origin().ascii_serialization();
        let expected = self.settings.expected_resource();
        if let Some(place) = &challenge.resource_metadata {
            let place = usable(place, url.scheme() == "https").ok_or(Obstacle::Address)?;
            let found = self.document(place.as_str(), Place::McpServer).await?;
            // It was named, so nothing else is tried in its place (CL-004).
            return self.described(found.ok_or(Obstacle::Metadata)?, &[expected]);
        }
        let path = url.path().trim_end_matches('/');
        let well_known = format!("{origin}/.well-known/oauth-protected-resource");
        if !path.is_empty()
            && let Some(found) = self.document(&format!("{well_known}{path}"), Place::McpServer).await?
        {
            return self.described(found, &[expected]);
        }
        match self.document(&well_known, Place::McpServer).await? {
            // CL-006: there the identifier is the host's.
            Some(found) => self.described(found, &[expected, &origin]),
            None => Ok(Resource {
                identifier: expected.to_owned(),
                issuer: self.settings.authorization_server.clone().unwrap_or(origin),
                scope: Scope::default(),
                // It may have been away for a moment.
                fresh: SHORTEST,
                described: false,
                named: self.settings.authorization_server.is_some(),
            }),
        }
    }

    fn described(
        &self,
        found: Found<ResourceDocument>,
        expected: &[&str],
    ) -> Result<Resource, OauthClientError> {
        let Found { document, fresh } = found;
        // `https://host` and `https://host/` are one identifier (RFC 3986, section 6.2.3); nothing else is made equal.
        let is_same = |expected: &&str| {
            let bare = |text: &str| {
                let root = Url::parse(text).is_ok_and(|url| url.path() == "/" && url.query().is_none());
                if root { text.trim_end_matches('/').to_owned() } else { text.to_owned() }
            };
            document.resource == **expected || bare(&document.resource) == bare(expected)
        };
        if !expected.iter().any(is_same) {
            tracing::debug!(said = document.resource, "an mcp server's metadata is for another resource");
            return Err(Obstacle::Resource.into());
        }
        let mut offered = document.authorization_servers.into_iter();
        let issuer = match &self.settings.authorization_server {
            // One that names none leaves it to the operator.
            Some(configured) if offered.len() == 0 => configured.clone(),
            Some(configured) => offered.find(|one| one == configured).ok_or(Obstacle::AuthorizationServer)?,
            None => offered.next().ok_or(Obstacle::Metadata)?,
        };
        let scope = document.scopes_supported.iter().filter_map(|one| ScopeToken::parse(one).ok()).collect();
        Ok(Resource { identifier: document.resource, issuer, scope, fresh, described: true, named: true })
    }

    /// CL-008.
    async fn server(&self, issuer: &str) -> Result<Option<Found<ServerDocument>>, OauthClientError> {
        let url = usable(issuer, self.settings.url.starts_with("https:")).ok_or(Obstacle::Address)?;
        if url.query().is_some() {
            return Err(Obstacle::Metadata.into());
        }
        let origin = url.origin().ascii_serialization();
        let path = url.path().trim_end_matches('/');
        let mut places = vec![
            format!("{origin}/.well-known/oauth-authorization-server{path}"),
            format!("{origin}/.well-known/openid-configuration{path}"),
        ];
        if !path.is_empty() {
            places.push(format!("{origin}{path}/.well-known/openid-configuration"));
        }
        for place in places {
            if let Some(found) = self.document(&place, Place::AuthorizationServer).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// A document; none if what is there is not one. That its host is silent is no answer.
    async fn document<T: DeserializeOwned>(
        &self,
        url: &str,
        place: Place,
    ) -> Result<Option<Found<T>>, OauthClientError> {
        let request = Request::get(url)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            // CL-001.
            .header("mcp-protocol-version", HeaderValue::from_static("2025-11-25"))
            .body(Bytes::new())
            .map_err(|_| Obstacle::Metadata)?;
        let answer = self.reach.ask(place, request).await?;
        let fresh = freshness(answer.headers(), self.clock.now()).unwrap_or(FRESH).clamp(SHORTEST, FRESH);
        Ok(read(&answer).map(|document| Found { document, fresh }))
    }
}

fn read<T: DeserializeOwned>(answer: &Response<Bytes>) -> Option<T> {
    if answer.status() != StatusCode::OK || !is_json(answer.headers()) {
        return None;
    }
    serde_json::from_slice(answer.body())
        .inspect_err(|error| tracing::debug!(line = error.line(), column = error.column(), "not the json"))
        .ok()
}

/// What it says of itself, judged.
fn described(document: ServerDocument, issuer: &str, assume_pkce: bool) -> Result<Server, OauthClientError> {
    // CL-009: simple string comparison.
    if document.issuer != issuer {
        tracing::debug!(said = document.issuer, "an authorization server's metadata names another issuer");
        return Err(Obstacle::Issuer.into());
    }
    // CL-012.
    let promised = match &document.code_challenge_methods_supported {
        Some(methods) => methods.iter().any(|method| method == "S256"),
        None => assume_pkce,
    };
    if !promised {
        return Err(Obstacle::Pkce.into());
    }
    let over_tls = issuer.starts_with("https:");
    let endpoint = |text: &str| usable(text, over_tls).ok_or(Obstacle::Metadata);
    let optional = |text: Option<String>| text.as_deref().map(endpoint).transpose();
    Ok(Server {
        authorization_endpoint: endpoint(&document.authorization_endpoint)?,
        token_endpoint: endpoint(&document.token_endpoint)?,
        registration_endpoint: optional(document.registration_endpoint)?,
        revocation_endpoint: optional(document.revocation_endpoint)?,
        methods: document
            .token_endpoint_auth_methods_supported
            .unwrap_or_else(|| vec!["client_secret_basic".to_owned()]),
        sends_iss: document.authorization_response_iss_parameter_supported,
        takes_documents: document.client_id_metadata_document_supported,
        offers_offline_access: document.scopes_supported.iter().any(|scope| scope == "offline_access"),
        issuer: document.issuer,
        resource: None,
        scope: Scope::default(),
        quirks: Quirks::default(),
        is_named: false,
        is_described: false,
        fresh: FRESH,
    })
}

/// One of which the operator named the token endpoint, such as an organisation's token service: no browser ever goes there, and
/// nobody is asked. A client with a secret authenticates by `client_secret_basic` (RFC 6749, section 2.3.1), unless it was said
/// otherwise.
pub(super) fn named(settings: &OauthClientSettings) -> Option<Result<Server, OauthClientError>> {
    let endpoint = settings.token_endpoint.as_deref()?;
    let Some(url) = usable(endpoint, false) else { return Some(Err(Obstacle::Metadata.into())) };
    Some(Ok(Server {
        issuer: settings.authorization_server.clone().unwrap_or_else(|| endpoint.to_owned()),
        authorization_endpoint: url.clone(),
        token_endpoint: url,
        registration_endpoint: None,
        revocation_endpoint: None,
        methods: vec!["client_secret_basic".to_owned()],
        sends_iss: false,
        takes_documents: false,
        offers_offline_access: false,
        resource: Some(settings.expected_resource().to_owned()),
        scope: Scope::default(),
        quirks: Quirks::default(),
        is_named: true,
        is_described: true,
        fresh: FRESH,
    }))
}

/// MCP 2025-03-26, authorization, 2.3.3: endpoints that are known without metadata. PKCE is a must there.
fn undescribed(issuer: &str) -> Result<Server, OauthClientError> {
    let origin = usable(issuer, false).ok_or(Obstacle::Address)?.origin().ascii_serialization();
    let at = |path: &str| usable(&format!("{origin}{path}"), false).ok_or(Obstacle::Metadata);
    Ok(Server {
        authorization_endpoint: at("/authorize")?,
        token_endpoint: at("/token")?,
        registration_endpoint: Some(at("/register")?),
        revocation_endpoint: None,
        methods: vec!["none".to_owned(), "client_secret_post".to_owned()],
        sends_iss: false,
        takes_documents: false,
        offers_offline_access: false,
        issuer: origin,
        resource: None,
        scope: Scope::default(),
        quirks: Quirks::default(),
        is_named: false,
        is_described: false,
        fresh: FRESH,
    })
}
