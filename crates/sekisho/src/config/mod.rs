//! The configuration: one TOML file, one file here per section, all mistakes reported at once.
//!
//! No other room reads it: each role gets a small struct of its own (`wiring`).

pub mod clients;
pub mod house;
pub mod identity_providers;
pub mod limits;
pub mod mcp_servers;
mod parse;
mod reader;
pub mod reference;
pub mod secrets;
mod settings;
pub mod store;
pub mod tokens;

use std::path::{Path, PathBuf};

use toml::de::DeTable;
use url::Url;

use self::clients::{Clients, PreRegisteredConfig};
use self::house::House;
use self::identity_providers::{IdentityProviderConfig, IdentityProviderKind};
use self::limits::Limits;
use self::mcp_servers::McpServerConfig;
pub use self::reader::{Mistake, Mistakes};
use self::reader::{Section, Source};
use self::secrets::SecretSource;
use self::store::StoreConfig;
use self::tokens::Tokens;

/// Everything in the file, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of the file, to which paths in it are relative.
    pub folder: PathBuf,
    /// The top of the file.
    pub house: House,
    /// Where the master key comes from.
    pub master_key: SecretSource,
    /// `[store]`.
    pub store: StoreConfig,
    /// `[tokens]`.
    pub tokens: Tokens,
    /// `[limits]`.
    pub limits: Limits,
    /// `[clients]`.
    pub clients: Clients,
    /// `[[client]]`.
    pub pre_registered: Vec<PreRegisteredConfig>,
    /// `[[identity_provider]]`.
    pub identity_providers: Vec<IdentityProviderConfig>,
    /// `[[mcp_server]]`.
    pub mcp_servers: Vec<McpServerConfig>,
}

impl Config {
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
        let master_key = house::master_key(&mut root);
        let store = StoreConfig::read(&mut root);
        let tokens = section(&mut root, "tokens", Tokens::read);
        let limits = section(&mut root, "limits", Limits::read);
        let clients = section(&mut root, "clients", Clients::read);
        let pre_registered = PreRegisteredConfig::read(&mut root).into_iter().collect::<Option<Vec<_>>>();
        let providers = IdentityProviderConfig::read(&mut root).into_iter().collect::<Option<Vec<_>>>();
        let servers = McpServerConfig::read(&mut root).into_iter().collect::<Option<Vec<_>>>();
        let whole = || {
            Some(Self {
                folder: source.path(""),
                house: house?,
                master_key: master_key?,
                store: store?,
                tokens: tokens?,
                limits: limits?,
                clients: clients?,
                pre_registered: pre_registered?,
                identity_providers: providers?,
                mcp_servers: servers?,
            })
        };
        let config = whole();
        if let Some(config) = &config {
            config.judge(&root);
        }
        root.finish();
        config
    }

    /// Mistakes that only two settings together can make.
    fn judge(&self, root: &Section<'_>) {
        unique(root, "mcp_server", self.mcp_servers.iter().map(|server| server.settings.name.as_str()));
        unique(root, "identity_provider", self.identity_providers.iter().map(|p| p.settings.id.as_str()));
        unique(root, "client", self.pre_registered.iter().map(|client| client.settings.client_id.as_str()));
        if let Some(name) = &self.house.default_server
            && !self.mcp_servers.iter().any(|server| server.settings.name == *name)
        {
            root.mistake(
                "default_server",
                "names no MCP server of this file",
                "the name of one of [[mcp_server]]",
            );
        }
        if self.tokens.grant_idle > self.tokens.grant {
            root.mistake("tokens", "grant_idle is longer than grant", "grant_idle up to grant");
        }
        self.judge_development(root);
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
        let public = Url::parse(&self.house.public_url);
        if !public.is_ok_and(|url| parse::is_loopback(&url)) {
            root.mistake("public_url", "is not loopback, but anybody could log in as anybody", ALLOWED);
        }
        if self.house.listen.iter().any(|address| !address.ip().is_loopback()) {
            root.mistake("listen", "is not loopback only, but anybody could log in as anybody", ALLOWED);
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

#[cfg(test)]
mod tests;
