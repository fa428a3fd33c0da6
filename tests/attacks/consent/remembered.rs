//! Consent that was given before, and when it counts.

use std::time::Duration;

use authorization_server::{Lifetimes, Stopping, Target};
use http::StatusCode;
use protocol::oauth::ClientId;
use store::{AuditKind, Queries as _, Users as _};
use testkit::browser::{Browser, Page, Place};
use testkit::client::{Pkce, TestClient, allow, log_in, parameter};
use testkit::house::{House, Plan};
use testkit::outcomes::Verdict;
use testkit::world::TestEntropy;

use crate::attacks::scene::is_consent;

const DAY: u64 = 24 * 60 * 60;
const HOME: &str = "https://client.example/cb";
const ANNEX: &str = "https://client.example/annex";

fn url(client: &TestClient, house: &House, changes: &[(&str, &str)]) -> String {
    let mut fields = client.authorization_request(&house.resource("notes"), &Pkce::new("again").challenge);
    for (name, value) in changes {
        fields.retain(|(field, _)| field != name);
        fields.push(((*name).to_owned(), (*value).to_owned()));
    }
    client.authorization_url(&fields)
}

/// Whether the client is answered without a page.
async fn is_answered(browser: &mut Browser, url: &str) -> Result<bool, String> {
    Ok(match browser.open(url).await? {
        Place::Left(callback) => parameter(&callback, "code").is_some(),
        Place::Page(_) => false,
    })
}

/// A browser in which Alice signed in, and the page that asks her.
async fn asked(house: &House, url: &str) -> Result<(Browser, Page), String> {
    let mut browser = house.browser();
    let page = browser.open(url).await?.page()?;
    let page = log_in(&mut browser, page, "alice").await?;
    Ok((browser, page))
}

/// What `sekisho stop` does.
async fn stop(house: &House, target: Target) -> Verdict {
    stop_and(house, &target, false).await
}

/// The same, and keeps them out with `block`.
async fn stop_and(house: &House, target: &Target, block: bool) -> Verdict {
    let entropy = TestEntropy::seeded(0xC508);
    let (clock, store) = (house.clock.as_ref(), house.store.as_ref());
    let stopping = Stopping { clock, entropy: &entropy, issuer: &house.issuer, store };
    stopping.stop(target, block, None).await.map(drop).map_err(|error| error.to_string())
}

fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.clients.push(("two-places", vec![HOME.to_owned(), ANNEX.to_owned()], None));
    plan.clients.push(("twin", vec![HOME.to_owned(), ANNEX.to_owned()], None));
    plan.servers.push(("tickets", policy::Access::Everyone));
    plan
}

#[tokio::test]
async fn cs_08_a_client_that_comes_back_for_something_else_is_asked_about_again() -> Verdict {
    let house = House::with(plan()).await?;
    let client = house.known_client("two-places")?;
    let (mut alice, page) = asked(&house, &url(&client, &house, &[("scope", "read")])).await?;
    allow(&mut alice, &page).await?;
    assert!(is_answered(&mut alice, &url(&client, &house, &[("scope", "read")])).await?);
    let tickets = house.resource("tickets");
    for change in [("scope", "read write"), ("redirect_uri", ANNEX), ("resource", tickets.as_str())] {
        let changed = url(&client, &house, &[("scope", "read"), change]);
        assert!(!is_answered(&mut alice, &changed).await?, "{change:?}");
    }
    // The same name and the same place, but another client.
    for other in ["twin", "known-public"] {
        let other = house.known_client(other)?;
        assert!(!is_answered(&mut alice, &url(&other, &house, &[("scope", "read")])).await?);
    }
    // The same browser, but somebody else in it; and then Alice again.
    let page = alice.open(&url(&client, &house, &[("prompt", "select_account")])).await?.page()?;
    let page = log_in(&mut alice, page, "bob").await?;
    assert!(page.words().contains("Bob"), "{}", page.words());
    assert!(!is_answered(&mut alice, &url(&client, &house, &[("scope", "read")])).await?);
    house.close().await?;
    Ok(())
}

/// What ends: the time that the person chose, and what an administrator stops.
#[tokio::test]
async fn cs_08_what_is_over_or_was_stopped_is_asked_about_again() -> Verdict {
    let lifetimes = Lifetimes { browser_session: Duration::from_secs(400 * DAY), ..Lifetimes::default() };
    let house = House::with(Plan { lifetimes, ..plan() }).await?;
    let client = house.known_client("two-places")?;
    let asking = url(&client, &house, &[]);
    let (mut alice, page) = asked(&house, &asking).await?;
    let form = page.form()?.without("life").with("life", &DAY.to_string());
    alice.submit(&page, form, Some(("decision", "allow"))).await?.left()?;
    house.advance(Duration::from_secs(DAY - 1)).await?;
    assert!(is_answered(&mut alice, &asking).await?);
    house.advance(Duration::from_secs(1)).await?;
    let page = alice.open(&asking).await?.page()?;
    assert!(is_consent(&page), "{}", page.words());
    allow(&mut alice, &page).await?;
    assert!(is_answered(&mut alice, &asking).await?);

    let client_id = ClientId::parse(&client.client_id).map_err(|error| error.to_string())?;
    stop(&house, Target::Client(client_id)).await?;
    let page = alice.open(&asking).await?.page()?;
    assert!(is_consent(&page), "{}", page.words());
    allow(&mut alice, &page).await?;
    assert!(is_answered(&mut alice, &asking).await?);
    let given = house.audit(AuditKind::ConsentGiven).await?;
    let id = given.iter().find_map(|event| event.user).ok_or("nobody")?;
    let person = house.store.find_user(id).await.map_err(|error| error.to_string())?.ok_or("nobody")?;
    stop(&house, Target::User(Box::new(person))).await?;
    let (_, page) = asked(&house, &asking).await?;
    assert!(is_consent(&page), "{}", page.words());
    house.close().await?;
    Ok(())
}

#[tokio::test]
async fn cs_08_a_client_whose_metadata_changed_is_asked_about_again() -> Verdict {
    let house = House::with(plan()).await?;
    let client = house.known_client("two-places")?;
    let (mut alice, page) = asked(&house, &url(&client, &house, &[])).await?;
    allow(&mut alice, &page).await?;
    let sister = house
        .second_node_with(|plan| {
            if let Some(known) = plan.clients.iter_mut().find(|(id, ..)| *id == "two-places") {
                known.1.push("https://client.example/third".to_owned());
            }
        })
        .await?;
    let changed = sister.known_client("two-places")?;
    let (mut there, page) = asked(&sister, &url(&changed, &sister, &[])).await?;
    assert!(page.form()?.value("csrf").is_some(), "a page is shown");
    // And once she said yes to the changed one, it is that one which is known.
    allow(&mut there, &page).await?;
    assert!(!is_answered(&mut alice, &url(&client, &house, &[])).await?);
    sister.close().await?;
    house.close().await?;
    Ok(())
}

#[tokio::test]
async fn cs_05_a_form_adds_no_mcp_server_and_no_time_to_what_was_offered() -> Verdict {
    let house = House::with(plan()).await?;
    let client = house.client().await?;
    let asking = url(&client, &house, &[]);
    // Alice is in no group that may use the ledger: it is not on her page.
    let (mut alice, page) = asked(&house, &asking).await?;
    assert!(page.words().contains("tickets") && !page.words().contains("ledger"), "{}", page.words());
    let mut form = page.form()?;
    for (name, value) in [("further", "ledger"), ("further", "nowhere"), ("further", "notes")] {
        form.fields.push((name.to_owned(), value.to_owned()));
    }
    alice.submit(&page, form, Some(("decision", "allow"))).await?.left()?;
    for server in ["ledger", "tickets"] {
        let there = url(&client, &house, &[("resource", &house.resource(server))]);
        assert!(!is_answered(&mut alice, &there).await?, "{server}");
    }
    for life in ["1", "31536000000", "-1", "86400 86400", "x"] {
        let page = alice.open(&asking).await?.page()?;
        let form = page.form()?.without("life").with("life", life);
        let answer = alice.submit(&page, form, Some(("decision", "allow"))).await?.page()?.answer;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{life}: {}", answer.text());
    }
    house.close().await?;
    Ok(())
}

/// A link that somebody sent opens in the victim's own browser: what Alice ticked is of no use to it if it comes from
/// another site, and of none at all in another browser.
#[tokio::test]
async fn cs_08_what_was_ticked_in_advance_is_of_no_use_elsewhere() -> Verdict {
    let house = House::with(plan()).await?;
    let client = house.client().await?;
    let (mut alice, page) = asked(&house, &url(&client, &house, &[])).await?;
    let mut form = page.form()?;
    form.fields.push(("further".to_owned(), "*".to_owned()));
    alice.submit(&page, form, Some(("decision", "allow"))).await?.left()?;
    let there = url(&client, &house, &[("resource", &house.resource("tickets"))]);
    assert!(matches!(alice.open_from_elsewhere(&there).await?, Place::Page(_)));
    let (_, page) = asked(&house, &there).await?;
    assert!(page.form()?.value("csrf").is_some(), "asked in another browser");
    let before = house.audit(AuditKind::ConsentGiven).await?.len();
    assert!(is_answered(&mut alice, &there).await?);
    assert!(!is_answered(&mut alice, &there).await?, "once");
    let events = house.audit(AuditKind::ConsentGiven).await?;
    assert_eq!(events.len(), before + 1, "and it is written down like any other");
    house.close().await?;
    Ok(())
}

/// Who is kept out gets no code: not on a page that was open, not by signing in, and not by what they allowed before. Whoever
/// must be asked again is.
#[tokio::test]
async fn az_34_a_person_who_is_kept_out_or_must_be_asked_again_gets_no_code() -> Verdict {
    let house = House::with(plan()).await?;
    let client = house.known_client("two-places")?;
    let asking = url(&client, &house, &[]);
    let (mut remembered, page) = asked(&house, &asking).await?;
    allow(&mut remembered, &page).await?;
    assert!(is_answered(&mut remembered, &asking).await?);
    assert!(!is_answered(&mut remembered, &url(&client, &house, &[("prompt", "consent")])).await?);
    let (mut open, page) = asked(&house, &url(&client, &house, &[("prompt", "consent")])).await?;
    let (mut halfway, login) = asked_to_sign_in(&house, &asking).await?;

    let found = house.store.find_people("alice@example.com").await.map_err(|error| error.to_string())?;
    let person = found.into_iter().next().ok_or("nobody")?;
    stop_and(&house, &Target::User(Box::new(person.clone())), true).await?;
    let pressed = open.submit(&page, page.form()?, Some(("decision", "allow"))).await?;
    assert!(matches!(&pressed, Place::Page(page) if !is_consent(page)), "{pressed:?}");
    let signed_in = halfway.submit(&login, login.form()?.with("login", "alice"), None).await?.page()?;
    assert!(signed_in.answer.status.is_client_error() && !is_consent(&signed_in), "{}", signed_in.words());
    assert!(!is_answered(&mut remembered, &asking).await?);
    assert_eq!(house.audit(AuditKind::ConsentGiven).await?.len(), 2, "none since");

    // Let in again, they sign in and are asked: nothing of before counts.
    let entropy = TestEntropy::seeded(0xA234);
    let (clock, store) = (house.clock.as_ref(), house.store.as_ref());
    let desk = Stopping { clock, entropy: &entropy, issuer: &house.issuer, store };
    desk.allow_user(person, None).await.map_err(|error| error.to_string())?;
    let (mut back, page) = asked(&house, &asking).await?;
    assert!(is_consent(&page), "{}", page.words());
    allow(&mut back, &page).await?;
    house.close().await
}

/// A browser on the way to the identity provider: the next form is that of the person's name.
async fn asked_to_sign_in(house: &House, url: &str) -> Result<(Browser, Page), String> {
    let mut browser = house.browser();
    let page = browser.open(url).await?.page()?;
    let form = page.form()?;
    let button = form.buttons.iter().find(|(name, _)| name == "connector").cloned();
    let button = button.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
    let page = browser.submit(&page, form, button).await?.page()?;
    Ok((browser, page))
}
