//! Which arguments of which tool are mirrored into headers, for each person by the list that they were last shown
//! (requirements RS-100 to RS-106; decision 37).
//!
//! An MCP server may say something else to everybody, and who can put a tool on their own list must not decide by it what
//! others have to send (attacks PX-25). So what this node last showed a person counts for them, and for who was shown nothing
//! here, or where definitions are accepted, the definition that counts.
//! Must never hold more than [`BYTES`].

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::id::{Id, User};
use protocol::mcp::{ParameterHeaderFlaw, ParameterHeaders};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::keeper::named;
use super::{Pins, ToolsMode};

/// Of all that is remembered of one MCP server.
const BYTES: u64 = 4 * 1024 * 1024;
/// As many as could be remembered of these.
const TOOLS: usize = 10_000;
/// Tools of which the log is told once that they are left out.
const TOLD: usize = 1_000;

type Key = (Id<User>, String);

/// What people were shown.
pub(super) struct ShownParameters {
    known: Cache<Key, Arc<ParameterHeaders>, Bytes>,
    told: Mutex<HashSet<String>>,
}

impl ShownParameters {
    pub(super) fn new() -> Self {
        Self { known: Cache::with_weighter(TOOLS, BYTES, Bytes), told: Mutex::default() }
    }

    /// A person is to be shown this definition of a tool.
    pub(super) fn show(
        &self,
        (server, pins): (&str, &Pins),
        user: Id<User>,
        (tool, text): (&str, &str),
    ) -> Result<(), ParameterHeaderFlaw> {
        let headers = match ParameterHeaders::of_tool(text) {
            Ok(headers) => headers,
            Err(flaw) => {
                // What they were shown before counts no more: a call by name is the MCP server's to answer (decision 37).
                self.known.remove(&(user, tool.to_owned()));
                self.tell(server, tool, flaw);
                return Err(flaw);
            }
        };
        let says_otherwise =
            || pins.accepted(tool).is_some_and(|accepted| !accepted.parameter_headers().is_empty());
        // Of most tools there is nothing to be remembered.
        if headers.is_empty() && !says_otherwise() {
            if !self.known.is_empty() {
                self.known.remove(&(user, tool.to_owned()));
            }
            return Ok(());
        }
        self.known.insert((user, tool.to_owned()), Arc::new(headers));
        Ok(())
    }

    /// What of the arguments of a tool this person has to mirror; none, if nobody here knows the tool.
    pub(super) fn find(
        &self,
        (mode, pins): (ToolsMode, &Pins),
        user: Id<User>,
        tool: &str,
    ) -> Option<Arc<ParameterHeaders>> {
        let shown = match mode {
            ToolsMode::Approve => None,
            ToolsMode::Follow => self.known.get(&(user, tool.to_owned())),
        };
        shown.or_else(|| pins.accepted(tool).map(|accepted| Arc::clone(accepted.parameter_headers())))
    }

    /// MCP 2026-07-28, "Schema Extension": the log should say which tool is left out, and why.
    fn tell(&self, server: &str, tool: &str, flaw: ParameterHeaderFlaw) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let name = named(std::iter::once(tool)).unwrap_or_default();
        if told.len() < TOLD && told.insert(name.clone()) {
            tracing::warn!(server, tool = name, %flaw, "a tool is left out of lists: see docs/tools.md");
        }
    }
}

impl fmt::Debug for ShownParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShownParameters").field("tools", &self.known.len()).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<Key, Arc<ParameterHeaders>> for Bytes {
    fn weight(&self, (_, tool): &Key, headers: &Arc<ParameterHeaders>) -> u64 {
        /// What an entry costs beside its letters.
        const PLACE: usize = 128;
        u64::try_from(tool.len() + headers.weight() + PLACE).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_was_shown_before_a_tool_broke_the_rules_counts_no_more() {
        let (shown, pins, user) = (ShownParameters::new(), Pins::default(), Id::from_bytes([1; 16]));
        let tool = |name: &str| {
            format!(
                r#"{{"name":"t","inputSchema":{{"type":"object","properties":{{"region":{{"type":"string","x-mcp-header":"{name}"}}}}}}}}"#
            )
        };
        shown.show(("notes", &pins), user, ("t", &tool("Region"))).unwrap();
        assert!(shown.find((ToolsMode::Follow, &pins), user, "t").is_some());
        shown.show(("notes", &pins), user, ("t", &tool("Host"))).unwrap_err();
        assert!(shown.find((ToolsMode::Follow, &pins), user, "t").is_none());
    }
}
