//! What an identity provider says of a person after the sign-in, and what that ends: within T on every node, to the last byte of
//! an open stream (product.md, P-2).
//!
//! Each way of saying it is a file with a pure `decide`. What was said is believed of one provider alone, that of the endpoint:
//! its keys, its issuer, its people. A word is used up in the one write that does all that it says, of however many people; a
//! repeat is answered like the first time and does nothing, so that a provider whose answer was lost may ask again. Nobody learns by an answer who is known here.

mod backchannel_logout;
mod error;
mod global_token_revocation;
mod recheck;
mod security_events;
mod sources;

use std::time::Duration;

use protocol::id::{Id, User};
use protocol::jose::{Expect, JoseError};
use protocol::secevent::subject_identifier::SubjectIdentifier;
use protocol::secret::{Hash, Secret};
use protocol::world::Timestamp;
use serde::de::DeserializeOwned;
use store::{
    AuditEvent, AuditKind, Ending, Once, Outcome, ReplayKind, RevocationKind, StopCounts, StoreError,
    UserRecord,
};
use upstream::key_sets::KeySetError;

pub use error::{SignalError, SignalRefusal};
pub use recheck::Rechecks;
pub use sources::{BackchannelLogout, GlobalTokenRevocation, OnLogout, SecurityEventTransmitter};

use crate::pages::Caller;
use crate::stop::revocation;
use crate::trusted_issuers::IssuerKeys;
use crate::{AuthorizationServer, capabilities, grants};

/// How far the provider's clock may be from ours.
const TOLERANCE: Duration = Duration::from_secs(60);
/// Signals are made for minutes; they are remembered as long as they are good.
const LONGEST_LIFE: Duration = Duration::from_secs(60 * 60);
/// No honest id of a token is longer.
const LONGEST_ID: usize = 255;

/// A signal that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// What it ends was ended, if there was something.
    Done(StopCounts),
    /// It is true and means nothing here.
    Ignored,
    /// It was taken before.
    Repeated,
    /// It is of nobody who is known here. The provider is told the same.
    Stranger,
}

impl Signalled {
    /// For the metric.
    #[must_use]
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Ignored => "ignored",
            Self::Repeated => "repeated",
            Self::Stranger => "stranger",
        }
    }
}

/// What names a session at a provider in the record. The name of a connector has no line feed, so no two pairs have one hash.
pub(crate) fn session_hash(connector: &str, sid: &str) -> Hash {
    Hash::of(format!("{connector}\n{sid}").as_bytes())
}

/// A word of an issuer that is used once.
fn once(issuer: &str, jti: &str, expires_at: Timestamp) -> Result<Once, SignalRefusal> {
    if jti.is_empty() || jti.len() > LONGEST_ID {
        return Err(SignalRefusal::IdMissing);
    }
    // An issuer is a URL without a line feed.
    let hash = Hash::of(format!("{issuer}\n{jti}").as_bytes());
    Ok(Once { kind: ReplayKind::SecurityEvent, hash, expires_at })
}

/// Whether what is good from then to then, in seconds since 1970, is good now; and until when nobody takes it any more.
fn in_time(begins: i64, ends: i64, now: Timestamp) -> Result<Timestamp, SignalRefusal> {
    let ends = Timestamp::from_secs(ends);
    let expires_at = ends.plus(TOLERANCE);
    if expires_at <= now {
        return Err(SignalRefusal::Expired);
    }
    if ends > now.plus(LONGEST_LIFE) {
        return Err(SignalRefusal::LivesTooLong);
    }
    if Timestamp::from_secs(begins) > now.plus(TOLERANCE) {
        return Err(SignalRefusal::NotYet);
    }
    Ok(expires_at)
}

/// Whether a token without a type of its own is taken, as ID tokens are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrUntyped {
    No,
    Yes,
}

/// The claims of a token of one of these types that the provider signed.
async fn signed<C: DeserializeOwned>(
    (keys, issuer): (&IssuerKeys, &str),
    token: &Secret,
    (types, or_untyped): (&[&str], OrUntyped),
) -> Result<C, SignalRefusal> {
    let algorithms = capabilities::SIGNAL_ALGORITHMS;
    let verified = match keys.verify(token, &Expect { typ: Some(types), algorithms }).await {
        Err(KeySetError::Refused(JoseError::Type)) if or_untyped == OrUntyped::Yes => {
            keys.verify(token, &Expect { typ: None, algorithms }).await
        }
        judged => judged,
    };
    verified.map_err(|error| {
        let refusal = SignalRefusal::from(error);
        if refusal == SignalRefusal::KeysMissing {
            tracing::warn!(%error, issuer, "the keys of an identity provider cannot be had");
        }
        refusal
    })
}

/// The end of everything of these people.
fn everything(people: &[Id<User>], now: Timestamp) -> Ending {
    let entry = |user: &Id<User>| revocation(RevocationKind::User, user.to_string(), now);
    Ending::Everything(people.iter().map(entry).collect(), grants::reach(now))
}

fn ids(people: &[UserRecord]) -> Vec<Id<User>> {
    people.iter().map(|user| user.id).collect()
}

impl AuthorizationServer {
    /// The person whom a provider names so. Who is linked to somebody is that person.
    async fn person_of(&self, connector: &str, subject: &str) -> Result<Option<UserRecord>, StoreError> {
        match self.parts.store.find_identity_link(connector, subject).await? {
            Some(link) => self.parts.store.find_user(link.user).await,
            None => self.parts.store.find_identity(connector, subject).await,
        }
    }

    /// The people whom a provider names by an identifier; `None` for one that cannot be followed.
    ///
    /// By an address nobody becomes anybody (product.md, P-11), but a provider may end what is theirs of all of its people who have
    /// that verified address.
    async fn people_of(
        &self,
        (connector, issuer): (&str, &str),
        subject: &SubjectIdentifier,
    ) -> Result<Option<Vec<UserRecord>>, StoreError> {
        let found = match subject {
            SubjectIdentifier::Email(email) => self.parts.store.list_people_at(connector, email).await?,
            SubjectIdentifier::IssSub { iss, sub } if iss == issuer => {
                self.person_of(connector, sub).await?.into_iter().collect()
            }
            // Of another issuer's people it may not speak; it is told the same as of somebody unknown.
            SubjectIdentifier::IssSub { .. } => Vec::new(),
            SubjectIdentifier::Opaque(id) => {
                let own = match id.parse::<Id<User>>() {
                    Ok(own) => self.parts.store.find_user(own).await?,
                    Err(_) => None,
                };
                match own {
                    Some(user) if self.is_of(&user, connector).await? => vec![user],
                    Some(_) => Vec::new(),
                    None => self.person_of(connector, id).await?.into_iter().collect(),
                }
            }
            SubjectIdentifier::Complex { .. } | SubjectIdentifier::Other => return Ok(None),
        };
        Ok(Some(found))
    }

    /// Whether the provider vouches for this person, by their own identity or a linked one.
    async fn is_of(&self, user: &UserRecord, connector: &str) -> Result<bool, StoreError> {
        if user.connector == connector {
            return Ok(true);
        }
        let links = self.parts.store.list_identity_links(user.id).await?;
        Ok(links.iter().any(|link| link.connector == connector))
    }

    /// Ends everything of these people. Of nobody the word is used up alone.
    async fn end_people(
        &self,
        once: Once,
        people: &[UserRecord],
        what: (&str, &'static str),
        (caller, now): (&Caller, Timestamp),
    ) -> Result<Signalled, StoreError> {
        let audit = self.signal_events(what, people, caller, now);
        let signalled = self.end_on_signal(once, everything(&ids(people), now), audit, now).await?;
        Ok(match signalled {
            Signalled::Done(_) if people.is_empty() => Signalled::Stranger,
            Signalled::Done(_) | Signalled::Ignored | Signalled::Repeated | Signalled::Stranger => signalled,
        })
    }

    /// Ends it, with its events, on the word of a provider.
    async fn end_on_signal(
        &self,
        once: Once,
        ending: Ending,
        audit: Vec<AuditEvent>,
        now: Timestamp,
    ) -> Result<Signalled, StoreError> {
        let told: Vec<_> =
            audit.iter().map(|event| (event.detail.get("connector").cloned(), event.reason)).collect();
        Ok(match self.parts.store.end_on_signal(once, ending, audit, now).await? {
            None => Signalled::Repeated,
            Some(ended) => {
                if let Some((connector, reason)) = told.first() {
                    tracing::info!(
                        connector,
                        reason,
                        people = told.len(),
                        grants = ended.grants,
                        browser_sessions = ended.browser_sessions,
                        "an identity provider said that somebody is out"
                    );
                }
                Signalled::Done(ended)
            }
        })
    }

    /// The events of a signal, one for each of these people.
    fn signal_events(
        &self,
        what: (&str, &'static str),
        people: &[UserRecord],
        caller: &Caller,
        now: Timestamp,
    ) -> Vec<AuditEvent> {
        people.iter().map(|user| self.signal_event(what, Some(user), caller, now)).collect()
    }

    /// The event of a signal.
    fn signal_event(
        &self,
        (connector, reason): (&str, &'static str),
        user: Option<&UserRecord>,
        caller: &Caller,
        now: Timestamp,
    ) -> AuditEvent {
        let mut audit = self.event(AuditKind::SignalReceived, Outcome::Ok, now);
        audit.reason = Some(reason);
        audit.user = user.map(|user| user.id);
        audit.subject = Some(self.subject(user, Some(caller.address.to_string())));
        audit.detail.insert("connector", connector.to_owned());
        audit
    }

    /// What a provider signed and is refused all the same is written down; what anybody could have sent is logged by the door.
    async fn refuse_signal(&self, connector: &str, refusal: SignalRefusal, caller: &Caller, now: Timestamp) {
        if !refusal.is_signed() {
            return;
        }
        let mut audit = self.signal_event((connector, refusal.reason()), None, caller, now);
        audit.kind = AuditKind::SignalRefused;
        audit.outcome = Outcome::Refused;
        self.append_refusal(audit).await;
    }
}
