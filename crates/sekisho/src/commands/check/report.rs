//! What `sekisho check` found, for people and for programs.

use std::path::Path;

use serde_json::json;

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It would not work.
    Bad,
    /// It would work.
    Good,
    /// To know.
    Note,
}

/// One finding.
#[derive(Clone, Debug)]
struct Finding {
    what: String,
    state: State,
    words: String,
}

/// Findings, in the order they were made.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn good(&mut self, what: &str, words: impl Into<String>) {
        self.add(what, State::Good, words);
    }

    pub(super) fn bad(&mut self, what: &str, words: impl Into<String>) {
        self.add(what, State::Bad, words);
    }

    pub(super) fn note(&mut self, what: &str, words: impl Into<String>) {
        self.add(what, State::Note, words);
    }

    pub(super) fn add(&mut self, what: &str, state: State, words: impl Into<String>) {
        self.0.push(Finding { what: what.to_owned(), state, words: words.into() });
    }

    pub(super) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many things would not work.
    pub(super) fn bad_ones(&self) -> usize {
        self.0.iter().filter(|finding| finding.state == State::Bad).count()
    }

    /// For people.
    pub(super) fn text(&self, file: &Path) -> String {
        let lines: Vec<String> = self.0.iter().map(Finding::line).collect();
        let ending = match self.bad_ones() {
            0 => "It would work.".to_owned(),
            1 => "1 thing would not work.".to_owned(),
            bad => format!("{bad} things would not work."),
        };
        format!("{}\n{}\n\n{ending}\n", file.display(), lines.join("\n"))
    }

    /// For programs.
    pub(super) fn json(&self, file: &Path) -> String {
        let findings: Vec<_> = self
            .0
            .iter()
            .map(|finding| json!({ "what": finding.what, "state": finding.word(), "finding": finding.words }))
            .collect();
        let whole = json!({
            "file": file.display().to_string(),
            "would_work": self.bad_ones() == 0,
            "findings": findings,
        });
        format!("{whole:#}\n")
    }
}

impl Finding {
    const fn word(&self) -> &'static str {
        match self.state {
            State::Bad => "bad",
            State::Good => "ok",
            State::Note => "note",
        }
    }

    fn line(&self) -> String {
        let word = match self.state {
            State::Bad => "BAD",
            State::Good | State::Note => self.word(),
        };
        format!("  {word:<5} {}: {}", self.what, self.words)
    }
}
