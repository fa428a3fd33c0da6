//! The way back from the identity provider (attacks.md, 1.7), with an OpenID provider that can lie.

mod answer;
mod browser;
mod development;
mod id_token;
mod person;
mod providers;
mod states;

use std::sync::Arc;

use store::Counts;
use testkit::browser::{Browser, Page, Place};
use testkit::client::TestClient;
use testkit::house::{House, Plan};
use testkit::openid_provider::OpenIdProvider;
use testkit::outcomes::Verdict;
use upstream::connectors::oidc::OidcSettings;
use url::Url;

/// A house whose people sign in at an OpenID provider, and a client.
struct Abroad {
    house: House,
    provider: OpenIdProvider,
    client: TestClient,
}

impl Abroad {
    async fn new() -> Result<Self, String> {
        Self::with(Plan::default(), |_| {}).await
    }

    async fn with(mut plan: Plan, change: impl FnOnce(&mut OidcSettings)) -> Result<Self, String> {
        let provider = OpenIdProvider::start(&plan.clock).await?;
        plan.connectors.push(provider.connector("idp", change)?);
        let house = House::with(plan).await?;
        let client = house.client().await?;
        Ok(Self { house, provider, client })
    }

    /// The login page of a new authorization request.
    async fn login(&self, browser: &mut Browser) -> Result<Page, String> {
        let challenge = testkit::client::Pkce::new("abroad").challenge;
        let fields = self.client.authorization_request(&self.house.resource("notes"), &challenge);
        browser.open(&self.client.authorization_url(&fields)).await?.page()
    }

    /// From the login page to the provider: where the browser was sent.
    async fn leave(&self, browser: &mut Browser) -> Result<Url, String> {
        let login = self.login(browser).await?;
        depart(browser, &login, "idp").await
    }

    /// From the login page to the provider, which sends the browser back: the callback, not yet opened.
    async fn callback(&self, browser: &mut Browser) -> Result<Url, String> {
        let there = self.leave(browser).await?;
        browser.open(there.as_str()).await?.left()
    }

    /// The whole sign-in, up to the page that asks for consent, or says why not.
    async fn sign_in(&self, browser: &mut Browser) -> Result<Page, String> {
        let callback = self.callback(browser).await?;
        browser.open_from_elsewhere(callback.as_str()).await?.page()
    }

    /// NOSTORE looks at this: people and what they hold.
    async fn people(&self) -> Result<(u64, u64, u64), String> {
        let Counts { users, browser_sessions, grants, .. } = self.house.counts().await?;
        Ok((users, browser_sessions, grants))
    }
}

/// Presses the button of a connector on the login page.
async fn depart(browser: &mut Browser, login: &Page, connector: &str) -> Result<Url, String> {
    browser.submit(login, login.form()?, Some(("connector", connector))).await?.left()
}

fn is_consent(page: &Page) -> bool {
    page.forms().iter().any(|form| form.buttons.iter().any(|(name, _)| name == "decision"))
}

/// The page is the one that asks for consent.
fn consents(place: Place) -> Result<Page, String> {
    let page = place.page()?;
    if is_consent(&page) {
        Ok(page)
    } else {
        Err(format!("no consent page: {} {}", page.answer.status, page.words()))
    }
}

/// The URL with another value of a parameter; `None` leaves it out.
fn with(url: &Url, name: &str, value: Option<&str>) -> Url {
    let mut changed = url.clone();
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != name)
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    changed.query_pairs_mut().clear().extend_pairs(kept);
    if let Some(value) = value {
        changed.query_pairs_mut().append_pair(name, value);
    }
    changed
}

/// Two providers, each with its connector.
async fn two_providers() -> Result<(Abroad, OpenIdProvider), String> {
    let plan = Plan::default();
    let other = OpenIdProvider::start(&plan.clock).await?;
    let connectors = vec![other.connector("other", |_| {})?];
    let clock = Arc::clone(&plan.clock);
    Ok((Abroad::with(Plan { connectors, clock, ..plan }, |_| {}).await?, other))
}

/// Nobody came in by this answer.
async fn nobody_came_in(abroad: &Abroad, page: &Page) -> Verdict {
    if is_consent(page) {
        return Err(format!("somebody came in: {}", page.words()));
    }
    match abroad.people().await? {
        (0, 0, 0) => Ok(()),
        stored => Err(format!("something was stored: {stored:?}")),
    }
}
