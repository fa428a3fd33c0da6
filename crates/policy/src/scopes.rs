//! The scopes of an MCP server, and which of them a call of a tool needs (product.md, P-12).
//!
//! A tool that the operator gave scopes of its own needs all of those; any other needs `read` or `write`, by what it says
//! of itself. Must never let a tool that has scopes of its own do with `read` or `write`.

use std::collections::BTreeMap;

use protocol::oauth::{Scope, ScopeToken};

/// The scope of calls that change nothing.
pub(crate) const READ: &str = "read";
/// The scope of calls that may change something.
pub(crate) const WRITE: &str = "write";

/// The scopes of an MCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    known: Scope,
    /// By the whole name of a tool: all that it needs.
    whole: BTreeMap<String, Scope>,
    /// By how the name of a tool begins.
    beginning: Vec<(String, ScopeToken)>,
}

impl Default for Scopes {
    /// `read` and `write`.
    fn default() -> Self {
        let known = [READ, WRITE].into_iter().filter_map(|name| ScopeToken::parse(name).ok()).collect();
        Self { known, whole: BTreeMap::new(), beginning: Vec::new() }
    }
}

impl Scopes {
    /// Those, and the operator's own, each with its tools: whole names, or beginnings that end in `*`.
    #[must_use]
    pub fn with(own: &[(ScopeToken, Vec<String>)]) -> Self {
        let mut scopes = Self::default();
        scopes.known = scopes.known.iter().chain(own.iter().map(|(token, _)| token)).cloned().collect();
        let pairs = || own.iter().flat_map(|(token, tools)| tools.iter().map(move |tool| (tool, token)));
        for (tool, token) in pairs() {
            match tool.strip_suffix('*') {
                Some(beginning) => scopes.beginning.push((beginning.to_owned(), token.clone())),
                None => {
                    let needed: Scope = std::iter::once(token.clone()).collect();
                    let before = scopes.whole.get(tool).map(|before| before.union(&needed));
                    scopes.whole.insert(tool.clone(), before.unwrap_or(needed));
                }
            }
        }
        scopes
    }

    /// All of them.
    #[must_use]
    pub const fn known(&self) -> &Scope {
        &self.known
    }

    /// All that a call of this tool needs, if the operator gave it scopes of its own.
    #[must_use]
    pub fn of_tool(&self, tool: &str) -> Option<Scope> {
        if self.whole.is_empty() && self.beginning.is_empty() {
            return None;
        }
        let by_beginning =
            self.beginning.iter().filter(|(beginning, _)| tool.starts_with(beginning.as_str()));
        let by_beginning: Scope = by_beginning.map(|(_, token)| token.clone()).collect();
        match self.whole.get(tool) {
            Some(whole) => Some(whole.union(&by_beginning)),
            None if by_beginning.is_empty() => None,
            None => Some(by_beginning),
        }
    }
}
