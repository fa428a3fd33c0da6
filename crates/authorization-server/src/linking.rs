//! Who is one person: an operator links an identity at another provider to somebody, or undoes it (product.md, P-11).
//!
//! Never by an address, and never by the person alone: what somebody types at a provider is not proof of who they are at
//! another.

use store::{
    AuditEvent, AuditKind, IdentityLinkRecord, LinkOutcome, RevocationKind, StopCounts, StoreError,
    UserRecord,
};

use crate::stop::{Stopping, Target, revocation};

/// An identity, as a connector vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedIdentity {
    /// The connector.
    pub connector: String,
    /// The provider's identifier.
    pub subject: String,
}

impl Stopping<'_> {
    /// Links an identity to a person. `own` is the person that the identity is so far, if it signed in before: all that is
    /// theirs ends. What was ended, or `None` if the record refuses.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn link(
        &self,
        identity: &LinkedIdentity,
        own: Option<&UserRecord>,
        to: &UserRecord,
        note: Option<&str>,
    ) -> Result<Option<StopCounts>, StoreError> {
        let now = self.clock.now();
        let link = IdentityLinkRecord {
            connector: identity.connector.clone(),
            subject: identity.subject.clone(),
            user: to.id,
            created_at: now,
        };
        let ends = own.map(|own| revocation(RevocationKind::User, own.id.to_string(), now));
        let event = self.link_event(AuditKind::IdentityLinked, identity, to, note);
        Ok(match self.store.link_identity(link, ends, event).await? {
            LinkOutcome::Linked(ended) => Some(ended),
            LinkOutcome::Refused => None,
        })
    }

    /// Undoes a link, and ends all of the person. What was ended, or `None` if they are kept out or not linked any more.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn unlink(
        &self,
        link: IdentityLinkRecord,
        of: &UserRecord,
        note: Option<&str>,
    ) -> Result<Option<StopCounts>, StoreError> {
        let identity = LinkedIdentity { connector: link.connector.clone(), subject: link.subject.clone() };
        let ends = revocation(RevocationKind::User, of.id.to_string(), self.clock.now());
        let event = self.link_event(AuditKind::IdentityUnlinked, &identity, of, note);
        self.store.unlink_identity(link, ends, event).await
    }

    fn link_event(
        &self,
        kind: AuditKind,
        identity: &LinkedIdentity,
        of: &UserRecord,
        note: Option<&str>,
    ) -> AuditEvent {
        let target = Target::User(Box::new(of.clone()));
        let mut event = self.event(kind, &target, note, self.clock.now());
        event.detail.insert("identity", format!("{}:{}", identity.connector, identity.subject));
        event
    }
}
