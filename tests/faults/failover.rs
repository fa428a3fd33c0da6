//! F-09: the primary is lost under load and its standby promoted; later the old primary comes back as if nothing had been.
//!
//! With a synchronous standby nothing that was answered is lost and nothing that was revoked comes back. The control is the
//! same loss with a standby that lags: then something is lost, and the checks say so.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use testkit::history::Answered;
use testkit::outcomes::Verdict;
use testkit::wire::Fault;

use super::chance::{Stopwatch, say};
use super::pair::{Pair, on_pair, until};
use super::players::{Issued, Players};
use super::town::Town;

/// All of them through the balancer; the nodes one by one come after it.
const BALANCER: usize = 0;
const NODES: [usize; 3] = [1, 2, 3];
/// Whoever is told to come back comes back so often and no longer.
const CURED: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// What the clients have got done so far.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    families: AtomicUsize,
    revoked: AtomicUsize,
    again: AtomicUsize,
}

impl Load {
    /// Tries until it succeeds, as the documentation tells a client that is told 503 or hears nothing.
    async fn patiently<T>(
        &self,
        players: &Players,
        what: &str,
        attempt: impl AsyncFn() -> Result<Option<T>, String>,
    ) -> Result<T, String> {
        let watch = Stopwatch::start();
        loop {
            if let Some(done) = attempt().await.map_err(|why| format!("{what}: {why}"))? {
                return Ok(done);
            }
            if watch.elapsed() > CURED {
                return Err(format!("{what}: not cured by retries within {CURED:?}"));
            }
            self.again.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(PAUSE).await;
            players.reconnect(BALANCER);
        }
    }

    /// One family after the other: redeemed, refreshed, used, and every second one revoked.
    async fn client(&self, players: &Players) -> Verdict {
        let mut turn = 0;
        while !self.over.load(Ordering::SeqCst) {
            turn += 1;
            let code =
                self.patiently(players, "consent", async || Ok(players.code(BALANCER).await.ok())).await?;
            let first = AtomicBool::new(true);
            let redeemed = self.patiently(players, "redeem", async || {
                let is_first = first.swap(false, Ordering::SeqCst);
                match players.redeem(BALANCER, &code, true).await {
                    (_, Some(issued)) => Ok(Some(Some(issued))),
                    (Answered::Unknown, None) => Ok(None),
                    // The answer to the first was lost: the documented way is to ask anew.
                    (_, None) if !is_first => Ok(Some(None)),
                    (answered, None) => Err(format!("{answered:?}")),
                }
            });
            let Some(mut held) = redeemed.await? else { continue };
            for _ in 0..2 {
                held = self.refreshed(players, BALANCER, &held).await?;
                self.patiently(players, "call", async || match players.call(BALANCER, &held).await {
                    Answered::Done => Ok(Some(())),
                    Answered::Unknown => Ok(None),
                    answered @ (Answered::Refused | Answered::Tokens(_)) => Err(format!("{answered:?}")),
                })
                .await?;
            }
            if turn % 2 == 0 {
                let revoke = async || Ok(players.revoke(BALANCER, &held).await.then_some(()));
                self.patiently(players, "revoke", revoke).await?;
                self.revoked.fetch_add(1, Ordering::SeqCst);
            }
            self.families.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    async fn refreshed(&self, players: &Players, node: usize, held: &Issued) -> Result<Issued, String> {
        self.patiently(players, "refresh", async || match players.refresh(node, held).await {
            (Answered::Unknown, None) => Ok(None),
            (_, Some(next)) => Ok(Some(next)),
            (answered, None) => Err(format!("{answered:?}")),
        })
        .await
    }

    /// Waits until so many more families have been through everything.
    async fn more(&self, families: usize) -> Verdict {
        let goal = self.families.load(Ordering::SeqCst) + families;
        until(async || self.families.load(Ordering::SeqCst) >= goal).await
    }
}

/// From the moment that there is a primary again: how long until a node redeems what it owes.
async fn back(load: &Load, players: &Players, node: usize, held: &Issued) -> Result<Duration, String> {
    let watch = Stopwatch::start();
    loop {
        // The documented retry: the same token again.
        match players.refresh(node, held).await {
            (_, Some(_)) => return Ok(watch.elapsed()),
            (Answered::Unknown, None) if watch.elapsed() < CURED => {}
            (answered, None) => return Err(format!("{answered:?} after {:?}", watch.elapsed())),
        }
        load.again.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn failover(pair: &Pair, load: &Load, players: &Players) -> Verdict {
    let mut own = Vec::new();
    for node in NODES {
        own.push(players.family(node).await?);
    }
    load.more(8).await?;
    let lost = Stopwatch::start();
    pair.primary.lose("-KILL").await?;
    pair.standby.promote().await?;
    let away = lost.elapsed();
    let nodes = NODES.iter().zip(&own).map(|(node, held)| back(load, players, *node, held));
    let took = join_all(nodes).await.into_iter().collect::<Result<Vec<_>, String>>()?;
    say(&format!("f_09: away {away:?}; after that the nodes were back after {took:?}"));
    load.more(8).await
}

/// What the old primary was given since it was lost.
async fn on_old(pair: &Pair) -> Result<Vec<String>, String> {
    let counts = "SELECT (SELECT COUNT(*) FROM grants), (SELECT COUNT(*) FROM audit_events), \
        (SELECT COUNT(*) FROM authorizations), (SELECT COUNT(*) FROM revocations)";
    pair.primary.record().rows(counts).await
}

/// The old primary is there again, first in the URL, and takes writes as far as it knows.
async fn returned(pair: &Pair, load: &Load, (town, players): (&Town, &Players)) -> Verdict {
    pair.primary.start().await?;
    let before = on_old(pair).await?;
    load.more(4).await?;
    // One that knows nothing of what was.
    let fresh = town.nodes.get(1).ok_or("no node")?;
    fresh.stop().await?;
    fresh.start().await?;
    players.reconnect(2);
    load.more(4).await?;
    // And one that reaches the old one alone: it serves nobody.
    let alone = town.nodes.get(2).and_then(|node| node.wire.as_ref()).ok_or("no wire")?;
    let held = players.family(3).await?;
    alone.set(Fault::Cut);
    for _ in 0..4 {
        let answered = players.refresh(3, &held).await;
        if answered.0 != Answered::Unknown {
            return Err(format!("a node that reaches the old primary alone: {answered:?}"));
        }
    }
    alone.set(Fault::None);
    back(load, players, 3, &held).await?;
    let after = on_old(pair).await?;
    if before == after {
        Ok(())
    } else {
        Err(format!("the old primary was given something: {before:?} {after:?}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_09_a_synchronous_standby_takes_over_under_load_and_nothing_that_was_answered_is_lost() -> Verdict {
    on_pair(async |pair| {
        pair.synchronous().await?;
        let town = Town::over_pair(&pair, 3).await?;
        let ports = [town.balancer.port].into_iter().chain(town.nodes.iter().map(|node| node.port));
        let players = Players::at(&town.issuer, &ports.collect::<Vec<_>>()).await?;
        // The example provider keeps a sign-in in the memory of one node: it is done before anything moves.
        players.code(1).await?;
        let load = Load::default();
        let story = async {
            let told = match failover(&pair, &load, &players).await {
                Ok(()) => returned(&pair, &load, (&town, &players)).await,
                lost => lost,
            };
            load.over.store(true, Ordering::SeqCst);
            told
        };
        let clients = join_all((0..4).map(|_| load.client(&players)));
        let (clients, told) = join(clients, story).await;
        clients.into_iter().collect::<Verdict>()?;
        told?;
        let count = |of: &AtomicUsize| of.load(Ordering::SeqCst);
        let (families, revoked, again) = (count(&load.families), count(&load.revoked), count(&load.again));
        say(&format!("f_09: {families} families, {revoked} of them revoked, {again} tried again"));
        assert!(revoked > 0 && again > 0, "there was no load, or no fault");
        players.check(&pair.standby.record()).await
    })
    .await
}

/// The control: commits do not wait, and the standby hears nothing of the last ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_09_a_standby_that_lags_loses_what_was_answered_and_the_checks_say_so() -> Verdict {
    on_pair(async |pair| {
        let town = Town::over_pair(&pair, 1).await?;
        let players = town.players().await?;
        let revoked = players.family(0).await?;
        until(async || {
            let there = pair.standby.record().rows("SELECT 1 FROM grants").await;
            there.is_ok_and(|grants| !grants.is_empty())
        })
        .await?;
        pair.replication.set(Fault::Stall);
        let lost = players.family(0).await?;
        assert!(players.revoke(0, &revoked).await);
        pair.primary.lose("-QUIT").await?;
        pair.standby.promote().await?;
        let cured = until(async || players.call(0, &revoked).await != Answered::Unknown);
        cured.await?;
        let families = super::invariants::families(&pair.standby.record()).await?;
        assert!(!families.contains(&lost.family), "the standby did not lag");
        let node = town.nodes.first().ok_or("no node")?;
        node.stop().await?;
        node.start().await?;
        players.reconnect(0);
        match players.check(&pair.standby.record()).await {
            Err(why) if why.contains("revoked") || why.contains("I-4") => {
                say(&format!("f_09: without a synchronous standby: {why}"));
                Ok(())
            }
            other => Err(format!("a lost revocation is not noticed: {other:?}")),
        }
    })
    .await
}
