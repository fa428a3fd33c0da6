//! What can be asked: the person, the MCP server and, for a call, the parsed call itself (product.md, P-12, P-13).
//!
//! Borrowed from what the roles already hold; must never be built from unverified input of a client.

use protocol::id::{Id, User};
use protocol::mcp::McpCall;
use protocol::oauth::Scope;

/// Which people an MCP server admits (product.md, P-13). Nobody is admitted until the configuration says who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// "everyone who may log in", spelled out in the configuration: people, never a service account, which cannot log
    /// in.
    Everyone,
    /// Members of at least one of these groups, as the identity provider names them. An empty list admits nobody.
    Groups(Vec<String>),
}

/// The rules of one MCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRules {
    /// The server's name in URLs and in the audit.
    pub name: String,
    /// Which people may connect.
    pub access: Access,
    /// Which service accounts may connect: those that are spelled out, and no other.
    pub service_accounts: Vec<AdmittedAccount>,
}

/// A service account that an MCP server admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmittedAccount {
    /// Its name in the configuration.
    pub name: String,
    /// The scope it may have there at most; `None` for every scope of the server.
    pub scope: Option<Scope>,
}

impl ServerRules {
    /// What is admitted of a service account, if it is.
    #[must_use]
    pub fn admitted_account(&self, name: &str) -> Option<&AdmittedAccount> {
        self.service_accounts.iter().find(|account| account.name == name)
    }
}

/// A signed-in person, as the record knows them, or a service account.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// Our own id of the person.
    pub user: Id<User>,
    /// Groups from the identity provider's verified claims.
    pub groups: &'a [String],
    /// The name of the service account, if it is one and no person. Then groups count for nothing.
    pub service_account: Option<&'a str>,
}

/// Whether the tool that is called says of itself that it changes nothing (`readOnlyHint`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    /// A tool without `readOnlyHint: true`, or one that is not known yet.
    No,
    /// The call is no `tools/call`.
    NotATool,
    /// A tool with `readOnlyHint: true`.
    Yes,
}

/// One question to the policy.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    /// May this person make this call with these scopes?
    MayCall {
        /// The call, the same value that is forwarded.
        call: &'a McpCall,
        /// The person of the access token.
        person: Person<'a>,
        /// What the called tool says of itself.
        read_only: ReadOnly,
        /// The scopes of the access token.
        scope: &'a Scope,
        /// The MCP server that is called.
        server: &'a ServerRules,
    },
    /// May this person have a grant for this MCP server at all?
    MayConnect {
        /// The signed-in person.
        person: Person<'a>,
        /// The MCP server that is asked for.
        server: &'a ServerRules,
    },
}
