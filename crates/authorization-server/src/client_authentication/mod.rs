//! Who is asking at the token and revocation endpoints (OAuth 2.1, sections 2.4 and 3.2.2): one file for each method.
//!
//! The answer is an [`AuthenticatedClient`], which only this module can make; no grant runs without one.
//! The method must be the one the client registered: a confidential client that leaves its secret out is not a
//! public one, and a public client that sends a secret is not believed either (attacks.md, TK-16 and TK-17).

mod client_secret_basic;
mod client_secret_post;
mod none;
mod private_key_jwt;

use protocol::oauth::{
    ClientAuthentication, ErrorCode, Form, Presented, PresentedError, TokenEndpointAuthMethod,
};
use protocol::secret::Secret;
use store::{AuditKind, Outcome, StoreError};
use thiserror::Error;

pub use private_key_jwt::AssertionRefusal;

use crate::AuthorizationServer;
use crate::clients::{Client, ResolveError};
use crate::pages::Caller;

/// A client that is who it says it is, as far as its kind can show: a public client shows nothing but its id, and what
/// it presents next (a code with its verifier, a refresh token) must speak for it.
#[derive(Debug)]
pub struct AuthenticatedClient {
    client: Client,
}

impl AuthenticatedClient {
    /// The client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }
}

/// A client that is not believed.
#[derive(Debug, Error)]
#[error("{refusal}")]
pub struct NotAuthenticated {
    /// Whether it tried `Basic`, so that a 401 names that scheme (RFC 6749, section 5.2).
    pub basic_tried: bool,
    /// Why.
    pub refusal: ClientRefusal,
}

/// Why a client is not believed.
#[derive(Debug, Error)]
pub enum ClientRefusal {
    /// Its assertion is not believed.
    #[error("{0}")]
    Assertion(#[from] AssertionRefusal),
    /// The client was stopped.
    #[error("the client is blocked")]
    Blocked,
    /// It used a method that it did not register.
    #[error("the method is not the one the client registered")]
    OtherMethod,
    /// What it presents cannot be read.
    #[error("{0}")]
    Presented(#[from] PresentedError),
    /// The secret is wrong.
    #[error("the secret is wrong")]
    SecretWrong,
    /// The record did not answer.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
    /// No such client; connecting again registers it again (product.md, P-4).
    #[error("the client is not known here")]
    Unknown,
}

impl ClientRefusal {
    /// What the client is told (RFC 6749, section 5.2).
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Blocked | Self::OtherMethod | Self::SecretWrong | Self::Unknown => ErrorCode::InvalidClient,
            Self::Assertion(refusal) => refusal.code(),
            Self::Presented(error) => error.code(),
            Self::Store(error) => crate::error::store_code(error),
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Assertion(refusal) => refusal.reason(),
            Self::Blocked => "client_blocked",
            Self::OtherMethod => "client_other_method",
            Self::Presented(error) => match error {
                PresentedError::AssertionMalformed => "client_assertion_malformed",
                PresentedError::BasicMalformed => "basic_malformed",
                PresentedError::ClientIdMalformed => "client_id_malformed",
                PresentedError::ClientIdMismatch => "client_id_mismatch",
                PresentedError::ClientIdMissing => "client_id_missing",
                PresentedError::MethodAmbiguous => "client_method_ambiguous",
                PresentedError::MethodUnsupported => "client_method_unsupported",
                PresentedError::Repeated => "parameter_repeated",
            },
            Self::SecretWrong => "client_secret_wrong",
            Self::Store(_) => "store",
            Self::Unknown => "client_unknown",
        }
    }
}

impl From<private_key_jwt::Failure> for ClientRefusal {
    fn from(failure: private_key_jwt::Failure) -> Self {
        match failure {
            private_key_jwt::Failure::Refused(refusal) => Self::Assertion(refusal),
            private_key_jwt::Failure::Store(error) => Self::Store(error),
        }
    }
}

impl From<ResolveError> for ClientRefusal {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Blocked => Self::Blocked,
            ResolveError::Store(error) => Self::Store(error),
            ResolveError::Busy
            | ResolveError::HostRefused
            | ResolveError::NoDocument
            | ResolveError::Unknown
            | ResolveError::Weaker => Self::Unknown,
        }
    }
}

/// Decides whether what was presented is what the client registered. `expected` is its secret, if it has one.
fn decide(client: &Client, presented: &Presented, expected: Option<&Secret>) -> Result<(), ClientRefusal> {
    if !client.may_authenticate_by(presented.method) {
        return Err(ClientRefusal::OtherMethod);
    }
    let secret = presented.secret.as_ref();
    match presented.method {
        TokenEndpointAuthMethod::ClientSecretBasic => client_secret_basic::decide(secret, expected),
        TokenEndpointAuthMethod::ClientSecretPost => client_secret_post::decide(secret, expected),
        TokenEndpointAuthMethod::None => none::decide(secret),
        // There is no secret to compare: see `private_key_jwt`.
        TokenEndpointAuthMethod::PrivateKeyJwt => Err(ClientRefusal::OtherMethod),
    }
}

/// Compares in constant time. A client without a secret cannot present a right one.
fn decide_secret(presented: Option<&Secret>, expected: Option<&Secret>) -> Result<(), ClientRefusal> {
    match (presented, expected) {
        (Some(presented), Some(expected)) if presented.matches(expected) => Ok(()),
        (Some(_) | None, Some(_) | None) => Err(ClientRefusal::SecretWrong),
    }
}

impl AuthorizationServer {
    /// Finds out who is asking, from the `Authorization` headers and the form.
    pub(crate) async fn authenticate(
        &self,
        authorization: &[&str],
        form: &Form,
        caller: &Caller,
    ) -> Result<AuthenticatedClient, NotAuthenticated> {
        let presented = ClientAuthentication::parse(authorization, form)
            .map_err(|error| NotAuthenticated { basic_tried: error.basic_tried(), refusal: error.into() })?;
        let basic_tried = presented.basic_tried;
        match self.believe(&presented).await {
            Ok(client) => Ok(client),
            Err(refusal) => {
                self.refusal_of_client(&presented, &refusal, caller).await;
                Err(NotAuthenticated { basic_tried, refusal })
            }
        }
    }

    /// A wrong secret of a client that is known may be a guess, and an assertion that comes twice was seen by somebody:
    /// both are told of (attacks.md, TK-44 and TK-46). Every other refusal can be caused by anybody about anybody.
    async fn refusal_of_client(&self, presented: &Presented, refusal: &ClientRefusal, caller: &Caller) {
        let replayed = matches!(refusal, ClientRefusal::Assertion(AssertionRefusal::Replayed));
        if !replayed && !matches!(refusal, ClientRefusal::SecretWrong) {
            return;
        }
        let mut event = self.event(AuditKind::TokenRefused, Outcome::Refused, self.parts.clock.now());
        event.reference.clone_from(&caller.told);
        event.reason = Some(refusal.reason());
        event.client_id = Some(presented.client_id.as_str().to_owned());
        event.subject = Some(self.subject(None, Some(caller.address.to_string())));
        self.append_refusal(event).await;
    }

    async fn believe(&self, presented: &Presented) -> Result<AuthenticatedClient, ClientRefusal> {
        let client = self.resolve_consented(&presented.client_id).await?;
        if let Some(assertion) = &presented.assertion {
            if !client.may_authenticate_by(TokenEndpointAuthMethod::PrivateKeyJwt) {
                return Err(ClientRefusal::OtherMethod);
            }
            self.believe_assertion(&client, assertion).await?;
            return Ok(AuthenticatedClient { client });
        }
        let derived = self.derived_secret(&client);
        decide(&client, presented, derived.as_ref().or_else(|| self.configured_secret(&client)))?;
        Ok(AuthenticatedClient { client })
    }
}

#[cfg(test)]
mod tests;
