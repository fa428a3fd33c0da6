//! A small house for the tests of this crate: a clock that is set by hand, counted chance, keys, a record in a
//! temporary folder, and an MCP server that remembers what it got.

mod mcp_server;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use policy::{Access, ServerRules};
use protocol::id::{Grant, Id, User};
use protocol::jose::SigningKey;
use protocol::jose::claims::AccessTokenClaims;
use protocol::keys::{KeyId, KeyRing, Keys, MacKey, SealingKey};
use protocol::oauth::{ClientId, DpopMode, ResourceUri, Scope};
use protocol::secret::Hash;
use protocol::world::{Clock, Entropy, Freshness, Timestamp};
use store::{
    AuditEvent, AuditFilter, AuditKind, AuditRow, BrowserSessionRecord, Engine, EngineConfig, NewIdentity,
    Outcome, Queries, Revocation, RevocationKind, Revocations, SignIn, SignInOutcome, Users,
};
use tokio_util::sync::CancellationToken;
use upstream::mcp_server::streamable_http::{McpServerClient, McpServerSettings};
use upstream::trust::Trust;

pub(crate) use mcp_server::{FakeBody, FakeMcpServer, Seen, answer, events, events_body, json};

use crate::audit::{Intents, Who};
use crate::body::Body;
use crate::caller::Caller;
use crate::definitions::{InputSchemas, ToolKeeper, ToolsMode};
use crate::error::CallError;
use crate::line::Turns;
use crate::mcp_server::McpServer;
use crate::people::Person;
use crate::server::ResourceServer;
use crate::settings::{Parts, ServerSettings, Settings};
use crate::tools::Catalogue;
use crate::vault::credential::Credential;
use crate::verdicts::{Access as Verified, Verdict};

pub(crate) const ISSUER: &str = "https://mcp.example.com";
pub(crate) const CLIENT: &str = "dcr_test";
pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
pub(crate) const SOMEBODY: Caller<'static> = Caller::at(ADDRESS);
/// Some moment in 2026, in the middle of a second.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_790_000_000_500_000);

#[derive(Debug)]
pub(crate) struct TestClock {
    wall: AtomicI64,
    monotonic: AtomicU64,
}

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { wall: AtomicI64::new(START.micros()), monotonic: AtomicU64::new(1_000_000) })
    }

    /// Time goes by.
    pub(crate) fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap();
        self.wall.fetch_add(i64::try_from(micros).unwrap(), Ordering::SeqCst);
        self.monotonic.fetch_add(micros, Ordering::SeqCst);
    }

    /// Somebody sets the time of day.
    pub(crate) fn set(&self, now: Timestamp) {
        self.wall.store(now.micros(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.monotonic.load(Ordering::SeqCst))
    }
}

#[derive(Debug, Default)]
pub(crate) struct TestEntropy(AtomicU64);

impl Entropy for TestEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let hash = Hash::of(&self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            chunk.copy_from_slice(&hash.as_bytes()[..chunk.len()]);
        }
    }
}

pub(crate) fn keys(entropy: &dyn Entropy) -> Keys {
    let mut material = [0; 32];
    entropy.fill(&mut material);
    let mac = || KeyRing::new(MacKey::new(KeyId::mint(entropy), &material), Vec::new());
    let signing =
        SigningKey::from_pkcs8(KeyId::mint(entropy), &SigningKey::generate_pkcs8().unwrap()).unwrap();
    Keys {
        signing_rs256: None,
        signing: KeyRing::new(signing, Vec::new()),
        sealing: KeyRing::new(SealingKey::new(KeyId::mint(entropy), &material), Vec::new()),
        client_ids: mac(),
        refresh_tokens: mac(),
        forms: mac(),
        audit: Some(KeyRing::new(
            SigningKey::from_pkcs8(KeyId::mint(entropy), &SigningKey::generate_pkcs8().unwrap()).unwrap(),
            Vec::new(),
        )),
        withdrawn: Vec::new(),
    }
}

/// By which an MCP server asks us.
pub(crate) fn secret_of(name: &str) -> String {
    format!("the secret by which {name} asks us about tokens")
}

pub(crate) fn server(name: &str) -> ServerSettings {
    ServerSettings {
        name: name.to_owned(),
        title: format!("The {name}"),
        resource: ResourceUri::parse(&format!("{ISSUER}/{name}/mcp")).unwrap(),
        rules: ServerRules::new(name, Access::Groups(vec!["staff".to_owned()])),
        challenge_scope: Scope::parse("read write").unwrap(),
        assertion: true,
        assertion_audience: format!("https://{name}.internal/mcp"),
        credential: Credential::None,
        dpop: DpopMode::Optional,
        tools: ToolsMode::Follow,
        input_schemas: InputSchemas::Ignore,
        introspection_secret: Some(Hash::of(secret_of(name).as_bytes())),
        message_signatures: protocol::message_signature::SignatureMode::Off,
        limits: Vec::new(),
        breaker: None,
        low_risk: false,
    }
}

/// The whole.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) entropy: Arc<TestEntropy>,
    pub(crate) keys: Arc<ArcSwap<Keys>>,
    pub(crate) store: Arc<Engine>,
    /// The MCP server `files`; `notes` is the same one under another name, and low-risk.
    pub(crate) upstream: FakeMcpServer,
    pub(crate) server: Arc<ResourceServer>,
    /// A member of `staff`.
    pub(crate) alice: Id<User>,
    pub(crate) grant: Id<Grant>,
    folder: tempfile::TempDir,
}

impl World {
    /// Ready: revocations are read.
    pub(crate) async fn new() -> Self {
        let world = Self::with(|_| {}).await;
        world.read().await;
        world
    }

    /// With other settings; nothing is read yet.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sekisho.db");
        let store =
            Arc::new(Engine::open(EngineConfig::Sqlite { path, synchronous_full: false }).await.unwrap());
        let (clock, entropy) = (TestClock::new(), Arc::new(TestEntropy::default()));
        let keys = Arc::new(ArcSwap::from_pointee(keys(&*entropy)));
        let upstream = FakeMcpServer::start().await;
        let notes = ServerSettings { low_risk: true, ..server("notes") };
        let mut settings = Settings::new(ISSUER.to_owned(), vec![server("files"), notes]);
        change(&mut settings);
        let parts = Parts {
            store: Arc::clone(&store) as _,
            keys: Arc::clone(&keys),
            keys_read: Arc::new(Freshness::for_ever()),
            mcp_servers: ways(&upstream.url()),
            clock: Arc::clone(&clock) as _,
            entropy: Arc::clone(&entropy) as _,
            timeline: store::Timeline::new(Arc::clone(&store) as _),
        };
        let server = Arc::new(ResourceServer::new(settings, parts).unwrap());
        let alice = sign_in(&store, "alice", &["staff"], &*entropy).await;
        let grant = Id::mint(START, &*entropy);
        Self { clock, entropy, keys, store, upstream, server, alice, grant, folder }
    }

    /// Reads what is to be read before anybody is served.
    pub(crate) async fn read(&self) {
        self.server.revocations().read().await.unwrap();
        self.server.tools().read().await.unwrap();
    }

    /// The file of the record.
    pub(crate) fn record(&self) -> std::path::PathBuf {
        self.folder.path().join("sekisho.db")
    }

    pub(crate) async fn person(&self, name: &str, groups: &[&str]) -> Id<User> {
        sign_in(&self.store, name, groups, &*self.entropy).await
    }

    /// The claims of a good token of Alice's for `files`.
    pub(crate) fn claims(&self) -> AccessTokenClaims {
        let now = self.clock.now().secs();
        AccessTokenClaims {
            iss: ISSUER.to_owned(),
            sub: self.alice.to_string(),
            aud: format!("{ISSUER}/files/mcp"),
            client_id: CLIENT.to_owned(),
            grant_id: self.grant.to_string(),
            scope: Some("read write".to_owned()),
            iat: now,
            exp: now + 600,
            jti: "jti".to_owned(),
            cnf: None,
            service_account: None,
            act: None,
        }
    }

    /// A token with these claims changed.
    pub(crate) fn token(&self, change: impl FnOnce(&mut AccessTokenClaims)) -> String {
        let mut claims = self.claims();
        change(&mut claims);
        self.keys.load().signing.active().sign("at+jwt", &claims).unwrap()
    }

    pub(crate) async fn call(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, CallError> {
        self.server.call("files", request, SOMEBODY).await
    }

    /// A call of Alice's that must be answered: the status and the whole body.
    pub(crate) async fn answered(&self, request: Request<Full<Bytes>>) -> (u16, String) {
        let response = self.call(request).await.unwrap();
        (response.status().as_u16(), text(response).await)
    }

    /// Stops things, as an administrator does.
    pub(crate) async fn stop(&self, kind: RevocationKind, id: &str) {
        let now = self.clock.now();
        let revocation = Revocation {
            kind,
            id: id.to_owned(),
            not_before: now,
            expires_at: now.plus(Duration::from_secs(3600)),
        };
        let event = AuditEvent::new(Id::mint(now, &*self.entropy), now, AuditKind::Stopped, Outcome::Ok);
        self.store.stop(revocation, event).await.unwrap();
    }

    /// Ends the audit and returns the events of calls, oldest first.
    pub(crate) async fn audited(&self) -> Vec<AuditRow> {
        let stopped = CancellationToken::new();
        stopped.cancel();
        self.server.write_audit(stopped).await;
        let mut rows = self.store.list_audit(AuditFilter::default(), None, 1000).await.unwrap();
        rows.retain(|row| row.kind.starts_with("call"));
        rows.reverse();
        rows
    }
}

pub(crate) fn ways(url: &str) -> HashMap<String, Arc<McpServerClient>> {
    let settings = McpServerSettings {
        url: url.to_owned(),
        connect_timeout: Duration::from_secs(5),
        first_byte_timeout: Duration::from_secs(30),
    };
    let client = Arc::new(McpServerClient::new(&settings, &Trust::new(&[]).unwrap()).unwrap());
    HashMap::from([("files".to_owned(), Arc::clone(&client)), ("notes".to_owned(), client)])
}

async fn sign_in(store: &Engine, name: &str, groups: &[&str], entropy: &dyn Entropy) -> Id<User> {
    let id = Id::mint(START, entropy);
    let mut cookie = [0; 32];
    entropy.fill(&mut cookie);
    let sign_in = SignIn {
        user: NewIdentity {
            id,
            connector: "test".to_owned(),
            subject: name.to_owned(),
            name: Some(name.to_owned()),
            email: Some(format!("{name}@example.com")),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        },
        session: BrowserSessionRecord {
            hash: Hash::from_bytes(cookie),
            user: id,
            created_at: START,
            authenticated_at: START,
            expires_at: START.plus(Duration::from_secs(3600)),
            upstream_session: None,
        },
        offline: None,
        authorization: None,
        audit: AuditEvent::new(Id::mint(START, entropy), START, AuditKind::SignIn, Outcome::Ok),
    };
    match store.sign_in(sign_in).await.unwrap() {
        SignInOutcome::SignedIn(user) => user.id,
        SignInOutcome::Disabled | SignInOutcome::LegGone => panic!("nobody is shut out here"),
    }
}

/// A POST with this token and message, as an older client without a session sends it.
pub(crate) fn post(token: &str, message: &str) -> Request<Full<Bytes>> {
    request(Method::POST, token, message)
}

pub(crate) fn request(method: Method, token: &str, message: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri("/files/mcp")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(Full::new(Bytes::copy_from_slice(message.as_bytes())))
        .unwrap()
}

/// A request of 2026-07-28 with all its headers.
pub(crate) fn modern(token: &str, method: &str, params: &str) -> Request<Full<Bytes>> {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let comma = if params.is_empty() { "" } else { "," };
    let message =
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{{{params}{comma}{meta}}}}}"#);
    let mut request = post(token, &message);
    let headers = request.headers_mut();
    headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    headers.insert("mcp-method", method.parse().unwrap());
    request
}

pub(crate) fn tools_call(name: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{{}}}}}}"#
    )
}

pub(crate) const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

pub(crate) async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Somebody, without a record: for what does not look anybody up.
pub(crate) fn who(clock: &Arc<TestClock>) -> Who {
    let entropy: Arc<dyn Entropy> = Arc::new(TestEntropy::default());
    let user = Id::mint(START, &*entropy);
    let access = Verified {
        actors: Vec::new(),
        user,
        client: ClientId::parse(CLIENT).unwrap(),
        grant: Id::mint(START, &*entropy),
        issuer: ISSUER.to_owned(),
        resource: format!("{ISSUER}/files/mcp"),
        scope: Scope::parse("read write").unwrap(),
        key: KeyId::from_bytes([7; 4]),
        bound_to: None,
        issued_at: Timestamp::from_secs(START.secs()),
        expires_at: Timestamp::from_secs(START.secs() + 600),
    };
    Who {
        server: mcp_server(clock, server("files")),
        verdict: Arc::new(Verdict::new(access, Arc::new(keys(&*entropy)), clock.now(), clock.monotonic())),
        person: Arc::new(Person::for_tests(user)),
        address: ADDRESS,
    }
}

/// A record in which there is nothing, and in which nothing is written.
fn empty_record() -> Engine {
    let open = || {
        let folder = tempfile::tempdir().unwrap();
        let config = EngineConfig::Sqlite { path: folder.path().join("empty.db"), synchronous_full: false };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Engine::connect(config)).unwrap()
    };
    std::thread::spawn(open).join().unwrap()
}

/// What writes intents, for tests that make none.
pub(crate) fn no_intents(clock: &Arc<TestClock>) -> Intents {
    Intents::new(Arc::new(empty_record()), Arc::clone(clock) as _, Arc::new(TestEntropy::default()))
}

pub(crate) fn low_risk_server(clock: &Arc<TestClock>) -> Arc<McpServer> {
    mcp_server(clock, ServerSettings { low_risk: true, ..server("notes") })
}

fn mcp_server(clock: &Arc<TestClock>, settings: ServerSettings) -> Arc<McpServer> {
    let client = ways("http://127.0.0.1:9/").remove("files").unwrap();
    let catalogue = Catalogue::new(Arc::clone(clock) as _, Arc::new(TestEntropy::default()));
    let entropy = Arc::new(TestEntropy::default());
    let keeper = ToolKeeper::new(Arc::new(empty_record()), Arc::clone(clock) as _, entropy);
    let tools = keeper.server(&settings.name);
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let way = (&clock, &Turns::nowhere());
    Arc::new(McpServer::new((ISSUER, &[]), settings, client, (catalogue, tools), way))
}
