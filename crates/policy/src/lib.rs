//! The answers: who may connect to an MCP server, and who may make one call.
//!
//! Pure: a [`Question`] goes in, a [`Decision`] comes out (product.md, P-12 and P-13). The rules are plain Rust for
//! now; a policy language can take their place behind the same two types.
//! Must never hold I/O, time or state, and must never answer `Allow` for a question that no rule speaks of.

mod decision;
mod question;
mod rules;

pub use decision::Decision;
pub use question::{Access, AdmittedAccount, Person, Question, ReadOnly, ServerRules};
pub use rules::{decide, may_change};

#[cfg(test)]
mod tests;
