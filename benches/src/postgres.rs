//! A PostgreSQL of our own that keeps what it acknowledges, and can be ended and started again; and what the usual work
//! costs over it.
//!
//! A Unix socket in a folder of its own and no port. It runs under an unprivileged user when we are root, as it must, and
//! ends when this value is dropped, and also when we are killed: its keeper waits for the end of a pipe that only we hold.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::flows::{self, CONNECTIONS};
use crate::load::repeat;
use crate::peer::Peer;
use crate::pin::{self, Core};
use crate::product::{Product, Setup};
use crate::rounds::Line;
use crate::table::Table;
use crate::{Outcome, Plan, calls};

/// Starts the server, waits for the end of its input, and asks for the fast shutdown.
const KEEPER: &str =
    r#"trap "" INT TERM; "$@" & server=$!; cat > /dev/null; kill -INT "$server"; wait "$server""#;

/// The server.
#[derive(Debug)]
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    owner: Option<(u32, u32)>,
    keeper: Option<Child>,
}

impl Postgres {
    /// Makes one and starts it.
    pub(crate) async fn start(plan: &Plan) -> Outcome<Self> {
        let programs = plan.postgres.clone().ok_or("PostgreSQL's server is missing")?;
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let owner = owner()?;
        let open = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(folder.path(), open).map_err(|error| error.to_string())?;
        if let Some((user, group)) = owner {
            chown(folder.path(), Some(user), Some(group)).map_err(|error| error.to_string())?;
        }
        let mut server = Self { programs, folder, owner, keeper: None };
        let mut initdb = server.program("initdb");
        initdb.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--pgdata"]);
        run(initdb.arg(server.folder.path().join("data")))?;
        server.launch()?;
        server.ready().await?;
        Ok(server)
    }

    /// Where it is found.
    pub(crate) fn url(&self) -> String {
        format!("postgresql:///postgres?host={}&user=postgres", self.folder.path().display())
    }

    /// Ends it as if the machine had fallen: nothing is written down any more.
    pub(crate) fn fall(&mut self) -> Outcome<()> {
        let mut stop = self.program("pg_ctl");
        run(stop.args(["stop", "--mode=immediate", "--pgdata"]).arg(self.folder.path().join("data")))?;
        self.end();
        Ok(())
    }

    /// Starts it on what it had written.
    pub(crate) fn launch(&mut self) -> Outcome<()> {
        let log = std::fs::File::create(self.folder.path().join("log")).map_err(|error| error.to_string())?;
        let mut keeper = pin::command("/bin/sh", Core::Load);
        self.as_owner(&mut keeper);
        keeper.args(["-c", KEEPER, "keeper"]).arg(self.programs.join("postgres"));
        keeper.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        keeper.args(["-c", "listen_addresses="]);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        self.keeper = Some(keeper.spawn().map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Waits until it takes connections.
    pub(crate) async fn ready(&self) -> Outcome<()> {
        for _ in 0..3000 {
            let mut probe = self.program("pg_isready");
            if run(probe.arg("--quiet").arg("--host").arg(self.folder.path())).is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err("PostgreSQL does not answer".to_owned())
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        self.as_owner(&mut command);
        command
    }

    fn as_owner(&self, command: &mut Command) {
        command.current_dir(self.folder.path()).env("LC_ALL", "C.UTF-8");
        if let Some((user, group)) = self.owner {
            command.gid(group).uid(user);
        }
    }

    fn end(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            drop(keeper.wait());
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(command: &mut Command) -> Outcome<()> {
    let out = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

/// PostgreSQL refuses to run as root: then `postgres`, or `nobody`, runs it.
fn owner() -> Outcome<Option<(u32, u32)>> {
    let id = Command::new("id").arg("-u").output().map_err(|error| error.to_string())?;
    if id.stdout.trim_ascii() != b"0" {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let owner = find("postgres").or_else(|| find("nobody"));
    Ok(Some(owner.ok_or("there is no user `postgres` or `nobody` to run PostgreSQL as")?))
}

/// The usual work with PostgreSQL as the record.
pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> Outcome<()> {
    let server = Postgres::start(plan).await?;
    let upstream = Peer::start_self(&["upstream"], Core::Load).await?;
    let setup = Setup { postgres: Some(server.url()), ..Setup::new(&upstream.url) };
    let product = Product::start(&setup).await?;
    let session = flows::sign_in(&product).await?;
    let mut line = Line::default();
    for _ in 0..plan.rounds {
        let work = repeat(&product.target, calls::checked(&session), CONNECTIONS, plan.seconds);
        line.round(&product.peer, work).await?;
    }
    let (cost, rate) = (line.cpu.show("µs", 1), line.rate.show("/s", 0));
    table.row("MCP call, 32 connections", &format!("CPU per call {cost}; {rate}"), "–");
    flows::measure(plan, &product, false, table).await?;
    table.row("RSS after all of this", &format!("{:.1} MiB", product.peer.rss_mib()?), "120 MiB");
    Ok(())
}
