//! The answers: who may connect to an MCP server, and who may make one call.
//!
//! Pure: a [`Question`] goes in, a [`Decision`] comes out (product.md, P-12 and P-13). The rules that always hold are plain
//! Rust; an operator's policies, in Cedar, stand beside them ([`Policies`]) and behind the same two types.
//! Must never hold I/O or time, and must never answer `Allow` for a question that no rule speaks of.

mod decision;
mod explain;
mod policies;
mod question;
mod rules;
mod scopes;

pub use decision::{Decision, Rule};
pub use explain::{Explanation, explain};
pub use policies::{KnownServer, Library, Mistake, Policies, PolicyFile};
pub use question::{Access, AdmittedAccount, Around, Listed, Person, Question, ReadOnly, ServerRules};
pub use rules::{decide, may_change};
pub use scopes::Scopes;

#[cfg(test)]
mod tests;
