//! Identity providers: from the configuration to connectors.

use std::sync::Arc;
use std::time::Duration;

use protocol::secret::Secret;
use protocol::world::Clock;
use upstream::connectors::atlassian::{Atlassian, AtlassianSettings, Site};
use upstream::connectors::development::{Development, DevelopmentSettings, Person};
use upstream::connectors::github::{GitHub, GitHubApp, GitHubSettings, Organization};
use upstream::connectors::oidc::Oidc;
use upstream::connectors::profile::{Given, Profile};
use upstream::connectors::{Connector, ConnectorId};
use upstream::egress::{Egress, Fetcher};

use super::Trusts;
use crate::commands::Failure;
use crate::config::Config;
use crate::config::identity_providers::{
    self as configured, ExamplePerson, IdentityProviderConfig, IdentityProviderKind, OpenId, Registration,
};

/// How long one step with an identity provider may take: discovery, keys and token request together.
const DEADLINE: Duration = Duration::from_secs(10);
const ATLASSIAN: [&str; 2] = ["https://auth.atlassian.com", "https://api.atlassian.com"];

/// Builds one connector. Dials nothing.
pub fn one(
    config: &Config,
    provider: &IdentityProviderConfig,
    clock: &Arc<dyn Clock>,
    trusts: &Trusts,
) -> Result<Arc<dyn Connector>, Failure> {
    let egress = |registration: &Registration| -> Result<Arc<dyn Egress>, Failure> {
        let url = address(provider)?.unwrap_or_default();
        let route = trusts.route(config, &url, registration.settings.ca_file.as_deref())?;
        Ok(Arc::new(Fetcher::new(route)))
    };
    match &provider.kind {
        IdentityProviderKind::Development(people) => {
            let settings = DevelopmentSettings {
                id: id(provider)?,
                title: provider.title().to_owned(),
                public_url: config.house.pages_url().to_owned(),
                people: people.iter().map(person).collect(),
            };
            Ok(Arc::new(Development::new(settings)))
        }
        IdentityProviderKind::Atlassian(settings, registration) => {
            let settings = atlassian(provider, settings, registration)?;
            Ok(Arc::new(Atlassian::new(settings, egress(registration)?).map_err(unfit)?))
        }
        IdentityProviderKind::GitHub(settings, registration) => {
            let settings = github(provider, settings, registration)?;
            Ok(Arc::new(GitHub::new(settings, egress(registration)?).map_err(unfit)?))
        }
        IdentityProviderKind::OpenId(openid, registration) => {
            let settings =
                profile(provider)?.settings(given(provider, openid, registration)?).map_err(unfit)?;
            Ok(Arc::new(Oidc::new(settings, egress(registration)?, Arc::clone(clock)).map_err(unfit)?))
        }
    }
}

fn unfit(error: impl std::error::Error) -> Failure {
    Failure::Wiring(error.to_string())
}

fn id(provider: &IdentityProviderConfig) -> Result<ConnectorId, Failure> {
    let id = provider.settings.id.parse();
    id.map_err(|_| Failure::Wiring("an identity provider's id is not a name".to_owned()))
}

fn profile(provider: &IdentityProviderConfig) -> Result<Profile, Failure> {
    let profile = Profile::find(&provider.settings.kind).map_err(unfit)?;
    profile.ok_or_else(|| Failure::Wiring("there is no profile of this kind of identity provider".to_owned()))
}

/// The issuer of an OpenID provider.
pub fn issuer(provider: &IdentityProviderConfig, openid: &OpenId) -> Result<String, Failure> {
    profile(provider)?.issuer(&openid.values).map_err(unfit)
}

/// A document that can be had there without a word about anybody, for seeing whether the provider is reached.
pub fn address(provider: &IdentityProviderConfig) -> Result<Option<String>, Failure> {
    match &provider.kind {
        IdentityProviderKind::Atlassian(..) => {
            let [_, api] = ATLASSIAN;
            Ok(Some(format!("{api}/oauth/token/accessible-resources")))
        }
        IdentityProviderKind::Development(_) => Ok(None),
        IdentityProviderKind::GitHub(settings, _) => {
            Ok(Some(format!("{}/", settings.url.trim_end_matches('/'))))
        }
        IdentityProviderKind::OpenId(openid, _) => {
            let issuer = issuer(provider, openid)?;
            Ok(Some(format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))))
        }
    }
}

fn secret(registration: &Registration) -> Result<Option<Secret>, Failure> {
    let source = registration.client_secret.as_ref();
    let loaded = source.map(|source| source.load("the client secret at the identity provider"));
    Ok(loaded.transpose()?)
}

fn needed_secret(registration: &Registration) -> Result<Secret, Failure> {
    secret(registration)?
        .ok_or_else(|| Failure::Wiring("a client secret at the identity provider is missing".to_owned()))
}

fn given(
    provider: &IdentityProviderConfig,
    openid: &OpenId,
    registration: &Registration,
) -> Result<Given, Failure> {
    let directory = openid.directory.as_ref().map(|(key, admin)| {
        let key = key.load("the key of the service account for Google's directory")?;
        Ok::<_, Failure>((key, admin.clone()))
    });
    Ok(Given {
        id: id(provider)?,
        title: provider.title().to_owned(),
        client_id: registration.settings.client_id.clone(),
        client_secret: secret(registration)?,
        values: openid.values.clone(),
        switches: openid.switches.clone(),
        groups_claim: openid.groups_claim.clone(),
        scopes: openid.scopes.clone(),
        userinfo: openid.userinfo,
        google_directory: directory.transpose()?,
        recheck: registration.settings.recheck,
        deadline: DEADLINE,
    })
}

fn github(
    provider: &IdentityProviderConfig,
    settings: &configured::GitHub,
    registration: &Registration,
) -> Result<GitHubSettings, Failure> {
    let organization = |named: &String| {
        let (name, id) = named.split_once(':').unwrap_or_default();
        // What is no number is told with its line where the configuration is read.
        Organization { name: name.to_owned(), id: id.parse().unwrap_or_default() }
    };
    Ok(GitHubSettings {
        id: id(provider)?,
        title: provider.title().to_owned(),
        url: settings.url.clone(),
        client_id: registration.settings.client_id.clone(),
        client_secret: needed_secret(registration)?,
        app: if settings.app == "github-app" { GitHubApp::GitHubApp } else { GitHubApp::OAuthApp },
        organizations: settings.organizations.iter().map(organization).collect(),
        recheck: registration.settings.recheck,
        deadline: DEADLINE,
    })
}

fn atlassian(
    provider: &IdentityProviderConfig,
    settings: &configured::Atlassian,
    registration: &Registration,
) -> Result<AtlassianSettings, Failure> {
    let site = |named: &String| {
        let (name, cloud_id) = named.split_once(':').unwrap_or_default();
        Site { name: name.to_owned(), cloud_id: cloud_id.to_owned() }
    };
    let [authorization_url, api_url] = ATLASSIAN.map(str::to_owned);
    Ok(AtlassianSettings {
        id: id(provider)?,
        title: provider.title().to_owned(),
        client_id: registration.settings.client_id.clone(),
        client_secret: needed_secret(registration)?,
        sites: settings.sites.iter().map(site).collect(),
        confluence: settings.product == "confluence",
        authorization_url,
        api_url,
        recheck: registration.settings.recheck,
        deadline: DEADLINE,
    })
}

fn person(person: &ExamplePerson) -> Person {
    Person {
        login: person.login.clone(),
        name: person.name.clone(),
        email: Some(person.email.clone()),
        groups: person.groups.clone(),
    }
}
