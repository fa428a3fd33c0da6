//! Consent (product.md, P-9): what a person is shown, and what they decide.
//!
//! The form is bound to the sign-in, to person and browser, and to the facts that were shown. Whatever else it says
//! (client, redirect URI, resource) is not read: the record is the only source (attacks.md, CS-05). Whether somebody has
//! to be asked at all is decided in [`standing`].

mod error;
mod page;
mod standing;

use std::time::Duration;

use protocol::id::Reference;
use protocol::oauth::{AuthorizationResponse, ErrorCode, Scope, VerifiedRedirectUri};
use protocol::secret::{Hash, Secret};
use protocol::world::Timestamp;
use store::{
    AuditEvent, AuditKind, AuthorizationRecord, AuthorizationState, Consent, ConsentKind, ConsentOutcome,
    ConsentRecord, Outcome, SignInStep, StoreError, UserRecord,
};

pub use error::{ConsentError, ConsentReason};

use self::page::Offer;
use crate::browser::Browser;
use crate::clients::{Client, Judged};
use crate::forms::{self, Judgement};
use crate::grants::{self, PersonRefusal};
use crate::pages::ConsentPage;
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
    /// Which further MCP servers were ticked.
    pub further: Vec<String>,
    /// For how long, in seconds; absent or empty for as long as can be.
    pub life: Option<String>,
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
    /// The cookie of this browser, to be set anew so that it outlives the browser, and for how long: the consent is
    /// remembered in it.
    pub keep_binding: Option<(Secret, Duration)>,
    /// The answer for the client.
    pub response: AuthorizationResponse,
    /// Where it goes, verified anew.
    pub to: VerifiedRedirectUri,
}

/// Where a sign-in goes on.
#[derive(Debug)]
pub enum ConsentStep {
    /// What the person said before is the answer.
    Answer(Box<ConsentAnswer>),
    /// The person is asked.
    Page(Box<ConsentPage>),
}

/// Everything a consent page stands on, as it was read.
pub(crate) struct Found {
    pub(crate) client: Client,
    pub(crate) record: AuthorizationRecord,
    pub(crate) session: Session,
    pub(crate) to: VerifiedRedirectUri,
}

impl Found {
    const fn facts(&self) -> Facts<'_> {
        Facts { client: &self.client, record: &self.record, session: &self.session, to: &self.to }
    }
}

/// The same, as it is passed on.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) client: &'a Client,
    pub(crate) record: &'a AuthorizationRecord,
    pub(crate) session: &'a Session,
    pub(crate) to: &'a VerifiedRedirectUri,
}

/// A yes, as it is written down.
struct Given {
    scope: Scope,
    shown: Hash,
    grant_expires_at: Option<Timestamp>,
    kept: Vec<ConsentRecord>,
    by: Option<ConsentRecord>,
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
#[derive(Debug, PartialEq)]
enum Decided<'a> {
    Allowed(Allowed<'a>),
    Denied,
}

/// What a person allowed.
#[derive(Debug, PartialEq)]
struct Allowed<'a> {
    further: Vec<&'a ServerEntry>,
    /// For how long, if not for as long as can be.
    life: Option<Duration>,
    scope: Scope,
}

/// All further MCP servers that the page offers, as one value.
const ALL_OFFERED: &str = "*";

/// Decides what a form is worth. A no counts even if the page was stale; a yes is a yes to what was shown.
fn decide_form<'a>(
    form: &ConsentForm,
    judgement: Judgement,
    offered: &Scope,
    offer: &Offer<'a>,
) -> Result<Decided<'a>, ConsentReason> {
    match (judgement, form.decision) {
        (Judgement::Foreign, Verdict::Allow | Verdict::Deny) => Err(ConsentReason::CsrfMismatch),
        (Judgement::Current | Judgement::Stale, Verdict::Deny) => Ok(Decided::Denied),
        (Judgement::Stale, Verdict::Allow) => Err(ConsentReason::StalePage),
        (Judgement::Current, Verdict::Allow) => {
            let is_ticked = |token: &str| form.scope.iter().any(|ticked| ticked == token);
            let scope: Scope = offered.iter().filter(|token| is_ticked(token.as_str())).cloned().collect();
            // A server without scopes has nothing to tick.
            if scope.is_empty() && !offered.is_empty() {
                return Err(ConsentReason::NothingTicked);
            }
            let is_named =
                |name: &str| form.further.iter().any(|named| named == name || named == ALL_OFFERED);
            let further = offer.further.iter().filter(|server| is_named(&server.name)).copied().collect();
            Ok(Decided::Allowed(Allowed { further, life: decide_life(form.life.as_deref(), offer)?, scope }))
        }
    }
}

/// Decides for how long: one of the times that the page offers, in seconds. Without one, as long as can be.
fn decide_life(chosen: Option<&str>, offer: &Offer<'_>) -> Result<Option<Duration>, ConsentReason> {
    let Some(chosen) = chosen.filter(|chosen| !chosen.is_empty()) else { return Ok(None) };
    let found = offer.lives.iter().find(|life| life.as_secs().to_string() == chosen);
    found.copied().map(Some).ok_or(ConsentReason::LifeUnknown)
}

impl AuthorizationServer {
    /// The page on which the person who is signed in decides; or the answer, if they decided before.
    ///
    /// # Errors
    /// [`ConsentError`] if there is nothing to decide in this browser, or nobody who may.
    pub async fn consent_page(
        &self,
        authorization: &str,
        browser: &Browser,
    ) -> Result<ConsentStep, ConsentError> {
        let found = self.facts(authorization, browser).await?;
        let step = self.answer_or_page(&found.facts(), browser).await;
        step.map_err(|error| ConsentError { reason: error.into(), reference: found.record.reference })
    }

    /// The answer, if the person gave one before that counts; otherwise the page that asks.
    pub(crate) async fn answer_or_page(
        &self,
        facts: &Facts<'_>,
        browser: &Browser,
    ) -> Result<ConsentStep, StoreError> {
        match self.answer_by_standing(facts, browser).await? {
            Some(answer) => Ok(ConsentStep::Answer(Box::new(answer))),
            None => Ok(ConsentStep::Page(Box::new(self.show_consent(facts).await?))),
        }
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
        let found = self.facts(&form.authorization, &browser).await?;
        let facts = found.facts();
        match self.take(&form, &facts).await {
            Ok(Some(code)) => {
                let kept_for = standing::remembering(facts.client, facts.to, &self.settings.consents)
                    .and_then(|remembering| remembering.life);
                let keep_binding =
                    kept_for.and_then(|life| browser.binding_again(&facts.record.browser, life));
                Ok(ConsentAnswer { keep_binding, ..self.answered(&facts, code) })
            }
            Ok(None) => {
                let (code, iss) = (ErrorCode::AccessDenied, self.settings.issuer.clone());
                let (reference, state) = (found.record.reference, found.record.request.state);
                let response = AuthorizationResponse::Error { code, state, iss, reference };
                Ok(ConsentAnswer { keep_binding: None, response, to: found.to })
            }
            Err(reason) => {
                self.refusal_of_consent(facts.record, Some(&facts.session.user), &reason).await;
                Err(ConsentError { reason, reference: found.record.reference })
            }
        }
    }

    /// The answer that carries a code.
    fn answered(&self, facts: &Facts<'_>, code: Secret) -> ConsentAnswer {
        let (state, iss) = (facts.record.request.state.clone(), self.settings.issuer.clone());
        ConsentAnswer {
            keep_binding: None,
            response: AuthorizationResponse::Code { code, state, iss },
            to: facts.to.clone(),
        }
    }

    /// What the page stands on, if the client may ask at all: that is judged anew each time (product.md, P-7).
    async fn facts(&self, authorization: &str, browser: &Browser) -> Result<Found, ConsentError> {
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
    ) -> Result<Found, ConsentError> {
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
        Ok(Found { client, record, session, to })
    }

    /// The code, if the answer is yes.
    async fn take(&self, form: &ConsentForm, facts: &Facts<'_>) -> Result<Option<Secret>, ConsentReason> {
        let Facts { client, record, session, .. } = facts;
        let offer = self.offer(facts).await?;
        let shown = page::shown(record, client, &session.user, &offer);
        let forms = &self.parts.keys.load_full().forms;
        let holder = forms::holder(&record.browser, session.user.id);
        let judgement = forms::judge_consent_form(forms, &form.csrf, record.id, &holder, &shown);
        let now = self.parts.clock.now();
        match decide_form(form, judgement, &record.request.scope, &offer)? {
            Decided::Denied => {
                let audit = self.consent_event(facts, AuditKind::ConsentDenied, now);
                // What was remembered of a yes to this client and MCP server is over too: the last word counts.
                let denied = self.parts.store.deny(record.id, Some(session.user.id), audit, now).await?;
                if !denied {
                    return Err(ConsentReason::AlreadyDecided);
                }
                self.sign_in_next(record.id, SignInStep::ConsentDenied, (Some(session.user.id), now));
                Ok(None)
            }
            Decided::Allowed(allowed) => {
                let grant_expires_at = now.plus(allowed.life.unwrap_or(self.settings.lifetimes.grant));
                let times = (now, grant_expires_at);
                let kept = self.kept(facts, (&allowed.scope, shown), &allowed.further, times);
                let given = Given {
                    scope: allowed.scope,
                    shown,
                    grant_expires_at: allowed.life.map(|_| grant_expires_at),
                    kept,
                    by: None,
                };
                self.give(facts, given, now).await.map(Some)
            }
        }
    }

    async fn give(&self, facts: &Facts<'_>, given: Given, now: Timestamp) -> Result<Secret, ConsentReason> {
        match self.write_yes(facts, given, now).await? {
            (_, ConsentOutcome::ClientBlocked) => Err(ConsentReason::ClientBlocked),
            (code, ConsentOutcome::Consented) => Ok(code),
            (_, ConsentOutcome::Lost) => Err(ConsentReason::AlreadyDecided),
            (_, ConsentOutcome::SignedOut) => Err(ConsentReason::LoginRequired),
        }
    }

    /// Writes a yes down. The code is good if it counted.
    async fn write_yes(
        &self,
        facts: &Facts<'_>,
        given: Given,
        now: Timestamp,
    ) -> Result<(Secret, ConsentOutcome), StoreError> {
        let code = Secret::random("skc_", &*self.parts.entropy);
        let step = if given.by.is_some() { SignInStep::ConsentRemembered } else { SignInStep::ConsentGiven };
        let mut audit = self.event_of_yes(facts, &given, now);
        if self.has_changed(facts.client).await? {
            audit.detail.insert("client", "changed".to_owned());
        }
        let consent = Consent {
            id: facts.record.id,
            user: facts.session.user.id,
            browser_session: facts.session.record.hash,
            code_hash: code.hash(),
            code_expires_at: self.code_expires_at(facts, now),
            upstream_session: facts.session.record.upstream_session,
            client: facts.client.record(now),
            audit,
            scope: given.scope,
            shown: given.shown,
            grant_expires_at: given.grant_expires_at,
            by: given.by,
            kept: given.kept,
        };
        let outcome = self.parts.store.consent(consent, now).await?;
        match outcome {
            ConsentOutcome::Consented => {
                let by = (Some(facts.session.user.id), now);
                self.sign_in_next(facts.record.id, step, by);
            }
            ConsentOutcome::ClientBlocked | ConsentOutcome::Lost | ConsentOutcome::SignedOut => {}
        }
        Ok((code, outcome))
    }

    /// A code that a browser carries is good for a minute; one that a device fetches for as long as the flow: the device was told
    /// how long it may ask, and waits longer and longer where the network fails (RFC 8628, sections 3.2 and 3.5).
    fn code_expires_at(&self, facts: &Facts<'_>, now: Timestamp) -> Timestamp {
        let usual = now.plus(self.settings.lifetimes.code);
        if standing::is_of_a_device(&facts.record.request, &self.settings) {
            return usual.max(facts.record.expires_at);
        }
        usual
    }

    /// What was asked and allowed, and whether a page was shown for it.
    fn event_of_yes(&self, facts: &Facts<'_>, given: &Given, now: Timestamp) -> AuditEvent {
        let mut event = self.consent_event(facts, AuditKind::ConsentGiven, now);
        event.detail.insert("asked", facts.record.request.scope.to_string());
        event.detail.insert("granted", given.scope.to_string());
        if let Some(by) = &given.by {
            event.detail.insert("by_consent", by.kind.as_str().to_owned());
        }
        let ahead = given.kept.iter().filter(|kept| kept.kind == ConsentKind::Ahead);
        let ahead: Vec<&str> = ahead.map(|kept| kept.server.as_str()).collect();
        if !ahead.is_empty() {
            event.detail.insert("in_advance", ahead.join(" "));
        }
        if let Some(until) = given.grant_expires_at {
            event.detail.insert("until", until.secs().to_string());
        }
        event
    }

    fn consent_event(&self, facts: &Facts<'_>, kind: AuditKind, now: Timestamp) -> AuditEvent {
        let mut event = self.event_of(facts.record, kind, Outcome::Ok, now);
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
