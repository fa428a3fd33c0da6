//! A remote MCP server with an authorization server of its own, as those of Atlassian, Notion and Linear are, under test control.
//!
//! It signs in whomever a test names without a question, turns its refresh tokens on every use and ends the whole family when one
//! comes twice, says in every answer whose it is (a canary), and counts everything. It is honest until a test makes it lie.

mod counts;
pub mod github_app;
mod grants;
mod keys;
mod mcp;
mod metadata;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use protocol::oauth::TokenEndpointAuthMethod;
use protocol::secret::Secret;
use protocol::world::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use upstream::oauth_client::PreRegistered;
use url::form_urlencoded;

pub use counts::Counts;

use github_app::AppKey;

/// Our client where it was registered by hand.
pub const CLIENT_ID: &str = "sekisho-by-hand";
const CLIENT_SECRET: &str = "secret-of-sekisho-by-hand";

/// In which way it comes to know its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knows {
    /// By client ID metadata documents, which it fetches.
    Documents,
    /// By dynamic registration.
    Dynamic,
    /// It knows a GitHub App, whose installation tokens it takes.
    GithubApp,
    /// By hand, and it takes ID-JAGs in place of a browser.
    IdJag,
    /// By hand.
    PreRegistered,
}

/// What it holds. Everything may be changed at any time.
#[derive(Debug)]
pub struct Held {
    /// Who is signed in there: the next authorization is theirs.
    pub person: String,
    /// How often what came.
    pub counts: Counts,
    /// How long access tokens are good.
    pub lifetime: Duration,
    /// The scopes that it knows, and asks for.
    pub scopes: Vec<&'static str>,
    /// What the tool `write` needs.
    pub needs: &'static str,
    /// What is granted in place of what was asked for.
    pub granted: Option<String>,
    /// The browser is sent back with this error in place of a code.
    pub refusal: Option<&'static str>,
    /// `iss` of the answer, in place of its own; an empty one leaves it out.
    pub iss: Option<String>,
    /// `issuer` of its metadata, in place of its own.
    pub issuer: Option<String>,
    /// The next answers of the token endpoint, in place of what would be.
    pub token_answers: VecDeque<(u16, Value)>,
    /// Members that take the place of those of a good token response; `null` leaves one out.
    pub token_members: serde_json::Map<String, Value>,
    /// How long an answer of the token endpoint takes.
    pub delay: Duration,
    /// Revocations are refused as of a client that it does not know.
    pub refuses_revocations: bool,
    /// The next revocations are answered so.
    pub revocation_answers: VecDeque<u16>,
    /// A tool for which it takes no token whatever: 401.
    pub takes_none_for: &'static str,
    /// Its MCP endpoint lets nobody do anything: 403.
    pub forbids: bool,
    /// A revocation ends everything that the person ever granted, as at GitHub and Google.
    pub revokes_all: bool,
    /// What is no code is answered only when a permit of this is given.
    pub gate: Option<Arc<Semaphore>>,
    /// Everything that reached the MCP endpoint: `Authorization`, and the body.
    pub calls: Vec<(String, Value)>,
    /// Every `Authorization` that reached the API for apps.
    pub assertions: Vec<String>,
    /// Every form that reached the token endpoint.
    pub token_requests: Vec<HashMap<String, String>>,
    client_keys: Option<keys::ClientKeys>,
    clients: HashMap<String, Client>,
    codes: HashMap<String, Code>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    families: HashMap<usize, bool>,
    given: usize,
    secrets: Vec<String>,
}

#[derive(Clone, Debug)]
struct Client {
    secret: Option<String>,
    method: TokenEndpointAuthMethod,
    redirect_uris: Vec<String>,
}

#[derive(Clone, Debug)]
struct Code {
    challenge: String,
    client_id: String,
    family: usize,
    person: String,
    redirect_uri: String,
    scope: String,
    used: bool,
}

#[derive(Clone, Debug)]
struct Access {
    ends: Timestamp,
    family: usize,
    person: String,
    scope: String,
}

#[derive(Clone, Debug)]
struct Refresh {
    client_id: String,
    family: usize,
    person: String,
    scope: String,
    used: bool,
}

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub struct RemoteServer {
    /// Its MCP endpoint; its issuer is the origin.
    pub url: String,
    desk: Arc<Desk>,
    _tasks: JoinSet<()>,
}

struct Desk {
    app_key: Option<AppKey>,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
    knows: Knows,
    origin: String,
    came: Notify,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// What came, apart.
struct Asked {
    method: Method,
    path: String,
    headers: HeaderMap,
    query: HashMap<String, String>,
    body: Bytes,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn form(&self) -> HashMap<String, String> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

/// What is answered.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        let headers =
            vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
        Self { status, headers, body: body.to_string() }
    }

    fn error(status: u16, error: &str) -> Self {
        Self::json(status, &json!({"error": error, "error_description": "words of a stranger"}))
    }

    const fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What every answer to this person holds, and none to anybody else may.
#[must_use]
pub fn canary(person: &str) -> String {
    format!("canary-of-{person}")
}

impl RemoteServer {
    /// Starts on a loopback port that the system chose.
    pub async fn start(clock: Arc<dyn Clock>, knows: Knows) -> Result<Self, String> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let listener = listener.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let origin = format!("http://{address}");
        let held = Mutex::new(Held::new(knows));
        let app_key = if knows == Knows::GithubApp { Some(AppKey::generate()?) } else { None };
        let desk = Arc::new(Desk { app_key, clock, held, knows, origin, came: Notify::new() });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&desk)));
        Ok(Self { url: format!("{}/mcp", desk.origin), desk, _tasks: tasks })
    }

    /// Its issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.desk.origin
    }

    /// Changes what it holds, or looks.
    pub fn change<T>(&self, change: impl FnOnce(&mut Held) -> T) -> T {
        change(&mut lock(&self.desk.held))
    }

    /// Who is signed in there from now on.
    pub fn sign_in(&self, person: &str) {
        self.change(|held| person.clone_into(&mut held.person));
    }

    /// How often what came.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.change(|held| held.counts)
    }

    /// Every token, code and secret that it ever gave: none of them may be found anywhere but sealed.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.change(|held| held.secrets.clone())
    }

    /// All access tokens are over from now on; refresh tokens are good as before.
    pub fn end_access_tokens(&self) {
        self.change(|held| held.access.clear());
    }

    /// The person's grants are over: their tokens are good for nothing.
    pub fn end_grants_of(&self, person: &str) {
        self.change(|held| {
            let families = held.refresh.values().filter(|one| one.person == person).map(|one| one.family);
            let families: Vec<_> = families.collect();
            held.end(&families);
        });
    }

    /// No client that registered is known any more.
    pub fn forget_clients(&self) {
        self.change(|held| held.clients.retain(|id, _| id == CLIENT_ID));
    }

    /// How many of the person's grants are alive.
    #[must_use]
    pub fn grants_of(&self, person: &str) -> usize {
        self.change(|held| {
            let alive = |one: &&Refresh| {
                one.person == person && !one.used && held.families.get(&one.family) == Some(&true)
            };
            held.refresh.values().filter(alive).count()
        })
    }

    /// Refreshes are not answered from now on, until the semaphore that comes back is given permits.
    #[must_use]
    pub fn hold_refreshes(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.change(|held| held.gate = Some(Arc::clone(&gate)));
        gate
    }

    /// Waits until this can be said of what it holds.
    pub async fn until(&self, mut is_so: impl FnMut(&Held) -> bool) {
        loop {
            let came = self.desk.came.notified();
            if is_so(&lock(&self.desk.held)) {
                return;
            }
            came.await;
        }
    }

    /// Our client where it was registered by hand.
    #[must_use]
    pub fn pre_registered(&self) -> PreRegistered {
        let client_secret = Some(Arc::new(Secret::new(CLIENT_SECRET.to_owned())));
        PreRegistered { client_id: CLIENT_ID.to_owned(), client_secret, key: None, method: None }
    }
}

impl Held {
    fn new(knows: Knows) -> Self {
        let by_hand = Client {
            secret: Some(CLIENT_SECRET.to_owned()),
            method: TokenEndpointAuthMethod::ClientSecretBasic,
            redirect_uris: Vec::new(),
        };
        let clients = match knows {
            Knows::PreRegistered | Knows::IdJag => HashMap::from([(CLIENT_ID.to_owned(), by_hand)]),
            Knows::Documents | Knows::Dynamic | Knows::GithubApp => HashMap::new(),
        };
        Self {
            person: "ada".to_owned(),
            counts: Counts::default(),
            lifetime: Duration::from_secs(600),
            scopes: vec!["read", "write"],
            needs: "write",
            granted: None,
            refusal: None,
            iss: None,
            issuer: None,
            token_answers: VecDeque::new(),
            token_members: serde_json::Map::new(),
            delay: Duration::ZERO,
            refuses_revocations: false,
            revocation_answers: VecDeque::new(),
            takes_none_for: "",
            forbids: false,
            revokes_all: false,
            gate: None,
            calls: Vec::new(),
            assertions: Vec::new(),
            token_requests: Vec::new(),
            client_keys: None,
            clients,
            codes: HashMap::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            families: HashMap::new(),
            given: 0,
            secrets: vec![CLIENT_SECRET.to_owned()],
        }
    }

    /// A new text that is nobody else's. Long enough to be looked for everywhere.
    fn mint(&mut self, kind: &str) -> String {
        self.given += 1;
        let text = format!(
            "remote-{kind}-{:08}-{:016x}",
            self.given,
            self.given.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        );
        self.secrets.push(text.clone());
        text
    }

    /// All access tokens are good for no more than this from now on, whatever was said of them.
    pub fn narrow_all(&mut self, scope: &str) {
        for one in self.access.values_mut() {
            scope.clone_into(&mut one.scope);
        }
    }

    fn end(&mut self, families: &[usize]) {
        self.access.retain(|_, one| !families.contains(&one.family));
        for family in families {
            self.families.insert(*family, false);
        }
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let desk = Arc::clone(&desk);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&desk)));
            let server = auto::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(socket), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>, desk: Arc<Desk>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let query = head.uri.query().unwrap_or_default().as_bytes();
    let asked = Asked {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: form_urlencoded::parse(query).into_owned().collect(),
        headers: head.headers,
        body,
    };
    let reply = desk.answer(&asked).await;
    desk.came.notify_waiters();
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    Ok(response.body(Full::from(reply.body)).unwrap_or_default())
}

impl Desk {
    async fn answer(&self, asked: &Asked) -> Reply {
        match (&asked.method, asked.path.as_str()) {
            (_, "/mcp") => self.mcp(asked),
            (&Method::GET, "/.well-known/oauth-protected-resource/mcp") => self.resource_metadata(),
            (&Method::GET, "/.well-known/oauth-authorization-server") => self.server_metadata(),
            (&Method::GET, "/authorize") => self.authorize(asked).await,
            (&Method::POST, "/register") if self.knows == Knows::Dynamic => self.register(asked),
            (&Method::POST, "/token") => self.token(asked).await,
            (&Method::POST, "/revoke") => self.revoke(asked),
            (&Method::DELETE, "/installation/token") => self.end_installation_token(asked),
            (&Method::POST, path) if path.starts_with("/app/installations/") && self.app_key.is_some() => {
                self.installation_token(asked).await
            }
            _ => Reply::status(404),
        }
    }
}

/// The claims of a JWT, unverified: that is somebody else's test.
fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    part.and_then(|part| serde_json::from_slice(&part).ok()).unwrap_or_default()
}

/// Id and secret of HTTP Basic (RFC 6749, section 2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let pair = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decode = |text: &str| {
        form_urlencoded::parse(format!("x={text}").as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((decode(id)?, decode(secret)?))
}
