//! Kinds of application (OpenID Connect Dynamic Client Registration 1.0, section 2).
//!
//! A web application has no redirect URI on the person's own machine.

use super::registered::registered_values;

registered_values! {
    /// A kind of application.
    ApplicationType {
        /// Runs on the person's machine.
        Native = "native",
        /// Runs on a server.
        Web = "web",
    }
}
