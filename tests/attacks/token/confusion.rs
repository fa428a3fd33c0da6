//! One kind of token in the place of another: each is good for one thing at one door.

use serde_json::json;
use testkit::house::Plan;
use testkit::outcomes::{Verdict, rs401, rs401_bare, tok400};

use crate::steps::{Flow, while_trying};

/// Everything secret-looking that a client or an MCP server of ours ever holds.
async fn collection(flow: &mut Flow) -> Result<Vec<(&'static str, String)>, String> {
    let tokens = flow.tokens().await?;
    flow.calls(&tokens.access).await?;
    let assertion = flow.house.mcp.received().last().map(|call| call.header("sekisho-identity").to_owned());
    let unredeemed = flow.code().await?;
    let redeemed = flow.code().await?;
    flow.redeemed(&redeemed).await?;
    let challenge = flow.pkce().challenge;
    let page = flow.consent(&challenge).await?;
    let csrf = page.form()?.value("csrf").unwrap_or_default().to_owned();
    let authorization = page.form()?.value("authorization").unwrap_or_default().to_owned();
    let cookies = flow.browser.cookies.values().flatten().map(|(_, value)| value.clone());
    let initialize = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    });
    let headers = [("authorization", format!("Bearer {}", tokens.access))];
    let headers =
        [("authorization", headers[0].1.as_str()), ("accept", "application/json, text/event-stream")];
    let begun = flow.house.http.post_json(&flow.house.resource("notes"), &headers, &initialize).await?;
    let session = begun.header("mcp-session-id").to_owned();
    let mut all = vec![
        ("refresh token", tokens.refresh),
        ("identity assertion", assertion.unwrap_or_default()),
        ("code", unredeemed.code),
        ("redeemed code", redeemed.code),
        ("verifier", unredeemed.verifier),
        ("form token", csrf),
        ("authorization id", authorization),
        ("MCP session", session),
        ("client id", flow.client.client_id.clone()),
    ];
    all.extend(cookies.map(|value| ("cookie", value)));
    match all.iter().find(|(_, secret)| secret.is_empty()) {
        Some((what, _)) => Err(format!("there is no {what}")),
        None => Ok(all),
    }
}

/// AS-174.
#[tokio::test]
async fn tk_31_nothing_but_an_access_token_is_a_bearer_token() -> Verdict {
    let mut flow = Flow::new().await?;
    let all = collection(&mut flow).await?;
    assert!(all.iter().filter(|(what, _)| *what == "cookie").count() >= 3, "{all:?}");
    let received = flow.house.mcp.received().len();
    for (what, secret) in &all {
        rs401(&flow.house.echo("notes", secret).await?).map_err(while_trying(what))?;
    }
    assert_eq!(flow.house.mcp.received().len(), received, "the MCP server saw none of it");
    flow.house.close().await
}

/// RFC 9068, section 4: by the same key, with the same claims, but made for something else.
///
/// AS-174.
#[tokio::test]
async fn tk_31_what_we_signed_for_something_else_is_no_access_token() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let claims = tokens.claims()?;
    let keys = flow.house.keeper.keys().load_full();
    let sign =
        |typ: &'static str| keys.signing.active().sign(typ, &claims).map_err(|error| error.to_string());
    flow.calls(&sign("at+jwt")?).await?;
    let received = flow.house.mcp.received().len();
    for typ in
        ["", "JWT", "jwt", "at", "sekisho-identity+jwt", "rt+jwt", "id_token+jwt", "at+jwt ", "at+jwt,JWT"]
    {
        rs401(&flow.house.echo("notes", &sign(typ)?).await?).map_err(while_trying(typ))?;
    }
    assert_eq!(flow.house.mcp.received().len(), received, "the MCP server saw none of it");
    flow.house.close().await
}

#[tokio::test]
async fn tk_31_nothing_but_a_refresh_token_refreshes_and_nothing_but_a_code_is_redeemed() -> Verdict {
    let mut flow = Flow::new().await?;
    let all = collection(&mut flow).await?;
    let tokens = flow.tokens().await?;
    let mut others: Vec<(&str, String)> =
        all.into_iter().filter(|(what, _)| *what != "refresh token").collect();
    others.push(("access token", tokens.access.clone()));
    for (what, secret) in &others {
        tok400(&flow.client.refresh(secret).await?, "invalid_grant").map_err(while_trying(what))?;
    }
    let codes = others.iter().filter(|(what, _)| !what.ends_with("code"));
    for (what, secret) in codes.chain([&("refresh token", tokens.refresh.clone())]) {
        tok400(
            &flow.client.redeem(secret, &testkit::client::Pkce::new("x").verifier).await?,
            "invalid_grant",
        )
        .map_err(while_trying(what))?;
    }
    flow.lives(&tokens).await?;
    flow.house.close().await
}

/// AS-164.
#[tokio::test]
async fn an_access_token_is_good_at_its_own_mcp_server_only() -> Verdict {
    let mut flow = Flow::new().await?;
    flow.login = "dario";
    let notes = flow.tokens().await?;
    flow.server = "ledger";
    let ledger = flow.tokens().await?;
    flow.calls(&ledger.access).await?;
    let received = flow.house.mcp.received().len();
    rs401(&flow.house.echo("ledger", &notes.access).await?)?;
    rs401(&flow.house.echo("notes", &ledger.access).await?)?;
    assert_eq!(flow.house.mcp.received().len(), received);
    // A refresh token is good for the resource of its grant only.
    let other = flow.house.resource("notes");
    let fields =
        [("grant_type", "refresh_token"), ("refresh_token", ledger.refresh.as_str()), ("resource", &other)];
    tok400(&flow.client.token(&fields).await?, "invalid_target")?;
    flow.lives(&ledger).await?;
    flow.house.close().await
}

/// AS-044.
#[tokio::test]
async fn tokens_of_another_house_are_worth_nothing_here() -> Verdict {
    let mut here = Flow::new().await?;
    let ours = here.tokens().await?;
    let mut there = Flow::with(Plan { luck: 1 << 32, ..Plan::default() }).await?;
    let foreign = there.tokens().await?;
    let unredeemed = there.code().await?;
    let received = here.house.mcp.received().len();
    rs401(&here.house.echo("notes", &foreign.access).await?)?;
    tok400(&here.client.refresh(&foreign.refresh).await?, "invalid_grant")?;
    tok400(&here.client.redeem(&unredeemed.code, &unredeemed.verifier).await?, "invalid_grant")?;
    // Its clients are nobody here, and its sessions are none.
    let mut stray = there.client.clone();
    stray.issuer = here.house.issuer.clone();
    testkit::outcomes::tok401(&stray.refresh(&ours.refresh).await?, false)?;
    let mut browser = here.house.browser();
    let theirs = there.browser.cookies.values().flatten().map(|(name, value)| (name.clone(), value.clone()));
    let port = |text: &str| text.rsplit(':').next().unwrap_or_default().to_owned();
    let (from, to) = (port(&there.house.issuer), port(&here.house.issuer));
    let renamed = theirs.map(|(name, value)| (name.replace(&from, &to), value)).collect();
    browser.cookies.insert(here.house.host(), renamed);
    let fields = here.client.authorization_request(&here.house.resource("notes"), &here.pkce().challenge);
    let page = browser.open(&here.client.authorization_url(&fields)).await?.page()?;
    assert!(
        page.form()?.buttons.iter().any(|(name, _)| name == "connector"),
        "nobody is signed in: {}",
        page.words()
    );
    assert_eq!(here.house.mcp.received().len(), received);
    here.lives(&ours).await?;
    there.lives(&foreign).await?;
    here.house.close().await?;
    there.house.close().await
}

/// AS-165, AS-166.
#[tokio::test]
async fn an_access_token_dies_to_the_second_and_one_from_the_future_is_none() -> Verdict {
    use std::time::Duration;
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    flow.house.advance(Duration::from_micros(599_999_999)).await?;
    flow.calls(&tokens.access).await?;
    flow.house.advance(Duration::from_micros(1)).await?;
    rs401(&flow.house.echo("notes", &tokens.access).await?)?;
    rs401_bare(&flow.house.http.post_json(&flow.house.resource("notes"), &[], &json!({})).await?)?;
    flow.close().await
}
