//! Signing in: the approval of this client before the upstream leg, the leg, and the way back (product.md, P-10;
//! MCP security best practices, "confused deputy").
//!
//! The page names the client, where it leads and the MCP server; only the POST of its button mints the state of the
//! leg, sets its cookie and forwards. The callback is refused in any browser that does not hold that cookie, before
//! anything is asked of the identity provider (attacks.md, CB-01 and CB-02).

mod callback;
mod emergency;
mod error;

use protocol::id::{Authorization, Id, Reference};
use protocol::oauth::{AuthorizationResponse, CodeVerifier, VerifiedRedirectUri};
use protocol::secret::{Sealed, Secret};
use protocol::world::Timestamp;
use store::{AuthorizationRecord, SignInStep, UpstreamLeg};
use upstream::connectors::{Connector, LegRequest};

pub use emergency::{Emergency, EmergencyCode, EmergencyForm};
pub use error::{LoginError, LoginReason};

use crate::browser::Browser;
use crate::forms::ShownTo;
use crate::pages::{Account, ClientOnPage, ConnectorOnPage, LoginPage};
use crate::pending::Pending;
use crate::sessions::Session;
use crate::{AuthorizationServer, forms, grants, prompt};

/// The form of the login page, as it was sent.
#[derive(Debug, Clone)]
pub struct LoginForm {
    /// The address that was typed, where people are led by it and no identity provider was chosen.
    pub address: String,
    /// The sign-in.
    pub authorization: String,
    /// The identity provider that was chosen.
    pub connector: String,
    /// The token of the form.
    pub csrf: String,
}

/// The upstream leg began: send the browser off.
#[derive(Debug)]
pub struct LegStarted {
    /// Where to: the identity provider; or our own consent page, if the person has signed in meanwhile.
    pub location: String,
    /// The cookie of the leg, to be set in this answer, even if the browser has it: its life begins anew.
    pub set_leg: Option<Secret>,
}

/// A person signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// When the session ends unless it is used.
    pub expires_at: Timestamp,
    /// The sign-in to go on with: ask for consent.
    pub resume: Id<Authorization>,
    /// The cookie of the new browser session.
    pub set_session: Secret,
}

/// How the upstream leg came back.
#[derive(Debug)]
pub enum Completed {
    /// The identity provider sent the person back with an error: the client is told (OAuth 2.1, section 4.1.2.1).
    Returned(Box<Returned>),
    /// A person signed in.
    SignedIn(SignedIn),
}

/// A sign-in that ended at the identity provider. The person approved this client before, so telling it sends nobody
/// to a stranger (OAuth 2.1, section 7.13.2).
#[derive(Debug)]
pub struct Returned {
    /// Whether the person goes back by a link only: the client is on a host that nobody vouches for.
    pub act_first: bool,
    /// Why, in our own words.
    pub error: LoginError,
    /// The answer for the client.
    pub response: AuthorizationResponse,
    /// Where it goes, verified anew.
    pub to: VerifiedRedirectUri,
}

/// Separates what is sealed together. Neither part holds a dot: both are base64url.
const BETWEEN: char = '.';

impl AuthorizationServer {
    /// The page that names the client before anybody is sent to an identity provider.
    ///
    /// # Errors
    /// [`LoginError`] if there is no such sign-in in this browser, or it can no longer go on.
    pub async fn login_page(&self, authorization: &str, browser: &Browser) -> Result<LoginPage, LoginError> {
        let now = self.parts.clock.now();
        let pending = self.find_pending(authorization, browser, now).await.map_err(LoginError::from_parts)?;
        let reference = pending.record.reference.clone();
        let client = match self.client_on_page(&pending.record).await {
            Ok(found) => found.ok_or(LoginReason::ClientGone),
            Err(error) => Err(error.into()),
        };
        let session = self.session(browser, now).await;
        let (client, session) = match (client, session) {
            (Ok(client), Ok(session)) => (client, session),
            (Err(reason), _) => return Err(LoginError { reason, reference }),
            (Ok(_), Err(error)) => return Err(LoginError { reason: error.into(), reference }),
        };
        Ok(self.show_login(pending, client, session.as_ref()).await)
    }

    pub(crate) async fn show_login(
        &self,
        pending: Pending,
        client: ClientOnPage,
        session: Option<&Session>,
    ) -> LoginPage {
        let Pending { record, binding } = pending;
        let keys = self.parts.keys.load();
        let shown = if session.is_some() { ShownTo::Somebody } else { ShownTo::Nobody };
        let server = self.settings.server(&record.request.server);
        // The page is good without the way for emergencies.
        let has_emergency =
            self.parts.store.has_emergency_login(self.parts.clock.now()).await.unwrap_or(false);
        let not_admitted = session.filter(|session| grants::admit(Some(&session.user), server).is_err());
        LoginPage {
            authorization: record.id,
            client,
            address: self.address_on_page(&record),
            connectors: self.chosen().map(on_page).collect(),
            csrf: forms::login_token(&keys.forms, record.id, &binding, shown),
            has_emergency,
            nobody: session.is_none(),
            not_admitted: not_admitted.map(|session| Account::of(&session.user)),
            server: self.server_on_page(&record),
            reference: record.reference,
        }
    }

    /// The button of the login page: begins the upstream leg.
    ///
    /// # Errors
    /// [`LoginError`] if the form is not of this sign-in in this browser, or the identity provider cannot be reached.
    pub async fn start_login(&self, form: LoginForm, browser: Browser) -> Result<LegStarted, LoginError> {
        let now = self.parts.clock.now();
        let pending =
            self.find_pending(&form.authorization, &browser, now).await.map_err(LoginError::from_parts)?;
        let reference = pending.record.reference.clone();
        self.start_leg(pending, &form, &browser, now).await.map_err(|reason| LoginError { reason, reference })
    }

    async fn start_leg(
        &self,
        pending: Pending,
        form: &LoginForm,
        browser: &Browser,
        now: Timestamp,
    ) -> Result<LegStarted, LoginReason> {
        let Pending { record, binding } = pending;
        let shown = forms::read_login_form(&self.parts.keys.load().forms, &form.csrf, record.id, &binding);
        if shown.ok_or(LoginReason::CsrfMismatch)? == ShownTo::Nobody
            && let Some(session) = self.session(browser, now).await?
            && prompt::is_fresh(&record.request, record.created_at, session.record.authenticated_at)
        {
            // Signed in meanwhile, in another tab. A second leg would end that session, and with it the page that
            // other tab shows (product.md, P-10: with a session there is no upstream leg).
            return Ok(LegStarted {
                location: format!("/consent?authorization={}", record.id),
                set_leg: None,
            });
        }
        let (connector, hint) = self.chosen_by(form, &record)?;
        self.client_on_page(&record).await?.ok_or(LoginReason::ClientGone)?;
        let entropy = &*self.parts.entropy;
        let (state, nonce) = (Secret::random("", entropy), Secret::random("", entropy));
        let verifier = CodeVerifier::mint(entropy);
        let set_leg = browser.bind_leg(entropy);
        let location = self.ask_connector((connector, hint), &record, [&state, &nonce], &verifier).await?;
        let leg = UpstreamLeg {
            connector: connector.id().as_str().to_owned(),
            state_hash: state.hash(),
            leg_hash: set_leg.hash(),
            nonce_hash: nonce.hash(),
            verifier: self.seal_leg(&record.leg_context(connector.id().as_str()), &nonce, &verifier),
        };
        if self.parts.store.start_leg(record.id, leg, now).await? {
            self.sign_in_next(record.id, SignInStep::SentToProvider, (None, now));
            Ok(LegStarted { location, set_leg: Some(set_leg) })
        } else {
            Err(LoginReason::AlreadyDecided)
        }
    }

    async fn ask_connector(
        &self,
        (connector, login_hint): (&dyn Connector, Option<&str>),
        record: &AuthorizationRecord,
        [state, nonce]: [&Secret; 2],
        verifier: &CodeVerifier,
    ) -> Result<String, LoginReason> {
        let (challenge, redirect_uri) =
            (verifier.challenge(), self.settings.callback(connector.id().as_str()));
        let start = state.expose(|state| nonce.expose(|nonce| (state.to_owned(), nonce.to_owned())));
        let leg = LegRequest {
            state: &start.0,
            nonce: &start.1,
            code_challenge: &challenge,
            redirect_uri: &redirect_uri,
            login_hint,
            reauthenticate: prompt::authenticated_since(&record.request, record.created_at).is_some(),
        };
        Ok(connector.start(leg).await?)
    }

    fn seal_leg(&self, context: &[&[u8]], nonce: &Secret, verifier: &CodeVerifier) -> Sealed {
        let together =
            nonce.expose(|nonce| verifier.expose(|verifier| format!("{nonce}{BETWEEN}{verifier}")));
        let together = Secret::new(together);
        let keys = self.parts.keys.load();
        together.expose(|text| keys.sealing.active().seal(context, text.as_bytes(), &*self.parts.entropy))
    }

    /// The identity provider of the button, or that of the address; and whom it is told to expect. Of an address only the
    /// part behind the `@` decides, and only by the configuration: nobody is looked up.
    fn chosen_by<'a>(
        &'a self,
        form: &'a LoginForm,
        record: &'a AuthorizationRecord,
    ) -> Result<(&'a dyn Connector, Option<&'a str>), LoginReason> {
        let address = form.address.trim();
        if !form.connector.is_empty() || address.is_empty() {
            let connector = self.connector(&form.connector).ok_or(LoginReason::ConnectorUnknown)?;
            return Ok((connector, record.request.login_hint.as_deref()));
        }
        let domain = domain_of(address).ok_or(LoginReason::AddressUnknown)?;
        let home = self.settings.home_domains.get(&domain).ok_or(LoginReason::AddressUnknown)?;
        Ok((self.connector(home).ok_or(LoginReason::AddressUnknown)?, Some(address)))
    }

    /// The identity providers that have a button: those that nobody is led to by an address.
    fn chosen(&self) -> impl Iterator<Item = &dyn Connector> {
        let by_address = |id: &str| self.settings.home_domains.values().any(|home| home == id);
        let connectors = self.parts.connectors.iter().map(|connector| &**connector);
        connectors.filter(move |connector| !by_address(connector.id().as_str()))
    }

    fn address_on_page(&self, record: &AuthorizationRecord) -> Option<String> {
        let hint = || record.request.login_hint.as_deref().filter(|hint| domain_of(hint).is_some());
        (!self.settings.home_domains.is_empty()).then(|| hint().unwrap_or_default().to_owned())
    }

    pub(crate) fn connector(&self, id: &str) -> Option<&dyn Connector> {
        self.parts
            .connectors
            .iter()
            .find(|connector| connector.id().as_str() == id)
            .map(|connector| &**connector)
    }

    /// The identity provider that has its page on our side, if there is one (`demo`).
    #[must_use]
    pub fn development(&self) -> Option<&upstream::connectors::development::Development> {
        self.parts.connectors.iter().find_map(|connector| connector.development())
    }
}

/// The domain of what has the form of an address, in small letters.
fn domain_of(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    let formed = !local.is_empty()
        && (1..=253).contains(&domain.len())
        && address.len() <= 254
        && !address.chars().any(|c| c.is_control() || c.is_whitespace());
    formed.then(|| domain.to_ascii_lowercase())
}

fn on_page(connector: &dyn Connector) -> ConnectorOnPage {
    ConnectorOnPage { id: connector.id().as_str().to_owned(), title: connector.title().to_owned() }
}

impl LoginError {
    fn from_parts((reason, reference): (LoginReason, Reference)) -> Self {
        Self { reason, reference }
    }
}

#[cfg(test)]
mod tests;
