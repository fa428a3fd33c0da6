//! Lists that come where nobody asked for them, and answers to a list request that are none (attacks.md, 1.9: PX-18):
//! whichever way the words of an MCP server come, a tool that its reader may not call is not among them.

use bytes::Bytes;
use http::{Response, StatusCode};
use policy::PolicyFile;
use serde_json::{Value, json};
use store::AuditKind;
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::outcomes::Verdict;

use crate::steps::Flow;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const NOTE: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
const DONE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"resultType":"complete"}}"#;
/// All the tools, and those that may be seen.
const ALL: &str = r#"[{"name":"h1dden"},{"name":"echo"}]"#;
const SEEN: &str = r#"[{"name":"echo"}]"#;

fn forbidding(text: &str) -> Plan {
    let file = PolicyFile { name: "a.cedar".to_owned(), text: text.to_owned() };
    Plan { policies: vec![file], ..Plan::default() }
}

/// Of somebody who may do everything but with what is hidden.
async fn flow() -> Result<Flow, String> {
    let hidden = r#"
        @id("no-tool") forbid (principal, action == Action::"call", resource == Tool::"notes/h1dden");
        @id("no-prompt") forbid (principal, action == Action::"get", resource == Prompt::"notes/h1dden");
        @id("no-file") forbid (principal, action == Action::"read", resource in McpServer::"notes")
            when { resource.uri like "*h1dden*" };"#;
    Flow::with(forbidding(hidden)).await
}

fn answer(media: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static(media));
    answer
}

async fn call(house: &House, token: &str, given: Response<Bytes>) -> Result<Answer, String> {
    house.mcp.answer_next(given);
    house.call("notes", token, "tools/call", json!({"name": "odd", "arguments": {}})).await
}

/// The same by the rules of MCP 2025-11-25.
async fn call_as_before(house: &House, token: &str, given: Response<Bytes>) -> Result<Answer, String> {
    house.mcp.answer_next(given);
    call_by_name(house, token, "odd").await
}

async fn call_by_name(house: &House, token: &str, name: &str) -> Result<Answer, String> {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let message =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": {}}});
    house.http.post_json(&house.resource("notes"), &headers, &message).await
}

fn event(data: &str) -> String {
    format!("event: message\ndata: {}\n\n", data.replace('\n', "\ndata: "))
}

fn list(id: &str, member: &str, items: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"{member}":{items}}}}}"#)
}

/// Texts that name what is hidden to somebody who asked for something else, and what of them may be seen; nothing if that
/// is nothing.
fn strays() -> Vec<(&'static str, String, Option<String>)> {
    let named = |member: &str, name: &str| {
        let items = ALL.replace("\"name\"", &format!("\"{name}\""));
        let seen = SEEN.replace("\"name\"", &format!("\"{name}\""));
        (list("777", member, &items), Some(list("777", member, &seen)))
    };
    let (foreign, seen) = (list("777", "tools", ALL), list("777", "tools", SEEN));
    let (prompts, seen_prompts) = named("prompts", "name");
    let (resources, seen_resources) = named("resources", "uri");
    let (templates, seen_templates) = named("resourceTemplates", "uriTemplate");
    let error = |data: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":777,"error":{{"code":-32000,"message":"m","data":{data}}}}}"#)
    };
    vec![
        ("its own id", list("1", "tools", ALL), Some(list("1", "tools", SEEN))),
        ("another id", foreign.clone(), Some(seen.clone())),
        ("a text for an id", list("\"777\"", "tools", ALL), Some(list("\"777\"", "tools", SEEN))),
        ("prompts", prompts, seen_prompts),
        ("resources", resources, seen_resources),
        ("templates", templates, seen_templates),
        ("a batch", format!("[{foreign},{DONE}]"), Some(format!("[{seen},{DONE}]"))),
        ("two texts", format!("{DONE}{foreign}"), None),
        ("a line behind it", format!("{DONE}\n{foreign}"), None),
        ("words before it", format!("garbage {foreign}"), None),
        ("a text that holds it", json!(foreign).to_string(), None),
        ("a bare list", format!(r#"{{"jsonrpc":"2.0","id":777,"result":{ALL}}}"#), None),
        (
            "a bare text",
            r#"{"jsonrpc":"2.0","id":777,"result":"h1dden, and all that else there is to call"}"#.into(),
            None,
        ),
        ("an error", error(&format!(r#"{{"tools":{ALL}}}"#)), None),
        ("a result in an error", error(&format!(r#"{{"result":{{"tools":{ALL}}}}}"#)), None),
        (
            "a notification",
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{{"tools":{ALL}}}}}"#
            ),
            None,
        ),
        ("tools in another case", foreign.replace("tools", "TOOLS"), None),
    ]
}

/// One rule for JSON and for events: filtered by item, or not there at all; and who called is told if there is no answer.
#[tokio::test]
async fn px_18_a_list_in_the_answer_to_something_else_shows_nothing_that_is_hidden() -> Verdict {
    let mut flow = flow().await?;
    let token = flow.tokens().await?.access;
    let house = &flow.house;
    for (shape, text, seen) in strays() {
        for got in [
            call(house, &token, answer(JSON, text.clone())).await?,
            call_as_before(house, &token, answer(JSON, text.clone())).await?,
        ] {
            assert_eq!(got.status, StatusCode::OK, "{shape}: {}", got.text());
            let body = got.text();
            assert!(!body.contains("h1dden") && body.len() == text.len(), "{shape}: {body}");
            match &seen {
                Some(seen) => assert_eq!(body.trim_end(), seen, "{shape}"),
                None => assert_eq!(
                    (&got.json()["id"], &got.json()["error"]["code"]),
                    (&json!(1), &json!(-32603)),
                    "{shape}: {body}"
                ),
            }
        }
        let stream = [event(NOTE), event(&text), event(NOTE)].concat();
        let got = call(house, &token, answer(EVENTS, stream)).await?.text();
        match seen {
            Some(seen) => assert_eq!(got, [event(NOTE), event(&seen), event(NOTE)].concat(), "{shape}"),
            None => told_after(&got, &[event(NOTE), event(NOTE)].concat(), shape),
        }
    }
    // Who called and no other may be told by an error what there is, and by the content of a result.
    for told in [
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"m","data":{"tools":["a"]}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"structuredContent":{"tools":[{"name":"a"}]}}}"#,
    ] {
        assert_eq!(call(house, &token, answer(JSON, told)).await?.text(), told);
        assert_eq!(call(house, &token, answer(EVENTS, event(told))).await?.text(), event(told));
    }
    flow.close().await
}

/// What comes where a list was asked for, and is none.
#[tokio::test]
async fn px_18_what_is_no_list_answers_no_request_for_one() -> Verdict {
    let mut flow = flow().await?;
    let token = flow.tokens().await?.access;
    let house = &flow.house;
    let error = |data: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32000,"message":"m","data":{data}}}}}"#)
    };
    let mut refused = 0;
    for (shape, text) in [
        ("a bare list", format!(r#"{{"jsonrpc":"2.0","id":1,"result":{ALL}}}"#)),
        ("a text", r#"{"jsonrpc":"2.0","id":1,"result":"h1dden"}"#.to_owned()),
        ("nothing", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned()),
        ("another list", list("1", "prompts", ALL)),
        ("an error", error(&format!(r#"{{"tools":{ALL}}}"#))),
        ("a result in an error", error(&format!(r#"{{"result":{{"tools":{ALL}}}}}"#))),
        (
            "a notification",
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/x","params":{{"result":{{"tools":{ALL}}}}}}}"#
            ),
        ),
        ("somebody else's answer", list("777", "tools", SEEN)),
    ] {
        house.mcp.list_next(answer(JSON, text.clone()));
        let got = house.call("notes", &token, "tools/list", json!({})).await?;
        assert_eq!(got.status, StatusCode::BAD_GATEWAY, "{shape}: {}", got.text());
        assert_eq!((&got.json()["id"], &got.json()["error"]["code"]), (&json!(1), &json!(-32603)), "{shape}");
        assert!(!got.text().contains("h1dden"), "{shape}");
        house.mcp.list_next(answer(EVENTS, event(&text)));
        let got = house.call("notes", &token, "tools/list", json!({})).await?.text();
        assert!(
            !got.contains("h1dden") && got.contains("-32603") && got.contains("\"id\":1"),
            "{shape}: {got}"
        );
        refused += 1;
    }
    // Beside a good list: what names the rest of them is taken out, and the list stays.
    let good = list("1", "tools", SEEN);
    for (shape, text) in [
        ("its meta data", good.replace("]}}", &format!(r#"],"_meta":{{"tools":{ALL}}}}}}}"#))),
        (
            "a member of the result",
            good.replace("]}}", &format!(r#"],"x":{{"result":{{"tools":{ALL}}}}}}}}}"#)),
        ),
        ("a member of the message", good.replace("]}}", &format!(r#"]}},"x":{{"tools":{ALL}}}}}"#))),
    ] {
        for (media, text) in [(JSON, text.clone()), (EVENTS, event(&text))] {
            house.mcp.list_next(answer(media, text));
            let got = house.call("notes", &token, "tools/list", json!({})).await?;
            let expected = if media == JSON { good.clone() } else { event(&good) };
            assert_eq!((got.status, got.text()), (StatusCode::OK, expected), "{shape}");
        }
    }
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house.restart().await?;
    let calls = house.audit(AuditKind::Call).await?;
    let unreadable = calls.iter().filter(|call| call.reason.as_deref() == Some("list_unreadable"));
    assert_eq!(unreadable.count(), refused);
    house.close().await
}

/// This came, and then an error that answers the call: its answer did not.
fn told_after(got: &str, came: &str, shape: &str) {
    let told = got.strip_prefix(came).and_then(|rest| rest.strip_prefix("data: ")).unwrap_or_default();
    let told: Value = serde_json::from_str(told).unwrap_or_default();
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!(1), &json!(-32603)), "{shape}: {got}");
}

/// Comments, ids, kinds and times of events, and fields that nobody knows.
#[tokio::test]
async fn px_18_nothing_beside_the_data_of_an_event_carries_a_name_past() -> Verdict {
    let mut flow = flow().await?;
    let token = flow.tokens().await?.access;
    let house = &flow.house;
    let (long, foreign) = ("x".repeat(40_000), list("777", "tools", ALL));
    let large = DONE.replace("[]", &format!(r#"[{{"type":"text","text":"{long}"}}]"#));
    for (shape, line, is_there) in [
        ("a comment", format!(": {foreign}"), true),
        ("an id", format!("id: {foreign}"), true),
        ("a time", format!("retry: {foreign}"), true),
        ("a field", format!("more: {foreign}"), true),
        ("a name alone", "h1dden".to_owned(), true),
        ("a kind", format!("event: {foreign}"), false),
    ] {
        for data in [DONE, large.as_str()] {
            for stream in [format!("{line}\ndata: {data}\n\n"), format!("data: {data}\n{line}\n\n")] {
                let got = call(house, &token, answer(EVENTS, [stream, event(NOTE)].concat())).await?.text();
                assert!(!got.contains("h1dden"), "{shape}");
                assert!(got.contains(&event(NOTE)), "{shape}: what follows is there");
                let whole = got.contains(&format!("data: {data}\n"));
                assert!(whole || !is_there, "{shape}: the answer is there: {}", got.len());
                let told = got.contains("-32603") && got.contains(r#""id":1,"error""#);
                assert!(whole || told, "{shape}: whoever called is told");
                assert!(!is_there || got.ends_with(&event(NOTE)), "{shape}: once");
            }
        }
    }
    // The control: what means something to a reader of events is there as it came.
    let stream = format!(
        ":\n\nid: 7_a/b=\nretry: 1000\nevent: message\ndata: {DONE}\n\nid: 8\ndata:\n\n{}",
        event(NOTE)
    );
    assert_eq!(call(house, &token, answer(EVENTS, stream.clone())).await?.text(), stream);
    flow.close().await
}

/// What could not be called by its name is not shown (product.md, P-13).
#[tokio::test]
async fn px_18_a_tool_whose_name_nobody_can_write_is_not_shown() -> Verdict {
    let mut flow = Flow::new().await?;
    let token = flow.tokens().await?.access;
    let house = &flow.house;
    let names = ["a\u{1b}[31mred", "b\nline", "c\rcr", "d\ttab", "e\0nul", "f\u{85}"];
    let mut tools: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    tools.push(json!({"name": "g \u{fc}"}));
    let given = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}});
    house.mcp.list_next(answer(JSON, given.to_string()));
    let got = house.call("notes", &token, "tools/list", json!({})).await?;
    assert_eq!(got.json()["result"]["tools"], json!([{"name": "g \u{fc}"}]));
    for name in names {
        let called = call_by_name(house, &token, name).await?;
        assert_eq!(called.status, StatusCode::BAD_REQUEST, "{name:?}");
    }
    flow.close().await
}

/// To whom a policy refuses the list, no other answer brings it.
#[tokio::test]
async fn px_18_who_may_not_ask_for_a_list_is_not_brought_it_by_another_answer() -> Verdict {
    let forbidden =
        r#"@id("no-list") forbid (principal, action == Action::"list", resource in McpServer::"notes");"#;
    let mut flow = Flow::with(forbidding(forbidden)).await?;
    let token = flow.tokens().await?.access;
    let house = &flow.house;
    let asked = house.call("notes", &token, "tools/list", json!({})).await?;
    assert_eq!(asked.status, StatusCode::FORBIDDEN, "{}", asked.text());
    let stray = list("777", "tools", ALL);
    let got = call(house, &token, answer(EVENTS, [event(&stray), event(DONE)].concat())).await?.text();
    assert_eq!(got, [event(&list("777", "tools", "[]")), event(DONE)].concat());
    let got = call(house, &token, answer(JSON, stray)).await?.text();
    assert_eq!(got.trim_end(), list("777", "tools", "[]"));
    flow.close().await
}
