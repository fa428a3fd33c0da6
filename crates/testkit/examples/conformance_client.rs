//! The gateway's OAuth client, driven by the MCP conformance suite in its `client` mode: `conformance client --command "<this>"`.
//!
//! It does what an operator and a person do: it names the authorization server in the settings when the client says that it must be
//! named, and goes where it is sent. Everything that OAuth is about is `upstream::oauth_client`; the calls beside it are as plain as
//! the suite allows. Of its environment it reads what the suite sets, and the URL is its last argument.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use protocol::oauth::form::Form;
use protocol::oauth::{CodeVerifier, Scope};
use protocol::secret::Secret;
use protocol::world::Clock;
use serde_json::{Value, json};
use testkit::world::TestClock;
use upstream::egress::{Egress, FetchError, Fetcher, Limits};
use upstream::oauth_client::{
    Attempt, Challenge, InMemory, Kind, OauthClient, OauthClientError, OauthClientSettings, OauthWorld,
    Obstacle, PreRegistered, Registration, Tokens, Ways,
};
use upstream::trust::Trust;

const DOCUMENT: &str = "https://conformance-test.local/client-metadata.json";
const REDIRECT: &str = "http://localhost:3000/callback";
const LIMITS: Limits = Limits { total: Duration::from_secs(10), max_body: 1024 * 1024 };
/// CL-075.
const ATTEMPTS: usize = 3;

type Outcome<T> = Result<T, String>;

/// What an operator reads in the MCP server's metadata: who authorizes there.
#[derive(Debug)]
struct Reading {
    fetcher: Fetcher,
    issuer: Mutex<Option<String>>,
}

impl Egress for Reading {
    fn fetch(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
        Box::pin(async move {
            let answer = self.fetcher.fetch(request, limits).await?;
            let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            if let Some(issuer) = said["authorization_servers"][0].as_str() {
                *self.issuer.lock().unwrap_or_else(PoisonError::into_inner) = Some(issuer.to_owned());
            }
            Ok(answer)
        })
    }
}

/// One run of a scenario.
struct Run {
    client: OauthClient,
    context: Value,
    egress: Arc<Reading>,
    named: Option<String>,
    registrations: Arc<InMemory>,
    session: Option<String>,
    tokens: Option<Tokens>,
    tried: usize,
    url: String,
    version: String,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "what the suite sets, for this program alone")]
    std::env::var(name).ok()
}

fn made(
    url: &str,
    context: &Value,
    named: Option<&String>,
    (egress, registrations): (&Arc<Reading>, &Arc<InMemory>),
) -> Outcome<OauthClient> {
    let client = context["client_id"].as_str().filter(|_| named.is_some()).map(|id| PreRegistered {
        client_id: id.to_owned(),
        client_secret: context["client_secret"].as_str().map(|one| Arc::new(Secret::new(one.to_owned()))),
        key: None,
        method: None,
    });
    let settings = OauthClientSettings {
        server: "conformance".to_owned(),
        url: url.to_owned(),
        resource: None,
        kind: Kind::Mcp,
        authorization_server: named.cloned(),
        token_endpoint: None,
        revocation_endpoint: None,
        client,
        registration: Registration::Any,
        scope: Scope::default(),
        assume_pkce: false,
        redirect_uri: REDIRECT.to_owned(),
        document_url: DOCUMENT.to_owned(),
        other_document_urls: Vec::new(),
        client_name: "Sekisho".to_owned(),
        deadline: Duration::from_secs(10),
    };
    let world = OauthWorld {
        clock: Arc::new(TestClock::default()) as Arc<dyn Clock>,
        registrations: Arc::clone(registrations) as _,
        ways: Ways { egress: Arc::clone(egress) as _, guarded: None },
    };
    OauthClient::new(settings, world).map_err(text)
}

impl Run {
    fn new(url: String) -> Outcome<Self> {
        let egress = Arc::new(Reading {
            fetcher: Fetcher::new(&Trust::new(&[]).map_err(text)?),
            issuer: Mutex::default(),
        });
        let context = variable("MCP_CONFORMANCE_CONTEXT").unwrap_or_default();
        let context: Value = serde_json::from_str(&context).unwrap_or_default();
        let registrations = Arc::default();
        let client = made(&url, &context, None, (&egress, &registrations))?;
        let version = variable("MCP_CONFORMANCE_PROTOCOL_VERSION").unwrap_or_else(|| "2025-11-25".to_owned());
        Ok(Self {
            client,
            context,
            egress,
            named: None,
            registrations,
            session: None,
            tokens: None,
            tried: 0,
            url,
            version,
        })
    }

    fn is_modern(&self) -> bool {
        self.version.as_str() >= "2026-07-28"
    }

    /// Goes to the authorization server and comes back with tokens; names it first, if the client says that it must be.
    async fn connect(&mut self, scope: Option<&Scope>) -> Outcome<()> {
        if self.tried >= ATTEMPTS {
            return Err("asked often enough".to_owned());
        }
        self.tried += 1;
        match self.attempt(scope).await {
            Err(Failed::Client(OauthClientError::Obstacle(
                Obstacle::Address | Obstacle::AuthorizationServer | Obstacle::NoRegistration,
            ))) => {
                self.name()?;
                self.attempt(scope).await.map_err(|failed| failed.text())
            }
            done => done.map_err(|failed| failed.text()),
        }
    }

    /// Sets `authorization_server` to what the MCP server's metadata said last.
    fn name(&mut self) -> Outcome<()> {
        self.named = self.egress.issuer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let with = (&self.egress, &self.registrations);
        self.client = made(&self.url, &self.context, self.named.as_ref(), with)?;
        Ok(())
    }

    async fn attempt(&mut self, scope: Option<&Scope>) -> Result<(), Failed> {
        let verifier = CodeVerifier::parse(&"v".repeat(43)).map_err(|error| Failed::Other(text(error)))?;
        let challenge = verifier.challenge();
        let attempt = Attempt { state: "state-of-the-driver", challenge: &challenge, scope };
        let begun = self.client.begin(attempt).await.map_err(Failed::Client)?;
        let request =
            Request::get(begun.url).body(Bytes::new()).map_err(|error| Failed::Other(text(error)))?;
        let back = self.egress.fetch(request, LIMITS).await.map_err(|error| Failed::Other(text(error)))?;
        let location = header(back.headers(), "location");
        let query = location.split_once('?').map_or("", |(_, query)| query);
        let form = Form::parse(query.as_bytes()).map_err(|error| Failed::Other(text(error)))?;
        let tokens = self.client.redeem(&begun.leg, &form, &verifier).await.map_err(Failed::Client)?;
        self.tokens = Some(tokens);
        Ok(())
    }

    /// One message, authorized as often as it takes.
    async fn say(&mut self, id: Option<u64>, method: &str, mut params: Value) -> Outcome<Value> {
        loop {
            let answer = self.send(id, method, &mut params).await?;
            if let Some(session) = answer.headers().get("mcp-session-id") {
                self.session = session.to_str().ok().map(str::to_owned);
            }
            let challenge = Challenge::read(answer.headers());
            match (answer.status().as_u16(), challenge) {
                (401, challenge) => {
                    // The authorization server may be another one than before.
                    if self.client.look_again().await == Err(Obstacle::AuthorizationServer.into()) {
                        self.name()?;
                    }
                    self.connect(challenge.and_then(|challenge| challenge.scope).as_ref()).await?;
                }
                (403, Some(challenge)) if challenge.wants_scope() => {
                    let held = self.tokens.as_ref().map(|tokens| tokens.scope.clone()).unwrap_or_default();
                    let wanted = held.union(&challenge.scope.unwrap_or_default());
                    self.connect(Some(&wanted)).await?;
                }
                (200..=299, _) => return Ok(message(&answer)),
                (status, _) => return Err(format!("{method}: status {status}")),
            }
        }
    }

    async fn send(&self, id: Option<u64>, method: &str, params: &mut Value) -> Outcome<Response<Bytes>> {
        let mut request = Request::post(self.url.as_str())
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if self.is_modern() {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": self.version,
                "io.modelcontextprotocol/clientInfo": {"name": "Sekisho", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            request = request.header("mcp-method", method);
            if let Some(name) = params["name"].as_str() {
                request = request.header("mcp-name", name);
            }
        }
        if self.is_modern() || method != "initialize" {
            request = request.header("mcp-protocol-version", self.version.as_str());
        }
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session.as_str());
        }
        if let Some(tokens) = &self.tokens {
            let bearer = tokens.access_token.expose(|token| format!("Bearer {token}"));
            request = request.header("authorization", bearer);
        }
        let mut said = json!({"jsonrpc": "2.0", "method": method});
        if let Some(id) = id {
            said["id"] = id.into();
        }
        if params.as_object().is_some_and(|params| !params.is_empty()) {
            said["params"] = params.clone();
        }
        let request = request.body(Bytes::from(said.to_string())).map_err(text)?;
        self.egress.fetch(request, LIMITS).await.map_err(text)
    }

    async fn play(&mut self) -> Outcome<()> {
        if !self.is_modern() {
            let hello = json!({"protocolVersion": self.version, "capabilities": {},
                "clientInfo": {"name": "Sekisho", "version": "1"}});
            self.say(Some(1), "initialize", hello).await?;
            self.say(None, "notifications/initialized", json!({})).await?;
        }
        let listed = self.say(Some(2), "tools/list", json!({})).await?;
        let tools = listed["result"]["tools"].as_array().cloned().unwrap_or_default();
        for (number, tool) in (3..).zip(&tools) {
            let arguments = json!({"name": tool["name"], "arguments": {}});
            self.say(Some(number), "tools/call", arguments).await?;
        }
        // What changed meanwhile is noticed by whoever calls again.
        self.say(Some(100), "tools/list", json!({})).await.map(drop)
    }
}

enum Failed {
    Client(OauthClientError),
    Other(String),
}

impl Failed {
    fn text(self) -> String {
        match self {
            Self::Client(error) => format!("{}: {error}", error.reason()),
            Self::Other(error) => error,
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The message of an answer, be it JSON or the last event of a stream.
fn message(answer: &Response<Bytes>) -> Value {
    let body = String::from_utf8_lossy(answer.body());
    let data = body.lines().filter_map(|line| line.strip_prefix("data:")).next_back();
    serde_json::from_str(data.unwrap_or(&body).trim()).unwrap_or_default()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let played = match std::env::args().next_back().map(Run::new) {
        Some(Ok(mut run)) => run.play().await,
        Some(Err(error)) => Err(error),
        None => Err("no url".to_owned()),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "for whoever runs the suite")]
            {
                eprintln!("{error}");
            }
            ExitCode::FAILURE
        }
    }
}
