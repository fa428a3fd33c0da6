//! Access tokens that are no good, in any number, from one address: what they cost us has an end, and nobody else pays for it
//! (product.md, P-20).

use std::time::Duration;

use http::HeaderValue;
use serde_json::json;
use testkit::house::Plan;
use testkit::http::Answer;
use testkit::outcomes::{Verdict, rs401};
use web::{KnownNetwork, Rate, Rates};

use crate::steps::{Flow, while_trying};

const BURST: u32 = 20;
const MALLORY: &str = "203.0.113.7";

fn rates(burst: u32) -> Rates {
    Rates { bad_tokens: Some(Rate::per_second(1, burst)), ..Rates::unlimited() }
}

/// The tests are the proxy, and so may say from which address they call.
fn limited() -> Plan {
    Plan { rates: rates(BURST), trusted_proxies: vec!["127.0.0.1/32", "::1/128"], ..Plan::default() }
}

async fn echo(flow: &Flow, token: &str, address: &'static str) -> Result<Answer, String> {
    let params = json!({"name": "echo", "arguments": {"said": "hello"}});
    let mut request = flow.house.call_request("notes", token, "tools/call", params)?;
    request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static(address));
    flow.house.http.send(request).await
}

/// Bad tokens of each kind that costs a verification, none twice.
fn bad(number: u32, good: &str) -> Result<String, String> {
    let (signed, _) = good.rsplit_once('.').ok_or("no token")?;
    Ok(match number % 3 {
        0 => format!("{signed}.{}", format!("{number:043}").repeat(2)),
        1 => format!("{number}.{number}.{number}"),
        _ => format!("{good}{number}"),
    })
}

/// AS-242.
#[tokio::test]
async fn whoever_presents_bad_tokens_is_stopped_and_known_tokens_go_on_working() -> Verdict {
    let mut flow = Flow::with(limited()).await?;
    let (known, fresh) = (flow.tokens().await?, flow.tokens().await?);
    assert_eq!(echo(&flow, &known.access, MALLORY).await?.status, 200);
    for number in 0..BURST * 3 {
        let answer = echo(&flow, &bad(number, &known.access)?, MALLORY).await?;
        if number < BURST {
            rs401(&answer).map_err(while_trying(&number.to_string()))?;
            continue;
        }
        assert_eq!(answer.status, 429, "{number}: {}", answer.text());
        let seconds: u64 = answer.header("retry-after").parse().map_err(|_| "no Retry-After")?;
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    // Behind the same address: who works goes on working, who is new waits; no token at all is what it always was.
    assert_eq!(echo(&flow, &known.access, MALLORY).await?.status, 200);
    assert_eq!(echo(&flow, &fresh.access, MALLORY).await?.status, 429);
    let nothing =
        flow.house.http.post(&flow.house.resource("notes"), &[("x-forwarded-for", MALLORY)], "{}").await?;
    assert_eq!(nothing.status, 401, "{}", nothing.text());
    // Anywhere else nobody notices.
    assert_eq!(echo(&flow, &fresh.access, "203.0.113.8").await?.status, 200);
    rs401(&echo(&flow, &bad(1, &known.access)?, "203.0.113.8").await?)?;
    // And time heals, one by one.
    flow.house.advance(Duration::from_secs(1)).await?;
    let again = flow.tokens().await?;
    assert_eq!(
        echo(&flow, &again.access, MALLORY).await?.status,
        200,
        "a token that is good draws on nothing"
    );
    rs401(&echo(&flow, &bad(2, &known.access)?, MALLORY).await?)?;
    assert_eq!(echo(&flow, &bad(5, &known.access)?, MALLORY).await?.status, 429);
    flow.close().await
}

#[tokio::test]
async fn a_known_network_pays_for_its_own_bad_tokens_only() -> Verdict {
    let cloud = KnownNetwork {
        name: "cloud".to_owned(),
        networks: vec!["198.51.100.0/24".parse().map_err(|_| "no network")?],
        rates: rates(BURST * 2),
        connections: 1000,
    };
    let mut flow = Flow::with(Plan { networks: vec![cloud].into(), ..limited() }).await?;
    let tokens = flow.tokens().await?;
    let mut refused = 0;
    for number in 0..BURST * 3 {
        let address = if number % 2 == 0 { "198.51.100.1" } else { "198.51.100.2" };
        refused += u32::from(echo(&flow, &bad(number, &tokens.access)?, address).await?.status == 429);
    }
    assert_eq!(refused, BURST);
    assert_eq!(echo(&flow, &tokens.access, "198.51.100.3").await?.status, 429);
    assert_eq!(echo(&flow, &tokens.access, MALLORY).await?.status, 200);
    flow.close().await
}

/// A Monday morning: everybody behind one address comes with a token that ended overnight, and all of them at once.
#[tokio::test]
async fn tokens_that_are_over_are_no_attack_and_are_always_told_to_refresh() -> Verdict {
    let mut flow = Flow::with(limited()).await?;
    let old = flow.tokens().await?;
    flow.house.advance(Duration::from_secs(3600)).await?;
    for number in 0..BURST * 3 {
        rs401(&echo(&flow, &old.access, MALLORY).await?).map_err(while_trying(&number.to_string()))?;
    }
    let fresh = flow.tokens().await?;
    assert_eq!(echo(&flow, &fresh.access, MALLORY).await?.status, 200);
    // Nor does it help whoever is stopped to say that theirs are over, or not to.
    for number in 0..BURST {
        rs401(&echo(&flow, &bad(number, &fresh.access)?, MALLORY).await?)?;
    }
    rs401(&echo(&flow, &old.access, MALLORY).await?)?;
    assert_eq!(echo(&flow, &bad(BURST, &fresh.access)?, MALLORY).await?.status, 429);
    flow.close().await
}
