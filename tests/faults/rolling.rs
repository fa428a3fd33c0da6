//! F-20: three nodes are restarted one after the other, from one release to the next and back, while clients go on.
//!
//! `SEKISHO_BIN` is the release that runs, `SEKISHO_NEXT_BIN` the one that it is replaced by; without the second they are
//! the same.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use testkit::history::Answered;
use testkit::outcomes::Verdict;

use super::chance::{rounds, say};
use super::players::Players;
use super::town::{Town, next_release, shipped};
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

async fn restarted(town: &Town, program: &std::path::Path) -> Verdict {
    for node in &town.nodes {
        node.stop().await?;
        node.start_as(program).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_20_three_nodes_restarted_in_turn_under_load_lose_nothing() -> Verdict {
    on_postgres(|url| async move {
        let town = Town::over(&url, 3).await?;
        // The example provider keeps a sign-in in the memory of one node: it is done before anything moves.
        let players = town.players().await?;
        players.code(0).await?;
        let players = players.through(town.balancer.port);
        let stop = AtomicBool::new(false);
        let roll = async {
            let mut rolled = Ok(());
            for _ in 0..rounds(1) {
                for program in [next_release(), shipped()] {
                    rolled = rolled.and(restarted(&town, &program).await);
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
        players.check(&town.record).await
    })
    .await
}
