//! Security events that are pushed (RFC 8935): of CAEP and RISC, those that say that a person is out.
//!
//! Others are acknowledged and do nothing, and so is the event by which a transmitter tries out its stream (OpenID Shared Signals
//! Framework 1.0, section 8.1.4). A SET that comes again is acknowledged again (RFC 8935, section 2).

use std::time::Duration;

use protocol::secevent::security_event_token::{self as set, EventKind, SecurityEventTokenClaims as Claims};
use protocol::secevent::subject_identifier::SubjectIdentifier;
use protocol::secret::Secret;
use protocol::world::Timestamp;
use store::{Ending, OfSession, Once};

use super::{
    OrUntyped, SecurityEventTransmitter, SignalError, SignalRefusal, Signalled, session_hash, signed,
};
use crate::pages::Caller;
use crate::{AuthorizationServer, grants};

/// A transmitter that could not reach us goes on trying; beyond this nothing is taken, because nothing is remembered longer.
const LONGEST_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Decides whether these claims, which the transmitter signed, are for us.
fn decide(claims: &Claims, source: &SecurityEventTransmitter, now: Timestamp) -> Result<Once, SignalRefusal> {
    if claims.iss != source.issuer {
        return Err(SignalRefusal::Issuer);
    }
    if !claims.aud.contains(&source.audience) {
        return Err(SignalRefusal::Audience);
    }
    if claims.sub.is_some() || claims.exp.is_some() || claims.events.is_empty() {
        return Err(SignalRefusal::Event);
    }
    let made = Timestamp::from_secs(claims.iat);
    if made > now.plus(super::TOLERANCE) {
        return Err(SignalRefusal::NotYet);
    }
    let expires_at = made.plus(LONGEST_AGE);
    if expires_at <= now {
        return Err(SignalRefusal::Expired);
    }
    super::once(&source.issuer, &claims.jti, expires_at)
}

impl AuthorizationServer {
    /// The push endpoint of a transmitter.
    ///
    /// # Errors
    /// [`SignalError`] if there is no such endpoint, the SET is not the transmitter's word for us, or the record did not answer.
    pub async fn security_event(
        &self,
        connector: &str,
        token: &Secret,
        caller: &Caller,
    ) -> Result<Signalled, SignalError> {
        let now = self.parts.clock.now();
        let all = &self.settings.security_event_transmitters;
        let source =
            all.iter().find(|source| source.connector == connector).ok_or(SignalError::NotOffered)?;
        let judged = self.judge_event(source, token, (caller, now)).await;
        if let Err(SignalError::Refused(refusal)) = &judged {
            self.refuse_signal(connector, *refusal, caller, now).await;
        }
        judged
    }

    async fn judge_event(
        &self,
        source: &SecurityEventTransmitter,
        token: &Secret,
        (caller, now): (&Caller, Timestamp),
    ) -> Result<Signalled, SignalError> {
        let expected = (set::TYPES, OrUntyped::No);
        let claims: Claims = signed((&source.keys, &source.issuer), token, expected).await?;
        let once = decide(&claims, source, now)?;
        let mut out = claims.read().filter(|(kind, _)| *kind == EventKind::Out).map(|(_, subject)| subject);
        let Some(subject) = out.next() else {
            if claims.read().any(|(kind, _)| kind == EventKind::Verification) {
                tracing::info!(connector = source.connector, "a transmitter of security events was heard");
            }
            return Ok(Signalled::Ignored);
        };
        // Several events of one SET are aspects of one thing that happened to one subject (RFC 8417, section 2). To do the first
        // and acknowledge all would leave somebody in.
        if out.any(|other| other != subject) {
            return Err(SignalRefusal::Event.into());
        }
        let subject = subject.ok_or(SignalRefusal::SubjectMissing)?;
        self.end_subject(source, once, &subject, (caller, now)).await
    }

    async fn end_subject(
        &self,
        source: &SecurityEventTransmitter,
        once: Once,
        subject: &SubjectIdentifier,
        (caller, now): (&Caller, Timestamp),
    ) -> Result<Signalled, SignalError> {
        let what = (source.connector.as_str(), "security_event");
        let (user, session) = match subject {
            SubjectIdentifier::Complex { user, session } => (user.as_deref(), session.as_deref()),
            SubjectIdentifier::Email(_)
            | SubjectIdentifier::IssSub { .. }
            | SubjectIdentifier::Opaque(_)
            | SubjectIdentifier::Other => (Some(subject), None),
        };
        let people = match user {
            Some(user) => self.people_of((&source.connector, &source.issuer), user).await?,
            None => Some(Vec::new()),
        };
        let people = people.ok_or(SignalRefusal::SubjectFormat)?;
        let Some(sid) = session else {
            return Ok(self.end_people(once, &people, what, (caller, now)).await?);
        };
        let of =
            OfSession { session: Some(session_hash(&source.connector, sid)), people: super::ids(&people) };
        let audit = match people.as_slice() {
            [] => vec![self.signal_event(what, None, caller, now)],
            people => self.signal_events(what, people, caller, now),
        };
        Ok(self.end_on_signal(once, Ending::Session(of, grants::reach(now)), audit, now).await?)
    }
}
