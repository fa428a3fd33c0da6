//! The table of one part of `docs/performance.md`.

use crate::{Plan, pin};

/// Rows as they come.
#[derive(Debug)]
pub(crate) struct Table {
    text: String,
}

impl Table {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { text: "| what | measured | to reach |\n|---|---|---|\n".to_owned() }
    }

    /// Adds a row, and shows it at once: a bench takes minutes.
    pub(crate) fn row(&mut self, what: &str, measured: &str, goal: &str) {
        anstream::eprintln!("{what}: {measured}");
        self.text.push_str(&format!("| {what} | {measured} | {goal} |\n"));
    }

    /// Prints the table under the words that say how it was made.
    pub(crate) fn print(&self, part: &str, plan: &Plan, how: &str) {
        let (cores, rounds, seconds) = (pin::cores(), plan.rounds, plan.seconds);
        let pinned = if pin::possible() { "pinned" } else { "not pinned" };
        anstream::println!(
            "`cargo xtask bench {part}`: {cores} cores, {pinned}; {rounds} rounds, of {seconds} s where they have a \
             length. {how}\n\n{}",
            self.text
        );
    }
}
