//! The table of `docs/performance.md`.

use crate::Plan;

/// Rows as they come.
#[derive(Debug)]
pub(crate) struct Table {
    text: String,
}

impl Table {
    /// An empty table that says how it was made.
    pub(crate) fn new(plan: &Plan) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let text = format!(
            "Made by `cargo xtask bench` on {cores} cores: medians of {} rounds of {} s that take turns, with the \
             least and the most in brackets. Load generator, MCP server, peers and Sekisho share the cores.\n\n\
             | work | measured | to reach |\n|---|---|---|\n",
            plan.rounds, plan.seconds
        );
        Self { text }
    }

    /// Adds a row, and shows it at once: a bench takes minutes.
    pub(crate) fn row(&mut self, work: &str, measured: &str, goal: &str) {
        anstream::eprintln!("{work}: {measured}");
        self.text.push_str(&format!("| {work} | {measured} | {goal} |\n"));
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        anstream::println!("{}", self.text);
    }
}
