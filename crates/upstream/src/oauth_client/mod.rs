//! The gateway as OAuth client: of an MCP server's own authorization server, found as the MCP authorization specification says, and
//! of the accounts of GitHub, Google and Atlassian.
//!
//! One [`OauthClient`] stands for one MCP server; it knows no person, keeps no token and writes nothing but our registration. Whoever
//! uses it keeps state, verifier and [`Leg`] together, bound to the person and the browser (CL-040, CL-043, CL-053), and
//! hands the leg back with what the browser brought. What a document names is asked through the guard unless the operator named its
//! host ([`Ways`]). Must never follow a redirect, send a credential to another issuer than that which it belongs to, or put a token
//! or a peer's text into an error or a log.

mod accounts;
mod challenge;
mod discovery;
mod error;
mod exchange;
mod id_jag;
mod minted;
mod registration;
mod revocation;
mod settings;
mod token;
mod ways;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use protocol::oauth::form::Form;
use protocol::oauth::{CodeChallenge, CodeVerifier, Scope, ScopeToken};
use protocol::secret::Secret;
use protocol::world::Clock;
use serde::{Deserialize, Serialize};

pub use challenge::Challenge;
pub use error::{Malformed, OauthClientError, Obstacle, Place, Rejection};
pub use exchange::{SubjectTokenType, Target, TokenExchange};
pub use id_jag::{Addressed, IdentityAssertions, OwnAssertions};
pub use minted::{GithubAppSettings, MintError, MintedToken, Minter};
pub use registration::{InMemory, Known, NotKept, RegisteredClient, Registrations};
pub use revocation::{Revocated, Revoked};
pub use settings::{Kind, OauthClientSettings, OauthClientSettingsError, PreRegistered, Registration};
pub use token::{Binding, Tokens};
pub use ways::Ways;

use self::discovery::{Discovery, Server};
use self::registration::Way;
use self::token::{Asked, ask};
use self::ways::Reach;
use crate::connectors::{ConnectorError, Malformation, Refusal, Returned};
use crate::kept::Kept;

/// Between two discoveries on account of a challenge.
const INTERVAL: Duration = Duration::from_secs(30);

/// A person's way to the authorization server.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// One-time, bound to the person and the browser.
    pub state: &'a str,
    /// Of the verifier that [`OauthClient::redeem`] is given.
    pub challenge: &'a CodeChallenge,
    /// What is needed beside the configured scope, or beside what the person has already: the union is asked for (CL-074).
    pub scope: Option<&'a Scope>,
}

/// Where the person is sent, and what has to be remembered of it.
#[derive(Debug)]
pub struct AuthorizationUrl {
    /// There.
    pub url: String,
    /// Beside state and verifier.
    pub leg: Leg,
}

/// What was settled before the person was sent away: nothing of it may be decided anew by what comes back (CL-040). No secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// To whom the code will have been given.
    pub binding: Binding,
    /// Our redirect URI in the request.
    pub redirect_uri: String,
    /// What was asked for.
    pub scope: String,
    /// Whether an answer without `iss` is refused.
    pub sends_iss: bool,
}

/// What a client is made with.
#[derive(Clone, Debug)]
pub struct OauthWorld {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where dynamic registrations are kept.
    pub registrations: Arc<dyn Registrations>,
    /// The ways out.
    pub ways: Ways,
}

/// The client of one MCP server's authorization server.
pub struct OauthClient {
    clock: Arc<dyn Clock>,
    reach: Reach,
    registering: tokio::sync::Mutex<()>,
    registrations: Arc<dyn Registrations>,
    server: Kept<Server, OauthClientError>,
    settings: OauthClientSettings,
}

impl OauthClient {
    /// A client that has asked nothing yet.
    ///
    /// # Errors
    /// [`OauthClientSettingsError`] if the settings cannot work.
    pub fn new(settings: OauthClientSettings, world: OauthWorld) -> Result<Self, OauthClientSettingsError> {
        settings.verify()?;
        // The accounts are reached at hosts that we name ourselves; what an MCP server's documents name is not.
        let named = [
            Some(settings.url.as_str()),
            settings.authorization_server.as_deref(),
            settings.token_endpoint.as_deref(),
            settings.revocation_endpoint.as_deref(),
        ];
        let mut reach = Reach::new(world.ways, settings.deadline, named);
        if let Some(Ok(server)) = accounts::account(&settings) {
            reach.also(&server);
        }
        Ok(Self {
            server: Kept::lasting(Arc::clone(&world.clock), |server| server.fresh),
            clock: world.clock,
            reach,
            registering: tokio::sync::Mutex::default(),
            registrations: world.registrations,
            settings,
        })
    }

    /// The name of the MCP server.
    #[must_use]
    pub fn server_name(&self) -> &str {
        &self.settings.server
    }

    /// Our redirect URI for it.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.settings.redirect_uri
    }

    /// Our client ID metadata document for it (draft-ietf-oauth-client-id-metadata-document-02, section 4).
    #[must_use]
    pub fn client_metadata_document(&self) -> serde_json::Value {
        registration::document(&self.settings)
    }

    /// Of what the MCP server says that a call needs, what a person may be asked for: all of it where the MCP server says what
    /// is asked for at all (CL-036), and nothing that the operator did not write where they wrote it, or where the account is
    /// not the MCP server's own.
    #[must_use]
    pub fn may_ask(&self, needed: &Scope) -> Scope {
        match self.settings.kind {
            Kind::Mcp if self.settings.scope.is_empty() => needed.clone(),
            Kind::Atlassian | Kind::Github | Kind::Google | Kind::Mcp => {
                needed.intersection(&self.settings.scope)
            }
        }
    }

    /// Where to send the person.
    ///
    /// # Errors
    /// [`OauthClientError`] if it is not known and cannot be learnt now, or we cannot become known there.
    pub async fn begin(&self, attempt: Attempt<'_>) -> Result<AuthorizationUrl, OauthClientError> {
        let server = self.server().await?;
        let client = self.known(&server).await?;
        let scope = self.wanted(&server, attempt.scope, true);
        let leg = Leg {
            binding: Binding {
                issuer: server.issuer.clone(),
                client_id: client.client_id,
                resource: server.resource.clone(),
            },
            redirect_uri: self.settings.redirect_uri.clone(),
            scope: scope.to_string(),
            sends_iss: server.sends_iss,
        };
        let mut url = server.authorization_endpoint.clone();
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", &leg.binding.client_id)
                .append_pair("redirect_uri", &leg.redirect_uri)
                .append_pair("state", attempt.state)
                .append_pair("code_challenge", attempt.challenge.as_str())
                .append_pair("code_challenge_method", "S256");
            if !leg.scope.is_empty() {
                query.append_pair("scope", &leg.scope);
            }
            if let Some(resource) = &leg.binding.resource {
                query.append_pair("resource", resource);
            }
            for (name, value) in &server.quirks.parameters {
                query.append_pair(name, value);
            }
        }
        Ok(AuthorizationUrl { url: url.into(), leg })
    }

    /// Redeems what the browser brought, whose `state` the caller has found to belong to this leg, this person and this browser.
    /// `iss` is judged before anything is sent (RFC 9207, section 2.4), and what an answer of somebody else says is not heard
    /// (CL-046).
    ///
    /// # Errors
    /// [`OauthClientError`].
    pub async fn redeem(
        &self,
        leg: &Leg,
        callback: &Form,
        verifier: &CodeVerifier,
    ) -> Result<Tokens, OauthClientError> {
        let returned = Returned::read(callback).map_err(|_| Malformed::Callback)?;
        let issuer = leg.binding.issuer.as_str();
        let slashed = matches!(self.settings.kind, Kind::Atlassian);
        let is_issuer = |iss: &str| iss == issuer || (slashed && iss.strip_suffix('/') == Some(issuer));
        let code = returned.code(is_issuer, leg.sends_iss).map_err(told)?;
        let server = self.server().await?;
        let client = self.bound(&server, &leg.binding).await?;
        let verifier = verifier.expose(|verifier| Secret::new(verifier.to_owned()));
        let code = Secret::new(code.to_owned());
        let mut fields =
            vec![("grant_type", "authorization_code"), ("redirect_uri", leg.redirect_uri.as_str())];
        fields.extend(leg.binding.resource.as_deref().map(|resource| ("resource", resource)));
        let asked = Asked { fields, secrets: vec![("code", &code), ("code_verifier", &verifier)] };
        let scope = Scope::parse(&leg.scope).unwrap_or_default();
        let tokens = ask(&self.reach, &server, &client, &asked, &scope).await;
        self.judged(&server, &client, tokens).await
    }

    /// Exchanges a refresh token. Sent once. `granted` is the scope that the credential had, which it keeps if the answer does not
    /// say (RFC 6749, section 6).
    ///
    /// # Errors
    /// [`OauthClientError`]; [`OauthClientError::ends_credential`] says whether only a new sign-in helps.
    pub async fn refresh(
        &self,
        refresh_token: &Secret,
        binding: &Binding,
        granted: &Scope,
    ) -> Result<Tokens, OauthClientError> {
        let server = self.server().await?;
        let client = self.bound(&server, binding).await?;
        let mut fields = vec![("grant_type", "refresh_token")];
        // CL-071.
        fields.extend(binding.resource.as_deref().map(|resource| ("resource", resource)));
        let asked = Asked { fields, secrets: vec![("refresh_token", refresh_token)] };
        let tokens = ask(&self.reach, &server, &client, &asked, granted).await;
        self.judged(&server, &client, tokens).await
    }

    /// Learns who authorizes there, if nobody has lately: what is asked next is one request, and soon over.
    ///
    /// # Errors
    /// [`OauthClientError`].
    pub async fn prepare(&self) -> Result<(), OauthClientError> {
        self.server().await.map(drop)
    }

    /// For whoever looks whether it would work: who authorizes there, and in which way we are known. Registers nothing.
    ///
    /// # Errors
    /// [`OauthClientError`].
    pub async fn check(&self) -> Result<String, OauthClientError> {
        let server = self.server().await?;
        let known = match registration::way(&self.settings, &server)? {
            Way::PreRegistered => {
                registration::by_hand(&self.settings, &server)?;
                "by the `client_id` that was registered by hand"
            }
            Way::Document => "by our client ID metadata document",
            Way::Dynamic => "by registering dynamically, when the first person connects",
        };
        Ok(format!("people connect their account at {}, where Sekisho is known {known}", server.issuer))
    }

    /// Looks anew who authorizes there, because a challenge of the MCP server says something that may be new (CL-011); not more
    /// often than every 30 seconds.
    ///
    /// # Errors
    /// [`OauthClientError`].
    pub async fn look_again(&self) -> Result<(), OauthClientError> {
        let seen = self.server().await?;
        self.server.newer(&seen, INTERVAL, self.discover()).await.map(|_| ())
    }

    /// The token endpoint, at which somebody answers.
    async fn reached(&self) -> Result<String, OauthClientError> {
        let server = self.server().await?;
        let endpoint = server.token_endpoint.as_str();
        let request = Request::get(endpoint).body(Bytes::new()).map_err(|_| Obstacle::Metadata)?;
        self.reach.ask(Place::Token, request).await?;
        Ok(endpoint.to_owned())
    }

    async fn server(&self) -> Result<Arc<Server>, OauthClientError> {
        self.server.current(|_| true, self.discover()).await
    }

    async fn discover(&self) -> Result<Server, OauthClientError> {
        if let Some(server) = accounts::account(&self.settings).or_else(|| discovery::named(&self.settings)) {
            return server;
        }
        let clock = &*self.clock;
        let found = Discovery { clock, reach: &self.reach, settings: &self.settings }.run().await;
        if let Err(error) = &found {
            tracing::info!(server = self.settings.server, reason = error.reason(), "{error}");
        }
        found
    }

    /// What is asked for: what is configured, else what the MCP server says that it needs; with what this attempt needs beside it,
    /// and with `offline_access` where that is offered (CL-035, CL-037, CL-074).
    fn wanted(&self, server: &Server, more: Option<&Scope>, lasting: bool) -> Scope {
        let configured = !self.settings.scope.is_empty();
        let base = match more {
            _ if configured => self.settings.scope.clone(),
            Some(more) if server.resource.is_some() => more.clone(),
            Some(_) | None => server.scope.clone(),
        };
        let mut scope = more.map_or_else(|| base.clone(), |more| base.union(more));
        if server.resource.is_none() {
            scope = scope.union(&server.scope);
        }
        let offline = ScopeToken::parse("offline_access").ok();
        let offline = offline.filter(|_| lasting && server.offers_offline_access && !scope.is_empty());
        scope.union(&offline.into_iter().collect())
    }

    /// Who we are there, registering if need be.
    async fn known(&self, server: &Server) -> Result<RegisteredClient, OauthClientError> {
        match registration::way(&self.settings, server)? {
            Way::PreRegistered => registration::by_hand(&self.settings, server),
            Way::Document => Ok(registration::document_client(&self.settings, &self.settings.document_url)),
            Way::Dynamic => self.registered(server).await,
        }
    }

    async fn registered(&self, server: &Server) -> Result<RegisteredClient, OauthClientError> {
        let _turn = self.registering.lock().await;
        let known = self.found(server).await?;
        let is_good = |client: &RegisteredClient| {
            client.redirect_uri == self.settings.redirect_uri
                && client.expires_at.is_none_or(|at| at > self.clock.now())
        };
        if let Some(client) = known.find(is_good) {
            return Ok(client.clone());
        }
        let fresh = registration::register(&self.settings, server, &self.reach).await?;
        let name = &self.settings.server;
        let kept = self.registrations.keep(name, &server.issuer, fresh, known.current.as_ref());
        kept.await.map_err(|NotKept| OauthClientError::Unreachable(Place::Registrations))
    }

    async fn found(&self, server: &Server) -> Result<Known, OauthClientError> {
        let found = self.registrations.find(&self.settings.server, &server.issuer).await;
        found.map_err(|NotKept| OauthClientError::Unreachable(Place::Registrations))
    }

    /// Who we were when this was given, be it under another name of this house (product.md, P-23). Nothing is shown to anybody
    /// else, and nobody else presents it (CL-026, CL-072).
    async fn bound(&self, server: &Server, binding: &Binding) -> Result<RegisteredClient, OauthClientError> {
        if server.issuer != binding.issuer || server.resource != binding.resource {
            // Metadata that is away for a moment makes nobody move.
            let is_said = if server.issuer == binding.issuer { server.is_described } else { server.is_named };
            return Err(if is_said {
                Rejection::Moved.into()
            } else {
                OauthClientError::Unreachable(Place::McpServer)
            });
        }
        // Not in the way in which we would become known today: what we were goes on while it is known.
        let client = match registration::kind(&self.settings, &binding.client_id) {
            Way::PreRegistered => Some(registration::by_hand(&self.settings, server)?),
            Way::Document => Some(registration::document_client(&self.settings, &binding.client_id)),
            // Not registered for this: what is not there was given to somebody who is not there any more.
            Way::Dynamic => {
                self.found(server).await?.find(|client| client.client_id == binding.client_id).cloned()
            }
        };
        client.ok_or_else(|| Rejection::Forgotten.into())
    }

    /// A registration that is not known there any more is forgotten here, once, and with it what it was given.
    async fn judged(
        &self,
        server: &Server,
        client: &RegisteredClient,
        tokens: Result<Tokens, OauthClientError>,
    ) -> Result<Tokens, OauthClientError> {
        if !matches!(tokens, Err(OauthClientError::Obstacle(Obstacle::Client))) {
            return tokens;
        }
        match registration::kind(&self.settings, &client.client_id) {
            Way::Dynamic => {}
            // Read under that name no more, or not at all: only a new sign-in helps.
            Way::Document if client.client_id != self.settings.document_url || !server.takes_documents => {
                return Err(Rejection::Forgotten.into());
            }
            Way::Document | Way::PreRegistered => return tokens,
        }
        let forgotten = self.registrations.forget(&self.settings.server, &server.issuer, &client.client_id);
        forgotten.await.map_err(|NotKept| OauthClientError::Unreachable(Place::Registrations))?;
        Err(Rejection::Forgotten.into())
    }
}

/// What a callback that brings no code means.
fn told(error: ConnectorError) -> OauthClientError {
    match error {
        ConnectorError::Malformed(Malformation::IssuerMismatch) => Malformed::IssuerMismatch.into(),
        ConnectorError::Malformed(Malformation::IssuerMissing) => Malformed::IssuerMissing.into(),
        ConnectorError::Malformed(_) | ConnectorError::NotAllowed(_) => Malformed::Callback.into(),
        ConnectorError::Refused(Refusal::AccessDenied) => Rejection::AccessDenied.into(),
        ConnectorError::Refused(_) => Rejection::Request.into(),
        ConnectorError::Unreachable => OauthClientError::Unreachable(Place::AuthorizationServer),
    }
}

impl fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl fmt::Debug for OauthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OauthClient").field("server", &self.settings.server).finish_non_exhaustive()
    }
}
