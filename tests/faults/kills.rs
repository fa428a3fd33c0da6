//! F-01, F-02, F-05, F-06: a node that dies at the n-th point of an operation, for n from 1 until it survives; and all nodes
//! at once, under load.

use std::time::Duration;

use futures_util::future::join_all;
use testkit::client::{allow, parameter};
use testkit::history::Answered;
use testkit::outcomes::Verdict;

use super::chance::{Chance, rounds};
use super::players::{Issued, Players};
use super::town::{Node, Town};
use crate::record::on_postgres;
use crate::steps::Code;

/// No operation passes more points than this; one that did would never be through.
const MOST_POINTS: usize = 60;
/// So often more until it died on both sides. Each takes seconds, and hardly any is needed.
const MORE_ROUNDS: usize = 20;

/// How an attempt at the node that dies ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The node lived.
    Answered,
    /// It died and had done it.
    DiedAfter,
    /// It died and had not.
    DiedBefore,
}

/// The first node dies. The second attempt is made at the last, which may be the same one, started again.
struct Scene {
    town: Town,
    players: Players,
}

impl Scene {
    async fn of(town: Town) -> Result<Self, String> {
        let players = town.players().await?;
        Ok(Self { town, players })
    }

    fn dying(&self) -> &Node {
        &self.town.nodes[0]
    }

    fn last(&self) -> usize {
        self.players.nodes() - 1
    }

    async fn number(&self, sql: &str) -> Result<u64, String> {
        let rows = self.town.record.rows(sql).await?;
        rows.first().and_then(|row| row.parse().ok()).ok_or_else(|| format!("no number: {sql}"))
    }

    /// Waits until the node is dead; if there is no other it is started again.
    async fn revived(&self) -> Verdict {
        for _ in 0..500 {
            if self.dying().is_dead() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !self.dying().is_dead() {
            return Err(format!("no answer from a node that lives: {}", self.dying().said()));
        }
        if self.last() == 0 {
            self.dying().start().await?;
        }
        self.players.reconnect(0);
        Ok(())
    }

    /// Has an operation tried until the node survives it. Both ways of dying must have been seen, or nothing was tried.
    async fn at_every_point(&self, attempt: impl AsyncFn(&Self, usize) -> Result<Ended, String>) -> Verdict {
        let mut seen = Vec::new();
        let enough = |seen: &[Ended]| seen.contains(&Ended::DiedAfter) && seen.contains(&Ended::DiedBefore);
        // What a node does by itself passes points too, and may take the place of the one that was meant: then again.
        for round in 0..rounds(1) + MORE_ROUNDS {
            if round >= rounds(1) && enough(&seen) {
                break;
            }
            for nth in 1.. {
                if nth > MOST_POINTS {
                    return Err("it never came to its end".to_owned());
                }
                let ended = attempt(self, nth).await?;
                seen.push(ended);
                self.dying().kill();
                self.dying().start().await?;
                self.players.reconnect(0);
                if ended == Ended::Answered {
                    break;
                }
            }
        }
        if !enough(&seen) {
            return Err(format!("it did not die on both sides of the commit: {seen:?}"));
        }
        self.players.check(&self.town.record).await
    }
}

async fn redeemed(scene: &Scene, nth: usize) -> Result<Ended, String> {
    let (players, last) = (&scene.players, scene.last());
    let code = players.code(last).await?;
    scene.dying().die_at("any", nth)?;
    if players.redeem(0, &code, true).await.0 != Answered::Unknown {
        return Ok(Ended::Answered);
    }
    scene.revived().await?;
    match players.redeem(last, &code, true).await {
        (Answered::Tokens(_), Some(issued)) => {
            players.refresh(last, &issued).await.1.ok_or("a family that is dead from its birth")?;
            Ok(Ended::DiedBefore)
        }
        (Answered::Refused, _) => {
            // The person is signed in: to ask again is one click.
            players.family(last).await?;
            Ok(Ended::DiedAfter)
        }
        (other, _) => Err(format!("the second attempt: {other:?}")),
    }
}

async fn refreshed(scene: &Scene, nth: usize) -> Result<Ended, String> {
    let (players, last) = (&scene.players, scene.last());
    let held = players.family(last).await?;
    let generations = "SELECT COALESCE(SUM(generation), 0) FROM grants";
    let before = scene.number(generations).await?;
    scene.dying().die_at("any", nth)?;
    if players.refresh(0, &held).await.0 != Answered::Unknown {
        return Ok(Ended::Answered);
    }
    scene.revived().await?;
    let moved = scene.number(generations).await? > before;
    let next = players.refresh(last, &held).await.1.ok_or("signed out by our own crash")?;
    players.refresh(last, &next).await.1.ok_or("the successor is dead")?;
    Ok(if moved { Ended::DiedAfter } else { Ended::DiedBefore })
}

async fn revoked(scene: &Scene, nth: usize) -> Result<Ended, String> {
    let (players, last) = (&scene.players, scene.last());
    let held = players.family(last).await?;
    let ended = "SELECT COUNT(*) FROM grants WHERE revoked_at IS NOT NULL";
    let before = scene.number(ended).await?;
    scene.dying().die_at("any", nth)?;
    if players.revoke(0, &held).await {
        return Ok(Ended::Answered);
    }
    scene.revived().await?;
    let done = scene.number(ended).await? > before;
    if !players.revoke(last, &held).await {
        return Err("the second attempt is not acknowledged".to_owned());
    }
    Ok(if done { Ended::DiedAfter } else { Ended::DiedBefore })
}

/// A person says yes at the node that dies; the code, or a second yes, is good at the other.
async fn consented(scene: &Scene, nth: usize) -> Result<Ended, String> {
    let (players, last) = (&scene.players, scene.last());
    players.code(last).await?;
    let (mut browser, page, pkce) = players.consent(0).await?;
    let given = "SELECT COUNT(*) FROM authorizations WHERE state = 'consented'";
    let before = scene.number(given).await?;
    scene.dying().die_at("any", nth)?;
    if let Ok(callback) = allow(&mut browser, &page).await {
        // Dead or not, its word is good elsewhere.
        scene.dying().kill();
        if scene.last() == 0 {
            scene.dying().start().await?;
        }
        players.reconnect(0);
        let code = parameter(&callback, "code").ok_or_else(|| format!("no code in {callback}"))?;
        let code = Code { code, verifier: pkce.verifier };
        players.redeem(last, &code, true).await.1.ok_or("a code that was handed out is lost")?;
        return Ok(Ended::Answered);
    }
    scene.revived().await?;
    let done = scene.number(given).await? > before;
    players.family(last).await?;
    Ok(if done { Ended::DiedAfter } else { Ended::DiedBefore })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_01_a_node_that_dies_anywhere_in_a_redemption_leaves_one_family_or_none() -> Verdict {
    on_postgres(|url| async move {
        let scene = Scene::of(Town::over(&url, 2).await?).await?;
        scene.at_every_point(redeemed).await?;
        scene.at_every_point(consented).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_01_a_process_that_dies_anywhere_in_a_redemption_leaves_one_family_or_none_on_sqlite() -> Verdict {
    let scene = Scene::of(Town::alone("").await?).await?;
    scene.at_every_point(redeemed).await?;
    scene.at_every_point(consented).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_02_a_node_that_dies_anywhere_in_a_refresh_signs_nobody_out() -> Verdict {
    on_postgres(|url| async move {
        let scene = Scene::of(Town::over(&url, 2).await?).await?;
        scene.at_every_point(refreshed).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_02_a_process_that_dies_anywhere_in_a_refresh_signs_nobody_out_on_sqlite() -> Verdict {
    let scene = Scene::of(Town::alone("").await?).await?;
    scene.at_every_point(refreshed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_05_a_process_that_dies_anywhere_in_a_revocation_has_revoked_or_can_be_asked_again() -> Verdict {
    let scene = Scene::of(Town::alone("").await?).await?;
    scene.at_every_point(revoked).await
}

/// One client under load: families begin, are refreshed at any node, called, and now and then revoked.
async fn busy(players: &Players, chance: &Chance) {
    let node = || chance.below(players.nodes());
    for _ in 0..200 {
        let Ok(mut held) = players.family(node()).await else { return };
        for _ in 0..chance.below(4) {
            let Some(next) = players.refresh(node(), &held).await.1 else { return };
            held = next;
            if players.call(node(), &held).await != Answered::Done {
                return;
            }
        }
        if chance.below(3) == 0 && !players.revoke(node(), &held).await {
            return;
        }
    }
}

/// Every refresh token that was rotated away is tried again, oldest first; the register says what must come of it.
async fn replayed(players: &Players, chance: &Chance) {
    for issued in players.issued() {
        players.refresh(chance.below(players.nodes()), &issued).await;
    }
}

async fn all_killed(town: &Town, chance: &Chance) -> Verdict {
    let players = town.players().await?;
    for _ in 0..rounds(2) {
        let load = join_all((0..6).map(|_| busy(&players, chance)));
        let kill = async {
            tokio::time::sleep(Duration::from_millis(300 + chance.below(700) as u64)).await;
            town.nodes.iter().for_each(Node::kill);
        };
        futures_util::future::join(load, kill).await;
        for (number, node) in town.nodes.iter().enumerate() {
            node.start().await?;
            players.reconnect(number);
        }
    }
    let codes: Vec<String> = players.history.by_key().into_keys().collect();
    replayed(&players, chance).await;
    players.check(&town.record).await?;
    // Last of all: a code that comes again, late, ends its family.
    for key in codes.iter().filter_map(|key| key.strip_prefix("code ")) {
        let code = players.code_again(key);
        if let (Answered::Tokens(_), _) = players.redeem(chance.below(players.nodes()), &code, true).await {
            players.explained()?;
        }
    }
    let alive: Vec<Issued> = players.issued();
    if alive.is_empty() { Err("nothing was issued under load".to_owned()) } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_06_when_all_nodes_are_killed_under_load_nothing_that_was_dead_comes_back() -> Verdict {
    on_postgres(|url| async move {
        let chance = Chance::new("f_06");
        all_killed(&Town::over(&url, 2).await?, &chance).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_06_when_the_process_is_killed_under_load_nothing_that_was_dead_comes_back_on_sqlite() -> Verdict {
    let chance = Chance::new("f_06 on sqlite");
    all_killed(&Town::alone("").await?, &chance).await
}

/// The control: a record that was set back brings a rotated token to life, and the register says so.
#[tokio::test]
async fn f_06_a_rotated_token_that_comes_back_to_life_is_noticed() -> Verdict {
    let town = Town::alone("").await?;
    let players = town.players().await?;
    let first = players.family(0).await?;
    let second = players.refresh(0, &first).await.1.ok_or("no successor")?;
    players.refresh(0, &second).await.1.ok_or("no successor")?;
    players.check(&town.record).await?;
    town.record.rows("UPDATE grants SET generation = 0").await?;
    players.refresh(0, &first).await.1.ok_or("the forgery did not work")?;
    assert!(players.explained().is_err(), "an old token works again, and the history passes");
    Ok(())
}
