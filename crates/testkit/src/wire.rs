//! A cable under test control: a proxy for one TCP (or Unix) service that can be slow, silent, cut or short of breath.
//! And a balancer that deals connections out in turn. Neither knows what it carries.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is wrong with the cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Every connection is reset, and new ones as soon as they are made.
    Cut,
    /// Each piece comes this much later.
    Delay(Duration),
    /// The far end's goodbye is never heard: the service may be gone, the connection stays.
    HalfOpen,
    /// Nothing.
    #[default]
    None,
    /// A connection is reset when the service has sent so many bytes on it.
    ResetAfter(u64),
    /// So many bytes a second, each way.
    Slow(u32),
    /// Connections are taken and stay open, and not a byte gets through, until the fault is mended: then all of it does.
    Stall,
}

/// Where the service is.
#[derive(Clone, Debug)]
pub enum Target {
    /// At an address.
    Tcp(String),
    /// At a socket in the file system.
    Unix(PathBuf),
}

/// The cable; it ends with all its connections when it is dropped.
#[derive(Debug)]
pub struct Wire {
    /// The loopback port at which the service is reached through this cable.
    pub port: u16,
    fault: watch::Sender<Fault>,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Wire {
    /// Lays a cable to a service.
    pub async fn to(target: Target) -> Result<Self, String> {
        let (listener, port) = listen().await?;
        let (fault, heard) = watch::channel(Fault::None);
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                connections.spawn(carry(socket, target.clone(), heard.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, fault, accepted, _tasks: tasks })
    }

    /// Breaks it, or mends it.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// How many connections were ever made through it.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

async fn listen() -> Result<(TcpListener, u16), String> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.map_err(text)?;
    let port = listener.local_addr().map_err(text)?.port();
    Ok((listener, port))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Either kind of connection.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

async fn dial(target: &Target) -> std::io::Result<Box<dyn Socket>> {
    Ok(match target {
        Target::Tcp(address) => {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            Box::new(socket)
        }
        Target::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

async fn carry(mut socket: TcpStream, target: Target, mut fault: watch::Receiver<Fault>) {
    // Whatever ends this ends it with a reset: a service that stops in order says so before.
    drop(socket.set_zero_linger());
    drop(socket.set_nodelay(true));
    while *fault.borrow() == Fault::Stall {
        if fault.changed().await.is_err() {
            return;
        }
    }
    if *fault.borrow() == Fault::Cut {
        return;
    }
    let Ok(service) = dial(&target).await else { return };
    let (from, into) = tokio::io::split(service);
    // Borrowed halves, which say no goodbye when they are dropped.
    let (reader, writer) = socket.split();
    let outward = pump(reader, into, fault.clone(), false);
    let inward = pump(from, writer, fault.clone(), true);
    tokio::select! {
        // Half closed by one side is closed: nothing that we carry needs the difference.
        () = outward => {}
        () = inward => {}
        () = until_cut(fault) => {}
    }
}

async fn until_cut(mut fault: watch::Receiver<Fault>) {
    while *fault.borrow_and_update() != Fault::Cut {
        if fault.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Carries one direction to its end.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut into: impl AsyncWrite + Unpin,
    mut fault: watch::Receiver<Fault>,
    inward: bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut sent = 0_u64;
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            while *fault.borrow_and_update() == Fault::HalfOpen {
                if fault.changed().await.is_err() {
                    return;
                }
            }
            drop(into.shutdown().await);
            return;
        }
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            let now = *fault.borrow_and_update();
            let piece = match now {
                Fault::Cut => return,
                Fault::Delay(by) => {
                    tokio::time::sleep(by).await;
                    rest.len()
                }
                Fault::HalfOpen | Fault::None => rest.len(),
                Fault::ResetAfter(most) if inward => {
                    let left = usize::try_from(most.saturating_sub(sent)).unwrap_or(usize::MAX);
                    if left == 0 {
                        return;
                    }
                    left.min(rest.len())
                }
                Fault::ResetAfter(_) => rest.len(),
                Fault::Slow(rate) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    usize::try_from(rate / 10).unwrap_or(1).clamp(1, rest.len())
                }
                Fault::Stall => {
                    if fault.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let (now, later) = rest.split_at(piece);
            if into.write_all(now).await.is_err() {
                return;
            }
            sent += now.len() as u64;
            rest = later;
        }
    }
}

/// Deals connections out in turn among those that take them; it ends when it is dropped.
#[derive(Debug)]
pub struct Balancer {
    /// The loopback port of it.
    pub port: u16,
    targets: watch::Sender<Vec<u16>>,
    _tasks: JoinSet<()>,
}

impl Balancer {
    /// Starts with nobody behind it.
    pub async fn start() -> Result<Self, String> {
        let (listener, port) = listen().await?;
        let (targets, behind) = watch::channel(Vec::new());
        let turn = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let ports = behind.borrow().clone();
                connections.spawn(deal(socket, ports, turn.fetch_add(1, Ordering::Relaxed)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, targets, _tasks: tasks })
    }

    /// Who is behind it from the next connection on: loopback ports.
    pub fn set(&self, ports: Vec<u16>) {
        self.targets.send_replace(ports);
    }
}

async fn deal(mut socket: TcpStream, ports: Vec<u16>, turn: usize) {
    drop(socket.set_nodelay(true));
    for offset in 0..ports.len() {
        let Some(port) = ports.get((turn + offset) % ports.len()) else { return };
        if let Ok(mut node) = TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await {
            drop(node.set_nodelay(true));
            drop(tokio::io::copy_bidirectional(&mut socket, &mut node).await);
            return;
        }
    }
}

#[cfg(test)]
mod tests;
