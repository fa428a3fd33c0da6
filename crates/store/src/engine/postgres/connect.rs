//! How the server is reached: limits on every wait, TLS that verifies whom it talks to, and of several servers the one
//! that takes writes.
//!
//! Never believes a server that a failover left behind, as long as it has seen the one that took over. Never has
//! everybody dial at once: a server that comes back would fall over again.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{join_all, poll_fn};
use futures_util::stream::FuturesUnordered;
use protocol::secret::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Config, SslMode, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Client, Connection, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::health::Health;
use super::{tls, unavailable};
use crate::StoreError;
use crate::engine::{Engine, OpenError};

/// How long making a connection may take in all: name, TCP, TLS, login, first words. Who waits for it may give up sooner.
const DIAL_LIMIT: Duration = Duration::from_secs(3);
/// How long the server that was good last time is waited for before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(200);
/// Connections that are made at the same time.
const DIALS: usize = 4;

/// What every connection is told first. The level of isolation is what the SQL was written for, whatever the
/// server's default is; the limits end what nobody waits for any more.
const FIRST: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; \
    SET statement_timeout = '2s'; SET lock_timeout = '1s'; SET idle_in_transaction_session_timeout = '5s'";
/// How often a standby was promoted on the way to this server. A server without write-ahead log of this kind says nothing.
const TIMELINE: &str = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint";

/// How connections are encrypted.
enum Tls {
    None,
    Verifying(Box<MakeRustlsConnect>),
}

/// What knows the way.
pub(super) struct Dialer {
    /// One for each server that the URL names.
    servers: Vec<Config>,
    tls: Tls,
    /// The server that was good last time.
    preferred: AtomicUsize,
    /// The highest timeline seen.
    timeline: AtomicI64,
    turns: Semaphore,
    health: Arc<Health>,
}

/// A connection that was made.
pub(super) struct Reached {
    pub(super) client: Client,
    /// What moves its bytes; whoever holds it ends it.
    pub(super) driver: JoinHandle<()>,
    pub(super) timeline: i64,
}

impl Dialer {
    /// Reads the URL. No more of an error than its own words: what caused it may quote a piece of the URL, and so of
    /// the password.
    pub(super) fn new(url: &Secret, ca: Option<&Path>, health: Arc<Health>) -> Result<Self, OpenError> {
        let parsed = url.expose(|url| url.parse::<Config>());
        let mut config = parsed.map_err(|error| OpenError::Setting(format!("the database URL: {error}")))?;
        config.application_name(name());
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(DIAL_LIMIT);
        }
        config.keepalives_idle(Duration::from_secs(30));
        let encrypted = ca.is_some() || config.get_ssl_mode() == SslMode::Require;
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        let tls = if encrypted {
            Tls::Verifying(Box::new(MakeRustlsConnect::new(tls::verifying(ca)?)))
        } else {
            Tls::None
        };
        Ok(Self {
            servers: one_by_one(&config),
            tls,
            preferred: AtomicUsize::new(0),
            timeline: AtomicI64::new(0),
            turns: Semaphore::new(DIALS),
            health,
        })
    }

    pub(super) const fn is_encrypted(&self) -> bool {
        matches!(self.tls, Tls::Verifying(_))
    }

    /// Asks every server once, so that one that was left behind is known for what it is.
    pub(super) async fn survey(&self) {
        if self.servers.len() > 1 {
            let all = join_all((0..self.servers.len()).map(|place| self.at(place, None)));
            // Who does not answer is no candidate now; dialling says why.
            drop(tokio::time::timeout(DIAL_LIMIT, all).await);
        }
    }

    /// Makes a connection, a few at a time. What the server says unasked goes to `heard`.
    pub(super) async fn dial(
        &self,
        heard: Option<mpsc::UnboundedSender<Notification>>,
    ) -> Result<Reached, StoreError> {
        let _turn = self.turns.acquire().await.map_err(StoreError::unavailable)?;
        let reached = limited(DIAL_LIMIT, self.first(heard)).await.and_then(|reached| reached);
        match &reached {
            Ok(_) => self.health.back(),
            Err(_) => self.health.lost(),
        }
        reached
    }

    /// Whether a connection made earlier leads to a server that was left behind since.
    pub(super) fn is_left_behind(&self, timeline: i64) -> bool {
        timeline < self.timeline.load(Ordering::Acquire)
    }

    /// The first server that answers and may be believed.
    async fn first(&self, heard: Option<mpsc::UnboundedSender<Notification>>) -> Result<Reached, StoreError> {
        let count = self.servers.len();
        let preferred = self.preferred.load(Ordering::Acquire);
        let mut next = (0..count).map(|place| (preferred + place) % count);
        let mut racing = FuturesUnordered::new();
        let mut last = StoreError::unavailable("the database URL names no server");
        loop {
            let tried = next.next();
            racing.extend(tried.map(|place| self.at(place, heard.clone())));
            tokio::select! {
                () = tokio::time::sleep(HEAD_START), if next.len() > 0 => {}
                ended = racing.next() => match ended {
                    Some(Ok(reached)) => return Ok(reached),
                    Some(Err(error)) => last = error,
                    None => return Err(last),
                },
            }
        }
    }

    async fn at(
        &self,
        place: usize,
        heard: Option<mpsc::UnboundedSender<Notification>>,
    ) -> Result<Reached, StoreError> {
        let config = self.servers.get(place).ok_or_else(|| StoreError::unavailable("no such server"))?;
        let (client, driver) = match &self.tls {
            Tls::None => {
                let (client, connection) =
                    config.connect(tokio_postgres::NoTls).await.map_err(unavailable)?;
                (client, drive(connection, heard))
            }
            Tls::Verifying(tls) => {
                let (client, connection) = config.connect(tls.as_ref().clone()).await.map_err(unavailable)?;
                (client, drive(connection, heard))
            }
        };
        client.batch_execute(FIRST).await.map_err(unavailable)?;
        let timeline = if self.servers.len() > 1 { timeline(&client).await } else { 0 };
        if timeline < self.timeline.fetch_max(timeline, Ordering::AcqRel) {
            return Err(StoreError::unavailable(
                "a server that takes writes was left behind by a failover and must be shut out",
            ));
        }
        self.preferred.store(place, Ordering::Release);
        Ok(Reached { client, driver, timeline })
    }
}

async fn timeline(client: &Client) -> i64 {
    let asked = client.query_one(TIMELINE, &[]).await;
    asked.and_then(|row| row.try_get(0)).unwrap_or(0)
}

/// Moves the bytes of a connection until its client is gone.
fn drive<S, T>(
    mut connection: Connection<S, T>,
    heard: Option<mpsc::UnboundedSender<Notification>>,
) -> JoinHandle<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let work = async move {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    if let Some(heard) = &heard {
                        // Nobody listens any more: then the connection is about to end.
                        drop(heard.send(notification));
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::debug!(%error, "a connection to the database ended");
                    return;
                }
                None => return,
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "its owner is the connection, which ends it")]
    tokio::spawn(work)
}

/// What we are called at the server: a newer release sees from it who still runs (`migrations`).
fn name() -> String {
    format!("sekisho schema {}", Engine::newest_schema())
}

/// The same configuration for each server alone: whom to ask next is decided here.
fn one_by_one(config: &Config) -> Vec<Config> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    let fits = |length: usize| length <= 1 || length == count;
    if count <= 1
        || !fits(ports.len())
        || !(hosts.is_empty() || addresses.is_empty() || hosts.len() == addresses.len())
    {
        // One server, or what the driver will refuse in its own words.
        return vec![config.clone()];
    }
    (0..count).map(|place| only(config, place)).collect()
}

fn only(config: &Config, place: usize) -> Config {
    use tokio_postgres::config::Host;

    let mut one = Config::new();
    one.application_name(name()).ssl_mode(config.get_ssl_mode());
    one.ssl_negotiation(config.get_ssl_negotiation()).channel_binding(config.get_channel_binding());
    one.keepalives(config.get_keepalives()).keepalives_idle(config.get_keepalives_idle());
    // Among several there is one that takes writes, and no other will do.
    one.target_session_attrs(TargetSessionAttrs::ReadWrite);
    match config.get_hosts().get(place) {
        Some(Host::Tcp(name)) => drop(one.host(name)),
        Some(Host::Unix(path)) => drop(one.host_path(path)),
        None => {}
    }
    if let Some(address) = config.get_hostaddrs().get(place) {
        one.hostaddr(*address);
    }
    let ports = config.get_ports();
    if let Some(port) = ports.get(place).or_else(|| ports.first()) {
        one.port(*port);
    }
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(name) = config.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    if let Some(limit) = config.get_connect_timeout() {
        one.connect_timeout(*limit);
    }
    if let Some(limit) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*limit);
    }
    one
}

/// Gives up on work that takes too long. What it was doing is dropped, and with it its connection.
pub(super) async fn limited<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, StoreError> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| StoreError::unavailable(format!("no answer within {} ms", limit.as_millis())))
}
