//! Each grant binds its access token to the key that the client proves to hold (RFC 9449, section 5), and the key opens what
//! the token alone does not.

use std::time::Duration;

use http::StatusCode;
use protocol::oauth::DpopMode;
use protocol::world::Clock as _;
use serde_json::json;
use testkit::client::{TestClient, log_in};
use testkit::dpop::{DpopKey, ath, claims};
use testkit::house::{House, Plan};
use testkit::http::Answer;
use testkit::outcomes::{Verdict, tok400};

use super::{device, machines};

/// Whoever holds a key, in a house that demands one for every token.
struct Holder {
    house: House,
    key: DpopKey,
}

impl Holder {
    async fn new() -> Result<Self, String> {
        let plan = Plan { dpop: DpopMode::Required, ..Plan::default() };
        Ok(Self { house: House::with(plan).await?, key: DpopKey::new()? })
    }

    fn proof(&self, url: &str, token: Option<&str>) -> Result<String, String> {
        let mut claims = claims("POST", url, self.house.clock.now().secs());
        if let Some(token) = token {
            claims["ath"] = json!(ath(token));
        }
        self.key.proof(&claims)
    }

    /// A token request with a proof.
    async fn ask(&self, client: &TestClient, fields: &[(&str, &str)]) -> Result<Answer, String> {
        let proof = self.proof(&format!("{}/oauth/token", self.house.issuer), None)?;
        client.token_with(&[("dpop", &proof)], fields).await
    }

    /// The access token of an answer, which must be bound to the key.
    fn bound(&self, answer: &Answer) -> Result<String, String> {
        let json = answer.json();
        if json["token_type"] != "DPoP" {
            return Err(format!("a bound token is expected: {} {}", answer.status, answer.text()));
        }
        let token = json["access_token"].as_str().ok_or("no access token")?.to_owned();
        self.house.remember_secret(&token);
        assert_eq!(machines::claims(&token)?["cnf"], json!({"jkt": self.key.thumbprint()}));
        Ok(token)
    }

    /// It opens the MCP server with the key, and does not without.
    async fn opens(&self, token: &str) -> Verdict {
        let params = json!({"name": "echo", "arguments": {"said": "hello"}});
        let url = self.house.resource("notes");
        for (scheme, status) in [("Bearer", StatusCode::UNAUTHORIZED), ("DPoP", StatusCode::OK)] {
            let mut asked = self.house.call_request("notes", token, "tools/call", params.clone())?;
            let value = format!("{scheme} {token}").parse().map_err(|_| "not a header")?;
            asked.headers_mut().insert("authorization", value);
            let proof = self.proof(&url, Some(token))?.parse().map_err(|_| "not a header")?;
            asked.headers_mut().insert("dpop", proof);
            let answer = self.house.http.send(asked).await?;
            assert_eq!(answer.status, status, "{scheme}: {}", answer.text());
        }
        Ok(())
    }
}

/// AS-221: a machine's own token, and the one that it gets for a person's.
#[tokio::test]
async fn a_machine_proves_its_key_for_itself_and_for_whom_it_acts() -> Verdict {
    let holder = Holder::new().await?;
    let house = &holder.house;
    let runner = machines::machine(house, "runner", "secret-of-the-runner");
    let notes = house.resource("notes");
    let fields = [("grant_type", "client_credentials"), ("resource", notes.as_str())];
    tok400(&runner.token(&fields).await?, "invalid_dpop_proof")?;
    let token = holder.bound(&holder.ask(&runner, &fields).await?)?;
    holder.opens(&token).await?;
    holder.house.close().await
}

/// AS-206: the service account's key is the one that counts; a person's token that is bound to a key is nobody else's to
/// exchange.
#[tokio::test]
async fn an_exchanged_token_is_bound_to_the_key_of_whoever_acts() -> Verdict {
    let holder = Holder { house: House::new().await?, key: DpopKey::new()? };
    let house = &holder.house;
    let client = house.client().await?;
    let tokens = client.obtain_tokens(&mut house.browser(), "alice", &house.resource("notes")).await?;
    let text = |name: &str| tokens[name].as_str().map(str::to_owned).ok_or("no tokens");
    let (person, refresh) = (text("access_token")?, text("refresh_token")?);
    house.remember_secret(&person);
    house.remember_secret(&refresh);
    let agent = machines::machine(house, "agent-client", "secret-of-the-agent");
    let fields = |subject: &str| {
        [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange".to_owned()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token".to_owned()),
            ("subject_token", subject.to_owned()),
        ]
    };
    let exchange = async |subject: &str| {
        let fields = fields(subject);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        holder.ask(&agent, &fields).await
    };
    let token = holder.bound(&exchange(&person).await?)?;
    holder.opens(&token).await?;
    // The person's client proves a key now: what it gets is of no use to the agent, with the agent's key or that one.
    let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    let bound = holder.ask(&client, &fields).await?;
    if let Some(refresh) = bound.json()["refresh_token"].as_str() {
        house.remember_secret(refresh);
    }
    let bound = holder.bound(&bound)?;
    tok400(&exchange(&bound).await?, "invalid_request")?;
    holder.house.close().await
}

/// RFC 8628 with RFC 9449: a device that proves no key is told so, and may come again with a proof.
#[tokio::test]
async fn a_device_gets_tokens_that_are_bound_to_its_key() -> Verdict {
    let holder = Holder::new().await?;
    let house = &holder.house;
    let client = house.known_client("known-native")?;
    let begun = device::begin(house, &client).await?;
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", begun.device_code.as_str()),
    ];
    tok400(&holder.ask(&client, &fields).await?, "authorization_pending")?;
    let mut browser = house.browser();
    let login = device::enter(&mut browser, &begun.complete, &begun.user_code).await?;
    let consent = log_in(&mut browser, login, "alice").await?;
    let form = consent.form()?;
    browser.submit(&consent, form, Some(("decision", "allow"))).await?.page()?;
    house.advance(Duration::from_secs(5)).await?;
    tok400(&client.token(&fields).await?, "invalid_dpop_proof")?;
    house.advance(Duration::from_secs(5)).await?;
    let answer = holder.ask(&client, &fields).await?;
    let refresh = answer.json()["refresh_token"].as_str().map(str::to_owned).ok_or_else(|| answer.text())?;
    house.remember_secret(&refresh);
    holder.opens(&holder.bound(&answer)?).await?;
    // AS-222: it is a public client, so its refresh token is bound too.
    tok400(&client.refresh(&refresh).await?, "invalid_dpop_proof")?;
    holder.house.close().await
}
