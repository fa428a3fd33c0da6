//! Why: every rule that had a say in an answer, for the operator. Never for the client.

use crate::policies::{Asked, Verdict};
use crate::rules::{asked_of, decide, has_access, scopes_say};
use crate::{Decision, Question, Rule};

/// What had a say in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The answer.
    pub decision: Decision,
    /// The rule of `access` that lets the person in, or the one that does not.
    pub access: Result<Rule, Rule>,
    /// The policies that forbid being connected, or what is asked.
    pub forbidding: Vec<Rule>,
    /// The policies that permit it. They need not count at this MCP server.
    pub permitting: Vec<Rule>,
    /// What scopes alone say of a call; nothing for what needs none.
    pub scopes: Option<Decision>,
}

/// Answers as [`decide`] does, and says why.
#[must_use]
pub fn explain(question: &Question<'_>) -> Explanation {
    let (person, server) = match question {
        Question::MayCall { person, server, .. }
        | Question::MayConnect { person, server }
        | Question::MayList { person, server, .. } => (person, *server),
    };
    let verdicts =
        [server.policies.ask(&Asked::to_connect(person)), server.policies.ask(&asked_of(question))];
    let all = |rules: fn(&Verdict) -> &[Rule]| {
        let mut all: Vec<Rule> = verdicts.iter().flat_map(|verdict| rules(verdict).to_vec()).collect();
        all.sort();
        all.dedup();
        all
    };
    Explanation {
        decision: decide(question),
        access: has_access(person, server),
        forbidding: all(|verdict| verdict.forbidding()),
        permitting: all(|verdict| verdict.permitting()),
        scopes: scopes_say(question),
    }
}
