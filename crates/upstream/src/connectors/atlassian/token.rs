//! The token request to Atlassian, whose body is JSON.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use protocol::secret::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::answer::{JSON, read_json, send};
use super::super::{Callback, CheckError, ConnectorError, Malformation, Refusal};
use super::AtlassianSettings;
use crate::egress::Egress;

const LARGEST: usize = 128 * 1024;

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    refresh_token: Option<String>,
    token_type: Option<String>,
    error: Option<String>,
}

/// What Atlassian gave.
pub(super) struct Tokens {
    pub(super) access_token: Secret,
    pub(super) refresh_token: Option<Secret>,
}

/// Redeems the code. Sent once: a code is good once, so there is nothing to try again.
pub(super) async fn exchange(
    settings: &AtlassianSettings,
    egress: &dyn Egress,
    callback: &Callback<'_>,
    code: &str,
) -> Result<Tokens, ConnectorError> {
    let verifier = callback.code_verifier.expose(|verifier| Secret::new(verifier.to_owned()));
    let response = ask(settings, egress, (code, callback.redirect_uri), Some(&verifier)).await?;
    tokens(read(&response)?)
}

/// Exchanges a refresh token. Sent once: it is good once, give or take ten minutes.
pub(super) async fn refresh(
    settings: &AtlassianSettings,
    egress: &dyn Egress,
    token: &Secret,
) -> Result<Tokens, ConnectorError> {
    let mut body = authenticated(settings, "refresh_token");
    body["refresh_token"] = token.expose(|token| token.into());
    let response = post(settings, egress, &body).await?;
    // A refresh token that is not good is 403 `unauthorized_client` as well as 403 `invalid_grant`; 401 is about us.
    let error = read_json::<Answer>(&response).and_then(|answer| answer.error);
    if response.status() == StatusCode::FORBIDDEN && error.as_deref() == Some("unauthorized_client") {
        return Err(Refusal::CodeRefused.into());
    }
    tokens(read(&response)?)
}

fn tokens(answer: Answer) -> Result<Tokens, ConnectorError> {
    if answer.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(Malformation::TokenResponse.into());
    }
    let given = |token: Option<String>| token.filter(|token| !token.is_empty()).map(Secret::new);
    let access_token = given(answer.access_token).ok_or(Malformation::TokenResponse)?;
    Ok(Tokens { access_token, refresh_token: given(answer.refresh_token) })
}

/// For `sekisho check`: whether our own credentials are accepted, which is judged before the code.
pub(super) async fn try_credentials(
    settings: &AtlassianSettings,
    egress: &dyn Egress,
    redirect_uri: &str,
) -> Result<(), CheckError> {
    let response = ask(settings, egress, ("sekisho-check", redirect_uri), None).await?;
    match read(&response).err() {
        Some(ConnectorError::Refused(Refusal::CodeRefused)) => Ok(()),
        Some(ConnectorError::Refused(Refusal::ClientRefused)) => Err(CheckError::setting(
            "client_id or client_secret",
            "Atlassian does not accept them".to_owned(),
        )),
        Some(error) => Err(error.into()),
        None => Err(ConnectorError::from(Malformation::TokenResponse).into()),
    }
}

async fn ask(
    settings: &AtlassianSettings,
    egress: &dyn Egress,
    (code, redirect_uri): (&str, &str),
    verifier: Option<&Secret>,
) -> Result<Response<Bytes>, ConnectorError> {
    let mut body = authenticated(settings, "authorization_code");
    body["code"] = code.into();
    body["redirect_uri"] = redirect_uri.into();
    if let Some(verifier) = verifier {
        body["code_verifier"] = verifier.expose(|verifier| verifier.into());
    }
    post(settings, egress, &body).await
}

fn authenticated(settings: &AtlassianSettings, grant_type: &str) -> Value {
    settings.client_secret.expose(|secret| {
        json!({ "grant_type": grant_type, "client_id": settings.client_id, "client_secret": secret })
    })
}

async fn post(
    settings: &AtlassianSettings,
    egress: &dyn Egress,
    body: &Value,
) -> Result<Response<Bytes>, ConnectorError> {
    let request = Request::post(format!("{}/oauth/token", settings.authorization_url))
        .header(ACCEPT, JSON)
        .header(CONTENT_TYPE, JSON)
        .body(Bytes::from(body.to_string()))
        .map_err(|_| Malformation::TokenResponse)?;
    send(egress, request, settings.limits(LARGEST), Malformation::TokenResponse).await
}

fn read(response: &Response<Bytes>) -> Result<Answer, ConnectorError> {
    let answer: Option<Answer> = read_json(response);
    let error = answer.as_ref().and_then(|answer| answer.error.as_deref());
    match (response.status(), error) {
        (StatusCode::OK, None) => answer.ok_or_else(|| Malformation::TokenResponse.into()),
        // 403 `invalid_grant` is how Atlassian refuses a code, 401 `access_denied` how it refuses us.
        (_, Some("invalid_grant")) => Err(Refusal::CodeRefused.into()),
        (StatusCode::UNAUTHORIZED, _)
        | (_, Some("invalid_client" | "unauthorized_client" | "access_denied")) => {
            Err(Refusal::ClientRefused.into())
        }
        (status, Some(_)) if status.is_client_error() || status == StatusCode::OK => {
            Err(Refusal::ProviderError.into())
        }
        (_, Some(_) | None) => Err(Malformation::TokenResponse.into()),
    }
}
