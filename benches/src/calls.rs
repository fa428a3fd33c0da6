//! Checked MCP calls beside the same calls without Sekisho and through a proxy that checks nothing.

use bytes::Bytes;

use crate::flows::Session;
use crate::load::{Seen, Template, count, repeat};
use crate::peer::Peer;
use crate::product::{Product, SERVER};
use crate::rounds::Rounds;
use crate::table::Table;
use crate::{Outcome, Plan};

/// Who is measured.
#[derive(Debug)]
pub(crate) struct Peers<'a> {
    /// The MCP server.
    pub upstream: &'a Peer,
    /// The proxy that checks nothing.
    pub passthrough: &'a Peer,
    /// Sekisho.
    pub product: &'a Product,
    /// A token.
    pub session: &'a Session,
}

#[derive(Debug, Default)]
struct Line {
    rate: Rounds,
    cpu: Rounds,
    p50: Rounds,
    p99: Rounds,
}

impl Line {
    fn push(&mut self, seen: &Seen, cpu_seconds: f64) {
        self.rate.push(seen.rate());
        self.cpu.push(cpu_seconds * 1e6 / count(seen.micros.len().max(1)));
        self.p50.push(seen.quantile(0.5));
        self.p99.push(seen.quantile(0.99));
    }
}

/// A call whose answer is a stream of events.
pub(crate) fn stream(path: &str, token: &str) -> Template {
    call_of("stream", path, Some(token))
}

fn call(path: &str, token: Option<&str>) -> Template {
    call_of("search", path, token)
}

fn call_of(tool: &str, path: &str, token: Option<&str>) -> Template {
    let version = "2026-07-28";
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"query":"{}"}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#,
        "q".repeat(300)
    );
    let mut headers: Vec<(String, String)> = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", version),
        ("mcp-method", "tools/call"),
        ("mcp-name", tool),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    headers.extend(token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
    Template { method: http::Method::POST, path: path.to_owned(), headers, body: Bytes::from(body) }
}

/// Measures at 1, 32 and 256 connections.
pub(crate) async fn measure(plan: &Plan, peers: &Peers<'_>, table: &mut Table) -> Outcome<()> {
    for connections in [1, 32, 256] {
        let (mut direct, mut bare, mut sekisho) = (Line::default(), Line::default(), Line::default());
        for _ in 0..plan.rounds {
            let plain = call("/mcp", None);
            direct.push(&repeat(&peers.upstream.url, plain.clone(), connections, plan.seconds).await?, 0.0);
            let before = peers.passthrough.cpu_seconds()?;
            let seen = repeat(&peers.passthrough.url, plain, connections, plan.seconds).await?;
            bare.push(&seen, peers.passthrough.cpu_seconds()? - before);
            let checked = call(&format!("/{SERVER}/mcp"), Some(&peers.session.access_token));
            let before = peers.product.peer.cpu_seconds()?;
            let seen = repeat(&peers.product.peer.url, checked, connections, plan.seconds).await?;
            sekisho.push(&seen, peers.product.peer.cpu_seconds()? - before);
        }
        show(connections, &direct, &bare, &sekisho, table);
    }
    Ok(())
}

fn show(connections: usize, direct: &Line, bare: &Line, sekisho: &Line, table: &mut Table) {
    let at = format!("MCP call, {connections} connections");
    table.row(
        &format!("{at}: calls per second"),
        &format!(
            "{}; bare hyper {:.0}; direct {:.0}",
            sekisho.rate.show("/s", 0),
            bare.rate.median(),
            direct.rate.median()
        ),
        "–",
    );
    let goal = if connections == 32 { "1.5 × bare hyper" } else { "–" };
    let ratio = sekisho.cpu.median() / bare.cpu.median();
    table.row(
        &format!("{at}: CPU per call"),
        &format!("{}; bare hyper {}: {ratio:.2} ×", sekisho.cpu.show("µs", 1), bare.cpu.show("µs", 1)),
        goal,
    );
    let added = |line: &Line| (line.p50.median() - direct.p50.median()).max(0.0);
    let ratio = added(sekisho) / added(bare).max(0.001);
    let goal = if connections == 1 { "1.4 × what bare hyper adds" } else { "–" };
    table.row(
        &format!("{at}: added p50"),
        &format!("{:.0} µs; bare hyper {:.0} µs: {ratio:.2} ×", added(sekisho), added(bare)),
        goal,
    );
    table.row(
        &format!("{at}: p99"),
        &format!(
            "{}; bare hyper {:.0} µs; direct {:.0} µs",
            sekisho.p99.show("µs", 0),
            bare.p99.median(),
            direct.p99.median()
        ),
        "–",
    );
}
