//! What each reason and each note of a sign-in means: the rule, the section of the standard, the remedy (product.md, P-19).
//!
//! One line for every `reason()` of every error enum, in the file of the endpoint that gives it. `cargo xtask check` refuses a
//! reason without words and words without a reason. Must never hold anything but fixed text.

mod assertions;
mod audit;
mod authorize;
mod call;
mod connections;
mod login;
mod machines;
mod notes;
mod proofs;
mod signals;
mod token;
pub(crate) mod tools;
mod workloads;

use std::fmt::Write as _;

use store::SignInStep;

/// What is said of one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// As the endpoint's `reason()` writes it.
    pub(crate) reason: &'static str,
    /// Which rule said no; of a note, what was noticed.
    pub(crate) rule: &'static str,
    /// Where the rule stands.
    pub(crate) standard: &'static str,
    /// What to do.
    pub(crate) remedy: &'static str,
}

/// The remedy of what needs none.
pub(crate) const NOTHING: &str = "Nothing to do.";

const fn says(
    reason: &'static str,
    rule: &'static str,
    standard: &'static str,
    remedy: &'static str,
) -> Words {
    Words { reason, rule, standard, remedy }
}

/// The lists, each with its heading in the documentation.
const LISTS: [(&str, &[Words]); 12] = [
    ("The authorization endpoint", authorize::WORDS),
    ("Signing in and consent", login::WORDS),
    ("Registration, and the token endpoint", token::WORDS),
    ("Keys, machines and devices", machines::WORDS),
    ("Workloads", workloads::WORDS),
    ("Identity assertions for MCP servers", assertions::WORDS),
    ("Connections to MCP servers' own authorization servers", connections::WORDS),
    ("Calls", call::WORDS),
    ("Proofs of possession", proofs::WORDS),
    ("What identity providers say later", signals::WORDS),
    ("In the audit alone", audit::WORDS),
    ("What is noticed beside", notes::WORDS),
];

/// What is said of a reason. A newer release may have written one that this one does not know.
pub(crate) fn of(reason: &str) -> Option<&'static Words> {
    LISTS.iter().flat_map(|(_, list)| list.iter()).find(|words| words.reason == reason)
}

/// The document of all steps, reasons and notes, as Markdown.
pub(crate) fn markdown() -> String {
    let mut page = String::from(HEAD);
    for step in SignInStep::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{}` | {} | {} |", step.as_str(), step.sentence(), step.standard());
    }
    for (heading, list) in LISTS {
        let _ =
            write!(page, "\n## {heading}\n\n| reason | rule | standard | what to do |\n|---|---|---|---|\n");
        for Words { reason, rule, standard, remedy } in list {
            let _ = writeln!(page, "| `{reason}` | {rule} | {standard} | {remedy} |");
        }
    }
    page
}

const HEAD: &str = "\
# Steps of a sign-in

<!-- Printed by `cargo xtask generate` from `SignInStep` in `crates/store/src/sign_ins/step.rs` and from `crates/sekisho/src/words`. -->

What `sekisho sign-in` prints: each step that an attempt to connect can take, and what each reason and note means. The reasons in
`sekisho audit` and in the log are the same. `policy:ID` is the policy that forbade a call ([policy.md](policy.md)).
[sign-in.md](sign-in.md) says how to use it.

## Steps

| step | what arrived | standard |
|---|---|---|
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_reason_has_one_line_and_every_line_says_everything() {
        let mut seen = BTreeSet::new();
        for words in LISTS.iter().flat_map(|(_, list)| list.iter()) {
            assert!(seen.insert(words.reason), "`{}` has two lines", words.reason);
            for text in [words.rule, words.remedy] {
                assert!(text.ends_with('.') && !text.contains('|'), "`{}`: {text}", words.reason);
            }
            assert!(!words.standard.is_empty() && !words.standard.contains('|'), "`{}`", words.reason);
        }
        assert!(
            SignInStep::ALL.iter().all(|step| step.sentence().ends_with('.') && !step.standard().is_empty())
        );
    }
}
