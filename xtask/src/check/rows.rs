//! The attack catalogue: every row has a state, and the state is true (`tests/attacks/rows.toml`).

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::{Finding, text_of};
use crate::Failure;
use crate::repository::File;

const ROWS: &str = "tests/attacks/rows.toml";

/// Where a row stands.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Later,
    Planned,
    Tested,
}

pub(super) fn findings(files: &[File]) -> Result<Vec<Finding>, Failure> {
    let table: Table = text_of(files, ROWS)?.parse()?;
    Ok(judge(&table, &tests(files)))
}

/// How many rows are tested and how many wait.
pub(super) fn summary(files: &[File]) -> Result<String, Failure> {
    let table: Table = text_of(files, ROWS)?.parse()?;
    let count = |wanted: State| table.values().filter(|row| state(row).as_ref() == Ok(&wanted)).count();
    let (tested, later) = (count(State::Tested), count(State::Later));
    let tests: usize = tests(files).values().map(|places| places.len()).sum();
    Ok(format!("{} attack rows: {tested} tested by {tests} tests, {later} later", table.len()))
}

fn state(row: &Value) -> Result<State, String> {
    let text = |key: &str| row.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("state"), text("why")) {
        (Some("tested"), None) => Ok(State::Tested),
        (Some("planned"), None) => Ok(State::Planned),
        (Some("later"), Some(_)) => Ok(State::Later),
        (Some("later"), None) => Err("is for later without a `why`".to_owned()),
        (Some("tested" | "planned"), Some(_)) => Err("needs no `why`".to_owned()),
        (other, _) => Err(format!("has the state {other:?}; it is `tested` or `later`")),
    }
}

fn judge(table: &Table, tests: &BTreeMap<String, BTreeSet<String>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (id, row) in table {
        let what = match (state(row), tests.contains_key(id)) {
            (Ok(State::Tested), true) | (Ok(State::Later), false) => continue,
            (Ok(State::Tested), false) => format!("is `tested`, but no test is named `{}_…`", snake(id)),
            (Ok(State::Later), true) => "has a test, so it is not for later".to_owned(),
            (Ok(State::Planned), _) => "is still planned".to_owned(),
            (Err(complaint), _) => complaint,
        };
        findings.push(Finding::new(format!("{ROWS}: {id}"), what));
    }
    for (id, places) in tests.iter().filter(|(id, _)| !table.contains_key(*id)) {
        let place = places.iter().next().cloned().unwrap_or_default();
        findings.push(Finding::new(place, format!("is a test of the row {id}, which {ROWS} does not list")));
    }
    findings
}

fn snake(id: &str) -> String {
    id.to_lowercase().replace('-', "_")
}

/// The tests of each row: functions under a test attribute whose names carry row ids.
fn tests(files: &[File]) -> BTreeMap<String, BTreeSet<String>> {
    let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs") && !file.path.starts_with("xtask/")) {
        let mut is_test = false;
        for (_, line) in file.lines().map(|(number, line)| (number, line.trim_start())) {
            if let Some(name) = function_name(line) {
                if std::mem::take(&mut is_test) {
                    for id in ids_in(name) {
                        tests.entry(id).or_default().insert(format!("{}: {name}", file.path));
                    }
                }
            } else if line.starts_with("#[") {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            }
        }
    }
    tests
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

/// The row ids in a test's name: `az_03_a_sentence` and `az_03_az_04_a_sentence`.
fn ids_in(name: &str) -> Vec<String> {
    const SECTIONS: [&str; 17] =
        ["ad", "az", "br", "cb", "cm", "cs", "ds", "f", "in", "ja", "px", "rg", "rv", "se", "sh", "st", "tk"];
    let words: Vec<&str> = name.split('_').collect();
    let is_number = |word: &str| word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_digit());
    let pairs = words.windows(2).filter_map(|pair| match pair {
        [section, number] if is_number(number) && SECTIONS.contains(section) => {
            Some(format!("{}-{number}", section.to_uppercase()))
        }
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rows: &str, source: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [file(ROWS, rows), file("tests/attacks/authorize.rs", source)];
        findings(&files).unwrap().into_iter().map(|finding| finding.what).collect()
    }

    const TEST: &str = "#[tokio::test]\nasync fn az_01_an_unknown_client_gets_a_page() {}";

    #[test]
    fn a_tested_row_needs_its_test() {
        assert_eq!(found(r#"AZ-01 = { state = "tested" }"#, TEST), [""; 0]);
        assert_eq!(found(r#"AZ-01 = { state = "tested" }"#, "fn az_01_a_helper() {}").len(), 1);
    }

    #[test]
    fn a_row_for_later_says_why_and_has_no_test() {
        assert_eq!(found(r#"AZ-01 = { state = "later", why = "x" }"#, ""), [""; 0]);
        assert_eq!(found(r#"AZ-01 = { state = "later" }"#, "").len(), 1);
        assert_eq!(found(r#"AZ-01 = { state = "later", why = "x" }"#, TEST).len(), 1);
    }

    #[test]
    fn planned_and_unknown_states_are_refused() {
        assert_eq!(found(r#"AZ-01 = { state = "planned" }"#, TEST).len(), 1);
        assert_eq!(found(r#"AZ-01 = { state = "done" }"#, TEST).len(), 1);
    }

    #[test]
    fn a_test_of_a_row_that_is_not_listed_is_refused() {
        assert_eq!(found("", TEST).len(), 1);
    }

    #[test]
    fn a_name_may_carry_several_rows() {
        assert_eq!(ids_in("tk_25_tk_27_a_used_token_ends_the_family"), ["TK-25", "TK-27"]);
        assert_eq!(ids_in("f_03_two_at_once"), ["F-03"]);
        assert_eq!(ids_in("a_code_lives_60_seconds"), [""; 0]);
    }
}
