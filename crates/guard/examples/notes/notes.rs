//! The MCP server itself: two tools, one of which changes something.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::request::Parts;
use rmcp::handler::server::common::Extension;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, ServerHandler, tool, tool_handler, tool_router};
use sekisho_guard::{Caller, Guard, Guarded};
use tower::Layer as _;

/// The service of rmcp behind the guard.
pub(crate) fn guarded(guard: &Guard) -> Guarded<StreamableHttpService<Notes, LocalSessionManager>> {
    let notes = Notes::new();
    let sessions = Arc::new(LocalSessionManager::default());
    let config = StreamableHttpServerConfig::default();
    guard.layer().layer(StreamableHttpService::new(move || Ok(notes.clone()), sessions, config))
}

/// The MCP server.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    kept: Arc<AtomicU32>,
    #[expect(dead_code, reason = "read by the code that the tool_handler macro writes")]
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Notes {
    fn new() -> Self {
        Self { kept: Arc::default(), tool_router: Self::tool_router() }
    }

    #[tool(description = "Says who calls", annotations(read_only_hint = true))]
    fn who_am_i(&self, Extension(parts): Extension<Parts>) -> Result<String, ErrorData> {
        let caller = parts.extensions.get::<Caller>();
        let caller = caller.ok_or_else(|| ErrorData::internal_error("nobody looked at the token", None))?;
        Ok(format!("{} by {}", caller.subject(), caller.client_id()))
    }

    #[tool(description = "Keeps a note (and forgets what it says)", annotations(read_only_hint = false))]
    fn keep(&self) -> String {
        format!("{} kept", self.kept.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

#[tool_handler]
impl ServerHandler for Notes {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}
