//! The role of the resource server: the MCP servers behind us, guarded (RFC 6750, RFC 9728, MCP authorization).
//!
//! A request comes in as an [`http::Request`], is taken through the steps that [`ResourceServer::call`] lists, and
//! goes out as an answer or a [`CallError`]. Nothing reaches an MCP server without a [`Permit`], and no permit is
//! made without a live access token for that very server and a decision of the policy.
//! Must never hold SQL, HTML or a rule of who may do what, and never send the client's token anywhere.

mod asking;
mod assertion;
mod audit;
mod bearer;
mod body;
mod call;
mod caller;
mod challenge;
mod counts;
mod error;
mod feed;
mod forward;
mod held_keys;
mod introspect;
mod mcp_server;
mod media;
mod metadata;
mod people;
mod permit;
mod presence;
mod proof;
mod reason;
mod reconfigure;
mod revocations;
mod server;
mod session;
mod settings;
mod streams;
mod tools;
mod vault;
mod verdicts;

pub use asking::AskError;
pub use assertion::{HEADER as IDENTITY_HEADER, TYP as IDENTITY_TYP};
pub use audit::{
    Fault, Findings, Named, Round, SealClaims, SealError, Sealer, read_checkpoint, verify_audit,
};
pub use body::{Body, BodyError};
pub use caller::Caller;
pub use counts::{CallCounts, Counting};
pub use error::CallError;
pub use feed::FeedPage;
pub use held_keys::HeldKeys;
pub use permit::Permit;
pub use reason::{Blame, CallCode, CallReason};
pub use revocations::Revocations;
pub use server::ResourceServer;
pub use settings::{OtherIssuer, Parts, ServerSettings, Settings, SettingsError};
pub use vault::credential::{Credential, FixedCredential, FixedCredentialError};

/// Readers of what strangers write, alone: for those who try what they do with any bytes.
pub mod readers {
    /// The data of the events in a stream that comes in these pieces.
    #[must_use]
    pub fn events(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut events = crate::tools::sse::Events::default();
        pieces.iter().flat_map(|piece| events.push(piece)).collect()
    }
}

#[cfg(test)]
mod fixture;
