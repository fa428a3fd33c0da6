//! The person's side: a user code becomes a pending authorization in this browser, at most once.

use protocol::id::{Authorization, Id, Reference};
use protocol::oauth::{CodeVerifier, UserCode};
use protocol::secret::Secret;
use store::{
    AcceptedRequest, AuthorizationState, DeviceAuthorizationRecord, NewAuthorization, PutOutcome, StoreError,
};

use super::{DevicePageError, DevicePageReason, is_allowed, keyed};
use crate::AuthorizationServer;
use crate::browser::Browser;
use crate::pages::Caller;
use crate::settings::Settings;

/// Where the person goes on.
#[derive(Debug)]
pub struct DeviceEntered {
    /// The sign-in: ask for consent.
    pub authorization: Id<Authorization>,
    /// The cookie that ties it to this browser, if it has none yet.
    pub set_binding: Option<Secret>,
}

/// What stands before the address of the device, in the URL of our own page to which its consent leads.
const DONE: &str = "/device/done?asked_from=";

/// Where the consent to a device leads: to a page of ours. No client can register it: it is of our own origin.
pub(crate) fn done_url(settings: &Settings, address: &str) -> String {
    format!("{}{DONE}{address}", settings.pages_url)
}

/// From where the device asked, if this is where a consent to one leads.
pub(crate) fn asked_from<'a>(settings: &Settings, redirect_uri: &'a str) -> Option<&'a str> {
    redirect_uri.strip_prefix(settings.pages_url.as_str())?.strip_prefix(DONE)
}

impl AuthorizationServer {
    /// Takes the user code that a person typed, in this browser.
    ///
    /// # Errors
    /// [`DevicePageError`] if it leads nowhere.
    pub async fn enter_user_code(
        &self,
        typed: &str,
        browser: &Browser,
        caller: &Caller,
    ) -> Result<DeviceEntered, DevicePageError> {
        let reference = Reference::mint(&*self.parts.entropy);
        let entered = self.enter(typed, browser, caller, &reference).await;
        entered.map_err(|reason| DevicePageError { reason, reference })
    }

    async fn enter(
        &self,
        typed: &str,
        browser: &Browser,
        caller: &Caller,
        reference: &Reference,
    ) -> Result<DeviceEntered, DevicePageReason> {
        let now = self.parts.clock.now();
        let code = UserCode::parse(typed).map_err(|_| DevicePageReason::CodeUnknown)?;
        if !self.guesses.take(self.parts.clock.monotonic()) {
            return Err(DevicePageReason::TooManyGuesses);
        }
        let found = self.find_device_of(&code).await?.ok_or(DevicePageReason::CodeUnknown)?;
        self.guesses.was_right();
        if found.expires_at <= now {
            return Err(DevicePageReason::CodeUnknown);
        }
        if let Some(begun) = found.authorization {
            return self.go_on(begun, browser).await;
        }
        let client = self.resolve(&found.client_id).await?;
        let server = self.settings.server(&found.server).ok_or(DevicePageReason::ServerGone)?;
        if !is_allowed(&client, server) {
            return Err(DevicePageReason::ClientGone);
        }
        let (binding, set_binding) = browser.bind(&*self.parts.entropy);
        let new = NewAuthorization {
            id: Id::mint(now, &*self.parts.entropy),
            reference: reference.clone(),
            browser: binding,
            address: caller.address.to_string(),
            network: caller.network().to_string(),
            client_id: found.client_id.clone(),
            request: self.request_of(&found),
            created_at: now,
            // Nobody decides for a device that has given up.
            expires_at: found.expires_at,
        };
        let authorization = new.id;
        match self.parts.store.put_authorization(new, self.settings.pending, now).await? {
            PutOutcome::Stored => {}
            PutOutcome::TooMany => return Err(DevicePageReason::TooManyPending),
        }
        if !self.parts.store.claim_device(found.device_code, authorization, now).await? {
            return Err(DevicePageReason::CodeUsed);
        }
        Ok(DeviceEntered { authorization, set_binding })
    }

    /// By whichever key it was made under.
    async fn find_device_of(&self, code: &UserCode) -> Result<Option<DeviceAuthorizationRecord>, StoreError> {
        let keys = self.parts.keys.load_full();
        for key in keys.forms.iter() {
            let found = self.parts.store.find_device_by_user_code(keyed(key, code)).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Typing the code again in the same browser leads to where it led before.
    async fn go_on(
        &self,
        begun: Id<Authorization>,
        browser: &Browser,
    ) -> Result<DeviceEntered, DevicePageReason> {
        let found = self.parts.store.find_authorization(begun).await?;
        let record = found.ok_or(DevicePageReason::CodeUsed)?;
        let is_here = browser.binding_hashes().any(|binding| binding.matches(&record.browser));
        match record.state {
            AuthorizationState::Pending | AuthorizationState::UpstreamLeg(_) if is_here => {
                Ok(DeviceEntered { authorization: begun, set_binding: None })
            }
            AuthorizationState::Consented { .. }
            | AuthorizationState::Denied
            | AuthorizationState::Pending
            | AuthorizationState::Redeemed { .. }
            | AuthorizationState::UpstreamLeg(_) => Err(DevicePageReason::CodeUsed),
        }
    }

    fn request_of(&self, found: &DeviceAuthorizationRecord) -> AcceptedRequest {
        AcceptedRequest {
            redirect_uri: done_url(&self.settings, &found.address),
            state: None,
            scope: found.scope.clone(),
            resource: found.resource.clone(),
            server: found.server.clone(),
            // The verifier is thrown away: the code in the browser's way to our page opens nothing.
            code_challenge: CodeVerifier::mint(&*self.parts.entropy).challenge(),
            prompt: None,
            max_age: None,
            login_hint: None,
            // Somebody else may have sent the person here: no consent is remembered for it.
            dpop_key: None,
            from_outside: true,
            client_metadata: None,
        }
    }
}
