//! Response types (RFC 6749, section 3.1.1): `code` and nothing else.
//!
//! A token must never travel through the browser (OAuth 2.1, section 10.1).

use super::registered::registered_values;

registered_values! {
    /// A response type.
    ResponseType {
        /// The authorization code grant.
        Code = "code",
    }
}
