//! What a review of the authorization server from outside found, so that it stays found.

use std::time::Duration;

use store::{AuditKind, PendingCaps};
use testkit::client::{LOOPBACK_REDIRECT, allow, log_in, parameter};
use testkit::house::Plan;
use testkit::outcomes::{Verdict, tok400};
use web::{Rate, Rates};

use crate::steps::{Flow, Tokens, basic};

const KNOWN: &str = "known-confidential";

fn behind_a_proxy(rates: Rates) -> Plan {
    // The tests are the proxy, and so may say from which address they call.
    Plan { rates, trusted_proxies: vec!["127.0.0.1/32", "::1/128"], ..Plan::default() }
}

#[tokio::test]
async fn guesses_in_the_header_draw_on_one_budget_however_they_differ() -> Verdict {
    let rates = Rates { client: Some(Rate::per_second(1, 20)), ..Rates::unlimited() };
    let flow = Flow::with(behind_a_proxy(rates)).await?;
    let mut limited = 0;
    for guess in 0..60 {
        let header = basic(KNOWN, &format!("guess {guess}"));
        let headers = [("x-forwarded-for", "203.0.113.7"), ("authorization", header.as_str())];
        let fields = [("grant_type", "refresh_token"), ("refresh_token", "x")];
        limited += u32::from(flow.post(&headers, &fields).await?.status == 429);
    }
    assert_eq!(limited, 40);
    flow.close().await
}

#[tokio::test]
async fn the_event_of_issued_tokens_tells_from_where_the_code_was_redeemed() -> Verdict {
    let mut flow = Flow::with(behind_a_proxy(Rates::unlimited())).await?;
    let code = flow.code().await?;
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", flow.client.client_id.as_str()),
        ("code", &code.code),
        ("code_verifier", &code.verifier),
        ("redirect_uri", LOOPBACK_REDIRECT),
    ];
    Tokens::of(&flow.post(&[("x-forwarded-for", "203.0.113.9")], &fields).await?)?;
    let event = flow.aud(AuditKind::TokenIssued, "").await?;
    assert_eq!(event.address.as_deref(), Some("203.0.113.9"));
    flow.house.close().await
}

#[tokio::test]
async fn a_client_that_repeats_its_first_scope_at_the_refresh_is_not_refused_for_habits() -> Verdict {
    let mut flow = Flow::new().await?;
    let tokens = flow.tokens().await?;
    let refresh = |token: String, scope: &'static str| {
        let id = flow.client.client_id.clone();
        let flow = &flow;
        async move {
            let fields = [
                ("grant_type", "refresh_token"),
                ("client_id", id.as_str()),
                ("refresh_token", token.as_str()),
                ("scope", scope),
            ];
            flow.post(&[], &fields).await
        }
    };
    let answer = refresh(tokens.refresh.clone(), "openid read offline_access").await?;
    assert_eq!(answer.json()["scope"], "read", "{}", answer.text());
    let answer = refresh(Tokens::of(&answer)?.refresh, "offline_access").await?;
    assert_eq!(answer.json()["scope"], "read write", "{}", answer.text());
    let last = Tokens::of(&answer)?.refresh;
    tok400(&refresh(last.clone(), "read admin offline_access").await?, "invalid_scope")?;
    // And that cost nothing.
    flow.house.advance(Duration::from_secs(120)).await?;
    Tokens::of(&refresh(last, "read").await?)?;
    flow.house.close().await
}

#[tokio::test]
async fn tabs_that_are_opened_at_once_in_a_fresh_browser_can_all_be_finished() -> Verdict {
    // A client of several MCP servers opens one tab for each; none of their requests brings a cookie yet.
    let mut flow = Flow::new().await?;
    let mut tabs = Vec::new();
    for _ in 0..3 {
        let (client, pkce) = (flow.house.client().await?, flow.pkce());
        let url = client
            .authorization_url(&client.authorization_request(&flow.house.resource("notes"), &pkce.challenge));
        let mut tab = flow.house.browser();
        let page = tab.open(&url).await?.page()?;
        for (host, cookies) in tab.cookies {
            flow.browser.cookies.entry(host).or_default().extend(cookies);
        }
        tabs.push((client, pkce, page));
    }
    for (client, pkce, page) in tabs {
        let page = log_in(&mut flow.browser, page, "alice").await?;
        let callback = allow(&mut flow.browser, &page).await?;
        let code = parameter(&callback, "code").ok_or("no code")?;
        Tokens::of(&client.redeem(&code, &pkce.verifier).await?)?;
    }
    // From then on there is no further cookie: the first one is taken again.
    let before = flow.browser.cookies.clone();
    flow.consent(&"c".repeat(43)).await?;
    let names = |jar: &std::collections::BTreeMap<String, std::collections::BTreeMap<String, String>>| {
        jar.values().flat_map(|cookies| cookies.keys().cloned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&flow.browser.cookies), names(&before));
    flow.house.close().await
}

#[tokio::test]
async fn a_network_of_many_addresses_cannot_take_the_places_of_everybody() -> Verdict {
    let pending = PendingCaps { per_address: 5, total: 100 };
    let flow = Flow::with(Plan { pending, ..behind_a_proxy(Rates::unlimited()) }).await?;
    let url = flow.client.authorization_url(
        &flow.client.authorization_request(&flow.house.resource("notes"), &flow.pkce().challenge),
    );
    let mut taken = 0;
    for host in 1..=20 {
        let address = format!("2001:db8:1:2::{host:x}");
        let answer = flow.house.http.get(&url, &[("x-forwarded-for", &address)]).await?;
        taken += u32::from(answer.status == 200);
    }
    assert_eq!(taken, 5);
    let neighbour = flow.house.http.get(&url, &[("x-forwarded-for", "2001:db8:1:3::1")]).await?;
    assert_eq!(neighbour.status, 200, "{}", neighbour.text());
    flow.house.close().await
}
