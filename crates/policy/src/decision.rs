//! What can be answered. Every answer names the rule that gave it, for the audit (product.md, P-18).
//!
//! Must never carry input of the client: rule names are fixed text.

use protocol::oauth::Scope;

/// The answer to one [`Question`](crate::Question).
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow {
        /// The rule that said so.
        rule: &'static str,
    },
    /// No, and no scope would change it.
    Deny {
        /// The rule that said so.
        rule: &'static str,
    },
    /// Not with the scopes of this token (RFC 6750, section 3.1: `insufficient_scope`).
    NeedScope {
        /// The rule that said so.
        rule: &'static str,
        /// All that the call needs.
        scope: Scope,
    },
}
