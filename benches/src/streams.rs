//! Open streams: how many can be held, and what each keeps resident. A stream is a call whose answer is events: the
//! client's connection, the connection to the MCP server, and what lies between.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::calls;
use crate::flows::{self, Session};
use crate::load::{Target, Template, count};
use crate::peer::Peer;
use crate::pin::Core;
use crate::product::{Product, SERVER, Setup};
use crate::rounds::Rounds;
use crate::table::Table;
use crate::{Outcome, Plan};

/// Streams opened at once.
const AT_ONCE: usize = 32;
/// Streams of one HTTP/2 connection.
const SHARED: usize = 96;

/// How long they are held before they are looked at again.
const HELD: Duration = Duration::from_secs(2);
/// Descriptors that are not those of streams.
const APART: u64 = 160;

/// What is open, and what keeps it so.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// Streams of which the first event has come.
    pub bodies: Vec<Incoming>,
    drivers: JoinSet<()>,
    failed: usize,
}

impl Open {
    fn take(&mut self, begun: Outcome<Incoming>) {
        match begun {
            Ok(body) => self.bodies.push(body),
            Err(why) => {
                anstream::eprintln!("{why}");
                self.failed += 1;
            }
        }
    }

    fn tried(&self) -> usize {
        self.bodies.len() + self.failed
    }

    /// Waits until each has ended.
    pub(crate) async fn ended(&mut self, patience: Duration) -> Outcome<()> {
        for body in &mut self.bodies {
            let end = async { while let Some(Ok(_)) = body.frame().await {} };
            tokio::time::timeout(patience, end).await.map_err(|_| "a stream stayed open")?;
        }
        Ok(())
    }

    /// Those of which nothing more has come, not even an end.
    async fn still_open(&mut self) -> usize {
        let mut open = 0;
        for body in &mut self.bodies {
            let waits = std::future::poll_fn(|context| {
                Poll::Ready(Pin::new(&mut *body).poll_frame(context).is_pending())
            });
            open += usize::from(waits.await);
        }
        open
    }
}

/// How clients connect.
#[derive(Clone, Copy, Debug)]
enum Version {
    /// A connection for each.
    Http1,
    /// Many on one.
    Http2,
}

/// Measures 1,000 and 10,000, with a connection each and sharing connections, a new process for each round.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let upstream = Peer::start_self(&["upstream"], Core::Load).await?;
    let few = if plan.quick { 10 } else { 1 };
    // Both sides of each stream take a descriptor where they do not share one.
    let most = usize::try_from(descriptors()?.saturating_sub(APART) / 2).unwrap_or(usize::MAX);
    for wanted in [1000 / few, 10_000 / few] {
        for (version, name) in [(Version::Http1, "HTTP/1.1"), (Version::Http2, "HTTP/2")] {
            let streams = match version {
                Version::Http1 => wanted.min(most),
                Version::Http2 => wanted,
            };
            let (mut each, mut peak, mut failed) = (Rounds::default(), Rounds::default(), 0);
            for _ in 0..plan.rounds.min(3) {
                let product = Product::start(&Setup::new(&upstream.url)).await?;
                let session = flows::sign_in(&product).await?;
                let before = product.peer.rss_mib()?;
                let mut open = open(&product, &session, version, streams).await?;
                tokio::time::sleep(HELD).await;
                let held = open.still_open().await;
                failed += streams - held;
                each.push((product.peer.rss_mib()? - before) * 1024.0 / count(held.max(1)));
                peak.push(product.peer.rss_mib()?);
            }
            let what = format!("{streams} open streams, clients by {name}");
            let (each, all) = (each.show("KiB", 1), peak.show("MiB", 0));
            let goal = "40 KiB, none failed";
            table.row(&what, &format!("RSS each {each}; the process {all}; {failed} failed"), goal);
        }
    }
    Ok(())
}

/// Descriptors that the system allows a process.
fn descriptors() -> Outcome<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").map_err(|error| error.to_string())?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).ok_or("no limit")?;
    Ok(line.split_whitespace().nth(1).and_then(|hard| hard.parse().ok()).unwrap_or(u64::MAX))
}

/// One stream with a connection of its own.
pub(crate) async fn open_one(target: &Target, template: &Template) -> Outcome<Open> {
    let mut open = Open::default();
    let (mut sender, driver) = http1::handshake(connect(target).await?).await.map_err(text)?;
    open.drivers.spawn(async move { drop(driver.await) });
    let request = request(template, &target.authority, "")?;
    open.bodies.push(begun(sender.send_request(request).await).await?);
    Ok(open)
}

async fn open(product: &Product, session: &Session, version: Version, streams: usize) -> Outcome<Open> {
    let template = calls::stream(&format!("/{SERVER}/mcp"), &session.access_token);
    let target = &product.target;
    let mut open = Open::default();
    while open.tried() < streams {
        let left = streams - open.tried();
        match version {
            Version::Http1 => {
                let mut beginning = JoinSet::new();
                for _ in 0..left.min(AT_ONCE) {
                    let (mut sender, driver) =
                        http1::handshake(connect(target).await?).await.map_err(text)?;
                    open.drivers.spawn(async move { drop(driver.await) });
                    let request = request(&template, &target.authority, "")?;
                    beginning.spawn(async move { begun(sender.send_request(request).await).await });
                }
                for body in beginning.join_all().await {
                    open.take(body);
                }
            }
            Version::Http2 => {
                let handshake = http2::handshake(TokioExecutor::new(), connect(target).await?);
                let (sender, driver) = handshake.await.map_err(text)?;
                open.drivers.spawn(async move { drop(driver.await) });
                for _ in 0..left.min(SHARED).div_ceil(AT_ONCE) {
                    let mut beginning = JoinSet::new();
                    for _ in 0..AT_ONCE.min(streams - open.tried()) {
                        let request = request(&template, "", &format!("http://{}", target.authority))?;
                        let mut sender = sender.clone();
                        beginning.spawn(async move { begun(sender.send_request(request).await).await });
                    }
                    for body in beginning.join_all().await {
                        open.take(body);
                    }
                }
            }
        }
    }
    Ok(open)
}

async fn connect(target: &Target) -> Outcome<TokioIo<TcpStream>> {
    TcpStream::connect(&target.address).await.map(TokioIo::new).map_err(|error| error.to_string())
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
