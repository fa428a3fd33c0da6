//! What several people, and one who may do too little, can learn or do at the MCP endpoint (attacks.md, 1.9: PX-20, PX-23,
//! PX-25, PX-38, PX-40).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use policy::Access;
use serde_json::{Value, json};
use testkit::house::Plan;
use testkit::http::{Answer, Http, request};
use testkit::outcomes::{Verdict, harmless, rs401, rs401_bare, tok400};
use web::Rates;

use super::proxy::{HEADERS, bearer, claims, echo};
use crate::steps::{Flow, Tokens, while_trying};

/// Everything of an answer but what names the request and the moment.
pub(super) fn said(answer: &Answer) -> (StatusCode, Vec<(String, Vec<u8>)>, Bytes) {
    let headers: HeaderMap = answer.headers.clone();
    let told = headers.iter().filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()));
    let mut told: Vec<_> =
        told.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    told.sort();
    // A reference is made for each refusal: it names the request, like its id.
    let body = String::from_utf8_lossy(&answer.body);
    let body = match body.split_once(" Reference ") {
        Some((before, after)) => format!("{before}{}", after.get(9..).unwrap_or_default()).into(),
        None => answer.body.clone(),
    };
    (answer.status, told, body)
}

/// Tokens that may only read.
async fn narrow(flow: &mut Flow) -> Result<Tokens, String> {
    let tokens = flow.tokens().await?;
    let fields =
        [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str()), ("scope", "read")];
    let answer = flow.client.token(&fields).await?;
    let narrow = Tokens::of(&answer)?;
    flow.keep(&narrow.access);
    flow.keep(&narrow.refresh);
    Ok(narrow)
}

fn answer(status: u16, body: &'static str) -> Result<Response<Bytes>, String> {
    let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
    *answer.status_mut() = StatusCode::from_u16(status).map_err(|error| error.to_string())?;
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(answer)
}

#[tokio::test]
async fn px_20_a_tool_one_may_not_call_one_that_is_not_there_and_a_list_that_fails_sound_the_same() -> Verdict
{
    let mut flow = Flow::new().await?;
    let tokens = narrow(&mut flow).await?;
    let mut heard = Vec::new();
    for (what, list) in [
        ("write", None),
        ("no-such-tool", None),
        ("no-such-tool", Some(answer(500, "c4n4ry")?)),
        ("no-such-tool", Some(answer(200, r#"{"c4n4ry""#)?)),
        ("no-such-tool", Some(answer(403, r#"{"error":"c4n4ry"}"#)?)),
        ("no-such-tool", Some(answer(302, "c4n4ry")?)),
        (
            "no-such-tool",
            Some(answer(200, r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"c4n4ry"}]}}"#)?),
        ),
    ] {
        if let Some(list) = list {
            flow.house.mcp.list_next(list);
        }
        // So that it is read again.
        flow.house.advance(Duration::from_secs(61)).await?;
        let before = flow.house.mcp.received().len();
        let params = json!({"name": what, "arguments": {"x": "c4n4ry"}});
        let refused = flow.house.call("notes", &tokens.access, "tools/call", params).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{what}: {}", refused.text());
        harmless(&refused, &["c4n4ry", "no-such-tool"])?;
        let seen = flow.house.mcp.received().split_off(before);
        assert!(seen.iter().all(|call| call.json()["method"] == "tools/list") && seen.len() == 1, "{seen:?}");
        heard.push(said(&refused));
    }
    assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "{heard:#?}");
    flow.house.close().await
}

#[tokio::test]
async fn px_20_whom_the_policy_does_not_admit_hears_one_thing_whatever_is_asked() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house
        .restart_with(|plan| plan.servers[0] = ("notes", Access::Groups(vec!["finance".to_owned()])))
        .await?;
    let mut heard = Vec::new();
    for (method, params) in [
        ("tools/call", json!({"name": "echo", "arguments": {}})),
        ("tools/call", json!({"name": "write", "arguments": {}})),
        ("tools/call", json!({"name": "no-such-tool", "arguments": {}})),
        ("tools/list", json!({})),
        ("no/such/method", json!({})),
        ("subscriptions/listen", json!({})),
    ] {
        heard.push(said(&house.call("notes", &tokens.access, method, params).await?));
    }
    let good = bearer(&tokens);
    for method in [Method::GET, Method::DELETE] {
        // A session that is none says no more than one that is.
        let headers =
            [("authorization", good.as_str()), ("accept", "text/event-stream"), ("mcp-session-id", "x")];
        let asked = request(method, &house.resource("notes"), &headers, Bytes::new())?;
        heard.push(said(&house.http.send(asked).await?));
    }
    let headers = [("authorization", good.as_str()), ("accept", "application/json, text/event-stream")];
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}});
    heard.push(said(&house.http.post_json(&house.resource("notes"), &headers, &hello).await?));
    assert_eq!(heard[0].0, StatusCode::FORBIDDEN);
    assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "{heard:#?}");
    assert_eq!(house.mcp.connections(), 0);
    house.close().await
}

const POLICIES: &str = r#"
    @id("not-there") forbid (principal, action == Action::"call", resource == Tool::"notes/no-such-tool");
    @id("quiet") forbid (principal, action == Action::"call", resource == Tool::"notes/echo")
      when { context.arguments has text && context.arguments.text like "*shout*" };
    @id("too-much") forbid (principal, action == Action::"call", resource == Tool::"notes/write")
      when { context.arguments has number && context.arguments.number + 9223372036854775807 < 0 };
    @id("no-unknown") forbid (principal, action == Action::"other", resource);"#;

fn policies() -> Vec<policy::PolicyFile> {
    let file = |name: &str, text: &str| policy::PolicyFile { name: name.to_owned(), text: text.to_owned() };
    let arguments = "type Arguments = { number?: Long, text?: String };";
    vec![file("arguments.cedarschema", arguments), file("a.cedar", POLICIES)]
}

/// A forbidden tool, one that is not there, a forbidden argument, an engine that fails and an unknown method: one answer,
/// nothing forwarded, and the audit alone knows which policy it was. Whatever is not forbidden goes through.
#[tokio::test]
async fn px_20_whatever_policy_refuses_a_call_the_client_hears_one_thing() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house.restart_with(|plan| plan.policies = policies()).await?;
    let call = |name: &'static str, arguments: &'static str| {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{arguments}}}}}"#
        );
        let good = bearer(&tokens);
        let (house, url) = (&house, house.resource("notes"));
        async move {
            let headers = [
                ("authorization", good.as_str()),
                ("accept", "application/json, text/event-stream"),
                ("content-type", "application/json"),
            ];
            house.http.send(request(Method::POST, &url, &headers, Bytes::from(text))?).await
        }
    };
    for arguments in [r#"{"text":"whisper"}"#, "{}", r#"{"other":[1.5,null]}"#, r#"{"text":null}"#] {
        let through = call("echo", arguments).await?;
        assert_eq!(through.status, StatusCode::OK, "{arguments}: {}", through.text());
    }
    let before = house.mcp.received().len();
    // Of two that stand under one name nobody can say which is meant, and policies are not asked.
    for arguments in [r#"{"text":"whisper","text":"shout"}"#, r#"{"text":"shout","text":"whisper"}"#] {
        let twice = call("echo", arguments).await?;
        assert_eq!(twice.status, StatusCode::BAD_REQUEST, "{arguments}: {}", twice.text());
        assert!(twice.text().contains("-32600"), "{arguments}: {}", twice.text());
    }
    let mut heard = Vec::new();
    for (name, arguments) in [
        ("no-such-tool", "{}"),
        ("echo", r#"{"text":"now shout"}"#),
        // What other readers could see otherwise (PX-15).
        ("echo", r#"{"te\u0078t":"shout"}"#),
        ("echo", r#"{"Text":"shout"}"#),
        ("echo", r#"{"text":["shout"]}"#),
        ("echo", r#"["shout"]"#),
        // The engine fails: the sum does not fit.
        ("write", r#"{"number":1}"#),
    ] {
        let refused = call(name, arguments).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{name} {arguments}: {}", refused.text());
        harmless(&refused, &["shout", "quiet", "too-much", "not-there", "policy", "a.cedar"])?;
        heard.push(said(&refused));
    }
    heard.push(said(&house.call("notes", &tokens.access, "no/such/method", json!({})).await?));
    assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "{heard:#?}");
    assert_eq!(house.mcp.received().len(), before, "nothing was forwarded");
    house.close().await
}

/// Alice, and Bob with the same client.
pub(super) async fn two() -> Result<(Flow, Tokens, Tokens), String> {
    let mut flow = Flow::new().await?;
    let alice = flow.tokens().await?;
    flow.browser = flow.house.browser();
    flow.login = "bob";
    let bob = flow.tokens().await?;
    Ok((flow, alice, bob))
}

#[tokio::test]
async fn px_23_who_cancels_the_call_of_somebody_else_does_so_in_their_own_name() -> Verdict {
    let (flow, alice, bob) = two().await?;
    let (url, bobs) = (flow.house.resource("notes"), bearer(&bob));
    let params = json!({"name": "stream", "arguments": {}, "_meta": {"progressToken": "guess me"}});
    let asked = flow.house.call_request("notes", &alice.access, "tools/call", params)?;
    let mut client = flow.house.http.stream(asked).await?;
    let server = flow.house.mcp.next_stream().await;
    let before = flow.house.mcp.received().len();
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
    let mut sent = 0;
    for http in [flow.house.http.another(), Http::http2()] {
        for (version, message) in [
            ("2026-07-28", json!({"method": "notifications/cancelled", "params": {"requestId": 1}})),
            (
                "2025-11-25",
                json!({"method": "notifications/cancelled", "params": {"requestId": 1, "reason": "x"}}),
            ),
            (
                "2025-11-25",
                json!({"method": "notifications/progress", "params": {"progressToken": "guess me", "progress": 100}}),
            ),
            (
                "2026-07-28",
                json!({"id": 1, "method": "tasks/cancel", "params": {"taskId": "1", "_meta": meta}}),
            ),
            ("2025-11-25", json!({"id": 1, "method": "tasks/cancel", "params": {"taskId": "1"}})),
            ("2025-11-25", json!({"id": 1, "result": {"action": "accept"}})),
            ("2025-11-25", json!({"id": 1, "error": {"code": -1, "message": "x"}})),
        ] {
            let mut message = message;
            message["jsonrpc"] = json!("2.0");
            let method = message["method"].as_str().unwrap_or_default().to_owned();
            let mut headers = vec![
                ("authorization", bobs.as_str()),
                ("accept", "application/json, text/event-stream"),
                ("mcp-protocol-version", version),
            ];
            if message["params"]["taskId"].is_string() {
                headers.extend([("mcp-method", method.as_str()), ("mcp-name", "1")]);
            }
            let answer = http.post_json(&url, &headers, &message).await?;
            assert!(answer.status.is_success(), "{message}: {} {}", answer.status, answer.text());
            sent += 1;
            // Alice's call goes on.
            assert!(server.send("data: {}\n\n"), "{message}");
            let frame = client.frame().await.ok_or("the stream ended")?.map_err(|error| error.to_string())?;
            assert_eq!(frame.into_data().map_err(|_| "no data")?.as_ref(), b"data: {}\n\n", "{message}");
        }
    }
    let seen = flow.house.mcp.received().split_off(before);
    assert_eq!(seen.len(), sent);
    for call in &seen {
        assert_eq!(claims(call.header("sekisho-identity"))?["sub"], bob.claims()?["sub"]);
        assert_eq!(call.header("mcp-session-id"), "");
    }
    drop(server);
    // She is told that there was no answer, and nothing else.
    let rest = client.collect().await.map_err(|error| error.to_string())?.to_bytes();
    let told = rest.strip_prefix(b"data: ").ok_or("no last word")?;
    let told: Value = serde_json::from_slice(told).map_err(|error| error.to_string())?;
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!(1), &json!(-32603)));
    flow.close().await
}

#[tokio::test]
async fn px_25_no_answer_of_one_is_ever_given_to_another_whatever_the_mcp_server_says_of_keeping_it()
-> Verdict {
    let (flow, alice, bob) = two().await?;
    let list = |name: &str, more: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"resultType":"complete",{more}"tools":[{{"name":"{name}","inputSchema":{{"type":"object"}}}}]}}}}"#
        );
        let mut answer = Response::new(Bytes::from(body));
        for (header, value) in [
            ("content-type", "application/json"),
            ("cache-control", "public, max-age=31536000, immutable"),
            ("etag", "\"1\""),
            ("vary", "accept"),
        ] {
            answer.headers_mut().insert(header, http::HeaderValue::from_static(value));
        }
        answer
    };
    let hints = [
        r#""ttlMs":1000000000000000,"cacheScope":"public","#,
        r#""ttlMs":-1,"cacheScope":"public","#,
        r#""ttlMs":1e15,"cacheScope":"PUBLIC","#,
        "",
    ];
    for (round, hint) in hints.into_iter().enumerate() {
        for (who, tokens) in [("alice", &alice), ("bob", &bob), ("alice", &alice)] {
            let own = format!("tool-of-{who}-{round}");
            let before = flow.house.mcp.received().len();
            flow.house.mcp.list_next(list(&own, hint));
            let answer = flow.house.call("notes", &tokens.access, "tools/list", json!({})).await?;
            assert_eq!(answer.json()["result"]["tools"][0]["name"], json!(own), "{}", answer.text());
            assert_eq!(flow.house.mcp.received().len(), before + 1, "asked anew");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert!(!answer.headers.contains_key("etag"), "{:?}", answer.headers);
            let seen = flow.house.mcp.received().pop().ok_or("nothing arrived")?;
            assert_eq!(claims(seen.header("sekisho-identity"))?["sub"], tokens.claims()?["sub"]);
        }
    }
    flow.close().await
}

#[tokio::test]
async fn px_38_no_header_and_nothing_captured_on_the_way_opens_the_door() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let url = flow.house.resource("notes");
    for (name, value) in [
        ("x-internal", "true"),
        ("x-internal-request", "1"),
        ("x-internal-key", "changeme"),
        ("x-sekisho-internal", "1"),
        ("x-sekisho-secret", "sekisho"),
        ("sekisho-internal", "secret"),
        ("x-gateway-key", "secret"),
        ("x-shared-secret", "secret"),
        ("x-bypass-auth", "true"),
        ("x-debug", "1"),
        ("x-admin", "true"),
        ("x-mcp-init-host", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("authorization", "Bearer secret"),
        ("authorization", "Bearer changeme"),
        ("authorization", "Basic YWRtaW46YWRtaW4="),
    ] {
        let headers = [HEADERS.as_slice(), &[(name, value)]].concat();
        let answer = flow.house.http.post_json(&url, &headers, &echo("x")).await?;
        if value.starts_with("Bearer") { rs401(&answer) } else { rs401_bare(&answer) }
            .map_err(while_trying(name))?;
    }
    assert_eq!(flow.house.mcp.connections(), 0);
    // What an MCP server could have kept of a call: it is for that server, and no access token.
    flow.calls(&tokens.access).await?;
    let seen = flow.house.mcp.received().pop().ok_or("nothing arrived")?;
    let assertion = seen.header("sekisho-identity").to_owned();
    flow.keep(&assertion);
    for server in ["notes", "ledger"] {
        rs401(&flow.house.echo(server, &assertion).await?)?;
    }
    let id = flow.client.client_id.clone();
    tok400(&flow.refresh(&assertion).await?, "invalid_grant")?;
    tok400(&flow.client.redeem(&assertion, "x").await?, "invalid_grant")?;
    let revoked = flow.revoke(&[("client_id", &id), ("token", &assertion)]).await?;
    assert_eq!(revoked.status, StatusCode::OK);
    flow.calls(&tokens.access).await?;
    flow.close().await
}

#[tokio::test]
async fn px_38_a_sealed_session_is_nothing_else_and_bears_no_change() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let (url, good) = (flow.house.resource("notes"), bearer(&tokens));
    let headers = [("authorization", good.as_str()), ("accept", "application/json, text/event-stream")];
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}});
    let session =
        flow.house.http.post_json(&url, &headers, &hello).await?.header("mcp-session-id").to_owned();
    rs401(&flow.house.echo("notes", &session).await?)?;
    tok400(&flow.refresh(&session).await?, "invalid_grant")?;
    tok400(&flow.client.redeem(&session, "x").await?, "invalid_grant")?;
    let before = flow.house.mcp.received().len();
    for at in (0..session.len()).step_by(7) {
        let other = if session.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = format!("{}{other}{}", &session[..at], &session[at + 1..]);
        let headers = [headers.as_slice(), &[("mcp-session-id", &changed)]].concat();
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        let answer = flow.house.http.post_json(&url, &headers, &ping).await?;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{at}: {}", answer.text());
    }
    assert_eq!(flow.house.mcp.received().len(), before);
    flow.close().await
}

fn scopes(challenge: &str) -> Vec<&str> {
    let quoted = challenge.split("scope=\"").nth(1).and_then(|rest| rest.split('"').next());
    quoted.unwrap_or_default().split(' ').collect()
}

#[tokio::test]
async fn px_40_a_loop_of_calls_without_scope_hears_exactly_the_scopes_and_costs_the_mcp_server_nothing()
-> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = narrow(&mut flow).await?;
    let writing = || json!({"name": "write", "arguments": {"secret": "c4n4ry"}});
    for round in 0..200 {
        let refused = flow.house.call("notes", &tokens.access, "tools/call", writing()).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
        let challenge = refused.header("www-authenticate");
        assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
        // What the call needs, and what the token has: a client that asks for this loses nothing.
        assert_eq!(scopes(challenge), ["read", "write"], "{challenge}");
        assert_eq!(refused.headers.get_all("www-authenticate").iter().count(), 1);
        harmless(&refused, &["c4n4ry"])?;
        assert_eq!(flow.house.mcp.received().len(), 1, "round {round}: one list for all of them");
    }
    // Another unknown tool each time has the list read again at most every five seconds.
    for round in 0..50 {
        let params = json!({"name": format!("unknown-{round}"), "arguments": {}});
        flow.house.call("notes", &tokens.access, "tools/call", params).await?;
    }
    assert!(flow.house.mcp.received().len() <= 2, "{}", flow.house.mcp.received().len());
    let event = flow.house.restart().await?;
    let refused = event.audit(store::AuditKind::CallRefused).await?;
    assert_eq!(refused.len(), 250);
    event.close().await
}

#[tokio::test]
async fn px_40_an_mcp_server_that_asks_for_ever_more_scopes_is_not_heard() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    for status in [401, 403] {
        for round in 0..10 {
            let mut asks = answer(status, r#"{"error":"insufficient_scope"}"#)?;
            let challenge = format!(
                r#"Bearer error="insufficient_scope", scope="admin-{round}", resource_metadata="https://evil.example/""#
            );
            asks.headers_mut()
                .insert("www-authenticate", challenge.parse().map_err(|_| "not a header value")?);
            flow.house.mcp.answer_next(asks);
            let odd = json!({"name": "odd", "arguments": {}});
            let answer = flow.house.call("notes", &tokens.access, "tools/call", odd).await?;
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{}", answer.text());
            assert!(!answer.headers.contains_key("www-authenticate"), "{:?}", answer.headers);
            assert!(
                !answer.text().contains("admin-") && !answer.text().contains("evil"),
                "{}",
                answer.text()
            );
        }
    }
    flow.close().await
}

#[tokio::test]
async fn px_40_who_asks_for_scope_again_and_again_is_told_to_wait() -> Verdict {
    let flow = Flow::with(Plan { rates: Rates::default(), ..Plan::default() }).await?;
    let mut limited = None;
    for round in 0..400 {
        let fields = flow.client.authorization_request(&flow.house.resource("notes"), &flow.pkce().challenge);
        let answer = flow.house.http.get(&flow.client.authorization_url(&fields), &[]).await?;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            limited = Some((round, answer));
            break;
        }
        assert!(
            answer.status == StatusCode::OK || answer.status == StatusCode::SEE_OTHER,
            "{}",
            answer.status
        );
    }
    let (round, answer) = limited.ok_or("nobody was told to wait")?;
    assert!(round >= 100, "an honest client comes through: {round}");
    let seconds: u64 = answer.header("retry-after").parse().map_err(|_| "no Retry-After")?;
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(flow.house.mcp.connections(), 0);
    flow.close().await
}
