//! Accounts at providers that are no MCP authorization servers, as data: where their endpoints are, and where they depart from the
//! standard. A profile is a file of `profiles/accounts/`; each quirk in it names the public page that says so.

use std::collections::BTreeMap;

use protocol::oauth::{Scope, ScopeToken};
use serde::Deserialize;

use super::discovery::Server;
use super::error::{OauthClientError, Obstacle};
use super::settings::{Kind, OauthClientSettings};
use super::ways::usable;
use crate::kept::FRESH;

/// Every profile: the kind, and its file.
pub(super) const PROFILES: [(Kind, &str); 3] = [
    (Kind::Atlassian, include_str!("../../profiles/accounts/atlassian.toml")),
    (Kind::Github, include_str!("../../profiles/accounts/github.toml")),
    (Kind::Google, include_str!("../../profiles/accounts/google.toml")),
];

/// Where an authorization server departs from the standard. The default is one that does not.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Quirks {
    /// Sent in every authorization request.
    pub(super) parameters: BTreeMap<String, String>,
    /// Asked for beside everything else.
    scopes: Vec<String>,
    /// The token request's body is JSON.
    pub(super) json: bool,
    /// `token_type` may be missing, and means `Bearer`.
    pub(super) token_type_optional: bool,
    /// `iss` may come with a slash at its end.
    pub(super) issuer_with_slash: bool,
    /// A token without `expires_in` does not end by itself.
    pub(super) lasting: bool,
    pub(super) revocation: Revocation,
    errors: Vec<ErrorOf>,
}

/// How a token is revoked.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Revocation {
    /// By deleting the person's grant to our app, with the access token.
    GithubGrant,
    /// RFC 7009.
    #[default]
    Standard,
}

/// What an error that the standard does not know means there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorOf {
    status: Option<u16>,
    error: String,
    means: Means,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Means {
    Client,
    Grant,
}

impl Quirks {
    pub(super) fn meaning(&self, status: u16, error: &str) -> Option<Means> {
        let fits = |one: &&ErrorOf| one.error == error && one.status.is_none_or(|named| named == status);
        self.errors.iter().find(fits).map(|one| one.means)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    base: String,
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    own_token_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    own_revocation_endpoint: Option<String>,
    quirks: Quirks,
}

/// The authorization server of a kind of account; none for an MCP server's own, which has to be discovered.
pub(super) fn account(settings: &OauthClientSettings) -> Option<Result<Server, OauthClientError>> {
    let (_, file) = PROFILES.iter().find(|(kind, _)| *kind == settings.kind)?;
    Some(read(file, settings))
}

fn read(file: &str, settings: &OauthClientSettings) -> Result<Server, OauthClientError> {
    let profile: Profile = toml::from_str(file).map_err(|_| Obstacle::Metadata)?;
    let base = settings.authorization_server.as_deref().unwrap_or(&profile.base).trim_end_matches('/');
    let is_own = base != profile.base;
    let client_id = settings.client.as_ref().map_or("", |client| client.client_id.as_str());
    let fill = |text: &str| text.replace("{base}", base).replace("{client_id}", client_id);
    let endpoint = |text: &str| usable(&fill(text), base.starts_with("https:")).ok_or(Obstacle::Metadata);
    let of_its_own = |usual: Option<String>, own: Option<String>| if is_own { own.or(usual) } else { usual };
    let token = of_its_own(Some(profile.token_endpoint), profile.own_token_endpoint).unwrap_or_default();
    let revocation = of_its_own(profile.revocation_endpoint, profile.own_revocation_endpoint);
    let scope: Scope = profile.quirks.scopes.iter().filter_map(|one| ScopeToken::parse(one).ok()).collect();
    Ok(Server {
        issuer: fill(&profile.issuer),
        authorization_endpoint: endpoint(&profile.authorization_endpoint)?,
        token_endpoint: endpoint(&token)?,
        registration_endpoint: None,
        revocation_endpoint: revocation.as_deref().map(endpoint).transpose()?,
        methods: vec!["client_secret_post".to_owned()],
        sends_iss: false,
        takes_documents: false,
        offers_offline_access: false,
        resource: None,
        scope,
        quirks: profile.quirks,
        is_named: true,
        is_described: true,
        fresh: FRESH,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_can_be_read_and_leads_where_it_says() {
        for (kind, file) in PROFILES {
            let settings = crate::oauth_client::settings::tests::settings(kind);
            let server = read(file, &settings).unwrap();
            assert_eq!(server.authorization_endpoint.scheme(), "https", "{kind:?}");
            assert!(file.contains("Read on "), "{kind:?}: what a profile says, a public page says");
        }
    }

    /// developer.atlassian.com: the same error means another thing at another status.
    #[test]
    fn an_error_means_what_its_status_makes_of_it() {
        let (_, file) = PROFILES[0];
        let quirks = toml::from_str::<Profile>(file).unwrap().quirks;
        assert_eq!(quirks.meaning(403, "unauthorized_client"), Some(Means::Grant));
        assert_eq!(quirks.meaning(401, "unauthorized_client"), None);
        assert_eq!(quirks.meaning(401, "access_denied"), Some(Means::Client));
    }
}
