//! Identity providers: from the configuration to connectors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::world::Clock;
use upstream::connectors::development::{Development, DevelopmentSettings, Person};
use upstream::connectors::oidc::{Oidc, OidcSettings};
use upstream::connectors::{Connector, ConnectorId};
use upstream::egress::Fetcher;

use super::Trusts;
use crate::commands::Failure;
use crate::config::Config;
use crate::config::identity_providers::{ExamplePerson, IdentityProviderConfig, IdentityProviderKind};

/// How long one step with an identity provider may take: discovery, keys and token request together.
const DEADLINE: Duration = Duration::from_secs(10);

/// Builds one connector. Dials nothing.
pub fn one(
    config: &Config,
    provider: &IdentityProviderConfig,
    clock: &Arc<dyn Clock>,
    trusts: &Trusts,
) -> Result<Arc<dyn Connector>, Failure> {
    let id: ConnectorId = provider
        .settings
        .id
        .parse()
        .map_err(|_| Failure::Wiring("an identity provider's id is not a name".to_owned()))?;
    match &provider.kind {
        IdentityProviderKind::Development(people) => {
            let settings = DevelopmentSettings {
                id,
                title: provider.title().to_owned(),
                public_url: config.house.pages_url().to_owned(),
                people: people.iter().map(person).collect(),
            };
            Ok(Arc::new(Development::new(settings)))
        }
        IdentityProviderKind::Oidc { settings, client_secret } => {
            let secret = client_secret
                .as_ref()
                .map(|source| source.load("the client secret at the identity provider"));
            let oidc = OidcSettings {
                id,
                title: provider.title().to_owned(),
                issuer: settings.issuer.clone(),
                client_id: settings.client_id.clone(),
                client_secret: secret.transpose()?,
                authentication: None,
                scopes: settings.scopes.clone(),
                groups_claim: settings.groups_claim.clone(),
                userinfo: settings.userinfo,
                email_domains: settings.email_domains.clone(),
                required_claims: BTreeMap::new(),
                deadline: DEADLINE,
            };
            let route = trusts.route(config, &settings.issuer, settings.ca_file.as_deref())?;
            let oidc = Oidc::new(oidc, Arc::new(Fetcher::new(route)), Arc::clone(clock));
            oidc.map(|oidc| Arc::new(oidc) as Arc<dyn Connector>)
                .map_err(|error| Failure::Wiring(error.to_string()))
        }
    }
}

fn person(person: &ExamplePerson) -> Person {
    Person {
        login: person.login.clone(),
        name: person.name.clone(),
        email: Some(person.email.clone()),
        groups: person.groups.clone(),
    }
}
