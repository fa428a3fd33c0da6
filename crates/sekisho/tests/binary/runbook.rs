//! The commands of a runbook, run as they stand on the page.

use std::process::Output;

use crate::process::{Folder, sekisho};

/// The commands of `docs/runbooks/<name>.md` that begin with `sekisho`, in their order.
pub(crate) fn commands(name: &str) -> Vec<String> {
    let page = format!("{}/../../docs/runbooks/{name}.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(page).unwrap();
    let commands = text.lines().filter_map(|line| line.strip_prefix("    sekisho "));
    let commands: Vec<String> = commands.map(str::to_owned).collect();
    assert!(!commands.is_empty(), "the page has no command");
    commands
}

/// Runs one of them over another configuration than the page's. `put` replaces what the page has only as an example.
pub(crate) fn run(folder: &Folder, command: &str, put: &[(&str, &str)]) -> Output {
    let config = folder.config();
    let words = split(command).into_iter().map(|word| match word.as_str() {
        "/etc/sekisho/sekisho.toml" => config.clone(),
        _ => put.iter().find(|(example, _)| *example == word).map_or(word, |(_, real)| (*real).to_owned()),
    });
    let words: Vec<String> = words.collect();
    sekisho(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// As a shell would, as far as the pages go: spaces, and double quotes.
fn split(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in command.split('"').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
