//! An agent that acts for a person (RFC 8693), from outside: what it may do, who sees that it does, and what ends it.

use std::time::Duration;

use authorization_server::{Stopping, Target};
use http::StatusCode;
use protocol::oauth::ClientId;
use store::{AuditKind, Queries as _};
use testkit::client::TestClient;
use testkit::house::{House, Plan, introspection_secret};
use testkit::http::Answer;
use testkit::outcomes::{Verdict, rs401, tok400};
use testkit::world::TestEntropy;

use super::machines::{claims, machine};
use crate::steps::basic;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

async fn ask(client: &TestClient, token: &str, more: &[(&str, &str)]) -> Result<Answer, String> {
    let mut all = vec![("grant_type", GRANT), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)];
    all.extend_from_slice(more);
    client.token(&all).await
}

async fn exchange(
    house: &House,
    client: &TestClient,
    token: &str,
    more: &[(&str, &str)],
) -> Result<String, String> {
    let answer = ask(client, token, more).await?;
    let token = answer.json()["access_token"].as_str().map(str::to_owned);
    let token = token.ok_or_else(|| format!("{} {}", answer.status, answer.text()))?;
    house.remember_secret(&token);
    Ok(token)
}

struct Scene {
    house: House,
    client: TestClient,
    agent: TestClient,
    clerk: TestClient,
}

impl Scene {
    async fn new() -> Result<Self, String> {
        let house = House::new().await?;
        let client = house.client().await?;
        let agent = machine(&house, "agent-client", "secret-of-the-agent");
        let clerk = machine(&house, "clerk-client", "secret-of-the-clerk");
        Ok(Self { house, client, agent, clerk })
    }

    /// A token of a person for `notes`.
    async fn token(&self, login: &str) -> Result<String, String> {
        let notes = self.house.resource("notes");
        let tokens = self.client.obtain_tokens(&mut self.house.browser(), login, &notes).await?;
        let text = |name: &str| tokens[name].as_str().map(str::to_owned).ok_or("no tokens");
        self.house.remember_secret(&text("refresh_token")?);
        let token = text("access_token")?;
        self.house.remember_secret(&token);
        Ok(token)
    }

    async fn stop(&self, target: Target, block: bool) -> Verdict {
        let entropy = TestEntropy::seeded(9);
        let house = &self.house;
        let stopping = Stopping {
            clock: house.clock.as_ref(),
            entropy: &entropy,
            issuer: &house.issuer,
            store: house.store.as_ref(),
        };
        stopping.stop(&target, block, None).await.map_err(|error| error.to_string())?;
        house.advance(Duration::ZERO).await
    }

    async fn person(&self, who: &str) -> Result<Target, String> {
        let found = self.house.store.find_people(who).await.map_err(|error| error.to_string())?;
        Ok(Target::User(Box::new(found.into_iter().next().ok_or("nobody")?)))
    }
}

#[tokio::test]
async fn an_agent_calls_for_a_person_and_the_mcp_server_sees_both() -> Verdict {
    let scene = Scene::new().await?;
    let token = scene.token("alice").await?;
    let answer = ask(&scene.agent, &token, &[("scope", "read")]).await?;
    let json = answer.json();
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"));
    assert_eq!(json["issued_token_type"], ACCESS_TOKEN);
    assert_eq!((json["token_type"].as_str(), json["scope"].as_str()), (Some("Bearer"), Some("read")));
    let exchanged = json["access_token"].as_str().ok_or("no token")?;
    scene.house.remember_secret(exchanged);
    let called = scene.house.call("notes", exchanged, "tools/list", serde_json::json!({})).await?;
    assert_eq!(called.status, StatusCode::OK, "{}", called.text());
    let received = scene.house.mcp.received();
    let assertion = claims(received.last().ok_or("no call")?.header("sekisho-identity"))?;
    assert_eq!(assertion["sub"], claims(&token)?["sub"]);
    assert_eq!(
        (assertion["email"].as_str(), assertion["scope"].as_str()),
        (Some("alice@example.com"), Some("read"))
    );
    assert_eq!(
        (assertion["act"]["name"].as_str(), assertion["client_id"].as_str()),
        (Some("agent"), Some("agent-client"))
    );
    // What writes is not within what was asked for, however wide the person's own token is.
    let refused = scene.house.call("notes", exchanged, "vendor/unknown", serde_json::json!({})).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    let events = scene.house.audit(AuditKind::TokenIssued).await?;
    // Of one moment, in no order.
    let event = events.iter().find(|event| event.detail.contains_key("actor")).ok_or("no event")?;
    assert_eq!((event.detail["actor"].as_str(), event.name.as_deref()), ("agent", Some("alice@example.com")));
    assert_eq!(event.detail["of_client"], scene.client.client_id);
    scene.house.close().await
}

#[tokio::test]
async fn an_exchange_goes_where_a_rule_and_the_person_may_go_and_nowhere_else() -> Verdict {
    let scene = Scene::new().await?;
    let (notes, ledger) = (scene.house.resource("notes"), scene.house.resource("ledger"));
    let (alice, chika) = (scene.token("alice").await?, scene.token("chika").await?);
    // The agent has no rule for the ledger, the clerk none for people outside of finance.
    tok400(&ask(&scene.agent, &chika, &[("resource", &ledger)]).await?, "invalid_target")?;
    tok400(&ask(&scene.clerk, &alice, &[("resource", &ledger)]).await?, "invalid_target")?;
    tok400(&ask(&scene.clerk, &chika, &[("resource", &ledger), ("scope", "write")]).await?, "invalid_scope")?;
    let for_ledger = exchange(&scene.house, &scene.clerk, &chika, &[("resource", &ledger)]).await?;
    assert_eq!(claims(&for_ledger)?["scope"], "read");
    assert_eq!(
        scene.house.call("ledger", &for_ledger, "tools/list", serde_json::json!({})).await?.status,
        StatusCode::OK
    );
    rs401(&scene.house.echo("notes", &for_ledger).await?)?;
    // Nor does it lead back: its MCP server is named by no rule.
    tok400(&ask(&scene.agent, &for_ledger, &[("resource", &notes)]).await?, "invalid_target")?;
    // A token of another house, a refresh token, and no token at all.
    for wrong in ["x", "a.b.c", &format!("{alice}x")] {
        tok400(&ask(&scene.agent, wrong, &[]).await?, "invalid_request")?;
    }
    for more in [[("actor_token", alice.as_str())], [("actor_token_type", ACCESS_TOKEN)]] {
        tok400(&ask(&scene.agent, &alice, &more).await?, "invalid_request")?;
    }
    for known in ["known-public", "known-confidential"] {
        let client = scene.house.known_client(known)?;
        tok400(&ask(&client, &alice, &[]).await?, "unauthorized_client")?;
    }
    tok400(
        &ask(&machine(&scene.house, "runner", "secret-of-the-runner"), &alice, &[]).await?,
        "invalid_target",
    )?;
    scene.house.close().await
}

/// Ending the person, the person's client, their grant, or the agent ends what was exchanged, whenever it was.
#[tokio::test]
async fn whoever_is_stopped_the_exchanged_token_ends() -> Verdict {
    for who in ["person", "person's client", "agent", "agent's client", "mcp server", "everybody"] {
        let scene = Scene::new().await?;
        let token = scene.token("alice").await?;
        let early = exchange(&scene.house, &scene.agent, &token, &[]).await?;
        // Longer ago than clocks may lie apart; and one of this very moment.
        scene.house.advance(Duration::from_secs(400)).await?;
        let late = exchange(&scene.house, &scene.agent, &token, &[]).await?;
        for exchanged in [&early, &late] {
            assert_eq!(scene.house.echo("notes", exchanged).await?.status, StatusCode::OK, "{who}");
        }
        let id = |text: &str| ClientId::parse(text).map_err(|error| error.to_string());
        let target = match who {
            "person" => scene.person("alice@example.com").await?,
            "person's client" => Target::Client(id(&scene.client.client_id)?),
            "agent" => scene.person("service-account:agent").await?,
            "agent's client" => Target::Client(id("agent-client")?),
            "mcp server" => {
                let resource = protocol::oauth::ResourceUri::parse(&scene.house.resource("notes"));
                Target::Server("notes".to_owned(), vec![resource.map_err(|error| error.to_string())?])
            }
            _ => Target::All,
        };
        scene.stop(target, false).await?;
        for exchanged in [&early, &late] {
            let answer = scene.house.echo("notes", exchanged).await?;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{who}: {}", answer.text());
        }
        scene.house.close().await?;
    }
    Ok(())
}

/// The person's client is stopped long after the person's token was made, and what was exchanged before ends with it.
#[tokio::test]
async fn a_stop_of_the_persons_client_reaches_a_token_that_does_not_name_it() -> Verdict {
    let plan = testkit::house::Plan {
        lifetimes: authorization_server::Lifetimes {
            access_token: Duration::from_secs(3600),
            ..authorization_server::Lifetimes::default()
        },
        ..testkit::house::Plan::default()
    };
    let house = House::with(plan).await?;
    let client = house.client().await?;
    let agent = machine(&house, "agent-client", "secret-of-the-agent");
    let clerk = machine(&house, "clerk-client", "secret-of-the-clerk");
    let scene = Scene { house, client, agent, clerk };
    let token = scene.token("alice").await?;
    let exchanged = exchange(&scene.house, &scene.agent, &token, &[]).await?;
    scene.house.advance(Duration::from_secs(1800)).await?;
    assert_eq!(scene.house.echo("notes", &exchanged).await?.status, StatusCode::OK);
    let client = ClientId::parse(&scene.client.client_id).map_err(|error| error.to_string())?;
    scene.stop(Target::Client(client), false).await?;
    rs401(&scene.house.echo("notes", &exchanged).await?)?;
    scene.house.close().await
}

#[tokio::test]
async fn a_blocked_agent_gets_nothing_for_anybody_and_a_blocked_person_is_acted_for_by_nobody() -> Verdict {
    let scene = Scene::new().await?;
    let (alice, bob) = (scene.token("alice").await?, scene.token("bob").await?);
    scene.stop(scene.person("alice@example.com").await?, true).await?;
    tok400(&ask(&scene.agent, &alice, &[]).await?, "invalid_request")?;
    exchange(&scene.house, &scene.agent, &bob, &[]).await?;
    scene.stop(scene.person("service-account:agent").await?, true).await?;
    tok400(&ask(&scene.agent, &bob, &[]).await?, "unauthorized_client")?;
    let refused = scene.house.audit(AuditKind::TokenRefused).await?;
    assert!(
        refused.iter().any(|event| event.reason.as_deref() == Some("service_account_stopped")),
        "{refused:?}"
    );
    scene.house.close().await
}

/// One agent may hand on to another, and that one to nobody: whoever reads the token sees at most two who act.
#[tokio::test]
async fn at_most_two_act_for_a_person_one_for_the_other() -> Verdict {
    let mut plan = Plan::default();
    let acting = |name: &str| plan.service_accounts.iter().position(|account| account.name == name);
    let (agent, nightly) = acting("agent").zip(acting("nightly")).ok_or("no such accounts")?;
    plan.service_accounts[nightly].may_act = plan.service_accounts[agent].may_act.clone();
    let house = House::with(plan).await?;
    let client = house.client().await?;
    let agent = machine(&house, "agent-client", "secret-of-the-agent");
    let clerk = machine(&house, "clerk-client", "secret-of-the-clerk");
    let scene = Scene { house, client, agent, clerk };
    let night_runner = machine(&scene.house, "night-runner", "secret-of-the-night-runner");
    let token = scene.token("chika").await?;
    let notes = scene.house.resource("notes");
    let first = exchange(&scene.house, &scene.agent, &token, &[]).await?;
    let second = exchange(&scene.house, &scene.clerk, &first, &[("resource", &notes)]).await?;
    let act = &claims(&second)?["act"];
    assert_eq!((act["name"].as_str(), act["act"]["name"].as_str()), (Some("clerk"), Some("agent")));
    assert_eq!(
        scene.house.call("notes", &second, "tools/list", serde_json::json!({})).await?.status,
        StatusCode::OK
    );
    tok400(&ask(&night_runner, &second, &[]).await?, "invalid_request")?;
    // It may, for whom nobody acts yet.
    exchange(&scene.house, &night_runner, &token, &[]).await?;
    scene.house.close().await
}

/// An MCP server that asks is told who acts, that a machine is no person, and that either is over.
#[tokio::test]
async fn introspection_tells_who_acts_and_what_is_a_machine() -> Verdict {
    let scene = Scene::new().await?;
    let (house, token) = (&scene.house, scene.token("alice").await?);
    let exchanged = exchange(house, &scene.agent, &token, &[("scope", "read")]).await?;
    let credentials = basic("notes", &introspection_secret("notes"));
    let url = format!("{}/oauth/introspect", house.issuer);
    let headers = [("authorization", credentials.as_str())];
    let said = house.http.post_form(&url, &headers, &[("token", &exchanged)]).await?.json();
    assert_eq!((&said["active"], &said["sub"]), (&true.into(), &claims(&token)?["sub"]));
    assert_eq!((said["act"]["name"].as_str(), said["scope"].as_str()), (Some("agent"), Some("read")));
    assert!(said.get("service_account").is_none());
    let runner = machine(house, "night-runner", "secret-of-the-night-runner");
    let notes = house.resource("notes");
    let own = runner.token(&[("grant_type", "client_credentials"), ("resource", &notes)]).await?.json();
    let own = own["access_token"].as_str().ok_or("no token")?;
    house.remember_secret(own);
    let machine = house.http.post_form(&url, &headers, &[("token", own)]).await?.json();
    assert_eq!(
        (machine["service_account"].as_str(), machine["scope"].as_str()),
        (Some("nightly"), Some("read"))
    );
    assert!(machine.get("act").is_none());
    scene.stop(scene.person("service-account:agent").await?, false).await?;
    let said = house.http.post_form(&url, &headers, &[("token", &exchanged)]).await?.json();
    assert_eq!(said, serde_json::json!({"active": false}));
    scene.house.close().await
}
