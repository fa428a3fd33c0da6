//! Any identity provider that speaks OpenID Connect: authorization code with PKCE, state and nonce.
//!
//! What came back is judged in the order that lets nothing out before it must: parameters, `iss` (RFC 9207), and
//! only then the token request. Nothing of the person is believed that is not in a verified ID token, or in
//! userinfo about the same subject.

mod callback;
mod claims;
mod discovery;
mod id_token;
mod kept;
mod keys;
mod settings;
mod token;
mod userinfo;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use protocol::world::Clock;
use url::Url;

use self::callback::Returned;
use self::discovery::{Discovery, Provider};
use self::id_token::Expected;
use self::keys::Keys;
pub use self::settings::{OidcSettings, OidcSettingsError};
use super::{Callback, Connector, ConnectorError, ConnectorId, Identity, LegRequest};
use crate::egress::{Egress, FetchError};

/// How far the provider's clock and ours may be apart before nobody can sign in.
pub const CLOCK_SKEW: std::time::Duration = id_token::SKEW;

/// A connector to one OpenID provider.
pub struct Oidc {
    settings: OidcSettings,
    egress: Arc<dyn Egress>,
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
        Ok(Self { settings, egress, discovery: Discovery::new(Arc::clone(&clock)), keys: Keys::new(clock) })
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
        let code = returned.code(&provider)?;
        let tokens = token::exchange(&self.settings, &*self.egress, &provider, &callback, code).await?;
        let token = self.keys.verify(&tokens.id_token, &provider, &*self.egress, &self.settings).await?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: callback.nonce,
            not_before_auth: callback.not_before_auth,
            now: callback.now,
        };
        let mut verified = id_token::judge(token, &expected)?;
        if self.settings.userinfo {
            let more = userinfo::fetch(&self.settings, &*self.egress, &provider, &tokens).await?;
            claims::complete(&mut verified, more)?;
        }
        claims::identity(verified, &self.settings)
    }

    async fn examine(&self) -> Result<String, ConnectorError> {
        let provider = self.provider().await?;
        self.keys.current(&provider, &*self.egress, &self.settings).await?;
        let pkce = match provider.advertises_s256 {
            Some(true) => "advertises PKCE S256",
            Some(false) => {
                "advertises PKCE without S256, so it may not verify the challenge that is always sent"
            }
            None => "does not say whether it verifies PKCE",
        };
        let iss =
            if provider.sends_iss { "sends `iss` in callbacks" } else { "does not say that it sends `iss`" };
        Ok(format!("discovery and keys of {} are in order; it {pkce} and {iss}", self.settings.issuer))
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

    fn check(&self) -> BoxFuture<'_, Result<String, ConnectorError>> {
        Box::pin(self.in_time(self.examine()))
    }
}

impl fmt::Debug for Oidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oidc").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// How a failed fetch is told: a provider that answers too much is not one (F-14).
const fn told(error: FetchError, malformed: super::Malformation) -> ConnectorError {
    match error {
        FetchError::TooLarge => ConnectorError::Malformed(malformed),
        FetchError::TimedOut | FetchError::Unreachable => ConnectorError::Unreachable,
    }
}
