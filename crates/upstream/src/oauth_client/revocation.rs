//! Taking a credential back at whom gave it (RFC 7009), or in that one's own way.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use protocol::secret::Secret;
use serde_json::json;

use super::OauthClient;
use super::accounts::Revocation;
use super::discovery::Server;
use super::error::{OauthClientError, Obstacle, Place};
use super::registration::RegisteredClient;
use super::token::{Asked, Binding, basic, refused, request};
use super::ways::usable;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What is revoked.
#[derive(Clone, Copy, Debug)]
pub struct Revoked<'a> {
    /// The access token.
    pub access_token: &'a Secret,
    /// The refresh token, if there is one: with it the grant ends (RFC 7009, section 2.1).
    pub refresh_token: Option<&'a Secret>,
    /// To whom it was given.
    pub binding: &'a Binding,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocated {
    /// It is good no more.
    Done,
    /// There is no way to do it there: it ends by itself, or the person does it there.
    NotOffered,
}

impl OauthClient {
    /// Takes back an access token that this client was given without a browser.
    pub(super) async fn take_back(&self, access_token: &Secret) -> Result<Revocated, OauthClientError> {
        let server = self.server().await?;
        let client_id = self.known(&server).await?.client_id;
        let binding = Binding { issuer: server.issuer.clone(), client_id, resource: server.resource.clone() };
        self.revoke(Revoked { access_token, refresh_token: None, binding: &binding }).await
    }

    /// Takes a credential back.
    ///
    /// # Errors
    /// [`OauthClientError`]; only a passing one is worth another try.
    pub async fn revoke(&self, revoked: Revoked<'_>) -> Result<Revocated, OauthClientError> {
        let server = self.server().await?;
        let client = self.bound(&server, revoked.binding).await?;
        let named = self.settings.revocation_endpoint.as_deref().and_then(|text| usable(text, false));
        let Some(endpoint) = named.as_ref().or(server.revocation_endpoint.as_ref()) else {
            return Ok(Revocated::NotOffered);
        };
        let requests = match server.quirks.revocation {
            Revocation::GithubGrant => {
                vec![deletion(endpoint.as_str(), &client, revoked.access_token)?]
            }
            Revocation::Standard => standard(&server, endpoint, &client, revoked)?,
        };
        for request in requests {
            let answer = self.reach.ask(Place::Revocation, request).await?;
            match answer.status() {
                // RFC 7009, section 2.2: also for a token that is not known.
                StatusCode::OK | StatusCode::NO_CONTENT => {}
                // It is gone already: so say GitHub, and Google with `invalid_token`.
                StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {}
                StatusCode::BAD_REQUEST if is_unknown(answer.body()) => {}
                _ => return Err(refused(&server, &answer).unwrap_or(Obstacle::Unsupported.into())),
            }
        }
        Ok(Revocated::Done)
    }
}

/// The refresh token first: with it the access token may end as well, and must not be worth less for a step that failed.
fn standard(
    server: &Server,
    endpoint: &url::Url,
    client: &RegisteredClient,
    revoked: Revoked<'_>,
) -> Result<Vec<Request<Bytes>>, OauthClientError> {
    let one = |token, hint| {
        let asked = Asked { fields: vec![("token_type_hint", hint)], secrets: vec![("token", token)] };
        request(server, endpoint, client, &asked)
    };
    let refresh = revoked.refresh_token.map(|token| one(token, "refresh_token"));
    refresh.into_iter().chain([one(revoked.access_token, "access_token")]).collect()
}

/// docs.github.com/rest/apps/oauth-applications, "Delete an app authorization".
fn deletion(
    endpoint: &str,
    client: &RegisteredClient,
    token: &Secret,
) -> Result<Request<Bytes>, OauthClientError> {
    let secret = client.client_secret.as_ref().ok_or(Obstacle::Client)?;
    let body = token.expose(|token| json!({"access_token": token}).to_string());
    Request::delete(endpoint)
        .header(ACCEPT, JSON)
        .header(CONTENT_TYPE, JSON)
        .header("user-agent", HeaderValue::from_static("Sekisho"))
        .header(AUTHORIZATION, basic(&client.client_id, secret)?)
        .body(Bytes::from(body))
        .map_err(|_| Obstacle::Metadata.into())
}

fn is_unknown(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Said {
        error: String,
    }
    serde_json::from_slice::<Said>(body).is_ok_and(|said| said.error == "invalid_token")
}
