//! `cargo xtask test`: everything, in the order in which a mistake is cheapest to find.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::needs::{self, Need};
use crate::postgres::Postgres;
use crate::repository::root;
use crate::run::{built, cargo, must};
use crate::{Failure, check};

/// How a stage is called, what it cannot do without, and what it does.
struct Stage {
    name: &'static str,
    needs: &'static [Need],
    run: fn() -> Result<(), Failure>,
}

const STAGES: [Stage; 13] = [
    Stage { name: "format", needs: &[], run: format },
    Stage { name: "clippy", needs: &[], run: clippy },
    Stage { name: "product", needs: &[], run: product },
    Stage { name: "laws", needs: &[], run: check::run },
    Stage { name: "documentation", needs: &[], run: documentation },
    Stage { name: "build", needs: &[], run: build },
    Stage { name: "tests", needs: &[], run: tests },
    Stage { name: "doctests", needs: &[], run: doctests },
    Stage { name: "helpers", needs: &[Need::ConformanceModules], run: helpers },
    Stage { name: "pages", needs: &[Need::ConformanceModules, Need::Chromium], run: pages },
    Stage { name: "conformance", needs: &[Need::ConformanceModules], run: conformance },
    Stage { name: "gateway", needs: &[Need::ConformanceModules], run: gateway },
    Stage {
        name: "clients",
        needs: &[Need::ConformanceModules, Need::ClientModules, Need::PythonSdk, Need::PythonSdkV1],
        run: clients,
    },
];

/// What came of one stage.
enum Outcome {
    Failed(Failure),
    Passed,
    Skipped,
}

/// Runs every stage until one fails. In CI nothing may be missing.
pub(crate) fn run(install: bool) -> Result<(), Failure> {
    let missing = prepare(install)?;
    let mut told = Vec::new();
    let (mut passed, mut skipped, mut failure) = (0, 0, None);
    for stage in &STAGES {
        let begin = Instant::now();
        let outcome = run_stage(stage, &missing);
        let seconds = begin.elapsed().as_secs_f64();
        let word = match outcome {
            Outcome::Passed => {
                passed += 1;
                "passed"
            }
            Outcome::Skipped => {
                skipped += 1;
                "skipped"
            }
            Outcome::Failed(reason) => {
                failure = Some(format!("{}: {reason}", stage.name));
                "FAILED"
            }
        };
        told.push(format!("  {word:<8} {seconds:>7.1} s  {}", stage.name));
        if failure.is_some() {
            break;
        }
    }
    println!("\n{}", told.join("\n"));
    if skipped > 0 {
        println!("  skipped stages need what is missing: run `cargo xtask test --install`");
    }
    println!("stages: {passed} passed, {} failed, {skipped} skipped", usize::from(failure.is_some()));
    failure.map_or(Ok(()), |reason| Err(reason.into()))
}

/// Installs what is missing, or says what is. Answers what is still missing.
fn prepare(install: bool) -> Result<Vec<Need>, Failure> {
    let missing = needs::missing();
    if missing.is_empty() {
        return Ok(missing);
    }
    if install {
        for need in &missing {
            println!("installing {}", need.sentence());
            need.install()?;
        }
    } else {
        println!("missing on this machine, and installed by `cargo xtask test --install`:");
        for need in &missing {
            println!("  {}", need.sentence());
        }
    }
    let still = needs::missing();
    let must_be_there = install || std::env::var_os("CI").is_some();
    if must_be_there && !still.is_empty() {
        let names: Vec<&str> = still.iter().map(|need| need.sentence()).collect();
        return Err(format!("still missing: {}", names.join("; ")).into());
    }
    Ok(still)
}

fn run_stage(stage: &Stage, missing: &[Need]) -> Outcome {
    println!("\n=== {} ===", stage.name);
    if stage.needs.iter().any(|need| missing.contains(need)) {
        println!("skipped: something it needs is missing");
        return Outcome::Skipped;
    }
    match (stage.run)() {
        Ok(()) => Outcome::Passed,
        Err(failure) => Outcome::Failed(failure),
    }
}

fn format() -> Result<(), Failure> {
    must(&mut cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> Result<(), Failure> {
    must(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

/// The product by itself, with the features that it ships with: the rest of the workspace must not lend it any. This is
/// the binary that conformance and clients meet, kept where no later build replaces it.
fn product() -> Result<(), Failure> {
    must(&mut cargo(&["build", "--locked", "--package", "sekisho"]))?;
    let kept = kept_binary()?;
    fs::create_dir_all(kept.parent().unwrap_or(Path::new(".")))?;
    let made = built("debug", "sekisho")?;
    let bytes = fs::read(&made)?;
    if bytes.windows(FAILPOINT_MARK.len()).any(|window| window == FAILPOINT_MARK.as_bytes()) {
        return Err("the product can be made to fail: a dependency brings the feature `failpoints`".into());
    }
    fs::copy(made, kept)?;
    Ok(())
}

/// What stands in every binary with failpoints; `tests/faults` looks that it does.
const FAILPOINT_MARK: &str = concat!("a failpoint", " of Sekisho");

fn kept_binary() -> Result<PathBuf, Failure> {
    built("xtask", "sekisho")
}

fn documentation() -> Result<(), Failure> {
    let words = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    must(cargo(&words).env("RUSTDOCFLAGS", "-D warnings"))
}

fn build() -> Result<(), Failure> {
    must(&mut cargo(&["build", "--workspace", "--all-targets", "--locked"]))
}

/// `cargo xtask postgres <command>`: for one crate's tests, without the rest.
pub(crate) fn with_postgres(program: &str, more: &[&str]) -> Result<(), Failure> {
    let programs = needs::postgres().ok_or("PostgreSQL's server is missing: `cargo xtask test --install`")?;
    let postgres = Postgres::start(&programs)?;
    must(postgres.tell(Command::new(program).args(more), &programs))
}

/// Every test of the workspace, on both engines where PostgreSQL is there.
fn tests() -> Result<(), Failure> {
    let programs = needs::postgres();
    let postgres = programs.as_deref().map(Postgres::start).transpose()?;
    let mut command = if needs::has_nextest() {
        cargo(&["nextest", "run", "--workspace", "--locked", "--no-fail-fast"])
    } else {
        println!("cargo-nextest is not installed: the same tests by `cargo test`");
        cargo(&["test", "--workspace", "--all-targets", "--locked", "--no-fail-fast"])
    };
    match postgres.as_ref().zip(programs.as_deref()) {
        Some((postgres, programs)) => postgres.tell(&mut command, programs),
        None => command.env_remove("TEST_POSTGRES_URL").env_remove("TEST_POSTGRES_PROGRAMS"),
    };
    must(command.env("SEKISHO_BIN", kept_binary()?))
}

fn doctests() -> Result<(), Failure> {
    must(&mut cargo(&["test", "--workspace", "--doc", "--locked"]))
}

fn node() -> Result<Command, Failure> {
    let mut command = Command::new(needs::node().ok_or("Node 22 is missing")?);
    command.current_dir(root()).env("SEKISHO_BIN", kept_binary()?);
    Ok(command)
}

/// The headless browser that the next two stages trust.
fn helpers() -> Result<(), Failure> {
    must(node()?.args(["--test", "tests/conformance/helpers.test.mjs"]))
}

/// Every page in a real browser, judged by axe-core, and what people do at them. A picture of each stays beside the binary.
fn pages() -> Result<(), Failure> {
    let pictures = built("xtask", "pictures")?;
    for script in ["pages", "flows"] {
        must(node()?.env("PICTURES", &pictures).arg(format!("tests/conformance/{script}.mjs")))?;
    }
    Ok(())
}

fn conformance() -> Result<(), Failure> {
    let mut command = node()?;
    command.env("CLIENT_METADATA_HOST", built("debug", "examples/client_metadata_host")?);
    must(command.arg("tests/conformance/run.mjs"))?;
    let mut command = node()?;
    command.env("CONFORMANCE_CLIENT", built("debug", "examples/conformance_client")?);
    must(command.arg("tests/conformance/client.mjs"))
}

/// The suite's server mode, without and with the gateway between.
fn gateway() -> Result<(), Failure> {
    let mut command = node()?;
    command.env("CONFORMANCE_SERVER", built("debug", "examples/mcp_conformance_server")?);
    must(command.arg("tests/conformance/server.mjs"))
}

fn clients() -> Result<(), Failure> {
    let mut command = node()?;
    command.env("CLIENT_RMCP", built("debug", "client-rmcp")?).env("PYTHON", needs::python(""));
    command.env("PYTHON_V1", needs::python("-v1"));
    command.env("CLIENT_METADATA_HOST", built("debug", "examples/client_metadata_host")?);
    must(command.arg("tests/clients/run.mjs"))
}
