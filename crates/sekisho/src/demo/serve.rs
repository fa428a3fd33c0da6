//! Serves the example MCP servers, each on a loopback port that the system chose.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::identity::CallerReader;
use super::ledger::Ledger;
use super::notes::Notes;

/// A listener for one example server, bound before the keys are known.
#[derive(Debug)]
pub struct ExampleServer {
    listener: TcpListener,
    /// Its MCP endpoint.
    pub url: String,
}

impl ExampleServer {
    async fn bind() -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let url = format!("http://{}/mcp", listener.local_addr()?);
        Ok(Self { listener, url })
    }
}

/// Both example servers.
#[derive(Debug)]
pub struct ExampleServers {
    /// Notes for everybody.
    pub notes: ExampleServer,
    /// The ledger of the group `finance`.
    pub ledger: ExampleServer,
}

impl ExampleServers {
    /// Takes two loopback ports.
    pub async fn bind() -> std::io::Result<Self> {
        Ok(Self { notes: ExampleServer::bind().await?, ledger: ExampleServer::bind().await? })
    }
}

/// Starts both; they end when `stop` is cancelled and are owned by `tasks`.
pub fn start(servers: ExampleServers, caller: &CallerReader, tasks: &TaskTracker, stop: &CancellationToken) {
    let board = Arc::default();
    let notes_caller = CallerReader { audience: servers.notes.url.clone(), ..caller.clone() };
    let notes = move || Ok(Notes::new(Arc::clone(&board), notes_caller.clone()));
    let book = Arc::default();
    let ledger_caller = CallerReader { audience: servers.ledger.url.clone(), ..caller.clone() };
    let ledger = move || Ok(Ledger::new(Arc::clone(&book), ledger_caller.clone()));
    tasks.spawn(serve(servers.notes.listener, notes, tasks.clone(), stop.clone()));
    tasks.spawn(serve(servers.ledger.listener, ledger, tasks.clone(), stop.clone()));
}

async fn serve<S, F>(listener: TcpListener, make: F, tasks: TaskTracker, stop: CancellationToken)
where
    S: ServerHandler + Send + 'static,
    F: Fn() -> Result<S, std::io::Error> + Send + Sync + 'static,
{
    let config = StreamableHttpServerConfig::default().with_cancellation_token(stop.clone());
    let service: StreamableHttpService<S, LocalSessionManager> =
        StreamableHttpService::new(make, Arc::default(), config);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let service = TowerToHyperService::new(service.clone());
        let stop = stop.clone();
        tasks.spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let connection = server.serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                ended = connection => drop(ended),
                () = stop.cancelled() => {}
            }
        });
    }
}
