//! What the authorization endpoint tells the client: RFC 6749, sections 4.1.2 and 4.1.2.1, with the `iss` of
//! RFC 9207 in every answer.
//!
//! It reaches the client only through
//! [`VerifiedRedirectUri::with_response`](super::VerifiedRedirectUri::with_response).

use super::ErrorCode;
use crate::id::Reference;
use crate::secret::Secret;

/// An authorization response.
#[derive(Debug)]
pub enum AuthorizationResponse {
    /// The person consented.
    Code {
        /// The authorization code.
        code: Secret,
        /// The `state` of the request, unchanged; `None` if it had none.
        state: Option<String>,
        /// The issuer, the very string of the metadata (RFC 9207, section 2).
        iss: String,
    },
    /// The request failed.
    Error {
        /// Why.
        code: ErrorCode,
        /// The `state` of the request, unchanged; `None` if it had none.
        state: Option<String>,
        /// The issuer, the very string of the metadata.
        iss: String,
        /// Under what whoever runs the place finds the reason; said in the description, for people to read out.
        reference: Reference,
    },
}
