//! The documentation can be found: every page under `docs/` is linked from `docs/README.md`, and every link between files of the
//! tree leads to one.

use std::collections::BTreeSet;

use super::Finding;
use crate::repository::File;

/// The page that leads to all others.
const INDEX: &str = "docs/README.md";
/// A folder of which the index names the whole.
const DECISIONS: &str = "docs/decisions/";

pub(super) fn findings(files: &[File]) -> Vec<Finding> {
    let pages = || files.iter().filter(|file| file.path.ends_with(".md"));
    let linked: BTreeSet<String> = pages()
        .filter(|file| file.path == INDEX)
        .flat_map(|file| links(file).map(|(_, path)| path))
        .collect();
    let unfound = pages()
        .map(|file| file.path.as_str())
        .filter(|path| path.starts_with("docs/") && !path.starts_with(DECISIONS) && *path != INDEX)
        .filter(|path| !linked.contains(*path))
        .map(|path| Finding::new(path, format!("no line of {INDEX} leads to it")));
    let is_there = |path: &str| {
        path.is_empty()
            || files.iter().any(|file| {
                file.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    };
    let dead = pages().flat_map(|file| {
        links(file)
            .filter(|(_, path)| !is_there(path))
            .map(|(line, path)| Finding::at(file, line, format!("links to `{path}`, which is not there")))
    });
    unfound.chain(dead).collect()
}

/// The files of the tree that a page links to, from the root, each with its line.
fn links(file: &File) -> impl Iterator<Item = (usize, String)> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = Vec::new();
    for (number, line) in file.lines() {
        for rest in line.split("](").skip(1) {
            let Some((target, _)) = rest.split_once(')') else { continue };
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains(':') {
                found.push((number, from_root(folder, path)));
            }
        }
    }
    found.into_iter()
}

/// A relative path, from the root.
fn from_root(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pages: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        let files: Vec<File> = pages.iter().map(file).collect();
        findings(&files).into_iter().map(|finding| format!("{}: {}", finding.place, finding.what)).collect()
    }

    #[test]
    fn a_page_that_nothing_leads_to_is_told() {
        let index = (INDEX, "[a](a.md#part), [b](runbooks/b.md)");
        assert_eq!(found(&[index, ("docs/a.md", ""), ("docs/runbooks/b.md", "")]), [""; 0]);
        let told = found(&[(INDEX, ""), ("docs/a.md", ""), ("docs/decisions/0001-x.md", "")]);
        assert_eq!(told, ["docs/a.md: no line of docs/README.md leads to it"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_told_with_its_line() {
        let pages = [
            (INDEX, "[a](runbooks/a.md) [the folder](runbooks) [away](https://example.com/x.md) [here](#x)"),
            ("docs/runbooks/a.md", "\n[up](../../README.md) [back](../README.md)"),
        ];
        assert_eq!(found(&pages), ["docs/runbooks/a.md:2: links to `README.md`, which is not there"]);
        assert_eq!(found(&[pages[0], pages[1], ("README.md", "")]), [""; 0]);
    }
}
