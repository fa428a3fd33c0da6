//! Stopping a person on nodes whose clocks do not agree with the clock of whoever stops.

use std::sync::Arc;
use std::time::Duration;

use authorization_server::{Stopping, Target};
use protocol::world::{Clock, Entropy};
use store::Queries as _;
use testkit::house::{House, Plan};
use testkit::outcomes::{Verdict, rs401};
use testkit::world::{TestClock, TestEntropy};

use crate::record::on_postgres;
use crate::steps::{Flow, Tokens};

/// How far clocks lie apart here: nearly as much as nodes bear of each other.
const APART: Duration = Duration::from_secs(50);

/// Stops the person of a flow by this clock, and lets the node hear of it.
async fn stop(flow: &Flow, clock: &dyn Clock, node: &House) -> Verdict {
    let entropy: Arc<dyn Entropy> = Arc::new(TestEntropy::seeded(77));
    let user = flow.house.store.find_people("alice@example.com").await.map_err(|error| error.to_string())?;
    let user = user.into_iter().next().ok_or("nobody is there")?;
    let stopping = Stopping {
        clock,
        entropy: entropy.as_ref(),
        issuer: &flow.house.issuer,
        store: flow.house.store.as_ref(),
    };
    let ended = stopping.stop(&Target::User(Box::new(user)), false, None).await;
    let ended = ended.map_err(|error| error.to_string())?;
    assert!(ended.grants >= 1, "{ended:?}");
    node.advance(Duration::ZERO).await
}

async fn both_ways(plan: Plan, several: bool) -> Verdict {
    // Whoever stops goes by a clock of the beginning; the nodes go on to be ahead of it.
    let behind = TestClock::default();
    let mut flow = Flow::with(plan).await?;
    let second = if several { Some(flow.house.second_node().await?) } else { None };
    let tokens = flow.tokens().await?;
    flow.house.advance(APART).await?;
    let later = Tokens::of(&flow.refresh(&tokens.refresh).await?)?;
    stop(&flow, &behind, second.as_ref().unwrap_or(&flow.house)).await?;
    for node in second.iter().chain([&flow.house]) {
        node.advance(Duration::ZERO).await?;
        rs401(&node.echo("notes", &tokens.access).await?)?;
        rs401(&node.echo("notes", &later.access).await?)?;
    }
    // And now whoever stops is ahead of the nodes: what they give out right afterwards must work.
    let ahead = TestClock::default();
    ahead.advance(APART + APART);
    let tokens = flow.tokens().await?;
    stop(&flow, &ahead, &flow.house).await?;
    rs401(&flow.house.echo("notes", &tokens.access).await?)?;
    let after = flow.tokens().await?;
    let answer = flow.house.echo("notes", &after.access).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    if let Some(second) = second {
        second.close().await?;
    }
    flow.close().await
}

#[tokio::test]
async fn rv_05_a_stop_misses_no_token_and_kills_no_later_one_whatever_the_clocks_say() -> Verdict {
    both_ways(Plan::default(), false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rv_05_the_same_on_two_nodes_over_postgresql() -> Verdict {
    on_postgres(|url| async move { both_ways(Plan { postgres: Some(url), ..Plan::default() }, true).await })
        .await
}
