//! What counts of what a tool says of itself, when a call of it is decided (decisions 3 and 29).

use policy::ReadOnly;

use super::ToolsMode;
use crate::call::Asked;
use crate::reason::CallReason;
use crate::server::ResourceServer;
use crate::session::Session;

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
                let credentials = self.credentials(asked.who()).await?;
                let said = server.catalogue().find(tool, asked, session, &credentials).await;
                Ok(server.tools().pins().temper(tool, said))
            }
        }
    }

    /// What a tool says of itself to somebody who may call it either way: it keeps calls that only read from being written
    /// down twice, and decides nothing. Asked for only on behalf of those who call much.
    pub(crate) async fn recall(&self, tool: &str, asked: &Asked, session: &Session) -> ReadOnly {
        let (server, user) = (&asked.who().server, asked.who().person.user);
        match (server.settings().tools, server.catalogue().recall(user, tool)) {
            (ToolsMode::Follow, Some(said)) => server.tools().pins().temper(tool, said),
            (ToolsMode::Follow, None) if !server.catalogue().is_worth_asking(user) => ReadOnly::No,
            (ToolsMode::Approve | ToolsMode::Follow, _) => {
                self.hint(tool, asked, session).await.unwrap_or(ReadOnly::No)
            }
        }
    }
}
