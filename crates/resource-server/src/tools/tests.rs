use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderValue;

use crate::fixture::{FakeBody, Seen, World, answer, events, events_body, json, modern, post, tools_call};
use http::Response;
use std::sync::Arc;
use std::time::Duration;

const LIST: &str = r#"{"name":"reads","annotations":{"readOnlyHint":true}},
    {"name":"writes","annotations":{"readOnlyHint":false}},
    {"name":"silent"},
    {"name":"odd","annotations":{"readOnlyHint":"true"}},
    {"name":"twice","annotations":{"readOnlyHint":true}},
    {"name":"twice","annotations":{"destructiveHint":false}},
    {"name":"spelled","annotations":{"readOnlyHint":true,"ReadOnlyHint":false}},
    {"name":"cased","annotations":{"readOnlyHint":true},"Annotations":{"readOnlyHint":false}},
    {"name":"escaped","annotations":{"readOnlyHint":true,"readonly\u0048int":false}},
    {"annotations":{"readOnlyHint":true}},
    7"#;

fn is_list(seen: &Seen) -> bool {
    seen.json()["method"] == "tools/list"
}

fn page(seen: &Seen, tools: &str, next: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"tools":[{tools}]{next}}}}}"#, seen.json()["id"])
}

fn lists(tools: &'static str) -> impl FnMut(&Seen) -> Option<Response<FakeBody>> + Send {
    move |seen| Some(if is_list(seen) { json(&page(seen, tools, "")) } else { json("{}") })
}

fn reader(world: &World) -> String {
    world.token(|claims| claims.scope = Some("read".to_owned()))
}

async fn allowed(world: &World, tool: &str) -> bool {
    match world.call(post(&reader(world), &tools_call(tool))).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.reason(), "scope_insufficient");
            false
        }
    }
}

fn lists_seen(world: &World) -> usize {
    world.upstream.seen().iter().filter(|seen| is_list(seen)).count()
}

/// P-12: only what says of itself that it changes nothing is open to who may only read.
#[tokio::test]
async fn only_a_tool_that_says_so_can_be_called_by_who_may_only_read() {
    let world = World::new().await;
    world.upstream.answers(lists(LIST));
    for (tool, expected) in [
        ("reads", true),
        ("writes", false),
        ("silent", false),
        ("odd", false),
        ("twice", false),
        ("spelled", false),
        ("cased", false),
        ("escaped", false),
        ("unknown", false),
    ] {
        assert_eq!(allowed(&world, tool).await, expected, "{tool}");
    }
    assert_eq!(lists_seen(&world), 1, "one list for all");
}

#[tokio::test]
async fn who_may_write_causes_no_list() {
    let world = World::new().await;
    world.upstream.answers(lists(LIST));
    world.answered(post(&world.token(|_| {}), &tools_call("unknown"))).await;
    assert!(!is_list(&world.upstream.only()));
}

#[tokio::test]
async fn a_hint_is_good_for_a_minute() {
    let world = World::new().await;
    world.upstream.answers(lists(LIST));
    assert!(allowed(&world, "reads").await);
    world.upstream.answers(lists(r#"{"name":"reads"}"#));
    world.clock.advance(Duration::from_millis(59_999));
    world.read().await;
    assert!(allowed(&world, "reads").await);
    world.clock.advance(Duration::from_millis(1));
    assert!(!allowed(&world, "reads").await, "the tool says something else now");
}

#[tokio::test]
async fn an_unknown_tool_has_the_list_read_again_but_not_at_every_call() {
    let world = World::new().await;
    world.upstream.answers(lists(LIST));
    assert!(!allowed(&world, "new").await);
    world.upstream.answers(lists(r#"{"name":"new","annotations":{"readOnlyHint":true}}"#));
    assert!(!allowed(&world, "new").await);
    assert_eq!(lists_seen(&world), 1);
    world.clock.advance(Duration::from_secs(5));
    assert!(allowed(&world, "new").await);
    assert_eq!(lists_seen(&world), 1);
}

#[tokio::test]
async fn all_who_wait_share_one_reading() {
    let world = World::new().await;
    let (feed, body) = events_body();
    let mut body = Some(body);
    let (asked, mut heard) = tokio::sync::mpsc::unbounded_channel();
    world.upstream.answers(move |seen| {
        if !is_list(seen) {
            return Some(json("{}"));
        }
        asked.send(page(seen, LIST, "")).unwrap();
        body.take().map(events)
    });
    let calls = futures_util::future::join_all((0..8).map(|_| allowed(&world, "reads")));
    let (all, ()) = tokio::join!(calls, async {
        let list = heard.recv().await.unwrap().replace('\n', "");
        // Events of others come first, and the stream stays open after the answer.
        feed.send(&format!(
            ": hello\r\n\r\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"x\"}}\n\nid: 1\ndata: {list}\n\n"
        ));
    });
    assert_eq!(all, [true; 8]);
    assert_eq!(lists_seen(&world), 1);
    feed.closed().await;
}

/// What a client is shown by this answer.
async fn shown(world: &World, params: &str, tools: &'static str) {
    world.upstream.answers(lists(tools));
    let list = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{params}}}"#);
    assert_eq!(world.answered(post(&reader(world), &list)).await.0, 200);
    assert_eq!(lists_seen(world), 1);
}

/// P-12, P-13: what stands on the list that the very person was just shown counts at once.
#[tokio::test]
async fn a_list_that_the_client_was_shown_counts_from_then_on_and_is_not_asked_for_again() {
    let world = World::new().await;
    assert!(!allowed(&world, "reads").await, "the list was read, and holds no such tool");
    lists_seen(&world);
    shown(&world, "{}", LIST).await;
    for (tool, expected) in [("reads", true), ("writes", false), ("twice", false), ("spelled", false)] {
        assert_eq!(allowed(&world, tool).await, expected, "{tool}");
    }
    assert_eq!(lists_seen(&world), 0, "no list beside the one that was shown");
    shown(&world, "{}", r#"{"name":"reads","annotations":{"readOnlyHint":false}}"#).await;
    assert!(!allowed(&world, "reads").await, "it says something else now");
    // Nor does what one was shown count for another.
    shown(&world, "{}", r#"{"name":"mine","annotations":{"readOnlyHint":true}}"#).await;
    let bob = world.person("bob", &["staff"]).await;
    let bobs = world.token(|claims| {
        claims.sub = bob.to_string();
        claims.scope = Some("read".to_owned());
    });
    world.upstream.answers(lists("7"));
    let refused = world.call(post(&bobs, &tools_call("mine"))).await.unwrap_err();
    assert_eq!(refused.reason(), "scope_insufficient");
    assert!(allowed(&world, "mine").await);
    world.clock.advance(Duration::from_secs(60));
    world.read().await;
    assert!(!allowed(&world, "mine").await, "it counts for a minute");
}

#[tokio::test]
async fn what_stands_on_two_pages_stands_twice() {
    let world = World::new().await;
    shown(&world, "{}", r#"{"name":"a","annotations":{"readOnlyHint":true}},{"name":"b"}"#).await;
    shown(&world, r#"{"cursor":"2"}"#, r#"{"name":"a"},{"name":"b","annotations":{"readOnlyHint":true}}"#)
        .await;
    assert!(!allowed(&world, "a").await && !allowed(&world, "b").await);
    shown(&world, r#"{"cursor":"3"}"#, r#"{"name":"c","annotations":{"readOnlyHint":true}}"#).await;
    assert!(allowed(&world, "c").await);
}

/// One whose session is broken must not shut out the others.
#[tokio::test]
async fn a_reading_that_fails_counts_for_the_one_who_caused_it() {
    let world = World::new().await;
    world.upstream.always(500, "text/plain", "no");
    assert!(!allowed(&world, "reads").await && !allowed(&world, "reads").await);
    assert_eq!(lists_seen(&world), 1);
    world.upstream.answers(lists(LIST));
    assert!(!allowed(&world, "reads").await, "not so soon");
    let bob = world.person("bob", &["staff"]).await;
    let token = world.token(|claims| {
        claims.sub = bob.to_string();
        claims.scope = Some("read".to_owned());
    });
    assert_eq!(world.answered(post(&token, &tools_call("reads"))).await.0, 200);
    assert!(!allowed(&world, "reads").await, "what another was told counts for the other");
    world.clock.advance(Duration::from_secs(5));
    assert!(allowed(&world, "reads").await);
}

/// PX-25: who can put a tool on their own list must not decide what others may call.
#[tokio::test]
async fn a_hint_is_good_for_the_person_whose_list_it_stood_on_only() {
    let world = World::new().await;
    let bob = world.person("bob", &["staff"]).await;
    let bobs = world.token(|claims| {
        claims.sub = bob.to_string();
        claims.scope = Some("read".to_owned());
    });
    world.upstream.answers(lists(r#"{"name":"mine","annotations":{"readOnlyHint":true}}"#));
    assert!(allowed(&world, "mine").await);
    world.upstream.answers(lists(r#"{"name":"mine"}"#));
    let refused = world.call(post(&bobs, &tools_call("mine"))).await.unwrap_err();
    assert_eq!(refused.reason(), "scope_insufficient");
    assert!(allowed(&world, "mine").await, "and stays good for who was told");
    // The same person with another token is the same person.
    let again = world.token(|claims| {
        claims.scope = Some("read".to_owned());
        claims.jti = "another".to_owned();
    });
    world.call(post(&again, &tools_call("mine"))).await.unwrap();
    assert_eq!(lists_seen(&world), 2, "one for each person");
}

/// … but where the MCP server does not answer at all nobody needs to try, one after the other.
#[tokio::test]
async fn a_reading_that_is_not_answered_counts_for_all() {
    let world = World::new().await;
    world.upstream.answers(|_| None);
    assert!(!allowed(&world, "reads").await);
    let bob = world.person("bob", &["staff"]).await;
    let token = world.token(|claims| {
        claims.sub = bob.to_string();
        claims.scope = Some("read".to_owned());
    });
    world.call(post(&token, &tools_call("reads"))).await.unwrap_err();
    assert_eq!(lists_seen(&world), 1);
    world.upstream.answers(lists(LIST));
    world.clock.advance(Duration::from_secs(5));
    assert!(allowed(&world, "reads").await);
}

#[tokio::test]
async fn lists_that_are_none_allow_nothing() {
    type Make = fn(&Seen) -> Response<FakeBody>;
    let cases: [(&str, Make); 8] = [
        ("an error", |seen| {
            json(&format!(
                r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":1,"message":"x"}}}}"#,
                seen.json()["id"]
            ))
        }),
        ("another id", |seen| json(&page(seen, LIST, "").replace("sekisho-", "other-"))),
        ("a number as id", |_| json(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#)),
        ("not json", |_| json("<html>")),
        ("another type", |seen| answer(200, "text/plain", &page(seen, LIST, ""))),
        ("an unending list", |seen| json(&page(seen, LIST, r#","nextCursor":"again""#))),
        ("too many bytes", |seen| json(&format!("{}{}", page(seen, LIST, ""), " ".repeat(2 * 1024 * 1024)))),
        ("a stream that ends", |_| answer(200, "text/event-stream", "data: {}\n\n")),
    ];
    for (name, make) in cases {
        let world = World::new().await;
        world.upstream.answers(move |seen| Some(if is_list(seen) { make(seen) } else { json("{}") }));
        assert!(!allowed(&world, "reads").await, "{name}");
        assert!(world.upstream.seen().len() <= 10, "{name}");
    }
}

#[tokio::test]
async fn a_list_of_several_pages_is_read_to_its_end() {
    let world = World::new().await;
    let pages = Arc::new(AtomicUsize::new(0));
    world.upstream.answers(move |seen| {
        if !is_list(seen) {
            return Some(json("{}"));
        }
        let cursor = seen.json()["params"]["cursor"].clone();
        Some(json(&match pages.fetch_add(1, Ordering::SeqCst) {
            0 => {
                assert!(cursor.is_null());
                page(seen, r#"{"name":"a"}"#, r#","nextCursor":"second""#)
            }
            1 => {
                assert_eq!(cursor, "second");
                page(seen, r#"{"name":"reads","annotations":{"readOnlyHint":true}}"#, r#","nextCursor":null"#)
            }
            more => panic!("page {more}"),
        }))
    });
    assert!(allowed(&world, "reads").await);
}

/// The list is asked for in the caller's own name and era.
#[tokio::test]
async fn the_list_is_asked_for_as_the_caller_would() {
    let world = World::new().await;
    world.upstream.answers(lists(LIST));
    let token = reader(&world);
    let mut call = modern(&token, "tools/call", r#""name":"reads","arguments":{}"#);
    call.headers_mut().insert("mcp-name", HeaderValue::from_static("reads"));
    call.headers_mut().insert("mcp-param-secret", HeaderValue::from_static("x"));
    world.call(call).await.unwrap();
    let seen = world.upstream.seen();
    let [list, call] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(
        list.names(),
        [
            "accept",
            "accept-encoding",
            "content-length",
            "content-type",
            "host",
            "mcp-method",
            "mcp-protocol-version",
            "sekisho-identity"
        ]
    );
    assert_eq!(
        (list.header("mcp-method"), list.header("mcp-protocol-version")),
        (Some("tools/list"), Some("2026-07-28"))
    );
    assert_eq!(list.header("sekisho-identity"), call.header("sekisho-identity"));
    let params = &list.json()["params"];
    assert_eq!(params["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert!(params["_meta"]["io.modelcontextprotocol/clientCapabilities"].is_object());
    let read = protocol::mcp::McpCall::read(&list.headers, &list.body).unwrap();
    assert!(read.modern && read.method == "tools/list");
}
