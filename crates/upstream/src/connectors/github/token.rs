//! The token request to GitHub. Its errors come with status 200 (docs.github.com, "Troubleshooting OAuth app access token
//! request errors"), so a token is one only if there is a token in it.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use protocol::secret::Secret;
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::super::answer::{FORM, JSON, read_json, send};
use super::super::{Callback, CheckError, ConnectorError, Denial, Malformation, Refusal};
use super::{GitHubApp, GitHubSettings, UserToken};
use crate::egress::Egress;

/// What an OAuth App asks for: memberships and teams, and which addresses are verified.
pub(super) const SCOPE: &str = "read:org user:email";
const LARGEST: usize = 64 * 1024;

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    refresh_token: Option<String>,
    token_type: Option<String>,
    scope: Option<String>,
    error: Option<String>,
}

/// What GitHub gave.
pub(super) struct Tokens {
    pub(super) access_token: UserToken,
    /// Only with tokens that end.
    pub(super) refresh_token: Option<Secret>,
}

/// Redeems the code. Sent once: a code is good once, so there is nothing to try again.
pub(super) async fn exchange(
    settings: &GitHubSettings,
    egress: &dyn Egress,
    callback: &Callback<'_>,
    code: &str,
) -> Result<Tokens, ConnectorError> {
    let verifier = callback.code_verifier.expose(|verifier| Secret::new(verifier.to_owned()));
    let response = ask(settings, egress, (code, callback.redirect_uri), Some(&verifier)).await?;
    tokens(settings, read(&response)?)
}

/// Exchanges a refresh token (docs.github.com, "Refreshing user access tokens"): of GitHub Apps whose tokens end. Sent once.
pub(super) async fn refresh(
    settings: &GitHubSettings,
    egress: &dyn Egress,
    token: &Secret,
) -> Result<Tokens, ConnectorError> {
    tokens(settings, read(&post(settings, egress, refreshing(settings, token)).await?)?)
}

fn refreshing(settings: &GitHubSettings, token: &Secret) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("client_id", &settings.client_id).append_pair("grant_type", "refresh_token");
    settings.client_secret.expose(|secret| form.append_pair("client_secret", secret));
    token.expose(|token| form.append_pair("refresh_token", token));
    form.finish()
}

fn tokens(settings: &GitHubSettings, answer: Answer) -> Result<Tokens, ConnectorError> {
    let (Some(token), Some(kind)) = (answer.access_token, answer.token_type) else {
        return Err(Malformation::TokenResponse.into());
    };
    if token.is_empty() || !kind.eq_ignore_ascii_case("bearer") {
        return Err(Malformation::TokenResponse.into());
    }
    // People may be given less than was asked for; without this, memberships cannot be seen and are not guessed.
    let granted = answer.scope.unwrap_or_default();
    let sees_memberships =
        granted.split([',', ' ']).any(|scope| matches!(scope, "read:org" | "write:org" | "admin:org"));
    if settings.app == GitHubApp::OAuthApp && !sees_memberships {
        return Err(Denial::GroupsUnavailable.into());
    }
    let refresh_token = answer.refresh_token.filter(|token| !token.is_empty()).map(Secret::new);
    Ok(Tokens { access_token: Secret::new(token), refresh_token })
}

/// For `sekisho check`: whether our own credentials are accepted, which is judged before the code.
pub(super) async fn try_credentials(
    settings: &GitHubSettings,
    egress: &dyn Egress,
    redirect_uri: &str,
) -> Result<(), CheckError> {
    let response = ask(settings, egress, ("sekisho-check", redirect_uri), None).await?;
    match read(&response).err() {
        Some(ConnectorError::Refused(Refusal::CodeRefused)) => Ok(()),
        Some(ConnectorError::Refused(Refusal::ClientRefused)) => Err(CheckError::setting(
            "client_id, client_secret or the callback URL registered at GitHub",
            "GitHub does not accept them".to_owned(),
        )),
        Some(error) => Err(error.into()),
        None => Err(ConnectorError::from(Malformation::TokenResponse).into()),
    }
}

async fn ask(
    settings: &GitHubSettings,
    egress: &dyn Egress,
    (code, redirect_uri): (&str, &str),
    verifier: Option<&Secret>,
) -> Result<Response<Bytes>, ConnectorError> {
    post(settings, egress, form(settings, code, redirect_uri, verifier)).await
}

async fn post(
    settings: &GitHubSettings,
    egress: &dyn Egress,
    form: String,
) -> Result<Response<Bytes>, ConnectorError> {
    let request = Request::post(settings.at("/login/oauth/access_token"))
        .header(ACCEPT, JSON)
        .header(CONTENT_TYPE, FORM)
        .body(Bytes::from(form))
        .map_err(|_| Malformation::TokenResponse)?;
    send(egress, request, settings.limits(LARGEST), Malformation::TokenResponse).await
}

fn form(settings: &GitHubSettings, code: &str, redirect_uri: &str, verifier: Option<&Secret>) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("client_id", &settings.client_id)
        .append_pair("code", code)
        .append_pair("redirect_uri", redirect_uri);
    settings.client_secret.expose(|secret| form.append_pair("client_secret", secret));
    if let Some(verifier) = verifier {
        verifier.expose(|verifier| form.append_pair("code_verifier", verifier));
    }
    form.finish()
}

fn read(response: &Response<Bytes>) -> Result<Answer, ConnectorError> {
    // An application that is not there, or another's.
    if response.status() == StatusCode::NOT_FOUND {
        return Err(Refusal::ClientRefused.into());
    }
    let answer: Answer = read_json(response).ok_or(Malformation::TokenResponse)?;
    match answer.error.as_deref() {
        None if response.status() == StatusCode::OK => Ok(answer),
        None => Err(Malformation::TokenResponse.into()),
        Some("bad_refresh_token" | "bad_verification_code" | "invalid_grant") => {
            Err(Refusal::CodeRefused.into())
        }
        Some("incorrect_client_credentials" | "invalid_client" | "redirect_uri_mismatch") => {
            Err(Refusal::ClientRefused.into())
        }
        Some("unverified_user_email") => Err(Denial::EmailDomain.into()),
        Some(_) => Err(Refusal::ProviderError.into()),
    }
}
