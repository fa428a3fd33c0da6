//! The other side of enterprise-managed authorization (draft-ietf-oauth-identity-assertion-authz-grant, sections 4.3 and 4.4; MCP
//! extension `io.modelcontextprotocol/enterprise-managed-authorization`): with what the identity provider gave for a person, an
//! access token is had at the authorization server of an MCP server, and no browser is asked.
//!
//! Two exchanges: at the identity provider for an ID-JAG (RFC 8693), and of that at the authorization server (RFC 7523, section
//! 2.1). What each answers is held against what was asked before anything goes on: an ID-JAG for somebody else is not carried
//! there. Must never send the person's token anywhere but to the identity provider, follow a redirect, keep a token, or put
//! what a peer said into an error.

mod answer;
mod error;
mod peer;

use std::sync::Arc;
use std::time::Duration;

use protocol::oauth::Scope;
use protocol::secret::Secret;
use protocol::world::Clock;

pub use error::{IdentityAssertionError, Step, Trouble};
pub use peer::{ClientProof, Peer};

use self::peer::{Described, Known};

/// `requested_token_type` and `issued_token_type` of an ID-JAG.
pub const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What the identity provider gave for the person.
#[derive(Debug)]
pub enum Subject {
    /// An ID token; one that is over is refused there.
    IdToken(Secret),
    /// A refresh token, which the identity provider may take in its place.
    RefreshToken(Secret),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The MCP server's resource identifier (RFC 9728), byte for byte.
    pub resource: String,
    /// The scope there; empty to leave it to the authorization server.
    pub scope: Scope,
}

/// An ID-JAG that is for this authorization server and client; good once, and nowhere else.
#[derive(Debug)]
pub struct IdJag {
    token: Secret,
}

/// An access token for the MCP server.
#[derive(Debug)]
pub struct Granted {
    /// The token. Nobody here reads it (requirements.md, CL-059).
    pub access_token: Secret,
    /// How long it is good for, if the authorization server says.
    pub expires_in: Option<Duration>,
    /// What it is good for: what was asked for, unless the answer says otherwise (RFC 6749, section 5.1).
    pub scope: Scope,
}

/// The way from a person at one identity provider to one authorization server.
#[derive(Debug)]
pub struct IdentityAssertionClient {
    authorization_server: Known,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    identity_provider: Known,
}

impl IdentityAssertionClient {
    /// A way that has asked nothing yet. `deadline` bounds each of the two exchanges, with the metadata that it needs.
    #[must_use]
    pub fn new(
        identity_provider: Peer,
        authorization_server: Peer,
        clock: Arc<dyn Clock>,
        deadline: Duration,
    ) -> Self {
        Self {
            authorization_server: Known::new(authorization_server, Arc::clone(&clock)),
            identity_provider: Known::new(identity_provider, Arc::clone(&clock)),
            clock,
            deadline,
        }
    }

    /// Whether both say that they are whom we mean, and that ID-JAGs are taken. Nothing is said about anybody.
    ///
    /// # Errors
    /// [`IdentityAssertionError`].
    pub async fn check(&self) -> Result<(), IdentityAssertionError> {
        let at = |step| move |trouble| IdentityAssertionError { step, trouble };
        let idp = self.identity_provider.described(|_| true);
        self.in_time(idp).await.map_err(at(Step::IdentityProvider))?;
        let there = self.authorization_server.described(Described::may_take_id_jags);
        self.in_time(there).await.map(|_| ()).map_err(at(Step::AuthorizationServer))
    }

    /// Takes an access token back at the authorization server (RFC 7009, section 2.1), if it says where. Whether it did.
    ///
    /// # Errors
    /// [`IdentityAssertionError`] of [`Step::AuthorizationServer`].
    pub async fn take_back(&self, access_token: &Secret) -> Result<bool, IdentityAssertionError> {
        let there = &self.authorization_server;
        let asking = async {
            let described = there.described(|_| true).await?;
            let Some(endpoint) = described.revocation_endpoint.as_deref() else { return Ok(false) };
            let fields = [("token_type_hint", "access_token")];
            let answer = there.ask(endpoint, &fields, ("token", access_token), self.deadline).await?;
            answer::revoked(&answer).map(|()| true)
        };
        self.in_time(asking)
            .await
            .map_err(|trouble| IdentityAssertionError { step: Step::AuthorizationServer, trouble })
    }

    /// Both exchanges, one after the other.
    ///
    /// # Errors
    /// [`IdentityAssertionError`], which says at whom and why.
    pub async fn obtain(&self, subject: Subject, wanted: &Wanted) -> Result<Granted, IdentityAssertionError> {
        let assertion = self.request_assertion(subject, wanted).await?;
        self.redeem(assertion, wanted).await
    }

    /// Exchanges what the identity provider gave for an ID-JAG (section 4.3).
    ///
    /// # Errors
    /// [`IdentityAssertionError`] of [`Step::IdentityProvider`].
    pub async fn request_assertion(
        &self,
        subject: Subject,
        wanted: &Wanted,
    ) -> Result<IdJag, IdentityAssertionError> {
        let (token, kind) = match subject {
            Subject::IdToken(token) => (token, "urn:ietf:params:oauth:token-type:id_token"),
            Subject::RefreshToken(token) => (token, "urn:ietf:params:oauth:token-type:refresh_token"),
        };
        let scope = wanted.scope.to_string();
        let mut fields = vec![
            ("grant_type", TOKEN_EXCHANGE),
            ("requested_token_type", ID_JAG),
            ("audience", self.authorization_server.peer.issuer.as_str()),
            ("resource", wanted.resource.as_str()),
            ("subject_token_type", kind),
        ];
        if !scope.is_empty() {
            fields.push(("scope", scope.as_str()));
        }
        let exchange = async {
            let described = self.identity_provider.described(|_| true).await?;
            let answer = self
                .identity_provider
                .ask(&described.token_endpoint, &fields, ("subject_token", &token), self.deadline)
                .await?;
            let expected = answer::ExpectedAssertion {
                audience: &self.authorization_server.peer.issuer,
                client_id: &self.authorization_server.peer.client_id,
                issuer: &self.identity_provider.peer.issuer,
                now: self.clock.now(),
                wanted,
            };
            answer::assertion(&answer, &expected).map(|token| IdJag { token })
        };
        self.in_time(exchange)
            .await
            .map_err(|trouble| IdentityAssertionError { step: Step::IdentityProvider, trouble })
    }

    /// Exchanges an ID-JAG for an access token (section 4.4).
    ///
    /// # Errors
    /// [`IdentityAssertionError`] of [`Step::AuthorizationServer`].
    pub async fn redeem(&self, assertion: IdJag, wanted: &Wanted) -> Result<Granted, IdentityAssertionError> {
        let scope = wanted.scope.to_string();
        // CL-033: every token request says for which resource.
        let mut fields = vec![("grant_type", JWT_BEARER), ("resource", wanted.resource.as_str())];
        if !scope.is_empty() {
            fields.push(("scope", scope.as_str()));
        }
        let exchange = async {
            let described = self.authorization_server.described(Described::may_take_id_jags).await?;
            let proof = ("assertion", &assertion.token);
            let answer = self
                .authorization_server
                .ask(&described.token_endpoint, &fields, proof, self.deadline)
                .await?;
            answer::granted(&answer, wanted)
        };
        self.in_time(exchange)
            .await
            .map_err(|trouble| IdentityAssertionError { step: Step::AuthorizationServer, trouble })
    }

    async fn in_time<T>(&self, step: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        tokio::time::timeout(self.deadline, step).await.unwrap_or(Err(Trouble::Unreachable))
    }
}
