//! What an identity provider says of a person after the sign-in, and what that ends: within T on every node, to the last byte of
//! an open stream (product.md, P-2).
//!
//! Each way of saying it is a file with a pure `decide`. What was said is believed of one provider alone, that of the endpoint:
//! its keys, its issuer, its people. A word is used up in the write that does what it says; a repeat is answered like the first
//! time and does nothing, so that a provider whose answer was lost may ask again. Nobody learns by an answer who is known here.

mod backchannel_logout;
mod error;
mod sources;

use protocol::id::{Id, User};
use protocol::secret::Hash;
use protocol::world::Timestamp;
use store::{
    AuditEvent, AuditKind, Ending, Once, Outcome, ReplayKind, RevocationKind, StopCounts, StoreError,
    UserRecord,
};

pub use error::{SignalError, SignalRefusal};
pub use sources::{BackchannelLogout, OnLogout};

use crate::pages::Caller;
use crate::stop::revocation;
use crate::{AuthorizationServer, grants};

/// A signal that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// What it ends was ended, if there was something.
    Done(StopCounts),
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
fn once(issuer: &str, jti: &str, expires_at: Timestamp) -> Once {
    // An issuer is a URL without a line feed.
    let hash = Hash::of(format!("{issuer}\n{jti}").as_bytes());
    Once { kind: ReplayKind::SecurityEvent, hash, expires_at }
}

/// The end of everything of a person.
fn everything(user: Id<User>, now: Timestamp) -> Ending {
    let entry = revocation(RevocationKind::User, user.to_string(), now);
    Ending::Everything(user, entry, grants::reach(now))
}

impl AuthorizationServer {
    /// The person whom a provider names so. Who is linked to somebody is that person.
    async fn person_of(&self, connector: &str, subject: &str) -> Result<Option<UserRecord>, StoreError> {
        match self.parts.store.find_identity_link(connector, subject).await? {
            Some(link) => self.parts.store.find_user(link.user).await,
            None => self.parts.store.find_identity(connector, subject).await,
        }
    }

    /// Ends it, with its event, on the word of a provider.
    async fn end_on_signal(
        &self,
        once: Once,
        ending: Ending,
        audit: AuditEvent,
    ) -> Result<Signalled, StoreError> {
        let (connector, reason) = (audit.detail.get("connector").cloned(), audit.reason);
        Ok(match self.parts.store.end_on_signal(once, ending, audit).await? {
            None => Signalled::Repeated,
            Some(ended) => {
                tracing::info!(
                    connector,
                    reason,
                    grants = ended.grants,
                    browser_sessions = ended.browser_sessions,
                    "an identity provider said that somebody is out"
                );
                Signalled::Done(ended)
            }
        })
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
