//! `notes`: a board on which everybody may read and write.

use std::sync::{Arc, Mutex};

use http::request::Parts;
use rmcp::handler::server::common::Extension;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{Implementation, ServerCapabilities, ServerConfig};
use rmcp::{ErrorData, ServerHandler, schemars, tool, tool_handler, tool_router};

use super::identity::{CallerReader, display_name};

const MOST_NOTES: usize = 200;
const LONGEST_NOTE: usize = 500;

/// The notes on the board, oldest first.
pub(super) type Board = Arc<Mutex<Vec<String>>>;

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct NewNote {
    #[schemars(description = "the text of the note, at most 500 characters")]
    text: String,
}

#[derive(Clone, Debug)]
pub(super) struct Notes {
    board: Board,
    caller: CallerReader,
    #[expect(dead_code, reason = "read by the code that the tool_handler macro writes")]
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Notes {
    pub(super) fn new(board: Board, caller: CallerReader) -> Self {
        Self { board, caller, tool_router: Self::tool_router() }
    }

    #[tool(
        description = "List the notes on the board, oldest first",
        annotations(title = "List notes", read_only_hint = true)
    )]
    fn list_notes(&self, Extension(parts): Extension<Parts>) -> Result<String, ErrorData> {
        self.caller.read(&parts)?;
        let board = self.board.lock().map_err(|_| poisoned())?;
        if board.is_empty() {
            return Ok("The board is empty. Add a note with add_note.".to_owned());
        }
        Ok(board.join("\n"))
    }

    #[tool(
        description = "Put a note on the board",
        annotations(title = "Add a note", read_only_hint = false, destructive_hint = false)
    )]
    fn add_note(
        &self,
        Parameters(NewNote { text }): Parameters<NewNote>,
        Extension(parts): Extension<Parts>,
    ) -> Result<String, ErrorData> {
        let caller = self.caller.read(&parts)?;
        if text.trim().is_empty() || text.chars().count() > LONGEST_NOTE {
            return Err(ErrorData::invalid_params("a note has 1 to 500 characters", None));
        }
        let line = format!("{}: {}", display_name(&caller), text.replace(char::is_control, " "));
        let mut board = self.board.lock().map_err(|_| poisoned())?;
        if board.len() >= MOST_NOTES {
            board.remove(0);
        }
        board.push(line.clone());
        anstream::eprintln!("notes   {line}");
        Ok(format!("Added. The board has {} notes.", board.len()))
    }

    #[tool(
        description = "Say who is calling, as Sekisho tells the MCP server",
        annotations(title = "Who am I", read_only_hint = true)
    )]
    fn who_am_i(&self, Extension(parts): Extension<Parts>) -> Result<String, ErrorData> {
        let caller = self.caller.read(&parts)?;
        Ok(format!(
            "{} ({}), groups: {}; scopes: {}",
            display_name(&caller),
            caller.sub,
            caller.groups.join(", "),
            caller.scope.as_deref().unwrap_or("none")
        ))
    }
}

#[tool_handler]
impl ServerHandler for Notes {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("sekisho-demo-notes", env!("CARGO_PKG_VERSION")))
            .with_instructions("A board of short notes that everybody can read and write")
    }
}

pub(super) fn poisoned() -> ErrorData {
    ErrorData::internal_error("the example server failed earlier; restart the demo", None)
}
