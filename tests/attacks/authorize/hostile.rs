//! The authorization endpoint under input that is in no row: every parameter in every wrong shape, encodings, headers,
//! cookies, bodies, many at once. What must hold each time: no 5xx, nothing echoed, nobody let through.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not in test functions")]

use futures_util::future::join_all;
use http::{Method, StatusCode};
use store::PendingCaps;
use testkit::browser::Browser;
use testkit::client::{TestClient, allow, parameter};
use testkit::house::Plan;
use testkit::http::{Answer, form};
use testkit::outcomes::{harmless, page, redir_at_once, redir_by_hand};
use testkit::raw;
use url::Url;
use web::{Rate, Rates};

use crate::attacks::scene::{
    Also, CANARY, Change, STATE, Scene, Set, Without, is_consent, is_login, page_of, plan, right,
};

const PARAMETERS: [&str; 16] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "resource",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "request",
    "request_uri",
    "nonce",
    "login_hint",
    "unknown",
];

/// What any request may come to: a page that goes on, a refusal by page, or an error for the client. Never a code,
/// never a session, never another place.
fn is_an_outcome(scene: &Scene, client: &TestClient, answer: &Answer, what: &str) {
    let status = answer.status.as_u16();
    assert!([200, 303, 400, 413].contains(&status), "{what}: {status}");
    let location = answer.header("location");
    if status == 303 {
        assert!(location.starts_with(&format!("{}?error=", client.redirect_uri)), "{what}: {location}");
    } else {
        assert!(location.is_empty(), "{what}: {location}");
    }
    assert!(!location.contains("code=") && !answer.text().contains("code="), "{what}");
    for cookie in answer.headers.get_all("set-cookie") {
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.starts_with("sekisho-browser-") && status == 200, "{what}: {cookie}");
    }
    assert!(
        answer.header("content-type").is_empty() || answer.header("content-type").starts_with("text/html"),
        "{what}"
    );
    assert_eq!(scene.house.mcp.connections(), 0, "{what}");
}

const VALUES: &[&str] = &[
    "",
    " ",
    "c4n4ry",
    "null",
    "undefined",
    "true",
    "0",
    "-1",
    "NaN",
    "1e999",
    "[]",
    "{}",
    "{\"a\":1}",
    "[\"c4n4ry\"]",
    "\"c4n4ry\"",
    "'",
    "\"",
    "\\",
    "`",
    "${c4n4ry}",
    "{{c4n4ry}}",
    "%s%n%x",
    "%",
    "%25",
    "%00",
    "../../../etc/passwd",
    "\0",
    "\u{1}",
    "\r\n",
    "c4n4ry\r\nSet-Cookie: a=b",
    "\r\n\r\n<html>c4n4ry",
    "\n",
    "\t",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{202e}c4n4ry",
    "\u{feff}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{10ffff}",
    "\u{e9}",
    "e\u{301}",
    "\u{1f512}",
    "\u{212a}",
    "\u{ff0e}",
    "\u{200b}",
    "<script>c4n4ry</script>",
    "\"><img src=x onerror=c4n4ry>",
    "javascript:c4n4ry",
    "data:text/html,c4n4ry",
    "//c4n4ry.example",
    "https://c4n4ry.example",
    "HtTpS://c4n4ry.example",
    "file:///c4n4ry",
    "' OR 1=1 --c4n4ry",
    "$(c4n4ry)",
    "a&b=c4n4ry",
    "a=b;c",
    "a#c4n4ry",
    "a+b",
];

/// AS-115.
#[tokio::test]
async fn no_value_of_any_parameter_breaks_anything() {
    let scene = Scene::new().await;
    let long = "c4n4ry".repeat(1200);
    let digits = "9".repeat(400);
    let values = [VALUES, &[&long, &digits]].concat();
    for client in scene.clients() {
        for name in PARAMETERS {
            for &value in &values {
                for change in [Set(name, value), Also(name, value)] {
                    let answer = scene.get(&scene.ask(client, &[change])).await;
                    let what = format!("{change:?}");
                    is_an_outcome(&scene, client, &answer, &what);
                    // By hand, the link carries the state.
                    if !answer.text().contains("error=") {
                        right(
                            harmless(&Answer { headers: http::HeaderMap::new(), ..answer }, &[CANARY]),
                            &what,
                        );
                    }
                }
            }
        }
    }
    scene.close().await;
}

#[tokio::test]
async fn a_name_in_another_spelling_is_another_parameter() {
    let scene = Scene::new().await;
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
        "resource",
        "code_challenge",
        "prompt",
        "request_uri",
    ] {
        let others = [
            name.to_uppercase(),
            format!("{name}[]"),
            format!("{name}[0]"),
            format!("{name}."),
            format!("{name} "),
            format!(" {name}"),
            format!("{name}\0"),
            format!("{name}\n"),
            name.replace('_', "-"),
            format!("x_{name}"),
        ];
        for other in others.iter().filter(|other| *other != name) {
            // Beside the right one it is not read.
            let url = scene.ask(&scene.known, &[Also(other, "none c4n4ry https://evil.example")]);
            let answer = scene.get(&url).await;
            assert_eq!(answer.status, StatusCode::OK, "{other:?}");
            right(harmless(&answer, &["evil.example"]), other);
        }
    }
    // Instead of the right one it is not read either.
    scene.page400_for_all(&[Without("client_id"), Set("client_id[]", "known-public")]).await;
    scene
        .redir(&[Without("code_challenge"), Set("code-challenge", &scene.pkce.challenge)], "invalid_request")
        .await;
    scene.redir(&[Without("response_type"), Set("RESPONSE_TYPE", "code")], "invalid_request").await;
    scene.close().await;
}

#[tokio::test]
async fn a_query_that_is_no_form_gets_a_page() {
    let scene = Scene::new().await;
    let good = scene.ask(&scene.known, &[]);
    let many = "&a=1".repeat(200);
    let very_many = "&a=1".repeat(10_000);
    for bad in [
        "&x=%",
        "&x=%4",
        "&x=%zz",
        "&x=%u0041",
        "&%=1",
        "&x=%FF",
        "&x=%C3",
        "&x=%C0%80",
        "&x=%ED%A0%80",
        "&x=%F4%90%80%80",
        "&%FF=1",
        "&x=%EF%BF",
        &many,
        &very_many,
    ] {
        scene.page400(&format!("{good}{bad}")).await;
    }
    for empty in [
        "",
        "?",
        "?&",
        "?=",
        "?&&&&",
        "?=&=&=",
        "?a",
        "?%20",
        "?client_id",
        "?client_id=",
        "?=client_id",
        "?;client_id=x",
    ] {
        scene.page400(&scene.at(&format!("/oauth/authorize{empty}"))).await;
    }
    // Empty pairs are nothing.
    assert_eq!(scene.get(&format!("{good}&&&")).await.status, StatusCode::OK);
    scene.close().await;
}

#[tokio::test]
async fn a_body_that_is_no_form_gets_a_page() {
    let scene = Scene::new().await;
    let fields = scene.fields(&scene.known, &[]);
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let good = form(&fields);
    let url = scene.at("/oauth/authorize");
    let before = scene.stored().await;
    for media_type in [
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/x-www-form-urlencoded, application/json",
        "application/x-www-form-urlencoded; charset=utf-8; x=y",
        "*/*",
        "application/x-www-form-urlencoded\u{e9}",
    ] {
        let answer = scene.send(Method::POST, &url, &[("content-type", media_type)], good.clone()).await;
        scene.is_page400(&answer, media_type);
    }
    let declared = [("content-type", "application/x-www-form-urlencoded")];
    scene.is_page400(&scene.send(Method::POST, &url, &[], good.clone()).await, "no media type");
    scene.is_page400(
        &scene.send(Method::POST, &url, &[declared[0], declared[0]], good.clone()).await,
        "two media types",
    );
    for body in ["a=%", "a=%ff", "\u{feff}a=1", "a=\r\n", "{\"client_id\":\"known-public\"}", "", "&", "\0"] {
        scene.is_page400(&scene.send(Method::POST, &url, &declared, body).await, body);
    }
    let huge = format!("{good}&x={}", "c4n4ry".repeat(1_000_000));
    let answer = scene.send(Method::POST, &url, &declared, huge).await;
    right(page(&answer, StatusCode::PAYLOAD_TOO_LARGE), "6 MB");
    assert_eq!(scene.stored().await, before);
    // The right one is right, with another site's page as its sender too: it is a request, not a decision.
    for headers in [
        vec![declared[0]],
        vec![declared[0], ("origin", "https://client.example"), ("sec-fetch-site", "cross-site")],
    ] {
        let answer = scene.send(Method::POST, &url, &headers, good.clone()).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.headers.get("access-control-allow-origin").is_none());
    }
    scene.close().await;
}

/// The names of all header lines, to be compared.
fn header_names(answer: &Answer) -> Vec<String> {
    answer.headers.keys().map(|name| name.as_str().to_owned()).collect()
}

/// AS-115.
#[tokio::test]
async fn no_value_becomes_a_header() {
    let scene = Scene::new().await;
    let usual =
        header_names(&scene.get(&scene.ask(&scene.known, &[Set("state", "x"), Set("scope", "\"")])).await);
    for break_out in [
        "\r\nx-c4n4ry: 1",
        "\nx-c4n4ry: 1",
        "\rx-c4n4ry: 1",
        "\u{85}x-c4n4ry: 1",
        "\u{2028}x-c4n4ry: 1",
        "\u{10d}\u{10a}x-c4n4ry: 1",
    ] {
        for name in PARAMETERS {
            let answer = scene.get(&scene.ask(&scene.known, &[Set(name, break_out)])).await;
            assert!(
                !header_names(&answer).iter().any(|name| name.contains(CANARY)),
                "{name}: {:?}",
                answer.headers
            );
            assert!(!answer.header("location").contains(['\r', '\n', ' ', '"', '<']), "{:?}", answer.headers);
        }
        let answer =
            scene.get(&scene.ask(&scene.known, &[Set("state", break_out), Set("scope", "\"")])).await;
        assert_eq!(header_names(&answer), usual, "{break_out:?}");
        let url = Url::parse(answer.header("location")).unwrap();
        assert_eq!(parameter(&url, "state").as_deref(), Some(break_out));
    }
    scene.close().await;
}

#[tokio::test]
async fn cookies_that_are_doubled_or_made_up_are_no_cookies() {
    let scene = Scene::new().await;
    let mut alice = scene.house.browser();
    scene.consent(&mut alice, &scene.ask(&scene.native, &[]), "alice").await;
    let url = scene.ask(&scene.native, &[]);
    let at = Url::parse(&url).unwrap();
    let good = alice.cookie_header(&at);
    let session = good.split("; ").find(|pair| pair.starts_with("sekisho-session")).unwrap().to_owned();
    let (name, value) = session.split_once('=').unwrap();
    assert!(is_consent(&page_of(&url, scene.send(Method::GET, &url, &[("cookie", &good)], "").await)));
    let garbage = "x".repeat(8000);
    for cookies in [
        vec![format!("{session}; {session}")],
        vec![session.clone(), session.clone()],
        vec![format!("{session}; {name}=sks_{}", "A".repeat(43))],
        vec![format!("{name}=; {session}")],
        vec![format!("{name}=\"{value}\"")],
        vec![format!("{name}={value}x")],
        vec![format!("{name}={}", &value[..value.len() - 1])],
        vec![format!("{name}={}", value.to_uppercase())],
        vec![format!("{name}={value}%00")],
        vec![format!("{name} x={value}")],
        vec![format!("{}={value}", name.to_uppercase())],
        vec![format!("__Host-{name}={value}")],
        vec![format!("__Host-sekisho-session={value}")],
        vec![format!("sekisho-session={value}")],
        vec![format!("sekisho-leg{}={value}", name.trim_start_matches("sekisho-session"))],
        vec![format!("{name}={garbage}")],
        vec![";;;; = ; ==; a".to_owned()],
        vec![format!("{name}={}", "sks_".repeat(12))],
        vec![format!("{name}=' OR 1=1 --")],
        vec!["\u{e9}=\u{1f512}".to_owned()],
        vec![format!("\u{e9}; {session}; {session}")],
    ] {
        let headers: Vec<(&str, &str)> = cookies.iter().map(|value| ("cookie", value.as_str())).collect();
        let answer = scene.send(Method::GET, &url, &headers, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{cookies:?}");
        right(harmless(&answer, &[value]), "a cookie");
        assert!(is_login(&page_of(&url, answer)), "{cookies:?}");
    }
    // A binding that is doubled is replaced: the sign-in is then of the new one only.
    let binding = good.split("; ").find(|pair| pair.starts_with("sekisho-browser")).unwrap();
    let answer = scene.send(Method::GET, &url, &[("cookie", &format!("{binding}; {binding}"))], "").await;
    let set = answer.header("set-cookie").to_owned();
    assert!(set.starts_with("sekisho-browser") && !set.starts_with(binding), "{set}");
    for part in ["; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    scene.close().await;
}

#[tokio::test]
async fn thousands_of_cookies_are_read_once_and_are_none() {
    let scene = Scene::new().await;
    let url = scene.ask(&scene.native, &[]);
    let port = scene.house.host().trim_start_matches("localhost:").to_owned();
    for name in [format!("sekisho-browser-{port}-00"), format!("sekisho-session-{port}"), "x".to_owned()] {
        let cookies = format!("{name}=a;").repeat(100_000 / (name.len() + 3));
        let answer = scene.send(Method::GET, &url, &[("cookie", &cookies)], "").await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
        assert!(is_login(&page_of(&url, answer)), "{name}");
    }
    // Every name that one of ours could have, each with a value that one of ours could have.
    let cookies: Vec<String> = (0..=255_u8)
        .map(|place| {
            format!(
                "sekisho-browser-{port}-{place:02x}=skb_{}",
                char::from(b'A' + place % 26).to_string().repeat(43)
            )
        })
        .collect();
    let answer = scene.send(Method::GET, &url, &[("cookie", &cookies.join("; "))], "").await;
    assert_eq!(answer.status, StatusCode::OK);
    scene.close().await;
}

#[tokio::test]
async fn headers_of_all_kinds_change_nothing() {
    let scene = Scene::new().await;
    let url = scene.ask(&scene.native, &[]);
    let many = "x,".repeat(4000);
    for (name, value) in [
        ("accept", "*/*;q=nan, text/c4n4ry"),
        ("accept", "application/json"),
        ("accept-language", "c4n4ry;q=99999999999999999999"),
        ("accept-language", "ja, *;q=-1, en;q=0"),
        ("accept-language", &many),
        ("accept-encoding", "gzip, br, c4n4ry"),
        ("authorization", "Bearer c4n4ry"),
        ("authorization", "Basic c4n4ry"),
        ("content-length", "0"),
        ("expect", "100-continue"),
        ("forwarded", "for=10.0.0.1;host=c4n4ry.example;proto=https"),
        ("if-match", "*"),
        ("if-none-match", "*"),
        ("if-modified-since", "c4n4ry"),
        ("origin", "null"),
        ("origin", "https://c4n4ry.example"),
        ("prefer", "respond-async"),
        ("range", "bytes=0-"),
        ("referer", "https://c4n4ry.example/"),
        ("te", "trailers"),
        ("upgrade-insecure-requests", "1"),
        ("x-forwarded-for", "c4n4ry"),
        ("x-forwarded-host", "c4n4ry.example"),
        ("x-forwarded-proto", "https"),
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "/admin"),
        ("x-request-id", "c4n4ry"),
        ("x-rewrite-url", "/admin"),
    ] {
        let answer = scene.send(Method::GET, &url, &[(name, value)], "").await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {value}");
        right(harmless(&answer, &[CANARY]), name);
        assert!(is_login(&page_of(&url, answer)), "{name}");
    }
    let lines: String = (0..200).map(|n| format!("x-{n}: {CANARY}\r\n")).collect();
    let request =
        format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{lines}\r\n", scene.house.host());
    let answer = raw::send(&scene.house.address(), request.as_bytes()).await.unwrap();
    assert!(answer.status.is_client_error(), "{}", answer.status);
    right(harmless(&answer, &[CANARY]), "200 header lines");
    scene.close().await;
}

#[tokio::test]
async fn a_name_and_a_hint_that_a_client_chose_cannot_change_the_page_or_the_way() {
    let scene = Scene::new().await;
    for name in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</title><script>",
        "{{7*7}}",
        "a\r\nSet-Cookie: x=y",
        "\u{202e}reverse",
        "Claude\u{200b} Code",
        "\0\u{1b}[31m",
        "&lt;b&gt;",
        "x".repeat(5000).as_str(),
    ] {
        let metadata = serde_json::json!({
            "client_name": name, "redirect_uris": ["http://127.0.0.1:51234/callback"], "token_endpoint_auth_method": "none",
        });
        let client =
            TestClient::register_with(&scene.house.http, &scene.house.issuer, &metadata).await.unwrap();
        let mut browser = scene.house.browser();
        let page = scene.consent(&mut browser, &scene.ask(&client, &[]), "alice").await;
        let text = page.answer.text();
        for raw in ["<script>", "<img", "\u{202e}", "\u{200b}", "\u{1b}", "\0"] {
            assert!(!text.contains(raw), "{name:?}: {text}");
        }
        assert!(page.words().contains("127.0.0.1"), "{}", page.words());
        assert!(page.words().len() < 3000, "{}", page.words());
        allow(&mut browser, &page).await.unwrap();
    }
    for hint in [
        "a&state=c4n4ry",
        "a#c4n4ry",
        "a\r\nx: c4n4ry",
        "a\0b",
        "\u{1f512}",
        &"c4n4ry".repeat(900),
        "alice@example.com",
    ] {
        let mut browser = scene.house.browser();
        let url = scene.allowed(&mut browser, &scene.ask(&scene.native, &[Set("login_hint", hint)])).await;
        assert_eq!(parameter(&url, "state").as_deref(), Some(STATE), "{hint:?}");
    }
    scene.close().await;
}

#[tokio::test]
async fn many_requests_at_once_are_each_answered() {
    let scene = Scene::new().await;
    let changes: [&[Change<'_>]; 4] = [
        &[],
        &[Set("scope", "\"")],
        &[Set("redirect_uri", "https://evil.example/")],
        &[Set("client_id", "x")],
    ];
    let urls: Vec<String> = (0..200).map(|n| scene.ask(&scene.native, changes[n % 4])).collect();
    let before = scene.stored().await;
    let answers = join_all(urls.iter().map(|url| scene.get(url))).await;
    for (n, answer) in answers.iter().enumerate() {
        let expected =
            [StatusCode::OK, StatusCode::SEE_OTHER, StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST][n % 4];
        assert_eq!(answer.status, expected, "{n}");
    }
    let cookies: std::collections::BTreeSet<&str> =
        answers.iter().map(|answer| answer.header("set-cookie")).collect();
    assert_eq!(cookies.len(), 51, "each browser has its own binding, and a refusal gives none");
    assert_eq!(scene.stored().await.authorizations, before.authorizations + 50);
    scene.close().await;
}

#[tokio::test]
async fn a_flood_of_sign_ins_is_bounded_and_says_when_to_come_again() {
    let pending = PendingCaps { per_address: 5, total: 100 };
    let scene = Scene::with(Plan { pending, ..plan() }).await;
    let url = scene.ask(&scene.native, &[]);
    let before = scene.stored().await;
    let answers = join_all((0..50).map(|_| scene.get(&url))).await;
    let begun = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert_eq!(begun, 5);
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::OK) {
        right(page(answer, StatusCode::SERVICE_UNAVAILABLE), "over the bound");
        assert!(answer.header("retry-after").parse::<u64>().is_ok(), "{:?}", answer.headers);
        assert!(answer.headers.get("set-cookie").is_none());
    }
    assert_eq!(scene.stored().await.authorizations, before.authorizations + 5);
    // Ten minutes later they are over, and the place is free.
    scene.house.advance(std::time::Duration::from_secs(601)).await.unwrap();
    assert_eq!(scene.get(&url).await.status, StatusCode::OK);
    scene.close().await;
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_to_wait_and_others_are_not() {
    let rates = Rates { authorize: Some(Rate::per_second(1, 10)), ..Rates::unlimited() };
    let scene = Scene::with(Plan { rates, trusted_proxies: vec!["127.0.0.0/8"], ..plan() }).await;
    let url = scene.ask(&scene.native, &[Set("scope", "\"")]);
    let from = async |address: &str| scene.send(Method::GET, &url, &[("x-forwarded-for", address)], "").await;
    for _ in 0..10 {
        right(
            redir_at_once(
                &from("192.0.2.1").await,
                &scene.native.redirect_uri,
                "invalid_scope",
                Some(STATE),
                &scene.house.issuer,
            ),
            "ten",
        );
    }
    let answer = from("192.0.2.1").await;
    right(page(&answer, StatusCode::TOO_MANY_REQUESTS), "the eleventh");
    assert_eq!(answer.header("retry-after"), "1");
    // What a caller puts in front of the proxy's own word is not read.
    assert_eq!(from("192.0.2.99, 192.0.2.1").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(from("192.0.2.2").await.status, StatusCode::SEE_OTHER);
    scene.house.advance(std::time::Duration::from_secs(1)).await.unwrap();
    assert_eq!(from("192.0.2.1").await.status, StatusCode::SEE_OTHER);
    scene.close().await;
}

#[tokio::test]
async fn a_private_scheme_is_told_by_hand_and_answered_when_the_person_allows() {
    let scene = Scene::new().await;
    let uri = "cursor://anysphere.cursor-retrieval/oauth/callback";
    let client = TestClient::register(&scene.house.http, &scene.house.issuer, uri).await.unwrap();
    let answer = scene.get(&scene.ask(&client, &[Set("scope", "\"")])).await;
    right(redir_by_hand(&answer, uri, "invalid_scope", Some(STATE), &scene.house.issuer), "by hand");
    for variant in [
        "CURSOR://anysphere.cursor-retrieval/oauth/callback",
        "cursor:/anysphere.cursor-retrieval/oauth/callback",
        "cursor://anysphere.cursor-retrieval/oauth/callback?x",
        "vscode://anysphere.cursor-retrieval/oauth/callback",
    ] {
        scene.page400(&scene.ask(&client, &[Set("redirect_uri", variant)])).await;
    }
    let url = scene.allowed(&mut Browser::default(), &scene.ask(&client, &[])).await;
    assert!(url.as_str().starts_with(uri) && parameter(&url, "code").is_some(), "{url}");
    scene.close().await;
}
