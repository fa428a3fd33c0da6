//! Checked MCP calls beside the same calls without Sekisho and through a proxy that checks nothing.

use std::time::Duration;

use bytes::Bytes;

use crate::flows::{self, CONNECTIONS, Session};
use crate::load::{Target, Template, count, repeat_paced};
use crate::nginx::Nginx;
use crate::peer::Peer;
use crate::pin::Core;
use crate::product::{Product, SERVER, Setup};
use crate::rounds::Line;
use crate::table::Table;
use crate::{Outcome, Plan};

/// The revision of MCP that is spoken.
const VERSION: &str = "2026-07-28";

/// Calls a second that each of them can do beside the load generator.
const RATE: usize = 15_000;

/// How often each connection calls, for that.
fn pace() -> Duration {
    Duration::from_secs_f64(count(CONNECTIONS) / count(RATE))
}

/// Who is measured beside Sekisho.
#[derive(Debug)]
struct Peers {
    /// The MCP server.
    upstream: Peer,
    /// The proxy that checks nothing.
    passthrough: Peer,
    /// The other one.
    nginx: Option<Nginx>,
}

/// A call whose answer is a stream of events.
pub(crate) fn stream(path: &str, token: &str) -> Template {
    call_of("stream", path, Some(token))
}

/// A call of a tool that only reads.
pub(crate) fn call(path: &str, token: Option<&str>) -> Template {
    call_of("search", path, token)
}

/// A request for a long list of tools.
pub(crate) fn list(path: &str, token: Option<&str>) -> Template {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"cursor":"long","_meta":{{"io.modelcontextprotocol/protocolVersion":"{VERSION}","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    );
    request(path, "tools/list", None, token, body)
}

/// The same through Sekisho.
pub(crate) fn checked(session: &Session) -> Template {
    call(&format!("/{SERVER}/mcp"), Some(&session.access_token))
}

/// A call of a tool that does not say that it only reads.
pub(crate) fn writing(session: &Session) -> Template {
    call_of("send", &format!("/{SERVER}/mcp"), Some(&session.access_token))
}

fn call_of(tool: &str, path: &str, token: Option<&str>) -> Template {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"query":"{}"}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"{VERSION}","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#,
        "q".repeat(300)
    );
    request(path, "tools/call", Some(tool), token, body)
}

fn request(path: &str, method: &str, name: Option<&str>, token: Option<&str>, body: String) -> Template {
    let mut headers: Vec<(String, String)> = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", VERSION),
        ("mcp-method", method),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    headers.extend(name.map(|name| ("mcp-name".to_owned(), name.to_owned())));
    headers.extend(token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
    Template { method: http::Method::POST, path: path.to_owned(), headers, body: Bytes::from(body) }
}

/// Measures at 1, 32 and 256 connections.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let upstream = Peer::start_self(&["upstream"], Core::Load).await?;
    let passthrough = Peer::start_self(&["passthrough", &upstream.url], Core::Measured).await?;
    let nginx = Nginx::start(&upstream.url).await?;
    let product = Product::start(&Setup::new(&upstream.url)).await?;
    let session = flows::sign_in(&product).await?;
    if nginx.is_none() {
        table.row("nginx as a reverse proxy", "not measured: there is no nginx", "–");
    }
    let peers = Peers { upstream, passthrough, nginx };
    for connections in [1, 32, 256] {
        let lines = at(plan, &peers, (&product, &session), (connections, None)).await?;
        show(connections, &lines, peers.nginx.is_some(), table);
    }
    let lines = at(plan, &peers, (&product, &session), (CONNECTIONS, Some(pace()))).await?;
    show_paced(&lines, peers.nginx.is_some(), table);
    let (now, most) = (product.peer.rss_mib()?, product.peer.peak_mib()?);
    table.row(
        "RSS after these calls, and the most during them",
        &format!("{now:.1} MiB, {most:.1} MiB"),
        "120 MiB",
    );
    Ok(())
}

#[derive(Debug, Default)]
struct Lines {
    direct: Line,
    bare: Line,
    nginx: Line,
    sekisho: Line,
}

/// As fast as each can, or at a pace.
async fn at(
    plan: &Plan,
    peers: &Peers,
    sekisho: (&Product, &Session),
    (connections, pace): (usize, Option<Duration>),
) -> Outcome<Lines> {
    let mut lines = Lines::default();
    let plain = call("/mcp", None);
    let (product, session) = sekisho;
    for _ in 0..plan.rounds {
        let round = async |peer: &Peer| {
            let target = Target::of(&peer.url)?;
            repeat_paced(&target, plain.clone(), connections, plan.seconds, (pace, None)).await
        };
        lines.direct.round(&peers.upstream, round(&peers.upstream)).await?;
        lines.bare.round(&peers.passthrough, round(&peers.passthrough)).await?;
        if let Some(nginx) = &peers.nginx {
            lines.nginx.round(&nginx.peer, round(&nginx.peer)).await?;
        }
        let call = checked(session);
        let seen = repeat_paced(&product.target, call, connections, plan.seconds, (pace, None));
        lines.sekisho.round(&product.peer, seen).await?;
    }
    Ok(lines)
}

/// At one rate for all: as fast as they can, the load generator never rests beside the bare proxy and often beside Sekisho, and
/// whoever sends to a sleeper pays for waking it.
fn show_paced(lines: &Lines, nginx: bool, table: &mut Table) {
    let Lines { bare, nginx: other, sekisho, .. } = lines;
    let beside = if nginx { format!("; nginx {}", other.cpu.show("µs", 1)) } else { String::new() };
    let (own, least) = (sekisho.cpu.show("µs", 1), bare.cpu.show("µs", 1));
    let ratio = sekisho.cpu.median() / bare.cpu.median();
    table.row(
        &format!("MCP call, {RATE} a second through each: CPU per call"),
        &format!("{own}; bare hyper {least}: {ratio:.2} ×{beside}"),
        "1.5 × bare hyper",
    );
    table.row(
        "the same: p99",
        &format!("{}; bare hyper {:.0} µs", sekisho.p99.show("µs", 0), bare.p99.median()),
        "–",
    );
}

fn show(connections: usize, lines: &Lines, nginx: bool, table: &mut Table) {
    let plural = if connections == 1 { "" } else { "s" };
    let at = format!("MCP call, {connections} connection{plural}");
    let Lines { direct, bare, nginx: other, sekisho } = lines;
    let with_nginx = |text: String| if nginx { text } else { String::new() };
    let rates = (direct.rate.median(), bare.rate.median(), other.rate.median());
    let beside = with_nginx(format!("; nginx {:.0}", rates.2));
    let rate = sekisho.rate.show("/s", 0);
    table.row(
        &format!("{at}: calls per second"),
        &format!("{rate}; bare hyper {:.0}{beside}; direct {:.0}", rates.1, rates.0),
        "–",
    );
    let goal = if connections == 32 { "1.5 × bare hyper" } else { "–" };
    let ratio = sekisho.cpu.median() / bare.cpu.median();
    let beside = with_nginx(format!("; nginx {}", other.cpu.show("µs", 1)));
    let (own, least) = (sekisho.cpu.show("µs", 1), bare.cpu.show("µs", 1));
    table.row(
        &format!("{at}: CPU per call"),
        &format!("{own}; bare hyper {least}: {ratio:.2} ×{beside}"),
        goal,
    );
    // With more of them the load generator's core is full, and what a proxy adds is hidden behind it.
    if connections == 1 {
        let added = |line: &Line| line.p50.median() - direct.p50.median();
        let ratio = added(sekisho) / added(bare);
        let beside = with_nginx(format!("; nginx {:.0} µs", added(other)));
        table.row(
            &format!("{at}: added p50"),
            &format!("{:.0} µs; bare hyper {:.0} µs: {ratio:.2} ×{beside}", added(sekisho), added(bare)),
            "1.4 × what bare hyper adds",
        );
    }
    let beside = with_nginx(format!("; nginx {:.0} µs", other.p99.median()));
    let (p99, least) = (sekisho.p99.show("µs", 0), bare.p99.median());
    table.row(
        &format!("{at}: p99"),
        &format!("{p99}; bare hyper {least:.0} µs{beside}; direct {:.0} µs", direct.p99.median()),
        "–",
    );
}
