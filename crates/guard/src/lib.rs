//! The token check of Sekisho as a tower layer, for MCP servers in Rust that clients reach without the gateway
//! (docs/verify-tokens-yourself.md).
//!
//! What the gateway does before it forwards a call, this does in the MCP server's own process: it serves the metadata
//! document (RFC 9728), challenges (RFC 6750, section 3), verifies the access token (RFC 9068, section 4) and its scope for
//! the very call that is in the body, and hears from the revocation feed (product.md, P-2) what was withdrawn. If the feed
//! is silent for longer than T, nothing is let through, and what is open ends, as it does when its token is withdrawn or long over. It depends on `protocol` alone, so that others can use it.
//! Must never let a request through that it could not judge.

mod access;
mod calls;
mod clock;
mod feed;
mod guard;
mod http_client;
mod keys;
mod layer;
mod settings;
mod watched;

pub use access::Caller;
pub use guard::{Guard, GuardError};
pub use layer::{GuardLayer, Guarded};
pub use settings::{Settings, SettingsError};
pub use watched::Watched;
