//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, on the stable compiler.
//!
//! LLVM's coverage is asked for by flags that are stable; no sanitizer is, since there is no `unsafe` to watch over. What is
//! found in a run is kept under `target/fuzz/corpus`; what breaks a law is printed and belongs into `fuzz/corpus`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::Failure;
use crate::repository::root;
use crate::run::{cargo, must, output};

/// As libFuzzer wants a program to be built.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code -Ccodegen-units=1";

/// The largest input: no reader is given more than a request's head or a small body.
const LARGEST: &str = "-max_len=16384";
/// Of any one input, in seconds, debug build and slow machine included.
const PATIENCE: &str = "-timeout=10";

pub(crate) fn run(words: &[&str]) -> Result<(), Failure> {
    let known = targets()?;
    let (named, seconds) = match words {
        [] => {
            println!("{}", known.join("\n"));
            return Ok(());
        }
        [named] => (*named, 60),
        [named, "--seconds", seconds] => (*named, seconds.parse::<u32>()?),
        _ => return Err("usage: cargo xtask fuzz [TARGET|all [--seconds N]]".into()),
    };
    let chosen: Vec<&String> = known.iter().filter(|name| named == "all" || *name == named).collect();
    if chosen.is_empty() {
        return Err(format!("`{named}` is none of: {}", known.join(", ")).into());
    }
    let program = build()?;
    for (number, name) in chosen.iter().enumerate() {
        println!("\n=== {name} ({} of {}), {seconds} s ===", number + 1, chosen.len());
        fuzz(&program, name, seconds)?;
    }
    Ok(())
}

/// The folders of the corpus are the names of the targets; a test in `fuzz/` holds them to it.
fn targets() -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for folder in fs::read_dir(root().join("fuzz/corpus"))? {
        names.extend(folder?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

fn build() -> Result<PathBuf, Failure> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    let folder = root().join("target/fuzz");
    let mut words =
        cargo(&["build", "--locked", "--package", "fuzz", "--features", "engine", "--bin", "fuzz"]);
    // With a named target the flags are for what is fuzzed only, and not for what is run while building.
    words.args(["--target", host, "--target-dir"]).arg(&folder);
    must(words.env("RUSTFLAGS", FLAGS).env("CARGO_PROFILE_DEV_OPT_LEVEL", "2"))?;
    Ok(folder.join(host).join("debug/fuzz"))
}

fn fuzz(program: &PathBuf, name: &str, seconds: u32) -> Result<(), Failure> {
    let kept = root().join("target/fuzz/corpus").join(name);
    let found = root().join("target/fuzz/found");
    fs::create_dir_all(&kept)?;
    fs::create_dir_all(&found)?;
    let mut command = Command::new(program);
    command.env("FUZZ_TARGET", name).arg(&kept).arg(root().join("fuzz/corpus").join(name));
    command.args([LARGEST, PATIENCE, "-print_final_stats=1", "-verbosity=0"]);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/{name}-", found.display()));
    must(&mut command).map_err(|failure| {
        format!(
            "{failure}\nthe input is in target/fuzz/found: mend the reader and put it into fuzz/corpus/{name}"
        )
        .into()
    })
}
