//! The tree: where it is, which files belong to it, what is in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::run::output;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    // `CARGO_MANIFEST_DIR` is xtask's own folder; the root is one above.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// One file of the tree.
pub(crate) struct File {
    /// Its path from the root, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl File {
    /// Whether it is Rust that ships: not a test, not a bench, not a tool.
    pub(crate) fn is_production_rust(&self) -> bool {
        let tests = ["/tests/", "/benches/", "/fuzz/", "/examples/"];
        self.path.ends_with(".rs")
            && self.path.starts_with("crates/")
            && !self.path.ends_with("/tests.rs")
            && !tests.iter().any(|folder| self.path.contains(folder))
    }

    /// Its lines, numbered from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines before the test module that stands at the end of the file, if one does.
    pub(crate) fn production_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let opens = |pair: &[&str]| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        };
        let end = lines.windows(2).position(opens).unwrap_or(lines.len());
        self.lines().take(end)
    }
}

/// Every text file that is tracked, or would be by `git add .`.
pub(crate) fn files() -> Result<Vec<File>, Failure> {
    let root = root();
    let mut git = Command::new("git");
    git.current_dir(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = output(&mut git)?;
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // A file that is deleted but still tracked, or not text, has nothing to say here.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
