//! An OpenID provider under test control. It signs in whomever a test names without a question, is honest until a test
//! makes it lie, and writes down everything that reaches it.

mod later;

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use protocol::jose::SigningKey;
use protocol::keys::KeyId;
use protocol::oauth::{CodeChallenge, CodeVerifier};
use protocol::secret::Secret;
use protocol::world::Clock;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use upstream::connectors::Connector;
use upstream::connectors::oidc::{Oidc, OidcSettings, Quirks};
use upstream::egress::{Egress, Fetcher};
use upstream::trust::Trust;
use url::form_urlencoded;

use crate::wire::{Target, Wire};
use crate::world::TestClock;

/// Who Sekisho is at the provider.
pub const CLIENT_ID: &str = "sekisho-at-the-provider";
const CLIENT_SECRET: &str = "secret-of-sekisho-at-the-provider";

/// How an ID token is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signature {
    /// By the key that is published.
    #[default]
    Honest,
    /// By the published key, and then a bit was changed.
    Broken,
    /// HS256 with the public key as the secret.
    HmacWithThePublicKey,
    /// `alg: none`.
    Nobody,
    /// By another key under the id of the published one.
    OtherKey,
    /// By a key that is not published, under an id of its own.
    UnknownKey,
}

/// What the provider holds.
#[derive(Debug)]
pub struct Held {
    /// Who is signed in at the provider: `sub` and what else the ID token says of the person.
    pub person: Map<String, Value>,
    /// Takes the place of what the ID token would say; `null` leaves it out.
    pub claims: Map<String, Value>,
    /// How the ID token is signed.
    pub signature: Signature,
    /// What userinfo says; `null` for the person.
    pub userinfo: Value,
    /// The callback carries this error, and a description, instead of a code.
    pub refusal: Option<(String, String)>,
    /// Status with which the token endpoint answers, and nothing else.
    pub token_status: Option<u16>,
    /// Answered to everything but the browser.
    pub instead: Option<Instead>,
    /// What stands at these paths, in place of what would.
    pub pages: HashMap<String, Value>,
    keys: Keys,
    codes: HashMap<String, Code>,
    /// Refresh tokens that are good (OpenID Connect Core 1.0, section 12), and whose each is.
    refresh_tokens: HashMap<String, Map<String, Value>>,
    /// Whether a refresh token is good once, and another comes for it.
    pub rotates: bool,
    /// The token endpoint answers a refresh with this error and status.
    pub refuses_refresh: Option<(u16, &'static str)>,
    /// The token endpoint never answers a refresh.
    pub hangs: bool,
    given: u32,
    seen: Vec<String>,
}

/// An answer in place of the right one.
#[derive(Clone, Debug)]
pub struct Instead {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Bytes,
}

impl Instead {
    fn answer(&self) -> Response<Full<Bytes>> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        response.body(Full::from(self.body.clone())).unwrap_or_default()
    }
}

/// The published key, another under the same id, and one that nobody knows.
#[derive(Debug)]
struct Keys {
    published: SigningKey,
    impostor: SigningKey,
    unknown: SigningKey,
}

#[derive(Debug)]
struct Code {
    challenge: String,
    offline: bool,
    nonce: String,
    redirect_uri: String,
}

/// The provider; it ends when it is dropped.
#[derive(Debug)]
pub struct OpenIdProvider {
    /// Its issuer.
    pub issuer: String,
    clock: Arc<TestClock>,
    held: Arc<Mutex<Held>>,
    _tasks: JoinSet<()>,
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn bind() -> Result<TcpListener, String> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.map_err(text)
}

fn key(id: u8) -> Result<SigningKey, String> {
    let pkcs8 = SigningKey::generate_pkcs8().map_err(text)?;
    SigningKey::from_pkcs8(KeyId::from_bytes([id; 4]), &pkcs8).map_err(text)
}

impl Keys {
    fn new(id: u8) -> Result<Self, String> {
        Ok(Self { published: key(id)?, impostor: key(id)?, unknown: key(id.wrapping_add(100))? })
    }
}

impl OpenIdProvider {
    /// Starts on a loopback port that the system chose. `clock` is that of the house.
    pub async fn start(clock: &Arc<TestClock>) -> Result<Self, String> {
        let listener = bind().await?;
        let issuer = format!("http://{}", listener.local_addr().map_err(text)?);
        Self::with(clock, issuer, listener)
    }

    /// The same, reached by a cable that can be broken.
    pub async fn start_through(clock: &Arc<TestClock>) -> Result<(Self, Wire), String> {
        let listener = bind().await?;
        let address = listener.local_addr().map_err(text)?;
        let wire = Wire::to(Target::Tcp(address.to_string())).await?;
        let issuer = format!("http://127.0.0.1:{}", wire.port);
        Ok((Self::with(clock, issuer, listener)?, wire))
    }

    fn with(clock: &Arc<TestClock>, issuer: String, listener: TcpListener) -> Result<Self, String> {
        let held = Held {
            person: Map::new(),
            claims: Map::new(),
            signature: Signature::Honest,
            userinfo: Value::Null,
            refusal: None,
            token_status: None,
            instead: None,
            pages: HashMap::new(),
            keys: Keys::new(1)?,
            codes: HashMap::new(),
            refresh_tokens: HashMap::new(),
            rotates: false,
            refuses_refresh: None,
            hangs: false,
            given: 0,
            seen: Vec::new(),
        };
        let provider = Self {
            issuer,
            clock: Arc::clone(clock),
            held: Arc::new(Mutex::new(held)),
            _tasks: JoinSet::new(),
        };
        provider.sign_in_as(json!({"sub": "248289761001", "name": "Jane Doe"}));
        Ok(provider.serve(listener))
    }

    fn serve(mut self, listener: TcpListener) -> Self {
        let desk = Desk {
            issuer: self.issuer.clone(),
            clock: Arc::clone(&self.clock),
            held: Arc::clone(&self.held),
        };
        self._tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let desk = desk.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(request, desk.clone()));
                    let server = auto::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(socket), service).await);
                });
            }
        });
        self
    }

    /// From now on this person is signed in at the provider: `sub` and other claims.
    pub fn sign_in_as(&self, person: Value) {
        self.change(|held| held.person = person.as_object().cloned().unwrap_or_default());
    }

    /// Changes what it holds.
    pub fn change(&self, change: impl FnOnce(&mut Held)) {
        change(&mut lock(&self.held));
    }

    /// The ID token says this in place of the truth; `null` leaves the claim out.
    pub fn lie(&self, claim: &str, value: Value) {
        self.change(|held| drop(held.claims.insert(claim.to_owned(), value)));
    }

    /// Back to honesty.
    pub fn repent(&self) {
        self.change(|held| {
            held.claims.clear();
            held.signature = Signature::Honest;
            held.userinfo = Value::Null;
            held.refusal = None;
            held.token_status = None;
            held.refuses_refresh = None;
            held.hangs = false;
            held.instead = None;
        });
    }

    /// Publishes another key and signs with it from now on; the old one is gone.
    pub fn rotate(&self, id: u8) -> Result<(), String> {
        let keys = Keys::new(id)?;
        self.change(|held| held.keys = keys);
        Ok(())
    }

    /// What it says, as a JWT of this type by the key that is published: an ID-JAG, for one.
    #[must_use]
    pub fn sign(&self, typ: &'static str, claims: &Value) -> String {
        lock(&self.held).keys.published.sign(typ, claims).unwrap_or_default()
    }

    /// How many requests came to a path.
    pub fn asked(&self, path: &str) -> usize {
        lock(&self.held).seen.iter().filter(|seen| seen.as_str() == path).count()
    }

    /// The connector to it, for a plan.
    pub fn connector(
        &self,
        id: &str,
        change: impl FnOnce(&mut OidcSettings),
    ) -> Result<Arc<dyn Connector>, String> {
        let mut settings = OidcSettings {
            id: id.parse().map_err(text)?,
            title: "The provider".to_owned(),
            issuer: self.issuer.clone(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: Some(Secret::new(CLIENT_SECRET.to_owned())),
            authentication: None,
            scopes: vec!["profile".to_owned(), "email".to_owned()],
            groups_claim: Some("groups".to_owned()),
            userinfo: false,
            email_domains: Vec::new(),
            required_claims: BTreeMap::new(),
            deadline: Duration::from_secs(10),
            offline: None,
            quirks: Quirks::default(),
        };
        change(&mut settings);
        let egress: Arc<dyn Egress> = Arc::new(Fetcher::new(&Trust::new(&[]).map_err(text)?));
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Ok(Arc::new(Oidc::new(settings, egress, clock).map_err(text)?))
    }
}

/// What every request is answered from.
#[derive(Clone)]
struct Desk {
    issuer: String,
    clock: Arc<TestClock>,
    held: Arc<Mutex<Held>>,
}

type Fields = HashMap<String, String>;

fn fields(bytes: &[u8]) -> Fields {
    form_urlencoded::parse(bytes).into_owned().collect()
}

async fn answer(request: Request<Incoming>, desk: Desk) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let refreshes = head.uri.path() == "/token" && fields(&body).contains_key("refresh_token");
    if refreshes && lock(&desk.held).hangs {
        lock(&desk.held).seen.push("/token?refresh".to_owned());
        std::future::pending::<()>().await;
    }
    let mut held = lock(&desk.held);
    held.seen.push(if refreshes { "/token?refresh".to_owned() } else { head.uri.path().to_owned() });
    let instead = held.instead.as_ref().filter(|_| head.uri.path() != "/authorize");
    if let Some(instead) = instead {
        return Ok(instead.answer());
    }
    if let Some(page) = held.pages.get(head.uri.path()) {
        return Ok(json_answer(page));
    }
    Ok(match head.uri.path() {
        "/.well-known/openid-configuration" => json_answer(&desk.discovery()),
        "/keys" => json_answer(&json!({ "keys": [held.keys.published.public_jwk()] })),
        "/authorize" => desk.authorize(&mut held, &fields(head.uri.query().unwrap_or_default().as_bytes())),
        "/token" => {
            let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));
            let known =
                head.headers.get("authorization").is_some_and(|value| value.as_bytes() == basic.as_bytes());
            if known { desk.token(&mut held, &fields(&body)) } else { status(StatusCode::UNAUTHORIZED) }
        }
        "/userinfo" if held.userinfo.is_null() => json_answer(&Value::Object(held.person.clone())),
        "/userinfo" => json_answer(&held.userinfo),
        _ => status(StatusCode::NOT_FOUND),
    })
}

impl Desk {
    fn discovery(&self) -> Value {
        let issuer = &self.issuer;
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    /// Sends the browser back at once: the person is signed in and approved Sekisho long ago.
    fn authorize(&self, held: &mut Held, asked: &Fields) -> Response<Full<Bytes>> {
        let field = |name: &str| asked.get(name).cloned().unwrap_or_default();
        if field("client_id") != CLIENT_ID || field("response_type") != "code" {
            return status(StatusCode::BAD_REQUEST);
        }
        let mut back = form_urlencoded::Serializer::new(String::new());
        back.append_pair("state", &field("state")).append_pair("iss", &self.issuer);
        if let Some((error, description)) = &held.refusal {
            back.append_pair("error", error).append_pair("error_description", description);
        } else {
            // No two providers give the same code.
            let code = format!("code {} of {}", held.given, self.issuer);
            held.given += 1;
            back.append_pair("code", &code);
            let redirect_uri = field("redirect_uri");
            let offline = field("scope").split(' ').any(|scope| scope == "offline_access");
            held.codes.insert(
                code,
                Code { challenge: field("code_challenge"), offline, nonce: field("nonce"), redirect_uri },
            );
        }
        let location = format!("{}?{}", field("redirect_uri"), back.finish());
        let response = Response::builder().status(StatusCode::SEE_OTHER).header("location", location);
        response.body(Full::default()).unwrap_or_default()
    }

    fn token(&self, held: &mut Held, asked: &Fields) -> Response<Full<Bytes>> {
        if let Some(wanted) = held.token_status {
            return status(StatusCode::from_u16(wanted).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
        }
        let field = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
        if field("grant_type") == "refresh_token" {
            return self.refresh(held, field("refresh_token"));
        }
        let verifier = CodeVerifier::parse(field("code_verifier"));
        let code = held.codes.remove(field("code")).filter(|code| {
            let challenge = CodeChallenge::parse(&code.challenge, Some("S256"));
            let answered = |verifier| challenge.is_ok_and(|challenge| challenge.is_answered_by(verifier));
            code.redirect_uri == field("redirect_uri") && verifier.as_ref().is_ok_and(answered)
        });
        let Some(code) = code else {
            return refused(400, "invalid_grant");
        };
        let id_token = held.sign(&self.claims(held, Some(&code)));
        let mut answer =
            json!({"access_token": "token-of-the-provider", "token_type": "Bearer", "id_token": id_token});
        if code.offline {
            answer["refresh_token"] = self.refresh_token(held, held.person.clone()).into();
        }
        json_answer(&answer)
    }

    fn claims(&self, held: &Held, code: Option<&Code>) -> Value {
        let now = self.clock.now().secs();
        let mut claims = held.person.clone();
        let honest = [
            ("iss", json!(self.issuer)),
            ("aud", json!(CLIENT_ID)),
            ("iat", json!(now)),
            ("exp", json!(now + 300)),
            ("auth_time", json!(now)),
            ("nonce", json!(code.map(|code| code.nonce.as_str()))),
        ];
        claims.extend(honest.map(|(name, value)| (name.to_owned(), value)));
        claims.extend(held.claims.clone());
        claims.retain(|_, value| !value.is_null());
        Value::Object(claims)
    }
}

impl Held {
    fn sign(&self, claims: &Value) -> String {
        self.signed("JWT", claims)
    }

    fn signed(&self, typ: &'static str, claims: &Value) -> String {
        let Keys { published, impostor, unknown } = &self.keys;
        let honest = || published.sign(typ, claims).unwrap_or_default();
        match self.signature {
            Signature::Honest => honest(),
            Signature::Broken => {
                let token = honest();
                let (signed, signature) = token.rsplit_once('.').unwrap_or_default();
                let other = if signature.starts_with('A') { "B" } else { "A" };
                format!("{signed}.{other}{}", signature.get(1..).unwrap_or_default())
            }
            Signature::HmacWithThePublicKey => {
                let jwk = published.public_jwk().to_string();
                let message = message(&json!({"alg": "HS256", "kid": published.kid(), "typ": typ}), claims);
                let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, jwk.as_bytes()), message.as_bytes());
                format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
            }
            Signature::Nobody => format!("{}.", message(&json!({"alg": "none", "typ": typ}), claims)),
            Signature::OtherKey => impostor.sign(typ, claims).unwrap_or_default(),
            Signature::UnknownKey => unknown.sign(typ, claims).unwrap_or_default(),
        }
    }
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn json_answer(value: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().header("content-type", "application/json");
    response.body(Full::from(value.to_string())).unwrap_or_default()
}

fn refused(status: u16, error: &str) -> Response<Full<Bytes>> {
    let mut response = json_answer(&json!({ "error": error }));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
