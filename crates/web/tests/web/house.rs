//! A small house for the doors: the real roles over a real record in a temporary folder, with a clock that stands
//! still and counted chance, so that whole answers can be compared.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use authorization_server::keys::{Keeper, KeeperParts, KeeperSettings};
use authorization_server::{
    AuthorizationServer, ConsentSettings, Lifetimes, Registrations, ScopeEntry, ServerEntry, Words,
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use policy::{Access, ServerRules};
use protocol::keys::{KeyRing, MasterKey};
use protocol::oauth::{RedirectPolicy, ResourceUri, ScopeToken};
use protocol::secret::{Hash, Secret};
use protocol::world::{Clock, Entropy, Freshness, Timestamp};
use resource_server::{Credential, Provider, ResourceServer, ServerSettings};
use store::{Engine, EngineConfig, PendingCaps, Store};
use upstream::client_metadata_document::MetadataDocuments;
use upstream::connectors::Connector;
use upstream::connectors::development::{Development, DevelopmentSettings, Person};
use upstream::egress::Fetcher;
use upstream::guarded::{GuardedFetcher, GuardedSettings, Nowhere};
use upstream::mcp_server::streamable_http::{McpServerClient, McpServerSettings};
use upstream::oauth_client::{
    InMemory, Kind, OauthClient, OauthClientSettings, OauthWorld, PreRegistered, Registration, Ways,
};
use upstream::trust::Trust;
use web::{Front, ListedServer, Parts, Rates, Settings};

pub(crate) const HTTPS: &str = "https://mcp.example.com";
pub(crate) const LOOPBACK: &str = "http://127.0.0.1:8080";
pub(crate) const PEER: &str = "192.0.2.7:40000";
const START: i64 = 1_800_000_000;

#[derive(Debug, Default)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn pass(&self, duration: Duration) {
        self.0.fetch_add(u64::try_from(duration.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(START).plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Each buffer is filled from the hash of a counter.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let hash = Hash::of(&self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes());
            chunk.copy_from_slice(&hash.as_bytes()[..chunk.len()]);
        }
    }
}

pub(crate) struct House {
    pub(crate) front: Arc<Front>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) store: Arc<dyn Store>,
    public_url: String,
    _folder: tempfile::TempDir,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The value of a hidden field of the page.
    pub(crate) fn field(&self, name: &str) -> String {
        let marker = format!("name=\"{name}\" value=\"");
        let after = self.body.split_once(&marker).unwrap_or_else(|| panic!("no `{name}` in {}", self.body)).1;
        after.split('"').next().unwrap().to_owned()
    }

    /// The cookies it sets, as a browser sends them.
    pub(crate) fn cookies(&self) -> Vec<String> {
        let values = self.headers.get_all(header::SET_COOKIE).iter();
        values.map(|value| value.to_str().unwrap().split(';').next().unwrap().to_owned()).collect()
    }

    /// Status, headers in order of name, and body.
    pub(crate) fn whole(&self) -> String {
        let mut lines: Vec<String> =
            self.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        format!("{}\n{}\n\n{}", self.status, lines.join("\n"), self.body)
    }
}

pub(crate) fn resource(public_url: &str) -> String {
    format!("{public_url}/notes/mcp")
}

fn scope(token: &str, words: Option<&str>) -> ScopeEntry {
    let words = Words { english: words.map(str::to_owned), japanese: None };
    ScopeEntry { by_default: true, token: ScopeToken::parse(token).unwrap(), words }
}

fn connectors(public_url: &str) -> Vec<Arc<dyn Connector>> {
    let person = |login: &str, name: &str| Person {
        login: login.to_owned(),
        name: name.to_owned(),
        email: Some(format!("{login}@example.com")),
        groups: Vec::new(),
    };
    vec![Arc::new(Development::new(DevelopmentSettings {
        id: "development".parse().unwrap(),
        title: "Example people".to_owned(),
        public_url: public_url.to_owned(),
        people: vec![person("alice", "Alice Tanaka"), person("bob", "Bob Suzuki")],
    }))]
}

fn rules() -> ServerRules {
    ServerRules::new("notes", Access::Everyone)
}

fn authorization_settings(public_url: &str, pages_url: &str) -> authorization_server::Settings {
    let server = ServerEntry {
        access_tokens: authorization_server::AccessTokenAlgorithm::Es256,
        device_flow: authorization_server::DeviceFlow::Known,
        outside_clients: authorization_server::Standing::Allow,
        dpop: protocol::oauth::DpopMode::Optional,
        name: "notes".to_owned(),
        refresh_repeat: Duration::from_secs(60),
        resource: ResourceUri::parse(&resource(public_url)).unwrap(),
        rules: rules(),
        scopes: vec![scope("read", None), scope("write", Some("write and delete your notes"))],
        title: "Notes".to_owned(),
    };
    authorization_server::Settings {
        client_policy: authorization_server::ClientPolicy::everybody(),
        registration: authorization_server::Registration::Open,
        consents: ConsentSettings::default(),
        clients: Vec::new(),
        default_server: None,
        dpop: protocol::oauth::DpopRules::default(),
        pushed: authorization_server::PushedRules::default(),
        introspection: false,
        documents: authorization_server::DocumentRules::default(),
        issuer: public_url.to_owned(),
        lifetimes: Lifetimes::default(),
        pages_url: pages_url.to_owned(),
        other_issuers: Vec::new(),
        pending: PendingCaps { per_address: 100, total: 1000 },
        redirects: RedirectPolicy::default(),
        servers: vec![server],
        home_domains: std::collections::BTreeMap::new(),
        service_accounts: Vec::new(),
        backchannel_logouts: Vec::new(),
        global_token_revocations: Vec::new(),
        security_event_transmitters: Vec::new(),
        trusted_issuers: Vec::new(),
        workload_issuers: Vec::new(),
    }
}

/// Nothing is fetched by these tests.
fn no_documents(clock: &Arc<dyn Clock>) -> Arc<MetadataDocuments> {
    let nobody = GuardedSettings {
        resolver: Arc::new(Nowhere),
        ..GuardedSettings::new(upstream::trust::Trust::nobody().unwrap())
    };
    let fetcher = GuardedFetcher::new(&nobody, Arc::clone(clock));
    Arc::new(MetadataDocuments::new(fetcher, Arc::clone(clock)))
}

fn listed(public_url: &str) -> ListedServer {
    ListedServer { name: "notes".to_owned(), title: "Notes".to_owned(), url: resource(public_url) }
}

/// People connect accounts of theirs at GitHub. To say where they are sent nobody has to be asked.
fn account(clock: &Arc<dyn Clock>, pages_url: &str) -> Credential {
    let client_secret = Some(Arc::new(Secret::new("of-the-app".to_owned())));
    let settings = OauthClientSettings {
        server: "notes".to_owned(),
        url: "http://127.0.0.1:9/mcp".to_owned(),
        resource: None,
        kind: Kind::Github,
        token_endpoint: None,
        revocation_endpoint: None,
        authorization_server: None,
        client: Some(PreRegistered { client_id: "app".to_owned(), client_secret, key: None, method: None }),
        registration: Registration::Any,
        scope: "read:user repo".parse().unwrap(),
        assume_pkce: false,
        redirect_uri: format!("{pages_url}/connect/notes/callback"),
        document_url: format!("{pages_url}/connect/notes/client"),
        other_document_urls: Vec::new(),
        client_name: "Sekisho".to_owned(),
        deadline: Duration::from_secs(1),
    };
    let world = OauthWorld {
        clock: Arc::clone(clock),
        registrations: Arc::new(InMemory::default()),
        ways: Ways { egress: Arc::new(Fetcher::new(&Trust::new(&[]).unwrap())), guarded: None },
    };
    Credential::Connection(Provider(Arc::new(OauthClient::new(settings, world).unwrap())))
}

fn resource_settings(public_url: &str, credential: Credential) -> resource_server::Settings {
    let server = ServerSettings {
        name: "notes".to_owned(),
        title: "Notes".to_owned(),
        resource: ResourceUri::parse(&resource(public_url)).unwrap(),
        rules: rules(),
        challenge_scope: "read write".parse().unwrap(),
        assertion: true,
        assertion_audience: "http://127.0.0.1:9/mcp".to_owned(),
        credential,
        dpop: protocol::oauth::DpopMode::Optional,
        tools: resource_server::definitions::ToolsMode::Follow,
        input_schemas: resource_server::definitions::InputSchemas::Ignore,
        introspection_secret: None,
        message_signatures: protocol::message_signature::SignatureMode::Off,
        limits: Vec::new(),
        breaker: None,
        low_risk: false,
    };
    resource_server::Settings::new(public_url.to_owned(), vec![server])
}

impl House {
    pub(crate) async fn new(public_url: &str) -> Self {
        Self::with(public_url, |settings| settings.rates = Rates::unlimited()).await
    }

    /// With a host of their own for people's pages.
    pub(crate) async fn with_pages(public_url: &str, pages_url: &str) -> Self {
        Self::build(
            (public_url, pages_url),
            |_| Credential::None,
            |settings| {
                settings.pages_url = Some(pages_url.parse().unwrap());
                settings.rates = Rates::unlimited();
            },
        )
        .await
    }

    pub(crate) async fn with(public_url: &str, change: impl FnOnce(&mut Settings)) -> Self {
        Self::build((public_url, public_url), |_| Credential::None, change).await
    }

    /// Where people connect accounts of their own.
    pub(crate) async fn connecting(public_url: &str) -> Self {
        let unlimited = |settings: &mut Settings| settings.rates = Rates::unlimited();
        Self::build((public_url, public_url), |clock| account(clock, public_url), unlimited).await
    }

    async fn build(
        (public_url, pages_url): (&str, &str),
        credential: impl FnOnce(&Arc<dyn Clock>) -> Credential,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = EngineConfig::Sqlite { path: folder.path().join("sekisho.db"), synchronous_full: false };
        let store: Arc<dyn Store> = Arc::new(Engine::open(config).await.unwrap());
        let clock = Arc::new(TestClock::default());
        let entropy: Arc<dyn Entropy> = Arc::new(Counting::default());
        let (master, _) = MasterKey::generate(entropy.as_ref());
        let world: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let keeper = KeeperParts {
            store: Arc::clone(&store),
            masters: Arc::new(KeyRing::new(master, Vec::new())),
            clock: Arc::clone(&world),
            entropy: Arc::clone(&entropy),
        };
        let keeper = Keeper::open(keeper, KeeperSettings::default()).await.unwrap();
        let (keys, keys_read) = (Arc::clone(keeper.keys()), Arc::new(Freshness::for_ever()));
        let timeline = store::Timeline::new(Arc::clone(&store));
        let authorization_server = AuthorizationServer::new(
            authorization_settings(public_url, pages_url),
            authorization_server::Parts {
                clock: Arc::clone(&world),
                connectors: connectors(pages_url),
                documents: no_documents(&world),
                entropy: Arc::clone(&entropy),
                keys: Arc::clone(&keys),
                keys_read: Arc::clone(&keys_read),
                proofs: Arc::default(),
                registrations: Registrations::new(store.clone(), world.clone(), entropy.clone()),
                store: Arc::clone(&store),
                timeline: Arc::clone(&timeline),
            },
        );
        let resource_server = ResourceServer::new(
            resource_settings(public_url, credential(&world)),
            resource_server::Parts {
                store: Arc::clone(&store),
                keys,
                keys_read,
                mcp_servers: HashMap::from([("notes".to_owned(), Arc::new(nowhere()))]),
                clock: Arc::clone(&world),
                entropy: Arc::clone(&entropy),
                timeline,
            },
        );
        let mut settings = Settings::new(public_url.parse().unwrap());
        settings.version = "0.0.0-test";
        settings.servers = vec![listed(public_url)];
        change(&mut settings);
        let parts = Parts {
            authorization_server: Arc::new(authorization_server),
            clock: world,
            entropy,
            resource_server: Arc::new(resource_server.unwrap()),
            store: Arc::clone(&store),
        };
        let (front, public_url) = (Front::new(settings, parts), public_url.to_owned());
        Self { front, clock, store, public_url, _folder: folder }
    }

    pub(crate) async fn ask(&self, request: http::request::Builder, body: &str) -> Answer {
        self.ask_from(PEER, request, body).await
    }

    pub(crate) async fn ask_from(&self, peer: &str, request: http::request::Builder, body: &str) -> Answer {
        let mut request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        if !request.headers().contains_key(header::HOST) && request.uri().authority().is_none() {
            let host = self.public_url.split("://").nth(1).unwrap();
            request.headers_mut().insert(header::HOST, host.parse().unwrap());
        }
        let peer: SocketAddr = peer.parse().unwrap();
        read(self.front.answer(peer, request).await).await
    }

    pub(crate) async fn get(&self, uri: &str, cookies: &[String]) -> Answer {
        self.ask(with_cookies(Request::get(uri), cookies), "").await
    }

    pub(crate) async fn post(&self, uri: &str, cookies: &[String], body: &str) -> Answer {
        let request = Request::post(uri).header("content-type", "application/x-www-form-urlencoded");
        self.ask(
            with_cookies(request, cookies).header("sec-fetch-site", "same-origin").header("origin", "null"),
            body,
        )
        .await
    }

    /// A public client with a redirect to this computer.
    pub(crate) async fn register(&self, redirect_uri: &str) -> String {
        let body = serde_json::json!({
            "client_name": "Claude Code",
            "redirect_uris": [redirect_uri],
            "token_endpoint_auth_method": "none",
        });
        let request = Request::post("/oauth/register").header("content-type", "application/json");
        let answer = self.ask(request, &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    /// The way from the authorization request to the consent page, and the cookies of the browser that went it.
    pub(crate) async fn sign_in(&self, authorize: &str) -> (Answer, Vec<String>) {
        let login = self.get(authorize, &[]).await;
        assert_eq!(login.status, StatusCode::OK, "{}", login.body);
        let mut cookies = login.cookies();
        let (authorization, csrf) = (login.field("authorization"), login.field("csrf"));
        let body = format!("authorization={authorization}&csrf={csrf}&connector=development");
        let leg = self.post("/login", &cookies, &body).await;
        assert_eq!(leg.status, StatusCode::SEE_OTHER, "{}", leg.body);
        cookies.extend(leg.cookies());
        let people = self.get(leg.header("location"), &cookies).await;
        let state = people.field("state");
        let back = self.post("/login/development", &cookies, &format!("state={state}&login=alice")).await;
        assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.body);
        let signed_in = self.get(back.header("location"), &cookies).await;
        assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "{}", signed_in.body);
        cookies.extend(signed_in.cookies());
        (self.get(signed_in.header("location"), &cookies).await, cookies)
    }
}

/// An MCP server that nobody answers for.
fn nowhere() -> McpServerClient {
    let settings = McpServerSettings {
        url: "http://127.0.0.1:9/mcp".to_owned(),
        connect_timeout: Duration::from_millis(100),
        first_byte_timeout: Duration::from_millis(100),
    };
    McpServerClient::new(&settings, &Trust::new(&[]).unwrap()).unwrap()
}

fn with_cookies(request: http::request::Builder, cookies: &[String]) -> http::request::Builder {
    if cookies.is_empty() { request } else { request.header(header::COOKIE, cookies.join("; ")) }
}

async fn read(response: Response<web::Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
}

/// A good authorization request.
pub(crate) fn authorize_url(public_url: &str, client_id: &str, redirect_uri: &str) -> String {
    let escape = |text: &str| text.replace(':', "%3A").replace('/', "%2F");
    format!(
        "/oauth/authorize?response_type=code&client_id={client_id}&redirect_uri={}&state=xyz&scope=read+write\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&resource={}",
        escape(redirect_uri),
        escape(&resource(public_url)),
    )
}
