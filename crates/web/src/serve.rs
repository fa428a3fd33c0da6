//! The accept loops: sockets in, answers out, HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113).
//!
//! Everything a stranger can hold is bounded here: connections in all and of one address, time to say who they are and
//! what they want, header bytes, streams, answers that nobody takes. No task is without an owner, and no rule about paths
//! or people lives here.

mod activity;
mod linger;
mod places;
mod proxy;
mod rest;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use hyper::rt::Executor;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use pin_project_lite::pin_project;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

use self::activity::{Activity, Look, Watched};
use self::linger::Lingering;
use self::places::Places;
pub(crate) use self::rest::Arriving;
use self::rest::{Heard, Rest};
use crate::layers::limits::KnownNetworks;
use crate::listener::{Listener, Peer, Serves};
use crate::tls::{Agreed, Tls};

/// How long the loop rests when the system has no file or memory for another connection.
const REST_AFTER_REFUSAL: Duration = Duration::from_millis(50);
/// Refusals of that kind between two lines in the log: twenty a second would fill a disk while the trouble lasts.
const REFUSALS_TOLD: u64 = 200;
/// Bytes of the head of one request. More than a URL may have (64 KiB), so that a longer one is told so with 414.
const MAX_HEADER_BYTES: usize = 160 * 1024;
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// What a peer may send of one request's body, and of all on its connection, before somebody reads it.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What is held of one answer for a peer that is slower than its MCP server.
const SEND_BUFFER: usize = 16 * 1024;
/// Streams that a peer opened and reset before they were looked at (CVE-2023-44487), and streams that we had to reset for
/// what the peer did: beyond these the connection is ended.
const MAX_RESETS_BY_PEER: usize = 20;
const MAX_RESETS_BY_US: usize = 128;

/// Networks of proxies, which may become others while connections are open.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<ArcSwap<Vec<IpNet>>>);

impl TrustedProxies {
    /// Trusts these, and no others, from the next connection on.
    pub fn exchange(&self, networks: Vec<IpNet>) {
        self.0.store(Arc::new(networks));
    }

    fn contain(&self, peer: IpAddr) -> bool {
        self.0.load().iter().any(|network| network.contains(&peer))
    }
}

impl From<Vec<IpNet>> for TrustedProxies {
    fn from(networks: Vec<IpNet>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(networks)))
    }
}

/// What connections may cost.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Connections at once, over all listeners; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Connections at once of one address, or one /64 network of IPv6; further ones are closed. Trusted proxies and this
    /// machine itself may have any number.
    pub connections_per_address: usize,
    /// Time for each of: a header of the PROXY protocol, TLS to be agreed on, and the header of a request to arrive;
    /// and for an HTTP/1.1 connection to wait for its next one.
    pub header_timeout: Duration,
    /// The same for peers in `trusted_proxies`: longer than a load balancer keeps an idle connection, because
    /// one that is closed first by us costs somebody a request.
    pub proxy_idle_timeout: Duration,
    /// A connection that takes nothing of an answer for this long (and at most twice as long) is dropped. An HTTP/2
    /// connection on which nothing is asked for as long is told to go.
    pub unread: Duration,
    /// Networks with limits of their own.
    pub networks: KnownNetworks,
    /// Load balancers whose connections may idle longer, and who may speak the PROXY protocol.
    pub trusted_proxies: TrustedProxies,
    /// How long answers may take to finish once shutdown has begun.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 1_000,
            header_timeout: Duration::from_secs(10),
            proxy_idle_timeout: Duration::from_secs(90),
            unread: Duration::from_secs(60),
            networks: KnownNetworks::default(),
            trusted_proxies: TrustedProxies::default(),
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
/// `doors` makes the service of one connection from its peer and from what its listener serves.
pub(crate) async fn accept_all<D, S, B>(
    listeners: Vec<Listener>,
    doors: D,
    limits: ConnectionLimits,
    shutdown: CancellationToken,
) -> Drained
where
    D: Fn(Peer, Serves) -> S + Clone + Send + Sync + 'static,
    S: Service<Request<Arriving>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
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
            shutdown.run_until_cancelled(accept(listener, &hall, &doors)).await;
        });
    }
    while loops.join_next().await.is_some() {}
    hall.drain().await
}

/// What the loops share.
struct Hall {
    rooms: Arc<Semaphore>,
    places: Arc<Places>,
    strangers: Protocols,
    proxies: Protocols,
    limits: ConnectionLimits,
    owner: Owner,
    shutdown: CancellationToken,
}

/// hyper's settings, for each way in which it is settled what a connection speaks.
struct Protocols {
    http1: auto::Builder<Owner>,
    http2: auto::Builder<Owner>,
    /// What the peer begins with.
    either: auto::Builder<Owner>,
}

impl Protocols {
    fn new(owner: &Owner, header_timeout: Duration) -> Self {
        let new = || builder(owner.clone(), header_timeout);
        Self { http1: new().http1_only(), http2: new().http2_only(), either: new() }
    }
}

impl Hall {
    fn new(limits: ConnectionLimits, shutdown: CancellationToken) -> Self {
        let owner = Owner { tasks: TaskTracker::new(), cut_off: CancellationToken::new() };
        Self {
            rooms: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            places: Arc::new(Places::new(limits.connections_per_address, limits.networks.clone())),
            strangers: Protocols::new(&owner, limits.header_timeout),
            proxies: Protocols::new(&owner, limits.proxy_idle_timeout),
            limits,
            owner,
            shutdown,
        }
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.limits.trusted_proxies.contain(peer)
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
        self.tasks.spawn(Cut { future, cut_off: self.cut_off.clone().cancelled_owned() });
    }
}

pin_project! {
    /// A task until it is cut off. Not an `async` block: that would keep room for the future twice, where it is captured and
    /// where it is pinned, and connections may be open by the ten thousand.
    struct Cut<F> {
        #[pin]
        future: F,
        #[pin]
        cut_off: WaitForCancellationFutureOwned,
    }
}

impl<F: Future> Future for Cut<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.cut_off.poll(context).is_ready() {
            return Poll::Ready(());
        }
        this.future.poll(context).map(drop)
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
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_RESETS_BY_PEER)
        .max_local_error_reset_streams(MAX_RESETS_BY_US)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// What one listener does with a connection before HTTP begins.
#[derive(Clone)]
struct Entrance {
    serves: Serves,
    tls: Option<Tls>,
    proxy_protocol: bool,
    h2c: bool,
}

async fn accept<D, S, B>(listener: Listener, hall: &Arc<Hall>, doors: &D)
where
    D: Fn(Peer, Serves) -> S + Clone + Send + Sync + 'static,
    S: Service<Request<Arriving>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let Listener { socket, serves, tls, proxy_protocol, h2c } = listener;
    let entrance = Entrance { serves, tls, proxy_protocol, h2c };
    let mut refusals = 0_u64;
    loop {
        // The semaphore is never closed; if it were, there would be nothing left to accept for.
        let Ok(room) = Arc::clone(&hall.rooms).acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, peer)) => {
                let arrival = Arrival { stream, peer, hall: Arc::clone(hall), _room: room };
                hall.owner.execute(receive(arrival, entrance.clone(), doors.clone()));
            }
            Err(error) => {
                if refusals.is_multiple_of(REFUSALS_TOLD) {
                    tracing::warn!(%error, "connections cannot be accepted; those that are open go on");
                }
                refusals = refusals.wrapping_add(1);
                drop(room);
                tokio::time::sleep(REST_AFTER_REFUSAL).await;
            }
        }
    }
}

/// A connection that came in.
struct Arrival {
    stream: TcpStream,
    peer: SocketAddr,
    hall: Arc<Hall>,
    _room: OwnedSemaphorePermit,
}

/// Finds out who it is, gives it a place, and speaks what the listener speaks.
async fn receive<D, S, B>(mut arrival: Arrival, entrance: Entrance, doors: D)
where
    D: Fn(Peer, Serves) -> S,
    S: Service<Request<Arriving>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let peer = match identify(&mut arrival, &entrance).await {
        Ok(peer) => peer,
        Err(error) => {
            tracing::debug!(peer = %arrival.peer, %error, "a connection was closed before it began");
            return;
        }
    };
    let (hall, caller) = (Arc::clone(&arrival.hall), peer.address);
    let is_proxy = hall.is_proxy(caller.ip());
    let is_free = is_proxy || caller.ip().to_canonical().is_loopback();
    let place = if is_free { None } else { hall.places.take(caller.ip()) };
    if place.is_none() && !is_free {
        return;
    }
    let service = doors(peer, entrance.serves);
    let (protocols, patience) = if is_proxy {
        (&hall.proxies, hall.limits.proxy_idle_timeout)
    } else {
        (&hall.strangers, hall.limits.header_timeout)
    };
    let talk = Talk { hall: &hall, patience, is_proxy };
    match &entrance.tls {
        None => {
            let builder = if entrance.h2c { &protocols.either } else { &protocols.http1 };
            talk.over(arrival.stream, builder, service).await;
        }
        // Boxed, so that connections in clear do not pay for the size of what TLS remembers.
        Some(tls) => {
            Box::pin(async {
                let agreeing = tls.acceptor().accept(arrival.stream);
                let in_time = tokio::time::timeout(hall.limits.header_timeout, agreeing);
                match hall.shutdown.run_until_cancelled(in_time).await {
                    Some(Ok(Ok(stream))) => match Agreed::of(stream.get_ref().1.alpn_protocol()) {
                        Agreed::Http1 => talk.over(stream, &protocols.http1, service).await,
                        Agreed::Http2 => talk.over(stream, &protocols.http2, service).await,
                        Agreed::Nothing => {}
                    },
                    Some(Ok(Err(error))) => tracing::debug!(%caller, %error, "TLS was not agreed on"),
                    Some(Err(_)) => tracing::debug!(%caller, "TLS was not agreed on in time"),
                    None => {}
                }
            })
            .await;
        }
    }
    drop(place);
}

/// Prepares the socket and says on whose behalf it comes.
async fn identify(arrival: &mut Arrival, entrance: &Entrance) -> std::io::Result<Peer> {
    let hall = &arrival.hall;
    prepare(&arrival.stream, hall.limits.unread.saturating_mul(2))?;
    if !entrance.proxy_protocol {
        return Ok(arrival.peer.into());
    }
    if !hall.is_proxy(arrival.peer.ip()) {
        return Err(std::io::Error::other("the listener is for trusted proxies"));
    }
    let header = tokio::time::timeout(hall.limits.header_timeout, proxy::read(&mut arrival.stream));
    match hall.shutdown.run_until_cancelled(header).await {
        Some(Ok(header)) => Ok(match header? {
            Some(source) => source.into(),
            None => Peer { address: arrival.peer, may_forward: false },
        }),
        Some(Err(_)) => Err(std::io::ErrorKind::TimedOut.into()),
        None => Err(std::io::Error::other("stopping")),
    }
}

/// Answers leave at once, and a peer that vanished without a word is noticed although its stream is quiet.
fn prepare(stream: &TcpStream, unread: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    let socket = SockRef::from(stream);
    // A peer that takes nothing of what was sent holds an answer, and all that stands behind it: a body is only looked at
    // again, for a revocation too, when the peer can be written to.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(unread))?;
    #[cfg(not(target_os = "linux"))]
    let _ = unread;
    socket.set_tcp_keepalive(&keepalive)
}

/// One conversation.
#[derive(Clone, Copy)]
struct Talk<'a> {
    hall: &'a Hall,
    patience: Duration,
    is_proxy: bool,
}

impl Talk<'_> {
    async fn over<I, S, B>(self, io: I, builder: &auto::Builder<Owner>, inner: S)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Arriving>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let activity = Arc::new(Activity::default());
        let rest = Arc::new(Rest::default());
        let io = TokioIo::new(Lingering::new(io, Arc::clone(&rest)));
        let service = Watched { inner: Heard { inner, rest }, activity: Arc::clone(&activity) };
        let mut connection = pin!(builder.serve_connection(io, service));
        // Until the first request the protocol itself is unknown, and neither protocol's own timer runs yet.
        let mut wait = self.patience;
        let (mut stopping, mut told_to_go) = (false, false);
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                () = self.hall.shutdown.cancelled(), if !stopping => {
                    connection.as_mut().graceful_shutdown();
                    stopping = true;
                }
                () = tokio::time::sleep(wait) => match activity.look() {
                    Look::Silent => return,
                    // Many callers share an HTTP/2 connection of a proxy: one that reads nothing is not theirs to pay for.
                    Look::Stuck if !(self.is_proxy && activity.is_http2()) => {
                        tracing::debug!("a connection was dropped: nothing was taken of an answer");
                        return;
                    }
                    Look::Idle if told_to_go => return,
                    // HTTP/1.1 is ended by hyper's own timer.
                    Look::Idle if activity.is_http2() => {
                        connection.as_mut().graceful_shutdown();
                        told_to_go = true;
                    }
                    Look::Busy | Look::Idle | Look::Stuck => {}
                },
            }
            wait = self.hall.limits.unread;
        }
    }
}
