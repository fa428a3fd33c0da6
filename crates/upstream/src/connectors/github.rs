//! GitHub, which signs people in by OAuth 2.0 without OpenID Connect: an OAuth App or a GitHub App, at github.com, at a
//! subdomain of ghe.com or on a GitHub Enterprise Server.
//!
//! Who somebody is, is the number of the account, never the login, which can be given up and taken by another. Whether they
//! belong to us is the number of the organisation, for the same reason. Pages read on 2026-11-26, all under docs.github.com:
//! apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps, apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors,
//! apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app,
//! rest/orgs/members, rest/teams/teams, rest/users/emails, rest/using-the-rest-api/rate-limits-for-the-rest-api and
//! rest/authentication/authenticating-to-the-rest-api (single sign-on).

mod api;
mod settings;
mod token;

use std::fmt;
use std::sync::Arc;

use futures_util::future::{BoxFuture, try_join4};
use http::{Request, StatusCode};
use protocol::secret::Secret;
use url::Url;

use self::api::{Api, Email, Membership, Team, User};
pub use self::settings::{GitHubApp, GitHubSettings, GitHubSettingsError, Organization};
use super::offline::{Absence, Absent, OfflineToken, Present, present};
use super::person::{address, shown_name, whole_groups};
use super::returned::Returned;
use super::{
    Callback, CheckError, Connector, ConnectorError, ConnectorId, Denial, Identity, LegRequest, Malformation,
    answer,
};
use crate::egress::Egress;

/// A connector to GitHub.
pub struct GitHub {
    settings: GitHubSettings,
    egress: Arc<dyn Egress>,
}

impl GitHub {
    /// A connector that has asked nothing yet.
    ///
    /// # Errors
    /// If the settings cannot work, or would admit the whole world (P-13).
    pub fn new(settings: GitHubSettings, egress: Arc<dyn Egress>) -> Result<Self, GitHubSettingsError> {
        settings.verify()?;
        Ok(Self { settings, egress })
    }

    fn authorization_request(&self, leg: &LegRequest<'_>) -> Result<String, ConnectorError> {
        let mut url =
            Url::parse(&self.settings.at("/login/oauth/authorize")).map_err(|_| Malformation::Discovery)?;
        let mut query = url.query_pairs_mut();
        query
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", leg.redirect_uri)
            .append_pair("state", leg.state)
            .append_pair("code_challenge", leg.code_challenge.as_str())
            .append_pair("code_challenge_method", "S256")
            // Nobody who has no account yet belongs to an organisation of ours.
            .append_pair("allow_signup", "false");
        if self.settings.app == GitHubApp::OAuthApp {
            query.append_pair("scope", token::SCOPE);
        }
        if let Some(hint) = leg.login_hint {
            query.append_pair("login", hint);
        }
        drop(query);
        Ok(url.into())
    }

    async fn identify(&self, callback: Callback<'_>) -> Result<Identity, ConnectorError> {
        let returned = Returned::read(callback.form)?;
        // RFC 9207, section 2.4: GitHub does not say that it sends `iss`; one that is there must be its own.
        let issuer = self.settings.at("/login/oauth");
        let code = returned.code(|iss| iss == issuer, false)?;
        // GitHub never says when somebody proved who they are, so nobody can show that it was since then.
        if callback.not_before_auth.is_some() {
            return Err(Malformation::AuthenticationTime.into());
        }
        let tokens = token::exchange(&self.settings, &*self.egress, &callback, code).await?;
        let identity = self.believe(&self.api(&tokens.access_token)).await?;
        // A token that does not end is asked by itself.
        let offline = tokens.refresh_token.unwrap_or(tokens.access_token);
        Ok(Identity { offline: self.settings.recheck.then(|| OfflineToken::new(offline)), ..identity })
    }

    fn api<'a>(&'a self, token: &'a UserToken) -> Api<'a> {
        Api { settings: &self.settings, egress: &*self.egress, token }
    }

    async fn exchange_again(&self, absent: Absent<'_>) -> Result<Present, Absence> {
        let token = absent.token.secret();
        if token.expose(|token| token.starts_with(REFRESH_TOKEN)) {
            let tokens = token::refresh(&self.settings, &*self.egress, token).await?;
            let next = tokens.refresh_token.map(OfflineToken::new);
            return present(self.believe(&self.api(&tokens.access_token)).await, absent.subject, next);
        }
        if !self.api(token).is_of_somebody().await? {
            return Err(Absence::Gone);
        }
        present(self.believe(&self.api(token)).await, absent.subject, None)
    }

    async fn believe(&self, api: &Api<'_>) -> Result<Identity, ConnectorError> {
        let (user, memberships, teams, emails) =
            try_join4(api.user(), api.memberships(), api.teams(), api.emails()).await?;
        self.identity(user, &memberships, &teams, emails)
    }

    fn identity(
        &self,
        user: User,
        memberships: &[Membership],
        teams: &[Team],
        emails: Vec<Email>,
    ) -> Result<Identity, ConnectorError> {
        let member_of = |organization: &&Organization| {
            memberships.iter().any(|one| one.state == "active" && one.organization.id == organization.id)
        };
        let ours: Vec<&Organization> = self.settings.organizations.iter().filter(member_of).collect();
        if ours.is_empty() {
            return Err(Denial::Foreign.into());
        }
        if user.id == 0 || user.kind.as_deref() != Some("User") {
            return Err(Malformation::Userinfo.into());
        }
        let groups = whole_groups(groups(&ours, teams)).ok_or(Denial::GroupsUnavailable)?;
        let email = emails.into_iter().find(|email| email.primary && email.verified);
        Ok(Identity {
            connector: self.settings.id.clone(),
            subject: user.id.to_string(),
            name: user.name.as_deref().and_then(shown_name).or_else(|| shown_name(&user.login)),
            email: email.and_then(|email| address(&email.email).map(str::to_owned)),
            groups,
            authenticated_at: None,
            session: None,
            offline: None,
        })
    }

    async fn examine(&self, redirect_uri: &str) -> Result<String, CheckError> {
        token::try_credentials(&self.settings, &*self.egress, redirect_uri).await?;
        let mut words = Vec::new();
        for organization in &self.settings.organizations {
            words.push(self.examine_organization(organization).await?);
        }
        Ok(format!("client id and secret are accepted; {}", words.join(", ")))
    }

    /// What everybody may see of an organisation is its number.
    async fn examine_organization(&self, organization: &Organization) -> Result<String, CheckError> {
        let path = format!("/orgs/{}", organization.name);
        let request = api::request(Request::get(self.settings.api(&path)));
        let request = request.body(bytes::Bytes::new()).map_err(|_| ConnectorError::Unreachable)?;
        let limits = self.settings.limits(api::LARGEST);
        let response = answer::send(&*self.egress, request, limits, Malformation::Groups).await?;
        let name = &organization.name;
        match response.status() {
            StatusCode::OK => {
                let found: api::OrganizationOf = answer::document(&response, Malformation::Groups)?;
                if found.id == organization.id {
                    return Ok(format!("{name} is organisation {}", found.id));
                }
                Err(CheckError::setting(
                    "organizations",
                    format!(
                        "{name} is organisation {} there and not the one that is admitted: renamed, or taken by somebody else",
                        found.id
                    ),
                ))
            }
            status => Ok(format!(
                "what organisation {name} is cannot be seen without signing in ({})",
                status.as_u16()
            )),
        }
    }
}

/// What the refresh tokens of GitHub begin with (docs.github.com, "GitHub credential types").
const REFRESH_TOKEN: &str = "ghr_";

/// The organisation, its teams by name, and by number for those who cannot rely on names.
fn groups(ours: &[&Organization], teams: &[Team]) -> Vec<String> {
    let mut groups = Vec::new();
    for organization in ours {
        groups.push(organization.name.clone());
        for team in teams.iter().filter(|team| team.organization.id == organization.id) {
            groups.push(format!("{}/{}", organization.name, team.slug));
            groups.push(format!("{}/#{}", organization.name, team.id));
        }
    }
    groups
}

impl Connector for GitHub {
    fn id(&self) -> &ConnectorId {
        &self.settings.id
    }

    fn title(&self) -> &str {
        &self.settings.title
    }

    fn start<'a>(&'a self, leg: LegRequest<'a>) -> BoxFuture<'a, Result<String, ConnectorError>> {
        Box::pin(async move { self.authorization_request(&leg) })
    }

    fn complete<'a>(&'a self, callback: Callback<'a>) -> BoxFuture<'a, Result<Identity, ConnectorError>> {
        Box::pin(async move {
            let identified = tokio::time::timeout(self.settings.deadline, self.identify(callback)).await;
            identified.unwrap_or(Err(ConnectorError::Unreachable))
        })
    }

    fn keeps_offline_access(&self) -> bool {
        self.settings.recheck
    }

    fn ask_again<'a>(&'a self, absent: Absent<'a>) -> BoxFuture<'a, Result<Present, Absence>> {
        Box::pin(self.exchange_again(absent))
    }

    fn check<'a>(&'a self, redirect_uri: &'a str) -> BoxFuture<'a, Result<String, CheckError>> {
        Box::pin(async move {
            let examined = tokio::time::timeout(self.settings.deadline, self.examine(redirect_uri)).await;
            examined.unwrap_or_else(|_| Err(ConnectorError::Unreachable.into()))
        })
    }
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The access token of one sign-in: used for what is asked at once, and forgotten.
type UserToken = Secret;
