//! OpenID Connect Back-Channel Logout 1.0: the provider posts a logout token when somebody logs out there, or is logged out.
//!
//! A token with `sid` is of one session: what began in it ends, and, if the person is named too, what of theirs began in a session
//! that nobody noted. One with `sub` alone is of all that is theirs. A person who is known to nobody is answered like one who
//! had nothing to end (section 2.7).

use protocol::oauth::Form;
use protocol::oidc::logout_token::{self, LogoutTokenClaims};
use protocol::secret::{Hash, Secret};
use protocol::world::Timestamp;
use store::{Ending, OfSession, Once, UserRecord};

use super::{BackchannelLogout, OnLogout, SignalError, SignalRefusal, Signalled, session_hash};
use crate::pages::Caller;
use crate::{AuthorizationServer, grants};

/// What a logout token says.
#[derive(Debug)]
struct Logout {
    once: Once,
    session: Option<Hash>,
    subject: Option<String>,
}

/// Decides whether these claims, which the provider signed, are a logout token for us (section 2.6).
fn decide(
    claims: LogoutTokenClaims,
    source: &BackchannelLogout,
    now: Timestamp,
) -> Result<Logout, SignalRefusal> {
    if claims.iss != source.issuer {
        return Err(SignalRefusal::Issuer);
    }
    if !claims.aud.contains(&source.client_id) {
        return Err(SignalRefusal::Audience);
    }
    if !claims.is_logout() {
        return Err(SignalRefusal::Event);
    }
    if claims.nonce.is_some() {
        return Err(SignalRefusal::Nonce);
    }
    let begins = claims.nbf.unwrap_or(claims.iat).max(claims.iat);
    let expires_at = super::in_time(begins, claims.exp, now)?;
    let once = super::once(&source.issuer, &claims.jti, expires_at)?;
    let subject = claims.sub.filter(|sub| !sub.is_empty());
    let session = claims.sid.filter(|sid| !sid.is_empty()).map(|sid| session_hash(&source.connector, &sid));
    if subject.is_none() && session.is_none() {
        return Err(SignalRefusal::SubjectMissing);
    }
    Ok(Logout { once, session, subject })
}

/// What it ends; nothing if there is nobody.
fn ending(logout: &Logout, user: Option<&UserRecord>, on_logout: OnLogout, now: Timestamp) -> Option<Ending> {
    let of = OfSession { session: logout.session, people: user.iter().map(|user| user.id).collect() };
    match (on_logout, of.session, user) {
        (_, None, None) => None,
        (OnLogout::Session, ..) => Some(Ending::BrowserSessions(of)),
        (OnLogout::Access, None, Some(user)) => Some(super::everything(&[user.id], now)),
        (OnLogout::Access, Some(_), _) => Some(Ending::Session(of, grants::reach(now))),
    }
}

impl AuthorizationServer {
    /// The back-channel logout endpoint of a provider.
    ///
    /// # Errors
    /// [`SignalError`] if there is no such endpoint, the token is not the provider's word for us, or the record did not answer.
    pub async fn backchannel_logout(
        &self,
        connector: &str,
        form: &Form,
        caller: &Caller,
    ) -> Result<Signalled, SignalError> {
        let now = self.parts.clock.now();
        let source = self.settings.backchannel_logouts.iter().find(|source| source.connector == connector);
        let source = source.ok_or(SignalError::NotOffered)?;
        let judged = self.judge_logout(source, form, (caller, now)).await;
        if let Err(SignalError::Refused(refusal)) = &judged {
            self.refuse_signal(connector, *refusal, caller, now).await;
        }
        judged
    }

    async fn judge_logout(
        &self,
        source: &BackchannelLogout,
        form: &Form,
        (caller, now): (&Caller, Timestamp),
    ) -> Result<Signalled, SignalError> {
        let token = form.get("logout_token").once().ok_or(SignalRefusal::Malformed)?;
        // By the type that is recommended, or by none, as ID tokens have it (section 2.4).
        let expected = (logout_token::TYPES, super::OrUntyped::Yes);
        let token = Secret::new(token.to_owned());
        let claims = super::signed((&source.keys, &source.issuer), &token, expected).await?;
        let logout = decide(claims, source, now)?;
        let user = match &logout.subject {
            Some(subject) => self.person_of(&source.connector, subject).await?,
            None => None,
        };
        let Some(ending) = ending(&logout, user.as_ref(), source.on_logout, now) else {
            return Ok(Signalled::Stranger);
        };
        let what = (source.connector.as_str(), "backchannel_logout");
        let mut audit = self.signal_event(what, user.as_ref(), caller, now);
        audit.detail.insert("ends", source.on_logout.as_str().to_owned());
        Ok(self.end_on_signal(logout.once, ending, vec![audit], now).await?)
    }
}

#[cfg(test)]
mod tests;
