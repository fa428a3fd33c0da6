//! Credentials that the gateway obtains when a call needs them, and holds in memory alone: by token exchange, by ID-JAGs, and from a mint.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use authorization_server::{Stopping, Target};
use http::StatusCode;
use protocol::oauth::ResourceUri;
use protocol::world::Clock;
use serde_json::json;
use store::{AuditKind, Outcome, Users as _};
use testkit::house::{Connected, House, Plan};
use testkit::http::Answer;
use testkit::identity_providers::{AppConnection, Brand, IdentityProvider};
use testkit::remote_server::github_app::INSTALLED;
use testkit::remote_server::{Knows, RemoteServer, canary};
use testkit::world::{TestClock, TestEntropy};
use tokio::sync::Semaphore;

use super::machines::{claims, machine};
use crate::abroad::Abroad;
use crate::record::tamper;
use crate::steps::patiently;

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

/// What the agent gets in exchange for this token: it acts for the person from then on.
async fn agent_for(house: &House, token: &str) -> Result<String, String> {
    let agent = machine(house, "agent-client", "secret-of-the-agent");
    let asked = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ];
    let token = agent.token(&asked).await?.json()["access_token"].as_str().ok_or("no token")?.to_owned();
    house.remember_secret(&token);
    Ok(token)
}

impl Scene {
    async fn exchanging() -> Result<Self, String> {
        let clock = Arc::new(TestClock::default());
        let remote = RemoteServer::start(Arc::clone(&clock) as Arc<dyn Clock>, Knows::PreRegistered).await?;
        let connected = Some(Connected::to("notes", &remote).exchanging());
        let house = House::with(Plan { clock, connected, ..Plan::default() }).await?;
        Ok(Self { house, remote })
    }

    /// Where Sekisho itself is trusted as an identity provider would be.
    async fn by_id_jags() -> Result<Self, String> {
        let clock = Arc::new(TestClock::default());
        let remote = RemoteServer::start(Arc::clone(&clock) as Arc<dyn Clock>, Knows::IdJag).await?;
        let connected = Some(Connected::to("notes", &remote).by_id_jags(None));
        let house = House::with(Plan { clock, connected, ..Plan::default() }).await?;
        Ok(Self { house, remote })
    }

    /// The same, also for who acts for a person.
    async fn by_id_jags_for_agents() -> Result<Self, String> {
        let clock = Arc::new(TestClock::default());
        let remote = RemoteServer::start(Arc::clone(&clock) as Arc<dyn Clock>, Knows::IdJag).await?;
        let connected = Some(Connected::to("notes", &remote).by_id_jags(None).for_agents());
        let house = House::with(Plan { clock, connected, ..Plan::default() }).await?;
        Ok(Self { house, remote })
    }

    /// Where our client has no secret: it proves by the published keys of the house who it is.
    async fn by_key(knows: Knows) -> Result<Self, String> {
        let clock = Arc::new(TestClock::default());
        let remote = RemoteServer::start(Arc::clone(&clock) as Arc<dyn Clock>, knows).await?;
        let connected = Connected::to("notes", &remote).by_key();
        let connected =
            Some(if knows == Knows::IdJag { connected.by_id_jags(None) } else { connected.exchanging() });
        let house = House::with(Plan { clock, connected, ..Plan::default() }).await?;
        let keys = house.http.get(&format!("{}/oauth/jwks", house.issuer), &[]).await?.json();
        remote.know_by_keys(&keys)?;
        Ok(Self { house, remote })
    }

    async fn minting() -> Result<Self, String> {
        let clock = Arc::new(TestClock::default());
        let remote = RemoteServer::start(Arc::clone(&clock) as Arc<dyn Clock>, Knows::GithubApp).await?;
        let connected = Some(Connected::to("notes", &remote).minting(&remote)?);
        let house = House::with(Plan { clock, connected, ..Plan::default() }).await?;
        Ok(Self { house, remote })
    }

    /// What the agent gets in exchange for the caller's token: it acts for the person from then on.
    async fn agent_of(&self, caller: &Caller) -> Result<Caller, String> {
        Ok(Caller { token: agent_for(&self.house, &caller.token).await?, id: caller.id.clone() })
    }

    /// Whether the MCP server takes the call for one of the app.
    async fn serves_the_app(&self, caller: &Caller) -> Result<bool, String> {
        let answer = self.echo(caller).await?;
        Ok(answer.status == StatusCode::OK && answer.text().contains(&canary(INSTALLED)))
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

    /// The same of a client that comes again when it is told to: a node that is starved for seconds refuses on purpose.
    async fn serves_in_the_end(&self, caller: &Caller) -> Result<bool, String> {
        let answer = patiently(async || self.echo(caller).await).await?;
        Ok(answer.status == StatusCode::OK && answer.text().contains(&canary(&caller.id)))
    }

    async fn stop(&self, caller: &Caller) -> Done {
        let user = caller.id.parse().map_err(text)?;
        let record = self.house.store.find_user(user).await.map_err(text)?.ok_or("no such person")?;
        self.stop_target(&Target::User(Box::new(record))).await
    }

    async fn stop_target(&self, target: &Target) -> Done {
        let entropy = TestEntropy::seeded(99);
        let stopping = Stopping {
            clock: &*self.house.time,
            entropy: &entropy,
            issuer: &self.house.issuer,
            store: self.house.store.as_ref(),
        };
        stopping.stop(target, false, None).await.map_err(text)?;
        self.house.read().await
    }

    /// One look at what is to be taken back; another may be on its way, so that what comes of it is waited for.
    async fn take_back(&self, revocations: usize) {
        self.house.resource_server.take_back_what_is_over().await;
        self.remote.until(|held| held.counts.revocations == revocations).await;
    }

    /// Whether what the last call carried is good at the MCP server still.
    async fn last_is_good(&self) -> Result<bool, String> {
        let (sent, _) = self.remote.change(|held| held.calls.last().cloned()).ok_or("no call")?;
        let headers = [("authorization", sent.as_str()), ("content-type", "application/json")];
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
        Ok(self.house.http.post(&self.remote.url, &headers, body).await?.status == StatusCode::OK)
    }

    /// How often what became of the credentials of the MCP server.
    fn counted(&self, outcome: &str) -> u64 {
        let counts = self.house.resource_server.counting().credentials();
        counts.iter().filter(|one| one.server == "notes" && one.outcome == outcome).map(|one| one.count).sum()
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
            for name in ["assertion", "subject_token"] {
                self.house.remember_secret(form.get(name).map_or("nothing of that name", String::as_str));
            }
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
    // By another client the person is somebody of whom other things are said: what was given for the one is not shown for the other.
    let elsewhere = scene.caller("alice").await?;
    assert!(scene.serves(&elsewhere).await? && scene.serves(&alice).await?);
    assert_eq!(scene.remote.counts().exchanges, 3);
    let asked = scene.remote.change(|held| held.token_requests[2].clone());
    let other = claims(&asked["subject_token"])?;
    assert!(other["sub"] == subject["sub"] && other["grant_id"] != subject["grant_id"], "{other} {subject}");
    scene.close(&[&alice, &bob, &elsewhere]).await
}

/// RFC 7523, sections 2.2 and 3: a client that has no secret proves who it is by the keys that Sekisho publishes, each time anew, be
/// the key another one since; nothing else that this key signs is taken for such a proof.
#[tokio::test]
async fn a_client_without_a_secret_proves_who_it_is_by_the_key_that_is_published() -> Done {
    for knows in [Knows::PreRegistered, Knows::IdJag] {
        let scene = Scene::by_key(knows).await?;
        let (alice, bob) = (scene.caller("alice").await?, scene.caller("bob").await?);
        assert!(scene.serves(&alice).await? && scene.serves(&bob).await?);
        let forms = scene.remote.change(|held| held.token_requests.clone());
        let (one, other) = (&forms[0]["client_assertion"], &forms[1]["client_assertion"]);
        assert_ne!(one, other, "each is good once");
        for form in &forms {
            assert!(!form.contains_key("client_secret"), "{form:?}");
            let said = claims(&form["client_assertion"])?;
            let us = json!(testkit::remote_server::CLIENT_ID);
            assert_eq!((&said["iss"], &said["sub"], &said["aud"]), (&us, &us, &json!(scene.remote.issuer())));
            scene.house.remember_secret(&form["client_assertion"]);
        }
        // What is no proof of this client's is refused there, and told for what it is here.
        scene.remote.know_by_keys(&json!({"keys": [stranger()]}))?;
        scene.remote.end_access_tokens();
        let told = scene.echo(&alice).await?;
        assert_eq!(told.status, StatusCode::BAD_GATEWAY, "{}", told.text());
        let events = scene.house.audit(AuditKind::CredentialObtained).await?;
        let is_said = |event: &store::AuditRow| event.reason.as_deref() == Some("connection_client_refused");
        assert!(events.iter().any(is_said), "{events:?}");
        scene.close(&[&alice, &bob]).await?;
    }
    Ok(())
}

/// A key of somebody else's.
fn stranger() -> serde_json::Value {
    json!({"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", "kid": "stranger"})
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

/// F-16: it is renewed ahead of its end, so that whoever gives it may hang for as long as one request may take, and nobody is refused.
#[tokio::test]
async fn whoever_gives_it_may_hang_while_the_one_at_hand_is_good() -> Done {
    let scene = Scene::exchanging().await?;
    let alice = scene.caller("alice").await?;
    assert!(scene.serves(&alice).await?);
    scene.house.advance(Duration::from_secs(550)).await?;
    scene.remote.change(|held| held.delay = Duration::from_secs(600));
    assert!(scene.serves(&alice).await?, "by the one at hand");
    assert!(scene.serves(&alice).await?, "and nobody waits again for a while");
    let told = scene.house.audit(AuditKind::CredentialObtained).await?;
    let reasons: Vec<_> = told.iter().map(|event| event.reason.as_deref()).collect();
    assert_eq!(reasons.iter().filter(|reason| reason.is_some()).count(), 1, "{reasons:?}");
    scene.remote.change(|held| held.delay = Duration::ZERO);
    scene.house.advance(Duration::from_secs(6)).await?;
    assert!(scene.serves(&alice).await?);
    assert_eq!(scene.remote.counts().exchanges, 2);
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
    let calls = (0..MANY).map(|_| scene.serves_in_the_end(&alice));
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
    scene.stop(&alice).await?;
    assert_eq!(scene.echo(&alice).await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(scene.remote.counts().calls, before);
    scene.close(&[&alice]).await
}

/// RFC 7009: what is held of a person who is stopped is taken back at whoever gave it, again if that one is away, and nobody else's is.
#[tokio::test]
async fn what_is_held_of_a_person_who_is_stopped_is_taken_back_at_whoever_gave_it() -> Done {
    for scene in [Scene::exchanging().await?, Scene::by_id_jags().await?, Scene::by_key(Knows::IdJag).await?]
    {
        let (alice, bob) = (scene.caller("alice").await?, scene.caller("bob").await?);
        assert!(scene.serves(&bob).await? && scene.serves(&alice).await?);
        scene.remote.change(|held| held.revocation_answers.push_back(503));
        scene.stop(&alice).await?;
        scene.house.resource_server.take_back_what_is_over().await;
        scene.remote.until(|held| held.revocation_answers.is_empty()).await;
        scene.remote.change(|held| held.revocation_answers.push_back(503));
        scene.house.resource_server.take_back_what_is_over().await;
        assert_eq!(scene.remote.change(|held| held.revocation_answers.len()), 1, "not at once again");
        scene.remote.change(|held| held.revocation_answers.clear());
        assert!(scene.last_is_good().await?, "whoever gave it was away");
        scene.house.advance(Duration::from_secs(6)).await?;
        scene.take_back(1).await;
        assert!(!scene.last_is_good().await?);
        assert!(scene.serves(&bob).await?, "and bob's is his");
        let counts = scene.remote.counts();
        assert_eq!((counts.exchanges, counts.revocations), (2, 1));
        scene.house.advance(Duration::from_secs(60)).await?;
        scene.take_back(1).await;
        assert_eq!((scene.counted("given"), scene.counted("revoked")), (2, 1));
        scene.close(&[&alice, &bob]).await?;
    }
    Ok(())
}

/// What a person's call was being given when they were stopped is taken back too; what two people were given in one is nobody's to take.
#[tokio::test]
async fn what_comes_for_somebody_who_was_stopped_meanwhile_is_taken_back() -> Done {
    let scene = Scene::exchanging().await?;
    let alice = scene.caller("alice").await?;
    let gate = scene.remote.hold_refreshes();
    let stopping = async {
        scene.remote.until(|held| !held.token_requests.is_empty()).await;
        scene.stop(&alice).await?;
        gate.add_permits(1);
        Ok::<_, String>(())
    };
    let (_, stopped) = tokio::join!(scene.echo(&alice), stopping);
    stopped?;
    scene.take_back(1).await;
    assert_eq!(scene.remote.counts().exchanges, 1);
    // What comes for somebody else meanwhile is theirs.
    let (bob, dario) = (scene.caller("bob").await?, scene.caller("dario").await?);
    let gate = scene.remote.hold_refreshes();
    let stopping = async {
        scene.remote.until(|held| held.token_requests.len() > 1).await;
        scene.stop(&dario).await?;
        gate.add_permits(1);
        Ok::<_, String>(())
    };
    let (answer, stopped) = tokio::join!(scene.echo(&bob), stopping);
    stopped?;
    assert_eq!(answer?.status, StatusCode::OK);
    scene.take_back(1).await;
    assert!(scene.last_is_good().await?);
    scene.close(&[&alice, &bob, &dario]).await?;

    let scene = Scene::exchanging().await?;
    let (alice, bob) = (scene.caller("alice").await?, scene.caller("bob").await?);
    scene.remote.change(|held| {
        held.token_members = json!({"access_token": "of-both"}).as_object().cloned().unwrap_or_default()
    });
    drop((scene.echo(&alice).await?, scene.echo(&bob).await?));
    scene.stop(&alice).await?;
    scene.take_back(0).await;
    // Whoever says no for good is not asked for ever.
    scene.remote.change(|held| held.refuses_revocations = true);
    scene.stop(&bob).await?;
    scene.house.resource_server.take_back_what_is_over().await;
    while scene.counted("not_revoked") != 1 {
        tokio::task::yield_now().await;
    }
    scene.close(&[&alice, &bob]).await
}

/// What was given for somebody of whom other things are said by now is shown no more.
#[tokio::test]
async fn what_was_given_for_a_person_who_is_described_otherwise_now_is_obtained_anew() -> Done {
    let scene = Scene::exchanging().await?;
    let alice = scene.caller("alice").await?;
    assert!(scene.serves(&alice).await?);
    tamper(
        &scene.house,
        "UPDATE users SET email = 'alice@elsewhere.example' WHERE email = 'alice@example.com'",
    )?;
    // People are read anew every half minute.
    scene.house.advance(Duration::from_secs(31)).await?;
    assert!(scene.serves(&alice).await?);
    let forms = scene.remote.change(|held| held.token_requests.clone());
    assert_eq!(forms.len(), 2);
    assert_eq!(claims(&forms[1]["subject_token"])?["email"], "alice@elsewhere.example");
    scene.close(&[&alice]).await
}

/// What is given for one MCP server is not taken back when another one is stopped; when everything is, all of it is; and nobody is asked
/// to take back what has ended by itself.
#[tokio::test]
async fn what_is_held_is_taken_back_when_everything_is_stopped_and_not_for_another_mcp_server() -> Done {
    let scene = Scene::exchanging().await?;
    let (alice, bob) = (scene.caller("alice").await?, scene.caller("bob").await?);
    assert!(scene.serves(&alice).await? && scene.serves(&bob).await?);
    let other = ResourceUri::parse(&scene.house.resource("ledger")).map_err(text)?;
    scene.stop_target(&Target::Server("ledger".to_owned(), vec![other])).await?;
    scene.take_back(0).await;
    assert!(scene.last_is_good().await?);
    assert!(scene.serves(&alice).await? && scene.serves(&bob).await?);
    scene.stop_target(&Target::All).await?;
    scene.take_back(2).await;
    assert!(!scene.last_is_good().await?);
    scene.close(&[&alice, &bob]).await?;

    let scene = Scene::exchanging().await?;
    let alice = scene.caller("alice").await?;
    assert!(scene.serves(&alice).await?);
    scene.remote.change(|held| held.revocation_answers.push_back(503));
    scene.stop(&alice).await?;
    scene.house.resource_server.take_back_what_is_over().await;
    scene.remote.until(|held| held.revocation_answers.is_empty()).await;
    scene.house.advance(Duration::from_secs(15 * 60)).await?;
    scene.take_back(0).await;
    assert_eq!((scene.counted("revoked"), scene.counted("not_revoked")), (0, 0));
    scene.close(&[&alice]).await
}

/// What is everybody's ends with nobody's stop, but with that of the MCP server: at GitHub by `DELETE /installation/token`.
#[tokio::test]
async fn a_token_of_an_app_outlives_a_person_and_not_the_stop_of_its_mcp_server() -> Done {
    let scene = Scene::minting().await?;
    let (alice, bob) = (scene.caller("alice").await?, scene.caller("bob").await?);
    assert!(scene.serves_the_app(&alice).await? && scene.serves_the_app(&bob).await?);
    scene.stop(&alice).await?;
    scene.take_back(0).await;
    assert!(scene.serves_the_app(&bob).await?);
    assert_eq!(scene.remote.counts().exchanges, 1, "it is the one of before");
    let resource = ResourceUri::parse(&scene.house.resource("notes")).map_err(text)?;
    scene.stop_target(&Target::Server("notes".to_owned(), vec![resource])).await?;
    scene.take_back(1).await;
    assert!(!scene.last_is_good().await?);
    scene.close(&[&alice, &bob]).await
}

/// P-15: a token of the app is minted once for everybody, anew before it ends, and once more if the MCP server takes it no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_an_app_is_minted_for_everybody_and_anew_before_it_ends() -> Done {
    let scene = Scene::minting().await?;
    let (alice, bob) = (scene.caller("alice").await?, scene.caller("bob").await?);
    scene.remote.change(|held| held.delay = Duration::from_millis(50));
    let all = async |expected: usize, callers: [&Caller; 2]| {
        let calls = (0..MANY).map(|number| scene.serves_the_app(callers[number % 2]));
        for served in futures_util::future::join_all(calls).await {
            assert!(served?);
        }
        assert_eq!(scene.remote.counts().exchanges, expected);
        Ok::<_, String>(())
    };
    all(1, [&alice, &bob]).await?;
    // GitHub's tokens live for an hour; those of the house for ten minutes.
    scene.house.advance(Duration::from_secs(59 * 60 + 1)).await?;
    let (alice, bob) = (scene.caller("alice").await?, scene.caller("bob").await?);
    all(2, [&alice, &bob]).await?;
    scene.remote.end_access_tokens();
    all(3, [&alice, &bob]).await?;
    let told = scene.house.audit(AuditKind::CredentialObtained).await?;
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|event| event.user.is_none() && event.detail["giver"] == "minted"), "{told:?}");
    let assertions = scene.remote.change(|held| held.assertions.clone());
    assert!(assertions.iter().all(|one| !one.contains(&alice.token) && !one.contains(&bob.token)));
    // When it has ended it is shown no more, though GitHub be away.
    scene.house.advance(Duration::from_secs(60 * 60 + 1)).await?;
    let late = scene.caller("alice").await?;
    let before = scene.remote.counts().calls;
    scene.remote.change(|held| held.token_answers.push_back((503, json!({}))));
    assert_eq!(scene.echo(&late).await?.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(scene.remote.counts().calls, before);
    scene.close(&[&alice, &bob, &late]).await
}

/// P-15: an MCP server that takes the app's token for all tools but one, of its own rules, has it minted anew once and not at each call.
#[tokio::test]
async fn a_tool_that_takes_no_token_of_the_app_does_not_have_one_minted_at_each_call() -> Done {
    let scene = Scene::minting().await?;
    let alice = scene.caller("alice").await?;
    assert!(scene.serves_the_app(&alice).await?);
    scene.remote.change(|held| held.takes_none_for = "write");
    let write = async || {
        let call = json!({"name": "write", "arguments": {}});
        scene.house.call("notes", &alice.token, "tools/call", call).await
    };
    for _ in 0..5 {
        assert_eq!(write().await?.status, StatusCode::BAD_GATEWAY);
        assert!(scene.serves_the_app(&alice).await?, "another tool takes what there is");
    }
    assert_eq!(scene.remote.counts().exchanges, 2);
    scene.house.advance(Duration::from_secs(31)).await?;
    write().await?;
    assert_eq!(scene.remote.counts().exchanges, 3, "it may have ended after all");
    scene.close(&[&alice]).await
}

/// What GitHub refuses is told for what it is, and not asked for in a loop.
#[tokio::test]
async fn what_a_mint_refuses_is_told_and_not_asked_for_in_a_loop() -> Done {
    let scene = Scene::minting().await?;
    let alice = scene.caller("alice").await?;
    for (status, expected, reason) in [
        (401, StatusCode::BAD_GATEWAY, "connection_key_unusable"),
        (404, StatusCode::OK, "connection_grant_refused"),
        (422, StatusCode::BAD_GATEWAY, "connection_scope_refused"),
        (503, StatusCode::SERVICE_UNAVAILABLE, "connection_token_endpoint_unreachable"),
    ] {
        scene
            .remote
            .change(|held| held.token_answers.push_back((status, json!({"message": "words of a stranger"}))));
        for _ in 0..3 {
            let told = scene.echo(&alice).await?;
            assert_eq!(told.status, expected, "{status}: {}", told.text());
            assert!(!told.text().contains("words of a stranger"), "{}", told.text());
        }
        let events = scene.house.audit(AuditKind::CredentialObtained).await?;
        assert_eq!(events[0].reason.as_deref(), Some(reason));
        scene.house.advance(Duration::from_secs(11)).await?;
    }
    assert_eq!(scene.remote.change(|held| held.assertions.len()), 4);
    assert!(scene.serves_the_app(&alice).await?, "and nothing is lost by it");
    scene.close(&[&alice]).await
}

/// The MCP extension, with Sekisho in the place of the identity provider: an ID-JAG of its own buys the token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_jag_of_our_own_buys_a_token_where_sekisho_is_trusted() -> Done {
    let scene = Scene::by_id_jags().await?;
    let (alice, bob) = (scene.caller("alice").await?, scene.caller("bob").await?);
    scene.remote.change(|held| held.delay = Duration::from_millis(50));
    let calls = (0..MANY).map(|number| scene.serves(if number % 2 == 0 { &alice } else { &bob }));
    for served in futures_util::future::join_all(calls).await {
        assert!(served?);
    }
    assert_eq!(scene.remote.counts().exchanges, 2, "one for each");
    let asked = scene.remote.change(|held| held.token_requests[0].clone());
    assert_eq!(asked["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let said = claims(&asked["assertion"])?;
    for (name, value) in [
        ("iss", json!(scene.house.issuer)),
        ("aud", json!(scene.remote.issuer())),
        ("client_id", json!(testkit::remote_server::CLIENT_ID)),
        ("resource", json!(scene.remote.url)),
        ("email", serde_json::Value::Null),
    ] {
        assert_eq!(said[name], value, "{name}");
    }
    let header = asked["assertion"].split('.').next().unwrap_or_default();
    let header = claims(&format!("x.{header}"))?;
    assert_eq!((&header["typ"], &header["alg"]), (&json!("oauth-id-jag+jwt"), &json!("ES256")));
    assert!(said["jti"].is_string() && said["exp"].as_i64() > said["iat"].as_i64());
    // It is renewed, and obtained once more when it is refused.
    scene.house.advance(Duration::from_secs(9 * 60 + 10)).await?;
    assert!(scene.serves(&alice).await?);
    scene.remote.end_access_tokens();
    assert!(scene.serves(&alice).await?);
    assert_eq!(scene.remote.counts().exchanges, 4);
    // RFC 7523, section 3: whoever keeps to `jti` takes none twice.
    let forms = scene.remote.change(|held| held.token_requests.clone());
    let shown: HashSet<_> = forms
        .iter()
        .map(|form| Ok(claims(&form["assertion"])?["jti"].to_string()))
        .collect::<Result<_, String>>()?;
    assert_eq!(shown.len(), forms.len());
    scene.close(&[&alice, &bob]).await
}

/// RFC 8693, section 4.1: that an agent acts for the person is never left out. An assertion that is exchanged says it; where nothing is
/// said about agents to whoever takes ID-JAGs, there is none for them, and the person's own is not lent to them.
#[tokio::test]
async fn nobody_is_told_that_the_person_calls_when_an_agent_does() -> Done {
    let scene = Scene::exchanging().await?;
    let alice = scene.caller("alice").await?;
    let agent = scene.agent_of(&alice).await?;
    assert!(scene.serves(&alice).await? && scene.serves(&agent).await?);
    let forms = scene.remote.change(|held| held.token_requests.clone());
    let acts =
        |form: &HashMap<String, String>| Ok::<_, String>(claims(&form["subject_token"])?["act"].clone());
    assert_eq!((forms.len(), acts(&forms[0])?, &acts(&forms[1])?["name"]), (2, json!(null), &json!("agent")));
    let told = scene.house.audit(AuditKind::CredentialObtained).await?;
    let actors: Vec<_> = told.iter().map(|event| event.detail.get("actor").map(String::as_str)).collect();
    assert!(actors.contains(&None) && actors.contains(&Some("agent")), "{actors:?}");
    scene.close(&[&alice, &agent]).await?;

    let scene = Scene::by_id_jags().await?;
    let alice = scene.caller("alice").await?;
    let agent = scene.agent_of(&alice).await?;
    assert!(scene.serves(&alice).await?, "and it is held");
    let refused = scene.echo(&agent).await?;
    assert_eq!(refused.json()["result"]["isError"], true, "{}", refused.text());
    assert!(refused.text().contains("acts for a person"), "{}", refused.text());
    let list = scene.house.call("notes", &agent.token, "tools/list", json!({})).await?;
    assert_eq!(list.status, StatusCode::FORBIDDEN, "{}", list.text());
    assert!(scene.serves(&alice).await?, "a refusal of the agent's is not the person's");
    assert_eq!(scene.remote.change(|held| held.token_requests.len()), 1);
    let told = scene.house.audit(AuditKind::CredentialObtained).await?;
    let no = told.iter().find(|event| event.outcome == Outcome::Refused).ok_or("no event")?;
    let said = (no.reason.as_deref(), no.detail.get("actor").map(String::as_str));
    assert_eq!(said, (Some("connection_acted_for"), Some("agent")));
    scene.close(&[&alice, &agent]).await?;

    let scene = Scene::by_id_jags_for_agents().await?;
    let alice = scene.caller("alice").await?;
    let agent = scene.agent_of(&alice).await?;
    assert!(scene.serves(&alice).await? && scene.serves(&agent).await?);
    let forms = scene.remote.change(|held| held.token_requests.clone());
    assert_eq!(forms.len(), 2, "what is the person's own is not what an agent has");
    assert_eq!(claims(&forms[1]["assertion"])?["act"]["name"], "agent");
    scene.close(&[&alice, &agent]).await
}

/// What is held is the person's whatever client they call by; when they were stopped it is held no more.
#[tokio::test]
async fn what_was_obtained_for_a_person_is_forgotten_when_they_are_stopped() -> Done {
    let scene = Scene::by_id_jags().await?;
    let first = scene.caller("alice").await?;
    let second = scene.caller("alice").await?;
    assert!(scene.serves(&first).await? && scene.serves(&second).await?);
    assert_eq!(scene.remote.counts().exchanges, 1);
    scene.stop(&first).await?;
    assert_eq!(scene.echo(&first).await?.status, StatusCode::UNAUTHORIZED);
    scene.house.advance(Duration::from_secs(2)).await?;
    let again = scene.caller("alice").await?;
    assert!(scene.serves(&again).await?);
    assert_eq!(scene.remote.counts().exchanges, 2, "nothing was left of the first");
    scene.close(&[&first, &second, &again]).await
}

/// A house whose people sign in at Okta, which gives ID-JAGs for what is behind `notes`.
async fn by_okta() -> Result<(Abroad, RemoteServer), String> {
    let clock = Arc::new(TestClock::default());
    let remote = RemoteServer::start(Arc::clone(&clock) as Arc<dyn Clock>, Knows::IdJag).await?;
    let okta = IdentityProvider::start(Brand::Okta, &clock).await?;
    let connection = AppConnection {
        audience: remote.issuer().to_owned(),
        client_id: testkit::remote_server::CLIENT_ID.to_owned(),
        resources: vec![remote.url.clone()],
        scopes: vec!["read".to_owned(), "write".to_owned()],
    };
    okta.change(|held| held.connections = vec![connection]);
    let connected = Some(Connected::to("notes", &remote).by_id_jags(Some(&okta.url)));
    let mut plan = Plan { clock, connected, ..Plan::default() };
    plan.lifetimes.access_token = Duration::from_secs(3000);
    plan.connectors.push(okta.connector_with("idp", |given| given.recheck = true)?);
    let house = House::with(plan).await?;
    let client = house.client().await?;
    Ok((Abroad { house, provider: okta, client }, remote))
}

/// A recheck may turn the refresh token just when it is shown: the one that is on record then is shown at once, and no call is refused.
#[tokio::test]
async fn what_a_recheck_turned_in_between_is_not_the_end_of_id_jags() -> Done {
    let (abroad, remote) = by_okta().await?;
    let tokens = abroad.tokens().await?;
    abroad.house.advance(Duration::from_secs(15 * 60)).await?;
    let (came, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    abroad.provider.change(|held| held.exchanges = Some([Arc::clone(&came), Arc::clone(&go)]));
    let turning = async {
        drop(came.acquire().await);
        let turned = abroad.client.refresh(&tokens.refresh).await;
        go.add_permits(2);
        turned
    };
    let (answer, turned) = tokio::join!(abroad.house.echo("notes", &tokens.access), turning);
    assert_eq!(turned?.status, StatusCode::OK);
    let answer = answer?;
    assert!(answer.status == StatusCode::OK && answer.text().contains("canary-of-"), "{}", answer.text());
    let asked = abroad.provider.asked(&abroad.provider.token_path());
    let shown: Vec<_> = asked.iter().filter_map(|one| one.fields.get("subject_token")).collect();
    assert!(shown.len() == 2 && shown[0] != shown[1], "{shown:?}");
    assert_eq!(remote.counts().exchanges, 1);
    let told = abroad.house.audit(AuditKind::CredentialObtained).await?;
    assert!(told.len() == 1 && told[0].outcome == Outcome::Ok, "{told:?}");
    // Where nothing else is on record, a no is a no, and not asked for again.
    abroad.provider.switch_off();
    abroad.provider.change(|held| held.exchanges = None);
    remote.end_access_tokens();
    let told = abroad.house.echo("notes", &tokens.access).await?;
    assert!(told.text().contains("sign in at the gateway again"), "{}", told.text());
    assert_eq!(abroad.provider.asked(&abroad.provider.token_path()).len(), asked.len() + 1);
    abroad.house.close().await
}

/// ST-02: what the identity provider gave for somebody else buys nothing. The audit has it once, and the person signs in again.
#[tokio::test]
async fn st_02_what_an_identity_provider_gave_for_another_person_buys_nothing() -> Done {
    let (abroad, remote) = by_okta().await?;
    let token = abroad.tokens().await?.access;
    tamper(&abroad.house, "UPDATE offline_access SET subject = subject || 'x'")?;
    for _ in 0..2 {
        let told = abroad.house.echo("notes", &token).await?;
        assert!(told.text().contains("sign in at the gateway again"), "{}", told.text());
    }
    assert_eq!(remote.counts().exchanges, 0);
    let events = abroad.house.audit(AuditKind::SealBroken).await?;
    let [event] = events.as_slice() else { return Err(format!("{events:?}")) };
    assert!(event.user.is_some() && event.detail["place"] == "offline_access.sealed", "{event:?}");
    abroad.house.advance(Duration::from_secs(11)).await?;
    let token = abroad.tokens().await?.access;
    let answer = abroad.house.echo("notes", &token).await?;
    assert!(answer.text().contains("canary-of-"), "{}", answer.text());
    abroad.house.close().await
}

/// Enterprise-managed authorization whole: the person's identity provider gives the ID-JAG, by what it gave at their sign-in.
#[tokio::test]
async fn an_id_jag_of_the_persons_identity_provider_buys_a_token() -> Done {
    let (abroad, remote) = by_okta().await?;
    let token = abroad.tokens().await?.access;
    let answer = abroad.house.echo("notes", &token).await?;
    assert!(answer.status == StatusCode::OK && answer.text().contains("canary-of-"), "{}", answer.text());
    assert_eq!(remote.counts().exchanges, 1);
    // Who signed in elsewhere has nothing there to be asked by.
    let mut browser = abroad.house.browser();
    let client = abroad.house.client().await?;
    let tokens = client.obtain_tokens(&mut browser, "alice", &abroad.house.resource("notes")).await?;
    let alice = tokens["access_token"].as_str().unwrap_or_default();
    let told = abroad.house.echo("notes", alice).await?;
    assert!(told.text().contains("sign in at the gateway again"), "{}", told.text());
    let events = abroad.house.audit(AuditKind::CredentialObtained).await?;
    let needed = |event: &store::AuditRow| event.reason.as_deref() == Some("connection_sign_in_needed");
    assert!(events.len() == 2 && events.iter().any(needed), "{events:?}");
    // Nor is there anything for an agent, of whom the identity provider would be told nothing: what is the person's own is not lent.
    let agent = agent_for(&abroad.house, &token).await?;
    let told = abroad.house.echo("notes", &agent).await?;
    assert!(told.text().contains("acts for a person"), "{}", told.text());
    assert_eq!(remote.counts().exchanges, 1);
    let (calls, forms) = remote.change(|held| (held.calls.clone(), held.token_requests.clone()));
    assert!(!format!("{calls:?} {forms:?}").contains(&token));
    for secret in remote.secrets() {
        abroad.house.remember_secret(&secret);
    }
    abroad.house.close().await
}
