//! The two example MCP servers of `sekisho demo`.
//!
//! They are ordinary MCP servers on loopback ports of their own. What they know of the caller they
//! read from the signed identity assertion that Sekisho adds to each call.

mod identity;
mod ledger;
mod notes;
mod serve;

pub use identity::CallerReader;
pub use serve::{ExampleServer, ExampleServers, start};
