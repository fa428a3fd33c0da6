//! Several identity providers in one house: who is led where by an address, and who is one person at two of them.

use authorization_server::{LinkedIdentity, Stopping, Target};
use store::AuditKind;
use testkit::browser::Page;
use testkit::house::Plan;
use testkit::identity_providers::{Brand, IdentityProvider};
use testkit::outcomes::Verdict;

use crate::abroad::Abroad;

/// Okta beside GitHub; people of `acme.example` are those of Okta.
async fn two(by_address: bool) -> Result<(Abroad, IdentityProvider), String> {
    let plan = Plan::default();
    let github = IdentityProvider::start(Brand::GitHub, &plan.clock).await?;
    let connectors = vec![github.connector("github")?];
    let home = by_address.then(|| ("acme.example".to_owned(), "idp".to_owned()));
    let plan = Plan { connectors, home_domains: home.into_iter().collect(), ..plan };
    Ok((Abroad::with(Brand::Okta, plan, |provider| provider.connector("idp")).await?, github))
}

fn buttons(page: &Page) -> Vec<String> {
    let forms = page.forms();
    let buttons = forms.iter().flat_map(|form| form.buttons.iter());
    buttons.filter(|(name, _)| name == "connector").map(|(_, value)| value.clone()).collect()
}

#[tokio::test]
async fn an_address_leads_to_the_provider_of_its_domain_and_says_nothing_of_anybody() -> Verdict {
    let (abroad, _github) = two(true).await?;
    let mut browser = abroad.house.browser();
    let login = abroad.login(&mut browser).await?;
    assert_eq!(buttons(&login), ["development", "github"], "who is led to has no button");
    for address in ["jane@acme.example", "nobody@ACME.example", " x@acme.example "] {
        let login = abroad.login(&mut browser).await?;
        let form = login.form()?.with("address", address);
        let there = browser.submit(&login, form, None).await?.left()?;
        assert!(there.as_str().starts_with(&abroad.provider.url), "{address}: {there}");
        let hint = testkit::client::parameter(&there, "login_hint");
        assert_eq!(hint.as_deref(), Some(address.trim()), "the provider is told whom to expect");
    }
    // Somebody who is known here and somebody who is not: the same, and of another domain the same for everybody.
    let mut told = Vec::new();
    for address in [
        "alice@example.com",
        "nobody@example.com",
        "x@sub.acme.example",
        "x@acme.example.evil.example",
        "jane",
    ] {
        let login = abroad.login(&mut browser).await?;
        let form = login.form()?.with("address", address);
        let page = browser.submit(&login, form, None).await?.page()?;
        assert_eq!(page.answer.status, 400, "{address}: {}", page.words());
        assert!(!page.answer.text().contains(address), "{address}");
        let words = page.words();
        told.push(words.split("Reference").next().unwrap_or_default().to_owned());
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    // Without domains there is no field, and every provider has its button.
    abroad.house.close().await?;
    let (abroad, _github) = two(false).await?;
    let login = abroad.login(&mut abroad.house.browser()).await?;
    assert_eq!(buttons(&login), ["development", "github", "idp"]);
    assert!(!login.answer.text().contains("name=\"address\""));
    abroad.house.close().await
}

#[tokio::test]
async fn two_identities_are_one_person_only_by_a_link_and_a_stop_is_of_both() -> Verdict {
    let (abroad, github) = two(false).await?;
    let okta = abroad.user(&abroad.tokens().await?).await?;
    let at_github = async || -> Result<Page, String> {
        let mut browser = abroad.house.browser();
        let there = abroad.leave(&mut browser, "github").await?;
        let callback = browser.open(there.as_str()).await?.left()?;
        browser.open_from_elsewhere(callback.as_str()).await?.page()
    };
    let who = async || -> Result<store::UserRecord, String> {
        let mut browser = abroad.house.browser();
        let there = abroad.leave(&mut browser, "github").await?;
        let callback = browser.open(there.as_str()).await?.left()?;
        let page = browser.open_from_elsewhere(callback.as_str()).await?.page()?;
        abroad.user(&abroad.redeem(&mut browser, page).await?).await
    };
    // The same verified address at both makes nobody one person.
    let own = who().await?;
    assert_ne!(own.id, okta.id);
    assert_eq!(own.email, okta.email);
    let house = &abroad.house;
    let entropy = testkit::world::TestEntropy::seeded(77);
    let store: &dyn store::Store = &*house.store;
    let operator = Stopping { clock: house.clock.as_ref(), entropy: &entropy, issuer: &house.issuer, store };
    let identity = LinkedIdentity { connector: "github".to_owned(), subject: "583231".to_owned() };
    let text = |error: store::StoreError| error.to_string();
    let ended = operator.link(&identity, Some(&own), &okta, Some("asked")).await.map_err(text)?;
    assert!(ended.is_some_and(|ended| ended.grants == 1), "{ended:?}");
    let linked = who().await?;
    assert_eq!((linked.id, linked.groups.contains(&"acme/staff".to_owned())), (okta.id, true));
    assert!(!linked.groups.contains(&"staff".to_owned()), "groups are not added up: {linked:?}");
    // Kept out is kept out, whichever way they come; and the link cannot be undone meanwhile.
    operator.stop(&Target::User(Box::new(okta.clone())), true, None).await.map_err(text)?;
    assert_eq!(at_github().await?.answer.status, 403);
    let link = store.find_identity_link("github", "583231").await.map_err(text)?.ok_or("no link")?;
    assert_eq!(operator.unlink(link.clone(), &okta, None).await.map_err(text)?, None);
    assert!(operator.allow_user(okta.clone(), None).await.map_err(text)?);
    assert_eq!(who().await?.id, okta.id);
    assert!(operator.unlink(link, &okta, None).await.map_err(text)?.is_some());
    assert_eq!(who().await?.id, own.id, "a person of its own again, and the one it was");
    for kind in [AuditKind::IdentityLinked, AuditKind::IdentityUnlinked] {
        let events = house.audit(kind).await?;
        assert_eq!(events.len(), 1, "{kind:?}");
        assert!(events.iter().all(|event| event.user == Some(okta.id)), "{events:?}");
    }
    drop(github);
    abroad.house.close().await
}
