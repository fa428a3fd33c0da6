//! Methods, paths and hosts in front of the endpoints: rows AZ-35 and AZ-36, and the same for hosts and targets.

#![expect(clippy::panic, reason = "helpers of tests are not in test functions")]

use bytes::Bytes;
use http::{Method, StatusCode};
use testkit::http::{Answer, Http, request};
use testkit::outcomes::{harmless, page};
use testkit::raw;

use crate::attacks::scene::{CANARY, Scene, right};

async fn raw(scene: &Scene, request: &[u8]) -> Answer {
    let answer = raw::send(&scene.house.address(), request).await;
    answer.unwrap_or_else(|why| panic!("{}\n{why}", String::from_utf8_lossy(request)))
}

/// Path and query of a good request.
fn target(scene: &Scene) -> String {
    scene.ask(&scene.native, &[]).trim_start_matches(&scene.house.issuer).to_owned()
}

/// AS-107.
#[tokio::test]
async fn az_35_only_get_and_post_ask_for_authorization() {
    let scene = Scene::new().await;
    let before = scene.stored().await;
    let url = scene.ask(&scene.native, &[]);
    let methods = [
        "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "PROPFIND", "QUERY", "get", "Post",
        "FOO",
    ];
    for method in methods {
        let request = raw::request(&format!("{method} {}", target(&scene)), &scene.house.host());
        let answer = raw(&scene, &request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.header("allow"), "GET, POST", "{method}");
        right(page(&answer, StatusCode::METHOD_NOT_ALLOWED), method);
        right(harmless(&answer, &[CANARY]), method);
        assert!(answer.headers.get("set-cookie").is_none(), "{method}");
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{method}");
    }
    let preflight = [("origin", "https://claude.ai"), ("access-control-request-method", "POST")];
    let answer = scene.send(Method::OPTIONS, &url, &preflight, "").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.headers.get("access-control-allow-origin").is_none(), "{:?}", answer.headers);
    assert_eq!(scene.stored().await, before);
    scene.close().await;
}

#[tokio::test]
async fn az_35_the_other_endpoints_have_their_methods_and_no_others() {
    let scene = Scene::new().await;
    let before = scene.stored().await;
    for (path, allowed) in [
        ("/oauth/register", "POST"),
        ("/oauth/token", "POST"),
        ("/oauth/revoke", "POST"),
        ("/oauth/par", "POST"),
        ("/oauth/jwks", "GET, HEAD"),
        ("/.well-known/oauth-authorization-server", "GET, HEAD"),
        ("/.well-known/openid-configuration", "GET, HEAD"),
        ("/.well-known/oauth-protected-resource/notes/mcp", "GET, HEAD"),
        ("/login", "GET, POST"),
        ("/consent", "GET, POST"),
        ("/login/callback/development", "GET"),
    ] {
        for method in
            ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "FOO", "get"]
        {
            if allowed.split(", ").any(|known| known == method) {
                continue;
            }
            let answer = raw(&scene, &raw::request(&format!("{method} {path}"), &scene.house.host())).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.header("allow"), allowed, "{method} {path}");
            assert!(answer.header("cache-control").contains("no-store"), "{method} {path}");
        }
    }
    assert_eq!(scene.stored().await, before);
    scene.close().await;
}

const OTHER_SPELLINGS: &[&str] = &[
    "//oauth/authorize",
    "/oauth//authorize",
    "/oauth/authorize/",
    "/oauth/authorize//",
    "/OAUTH/AUTHORIZE",
    "/oauth/Authorize",
    "/oauth/authoriz%65",
    "/oauth/to%6ben",
    "/oauth/to\u{212a}en",
    "/%6fauth/authorize",
    "/oauth%2fauthorize",
    "/oauth%5cauthorize",
    "/oauth\\authorize",
    "/%2e/oauth/authorize",
    "/./oauth/authorize",
    "/oauth/./authorize",
    "/x/../oauth/authorize",
    "/oauth/x/%2e%2e/authorize",
    "/../oauth/authorize",
    "/oauth/authorize;x=1",
    "/oauth;x/authorize",
    "/oauth/authorize%00",
    "/oauth/authorize%0d%0ac4n4ry:%201",
    "/oauth/authorize%20",
    "/oauth/authorize.",
    "/oauth/authorize.json",
    "/oauth/authorize%3f",
    "/oauth/authorize%23",
    "/authorize",
    "/token",
    "/register",
    "/revoke",
    "/v1/oauth/authorize",
    "/v2/oauth/token",
    "/oauth/v2/authorize",
    "/oauth2/authorize",
    "/oauth",
    "/oauth/",
    "/oauth/register/",
    "/oauth/register/x",
    "/oauth/token/",
    "/oauth/introspection",
    "/oauth/par/",
    "/admin",
    "/account",
    "/metrics",
    "/",
    "/\u{e9}",
    "/c4n4ry",
];

#[tokio::test]
async fn az_36_a_path_in_another_spelling_is_not_found() {
    let scene = Scene::new().await;
    let before = scene.stored().await;
    let target = target(&scene);
    let (_, query) = target.split_once('?').unwrap();
    for &path in OTHER_SPELLINGS {
        for method in ["GET", "POST"] {
            let answer =
                raw(&scene, &raw::request(&format!("{method} {path}?{query}"), &scene.house.host())).await;
            let what = format!("{method} {path}: {}", answer.status);
            // `/` is a page of its own, which has no POST.
            let expected = match (path, method) {
                ("/", "GET") => 200,
                ("/", _) => 405,
                _ => 404,
            };
            assert_eq!(answer.status.as_u16(), expected, "{what}");
            right(harmless(&answer, &[CANARY, "212a", "evil"]), &what);
            assert!(answer.header("cache-control").contains("no-store"), "{what}: {:?}", answer.headers);
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
            assert!(answer.headers.get("set-cookie").is_none(), "{what}");
        }
    }
    assert_eq!(scene.stored().await, before);
    scene.close().await;
}

#[tokio::test]
async fn az_36_the_page_about_nothing_is_as_strict_as_all_others() {
    let scene = Scene::new().await;
    let request = format!(
        "GET /{CANARY} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: text/html\r\n\r\n",
        scene.house.host()
    );
    let answer = raw(&scene, request.as_bytes()).await;
    right(page(&answer, StatusCode::NOT_FOUND), "a page");
    right(harmless(&answer, &[CANARY]), "a page");
    scene.close().await;
}

/// Requests whose target is no path of ours, or whose host is not ours.
fn stray_requests(host: &str, target: &str, address: &str) -> Vec<Vec<u8>> {
    let origin = format!("http://{host}");
    let bytes = [
        b"GET /oauth/\xff\xfe HTTP/1.1\r\nHost: ".as_slice(),
        host.as_bytes(),
        b"\r\nConnection: close\r\n\r\n",
    ]
    .concat();
    let query = [
        b"GET /oauth/authorize?a=\xff HTTP/1.1\r\nHost: ".as_slice(),
        host.as_bytes(),
        b"\r\nConnection: close\r\n\r\n",
    ]
    .concat();
    let nul = [
        b"GET /oauth/authorize?a=\x00 HTTP/1.1\r\nHost: ".as_slice(),
        host.as_bytes(),
        b"\r\nConnection: close\r\n\r\n",
    ]
    .concat();
    vec![
        raw::request("GET oauth/authorize", host),
        raw::request("GET ", host),
        raw::request("GET ?x", host),
        raw::request("CONNECT evil.example:443", "evil.example:443"),
        raw::request(&format!("CONNECT {host}"), host),
        raw::request("OPTIONS *", host),
        raw::request(&format!("GET http://evil.example{target}"), host),
        raw::request(&format!("GET http://evil.example{target}"), "evil.example"),
        raw::request(&format!("GET http://user@{host}{target}"), host),
        raw::request(&format!("GET {origin}{target}"), "evil.example"),
        raw::request(&format!("GET {target}"), "evil.example"),
        raw::request(&format!("GET {target}"), ""),
        raw::request(&format!("GET {target}"), &format!("{host}\r\nHost: {host}")),
        raw::request(&format!("GET {target}"), &format!("{host}\r\nHost: evil.example")),
        raw::request(&format!("GET {target}"), &format!("{host}.evil.example")),
        raw::request(&format!("GET {target}"), &format!("user@{host}")),
        raw::request(&format!("GET {target}"), "localhost"),
        raw::request(&format!("GET {target}"), address),
        format!("GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n").into_bytes(),
        format!("GET {target} HTTP/1.0\r\n\r\n").into_bytes(),
        format!("GET {target} HTTP/9.9\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes(),
        format!("GET {target}\r\n\r\n").into_bytes(),
        format!("GET {target} HTTP/1.1\r\nHost : {host}\r\nConnection: close\r\n\r\n").into_bytes(),
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n folded: 1\r\nConnection: close\r\n\r\n")
            .into_bytes(),
        bytes,
        query,
        nul,
    ]
}

#[tokio::test]
async fn az_36_a_target_that_is_no_path_reaches_nothing() {
    let scene = Scene::new().await;
    let before = scene.stored().await;
    let (host, target) = (scene.house.host(), target(&scene));
    let origin = format!("http://{host}");
    for request in stray_requests(&host, &target, &scene.house.address()) {
        let what = String::from_utf8_lossy(&request).into_owned();
        let answer = raw(&scene, &request).await;
        assert!([400, 404, 405, 421].contains(&answer.status.as_u16()), "{what}: {}", answer.status);
        right(harmless(&answer, &[CANARY, "evil"]), &what);
        assert!(
            answer.headers.get("set-cookie").is_none() && answer.headers.get("location").is_none(),
            "{what}"
        );
    }
    assert_eq!(scene.stored().await, before);
    // The absolute form of our own is our own (RFC 9112, section 3.2.2).
    let answer = raw(&scene, &raw::request(&format!("GET {origin}{target}"), &host)).await;
    assert_eq!(answer.status, StatusCode::OK);
    scene.close().await;
}

#[tokio::test]
async fn az_36_the_same_doors_stand_before_http_2() {
    let scene = Scene::new().await;
    let before = scene.stored().await;
    let http = Http::http2();
    let target = target(&scene);
    let ask = async |method: Method, url: &str, headers: &[(&str, &str)]| {
        http.send(request(method, url, headers, Bytes::new()).unwrap()).await.unwrap()
    };
    let good = scene.at(&target);
    for method in [Method::HEAD, Method::PUT, Method::DELETE, Method::TRACE, Method::OPTIONS] {
        assert_eq!(ask(method.clone(), &good, &[]).await.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    for path in [
        "//oauth/authorize",
        "/oauth/authorize/",
        "/OAUTH/AUTHORIZE",
        "/oauth/authoriz%65",
        "/%2e/oauth/authorize",
        "/c4n4ry",
    ] {
        let answer = ask(Method::GET, &scene.at(path), &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        right(harmless(&answer, &[CANARY]), path);
    }
    // The authority of the target and `Host` must both be ours.
    let elsewhere = format!("http://{}{target}", scene.house.address());
    let host = scene.house.host();
    for (url, headers) in [
        (elsewhere.as_str(), vec![]),
        (&elsewhere, vec![("host", host.as_str())]),
        (&good, vec![("host", "c4n4ry.example")]),
        (&good, vec![("host", host.as_str()), ("host", host.as_str())]),
    ] {
        let answer = ask(Method::GET, url, &headers).await;
        right(page(&answer, StatusCode::MISDIRECTED_REQUEST), url);
        right(harmless(&answer, &[CANARY]), url);
    }
    let long = "c4n4ry".repeat(60_000);
    match http.send(request(Method::GET, &good, &[("x-long", &long)], Bytes::new()).unwrap()).await {
        Ok(answer) => assert!(answer.status.is_client_error(), "360 KB of header: {}", answer.status),
        Err(closed) => assert!(!closed.is_empty()),
    }
    assert_eq!(scene.stored().await, before);
    assert_eq!(ask(Method::GET, &good, &[]).await.status, StatusCode::OK);
    scene.close().await;
}
