//! Several real processes under one public URL over one record, each with a cable of its own to it, behind a balancer. They
//! can be killed, held and let go on.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use testkit::mcp_server::FakeMcpServer;
use testkit::wire::{Balancer, Target, Wire};
use tokio::sync::watch;

use super::pair::Pair;
use super::players::Players;
use crate::record::Record;

const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// A process that is not ready by then will not be.
const PATIENCE: Duration = Duration::from_secs(20);

/// The processes and what they share.
pub(crate) struct Town {
    pub(crate) issuer: String,
    pub(crate) balancer: Balancer,
    pub(crate) nodes: Vec<Node>,
    pub(crate) record: Record,
    /// The MCP server, and the cable that all nodes reach it by.
    pub(crate) mcp: FakeMcpServer,
    pub(crate) mcp_wire: Wire,
    _folder: TempDir,
}

/// One process, or the place of one.
pub(crate) struct Node {
    pub(crate) port: u16,
    /// Its cable to the record, if that is on a server.
    pub(crate) wire: Option<Wire>,
    folder: PathBuf,
    process: Mutex<Option<Process>>,
}

/// A node's cable to the record and the URL of it, if that is on a server.
type Reach = (Option<Wire>, Option<String>);

/// Which MCP server is served.
#[derive(Clone, Copy)]
enum Serving<'a> {
    /// Another one, of this configuration.
    Other(&'a str),
    /// The town's own, with this added to its configuration.
    Own(&'a str),
}

struct Process {
    child: Child,
    said: watch::Receiver<String>,
}

/// The binary that ships, if `SEKISHO_BIN` names it.
#[expect(clippy::disallowed_methods, reason = "the test run says which binary is meant")]
pub(crate) fn shipped() -> PathBuf {
    std::env::var("SEKISHO_BIN").map_or_else(|_| that_dies(), PathBuf::from)
}

/// A binary, and how many releases after this one it takes itself for.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) program: PathBuf,
    pub(crate) ahead: usize,
}

impl Release {
    /// The one that ships.
    pub(crate) fn this() -> Self {
        Self { program: shipped(), ahead: 0 }
    }

    /// The one that `SEKISHO_NEXT_BIN` names; else this one with migrations that only tests know: the first of them adds
    /// something, the second takes away what is older.
    #[expect(clippy::disallowed_methods, reason = "the test run says which binary is meant")]
    pub(crate) fn next() -> Self {
        std::env::var("SEKISHO_NEXT_BIN")
            .map_or_else(|_| Self::later(1), |program| Self { program: program.into(), ahead: 0 })
    }

    /// So many releases after this one.
    pub(crate) fn later(ahead: usize) -> Self {
        Self { program: that_dies(), ahead }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("NO_COLOR", "1").env("SEKISHO_TEST_RELEASE", self.ahead.to_string()).stdin(Stdio::null());
        command
    }
}

fn that_dies() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_sekisho-that-dies"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn free_port() -> Result<u16, String> {
    // Free now; nothing else on this machine is likely to take it before we do.
    Ok(TcpListener::bind(("127.0.0.1", 0)).map_err(text)?.local_addr().map_err(text)?.port())
}

fn write_private(path: &Path, content: &str) -> Result<(), String> {
    std::fs::write(path, content).map_err(text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(text)
}

impl Town {
    /// So many nodes over a PostgreSQL database, all running.
    pub(crate) async fn over(url: &str, count: usize) -> Result<Self, String> {
        Self::of(Record::Postgres(url.to_owned()), count, Serving::Own("")).await
    }

    /// The same with another MCP server; `server` is the configuration of it.
    pub(crate) async fn serving(url: &str, count: usize, server: &str) -> Result<Self, String> {
        Self::of(Record::Postgres(url.to_owned()), count, Serving::Other(server)).await
    }

    /// One node over an SQLite file, running. `more` is added to the configuration of its MCP server.
    pub(crate) async fn alone(more: &str) -> Result<Self, String> {
        Self::of(Record::Sqlite(PathBuf::new()), 1, Serving::Own(more)).await
    }

    /// So many nodes over two PostgreSQL servers, all running. Their cables lead to the standby.
    pub(crate) async fn over_pair(pair: &Pair, count: usize) -> Result<Self, String> {
        let reach = async || {
            let wire = Wire::to(Target::Unix(pair.standby.socket())).await?;
            let url = pair.url(wire.port);
            Ok((Some(wire), Some(url)))
        };
        Self::built(pair.primary.record(), count, Serving::Own(""), reach).await
    }

    async fn of(record: Record, count: usize, serving: Serving<'_>) -> Result<Self, String> {
        let at = record.clone();
        let reach = async || match &at {
            Record::Postgres(_) => {
                let wire = Wire::to(at.target()?).await?;
                let url = at.through(wire.port)?;
                Ok((Some(wire), Some(url)))
            }
            Record::Sqlite(_) => Ok((None, None)),
        };
        Self::built(record, count, serving, reach).await
    }

    async fn built(
        mut record: Record,
        count: usize,
        serving: Serving<'_>,
        reach: impl AsyncFn() -> Result<Reach, String>,
    ) -> Result<Self, String> {
        let folder = TempDir::new().map_err(text)?;
        if let Record::Sqlite(path) = &mut record {
            *path = folder.path().join("record.db");
        }
        let balancer = Balancer::start().await?;
        let mcp = FakeMcpServer::start().await.map_err(text)?;
        let address = mcp.url.trim_start_matches("http://").trim_end_matches("/mcp").to_owned();
        let mcp_wire = Wire::to(Target::Tcp(address)).await?;
        let issuer = format!("http://localhost:{}", balancer.port);
        let mut nodes = Vec::new();
        for number in 0..count {
            let place = folder.path().join(format!("node{number}"));
            let server = match serving {
                Serving::Other(server) => server.to_owned(),
                Serving::Own(more) => format!("url = \"http://127.0.0.1:{}/mcp\"\n{more}", mcp_wire.port),
            };
            nodes.push(Node::prepare(place, &issuer, reach().await?, &server)?);
        }
        balancer.set(nodes.iter().map(|node| node.port).collect());
        let town = Self { issuer, balancer, nodes, record, mcp, mcp_wire, _folder: folder };
        for started in futures_util::future::join_all(town.nodes.iter().map(Node::start)).await {
            started?;
        }
        Ok(town)
    }

    /// Clients of all nodes.
    pub(crate) async fn players(&self) -> Result<Players, String> {
        let ports: Vec<u16> = self.nodes.iter().map(|node| node.port).collect();
        Players::at(&self.issuer, &ports).await
    }
}

impl Node {
    fn prepare(folder: PathBuf, issuer: &str, (wire, url): Reach, server: &str) -> Result<Self, String> {
        std::fs::create_dir(&folder).map_err(text)?;
        write_private(&folder.join("master.key"), MASTER_KEY)?;
        let port = free_port()?;
        let store = match url {
            Some(url) => {
                write_private(&folder.join("postgres.url"), &url)?;
                "postgres_file = \"postgres.url\"\npool_size = 8".to_owned()
            }
            None => format!("sqlite = \"{}\"", folder.with_file_name("record.db").display()),
        };
        let config = format!(
            "public_url = \"{issuer}\"\nlisten = [\"127.0.0.1:{port}\"]\nmaster_key_file = \"master.key\"\n\
             [store]\n{store}\n\
             [limits]\nregistrations_per_second = 1000000\npages_per_second = 1000000\n\
             token_requests_per_second = 1000000\nclient_requests_per_second = 1000000\n\
             [[identity_provider]]\nid = \"development\"\nkind = \"development\"\n\
             [[mcp_server]]\nname = \"notes\"\naccess = \"everyone who may log in\"\n{server}\n\
             [mcp_server.breaker]\nfailures = 0\n"
        );
        std::fs::write(folder.join("sekisho.toml"), config).map_err(text)?;
        Ok(Self { port, wire, folder, process: Mutex::default() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the binary that can be made to die, and waits until it is ready.
    pub(crate) async fn start(&self) -> Result<(), String> {
        self.start_as(&Release::later(0)).await
    }

    /// Starts a binary and waits until it is ready.
    pub(crate) async fn start_as(&self, release: &Release) -> Result<(), String> {
        drop(std::fs::remove_file(self.orders()));
        let (reader, writer) = std::io::pipe().map_err(text)?;
        let mut command = release.command();
        command.arg("serve").arg("--config").arg(self.folder.join("sekisho.toml"));
        command.env("SEKISHO_FAILPOINTS", self.orders());
        command.stdout(writer.try_clone().map_err(text)?).stderr(writer);
        let child = command.spawn().map_err(text)?;
        drop(command);
        let (all, mut said) = watch::channel(String::new());
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                all.send_modify(|said| {
                    said.push_str(&line);
                    said.push('\n');
                });
            }
        });
        *self.lock() = Some(Process { child, said: said.clone() });
        let ready = said.wait_for(|said| said.contains("\"ready\""));
        match tokio::time::timeout(PATIENCE, ready).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(format!("not ready: {}", self.said())),
        }
    }

    /// `sekisho check` with its configuration, by any release: how it ended, and what it said.
    pub(crate) async fn check(&self, release: &Release) -> Result<(Option<i32>, String), String> {
        let mut command = release.command();
        command.arg("check").arg("--config").arg(self.folder.join("sekisho.toml"));
        let ended =
            tokio::task::spawn_blocking(move || command.output()).await.map_err(text)?.map_err(text)?;
        let said = [ended.stdout, ended.stderr].concat();
        Ok((ended.status.code(), String::from_utf8_lossy(&said).into_owned()))
    }

    /// Everything that it wrote to its log since it was started.
    pub(crate) fn said(&self) -> String {
        self.lock().as_ref().map(|process| process.said.borrow().clone()).unwrap_or_default()
    }

    fn orders(&self) -> PathBuf {
        self.folder.join("failpoints")
    }

    /// Has it die at the n-th passage of a failpoint, or of any.
    pub(crate) fn die_at(&self, point: &str, nth: usize) -> Result<(), String> {
        let written = self.folder.join("orders");
        std::fs::write(&written, format!("{point} {nth}")).map_err(text)?;
        // In one step, so that no half of it is read.
        std::fs::rename(written, self.orders()).map_err(text)
    }

    /// How much memory it has now.
    pub(crate) fn resident_bytes(&self) -> Result<usize, String> {
        let pid = self.lock().as_ref().map(|process| process.child.id()).ok_or("no process")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(text)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kilobytes = line.trim().trim_end_matches(" kB").parse::<usize>().map_err(text)?;
        Ok(kilobytes * 1024)
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) -> Result<(), String> {
        let pid = self.lock().as_ref().map(|process| process.child.id()).ok_or("no process")?;
        let sent = Command::new("kill").args([name, &pid.to_string()]).status().map_err(text)?;
        if sent.success() { Ok(()) } else { Err(format!("kill {name} {pid} failed")) }
    }

    /// `kill -9`; gone when this returns.
    pub(crate) fn kill(&self) {
        if let Some(mut process) = self.lock().take() {
            drop(process.child.kill());
            drop(process.child.wait());
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn is_dead(&self) -> bool {
        self.lock().as_mut().is_none_or(|process| process.child.try_wait().is_ok_and(|end| end.is_some()))
    }

    /// Asks it to stop in order and waits for its end.
    pub(crate) async fn stop(&self) -> Result<(), String> {
        self.signal("-TERM")?;
        let process = self.lock().take().ok_or("no process")?;
        let said = process.said.clone();
        let child = Arc::new(Mutex::new(process.child));
        let waiting = Arc::clone(&child);
        let wait = move || waiting.lock().unwrap_or_else(PoisonError::into_inner).wait();
        match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(wait)).await {
            Ok(Ok(Ok(status))) if status.success() => Ok(()),
            other => Err(format!("it did not stop in order: {other:?}\n{}", said.borrow().as_str())),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The product of `cargo xtask test` holds no failpoint, and the mark by which that is seen is in the binary that does.
#[test]
fn the_shipped_binary_cannot_be_made_to_fail() -> Result<(), String> {
    let has_mark = |path: &Path| {
        let bytes = std::fs::read(path).map_err(text)?;
        let mark = store::FAILPOINT_MARK.as_bytes();
        Ok::<_, String>(bytes.windows(mark.len()).any(|window| window == mark))
    };
    assert!(has_mark(&that_dies())?);
    assert!(shipped() == that_dies() || !has_mark(&shipped())?);
    Ok(())
}
