//! The identity providers that Sekisho has a name for, under test control: each on a loopback port, answering as the public
//! documentation of the provider says, quirks included. Which page says so stands in the file of each.
//!
//! They sign in whomever a test names without a question, verify what they are sent as the provider does, and write down
//! what came. [`crate::openid_provider`] is the one that lies about everything that the standard says; these know what is
//! different from one to the other.

mod atlassian;
mod connectors;
mod cross_app_access;
mod github;
mod openid;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use protocol::jose::sign_rs256;
use protocol::oauth::{CodeChallenge, CodeVerifier};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::form_urlencoded;

pub use self::cross_app_access::AppConnection;
use crate::key_services::ServiceAccount;
use crate::world::TestClock;

/// Who Sekisho is at every one of them.
pub const CLIENT_ID: &str = "sekisho-at-the-provider";
/// Its secret there.
pub const CLIENT_SECRET: &str = "secret-of-sekisho-at-the-provider";
/// The tenants of Entra that are admitted.
pub const TENANTS: [&str; 2] =
    ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"];
/// The organisation of GitHub that is admitted: its name and number.
pub const ORGANIZATION: (&str, u64) = ("acme", 9919);
/// The site of Atlassian that is admitted: its name and cloud id.
pub const SITE: (&str, &str) = ("acme", "c1c1c1c1-0000-0000-0000-000000000001");

const KEY_ID: &str = "key-of-the-provider";
const ID_JAG_TYPE: &str = "oauth-id-jag+jwt";

/// Which provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brand {
    /// Atlassian, 3LO.
    Atlassian,
    /// Auth0, with an organisation.
    Auth0,
    /// Entra, one tenant.
    Entra,
    /// Entra, several tenants.
    EntraOfSeveral,
    /// GitHub, an OAuth App.
    GitHub,
    /// GitHub, a GitHub App.
    GitHubApp,
    /// Google Workspace.
    Google,
    /// Keycloak.
    Keycloak,
    /// Okta, the org authorization server.
    Okta,
    /// Okta, a custom authorization server.
    OktaCustom,
}

/// All of them.
pub const BRANDS: [Brand; 10] = [
    Brand::Atlassian,
    Brand::Auth0,
    Brand::Entra,
    Brand::EntraOfSeveral,
    Brand::GitHub,
    Brand::GitHubApp,
    Brand::Google,
    Brand::Keycloak,
    Brand::Okta,
    Brand::OktaCustom,
];

impl Brand {
    const fn kind(self) -> &'static str {
        match self {
            Self::Atlassian => "atlassian",
            Self::Auth0 => "auth0",
            Self::Entra | Self::EntraOfSeveral => "entra",
            Self::GitHub | Self::GitHubApp => "github",
            Self::Google => "google",
            Self::Keycloak => "keycloak",
            Self::Okta | Self::OktaCustom => "okta",
        }
    }

    /// Somebody who is admitted, as the provider keeps them.
    pub fn jane(self) -> Value {
        match self {
            Self::Atlassian => json!({
                "account_id": "5b10ac8d82e05b22cc7d4ef5", "account_type": "atlassian", "account_status": "active",
                "name": "Jane Doe", "email": "jane@acme.example", "email_verified": true, "sites": [SITE.1],
            }),
            Self::Auth0 => json!({
                "sub": "auth0|5f7c8ec7c33c6c004bbafe82", "name": "Jane Doe", "email": "jane@acme.example",
                "email_verified": true, "org_id": "org_acme",
            }),
            Self::Entra | Self::EntraOfSeveral => json!({
                "sub": "pairwise-of-jane", "oid": "aaaaaaaa-0000-0000-0000-000000000001", "tid": TENANTS[0], "acct": 0,
                "name": "Jane Doe", "preferred_username": "jane@acme.example", "email": "jane@acme.example",
                "xms_edov": true, "groups": ["bbbbbbbb-0000-0000-0000-000000000001"],
            }),
            Self::GitHub | Self::GitHubApp => json!({
                "id": 583_231, "login": "jane", "name": "Jane Doe",
                "emails": [{"email": "jane@acme.example", "primary": true, "verified": true, "visibility": null}],
                "memberships": [{"state": "active", "role": "member",
                    "organization": {"login": ORGANIZATION.0, "id": ORGANIZATION.1}}],
                "teams": [{"id": 71, "slug": "staff", "name": "Staff",
                    "organization": {"login": ORGANIZATION.0, "id": ORGANIZATION.1}}],
            }),
            Self::Google => json!({
                "sub": "110169484474386276334", "name": "Jane Doe", "email": "jane@acme.example",
                "email_verified": true, "hd": "acme.example",
            }),
            Self::Keycloak | Self::Okta | Self::OktaCustom => json!({
                "sub": "00uid4BxXw6I6TV4m0g3", "name": "Jane Doe", "email": "jane@acme.example",
                "email_verified": true, "groups": ["staff"],
            }),
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: String,
}

impl Reply {
    /// JSON.
    pub fn json(status: u16, value: &Value) -> Self {
        let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
        Self { status, headers, body: value.to_string() }
    }

    /// Nothing but a status.
    pub const fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn redirect(to: String) -> Self {
        Self { status: 302, headers: vec![("location", to)], body: String::new() }
    }
}

/// What arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: http::Method,
    /// The path.
    pub path: String,
    /// The query, or the form.
    pub fields: HashMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn bearer(&self) -> &str {
        self.header("authorization").strip_prefix("Bearer ").unwrap_or_default()
    }
}

/// What a provider holds.
#[derive(Debug)]
pub struct Held {
    /// Who is signed in there, as the provider keeps them.
    pub person: Value,
    /// Answers in place of the right ones, by path; each is given once.
    pub odd: HashMap<String, VecDeque<Reply>>,
    /// In the ID token these take the place of the truth.
    pub lies: Map<String, Value>,
    /// The callback carries these besides, or in place of the right ones; empty leaves one out.
    pub callback: Vec<(String, String)>,
    /// By which key the ID token says that it is signed.
    pub key_id: &'static str,
    /// The groups of the person in the directory beside, if there is one.
    pub directory: Vec<String>,
    /// The connections of apps that the administrator made (Okta, Cross App Access).
    pub connections: Vec<AppConnection>,
    /// In an ID-JAG these take the place of the truth; `null` leaves one out.
    pub assertion_lies: Map<String, Value>,
    /// The `typ` of an ID-JAG.
    pub assertion_type: &'static str,
    /// Exchanges are told of by a permit of the first, and answered by one of the second.
    pub exchanges: Option<[Arc<tokio::sync::Semaphore>; 2]>,
    seen: Vec<Asked>,
    codes: HashMap<String, Code>,
    tokens: Vec<String>,
    refresh_tokens: Vec<String>,
    given: u32,
}

#[derive(Clone, Debug)]
struct Code {
    challenge: String,
    nonce: String,
    redirect_uri: String,
    asked: HashMap<String, String>,
}

/// One provider; it ends when it is dropped.
#[derive(Debug)]
pub struct IdentityProvider {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Which.
    pub brand: Brand,
    desk: Arc<Desk>,
    _tasks: JoinSet<()>,
}

/// What every request is answered from.
#[derive(Debug)]
struct Desk {
    url: String,
    brand: Brand,
    clock: Arc<TestClock>,
    key: KeyPair,
    account: Option<ServiceAccount>,
    held: Mutex<Held>,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl IdentityProvider {
    /// Starts on a loopback port that the system chose, with Jane signed in. `clock` is that of the house.
    pub async fn start(brand: Brand, clock: &Arc<TestClock>) -> Result<Self, String> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.map_err(text)?;
        let url = format!("http://{}", listener.local_addr().map_err(text)?);
        let held = Held {
            person: brand.jane(),
            odd: HashMap::new(),
            lies: Map::new(),
            callback: Vec::new(),
            key_id: KEY_ID,
            directory: Vec::new(),
            connections: Vec::new(),
            assertion_lies: Map::new(),
            assertion_type: ID_JAG_TYPE,
            exchanges: None,
            seen: Vec::new(),
            codes: HashMap::new(),
            tokens: Vec::new(),
            refresh_tokens: Vec::new(),
            given: 0,
        };
        let account = (brand == Brand::Google).then(|| ServiceAccount::at(format!("{url}/token")));
        let desk = Arc::new(Desk {
            url: url.clone(),
            brand,
            clock: Arc::clone(clock),
            key: KeyPair::generate(KeySize::Rsa2048).map_err(text)?,
            account: account.transpose()?,
            held: Mutex::new(held),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&desk)));
        Ok(Self { url, brand, desk, _tasks: tasks })
    }

    /// Changes what it holds.
    pub fn change(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.desk.held());
    }

    /// Changes one thing about the person who is signed in; `null` takes it away.
    pub fn person(&self, name: &str, value: Value) {
        self.change(|held| held.person[name] = value);
    }

    /// The person is Jane as she was.
    pub fn repent(&self) {
        self.change(|held| {
            held.person = self.brand.jane();
            held.odd.clear();
            held.lies.clear();
            held.callback.clear();
            held.directory.clear();
            held.assertion_lies.clear();
            held.assertion_type = ID_JAG_TYPE;
            held.key_id = KEY_ID;
        });
    }

    /// Everybody is switched off: what was given to them is good for nothing.
    pub fn switch_off(&self) {
        self.change(|held| {
            held.tokens.clear();
            held.refresh_tokens.clear();
        });
    }

    /// The next request to a path is answered so.
    pub fn next(&self, path: &str, reply: Reply) {
        self.change(|held| held.odd.entry(path.to_owned()).or_default().push_back(reply));
    }

    /// The memberships of the person at GitHub, as they would be answered now.
    pub fn memberships(&self) -> Reply {
        Reply::json(200, &self.desk.held().person["memberships"])
    }

    /// What came to a path.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        self.desk.held().seen.iter().filter(|asked| asked.path == path).cloned().collect()
    }

    /// Where codes are redeemed.
    pub fn token_path(&self) -> String {
        match self.brand {
            Brand::Atlassian => "/oauth/token".to_owned(),
            Brand::GitHub | Brand::GitHubApp => "/login/oauth/access_token".to_owned(),
            Brand::Auth0
            | Brand::Entra
            | Brand::EntraOfSeveral
            | Brand::Google
            | Brand::Keycloak
            | Brand::Okta
            | Brand::OktaCustom => openid::Place::of(self.brand).token,
        }
    }
}

impl Desk {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign(&self, key_id: &str, claims: &Value) -> Result<String, String> {
        let der: Pkcs8V1Der<'_> = self.key.as_der().map_err(text)?;
        sign_rs256(der.as_ref(), Some(key_id), claims).map_err(text)
    }

    fn public_jwk(&self) -> Value {
        let public = self.key.public_key();
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID,
            "n": encoded(public.modulus().big_endian_without_leading_zero()),
            "e": encoded(public.exponent().big_endian_without_leading_zero()),
        })
    }

    /// Sends the browser back with a code, as everybody who speaks OAuth 2.0 does.
    fn back(&self, held: &mut Held, asked: &Asked, besides: &[(&str, &str)]) -> Reply {
        let code = format!("code {} of {}", held.given, self.url);
        held.given += 1;
        let mut fields: Vec<(String, String)> =
            vec![("code".to_owned(), code.clone()), ("state".to_owned(), asked.field("state").to_owned())];
        fields.extend(besides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        for (name, value) in &held.callback {
            fields.retain(|(known, _)| known != name);
            if !value.is_empty() {
                fields.push((name.clone(), value.clone()));
            }
        }
        let given = Code {
            challenge: asked.field("code_challenge").to_owned(),
            nonce: asked.field("nonce").to_owned(),
            redirect_uri: asked.field("redirect_uri").to_owned(),
            asked: asked.fields.clone(),
        };
        held.codes.insert(code, given);
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Reply::redirect(format!("{}?{query}", asked.field("redirect_uri")))
    }

    /// The code, if it was given for this redirect URI and the verifier answers its challenge.
    fn redeem(&self, held: &mut Held, code: &str, redirect_uri: &str, verifier: &str) -> Option<Code> {
        let code = held.codes.remove(code)?;
        let verifier = CodeVerifier::parse(verifier).ok()?;
        let challenge = CodeChallenge::parse(&code.challenge, Some("S256")).ok()?;
        (challenge.is_answered_by(&verifier) && code.redirect_uri == redirect_uri).then_some(code)
    }

    /// A refresh token that is good once.
    fn refresh_token(&self, held: &mut Held, prefix: &str) -> String {
        let token = self.token(held, prefix);
        held.tokens.pop();
        held.refresh_tokens.push(token.clone());
        token
    }

    /// Whether it was good. It is not any more.
    fn exchange(held: &mut Held, token: &str) -> bool {
        let at = held.refresh_tokens.iter().position(|known| known == token);
        at.map(|at| held.refresh_tokens.swap_remove(at)).is_some()
    }

    fn token(&self, held: &mut Held, prefix: &str) -> String {
        let token =
            format!("{prefix}{}-{}", held.tokens.len(), self.url.rsplit(':').next().unwrap_or_default());
        held.tokens.push(token.clone());
        token
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let mut held = self.held();
        held.seen.push(asked.clone());
        if let Some(odd) = held.odd.get_mut(&asked.path).and_then(VecDeque::pop_front) {
            return odd;
        }
        match self.brand {
            Brand::Atlassian => atlassian::answer(self, &mut held, asked),
            Brand::GitHub | Brand::GitHubApp => github::answer(self, &mut held, asked),
            Brand::Auth0
            | Brand::Entra
            | Brand::EntraOfSeveral
            | Brand::Google
            | Brand::Keycloak
            | Brand::Okta
            | Brand::OktaCustom => openid::answer(self, &mut held, asked),
        }
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let desk = Arc::clone(&desk);
        connections.spawn(async move {
            let service = service_fn(move |request| serve(request, Arc::clone(&desk)));
            let server = auto::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(socket), service).await);
        });
    }
}

async fn serve(request: Request<Incoming>, desk: Arc<Desk>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let query = head.uri.query().unwrap_or_default().as_bytes();
    let form = if head.method == http::Method::POST { &body[..] } else { query };
    let asked = Asked {
        method: head.method.clone(),
        path: head.uri.path().to_owned(),
        fields: form_urlencoded::parse(form).into_owned().collect(),
        headers: head.headers,
        body: body.clone(),
    };
    openid::hold_up(&desk, &asked).await;
    let reply = desk.answer(&asked);
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::from(reply.body)).unwrap_or_default())
}
