//! The steps of a sign-in: one list, from which documentation and command are made. Must never say more than fixed text.

macro_rules! sign_in_steps {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $outcome:ident, $standard:literal;)+) => {
        /// A step of a sign-in. One list: documentation and command are made from it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SignInStep {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl SignInStep {
            /// All of them, in the order in which an attempt meets them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As it is written down.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What arrived, in words.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// Which section of which standard it is.
            #[must_use]
            pub const fn standard(self) -> &'static str {
                match self { $(Self::$variant => $standard,)+ }
            }

            /// Whether a rule said no.
            #[must_use]
            pub const fn is_refusal(self) -> bool {
                match self { $(Self::$variant => sign_in_steps!(@ $outcome),)+ }
            }
        }
    };
    (@ ok) => { false };
    (@ refused) => { true };
}

sign_in_steps! {
    /// The MCP endpoint was called without an access token that opens it, and answered 401 with a challenge.
    Challenged = "challenged", ok, "RFC 9728, section 5.1; MCP 2025-11-25, Authorization Server Location";
    /// The client read a metadata document.
    MetadataRead = "metadata_read", ok, "RFC 9728, section 3; RFC 8414, section 3";
    /// The client asked at a path that this server does not have.
    PathUnknown = "path_unknown", refused, "MCP 2025-03-26, Fallbacks for Servers without Metadata Discovery";
    /// The client registered itself.
    Registered = "registered", ok, "RFC 7591, section 3.2.1";
    /// The client's registration was refused.
    RegistrationRefused = "registration_refused", refused, "RFC 7591, section 3.2.2";
    /// The client pushed its authorization request ahead of the browser.
    Pushed = "pushed", ok, "RFC 9126, section 2.2";
    /// The client pushed an authorization request, and it was refused.
    PushRefused = "push_refused", refused, "RFC 9126, section 2.3";
    /// The browser brought an authorization request, and it was accepted.
    Asked = "asked", ok, "OAuth 2.1, section 4.1.1";
    /// The browser brought an authorization request, and it was refused.
    AuthorizeRefused = "authorize_refused", refused, "OAuth 2.1, section 4.1.2.1";
    /// The person approved of the client, and the browser was sent to the identity provider.
    SentToProvider = "sent_to_provider", ok, "MCP security best practices, Confused Deputy";
    /// The person signed in.
    SignedIn = "signed_in", ok, "OpenID Connect Core 1.0, section 3.1.2";
    /// Signing in did not go on.
    SignInRefused = "sign_in_refused", refused, "OpenID Connect Core 1.0, section 3.1.2";
    /// The person allowed the client, and the browser took a code to it.
    ConsentGiven = "consent_given", ok, "OAuth 2.1, section 4.1.2";
    /// The person had allowed the client before, and the browser took a code to it without a page.
    ConsentRemembered = "consent_remembered", ok, "OAuth 2.1, section 4.1.2";
    /// The person did not allow the client.
    ConsentDenied = "consent_denied", refused, "OAuth 2.1, section 4.1.2.1";
    /// Consent was not asked, or not taken.
    ConsentRefused = "consent_refused", refused, "MCP security best practices, Confused Deputy";
    /// The client redeemed the code and got its tokens.
    TokenIssued = "token_issued", ok, "OAuth 2.1, section 4.1.3";
    /// The token endpoint refused the client.
    TokenRefused = "token_refused", refused, "OAuth 2.1, section 3.2.4";
    /// The client refreshed its access token.
    Refreshed = "refreshed", ok, "OAuth 2.1, section 4.3";
    /// A call with the access token was refused.
    CallRefused = "call_refused", refused, "RFC 6750, section 3.1";
    /// The person's account at an MCP server's own provider was not connected.
    ConnectRefused = "connect_refused", refused, "RFC 6749, section 4.1.2.1";
    /// A call with the access token went through: the client is connected.
    Called = "called", ok, "RFC 6750, section 2.1";
}
