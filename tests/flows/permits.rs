//! Somebody whom nothing admits but a `permit` of the policies (product.md, P-13): they get as far as it says.

use http::StatusCode;
use policy::PolicyFile;
use serde_json::{Value, json};
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::outcomes::Verdict;

const ONE_TOOL: &str = r#"
    @id("engineers-come-in") permit (principal in Group::"engineering", action == Action::"connect", resource == McpServer::"ledger");
    @id("one-tool") permit (principal in Group::"engineering", action == Action::"call", resource == Tool::"ledger/echo");"#;

fn plan(policies: &str) -> Plan {
    let policies = vec![PolicyFile { name: "a.cedar".to_owned(), text: policies.to_owned() }];
    Plan { policies, permits: true, ..Plan::default() }
}

/// A message of an older client, within its session.
async fn send(house: &House, token: &str, session: &str, message: &Value) -> Result<Answer, String> {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    if !session.is_empty() {
        headers.push(("mcp-session-id", session));
    }
    house.http.post_json(&house.resource("ledger"), &headers, message).await
}

fn request(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// One permit to come in and one for a tool are enough for a client to go its whole way, and for nothing beside it.
#[tokio::test]
async fn a_permit_for_one_tool_is_enough_for_a_whole_client_and_for_nothing_else() -> Verdict {
    let house = House::with(plan(ONE_TOOL)).await?;
    let client = house.client().await?;
    let resource = house.resource("ledger");
    let tokens = client.obtain_tokens(&mut house.browser(), "alice", &resource).await?;
    let token = tokens["access_token"].as_str().ok_or("no token")?.to_owned();
    house.remember_secret(&token);
    house.remember_secret(tokens["refresh_token"].as_str().ok_or("no refresh token")?);
    let hello = json!({
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
    });
    let begun = send(&house, &token, "", &request("initialize", &hello)).await?;
    assert_eq!(begun.status, StatusCode::OK, "{}", begun.text());
    let session = begun.header("mcp-session-id").to_owned();
    let ask =
        async |method: &str, params: Value| send(&house, &token, &session, &request(method, &params)).await;
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(send(&house, &token, &session, &initialized).await?.status, StatusCode::ACCEPTED);
    let answered = json!({"jsonrpc": "2.0", "id": 7, "result": {}});
    assert_eq!(send(&house, &token, &session, &answered).await?.status, StatusCode::ACCEPTED);
    assert_eq!(ask("ping", json!({})).await?.status, StatusCode::OK);
    let list = ask("tools/list", json!({})).await?;
    assert_eq!(list.status, StatusCode::OK, "{}", list.text());
    let tools = list.json()["result"]["tools"].as_array().cloned().ok_or("no list")?;
    let names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(names, ["echo"]);
    let called = ask("tools/call", json!({"name": "echo", "arguments": {"said": "hello"}})).await?;
    assert!(called.status == StatusCode::OK && called.text().contains("hello"), "{}", called.text());
    let before = house.mcp.received().len();
    for (method, params) in [
        ("tools/call", json!({"name": "write", "arguments": {}})),
        ("tools/call", json!({"name": "ech", "arguments": {}})),
        ("tools/call", json!({"name": "echo/", "arguments": {}})),
        ("prompts/get", json!({"name": "echo"})),
        ("resources/read", json!({"uri": "echo"})),
        ("resources/subscribe", json!({"uri": "echo"})),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "echo"}})),
        ("vendor/echo", json!({"name": "echo"})),
    ] {
        let refused = ask(method, params).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{method}: {}", refused.text());
        assert!(!refused.header("www-authenticate").contains("insufficient_scope"), "{method}");
    }
    // A call in the clothes of a notification, too.
    let disguised = json!({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "write"}});
    assert_eq!(send(&house, &token, &session, &disguised).await?.status, StatusCode::FORBIDDEN);
    assert_eq!(house.mcp.received().len(), before, "nothing of it reached the MCP server");
    house.close().await
}

/// A `forbid` wins over all of that, and nobody else comes in.
#[tokio::test]
async fn a_forbid_takes_the_list_from_whom_a_permit_let_in_and_others_stay_out() -> Verdict {
    let forbid =
        r#"@id("no-lists") forbid (principal in Group::"engineering", action == Action::"list", resource);"#;
    let permits = ONE_TOOL.replace("engineering", "finance");
    let house = House::with(plan(&format!("{permits}{forbid}"))).await?;
    let client = house.client().await?;
    let out = client.obtain_tokens(&mut house.browser(), "alice", &house.resource("ledger")).await;
    assert!(out.is_err(), "alice is in neither access nor a permit");
    house.close().await?;
    let house = House::with(plan(&format!("{ONE_TOOL}{forbid}"))).await?;
    let client = house.client().await?;
    let tokens = client.obtain_tokens(&mut house.browser(), "alice", &house.resource("ledger")).await?;
    let token = tokens["access_token"].as_str().ok_or("no token")?;
    let list = house.call("ledger", token, "tools/list", json!({})).await?;
    assert_eq!(list.status, StatusCode::FORBIDDEN, "{}", list.text());
    let called = house.echo("ledger", token).await?;
    assert_eq!(called.status, StatusCode::OK, "{}", called.text());
    house.close().await
}
