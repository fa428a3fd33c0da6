//! Who connects an account: the forms, the attempt and the way back are of one person, in one browser, for one MCP server.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use store::AuditKind;
use testkit::browser::{Browser, Page};
use testkit::client::{Pkce, log_in};
use testkit::house::House;
use testkit::http::Http;

use super::connections::{Done, Scene};

/// Somebody else signs in in this browser, at the page of another request.
async fn becomes(house: &House, browser: &mut Browser, login: &str) -> Done {
    let (client, pkce) = (house.client().await?, Pkce::new("of another request"));
    let fields = client.authorization_request(&house.resource("notes"), &pkce.challenge);
    let asked = browser.open(&client.authorization_url(&fields)).await?.page()?;
    let id = asked.form()?.value("authorization").unwrap_or_default().to_owned();
    let page = browser.open(&format!("{}/login?authorization={id}", house.issuer)).await?.page()?;
    let page = log_in(browser, page, login).await?;
    if page.words().to_lowercase().contains(login) { Ok(()) } else { Err(page.words()) }
}

/// From the provider, where nobody looks who comes.
async fn came_back(away: &str) -> Result<String, String> {
    Browser::new(Http::default()).open(away).await?.left().map(String::from)
}

fn is(page: &Page, status: StatusCode) -> Done {
    if page.answer.status == status {
        Ok(())
    } else {
        Err(format!("{}: {}", page.answer.status, page.words()))
    }
}

async fn refusals(scene: &Scene) -> Result<Vec<String>, String> {
    let events = scene.house.audit(AuditKind::ConnectionRefused).await?;
    Ok(events.into_iter().filter_map(|event| event.reason).collect())
}

/// CB-15, CS-07: what one person was shown is not theirs to send who signed in after them.
#[tokio::test]
async fn cb_15_the_page_of_one_person_is_not_sent_by_another_in_the_same_browser() -> Done {
    let mut scene = Scene::new().await?;
    let link = scene.link().await?;
    let page = scene.browser.open(&link).await?.page()?;
    let mut before = scene.browser.clone();
    becomes(&scene.house, &mut scene.browser, "bob").await?;
    is(&scene.browser.submit(&page, page.form()?, None).await?.page()?, StatusCode::FORBIDDEN)?;
    is(&scene.browser.open(&link).await?.page()?, StatusCode::FORBIDDEN)?;
    // Nor does the session that was replaced.
    is(&before.submit(&page, page.form()?, None).await?.page()?, StatusCode::FORBIDDEN)?;
    scene.house.close().await
}

/// CS-01, CS-02: a form without its token, with a changed one, of another page or of another browser is nobody's.
#[tokio::test]
async fn cb_15_only_the_form_of_this_very_page_sends_anybody_to_a_provider_or_ends_a_connection() -> Done {
    let mut scene = Scene::connected("ada").await?;
    let (at, account) = (format!("{}/connect/notes", scene.house.issuer), "/account/connections");
    let page = scene.browser.open(&at).await?.page()?;
    let connected = scene.browser.open(&format!("{}{account}", scene.house.issuer)).await?.page()?;
    let token = |page: &Page| Ok::<_, String>(page.form()?.value("csrf").unwrap_or_default().to_owned());
    let (mine, ends) = (token(&page)?, token(&connected)?);
    let mut elsewhere = scene.house.browser();
    super::connections::token(&scene.house, &mut elsewhere, "alice").await?;
    let theirs = token(&elsewhere.open(&at).await?.page()?)?;
    let last = if mine.ends_with('0') { "1" } else { "0" };
    let changed = format!("{}{last}", &mine[..mine.len() - 1]);
    for csrf in ["", ends.as_str(), &theirs, &changed] {
        let form = page.form()?.with("csrf", csrf);
        is(&scene.browser.submit(&page, form, None).await?.page()?, StatusCode::FORBIDDEN)?;
    }
    is(
        &scene.browser.submit(&page, page.form()?.without("csrf"), None).await?.page()?,
        StatusCode::FORBIDDEN,
    )?;
    for csrf in ["", mine.as_str(), &theirs] {
        let form = connected.form()?.with("csrf", csrf);
        is(&scene.browser.submit(&connected, form, None).await?.page()?, StatusCode::FORBIDDEN)?;
    }
    assert!(scene.is("ada").await?, "it was not ended");
    scene.browser.submit(&page, page.form()?, None).await?.left()?;
    scene.browser.submit(&connected, connected.form()?, None).await?.page()?;
    assert!(!scene.is("ada").await?);
    scene.house.close().await
}

/// CB-15: in the same browser, with the cookie of the way there and all.
#[tokio::test]
async fn cb_15_what_one_person_began_is_not_brought_back_by_another_in_the_same_browser() -> Done {
    let mut scene = Scene::new().await?;
    let link = scene.link().await?;
    let page = scene.browser.open(&link).await?.page()?;
    let away = scene.browser.submit(&page, page.form()?, None).await?.left()?;
    scene.remote.sign_in("ada");
    let back = came_back(away.as_str()).await?;
    becomes(&scene.house, &mut scene.browser, "bob").await?;
    let refused = scene.browser.open_from_elsewhere(&back).await?.page()?;
    is(&refused, StatusCode::FORBIDDEN)?;
    assert_eq!(
        (scene.remote.counts().codes, refusals(&scene).await?),
        (0, vec!["connect_other_person".to_owned()])
    );
    // It is Alice's still.
    becomes(&scene.house, &mut scene.browser, "alice").await?;
    scene.browser.open_from_elsewhere(&back).await?.page()?;
    assert!(scene.is("ada").await?);
    scene.house.close().await
}

/// CB-15: what was begun for one MCP server ends there (RFC 9700, section 4.4).
#[tokio::test]
async fn cb_15_a_callback_under_the_name_of_another_mcp_server_is_none() -> Done {
    let mut scene = Scene::new().await?;
    let link = scene.link().await?;
    let page = scene.browser.open(&link).await?.page()?;
    let away = scene.browser.submit(&page, page.form()?, None).await?.left()?;
    scene.remote.sign_in("ada");
    let back = came_back(away.as_str()).await?;
    let other = back.replace("/connect/notes/", "/connect/mail/");
    assert_ne!(other, back);
    let refused = scene.browser.open_from_elsewhere(&other).await?.page()?;
    is(&refused, StatusCode::BAD_REQUEST)?;
    assert_eq!(
        (scene.remote.counts().codes, refusals(&scene).await?),
        (0, vec!["connect_attempt_unknown".to_owned()])
    );
    scene.browser.open_from_elsewhere(&back).await?.page()?;
    assert!(scene.is("ada").await?, "it was not taken by that");
    scene.house.close().await
}

/// CB-15: an attempt is over after ten minutes, and what comes then is sent nowhere.
#[tokio::test]
async fn cb_15_what_is_brought_back_after_ten_minutes_is_not_redeemed() -> Done {
    let mut scene = Scene::new().await?;
    let link = scene.link().await?;
    let page = scene.browser.open(&link).await?.page()?;
    let away = scene.browser.submit(&page, page.form()?, None).await?.left()?;
    scene.remote.sign_in("ada");
    let back = came_back(away.as_str()).await?;
    scene.house.advance(Duration::from_secs(10 * 60 + 1)).await?;
    let refused = scene.browser.open_from_elsewhere(&back).await?.page()?;
    is(&refused, StatusCode::BAD_REQUEST)?;
    assert_eq!(
        (scene.remote.counts().codes, refusals(&scene).await?),
        (0, vec!["connect_attempt_unknown".to_owned()])
    );
    scene.house.close().await
}

/// CB-15: where a sign-in for such a page goes on is told to the browser in which it was begun, and to nobody who has its id.
#[tokio::test]
async fn cb_15_another_browser_is_not_led_on_by_a_sign_in_that_it_did_not_begin() -> Done {
    let mut scene = Scene::new().await?;
    let link = scene.link().await?;
    let mut fresh = scene.house.browser();
    let login = fresh.open(&link).await?.page()?;
    let id = login.form()?.value("authorization").ok_or("no sign-in")?.to_owned();
    let at = format!("{}/consent?authorization={id}", scene.house.issuer);
    let place = scene.browser.open(&at).await?.page()?;
    assert!(!place.url.path().starts_with("/connect"), "{}", place.url);
    assert!(!place.url.as_str().contains("for="), "{}", place.url);
    scene.house.close().await
}

/// F-14, as at the sign-in: a provider that is away is not the person's mistake, and they are told when to come again.
#[tokio::test]
async fn a_provider_that_is_away_when_a_connection_comes_back_is_told_as_that() -> Done {
    let mut scene = Scene::new().await?;
    scene.remote.sign_in("ada");
    let link = scene.link().await?;
    let page = scene.browser.open(&link).await?.page()?;
    let away = scene.browser.submit(&page, page.form()?, None).await?.left()?;
    let back = came_back(away.as_str()).await?;
    scene.remote.change(|held| held.token_answers.push_back((503, json!({}))));
    let refused = scene.browser.open_from_elsewhere(&back).await?.page()?;
    assert_eq!(refused.answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.words());
    assert!(refused.words().contains("The other site does not answer"), "{}", refused.words());
    assert!(!refused.answer.header("retry-after").is_empty());
    scene.house.close().await
}
