//! What can be asked: the person, the MCP server and, for a call, the parsed call itself (product.md, P-12, P-13).
//!
//! Borrowed from what the roles already hold; must never be built from unverified input of a client.

use std::net::IpAddr;

use protocol::id::{Id, User};
use protocol::mcp::McpCall;
use protocol::oauth::Scope;
use protocol::world::Timestamp;

use crate::{Policies, Scopes};

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
    /// Whether a `permit` of the operator's counts here: it lets people in whom `access` does not name, as far as it says.
    /// Where it does not count, policies can only forbid.
    pub permits: bool,
    /// The operator's policies that concern it.
    pub policies: Policies,
    /// Its scopes, and which tools need which.
    pub scopes: Scopes,
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
    /// Access alone, without service accounts and policies; with the scopes `read` and `write`.
    #[must_use]
    pub fn new(name: &str, access: Access) -> Self {
        let (name, scopes) = (name.to_owned(), Scopes::default());
        Self {
            name,
            access,
            service_accounts: Vec::new(),
            permits: false,
            policies: Policies::default(),
            scopes,
        }
    }

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
    /// E-mail address, if the identity provider says that it is verified.
    pub email: Option<&'a str>,
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

/// How a call comes: what is no part of the call, and of no person.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The address that it comes from.
    pub address: IpAddr,
    /// The client of the access token.
    pub client: &'a str,
    /// When.
    pub now: Timestamp,
    /// The scopes of the access token.
    pub scope: &'a Scope,
}

/// Something that an MCP server lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed<'a> {
    /// The prompt of this name.
    Prompt(&'a str),
    /// The resource of this URI.
    Resource(&'a str),
    /// The tool of this name, and what it says of itself.
    Tool(&'a str, ReadOnly),
}

/// One question to the policy.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    /// May this person make this call with these scopes?
    MayCall {
        /// The call, the same value that is forwarded.
        call: &'a McpCall,
        /// Its `arguments`, from the very bytes that are forwarded. Nobody looks unless [`Policies::read_arguments`].
        arguments: Option<&'a str>,
        /// The person of the access token.
        person: Person<'a>,
        /// What the called tool says of itself.
        read_only: ReadOnly,
        /// How it comes.
        around: Around<'a>,
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
    /// Is there anything with which this person may use it, given the scopes that they have or could get? What would be
    /// refused whatever its arguments and scopes is not shown (product.md, P-13).
    MayList {
        /// What is to be shown.
        listed: Listed<'a>,
        /// The person of the access token.
        person: Person<'a>,
        /// How the list is asked for.
        around: Around<'a>,
        /// The MCP server whose list it is.
        server: &'a ServerRules,
    },
}
