//! Who may read the files that hold secrets, and who may put others in their place.
//!
//! A file that is not there is told by whatever needs it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::doors::{authorities_expiry, chain_expiry};
use super::report::Report;
use crate::config::listeners::TlsConfig;
use crate::config::master_key::MasterKeySource;
use crate::config::outbound_proxy::OutboundProxyChoice;
use crate::config::secrets::SecretSource;
use crate::config::store::StoreAt;
use crate::config::{Config, secrets};
use crate::wiring::acme;
use crate::wiring::outward::client_certificate_files;

pub(super) fn examine(config: &Config, file: &Path, report: &mut Report) {
    let secrets = secret_files(config);
    let (mut good, mut folders) = (0_usize, BTreeSet::new());
    for secret in secrets.iter().filter(|secret| secret.exists()) {
        match secrets::is_private(secret) {
            Ok(true) => good += 1,
            Ok(false) => report.bad(
                "secret files",
                format!(
                    "`{}` can be read or changed by others; allow only its owner: chmod 600",
                    secret.display()
                ),
            ),
            Err(error) => {
                report.bad("secret files", format!("`{}` cannot be read: {error}", secret.display()))
            }
        }
        folders.extend(secret.parent().map(Path::to_owned));
    }
    if good > 0 {
        let files = if good == 1 {
            "1 file is for its owner".to_owned()
        } else {
            format!("{good} files are for their owners")
        };
        report.good("secret files", format!("{files} alone"));
    }
    folders.extend(file.parent().map(Path::to_owned));
    for folder in folders {
        if secrets::is_open_to_writers(&folder).unwrap_or(false) {
            report.bad("files", format!("everybody may exchange files in `{}`: chmod o-w", shown(&folder)));
        }
    }
    if secrets::is_open_to_writers(file).unwrap_or(false) {
        report.bad("files", format!("everybody may change `{}`: chmod o-w", file.display()));
    }
    if let StoreAt::Sqlite(record) = &config.store.at
        && record.exists()
        && !secrets::is_private(record).unwrap_or(true)
    {
        report.note(
            "store",
            format!("others can read `{}`: names, addresses and the audit are in it", record.display()),
        );
    }
    certificates(config, report);
}

/// Those of peers: what we show them, and whom we believe.
fn certificates(config: &Config, report: &mut Report) {
    for server in &config.mcp_servers {
        let what = format!("MCP server {}", server.settings.name);
        if let Some((certificate, _)) = client_certificate_files(config, &server.settings)
            && let Ok(chain) = std::fs::read(&certificate)
        {
            chain_expiry(&format!("client certificate for {what}"), &chain, report);
        }
        authorities(config, &what, server.settings.ca_file.as_ref(), report);
    }
    for provider in &config.identity_providers {
        if let Some(registration) = provider.kind.registration() {
            let what = format!("identity provider {}", provider.settings.id);
            authorities(config, &what, registration.settings.ca_file.as_ref(), report);
        }
    }
    if let Some(proxy) = &config.outbound_proxy {
        authorities(config, "the outbound proxy", proxy.settings.ca_file.as_ref(), report);
    }
    authorities(config, "the store", config.store.settings.postgres_ca_file.as_ref(), report);
}

fn authorities(config: &Config, what: &str, file: Option<&String>, report: &mut Report) {
    if let Some(file) = file {
        authorities_expiry(what, &config.folder.join(file), report);
    }
}

/// Every file of the configuration that holds a secret.
fn secret_files(config: &Config) -> BTreeSet<PathBuf> {
    let mut sources: Vec<&SecretSource> = Vec::new();
    let mut files = BTreeSet::new();
    for master in std::iter::once(&config.master_key).chain(&config.previous_master_key) {
        match master {
            MasterKeySource::Secret(source) => sources.push(source),
            MasterKeySource::Service(service) => {
                sources.extend(&service.secret_id);
                files.extend(service.token_file.clone());
            }
        }
    }
    if let StoreAt::Postgres(source) = &config.store.at {
        sources.push(source);
    }
    sources.extend(config.mcp_servers.iter().filter_map(|server| server.introspection_secret.as_ref()));
    sources.extend(config.mcp_servers.iter().filter_map(|server| Some(&server.fixed.as_ref()?.value)));
    let connections = config.mcp_servers.iter().filter_map(|server| server.connection.as_ref());
    sources.extend(connections.filter_map(|connection| connection.client_secret.as_ref()));
    let exchanges = config.mcp_servers.iter().filter_map(|server| server.exchange.as_ref());
    sources.extend(exchanges.filter_map(|exchange| exchange.client_secret.as_ref()));
    let id_jags = config.mcp_servers.iter().filter_map(|server| server.id_jag.as_ref());
    sources.extend(id_jags.filter_map(|id_jag| id_jag.client_secret.as_ref()));
    let minted = config.mcp_servers.iter().filter_map(|server| server.minted.as_ref());
    sources.extend(minted.map(|minted| &minted.private_key));
    sources.extend(config.pre_registered.iter().filter_map(|client| client.secret.as_ref()));
    sources.extend(config.identity_providers.iter().flat_map(|provider| provider.kind.secrets()));
    let own = config.mcp_servers.iter().filter_map(|server| match &server.outbound_proxy {
        OutboundProxyChoice::Own(proxy) => Some(proxy.as_ref()),
        OutboundProxyChoice::Inherited | OutboundProxyChoice::Off => None,
    });
    sources.extend(config.outbound_proxy.iter().chain(own).filter_map(|proxy| proxy.password.as_ref()));
    if let Some(acme) = &config.acme {
        sources.extend(&acme.eab_hmac_key);
        files.insert(config.folder.join(&acme.settings.folder).join(acme::CERTIFICATE));
    }
    for listener in &config.listeners {
        if let Some(TlsConfig::Files(pairs)) = &listener.tls {
            files.extend(pairs.iter().map(|(_, key)| key.clone()));
        }
    }
    let clients =
        config.mcp_servers.iter().filter_map(|server| client_certificate_files(config, &server.settings));
    files.extend(clients.map(|(_, key)| key));
    files.extend(sources.into_iter().filter_map(|source| match source {
        SecretSource::File(path) => Some(path.clone()),
        SecretSource::Command(_) | SecretSource::Environment(_) => None,
    }));
    files
}

fn shown(folder: &Path) -> String {
    if folder.as_os_str().is_empty() { ".".to_owned() } else { folder.display().to_string() }
}
