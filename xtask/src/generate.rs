//! The documents that are generated from the code: the binary prints them, this writes and compares them.

use std::fs;

use crate::repository::{File, files, root};
use crate::run::{cargo, output};
use crate::{Failure, conformance};

/// What `sekisho docs` can print, and where each stands.
const DOCUMENTS: [(&str, &str); 5] = [
    ("configuration", "docs/configuration.md"),
    ("configuration-schema", "docs/configuration.schema.json"),
    ("errors", "docs/errors.md"),
    ("audit-events", "docs/audit-events.md"),
    ("sign-in-steps", "docs/sign-in-steps.md"),
];

fn printed(what: &str) -> Result<String, Failure> {
    output(&mut cargo(&["run", "--quiet", "--locked", "--package", "sekisho", "--", "docs", what]))
}

/// Writes them all.
pub(crate) fn run() -> Result<(), Failure> {
    for (what, path) in DOCUMENTS {
        fs::write(root().join(path), printed(what)?)?;
        println!("wrote {path}");
    }
    let files = files()?;
    for book in &conformance::BOOKS {
        fs::write(root().join(book.document), conformance::document(book, &files)?)?;
        println!("wrote {}", book.document);
    }
    Ok(())
}

/// The paths of those that are not what the code says.
pub(crate) fn stale(files: &[File]) -> Result<Vec<&'static str>, Failure> {
    let mut stale = Vec::new();
    for (what, path) in DOCUMENTS {
        if fs::read_to_string(root().join(path)).unwrap_or_default() != printed(what)? {
            stale.push(path);
        }
    }
    for book in &conformance::BOOKS {
        let written = files.iter().find(|file| file.path == book.document).map(|file| file.text.as_str());
        if written != Some(conformance::document(book, files)?.as_str()) {
            stale.push(book.document);
        }
    }
    Ok(stale)
}
