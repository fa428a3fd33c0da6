//! The decisions on which the sources disagree: each is pinned by tests, and the tests are there
//! (`docs/conformance/decisions.md`).

use std::collections::BTreeSet;

use super::{Finding, text_of};
use crate::Failure;
use crate::repository::File;

const DECISIONS: &str = "docs/conformance/decisions.md";
const LAST: usize = 12;

pub(super) fn findings(files: &[File]) -> Result<Vec<Finding>, Failure> {
    let text = text_of(files, DECISIONS)?;
    let tests = tests(files);
    let mut findings = Vec::new();
    for number in 1..=LAST {
        let id = format!("D-{number}");
        let mut rows = text.lines().filter(|line| line.starts_with(&format!("| {id} |")));
        let place = format!("{DECISIONS}: {id}");
        let (Some(row), None) = (rows.next(), rows.next()) else {
            findings.push(Finding::new(place, "needs one row"));
            continue;
        };
        let pinned = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        let named: Vec<&str> = pinned.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            findings.push(Finding::new(place.as_str(), "names no test"));
        }
        for name in named.iter().filter(|name| !tests.contains(**name)) {
            findings.push(Finding::new(place.as_str(), format!("names `{name}`, which is no test")));
        }
    }
    Ok(findings)
}

/// The names of all tests, by their attribute.
fn tests(files: &[File]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        let mut is_test = false;
        for line in file.text.lines().map(str::trim_start) {
            if line.starts_with("#[") {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            } else if let Some(name) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")
                && std::mem::take(&mut is_test)
            {
                names.extend(name.split(['(', '<']).next());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(change: impl Fn(usize, String) -> String) -> Vec<String> {
        let row = |number| change(number, format!("| D-{number} | q | a | `it_is_so` |\n"));
        let file = |path: &str, text: String| File { path: path.to_owned(), text };
        let test = "#[test]\nfn it_is_so() {}\nfn a_helper() {}\n".to_owned();
        let files = [file(DECISIONS, (1..=LAST).map(row).collect()), file("tests/x.rs", test)];
        findings(&files).unwrap().into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn each_decision_has_one_row_with_tests_that_are_there() {
        assert_eq!(found(|_, row| row), [""; 0]);
        let with =
            |new: &'static str| move |number, row: String| if number == 3 { new.to_owned() } else { row };
        assert_eq!(found(with("")), ["needs one row"]);
        assert_eq!(found(with("| D-3 | q | a | - |\n")), ["names no test"]);
        assert_eq!(found(with("| D-3 | q | a | `a_helper` |\n")), ["names `a_helper`, which is no test"]);
        assert_eq!(found(with("| D-3 | q | `it_is_so` | `gone` |\n")), ["names `gone`, which is no test"]);
    }
}
