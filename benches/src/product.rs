//! Sekisho itself: the release binary with a configuration for the bench.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use testkit::http::Http;

use crate::Outcome;
use crate::load::now;
use crate::peer::Peer;

/// The name of the MCP server.
pub(crate) const SERVER: &str = "bench";

/// A running Sekisho.
#[derive(Debug)]
pub(crate) struct Product {
    /// The process.
    pub peer: Peer,
    /// Client for what is not measured.
    pub http: Http,
    _folder: TempDir,
}

/// The release binary beside this program.
pub(crate) fn binary() -> Outcome<PathBuf> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let binary = me.with_file_name("sekisho");
    if binary.exists() { Ok(binary) } else { Err("no release binary; run `cargo xtask bench`".to_owned()) }
}

/// A folder with a configuration, a master key and no store yet; and the port.
pub(crate) fn prepare(upstream: &str) -> Outcome<(TempDir, u16)> {
    let folder = TempDir::new().map_err(|error| error.to_string())?;
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| error.to_string())?
        .port();
    let config = format!(
        r#"public_url = "http://localhost:{port}"
listen = ["127.0.0.1:{port}"]
master_key_file = "master.key"
[store]
sqlite = "sekisho.db"
[limits]
registrations_per_second = 1000000
pages_per_second = 1000000
token_requests_per_second = 1000000
client_requests_per_second = 1000000
pending_per_address = 1000000
pending_in_all = 10000000
calls_per_person = 1000000
[[identity_provider]]
id = "development"
kind = "development"
[[mcp_server]]
name = "{SERVER}"
url = "{upstream}"
access = "everyone who may log in"
"#
    );
    std::fs::write(folder.path().join("sekisho.toml"), config).map_err(|error| error.to_string())?;
    write_key(&folder.path().join("master.key"))?;
    Ok((folder, port))
}

fn write_key(path: &Path) -> Outcome<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| error.to_string())?;
    file.write_all("0123456789abcdef".repeat(4).as_bytes()).map_err(|error| error.to_string())
}

/// Starts the binary in a prepared folder.
pub(crate) fn spawn(binary: &Path, folder: &Path) -> Outcome<Child> {
    Command::new(binary)
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
    pub(crate) async fn start(binary: &Path, upstream: &str) -> Outcome<Self> {
        let (folder, port) = prepare(upstream)?;
        let peer = Peer::adopt(spawn(binary, folder.path())?, format!("http://localhost:{port}"));
        let http = Http::default();
        ready(&http, &peer.url).await?;
        Ok(Self { peer, http, _folder: folder })
    }
}
