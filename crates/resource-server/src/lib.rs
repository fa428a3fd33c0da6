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
mod breaker;
mod call;
mod caller;
mod challenge;
mod counts;
pub mod definitions;
mod error;
mod feed;
mod forward;
mod held_keys;
mod introspect;
mod limits;
mod line;
mod lists;
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
mod signature;
mod streams;
mod tally;
mod tools;
mod trace;
mod vault;
mod verdicts;

pub use asking::AskError;
pub use assertion::{HEADER as IDENTITY_HEADER, TYP as IDENTITY_TYP, client_key};
pub use audit::{
    Fault, Findings, Keep, KeptArguments, Named, Round, SealClaims, SealError, Sealer, read_checkpoint,
    verify_audit,
};
pub use body::{Body, BodyError};
pub use breaker::{BreakerSettings, Circuit};
pub use caller::Caller;
pub use counts::{CallCounts, Counting, ServerCounts};
pub use error::CallError;
pub use feed::FeedPage;
pub use held_keys::HeldKeys;
pub use limits::{Exhausted, Limit, LimitReached, Per};
pub use permit::Permit;
pub use reason::{Blame, CallCode, CallReason};
pub use revocations::Revocations;
pub use server::ResourceServer;
pub use settings::{OtherIssuer, Parts, ServerSettings, Settings, SettingsError};
pub use signature::SignatureFault;
pub use tally::CallTally;
pub use trace::TraceSettings;
pub use vault::connect::{ConnectError, ConnectPage, ShownConnection};
pub use vault::connection::missing_scope;
pub use vault::counts::CredentialCount;
pub use vault::credential::{Credential, FixedCredential, FixedCredentialError, Provider};
pub use vault::givers::{Giver, Source};

/// Readers of what strangers write, alone: for those who try what they do with any bytes.
pub mod readers {
    use crate::lists::{Item, List, See, Sees, Sieve, Wanted, judge};

    /// The data of the events in a stream that comes in these pieces.
    #[must_use]
    pub fn events(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut events = crate::tools::sse::Events::default();
        pieces.iter().flat_map(|piece| events.push(piece)).collect()
    }

    /// What goes on of a stream of events that comes in these pieces, for somebody who may see no item whose name holds
    /// `hidden`. `asked` is the JSON-RPC id of the list of tools that the stream is to bring, if it is.
    #[must_use]
    pub fn sifted(pieces: &[&[u8]], asked: Option<&str>) -> Vec<u8> {
        let id = asked.and_then(protocol::mcp::RequestId::from_json);
        let list = asked.map(|_| List::Tools);
        let mut sieve = Sieve::new(Wanted::new(id, list, false));
        let mut out = Vec::new();
        for piece in pieces {
            let piece = bytes::Bytes::copy_from_slice(piece);
            out.extend_from_slice(&sieve.push(&piece, &mut Unhidden).bytes);
        }
        out.extend_from_slice(&sieve.end(false).bytes);
        out
    }

    /// What goes out of a JSON text, for the same reader.
    #[must_use]
    pub fn judged(text: &[u8]) -> Vec<u8> {
        judge(text, &Wanted::default(), &mut Unhidden).text.or(text)
    }

    #[derive(Debug)]
    struct Unhidden;

    impl See for Unhidden {
        fn sees(&mut self, _: List, item: &Item<'_>) -> Sees {
            if item.name.contains("hidden") { Sees::Nothing } else { Sees::AsItIs }
        }
    }
}

#[cfg(test)]
mod fixture;
