//! Sekisho itself: the release binary with a configuration for the bench.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use store::{Counts, Engine, EngineConfig, Queries as _};
use tempfile::TempDir;
use testkit::http::Http;

use crate::Outcome;
use crate::load::{Target, now};
use crate::peer::Peer;
use crate::pin::{self, Core};

/// The name of the MCP server.
pub(crate) const SERVER: &str = "bench";

/// What is configured, beside what is always the same.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// URL of the MCP server.
    pub upstream: String,
    /// URL of the PostgreSQL database; else an SQLite file.
    pub postgres: Option<String>,
    /// `[audit] read_only_calls`.
    pub read_only_calls: bool,
    /// More sections.
    pub more: String,
    /// Registrations of one address in a second; else what is shipped.
    pub registrations: Option<u32>,
    /// Where it runs.
    pub core: Core,
}

impl Setup {
    /// A single node with an SQLite file on the measured core.
    pub(crate) fn new(upstream: &str) -> Self {
        Self {
            upstream: upstream.to_owned(),
            postgres: None,
            read_only_calls: true,
            more: String::new(),
            registrations: Some(1_000_000),
            core: Core::Measured,
        }
    }

    fn configuration(&self, public_port: u16, port: u16) -> String {
        let upstream = &self.upstream;
        let read_only_calls = self.read_only_calls;
        let more = &self.more;
        let registrations = self.registrations.map(|rate| format!("registrations_per_second = {rate}"));
        let registrations = registrations.unwrap_or_default();
        let store = match &self.postgres {
            Some(_) => r#"postgres_file = "postgres.url""#,
            None => r#"sqlite = "sekisho.db""#,
        };
        format!(
            r#"public_url = "http://localhost:{public_port}"
listen = ["127.0.0.1:{port}"]
master_key_file = "master.key"
[store]
{store}
[audit]
read_only_calls = {read_only_calls}
[limits]
{registrations}
pages_per_second = 1000000
token_requests_per_second = 1000000
client_requests_per_second = 1000000
pending_per_address = 1000000
pending_in_all = 10000000
calls_per_person = 1000000
introspections_per_second = 1000000
[[identity_provider]]
id = "development"
kind = "development"
[[mcp_server]]
name = "{SERVER}"
url = "{upstream}"
access = "everyone who may log in"
introspection_secret_file = "introspection.secret"
{more}"#
        )
    }
}

/// By which the MCP server asks about tokens.
pub(crate) const INTROSPECTION_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A running Sekisho.
#[derive(Debug)]
pub(crate) struct Product {
    /// The process; its URL is the public one.
    pub peer: Peer,
    /// Where it listens, and the public name.
    pub target: Target,
    /// Client for what is not measured.
    pub http: Http,
    folder: TempDir,
}

/// The release binary beside this program.
pub(crate) fn binary() -> Outcome<PathBuf> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let binary = me.with_file_name("sekisho");
    if binary.exists() { Ok(binary) } else { Err("no release binary; run `cargo xtask bench`".to_owned()) }
}

/// A port that is free now.
pub(crate) fn free_port() -> Outcome<u16> {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| error.to_string())
}

/// A folder with a configuration, a master key and no store yet; and the port. A further node shares the public port of
/// the first.
pub(crate) fn prepare(setup: &Setup, public_port: Option<u16>) -> Outcome<(TempDir, u16)> {
    let folder = TempDir::new().map_err(|error| error.to_string())?;
    let port = free_port()?;
    let config = setup.configuration(public_port.unwrap_or(port), port);
    std::fs::write(folder.path().join("sekisho.toml"), config).map_err(|error| error.to_string())?;
    write_secret(&folder.path().join("master.key"), &"0123456789abcdef".repeat(4))?;
    write_secret(&folder.path().join("introspection.secret"), INTROSPECTION_SECRET)?;
    if let Some(url) = &setup.postgres {
        write_secret(&folder.path().join("postgres.url"), url)?;
    }
    Ok((folder, port))
}

/// Writes a file that only its owner reads.
pub(crate) fn write_secret(path: &Path, text: &str) -> Outcome<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| error.to_string())?;
    file.write_all(text.as_bytes()).map_err(|error| error.to_string())
}

/// Starts the binary in a prepared folder.
pub(crate) fn spawn(setup: &Setup, folder: &Path) -> Outcome<Child> {
    let mut command = pin::command(binary()?, setup.core);
    command
        .args(["serve", "--config"])
        .arg(folder.join("sekisho.toml"))
        .env("SEKISHO_LOG", "warn")
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())
}

/// Waits until `/readyz` answers 200; returns how long it took.
pub(crate) async fn ready(http: &Http, url: &str) -> Outcome<Duration> {
    let begin = now();
    loop {
        if let Ok(answer) = http.get(&format!("{url}/readyz"), &[]).await
            && answer.status.is_success()
        {
            return Ok(begin.elapsed());
        }
        if begin.elapsed() > Duration::from_secs(20) {
            return Err("Sekisho did not become ready in 20 s".to_owned());
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

impl Product {
    /// Starts Sekisho in front of an MCP server.
    pub(crate) async fn start(setup: &Setup) -> Outcome<Self> {
        let (folder, port) = prepare(setup, None)?;
        Self::start_in(setup, folder, port, port).await
    }

    /// Starts a further node over the same database and under the same public URL.
    pub(crate) async fn another(&self, setup: &Setup) -> Outcome<Self> {
        let public_port = self.target.authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let public_port = public_port.ok_or("odd authority")?;
        let (folder, port) = prepare(setup, Some(public_port))?;
        Self::start_in(setup, folder, public_port, port).await
    }

    /// Starts it in a folder that is prepared.
    pub(crate) async fn start_in(
        setup: &Setup,
        folder: TempDir,
        public_port: u16,
        port: u16,
    ) -> Outcome<Self> {
        let peer = Peer::adopt(spawn(setup, folder.path())?, format!("http://localhost:{public_port}"));
        let http = Http::via(port);
        let target =
            Target { address: format!("127.0.0.1:{port}"), authority: format!("localhost:{public_port}") };
        ready(&http, &peer.url).await?;
        Ok(Self { peer, target, http, folder })
    }

    /// Its record, opened beside it.
    pub(crate) async fn record(&self) -> Outcome<Engine> {
        let path = self.folder.path().join("sekisho.db");
        let config = EngineConfig::Sqlite { path, synchronous_full: true };
        Engine::open(config).await.map_err(|error| error.to_string())
    }

    /// Bytes of its SQLite file and what lies beside that.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let size = |name: &str| std::fs::metadata(self.folder.path().join(name)).map_or(0, |file| file.len());
        (size("sekisho.db"), size("sekisho.db-wal"))
    }
}

/// Rows per table.
pub(crate) async fn rows(record: &Engine) -> Outcome<Counts> {
    record.counts().await.map_err(|error| error.to_string())
}
