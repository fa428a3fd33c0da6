//! Global token revocation, as Okta's Universal Logout sends it, from outside.
//!
//! developer.okta.com/docs/guides/oin-universal-logout-overview/ (read on 2026-11-26): the signed JWT as bearer token, the subject as
//! `email` or `iss_sub`, and 204; draft-parecki-oauth-global-token-revocation-06.

use authorization_server::{GlobalTokenRevocation, LinkedIdentity, Stopping};
use serde_json::{Value, json};
use store::{AuditKind, Failpoint};
use testkit::client::{Pkce, allow, log_in, parameter};
use testkit::house::Plan;
use testkit::http::Answer;
use testkit::openid_provider::Signature;
use testkit::outcomes::Verdict;

use super::{IDP, Scene, changed, closes, is_dead_within_t, open_stream};
use crate::record::on_postgres;
use crate::steps::Tokens;

const TYP: &str = "global-token-revocation+jwt";

async fn scene(plan: Plan) -> Result<Scene, String> {
    Scene::with(plan, |plan, provider| {
        plan.global_token_revocations.push(GlobalTokenRevocation {
            connector: IDP.to_owned(),
            issuer: provider.issuer.clone(),
            keys: provider.keys()?,
        });
        Ok(())
    })
    .await
}

impl Scene {
    fn revocation_url(&self) -> String {
        self.at("/oauth/global_token_revocation/idp")
    }

    fn now(&self) -> i64 {
        protocol::world::Clock::now(self.house.time.as_ref()).secs()
    }

    fn jwt_claims(&self, jti: &str) -> Value {
        let (now, url) = (self.now(), self.revocation_url());
        json!({
            "iss": self.provider.issuer, "sub": testkit::openid_provider::CLIENT_ID, "aud": url, "jti": jti,
            "nbf": now, "iat": now, "exp": now + 300,
        })
    }

    async fn revoke_with(&self, jwt: &str, body: &Value) -> Result<Answer, String> {
        let bearer = format!("Bearer {jwt}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.house.http.post(&self.revocation_url(), &headers, body.to_string()).await
    }

    async fn revokes(&self, jti: &str, sub_id: &Value) -> Verdict {
        let jwt = self.provider.says(TYP, &self.jwt_claims(jti));
        let answer = self.revoke_with(&jwt, &json!({ "sub_id": sub_id })).await?;
        if answer.status == 204 && answer.body.is_empty() {
            return Ok(());
        }
        Err(format!("{} {}", answer.status, answer.text()))
    }

    /// What the client has of somebody of another provider.
    async fn alice(&self) -> Result<Tokens, String> {
        let (mut browser, pkce) = (self.house.browser(), Pkce::new("signals"));
        let fields = self.client.authorization_request(&self.house.resource("notes"), &pkce.challenge);
        let page = browser.open(&self.client.authorization_url(&fields)).await?.page()?;
        let page = log_in(&mut browser, page, "alice").await?;
        let code = parameter(&allow(&mut browser, &page).await?, "code").ok_or("no code")?;
        Tokens::of(&self.client.redeem(&code, &pkce.verifier).await?)
    }

    fn by_subject(&self, sub: &str) -> Value {
        json!({"format": "iss_sub", "iss": self.provider.issuer, "sub": sub})
    }
}

#[tokio::test]
async fn everything_of_the_person_ends_however_they_are_named_and_they_sign_in_again() -> Verdict {
    let scene = scene(Plan::default()).await?;
    scene.person("john", None);
    let foreign = scene.connect(&mut scene.house.browser()).await?;
    let mut own = String::new();
    for number in 0..4 {
        scene.person("jane", None);
        let mut browser = scene.house.browser();
        let tokens = scene.connect(&mut browser).await?;
        let stream = open_stream(&scene.house, &scene.house, &tokens.access).await?;
        if own.is_empty() {
            own = tokens.claims()?["sub"].as_str().unwrap_or_default().to_owned();
        }
        let named = match number {
            0 => scene.by_subject("jane"),
            1 => json!({"format": "email", "email": "Jane@Example.com"}),
            2 => json!({"format": "opaque", "id": own}),
            _ => json!({"format": "opaque", "id": "jane"}),
        };
        scene.revokes(&format!("jti {number}"), &named).await.map_err(|why| format!("{named}: {why}"))?;
        closes(stream).await?;
        scene.is_dead(&tokens).await?;
        assert!(!scene.is_signed_in(&mut browser).await?);
    }
    scene.lives(&foreign).await?;
    let events = scene.house.audit(AuditKind::SignalReceived).await?;
    assert_eq!(events.len(), 4);
    assert!(events.iter().all(|event| event.reason.as_deref() == Some("global_token_revocation")));
    scene.house.close().await
}

#[tokio::test]
async fn of_somebody_unknown_and_of_another_providers_people_the_answer_is_the_same() -> Verdict {
    let mut scene = scene(Plan::default()).await?;
    scene.person("jane", None);
    let tokens = scene.connect(&mut scene.house.browser()).await?;
    // Alice is somebody of the other provider.
    let alices = scene.alice().await?;
    let alice = alices.claims()?["sub"].clone();
    for (number, named) in [
        scene.by_subject("nobody"),
        scene.by_subject("alice"),
        json!({"format": "iss_sub", "iss": "https://elsewhere.example", "sub": "jane"}),
        json!({"format": "email", "email": "alice@example.com"}),
        json!({"format": "email", "email": "nobody@example.com"}),
        json!({"format": "opaque", "id": alice}),
        json!({"format": "opaque", "id": "development:alice"}),
    ]
    .iter()
    .enumerate()
    {
        scene.revokes(&format!("jti {number}"), named).await.map_err(|why| format!("{named}: {why}"))?;
    }
    scene.lives(&tokens).await?;
    scene.lives(&alices).await?;
    scene.client.redirect_uri.clear();
    scene.house.close().await
}

/// Whoever is linked to somebody is that person, whichever of the two the provider names (product.md, P-11).
#[tokio::test]
async fn who_is_linked_is_ended_as_the_person_that_they_are() -> Verdict {
    let scene = scene(Plan::default()).await?;
    let store: &dyn store::Store = &*scene.house.store;
    let text = |error: store::StoreError| error.to_string();
    let entropy = testkit::world::TestEntropy::seeded(77);
    let (clock, issuer) = (scene.house.clock.as_ref(), scene.house.issuer.as_str());
    let operator = Stopping { clock, entropy: &entropy, issuer, store };
    let before = scene.alice().await?;
    let alice = store.find_people("development:alice").await.map_err(text)?.pop().ok_or("no alice")?;
    let identity = LinkedIdentity { connector: IDP.to_owned(), subject: "jane".to_owned() };
    operator.link(&identity, None, &alice, None).await.map_err(text)?.ok_or("not linked")?;
    scene.revokes("by id", &json!({"format": "opaque", "id": alice.id.to_string()})).await?;
    scene.is_dead(&before).await?;
    let again = scene.alice().await?;
    scene.revokes("by subject", &scene.by_subject("jane")).await?;
    scene.is_dead(&again).await?;
    scene.house.close().await
}

/// Two people have one address at the provider: whatever fails, both are in or both are out.
#[tokio::test]
async fn of_several_people_all_are_out_or_nobody_and_the_repeat_is_done() -> Verdict {
    let scene = scene(Plan::default()).await?;
    let mut named = Vec::new();
    for sub in ["jane", "john"] {
        scene.person_at(sub, "family@example.com");
        named.push(scene.connect(&mut scene.house.browser()).await?);
    }
    let jwt = scene.provider.says(TYP, &scene.jwt_claims("several"));
    let body = json!({"sub_id": {"format": "email", "email": "family@example.com"}});
    // Each of the first writes fails in turn, until the provider is told that it is done.
    let mut tried = 0;
    loop {
        tried += 1;
        scene.house.store.fail_once_at(Failpoint::BeforeWrite, tried);
        let answer = scene.revoke_with(&jwt, &body).await?;
        scene.house.store.fail_at(None);
        if answer.status == 204 {
            break;
        }
        assert_eq!(answer.status, 503);
    }
    assert!(tried > 1, "nothing failed");
    // Of a third person who comes later the JWT says nothing.
    scene.person_at("joan", "family@example.com");
    let later = scene.connect(&mut scene.house.browser()).await?;
    assert_eq!(scene.revoke_with(&jwt, &body).await?.status, 204);
    for tokens in &named {
        scene.is_dead(tokens).await?;
    }
    scene.lives(&later).await?;
    assert_eq!(scene.house.audit(AuditKind::SignalReceived).await?.len(), 2);
    scene.house.close().await
}

#[tokio::test]
async fn a_jwt_is_used_once_whoever_is_named() -> Verdict {
    let scene = scene(Plan::default()).await?;
    scene.person("jane", None);
    let tokens = scene.connect(&mut scene.house.browser()).await?;
    let jwt = scene.provider.says(TYP, &scene.jwt_claims("once"));
    let stranger = json!({"sub_id": scene.by_subject("nobody")});
    assert_eq!(scene.revoke_with(&jwt, &stranger).await?.status, 204);
    let jane = json!({"sub_id": scene.by_subject("jane")});
    assert_eq!(scene.revoke_with(&jwt, &jane).await?.status, 204);
    scene.lives(&tokens).await?;
    scene.house.close().await
}

#[tokio::test]
async fn what_is_not_the_providers_word_for_this_endpoint_is_401_and_ends_nothing() -> Verdict {
    let scene = scene(Plan::default()).await?;
    scene.person("jane", None);
    let tokens = scene.connect(&mut scene.house.browser()).await?;
    let jane = json!({"sub_id": scene.by_subject("jane")});
    let (base, now) = (scene.jwt_claims("bad"), scene.now());
    for (name, value) in [
        ("iss", json!("https://elsewhere.example")),
        ("aud", json!(scene.house.issuer)),
        ("aud", json!(scene.at("/oauth/global_token_revocation/other"))),
        ("aud", json!([scene.revocation_url(), "another"])),
        ("exp", json!(now - 61)),
        ("exp", json!(now + 7200)),
        ("iat", json!(now + 120)),
        ("nbf", json!(now + 120)),
        ("jti", json!("")),
        ("jti", json!(7)),
    ] {
        let jwt = scene.provider.says(TYP, &changed(&base, name, value.clone()));
        let answer = scene.revoke_with(&jwt, &jane).await?;
        assert_eq!(answer.status, 401, "{name} = {value}");
        assert!(answer.header("www-authenticate").starts_with("Bearer "), "{name} = {value}");
    }
    // What the provider signed is written down; what anybody could have sent is not.
    let refused = scene.house.audit(AuditKind::SignalRefused).await?.len();
    assert!(refused > 0);
    for signature in [
        Signature::Broken,
        Signature::HmacWithThePublicKey,
        Signature::Nobody,
        Signature::OtherKey,
        Signature::UnknownKey,
    ] {
        scene.provider.change(|held| held.signature = signature);
        let jwt = scene.provider.says(TYP, &base);
        assert_eq!(scene.revoke_with(&jwt, &jane).await?.status, 401, "{signature:?}");
        scene.provider.repent();
    }
    for typ in ["at+jwt", "logout+jwt", "secevent+jwt"] {
        let jwt = scene.provider.says(typ, &base);
        assert_eq!(scene.revoke_with(&jwt, &jane).await?.status, 401, "{typ}");
    }
    let json = [("content-type", "application/json")];
    let nobody = scene.house.http.post(&scene.revocation_url(), &json, jane.to_string()).await?;
    assert_eq!(nobody.status, 401);
    assert_eq!(scene.house.audit(AuditKind::SignalRefused).await?.len(), refused);
    scene.lives(&tokens).await?;
    scene.house.close().await
}

#[tokio::test]
async fn a_body_that_names_nobody_is_400_and_uses_nothing_up() -> Verdict {
    let scene = scene(Plan::default()).await?;
    scene.person("jane", None);
    let tokens = scene.connect(&mut scene.house.browser()).await?;
    let jwt = scene.provider.says(TYP, &scene.jwt_claims("body"));
    let jane = scene.by_subject("jane");
    for body in [
        json!({}),
        json!([]),
        json!({"sub_id": "jane"}),
        json!({"sub_id": {"format": "email"}}),
        json!({"sub_id": {"format": "phone_number", "phone_number": "+81"}}),
        json!({"sub_id": jane, "subject": jane}),
    ] {
        let answer = scene.revoke_with(&jwt, &body).await?;
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, "invalid_request"), "{body}");
    }
    scene.lives(&tokens).await?;
    // As Okta's guide has it.
    assert_eq!(scene.revoke_with(&jwt, &json!({ "subject": jane })).await?.status, 204);
    let dead = scene.house.echo("notes", &tokens.access).await?;
    assert_eq!(dead.status, 401);
    scene.house.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_nodes_hear_of_a_revocation_within_t() -> Verdict {
    on_postgres(|url| async move {
        let scene = scene(Plan { postgres: Some(url), ..Plan::default() }).await?;
        let second = scene.house.second_node().await?;
        scene.person("jane", None);
        let tokens = scene.connect(&mut scene.house.browser()).await?;
        let stream = open_stream(&second, &scene.house, &tokens.access).await?;
        scene.revokes("one", &scene.by_subject("jane")).await?;
        scene.is_dead(&tokens).await?;
        closes(stream).await?;
        is_dead_within_t(&second, &tokens.access).await?;
        second.close().await?;
        scene.house.close().await
    })
    .await
}
