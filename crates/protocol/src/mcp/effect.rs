//! What a call can do, as far as its method tells: whoever grants scopes begins here (product.md, P-12).
//!
//! Must never take a method that nobody here knows for one that changes nothing (product.md, P-16).

use super::{CallKind, McpCall};

/// What a call can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It calls a tool, and does what that tool does.
    CallsATool,
    /// It is a notification that clients of MCP send, part of an exchange that a request of its own began.
    Notifies,
    /// It shows something of what the MCP server holds.
    Reads,
    /// It answers a request of the MCP server.
    Responds,
    /// Nobody knows.
    Unknown,
    /// What a client must be able to do before it can find out anything, and lists that hold only what their reader may
    /// call.
    Upkeep,
}

impl McpCall {
    /// What the call can do.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self.kind {
            CallKind::Response => return Effect::Responds,
            CallKind::Notification if is_of_clients(&self.method) => return Effect::Notifies,
            CallKind::Notification | CallKind::Request(_) => {}
        }
        match self.method.as_str() {
            "initialize" | "logging/setLevel" | "ping" | "prompts/list" | "server/discover"
            | "tools/list" => Effect::Upkeep,
            "tools/call" => Effect::CallsATool,
            "completion/complete"
            | "prompts/get"
            | "resources/list"
            | "resources/read"
            | "resources/subscribe"
            | "resources/templates/list"
            | "resources/unsubscribe"
            | "subscriptions/listen"
            | "tasks/get"
            | "tasks/list"
            | "tasks/result" => Effect::Reads,
            _ => Effect::Unknown,
        }
    }
}

/// The notifications of clients, of every revision (`ClientNotification` of the schemas). Any other one is a call that nobody
/// here knows, though it begins with `notifications/`.
fn is_of_clients(method: &str) -> bool {
    matches!(
        method,
        "notifications/cancelled"
            | "notifications/initialized"
            | "notifications/progress"
            | "notifications/roots/list_changed"
            | "notifications/tasks/status"
    )
}
