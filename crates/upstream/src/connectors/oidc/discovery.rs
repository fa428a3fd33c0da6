//! The provider's own description of itself (OpenID Connect Discovery 1.0, sections 3 and 4).
//!
//! It is believed only if it names exactly the issuer that the operator configured (section 4.3), and no endpoint
//! may be less protected than the issuer.

use std::sync::Arc;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use protocol::world::Clock;
use serde::Deserialize;
use url::Url;

use super::super::answer::{JSON, get_json, protected, send};
use super::super::{ConnectorError, Malformation};
use super::kept::Kept;
use super::settings::OidcSettings;
use crate::egress::Egress;

const LARGEST: usize = 64 * 1024;

/// What we use of the discovery document.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) jwks_uri: Url,
    pub(super) userinfo_endpoint: Option<Url>,
    /// `token_endpoint_auth_methods_supported`; absent means `client_secret_basic`.
    pub(super) authentication_methods: Vec<String>,
    /// Whether S256 is among the methods, if they are named at all.
    pub(super) advertises_s256: Option<bool>,
    /// Whether `offline_access` is among the scopes, if they are named at all.
    pub(super) offers_offline_access: Option<bool>,
    /// `authorization_response_iss_parameter_supported` (RFC 9207, section 3).
    pub(super) sends_iss: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    scopes_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// The discovery document, kept.
#[derive(Debug)]
pub(super) struct Discovery(Kept<Provider>);

impl Discovery {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Kept::new(clock))
    }

    pub(super) async fn provider(
        &self,
        settings: &OidcSettings,
        egress: &dyn Egress,
    ) -> Result<Arc<Provider>, ConnectorError> {
        self.0.current(|_| true, fetch(settings, egress)).await
    }
}

/// Where the document stands.
pub(super) fn place(settings: &OidcSettings) -> String {
    format!("{}/.well-known/openid-configuration", settings.issuer.trim_end_matches('/'))
}

/// With which status is answered there, for an operator who looks why there is no document.
pub(super) async fn status(settings: &OidcSettings, egress: &dyn Egress) -> Option<StatusCode> {
    let request = Request::get(place(settings)).header(ACCEPT, JSON).body(Bytes::new()).ok()?;
    let answer = send(egress, request, settings.shared_limits(LARGEST), Malformation::Discovery).await;
    answer.ok().map(|answer| answer.status())
}

async fn fetch(settings: &OidcSettings, egress: &dyn Egress) -> Result<Provider, ConnectorError> {
    let url = place(settings);
    let limits = settings.shared_limits(LARGEST);
    let document: Document = get_json(egress, &url, limits, Malformation::Discovery).await?;
    // Of several tenants the document names none, but the place where each is named.
    let expected = settings.quirks.tenants.as_ref().map_or(&settings.issuer, |tenants| &tenants.issuer);
    if document.issuer != *expected {
        tracing::debug!(said = document.issuer, "discovery names another issuer");
        return Err(Malformation::DiscoveryIssuer.into());
    }
    // A provider that is protected itself may not name an unprotected address, not even on this machine.
    let over_tls = document.issuer.starts_with("https:");
    let endpoint = |text: &str| match Url::parse(text) {
        Ok(url) if url.fragment().is_some() || (over_tls && url.scheme() != "https") => {
            Err(ConnectorError::Malformed(Malformation::Discovery))
        }
        Ok(url) if protected(&url) => Ok(url),
        Ok(_) | Err(_) => Err(ConnectorError::Malformed(Malformation::Discovery)),
    };
    Ok(Provider {
        authorization_endpoint: endpoint(&document.authorization_endpoint)?,
        token_endpoint: endpoint(&document.token_endpoint)?,
        jwks_uri: endpoint(&document.jwks_uri)?,
        userinfo_endpoint: document.userinfo_endpoint.as_deref().map(endpoint).transpose()?,
        authentication_methods: document
            .token_endpoint_auth_methods_supported
            .unwrap_or_else(|| vec!["client_secret_basic".to_owned()]),
        advertises_s256: document
            .code_challenge_methods_supported
            .map(|methods| methods.iter().any(|method| method == "S256")),
        offers_offline_access: document
            .scopes_supported
            .map(|scopes| scopes.iter().any(|scope| scope == "offline_access")),
        sends_iss: document.authorization_response_iss_parameter_supported,
    })
}
