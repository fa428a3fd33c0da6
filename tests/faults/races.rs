//! F-03, F-04, F-05: many at once, at two nodes over one record; and the same without a guard, which must be noticed.

use std::time::Duration;

use futures_util::future::{join, join_all};
use testkit::history::Answered;
use testkit::house::{House, Plan};
use testkit::outcomes::Verdict;
use testkit::wire::{Fault, Wire};

use super::chance::{Chance, Stopwatch, rounds};
use super::players::Players;
use crate::record::{Record, on_postgres};

/// Two nodes and those who use them.
struct Two {
    first: House,
    second: House,
    players: Players,
    record: Record,
}

impl Two {
    async fn over(url: String) -> Result<Self, String> {
        let record = Record::Postgres(url.clone());
        let first = House::with(Plan { postgres: Some(url), ..Plan::default() }).await?;
        Self::with_second(first, record, |_| {}).await
    }

    async fn with_second(
        first: House,
        record: Record,
        change: impl FnOnce(&mut Plan),
    ) -> Result<Self, String> {
        let second = first.second_node_with(change).await?;
        let ports = [port_of(&first)?, port_of(&second)?];
        let players = Players::at(&first.issuer, &ports).await?;
        Ok(Self { first, second, players, record })
    }

    /// Nobody hears of a revocation by a clock that stands still: each node reads once, as it would within T.
    async fn hear(&self) -> Verdict {
        for house in [&self.first, &self.second] {
            house.advance(Duration::ZERO).await?;
        }
        Ok(())
    }

    async fn checked(&self) -> Verdict {
        self.hear().await?;
        self.players.check(&self.record).await
    }

    async fn close(self) -> Verdict {
        self.second.close().await?;
        self.first.close().await
    }
}

fn port_of(house: &House) -> Result<u16, String> {
    let address = house.address();
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
    port.ok_or_else(|| format!("no port in {address}"))
}

/// 2 to 50 clients with one code; some of them have a wrong verifier.
async fn one_code_many_clients(players: &Players, nodes: usize, chance: &Chance) -> Verdict {
    let code = players.code(chance.below(nodes)).await?;
    let clients = 2 + chance.below(49);
    let attempts: Vec<(usize, bool)> =
        (0..clients).map(|_| (chance.below(nodes), chance.below(12) != 0)).collect();
    join_all(attempts.iter().map(|&(node, right)| players.redeem(node, &code, right))).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_03_one_code_and_many_clients_give_one_family_on_two_nodes() -> Verdict {
    on_postgres(|url| async move {
        let chance = Chance::new("f_03");
        let two = Two::over(url).await?;
        for round in 0..rounds(8) {
            one_code_many_clients(&two.players, 1 + round % 2, &chance).await?;
        }
        two.checked().await?;
        two.close().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_03_one_code_and_many_clients_give_one_family_on_sqlite() -> Verdict {
    let chance = Chance::new("f_03");
    let house = House::new().await?;
    let players = Players::at(&house.issuer, &[port_of(&house)?]).await?;
    for _ in 0..rounds(8) {
        one_code_many_clients(&players, 1, &chance).await?;
    }
    players.check(&Record::Sqlite(house.folder().join("record.db"))).await?;
    house.close().await
}

/// The control: without its two guards a code buys twice, and the checker says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_03_without_the_guard_the_same_test_fails() -> Verdict {
    on_postgres(|url| async move {
        let chance = Chance::new("f_03 without the guard");
        let two = Two::over(url).await?;
        two.record.rows("ALTER TABLE grants DROP CONSTRAINT grants_authorization_id_key").await?;
        two.first.store.unguarded(true);
        two.second.store.unguarded(true);
        for _ in 0..3 {
            one_code_many_clients(&two.players, 2, &chance).await?;
        }
        assert!(two.players.explained().is_err(), "two redemptions of one code, and the history passes");
        let record = super::invariants::hold(&two.record).await;
        assert!(record.is_err_and(|why| why.starts_with("I-1")), "two families, and the record passes");
        two.close().await
    })
    .await
}

/// The same token at both nodes at the same instant, round after round; the family must live on.
async fn refreshed_at_both(players: &Players, families: usize, chance: &Chance) -> Verdict {
    let mut held = players.family(0).await?;
    for round in 0..families {
        if round % 20 == 19 {
            held = players.family(0).await?;
        }
        let both = (0..2).flat_map(|node| (0..=chance.below(2)).map(move |_| node)).collect::<Vec<_>>();
        let answers = join_all(both.iter().map(|&node| players.refresh(node, &held))).await;
        let next = answers.into_iter().find_map(|(_, issued)| issued);
        held = next.ok_or_else(|| format!("nobody got a successor in round {round}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_04_one_refresh_token_at_two_nodes_at_once_has_one_successor() -> Verdict {
    on_postgres(|url| async move {
        let chance = Chance::new("f_04");
        let two = Two::over(url).await?;
        refreshed_at_both(&two.players, rounds(30), &chance).await?;
        two.checked().await?;
        two.close().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_04_a_node_whose_record_is_slow_to_answer_ends_no_family() -> Verdict {
    on_postgres(|url| async move {
        let record = Record::Postgres(url.clone());
        let wire = Wire::to(record.target()?).await?;
        let through = record.through(wire.port)?;
        let first = House::with(Plan { postgres: Some(url), ..Plan::default() }).await?;
        let two = Two::with_second(first, record, |plan| plan.postgres = Some(through)).await?;
        for _ in 0..rounds(2) {
            let held = two.players.family(0).await?;
            // The connections are there and used, and then nothing comes through for two seconds.
            let (_, held) = two.players.refresh(1, &held).await;
            let held = held.ok_or("no successor")?;
            wire.set(Fault::Stall);
            let mended = async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                wire.set(Fault::None);
            };
            let both = join(two.players.refresh(0, &held), two.players.refresh(1, &held));
            let ((here, there), ()) = join(both, mended).await;
            let next = here.1.ok_or("the node with a record got no successor")?;
            if there.0 == Answered::Unknown {
                // The documented retry: the same token again, within the time of grace. The node finds its record again
                // within five seconds.
                let watch = Stopwatch::start();
                let again = loop {
                    match two.players.refresh(1, &held).await {
                        (_, Some(again)) => break again,
                        (Answered::Unknown, None) if watch.elapsed() < Duration::from_secs(5) => {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                        (answered, None) => return Err(format!("the retry got nothing: {answered:?}")),
                    }
                };
                assert_eq!(again.tokens.refresh, next.tokens.refresh);
            }
            two.players.refresh(1, &next).await.1.ok_or("the family is dead")?;
        }
        two.checked().await?;
        two.close().await
    })
    .await
}

/// The control: without the guard one generation is rotated twice, and the record shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_04_without_the_guard_the_same_test_fails() -> Verdict {
    on_postgres(|url| async move {
        let two = Two::over(url).await?;
        two.first.store.unguarded(true);
        two.second.store.unguarded(true);
        let mut noticed = false;
        for _ in 0..20 {
            let held = two.players.family(0).await?;
            join_all((0..8).map(|number| two.players.refresh(number % 2, &held))).await;
            noticed |= super::invariants::hold(&two.record).await.is_err_and(|why| why.starts_with("I-2"));
        }
        assert!(noticed, "one generation was rotated twice, and the record passes");
        two.close().await
    })
    .await
}

/// Revoke, refresh and call at once, at two nodes.
async fn three_ways(two: &Two, chance: &Chance) -> Verdict {
    let players = &two.players;
    let held = players.family(chance.below(2)).await?;
    let (one, other, third) = (chance.below(2), chance.below(2), chance.below(2));
    let late = Duration::from_micros(chance.below(3_000) as u64);
    let revoke = async {
        tokio::time::sleep(late).await;
        players.revoke(one, &held).await
    };
    let refresh = async {
        let (_, next) = players.refresh(other, &held).await;
        match next {
            Some(next) => players.refresh(third, &next).await.1,
            None => None,
        }
    };
    let (acknowledged, _, _) = futures_util::future::join3(revoke, refresh, players.call(third, &held)).await;
    if acknowledged { Ok(()) } else { Err("a revocation is not acknowledged".to_owned()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_05_after_a_revocation_no_racing_refresh_or_call_leaves_anything_alive() -> Verdict {
    on_postgres(|url| async move {
        let chance = Chance::new("f_05");
        let two = Two::over(url).await?;
        for _ in 0..rounds(20) {
            three_ways(&two, &chance).await?;
        }
        two.checked().await?;
        two.close().await
    })
    .await
}

/// The control: a revocation that is taken back behind the record's back is noticed by both halves of the check.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_05_a_revocation_that_comes_undone_is_noticed() -> Verdict {
    on_postgres(|url| async move {
        let chance = Chance::new("f_05 undone");
        let two = Two::over(url).await?;
        three_ways(&two, &chance).await?;
        two.record.rows("UPDATE grants SET revoked_at = NULL").await?;
        assert!(two.players.dead_stay_dead().await.is_err(), "a refresh token of a revoked family works");
        assert!(two.players.explained().is_err(), "alive after its end, and the history passes");
        let record = super::invariants::hold(&two.record).await;
        assert!(record.is_err_and(|why| why.starts_with("I-10")), "the record passes");
        two.close().await
    })
    .await
}
