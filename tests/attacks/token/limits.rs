//! Guessing, and browsers as clients.

use std::time::Duration;

use store::AuditKind;
use testkit::house::Plan;
use testkit::outcomes::{Verdict, tok401};
use web::{Rate, Rates};

use crate::steps::{Flow, Tokens, basic};

const KNOWN: &str = "known-confidential";
const SECRET: &str = "secret-of-the-known-client";

fn limited() -> Plan {
    let rates = Rates { client: Some(Rate::per_second(1, 20)), ..Rates::unlimited() };
    // The tests are the proxy, and so may say from which address they call.
    Plan { rates, trusted_proxies: vec!["127.0.0.1/32", "::1/128"], ..Plan::default() }
}

/// AS-152.
#[tokio::test]
async fn tk_46_whoever_guesses_secrets_is_stopped_and_the_owner_is_not() -> Verdict {
    let mut flow = Flow::with(limited()).await?;
    flow.client = flow.house.known_client(KNOWN)?;
    let code = flow.code().await?;
    let from = |address: &'static str| ("x-forwarded-for", address);
    let mut answers = Vec::new();
    for guess in 0..100 {
        let secret = format!("guess {guess}");
        let fields = [
            ("client_id", KNOWN),
            ("client_secret", &secret),
            ("grant_type", "refresh_token"),
            ("refresh_token", "x"),
        ];
        answers.push(flow.post(&[from("203.0.113.7")], &fields).await?);
    }
    let stopped = answers.iter().skip(20);
    for answer in answers.iter().take(20) {
        tok401(answer, false)?;
    }
    for answer in stopped {
        assert_eq!(answer.status, 429, "{}", answer.text());
        let seconds: u64 = answer.header("retry-after").parse().map_err(|_| "no Retry-After")?;
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    // The right secret comes too late from there, in the header as well, and is right from anywhere else.
    let header = basic(KNOWN, SECRET);
    let good =
        [("grant_type", "authorization_code"), ("code", &code.code), ("code_verifier", &code.verifier)];
    let with_id = [good.as_slice(), &[("client_id", KNOWN)]].concat();
    let late = flow.post(&[from("203.0.113.7"), ("authorization", &header)], &with_id).await?;
    assert_eq!(late.status, 429, "{}", late.text());
    let elsewhere = flow.post(&[from("203.0.113.8"), ("authorization", &header)], &good).await?;
    Tokens::of(&elsewhere)?;
    // The guesses that were judged are told of, each once.
    assert_eq!(flow.events(AuditKind::TokenRefused, "client_secret_wrong").await?.len(), 20);
    let event = flow.events(AuditKind::TokenRefused, "client_secret_wrong").await?.remove(0);
    assert_eq!((event.client_id.as_deref(), event.address.as_deref()), (Some(KNOWN), Some("203.0.113.7")));
    // And time heals.
    flow.house.advance(Duration::from_secs(30)).await?;
    let fields = [("client_id", KNOWN), ("client_secret", "x")];
    tok401(&flow.post(&[from("203.0.113.7")], &fields).await?, false)?;
    flow.house.close().await
}

/// AS-242.
#[tokio::test]
async fn tk_46_whoever_guesses_codes_is_stopped() -> Verdict {
    let flow = Flow::with(limited()).await?;
    let mut refused = 0;
    for guess in 0..60 {
        let fields = [
            ("client_id", flow.client.client_id.as_str()),
            ("grant_type", "authorization_code"),
            ("code", &format!("skc_{guess:043}")),
            ("code_verifier", "v"),
        ];
        refused += u32::from(flow.post(&[("x-forwarded-for", "203.0.113.7")], &fields).await?.status == 429);
    }
    assert_eq!(refused, 40);
    // Refusals that anybody can cause do not fill the record.
    assert_eq!(flow.house.audit(AuditKind::TokenRefused).await?.len(), 0);
    flow.close().await
}

#[tokio::test]
async fn tk_41_scripts_of_unlisted_origins_learn_nothing() -> Verdict {
    let mut flow = Flow::new().await?;
    let id = flow.client.client_id.clone();
    for path in ["/oauth/token", "/oauth/register", "/oauth/revoke"] {
        for origin in
            ["null", "https://evil.example", "https://claude.ai.evil.example", "http://claude.ai", ""]
        {
            let headers = [("origin", origin), ("cookie", "a=b"), ("sec-fetch-site", "cross-site")];
            let answer = flow.house.http.post_form(&flow.at(path), &headers, &[("client_id", &id)]).await?;
            let preflight = [("origin", origin), ("access-control-request-method", "POST")];
            let url = flow.at(path);
            let asked = testkit::http::request(http::Method::OPTIONS, &url, &preflight, bytes::Bytes::new())?;
            for answer in [answer, flow.house.http.send(asked).await?] {
                let told = |name: &str| answer.headers.get(name).cloned();
                assert_eq!(told("access-control-allow-origin"), None, "{path} {origin}");
                assert_eq!(told("access-control-allow-credentials"), None, "{path} {origin}");
                assert!(answer.header("vary").to_ascii_lowercase().contains("origin"), "{path} {origin}");
            }
        }
    }
    // A listed one reads the answer, without credentials and never by a star; and a cookie changes nothing.
    let code = flow.code().await?;
    let fields = [
        ("client_id", id.as_str()),
        ("grant_type", "authorization_code"),
        ("code", &code.code),
        ("code_verifier", &code.verifier),
    ];
    let answer = flow.post(&[("origin", "https://claude.ai"), ("cookie", "x=y")], &fields).await?;
    Tokens::of(&answer)?;
    assert_eq!(answer.header("access-control-allow-origin"), "https://claude.ai");
    assert_eq!(answer.headers.get("access-control-allow-credentials"), None);
    flow.house.close().await
}
