//! People: who may not, who is known already, and how little they have to do the second time.

use http::StatusCode;
use store::{AuditKind, Users as _};
use testkit::browser::Page;
use testkit::client::{TestClient, allow, log_in, parameter};
use testkit::outcomes::{Verdict, tok400};

use crate::steps::{Flow, Tokens};

async fn open(flow: &mut Flow, client: &TestClient, server: &str, challenge: &str) -> Result<Page, String> {
    let fields = client.authorization_request(&flow.house.resource(server), challenge);
    flow.browser.open(&client.authorization_url(&fields)).await?.page()
}

fn has_button(page: &Page, name: &str) -> bool {
    page.forms().iter().any(|form| form.buttons.iter().any(|(button, _)| button == name))
}

#[tokio::test]
async fn a_person_in_the_wrong_group_gets_a_page_that_says_so_and_no_token() -> Verdict {
    let mut flow = Flow::new().await?;
    let (client, challenge) = (flow.client.clone(), flow.pkce().challenge);
    let login = open(&mut flow, &client, "ledger", &challenge).await?;
    let form = login.form()?;
    let (name, value) = form.buttons.first().cloned().ok_or("no button")?;
    let sign_in = flow.browser.submit(&login, form, Some((&name, &value))).await?.page()?;
    let form = sign_in.form()?.with("login", "alice");
    let refused = flow.browser.submit(&sign_in, form, None).await?.page()?;
    testkit::outcomes::page(&refused.answer, StatusCode::FORBIDDEN)?;
    assert!(!has_button(&refused, "decision"), "{}", refused.words());
    assert!(refused.words().contains("Reference"), "{}", refused.words());
    assert_eq!(flow.house.counts().await?.grants, 0);
    // The audit knows who, what and under which reference.
    let events = flow.events(AuditKind::AuthorizeRefused, "not_admitted").await?;
    let [event] = events.as_slice() else { return Err(format!("one event is expected: {events:?}")) };
    let reference = event.reference.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(refused.words().contains(&reference), "{reference}: {}", refused.words());
    assert_eq!((event.server.as_deref(), event.user.is_some()), (Some("ledger"), true), "{event:?}");
    // Even by hand the page that asks for consent is not to be had.
    let id = login.form()?.value("authorization").unwrap_or_default().to_owned();
    let by_hand = flow.browser.open(&format!("{}?authorization={id}", flow.at("/consent"))).await?.page()?;
    assert!(!has_button(&by_hand, "decision"), "{}", by_hand.words());
    flow.close().await
}

#[tokio::test]
async fn a_person_who_is_signed_in_and_may_not_is_told_so_and_can_be_somebody_else() -> Verdict {
    let mut flow = Flow::new().await?;
    flow.tokens().await?;
    let (client, pkce) = (flow.client.clone(), flow.pkce());
    let page = open(&mut flow, &client, "ledger", &pkce.challenge).await?;
    assert!(!has_button(&page, "decision"), "{}", page.words());
    let events = flow.events(AuditKind::AuthorizeRefused, "not_admitted").await?;
    assert_eq!(events.len(), 1, "{events:?}");
    if !has_button(&page, "connector") {
        return Err(format!("there is no way on: {}", page.words()));
    }
    assert!(page.words().contains("alice@example.com , who has no access"), "{}", page.words());
    // Chika may; the page leads to her sign-in without a detour.
    let consent = log_in(&mut flow.browser, page, "chika").await?;
    let code = parameter(&allow(&mut flow.browser, &consent).await?, "code").ok_or("no code")?;
    let tokens = Tokens::of(&client.redeem(&code, &pkce.verifier).await?)?;
    assert_eq!(flow.house.echo("ledger", &tokens.access).await?.status, 200);
    flow.house.close().await
}

#[tokio::test]
async fn the_second_client_needs_no_login_and_the_second_sign_in_makes_no_second_person() -> Verdict {
    let mut flow = Flow::new().await?;
    let first = flow.tokens().await?;
    let second = flow.house.client().await?;
    let pkce = flow.pkce();
    let page = open(&mut flow, &second, "notes", &pkce.challenge).await?;
    assert!(has_button(&page, "decision"), "consent is asked at once: {}", page.words());
    let code = parameter(&allow(&mut flow.browser, &page).await?, "code").ok_or("no code")?;
    let tokens = Tokens::of(&second.redeem(&code, &pkce.verifier).await?)?;
    assert_eq!(flow.house.audit(AuditKind::SignIn).await?.len(), 1);
    // Another browser: another sign-in, the same person.
    flow.browser = flow.house.browser();
    let third = flow.tokens().await?;
    let subjects =
        [&first, &tokens, &third].map(|tokens| tokens.claims().map(|claims| claims["sub"].clone()));
    let [a, b, c] = subjects;
    assert!(a == b && b == c && a.is_ok());
    let counts = flow.house.counts().await?;
    assert_eq!((counts.users, counts.browser_sessions, counts.grants), (1, 2, 3));
    flow.close().await
}

/// AS-120.
#[tokio::test]
async fn a_client_that_was_allowed_is_asked_about_again_each_time() -> Verdict {
    let mut flow = Flow::new().await?;
    for _ in 0..3 {
        let (client, challenge) = (flow.client.clone(), flow.pkce().challenge);
        let page = open(&mut flow, &client, "notes", &challenge).await?;
        let page = log_in(&mut flow.browser, page, "alice").await?;
        assert!(has_button(&page, "decision"), "{}", page.words());
        allow(&mut flow.browser, &page).await?;
    }
    assert_eq!(flow.house.audit(AuditKind::ConsentGiven).await?.len(), 3);
    flow.close().await
}

#[tokio::test]
async fn a_link_from_another_site_leads_to_a_question_and_never_to_a_code() -> Verdict {
    let mut flow = Flow::new().await?;
    flow.tokens().await?;
    for known in [None, Some("known-public"), Some("known-native")] {
        let client = match known {
            Some(known) => flow.house.known_client(known)?,
            None => flow.client.clone(),
        };
        let challenge = flow.pkce().challenge;
        let fields = client.authorization_request(&flow.house.resource("notes"), &challenge);
        let url = client.authorization_url(&fields);
        let before = flow.house.audit(AuditKind::ConsentGiven).await?.len();
        let page = flow.browser.open_from_elsewhere(&url).await?.page()?;
        assert!(has_button(&page, "decision"), "{}", page.words());
        // Nor may the other site press the button for the person.
        let form = page.form()?.with("decision", "allow");
        let fields: Vec<(&str, &str)> = form.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let cookies = flow.browser.cookie_header(&page.url);
        let headers = [
            ("cookie", cookies.as_str()),
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://evil.example"),
        ];
        let answer = flow.house.http.post_form(&flow.at("/consent"), &headers, &fields).await?;
        testkit::outcomes::page(&answer, StatusCode::FORBIDDEN)?;
        assert_eq!(flow.house.audit(AuditKind::ConsentGiven).await?.len(), before);
        // The person herself may.
        allow(&mut flow.browser, &page).await?;
    }
    flow.close().await
}

/// AS-182.
#[tokio::test]
async fn a_person_who_is_shut_out_gets_nothing_any_more() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let code = flow.code().await?;
    crate::record::tamper(&flow.house, "UPDATE users SET disabled_at = 1")?;
    tok400(&flow.redeem(&code).await?, "invalid_grant")?;
    tok400(&flow.refresh(&tokens.refresh).await?, "invalid_grant")?;
    // What was read of her before is at most half a minute old.
    flow.house.advance(std::time::Duration::from_secs(31)).await?;
    testkit::outcomes::rs401(&flow.house.echo("notes", &tokens.access).await?)?;
    // Her session is none, and she cannot begin another.
    let (client, challenge) = (flow.client.clone(), flow.pkce().challenge);
    let page = open(&mut flow, &client, "notes", &challenge).await?;
    assert!(has_button(&page, "connector"), "{}", page.words());
    let form = page.form()?;
    let (name, value) = form.buttons.first().cloned().ok_or("no button")?;
    let sign_in = flow.browser.submit(&page, form, Some((&name, &value))).await?.page()?;
    let form = sign_in.form()?.with("login", "alice");
    let refused = flow.browser.submit(&sign_in, form, None).await?.page()?;
    testkit::outcomes::page(&refused.answer, StatusCode::FORBIDDEN)?;
    let id = tokens.claims()?["sub"].as_str().unwrap_or_default().parse().map_err(|_| "no user")?;
    let user = flow.house.store.find_user(id).await.map_err(|error| error.to_string())?.ok_or("no user")?;
    assert!(user.disabled_at.is_some(), "a sign-in that is refused does not bring her back");
    flow.close().await
}
