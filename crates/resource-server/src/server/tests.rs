use http::{HeaderValue, Method};
use http_body_util::{BodyExt, Full};
use protocol::world::Freshness;
use store::RevocationKind;

use super::*;
use crate::fixture::{
    self, PING, SOMEBODY, World, events, events_body, modern, post, request, text, tools_call,
};

fn bare(method: Method) -> Request<Full<Bytes>> {
    let mut request = request(method, "x", PING);
    request.headers_mut().remove("authorization");
    request
}

fn said(error: &CallError) -> (u16, &'static str) {
    (error.status().as_u16(), error.reason())
}

#[tokio::test]
async fn there_are_only_the_servers_and_methods_that_there_are() {
    let world = World::new().await;
    let token = world.token(|_| {});
    for name in ["", "other", "Files", "files/", "notes2"] {
        let error = world.server.call(name, post(&token, PING), SOMEBODY).await.unwrap_err();
        assert_eq!(said(&error), (404, "server_unknown"), "{name}");
    }
    for method in
        [Method::PUT, Method::PATCH, Method::HEAD, Method::OPTIONS, Method::from_bytes(b"get").unwrap()]
    {
        let error = world.call(request(method, &token, PING)).await.unwrap_err();
        assert_eq!((said(&error), error.allow().is_some()), ((405, "method_not_allowed"), true));
    }
    assert!(world.upstream.seen().is_empty());
}

/// RS-004, RS-014 to RS-016, RS-023: whatever else is wrong with it, who has no token learns nothing else.
#[tokio::test]
async fn without_a_token_every_request_is_401_with_a_way_to_one() {
    let world = World::new().await;
    let mut odd = bare(Method::POST);
    odd.headers_mut().insert("accept", HeaderValue::from_static("text/html"));
    odd.headers_mut().insert("content-length", HeaderValue::from_static("99999999999"));
    odd.headers_mut().insert("mcp-session-id", HeaderValue::from_static("guessed"));
    for request in [bare(Method::POST), bare(Method::GET), bare(Method::DELETE), odd] {
        let error = world.call(request).await.unwrap_err();
        assert_eq!(said(&error), (401, "token_missing"));
        assert_eq!(
            error.challenge().unwrap(),
            "Bearer resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/files/mcp\", \
             scope=\"read write\""
        );
    }
    assert!(world.upstream.seen().is_empty());
}

/// PX-02, RS-025.
#[tokio::test]
async fn a_token_anywhere_else_is_no_token() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let mut query = bare(Method::POST);
    *query.uri_mut() = format!("/files/mcp?access_token={token}").parse().unwrap();
    let mut cookie = bare(Method::POST);
    cookie.headers_mut().insert("cookie", format!("access_token={token}").parse().unwrap());
    let (head, _) = bare(Method::POST).into_parts();
    let body = Request::from_parts(head, Full::new(Bytes::from(format!("access_token={token}"))));
    for request in [query, cookie, body] {
        assert_eq!(said(&world.call(request).await.unwrap_err()), (401, "token_missing"));
    }
    assert!(world.upstream.seen().is_empty());
}

#[tokio::test]
async fn a_dead_token_is_invalid_token_and_nobody_hears_of_the_call() {
    let world = World::new().await;
    for token in
        ["nonsense".to_owned(), world.token(|claims| claims.aud = format!("{}/notes/mcp", fixture::ISSUER))]
    {
        let error = world.call(post(&token, PING)).await.unwrap_err();
        assert_eq!(error.status(), 401);
        let challenge = error.challenge().unwrap().to_str().unwrap();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        assert!(!String::from_utf8(error.body().to_vec()).unwrap().contains(&token));
    }
    assert!(world.upstream.seen().is_empty());
}

/// P-2: on the node that wrote it, before the write is answered.
#[tokio::test]
async fn what_is_withdrawn_is_dead_at_once() {
    for kind in RevocationKind::ALL {
        let world = World::new().await;
        let token = world.token(|_| {});
        assert_eq!(world.answered(post(&token, PING)).await.0, 200);
        let id = match kind {
            RevocationKind::Client => fixture::CLIENT.to_owned(),
            RevocationKind::Grant => world.grant.to_string(),
            RevocationKind::Issuer => fixture::ISSUER.to_owned(),
            RevocationKind::Resource => format!("{}/files/mcp", fixture::ISSUER),
            RevocationKind::User => world.alice.to_string(),
        };
        world.stop(kind, &id).await;
        assert_eq!(
            said(&world.call(post(&token, PING)).await.unwrap_err()),
            (401, "token_revoked"),
            "{kind:?}"
        );
        world.upstream.only();
    }
}

/// I-8: with the record in doubt nothing is served, except where that was said to be of low risk.
#[tokio::test]
async fn what_was_not_read_lately_is_not_served_by() {
    let world = World::with(|_| {}).await;
    let token = world.token(|_| {});
    let error = world.call(post(&token, PING)).await.unwrap_err();
    assert_eq!(
        (said(&error), error.retry_after()),
        ((503, "revocations_stale"), Some(Duration::from_secs(2)))
    );
    world.read().await;
    assert_eq!(world.answered(post(&token, PING)).await.0, 200);
    world.clock.advance(Duration::from_millis(5001));
    assert_eq!(said(&world.call(post(&token, PING)).await.unwrap_err()), (503, "revocations_stale"));
    assert_eq!(said(&world.call(post("nonsense", PING)).await.unwrap_err()), (401, "token_invalid"));
    let low_risk = world.token(|claims| claims.aud = format!("{}/notes/mcp", fixture::ISSUER));
    assert_eq!(world.server.call("notes", post(&low_risk, PING), SOMEBODY).await.unwrap().status(), 200);
}

/// P-13, PX-20: who is not admitted is told the same whatever they ask for, and causes nothing.
#[tokio::test]
async fn whom_the_policy_does_not_admit_causes_nothing_and_learns_nothing() {
    let world = World::new().await;
    let mallory = world.person("mallory", &["guests"]).await;
    let token = world.token(|claims| {
        claims.sub = mallory.to_string();
        claims.scope = Some("read".to_owned());
    });
    let mut session = request(Method::DELETE, &token, "");
    session.headers_mut().insert("mcp-session-id", HeaderValue::from_static("guessed"));
    let calls =
        [post(&token, PING), post(&token, &tools_call("a")), request(Method::GET, &token, ""), session];
    for call in calls {
        let error = world.call(call).await.unwrap_err();
        assert_eq!(said(&error), (403, "person_not_allowed"));
        assert!(!error.challenge().unwrap().to_str().unwrap().contains("error"));
    }
    assert!(world.upstream.seen().is_empty());
}

/// RS-040, RS-044, RS-047.
#[tokio::test]
async fn too_little_scope_is_told_what_the_call_needs() {
    let world = World::new().await;
    let unknown = r#"{"jsonrpc":"2.0","id":1,"method":"x/y"}"#;
    let resources = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a"}}"#;
    for (scope, message, expected) in [
        (Some("read"), unknown, Some("read write")),
        (Some("other"), unknown, Some("other write")),
        (None, resources, Some("read")),
        (None, &tools_call("a"), Some("write")),
        (Some("read"), resources, None),
        (Some("write"), resources, None),
        (Some("write"), unknown, None),
        (Some("write"), &tools_call("a"), None),
        (None, PING, None),
    ] {
        let token = world.token(|claims| claims.scope = scope.map(str::to_owned));
        let found = world.call(post(&token, message)).await;
        let scope_of = |error: CallError| {
            assert_eq!(said(&error), (403, "scope_insufficient"));
            let challenge = error.challenge().unwrap().to_str().unwrap().to_owned();
            challenge.split_once("scope=\"").unwrap().1.split_once('"').unwrap().0.to_owned()
        };
        assert_eq!(found.err().map(scope_of).as_deref(), expected, "{scope:?} {message}");
    }
}

#[tokio::test]
async fn listening_needs_the_scope_to_read() {
    let world = World::new().await;
    world.upstream.always(405, "", "");
    for (scope, status) in [(None, 403), (Some("read"), 405), (Some("write"), 405)] {
        let token = world.token(|claims| claims.scope = scope.map(str::to_owned));
        let status_of = |r: Result<Response<Body>, CallError>| r.map_or_else(|e| e.status(), |r| r.status());
        assert_eq!(status_of(world.call(request(Method::GET, &token, "")).await), status, "{scope:?}");
    }
}

/// SE-10, P-2: the whole way, through a real connection.
#[tokio::test]
async fn an_open_stream_ends_when_the_person_is_stopped_and_a_plain_answer_may_finish() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let (stream_feed, body) = events_body();
    let mut body = Some(body);
    world.upstream.answers(move |_| body.take().map(events));
    let mut stream = world.call(post(&token, PING)).await.unwrap().into_body();
    stream_feed.send("data: {}\n\n");
    assert!(stream.frame().await.unwrap().is_ok());
    assert_eq!(world.server.counts().open_streams, 1);

    world.upstream.always(200, "application/json", "{\"late\":true}");
    let plain = world.call(post(&token, PING)).await.unwrap();
    world.stop(RevocationKind::User, &world.alice.to_string()).await;
    assert!(stream.frame().await.is_none());
    stream_feed.closed().await;
    assert_eq!(text(plain).await, "{\"late\":true}");
    assert_eq!((world.server.counts().open_streams, world.server.counts().revoked), (0, 1));
}

/// Withdrawn between the question and the beginning of the answer.
#[tokio::test]
async fn a_stream_that_begins_after_its_access_was_withdrawn_does_not_begin() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let (feed, body) = events_body();
    let (mut body, revocations, grant) = (Some(body), Arc::clone(world.server.revocations()), world.grant);
    world.upstream.answers(move |_| {
        revocations.apply(&Revocation {
            kind: RevocationKind::Grant,
            id: grant.to_string(),
            not_before: fixture::START,
            expires_at: fixture::START.plus(Duration::from_secs(3600)),
        });
        body.take().map(events)
    });
    assert_eq!(said(&world.call(post(&token, PING)).await.unwrap_err()), (401, "token_revoked"));
    feed.closed().await;
    assert_eq!(world.server.counts().open_streams, 0);
}

/// conformance.md, 4.4: JSON without an end is a stream too.
#[tokio::test]
async fn json_of_unknown_length_is_passed_as_it_comes_and_can_be_ended() {
    let world = World::new().await;
    let (feed, body) = events_body();
    let mut body = Some(body);
    world.upstream.answers(move |_| {
        let mut answer = body.take().map(events)?;
        answer.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        Some(answer)
    });
    let mut stream = world.call(post(&world.token(|_| {}), PING)).await.unwrap().into_body();
    feed.send("{\"jsonrpc\":\"2.0\"}\n");
    assert!(stream.frame().await.unwrap().is_ok());
    world.server.revocations().apply(&store::Revocation {
        kind: store::RevocationKind::Issuer,
        id: fixture::ISSUER.to_owned(),
        not_before: fixture::START,
        expires_at: fixture::START.plus(Duration::from_secs(3600)),
    });
    assert!(stream.frame().await.unwrap().is_err());
}

/// P-20, SE-07: before the MCP server is asked, and the others are not touched by it.
#[tokio::test]
async fn se_07_a_person_has_only_so_many_streams_and_the_others_have_theirs() {
    let world = World::with(|settings| settings.streams_per_person = 2).await;
    world.read().await;
    let bob = world.person("bob", &["staff"]).await;
    let (mine, others) = (world.token(|_| {}), world.token(|claims| claims.sub = bob.to_string()));
    world.upstream.answers(|_| Some(events(events_body().1)));
    let listen = |token: &str| request(Method::GET, token, "");
    let subscribe = |token: &str| modern(token, "subscriptions/listen", "");
    let first = world.call(listen(&mine)).await.unwrap();
    let second = world.call(subscribe(&mine)).await.unwrap();
    assert_eq!(world.upstream.seen().len(), 2);
    for more in [listen(&mine), subscribe(&mine)] {
        let error = world.call(more).await.unwrap_err();
        assert_eq!(said(&error), (429, "person_streams_exhausted"));
        assert!(error.retry_after().is_some());
        assert!(error.body().starts_with(b"{\"jsonrpc\":\"2.0\""));
    }
    assert!(world.upstream.seen().is_empty());
    // The person is read anew, and still holds what they hold.
    world.clock.advance(Duration::from_secs(31));
    world.read().await;
    assert_eq!(said(&world.call(listen(&mine)).await.unwrap_err()), (429, "person_streams_exhausted"));
    assert_eq!(world.call(listen(&others)).await.unwrap().status(), 200);
    assert_eq!(world.call(post(&mine, PING)).await.unwrap().status(), 200, "an answer is no such stream");
    drop(first);
    assert_eq!(world.call(listen(&mine)).await.unwrap().status(), 200);
    drop(second);
}

/// P-20: a call in progress is counted from its admission to the last byte of its answer.
#[tokio::test]
async fn a_person_has_only_so_many_calls_in_progress() {
    let world = World::with(|settings| settings.calls_per_person = 1).await;
    world.read().await;
    let bob = world.person("bob", &["staff"]).await;
    let (mine, others) = (world.token(|_| {}), world.token(|claims| claims.sub = bob.to_string()));
    world.upstream.answers(|_| Some(events(events_body().1)));
    let first = world.call(post(&mine, PING)).await.unwrap();
    let error = world.call(post(&mine, PING)).await.unwrap_err();
    assert_eq!((said(&error), error.retry_after().is_some()), ((429, "person_calls_exhausted"), true));
    assert_eq!(world.call(post(&others, PING)).await.unwrap().status(), 200);
    drop(first);
    assert_eq!(world.call(post(&mine, PING)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn over_the_number_of_streams_is_503() {
    let world = World::with(|settings| settings.open_streams = 1).await;
    world.read().await;
    let token = world.token(|_| {});
    world.upstream.answers(|_| Some(events(events_body().1)));
    let first = world.call(post(&token, PING)).await.unwrap();
    assert_eq!(said(&world.call(post(&token, PING)).await.unwrap_err()), (503, "streams_exhausted"));
    drop(first);
    assert_eq!(world.call(post(&token, PING)).await.unwrap().status(), 200);
}

/// SE-14, PX-22: one connection to the MCP server, two people, the same id.
#[tokio::test]
async fn each_gets_only_their_own_answer() {
    let world = World::new().await;
    let bob = world.person("bob", &["staff"]).await;
    let tokens = [world.token(|_| {}), world.token(|claims| claims.sub = bob.to_string())];
    world.upstream.answers(|seen| {
        let said = serde_json::json!({"jsonrpc": "2.0", "id": 1, "result": seen.json()["params"]});
        Some(fixture::answer(200, "application/json", &said.to_string()))
    });
    for round in 0..50 {
        let call = |who: usize| {
            let message = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"canary":"{who}-{round}"}}}}"#
            );
            world.answered(post(&tokens[who], &message))
        };
        let (alice, bob) = tokio::join!(call(0), call(1));
        for (who, (_, heard)) in [alice, bob].iter().enumerate() {
            assert!(heard.contains(&format!("\"canary\":\"{who}-{round}\"")), "{heard}");
        }
    }
}

#[tokio::test]
async fn settings_that_do_not_fit_together_are_refused() {
    let world = World::new().await;
    let parts = |ways| Parts {
        store: Arc::clone(&world.store) as _,
        keys: Arc::clone(&world.keys),
        keys_read: Arc::new(Freshness::for_ever()),
        mcp_servers: ways,
        clock: Arc::clone(&world.clock) as _,
        entropy: Arc::clone(&world.entropy) as _,
        timeline: store::Timeline::new(Arc::clone(&world.store) as _),
    };
    let settings = |names: &[&str]| {
        Settings::new(fixture::ISSUER.to_owned(), names.iter().map(|name| fixture::server(name)).collect())
    };
    for (names, expected) in [
        (&["files", "wiki"], SettingsError::NoWay("wiki".to_owned())),
        (&["files", "files"], SettingsError::NameRepeated("files".to_owned())),
    ] {
        let ways = fixture::ways("http://127.0.0.1:9/");
        assert_eq!(ResourceServer::new(settings(names), parts(ways)).unwrap_err(), expected);
    }
}

/// SE-10: `exp` and `stream_grace`, and not a moment longer.
#[tokio::test]
async fn a_stream_lives_as_long_as_its_token_and_the_grace() {
    let world = World::with(|settings| settings.stream_grace = Duration::from_secs(100)).await;
    world.read().await;
    let token = world.token(|_| {});
    let (feed, body) = events_body();
    let (mut body, clock) = (Some(body), Arc::clone(&world.clock));
    world.upstream.answers(move |_| {
        clock.advance(Duration::from_secs(700));
        body.take().map(events)
    });
    let mut stream = world.call(post(&token, PING)).await.unwrap().into_body();
    assert!(stream.frame().await.is_none());
    feed.closed().await;
    assert_eq!(world.server.counts().outlived, 1);
}

/// F-16: an older client can come back to its stream if that has ids, and must not be told then that the call has failed.
#[tokio::test]
async fn a_break_is_an_answer_for_whoever_cannot_come_back_and_a_break_for_others() {
    for (is_modern, id) in [(true, ""), (true, "id: 1\n"), (false, ""), (false, "id: 1\n")] {
        let world = World::new().await;
        let token = world.token(|_| {});
        let (feed, body) = events_body();
        let mut body = Some(body);
        world.upstream.answers(move |_| body.take().map(events));
        let call = if is_modern { modern(&token, "tools/list", "") } else { post(&token, PING) };
        let mut stream = world.call(call).await.unwrap().into_body();
        let event = format!("{id}data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}}\n\n");
        feed.send(&event);
        assert!(stream.frame().await.unwrap().is_ok());
        feed.break_off();
        assert_eq!(stream.frame().await.unwrap().is_ok(), is_modern || id.is_empty(), "{is_modern} {id}");
        assert_eq!(world.server.counts().cut, 1);
    }
}

/// Shutting down.
#[tokio::test]
async fn subscriptions_can_be_ended_and_the_answer_to_a_call_still_finishes() {
    let world = World::new().await;
    let token = world.token(|_| {});
    let (get, listen) = (request(Method::GET, &token, ""), modern(&token, "subscriptions/listen", ""));
    for (call, finishes) in [(get, false), (listen, false), (post(&token, PING), true)] {
        let (feed, body) = events_body();
        let mut body = Some(body);
        world.upstream.answers(move |_| body.take().map(events));
        let mut stream = world.call(call).await.unwrap().into_body();
        world.server.end_streams();
        if finishes {
            feed.send("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n");
            assert!(stream.frame().await.unwrap().is_ok());
            drop(feed);
        }
        assert!(stream.frame().await.is_none());
        let counts = world.server.counts();
        assert_eq!(counts.answered, u64::from(finishes));
    }
}

/// Each call's future is made, put into memory and moved: what few calls wait for is kept elsewhere.
#[tokio::test]
async fn what_a_call_waits_in_is_small() {
    let world = World::new().await;
    let call = world.server.call("files", post("x", PING), SOMEBODY);
    assert!(size_of_val(&call) <= 10 * 1024, "{} bytes", size_of_val(&call));
}
