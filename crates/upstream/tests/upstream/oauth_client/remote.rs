//! A host that says at each path what a test put there, MCP server and authorization server in one, and writes down what came.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use protocol::oauth::form::Form;
use protocol::oauth::{CodeVerifier, Scope};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use upstream::oauth_client::{
    Attempt, AuthorizationUrl, InMemory, Kind, OauthClient, OauthClientError, OauthClientSettings,
    OauthWorld, Registration, Tokens, Ways,
};
use url::Url;

use crate::world::{TestClock, fetcher};

pub(crate) const VERIFIER: &str = "verifier-of-this-leg-0123456789-0123456789-012";
pub(crate) const REDIRECT: &str = "https://sekisho.example/connect/notes/callback";
pub(crate) const DOCUMENT: &str = "https://sekisho.example/connect/notes/client.json";
pub(crate) const RESOURCE: &str = "/.well-known/oauth-protected-resource";
pub(crate) const SERVER: &str = "/.well-known/oauth-authorization-server";
pub(crate) const OPENID: &str = "/.well-known/openid-configuration";

/// What one path answers.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: body.to_string() }
    }

    pub(crate) fn bare(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// One request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let pairs = url::form_urlencoded::parse(self.body.as_bytes());
        let mut found = pairs.filter(|(one, _)| one == name).map(|(_, value)| value.into_owned());
        let first = found.next();
        assert!(found.next().is_none(), "`{name}` came twice");
        first
    }
}

#[derive(Default)]
struct Held {
    replies: HashMap<String, Reply>,
    seen: Vec<Seen>,
}

pub(crate) struct Remote {
    pub(crate) origin: String,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) registrations: Arc<InMemory>,
    held: Arc<Mutex<Held>>,
    _tasks: JoinSet<()>,
}

impl Remote {
    /// A host that knows nothing.
    pub(crate) async fn bare() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let held = Arc::new(Mutex::new(Held::default()));
        let serving = Arc::clone(&held);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let held = Arc::clone(&serving);
                connections.spawn(async move {
                    let service = service_fn(move |request| serve(Arc::clone(&held), request));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let (clock, registrations) = (Arc::default(), Arc::default());
        Self { origin, clock, registrations, held, _tasks: tasks }
    }

    /// One that is as the specification wants it: challenge, both documents, and every way of becoming known.
    pub(crate) async fn honest() -> Self {
        let remote = Self::bare().await;
        let challenge = format!(
            r#"Bearer resource_metadata="{}", scope="read""#,
            remote.at("/.well-known/oauth-protected-resource/mcp")
        );
        remote.says("/mcp", Reply::bare(401).with("www-authenticate", &challenge));
        remote.says(&format!("{RESOURCE}/mcp"), Reply::json(200, &remote.resource()));
        remote.says(SERVER, Reply::json(200, &remote.metadata(&remote.origin)));
        let registered = json!({"client_id": "registered-1", "client_secret": "hush-1",
            "client_secret_expires_at": 0, "token_endpoint_auth_method": "client_secret_basic"});
        remote.says("/register", Reply::json(201, &registered));
        remote.says("/token", Reply::json(200, &tokens()));
        remote.says("/revoke", Reply::bare(200));
        remote
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    pub(crate) fn resource(&self) -> Value {
        json!({"resource": self.at("/mcp"), "authorization_servers": [self.origin],
            "scopes_supported": ["read", "write"]})
    }

    pub(crate) fn metadata(&self, issuer: &str) -> Value {
        json!({
            "issuer": issuer,
            "authorization_endpoint": self.at("/authorize?tenant=1"),
            "token_endpoint": self.at("/token"),
            "registration_endpoint": self.at("/register"),
            "revocation_endpoint": self.at("/revoke"),
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    /// What stands at a path from now on.
    pub(crate) fn says(&self, path: &str, reply: Reply) {
        self.held.lock().unwrap().replies.insert(path.to_owned(), reply);
    }

    /// What came to a path so far.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        self.held.lock().unwrap().seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// The paths that were asked for, in order.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.held.lock().unwrap().seen.iter().map(|seen| seen.path.clone()).collect()
    }

    pub(crate) fn settings(&self) -> OauthClientSettings {
        OauthClientSettings {
            server: "notes".to_owned(),
            url: self.at("/mcp"),
            resource: None,
            kind: Kind::Mcp,
            authorization_server: None,
            token_endpoint: None,
            revocation_endpoint: None,
            client: None,
            registration: Registration::Any,
            scope: Scope::default(),
            assume_pkce: false,
            redirect_uri: REDIRECT.to_owned(),
            document_url: DOCUMENT.to_owned(),
            other_document_urls: Vec::new(),
            client_name: "Sekisho".to_owned(),
            deadline: Duration::from_secs(10),
        }
    }

    pub(crate) fn client(&self) -> OauthClient {
        self.client_with(|_| {})
    }

    pub(crate) fn client_with(&self, change: impl FnOnce(&mut OauthClientSettings)) -> OauthClient {
        let mut settings = self.settings();
        change(&mut settings);
        let world = OauthWorld {
            clock: self.clock.clone(),
            registrations: self.registrations.clone(),
            ways: Ways { egress: fetcher(), guarded: None },
        };
        OauthClient::new(settings, world).unwrap()
    }
}

/// What an honest token endpoint answers.
pub(crate) fn tokens() -> Value {
    json!({"access_token": "access-1", "refresh_token": "refresh-1", "token_type": "bearer",
        "expires_in": 600, "scope": "read"})
}

async fn serve(
    held: Arc<Mutex<Held>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let seen = Seen {
        method: head.method,
        path: path.clone(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let reply = {
        let mut held = held.lock().unwrap();
        held.seen.push(seen);
        held.replies.get(&path).cloned()
    };
    let reply = reply.unwrap_or_else(|| Reply::bare(404));
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    Ok(response.body(Full::from(reply.body)).unwrap())
}

pub(crate) async fn begin(client: &OauthClient) -> Result<AuthorizationUrl, OauthClientError> {
    begin_for(client, None).await
}

pub(crate) async fn begin_for(
    client: &OauthClient,
    scope: Option<&Scope>,
) -> Result<AuthorizationUrl, OauthClientError> {
    let challenge = CodeVerifier::parse(VERIFIER).unwrap().challenge();
    client.begin(Attempt { state: "state-of-this-leg", challenge: &challenge, scope }).await
}

/// The whole flow, with this callback.
pub(crate) async fn connect(client: &OauthClient, callback: &str) -> Result<Tokens, OauthClientError> {
    let begun = begin(client).await?;
    let form = Form::parse(callback.as_bytes()).unwrap();
    client.redeem(&begun.leg, &form, &CodeVerifier::parse(VERIFIER).unwrap()).await
}

/// One parameter of a URL.
pub(crate) fn parameter(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).unwrap();
    let mut found = url.query_pairs().filter(|(one, _)| one == name).map(|(_, value)| value.into_owned());
    let first = found.next();
    assert!(found.next().is_none(), "`{name}` came twice");
    first
}
