//! Atlassian, by OAuth 2.0 (3LO): who somebody is, is the account id; whether they belong to us, whether one of our sites
//! is among those that they can use.
//!
//! Pages read on 2026-11-26, under developer.atlassian.com: cloud/jira/platform/oauth-2-3lo-apps (authorization with
//! `audience`, the token request in JSON, accessible resources) and cloud/jira/platform/oauth-2-3lo-apps#3-1-get-the-cloudid;
//! cloud/admin/user-management and the User Identity API (`GET /me` with `read:me`).

mod settings;
mod token;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, try_join};
use http::{Request, StatusCode};
use protocol::secret::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

pub use self::settings::{AtlassianSettings, AtlassianSettingsError, Site};
use super::answer::{read_json, send, with_token};
use super::offline::{Absence, Absent, OfflineToken, Present, present};
use super::person::{address, shown_name, whole_groups};
use super::returned::Returned;
use super::{
    Callback, CheckError, Connector, ConnectorError, ConnectorId, Denial, Identity, LegRequest, Malformation,
    Refusal,
};
use crate::egress::Egress;

const LARGEST: usize = 1024 * 1024;

/// A connector to Atlassian.
pub struct Atlassian {
    settings: AtlassianSettings,
    egress: Arc<dyn Egress>,
}

/// `GET /me`.
#[derive(Deserialize)]
struct Me {
    account_id: String,
    /// `atlassian`; `customer` is somebody who writes to a help desk, `app` is nobody.
    account_type: Option<String>,
    account_status: Option<String>,
    name: Option<String>,
    email: Option<String>,
    email_verified: Option<bool>,
}

/// `GET /oauth/token/accessible-resources`.
#[derive(Deserialize)]
struct AccessibleResource {
    id: String,
}

impl Atlassian {
    /// A connector that has asked nothing yet.
    ///
    /// # Errors
    /// If the settings cannot work, or would admit the whole world (P-13).
    pub fn new(settings: AtlassianSettings, egress: Arc<dyn Egress>) -> Result<Self, AtlassianSettingsError> {
        settings.verify()?;
        Ok(Self { settings, egress })
    }

    fn authorization_request(&self, leg: &LegRequest<'_>) -> Result<String, ConnectorError> {
        let at = format!("{}/authorize", self.settings.authorization_url);
        let mut url = Url::parse(&at).map_err(|_| Malformation::Discovery)?;
        url.query_pairs_mut()
            .append_pair("audience", "api.atlassian.com")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("scope", self.settings.scope())
            .append_pair("redirect_uri", leg.redirect_uri)
            .append_pair("state", leg.state)
            .append_pair("response_type", "code")
            .append_pair("prompt", "consent")
            .append_pair("code_challenge", leg.code_challenge.as_str())
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    async fn identify(&self, callback: Callback<'_>) -> Result<Identity, ConnectorError> {
        let returned = Returned::read(callback.form)?;
        let (issuer, slash) =
            (&self.settings.authorization_url, format!("{}/", self.settings.authorization_url));
        let code = returned.code(|iss| iss == issuer || iss == slash, false)?;
        // Nobody there says when somebody proved who they are.
        if callback.not_before_auth.is_some() {
            return Err(Malformation::AuthenticationTime.into());
        }
        let tokens = token::exchange(&self.settings, &*self.egress, &callback, code).await?;
        let identity = self.believe(&tokens.access_token).await?;
        let offline = tokens.refresh_token.filter(|_| self.settings.recheck);
        Ok(Identity { offline: offline.map(OfflineToken::new), ..identity })
    }

    async fn believe(&self, token: &Secret) -> Result<Identity, ConnectorError> {
        let (me, sites): (Me, Vec<AccessibleResource>) =
            try_join(self.get("/me", token), self.get("/oauth/token/accessible-resources", token)).await?;
        self.identity(me, &sites)
    }

    async fn exchange_again(&self, absent: Absent<'_>) -> Result<Present, Absence> {
        let tokens = token::refresh(&self.settings, &*self.egress, absent.token.secret()).await?;
        let next = tokens.refresh_token.map(OfflineToken::new);
        present(self.believe(&tokens.access_token).await, absent.subject, next)
    }

    fn identity(&self, me: Me, sites: &[AccessibleResource]) -> Result<Identity, ConnectorError> {
        let usable = |site: &&Site| sites.iter().any(|one| one.id == site.cloud_id);
        let groups: Vec<String> =
            self.settings.sites.iter().filter(usable).map(|site| site.name.clone()).collect();
        if groups.is_empty() {
            return Err(Denial::Foreign.into());
        }
        let staff = me.account_type.as_deref() == Some("atlassian");
        if !staff || me.account_status.as_deref() != Some("active") {
            return Err(Denial::Foreign.into());
        }
        let length = me.account_id.chars().count();
        if length == 0 || length > 128 || me.account_id.chars().any(char::is_control) {
            return Err(Malformation::Userinfo.into());
        }
        let email = me.email.as_deref().filter(|_| me.email_verified == Some(true)).and_then(address);
        Ok(Identity {
            connector: self.settings.id.clone(),
            name: me.name.as_deref().and_then(shown_name),
            email: email.map(str::to_owned),
            groups: whole_groups(groups).ok_or(Denial::GroupsUnavailable)?,
            authenticated_at: None,
            session: None,
            offline: None,
            subject: me.account_id,
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, token: &Secret) -> Result<T, ConnectorError> {
        let request = Request::get(format!("{}{path}", self.settings.api_url));
        let request = with_token(request, token)?.body(Bytes::new()).map_err(|_| Malformation::Userinfo)?;
        let limits = self.settings.limits(LARGEST);
        let response = send(&*self.egress, request, limits, Malformation::Userinfo).await?;
        match response.status() {
            StatusCode::OK => read_json(&response).ok_or_else(|| Malformation::Userinfo.into()),
            StatusCode::UNAUTHORIZED => Err(Refusal::ProviderError.into()),
            // The app lacks the scope, or the person is not let in by the organisation's rules.
            StatusCode::FORBIDDEN => Err(Denial::GroupsUnavailable.into()),
            _ => Err(Malformation::Userinfo.into()),
        }
    }

    async fn examine(&self, redirect_uri: &str) -> Result<String, CheckError> {
        token::try_credentials(&self.settings, &*self.egress, redirect_uri).await?;
        Ok(format!("client id and secret are accepted; {} sites are admitted", self.settings.sites.len()))
    }
}

impl Connector for Atlassian {
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

impl fmt::Debug for Atlassian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Atlassian").field("settings", &self.settings).finish_non_exhaustive()
    }
}
