//! What may be used of an MCP server (product.md, P-20): over a limit a call is 429 with `Retry-After`, in the form in which
//! MCP clients are told of errors, and it does not reach the MCP server.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use resource_server::{Limit, Per};
use serde_json::json;
use testkit::house::Plan;
use testkit::http::Answer;
use testkit::outcomes::Verdict;

use crate::steps::{Flow, Tokens};

fn limit(per: Per) -> Limit {
    Limit {
        tool: None,
        per,
        calls_per_minute: None,
        calls_at_once: None,
        calls_in_progress: None,
        bytes_per_hour: None,
    }
}

async fn flow(limits: Vec<Limit>) -> Result<Flow, String> {
    Flow::with(Plan { limits, ..Plan::default() }).await
}

/// Tokens of somebody else, with the same client.
async fn another(flow: &mut Flow, login: &'static str) -> Result<Tokens, String> {
    flow.login = login;
    flow.browser = flow.house.browser();
    flow.tokens().await
}

async fn tool(flow: &Flow, tokens: &Tokens, name: &str) -> Result<Answer, String> {
    let params = json!({"name": name, "arguments": {"said": "x"}});
    flow.house.call("notes", &tokens.access, "tools/call", params).await
}

/// 429 for so many seconds, and a JSON-RPC error that answers the call.
fn limited(answer: &Answer, seconds: &str) -> Verdict {
    let json = answer.json();
    let told = json["error"]["code"] == -32603 && json["error"]["message"].is_string() && json["id"] == 1;
    let after = answer.headers.get("retry-after").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if answer.status == 429 && told && after == seconds {
        return Ok(());
    }
    Err(format!("{} after {after}: {}", answer.status, answer.text()))
}

#[tokio::test]
async fn a_person_who_calls_too_often_waits_and_nobody_else_does() -> Verdict {
    let mut flow = flow(vec![Limit {
        calls_per_minute: NonZeroU32::new(20),
        calls_at_once: NonZeroU32::new(2),
        ..limit(Per::Person)
    }])
    .await?;
    let alice = flow.tokens().await?;
    let bob = another(&mut flow, "bob").await?;
    for _ in 0..2 {
        flow.calls(&alice.access).await?;
    }
    for _ in 0..10 {
        limited(&tool(&flow, &alice, "echo").await?, "3")?;
    }
    assert_eq!(flow.house.mcp.received().len(), 2, "what is refused does not reach the MCP server");
    flow.calls(&bob.access).await?;
    flow.house.advance(Duration::from_secs(3)).await?;
    flow.calls(&alice.access).await?;
    limited(&tool(&flow, &alice, "echo").await?, "3")?;
    let counts = flow.house.resource_server.counting().servers();
    let limited: Vec<u64> = counts.iter().flat_map(|server| server.limited.map(|(_, count)| count)).collect();
    assert_eq!(limited.iter().sum::<u64>(), 11, "{counts:?}");
    flow.close().await
}

#[tokio::test]
async fn a_tool_a_client_and_a_server_have_limits_of_their_own() -> Verdict {
    let a_minute = |count, limit| Limit { calls_per_minute: NonZeroU32::new(count), ..limit };
    let mut flow = flow(vec![
        a_minute(6, limit(Per::Server)),
        a_minute(4, limit(Per::Client)),
        Limit { tool: Some("write".to_owned()), ..a_minute(1, limit(Per::Server)) },
    ])
    .await?;
    let alice = flow.tokens().await?;
    assert_eq!(tool(&flow, &alice, "write").await?.status, 200);
    limited(&tool(&flow, &alice, "write").await?, "60")?;
    let bob = another(&mut flow, "bob").await?;
    // The client has three left, whoever uses it.
    for tokens in [&alice, &bob, &alice] {
        flow.calls(&tokens.access).await?;
    }
    limited(&tool(&flow, &bob, "echo").await?, "15")?;
    flow.client = flow.house.client().await?;
    let other = flow.tokens().await?;
    // And all of them two.
    for _ in 0..2 {
        flow.calls(&other.access).await?;
    }
    limited(&tool(&flow, &other, "echo").await?, "10")?;
    flow.close().await
}

#[tokio::test]
async fn so_many_calls_are_in_progress_and_one_that_is_given_up_makes_room() -> Verdict {
    let mut flow = flow(vec![Limit { calls_in_progress: NonZeroU32::new(1), ..limit(Per::Person) }]).await?;
    let alice = flow.tokens().await?;
    let silent = json!({"name": "silent", "arguments": {}});
    let request = flow.house.call_request("notes", &alice.access, "tools/call", silent)?;
    let hanging = flow.house.http.another();
    let mut waiting = Box::pin(hanging.send(request));
    tokio::select! {
        answer = &mut waiting => return Err(format!("it was answered: {answer:?}")),
        () = flow.house.mcp.arrived(1) => {}
    }
    limited(&tool(&flow, &alice, "echo").await?, "1")?;
    drop(waiting);
    drop(hanging);
    // The gateway hears of it when the connection is gone.
    while tool(&flow, &alice, "echo").await?.status == 429 {
        tokio::task::yield_now().await;
    }
    // A stream that is a call's answer is in progress until it ends.
    let params = json!({"name": "stream", "arguments": {}});
    let request = flow.house.call_request("notes", &alice.access, "tools/call", params)?;
    let streaming = flow.house.http.another();
    let answer = streaming.stream(request).await?;
    limited(&tool(&flow, &alice, "echo").await?, "1")?;
    drop((answer, streaming));
    while tool(&flow, &alice, "echo").await?.status == 429 {
        tokio::task::yield_now().await;
    }
    flow.close().await
}

#[tokio::test]
async fn answers_use_up_bytes_and_what_has_begun_comes_through() -> Verdict {
    let mut flow = flow(vec![Limit { bytes_per_hour: NonZeroU64::new(1000), ..limit(Per::Person) }]).await?;
    let alice = flow.tokens().await?;
    let long = "x".repeat(2000);
    let params = json!({"name": "echo", "arguments": {"said": long}});
    let answer = flow.house.call("notes", &alice.access, "tools/call", params).await?;
    assert!(answer.status == 200 && answer.text().contains(&long), "{}", answer.status);
    let answer = tool(&flow, &alice, "echo").await?;
    assert_eq!(answer.status, 429);
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3600..=3604).contains(&wait), "for at most an hour: {wait}");
    flow.house.advance(Duration::from_secs(wait)).await?;
    let alice = flow.tokens().await?;
    flow.calls(&alice.access).await?;
    flow.close().await
}

/// Whom the policy refuses uses nothing up.
#[tokio::test]
async fn who_is_refused_by_the_policy_uses_nothing_up() -> Verdict {
    let text = "forbid (principal, action == Action::\"call\", resource == Tool::\"notes/write\");";
    let policies = vec![policy::PolicyFile { name: "no.cedar".to_owned(), text: text.to_owned() }];
    let limits = vec![Limit { calls_per_minute: NonZeroU32::new(1), ..limit(Per::Server) }];
    let mut flow = Flow::with(Plan { limits, policies, ..Plan::default() }).await?;
    let alice = flow.tokens().await?;
    for _ in 0..5 {
        assert_eq!(tool(&flow, &alice, "write").await?.status, 403);
    }
    flow.calls(&alice.access).await?;
    limited(&tool(&flow, &alice, "echo").await?, "60")?;
    flow.close().await
}
