//! MCP servers: from the configuration to what each role is told of them.

use std::time::Duration;

use authorization_server::{ScopeEntry, ServerEntry, Words};
use policy::{Access, AdmittedAccount, Scopes, ServerRules};
use protocol::oauth::{ResourceUri, Scope, ScopeToken};
use protocol::secret::Hash;
use resource_server::ServerSettings;
use upstream::mcp_server::streamable_http::{McpServerClient, McpServerSettings};
use upstream::route::{Route, TlsServerName};

use super::Trusts;
use super::credentials;
use super::outward::with_client_certificate;
use super::roles::Shared;
use crate::commands::Failure;
use crate::config::Config;
use crate::config::mcp_server_limits::ServerLimit;
use crate::config::mcp_servers::{McpServerConfig, PeopleConfig};
use crate::config::outbound_proxy::OutboundProxyChoice;
use crate::config::scopes::FirstChallenge;

/// The way to one MCP server. Dials nothing.
pub fn one(config: &Config, server: &McpServerConfig, trusts: &Trusts) -> Result<McpServerClient, Failure> {
    let settings = McpServerSettings {
        url: server.settings.url.to_string(),
        connect_timeout: server.settings.connect_timeout,
        first_byte_timeout: server.settings.first_byte_timeout,
    };
    let route = route(config, server, trusts).map_err(|failure| {
        Failure::Wiring(format!("[[mcp_server]] `{}`: {failure}", server.settings.name))
    })?;
    McpServerClient::new(&settings, route).map_err(|error| Failure::Wiring(error.to_string()))
}

fn route(config: &Config, server: &McpServerConfig, trusts: &Trusts) -> Result<Route, Failure> {
    let wanted = &server.settings;
    let trust = trusts.of(config, wanted.url.as_str(), wanted.ca_file.as_deref())?;
    let name = wanted.tls_server_name.as_deref().map(TlsServerName::parse).transpose();
    Ok(Route {
        trust: with_client_certificate(config, wanted, trust)?,
        proxy: match &server.outbound_proxy {
            OutboundProxyChoice::Inherited => trusts.proxy(config)?,
            OutboundProxyChoice::Off => None,
            OutboundProxyChoice::Own(proxy) => Some(trusts.one_proxy(config, proxy)?),
        },
        tls_server_name: name.map_err(|error| Failure::Wiring(error.to_string()))?,
        http2: wanted.http2,
    })
}

fn resource(config: &Config, server: &McpServerConfig) -> Result<ResourceUri, Failure> {
    let text = format!("{}/{}/mcp", config.house.public_url, server.settings.name);
    ResourceUri::parse(&text).map_err(|error| Failure::Wiring(error.to_string()))
}

/// Who may use it, and what the policies say of it.
pub fn rules(config: &Config, server: &McpServerConfig) -> Result<ServerRules, Failure> {
    let access = match &server.access.people {
        PeopleConfig::Everyone => Access::Everyone,
        PeopleConfig::Groups(groups) => Access::Groups(groups.clone()),
    };
    let admitted = server.access.service_accounts.iter().map(|account| {
        let scope = account.scopes.iter().map(|name| token(name)).collect::<Result<Scope, Failure>>()?;
        Ok(AdmittedAccount { name: account.name.clone(), scope: (!scope.is_empty()).then_some(scope) })
    });
    let service_accounts = admitted.collect::<Result<_, Failure>>()?;
    let name = server.settings.name.clone();
    let (permits, policies) = (server.access.permits, config.policies.concerning(&name));
    let own = server.scopes.iter().map(|scope| Ok((token(&scope.name)?, scope.tools.clone())));
    let scopes = Scopes::with(&own.collect::<Result<Vec<_>, Failure>>()?);
    Ok(ServerRules { name, access, service_accounts, permits, policies, scopes })
}

/// What a challenge names that no call has caused: what a request without `scope` asks for.
fn challenge_scope(scopes: &[ScopeEntry]) -> Scope {
    scopes.iter().filter(|entry| entry.by_default).map(|entry| entry.token.clone()).collect()
}

fn token(text: &str) -> Result<ScopeToken, Failure> {
    ScopeToken::parse(text).map_err(|error| Failure::Wiring(error.to_string()))
}

/// Its scopes in the order in which people see them, each with whether a client is told to ask for it at once.
fn scopes(server: &McpServerConfig) -> Result<Vec<ScopeEntry>, Failure> {
    let written = &server.settings;
    let first = |name: &str, at_once: bool| match written.challenge {
        FirstChallenge::All => at_once,
        FirstChallenge::Least => name == "read",
    };
    let entry = |name: &str, at_once, english: Option<&String>, japanese: Option<&String>| {
        let words = Words { english: english.cloned(), japanese: japanese.cloned() };
        Ok::<_, Failure>(ScopeEntry { by_default: first(name, at_once), token: token(name)?, words })
    };
    let mut entries = vec![
        entry("read", true, written.read.as_ref(), written.read_ja.as_ref())?,
        entry("write", true, written.write.as_ref(), written.write_ja.as_ref())?,
    ];
    for own in &server.scopes {
        entries.push(entry(&own.name, own.at_once, Some(&own.words), own.words_ja.as_ref())?);
    }
    Ok(entries)
}

/// What the authorization server is told.
pub fn entry(config: &Config, server: &McpServerConfig) -> Result<ServerEntry, Failure> {
    let repeat: Duration = server.settings.refresh_repeat.unwrap_or(config.tokens.refresh_repeat);
    Ok(ServerEntry {
        access_tokens: server.settings.access_tokens,
        device_flow: server.settings.device_flow,
        dpop: server.settings.dpop,
        name: server.settings.name.clone(),
        outside_clients: server.settings.outside_clients,
        refresh_repeat: repeat,
        resource: resource(config, server)?,
        rules: rules(config, server)?,
        scopes: scopes(server)?,
        title: server.title().to_owned(),
    })
}

/// The hash of the secret by which an MCP server may ask. A short one is somebody's invention and can be guessed.
fn introspection_secret(server: &McpServerConfig) -> Result<Option<Hash>, Failure> {
    const SHORTEST: usize = 32;
    let Some(source) = &server.introspection_secret else { return Ok(None) };
    let secret = source.load("the introspection secret of an MCP server")?;
    if secret.len() < SHORTEST {
        return Err(Failure::Wiring(format!(
            "[[mcp_server]] `{}`: introspection_secret has fewer than {SHORTEST} characters; make one by `openssl rand -hex 32`",
            server.settings.name
        )));
    }
    Ok(Some(secret.hash()))
}

/// What the resource server is told.
pub fn settings(
    config: &Config,
    shared: &Shared,
    server: &McpServerConfig,
) -> Result<ServerSettings, Failure> {
    Ok(ServerSettings {
        name: server.settings.name.clone(),
        title: server.title().to_owned(),
        resource: resource(config, server)?,
        rules: rules(config, server)?,
        challenge_scope: challenge_scope(&scopes(server)?),
        assertion: server.is_sent_an_assertion(),
        assertion_audience: server.settings.url.to_string(),
        credential: credentials::of(config, shared, server)?,
        dpop: server.settings.dpop,
        tools: server.settings.tools,
        input_schemas: server.settings.input_schemas,
        introspection_secret: introspection_secret(server)?,
        message_signatures: server.settings.message_signatures,
        limits: server.limits.iter().map(ServerLimit::limit).collect(),
        breaker: server.breaker.settings(),
        low_risk: false,
    })
}
