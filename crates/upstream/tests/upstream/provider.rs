//! An identity provider on an ephemeral port. It is honest until a test changes what it holds.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use protocol::oauth::CodeVerifier;
use protocol::oauth::form::Form;
use protocol::secret::Secret;
use protocol::world::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use upstream::connectors::oidc::{Oidc, OidcSettings, Quirks};
use upstream::connectors::{Callback, Connector as _, ConnectorError, Identity};

use crate::signer::Signer;
use crate::world::{NOW, TestClock, fetcher};

pub(crate) const CLIENT: &str = "sekisho at the provider";
pub(crate) const NONCE: &str = "nonce-of-this-leg";
pub(crate) const REDIRECT: &str = "https://mcp.example.com/login/callback/idp";
pub(crate) const VERIFIER: &str = "verifier-of-this-leg-0123456789-0123456789-012";
pub(crate) const CODE: &str = "code=a+good/code&state=state-of-this-leg";

pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(crate) const TOKEN: &str = "/token?tenant=1";
pub(crate) const KEYS: &str = "/keys";
pub(crate) const USERINFO: &str = "/userinfo";

/// What one path answers.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) cache_control: Option<&'static str>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(value: &Value) -> Self {
        let body = value.to_string();
        Self { status: 200, content_type: "application/json", cache_control: None, body }
    }

    pub(crate) fn status(status: u16) -> Self {
        let body = "<h1>no</h1>".to_owned();
        Self { status, content_type: "text/html", cache_control: None, body }
    }
}

/// What the provider holds.
pub(crate) struct Held {
    pub(crate) discovery: Value,
    pub(crate) signer: Signer,
    pub(crate) jwks: Vec<Value>,
    pub(crate) header: Value,
    pub(crate) claims: Value,
    pub(crate) userinfo: Value,
    /// Takes the place of what is above.
    pub(crate) answers: BTreeMap<&'static str, Answer>,
    /// What other paths answer; else they are not there.
    pub(crate) fallback: Option<Answer>,
    /// The path that is not answered before somebody adds to `release`.
    pub(crate) silent: Option<&'static str>,
    pub(crate) release: Arc<Semaphore>,
    /// Told when somebody has come to the silent path.
    pub(crate) silence: Arc<Notify>,
    /// How long every answer takes.
    pub(crate) delay: Duration,
    /// Takes the place of the signed ID token.
    pub(crate) id_token: Option<String>,
    pub(crate) seen: Vec<Seen>,
}

/// One request that came.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

pub(crate) struct Provider {
    pub(crate) issuer: String,
    held: Arc<Mutex<Held>>,
    _tasks: JoinSet<()>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = issuer(listener.local_addr().unwrap());
        let held = Arc::new(Mutex::new(Held::honest(&issuer)));
        let serving = Arc::clone(&held);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let held = Arc::clone(&serving);
                connections.spawn(async move {
                    let service = service_fn(move |request| serve(Arc::clone(&held), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { issuer, held, _tasks: tasks }
    }

    /// Changes what it holds.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.lock().unwrap());
    }

    /// Changes what it holds, or only looks.
    pub(crate) fn change_and_read<T>(&self, read: impl FnOnce(&mut Held) -> T) -> T {
        read(&mut self.held.lock().unwrap())
    }

    /// The requests to this path so far.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        self.held.lock().unwrap().seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }

    pub(crate) fn settings(&self) -> OidcSettings {
        OidcSettings {
            id: "idp".parse().unwrap(),
            title: "The provider".to_owned(),
            issuer: self.issuer.clone(),
            client_id: CLIENT.to_owned(),
            client_secret: Some(Secret::new("hush: hush".to_owned())),
            authentication: None,
            scopes: vec!["profile".to_owned(), "email".to_owned()],
            groups_claim: Some("groups".to_owned()),
            userinfo: false,
            email_domains: Vec::new(),
            required_claims: BTreeMap::new(),
            offline: None,
            deadline: Duration::from_secs(10),
            quirks: Quirks::default(),
        }
    }

    /// A connector to it that has asked nothing yet, and its clock.
    pub(crate) fn connector(&self) -> (Oidc, Arc<TestClock>) {
        self.connector_with(|_| {})
    }

    pub(crate) fn connector_with(&self, change: impl FnOnce(&mut OidcSettings)) -> (Oidc, Arc<TestClock>) {
        let clock = Arc::new(TestClock::default());
        let mut settings = self.settings();
        change(&mut settings);
        let watched: Arc<dyn Clock> = Arc::<TestClock>::clone(&clock);
        (Oidc::new(settings, fetcher(), watched).unwrap(), clock)
    }
}

impl Held {
    fn honest(issuer: &str) -> Self {
        let signer = Signer::es256();
        Self {
            discovery: json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize?tenant=1"),
                "token_endpoint": format!("{issuer}{TOKEN}"),
                "jwks_uri": format!("{issuer}{KEYS}"),
                "userinfo_endpoint": format!("{issuer}{USERINFO}"),
                "code_challenge_methods_supported": ["S256"],
            }),
            jwks: vec![signer.jwk("first")],
            header: json!({"alg": signer.alg(), "kid": "first", "typ": "JWT"}),
            signer,
            claims: json!({
                "iss": issuer,
                "sub": "248289761001",
                "aud": CLIENT,
                "exp": NOW.secs() + 300,
                "iat": NOW.secs(),
                "nonce": NONCE,
                "name": "Jane Doe",
                "email": "jane@example.com",
                "email_verified": true,
                "groups": ["staff", "engineering", "staff"],
            }),
            userinfo: json!({"sub": "248289761001"}),
            answers: BTreeMap::new(),
            fallback: None,
            silent: None,
            release: Arc::new(Semaphore::new(0)),
            silence: Arc::new(Notify::new()),
            delay: Duration::ZERO,
            id_token: None,
            seen: Vec::new(),
        }
    }

    /// Sets a member of the ID token's claims; `null` takes it away.
    pub(crate) fn claim(&mut self, name: &str, value: Value) {
        let claims = self.claims.as_object_mut().unwrap();
        if value.is_null() {
            claims.remove(name);
        } else {
            claims.insert(name.to_owned(), value);
        }
    }

    /// Signs with this from now on, and publishes it alone.
    pub(crate) fn rotate(&mut self, signer: Signer, kid: &str) {
        self.jwks = vec![signer.jwk(kid)];
        self.header = json!({"alg": signer.alg(), "kid": kid});
        self.signer = signer;
    }

    fn answer(&self, path: &str) -> Answer {
        if let Some(answer) = self.answers.get(path) {
            return answer.clone();
        }
        match path {
            DISCOVERY => Answer::json(&self.discovery),
            KEYS => Answer::json(&json!({ "keys": self.jwks })),
            TOKEN => {
                let signed = || self.signer.sign(&self.header, &self.claims);
                let id_token = self.id_token.clone().unwrap_or_else(signed);
                Answer::json(
                    &json!({"access_token": "a-token", "token_type": "Bearer", "id_token": id_token}),
                )
            }
            USERINFO => Answer::json(&self.userinfo),
            _ => self.fallback.clone().unwrap_or_else(|| Answer::status(404)),
        }
    }
}

fn issuer(address: SocketAddr) -> String {
    format!("http://{address}")
}

async fn serve(
    held: Arc<Mutex<Held>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path = head.uri.path_and_query().unwrap().to_string();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let (answer, release, delay) = {
        let mut held = held.lock().unwrap();
        let answer = held.answer(&path);
        let release = (held.silent == Some(path.as_str())).then(|| Arc::clone(&held.release));
        held.seen.push(Seen { path, headers: head.headers, body });
        if release.is_some() {
            held.silence.notify_one();
        }
        (answer, release, held.delay)
    };
    if let Some(release) = release {
        release.acquire().await.unwrap().forget();
    }
    if !delay.is_zero() {
        // Only ever on a clock that stands.
        tokio::time::sleep(delay).await;
    }
    let mut response = Response::builder().status(answer.status).header("content-type", answer.content_type);
    if let Some(told) = answer.cache_control {
        response = response.header("cache-control", told);
    }
    Ok(response.body(Full::from(answer.body)).unwrap())
}

/// Completes a sign-in that came back with this query.
pub(crate) async fn complete(oidc: &Oidc, query: &str) -> Result<Identity, ConnectorError> {
    complete_at(oidc, query, NOW, None).await
}

pub(crate) async fn complete_at(
    oidc: &Oidc,
    query: &str,
    now: Timestamp,
    not_before_auth: Option<Timestamp>,
) -> Result<Identity, ConnectorError> {
    let form = Form::parse(query.as_bytes()).unwrap();
    let code_verifier = CodeVerifier::parse(VERIFIER).unwrap();
    let callback = Callback {
        form: &form,
        redirect_uri: REDIRECT,
        nonce: NONCE,
        code_verifier: &code_verifier,
        not_before_auth,
        now,
    };
    oidc.complete(callback).await
}
