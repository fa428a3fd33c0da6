//! `sekisho docs`: prints the documents that are generated from the code.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::ValueEnum;

use super::Failure;

/// A generated document.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Document {
    /// docs/audit-events.md
    AuditEvents,
    /// docs/configuration.md
    Configuration,
    /// docs/errors.md
    Errors,
}

pub(super) fn run(what: Document) -> Result<ExitCode, Failure> {
    let text = match what {
        Document::AuditEvents => audit_events(),
        Document::Configuration => crate::config::reference::markdown(),
        Document::Errors => web::errors_reference(),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn audit_events() -> String {
    let mut page = String::from(AUDIT_EVENTS);
    for kind in store::AuditKind::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{}` | {} |", kind.as_str(), kind.sentence());
    }
    page
}

const AUDIT_EVENTS: &str = "\
# Audit events

<!-- Printed by `cargo xtask generate` from `AuditKind` in `crates/store/src/audit_events.rs`. -->

One event for each thing that happened, written in the same commit as what it records; calls are written in
batches within half a second. Read them with `sekisho audit` (a table) or `sekisho audit --json` (JSON Lines).
Names and addresses stand in a table of their own beside the events. Tokens, codes and arguments are never
recorded.

| kind | what happened |
|---|---|
";

/// Who reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Nobody any more.
    Gone,
    /// Somebody, so far.
    There,
}

/// Writes to standard output; a reader that has gone away is not a failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    offer(text).map(|_| ())
}

/// The same, for whoever has more to say.
pub(super) fn offer(text: &str) -> Result<Reader, Failure> {
    let mut out = anstream::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::io("cannot write the output")(error)),
    }
}
