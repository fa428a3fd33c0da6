//! Credentials for MCP servers: from the configuration to what the resource server is told, and how old they are.
//!
//! A secret that stays the same for years is one that many have seen (product.md, P-15): its age is shown.

use std::path::Path;
use std::time::Duration;

use protocol::world::Timestamp;
use resource_server::{Credential, FixedCredential};

use crate::commands::Failure;
use crate::config::Config;
use crate::config::credentials::FixedConfig;
use crate::config::mcp_servers::McpServerConfig;
use crate::config::secrets::SecretSource;

/// The credential that one MCP server is sent.
pub fn of(server: &McpServerConfig) -> Result<Credential, Failure> {
    let Some(fixed) = &server.fixed else { return Ok(Credential::None) };
    let wrong =
        |what: String| Failure::Wiring(format!("[[mcp_server]] `{}`: fixed: {what}", server.settings.name));
    let secret = fixed.value.load("the credential for an MCP server")?;
    let made = FixedCredential::new(&fixed.settings.header, fixed.scheme(), &secret);
    made.map(Credential::Fixed).map_err(|error| wrong(format!("the value {error}")))
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
