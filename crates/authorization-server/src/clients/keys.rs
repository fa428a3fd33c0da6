//! The public keys of a client that authenticates by `private_key_jwt`.
//!
//! Never those that an assertion brings along: a key counts because the operator, or the client's own document, says so.

use std::sync::Arc;

use protocol::jose::VerifyingKeys;

/// Where the keys of a client are.
#[derive(Debug, Clone)]
pub enum ClientKeys {
    /// Here: read from the configuration.
    Held(Arc<VerifyingKeys>),
}
