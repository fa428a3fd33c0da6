//! A small house for the tests of this role: a real record in a temporary folder, a clock that is set, chance that is
//! counted, and an identity provider that says what it is told to.

mod connector;
mod world;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use policy::{Access, AdmittedAccount, ServerRules};
use protocol::id::{Grant, Id};
use protocol::jose::claims::AccessTokenClaims;
use protocol::jose::{Algorithm, Expect};
use protocol::keys::{KeyRing, MasterKey};
use protocol::oauth::{
    AuthorizationRequest, AuthorizationResponse, ClientId, CodeVerifier, DpopMode, DpopRules, Form,
    RedirectPolicy, ResourceUri, ScopeToken, TokenResponse,
};
use protocol::secret::Secret;
use protocol::world::{Entropy, Freshness};
use store::{
    AuditFilter, AuditKind, AuditRow, Engine, EngineConfig, PendingCaps, Queries, Revocation, RevocationKind,
    Store,
};

pub(crate) use connector::Pretending;
pub(crate) use world::{Counting, Still};

use crate::*;

/// Our issuer.
pub(crate) const ISSUER: &str = "https://mcp.example.com";
/// A loopback redirect URI, as clients use them.
pub(crate) const LOOPBACK: &str = "http://127.0.0.1:51234/cb";
/// A remote redirect URI.
pub(crate) const REMOTE: &str = "https://client.example/cb";
/// The resource of the MCP server `notes`, which everybody may use.
pub(crate) const NOTES: &str = "https://mcp.example.com/notes/mcp";
/// The resource of the MCP server `vault`, which the group `ops` may use.
pub(crate) const VAULT: &str = "https://mcp.example.com/vault/mcp";
/// A pre-registered public client.
pub(crate) const CONSOLE: &str = "console";
/// A pre-registered confidential client and its secret.
pub(crate) const PORTAL: (&str, &str) = ("portal", "portal-secret-portal-secret-portal");

/// A pre-registered client with a key.
pub(crate) const KEYED: &str = "keyed";
/// A client that acts as the service account `ci`: everything at `notes`, `read` at `vault`.
pub(crate) const RUNNER: (&str, &str) = ("runner", "runner-secret-runner-secret-runner");
/// A client that acts as the service account `nightly`: everything at `notes`.
pub(crate) const OTHER_RUNNER: (&str, &str) = ("other-runner", "other-secret-other-secret-other-se");

/// Parameters.
pub(crate) type Pairs<'a> = &'a [(&'a str, &'a str)];
/// Parameters to set or, if empty, to take out.
pub(crate) type Changes<'a> = &'a [(&'static str, &'a str)];

/// The house.
pub(crate) struct House {
    pub(crate) clock: Arc<Still>,
    pub(crate) connector: Arc<Pretending>,
    pub(crate) entropy: Arc<Counting>,
    pub(crate) server: AuthorizationServer,
    pub(crate) store: Arc<Engine>,
    _folder: tempfile::TempDir,
}

/// Where requests come from.
pub(crate) const fn caller() -> Caller {
    Caller { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), told: None }
}

/// One browser, with its cookies.
#[derive(Clone, Default)]
pub(crate) struct Cookies {
    pub(crate) binding: Option<String>,
    pub(crate) leg: Option<String>,
    pub(crate) session: Option<String>,
}

impl Cookies {
    pub(crate) fn browser(&self) -> Browser {
        let secret = |text: &Option<String>| text.clone().map(Secret::new);
        Browser {
            bindings: secret(&self.binding).into_iter().collect(),
            from_outside: false,
            leg: secret(&self.leg),
            session: secret(&self.session),
        }
    }
}

/// A form of these parameters.
pub(crate) fn form(parameters: Pairs<'_>) -> Form {
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    Form::parse(pairs.join("&").as_bytes()).unwrap()
}

/// The verifier that all requests of [`parameters`] are answered by.
pub(crate) fn verifier() -> CodeVerifier {
    CodeVerifier::parse(&"v".repeat(43)).unwrap()
}

/// A good authorization request.
pub(crate) fn parameters(client_id: &str) -> Vec<(&'static str, String)> {
    let text = str::to_owned;
    vec![
        ("client_id", text(client_id)),
        ("redirect_uri", text(LOOPBACK)),
        ("response_type", text("code")),
        ("state", text("xyz")),
        ("scope", text("read write")),
        ("resource", text(NOTES)),
        ("code_challenge", verifier().challenge().as_str().to_owned()),
        ("code_challenge_method", text("S256")),
    ]
}

/// A good authorization request with some parameters set or, if empty, taken out.
pub(crate) fn request(client_id: &str, changes: Changes<'_>) -> AuthorizationRequest {
    let mut all = parameters(client_id);
    for (name, value) in changes {
        all.retain(|(kept, _)| kept != name);
        if !value.is_empty() {
            all.push((name, (*value).to_owned()));
        }
    }
    let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
    AuthorizationRequest::parse(&form(&all))
}

fn entry(name: &str, resource: &str, access: Access, accounts: Vec<AdmittedAccount>) -> ServerEntry {
    let scope = |token: &str, by_default| ScopeEntry {
        by_default,
        token: ScopeToken::parse(token).unwrap(),
        words: Words { english: Some(format!("{token} things")), japanese: None },
    };
    ServerEntry {
        access_tokens: crate::AccessTokenAlgorithm::Es256,
        device_flow: DeviceFlow::Known,
        dpop: DpopMode::Optional,
        name: name.to_owned(),
        outside_clients: Standing::Allow,
        refresh_repeat: Duration::from_secs(60),
        resource: ResourceUri::parse(resource).unwrap(),
        rules: ServerRules { service_accounts: accounts, ..ServerRules::new(name, access) },
        scopes: vec![scope("read", true), scope("write", false)],
        title: name.to_uppercase(),
    }
}

/// One more MCP server, which everybody may use.
pub(crate) fn server_for_all(name: &str) -> ServerEntry {
    entry(name, &format!("{ISSUER}/{name}/mcp"), Access::Everyone, Vec::new())
}

/// The settings of the house.
pub(crate) fn settings() -> Settings {
    let redirects =
        RedirectPolicy { private_schemes: vec!["cursor".to_owned()], ..RedirectPolicy::default() };
    let known = |id: &str, secret: Option<&str>| {
        let uris = [LOOPBACK.to_owned(), REMOTE.to_owned()];
        let secret = secret.map(|text| Secret::new(text.to_owned()));
        PreRegisteredClient::new(ClientId::parse(id).unwrap(), Some("Known"), &uris, secret, &redirects)
            .unwrap()
    };
    let machine = |(id, secret): (&str, &str)| {
        let secret = Secret::new(secret.to_owned());
        PreRegisteredClient::machine(ClientId::parse(id).unwrap(), None, Some(secret)).unwrap()
    };
    let account = |name: &str, title: &str, client: &str| ServiceAccount {
        clients: vec![ClientId::parse(client).unwrap()],
        may_act: Vec::new(),
        name: name.to_owned(),
        title: title.to_owned(),
        workloads: Vec::new(),
    };
    let admitted = |name: &str, scope: Option<&str>| AdmittedAccount {
        name: name.to_owned(),
        scope: scope.map(|text| protocol::oauth::Scope::parse(text).unwrap()),
    };
    let (ci, nightly) = (account("ci", "Builds", RUNNER.0), account("nightly", "Nightly", OTHER_RUNNER.0));
    let keyed = known(KEYED, None).with_keys(ClientKeys::Held(Arc::default()), false).unwrap();
    let [console, portal] =
        [(CONSOLE, None), (PORTAL.0, Some(PORTAL.1))].map(|(id, secret)| known(id, secret));
    let clients = vec![console, portal, keyed, machine(RUNNER), machine(OTHER_RUNNER)];
    Settings {
        client_policy: ClientPolicy::everybody(),
        consents: ConsentSettings::default(),
        clients,
        default_server: Some("notes".to_owned()),
        dpop: DpopRules::default(),
        pushed: crate::PushedRules::default(),
        introspection: false,
        documents: DocumentRules::default(),
        issuer: ISSUER.to_owned(),
        lifetimes: Lifetimes::default(),
        pages_url: ISSUER.to_owned(),
        other_issuers: Vec::new(),
        pending: PendingCaps { per_address: 50, total: 1000 },
        redirects,
        registration: Registration::Open,
        servers: vec![
            entry("notes", NOTES, Access::Everyone, vec![admitted("ci", None), admitted("nightly", None)]),
            entry("vault", VAULT, Access::Groups(vec!["ops".to_owned()]), vec![admitted("ci", Some("read"))]),
        ],
        home_domains: std::collections::BTreeMap::new(),
        service_accounts: vec![ci, nightly],
        backchannel_logouts: Vec::new(),
        global_token_revocations: Vec::new(),
        security_event_transmitters: Vec::new(),
        trusted_issuers: Vec::new(),
        workload_issuers: Vec::new(),
    }
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(settings()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = EngineConfig::Sqlite { path: folder.path().join("record.db"), synchronous_full: false };
        let store = Arc::new(Engine::open(config).await.unwrap());
        let (clock, entropy) = (Arc::new(Still::new()), Arc::new(Counting::new()));
        let (master, _) = MasterKey::generate(&*entropy);
        let masters = Arc::new(KeyRing::new(master, Vec::new()));
        let keeper = keys::KeeperParts {
            store: store.clone(),
            masters,
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        let keeper = keys::Keeper::open(keeper, keys::KeeperSettings::default()).await.unwrap();
        let connector = Arc::new(Pretending::new());
        let parts = Parts {
            clock: clock.clone(),
            connectors: vec![connector.clone(), Arc::new(Pretending::named("other"))],
            documents: {
                let nobody = upstream::guarded::GuardedSettings {
                    resolver: Arc::new(upstream::guarded::Nowhere),
                    ..upstream::guarded::GuardedSettings::new(upstream::trust::Trust::nobody().unwrap())
                };
                let fetcher = upstream::guarded::GuardedFetcher::new(&nobody, clock.clone());
                Arc::new(upstream::client_metadata_document::MetadataDocuments::new(fetcher, clock.clone()))
            },
            entropy: entropy.clone(),
            keys: Arc::clone(keeper.keys()),
            // Time stands still here, or moves by days.
            keys_read: Arc::new(Freshness::for_ever()),
            proofs: Arc::default(),
            registrations: Registrations::new(store.clone(), clock.clone(), entropy.clone()),
            store: store.clone() as Arc<dyn Store>,
            timeline: store::Timeline::new(store.clone()),
        };
        Self {
            clock,
            connector,
            entropy,
            server: AuthorizationServer::new(settings, parts),
            store,
            _folder: folder,
        }
    }

    /// Registers a client with this JSON and returns its id and secret.
    pub(crate) fn register(&self, json: &str) -> (String, Option<String>) {
        let registered = self.server.register(json.as_bytes(), None).now_or_never().unwrap().unwrap();
        (registered.client_id.as_str().to_owned(), registered.client_secret.map(Secret::reveal))
    }

    /// A public client on this machine that may refresh: what most MCP clients are.
    pub(crate) fn public_client(&self) -> String {
        let json = r#"{"redirect_uris": ["http://127.0.0.1/cb", "https://client.example/cb"], "client_name": "Tool",
            "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"]}"#;
        self.register(json).0
    }

    pub(crate) async fn authorize(
        &self,
        cookies: &mut Cookies,
        request: AuthorizationRequest,
    ) -> Result<Next, AuthorizeError> {
        let authorized = self.server.authorize(request, cookies.browser(), &caller()).await?;
        if let Some(binding) = authorized.set_binding {
            cookies.binding = Some(binding.reveal());
        }
        Ok(authorized.next)
    }

    /// Presses the button of a login page; returns the `state` sent to the identity provider.
    pub(crate) async fn press_login(
        &self,
        cookies: &mut Cookies,
        page: &LoginPage,
    ) -> Result<String, LoginError> {
        let form = LoginForm {
            address: String::new(),
            authorization: page.authorization.to_string(),
            connector: "fake".to_owned(),
            csrf: page.csrf.to_string(),
        };
        let started = self.server.start_login(form, cookies.browser()).await?;
        if let Some(leg) = started.set_leg {
            cookies.leg = Some(leg.reveal());
        }
        Ok(started.location.rsplit_once("state=").unwrap().1.to_owned())
    }

    pub(crate) async fn call_back(&self, cookies: &mut Cookies, state: &str) -> Result<SignedIn, LoginError> {
        let query = form(&[("state", state), ("code", "upstream-code")]);
        match self.server.complete_login("fake", query, cookies.browser(), &caller()).await? {
            Completed::Returned(returned) => Err(returned.error),
            Completed::SignedIn(signed_in) => Ok(signed_in),
        }
    }

    /// Goes from a request to the consent page, signing in if that is asked.
    pub(crate) async fn to_consent(
        &self,
        cookies: &mut Cookies,
        request: AuthorizationRequest,
    ) -> ConsentPage {
        let page = match self.authorize(cookies, request).await.unwrap() {
            Next::Answer(_) => panic!("no page was shown"),
            Next::Consent(page) => return *page,
            Next::Login(page) => page,
            Next::Approval(id) => panic!("waits for an administrator: {id}"),
        };
        let state = self.press_login(cookies, &page).await.unwrap();
        let signed_in = self.call_back(cookies, &state).await.unwrap();
        cookies.session = Some(signed_in.set_session.reveal());
        self.consent_page(cookies, &signed_in.resume.to_string()).await.unwrap()
    }

    /// The consent page of a sign-in, which is not answered without one.
    pub(crate) async fn consent_page(
        &self,
        cookies: &Cookies,
        id: &str,
    ) -> Result<ConsentPage, ConsentError> {
        match self.server.consent_page(id, &cookies.browser()).await? {
            ConsentStep::Answer(_) => panic!("no page was shown"),
            ConsentStep::Page(page) => Ok(*page),
        }
    }

    /// The form of a consent page with everything ticked.
    pub(crate) fn consent_form(page: &ConsentPage, decision: Verdict) -> ConsentForm {
        ConsentForm {
            authorization: page.authorization.to_string(),
            csrf: page.csrf.to_string(),
            decision,
            scope: page.scopes.iter().map(|scope| scope.token.as_str().to_owned()).collect(),
            further: Vec::new(),
            life: None,
        }
    }

    /// The whole way to a code.
    pub(crate) async fn code(&self, request: AuthorizationRequest) -> String {
        let mut cookies = Cookies::default();
        let page = self.to_consent(&mut cookies, request).await;
        let form = Self::consent_form(&page, Verdict::Allow);
        match self.server.decide_consent(form, cookies.browser()).await.unwrap().response {
            AuthorizationResponse::Code { code, .. } => code.reveal(),
            AuthorizationResponse::Error { code, .. } => panic!("{code}"),
        }
    }

    pub(crate) async fn token(&self, parameters: Pairs<'_>) -> Result<TokenResponse, TokenError> {
        self.server.token(&TokenHeaders::default(), &form(parameters), &caller()).await
    }

    /// Redeems a code of a public client.
    pub(crate) async fn redeem(&self, client: &str, code: &str) -> Result<TokenResponse, TokenError> {
        let verifier = "v".repeat(43);
        let parameters = [
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("code", code),
            ("code_verifier", &verifier),
            ("redirect_uri", LOOPBACK),
        ];
        self.token(&parameters).await
    }

    pub(crate) async fn refresh(&self, client: &str, token: &str) -> Result<TokenResponse, TokenError> {
        self.token(&[("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)]).await
    }

    /// A client, and the tokens of a person who consented to everything.
    pub(crate) async fn tokens(&self) -> (String, Tokens) {
        let client = self.public_client();
        let code = self.code(request(&client, &[])).await;
        let response = self.redeem(&client, &code).await.unwrap();
        (client, Tokens::of(response))
    }

    pub(crate) fn claims(&self, access_token: &str) -> AccessTokenClaims {
        let expect = Expect { typ: Some(&["at+jwt"]), algorithms: &[Algorithm::Es256] };
        self.server.parts.keys.load().verifying().verify(access_token, &expect).unwrap()
    }

    pub(crate) fn grant_of(&self, tokens: &Tokens) -> Id<Grant> {
        self.claims(&tokens.access_token).grant_id.parse().unwrap()
    }

    /// Events of one kind, newest first.
    pub(crate) async fn events(&self, kind: AuditKind) -> Vec<AuditRow> {
        let filter = AuditFilter { kind: Some(kind), ..AuditFilter::default() };
        self.store.list_audit(filter, None, 1000).await.unwrap()
    }

    /// Stops a client, as an administrator would.
    pub(crate) async fn block(&self, client: &str) {
        use store::Clients as _;
        let (id, now) = (ClientId::parse(client).unwrap(), protocol::world::Clock::now(&*self.clock));
        let mut record = self.server.resolve(&id).await.unwrap().record(now);
        record.blocked_at = Some(now);
        let revocation = Revocation {
            kind: RevocationKind::Client,
            id: client.to_owned(),
            not_before: now,
            expires_at: now.plus(Duration::from_secs(3600)),
        };
        let audit = self.server.event(AuditKind::ClientBlocked, store::Outcome::Ok, now);
        self.store.block_client(record, revocation, audit).await.unwrap();
    }
}

/// The tokens of a response as text, so that they can be used twice.
#[derive(Clone)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) refresh_token: Option<String>,
    pub(crate) scope: String,
}

impl Tokens {
    pub(crate) fn of(response: TokenResponse) -> Self {
        Self {
            access_token: response.access_token.reveal(),
            refresh_token: response.refresh_token.map(Secret::reveal),
            scope: response.scope.to_string(),
        }
    }

    pub(crate) fn refresh(&self) -> &str {
        self.refresh_token.as_deref().unwrap()
    }
}

/// A secret that was never given out.
pub(crate) fn invented(prefix: &str, entropy: &dyn Entropy) -> String {
    Secret::random(prefix, entropy).reveal()
}

/// Which reasons of an error enum a table has reached. Made by [`every_reason!`], which does not compile when a variant
/// is not listed, and fails when one that is listed was not reached.
pub(crate) struct Reached<R> {
    pub(crate) all: &'static [&'static str],
    pub(crate) name: fn(&R) -> &'static str,
    pub(crate) reached: BTreeSet<&'static str>,
}

impl<R> Reached<R> {
    pub(crate) fn reach(&mut self, reason: &R) -> &'static str {
        let name = (self.name)(reason);
        self.reached.insert(name);
        name
    }

    /// The reasons that no row can reach by itself, because the record itself must fail.
    pub(crate) fn all_but(&self, unreached: &[&'static str]) {
        let expected: BTreeSet<_> =
            self.all.iter().copied().filter(|name| !unreached.contains(name)).collect();
        assert_eq!(self.reached, expected);
    }
}

macro_rules! every_reason {
    ($type:ident { $($variant:ident),+ $(,)? }) => {{
        fn name(reason: &$type) -> &'static str {
            match reason { $($type::$variant { .. } => stringify!($variant),)+ }
        }
        $crate::test_house::Reached {
            all: &[$(stringify!($variant)),+],
            name,
            reached: std::collections::BTreeSet::new(),
        }
    }};
}
pub(crate) use every_reason;
