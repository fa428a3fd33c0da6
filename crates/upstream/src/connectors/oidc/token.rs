//! The token request (OpenID Connect Core 1.0, section 3.1.3) and how we authenticate in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use protocol::oauth::TokenEndpointAuthMethod;
use protocol::secret::Secret;
use serde::Deserialize;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::super::{Callback, ConnectorError, Malformation, Refusal};
use super::discovery::{Provider, busy, read_json};
use super::settings::OidcSettings;
use super::told;
use crate::egress::Egress;

const LARGEST: usize = 128 * 1024;

/// What the provider gave for the code.
pub(super) struct Tokens {
    pub(super) id_token: String,
    /// Used for userinfo and forgotten; Sekisho keeps no token of the sign-in.
    pub(super) access_token: Secret,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
    access_token: String,
    token_type: String,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

/// Redeems the code. Sent once: a code is good once, so there is nothing to try again.
pub(super) async fn exchange(
    settings: &OidcSettings,
    egress: &dyn Egress,
    provider: &Provider,
    callback: &Callback<'_>,
    code: &str,
) -> Result<Tokens, ConnectorError> {
    let request = request(settings, provider, callback, code)?;
    let limits = settings.limits(LARGEST);
    let malformed = Malformation::TokenResponse;
    let response = egress.fetch(request, limits).await.map_err(|error| told(error, malformed))?;
    if busy(response.status()) {
        return Err(ConnectorError::Unreachable);
    }
    if response.status().is_client_error() {
        return Err(refused(&response).into());
    }
    if response.status() != StatusCode::OK {
        return Err(malformed.into());
    }
    let answer: TokenAnswer = read_json(&response).ok_or(malformed)?;
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err(malformed.into());
    }
    Ok(Tokens { id_token: answer.id_token, access_token: Secret::new(answer.access_token) })
}

fn request(
    settings: &OidcSettings,
    provider: &Provider,
    callback: &Callback<'_>,
    code: &str,
) -> Result<Request<Bytes>, ConnectorError> {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code)
        .append_pair("redirect_uri", callback.redirect_uri);
    callback.code_verifier.expose(|verifier| form.append_pair("code_verifier", verifier));
    let mut request = Request::post(provider.token_endpoint.as_str())
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    match (method(settings, provider)?, &settings.client_secret) {
        (TokenEndpointAuthMethod::ClientSecretBasic, Some(secret)) => {
            request = request.header(AUTHORIZATION, basic(&settings.client_id, secret)?);
        }
        (TokenEndpointAuthMethod::ClientSecretPost, Some(secret)) => {
            form.append_pair("client_id", &settings.client_id);
            secret.expose(|secret| form.append_pair("client_secret", secret));
        }
        (TokenEndpointAuthMethod::None, _) => {
            form.append_pair("client_id", &settings.client_id);
        }
        (TokenEndpointAuthMethod::ClientSecretBasic | TokenEndpointAuthMethod::ClientSecretPost, None)
        | (TokenEndpointAuthMethod::PrivateKeyJwt, _) => {
            return Err(Refusal::ClientRefused.into());
        }
    }
    request.body(Bytes::from(form.finish())).map_err(|_| Malformation::Discovery.into())
}

fn method(settings: &OidcSettings, provider: &Provider) -> Result<TokenEndpointAuthMethod, ConnectorError> {
    let offers = |method: &str| provider.authentication_methods.iter().any(|offered| offered == method);
    match (settings.authentication, &settings.client_secret) {
        (Some(method), _) => Ok(method),
        (None, None) => Ok(TokenEndpointAuthMethod::None),
        (None, Some(_)) if offers("client_secret_basic") => Ok(TokenEndpointAuthMethod::ClientSecretBasic),
        (None, Some(_)) if offers("client_secret_post") => Ok(TokenEndpointAuthMethod::ClientSecretPost),
        (None, Some(_)) => Err(Refusal::ClientRefused.into()),
    }
}

/// RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
fn basic(client_id: &str, secret: &Secret) -> Result<HeaderValue, ConnectorError> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = secret.expose(|secret| format!("{}:{}", encode(client_id), encode(secret)));
    let value = format!("Basic {}", STANDARD.encode(pair));
    let mut header = HeaderValue::try_from(value).map_err(|_| Refusal::ClientRefused)?;
    header.set_sensitive(true);
    Ok(header)
}

/// RFC 6749, section 5.2: whose fault it is.
fn refused(response: &Response<Bytes>) -> Refusal {
    let error = read_json::<ErrorAnswer>(response).map(|answer| answer.error);
    match error.as_deref() {
        Some("invalid_grant") => Refusal::CodeRefused,
        Some("invalid_client" | "unauthorized_client") => Refusal::ClientRefused,
        Some(_) | None if response.status() == StatusCode::UNAUTHORIZED => Refusal::ClientRefused,
        Some(_) | None => Refusal::ProviderError,
    }
}
