//! Sign-ins through clients that are known by their documents: what people see, and what holds while documents change.

use std::time::Duration;

use protocol::jose::SigningKey;
use protocol::keys::KeyId;
use protocol::oauth::client_assertion;
use protocol::world::Clock as _;
use serde_json::json;
use store::{AuditKind, Clients as _};
use testkit::client::{Pkce, TestClient, allow, parameter};
use testkit::document_host::answer;
use testkit::http::Answer;

use super::{Cimd, LOOPBACK};
use crate::attacks::scene::{REMOTE, is_consent};

/// AS-045, AS-046, AS-056, AS-073.
#[tokio::test]
async fn cm_15_what_a_person_saw_is_what_is_redeemed() {
    let scene = Cimd::new().await;
    let quick = |document: &serde_json::Value| {
        answer(200, "content-type: application/json\r\ncache-control: no-cache\r\n", &document.to_string())
    };
    let client = scene.good("/c", &scene.document("/c"));
    scene.host.says("/c", &[quick(&scene.document("/c"))]);
    let mut browser = scene.house.browser();
    let page = scene.consent_page(&mut browser, &client).await;
    // Between the page and the button, and between the code and the token, the host says something else.
    let mut changed = scene.document_with("/c", "redirect_uris", json!(["https://client.example/other"]));
    changed["client_name"] = json!("Somebody else");
    scene.host.says("/c", &[quick(&changed)]);
    let url = allow(&mut browser, &page).await.unwrap();
    assert!(url.as_str().starts_with(REMOTE));
    let code = parameter(&url, "code").unwrap();
    let tokens = client.redeem(&code, &scene.pkce.verifier).await.unwrap();
    assert_eq!(tokens.status, 200, "{}", tokens.text());
    let id = protocol::oauth::ClientId::parse(&client.client_id).unwrap();
    let record = scene.house.store.find_client(&id).await.unwrap().unwrap();
    assert_eq!(record.name.as_deref(), Some("Example"), "the record says what was seen");
    // The next sign-in goes by the new document, and that it changed is written down.
    let old = scene.house.http.get(&scene.ask(&client), &[]).await.unwrap();
    assert_eq!(old.status, 400, "a redirect URI that was taken out is gone");
    let moved = scene.client(&client.client_id, "https://client.example/other");
    let page = scene.consent_page(&mut browser, &moved).await;
    assert!(page.words().contains("Somebody else"));
    allow(&mut browser, &page).await.unwrap();
    let given = scene.house.audit(AuditKind::ConsentGiven).await.unwrap();
    // Both at one instant of the test's clock, so that their order is chance.
    let changed = given.iter().filter(|row| format!("{:?}", row.detail).contains("changed")).count();
    assert_eq!((given.len(), changed), (2, 1), "{given:?}");
    // Who holds a token goes on.
    let refresh = tokens.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(client.refresh(&refresh).await.unwrap().status, 200);
    scene.close().await;
}

/// AS-223, of a client that is known by its document (RFC 9449, section 5.2).
#[tokio::test]
async fn a_document_that_binds_tokens_is_kept_to() {
    let scene = Cimd::new().await;
    let client = scene.good("/c", &scene.document_with("/c", "dpop_bound_access_tokens", json!(true)));
    let mut browser = scene.house.browser();
    let page = scene.consent_page(&mut browser, &client).await;
    let code = parameter(&allow(&mut browser, &page).await.unwrap(), "code").unwrap();
    let answer = client.redeem(&code, &scene.pkce.verifier).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, "invalid_dpop_proof"));
    scene.close().await;
}

/// The document says something else than when the person said yes: other keys, another name. They are asked again; and
/// about a client on this computer, which any program can claim to be, each time.
#[tokio::test]
async fn cs_08_a_client_whose_document_changed_or_leads_to_this_computer_is_asked_about_again() {
    let scene = Cimd::new().await;
    let says = |document: &serde_json::Value| {
        let head = "content-type: application/json\r\ncache-control: no-cache\r\n";
        scene.host.says("/c", &[answer(200, head, &document.to_string())]);
    };
    let keys = |number: u8| json!({"keys": [key(number).public_jwk()]});
    let mut document = scene.document_with("/c", "token_endpoint_auth_method", json!("private_key_jwt"));
    document["jwks"] = keys(1);
    says(&document);
    let client = scene.client(&scene.host.url("/c"), REMOTE);
    let mut browser = scene.house.browser();
    let page = scene.consent_page(&mut browser, &client).await;
    allow(&mut browser, &page).await.unwrap();
    browser.open(&scene.ask(&client)).await.unwrap().left().unwrap();
    for change in [("jwks", keys(2)), ("client_name", json!("Another")), ("jwks", keys(3))] {
        document[change.0] = change.1;
        says(&document);
        let page = browser.open(&scene.ask(&client)).await.unwrap().page().unwrap();
        assert!(is_consent(&page), "{}: {}", change.0, page.words());
        allow(&mut browser, &page).await.unwrap();
        browser.open(&scene.ask(&client)).await.unwrap().left().unwrap();
    }
    let here = scene.client(&client.client_id, LOOPBACK);
    for _ in 0..2 {
        let page = browser.open(&scene.ask(&here)).await.unwrap().page().unwrap();
        assert!(is_consent(&page), "{}", page.words());
        allow(&mut browser, &page).await.unwrap();
    }
    scene.close().await;
}

/// Product.md, P-10: a logo is a picture that a stranger chose. It is neither fetched by us nor by the person's browser.
#[tokio::test]
async fn a_logo_of_a_document_is_neither_fetched_nor_shown() {
    let scene = Cimd::new().await;
    let mut document = scene.document("/c");
    for member in ["logo_uri", "logo_uri#ja", "tos_uri", "policy_uri"] {
        document[member] = json!(scene.host.url("/logo.svg"));
    }
    scene.host.says("/logo.svg", &[answer(200, "content-type: image/svg+xml\r\n", "<svg/>")]);
    let client = scene.good("/c", &document);
    let mut browser = scene.house.browser();
    let page = scene.consent_page(&mut browser, &client).await;
    assert!(
        page.subresources().iter().all(|loaded| loaded.starts_with("/assets/")),
        "{:?}",
        page.subresources()
    );
    assert!(!page.answer.text().contains("logo.svg"), "nor named");
    allow(&mut browser, &page).await.unwrap();
    assert!(!scene.host.requests().iter().any(|asked| asked.contains("logo")), "{:?}", scene.host.requests());
    scene.close().await;
}

/// The host is away: tokens go on by what the record says, also after a restart, when nothing is in memory.
/// AS-051.
#[tokio::test]
async fn cm_15_a_host_that_is_away_ends_nothing() {
    let mut scene = Cimd::new().await;
    let client = scene.good("/c", &scene.document("/c"));
    let mut browser = scene.house.browser();
    let resource = scene.house.resource("notes");
    let tokens = client.obtain_tokens(&mut browser, "alice", &resource).await.unwrap();
    scene.host.says("/c", &[answer(503, "", "")]);
    scene.house.advance(Duration::from_secs(3600)).await.unwrap();
    let next = client.refresh(tokens["refresh_token"].as_str().unwrap()).await.unwrap();
    assert_eq!(next.status, 200, "{}", next.text());
    let pkce = Pkce::new("code");
    let code = client.obtain_code(&mut browser, "alice", &resource, &pkce.challenge).await.unwrap();
    scene.house = scene.house.restart().await.unwrap();
    let asked = scene.host.connections();
    let tokens = client.redeem(&code, &pkce.verifier).await.unwrap();
    assert_eq!(tokens.status, 200, "{}", tokens.text());
    let refresh = tokens.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(client.refresh(&refresh).await.unwrap().status, 200);
    assert_eq!(scene.host.connections(), asked + 1, "and it is asked once a minute at most");
    // Whom nobody consented to has nothing to ask for there, and nothing is fetched.
    let stranger = scene.client(&scene.host.url("/stranger"), REMOTE);
    assert_eq!(stranger.redeem("skc_x", "x").await.unwrap().status, 401);
    assert_eq!(scene.host.connections(), asked + 1);
    scene.close().await;
}

/// AS-068, AS-069.
#[tokio::test]
async fn cm_19_a_program_on_this_computer_is_not_the_host_that_vouches() {
    let scene = Cimd::new().await;
    let document = scene.document("/c");
    let remote = scene.good("/c", &document);
    let local = scene.client(&remote.client_id, &LOOPBACK.replace("127.0.0.1", "127.0.0.1:51999"));
    let mut browser = scene.house.browser();
    for _ in 0..2 {
        let page = scene.consent_page(&mut browser, &local).await;
        let words = page.words();
        assert!(words.contains("Any program on this computer can pretend to be this application"), "{words}");
        assert!(words.contains("127.0.0.1:51999") && words.contains("client.example"), "{words}");
        allow(&mut browser, &page).await.unwrap();
    }
    let page = scene.consent_page(&mut browser, &remote).await;
    assert!(!page.words().contains("Any program on this computer"), "{}", page.words());
    scene.close().await;
}

/// AS-067.
#[tokio::test]
async fn cm_20_the_host_is_shown_beside_a_name_that_is_its_own_choice() {
    let scene = Cimd::new().await;
    let mut document = scene.document("/c");
    document["client_name"] = json!("Claude");
    document["client_uri"] = json!("https://claude.ai/");
    document["logo_uri"] = json!("https://claude.ai/logo.png");
    document["tos_uri"] = json!("https://claude.ai/terms");
    document["policy_uri"] = json!("https://claude.ai/privacy");
    let client = scene.good("/c", &document);
    let host = scene.host.url("").trim_start_matches("https://").to_owned();
    let mut browser = scene.house.browser();
    let first = browser.open(&scene.ask(&client)).await.unwrap().page().unwrap();
    let consent = testkit::client::log_in(&mut browser, first.clone(), "alice").await.unwrap();
    for page in [first, consent] {
        let html = page.answer.text();
        assert!(html.contains(&format!("Published by <bdi>{host}</bdi>")), "{html}");
        assert!(html.contains("The name “<bdi>Claude</bdi>” is its own choice"), "{html}");
        assert!(!html.contains("claude.ai"), "nothing elsewhere is linked or shown: {html}");
    }
    scene.close().await;
}

/// Names of other scripts stay as they are dialled.
#[tokio::test]
async fn cm_20_a_host_of_another_script_is_shown_in_punycode() {
    let scene = Cimd::new().await;
    let port = scene.host.url("").rsplit(':').next().unwrap().to_owned();
    for id in [format!("https://cl\u{430}ude.ai:{port}/c"), "https://xn--clude-1nf.ai/c".to_owned()] {
        scene.refused(&id).await;
    }
    scene.close().await;
}

#[tokio::test]
async fn cm_32_one_installation_does_not_end_another() {
    let scene = Cimd::new().await;
    let client = scene.good("/c", &scene.document("/c"));
    let resource = scene.house.resource("notes");
    let (mut laptop, mut desktop) = (scene.house.browser(), scene.house.browser());
    let first = client.obtain_tokens(&mut laptop, "alice", &resource).await.unwrap();
    let bobs = client.obtain_tokens(&mut scene.house.browser(), "bob", &resource).await.unwrap();
    let second = client.obtain_tokens(&mut desktop, "alice", &resource).await.unwrap();
    let revoke = format!("{}/oauth/revoke", scene.house.issuer);
    let token = second["refresh_token"].as_str().unwrap();
    let fields = [("token", token), ("client_id", client.client_id.as_str())];
    assert_eq!(scene.house.http.post_form(&revoke, &[], &fields).await.unwrap().status, 200);
    for tokens in [first, bobs] {
        let answer = client.refresh(tokens["refresh_token"].as_str().unwrap()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let access = answer.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(scene.house.echo("notes", &access).await.unwrap().status, 200);
    }
    assert_eq!(client.refresh(token).await.unwrap().status, 400);
    scene.close().await;
}

/// A document that is in the configuration as well is not fetched: what the operator wrote is all that counts.
#[tokio::test]
async fn cm_29_a_client_that_the_operator_wrote_down_is_not_asked() {
    const PINNED: &str = "https://pinned.example/client.json";
    let scene = Cimd::with(|plan| plan.clients.push((PINNED, vec![REMOTE.to_owned()], None))).await;
    scene.host.leads("pinned.example", &[&["127.0.0.1"]]);
    let client = scene.client(PINNED, REMOTE);
    let mut browser = scene.house.browser();
    let page = scene.consent_page(&mut browser, &client).await;
    assert!(page.words().contains("Set up by the operator"), "{}", page.words());
    let tokens = client.obtain_tokens(&mut browser, "alice", &scene.house.resource("notes")).await.unwrap();
    assert_eq!(client.refresh(tokens["refresh_token"].as_str().unwrap()).await.unwrap().status, 200);
    let elsewhere = scene.client(PINNED, "https://pinned.example/cb");
    assert_eq!(scene.house.http.get(&scene.ask(&elsewhere), &[]).await.unwrap().status, 400);
    // Another spelling of it is another client, and is not pinned.
    scene.refused("https://PINNED.example/client.json").await;
    scene.refused("https://pinned.example:443/client.json").await;
    assert_eq!(scene.host.connections(), 0);
    scene.close().await;
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_pkcs8(KeyId::from_bytes([number; 4]), &SigningKey::generate_pkcs8().unwrap()).unwrap()
}

/// Redeems or refreshes with an assertion by this key, or without one.
async fn prove(scene: &Cimd, client: &TestClient, key: Option<&SigningKey>, more: &[(&str, &str)]) -> u16 {
    proven(scene, client, key, more).await.status.as_u16()
}

async fn proven(
    scene: &Cimd,
    client: &TestClient,
    key: Option<&SigningKey>,
    more: &[(&str, &str)],
) -> Answer {
    let now = scene.house.time.now().secs();
    let jti = format!("{now} {more:?}");
    let claims = json!({
        "iss": client.client_id, "sub": client.client_id, "aud": scene.house.issuer,
        "iat": now, "exp": now + 60, "jti": jti,
    });
    let assertion = key.map(|key| key.sign("JWT", &claims).unwrap());
    let mut fields = more.to_vec();
    match &assertion {
        Some(assertion) => {
            fields.push(("client_assertion_type", client_assertion::JWT_BEARER));
            fields.push(("client_assertion", assertion));
        }
        None => fields.push(("client_id", &client.client_id)),
    }
    let url = format!("{}/oauth/token", scene.house.issuer);
    scene.house.http.post_form(&url, &[], &fields).await.unwrap()
}

/// AS-060: with `private_key_jwt` in the document, nothing is given out without it; and a document that says less is not
/// believed, neither for those who sign in nor for those who hold a token.
#[tokio::test]
async fn cm_15_a_document_asks_for_more_proof_and_never_for_less() {
    let scene = Cimd::new().await;
    let (right, wrong) = (key(1), key(2));
    let mut strong = scene.document_with("/c", "token_endpoint_auth_method", json!("private_key_jwt"));
    strong["jwks"] = json!({"keys": [right.public_jwk()]});
    let client = scene.good("/c", &strong);
    let mut browser = scene.house.browser();
    let resource = scene.house.resource("notes");
    let pkce = Pkce::new("strong");
    let code = client.obtain_code(&mut browser, "alice", &resource, &pkce.challenge).await.unwrap();
    let redeem = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", client.redirect_uri.as_str()),
        ("code_verifier", pkce.verifier.as_str()),
    ];
    assert_eq!(prove(&scene, &client, None, &redeem).await, 401);
    assert_eq!(prove(&scene, &client, Some(&wrong), &redeem).await, 401);
    // Between authorize and token the host says `none`: the code still asks for the key.
    let weak = scene.document("/c");
    scene.host.says("/c", &[testkit::document_host::json(&weak)]);
    scene.house.advance(Duration::from_secs(601)).await.unwrap();
    let refused = scene.asked(&client.client_id).await;
    assert_eq!(refused.status, 400, "nobody can weaken what was consented to");
    scene.host.says("/c", &[testkit::document_host::json(&strong)]);
    scene.house.advance(Duration::from_secs(601)).await.unwrap();
    let next = Pkce::new("next");
    let code = client.obtain_code(&mut browser, "alice", &resource, &next.challenge).await.unwrap();
    let redeem = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", client.redirect_uri.as_str()),
        ("code_verifier", next.verifier.as_str()),
    ];
    scene.host.says("/c", &[testkit::document_host::json(&weak)]);
    assert_eq!(prove(&scene, &client, None, &redeem).await, 401);
    let tokens = proven(&scene, &client, Some(&right), &redeem).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text());
    // Nor does whoever holds a refresh token go without the key: not when the document is read anew, and not while the host is
    // away and the record speaks for it.
    let mut refresh = tokens.json()["refresh_token"].as_str().unwrap().to_owned();
    for said in [testkit::document_host::json(&weak), answer(500, "", "")] {
        scene.host.says("/c", &[said]);
        scene.house.advance(Duration::from_secs(2 * 86_400)).await.unwrap();
        let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
        assert_eq!(prove(&scene, &client, None, &fields).await, 401);
        assert_eq!(prove(&scene, &client, Some(&wrong), &fields).await, 401);
        // NOCONSUME.
        let answer = proven(&scene, &client, Some(&right), &fields).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        refresh = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    }
    scene.close().await;
}

/// The keys may lie elsewhere: at a URL that is fetched as the document is, and anew for a key that is not there yet.
#[tokio::test]
async fn cm_22_the_keys_of_a_client_are_fetched_under_the_same_guard() {
    let scene = Cimd::new().await;
    let (old, new) = (key(1), key(2));
    let set = |key: &SigningKey| testkit::document_host::json(&json!({"keys": [key.public_jwk()]}));
    let mut document = scene.document_with("/c", "token_endpoint_auth_method", json!("private_key_jwt"));
    document["jwks_uri"] = json!(scene.host.url("/keys"));
    scene.host.says("/keys", &[set(&old), set(&new)]);
    let client = scene.good("/c", &document);
    let tokens = async |client: &TestClient, key: &SigningKey, seed: &str| {
        let pkce = Pkce::new(seed);
        let mut browser = scene.house.browser();
        let resource = scene.house.resource("notes");
        let code = client.obtain_code(&mut browser, "alice", &resource, &pkce.challenge).await.unwrap();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", client.redirect_uri.as_str()),
            ("code_verifier", pkce.verifier.as_str()),
        ];
        prove(&scene, client, Some(key), &fields).await
    };
    assert_eq!(tokens(&client, &old, "old").await, 200);
    scene.house.advance(Duration::from_secs(31)).await.unwrap();
    assert_eq!(tokens(&client, &new, "new").await, 200);
    assert_eq!(tokens(&client, &key(3), "thief").await, 401);
    let asked = scene.host.requests().iter().filter(|path| *path == "/keys").count();
    assert_eq!(asked, 2);
    // Inside, moved elsewhere, or none: there are no keys, and nothing is given out.
    scene.host.leads("inside.example", &[&["10.0.0.1"]]);
    scene.host.says("/moved", &[answer(302, "location: /keys\r\n", "")]);
    for (number, url) in
        ["https://inside.example/keys".to_owned(), scene.host.url("/moved")].iter().enumerate()
    {
        let path = format!("/{number}");
        let mut document = scene.document_with(&path, "token_endpoint_auth_method", json!("private_key_jwt"));
        document["jwks_uri"] = json!(url);
        assert_eq!(tokens(&scene.good(&path, &document), &new, url).await, 401, "{url}");
    }
    scene.close().await;
}
