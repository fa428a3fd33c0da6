//! MCP sessions of older clients (attacks.md, 1.10): somebody else's, none, made up, and streams that outlive their leave.

use std::num::NonZeroU32;
use std::time::Duration;

use http::{Method, StatusCode};
use resource_server::{Limit, Per};
use serde_json::{Value, json};
use store::AuditKind;
use testkit::house::Plan;
use testkit::http::{Answer, request};
use testkit::outcomes::{Verdict, rs401_bare};

use crate::record;
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
    // The audit of calls is written when the house closes, at the latest.
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house.restart().await?;
    let told = house.audit(AuditKind::CallRefused).await?;
    let told = told.iter().filter(|event| event.reason.as_deref() == Some("session_unknown"));
    assert_eq!(told.count(), 6, "each try is in the audit");
    house.close().await
}

/// The same person, by the same client, with a token that is good there.
#[tokio::test]
async fn se_01_a_session_of_one_mcp_server_is_none_at_another() -> Verdict {
    let mut flow = Flow::new().await?;
    flow.login = "dario";
    let notes = flow.tokens().await?;
    let session = begin(&flow, &notes).await?;
    flow.server = "ledger";
    let ledger = flow.tokens().await?;
    let (received, bearer) = (flow.house.mcp.received().len(), format!("Bearer {}", ledger.access));
    let mut headers = vec![
        ("authorization", bearer.as_str()),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
        (SESSION, session.as_str()),
    ];
    let url = flow.house.resource("ledger");
    let answer = flow.house.http.post_json(&url, &headers, &message("tools/list")).await?;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
    for method in [Method::GET, Method::DELETE] {
        let asked = request(method.clone(), &url, &headers, bytes::Bytes::new())?;
        assert_eq!(flow.house.http.send(asked).await?.status, StatusCode::NOT_FOUND, "{method}");
    }
    assert_eq!(flow.house.mcp.received().len(), received, "the other MCP server heard nothing of it");
    headers.pop();
    let answer = flow.house.http.post_json(&url, &headers, &message("tools/list")).await?;
    assert_eq!(answer.status, StatusCode::OK, "the control: {}", answer.text());
    let answer = send(&flow, &notes, "tools/list", &[(SESSION, &session)]).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
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
    flow.house.close().await
}

#[tokio::test]
async fn se_06_two_sessions_of_one_person_are_two_at_the_mcp_server() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let (first, second) = (begin(&flow, &tokens).await?, begin(&flow, &tokens).await?);
    assert_ne!(first, second);
    let upstream = ["session-of-the-fake-server", "session-of-the-fake-server-2"];
    // One after the other, at once, and after the other one has ended.
    for _ in 0..5 {
        for (session, upstream) in [&first, &second].into_iter().zip(upstream) {
            let answer = send(&flow, &tokens, "tools/list", &[(SESSION, session)]).await?;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
            assert!(answer.header(SESSION).is_empty(), "only the first answer names it");
            assert_eq!(flow.house.mcp.received().pop().ok_or("nothing arrived")?.header(SESSION), upstream);
        }
    }
    let before = flow.house.mcp.received().len();
    let (one, two) = ([(SESSION, first.as_str())], [(SESSION, second.as_str())]);
    let many = (0..20).map(|n| send(&flow, &tokens, "ping", if n % 2 == 0 { &one } else { &two }));
    for answer in futures_util::future::join_all(many).await {
        assert_eq!(answer?.status, StatusCode::OK);
    }
    let seen = flow.house.mcp.received().split_off(before);
    for name in upstream {
        assert_eq!(seen.iter().filter(|call| call.header(SESSION) == name).count(), 10, "{name}");
    }
    assert_eq!(bare(&flow, &tokens, Method::DELETE, &one).await?.status, StatusCode::NO_CONTENT);
    assert_eq!(flow.house.mcp.received().pop().ok_or("nothing arrived")?.header(SESSION), upstream[0]);
    assert_eq!(send(&flow, &tokens, "tools/list", &two).await?.status, StatusCode::OK);
    flow.close().await
}

#[tokio::test]
async fn se_11_who_comes_without_a_token_begins_no_session_that_a_token_could_go_on_with() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let headers = [("accept", "application/json, text/event-stream"), ("mcp-protocol-version", "2025-11-25")];
    let url = flow.house.resource("notes");
    for named in [None, Some("session-of-the-fake-server"), Some("chosen-by-the-client")] {
        let mut headers = headers.to_vec();
        headers.extend(named.map(|named| (SESSION, named)));
        let begun = flow.house.http.post_json(&url, &headers, &message("initialize")).await?;
        rs401_bare(&begun)?;
        assert!(begun.header(SESSION).is_empty(), "{:?}", begun.headers);
        // With a token the id is as unknown as any other.
        if let Some(named) = named {
            let answer = send(&flow, &tokens, "tools/list", &[(SESSION, named)]).await?;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
        }
    }
    assert_eq!(flow.house.mcp.connections(), 0);
    // A dead token begins none either, and one session is never carried over to the next person by `initialize`.
    let session = begin(&flow, &tokens).await?;
    let dead = flow.tokens().await?;
    let fields = [("client_id", flow.client.client_id.as_str()), ("token", dead.refresh.as_str())];
    assert_eq!(flow.revoke(&fields).await?.status, StatusCode::OK);
    let refused = send(&flow, &dead, "initialize", &[(SESSION, &session)]).await?;
    assert!(refused.status == 401 && refused.header(SESSION).is_empty(), "{:?}", refused.headers);
    let anew = send(&flow, &tokens, "initialize", &[(SESSION, &session)]).await?;
    assert!(!anew.header(SESSION).is_empty() && anew.header(SESSION) != session, "{:?}", anew.headers);
    flow.close().await
}

/// The claims of the assertion that the MCP server was sent last.
fn told(flow: &Flow) -> Result<Value, String> {
    let call = flow.house.mcp.received().pop().ok_or("nothing arrived")?;
    let (access, refresh) = (call.header("sekisho-identity").to_owned(), String::new());
    Tokens { access, refresh }.claims()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn se_13_a_session_goes_on_at_another_node_under_the_identity_of_the_token() -> Verdict {
    record::on_postgres(|url| async move {
        let mut flow = Flow::with(Plan { postgres: Some(url), ..Plan::default() }).await?;
        let alice = flow.tokens().await?;
        let session = begin(&flow, &alice).await?;
        let here = told(&flow)?;
        flow.browser = flow.house.browser();
        flow.login = "bob";
        let bob = flow.tokens().await?;
        let second = flow.house.second_node().await?;
        let first = std::mem::replace(&mut flow.house.http, second.http.clone());
        let answer = send(&flow, &alice, "tools/list", &[(SESSION, &session)]).await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let there = told(&flow)?;
        for claim in ["sub", "name", "email", "groups", "client_id", "grant_id", "scope", "aud", "iss"] {
            assert!(!there[claim].is_null() && there[claim] == here[claim], "{claim}: {here} {there}");
        }
        let received = flow.house.mcp.received().len();
        for method in ["tools/list", "tools/call", "ping"] {
            let stranger = send(&flow, &bob, method, &[(SESSION, &session)]).await?;
            assert!(matches!(stranger.status.as_u16(), 400 | 404), "{method}: {}", stranger.status);
        }
        rs401_bare(
            &flow
                .house
                .http
                .post_json(&flow.house.resource("notes"), &[(SESSION, &session)], &message("ping"))
                .await?,
        )?;
        assert_eq!(flow.house.mcp.received().len(), received);
        // Bob's own session begins anew, and Alice's is as good as before at both.
        let bobs = begin(&flow, &bob).await?;
        assert_eq!(told(&flow)?["sub"], bob.claims()?["sub"]);
        flow.house.http = first;
        for (who, session) in [(&alice, &session), (&bob, &bobs)] {
            assert_eq!(send(&flow, who, "ping", &[(SESSION, session)]).await?.status, StatusCode::OK);
            assert_eq!(told(&flow)?["sub"], who.claims()?["sub"]);
        }
        second.close().await?;
        flow.close().await
    })
    .await
}

#[tokio::test]
async fn se_13_a_session_outlives_a_restart_with_its_whole_identity() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let session = begin(&flow, &tokens).await?;
    let before = told(&flow)?;
    flow.house = flow.house.restart().await?;
    let answer = send(&flow, &tokens, "tools/list", &[(SESSION, &session)]).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let after = told(&flow)?;
    for claim in ["sub", "name", "email", "groups", "client_id", "grant_id", "scope", "aud", "iss"] {
        assert!(!after[claim].is_null() && after[claim] == before[claim], "{claim}: {before} {after}");
    }
    flow.close().await
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

/// Sessions of one person cost what their calls may cost; and one that is left alone ends.
#[tokio::test]
async fn se_07_sessions_are_begun_within_the_limits_of_the_person_and_end_by_themselves() -> Verdict {
    let most = NonZeroU32::new(3);
    let limit = Limit {
        tool: None,
        per: Per::Person,
        calls_per_minute: most,
        calls_at_once: most,
        calls_in_progress: None,
        bytes_per_hour: None,
    };
    let mut flow = Flow::with(Plan { limits: vec![limit], ..Plan::default() }).await?;
    let tokens = flow.tokens().await?;
    let session = begin(&flow, &tokens).await?;
    for expected in [200, 200, 429, 429] {
        let answer = send(&flow, &tokens, "initialize", &[]).await?;
        assert_eq!(answer.status, expected, "{}", answer.text());
    }
    assert_eq!(flow.house.mcp.received().len(), 3, "the MCP server hears of no more");
    flow.house.advance(Duration::from_secs(31 * 24 * 3600)).await?;
    let tokens = flow.tokens().await?;
    let answer = send(&flow, &tokens, "ping", &[(SESSION, &session)]).await?;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
    let session = begin(&flow, &tokens).await?;
    assert_eq!(send(&flow, &tokens, "ping", &[(SESSION, &session)]).await?.status, StatusCode::OK);
    flow.close().await
}
