//! Who gives the credentials that are held in memory alone: one arm for each form (decision 31).

use std::sync::Arc;

use protocol::secret::Secret;
use upstream::oauth_client::{
    IdentityAssertions, Minter, OauthClientError, OwnAssertions, Revocated, TokenExchange,
};

/// Who gives it.
#[derive(Debug)]
pub enum Giver {
    /// A token endpoint, in exchange for our word about the person (RFC 8693).
    Exchange(Box<TokenExchange>),
    /// The MCP server's authorization server, for an ID-JAG that the person's identity provider gives.
    IdJag {
        /// The connector of the identity provider.
        connector: String,
        /// The way from there.
        at: Box<IdentityAssertions>,
        /// Whether it is asked for whoever acts for the person too, although it is told of the person alone.
        for_agents: bool,
    },
    /// The same, for an ID-JAG of our own.
    OwnIdJag {
        /// Where it is presented.
        at: Box<OwnAssertions>,
        /// Whether it tells the person's address.
        with_address: bool,
        /// Whether there is one for whoever acts for the person too, which says so; what becomes of that is not said anywhere.
        for_agents: bool,
    },
    /// A mint: the same credential for everybody, short-lived.
    Minted(Box<Minter>),
}

impl Giver {
    /// Whether whoever gives it is there, in words for the operator. Nothing is said about anybody.
    ///
    /// # Errors
    /// [`OauthClientError`].
    pub async fn check(&self) -> Result<String, OauthClientError> {
        match self {
            Self::Exchange(exchange) => exchange.check().await,
            Self::IdJag { at, .. } => at.check().await,
            Self::OwnIdJag { at, .. } => at.check().await,
            Self::Minted(minter) => {
                minter.mint().await.map(|_| "a token was minted, as it will be for calls".to_owned())
            }
        }
    }

    /// Takes an access token back that was given for a person who was stopped, or for an MCP server that was.
    pub(super) async fn take_back(&self, token: &Secret) -> Result<Revocated, OauthClientError> {
        match self {
            Self::Exchange(exchange) => exchange.take_back(token).await,
            Self::IdJag { at, .. } => at.take_back(token).await,
            Self::OwnIdJag { at, .. } => at.take_back(token).await,
            Self::Minted(minter) => minter.take_back(token).await,
        }
    }

    /// As the audit names it, after the form of the credential in the configuration.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Exchange(_) => "exchange",
            Self::IdJag { .. } | Self::OwnIdJag { .. } => "id_jag",
            Self::Minted(_) => "minted",
        }
    }

    /// Whether one is asked for in the name of a person for whom somebody acts. An assertion that is exchanged says who does.
    pub(super) const fn is_for_agents(&self) -> bool {
        match self {
            Self::Exchange(_) | Self::Minted(_) => true,
            Self::IdJag { for_agents, .. } | Self::OwnIdJag { for_agents, .. } => *for_agents,
        }
    }
}

/// From where the credentials for an MCP server come. Two are the same if they are one.
#[derive(Debug, Clone)]
pub struct Source(pub Arc<Giver>);

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Source {}
