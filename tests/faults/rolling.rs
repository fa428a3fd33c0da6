//! F-20: three nodes are restarted one after the other, from one release to the next and back, while clients go on.
//!
//! `SEKISHO_BIN` is the release that runs, `SEKISHO_NEXT_BIN` the one that it is replaced by; without the second it is the
//! same code with a migration more, which only tests know.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use testkit::history::Answered;
use testkit::outcomes::Verdict;

use super::chance::{rounds, say};
use super::players::Players;
use super::town::{Release, Town};
use crate::record::on_postgres;

/// What one client did before it was told to stop.
#[derive(Default)]
struct Tally {
    redeemed: usize,
    refreshed: usize,
    retried: usize,
}

/// Through the balancer, as clients come that know nothing of nodes: redeems, refreshes and calls until told to stop. What
/// fails is tried again once, as the documentation says.
async fn client(players: &Players, stop: &AtomicBool) -> Result<Tally, String> {
    let mut tally = Tally::default();
    while !stop.load(Ordering::SeqCst) {
        // Another connection, and so another node.
        players.reconnect(0);
        let code = match players.code(0).await {
            Ok(code) => code,
            // A page that was lost is opened again.
            Err(_) => players.code(0).await?,
        };
        let mut held = None;
        for _ in 0..2 {
            let (answered, issued) = players.redeem(0, &code, true).await;
            if issued.is_some() || answered == Answered::Refused {
                held = issued;
                break;
            }
            tally.retried += 1;
        }
        // Refused at the second try: the answer to the first was lost, and the documented way is to ask anew.
        let Some(mut held) = held else { continue };
        tally.redeemed += 1;
        for _ in 0..3 {
            held = again(&mut tally.retried, async || players.refresh(0, &held).await.1).await?;
            tally.refreshed += 1;
            again(&mut tally.retried, async || {
                (players.call(0, &held).await == Answered::Done).then_some(())
            })
            .await?;
        }
    }
    Ok(tally)
}

/// Tried twice.
async fn again<T>(retried: &mut usize, attempt: impl AsyncFn() -> Option<T>) -> Result<T, String> {
    if let Some(done) = attempt().await {
        return Ok(done);
    }
    *retried += 1;
    attempt().await.ok_or_else(|| "failed twice".to_owned())
}

async fn restarted(town: &Town, release: &Release) -> Verdict {
    for node in &town.nodes {
        node.stop().await?;
        node.start_as(release).await?;
    }
    Ok(())
}

/// The newest schema that was applied.
async fn schema(town: &Town) -> Result<i64, String> {
    let rows = town.record.rows("SELECT MAX(version) FROM schema_migrations").await?;
    rows.first().and_then(|version| version.parse().ok()).ok_or_else(|| format!("{rows:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_20_three_nodes_restarted_in_turn_under_load_lose_nothing() -> Verdict {
    on_postgres(|url| async move {
        let town = Town::over(&url, 3).await?;
        // The example provider keeps a sign-in in the memory of one node: it is done before anything moves.
        let players = town.players().await?;
        players.code(0).await?;
        let players = players.through(town.balancer.port);
        let before = schema(&town).await?;
        let stop = AtomicBool::new(false);
        let roll = async {
            let mut rolled = Ok(());
            for _ in 0..rounds(1) {
                for release in [Release::next(), Release::this()] {
                    rolled = rolled.and(restarted(&town, &release).await);
                }
            }
            stop.store(true, Ordering::SeqCst);
            rolled
        };
        let load = join_all((0..4).map(|_| client(&players, &stop)));
        let (load, rolled) = join(load, roll).await;
        rolled?;
        let mut all = Tally::default();
        for tally in load.into_iter().collect::<Result<Vec<_>, _>>()? {
            all.redeemed += tally.redeemed;
            all.refreshed += tally.refreshed;
            all.retried += tally.retried;
        }
        let Tally { redeemed, refreshed, retried } = all;
        say(&format!("f_20: {redeemed} codes, {refreshed} refreshes, {retried} tried again"));
        assert!(redeemed > 0 && refreshed > 0, "there was no load");
        let after = schema(&town).await?;
        if Release::next().ahead > 0 {
            assert_eq!(after, before + 1, "there were two schemas");
        }
        players.check(&town.record).await
    })
    .await
}

/// What `check` said with this code, if it names all of this.
async fn told(town: &Town, release: &Release, code: i32, names: &[&str]) -> Verdict {
    let node = town.nodes.first().ok_or("no node")?;
    let (ended, said) = node.check(release).await?;
    let missing = names.iter().find(|name| !said.contains(**name));
    if ended == Some(code) && missing.is_none() {
        Ok(())
    } else {
        Err(format!("{ended:?}, {missing:?}: {said}"))
    }
}

/// The release after the next takes something away that this one uses: it waits for the next to be everywhere, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_20_a_release_that_leaves_one_out_is_refused_and_those_that_run_go_on() -> Verdict {
    on_postgres(|url| async move {
        let town = Town::over(&url, 2).await?;
        let players = town.players().await?;
        let held = players.family(0).await?;
        let [this, next, last] = [0, 1, 2].map(Release::later);
        let [first, second] = town.nodes.as_slice() else { return Err("not two nodes".to_owned()) };
        let found = schema(&town).await?;
        told(&town, &next, 0, &["migrations pending", "of_the_next_release"]).await?;
        let first_comes = "start the release before this one on every node first";
        told(&town, &last, 3, &[first_comes, "nothing was touched"]).await?;
        first.stop().await?;
        let refused = first.start_as(&last).await.err().unwrap_or_default();
        assert!(refused.contains(first_comes), "{refused}");
        assert_eq!(schema(&town).await?, found, "nothing was touched");
        first.start_as(&next).await?;
        assert_eq!(players.call(1, &held).await, Answered::Done, "the older one goes on");
        told(&town, &next, 0, &["a node of an older release"]).await?;
        first.stop().await?;
        let refused = first.start_as(&last).await.err().unwrap_or_default();
        assert!(refused.contains("still runs an older release"), "{refused}");
        second.stop().await?;
        second.start_as(&next).await?;
        first.start_as(&last).await?;
        players.reconnect(0);
        players.reconnect(1);
        let next_held = players.refresh(1, &held).await.1.ok_or("the one before the last does not go on")?;
        assert_eq!(players.call(0, &next_held).await, Answered::Done);
        told(&town, &this, 3, &["newer"]).await?;
        second.stop().await?;
        let refused = second.start_as(&this).await.err().unwrap_or_default();
        assert!(refused.contains("newer"), "{refused}");
        second.start_as(&last).await?;
        players.reconnect(1);
        players.check(&town.record).await
    })
    .await
}
