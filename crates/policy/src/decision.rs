//! What can be answered. Every answer names the rule that gave it, for the audit (product.md, P-18).
//!
//! Must never carry input of the client: rule names are fixed text, or the operator's.

use std::fmt;
use std::sync::Arc;

use protocol::oauth::Scope;

/// The answer to one [`Question`](crate::Question).
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow {
        /// The rule that said so.
        rule: Rule,
    },
    /// No, and no scope would change it.
    Deny {
        /// The rule that said so.
        rule: Rule,
    },
    /// Not with the scopes of this token (RFC 6750, section 3.1: `insufficient_scope`).
    NeedScope {
        /// The rule that said so.
        rule: Rule,
        /// All that the call needs.
        scope: Scope,
    },
}

/// The name of a rule: one of our own, or the id of an operator's policy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule(Name);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Own(&'static str),
    Policy(Arc<str>),
}

impl Rule {
    /// A rule of our own.
    #[must_use]
    pub(crate) const fn own(name: &'static str) -> Self {
        Self(Name::Own(name))
    }

    /// A policy of the operator's.
    pub(crate) const fn policy(id: Arc<str>) -> Self {
        Self(Name::Policy(id))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Own(name) => name,
            Name::Policy(id) => id,
        }
    }

    /// The id of the operator's policy, if it is one.
    #[must_use]
    pub fn policy_id(&self) -> Option<&Arc<str>> {
        match &self.0 {
            Name::Own(_) => None,
            Name::Policy(id) => Some(id),
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
