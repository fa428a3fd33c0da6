//! What `sekisho docs` gives: pages that `man` renders without a complaint, completions that bash loads, a schema.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::process::{sekisho, text};

fn help(words: &[&str]) -> String {
    let mut words = words.to_vec();
    words.push("--help");
    let output = sekisho(&words);
    assert!(output.status.success(), "{words:?}");
    text(&output.stdout)
}

/// The commands below a command, as `--help` lists them.
fn commands(help: &str) -> Vec<String> {
    let list =
        help.split_once("Commands:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap_or(rest));
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Every command that a person can give, with the words that lead to it.
fn every_command() -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut next = 0;
    while let Some(words) = found.get(next).cloned() {
        let said = help(&words.iter().map(String::as_str).collect::<Vec<_>>());
        for name in commands(&said) {
            found.push([words.clone(), vec![name]].concat());
        }
        next += 1;
    }
    found
}

fn options(help: &str) -> BTreeSet<String> {
    let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

/// A page as a reader sees it; `None` where there is no `man`, which is said.
#[expect(clippy::print_stderr, reason = "what is not tested is said aloud")]
fn rendered(page: &Path) -> Option<Output> {
    let mut man = Command::new("man");
    man.args(["--warnings", "--encoding=UTF-8", "--pager=cat", "--local-file"]).arg(page);
    man.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "100").env("MAN_KEEP_FORMATTING", "");
    match man.output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "the manual cannot be rendered: man: {error}");
            eprintln!("NOT RENDERED: man: {error}; `cargo xtask test --install` installs it");
            None
        }
    }
}

/// Without the strokes and bars that make letters bold.
fn plain(rendered: &str) -> String {
    let mut text = String::new();
    for letter in rendered.chars() {
        if letter == '\u{8}' {
            let _ = text.pop();
        } else {
            text.push(letter);
        }
    }
    text
}

#[test]
fn every_command_has_a_page_that_man_renders_with_each_of_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert!(sekisho(&["docs", "man", pages.to_str().unwrap()]).status.success());
    let mut expected: BTreeSet<PathBuf> = BTreeSet::new();
    for words in every_command() {
        let page = pages
            .join(format!("sekisho{}.1", words.iter().map(|word| format!("-{word}")).collect::<String>()));
        let Some(output) = rendered(&page) else { return };
        assert_eq!(text(&output.stderr), "", "{}", page.display());
        let shown = plain(&text(&output.stdout));
        assert!(shown.contains("NAME") && shown.contains("SYNOPSIS"), "{shown}");
        let said = help(&words.iter().map(String::as_str).collect::<Vec<_>>());
        for word in options(&said).into_iter().chain(commands(&said)) {
            assert!(shown.contains(&word), "{} lacks {word}:\n{shown}", page.display());
        }
        expected.insert(page);
    }
    assert!(expected.len() > 8, "{expected:?}");
    let written =
        std::fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().path()).collect::<BTreeSet<_>>();
    assert_eq!(written, expected);
}

#[test]
fn bash_loads_the_completions_and_completes_commands_and_options() {
    let script = sekisho(&["docs", "completions", "bash"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sekisho.bash");
    std::fs::write(&file, script.stdout).unwrap();
    let complete = |line: &str| {
        let program = r#"
            source "$0" || exit 1
            COMP_WORDS=($1) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _sekisho sekisho "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "${COMPREPLY[@]}""#;
        let output =
            Command::new("bash").args(["--norc", "-c", program]).arg(&file).arg(line).output().unwrap();
        assert_eq!(text(&output.stderr), "", "{line}");
        text(&output.stdout)
    };
    assert_eq!(complete("sekisho ser").trim(), "serve");
    assert!(complete("sekisho serve --con").contains("--config"));
    assert!(complete("sekisho keys ro").contains("rotate"));
}

#[test]
fn zsh_and_fish_are_given_every_command() {
    for shell in ["zsh", "fish"] {
        let script = text(&sekisho(&["docs", "completions", shell]).stdout);
        for name in commands(&help(&[])) {
            assert!(script.contains(&name), "{shell} lacks {name}");
        }
    }
    assert_eq!(sekisho(&["docs", "completions", "cmd"]).status.code(), Some(2));
}

#[test]
fn a_folder_that_cannot_be_written_is_said() {
    let output = sekisho(&["docs", "man", "/dev/null/man1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write the manual into `/dev/null/man1`"));
}
