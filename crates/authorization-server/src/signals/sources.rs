//! Who may say that somebody is out, and what is believed of them.

use crate::trusted_issuers::IssuerKeys;

/// An OpenID provider that may say that somebody logged out there (OpenID Connect Back-Channel Logout 1.0).
#[derive(Debug, Clone)]
pub struct BackchannelLogout {
    /// Our client id there: the audience.
    pub client_id: String,
    /// The connector whose people it speaks of, by which the endpoint is called.
    pub connector: String,
    /// Its issuer identifier, byte for byte.
    pub issuer: String,
    /// Its keys.
    pub keys: IssuerKeys,
    /// What it ends.
    pub on_logout: OnLogout,
}

/// An identity provider that may have everything of somebody revoked (draft-parecki-oauth-global-token-revocation).
#[derive(Debug, Clone)]
pub struct GlobalTokenRevocation {
    /// The connector whose people it speaks of, by which the endpoint is called.
    pub connector: String,
    /// Its issuer identifier, byte for byte; of Okta that of the organisation.
    pub issuer: String,
    /// Its keys.
    pub keys: IssuerKeys,
}

/// A transmitter of security events (OpenID Shared Signals Framework 1.0).
#[derive(Debug, Clone)]
pub struct SecurityEventTransmitter {
    /// Whom its stream is for: the audience.
    pub audience: String,
    /// The connector whose people it speaks of, by which the endpoint is called.
    pub connector: String,
    /// Its issuer identifier, byte for byte.
    pub issuer: String,
    /// Its keys.
    pub keys: IssuerKeys,
}

/// What a logout at the provider ends here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnLogout {
    /// Browser sessions, and what was allowed in them: grants, with their tokens and open streams.
    #[default]
    Access,
    /// Browser sessions alone.
    Session,
}

impl OnLogout {
    /// As it is written down.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Session => "session",
        }
    }
}
