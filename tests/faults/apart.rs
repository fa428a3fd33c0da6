//! F-13 with F-02, F-03 and F-04: two nodes whose clocks lie apart either agree on everything that lives shortly, or one of
//! them says that its clock differs and serves nothing.

use std::sync::Arc;

use authorization_server::keys::KeeperSettings;
use testkit::client::Pkce;
use testkit::history::Answered;
use testkit::house::{House, Plan};
use testkit::outcomes::Verdict;
use testkit::world::TestClock;

use super::players::Players;
use crate::record::on_postgres;

/// A clock that is so many seconds ahead of that of the database.
fn ahead(seconds: i64) -> Arc<TestClock> {
    let clock = TestClock::real();
    clock.jump(seconds);
    Arc::new(clock)
}

fn is(answered: Answered, expected: Answered, what: &str) -> Verdict {
    if answered == expected { Ok(()) } else { Err(format!("{what}: {answered:?}")) }
}

/// Two nodes, and those who use both.
struct Two {
    nodes: [House; 2],
    players: Players,
}

impl Two {
    /// None if a clock differs and nothing starts by it.
    async fn start(url: String, clocks: [i64; 2]) -> Result<Option<Self>, String> {
        let [one, other] = clocks.map(ahead);
        let keys = KeeperSettings::default();
        let plan = Plan { postgres: Some(url), clock: one, keys, ..Plan::default() };
        let first = House::with(plan).await?;
        let second = match first.second_node_with(|plan| plan.clock = other).await {
            Err(why) if why.contains("the clock of this machine is") => {
                first.close().await?;
                return Ok(None);
            }
            second => second?,
        };
        let players = Players::at(&first.issuer, &[first.port(), second.port()]).await?;
        Ok(Some(Self { nodes: [first, second], players }))
    }

    /// Nothing reads by itself in a house: what a node does every two seconds.
    async fn read(&self) -> Verdict {
        for node in &self.nodes {
            node.read().await?;
        }
        Ok(())
    }

    async fn close(self) -> Verdict {
        let [first, second] = self.nodes;
        second.close().await?;
        first.close().await
    }

    /// A sign-in that begins at one node and goes on at another, with everything that may come twice.
    async fn agree(&self, here: usize, there: usize) -> Verdict {
        let players = &self.players;
        self.read().await?;
        let code = players.code(here).await?;
        let (answered, held) = players.redeem(there, &code, true).await;
        let held = held.ok_or_else(|| format!("a code, redeemed at the other node: {answered:?}"))?;
        // F-03, D-3: sent twice at once, it is a network's fault and no theft.
        is(players.redeem(here, &code, true).await.0, Answered::Refused, "the code again")?;
        self.read().await?;
        is(players.call(there, &held).await, Answered::Done, "the code came twice at once")?;
        is(players.call(here, &held).await, Answered::Done, "issued at the other node")?;
        let (answered, next) = players.refresh(here, &held).await;
        let next = next.ok_or_else(|| format!("refreshed: {answered:?}"))?;
        // F-02, F-04: its answer was lost.
        let (answered, again) = players.refresh(there, &held).await;
        let again = again.ok_or_else(|| format!("the same refresh at the other node: {answered:?}"))?;
        self.read().await?;
        for (tokens, node) in [(&next, there), (&again, here), (&again, there)] {
            is(players.call(node, tokens).await, Answered::Done, "the family lives")?;
        }
        self.pushed(here, there).await
    }

    /// RFC 9126: pushed here, opened there.
    async fn pushed(&self, here: usize, there: usize) -> Verdict {
        let players = &self.players;
        let client = &players.client;
        let challenge = Pkce::new("pushed").challenge;
        let fields = client.authorization_request(&players.resource(), &challenge);
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let url = format!("{}/oauth/par", players.issuer);
        let answer = players.http(here).post_form(&url, &[], &fields).await?.json();
        let uri = answer["request_uri"].as_str().ok_or_else(|| format!("not pushed: {answer}"))?;
        let asked = [("client_id", client.client_id.as_str()), ("request_uri", uri)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let opened = players.http(there).get(&client.authorization_url(&asked), &[]).await?;
        if opened.status == 200 { Ok(()) } else { Err(format!("pushed, and opened: {}", opened.status)) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_13_nodes_whose_clocks_lie_apart_agree_or_say_that_they_do_not() -> Verdict {
    let in_order = [[3, -3], [-3, 3], [0, 0]];
    let apart = [[0, 15], [0, -15], [0, 45], [0, -45], [0, 90], [0, -90], [0, 4 * 60], [0, -4 * 60]];
    for clocks in in_order.into_iter().chain(apart) {
        let told = |why: String| format!("clocks at {clocks:?} s: {why}");
        on_postgres(|url| async move {
            let Some(two) = Two::start(url, clocks).await? else {
                return if apart.contains(&clocks) { Ok(()) } else { Err("it does not start".to_owned()) };
            };
            two.agree(0, 1).await?;
            two.agree(1, 0).await?;
            two.close().await
        })
        .await
        .map_err(told)?;
    }
    Ok(())
}
