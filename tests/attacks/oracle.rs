//! No refusal tells whether what was guessed exists: a code, a token, a session, a client with a secret, a person. Answers
//! are compared byte for byte, but for what names the request and the moment.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use testkit::http::Answer;
use testkit::outcomes::{Verdict, rs401, tok400, tok401};

use super::people::{said, two};
use super::proxy::bearer;
use crate::record;
use crate::steps::{Code, Flow, Tokens, basic};

/// All of them sound the same.
fn same(heard: &[(&str, Answer)]) {
    let (first, expected) = &heard[0];
    for (what, answer) in heard {
        assert_eq!(said(answer), said(expected), "{what} sounds other than {first}");
    }
}

#[tokio::test]
async fn why_a_code_is_not_taken_is_told_to_nobody() -> Verdict {
    let mut flow = Flow::new().await?;
    let (wrong, moved, foreign, used, late) =
        (flow.code().await?, flow.code().await?, flow.code().await?, flow.code().await?, flow.code().await?);
    flow.redeemed(&used).await?;
    let none = Code { code: "skc_nothing".to_owned(), verifier: late.verifier.clone() };
    let like_one = format!("{}{}", &late.code[..late.code.len() - 6], "AAAAAA");
    let mut heard = vec![
        ("a made-up one", flow.redeem(&none).await?),
        ("one like a code", flow.client.redeem(&like_one, &late.verifier).await?),
        ("an access token", flow.client.redeem("a.b.c", &late.verifier).await?),
        ("another verifier", flow.client.redeem(&wrong.code, &late.verifier).await?),
    ];
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", moved.code.as_str()),
        ("redirect_uri", "http://127.0.0.1:1/elsewhere"),
        ("code_verifier", moved.verifier.as_str()),
    ];
    heard.push(("another redirect URI", flow.client.token(&fields).await?));
    let other = flow.house.client().await?;
    heard.push(("of another client", other.redeem(&foreign.code, &foreign.verifier).await?));
    flow.house.advance(Duration::from_secs(120)).await?;
    heard.push(("used", flow.redeem(&used).await?));
    heard.push(("over", flow.redeem(&late).await?));
    for (what, answer) in &heard {
        tok400(answer, "invalid_grant").map_err(|why| format!("{what}: {why}"))?;
    }
    same(&heard);
    flow.close().await
}

#[tokio::test]
async fn why_a_refresh_token_is_not_taken_is_told_to_nobody() -> Verdict {
    let mut flow = Flow::new().await?;
    let (revoked, used, foreign, stopped) =
        (flow.tokens().await?, flow.tokens().await?, flow.tokens().await?, flow.tokens().await?);
    let id = flow.client.client_id.clone();
    flow.revoke(&[("client_id", &id), ("token", &revoked.refresh)]).await?;
    let next = Tokens::of(&flow.refresh(&used.refresh).await?)?;
    Tokens::of(&flow.refresh(&next.refresh).await?)?;
    let other = flow.house.client().await?;
    let changed = format!("{}AAAA", &stopped.refresh[..stopped.refresh.len() - 4]);
    let mut heard = vec![
        ("made up", flow.refresh("skr_nothing").await?),
        ("changed", flow.refresh(&changed).await?),
        ("an access token", flow.refresh(&stopped.access).await?),
        ("revoked", flow.refresh(&revoked.refresh).await?),
        ("used", flow.refresh(&used.refresh).await?),
        ("of another client", other.refresh(&foreign.refresh).await?),
    ];
    record::tamper(&flow.house, "UPDATE users SET disabled_at = 1")?;
    heard.push(("of a person who was stopped", flow.refresh(&stopped.refresh).await?));
    for (what, answer) in &heard {
        tok400(answer, "invalid_grant").map_err(|why| format!("{what}: {why}"))?;
    }
    same(&heard);
    flow.close().await
}

#[tokio::test]
async fn why_an_access_token_is_not_taken_is_told_to_nobody() -> Verdict {
    let (flow, alice, _) = two().await?;
    let changed = |access: &str, at: usize| {
        let part = access.split('.').nth(at).unwrap_or_default();
        let other = if part.starts_with('A') { "B" } else { "A" };
        access.replacen(part, &format!("{other}{}", &part[1..]), 1)
    };
    let mut flow = flow;
    flow.server = "ledger";
    flow.login = "dario";
    flow.browser = flow.house.browser();
    let elsewhere = flow.tokens().await?;
    flow.server = "notes";
    flow.browser = flow.house.browser();
    let revoked = flow.tokens().await?;
    let id = flow.client.client_id.clone();
    flow.revoke(&[("client_id", &id), ("token", &revoked.refresh)]).await?;
    let mut heard = vec![
        ("made up", flow.house.echo("notes", "nothing").await?),
        ("a refresh token", flow.house.echo("notes", &alice.refresh).await?),
        ("a changed header", flow.house.echo("notes", &changed(&alice.access, 0)).await?),
        ("changed claims", flow.house.echo("notes", &changed(&alice.access, 1)).await?),
        ("a changed signature", flow.house.echo("notes", &changed(&alice.access, 2)).await?),
        ("for another server", flow.house.echo("notes", &elsewhere.access).await?),
        ("revoked", flow.house.echo("notes", &revoked.access).await?),
    ];
    record::tamper(&flow.house, "UPDATE users SET disabled_at = 1")?;
    flow.house.advance(Duration::from_secs(31)).await?;
    heard.push(("of a person who was stopped", flow.house.echo("notes", &alice.access).await?));
    flow.house.advance(Duration::from_secs(3600)).await?;
    heard.push(("over", flow.house.echo("notes", &alice.access).await?));
    for (what, answer) in &heard {
        rs401(answer).map_err(|why| format!("{what}: {why}"))?;
    }
    same(&heard);
    assert_eq!(flow.house.mcp.connections(), 0);
    flow.close().await
}

#[tokio::test]
async fn whether_a_client_with_a_secret_exists_is_told_to_nobody() -> Verdict {
    let flow = Flow::new().await?;
    let grant = [("grant_type", "refresh_token"), ("refresh_token", "skr_nothing")];
    let public = flow.client.client_id.clone();
    let forged = format!("{}AAAA", &public[..public.len() - 4]);
    let ids = ["known-confidential", "nobody", "https://client.example/mcp.json", &forged];
    let (mut by_header, mut by_body) = (Vec::new(), Vec::new());
    for id in ids {
        let header = basic(id, "wrong");
        by_header.push((id, flow.post(&[("authorization", &header)], &grant).await?));
        let fields = [grant.as_slice(), &[("client_id", id), ("client_secret", "wrong")]].concat();
        by_body.push((id, flow.post(&[], &fields).await?));
    }
    for (heard, basic_was_tried) in [(&by_header, true), (&by_body, false)] {
        for (id, answer) in heard {
            tok401(answer, basic_was_tried).map_err(|why| format!("{id}: {why}"))?;
        }
        same(heard);
    }
    flow.close().await
}

#[tokio::test]
async fn whether_a_token_or_a_session_exists_is_told_to_nobody_who_does_not_hold_it() -> Verdict {
    let (flow, alice, bob) = two().await?;
    let other = flow.house.client().await?;
    let revoke = async |token: &str| flow.revoke(&[("client_id", &other.client_id), ("token", token)]).await;
    let heard = [
        ("made up", revoke("nothing").await?),
        ("somebody's refresh token", revoke(&alice.refresh).await?),
        ("somebody's access token", revoke(&alice.access).await?),
    ];
    assert_eq!(heard[0].1.status, StatusCode::OK);
    same(&heard);
    let url = flow.house.resource("notes");
    let send = async |tokens: &Tokens, method: &str, session: &str| {
        let good = bearer(tokens);
        let mut headers = vec![
            ("authorization", good.as_str()),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2025-11-25"),
        ];
        if !session.is_empty() {
            headers.push(("mcp-session-id", session));
        }
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}});
        flow.house.http.post_json(&url, &headers, &message).await
    };
    let session = send(&alice, "initialize", "").await?.header("mcp-session-id").to_owned();
    let cut = &session[..session.len() - 4];
    let long = "x".repeat(9000);
    let heard = [
        ("made up", send(&bob, "ping", "nothing").await?),
        ("cut", send(&bob, "ping", cut).await?),
        ("too long", send(&bob, "ping", &long).await?),
        ("somebody's", send(&bob, "ping", &session).await?),
    ];
    assert_eq!(heard[0].1.status, StatusCode::NOT_FOUND, "{}", heard[0].1.text());
    same(&heard);
    assert_eq!(send(&alice, "ping", &session).await?.status, StatusCode::OK);
    flow.close().await
}
