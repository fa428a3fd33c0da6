use http::HeaderValue;
use http_body_util::Full;

use super::*;
use crate::fixture::{FakeMcpServer, PING, World, events_body, post, request};

async fn refused(world: &World, request: Request<Full<Bytes>>) -> (u16, &'static str) {
    let error = world.call(request).await.unwrap_err();
    (error.status().as_u16(), error.reason())
}

fn nothing(upstream: &FakeMcpServer) {
    assert!(upstream.seen().is_empty(), "the mcp server heard of it");
}

fn with(mut request: Request<Full<Bytes>>, name: &'static str, value: &'static str) -> Request<Full<Bytes>> {
    request.headers_mut().insert(name, HeaderValue::from_static(value));
    request
}

#[tokio::test]
async fn a_post_must_be_json_and_accept_both_media_types() {
    let world = World::new().await;
    let token = world.token(|_| {});
    for (name, value, expected) in [
        ("accept", "application/json", (406, "accept_unusable")),
        ("accept", "text/event-stream", (406, "accept_unusable")),
        ("accept", "text/html", (406, "accept_unusable")),
        ("content-type", "text/plain", (415, "content_type_unsupported")),
        ("content-type", "application/x-www-form-urlencoded", (415, "content_type_unsupported")),
        ("content-type", "application/json; charset=utf-16", (415, "content_type_unsupported")),
    ] {
        assert_eq!(refused(&world, with(post(&token, PING), name, value)).await, expected, "{name}: {value}");
    }
    nothing(&world.upstream);
    for (name, value) in [("accept", "*/*"), ("content-type", "application/json; charset=UTF-8")] {
        assert_eq!(world.answered(with(post(&token, PING), name, value)).await.0, 200, "{name}: {value}");
        let seen = world.upstream.only();
        assert_eq!(seen.header("accept"), Some("application/json, text/event-stream"));
        assert_eq!(seen.header("content-type"), Some("application/json"));
    }
}

/// PX-33: one byte more is 413, exactly the limit is taken.
#[tokio::test]
async fn a_message_of_the_limit_is_taken_and_one_more_byte_is_not() {
    let world = World::with(|settings| settings.message_bytes = 100).await;
    world.read().await;
    let token = world.token(|_| {});
    let message = |len: usize| format!("{PING}{}", " ".repeat(len - PING.len()));
    assert_eq!(world.answered(post(&token, &message(100))).await.0, 200);
    world.upstream.seen();
    let error = world.call(post(&token, &message(101))).await.unwrap_err();
    assert_eq!((error.status().as_u16(), error.reason()), (413, "body_too_large"));
    assert!(String::from_utf8(error.body().to_vec()).unwrap().starts_with(r#"{"jsonrpc":"2.0","error""#));

    // Without a declared length: as it comes.
    for (len, expected) in [(100, Ok(200)), (101, Err("body_too_large"))] {
        let (feed, body) = events_body();
        for piece in message(len).as_bytes().chunks(7) {
            feed.send(std::str::from_utf8(piece).unwrap());
        }
        drop(feed);
        let (head, _) = post(&token, "").into_parts();
        let found =
            world.server.call("files", Request::from_parts(head, body), crate::fixture::SOMEBODY).await;
        assert_eq!(found.map(|r| r.status().as_u16()).map_err(|e| e.reason()), expected);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let world = World::new().await;
    let (feed, body) = events_body();
    feed.send("{\"jsonrpc\":");
    feed.break_off();
    let (head, _) = post(&world.token(|_| {}), "").into_parts();
    let found = world.server.call("files", Request::from_parts(head, body), crate::fixture::SOMEBODY).await;
    assert_eq!(found.map_err(|error| error.reason()).err(), Some("body_unreadable"));
    nothing(&world.upstream);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_not_waited_for() {
    let (_feed, body) = events_body();
    assert_eq!(read_body(body, 100).await.unwrap_err().reason(), "body_timed_out");
}

/// PX-15, PX-16: what is no single unambiguous message is refused, under its id where that is known.
#[tokio::test]
async fn what_is_not_one_message_does_not_go_up() {
    let world = World::new().await;
    let token = world.token(|_| {});
    for message in [
        "",
        "nonsense",
        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"method\":\"tools/call\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"Method\":\"ping\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"\\u006dethod\":\"ping\",\"method\":\"x\"}",
        "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}{}",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}",
    ] {
        let error = world.call(post(&token, message)).await.unwrap_err();
        assert_eq!(error.status().as_u16(), 400, "{message}");
        assert!(matches!(error.cause(), CallReason::MessageRefused(_)), "{message}");
    }
    let error =
        world.call(post(&token, r#"{"jsonrpc":"2.0","id":"x","method":"tools/call"}"#)).await.unwrap_err();
    let body: serde_json::Value = serde_json::from_slice(&error.body()).unwrap();
    assert_eq!((&body["id"], &body["error"]["code"]), (&"x".into(), &(-32602).into()));
    nothing(&world.upstream);
}

/// PX-12: headers of 2026-07-28 and body must agree.
#[tokio::test]
async fn headers_that_do_not_agree_with_the_body_are_refused() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let call = || crate::fixture::modern(&token, "tools/call", r#""name":"a","arguments":{}"#);
    for (name, value) in [
        ("mcp-method", "tools/list"),
        ("mcp-method", "Tools/Call"),
        ("mcp-name", "b"),
        ("mcp-name", "=?base64?YQ?="),
        ("mcp-protocol-version", "2025-11-25"),
    ] {
        let mut call = with(call(), "mcp-name", "a");
        call.headers_mut().insert(name, HeaderValue::from_static(value));
        let error = world.call(call).await.unwrap_err();
        assert_eq!(
            (error.status().as_u16(), error.code()),
            (400, crate::CallCode::JsonRpc(-32020)),
            "{name}: {value}"
        );
    }
    assert_eq!(refused(&world, call()).await.0, 400, "without Mcp-Name");
    nothing(&world.upstream);
}

#[tokio::test]
async fn get_and_delete_are_for_older_clients() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let get = || with(request(Method::GET, &token, ""), "accept", "text/event-stream");
    let delete = || request(Method::DELETE, &token, "");
    for (request, expected) in [
        (with(get(), "mcp-protocol-version", "2026-07-28"), (405, "method_not_allowed")),
        (with(delete(), "mcp-protocol-version", "2026-07-28"), (405, "method_not_allowed")),
        (with(get(), "mcp-protocol-version", "1999-01-01"), (400, "version_unsupported")),
        (with(get(), "accept", "application/json"), (406, "accept_unusable")),
        (delete(), (400, "session_missing")),
        (with(delete(), "mcp-session-id", "guessed"), (404, "session_unknown")),
        (with(get(), "mcp-session-id", "guessed"), (404, "session_unknown")),
    ] {
        assert_eq!(refused(&world, request).await, expected);
    }
    // A session id that is none of ours is ignored with the new version, and then there is no such method.
    let both = with(with(get(), "mcp-protocol-version", "2026-07-28"), "mcp-session-id", "guessed");
    assert_eq!(refused(&world, both).await, (405, "method_not_allowed"));
    nothing(&world.upstream);
}
