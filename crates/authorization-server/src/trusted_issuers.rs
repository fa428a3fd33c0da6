//! Issuers whose ID-JAGs are believed: of whose people each may speak, to which clients, and by which keys.
//!
//! Trust is the operator's: an issuer is compared byte for byte, its keys come from where the configuration says, and nothing
//! that an assertion says of itself leads to a key (RFC 8725, section 3.10).

use std::sync::Arc;

use protocol::jose::{Expect, VerifyingKeys};
use protocol::oauth::ClientId;
use protocol::secret::Secret;
use serde::de::DeserializeOwned;
use upstream::key_sets::{KeySetError, KeySets, KeySource};

/// One trusted issuer.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    /// The clients that it may speak of; none named: every confidential client.
    pub clients: Vec<ClientId>,
    /// The connector whose people it names by their subjects.
    pub connector: String,
    /// Its issuer identifier, byte for byte.
    pub issuer: String,
    /// Its keys.
    pub keys: IssuerKeys,
    /// Whether somebody it names by another subject is the one of the connector's people who has the same verified address.
    pub link_by_email: bool,
    /// What is done about people who never signed in here.
    pub new_people: NewPeople,
    /// The one tenant of it that is trusted, if it has several: the claim must be this, or not be there.
    pub tenant: Option<String>,
}

/// What is done about people whom an issuer names and nobody here knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NewPeople {
    /// They are made, without groups.
    Create,
    /// They are refused until they sign in by a browser.
    #[default]
    Refuse,
}

/// Where the keys of an issuer are.
#[derive(Debug, Clone)]
pub enum IssuerKeys {
    /// There.
    Fetched(Arc<KeySets>, KeySource),
    /// Here: read from the configuration.
    Held(Arc<VerifyingKeys>),
}

impl TrustedIssuer {
    /// Whether it may speak of this client.
    #[must_use]
    pub fn speaks_of(&self, client: &ClientId) -> bool {
        self.clients.is_empty() || self.clients.contains(client)
    }
}

impl IssuerKeys {
    /// How many keys there are, for whoever wants to know whether they can be had.
    ///
    /// # Errors
    /// [`KeySetError`] if they cannot.
    pub async fn examine(&self) -> Result<usize, KeySetError> {
        match self {
            Self::Fetched(sets, source) => sets.examine(source).await,
            Self::Held(keys) => Ok(keys.len()),
        }
    }

    /// The claims of a JWT that one of these keys signed.
    pub(crate) async fn verify<C: DeserializeOwned>(
        &self,
        token: &Secret,
        expect: &Expect<'_>,
    ) -> Result<C, KeySetError> {
        match self {
            Self::Fetched(sets, source) => {
                let token = token.expose(str::to_owned);
                sets.verify(source, &token, expect).await
            }
            Self::Held(keys) => Ok(token.expose(|token| keys.verify(token, expect))?),
        }
    }
}
