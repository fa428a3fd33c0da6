//! No browser at all: what the identity provider gave for the person buys an ID-JAG there, and that a token at the MCP server's own
//! authorization server (MCP extension `io.modelcontextprotocol/enterprise-managed-authorization`).
//!
//! The client there was registered by hand, at an issuer that the operator named: the identity provider has to know both. No refresh
//! token is kept: the next token is had in the same way, and what the identity provider takes back is over with this one.

use protocol::oauth::{Scope, TokenEndpointAuthMethod};
use protocol::secret::Secret;

use super::OauthClient;
use super::error::{Malformed, OauthClientError, Obstacle, Place, Rejection};
use super::settings::OauthClientSettingsError;
use super::token::{Binding, Tokens, bounded};
use crate::identity_assertion::{
    ClientProof, IdentityAssertionClient, IdentityAssertionError, Peer, Step, Subject, Trouble, Wanted,
};

/// The way from one identity provider to one MCP server.
#[derive(Debug)]
pub struct IdentityAssertions {
    binding: Binding,
    client: IdentityAssertionClient,
    resource: String,
    scope: Scope,
}

impl OauthClient {
    /// The way from this identity provider to the MCP server.
    ///
    /// # Errors
    /// [`OauthClientSettingsError`] unless `authorization_server`, `client_id` and `client_secret_file` are there.
    pub fn identity_assertions(
        &self,
        identity_provider: Peer,
    ) -> Result<IdentityAssertions, OauthClientSettingsError> {
        let issuer = self.settings.authorization_server.clone();
        let issuer = issuer.ok_or(OauthClientSettingsError::SecretForWhom)?;
        let client = self.settings.client.as_ref().ok_or(OauthClientSettingsError::ClientMissing)?;
        let secret = client.client_secret.as_ref().ok_or(OauthClientSettingsError::ClientMissing)?;
        let secret = Secret::new(secret.expose(str::to_owned));
        let proof = match client.method {
            Some(TokenEndpointAuthMethod::ClientSecretPost) => ClientProof::Post(secret),
            Some(
                TokenEndpointAuthMethod::ClientSecretBasic
                | TokenEndpointAuthMethod::None
                | TokenEndpointAuthMethod::PrivateKeyJwt,
            )
            | None => ClientProof::Basic(secret),
        };
        let resource = self.settings.expected_resource().to_owned();
        let client_id = client.client_id.clone();
        let binding = Binding {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            resource: Some(resource.clone()),
        };
        let there = Peer { client_id, egress: self.reach.named_way(), issuer, proof };
        let clock = std::sync::Arc::clone(&self.clock);
        let client = IdentityAssertionClient::new(identity_provider, there, clock, self.settings.deadline);
        Ok(IdentityAssertions { binding, client, resource, scope: self.settings.scope.clone() })
    }
}

impl IdentityAssertions {
    /// A token for the person whom the identity provider gave this for.
    ///
    /// # Errors
    /// [`OauthClientError`]; [`Rejection::SignInNeeded`] if what the identity provider gave is over.
    pub async fn obtain(&self, subject: Subject, more: Option<&Scope>) -> Result<Tokens, OauthClientError> {
        let scope = more.map_or_else(|| self.scope.clone(), |more| self.scope.union(more));
        let wanted = Wanted { resource: self.resource.clone(), scope };
        let granted = self.client.obtain(subject, &wanted).await.map_err(told)?;
        Ok(Tokens {
            access_token: granted.access_token,
            refresh_token: None,
            expires_in: Some(bounded(granted.expires_in)),
            scope: granted.scope,
            binding: self.binding.clone(),
        })
    }
}

fn told(error: IdentityAssertionError) -> OauthClientError {
    let at_the_provider = error.step == Step::IdentityProvider;
    let place = if at_the_provider { Place::IdentityProvider } else { Place::Token };
    match error.trouble {
        Trouble::Unreachable => OauthClientError::Unreachable(place),
        Trouble::SignInNeeded => Rejection::SignInNeeded.into(),
        _ if at_the_provider => Obstacle::IdentityAssertion.into(),
        Trouble::ClientRefused => Obstacle::Client.into(),
        Trouble::Metadata => Obstacle::Metadata.into(),
        Trouble::OtherAnswer => Malformed::Token.into(),
        Trouble::Refused => Obstacle::Refused.into(),
        Trouble::ScopeRefused => Obstacle::Scope.into(),
        Trouble::TargetRefused => Obstacle::Target.into(),
    }
}
