//! Two nodes over one PostgreSQL: what they do together, and how soon both of them, and every open stream, hear of a
//! revocation that one of them took.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::task::JoinSet;

use crate::flows::{self, CONNECTIONS, Flow, Session};
use crate::load::{Connection, Seen, Target, Template, now, repeat};
use crate::peer::Peer;
use crate::pin::Core;
use crate::postgres::Postgres;
use crate::product::{Product, SERVER, Setup};
use crate::rounds::Rounds;
use crate::streams::{self, Open};
use crate::table::Table;
use crate::{Outcome, Plan, calls};

/// Revocations whose news is timed.
const REVOCATIONS: usize = 240;
/// Of which so many at a time.
const AT_ONCE: usize = 4;
/// How often a node is asked whether it has heard.
const LOOK: Duration = Duration::from_millis(2);
/// Nobody waits longer than this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures throughput and news.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let server = Postgres::start(plan).await?;
    let upstream = Peer::start_self(&["upstream"], Core::Any).await?;
    let setup = Setup { postgres: Some(server.url()), core: Core::Any, ..Setup::new(&upstream.url) };
    let first = Product::start(&setup).await?;
    let second = first.another(&setup).await?;
    let session = flows::sign_in(&first).await?;
    throughput(plan, (&first, &second), &session, table).await?;
    let revocations = if plan.quick { 8 } else { REVOCATIONS };
    news(&first, &second, &session, revocations).await?.show(table);
    Ok(())
}

async fn throughput(
    plan: &Plan,
    nodes: (&Product, &Product),
    session: &Session,
    table: &mut Table,
) -> Outcome<()> {
    let (mut one, mut two) = (Rounds::default(), Rounds::default());
    let call = || calls::checked(session);
    for _ in 0..plan.rounds {
        one.push(repeat(&nodes.0.target, call(), CONNECTIONS, plan.seconds).await?.rate());
        let half = CONNECTIONS / 2;
        let both: (Outcome<Seen>, Outcome<Seen>) = tokio::join!(
            repeat(&nodes.0.target, call(), half, plan.seconds),
            repeat(&nodes.1.target, call(), half, plan.seconds)
        );
        two.push(both.0?.rate() + both.1?.rate());
    }
    let measured = format!("{}; by one of them alone {}", two.show("/s", 0), one.show("/s", 0));
    table.row("MCP calls by two nodes, 32 connections, all on the same cores", &measured, "–");
    Ok(())
}

/// How long it took until …
#[derive(Debug, Default)]
struct News {
    /// the node that took it refused,
    here: Rounds,
    /// the other node refused,
    there: Rounds,
    /// the streams at either node had ended.
    streams: Rounds,
    heard: usize,
}

impl News {
    fn show(&self, table: &mut Table) {
        let row = |table: &mut Table, what: &str, rounds: &Rounds, goal: &str| {
            let measured = format!("p50 {:.1} ms, p100 {:.1} ms", rounds.median(), rounds.most());
            table.row(&format!("{} revocations: {what}", self.heard), &measured, goal);
        };
        row(table, "until the node that takes it refuses", &self.here, "–");
        row(table, "until the other node refuses", &self.there, "p100 5 s");
        row(table, "until both streams of each, one at either node, have ended", &self.streams, "p100 5 s");
    }
}

async fn news(first: &Product, second: &Product, session: &Session, wanted: usize) -> Outcome<News> {
    let flow = Arc::new(Flow::new(first, session));
    let mut news = News::default();
    let mut tasks = JoinSet::new();
    for index in 0..wanted {
        let (flow, here, there) = (Arc::clone(&flow), first.target.clone(), second.target.clone());
        if index >= AT_ONCE {
            note(&mut news, tasks.join_next().await)?;
        }
        // The nodes take turns.
        let (here, there) = if index.is_multiple_of(2) { (here, there) } else { (there, here) };
        tasks.spawn(async move { one(&flow, &here, &there).await });
    }
    while let Some(done) = tasks.join_next().await {
        note(&mut news, Some(done))?;
    }
    Ok(news)
}

type Done = Result<Outcome<[f64; 3]>, tokio::task::JoinError>;

fn note(news: &mut News, done: Option<Done>) -> Outcome<()> {
    let [here, there, streams] = done.ok_or("nothing to wait for")?.map_err(|error| error.to_string())??;
    news.here.push(here);
    news.there.push(there);
    news.streams.push(streams);
    news.heard += 1;
    Ok(())
}

/// One grant with a stream at either node, and its end; the times in milliseconds from when its end was asked for.
async fn one(flow: &Flow, here: &Target, there: &Target) -> Outcome<[f64; 3]> {
    let (mut asking, mut other) = (Connection::open(here).await?, Connection::open(there).await?);
    let tokens = flow.run(&mut asking).await?;
    let access_token = flows::text(&tokens, "access_token")?;
    let refresh_token = flows::text(&tokens, "refresh_token")?;
    let path = format!("/{SERVER}/mcp");
    let stream = calls::stream(&path, &access_token);
    let streams = [streams::open_one(here, &stream).await?, streams::open_one(there, &stream).await?];
    let call = calls::call(&path, Some(&access_token));
    for connection in [&mut asking, &mut other] {
        let (parts, _) = connection.send(&call).await?;
        if !parts.status.is_success() {
            return Err(format!("a call was answered {}", parts.status));
        }
    }
    let begin = now();
    flow.revoke(&mut asking, &refresh_token).await?;
    let (here, there, ended) = tokio::join!(
        refused(&mut asking, &call, begin),
        refused(&mut other, &call, begin),
        all_ended(streams, begin)
    );
    Ok([here?, there?, ended?])
}

async fn refused(connection: &mut Connection, call: &Template, begin: Instant) -> Outcome<f64> {
    while begin.elapsed() < PATIENCE {
        let (parts, _) = connection.send(call).await?;
        if parts.status == StatusCode::UNAUTHORIZED {
            return Ok(begin.elapsed().as_secs_f64() * 1e3);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err("a revocation was not heard in 30 s".to_owned())
}

async fn all_ended(streams: [Open; 2], begin: Instant) -> Outcome<f64> {
    for mut open in streams {
        open.ended(PATIENCE).await?;
    }
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}
