//! Machines from outside: a service account asks for a token of its own and calls tools with it.

use std::time::Duration;

use authorization_server::{Stopping, Target};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use store::{AuditKind, Queries as _};
use testkit::client::TestClient;
use testkit::house::House;
use testkit::http::Answer;
use testkit::outcomes::{Verdict, rs401, tok400, tok401};

/// The claims of an access token, not verified.
pub(super) fn claims(token: &str) -> Result<serde_json::Value, String> {
    let part = token.split('.').nth(1).ok_or("not a JWT")?;
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

pub(crate) fn machine(house: &House, client_id: &str, secret: &str) -> TestClient {
    house.remember_secret(secret);
    TestClient {
        http: house.http.clone(),
        issuer: house.issuer.clone(),
        client_id: client_id.to_owned(),
        secret: Some(secret.to_owned()),
        redirect_uri: String::new(),
    }
}

fn runner(house: &House) -> TestClient {
    machine(house, "runner", "secret-of-the-runner")
}

async fn ask(client: &TestClient, more: &[(&str, &str)]) -> Result<Answer, String> {
    let mut all = vec![("grant_type", "client_credentials")];
    all.extend_from_slice(more);
    client.token(&all).await
}

async fn token(house: &House, client: &TestClient, more: &[(&str, &str)]) -> Result<String, String> {
    let answer = ask(client, more).await?;
    let token = answer.json()["access_token"].as_str().map(str::to_owned);
    let token = token.ok_or_else(|| format!("{} {}", answer.status, answer.text()))?;
    house.remember_secret(&token);
    Ok(token)
}

#[tokio::test]
async fn a_machine_calls_a_tool_as_itself_and_the_mcp_server_and_the_audit_see_that_it_is_one() -> Verdict {
    let house = House::new().await?;
    let client = runner(&house);
    let answer = ask(&client, &[("resource", &house.resource("notes"))]).await?;
    let json = answer.json();
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!((json["token_type"].as_str(), json["scope"].as_str()), (Some("Bearer"), Some("read write")));
    assert!(json.get("refresh_token").is_none());
    let token = json["access_token"].as_str().ok_or("no token")?;
    house.remember_secret(token);
    let called = house.echo("notes", token).await?;
    assert_eq!(called.status, 200, "{}", called.text());
    let received = house.mcp.received();
    let assertion = claims(received.last().ok_or("no call")?.header("sekisho-identity"))?;
    assert_eq!(assertion["service_account"], "ci");
    assert_eq!(assertion["sub"], claims(token)?["sub"]);
    assert!(assertion.get("groups").is_none());
    // The audit of calls is written when the house closes, at the latest.
    let house = house.restart().await?;
    let account = house.store.find_people("service-account:ci").await.map_err(|error| error.to_string())?;
    let calls = house.audit(AuditKind::Call).await?;
    assert!(calls.iter().any(|call| call.user == account.first().map(|account| account.id)), "{calls:?}");
    house.close().await
}

#[tokio::test]
async fn a_machine_has_what_its_entries_say_and_nothing_beyond() -> Verdict {
    let house = House::new().await?;
    let (ci, nightly) = (runner(&house), machine(&house, "night-runner", "secret-of-the-night-runner"));
    let (notes, ledger) = (house.resource("notes"), house.resource("ledger"));
    let scope = |answer: &Answer| answer.json()["scope"].as_str().unwrap_or_default().to_owned();
    assert_eq!(scope(&ask(&ci, &[("resource", &ledger)]).await?), "read");
    assert_eq!(scope(&ask(&nightly, &[("resource", &notes)]).await?), "read");
    // What the challenge names is given as far as it may be had (decision 18); what nobody has, or none of it, is refused.
    assert_eq!(scope(&ask(&ci, &[("resource", &ledger), ("scope", "read write")]).await?), "read");
    for asked in ["write", "read admin"] {
        tok400(&ask(&ci, &[("resource", &ledger), ("scope", asked)]).await?, "invalid_scope")?;
    }
    tok400(&ask(&nightly, &[("resource", &ledger)]).await?, "invalid_target")?;
    tok400(&ask(&ci, &[]).await?, "invalid_target")?;
    tok400(&ask(&ci, &[("resource", &notes), ("resource", &ledger)]).await?, "invalid_target")?;
    tok400(&ask(&ci, &[("resource", &format!("{notes}#x"))]).await?, "invalid_target")?;
    // A token is for one MCP server, whoever holds it.
    let for_ledger = token(&house, &ci, &[("resource", &ledger)]).await?;
    rs401(&house.echo("notes", &for_ledger).await?)?;
    // And it cannot write with a token that reads, nor is it sent for more than it can have.
    let reading = token(&house, &nightly, &[("resource", &notes)]).await?;
    let refused = house.echo("notes", &reading).await?;
    assert!(refused.status == 200 || !refused.header("www-authenticate").contains("write"), "{refused:?}");
    house.close().await
}

/// A client of one service account cannot ask as another, a public client and a stranger not at all.
#[tokio::test]
async fn nobody_asks_as_a_service_account_but_its_own_clients() -> Verdict {
    let house = House::new().await?;
    let notes = house.resource("notes");
    let with_wrong = machine(&house, "night-runner", "secret-of-the-runner");
    tok401(&ask(&with_wrong, &[("resource", &notes)]).await?, false)?;
    let basic = STANDARD.encode("runner:secret-of-the-night-runner");
    let form = [("grant_type", "client_credentials"), ("resource", notes.as_str())];
    let url = format!("{}/oauth/token", house.issuer);
    let headers = [("authorization", format!("Basic {basic}"))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    tok401(&house.http.post_form(&url, &headers, &form).await?, true)?;
    // The secret in the header is as good as in the body.
    let basic = format!("Basic {}", STANDARD.encode("runner:secret-of-the-runner"));
    let answer = house.http.post_form(&url, &[("authorization", &basic)], &form).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for known in ["known-public", "known-confidential"] {
        let client = house.known_client(known)?;
        tok400(&ask(&client, &[("resource", &notes)]).await?, "unauthorized_client")?;
    }
    let stranger = house.client().await?;
    tok400(&ask(&stranger, &[("resource", &notes)]).await?, "unauthorized_client")?;
    let metadata = serde_json::json!({
        "redirect_uris": ["https://client.example/cb"],
        "grant_types": ["authorization_code", "client_credentials"],
    });
    let url = format!("{}/oauth/register", house.issuer);
    tok400(&house.http.post_json(&url, &[], &metadata).await?, "invalid_client_metadata")?;
    house.close().await
}

#[tokio::test]
async fn a_stopped_service_account_loses_the_tokens_it_has_and_gets_no_new_ones() -> Verdict {
    let house = House::new().await?;
    let (client, notes) = (runner(&house), house.resource("notes"));
    let old = token(&house, &client, &[("resource", &notes)]).await?;
    // Older than clocks may lie apart, and one of this very moment.
    house.advance(Duration::from_secs(400)).await?;
    let young = token(&house, &client, &[("resource", &notes)]).await?;
    let found = house.store.find_people("service-account:ci").await.map_err(|error| error.to_string())?;
    let account = found.into_iter().next().ok_or("no account")?;
    let entropy = testkit::world::TestEntropy::seeded(5);
    let stopping = Stopping {
        clock: house.clock.as_ref(),
        entropy: &entropy,
        issuer: &house.issuer,
        store: house.store.as_ref(),
    };
    let ended = stopping.stop(&Target::User(Box::new(account.clone())), false, None).await;
    assert_eq!(ended.map_err(|error| error.to_string())?.grants, 1);
    house.advance(Duration::ZERO).await?;
    rs401(&house.echo("notes", &old).await?)?;
    rs401(&house.echo("notes", &young).await?)?;
    let after = token(&house, &client, &[("resource", &notes)]).await?;
    let called = house.echo("notes", &after).await?;
    assert_eq!(called.status, 200, "{} {:?}", called.text(), called.headers);
    let ended = stopping.stop(&Target::User(Box::new(account)), true, None).await;
    ended.map_err(|error| error.to_string())?;
    house.advance(Duration::ZERO).await?;
    rs401(&house.echo("notes", &after).await?)?;
    tok400(&ask(&client, &[("resource", &notes)]).await?, "unauthorized_client")?;
    house.close().await
}
