//! The whole of Sekisho in one process, on a loopback port, with time that stands still, chance that counts, an
//! SQLite file in a temporary folder (or PostgreSQL), example people and a fake MCP server.
//!
//! What is shipped is what runs: the same rooms, the same doors, real sockets. Only the world is a test's.

mod connected;
mod known;
mod people;
mod plan;
mod scopes;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use authorization_server::keys::{Change, Keeper, KeeperParts};
use authorization_server::{AuthorizationServer, Registrations};
use bytes::Bytes;
use http_body_util::Full;
use protocol::keys::{KeyRing, MasterKey};
use protocol::secret::Secret;
use protocol::world::{Clock, Entropy, Steady};
use resource_server::{KeptArguments, ResourceServer, Sealer, TraceSettings, client_key};
use store::{AuditFilter, AuditRow, Counts, Engine, EngineConfig, Queries, Store, Timeline};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upstream::collector::Collector;
use upstream::egress::Fetcher;
use upstream::trust::Trust;
use web::{Front, Fronts};

use crate::browser::Browser;
use crate::client::{LOOPBACK_REDIRECT, TestClient, mcp_request};
use crate::http::{Answer, Http};
use crate::mcp_server::FakeMcpServer;
use crate::world::{TestClock, TestEntropy};

pub use connected::Connected;
pub use plan::{MASTER_KEY, Plan, PlannedAccount, introspection_secret, masters};
pub use scopes::OwnScope;

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
    /// What the house makes of it.
    pub time: Arc<Steady<Arc<TestClock>>>,
    /// The MCP server behind.
    pub mcp: Arc<FakeMcpServer>,
    /// What is registered, for the audit; it is told when a test says so.
    pub registrations: Arc<Registrations>,
    /// What is seen of sign-ins; it is told when a test says so.
    pub timeline: Arc<Timeline>,
    /// The resource server.
    pub resource_server: Arc<ResourceServer>,
    /// The keys in memory.
    pub keeper: Arc<Keeper>,
    ground: Ground,
    stop: CancellationToken,
    close_audit: CancellationToken,
    doors: TaskTracker,
    tasks: TaskTracker,
}

async fn keeper(
    plan: &Plan,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Built<Arc<Keeper>> {
    let parts = KeeperParts {
        store: Arc::clone(store),
        masters: Arc::new(plan::masters(plan)?),
        clock: Arc::clone(clock),
        entropy: Arc::clone(entropy),
    };
    Keeper::open(parts, plan.keys).await.map(Arc::new).map_err(text)
}

/// What all roles share.
struct World {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    timeline: Arc<Timeline>,
}

async fn resource_server(
    ground: &Ground,
    issuer: &str,
    keeper: &Arc<Keeper>,
    world: World,
) -> Built<Arc<ResourceServer>> {
    let mcp_url = ground.plan.mcp_url.clone().unwrap_or_else(|| ground.mcp.url.clone());
    let mut ways = plan::ways(&ground.plan, &mcp_url)?;
    let mut settings = plan::guarded(&ground.plan, &mcp_url, issuer)?;
    if let Some(connected) = &ground.plan.connected {
        if !connected.beside {
            ways.insert(connected.server.to_owned(), connected.way()?);
        }
        for server in settings.servers.iter_mut().filter(|server| server.name == connected.server) {
            server.assertion = false;
            server.assertion_audience.clone_from(&connected.url);
            let key = client_key(keeper.keys(), &world.clock, &world.entropy);
            server.credential = connected.credential(issuer, &world.clock, key)?;
        }
    }
    let parts = resource_server::Parts {
        store: world.store,
        keys: Arc::clone(keeper.keys()),
        keys_read: Arc::clone(keeper.freshness()),
        mcp_servers: ways,
        clock: world.clock,
        entropy: world.entropy,
        timeline: world.timeline,
    };
    let kept = ground.plan.kept_arguments.iter().map(|(server, tool, names)| KeptArguments {
        server: (*server).to_owned(),
        tool: (*tool).to_owned(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
    });
    settings.kept_arguments = kept.collect();
    settings.traces = ground.plan.collector.as_ref().map(|(_, one_in)| TraceSettings { one_in: *one_in });
    let server = Arc::new(ResourceServer::new(settings, parts).map_err(text)?);
    server.revocations().read().await.map_err(text)?;
    server.tools().read().await.map_err(text)?;
    Ok(server)
}

/// What goes wrong in a test's set-up.
pub type Built<T> = Result<T, String>;

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
        self.second_node_with(|_| {}).await
    }

    /// The same, but it has another way to the record (`postgres`), another clock, other settings.
    pub async fn second_node_with(&self, change: impl FnOnce(&mut Plan)) -> Built<Self> {
        let mut plan = self.ground.plan.clone();
        change(&mut plan);
        let engine =
            plan.postgres.take().map_or_else(|| self.ground.engine.clone(), EngineConfigOf::Postgres);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(text)?;
        let ground = Ground {
            folder: Arc::clone(&self.ground.folder),
            engine,
            port: listener.local_addr().map_err(text)?.port(),
            public_port: self.ground.public_port,
            mcp: Arc::clone(&self.ground.mcp),
            clock: Arc::clone(&plan.clock),
            plan,
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
        let time = Arc::new(Steady::new(Arc::clone(&ground.clock)));
        let clock: Arc<dyn Clock> = Arc::clone(&time) as Arc<dyn Clock>;
        let entropy: Arc<dyn Entropy> = Arc::new(TestEntropy::seeded(ground.plan.luck + ground.starts));
        let keeper = keeper(&ground.plan, &store, &clock, &entropy).await?;
        let issuer = format!("http://localhost:{}", ground.public_port);
        let registrations = Registrations::new(Arc::clone(&store), Arc::clone(&clock), Arc::clone(&entropy));
        let timeline = Timeline::new(Arc::clone(&store));
        let parts = authorization_server::Parts {
            store: Arc::clone(&store),
            keys: Arc::clone(keeper.keys()),
            keys_read: Arc::clone(keeper.freshness()),
            proofs: Arc::default(),
            registrations: Arc::clone(&registrations),
            connectors: plan::connectors(&ground.plan, &issuer)?,
            clock: Arc::clone(&clock),
            documents: plan::documents(&ground.plan, &clock)?,
            entropy: Arc::clone(&entropy),
            timeline: Arc::clone(&timeline),
        };
        let authorization_server = AuthorizationServer::new(plan::settings(&ground.plan, &issuer)?, parts);
        let world = World {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            timeline: Arc::clone(&timeline),
        };
        let resource_server = resource_server(&ground, &issuer, &keeper, world).await?;
        let parts = web::Parts {
            authorization_server: Arc::new(authorization_server),
            clock,
            entropy,
            resource_server: Arc::clone(&resource_server),
            store,
        };
        let front = Front::new(plan::front(&ground.plan, &issuer)?, parts);
        let house = Self {
            issuer,
            http: if ground.port == ground.public_port { Http::default() } else { Http::via(ground.port) },
            store: engine,
            clock: Arc::clone(&ground.clock),
            time,
            mcp: Arc::clone(&ground.mcp),
            registrations,
            timeline,
            resource_server,
            keeper,
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
        let limits = self.ground.plan.connections.clone();
        let doors = web::serve(vec![listener.into()], Fronts::new(front), limits, self.stop.clone());
        self.doors.spawn(async move {
            doors.await;
        });
        self.tasks.spawn(Arc::clone(self.resource_server.revocations()).run(self.close_audit.clone()));
        self.tasks.spawn(Arc::clone(self.resource_server.held_keys()).run(self.close_audit.clone()));
        self.tasks.spawn(Arc::clone(self.resource_server.tools()).run(self.close_audit.clone()));
        if !self.ground.plan.stale_keys {
            self.tasks.spawn(Arc::clone(&self.keeper).run(self.close_audit.clone()));
        }
        let (resource_server, close) = (Arc::clone(&self.resource_server), self.close_audit.clone());
        self.tasks.spawn(async move { resource_server.write_audit(close).await });
        let (resource_server, close) = (Arc::clone(&self.resource_server), self.close_audit.clone());
        self.tasks.spawn(async move { resource_server.tend_connections(close).await });
        self.tell();
    }

    /// Seals the audit and tells the collector of the plan, if there is one.
    fn tell(&self) {
        let Some((url, _)) = &self.ground.plan.collector else { return };
        let Ok(trust) = Trust::nobody() else { return };
        let token = Some(Secret::new("Bearer of-the-collector".to_owned()));
        let collector = Arc::new(Collector::new(url, token, Arc::new(Fetcher::new(&trust)), Vec::new()));
        let entropy = Arc::new(TestEntropy::seeded(self.ground.plan.luck + self.ground.starts + 7_000));
        let (store, clock) = (Arc::clone(&self.store) as _, Arc::clone(&self.time) as _);
        let sealer = Sealer::new(store, Arc::clone(self.keeper.keys()), clock, entropy);
        self.tasks.spawn(sealer.run(self.close_audit.clone()));
        let (server, stop) = (Arc::clone(&self.resource_server), self.close_audit.clone());
        let told = Arc::clone(&collector);
        self.tasks.spawn(async move { server.send_audit(told, stop).await });
        let (server, stop) = (Arc::clone(&self.resource_server), self.close_audit.clone());
        self.tasks.spawn(async move { server.send_spans(&collector, &stop).await });
    }

    /// The resource identifier of an MCP server, which is its URL.
    pub fn resource(&self, server: &str) -> String {
        format!("{}/{server}/mcp", self.issuer)
    }

    /// Where the house listens: IP address and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ground.port)
    }

    /// The port of it.
    pub const fn port(&self) -> u16 {
        self.ground.port
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

    /// Moves the clock. Revocations and keys are read again at once, as they would have been many times in between.
    pub async fn advance(&self, by: Duration) -> Built<()> {
        self.clock.advance(by);
        self.read().await
    }

    /// Reads revocations and keys.
    pub async fn read(&self) -> Built<()> {
        self.resource_server.revocations().read().await.map_err(text)?;
        if self.ground.plan.stale_keys {
            return Ok(());
        }
        self.keeper.read().await.map_err(text)
    }

    /// Changes keys as a command beside the house would.
    pub fn change_keys<'a>(
        &'a self,
        masters: &'a KeyRing<MasterKey>,
        entropy: &'a dyn Entropy,
    ) -> Change<'a> {
        Change { store: self.store.as_ref(), masters, clock: self.clock.as_ref(), entropy }
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
        mcp_request(&self.resource(server), token, method, params)
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
