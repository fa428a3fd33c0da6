//! F-14: an identity provider that is down, silent, slow, out of its mind, or has other keys than before. Signing in fails
//! with a page of ours, in time; what was issued before works on; and another provider is not touched by it.

use std::time::Duration;

use bytes::Bytes;
use testkit::browser::{Browser, Page};
use testkit::client::{Pkce, log_in};
use testkit::house::Plan;
use testkit::openid_provider::{Instead, OpenIdProvider, Signature};
use testkit::outcomes::{Verdict, harmless};
use testkit::wire::{Fault, Wire};

use super::chance::Stopwatch;
use crate::steps::{Flow, Tokens};

/// What the provider is given for everything, and what our page may take beside it.
const DEADLINE: Duration = Duration::from_millis(1_500);
const A_MOMENT: Duration = Duration::from_secs(1);
/// How long a failure is remembered (`kept.rs`), and more.
const PAUSE: Duration = Duration::from_secs(6);

/// A house with an OpenID provider beside the example one, at which Alice signed in before the trouble began.
struct Abroad {
    flow: Flow,
    provider: OpenIdProvider,
    wire: Wire,
    tokens: Tokens,
}

impl Abroad {
    async fn new() -> Result<Self, String> {
        let mut plan = Plan::default();
        let (provider, wire) = OpenIdProvider::start_through(&plan.clock).await?;
        plan.connectors.push(provider.connector("idp", |settings| settings.deadline = DEADLINE)?);
        let mut flow = Flow::with(plan).await?;
        let tokens = flow.tokens().await?;
        Ok(Self { flow, provider, wire, tokens })
    }

    /// The login page of a new request in a browser that nobody has used.
    async fn login(&self) -> Result<(Browser, Page), String> {
        let mut browser = self.flow.house.browser();
        let fields = self
            .flow
            .client
            .authorization_request(&self.flow.house.resource("notes"), &Pkce::new("abroad").challenge);
        let page = browser.open(&self.flow.client.authorization_url(&fields)).await?.page()?;
        Ok((browser, page))
    }

    /// A sign-in at the provider, as far as it goes: the page that asks for consent, or the one that says why not.
    async fn sign_in(&self) -> Result<Page, String> {
        let (mut browser, login) = self.login().await?;
        match browser.submit(&login, login.form()?, Some(("connector", "idp"))).await? {
            testkit::browser::Place::Page(page) => Ok(page),
            testkit::browser::Place::Left(there) => {
                let back = browser.open(there.as_str()).await?.left()?;
                browser.open_from_elsewhere(back.as_str()).await?.page()
            }
        }
    }

    /// It works.
    async fn signs_in(&self) -> Verdict {
        let page = self.sign_in().await?;
        if is_consent(&page) { Ok(()) } else { Err(format!("{}: {}", page.answer.status, page.words())) }
    }

    /// It does not, and says so in time with a page of ours that quotes nobody; and all else goes on.
    async fn fails_alone(&mut self, what: &str) -> Verdict {
        let watch = Stopwatch::start();
        let page = self.sign_in().await.map_err(|why| format!("{what}: {why}"))?;
        let took = watch.elapsed();
        let ours = page.answer.header("content-type").starts_with("text/html")
            && !page.answer.status.is_success()
            && page.answer.status != 500
            && !is_consent(&page)
            && !page.answer.text().contains(GARBAGE);
        if !ours || took > DEADLINE + A_MOMENT {
            return Err(format!("{what}: {} after {took:?}: {}", page.answer.status, page.words()));
        }
        // Who is in stays in.
        self.flow.calls(&self.tokens.access).await?;
        self.tokens = Tokens::of(&self.flow.refresh(&self.tokens.refresh).await?)?;
        self.flow.calls(&self.tokens.access).await?;
        // And there is another door.
        let (mut browser, login) = self.login().await?;
        let page = log_in(&mut browser, login, "bob").await?;
        if is_consent(&page) { Ok(()) } else { Err(format!("{what}: the other provider: {}", page.words())) }
    }

    /// Mended, and signed in as soon as the failure is forgotten.
    async fn mended(&self) -> Verdict {
        self.wire.set(Fault::None);
        self.provider.repent();
        self.flow.house.advance(PAUSE).await?;
        self.signs_in().await
    }
}

const GARBAGE: &str = "words-of-somebody-else";

fn is_consent(page: &Page) -> bool {
    page.forms().iter().any(|form| form.buttons.iter().any(|(name, _)| name == "decision"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_14_a_provider_that_cannot_be_reached_holds_nobody_up_and_takes_nothing_away() -> Verdict {
    for fault in [Fault::Cut, Fault::Stall, Fault::Slow(10), Fault::ResetAfter(100)] {
        let mut abroad = Abroad::new().await?;
        abroad.wire.set(fault);
        let (mut browser, login) = abroad.login().await?;
        let watch = Stopwatch::start();
        let page = browser.submit(&login, login.form()?, Some(("connector", "idp"))).await?.page()?;
        assert!(!page.answer.status.is_success() && watch.elapsed() < DEADLINE + A_MOMENT, "{fault:?}");
        // Whoever comes next does not wait for the deadline again.
        let watch = Stopwatch::start();
        abroad.fails_alone(&format!("{fault:?}")).await?;
        assert!(watch.elapsed() < DEADLINE, "a second deadline after {fault:?}");
        abroad.mended().await.map_err(|why| format!("after {fault:?}: {why}"))?;
        abroad.flow.house.close().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_14_a_provider_that_goes_away_in_the_middle_of_a_sign_in_lets_nobody_in() -> Verdict {
    let mut abroad = Abroad::new().await?;
    abroad.signs_in().await?;
    for fault in [Fault::Cut, Fault::Stall] {
        let (mut browser, login) = abroad.login().await?;
        let there = browser.submit(&login, login.form()?, Some(("connector", "idp"))).await?.left()?;
        let back = browser.open(there.as_str()).await?.left()?;
        abroad.wire.set(fault);
        let page = browser.open_from_elsewhere(back.as_str()).await?.page()?;
        assert!(!is_consent(&page) && !page.answer.status.is_success(), "{fault:?}: {}", page.words());
        abroad.mended().await?;
        abroad.tokens = Tokens::of(&abroad.flow.refresh(&abroad.tokens.refresh).await?)?;
    }
    abroad.flow.house.close().await
}

fn instead(status: u16, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Instead {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Instead { status, headers, body: body.into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_14_what_a_provider_answers_out_of_its_mind_is_never_believed_or_shown() -> Verdict {
    let json = ("content-type", "application/json");
    let huge = format!("{{\"issuer\":\"{GARBAGE}\",\"more\":\"{}\"}}", "x".repeat(4 * 1024 * 1024));
    let deep = "[".repeat(200_000);
    let another = format!(
        "{{\"issuer\":\"https://{GARBAGE}.example\",\"authorization_endpoint\":\"https://{GARBAGE}.example/a\",\
         \"token_endpoint\":\"https://{GARBAGE}.example/t\",\"jwks_uri\":\"https://{GARBAGE}.example/k\"}}"
    );
    let all = [
        ("a page", instead(200, &[("content-type", "text/html")], format!("<p>{GARBAGE}</p>"))),
        ("no JSON", instead(200, &[json], GARBAGE)),
        ("huge JSON", instead(200, &[json], huge)),
        ("deep JSON", instead(200, &[json], deep)),
        ("bytes of no type", instead(200, &[("content-type", "application/octet-stream")], vec![0; 100])),
        ("429 for a second", instead(429, &[("retry-after", "1")], GARBAGE)),
        ("429 for thirty years", instead(429, &[("retry-after", "1000000000")], GARBAGE)),
        ("500", instead(500, &[], GARBAGE)),
        ("a redirect", instead(302, &[("location", "http://127.0.0.1:9/")], GARBAGE)),
        ("another issuer", instead(200, &[json], another)),
        ("nothing at all", instead(200, &[json], Bytes::new())),
    ];
    for (what, answer) in all {
        let mut abroad = Abroad::new().await?;
        abroad.provider.change(|held| held.instead = Some(answer));
        abroad.fails_alone(what).await?;
        abroad.mended().await.map_err(|why| format!("after {what}: {why}"))?;
        abroad.flow.house.close().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_14_keys_that_are_rotated_in_the_middle_of_a_sign_in_are_fetched_once() -> Verdict {
    let abroad = Abroad::new().await?;
    abroad.signs_in().await?;
    let (mut browser, login) = abroad.login().await?;
    let there = browser.submit(&login, login.form()?, Some(("connector", "idp"))).await?.left()?;
    let back = browser.open(there.as_str()).await?.left()?;
    abroad.provider.rotate(7)?;
    let page = browser.open_from_elsewhere(back.as_str()).await?.page()?;
    assert!(is_consent(&page), "{}", page.words());
    // And whoever invents keys makes us ask for them no more often than every half minute.
    let before = abroad.provider.asked("/keys");
    abroad.provider.change(|held| held.signature = Signature::UnknownKey);
    for _ in 0..10 {
        let page = abroad.sign_in().await?;
        assert!(!is_consent(&page));
        harmless(&page.answer, &[GARBAGE])
            .or_else(|why| if page.answer.status == 502 { Ok(()) } else { Err(why) })?;
    }
    let asked = abroad.provider.asked("/keys") - before;
    assert!(asked <= 1, "asked {asked} times for keys");
    // No keys at all: nobody comes in, and everybody who is in stays.
    abroad.provider.change(|held| held.signature = Signature::Honest);
    abroad.flow.calls(&abroad.tokens.access).await?;
    abroad.flow.house.close().await
}
