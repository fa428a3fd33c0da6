//! Grant types (RFC 6749, section 1.3; RFC 7591, section 2) that are issued tokens here.
//!
//! No other one is ever read as one of these: implicit and password are gone from OAuth 2.1 (section 10).

use super::registered::registered_values;

registered_values! {
    /// A grant type.
    GrantType {
        /// Section 4.1.
        AuthorizationCode = "authorization_code",
        /// Section 4.4.
        ClientCredentials = "client_credentials",
        /// RFC 8628, section 3.4.
        DeviceCode = "urn:ietf:params:oauth:grant-type:device_code",
        /// RFC 7523, section 2.1: an assertion buys a token.
        JwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer",
        /// Section 6.
        RefreshToken = "refresh_token",
        /// RFC 8693, section 2.1.
        TokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange",
    }
}
