//! Global token revocation (draft-parecki-oauth-global-token-revocation-06), which Okta sends as Universal Logout: everything of
//! somebody ends, and they prove who they are before they get anything again.
//!
//! The identity provider authenticates by a JWT of its own for exactly this endpoint. The JWT does not cover the body, so it is used
//! up whoever is named. Of somebody unknown the answer is the same (section 7.2).

use protocol::secevent::global_token_revocation::{self as request, GlobalTokenRevocationClaims as Claims};
use protocol::secret::Secret;
use protocol::world::Timestamp;
use store::Once;

use super::{GlobalTokenRevocation, OrUntyped, SignalError, SignalRefusal, Signalled, signed};
use crate::AuthorizationServer;
use crate::pages::Caller;

/// Where the endpoints are, below the issuer.
const PATH: &str = "/oauth/global_token_revocation/";

/// Decides whether these claims, which the provider signed, are for this endpoint.
fn decide(
    claims: &Claims,
    source: &GlobalTokenRevocation,
    endpoint: &str,
    now: Timestamp,
) -> Result<Once, SignalRefusal> {
    if claims.iss != source.issuer {
        return Err(SignalRefusal::Issuer);
    }
    if !claims.aud.is_only(endpoint) {
        return Err(SignalRefusal::Audience);
    }
    let begins = claims.nbf.unwrap_or(claims.iat).max(claims.iat);
    let expires_at = super::in_time(begins, claims.exp, now)?;
    super::once(&source.issuer, &claims.jti, expires_at)
}

impl AuthorizationServer {
    /// The global token revocation endpoint of a provider. `token` is the bearer token of the request.
    ///
    /// # Errors
    /// [`SignalError`] if there is no such endpoint, the request is not the provider's, or the record did not answer.
    pub async fn global_token_revocation(
        &self,
        connector: &str,
        token: Option<&Secret>,
        body: &[u8],
        caller: &Caller,
    ) -> Result<Signalled, SignalError> {
        let now = self.parts.clock.now();
        let all = &self.settings.global_token_revocations;
        let source =
            all.iter().find(|source| source.connector == connector).ok_or(SignalError::NotOffered)?;
        let judged = self.judge_revocation(source, (token, body), (caller, now)).await;
        if let Err(SignalError::Refused(refusal)) = &judged {
            self.refuse_signal(connector, *refusal, caller, now).await;
        }
        judged
    }

    async fn judge_revocation(
        &self,
        source: &GlobalTokenRevocation,
        (token, body): (Option<&Secret>, &[u8]),
        (caller, now): (&Caller, Timestamp),
    ) -> Result<Signalled, SignalError> {
        let token = token.ok_or(SignalRefusal::Unauthenticated)?;
        let expected = (request::TYPES, OrUntyped::Yes);
        let claims: Claims = signed((&source.keys, &source.issuer), token, expected).await?;
        let endpoint = format!("{}{PATH}{}", self.settings.issuer, source.connector);
        let once = decide(&claims, source, &endpoint, now)?;
        let subject = request::subject(body).ok_or(SignalRefusal::SubjectMissing)?;
        let people = self.people_of((&source.connector, &source.issuer), &subject).await?;
        let people = people.ok_or(SignalRefusal::SubjectFormat)?;
        let what = (source.connector.as_str(), "global_token_revocation");
        Ok(self.end_people(once, &people, what, (caller, now)).await?)
    }
}
