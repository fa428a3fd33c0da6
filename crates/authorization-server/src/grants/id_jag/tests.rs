use std::sync::Arc;

use protocol::jose::{SigningKey, VerifyingKeys};
use protocol::keys::KeyId;
use protocol::oauth::DpopMode;
use protocol::world::Clock as _;
use serde_json::{Value, json};
use store::{
    AuditFilter, AuditKind, ClientRules as _, IdentityLinks as _, Outcome, Queries as _, Users as _,
};

use super::*;
use crate::test_house::*;
use crate::trusted_issuers::{IssuerKeys, NewPeople};
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
            link_by_email: false,
            new_people: NewPeople::Refuse,
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

/// A person of the connector, made beside the one who signed in.
async fn another_person(idp: &Idp, subject: &str, address: &str) -> store::UserRecord {
    let now = idp.house.clock.now();
    let new = store::NewIdentity {
        id: protocol::id::Id::mint(now, &*idp.house.entropy),
        connector: "fake".to_owned(),
        subject: subject.to_owned(),
        name: None,
        email: Some(address.to_owned()),
        groups: Vec::new(),
    };
    let audit = idp.house.server.event(AuditKind::PersonMade, Outcome::Ok, now);
    idp.house.store.make_person(new, audit).await.unwrap()
}

fn of_token(idp: &Idp, answer: TokenResponse) -> String {
    idp.house.claims(&Tokens::of(answer).access_token).sub
}

#[tokio::test]
async fn who_is_linked_to_somebody_is_that_person_also_by_an_id_jag() {
    let idp = Idp::new().await;
    let before = of_token(&idp, idp.present(&idp.signed(&[]).await, &[]).await.unwrap());
    let other = another_person(&idp, "of another name", "other@example.com").await;
    assert_ne!(other.id.to_string(), before);
    let (now, subject) = (idp.house.clock.now(), idp.subject().await);
    let own = idp.house.store.find_identity("fake", &subject).await.unwrap().unwrap();
    let link =
        store::IdentityLinkRecord { connector: "fake".to_owned(), subject, user: other.id, created_at: now };
    let ends = crate::stop::revocation(store::RevocationKind::User, own.id.to_string(), now);
    let audit = idp.house.server.event(AuditKind::IdentityLinked, Outcome::Ok, now);
    let linked = idp.house.store.link_identity(link, Some(ends), audit).await.unwrap();
    assert!(matches!(linked, store::LinkOutcome::Linked(_)));
    let assertion = idp.key.sign(TYP, &{
        let mut claims = idp.claims().await;
        (claims["sub"], claims["jti"]) = (json!(own.subject), json!("two"));
        claims
    });
    assert_eq!(of_token(&idp, idp.present(&assertion.unwrap(), &[]).await.unwrap()), other.id.to_string());
}

#[tokio::test]
async fn somebody_new_is_made_where_the_operator_says_so_and_without_groups() {
    let idp = Idp::with(|settings| settings.trusted_issuers[0].new_people = NewPeople::Create).await;
    let new = |jti: &'static str, more: &[(&'static str, Value)]| {
        let mut all = vec![("sub", json!("new")), ("jti", json!(jti)), ("name", json!("Nova"))];
        all.extend_from_slice(more);
        all
    };
    // Who may not use the MCP server is not made, nor by what is refused for another reason.
    let vault = new("1", &[("resource", json!(VAULT))]);
    assert_eq!(idp.refused(&vault, &[]).await, IdJagRefusal::Person(PersonRefusal::NotAdmitted));
    assert_eq!(idp.refused(&new("1", &[("aud", json!("x"))]), &[]).await, IdJagRefusal::Audience);
    assert_eq!(idp.house.store.find_identity("fake", "new").await.unwrap(), None);
    let unverified = new("1", &[("email", json!("nova@example.com"))]);
    let sub = of_token(&idp, idp.present(&idp.signed(&unverified).await, &[]).await.unwrap());
    let made = idp.house.store.find_identity("fake", "new").await.unwrap().unwrap();
    assert_eq!((made.id.to_string(), made.name.as_deref()), (sub.clone(), Some("Nova")));
    assert!(made.groups.is_empty() && made.email.is_none(), "an address that nobody verified is none");
    assert_eq!(of_token(&idp, idp.present(&idp.signed(&new("2", &[])).await, &[]).await.unwrap()), sub);
    // What a name may not be is left out, and a mistyped one is refused.
    let odd = [
        ("sub", json!("odd")),
        ("jti", json!("3")),
        ("name", json!("a\nb")),
        ("email_verified", json!(true)),
    ];
    idp.present(&idp.signed(&odd).await, &[]).await.unwrap();
    assert_eq!(idp.house.store.find_identity("fake", "odd").await.unwrap().unwrap().name, None);
    for (claim, value) in [("email", json!(7)), ("email_verified", json!("true")), ("name", json!(null))] {
        let mistyped = new("4", &[(claim, value)]);
        assert_eq!(idp.refused(&mistyped, &[]).await, IdJagRefusal::Jose(JoseError::Claims), "{claim}");
    }
}

#[tokio::test]
async fn an_address_makes_nobody_somebody_else_unless_the_operator_says_so_and_it_is_verified_and_one_persons()
 {
    let by_address = |jti: &'static str, address: &str, verified: bool| {
        [
            ("sub", json!("pairwise")),
            ("jti", json!(jti)),
            ("email", json!(address)),
            ("email_verified", json!(verified)),
        ]
    };
    let idp = Idp::new().await;
    another_person(&idp, "known", "known@example.com").await;
    assert_eq!(
        idp.refused(&by_address("1", "known@example.com", true), &[]).await,
        IdJagRefusal::PersonUnknown
    );

    let idp = Idp::with(|settings| settings.trusted_issuers[0].link_by_email = true).await;
    let other = another_person(&idp, "known", "known@example.com").await;
    for (address, verified) in
        [("known@example.com", false), ("unknown@example.com", true), ("", true), ("known", true)]
    {
        let refused = idp.refused(&by_address("1", address, verified), &[]).await;
        assert_eq!(refused, IdJagRefusal::PersonUnknown, "{address} {verified}");
    }
    let answer =
        idp.present(&idp.signed(&by_address("1", "Known@Example.com", true)).await, &[]).await.unwrap();
    assert_eq!(of_token(&idp, answer), other.id.to_string());
    let events = idp.house.store.list_audit(AuditFilter::default(), None, 100).await.unwrap();
    let linked: Vec<_> =
        events.iter().filter(|row| row.reason.as_deref() == Some("by_verified_address")).collect();
    assert_eq!((linked.len(), linked[0].user), (1, Some(other.id)));
    // From now on by the subject alone, whatever address it has.
    let answer =
        idp.present(&idp.signed(&by_address("2", "elsewhere@example.com", false)).await, &[]).await.unwrap();
    assert_eq!(of_token(&idp, answer), other.id.to_string());

    let idp = Idp::with(|settings| settings.trusted_issuers[0].link_by_email = true).await;
    another_person(&idp, "one", "both@example.com").await;
    another_person(&idp, "two", "BOTH@example.com").await;
    assert_eq!(
        idp.refused(&by_address("1", "both@example.com", true), &[]).await,
        IdJagRefusal::AddressAmbiguous
    );
}

/// product.md, P-7.
#[tokio::test]
async fn a_client_that_needs_an_approval_is_refused_until_it_has_one_and_an_administrator_is_told() {
    use crate::clients::{ClientStanding, Named, Standing};
    let portal = ClientId::parse(PORTAL.0).unwrap();
    let named = |standing| {
        let portal = portal.clone();
        Idp::with(move |settings| settings.client_policy.named = vec![(Named::Client(portal), standing)])
    };
    let idp = named(Standing::Ask).await;
    assert_eq!(idp.refused(&[], &[]).await, IdJagRefusal::Client(ClientStanding::Unapproved));
    let events = idp.house.store.list_audit(AuditFilter::default(), None, 100).await.unwrap();
    let told = events.iter().find(|row| row.kind == "client_requested").unwrap();
    assert_eq!((told.client_id.as_deref(), told.server.as_deref()), (Some(PORTAL.0), Some("notes")));
    assert_eq!(told.detail["grant_type"], "id-jag");
    assert_eq!(told.detail["destination"], "client.example loopback", "all that must be approved");
    // Every place at which it may be called back counts.
    for destination in ["loopback", "client.example"] {
        assert_eq!(idp.refused(&[], &[]).await, IdJagRefusal::Client(ClientStanding::Unapproved));
        let rule =
            store::ClientRule::AllowClient { client_id: portal.clone(), destination: destination.to_owned() };
        let audit = idp.house.server.event(AuditKind::ClientApproved, Outcome::Ok, idp.house.clock.now());
        idp.house.store.put_client_rule(rule, audit).await.unwrap();
    }
    idp.present(&idp.signed(&[]).await, &[]).await.unwrap();

    let idp = named(Standing::Block).await;
    let refused = idp.present(&idp.signed(&[]).await, &[]).await.unwrap_err();
    assert_eq!(
        refused.code(),
        ErrorCode::InvalidClient,
        "a blocked client is not believed at all: {refused:?}"
    );

    let idp = Idp::with(|settings| settings.servers[0].outside_clients = Standing::Block).await;
    assert_eq!(idp.refused(&[], &[]).await, IdJagRefusal::Client(ClientStanding::Outside));
}
