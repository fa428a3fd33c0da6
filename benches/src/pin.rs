//! Which core runs what, by `taskset`: the measured process has one for itself, everything else shares the other.
//!
//! Where there is no `taskset`, or only one core, nothing is pinned and the table says so.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// A place to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// The core of the load generator, the MCP server and the database.
    Load,
    /// The core of what is measured.
    Measured,
    /// Wherever there is room.
    Any,
}

impl Core {
    const fn list(self) -> &'static str {
        match self {
            Self::Load => "0",
            Self::Measured => "1",
            Self::Any => "0,1",
        }
    }
}

/// How many cores there are for all.
pub(crate) fn cores() -> usize {
    let all = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    all.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

/// Whether processes can be pinned.
pub(crate) fn possible() -> bool {
    let probe = Command::new("taskset").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    cores() > 1 && probe.is_ok_and(|status| status.success())
}

/// Moves this process, before it has threads of its own, to the core of the load.
pub(crate) fn myself() {
    if possible() {
        let id = std::process::id().to_string();
        let words = ["--all-tasks", "--pid", "--cpu-list", Core::Load.list(), &id];
        drop(Command::new("taskset").args(words).stdout(Stdio::null()).status());
    }
}

/// A command that will run at that place.
pub(crate) fn command(program: impl AsRef<OsStr>, core: Core) -> Command {
    if !possible() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core.list()]).arg(program);
    command
}
