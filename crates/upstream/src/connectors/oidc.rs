//! Any identity provider that speaks OpenID Connect: authorization code with PKCE, state and nonce.
//!
//! What came back is judged in the order that lets nothing out before it must: parameters, `iss` (RFC 9207), and
//! only then the token request. Nothing of the person is believed that is not in a verified ID token, or in
//! userinfo about the same subject.

mod claims;
pub mod directory;
mod discovery;
mod id_token;
mod keys;
mod settings;
mod token;
mod userinfo;

/// A document of the provider's, kept.
mod kept {
    pub(super) type Kept<T> = crate::kept::Kept<T, crate::connectors::ConnectorError>;
}

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use protocol::secret::Secret;
use protocol::world::{Clock, Timestamp};
use url::Url;

use self::claims::Groups;
use self::directory::Directory;
use self::discovery::{Discovery, Provider};
use self::id_token::{Expected, Verified};
use self::keys::Keys;
pub use self::settings::{Offline, OidcSettings, OidcSettingsError, Quirks, Tenants};
use super::offline::{Absence, Absent, OfflineToken, Present, present};
use super::returned::Returned;
use super::{
    Callback, CheckError, Connector, ConnectorError, ConnectorId, Denial, Identity, LegRequest, Malformation,
};
use crate::egress::Egress;

/// How far the provider's clock and ours may be apart before nobody can sign in.
pub const CLOCK_SKEW: std::time::Duration = id_token::SKEW;

/// A connector to one OpenID provider.
pub struct Oidc {
    settings: OidcSettings,
    egress: Arc<dyn Egress>,
    clock: Arc<dyn Clock>,
    discovery: Discovery,
    keys: Keys,
}

impl Oidc {
    /// A connector that has asked nothing yet.
    ///
    /// # Errors
    /// If the settings cannot work, or would admit the whole world (P-13).
    pub fn new(
        settings: OidcSettings,
        egress: Arc<dyn Egress>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OidcSettingsError> {
        settings.verify()?;
        let (discovery, keys) = (Discovery::new(Arc::clone(&clock)), Keys::new(Arc::clone(&clock)));
        Ok(Self { settings, egress, clock, discovery, keys })
    }

    /// One step of a sign-in, however many requests it takes (F-14).
    async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, ConnectorError>>,
    ) -> Result<T, ConnectorError> {
        tokio::time::timeout(self.settings.deadline, step).await.unwrap_or(Err(ConnectorError::Unreachable))
    }

    async fn provider(&self) -> Result<Arc<Provider>, ConnectorError> {
        self.discovery.provider(&self.settings, &*self.egress).await
    }

    /// The authentication request (OpenID Connect Core 1.0, section 3.1.2.1).
    fn authentication_request(&self, provider: &Provider, leg: &LegRequest<'_>) -> String {
        let mut url: Url = provider.authorization_endpoint.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", leg.redirect_uri)
            .append_pair("scope", &self.settings.scope())
            .append_pair("state", leg.state)
            .append_pair("nonce", leg.nonce)
            .append_pair("code_challenge", leg.code_challenge.as_str())
            .append_pair("code_challenge_method", "S256");
        for (name, value) in &self.settings.quirks.parameters {
            query.append_pair(name, value);
        }
        // Who must prove who they are is not asked for consent as well: there is one `prompt`.
        let offline = self.settings.offline.iter().flat_map(|offline| &offline.parameters);
        for (name, value) in offline.filter(|(name, _)| !leg.reauthenticate || name != "prompt") {
            query.append_pair(name, value);
        }
        if let Some(hint) = leg.login_hint {
            query.append_pair("login_hint", hint);
        }
        if leg.reauthenticate {
            // `max_age` makes the provider say when it was (section 2, `auth_time`); `prompt` alone does not.
            query.append_pair("prompt", "login").append_pair("max_age", "0");
        }
        drop(query);
        url.into()
    }

    async fn identify(&self, callback: Callback<'_>) -> Result<Identity, ConnectorError> {
        let returned = Returned::read(callback.form)?;
        let provider = self.provider().await?;
        let code = returned.code(|iss| self.settings.is_issuer(iss), provider.sends_iss)?;
        let tokens = token::exchange(&self.settings, &*self.egress, &provider, &callback, code).await?;
        let expected = Expected {
            nonce: Some(callback.nonce),
            not_before_auth: callback.not_before_auth,
            ..self.expected(callback.now)
        };
        let told = (tokens.id_token.as_str(), &tokens.access_token);
        let identity = self.believe(told, &provider, &expected).await?;
        let offline = tokens.refresh_token.filter(|_| self.settings.offline.is_some());
        Ok(Identity { offline: offline.map(OfflineToken::new), ..identity })
    }

    const fn expected(&self, now: Timestamp) -> Expected<'_> {
        Expected {
            issuer: self.settings.issuer.as_str(),
            tenants: self.settings.quirks.tenants.as_ref(),
            client_id: self.settings.client_id.as_str(),
            nonce: None,
            not_before_auth: None,
            now,
        }
    }

    /// Who an ID token is about, with what it leaves to others to tell.
    async fn believe(
        &self,
        (id_token, access_token): (&str, &Secret),
        provider: &Provider,
        expected: &Expected<'_>,
    ) -> Result<Identity, ConnectorError> {
        let token = self.keys.verify(id_token, provider, &*self.egress, &self.settings).await?;
        let mut verified = id_token::judge(token, expected)?;
        if self.settings.userinfo {
            let more = userinfo::fetch(&self.settings, &*self.egress, provider, access_token).await?;
            claims::complete(&mut verified, more)?;
        }
        claims::admit(&verified, &self.settings)?;
        let groups = self.groups(&verified, access_token).await?;
        claims::identity(verified, groups, &self.settings)
    }

    /// Exchanges the refresh token, and believes what came with it.
    async fn exchange_again(&self, absent: Absent<'_>) -> Result<Present, Absence> {
        let provider = self.provider().await?;
        let token = absent.token.secret();
        let refreshed = token::refresh(&self.settings, &*self.egress, &provider, token).await?;
        let next = refreshed.refresh_token.map(OfflineToken::new);
        let Some(id_token) = refreshed.id_token else { return Ok(Present { identity: None, next }) };
        let told = (id_token.as_str(), &refreshed.access_token);
        let identity = self.believe(told, &provider, &self.expected(absent.now)).await;
        present(identity, absent.subject, next)
    }

    /// The groups of somebody who is admitted: from a claim, or from whoever keeps them.
    async fn groups(
        &self,
        verified: &Verified,
        access_token: &Secret,
    ) -> Result<Vec<String>, ConnectorError> {
        let way = directory::Way { egress: &*self.egress, limits: self.settings.limits(directory::LARGEST) };
        if let Some(Directory::Google(google)) = &self.settings.quirks.directory {
            return google.groups(&way, &verified.subject, self.clock.now()).await;
        }
        let Some(claim) = &self.settings.groups_claim else { return Ok(Vec::new()) };
        match (claims::groups(&verified.person, claim)?, &self.settings.quirks.directory) {
            (Groups::Here(groups), _) => Ok(groups),
            (Groups::Elsewhere, Some(Directory::Graph(graph))) => graph.groups(&way, access_token).await,
            (Groups::Elsewhere, Some(Directory::Google(_)) | None) => Err(Denial::GroupsUnavailable.into()),
        }
    }

    async fn examine(&self, redirect_uri: &str) -> Result<String, CheckError> {
        let issuer = &self.settings.issuer;
        let provider = match self.provider().await {
            Ok(provider) => provider,
            Err(ConnectorError::Malformed(
                malformed @ (Malformation::Discovery | Malformation::DiscoveryIssuer),
            )) => return Err(self.no_document(malformed).await),
            Err(error) => return Err(error.into()),
        };
        self.keys.current(&provider, &*self.egress, &self.settings).await?;
        let accepted = token::try_credentials(&self.settings, &*self.egress, &provider, redirect_uri).await?;
        let credentials = match accepted {
            Some(true) => "client id and secret are accepted",
            Some(false) => {
                return Err(CheckError::setting(
                    "client_id or client_secret",
                    "the provider does not accept them".to_owned(),
                ));
            }
            None => "whether it accepts client id and secret, it does not tell",
        };
        if let Some(Directory::Google(google)) = &self.settings.quirks.directory {
            let limits = self.settings.limits(directory::LARGEST);
            google.try_token(&directory::Way { egress: &*self.egress, limits }, self.clock.now()).await?;
        }
        let pkce = match provider.advertises_s256 {
            Some(true) => "advertises PKCE S256",
            Some(false) => {
                "advertises PKCE without S256, so it may not verify the challenge that is always sent"
            }
            None => "does not say whether it verifies PKCE",
        };
        let iss =
            if provider.sends_iss { "sends `iss` in callbacks" } else { "does not say that it sends `iss`" };
        let later = match &self.settings.offline {
            None => "nobody asks it later whether people are still there",
            Some(_) if provider.offers_offline_access == Some(false) => {
                "it does not list the scope offline_access, so it may give nothing by which to ask later about people"
            }
            Some(_) => "it is asked at refreshes whether people are still there",
        };
        Ok(format!(
            "discovery and keys of {issuer} are in order; {credentials}; it {pkce} and {iss}; {later}"
        ))
    }

    /// Which setting is wrong if there is no discovery document where one is looked for, or one of somebody else.
    async fn no_document(&self, malformed: Malformation) -> CheckError {
        let (issuer, url) = (&self.settings.issuer, discovery::place(&self.settings));
        let problem = if malformed == Malformation::DiscoveryIssuer {
            format!(
                "the discovery document that is read from {issuer} names another one; it must be the same, byte for byte"
            )
        } else {
            let answer = match discovery::status(&self.settings, &*self.egress).await {
                Some(http::StatusCode::OK) => {
                    "answers with something that is no discovery document".to_owned()
                }
                Some(status) => format!("answers {}", status.as_u16()),
                None => "does not answer with a document".to_owned(),
            };
            format!(
                "{url} {answer}; look at `issuer`, or at what it is made of, such as `url`, `realm` and `domain`"
            )
        };
        CheckError::setting("the issuer", problem)
    }
}

impl Connector for Oidc {
    fn id(&self) -> &ConnectorId {
        &self.settings.id
    }

    fn title(&self) -> &str {
        &self.settings.title
    }

    fn start<'a>(&'a self, leg: LegRequest<'a>) -> BoxFuture<'a, Result<String, ConnectorError>> {
        Box::pin(self.in_time(async move { Ok(self.authentication_request(&*self.provider().await?, &leg)) }))
    }

    fn complete<'a>(&'a self, callback: Callback<'a>) -> BoxFuture<'a, Result<Identity, ConnectorError>> {
        Box::pin(self.in_time(self.identify(callback)))
    }

    fn keeps_offline_access(&self) -> bool {
        self.settings.offline.is_some()
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

impl fmt::Debug for Oidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oidc").field("settings", &self.settings).finish_non_exhaustive()
    }
}
