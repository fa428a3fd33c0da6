//! Two tabs, the back button, a page loaded twice: what people do must work, and what only looks like it must not.

use http::StatusCode;
use testkit::browser::Page;
use testkit::client::{Pkce, TestClient, allow, log_in, parameter};
use testkit::outcomes::{Verdict, page, page400};

use crate::steps::{Flow, Tokens};

/// The page that an authorization request of this client opens.
async fn open(flow: &mut Flow, client: &TestClient, pkce: &Pkce) -> Result<Page, String> {
    let fields = client.authorization_request(&flow.house.resource("notes"), &pkce.challenge);
    flow.browser.open(&client.authorization_url(&fields)).await?.page()
}

async fn finish(flow: &mut Flow, at: &Page, client: &TestClient, pkce: &Pkce) -> Result<Tokens, String> {
    let callback = allow(&mut flow.browser, at).await?;
    let code = parameter(&callback, "code").ok_or_else(|| format!("no code in {callback}"))?;
    Tokens::of(&client.redeem(&code, &pkce.verifier).await?)
}

#[tokio::test]
async fn cs_02_forms_of_two_tabs_cannot_be_swapped_and_both_can_be_sent() -> Verdict {
    let mut flow = Flow::new().await?;
    let clients = [flow.client.clone(), flow.house.client().await?];
    let pkces = [flow.pkce(), flow.pkce()];
    let first = open(&mut flow, &clients[0], &pkces[0]).await?;
    let first = log_in(&mut flow.browser, first, "alice").await?;
    let second = open(&mut flow, &clients[1], &pkces[1]).await?;
    let token = |page: &Page| page.form().map(|form| form.value("csrf").unwrap_or_default().to_owned());
    let id = |page: &Page| page.form().map(|form| form.value("authorization").unwrap_or_default().to_owned());
    let before = flow.stored().await?;
    for (at, form) in [
        (&first, first.form()?.with("csrf", &token(&second)?)),
        (&second, second.form()?.with("csrf", &token(&first)?)),
        (&first, first.form()?.with("authorization", &id(&second)?)),
        (&second, second.form()?.with("authorization", &id(&first)?)),
    ] {
        let place = flow.browser.submit(at, form.with("decision", "allow"), None).await?;
        page(&place.page()?.answer, StatusCode::FORBIDDEN)?;
    }
    assert_eq!(flow.stored().await?, before);
    let one = finish(&mut flow, &first, &clients[0], &pkces[0]).await?;
    let two = finish(&mut flow, &second, &clients[1], &pkces[1]).await?;
    assert_eq!(one.claims()?["client_id"], clients[0].client_id.as_str());
    assert_eq!(two.claims()?["client_id"], clients[1].client_id.as_str());
    flow.house.close().await
}

/// The page that names the client before anybody signs in is an approval too (product.md, P-10).
#[tokio::test]
async fn cs_02_pages_before_the_sign_in_cannot_be_swapped_either() -> Verdict {
    let mut flow = Flow::new().await?;
    let clients = [flow.client.clone(), flow.house.client().await?];
    let pkces = [flow.pkce(), flow.pkce()];
    let first = open(&mut flow, &clients[0], &pkces[0]).await?;
    let second = open(&mut flow, &clients[1], &pkces[1]).await?;
    let value =
        |page: &Page, name: &str| page.form().map(|form| form.value(name).unwrap_or_default().to_owned());
    for (at, other) in [(&first, &second), (&second, &first)] {
        for name in ["csrf", "authorization"] {
            let form = at.form()?.with(name, &value(other, name)?);
            let connector = form.buttons.iter().find(|(name, _)| name == "connector").cloned();
            let button = connector.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
            let place = flow.browser.submit(at, form, button).await?;
            page(&place.page()?.answer, StatusCode::FORBIDDEN)?;
        }
    }
    let first = log_in(&mut flow.browser, first, "alice").await?;
    let second = log_in(&mut flow.browser, second, "alice").await?;
    finish(&mut flow, &first, &clients[0], &pkces[0]).await?;
    finish(&mut flow, &second, &clients[1], &pkces[1]).await?;
    flow.house.close().await
}

#[tokio::test]
async fn cs_02_two_tabs_that_both_began_before_anybody_was_signed_in_can_both_be_finished() -> Verdict {
    // A client that opens one tab for each of its servers does just this.
    let mut flow = Flow::new().await?;
    let clients = [flow.client.clone(), flow.house.client().await?];
    let pkces = [flow.pkce(), flow.pkce()];
    let first = open(&mut flow, &clients[0], &pkces[0]).await?;
    let second = open(&mut flow, &clients[1], &pkces[1]).await?;
    let first = log_in(&mut flow.browser, first, "alice").await?;
    let second = log_in(&mut flow.browser, second, "alice").await?;
    finish(&mut flow, &first, &clients[0], &pkces[0]).await?;
    finish(&mut flow, &second, &clients[1], &pkces[1]).await?;
    flow.house.close().await
}

#[tokio::test]
async fn a_second_tab_that_was_waiting_goes_on_when_the_first_has_signed_in() -> Verdict {
    let mut flow = Flow::new().await?;
    let clients = [flow.client.clone(), flow.house.client().await?];
    let pkces = [flow.pkce(), flow.pkce()];
    let first = open(&mut flow, &clients[0], &pkces[0]).await?;
    let second = open(&mut flow, &clients[1], &pkces[1]).await?;
    let first = log_in(&mut flow.browser, first, "alice").await?;
    finish(&mut flow, &first, &clients[0], &pkces[0]).await?;
    // Reloaded, it shows consent at once.
    let id = second.form()?.value("authorization").unwrap_or_default().to_owned();
    let url = format!("{}?authorization={id}", flow.at("/consent"));
    let second = flow.browser.open(&url).await?.page()?;
    finish(&mut flow, &second, &clients[1], &pkces[1]).await?;
    flow.house.close().await
}

#[tokio::test]
async fn a_page_that_was_loaded_twice_can_be_sent_from_either() -> Verdict {
    for which in [0, 1] {
        let mut flow = Flow::new().await?;
        let pkce = flow.pkce();
        let client = flow.client.clone();
        let page = flow.consent(&pkce.challenge).await?;
        let id = page.form()?.value("authorization").unwrap_or_default().to_owned();
        let again =
            flow.browser.open(&format!("{}?authorization={id}", flow.at("/consent"))).await?.page()?;
        let pages = [page, again];
        finish(&mut flow, &pages[which], &client, &pkce).await?;
        // The other one is decided now, and gives no second code.
        let place = flow
            .browser
            .submit(&pages[1 - which], pages[1 - which].form()?, Some(("decision", "allow")))
            .await?;
        page400(&place.page()?.answer)?;
        assert_eq!(flow.house.counts().await?.grants, 1);
        flow.house.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_back_button_to_the_login_page_goes_on_with_whoever_is_signed_in() -> Verdict {
    let mut flow = Flow::new().await?;
    let (client, pkce) = (flow.client.clone(), flow.pkce());
    let login = open(&mut flow, &client, &pkce).await?;
    let consent = log_in(&mut flow.browser, login.clone(), "alice").await?;
    // Back, and the button once more: she is signed in, and neither page is lost.
    let again = log_in(&mut flow.browser, login, "bob").await?;
    assert!(again.words().contains("Alice"), "{}", again.words());
    let tokens = finish(&mut flow, &consent, &client, &pkce).await?;
    flow.calls(&tokens.access).await?;
    flow.house.close().await
}

#[tokio::test]
async fn cs_02_two_tabs_that_were_both_at_the_identity_provider_can_both_be_finished() -> Verdict {
    let mut flow = Flow::new().await?;
    let clients = [flow.client.clone(), flow.house.client().await?];
    let pkces = [flow.pkce(), flow.pkce()];
    let mut away = Vec::new();
    for (client, pkce) in clients.iter().zip(&pkces) {
        let login = open(&mut flow, client, pkce).await?;
        away.push(login);
    }
    let mut at_provider = Vec::new();
    for login in away {
        let form = login.form()?;
        let (name, value) = form.buttons.first().cloned().ok_or("no button")?;
        at_provider.push(flow.browser.submit(&login, form, Some((&name, &value))).await?.page()?);
    }
    let mut consents = Vec::new();
    for page in at_provider {
        let form = page.form()?.with("login", "alice");
        consents.push(flow.browser.submit(&page, form, None).await?.page()?);
    }
    for ((consent, client), pkce) in consents.iter().zip(&clients).zip(&pkces) {
        finish(&mut flow, consent, client, pkce).await?;
    }
    flow.house.close().await
}

#[tokio::test]
async fn a_yes_pressed_while_a_sign_in_is_under_way_waits_for_it() -> Verdict {
    let mut flow = Flow::new().await?;
    let (client, pkce) = (flow.client.clone(), flow.pkce());
    let consent = flow.consent(&pkce.challenge).await?;
    // "Somebody else?", the button of the provider, and then back without having signed in.
    let id = consent.form()?.value("authorization").unwrap_or_default().to_owned();
    let login = flow.browser.open(&format!("{}?authorization={id}", flow.at("/login"))).await?.page()?;
    let form = login.form()?;
    let button = form.buttons.first().cloned().ok_or("no button")?;
    flow.browser.submit(&login, form, Some((&button.0, &button.1))).await?.page()?;
    let place = flow.browser.submit(&consent, consent.form()?, Some(("decision", "allow"))).await?.page()?;
    assert!(place.form()?.buttons.iter().any(|(name, _)| name == "connector"), "{}", place.words());
    assert_eq!(flow.house.audit(store::AuditKind::ConsentGiven).await?.len(), 0);
    let consent = log_in(&mut flow.browser, place, "alice").await?;
    finish(&mut flow, &consent, &client, &pkce).await?;
    flow.house.close().await
}

#[tokio::test]
async fn cs_02_tabs_that_were_opened_at_once_before_any_was_answered_can_all_be_finished() -> Verdict {
    // None of these requests carries a cookie, because none of the answers has come.
    let mut flow = Flow::new().await?;
    let host = flow.house.host();
    let client = flow.client.clone();
    let (mut pages, mut jar) = (Vec::new(), std::collections::BTreeMap::new());
    while pages.len() < 3 {
        let pkce = flow.pkce();
        let mut tab = flow.house.browser();
        let fields = client.authorization_request(&flow.house.resource("notes"), &pkce.challenge);
        let page = tab.open(&client.authorization_url(&fields)).await?.page()?;
        let set = tab.cookies.remove(&host).unwrap_or_default();
        // Two in a great many take the same place, as in any browser with so many places.
        if set.keys().all(|name| !jar.contains_key(name)) {
            jar.extend(set);
            pages.push((page, pkce));
        }
    }
    flow.browser.cookies.insert(host, jar);
    for (page, pkce) in pages {
        let consent = log_in(&mut flow.browser, page, "alice").await?;
        finish(&mut flow, &consent, &client, &pkce).await?;
    }
    assert_eq!(flow.house.audit(store::AuditKind::SignIn).await?.len(), 1);
    flow.house.close().await
}
