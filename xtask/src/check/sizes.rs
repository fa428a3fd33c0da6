//! Files are small enough to read: at most 500 lines of production code each. Functions are clippy's business.

use super::Finding;
use crate::repository::File;

const LIMIT: usize = 500;

pub(super) fn findings(files: &[File]) -> Vec<Finding> {
    let long = files.iter().filter(|file| file.is_production_rust()).map(|file| (file, length(file)));
    long.filter(|(_, length)| *length > LIMIT)
        .map(|(file, length)| {
            Finding::new(&file.path, format!("has {length} lines of production code, more than {LIMIT}"))
        })
        .collect()
}

/// The median and the longest, for a person to see where it goes.
pub(super) fn summary(files: &[File]) -> String {
    let mut lengths: Vec<(usize, &str)> = files
        .iter()
        .filter(|file| file.is_production_rust())
        .map(|file| (length(file), file.path.as_str()))
        .collect();
    lengths.sort_unstable();
    let at = |percent: usize| {
        lengths.get(lengths.len().saturating_sub(1) * percent / 100).map_or(0, |file| file.0)
    };
    let longest =
        lengths.last().map_or_else(String::new, |(length, path)| format!(", longest {length} ({path})"));
    format!("{} files of production Rust: median {} lines, p90 {}{longest}", lengths.len(), at(50), at(90))
}

fn length(file: &File) -> usize {
    file.production_lines().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, lines: usize, tests: usize) -> File {
        let text = "x\n".repeat(lines) + "#[cfg(test)]\nmod tests {\n" + &"y\n".repeat(tests);
        File { path: path.to_owned(), text }
    }

    #[test]
    fn only_production_lines_count() {
        assert_eq!(findings(&[file("crates/a/src/b.rs", 500, 900)]), []);
        assert_eq!(findings(&[file("crates/a/src/b.rs", 501, 0)]).len(), 1);
    }

    #[test]
    fn a_test_module_in_another_file_hides_nothing() {
        let text = "#[cfg(test)]\nmod tests;\n".to_owned() + &"x\n".repeat(LIMIT);
        assert_eq!(findings(&[File { path: "crates/a/src/b.rs".to_owned(), text }]).len(), 1);
    }

    #[test]
    fn tests_may_be_as_long_as_they_need() {
        assert_eq!(
            findings(&[file("crates/a/src/b/tests.rs", 900, 0), file("tests/flows/token.rs", 900, 0)]),
            []
        );
    }

    #[test]
    fn the_summary_names_the_longest() {
        let summary = summary(&[file("crates/a/src/b.rs", 10, 0), file("crates/a/src/c.rs", 30, 0)]);
        assert!(summary.contains("longest 30 (crates/a/src/c.rs)"), "{summary}");
    }
}
