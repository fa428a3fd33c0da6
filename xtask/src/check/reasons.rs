//! Every reason has words: what `sekisho sign-in` says of it stands in one line of `crates/sekisho/src/words` (docs/sign-in.md).
//!
//! Reasons are the texts in the bodies of functions called `reason`, those that the doors give themselves, and those that are
//! written straight into the audit. They are read from the source, so that an endpoint which is added tomorrow is looked at too.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use crate::repository::File;

const WORDS: &str = "crates/sekisho/src/words/";
/// Reasons that become another one before anybody is told: no `reason()` of these is shown.
const INNER: [&str; 1] = ["crates/upstream/src/mcp_server/"];
/// A door that refuses by itself names its reason as the last argument.
const AT_THE_DOOR: &str = "at_the_door(";
/// What stands in a line beside a reason that goes into the audit as it is: an event, a way in which a call ended, what becomes
/// of a connection, what an identity provider said.
const IN_THE_AUDIT: [&str; 7] = [
    "reason = Some(\"",
    "reason: Some(\"",
    "reason.or(",
    "Ending::",
    "mark_dead(",
    "AuditKind::Connection",
    "let what = (source.connector",
];
/// Of a connection every one begins so, wherever it stands in this room.
const OF_A_CONNECTION: (&str, &str) = ("crates/resource-server/src/vault/", "connection_");

pub(super) fn findings(files: &[File]) -> Vec<Finding> {
    let (mut given, mut told) = (BTreeMap::new(), BTreeMap::new());
    let mut texts = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_production_rust()) {
        if file.path.starts_with(WORDS) {
            for (number, line) in file.production_lines() {
                let reason = line.trim_start().strip_prefix("says(\"").or_else(|| first_argument(line));
                if let Some(reason) = reason.and_then(|rest| rest.split('"').next()) {
                    told.insert(reason.to_owned(), (file, number));
                }
            }
            continue;
        }
        for (number, line) in file.production_lines() {
            texts.extend(literals(line).map(str::to_owned));
            if let Some((_, arguments)) = line.split_once(AT_THE_DOOR)
                && let Some(reason) = literals(arguments).last()
            {
                given.insert(reason.to_owned(), (file, number));
            }
            given.extend(in_the_audit(file, line).map(|reason| (reason, (file, number))));
        }
        if !INNER.iter().any(|inner| file.path.starts_with(inner)) {
            given.extend(reasons(file).map(|(reason, number)| (reason, (file, number))));
        }
    }
    let without =
        given.iter().filter(|(reason, _)| !told.contains_key(*reason)).map(|(reason, (file, number))| {
            Finding::at(
                file,
                *number,
                format!("`{reason}` has no words: add a line to {WORDS} and run `cargo xtask generate`"),
            )
        });
    let unused =
        told.iter().filter(|(reason, _)| !texts.contains(*reason)).map(|(reason, (file, number))| {
            Finding::at(file, *number, format!("nobody gives the reason `{reason}`"))
        });
    without.chain(unused).collect()
}

/// A line of a call that was broken after its parenthesis: `says(` stands alone above.
fn first_argument(line: &str) -> Option<&str> {
    let text = line.trim().strip_prefix('"')?;
    let reason = text.strip_suffix("\",")?;
    is_reason(reason).then_some(reason)
}

fn is_reason(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The texts of a line that may be reasons.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2).filter(|text| is_reason(text))
}

/// The reasons of a line that go into the audit as they are.
fn in_the_audit(file: &File, line: &str) -> impl Iterator<Item = String> {
    let is_told = IN_THE_AUDIT.iter().any(|beside| line.contains(beside));
    let (room, begins) = OF_A_CONNECTION;
    let in_room = file.path.starts_with(room);
    let wanted = move |text: &&str| is_told || (in_room && text.starts_with(begins));
    literals(line).filter(wanted).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// The reasons of all functions called `reason`, each with its line. A function ends with the brace that stands below its own
/// beginning.
fn reasons(file: &File) -> impl Iterator<Item = (String, usize)> {
    let mut found = Vec::new();
    let mut inside: Option<String> = None;
    for (number, line) in file.production_lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        match &inside {
            None if line.contains("fn reason(") && line.trim_end().ends_with('{') => {
                inside = Some(format!("{indent}}}"));
            }
            None => {}
            Some(end) if line == end => inside = None,
            Some(_) => found.extend(literals(line).map(|reason| (reason.to_owned(), number))),
        }
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str, words: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [file("crates/web/src/a.rs", source), file("crates/sekisho/src/words/a.rs", words)];
        findings(&files).into_iter().map(|finding| finding.what).collect()
    }

    const SOURCE: &str = "impl A {\n    const fn reason(&self) -> &str {\n        match self {\n            Self::B => \"bad_b\",\n        }\n    }\n}\n";

    #[test]
    fn a_reason_without_words_is_refused() {
        assert_eq!(found(SOURCE, "").len(), 1);
        assert_eq!(found(SOURCE, "says(\"bad_b\", \"a\", \"b\", \"c\"),").len(), 0);
        assert_eq!(found(SOURCE, "    says(\n        \"bad_b\",\n        \"A.\",\n").len(), 0);
    }

    #[test]
    fn words_without_a_reason_are_refused() {
        assert_eq!(found("", "says(\"bad_b\", \"a\", \"b\", \"c\"),").len(), 1);
    }

    #[test]
    fn a_reason_of_a_door_is_one() {
        assert_eq!(found("Failure::at_the_door(NAME, \"form_odd\").log(visit);", "").len(), 1);
        let both =
            found("Failure::at_the_door(\"none\", \"form_odd\").log(visit);", "says(\"form_odd\", \"A.\"),");
        assert_eq!(both, [""; 0], "the door is none");
    }

    #[test]
    fn a_reason_that_goes_straight_into_the_audit_is_one() {
        for line in [
            "event.reason = Some(\"bad_b\");",
            "let event = AuditEvent { reason: Some(\"bad_b\"), ..event };",
            "self.finish(Ending::Cut, Some(\"bad_b\"));",
            "Self::Stale => (Ending::Unavailable, \"bad_b\"),",
            "let reason = reason.or(suspicious.then_some(\"bad_b\"));",
            "return self.mark_dead(&record, \"bad_b\").await;",
        ] {
            assert_eq!(found(line, "").len(), 1, "{line}");
            assert_eq!(found(line, "says(\"bad_b\", \"a\", \"b\", \"c\"),").len(), 0, "{line}");
        }
    }

    #[test]
    fn a_text_outside_of_a_reason_needs_no_words() {
        assert_eq!(found("fn name() -> &str {\n    \"bad_b\"\n}\n", "").len(), 0);
    }
}
