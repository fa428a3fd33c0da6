//! Who gives the credentials that are held in memory alone: from the configuration to where each is asked for.
//!
//! One is kept when the configuration is read anew, with what it gave, unless what it was made from is another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::oauth::Scope;
use protocol::secret::{Hash, Secret};
use protocol::world::Clock;
use resource_server::{Giver, Source};
use upstream::client_key::ClientKey;
use upstream::egress::Fetcher;
use upstream::guarded::{GuardedFetcher, GuardedSettings};
use upstream::identity_assertion::{ClientProof, Peer};
use upstream::oauth_client::{
    GithubAppSettings, InMemory, Kind, Minter, OauthClient, OauthClientSettings, OauthClientSettingsError,
    OauthWorld, OwnAssertions, PreRegistered, Registration, Target, TokenExchange, Ways,
};
use upstream::trust::Trust;

use super::{Trusts, connectors};
use crate::commands::Failure;
use crate::config::Config;
use crate::config::exchange::ExchangeConfig;
use crate::config::id_jag::IdJagConfig;
use crate::config::identity_providers::{IdentityProviderConfig, IdentityProviderKind};
use crate::config::mcp_servers::McpServerConfig;
use crate::config::minted::MintedConfig;
use crate::config::outbound_proxy::OutboundProxyConfig;

/// How long one answer may take.
const DEADLINE: Duration = Duration::from_secs(10);
const PROVIDERS_SECRET: &str = "the client secret at the identity provider";

/// What is at hand to make one.
#[derive(Clone, Copy, Debug)]
pub struct AtHand<'a> {
    /// The time.
    pub clock: &'a Arc<dyn Clock>,
    /// The key by which our clients prove who they are.
    pub key: &'a ClientKey,
    /// Whom we believe over TLS.
    pub trusts: &'a Trusts,
}

/// What one was made from.
#[derive(Debug, PartialEq)]
struct MadeFrom {
    url: String,
    exchange: Option<ExchangeConfig>,
    id_jag: Option<(IdJagConfig, Option<AskedOf>)>,
    minted: Option<MintedConfig>,
    secret: Option<Hash>,
    trust: Trust,
    proxy: Option<OutboundProxyConfig>,
}

/// An identity provider that gives ID-JAGs, with what its files hold: a secret may be another under the same name.
#[derive(Debug, PartialEq)]
struct AskedOf {
    written: IdentityProviderConfig,
    secret: Option<Hash>,
    trust: Trust,
}

impl AskedOf {
    fn read(config: &Config, id: &str, trusts: &Trusts) -> Result<Option<Self>, Failure> {
        let Some(written) = provider(config, id).cloned() else { return Ok(None) };
        let IdentityProviderKind::OpenId(_, registration) = &written.kind else { return Ok(None) };
        let secret = registration.client_secret.as_ref();
        let secret = secret.map(|secret| secret.load(PROVIDERS_SECRET)).transpose()?;
        let trust = trusts.of(config, "https://", registration.settings.ca_file.as_deref())?;
        Ok(Some(Self { secret: secret.as_ref().map(Secret::hash), trust, written }))
    }
}

/// All of them, by the name of their MCP server.
#[derive(Debug, Default)]
pub struct Givers(Mutex<HashMap<String, (MadeFrom, Source)>>);

impl Givers {
    /// That for an MCP server. Dials nothing.
    pub fn of(
        &self,
        config: &Config,
        server: &McpServerConfig,
        at_hand: AtHand<'_>,
    ) -> Result<Source, Failure> {
        let secret = secret(server)?;
        let trusts = at_hand.trusts;
        let from = MadeFrom {
            url: server.settings.url.to_string(),
            exchange: server.exchange.clone(),
            id_jag: match &server.id_jag {
                Some(id_jag) => {
                    let named = id_jag.settings.identity_provider.as_ref();
                    let asked = named.map(|id| AskedOf::read(config, id, trusts)).transpose()?;
                    Some((id_jag.clone(), asked.flatten()))
                }
                None => None,
            },
            minted: server.minted.clone(),
            secret: secret.as_ref().map(Secret::hash),
            trust: trusts.of(config, "https://", server.settings.ca_file.as_deref())?,
            proxy: config.outbound_proxy.clone(),
        };
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, source)) = made.get(&server.settings.name)
            && *before == from
        {
            return Ok(source.clone());
        }
        let source = Source(Arc::new(make(config, server, secret, at_hand)?));
        made.insert(server.settings.name.clone(), (from, source.clone()));
        Ok(source)
    }
}

/// What it is asked with.
fn secret(server: &McpServerConfig) -> Result<Option<Secret>, Failure> {
    let exchange = server.exchange.as_ref().and_then(|exchange| exchange.client_secret.as_ref());
    let id_jag = server.id_jag.as_ref().and_then(|id_jag| id_jag.client_secret.as_ref());
    let minted = server.minted.as_ref().map(|minted| &minted.private_key);
    let source = (exchange.map(|source| (source, "the secret of our client at a token endpoint")))
        .or(id_jag.map(|source| (source, "the secret of our client at an authorization server")))
        .or(minted.map(|source| (source, "the private key of an app")));
    Ok(source.map(|(source, what)| source.load(what)).transpose()?)
}

fn make(
    config: &Config,
    server: &McpServerConfig,
    secret: Option<Secret>,
    at_hand: AtHand<'_>,
) -> Result<Giver, Failure> {
    match (&server.exchange, &server.id_jag, &server.minted, secret) {
        (Some(exchange), _, _, secret) => one_that_exchanges(config, server, (exchange, secret), at_hand),
        (None, Some(id_jag), _, secret) => one_for_id_jags(config, server, (id_jag, secret), at_hand),
        (None, None, Some(minted), Some(key)) => one_that_mints(config, server, (minted, key), at_hand),
        (None, None, _, _) => Err(wrong(server, "nobody gives its credential")),
    }
}

/// The one of an MCP server, for seeing whether it would work.
pub fn one(config: &Config, server: &McpServerConfig, at_hand: AtHand<'_>) -> Result<Giver, Failure> {
    make(config, server, secret(server)?, at_hand)
}

fn wrong(server: &McpServerConfig, what: impl std::fmt::Display) -> Failure {
    Failure::Wiring(format!("[[mcp_server]] `{}`: {what}", server.settings.name))
}

fn one_that_exchanges(
    config: &Config,
    server: &McpServerConfig,
    (exchange, secret): (&ExchangeConfig, Option<Secret>),
    at_hand: AtHand<'_>,
) -> Result<Giver, Failure> {
    let written = &exchange.settings;
    let without_resource = written.resource.as_deref() == Some("off");
    let settings = OauthClientSettings {
        resource: written.resource.clone().filter(|_| !without_resource),
        authorization_server: Some(written.authorization_server.clone()),
        token_endpoint: written.token_endpoint.clone(),
        revocation_endpoint: written.revocation_endpoint.clone(),
        client: Some(PreRegistered {
            method: written.client_authentication,
            ..client(&written.client_id, secret, at_hand.key, written.assertion_audience.as_deref())
        }),
        scope: Scope::parse(&written.scopes.join(" ")).map_err(|error| wrong(server, error))?,
        ..settings(config, server)
    };
    let client = OauthClient::new(settings, world(config, server, at_hand)?);
    let target = Target { audience: written.audience.clone(), without_resource };
    let made = client.and_then(|client| TokenExchange::new(client, target));
    made.map(|exchange| Giver::Exchange(Box::new(exchange)))
        .map_err(|error| wrong(server, format!("exchange: {error}")))
}

fn provider<'a>(config: &'a Config, id: &str) -> Option<&'a IdentityProviderConfig> {
    config.identity_providers.iter().find(|provider| provider.settings.id == id)
}

fn one_for_id_jags(
    config: &Config,
    server: &McpServerConfig,
    (id_jag, secret): (&IdJagConfig, Option<Secret>),
    at_hand: AtHand<'_>,
) -> Result<Giver, Failure> {
    let written = &id_jag.settings;
    let settings = OauthClientSettings {
        resource: written.resource.clone(),
        authorization_server: Some(written.authorization_server.clone()),
        token_endpoint: written.token_endpoint.clone(),
        revocation_endpoint: written.revocation_endpoint.clone(),
        client: Some(PreRegistered {
            method: written.client_authentication,
            ..client(&written.client_id, secret, at_hand.key, written.assertion_audience.as_deref())
        }),
        scope: Scope::parse(&written.scopes.join(" ")).map_err(|error| wrong(server, error))?,
        ..settings(config, server)
    };
    let told = |error: OauthClientSettingsError| wrong(server, format!("id_jag: {error}"));
    let client = OauthClient::new(settings, world(config, server, at_hand)?).map_err(told)?;
    let Some(id) = &written.identity_provider else {
        let at = Box::new(OwnAssertions::new(client).map_err(told)?);
        return Ok(Giver::OwnIdJag {
            at,
            with_address: written.tell_address,
            for_agents: written.for_agents,
        });
    };
    let at = client.identity_assertions(peer(config, server, id, at_hand.trusts)?).map_err(told)?;
    Ok(Giver::IdJag { connector: id.clone(), at: Box::new(at), for_agents: written.for_agents })
}

/// Who we are at the identity provider that gives the ID-JAGs.
fn peer(config: &Config, server: &McpServerConfig, id: &str, trusts: &Trusts) -> Result<Peer, Failure> {
    let wrong = |what: &str| wrong(server, format!("id_jag: {what} `{id}`"));
    let provider = provider(config, id).ok_or_else(|| wrong("there is no [[identity_provider]]"))?;
    let IdentityProviderKind::OpenId(openid, registration) = &provider.kind else {
        return Err(wrong("no OpenID provider is the [[identity_provider]]"));
    };
    if !registration.settings.recheck {
        return Err(wrong(
            "what it is asked by is kept only with `recheck = true` of the [[identity_provider]]",
        ));
    }
    let secret = registration.client_secret.as_ref().ok_or_else(|| wrong("a client secret is missing at"))?;
    let issuer = connectors::issuer(provider, openid)?;
    let route = trusts.route(config, &issuer, registration.settings.ca_file.as_deref())?;
    Ok(Peer {
        client_id: registration.settings.client_id.clone(),
        egress: Arc::new(Fetcher::new(route)),
        issuer,
        proof: ClientProof::Post(secret.load(PROVIDERS_SECRET)?),
    })
}

fn one_that_mints(
    config: &Config,
    server: &McpServerConfig,
    (minted, private_key): (&MintedConfig, Secret),
    at_hand: AtHand<'_>,
) -> Result<Giver, Failure> {
    let written = &minted.settings;
    let settings = GithubAppSettings {
        api_url: written.api_url.clone(),
        app_id: written.app_id.clone(),
        installation_id: written.installation_id,
        private_key,
        permissions: minted.permissions(),
        repositories: written.repositories.clone(),
    };
    let OauthWorld { clock, ways, .. } = world(config, server, at_hand)?;
    let minter = Minter::github(settings, ways.egress, clock, DEADLINE);
    minter
        .map(|minter| Giver::Minted(Box::new(minter)))
        .map_err(|error| wrong(server, format!("minted: {error}")))
}

/// Our client there: with its secret, or with our key.
fn client(id: &str, secret: Option<Secret>, key: &ClientKey, audience: Option<&str>) -> PreRegistered {
    PreRegistered {
        client_id: id.to_owned(),
        key: secret.is_none().then(|| key.clone().with_audience(audience)),
        client_secret: secret.map(Arc::new),
        method: None,
    }
}

/// What all clients without a browser have in common.
fn settings(config: &Config, server: &McpServerConfig) -> OauthClientSettings {
    let name = &server.settings.name;
    OauthClientSettings {
        server: name.clone(),
        url: server.settings.url.to_string(),
        resource: None,
        kind: Kind::Mcp,
        authorization_server: None,
        token_endpoint: None,
        revocation_endpoint: None,
        client: None,
        registration: Registration::PreRegistered,
        scope: Scope::default(),
        // No browser goes there.
        assume_pkce: true,
        redirect_uri: format!("{}/connect/{name}/callback", config.house.pages_url()),
        document_url: format!("{}/connect/{name}/client", config.house.public_url),
        other_document_urls: Vec::new(),
        client_name: "Sekisho".to_owned(),
        deadline: DEADLINE,
    }
}

fn world(
    config: &Config,
    server: &McpServerConfig,
    AtHand { clock, trusts, .. }: AtHand<'_>,
) -> Result<OauthWorld, Failure> {
    let trust = trusts.of(config, "https://", server.settings.ca_file.as_deref())?;
    let mut route = trusts.route(config, "https://", None)?;
    route.trust = trust.clone();
    let guarded = GuardedSettings { proxy: trusts.proxy(config)?, ..GuardedSettings::new(trust) };
    Ok(OauthWorld {
        clock: Arc::clone(clock),
        registrations: Arc::new(InMemory::default()),
        ways: Ways {
            egress: Arc::new(Fetcher::new(route)),
            guarded: Some(GuardedFetcher::new(&guarded, Arc::clone(clock))),
        },
    })
}
