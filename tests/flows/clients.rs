//! Which clients may ask people (product.md, P-7): who waits for an administrator, how it goes on, and what a block ends.

use std::sync::Arc;
use std::time::Duration;

use authorization_server::{Blocked, ClientAdministration, ClientPolicy, HostPattern, Standing, Stopping};
use protocol::oauth::ClientId;
use protocol::world::{Clock as _, Entropy};
use serde_json::json;
use store::{AuditKind, ClientRequests as _, Clients as _, WaitingRequest};
use testkit::browser::{Browser, Page};
use testkit::client::{Pkce, TestClient, allow, log_in, parameter};
use testkit::house::{House, Plan};
use testkit::outcomes::{Verdict, rs401, tok400, tok401};
use testkit::world::TestEntropy;

use crate::record::on_postgres;
use crate::steps::{Flow, Tokens};

const HOST: &str = "client.example";
const AT_HOST: &str = "https://client.example/cb";

/// As `serve` has it.
fn policy() -> ClientPolicy {
    ClientPolicy { outside: Standing::Ask, ..ClientPolicy::everybody() }
}

fn plan() -> Plan {
    Plan { client_policy: policy(), ..Plan::default() }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// What an administrator does beside the house.
async fn administer<T>(
    house: &House,
    act: impl AsyncFnOnce(ClientAdministration<'_>) -> Result<T, store::StoreError>,
) -> Result<T, String> {
    let entropy: Arc<dyn Entropy> = Arc::new(TestEntropy::seeded(house.counts().await?.audit_events + 900));
    let stopping = Stopping {
        clock: house.clock.as_ref(),
        entropy: entropy.as_ref(),
        issuer: &house.issuer,
        store: house.store.as_ref(),
    };
    let done = act(ClientAdministration(stopping)).await.map_err(text)?;
    house.advance(Duration::ZERO).await?;
    Ok(done)
}

async fn block(house: &House, blocked: &Blocked) -> Result<authorization_server::BlockCounts, String> {
    administer(house, async |desk| desk.block(blocked, Some("phishing")).await).await
}

async fn waiting(house: &House) -> Result<Vec<WaitingRequest>, String> {
    house.store.list_client_requests(house.time.now()).await.map_err(text)
}

async fn registered(house: &House, uris: &[&str], name: &str) -> Result<TestClient, String> {
    let metadata = json!({
        "client_name": name,
        "redirect_uris": uris,
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    });
    TestClient::register_with(&house.http, &house.issuer, &metadata).await
}

/// A client at a host that nobody knows.
async fn unknown(plan: Plan) -> Result<Flow, String> {
    let mut flow = Flow::with(plan).await?;
    flow.client = registered(&flow.house, &[AT_HOST], "Clever Notes").await?;
    Ok(flow)
}

fn waits(page: &Page) -> bool {
    page.words().contains("sekisho clients approve")
}

fn decides(page: &Page) -> bool {
    page.forms().iter().any(|form| form.buttons.iter().any(|(name, _)| name == "decision"))
}

async fn again(browser: &mut Browser, page: &Page) -> Result<Page, String> {
    browser.submit(page, page.form()?, None).await?.page()
}

async fn ask(flow: &Flow, client: &TestClient, browser: &mut Browser, pkce: &Pkce) -> Result<Page, String> {
    let fields = client.authorization_request(&flow.house.resource("notes"), &pkce.challenge);
    let page = browser.open(&client.authorization_url(&fields)).await?.page()?;
    if waits(&page) || decides(&page) || page.form().is_err() {
        Ok(page)
    } else {
        log_in(browser, page, "alice").await
    }
}

async fn goes_on_once_it_is_approved(plan: Plan) -> Verdict {
    let flow = unknown(plan).await?;
    let mut browser = flow.house.browser();
    let pkce = flow.pkce();
    let page = ask(&flow, &flow.client, &mut browser, &pkce).await?;
    let words = page.words();
    let people = waiting(&flow.house).await?;
    let [one] = people.as_slice() else { return Err(format!("one waits, not {people:?}: {words}")) };
    let reference = one.request.reference.to_string();
    for said in [
        &format!("sekisho clients approve {reference}"),
        "Clever Notes",
        HOST,
        "The notes server",
        "alice@example.com",
    ] {
        assert!(words.contains(said), "{said} is not in: {words}");
    }
    assert_eq!(
        (one.request.destination.as_str(), one.person_email.as_deref()),
        (HOST, Some("alice@example.com"))
    );
    // To come back asks nobody anew, and there is no way around the page.
    let page = again(&mut browser, &page).await?;
    assert!(waits(&page), "{}", page.words());
    let consent = page.url.as_str().replace("/login/approval", "/consent");
    assert!(waits(&browser.open(&consent).await?.page()?));
    assert_eq!(waiting(&flow.house).await?.len(), 1);
    assert_eq!(flow.house.audit(AuditKind::ClientRequested).await?.len(), 1);
    // Another browser has nothing to do with it.
    let stranger = flow.house.browser().open(page.url.as_str()).await?.page()?;
    assert_eq!(stranger.answer.status, 403, "{}", stranger.words());
    // Approved in the last minute; the tab was open all the time.
    flow.house.advance(Duration::from_secs(59 * 60)).await?;
    let id = one.request.client_id.clone();
    assert!(administer(&flow.house, async |desk| desk.approve_client(&id, HOST, None).await).await?);
    assert!(!administer(&flow.house, async |desk| desk.approve_client(&id, HOST, None).await).await?);
    let page = again(&mut browser, &page).await?;
    assert!(decides(&page), "{}", page.words());
    let code = parameter(&allow(&mut browser, &page).await?, "code").ok_or("no code")?;
    let tokens = Tokens::of(&flow.client.redeem(&code, &pkce.verifier).await?)?;
    flow.calls(&tokens.access).await?;
    assert_eq!(waiting(&flow.house).await?, [], "nobody waits any more");
    assert_eq!(flow.house.audit(AuditKind::ClientApproved).await?.len(), 1);
    // The next time there is nothing to wait for.
    let page = ask(&flow, &flow.client, &mut browser, &flow.pkce()).await?;
    assert!(decides(&page), "{}", page.words());
    flow.close().await
}

#[tokio::test]
async fn whoever_asks_with_an_unknown_client_waits_and_goes_on_once_it_is_approved() -> Verdict {
    goes_on_once_it_is_approved(plan()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_goes_on_over_postgresql() -> Verdict {
    on_postgres(
        |url| async move { goes_on_once_it_is_approved(Plan { postgres: Some(url), ..plan() }).await },
    )
    .await
}

#[tokio::test]
async fn nobody_waits_for_ever_and_a_stranger_makes_nobody_wait() -> Verdict {
    let flow = unknown(plan()).await?;
    // Who has not signed in is nobody who waits.
    let fields = flow.client.authorization_request(&flow.house.resource("notes"), &flow.pkce().challenge);
    let page = flow.house.browser().open(&flow.client.authorization_url(&fields)).await?.page()?;
    assert!(!waits(&page) && waiting(&flow.house).await?.is_empty());
    let mut browser = flow.house.browser();
    let page = ask(&flow, &flow.client, &mut browser, &flow.pkce()).await?;
    assert!(waits(&page));
    flow.house.advance(Duration::from_secs(60 * 60)).await?;
    assert_eq!(waiting(&flow.house).await?, []);
    let late = again(&mut browser, &page).await?;
    assert_eq!(late.answer.status, 400, "{}", late.words());
    // One person fills no list: the eleventh is told so.
    let mut statuses = Vec::new();
    for _ in 0..11 {
        let page = ask(&flow, &flow.client, &mut browser, &flow.pkce()).await?;
        statuses.push(page.answer.status.as_u16());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10, "{statuses:?}");
    assert_eq!((statuses.last(), waiting(&flow.house).await?.len()), (Some(&429), 10));
    flow.house.close().await
}

#[tokio::test]
async fn an_approval_is_of_one_client_at_one_place_and_no_twin_inherits_it() -> Verdict {
    let flow = unknown(plan()).await?;
    let mut browser = flow.house.browser();
    let both = [AT_HOST, "https://other.example/cb"];
    let client = registered(&flow.house, &both, "Clever Notes").await?;
    let id = ClientId::parse(&client.client_id).map_err(text)?;
    administer(&flow.house, async |desk| desk.approve_client(&id, HOST, None).await).await?;
    let page = ask(&flow, &client, &mut browser, &flow.pkce()).await?;
    assert!(decides(&page), "{}", page.words());
    let elsewhere = TestClient { redirect_uri: both[1].to_owned(), ..client.clone() };
    assert!(waits(&ask(&flow, &elsewhere, &mut browser, &flow.pkce()).await?), "another place");
    let twin = registered(&flow.house, &both, "Clever Notes").await?;
    assert!(waits(&ask(&flow, &twin, &mut browser, &flow.pkce()).await?), "the same metadata again");
    // The host itself can be approved: then it vouches for all that are called back there, and for nothing else.
    administer(&flow.house, async |desk| desk.approve_host(HOST, None).await).await?;
    assert!(decides(&ask(&flow, &twin, &mut browser, &flow.pkce()).await?));
    let elsewhere = TestClient { redirect_uri: both[1].to_owned(), ..twin };
    assert!(waits(&ask(&flow, &elsewhere, &mut browser, &flow.pkce()).await?));
    flow.house.close().await
}

#[tokio::test]
async fn what_is_blocked_between_page_and_button_is_not_allowed_and_its_codes_are_worth_nothing() -> Verdict {
    for by_host in [true, false] {
        let flow = unknown(plan()).await?;
        let id = ClientId::parse(&flow.client.client_id).map_err(text)?;
        let blocked = if by_host { Blocked::Host(HOST.to_owned()) } else { Blocked::Client(id.clone()) };
        administer(&flow.house, async |desk| desk.approve_host(HOST, None).await).await?;
        let mut browser = flow.house.browser();
        let (first, second) = (flow.pkce(), flow.pkce());
        let page = ask(&flow, &flow.client, &mut browser, &first).await?;
        let code = parameter(&allow(&mut browser, &page).await?, "code").ok_or("no code")?;
        let open = ask(&flow, &flow.client, &mut browser, &second).await?;
        assert!(decides(&open), "{}", open.words());
        assert!(block(&flow.house, &blocked).await?.new);
        tok401(&flow.client.redeem(&code, &first.verifier).await?, false)?;
        let pressed = browser.submit(&open, open.form()?, Some(("decision", "allow"))).await?.page()?;
        assert_eq!(pressed.answer.status, 400, "{}", pressed.words());
        // Unblocked, it is asked about again: what it was allowed is gone with the block. The code stays dead.
        assert!(administer(&flow.house, async |desk| desk.unblock(&blocked, None).await).await?);
        tok400(&flow.client.redeem(&code, &first.verifier).await?, "invalid_grant")?;
        let page = ask(&flow, &flow.client, &mut browser, &flow.pkce()).await?;
        assert_eq!(waits(&page), by_host, "{}", page.words());
        flow.house.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_blocked_client_neither_refreshes_nor_calls_and_no_other_is_harmed() -> Verdict {
    for how in ["client", "fingerprint", "host"] {
        let mut flow = unknown(Plan::default()).await?;
        let tokens = flow.tokens().await?;
        let other = registered(&flow.house, &["https://other.example/cb"], "Other").await?;
        let of_other = other.obtain_tokens(&mut flow.browser, "alice", &flow.house.resource("notes")).await?;
        let id = ClientId::parse(&flow.client.client_id).map_err(text)?;
        let known = flow.house.store.find_client(&id).await.map_err(text)?.ok_or("not in use")?;
        let blocked = match how {
            "client" => Blocked::Client(id),
            "fingerprint" => Blocked::Fingerprint(known.fingerprint),
            _ => Blocked::Host(HOST.to_owned()),
        };
        let counts = block(&flow.house, &blocked).await?;
        assert_eq!((counts.ended.grants, counts.clients), (1, 1), "{how}");
        rs401(&flow.house.echo("notes", &tokens.access).await?)?;
        tok401(&flow.refresh(&tokens.refresh).await?, false)?;
        let refused = ask(&flow, &flow.client, &mut flow.house.browser(), &flow.pkce()).await?;
        assert_eq!(refused.answer.status, 400, "{how}: {}", refused.words());
        let access = of_other["access_token"].as_str().unwrap_or_default();
        flow.calls(access).await?;
        // Who registers again is another client: host and fingerprint know it, the id does not.
        let twin = registered(&flow.house, &[AT_HOST], "Clever Notes").await?;
        let page = ask(&flow, &twin, &mut flow.house.browser(), &flow.pkce()).await?;
        assert_eq!(page.answer.status == 400, how != "client", "{how}: {}", page.words());
        // And who says something else of itself is known by the host alone (P-5).
        let disguised = registered(&flow.house, &[AT_HOST], "Clever Notes 2").await?;
        let page = ask(&flow, &disguised, &mut flow.house.browser(), &flow.pkce()).await?;
        assert_eq!(page.answer.status == 400, how == "host", "{how}: {}", page.words());
        flow.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_mcp_server_that_is_closed_to_clients_outside_is_closed_to_what_they_hold() -> Verdict {
    let inside = vec![HostPattern::parse("portal.example").map_err(text)?];
    let open =
        Plan { client_policy: ClientPolicy { inside, ..ClientPolicy::everybody() }, ..Plan::default() };
    let mut flow = unknown(open).await?;
    let tokens = flow.tokens().await?;
    let local = flow.house.client().await?;
    let of_local = local.obtain_tokens(&mut flow.browser, "alice", &flow.house.resource("notes")).await?;
    flow.house = flow.house.restart_with(|plan| plan.outside_clients = Standing::Block).await?;
    tok400(&flow.client.refresh(&tokens.refresh).await?, "invalid_grant")?;
    Tokens::of(&local.refresh(of_local["refresh_token"].as_str().unwrap_or_default()).await?)?;
    let page = ask(&flow, &flow.client, &mut flow.house.browser(), &flow.pkce()).await?;
    assert_eq!(page.answer.status, 403, "{}", page.words());
    let portal = registered(&flow.house, &["https://portal.example/cb"], "Portal").await?;
    assert!(decides(&ask(&flow, &portal, &mut flow.house.browser(), &flow.pkce()).await?));
    flow.house.close().await
}
