//! The userinfo endpoint (OpenID Connect Core 1.0, section 5.3), asked only where a setting says so.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request, StatusCode};
use serde_json::{Map, Value};

use super::super::{ConnectorError, Malformation};
use super::discovery::{Provider, busy, read_json};
use super::settings::OidcSettings;
use super::token::Tokens;
use super::told;
use crate::egress::Egress;

const LARGEST: usize = 128 * 1024;

/// What the provider says there. About whom has not been judged: see [`claims::complete`](super::claims::complete).
pub(super) async fn fetch(
    settings: &OidcSettings,
    egress: &dyn Egress,
    provider: &Provider,
    tokens: &Tokens,
) -> Result<Map<String, Value>, ConnectorError> {
    let malformed = Malformation::Userinfo;
    let endpoint = provider.userinfo_endpoint.as_ref().ok_or(Malformation::Discovery)?;
    let bearer = tokens.access_token.expose(|token| HeaderValue::try_from(format!("Bearer {token}")));
    let mut bearer = bearer.map_err(|_| Malformation::TokenResponse)?;
    bearer.set_sensitive(true);
    let request = Request::get(endpoint.as_str())
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .header(AUTHORIZATION, bearer)
        .body(Bytes::new())
        .map_err(|_| malformed)?;
    let limits = settings.limits(LARGEST);
    let response = egress.fetch(request, limits).await.map_err(|error| told(error, malformed))?;
    if busy(response.status()) {
        return Err(ConnectorError::Unreachable);
    }
    if response.status() != StatusCode::OK {
        return Err(malformed.into());
    }
    read_json(&response).ok_or_else(|| malformed.into())
}
