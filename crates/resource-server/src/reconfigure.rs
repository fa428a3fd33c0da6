//! Another configuration over the same house: an MCP server is added, removed, admits other people or lies elsewhere,
//! while calls go on.
//!
//! What is known (revocations, people, verified tokens), what is counted and what is written down lasts. A stream of an
//! MCP server that is gone, or of somebody who is not admitted any more, is ended, and a standing one when the rules changed
//! by which it was judged. Must never let a call that began under
//! the old settings open a stream that the new ones forbid.

use std::collections::HashMap;
use std::sync::Arc;

use policy::{Decision, Question};
use upstream::mcp_server::streamable_http::McpServerClient;

use crate::audit::Who;
use crate::mcp_server::McpServer;
use crate::reason::CallReason;
use crate::server::{ResourceServer, Servers, guard};
use crate::settings::{Settings, SettingsError};

impl ResourceServer {
    /// The resource server with these settings and ways, over the same record, streams, revocations, audit and counters.
    /// An MCP server whose settings and way are unchanged is the same one, with what its tools said. The settings hold
    /// for streams too from [`ResourceServer::take_over`] on.
    ///
    /// # Errors
    /// If the settings do not fit together; nothing has changed then.
    pub fn reconfigured(
        &self,
        settings: Settings,
        ways: HashMap<String, Arc<McpServerClient>>,
    ) -> Result<Self, SettingsError> {
        let names = (settings.issuer.as_str(), settings.other_issuers.as_slice());
        let keepers = (self.parts.tools.as_ref(), &self.parts.turns);
        let mut servers = guard(names, settings.servers.clone(), ways, keepers)?;
        for (name, server) in &mut servers {
            let Some(known) = self.servers.get(name) else { continue };
            if known.is_same_as(server) {
                *server = Arc::clone(known);
            } else if let Some(server) = Arc::get_mut(server) {
                server.take_over(known);
            }
        }
        Ok(self.with(settings, servers))
    }

    /// From here on these are the MCP servers that count: streams that they do not admit are ended. To be called when no
    /// new request reaches the former one.
    pub fn take_over(&self) {
        self.standing.store(Arc::new(self.servers.clone()));
        let standing = self.standing.load();
        self.streams.end_unless(|who, is_answer| may_stay(&standing, who, is_answer).is_ok());
    }

    /// Whether a call that began some time ago may still open a stream.
    pub(crate) fn is_still_admitted(&self, who: &Who, is_answer: bool) -> Result<(), CallReason> {
        may_stay(&self.standing.load(), who, is_answer)
    }
}

fn may_stay(standing: &Servers, who: &Who, is_answer: bool) -> Result<(), CallReason> {
    let server = standing.get(who.server.name()).ok_or(CallReason::ServerUnknown)?;
    if Arc::ptr_eq(server, &who.server) {
        return Ok(());
    }
    // Elsewhere now: an answer may finish where it began, a subscription is to be opened anew.
    if !is_answer && !Arc::ptr_eq(server.client(), who.server.client()) {
        return Err(CallReason::ServerUnknown);
    }
    // What it tells of was judged once, by rules that are others now (attacks SE-10): to be opened anew as well.
    if !is_answer && server.settings().rules != who.server.settings().rules {
        return Err(CallReason::ServerUnknown);
    }
    match policy::decide(&Question::MayConnect {
        person: who.person.asking(),
        server: &server.settings().rules,
    }) {
        Decision::Allow { .. } => Ok(()),
        Decision::Deny { .. } | Decision::NeedScope { .. } => Err(CallReason::PersonNotAllowed),
    }
}

impl McpServer {
    fn is_same_as(&self, other: &Self) -> bool {
        self.settings() == other.settings()
            && self.identities() == other.identities()
            && Arc::ptr_eq(self.client(), other.client())
    }
}
