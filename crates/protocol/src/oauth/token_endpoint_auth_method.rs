//! How clients authenticate at the token endpoint (RFC 7591, section 2).
//!
//! A client uses the method it registered and no other one.

use super::registered::registered_values;

registered_values! {
    /// A client authentication method.
    TokenEndpointAuthMethod {
        /// The secret in the `Authorization` header (RFC 6749, section 2.3.1).
        ClientSecretBasic = "client_secret_basic",
        /// The secret in the body.
        ClientSecretPost = "client_secret_post",
        /// A public client, which has no secret.
        None = "none",
        /// A signed assertion by the client's own key (OpenID Connect Core, section 9; RFC 7523).
        PrivateKeyJwt = "private_key_jwt",
    }
}
