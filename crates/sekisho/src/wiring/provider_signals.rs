//! What identity providers may say of people later: from the configuration to issuers, keys and what they end. Dials nothing.

use std::sync::Arc;
use std::time::Duration;

use authorization_server::{
    BackchannelLogout, GlobalTokenRevocation, IssuerKeys, OnLogout, SecurityEventTransmitter,
};
use protocol::world::Clock;
use upstream::egress::Fetcher;
use upstream::key_sets::{KeySets, KeySource};

use super::{Trusts, connectors};
use crate::commands::Failure;
use crate::config::Config;
use crate::config::identity_providers::{IdentityProviderConfig, IdentityProviderKind, Registration};

/// How long a signal may wait for the keys of its provider.
const DEADLINE: Duration = Duration::from_secs(6);

/// From what all of them are made.
#[derive(Clone, Copy, Debug)]
pub struct Wiring<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// What time it is.
    pub clock: &'a Arc<dyn Clock>,
    /// Whom we believe over TLS.
    pub trusts: &'a Trusts,
}

/// Every provider that may send logout tokens.
pub fn backchannel_logouts(wiring: &Wiring<'_>) -> Result<Vec<BackchannelLogout>, Failure> {
    let mut all = Vec::new();
    for provider in &wiring.config.identity_providers {
        let IdentityProviderKind::OpenId(openid, registration) = &provider.kind else { continue };
        let Some(on_logout) = &openid.on_logout else { continue };
        let on_logout = if on_logout == "session" { OnLogout::Session } else { OnLogout::Access };
        let issuer = connectors::issuer(provider, openid)?;
        let keys = wiring.keys(registration, KeySource::Discovery { issuer: issuer.clone() })?;
        let client_id = registration.settings.client_id.clone();
        let connector = provider.settings.id.clone();
        all.push(BackchannelLogout { client_id, connector, issuer, keys, on_logout });
    }
    Ok(all)
}

/// Every provider that sends Universal Logout: those of Okta, each as its organisation.
pub fn global_token_revocations(wiring: &Wiring<'_>) -> Result<Vec<GlobalTokenRevocation>, Failure> {
    let mut all = Vec::new();
    for provider in &wiring.config.identity_providers {
        let (Some(issuer), Some(registration)) = (organisation(provider), provider.kind.registration())
        else {
            continue;
        };
        let keys = wiring.keys(registration, KeySource::Discovery { issuer: issuer.clone() })?;
        let connector = provider.settings.id.clone();
        all.push(GlobalTokenRevocation { connector, issuer, keys });
    }
    Ok(all)
}

/// Every provider whose stream of security events has an audience.
pub fn security_event_transmitters(wiring: &Wiring<'_>) -> Result<Vec<SecurityEventTransmitter>, Failure> {
    let mut all = Vec::new();
    for provider in &wiring.config.identity_providers {
        let Some(registration) = provider.kind.registration() else { continue };
        let settings = &registration.settings;
        let Some(audience) = settings.security_event_audience.clone() else { continue };
        let issuer = match (&settings.security_event_issuer, organisation(provider), &provider.kind) {
            (Some(issuer), ..) => issuer.clone(),
            (None, Some(organisation), _) => organisation,
            (None, None, IdentityProviderKind::OpenId(openid, _)) => connectors::issuer(provider, openid)?,
            (None, None, _) => {
                let problem = "security_event_audience needs security_event_issuer with this kind";
                let id = &provider.settings.id;
                return Err(Failure::Wiring(format!("[[identity_provider]] `{id}`: {problem}")));
            }
        };
        let source = match &settings.security_event_jwks_uri {
            Some(uri) => KeySource::Uri(uri.clone()),
            None => KeySource::Discovery { issuer: issuer.clone() },
        };
        let keys = wiring.keys(registration, source)?;
        let connector = provider.settings.id.clone();
        all.push(SecurityEventTransmitter { audience, connector, issuer, keys });
    }
    Ok(all)
}

/// The issuer of an organisation of Okta, whichever of its authorization servers people sign in at
/// (developer.okta.com/docs/concepts/auth-servers/).
fn organisation(provider: &IdentityProviderConfig) -> Option<String> {
    let IdentityProviderKind::OpenId(openid, _) = &provider.kind else { return None };
    if provider.settings.kind != "okta" {
        return None;
    }
    let [domain] = openid.values.get("domain")?.as_slice() else { return None };
    Some(format!("https://{domain}"))
}

impl Wiring<'_> {
    fn keys(&self, registration: &Registration, source: KeySource) -> Result<IssuerKeys, Failure> {
        let url = match &source {
            KeySource::Discovery { issuer } => issuer,
            KeySource::Uri(uri) => uri,
        };
        let route = self.trusts.route(self.config, url, registration.settings.ca_file.as_deref())?;
        let sets = KeySets::new(Arc::new(Fetcher::new(route)), Arc::clone(self.clock), DEADLINE);
        Ok(IssuerKeys::Fetched(Arc::new(sets), source))
    }
}
