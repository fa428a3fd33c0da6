//! Whom an ID-JAG is about here (draft-ietf-oauth-identity-assertion-authz-grant, section 6): the person whom its issuer's
//! connector names so, or who was linked; somebody new only where the operator said so.
//!
//! The lasting key is issuer and subject. An address makes nobody somebody else, unless the operator says so of this issuer, it
//! vouches for the address, and exactly one of its people has it; the link is then as an operator's, and told. Somebody new
//! has no groups until they sign in by a browser, and is made only once everything else of the request has been judged.

use protocol::id::Id;
use protocol::world::Timestamp;
use store::{AuditKind, IdentityLinkRecord, LinkOutcome, NewIdentity, Outcome, StoreError, UserRecord};

use super::{Claims, Grantable, IdJagRefusal};
use crate::AuthorizationServer;
use crate::grants::admit;
use crate::pages::Caller;
use crate::token::TokenError;
use crate::trusted_issuers::{NewPeople, TrustedIssuer};

/// No honest name, and no honest address, is longer.
const LONGEST: usize = 320;

impl AuthorizationServer {
    /// The person, who may use the MCP server.
    pub(super) async fn person(
        &self,
        (issuer, claims): (&TrustedIssuer, &Claims),
        grantable: &Grantable<'_>,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<UserRecord, TokenError> {
        let store = &self.parts.store;
        let known = match store.find_person(&issuer.connector, &claims.sub).await? {
            Some(known) => Some(known),
            None => self.linked_by_address(issuer, claims, caller, now).await?,
        };
        if let Some(known) = known {
            admit(Some(&known), Some(grantable.server)).map_err(IdJagRefusal::Person)?;
            return Ok(known);
        }
        match issuer.new_people {
            NewPeople::Refuse => Err(IdJagRefusal::PersonUnknown.into()),
            NewPeople::Create => {
                let new = self.new_person(issuer, claims, now);
                // As they would be: who may not use anything here is not made.
                admit(Some(&new), Some(grantable.server)).map_err(IdJagRefusal::Person)?;
                let made = self.made(new, issuer, caller).await?;
                admit(Some(&made), Some(grantable.server)).map_err(IdJagRefusal::Person)?;
                Ok(made)
            }
        }
    }

    fn new_person(&self, issuer: &TrustedIssuer, claims: &Claims, now: Timestamp) -> UserRecord {
        UserRecord {
            id: Id::mint(now, &*self.parts.entropy),
            connector: issuer.connector.clone(),
            subject: claims.sub.clone(),
            name: claims.name.as_deref().filter(|name| is_a_line(name)).map(str::to_owned),
            email: verified_address(claims).map(str::to_owned),
            groups: Vec::new(),
            created_at: now,
            last_sign_in_at: now,
            disabled_at: None,
        }
    }

    async fn made(
        &self,
        new: UserRecord,
        issuer: &TrustedIssuer,
        caller: &Caller,
    ) -> Result<UserRecord, StoreError> {
        let mut audit = self.event(AuditKind::PersonMade, Outcome::Ok, new.created_at);
        audit.user = Some(new.id);
        audit.subject = Some(self.subject(Some(&new), Some(caller.address.to_string())));
        audit.detail.insert("connector", issuer.connector.clone());
        audit.detail.insert("issuer", issuer.issuer.clone());
        let identity = NewIdentity {
            id: new.id,
            connector: new.connector,
            subject: new.subject,
            name: new.name,
            email: new.email,
            groups: new.groups,
        };
        self.parts.store.make_person(identity, audit).await
    }

    /// The one of the issuer's people who has the address that it vouches for, linked from now on.
    async fn linked_by_address(
        &self,
        issuer: &TrustedIssuer,
        claims: &Claims,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Option<UserRecord>, TokenError> {
        let Some(address) = verified_address(claims).filter(|_| issuer.link_by_email) else {
            return Ok(None);
        };
        let store = &self.parts.store;
        let mut having = store.list_by_address(&issuer.connector, address).await?;
        let Some(known) = having.pop() else { return Ok(None) };
        if !having.is_empty() {
            return Err(IdJagRefusal::AddressAmbiguous.into());
        }
        if known.disabled_at.is_some() {
            return Ok(Some(known));
        }
        let mut audit = self.event(AuditKind::IdentityLinked, Outcome::Ok, now);
        audit.user = Some(known.id);
        audit.reason = Some("by_verified_address");
        audit.subject = Some(self.subject(Some(&known), Some(caller.address.to_string())));
        audit.detail.insert("identity", format!("{}:{}", issuer.connector, claims.sub));
        audit.detail.insert("issuer", issuer.issuer.clone());
        let link = IdentityLinkRecord {
            connector: issuer.connector.clone(),
            subject: claims.sub.clone(),
            user: known.id,
            created_at: now,
        };
        match store.link_identity(link, None, audit).await? {
            LinkOutcome::Linked(_) => Ok(Some(known)),
            // Somebody else was faster, or an operator shut the person out.
            LinkOutcome::Refused => Ok(store.find_person(&issuer.connector, &claims.sub).await?),
        }
    }
}

fn is_a_line(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The address, if the issuer says itself that it verified it.
fn verified_address(claims: &Claims) -> Option<&str> {
    let address = claims.email.as_deref().filter(|_| claims.email_verified == Some(true))?;
    (is_a_line(address) && address.contains('@')).then_some(address)
}
