//! Identity providers as data: what a person need not write because it is the same for everybody at that provider.
//!
//! A profile is a file of `profiles/`. It says how the issuer is made from the few settings that differ, where the provider
//! departs from the standard, and which of the settings keep the whole world out (P-13). It holds nothing secret and
//! decides nothing about a person.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::secret::Secret;
use serde::Deserialize;

use super::ConnectorId;
use super::oidc::directory::{Directory, GoogleDirectory, Graph};
use super::oidc::{Offline, OidcSettings, Quirks, Tenants};

/// Every profile: the `kind` of an `[[identity_provider]]`, and its file.
pub const PROFILES: [(&str, &str); 6] = [
    ("auth0", include_str!("../../profiles/auth0.toml")),
    ("entra", include_str!("../../profiles/entra.toml")),
    ("google", include_str!("../../profiles/google.toml")),
    ("keycloak", include_str!("../../profiles/keycloak.toml")),
    ("oidc", include_str!("../../profiles/oidc.toml")),
    ("okta", include_str!("../../profiles/okta.toml")),
];

const GRAPH: &str = "https://graph.microsoft.com";

/// One profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What people are shown, unless the operator says otherwise.
    pub title: String,
    #[serde(default)]
    subject: Vec<String>,
    email_verified_claim: Option<String>,
    groups_claim: Option<String>,
    #[serde(default)]
    userinfo: bool,
    /// One of these settings must be given, or the connector admits the whole world.
    #[serde(default)]
    restricted_by: Vec<String>,
    directory: Option<Kept>,
    /// How it is asked for a refresh token that lasts.
    #[serde(default)]
    offline: OfflineOf,
    /// The first of which all settings are given, once each, is the one.
    issuer: Vec<IssuerOf>,
    #[serde(default)]
    parameter: Vec<ParameterOf>,
    #[serde(default)]
    required_claim: Vec<ClaimOf>,
}

/// The scope of the standard (OpenID Connect Core 1.0, section 11), unless it has a way of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfflineOf {
    scopes: Vec<String>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
}

impl Default for OfflineOf {
    fn default() -> Self {
        Self { scopes: vec!["offline_access".to_owned()], parameters: BTreeMap::new() }
    }
}

/// Who keeps the groups that are not in the ID token.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kept {
    Google,
    Graph,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerOf {
    url: String,
    scopes: Vec<String>,
    of_tenant: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParameterOf {
    name: String,
    value: String,
    /// What is sent if the setting has several values.
    several: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimOf {
    name: String,
    values: String,
    /// The switch that does without it.
    unless: Option<String>,
}

/// What the operator gave.
#[derive(Debug)]
pub struct Given {
    /// The name of the connector.
    pub id: ConnectorId,
    /// What people are shown.
    pub title: String,
    /// Who we are there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: Option<Secret>,
    /// The settings that this profile knows, by name.
    pub values: BTreeMap<String, Vec<String>>,
    /// The switches that are on.
    pub switches: BTreeSet<String>,
    /// In place of the profile's.
    pub groups_claim: Option<String>,
    /// In place of the profile's.
    pub scopes: Option<Vec<String>>,
    /// In place of the profile's.
    pub userinfo: Option<bool>,
    /// Key file of the service account, and administrator, if Google's directory is to be asked.
    pub google_directory: Option<(Secret, String)>,
    /// Whether the provider is asked later about people who signed in.
    pub recheck: bool,
    /// For all that one step of a sign-in asks of the provider.
    pub deadline: Duration,
}

/// Why there is no connector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Nothing keeps the whole world out.
    #[error("it would admit everybody who has an account there: one of {0} must be set")]
    AdmitsEverybody(String),
    /// The file of the profile is none.
    #[error("the profile cannot be read")]
    File,
    /// A setting without which nobody knows where the provider is.
    #[error("a setting that tells where the provider is, is missing")]
    Issuer,
}

impl Profile {
    /// The profile of a `kind`, if there is one.
    ///
    /// # Errors
    /// If its file is not a profile, which a test rules out.
    pub fn find(kind: &str) -> Result<Option<Self>, ProfileError> {
        let file = PROFILES.iter().find(|(name, _)| *name == kind);
        file.map(|(_, text)| toml::from_str(text).map_err(|_| ProfileError::File)).transpose()
    }

    /// The issuer that these settings tell of, which is also where the discovery document is.
    ///
    /// # Errors
    /// If they tell of none.
    pub fn issuer(&self, values: &BTreeMap<String, Vec<String>>) -> Result<String, ProfileError> {
        self.place(values).map(|(issuer, _)| issuer)
    }

    fn place(&self, values: &BTreeMap<String, Vec<String>>) -> Result<(String, &IssuerOf), ProfileError> {
        let filled = self.issuer.iter().find_map(|place| Some((fill(&place.url, values)?, place)));
        filled.ok_or(ProfileError::Issuer)
    }

    /// The whole settings.
    ///
    /// # Errors
    /// If what was given is not enough, or admits the whole world.
    pub fn settings(self, given: Given) -> Result<OidcSettings, ProfileError> {
        let has = |name: &String| given.values.get(name).is_some_and(|values| !values.is_empty());
        if !self.restricted_by.is_empty() && !self.restricted_by.iter().any(has) {
            let names: Vec<String> = self.restricted_by.iter().map(|name| format!("`{name}`")).collect();
            return Err(ProfileError::AdmitsEverybody(names.join(", ")));
        }
        let (issuer, place) = self.place(&given.values)?;
        let tenants = place.of_tenant.as_ref().map(|issuer| Tenants {
            issuer: issuer.clone(),
            admitted: given.values.get("tenants").cloned().unwrap_or_default(),
        });
        let scopes = given.scopes.unwrap_or_else(|| place.scopes.clone());
        let directory = match (self.directory, given.google_directory) {
            (Some(Kept::Google), Some((key, admin))) => {
                let url = "https://admin.googleapis.com".to_owned();
                Some(Directory::Google(GoogleDirectory { url, key, admin }))
            }
            (Some(Kept::Graph), _) => Some(Directory::Graph(Graph { url: GRAPH.to_owned() })),
            (Some(Kept::Google) | None, _) => None,
        };
        Ok(OidcSettings {
            id: given.id,
            title: given.title,
            issuer,
            client_id: given.client_id,
            client_secret: given.client_secret,
            authentication: None,
            scopes,
            groups_claim: given.groups_claim.or(self.groups_claim),
            userinfo: given.userinfo.unwrap_or(self.userinfo),
            email_domains: given.values.get("email_domains").cloned().unwrap_or_default(),
            required_claims: required(&self.required_claim, &given.values, &given.switches),
            deadline: given.deadline,
            offline: given.recheck.then(|| Offline {
                scopes: self.offline.scopes,
                parameters: self.offline.parameters.into_iter().collect(),
            }),
            quirks: Quirks {
                parameters: self.parameter.iter().filter_map(|one| one.sent(&given.values)).collect(),
                subject: self.subject,
                email_verified_claim: self.email_verified_claim,
                tenants,
                directory,
            },
        })
    }
}

impl ParameterOf {
    fn sent(&self, values: &BTreeMap<String, Vec<String>>) -> Option<(String, String)> {
        let given = !listed(&self.value, values).is_empty();
        let several = self.several.clone().filter(|_| given);
        fill(&self.value, values).or(several).map(|value| (self.name.clone(), value))
    }
}

fn required(
    claims: &[ClaimOf],
    values: &BTreeMap<String, Vec<String>>,
    switches: &BTreeSet<String>,
) -> BTreeMap<String, Vec<String>> {
    let needed = |claim: &&ClaimOf| !claim.unless.as_ref().is_some_and(|unless| switches.contains(unless));
    let claims = claims.iter().filter(needed);
    claims
        .map(|claim| (claim.name.clone(), listed(&claim.values, values)))
        .filter(|(_, values)| !values.is_empty())
        .collect()
}

/// All values of `{name}`, or the text itself.
fn listed(text: &str, values: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(name) => values.get(name).cloned().unwrap_or_default(),
        None => vec![text.to_owned()],
    }
}

/// The text with every `{name}` replaced; none if one of them has no value, or several.
fn fill(text: &str, values: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        let [value] = values.get(name)?.as_slice() else { return None };
        filled.push_str(before);
        filled.push_str(value.trim_end_matches('/'));
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

#[cfg(test)]
mod tests;
