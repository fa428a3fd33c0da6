//! The laws of the house that neither compiler nor clippy knows (`docs/rooms.md`).
//!
//! A law answers with findings. All of them are told, then the check fails.

mod decisions;
mod pages;
mod reasons;
mod rows;
mod sizes;
mod source;
mod walls;

use crate::repository::{File, files};
use crate::{Failure, conformance, generate};

/// One breach: where, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }

    fn at(file: &File, line: usize, what: impl Into<String>) -> Self {
        Self::new(format!("{}:{line}", file.path), what)
    }
}

/// `cargo xtask check`.
pub(crate) fn run() -> Result<(), Failure> {
    let files = files()?;
    let mut findings = walls::findings(&files)?;
    findings.extend(sizes::findings(&files));
    findings.extend(source::findings(&files));
    findings.extend(reasons::findings(&files));
    findings.extend(pages::findings(&files));
    findings.extend(rows::findings(&files)?);
    findings.extend(decisions::findings(&files)?);
    findings
        .extend(conformance::findings(&files)?.into_iter().map(|(place, what)| Finding::new(place, what)));
    match generate::stale(&files) {
        Ok(stale) => findings.extend(
            stale
                .into_iter()
                .map(|path| Finding::new(path, "is not what the code says; run `cargo xtask generate`")),
        ),
        Err(failure) => findings.push(Finding::new("docs", format!("cannot be generated: {failure}"))),
    }
    println!("{}", sizes::summary(&files));
    println!("{}", rows::summary(&files)?);
    if findings.is_empty() {
        println!("every law is kept");
        return Ok(());
    }
    for finding in &findings {
        println!("{}: {}", finding.place, finding.what);
    }
    Err(format!("laws broken: {}", findings.len()).into())
}

/// The text of one file of the tree, which must exist.
fn text_of<'a>(files: &'a [File], path: &str) -> Result<&'a str, Failure> {
    let found = files.iter().find(|file| file.path == path);
    Ok(&found.ok_or_else(|| format!("{path} is missing"))?.text)
}
