//! Rows of the audit that were altered so that they cannot be read: each is told on standard error as well, and the exit code
//! says that there was one, so that nothing is lost without a word and nothing else is held up by it.

use std::io::Write as _;
use std::process::ExitCode;

use store::AuditRow;

use super::super::docs::moment;
use super::verify::WRONG;

/// So many are named; the others are counted.
const NAMED: u64 = 100;

/// How many there were.
#[derive(Debug, Default)]
pub(super) struct Unreadable(u64);

impl Unreadable {
    pub(super) fn note(&mut self, rows: &[AuditRow]) {
        for row in rows.iter().filter(|row| row.is_unreadable()) {
            self.0 += 1;
            if self.0 <= NAMED {
                say(&format!("cannot be read: {} {} of {}", what(row), row.id, moment(row.at)));
            }
        }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        if self.0 == 0 {
            return ExitCode::SUCCESS;
        }
        let rows = if self.0 == 1 { "1 row" } else { &format!("{} rows", self.0) };
        say(&format!(
            "{rows} of the audit cannot be read, and everything else was: `sekisho audit verify` says what was changed"
        ));
        ExitCode::from(WRONG)
    }
}

/// What it was.
pub(super) fn what(row: &AuditRow) -> &'static str {
    if row.detail.get("table").is_some_and(|table| table == "audit_blocks") {
        "block of calls"
    } else {
        "event"
    }
}

fn say(text: &str) {
    // Nobody reads it: the exit code says it all the same.
    let _ = writeln!(anstream::stderr(), "sekisho: {text}");
}
