//! Asking a provider long after the sign-in whether the person is still there (OpenID Connect Core 1.0, sections 11 and 12).
//!
//! Only a provider that answers, and says no to this person, says that they are gone. That it cannot be reached, cannot now, does
//! not accept *us*, or answers against its own standard, says nothing about anybody.

use std::fmt;
use std::sync::Arc;

use protocol::secret::Secret;
use protocol::world::Timestamp;

use super::{ConnectorError, Denial, Identity, Refusal};

/// What a provider gives to be asked by: a refresh token, or an access token that does not end.
#[derive(Clone)]
pub struct OfflineToken(Arc<Secret>);

impl OfflineToken {
    /// One that came from the provider, or out of the record.
    #[must_use]
    pub fn new(token: Secret) -> Self {
        Self(Arc::new(token))
    }

    /// The token.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

impl PartialEq for OfflineToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.matches(&other.0)
    }
}

impl Eq for OfflineToken {}

impl fmt::Debug for OfflineToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfflineToken(..)")
    }
}

/// About whom a provider is asked.
#[derive(Clone, Copy, Debug)]
pub struct Absent<'a> {
    /// By what.
    pub token: &'a OfflineToken,
    /// Who they are there: nobody else may come back.
    pub subject: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// The person is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// What the provider says of them now, if it says it anew.
    pub identity: Option<Identity>,
    /// The token to ask by from now on, if it is another one.
    pub next: Option<OfflineToken>,
}

/// Nobody says that the person is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absence {
    /// The provider says no to this person.
    #[error("the identity provider says no to this person")]
    Gone,
    /// Nothing is known.
    #[error("the identity provider does not say: {0}")]
    Unknown(ConnectorError),
}

impl From<ConnectorError> for Absence {
    fn from(error: ConnectorError) -> Self {
        match error {
            ConnectorError::Refused(Refusal::CodeRefused)
            | ConnectorError::NotAllowed(Denial::EmailDomain | Denial::Foreign | Denial::RequiredClaim) => {
                Self::Gone
            }
            ConnectorError::Malformed(_)
            | ConnectorError::NotAllowed(Denial::GroupsUnavailable | Denial::SingleSignOn)
            | ConnectorError::Refused(
                Refusal::AccessDenied
                | Refusal::ClientRefused
                | Refusal::ProviderError
                | Refusal::UnknownPerson,
            )
            | ConnectorError::Unreachable => Self::Unknown(error),
        }
    }
}

/// What came with a token that is kept: whatever of it cannot be believed is left out, so that the token is not lost.
pub(super) fn present(
    identity: Result<Identity, ConnectorError>,
    subject: &str,
    next: Option<OfflineToken>,
) -> Result<Present, Absence> {
    match identity {
        Ok(identity) if identity.subject == subject => Ok(Present { identity: Some(identity), next }),
        Ok(_) => {
            tracing::warn!("an identity provider answered about somebody else");
            Ok(Present { identity: None, next })
        }
        Err(error) => match Absence::from(error) {
            Absence::Gone => Err(Absence::Gone),
            Absence::Unknown(error) => {
                tracing::debug!(%error, "what a provider says of somebody anew cannot be believed");
                Ok(Present { identity: None, next })
            }
        },
    }
}
