//! Why a client did not connect, in words (product.md, P-19): whole attempts, and the known faults of clients, each driven
//! into the house and read from the timeline. The rule, the section and the remedy must be there.

use std::time::Duration;

use http::StatusCode;
use protocol::id::Reference;
use serde_json::json;
use testkit::browser::Page;
use testkit::client::{LOOPBACK_REDIRECT, TestClient, allow, log_in};
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::outcomes::{Verdict, tok400, tok401};

use crate::record::on_postgres;
use crate::steps::{Code, Flow, Tokens};

const NO_HEADERS: &[(&str, &str)] = &[];

/// The one reference in a text: on a page, or in what a client is told.
fn reference_in(text: &str) -> Result<Reference, String> {
    let all = text.split("Reference ").skip(1);
    let mut found = all.filter_map(|rest| Reference::parse(rest.get(..9)?).ok());
    found.next().ok_or_else(|| format!("no reference: {text}"))
}

/// What `sekisho sign-in` prints.
async fn told(house: &House, reference: &Reference) -> Result<String, String> {
    house.timeline.tell().await.map_err(|error| error.to_string())?;
    let now = protocol::world::Clock::now(house.clock.as_ref());
    let words = sekisho::commands::sign_in_in_words(reference, house.store.as_ref(), now).await;
    words.map_err(|error| error.to_string())
}

/// What it prints of the refusal in this answer.
async fn told_of(flow: &Flow, answer: &Answer) -> Result<String, String> {
    told(&flow.house, &reference_in(&page_text(answer))?).await
}

fn page_text(answer: &Answer) -> String {
    let page = |url| Page { url, answer: answer.clone() };
    url::Url::parse("http://localhost/").map(|url| page(url).words()).unwrap_or_default()
}

/// All of these stand in it, in this order.
fn says(text: &str, words: &[&str]) -> Verdict {
    let mut rest = text;
    for word in words {
        let (_, after) = rest.split_once(word).ok_or_else(|| format!("`{word}` is missing:\n{text}"))?;
        rest = after;
    }
    Ok(())
}

/// S51: what the token endpoint says no to has the reference that the client was told, in the audit as well.
#[tokio::test]
async fn a_refused_token_request_is_found_in_the_audit_by_what_the_client_was_told() -> Verdict {
    use store::Queries as _;

    let mut flow = Flow::new().await?;
    let first = flow.tokens().await?;
    let second = Tokens::of(&flow.refresh(&first.refresh).await?)?;
    Tokens::of(&flow.refresh(&second.refresh).await?)?;
    let reused = flow.refresh(&first.refresh).await?;
    tok400(&reused, "invalid_grant")?;
    let filter = store::AuditFilter { reference: Some(reference_in(&reused.text())?), ..Default::default() };
    let found = flow.house.store.list_audit(filter, None, 10).await.map_err(|error| error.to_string())?;
    let [event] = found.as_slice() else { return Err(format!("one event: {found:?}")) };
    assert_eq!((event.kind.as_str(), event.grant.is_some()), ("refresh_reused", true));
    flow.close().await
}

async fn ask(flow: &mut Flow, change: impl FnOnce(&mut Vec<(String, String)>)) -> Result<Answer, String> {
    let challenge = flow.pkce().challenge;
    let mut fields = flow.client.authorization_request(&flow.house.resource(flow.server), &challenge);
    change(&mut fields);
    flow.house.http.get(&flow.client.authorization_url(&fields), NO_HEADERS).await
}

fn set(fields: &mut Vec<(String, String)>, name: &str, value: &str) {
    fields.retain(|(field, _)| field != name);
    if !value.is_empty() {
        fields.push((name.to_owned(), value.to_owned()));
    }
}

/// A refusal of the authorization endpoint goes to a loopback client by redirect; the reference is in its description.
fn redirected(answer: &Answer) -> Result<Reference, String> {
    let url = url::Url::parse(answer.header("location")).map_err(|error| error.to_string())?;
    let told = url.query_pairs().find(|(name, _)| name == "error_description");
    reference_in(&told.map(|(_, told)| told.into_owned()).unwrap_or_default())
}

#[tokio::test]
async fn an_attempt_is_told_from_the_first_401_to_the_first_call_under_the_reference_of_its_pages() -> Verdict
{
    let mut flow = Flow::new().await?;
    let issuer = flow.house.issuer.clone();
    // The client that every flow has registered just now, and this one registers again: two things, at two times.
    flow.house.advance(Duration::from_secs(1)).await?;
    let bare = flow
        .house
        .http
        .post(&flow.house.resource("notes"), &[("content-type", "application/json")], "{}")
        .await?;
    assert_eq!(bare.status, StatusCode::UNAUTHORIZED);
    for path in ["/.well-known/oauth-protected-resource/notes/mcp", "/.well-known/oauth-authorization-server"]
    {
        flow.house.http.get(&format!("{issuer}{path}"), NO_HEADERS).await?;
    }
    flow.client = flow.house.client().await?;
    let pkce = flow.pkce();
    let fields = flow.client.authorization_request(&flow.house.resource("notes"), &pkce.challenge);
    let login = flow.browser.open(&flow.client.authorization_url(&fields)).await?.page()?;
    let reference = reference_in(&login.words())?;
    let consent = log_in(&mut flow.browser, login, "alice").await?;
    assert_eq!(reference_in(&consent.words())?, reference);
    let callback = allow(&mut flow.browser, &consent).await?;
    let code = testkit::client::parameter(&callback, "code").ok_or("no code")?;
    let tokens = flow.redeemed(&Code { code, verifier: pkce.verifier }).await?;
    flow.calls(&tokens.access).await?;
    let text = told(&flow.house, &reference).await?;
    says(
        &text,
        &[
            &format!("Sign-in {reference}: connected"),
            "Test Client",
            "notes",
            "alice@example.com",
            "127.0.0.1",
            "answered 401 with a challenge",
            "RFC 6750, section 2.1",
            "The client read a metadata document.",
            "The client registered itself",
            "it was accepted",
            "sent to the identity provider",
            "The person signed in",
            "The person allowed the client",
            "redeemed the code",
            "the client is connected",
        ],
    )?;
    assert!(!text.contains("refused.\n"), "{text}");
    flow.close().await
}

#[tokio::test]
async fn a_client_that_drops_the_path_and_sends_no_resource_is_told_of_the_default_server() -> Verdict {
    let mut flow = Flow::new().await?;
    let answer = ask(&mut flow, |fields| set(fields, "resource", "")).await?;
    let text = told(&flow.house, &redirected(&answer)?).await?;
    says(&text, &["[resource_missing]", "RFC 8707, section 2", "remedy:", "2025-03-26", "default_server"])?;
    let issuer = flow.house.issuer.clone();
    let answer = ask(&mut flow, |fields| set(fields, "resource", &issuer)).await?;
    let text = told(&flow.house, &redirected(&answer)?).await?;
    says(&text, &["[resource_unknown]", "RFC 8707", "[resource_without_path]", "Paste the whole URL"])?;
    flow.close().await?;
    let mut flow = Flow::with(Plan { default_server: Some("notes"), ..Plan::default() }).await?;
    let answer = ask(&mut flow, |fields| set(fields, "resource", "")).await?;
    says(&told_of(&flow, &answer).await?, &["it was accepted", "[resource_defaulted]", "MCP 2025-03-26"])?;
    flow.close().await
}

#[tokio::test]
async fn a_slash_at_the_end_of_the_resource_is_noticed() -> Verdict {
    let mut flow = Flow::new().await?;
    let slashed = format!("{}/", flow.house.resource("notes"));
    let answer = ask(&mut flow, |fields| set(fields, "resource", &slashed)).await?;
    let text = told(&flow.house, &redirected(&answer)?).await?;
    says(
        &text,
        &[
            "MCP server  notes",
            "[resource_unknown]",
            "RFC 8707, section 2",
            "[resource_trailing_slash]",
            "without the slash",
        ],
    )?;
    flow.close().await
}

#[tokio::test]
async fn a_client_that_refreshes_in_place_of_a_step_up_is_told_apart() -> Verdict {
    let mut flow = Flow::new().await?;
    let pkce = flow.pkce();
    let mut fields = flow.client.authorization_request(&flow.house.resource("notes"), &pkce.challenge);
    set(&mut fields, "scope", "read");
    let page = flow.browser.open(&flow.client.authorization_url(&fields)).await?.page()?;
    let reference = reference_in(&page.words())?;
    let page = log_in(&mut flow.browser, page, "alice").await?;
    let callback = allow(&mut flow.browser, &page).await?;
    let code = testkit::client::parameter(&callback, "code").ok_or("no code")?;
    let tokens = flow.redeemed(&Code { code, verifier: pkce.verifier }).await?;
    let write = json!({"name": "write", "arguments": {}});
    let refused = flow.house.call("notes", &tokens.access, "tools/call", write).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    // It is told to begin anew, once; its refresh token stays good.
    tok400(&flow.client.refresh(&tokens.refresh).await?, "invalid_grant")?;
    let refreshed = flow.refresh(&tokens.refresh).await?;
    let narrow = Tokens::of(&refreshed)?;
    flow.keep(&narrow.access);
    // Later it may have another reason to refresh, and it is only told of.
    let write = json!({"name": "write", "arguments": {}});
    flow.house.call("notes", &narrow.access, "tools/call", write).await?;
    flow.house.advance(Duration::from_secs(31)).await?;
    let refreshed = flow.refresh(&narrow.refresh).await?;
    assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.text());
    let more = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refreshed.json()["refresh_token"].as_str().unwrap_or_default()),
        ("scope", "read write"),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    let more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
    tok400(&flow.client.token(&more).await?, "invalid_scope")?;
    says(
        &told(&flow.house, &reference).await?,
        &[
            "[scope_insufficient]",
            "Scope Challenge Handling",
            "disconnect and connect again",
            "[step_up_by_refresh]",
            "refreshed its access token",
            "[refreshed_instead_of_step_up]",
            "Step-Up Authorization Flow",
            "told under",
            "[scope_exceeds]",
            "RFC 6749, section 6",
        ],
    )?;
    flow.close().await
}

#[tokio::test]
async fn a_client_that_lost_its_registration_is_told_to_make_itself_known_again() -> Verdict {
    let elsewhere = House::with(Plan { luck: 77, ..Plan::default() }).await?;
    let lost = TestClient::register(&elsewhere.http, &elsewhere.issuer, LOOPBACK_REDIRECT).await?.client_id;
    elsewhere.close().await?;
    let mut flow = Flow::new().await?;
    flow.client.client_id = lost;
    let answer = flow.client.refresh("skr_nothing").await?;
    tok401(&answer, false)?;
    let rule = ["[client_unknown]", "RFC 6749, section 5.2", "registers again after 401", "~/.mcp-auth"];
    says(&told_of(&flow, &answer).await?, &rule)?;
    let answer = ask(&mut flow, |_| {}).await?;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    says(&told_of(&flow, &answer).await?, &rule)?;
    flow.close().await
}

#[tokio::test]
async fn habits_of_clients_are_noticed_and_nothing_is_made_of_them() -> Verdict {
    let mut flow = Flow::new().await?;
    let answer = ask(&mut flow, |fields| {
        set(fields, "scope", "read offline_access admin");
        set(fields, "state", "");
    })
    .await?;
    says(
        &told_of(&flow, &answer).await?,
        &[
            "under way",
            "it was accepted",
            "[offline_access_dropped]",
            "[scope_narrowed]",
            "[state_missing]",
            "RFC 9700, section 4.7.1",
        ],
    )?;
    flow.close().await
}

#[tokio::test]
async fn two_tabs_and_a_lost_cookie_are_told_apart() -> Verdict {
    let mut flow = Flow::new().await?;
    let challenge = flow.pkce().challenge;
    let page = flow.consent(&challenge).await?;
    let other = flow.house.browser().open(page.url.as_str()).await?.page()?;
    says(
        &told(&flow.house, &reference_in(&other.words())?).await?,
        &["The person signed in", "[other_browser]", "RFC 9700, section 4.7", "behind-a-proxy.md"],
    )?;
    allow(&mut flow.browser, &page).await?;
    let again = flow.browser.submit(&page, page.form()?, Some(("decision", "allow"))).await?.page()?;
    says(&told(&flow.house, &reference_in(&again.words())?).await?, &["[already_decided]", "Two tabs"])?;
    flow.close().await
}

#[tokio::test]
async fn pkce_that_is_missing_or_lost_is_told_with_its_section() -> Verdict {
    let mut flow = Flow::with_known("known-native").await?;
    let answer = ask(&mut flow, |fields| set(fields, "code_challenge", "")).await?;
    let text = told(&flow.house, &redirected(&answer)?).await?;
    says(&text, &["[code_challenge_missing]", "OAuth 2.1, section 7.5.1", "no switch to do without"])?;
    flow.close().await?;
    let mut flow = Flow::new().await?;
    let code = flow.code().await?;
    let lost = [("grant_type", "authorization_code"), ("code", code.code.as_str())];
    let answer = flow.client.token(&lost).await?;
    tok400(&answer, "invalid_grant")?;
    let text = told_of(&flow, &answer).await?;
    says(
        &text,
        &[
            "The person allowed the client",
            "told under",
            "[verifier_missing]",
            "RFC 7636, section 4.6",
            "lost its state",
        ],
    )?;
    let other = flow.client.redeem(&code.code, &flow.pkce().verifier).await?;
    assert_ne!(page_text(&other), page_text(&answer), "a reference of its own");
    says(&told_of(&flow, &other).await?, &["[verifier_missing]", "[verifier_mismatch]"])?;
    flow.close().await
}

#[tokio::test]
async fn wrong_ports_and_names_of_the_loopback_address_are_told_apart() -> Verdict {
    let mut flow = Flow::new().await?;
    let named = LOOPBACK_REDIRECT.replace("127.0.0.1", "localhost");
    let answer = ask(&mut flow, |fields| set(fields, "redirect_uri", &named)).await?;
    says(
        &told_of(&flow, &answer).await?,
        &["Test Client", "[redirect_uri_unknown]", "RFC 8252, section 7.3", "[redirect_uri_other_host]"],
    )?;
    let moved = LOOPBACK_REDIRECT.replace("/callback", "/elsewhere");
    let answer = ask(&mut flow, |fields| set(fields, "redirect_uri", &moved)).await?;
    says(&told_of(&flow, &answer).await?, &["[redirect_uri_unknown]", "[redirect_uri_other_path]"])?;
    let code = flow.code().await?;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.code.as_str()),
        ("redirect_uri", "http://127.0.0.1:1/callback"),
        ("code_verifier", code.verifier.as_str()),
    ];
    let answer = flow.client.token(&fields).await?;
    says(
        &told_of(&flow, &answer).await?,
        &["[redirect_uri_mismatch]", "RFC 6749, section 4.1.3", "another loopback port"],
    )?;
    flow.close().await
}

#[tokio::test]
async fn a_token_that_is_sent_to_the_url_of_another_server_is_told() -> Verdict {
    let mut flow = Flow::new().await?;
    flow.login = "dario";
    let pkce = flow.pkce();
    let page = flow.consent(&pkce.challenge).await?;
    let reference = reference_in(&page.words())?;
    let callback = allow(&mut flow.browser, &page).await?;
    let code = testkit::client::parameter(&callback, "code").ok_or("no code")?;
    let tokens = flow.redeemed(&Code { code, verifier: pkce.verifier }).await?;
    assert_eq!(flow.house.echo("ledger", &tokens.access).await?.status, StatusCode::UNAUTHORIZED);
    says(
        &told(&flow.house, &reference).await?,
        &[
            "redeemed the code",
            "[token_of_another_resource]",
            "RFC 8707, section 2",
            "one token for the host",
            "[same_address]",
        ],
    )?;
    flow.close().await
}

#[tokio::test]
async fn a_client_that_is_late_or_never_calls_is_told() -> Verdict {
    let mut flow = Flow::new().await?;
    let late = flow.code().await?;
    flow.house.advance(Duration::from_secs(120)).await?;
    let answer = flow.redeem(&late).await?;
    says(
        &told_of(&flow, &answer).await?,
        &["[code_expired]", "OAuth 2.1, section 4.1.2", "compare the clocks"],
    )?;
    let pkce = flow.pkce();
    let page = flow.consent(&pkce.challenge).await?;
    let reference = reference_in(&page.words())?;
    let callback = allow(&mut flow.browser, &page).await?;
    let code = testkit::client::parameter(&callback, "code").ok_or("no code")?;
    flow.redeemed(&Code { code, verifier: pkce.verifier }).await?;
    flow.house.advance(Duration::from_secs(1200)).await?;
    says(
        &told(&flow.house, &reference).await?,
        &["unfinished", "has its tokens and did not call", "Look at its log"],
    )?;
    flow.close().await
}

#[tokio::test]
async fn a_client_that_looks_at_the_root_paths_of_2025_03_26_is_told_of_the_metadata() -> Verdict {
    let flow = Flow::new().await?;
    let page = flow.house.http.get(&flow.at("/authorize?client_id=x"), &[("accept", "text/html")]).await?;
    let json =
        flow.house.http.post(&flow.at("/register"), &[("content-type", "application/json")], "{}").await?;
    for answer in [page, json] {
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        says(
            &told_of(&flow, &answer).await?,
            &["[legacy_path]", "MCP 2025-03-26", "oauth-authorization-server"],
        )?;
    }
    flow.close().await
}

#[tokio::test]
async fn a_registration_that_is_refused_has_a_reference() -> Verdict {
    let flow = Flow::new().await?;
    let odd = json!({"redirect_uris": ["odd-scheme:/callback"]}).to_string();
    let headers = [("content-type", "application/json")];
    let answer = flow.house.http.post(&flow.at("/oauth/register"), &headers, odd).await?;
    says(
        &told_of(&flow, &answer).await?,
        &["[redirect_uri_refused]", "RFC 8252", "clients.private_schemes"],
    )?;
    flow.close().await
}

#[tokio::test]
async fn nobody_is_told_of_an_attempt_by_its_reference_over_http() -> Verdict {
    let mut flow = Flow::new().await?;
    let answer = ask(&mut flow, |_| {}).await?;
    let reference = reference_in(&page_text(&answer))?;
    for path in ["", "/login", "/consent", "/account", "/sign-in", "/healthz"] {
        for name in ["reference", "ref", "authorization"] {
            let url = flow.at(&format!("{path}?{name}={reference}"));
            let answer = flow.house.http.get(&url, NO_HEADERS).await?;
            assert!(!answer.text().contains("Test Client"), "{url}");
        }
    }
    flow.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_goes_over_several_nodes_is_told_as_one() -> Verdict {
    on_postgres(|url| async move {
        let mut flow = Flow::with(Plan { postgres: Some(url), ..Plan::default() }).await?;
        let second = flow.house.second_node().await?;
        let headers = [("content-type", "application/json")];
        second.http.post(&second.resource("notes"), &headers, "{}").await?;
        flow.client = second.client().await?;
        flow.house.advance(Duration::from_secs(1)).await?;
        let there = flow.client.clone();
        flow.client.http = flow.house.http.clone();
        let pkce = flow.pkce();
        let page = flow.consent(&pkce.challenge).await?;
        let reference = reference_in(&page.words())?;
        let callback = allow(&mut flow.browser, &page).await?;
        let code = testkit::client::parameter(&callback, "code").ok_or("no code")?;
        flow.house.timeline.tell().await.map_err(|error| error.to_string())?;
        second.timeline.gather().await.map_err(|error| error.to_string())?;
        let answer = there.redeem(&code, &pkce.verifier).await?;
        let access = answer.json()["access_token"].as_str().unwrap_or_default().to_owned();
        flow.keep(&access);
        second.timeline.tell().await.map_err(|error| error.to_string())?;
        flow.calls(&access).await?;
        says(
            &told(&flow.house, &reference).await?,
            &[
                "connected",
                // The client that every flow has, at the first node; the clock stands still, so the same line at the other
                // is not told again.
                "The client registered itself",
                "answered 401",
                "it was accepted",
                "redeemed the code",
                "the client is connected",
            ],
        )?;
        second.close().await?;
        flow.close().await
    })
    .await
}
