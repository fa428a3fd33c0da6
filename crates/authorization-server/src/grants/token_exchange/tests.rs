//! Exchange: each reason reached, and that nothing is ever widened.

use proptest::prelude::*;
use protocol::oauth::ClientId;
use protocol::world::Clock as _;
use store::{Grants as _, Queries as _};

use super::*;
use crate::test_house::*;
use crate::{Stopping, Target};

const GRANT: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
const TYPE: (&str, &str) = ("subject_token_type", ACCESS_TOKEN);

fn rule(from: &str, to: &[&str]) -> MayAct {
    MayAct {
        from: from.to_owned(),
        groups: None,
        scope: None,
        to: to.iter().map(|&name| name.to_owned()).collect(),
    }
}

/// A house in which `ci` may act for people at `notes`, and `nightly` for people of `ops` at `vault`, to read.
fn with_agents() -> Settings {
    let mut settings = settings();
    settings.service_accounts[0].may_act = vec![rule("notes", &["notes"])];
    let narrow = MayAct {
        groups: Some(vec!["ops".to_owned()]),
        scope: Scope::parse("read").ok(),
        ..rule("notes", &["notes", "vault"])
    };
    settings.service_accounts[1].may_act = vec![narrow];
    settings
}

async fn exchange(
    house: &House,
    client: (&str, &str),
    token: &str,
    more: Pairs<'_>,
) -> Result<TokenResponse, TokenError> {
    let mut all =
        vec![GRANT, TYPE, ("client_id", client.0), ("client_secret", client.1), ("subject_token", token)];
    for (name, value) in more {
        all.retain(|(known, _)| known != name || *name == "resource");
        all.push((*name, *value));
    }
    house.token(&all).await
}

fn refusal(answer: Result<TokenResponse, TokenError>) -> ExchangeRefusal {
    match answer {
        Err(TokenError::Exchange(refusal)) => refusal,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a token was issued"),
    }
}

/// AS-206, AS-209, AS-211.
#[tokio::test]
async fn an_agent_gets_a_narrower_token_that_names_both() {
    let house = House::with(with_agents()).await;
    let (client, tokens) = house.tokens().await;
    let person = house.claims(&tokens.access_token);
    house.clock.advance(std::time::Duration::from_secs(60));
    let response = exchange(&house, RUNNER, &tokens.access_token, &[("scope", "read")]).await.unwrap();
    assert_eq!(response.issued_token_type, Some(ACCESS_TOKEN));
    assert!(response.refresh_token.is_none());
    assert_eq!((response.scope.to_string(), response.expires_in), ("read".to_owned(), 540));
    let claims = house.claims(&response.access_token.reveal());
    assert_eq!((&claims.sub, &claims.grant_id, claims.exp), (&person.sub, &person.grant_id, person.exp));
    assert_eq!((claims.client_id.as_str(), claims.aud.as_str()), (RUNNER.0, NOTES));
    assert!(claims.service_account.is_none());
    let act = claims.act.unwrap();
    assert_eq!((act.name.as_str(), act.client_id.as_str()), ("ci", RUNNER.0));
    assert!(act.sub != claims.sub && act.act.is_none());
    let own = house.store.find_grant(act.grant_id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((own.user.to_string(), own.client_id.as_str()), (act.sub, RUNNER.0));
    let events = house.events(AuditKind::TokenIssued).await;
    let event = &events[0];
    assert_eq!(event.user.unwrap().to_string(), claims.sub);
    assert_eq!((event.detail["actor"].as_str(), event.detail["of_client"].as_str()), ("ci", client.as_str()));
}

/// AS-208.
#[tokio::test]
async fn each_reason_is_reached_by_a_request() {
    let house = House::with(with_agents()).await;
    let mut reached = every_reason!(ExchangeRefusal {
        AccountStopped,
        Client,
        ClientStanding,
        Depth,
        Person,
        ProofMissing,
        RuleMissing,
        SubjectToken,
        Target,
        TokenType,
    });
    let (_, tokens) = house.tokens().await;
    let token = tokens.access_token.as_str();
    let once = exchange(&house, RUNNER, token, &[]).await.unwrap().access_token.reveal();
    let machine =
        [("grant_type", "client_credentials"), ("client_id", RUNNER.0), ("client_secret", RUNNER.1)];
    let machine = house.token(&machine).await.unwrap().access_token.reveal();
    let forged = format!("{}x", &token[..token.len() - 1]);
    let refresh = tokens.refresh().to_owned();
    let id_token = ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token");
    let actor_type = ("actor_token_type", ACCESS_TOKEN);
    for (client, token, more, name, code) in [
        (RUNNER, &*forged, &[][..], "SubjectToken", ErrorCode::InvalidRequest),
        (RUNNER, &*refresh, &[], "SubjectToken", ErrorCode::InvalidRequest),
        (RUNNER, &*machine, &[], "SubjectToken", ErrorCode::InvalidRequest),
        (RUNNER, &*once, &[], "Depth", ErrorCode::InvalidRequest),
        (RUNNER, token, &[("resource", VAULT)], "RuleMissing", ErrorCode::InvalidTarget),
        (RUNNER, token, &[("audience", VAULT)], "RuleMissing", ErrorCode::InvalidTarget),
        (RUNNER, token, &[("resource", "https://other.example/mcp")], "Target", ErrorCode::InvalidTarget),
        (RUNNER, token, &[("resource", NOTES), ("resource", VAULT)], "Target", ErrorCode::InvalidTarget),
        (RUNNER, token, &[("scope", "read admin")], "Target", ErrorCode::InvalidScope),
        (OTHER_RUNNER, token, &[], "RuleMissing", ErrorCode::InvalidTarget),
        (RUNNER, token, &[id_token], "TokenType", ErrorCode::InvalidRequest),
        (RUNNER, token, &[("requested_token_type", id_token.1)], "TokenType", ErrorCode::InvalidRequest),
        (
            RUNNER,
            token,
            &[("actor_token", machine.as_str()), actor_type],
            "TokenType",
            ErrorCode::InvalidRequest,
        ),
    ] {
        let refusal = refusal(exchange(&house, client, token, more).await);
        assert_eq!((reached.reach(&refusal), refusal.code()), (name, code), "{more:?}");
    }
    let [person, client, bare] = refused_elsewhere(&house, token).await;
    let unapproved = refused_unapproved(&house, token).await;
    let standing = (reached.reach(&unapproved), unapproved.code());
    assert_eq!(standing, ("ClientStanding", ErrorCode::UnauthorizedClient));
    assert_eq!((reached.reach(&person), person.code()), ("Person", ErrorCode::InvalidTarget));
    assert_eq!((reached.reach(&client), client.code()), ("Client", ErrorCode::UnauthorizedClient));
    assert_eq!((reached.reach(&bare), bare.code()), ("ProofMissing", ErrorCode::InvalidDpopProof));
    stop(&house, "service-account:ci", true).await;
    let stopped = refusal(exchange(&house, RUNNER, token, &[]).await);
    assert_eq!((reached.reach(&stopped), stopped.code()), ("AccountStopped", ErrorCode::UnauthorizedClient));
    reached.all_but(&[]);
}

/// Of a machine that an administrator has to approve (product.md, P-7).
async fn refused_unapproved(house: &House, token: &str) -> ExchangeRefusal {
    let mut strict = with_agents();
    let runner = crate::Named::Client(ClientId::parse(RUNNER.0).unwrap());
    strict.client_policy.named = vec![(runner, crate::Standing::Ask)];
    let strict = AuthorizationServer::new(strict, house.server.parts.clone());
    let subject = ("subject_token", token);
    let all = [GRANT, TYPE, ("client_id", RUNNER.0), ("client_secret", RUNNER.1), subject];
    refusal(strict.token(&crate::TokenHeaders::default(), &form(&all), &caller()).await)
}

/// The MCP servers, demanding tokens that are bound to keys.
fn demanding() -> Vec<ServerEntry> {
    let servers = settings().servers.into_iter();
    servers.map(|server| ServerEntry { dpop: protocol::oauth::DpopMode::Required, ..server }).collect()
}

/// By a rule that leads where the person is not admitted, for a machine that proves nothing, and where keys are demanded.
async fn refused_elsewhere(house: &House, token: &str) -> [ExchangeRefusal; 3] {
    let mut loose = with_agents();
    loose.service_accounts[0].may_act = vec![rule("notes", &["vault"])];
    let open = crate::PreRegisteredClient::machine(ClientId::parse("open").unwrap(), None, None).unwrap();
    loose.clients.push(open);
    let elsewhere = AuthorizationServer::new(loose, house.server.parts.clone());
    let subject = ("subject_token", token);
    let vault = ("resource", VAULT);
    let all = [GRANT, TYPE, ("client_id", RUNNER.0), ("client_secret", RUNNER.1), subject, vault];
    let person = refusal(elsewhere.token(&crate::TokenHeaders::default(), &form(&all), &caller()).await);
    let open = [GRANT, TYPE, ("client_id", "open"), subject];
    let client = refusal(elsewhere.token(&crate::TokenHeaders::default(), &form(&open), &caller()).await);
    let demanding = Settings { servers: demanding(), ..with_agents() };
    let demanding = AuthorizationServer::new(demanding, house.server.parts.clone());
    let bare = [GRANT, TYPE, ("client_id", RUNNER.0), ("client_secret", RUNNER.1), subject];
    let bare = refusal(demanding.token(&crate::TokenHeaders::default(), &form(&bare), &caller()).await);
    [person, client, bare]
}

async fn stop(house: &House, who: &str, block: bool) {
    let user = house.store.find_people(who).await.unwrap().remove(0);
    let stopping =
        Stopping { clock: &*house.clock, entropy: &*house.entropy, issuer: ISSUER, store: &*house.store };
    stopping.stop(&Target::User(Box::new(user)), block, None).await.unwrap();
}

/// AS-210: neither people's clients, nor strangers, nor machines that may not, get anything for a token that they hold.
#[tokio::test]
async fn a_stolen_token_is_worth_nothing_to_who_may_not_act() {
    let house = House::with(with_agents()).await;
    let (client, tokens) = house.tokens().await;
    let token = tokens.access_token.as_str();
    let public = [GRANT, TYPE, ("client_id", client.as_str()), ("subject_token", token)];
    assert_eq!(house.token(&public).await.unwrap_err().code(), ErrorCode::UnauthorizedClient);
    assert!(matches!(exchange(&house, PORTAL, token, &[]).await, Err(TokenError::GrantTypeNotRegistered)));
    let wrong = exchange(&house, (RUNNER.0, OTHER_RUNNER.1), token, &[]).await.unwrap_err();
    assert_eq!(wrong.code(), ErrorCode::InvalidClient);
}

#[tokio::test]
async fn what_ended_is_not_exchanged() {
    let house = House::with(with_agents()).await;
    let (client, tokens) = house.tokens().await;
    let token = tokens.access_token.clone();
    let exchanged = exchange(&house, RUNNER, &token, &[]).await.unwrap().access_token.reveal();
    // Ending the agent's own grant, by its own word, leaves the person's alone.
    let own = [("client_id", RUNNER.0), ("client_secret", RUNNER.1), ("token", &exchanged)];
    house.server.revoke(&[], &form(&own), &caller()).await.unwrap();
    let claims = house.claims(&exchanged);
    let own = house.store.find_grant(claims.act.unwrap().grant_id.parse().unwrap()).await.unwrap().unwrap();
    assert!(own.revoked_at.is_some());
    assert!(house.store.find_grant(house.grant_of(&tokens)).await.unwrap().unwrap().revoked_at.is_none());
    assert!(exchange(&house, RUNNER, &token, &[]).await.is_ok());
    // The person's client ends the person's grant.
    let theirs = [("client_id", client.as_str()), ("token", token.as_str())];
    house.server.revoke(&[], &form(&theirs), &caller()).await.unwrap();
    assert_eq!(refusal(exchange(&house, RUNNER, &token, &[]).await), ExchangeRefusal::SubjectToken);

    let (_, tokens) = house.tokens().await;
    stop(&house, "alice@example.com", true).await;
    assert_eq!(
        refusal(exchange(&house, RUNNER, &tokens.access_token, &[]).await),
        ExchangeRefusal::SubjectToken
    );
}

/// A chain of exchanges is short, ends with the first token, and names everybody.
#[tokio::test]
async fn exchanges_do_not_refresh_a_life() {
    let mut settings = with_agents();
    settings.service_accounts[1].may_act = vec![rule("notes", &["notes"])];
    let house = House::with(settings).await;
    let (_, tokens) = house.tokens().await;
    let first = house.claims(&tokens.access_token);
    house.clock.advance(std::time::Duration::from_secs(300));
    let once = exchange(&house, RUNNER, &tokens.access_token, &[]).await.unwrap().access_token.reveal();
    house.clock.advance(std::time::Duration::from_secs(200));
    let twice = exchange(&house, OTHER_RUNNER, &once, &[]).await.unwrap().access_token.reveal();
    let claims = house.claims(&twice);
    assert_eq!((claims.exp, &claims.sub), (first.exp, &first.sub));
    let names: Vec<String> =
        claims.act.iter().flat_map(ActorClaims::chain).map(|act| act.name.clone()).collect();
    assert_eq!(names, ["nightly", "ci"]);
    for client in [RUNNER, OTHER_RUNNER] {
        assert_eq!(refusal(exchange(&house, client, &twice, &[]).await), ExchangeRefusal::Depth);
    }
    // Who acted in between is ended: so is what was built on it.
    stop(&house, "service-account:ci", false).await;
    assert_eq!(refusal(exchange(&house, OTHER_RUNNER, &once, &[]).await), ExchangeRefusal::SubjectToken);
    house.clock.advance(std::time::Duration::from_secs(100));
    assert_eq!(
        refusal(exchange(&house, RUNNER, &tokens.access_token, &[]).await),
        ExchangeRefusal::SubjectToken
    );
}

#[tokio::test]
async fn a_rule_is_for_people_of_its_groups_and_for_its_scope() {
    let house = House::with(with_agents()).await;
    house.connector.change(|alice| alice.groups = vec!["ops".to_owned()]);
    let (_, tokens) = house.tokens().await;
    let response =
        exchange(&house, OTHER_RUNNER, &tokens.access_token, &[("resource", VAULT)]).await.unwrap();
    assert_eq!(response.scope.to_string(), "read");
    assert_eq!(house.claims(&response.access_token.reveal()).aud, VAULT);
    let wider = exchange(&house, OTHER_RUNNER, &tokens.access_token, &[("scope", "read write")]).await;
    assert_eq!(refusal(wider), ExchangeRefusal::Target(TargetRefusal::ScopeExceeds));
    assert!(house.clock.now().secs() > 0);
}

fn subset() -> impl Strategy<Value = Scope> {
    proptest::sample::subsequence(vec!["read", "write", "admin"], 0..=3)
        .prop_map(|tokens| Scope::parse(&tokens.join(" ")).unwrap())
}

proptest! {
    /// Whatever is presented, allowed and asked for: what comes out is within each of them, and ends with the first.
    #[test]
    fn an_exchange_never_widens_anything(
        held in subset(),
        most in proptest::option::of(subset()),
        asked in proptest::option::of(subset()),
        lives in 0_i64..4000,
        grant_lives in 0_i64..4000,
        target in proptest::option::of(proptest::sample::select(vec![NOTES, VAULT])),
        groups in proptest::sample::subsequence(vec!["ops", "dev"], 0..=2),
        of in proptest::option::of(proptest::sample::subsequence(vec!["ops", "dev"], 0..=2)),
        to in proptest::sample::subsequence(vec!["notes", "vault"], 0..=2),
    ) {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let settings = settings();
        let now = Timestamp::from_secs(1_800_000_000);
        let account = ServiceAccount {
            may_act: vec![MayAct { groups: of.as_deref().map(owned), scope: most.clone(), ..rule("notes", &to) }],
            ..settings.service_accounts[0].clone()
        };
        let subject = subject(&held, now.secs() + lives, now.plus(std::time::Duration::from_secs(grant_lives.unsigned_abs())), &owned(&groups));
        let request = TokenExchangeRequest {
            subject_token: Secret::new(String::new()),
            subject_token_type: ACCESS_TOKEN.to_owned(),
            actor_token: None,
            requested_token_type: None,
            resource: target.iter().map(|&target| target.to_owned()).collect(),
            audience: Vec::new(),
            scope: asked.as_ref().map(Scope::to_string).filter(|text| !text.is_empty()),
        };
        if let Ok(given) = decide(&account, &subject, (&request, None), (&settings, now)) {
            prop_assert!(given.scope.is_subset(&held));
            prop_assert!(most.as_ref().is_none_or(|most| given.scope.is_subset(most)));
            prop_assert!(given.scope.is_subset(&given.server.known_scope()));
            prop_assert!(!given.scope.is_empty());
            prop_assert!(given.validity.exp <= subject.claims.exp);
            prop_assert!(given.validity.exp <= subject.grant.expires_at.secs());
            prop_assert!(to.contains(&given.server.name.as_str()));
            prop_assert_eq!(given.server.resource.as_str(), target.unwrap_or(NOTES));
            // Who is not of the group may go where everybody may, and to no vault.
            prop_assert!(given.server.name != "vault" || groups.contains(&"ops"));
            prop_assert!(of.as_ref().is_none_or(|of| of.iter().any(|group| groups.contains(group))));
        }
    }
}

fn subject(scope: &Scope, exp: i64, ends: Timestamp, groups: &[String]) -> Subject {
    let at = Timestamp::from_secs(1_700_000_000);
    let user = protocol::id::Id::from_bytes([1; 16]);
    Subject {
        claims: AccessTokenClaims {
            iss: ISSUER.to_owned(),
            sub: user.to_string(),
            aud: NOTES.to_owned(),
            client_id: CONSOLE.to_owned(),
            grant_id: String::new(),
            scope: Some(scope.to_string()),
            iat: 0,
            exp,
            cnf: None,
            jti: String::new(),
            service_account: None,
            act: None,
        },
        grant: GrantRecord {
            id: protocol::id::Id::from_bytes([2; 16]),
            user,
            client_id: ClientId::parse(CONSOLE).unwrap(),
            resource: protocol::oauth::ResourceUri::parse(NOTES).unwrap(),
            server: "notes".to_owned(),
            scope: scope.clone(),
            authorization: protocol::id::Id::from_bytes([3; 16]),
            seed: [0; 16],
            generation: 0,
            rotated_at: at,
            created_at: at,
            last_used_at: at,
            idle_expires_at: ends,
            expires_at: ends,
            shown: protocol::secret::Hash::of(b""),
            dpop_key: None,
            revoked_at: None,
        },
        user: UserRecord {
            id: user,
            connector: "fake".to_owned(),
            subject: "alice-1".to_owned(),
            name: None,
            email: None,
            groups: groups.to_vec(),
            created_at: at,
            last_sign_in_at: at,
            disabled_at: None,
        },
        scope: scope.clone(),
    }
}
