//! What the operator says about Atlassian, and which settings would be a mistake.

use std::time::Duration;

use protocol::secret::Secret;
use url::Url;

use super::super::ConnectorId;
use super::super::answer::protected;
use crate::egress::Limits;

/// A site whose users are admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// What it is called as a group.
    pub name: String,
    /// Its cloud id. The address of a site can change hands, this cannot.
    pub cloud_id: String,
}

/// Atlassian, as configured.
#[derive(Debug)]
pub struct AtlassianSettings {
    /// The name of the connector.
    pub id: ConnectorId,
    /// What its button says.
    pub title: String,
    /// Who we are there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: Secret,
    /// Whose users are admitted.
    pub sites: Vec<Site>,
    /// Whether the sites are known by Confluence alone, and not by Jira.
    pub confluence: bool,
    /// `https://auth.atlassian.com`.
    pub authorization_url: String,
    /// `https://api.atlassian.com`.
    pub api_url: String,
    /// Whether it is asked later about people who signed in.
    pub recheck: bool,
    /// For all that one step of a sign-in asks.
    pub deadline: Duration,
}

/// The settings cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AtlassianSettingsError {
    /// Anybody can have an account at Atlassian.
    #[error("anybody can have an account at Atlassian: name the sites whose users are admitted")]
    AdmitsEverybody,
    /// The client identifier is empty.
    #[error("the client id is empty")]
    ClientId,
    /// A site without a name or cloud id, or one of them twice.
    #[error("a site has a name and a cloud id, and no two share either")]
    Site,
    /// Not an address that is protected.
    #[error("the addresses are https; http only on loopback")]
    Url,
}

impl AtlassianSettings {
    pub(super) fn verify(&self) -> Result<(), AtlassianSettingsError> {
        let good = |url: &String| Url::parse(url).is_ok_and(|url| protected(&url));
        if !good(&self.authorization_url) || !good(&self.api_url) {
            return Err(AtlassianSettingsError::Url);
        }
        if self.client_id.is_empty() {
            return Err(AtlassianSettingsError::ClientId);
        }
        if self.sites.is_empty() {
            return Err(AtlassianSettingsError::AdmitsEverybody);
        }
        for (at, one) in self.sites.iter().enumerate() {
            let mut others = self.sites.iter().skip(at + 1);
            let same = |other: &Site| other.name == one.name || other.cloud_id == one.cloud_id;
            if one.name.is_empty() || one.cloud_id.is_empty() || others.any(same) {
                return Err(AtlassianSettingsError::Site);
            }
        }
        Ok(())
    }

    /// Who the person is, and a scope of the product without which no site would be listed.
    pub(super) const fn scope(&self) -> &'static str {
        match (self.confluence, self.recheck) {
            (false, false) => "read:me read:jira-user",
            (false, true) => "read:me read:jira-user offline_access",
            (true, false) => "read:me read:confluence-user",
            (true, true) => "read:me read:confluence-user offline_access",
        }
    }

    pub(super) fn limits(&self, max_body: usize) -> Limits {
        Limits { total: self.deadline, max_body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_site_and_its_cloud_id_there_is_no_connector() {
        use AtlassianSettingsError as Error;
        let settings = |sites: &[(&str, &str)]| AtlassianSettings {
            id: "atlassian".parse().unwrap(),
            title: "Atlassian".to_owned(),
            client_id: "us".to_owned(),
            client_secret: Secret::new("hush".to_owned()),
            sites: sites
                .iter()
                .map(|(name, id)| Site { name: (*name).to_owned(), cloud_id: (*id).to_owned() })
                .collect(),
            confluence: false,
            authorization_url: "https://auth.atlassian.com".to_owned(),
            api_url: "https://api.atlassian.com".to_owned(),
            recheck: false,
            deadline: Duration::from_secs(10),
        };
        assert_eq!(settings(&[]).verify(), Err(Error::AdmitsEverybody));
        for sites in
            [&[("acme", "")][..], &[("", "c1")], &[("acme", "c1"), ("acme", "c2")], &[("a", "c"), ("b", "c")]]
        {
            assert_eq!(settings(sites).verify(), Err(Error::Site), "{sites:?}");
        }
        assert_eq!(settings(&[("acme", "c1"), ("other", "c2")]).verify(), Ok(()));
        let open = AtlassianSettings { api_url: "http://api.example".to_owned(), ..settings(&[("a", "c")]) };
        assert_eq!(open.verify(), Err(Error::Url));
    }
}
