//! The token request (OpenID Connect Core 1.0, section 3.1.3) and how we authenticate in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use protocol::oauth::{CodeVerifier, TokenEndpointAuthMethod};
use protocol::secret::Secret;
use serde::Deserialize;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::super::answer::{FORM, JSON, read_json, send};
use super::super::{Callback, ConnectorError, Malformation, Refusal};
use super::discovery::Provider;
use super::settings::OidcSettings;
use crate::egress::Egress;

const LARGEST: usize = 128 * 1024;

/// What the provider gave for the code.
pub(super) struct Tokens {
    pub(super) id_token: String,
    /// Used for userinfo and forgotten.
    pub(super) access_token: Secret,
    /// Kept if people are asked about later, otherwise forgotten.
    pub(super) refresh_token: Option<Secret>,
}

/// What the provider gave for a refresh token.
pub(super) struct Refreshed {
    /// A provider may leave it out (OpenID Connect Core 1.0, section 12.2).
    pub(super) id_token: Option<String>,
    pub(super) access_token: Secret,
    /// The one that takes over, if it is rotated (RFC 6749, section 6).
    pub(super) refresh_token: Option<Secret>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: Option<String>,
    access_token: String,
    token_type: String,
    refresh_token: Option<String>,
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
    let asked = Asked { code, redirect_uri: callback.redirect_uri, code_verifier: callback.code_verifier };
    let refreshed = redeem(settings, egress, request(settings, provider, asked.form())?).await?;
    let id_token = refreshed.id_token.ok_or(Malformation::TokenResponse)?;
    let Refreshed { access_token, refresh_token, .. } = refreshed;
    Ok(Tokens { id_token, access_token, refresh_token })
}

/// Exchanges a refresh token. Sent once: it may be good once.
pub(super) async fn refresh(
    settings: &OidcSettings,
    egress: &dyn Egress,
    provider: &Provider,
    token: &Secret,
) -> Result<Refreshed, ConnectorError> {
    let request = request(settings, provider, refreshing(token))?;
    redeem(settings, egress, request).await
}

fn refreshing(token: &Secret) -> Serializer<'static, String> {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token");
    token.expose(|token| {
        form.append_pair("refresh_token", token);
    });
    form
}

async fn redeem(
    settings: &OidcSettings,
    egress: &dyn Egress,
    request: Request<Bytes>,
) -> Result<Refreshed, ConnectorError> {
    let limits = settings.limits(LARGEST);
    let malformed = Malformation::TokenResponse;
    let response = send(egress, request, limits, malformed).await?;
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
    Ok(Refreshed {
        id_token: answer.id_token,
        access_token: Secret::new(answer.access_token),
        refresh_token: answer.refresh_token.filter(|token| !token.is_empty()).map(Secret::new),
    })
}

/// Tries our own credentials with a code that was never given. Whether they are accepted, if the answer tells: a
/// provider judges the client before the code (RFC 6749, section 3.2.1).
pub(super) async fn try_credentials(
    settings: &OidcSettings,
    egress: &dyn Egress,
    provider: &Provider,
    redirect_uri: &str,
) -> Result<Option<bool>, ConnectorError> {
    let code_verifier = CodeVerifier::parse(TRIAL).map_err(|_| Malformation::TokenResponse)?;
    let asked = Asked { code: "sekisho-check", redirect_uri, code_verifier: &code_verifier };
    let request = request(settings, provider, asked.form())?;
    let response = send(egress, request, settings.limits(LARGEST), Malformation::TokenResponse).await?;
    Ok(match refused(&response) {
        _ if !response.status().is_client_error() => None,
        Refusal::CodeRefused => Some(true),
        Refusal::ClientRefused => Some(false),
        Refusal::AccessDenied | Refusal::ProviderError | Refusal::UnknownPerson => None,
    })
}

/// The verifier of a code that was never given.
const TRIAL: &str = "no-code-was-ever-given-that-this-could-be-for-1";

/// What differs from one redemption of a code to the next.
struct Asked<'a> {
    code: &'a str,
    redirect_uri: &'a str,
    code_verifier: &'a CodeVerifier,
}

impl Asked<'_> {
    fn form(&self) -> Serializer<'static, String> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", self.code)
            .append_pair("redirect_uri", self.redirect_uri);
        self.code_verifier.expose(|verifier| {
            form.append_pair("code_verifier", verifier);
        });
        form
    }
}

fn request(
    settings: &OidcSettings,
    provider: &Provider,
    mut form: Serializer<'static, String>,
) -> Result<Request<Bytes>, ConnectorError> {
    let mut request =
        Request::post(provider.token_endpoint.as_str()).header(ACCEPT, JSON).header(CONTENT_TYPE, FORM);
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
