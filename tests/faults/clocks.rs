//! F-13: clocks that jump, clocks that lie apart, and a process that is held and let go on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use authorization_server::keys::KeeperSettings;
use protocol::world::Clock as _;
use testkit::history::Answered;
use testkit::house::{House, Plan};
use testkit::outcomes::{Verdict, rs401, tok400};
use testkit::world::TestClock;

use super::chance::{Stopwatch, say};
use super::pair::until;
use super::players::{Players, T};
use super::town::Town;
use crate::record::on_postgres;
use crate::steps::{Code, Flow, Tokens};

const HOUR: i64 = 60 * 60;
const YEAR: i64 = 365 * 24 * HOUR;

/// What is over when a clock jumps, each for a reason of its own.
struct Over {
    revoked: Tokens,
    expired: Tokens,
    rotated: Tokens,
    codes: Vec<Code>,
}

impl Over {
    async fn make(flow: &mut Flow) -> Result<Self, String> {
        // Nobody has seen this access token at its MCP server: nothing is remembered of it.
        let expired = flow.tokens().await?;
        let late = flow.code().await?;
        flow.house.advance(Duration::from_secs(11 * 60)).await?;
        let consumed = flow.code().await?;
        let first = flow.redeemed(&consumed).await?;
        let second = Tokens::of(&flow.refresh(&first.refresh).await?)?;
        flow.refresh(&second.refresh).await?;
        let revoked = flow.tokens().await?;
        let fields = [("client_id", flow.client.client_id.as_str()), ("token", revoked.access.as_str())];
        assert_eq!(flow.revoke(&fields).await?.status, 200);
        Ok(Self { revoked, expired, rotated: first, codes: vec![late, consumed] })
    }

    async fn stays_over(&self, flow: &Flow) -> Verdict {
        for access in [&self.revoked.access, &self.expired.access] {
            rs401(&flow.house.echo("notes", access).await?)?;
        }
        tok400(&flow.refresh(&self.revoked.refresh).await?, "invalid_grant")?;
        for code in &self.codes {
            tok400(&flow.redeem(code).await?, "invalid_grant")?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn f_13_a_clock_that_jumps_revives_nothing_and_is_put_right_without_a_trace() -> Verdict {
    for jump in [30, -30, 5 * 60, -5 * 60, HOUR, -HOUR, 10 * YEAR, -10 * YEAR] {
        let mut flow = Flow::new().await?;
        let over = Over::make(&mut flow).await?;
        let living = flow.tokens().await?;
        let told = |why: String| format!("after {jump} s: {why}");
        flow.house.clock.jump(jump);
        over.stays_over(&flow).await.map_err(told)?;
        flow.house.advance(Duration::from_secs(2)).await?;
        over.stays_over(&flow).await.map_err(told)?;
        flow.house.clock.jump(-jump);
        flow.house.advance(Duration::from_secs(2)).await?;
        over.stays_over(&flow).await.map_err(told)?;
        flow.lives(&living).await.map_err(told)?;
        tok400(&flow.refresh(&over.rotated.refresh).await?, "invalid_grant")?;
        flow.close().await?;
    }
    Ok(())
}

/// What is removed from the record while a clock is wrong is gone; so nothing that is needed may be.
#[tokio::test]
async fn f_13_what_is_swept_while_the_clock_is_wrong_is_not_missed_when_it_is_right() -> Verdict {
    use store::Maintenance as _;
    for jump in [HOUR, 24 * HOUR, 10 * YEAR] {
        let mut flow = Flow::new().await?;
        let over = Over::make(&mut flow).await?;
        let living = flow.tokens().await?;
        let before = flow.stored().await?;
        flow.house.clock.jump(jump);
        flow.house.store.sweep(flow.house.time.earliest()).await.map_err(|error| error.to_string())?;
        // Each node reads all revocations once a minute, and forgets what no token could fall under.
        flow.house.advance(Duration::from_secs(61)).await?;
        flow.house.clock.jump(-jump);
        flow.house.advance(Duration::from_secs(2)).await?;
        assert_eq!(flow.stored().await?, before, "something is missing after {jump} s");
        over.stays_over(&flow).await.map_err(|why| format!("after {jump} s: {why}"))?;
        flow.lives(&living).await?;
        flow.close().await?;
    }
    Ok(())
}

async fn apart(seconds: i64) -> Verdict {
    on_postgres(|url| async move {
        let first = House::with(Plan { postgres: Some(url), ..Plan::default() }).await?;
        let clock = Arc::new(TestClock::default());
        clock.jump(seconds);
        let second = first.second_node_with(|plan| plan.clock = clock).await?;
        let ports = [first.port(), second.port()];
        let players = Players::at(&first.issuer, &ports).await?;
        let pass = async |time: Duration| {
            first.advance(time).await?;
            second.advance(time).await
        };
        for (here, there) in [(0, 1), (1, 0)] {
            // Not at the beginning, when everything is read.
            pass(Duration::from_secs(10)).await?;
            let held = players.family(here).await?;
            // A node that reads the record again says when to come back, and a client does.
            let last = Mutex::new((Answered::Unknown, None));
            until(async || {
                let answer = players.refresh(there, &held).await;
                let is_known = answer.0 != Answered::Unknown;
                *last.lock().unwrap_or_else(PoisonError::into_inner) = answer;
                is_known
            })
            .await?;
            let (answered, next) = last.into_inner().unwrap_or_else(PoisonError::into_inner);
            let next = next.ok_or_else(|| format!("refreshed by another clock: {answered:?}"))?;
            // Issued ahead of time, a token is not good yet; never is it good for longer.
            let issued = players.family(here).await?;
            assert!(players.revoke(here, &held).await);
            pass(Duration::from_secs(2)).await?;
            assert_eq!(players.call(there, &held).await, Answered::Refused, "{there} did not hear of it");
            assert_eq!(
                players.call(here, &next).await,
                Answered::Refused,
                "a token from ahead outlives its end"
            );
            assert_eq!(players.call(here, &issued).await, Answered::Done);
            pass(Duration::from_secs(600 + seconds.unsigned_abs())).await?;
            assert_eq!(players.call(there, &issued).await, Answered::Refused, "past its life and the skew");
        }
        players.dead_stay_dead().await?;
        second.close().await?;
        first.close().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_13_nodes_whose_clocks_lie_apart_hear_of_each_others_revocations_in_time() -> Verdict {
    for seconds in [90, -90, 4 * 60, -4 * 60] {
        apart(seconds).await.map_err(|why| format!("{seconds} s apart: {why}"))?;
    }
    Ok(())
}

/// What a node answers: whether it is ready, and to a call and a refresh, whose tokens are held from then on.
async fn answers(flow: &Flow, held: &mut Tokens) -> Result<(u16, String, u16, u16), String> {
    let ready = flow.house.http.get(&flow.at("/readyz"), &[]).await?;
    let call = flow.house.echo("notes", &held.access).await?;
    let refresh = flow.refresh(&held.refresh).await?;
    if let Ok(tokens) = Tokens::of(&refresh) {
        *held = tokens;
    }
    let clock = ready.json()["clock"].as_str().unwrap_or_default().to_owned();
    Ok((ready.status.as_u16(), clock, call.status.as_u16(), refresh.status.as_u16()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_13_a_node_whose_clock_is_not_that_of_the_database_says_so_and_serves_nothing() -> Verdict {
    on_postgres(|url| async move {
        let (clock, keys) = (Arc::new(TestClock::real()), KeeperSettings::default());
        let mut flow = Flow::with(Plan { postgres: Some(url), clock, keys, ..Plan::default() }).await?;
        let mut held = flow.tokens().await?;
        let (good, bad) = ((200, "ok".to_owned(), 200, 200), (503, "differs".to_owned(), 503, 503));
        // By an hour the token is over, which is judged first.
        let over = (503, "differs".to_owned(), 401, 503);
        assert_eq!(answers(&flow, &mut held).await?, good);
        // Three seconds are borne. An hour back too: the node goes on by the time that it knows to have been right.
        for (jump, expected) in [(3, &good), (6, &bad), (4 * 60, &bad), (HOUR, &over), (-HOUR, &good)] {
            flow.house.clock.jump(jump);
            let read = flow.house.keeper.read().await;
            assert_eq!(read.is_ok(), *expected == good, "{jump}: {read:?}");
            assert_eq!(answers(&flow, &mut held).await?, *expected, "{jump} s away from the database");
            flow.house.clock.jump(-jump);
            flow.house.keeper.read().await.map_err(|why| why.to_string())?;
            // What was issued ahead is good when its time has come.
            held = flow.tokens().await?;
            assert_eq!(answers(&flow, &mut held).await?, good, "put right after {jump} s");
        }
        for jump in [6, -6, 6 * 60, -6 * 60] {
            let clock = Arc::new(TestClock::real());
            clock.jump(jump);
            let started = flow.house.second_node_with(|plan| plan.clock = clock).await;
            let why = started.err().ok_or("it starts with a wrong clock")?;
            assert!(why.contains("clock"), "{why}");
        }
        flow.close().await
    })
    .await
}

/// Held for longer than T while a grant ends at the other node, and let go on: not one call goes through before it has
/// caught up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_13_a_process_that_was_held_serves_nothing_before_it_has_caught_up() -> Verdict {
    on_postgres(|url| async move {
        let town = Town::over(&url, 2).await?;
        let players = town.players().await?;
        let (kept, ended) = (players.family(0).await?, players.family(0).await?);
        assert_eq!(players.call(1, &ended).await, Answered::Done);
        assert_eq!(players.call(1, &kept).await, Answered::Done);
        town.nodes[1].signal("-STOP")?;
        assert!(players.revoke(0, &ended).await);
        let held = Stopwatch::start();
        while held.elapsed() < T + Duration::from_millis(300) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        town.nodes[1].signal("-CONT")?;
        let back = Stopwatch::start();
        let mut refused = 0;
        while refused < 20 {
            match players.call(1, &ended).await {
                Answered::Done => return Err(format!("a call of an ended grant, {:?} on", back.elapsed())),
                Answered::Refused => refused += 1,
                Answered::Tokens(_) | Answered::Unknown => {}
            }
            if back.elapsed() > T {
                return Err("it does not serve again".to_owned());
            }
        }
        assert_eq!(players.call(1, &kept).await, Answered::Done, "and the living are served");
        say(&format!("f_13: held for {:?}, caught up after {:?}", T, back.elapsed()));
        players.check(&town.record).await
    })
    .await
}
