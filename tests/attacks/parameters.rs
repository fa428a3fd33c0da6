//! Arguments that a tool has mirrored into headers (attacks.md, 1.9: PX-29; requirements RS-100 to RS-106 and RS-163): a tool that
//! names headers against the rules is on no list, and a header says what its argument says, or nothing is forwarded.

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderValue, Response, StatusCode};
use resource_server::definitions::{ToolsMode, accepted};
use serde_json::{Value, json};
use store::{AuditKind, ToolChange, ToolDefinitions as _};
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::outcomes::Verdict;

use crate::steps::{Flow, while_trying};

const ECHO: &str = r#"{"name":"echo","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}"#;

/// A tool of this name with these properties.
fn tool(name: &str, properties: &Value) -> String {
    let schema = json!({ "type": "object", "properties": properties });
    json!({ "name": name, "inputSchema": schema, "annotations": { "readOnlyHint": true } }).to_string()
}

fn mirrored(kind: &str, name: &str) -> Value {
    json!({ "type": kind, "x-mcp-header": name })
}

fn answer(media: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert("content-type", HeaderValue::from_static(media));
    answer
}

fn list(tools: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"resultType":"complete","tools":[{tools}]}}}}"#)
}

async fn listed(flow: &Flow, token: &str, given: Response<Bytes>) -> Result<String, String> {
    flow.house.mcp.list_next(given);
    let got = flow.house.call("notes", token, "tools/list", json!({})).await?;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    Ok(got.text())
}

/// Calls the tool `echo` with these headers.
async fn call(
    house: &House,
    token: &str,
    headers: &[(&str, &str)],
    arguments: &Value,
) -> Result<Answer, String> {
    let params = json!({ "name": "echo", "arguments": arguments });
    let mut request = house.call_request("notes", token, "tools/call", params)?;
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).map_err(|error| error.to_string())?;
        let value = HeaderValue::try_from(*value).map_err(|error| error.to_string())?;
        request.headers_mut().append(name, value);
    }
    house.http.send(request).await
}

/// How many calls of tools have reached the MCP server.
fn arrived(house: &House) -> usize {
    house.mcp.received().iter().filter(|it| it.json()["method"] == "tools/call").count()
}

/// Headers, arguments, and whether the call is forwarded.
type Case<'c> = (&'c [(&'c str, &'c str)], Value, bool);

async fn try_all(house: &House, token: &str, cases: &[Case<'_>]) -> Verdict {
    for (headers, arguments, passes) in cases {
        let (what, before) = (format!("{headers:?} {arguments}"), arrived(house));
        let got = call(house, token, headers, arguments).await.map_err(while_trying(&what))?;
        if *passes {
            assert_eq!(got.status, StatusCode::OK, "{what}: {}", got.text());
            assert_eq!(arrived(house), before + 1, "{what}");
            let seen = house.mcp.received().pop().ok_or("nothing arrived")?;
            for (name, value) in *headers {
                assert_eq!(seen.header(name), *value, "{what}");
            }
        } else {
            assert_eq!(got.status, StatusCode::BAD_REQUEST, "{what}: {}", got.text());
            assert_eq!(
                (&got.json()["error"]["code"], &got.json()["id"]),
                (&json!(-32020), &json!(1)),
                "{what}"
            );
            assert_eq!(arrived(house), before, "{what}: nothing is forwarded");
        }
    }
    Ok(())
}

#[tokio::test]
async fn px_29_a_tool_that_names_headers_against_the_rules_is_on_no_list_however_it_comes() -> Verdict {
    let mut flow = Flow::new().await?;
    let token = flow.tokens().await?.access;
    let good = mirrored("string", "Region");
    let odd = [
        ("Authorization", json!({ "a": mirrored("string", "Authorization") })),
        ("Host", json!({ "a": mirrored("string", "hOST") })),
        ("empty", json!({ "a": mirrored("string", "") })),
        ("no token", json!({ "a": mirrored("string", "a b") })),
        ("line ends", json!({ "a": mirrored("string", "a\r\nAuthorization: Bearer x") })),
        ("not ascii", json!({ "a": mirrored("string", "caf\u{e9}") })),
        ("no text", json!({ "a": { "type": "string", "x-mcp-header": 7 } })),
        ("twice", json!({ "a": good, "b": mirrored("integer", "REGION") })),
        ("a number", json!({ "a": mirrored("number", "A") })),
        ("an object", json!({ "a": mirrored("object", "A") })),
        ("in items", json!({ "a": { "type": "array", "items": good } })),
        ("in oneOf", json!({ "a": { "oneOf": [{ "properties": { "b": good } }] } })),
        ("in not", json!({ "a": { "not": { "properties": { "b": good } } } })),
        ("in then", json!({ "a": { "if": true, "then": { "properties": { "b": good } } } })),
    ];
    let mut tools: Vec<(&str, String)> =
        odd.into_iter().map(|(what, properties)| (what, tool("h1dden", &properties))).collect();
    let escaped = tool("h1dden", &json!({ "a": mirrored("string", "Host") }));
    tools.push(("an escape in the key", escaped.replace("x-mcp-header", "x-mcp\\u002dheader")));
    let note = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let events = "text/event-stream";
    let kept = tool("kept", &json!({ "region": good, "x-mcp-header": { "type": "number" } }));
    let mut dropped = 0;
    for (what, odd) in &tools {
        let whole = list(&format!("{ECHO},{odd},{kept}"));
        for (shape, given) in [
            ("json", answer("application/json", whole.clone())),
            ("a batch", answer("application/json", format!("[{note},{whole}]"))),
            ("an event", answer(events, format!("data: {whole}\n\n"))),
            ("after a notification", answer(events, format!("data: {note}\n\ndata: {whole}\n\n"))),
            ("a batch in an event", answer(events, format!("data: [{note},{whole}]\n\n"))),
        ] {
            let got = listed(&flow, &token, given).await?;
            assert!(!got.contains("h1dden"), "{what}, {shape}: {got}");
            assert!(got.contains(ECHO) && got.contains(&kept), "{what}, {shape}: {got}");
            dropped += 1;
        }
    }
    flow.house = flow.house.restart().await?;
    let calls = flow.house.audit(AuditKind::Call).await?;
    let counted = calls.iter().filter(|call| call.reason.as_deref() == Some("filter_dropped")).count();
    assert_eq!(counted, dropped, "each list is written down as one of which something was taken out");
    flow.close().await
}

#[tokio::test]
async fn px_29_rs_100_a_header_says_what_its_argument_says_or_nothing_is_forwarded() -> Verdict {
    let mut flow = Flow::new().await?;
    let token = flow.tokens().await?.access;
    let echo = tool(
        "echo",
        &json!({
            "region": mirrored("string", "Region"),
            "at": { "type": "object", "properties": { "row": mirrored("integer", "Row") } },
            "flag": mirrored("boolean", "Flag"),
        }),
    );
    assert!(listed(&flow, &token, answer("application/json", list(&echo))).await?.contains("Region"));
    const REGION: &str = "mcp-param-region";
    const ROW: &str = "mcp-param-row";
    let row = |number: Value| json!({ "at": { "row": number } });
    try_all(
        &flow.house,
        &token,
        &[
            (&[(REGION, "eu")], json!({ "region": "eu" }), true),
            (&[("Mcp-Param-REGION", "eu")], json!({ "region": "eu" }), true),
            (&[], json!({}), true),
            (&[], json!({ "region": null }), true),
            (&[(REGION, "=?base64?w6k=?=")], json!({ "region": "\u{e9}" }), true),
            (&[(REGION, "=?base64?ZXU=?=")], json!({ "region": "eu" }), true),
            (
                &[(ROW, "42.0"), ("mcp-param-flag", "true")],
                json!({ "at": { "row": 42 }, "flag": true }),
                true,
            ),
            (&[(ROW, "9007199254740991")], row(json!(9_007_199_254_740_991_i64)), true),
            // What nothing here names goes on as it came (RS-163).
            (&[("mcp-param-other", "eu"), ("mcp-param-authorization", "x")], json!({}), true),
            (&[(REGION, "eu")], json!({ "region": "us" }), false),
            (&[(REGION, "EU")], json!({ "region": "eu" }), false),
            (&[], json!({ "region": "eu" }), false),
            (&[(REGION, "eu")], json!({}), false),
            (&[(REGION, "null")], json!({ "region": null }), false),
            (&[(REGION, "eu"), (REGION, "eu")], json!({ "region": "eu" }), false),
            (&[(REGION, "=?base64?ZXU?=")], json!({ "region": "eu" }), false),
            (&[(REGION, "=?base64?!!?=")], json!({ "region": "=?base64?!!?=" }), false),
            (&[(REGION, "eu")], json!({ "region": "eu", "Region": "us" }), false),
            (&[(ROW, "42")], row(json!(43)), false),
            (&[(ROW, "9007199254740993")], row(json!(9_007_199_254_740_993_i64)), false),
            (&[], row(json!(42)), false),
            (&[("mcp-param-flag", "True")], json!({ "flag": true }), false),
        ],
    )
    .await?;
    flow.house = flow.house.restart().await?;
    let refused = flow.house.audit(AuditKind::CallRefused).await?;
    let reasons = |reason: &str| refused.iter().filter(|call| call.reason.as_deref() == Some(reason)).count();
    assert_eq!((reasons("parameter_mismatch"), reasons("header_refused")), (10, 3));
    flow.close().await
}

/// RS-163: what is not recognised is forwarded. And what nobody here was told, nobody here can hold against a call.
#[tokio::test]
async fn rs_101_rs_163_without_a_definition_only_the_encoding_is_looked_at() -> Verdict {
    let mut flow = Flow::new().await?;
    let token = flow.tokens().await?.access;
    try_all(
        &flow.house,
        &token,
        &[
            (&[("mcp-param-region", "eu")], json!({ "region": "us" }), true),
            (&[("mcp-param-region", "=?base64?ZXU=?=")], json!({}), true),
            (&[("mcp-param-region", "=?base64?ZXU")], json!({}), true),
            (&[("mcp-param-region", "=?base64?ZXU?=")], json!({ "region": "eu" }), false),
            (&[("mcp-param-region", "=?base64?!!!!?=")], json!({ "region": "eu" }), false),
            (&[("mcp-param-region", "=?base64?/w==?=")], json!({ "region": "eu" }), false),
        ],
    )
    .await?;
    flow.close().await
}

/// Whom the MCP server shows another definition sends what that one asks for, and nobody decides it for others.
#[tokio::test]
async fn px_25_rs_100_what_counts_for_a_person_is_the_list_that_they_were_shown() -> Verdict {
    let mut flow = Flow::new().await?;
    let token = flow.tokens().await?.access;
    let one = tool("echo", &json!({ "region": mirrored("string", "Region") }));
    let other = tool("echo", &json!({ "region": mirrored("string", "Zone") }));
    const EU: &[(&str, &str)] = &[("mcp-param-region", "eu")];
    const ZONE: &[(&str, &str)] = &[("mcp-param-zone", "eu")];
    let region = json!({ "region": "eu" });
    listed(&flow, &token, answer("application/json", list(&one))).await?;
    try_all(&flow.house, &token, &[(EU, region.clone(), true), (ZONE, region.clone(), false)]).await?;
    listed(&flow, &token, answer("text/event-stream", format!("data: {}\n\n", list(&other)))).await?;
    try_all(&flow.house, &token, &[(EU, region.clone(), false), (ZONE, region.clone(), true)]).await?;
    // It asks for none any more.
    listed(&flow, &token, answer("application/json", list(ECHO))).await?;
    try_all(&flow.house, &token, &[(&[], region.clone(), true), (EU, json!({}), true)]).await?;
    flow.close().await
}

#[tokio::test]
async fn rs_100_where_definitions_are_accepted_the_accepted_one_is_held_against_calls_without_a_list()
-> Verdict {
    let mut flow = Flow::with(Plan { tools: ToolsMode::Approve, ..Plan::default() }).await?;
    let token = flow.tokens().await?.access;
    let echo = tool("echo", &json!({ "region": mirrored("string", "Region") }));
    let flawed = tool("flawed", &json!({ "region": mirrored("string", "Host") }));
    listed(&flow, &token, answer("application/json", list(&format!("{echo},{flawed}")))).await?;
    let known = loop {
        let known = flow.house.store.list_tools("notes").await.map_err(|error| error.to_string())?;
        if known.generation > 0 {
            break known;
        }
        tokio::task::yield_now().await;
    };
    let put = known.tools.iter().filter_map(|tool| accepted(tool, tool.first_seen_at)).collect();
    let (server, generation) = ("notes".to_owned(), known.generation);
    let change = ToolChange { server, generation, put, forget: Vec::new(), audit: Vec::new() };
    assert!(flow.house.store.change_tools(change).await.map_err(|error| error.to_string())?);
    flow.house.tools_read().await?;
    let (right, wrong) = (json!({ "region": "eu" }), json!({ "region": "us" }));
    const EU: &[(&str, &str)] = &[("mcp-param-region", "eu")];
    try_all(&flow.house, &token, &[(EU, right, true), (EU, wrong.clone(), false), (&[], wrong, false)])
        .await?;
    // Whoever accepted it: no client may show it.
    let got = listed(&flow, &token, answer("application/json", list(&format!("{echo},{flawed}")))).await?;
    assert!(got.contains("echo") && !got.contains("flawed"), "{got}");
    flow.close().await
}
