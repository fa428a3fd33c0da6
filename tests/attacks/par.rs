//! Pushed authorization requests (RFC 9126; requirements A16): what is pushed is judged as what a browser brings, and what it
//! is called is worth something to one client, once, for a moment.

use std::time::Duration;

use authorization_server::PushedRules;
use http::{Method, StatusCode};
use protocol::world::Clock as _;
use serde_json::json;
use testkit::client::{TestClient, allow, log_in, parameter};
use testkit::dpop::{DpopKey, claims};
use testkit::house::{House, Plan};
use testkit::http::{Answer, request};
use testkit::outcomes::{Verdict, page400, tok400, tok401};

use crate::record::on_postgres;
use crate::steps::{Code, Flow, Tokens, while_trying};

type Fields = Vec<(String, String)>;

/// The usual request of a client, changed; an empty value takes a parameter out.
fn fields(flow: &Flow, client: &TestClient, challenge: &str, changes: &[(&str, &str)]) -> Fields {
    let mut all = client.authorization_request(&flow.house.resource("notes"), challenge);
    for (name, value) in changes {
        all.retain(|(known, _)| known != name);
        if !value.is_empty() {
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    all
}

async fn push(
    house: &House,
    client: &TestClient,
    headers: &[(&str, &str)],
    fields: &Fields,
) -> Result<Answer, String> {
    let mut all: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if let Some(secret) = &client.secret {
        all.push(("client_secret", secret));
    }
    house.http.post_form(&format!("{}/oauth/par", house.issuer), headers, &all).await
}

fn uri_of(answer: &Answer) -> Result<String, String> {
    let json = answer.json();
    let uri = json["request_uri"].as_str().filter(|_| answer.status == StatusCode::CREATED);
    uri.map(str::to_owned).ok_or_else(|| format!("no request_uri: {} {}", answer.status, answer.text()))
}

/// What the browser is sent to.
fn url(client: &TestClient, request_uri: &str, more: &[(&str, &str)]) -> String {
    let mut all = vec![("client_id", client.client_id.as_str()), ("request_uri", request_uri)];
    all.extend(more);
    let all: Fields = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    client.authorization_url(&all)
}

/// Pushes the usual request.
async fn pushed(flow: &Flow, challenge: &str) -> Result<String, String> {
    let fields = fields(flow, &flow.client, challenge, &[]);
    uri_of(&push(&flow.house, &flow.client, &[], &fields).await?)
}

/// The browser of a person, from the URL to the client.
async fn consented(flow: &mut Flow, url: &str) -> Result<url::Url, String> {
    let page = flow.browser.open(url).await?.page()?;
    let page = log_in(&mut flow.browser, page, "alice").await?;
    allow(&mut flow.browser, &page).await
}

async fn opened(flow: &Flow, url: &str) -> Result<Answer, String> {
    flow.house.http.get(url, &[]).await
}

/// AS-195, AS-196, AS-197; RFC 9101, section 6.3: of what the browser brings nothing counts.
#[tokio::test]
async fn a_pushed_request_leads_to_tokens_and_the_browser_adds_nothing_to_it() -> Verdict {
    let mut flow = Flow::new().await?;
    let pkce = flow.pkce();
    let fields = fields(&flow, &flow.client, &pkce.challenge, &[("scope", "read")]);
    let answer = push(&flow.house, &flow.client, &[], &fields).await?;
    assert_eq!(
        (answer.header("cache-control"), answer.json()["expires_in"].as_u64()),
        ("no-store", Some(90))
    );
    let uri = uri_of(&answer)?;
    assert!(uri.starts_with("urn:ietf:params:oauth:request_uri:") && !uri.contains("state-of-the-test"));
    let hostile = [
        ("redirect_uri", "https://attacker.example/cb"),
        ("scope", "read write"),
        ("state", "another"),
        ("code_challenge", "x"),
        ("resource", "https://attacker.example/mcp"),
    ];
    let asked = url(&flow.client, &uri, &hostile);
    let callback = consented(&mut flow, &asked).await?;
    assert!(callback.as_str().starts_with(&flow.client.redirect_uri), "{callback}");
    assert_eq!(parameter(&callback, "state").as_deref(), Some("state-of-the-test"));
    let code = parameter(&callback, "code").ok_or("no code")?;
    flow.keep(&code);
    let tokens = flow.redeemed(&Code { code, verifier: pkce.verifier }).await?;
    assert_eq!(tokens.claims()?["scope"], "read");
    flow.calls(&tokens.access).await?;
    let metadata = flow.at("/.well-known/oauth-authorization-server");
    let metadata = flow.house.http.get(&metadata, &[]).await?.json();
    assert_eq!(metadata["pushed_authorization_request_endpoint"], json!(flow.at("/oauth/par")));
    assert!(metadata.get("require_pushed_authorization_requests").is_none());
    flow.close().await
}

/// AS-198: for the client that pushed it, once, within its life.
#[tokio::test]
async fn a_request_uri_is_one_client_s_and_good_once_for_a_moment() -> Verdict {
    let mut flow = Flow::new().await?;
    let client = flow.client.clone();
    let other = flow.house.client().await?;
    let uri = pushed(&flow, &flow.pkce().challenge).await?;
    page400(&opened(&flow, &url(&other, &uri, &[])).await?)?;
    page400(&opened(&flow, &flow.at(&format!("/oauth/authorize?request_uri={uri}"))).await?)?;
    let flip = |at: usize| {
        let mut bytes = uri.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap_or_default()
    };
    let length = uri.len();
    let mut wrong: Vec<String> = [40, 60, length / 2, length - 10].into_iter().map(flip).collect();
    wrong.extend([uri[..length - 1].to_owned(), format!("{uri}A"), format!("{uri}="), uri[..40].to_owned()]);
    for uri in wrong {
        page400(&opened(&flow, &url(&client, &uri, &[])).await?).map_err(while_trying(&uri))?;
    }
    // NOCONSUME: nothing of that was a use of it.
    consented(&mut flow, &url(&client, &uri, &[])).await?;
    page400(&opened(&flow, &url(&client, &uri, &[])).await?)?;
    let late = pushed(&flow, &flow.pkce().challenge).await?;
    let kept = pushed(&flow, &flow.pkce().challenge).await?;
    flow.house.advance(Duration::from_secs(89)).await?;
    assert_eq!(opened(&flow, &url(&client, &kept, &[])).await?.status, StatusCode::OK);
    flow.house.advance(Duration::from_secs(1)).await?;
    page400(&opened(&flow, &url(&client, &late, &[])).await?)?;
    flow.close().await
}

/// AS-198 on two nodes: one opens what the other sealed, and it is used on both or on neither.
#[tokio::test]
async fn a_request_uri_is_good_once_on_all_nodes() -> Verdict {
    on_postgres(async |postgres| {
        let flow = Flow::with(Plan { postgres: Some(postgres), ..Plan::default() }).await?;
        let second = flow.house.second_node().await?;
        for _ in 0..10 {
            let uri = pushed(&flow, &flow.pkce().challenge).await?;
            let url = url(&flow.client, &uri, &[]);
            let there = url.replace(&flow.house.issuer, &second.issuer);
            let (one, two) = tokio::join!(flow.house.http.get(&url, &[]), second.http.get(&there, &[]));
            let statuses = [one?.status, two?.status];
            let opened = statuses.iter().filter(|status| **status == StatusCode::OK).count();
            assert_eq!(opened, 1, "{statuses:?}");
        }
        second.close().await?;
        flow.close().await
    })
    .await
}

/// AS-196, AS-197, AS-199.
///
/// NOSTORE: whoever only pushes leaves nothing in the record.
#[tokio::test]
async fn nobody_pushes_for_another_or_what_would_be_refused_at_the_door() -> Verdict {
    let flow = Flow::new().await?;
    let known = flow.house.known_client("known-confidential")?;
    let challenge = flow.pkce().challenge;
    let before = flow.stored().await?;
    for secret in [None, Some("wrong".to_owned())] {
        let thief = TestClient { secret, ..known.clone() };
        tok401(&push(&flow.house, &thief, &[], &fields(&flow, &thief, &challenge, &[])).await?, false)?;
    }
    let nobody = TestClient { client_id: "nobody".to_owned(), secret: None, ..known.clone() };
    tok401(&push(&flow.house, &nobody, &[], &fields(&flow, &nobody, &challenge, &[])).await?, false)?;
    let uri = uri_of(&push(&flow.house, &known, &[], &fields(&flow, &known, &challenge, &[])).await?)?;
    for (name, value, error) in [
        ("redirect_uri", "https://attacker.example/cb", "invalid_request"),
        ("request_uri", uri.as_str(), "invalid_request"),
        ("request_uri", "http://169.254.169.254/", "invalid_request"),
        ("request", "e30.e30.", "request_not_supported"),
        ("response_type", "token", "unsupported_response_type"),
        ("response_mode", "fragment", "invalid_request"),
        ("resource", "https://attacker.example/mcp", "invalid_target"),
        ("scope", "re\"ad", "invalid_scope"),
        ("dpop_jkt", "short", "invalid_request"),
        ("state", &"s".repeat(9000), "invalid_request"),
    ] {
        let fields = fields(&flow, &known, &challenge, &[(name, value)]);
        tok400(&push(&flow.house, &known, &[], &fields).await?, error).map_err(while_trying(name))?;
    }
    let mut twice = fields(&flow, &known, &challenge, &[]);
    twice.push(("state".to_owned(), "two".to_owned()));
    tok400(&push(&flow.house, &known, &[], &twice).await?, "invalid_request")?;
    let long = fields(&flow, &known, &challenge, &[("state", &"s".repeat(8190))]);
    let answer = push(&flow.house, &known, &[], &long).await?;
    assert_eq!(
        (answer.status, answer.error()),
        (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request".to_owned())
    );
    let asked = request(Method::GET, &flow.at("/oauth/par"), &[], bytes::Bytes::new())?;
    assert_eq!(flow.house.http.send(asked).await?.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(flow.stored().await?, before);
    flow.close().await
}

#[tokio::test]
async fn az_17_az_18_a_pushed_request_needs_pkce_with_s256_too() -> Verdict {
    let flow = Flow::new().await?;
    let challenge = flow.pkce().challenge;
    for changes in [
        &[("code_challenge", "")][..],
        &[("code_challenge", ""), ("code_challenge_method", "")],
        &[("code_challenge_method", "")],
        &[("code_challenge_method", "plain")],
        &[("code_challenge_method", "s256")],
    ] {
        let fields = fields(&flow, &flow.client, &challenge, changes);
        let answer = push(&flow.house, &flow.client, &[], &fields).await?;
        tok400(&answer, "invalid_request").map_err(while_trying(&format!("{changes:?}")))?;
    }
    flow.close().await
}

/// RFC 9126, sections 5 and 6.
#[tokio::test]
async fn where_requests_must_be_pushed_no_other_is_taken() -> Verdict {
    let pushed_rules = PushedRules { all: true, clients: Vec::new() };
    let mut flow = Flow::with(Plan { pushed: pushed_rules, ..Plan::default() }).await?;
    let pkce = flow.pkce();
    let plain = fields(&flow, &flow.client, &pkce.challenge, &[]);
    let answer = opened(&flow, &flow.client.authorization_url(&plain)).await?;
    let location = url::Url::parse(answer.header("location")).map_err(|error| error.to_string())?;
    assert_eq!(parameter(&location, "error").as_deref(), Some("invalid_request"));
    let metadata = flow.at("/.well-known/oauth-authorization-server");
    let metadata = flow.house.http.get(&metadata, &[]).await?.json();
    assert_eq!(metadata["require_pushed_authorization_requests"], true);
    let uri = pushed(&flow, &pkce.challenge).await?;
    let url = url(&flow.client, &uri, &[]);
    consented(&mut flow, &url).await?;
    flow.close().await
}

/// AS-226: a proof beside the pushed request binds the code as `dpop_jkt` does.
#[tokio::test]
async fn a_code_is_bound_to_the_key_that_was_proved_when_its_request_was_pushed() -> Verdict {
    let mut flow = Flow::new().await?;
    let (key, thief) = (DpopKey::new()?, DpopKey::new()?);
    let now = flow.house.clock.now().secs();
    let (par, token) = (flow.at("/oauth/par"), flow.at("/oauth/token"));
    let pkce = flow.pkce();
    let other = fields(&flow, &flow.client, &pkce.challenge, &[("dpop_jkt", &thief.thumbprint())]);
    let proof = key.proof(&claims("POST", &par, now))?;
    tok400(&push(&flow.house, &flow.client, &[("dpop", &proof)], &other).await?, "invalid_dpop_proof")?;
    let plain = fields(&flow, &flow.client, &pkce.challenge, &[]);
    let elsewhere = key.proof(&claims("POST", &token, now))?;
    tok400(&push(&flow.house, &flow.client, &[("dpop", &elsewhere)], &plain).await?, "invalid_dpop_proof")?;
    let same = fields(&flow, &flow.client, &pkce.challenge, &[("dpop_jkt", &key.thumbprint())]);
    for fields in [same, plain] {
        let proof = key.proof(&claims("POST", &par, now))?;
        let uri = uri_of(&push(&flow.house, &flow.client, &[("dpop", &proof)], &fields).await?)?;
        let url = url(&flow.client, &uri, &[]);
        let page = flow.browser.open(&url).await?.page()?;
        let page = log_in(&mut flow.browser, page, "alice").await?;
        let callback = allow(&mut flow.browser, &page).await?;
        let code = parameter(&callback, "code").ok_or("no code")?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", flow.client.redirect_uri.as_str()),
            ("code_verifier", pkce.verifier.as_str()),
        ];
        tok400(&flow.client.token(&fields).await?, "invalid_grant")?;
        let stolen = thief.proof(&claims("POST", &token, now))?;
        tok400(&flow.client.token_with(&[("dpop", &stolen)], &fields).await?, "invalid_grant")?;
        let proof = key.proof(&claims("POST", &token, now))?;
        let tokens = Tokens::of(&flow.client.token_with(&[("dpop", &proof)], &fields).await?)?;
        assert_eq!(tokens.claims()?["cnf"], json!({"jkt": key.thumbprint()}));
        for secret in [&tokens.access, &tokens.refresh, &code] {
            flow.keep(secret);
        }
    }
    flow.close().await
}
