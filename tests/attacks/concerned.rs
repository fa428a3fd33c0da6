//! Calls that concern a prompt, a resource or a task without getting or reading it (attacks.md, 1.9: PX-20, PX-23; requirements
//! RS-190): a policy that forbids the one forbids the other, in the same words.

use http::StatusCode;
use policy::PolicyFile;
use serde_json::{Value, json};
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::outcomes::Verdict;

use super::people::said;
use crate::steps::Flow;

const FORBIDS: &str = r#"
    @id("no-secret-prompt") forbid (principal, action == Action::"get", resource == Prompt::"notes/secret");
    @id("no-secret-files") forbid (principal, action == Action::"read", resource in McpServer::"notes")
        when { resource.uri like "secret://*" };"#;

fn policies(text: &str) -> Vec<PolicyFile> {
    vec![PolicyFile { name: "a.cedar".to_owned(), text: text.to_owned() }]
}

fn completion(reference: &Value) -> Value {
    json!({ "ref": reference, "argument": { "name": "x", "value": "a" } })
}

fn listening(uris: &Value) -> Value {
    json!({ "notifications": { "toolsListChanged": true, "resourceSubscriptions": uris } })
}

async fn complete(house: &House, token: &str, reference: &Value) -> Result<Answer, String> {
    house.call("notes", token, "completion/complete", completion(reference)).await
}

#[tokio::test]
async fn px_20_rs_190_what_a_policy_forbids_is_completed_for_nobody_and_told_of_to_nobody() -> Verdict {
    let mut flow = Flow::with(Plan { policies: policies(FORBIDS), ..Plan::default() }).await?;
    let token = flow.tokens().await?.access;
    let house = &flow.house;
    for reference in [
        json!({ "type": "ref/prompt", "name": "open" }),
        json!({ "type": "ref/resource", "uri": "file:///{path}" }),
    ] {
        let got = complete(house, &token, &reference).await?;
        assert_eq!(got.status, StatusCode::OK, "{reference}: {}", got.text());
    }
    for params in [json!({}), listening(&json!(["file:///a", "file:///b"]))] {
        let asked = house.call_request("notes", &token, "subscriptions/listen", params)?;
        assert_eq!(house.http.stream(asked).await?.status(), StatusCode::OK);
        drop(house.mcp.next_stream().await);
    }
    let before = house.mcp.received().len();
    let mut heard = Vec::new();
    for (method, params) in [
        ("prompts/get", json!({ "name": "secret" })),
        ("resources/read", json!({ "uri": "secret://a" })),
        ("completion/complete", completion(&json!({ "type": "ref/prompt", "name": "secret" }))),
        ("completion/complete", completion(&json!({ "type": "ref/resource", "uri": "secret://{x}" }))),
        ("subscriptions/listen", listening(&json!(["secret://a"]))),
        ("subscriptions/listen", listening(&json!(["file:///a", "secret://a", "file:///b"]))),
    ] {
        let refused = house.call("notes", &token, method, params).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{method}: {}", refused.text());
        heard.push(said(&refused));
    }
    assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "{heard:#?}");
    // What cannot be told is no way round it.
    for (method, params) in [
        ("completion/complete", json!({})),
        ("completion/complete", completion(&json!("ref/prompt"))),
        ("completion/complete", completion(&json!({ "type": "ref/other", "name": "secret" }))),
        ("completion/complete", completion(&json!({ "name": "secret" }))),
        (
            "completion/complete",
            completion(&json!({ "type": "ref/prompt", "name": "open", "uri": "secret://a" })),
        ),
        (
            "completion/complete",
            completion(&json!({ "type": "ref/prompt", "name": "open", "Name": "secret" })),
        ),
        ("subscriptions/listen", listening(&json!("secret://a"))),
        ("subscriptions/listen", listening(&json!(["file:///a", ["secret://a"]]))),
        ("subscriptions/listen", json!({ "notifications": { "ResourceSubscriptions": ["secret://a"] } })),
        ("subscriptions/listen", json!({ "Notifications": { "resourceSubscriptions": ["secret://a"] } })),
    ] {
        let refused = house.call("notes", &token, method, params.clone()).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{params}: {}", refused.text());
        assert_eq!(
            (&refused.json()["error"]["code"], &refused.json()["id"]),
            (&json!(-32602), &json!(1)),
            "{params}"
        );
    }
    assert_eq!(house.mcp.received().len(), before, "nothing of it reached the MCP server");
    flow.close().await
}

/// Whoever was let in by a permit needs one for completions, as before, and one for what is completed.
#[tokio::test]
async fn px_20_rs_190_a_permit_for_completions_is_none_for_what_they_are_of() -> Verdict {
    const OTHER: &str = r#"permit (principal in Group::"engineering", action == Action::"other", resource == McpServer::"ledger");"#;
    const ONE: &str = r#"permit (principal in Group::"engineering", action == Action::"get", resource == Prompt::"ledger/one");"#;
    const IN: &str = r#"permit (principal in Group::"engineering", action == Action::"connect", resource == McpServer::"ledger");"#;
    for (permits, allowed) in
        [(format!("{IN}{OTHER}{ONE}"), true), (format!("{IN}{OTHER}"), false), (format!("{IN}{ONE}"), false)]
    {
        let house =
            House::with(Plan { policies: policies(&permits), permits: true, ..Plan::default() }).await?;
        let client = house.client().await?;
        let tokens = client.obtain_tokens(&mut house.browser(), "alice", &house.resource("ledger")).await?;
        let token = tokens["access_token"].as_str().ok_or("no token")?.to_owned();
        house.remember_secret(&token);
        house.remember_secret(tokens["refresh_token"].as_str().ok_or("no refresh token")?);
        for (name, expected) in [("one", allowed), ("two", false)] {
            let params = completion(&json!({ "type": "ref/prompt", "name": name }));
            let got = house.call("ledger", &token, "completion/complete", params).await?;
            let status = if expected { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(got.status, status, "{permits} {name}: {}", got.text());
        }
        house.close().await?;
    }
    Ok(())
}

/// Every method of tasks, of the core of 2025-11-25 and of the extension.
const TASKS: [&str; 5] = ["tasks/cancel", "tasks/get", "tasks/list", "tasks/result", "tasks/update"];

async fn ask_of_tasks(house: &House, server: &str, token: &str, method: &str) -> Result<Answer, String> {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "taskId": "a" } });
    house.http.post_json(&house.resource(server), &headers, &message).await
}

/// By its id the result of a task is had and a task is ended, whichever tool made it: `other` is asked, as of what nobody knows.
#[tokio::test]
async fn px_20_px_23_tasks_are_had_and_ended_by_whom_a_policy_lets_do_other_things_and_by_nobody_else()
-> Verdict {
    const IN: &str = r#"permit (principal in Group::"engineering", action == Action::"connect", resource == McpServer::"ledger");
        permit (principal in Group::"engineering", action == Action::"call", resource == Tool::"ledger/echo");"#;
    const TOO: &str = r#"permit (principal in Group::"engineering", action == Action::"other", resource == McpServer::"ledger")
        when { context.method like "tasks/*" };"#;
    for (permits, allowed) in [(IN.to_owned(), false), (format!("{IN}{TOO}"), true)] {
        let house =
            House::with(Plan { policies: policies(&permits), permits: true, ..Plan::default() }).await?;
        let client = house.client().await?;
        let tokens = client.obtain_tokens(&mut house.browser(), "alice", &house.resource("ledger")).await?;
        let token = tokens["access_token"].as_str().ok_or("no token")?.to_owned();
        house.remember_secret(&token);
        house.remember_secret(tokens["refresh_token"].as_str().ok_or("no refresh token")?);
        let expected = if allowed { StatusCode::OK } else { StatusCode::FORBIDDEN };
        for method in TASKS {
            let got = ask_of_tasks(&house, "ledger", &token, method).await?;
            assert_eq!(got.status, expected, "{permits} {method}: {}", got.text());
            assert!(!got.header("www-authenticate").contains("insufficient_scope"), "{method}");
        }
        let told = json!({ "notifications": { "taskIds": ["a"] } });
        let asked = house.call_request("ledger", &token, "subscriptions/listen", told)?;
        assert_eq!(house.http.stream(asked).await?.status(), expected, "{permits}");
        let unknown = ask_of_tasks(&house, "ledger", &token, "vendor/tasks/get").await?;
        assert_eq!(unknown.status, StatusCode::FORBIDDEN, "{}", unknown.text());
        house.close().await?;
    }
    let forbids = r#"@id("nothing-else") forbid (principal, action == Action::"other", resource in McpServer::"notes");"#;
    let mut flow = Flow::with(Plan { policies: policies(forbids), ..Plan::default() }).await?;
    let token = flow.tokens().await?.access;
    let before = flow.house.mcp.received().len();
    for method in TASKS {
        let refused = ask_of_tasks(&flow.house, "notes", &token, method).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{method}: {}", refused.text());
    }
    // Nor is what nobody knows a way round it because it is not answered.
    let headers = [
        ("authorization", format!("Bearer {token}")),
        ("accept", "application/json, text/event-stream".to_owned()),
    ];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let unknown = json!({ "jsonrpc": "2.0", "method": "notifications/foo" });
    let refused = flow.house.http.post_json(&flow.house.resource("notes"), &headers, &unknown).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    assert_eq!(flow.house.mcp.received().len(), before, "nothing of it reached the MCP server");
    assert_eq!(flow.house.echo("notes", &token).await?.status, StatusCode::OK);
    flow.close().await
}
