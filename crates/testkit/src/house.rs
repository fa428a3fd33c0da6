//! The whole of Sekisho in one process, on a loopback port, with time that stands still, chance that counts, an
//! SQLite file in a temporary folder (or PostgreSQL), example people and a fake MCP server.
//!
//! What is shipped is what runs: the same rooms, the same doors, real sockets. Only the world is a test's.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use authorization_server::{AuthorizationServer, Lifetimes, PreRegisteredClient, ScopeEntry, ServerEntry};
use bytes::Bytes;
use http_body_util::Full;
use policy::{Access, ServerRules};
use protocol::keys::MasterKey;
use protocol::oauth::{ClientId, RedirectPolicy, ResourceUri, ScopeToken};
use protocol::world::{Clock, Entropy};
use resource_server::{ResourceServer, ServerSettings};
use store::{AuditFilter, AuditRow, Counts, Engine, EngineConfig, PendingCaps, Queries, Store};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upstream::connectors::Connector;
use upstream::connectors::development::{Development, DevelopmentSettings, Person};
use upstream::mcp_server::streamable_http::{McpServerClient, McpServerSettings};
use upstream::trust::Trust;
use web::{ConnectionLimits, Front, ListedServer, PublicUrl, Rates};

use crate::browser::Browser;
use crate::client::{LOOPBACK_REDIRECT, TestClient};
use crate::http::{Answer, Http, request};
use crate::mcp_server::FakeMcpServer;
use crate::world::{TestClock, TestEntropy};

const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// What a house is built from; the default is what most tests want.
#[derive(Clone, Debug)]
pub struct Plan {
    /// MCP servers: name, and who may use it.
    pub servers: Vec<(&'static str, Access)>,
    /// The MCP server of requests without `resource`.
    pub default_server: Option<&'static str>,
    /// Clients known beforehand: id, redirect URIs, secret.
    pub clients: Vec<(&'static str, Vec<String>, Option<&'static str>)>,
    /// How often an address may ask.
    pub rates: Rates,
    /// How many sign-ins may be pending.
    pub pending: PendingCaps,
    /// How long a repeated refresh gets the same successor.
    pub refresh_repeat: Duration,
    /// Further identity providers.
    pub connectors: Vec<Arc<dyn Connector>>,
    /// A PostgreSQL database instead of an SQLite file.
    pub postgres: Option<String>,
    /// The largest MCP message in bytes.
    pub message_bytes: usize,
    /// Networks of trusted proxies, in CIDR notation.
    pub trusted_proxies: Vec<&'static str>,
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// How long a stream may outlive its access token.
    pub stream_grace: Duration,
    /// The clock, if somebody outside the house goes by it too.
    pub clock: Arc<TestClock>,
    /// Houses of one luck make the same keys; another number is another house.
    pub luck: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            servers: vec![
                ("notes", Access::Everyone),
                ("ledger", Access::Groups(vec!["finance".to_owned()])),
            ],
            default_server: None,
            clients: vec![
                ("known-public", vec!["https://client.example/cb".to_owned()], None),
                ("known-native", vec!["http://127.0.0.1/callback".to_owned()], None),
                (
                    "known-confidential",
                    vec!["https://client.example/cb".to_owned()],
                    Some("secret-of-the-known-client"),
                ),
            ],
            rates: Rates::unlimited(),
            pending: PendingCaps { per_address: 10_000, total: 100_000 },
            refresh_repeat: Duration::from_secs(60),
            connectors: Vec::new(),
            postgres: None,
            message_bytes: 4 * 1024 * 1024,
            trusted_proxies: Vec::new(),
            lifetimes: Lifetimes::default(),
            stream_grace: Duration::from_secs(60 * 60),
            clock: Arc::default(),
            luck: 0,
        }
    }
}

/// What outlives a restart: the record, the port, the MCP server, the clock.
#[derive(Debug)]
struct Ground {
    folder: Arc<TempDir>,
    engine: EngineConfigOf,
    /// Where this node listens.
    port: u16,
    /// The port of the public URL, which is that of the first node.
    public_port: u16,
    mcp: Arc<FakeMcpServer>,
    clock: Arc<TestClock>,
    plan: Plan,
    starts: u64,
    secrets: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Debug)]
enum EngineConfigOf {
    Postgres(String),
    Sqlite(PathBuf),
}

impl EngineConfigOf {
    fn config(&self) -> EngineConfig {
        match self {
            Self::Postgres(url) => EngineConfig::Postgres {
                url: protocol::secret::Secret::new(url.clone()),
                pool_size: 8,
                ca: None,
            },
            Self::Sqlite(path) => EngineConfig::Sqlite { path: path.clone(), synchronous_full: false },
        }
    }
}

/// A running house.
#[derive(Debug)]
pub struct House {
    /// The issuer, which is the public URL.
    pub issuer: String,
    /// A client for requests.
    pub http: Http,
    /// The record.
    pub store: Arc<Engine>,
    /// The clock.
    pub clock: Arc<TestClock>,
    /// The MCP server behind.
    pub mcp: Arc<FakeMcpServer>,
    /// The resource server.
    pub resource_server: Arc<ResourceServer>,
    ground: Ground,
    stop: CancellationToken,
    close_audit: CancellationToken,
    doors: TaskTracker,
    tasks: TaskTracker,
}

/// What goes wrong in a test's set-up.
type Built<T> = Result<T, String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl House {
    /// The usual house.
    pub async fn new() -> Built<Self> {
        Self::with(Plan::default()).await
    }

    /// A house from a plan.
    pub async fn with(mut plan: Plan) -> Built<Self> {
        let folder = Arc::new(TempDir::new().map_err(text)?);
        let engine = match plan.postgres.take() {
            Some(url) => EngineConfigOf::Postgres(url),
            None => EngineConfigOf::Sqlite(folder.path().join("record.db")),
        };
        let mcp = Arc::new(FakeMcpServer::start().await.map_err(text)?);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(text)?;
        let port = listener.local_addr().map_err(text)?.port();
        let ground = Ground {
            folder,
            engine,
            port,
            public_port: port,
            mcp,
            clock: Arc::clone(&plan.clock),
            plan,
            starts: 0,
            secrets: Arc::default(),
        };
        Self::start(ground, listener).await
    }

    /// Another node over the same record and under the same public URL. It makes sense on PostgreSQL only.
    pub async fn second_node(&self) -> Built<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(text)?;
        let ground = Ground {
            folder: Arc::clone(&self.ground.folder),
            engine: self.ground.engine.clone(),
            port: listener.local_addr().map_err(text)?.port(),
            public_port: self.ground.public_port,
            mcp: Arc::clone(&self.ground.mcp),
            clock: Arc::clone(&self.ground.clock),
            plan: self.ground.plan.clone(),
            // Far from what the first node will ever count to, so that no two nodes have the same luck.
            starts: self.ground.starts + 1_000_000,
            secrets: Arc::clone(&self.ground.secrets),
        };
        Self::start(ground, listener).await
    }

    /// Stops, and starts again over the same record, as after a crash or an upgrade.
    pub async fn restart(self) -> Built<Self> {
        self.restart_with(|_| {}).await
    }

    /// The same with another configuration.
    pub async fn restart_with(self, change: impl FnOnce(&mut Plan)) -> Built<Self> {
        let mut ground = self.stop().await;
        change(&mut ground.plan);
        let listener = TcpListener::bind(("127.0.0.1", ground.port)).await.map_err(text)?;
        Self::start(ground, listener).await
    }

    /// Stops in order.
    async fn stop(self) -> Ground {
        self.stop.cancel();
        self.resource_server.end_streams();
        self.doors.close();
        self.doors.wait().await;
        self.close_audit.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.ground
    }

    /// Stops and looks around: no secret that a test told the house of may stand in the record in clear.
    pub async fn close(self) -> Built<()> {
        let ground = self.stop().await;
        let secrets = ground.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for entry in std::fs::read_dir(ground.folder.path()).map_err(text)? {
            let path = entry.map_err(text)?.path();
            let bytes = std::fs::read(&path).map_err(text)?;
            for secret in &secrets {
                if bytes.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                    return Err(format!("a secret stands in `{}` in clear", path.display()));
                }
            }
        }
        Ok(())
    }

    /// Tells the house of a secret, for [`House::close`].
    pub fn remember_secret(&self, secret: &str) {
        self.ground.secrets.lock().unwrap_or_else(PoisonError::into_inner).push(secret.to_owned());
    }

    async fn start(mut ground: Ground, listener: TcpListener) -> Built<Self> {
        ground.starts += 1;
        let engine = Arc::new(Engine::open(ground.engine.config()).await.map_err(text)?);
        let store: Arc<dyn Store> = Arc::clone(&engine) as Arc<dyn Store>;
        let clock: Arc<dyn Clock> = Arc::clone(&ground.clock) as Arc<dyn Clock>;
        let entropy: Arc<dyn Entropy> = Arc::new(TestEntropy::seeded(ground.plan.luck + ground.starts));
        let master = MasterKey::parse(MASTER_KEY).map_err(text)?;
        let keys = authorization_server::keys::load_or_create(
            store.as_ref(),
            &master,
            clock.as_ref(),
            entropy.as_ref(),
        );
        let keys = Arc::new(ArcSwap::from_pointee(keys.await.map_err(text)?));
        let issuer = format!("http://localhost:{}", ground.public_port);
        let parts = authorization_server::Parts {
            store: Arc::clone(&store),
            keys: Arc::clone(&keys),
            connectors: connectors(&ground.plan, &issuer)?,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
        };
        let authorization_server = AuthorizationServer::new(settings(&ground.plan, &issuer)?, parts);
        let parts = resource_server::Parts {
            store: Arc::clone(&store),
            keys,
            mcp_servers: ways(&ground)?,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
        };
        let resource_server = Arc::new(ResourceServer::new(guarded(&ground, &issuer)?, parts).map_err(text)?);
        resource_server.revocations().read().await.map_err(text)?;
        let parts = web::Parts {
            authorization_server: Arc::new(authorization_server),
            clock,
            entropy,
            resource_server: Arc::clone(&resource_server),
            store,
        };
        let front = Front::new(front(&ground.plan, &issuer)?, parts);
        let house = Self {
            issuer,
            http: if ground.port == ground.public_port { Http::default() } else { Http::via(ground.port) },
            store: engine,
            clock: Arc::clone(&ground.clock),
            mcp: Arc::clone(&ground.mcp),
            resource_server,
            ground,
            stop: CancellationToken::new(),
            close_audit: CancellationToken::new(),
            doors: TaskTracker::new(),
            tasks: TaskTracker::new(),
        };
        house.work(front, listener);
        Ok(house)
    }

    fn work(&self, front: Arc<Front>, listener: TcpListener) {
        let limits = ConnectionLimits { drain: Duration::from_millis(200), ..ConnectionLimits::default() };
        let doors = web::serve(vec![listener], front, limits, self.stop.clone());
        self.doors.spawn(async move {
            doors.await;
        });
        self.tasks.spawn(Arc::clone(self.resource_server.revocations()).run(self.stop.clone()));
        let (resource_server, close) = (Arc::clone(&self.resource_server), self.close_audit.clone());
        self.tasks.spawn(async move { resource_server.write_audit(close).await });
    }

    /// The resource identifier of an MCP server, which is its URL.
    pub fn resource(&self, server: &str) -> String {
        format!("{}/{server}/mcp", self.issuer)
    }

    /// Where the house listens: IP address and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ground.port)
    }

    /// What a request to the house names as `Host`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.ground.port)
    }

    /// A browser that nobody has used.
    pub fn browser(&self) -> Browser {
        Browser::new(self.http.another())
    }

    /// A client that registered itself and is called back on the loopback interface.
    pub async fn client(&self) -> Built<TestClient> {
        TestClient::register(&self.http, &self.issuer, LOOPBACK_REDIRECT).await
    }

    /// One of the clients of the plan.
    pub fn known_client(&self, client_id: &str) -> Built<TestClient> {
        let (id, uris, secret) = self
            .ground
            .plan
            .clients
            .iter()
            .find(|(id, ..)| *id == client_id)
            .ok_or("no such client in the plan")?;
        Ok(TestClient {
            http: self.http.clone(),
            issuer: self.issuer.clone(),
            client_id: (*id).to_owned(),
            secret: secret.map(str::to_owned),
            redirect_uri: uris.first().cloned().unwrap_or_default(),
        })
    }

    /// Moves the clock. Revocations are read again at once, as they would have been many times in between.
    pub async fn advance(&self, by: Duration) -> Built<()> {
        self.clock.advance(by);
        self.resource_server.revocations().read().await.map_err(text)
    }

    /// Sends one MCP message of revision 2026-07-28.
    pub async fn call(
        &self,
        server: &str,
        token: &str,
        method: &str,
        params: serde_json::Value,
    ) -> Built<Answer> {
        self.http.send(self.call_request(server, token, method, params)?).await
    }

    /// The same, not sent: for an answer that is read while it comes.
    pub fn call_request(
        &self,
        server: &str,
        token: &str,
        method: &str,
        params: serde_json::Value,
    ) -> Built<http::Request<Full<Bytes>>> {
        let mut params = params;
        params["_meta"] = serde_json::json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        let body = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
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
        request(http::Method::POST, &self.resource(server), &headers, body.to_string().into())
    }

    /// Calls the tool `echo`; what a working token is good for.
    pub async fn echo(&self, server: &str, token: &str) -> Built<Answer> {
        self.call(
            server,
            token,
            "tools/call",
            serde_json::json!({"name": "echo", "arguments": {"said": "hello"}}),
        )
        .await
    }

    /// Rows per table.
    pub async fn counts(&self) -> Built<Counts> {
        self.store.counts().await.map_err(text)
    }

    /// All audit events of one kind, newest first.
    pub async fn audit(&self, kind: store::AuditKind) -> Built<Vec<AuditRow>> {
        let filter = AuditFilter { kind: Some(kind), ..AuditFilter::default() };
        self.store.list_audit(filter, None, 10_000).await.map_err(text)
    }

    /// The folder of the record.
    pub fn folder(&self) -> &std::path::Path {
        self.ground.folder.path()
    }
}

fn people() -> Vec<Person> {
    let person = |login: &str, name: &str, groups: &[&str]| Person {
        login: login.to_owned(),
        name: name.to_owned(),
        email: Some(format!("{login}@example.com")),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
    };
    vec![
        person("alice", "Alice Tanaka", &["engineering"]),
        person("bob", "Bob Lindqvist", &["engineering"]),
        person("chika", "Chika Mori", &["finance"]),
        person("dario", "Dario Conti", &["engineering", "finance"]),
    ]
}

fn connectors(plan: &Plan, issuer: &str) -> Built<Vec<Arc<dyn Connector>>> {
    let development = DevelopmentSettings {
        id: "development".parse().map_err(text)?,
        title: "Example people".to_owned(),
        public_url: issuer.to_owned(),
        people: people(),
    };
    let mut connectors: Vec<Arc<dyn Connector>> = vec![Arc::new(Development::new(development))];
    connectors.extend(plan.connectors.iter().cloned());
    Ok(connectors)
}

fn settings(plan: &Plan, issuer: &str) -> Built<authorization_server::Settings> {
    let redirects =
        RedirectPolicy { private_schemes: vec!["cursor".to_owned(), "com.example.app".to_owned()] };
    let clients = plan.clients.iter().map(|(id, uris, secret)| {
        let secret = secret.map(|secret| protocol::secret::Secret::new(secret.to_owned()));
        let id = ClientId::parse(id).map_err(text)?;
        PreRegisteredClient::new(id, Some("Known client"), uris, secret, &redirects).map_err(text)
    });
    Ok(authorization_server::Settings {
        clients: clients.collect::<Built<_>>()?,
        default_server: plan.default_server.map(str::to_owned),
        issuer: issuer.to_owned(),
        lifetimes: plan.lifetimes,
        pending: plan.pending,
        redirects,
        servers: plan
            .servers
            .iter()
            .map(|(name, access)| entry(plan, issuer, name, access))
            .collect::<Built<_>>()?,
    })
}

fn resource(issuer: &str, name: &str) -> Built<ResourceUri> {
    ResourceUri::parse(&format!("{issuer}/{name}/mcp")).map_err(text)
}

fn token(text_of: &str) -> Built<ScopeToken> {
    ScopeToken::parse(text_of).map_err(text)
}

fn entry(plan: &Plan, issuer: &str, name: &str, access: &Access) -> Built<ServerEntry> {
    let scope =
        |name: &str| Ok::<_, String>(ScopeEntry { by_default: true, token: token(name)?, words: None });
    Ok(ServerEntry {
        name: name.to_owned(),
        refresh_repeat: plan.refresh_repeat,
        resource: resource(issuer, name)?,
        rules: ServerRules { name: name.to_owned(), access: access.clone() },
        scopes: vec![scope("read")?, scope("write")?],
        title: format!("The {name} server"),
    })
}

fn ways(ground: &Ground) -> Built<HashMap<String, Arc<McpServerClient>>> {
    let trust = Trust::new(&[]).map_err(text)?;
    let settings = McpServerSettings {
        url: ground.mcp.url.clone(),
        connect_timeout: Duration::from_secs(5),
        first_byte_timeout: Duration::from_secs(20),
    };
    let way = |(name, _): &(&'static str, Access)| {
        let client = McpServerClient::new(&settings, &trust).map_err(text)?;
        Ok(((*name).to_owned(), Arc::new(client)))
    };
    ground.plan.servers.iter().map(way).collect()
}

fn guarded(ground: &Ground, issuer: &str) -> Built<resource_server::Settings> {
    let server = |(name, access): &(&'static str, Access)| {
        Ok::<_, String>(ServerSettings {
            name: (*name).to_owned(),
            title: format!("The {name} server"),
            resource: resource(issuer, name)?,
            rules: ServerRules { name: (*name).to_owned(), access: access.clone() },
            challenge_scope: [token("read")?, token("write")?].into_iter().collect(),
            assertion_audience: ground.mcp.url.clone(),
            low_risk: false,
        })
    };
    let servers = ground.plan.servers.iter().map(server).collect::<Built<Vec<_>>>()?;
    let mut settings = resource_server::Settings::new(issuer.to_owned(), servers);
    settings.message_bytes = ground.plan.message_bytes;
    settings.stream_grace = ground.plan.stream_grace;
    Ok(settings)
}

fn front(plan: &Plan, issuer: &str) -> Built<web::Settings> {
    let public_url: PublicUrl = issuer.parse().map_err(text)?;
    let mut settings = web::Settings::new(public_url);
    settings.rates = plan.rates;
    settings.trusted_proxies =
        plan.trusted_proxies.iter().map(|network| network.parse().map_err(text)).collect::<Built<_>>()?;
    let listed = |(name, _): &(&'static str, Access)| ListedServer {
        name: (*name).to_owned(),
        title: format!("The {name} server"),
        url: format!("{issuer}/{name}/mcp"),
    };
    settings.servers = plan.servers.iter().map(listed).collect();
    Ok(settings)
}
