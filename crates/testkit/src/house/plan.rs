//! What a house is built from, and what each role is told because of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use authorization_server::keys::KeeperSettings;
use authorization_server::{
    AccessTokenAlgorithm, BackchannelLogout, ClientKeys, ClientPolicy, ConsentSettings, DeviceFlow,
    DocumentRules, GlobalTokenRevocation, Lifetimes, MayAct, PreRegisteredClient, PushedRules, Registration,
    SecurityEventTransmitter, ServerEntry, ServiceAccount, Standing, TrustedIssuer, WorkloadIssuer,
    WorkloadRule,
};
use policy::{Access, AdmittedAccount, KnownServer, Library, PolicyFile, ServerRules};
use protocol::keys::{KeyRing, MasterKey};
use protocol::oauth::{ClientId, DpopMode, DpopRules, RedirectPolicy, ResourceUri, Scope, client_assertion};
use protocol::secret::Hash;
use protocol::world::Clock;
use resource_server::definitions::{InputSchemas, ToolsMode};
use resource_server::{OtherIssuer, ServerSettings};
use store::PendingCaps;
use upstream::client_metadata_document::MetadataDocuments;
use upstream::connectors::Connector;
use upstream::connectors::development::{Development, DevelopmentSettings};
use upstream::guarded::{GuardedFetcher, GuardedSettings, Nowhere};
use upstream::mcp_server::streamable_http::{McpServerClient, McpServerSettings};
use upstream::trust::Trust;
use web::{ConnectionLimits, KnownNetworks, ListedServer, PublicUrl, Rates};

use super::known;
use super::people::people;
use super::scopes::{self, OwnScope};
use super::{Built, text};
use crate::document_host::DocumentHost;
use crate::world::TestClock;

use super::connected::Connected;

/// The master key of a house, unless its plan says otherwise.
pub const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// What a house is built from; the default is what most tests want.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whether calls are signed by their clients.
    pub message_signatures: protocol::message_signature::SignatureMode,
    /// What may be used of each MCP server.
    pub limits: Vec<resource_server::Limit>,
    /// When nothing is sent to an MCP server for a while. Never, if a test does not say so.
    pub breaker: Option<resource_server::BreakerSettings>,
    /// MCP servers: name, and who may use it.
    pub servers: Vec<(&'static str, Access)>,
    /// The operator's policies, for all MCP servers.
    pub policies: Vec<PolicyFile>,
    /// Whether a `permit` of theirs counts.
    pub permits: bool,
    /// Scopes of the operator's own, at every MCP server.
    pub own_scopes: Vec<OwnScope>,
    /// The MCP server of requests without `resource`.
    pub default_server: Option<&'static str>,
    /// Clients known beforehand: id, redirect URIs, secret.
    pub clients: Vec<(&'static str, Vec<String>, Option<&'static str>)>,
    /// Public keys of clients known beforehand: id, JWK set, and whether an assertion may be for the token endpoint.
    pub client_keys: Vec<(&'static str, serde_json::Value, bool)>,
    /// Clients known beforehand, machines among them, that prove a key with every token request.
    pub bound_clients: Vec<&'static str>,
    /// Pre-registered clients whose keys are elsewhere.
    pub client_keys_at: Vec<(&'static str, ClientKeys)>,
    /// Service accounts, each with its client.
    pub service_accounts: Vec<PlannedAccount>,
    /// Which clients may ask for the MCP servers without a browser.
    pub device_flow: DeviceFlow,
    /// Which clients may ask people.
    pub client_policy: ClientPolicy,
    /// What each MCP server says of clients that lead outside.
    pub outside_clients: Standing,
    /// Who may register.
    pub registration: Registration,
    /// OpenID providers that may say that somebody logged out.
    pub backchannel_logouts: Vec<BackchannelLogout>,
    /// Identity providers that may have everything of somebody revoked.
    pub global_token_revocations: Vec<GlobalTokenRevocation>,
    /// Transmitters of security events.
    pub security_event_transmitters: Vec<SecurityEventTransmitter>,
    /// Issuers whose ID-JAGs are believed.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Issuers that are believed about workloads.
    pub workload_issuers: Vec<WorkloadIssuer>,
    /// Which workloads act as a service account: its name, and the rule.
    pub workloads: Vec<(&'static str, WorkloadRule)>,
    /// The hosts of metadata documents, and which of them are read.
    pub documents: Option<Arc<DocumentHost>>,
    /// Which metadata documents are read.
    pub document_rules: DocumentRules,
    /// Whether access tokens are bound to keys.
    pub dpop: DpopMode,
    /// What access tokens are signed by; its key is made if `keys.rs256` says so.
    pub access_tokens: AccessTokenAlgorithm,
    /// What becomes of definitions of tools that are new or changed.
    pub tools: ToolsMode,
    /// What becomes of arguments that the input schemas of tools do not allow.
    pub input_schemas: InputSchemas,
    /// How proofs of possession are taken.
    pub dpop_rules: DpopRules,
    /// Whose authorization requests must be pushed.
    pub pushed: PushedRules,
    /// How often an address may ask.
    pub rates: Rates,
    /// Networks that are one caller each.
    pub networks: KnownNetworks,
    /// How many sign-ins may be pending.
    pub pending: PendingCaps,
    /// How long a repeated refresh gets the same successor.
    pub refresh_repeat: Duration,
    /// The identity provider of people with an address of a domain: domain, and connector.
    pub home_domains: std::collections::BTreeMap<String, String>,
    /// Further identity providers.
    pub connectors: Vec<Arc<dyn Connector>>,
    /// A PostgreSQL database instead of an SQLite file.
    pub postgres: Option<String>,
    /// The MCP endpoint behind, if it is not the fake server's.
    pub mcp_url: Option<String>,
    /// An MCP server whose people connect accounts.
    pub connected: Option<Connected>,
    /// How long an MCP server may take to begin an answer.
    pub first_byte_timeout: Duration,
    /// The largest MCP message in bytes.
    pub message_bytes: usize,
    /// What connections may cost, and how long may be waited for them.
    pub connections: ConnectionLimits,
    /// Time for the whole body of a form or registration to arrive.
    pub body_timeout: Duration,
    /// Networks of trusted proxies, in CIDR notation.
    pub trusted_proxies: Vec<&'static str>,
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// What people are asked, and what is remembered of it.
    pub consents: ConsentSettings,
    /// How long a stream may outlive its access token.
    pub stream_grace: Duration,
    /// Former issuers of the house.
    pub other_issuers: Vec<OtherIssuer>,
    /// The clock, if somebody outside the house goes by it too.
    pub clock: Arc<TestClock>,
    /// How keys are kept.
    pub keys: KeeperSettings,
    /// The master key, and the previous one if there is one.
    pub master_keys: Vec<String>,
    /// The keys are read at the start and never again.
    pub stale_keys: bool,
    /// Which arguments of calls the audit keeps: MCP server, tool, names.
    pub kept_arguments: Vec<(&'static str, &'static str, Vec<&'static str>)>,
    /// The collector that is told of the audit and of calls, and which calls begin a trace: one in so many.
    pub collector: Option<(String, u32)>,
    /// Houses of one luck make the same keys; another number is another house.
    pub luck: u64,
}

/// A service account of a plan.
#[derive(Clone, Debug)]
pub struct PlannedAccount {
    /// Its name.
    pub name: &'static str,
    /// The client that acts as it, and its secret.
    pub client: (&'static str, &'static str),
    /// Where it is admitted, and with which scope at most.
    pub admitted: Vec<(&'static str, Option<&'static str>)>,
    /// For whom it may act.
    pub may_act: Vec<MayAct>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            message_signatures: Default::default(),
            limits: Vec::new(),
            breaker: None,
            servers: known::servers(),
            policies: Vec::new(),
            permits: false,
            own_scopes: Vec::new(),
            default_server: None,
            clients: known::clients(),
            client_keys: Vec::new(),
            bound_clients: Vec::new(),
            client_keys_at: Vec::new(),
            device_flow: DeviceFlow::Known,
            service_accounts: service_accounts(),
            client_policy: ClientPolicy::everybody(),
            outside_clients: Standing::Allow,
            registration: Registration::Open,
            backchannel_logouts: Vec::new(),
            global_token_revocations: Vec::new(),
            security_event_transmitters: Vec::new(),
            trusted_issuers: Vec::new(),
            workload_issuers: Vec::new(),
            workloads: Vec::new(),
            documents: None,
            document_rules: DocumentRules::default(),
            access_tokens: AccessTokenAlgorithm::Es256,
            dpop: DpopMode::Optional,
            tools: ToolsMode::Follow,
            input_schemas: InputSchemas::Ignore,
            dpop_rules: DpopRules::default(),
            pushed: PushedRules::default(),
            rates: Rates::unlimited(),
            networks: KnownNetworks::default(),
            pending: PendingCaps { per_address: 10_000, total: 100_000 },
            refresh_repeat: Duration::from_secs(60),
            home_domains: std::collections::BTreeMap::new(),
            connectors: Vec::new(),
            postgres: None,
            mcp_url: None,
            connected: None,
            first_byte_timeout: Duration::from_secs(20),
            message_bytes: 4 * 1024 * 1024,
            connections: connections(),
            body_timeout: Duration::from_secs(15),
            trusted_proxies: Vec::new(),
            lifetimes: Lifetimes::default(),
            consents: ConsentSettings::default(),
            stream_grace: Duration::from_secs(60 * 60),
            other_issuers: Vec::new(),
            clock: Arc::default(),
            // The time of a test is not that of a database.
            keys: KeeperSettings { clocks_apart: None, ..KeeperSettings::default() },
            master_keys: vec![MASTER_KEY.to_owned()],
            stale_keys: false,
            kept_arguments: Vec::new(),
            collector: None,
            luck: 0,
        }
    }
}

/// As ever, but no test waits for long.
fn connections() -> ConnectionLimits {
    ConnectionLimits { drain: Duration::from_millis(200), ..ConnectionLimits::default() }
}

/// Two machines that act for themselves, and two that act for people.
fn service_accounts() -> Vec<PlannedAccount> {
    vec![
        PlannedAccount {
            name: "ci",
            client: ("runner", "secret-of-the-runner"),
            admitted: vec![("notes", None), ("ledger", Some("read"))],
            may_act: Vec::new(),
        },
        PlannedAccount {
            name: "nightly",
            client: ("night-runner", "secret-of-the-night-runner"),
            admitted: vec![("notes", Some("read"))],
            may_act: Vec::new(),
        },
        PlannedAccount {
            name: "agent",
            client: ("agent-client", "secret-of-the-agent"),
            admitted: Vec::new(),
            may_act: vec![MayAct {
                from: "notes".to_owned(),
                groups: None,
                scope: None,
                to: vec!["notes".to_owned()],
            }],
        },
        PlannedAccount {
            name: "clerk",
            client: ("clerk-client", "secret-of-the-clerk"),
            admitted: Vec::new(),
            may_act: vec![MayAct {
                from: "notes".to_owned(),
                groups: Some(vec!["finance".to_owned()]),
                scope: Scope::parse("read").ok(),
                to: vec!["ledger".to_owned(), "notes".to_owned()],
            }],
        },
    ]
}

/// The master keys of a plan.
pub fn masters(plan: &Plan) -> Built<KeyRing<MasterKey>> {
    let mut masters = Vec::new();
    for text_of in &plan.master_keys {
        masters.push(MasterKey::parse(text_of).map_err(text)?);
    }
    if masters.is_empty() {
        return Err("a plan without a master key".to_owned());
    }
    Ok(KeyRing::new(masters.remove(0), masters))
}

/// The secret by which an MCP server of a house asks about tokens.
#[must_use]
pub fn introspection_secret(server: &str) -> String {
    format!("the secret by which {server} asks about tokens")
}

pub(super) fn connectors(plan: &Plan, issuer: &str) -> Built<Vec<Arc<dyn Connector>>> {
    let development = DevelopmentSettings {
        id: "development".parse().map_err(text)?,
        title: "Example people".to_owned(),
        public_url: issuer.to_owned(),
        people: people(),
    };
    let mut connectors: Vec<Arc<dyn Connector>> = vec![Arc::new(Development::new(development))];
    connectors.extend(plan.connectors.iter().cloned());
    Ok(connectors)
}

pub(super) fn settings(plan: &Plan, issuer: &str) -> Built<authorization_server::Settings> {
    let redirects = RedirectPolicy {
        private_schemes: vec!["cursor".to_owned(), "com.example.app".to_owned()],
        own_origins: vec![issuer.to_owned()],
    };
    let clients = plan.clients.iter().map(|(id, uris, secret)| {
        let secret = secret.map(|secret| protocol::secret::Secret::new(secret.to_owned()));
        let keys = plan.client_keys.iter().find(|(of, ..)| of == id);
        let elsewhere = plan.client_keys_at.iter().find(|(of, _)| of == id).map(|(_, keys)| keys.clone());
        let id = ClientId::parse(id).map_err(text)?;
        let client =
            PreRegisteredClient::new(id, Some("Known client"), uris, secret, &redirects).map_err(text)?;
        if let Some(keys) = elsewhere {
            return client.with_keys(keys, false).map_err(text);
        }
        let Some((_, jwks, tolerant)) = keys else { return Ok(client) };
        let keys = client_assertion::client_keys(jwks).ok_or("not the keys of a client")?;
        client.with_keys(ClientKeys::Held(Arc::new(keys)), *tolerant).map_err(text)
    });
    let machines = plan.service_accounts.iter().map(|account| {
        let (id, secret) = account.client;
        let secret = protocol::secret::Secret::new(secret.to_owned());
        PreRegisteredClient::machine(ClientId::parse(id).map_err(text)?, None, Some(secret)).map_err(text)
    });
    Ok(authorization_server::Settings {
        client_policy: plan.client_policy.clone(),
        consents: plan.consents.clone(),
        clients: clients.chain(machines).map(|client| Ok(bound(plan, client?))).collect::<Built<_>>()?,
        default_server: plan.default_server.map(str::to_owned),
        dpop: plan.dpop_rules,
        pushed: plan.pushed.clone(),
        introspection: true,
        documents: plan.document_rules.clone(),
        issuer: issuer.to_owned(),
        lifetimes: plan.lifetimes,
        pages_url: issuer.to_owned(),
        other_issuers: Vec::new(),
        pending: plan.pending,
        redirects,
        registration: plan.registration,
        servers: plan
            .servers
            .iter()
            .map(|(name, access)| entry(plan, issuer, name, access))
            .collect::<Built<_>>()?,
        service_accounts: accounts(plan)?,
        backchannel_logouts: plan.backchannel_logouts.clone(),
        global_token_revocations: plan.global_token_revocations.clone(),
        security_event_transmitters: plan.security_event_transmitters.clone(),
        trusted_issuers: plan.trusted_issuers.clone(),
        workload_issuers: plan.workload_issuers.clone(),
        home_domains: plan.home_domains.clone(),
    })
}

fn bound(plan: &Plan, client: PreRegisteredClient) -> PreRegisteredClient {
    let bound = plan.bound_clients.contains(&client.client_id().as_str());
    client.with_bound_tokens(bound)
}

fn accounts(plan: &Plan) -> Built<Vec<ServiceAccount>> {
    let account = |planned: &PlannedAccount| {
        Ok(ServiceAccount {
            clients: vec![ClientId::parse(planned.client.0).map_err(text)?],
            may_act: planned.may_act.clone(),
            name: planned.name.to_owned(),
            title: format!("The {} account", planned.name),
            workloads: {
                let rules = plan.workloads.iter().filter(|(name, _)| *name == planned.name);
                rules.map(|(_, rule)| rule.clone()).collect()
            },
        })
    };
    plan.service_accounts.iter().map(account).collect()
}

fn rules(plan: &Plan, name: &str, access: &Access) -> Built<ServerRules> {
    let mut service_accounts = Vec::new();
    for account in &plan.service_accounts {
        for (_, scope) in account.admitted.iter().filter(|(server, _)| *server == name) {
            let scope = scope.map(Scope::parse).transpose().map_err(text)?;
            service_accounts.push(AdmittedAccount { name: account.name.to_owned(), scope });
        }
    }
    let permits = plan.permits;
    let known = plan.servers.iter().map(|(name, _)| KnownServer { name, permits });
    let library = Library::read(&plan.policies, &known.collect::<Vec<_>>())
        .map_err(|mistakes| format!("{mistakes:?}"))?;
    let policies = library.concerning(name);
    let scopes = scopes::of_tools(&plan.own_scopes)?;
    let rules = ServerRules::new(name, access.clone());
    Ok(ServerRules { service_accounts, permits, policies, scopes, ..rules })
}

/// The documents of clients. Without a host there is nobody to fetch them from.
pub(super) fn documents(plan: &Plan, clock: &Arc<dyn Clock>) -> Built<Arc<MetadataDocuments>> {
    let settings = match &plan.documents {
        Some(host) => host.settings()?,
        None => {
            let nobody = GuardedSettings::new(Trust::nobody().map_err(text)?);
            GuardedSettings { resolver: Arc::new(Nowhere), ..nobody }
        }
    };
    let fetcher = GuardedFetcher::new(&settings, Arc::clone(clock));
    Ok(Arc::new(MetadataDocuments::new(fetcher, Arc::clone(clock))))
}

fn resource(issuer: &str, name: &str) -> Built<ResourceUri> {
    ResourceUri::parse(&format!("{issuer}/{name}/mcp")).map_err(text)
}

fn entry(plan: &Plan, issuer: &str, name: &str, access: &Access) -> Built<ServerEntry> {
    Ok(ServerEntry {
        access_tokens: plan.access_tokens,
        device_flow: plan.device_flow,
        dpop: plan.dpop,
        name: name.to_owned(),
        outside_clients: plan.outside_clients,
        refresh_repeat: plan.refresh_repeat,
        resource: resource(issuer, name)?,
        rules: rules(plan, name, access)?,
        scopes: scopes::entries(&plan.own_scopes)?,
        title: format!("The {name} server"),
    })
}

pub(super) fn ways(plan: &Plan, mcp_url: &str) -> Built<HashMap<String, Arc<McpServerClient>>> {
    let trust = Trust::new(&[]).map_err(text)?;
    let settings = McpServerSettings {
        url: mcp_url.to_owned(),
        connect_timeout: Duration::from_secs(5),
        first_byte_timeout: plan.first_byte_timeout,
    };
    let way = |(name, _): &(&'static str, Access)| {
        let client = McpServerClient::new(&settings, &trust).map_err(text)?;
        Ok(((*name).to_owned(), Arc::new(client)))
    };
    plan.servers.iter().map(way).collect()
}

pub(super) fn guarded(plan: &Plan, mcp_url: &str, issuer: &str) -> Built<resource_server::Settings> {
    let server = |(name, access): &(&'static str, Access)| {
        Ok::<_, String>(ServerSettings {
            name: (*name).to_owned(),
            title: format!("The {name} server"),
            resource: resource(issuer, name)?,
            rules: rules(plan, name, access)?,
            challenge_scope: scopes::at_once(&plan.own_scopes)?,
            assertion: true,
            assertion_audience: mcp_url.to_owned(),
            credential: resource_server::Credential::None,
            dpop: plan.dpop,
            tools: plan.tools,
            input_schemas: plan.input_schemas,
            introspection_secret: Some(Hash::of(introspection_secret(name).as_bytes())),
            message_signatures: plan.message_signatures,
            limits: plan.limits.clone(),
            breaker: plan.breaker,
            low_risk: false,
        })
    };
    let servers = plan.servers.iter().map(server).collect::<Built<Vec<_>>>()?;
    let mut settings = resource_server::Settings::new(issuer.to_owned(), servers);
    settings.dpop = plan.dpop_rules;
    settings.message_bytes = plan.message_bytes;
    settings.stream_grace = plan.stream_grace;
    settings.other_issuers.clone_from(&plan.other_issuers);
    Ok(settings)
}

pub(super) fn front(plan: &Plan, issuer: &str) -> Built<web::Settings> {
    let public_url: PublicUrl = issuer.parse().map_err(text)?;
    let mut settings = web::Settings::new(public_url);
    settings.rates = plan.rates;
    settings.networks = plan.networks.clone();
    settings.body_timeout = plan.body_timeout;
    settings.trusted_proxies =
        plan.trusted_proxies.iter().map(|network| network.parse().map_err(text)).collect::<Built<_>>()?;
    let listed = |(name, _): &(&'static str, Access)| ListedServer {
        name: (*name).to_owned(),
        title: format!("The {name} server"),
        url: format!("{issuer}/{name}/mcp"),
    };
    settings.servers = plan.servers.iter().map(listed).collect();
    Ok(settings)
}
