//! Who sits at the browser, and what was decided there: rows AZ-31, AZ-32, AZ-33 and AZ-40.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not in test functions")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use protocol::world::Timestamp;
use serde_json::json;
use testkit::browser::{Browser, Place};
use testkit::client::{TestClient, allow, log_in, parameter};
use testkit::house::Plan;
use testkit::http::form;
use testkit::openid_provider::OpenIdProvider;
use testkit::outcomes::redir;
use testkit::world::TestClock;
use upstream::connectors::{
    Callback, CheckError, Connector, ConnectorError, ConnectorId, Identity, LegRequest,
};
use url::Url;

use crate::attacks::scene::{STATE, Scene, Set, is_consent, is_login, page_of, plan, right};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The one cookie of this browser whose name says so.
fn cookie(browser: &Browser, what: &str) -> String {
    let mut named =
        browser.cookies.values().flatten().filter(|(name, _)| name.starts_with(&format!("sekisho-{what}")));
    named.next().unwrap().1.clone()
}

/// The browser of somebody who has been here before.
async fn signed_in(scene: &Scene, login: &str) -> Browser {
    let mut browser = scene.house.browser();
    scene.consent(&mut browser, &scene.ask(&scene.native, &[]), login).await;
    browser
}

#[tokio::test]
async fn az_31_prompt_none_never_gives_a_code_without_a_person() {
    let scene = Scene::new().await;
    let confidential = scene.house.known_client("known-confidential").unwrap();
    let mut alice = signed_in(&scene, "alice").await;
    // Whatever was said before: where no page may be shown, nobody is there.
    for client in [&scene.known, &scene.native, &scene.remote, &confidential] {
        scene.allowed(&mut alice, &scene.ask(client, &[])).await;
    }
    scene.redir(&[Set("prompt", "none")], "login_required").await;
    for client in [&scene.known, &scene.native, &confidential] {
        let place = alice.open(&scene.ask(client, &[Set("prompt", "none")])).await.unwrap();
        right(
            redir(&place, &client.redirect_uri, "consent_required", Some(STATE), &scene.house.issuer),
            "signed in",
        );
        let place =
            alice.open(&scene.ask(client, &[Set("prompt", "none"), Set("max_age", "0")])).await.unwrap();
        right(
            redir(&place, &client.redirect_uri, "consent_required", Some(STATE), &scene.house.issuer),
            "just signed in",
        );
    }
    scene.house.advance(Duration::from_secs(100)).await.unwrap();
    let url = scene.ask(&scene.known, &[Set("prompt", "none"), Set("max_age", "99")]);
    let place = alice.open(&url).await.unwrap();
    right(
        redir(&place, &scene.known.redirect_uri, "login_required", Some(STATE), &scene.house.issuer),
        "too old",
    );
    for prompt in ["none login", "login none", "none consent", "none select_account", "none none"] {
        scene.redir(&[Set("prompt", prompt)], "invalid_request").await;
    }
    let before = scene.stored().await;
    scene.house.advance(DAY).await.unwrap();
    let place = alice.open(&scene.ask(&scene.known, &[Set("prompt", "none")])).await.unwrap();
    right(
        redir(&place, &scene.known.redirect_uri, "login_required", Some(STATE), &scene.house.issuer),
        "a session that is over",
    );
    assert_eq!(scene.stored().await.authorizations, before.authorizations);
    scene.close().await;
}

#[tokio::test]
async fn az_32_an_old_session_does_not_get_past_a_demand_for_a_new_proof() {
    let scene = Scene::new().await;
    for change in
        [Set("prompt", "login"), Set("max_age", "1"), Set("max_age", "0"), Set("prompt", "login consent")]
    {
        let mut alice = signed_in(&scene, "alice").await;
        scene.house.advance(Duration::from_secs(60)).await.unwrap();
        let page = alice.open(&scene.ask(&scene.native, &[change])).await.unwrap().page().unwrap();
        assert!(is_login(&page), "{change:?}: {}", page.words());
        let authorization = page.form().unwrap().value("authorization").unwrap().to_owned();

        // Around the login page, by hand.
        let consent = scene.at(&format!("/consent?authorization={authorization}"));
        let back = alice.open(&consent).await.unwrap().page().unwrap();
        assert!(is_login(&back), "{change:?}: {}", back.words());
        let before = scene.stored().await;
        for decision in ["allow", "deny"] {
            let fields = [
                ("authorization", authorization.as_str()),
                ("csrf", "x"),
                ("decision", decision),
                ("scope", "read"),
            ];
            let cookies = alice.cookie_header(&page.url);
            let answer = scene
                .house
                .http
                .post_form(&scene.at("/consent"), &[("cookie", &cookies)], &fields)
                .await
                .unwrap();
            assert!(!answer.header("location").contains("code="), "{:?}", answer.headers);
            assert!(
                !answer.header("location").starts_with(&scene.native.redirect_uri),
                "{:?}",
                answer.headers
            );
        }
        assert_eq!(scene.stored().await, before);

        let page = log_in(&mut alice, page, "alice").await.unwrap();
        let url = allow(&mut alice, &page).await.unwrap();
        assert!(parameter(&url, "code").is_some(), "{url}");
    }
    scene.redir(&[Set("max_age", "-1")], "invalid_request").await;
    for age in ["1.5", "1e3", "+1", " 1", "0x10", "99999999999999999999999", "one", "\u{661}"] {
        scene.redir(&[Set("max_age", age)], "invalid_request").await;
    }
    scene.close().await;
}

#[tokio::test]
async fn az_32_another_account_is_asked_for_when_the_client_says_so() {
    let scene = Scene::new().await;
    let mut alice = signed_in(&scene, "alice").await;
    for prompt in ["select_account", "select_account consent"] {
        let page =
            alice.open(&scene.ask(&scene.known, &[Set("prompt", prompt)])).await.unwrap().page().unwrap();
        assert!(is_login(&page), "{}", page.words());
    }
    // Values that are not known demand nothing, and never less than consent.
    for prompt in ["consent", "create", "NONE", "\u{1f512}", "x\0y"] {
        let page =
            alice.open(&scene.ask(&scene.known, &[Set("prompt", prompt)])).await.unwrap().page().unwrap();
        assert!(is_consent(&page), "{prompt}: {}", page.words());
    }
    scene.redir(&[Set("prompt", &"c4n4ry ".repeat(100))], "invalid_request").await;
    scene.close().await;
}

/// An identity provider that answers at once, and writes down what was demanded of it.
#[derive(Debug)]
struct Lazy {
    id: ConnectorId,
    asked: Mutex<Vec<(bool, Option<Timestamp>)>>,
}

impl Connector for Lazy {
    fn id(&self) -> &ConnectorId {
        &self.id
    }

    fn title(&self) -> &str {
        "Lazy"
    }

    fn start<'a>(&'a self, leg: LegRequest<'a>) -> BoxFuture<'a, Result<String, ConnectorError>> {
        self.asked.lock().unwrap().push((leg.reauthenticate, None));
        Box::pin(async move {
            Ok(format!("{}?{}", leg.redirect_uri, form(&[("code", "x"), ("state", leg.state)])))
        })
    }

    fn complete<'a>(&'a self, callback: Callback<'a>) -> BoxFuture<'a, Result<Identity, ConnectorError>> {
        if let Some(last) = self.asked.lock().unwrap().last_mut() {
            last.1 = callback.not_before_auth;
        }
        let identity = Identity {
            connector: self.id.clone(),
            subject: "alice".to_owned(),
            name: None,
            email: None,
            groups: Vec::new(),
            // It does not say; nobody may take it for a proof.
            authenticated_at: None,
            session: None,
            offline: None,
        };
        Box::pin(async move { Ok(identity) })
    }

    fn check<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<String, CheckError>> {
        Box::pin(async { Ok(String::new()) })
    }
}

async fn sign_in_at(browser: &mut Browser, url: &str, connector: &str) -> Place {
    let page = browser.open(url).await.unwrap().page().unwrap();
    browser.submit(&page, page.form().unwrap(), Some(("connector", connector))).await.unwrap()
}

#[tokio::test]
async fn az_32_the_identity_provider_is_told_to_ask_again_and_since_when() {
    let lazy = Arc::new(Lazy { id: "lazy".parse().unwrap(), asked: Mutex::default() });
    let scene =
        Scene::with(Plan { connectors: vec![Arc::clone(&lazy) as Arc<dyn Connector>], ..plan() }).await;
    let mut browser = scene.house.browser();
    let now = protocol::world::Clock::now(&*scene.house.clock);
    let asked = [
        (vec![], (false, None)),
        (vec![Set("prompt", "login")], (true, Some(now))),
        (
            vec![Set("max_age", "60"), Set("prompt", "select_account")],
            (true, Some(now.minus(Duration::from_secs(60)))),
        ),
    ];
    for (changes, expected) in asked {
        let place = sign_in_at(&mut browser, &scene.ask(&scene.known, &changes), "lazy").await;
        assert!(is_consent(&place.page().unwrap()));
        assert_eq!(lazy.asked.lock().unwrap().last(), Some(&expected));
    }
    // A session that nobody dated is too old for any demand.
    let page = browser.open(&scene.ask(&scene.known, &[])).await.unwrap().page().unwrap();
    assert!(is_consent(&page));
    let authorization = page.form().unwrap().value("authorization").unwrap().to_owned();
    let login = scene.at(&format!("/login?authorization={authorization}"));
    sign_in_at(&mut browser, &login, "lazy").await;
    let page =
        browser.open(&scene.ask(&scene.known, &[Set("max_age", "999999999")])).await.unwrap().page().unwrap();
    assert!(is_login(&page), "{}", page.words());
    scene.close().await;
}

#[tokio::test]
async fn az_32_an_identity_provider_that_did_not_ask_again_is_not_believed() {
    let clock = Arc::new(TestClock::default());
    let provider = OpenIdProvider::start(&clock).await.unwrap();
    let connector = provider.connector("idp", |_| {}).unwrap();
    let scene = Scene::with(Plan { clock: Arc::clone(&clock), connectors: vec![connector], ..plan() }).await;
    let now = protocol::world::Clock::now(&*clock).secs();
    let cases = [
        (json!(now), true),
        (json!(now - 3600), false),
        (json!(now + 3600), false),
        (json!(null), false),
        (json!(now.to_string()), false),
        (json!(0), false),
    ];
    for (auth_time, believed) in cases {
        for change in [Set("prompt", "login"), Set("max_age", "1")] {
            provider.lie("auth_time", auth_time.clone());
            let before = scene.stored().await.browser_sessions;
            let mut browser = scene.house.browser();
            let there =
                sign_in_at(&mut browser, &scene.ask(&scene.known, &[change]), "idp").await.left().unwrap();
            let back = scene.get(there.as_str()).await;
            let page = browser.open(back.header("location")).await.unwrap().page().unwrap();
            assert_eq!(is_consent(&page), believed, "{auth_time} {change:?}: {}", page.words());
            assert_eq!(
                scene.stored().await.browser_sessions - before,
                u64::from(believed),
                "{auth_time} {change:?}"
            );
        }
    }
    scene.close().await;
}

/// AS-120.
#[tokio::test]
async fn az_33_consent_that_was_given_counts_only_where_no_other_site_sent_the_browser() {
    let scene = Scene::new().await;
    let confidential = scene.house.known_client("known-confidential").unwrap();
    let mut alice = signed_in(&scene, "alice").await;
    for client in [&scene.known, &scene.native, &scene.remote, &confidential] {
        scene.allowed(&mut alice, &scene.ask(client, &[])).await;
        let before = scene.stored().await.grants;
        let url = scene.ask(client, &[Set("code_challenge", &"A".repeat(43))]);
        let cookies = alice.cookie_header(&Url::parse(&url).unwrap());
        let mut sites: Vec<Vec<(&str, &str)>> = vec![vec![]];
        for site in ["none", "same-origin", "same-site", "cross-site", "NONE", "", "nonsense"] {
            sites.push(vec![("sec-fetch-site", site)]);
        }
        sites.push(vec![("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")]);
        sites.push(vec![("sec-fetch-site", "none, none")]);
        for mode in ["navigate", "cors", "no-cors", "websocket"] {
            sites.push(vec![
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", "iframe"),
            ]);
        }
        for headers in &mut sites {
            headers.extend([
                ("cookie", cookies.as_str()),
                ("origin", "https://evil.example"),
                ("referer", "https://evil.example/"),
            ]);
            let answer = scene.send(Method::GET, &url, headers, "").await;
            let ours = matches!(headers[0], ("sec-fetch-site", "none" | "same-origin"))
                && headers.iter().filter(|(name, _)| *name == "sec-fetch-site").count() == 1;
            // Who registered itself is asked about even then.
            let is_known = [&scene.known.client_id, &confidential.client_id].contains(&&client.client_id);
            if ours && is_known {
                assert!(answer.header("location").contains("code="), "{headers:?}");
                continue;
            }
            assert_eq!(answer.status, StatusCode::OK, "{headers:?}");
            let page = page_of(&url, answer);
            assert!(is_consent(&page), "{headers:?}: {}", page.words());
            assert_eq!(page.answer.header("x-frame-options"), "DENY");
        }
        assert_eq!(scene.stored().await.grants, before, "nobody was granted anything");
    }
    scene.close().await;
}

#[tokio::test]
async fn az_40_signing_in_changes_the_session_and_ends_the_one_before() {
    let scene = Scene::new().await;
    // The attacker's session, planted into the victim's browser.
    let mut bob = signed_in(&scene, "bob").await;
    let planted = cookie(&bob, "session");
    let mut victim = scene.house.browser();
    victim.cookies = bob.cookies.clone();
    let page = victim.open(&scene.ask(&scene.native, &[])).await.unwrap().page().unwrap();
    assert!(is_consent(&page));
    assert!(page.words().contains("Bob Lindqvist"), "the page says whose session it is: {}", page.words());

    // "Not you?" leads to the login page, and out of that session.
    let somebody_else = page.links().into_iter().find(|link| link.starts_with("/login?")).unwrap();
    let login = victim.open(&scene.at(&somebody_else)).await.unwrap().page().unwrap();
    assert!(is_login(&login));
    let page = log_in(&mut victim, login, "alice").await.unwrap();
    assert!(page.words().contains("Alice Tanaka") && !page.words().contains("Bob"), "{}", page.words());
    assert_ne!(cookie(&victim, "session"), planted);

    // The planted one is over for everybody.
    let page = bob.open(&scene.ask(&scene.native, &[])).await.unwrap().page().unwrap();
    assert!(is_login(&page), "{}", page.words());
    scene.close().await;
}

#[tokio::test]
async fn az_40_a_session_that_was_made_up_is_not_taken_over() {
    let scene = Scene::new().await;
    let mut victim = scene.house.browser();
    let url = scene.ask(&scene.native, &[]);
    let page = victim.open(&url).await.unwrap().page().unwrap();
    let authority = scene.house.host();
    let name = format!("sekisho-session-{}", authority.trim_start_matches("localhost:"));
    let made_up = format!("sks_{}", "A".repeat(43));
    victim.cookies.get_mut(&authority).unwrap().insert(name, made_up.clone());
    let page = log_in(&mut victim, page, "alice").await.unwrap();
    assert!(is_consent(&page));
    assert_ne!(cookie(&victim, "session"), made_up);

    let mut attacker = scene.house.browser();
    attacker.cookies = victim.cookies.clone();
    attacker.cookies.get_mut(&authority).unwrap().retain(|name, _| name.starts_with("sekisho-browser"));
    let page = attacker.open(&url).await.unwrap().page().unwrap();
    assert!(is_login(&page), "{}", page.words());
    scene.close().await;
}

/// Fields and cookies of one consent page, to be mixed with those of another.
struct Half {
    browser: Browser,
    authorization: String,
    csrf: String,
}

async fn half(scene: &Scene, client: &TestClient, login: &str) -> Half {
    let mut browser = scene.house.browser();
    let page = scene.consent(&mut browser, &scene.ask(client, &[]), login).await;
    let form = page.form().unwrap();
    let value = |name: &str| form.value(name).unwrap().to_owned();
    Half { authorization: value("authorization"), csrf: value("csrf"), browser }
}

#[tokio::test]
async fn az_40_a_sign_in_belongs_to_the_browser_and_the_session_that_began_it() {
    let scene = Scene::new().await;
    let alice = half(&scene, &scene.native, "alice").await;
    let bob = half(&scene, &scene.native, "bob").await;
    let before = scene.stored().await;
    let at = Url::parse(&scene.at("/consent")).unwrap();
    let mut mixed = alice.browser.clone();
    let jar = mixed.cookies.values_mut().next().unwrap();
    let session = jar.iter_mut().find(|(name, _)| name.starts_with("sekisho-session")).unwrap();
    *session.1 = cookie(&bob.browser, "session");
    for (browser, authorization, csrf) in [
        (&alice.browser, &bob.authorization, &bob.csrf),
        (&alice.browser, &bob.authorization, &alice.csrf),
        (&alice.browser, &alice.authorization, &bob.csrf),
        (&bob.browser, &alice.authorization, &alice.csrf),
        (&mixed, &alice.authorization, &alice.csrf),
        (&mixed, &bob.authorization, &bob.csrf),
        (&Browser::default(), &alice.authorization, &alice.csrf),
    ] {
        let cookies = browser.cookie_header(&at);
        let fields = [
            ("authorization", authorization.as_str()),
            ("csrf", csrf),
            ("decision", "allow"),
            ("scope", "read"),
        ];
        let answer = scene.house.http.post_form(at.as_str(), &[("cookie", &cookies)], &fields).await.unwrap();
        assert!(
            answer.status.is_client_error() || answer.header("location").starts_with("/login"),
            "{}",
            answer.status
        );
        assert!(!answer.header("location").contains("code="));
    }
    let after = scene.stored().await;
    assert_eq!((after.grants, after.clients), (before.grants, before.clients));

    // NOCONSUME: both can still go on.
    for half in [alice, bob] {
        let fields = [
            ("authorization", half.authorization.as_str()),
            ("csrf", &half.csrf),
            ("decision", "allow"),
            ("scope", "read"),
        ];
        let cookies = half.browser.cookie_header(&at);
        let answer = scene.house.http.post_form(at.as_str(), &[("cookie", &cookies)], &fields).await.unwrap();
        assert!(answer.header("location").contains("code="), "{}: {}", answer.status, answer.text());
    }
    scene.close().await;
}
