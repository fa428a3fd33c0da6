//! Installation tokens of a GitHub App: docs.github.com/rest/apps/apps, "Create an installation access token for an app"; the
//! assertion: docs.github.com/apps, "Generating a JSON Web Token (JWT) for a GitHub App".

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use protocol::jose::sign_rs256;
use protocol::secret::Secret;
use protocol::world::Timestamp;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::{JSON, MintError, Read};
use crate::document::is_json;
use crate::oauth_client::error::{Malformed, OauthClientError, Obstacle};
use crate::oauth_client::ways::usable;

/// How long our own assertion is good: GitHub takes ten minutes at most.
const ASSERTION: i64 = 9 * 60;
/// GitHub's clock may be behind ours.
const DRIFT: i64 = 60;

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

/// The app with its key.
pub(super) struct App {
    settings: GithubAppSettings,
    key: Zeroizing<Vec<u8>>,
}

#[derive(Deserialize)]
struct Installation {
    token: String,
    expires_at: String,
}

impl App {
    pub(super) fn new(settings: GithubAppSettings) -> Result<Self, MintError> {
        usable(&settings.api_url, false).ok_or(MintError)?;
        let key = settings.private_key.expose(key_of).ok_or(MintError)?;
        sign_rs256(&key, None, &json!({})).map_err(|_| MintError)?;
        Ok(Self { settings, key })
    }

    pub(super) fn request(&self, now: Timestamp) -> Result<Request<Bytes>, OauthClientError> {
        let (settings, now) = (&self.settings, now.secs());
        let claims = json!({"iss": settings.app_id, "iat": now - DRIFT, "exp": now + ASSERTION});
        let assertion = Secret::new(sign_rs256(&self.key, None, &claims).map_err(|_| Obstacle::Key)?);
        let mut wanted = serde_json::Map::new();
        if !settings.permissions.is_empty() {
            let permissions =
                settings.permissions.iter().map(|(name, level)| (name.clone(), level.as_str().into()));
            wanted.insert("permissions".to_owned(), Value::Object(permissions.collect()));
        }
        if !settings.repositories.is_empty() {
            wanted.insert("repositories".to_owned(), settings.repositories.clone().into());
        }
        let path = format!("app/installations/{}/access_tokens", settings.installation_id);
        let body = Bytes::from(Value::Object(wanted).to_string());
        self.asked(Method::POST, &path, &assertion, body)
    }

    /// docs.github.com/rest/apps/installations, "Revoke an installation access token".
    pub(super) fn ending(&self, token: &Secret) -> Result<Request<Bytes>, OauthClientError> {
        self.asked(Method::DELETE, "installation/token", token, Bytes::new())
    }

    fn asked(
        &self,
        method: Method,
        path: &str,
        bearer: &Secret,
        body: Bytes,
    ) -> Result<Request<Bytes>, OauthClientError> {
        let bearer = bearer.expose(|bearer| HeaderValue::try_from(format!("Bearer {bearer}")));
        let mut bearer = bearer.map_err(|_| Obstacle::Key)?;
        bearer.set_sensitive(true);
        let url = format!("{}/{path}", self.settings.api_url.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|_| Obstacle::Metadata)?;
        Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(ACCEPT, HeaderValue::from_static("application/vnd.github+json"))
            .header("x-github-api-version", HeaderValue::from_static("2022-11-28"))
            .header("user-agent", HeaderValue::from_static("Sekisho"))
            .header(CONTENT_TYPE, JSON)
            .header(AUTHORIZATION, bearer)
            .body(body)
            .map_err(|_| Obstacle::Metadata.into())
    }

    pub(super) fn read(answer: &Response<Bytes>) -> Read {
        if answer.status() != StatusCode::CREATED || !is_json(answer.headers()) {
            return None;
        }
        let read = serde_json::from_slice::<Installation>(answer.body()).ok();
        let read = read.and_then(|read| {
            let ends = read.expires_at.parse::<jiff::Timestamp>().ok()?;
            Some((read.token, Timestamp::from_secs(ends.as_second())))
        });
        Some(read.ok_or_else(|| Malformed::Token.into()))
    }
}

/// The key of a PEM file: PKCS #1, as GitHub gives it, or PKCS #8.
fn key_of(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    Some(Zeroizing::new(key.secret_der().to_vec()))
}
