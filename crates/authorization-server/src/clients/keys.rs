//! The public keys of a client that authenticates by `private_key_jwt`.
//!
//! Never those that an assertion brings along: a key counts because the operator, or the client's own document, says so.

use std::sync::Arc;

use protocol::jose::VerifyingKeys;
use protocol::oauth::HttpsUrl;
use upstream::key_sets::{KeySets, KeySource};

/// Where the keys of a client are.
#[derive(Debug, Clone)]
pub enum ClientKeys {
    /// At a URL that the client's own document names: a stranger's, fetched as the document is.
    At(HttpsUrl),
    /// At a `jwks_uri` that the operator wrote down, with the sets that were fetched.
    Fetched(Arc<KeySets>, KeySource),
    /// Here: read from the configuration, or out of the document.
    Held(Arc<VerifyingKeys>),
}
