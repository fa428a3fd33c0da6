//! Credentials that are minted, short-lived, and no person's: installation tokens of a GitHub App, and access tokens of a service
//! account at Google. The key never leaves; what is minted is kept in memory until shortly before it ends.
//!
//! One is minted at a time, whoever waits shares it, and while the provider is down the last one serves as long as it is good.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use protocol::jose::sign_rs256;
use protocol::secret::Secret;
use protocol::world::{Clock, Timestamp};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use url::Url;
use zeroize::Zeroizing;

use super::error::{Malformed, OauthClientError, Obstacle, Place, Rejection};
use super::ways::{LARGEST, usable};
use crate::document::is_json;
use crate::egress::{Egress, FetchError, Limits};
use crate::google_account::ServiceAccount;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// It is minted anew when it has less than this to live: a call that starts now still ends with it.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// How long our own assertion is good: GitHub takes ten minutes at most.
const ASSERTION: i64 = 9 * 60;
/// GitHub's clock may be behind ours.
const DRIFT: i64 = 60;
/// No minted token is taken to be good for longer.
const MOST: Duration = Duration::from_secs(60 * 60);

/// The GitHub App, and where it is installed.
#[derive(Debug)]
pub struct GithubAppSettings {
    /// `https://api.github.com`, or that of a company's own GitHub.
    pub api_url: String,
    /// The client id of the app, or its number.
    pub app_id: String,
    /// The installation's number.
    pub installation_id: u64,
    /// The app's private key, in PEM.
    pub private_key: Secret,
    /// What the token may do, if less than the installation: `{"issues": "write"}`.
    pub permissions: Vec<(String, String)>,
    /// The repositories that it may touch, by name, if not all.
    pub repositories: Vec<String>,
}

/// A service account at Google.
#[derive(Debug)]
pub struct GoogleAccountSettings {
    /// The key file, as Google gives it.
    pub key_file: Secret,
    /// The person whom it stands for (domain-wide delegation), if one.
    pub person: Option<String>,
    /// The scope of the tokens.
    pub scope: String,
}

/// The key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the private key is not an RSA key in PEM, or the key file is not one of a service account, or an address is not https"
)]
pub struct MintError;

enum Mint {
    Github(GithubAppSettings, Zeroizing<Vec<u8>>),
    Google(ServiceAccount, GoogleAccountSettings),
}

/// A minted token.
#[derive(Debug)]
pub struct MintedToken {
    /// The token.
    pub token: Secret,
    /// When it ends.
    pub ends: Timestamp,
}

/// Where tokens are minted for one MCP server.
pub struct Minter {
    clock: Arc<dyn Clock>,
    deadline: Duration,
    egress: Arc<dyn Egress>,
    flight: tokio::sync::Mutex<()>,
    last: Mutex<Option<Arc<MintedToken>>>,
    mint: Mint,
}

#[derive(Deserialize)]
struct Installation {
    token: String,
    expires_at: String,
}

#[derive(Deserialize)]
struct Account {
    access_token: String,
    expires_in: Option<u64>,
}

impl Minter {
    /// Installation tokens of a GitHub App.
    ///
    /// # Errors
    /// [`MintError`] if the key or the address cannot be used.
    pub fn github(
        settings: GithubAppSettings,
        egress: Arc<dyn Egress>,
        clock: Arc<dyn Clock>,
        deadline: Duration,
    ) -> Result<Self, MintError> {
        usable(&settings.api_url, false).ok_or(MintError)?;
        let key = settings.private_key.expose(key_of).ok_or(MintError)?;
        sign_rs256(&key, None, &json!({})).map_err(|_| MintError)?;
        Ok(Self::with(Mint::Github(settings, key), egress, clock, deadline))
    }

    /// Access tokens of a service account at Google.
    ///
    /// # Errors
    /// [`MintError`] if the key file is none.
    pub fn google(
        settings: GoogleAccountSettings,
        egress: Arc<dyn Egress>,
        clock: Arc<dyn Clock>,
        deadline: Duration,
    ) -> Result<Self, MintError> {
        let account = settings.key_file.expose(ServiceAccount::parse).map_err(|_| MintError)?;
        usable(&account.token_uri, false).ok_or(MintError)?;
        account.form(&settings.scope, None, clock.now()).map_err(|_| MintError)?;
        Ok(Self::with(Mint::Google(account, settings), egress, clock, deadline))
    }

    fn with(mint: Mint, egress: Arc<dyn Egress>, clock: Arc<dyn Clock>, deadline: Duration) -> Self {
        Self { clock, deadline, egress, flight: tokio::sync::Mutex::default(), last: Mutex::default(), mint }
    }

    /// A token that is good for a while yet.
    ///
    /// # Errors
    /// [`OauthClientError`] if none can be had, and the last one is over.
    pub async fn current(&self) -> Result<Arc<MintedToken>, OauthClientError> {
        if let Some(token) = self.good_for(MARGIN) {
            return Ok(token);
        }
        let _turn = self.flight.lock().await;
        if let Some(token) = self.good_for(MARGIN) {
            return Ok(token);
        }
        match self.fresh().await {
            Ok(token) => {
                let token = Arc::new(token);
                *self.slot() = Some(Arc::clone(&token));
                Ok(token)
            }
            Err(error) if error.is_passing() => self.good_for(Duration::ZERO).ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// Forgets a token that the MCP server refused, if it is still the one; the next is minted.
    pub fn refused(&self, token: &Arc<MintedToken>) {
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|held| Arc::ptr_eq(held, token)) {
            *slot = None;
        }
    }

    fn good_for(&self, time: Duration) -> Option<Arc<MintedToken>> {
        let needed = self.clock.now().plus(time);
        self.slot().as_ref().filter(|token| token.ends > needed).cloned()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<MintedToken>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fresh(&self) -> Result<MintedToken, OauthClientError> {
        let now = self.clock.now();
        let request = match &self.mint {
            Mint::Github(settings, key) => installation_request(settings, key, now)?,
            Mint::Google(account, settings) => {
                let form = account.form(&settings.scope, settings.person.as_deref(), now);
                Request::post(account.token_uri.as_str())
                    .header(ACCEPT, JSON)
                    .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
                    .body(Bytes::from(form.map_err(|_| Obstacle::Key)?))
                    .map_err(|_| Obstacle::Key)?
            }
        };
        let limits = Limits { total: self.deadline, max_body: LARGEST };
        let answer = self.egress.fetch(request, limits).await.map_err(|error| match error {
            FetchError::TooLarge => OauthClientError::from(Malformed::Token),
            FetchError::TimedOut | FetchError::Unreachable => OauthClientError::Unreachable(Place::Token),
        })?;
        let (token, ends) = self.read(&answer, now)?;
        let fits =
            (1..=16 * 1024).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        let token = Secret::new(token);
        if !fits || ends <= now {
            return Err(Malformed::Token.into());
        }
        Ok(MintedToken { token, ends: ends.min(now.plus(MOST)) })
    }

    fn read(
        &self,
        answer: &Response<Bytes>,
        now: Timestamp,
    ) -> Result<(String, Timestamp), OauthClientError> {
        let json = is_json(answer.headers());
        match (answer.status(), &self.mint) {
            (StatusCode::CREATED, Mint::Github(..)) if json => {
                let read: Installation =
                    serde_json::from_slice(answer.body()).map_err(|_| Malformed::Token)?;
                let ends = read.expires_at.parse::<jiff::Timestamp>().map_err(|_| Malformed::Token)?;
                Ok((read.token, Timestamp::from_secs(ends.as_second())))
            }
            (StatusCode::OK, Mint::Google(..)) if json => {
                let read: Account = serde_json::from_slice(answer.body()).map_err(|_| Malformed::Token)?;
                let life = read.expires_in.map_or(MOST, Duration::from_secs);
                Ok((read.access_token, now.plus(life)))
            }
            (status, _) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(OauthClientError::Unreachable(Place::Token))
            }
            // docs.github.com: 401 for an assertion that is not good, 404 for an installation that is gone, 422 for permissions
            // that it does not have.
            (StatusCode::UNAUTHORIZED, _) => Err(Obstacle::Key.into()),
            (StatusCode::NOT_FOUND, _) => Err(Rejection::Grant.into()),
            (StatusCode::UNPROCESSABLE_ENTITY, _) => Err(Obstacle::Scope.into()),
            (status, _) if status.is_client_error() => Err(Obstacle::Client.into()),
            _ => Err(Malformed::Token.into()),
        }
    }
}

/// docs.github.com/rest/apps/apps, "Create an installation access token for an app"; the assertion: docs.github.com/apps, "Generating
/// a JSON Web Token (JWT) for a GitHub App".
fn installation_request(
    settings: &GithubAppSettings,
    key: &[u8],
    now: Timestamp,
) -> Result<Request<Bytes>, OauthClientError> {
    let now = now.secs();
    let claims = json!({"iss": settings.app_id, "iat": now - DRIFT, "exp": now + ASSERTION});
    let assertion = Secret::new(sign_rs256(key, None, &claims).map_err(|_| Obstacle::Key)?);
    let bearer = assertion.expose(|assertion| HeaderValue::try_from(format!("Bearer {assertion}")));
    let mut bearer = bearer.map_err(|_| Obstacle::Key)?;
    bearer.set_sensitive(true);
    let mut wanted = serde_json::Map::new();
    if !settings.permissions.is_empty() {
        let permissions =
            settings.permissions.iter().map(|(name, level)| (name.clone(), level.as_str().into()));
        wanted.insert("permissions".to_owned(), Value::Object(permissions.collect()));
    }
    if !settings.repositories.is_empty() {
        wanted.insert("repositories".to_owned(), settings.repositories.clone().into());
    }
    let base = settings.api_url.trim_end_matches('/');
    let url = format!("{base}/app/installations/{}/access_tokens", settings.installation_id);
    let url = Url::parse(&url).map_err(|_| Obstacle::Metadata)?;
    Request::post(url.as_str())
        .header(ACCEPT, HeaderValue::from_static("application/vnd.github+json"))
        .header("x-github-api-version", HeaderValue::from_static("2022-11-28"))
        .header("user-agent", HeaderValue::from_static("Sekisho"))
        .header(CONTENT_TYPE, JSON)
        .header(AUTHORIZATION, bearer)
        .body(Bytes::from(Value::Object(wanted).to_string()))
        .map_err(|_| Obstacle::Metadata.into())
}

/// The key of a PEM file: PKCS #1, as GitHub gives it, or PKCS #8.
fn key_of(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    Some(Zeroizing::new(key.secret_der().to_vec()))
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.mint {
            Mint::Github(..) => "github",
            Mint::Google(..) => "google",
        };
        f.debug_struct("Minter").field("mint", &what).finish_non_exhaustive()
    }
}
