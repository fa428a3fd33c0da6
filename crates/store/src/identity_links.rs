//! Links: who signs in by another identity provider and is somebody who is known already (product.md, P-11).
//!
//! A link is made by an operator and never by an address. What it means for a sign-in stands in
//! [`users`](crate::Users::sign_in): whoever comes as the linked identity is the person, with the groups that the provider
//! of this sign-in tells. Nobody who is shut out gains or loses one.

use protocol::id::{Id, User};
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Write, Written, params};
use crate::statements::statement_list;
use crate::stop::Before;
use crate::{Answer, AuditEvent, Revocation, StopCounts, StoreError, audit_events, stop};

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityLinkRecord {
    /// The connector that vouches.
    pub connector: String,
    /// Its immutable identifier of the person.
    pub subject: String,
    /// Who that is here.
    pub user: Id<User>,
    /// When it was linked.
    pub created_at: Timestamp,
}

/// How linking ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkOutcome {
    /// Linked; what the identity had as a person of its own was ended.
    Linked(StopCounts),
    /// One of the two is shut out, linked already, has others linked to it, is a service account, or both are one; or the
    /// identity is a person of its own and `ends` is of nobody. Nothing was written.
    Refused,
}

/// The links in the record.
pub trait IdentityLinks: Send + Sync {
    /// Links an identity to a person. `ends` is the end of all that the identity has as a person of its own, if it is one.
    fn link_identity(
        &self,
        link: IdentityLinkRecord,
        ends: Option<Revocation>,
        audit: AuditEvent,
    ) -> Answer<'_, LinkOutcome>;

    /// Undoes a link, and ends all of the person: by which of the two it was begun, nobody can tell. `None` if there is no
    /// such link, or the person is shut out.
    fn unlink_identity(
        &self,
        link: IdentityLinkRecord,
        ends: Revocation,
        audit: AuditEvent,
    ) -> Answer<'_, Option<StopCounts>>;

    /// The link of an identity.
    fn find_identity_link<'a>(
        &'a self,
        connector: &'a str,
        subject: &'a str,
    ) -> Answer<'a, Option<IdentityLinkRecord>>;

    /// What is linked to a person.
    fn list_identity_links(&self, user: Id<User>) -> Answer<'_, Vec<IdentityLinkRecord>>;
}

statement_list! {
    // Held until the end of the write, so that a stop of either comes before it or after it.
    HOLD = "UPDATE users SET disabled_at = disabled_at WHERE id = $1 OR (connector = $2 AND subject = $3)";
    LINK = "INSERT INTO identity_links (connector, subject, user_id, created_at) \
        SELECT $1, $2, u.id, $3 FROM users u WHERE u.id = $4 AND u.disabled_at IS NULL \
        AND u.connector <> 'service-account' AND NOT (u.connector = $1 AND u.subject = $2) \
        AND NOT EXISTS (SELECT 1 FROM identity_links l WHERE l.connector = u.connector AND l.subject = u.subject) \
        AND NOT EXISTS (SELECT 1 FROM users o WHERE o.connector = $1 AND o.subject = $2 \
            AND (o.disabled_at IS NOT NULL OR EXISTS (SELECT 1 FROM identity_links k WHERE k.user_id = o.id))) \
        ON CONFLICT (connector, subject) DO NOTHING";
    // Of an identity that nobody signed in by yet.
    LINK_NEW = "INSERT INTO identity_links (connector, subject, user_id, created_at) \
        SELECT $1, $2, u.id, $3 FROM users u WHERE u.id = $4 AND u.disabled_at IS NULL \
        AND u.connector <> 'service-account' \
        AND NOT EXISTS (SELECT 1 FROM identity_links l WHERE l.connector = u.connector AND l.subject = u.subject) \
        AND NOT EXISTS (SELECT 1 FROM users o WHERE o.connector = $1 AND o.subject = $2) \
        ON CONFLICT (connector, subject) DO NOTHING";
    UNLINK = "DELETE FROM identity_links WHERE connector = $1 AND subject = $2 AND user_id = $3 \
        AND EXISTS (SELECT 1 FROM users u WHERE u.id = $3 AND u.disabled_at IS NULL)";
    FIND = "SELECT connector, subject, user_id, created_at FROM identity_links WHERE connector = $1 AND subject = $2";
    OF_USER = "SELECT connector, subject, user_id, created_at FROM identity_links WHERE user_id = $1 \
        ORDER BY connector, subject";
}

impl IdentityLinks for Engine {
    fn link_identity(
        &self,
        link: IdentityLinkRecord,
        ends: Option<Revocation>,
        audit: AuditEvent,
    ) -> Answer<'_, LinkOutcome> {
        Box::pin(async move {
            let (connector, subject) = (link.connector.as_str(), link.subject.as_str());
            let hold = Step::any(HOLD, params![link.user, connector, subject]);
            let row = params![connector, subject, link.created_at, link.user];
            let linked = match ends {
                Some(ends) => {
                    let first = vec![hold, Step::one(LINK, row)];
                    stop::stop_after(self, Before { first, ..Before::default() }, ends, audit).await?
                }
                None => {
                    let mut steps = vec![hold, Step::one(LINK_NEW, row)];
                    audit_events::push(&mut steps, &audit)?;
                    match self.write(Write::new(steps)).await? {
                        Written::Done(_) => Some(StopCounts::default()),
                        Written::Missed(_) => None,
                    }
                }
            };
            Ok(linked.map_or(LinkOutcome::Refused, LinkOutcome::Linked))
        })
    }

    fn unlink_identity(
        &self,
        link: IdentityLinkRecord,
        ends: Revocation,
        audit: AuditEvent,
    ) -> Answer<'_, Option<StopCounts>> {
        Box::pin(async move {
            let (connector, subject) = (link.connector.as_str(), link.subject.as_str());
            let hold = Step::any(HOLD, params![link.user, connector, subject]);
            let first = vec![hold, Step::one(UNLINK, params![connector, subject, link.user])];
            stop::stop_after(self, Before { first, ..Before::default() }, ends, audit).await
        })
    }

    fn find_identity_link<'a>(
        &'a self,
        connector: &'a str,
        subject: &'a str,
    ) -> Answer<'a, Option<IdentityLinkRecord>> {
        Box::pin(async move { self.one(FIND, params![connector, subject]).await?.map(decode).transpose() })
    }

    fn list_identity_links(&self, user: Id<User>) -> Answer<'_, Vec<IdentityLinkRecord>> {
        Box::pin(async move { self.many(OF_USER, params![user]).await?.into_iter().map(decode).collect() })
    }
}

fn decode(row: Row) -> Result<IdentityLinkRecord, StoreError> {
    let mut row = Decoder::new("identity_links", row);
    Ok(IdentityLinkRecord {
        connector: row.text("connector")?,
        subject: row.text("subject")?,
        user: row.id("user_id")?,
        created_at: row.time("created_at")?,
    })
}
