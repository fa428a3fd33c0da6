use std::sync::Arc;

use protocol::jose::{SigningKey, VerifyingKeys};
use protocol::keys::KeyId;
use protocol::world::Clock as _;
use serde_json::{Value, json};
use store::{AuditFilter, KeysRecord as _, Queries as _};

use super::*;
use crate::test_house::*;
use crate::trusted_issuers::IssuerKeys;
use crate::{Platform, PreRegisteredClient, TrustedIssuer, WorkloadRule};

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const CLUSTER: &str = "https://cluster.example";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const MAIN: &str = "repo:acme/app:ref:refs/heads/main";

struct World {
    house: House,
    key: SigningKey,
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_pkcs8(KeyId::from_bytes([number; 4]), &SigningKey::generate_pkcs8().unwrap()).unwrap()
}

fn rule(issuer: &str, platform: Platform, claims: &[&str]) -> WorkloadRule {
    let claims: Vec<String> = claims.iter().map(|&claim| claim.to_owned()).collect();
    WorkloadRule::new(issuer, platform, &claims).unwrap()
}

fn believed(issuer: &str, platform: Platform, key: &SigningKey) -> WorkloadIssuer {
    WorkloadIssuer {
        issuer: issuer.to_owned(),
        keys: IssuerKeys::Held(Arc::new(VerifyingKeys::of(std::iter::once(key)))),
        longest_life: Duration::from_secs(3600),
        platform,
        reuse: platform.repeats_itself(),
    }
}

impl World {
    /// GitHub and a cluster are believed, by keys of one name; `ci` is the branch `main` at GitHub and one account of the
    /// cluster.
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let key = key(9);
        let mut settings = settings();
        settings.workload_issuers = vec![
            believed(GITHUB, Platform::GitHubActions, &key),
            believed(CLUSTER, Platform::Kubernetes, &self::key(9)),
        ];
        settings.service_accounts[0].workloads = vec![
            rule(GITHUB, Platform::GitHubActions, &["repository=acme/*", "ref=refs/heads/main"]),
            rule(CLUSTER, Platform::Kubernetes, &["sub=system:serviceaccount:prod:runner"]),
        ];
        change(&mut settings);
        Self { house: House::with(settings).await, key }
    }

    fn claims(&self, changes: &[(&str, Value)]) -> Value {
        let now = self.house.clock.now().secs();
        let mut claims = json!({
            "iss": GITHUB, "sub": MAIN, "aud": ISSUER, "jti": "one", "iat": now, "exp": now + 300,
            "repository": "acme/app", "ref": "refs/heads/main",
        });
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        let absent = |name: &String| changes.iter().any(|(n, v)| n == name && *v == json!("(absent)"));
        claims.as_object_mut().unwrap().retain(|name, _| !absent(name));
        claims
    }

    fn signed(&self, changes: &[(&str, Value)]) -> String {
        self.key.sign("JWT", &self.claims(changes)).unwrap()
    }

    async fn present(&self, assertion: &str, more: Pairs<'_>) -> Result<TokenResponse, TokenError> {
        let mut all = vec![("grant_type", JWT_BEARER), ("assertion", assertion), ("resource", NOTES)];
        all.extend(more);
        self.house.token(&all).await
    }

    /// The same where keys are demanded.
    async fn demanding() -> Self {
        let demand = |server: &mut crate::ServerEntry| server.dpop = protocol::oauth::DpopMode::Required;
        Self::with(|settings| settings.servers.iter_mut().for_each(demand)).await
    }

    async fn refused(&self, changes: &[(&str, Value)]) -> WorkloadRefusal {
        self.refusal(&self.signed(changes), &[]).await
    }

    async fn refusal(&self, assertion: &str, more: Pairs<'_>) -> WorkloadRefusal {
        match self.present(assertion, more).await {
            Err(TokenError::Workload(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_jwt_of_a_workload_buys_a_token_of_its_service_account_and_no_refresh_token() {
    let world = World::new().await;
    let answer = world.present(&world.signed(&[]), &[("scope", "read")]).await.unwrap();
    assert!(answer.refresh_token.is_none());
    assert_eq!(answer.scope.to_string(), "read");
    let claims = world.house.claims(&Tokens::of(answer).access_token);
    assert_eq!((claims.aud.as_str(), claims.client_id.as_str()), (NOTES, "service-account:ci"));
    assert_eq!(claims.service_account.as_deref(), Some("ci"));
    let events = world.house.store.list_audit(AuditFilter::default(), None, 10).await.unwrap();
    let detail = &events.iter().find(|event| event.detail.contains_key("workload")).unwrap().detail;
    assert_eq!(detail["issuer"], GITHUB);
    assert_eq!(detail["workload"], MAIN);
}

/// AS-213, AS-214.
#[tokio::test]
async fn every_claim_is_judged_and_nothing_is_used_up_by_a_refusal() {
    let world = World::new().await;
    let now = world.house.clock.now().secs();
    let absent = || json!("(absent)");
    for (claim, value, refusal) in [
        ("aud", json!([ISSUER, "https://other.example"]), WorkloadRefusal::Audience),
        ("aud", json!([ISSUER, ISSUER]), WorkloadRefusal::Audience),
        ("aud", json!([ISSUER, format!("{ISSUER}/oauth/token")]), WorkloadRefusal::Audience),
        ("aud", json!([]), WorkloadRefusal::Audience),
        ("aud", json!(format!("{ISSUER}/")), WorkloadRefusal::Audience),
        ("aud", json!("https://github.com/acme"), WorkloadRefusal::Audience),
        ("aud", json!(NOTES), WorkloadRefusal::Audience),
        ("aud", json!({}), WorkloadRefusal::Jose(JoseError::Claims)),
        ("aud", absent(), WorkloadRefusal::Jose(JoseError::Claims)),
        ("iss", json!("https://evil.example"), WorkloadRefusal::IssuerUntrusted),
        ("iss", json!(format!("{GITHUB}/")), WorkloadRefusal::IssuerUntrusted),
        ("iss", json!(format!("{GITHUB}.evil.example")), WorkloadRefusal::IssuerUntrusted),
        ("iss", json!(ISSUER), WorkloadRefusal::IssuerUntrusted),
        // The other issuer has a key of the same name: by that it is judged.
        ("iss", json!(CLUSTER), WorkloadRefusal::Jose(JoseError::Signature)),
        ("exp", json!(now - 31), WorkloadRefusal::Expired),
        ("exp", json!(now + 3600 + 31), WorkloadRefusal::LivesTooLong),
        ("exp", json!("soon"), WorkloadRefusal::Jose(JoseError::Claims)),
        ("exp", json!(1.5), WorkloadRefusal::Jose(JoseError::Claims)),
        ("exp", json!(-1), WorkloadRefusal::Jose(JoseError::Claims)),
        ("exp", absent(), WorkloadRefusal::Jose(JoseError::Claims)),
        ("nbf", json!(now + 31), WorkloadRefusal::NotYet),
        ("nbf", json!(null), WorkloadRefusal::Jose(JoseError::Claims)),
        ("iat", json!(now + 31), WorkloadRefusal::NotYet),
        ("iat", absent(), WorkloadRefusal::Jose(JoseError::Claims)),
        ("jti", absent(), WorkloadRefusal::IdMissing),
        ("jti", json!(""), WorkloadRefusal::IdMissing),
        ("jti", json!(7), WorkloadRefusal::Jose(JoseError::Claims)),
        ("jti", json!("x".repeat(1025)), WorkloadRefusal::IdMissing),
        ("sub", json!(""), WorkloadRefusal::IdMissing),
        ("sub", json!("a\nb"), WorkloadRefusal::IdMissing),
        ("sub", absent(), WorkloadRefusal::Jose(JoseError::Claims)),
        ("cnf", json!({"jkt": "x"}), WorkloadRefusal::Constrained),
        ("cnf", json!(null), WorkloadRefusal::Constrained),
        ("repository", json!("evil/app"), WorkloadRefusal::NoRule),
        ("repository", json!("acme-evil/app"), WorkloadRefusal::NoRule),
        ("repository", json!(["acme/app"]), WorkloadRefusal::NoRule),
        ("repository", absent(), WorkloadRefusal::NoRule),
        ("ref", json!("refs/heads/main2"), WorkloadRefusal::NoRule),
        ("ref", json!("refs/pull/1/merge"), WorkloadRefusal::NoRule),
    ] {
        assert_eq!(world.refused(&[(claim, value.clone())]).await, refusal, "{claim}: {value}");
    }
    world.present(&world.signed(&[]), &[]).await.unwrap();
    assert_eq!(world.refused(&[]).await, WorkloadRefusal::Replayed);
    let endpoint = [("jti", json!("two")), ("aud", json!([format!("{ISSUER}/oauth/token")]))];
    world.present(&world.signed(&endpoint), &[]).await.unwrap();
}

#[tokio::test]
async fn one_that_a_platform_hands_out_for_a_while_may_come_again_and_another_must_not() {
    let key = key(9);
    let other = believed(CLUSTER, Platform::Kubernetes, &key);
    let world = World::with(|settings| settings.workload_issuers[1] = other).await;
    let mut claims =
        world.claims(&[("iss", json!(CLUSTER)), ("sub", json!("system:serviceaccount:prod:runner"))]);
    claims.as_object_mut().unwrap().remove("jti");
    let assertion = key.sign("JWT", &claims).unwrap();
    for _ in 0..3 {
        world.present(&assertion, &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_workload_of_two_service_accounts_is_of_none() {
    let world = World::with(|settings| {
        settings.service_accounts[1].workloads =
            vec![rule(GITHUB, Platform::GitHubActions, &["repository_owner_id=1", "repository=acme/app"])];
    })
    .await;
    assert_eq!(world.refused(&[("repository_owner_id", json!("1"))]).await, WorkloadRefusal::Ambiguous);
    world.present(&world.signed(&[("repository_owner_id", json!("2"))]), &[]).await.unwrap();
    // Two rules of one service account are no riddle.
    let world = World::with(|settings| {
        let again = settings.service_accounts[0].workloads[0].clone();
        settings.service_accounts[0].workloads.push(again);
    })
    .await;
    world.present(&world.signed(&[]), &[]).await.unwrap();
}

/// AS-215.
#[tokio::test]
async fn a_client_that_is_named_must_be_of_the_service_account_and_one_that_proves_itself_must_succeed() {
    let world = World::new().await;
    for named in ["somebody", RUNNER.0, CONSOLE, "service-account:nightly", "a\u{e9}"] {
        assert_eq!(
            world.refusal(&world.signed(&[]), &[("client_id", named)]).await,
            WorkloadRefusal::Client,
            "{named}"
        );
    }
    let wrong = [("client_id", RUNNER.0), ("client_secret", "wrong")];
    let refused = world.present(&world.signed(&[]), &wrong).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidClient);
    let other = [("client_id", OTHER_RUNNER.0), ("client_secret", OTHER_RUNNER.1)];
    assert_eq!(world.refusal(&world.signed(&[]), &other).await, WorkloadRefusal::Client);
    let right = [("client_id", RUNNER.0), ("client_secret", RUNNER.1)];
    let answer = world.present(&world.signed(&[]), &right).await.unwrap();
    assert_eq!(world.house.claims(&Tokens::of(answer).access_token).client_id, RUNNER.0);
    world
        .present(&world.signed(&[("jti", json!("two"))]), &[("client_id", "service-account:ci")])
        .await
        .unwrap();
}

/// AS-212, AS-217.
#[tokio::test]
async fn only_the_issuers_own_key_counts_and_no_id_jag_is_one() {
    let world = World::new().await;
    for (token, refusal) in [
        (key(9).sign("JWT", &world.claims(&[])).unwrap(), JoseError::Signature),
        (key(8).sign("JWT", &world.claims(&[])).unwrap(), JoseError::KeyUnknown),
        (world.key.sign("at+jwt", &world.claims(&[])).unwrap(), JoseError::Type),
        (world.key.sign("wit+jwt", &world.claims(&[])).unwrap(), JoseError::Type),
        (world.key.sign("client-authentication+jwt", &world.claims(&[])).unwrap(), JoseError::Type),
    ] {
        assert_eq!(world.refusal(&token, &[]).await, WorkloadRefusal::Jose(refusal));
    }
    for token in ["x", "a.b", "a.b.c.d", "x".repeat(20_000).as_str()] {
        assert_eq!(world.refusal(token, &[]).await, WorkloadRefusal::Malformed);
    }
    // An ID-JAG needs a client that authenticates, whoever signed it.
    for typ in ["oauth-id-jag+jwt", "application/OAuth-ID-JAG+jwt"] {
        let refused =
            world.present(&world.key.sign(typ, &world.claims(&[])).unwrap(), &[]).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidClient, "{typ}: {refused:?}");
    }
    world.present(&world.key.sign("JOSE", &world.claims(&[])).unwrap(), &[]).await.unwrap();
}

#[tokio::test]
async fn who_speaks_of_people_speaks_of_no_workload_and_the_reverse() {
    const OKTA: &str = "https://acme.okta.example";
    let okta = key(7);
    let people = TrustedIssuer {
        clients: Vec::new(),
        connector: "fake".to_owned(),
        issuer: OKTA.to_owned(),
        keys: IssuerKeys::Held(Arc::new(VerifyingKeys::of(std::iter::once(&okta)))),
        link_by_email: false,
        new_people: crate::NewPeople::Refuse,
        tenant: None,
    };
    let world = World::with(|settings| settings.trusted_issuers = vec![people]).await;
    let client = [("client_id", PORTAL.0), ("client_secret", PORTAL.1)];
    let person =
        world.claims(&[("iss", json!(OKTA)), ("client_id", json!(PORTAL.0)), ("resource", json!(NOTES))]);
    assert_eq!(
        world.refusal(&okta.sign("JWT", &person).unwrap(), &client).await,
        WorkloadRefusal::IssuerUntrusted
    );
    let machine = world.claims(&[("client_id", json!(PORTAL.0)), ("resource", json!(NOTES))]);
    let refused =
        world.present(&world.key.sign("oauth-id-jag+jwt", &machine).unwrap(), &client).await.unwrap_err();
    assert!(
        matches!(refused, TokenError::IdJag(crate::IdJagRefusal::IssuerUntrusted)),
        "a platform speaks of no person: {refused:?}"
    );
}

#[tokio::test]
async fn a_stopped_account_and_what_it_may_not_have_are_refused_and_told() {
    let world = World::new().await;
    let token = world.signed(&[]);
    let refusal = async |more: Pairs<'_>| world.refusal(&token, more).await;
    assert_eq!(refusal(&[("scope", "admin")]).await, WorkloadRefusal::Target(TargetRefusal::ScopeExceeds));
    assert_eq!(
        refusal(&[("resource", VAULT)]).await,
        WorkloadRefusal::Target(TargetRefusal::ResourceSeveral)
    );
    let nobody = World::with(|settings| {
        settings.servers[0].rules.service_accounts.clear();
    })
    .await;
    assert_eq!(nobody.refused(&[]).await, WorkloadRefusal::Account(PersonRefusal::NotAdmitted));
    let refused = async || {
        let rows = world.house.store.list_audit(AuditFilter::default(), None, 20).await.unwrap();
        rows.into_iter().filter(|row| row.kind == "token_refused").collect::<Vec<_>>()
    };
    assert_eq!(refused().await.len(), 2);
    assert!(refused().await.iter().all(|row| row.detail["workload"] == MAIN && row.reason.is_some()));
    // What nobody signed is not stored: everybody could fill the record with it.
    world.refusal(&key(8).sign("JWT", &world.claims(&[])).unwrap(), &[]).await;
    assert_eq!(refused().await.len(), 2);
}

#[tokio::test]
async fn the_metadata_says_the_grant_and_no_profile_and_no_issuer() {
    let served = serde_json::to_value(World::new().await.house.server.metadata()).unwrap().to_string();
    assert!(served.contains(JWT_BEARER), "{served}");
    assert!(!served.contains("id-jag") && !served.contains(GITHUB) && !served.contains(CLUSTER));
}

/// RFC 9449, section 5: a workload proves a key like every client, and is used up by nothing before.
#[tokio::test]
async fn a_workload_without_a_key_gets_nothing_where_one_is_demanded() {
    let world = World::demanding().await;
    let assertion = world.signed(&[]);
    for _ in 0..2 {
        assert_eq!(world.refusal(&assertion, &[]).await, WorkloadRefusal::ProofMissing);
    }
    assert_eq!(WorkloadRefusal::ProofMissing.code(), ErrorCode::InvalidDpopProof);
    let bound = world.refused(&[("cnf", json!({"jkt": "A".repeat(43)}))]).await;
    assert_eq!(bound, WorkloadRefusal::Constrained);
}

/// AS-223: a client whose every token request carries a proof carries one here too.
#[tokio::test]
async fn a_client_whose_tokens_are_bound_gets_none_for_a_workload_without_a_proof() {
    let bind = |settings: &mut Settings| {
        let clients = std::mem::take(&mut settings.clients).into_iter();
        let is_runner = |client: &PreRegisteredClient| client.client_id().as_str() == RUNNER.0;
        settings.clients = clients
            .map(|client| {
                let bound = is_runner(&client);
                client.with_bound_tokens(bound)
            })
            .collect();
    };
    let world = World::with(bind).await;
    let (assertion, proven) = (world.signed(&[]), [("client_id", RUNNER.0), ("client_secret", RUNNER.1)]);
    let refused = world.present(&assertion, &proven).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidDpopProof);
    // Nothing was used up.
    world.present(&assertion, &[]).await.unwrap();
}

/// RFC 7521, section 4.1: in the header as in the form.
#[tokio::test]
async fn a_client_that_fails_to_prove_itself_in_the_header_gets_nothing() {
    let world = World::new().await;
    let assertion = world.signed(&[]);
    let fields = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str()), ("resource", NOTES)];
    let headers = crate::TokenHeaders { authorization: &["Basic d3Jvbmc6d3Jvbmc="], dpop: &[] };
    let refused = world.house.server.token(&headers, &form(&fields), &caller()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidClient);
    world.present(&assertion, &[]).await.unwrap();
}

#[tokio::test]
async fn an_id_is_used_up_for_its_issuer_alone_and_of_before_a_restore_nobody_knows() {
    let key = key(9);
    let cluster = WorkloadIssuer { reuse: false, ..believed(CLUSTER, Platform::Kubernetes, &key) };
    let world = World::with(|settings| settings.workload_issuers[1] = cluster).await;
    world.present(&world.signed(&[]), &[]).await.unwrap();
    let same = world.claims(&[("iss", json!(CLUSTER)), ("sub", json!("system:serviceaccount:prod:runner"))]);
    world.present(&key.sign("JWT", &same).unwrap(), &[]).await.unwrap();
    let now = world.house.clock.now();
    world.house.store.put_meta("restored_at", &now.micros().to_string()).await.unwrap();
    assert_eq!(world.refused(&[("jti", json!("two"))]).await, WorkloadRefusal::Restored);
    world.house.clock.advance(Duration::from_secs(2));
    world.present(&world.signed(&[("jti", json!("two"))]), &[]).await.unwrap();
}
