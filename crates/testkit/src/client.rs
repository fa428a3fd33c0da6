//! An MCP client's OAuth side, one plain request at a time, so that a test can send any of them wrongly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use protocol::secret::Hash;
use serde_json::json;
use url::Url;

use crate::browser::{Browser, Form, Page, Place};
use crate::http::{Answer, Http, request};

/// Where test clients on this machine are called back.
pub const LOOPBACK_REDIRECT: &str = "http://127.0.0.1:51234/callback";

/// A client that is known to the authorization server.
#[derive(Clone, Debug)]
pub struct TestClient {
    /// For requests.
    pub http: Http,
    /// The issuer's origin.
    pub issuer: String,
    /// Its id.
    pub client_id: String,
    /// Its secret, if it is confidential.
    pub secret: Option<String>,
    /// Its redirect URI.
    pub redirect_uri: String,
}

/// A PKCE pair.
#[derive(Clone, Debug)]
pub struct Pkce {
    /// What the token request carries.
    pub verifier: String,
    /// What the authorization request carries.
    pub challenge: String,
}

impl Pkce {
    /// A pair that depends on `seed` only.
    pub fn new(seed: &str) -> Self {
        let verifier = URL_SAFE_NO_PAD.encode(Hash::of(seed.as_bytes()).as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(Hash::of(verifier.as_bytes()).as_bytes());
        Self { verifier, challenge }
    }
}

impl TestClient {
    /// Registers as real clients do.
    pub async fn register(http: &Http, issuer: &str, redirect_uri: &str) -> Result<Self, String> {
        let metadata = json!({
            "client_name": "Test Client",
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        Self::register_with(http, issuer, &metadata).await
    }

    /// Registers with any metadata.
    pub async fn register_with(
        http: &Http,
        issuer: &str,
        metadata: &serde_json::Value,
    ) -> Result<Self, String> {
        let answer = http.post_json(&format!("{issuer}/oauth/register"), &[], metadata).await?;
        let registered = answer.json();
        let text = |name: &str| registered.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        let client_id = text("client_id").ok_or_else(|| format!("{}: {}", answer.status, answer.text()))?;
        let redirect_uri = metadata["redirect_uris"][0].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            http: http.clone(),
            issuer: issuer.to_owned(),
            client_id,
            secret: text("client_secret"),
            redirect_uri,
        })
    }

    /// The authorization request as fields, to be changed by a test.
    pub fn authorization_request(&self, resource: &str, challenge: &str) -> Vec<(String, String)> {
        let fields = [
            ("response_type", "code"),
            ("client_id", self.client_id.as_str()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
            ("state", "state-of-the-test"),
            ("resource", resource),
        ];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// The URL of an authorization request.
    pub fn authorization_url(&self, fields: &[(String, String)]) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        format!("{}/oauth/authorize?{query}", self.issuer)
    }

    /// Sends a token request with this client's own way of authenticating.
    pub async fn token(&self, fields: &[(&str, &str)]) -> Result<Answer, String> {
        self.token_with(&[], fields).await
    }

    /// The same with these headers.
    pub async fn token_with(
        &self,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let mut all = fields.to_vec();
        all.push(("client_id", &self.client_id));
        if let Some(secret) = &self.secret {
            all.push(("client_secret", secret));
        }
        self.http.post_form(&format!("{}/oauth/token", self.issuer), headers, &all).await
    }

    /// Redeems a code.
    pub async fn redeem(&self, code: &str, verifier: &str) -> Result<Answer, String> {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", verifier),
        ])
        .await
    }

    /// Refreshes.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Answer, String> {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
    }

    /// Signs a person in, consents to everything that is ticked, and hands over the code. A consent that still counts is not
    /// asked for.
    pub async fn obtain_code(
        &self,
        browser: &mut Browser,
        login: &str,
        resource: &str,
        challenge: &str,
    ) -> Result<String, String> {
        let url = self.authorization_url(&self.authorization_request(resource, challenge));
        let place = match browser.open(&url).await? {
            Place::Page(page) => sign_in(browser, page, login).await?,
            left @ Place::Left(_) => left,
        };
        let callback = match place {
            Place::Page(page) => allow(browser, &page).await?,
            Place::Left(callback) => callback,
        };
        parameter(&callback, "code").ok_or_else(|| format!("no code in {callback}"))
    }

    /// The whole flow: code and tokens.
    pub async fn obtain_tokens(
        &self,
        browser: &mut Browser,
        login: &str,
        resource: &str,
    ) -> Result<serde_json::Value, String> {
        let pkce = Pkce::new(&format!("{login} {resource} {}", self.client_id));
        let code = self.obtain_code(browser, login, resource, &pkce.challenge).await?;
        let answer = self.redeem(&code, &pkce.verifier).await?;
        if answer.status == http::StatusCode::OK { Ok(answer.json()) } else { Err(answer.text()) }
    }
}

/// From the approval page through the development identity provider to the consent page; a page that is
/// already past that is handed back.
pub async fn log_in(browser: &mut Browser, page: Page, login: &str) -> Result<Page, String> {
    sign_in(browser, page, login).await?.page()
}

async fn sign_in(browser: &mut Browser, page: Page, login: &str) -> Result<Place, String> {
    let form = page.form()?;
    if decides(&form) {
        return Ok(Place::Page(page));
    }
    let connector = form.buttons.iter().find(|(name, _)| name == "connector").cloned();
    let button = connector.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
    let sign_in = match browser.submit(&page, form, button).await? {
        Place::Page(page) => page,
        left @ Place::Left(_) => return Ok(left),
    };
    let form = sign_in.form()?;
    if decides(&form) {
        return Ok(Place::Page(sign_in));
    }
    let form = form.with("login", login);
    browser.submit(&sign_in, form, None).await
}

/// Whether it is the form of the consent page.
fn decides(form: &Form) -> bool {
    form.value("csrf").is_some() && form.buttons.iter().any(|(name, _)| name == "decision")
}

/// Presses *Allow* on the consent page; the client's redirect URI with its parameters comes back.
pub async fn allow(browser: &mut Browser, page: &Page) -> Result<Url, String> {
    browser.submit(page, page.form()?, Some(("decision", "allow"))).await?.left()
}

/// Presses *Cancel*.
pub async fn deny(browser: &mut Browser, page: &Page) -> Result<Place, String> {
    browser.submit(page, page.form()?, Some(("decision", "deny"))).await
}

/// One MCP message of revision 2026-07-28 to an MCP endpoint, not sent.
pub fn mcp_request(
    endpoint: &str,
    token: &str,
    method: &str,
    params: serde_json::Value,
) -> Result<http::Request<Full<Bytes>>, String> {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let member = if method.starts_with("resources/") { "uri" } else { "name" };
    let name = params[member].as_str().unwrap_or_default().to_owned();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let bearer = format!("Bearer {token}");
    let mut headers = vec![
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
    ];
    if !name.is_empty() {
        headers.push(("mcp-name", &name));
    }
    request(http::Method::POST, endpoint, &headers, body.to_string().into())
}

/// One parameter of a URL.
pub fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
