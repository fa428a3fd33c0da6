//! A running binary in a folder of its own; killed when dropped.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender};

use tempfile::TempDir;
use testkit::http::Http;

pub(crate) const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A folder with a configuration.
pub(crate) struct Folder {
    pub(crate) folder: TempDir,
    pub(crate) issuer: String,
}

impl Folder {
    /// One MCP server at `upstream`, example people, an SQLite file that is durable.
    pub(crate) fn new(upstream: &str) -> Self {
        let folder = TempDir::new().unwrap();
        // The port is free now; nothing else on this machine is likely to take it before we do.
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let issuer = format!("http://localhost:{port}");
        let config = format!(
            r#"public_url = "{issuer}"
listen = ["127.0.0.1:{port}"]
master_key_file = "master.key"
[store]
sqlite = "record.db"
[[identity_provider]]
id = "development"
kind = "development"
[[mcp_server]]
name = "notes"
url = "{upstream}"
access = "everyone who may log in"
"#
        );
        std::fs::write(folder.path().join("sekisho.toml"), config).unwrap();
        let made = Self { folder, issuer };
        made.write_key(MASTER_KEY);
        made
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write_key(&self, key: &str) {
        let path = self.path("master.key");
        std::fs::write(&path, key).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn config(&self) -> String {
        self.path("sekisho.toml").display().to_string()
    }

    /// Starts `serve` and waits until it says that it is ready.
    pub(crate) fn serve(&self) -> Running {
        Running::start(&["serve", "--config", &self.config()], "ready")
    }

    /// The same with so many open files at the most, as `ulimit -n` sets it.
    pub(crate) fn serve_with_files(&self, files: u32) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]);
        command.args([env!("CARGO_BIN_EXE_sekisho"), "serve", "--config", &self.config()]);
        Running::of(command, "ready")
    }

    /// The same, saying all it can say.
    pub(crate) fn serve_talking(&self) -> Running {
        let config = self.config();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        command.args(["serve", "--config", &config]).env("SEKISHO_LOG", "trace");
        Running::of(command, "ready")
    }

    /// The same, but what it says when it is ready is not read before somebody sends.
    pub(crate) fn serve_unheard(&self) -> (Running, Sender<()>) {
        let config = self.config();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        command.args(["serve", "--config", &config]);
        let (sender, listen) = std::sync::mpsc::channel();
        (Running::of_when(command, "ready", Some(listen)), sender)
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut all = arguments.to_vec();
        let config = self.config();
        all.extend(["--config", &config]);
        sekisho(&all)
    }

    pub(crate) fn resource(&self) -> String {
        format!("{}/notes/mcp", self.issuer)
    }
}

/// Runs the binary to its end.
pub(crate) fn sekisho(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

/// A running binary.
pub(crate) struct Running {
    child: Child,
    /// What it said until it was ready.
    pub(crate) said: String,
    lines: Receiver<String>,
}

impl Running {
    /// Starts and reads both outputs until a line holds `sign`.
    pub(crate) fn start(arguments: &[&str], sign: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        command.args(arguments);
        Self::of(command, sign)
    }

    fn of(command: Command, sign: &str) -> Self {
        Self::of_when(command, sign, None)
    }

    fn of_when(mut command: Command, sign: &str, listen: Option<Receiver<()>>) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let child = command.spawn().unwrap();
        drop(command);
        let mut lines = BufReader::new(reader).lines();
        let mut said = String::new();
        loop {
            let Some(Ok(line)) = lines.next() else { panic!("it ended before it was ready:\n{said}") };
            said.push_str(&line);
            said.push('\n');
            if line.contains(sign) {
                break;
            }
        }
        // Read on, so that the process never waits for somebody to listen.
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            if let Some(listen) = listen {
                let _ = listen.recv();
            }
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, said, lines: receiver }
    }

    /// A file of `/proc` about it.
    pub(crate) fn proc(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// Sends a signal by name and goes on.
    pub(crate) fn send(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits until it says something that holds `sign`, if it did not say it before it was ready: what works beside the
    /// start may be done before it.
    pub(crate) fn says(&self, sign: &str) {
        let heard = self.said.contains(sign) || self.lines.iter().any(|line| line.contains(sign));
        assert!(heard, "it ended and did not say `{sign}`");
    }

    /// Waits for the end; hands over the exit code and what was said since.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.lines.iter().collect::<Vec<_>>().join("\n"))
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A client for requests that belongs to nobody else, so that no connection outlives a process.
pub(crate) fn http() -> Http {
    Http::default()
}

pub(crate) fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
