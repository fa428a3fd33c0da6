//! A PostgreSQL of our own: `initdb` in a temporary folder, a Unix socket and no port.
//!
//! It never touches a cluster of the machine, and it runs under an unprivileged user when we are root, as it must. It ends
//! when this value is dropped, and also when we are killed: its keeper waits for the end of a pipe that only we hold.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Failure;
use crate::run::output;

/// How long it may take to answer.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// Starts the server, waits for the end of its input, and asks for the fast shutdown.
const KEEPER: &str =
    r#"trap "" INT TERM; "$@" & server=$!; cat > /dev/null; kill -INT "$server"; wait "$server""#;

/// A running server.
pub(crate) struct Postgres {
    folder: PathBuf,
    keeper: Child,
}

/// Whom the server runs as: user and group.
type Owner = Option<(u32, u32)>;

impl Postgres {
    /// Starts a server from the programs in `programs`.
    pub(crate) fn start(programs: &Path) -> Result<Self, Failure> {
        let owner = owner()?;
        let folder = std::env::temp_dir().join(format!("sekisho-postgres-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        if let Some((user, group)) = owner {
            chown(&folder, Some(user), Some(group))?;
        }
        let started = initialise(programs, &folder, owner).and_then(|()| launch(programs, &folder, owner));
        let keeper = started.inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
        let postgres = Self { folder, keeper };
        postgres.wait(programs)?;
        Ok(postgres)
    }

    /// Tells tests where it is, and with which programs they make servers of their own.
    pub(crate) fn tell<'a>(&self, command: &'a mut Command, programs: &Path) -> &'a mut Command {
        command.env("TEST_POSTGRES_URL", self.url()).env("TEST_POSTGRES_PROGRAMS", programs)
    }

    fn url(&self) -> String {
        format!("postgresql:///postgres?host={}&user=postgres", self.folder.display())
    }

    fn wait(&self, programs: &Path) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS {
            let mut probe = Command::new(programs.join("pg_isready"));
            if output(probe.arg("--quiet").arg("--host").arg(&self.folder)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("PostgreSQL did not answer within 10 s\n{log}").into())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let ended = (0..ATTEMPTS).any(|_| {
            let ended = matches!(self.keeper.try_wait(), Ok(Some(_)) | Err(_));
            if !ended {
                std::thread::sleep(PAUSE);
            }
            ended
        });
        if !ended {
            println!("PostgreSQL does not stop; its folder is {}", self.folder.display());
            return;
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// PostgreSQL refuses to run as root: then `postgres`, or `nobody`, runs it.
fn owner() -> Result<Owner, Failure> {
    if output(Command::new("id").arg("-u"))?.trim() != "0" {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let owner = find("postgres").or_else(|| find("nobody"));
    Ok(Some(owner.ok_or("there is no user `postgres` or `nobody` to run PostgreSQL as")?))
}

fn as_owner(mut command: Command, folder: &Path, owner: Owner) -> Command {
    command.current_dir(folder).env("LC_ALL", "C.UTF-8");
    if let Some((user, group)) = owner {
        command.gid(group).uid(user);
    }
    command
}

fn initialise(programs: &Path, folder: &Path, owner: Owner) -> Result<(), Failure> {
    let mut initdb = as_owner(Command::new(programs.join("initdb")), folder, owner);
    initdb.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync"]);
    initdb.arg("--pgdata").arg(folder.join("data"));
    output(&mut initdb).map(drop)
}

fn launch(programs: &Path, folder: &Path, owner: Owner) -> Result<Child, Failure> {
    let log = fs::File::create(folder.join("log"))?;
    let mut keeper = as_owner(Command::new("/bin/sh"), folder, owner);
    keeper.args(["-c", KEEPER, "keeper"]).arg(programs.join("postgres"));
    keeper.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    // Nothing of it has to survive, and many tests connect at once.
    let settings = [
        "listen_addresses=",
        "fsync=off",
        "full_page_writes=off",
        "synchronous_commit=off",
        "max_connections=300",
    ];
    for setting in settings {
        keeper.arg("-c").arg(setting);
    }
    Ok(keeper.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).spawn()?)
}
