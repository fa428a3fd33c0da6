//! The way back from the identity provider (attacks.md, 1.7).
//!
//! In this order: which leg, whose browser, which provider, in time, is the client still there; only then is the
//! identity provider asked. The leg is used up in the write that opens the session, at most once.

use protocol::id::{Id, Reference};
use protocol::oauth::{AuthorizationResponse, CodeVerifier, ErrorCode, Form, Parameter, VerifiedRedirectUri};
use protocol::secret::{Hash, Secret};
use protocol::world::Timestamp;
use store::{
    AnsweredLeg, AuditEvent, AuditKind, AuthorizationRecord, AuthorizationState, BrowserSessionRecord,
    NewIdentity, Outcome, SignIn, SignInOutcome, SignInStep, UpstreamLeg,
};
use upstream::connectors::{Callback, Identity, Refusal};

use super::{BETWEEN, Completed, LoginError, LoginReason, Returned, SignedIn};
use crate::browser::{self, Browser};
use crate::clients::Client;
use crate::pages::Caller;
use crate::signals::session_hash;
use crate::{AuthorizationServer, prompt};

/// What came back, and to which browser.
struct Answer<'a> {
    connector: &'a str,
    form: &'a Form,
    leg_cookie: Option<Hash>,
}

/// Decides whether a callback may be taken to its identity provider.
fn decide<'a>(
    record: &'a AuthorizationRecord,
    answer: &Answer<'_>,
    now: Timestamp,
) -> Result<&'a UpstreamLeg, LoginReason> {
    let leg = match &record.state {
        AuthorizationState::UpstreamLeg(leg) => leg,
        AuthorizationState::Consented { .. }
        | AuthorizationState::Denied
        | AuthorizationState::Pending
        | AuthorizationState::Redeemed { .. } => return Err(LoginReason::CallbackUnknown),
    };
    if !answer.leg_cookie.is_some_and(|cookie| cookie.matches(&leg.leg_hash)) {
        return Err(LoginReason::CallbackUnboundBrowser);
    }
    if leg.connector != answer.connector {
        return Err(LoginReason::ConnectorMismatch);
    }
    if record.expires_at <= now {
        return Err(LoginReason::Expired);
    }
    Ok(leg)
}

/// What the client hears of an error with which the identity provider sent the person back (attacks.md, CB-16). Of
/// what went wrong between us and the provider it hears nothing: the person can try again.
fn told_to_the_client(reason: &LoginReason, form: &Form) -> Option<ErrorCode> {
    match reason {
        LoginReason::UpstreamRefused(Refusal::AccessDenied) if form.contains("error") => {
            Some(ErrorCode::AccessDenied)
        }
        LoginReason::UpstreamRefused(Refusal::ProviderError) if form.contains("error") => {
            Some(ErrorCode::ServerError)
        }
        LoginReason::AddressUnknown
        | LoginReason::AlreadyDecided
        | LoginReason::CallbackMalformed
        | LoginReason::CallbackUnboundBrowser
        | LoginReason::CallbackUnknown
        | LoginReason::ClientBlocked
        | LoginReason::ClientGone
        | LoginReason::ConnectorMismatch
        | LoginReason::ConnectorUnknown
        | LoginReason::CsrfMismatch
        | LoginReason::EmergencyCodeUnknown
        | LoginReason::Expired
        | LoginReason::OtherBrowser
        | LoginReason::PersonDisabled
        | LoginReason::SealBroken
        | LoginReason::Store(_)
        | LoginReason::Unknown
        | LoginReason::UpstreamMalformed(_)
        | LoginReason::UpstreamNotAllowed(_)
        | LoginReason::UpstreamRefused(_)
        | LoginReason::UpstreamUnreachable => None,
    }
}

/// When the person proved who they are, for what will be asked of the session later.
///
/// If the provider does not say, the session is good for no request that cares (`max_age`, `prompt=login`). If this
/// request cared, the provider's word was verified, give or take its clock.
pub(super) fn authenticated_at(identity: &Identity, since: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let said = identity.authenticated_at.map(|at| at.min(now));
    said.max(since).unwrap_or(Timestamp::from_micros(0))
}

impl AuthorizationServer {
    /// The callback of the upstream leg: signs the person in.
    ///
    /// # Errors
    /// [`LoginError`] if the callback is not of this browser or its leg, or the identity provider does not vouch.
    pub async fn complete_login(
        &self,
        connector: &str,
        form: Form,
        browser: Browser,
        caller: &Caller,
    ) -> Result<Completed, LoginError> {
        let now = self.parts.clock.now();
        let found = self.find_leg(&form).await;
        let record = found
            .map_err(|reason| LoginError { reason, reference: Reference::mint(&*self.parts.entropy) })?;
        let answer = Answer { connector, form: &form, leg_cookie: browser.leg_hash() };
        let answered = self.answer_leg(&record, &answer, now).await;
        match answered {
            Ok(signed_in) => {
                self.leave(&browser).await;
                Ok(Completed::SignedIn(signed_in))
            }
            Err(reason) => {
                let event = self.refused_sign_in(&record, &reason, caller, now);
                if let Some(code) = told_to_the_client(&reason, &form)
                    && let Some((client, to)) = self.client_of(&record).await.ok().flatten()
                    && self.parts.store.deny(record.id, None, event.clone(), now).await.unwrap_or(false)
                {
                    return Ok(Completed::Returned(Box::new(self.returned(
                        record,
                        reason,
                        code,
                        (&client, to),
                    ))));
                }
                self.append_refusal(event).await;
                Err(LoginError { reason, reference: record.reference })
            }
        }
    }

    fn returned(
        &self,
        record: AuthorizationRecord,
        reason: LoginReason,
        code: ErrorCode,
        (client, to): (&Client, VerifiedRedirectUri),
    ) -> Returned {
        let (state, iss) = (record.request.state, self.settings.issuer.clone());
        let reference = record.reference.clone();
        Returned {
            act_first: !client.may_be_told_at_once(&to),
            error: LoginError { reason, reference: record.reference },
            response: AuthorizationResponse::Error { code, state, iss, reference },
            to,
        }
    }

    /// Ends the session that the new one replaces in this browser (attacks.md, AZ-40). The new one stands either way.
    pub(super) async fn leave(&self, browser: &Browser) {
        if let Err(error) = self.sign_out(browser).await {
            tracing::warn!(%error, "a browser session that was replaced could not be ended");
        }
    }

    async fn find_leg(&self, form: &Form) -> Result<AuthorizationRecord, LoginReason> {
        let Parameter::Once(state) = form.get("state") else { return Err(LoginReason::CallbackMalformed) };
        let found = self.parts.store.find_authorization_by_leg(Hash::of(state.as_bytes())).await?;
        found.ok_or(LoginReason::CallbackUnknown)
    }

    async fn answer_leg(
        &self,
        record: &AuthorizationRecord,
        answer: &Answer<'_>,
        now: Timestamp,
    ) -> Result<SignedIn, LoginReason> {
        let leg = decide(record, answer, now)?;
        let connector = self.connector(answer.connector).ok_or(LoginReason::ConnectorUnknown)?;
        // The client may have been stopped, or lost its redirect URI, while the person was away (CB-13).
        self.client_on_page(record).await?.ok_or(LoginReason::ClientGone)?;
        let (nonce, verifier) = self.open_leg(record, leg).ok_or(LoginReason::SealBroken)?;
        let since = prompt::authenticated_since(&record.request, record.created_at);
        let nonce = nonce.reveal();
        let callback = Callback {
            form: answer.form,
            redirect_uri: &self.settings.callback(&leg.connector),
            nonce: &nonce,
            code_verifier: &verifier,
            not_before_auth: since,
            now,
        };
        let identity = connector.complete(callback).await?;
        let authenticated_at = authenticated_at(&identity, since, now);
        self.sign_in(record, leg, identity, authenticated_at).await
    }

    fn open_leg(&self, record: &AuthorizationRecord, leg: &UpstreamLeg) -> Option<(Secret, CodeVerifier)> {
        let keys = self.parts.keys.load();
        let key = keys.sealing.find(leg.verifier.key_id()?)?;
        let opened = key.open(&record.leg_context(&leg.connector), &leg.verifier).ok()?;
        let (nonce, verifier) = std::str::from_utf8(&opened).ok()?.split_once(BETWEEN)?;
        let nonce = Secret::new(nonce.to_owned());
        let verifier = CodeVerifier::parse(verifier).ok()?;
        nonce.hash().matches(&leg.nonce_hash).then_some((nonce, verifier))
    }

    async fn sign_in(
        &self,
        record: &AuthorizationRecord,
        leg: &UpstreamLeg,
        identity: Identity,
        authenticated_at: Timestamp,
    ) -> Result<SignedIn, LoginReason> {
        // The identity provider took its time.
        let now = self.parts.clock.now();
        let set_session = browser::mint_session(&*self.parts.entropy);
        let expires_at = now.plus(self.settings.lifetimes.browser_session);
        let id = Id::mint(now, &*self.parts.entropy);
        let offline = self.seal_offline(&identity, id, now).await?;
        let user = NewIdentity {
            id,
            connector: identity.connector.as_str().to_owned(),
            subject: identity.subject,
            name: identity.name,
            email: identity.email,
            groups: identity.groups,
        };
        let mut audit = self.event_of(record, AuditKind::SignIn, Outcome::Ok, now);
        if let Some(subject) = &mut audit.subject {
            subject.name = user.email.clone().or_else(|| user.name.clone());
        }
        let session = BrowserSessionRecord {
            hash: set_session.hash(),
            user: user.id,
            created_at: now,
            authenticated_at,
            expires_at,
            upstream_session: identity.session.map(|sid| session_hash(identity.connector.as_str(), &sid)),
        };
        let answered =
            AnsweredLeg { authorization: record.id, state_hash: leg.state_hash, leg_hash: leg.leg_hash };
        let sign_in = SignIn { user, session, offline, authorization: Some(answered), audit };
        match self.parts.store.sign_in(sign_in).await? {
            SignInOutcome::Disabled => Err(LoginReason::PersonDisabled),
            SignInOutcome::LegGone => Err(LoginReason::CallbackUnknown),
            SignInOutcome::SignedIn(user) => {
                self.sign_in_next(record.id, SignInStep::SignedIn, (Some(user.id), now));
                Ok(SignedIn { expires_at, resume: record.id, set_session })
            }
        }
    }

    pub(super) fn refused_sign_in(
        &self,
        record: &AuthorizationRecord,
        reason: &LoginReason,
        caller: &Caller,
        now: Timestamp,
    ) -> AuditEvent {
        let broken = matches!(reason, LoginReason::SealBroken);
        let kind = if broken { AuditKind::SealBroken } else { AuditKind::SignInRefused };
        let mut event = self.event_of(record, kind, Outcome::Refused, now);
        event.reason = Some(reason.reason());
        event.subject = Some(self.subject(None, Some(caller.address.to_string())));
        event
    }
}
