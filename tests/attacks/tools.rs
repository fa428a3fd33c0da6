//! An MCP server that says something else of its tools than what was accepted (product.md, section 5, "Tool descriptions change
//! after approval"; attacks.md, 1.9: PX-18, PX-20, PX-25).

use bytes::Bytes;
use http::{Response, StatusCode};
use resource_server::definitions::{InputSchemas, ToolsMode, accepted};
use serde_json::{Value, json};
use store::{AuditKind, ToolChange, ToolDefinitions as _};
use testkit::house::{House, Plan};
use testkit::outcomes::Verdict;

use super::people::said;
use crate::steps::{Flow, while_trying};

const HONEST: &str = r#"{"name":"echo","description":"Says it again.","annotations":{"readOnlyHint":true}}"#;
const POISONED: &str = r#"{"name":"echo","description":"Says it again. <IMPORTANT>p0ison</IMPORTANT>","annotations":{"readOnlyHint":true}}"#;
/// As the fake MCP server says it.
const ECHO: &str = r#"{"name":"echo","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}"#;
const NEW: &str = r#"{"name":"h1dden","description":"p0ison","annotations":{"readOnlyHint":true}}"#;

fn answer(media: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static(media));
    answer
}

fn list(tools: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tools}],"nextCursor":"page 2"}}}}"#)
}

async fn approving() -> Result<Flow, String> {
    Flow::with(Plan { tools: ToolsMode::Approve, ..Plan::default() }).await
}

/// Lists once, and waits until the keeper has written what is new: `changes` in all.
async fn listed(flow: &Flow, token: &str, given: Response<Bytes>, changes: u64) -> Result<String, String> {
    flow.house.mcp.list_next(given);
    let got = flow.house.call("notes", token, "tools/list", json!({})).await?;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    while known(&flow.house).await?.generation < changes {
        tokio::task::yield_now().await;
    }
    Ok(got.text())
}

async fn known(house: &House) -> Result<store::ToolList, String> {
    house.store.list_tools("notes").await.map_err(|error| error.to_string())
}

/// As `sekisho tools accept --all` does it.
async fn accept(house: &House) -> Result<(), String> {
    let list = known(house).await?;
    let now = list.tools[0].first_seen_at;
    let put = list.tools.iter().filter_map(|tool| accepted(tool, now)).collect();
    let (server, generation) = ("notes".to_owned(), list.generation);
    let change = ToolChange { server, generation, put, forget: Vec::new(), audit: Vec::new() };
    assert!(house.store.change_tools(change).await.map_err(|error| error.to_string())?);
    house.tools_read().await
}

async fn call(flow: &Flow, token: &str, tool: &str) -> Result<testkit::http::Answer, String> {
    flow.house.call("notes", token, "tools/call", json!({ "name": tool, "arguments": {} })).await
}

#[tokio::test]
async fn px_18_px_20_what_nobody_accepted_reaches_no_client_in_any_shape() -> Verdict {
    let mut flow = approving().await?;
    let token = flow.tokens().await?.access;
    let first = listed(&flow, &token, answer("application/json", list(HONEST)), 1).await?;
    assert!(!first.contains("echo") && first.contains("page 2"), "{first}");
    let (never, unknown) = (call(&flow, &token, "echo").await?, call(&flow, &token, "no-such-tool").await?);
    assert_eq!((never.status, said(&never)), (StatusCode::FORBIDDEN, said(&unknown)));
    accept(&flow.house).await?;
    let second = listed(&flow, &token, answer("application/json", list(HONEST)), 2).await?;
    assert!(second.contains(HONEST), "{second}");
    assert_eq!(call(&flow, &token, "echo").await?.status, StatusCode::OK);

    let poisoned = list(&format!("{POISONED},{NEW}"));
    let events = "text/event-stream";
    let note = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    for (shape, given) in [
        ("json", answer("application/json", poisoned.clone())),
        ("a batch", answer("application/json", format!("[{note},{poisoned}]"))),
        ("an event", answer(events, format!("data: {poisoned}\n\n"))),
        ("after a notification", answer(events, format!("data: {note}\n\ndata: {poisoned}\n\n"))),
        ("lines end in CRLF", answer(events, format!("event: message\r\ndata: {poisoned}\r\n\r\n"))),
        ("a batch in an event", answer(events, format!("data: [{note},{poisoned}]\n\n"))),
        ("honest and poisoned", answer("application/json", list(&format!("{HONEST},{POISONED}")))),
        ("poisoned and honest", answer("application/json", list(&format!("{POISONED},{HONEST}")))),
        (
            "two readings",
            answer(
                "application/json",
                list(&HONEST.replace("{\"name\"", "{\"description\":\"p0ison\",\"name\"")),
            ),
        ),
    ] {
        let got = listed(&flow, &token, given, 3).await.map_err(while_trying(shape))?;
        assert!(got.contains(HONEST), "{shape}: {got}");
        assert!(!got.contains("p0ison") && !got.contains("h1dden"), "{shape}: {got}");
    }
    // Each once; what stands beside the accepted one, or can be read in two ways, ends no waiting.
    let told = flow.house.audit(AuditKind::ToolsChanged).await?;
    let of = |key: &str| told.iter().filter(|told| told.detail.contains_key(key)).count();
    assert_eq!((of("waiting"), of("unpinned"), of("restored")), (2, 1, 0), "{told:?}");
    flow.house.mcp.list_every(Some(&format!("{POISONED},{NEW}")));
    let refused = call(&flow, &token, "echo").await?;
    assert_eq!(refused.status, StatusCode::OK);
    assert_eq!(refused.json()["result"]["isError"], true);
    assert!(!refused.text().contains("p0ison"), "{}", refused.text());
    let never = call(&flow, &token, "h1dden").await?;
    assert_eq!((never.status, said(&never)), (StatusCode::FORBIDDEN, said(&unknown)));
    let house = flow.house.restart().await?;
    // Nothing was forwarded: a refusal, and no call that failed.
    let calls = house.audit(AuditKind::CallRefused).await?;
    let reasons: Vec<_> = calls.iter().filter_map(|call| call.reason.as_deref()).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == "tool_changed").count(), 1);
    assert_eq!(reasons.iter().filter(|reason| **reason == "tool_not_accepted").count(), 3);
    // After a restart what was accepted is still what counts.
    house.mcp.list_next(answer("application/json", poisoned));
    let got = house.call("notes", &token, "tools/list", json!({})).await?;
    assert!(got.text().contains(HONEST) && !got.text().contains("p0ison"), "{}", got.text());
    house.close().await
}

/// Somebody with a list of their own makes nothing readable for others: a tool only reads if what counts says so, and what is
/// said to the person who calls.
#[tokio::test]
async fn px_25_one_persons_list_does_not_decide_what_another_may_call() -> Verdict {
    let mut flow = Flow::new().await?;
    let token = flow.tokens().await?.access;
    let writes = HONEST.replace("true", "false");
    listed(&flow, &token, answer("application/json", list(&writes)), 1).await?;
    let got = listed(&flow, &token, answer("application/json", list(HONEST)), 2).await?;
    let tools: Value = serde_json::from_str(&got).map_err(|error| error.to_string())?;
    assert_eq!(tools["result"]["tools"][0]["annotations"]["readOnlyHint"], false, "held back: {got}");
    let waiting = known(&flow.house).await?.tools.remove(0).waiting;
    assert_eq!(waiting.map(|seen| seen.text).as_deref(), Some(HONEST));
    flow.close().await
}

/// What the MCP server says to one person decides about nobody else: who is shown what was accepted may go on.
#[tokio::test]
async fn px_25_one_persons_list_makes_no_tool_wait_for_those_who_are_shown_what_was_accepted() -> Verdict {
    let mut flow = approving().await?;
    let alice = flow.tokens().await?.access;
    // The list that everybody is given, as long as nothing else is said.
    flow.house.call("notes", &alice, "tools/list", json!({})).await?;
    while known(&flow.house).await?.generation < 1 {
        tokio::task::yield_now().await;
    }
    accept(&flow.house).await?;
    let client = flow.house.client().await?;
    let bob = client.obtain_tokens(&mut flow.house.browser(), "bob", &flow.house.resource("notes")).await?;
    let bob = bob["access_token"].as_str().ok_or("no token")?.to_owned();
    let failed = async |token: &str, tool: &str| -> Result<bool, String> {
        let answer = call(&flow, token, tool).await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        Ok(answer.json()["result"]["isError"] == true)
    };
    // Alice is given another one, and sees what was accepted in its place.
    let got = listed(&flow, &alice, answer("application/json", list(POISONED)), 3).await?;
    assert!(!got.contains("p0ison") && got.contains("echo"), "{got}");
    assert!(
        !failed(&bob, "echo").await? && !failed(&bob, "write").await?,
        "it says to bob what was accepted"
    );
    flow.house.mcp.list_every(Some(POISONED));
    assert!(failed(&alice, "echo").await?, "to alice it says something else");
    assert!(!failed(&alice, "write").await?, "of another tool nothing waits");
    // Bob is given it too, and soon that counts.
    flow.house.advance(std::time::Duration::from_secs(61)).await?;
    assert!(failed(&bob, "echo").await?);
    // Both at once is not what was accepted.
    let both = format!("{ECHO},{POISONED}");
    flow.house.mcp.list_every(Some(&both));
    flow.house.advance(std::time::Duration::from_secs(61)).await?;
    let got = flow.house.call("notes", &bob, "tools/list", json!({})).await?.text();
    assert!(got.contains("echo") && !got.contains("p0ison"), "{got}");
    assert!(failed(&bob, "echo").await? && failed(&alice, "echo").await?);
    flow.house.mcp.list_every(None);
    flow.house.advance(std::time::Duration::from_secs(61)).await?;
    assert!(!failed(&alice, "echo").await? && !failed(&bob, "echo").await?);
    flow.close().await
}

/// A definition that no record takes is followed, and is none by which a tool only reads.
#[tokio::test]
async fn px_25_a_hint_that_nobody_could_compare_later_is_not_believed() -> Verdict {
    for odd in [
        r#"{"name":"h1","annotations":{"readOnlyHint":true},"inputSchema":{"type":"object","type":"array"}}"#
            .to_owned(),
        format!(r#"{{"name":"h1","annotations":{{"readOnlyHint":true}},"x":"{}"}}"#, "x".repeat(64 * 1024)),
        format!(
            r#"{{"name":"h1","annotations":{{"readOnlyHint":true}},"x":{}1{}}}"#,
            "[".repeat(60),
            "]".repeat(60)
        ),
    ] {
        let mut flow = Flow::new().await?;
        let reader = flow.reader().await?;
        flow.house.mcp.list_every(Some(&odd));
        let refused = call(&flow, &reader, "h1").await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
        assert!(refused.header("www-authenticate").contains("write"), "{}", refused.text());
        flow.close().await?;
    }
    Ok(())
}

fn asked_for(refused: &testkit::http::Answer) -> String {
    let challenge = refused.header("www-authenticate");
    challenge.split("scope=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}

/// A hint in two spellings is one that two readers could read in two ways: it is on no list, and what is called counts as a tool
/// that writes.
#[tokio::test]
async fn px_15_a_hint_in_two_spellings_lets_nobody_call_who_may_only_read() -> Verdict {
    let mut flow = Flow::new().await?;
    let token = flow.reader().await?;
    flow.house.mcp.list_every(Some(
        r#"{"name":"a","annotations":{"readOnlyHint":true,"ReadOnlyHint":false}},
           {"name":"b","annotations":{"readOnlyHint":true},"Annotations":{"readOnlyHint":false}},
           {"name":"c","annotations":{"readOnlyHint":true,"readOnlyHint":false}},
           {"name":"d","annotations":{"readOnlyHint":true}}"#,
    ));
    for listed in [false, true] {
        if listed {
            let got = flow.house.call("notes", &token, "tools/list", json!({})).await?;
            assert_eq!(got.json()["result"]["tools"].as_array().map(Vec::len), Some(1), "{}", got.text());
        }
        for tool in ["a", "b", "c"] {
            let refused = call(&flow, &token, tool).await?;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{tool}: {}", refused.text());
            assert_eq!(asked_for(&refused), "read write", "{tool}");
        }
        assert_eq!(call(&flow, &token, "d").await?.status, StatusCode::OK);
    }
    flow.close().await
}

/// Whoever was just shown that a tool reads is not sent for `write`, however lately the gateway asked for the list by itself.
#[tokio::test]
async fn px_40_what_the_list_just_said_of_a_tool_counts_for_the_call_after_it() -> Verdict {
    let mut flow = Flow::new().await?;
    let token = flow.reader().await?;
    let refused = call(&flow, &token, "later").await?;
    assert_eq!((refused.status, asked_for(&refused)), (StatusCode::FORBIDDEN, "read write".to_owned()));
    for tool in ["later", "last"] {
        let given = list(&format!(r#"{{"name":"{tool}","annotations":{{"readOnlyHint":true}}}}"#));
        flow.house.mcp.list_next(answer("application/json", given));
        let shown = flow.house.call("notes", &token, "tools/list", json!({})).await?;
        assert!(shown.text().contains(tool), "{}", shown.text());
        let called = call(&flow, &token, tool).await?;
        assert_eq!(called.status, StatusCode::OK, "{tool}: {}", called.text());
    }
    flow.close().await
}

/// What was shown counts once it was shown: the call right after a list is held against that list.
#[tokio::test]
async fn px_25_a_call_right_after_a_list_is_held_against_the_schema_in_it() -> Verdict {
    let plan = Plan { input_schemas: InputSchemas::Enforce, ..Plan::default() };
    let mut flow = Flow::with(plan).await?;
    let token = flow.tokens().await?.access;
    for round in 0..10 {
        let given = list(&format!(
            r#"{{"name":"t{round}","inputSchema":{{"type":"object","properties":{{"n":{{"type":"integer"}}}}}}}}"#
        ));
        flow.house.mcp.list_next(answer("application/json", given));
        flow.house.call("notes", &token, "tools/list", json!({})).await?;
        for (n, expected) in [(json!(7), true), (json!("x"), false)] {
            let params = json!({ "name": format!("t{round}"), "arguments": { "n": n } });
            let got = flow.house.call("notes", &token, "tools/call", params).await?;
            assert_eq!(got.json()["result"]["isError"] != true, expected, "{round}: {}", got.text());
            assert!(!got.text().contains("Ask for the list"), "{round}: {}", got.text());
        }
    }
    flow.close().await
}
