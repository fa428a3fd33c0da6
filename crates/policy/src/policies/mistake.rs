//! What is wrong with a policy: file, line and words.

use std::fmt;

use miette::Diagnostic;

/// One mistake in the operator's files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The name of the file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to do about it.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.problem)
    }
}

impl Mistake {
    pub(super) fn new(file: &str, line: usize, problem: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, problem: problem.into() }
    }

    /// What the library says, at the place it says; `line` if it names none.
    pub(super) fn said(file: &str, text: &str, line: usize, said: &dyn Diagnostic) -> Self {
        let place = said.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
        let mut problem = said.to_string();
        if let Some(help) = said.help() {
            problem = format!("{problem}; {help}");
        }
        Self::new(file, place.map_or(line, |offset| line_of(text, offset)), problem)
    }
}

/// In which line, from 1, the byte is.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1)
}
