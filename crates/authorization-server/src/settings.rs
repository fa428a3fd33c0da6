//! What the authorization server is told when it is built: the issuer, the MCP servers, the known clients and how
//! long things live. Read from the configuration elsewhere; nothing here reads a file or the environment.
//!
//! Must never hold a key: keys are a part ([`crate::Parts`]), because they rotate.

use std::collections::BTreeMap;
use std::time::Duration;

use policy::ServerRules;
use protocol::oauth::{ClientId, DpopMode, DpopRules, RedirectPolicy, ResourceUri, Scope, ScopeToken};
use protocol::world::between_nodes;
use store::PendingCaps;

use crate::authorize::PushedRules;
use crate::clients::{ClientPolicy, DocumentRules, PreRegisteredClient, Standing};
use crate::signals::{BackchannelLogout, GlobalTokenRevocation, SecurityEventTransmitter};
use crate::trusted_issuers::TrustedIssuer;
use crate::workloads::{WorkloadIssuer, WorkloadRule};

/// Everything the authorization server is told.
#[derive(Debug)]
pub struct Settings {
    /// Which clients may ask people at all (product.md, P-7).
    pub client_policy: ClientPolicy,
    /// What people are asked, and what is remembered of it.
    pub consents: ConsentSettings,
    /// Clients known beforehand.
    pub clients: Vec<PreRegisteredClient>,
    /// The MCP server that is meant by a request without `resource` (product.md, P-16).
    pub default_server: Option<String>,
    /// The identity provider of people with an address of a domain, in small letters: domain, and connector.
    pub home_domains: BTreeMap<String, String>,
    /// How proofs of possession are taken (RFC 9449).
    pub dpop: DpopRules,
    /// Whose authorization requests must be pushed (RFC 9126).
    pub pushed: PushedRules,
    /// Whether an MCP server may ask about tokens (RFC 7662): one that has credentials for it.
    pub introspection: bool,
    /// Which metadata documents of clients are read.
    pub documents: DocumentRules,
    /// The issuer, which is `public_url` byte for byte (RFC 8414, section 2).
    pub issuer: String,
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// The origin of people's pages: the issuer, unless they have one of their own.
    pub pages_url: String,
    /// Other names of this issuer while the house moves (product.md, P-23): a token of theirs can be revoked here.
    pub other_issuers: Vec<String>,
    /// How many authorizations may be pending at once (product.md, P-4).
    pub pending: PendingCaps,
    /// Who may register (RFC 7591, section 3).
    pub registration: Registration,
    /// Which private-use schemes a redirect URI may have (product.md, P-8).
    pub redirects: RedirectPolicy,
    /// The MCP servers, each a resource.
    pub servers: Vec<ServerEntry>,
    /// The service accounts.
    pub service_accounts: Vec<ServiceAccount>,
    /// OpenID providers that may say that somebody logged out.
    pub backchannel_logouts: Vec<BackchannelLogout>,
    /// Identity providers that may have everything of somebody revoked.
    pub global_token_revocations: Vec<GlobalTokenRevocation>,
    /// Transmitters of security events.
    pub security_event_transmitters: Vec<SecurityEventTransmitter>,
    /// Issuers whose ID-JAGs are believed.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Issuers that are believed about workloads; none of them is one of those.
    pub workload_issuers: Vec<WorkloadIssuer>,
}

/// A service account: a machine that acts for itself and not for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The pre-registered clients that may act as it; no client acts as two.
    pub clients: Vec<ClientId>,
    /// For which people it may act, and where (RFC 8693).
    pub may_act: Vec<MayAct>,
    /// Its name.
    pub name: String,
    /// The name people are shown.
    pub title: String,
    /// Which workloads act as it, without a client of their own.
    pub workloads: Vec<WorkloadRule>,
}

impl ServiceAccount {
    /// The client that its workloads are: nobody registered one for them, and no `[[client]]` has such an id.
    #[must_use]
    pub fn own_client(&self) -> ClientId {
        ClientId::of_service_account(&self.name)
    }
}

/// Leave for a service account to act for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MayAct {
    /// The MCP server that the person's token is for.
    pub from: String,
    /// Members of which groups it may act for; `None` for everybody whose token it holds.
    pub groups: Option<Vec<String>>,
    /// With which scope at most; `None` for that of the person's token.
    pub scope: Option<Scope>,
    /// The MCP servers that it gets tokens for.
    pub to: Vec<String>,
}

impl Settings {
    /// The MCP server of that name.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<&ServerEntry> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// The MCP server with that resource identifier (RFC 8707, section 2).
    #[must_use]
    pub fn server_of(&self, resource: &ResourceUri) -> Option<&ServerEntry> {
        self.servers.iter().find(|server| server.resource == *resource)
    }

    /// As which service account a client acts, if it does.
    #[must_use]
    pub fn service_account_of(&self, client: &ClientId) -> Option<&ServiceAccount> {
        self.service_accounts.iter().find(|account| account.clients.contains(client))
    }

    /// The host of people's pages.
    pub(crate) fn pages_host(&self) -> &str {
        self.pages_url.split_once("://").map_or("", |(_, host)| host)
    }

    /// Where a connector sends the browser back to.
    pub(crate) fn callback(&self, connector: &str) -> String {
        format!("{}/login/callback/{connector}", self.pages_url)
    }
}

/// Who may register a client (requirements.md, AS-079).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Registration {
    /// Nobody.
    Closed,
    /// Whoever holds an initial access token.
    InitialAccessToken,
    /// Everybody.
    #[default]
    Open,
}

/// How long things live. The defaults are those of product.md (P-1, P-3, P-4 and "code life").
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// An access token: 10 minutes, at most [`Lifetimes::LONGEST_ACCESS_TOKEN`].
    pub access_token: Duration,
    /// A sign-in from its first page to its last: 10 minutes.
    pub authorization: Duration,
    /// A browser session without use: 12 hours.
    pub browser_session: Duration,
    /// An authorization code: 60 seconds.
    pub code: Duration,
    /// A grant in all: 180 days.
    pub grant: Duration,
    /// A grant without use: 30 days.
    pub grant_idle: Duration,
}

impl Lifetimes {
    /// No access token lives longer, whatever is configured: revocations are kept for this long (product.md, P-2).
    pub const LONGEST_ACCESS_TOKEN: Duration = Duration::from_secs(60 * 60);
}

impl Default for Lifetimes {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            access_token: Duration::from_secs(10 * 60),
            authorization: Duration::from_secs(10 * 60),
            browser_session: Duration::from_secs(12 * 60 * 60),
            code: const { between_nodes(Duration::from_secs(60)) },
            grant: Duration::from_secs(180 * DAY),
            grant_idle: Duration::from_secs(30 * DAY),
        }
    }
}

/// Which clients may ask for an MCP server without a browser (RFC 8628), which can be phished from far away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceFlow {
    /// Every client that people may allow.
    Any,
    /// Those that the operator wrote into the configuration.
    Known,
    /// None.
    Off,
}

/// What people are asked, and what is remembered of it (product.md, P-9).
#[derive(Debug, Clone)]
pub struct ConsentSettings {
    /// How long what was allowed in advance, for other MCP servers on the same page, waits to be asked for; zero if
    /// nothing is offered in advance.
    pub ahead: Duration,
    /// How long a person may choose to allow something, beside as long as can be.
    pub lives: Vec<Duration>,
    /// Clients on people's own machines to which consent may be remembered. Never one that registered itself.
    pub loopback_clients: Vec<ClientId>,
    /// For how long, in the browser in which it was given; at most [`ConsentSettings::LONGEST_LOOPBACK`].
    pub loopback_life: Duration,
}

impl ConsentSettings {
    /// The longest that a consent to a client on the person's own machine is remembered (product.md, P-9).
    pub const LONGEST_LOOPBACK: Duration = Duration::from_secs(30 * 24 * 60 * 60);
}

impl Default for ConsentSettings {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            ahead: Duration::from_secs(10 * 60),
            lives: vec![Duration::from_secs(DAY), Duration::from_secs(7 * DAY)],
            loopback_clients: Vec::new(),
            loopback_life: Self::LONGEST_LOOPBACK,
        }
    }
}

/// What access tokens are signed by (product.md, P-1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccessTokenAlgorithm {
    /// ECDSA with P-256 (RFC 7518, section 3.4).
    #[default]
    Es256,
    /// RSA, for MCP servers whose library knows nothing else: every implementation of RFC 9068 must (section 2.1).
    Rs256,
}

/// One MCP server, as the authorization server sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerEntry {
    /// What its access tokens are signed by.
    pub access_tokens: AccessTokenAlgorithm,
    /// Which clients may ask for it without a browser.
    pub device_flow: DeviceFlow,
    /// Whether its access tokens are bound to a key (RFC 9449).
    pub dpop: DpopMode,
    /// Its name in URLs.
    pub name: String,
    /// What is done about clients that are called back outside the organisation, beyond what the policy says.
    pub outside_clients: Standing,
    /// How long a repeated refresh is answered with the same successor (product.md, P-3); zero for never.
    pub refresh_repeat: Duration,
    /// Its resource identifier: the one audience of its tokens.
    pub resource: ResourceUri,
    /// Who may connect.
    pub rules: ServerRules,
    /// Its scopes, in the order people see them.
    pub scopes: Vec<ScopeEntry>,
    /// The name people are shown.
    pub title: String,
}

impl ServerEntry {
    /// All scopes this server knows.
    #[must_use]
    pub fn known_scope(&self) -> Scope {
        self.scopes.iter().map(|entry| entry.token.clone()).collect()
    }

    /// What of this server's scopes a service account may have, if it may have any.
    #[must_use]
    pub fn scope_of_account(&self, name: &str) -> Option<Scope> {
        let admitted = self.rules.admitted_account(name)?;
        let known = self.known_scope();
        Some(admitted.scope.as_ref().map_or_else(|| known.clone(), |most| most.intersection(&known)))
    }

    /// What a request without `scope` asks for (product.md, P-12).
    #[must_use]
    pub fn default_scope(&self) -> Scope {
        self.scopes.iter().filter(|entry| entry.by_default).map(|entry| entry.token.clone()).collect()
    }
}

/// One scope of an MCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeEntry {
    /// Whether a request without `scope` asks for it.
    pub by_default: bool,
    /// The scope token (RFC 6749, section 3.3).
    pub token: ScopeToken,
    /// The operator's words for people, if there are any.
    pub words: Words,
}

/// Words of the operator, as far as there are any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// In English.
    pub english: Option<String>,
    /// In Japanese.
    pub japanese: Option<String>,
}
