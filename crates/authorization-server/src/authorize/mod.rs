//! The authorization endpoint (OAuth 2.1, section 4.1.1).
//!
//! First the client, then the redirect URI, then everything else: until both are verified every error is a page of our
//! own, whatever else is wrong (RFC 6749, section 4.1.2.1; attacks.md, AZ-02). What is accepted becomes a pending
//! authorization, bound to the browser that asked.

mod accept;
mod error;
mod push;

use protocol::id::{Id, Reference};
use protocol::oauth::{AuthorizationRequest, ClientId, Parameter, VerifiedRedirectUri};
use protocol::secret::Secret;
use protocol::world::Timestamp;
use store::{
    AcceptedRequest, AuditEvent, AuditKind, AuthorizationRecord, AuthorizationState, NewAuthorization,
    Outcome, PutOutcome,
};

pub use error::{AuthorizeError, PageReason, RedirectReason};
pub use push::{PushError, PushedRules};

use crate::browser::Browser;
use crate::clients::{Client, Judged};
use crate::consent::{ConsentStep, Facts};
use crate::pages::{Caller, Next};
use crate::pending::Pending;
use crate::prompt::{self, Prompt};
use crate::sessions::Session;
use crate::{AuthorizationServer, grants};

/// The longest `state` that is returned. A longer one is refused, never cut (attacks.md, AZ-26).
const LONGEST_STATE: usize = 8 * 1024;

/// An accepted request.
#[derive(Debug)]
pub struct Authorized {
    /// What comes next.
    pub next: Next,
    /// The cookie that binds the browser, to be set in this answer; absent if the browser has one.
    pub set_binding: Option<Secret>,
}

/// Why a request is refused, before it is known how to say it.
enum Refusal {
    Page(PageReason),
    Redirect(RedirectReason),
}

impl From<RedirectReason> for Refusal {
    fn from(reason: RedirectReason) -> Self {
        Self::Redirect(reason)
    }
}

impl<E: Into<PageReason>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Page(error.into())
    }
}

/// One request, as far as it is read.
struct Asked<'a> {
    browser: &'a Browser,
    caller: &'a Caller,
    client: &'a Client,
    now: Timestamp,
    /// What is used up if it is accepted; of a request that was pushed.
    pushed: Option<push::Used>,
    reference: &'a Reference,
}

/// The client that a request names.
fn named_client(request: &AuthorizationRequest) -> Result<ClientId, PageReason> {
    match &request.client_id {
        Parameter::Absent => Err(PageReason::ClientIdMissing),
        Parameter::Once(text) => ClientId::parse(text).map_err(|_| PageReason::ClientUnknown),
        Parameter::Repeated => Err(PageReason::ClientIdRepeated),
    }
}

/// Where the answer goes.
fn destination(request: &AuthorizationRequest, client: &Client) -> Result<VerifiedRedirectUri, PageReason> {
    let to = match &request.redirect_uri {
        Parameter::Absent => client.verify_redirect_uri(None).ok_or(PageReason::RedirectUriMissing),
        Parameter::Once(uri) => client.verify_redirect_uri(Some(uri)).ok_or(PageReason::RedirectUriUnknown),
        Parameter::Repeated => Err(PageReason::RedirectUriRepeated),
    }?;
    match request.echoed_state() {
        Some(state) if state.len() > LONGEST_STATE => Err(PageReason::StateTooLong),
        Some(_) | None => Ok(to),
    }
}

/// Decides whether whoever is signed in can go straight to consent; if no page may be shown, that is an error.
fn decide_next(
    accepted: &AcceptedRequest,
    session: Option<&Session>,
    now: Timestamp,
) -> Result<bool, RedirectReason> {
    let prompt = Prompt::parse(accepted.prompt.as_deref()).map_err(|_| RedirectReason::PromptMalformed)?;
    let goes_on = session.is_some_and(|session| {
        !prompt.choose_account && prompt::is_fresh(accepted, now, session.record.authenticated_at)
    });
    match (prompt.none, goes_on) {
        (true, false) => Err(RedirectReason::LoginRequired),
        // A page would have been needed: nobody is signed in to anything behind their back (attacks.md, AZ-31).
        (true, true) => Err(RedirectReason::ConsentRequired),
        (false, goes_on) => Ok(goes_on),
    }
}

impl AuthorizationServer {
    /// Answers a request to the authorization endpoint.
    ///
    /// # Errors
    /// [`AuthorizeError::Page`] until client and redirect URI are verified; then [`AuthorizeError::Redirect`].
    pub async fn authorize(
        &self,
        request: AuthorizationRequest,
        browser: Browser,
        caller: &Caller,
    ) -> Result<Authorized, AuthorizeError> {
        let (now, reference) = (self.parts.clock.now(), Reference::mint(&*self.parts.entropy));
        let (request, pushed) = match self.meant(request, now) {
            Ok(meant) => meant,
            Err(refused) => {
                let (reason, request) = *refused;
                self.authorize_refused(reason.reason(), &reference, (&request, None), caller);
                return Err(AuthorizeError::Page { reason, reference });
            }
        };
        let (client, to) = match self.trusted(&request).await {
            Ok(trusted) => trusted,
            // Anybody can cause this without being known: it is logged where it is answered, and not audited.
            Err((reason, client)) => {
                let asked = (&request, client.as_ref());
                self.authorize_refused(reason.reason(), &reference, asked, caller);
                return Err(AuthorizeError::Page { reason, reference });
            }
        };
        let asked = Asked { browser: &browser, caller, client: &client, now, pushed, reference: &reference };
        let refused = |reason| self.authorize_refused(reason, &reference, (&request, Some(&client)), caller);
        match self.accept(&request, &to, &asked).await {
            Ok(authorized) => Ok(authorized),
            Err(Refusal::Page(reason)) => {
                refused(reason.reason());
                Err(AuthorizeError::Page { reason, reference })
            }
            Err(Refusal::Redirect(reason)) => {
                refused(reason.reason());
                self.append_refusal(self.refused(&asked, reason.reason())).await;
                let act_first = !client.may_be_told_at_once(&to);
                let state = request.echoed_state().map(str::to_owned);
                Err(AuthorizeError::Redirect { act_first, reason, reference, state, to: Box::new(to) })
            }
        }
    }

    /// Client and redirect URI; or why not, and the client if that is known.
    async fn trusted(
        &self,
        request: &AuthorizationRequest,
    ) -> Result<(Client, VerifiedRedirectUri), (PageReason, Option<Client>)> {
        let named = named_client(request).map_err(|reason| (reason, None))?;
        let client = self.resolve(&named).await.map_err(|error| (error.into(), None))?;
        match destination(request, &client) {
            // The port of a loopback URI is free, and one of its ports may be ours.
            Ok(to) if self.settings.redirects.is_own(to.as_str()) => {
                Err((PageReason::RedirectUriUnknown, Some(client)))
            }
            Ok(to) => Ok((client, to)),
            Err(reason) => Err((reason, Some(client))),
        }
    }

    async fn accept(
        &self,
        request: &AuthorizationRequest,
        to: &VerifiedRedirectUri,
        asked: &Asked<'_>,
    ) -> Result<Authorized, Refusal> {
        let accepted = accept::decide(request, asked.client, to, &self.settings)?;
        if asked.pushed.is_none() && self.settings.pushed.demand(asked.client) {
            return Err(RedirectReason::NotPushed.into());
        }
        let accepted = AcceptedRequest { from_outside: asked.browser.from_outside, ..accepted };
        let unapproved = match self.judge(asked.client, to, &accepted.server).await? {
            Judged::Allowed => false,
            Judged::Blocked => return Err(PageReason::ClientBlocked.into()),
            Judged::OutsideHere => return Err(PageReason::ClientOutside.into()),
            Judged::Unapproved => true,
        };
        let session = self.session(asked.browser, asked.now).await?;
        let goes_on = decide_next(&accepted, session.as_ref(), asked.now)?;
        if let Some(pushed) = asked.pushed {
            self.use_up(pushed, asked.now).await?;
        }
        let (pending, set_binding) = self.put(accepted, asked).await?;
        self.sign_in_begun(&pending.record, asked.client, request, asked.caller);
        let server = self.settings.server(&pending.record.request.server);
        let admitted = session.as_ref().map(|session| grants::admit(Some(&session.user), server));
        if let (Some(session), Some(Err(refusal)), true) = (&session, admitted, goes_on) {
            let mut event = self.refused(asked, refusal.reason());
            event.user = Some(session.user.id);
            event.server = Some(pending.record.request.server.clone());
            self.append_refusal(event).await;
        }
        let next = match session {
            // Who signed in is told to wait; a stranger signs in first, so that nobody waits whom nobody knows.
            Some(_) if unapproved && goes_on && admitted == Some(Ok(())) => Next::Approval(pending.record.id),
            Some(session) if goes_on && admitted == Some(Ok(())) => {
                let facts = Facts { client: asked.client, record: &pending.record, session: &session, to };
                match self.answer_or_page(&facts, asked.browser).await? {
                    ConsentStep::Answer(answer) => Next::Answer(answer),
                    ConsentStep::Page(page) => Next::Consent(page),
                }
            }
            // Whoever may not use this MCP server may be somebody who may, by another account.
            session => {
                let client = asked.client.on_page(to.clone());
                Next::Login(Box::new(self.show_login(pending, client, session.as_ref()).await))
            }
        };
        Ok(Authorized { next, set_binding })
    }

    async fn put(
        &self,
        request: AcceptedRequest,
        asked: &Asked<'_>,
    ) -> Result<(Pending, Option<Secret>), PageReason> {
        let (binding, set_binding) = asked.browser.bind(&*self.parts.entropy);
        let record = AuthorizationRecord {
            id: Id::mint(asked.now, &*self.parts.entropy),
            reference: asked.reference.clone(),
            browser: binding,
            address: asked.caller.address.to_string(),
            client_id: asked.client.id().clone(),
            request,
            state: AuthorizationState::Pending,
            created_at: asked.now,
            expires_at: asked.now.plus(self.settings.lifetimes.authorization),
        };
        let new = NewAuthorization {
            id: record.id,
            reference: record.reference.clone(),
            browser: record.browser,
            address: record.address.clone(),
            network: asked.caller.network().to_string(),
            client_id: record.client_id.clone(),
            request: record.request.clone(),
            created_at: record.created_at,
            expires_at: record.expires_at,
        };
        match self.parts.store.put_authorization(new, self.settings.pending, asked.now).await? {
            PutOutcome::Stored => Ok((Pending { record, binding }, set_binding)),
            PutOutcome::TooMany => Err(PageReason::TooManyPending),
        }
    }

    fn refused(&self, asked: &Asked<'_>, reason: &'static str) -> AuditEvent {
        let mut event = self.event(AuditKind::AuthorizeRefused, Outcome::Refused, asked.now);
        event.reason = Some(reason);
        event.reference = Some(asked.reference.clone());
        event.client_id = Some(asked.client.id().as_str().to_owned());
        event.subject = Some(self.subject(None, Some(asked.caller.address.to_string())));
        event
    }
}

#[cfg(test)]
mod tests;
