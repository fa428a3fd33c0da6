//! How an authorization server comes to know us: by a client that was registered by hand, by our client ID metadata document, or
//! dynamically (MCP 2026-07-28, client registration; RFC 7591; draft-ietf-oauth-client-id-metadata-document-02).
//!
//! What belongs to one issuer is never shown to another (CL-025, CL-026): a registration is kept by MCP server and issuer, and the
//! secret of a client that was registered by hand goes to the issuer that the operator named with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use protocol::oauth::TokenEndpointAuthMethod;
use protocol::secret::Secret;
use protocol::world::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;

use super::discovery::Server;
use super::error::{Malformed, OauthClientError, Obstacle, Place};
use super::settings::{OauthClientSettings, Registration};
use super::ways::Reach;
use crate::client_key::ClientKey;
use crate::document::is_json;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// No honest client id is longer.
const LONGEST: usize = 2048;

/// Who we are at an authorization server.
#[derive(Clone)]
pub struct RegisteredClient {
    /// Our id there.
    pub client_id: String,
    /// Our secret there, if we have one.
    pub client_secret: Option<Arc<Secret>>,
    /// By which key we prove who we are, in place of a secret. A client that registered itself has none.
    pub key: Option<ClientKey>,
    /// How we authenticate there.
    pub method: TokenEndpointAuthMethod,
    /// The redirect URI that it was registered with: with another one it is of no use.
    pub redirect_uri: String,
    /// When the secret ends.
    pub expires_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    client_id: String,
    client_secret: Option<String>,
    method: String,
    redirect_uri: String,
    expires_at: Option<i64>,
}

impl RegisteredClient {
    /// As it is sealed.
    #[must_use]
    pub fn to_secret(&self) -> Secret {
        let secret = self.client_secret.as_ref().map(|secret| secret.expose(str::to_owned));
        let written = Written {
            client_id: self.client_id.clone(),
            client_secret: secret,
            method: self.method.as_str().to_owned(),
            redirect_uri: self.redirect_uri.clone(),
            expires_at: self.expires_at.map(Timestamp::secs),
        };
        Secret::new(serde_json::to_string(&written).unwrap_or_default())
    }

    /// As it was sealed.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let written: Written = serde_json::from_str(text).ok()?;
        Some(Self {
            client_id: written.client_id,
            client_secret: written.client_secret.map(Secret::new).map(Arc::new),
            key: None,
            method: TokenEndpointAuthMethod::parse(&written.method)?,
            redirect_uri: written.redirect_uri,
            expires_at: written.expires_at.map(Timestamp::from_secs),
        })
    }
}

impl fmt::Debug for RegisteredClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredClient").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// The record of registrations does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the record of registrations does not answer")]
pub struct NotKept;

/// Our registrations for one MCP server at one issuer.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The last one.
    pub current: Option<RegisteredClient>,
    /// Those before it, for other addresses of ours: what was given to them goes on (product.md, P-23).
    pub former: Vec<RegisteredClient>,
}

impl Known {
    /// The first of which this is so.
    #[must_use]
    pub fn find(&self, is_so: impl Fn(&RegisteredClient) -> bool) -> Option<&RegisteredClient> {
        self.current.iter().chain(&self.former).find(|client| is_so(client))
    }
}

/// Where dynamic registrations are kept, for all nodes.
pub trait Registrations: Send + Sync + fmt::Debug {
    /// Our registrations for this MCP server at this issuer.
    fn find<'a>(&'a self, server: &'a str, issuer: &'a str) -> BoxFuture<'a, Result<Known, NotKept>>;

    /// Keeps one in the place of `instead_of`, or where there is none; what stands there then, which is another node's if that
    /// was faster. What it takes the place of is former then, unless it was for the same address of ours.
    fn keep<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
        client: RegisteredClient,
        instead_of: Option<&'a RegisteredClient>,
    ) -> BoxFuture<'a, Result<RegisteredClient, NotKept>>;

    /// Forgets one that the authorization server does not know any more, by its client id.
    fn forget<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
        client_id: &'a str,
    ) -> BoxFuture<'a, Result<(), NotKept>>;
}

/// Registrations of one process, which end with it: for tests.
#[derive(Debug, Default)]
pub struct InMemory(Mutex<HashMap<(String, String), Known>>);

impl Registrations for InMemory {
    fn find<'a>(&'a self, server: &'a str, issuer: &'a str) -> BoxFuture<'a, Result<Known, NotKept>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = held.get(&(server.to_owned(), issuer.to_owned())).cloned();
        Box::pin(async move { Ok(found.unwrap_or_default()) })
    }

    fn keep<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
        client: RegisteredClient,
        instead_of: Option<&'a RegisteredClient>,
    ) -> BoxFuture<'a, Result<RegisteredClient, NotKept>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = held.entry((server.to_owned(), issuer.to_owned())).or_default();
        let id = |client: &RegisteredClient| client.client_id.clone();
        if known.current.as_ref().map(id) == instead_of.map(id) {
            let replaced = known.current.replace(client.clone());
            known.former.extend(replaced.filter(|old| old.redirect_uri != client.redirect_uri));
        }
        let stands = known.find(|one| one.redirect_uri == client.redirect_uri).cloned().ok_or(NotKept);
        Box::pin(async move { stands })
    }

    fn forget<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
        client_id: &'a str,
    ) -> BoxFuture<'a, Result<(), NotKept>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held.get_mut(&(server.to_owned(), issuer.to_owned())) {
            known.current.take_if(|one| one.client_id == client_id);
            known.former.retain(|one| one.client_id != client_id);
        }
        Box::pin(async { Ok(()) })
    }
}

/// In which way we are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Document,
    Dynamic,
    PreRegistered,
}

/// CL-015.
pub(super) fn way(settings: &OauthClientSettings, server: &Server) -> Result<Way, OauthClientError> {
    let document = server.takes_documents.then_some(Way::Document);
    let dynamic = server.registration_endpoint.as_ref().map(|_| Way::Dynamic);
    let by_hand = settings.client.as_ref().map(|_| Way::PreRegistered);
    let way = match settings.registration {
        Registration::Any => by_hand.or(document).or(dynamic),
        Registration::Dynamic => dynamic,
        Registration::MetadataDocument => document,
        Registration::PreRegistered => by_hand,
    };
    way.ok_or_else(|| Obstacle::NoRegistration.into())
}

/// In which way we were known by this id: our documents are at addresses of ours, and the operator wrote the id of a client
/// that was registered by hand.
pub(super) fn kind(settings: &OauthClientSettings, client_id: &str) -> Way {
    let by_hand = settings.client.as_ref().is_some_and(|client| client.client_id == client_id);
    let mut documents = std::iter::once(&settings.document_url).chain(&settings.other_document_urls);
    match () {
        () if by_hand => Way::PreRegistered,
        () if documents.any(|url| url == client_id) => Way::Document,
        () => Way::Dynamic,
    }
}

/// The client that was registered by hand, with a method that the authorization server has.
pub(super) fn by_hand(
    settings: &OauthClientSettings,
    server: &Server,
) -> Result<RegisteredClient, OauthClientError> {
    let client = settings.client.as_ref().ok_or(Obstacle::NoRegistration)?;
    let method = match (client.method, &client.client_secret) {
        (Some(method), _) => method,
        (None, None) => TokenEndpointAuthMethod::None,
        (None, Some(_)) => with_secret(server).ok_or(Obstacle::Client)?,
    };
    Ok(RegisteredClient {
        client_id: client.client_id.clone(),
        client_secret: client.client_secret.clone(),
        key: client.key.clone(),
        method,
        redirect_uri: settings.redirect_uri.clone(),
        expires_at: None,
    })
}

fn with_secret(server: &Server) -> Option<TokenEndpointAuthMethod> {
    let offers = |wanted: &TokenEndpointAuthMethod| server.methods.iter().any(|one| one == wanted.as_str());
    [TokenEndpointAuthMethod::ClientSecretBasic, TokenEndpointAuthMethod::ClientSecretPost]
        .into_iter()
        .find(offers)
}

/// Our client ID metadata document (section 4 of the draft): public, because a shared secret may not be in it.
pub(super) fn document(settings: &OauthClientSettings) -> serde_json::Value {
    let mut document = described(settings, TokenEndpointAuthMethod::None);
    document["client_id"] = settings.document_url.as_str().into();
    document
}

/// What the document and a registration have in common.
fn described(settings: &OauthClientSettings, method: TokenEndpointAuthMethod) -> serde_json::Value {
    let mut metadata = json!({
        "client_name": settings.client_name,
        "redirect_uris": [settings.redirect_uri],
        // CL-024.
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method.as_str(),
        // CL-022: hosted, not on somebody's machine.
        "application_type": "web",
    });
    if !settings.scope.is_empty() {
        metadata["scope"] = settings.scope.to_string().into();
    }
    metadata
}

/// As whom we are known by the document at this address of ours.
pub(super) fn document_client(settings: &OauthClientSettings, at: &str) -> RegisteredClient {
    RegisteredClient {
        client_id: at.to_owned(),
        client_secret: None,
        key: None,
        method: TokenEndpointAuthMethod::None,
        redirect_uri: settings.redirect_uri.clone(),
        expires_at: None,
    }
}

#[derive(Deserialize)]
struct Registered {
    client_id: String,
    client_secret: Option<String>,
    #[serde(default)]
    client_secret_expires_at: i64,
    token_endpoint_auth_method: Option<String>,
}

/// Registers (RFC 7591, section 3.1).
pub(super) async fn register(
    settings: &OauthClientSettings,
    server: &Server,
    reach: &Reach,
) -> Result<RegisteredClient, OauthClientError> {
    let endpoint = server.registration_endpoint.as_ref().ok_or(Obstacle::NoRegistration)?;
    // A secret is better than none; none is better than not to be registered.
    let wished = with_secret(server).unwrap_or(TokenEndpointAuthMethod::None);
    let request = Request::post(endpoint.as_str())
        .header(ACCEPT, JSON)
        .header(CONTENT_TYPE, JSON)
        .body(Bytes::from(described(settings, wished).to_string()))
        .map_err(|_| Obstacle::Metadata)?;
    let answer = reach.ask(Place::Registration, request).await?;
    read(&answer, wished, &settings.redirect_uri)
}

fn read(
    answer: &Response<Bytes>,
    wished: TokenEndpointAuthMethod,
    redirect_uri: &str,
) -> Result<RegisteredClient, OauthClientError> {
    match answer.status() {
        StatusCode::CREATED | StatusCode::OK if is_json(answer.headers()) => {}
        // CL-023: it says no, to our redirect URI or to strangers.
        status if status.is_client_error() => {
            tracing::info!(
                status = status.as_u16(),
                "an authorization server refuses to register this server"
            );
            return Err(Obstacle::Registration.into());
        }
        _ => return Err(Malformed::Registration.into()),
    }
    let read: Registered = serde_json::from_slice(answer.body()).map_err(|_| Malformed::Registration)?;
    let secret = read.client_secret.filter(|secret| !secret.is_empty()).map(Secret::new).map(Arc::new);
    // It may give another method than was asked for (RFC 7591, section 3.2.1).
    let method = match read.token_endpoint_auth_method.as_deref() {
        Some("client_secret_basic") => TokenEndpointAuthMethod::ClientSecretBasic,
        Some("client_secret_post") => TokenEndpointAuthMethod::ClientSecretPost,
        Some("none") => TokenEndpointAuthMethod::None,
        Some(_) => return Err(Malformed::Registration.into()),
        None if secret.is_some() => wished,
        None => TokenEndpointAuthMethod::None,
    };
    let needs_secret = method != TokenEndpointAuthMethod::None;
    let fits = (1..=LONGEST).contains(&read.client_id.len())
        && read.client_id.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && (!needs_secret || secret.is_some());
    if !fits {
        return Err(Malformed::Registration.into());
    }
    Ok(RegisteredClient {
        client_id: read.client_id,
        client_secret: secret.filter(|_| needs_secret),
        key: None,
        method,
        redirect_uri: redirect_uri.to_owned(),
        expires_at: (read.client_secret_expires_at > 0)
            .then(|| Timestamp::from_secs(read.client_secret_expires_at)),
    })
}
