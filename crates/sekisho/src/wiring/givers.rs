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
use upstream::egress::Fetcher;
use upstream::guarded::{GuardedFetcher, GuardedSettings};
use upstream::oauth_client::{
    InMemory, Kind, OauthClient, OauthClientSettings, OauthWorld, PreRegistered, Registration, Target,
    TokenExchange, Ways,
};
use upstream::trust::Trust;

use super::Trusts;
use crate::commands::Failure;
use crate::config::Config;
use crate::config::exchange::ExchangeConfig;
use crate::config::mcp_servers::McpServerConfig;
use crate::config::outbound_proxy::OutboundProxyConfig;

/// How long one answer may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What is at hand to make one.
pub type AtHand<'a> = (&'a Arc<dyn Clock>, &'a Trusts);

/// What one was made from.
#[derive(Debug, PartialEq)]
struct MadeFrom {
    url: String,
    exchange: Option<ExchangeConfig>,
    secret: Hash,
    trust: Trust,
    proxy: Option<OutboundProxyConfig>,
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
        let (_, trusts) = at_hand;
        let from = MadeFrom {
            url: server.settings.url.to_string(),
            exchange: server.exchange.clone(),
            secret: secret.hash(),
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
fn secret(server: &McpServerConfig) -> Result<Secret, Failure> {
    match &server.exchange {
        Some(exchange) => Ok(exchange.client_secret.load("the secret of our client at a token endpoint")?),
        None => Err(wrong(server, "nobody gives its credential")),
    }
}

fn make(
    config: &Config,
    server: &McpServerConfig,
    secret: Secret,
    at_hand: AtHand<'_>,
) -> Result<Giver, Failure> {
    match &server.exchange {
        Some(exchange) => one_that_exchanges(config, server, (exchange, secret), at_hand),
        None => Err(wrong(server, "nobody gives its credential")),
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
    (exchange, secret): (&ExchangeConfig, Secret),
    at_hand: AtHand<'_>,
) -> Result<Giver, Failure> {
    let written = &exchange.settings;
    let without_resource = written.resource.as_deref() == Some("off");
    let settings = OauthClientSettings {
        resource: written.resource.clone().filter(|_| !without_resource),
        authorization_server: Some(written.authorization_server.clone()),
        token_endpoint: written.token_endpoint.clone(),
        client: Some(PreRegistered {
            client_id: written.client_id.clone(),
            client_secret: Some(Arc::new(secret)),
            method: written.client_authentication,
        }),
        scope: Scope::parse(&written.scopes.join(" ")).map_err(|error| wrong(server, error))?,
        ..settings(config, server)
    };
    let client = OauthClient::new(settings, world(config, server, at_hand)?);
    let target = Target { audience: written.audience.clone(), without_resource };
    let made = client.and_then(|client| TokenExchange::new(client, target));
    made.map(Giver::Exchange).map_err(|error| wrong(server, format!("exchange: {error}")))
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
    (clock, trusts): AtHand<'_>,
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
