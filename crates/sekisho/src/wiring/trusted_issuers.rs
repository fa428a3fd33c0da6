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

/// How long a token request may wait for the keys of an issuer, or of a client.
pub const DEADLINE: Duration = Duration::from_secs(6);

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
        keys: keys(config, &Place::of(trusted), clock, trusts)?,
        link_by_email: trusted.link_by_email,
        new_people: trusted.new_people,
        tenant: trusted.tenant.clone(),
    })
}

fn wrong(trusted: &Configured, what: impl std::fmt::Display) -> Failure {
    Place::of(trusted).wrong(what)
}

/// Where the keys of an issuer are.
pub(super) struct Place<'a> {
    /// The table of the configuration that says so.
    pub(super) table: &'static str,
    pub(super) issuer: &'a str,
    pub(super) jwks_uri: Option<&'a str>,
    pub(super) jwks_file: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(trusted: &'a Configured) -> Self {
        Self {
            table: "trusted_issuer",
            issuer: &trusted.issuer,
            jwks_uri: trusted.jwks_uri.as_deref(),
            jwks_file: trusted.jwks_file.as_deref(),
        }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> Failure {
        Failure::Wiring(format!("[[{}]] `{}`: {what}", self.table, self.issuer))
    }
}

/// The keys of an issuer. Dials nothing.
pub(super) fn keys(
    config: &Config,
    place: &Place<'_>,
    clock: &Arc<dyn Clock>,
    trusts: &Trusts,
) -> Result<IssuerKeys, Failure> {
    if let Some(file) = place.jwks_file {
        let text = std::fs::read_to_string(config.folder.join(file)).map_err(|error| place.wrong(error))?;
        let jwks = serde_json::from_str(&text).map_err(|error| place.wrong(error))?;
        let keys = VerifyingKeys::from_jwks(&jwks).map_err(|error| place.wrong(error))?;
        if keys.is_empty() {
            return Err(place.wrong("its key set has no public key that can be used"));
        }
        return Ok(IssuerKeys::Held(Arc::new(keys)));
    }
    let (url, source) = match place.jwks_uri {
        Some(uri) => (uri, KeySource::Uri(uri.to_owned())),
        None => (place.issuer, KeySource::Discovery { issuer: place.issuer.to_owned() }),
    };
    let egress = Arc::new(Fetcher::new(trusts.route(config, url, None)?));
    Ok(IssuerKeys::Fetched(Arc::new(KeySets::new(egress, Arc::clone(clock), DEADLINE)), source))
}
