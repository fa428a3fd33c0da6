//! The accept loops: sockets in, answers out, HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113) on the same port.
//!
//! Everything a stranger can hold is bounded here: connections, time to say what is wanted, header bytes, streams.
//! No task is without an owner, and no rule about paths or people lives here.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the loop rests when the system has no file or memory for another connection.
const REST_AFTER_REFUSAL: Duration = Duration::from_millis(50);
/// Bytes of the head of one request. More than a URL may have (64 KiB), so that a longer one is told so with 414.
const MAX_HEADER_BYTES: usize = 160 * 1024;
/// How long a peer may leave what was sent to it unread.
#[cfg(target_os = "linux")]
const UNREAD: Duration = Duration::from_secs(120);
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// What connections may cost.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Connections at once, over all listeners; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Time for the header of a request to arrive, and for a connection to wait for its next one.
    pub header_timeout: Duration,
    /// The same for peers in `trusted_proxies`: longer than a load balancer keeps an idle connection, because
    /// one that is closed first by us costs somebody a request.
    pub proxy_idle_timeout: Duration,
    /// Load balancers whose connections may idle longer.
    pub trusted_proxies: Vec<IpNet>,
    /// How long answers may take to finish once shutdown has begun.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            header_timeout: Duration::from_secs(10),
            proxy_idle_timeout: Duration::from_secs(90),
            trusted_proxies: Vec::new(),
            drain: Duration::from_secs(20),
        }
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Some answers were cut off when the time to drain was over.
    CutOff,
    /// Every answer was finished.
    Finished,
}

/// Accepts on all listeners until `shutdown`, then lets answers finish.
///
/// `doors` makes the service of one connection from the address of its peer.
pub(crate) async fn accept_all<D, S, B>(
    listeners: Vec<TcpListener>,
    doors: D,
    limits: ConnectionLimits,
    shutdown: CancellationToken,
) -> Drained
where
    D: Fn(SocketAddr) -> S + Clone + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let hall = Arc::new(Hall::new(limits, shutdown));
    let mut loops = JoinSet::new();
    for listener in listeners {
        let (hall, doors) = (Arc::clone(&hall), doors.clone());
        loops.spawn(async move {
            let shutdown = hall.shutdown.clone();
            shutdown.run_until_cancelled(accept(&listener, &hall, &doors)).await;
        });
    }
    while loops.join_next().await.is_some() {}
    hall.drain().await
}

/// What the loops share.
struct Hall {
    places: Arc<Semaphore>,
    strangers: auto::Builder<Owner>,
    proxies: auto::Builder<Owner>,
    limits: ConnectionLimits,
    owner: Owner,
    shutdown: CancellationToken,
}

impl Hall {
    fn new(limits: ConnectionLimits, shutdown: CancellationToken) -> Self {
        let owner = Owner { tasks: TaskTracker::new(), cut_off: CancellationToken::new() };
        Self {
            places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            strangers: builder(owner.clone(), limits.header_timeout),
            proxies: builder(owner.clone(), limits.proxy_idle_timeout),
            limits,
            owner,
            shutdown,
        }
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.limits.trusted_proxies.iter().any(|net| net.contains(&peer))
    }

    async fn drain(&self) -> Drained {
        self.owner.tasks.close();
        let finished = tokio::time::timeout(self.limits.drain, self.owner.tasks.wait()).await;
        match finished {
            Ok(()) => Drained::Finished,
            Err(_) => {
                tracing::warn!(connections = self.owner.tasks.len(), "answers were cut off by the shutdown");
                self.owner.cut_off.cancel();
                self.owner.tasks.wait().await;
                Drained::CutOff
            }
        }
    }
}

/// Owns every connection and every HTTP/2 stream: they are counted, and they can be ended.
#[derive(Clone)]
struct Owner {
    tasks: TaskTracker,
    cut_off: CancellationToken,
}

impl<F> Executor<F> for Owner
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        let cut_off = self.cut_off.clone();
        self.tasks.spawn(async move {
            cut_off.run_until_cancelled(future).await;
        });
    }
}

fn builder(owner: Owner, header_timeout: Duration) -> auto::Builder<Owner> {
    let mut builder = auto::Builder::new(owner);
    // hyper's own limit of 100 header lines stands; naming it would move the header table to the heap.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

async fn accept<D, S, B>(listener: &TcpListener, hall: &Arc<Hall>, doors: &D)
where
    D: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    loop {
        // The semaphore is never closed; if it were, there would be nothing left to accept for.
        let Ok(place) = Arc::clone(&hall.places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let service = doors(peer);
                hall.owner.execute(connection(stream, peer, service, (Arc::clone(hall), place)));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(REST_AFTER_REFUSAL).await;
            }
        }
    }
}

async fn connection<S, B>(
    stream: TcpStream,
    peer: SocketAddr,
    inner: S,
    held: (Arc<Hall>, OwnedSemaphorePermit),
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (hall, _place) = held;
    if let Err(error) = prepare(&stream) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    let (builder, patience) = if hall.is_proxy(peer.ip()) {
        (&hall.proxies, hall.limits.proxy_idle_timeout)
    } else {
        (&hall.strangers, hall.limits.header_timeout)
    };
    let asked = Arc::new(AtomicBool::new(false));
    let service = Watched { inner, asked: Arc::clone(&asked) };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // Until the first request the protocol itself is unknown, and neither protocol's own timer runs yet.
    let first = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        () = tokio::time::sleep(patience) => {
            if !asked.load(Ordering::Relaxed) {
                return;
            }
            None
        }
        () = hall.shutdown.cancelled() => None,
    };
    let ended = match first {
        Some(ended) => ended,
        None => tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = hall.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Answers leave at once, and a peer that vanished without a word is noticed although its stream is quiet.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    let socket = SockRef::from(stream);
    // A peer that takes nothing of what was sent holds an answer, and all that stands behind it: a body is only looked at
    // again, for a revocation too, when the peer can be written to.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNREAD))?;
    socket.set_tcp_keepalive(&keepalive)
}

/// Notices that a first request has come.
struct Watched<S> {
    inner: S,
    asked: Arc<AtomicBool>,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Watched<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        self.inner.call(request)
    }
}
