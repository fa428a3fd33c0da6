//! Credentials that the gateway obtains when a call needs them, and holds in memory alone: by token exchange.

use std::sync::Arc;
use std::time::Duration;

use authorization_server::{Stopping, Target};
use http::StatusCode;
use protocol::world::Clock;
use serde_json::json;
use store::{AuditKind, Outcome};
use testkit::house::{Connected, House, Plan};
use testkit::http::Answer;
use testkit::remote_server::{Knows, RemoteServer, canary};
use testkit::world::{TestClock, TestEntropy};

use super::machines::claims;

type Done = Result<(), String>;

/// How many calls come at once.
const MANY: usize = 200;

/// A house, and behind its `notes` a remote MCP server that takes nothing but tokens of its own authorization server.
struct Scene {
    house: House,
    remote: RemoteServer,
}

/// Somebody who calls.
struct Caller {
    token: String,
    /// Who they are to Sekisho.
    id: String,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Scene {
    async fn exchanging() -> Result<Self, String> {
        let clock = Arc::new(TestClock::default());
        let remote = RemoteServer::start(Arc::clone(&clock) as Arc<dyn Clock>, Knows::PreRegistered).await?;
        let connected = Some(Connected::to("notes", &remote).exchanging());
        let house = House::with(Plan { clock, connected, ..Plan::default() }).await?;
        Ok(Self { house, remote })
    }

    async fn caller(&self, login: &str) -> Result<Caller, String> {
        let client = self.house.client().await?;
        let mut browser = self.house.browser();
        let tokens = client.obtain_tokens(&mut browser, login, &self.house.resource("notes")).await?;
        let token = tokens["access_token"].as_str().unwrap_or_default().to_owned();
        let id = claims(&token)?["sub"].as_str().unwrap_or_default().to_owned();
        Ok(Caller { token, id })
    }

    async fn echo(&self, caller: &Caller) -> Result<Answer, String> {
        self.house.echo("notes", &caller.token).await
    }

    /// Whether the MCP server takes the call for this caller's.
    async fn serves(&self, caller: &Caller) -> Result<bool, String> {
        let answer = self.echo(caller).await?;
        Ok(answer.status == StatusCode::OK && answer.text().contains(&canary(&caller.id)))
    }

    /// Ends as every test here does: nothing that was given or shown stands anywhere in clear, and no token of a client was shown
    /// to the MCP server or its authorization server (I-6, I-9, PX-05).
    async fn close(self, callers: &[&Caller]) -> Done {
        for secret in self.remote.secrets() {
            self.house.remember_secret(&secret);
        }
        let (calls, forms) = self.remote.change(|held| (held.calls.clone(), held.token_requests.clone()));
        for caller in callers {
            self.house.remember_secret(&caller.token);
            assert!(
                !format!("{calls:?} {forms:?}").contains(&caller.token),
                "the client's own token went there"
            );
        }
        for form in &forms {
            self.house.remember_secret(form.get("subject_token").map_or("no subject token", String::as_str));
        }
        self.house.close().await
    }
}

/// P-14, RFC 8693: what the MCP server is sent is what its authorization server gave for our word about the person.
#[tokio::test]
async fn our_word_about_a_person_is_exchanged_for_a_token_of_the_mcp_server() -> Done {
    let scene = Scene::exchanging().await?;
    let (alice, bob) = (scene.caller("alice").await?, scene.caller("bob").await?);
    for _ in 0..3 {
        assert!(scene.serves(&alice).await? && scene.serves(&bob).await?);
    }
    assert_eq!(scene.remote.counts().exchanges, 2, "one for each");
    let asked = scene.remote.change(|held| held.token_requests[0].clone());
    for (name, value) in [
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", scene.remote.url.as_str()),
    ] {
        assert_eq!(asked.get(name).map(String::as_str), Some(value), "{name}");
    }
    let subject = claims(&asked["subject_token"])?;
    let said = (&subject["iss"], &subject["aud"], &subject["sub"], &subject["email"]);
    assert_eq!(
        said,
        (
            &json!(scene.house.issuer),
            &json!(scene.remote.issuer()),
            &json!(alice.id),
            &json!("alice@example.com")
        )
    );
    let told = scene.house.audit(AuditKind::CredentialObtained).await?;
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|event| event.outcome == Outcome::Ok && event.detail["giver"] == "exchange"));
    assert_eq!(told[1].user.map(|user| user.to_string()), Some(alice.id.clone()));
    scene.close(&[&alice, &bob]).await
}

/// I-6: what was given for one person is never in another's call, however they come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i_6_no_call_carries_what_was_given_for_somebody_else() -> Done {
    let scene = Scene::exchanging().await?;
    let (alice, bob) = (scene.caller("alice").await?, scene.caller("bob").await?);
    for round in 0..20 {
        if round % 5 == 0 {
            scene.remote.end_access_tokens();
        }
        let (one, other) = tokio::join!(scene.serves(&alice), scene.serves(&bob));
        assert!(one? && other?);
    }
    scene.close(&[&alice, &bob]).await
}

/// Of very many calls one asks, at first and when it is to be renewed; and what is held serves while nobody answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_calls_ask_once_and_again_before_it_ends() -> Done {
    let scene = Scene::exchanging().await?;
    let alice = scene.caller("alice").await?;
    scene.remote.change(|held| held.delay = Duration::from_millis(50));
    let all = async |expected: usize| {
        let calls = (0..MANY).map(|_| scene.serves(&alice));
        let served =
            futures_util::future::join_all(calls).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        assert!(served.into_iter().all(|is_served| is_served));
        assert_eq!(scene.remote.counts().exchanges, expected);
        Ok::<_, String>(())
    };
    all(1).await?;
    // It lives for ten minutes.
    scene.house.advance(Duration::from_secs(8 * 60)).await?;
    all(1).await?;
    scene.house.advance(Duration::from_secs(70)).await?;
    scene.remote.change(|held| held.token_answers.push_back((503, json!({}))));
    all(1).await?;
    scene.house.advance(Duration::from_secs(6)).await?;
    all(2).await?;
    scene.close(&[&alice]).await
}

/// A definite no is told, written down, and not asked for in a loop; that nobody answers is another thing.
#[tokio::test]
async fn a_refusal_is_told_and_not_asked_for_in_a_loop() -> Done {
    let scene = Scene::exchanging().await?;
    let alice = scene.caller("alice").await?;
    let refuse = |status: u16, error: &'static str| {
        scene.remote.change(|held| held.token_answers.push_back((status, json!({"error": error}))));
    };
    refuse(400, "invalid_grant");
    for _ in 0..3 {
        let told = scene.echo(&alice).await?;
        assert_eq!(told.status, StatusCode::OK, "{}", told.text());
        assert_eq!(told.json()["result"]["isError"], true, "{}", told.text());
    }
    let list = scene.house.call("notes", &alice.token, "tools/list", json!({})).await?;
    assert_eq!((list.status, list.json()["error"].as_str()), (StatusCode::FORBIDDEN, Some("access_denied")));
    let asked = scene.remote.change(|held| held.token_requests.len());
    assert_eq!(asked, 1);
    for (status, error, expected, reason) in [
        (401, "invalid_client", StatusCode::BAD_GATEWAY, "connection_client_refused"),
        (400, "invalid_target", StatusCode::BAD_GATEWAY, "connection_target_refused"),
        (503, "", StatusCode::SERVICE_UNAVAILABLE, "connection_token_endpoint_unreachable"),
    ] {
        scene.house.advance(Duration::from_secs(11)).await?;
        refuse(status, error);
        let told = scene.echo(&alice).await?;
        assert_eq!(told.status, expected, "{error}: {}", told.text());
        assert!(!told.text().contains("words of a stranger"), "{}", told.text());
        let events = scene.house.audit(AuditKind::CredentialObtained).await?;
        assert_eq!(events[0].reason.as_deref(), Some(reason));
    }
    scene.house.advance(Duration::from_secs(11)).await?;
    assert!(scene.serves(&alice).await?, "and nothing is lost by it");
    scene.house.read().await?;
    scene.close(&[&alice]).await
}

/// RS-171: what the MCP server takes no more is obtained once again, by one of very many calls; what it never takes is not obtained for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_the_mcp_server_refuses_is_obtained_once_again() -> Done {
    let scene = Scene::exchanging().await?;
    let alice = scene.caller("alice").await?;
    assert!(scene.serves(&alice).await?);
    scene.remote.end_access_tokens();
    let calls = (0..MANY).map(|_| scene.serves(&alice));
    for served in futures_util::future::join_all(calls).await {
        assert!(served?);
    }
    assert_eq!(scene.remote.counts().exchanges, 2);
    // From now on it takes none.
    scene.remote.end_access_tokens();
    scene.remote.change(|held| {
        held.token_members = json!({"access_token": "no-good"}).as_object().cloned().unwrap_or_default()
    });
    for _ in 0..5 {
        let told = scene.echo(&alice).await?;
        assert_eq!(told.status, StatusCode::BAD_GATEWAY, "{}", told.text());
    }
    assert_eq!(scene.remote.counts().exchanges, 3, "it is not asked in a loop");
    scene.close(&[&alice]).await
}

/// Who is stopped is served by nothing that was held, and what was asked for when they were stopped is not held after.
#[tokio::test]
async fn what_is_held_ends_with_the_person() -> Done {
    let scene = Scene::exchanging().await?;
    let alice = scene.caller("alice").await?;
    assert!(scene.serves(&alice).await?);
    let before = scene.remote.counts().calls;
    let user = alice.id.parse().map_err(text)?;
    let record = store::Users::find_user(scene.house.store.as_ref(), user).await.map_err(text)?;
    let record = record.ok_or("no such person")?;
    let entropy = TestEntropy::seeded(99);
    let stopping = Stopping {
        clock: &*scene.house.time,
        entropy: &entropy,
        issuer: &scene.house.issuer,
        store: scene.house.store.as_ref(),
    };
    stopping.stop(&Target::User(Box::new(record)), false, None).await.map_err(text)?;
    scene.house.read().await?;
    assert_eq!(scene.echo(&alice).await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.remote.counts().calls, before);
    scene.close(&[&alice]).await
}
