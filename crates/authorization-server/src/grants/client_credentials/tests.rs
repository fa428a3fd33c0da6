//! Machines: each reason reached, and what a token of one is worth.

use policy::AdmittedAccount;
use protocol::oauth::{ClientId, DpopMode};
use protocol::secret::Secret;
use store::{Clients as _, Grants as _, Queries as _, Users as _};

use super::*;
use crate::test_house::*;

const ASK: (&str, &str) = ("grant_type", "client_credentials");

async fn ask(house: &House, client: (&str, &str), more: Pairs<'_>) -> Result<TokenResponse, TokenError> {
    let mut all = vec![ASK, ("client_id", client.0), ("client_secret", client.1)];
    all.extend_from_slice(more);
    house.token(&all).await
}

fn refusal(answer: Result<TokenResponse, TokenError>) -> ClientCredentialsRefusal {
    match answer {
        Err(TokenError::ClientCredentials(refusal)) => refusal,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a token was issued"),
    }
}

#[tokio::test]
async fn each_reason_is_reached_by_a_request() {
    let mut settings = settings();
    // Known as a machine, bound to nothing.
    let id = ClientId::parse("idle").unwrap();
    let secret = Secret::new("idle-secret".to_owned());
    settings.clients.push(crate::PreRegisteredClient::machine(id, None, Some(secret)).unwrap());
    let open = crate::PreRegisteredClient::machine(ClientId::parse("open").unwrap(), None, None).unwrap();
    settings.clients.push(open);
    settings.service_accounts[0].clients.push(ClientId::parse("open").unwrap());
    let house = House::with(settings).await;
    let mut reached = every_reason!(ClientCredentialsRefusal {
        Account,
        NoServiceAccount,
        ProofMissing,
        PublicClient,
        Target
    });
    let idle = ("idle", "idle-secret");
    for (client, more, name, code) in [
        (idle, [("resource", NOTES)].as_slice(), "NoServiceAccount", ErrorCode::UnauthorizedClient),
        (RUNNER, &[("resource", VAULT), ("scope", "write")], "Target", ErrorCode::InvalidScope),
        (RUNNER, &[("resource", NOTES), ("scope", "admin")], "Target", ErrorCode::InvalidScope),
        (RUNNER, &[("resource", "https://mcp.example.com/x/mcp")], "Target", ErrorCode::InvalidTarget),
        (OTHER_RUNNER, &[("resource", VAULT)], "Account", ErrorCode::InvalidTarget),
    ] {
        let refusal = refusal(ask(&house, client, more).await);
        assert_eq!((reached.reach(&refusal), refusal.code()), (name, code), "{more:?}");
    }
    let public = refusal(house.token(&[ASK, ("client_id", "open"), ("resource", NOTES)]).await);
    assert_eq!((reached.reach(&public), public.code()), ("PublicClient", ErrorCode::UnauthorizedClient));
    let mut strict = crate::test_house::settings();
    strict.servers[0].dpop = DpopMode::Required;
    let strict = House::with(strict).await;
    let unproven = refusal(ask(&strict, RUNNER, &[("resource", NOTES)]).await);
    assert_eq!((reached.reach(&unproven), unproven.code()), ("ProofMissing", ErrorCode::InvalidDpopProof));
    reached.all_but(&[]);
    // Whoever was refused and is known is told of in the audit.
    assert!(house.events(AuditKind::TokenRefused).await.len() >= 4);
}

#[tokio::test]
async fn a_target_is_one_resource_and_a_scope_within_what_may_be_had() {
    let mut reached = every_reason!(TargetRefusal {
        ResourceMissing,
        ResourceSeveral,
        ResourceUnknown,
        ScopeExceeds,
        ScopeMalformed,
        ScopeNone,
    });
    let mut settings = settings();
    settings.default_server = None;
    let both = [NOTES.to_owned(), VAULT.to_owned()];
    let one = &both[..1];
    assert_eq!(target::server(one, &settings).unwrap().name, "notes");
    assert_eq!(target::server(&[NOTES.to_owned(), NOTES.to_owned()], &settings).unwrap().name, "notes");
    for (resource, name) in [
        (&[][..], "ResourceMissing"),
        (&both[..], "ResourceSeveral"),
        (&["nonsense".to_owned()][..], "ResourceUnknown"),
    ] {
        assert_eq!(reached.reach(&target::server(resource, &settings).unwrap_err()), name);
    }
    let text = |text: &str| Scope::parse(text).unwrap();
    let (all, read) = (text("read write"), text("read"));
    for (asked, most, expected) in [
        (None, &all, Ok("read")),
        (Some("write"), &all, Ok("write")),
        (Some("openid write"), &all, Ok("write")),
        (Some("openid"), &all, Ok("read")),
        (Some("write"), &read, Err("ScopeExceeds")),
        (Some("read admin"), &all, Err("ScopeExceeds")),
        (Some("\""), &all, Err("ScopeMalformed")),
        (None, &text("write"), Err("ScopeNone")),
    ] {
        let found = target::scope(asked, most, &read);
        let found = found.map_err(|refusal| reached.reach(&refusal));
        assert_eq!(found, expected.map(text), "{asked:?}");
    }
    reached.all_but(&[]);
}

/// AS-042, AS-172: `sub` is the account's own id, and no client's.
#[tokio::test]
async fn a_machine_gets_a_token_of_its_own_and_no_refresh_token() {
    let house = House::new().await;
    let response = ask(&house, RUNNER, &[("resource", NOTES), ("scope", "read write")]).await.unwrap();
    assert!(response.refresh_token.is_none());
    assert_eq!(response.scope.to_string(), "read write");
    let claims = house.claims(&response.access_token.reveal());
    assert_eq!(claims.service_account.as_deref(), Some("ci"));
    assert_eq!((claims.client_id.as_str(), claims.aud.as_str()), (RUNNER.0, NOTES));
    let user = house.store.find_user(claims.sub.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((user.connector.as_str(), user.subject.as_str()), (store::SERVICE_ACCOUNT, "ci"));
    assert!(ClientId::parse(&claims.sub).is_ok_and(|id| id.as_str() != claims.client_id));
    // Another token stands on the same grant; one for another resource on another.
    let again = ask(&house, RUNNER, &[("resource", NOTES)]).await.unwrap();
    assert_eq!(again.scope.to_string(), "read");
    assert_eq!(house.claims(&again.access_token.reveal()).grant_id, claims.grant_id);
    let elsewhere = ask(&house, RUNNER, &[("resource", VAULT)]).await.unwrap();
    let elsewhere = house.claims(&elsewhere.access_token.reveal());
    assert_ne!(elsewhere.grant_id, claims.grant_id);
    assert_eq!((elsewhere.sub, elsewhere.scope.as_deref()), (claims.sub, Some("read")));
    let events = house.events(AuditKind::TokenIssued).await;
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event.user == Some(user.id) && event.grant.is_some()));
    assert_eq!(events[0].name.as_deref(), Some("Builds"));
}

#[tokio::test]
async fn a_machine_of_one_account_cannot_ask_as_another() {
    let house = House::new().await;
    let mine = ask(&house, RUNNER, &[]).await.unwrap();
    let theirs = ask(&house, OTHER_RUNNER, &[]).await.unwrap();
    let (mine, theirs) =
        (house.claims(&mine.access_token.reveal()), house.claims(&theirs.access_token.reveal()));
    assert_ne!(mine.sub, theirs.sub);
    // Nothing that the request says names an account.
    for more in [("client_id", OTHER_RUNNER.0), ("service_account", "nightly"), ("sub", &*theirs.sub)] {
        let all = [ASK, ("client_secret", RUNNER.1), ("client_id", RUNNER.0), more];
        match house.token(&all).await {
            Ok(response) => assert_eq!(house.claims(&response.access_token.reveal()).sub, mine.sub),
            Err(error) => assert_eq!(error.code(), ErrorCode::InvalidRequest, "{more:?}"),
        }
    }
    let wrong = ask(&house, (OTHER_RUNNER.0, RUNNER.1), &[]).await.unwrap_err();
    assert_eq!(wrong.code(), ErrorCode::InvalidClient);
}

#[tokio::test]
async fn a_stopped_machine_gets_nothing_until_it_is_let_in_again() {
    let house = House::new().await;
    let before = ask(&house, RUNNER, &[]).await.unwrap();
    let grant = house.claims(&before.access_token.reveal()).grant_id.parse().unwrap();
    let user = house.store.find_people("service-account:ci").await.unwrap().remove(0);
    let id = user.id;
    let stopping = crate::Stopping {
        clock: &*house.clock,
        entropy: &*house.entropy,
        issuer: ISSUER,
        store: &*house.store,
    };
    let target = crate::Target::User(Box::new(user.clone()));
    let ended = stopping.stop(&target, true, None).await.unwrap();
    assert_eq!(ended.grants, 1);
    assert!(house.store.find_grant(grant).await.unwrap().unwrap().revoked_at.is_some());
    let stopped = refusal(ask(&house, RUNNER, &[]).await);
    assert_eq!(stopped, ClientCredentialsRefusal::Account(PersonRefusal::Disabled));
    assert_eq!(stopped.code(), ErrorCode::UnauthorizedClient);
    stopping.allow_user(user, None).await.unwrap();
    let after = ask(&house, RUNNER, &[]).await.unwrap();
    let after = house.claims(&after.access_token.reveal());
    assert_eq!(after.sub, id.to_string());
    assert_ne!(after.grant_id, grant.to_string(), "what was ended stays ended");
    // A blocked client is nobody, whatever it acts as.
    let id = ClientId::parse(RUNNER.0).unwrap();
    stopping.stop(&crate::Target::Client(id.clone()), true, None).await.unwrap();
    assert!(house.store.find_client(&id).await.unwrap().unwrap().blocked_at.is_some());
    assert_eq!(ask(&house, RUNNER, &[]).await.unwrap_err().code(), ErrorCode::InvalidClient);
}

/// RFC 7591, section 5; AS-092: nobody registers for it, and no client is two kinds at once.
#[tokio::test]
async fn strangers_and_clients_of_people_cannot_use_it_and_machines_cannot_ask_people() {
    let house = House::new().await;
    let json = r#"{"redirect_uris": ["http://127.0.0.1/cb"], "grant_types": ["authorization_code", "client_credentials"]}"#;
    assert!(house.server.register(json.as_bytes(), None).await.is_err());
    let (client, secret) = house.register(
        r#"{"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "client_secret_post"}"#,
    );
    let secret = secret.unwrap();
    for (client, secret) in [(client.as_str(), secret.as_str()), PORTAL] {
        let all = [ASK, ("client_id", client), ("client_secret", secret)];
        let error = house.token(&all).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::UnauthorizedClient);
    }
    for changes in [[("redirect_uri", LOOPBACK)], [("redirect_uri", "")]] {
        let asked = house.authorize(&mut Cookies::default(), request(RUNNER.0, &changes)).await;
        assert!(asked.is_err());
    }
    let secret = ("client_secret", RUNNER.1);
    let refresh =
        [("grant_type", "refresh_token"), ("client_id", RUNNER.0), secret, ("refresh_token", "skr_x")];
    assert_eq!(house.token(&refresh).await.unwrap_err().code(), ErrorCode::UnauthorizedClient);
}

/// The entry of an account is narrowed: what it gets is narrower at once, and what it may ask for too.
#[tokio::test]
async fn what_may_be_had_is_what_the_configuration_says_now() {
    let mut settings = settings();
    let read = Some(Scope::parse("read").unwrap());
    settings.servers[0].rules.service_accounts = vec![AdmittedAccount { name: "ci".to_owned(), scope: read }];
    let house = House::with(settings).await;
    for (asked, refused) in [("write", TargetRefusal::ScopeNone), ("read admin", TargetRefusal::ScopeExceeds)]
    {
        let refusal = refusal(ask(&house, RUNNER, &[("scope", asked)]).await);
        assert_eq!(refusal, ClientCredentialsRefusal::Target(refused), "{asked}");
    }
    // What the challenge names is asked for by every client of an SDK: less of it is given, and said.
    for asked in [[].as_slice(), &[("scope", "read write")], &[("scope", "read")]] {
        let response = ask(&house, RUNNER, asked).await.unwrap();
        assert_eq!(response.scope.to_string(), "read");
        assert_eq!(house.claims(&response.access_token.reveal()).scope.as_deref(), Some("read"));
    }
}
