//! Consent that stands: to whom, how often, and what ends it (attacks.md, CS-08 and AZ-33).

use std::time::Duration;

use protocol::oauth::{ClientId, ClientMetadata, Scope};
use protocol::world::Clock as _;
use store::{AuditKind, Authorizations as _, ConsentKind, Grants as _, Revocations as _};

use super::*;
use crate::consent::{ConsentForm, Verdict};
use crate::test_house::*;
use crate::{AuthorizationServer, ConsentPage, Next, PreRegisteredClient, Settings, Standing};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AT_REMOTE: Changes<'_> = &[("redirect_uri", REMOTE)];

/// What a request led to.
#[derive(Debug, PartialEq, Eq)]
enum Led {
    Answered(String),
    Asked,
    LogIn,
}

fn led(next: Next) -> Led {
    match next {
        Next::Answer(answer) => match answer.response {
            protocol::oauth::AuthorizationResponse::Code { code, .. } => Led::Answered(code.reveal()),
            protocol::oauth::AuthorizationResponse::Error { code, .. } => panic!("{code}"),
        },
        Next::Approval(id) => panic!("waits for an administrator: {id}"),
        Next::Consent(_) => Led::Asked,
        Next::Login(_) => Led::LogIn,
    }
}

async fn ask(house: &House, cookies: &Cookies, client: &str, changes: Changes<'_>) -> Led {
    ask_at(&house.server, cookies, client, changes).await
}

async fn ask_at(server: &AuthorizationServer, cookies: &Cookies, client: &str, changes: Changes<'_>) -> Led {
    let browser = cookies.browser();
    led(server.authorize(request(client, changes), browser, &caller()).await.unwrap().next)
}

/// Says yes to what the page shows, with these changes of the form.
async fn say_yes(
    house: &House,
    cookies: &Cookies,
    page: &ConsentPage,
    change: impl FnOnce(&mut ConsentForm),
) {
    let mut form = House::consent_form(page, Verdict::Allow);
    change(&mut form);
    house.server.decide_consent(form, cookies.browser()).await.unwrap();
}

/// A browser in which somebody said yes to a client.
async fn after_yes(
    house: &House,
    client: &str,
    changes: Changes<'_>,
    change: impl FnOnce(&mut ConsentForm),
) -> Cookies {
    let mut cookies = Cookies::default();
    let page = house.to_consent(&mut cookies, request(client, changes)).await;
    say_yes(house, &cookies, &page, change).await;
    cookies
}

/// The same house after its operator changed something.
fn changed(house: &House, change: impl FnOnce(&mut Settings)) -> AuthorizationServer {
    let mut changed = settings();
    change(&mut changed);
    AuthorizationServer::new(changed, house.server.parts.clone())
}

fn console(name: &str, uris: &[&str]) -> PreRegisteredClient {
    let uris: Vec<String> = uris.iter().map(|uri| (*uri).to_owned()).collect();
    let id = ClientId::parse(CONSOLE).unwrap();
    PreRegisteredClient::new(id, Some(name), &uris, None, &settings().redirects).unwrap()
}

/// As many MCP servers that everybody may use, beside the one that is asked for.
fn with_more_servers(consents: ConsentSettings) -> Settings {
    let mut settings = Settings { consents, ..settings() };
    settings.servers.extend(["tickets", "wiki"].map(server_for_all));
    settings
}

const TICKETS: Changes<'_> = &[("resource", "https://mcp.example.com/tickets/mcp"), ("scope", "")];
const WIKI: Changes<'_> = &[("resource", "https://mcp.example.com/wiki/mcp"), ("scope", "")];

fn tick(names: &'static [&'static str]) -> impl FnOnce(&mut ConsentForm) {
    |form| form.further = names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn only_a_client_that_is_known_to_be_the_same_is_remembered() {
    let policy = settings().redirects;
    let uris = [REMOTE, LOOPBACK, "cursor://client/cb"];
    let metadata = serde_json::json!({ "redirect_uris": uris, "token_endpoint_auth_method": "none" });
    let metadata = ClientMetadata::parse_registration(metadata.to_string().as_bytes(), &policy).unwrap();
    let (document, known, dynamic) = ("https://client.example/id", CONSOLE, "dcr_AAECAw");
    let ids = [document, known, dynamic].map(|id| ClientId::parse(id).unwrap());
    let approving = ConsentSettings { loopback_clients: ids.to_vec(), ..ConsentSettings::default() };
    for (id, uri, expected, approved) in [
        (document, REMOTE, Some(ConsentKind::Person), Some(ConsentKind::Person)),
        (document, LOOPBACK, None, Some(ConsentKind::Browser)),
        (document, "cursor://client/cb", None, None),
        (known, REMOTE, Some(ConsentKind::Person), Some(ConsentKind::Person)),
        (known, LOOPBACK, None, Some(ConsentKind::Browser)),
        (known, "cursor://client/cb", None, None),
        (dynamic, REMOTE, None, None),
        (dynamic, LOOPBACK, None, None),
        (dynamic, "cursor://client/cb", None, None),
    ] {
        let client = Client::registered(ClientId::parse(id).unwrap(), metadata.clone());
        let to = client.verify_redirect_uri(Some(uri)).unwrap();
        let kind = |settings: &ConsentSettings| remembering(&client, &to, settings).map(|found| found.kind);
        assert_eq!(kind(&ConsentSettings::default()), expected, "{id} {uri}");
        assert_eq!(kind(&approving), approved, "{id} {uri}, approved");
    }
    let long = ConsentSettings { loopback_life: 400 * DAY, ..approving };
    let client = Client::registered(ClientId::parse(known).unwrap(), metadata);
    let to = client.verify_redirect_uri(Some(LOOPBACK)).unwrap();
    assert_eq!(remembering(&client, &to, &long).unwrap().life, Some(30 * DAY));
}

/// CS-08: whatever a client's own document says is part of it, its keys above all.
#[test]
fn each_member_of_a_document_changes_what_a_consent_holds_to() {
    let id = ClientId::parse("https://client.example/id").unwrap();
    let document = serde_json::json!({
        "client_id": id.as_str(), "client_name": "Example", "redirect_uris": [REMOTE],
        "token_endpoint_auth_method": "none",
    });
    let policy = settings().redirects;
    let server = server_for_all("notes");
    let held = |changes: &[(&str, serde_json::Value)]| {
        let mut document = document.clone();
        for (member, value) in changes {
            document[member] = value.clone();
        }
        let metadata = ClientMetadata::parse_document(document.to_string().as_bytes(), &id, &policy).unwrap();
        let client = Client::registered(id.clone(), metadata);
        facts(&client, &client.verify_redirect_uri(Some(REMOTE)).unwrap(), &server)
    };
    let key = |x: u8| {
        let key = protocol::jose::SigningKey::from_pkcs8(
            protocol::keys::KeyId::from_bytes([x; 4]),
            &protocol::jose::SigningKey::generate_pkcs8().unwrap(),
        );
        serde_json::json!({ "keys": [key.unwrap().public_jwk()] })
    };
    let by_key = || ("token_endpoint_auth_method", serde_json::json!("private_key_jwt"));
    let at = |url: &str| ("jwks_uri", serde_json::json!(url));
    let all = [
        held(&[]),
        held(&[("client_name", serde_json::json!("Client"))]),
        held(&[("client_uri", serde_json::json!("https://client.example/"))]),
        held(&[("redirect_uris", serde_json::json!([REMOTE, LOOPBACK]))]),
        held(&[("scope", serde_json::json!("read"))]),
        held(&[by_key(), ("jwks", key(1))]),
        held(&[by_key(), ("jwks", key(2))]),
        held(&[by_key(), at("https://client.example/keys")]),
        held(&[by_key(), at("https://client.example/other-keys")]),
    ];
    let different: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
    assert_eq!(held(&[]), held(&[]));
}

#[tokio::test]
async fn a_known_client_on_a_host_of_its_own_is_asked_about_once() {
    let house = House::new().await;
    let cookies = after_yes(&house, CONSOLE, AT_REMOTE, |_| {}).await;
    for scope in ["read write", "read"] {
        let led = ask(&house, &cookies, CONSOLE, &[("redirect_uri", REMOTE), ("scope", scope)]).await;
        assert!(matches!(led, Led::Answered(_)), "{scope}: {led:?}");
    }
    let events = house.events(AuditKind::ConsentGiven).await;
    let without_page = events.iter().filter_map(|event| event.detail.get("by_consent"));
    assert_eq!(without_page.collect::<Vec<_>>(), ["person", "person"]);
    // In another browser the same person is asked who they are, and no more.
    let mut other = Cookies::default();
    let Next::Login(page) = house.authorize(&mut other, request(CONSOLE, AT_REMOTE)).await.unwrap() else {
        panic!()
    };
    let state = house.press_login(&mut other, &page).await.unwrap();
    let signed_in = house.call_back(&mut other, &state).await.unwrap();
    other.session = Some(signed_in.set_session.reveal());
    let step = house.server.consent_page(&signed_in.resume.to_string(), &other.browser()).await.unwrap();
    assert!(matches!(step, crate::ConsentStep::Answer(_)));
}

/// The last word counts: who presses Cancel is asked again.
#[tokio::test]
async fn a_no_ends_what_was_remembered() {
    let house = House::new().await;
    let mut cookies = after_yes(&house, CONSOLE, AT_REMOTE, |_| {}).await;
    let changes = [("redirect_uri", REMOTE), ("prompt", "consent")];
    let Next::Consent(page) = house.authorize(&mut cookies, request(CONSOLE, &changes)).await.unwrap() else {
        panic!("no page")
    };
    let no = House::consent_form(&page, Verdict::Deny);
    house.server.decide_consent(no, cookies.browser()).await.unwrap();
    assert_eq!(ask(&house, &cookies, CONSOLE, AT_REMOTE).await, Led::Asked);
}

#[tokio::test]
async fn a_code_that_no_page_was_shown_for_is_redeemed_like_any_other() {
    let house = House::new().await;
    let cookies = after_yes(&house, CONSOLE, AT_REMOTE, |form| form.scope = vec!["read".to_owned()]).await;
    let asked = &[("redirect_uri", REMOTE), ("scope", "read")];
    let Led::Answered(code) = ask(&house, &cookies, CONSOLE, asked).await else { panic!() };
    let verifier = "v".repeat(43);
    let parameters = [
        ("grant_type", "authorization_code"),
        ("client_id", CONSOLE),
        ("code", &code),
        ("code_verifier", &verifier),
        ("redirect_uri", REMOTE),
    ];
    let tokens = Tokens::of(house.token(&parameters).await.unwrap());
    assert_eq!(tokens.scope, "read");
}

#[tokio::test]
async fn whoever_is_not_that_client_that_person_or_asks_for_more_is_asked() {
    let house = House::new().await;
    let cookies = after_yes(&house, CONSOLE, AT_REMOTE, |form| form.scope = vec!["read".to_owned()]).await;
    let read: Changes<'_> = &[("redirect_uri", REMOTE), ("scope", "read")];
    assert!(matches!(ask(&house, &cookies, CONSOLE, read).await, Led::Answered(_)));
    // What was unticked, what is more, and another place of the same client.
    assert_eq!(ask(&house, &cookies, CONSOLE, AT_REMOTE).await, Led::Asked);
    assert_eq!(ask(&house, &cookies, CONSOLE, &[("scope", "read")]).await, Led::Asked);
    let again: Changes<'_> = &[("redirect_uri", REMOTE), ("scope", "read"), ("prompt", "consent")];
    assert_eq!(ask(&house, &cookies, CONSOLE, again).await, Led::Asked);
    // Another client that is called back at the same place.
    assert_eq!(ask(&house, &cookies, PORTAL.0, read).await, Led::Asked);
    assert_eq!(ask(&house, &cookies, &house.public_client(), read).await, Led::Asked);
    house.connector.change(|who| who.subject = "bob-2".to_owned());
    let mut bob = Cookies::default();
    house.to_consent(&mut bob, request(CONSOLE, read)).await;
}

/// AZ-33: nothing stands in a flow to which another site sent the browser.
#[tokio::test]
async fn a_flow_from_another_site_is_asked_about_whatever_was_said_before() {
    let house = House::with(with_more_servers(ConsentSettings::default())).await;
    let cookies = after_yes(&house, CONSOLE, AT_REMOTE, tick(&["tickets"])).await;
    let from_outside = || Browser { from_outside: true, ..cookies.browser() };
    for changes in [AT_REMOTE, &[TICKETS, AT_REMOTE].concat()] {
        let asked = request(CONSOLE, changes);
        let next = house.server.authorize(asked, from_outside(), &caller()).await.unwrap().next;
        let Next::Consent(page) = next else { panic!("{next:?}") };
        assert!(page.further.is_empty(), "what would not count is not offered");
        // Going on from inside does not make it one that began there.
        house.consent_page(&cookies, &page.authorization.to_string()).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_registered_itself_and_one_on_this_machine_are_always_asked_about() {
    let house = House::new().await;
    let dynamic = house.public_client();
    for (client, changes) in [(dynamic.as_str(), AT_REMOTE), (&dynamic, &[]), (CONSOLE, &[])] {
        let cookies = after_yes(&house, client, changes, |_| {}).await;
        assert_eq!(ask(&house, &cookies, client, changes).await, Led::Asked);
    }
}

/// CS-08.
#[tokio::test]
async fn whatever_changes_at_the_client_or_the_mcp_server_makes_the_person_be_asked_again() {
    let house = House::new().await;
    let cookies = after_yes(&house, CONSOLE, AT_REMOTE, |_| {}).await;
    type Change = fn(&mut Settings);
    let changes: [(&str, Change); 7] = [
        ("name", |settings| settings.clients = vec![console("Renamed", &[LOOPBACK, REMOTE])]),
        ("redirects", |settings| settings.clients = vec![console("Known", &[REMOTE])]),
        ("title", |settings| settings.servers[0].title.push('x')),
        ("words", |settings| settings.servers[0].scopes[0].words.english = None),
        ("scopes", |settings| {
            settings.servers[0].scopes.pop();
        }),
        ("default", |settings| settings.servers[0].scopes[1].by_default = true),
        ("moved", |settings| settings.servers[0].name = "elsewhere".to_owned()),
    ];
    for (what, change) in changes {
        let asked = &[("redirect_uri", REMOTE), ("scope", "read")];
        assert_eq!(ask_at(&changed(&house, change), &cookies, CONSOLE, asked).await, Led::Asked, "{what}");
    }
    assert!(matches!(ask(&house, &cookies, CONSOLE, AT_REMOTE).await, Led::Answered(_)));
}

#[tokio::test]
async fn an_approved_client_on_this_machine_is_remembered_in_this_browser_for_thirty_days() {
    let approving = ConsentSettings {
        loopback_clients: vec![ClientId::parse(CONSOLE).unwrap()],
        ..ConsentSettings::default()
    };
    let mut settings = with_more_servers(approving);
    settings.lifetimes.browser_session = 400 * DAY;
    let house = House::with(settings).await;
    let mut cookies = Cookies::default();
    let page = house.to_consent(&mut cookies, request(CONSOLE, &[])).await;
    let form = House::consent_form(&page, Verdict::Allow);
    let answer = house.server.decide_consent(form, cookies.browser()).await.unwrap();
    let (again, life) = answer.keep_binding.unwrap();
    assert_eq!((Some(again.reveal()), life), (cookies.binding.clone(), 30 * DAY));

    // Another port of the same client.
    let elsewhere: Changes<'_> = &[("redirect_uri", "http://127.0.0.1:7777/cb")];
    assert!(matches!(ask(&house, &cookies, CONSOLE, elsewhere).await, Led::Answered(_)));
    let withdrawn = changed(&house, |_| {});
    assert_eq!(ask_at(&withdrawn, &cookies, CONSOLE, &[]).await, Led::Asked, "approved no more");
    let mut other = Cookies::default();
    house.to_consent(&mut other, request(CONSOLE, &[])).await;
    house.clock.advance(30 * DAY);
    assert_eq!(ask(&house, &cookies, CONSOLE, &[]).await, Led::Asked);
}

#[tokio::test]
async fn what_was_ticked_for_other_servers_is_granted_once_and_nothing_else_is() {
    let house = House::with(with_more_servers(ConsentSettings::default())).await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    let page = house.to_consent(&mut cookies, request(&client, &[])).await;
    let offered: Vec<&str> = page.further.iter().map(|further| further.server.name.as_str()).collect();
    assert_eq!(offered, ["tickets", "wiki"], "the vault is not open to this person");
    say_yes(&house, &cookies, &page, tick(&["tickets", "vault", "nowhere"])).await;
    let events = house.events(AuditKind::ConsentGiven).await;
    assert_eq!(events[0].detail.get("in_advance").map(String::as_str), Some("tickets"));

    assert_eq!(ask(&house, &cookies, &client, WIKI).await, Led::Asked, "not ticked");
    let more = [TICKETS, &[("scope", "read write")]].concat();
    assert_eq!(ask(&house, &cookies, &client, &more).await, Led::Asked, "more than was shown");
    assert_eq!(ask(&house, &cookies, &house.public_client(), TICKETS).await, Led::Asked, "another client");
    let there = [TICKETS, AT_REMOTE].concat();
    assert_eq!(ask(&house, &cookies, &client, &there).await, Led::Asked, "answered elsewhere");
    assert!(matches!(ask(&house, &cookies, &client, TICKETS).await, Led::Answered(_)));
    assert_eq!(ask(&house, &cookies, &client, TICKETS).await, Led::Asked, "once");
    let events = house.events(AuditKind::ConsentGiven).await;
    let used = events.iter().find(|event| event.detail.contains_key("by_consent")).unwrap();
    assert_eq!(used.detail.get("by_consent").map(String::as_str), Some("ahead"));
    assert_eq!(used.detail.get("granted").map(String::as_str), Some("read"));
}

/// Product.md, P-7: the policy on clients has the last word, on the page and after it.
#[tokio::test]
async fn a_server_that_is_closed_to_the_client_is_neither_offered_nor_granted() {
    let offered = async |settings: Settings, changes: Changes<'_>| {
        let house = House::with(settings).await;
        let page = house.to_consent(&mut Cookies::default(), request(CONSOLE, changes)).await;
        page.further.into_iter().map(|further| further.server.name).collect::<Vec<_>>()
    };
    for standing in [Standing::Ask, Standing::Block] {
        let settings = || {
            let mut settings = with_more_servers(ConsentSettings::default());
            let tickets = settings.servers.iter_mut().filter(|server| server.name == "tickets");
            tickets.for_each(|server| server.outside_clients = standing);
            settings
        };
        assert_eq!(offered(settings(), AT_REMOTE).await, ["wiki"], "{standing:?}");
        // Called back here it may ask; but where clients that may lead outside get no token, it is not offered one.
        let here: &[&str] = if standing == Standing::Ask { &["tickets", "wiki"] } else { &["wiki"] };
        assert_eq!(offered(settings(), &[]).await, here, "{standing:?}");
    }

    let house = House::with(with_more_servers(ConsentSettings::default())).await;
    let cookies = after_yes(&house, CONSOLE, AT_REMOTE, tick(&["tickets"])).await;
    let closed = |standing| {
        let mut settings = with_more_servers(ConsentSettings::default());
        settings.servers.iter_mut().for_each(|server| server.outside_clients = standing);
        AuthorizationServer::new(settings, house.server.parts.clone())
    };
    let there = [TICKETS, AT_REMOTE].concat();
    for changes in [AT_REMOTE, there.as_slice()] {
        let (waits, never) = (closed(Standing::Ask), closed(Standing::Block));
        let asked = waits.authorize(request(CONSOLE, changes), cookies.browser(), &caller()).await;
        assert!(matches!(asked.unwrap().next, Next::Approval(_)));
        never.authorize(request(CONSOLE, changes), cookies.browser(), &caller()).await.unwrap_err();
    }
    assert!(matches!(ask(&house, &cookies, CONSOLE, &there).await, Led::Answered(_)));
}

#[tokio::test]
async fn what_was_ticked_for_other_servers_counts_in_that_browser_session_for_minutes() {
    let house = House::with(with_more_servers(ConsentSettings::default())).await;
    let client = house.public_client();
    let cookies = after_yes(&house, &client, &[], tick(&["*"])).await;
    // The same person, signed in once more.
    let mut other = Cookies::default();
    house.to_consent(&mut other, request(&client, WIKI)).await;
    house.clock.advance(Duration::from_secs(599));
    assert!(matches!(ask(&house, &cookies, &client, WIKI).await, Led::Answered(_)));
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&house, &cookies, &client, TICKETS).await, Led::Asked);

    let never = House::with(with_more_servers(ConsentSettings {
        ahead: Duration::ZERO,
        ..ConsentSettings::default()
    }));
    let (never, mut cookies) = (never.await, Cookies::default());
    let client = never.public_client();
    let page = never.to_consent(&mut cookies, request(&client, &[])).await;
    assert!(page.further.is_empty());
    say_yes(&never, &cookies, &page, tick(&["*"])).await;
    assert_eq!(ask(&never, &cookies, &client, TICKETS).await, Led::Asked);
}

#[tokio::test]
async fn of_two_requests_at_once_one_uses_what_was_ticked_and_the_other_is_asked_about() {
    let house = House::with(with_more_servers(ConsentSettings::default())).await;
    let client = house.public_client();
    let cookies = after_yes(&house, &client, &[], tick(&["tickets"])).await;
    let both = (0..8).map(|_| ask(&house, &cookies, &client, TICKETS));
    let led = futures_util::future::join_all(both).await;
    assert_eq!(led.iter().filter(|led| matches!(led, Led::Answered(_))).count(), 1);
    assert_eq!(led.iter().filter(|led| **led == Led::Asked).count(), 7);
}

#[tokio::test]
async fn what_was_ticked_for_a_known_client_is_remembered_when_it_is_asked_for() {
    let house = House::with(with_more_servers(ConsentSettings::default())).await;
    let cookies = after_yes(&house, CONSOLE, AT_REMOTE, tick(&["tickets"])).await;
    let there = [TICKETS, AT_REMOTE].concat();
    for _ in 0..3 {
        assert!(matches!(ask(&house, &cookies, CONSOLE, &there).await, Led::Answered(_)));
    }
}

#[tokio::test]
async fn a_person_may_allow_it_for_less_and_nothing_that_comes_of_it_lives_longer() {
    let mut settings = with_more_servers(ConsentSettings::default());
    settings.lifetimes.browser_session = 400 * DAY;
    settings.consents.ahead = 3 * DAY;
    let house = House::with(settings).await;
    let client = house.public_client();
    let mut cookies = Cookies::default();
    let page = house.to_consent(&mut cookies, request(&client, &[])).await;
    assert_eq!(page.lives, [DAY, 7 * DAY]);
    let mut form = House::consent_form(&page, Verdict::Allow);
    form.life = Some(DAY.as_secs().to_string());
    form.further = vec!["tickets".to_owned()];
    let until = house.clock.now().plus(DAY);
    let answer = house.server.decide_consent(form, cookies.browser()).await.unwrap();
    let protocol::oauth::AuthorizationResponse::Code { code, .. } = answer.response else { panic!() };
    house.clock.advance(Duration::from_secs(30));
    let tokens = Tokens::of(house.redeem(&client, &code.reveal()).await.unwrap());
    let expires = async |tokens: &Tokens| {
        house.store.find_grant(house.grant_of(tokens)).await.unwrap().unwrap().expires_at
    };
    assert_eq!(expires(&tokens).await, until);
    house.clock.advance(DAY / 2);
    let tokens = Tokens::of(house.refresh(&client, tokens.refresh()).await.unwrap());
    let Led::Answered(code) = ask(&house, &cookies, &client, TICKETS).await else { panic!() };
    let later = Tokens::of(house.redeem(&client, &code).await.unwrap());
    assert_eq!(expires(&later).await, until, "what was ticked is for as long");
    house.clock.advance(DAY / 2);
    for tokens in [tokens, later] {
        let error = house.refresh(&client, tokens.refresh()).await.unwrap_err();
        assert_eq!(error.reason(), "grant_expired");
    }
    assert_eq!(ask(&house, &cookies, &client, TICKETS).await, Led::Asked);
}

#[tokio::test]
async fn a_remembered_consent_ends_when_the_person_said() {
    let mut settings = settings();
    settings.lifetimes.browser_session = 400 * DAY;
    let house = House::with(settings).await;
    let life = DAY.as_secs().to_string();
    let cookies = after_yes(&house, CONSOLE, AT_REMOTE, |form| form.life = Some(life)).await;
    house.clock.advance(DAY - Duration::from_secs(1));
    assert!(matches!(ask(&house, &cookies, CONSOLE, AT_REMOTE).await, Led::Answered(_)));
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&house, &cookies, CONSOLE, AT_REMOTE).await, Led::Asked);
}

#[tokio::test]
async fn what_is_stopped_or_revoked_is_not_allowed_anew_by_what_was_said_before() {
    let house = House::new().await;
    let cookies = after_yes(&house, CONSOLE, AT_REMOTE, |_| {}).await;
    let now = house.clock.now();
    let stopped = store::Revocation {
        kind: store::RevocationKind::Client,
        id: CONSOLE.to_owned(),
        not_before: now,
        expires_at: now.plus(DAY),
    };
    let audit = house.server.event(AuditKind::Stopped, store::Outcome::Ok, now);
    house.store.stop(stopped, audit).await.unwrap();
    assert_eq!(ask(&house, &cookies, CONSOLE, AT_REMOTE).await, Led::Asked);

    let code = house.code(request(CONSOLE, AT_REMOTE)).await;
    let verifier = "v".repeat(43);
    let parameters = [
        ("grant_type", "authorization_code"),
        ("client_id", CONSOLE),
        ("code", &code),
        ("code_verifier", &verifier),
    ];
    let tokens = Tokens::of(house.token(&parameters).await.unwrap());
    assert!(matches!(ask(&house, &cookies, CONSOLE, AT_REMOTE).await, Led::Answered(_)));
    let form = form(&[("client_id", CONSOLE), ("token", tokens.refresh())]);
    house.server.revoke(&[], &form, &caller()).await.unwrap();
    assert_eq!(ask(&house, &cookies, CONSOLE, AT_REMOTE).await, Led::Asked);
}

#[tokio::test]
async fn who_says_yes_to_less_the_next_time_takes_back_the_rest() {
    let house = House::new().await;
    let cookies = after_yes(&house, CONSOLE, AT_REMOTE, |_| {}).await;
    let mut same = cookies.clone();
    let asked = request(CONSOLE, &[("redirect_uri", REMOTE), ("prompt", "consent")]);
    let Next::Consent(page) = house.authorize(&mut same, asked).await.unwrap() else { panic!() };
    say_yes(&house, &cookies, &page, |form| form.scope = vec!["read".to_owned()]).await;
    assert_eq!(ask(&house, &cookies, CONSOLE, AT_REMOTE).await, Led::Asked);
    let found = house.store.find_authorization(page.authorization).await.unwrap().unwrap();
    let store::AuthorizationState::Consented { scope, .. } = found.state else { panic!() };
    assert_eq!(scope, Scope::parse("read").unwrap());
}
