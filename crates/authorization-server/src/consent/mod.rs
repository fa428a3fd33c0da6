//! Consent (product.md, P-9): what a person is shown, and what they decide.
//!
//! The form is bound to the sign-in, to person and browser, and to the facts that were shown. Whatever else it says
//! (client, redirect URI, resource) is not read: the record is the only source (attacks.md, CS-05). Consent is always
//! asked; nothing is remembered.

mod error;

use protocol::id::Reference;
use protocol::oauth::{AuthorizationResponse, ErrorCode, Scope, VerifiedRedirectUri};
use protocol::secret::{Hash, Secret};
use protocol::world::Timestamp;
use store::{
    AuditEvent, AuditKind, AuthorizationRecord, AuthorizationState, Consent, ConsentOutcome, Outcome,
    SignInStep, UserRecord,
};

pub use error::{ConsentError, ConsentReason};

use crate::browser::Browser;
use crate::clients::{Client, Judged};
use crate::forms::{self, Judgement};
use crate::grants::{self, PersonRefusal};
use crate::pages::{Account, ConsentPage, GrantLifetime, ScopeOnPage};
use crate::pending::Pending;
use crate::sessions::Session;
use crate::settings::ServerEntry;
use crate::{AuthorizationServer, prompt};

/// The form of the consent page, as it was sent.
#[derive(Debug, Clone)]
pub struct ConsentForm {
    /// The sign-in.
    pub authorization: String,
    /// The token of the form.
    pub csrf: String,
    /// Which button was pressed.
    pub decision: Verdict,
    /// What was ticked.
    pub scope: Vec<String>,
}

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, to what is ticked.
    Allow,
    /// No.
    Deny,
}

/// A decision: what the client is told, and where.
#[derive(Debug)]
pub struct ConsentAnswer {
    /// The answer for the client.
    pub response: AuthorizationResponse,
    /// Where it goes, verified anew.
    pub to: VerifiedRedirectUri,
}

/// Everything a consent page stands on.
pub(crate) struct Facts {
    pub(crate) client: Client,
    pub(crate) record: AuthorizationRecord,
    pub(crate) session: Session,
    pub(crate) to: VerifiedRedirectUri,
}

/// Decides whether this person may be asked: signed in, recently enough, and admitted to the MCP server.
fn decide_person(
    record: &AuthorizationRecord,
    session: Option<Session>,
    server: Option<&ServerEntry>,
) -> Result<Session, ConsentReason> {
    let session = session.ok_or(ConsentReason::LoginRequired)?;
    // A leg under way is a person who is just signing in, perhaps as somebody else: that comes first.
    if matches!(record.state, AuthorizationState::UpstreamLeg(_)) {
        return Err(ConsentReason::LoginRequired);
    }
    // An old session does not get past a request that demanded a new proof (attacks.md, AZ-32).
    if !prompt::is_fresh(&record.request, record.created_at, session.record.authenticated_at) {
        return Err(ConsentReason::LoginRequired);
    }
    match grants::admit(Some(&session.user), server) {
        Ok(()) => Ok(session),
        Err(PersonRefusal::ClientOutside) => Err(ConsentReason::ClientOutside),
        Err(PersonRefusal::Disabled) => Err(ConsentReason::PersonDisabled),
        Err(PersonRefusal::NotAdmitted) => Err(ConsentReason::NotAdmitted),
        Err(PersonRefusal::ServerGone) => Err(ConsentReason::ServerGone),
    }
}

/// What a form decides.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decided {
    Allowed(Scope),
    Denied,
}

/// Decides what a form is worth. A no counts even if the page was stale; a yes is a yes to what was shown.
fn decide_form(form: &ConsentForm, judgement: Judgement, offered: &Scope) -> Result<Decided, ConsentReason> {
    match (judgement, form.decision) {
        (Judgement::Foreign, Verdict::Allow | Verdict::Deny) => Err(ConsentReason::CsrfMismatch),
        (Judgement::Current | Judgement::Stale, Verdict::Deny) => Ok(Decided::Denied),
        (Judgement::Stale, Verdict::Allow) => Err(ConsentReason::StalePage),
        (Judgement::Current, Verdict::Allow) => {
            let is_ticked = |token: &str| form.scope.iter().any(|ticked| ticked == token);
            let ticked: Scope = offered.iter().filter(|token| is_ticked(token.as_str())).cloned().collect();
            // A server without scopes has nothing to tick.
            if ticked.is_empty() && !offered.is_empty() {
                return Err(ConsentReason::NothingTicked);
            }
            Ok(Decided::Allowed(ticked))
        }
    }
}

/// The hash of what a consent page shows. Parts are framed by their lengths, so that no two pages have one hash.
fn shown(record: &AuthorizationRecord, client: &Client, user: &UserRecord) -> Hash {
    let name = client.metadata().client_name.as_deref();
    let scope = record.request.scope.to_string();
    let parts: [&[u8]; 7] = [
        client.id().as_str().as_bytes(),
        &[u8::from(name.is_some())],
        name.unwrap_or_default().as_bytes(),
        record.request.redirect_uri.as_bytes(),
        user.id.as_bytes(),
        record.request.resource.as_str().as_bytes(),
        scope.as_bytes(),
    ];
    let mut framed = Vec::new();
    for part in parts {
        framed.extend_from_slice(&(part.len() as u64).to_be_bytes());
        framed.extend_from_slice(part);
    }
    Hash::of(&framed)
}

impl AuthorizationServer {
    /// The page on which the person who is signed in decides.
    ///
    /// # Errors
    /// [`ConsentError`] if there is nothing to decide in this browser, or nobody who may.
    pub async fn consent_page(
        &self,
        authorization: &str,
        browser: &Browser,
    ) -> Result<ConsentPage, ConsentError> {
        let facts = self.facts(authorization, browser).await?;
        Ok(self.show_consent(&facts.record, &facts.session, &facts.client, facts.to))
    }

    pub(crate) fn show_consent(
        &self,
        record: &AuthorizationRecord,
        session: &Session,
        client: &Client,
        to: VerifiedRedirectUri,
    ) -> ConsentPage {
        let shown = shown(record, client, &session.user);
        let holder = forms::holder(&record.browser, session.user.id);
        let keys = self.parts.keys.load();
        ConsentPage {
            account: Account::of(&session.user),
            authorization: record.id,
            client: self.on_page(client, to),
            csrf: forms::consent_token(&keys.forms, record.id, &holder, &shown),
            lifetime: GrantLifetime {
                idle: self.settings.lifetimes.grant_idle,
                total: self.settings.lifetimes.grant,
            },
            reference: record.reference.clone(),
            scopes: self.scopes_on_page(record),
            server: self.server_on_page(record),
        }
    }

    fn scopes_on_page(&self, record: &AuthorizationRecord) -> Vec<ScopeOnPage> {
        let known = self.settings.server(&record.request.server).map(|server| server.scopes.as_slice());
        let offered = known
            .unwrap_or_default()
            .iter()
            .filter(|entry| record.request.scope.contains(entry.token.as_str()));
        offered
            .map(|entry| ScopeOnPage { ticked: true, token: entry.token.clone(), words: entry.words.clone() })
            .collect()
    }

    /// Takes the decision of the person.
    ///
    /// # Errors
    /// [`ConsentError`] if the form is not of this page in this person's hands, or there is nothing to decide.
    pub async fn decide_consent(
        &self,
        form: ConsentForm,
        browser: Browser,
    ) -> Result<ConsentAnswer, ConsentError> {
        let facts = self.facts(&form.authorization, &browser).await?;
        let reference = facts.record.reference.clone();
        let state = facts.record.request.state.clone();
        match self.take(&form, &facts).await {
            Ok(Some(code)) => Ok(ConsentAnswer {
                response: AuthorizationResponse::Code { code, state, iss: self.settings.issuer.clone() },
                to: facts.to,
            }),
            Ok(None) => {
                let (code, iss) = (ErrorCode::AccessDenied, self.settings.issuer.clone());
                Ok(ConsentAnswer {
                    response: AuthorizationResponse::Error { code, state, iss, reference },
                    to: facts.to,
                })
            }
            Err(reason) => {
                self.refusal_of_consent(&facts.record, Some(&facts.session.user), &reason).await;
                Err(ConsentError { reason, reference })
            }
        }
    }

    /// What the page stands on, if the client may ask at all: that is judged anew each time (product.md, P-7).
    async fn facts(&self, authorization: &str, browser: &Browser) -> Result<Facts, ConsentError> {
        let facts = self.facts_unjudged(authorization, browser).await?;
        let server = &facts.record.request.server;
        let reason = match self.judge(&facts.client, &facts.to, server).await {
            Ok(Judged::Allowed) => return Ok(facts),
            Ok(Judged::Blocked) => ConsentReason::ClientBlocked,
            Ok(Judged::OutsideHere) => ConsentReason::ClientOutside,
            Ok(Judged::Unapproved) => ConsentReason::ApprovalNeeded,
            Err(error) => error.into(),
        };
        Err(ConsentError { reason, reference: facts.record.reference })
    }

    /// Reads what the page stands on, in the browser that asked, for the person who is signed in.
    pub(crate) async fn facts_unjudged(
        &self,
        authorization: &str,
        browser: &Browser,
    ) -> Result<Facts, ConsentError> {
        let now = self.parts.clock.now();
        let Pending { record, .. } = self
            .find_pending(authorization, browser, now)
            .await
            .map_err(|(reason, reference): (ConsentReason, Reference)| ConsentError { reason, reference })?;
        let failed = |reason: ConsentReason| ConsentError { reason, reference: record.reference.clone() };
        let session = self.session(browser, now).await.map_err(|error| failed(error.into()))?;
        let user = session.as_ref().map(|session| session.user.clone());
        let session = match decide_person(&record, session, self.settings.server(&record.request.server)) {
            Ok(session) => session,
            Err(reason) => {
                self.refusal_of_consent(&record, user.as_ref(), &reason).await;
                return Err(failed(reason));
            }
        };
        let client = self.client_of(&record).await.map_err(|error| failed(error.into()))?;
        let Some((client, to)) = client else { return Err(failed(ConsentReason::ClientGone)) };
        Ok(Facts { client, record, session, to })
    }

    /// The code, if the answer is yes.
    async fn take(&self, form: &ConsentForm, facts: &Facts) -> Result<Option<Secret>, ConsentReason> {
        let Facts { client, record, session, .. } = facts;
        let shown = shown(record, client, &session.user);
        let forms = &self.parts.keys.load_full().forms;
        let holder = forms::holder(&record.browser, session.user.id);
        let judgement = forms::judge_consent_form(forms, &form.csrf, record.id, &holder, &shown);
        let now = self.parts.clock.now();
        match decide_form(form, judgement, &record.request.scope)? {
            Decided::Denied => {
                let audit = self.consent_event(facts, AuditKind::ConsentDenied, now);
                let denied = self.parts.store.deny(record.id, audit, now).await?;
                if !denied {
                    return Err(ConsentReason::AlreadyDecided);
                }
                self.sign_in_next(record.id, SignInStep::ConsentDenied, (Some(session.user.id), now));
                Ok(None)
            }
            Decided::Allowed(scope) => self.give(facts, scope, shown, now).await.map(Some),
        }
    }

    async fn give(
        &self,
        facts: &Facts,
        scope: Scope,
        shown: Hash,
        now: Timestamp,
    ) -> Result<Secret, ConsentReason> {
        let code = Secret::random("skc_", &*self.parts.entropy);
        let mut audit = self.consent_event(facts, AuditKind::ConsentGiven, now);
        audit.detail.insert("asked", facts.record.request.scope.to_string());
        audit.detail.insert("granted", scope.to_string());
        if self.has_changed(&facts.client).await? {
            audit.detail.insert("client", "changed".to_owned());
        }
        let consent = Consent {
            id: facts.record.id,
            user: facts.session.user.id,
            scope,
            code_hash: code.hash(),
            code_expires_at: now.plus(self.settings.lifetimes.code),
            shown,
            client: facts.client.record(now),
            audit,
        };
        match self.parts.store.consent(consent, now).await? {
            ConsentOutcome::ClientBlocked => Err(ConsentReason::ClientBlocked),
            ConsentOutcome::Consented => {
                let by = (Some(facts.session.user.id), now);
                self.sign_in_next(facts.record.id, SignInStep::ConsentGiven, by);
                Ok(code)
            }
            ConsentOutcome::Lost => Err(ConsentReason::AlreadyDecided),
        }
    }

    fn consent_event(&self, facts: &Facts, kind: AuditKind, now: Timestamp) -> AuditEvent {
        let mut event = self.event_of(&facts.record, kind, Outcome::Ok, now);
        event.user = Some(facts.session.user.id);
        event.subject = Some(self.subject(Some(&facts.session.user), Some(facts.record.address.clone())));
        event
    }

    /// Refusals of somebody who is signed in are written down; that nobody is, is not.
    async fn refusal_of_consent(
        &self,
        record: &AuthorizationRecord,
        user: Option<&UserRecord>,
        reason: &ConsentReason,
    ) {
        let Some(user) = user else { return };
        let mut event =
            self.event_of(record, AuditKind::AuthorizeRefused, Outcome::Refused, self.parts.clock.now());
        event.user = Some(user.id);
        event.reason = Some(reason.reason());
        self.append_refusal(event).await;
    }
}

#[cfg(test)]
mod tests;
