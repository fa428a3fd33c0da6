use bytes::Bytes;
use http::{HeaderValue, Method};
use protocol::jose::claims::IdentityAssertionClaims;
use protocol::jose::{Algorithm, Expect};
use std::time::Duration;

use crate::fixture::{self, ISSUER, PING, World, modern, post, request, tools_call};

/// What a call without a session and without options has; `host` and `content-length` are the connection's.
const PLAIN: [&str; 6] =
    ["accept", "accept-encoding", "content-length", "content-type", "host", "sekisho-identity"];

#[tokio::test]
async fn the_mcp_server_gets_what_is_on_the_list_and_nothing_else() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let mut call = post(&token, PING);
    let spoofed = [
        // PX-05
        ("cookie", "__Host-sekisho-session=secret"),
        ("dpop", "proof"),
        ("proxy-authorization", "Basic x"),
        // PX-06
        ("x-forwarded-user", "admin"),
        ("x_forwarded_user", "admin"),
        ("x-mcp-user", "admin"),
        ("x-vault-token", "secret"),
        ("sekisho-identity", "forged"),
        ("sekisho_identity", "forged"),
        ("mcp_param_x", "forged"),
        ("x-sekisho-identity", "forged"),
        // PX-07 and hop by hop
        ("connection", "close, sekisho-identity, mcp-protocol-version"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("upgrade", "websocket"),
        // PX-11
        ("forwarded", "for=10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "evil.example"),
        ("x-original-url", "/admin"),
        ("x-http-method-override", "DELETE"),
        // PX-37
        ("baggage", "user=secret"),
        ("tracestate", "a=b"),
        ("traceparent", "00-nonsense"),
        ("origin", "https://evil.example"),
        ("referer", "https://evil.example/?code=1"),
        ("user-agent", "client/1"),
        ("accept-encoding", "gzip, br"),
        ("last-event-id", "7"),
    ];
    for (name, value) in spoofed {
        call.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    world.call(call).await.unwrap();
    let seen = world.upstream.only();
    assert_eq!(seen.names(), PLAIN);
    assert_eq!(seen.header("host"), Some(world.upstream.authority().as_str()), "its own authority, not ours");
    assert_eq!((seen.method, seen.path.as_str()), (Method::POST, "/upstream/mcp"));
    assert_eq!(seen.headers["accept-encoding"], "identity");
    assert_ne!(seen.headers["sekisho-identity"], "forged");
    let everything = format!("{:?}", seen.headers);
    assert!(!everything.contains(&token) && !everything.contains("admin"), "{everything}");
}

/// PX-15: policy and MCP server see the same bytes.
#[tokio::test]
async fn the_bytes_that_were_judged_are_the_bytes_that_go_up() {
    let world = World::new().await;
    let odd = "  {\"params\" : {\"x\":1e40,\"y\":\"\\u00e9\\ud83d\\ude00\"},\r\n\t\"id\":\"\\u0031\", \"method\":\"ping\",\"jsonrpc\":\"2.0\"}\n ";
    world.call(post(&world.token(|_| {}), odd)).await.unwrap();
    assert_eq!(world.upstream.only().body, Bytes::from_static(odd.as_bytes()));
}

/// RS-163 and what 2026-07-28 mirrors.
#[tokio::test]
async fn headers_that_mirror_the_call_go_up_unchanged() {
    let world = World::new().await;
    let mut call = modern(&world.token(|_| {}), "tools/call", r#""name":"a b","arguments":{"region":"eu"}"#);
    let headers = call.headers_mut();
    headers.insert("mcp-name", HeaderValue::from_static("=?base64?YSBi?="));
    headers.insert("mcp-param-region", HeaderValue::from_static("eu"));
    headers.append("mcp-param-odd.name", HeaderValue::from_static("=?base64?w6k=?="));
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    headers.insert("traceparent", HeaderValue::from_static(traceparent));
    // 2026-07-28 has no sessions and no resuming: both are ignored (RS-159).
    headers.insert("mcp-session-id", HeaderValue::from_static("whatever"));
    headers.insert("last-event-id", HeaderValue::from_static("7"));
    world.call(call).await.unwrap();
    let seen = world.upstream.only();
    assert_eq!(seen.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(
        (seen.header("mcp-method"), seen.header("mcp-name")),
        (Some("tools/call"), Some("=?base64?YSBi?="))
    );
    assert_eq!(
        (seen.header("mcp-param-region"), seen.header("mcp-param-odd.name")),
        (Some("eu"), Some("=?base64?w6k=?="))
    );
    assert_eq!(seen.header("traceparent"), Some(traceparent));
    assert_eq!((seen.header("mcp-session-id"), seen.header("last-event-id")), (None, None));
}

/// PX-12, PX-14, RS-105: an MCP server that goes by headers sees no other call than the one that was judged.
#[tokio::test]
async fn headers_that_nothing_was_compared_with_stay_here() {
    let world = World::new().await;
    let call =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"region":"us"}}}"#;
    for (body, name, arrives) in [(PING, "wipe", None), (call, "a", Some("a"))] {
        let mut call = post(&world.token(|_| {}), body);
        call.headers_mut().insert("mcp-name", HeaderValue::from_static(name));
        call.headers_mut().insert("mcp-param-region", HeaderValue::from_static("eu"));
        world.call(call).await.unwrap();
        let seen = world.upstream.seen().pop().unwrap();
        assert_eq!((seen.header("mcp-name"), seen.header("mcp-param-region")), (arrives, None), "{body}");
    }
}

/// RS-103, PX-29.
#[tokio::test]
async fn a_parameter_header_with_forbidden_characters_is_refused() {
    let world = World::new().await;
    let mut call = modern(&world.token(|_| {}), "ping/not", "");
    call.headers_mut().insert("mcp-param-x", HeaderValue::from_bytes(b"caf\xc3\xa9").unwrap());
    assert_eq!(world.call(call).await.unwrap_err().reason(), "header_refused");
    // Nor twice: one reader takes the first and another the last.
    let mut call = modern(&world.token(|_| {}), "ping/not", "");
    for value in ["eu", "eu"] {
        call.headers_mut().append("mcp-param-x", HeaderValue::from_static(value));
    }
    assert_eq!(world.call(call).await.unwrap_err().reason(), "header_refused");
    assert!(world.upstream.seen().is_empty());
}

#[tokio::test]
async fn older_clients_have_their_version_passed_on() {
    let world = World::new().await;
    let mut call = post(&world.token(|_| {}), PING);
    call.headers_mut().insert("mcp-protocol-version", HeaderValue::from_static("2025-06-18"));
    world.call(call).await.unwrap();
    assert_eq!(world.upstream.only().header("mcp-protocol-version"), Some("2025-06-18"));
}

#[tokio::test]
async fn get_and_delete_have_no_body_and_no_content_type() {
    let world = World::new().await;
    let (_feed, body) = fixture::events_body();
    let mut body = Some(body);
    world.upstream.answers(move |_| body.take().map(fixture::events));
    let mut get = request(Method::GET, &world.token(|_| {}), "ignored");
    // SE-08: no resuming without a session.
    get.headers_mut().insert("last-event-id", HeaderValue::from_static("7"));
    // Nothing mirrors a body that is not there.
    for name in ["mcp-method", "mcp-name", "mcp-param-x"] {
        get.headers_mut().insert(name, HeaderValue::from_static("tools/call"));
    }
    let response = world.call(get).await.unwrap();
    assert_eq!(response.status(), 200);
    let seen = world.upstream.only();
    assert_eq!(seen.names(), ["accept", "accept-encoding", "host", "sekisho-identity"]);
    assert_eq!((seen.header("accept"), seen.body.len()), (Some("text/event-stream"), 0));
}

/// P-14.
#[tokio::test]
async fn the_mcp_server_is_told_who_calls_in_a_signed_assertion() {
    let world = World::new().await;
    world.call(post(&world.token(|_| {}), PING)).await.unwrap();
    let assertion = world.upstream.only().header("sekisho-identity").unwrap().to_owned();
    let expect = Expect { typ: Some(&["sekisho-identity+jwt"]), algorithms: &[Algorithm::Es256] };
    let claims: IdentityAssertionClaims = world.keys.load().verifying().verify(&assertion, &expect).unwrap();
    let now = world.claims().iat;
    assert_eq!(
        claims,
        IdentityAssertionClaims {
            iss: ISSUER.to_owned(),
            aud: "https://files.internal/mcp".to_owned(),
            sub: world.alice.to_string(),
            iat: now,
            exp: now + 120,
            client_id: fixture::CLIENT.to_owned(),
            grant_id: world.grant.to_string(),
            scope: Some("read write".to_owned()),
            groups: vec!["staff".to_owned()],
            name: Some("alice".to_owned()),
            email: Some("alice@example.com".to_owned()),
            service_account: None,
            act: None,
        }
    );
    assert_eq!(
        world.call(post(&assertion, PING)).await.unwrap_err().reason(),
        "token_invalid",
        "an assertion is no access token"
    );
}

#[tokio::test]
async fn an_assertion_is_used_again_while_enough_of_it_is_left_and_the_person_is_the_same() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let mut assertions = Vec::new();
    for (wait, groups) in [(0, None), (89, None), (1, None), (31, Some(["staff", "admins"])), (31, None)] {
        world.clock.advance(Duration::from_secs(wait));
        if let Some(groups) = groups {
            world.person("alice", &groups).await;
        }
        world.read().await;
        world.call(post(&token, PING)).await.unwrap();
        assertions.push(world.upstream.only().header("sekisho-identity").unwrap().to_owned());
    }
    assert_eq!(assertions[0], assertions[1], "30 s are left");
    assert_ne!(assertions[1], assertions[2], "less than 30 s are left");
    assert_ne!(assertions[2], assertions[3], "the groups are others");
    assert_eq!(assertions[3], assertions[4], "read again, and the same");
}

#[tokio::test]
async fn arguments_that_look_like_headers_or_paths_are_only_data() {
    let world = World::new().await;
    let message = tools_call("../admin?x=y#z%2f");
    world.call(post(&world.token(|_| {}), &message)).await.unwrap();
    let seen = world.upstream.only();
    assert_eq!((seen.path.as_str(), seen.names()), ("/upstream/mcp", PLAIN.to_vec()));
}
