//! What the operator says about GitHub, and which settings would be a mistake.

use std::time::Duration;

use protocol::secret::Secret;
use url::Url;

use super::super::ConnectorId;
use super::super::answer::protected;
use crate::egress::Limits;

/// What Sekisho is registered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitHubApp {
    /// A GitHub App, whose permissions are set where it is registered.
    GitHubApp,
    /// An OAuth App, which asks for scopes.
    OAuthApp,
}

/// An organisation whose members are admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// What it is called in groups. Its login, as long as it keeps it.
    pub name: String,
    /// Its number, which nobody else ever gets.
    pub id: u64,
}

/// GitHub, as configured.
#[derive(Debug)]
pub struct GitHubSettings {
    /// The name of the connector.
    pub id: ConnectorId,
    /// What its button says.
    pub title: String,
    /// `https://github.com`, `https://SUBDOMAIN.ghe.com` or a GitHub Enterprise Server.
    pub url: String,
    /// Who we are there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: Secret,
    /// What we are registered as.
    pub app: GitHubApp,
    /// Whose members are admitted.
    pub organizations: Vec<Organization>,
    /// Whether it is asked later about people who signed in.
    pub recheck: bool,
    /// For all that one step of a sign-in asks.
    pub deadline: Duration,
}

/// The settings cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitHubSettingsError {
    /// Anybody can have an account at GitHub.
    #[error("anybody can have an account at GitHub: name the organisations whose members are admitted")]
    AdmitsEverybody,
    /// The client identifier is empty.
    #[error("the client id is empty")]
    ClientId,
    /// An organisation without a name or a number, or one of them twice.
    #[error("an organisation has a name and a number, and no two share either")]
    Organization,
    /// Not the address of a GitHub.
    #[error("the url is https, with a host and nothing behind it; http only on loopback")]
    Url,
}

impl GitHubSettings {
    pub(super) fn verify(&self) -> Result<(), GitHubSettingsError> {
        let url = Url::parse(&self.url).map_err(|_| GitHubSettingsError::Url)?;
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !plain || !url.username().is_empty() || url.password().is_some() || !protected(&url) {
            return Err(GitHubSettingsError::Url);
        }
        if self.client_id.is_empty() {
            return Err(GitHubSettingsError::ClientId);
        }
        if self.organizations.is_empty() {
            return Err(GitHubSettingsError::AdmitsEverybody);
        }
        for (at, one) in self.organizations.iter().enumerate() {
            let mut others = self.organizations.iter().skip(at + 1);
            let good = !one.name.is_empty() && !one.name.contains('/') && one.id != 0;
            if !good || others.any(|other| other.name == one.name || other.id == one.id) {
                return Err(GitHubSettingsError::Organization);
            }
        }
        Ok(())
    }

    pub(super) fn limits(&self, max_body: usize) -> Limits {
        Limits { total: self.deadline, max_body }
    }

    /// An address of the site.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    /// An address of the REST API: a host of its own at github.com and ghe.com, a path on a server of one's own.
    pub(super) fn api(&self, path: &str) -> String {
        let site = self.url.trim_end_matches('/');
        match site.strip_prefix("https://") {
            Some(host) if host == "github.com" || host.ends_with(".ghe.com") => {
                format!("https://api.{host}{path}")
            }
            Some(_) | None => format!("{site}/api/v3{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, organizations: &[(&str, u64)]) -> GitHubSettings {
        GitHubSettings {
            id: "github".parse().unwrap(),
            title: "GitHub".to_owned(),
            url: url.to_owned(),
            client_id: "us".to_owned(),
            client_secret: Secret::new("hush".to_owned()),
            app: GitHubApp::OAuthApp,
            organizations: organizations
                .iter()
                .map(|(name, id)| Organization { name: (*name).to_owned(), id: *id })
                .collect(),
            recheck: false,
            deadline: Duration::from_secs(10),
        }
    }

    #[test]
    fn the_api_is_where_each_kind_of_github_has_it() {
        for (url, api) in [
            ("https://github.com", "https://api.github.com/user"),
            ("https://github.com/", "https://api.github.com/user"),
            ("https://acme.ghe.com", "https://api.acme.ghe.com/user"),
            ("https://git.acme.example", "https://git.acme.example/api/v3/user"),
            ("https://github.com.evil.example", "https://github.com.evil.example/api/v3/user"),
        ] {
            assert_eq!(settings(url, &[]).api("/user"), api);
        }
    }

    #[test]
    fn without_an_organisation_and_its_number_there_is_no_connector() {
        use GitHubSettingsError as Error;
        let site = "https://github.com";
        for (url, organizations, error) in [
            (site, &[][..], Error::AdmitsEverybody),
            (site, &[("acme", 0)], Error::Organization),
            (site, &[("", 1)], Error::Organization),
            (site, &[("acme/x", 1)], Error::Organization),
            (site, &[("acme", 1), ("acme", 2)], Error::Organization),
            (site, &[("acme", 1), ("other", 1)], Error::Organization),
            ("http://github.com", &[("acme", 1)], Error::Url),
            ("https://github.com/acme", &[("acme", 1)], Error::Url),
            ("https://me@github.com", &[("acme", 1)], Error::Url),
        ] {
            assert_eq!(settings(url, organizations).verify(), Err(error), "{url} {organizations:?}");
        }
        assert_eq!(settings(site, &[("acme", 1), ("other", 2)]).verify(), Ok(()));
    }
}
