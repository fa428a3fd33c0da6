use std::sync::Arc;

use protocol::jose::{SigningKey, VerifyingKeys};
use protocol::keys::KeyId;
use protocol::oauth::DpopMode;
use protocol::world::Clock as _;
use serde_json::{Value, json};
use store::{AuditFilter, Queries as _, Users as _};

use super::*;
use crate::test_house::*;
use crate::trusted_issuers::IssuerKeys;
use crate::{Settings, TokenError};

const OKTA: &str = "https://acme.okta.example";
const TYP: &str = "oauth-id-jag+jwt";

struct Idp {
    house: House,
    key: SigningKey,
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_pkcs8(KeyId::from_bytes([number; 4]), &SigningKey::generate_pkcs8().unwrap()).unwrap()
}

impl Idp {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let key = key(9);
        let keys = VerifyingKeys::of(std::iter::once(&key));
        let mut settings = settings();
        settings.trusted_issuers = vec![TrustedIssuer {
            clients: Vec::new(),
            connector: "fake".to_owned(),
            issuer: OKTA.to_owned(),
            keys: IssuerKeys::Held(Arc::new(keys)),
            tenant: None,
        }];
        change(&mut settings);
        let house = House::with(settings).await;
        // The person signs in once.
        let client = house.public_client();
        let _ = house.to_consent(&mut Cookies::default(), request(&client, &[])).await;
        Self { house, key }
    }

    async fn subject(&self) -> String {
        let signed_in = self.house.store.list_audit(AuditFilter::default(), None, 100).await.unwrap();
        let user = signed_in.iter().find_map(|row| row.user).unwrap();
        self.house.store.find_user(user).await.unwrap().unwrap().subject
    }

    async fn claims(&self) -> Value {
        let now = self.house.clock.now().secs();
        json!({
            "iss": OKTA, "sub": self.subject().await, "aud": ISSUER, "client_id": PORTAL.0, "jti": "one",
            "iat": now, "exp": now + 300, "resource": NOTES, "scope": "read write",
        })
    }

    async fn signed(&self, changes: &[(&str, Value)]) -> String {
        let mut claims = self.claims().await;
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        claims
            .as_object_mut()
            .unwrap()
            .retain(|name, _| !changes.iter().any(|(n, v)| n == name && *v == json!("(absent)")));
        self.key.sign(TYP, &claims).unwrap()
    }

    async fn present(&self, assertion: &str, more: Pairs<'_>) -> Result<TokenResponse, TokenError> {
        let mut all = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("client_id", PORTAL.0),
            ("client_secret", PORTAL.1),
            ("assertion", assertion),
        ];
        all.extend(more);
        self.house.token(&all).await
    }

    async fn refused(&self, changes: &[(&str, Value)], more: Pairs<'_>) -> IdJagRefusal {
        match self.present(&self.signed(changes).await, more).await {
            Err(TokenError::IdJag(refusal)) => refusal,
            other => panic!("{changes:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_id_jag_buys_an_access_token_and_no_refresh_token() {
    let idp = Idp::new().await;
    let answer = idp.present(&idp.signed(&[]).await, &[]).await.unwrap();
    assert!(answer.refresh_token.is_none());
    assert_eq!(answer.scope.to_string(), "read write");
    let claims = idp.house.claims(&Tokens::of(answer).access_token);
    assert_eq!((claims.aud.as_str(), claims.client_id.as_str()), (NOTES, PORTAL.0));
    // Another one is on the same grant.
    let again = idp.present(&idp.signed(&[("jti", json!("two"))]).await, &[]).await.unwrap();
    assert_eq!(idp.house.claims(&Tokens::of(again).access_token).grant_id, claims.grant_id);
}

#[tokio::test]
async fn every_claim_is_judged_and_nothing_is_used_up_by_a_refusal() {
    let idp = Idp::new().await;
    let now = idp.house.clock.now().secs();
    let absent = || json!("(absent)");
    for (claim, value, refusal) in [
        ("aud", json!([ISSUER, "https://other.example"]), IdJagRefusal::Audience),
        ("aud", json!([ISSUER, ISSUER]), IdJagRefusal::Audience),
        ("aud", json!([]), IdJagRefusal::Audience),
        ("aud", json!(format!("{ISSUER}/")), IdJagRefusal::Audience),
        ("aud", json!(format!("{ISSUER}/oauth/token")), IdJagRefusal::Audience),
        ("aud", json!({}), IdJagRefusal::Jose(JoseError::Claims)),
        ("client_id", json!(CONSOLE), IdJagRefusal::OfAnotherClient),
        ("client_id", absent(), IdJagRefusal::Jose(JoseError::Claims)),
        ("iss", json!("https://evil.example"), IdJagRefusal::IssuerUntrusted),
        ("iss", json!(format!("{OKTA}/")), IdJagRefusal::IssuerUntrusted),
        ("iss", json!(ISSUER), IdJagRefusal::IssuerUntrusted),
        ("exp", json!(now - 31), IdJagRefusal::Expired),
        ("exp", json!(now + 100 * 365 * 86_400), IdJagRefusal::LivesTooLong),
        ("exp", json!("soon"), IdJagRefusal::Jose(JoseError::Claims)),
        ("exp", json!(1.5), IdJagRefusal::Jose(JoseError::Claims)),
        ("exp", json!(-1), IdJagRefusal::Jose(JoseError::Claims)),
        ("exp", absent(), IdJagRefusal::Jose(JoseError::Claims)),
        ("nbf", json!(null), IdJagRefusal::Jose(JoseError::Claims)),
        ("nbf", json!(now + 31), IdJagRefusal::NotYet),
        ("iat", json!(now + 600), IdJagRefusal::NotYet),
        ("iat", absent(), IdJagRefusal::Jose(JoseError::Claims)),
        ("jti", json!(""), IdJagRefusal::IdMissing),
        ("jti", absent(), IdJagRefusal::Jose(JoseError::Claims)),
        ("sub", json!(""), IdJagRefusal::IdMissing),
        ("sub", json!("somebody else"), IdJagRefusal::PersonUnknown),
        ("tenant", json!("other"), IdJagRefusal::Tenant),
        ("cnf", json!({"jkt": "x"}), IdJagRefusal::Constrained),
        ("cnf", json!(null), IdJagRefusal::Constrained),
        ("cnf", json!({"x5t#S256": "A".repeat(43)}), IdJagRefusal::Constrained),
        ("cnf", json!({"jkt": "A".repeat(43), "x5t#S256": "A".repeat(43)}), IdJagRefusal::Constrained),
        ("cnf", json!({"jkt": "A".repeat(43)}), IdJagRefusal::ProofMissing),
        ("act", json!({"sub": "agent"}), IdJagRefusal::Constrained),
        ("authorization_details", json!([]), IdJagRefusal::Constrained),
        ("resource", json!("https://elsewhere.example/mcp"), IdJagRefusal::ResourceMismatch),
        ("resource", json!([NOTES, VAULT]), IdJagRefusal::ResourceMissing),
        ("resource", json!(7), IdJagRefusal::Jose(JoseError::Claims)),
        ("resource", json!(VAULT), IdJagRefusal::Person(PersonRefusal::NotAdmitted)),
        ("scope", json!("admin"), IdJagRefusal::Scope),
        ("scope", json!(["read"]), IdJagRefusal::Jose(JoseError::Claims)),
    ] {
        assert_eq!(idp.refused(&[(claim, value.clone())], &[]).await, refusal, "{claim}: {value}");
    }
    idp.present(&idp.signed(&[]).await, &[]).await.unwrap();
    assert_eq!(idp.refused(&[], &[]).await, IdJagRefusal::Replayed);
}

/// The four cases of a key in the assertion and a proof beside it, for each that an MCP server may ask for.
#[tokio::test]
async fn an_assertion_that_is_bound_to_a_key_is_worth_something_with_that_key_alone() {
    let idp = Idp::new().await;
    let [held, other] = [[7; 32], [8; 32]].map(Thumbprint::from_bytes);
    let read = |claims: Value| serde_json::from_value::<Claims>(claims).unwrap();
    let plain = idp.claims().await;
    let mut bound = plain.clone();
    bound["cnf"] = json!({"jkt": held});
    let (plain, bound) = (read(plain), read(bound));
    for dpop in [DpopMode::Off, DpopMode::Optional, DpopMode::Required] {
        let server = ServerEntry { dpop, ..settings().servers.remove(0) };
        assert_eq!(bound_to(&bound, Some(held), &server), Ok(Some(held)), "whatever is asked for");
        assert_eq!(bound_to(&bound, Some(other), &server), Err(IdJagRefusal::OfAnotherKey));
        assert_eq!(bound_to(&bound, None, &server), Err(IdJagRefusal::ProofMissing));
        let (bare, proven) = match dpop {
            DpopMode::Off => (Ok(None), Ok(None)),
            DpopMode::Optional => (Ok(None), Ok(Some(other))),
            DpopMode::Required => (Err(IdJagRefusal::ProofMissing), Ok(Some(other))),
        };
        assert_eq!((bound_to(&plain, None, &server), bound_to(&plain, Some(other), &server)), (bare, proven));
    }
}

#[tokio::test]
async fn the_request_may_narrow_the_assertion_and_never_widen_it() {
    let idp = Idp::new().await;
    assert_eq!(idp.refused(&[], &[("resource", VAULT)]).await, IdJagRefusal::ResourceMismatch);
    assert_eq!(idp.refused(&[], &[("resource", "nonsense")]).await, IdJagRefusal::ResourceMismatch);
    assert_eq!(idp.refused(&[("scope", json!("read"))], &[("scope", "write")]).await, IdJagRefusal::Scope);
    assert_eq!(idp.refused(&[], &[("scope", "a\"b")]).await, IdJagRefusal::Scope);
    let scope = async |jti: &str, claim: Value, more: Pairs<'_>| {
        let assertion = idp.signed(&[("jti", json!(jti)), ("scope", claim)]).await;
        idp.present(&assertion, more).await.unwrap().scope.to_string()
    };
    assert_eq!(scope("1", json!("read"), &[("scope", "read write")]).await, "read");
    assert_eq!(scope("2", json!("read write"), &[("scope", "write")]).await, "write");
    assert_eq!(scope("3", json!("read admin"), &[("scope", "openid")]).await, "read");
    assert_eq!(scope("4", json!("(absent)"), &[]).await, "read");
    assert_eq!(scope("5", json!("(absent)"), &[("scope", "write")]).await, "write");
    let either = [("jti", json!("6")), ("resource", json!([NOTES, VAULT]))];
    idp.present(&idp.signed(&either).await, &[("resource", NOTES)]).await.unwrap();
    let default = [("jti", json!("7")), ("resource", json!("(absent)"))];
    idp.present(&idp.signed(&default).await, &[]).await.unwrap();
}

#[tokio::test]
async fn only_the_issuers_own_key_and_type_count() {
    let idp = Idp::new().await;
    for (token, refusal) in [
        (key(9).sign(TYP, &idp.claims().await).unwrap(), JoseError::Signature),
        (key(8).sign(TYP, &idp.claims().await).unwrap(), JoseError::KeyUnknown),
        (idp.key.sign("JWT", &idp.claims().await).unwrap(), JoseError::Type),
        (idp.key.sign("at+jwt", &idp.claims().await).unwrap(), JoseError::Type),
    ] {
        match idp.present(&token, &[]).await {
            Err(TokenError::IdJag(IdJagRefusal::Jose(error))) => assert_eq!(error, refusal),
            other => panic!("{other:?}"),
        }
    }
    let long = "x".repeat(1 << 20);
    for token in ["x", "a.b", "a.b.c.d", long.as_str()] {
        let refused = idp.present(token, &[]).await.unwrap_err();
        assert!(matches!(refused, TokenError::IdJag(IdJagRefusal::Malformed)), "{refused:?}");
    }
}

#[tokio::test]
async fn an_issuer_speaks_of_its_own_clients_and_tenant_and_public_clients_are_refused() {
    let idp = Idp::with(|settings| {
        settings.trusted_issuers[0].clients = vec![ClientId::parse(KEYED).unwrap()];
        settings.trusted_issuers[0].tenant = Some("ours".to_owned());
    })
    .await;
    assert_eq!(idp.refused(&[], &[]).await, IdJagRefusal::Tenant);
    assert_eq!(idp.refused(&[("tenant", json!("other"))], &[]).await, IdJagRefusal::Tenant);
    assert_eq!(idp.refused(&[("tenant", json!("ours"))], &[]).await, IdJagRefusal::ClientNotAllowed);

    let idp = Idp::new().await;
    let assertion = idp.signed(&[("client_id", json!(CONSOLE))]).await;
    let asked = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("client_id", CONSOLE),
        ("assertion", assertion.as_str()),
    ];
    let refused = idp.house.token(&asked).await.unwrap_err();
    assert!(matches!(refused, TokenError::IdJag(IdJagRefusal::PublicClient)), "{refused:?}");
    assert_eq!(refused.code(), ErrorCode::UnauthorizedClient);
}

#[tokio::test]
async fn without_a_trusted_issuer_the_grant_is_not_served() {
    let idp = Idp::with(|settings| settings.trusted_issuers.clear()).await;
    let refused = idp.present(&idp.signed(&[]).await, &[]).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::UnsupportedGrantType);
    let metadata = serde_json::to_value(idp.house.server.metadata()).unwrap();
    assert!(!metadata.to_string().contains("jwt-bearer") && !metadata.to_string().contains("id-jag"));
    let served = serde_json::to_value(Idp::new().await.house.server.metadata()).unwrap();
    assert_eq!(
        served["authorization_grant_profiles_supported"],
        json!(["urn:ietf:params:oauth:grant-profile:id-jag"])
    );
    assert!(!served.to_string().contains("okta"), "JA-17: nobody is told whom we trust");
}
