//! The examples of `docs/who-is-calling.md`: the one in Rust is run here as it stands there, against what an MCP server is
//! really sent; those in Python and TypeScript by `tests/clients/who.mjs`.

#[expect(unreachable_pub, reason = "it stands there as in an MCP server of its own")]
#[path = "../../examples/who-is-calling/who.rs"]
mod who;

use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;
use testkit::house::{House, Plan};
use testkit::outcomes::Verdict;
use testkit::world::TestClock;

use self::who::who;

const PAGE: &str = include_str!("../../docs/who-is-calling.md");
const SHOWN: [(&str, &str); 3] = [
    ("rust", include_str!("../../examples/who-is-calling/who.rs")),
    ("python", include_str!("../../examples/who-is-calling/who.py")),
    ("typescript", include_str!("../../examples/who-is-calling/who.ts")),
];

#[test]
fn the_page_shows_the_examples_that_are_run() {
    for (language, example) in SHOWN {
        assert!(
            PAGE.contains(&format!("```{language}\n{example}```")),
            "the {language} of the page is another"
        );
    }
}

/// What the MCP server of the house was sent, the access token it was sent for, and the keys.
async fn sent(house: &House) -> Result<(String, String, JwkSet), String> {
    let client = super::machines::machine(house, "runner", "secret-of-the-runner");
    let fields = [("grant_type", "client_credentials"), ("resource", &house.resource("notes"))];
    let issued = client.token(&fields).await?.json();
    let token = issued["access_token"].as_str().ok_or("no token")?.to_owned();
    house.remember_secret(&token);
    let called = house.echo("notes", &token).await?;
    assert_eq!(called.status, 200, "{}", called.text());
    let assertion = house.mcp.received().last().ok_or("no call")?.header("sekisho-identity").to_owned();
    let keys = house.http.get(&format!("{}/oauth/jwks", house.issuer), &[] as &[(&str, &str)]).await?;
    Ok((assertion, token, serde_json::from_slice(&keys.body).map_err(|error| error.to_string())?))
}

/// Stock libraries go by the time of day.
fn now() -> Plan {
    Plan { clock: Arc::new(TestClock::real()), ..Plan::default() }
}

#[tokio::test]
async fn the_example_in_rust_says_who_calls_and_takes_nothing_else_for_it() -> Verdict {
    let house = House::with(now()).await?;
    let (assertion, token, keys) = sent(&house).await?;
    let (issuer, audience) = (house.issuer.as_str(), house.mcp.url.as_str());
    let caller = who(&assertion, &keys, issuer, audience).map_err(|error| error.to_string())?;
    assert_eq!((caller.service_account.as_deref(), caller.client_id.as_str()), (Some("ci"), "runner"));
    assert_eq!((caller.scope.as_deref(), caller.groups.len()), (Some("read write"), 0));
    assert!(!caller.sub.is_empty() && caller.name.is_some());
    let (signed, signature) = assertion.rsplit_once('.').ok_or("no JWT")?;
    let forged = format!("{}A.{signature}", &signed[..signed.len() - 1]);
    for (what, assertion, keys, issuer, audience) in [
        ("of another MCP server", assertion.as_str(), &keys, issuer, "http://127.0.0.1:1/mcp"),
        ("of another issuer", &assertion, &keys, "http://127.0.0.1:1", audience),
        ("of another key", &assertion, &JwkSet { keys: Vec::new() }, issuer, audience),
        ("a forgery", &forged, &keys, issuer, audience),
        ("an access token", &token, &keys, issuer, house.resource("notes").as_str()),
    ] {
        assert!(who(assertion, keys, issuer, audience).is_err(), "{what} is taken for an identity assertion");
    }
    house.close().await
}

#[tokio::test]
async fn the_example_in_rust_takes_no_assertion_that_is_over() -> Verdict {
    // Whose clock stands still, in the past of the library.
    let house = House::new().await?;
    let (assertion, _, keys) = sent(&house).await?;
    let refused = who(&assertion, &keys, &house.issuer, &house.mcp.url).map_err(|error| error.to_string());
    assert!(refused.is_err_and(|error| error.contains("Expired")));
    house.close().await
}
