//! OpenID Connect Back-Channel Logout 1.0, from outside.

use authorization_server::OnLogout;
use serde_json::{Value, json};
use store::AuditKind;
use testkit::house::Plan;
use testkit::http::Answer;
use testkit::openid_provider::Signature;
use testkit::outcomes::Verdict;

use super::{IDP, Scene, changed, closes, is_dead_within_t, open_stream};
use crate::record::on_postgres;

async fn scene(plan: Plan, on_logout: OnLogout) -> Result<Scene, String> {
    Scene::with(plan, |plan, provider| {
        plan.backchannel_logouts.push(provider.backchannel_logout(IDP, on_logout)?);
        Ok(())
    })
    .await
}

impl Scene {
    async fn logout_with(&self, token: &str) -> Result<Answer, String> {
        let url = self.at("/oauth/backchannel_logout/idp");
        self.house.http.post_form(&url, &[], &[("logout_token", token)]).await
    }

    /// 200, and nobody may keep it (section 2.8).
    async fn logs_out(&self, changes: &Value) -> Verdict {
        let answer = self.logout_with(&self.provider.logout_token(changes)).await?;
        if answer.status == 200 && answer.header("cache-control") == "no-store" {
            return Ok(());
        }
        Err(format!("{} {:?} {}", answer.status, answer.headers, answer.text()))
    }

    /// 400 with a JSON error that names nothing, and nobody may keep it.
    async fn refuses(&self, token: &str) -> Verdict {
        let answer = self.logout_with(token).await?;
        let told = answer.json();
        if answer.status == 400
            && told["error"] == "invalid_request"
            && answer.header("cache-control") == "no-store"
        {
            return Ok(());
        }
        Err(format!("{} {}", answer.status, answer.text()))
    }

    async fn received(&self) -> Result<usize, String> {
        Ok(self.house.audit(AuditKind::SignalReceived).await?.len())
    }
}

#[tokio::test]
async fn a_logout_at_the_provider_ends_what_began_in_that_session_to_the_last_byte_of_a_stream() -> Verdict {
    let scene = scene(Plan::default(), OnLogout::Access).await?;
    scene.person("jane", Some("at-work"));
    let mut work = scene.house.browser();
    let (first, second) = (scene.connect(&mut work).await?, scene.connect(&mut work).await?);
    scene.person("jane", Some("at-home"));
    let mut home = scene.house.browser();
    let other = scene.connect(&mut home).await?;
    scene.person("john", Some("of-john"));
    let mut johns = scene.house.browser();
    let foreign = scene.connect(&mut johns).await?;
    let stream = open_stream(&scene.house, &scene.house, &first.access).await?;
    let kept = open_stream(&scene.house, &scene.house, &other.access).await?;

    scene.logs_out(&json!({"sub": "jane", "sid": "at-work"})).await?;

    closes(stream).await?;
    scene.is_dead(&first).await?;
    scene.is_dead(&second).await?;
    assert!(!scene.is_signed_in(&mut work).await?);
    scene.lives(&other).await?;
    scene.lives(&foreign).await?;
    assert!(scene.is_signed_in(&mut home).await? && scene.is_signed_in(&mut johns).await?);
    assert!(kept.1.send("data: {}\n\n"));
    let events = scene.house.audit(AuditKind::SignalReceived).await?;
    let [event] = events.as_slice() else { return Err(format!("{events:?}")) };
    assert_eq!(event.reason.as_deref(), Some("backchannel_logout"));
    assert!(event.user.is_some(), "{event:?}");
    drop(kept);
    scene.house.close().await
}

#[tokio::test]
async fn without_a_session_all_of_the_person_ends_and_they_can_sign_in_again() -> Verdict {
    let scene = scene(Plan::default(), OnLogout::Access).await?;
    scene.person("jane", Some("at-work"));
    let mut work = scene.house.browser();
    let tokens = scene.connect(&mut work).await?;
    scene.person("jane", None);
    let mut home = scene.house.browser();
    let other = scene.connect(&mut home).await?;
    scene.logs_out(&json!({"sub": "jane"})).await?;
    scene.is_dead(&tokens).await?;
    scene.is_dead(&other).await?;
    assert!(!scene.is_signed_in(&mut work).await? && !scene.is_signed_in(&mut home).await?);
    scene.lives(&scene.connect(&mut work).await?).await?;
    scene.house.close().await
}

/// What was begun before sessions were noted, or where the provider names none, belongs to whoever is named.
#[tokio::test]
async fn what_began_in_a_session_that_nobody_noted_ends_with_any_of_that_person() -> Verdict {
    let scene = scene(Plan::default(), OnLogout::Access).await?;
    scene.person("jane", None);
    let mut browser = scene.house.browser();
    let tokens = scene.connect(&mut browser).await?;
    scene.logs_out(&json!({"sid": "at-work", "jti": "alone"})).await?;
    let tokens = scene.lives(&tokens).await?;
    scene.logs_out(&json!({"sub": "john", "sid": "at-work", "jti": "john"})).await?;
    let tokens = scene.lives(&tokens).await?;
    scene.logs_out(&json!({"sub": "jane", "sid": "at-work", "jti": "jane"})).await?;
    scene.is_dead(&tokens).await?;
    assert!(!scene.is_signed_in(&mut browser).await?);
    scene.house.close().await
}

#[tokio::test]
async fn where_a_logout_ends_the_session_alone_clients_go_on() -> Verdict {
    let scene = scene(Plan::default(), OnLogout::Session).await?;
    for logout in [json!({"sub": "jane", "sid": "at-work", "jti": "a"}), json!({"sub": "jane", "jti": "b"})] {
        scene.person("jane", Some("at-work"));
        let mut browser = scene.house.browser();
        let tokens = scene.connect(&mut browser).await?;
        scene.logs_out(&logout).await?;
        assert!(!scene.is_signed_in(&mut browser).await?);
        scene.lives(&tokens).await?;
    }
    scene.house.close().await
}

#[tokio::test]
async fn a_code_that_was_not_redeemed_ends_with_its_session() -> Verdict {
    let scene = scene(Plan::default(), OnLogout::Access).await?;
    scene.person("jane", Some("at-work"));
    let code = scene.code(&mut scene.house.browser()).await?;
    scene.logs_out(&json!({"sid": "at-work"})).await?;
    let redeemed = scene.client.redeem(&code, &testkit::client::Pkce::new("signals").verifier).await?;
    testkit::outcomes::tok400(&redeemed, "invalid_grant")?;
    scene.house.close().await
}

/// A provider whose answer was lost asks again; whoever found a token later does nothing with it.
#[tokio::test]
async fn a_logout_token_is_used_once_and_its_repeat_is_answered_alike() -> Verdict {
    let scene = scene(Plan::default(), OnLogout::Access).await?;
    scene.person("jane", Some("at-work"));
    let mut browser = scene.house.browser();
    scene.connect(&mut browser).await?;
    let token = scene.provider.logout_token(&json!({"sub": "jane", "sid": "at-work"}));
    let first = scene.logout_with(&token).await?;
    let again = scene.connect(&mut browser).await?;
    let repeat = scene.logout_with(&token).await?;
    assert_eq!((first.status, first.text()), (repeat.status, repeat.text()));
    scene.lives(&again).await?;
    assert!(scene.is_signed_in(&mut browser).await?);
    assert_eq!(scene.received().await?, 1);
    scene.house.close().await
}

#[tokio::test]
async fn nobody_learns_by_the_answer_who_is_known() -> Verdict {
    let scene = scene(Plan::default(), OnLogout::Access).await?;
    scene.person("jane", None);
    scene.connect(&mut scene.house.browser()).await?;
    let known = scene.logout_with(&scene.provider.logout_token(&json!({"sub": "jane", "jti": "a"}))).await?;
    let unknown =
        scene.logout_with(&scene.provider.logout_token(&json!({"sub": "nobody", "jti": "b"}))).await?;
    let headers = |answer: &Answer| answer.header("content-type").to_owned();
    assert_eq!(
        (known.status, known.text(), headers(&known)),
        (unknown.status, unknown.text(), headers(&unknown))
    );
    // Of strangers nothing is written down: a provider may speak of everybody it has.
    assert_eq!(scene.received().await?, 1);
    scene.house.close().await
}

#[tokio::test]
async fn what_is_not_the_providers_word_for_us_ends_nothing() -> Verdict {
    let scene = scene(Plan::default(), OnLogout::Access).await?;
    scene.person("jane", Some("at-work"));
    let mut browser = scene.house.browser();
    let tokens = scene.connect(&mut browser).await?;
    let good = json!({"sub": "jane", "sid": "at-work"});
    let now = protocol::world::Clock::now(scene.house.time.as_ref()).secs();
    for (name, value) in [
        ("iss", json!("https://elsewhere.example")),
        ("iss", json!(null)),
        ("aud", json!("another-client")),
        ("aud", json!(["another-client"])),
        ("aud", json!(null)),
        ("exp", json!(now - 61)),
        ("exp", json!(null)),
        ("exp", json!(now + 7200)),
        ("iat", json!(now + 120)),
        ("iat", json!(null)),
        ("iat", json!("now")),
        ("nbf", json!(now + 120)),
        ("jti", json!(null)),
        ("jti", json!("")),
        ("jti", json!("j".repeat(256))),
        ("events", json!(null)),
        ("events", json!({})),
        ("events", json!({"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}})),
        ("events", json!({"http://schemas.openid.net/event/backchannel-logout": true})),
        ("events", json!(["http://schemas.openid.net/event/backchannel-logout"])),
        ("nonce", json!("n")),
        ("sub", json!(7)),
        ("sid", json!(["at-work"])),
    ] {
        let token = scene.provider.logout_token(&changed(&good, name, value.clone()));
        scene.refuses(&token).await.map_err(|why| format!("{name} = {value}: {why}"))?;
    }
    scene.refuses(&scene.provider.logout_token(&json!({}))).await?;
    scene.refuses(&scene.provider.logout_token(&json!({"sub": "", "sid": ""}))).await?;
    scene.refuses(&scene.provider.says("at+jwt", &json!({}))).await?;
    for signature in [
        Signature::Broken,
        Signature::HmacWithThePublicKey,
        Signature::Nobody,
        Signature::OtherKey,
        Signature::UnknownKey,
    ] {
        scene.provider.change(|held| held.signature = signature);
        scene
            .refuses(&scene.provider.logout_token(&good))
            .await
            .map_err(|why| format!("{signature:?}: {why}"))?;
        scene.provider.repent();
    }
    for garbage in ["", "x", "a.b.c", &"x".repeat(20_000)] {
        scene.refuses(garbage).await?;
    }
    scene.lives(&tokens).await?;
    assert!(scene.is_signed_in(&mut browser).await?);
    assert_eq!(scene.received().await?, 0);
    // The honest one is still good.
    scene.logs_out(&good).await?;
    scene.house.close().await
}

#[tokio::test]
async fn the_endpoint_takes_one_small_form_and_is_there_for_its_provider_alone() -> Verdict {
    let scene = scene(Plan::default(), OnLogout::Access).await?;
    let token = scene.provider.logout_token(&json!({"sub": "jane"}));
    let http = &scene.house.http;
    let twice = [("logout_token", token.as_str()), ("logout_token", token.as_str())];
    assert_eq!(http.post_form(&scene.at("/oauth/backchannel_logout/idp"), &[], &twice).await?.status, 400);
    let huge = "x".repeat(70_000);
    assert_eq!(scene.logout_with(&huge).await?.status, 413);
    for path in ["development", "nobody", "idp/", "Idp", ""] {
        let url = scene.at(&format!("/oauth/backchannel_logout/{path}"));
        let answer = http.post_form(&url, &[], &[("logout_token", &token)]).await?;
        assert_eq!(answer.status, 404, "{path}");
    }
    scene.house.close().await
}

/// Invented key ids make the keys be fetched once more and no more.
#[tokio::test]
async fn a_flood_of_unknown_keys_is_no_flood_at_the_provider() -> Verdict {
    let scene = scene(Plan::default(), OnLogout::Access).await?;
    scene.provider.change(|held| held.signature = Signature::UnknownKey);
    let token = scene.provider.logout_token(&json!({"sub": "jane"}));
    for _ in 0..50 {
        scene.refuses(&token).await?;
    }
    assert!(scene.provider.asked("/keys") <= 2, "{}", scene.provider.asked("/keys"));
    scene.house.close().await
}

#[tokio::test]
async fn a_provider_that_says_jwt_or_nothing_is_understood() -> Verdict {
    let scene = scene(Plan::default(), OnLogout::Access).await?;
    scene.person("jane", Some("at-work"));
    let mut browser = scene.house.browser();
    let tokens = scene.connect(&mut browser).await?;
    let now = protocol::world::Clock::now(scene.house.time.as_ref()).secs();
    let claims = json!({
        "iss": scene.provider.issuer, "aud": testkit::openid_provider::CLIENT_ID, "iat": now, "exp": now + 120,
        "jti": "old", "sid": "at-work", "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let answer = scene.logout_with(&scene.provider.says("JWT", &claims)).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    scene.is_dead(&tokens).await?;
    scene.house.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_nodes_hear_of_a_logout_within_t_and_close_its_streams() -> Verdict {
    on_postgres(|url| async move {
        let scene = scene(Plan { postgres: Some(url), ..Plan::default() }, OnLogout::Access).await?;
        let second = scene.house.second_node().await?;
        for (jti, logout) in [("a", json!({"sid": "at-work"})), ("b", json!({"sub": "jane"}))] {
            scene.person("jane", Some("at-work"));
            let tokens = scene.connect(&mut scene.house.browser()).await?;
            let stream = open_stream(&second, &scene.house, &tokens.access).await?;
            let here = open_stream(&scene.house, &scene.house, &tokens.access).await?;
            scene.logs_out(&changed(&logout, "jti", json!(jti))).await?;
            closes(here).await?;
            scene.is_dead(&tokens).await?;
            closes(stream).await?;
            is_dead_within_t(&second, &tokens.access).await?;
        }
        // A token is used once, whichever node it comes to.
        let token = scene.provider.logout_token(&json!({"sub": "jane", "jti": "c"}));
        let fields = [("logout_token", token.as_str())];
        let url = scene.at("/oauth/backchannel_logout/idp");
        assert_eq!(second.http.post_form(&url, &[], &fields).await?.status, 200);
        let tokens = scene.connect(&mut scene.house.browser()).await?;
        assert_eq!(scene.house.http.post_form(&url, &[], &fields).await?.status, 200);
        scene.lives(&tokens).await?;
        second.close().await?;
        scene.house.close().await
    })
    .await
}
