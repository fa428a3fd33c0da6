//! A device without a browser, and a person with one (RFC 8628), from outside.

use std::time::Duration;

use http::StatusCode;
use protocol::oauth::{ClientId, ResourceUri};
use protocol::world::Clock as _;
use store::{AuditKind, Consents as _, Queries as _};
use testkit::browser::{Browser, Page};
use testkit::client::{TestClient, allow, log_in};
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::outcomes::{Verdict, page, tok400};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const INTERVAL: Duration = Duration::from_secs(5);

pub(super) struct Begun {
    pub(super) device_code: String,
    pub(super) user_code: String,
    pub(super) complete: String,
}

async fn ask(house: &House, client: &TestClient, more: &[(&str, &str)]) -> Result<Answer, String> {
    let mut all = vec![("client_id", client.client_id.as_str())];
    all.extend_from_slice(more);
    house.http.post_form(&format!("{}/oauth/device_authorization", house.issuer), &[], &all).await
}

pub(super) async fn begin(house: &House, client: &TestClient) -> Result<Begun, String> {
    let answer =
        ask(house, client, &[("resource", &house.resource("notes")), ("scope", "read write")]).await?;
    assert_eq!(answer.header("cache-control"), "no-store");
    let json = answer.json();
    let text = |name: &str| json[name].as_str().map(str::to_owned).ok_or_else(|| answer.text());
    let begun = Begun {
        device_code: text("device_code")?,
        user_code: text("user_code")?,
        complete: text("verification_uri_complete")?,
    };
    assert_eq!(text("verification_uri")?, format!("{}/device", house.issuer));
    house.remember_secret(&begun.device_code);
    house.remember_secret(&begun.user_code);
    Ok(begun)
}

async fn poll(client: &TestClient, device_code: &str) -> Result<Answer, String> {
    client.token(&[("grant_type", GRANT), ("device_code", device_code)]).await
}

/// Types the code on the page, and is then on the page that names the client.
pub(super) async fn enter(browser: &mut Browser, url: &str, user_code: &str) -> Result<Page, String> {
    let place = browser.open(url).await?.page()?;
    let form = place.form()?.with("user_code", user_code);
    browser.submit(&place, form, None).await?.page()
}

/// AS-200, AS-201, AS-205.
#[tokio::test]
async fn a_person_lets_a_device_in_and_the_device_calls_a_tool() -> Verdict {
    let house = House::new().await?;
    let client = house.known_client("known-native")?;
    let device = begin(&house, &client).await?;
    tok400(&poll(&client, &device.device_code).await?, "authorization_pending")?;
    tok400(&poll(&client, &device.device_code).await?, "slow_down")?;
    let mut browser = house.browser();
    // The code of the link is filled in, and not taken before somebody has compared it.
    let opened = browser.open(&device.complete).await?.page()?;
    assert_eq!(opened.form()?.value("user_code"), Some(device.user_code.as_str()));
    assert!(opened.answer.text().contains("Compare it"), "{}", opened.answer.text());
    house.advance(INTERVAL).await?;
    tok400(&poll(&client, &device.device_code).await?, "authorization_pending")?;
    let login = enter(&mut browser, &device.complete, &device.user_code).await?;
    for word in
        ["Known client", "asked from <bdi>127.0.0.1</bdi>", "If somebody sent you the link or the code"]
    {
        assert!(login.answer.text().contains(word), "{word}: {}", login.answer.text());
    }
    let consent = log_in(&mut browser, login, "alice").await?;
    for word in ["Known client", "asked from <bdi>127.0.0.1</bdi>", "read", "write", "The notes server"] {
        assert!(consent.answer.text().contains(word), "{word}: {}", consent.answer.text());
    }
    let form = consent.form()?;
    let done = browser.submit(&consent, form, Some(("decision", "allow"))).await?.page()?;
    assert!(done.answer.text().contains("The device is connected"), "{}", done.answer.text());
    house.advance(INTERVAL).await?;
    let answer = poll(&client, &device.device_code).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let json = answer.json();
    let (access, refresh) = (json["access_token"].as_str(), json["refresh_token"].as_str());
    let (access, refresh) = access.zip(refresh).ok_or_else(|| answer.text())?;
    house.remember_secret(access);
    house.remember_secret(refresh);
    assert_eq!(house.echo("notes", access).await?.status, StatusCode::OK);
    house.advance(INTERVAL).await?;
    tok400(&poll(&client, &device.device_code).await?, "invalid_grant")?;
    assert_eq!(client.refresh(refresh).await?.status, StatusCode::OK);
    assert_eq!(house.audit(AuditKind::ConsentGiven).await?.len(), 1);
    house.close().await
}

/// RFC 8628, sections 3.2 and 3.5: `expires_in` is what the device may count on, yes or no yes.
#[tokio::test]
async fn a_device_that_was_off_the_network_finds_the_yes_until_its_code_is_over() -> Verdict {
    let house = House::new().await?;
    let client = house.known_client("known-native")?;
    for (late, is_good) in [(Duration::from_secs(9 * 60), true), (Duration::from_secs(11 * 60), false)] {
        let device = begin(&house, &client).await?;
        let mut browser = house.browser();
        let login = enter(&mut browser, &device.complete, &device.user_code).await?;
        let consent = log_in(&mut browser, login, "alice").await?;
        browser.submit(&consent, consent.form()?, Some(("decision", "allow"))).await?.page()?;
        house.advance(late).await?;
        let answer = poll(&client, &device.device_code).await?;
        if is_good {
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        } else {
            tok400(&answer, "expired_token")?;
        }
    }
    house.close().await
}

/// RFC 8628, section 5.4: whose device it is can only be judged by the person, each time.
#[tokio::test]
async fn a_yes_to_a_device_is_remembered_of_no_client() -> Verdict {
    let mut plan = Plan::default();
    // A yes to it in a browser would be.
    let known = ClientId::parse("known-native").map_err(|error| error.to_string())?;
    plan.consents.loopback_clients = vec![known.clone()];
    let house = House::with(plan).await?;
    let client = house.known_client("known-native")?;
    let device = begin(&house, &client).await?;
    let mut browser = house.browser();
    let login = enter(&mut browser, &device.complete, &device.user_code).await?;
    let consent = log_in(&mut browser, login, "alice").await?;
    browser.submit(&consent, consent.form()?, Some(("decision", "allow"))).await?.page()?;
    assert_eq!(house.audit(AuditKind::ConsentGiven).await?.len(), 1);
    let alice = house.store.find_people("alice@example.com").await.map_err(|error| error.to_string())?;
    let alice = alice.first().ok_or("no Alice")?.id;
    let resource = ResourceUri::parse(&house.resource("notes")).map_err(|error| error.to_string())?;
    let now = house.clock.now();
    let remembered = house.store.list_consents(alice, &known, &resource, now).await;
    assert_eq!(remembered.map_err(|error| error.to_string())?, []);
    house.close().await
}

#[tokio::test]
async fn a_no_reaches_the_device_and_so_does_nothing_at_all() -> Verdict {
    let house = House::new().await?;
    let client = house.known_client("known-native")?;
    let (denied, late) = (begin(&house, &client).await?, begin(&house, &client).await?);
    let mut browser = house.browser();
    let login = enter(&mut browser, &format!("{}/device", house.issuer), &denied.user_code).await?;
    let consent = log_in(&mut browser, login, "alice").await?;
    let done = browser.submit(&consent, consent.form()?, Some(("decision", "deny"))).await?.page()?;
    assert!(done.answer.text().contains("The device was not connected"), "{}", done.answer.text());
    tok400(&poll(&client, &denied.device_code).await?, "access_denied")?;
    house.advance(Duration::from_secs(600)).await?;
    tok400(&poll(&client, &late.device_code).await?, "expired_token")?;
    let gone = enter(&mut browser, &late.complete, &late.user_code).await?;
    page(&gone.answer, StatusCode::BAD_REQUEST)?;
    house.close().await
}

/// AS-204, RFC 8628, section 5.4: a stranger's program cannot send people links to a house that does not expect it.
#[tokio::test]
async fn phishing_needs_a_client_that_the_operator_knows() -> Verdict {
    let house = House::new().await?;
    let metadata = serde_json::json!({
        "client_name": "Company Assistant",
        "redirect_uris": ["https://client.example/cb"],
        "grant_types": ["authorization_code", GRANT],
        "token_endpoint_auth_method": "none",
    });
    let stranger = TestClient::register_with(&house.http, &house.issuer, &metadata).await?;
    let resource = house.resource("notes");
    tok400(&ask(&house, &stranger, &[("resource", &resource)]).await?, "unauthorized_client")?;
    house.close().await?;

    let house =
        House::with(Plan { device_flow: authorization_server::DeviceFlow::Off, ..Plan::default() }).await?;
    let client = house.known_client("known-native")?;
    tok400(&ask(&house, &client, &[("resource", &house.resource("notes"))]).await?, "unauthorized_client")?;
    let document = format!("{}/.well-known/oauth-authorization-server", house.issuer);
    let metadata = house.http.get(&document, &[]).await?.json();
    assert!(metadata.get("device_authorization_endpoint").is_none(), "{metadata}");
    assert!(!metadata["grant_types_supported"].to_string().contains("device_code"), "{metadata}");
    house.close().await
}

/// AS-203, RFC 8628, section 5.1: guesses are few from one address; no page tells a wrong code from one that is over.
#[tokio::test]
async fn user_codes_are_not_guessed_from_one_address() -> Verdict {
    let rates = web::Rates { device: web::Rates::default().device, ..web::Rates::unlimited() };
    let house = House::with(Plan { rates, ..Plan::default() }).await?;
    let url = format!("{}/device", house.issuer);
    let origin = [("origin", house.issuer.as_str())];
    let mut refused = 0;
    for guess in 0..40_u8 {
        let letters = b"BCDFGHJKLMNPQRSTVWXZ";
        let place = |digit: u8| char::from(letters[usize::from(digit % 20)]);
        let code = format!("BBBB-BB{}{}", place(guess), place(guess / 20));
        let answer = house.http.post_form(&url, &origin, &[("user_code", &code)]).await?;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            refused += 1;
        } else {
            page(&answer, StatusCode::BAD_REQUEST)?;
        }
    }
    assert_eq!(refused, 20);
    house.close().await
}

/// A form of another site brings nobody into a device's sign-in, and a device's code is nobody else's.
#[tokio::test]
async fn a_foreign_page_cannot_type_a_code_for_somebody() -> Verdict {
    let house = House::new().await?;
    let client = house.known_client("known-native")?;
    let device = begin(&house, &client).await?;
    let url = format!("{}/device", house.issuer);
    let fields = [("user_code", device.user_code.as_str())];
    for headers in [[("origin", "https://evil.example")], [("sec-fetch-site", "cross-site")]] {
        page(&house.http.post_form(&url, &headers, &fields).await?, StatusCode::FORBIDDEN)?;
    }
    // The device code is worth nothing to another client.
    let other = house.known_client("known-public")?;
    tok400(&poll(&other, &device.device_code).await?, "invalid_grant")?;
    let mut browser = house.browser();
    let login = enter(&mut browser, &url, &device.user_code).await?;
    let consent = log_in(&mut browser, login, "alice").await?;
    // Somebody who types the code after the person has begun finds it used.
    let late = enter(&mut house.browser(), &url, &device.user_code).await?;
    page(&late.answer, StatusCode::BAD_REQUEST)?;
    // What the browser carries past our page is no code for any client.
    let left = allow(&mut browser, &consent).await;
    assert!(left.is_err(), "{left:?}");
    house.close().await
}
