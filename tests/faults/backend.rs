//! F-16: an MCP server that is down, silent, breaks off in the middle, or sends more than anybody reads. (A client that
//! disappears is among the flows of streams.)

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use testkit::client::mcp_request;
use testkit::history::Answered;
use testkit::http::Answer;
use testkit::outcomes::Verdict;
use testkit::wire::Fault;

use super::chance::{Stopwatch, rounds, say};
use super::players::{Issued, Players};
use super::town::Town;

/// What the node is configured with, and a moment.
const FIRST_BYTE: &str = "connect_timeout = \"1s\"\nfirst_byte_timeout = \"2s\"";
const IN_TIME: Duration = Duration::from_secs(4);
const MEGABYTE: usize = 1024 * 1024;

async fn call(players: &Players, held: &Issued, tool: &str) -> Result<Answer, String> {
    let params = serde_json::json!({"name": tool, "arguments": {}});
    let request = mcp_request(&players.resource(), &held.tokens.access, "tools/call", params)?;
    players.http(0).send(request).await
}

async fn stream(players: &Players, held: &Issued) -> Result<Incoming, String> {
    let params = serde_json::json!({"name": "stream", "arguments": {}});
    let request = mcp_request(&players.resource(), &held.tokens.access, "tools/call", params)?;
    let answer = players.http(0).stream(request).await?;
    if answer.status() == 200 {
        Ok(answer.into_body())
    } else {
        Err(format!("no stream: {}", answer.status()))
    }
}

/// A failure that the client can tell from an answer: a JSON-RPC error with the id of the call, in time.
async fn fails_in_time(players: &Players, held: &Issued, tool: &str) -> Verdict {
    let watch = Stopwatch::start();
    let answer = call(players, held, tool).await?;
    let json = answer.json();
    let said = json["error"]["code"].is_i64() && json["id"] == 1;
    if said && !answer.status.is_success() && watch.elapsed() < IN_TIME {
        return Ok(());
    }
    Err(format!("{tool}: {} after {:?}: {}", answer.status, watch.elapsed(), answer.text()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_16_an_mcp_server_that_is_down_or_silent_is_an_error_in_time_and_served_again_when_back() -> Verdict
{
    let town = Town::alone(FIRST_BYTE).await?;
    let players = town.players().await?;
    let held = players.family(0).await?;
    assert_eq!(players.call(0, &held).await, Answered::Done, "the control");
    for fault in [Fault::Cut, Fault::Stall, Fault::ResetAfter(20), Fault::Slow(10)] {
        town.mcp_wire.set(fault);
        fails_in_time(&players, &held, "echo").await.map_err(|why| format!("{fault:?}: {why}"))?;
        town.mcp_wire.set(Fault::None);
        assert_eq!(players.call(0, &held).await, Answered::Done, "back after {fault:?}");
    }
    // A server that takes the call and never answers.
    fails_in_time(&players, &held, "silent").await?;
    assert_eq!(players.call(0, &held).await, Answered::Done);
    players.check(&town.record).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_16_a_stream_that_breaks_off_ends_and_what_came_before_is_whole() -> Verdict {
    let town = Town::alone("").await?;
    let players = town.players().await?;
    let held = players.family(0).await?;
    for fault in [Fault::Cut, Fault::None] {
        let mut body = stream(&players, &held).await?;
        let upstream = town.mcp.next_stream().await;
        let event = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n";
        upstream.send(event);
        let mut seen = String::new();
        while !seen.contains("notifications/message") {
            let frame =
                body.frame().await.ok_or("it ended before its time")?.map_err(|why| why.to_string())?;
            seen.push_str(&String::from_utf8_lossy(frame.data_ref().map_or(&[], |data| data)));
        }
        // Broken by the cable, or by a server that closes in order though it has not answered.
        town.mcp_wire.set(fault);
        drop(upstream);
        let rest = async {
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return };
                seen.push_str(&String::from_utf8_lossy(frame.data_ref().map_or(&[], |data| data)));
            }
        };
        tokio::time::timeout(IN_TIME, rest).await.map_err(|_| "it hangs")?;
        assert!(seen.starts_with(event), "{seen}");
        town.mcp_wire.set(Fault::None);
        assert_eq!(players.call(0, &held).await, Answered::Done, "served again");
    }
    players.check(&town.record).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_16_many_events_and_a_huge_one_come_through_whole_and_in_order() -> Verdict {
    let town = Town::alone("").await?;
    let players = town.players().await?;
    let held = players.family(0).await?;
    let mut body = stream(&players, &held).await?;
    let upstream = town.mcp.next_stream().await;
    let mut sent = Vec::new();
    for number in 0..10_000 {
        let event = format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/n{number}\"}}\n\n");
        sent.extend_from_slice(event.as_bytes());
        upstream.send(event);
    }
    let huge = format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"{}\"}}\n\n", "x".repeat(10 * MEGABYTE));
    sent.extend_from_slice(huge.as_bytes());
    upstream.send(huge);
    drop(upstream);
    let mut seen = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        seen.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    assert!(seen.starts_with(&sent), "{} bytes of {} came through, or others", seen.len(), sent.len());
    players.check(&town.record).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_16_what_nobody_reads_waits_at_the_mcp_server_and_not_in_memory() -> Verdict {
    const WHOLE: usize = 64;
    let town = Town::alone("").await?;
    let players = town.players().await?;
    let held = players.family(0).await?;
    let mut body = stream(&players, &held).await?;
    let upstream = town.mcp.next_stream().await;
    let before = town.nodes[0].resident_bytes()?;
    let message = |text: &str| {
        format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"x/y\",\"params\":{{\"z\":\"{text}\"}}}}\n\n")
    };
    let megabyte = Bytes::from(message(&"x".repeat(MEGABYTE - message("").len())));
    for _ in 0..WHOLE {
        upstream.send(megabyte.clone());
    }
    drop(upstream);
    let mut most = before;
    for _ in 0..20 {
        // Other calls go on beside it, and there is time for it to swell.
        assert_eq!(players.call(0, &held).await, Answered::Done);
        tokio::time::sleep(Duration::from_millis(25)).await;
        most = most.max(town.nodes[0].resident_bytes()?);
    }
    let grown = most.saturating_sub(before) / MEGABYTE;
    say(&format!("f_16: {WHOLE} MiB unread: {grown} MiB more of memory"));
    assert!(grown < 16, "{grown} MiB");
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
    }
    assert!(seen >= WHOLE * MEGABYTE, "{seen} bytes");
    players.check(&town.record).await
}

/// Each client's answer carries its own family, whatever breaks meanwhile: [`Players::call`] looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_16_no_answer_goes_to_somebody_else_while_connections_break() -> Verdict {
    let town = Town::alone(FIRST_BYTE).await?;
    let players = town.players().await?;
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(players.family(0).await?);
    }
    for round in 0..rounds(6) {
        let calls = all.iter().flat_map(|held| (0..4).map(|_| call_and_look(&players, held)));
        let breaking = async {
            tokio::time::sleep(Duration::from_millis(5 * (round as u64 % 4))).await;
            town.mcp_wire.set(Fault::Cut);
            tokio::task::yield_now().await;
            town.mcp_wire.set(Fault::None);
        };
        let (calls, ()) = join(join_all(calls), breaking).await;
        calls.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    for held in &all {
        assert_eq!(players.call(0, held).await, Answered::Done);
    }
    players.check(&town.record).await
}

/// An answer, if there is one, is the caller's own.
async fn call_and_look(players: &Players, held: &Issued) -> Verdict {
    let params = serde_json::json!({"name": "echo", "arguments": {"said": held.family}});
    let request = mcp_request(&players.resource(), &held.tokens.access, "tools/call", params)?;
    let answer = players.http(0).send(request).await?;
    let own = answer.status != 200 || answer.text().contains(&held.family);
    if own { Ok(()) } else { Err(format!("an answer of somebody else: {}", answer.text())) }
}
