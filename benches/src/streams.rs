//! Open streams: how many can be held, and what each keeps resident. A stream is a call whose answer is events: the
//! client's connection, the connection to the MCP server, and what lies between.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use url::Url;

use crate::calls;
use crate::flows::Session;
use crate::load::{Template, count};
use crate::product::{Product, SERVER};
use crate::table::Table;
use crate::{Outcome, Plan};

/// Streams opened at once.
const AT_ONCE: usize = 32;
/// Streams of one HTTP/2 connection.
const SHARED: usize = 96;

/// What is open, and what keeps it so.
#[derive(Debug, Default)]
struct Open {
    bodies: Vec<Incoming>,
    drivers: JoinSet<()>,
}

/// How clients connect.
#[derive(Clone, Copy, Debug)]
enum Version {
    /// A connection for each.
    Http1,
    /// Many on one.
    Http2,
}

/// Measures 1,000 with a connection each, and 10,000 that share connections, for which descriptors suffice anywhere.
pub(crate) async fn measure(
    plan: &Plan,
    product: &Product,
    session: &Session,
    table: &mut Table,
) -> Outcome<()> {
    let few = if plan.rounds > 1 { 1 } else { 10 };
    for (version, name, streams) in
        [(Version::Http1, "HTTP/1.1", 1000 / few), (Version::Http2, "HTTP/2", 10_000 / few)]
    {
        let before = product.peer.rss_mib()?;
        let open = open(product, session, version, streams).await?;
        let each = (product.peer.rss_mib()? - before) * 1024.0 / count(open.bodies.len().max(1));
        let row = format!("{} open streams, clients by {name}: RSS each", open.bodies.len());
        table.row(&row, &format!("{each:.1} KiB"), "40 KiB");
        drop(open);
    }
    Ok(())
}

async fn open(product: &Product, session: &Session, version: Version, streams: usize) -> Outcome<Open> {
    let template = calls::stream(&format!("/{SERVER}/mcp"), &session.access_token);
    let url = Url::parse(&product.peer.url).map_err(|error| error.to_string())?;
    let authority =
        format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    let mut open = Open::default();
    while open.bodies.len() < streams {
        let left = streams - open.bodies.len();
        match version {
            Version::Http1 => {
                let mut beginning = JoinSet::new();
                for _ in 0..left.min(AT_ONCE) {
                    let (mut sender, driver) =
                        http1::handshake(connect(&authority).await?).await.map_err(text)?;
                    open.drivers.spawn(async move { drop(driver.await) });
                    let request = request(&template, &authority, "")?;
                    beginning.spawn(async move { begun(sender.send_request(request).await).await });
                }
                for body in beginning.join_all().await {
                    open.bodies.push(body?);
                }
            }
            Version::Http2 => {
                let handshake = http2::handshake(TokioExecutor::new(), connect(&authority).await?);
                let (sender, driver) = handshake.await.map_err(text)?;
                open.drivers.spawn(async move { drop(driver.await) });
                for _ in 0..left.min(SHARED).div_ceil(AT_ONCE) {
                    let mut beginning = JoinSet::new();
                    for _ in 0..AT_ONCE.min(streams - open.bodies.len()) {
                        let request = request(&template, "", &format!("http://{authority}"))?;
                        let mut sender = sender.clone();
                        beginning.spawn(async move { begun(sender.send_request(request).await).await });
                    }
                    for body in beginning.join_all().await {
                        open.bodies.push(body?);
                    }
                }
            }
        }
    }
    Ok(open)
}

async fn connect(authority: &str) -> Outcome<TokioIo<TcpStream>> {
    TcpStream::connect(authority).await.map(TokioIo::new).map_err(|error| error.to_string())
}

/// The first event is there: the stream is open from end to end.
async fn begun(answer: hyper::Result<http::Response<Incoming>>) -> Outcome<Incoming> {
    let answer = answer.map_err(text)?;
    if !answer.status().is_success() {
        return Err(format!("a stream was answered {}", answer.status()));
    }
    let mut body = answer.into_body();
    match body.frame().await {
        Some(Ok(_)) => Ok(body),
        Some(Err(error)) => Err(text(error)),
        None => Err("a stream ended at once".to_owned()),
    }
}

fn request(template: &Template, host: &str, origin: &str) -> Outcome<Request<Full<Bytes>>> {
    let mut request =
        Request::builder().method(template.method.clone()).uri(format!("{origin}{}", template.path));
    if !host.is_empty() {
        request = request.header(http::header::HOST, host);
    }
    for (name, value) in &template.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(template.body.clone())).map_err(|error| error.to_string())
}

fn text(error: hyper::Error) -> String {
    error.to_string()
}
