//! What identity providers may say of people later: from the configuration to issuers, keys and what they end.

use std::sync::Arc;
use std::time::Duration;

use authorization_server::{BackchannelLogout, IssuerKeys, OnLogout};
use protocol::world::Clock;
use upstream::egress::Fetcher;
use upstream::key_sets::{KeySets, KeySource};

use super::{Trusts, connectors};
use crate::commands::Failure;
use crate::config::Config;
use crate::config::identity_providers::{IdentityProviderConfig, IdentityProviderKind, OpenId, Registration};

/// How long a signal may wait for the keys of its provider.
const DEADLINE: Duration = Duration::from_secs(6);

/// Every provider that may send logout tokens. Dials nothing.
pub fn backchannel_logouts(
    config: &Config,
    clock: &Arc<dyn Clock>,
    trusts: &Trusts,
) -> Result<Vec<BackchannelLogout>, Failure> {
    let mut all = Vec::new();
    for provider in &config.identity_providers {
        let IdentityProviderKind::OpenId(openid, registration) = &provider.kind else { continue };
        let Some(on_logout) = &openid.on_logout else { continue };
        let on_logout = if on_logout == "session" { OnLogout::Session } else { OnLogout::Access };
        let (issuer, keys) = keys(config, (provider, openid, registration), clock, trusts)?;
        let client_id = registration.settings.client_id.clone();
        let connector = provider.settings.id.clone();
        all.push(BackchannelLogout { client_id, connector, issuer, keys, on_logout });
    }
    Ok(all)
}

/// The issuer of a provider, and its keys, which are those of its ID tokens.
fn keys(
    config: &Config,
    (provider, openid, registration): (&IdentityProviderConfig, &OpenId, &Registration),
    clock: &Arc<dyn Clock>,
    trusts: &Trusts,
) -> Result<(String, IssuerKeys), Failure> {
    let issuer = connectors::issuer(provider, openid)?;
    let route = trusts.route(config, &issuer, registration.settings.ca_file.as_deref())?;
    let sets = KeySets::new(Arc::new(Fetcher::new(route)), Arc::clone(clock), DEADLINE);
    let source = KeySource::Discovery { issuer: issuer.clone() };
    Ok((issuer, IssuerKeys::Fetched(Arc::new(sets), source)))
}
