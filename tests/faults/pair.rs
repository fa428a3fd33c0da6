//! Two PostgreSQL servers of a test's own: a primary, and a standby that `pg_basebackup` made and that follows it. The
//! primary can be lost at a stroke, the standby promoted, and the lost one brought back. Unix sockets in temporary folders,
//! no port but that of the cable between them.

use std::future::Future;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use testkit::outcomes::Verdict;
use testkit::wire::{Target, Wire};
use tokio_postgres::config::Host;

use super::chance::{Stopwatch, say};
use crate::record::Record;

/// Starts the server, waits for the end of its input, and has it end at once.
const KEEPER: &str =
    r#"trap "" INT TERM; "$@" & server=$!; cat > /dev/null; kill -QUIT "$server"; wait "$server""#;
/// Commits wait for the standby; the name is the one that it gives itself.
const WAIT_FOR_STANDBY: &str = "ALTER SYSTEM SET synchronous_standby_names = 'standby'";
/// A server that does not answer by then will not.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Whom the servers run as, when we are root: user and group.
type Owner = Option<(u32, u32)>;

/// Both servers and the cable between them.
pub(crate) struct Pair {
    pub(crate) primary: Server,
    pub(crate) standby: Server,
    /// By which the standby follows.
    pub(crate) replication: Wire,
    _folder: TempDir,
}

/// One server, or the place of one.
pub(crate) struct Server {
    programs: PathBuf,
    folder: PathBuf,
    owner: Owner,
    keeper: Mutex<Option<Child>>,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Runs a test over a pair of its own, made of the programs that `TEST_POSTGRES_PROGRAMS` names.
#[expect(
    clippy::disallowed_methods,
    reason = "the test run says where the programs are, and whether any may be missing"
)]
pub(crate) async fn on_pair<F: Future<Output = Verdict>>(test: impl FnOnce(Pair) -> F) -> Verdict {
    let Some(programs) = std::env::var_os("TEST_POSTGRES_PROGRAMS") else {
        if std::env::var_os("CI").is_some() {
            return Err("TEST_POSTGRES_PROGRAMS is not set, and CI skips no engine".to_owned());
        }
        static SAID: Once = Once::new();
        SAID.call_once(|| say("\n!! NOT RUN on two servers: TEST_POSTGRES_PROGRAMS is not set !!\n"));
        return Ok(());
    };
    let server = std::env::var("TEST_POSTGRES_URL").unwrap_or_default();
    test(Pair::start(Path::new(&programs), owner(&server)?).await?).await
}

/// Whoever runs the server of the test run; root may not.
fn owner(server: &str) -> Result<Owner, String> {
    let config: tokio_postgres::Config = server.parse().map_err(text)?;
    let Some(Host::Unix(folder)) = config.get_hosts().first() else { return Ok(None) };
    let (of, ours) =
        (std::fs::metadata(folder).map_err(text)?, std::fs::metadata("/proc/self").map_err(text)?);
    Ok((of.uid() != ours.uid()).then(|| (of.uid(), of.gid())))
}

impl Pair {
    async fn start(programs: &Path, owner: Owner) -> Result<Self, String> {
        let folder = TempDir::new().map_err(text)?;
        let (primary, standby) = (folder.path().join("primary"), folder.path().join("standby"));
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).map_err(text)?;
        let primary = Server::place(programs, primary, owner)?;
        let standby = Server::place(programs, standby, owner)?;
        let options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync"];
        primary.run("initdb", &[&options, ["--pgdata", "data"].as_slice()].concat()).await?;
        primary.start().await?;
        primary.of("postgres").rows("CREATE DATABASE sekisho").await?;
        let replication = Wire::to(Target::Unix(primary.socket())).await?;
        let from = format!("host=127.0.0.1 port={} user=postgres application_name=standby", replication.port);
        let copy =
            ["--pgdata", "data", "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname"];
        standby.run("pg_basebackup", &[&copy, [from.as_str()].as_slice()].concat()).await?;
        standby.start().await?;
        Ok(Self { primary, standby, replication, _folder: folder })
    }

    /// Has every commit wait for the standby, as the documentation recommends.
    pub(crate) async fn synchronous(&self) -> Verdict {
        let primary = self.primary.of("postgres");
        primary.rows(WAIT_FOR_STANDBY).await?;
        primary.rows("SELECT pg_reload_conf()").await?;
        until(async || {
            let waits = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
            primary.rows(waits).await.is_ok_and(|rows| !rows.is_empty())
        })
        .await
    }

    /// The URL that names both, the second one at the end of a cable.
    pub(crate) fn url(&self, port: u16) -> String {
        let folder = self.primary.folder.display().to_string().replace('/', "%2F");
        format!("postgresql://postgres@{folder}:5432,127.0.0.1:{port}/sekisho")
    }
}

/// Asks again and again, until it is so.
pub(crate) async fn until(is_so: impl AsyncFn() -> bool) -> Verdict {
    let watch = Stopwatch::start();
    while !is_so().await {
        if watch.elapsed() > PATIENCE {
            return Err(format!("not within {PATIENCE:?}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

impl Server {
    fn place(programs: &Path, folder: PathBuf, owner: Owner) -> Result<Self, String> {
        std::fs::create_dir(&folder).map_err(text)?;
        if let Some((user, group)) = owner {
            chown(&folder, Some(user), Some(group)).map_err(text)?;
        }
        Ok(Self { programs: programs.to_owned(), folder, owner, keeper: Mutex::default() })
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("LC_ALL", "C.UTF-8");
        if let Some((user, group)) = self.owner {
            command.gid(group).uid(user);
        }
        command
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Verdict {
        let mut command = self.command(self.programs.join(program));
        command.args(arguments);
        let ended = tokio::task::spawn_blocking(move || command.output()).await.map_err(text)?;
        let ended = ended.map_err(|error| format!("{program}: {error}"))?;
        if ended.status.success() {
            return Ok(());
        }
        Err(format!("{program}: {}", String::from_utf8_lossy(&ended.stderr)))
    }

    /// Starts it with what its folder holds, and waits until it answers.
    pub(crate) async fn start(&self) -> Verdict {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log"));
        let log = log.map_err(text)?;
        let mut keeper = self.command("/bin/sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(self.programs.join("postgres"));
        keeper.args(["-D", "data", "-k"]).arg(&self.folder).args(["-c", "listen_addresses="]);
        // The machine does not fall, only its processes do.
        keeper.args(["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=100"]);
        keeper.stdin(Stdio::piped()).stdout(log.try_clone().map_err(text)?).stderr(log);
        *self.lock() = Some(keeper.spawn().map_err(text)?);
        let answers = async || self.of("postgres").rows("SELECT 1").await.is_ok();
        until(answers).await.map_err(|why| {
            format!("{why}: {}", std::fs::read_to_string(self.folder.join("log")).unwrap_or_default())
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// A database of it, to be looked at from outside.
    pub(crate) fn of(&self, database: &str) -> Record {
        let folder = self.folder.display();
        Record::Postgres(format!("postgresql:///{database}?host={folder}&user=postgres"))
    }

    /// The record of Sekisho.
    pub(crate) fn record(&self) -> Record {
        self.of("sekisho")
    }

    /// Makes a standby the primary.
    pub(crate) async fn promote(&self) -> Verdict {
        let promoted = self.of("postgres").rows("SELECT pg_promote()").await?;
        if promoted == ["t"] { Ok(()) } else { Err(format!("not promoted: {promoted:?}")) }
    }

    /// Ends it by a signal to its first process: `-KILL`, or `-QUIT`, which is PostgreSQL's immediate stop.
    pub(crate) async fn lose(&self, signal: &str) -> Verdict {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).map_err(text)?;
        let pid = pid.lines().next().unwrap_or_default().to_owned();
        let sent = Command::new("kill").args([signal, &pid]).status().map_err(text)?;
        let keeper = self.lock().take();
        let ended = tokio::task::spawn_blocking(move || end(keeper)).await.map_err(text);
        if sent.success() { ended } else { Err(format!("kill {signal} {pid} failed")) }
    }
}

/// The keeper ends after its server.
fn end(keeper: Option<Child>) {
    if let Some(mut keeper) = keeper {
        drop(keeper.stdin.take());
        drop(keeper.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(self.lock().take());
    }
}
