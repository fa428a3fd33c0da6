//! MCP sessions of older clients (attacks.md, 1.10): somebody else's, none, made up, and streams that outlive their leave.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::http::{Answer, request};
use testkit::outcomes::{Verdict, rs401_bare};

use crate::steps::{Flow, Tokens, while_trying};

const SESSION: &str = "mcp-session-id";

fn message(method: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
    }})
}

/// Sends a message of an older client.
async fn send(
    flow: &Flow,
    tokens: &Tokens,
    method: &str,
    headers: &[(&str, &str)],
) -> Result<Answer, String> {
    let bearer = format!("Bearer {}", tokens.access);
    let usual = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    flow.house
        .http
        .post_json(&flow.house.resource("notes"), &[&usual, headers].concat(), &message(method))
        .await
}

async fn begin(flow: &Flow, tokens: &Tokens) -> Result<String, String> {
    let answer = send(flow, tokens, "initialize", &[]).await?;
    let session = answer.header(SESSION).to_owned();
    if session.is_empty() {
        Err(format!("no session: {} {}", answer.status, answer.text()))
    } else {
        Ok(session)
    }
}

/// Sends a request without a body.
async fn bare(
    flow: &Flow,
    tokens: &Tokens,
    method: Method,
    headers: &[(&str, &str)],
) -> Result<Answer, String> {
    let bearer = format!("Bearer {}", tokens.access);
    let usual = [
        ("authorization", bearer.as_str()),
        ("accept", "text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let asked =
        request(method, &flow.house.resource("notes"), &[&usual, headers].concat(), bytes::Bytes::new())?;
    flow.house.http.send(asked).await
}

/// Alice and Bob with one client.
async fn two_people() -> Result<(Flow, Tokens, Tokens), String> {
    let mut flow = Flow::new().await?;
    let alice = flow.tokens().await?;
    flow.browser = flow.house.browser();
    flow.login = "bob";
    let bob = flow.tokens().await?;
    Ok((flow, alice, bob))
}

#[tokio::test]
async fn se_01_a_session_is_good_for_its_person_client_and_server_only_and_survives_the_others() -> Verdict {
    let (mut flow, alice, bob) = two_people().await?;
    let session = begin(&flow, &alice).await?;
    // The same person with another client.
    flow.login = "alice";
    flow.browser = flow.house.browser();
    let first = flow.client.clone();
    flow.client = flow.house.client().await?;
    let other_client = flow.tokens().await?;
    flow.client = first;
    let received = flow.house.mcp.received().len();
    for stranger in [&bob, &other_client] {
        let answer = send(&flow, stranger, "tools/list", &[(SESSION, &session)]).await?;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
        for method in [Method::GET, Method::DELETE] {
            let answer = bare(&flow, stranger, method.clone(), &[(SESSION, &session)]).await?;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method}: {}", answer.text());
        }
    }
    assert_eq!(flow.house.mcp.received().len(), received, "the MCP server heard nothing of it");
    // Nobody killed it by trying.
    let answer = send(&flow, &alice, "tools/list", &[(SESSION, &session)]).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(
        bare(&flow, &alice, Method::DELETE, &[(SESSION, &session)]).await?.status,
        StatusCode::NO_CONTENT
    );
    flow.house.close().await
}

#[tokio::test]
async fn se_02_a_session_is_no_authentication() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let session = begin(&flow, &tokens).await?;
    let received = flow.house.mcp.received().len();
    let headers = [(SESSION, session.as_str()), ("accept", "application/json, text/event-stream")];
    rs401_bare(
        &flow.house.http.post_json(&flow.house.resource("notes"), &headers, &message("tools/list")).await?,
    )?;
    for method in [Method::GET, Method::DELETE] {
        let asked = request(method, &flow.house.resource("notes"), &headers, bytes::Bytes::new())?;
        rs401_bare(&flow.house.http.send(asked).await?)?;
    }
    assert_eq!(flow.house.mcp.received().len(), received);
    flow.house.close().await
}

#[tokio::test]
async fn se_04_a_session_that_was_made_up_is_none() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let session = begin(&flow, &tokens).await?;
    let received = flow.house.mcp.received().len();
    let flipped =
        format!("{}{}", &session[..session.len() - 1], if session.ends_with('A') { 'B' } else { 'A' });
    let cut = &session[..session.len() - 4];
    let long = "x".repeat(8000);
    for made_up in [
        "1",
        "2",
        "session-of-the-fake-server",
        &flipped,
        cut,
        &long,
        "\u{fc}",
        "a b",
        &session.to_ascii_lowercase(),
    ] {
        let answer = send(&flow, &tokens, "tools/list", &[(SESSION, made_up)]).await?;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{made_up}: {}", answer.status);
    }
    let twice = send(&flow, &tokens, "tools/list", &[(SESSION, &session), (SESSION, &session)]).await?;
    assert!(matches!(twice.status.as_u16(), 400 | 404), "{}", twice.status);
    assert_eq!(flow.house.mcp.received().len(), received);
    flow.house.close().await
}

#[tokio::test]
async fn se_05_neither_side_sees_the_other_s_session_id() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    // An id that somebody sends along with the first message goes nowhere.
    let begun = send(&flow, &tokens, "initialize", &[(SESSION, "of-the-client")]).await?;
    let session = begun.header(SESSION).to_owned();
    assert!(!session.contains("fake-server") && session.len() > 40, "{session}");
    assert_eq!(flow.house.mcp.received().pop().ok_or("nothing arrived")?.header(SESSION), "");
    send(&flow, &tokens, "tools/list", &[(SESSION, &session)]).await?;
    assert_eq!(
        flow.house.mcp.received().pop().ok_or("nothing arrived")?.header(SESSION),
        "session-of-the-fake-server"
    );
    // Two sessions are two ids to the client, though the MCP server's are the same here.
    assert_ne!(begin(&flow, &tokens).await?, session);
    flow.house.close().await
}

#[tokio::test]
async fn se_08_a_position_in_a_stream_goes_on_within_a_session_only() -> Verdict {
    let (flow, alice, bob) = two_people().await?;
    let session = begin(&flow, &alice).await?;
    let answer_with = || {
        let mut answer = http::Response::new(bytes::Bytes::from_static(b"data: x\n\n"));
        answer.headers_mut().insert("content-type", http::HeaderValue::from_static("text/event-stream"));
        flow.house.mcp.answer_next(answer);
    };
    let long = "9".repeat(5000);
    for (tokens, headers, goes_on) in [
        (&alice, vec![(SESSION, session.as_str()), ("last-event-id", "7")], true),
        (&alice, vec![(SESSION, session.as_str()), ("last-event-id", long.as_str())], false),
        (&alice, vec![("last-event-id", "7")], false),
        (&bob, vec![(SESSION, session.as_str()), ("last-event-id", "7")], false),
    ] {
        let before = flow.house.mcp.received().len();
        answer_with();
        let answer = bare(&flow, tokens, Method::GET, &headers).await?;
        let call = flow.house.mcp.received().into_iter().nth(before);
        let went_on = call.is_some_and(|call| call.headers.contains_key("last-event-id"));
        assert_eq!(went_on, goes_on, "{headers:?}: {}", answer.status);
        assert!(!answer.status.is_server_error(), "{}", answer.text());
    }
    flow.house.close().await.map_err(while_trying("closing"))
}
