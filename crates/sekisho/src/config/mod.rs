//! The configuration: one TOML file, one file here per section, all mistakes reported at once.
//!
//! No other room reads it: each role gets a small struct of its own (`wiring`).

pub mod audit;
pub mod changes;
pub mod client_id_metadata_documents;
pub mod clients;
pub mod consent;
pub mod credentials;
pub mod exchange;
pub mod former_public_urls;
pub mod house;
pub mod id_jag;
pub mod identity_providers;
pub mod keys;
pub mod limits;
pub mod listeners;
pub mod master_key;
pub mod mcp_server_limits;
pub mod mcp_servers;
pub mod minted;
pub mod outbound_proxy;
mod parse;
pub mod policy;
mod reader;
pub mod reference;
pub mod schema;
pub mod scopes;
pub mod secrets;
pub mod service_accounts;
mod settings;
pub mod store;
pub mod telemetry;
pub mod tokens;
pub mod trusted_issuers;
pub mod workloads;
mod written;

use std::path::{Path, PathBuf};

use authorization_server::AccessTokenAlgorithm;
use protocol::oauth::client_id::SERVICE_ACCOUNT_PREFIX;
use toml::de::DeTable;
use url::Url;

use self::audit::{Audit, KeptArgument};
use self::client_id_metadata_documents::ClientIdMetadataDocuments;
use self::clients::{Clients, PreRegisteredConfig};
use self::consent::Consent;
use self::former_public_urls::FormerPublicUrl;
use self::house::House;
use self::identity_providers::{IdentityProviderConfig, IdentityProviderKind};
use self::keys::KeysConfig;
use self::limits::{Limits, NetworkLimits};
use self::listeners::{AcmeConfig, ListenerConfig};
use self::master_key::MasterKeySource;
use self::mcp_servers::McpServerConfig;
use self::outbound_proxy::OutboundProxyConfig;
use self::policy::Policy;
pub use self::reader::{Mistake, Mistakes};
use self::reader::{Section, Source};
use self::service_accounts::ServiceAccountConfig;
use self::store::StoreConfig;
use self::telemetry::TelemetryConfig;
use self::tokens::Tokens;
use self::trusted_issuers::TrustedIssuer;
use self::workloads::WorkloadIssuer;

/// Everything in the file, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The folder of the file, to which paths in it are relative.
    pub folder: PathBuf,
    /// The top of the file.
    pub house: House,
    /// `[[former_public_url]]`.
    pub former_public_urls: Vec<FormerPublicUrl>,
    /// The present public URL, where this is the house under a former one.
    pub present_public_url: Option<String>,
    /// Where the master key comes from.
    pub master_key: MasterKeySource,
    /// Where the previous one comes from, while the record goes over.
    pub previous_master_key: Option<MasterKeySource>,
    /// `[store]`.
    pub store: StoreConfig,
    /// `[keys]`.
    pub keys: KeysConfig,
    /// `[consent]`.
    pub consent: Consent,
    /// `[tokens]`.
    pub tokens: Tokens,
    /// `[limits]`.
    pub limits: Limits,
    /// `[[limits.network]]`.
    pub networks: Vec<NetworkLimits>,
    /// `[[listener]]`.
    pub listeners: Vec<ListenerConfig>,
    /// `[acme]`.
    pub acme: Option<AcmeConfig>,
    /// `[audit]`.
    pub audit: Audit,
    /// `[[audit.arguments]]`.
    pub kept_arguments: Vec<KeptArgument>,
    /// `[clients]`.
    pub clients: Clients,
    /// `[client_id_metadata_documents]`.
    pub documents: ClientIdMetadataDocuments,
    /// `[[client]]`.
    pub pre_registered: Vec<PreRegisteredConfig>,
    /// `[[identity_provider]]`.
    pub identity_providers: Vec<IdentityProviderConfig>,
    /// `[[mcp_server]]`.
    pub mcp_servers: Vec<McpServerConfig>,
    /// `[[service_account]]`.
    pub service_accounts: Vec<ServiceAccountConfig>,
    /// `[[trusted_issuer]]`.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// `[[workload_issuer]]`.
    pub workload_issuers: Vec<WorkloadIssuer>,
    /// `[outbound_proxy]`.
    pub outbound_proxy: Option<OutboundProxyConfig>,
    /// `[telemetry]`.
    pub telemetry: Option<TelemetryConfig>,
    /// `[policy]`.
    pub policy: Policy,
    /// What is in its folder; nothing until that has been read.
    pub policies: std::sync::Arc<::policy::Library>,
}

impl Config {
    /// Whether an MCP server is to have access tokens that are signed by RS256.
    #[must_use]
    pub fn has_rs256(&self) -> bool {
        self.mcp_servers.iter().any(|server| server.settings.access_tokens == AccessTokenAlgorithm::Rs256)
    }

    /// Parses the text of a file. `file` names it in mistakes; relative paths are relative to its folder.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Mistakes> {
        let folder = file.parent().unwrap_or_else(|| Path::new("."));
        let source = Source::new(text, folder);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            source.mistake(offset, "(syntax)", error.message(), "TOML 1.0");
        }
        let config = if errors.is_empty() { Self::read(&source, table.get_ref()) } else { None };
        let list = source.into_mistakes();
        match config {
            Some(config) if list.is_empty() => Ok(config),
            Some(_) | None => Err(Mistakes { file: file.to_owned(), list }),
        }
    }

    fn read(source: &Source<'_>, table: &DeTable<'_>) -> Option<Self> {
        let mut root = Section::root(source, table);
        let house = House::read(&mut root);
        let master_key = MasterKeySource::read(&mut root, "master_key", true).flatten();
        let previous_master_key = MasterKeySource::read(&mut root, "previous_master_key", false);
        let former = FormerPublicUrl::read_all(&mut root).into_iter().collect::<Option<Vec<_>>>();
        let store = StoreConfig::read(&mut root);
        let keys = section(&mut root, "keys", KeysConfig::read);
        let consent = section(&mut root, "consent", Consent::read);
        let tokens = section(&mut root, "tokens", Tokens::read);
        let limits = section(&mut root, "limits", limits::read);
        let listeners = ListenerConfig::read(&mut root).into_iter().collect::<Option<Vec<_>>>();
        let acme = AcmeConfig::read(&mut root);
        let audit = section(&mut root, "audit", audit::read);
        let clients = section(&mut root, "clients", Clients::read);
        let documents = section(&mut root, "client_id_metadata_documents", ClientIdMetadataDocuments::read);
        let pre_registered = PreRegisteredConfig::read(&mut root).into_iter().collect::<Option<Vec<_>>>();
        let providers = IdentityProviderConfig::read(&mut root).into_iter().collect::<Option<Vec<_>>>();
        let servers = McpServerConfig::read(&mut root).into_iter().collect::<Option<Vec<_>>>();
        let accounts = ServiceAccountConfig::read_all(&mut root).into_iter().collect::<Option<Vec<_>>>();
        let trusted = TrustedIssuer::read_all(&mut root).into_iter().collect::<Option<Vec<_>>>();
        let workload_issuers = WorkloadIssuer::read_all(&mut root).into_iter().collect::<Option<Vec<_>>>();
        let outbound_proxy = OutboundProxyConfig::read(&mut root);
        let telemetry = TelemetryConfig::read(&mut root);
        let policy = section(&mut root, "policy", Policy::read);
        let whole = || {
            let ((limits, networks), (audit, kept_arguments)) = (limits?, audit?);
            Some(Self {
                folder: source.path(""),
                house: house?,
                former_public_urls: former?,
                present_public_url: None,
                master_key: master_key?,
                previous_master_key: previous_master_key?,
                store: store?,
                keys: keys?,
                consent: consent?,
                tokens: tokens?,
                limits,
                networks,
                listeners: listeners?,
                acme: acme?,
                audit,
                kept_arguments,
                clients: clients?,
                documents: documents?,
                pre_registered: pre_registered?,
                identity_providers: providers?,
                mcp_servers: servers?,
                service_accounts: accounts?,
                trusted_issuers: trusted?,
                workload_issuers: workload_issuers?,
                outbound_proxy: outbound_proxy?,
                telemetry: telemetry?,
                policy: policy?,
                policies: std::sync::Arc::default(),
            })
        };
        let config = whole().inspect(|config| config.judge(&root));
        root.finish();
        config
    }

    /// The same house under another public URL: what a former name is answered with.
    #[must_use]
    pub fn under(&self, public_url: &str) -> Self {
        let mut config = self.clone();
        config.present_public_url =
            Some(std::mem::replace(&mut config.house.public_url, public_url.to_owned()));
        // People come to the former name itself: the pages of the present one know the present issuer only.
        config.house.pages_url = None;
        config
    }

    /// All public URLs of this house, that by which it is called here first.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let here = self.house.public_url.clone();
        let others = self.present_public_url.iter().cloned().chain(self.former_names());
        let others: Vec<_> = others.filter(|other| *other != here).collect();
        std::iter::once(here).chain(others).collect()
    }

    /// Every origin under which this house answers.
    #[must_use]
    pub fn own_origins(&self) -> Vec<String> {
        let present = [self.house.public_url.clone(), self.house.pages_url().to_owned()];
        present.into_iter().chain(self.former_names()).collect()
    }

    /// The former public URLs by themselves.
    #[must_use]
    pub fn former_names(&self) -> Vec<String> {
        self.former_public_urls.iter().map(|former| former.url.clone()).collect()
    }

    /// Mistakes that only two settings together can make.
    fn judge(&self, root: &Section<'_>) {
        unique(root, "mcp_server", self.mcp_servers.iter().map(|server| server.settings.name.as_str()));
        unique(root, "identity_provider", self.identity_providers.iter().map(|p| p.settings.id.as_str()));
        unique(root, "client", self.pre_registered.iter().map(|client| client.settings.client_id.as_str()));
        unique(root, "former_public_url", self.former_public_urls.iter().map(|former| former.url.as_str()));
        self.judge_former(root);
        self.judge_service_accounts(root);
        self.judge_trusted_issuers(root);
        let others = (self.trusted_issuers.as_slice(), self.own_origins());
        workloads::judge(root, &self.workload_issuers, &self.service_accounts, (others.0, &others.1));
        if let Some(name) = &self.house.default_server
            && !self.mcp_servers.iter().any(|server| server.settings.name == *name)
        {
            root.mistake(
                "default_server",
                "names no MCP server of this file",
                "the name of one of [[mcp_server]]",
            );
        }
        let is_known = |name: &str| self.mcp_servers.iter().any(|server| server.settings.name == name);
        if self.kept_arguments.iter().any(|kept| !is_known(&kept.server)) {
            root.mistake(
                "audit",
                "has [[audit.arguments]] of an MCP server that is not in this file",
                "server: the name of one of [[mcp_server]]",
            );
        }
        if self.tokens.grant_idle > self.tokens.grant {
            root.mistake("tokens", "grant_idle is longer than grant", "grant_idle up to grant");
        }
        unique(root, "limits", self.networks.iter().map(|network| network.name.as_str()));
        if self.policy.folder.is_none() && self.mcp_servers.iter().any(|server| server.access.permits) {
            root.mistake(
                "mcp_server",
                "has \"policy\" in its access, and there are no policies",
                "[policy] with folder",
            );
        }
        self.judge_listeners(root);
        self.judge_acme(root);
        self.judge_development(root);
    }

    /// An issuer is trusted once, for people of ours, and is not ourselves.
    fn judge_trusted_issuers(&self, root: &Section<'_>) {
        unique(root, "trusted_issuer", self.trusted_issuers.iter().map(|trusted| trusted.issuer.as_str()));
        let known = |id: &str| self.identity_providers.iter().any(|provider| provider.settings.id == id);
        if !self.trusted_issuers.iter().all(|trusted| known(&trusted.identity_provider)) {
            root.mistake(
                "trusted_issuer",
                "names an identity provider that is not in this file",
                "the id of one of [[identity_provider]]",
            );
        }
        let ours = self.own_origins();
        if self.trusted_issuers.iter().any(|trusted| ours.contains(&trusted.issuer)) {
            root.mistake("trusted_issuer", "is this very Sekisho", "the issuer of an identity provider");
        }
    }

    /// Whoever is named is there, and a client says by its id alone as what it acts.
    fn judge_service_accounts(&self, root: &Section<'_>) {
        unique(
            root,
            "service_account",
            self.service_accounts.iter().map(|account| account.settings.name.as_str()),
        );
        let clients = || self.service_accounts.iter().flat_map(|account| &account.settings.clients);
        unique(root, "service_account", clients().map(String::as_str));
        for id in clients() {
            let found = self.pre_registered.iter().find(|client| client.settings.client_id == *id);
            if !found.is_some_and(PreRegisteredConfig::is_confidential) {
                root.mistake(
                    "service_account",
                    "has a client that is not in this file, or that has no secret",
                    "the client_id of a confidential [[client]]",
                );
            }
        }
        for client in &self.pre_registered {
            if client.settings.client_id.starts_with(SERVICE_ACCOUNT_PREFIX) {
                root.mistake(
                    "client",
                    "has an id that is kept for programs of a service account",
                    "another id",
                );
            }
            let acts = clients().any(|id| *id == client.settings.client_id);
            match (acts, client.settings.redirect_uris.is_empty()) {
                (true, true) | (false, false) => {}
                (true, false) => root.mistake(
                    "client",
                    "acts as a service account and has redirect_uris: it would be two kinds of client at once",
                    "a client without redirect_uris for the service account, and another one for people",
                ),
                (false, true) => root.mistake(
                    "client",
                    "has no redirect_uris, and acts as no service account",
                    "redirect_uris, or its client_id in the clients of a [[service_account]]",
                ),
            }
        }
        let known =
            |name: &String| self.service_accounts.iter().any(|account| account.settings.name == *name);
        let rules = self.service_accounts.iter().flat_map(|account| &account.may_act);
        let named = rules.flat_map(|rule| std::iter::once(&rule.from).chain(&rule.to));
        let is_server = |name: &str| self.mcp_servers.iter().any(|server| server.settings.name == name);
        if named.into_iter().any(|name| !is_server(name)) {
            let problem = "may act at an MCP server that is not in this file";
            root.mistake("service_account", problem, "names of [[mcp_server]] in `from` and `to`");
        }
        scopes::judge_acting(self, root);
        let admitted = self.mcp_servers.iter().flat_map(|server| &server.access.service_accounts);
        for account in admitted.filter(|account| !known(&account.name)) {
            let problem = format!("admits the service account `{}`, which is not there", account.name);
            root.mistake("mcp_server", problem, "the name of one of [[service_account]]");
        }
    }

    /// What a host is answered with depends on nothing but the host.
    fn judge_former(&self, root: &Section<'_>) {
        let is_former = |url: &str| self.former_public_urls.iter().any(|former| former.url == url);
        if is_former(&self.house.public_url) {
            root.mistake("former_public_url", "is the present `public_url`", "only those it had before");
        } else if is_former(self.house.pages_url()) {
            root.mistake(
                "former_public_url",
                "is `pages_url`, and a host cannot answer for both: people would come to the former issuer",
                "a `pages_url` that was no `public_url` before",
            );
        }
    }

    /// Somebody must be able to come in, and to find each page where it is said to be.
    fn judge_listeners(&self, root: &Section<'_>) {
        if self.house.listen.is_empty() && self.listeners.is_empty() {
            root.mistake(
                "listen",
                "is missing: nobody could come in",
                "listen = [\"127.0.0.1:8080\"], or [[listener]]",
            );
            return;
        }
        let anywhere = |wanted: fn(&web::Serves) -> bool| {
            !self.house.listen.is_empty()
                || self.listeners.iter().any(|listener| wanted(&listener.settings.serves))
        };
        for (class, served) in
            [("machines", anywhere(|serves| serves.machines)), ("people", anywhere(|serves| serves.people))]
        {
            if !served {
                root.mistake(
                    "listener",
                    format!("none serves {class}"),
                    "at least one listener for each of machines and people",
                );
            }
        }
        if self.listeners.iter().any(|listener| listener.settings.proxy_protocol)
            && self.house.trusted_proxies.is_empty()
        {
            root.mistake(
                "trusted_proxies",
                "is empty, so nobody could speak the PROXY protocol",
                "the networks of the load balancers",
            );
        }
        let scheme = |url: &str| url.starts_with("https://");
        if scheme(self.house.pages_url()) != scheme(&self.house.public_url) {
            root.mistake(
                "pages_url",
                "has another scheme than public_url",
                "https for both, or http for both",
            );
        }
    }

    /// The host names of the certificate by ACME.
    pub fn acme_names(&self) -> Vec<String> {
        let configured = self.acme.as_ref().and_then(|acme| acme.settings.names.clone());
        configured.unwrap_or_else(|| {
            let urls = [self.house.public_url.as_str(), self.house.pages_url()];
            let hosts =
                urls.map(|url| Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)));
            let mut names: Vec<String> = hosts.into_iter().flatten().collect();
            names.dedup();
            names
        })
    }

    /// Example people have no passwords: they are for one machine only.
    fn judge_development(&self, root: &Section<'_>) {
        let development =
            self.identity_providers.iter().any(|p| matches!(p.kind, IdentityProviderKind::Development(_)));
        if !development {
            return;
        }
        const ALLOWED: &str =
            "the development identity provider needs a loopback public_url and loopback listeners";
        let loopback = |url: &str| Url::parse(url).is_ok_and(|url| parse::is_loopback(&url));
        let former = self.former_public_urls.iter().map(|former| ("former_public_url", former.url.as_str()));
        let present = [("public_url", self.house.public_url.as_str()), ("pages_url", self.house.pages_url())];
        if let Some((key, _)) = present.into_iter().chain(former).find(|(_, url)| !loopback(url)) {
            root.mistake(key, "is not loopback, but anybody could log in as anybody", ALLOWED);
        }
        if self.house.listen.iter().any(|address| !address.ip().is_loopback()) {
            root.mistake("listen", "is not loopback only, but anybody could log in as anybody", ALLOWED);
        }
        if self.listeners.iter().any(|listener| !listener.settings.address.ip().is_loopback()) {
            root.mistake("listener", "is not loopback only, but anybody could log in as anybody", ALLOWED);
        }
    }
}

/// A table whose settings all have defaults, so that it may be left out.
fn section<T>(root: &mut Section<'_>, key: &str, read: fn(&mut Section<'_>) -> Option<T>) -> Option<T> {
    if let Some(mut section) = root.table(key) {
        let value = read(&mut section);
        section.finish();
        return value;
    }
    let empty = DeTable::new();
    let source = Source::new("", Path::new("."));
    read(&mut Section::root(&source, &empty))
}

fn unique<'a>(root: &Section<'_>, key: &str, names: impl Iterator<Item = &'a str>) {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            root.mistake(key, format!("`{name}` is there twice"), "each name once");
        }
    }
}

/// A time such as `30s`, `10m`, `12h` or `30d`, for the command line.
pub fn parse_duration(text: &str) -> Option<std::time::Duration> {
    parse::seconds(text).map(std::time::Duration::from_secs)
}

/// Whether a text may be the name of an MCP server, for the command line.
pub fn is_name(text: &str) -> bool {
    parse::is_name(text)
}

#[cfg(test)]
mod tests;
