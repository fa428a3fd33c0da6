//! The peer: a bare hyper reverse proxy that checks nothing, the least that forwarding costs in Rust.

use std::net::Ipv4Addr;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::Outcome;

type Forwarder = Client<HttpConnector, Incoming>;

/// Serves until the process is ended.
pub(crate) async fn serve(target: &str) -> Outcome<()> {
    let target: Uri = target.parse().map_err(|_| "odd target".to_owned())?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Forwarder =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(512).build(connector);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    anstream::println!("http://{address}/mcp");
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
        drop(stream.set_nodelay(true));
        let (client, target) = (client.clone(), target.clone());
        let service =
            service_fn(move |request: Request<Incoming>| forward(client.clone(), target.clone(), request));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(
    client: Forwarder,
    target: Uri,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
    *request.uri_mut() = target;
    request.headers_mut().remove(http::header::HOST);
    client.request(request).await
}
