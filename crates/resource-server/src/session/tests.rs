use std::time::Duration;

use http::{HeaderValue, Method};
use protocol::world::Clock as _;

use crate::error::CallError;
use crate::fixture::{self, PING, SOMEBODY, World, events, events_body, json, modern, post, request, text};

fn said(error: &CallError) -> (u16, &'static str) {
    (error.status().as_u16(), error.reason())
}

async fn open_session(world: &World, token: &str) -> HeaderValue {
    world.upstream.answers(|_| {
        let mut answer = json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        answer.headers_mut().insert("mcp-session-id", HeaderValue::from_static("upstream-1"));
        Some(answer)
    });
    let mut call = post(token, r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    call.headers_mut().insert("mcp-session-id", HeaderValue::from_static("left over"));
    let response = world.call(call).await.unwrap();
    assert_eq!(world.upstream.only().header("mcp-session-id"), None, "none on initialize");
    response.headers()["mcp-session-id"].clone()
}

/// SE-05, SE-13, RS-086: the client never sees the MCP server's id and the MCP server never sees the client's.
#[tokio::test]
async fn a_session_has_another_name_on_each_side() {
    let world = World::new().await;
    let session = open_session(&world, &world.token(|_| {})).await;
    assert!(!session.to_str().unwrap().contains("upstream-1"));
    // A token of a later refresh, or of another grant of the same client: the session is the person's.
    world.clock.advance(Duration::from_secs(1));
    let other = protocol::id::Id::<protocol::id::Grant>::mint(fixture::START, &*world.entropy);
    let token = world.token(|claims| claims.grant_id = other.to_string());
    let mut call = post(&token, PING);
    call.headers_mut().insert("mcp-session-id", session.clone());
    let response = world.call(call).await.unwrap();
    assert_eq!(world.upstream.only().header("mcp-session-id"), Some("upstream-1"));
    assert_eq!(
        response.headers()["mcp-session-id"],
        session,
        "the same name when the MCP server repeats its id"
    );
}

/// SE-01, SE-04, SE-07, SE-08.
#[tokio::test]
async fn a_session_of_another_person_client_or_server_is_no_session() {
    let world = World::new().await;
    let session = open_session(&world, &world.token(|_| {})).await;
    let bob = world.person("bob", &["staff"]).await;
    let of_bob = world.token(|claims| claims.sub = bob.to_string());
    let of_another_client = world.token(|claims| claims.client_id = "dcr_other".to_owned());
    let mine = world.token(|_| {});
    let forged = HeaderValue::from_str(&"A".repeat(8 * 1024 + 1)).unwrap();
    let latin = HeaderValue::from_bytes(b"caf\xe9").unwrap();
    let cut = HeaderValue::from_str(&session.to_str().unwrap()[1..]).unwrap();
    for (token, session) in [
        (&of_bob, &session),
        (&of_another_client, &session),
        (&mine, &forged),
        (&mine, &latin),
        (&mine, &cut),
        (&mine, &HeaderValue::from_static("upstream-1")),
        (&mine, &HeaderValue::from_static("")),
    ] {
        for method in [Method::POST, Method::GET, Method::DELETE] {
            let mut call = request(method, token, PING);
            call.headers_mut().insert("mcp-session-id", session.clone());
            call.headers_mut().insert("last-event-id", HeaderValue::from_static("1"));
            assert_eq!(said(&world.call(call).await.unwrap_err()), (404, "session_unknown"));
        }
    }
    let notes = world.token(|claims| claims.aud = format!("{}/notes/mcp", fixture::ISSUER));
    let mut call = post(&notes, PING);
    call.headers_mut().insert("mcp-session-id", session.clone());
    let error = world.server.call("notes", call, SOMEBODY).await.unwrap_err();
    assert_eq!(said(&error), (404, "session_unknown"));
    let body: serde_json::Value = serde_json::from_slice(&error.body()).unwrap();
    assert_eq!(body["id"], 1);
    assert!(world.upstream.seen().is_empty(), "A's session survives");
    let mut twice = post(&mine, PING);
    twice.headers_mut().append("mcp-session-id", session.clone());
    twice.headers_mut().append("mcp-session-id", session);
    assert_eq!(said(&world.call(twice).await.unwrap_err()), (404, "session_unknown"));
    let refused =
        world.audited().await.iter().filter(|row| row.reason.as_deref() == Some("session_unknown")).count();
    assert_eq!(refused, 7 * 3 + 2);
}

/// SE-07.
#[tokio::test]
async fn se_07_a_session_ends_after_a_month_and_the_client_begins_anew() {
    let world = World::new().await;
    let session = open_session(&world, &world.token(|_| {})).await;
    let day = Duration::from_secs(24 * 3600);
    for (later, expected) in [(day * 30 - Duration::from_secs(1), 200), (Duration::from_secs(1), 404)] {
        world.clock.advance(later);
        world.read().await;
        let now = world.clock.now().secs();
        let mut call = post(&world.token(|claims| (claims.iat, claims.exp) = (now, now + 60)), PING);
        call.headers_mut().insert("mcp-session-id", session.clone());
        let status = match world.call(call).await {
            Ok(answer) => answer.status().as_u16(),
            Err(error) => said(&error).0,
        };
        assert_eq!(status, expected);
    }
}

#[tokio::test]
async fn a_session_can_be_resumed_and_ended_by_its_owner() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let session = open_session(&world, &token).await;
    let with_session = |method| {
        let mut call = request(method, &token, "");
        call.headers_mut().insert("mcp-session-id", session.clone());
        call.headers_mut().insert("last-event-id", HeaderValue::from_static("event-9"));
        call
    };
    world.upstream.answers(|_| Some(events(events_body().1)));
    let response = world.call(with_session(Method::GET)).await.unwrap();
    assert_eq!(response.status(), 200);
    let seen = world.upstream.only();
    assert_eq!(
        (seen.header("mcp-session-id"), seen.header("last-event-id")),
        (Some("upstream-1"), Some("event-9"))
    );

    world.upstream.always(202, "", "");
    let response = world.call(with_session(Method::DELETE)).await.unwrap();
    assert_eq!((response.status().as_u16(), text(response).await), (204, String::new()));
    let seen = world.upstream.only();
    assert_eq!((seen.method.as_str(), seen.header("mcp-session-id")), ("DELETE", Some("upstream-1")));
    assert_eq!(seen.header("last-event-id"), None);
}

/// A client that opened its session by the old handshake under the name of the new version (conformance.md, 7).
#[tokio::test]
async fn a_handshake_with_the_new_version_is_still_a_session() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let session = open_session(&world, &token).await;
    for method in [Method::POST, Method::DELETE] {
        world.upstream.always(200, "application/json", "{}");
        let mut call = request(method, &token, PING);
        call.headers_mut().insert("mcp-session-id", session.clone());
        call.headers_mut().insert("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
        assert_eq!(world.call(call).await.unwrap().status(), 200);
        assert_eq!(world.upstream.only().header("mcp-session-id"), Some("upstream-1"));
    }
}

#[tokio::test]
async fn a_session_id_in_answer_to_a_modern_call_is_dropped() {
    let world = World::new().await;
    open_session(&world, &world.token(|_| {})).await;
    let response = world.call(modern(&world.token(|_| {}), "server/discover", "")).await.unwrap();
    assert!(!response.headers().contains_key("mcp-session-id"));
}

#[tokio::test]
async fn a_session_id_that_cannot_be_one_is_not_passed_on() {
    for id in [&b"caf\xe9"[..], b"a b", &[b'a'; 1025]] {
        let world = World::new().await;
        let id = HeaderValue::from_bytes(id).unwrap();
        world.upstream.answers(move |_| {
            let mut answer = json("{}");
            answer.headers_mut().insert("mcp-session-id", id.clone());
            Some(answer)
        });
        let error = world.call(post(&world.token(|_| {}), PING)).await.unwrap_err();
        assert_eq!(said(&error), (502, "upstream_malformed"));
    }
}
