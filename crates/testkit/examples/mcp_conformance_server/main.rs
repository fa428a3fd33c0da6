//! The MCP server that the official conformance suite is run against, directly and through the gateway.
//!
//! It offers the names that the suite asks for (each scenario describes its own under "Server Implementation
//! Requirements") on both eras of one URL: sessions up to 2025-11-25, no session from 2026-07-28 on. The transport is the
//! published Rust SDK's, so that what the suite measures in the direct run is not of our making.
//!
//! `mcp_conformance_server` prints `listening <mcp-url>` and serves until it is ended. It must never refuse for a reason
//! that the suite does not name: whatever it refuses would be charged to the gateway.

#![expect(clippy::print_stdout, reason = "a program of the tests: it says where it listens")]

mod catalogue;
mod fixture;
mod jobs;
mod questions;
mod sessions;
mod tools;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::fixture::Fixture;
use crate::sessions::Sessions;

/// A sentence about what went wrong.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    println!("listening http://localhost:{}/mcp", listener.local_addr()?.port());
    let fixture = Fixture::new()?;
    let config = StreamableHttpServerConfig::default().with_sse_retry(Some(Duration::from_millis(500)));
    let sessions = Arc::new(Sessions::new(fixture.resumed.clone()));
    let service = StreamableHttpService::new(move || Ok(fixture.clone()), sessions, config);
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let service = TowerToHyperService::new(service.clone());
        connections.spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(socket), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}
