use bytes::Bytes;
use http::{HeaderValue, Method, Response};
use protocol::mcp::McpCall;

use super::*;
use crate::fixture::{PING, World, answer, json, modern, post, request, text};

fn call() -> Operation {
    said(PING)
}

fn said(text: &'static str) -> Operation {
    let body = Bytes::from_static(text.as_bytes());
    Operation::Call { call: McpCall::read(&HeaderMap::new(), &body).unwrap(), body }
}

fn typed(content_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers
}

/// What comes, and what goes out: operation, status, media type, no body, and the answer.
type Row<'a> = (&'a Operation, u16, &'static str, bool, Result<(u16, Passage), &'static str>);

#[test]
fn statuses_and_media_types_pass_by_list() {
    const JSON: &str = "application/json";
    const EVENTS: &str = "text/event-stream";
    let through = |status, media| Ok((status, Passage::Through(media)));
    let (post, get, delete) =
        (call(), Operation::Listen { modern: false }, Operation::EndSession { modern: false });
    let notification = said(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    let cases: Vec<Row<'_>> = vec![
        (&post, 200, JSON, false, through(200, Media::Json)),
        (&post, 200, "application/json; charset=utf-8", false, through(200, Media::Json)),
        (&post, 200, EVENTS, false, through(200, Media::Events)),
        (&post, 200, "text/html", false, Err("upstream_media_type")),
        (&post, 200, "text/plain", false, Err("upstream_media_type")),
        (&post, 200, "", false, Err("upstream_media_type")),
        (&post, 200, "image/svg+xml", false, Err("upstream_media_type")),
        // RS-066: a request has an answer.
        (&post, 200, "", true, Err("upstream_malformed")),
        (&post, 200, JSON, true, Err("upstream_malformed")),
        (&post, 200, EVENTS, true, Err("upstream_malformed")),
        (&post, 202, "text/plain", false, Err("upstream_malformed")),
        (&post, 204, "", true, Err("upstream_malformed")),
        (&notification, 200, "", true, Ok((200, Passage::Empty))),
        (&notification, 202, "text/plain", false, Ok((202, Passage::Empty))),
        (&notification, 204, "", true, Ok((204, Passage::Empty))),
        (&get, 200, EVENTS, false, through(200, Media::Events)),
        (&get, 200, JSON, false, Err("upstream_media_type")),
        (&get, 405, "text/plain", false, Ok((405, Passage::InOurWords))),
        (&delete, 200, "text/html", false, Ok((200, Passage::Empty))),
        (&delete, 202, "", true, Ok((204, Passage::Empty))),
        (&delete, 404, "text/plain", false, Ok((404, Passage::InOurWords))),
        // RS-160: what a modern client decides by comes through as it is.
        (&post, 400, JSON, false, through(400, Media::Json)),
        (&post, 404, JSON, false, through(404, Media::Json)),
        (&post, 500, JSON, false, through(500, Media::Json)),
        (&post, 404, "text/plain", false, Ok((404, Passage::InOurWords))),
        (&post, 400, "text/html", false, Ok((400, Passage::InOurWords))),
        (&post, 400, EVENTS, false, Ok((400, Passage::InOurWords))),
        (&post, 503, "", true, Ok((503, Passage::InOurWords))),
        (&post, 400, JSON, true, Ok((400, Passage::InOurWords))),
        // RS-171
        (&post, 401, JSON, false, Err("upstream_refused")),
        (&post, 403, JSON, false, Err("upstream_refused")),
        (&get, 407, "", true, Err("upstream_refused")),
        // PX-26
        (&post, 301, "", true, Err("upstream_redirected")),
        (&post, 304, "", true, Err("upstream_redirected")),
        (&post, 307, JSON, false, Err("upstream_redirected")),
        (&delete, 302, "", true, Err("upstream_redirected")),
        (&post, 101, "", true, Err("upstream_malformed")),
        (&post, 203, JSON, false, Err("upstream_malformed")),
        (&post, 206, JSON, false, Err("upstream_malformed")),
        (&post, 600, JSON, false, Err("upstream_malformed")),
        (&post, 999, JSON, false, Err("upstream_malformed")),
    ];
    for (operation, status, content_type, is_empty, expected) in cases {
        let status = StatusCode::from_u16(status).unwrap();
        let found = judge(status, &typed(content_type), is_empty, operation)
            .map(|(status, passage)| (status.as_u16(), passage))
            .map_err(|reason| reason.reason());
        assert_eq!(found, expected, "{status} {content_type:?} empty: {is_empty} to {operation:?}");
    }
}

#[test]
fn px_19_an_answer_that_is_compressed_does_not_pass() {
    for (coding, status, expected) in [
        ("gzip", 200, Err("upstream_encoded")),
        ("br", 200, Err("upstream_encoded")),
        ("zstd", 200, Err("upstream_encoded")),
        ("GZIP", 200, Err("upstream_encoded")),
        ("identity, gzip", 200, Err("upstream_encoded")),
        ("", 200, Err("upstream_encoded")),
        ("identity", 200, Ok(Passage::Through(Media::Json))),
        ("gzip", 400, Ok(Passage::InOurWords)),
    ] {
        let mut headers = typed("application/json");
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        let found = judge(StatusCode::from_u16(status).unwrap(), &headers, false, &call());
        assert_eq!(found.map(|(_, passage)| passage).map_err(|r| r.reason()), expected, "{coding} {status}");
    }
}

/// Whatever the client would take, the MCP server is asked for plain text; one that compresses all the same is not heard.
#[tokio::test]
async fn px_19_nothing_compressed_is_asked_for_or_passed_on() {
    let world = World::new().await;
    for coding in ["gzip", "br", "zstd"] {
        world.upstream.answers(move |_| {
            let mut answer = json(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"hidden"}]}}"#);
            answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
            Some(answer)
        });
        for (method, params) in [("tools/list", ""), ("resources/list", "")] {
            let mut call = modern(&world.token(|_| {}), method, params);
            call.headers_mut().insert("accept-encoding", HeaderValue::from_static("gzip, br, zstd, *"));
            let refused = world.call(call).await.unwrap_err();
            assert_eq!((refused.reason(), refused.status().as_u16()), ("upstream_encoded", 502), "{method}");
            assert!(!String::from_utf8_lossy(&refused.body()).contains("hidden"));
        }
    }
    let seen = world.upstream.seen();
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|asked| asked.header("accept-encoding") == Some("identity")), "{seen:?}");
}

#[tokio::test]
async fn no_header_of_the_mcp_server_comes_through_but_those_on_the_list() {
    let world = World::new().await;
    world.upstream.answers(|_| {
        let mut answer = json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        for (name, value) in [
            ("set-cookie", "__Host-sekisho-session=stolen; Path=/; Secure"),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("strict-transport-security", "max-age=0"),
            ("content-security-policy", "default-src *"),
            ("clear-site-data", "\"*\""),
            ("location", "https://evil.example"),
            ("www-authenticate", "Bearer resource_metadata=\"https://evil.example\""),
            ("link", "<https://evil.example>; rel=preload"),
            ("refresh", "0; url=https://evil.example"),
            ("service-worker-allowed", "/"),
            ("server", "fake/1"),
            ("x-powered-by", "fake"),
            ("cache-control", "public, max-age=31536000"),
            ("connection", "close, x-y"),
            ("retry-after", "7"),
        ] {
            answer.headers_mut().append(name, HeaderValue::from_static(value));
        }
        Some(answer)
    });
    let response = world.call(post(&world.token(|_| {}), PING)).await.unwrap();
    let mut headers: Vec<_> =
        response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            ("cache-control", "no-store"),
            ("content-security-policy", "sandbox; default-src 'none'"),
            ("content-type", "application/json"),
            ("retry-after", "7"),
            ("x-content-type-options", "nosniff"),
        ]
    );
    let length = http_body::Body::size_hint(response.body()).exact();
    let body = text(response).await;
    assert_eq!(
        (body.as_str(), length),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Some(36)),
        "the length is kept"
    );
}

#[tokio::test]
async fn a_stream_of_events_is_marked_as_one() {
    let world = World::new().await;
    let answer = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";
    world.upstream.always(200, "text/event-stream; charset=utf-8", answer);
    let response = world.call(post(&world.token(|_| {}), PING)).await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(
        (header("cache-control"), header("x-accel-buffering")),
        ("no-cache".to_owned(), "no".to_owned())
    );
    assert_eq!(text(response).await, answer);
}

#[tokio::test]
async fn an_error_in_words_for_people_keeps_its_status_and_gets_ours() {
    let world = World::new().await;
    world.upstream.always(404, "text/html", "<h1>secret of the MCP server</h1>");
    let (status, body) = world.answered(post(&world.token(|_| {}), PING)).await;
    assert_eq!(status, 404);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["id"], &body["error"]["code"]), (&1.into(), &(-32603).into()));
}

#[tokio::test]
async fn errors_that_modern_clients_know_pass_to_the_byte() {
    let world = World::new().await;
    let error = r#"{"jsonrpc": "2.0", "id": 7, "error": {"code": -32021, "message": "x", "data": {"requiredCapabilities": {}}}}"#;
    world.upstream.always(400, "application/json", error);
    assert_eq!(world.answered(modern(&world.token(|_| {}), "tools/list", "")).await, (400, error.to_owned()));
}

#[tokio::test]
async fn a_redirect_is_neither_followed_nor_shown() {
    let world = World::new().await;
    let url = world.upstream.url();
    world.upstream.answers(move |_| {
        let mut answer = answer(307, "", "");
        answer.headers_mut().insert("location", url.parse().unwrap());
        Some(answer)
    });
    let error = world.call(post(&world.token(|_| {}), PING)).await.unwrap_err();
    assert_eq!((error.reason(), error.status().as_u16()), ("upstream_redirected", 502));
    world.upstream.only();
}

/// RS-171: another resource's challenge would send the client elsewhere.
#[tokio::test]
async fn the_mcp_server_s_own_challenge_is_not_passed_on() {
    let world = World::new().await;
    world.upstream.answers(|_| {
        let mut answer = answer(401, "application/json", "{}");
        answer.headers_mut().insert("www-authenticate", HeaderValue::from_static("Bearer realm=\"theirs\""));
        Some(answer)
    });
    let error = world.call(post(&world.token(|_| {}), PING)).await.unwrap_err();
    assert_eq!((error.status().as_u16(), error.challenge()), (502, None));
    let body: serde_json::Value = serde_json::from_slice(&error.body()).unwrap();
    assert_eq!(body["id"], 1);
}

/// RS-071, RFC 9110 section 15.5.6.
#[tokio::test]
async fn a_get_that_is_not_served_upstream_is_405_with_allow() {
    let world = World::new().await;
    world.upstream.always(405, "text/plain", "no");
    let response = world.call(request(Method::GET, &world.token(|_| {}), "")).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &HeaderValue::from_static("POST"))
    );
}

#[tokio::test]
async fn a_notification_is_accepted_without_a_body() {
    let world = World::new().await;
    world.upstream.always(202, "text/plain", "Accepted");
    let message = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let response: Response<_> = world.call(post(&world.token(|_| {}), message)).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers().get("content-type")), (202, None));
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn what_cannot_be_reached_is_said_under_the_id() {
    let world = World::new().await;
    world.upstream.answers(|_| None);
    let error =
        world.call(post(&world.token(|_| {}), &PING.replace("\"id\":1", "\"id\":\"x\""))).await.unwrap_err();
    assert_eq!((error.reason(), error.status().as_u16()), ("upstream_broken", 502));
    let body: serde_json::Value = serde_json::from_slice(&error.body()).unwrap();
    assert_eq!((&body["id"], &body["error"]["code"]), (&"x".into(), &(-32603).into()));
}
