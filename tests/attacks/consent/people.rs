//! Who is signed in: nobody any more, somebody else, somebody who may not.

use std::time::Duration;

use authorization_server::Lifetimes;
use http::StatusCode;
use store::AuditKind;
use testkit::client::{allow, log_in};
use testkit::house::Plan;
use testkit::outcomes::{Verdict, page};

use crate::steps::Flow;

#[tokio::test]
async fn cs_07_a_yes_after_the_session_ended_leads_to_a_sign_in_and_gives_no_code() -> Verdict {
    let lifetimes = Lifetimes { browser_session: Duration::from_secs(60), ..Lifetimes::default() };
    for waits in [60, 300] {
        let mut flow = Flow::with(Plan { lifetimes, ..Plan::default() }).await?;
        let pkce = flow.pkce();
        let old = flow.consent(&pkce.challenge).await?;
        flow.house.advance(Duration::from_secs(waits)).await?;
        let login = flow.browser.submit(&old, old.form()?, Some(("decision", "allow"))).await?.page()?;
        assert!(login.form()?.buttons.iter().any(|(name, _)| name == "connector"), "{}", login.words());
        assert_eq!(flow.house.audit(AuditKind::ConsentGiven).await?.len(), 0);
        // Somebody else signs in at that page. What Alice had before her is not theirs to send.
        let new = log_in(&mut flow.browser, login, "bob").await?;
        assert!(new.words().contains("Bob"), "{}", new.words());
        let place = flow.browser.submit(&old, old.form()?, Some(("decision", "allow"))).await?;
        page(&place.page()?.answer, StatusCode::FORBIDDEN)?;
        assert_eq!(flow.house.audit(AuditKind::ConsentGiven).await?.len(), 0);
        allow(&mut flow.browser, &new).await?;
        let given = flow.house.audit(AuditKind::ConsentGiven).await?;
        assert!(given.iter().all(|event| event.name.as_deref() == Some("bob@example.com")), "{given:?}");
        flow.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn cs_07_a_page_of_one_person_is_not_sent_by_another() -> Verdict {
    let mut flow = Flow::new().await?;
    let pkce = flow.pkce();
    let alice = flow.consent(&pkce.challenge).await?;
    // In another tab of the same browser somebody else signs in, at the page of another request.
    let challenge = flow.pkce().challenge;
    let other = flow.consent(&challenge).await?;
    let id = other.form()?.value("authorization").unwrap_or_default().to_owned();
    let login = flow.browser.open(&format!("{}?authorization={id}", flow.at("/login"))).await?.page()?;
    log_in(&mut flow.browser, login, "bob").await?;
    for decision in ["allow", "deny"] {
        let place = flow.browser.submit(&alice, alice.form()?, Some(("decision", decision))).await?;
        page(&place.page()?.answer, StatusCode::FORBIDDEN)?;
    }
    assert_eq!(flow.house.audit(AuditKind::ConsentGiven).await?.len(), 0);
    assert_eq!(flow.house.counts().await?.browser_sessions, 1, "the session that was replaced is gone");
    flow.close().await
}

#[tokio::test]
async fn the_session_that_a_sign_in_replaces_is_dead() -> Verdict {
    let mut flow = Flow::new().await?;
    let challenge = flow.pkce().challenge;
    let consent = flow.consent(&challenge).await?;
    let thief = flow.browser.clone();
    let id = consent.form()?.value("authorization").unwrap_or_default().to_owned();
    let login = flow.browser.open(&format!("{}?authorization={id}", flow.at("/login"))).await?.page()?;
    log_in(&mut flow.browser, login, "alice").await?;
    // Whoever kept a copy of the old cookie is signed in nowhere.
    flow.browser = thief;
    let challenge = flow.pkce().challenge;
    let fields = flow.client.authorization_request(&flow.house.resource("notes"), &challenge);
    let page = flow.browser.open(&flow.client.authorization_url(&fields)).await?.page()?;
    assert!(page.form()?.buttons.iter().any(|(name, _)| name == "connector"), "{}", page.words());
    flow.close().await
}
