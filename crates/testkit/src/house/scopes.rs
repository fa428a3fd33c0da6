//! The scopes of the MCP servers of a house: `read`, `write`, and those of its plan.

use authorization_server::{ScopeEntry, Words};
use policy::Scopes;
use protocol::oauth::{Scope, ScopeToken};

use super::{Built, text};

/// A scope of a plan.
#[derive(Clone, Debug)]
pub struct OwnScope {
    /// The scope.
    pub name: &'static str,
    /// The tools that need it.
    pub tools: Vec<String>,
    /// Whether a client is told to ask for it at once.
    pub at_once: bool,
}

/// Which tools need which.
pub(super) fn of_tools(own: &[OwnScope]) -> Built<Scopes> {
    let own = own.iter().map(|scope| Ok((token(scope.name)?, scope.tools.clone())));
    Ok(Scopes::with(&own.collect::<Built<Vec<_>>>()?))
}

/// All of them, in the order in which people see them.
pub(super) fn entries(own: &[OwnScope]) -> Built<Vec<ScopeEntry>> {
    let standard = ["read", "write"].map(|name| (name, true));
    let own = own.iter().map(|scope| (scope.name, scope.at_once));
    let entry =
        |(name, by_default)| Ok(ScopeEntry { by_default, token: token(name)?, words: Words::default() });
    standard.into_iter().chain(own).map(entry).collect()
}

/// What a challenge names that no call has caused.
pub(super) fn at_once(own: &[OwnScope]) -> Built<Scope> {
    let entries = entries(own)?.into_iter();
    Ok(entries.filter(|entry| entry.by_default).map(|entry| entry.token).collect())
}

fn token(text_of: &str) -> Built<ScopeToken> {
    ScopeToken::parse(text_of).map_err(text)
}
