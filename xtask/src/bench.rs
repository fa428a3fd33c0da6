//! `cargo xtask bench` and `cargo xtask soak`: builds the release binary, measures it part by part, and puts each part's
//! table into `docs/performance.md` between its marks. What stands between the marks is not written by hand.

use std::fs;
use std::process::{Command, Stdio};

use crate::repository::root;
use crate::run::{built, cargo, must, output};
use crate::{Failure, needs};

const DOCUMENT: &str = "docs/performance.md";

/// Measures these parts, or all; `--quick` only shows whether they work, and writes nothing.
pub(crate) fn bench(words: &[&str]) -> Result<(), Failure> {
    let (quick, wanted) = match words {
        ["--quick", wanted @ ..] => (true, wanted),
        wanted => (false, wanted),
    };
    build()?;
    let known = output(Command::new(built("release", "bench")?).arg("parts"))?;
    let known: Vec<&str> = known.lines().collect();
    if let Some(odd) = wanted.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no part `{odd}`; there are: {}", known.join(", ")).into());
    }
    for part in known.iter().filter(|name| wanted.is_empty() || wanted.contains(name)) {
        let table = measured(quick, &[part])?;
        println!("{table}");
        if !quick {
            put(part, &table)?;
        }
    }
    Ok(())
}

/// Runs everything at a low rate for so many minutes.
pub(crate) fn soak(minutes: &str) -> Result<(), Failure> {
    minutes.parse::<u32>().map_err(|_| "usage: cargo xtask soak MINUTES")?;
    build()?;
    let table = measured(false, &["soak", minutes])?;
    println!("{table}");
    put("soak", &table)
}

/// The product by itself first: what the load generator asks of our crates is not in what ships.
fn build() -> Result<(), Failure> {
    must(&mut cargo(&["build", "--release", "--locked", "--package", "sekisho"]))?;
    must(&mut cargo(&["build", "--release", "--locked", "--package", "bench"]))
}

/// What it prints; what it says meanwhile is passed on.
fn measured(quick: bool, words: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new(built("release", "bench")?);
    if quick {
        command.arg("--quick");
    }
    if let Some(programs) = needs::postgres() {
        command.arg("--postgres").arg(programs);
    }
    command.args(words).current_dir(root()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let out = command.output()?;
    if !out.status.success() {
        return Err(format!("the bench failed at `{}`", words.join(" ")).into());
    }
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

/// Puts a table between the marks of its part.
fn put(part: &str, table: &str) -> Result<(), Failure> {
    let path = root().join(DOCUMENT);
    let text = fs::read_to_string(&path)?;
    let (begin, end) = (format!("<!-- measured: {part} -->\n"), format!("<!-- end: {part} -->"));
    let missing = || format!("{DOCUMENT} has no marks for `{part}`");
    let (before, rest) = text.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    fs::write(&path, format!("{before}{begin}{table}\n{end}{after}"))?;
    Ok(())
}
