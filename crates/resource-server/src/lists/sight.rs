//! What one caller may see of an MCP server: what they may call, or could with scopes that they may still get.
//!
//! One question to the policy for each item. Must never show what a call would be refused for good.

use std::fmt::Debug;

use policy::{Around, Decision, Listed, Question, ReadOnly};
use protocol::oauth::Scope;
use protocol::world::Timestamp;

use super::{Item, List};
use crate::audit::Who;
use crate::call::Asked;
use crate::permit;

/// Who says what may be seen.
pub(crate) trait See: Debug {
    /// Whether this item of the list may be seen.
    fn sees(&mut self, list: List, item: &Item<'_>) -> bool;
}

/// The sight of one caller.
#[derive(Debug)]
pub(crate) struct Sight {
    who: Who,
    scope: Scope,
    /// When the list was asked for.
    now: Timestamp,
}

impl Sight {
    pub(crate) fn of(asked: &Asked, now: Timestamp) -> Self {
        let who = asked.who().clone();
        let held = &who.verdict.access.scope;
        let scope = permit::with_hierarchy(held).unwrap_or_else(|| held.clone());
        Self { who, scope, now }
    }
}

impl See for Sight {
    fn sees(&mut self, list: List, item: &Item<'_>) -> bool {
        let who = &self.who;
        let name = &*item.name;
        let listed = match list {
            List::Prompts => Listed::Prompt(name),
            List::ResourceTemplates | List::Resources => Listed::Resource(name),
            List::Tools if item.read_only => Listed::Tool(name, ReadOnly::Yes),
            List::Tools => Listed::Tool(name, ReadOnly::No),
        };
        let client = who.verdict.access.client.as_str();
        let around = Around { address: who.address, client, now: self.now, scope: &self.scope };
        match policy::decide(&Question::MayList {
            listed,
            person: who.person.asking(),
            around,
            server: &who.server.settings().rules,
        }) {
            // With another token of the same person it may be called.
            Decision::Allow { .. } | Decision::NeedScope { .. } => true,
            Decision::Deny { .. } => false,
        }
    }
}
