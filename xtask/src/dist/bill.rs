//! What is linked into the binary: as a bill of materials (CycloneDX 1.6), and as the licences that must go with it.
//!
//! What is only needed to build or to test is not in the binary, and not in the bill.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Failure;
use crate::repository::root;
use crate::run::{cargo, metadata, output};

/// One crate in the binary.
struct Part {
    name: String,
    version: String,
    licence: String,
    repository: Option<String>,
    /// Of the archive at the registry; the rooms of Sekisho itself have none.
    checksum: Option<String>,
    folder: PathBuf,
    needs: BTreeSet<String>,
}

impl Part {
    fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// The bill, as JSON. `time` is that of the source, in RFC 3339.
pub(crate) fn materials(version: &str, time: &str) -> Result<String, Failure> {
    let parts = parts()?;
    let (own, others): (Vec<_>, Vec<_>) = parts.iter().partition(|part| part.name == "sekisho");
    let product = own.first().ok_or("the binary is not in its own bill")?;
    let mut named = component(product, "application");
    named["version"] = version.into();
    let bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": time, "lifecycles": [{"phase": "build"}], "component": named},
        "components": others.iter().map(|part| component(part, "library")).collect::<Vec<_>>(),
        "dependencies": parts
            .iter()
            .map(|part| json!({"ref": part.reference(), "dependsOn": part.needs}))
            .collect::<Vec<_>>(),
    });
    Ok(format!("{bill:#}\n"))
}

fn component(part: &Part, kind: &str) -> Value {
    let mut component =
        json!({"type": kind, "bom-ref": part.reference(), "name": part.name, "version": part.version});
    if !part.licence.is_empty() {
        component["licenses"] = json!([{"expression": part.licence}]);
    }
    // The rooms have names that strangers' crates have at the registry: only what came from there is named as of there.
    if let Some(checksum) = &part.checksum {
        component["purl"] = format!("pkg:cargo/{}@{}", part.name, part.version).into();
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(repository) = part.repository.as_ref().filter(|url| url.starts_with("https://")) {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

/// The licences of everything that others wrote, each text once.
pub(crate) fn licences() -> Result<String, Failure> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut list = String::new();
    for part in parts()?.iter().filter(|part| part.checksum.is_some()) {
        // Writing to a String cannot fail.
        let _ = writeln!(list, "{} {}: {}", part.name, part.version, part.licence);
        for text in licence_files(&part.folder, 2)? {
            texts.entry(text).or_default().push(part.reference());
        }
    }
    let mut page = format!("The binary of Sekisho contains software of others:\n\n{list}");
    for (text, of) in texts {
        let _ = write!(page, "\n{}\n{}\n\n{}\n", "-".repeat(80), of.join(", "), text.trim_end());
    }
    Ok(page)
}

/// Licences and notices in a crate, and in the C code that it brings, which lies up to two folders below.
fn licence_files(folder: &Path, below: u32) -> Result<Vec<String>, Failure> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let is_licence = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_uppercase();
        ["LICEN", "COPYING", "COPYRIGHT", "NOTICE"].iter().any(|begin| name.starts_with(begin))
    };
    let mut texts = Vec::new();
    for path in paths {
        if path.is_dir() && below > 0 {
            texts.extend(licence_files(&path, below - 1)?);
        } else if path.is_file() && is_licence(&path) {
            texts.extend(fs::read_to_string(&path));
        }
    }
    Ok(texts)
}

/// Names and versions of what is linked, without what only runs in the compiler.
fn linked() -> Result<BTreeSet<(String, String)>, Failure> {
    let words = ["tree", "--package", "sekisho", "--edges", "normal,no-proc-macro", "--prefix", "none"];
    let said = output(cargo(&words).args(["--locked", "--format", "{p}"]))?;
    let pairs = said.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.trim_start_matches('v').to_owned()))
    });
    Ok(pairs.collect())
}

fn parts() -> Result<Vec<Part>, Failure> {
    let linked = linked()?;
    let metadata = metadata()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let pair = |package: &Value| Some((text(&package["name"])?, text(&package["version"])?));
    let by_id: BTreeMap<&str, (String, String)> =
        packages.iter().filter_map(|package| Some((package["id"].as_str()?, pair(package)?))).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().ok_or("cargo metadata resolves nothing")?;
    let needs: BTreeMap<&str, BTreeSet<String>> =
        nodes.iter().filter_map(|node| Some((node["id"].as_str()?, needed(node, &by_id, &linked)))).collect();
    let checksums = checksums()?;
    let mut parts = Vec::new();
    for package in packages {
        let Some((name, version)) = pair(package).filter(|pair| linked.contains(pair)) else { continue };
        let manifest =
            PathBuf::from(package["manifest_path"].as_str().ok_or("a package without a manifest")?);
        parts.push(Part {
            // Some write `MIT/Apache-2.0`, which is no SPDX expression.
            licence: text(&package["license"]).unwrap_or_default().replace('/', " OR "),
            repository: text(&package["repository"]),
            checksum: checksums.get(&(name.clone(), version.clone())).cloned(),
            folder: manifest.parent().unwrap_or(Path::new(".")).to_owned(),
            needs: package["id"].as_str().and_then(|id| needs.get(id)).cloned().unwrap_or_default(),
            name,
            version,
        });
    }
    parts.sort_by_key(Part::reference);
    if parts.len() == linked.len() { Ok(parts) } else { Err("not everything that is linked is known".into()) }
}

/// What of a node's dependencies is in the binary.
fn needed(
    node: &Value,
    by_id: &BTreeMap<&str, (String, String)>,
    linked: &BTreeSet<(String, String)>,
) -> BTreeSet<String> {
    let all = node["deps"].as_array().into_iter().flatten();
    let normal = all.filter(|dep| {
        dep["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
    });
    let pairs = normal.filter_map(|dep| by_id.get(dep["pkg"].as_str()?));
    pairs.filter(|pair| linked.contains(pair)).map(|(name, version)| format!("{name}@{version}")).collect()
}

/// The checksums in `Cargo.lock`, by name and version.
fn checksums() -> Result<BTreeMap<(String, String), String>, Failure> {
    let lock: toml::Table = fs::read_to_string(root().join("Cargo.lock"))?.parse()?;
    let packages =
        lock.get("package").and_then(toml::Value::as_array).ok_or("Cargo.lock lists no package")?;
    let found = packages.iter().filter_map(|package| {
        let text = |key: &str| Some(package.get(key)?.as_str()?.to_owned());
        Some(((text("name")?, text("version")?), text("checksum")?))
    });
    Ok(found.collect())
}
