//! Whether access tokens of an MCP server are bound to a key (RFC 9449).
//!
//! Whatever is set, a token that is bound stays bound: presented as `Bearer` it is refused (section 7.2).

use thiserror::Error;

/// Whether access tokens of an MCP server are bound to a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DpopMode {
    /// No token is bound any more, and it is not offered.
    Off,
    /// Tokens of clients that prove a key are bound to it.
    #[default]
    Optional,
    /// There are no others: who proves no key gets none, and one that is not bound opens nothing.
    Required,
}

/// How proofs of possession are taken, for all MCP servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DpopRules {
    /// Whether a proof must hold a nonce of ours (sections 8 and 9).
    pub nonces: bool,
    /// Whether a proof is good once on all nodes, which costs a visit to the record each; else once on each node, as far as
    /// it remembers (section 11.1).
    pub once_across_nodes: bool,
}

/// The text is none of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is none of the three")]
pub struct DpopModeError;

impl DpopMode {
    /// Reads the name of a mode.
    ///
    /// # Errors
    /// [`DpopModeError`] if there is none of that name.
    pub fn parse(text: &str) -> Result<Self, DpopModeError> {
        match text {
            "off" => Ok(Self::Off),
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => Err(DpopModeError),
        }
    }

    /// Whether it is offered to clients.
    #[must_use]
    pub const fn is_offered(self) -> bool {
        match self {
            Self::Off => false,
            Self::Optional | Self::Required => true,
        }
    }
}
