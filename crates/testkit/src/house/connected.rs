//! An MCP server of a house whose people connect accounts of their own, at a remote server's own provider.

use std::sync::Arc;
use std::time::Duration;

use protocol::oauth::{Scope, TokenEndpointAuthMethod};
use protocol::secret::Secret;
use protocol::world::Clock;
use resource_server::{Credential, Giver, Provider, Source};
use upstream::client_key::ClientKey;
use upstream::egress::Fetcher;
use upstream::identity_assertion::{ClientProof, Peer};
use upstream::mcp_server::streamable_http::{McpServerClient, McpServerSettings};
use upstream::oauth_client::{
    GithubAppSettings, InMemory, Kind, Minter, OauthClient, OauthClientSettings, OauthWorld, OwnAssertions,
    PreRegistered, Registration, Target, TokenExchange, Ways,
};
use upstream::trust::Trust;

use super::Built;
use crate::identity_providers;
use crate::remote_server::github_app::{APP, INSTALLATION};
use crate::remote_server::{CLIENT_ID, RemoteServer};

/// Which one, and where.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The name in the house.
    pub server: &'static str,
    /// The MCP endpoint.
    pub url: String,
    /// Its authorization server.
    pub issuer: String,
    /// Whether calls go to the house's own fake MCP server, which takes any credential.
    pub beside: bool,
    secret: &'static str,
    by_key: bool,
    for_agents: bool,
    form: Form,
}

/// Which credential it wants.
#[derive(Clone, Debug)]
enum Form {
    /// The person's own connection.
    Connection,
    /// One that our word about the person is exchanged for.
    Exchange,
    /// One that is given for an ID-JAG: of this identity provider, or of our own.
    IdJag(Option<String>),
    /// An installation token of a GitHub App, whose key this is.
    Minted(String),
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Connected {
    /// By this remote server, where we were registered by hand.
    #[must_use]
    pub fn to(server: &'static str, remote: &RemoteServer) -> Self {
        let (url, issuer) = (remote.url.clone(), remote.issuer().to_owned());
        Self {
            server,
            url,
            issuer,
            beside: false,
            secret: remote.client_secret(),
            by_key: false,
            for_agents: false,
            form: Form::Connection,
        }
    }

    /// The same, of an MCP server that stands in the house: it takes any credential, and streams.
    #[must_use]
    pub fn beside(server: &'static str, remote: &RemoteServer) -> Self {
        Self { beside: true, ..Self::to(server, remote) }
    }

    /// The same, where our word about a person is exchanged for a token of theirs.
    #[must_use]
    pub fn exchanging(self) -> Self {
        Self { form: Form::Exchange, ..self }
    }

    /// The same, where ID-JAGs are taken: those of the Okta at this URL, whose people sign in by the connector `idp`, or ours.
    #[must_use]
    pub fn by_id_jags(self, okta: Option<&str>) -> Self {
        Self { form: Form::IdJag(okta.map(str::to_owned)), ..self }
    }

    /// The same, where ID-JAGs are also for whoever acts for a person.
    #[must_use]
    pub fn for_agents(self) -> Self {
        Self { for_agents: true, ..self }
    }

    /// The same, where we prove who we are by the key that the house publishes.
    #[must_use]
    pub fn by_key(self) -> Self {
        Self { by_key: true, ..self }
    }

    /// The same, where the tokens of a GitHub App are taken.
    ///
    /// # Errors
    /// If it knows no app.
    pub fn minting(self, remote: &RemoteServer) -> Built<Self> {
        Ok(Self { form: Form::Minted(remote.app_key()?), ..self })
    }

    fn client(&self, key: ClientKey) -> PreRegistered {
        PreRegistered {
            client_id: CLIENT_ID.to_owned(),
            client_secret: (!self.by_key).then(|| Arc::new(Secret::new(self.secret.to_owned()))),
            key: self.by_key.then_some(key),
            method: self.by_key.then_some(TokenEndpointAuthMethod::PrivateKeyJwt),
        }
    }

    /// What the house is told of it.
    pub(super) fn credential(
        &self,
        pages_url: &str,
        clock: &Arc<dyn Clock>,
        key: ClientKey,
    ) -> Built<Credential> {
        let settings = OauthClientSettings {
            server: self.server.to_owned(),
            url: self.url.clone(),
            resource: None,
            kind: Kind::Mcp,
            authorization_server: Some(self.issuer.clone()),
            token_endpoint: None,
            revocation_endpoint: None,
            client: Some(self.client(key)),
            registration: Registration::Any,
            scope: Scope::default(),
            assume_pkce: false,
            redirect_uri: format!("{pages_url}/connect/{}/callback", self.server),
            document_url: format!("{pages_url}/connect/{}/client", self.server),
            other_document_urls: Vec::new(),
            client_name: "Sekisho".to_owned(),
            deadline: Duration::from_secs(10),
        };
        let world = OauthWorld {
            clock: Arc::clone(clock),
            registrations: Arc::new(InMemory::default()),
            ways: Ways { egress: Arc::new(Fetcher::new(&Trust::new(&[]).map_err(text)?)), guarded: None },
        };
        if let Form::Minted(key) = &self.form {
            return self.minted(key, world);
        }
        let client = OauthClient::new(settings, world).map_err(text)?;
        Ok(match &self.form {
            Form::Connection | Form::Minted(_) => Credential::Connection(Provider(Arc::new(client))),
            Form::IdJag(None) => {
                let at = Box::new(OwnAssertions::new(client).map_err(text)?);
                Credential::Obtained(Source(Arc::new(Giver::OwnIdJag {
                    at,
                    with_address: false,
                    for_agents: self.for_agents,
                })))
            }
            Form::IdJag(Some(okta)) => {
                let provider = Peer {
                    client_id: identity_providers::CLIENT_ID.to_owned(),
                    egress: Arc::new(Fetcher::new(&Trust::new(&[]).map_err(text)?)),
                    issuer: okta.clone(),
                    proof: ClientProof::Post(Secret::new(identity_providers::CLIENT_SECRET.to_owned())),
                };
                let at = Box::new(client.identity_assertions(provider).map_err(text)?);
                let connector = "idp".to_owned();
                Credential::Obtained(Source(Arc::new(Giver::IdJag {
                    connector,
                    at,
                    for_agents: self.for_agents,
                })))
            }
            Form::Exchange => {
                let exchange = TokenExchange::new(client, Target::default()).map_err(text)?;
                Credential::Obtained(Source(Arc::new(Giver::Exchange(Box::new(exchange)))))
            }
        })
    }

    fn minted(&self, key: &str, world: OauthWorld) -> Built<Credential> {
        let settings = GithubAppSettings {
            api_url: self.issuer.clone(),
            app_id: APP.to_owned(),
            installation_id: INSTALLATION,
            private_key: Secret::new(key.to_owned()),
            permissions: vec![("issues".to_owned(), "write".to_owned())],
            repositories: vec!["notes".to_owned()],
        };
        let minter = Minter::github(settings, world.ways.egress, world.clock, Duration::from_secs(10));
        let minter = Giver::Minted(Box::new(minter.map_err(text)?));
        Ok(Credential::Obtained(Source(Arc::new(minter))))
    }

    /// The way to it.
    pub(super) fn way(&self) -> Built<Arc<McpServerClient>> {
        let settings = McpServerSettings {
            url: self.url.clone(),
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(20),
        };
        let trust = Trust::new(&[]).map_err(text)?;
        McpServerClient::new(&settings, &trust).map(Arc::new).map_err(text)
    }
}
