//! The peer: a bare hyper reverse proxy that checks nothing, the least that forwarding costs in Rust.
//!
//! Registrations it answers itself, with one text for all, so that a flood of them has something to be compared with.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::Outcome;

/// Where registrations go, here and at Sekisho.
pub(crate) const REGISTER: &str = "/oauth/register";

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

type Answer = Response<Either<Incoming, Full<Bytes>>>;

async fn forward(
    client: Forwarder,
    target: Uri,
    mut request: Request<Incoming>,
) -> Result<Answer, hyper_util::client::legacy::Error> {
    if request.uri().path() == REGISTER {
        return Ok(registered(request).await);
    }
    *request.uri_mut() = target;
    request.headers_mut().remove(http::header::HOST);
    client.request(request).await.map(|answer| answer.map(Either::Left))
}

/// As long as an answer of ours, to a body that was read to its end.
async fn registered(request: Request<Incoming>) -> Answer {
    let read = request.into_body().collect().await.is_ok();
    let body = Full::new(Bytes::from_static(&[b' '; 640]));
    let mut answer = Response::new(Either::Right(body));
    *answer.status_mut() = if read { StatusCode::CREATED } else { StatusCode::BAD_REQUEST };
    answer
}
