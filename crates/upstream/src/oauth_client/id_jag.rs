//! No browser at all: what the identity provider gave for the person buys an ID-JAG there, and that a token at the MCP server's own
//! authorization server (MCP extension `io.modelcontextprotocol/enterprise-managed-authorization`).
//!
//! The client there was registered by hand, at an issuer that the operator named: the identity provider has to know both. No refresh
//! token is kept: the next token is had in the same way, and what the identity provider takes back is over with this one.

use protocol::oauth::{Scope, TokenEndpointAuthMethod};
use protocol::secret::Secret;

use super::OauthClient;
use super::error::{Malformed, OauthClientError, Obstacle, Place, Rejection};
use super::revocation::Revocated;
use super::settings::OauthClientSettingsError;
use super::token::{Asked, Binding, Tokens, ask, bounded};
use crate::identity_assertion::{
    ClientProof, IdentityAssertionClient, IdentityAssertionError, Peer, Step, Subject, Trouble, Wanted,
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

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
    /// [`OauthClientSettingsError`] unless `authorization_server`, `client_id` and a secret or a key are there.
    pub fn identity_assertions(
        &self,
        identity_provider: Peer,
    ) -> Result<IdentityAssertions, OauthClientSettingsError> {
        let issuer = self.settings.authorization_server.clone();
        let issuer = issuer.ok_or(OauthClientSettingsError::SecretForWhom)?;
        let client = self.settings.client.as_ref().ok_or(OauthClientSettingsError::ClientMissing)?;
        let secret = client.client_secret.as_ref().map(|secret| Secret::new(secret.expose(str::to_owned)));
        let proof = match (client.method, secret, &client.key) {
            (Some(TokenEndpointAuthMethod::PrivateKeyJwt), _, Some(key)) => ClientProof::Key(key.clone()),
            (Some(TokenEndpointAuthMethod::ClientSecretPost), Some(secret), _) => ClientProof::Post(secret),
            (_, Some(secret), _) => ClientProof::Basic(secret),
            (_, None, _) => return Err(OauthClientSettingsError::ClientMissing),
        };
        let resource = self.settings.expected_resource().to_owned();
        let client_id = client.client_id.clone();
        let binding = Binding {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            resource: Some(resource.clone()),
        };
        let there = Peer { client_id, egress: self.reach.as_egress(), issuer, proof };
        let clock = std::sync::Arc::clone(&self.clock);
        let client = IdentityAssertionClient::new(identity_provider, there, clock, self.settings.deadline);
        Ok(IdentityAssertions { binding, client, resource, scope: self.settings.scope.clone() })
    }
}

/// For whom an ID-JAG of ours is, and for what.
#[derive(Debug)]
pub struct Addressed {
    /// The authorization server.
    pub issuer: String,
    /// Our client there.
    pub client_id: String,
    /// The MCP server.
    pub resource: String,
    /// The scope at most; empty to leave it to the authorization server.
    pub scope: Scope,
}

/// Where ID-JAGs that we issue ourselves buy access tokens: at an authorization server that trusts us as it would an identity
/// provider.
#[derive(Debug)]
pub struct OwnAssertions {
    addressed: Addressed,
    client: OauthClient,
}

impl OwnAssertions {
    /// By this client, which was registered by hand at an authorization server that the operator has named.
    ///
    /// # Errors
    /// [`OauthClientSettingsError`] unless it was.
    pub fn new(client: OauthClient) -> Result<Self, OauthClientSettingsError> {
        let settings = &client.settings;
        let registered = settings.client.as_ref().ok_or(OauthClientSettingsError::ClientMissing)?;
        let addressed = Addressed {
            issuer: settings.authorization_server.clone().ok_or(OauthClientSettingsError::SecretForWhom)?,
            client_id: registered.client_id.clone(),
            resource: settings.expected_resource().to_owned(),
            scope: settings.scope.clone(),
        };
        Ok(Self { addressed, client })
    }

    /// For whom an ID-JAG has to be.
    #[must_use]
    pub const fn addressed(&self) -> &Addressed {
        &self.addressed
    }

    /// Whether somebody answers at the token endpoint, in words for the operator. Nothing is said about anybody.
    ///
    /// # Errors
    /// [`OauthClientError`].
    pub async fn check(&self) -> Result<String, OauthClientError> {
        let endpoint = self.client.reached().await?;
        Ok(format!("somebody answers at {endpoint}, where ID-JAGs of Sekisho are presented"))
    }

    /// Takes an access token back (RFC 7009).
    ///
    /// # Errors
    /// [`OauthClientError`]; only a passing one is worth another try.
    pub async fn take_back(&self, access_token: &Secret) -> Result<Revocated, OauthClientError> {
        self.client.take_back(access_token).await
    }

    /// An access token for the person whom the ID-JAG is about (RFC 7523, section 2.1).
    ///
    /// # Errors
    /// [`OauthClientError`].
    pub async fn obtain(&self, id_jag: &Secret) -> Result<Tokens, OauthClientError> {
        let server = self.client.server().await?;
        let client = self.client.known(&server).await?;
        let scope = self.addressed.scope.to_string();
        let mut fields = vec![("grant_type", JWT_BEARER), ("resource", self.addressed.resource.as_str())];
        if !scope.is_empty() {
            fields.push(("scope", scope.as_str()));
        }
        let asked = Asked { fields, secrets: vec![("assertion", id_jag)] };
        let tokens = ask(&self.client.reach, &server, &client, &asked, &self.addressed.scope).await?;
        // Section 4.4.3: the next one is had by another ID-JAG.
        Ok(Tokens { refresh_token: None, ..tokens })
    }
}

impl IdentityAssertions {
    /// Whether both sides are there, in words for the operator. Nothing is said about anybody.
    ///
    /// # Errors
    /// [`OauthClientError`].
    pub async fn check(&self) -> Result<String, OauthClientError> {
        self.client.check().await.map_err(told)?;
        let issuer = &self.binding.issuer;
        Ok(format!("the identity provider and {issuer} answer, where its ID-JAGs are presented"))
    }

    /// Takes an access token back (RFC 7009).
    ///
    /// # Errors
    /// [`OauthClientError`]; only a passing one is worth another try.
    pub async fn take_back(&self, access_token: &Secret) -> Result<Revocated, OauthClientError> {
        let is_done = self.client.take_back(access_token).await.map_err(|error| {
            let is_away = error.trouble == Trouble::Unreachable;
            if is_away { OauthClientError::Unreachable(Place::Revocation) } else { told(error) }
        })?;
        Ok(if is_done { Revocated::Done } else { Revocated::NotOffered })
    }

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
            account: None,
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
