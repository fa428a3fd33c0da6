//! The three key-management services under test control, on one loopback port: AWS KMS with STS and the metadata of an
//! instance, Google Cloud KMS with its token endpoint and metadata server, and the transit engine of Vault.
//!
//! Faithful where a client could go wrong: signatures are verified, context and key must be those that something was
//! wrapped with, and refusals have the form that the services' documentation gives them.

mod aws;
mod google;
mod vault;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use protocol::keys::{KeyId, SealingKey};
use protocol::secret::Sealed;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::world::TestEntropy;

pub use google::ServiceAccount;

/// How the next request to a service's own endpoints is answered, in place of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// Status 500 and the service's own words for it.
    Broken,
    /// The connection is closed without an answer.
    Closed,
    /// Status 200 and no JSON.
    Garbage,
    /// Nothing, until the client gives up.
    Silent,
    /// Too many requests, as the service says it.
    Throttled,
}

/// What arrived: the path, and what it was asked for.
#[derive(Debug)]
struct Asked {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The services; they end when they are dropped.
#[derive(Debug)]
pub struct KeyServices {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    key: SealingKey,
    entropy: TestEntropy,
    account: ServiceAccount,
    odd: Mutex<VecDeque<Odd>>,
    count: Mutex<usize>,
}

/// The key that there is.
pub const KEY: &str = "the-key";
/// The access key of AWS, and what it is signed with.
pub const AWS: (&str, &str) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
/// The token of Vault.
pub const VAULT_TOKEN: &str = "hvs.a-token-of-the-test";

impl KeyServices {
    /// Starts on a loopback port that the system chose.
    pub async fn start() -> Result<Self, String> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let listener = listener.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let url = format!("http://{address}");
        let state = Arc::new(State {
            key: SealingKey::new(KeyId::from_bytes([5; 4]), &[42; 32]),
            entropy: TestEntropy::seeded(5),
            account: ServiceAccount::at(format!("{url}/token"))?,
            odd: Mutex::default(),
            count: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { url, state, _tasks: tasks })
    }

    /// The next requests that would use the key are answered so.
    pub fn next(&self, odd: impl IntoIterator<Item = Odd>) {
        self.state.odd.lock().unwrap_or_else(PoisonError::into_inner).extend(odd);
    }

    /// How many requests arrived that would use the key.
    pub fn used(&self) -> usize {
        *self.state.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key file of the service account at Google.
    pub fn service_account(&self) -> String {
        self.state.account.file()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&state)));
            let server = auto::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(socket), service).await);
        });
    }
}

/// What closes a connection.
#[derive(Debug)]
struct Close;

impl std::fmt::Display for Close {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Close {}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Close> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Close)?.to_bytes();
    let path = head.uri.path().to_owned();
    let asked = Asked { method: head.method, path, headers: head.headers, body };
    let (status, body) = respond(&asked, &state).await?;
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| Close)?;
    Ok(response)
}

async fn respond(asked: &Asked, state: &State) -> Result<(u16, String), Close> {
    if let Some(answer) = aws::around(asked).or_else(|| google::around(asked, state)) {
        return Ok(answer);
    }
    if let Some(answer) = vault::around(asked) {
        return Ok(answer);
    }
    *state.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    let odd = state.odd.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let vault = asked.path.starts_with("/v1/transit/");
    let google = asked.path.starts_with("/v1/projects/");
    let (broken, throttled) = match (vault, google) {
        (true, _) => (vault::BROKEN, vault::THROTTLED),
        (_, true) => (google::BROKEN, google::THROTTLED),
        _ => (aws::BROKEN, aws::THROTTLED),
    };
    let say = |(status, text): (u16, &str)| Ok((status, text.to_owned()));
    match odd {
        Some(Odd::Broken) => say(broken),
        Some(Odd::Closed) => Err(Close),
        Some(Odd::Garbage) => say((200, "<html>It works!</html>")),
        Some(Odd::Silent) => std::future::pending::<Result<_, Infallible>>().await.map_err(|_| Close),
        Some(Odd::Throttled) => say(throttled),
        None if vault => Ok(vault::answer(asked, state)),
        None if google => Ok(google::answer(asked, state)),
        None => Ok(aws::answer(asked, state)),
    }
}

impl State {
    /// What this service wrapped with this key for this context.
    fn seal(&self, service: &str, context: &str, plaintext: &str) -> Option<String> {
        let plaintext = STANDARD.decode(plaintext).ok()?;
        let context = [service.as_bytes(), context.as_bytes()];
        Some(STANDARD.encode(self.key.seal(&context, &plaintext, &self.entropy).as_bytes()))
    }

    fn open(&self, service: &str, context: &str, wrapped: &str) -> Option<String> {
        let sealed = Sealed::from_bytes(STANDARD.decode(wrapped).ok()?);
        let opened = self.key.open(&[service.as_bytes(), context.as_bytes()], &sealed).ok()?;
        Some(STANDARD.encode(opened.as_slice()))
    }
}

fn said(status: u16, json: &Value) -> (u16, String) {
    (status, json.to_string())
}

fn ok(json: Option<Value>, refusal: Value, status: u16) -> (u16, String) {
    match json {
        Some(json) => said(200, &json),
        None => said(status, &refusal),
    }
}

fn error_of(word: &str) -> Value {
    json!({ "__type": word, "message": "said by the service, with /etc/paths and more" })
}
