//! Scopes of the operator's own (product.md, P-12): asked for, ticked, needed by the tools that they are mapped to, and got
//! later when a call first needs them.

use http::StatusCode;
use serde_json::json;
use testkit::client::parameter;
use testkit::house::{OwnScope, Plan};
use testkit::outcomes::Verdict;

use super::machine;
use crate::steps::{Flow, Tokens};

fn scope(name: &'static str, tools: &[&str], at_once: bool) -> OwnScope {
    OwnScope { name, tools: tools.iter().map(|&tool| tool.to_owned()).collect(), at_once }
}

fn plan() -> Plan {
    let own_scopes =
        vec![scope("payments", &["pay", "transfer*"], true), scope("abroad", &["transfer_abroad"], false)];
    Plan { own_scopes, ..Plan::default() }
}

/// The scopes of a quoted `scope` in a challenge.
fn challenged(challenge: &str) -> &str {
    challenge.split("scope=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

/// Signs in, asking for these scopes, and ticks those.
async fn tokens(
    flow: &mut Flow,
    asked: Option<&str>,
    ticked: &[&str],
) -> Result<(Tokens, Vec<String>), String> {
    let pkce = flow.pkce();
    let mut fields = flow.client.authorization_request(&flow.house.resource(flow.server), &pkce.challenge);
    fields.extend(asked.map(|scope| ("scope".to_owned(), scope.to_owned())));
    let page = flow.browser.open(&flow.client.authorization_url(&fields)).await?.page()?;
    let page = testkit::client::log_in(&mut flow.browser, page, flow.login).await?;
    let shown: Vec<String> = page.form()?.boxes.into_iter().map(|(_, scope)| scope).collect();
    let mut form = page.form()?.without("scope").with("decision", "allow");
    for &scope in ticked {
        form.fields.push(("scope".to_owned(), scope.to_owned()));
    }
    let callback = flow.browser.submit(&page, form, None).await?.left()?;
    let code = parameter(&callback, "code").ok_or("no code")?;
    let answer = flow.client.redeem(&code, &pkce.verifier).await?;
    let tokens = Tokens::of(&answer)?;
    flow.keep(&code);
    flow.keep(&tokens.access);
    flow.keep(&tokens.refresh);
    Ok((tokens, shown))
}

#[tokio::test]
async fn a_tool_needs_all_scopes_that_it_is_mapped_to_and_one_challenge_names_them() -> Verdict {
    let mut flow = Flow::with(plan()).await?;
    let document = format!("{}/.well-known/oauth-protected-resource/notes/mcp", flow.house.issuer);
    let document = flow.house.http.get(&document, &[]).await?.json();
    assert_eq!(document["scopes_supported"], json!(["payments", "read", "write"]));
    let knock = flow.house.http.post_json(&flow.house.resource("notes"), &[], &json!({})).await?;
    assert_eq!(challenged(knock.header("www-authenticate")), "payments read write");
    // A request without a scope asks for what the challenge names; the person unticks.
    let (held, shown) = tokens(&mut flow, None, &["read", "write"]).await?;
    assert_eq!(shown, ["read", "write", "payments"]);
    let call = async |flow: &Flow, token: &str, tool: &str| {
        flow.house.call("notes", token, "tools/call", json!({"name": tool, "arguments": {}})).await
    };
    for (tool, needed) in [
        ("pay", "payments read write"),
        ("transfer", "payments read write"),
        ("transfer_abroad", "abroad payments read write"),
    ] {
        let before = flow.house.mcp.received().len();
        let refused = call(&flow, &held.access, tool).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{tool}: {}", refused.text());
        let challenge = refused.header("www-authenticate");
        assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
        assert_eq!(challenged(challenge), needed, "{tool}");
        assert_eq!(flow.house.mcp.received().len(), before, "{tool} did not reach the MCP server");
    }
    for tool in ["echo", "write", "payment"] {
        assert_eq!(call(&flow, &held.access, tool).await?.status, StatusCode::OK, "{tool}");
    }
    // Who has a scope of the operator's alone is sent for no more than the call needs (attacks PX-40).
    let (alone, _) = tokens(&mut flow, None, &["payments"]).await?;
    for (tool, needed) in [("echo", "payments read"), ("write", "payments write")] {
        let refused = call(&flow, &alone.access, tool).await?;
        assert_eq!(challenged(refused.header("www-authenticate")), needed, "{tool}");
    }
    assert_eq!(call(&flow, &alone.access, "pay").await?.status, StatusCode::OK);
    // One step up is enough for the call that caused it.
    let asked = "abroad payments read write";
    let (wider, shown) = tokens(&mut flow, Some(asked), &["read", "payments", "abroad"]).await?;
    assert_eq!(shown, ["read", "write", "payments", "abroad"]);
    for tool in ["pay", "transfer", "transfer_abroad", "echo"] {
        assert_eq!(call(&flow, &wider.access, tool).await?.status, StatusCode::OK, "{tool}");
    }
    let refused = call(&flow, &wider.access, "write").await?;
    assert_eq!(challenged(refused.header("www-authenticate")), "abroad payments read write");
    flow.close().await
}

/// What could be had is shown; a machine that can never have the scope does not hear of the tool.
#[tokio::test]
async fn a_list_shows_what_a_further_scope_would_allow_and_hides_it_from_who_cannot_have_it() -> Verdict {
    let own_scopes = vec![scope("echoes", &["echo"], false)];
    let mut flow = Flow::with(Plan { own_scopes, ..Plan::default() }).await?;
    let (held, shown) = tokens(&mut flow, None, &["read"]).await?;
    assert_eq!(shown, ["read", "write"]);
    let list = flow.house.call("notes", &held.access, "tools/list", json!({})).await?;
    assert!(list.text().contains("echo") && list.text().contains("write"), "{}", list.text());
    let refused = flow.house.echo("notes", &held.access).await?;
    assert_eq!(challenged(refused.header("www-authenticate")), "echoes read");
    let machine = machine(&flow.house, "night-runner", "secret-of-the-night-runner");
    let resource = flow.house.resource("notes");
    let fields = [("grant_type", "client_credentials"), ("resource", resource.as_str())];
    let answer = machine.token(&fields).await?;
    let token = answer.json()["access_token"].as_str().ok_or_else(|| answer.text())?.to_owned();
    flow.keep(&token);
    let list = flow.house.call("notes", &token, "tools/list", json!({})).await?;
    assert!(!list.text().contains("echo"), "{}", list.text());
    let refused = flow.house.echo("notes", &token).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    assert!(!refused.header("www-authenticate").contains("insufficient_scope"));
    flow.close().await
}

/// Clients are known that answer 403 with a refresh, and the next 403 with another one. They are sent to sign in again.
#[tokio::test]
async fn a_client_that_refreshes_in_place_of_a_step_up_gets_there_all_the_same() -> Verdict {
    let mut flow = Flow::with(plan()).await?;
    let (mut held, _) = tokens(&mut flow, None, &["read", "write"]).await?;
    let first = held.refresh.clone();
    let (mut signed_in, mut refreshed, mut challenge) = (0, 0, String::new());
    for _ in 0..10 {
        let params = json!({"name": "pay", "arguments": {}});
        let answer = flow.house.call("notes", &held.access, "tools/call", params).await?;
        if answer.status == StatusCode::OK {
            break;
        }
        challenged(answer.header("www-authenticate")).clone_into(&mut challenge);
        let answer = flow.client.refresh(&held.refresh).await?;
        if answer.status == StatusCode::OK {
            refreshed += 1;
            held = Tokens::of(&answer)?;
            flow.keep(&held.access);
            continue;
        }
        testkit::outcomes::tok400(&answer, "invalid_grant")?;
        signed_in += 1;
        (held, _) = tokens(&mut flow, Some(&challenge), &["read", "write", "payments"]).await?;
    }
    assert_eq!((signed_in, refreshed, challenge.as_str()), (1, 0, "payments read write"));
    // Nothing was taken from it.
    let old = flow.client.refresh(&first).await?;
    assert_eq!(old.status, StatusCode::OK, "{}", old.text());
    flow.keep(&Tokens::of(&old)?.access);
    flow.close().await
}
