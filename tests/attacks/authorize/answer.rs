//! What goes back to the client and what the pages let out: rows AZ-26 to AZ-30, AZ-37 and AZ-38.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not in test functions")]

use http::{Method, StatusCode};
use serde_json::json;
use testkit::browser::{Browser, Page};
use testkit::client::{Pkce, TestClient, allow, deny, log_in, parameter};
use testkit::outcomes::{harmless, page400, redir_by_hand, reg400};
use testkit::raw;
use url::Url;

use crate::attacks::scene::{CANARY, STATE, Scene, Set, WITH_QUERY, Without, page_of, plan, right};

fn values(url: &Url, name: &str) -> Vec<String> {
    url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
}

/// AS-128.
#[tokio::test]
async fn az_26_a_state_comes_back_byte_for_byte_or_is_refused_and_is_never_cut() {
    let scene = Scene::new().await;
    let all_kinds = "a b+c&d=e%41%00\0\u{1}\u{7f}#\"'<>\\\u{e9}\u{1f512}\u{202e}\r\n\t/?:@";
    let padded = |length: usize| format!("{all_kinds}{}", "s".repeat(length - all_kinds.len()));
    for state in
        ["s".to_owned(), all_kinds.to_owned(), padded(1024), padded(8 * 1024), "\u{3042}".repeat(2730)]
    {
        scene
            .redir_with_state(
                &[Set("state", &state), Without("code_challenge")],
                "invalid_request",
                Some(&state),
            )
            .await;
        for client in [&scene.known, &scene.native] {
            let url =
                scene.allowed(&mut scene.house.browser(), &scene.ask(client, &[Set("state", &state)])).await;
            assert_eq!(values(&url, "state"), std::slice::from_ref(&state));
            let page = scene
                .consent(&mut scene.house.browser(), &scene.ask(client, &[Set("state", &state)]), "alice")
                .await;
            let mut browser = scene.house.browser();
            let again =
                scene.consent(&mut browser, &scene.ask(client, &[Set("state", &state)]), "alice").await;
            assert_ne!(page.form().unwrap().value("csrf"), again.form().unwrap().value("csrf"));
            let url = deny(&mut browser, &again).await.unwrap().left().unwrap();
            assert_eq!(
                (values(&url, "state"), values(&url, "error")),
                (vec![state.clone()], vec!["access_denied".to_owned()])
            );
        }
    }
    for length in [8 * 1024 + 1, 20_000, 60_000] {
        let state = "s".repeat(length);
        scene.page400_for_all(&[Set("state", &state)]).await;
        scene.page400_for_all(&[Set("state", &state), Set("scope", "\"")]).await;
    }
    scene.house.close().await.unwrap();
}

#[tokio::test]
async fn az_26_a_url_that_is_too_long_is_refused_before_it_is_read() {
    let scene = Scene::new().await;
    let before = scene.stored().await;
    let good =
        scene.ask(&scene.known, &[Without("state")]).trim_start_matches(&scene.house.issuer).to_owned();
    for length in [64 * 1024, 128 * 1024, 1024 * 1024] {
        for target in [
            format!("{good}&state={}", "s".repeat(length)),
            format!("{good}&{CANARY}={}", "s".repeat(length)),
            format!("/{}", "s".repeat(length)),
        ] {
            let request = raw::request(&format!("GET {target}"), &scene.house.host());
            let answer = raw::send(&scene.house.address(), &request).await.unwrap();
            // A URL has its own word for it; a head beyond all measure has another (RFC 6585, section 5).
            let expected = if length > 128 * 1024 { 431 } else { 414 };
            assert_eq!(answer.status.as_u16(), expected, "{length}");
            assert!(answer.headers.get("location").is_none());
            right(harmless(&answer, &["ssss", CANARY]), "a long URL");
        }
    }
    // The same in a body.
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let (_, query) = good.split_once('?').unwrap();
    let body = format!("{query}&state={}", "s".repeat(64 * 1024));
    let answer = scene.send(Method::POST, &scene.at("/oauth/authorize"), &headers, body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    right(harmless(&answer, &["ssss"]), "a long body");
    assert_eq!(scene.stored().await, before);
    scene.close().await;
}

#[tokio::test]
async fn az_28_without_a_state_none_comes_back() {
    let scene = Scene::new().await;
    for change in [Without("state"), Set("state", "")] {
        scene.redir_with_state(&[change, Set("scope", "\"")], "invalid_scope", None).await;
        for client in scene.clients() {
            let url = scene.allowed(&mut scene.house.browser(), &scene.ask(client, &[change])).await;
            let names: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
            assert_eq!(names, ["code", "iss"], "{url}");
        }
    }
    scene.close().await;
}

#[tokio::test]
async fn az_29_a_redirect_uri_with_response_parameters_of_its_own_is_not_registered() {
    let scene = Scene::new().await;
    for query in [
        "iss=evil",
        "code=x",
        "error=y",
        "state=z",
        "error_description=x",
        "error_uri=x",
        "response=x",
        "iss=evil&code=x&error=y",
        "a=1&iss=evil",
        "a=1;iss=evil",
        "iss",
        "iss=",
        "ISS=evil",
        "%69ss=evil",
        "is%73=evil",
        "code[]=x",
        "code[0]=x",
        "co%64e=x",
        "+code=x",
        "a=1&&code=x",
        "=1&code=x",
    ] {
        for base in ["https://client.example/cb", "http://127.0.0.1:1/cb", "cursor://host/cb"] {
            let body =
                json!({"redirect_uris": [format!("{base}?{query}")], "token_endpoint_auth_method": "none"});
            right(reg400(&scene.register(body.to_string()).await, "invalid_redirect_uri"), query);
        }
    }
    scene.close().await;
}

#[tokio::test]
async fn az_29_a_registered_query_is_kept_and_each_parameter_of_ours_is_there_once() {
    let scene = Scene::new().await;
    for own in ["?a=1&b=2", "?", "?a=1&", "?codes=1&issuer=2"] {
        let uri = format!("http://127.0.0.1:51234/cb{own}");
        let client = TestClient::register(&scene.house.http, &scene.house.issuer, &uri).await.unwrap();
        let answered = scene.allowed(&mut scene.house.browser(), &scene.ask(&client, &[])).await;
        let refused = scene.get(&scene.ask(&client, &[Set("scope", "\"")])).await;
        let refused = Url::parse(refused.header("location")).unwrap();
        for (url, name) in [(&answered, "code"), (&refused, "error")] {
            assert!(url.as_str().starts_with(&uri), "{url}");
            for name in [name, "state", "iss"] {
                assert_eq!(values(url, name).len(), 1, "{name}: {url}");
            }
            assert_eq!(values(url, "iss"), std::slice::from_ref(&scene.house.issuer));
        }
    }
    let known = scene.house.known_client("known-query").unwrap();
    let url = scene.allowed(&mut scene.house.browser(), &scene.ask(&known, &[])).await;
    assert!(url.as_str().starts_with(&format!("{WITH_QUERY}&code=")), "{url}");
    scene.close().await;
}

/// AS-117, AS-118.
#[tokio::test]
async fn az_30_a_stranger_cannot_use_an_error_to_send_people_away() {
    let scene = Scene::new().await;
    let before = scene.stored().await;
    for phish in ["https://evil.example/phish", "https://evil.example:8443/phish?x=1", "cursor://evil/phish"]
    {
        let client = TestClient::register(&scene.house.http, &scene.house.issuer, phish).await.unwrap();
        for (change, error) in [
            (Set("scope", "!"), "invalid_scope"),
            (Set("response_type", "x"), "unsupported_response_type"),
            (Set("prompt", "none"), "login_required"),
            (Set("resource", "x"), "invalid_target"),
            (Set("request", "x"), "request_not_supported"),
            (Without("code_challenge"), "invalid_request"),
        ] {
            let url = scene.ask(&client, &[change]);
            let answer = scene.get(&url).await;
            right(redir_by_hand(&answer, phish, error, Some(STATE), &scene.house.issuer), phish);
            assert!(answer.headers.get("refresh").is_none() && answer.headers.get("set-cookie").is_none());
            let page = page_of(&url, answer);
            let origin = phish.split('/').take(3).collect::<Vec<_>>().join("/");
            assert!(page.words().contains(&origin), "{phish}: {}", page.words());
            let text = page.answer.text().to_lowercase();
            assert!(
                !text.contains("http-equiv") && !text.contains("<script") && !text.contains("autofocus"),
                "{text}"
            );
            assert!(page.forms().is_empty());
            assert!(text.contains("rel=\"noreferrer\""), "{text}");
        }
    }
    assert_eq!(scene.stored().await, before);
    scene.close().await;
}

#[tokio::test]
async fn az_30_nor_when_somebody_is_signed_in() {
    let scene = Scene::new().await;
    let mut browser = scene.house.browser();
    scene.allowed(&mut browser, &scene.ask(&scene.native, &[])).await;
    for (change, error) in [(Set("scope", "!"), "invalid_scope"), (Set("prompt", "none"), "consent_required")]
    {
        let page = browser.open(&scene.ask(&scene.remote, &[change])).await.unwrap().page().unwrap();
        right(
            redir_by_hand(&page.answer, &scene.remote.redirect_uri, error, Some(STATE), &scene.house.issuer),
            error,
        );
    }
    scene.close().await;
}

/// AS-019, AS-129, AS-130.
#[tokio::test]
async fn az_37_iss_is_the_issuer_of_the_metadata_to_the_letter_in_every_answer() {
    let scene = Scene::new().await;
    let issuer = |answer: testkit::http::Answer| answer.json()["issuer"].as_str().unwrap().to_owned();
    let metadata = issuer(scene.get(&scene.at("/.well-known/oauth-authorization-server")).await);
    let alias = issuer(scene.get(&scene.at("/.well-known/openid-configuration")).await);
    assert_eq!(metadata, alias);
    for client in scene.clients() {
        let mut browser = scene.house.browser();
        let url = scene.allowed(&mut browser, &scene.ask(client, &[])).await;
        assert_eq!(values(&url, "iss"), std::slice::from_ref(&metadata), "a code");
        let page = scene.consent(&mut browser, &scene.ask(client, &[]), "alice").await;
        let url = deny(&mut browser, &page).await.unwrap().left().unwrap();
        assert_eq!(values(&url, "iss"), std::slice::from_ref(&metadata), "a refusal by the person");
        for change in
            [Set("scope", "\""), Set("prompt", "none"), Set("resource", "x"), Set("response_type", "x")]
        {
            // `redir` compares `iss` with the issuer.
            scene.is_redir_with_any_error(client, change).await;
        }
    }
    assert_eq!(metadata, scene.house.issuer);
    scene.close().await;
}

/// What must hold for each page on the way, whoever sees it.
fn lets_nothing_out(page: &Page) {
    let what = page.url.path().to_owned();
    let header = |name| page.answer.header(name).to_owned();
    assert_eq!(header("referrer-policy"), "no-referrer", "{what}");
    assert!(header("cache-control").contains("no-store"), "{what}");
    assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(header("x-frame-options"), "DENY", "{what}");
    let policy = header("content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
        assert!(policy.contains(part), "{what}: {policy}");
    }
    for loaded in page.subresources() {
        assert!(loaded.starts_with("/assets/"), "{what}: {loaded}");
    }
    assert!(!page.url.query().unwrap_or_default().contains("code="), "{}", page.url);
}

async fn walk(scene: &Scene, browser: &mut Browser, client: &TestClient) -> Url {
    let approval = browser.open(&scene.ask(client, &[])).await.unwrap().page().unwrap();
    lets_nothing_out(&approval);
    let form = approval.form().unwrap();
    let button = form.buttons.first().cloned().unwrap();
    let sign_in =
        browser.submit(&approval, form, Some((&button.0, &button.1))).await.unwrap().page().unwrap();
    lets_nothing_out(&sign_in);
    let nobody =
        browser.submit(&sign_in, sign_in.form().unwrap().with("login", "nobody"), None).await.unwrap();
    lets_nothing_out(&nobody.page().unwrap());
    let consent =
        browser.submit(&sign_in, sign_in.form().unwrap().with("login", "alice"), None).await.unwrap();
    let consent = consent.page().unwrap();
    lets_nothing_out(&consent);
    let url = allow(browser, &consent).await.unwrap();
    let again = browser.submit(&consent, consent.form().unwrap(), Some(("decision", "allow"))).await.unwrap();
    lets_nothing_out(&again.page().unwrap());
    url
}

/// AS-124.
#[tokio::test]
async fn az_38_no_page_lets_a_code_or_state_out() {
    let scene = Scene::new().await;
    let mut secrets = Vec::new();
    for client in scene.clients() {
        let mut browser = scene.house.browser();
        let url = walk(&scene, &mut browser, client).await;
        let code = parameter(&url, "code").unwrap();
        let answer = client.redeem(&code, &scene.pkce.verifier).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let tokens = answer.json();
        let token = |name: &str| tokens[name].as_str().unwrap().to_owned();
        secrets.extend([code, token("access_token")]);
        if tokens.get("refresh_token").is_some() {
            secrets.push(token("refresh_token"));
        }
        secrets.extend(browser.cookies.values().flat_map(|jar| jar.values().cloned()));
    }
    secrets.push(scene.pkce.verifier.clone());
    let log = scene.log.text();
    assert!(log.lines().count() > 10, "something is logged: {log}");
    for secret in &secrets {
        assert!(!log.contains(secret.as_str()), "a secret is logged");
        scene.house.remember_secret(secret);
    }
    for path in [
        "/",
        "/nothing",
        "/oauth/authorize",
        "/login",
        "/consent",
        "/login/development",
        "/login/callback/development",
    ] {
        let page = Browser::default().open(&scene.at(path)).await.unwrap().page().unwrap();
        lets_nothing_out(&page);
    }
    scene.close().await;
}

/// AS-133.
#[tokio::test]
async fn az_38_the_answer_with_the_code_is_kept_by_nobody_and_names_us_to_nobody() {
    let scene = Scene::new().await;
    let mut browser = scene.house.browser();
    let page = scene.consent(&mut browser, &scene.ask(&scene.native, &[]), "alice").await;
    let fields = page.form().unwrap().with("decision", "allow").fields;
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let cookies = browser.cookie_header(&page.url);
    let answer =
        scene.house.http.post_form(&scene.at("/consent"), &[("cookie", &cookies)], &fields).await.unwrap();
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.header("location").contains("code="), "{:?}", answer.headers);
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert!(answer.header("cache-control").contains("no-store"));
    assert!(answer.body.is_empty());
    scene.close().await;
}

#[tokio::test]
async fn an_error_that_goes_by_hand_is_escaped_where_it_stands() {
    let scene = Scene::with(plan()).await;
    let state = "\"><script>alert(1)</script><a href='x' onclick=\"x\">&quot;&#x3e;";
    let url = scene.ask(&scene.remote, &[Set("state", state), Set("scope", "\"")]);
    let answer = scene.get(&url).await;
    right(page400(&answer), "escaped");
    right(
        redir_by_hand(&answer, &scene.remote.redirect_uri, "invalid_scope", Some(state), &scene.house.issuer),
        "escaped",
    );
    assert!(!answer.text().contains("<script") && !answer.text().contains("onclick="), "{}", answer.text());
    scene.close().await;
}

#[tokio::test]
async fn a_stranger_with_several_sign_ins_at_once_gets_each_answer_for_its_own_request() {
    let scene = Scene::new().await;
    let mut browser = scene.house.browser();
    let pairs: Vec<Pkce> = (0..5).map(|n| Pkce::new(&format!("tab {n}"))).collect();
    let mut pages = Vec::new();
    for (n, pkce) in pairs.iter().enumerate() {
        let state = format!("tab {n}");
        let url = scene.ask(&scene.native, &[Set("state", &state), Set("code_challenge", &pkce.challenge)]);
        let page = browser.open(&url).await.unwrap().page().unwrap();
        pages.push(log_in(&mut browser, page, "alice").await.unwrap());
    }
    for (n, page) in pages.iter().enumerate().rev() {
        let url = allow(&mut browser, page).await.unwrap();
        assert_eq!(values(&url, "state"), [format!("tab {n}")]);
        let code = parameter(&url, "code").unwrap();
        assert_eq!(
            scene.native.redeem(&code, &pairs[n].verifier).await.unwrap().status,
            StatusCode::OK,
            "{n}"
        );
    }
    scene.close().await;
}
