//! F-07, F-23: how soon every node and every stream knows of a revocation, and what a node does that cannot know.

use std::time::Duration;

use futures_util::future::{join, join_all};
use http_body_util::BodyExt as _;
use testkit::client::mcp_request;
use testkit::history::Answered;
use testkit::outcomes::Verdict;
use testkit::wire::Fault;

use super::chance::{Stopwatch, rounds, say};
use super::players::{Issued, Players, T};
use super::town::Town;
use crate::record::on_postgres;

/// A stream is told to end when the node knows; its last bytes take a moment.
const A_MOMENT: Duration = Duration::from_millis(500);

/// An open stream of a family at a node; what comes back when it ends.
async fn stream(players: &Players, node: usize, held: &Issued) -> Result<hyper::body::Incoming, String> {
    let stream = serde_json::json!({"name": "stream", "arguments": {}});
    let request = mcp_request(&players.resource(), &held.tokens.access, "tools/call", stream)?;
    let answer = players.http(node).stream(request).await?;
    if answer.status() == 200 {
        Ok(answer.into_body())
    } else {
        Err(format!("no stream: {}", answer.status()))
    }
}

/// Until the stream ends, however it does.
async fn ended(mut body: hyper::body::Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// Calls until the node refuses; when, since the watch was started, the last call that went through was begun.
async fn last_call(
    players: &Players,
    node: usize,
    held: &Issued,
    watch: Stopwatch,
) -> Result<Duration, String> {
    let mut last = Duration::ZERO;
    loop {
        let began = watch.elapsed();
        match players.call(node, held).await {
            Answered::Done => last = began,
            Answered::Refused => return Ok(last),
            other @ (Answered::Tokens(_) | Answered::Unknown) => {
                return Err(format!("a call at {node}: {other:?}"));
            }
        }
        if began > T * 3 {
            return Err(format!("node {node} still serves {began:?} after the revocation"));
        }
    }
}

async fn one_revocation(town: &Town, players: &Players, killed: bool) -> Result<Vec<Duration>, String> {
    let held = players.family(0).await?;
    let others = 1..players.nodes();
    let streams = join_all(others.clone().map(|node| stream(players, node, &held))).await;
    let streams = streams.into_iter().collect::<Result<Vec<_>, _>>()?;
    // Fed by nobody, but held open: the other end is the MCP server's.
    let open = join_all(others.clone().map(|_| town.mcp.next_stream())).await;
    if !players.revoke(0, &held).await {
        return Err("a revocation is not acknowledged".to_owned());
    }
    let watch = Stopwatch::start();
    if killed {
        town.nodes[0].kill();
    }
    let calls = join_all(others.map(|node| last_call(players, node, &held, watch)));
    let ends = join_all(streams.into_iter().map(|body| async {
        ended(body).await;
        watch.elapsed()
    }));
    let ends = tokio::time::timeout(T * 3, ends);
    let (calls, ends) = join(calls, ends).await;
    let mut all = calls.into_iter().collect::<Result<Vec<_>, _>>()?;
    all.extend(
        ends.map_err(|_| "a stream is open long after its end")?
            .iter()
            .map(|end| end.saturating_sub(A_MOMENT)),
    );
    drop(open);
    if killed {
        town.nodes[0].start().await?;
        players.reconnect(0);
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_07_every_node_and_stream_hears_of_a_revocation_within_t_though_its_node_dies() -> Verdict {
    on_postgres(|url| async move {
        let town = Town::over(&url, 3).await?;
        let players = town.players().await?;
        let mut all = Vec::new();
        for round in 0..rounds(4) {
            all.extend(one_revocation(&town, &players, round % 2 == 1).await?);
        }
        all.sort_unstable();
        let at = |percent: usize| all[(all.len() - 1) * percent / 100];
        let (half, most, worst) = (at(50), at(95), at(100));
        say(&format!("f_07: {} ends, p50 {half:?}, p95 {most:?}, p100 {worst:?}, T {T:?}", all.len()));
        if worst > T {
            return Err(format!("{worst:?} is later than T"));
        }
        players.check(&town.record).await
    })
    .await
}

/// Calls at a node all the while: since when every call is refused, and that none went through again.
async fn silent_after(
    players: &Players,
    node: usize,
    held: &Issued,
    over: Duration,
) -> Result<Duration, String> {
    let watch = Stopwatch::start();
    let mut last = Duration::ZERO;
    while watch.elapsed() < over {
        let began = watch.elapsed();
        if players.call(node, held).await == Answered::Done {
            last = began;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(last)
}

async fn cut_off(fault: Fault) -> Verdict {
    on_postgres(|url| async move {
        let town = Town::over(&url, 2).await?;
        let players = town.players().await?;
        let (kept, revoked) = (players.family(0).await?, players.family(0).await?);
        assert_eq!(players.call(1, &kept).await, Answered::Done);
        let open = stream(&players, 1, &revoked).await?;
        let wire = town.nodes[1].wire.as_ref().ok_or("no wire")?;
        wire.set(fault);
        let watch = Stopwatch::start();
        assert!(players.revoke(0, &revoked).await, "the other node serves on");
        let hammer = silent_after(&players, 1, &revoked, T + Duration::from_secs(2));
        let closed = async {
            ended(open).await;
            watch.elapsed()
        };
        let (last, closed) = join(hammer, closed).await;
        let (last, closed) = (last?, closed.saturating_sub(A_MOMENT));
        say(&format!("f_23: cut off by {fault:?}: last call {last:?}, stream closed {closed:?}, T {T:?}"));
        assert!(last <= T && closed <= T, "served from what may be out of date");
        assert_eq!(players.call(1, &kept).await, Answered::Unknown, "503, for the living too");
        assert_eq!(players.call(0, &kept).await, Answered::Done, "the other node serves on");
        probes(&players, (200, 503)).await?;
        wire.set(Fault::None);
        let healed = Stopwatch::start();
        while players.call(1, &kept).await != Answered::Done {
            if healed.elapsed() > T {
                return Err("not back within 5 s of its record".to_owned());
            }
        }
        say(&format!("f_23: back after {:?}", healed.elapsed()));
        probes(&players, (200, 200)).await?;
        players.check(&town.record).await
    })
    .await
}

/// What the second node says of itself.
async fn probes(players: &Players, expected: (u16, u16)) -> Verdict {
    let at = async |path: &str| players.http(1).get(&format!("{}{path}", players.issuer), &[]).await;
    let seen = (at("/healthz").await?.status.as_u16(), at("/readyz").await?.status.as_u16());
    if seen == expected { Ok(()) } else { Err(format!("alive and ready are {seen:?}, not {expected:?}")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_23_a_node_whose_record_is_cut_off_serves_nothing_after_t_and_the_others_serve_on() -> Verdict {
    cut_off(Fault::Cut).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_23_a_node_whose_record_is_silent_serves_nothing_after_t_and_the_others_serve_on() -> Verdict {
    cut_off(Fault::Stall).await
}
