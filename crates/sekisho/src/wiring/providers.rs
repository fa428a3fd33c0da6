//! Where people connect accounts for MCP servers: from the configuration to the OAuth client of each, and the record of who we
//! are there.
//!
//! A client is kept when the configuration is read anew, unless what it was made from is another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use protocol::id::Id;
use protocol::keys::Keys;
use protocol::oauth::Scope;
use protocol::secret::{Hash, Sealed, Secret};
use protocol::world::{Clock, Entropy};
use store::{Replaced, Store, UpstreamClientRecord};
use upstream::egress::Fetcher;
use upstream::guarded::{GuardedFetcher, GuardedSettings};
use upstream::oauth_client::{
    InMemory, Kind, Known, NotKept, OauthClient, OauthClientSettings, OauthWorld, PreRegistered,
    RegisteredClient, Registration, Registrations, Ways,
};
use upstream::trust::Trust;

use super::Trusts;
use super::roles::Shared;
use crate::commands::Failure;
use crate::config::Config;
use crate::config::credentials::ConnectionConfig;
use crate::config::mcp_servers::McpServerConfig;

/// How long a provider may take for one answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a client was made from: where the MCP server is, what was written of its provider, our own names, the secret.
type MadeFrom = (String, Option<ConnectionConfig>, String, Option<Hash>, Trust);

/// By the name of the MCP server and that of the house: while it moves each of its names has its own.
type Made = HashMap<(String, String), (MadeFrom, Arc<OauthClient>)>;

/// The clients.
#[derive(Debug, Default)]
pub struct Providers(Mutex<Made>);

impl Providers {
    /// The client for an MCP server. Dials nothing.
    pub fn of(
        &self,
        config: &Config,
        shared: &Shared,
        server: &McpServerConfig,
    ) -> Result<Arc<OauthClient>, Failure> {
        let secret = secret(server)?;
        let url = server.settings.url.to_string();
        let trust = trust(config, server, &shared.trusts)?;
        let names = [&[config.house.pages_url().to_owned()], config.names().as_slice()].concat().join(" ");
        let from = (
            url,
            server.connection.clone(),
            names,
            secret.as_ref().map(|secret| secret.hash()),
            trust.clone(),
        );
        let name = (server.settings.name.clone(), config.house.public_url.clone());
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, client)) = made.get(&name)
            && *before == from
        {
            return Ok(Arc::clone(client));
        }
        let clock = &shared.world.clock;
        let registrations = Arc::new(Registered {
            store: Arc::clone(&shared.store),
            keys: Arc::clone(shared.keeper.keys()),
            clock: Arc::clone(clock),
            entropy: Arc::clone(&shared.world.entropy),
        });
        let world = OauthWorld {
            registrations,
            ways: ways(config, trust, (&shared.trusts, clock))?,
            clock: Arc::clone(clock),
        };
        let client = Arc::new(client(config, server, secret, world)?);
        made.insert(name, (from, Arc::clone(&client)));
        Ok(client)
    }
}

/// That of an MCP server, for seeing whether it would work. It keeps no registration.
pub fn one(
    config: &Config,
    server: &McpServerConfig,
    (trusts, clock): (&Trusts, &Arc<dyn Clock>),
) -> Result<OauthClient, Failure> {
    let ways = ways(config, trust(config, server, trusts)?, (trusts, clock))?;
    let world = OauthWorld { registrations: Arc::new(InMemory::default()), ways, clock: Arc::clone(clock) };
    client(config, server, secret(server)?, world)
}

fn wrong(server: &McpServerConfig, what: impl std::fmt::Display) -> Failure {
    Failure::Wiring(format!("[[mcp_server]] `{}`: connection: {what}", server.settings.name))
}

fn secret(server: &McpServerConfig) -> Result<Option<Secret>, Failure> {
    let source = server.connection.as_ref().and_then(|connection| connection.client_secret.as_ref());
    Ok(source.map(|source| source.load("the secret of our client at a provider")).transpose()?)
}

fn trust(config: &Config, server: &McpServerConfig, trusts: &Trusts) -> Result<Trust, Failure> {
    trusts.of(config, "https://", server.settings.ca_file.as_deref())
}

fn ways(config: &Config, trust: Trust, (trusts, clock): (&Trusts, &Arc<dyn Clock>)) -> Result<Ways, Failure> {
    let mut route = trusts.route(config, "https://", None)?;
    route.trust = trust.clone();
    let guarded = GuardedSettings { proxy: trusts.proxy(config)?, ..GuardedSettings::new(trust) };
    Ok(Ways {
        egress: Arc::new(Fetcher::new(route)),
        guarded: Some(GuardedFetcher::new(&guarded, Arc::clone(clock))),
    })
}

fn client(
    config: &Config,
    server: &McpServerConfig,
    secret: Option<Secret>,
    world: OauthWorld,
) -> Result<OauthClient, Failure> {
    let settings = settings(config, server, secret).map_err(|error| wrong(server, error))?;
    OauthClient::new(settings, world).map_err(|error| wrong(server, error))
}

fn settings(
    config: &Config,
    server: &McpServerConfig,
    secret: Option<Secret>,
) -> Result<OauthClientSettings, String> {
    let written = server.connection.as_ref().map(|connection| &connection.settings);
    let name = &server.settings.name;
    let scope = written.map(|written| Scope::parse(&written.scopes.join(" "))).transpose();
    let client = written.and_then(|written| written.client_id.clone()).map(|client_id| PreRegistered {
        client_id,
        client_secret: secret.map(Arc::new),
        key: None,
        method: None,
    });
    let document_url = |of: &str| format!("{of}/connect/{name}/client");
    Ok(OauthClientSettings {
        server: name.clone(),
        url: server.settings.url.to_string(),
        resource: written.and_then(|written| written.resource.clone()),
        kind: written.map_or(Kind::Mcp, |written| written.kind),
        authorization_server: written.and_then(|written| written.authorization_server.clone()),
        token_endpoint: None,
        revocation_endpoint: None,
        client,
        registration: written.map_or(Registration::Any, |written| written.registration),
        scope: scope.map_err(|error| error.to_string())?.unwrap_or_default(),
        assume_pkce: written.is_some_and(|written| written.assume_pkce),
        redirect_uri: format!("{}/connect/{name}/callback", config.house.pages_url()),
        document_url: document_url(&config.house.public_url),
        other_document_urls: config.names().iter().skip(1).map(|name| document_url(name)).collect(),
        client_name: "Sekisho".to_owned(),
        deadline: DEADLINE,
    })
}

/// The tables for which registrations are sealed (attacks.md, ST-02).
const CURRENT: &str = UpstreamClientRecord::CURRENT;
const FORMER: &str = UpstreamClientRecord::FORMER;

/// Who we are where we registered ourselves, in the record, for all nodes.
#[derive(Debug)]
pub struct Registered {
    /// The record.
    pub store: Arc<dyn Store>,
    /// The keys, by which it is sealed.
    pub keys: Arc<ArcSwap<Keys>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

impl Registered {
    fn open(&self, table: &str, record: &UpstreamClientRecord) -> Option<RegisteredClient> {
        let opened = self.keys.load().sealing.open(&record.context(table), &record.sealed).ok()?;
        RegisteredClient::from_text(std::str::from_utf8(&opened).ok()?)
    }

    async fn known(&self, server: &str, issuer: &str) -> Result<Known, NotKept> {
        let current = self.store.find_upstream_client(server, issuer).await.map_err(|_| NotKept)?;
        let former = self.store.list_former_upstream_clients(server, issuer).await.map_err(|_| NotKept)?;
        Ok(Known {
            current: current.and_then(|record| self.open(CURRENT, &record)),
            former: former.iter().filter_map(|record| self.open(FORMER, record)).collect(),
        })
    }

    fn record(
        &self,
        table: &str,
        (server, issuer): (&str, &str),
        client: &RegisteredClient,
    ) -> UpstreamClientRecord {
        let now = self.clock.now();
        let mut record = UpstreamClientRecord {
            id: Id::mint(now, &*self.entropy),
            server: server.to_owned(),
            issuer: issuer.to_owned(),
            client_id: client.client_id.clone(),
            sealed: Sealed::from_bytes(Vec::new()),
            created_at: now,
        };
        let keys = self.keys.load();
        let seal =
            |text: &str| keys.sealing.active().seal(&record.context(table), text.as_bytes(), &*self.entropy);
        record.sealed = client.to_secret().expose(seal);
        record
    }
}

impl Registrations for Registered {
    fn find<'a>(&'a self, server: &'a str, issuer: &'a str) -> BoxFuture<'a, Result<Known, NotKept>> {
        Box::pin(self.known(server, issuer))
    }

    fn keep<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
        client: RegisteredClient,
        instead_of: Option<&'a RegisteredClient>,
    ) -> BoxFuture<'a, Result<RegisteredClient, NotKept>> {
        Box::pin(async move {
            let place = (server, issuer);
            let replaced = instead_of.map(|old| Replaced {
                client_id: old.client_id.clone(),
                kept: (old.redirect_uri != client.redirect_uri).then(|| self.record(FORMER, place, old)),
            });
            // Whoever was faster is who we are.
            let put = self.store.put_upstream_client(self.record(CURRENT, place, &client), replaced).await;
            put.map_err(|_| NotKept)?;
            let known = self.known(server, issuer).await?;
            known.find(|one| one.redirect_uri == client.redirect_uri).cloned().ok_or(NotKept)
        })
    }

    fn forget<'a>(
        &'a self,
        server: &'a str,
        issuer: &'a str,
        client_id: &'a str,
    ) -> BoxFuture<'a, Result<(), NotKept>> {
        Box::pin(async move {
            let forgotten = self.store.forget_upstream_client(server, issuer, client_id).await;
            forgotten.map(|_| ()).map_err(|_| NotKept)
        })
    }
}
