//! Proof of possession (RFC 9449; requirements A20, B24): what a thief does with a token, a code or a proof that is not
//! theirs.

use std::time::Duration;

use http::Method;
use protocol::oauth::{DpopMode, DpopRules};
use protocol::world::Clock as _;
use serde_json::{Value, json};
use testkit::client::TestClient;
use testkit::dpop::{DpopKey, ath, claims};
use testkit::house::{Plan, introspection_secret};
use testkit::http::{Answer, request};
use testkit::outcomes::{Verdict, tok400};

use crate::record;
use crate::steps::{Code, Flow, Tokens, basic, while_trying};

/// A client that holds a key.
struct Holder {
    flow: Flow,
    key: DpopKey,
}

fn with(mut claims: Value, changes: Value) -> Value {
    if let (Some(all), Value::Object(changes)) = (claims.as_object_mut(), changes) {
        for (name, value) in changes {
            if value.is_null() {
                all.remove(&name)
            } else {
                all.insert(name, value)
            };
        }
    }
    claims
}

impl Holder {
    async fn new() -> Result<Self, String> {
        Self::with(Plan::default()).await
    }

    async fn with(plan: Plan) -> Result<Self, String> {
        Ok(Self { flow: Flow::with(plan).await?, key: DpopKey::new()? })
    }

    /// The claims of a proof for the token endpoint.
    fn at_token(&self) -> Value {
        self.claims("POST", &self.flow.at("/oauth/token"))
    }

    fn claims(&self, method: &str, url: &str) -> Value {
        claims(method, url, self.flow.house.clock.now().secs())
    }

    /// The claims of a proof for a call with this token.
    fn at_server(&self, token: &str) -> Value {
        with(self.claims("POST", &self.flow.house.resource("notes")), json!({"ath": ath(token)}))
    }

    async fn redeem(&self, code: &Code, proofs: &[&str]) -> Result<Answer, String> {
        let client = &self.flow.client;
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", client.client_id.as_str()),
            ("code", &code.code),
            ("redirect_uri", &client.redirect_uri),
            ("code_verifier", &code.verifier),
        ];
        let headers: Vec<_> = proofs.iter().map(|proof| ("dpop", *proof)).collect();
        let answer = self.flow.post(&headers, &fields).await?;
        self.keep(&answer);
        Ok(answer)
    }

    async fn refresh(&self, token: &str, proofs: &[&str]) -> Result<Answer, String> {
        let id = self.flow.client.client_id.as_str();
        let fields = [("grant_type", "refresh_token"), ("client_id", id), ("refresh_token", token)];
        let headers: Vec<_> = proofs.iter().map(|proof| ("dpop", *proof)).collect();
        let answer = self.flow.post(&headers, &fields).await?;
        self.keep(&answer);
        Ok(answer)
    }

    fn keep(&self, answer: &Answer) {
        for name in ["access_token", "refresh_token"] {
            if let Some(secret) = answer.json()[name].as_str() {
                self.flow.keep(secret);
            }
        }
    }

    async fn tokens(&mut self) -> Result<Tokens, String> {
        let code = self.flow.code().await?;
        let answer = self.redeem(&code, &[&self.key.proof(&self.at_token())?]).await?;
        if answer.json()["token_type"] != "DPoP" {
            return Err(format!("a bound token is expected: {}", answer.text()));
        }
        Tokens::of(&answer)
    }

    /// A call with this scheme and these proofs.
    async fn call(&self, scheme: &str, token: &str, proofs: &[&str]) -> Result<Answer, String> {
        let params = json!({"name": "echo", "arguments": {"said": "hello"}});
        let mut asked = self.flow.house.call_request("notes", token, "tools/call", params)?;
        let value = format!("{scheme} {token}").parse().map_err(|_| "not a header")?;
        asked.headers_mut().insert("authorization", value);
        for proof in proofs {
            asked.headers_mut().append("dpop", proof.parse().map_err(|_| "not a header")?);
        }
        self.flow.house.http.send(asked).await
    }

    async fn calls(&self, token: &str) -> Verdict {
        let proof = self.key.proof(&self.at_server(token))?;
        let answer = self.call("DPoP", token, &[&proof]).await?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text())) }
    }
}

/// RS-198: 401 by the scheme `DPoP`, with the algorithms.
fn refused(answer: &Answer, error: &str) -> Verdict {
    let challenge = answer.header("www-authenticate");
    let right = answer.status == 401
        && challenge.starts_with("DPoP resource_metadata=\"")
        && challenge.contains(&format!("error=\"{error}\""))
        && challenge.ends_with("algs=\"ES256 EdDSA\"");
    if right { Ok(()) } else { Err(format!("{error} is expected: {} {challenge}", answer.status)) }
}

/// AS-169, AS-194, AS-219, AS-220, AS-221, AS-222, RS-192 to RS-199: what is right works, and the MCP server sees nothing of it.
#[tokio::test]
async fn a_bound_token_works_for_whoever_holds_the_key_and_the_proof_goes_no_further() -> Verdict {
    let mut holder = Holder::new().await?;
    let tokens = holder.tokens().await?;
    assert_eq!(tokens.claims()?["cnf"], json!({"jkt": holder.key.thumbprint()}));
    holder.calls(&tokens.access).await?;
    let received = holder.flow.house.mcp.received();
    assert!(!received.is_empty());
    assert!(
        received.iter().all(|one| one.header("dpop").is_empty() && one.header("authorization").is_empty())
    );
    // RFC 9449, section 6.2.
    let header = basic("notes", &introspection_secret("notes"));
    let url = holder.flow.at("/oauth/introspect");
    let fields = [("token", tokens.access.as_str())];
    let said = holder.flow.house.http.post_form(&url, &[("authorization", &header)], &fields).await?.json();
    assert_eq!(
        (&said["token_type"], &said["cnf"]),
        (&"DPoP".into(), &json!({"jkt": holder.key.thumbprint()}))
    );
    let answer = holder.refresh(&tokens.refresh, &[&holder.key.proof(&holder.at_token())?]).await?;
    assert_eq!(answer.json()["token_type"], "DPoP");
    holder.calls(&Tokens::of(&answer)?.access).await?;
    let metadata = holder.flow.at("/.well-known/oauth-authorization-server");
    let metadata = holder.flow.house.http.get(&metadata, &[]).await?.json();
    assert_eq!(metadata["dpop_signing_alg_values_supported"], json!(["ES256", "EdDSA"]));
    holder.flow.close().await
}

/// RFC 9449, section 7.2: a stolen token is worth nothing by any scheme without the key.
#[tokio::test]
async fn a_stolen_bound_token_is_worth_nothing_without_its_key() -> Verdict {
    let mut holder = Holder::new().await?;
    let tokens = holder.tokens().await?;
    let token = tokens.access.as_str();
    let downgraded = holder.call("Bearer", token, &[]).await?;
    assert_eq!(downgraded.status, 401);
    let challenges: Vec<_> = downgraded.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(challenges.len(), 2, "one for each scheme: {challenges:?}");
    assert!(downgraded.header("www-authenticate").contains("error=\"invalid_token\""));
    let good = holder.key.proof(&holder.at_server(token))?;
    assert_eq!(holder.call("Bearer", token, &[&good]).await?.status, 401, "not even with the proof");
    refused(&holder.call("DPoP", token, &[]).await?, "invalid_dpop_proof")?;
    refused(&holder.call("DPoP", "x", &[&good]).await?, "invalid_token")?;
    let thief = DpopKey::new()?;
    let own = thief.proof(&holder.at_server(token))?;
    refused(&holder.call("DPoP", token, &[&own]).await?, "invalid_dpop_proof")?;
    // The owner's key in the header, the thief's under the text.
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": holder.key.jwk()});
    let forged = thief.sign(&header, &holder.at_server(token))?;
    refused(&holder.call("DPoP", token, &[&forged]).await?, "invalid_dpop_proof")?;
    // Nothing of that was held against the proof that was not used.
    assert_eq!(holder.call("DPoP", token, &[&good]).await?.status, 200);
    holder.flow.close().await
}

#[tokio::test]
async fn a_proof_is_for_one_request_and_no_other() -> Verdict {
    let mut holder = Holder::new().await?;
    let (tokens, other) = (holder.tokens().await?, holder.tokens().await?);
    let token = tokens.access.as_str();
    let resource = holder.flow.house.resource("notes");
    let elsewhere = holder.flow.house.resource("ledger");
    let now = holder.flow.house.clock.now().secs();
    let wrong = [
        json!({"htm": "post"}),
        json!({"htm": "GET"}),
        json!({"htm": null}),
        json!({"htu": elsewhere}),
        json!({"htu": holder.flow.at("/oauth/token")}),
        json!({"htu": resource.replace("http://", "https://")}),
        json!({"htu": resource.replace("localhost", "localhost.evil.example")}),
        json!({"htu": resource.replace("localhost", "user@localhost")}),
        json!({"htu": resource.replace("/notes/", "/x/../notes/")}),
        json!({"htu": resource.replace("/notes/", "/notes%2f")}),
        json!({"htu": format!("{resource}/")}),
        json!({"htu": null}),
        json!({"ath": ath(&other.access)}),
        json!({"ath": null}),
        json!({"iat": now - 301}),
        json!({"iat": now + 301}),
        json!({"iat": null}),
        json!({"jti": null}),
        json!({"jti": ""}),
    ];
    for change in wrong {
        let proof = holder.key.proof(&with(holder.at_server(token), change.clone()))?;
        let answer = holder.call("DPoP", token, &[&proof]).await?;
        refused(&answer, "invalid_dpop_proof").map_err(while_trying(&change.to_string()))?;
    }
    for right in
        [json!({"htu": format!("{resource}?a=b#c")}), json!({"htu": resource.replace("notes", "n%6Ftes")})]
    {
        let proof = holder.key.proof(&with(holder.at_server(token), right.clone()))?;
        assert_eq!(holder.call("DPoP", token, &[&proof]).await?.status, 200, "{right}");
    }
    let (one, two) =
        (holder.key.proof(&holder.at_server(token))?, holder.key.proof(&holder.at_server(token))?);
    refused(&holder.call("DPoP", token, &[&one, &two]).await?, "invalid_dpop_proof")?;
    refused(&holder.call("DPoP", token, &[&format!("{one}, {two}")]).await?, "invalid_dpop_proof")?;
    assert_eq!(holder.call("DPoP", token, &[&one]).await?.status, 200);
    refused(&holder.call("DPoP", token, &[&one]).await?, "invalid_dpop_proof")
        .map_err(while_trying("a replay"))?;
    // A token that is bound to nothing is no better for a proof beside it.
    let plain = holder.flow.tokens().await?;
    let proof = holder.key.proof(&holder.at_server(&plain.access))?;
    refused(&holder.call("DPoP", &plain.access, &[&proof]).await?, "invalid_token")?;
    assert_eq!(holder.call("Bearer", &plain.access, &[&proof]).await?.status, 200);
    holder.flow.close().await
}

/// AS-220, AS-229.
#[tokio::test]
async fn no_proof_of_another_kind_is_taken_at_the_token_endpoint() -> Verdict {
    let mut holder = Holder::new().await?;
    let code = holder.flow.code().await?;
    let good = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": holder.key.jwk()});
    let jwk = |change: Value| with(good.clone(), json!({"jwk": with(holder.key.jwk(), change)}));
    let headers = [
        with(good.clone(), json!({"typ": "JWT"})),
        with(good.clone(), json!({"typ": null})),
        with(good.clone(), json!({"alg": "none"})),
        with(good.clone(), json!({"alg": "HS256"})),
        with(good.clone(), json!({"alg": "RS256"})),
        with(good.clone(), json!({"jwk": null})),
        with(good.clone(), json!({"crit": ["exp"]})),
        jwk(json!({"d": "AAAA"})),
        jwk(json!({"kty": "oct", "k": "AAAA"})),
        jwk(json!({"crv": "P-384"})),
    ];
    for header in headers {
        let proof = holder.key.sign(&header, &holder.at_token())?;
        let answer = holder.redeem(&code, &[&proof]).await?;
        tok400(&answer, "invalid_dpop_proof").map_err(while_trying(&header.to_string()))?;
    }
    for claims in
        [json!({"htu": holder.flow.house.resource("notes")}), json!({"htm": "GET"}), json!({"iat": 1})]
    {
        let proof = holder.key.proof(&with(holder.at_token(), claims.clone()))?;
        tok400(&holder.redeem(&code, &[&proof]).await?, "invalid_dpop_proof")
            .map_err(while_trying(&claims.to_string()))?;
    }
    let (one, two) = (holder.key.proof(&holder.at_token())?, holder.key.proof(&holder.at_token())?);
    tok400(&holder.redeem(&code, &[&one, &two]).await?, "invalid_dpop_proof")?;
    for garbage in ["", "x", "a.b.c", &"x".repeat(5000)] {
        tok400(&holder.redeem(&code, &[garbage]).await?, "invalid_dpop_proof")?;
    }
    // NOCONSUME: the code is still good, once with each proof.
    let tokens = Tokens::of(&holder.redeem(&code, &[&one]).await?)?;
    tok400(&holder.refresh(&tokens.refresh, &[&one]).await?, "invalid_dpop_proof")?;
    Tokens::of(&holder.refresh(&tokens.refresh, &[&two]).await?)?;
    holder.flow.close().await
}

/// AS-222: a refresh token of a public client is worth nothing without the key, and cannot be made a bearer's.
#[tokio::test]
async fn a_stolen_refresh_token_refreshes_nothing_ends_nothing_and_downgrades_nothing() -> Verdict {
    let mut holder = Holder::new().await?;
    let first = holder.tokens().await?;
    let second =
        Tokens::of(&holder.refresh(&first.refresh, &[&holder.key.proof(&holder.at_token())?]).await?)?;
    holder.flow.house.advance(Duration::from_secs(120)).await?;
    let thief = DpopKey::new()?;
    for stolen in [&first.refresh, &second.refresh] {
        tok400(&holder.refresh(stolen, &[]).await?, "invalid_dpop_proof")?;
        tok400(&holder.refresh(stolen, &[&thief.proof(&holder.at_token())?]).await?, "invalid_grant")?;
    }
    // A used one in a thief's hand does not end the family; in the holder's hand it does.
    let third =
        Tokens::of(&holder.refresh(&second.refresh, &[&holder.key.proof(&holder.at_token())?]).await?)?;
    holder.calls(&third.access).await?;
    tok400(
        &holder.refresh(&first.refresh, &[&holder.key.proof(&holder.at_token())?]).await?,
        "invalid_grant",
    )?;
    assert!(holder.calls(&third.access).await.is_err());
    holder.flow.close().await
}

/// AS-223: RFC 9449, section 5.2. Nothing is looked at, and nothing used up, before the proof.
#[tokio::test]
async fn a_client_that_registered_bound_tokens_gets_none_without_a_proof() -> Verdict {
    let bound_clients = vec!["known-public", "runner"];
    let mut holder = Holder::with(Plan { bound_clients, ..Plan::default() }).await?;
    let metadata = json!({
        "redirect_uris": ["http://127.0.0.1/callback"], "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"], "dpop_bound_access_tokens": true,
    });
    let (http, issuer) = (&holder.flow.house.http, &holder.flow.house.issuer);
    let told = http.post_json(&holder.flow.at("/oauth/register"), &[], &metadata).await?.json();
    assert_eq!(told["dpop_bound_access_tokens"], true);
    let registered = TestClient::register_with(http, issuer, &metadata).await?;
    for client in [registered, holder.flow.house.known_client("known-public")?] {
        holder.flow.client = client;
        let code = holder.flow.code().await?;
        tok400(&holder.redeem(&code, &[]).await?, "invalid_dpop_proof")?;
        let tokens = Tokens::of(&holder.redeem(&code, &[&holder.key.proof(&holder.at_token())?]).await?)?;
        for presented in [tokens.refresh.as_str(), "nothing of ours"] {
            tok400(&holder.refresh(presented, &[]).await?, "invalid_dpop_proof")?;
        }
        Tokens::of(&holder.refresh(&tokens.refresh, &[&holder.key.proof(&holder.at_token())?]).await?)?;
    }
    let header = basic("runner", "secret-of-the-runner");
    let resource = holder.flow.house.resource("notes");
    let fields = [("grant_type", "client_credentials"), ("resource", resource.as_str())];
    tok400(&holder.flow.post(&[("authorization", &header)], &fields).await?, "invalid_dpop_proof")?;
    let proof = holder.key.proof(&holder.at_token())?;
    let machine = holder.flow.post(&[("authorization", &header), ("dpop", &proof)], &fields).await?;
    assert_eq!(machine.json()["token_type"], "DPoP");
    holder.keep(&machine);
    holder.flow.close().await
}

/// RFC 7009, section 5, and decision 19: to take away needs no key, and is for the client of the token alone.
#[tokio::test]
async fn a_bound_token_is_revoked_without_its_key() -> Verdict {
    let mut holder = Holder::new().await?;
    for which in ["refresh", "access"] {
        let tokens = holder.tokens().await?;
        let token = if which == "refresh" { &tokens.refresh } else { &tokens.access };
        let other = holder.flow.house.client().await?;
        let revoke = async |client_id: &str| {
            holder
                .flow
                .revoke(&[("client_id", client_id), ("token", token)])
                .await
                .map(|answer| answer.status)
        };
        assert_eq!(revoke(&other.client_id).await?, 200);
        holder.calls(&tokens.access).await?;
        assert_eq!(revoke(&holder.flow.client.client_id).await?, 200);
        refused(
            &holder
                .call("DPoP", &tokens.access, &[&holder.key.proof(&holder.at_server(&tokens.access))?])
                .await?,
            "invalid_token",
        )?;
        let proof = holder.key.proof(&holder.at_token())?;
        tok400(&holder.refresh(&tokens.refresh, &[&proof]).await?, "invalid_grant")?;
    }
    holder.flow.close().await
}

/// AS-225: `dpop_jkt` binds the code before anybody has redeemed it.
#[tokio::test]
async fn a_stolen_code_that_is_bound_to_a_key_buys_nothing() -> Verdict {
    let mut holder = Holder::new().await?;
    let pkce = holder.flow.pkce();
    let mut fields =
        holder.flow.client.authorization_request(&holder.flow.house.resource("notes"), &pkce.challenge);
    fields.push(("dpop_jkt".to_owned(), holder.key.thumbprint()));
    let page = holder.flow.browser.open(&holder.flow.client.authorization_url(&fields)).await?.page()?;
    let page = testkit::client::log_in(&mut holder.flow.browser, page, "alice").await?;
    let callback = testkit::client::allow(&mut holder.flow.browser, &page).await?;
    let code = testkit::client::parameter(&callback, "code").ok_or("no code")?;
    let code = Code { code, verifier: pkce.verifier };
    tok400(&holder.redeem(&code, &[]).await?, "invalid_grant")?;
    let thief = DpopKey::new()?;
    tok400(&holder.redeem(&code, &[&thief.proof(&holder.at_token())?]).await?, "invalid_grant")?;
    Tokens::of(&holder.redeem(&code, &[&holder.key.proof(&holder.at_token())?]).await?)?;
    holder.flow.close().await
}

/// AS-227 and AS-228, RS-197: with nonces no proof can be made beforehand; and trying tells nothing.
#[tokio::test]
async fn where_nonces_are_asked_for_no_proof_without_one_is_taken() -> Verdict {
    let rules = DpopRules { nonces: true, once_across_nodes: false };
    let mut holder = Holder::with(Plan { dpop_rules: rules, ..Plan::default() }).await?;
    let code = holder.flow.code().await?;
    let mut answers = Vec::new();
    for nonce in [Value::Null, json!(""), json!("AQEBAQE"), json!("A".repeat(55)), json!("x".repeat(2000))] {
        let proof = holder.key.proof(&with(holder.at_token(), json!({"nonce": nonce})))?;
        let answer = holder.redeem(&code, &[&proof]).await?;
        tok400(&answer, "use_dpop_nonce")?;
        answers.push(answer);
    }
    // But for the reference of each.
    let told = |answer: &Answer| answer.text().split("Reference").next().map(str::to_owned);
    assert!(answers.iter().all(|answer| told(answer) == told(&answers[0])), "no oracle");
    let nonce = answers[0].header("dpop-nonce").to_owned();
    assert!(nonce.len() > 40 && answers[0].headers.get_all("dpop-nonce").iter().count() == 1);
    let proof = holder.key.proof(&with(holder.at_token(), json!({"nonce": nonce})))?;
    let tokens = Tokens::of(&holder.redeem(&code, &[&proof]).await?)?;
    let bare = holder.key.proof(&holder.at_server(&tokens.access))?;
    let answer = holder.call("DPoP", &tokens.access, &[&bare]).await?;
    refused(&answer, "use_dpop_nonce")?;
    let nonce = answer.header("dpop-nonce").to_owned();
    let claims = with(holder.at_server(&tokens.access), json!({"nonce": nonce}));
    let answer = holder.call("DPoP", &tokens.access, &[&holder.key.proof(&claims)?]).await?;
    assert_eq!((answer.status.as_u16(), answer.header("dpop-nonce").is_empty()), (200, false));
    holder.flow.house.advance(Duration::from_secs(301)).await?;
    let claims = with(holder.at_server(&tokens.access), json!({"nonce": nonce}));
    refused(&holder.call("DPoP", &tokens.access, &[&holder.key.proof(&claims)?]).await?, "use_dpop_nonce")?;
    // Who sends no proof is told of no nonce.
    assert!(holder.call("Bearer", "x", &[]).await?.header("dpop-nonce").is_empty());
    holder.flow.close().await
}

/// AS-224: a bearer token although a proof was sent; and none where a key is required.
#[tokio::test]
async fn where_a_key_is_required_nobody_gets_or_uses_a_token_without_one() -> Verdict {
    let mut holder = Holder::with(Plan { dpop: DpopMode::Off, ..Plan::default() }).await?;
    let code = holder.flow.code().await?;
    let answer = holder.redeem(&code, &[&holder.key.proof(&holder.at_token())?]).await?;
    assert_eq!(answer.json()["token_type"], "Bearer", "it is off");
    let unbound = Tokens::of(&answer)?;
    holder.flow.calls(&unbound.access).await?;
    let Flow { house, client, .. } = holder.flow;
    let house = house.restart_with(|plan| plan.dpop = DpopMode::Required).await?;
    let answer = house.echo("notes", &unbound.access).await?;
    refused(&answer, "invalid_token")?;
    let url = format!("{}/.well-known/oauth-protected-resource/notes/mcp", house.issuer);
    let metadata = house.http.get(&url, &[]).await?.json();
    assert_eq!(metadata["dpop_bound_access_tokens_required"], true);
    let bare = request(Method::POST, &house.resource("notes"), &[], bytes::Bytes::new())?;
    let challenge = house.http.send(bare).await?;
    assert!(challenge.header("www-authenticate").starts_with("DPoP resource_metadata="));
    let client = testkit::client::TestClient { http: house.http.clone(), ..client };
    tok400(&client.refresh(&unbound.refresh).await?, "invalid_dpop_proof")?;
    house.close().await
}

/// Of two nodes each remembers its own, unless the operator has all of them ask the record.
#[tokio::test]
async fn a_proof_is_good_once_on_all_nodes_where_that_is_asked_for() -> Verdict {
    record::on_postgres(|url| {
        let rules = DpopRules { nonces: false, once_across_nodes: true };
        replayed(Plan { postgres: Some(url), dpop_rules: rules, ..Plan::default() })
    })
    .await
}

async fn replayed(plan: Plan) -> Verdict {
    let mut holder = Holder::with(plan).await?;
    let tokens = holder.tokens().await?;
    let second = holder.flow.house.second_node().await?;
    let proof = holder.key.proof(&holder.at_server(&tokens.access))?;
    assert_eq!(holder.call("DPoP", &tokens.access, &[&proof]).await?.status, 200);
    let first = std::mem::replace(&mut holder.flow.house, second);
    refused(&holder.call("DPoP", &tokens.access, &[&proof]).await?, "invalid_dpop_proof")?;
    holder.calls(&tokens.access).await?;
    let second = std::mem::replace(&mut holder.flow.house, first);
    second.close().await?;
    holder.flow.house.close().await
}
