//! What must not stand in a file: silent exceptions, traces of one machine, a tool outside its room.

use super::Finding;
use crate::repository::File;

/// Attributes that silence a law. `#[expect(…, reason = "…")]` says why and ends when it is no longer needed.
const SILENT: [(&str, &str); 3] = [
    ("#[ignore", "a test that is not run proves nothing: mend it or delete it"),
    ("#[allow", "use `#[expect(.., reason = \"..\")]`"),
    ("#![allow", "use `#![expect(.., reason = \"..\")]`"),
];

/// Traces of one machine: its folders, and the hosts that its package clients talk to. Cut in two, so that this file has none.
const TRACES: [(&str, &str); 10] = [
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/tmp/sek", "isho/"),
    ("registry.npm", "js.org"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("deb.debian", ".org"),
];

/// A tool that only some rooms may hold, where the dependency alone does not tell (house rule 1.3).
struct Tool {
    text: &'static str,
    rooms: &'static [&'static str],
    why: &'static str,
}

const TOOLS: [Tool; 9] = [
    Tool {
        text: "hyper_util::client",
        // The guard runs in other people's processes, without the house.
        rooms: &["upstream", "guard/src/http_client.rs"],
        why: "connections outward are opened by `upstream` only",
    },
    Tool {
        text: "hyper::client",
        rooms: &["upstream"],
        why: "connections outward are opened by `upstream` only",
    },
    Tool {
        text: "TcpStream::connect",
        rooms: &["upstream"],
        why: "connections outward are opened by `upstream` only",
    },
    Tool {
        text: "process::Command",
        rooms: &["upstream", "sekisho"],
        why: "programs are started by `upstream`, and by `sekisho` for secrets",
    },
    Tool { text: "rmcp::", rooms: &["sekisho/src/demo"], why: "the MCP SDK serves the examples only" },
    Tool { text: "INSERT INTO ", rooms: &["store"], why: "SQL is the business of `store`" },
    Tool { text: "DELETE FROM ", rooms: &["store"], why: "SQL is the business of `store`" },
    Tool {
        text: "aws_lc_rs::rand",
        // ECDSA takes its own randomness: the one exception in `protocol`.
        rooms: &["protocol/src/jose/signing_key.rs", "sekisho/src/world.rs"],
        why: "chance is asked for; `world.rs` alone takes it from the system",
    },
    Tool { text: "std::env::", rooms: &["sekisho"], why: "the environment is read in `sekisho`" },
];

/// Rooms that are pure: no `async`, so no I/O by accident.
const PURE: [&str; 2] = ["protocol", "policy"];

pub(super) fn findings(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        if file.path.ends_with(".rs") {
            silent(file, &mut findings);
        }
        // Cargo writes the address of its index itself, and it is the same for everybody.
        if file.path != "Cargo.lock" {
            traces(file, &mut findings);
        }
        // `testkit` is a house for tests: it may hold whatever a test needs.
        if file.is_production_rust() && !file.path.starts_with("crates/testkit/") {
            misplaced(file, &mut findings);
        }
    }
    findings
}

fn silent(file: &File, findings: &mut Vec<Finding>) {
    for (number, line) in file.lines() {
        for (attribute, instead) in SILENT {
            if line.trim_start().starts_with(attribute) {
                findings.push(Finding::at(file, number, format!("`{attribute}` is refused: {instead}")));
            }
        }
    }
}

fn traces(file: &File, findings: &mut Vec<Finding>) {
    for (number, line) in file.lines() {
        for (first, second) in TRACES {
            let trace = format!("{first}{second}");
            if contains_apart(line, &trace) {
                findings.push(Finding::at(file, number, format!("`{trace}` belongs to one machine")));
            }
        }
    }
}

/// Whether `trace` stands in the line as the beginning of a path or the end of a host, not inside a longer word.
fn contains_apart(line: &str, trace: &str) -> bool {
    line.match_indices(trace).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !trace.starts_with('/')
            || !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | ')'))
    })
}

fn misplaced(file: &File, findings: &mut Vec<Finding>) {
    let room = file.path.trim_start_matches("crates/");
    let holds =
        |place: &&str| room.strip_prefix(*place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let code = |line: &str| !line.trim_start().starts_with("//");
    for (number, line) in file.production_lines().filter(|(_, line)| code(line)) {
        for tool in TOOLS.iter().filter(|tool| !tool.rooms.iter().any(&holds)) {
            if line.contains(tool.text) {
                findings.push(Finding::at(
                    file,
                    number,
                    format!("`{}` is out of its room: {}", tool.text.trim_end(), tool.why),
                ));
            }
        }
        if PURE.iter().any(&holds) && (line.contains("async ") || line.contains(".await")) {
            findings.push(Finding::at(file, number, "this room is pure: no `async`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        findings(&[file]).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn silent_exceptions_are_refused_everywhere() {
        for (attribute, _) in SILENT {
            assert_eq!(found("tests/a.rs", &format!("    {attribute}]")).len(), 1, "{attribute}");
        }
        assert_eq!(found("tests/a.rs", "#[expect(clippy::panic, reason = \"a\")]"), [""; 0]);
    }

    #[test]
    fn paths_of_one_machine_are_refused() {
        for (first, second) in TRACES {
            assert_eq!(found("README.md", &format!("see {first}{second}x")).len(), 1, "{first}{second}");
        }
        assert_eq!(found("README.md", &format!("net{}{}x", "/wo", "rk/")), [""; 0]);
    }

    #[test]
    fn a_tool_stays_in_its_room() {
        let line = "use hyper_util::client::legacy::Client;";
        assert_eq!(found("crates/upstream/src/a.rs", line), [""; 0]);
        assert_eq!(found("crates/web/src/a.rs", line).len(), 1);
        assert_eq!(found("crates/web/tests/a.rs", line), [""; 0]);
        assert_eq!(found("crates/sekisho/src/demo/notes.rs", "use rmcp::tool;"), [""; 0]);
        assert_eq!(found("crates/sekisho/src/main.rs", "use rmcp::tool;").len(), 1);
    }

    #[test]
    fn the_pure_rooms_have_no_async() {
        assert_eq!(found("crates/policy/src/a.rs", "pub async fn decide() {}").len(), 1);
        assert_eq!(found("crates/policy/src/a.rs", "/// not async here"), [""; 0]);
    }
}
