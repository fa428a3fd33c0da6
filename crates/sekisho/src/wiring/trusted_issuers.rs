//! Trusted issuers: from the configuration to keys and whom they speak of.

use std::sync::Arc;
use std::time::Duration;

use authorization_server::{IssuerKeys, TrustedIssuer};
use protocol::jose::VerifyingKeys;
use protocol::oauth::ClientId;
use protocol::world::Clock;
use upstream::egress::Fetcher;
use upstream::key_sets::{KeySets, KeySource};

use super::Trusts;
use crate::commands::Failure;
use crate::config::Config;
use crate::config::trusted_issuers::TrustedIssuer as Configured;

/// How long a token request may wait for the keys of an issuer.
const DEADLINE: Duration = Duration::from_secs(6);

/// The trusted issuers as configured. Dials nothing.
pub fn all(config: &Config, clock: &Arc<dyn Clock>, trusts: &Trusts) -> Result<Vec<TrustedIssuer>, Failure> {
    config.trusted_issuers.iter().map(|trusted| one(config, trusted, clock, trusts)).collect()
}

fn one(
    config: &Config,
    trusted: &Configured,
    clock: &Arc<dyn Clock>,
    trusts: &Trusts,
) -> Result<TrustedIssuer, Failure> {
    let client = |id: &String| ClientId::parse(id).map_err(|error| wrong(trusted, error));
    Ok(TrustedIssuer {
        clients: trusted.clients.iter().map(client).collect::<Result<_, _>>()?,
        connector: trusted.identity_provider.clone(),
        issuer: trusted.issuer.clone(),
        keys: keys(config, trusted, clock, trusts)?,
        tenant: trusted.tenant.clone(),
    })
}

fn wrong(trusted: &Configured, what: impl std::fmt::Display) -> Failure {
    Failure::Wiring(format!("[[trusted_issuer]] `{}`: {what}", trusted.issuer))
}

fn keys(
    config: &Config,
    trusted: &Configured,
    clock: &Arc<dyn Clock>,
    trusts: &Trusts,
) -> Result<IssuerKeys, Failure> {
    if let Some(file) = &trusted.jwks_file {
        let text =
            std::fs::read_to_string(config.folder.join(file)).map_err(|error| wrong(trusted, error))?;
        let jwks = serde_json::from_str(&text).map_err(|error| wrong(trusted, error))?;
        let keys = VerifyingKeys::from_jwks(&jwks).map_err(|error| wrong(trusted, error))?;
        if keys.is_empty() {
            return Err(wrong(trusted, "its key set has no public key that can be used"));
        }
        return Ok(IssuerKeys::Held(Arc::new(keys)));
    }
    let (url, source) = match &trusted.jwks_uri {
        Some(uri) => (uri.clone(), KeySource::Uri(uri.clone())),
        None => (trusted.issuer.clone(), KeySource::Discovery { issuer: trusted.issuer.clone() }),
    };
    let egress = Arc::new(Fetcher::new(trusts.route(config, &url, None)?));
    Ok(IssuerKeys::Fetched(Arc::new(KeySets::new(egress, Arc::clone(clock), DEADLINE)), source))
}
