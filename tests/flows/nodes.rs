//! Two nodes over one PostgreSQL database, under one public URL: a sign-in goes on at either, and both hear of an end.

use std::time::Duration;

use testkit::browser::Browser;
use testkit::client::{Pkce, TestClient, allow, parameter};
use testkit::house::{House, Plan};
use testkit::outcomes::{Verdict, rs401, tok400};

use crate::record::on_postgres;
use crate::steps::{Flow, Tokens};

/// How soon every node must know (product.md, P-2).
const T: Duration = Duration::from_secs(5);

fn at(house: &House, client: &TestClient) -> TestClient {
    TestClient { http: house.http.clone(), ..client.clone() }
}

/// The same browser, whose next requests a load balancer takes to another node.
fn moved(house: &House, browser: &Browser) -> Browser {
    let mut moved = house.browser();
    moved.cookies = browser.cookies.clone();
    moved
}

async fn two_nodes(url: String) -> Result<(Flow, House), String> {
    let flow = Flow::with(Plan { postgres: Some(url), ..Plan::default() }).await?;
    let second = flow.house.second_node().await?;
    Ok((flow, second))
}

/// Calls until the node refuses; how it was refused.
async fn refusal(house: &House, server: &str, token: &str) -> Result<testkit::http::Answer, String> {
    let refused = async {
        loop {
            let answer = house.echo(server, token).await?;
            if answer.status != 200 {
                return Ok::<_, String>(answer);
            }
        }
    };
    tokio::time::timeout(T, refused).await.map_err(|_| "the node still serves after T".to_owned())?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rv_04_the_other_node_hears_of_a_revocation_within_t_and_closes_its_streams() -> Verdict {
    on_postgres(|url| async move {
        let (mut flow, second) = two_nodes(url).await?;
        for by_access_token in [true, false] {
            let tokens = flow.tokens().await?;
            let stream = serde_json::json!({"name": "stream", "arguments": {}});
            let asked = second.call_request("notes", &tokens.access, "tools/call", stream)?;
            let open = second.http.stream(asked).await?;
            assert_eq!(open.status(), 200);
            let upstream = flow.house.mcp.next_stream().await;
            let token = if by_access_token { &tokens.access } else { &tokens.refresh };
            let fields = [("client_id", flow.client.client_id.as_str()), ("token", token)];
            assert_eq!(flow.revoke(&fields).await?.status, 200);
            // Where it was revoked it is dead at once.
            rs401(&flow.house.echo("notes", &tokens.access).await?)?;
            tokio::time::timeout(T, upstream.closed()).await.map_err(|_| "the stream is open after T")?;
            rs401(&refusal(&second, "notes", &tokens.access).await?)?;
            tok400(&at(&second, &flow.client).refresh(&tokens.refresh).await?, "invalid_grant")?;
        }
        second.close().await?;
        flow.close().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_at_one_node_ends_the_family_at_both() -> Verdict {
    on_postgres(|url| async move {
        let (mut flow, second) = two_nodes(url).await?;
        let first = flow.tokens().await?;
        let there = at(&second, &flow.client);
        let next = Tokens::of(&there.refresh(&first.refresh).await?)?;
        let last = Tokens::of(&flow.refresh(&next.refresh).await?)?;
        tok400(&there.refresh(&first.refresh).await?, "invalid_grant")?;
        rs401(&second.echo("notes", &last.access).await?)?;
        rs401(&refusal(&flow.house, "notes", &last.access).await?)?;
        tok400(&flow.refresh(&last.refresh).await?, "invalid_grant")?;
        second.close().await?;
        flow.close().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_of_a_flow_may_be_taken_at_another_node() -> Verdict {
    on_postgres(|url| async move {
        // The development provider keeps its codes in memory, so the sign-in itself stays at one node.
        let (mut flow, second) = two_nodes(url).await?;
        let there = at(&second, &flow.client);
        let pkce = flow.pkce();
        let page = flow.consent(&pkce.challenge).await?;
        let mut browser = moved(&second, &flow.browser);
        let callback = allow(&mut browser, &page).await?;
        let code = parameter(&callback, "code").ok_or("no code")?;
        let tokens = Tokens::of(&flow.client.redeem(&code, &pkce.verifier).await?)?;
        assert_eq!(second.echo("notes", &tokens.access).await?.status, 200);
        let next = Tokens::of(&there.refresh(&tokens.refresh).await?)?;
        flow.calls(&next.access).await?;
        // The session of one is the session of the other: no login page.
        let again = Pkce::new("again");
        let fields = there.authorization_request(&flow.house.resource("notes"), &again.challenge);
        let page = browser.open(&there.authorization_url(&fields)).await?.page()?;
        let callback = allow(&mut browser, &page).await?;
        let code = parameter(&callback, "code").ok_or("no code")?;
        Tokens::of(&flow.client.redeem(&code, &again.verifier).await?)?;
        // And a client that registered at one is known at the other.
        let registered =
            TestClient::register(&second.http, &second.issuer, &flow.client.redirect_uri).await?;
        let here = at(&flow.house, &registered);
        tok400(&here.redeem("skc_nothing", &again.verifier).await?, "invalid_grant")?;
        second.close().await?;
        flow.house.close().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_late_knows_what_was_revoked_before() -> Verdict {
    on_postgres(|url| async move {
        let mut flow = Flow::with(Plan { postgres: Some(url), ..Plan::default() }).await?;
        let tokens = flow.tokens().await?;
        let living = flow.tokens().await?;
        assert_eq!(
            flow.revoke(&[("client_id", &flow.client.client_id), ("token", &tokens.refresh)]).await?.status,
            200
        );
        let second = flow.house.second_node().await?;
        rs401(&second.echo("notes", &tokens.access).await?)?;
        assert_eq!(second.echo("notes", &living.access).await?.status, 200);
        second.close().await?;
        flow.close().await
    })
    .await
}
