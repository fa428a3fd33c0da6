//! Which action of the schema a call is, and the names of the schema.

use std::str::FromStr;

use cedar_policy::{EntityId, EntityTypeName, EntityUid, ParseErrors};
use protocol::mcp::{Effect, McpCall};

/// An action of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Call,
    Connect,
    Get,
    List,
    Other,
    Read,
}

impl Action {
    pub(super) const ALL: [Self; 6] =
        [Self::Call, Self::Connect, Self::Get, Self::List, Self::Other, Self::Read];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Connect => "connect",
            Self::Get => "get",
            Self::List => "list",
            Self::Other => "other",
            Self::Read => "read",
        }
    }

    /// What the call is. Whatever every client must be able to do is part of being connected; a method that nobody here knows
    /// is an action of its own (product.md, P-16). So is every method of tasks: which tool made a task only the MCP server
    /// knows, and by its id the result of a tool is had (attacks PX-20, PX-23).
    pub(crate) fn of(call: &McpCall) -> Self {
        match call.effect() {
            Effect::Notifies | Effect::Responds => return Self::Connect,
            Effect::CallsATool | Effect::Reads | Effect::Unknown | Effect::Upkeep => {}
        }
        match call.method.as_str() {
            "initialize" | "logging/setLevel" | "ping" | "server/discover" | "subscriptions/listen" => {
                Self::Connect
            }
            "prompts/list" | "resources/list" | "resources/templates/list" | "tools/list" => Self::List,
            "prompts/get" => Self::Get,
            // Of nothing: whether there is such a method any more, the MCP server says (2026-07-28 has none).
            "resources/subscribe" | "resources/unsubscribe" if call.name.is_none() => Self::Other,
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Self::Read,
            "tools/call" => Self::Call,
            _ => Self::Other,
        }
    }
}

impl Action {
    /// Whether it is done to something of the MCP server's that has a name.
    pub(crate) const fn names_something(self) -> bool {
        match self {
            Self::Call | Self::Get | Self::Read => true,
            Self::Connect | Self::List | Self::Other => false,
        }
    }
}

/// The names of the schema.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) client: EntityTypeName,
    pub(super) group: EntityTypeName,
    pub(super) mcp_server: EntityTypeName,
    pub(super) prompt: EntityTypeName,
    pub(super) resource: EntityTypeName,
    pub(super) service_account: EntityTypeName,
    pub(super) tool: EntityTypeName,
    pub(super) user: EntityTypeName,
    action: EntityTypeName,
}

impl Names {
    pub(super) fn new() -> Result<Self, Box<ParseErrors>> {
        let name = |text| EntityTypeName::from_str(text).map_err(Box::new);
        Ok(Self {
            client: name("Client")?,
            group: name("Group")?,
            mcp_server: name("McpServer")?,
            prompt: name("Prompt")?,
            resource: name("Resource")?,
            service_account: name("ServiceAccount")?,
            tool: name("Tool")?,
            user: name("User")?,
            action: name("Action")?,
        })
    }

    pub(super) fn action(&self, action: Action) -> EntityUid {
        uid(&self.action, action.name())
    }

    /// What the action is done to.
    pub(super) const fn acted_on(&self, action: Action) -> &EntityTypeName {
        match action {
            Action::Call => &self.tool,
            Action::Connect | Action::List | Action::Other => &self.mcp_server,
            Action::Get => &self.prompt,
            Action::Read => &self.resource,
        }
    }
}

pub(super) fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}
