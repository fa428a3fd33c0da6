//! Remote MCP servers with authorization servers of their own, from discovery to a tool's answer, by the client that the gateway
//! uses for it.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use protocol::oauth::form::Form;
use protocol::oauth::{CodeVerifier, Scope};
use protocol::secret::Secret;
use protocol::world::Clock;
use serde_json::json;
use testkit::client::Pkce;
use testkit::http::{Answer, Http};
use testkit::identity_providers::{self, AppConnection, Brand, IdentityProvider};
use testkit::mcp_server::FakeMcpServer;
use testkit::remote_server::{CLIENT_ID, Counts, Knows, RemoteServer, canary};
use testkit::world::TestClock;
use upstream::egress::Fetcher;
use upstream::identity_assertion::{ClientProof, Peer, Subject};
use upstream::oauth_client::{
    Attempt, InMemory, Kind, OauthClient, OauthClientError, OauthClientSettings, OauthWorld, Registration,
    Rejection, Revocated, Revoked, Tokens, Ways,
};
use upstream::trust::Trust;
use url::Url;

const REDIRECT: &str = "http://127.0.0.1:1/connect/notes/callback";

/// A server, and the client that the gateway has for it.
struct Scene {
    clock: Arc<TestClock>,
    client: OauthClient,
    documents: FakeMcpServer,
    http: Http,
    server: RemoteServer,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Scene {
    async fn new(knows: Knows) -> Result<Self, String> {
        let clock = Arc::new(TestClock::default());
        let server = RemoteServer::start(Arc::clone(&clock) as Arc<dyn Clock>, knows).await?;
        let documents = FakeMcpServer::start().await.map_err(text)?;
        let by_hand = matches!(knows, Knows::PreRegistered | Knows::IdJag);
        let settings = OauthClientSettings {
            server: "notes".to_owned(),
            url: server.url.clone(),
            resource: None,
            kind: Kind::Mcp,
            token_endpoint: None,
            revocation_endpoint: None,
            authorization_server: by_hand.then(|| server.issuer().to_owned()),
            client: by_hand.then(|| server.pre_registered()),
            registration: Registration::Any,
            scope: Scope::default(),
            assume_pkce: false,
            redirect_uri: REDIRECT.to_owned(),
            document_url: documents.url.clone(),
            other_document_urls: Vec::new(),
            client_name: "Sekisho".to_owned(),
            deadline: Duration::from_secs(10),
        };
        let egress = Arc::new(Fetcher::new(&Trust::new(&[]).map_err(text)?));
        let world = OauthWorld {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            registrations: Arc::new(InMemory::default()),
            ways: Ways { egress, guarded: None },
        };
        let client = OauthClient::new(settings, world).map_err(text)?;
        Ok(Self { clock, client, documents, http: Http::default(), server })
    }

    /// What the browser of whoever is signed in there brings back.
    async fn connect(&self) -> Result<Result<Tokens, OauthClientError>, String> {
        let verifier = CodeVerifier::parse(&"v".repeat(43)).map_err(text)?;
        let challenge = verifier.challenge();
        let attempt = Attempt { state: "s", challenge: &challenge, scope: None };
        let begun = self.client.begin(attempt).await.map_err(text)?;
        let document = self.client.client_metadata_document().to_string();
        let document = Response::builder().header("content-type", "application/json").body(document.into());
        self.documents.answer_next(document.map_err(text)?);
        let back = self.http.get(&begun.url, &[]).await?;
        let back =
            Url::parse(back.header("location")).map_err(|_| format!("{}: {}", back.status, begun.url))?;
        let form = Form::parse(back.query().unwrap_or_default().as_bytes()).map_err(text)?;
        Ok(self.client.redeem(&begun.leg, &form, &verifier).await)
    }

    async fn call(&self, token: &Secret, tool: &str) -> Result<Answer, String> {
        let bearer = token.expose(|token| format!("Bearer {token}"));
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": tool, "arguments": {"x": 1}}});
        self.http.post_json(&self.server.url, &[("authorization", &bearer)], &call).await
    }

    async fn refresh(&self, tokens: &Tokens, with: &Secret) -> Result<Tokens, OauthClientError> {
        self.client.refresh(with, &tokens.binding, &tokens.scope).await
    }
}

#[tokio::test]
async fn a_person_connects_to_a_server_of_every_kind_and_is_nobody_else_there() -> Result<(), String> {
    for (knows, registrations) in [(Knows::Documents, 0), (Knows::Dynamic, 1), (Knows::PreRegistered, 0)] {
        let scene = Scene::new(knows).await?;
        for person in ["ada", "grace"] {
            scene.server.sign_in(person);
            let tokens = scene.connect().await?.map_err(|error| format!("{knows:?}: {error}"))?;
            let answer = scene.call(&tokens.access_token, "echo").await?;
            assert!(answer.text().contains(&canary(person)), "{knows:?}: {}", answer.text());
        }
        let Counts { authorizations, codes, reuses, refused, .. } = scene.server.counts();
        assert_eq!((authorizations, codes, reuses, refused), (2, 2, 0, 0), "{knows:?}");
        assert_eq!(scene.server.counts().registrations, registrations, "{knows:?}: once for all people");
        assert_eq!(scene.server.counts().metadata, 2, "{knows:?}: looked for once");
    }
    Ok(())
}

/// CL-069.
#[tokio::test]
async fn refresh_tokens_turn_and_one_that_comes_twice_ends_everything() -> Result<(), String> {
    let scene = Scene::new(Knows::Dynamic).await?;
    let first = scene.connect().await?.map_err(text)?;
    scene.clock.advance(first.expires_in.ok_or("for ever")? + Duration::from_secs(1));
    assert_eq!(scene.call(&first.access_token, "echo").await?.status, 401);
    let old = first.refresh_token.as_ref().ok_or("no refresh token")?;
    let second = scene.refresh(&first, old).await.map_err(text)?;
    assert!(scene.call(&second.access_token, "echo").await?.text().contains(&canary("ada")));
    assert_eq!(scene.server.grants_of("ada"), 1);
    assert_eq!(scene.refresh(&first, old).await.err(), Some(Rejection::Grant.into()));
    let newer = second.refresh_token.as_ref().ok_or("no refresh token")?;
    let ended = scene.refresh(&second, newer).await.err();
    assert_eq!(ended, Some(Rejection::Grant.into()), "strict: the family is over");
    assert_eq!(scene.call(&second.access_token, "echo").await?.status, 401);
    assert_eq!((scene.server.counts().reuses, scene.server.grants_of("ada")), (1, 0));
    Ok(())
}

#[tokio::test]
async fn what_is_revoked_is_good_for_nothing_and_nobody_elses_is_touched() -> Result<(), String> {
    let scene = Scene::new(Knows::Documents).await?;
    let ada = scene.connect().await?.map_err(text)?;
    scene.server.sign_in("grace");
    let grace = scene.connect().await?.map_err(text)?;
    let refresh_token = ada.refresh_token.as_ref();
    let revoked = Revoked { access_token: &ada.access_token, refresh_token, binding: &ada.binding };
    assert_eq!(scene.client.revoke(revoked).await, Ok(Revocated::Done));
    assert_eq!(scene.call(&ada.access_token, "echo").await?.status, 401);
    assert_eq!(scene.call(&grace.access_token, "echo").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_server_that_lies_about_who_it_is_gets_no_code() -> Result<(), String> {
    let scene = Scene::new(Knows::PreRegistered).await?;
    for iss in ["", "https://evil.example"] {
        scene.server.change(|held| held.iss = Some(iss.to_owned()));
        assert!(scene.connect().await?.is_err(), "{iss}");
    }
    scene.server.change(|held| {
        held.iss = None;
        held.refusal = Some("access_denied");
    });
    assert_eq!(scene.connect().await?.err(), Some(Rejection::AccessDenied.into()));
    assert_eq!((scene.server.counts().codes, scene.server.counts().refused), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_grant_that_is_narrower_than_asked_is_taken_as_such() -> Result<(), String> {
    let scene = Scene::new(Knows::PreRegistered).await?;
    scene.server.change(|held| held.granted = Some("read".to_owned()));
    let tokens = scene.connect().await?.map_err(text)?;
    assert_eq!((tokens.scope.to_string().as_str(), tokens.binding.client_id.as_str()), ("read", CLIENT_ID));
    let answer = scene.call(&tokens.access_token, "write").await?;
    let challenge = upstream::oauth_client::Challenge::read(&answer.headers).ok_or("no challenge")?;
    assert!(answer.status == 403 && challenge.wants_scope());
    assert_eq!(challenge.scope.map(|scope| scope.to_string()).as_deref(), Some("write"));
    Ok(())
}

/// Enterprise-managed authorization, the other side: what the identity provider gave at a sign-in is all that is needed.
#[tokio::test]
async fn with_an_identity_assertion_no_browser_is_needed_at_all() -> Result<(), String> {
    let scene = Scene::new(Knows::IdJag).await?;
    let okta = IdentityProvider::start(Brand::Okta, &scene.clock).await?;
    let connection = AppConnection {
        audience: scene.server.issuer().to_owned(),
        client_id: CLIENT_ID.to_owned(),
        resources: vec![scene.server.url.clone()],
        scopes: vec!["read".to_owned(), "write".to_owned()],
    };
    okta.change(|held| held.connections = vec![connection]);
    let provider = Peer {
        client_id: identity_providers::CLIENT_ID.to_owned(),
        egress: Arc::new(Fetcher::new(&Trust::new(&[]).map_err(text)?)),
        issuer: okta.url.clone(),
        proof: ClientProof::Post(Secret::new(identity_providers::CLIENT_SECRET.to_owned())),
    };
    let assertions = scene.client.identity_assertions(provider).map_err(text)?;
    let person = Subject::IdToken(id_token(&okta, &scene.http).await?);
    let tokens = assertions.obtain(person, Scope::parse("read").ok().as_ref()).await.map_err(text)?;
    let answer = scene.call(&tokens.access_token, "echo").await?;
    assert!(answer.text().contains("canary-of-"), "{}", answer.text());
    assert_eq!(scene.call(&tokens.access_token, "write").await?.status, 403);
    let Counts { authorizations, exchanges, .. } = scene.server.counts();
    assert_eq!((authorizations, exchanges), (0, 1));
    let nobody = Subject::IdToken(Secret::new("a.b.c".to_owned()));
    let refused = assertions.obtain(nobody, None).await.err().ok_or("it was granted")?;
    assert_eq!(refused, Rejection::SignInNeeded.into());
    Ok(())
}

/// What a sign-in at the identity provider gives.
async fn id_token(okta: &IdentityProvider, http: &Http) -> Result<Secret, String> {
    let pkce = Pkce::new("a sign-in");
    let (client_id, redirect_uri) = (identity_providers::CLIENT_ID, "http://127.0.0.1/callback");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", redirect_uri),
            ("scope", "openid"),
            ("nonce", "n"),
            ("code_challenge", pkce.challenge.as_str()),
        ])
        .finish();
    let back = http.get(&format!("{}/oauth2/v1/authorize?{query}", okta.url), &[]).await?;
    let location = Url::parse(back.header("location")).map_err(text)?;
    let code = location.query_pairs().find(|(name, _)| name == "code").ok_or("no code")?.1.into_owned();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", redirect_uri),
        ("code_verifier", pkce.verifier.as_str()),
        ("client_id", client_id),
        ("client_secret", identity_providers::CLIENT_SECRET),
    ];
    let tokens = http.post_form(&format!("{}/oauth2/v1/token", okta.url), &[], &fields).await?;
    tokens.json()["id_token"]
        .as_str()
        .map(|token| Secret::new(token.to_owned()))
        .ok_or("no ID token".to_owned())
}
