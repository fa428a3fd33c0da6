//! The connectors to the fakes, made from the settings that an operator would write.

use std::sync::Arc;
use std::time::Duration;

use protocol::secret::Secret;
use upstream::connectors::atlassian::{Atlassian, AtlassianSettings, Site};
use upstream::connectors::github::{GitHub, GitHubApp, GitHubSettings, Organization};
use upstream::connectors::oidc::Oidc;
use upstream::connectors::oidc::directory::Directory;
use upstream::connectors::profile::{Given, Profile};
use upstream::connectors::{Connector, ConnectorId};
use upstream::egress::{Egress, Fetcher};
use upstream::trust::Trust;

use super::{Brand, CLIENT_ID, CLIENT_SECRET, IdentityProvider, ORGANIZATION, SITE, TENANTS, text};
use crate::key_services::ServiceAccount;
use crate::world::TestClock;

const DEADLINE: Duration = Duration::from_secs(10);

fn egress() -> Result<Arc<dyn Egress>, String> {
    Ok(Arc::new(Fetcher::new(&Trust::new(&[]).map_err(text)?)))
}

impl IdentityProvider {
    /// The connector to it, with the settings that an operator would write.
    pub fn connector(&self, id: &str) -> Result<Arc<dyn Connector>, String> {
        self.connector_with(id, |_| {})
    }

    /// The same, with another setting.
    pub fn connector_with(
        &self,
        id: &str,
        change: impl FnOnce(&mut Given),
    ) -> Result<Arc<dyn Connector>, String> {
        let id: ConnectorId = id.parse().map_err(text)?;
        let mut given = self.given(id.clone());
        change(&mut given);
        match self.brand {
            Brand::GitHub | Brand::GitHubApp => self.github(id, given.recheck),
            Brand::Atlassian => self.atlassian(id, given.recheck),
            Brand::Auth0
            | Brand::Entra
            | Brand::EntraOfSeveral
            | Brand::Google
            | Brand::Keycloak
            | Brand::Okta
            | Brand::OktaCustom => self.openid(given),
        }
    }

    fn github(&self, id: ConnectorId, recheck: bool) -> Result<Arc<dyn Connector>, String> {
        let oauth_app = self.brand == Brand::GitHub;
        let settings = GitHubSettings {
            id,
            title: "GitHub".to_owned(),
            url: self.url.clone(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: Secret::new(CLIENT_SECRET.to_owned()),
            app: if oauth_app { GitHubApp::OAuthApp } else { GitHubApp::GitHubApp },
            organizations: vec![Organization { name: ORGANIZATION.0.to_owned(), id: ORGANIZATION.1 }],
            recheck,
            deadline: DEADLINE,
        };
        Ok(Arc::new(GitHub::new(settings, egress()?).map_err(text)?))
    }

    fn atlassian(&self, id: ConnectorId, recheck: bool) -> Result<Arc<dyn Connector>, String> {
        let settings = AtlassianSettings {
            id,
            title: "Atlassian".to_owned(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: Secret::new(CLIENT_SECRET.to_owned()),
            sites: vec![Site { name: SITE.0.to_owned(), cloud_id: SITE.1.to_owned() }],
            confluence: false,
            authorization_url: self.url.clone(),
            api_url: self.url.clone(),
            recheck,
            deadline: DEADLINE,
        };
        Ok(Arc::new(Atlassian::new(settings, egress()?).map_err(text)?))
    }

    fn openid(&self, given: Given) -> Result<Arc<dyn Connector>, String> {
        let profile = Profile::find(self.brand.kind()).map_err(text)?.ok_or("no profile")?;
        let mut settings = profile.settings(given).map_err(text)?;
        // The profile names the provider's own hosts; everything else about it stays as it is.
        settings.issuer = self.moved(&settings.issuer);
        if let Some(tenants) = &mut settings.quirks.tenants {
            tenants.issuer = self.moved(&tenants.issuer);
        }
        match &mut settings.quirks.directory {
            Some(Directory::Graph(graph)) => graph.url.clone_from(&self.url),
            Some(Directory::Google(google)) => google.url.clone_from(&self.url),
            None => {}
        }
        let clock: Arc<dyn protocol::world::Clock> = Arc::<TestClock>::clone(&self.desk.clock);
        Ok(Arc::new(Oidc::new(settings, egress()?, clock).map_err(text)?))
    }

    /// What the operator writes.
    fn given(&self, id: ConnectorId) -> Given {
        let values: &[(&str, &[&str])] = match self.brand {
            Brand::Auth0 => &[("domain", &["acme.eu.auth0.com"]), ("organization", &["org_acme"])],
            Brand::Entra => &[("tenants", &[TENANTS[0]])],
            Brand::EntraOfSeveral => &[("tenants", &TENANTS)],
            Brand::Google => &[("hosted_domains", &["acme.example"])],
            Brand::Keycloak => &[("url", &[""]), ("realm", &["staff"])],
            Brand::Okta => &[("domain", &["acme.okta.com"])],
            Brand::OktaCustom => &[("domain", &["acme.okta.com"]), ("authorization_server", &["default"])],
            Brand::Atlassian | Brand::GitHub | Brand::GitHubApp => &[],
        };
        let named = |(name, values): &(&str, &[&str])| {
            ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
        };
        Given {
            recheck: false,
            id,
            title: format!("{:?}", self.brand),
            client_id: CLIENT_ID.to_owned(),
            client_secret: Some(Secret::new(CLIENT_SECRET.to_owned())),
            values: values.iter().map(named).collect(),
            switches: std::collections::BTreeSet::new(),
            groups_claim: None,
            scopes: None,
            userinfo: None,
            google_directory: None,
            deadline: DEADLINE,
        }
    }

    /// The key file of the service account that may ask the directory (Google).
    pub fn service_account(&self) -> Secret {
        Secret::new(self.desk.account.as_ref().map(ServiceAccount::file).unwrap_or_default())
    }

    fn moved(&self, url: &str) -> String {
        let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
        match path {
            Some(path) => format!("{}/{path}", self.url),
            None if url.starts_with('/') => format!("{}{url}", self.url),
            None => self.url.clone(),
        }
    }
}
