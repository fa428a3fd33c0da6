//! A house whose people sign in at one of the identity providers that Sekisho has a name for, and the steps there.

use serde_json::Value;
use store::{Counts, UserRecord, Users as _};
use testkit::browser::{Browser, Page, Place};
use testkit::client::{Pkce, TestClient, allow, parameter};
use testkit::house::{House, Plan};
use testkit::identity_providers::{Brand, IdentityProvider};
use testkit::outcomes::Verdict;
use upstream::connectors::Connector;
use url::Url;

use crate::steps::Tokens;

/// A house, a provider, a client.
pub(crate) struct Abroad {
    pub(crate) house: House,
    pub(crate) provider: IdentityProvider,
    pub(crate) client: TestClient,
}

impl Abroad {
    pub(crate) async fn at(brand: Brand) -> Result<Self, String> {
        Self::with(brand, Plan::default(), |provider| provider.connector("idp")).await
    }

    pub(crate) async fn with(
        brand: Brand,
        mut plan: Plan,
        connector: impl FnOnce(&IdentityProvider) -> Result<std::sync::Arc<dyn Connector>, String>,
    ) -> Result<Self, String> {
        let provider = IdentityProvider::start(brand, &plan.clock).await?;
        plan.connectors.push(connector(&provider)?);
        let house = House::with(plan).await?;
        let client = house.client().await?;
        Ok(Self { house, provider, client })
    }

    /// The login page of a new authorization request.
    pub(crate) async fn login(&self, browser: &mut Browser) -> Result<Page, String> {
        let challenge = Pkce::new("abroad").challenge;
        let fields = self.client.authorization_request(&self.house.resource("notes"), &challenge);
        browser.open(&self.client.authorization_url(&fields)).await?.page()
    }

    /// From the login page to a connector's provider: where the browser was sent.
    pub(crate) async fn leave(&self, browser: &mut Browser, connector: &str) -> Result<Url, String> {
        let login = self.login(browser).await?;
        browser.submit(&login, login.form()?, Some(("connector", connector))).await?.left()
    }

    /// The callback, not yet opened.
    pub(crate) async fn callback(&self, browser: &mut Browser) -> Result<Url, String> {
        let there = self.leave(browser, "idp").await?;
        browser.open(there.as_str()).await?.left()
    }

    /// The whole sign-in, up to the page that asks for consent, or says why not.
    pub(crate) async fn sign_in(&self) -> Result<(Browser, Page), String> {
        let mut browser = self.house.browser();
        let callback = self.callback(&mut browser).await?;
        let page = browser.open_from_elsewhere(callback.as_str()).await?.page()?;
        Ok((browser, page))
    }

    /// Signs in, allows, redeems: what the client holds.
    pub(crate) async fn tokens(&self) -> Result<Tokens, String> {
        let (mut browser, page) = self.sign_in().await?;
        self.redeem(&mut browser, page).await
    }

    pub(crate) async fn redeem(&self, browser: &mut Browser, page: Page) -> Result<Tokens, String> {
        let consent = consents(Place::Page(page))?;
        let code = parameter(&allow(browser, &consent).await?, "code").ok_or("no code")?;
        Tokens::of(&self.client.redeem(&code, &Pkce::new("abroad").verifier).await?)
    }

    /// Who somebody is who signed in and allowed.
    pub(crate) async fn user(&self, tokens: &Tokens) -> Result<UserRecord, String> {
        let claims = tokens.claims()?;
        let id = claims["sub"].as_str().unwrap_or_default().parse().map_err(|_| "not a user id")?;
        self.house.store.find_user(id).await.map_err(|error| error.to_string())?.ok_or("no user".to_owned())
    }

    /// The sign-in is refused, with that status and that reason in the audit, and nothing is stored.
    pub(crate) async fn refused(&self, status: u16, reason: &str) -> Verdict {
        let before = self.people().await?;
        let known = self.refusals().await?;
        let (_, page) = self.sign_in().await?;
        if is_consent(&page) {
            return Err(format!("somebody came in: {}", page.words()));
        }
        if page.answer.status != status {
            return Err(format!("{} in place of {status}: {}", page.answer.status, page.words()));
        }
        // The clock stands, so the order of events is none: the new one is what was not there before.
        let mut found = self.refusals().await?;
        for one in &known {
            found.iter().position(|other| other == one).map(|at| found.swap_remove(at));
        }
        if found != [reason] {
            return Err(format!("{found:?} in place of `{reason}`"));
        }
        match self.people().await? {
            after if after == before => Ok(()),
            after => Err(format!("something was stored: {after:?}")),
        }
    }

    /// One thing about the person is other than with Jane, and they are refused; Jane is not.
    pub(crate) async fn refused_if(&self, name: &str, value: Value, reason: &str) -> Verdict {
        self.provider.person(name, value.clone());
        let refused = self.refused(403, reason).await;
        self.provider.repent();
        refused.map_err(|why| format!("{name} = {value}: {why}"))
    }

    async fn refusals(&self) -> Result<Vec<String>, String> {
        let events = self.house.audit(store::AuditKind::SignInRefused).await?;
        Ok(events.into_iter().map(|event| event.reason.unwrap_or_default()).collect())
    }

    async fn people(&self) -> Result<(u64, u64, u64), String> {
        let Counts { users, browser_sessions, grants, .. } = self.house.counts().await?;
        Ok((users, browser_sessions, grants))
    }
}

pub(crate) fn is_consent(page: &Page) -> bool {
    page.forms().iter().any(|form| form.buttons.iter().any(|(name, _)| name == "decision"))
}

/// The page is the one that asks for consent.
pub(crate) fn consents(place: Place) -> Result<Page, String> {
    let page = place.page()?;
    if is_consent(&page) {
        Ok(page)
    } else {
        Err(format!("no consent page: {} {}", page.answer.status, page.words()))
    }
}
