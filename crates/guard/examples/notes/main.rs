//! An MCP server of rmcp that checks tokens itself, without the gateway.
//!
//! `notes ISSUER RESOURCE NAME SECRET_FILE`: the public URL of Sekisho, the URL of this MCP server as Sekisho knows it, its
//! name there, and the file that its `introspection_secret_file` names. It prints `listening <url>` and serves until it is
//! ended.

#![expect(clippy::print_stdout, reason = "a program of its own: it says where it listens")]

mod notes;

use std::net::Ipv4Addr;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use sekisho_guard::{Guard, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A sentence about what went wrong.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [issuer, resource, name, secret_file] = given.as_slice() else {
        return Err("usage: notes ISSUER RESOURCE NAME SECRET_FILE".into());
    };
    let secret = std::fs::read_to_string(secret_file)?.trim().to_owned();
    let settings = Settings::new(issuer, resource, name, secret)?.read_only_tools(["who_am_i"]);
    let service = notes::guarded(&Guard::new(settings)?);

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("listening http://{}/", listener.local_addr()?);
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        connections.spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(socket), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}
