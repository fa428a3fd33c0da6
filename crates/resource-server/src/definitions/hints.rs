//! What counts of what a tool says of itself, when a call of it is decided (decisions 3 and 29).

use http::StatusCode;
use policy::ReadOnly;

use super::ToolsMode;
use crate::call::Asked;
use crate::error::CallError;
use crate::permit::Permit;
use crate::reason::CallReason;
use crate::server::ResourceServer;
use crate::session::Session;
use crate::tools::{Said, TurnedAway};
use crate::vault::credential::Behind;

impl ResourceServer {
    /// What counts of what a tool says of itself. Where definitions are accepted, that of the accepted one, and nobody is
    /// asked; otherwise what it says to this caller, unless what was said before says that it writes.
    pub(crate) async fn hint(
        &self,
        tool: &str,
        asked: &Asked,
        session: &Session,
    ) -> Result<ReadOnly, CallReason> {
        let server = &asked.who().server;
        match server.settings().tools {
            ToolsMode::Approve => Ok(server.tools().pins().accepted_hint(tool)),
            ToolsMode::Follow => {
                let said = Box::pin(self.said(tool, asked, session)).await?;
                Ok(server.tools().pins().temper(tool, hint_of(said)))
            }
        }
    }

    /// What a tool says of itself to somebody who may call it either way: it keeps calls that only read from being written
    /// down twice, and decides nothing. Asked for only on behalf of those who call much.
    pub(crate) async fn recall(&self, tool: &str, asked: &Asked, session: &Session) -> ReadOnly {
        let (server, user) = (&asked.who().server, asked.who().person.user);
        match (server.settings().tools, server.catalogue().recall(user, tool)) {
            (ToolsMode::Follow, Some(said)) => server.tools().pins().temper(tool, hint_of(Some(said))),
            (ToolsMode::Follow, None) if !server.catalogue().is_worth_asking(user) => ReadOnly::No,
            (ToolsMode::Approve | ToolsMode::Follow, _) => {
                self.hint(tool, asked, session).await.unwrap_or(ReadOnly::No)
            }
        }
    }

    /// Whether it is known which definitions of tools were accepted, where that decides: before nobody sees any tool there.
    #[must_use]
    pub fn knows_tools(&self) -> bool {
        self.servers.values().all(|server| server.tools().are_ready(server.settings().tools))
    }

    /// The permit, if what is known of the tool lets it be called by this person.
    pub(crate) async fn if_it_counts(&self, permit: Permit) -> Result<Permit, CallError> {
        if let Some((server, tool)) = permit.tool_by_definition() {
            server.tools().settled(tool).await;
        }
        match self.says_what_was_accepted(&permit).await {
            Ok(is_accepted) => permit.for_a_tool_that_counts(is_accepted),
            Err(reason) => {
                let (asked, session) = permit.into_parts();
                Err(self.without_credential(asked, &session, reason))
            }
        }
    }

    /// Whether the tool that is called says to this very person what was accepted, although to somebody it said something
    /// else. Asked only then. Who is shown two definitions of it is not.
    async fn says_what_was_accepted(&self, permit: &Permit) -> Result<bool, CallReason> {
        let Some(tool) = permit.tool_in_doubt() else { return Ok(false) };
        let (asked, session) = permit.parts();
        let said = Box::pin(self.said(tool, asked, session)).await?;
        let pins = asked.who().server.tools().pins();
        let accepted = pins.accepted(tool).map(super::Definition::fingerprint);
        Ok(accepted.is_some() && said.and_then(|said| said.fingerprint) == accepted)
    }

    /// What a tool says to this caller. If the MCP server takes the person's credential no more, it is replaced, and the list
    /// asked for once again, as a call is sent once again (RS-171).
    async fn said(&self, tool: &str, asked: &Asked, session: &Session) -> Result<Option<Said>, CallReason> {
        let who = asked.who();
        let credentials = self.credentials(who).await?;
        let catalogue = who.server.catalogue();
        let turned_away = match catalogue.find(tool, asked, session, &credentials).await {
            Ok(said) => return Ok(said),
            Err(turned_away) => turned_away,
        };
        let behind = match (turned_away, &credentials.behind) {
            (TurnedAway::Unauthorized, Some(behind)) if !self.is_hopeless(behind) => behind.clone(),
            // The call itself hears why.
            (TurnedAway::Forbidden | TurnedAway::Unauthorized, Some(Behind::Obtained(_))) => return Ok(None),
            (TurnedAway::Forbidden | TurnedAway::Unauthorized, _) => return Err(CallReason::ConnectionDead),
        };
        let next = self.instead_of(&behind, who).await?;
        let credentials = credentials.with(next.clone());
        match (catalogue.find(tool, asked, session, &credentials).await, next) {
            (Ok(said), next) => {
                next.answered(StatusCode::OK);
                Ok(said)
            }
            (Err(_), Behind::Obtained(_)) => Ok(None),
            (Err(TurnedAway::Forbidden), Behind::Connection(_)) => Err(CallReason::ConnectionDead),
            (Err(TurnedAway::Unauthorized), Behind::Connection(held)) => {
                self.vault().give_up(&held, who.verdict.access.user, &who.server).await
            }
        }
    }
}

/// A tool that is not known counts as one that writes.
fn hint_of(said: Option<Said>) -> ReadOnly {
    if said.is_some_and(|said| said.read_only) { ReadOnly::Yes } else { ReadOnly::No }
}
