//! Signing in while the identity provider is away: by a code that somebody with the master key made for one person, good
//! once and for minutes.
//!
//! A code lets in whom the provider would have been asked about, so it is made beside the record and its keys, never by
//! anything that comes over the network; and whose it is stands sealed, so that whoever can only write into the record
//! makes none. Using one is an event of its own, and an error in the log, because somebody must look.

use std::time::Duration;

use protocol::id::{EmergencyLogin as Row, Id, User};
use protocol::keys::Keys;
use protocol::secret::{Hash, Secret};
use protocol::world::{Clock, Entropy, Timestamp};
use store::{
    AuditEvent, AuditKind, AuditSubject, BrowserSessionRecord, EmergencyLoginRecord, Outcome, SignInStep,
    Store, StoreError, UseEmergencyLogin, UserRecord,
};

use super::{LoginError, LoginReason, SignedIn};
use crate::browser::{self, Browser};
use crate::pages::{Caller, LoginPage};
use crate::pending::Pending;
use crate::{AuthorizationServer, forms};

/// What a code begins with, so that a person and a scanner know it.
const PREFIX: &str = "ske_";

/// The form of the page, as it was sent.
#[derive(Debug)]
pub struct EmergencyForm {
    /// The sign-in.
    pub authorization: String,
    /// The code.
    pub code: Secret,
    /// The token of the form.
    pub csrf: String,
}

/// What an emergency login is made with.
#[derive(Debug, Clone, Copy)]
pub struct Emergency<'a> {
    /// The record.
    pub store: &'a dyn Store,
    /// Its keys.
    pub keys: &'a Keys,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Chance.
    pub entropy: &'a dyn Entropy,
}

/// A code, to be shown once.
#[derive(Debug)]
pub struct EmergencyCode {
    /// The code.
    pub code: Secret,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// What is sealed is bound to its row, so that it opens there only (attacks.md, ST-02).
fn context(id: &Id<Row>) -> [&[u8]; 3] {
    [b"emergency_logins", b"sealed", id.as_bytes()]
}

/// What is sealed: which code, and whose.
fn contents(hash: &Hash, user: Id<User>) -> Vec<u8> {
    [hash.as_bytes().as_slice(), user.as_bytes()].concat()
}

impl Emergency<'_> {
    /// Makes a code for a person who has signed in before. `None` if the person is shut out, or gone.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer; then there is no code.
    pub async fn make(
        &self,
        user: &UserRecord,
        life: Duration,
        why: &str,
    ) -> Result<Option<EmergencyCode>, StoreError> {
        let (now, code) = (self.clock.now(), Secret::random(PREFIX, self.entropy));
        let (hash, expires_at) = (code.hash(), now.plus(life));
        let row = Id::mint(now, self.entropy);
        let contents = contents(&hash, user.id);
        let sealed = self.keys.sealing.active().seal(&context(&row), &contents, self.entropy);
        let record =
            EmergencyLoginRecord { id: row, hash, user: user.id, sealed, created_at: now, expires_at };
        let id = Id::mint(now, self.entropy);
        let mut audit = AuditEvent::new(id, now, AuditKind::EmergencyLoginMade, Outcome::Ok);
        audit.user = Some(user.id);
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt);
        let name = user.email.clone().or_else(|| user.name.clone());
        audit.subject = Some(AuditSubject { salt, name, address: None });
        audit.detail.insert("expires_at", expires_at.secs().to_string());
        audit.detail.insert("why", why.to_owned());
        let stored = self.store.put_emergency_login(record, audit).await?;
        Ok(stored.then_some(EmergencyCode { code, expires_at }))
    }
}

impl AuthorizationServer {
    /// The page that asks for a code. There is none while no code is open.
    ///
    /// # Errors
    /// [`LoginError`] if there is no such sign-in in this browser, or it can no longer go on.
    pub async fn emergency_page(
        &self,
        authorization: &str,
        browser: &Browser,
    ) -> Result<Option<LoginPage>, LoginError> {
        let page = self.login_page(authorization, browser).await?;
        Ok(page.has_emergency.then_some(page))
    }

    /// Signs a person in by a code.
    ///
    /// # Errors
    /// [`LoginError`] if the form is not of this sign-in in this browser, or the code is not good.
    pub async fn emergency_login(
        &self,
        form: EmergencyForm,
        browser: Browser,
        caller: &Caller,
    ) -> Result<SignedIn, LoginError> {
        let now = self.parts.clock.now();
        let pending =
            self.find_pending(&form.authorization, &browser, now).await.map_err(LoginError::from_parts)?;
        let reference = pending.record.reference.clone();
        match self.use_code(&pending, &form, caller, now).await {
            Ok(signed_in) => {
                self.leave(&browser).await;
                Ok(signed_in)
            }
            Err(reason) => {
                self.append_refusal(self.refused_sign_in(&pending.record, &reason, caller, now)).await;
                Err(LoginError { reason, reference })
            }
        }
    }

    async fn use_code(
        &self,
        Pending { record, binding }: &Pending,
        form: &EmergencyForm,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<SignedIn, LoginReason> {
        forms::read_login_form(&self.parts.keys.load().forms, &form.csrf, record.id, binding)
            .ok_or(LoginReason::CsrfMismatch)?;
        self.client_on_page(record).await?.ok_or(LoginReason::ClientGone)?;
        let hash = form.code.hash();
        let found = self.parts.store.find_emergency_login(&hash, now).await?;
        let (login, user) = found.ok_or(LoginReason::EmergencyCodeUnknown)?;
        self.is_sealed_for(&login, user.id).ok_or(LoginReason::SealBroken)?;
        let set_session = browser::mint_session(&*self.parts.entropy);
        let expires_at = now.plus(self.settings.lifetimes.browser_session);
        let session = BrowserSessionRecord {
            hash: set_session.hash(),
            user: user.id,
            created_at: now,
            authenticated_at: now,
            expires_at,
            upstream_session: None,
        };
        let mut audit = self.event_of(record, AuditKind::EmergencySignIn, Outcome::Ok, now);
        audit.user = Some(user.id);
        audit.subject = Some(self.subject(Some(&user), Some(caller.address.to_string())));
        if !self.parts.store.use_emergency_login(UseEmergencyLogin { hash, session, audit }).await? {
            return Err(LoginReason::EmergencyCodeUnknown);
        }
        self.sign_in_next(record.id, SignInStep::SignedIn, (Some(user.id), now));
        let reference = record.reference.as_str();
        tracing::error!(user = %user.id, reference, "somebody signed in by an emergency code");
        Ok(SignedIn { expires_at, resume: record.id, set_session })
    }

    fn is_sealed_for(&self, login: &EmergencyLoginRecord, user: Id<User>) -> Option<()> {
        let keys = self.parts.keys.load();
        let opened = keys.sealing.open(&context(&login.id), &login.sealed).ok()?;
        (opened.as_slice() == contents(&login.hash, user)).then_some(())
    }
}

#[cfg(test)]
mod tests;
