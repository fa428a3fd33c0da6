//! Who may import whom: the table of `deny.toml` against `cargo metadata` (house rule 1.3).
//!
//! The same table is read by `cargo deny check bans`; this holds where cargo-deny is not installed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use toml::Table;

use super::{Finding, text_of};
use crate::Failure;
use crate::repository::File;
use crate::run::metadata;

/// A crate that only some may import; nobody may when the list is empty.
struct Wall {
    name: String,
    wrappers: BTreeSet<String>,
}

pub(super) fn findings(files: &[File]) -> Result<Vec<Finding>, Failure> {
    let table: Table = text_of(files, "deny.toml")?.parse()?;
    Ok(breaches(&walls(&table)?, &importers(&metadata()?)))
}

fn walls(table: &Table) -> Result<Vec<Wall>, Failure> {
    let deny = table.get("bans").and_then(|bans| bans.get("deny")).and_then(|deny| deny.as_array());
    let mut walls = Vec::new();
    for entry in deny.ok_or("deny.toml has no `[bans] deny`")? {
        let name = entry
            .get("name")
            .and_then(|name| name.as_str())
            .ok_or("an entry of `[bans] deny` has no name")?;
        let wrappers = entry.get("wrappers").and_then(|list| list.as_array());
        let wrappers =
            wrappers.into_iter().flatten().filter_map(|one| one.as_str()).map(str::to_owned).collect();
        walls.push(Wall { name: name.to_owned(), wrappers });
    }
    Ok(walls)
}

/// For every crate, the crates that import it directly in what ships. What only the tests of a room import, and what that
/// brings with it, is free (`exclude-dev` in deny.toml).
fn importers(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let names: BTreeMap<&str, &str> = list(&metadata["packages"])
        .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
        .collect();
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"]["nodes"]).filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let mut importers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<&str> = list(&metadata["workspace_members"]).filter_map(Value::as_str).collect();
    while let Some(id) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        let (Some(importer), Some(node)) = (names.get(id), nodes.get(id)) else { continue };
        for dependency in list(&node["deps"]).filter(|dependency| ships(dependency)) {
            let Some(id) = dependency["pkg"].as_str() else { continue };
            waiting.push(id);
            if let Some(name) = names.get(id) {
                importers.entry((*name).to_owned()).or_default().insert((*importer).to_owned());
            }
        }
    }
    importers
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn ships(dependency: &Value) -> bool {
    list(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev")
}

fn breaches(walls: &[Wall], importers: &BTreeMap<String, BTreeSet<String>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for wall in walls {
        for importer in importers.get(&wall.name).into_iter().flatten() {
            if !wall.wrappers.contains(importer) {
                let what = format!("imports `{}`, which the walls in deny.toml do not let it", wall.name);
                findings.push(Finding::new(importer.clone(), what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(deny: &str) -> Vec<Finding> {
        let normal = serde_json::json!([{ "kind": null }]);
        let dev = serde_json::json!([{ "kind": "dev" }]);
        let both = serde_json::json!([{ "kind": "dev" }, { "kind": "build" }]);
        let metadata = serde_json::json!({
            "workspace_members": ["1", "2"],
            "packages": [
                { "id": "1", "name": "web" }, { "id": "2", "name": "store" }, { "id": "3", "name": "rusqlite" },
                { "id": "4", "name": "insta" }, { "id": "5", "name": "console" },
            ],
            "resolve": { "nodes": [
                { "id": "1", "deps": [{ "pkg": "2", "dep_kinds": normal }, { "pkg": "4", "dep_kinds": dev }] },
                { "id": "2", "deps": [{ "pkg": "3", "dep_kinds": both }] },
                { "id": "3", "deps": [] },
                { "id": "4", "deps": [{ "pkg": "5", "dep_kinds": normal }] },
                { "id": "5", "deps": [] },
            ] },
        });
        let table: Table = deny.parse().unwrap();
        breaches(&walls(&table).unwrap(), &importers(&metadata))
    }

    #[test]
    fn a_crate_may_be_imported_by_its_wrappers_only() {
        assert_eq!(found(r#"bans.deny = [{ name = "rusqlite", wrappers = ["store"] }]"#), []);
        let breach = found(r#"bans.deny = [{ name = "rusqlite", wrappers = ["web"] }]"#);
        assert_eq!(breach.len(), 1);
        assert_eq!(breach[0].place, "store");
    }

    #[test]
    fn a_crate_without_wrappers_may_be_imported_by_nobody() {
        assert_eq!(found(r#"bans.deny = [{ name = "store" }]"#).len(), 1);
    }

    #[test]
    fn what_only_the_tests_of_a_crate_import_is_free() {
        assert_eq!(found(r#"bans.deny = [{ name = "insta" }, { name = "console" }]"#), []);
    }

    #[test]
    fn a_table_without_walls_is_refused() {
        assert!(walls(&Table::new()).is_err());
    }
}
