//! Credentials for MCP servers: from the configuration to what the resource server is told, and how old they are.
//!
//! A secret that stays the same for years is one that many have seen (product.md, P-15): its age is shown.

use std::path::Path;
use std::time::Duration;

use protocol::world::Timestamp;
use resource_server::{Credential, FixedCredential, Provider, client_key};

use super::World;
use super::givers::AtHand;
use super::roles::Shared;
use crate::commands::Failure;
use crate::config::Config;
use crate::config::credentials::{CredentialForm, FixedConfig};
use crate::config::mcp_servers::McpServerConfig;
use crate::config::secrets::SecretSource;

/// The credential that one MCP server is sent.
pub fn of(config: &Config, shared: &Shared, server: &McpServerConfig) -> Result<Credential, Failure> {
    match server.settings.credential {
        CredentialForm::Assertion | CredentialForm::None => Ok(Credential::None),
        CredentialForm::Connection => {
            let client = shared.providers.of(config, shared, server)?;
            Ok(Credential::Connection(Provider(client)))
        }
        CredentialForm::Exchange | CredentialForm::IdJag | CredentialForm::Minted => {
            let World { clock, entropy } = &shared.world;
            let key = client_key(shared.keeper.keys(), clock, entropy);
            let at_hand = AtHand { clock, key: &key, trusts: shared.trusts.as_ref() };
            shared.givers.of(config, server, at_hand).map(Credential::Obtained)
        }
        // That its table is there was seen to when the file was read.
        CredentialForm::Fixed => match &server.fixed {
            Some(secret) => fixed(server, secret).map(Credential::Fixed),
            None => Ok(Credential::None),
        },
    }
}

/// A fixed one.
pub fn fixed(server: &McpServerConfig, fixed: &FixedConfig) -> Result<FixedCredential, Failure> {
    let secret = fixed.value.load("the credential for an MCP server")?;
    let made = FixedCredential::new(&fixed.settings.header, fixed.scheme(), &secret);
    made.map_err(|error| {
        Failure::Wiring(format!("[[mcp_server]] `{}`: fixed: the value {error}", server.settings.name))
    })
}

/// How old the credential is, as far as can be seen.
pub fn age(fixed: &FixedConfig, now: Timestamp) -> Option<Duration> {
    match &fixed.value {
        SecretSource::Command(_) | SecretSource::Environment(_) => None,
        SecretSource::File(path) => Some(now.since(written(path)?)),
    }
}

fn written(path: &Path) -> Option<Timestamp> {
    let written = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = written.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(i64::try_from(since.as_micros()).ok()?))
}

/// Says in the log which credentials are older than they may be.
pub fn warn_of_old_ones(config: &Config, now: Timestamp) {
    for server in &config.mcp_servers {
        let Some(fixed) = &server.fixed else { continue };
        if let Some(age) = age(fixed, now).filter(|age| *age > fixed.settings.max_age) {
            let (server, days) = (server.settings.name.as_str(), age.as_secs() / 86_400);
            tracing::warn!(server, days, "the fixed credential for this mcp server is older than it may be");
        }
    }
}
