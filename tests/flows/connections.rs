//! Accounts that people connect themselves: from the link to the answer of an MCP server that knows them, and back.

use std::sync::Arc;
use std::time::Duration;

use authorization_server::{Stopping, Target};
use http::StatusCode;
use http_body_util::BodyExt as _;
use protocol::id::Reference;
use protocol::world::{Clock, Entropy};
use serde_json::{Value, json};
use store::{AuditEvent, AuditKind, Connections as _, Failpoint, Outcome, Queries as _, SignIns as _};
use testkit::browser::{Browser, Page};
use testkit::client::{Pkce, allow, log_in, parameter};
use testkit::house::{Connected, House, Plan};
use testkit::http::Answer;
use testkit::remote_server::{Knows, RemoteServer, canary};
use testkit::world::{TestClock, TestEntropy};
use tokio::sync::Semaphore;

use crate::record::{on_postgres, tamper};
use crate::steps::patiently;

pub(super) type Done = Result<(), String>;

/// How soon what was taken back must be over (product.md, P-2).
const T: Duration = Duration::from_secs(5);
/// How many calls come at once.
const MANY: usize = 200;

/// A house, the remote MCP server behind its `notes`, and a person who has a token for it.
pub(super) struct Scene {
    pub(super) house: House,
    pub(super) remote: RemoteServer,
    pub(super) browser: Browser,
    pub(super) token: String,
}

pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Scene {
    pub(super) async fn new() -> Result<Self, String> {
        Self::over(Plan::default()).await
    }

    pub(super) async fn over(plan: Plan) -> Result<Self, String> {
        let clock = Arc::clone(&plan.clock) as Arc<dyn Clock>;
        let remote = RemoteServer::start(clock, Knows::PreRegistered).await?;
        let connected = Some(Connected::to("notes", &remote));
        let house = House::with(Plan { connected, ..plan }).await?;
        let mut browser = house.browser();
        let token = token(&house, &mut browser, "alice").await?;
        Ok(Self { house, remote, browser, token })
    }

    /// The same, where the person has connected the account of that name.
    pub(super) async fn connected(account: &str) -> Result<Self, String> {
        Self::connected_over(Plan::default(), account).await
    }

    pub(super) async fn connected_over(plan: Plan, account: &str) -> Result<Self, String> {
        let mut scene = Self::over(plan).await?;
        scene.remote.sign_in(account);
        let link = scene.link().await?;
        connect(&mut scene.browser, &link).await?;
        Ok(scene)
    }

    /// Two hours later, when what the provider gave is over; the person's client has another token of ours.
    pub(super) async fn later(&mut self) -> Result<(), String> {
        self.house.advance(Duration::from_secs(2 * 60 * 60)).await?;
        let mut browser = self.browser.clone();
        self.token = token(&self.house, &mut browser, "alice").await?;
        Ok(())
    }

    pub(super) async fn echo(&self) -> Result<Answer, String> {
        self.house.echo("notes", &self.token).await
    }

    /// The link that the client is told.
    pub(super) async fn link(&self) -> Result<String, String> {
        link_in(&self.echo().await?)
    }

    /// Whether the answer is that of an MCP server that takes the person for this account.
    pub(super) async fn is(&self, account: &str) -> Result<bool, String> {
        let answer = self.echo().await?;
        Ok(answer.status == StatusCode::OK && answer.text().contains(&canary(account)))
    }
}

pub(super) async fn token(house: &House, browser: &mut Browser, login: &str) -> Result<String, String> {
    let client = house.client().await?;
    let tokens = client.obtain_tokens(browser, login, &house.resource("notes")).await?;
    Ok(tokens["access_token"].as_str().unwrap_or_default().to_owned())
}

/// A token that reads and does not write.
async fn reader(house: &House, login: &str) -> Result<String, String> {
    let (client, pkce, mut browser) = (house.client().await?, Pkce::new("a reader"), house.browser());
    let mut fields = client.authorization_request(&house.resource("notes"), &pkce.challenge);
    fields.push(("scope".to_owned(), "read".to_owned()));
    let page = browser.open(&client.authorization_url(&fields)).await?.page()?;
    let page = log_in(&mut browser, page, login).await?;
    let back = allow(&mut browser, &page).await?;
    let code = parameter(&back, "code").ok_or("no code")?;
    let tokens = client.redeem(&code, &pkce.verifier).await?.json();
    assert_eq!(tokens["scope"], "read");
    Ok(tokens["access_token"].as_str().ok_or("no token")?.to_owned())
}

/// The link in the words of an answer.
pub(super) fn link_in(answer: &Answer) -> Result<String, String> {
    let said = answer.json().to_string();
    let at = said.find("http://localhost").ok_or_else(|| format!("no link: {said}"))?;
    Ok(said[at..].chars().take_while(|c| !matches!(c, ' ' | '"' | '\\')).collect())
}

/// From the link through the provider and back; the page that is shown then.
pub(super) async fn connect(browser: &mut Browser, link: &str) -> Result<Page, String> {
    let page = browser.open(link).await?.page()?;
    let away = browser.submit(&page, page.form()?, None).await?.left()?;
    let mut there = Browser::new(testkit::http::Http::default());
    let back = there.open(away.as_str()).await?.left()?;
    browser.open_from_elsewhere(back.as_str()).await?.page()
}

/// Waits until the provider was told that a connection ended.
pub(super) async fn revoked(remote: &RemoteServer) {
    while remote.counts().revocations == 0 {
        tokio::task::yield_now().await;
    }
}

/// F-13: by a clock that is not that of the record no connection that ended is claimed, and no provider is told.
#[tokio::test]
async fn f_13_a_node_with_a_wrong_clock_revokes_nothing() -> Done {
    // Nobody compares clocks here but this test.
    let scene = Scene::connected_over(Plan { stale_keys: true, ..Plan::default() }, "ada").await?;
    assert!(scene.is("ada").await?);
    let user =
        super::machines::claims(&scene.token)?["sub"].as_str().unwrap_or_default().parse().map_err(text)?;
    let (server, freshness) = (&scene.house.resource_server, scene.house.keeper.freshness());
    freshness.note_clock(true);
    assert!(server.disconnect(user, "notes").await.map_err(text)?);
    server.revoke_ended().await.map_err(text)?;
    assert_eq!(scene.remote.counts().revocations, 0);
    freshness.note_clock(false);
    server.revoke_ended().await.map_err(text)?;
    revoked(&scene.remote).await;
    scene.house.close().await
}

/// What is in memory costs no visit to the record: a call goes on while not one read of it is answered.
#[tokio::test]
async fn a_credential_in_memory_costs_no_visit_to_the_record() -> Done {
    let scene = Scene::connected("ada").await?;
    assert!(scene.is("ada").await?, "from here on it is in memory");
    scene.house.store.fail_at(Some(Failpoint::BeforeRead));
    for _ in 0..3 {
        assert!(scene.is("ada").await?);
    }
    scene.house.store.fail_at(None);
    Ok(())
}

/// From no connection to an answer, and what each kind of client is told before.
#[tokio::test]
async fn a_person_connects_an_account_and_is_that_account_there() -> Done {
    let mut scene = Scene::new().await?;
    let told = scene.echo().await?.json();
    assert_eq!((told["result"]["isError"].as_bool(), &told["error"]), (Some(true), &Value::Null), "{told}");
    // Only tools can say so in a result.
    let told = scene.house.call("notes", &scene.token, "tools/list", json!({})).await?.json();
    assert_eq!(told["error"]["code"], -31403, "{told}");
    assert_eq!(scene.remote.counts().unauthorized, 0, "nothing goes there without a credential");
    let link = scene.link().await?;
    scene.remote.sign_in("ada");
    let page = scene.browser.open(&link).await?.page()?;
    let words = page.words();
    assert!(words.contains("alice@example.com") && words.contains("127.0.0.1"), "{words}");
    let done = connect(&mut scene.browser, &link).await?;
    assert!(done.words().contains("Go back to your application"), "{}", done.words());
    assert!(scene.is("ada").await?);
    assert_eq!(scene.house.audit(AuditKind::ConnectionMade).await?.len(), 1);
    for secret in scene.remote.secrets() {
        scene.house.remember_secret(&secret);
    }
    scene.house.close().await
}

/// P-15: the person sees which account it is, as its provider calls it.
#[tokio::test]
async fn a_connected_account_is_called_as_its_provider_calls_it() -> Done {
    let mut scene = Scene::new().await?;
    scene
        .remote
        .change(|held| drop(held.token_members.insert("workspace_name".to_owned(), json!("Notes of Ada"))));
    let link = scene.link().await?;
    let page = connect(&mut scene.browser, &link).await?;
    assert!(page.words().contains("Notes of Ada"), "{}", page.words());
    let all = scene.house.store.list_connections(None, None).await.map_err(text)?;
    assert_eq!(all[0].account.as_deref(), Some("Notes of Ada"));
    scene.house.close().await
}

/// RS-131, RS-132, RS-153: what was declared decides how it is told.
#[tokio::test]
async fn a_client_is_told_in_the_way_that_it_declared() -> Done {
    let scene = Scene::new().await?;
    let url = scene.house.resource("notes");
    let post = async |message: &Value, more: &[(&str, &str)]| {
        let bearer = format!("Bearer {}", scene.token);
        let accept = ("accept", "application/json, text/event-stream");
        let headers = [[("authorization", bearer.as_str()), accept].as_slice(), more].concat();
        scene.house.http.post_json(&url, &headers, message).await
    };
    let modern = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": "echo", "arguments": {}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}},
        },
    }});
    let named = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "echo")];
    let answer = post(&modern, &named).await?.json();
    assert_eq!(answer["result"]["resultType"], "input_required", "{answer}");
    let question = &answer["result"]["inputRequests"]["connect"]["params"];
    assert_eq!(question["mode"], "url");
    assert!(question["url"].as_str().unwrap_or_default().contains("/connect/notes?for="), "{answer}");
    // The person says no: words, and no second question. To another call it says nothing.
    let retry = |name: &str, action: &str| {
        let mut retry = modern.clone();
        retry["id"] = 9.into();
        retry["params"]["name"] = name.into();
        retry["params"]["requestState"] = answer["result"]["requestState"].clone();
        retry["params"]["inputResponses"] = json!({"connect": {"action": action}});
        retry
    };
    let no = post(&retry("echo", "decline"), &named).await?.json();
    assert_eq!(
        (&no["result"]["isError"], &no["result"]["resultType"]),
        (&json!(true), &json!("complete")),
        "{no}"
    );
    let named_write = [named[0], named[1], ("mcp-name", "write")];
    for (again, named) in [(retry("echo", "accept"), named), (retry("write", "decline"), named_write)] {
        let again = post(&again, &named).await?.json();
        assert_eq!(again["result"]["resultType"], "input_required", "{again}");
    }
    // A client that declared no such questions is put none, and one that goes on with a question of the MCP server's
    // own is told in words.
    let mut silent = modern.clone();
    silent["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({"elicitation": {"form": {}}});
    let mut theirs = retry("echo", "accept");
    theirs["params"]["requestState"] = "theirs".into();
    for words in [silent, theirs] {
        let words = post(&words, &named).await?.json();
        assert_eq!(words["result"]["isError"], true, "{words}");
    }
    // An older client that declared nothing is told in words.
    let older = json!({"jsonrpc": "2.0", "id": 8, "method": "tools/call",
        "params": {"name": "echo", "arguments": {}}});
    let answer = post(&older, &[("mcp-protocol-version", "2025-11-25")]).await?.json();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(answer["result"].get("resultType").is_none(), "{answer}");
    scene.house.close().await
}

/// RS-138: what answers our question stays here; what answers one of the MCP server's goes there.
#[tokio::test]
async fn the_answer_to_our_question_does_not_reach_the_mcp_server() -> Done {
    let scene = Scene::connected("ada").await?;
    let url = scene.house.resource("notes");
    let bearer = format!("Bearer {}", scene.token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
    ];
    for (state, kept) in [("sekisho-connect.1.ab", false), ("theirs", true)] {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
            "name": "echo", "arguments": {"n": 1}, "requestState": state,
            "inputResponses": {"connect": {"action": "accept"}},
            "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}},
        }});
        let answer = scene.house.http.post_json(&url, &headers, &message).await?;
        assert!(answer.text().contains(&canary("ada")), "{}", answer.text());
        let (_, came) = scene.remote.change(|held| held.calls.last().cloned()).ok_or("nothing came")?;
        let params = &came["params"];
        assert_eq!(params.get("requestState").is_some(), kept, "{came}");
        assert_eq!(params.get("inputResponses").is_some(), kept, "{came}");
        assert_eq!((&params["arguments"]["n"], &params["_meta"]), (&json!(1), &message["params"]["_meta"]));
    }
    scene.house.close().await
}

/// RS-153: an older client that declared the URL mode at its handshake is told by the error of its revision.
#[tokio::test]
async fn an_older_client_that_takes_urls_is_told_by_the_error_of_its_revision() -> Done {
    let scene = Scene::connected("ada").await?;
    let url = scene.house.resource("notes");
    let bearer = format!("Bearer {}", scene.token);
    let post = async |message: &Value, session: &str| {
        let accept = ("accept", "application/json, text/event-stream");
        let mut headers =
            vec![("authorization", bearer.as_str()), accept, ("mcp-protocol-version", "2025-11-25")];
        headers.extend((!session.is_empty()).then_some(("mcp-session-id", session)));
        scene.house.http.post_json(&url, &headers, message).await
    };
    let hello = |capabilities: Value| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": capabilities,
            "clientInfo": {"name": "c", "version": "1"},
        }})
    };
    let takes =
        post(&hello(json!({"elicitation": {"url": {}}})), "").await?.header("mcp-session-id").to_owned();
    let form = post(&hello(json!({"elicitation": {}})), "").await?.header("mcp-session-id").to_owned();
    assert!(!takes.is_empty() && !form.is_empty());
    scene.remote.end_grants_of("ada");
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "echo"}});
    let told = post(&call, &takes).await?.json();
    assert_eq!(told["error"]["code"], -32042, "{told}");
    let elicitation = &told["error"]["data"]["elicitations"][0];
    assert_eq!(elicitation["mode"], "url", "{told}");
    assert!(elicitation["elicitationId"].is_string() && elicitation["message"].is_string(), "{told}");
    assert!(elicitation["url"].as_str().unwrap_or_default().contains("/connect/notes?for="), "{told}");
    let told = post(&call, &form).await?.json();
    assert_eq!(told["result"]["isError"], true, "{told}");
    scene.house.close().await
}

/// CB-15, RS-177, RS-178: a link is for one person, and the way back for one person in one browser.
#[tokio::test]
async fn cb_15_nobody_connects_an_account_for_somebody_else() -> Done {
    let mut scene = Scene::new().await?;
    let link = scene.link().await?;
    let mut other = scene.house.browser();
    token(&scene.house, &mut other, "bob").await?;
    let refused = other.open(&link).await?.page()?;
    assert_eq!(refused.answer.status, StatusCode::FORBIDDEN, "{}", refused.words());
    // Begun by one, and brought back by another, who is signed in as somebody else or as the same in another browser.
    let page = scene.browser.open(&link).await?.page()?;
    let away = scene.browser.submit(&page, page.form()?, None).await?.left()?;
    scene.remote.sign_in("ada");
    let mut there = Browser::new(testkit::http::Http::default());
    let back = there.open(away.as_str()).await?.left()?;
    let mut same = scene.house.browser();
    token(&scene.house, &mut same, "alice").await?;
    let mut stranger = scene.house.browser();
    for browser in [&mut other, &mut same, &mut stranger] {
        let refused = browser.open_from_elsewhere(back.as_str()).await?.page()?;
        assert_eq!(refused.answer.status, StatusCode::FORBIDDEN, "{}", refused.words());
        assert!(refused.words().contains("belongs to another browser"), "{}", refused.words());
    }
    stranger.open_from_elsewhere(back.as_str()).await?.page()?;
    // What nobody began is no news, and nobody fills the record with it.
    let made_up = format!("{}/connect/notes/callback?state=made-up&code=x", scene.house.issuer);
    let refused = stranger.open_from_elsewhere(&made_up).await?.page()?;
    assert_eq!(refused.answer.status, StatusCode::BAD_REQUEST, "{}", refused.words());
    assert_eq!(scene.remote.counts().codes, 0, "the code was sent nowhere");
    // Its owner is not hindered by that, once.
    scene.browser.open_from_elsewhere(back.as_str()).await?.page()?;
    assert!(scene.is("ada").await?);
    let again = scene.browser.open_from_elsewhere(back.as_str()).await?.page()?;
    assert_eq!(again.answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(scene.house.audit(AuditKind::ConnectionRefused).await?.len(), 4);
    scene.house.close().await
}

/// P-19, S39: whoever is told that an account was not connected is told a reference, and whoever runs the place finds by it what
/// happened, among the sign-ins and in the audit.
#[tokio::test]
async fn a_connection_that_was_refused_is_found_by_the_reference_of_its_page() -> Done {
    let mut scene = Scene::new().await?;
    let link = scene.link().await?;
    let page = scene.browser.open(&link).await?.page()?;
    scene.browser.submit(&page, page.form()?, None).await?.left()?;
    let made_up = format!("{}/connect/notes/callback?state=made-up&code=x", scene.house.issuer);
    let refused = scene.browser.open_from_elsewhere(&made_up).await?.page()?;
    let words = refused.words();
    let reference_in = |words: &str| {
        let (_, rest) = words.split_once("Reference ").ok_or_else(|| format!("no reference: {words}"))?;
        Reference::parse(rest.get(..9).unwrap_or_default()).map_err(|error| format!("{error}: {words}"))
    };
    let reference = reference_in(&words)?;
    let told = scene.house.audit(AuditKind::ConnectionRefused).await?;
    let [event] = told.as_slice() else { return Err(format!("one event: {told:?}")) };
    assert_eq!(
        (&event.reference, event.reason.as_deref()),
        (&Some(reference.clone()), Some("connect_attempt_unknown"))
    );
    scene.house.timeline.tell().await.map_err(|error| error.to_string())?;
    let found = scene.house.store.find_sign_ins(&reference).await.map_err(|error| error.to_string())?;
    let [row] = found.as_slice() else { return Err(format!("one attempt: {found:?}")) };
    assert_eq!(
        (row.server.as_deref(), row.last_reason.as_deref()),
        (Some("notes"), Some("connect_attempt_unknown"))
    );
    // And of a page that was never left for the provider.
    let refused = scene.browser.open(&format!("{}/connect/nosuch", scene.house.issuer)).await?.page()?;
    assert_ne!(reference_in(&refused.words())?, reference);
    scene.house.close().await
}

/// ST-02: a token that was changed in the record, or moved from where it belongs, is never used. The audit has it, once, and the
/// person connects again instead of being told to wait for ever.
#[tokio::test]
async fn st_02_a_sealed_token_that_was_moved_ends_in_a_fresh_connection() -> Done {
    for change in [
        "UPDATE connections SET access_token = refresh_token",
        "UPDATE connections SET refresh_token = access_token",
        "UPDATE connections SET access_token = \
            CAST(substr(access_token, 1, length(access_token) - 16) || zeroblob(16) AS BLOB)",
    ] {
        let mut scene = Scene::connected("ada").await?;
        assert!(scene.is("ada").await?, "{change}");
        tamper(&scene.house, change)?;
        scene.later().await?;
        let (used, told) = (scene.remote.counts().refreshes, scene.echo().await?);
        assert!(told.text().contains("/connect/notes"), "{change}: {}", told.text());
        assert!(scene.echo().await?.text().contains("/connect/notes"), "{change}");
        assert_eq!(scene.remote.counts().refreshes, used, "{change}");
        let events = scene.house.audit(AuditKind::SealBroken).await?;
        assert_eq!(events.len(), 1, "{change}: {events:?}");
        let link = link_in(&told)?;
        connect(&mut scene.browser, &link).await?;
        assert!(scene.is("ada").await?, "{change}");
        scene.house.close().await?;
    }
    Ok(())
}

/// Nobody is sent to the provider of an MCP server that they may not use.
#[tokio::test]
async fn who_may_not_use_an_mcp_server_connects_no_account_for_it() -> Done {
    let clock = Arc::new(TestClock::default());
    let remote = RemoteServer::start(Arc::clone(&clock) as Arc<dyn Clock>, Knows::PreRegistered).await?;
    let connected = Some(Connected::to("ledger", &remote));
    let house = House::with(Plan { clock, connected, ..Plan::default() }).await?;
    for (login, status) in [("alice", StatusCode::FORBIDDEN), ("dario", StatusCode::OK)] {
        let mut browser = house.browser();
        token(&house, &mut browser, login).await?;
        let page = browser.open(&format!("{}/connect/ledger", house.issuer)).await?.page()?;
        assert_eq!(page.answer.status, status, "{login}: {}", page.words());
    }
    house.close().await
}

/// Whoever opens a link without being signed in signs in, and comes to the same page.
#[tokio::test]
async fn a_link_leads_through_the_sign_in_and_on() -> Done {
    let scene = Scene::new().await?;
    let link = scene.link().await?;
    let mut fresh = scene.house.browser();
    let login = fresh.open(&link).await?.page()?;
    let form = login.form()?;
    let button = form.buttons.iter().find(|(name, _)| name == "connector").cloned();
    let button = button.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
    let people = fresh.submit(&login, form, button).await?.page()?;
    let form = people.form()?.with("login", "alice");
    let page = fresh.submit(&people, form, None).await?.page()?;
    assert!(page.url.path().ends_with("/connect/notes") && page.url.query().is_some(), "{}", page.url);
    assert!(page.words().contains("Go on to"), "{}", page.words());
    scene.house.close().await
}

/// I-6: of two people each is their own account, and nobody's credential goes with another's call.
#[tokio::test]
async fn each_person_is_their_own_account() -> Done {
    let scene = Scene::connected("ada").await?;
    let mut other = scene.house.browser();
    let token = token(&scene.house, &mut other, "bob").await?;
    let answer = scene.house.echo("notes", &token).await?;
    scene.remote.sign_in("grace");
    connect(&mut other, &link_in(&answer)?).await?;
    for _ in 0..10 {
        let (alice, bob) = tokio::join!(scene.echo(), scene.house.echo("notes", &token));
        let (alice, bob) = (alice?.text(), bob?.text());
        assert!(alice.contains(&canary("ada")) && !alice.contains(&canary("grace")), "{alice}");
        assert!(bob.contains(&canary("grace")) && !bob.contains(&canary("ada")), "{bob}");
    }
    scene.house.close().await
}

/// TK-34 and the first half of F-15: of very many calls one refreshes, and a provider that is away costs nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tk_34_very_many_calls_refresh_once_and_a_provider_that_is_away_costs_nothing() -> Done {
    let scene = Scene::connected("ada").await?;
    scene.house.advance(Duration::from_secs(2 * 60 * 60)).await?;
    let mut browser = scene.browser.clone();
    let token = token(&scene.house, &mut browser, "alice").await?;
    scene.remote.change(|held| held.token_answers.push_back((503, json!({}))));
    let away = scene.house.echo("notes", &token).await?;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE, "{}", away.text());
    scene.house.advance(Duration::from_secs(6)).await?;
    let calls = (0..MANY).map(|_| scene.house.echo("notes", &token));
    for answer in futures_util::future::join_all(calls).await {
        let answer = answer?;
        assert!(answer.text().contains(&canary("ada")), "{}", answer.text());
    }
    let counts = scene.remote.counts();
    assert_eq!((counts.refreshes, counts.reuses), (1, 0));
    scene.house.close().await
}

/// F-15: after one answer of the provider that nobody can read every call is answered at once, while nothing is asked, and a few
/// seconds later the person goes on.
#[tokio::test]
async fn f_15_after_one_answer_that_nobody_can_read_no_call_hangs_and_soon_all_go_on() -> Done {
    let garbage = [
        json!({"token_type": "Bearer"}),
        json!({"access_token": "x", "token_type": "mac"}),
        json!([]),
        json!({"access_token": "a\r\nb", "token_type": "Bearer"}),
        json!("<html>"),
    ];
    for (status, answer) in garbage.into_iter().map(|answer| (200, answer)).chain([(500, json!({}))]) {
        let scene = Scene::connected("ada").await?;
        assert!(scene.is("ada").await?);
        scene.remote.end_access_tokens();
        scene.remote.change(|held| held.token_answers.push_back((status, answer.clone())));
        let asked = scene.remote.change(|held| held.token_requests.len());
        for round in 0..3 {
            let answered = tokio::time::timeout(Duration::from_secs(8), scene.echo()).await;
            let told = answered.map_err(|_| format!("{answer}, {round}: it hangs"))??;
            let is_unavailable = told.status == StatusCode::SERVICE_UNAVAILABLE;
            assert!(is_unavailable && !told.header("retry-after").is_empty(), "{answer}: {}", told.text());
            // Longer than the lack of one is believed.
            scene.house.advance(Duration::from_millis(1100)).await?;
        }
        assert_eq!(scene.remote.change(|held| held.token_requests.len()), asked + 1, "{answer}");
        scene.house.advance(Duration::from_secs(2)).await?;
        assert!(scene.is("ada").await?, "{answer}");
        scene.house.close().await?;
    }
    Ok(())
}

/// RS-171: a token that the MCP server does not take any more is exchanged, and the call goes up once again.
#[tokio::test]
async fn a_token_that_the_mcp_server_refuses_is_exchanged_once() -> Done {
    let scene = Scene::connected("ada").await?;
    assert!(scene.is("ada").await?);
    // Whoever looks for the authorization server is refused too.
    let before = scene.remote.counts().unauthorized;
    scene.remote.end_access_tokens();
    assert!(scene.is("ada").await?);
    let counts = scene.remote.counts();
    assert_eq!((counts.refreshes, counts.unauthorized - before), (1, 1));
    scene.house.close().await
}

/// What a tool says of itself is asked for with the person's credential. That this is refused says nothing of the tool: whoever
/// may only read is told to connect, and not to ask for more scope, by which nothing would be better.
#[tokio::test]
async fn a_reader_whose_credential_is_refused_is_told_to_connect_and_not_to_ask_for_write() -> Done {
    let scene = Scene::connected("ada").await?;
    let token = reader(&scene.house, "alice").await?;
    let echo = async || scene.house.echo("notes", &token).await;
    assert!(echo().await?.text().contains(&canary("ada")));
    // What was learnt of the list is over: it is asked for with a token that is good no more, which is exchanged.
    let later = || scene.house.advance(Duration::from_secs(61));
    later().await?;
    scene.remote.end_access_tokens();
    let answer = echo().await?;
    assert!(answer.text().contains(&canary("ada")), "{}", answer.text());
    assert_eq!(scene.remote.counts().refreshes, 1);
    later().await?;
    scene.remote.change(|held| held.forbids = true);
    for _ in 0..2 {
        let told = echo().await?;
        assert_eq!(told.status, StatusCode::OK, "{} {}", told.header("www-authenticate"), told.text());
        assert!(told.text().contains("/connect/notes"), "{}", told.text());
    }
    assert_eq!(
        scene.house.audit(AuditKind::ConnectionDead).await?.len(),
        0,
        "it may be good for another tool"
    );
    scene.remote.change(|held| held.forbids = false);
    later().await?;
    assert!(echo().await?.text().contains(&canary("ada")));
    later().await?;
    scene.remote.end_grants_of("ada");
    for _ in 0..2 {
        let told = echo().await?;
        assert_eq!(told.status, StatusCode::OK, "{} {}", told.header("www-authenticate"), told.text());
        assert!(told.text().contains("/connect/notes"), "{}", told.text());
    }
    assert_eq!(scene.house.audit(AuditKind::ConnectionDead).await?.len(), 1);
    scene.house.close().await
}

/// A stream goes on with the credential by which it was opened. P-2: it ends within T where that is taken back, here or by
/// whoever else writes into the record.
#[tokio::test]
async fn streams_end_when_the_account_by_which_they_were_opened_is_connected_no_more() -> Done {
    let clock = Arc::new(TestClock::default());
    let remote = RemoteServer::start(Arc::clone(&clock) as Arc<dyn Clock>, Knows::PreRegistered).await?;
    let connected = Some(Connected::beside("notes", &remote));
    let house = House::with(Plan { clock, connected, ..Plan::default() }).await?;
    let (mut alice, mut bob) = (house.browser(), house.browser());
    let (of_alice, of_bob) =
        (token(&house, &mut alice, "alice").await?, token(&house, &mut bob, "bob").await?);
    for (browser, token) in [(&mut alice, &of_alice), (&mut bob, &of_bob)] {
        let link = link_in(&house.echo("notes", token).await?)?;
        connect(browser, &link).await?;
    }
    let open = async |token: &str, method: &str, params: Value| {
        let asked = house.call_request("notes", token, method, params)?;
        let client = house.http.stream(asked).await?;
        assert_eq!(client.status(), StatusCode::OK);
        Ok::<_, String>((client, house.mcp.next_stream().await))
    };
    let call = || json!({"name": "stream", "arguments": {}});
    let (_first, first) = open(&of_alice, "tools/call", call()).await?;
    let (_second, second) = open(&of_alice, "subscriptions/listen", json!({})).await?;
    let (mut third, of_another) = open(&of_bob, "tools/call", call()).await?;
    let page = alice.open(&format!("{}/account/connections", house.issuer)).await?.page()?;
    alice.submit(&page, page.form()?, None).await?.page()?;
    for stream in [first, second] {
        tokio::time::timeout(T, stream.closed()).await.map_err(|_| "it is open")?;
    }
    // Somebody else's goes on.
    assert!(of_another.send("data: {}\n\n"));
    assert!(tokio::time::timeout(T, third.frame()).await.map_err(|_| "no event")?.is_some());
    // As `sekisho connections end` and other nodes do.
    let living = house.store.list_connections(None, None).await.map_err(text)?;
    let (entropy, now) = (TestEntropy::seeded(99), house.clock.now());
    let event =
        AuditEvent::new(protocol::id::Id::mint(now, &entropy), now, AuditKind::ConnectionEnded, Outcome::Ok);
    assert!(house.store.end_connection(living[0].id, event).await.map_err(text)?);
    // One that would stand is not opened any more, though the credential may be in memory yet.
    let listen = house.call("notes", &of_bob, "subscriptions/listen", json!({}));
    let told = tokio::time::timeout(T, listen).await.map_err(|_| "it was opened")??;
    assert!(told.text().contains("/connect/notes"), "{}", told.text());
    tokio::time::timeout(T, of_another.closed()).await.map_err(|_| "it is open")?;
    house.close().await
}

/// TK-35: a definite no is asked for once; from then on the person is told where to connect again, and can.
#[tokio::test]
async fn tk_35_what_a_provider_refuses_is_not_tried_again_and_the_person_is_asked() -> Done {
    let mut scene = Scene::connected("ada").await?;
    scene.remote.end_grants_of("ada");
    for _ in 0..3 {
        let told = scene.echo().await?;
        assert!(told.text().contains("/connect/notes"), "{}", told.text());
    }
    assert_eq!(scene.remote.counts().refused, 1);
    assert_eq!(scene.house.audit(AuditKind::ConnectionDead).await?.len(), 1);
    let link = scene.link().await?;
    connect(&mut scene.browser, &link).await?;
    assert!(scene.is("ada").await?);
    scene.house.close().await
}

/// A provider that says no in words of its own: it may be whoever stands before it, so the person is asked to connect only when
/// the credential has been over for an hour; but asked they are.
#[tokio::test]
async fn a_provider_that_refuses_without_a_reason_is_believed_in_the_end() -> Done {
    let mut scene = Scene::connected("ada").await?;
    let refuse = |remote: &RemoteServer| {
        remote.change(|held| held.token_answers.push_back((401, json!("sign in again"))));
    };
    let hour = Duration::from_secs(61 * 60);
    scene.house.advance(hour).await?;
    scene.token = token(&scene.house, &mut scene.browser, "alice").await?;
    refuse(&scene.remote);
    assert_eq!(scene.echo().await?.status, StatusCode::SERVICE_UNAVAILABLE);
    scene.house.advance(hour).await?;
    scene.token = token(&scene.house, &mut scene.browser, "alice").await?;
    refuse(&scene.remote);
    let told = scene.echo().await?;
    assert!(told.text().contains("/connect/notes"), "{}", told.text());
    let dead = scene.house.audit(AuditKind::ConnectionDead).await?;
    assert_eq!(
        dead.iter().map(|event| event.reason.as_deref()).collect::<Vec<_>>(),
        [Some("connection_refused_for_long")]
    );
    let link = scene.link().await?;
    connect(&mut scene.browser, &link).await?;
    assert!(scene.is("ada").await?);
    scene.house.close().await
}

/// F-15: the provider has given another pair, and it was never written: once the claim is over the old one is refused, and
/// the person is asked; nothing goes round in circles.
#[tokio::test]
async fn f_15_a_pair_that_was_lost_between_answer_and_write_ends_in_a_question() -> Done {
    let scene = Scene::connected("ada").await?;
    scene.house.advance(Duration::from_secs(2 * 60 * 60)).await?;
    let mut browser = scene.browser.clone();
    let token = token(&scene.house, &mut browser, "alice").await?;
    let gate = scene.remote.hold_refreshes();
    let lost = async {
        // Once it is claimed the provider is asked, and nothing is written before it answers.
        loop {
            let all = scene.house.store.list_connections(None, None).await.map_err(text)?;
            if all.iter().any(|one| one.claimed_until.is_some()) {
                break;
            }
            tokio::task::yield_now().await;
        }
        scene.house.store.fail_at(Some(Failpoint::BeforeWrite));
        gate.add_permits(1);
        Ok::<_, String>(())
    };
    let (answer, lost) = tokio::join!(scene.house.echo("notes", &token), lost);
    lost?;
    assert!(answer?.status.is_server_error());
    scene.house.store.fail_at(None);
    scene.remote.change(|held| held.gate = None);
    scene.house.advance(Duration::from_secs(61)).await?;
    for _ in 0..3 {
        let told = scene.house.echo("notes", &token).await?;
        assert!(told.text().contains("/connect/notes"), "{}", told.text());
    }
    assert_eq!(scene.remote.counts().reuses, 1, "the old one was shown once");
    scene.house.close().await
}

/// Some providers end all that they gave a client for a person when one token is revoked: what was connected anew lives on.
#[tokio::test]
async fn connecting_again_does_not_end_what_was_just_connected() -> Done {
    let mut scene = Scene::connected("ada").await?;
    scene.remote.change(|held| held.revokes_all = true);
    let url = format!("{}/connect/notes", scene.house.issuer);
    connect(&mut scene.browser, &url).await?;
    scene.house.resource_server.revoke_ended().await.map_err(text)?;
    let ended = scene.house.audit(AuditKind::ConnectionEnded).await?;
    assert!(ended.iter().any(|event| event.reason.as_deref() == Some("connection_superseded")), "{ended:?}");
    assert_eq!(scene.remote.counts().revocations, 0);
    assert!(scene.is("ada").await?);
    // At last it is taken back with the one that lived.
    scene.house.resource_server.disconnect(user_of(&scene).await?, "notes").await.map_err(text)?;
    revoked(&scene.remote).await;
    assert_eq!(scene.remote.grants_of("ada"), 0);
    scene.house.close().await
}

pub(super) async fn user_of(scene: &Scene) -> Result<protocol::id::Id<protocol::id::User>, String> {
    let found = scene.house.store.find_people("alice@example.com").await.map_err(text)?;
    Ok(found.into_iter().next().ok_or("nobody is there")?.id)
}

/// A provider that does not take us for a moment is told of an end later.
#[tokio::test]
async fn an_end_is_told_though_the_provider_refuses_us_for_a_while() -> Done {
    let scene = Scene::connected("ada").await?;
    scene.remote.change(|held| held.refuses_revocations = true);
    scene.house.resource_server.disconnect(user_of(&scene).await?, "notes").await.map_err(text)?;
    scene.house.resource_server.revoke_ended().await.map_err(text)?;
    assert_eq!(scene.remote.grants_of("ada"), 1);
    scene.remote.change(|held| held.refuses_revocations = false);
    scene.house.advance(Duration::from_secs(60 * 60)).await?;
    revoked(&scene.remote).await;
    assert_eq!(scene.remote.grants_of("ada"), 0);
    scene.house.close().await
}

/// A person who is stopped: their connection is of no use at once, and the provider is told, even if it was away.
#[tokio::test]
async fn a_stop_takes_connections_back_at_the_provider() -> Done {
    let scene = Scene::connected("ada").await?;
    let user = scene.house.store.find_people("alice@example.com").await.map_err(text)?;
    let user = user.into_iter().next().ok_or("nobody is there")?;
    let id = user.id;
    let entropy: Arc<dyn Entropy> = Arc::new(TestEntropy::seeded(77));
    let stopping = Stopping {
        clock: scene.house.clock.as_ref(),
        entropy: entropy.as_ref(),
        issuer: &scene.house.issuer,
        store: scene.house.store.as_ref(),
    };
    stopping.stop(&Target::User(Box::new(user)), false, None).await.map_err(text)?;
    assert_eq!(scene.house.store.find_connection(id, "notes").await.map_err(text)?, None);
    revoked(&scene.remote).await;
    assert_eq!(scene.remote.grants_of("ada"), 0);
    scene.house.close().await
}

/// The person sees what is connected, with its times, and ends it.
#[tokio::test]
async fn a_person_sees_and_ends_what_is_connected() -> Done {
    let mut scene = Scene::connected("ada").await?;
    let url = format!("{}/account/connections", scene.house.issuer);
    let page = scene.browser.open(&url).await?.page()?;
    let words = page.words();
    assert!(words.contains("The notes server") && words.contains("Renewed by itself"), "{words}");
    let page = scene.browser.submit(&page, page.form()?, None).await?.page()?;
    assert!(page.words().contains("No account is connected"), "{}", page.words());
    revoked(&scene.remote).await;
    assert!(scene.echo().await?.text().contains("/connect/notes"));
    let mut nobody = scene.house.browser();
    let refused = nobody.open(&url).await?.page()?;
    assert!(refused.answer.status.is_client_error());
    // A form of another site, or without the page's own token, does nothing.
    let page = scene.browser.open(&url).await?.page()?;
    assert!(page.forms().is_empty());
    scene.house.close().await
}

/// Waits until a refresh is at the provider, which does not answer it.
async fn held(gate: &Arc<Semaphore>) {
    // Ours, the provider's, and that of the request that waits.
    while Arc::strong_count(gate) < 3 {
        tokio::task::yield_now().await;
    }
}

/// TK-34 on one node: an exchange goes on when the call that began it is gone, and the next call does not send the same token.
/// While the credential at hand is good, it does not wait either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tk_34_a_call_after_one_that_left_does_not_exchange_the_same_token_once_more() -> Done {
    let scene = Scene::connected("ada").await?;
    // What the provider gave is nearly over.
    scene.house.advance(Duration::from_secs(600 - 30)).await?;
    let gate = scene.remote.hold_refreshes();
    tokio::select! {
        answer = scene.echo() => return Err(format!("it did not wait: {:?}", answer?.status)),
        () = held(&gate) => {}
    }
    let next =
        tokio::time::timeout(T, scene.echo()).await.map_err(|_| "the next call waits for the provider")?;
    assert!(next?.text().contains(&canary("ada")));
    gate.add_permits(1);
    while scene.remote.counts().refreshes == 0 {
        tokio::task::yield_now().await;
    }
    assert!(scene.is("ada").await?);
    let counts = scene.remote.counts();
    assert_eq!((counts.refreshes, counts.reuses), (1, 0));
    scene.house.close().await
}

/// F-15: a provider thinks for longer than a claim holds, so that another node takes it over and is refused. The pair that comes
/// late is the one that counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_15_a_pair_that_comes_after_its_claim_was_taken_over_is_not_lost() -> Done {
    on_postgres(|url| async move {
        let mut scene = Scene::connected_over(Plan { postgres: Some(url), ..Plan::default() }, "ada").await?;
        scene.later().await?;
        let second = scene.house.second_node().await?;
        let gate = scene.remote.hold_refreshes();
        let other = async {
            held(&gate).await;
            let refusal = (400, json!({"error": "invalid_grant"}));
            scene.remote.change(|held| (held.gate, held.token_answers) = (None, [refusal].into()));
            scene.house.advance(Duration::from_secs(61)).await?;
            second.read().await?;
            let told = patiently(async || second.echo("notes", &scene.token).await).await?;
            assert!(told.text().contains("/connect/notes"), "{}", told.text());
            gate.add_permits(1);
            Ok::<_, String>(())
        };
        let (first, other) = tokio::join!(scene.echo(), other);
        other?;
        let first = first?.text();
        assert!(first.contains(&canary("ada")), "{first}");
        let after = patiently(async || second.echo("notes", &scene.token).await).await?.text();
        assert!(after.contains(&canary("ada")), "{after}");
        let counts = scene.remote.counts();
        assert_eq!((counts.refreshes, counts.reuses, counts.revocations), (1, 0, 0));
        second.close().await?;
        scene.house.close().await
    })
    .await
}

/// The same while the person connects again: at a provider that ends everything with one token, what came late is not taken
/// back, or it would end what they have just connected.
#[tokio::test]
async fn what_comes_too_late_is_not_taken_back_while_another_connection_stands_for_it() -> Done {
    let mut scene = Scene::connected("ada").await?;
    scene.later().await?;
    scene.remote.change(|held| held.revokes_all = true);
    let gate = scene.remote.hold_refreshes();
    let mut browser = scene.browser.clone();
    let link = format!("{}/connect/notes", scene.house.issuer);
    let again = async {
        held(&gate).await;
        connect(&mut browser, &link).await?;
        scene.house.advance(Duration::from_secs(61)).await?;
        // The one before ended and is superseded: nothing is left of it.
        scene.house.resource_server.revoke_ended().await.map_err(text)?;
        gate.add_permits(1);
        Ok::<_, String>(())
    };
    let (_, again) = tokio::join!(scene.echo(), again);
    again?;
    assert!(scene.is("ada").await?);
    assert_eq!(scene.remote.counts().revocations, 0);
    scene.house.close().await
}

/// To look for a provider may take longer than a claim holds: it is not claimed before.
#[tokio::test]
async fn nothing_is_claimed_while_a_provider_is_looked_for() -> Done {
    let mut scene = Scene::connected("ada").await?;
    scene.later().await?;
    // A node that has not yet asked who the provider is.
    scene.house = scene.house.restart().await?;
    scene.remote.change(|held| held.issuer = Some("https://elsewhere.example".to_owned()));
    assert_eq!(scene.echo().await?.status, StatusCode::SERVICE_UNAVAILABLE);
    let all = scene.house.store.list_connections(None, None).await.map_err(text)?;
    assert_eq!(all.iter().map(|one| one.claimed_until).collect::<Vec<_>>(), [None]);
    scene.remote.change(|held| held.issuer = None);
    // Somebody who asked in the background may have heard the lie last.
    let mut answer = scene.echo().await?;
    for _ in 0..3 {
        scene.house.advance(Duration::from_secs(6)).await?;
        answer = scene.echo().await?;
    }
    assert!(answer.text().contains(&canary("ada")), "{} {}", answer.status, answer.text());
    scene.house.close().await
}
