//! Who is at the pages on which accounts are connected (product.md, P-10): the person of the browser session, in a browser
//! that is known again, with a form that nobody else can send.
//!
//! What is connected, and whether it may be, is the resource server's. Somebody who is not signed in signs in by the usual
//! way: a sign-in whose end is such a page and not a client, its PKCE verifier kept by nobody.

use protocol::id::{Authorization, Id, Reference, User};
use protocol::oauth::{ClientId, CodeVerifier, VerifiedRedirectUri};
use protocol::secret::{Hash, Secret};
use store::{AcceptedRequest, AuthorizationRecord, NewAuthorization, PutOutcome, StoreError};

use crate::browser::Browser;
use crate::clients::Client;
use crate::forms;
use crate::pages::{Account, Caller, FormToken};
use crate::settings::Settings;
use crate::{AuthorizationServer, PreRegisteredClient};

/// What stands before the name of an MCP server in the path of its page.
const PAGE: &str = "/connect/";
/// Who asks people to sign in for these pages: we.
const OURSELVES: &str = "sekisho-connect";

/// Somebody at such a page.
#[derive(Debug)]
pub struct AtConnect {
    /// Who.
    pub account: Account,
    /// The token of the forms of the page.
    pub csrf: FormToken,
    /// The cookie that ties the forms to this browser, if it has none yet.
    pub set_binding: Option<Secret>,
}

/// A sign-in for such a page.
#[derive(Debug)]
pub struct SignInToConnect {
    /// The sign-in: show its login page.
    pub authorization: Id<Authorization>,
    /// The cookie that ties it to this browser, if it has none yet.
    pub set_binding: Option<Secret>,
}

/// Where a sign-in for such a page ends, if this is one.
pub(crate) fn page_of<'a>(settings: &Settings, redirect_uri: &'a str) -> Option<&'a str> {
    let path = redirect_uri.strip_prefix(settings.pages_url.as_str())?;
    path.starts_with(PAGE).then_some(path)
}

impl AuthorizationServer {
    /// Who is at the page called `place`; nobody, if nobody is signed in.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn at_connect(&self, place: &str, browser: &Browser) -> Result<Option<AtConnect>, StoreError> {
        let Some(session) = self.session(browser, self.parts.clock.now()).await? else { return Ok(None) };
        let (binding, set_binding) = browser.bind(&*self.parts.entropy);
        let keys = self.parts.keys.load();
        let csrf = forms::connect_token(&keys.forms, place, &forms::holder(&binding, session.user.id));
        Ok(Some(AtConnect { account: Account::of(&session.user), csrf, set_binding }))
    }

    /// Who sent a form of that page; nobody, if it is not of this page in this person's browser.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn pressed_at_connect(
        &self,
        place: &str,
        csrf: &str,
        browser: &Browser,
    ) -> Result<Option<Id<User>>, StoreError> {
        let Some(user) = self.signed_in(browser).await? else { return Ok(None) };
        let keys = self.parts.keys.load();
        let is_ours = browser
            .binding_hashes()
            .any(|binding| forms::is_connect_form(&keys.forms, csrf, place, &forms::holder(&binding, user)));
        Ok(is_ours.then_some(user))
    }

    /// Who is signed in in this browser.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn signed_in(&self, browser: &Browser) -> Result<Option<Id<User>>, StoreError> {
        let session = self.session(browser, self.parts.clock.now()).await?;
        Ok(session.map(|session| session.user.id))
    }

    /// The cookie for the way to a provider and back, to be set each time; the record knows it by its hash.
    #[must_use]
    pub fn leg_to_connect(&self, browser: &Browser) -> Secret {
        browser.bind_leg(&*self.parts.entropy)
    }

    /// What the record knows the way of this browser by.
    #[must_use]
    pub fn leg_of(browser: &Browser) -> Option<Hash> {
        browser.leg_hash()
    }

    /// Begins a sign-in that ends at the page of an MCP server, with the query that the page was asked for with. Nothing, if
    /// there is no such MCP server or too many sign-ins are under way.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn sign_in_to_connect(
        &self,
        (server, query): (&str, &str),
        browser: &Browser,
        caller: &Caller,
    ) -> Result<Option<SignInToConnect>, StoreError> {
        let (Some(entry), Ok(client_id)) = (self.settings.server(server), ClientId::parse(OURSELVES)) else {
            return Ok(None);
        };
        let now = self.parts.clock.now();
        let (binding, set_binding) = browser.bind(&*self.parts.entropy);
        let new = NewAuthorization {
            id: Id::mint(now, &*self.parts.entropy),
            reference: Reference::mint(&*self.parts.entropy),
            browser: binding,
            address: caller.address.to_string(),
            network: caller.network().to_string(),
            client_id,
            request: AcceptedRequest {
                redirect_uri: format!("{}{PAGE}{server}{query}", self.settings.pages_url),
                state: None,
                scope: entry.default_scope(),
                resource: entry.resource.clone(),
                server: entry.name.clone(),
                // The verifier is thrown away: no code is made here, and it would open nothing.
                code_challenge: CodeVerifier::mint(&*self.parts.entropy).challenge(),
                prompt: None,
                max_age: None,
                login_hint: None,
                dpop_key: None,
                from_outside: true,
                client_metadata: None,
            },
            created_at: now,
            expires_at: now.plus(self.settings.lifetimes.authorization),
        };
        let authorization = new.id;
        Ok(match self.parts.store.put_authorization(new, self.settings.pending, now).await? {
            PutOutcome::Stored => Some(SignInToConnect { authorization, set_binding }),
            PutOutcome::TooMany => None,
        })
    }

    /// Where somebody who has signed in goes on, if the sign-in was for such a page.
    ///
    /// # Errors
    /// [`StoreError`] if the record did not answer.
    pub async fn page_after(
        &self,
        authorization: &str,
        browser: &Browser,
    ) -> Result<Option<String>, StoreError> {
        let Ok(id) = authorization.parse::<Id<Authorization>>() else { return Ok(None) };
        let Some(record) = self.parts.store.find_authorization(id).await? else { return Ok(None) };
        let is_here = browser.binding_hashes().any(|binding| binding.matches(&record.browser));
        let page = page_of(&self.settings, &record.request.redirect_uri).filter(|_| is_here);
        Ok(match page {
            Some(page) if self.signed_in(browser).await?.is_some() => Some(page.to_owned()),
            Some(_) | None => None,
        })
    }

    /// We ourselves as the client of such a sign-in. No client could ask for it: the address is of our own origin.
    pub(crate) fn ourselves(&self, record: &AuthorizationRecord) -> Option<(Client, VerifiedRedirectUri)> {
        let requested = record.request.redirect_uri.as_str();
        page_of(&self.settings, requested)?;
        let id = ClientId::parse(OURSELVES).ok().filter(|id| *id == record.client_id)?;
        let client = PreRegisteredClient::machine(id, Some("Sekisho"), None).ok()?;
        Some((client.into_client(), VerifiedRedirectUri::of_our_own(requested, self.settings.pages_host())))
    }
}
