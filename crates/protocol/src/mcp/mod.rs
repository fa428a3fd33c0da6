//! MCP over Streamable HTTP, read once: headers and body become one [`McpCall`].
//!
//! Policy and forwarder take that same value, so there is no second reading for an attacker to differ in
//! (attacks PX-12 to PX-17). Nothing here answers a call; it says what the call is, or why it is none.

mod arguments;
mod call;
mod concerned;
mod effect;
pub mod elicitation;
mod json_rpc_error;
mod keys;
mod members;
mod message;
mod parameter_headers;
mod protocol_version;
mod refusal;
pub mod request_headers;
mod request_id;
pub mod session;
mod trace;
mod values;

pub use arguments::{arguments, has_cursor};
pub use call::{CallKind, McpCall, is_a_name};
pub use effect::Effect;
pub use json_rpc_error::JsonRpcError;
pub use keys::folds_to;
pub use parameter_headers::{ParameterHeaderFlaw, ParameterHeaders, ParameterMismatch};
pub use protocol_version::ProtocolVersion;
pub use refusal::CallRefused;
pub use request_id::RequestId;
pub use trace::{TraceParent, traceparent};

#[cfg(test)]
mod tests;
