//! F-17: very many streams on which hardly anything comes: nothing cuts one before its time, each ends when its token and the
//! grace are over, and each costs as many descriptors as the one before. Two hours of that are for `cargo xtask soak`.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;
use store::AuditKind;
use testkit::house::Plan;
use testkit::mcp_server::OpenStream;
use testkit::outcomes::Verdict;
use web::ConnectionLimits;

use super::chance::{Stopwatch, rounds};
use crate::steps::{Flow, Tokens};

/// Streams that are opened at once, twice.
const HALF: usize = 200;
/// What is left of the token when they are opened, and the grace after it.
const LEFT: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(3);
/// How often a comment comes, and the deadline for everything that is not such a stream.
const TICK: Duration = Duration::from_millis(500);
const COMMENT: &str = ": still here\n\n";

/// A stream from both ends.
struct Open {
    since: Stopwatch,
    client: Response<Incoming>,
    server: OpenStream,
}

impl Open {
    async fn new(flow: &Flow, tokens: &Tokens) -> Result<Self, String> {
        let params = json!({"name": "stream", "arguments": {}});
        let asked = flow.house.call_request(flow.server, &tokens.access, "tools/call", params)?;
        let since = Stopwatch::start();
        // A connection of its own, as every client has one.
        let client = flow.house.http.another().stream(asked).await?;
        if client.status() != StatusCode::OK {
            return Err(format!("no stream: {}", client.status()));
        }
        Ok(Self { since, client, server: flow.house.mcp.next_stream().await })
    }

    /// Comments go down until the gateway lets go; how long it took, and how much came out at the other end. The MCP server's
    /// end stays open: whose stream it is, nobody here knows.
    async fn ends(self) -> Result<(Duration, usize, OpenStream), String> {
        let Self { since, mut client, server } = self;
        let talks = async {
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                if !server.send(COMMENT) {
                    std::future::pending::<()>().await;
                }
            }
        };
        let reads = async {
            let mut came = 0;
            while let Some(frame) = client.frame().await {
                came += frame.map_err(|error| error.to_string())?.data_ref().map_or(0, bytes::Bytes::len);
            }
            Ok::<_, String>(came)
        };
        let came = tokio::select! {
            came = reads => came?,
            () = talks => 0,
        };
        Ok((since.elapsed(), came, server))
    }
}

/// Of this process, in which the client, the gateway and the MCP server are.
fn descriptors() -> Result<usize, String> {
    std::fs::read_dir("/proc/self/fd").map(Iterator::count).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_17_idle_streams_live_until_token_and_grace_are_over_and_cost_what_they_cost() -> Verdict {
    let connections = ConnectionLimits { header_timeout: TICK, unread: TICK, ..Plan::default().connections };
    let plan = Plan { connections, body_timeout: TICK, stream_grace: GRACE, ..Plan::default() };
    let mut flow = Flow::with(plan).await?;
    let tokens = flow.tokens().await?;
    flow.house.advance(Duration::from_secs(600).saturating_sub(LEFT)).await?;
    let count = HALF * rounds(1);
    let before = descriptors()?;
    let mut open = try_join_all((0..count).map(|_| Open::new(&flow, &tokens))).await?;
    let half = descriptors()? - before;
    open.extend(try_join_all((0..count).map(|_| Open::new(&flow, &tokens))).await?);
    let whole = descriptors()? - before;
    // Two ends of two connections each, and a few beside.
    let each = |many: usize, streams: usize| many.abs_diff(4 * streams) <= 32;
    assert!(each(half, count) && each(whole, 2 * count), "{half} for {count}, {whole} for {}", 2 * count);
    let ended = try_join_all(open.into_iter().map(Open::ends)).await?;
    for (lived, came, _) in &ended {
        let life = LEFT + GRACE;
        assert!(*lived >= life - TICK, "cut after {lived:?}");
        assert!(*lived < life + Duration::from_secs(5), "it lived for {lived:?}");
        // Of a comment it goes on that there was one.
        assert!(*came >= 8 * b":\n\n".len(), "{came} bytes");
    }
    // Everybody is there again at once, and is served.
    let again = try_join_all((0..count).map(|_| Open::new(&flow, &tokens))).await?;
    drop(again);
    let Flow { house, log, .. } = flow;
    drop(log);
    let house = house.restart().await?;
    let calls = house.audit(AuditKind::Call).await?;
    let mut why = BTreeMap::new();
    for call in &calls {
        *why.entry(call.reason.as_deref().unwrap_or("none")).or_insert(0) += 1;
    }
    assert_eq!(why.get("token_outlived"), Some(&(2 * count)), "each says why it ended: {why:?}");
    house.close().await
}
