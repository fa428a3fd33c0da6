//! `sekisho docs`: prints what is generated from the code: documents, the schema, completions, the manual.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Subcommand};
use clap_complete::Shell;

use super::{Cli, Failure};

/// For `sekisho docs --help`.
pub(super) const EXAMPLES: &str = "\
Examples:
  sekisho docs configuration-schema > sekisho.schema.json
  sekisho docs completions bash > ~/.local/share/bash-completion/completions/sekisho
  sekisho docs man ~/.local/share/man/man1

With `#:schema ./sekisho.schema.json` above everything in sekisho.toml, editors know the settings.";

/// A generated document.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Document {
    /// Print what is written down, as Markdown
    AuditEvents,
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print every setting, as Markdown
    Configuration,
    /// Print the JSON Schema of the configuration, for editors
    ConfigurationSchema,
    /// Print every error, as Markdown
    Errors,
    /// Print every step and reason of a sign-in, as Markdown
    SignInSteps,
    /// Write the manual into a folder, a page for each command
    Man {
        /// The folder; it is made if it is not there
        folder: PathBuf,
    },
}

pub(super) fn run(what: Document) -> Result<ExitCode, Failure> {
    match what {
        Document::AuditEvents => print(&audit_events())?,
        Document::Completions { shell } => print(&completions(shell))?,
        Document::Configuration => print(&crate::config::reference::markdown())?,
        Document::ConfigurationSchema => print(&crate::config::schema::json())?,
        Document::Errors => print(&web::errors_reference())?,
        Document::SignInSteps => print(&crate::words::markdown())?,
        Document::Man { folder } => man(&folder)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn completions(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sekisho", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// `sekisho.1`, and a page such as `sekisho-keys-list.1` for each command.
fn man(folder: &Path) -> Result<(), Failure> {
    let write = || {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Cli::command(), folder)
    };
    write().map_err(Failure::io(format!("cannot write the manual into `{}`", folder.display())))
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

One event for each thing that happened. What changes the record has its event in the same commit; a call that may
change something is written down before it is forwarded, one that only reads within a second
([audit.md](audit.md#when-an-event-is-written)). Read them with `sekisho audit` (a table) or `sekisho audit --json` (JSON
Lines). Names and addresses stand in a table of their own beside the events. Tokens, codes and secrets are never
recorded, arguments only [where you say so](audit.md#arguments). What each reason means: [sign-in-steps.md](sign-in-steps.md).

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

/// A moment for programs (RFC 3339).
pub(super) fn moment(at: protocol::world::Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default().to_string()
}

/// A moment for people.
pub(super) fn when(at: protocol::world::Timestamp) -> String {
    let time = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
