//! The two roles, each with the small struct of settings that it is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use authorization_server::keys::Keeper;
use authorization_server::{
    AuthorizationServer, ClientKeys, ConsentSettings, DocumentRules, Lifetimes, MayAct, PreRegisteredClient,
    PushedRules, Registrations, ServiceAccount,
};
use protocol::jose::dpop::Memory;
use protocol::oauth::{ClientId, DpopRules, RedirectPolicy, Scope, client_assertion};
use resource_server::{KeptArguments, OtherIssuer, ResourceServer};
use store::{PendingCaps, Store, Timeline};
use upstream::egress::Fetcher;
use upstream::key_sets::{KeySets, KeySource};

use super::assembly::Ways;
use super::documents::Documents;
use super::givers::Givers;
use super::providers::Providers;
use super::{
    Trusts, World, client_policy, connectors, mcp_servers, provider_signals, telemetry, trusted_issuers,
    workloads,
};
use crate::commands::Failure;
use crate::config::Config;
use crate::config::audit::KeptArgument;
use crate::config::clients::PreRegisteredConfig;
use crate::config::identity_providers::IdentityProviderConfig;
use crate::config::service_accounts;
use crate::config::tokens::DpopReplays;

/// What both roles share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The record.
    pub store: Arc<dyn Store>,
    /// The keys; they rotate.
    pub keeper: Arc<Keeper>,
    /// What the authorization server remembers of proofs of possession.
    pub proofs: Arc<Memory>,
    /// What is registered, for the audit.
    pub registrations: Arc<Registrations>,
    /// Time and chance.
    pub world: World,
    /// What is seen of sign-ins.
    pub timeline: Arc<Timeline>,
    /// Who gives what is held in memory alone.
    pub givers: Arc<Givers>,
    /// Where people connect accounts.
    pub providers: Arc<Providers>,
    /// Whom we believe over TLS.
    pub trusts: Arc<Trusts>,
    /// The metadata documents of clients.
    pub documents: Arc<Documents>,
}

/// The authorization server as configured.
pub fn authorization_server(config: &Config, shared: &Shared) -> Result<AuthorizationServer, Failure> {
    let redirects = RedirectPolicy {
        private_schemes: config.clients.private_schemes.clone(),
        own_origins: config.own_origins(),
    };
    let client = |client| pre_registered(config, shared, client, &redirects);
    let servers = config.mcp_servers.iter().map(|server| mcp_servers::entry(config, server));
    let signals = provider_signals::Wiring { config, clock: &shared.world.clock, trusts: &shared.trusts };
    let settings = authorization_server::Settings {
        client_policy: client_policy::of(config)?,
        clients: config.pre_registered.iter().map(client).collect::<Result<_, _>>()?,
        consents: consents(config)?,
        default_server: default_server(config),
        dpop: dpop(config),
        pushed: pushed(config)?,
        introspection: config.mcp_servers.iter().any(|server| server.introspection_secret.is_some()),
        documents: documents(config)?,
        issuer: config.house.public_url.clone(),
        lifetimes: lifetimes(config),
        pages_url: config.house.pages_url().to_owned(),
        pending: PendingCaps {
            per_address: small(config.limits.pending_per_address),
            total: small(config.limits.pending_in_all),
        },
        other_issuers: config.former_names(),
        redirects,
        registration: config.clients.registration,
        servers: servers.collect::<Result<_, _>>()?,
        service_accounts: known_service_accounts(config)?,
        backchannel_logouts: provider_signals::backchannel_logouts(&signals)?,
        global_token_revocations: provider_signals::global_token_revocations(&signals)?,
        security_event_transmitters: provider_signals::security_event_transmitters(&signals)?,
        trusted_issuers: trusted_issuers::all(config, &shared.world.clock, &shared.trusts)?,
        workload_issuers: workloads::issuers(config, &shared.world.clock, &shared.trusts)?,
        home_domains: home_domains(config),
    };
    let connectors = config
        .identity_providers
        .iter()
        .map(|provider| connectors::one(config, provider, &shared.world.clock, &shared.trusts));
    let parts = authorization_server::Parts {
        store: Arc::clone(&shared.store),
        keys: Arc::clone(shared.keeper.keys()),
        keys_read: Arc::clone(shared.keeper.freshness()),
        proofs: Arc::clone(&shared.proofs),
        registrations: Arc::clone(&shared.registrations),
        connectors: connectors.collect::<Result<_, _>>()?,
        clock: Arc::clone(&shared.world.clock),
        documents: shared.documents.of(config, &shared.trusts, &shared.world.clock)?,
        entropy: Arc::clone(&shared.world.entropy),
        timeline: Arc::clone(&shared.timeline),
    };
    Ok(AuthorizationServer::new(settings, parts))
}

fn lifetimes(config: &Config) -> Lifetimes {
    Lifetimes {
        access_token: config.tokens.access_token,
        authorization: config.tokens.authorization,
        browser_session: config.tokens.browser_session,
        grant: config.tokens.grant,
        grant_idle: config.tokens.grant_idle,
        ..Lifetimes::default()
    }
}

/// Which documents are read.
fn documents(config: &Config) -> Result<DocumentRules, Failure> {
    let documents = &config.documents;
    let well_known = match documents.known_hosts {
        Some(_) => Vec::new(),
        None => client_policy::well_known(config)?,
    };
    let (known_hosts, unknown_hosts) = (documents.named_hosts(), documents.unknown_hosts);
    Ok(DocumentRules { known_hosts, unknown_hosts, well_known })
}

/// Which identity provider is that of a domain.
fn home_domains(config: &Config) -> BTreeMap<String, String> {
    let of = |provider: &IdentityProviderConfig| {
        let id = provider.settings.id.clone();
        provider.settings.home_domains.clone().into_iter().map(move |domain| (domain, id.clone()))
    };
    config.identity_providers.iter().flat_map(of).collect()
}

/// The service accounts as configured.
pub fn known_service_accounts(config: &Config) -> Result<Vec<ServiceAccount>, Failure> {
    let client = |id: &String| ClientId::parse(id).map_err(|error| Failure::Wiring(error.to_string()));
    let accounts = config.service_accounts.iter().map(|account| {
        let clients = account.settings.clients.iter().map(client).collect::<Result<_, _>>()?;
        let may_act = account.may_act.iter().map(may_act).collect::<Result<_, Failure>>()?;
        let (name, title) = (account.settings.name.clone(), account.title().to_owned());
        Ok(ServiceAccount { clients, may_act, name, title, workloads: workloads::rules(config, account)? })
    });
    accounts.collect()
}

fn may_act(rule: &service_accounts::MayAct) -> Result<MayAct, Failure> {
    let scope = Scope::parse(&rule.scopes.join(" ")).map_err(|error| Failure::Wiring(error.to_string()))?;
    let to = if rule.to.is_empty() { vec![rule.from.clone()] } else { rule.to.clone() };
    Ok(MayAct {
        from: rule.from.clone(),
        groups: (!rule.groups.is_empty()).then(|| rule.groups.clone()),
        scope: (!scope.is_empty()).then_some(scope),
        to,
    })
}

fn consents(config: &Config) -> Result<ConsentSettings, Failure> {
    let approved = config.consent.remember_loopback.iter().map(|id| ClientId::parse(id));
    let loopback_clients = approved.collect::<Result<_, _>>();
    Ok(ConsentSettings {
        ahead: config.consent.further_within,
        lives: config.consent.lives.clone(),
        loopback_clients: loopback_clients
            .map_err(|error| Failure::Wiring(format!("[consent] remember_loopback: {error}")))?,
        loopback_life: config.consent.remember_loopback_for,
    })
}

fn pushed(config: &Config) -> Result<PushedRules, Failure> {
    let known = config.pre_registered.iter().map(|client| &client.settings);
    let demanded = known.filter(|client| client.require_pushed_authorization_requests);
    let clients = demanded.map(|client| ClientId::parse(&client.client_id)).collect::<Result<_, _>>();
    Ok(PushedRules {
        all: config.clients.require_pushed_authorization_requests,
        clients: clients.map_err(|error| Failure::Wiring(format!("[[client]] client_id: {error}")))?,
    })
}

fn dpop(config: &Config) -> DpopRules {
    let once_across_nodes = match config.tokens.dpop_replays {
        DpopReplays::Node => false,
        DpopReplays::Record => true,
    };
    DpopRules { nonces: config.tokens.dpop_nonces, once_across_nodes }
}

/// A single MCP server needs no name.
fn default_server(config: &Config) -> Option<String> {
    match (&config.house.default_server, config.mcp_servers.as_slice()) {
        (Some(name), _) => Some(name.clone()),
        (None, [only]) => Some(only.settings.name.clone()),
        (None, _) => None,
    }
}

/// The keys of a client that has some. Dials nothing.
fn keys(
    config: &Config,
    shared: &Shared,
    client: &PreRegisteredConfig,
) -> Result<Option<ClientKeys>, String> {
    if let Some(uri) = &client.settings.jwks_uri {
        let route = shared.trusts.route(config, uri, None).map_err(|error| error.to_string())?;
        let egress = Arc::new(Fetcher::new(route));
        let sets = KeySets::new(egress, Arc::clone(&shared.world.clock), trusted_issuers::DEADLINE);
        return Ok(Some(ClientKeys::Fetched(Arc::new(sets), KeySource::Uri(uri.clone()))));
    }
    let text = match (&client.settings.jwks, &client.settings.jwks_file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) => std::fs::read_to_string(config.folder.join(file))
            .map_err(|error| format!("its keys cannot be read: {error}"))?,
        (None, None) => return Ok(None),
    };
    let jwks = serde_json::from_str(&text).map_err(|error| format!("its keys are no JSON: {error}"))?;
    let keys = client_assertion::client_keys(&jwks)
        .ok_or("its keys are no JWK set of 1 to 20 public keys: EC P-256, Ed25519, or RSA from 2048 bits")?;
    Ok(Some(ClientKeys::Held(Arc::new(keys))))
}

fn pre_registered(
    config: &Config,
    shared: &Shared,
    client: &PreRegisteredConfig,
    redirects: &RedirectPolicy,
) -> Result<PreRegisteredClient, Failure> {
    let id = &client.settings.client_id;
    let wrong = |what: String| Failure::Wiring(format!("[[client]] `{id}`: {what}"));
    let client_id = ClientId::parse(id).map_err(|error| wrong(error.to_string()))?;
    let secret = client.secret.as_ref().map(|source| source.load("the secret of a client")).transpose()?;
    let (name, uris) = (client.settings.name.as_deref(), &client.settings.redirect_uris);
    // A client of a service account has none (`Config::judge`).
    let known = if uris.is_empty() {
        PreRegisteredClient::machine(client_id, name, secret)
    } else {
        PreRegisteredClient::new(client_id, name, uris, secret, redirects)
    };
    let known = match keys(config, shared, client).map_err(wrong)? {
        Some(keys) => known.and_then(|known| known.with_keys(keys, client.settings.token_endpoint_audience)),
        None => known,
    };
    known
        .map(|known| known.with_bound_tokens(client.settings.dpop_bound_access_tokens))
        .map_err(|error| wrong(error.to_string()))
}

/// The way to each MCP server. One whose settings, certificates and keys are unchanged is the same as before, with its
/// connections.
pub fn ways(config: &Config, shared: &Shared, before: &Ways) -> Result<Ways, Failure> {
    let mut ways = Ways::new();
    for server in &config.mcp_servers {
        let name = server.settings.name.clone();
        let way = Arc::new(mcp_servers::one(config, server, &shared.trusts)?);
        let known = before.get(&name).filter(|known| known.is_as(&way));
        ways.insert(name, known.cloned().unwrap_or(way));
    }
    Ok(ways)
}

/// What the resource server is told. `public_url` is the present one; that of `config` may be a former one.
pub fn resource_settings(
    config: &Config,
    shared: &Shared,
    public_url: &str,
) -> Result<resource_server::Settings, Failure> {
    let issuer = config.house.public_url.clone();
    let servers = config.mcp_servers.iter().map(|server| mcp_servers::settings(config, shared, server));
    let mut settings = resource_server::Settings::new(issuer.clone(), servers.collect::<Result<_, _>>()?);
    let present = OtherIssuer { issuer: public_url.to_owned(), until: None };
    let former = config
        .former_public_urls
        .iter()
        .map(|former| OtherIssuer { issuer: former.url.clone(), until: Some(former.accepted_until) });
    settings.other_issuers =
        std::iter::once(present).chain(former).filter(|other| other.issuer != issuer).collect();
    settings.dpop = dpop(config);
    config.house.pages_url().clone_into(&mut settings.pages_url);
    settings.stream_grace = config.limits.stream_grace;
    settings.message_bytes = usize::try_from(config.limits.message_bytes).unwrap_or(settings.message_bytes);
    settings.open_streams = usize::try_from(config.limits.connections).unwrap_or(settings.open_streams);
    settings.calls_per_person = small(config.limits.calls_per_person);
    settings.streams_per_person = small(config.limits.streams_per_person);
    settings.record_reading = config.audit.read_only_calls;
    settings.traces = telemetry::traces(config);
    settings.kept_arguments = config.kept_arguments.iter().map(kept).collect();
    Ok(settings)
}

fn kept(arguments: &KeptArgument) -> KeptArguments {
    let KeptArgument { server, tool, names } = arguments.clone();
    KeptArguments { server, tool, names }
}

/// The resource server as configured.
pub fn resource_server(config: &Config, shared: &Shared, ways: Ways) -> Result<ResourceServer, Failure> {
    let settings = resource_settings(config, shared, &config.house.public_url)?;
    let parts = resource_server::Parts {
        store: Arc::clone(&shared.store),
        keys: Arc::clone(shared.keeper.keys()),
        keys_read: Arc::clone(shared.keeper.freshness()),
        mcp_servers: ways,
        clock: Arc::clone(&shared.world.clock),
        entropy: Arc::clone(&shared.world.entropy),
        timeline: Arc::clone(&shared.timeline),
    };
    ResourceServer::new(settings, parts).map_err(|error| Failure::Wiring(error.to_string()))
}

/// Settings are bounded far below this by their parsers.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
