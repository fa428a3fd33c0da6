//! Revocation (RFC 7009). Either token ends its grant, and with it every token of it (product.md, P-2).
//!
//! An unknown token is answered like a revoked one, and so is somebody else's, which stays as good as it was
//! (attacks.md, D-9). A failure of the record is never answered as done (RV-03).

use protocol::id::{Grant, Id};
use protocol::oauth::{ClientId, ErrorCode, Form, RevocationRequest, RevocationRequestError, refresh_token};
use protocol::secret::Secret;
use store::{AuditKind, EndGrant, GrantRecord, Outcome, StoreError};
use thiserror::Error;

use crate::blame::Blame;
use crate::client_authentication::{ClientRefusal, NotAuthenticated};
use crate::pages::Caller;
use crate::{AuthorizationServer, grants};

/// A revocation that did not happen.
#[derive(Debug, Error)]
pub enum RevokeError {
    /// Who asks is not who it says.
    #[error("the client is not authenticated: {0}")]
    Client(#[from] NotAuthenticated),
    /// The request cannot be read.
    #[error("the revocation request is malformed: {0}")]
    Request(#[from] RevocationRequestError),
    /// The record did not answer: the token may live, and the client tries again.
    #[error("the record did not answer")]
    Store(#[from] StoreError),
}

impl RevokeError {
    /// What the client is told (RFC 7009, section 2.2.1).
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Client(error) => error.refusal.code(),
            Self::Request(error) => error.code(),
            Self::Store(_) => ErrorCode::TemporarilyUnavailable,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Client(NotAuthenticated { refusal: ClientRefusal::Store(_), .. }) | Self::Store(_) => {
                Blame::House
            }
            Self::Client(_) | Self::Request(_) => Blame::Client,
        }
    }

    /// The reason for log, metric and audit.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Client(error) => error.refusal.reason(),
            Self::Request(error) => match error {
                RevocationRequestError::Repeated => "parameter_repeated",
                RevocationRequestError::TokenMissing => "token_missing",
            },
            Self::Store(_) => "store",
        }
    }

    /// Whether the 401 is to carry `WWW-Authenticate: Basic` (RFC 6749, section 5.2).
    #[must_use]
    pub const fn basic_tried(&self) -> bool {
        match self {
            Self::Client(error) => error.basic_tried,
            Self::Request(_) | Self::Store(_) => false,
        }
    }
}

/// What a revocation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It ends the grant.
    Ends,
    /// The token is another client's: nothing, but it is written down.
    Foreign,
    /// There is nothing to end.
    Nothing,
}

/// Decides what a revocation does to the grant that its token names.
fn decide(found: Option<&GrantRecord>, client: &ClientId) -> Effect {
    match found {
        None => Effect::Nothing,
        Some(grant) if grant.client_id != *client => Effect::Foreign,
        Some(grant) if grant.revoked_at.is_some() => Effect::Nothing,
        Some(_) => Effect::Ends,
    }
}

impl AuthorizationServer {
    /// Revokes a token, of whatever type: the hint is not needed to tell (RFC 7009, section 2.1).
    ///
    /// # Errors
    /// [`RevokeError`] if the client is not authenticated, no token is named, or the record did not answer.
    pub async fn revoke(
        &self,
        authorization: &[&str],
        form: &Form,
        caller: &Caller,
    ) -> Result<(), RevokeError> {
        let client = self.authenticate(authorization, form, caller).await?;
        let request = RevocationRequest::parse(form)?;
        let found = self.grant_of(&request.token).await?;
        let now = self.parts.clock.now();
        let address = caller.address.to_string();
        match (decide(found.as_ref(), client.client().id()), found) {
            (Effect::Ends, Some(grant)) => {
                let event = (AuditKind::GrantRevoked, Outcome::Ok);
                let mut audit = self.event_of_grant(&grant, event, &address, now);
                audit.reason = Some("revoked_by_client");
                let revocation = grants::revocation_of(grant.id, now);
                self.parts.store.end_grant(EndGrant { grant: grant.id, revocation, audit }, now).await?;
            }
            (Effect::Foreign, Some(grant)) => {
                let event = (AuditKind::GrantRevoked, Outcome::Refused);
                let mut audit = self.event_of_grant(&grant, event, &address, now);
                audit.reason = Some("token_of_another_client");
                audit.detail.insert("asked_by", client.client().id().as_str().to_owned());
                self.append_refusal(audit).await;
            }
            (Effect::Ends | Effect::Foreign | Effect::Nothing, _) => {}
        }
        Ok(())
    }

    /// The grant of a token that we made, as far as the token itself shows.
    async fn grant_of(&self, token: &Secret) -> Result<Option<GrantRecord>, StoreError> {
        if let Some(parsed) = token.expose(refresh_token::parse) {
            let found = self.parts.store.find_grant(parsed.grant).await?;
            let keys = self.parts.keys.load();
            return Ok(
                found.filter(|grant| parsed.verify(&keys.refresh_tokens, &grant.seed, &grant.client_id))
            );
        }
        match token.expose(|text| self.grant_of_access_token(text)) {
            Some(id) => self.parts.store.find_grant(id).await,
            None => Ok(None),
        }
    }

    /// An expired access token still names its grant, which may live on in a refresh token.
    fn grant_of_access_token(&self, text: &str) -> Option<Id<Grant>> {
        let claims = self.read_access_token(text)?;
        let settings = &self.settings;
        let is_ours = claims.iss == settings.issuer || settings.other_issuers.contains(&claims.iss);
        // A token that was exchanged ends with what is the actor's own: the person's grant is not its to end.
        let grant = claims.act.map_or(claims.grant_id, |act| act.grant_id);
        if is_ours { grant.parse().ok() } else { None }
    }
}

#[cfg(test)]
mod tests;
