//! Security events that are pushed (RFC 8935; OpenID Shared Signals Framework 1.0, CAEP 1.0, RISC 1.0), from outside.
//!
//! developer.okta.com/docs/reference/ssf-transmitter-sets (read on 2026-11-26): Okta says whom it means in the event (`subject`), the
//! final specification beside the events (`sub_id`).

use authorization_server::SecurityEventTransmitter;
use serde_json::{Value, json};
use store::AuditKind;
use testkit::house::Plan;
use testkit::http::Answer;
use testkit::openid_provider::Signature;
use testkit::outcomes::Verdict;

use super::{IDP, Scene, changed, closes, is_dead_within_t, open_stream};
use crate::record::on_postgres;

const AUDIENCE: &str = "https://receiver.example/stream/1";
const TYP: &str = "secevent+jwt";
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

async fn scene(plan: Plan) -> Result<Scene, String> {
    Scene::with(plan, |plan, provider| {
        plan.security_event_transmitters.push(SecurityEventTransmitter {
            audience: AUDIENCE.to_owned(),
            connector: IDP.to_owned(),
            issuer: provider.issuer.clone(),
            keys: provider.keys()?,
        });
        Ok(())
    })
    .await
}

impl Scene {
    fn set(&self, jti: &str, sub_id: &Value) -> Value {
        let now = protocol::world::Clock::now(self.house.time.as_ref()).secs();
        json!({
            "iss": self.provider.issuer, "aud": AUDIENCE, "iat": now, "jti": jti, "sub_id": sub_id,
            "events": { SESSION_REVOKED: {"initiating_entity": "admin", "event_timestamp": now} },
        })
    }

    fn subject(&self, sub: &str) -> Value {
        json!({"format": "iss_sub", "iss": self.provider.issuer, "sub": sub})
    }

    async fn push(&self, token: &str) -> Result<Answer, String> {
        let headers = [("content-type", "application/secevent+jwt"), ("accept", "application/json")];
        self.house.http.post(&self.at("/oauth/security_events/idp"), &headers, token.to_owned()).await
    }

    async fn pushes(&self, claims: &Value) -> Verdict {
        let answer = self.push(&self.provider.says(TYP, claims)).await?;
        if answer.status == 202 && answer.body.is_empty() {
            return Ok(());
        }
        Err(format!("{} {}", answer.status, answer.text()))
    }

    async fn is_refused(&self, token: &str, err: &str) -> Verdict {
        let answer = self.push(token).await?;
        let told = answer.json();
        if answer.status == 400 && told["err"] == err && told["description"].is_string() {
            return Ok(());
        }
        Err(format!("{err}: {} {}", answer.status, answer.text()))
    }
}

/// AS-182.
#[tokio::test]
async fn a_revoked_session_ends_everything_of_the_person_to_the_last_byte_of_a_stream() -> Verdict {
    let scene = scene(Plan::default()).await?;
    scene.person("john", None);
    let foreign = scene.connect(&mut scene.house.browser()).await?;
    let risc = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
    let credential = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
    let subject = scene.subject("jane");
    let okta = |event: Value| {
        let mut set = scene.set("", &json!(null));
        set["events"] = json!({ SESSION_REVOKED: event });
        if let Some(set) = set.as_object_mut() {
            set.remove("sub_id");
        }
        set
    };
    let mut disabled = scene.set("", &subject);
    disabled["events"] = json!({ risc: {"reason": "hijacking"} });
    let mut changed_credential = scene.set("", &subject);
    changed_credential["events"] =
        json!({ credential: {"credential_type": "password", "change_type": "update"} });
    for (number, set) in [
        scene.set("", &subject),
        scene.set("", &json!({"format": "email", "email": "jane@example.com"})),
        scene.set(
            "",
            &json!({"format": "complex", "user": subject, "device": {"format": "opaque", "id": "d"}}),
        ),
        okta(json!({"subject": subject})),
        okta(json!({"subject": {"user": subject}})),
        disabled,
        changed_credential,
    ]
    .into_iter()
    .enumerate()
    {
        scene.person("jane", None);
        let mut browser = scene.house.browser();
        let tokens = scene.connect(&mut browser).await?;
        let stream = open_stream(&scene.house, &scene.house, &tokens.access).await?;
        scene
            .pushes(&changed(&set, "jti", json!(format!("jti {number}"))))
            .await
            .map_err(|why| format!("{set}: {why}"))?;
        closes(stream).await?;
        scene.is_dead(&tokens).await?;
        assert!(!scene.is_signed_in(&mut browser).await?);
    }
    scene.lives(&foreign).await?;
    assert_eq!(scene.house.audit(AuditKind::SignalReceived).await?.len(), 7);
    scene.house.close().await
}

#[tokio::test]
async fn an_event_of_one_session_ends_what_began_in_it() -> Verdict {
    let scene = scene(Plan::default()).await?;
    scene.person("jane", Some("at-work"));
    let work = scene.connect(&mut scene.house.browser()).await?;
    scene.person("jane", Some("at-home"));
    let home = scene.connect(&mut scene.house.browser()).await?;
    let subject = json!({"format": "complex", "user": scene.subject("jane"), "session": {"format": "opaque", "id": "at-work"}});
    scene.pushes(&scene.set("one", &subject)).await?;
    scene.is_dead(&work).await?;
    scene.lives(&home).await?;
    scene.house.close().await
}

#[tokio::test]
async fn other_events_strangers_and_repeats_are_acknowledged_and_end_nothing() -> Verdict {
    let scene = scene(Plan::default()).await?;
    scene.person("jane", None);
    let set = scene.set("used", &scene.subject("jane"));
    scene.pushes(&set).await?;
    let mut tokens = scene.connect(&mut scene.house.browser()).await?;
    let event = |name: &str, event: Value| {
        let mut other = scene.set(name, &scene.subject("jane"));
        other["events"] = json!({ name: event });
        other
    };
    for other in [
        set.clone(),
        scene.set("stranger", &scene.subject("nobody")),
        scene.set(
            "elsewhere",
            &json!({"format": "iss_sub", "iss": "https://elsewhere.example", "sub": "jane"}),
        ),
        event("https://schemas.openid.net/secevent/ssf/event-type/verification", json!({"state": "abc"})),
        event(
            "https://schemas.openid.net/secevent/ssf/event-type/stream-updated",
            json!({"status": "paused"}),
        ),
        event(
            "https://schemas.openid.net/secevent/caep/event-type/credential-change",
            json!({"change_type": "create"}),
        ),
        event("https://schemas.openid.net/secevent/caep/event-type/device-compliance-change", json!({})),
        event("https://elsewhere.example/event", json!({})),
    ] {
        scene.pushes(&other).await.map_err(|why| format!("{other}: {why}"))?;
        tokens = scene.lives(&tokens).await.map_err(|why| format!("{other}: {why}"))?;
    }
    scene.house.close().await
}

#[tokio::test]
async fn what_is_not_the_transmitters_word_for_us_is_refused_with_its_code() -> Verdict {
    let scene = scene(Plan::default()).await?;
    scene.person("jane", None);
    let tokens = scene.connect(&mut scene.house.browser()).await?;
    let base = scene.set("bad", &scene.subject("jane"));
    let now = base["iat"].as_i64().unwrap_or_default();
    for (name, value, err) in [
        ("iss", json!("https://elsewhere.example"), "invalid_issuer"),
        ("aud", json!("https://receiver.example/stream/2"), "invalid_audience"),
        ("iat", json!(now + 120), "invalid_request"),
        ("iat", json!(now - 8 * 24 * 3600), "invalid_request"),
        ("jti", json!(""), "invalid_request"),
        ("jti", json!(null), "invalid_request"),
        ("events", json!({}), "invalid_request"),
        ("events", json!([SESSION_REVOKED]), "invalid_request"),
        ("sub", json!("jane"), "invalid_request"),
        ("exp", json!(now + 60), "invalid_request"),
        ("sub_id", json!("jane"), "invalid_request"),
        ("sub_id", json!({"format": "phone_number", "phone_number": "+81"}), "invalid_request"),
    ] {
        let token = scene.provider.says(TYP, &changed(&base, name, value.clone()));
        scene.is_refused(&token, err).await.map_err(|why| format!("{name} = {value}: {why}"))?;
    }
    for (signature, err) in [
        (Signature::Broken, "invalid_key"),
        (Signature::HmacWithThePublicKey, "invalid_key"),
        (Signature::Nobody, "invalid_key"),
        (Signature::OtherKey, "invalid_key"),
        (Signature::UnknownKey, "invalid_key"),
    ] {
        scene.provider.change(|held| held.signature = signature);
        scene
            .is_refused(&scene.provider.says(TYP, &base), err)
            .await
            .map_err(|why| format!("{signature:?}: {why}"))?;
        scene.provider.repent();
    }
    for typ in ["JWT", "logout+jwt", "at+jwt"] {
        scene.is_refused(&scene.provider.says(typ, &base), "invalid_request").await?;
    }
    for garbage in ["", "x", "a.b.c", &"x".repeat(20_000)] {
        scene.is_refused(garbage, "invalid_request").await?;
    }
    assert_eq!(scene.push(&"x".repeat(70_000)).await?.status, 413);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let url = scene.at("/oauth/security_events/idp");
    let answer = scene.house.http.post(&url, &form, scene.provider.says(TYP, &base)).await?;
    assert_eq!(answer.status, 400);
    scene.lives(&tokens).await?;
    // The honest one is still good.
    scene.pushes(&base).await?;
    scene.house.close().await
}

/// RFC 8417, section 2: several events are aspects of one thing that happened to one subject.
#[tokio::test]
async fn events_about_two_people_in_one_word_are_refused_and_end_nobody() -> Verdict {
    const PURGED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-purged";
    let scene = scene(Plan::default()).await?;
    scene.person("jane", None);
    let tokens = scene.connect(&mut scene.house.browser()).await?;
    let said = |purged: &str, revoked: &str| {
        let mut claims = scene.set(&format!("{purged}-{revoked}"), &json!(null));
        claims["events"] = json!({
            PURGED: {"subject": scene.subject(purged)},
            SESSION_REVOKED: {"subject": scene.subject(revoked)},
        });
        if let Some(claims) = claims.as_object_mut() {
            claims.remove("sub_id");
        }
        claims
    };
    scene.is_refused(&scene.provider.says(TYP, &said("nobody", "jane")), "invalid_request").await?;
    scene.lives(&tokens).await?;
    scene.pushes(&said("jane", "jane")).await?;
    scene.is_dead(&tokens).await?;
    scene.house.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_nodes_hear_of_an_event_within_t() -> Verdict {
    on_postgres(|url| async move {
        let scene = scene(Plan { postgres: Some(url), ..Plan::default() }).await?;
        let second = scene.house.second_node().await?;
        scene.person("jane", None);
        let tokens = scene.connect(&mut scene.house.browser()).await?;
        let stream = open_stream(&second, &scene.house, &tokens.access).await?;
        scene.pushes(&scene.set("one", &scene.subject("jane"))).await?;
        scene.is_dead(&tokens).await?;
        closes(stream).await?;
        is_dead_within_t(&second, &tokens.access).await?;
        second.close().await?;
        scene.house.close().await
    })
    .await
}
