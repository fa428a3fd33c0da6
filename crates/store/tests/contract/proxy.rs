//! A cable that can be cut: TCP in front of the server that `TEST_POSTGRES_URL` names.

use std::io::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::config::{Config, Host};

/// What the cable does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Carries.
    Carry,
    /// Closes what is open and whatever comes.
    Cut,
    /// Carries so many more messages of a client, each in a piece of its own, and then cuts.
    CutAfter(usize),
    /// Carries a COMMIT to the server, and cuts when the server has answered it.
    LoseCommit,
    /// Takes everything and carries nothing.
    Stall,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What went through.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicUsize,
    pub(crate) lost_commits: AtomicUsize,
}

pub(crate) struct Proxy {
    pub(crate) seen: Arc<Seen>,
    mode: watch::Sender<Mode>,
    port: u16,
    name: String,
    _task: JoinSet<()>,
}

impl Proxy {
    /// In front of the database that `url` names.
    pub(crate) async fn before(url: &str) -> Result<Self, Error> {
        let config: Config = url.parse().map_err(Error::other)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (mode, watched) = watch::channel(Mode::Carry);
        let seen = Arc::<Seen>::default();
        let name = config.get_dbname().unwrap_or("postgres").to_owned();
        let mut task = JoinSet::new();
        task.spawn(accept(listener, config, watched, Arc::clone(&seen)));
        Ok(Self { seen, mode, port, name, _task: task })
    }

    pub(crate) fn url(&self) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{}", self.port, self.name)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn accept(listener: TcpListener, config: Config, mode: watch::Receiver<Mode>, seen: Arc<Seen>) {
    let mut carried = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        seen.connections.fetch_add(1, Ordering::SeqCst);
        if *mode.borrow() == Mode::Cut {
            continue;
        }
        let Ok(server) = server(&config).await else { continue };
        carried.spawn(carry(client, server, mode.clone(), Arc::clone(&seen)));
    }
}

async fn server(config: &Config) -> Result<Box<dyn Stream>, Error> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    Ok(match config.get_hosts().first() {
        Some(Host::Tcp(name)) => Box::new(TcpStream::connect((name.as_str(), port)).await?),
        Some(Host::Unix(folder)) => {
            Box::new(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?)
        }
        None => return Err(Error::other("the URL names no server")),
    })
}

async fn carry(client: TcpStream, server: Box<dyn Stream>, mut mode: watch::Receiver<Mode>, seen: Arc<Seen>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    // Under `CutAfter`.
    let mut sent = 0;
    let (mut there, mut back) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let now = *mode.borrow_and_update();
        match now {
            Mode::Cut => return,
            Mode::Stall => {
                if mode.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Mode::CutAfter(messages) if sent >= messages => return,
            Mode::Carry | Mode::CutAfter(_) | Mode::LoseCommit => {}
        }
        tokio::select! {
            changed = mode.changed() => if changed.is_err() { return },
            read = from_client.read(&mut there) => {
                let Ok(length @ 1..) = read else { return };
                let Ok(()) = to_server.write_all(&there[..length]).await else { return };
                sent += usize::from(matches!(now, Mode::CutAfter(_)));
                if now == Mode::LoseCommit && holds(&there[..length], b"COMMIT\0") {
                    let mut answer = Vec::new();
                    while !holds(&answer, b"COMMIT\0") {
                        let Ok(length @ 1..) = from_server.read(&mut back).await else { return };
                        answer.extend_from_slice(&back[..length]);
                    }
                    seen.lost_commits.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            read = from_server.read(&mut back) => {
                let Ok(length @ 1..) = read else { return };
                let Ok(()) = to_client.write_all(&back[..length]).await else { return };
            }
        }
    }
}

fn holds(bytes: &[u8], sought: &[u8]) -> bool {
    bytes.windows(sought.len()).any(|window| window == sought)
}
