//! Who it is: never by an address, and in a group only if the provider says so plainly.

use policy::Access;
use serde_json::{Value, json};
use store::Users as _;
use testkit::browser::Place;
use testkit::client::{Pkce, allow, log_in, parameter};
use testkit::house::Plan;
use testkit::outcomes::{Verdict, page};

use super::{Abroad, consents, is_consent, nobody_came_in, two_providers};
use crate::steps::Tokens;

/// Signs in at the provider, allows, redeems: whose token it is.
async fn subject(abroad: &Abroad, person: Value) -> Result<String, String> {
    abroad.provider.repent();
    abroad.provider.sign_in_as(person);
    let mut browser = abroad.house.browser();
    let consent = consents(Place::Page(abroad.sign_in(&mut browser).await?))?;
    let code = parameter(&allow(&mut browser, &consent).await?, "code").ok_or("no code")?;
    let tokens = Tokens::of(&abroad.client.redeem(&code, &Pkce::new("abroad").verifier).await?)?;
    Ok(tokens.claims()?["sub"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn cb_10_an_address_makes_nobody_somebody_else() -> Verdict {
    let abroad = Abroad::new().await?;
    // Alice of the example people has this address.
    let mut browser = abroad.house.browser();
    let login = abroad.login(&mut browser).await?;
    let consent = log_in(&mut browser, login, "alice").await?;
    let code = parameter(&allow(&mut browser, &consent).await?, "code").ok_or("no code")?;
    let alice = Tokens::of(&abroad.client.redeem(&code, &Pkce::new("abroad").verifier).await?)?;
    let alice = alice.claims()?["sub"].as_str().unwrap_or_default().to_owned();
    let mut all = vec![alice];
    for (number, verified) in [json!(true), json!(false), json!("true"), json!(null)].into_iter().enumerate()
    {
        let person =
            json!({"sub": format!("s{number}"), "email": "alice@example.com", "email_verified": verified});
        all.push(subject(&abroad, person).await?);
    }
    // The name of a login, as a subject of another provider, is nobody's login here.
    all.push(subject(&abroad, json!({"sub": "alice"})).await?);
    all.push(subject(&abroad, json!({"sub": "Alice"})).await?);
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "each is a person of their own");
    assert_eq!(abroad.house.counts().await?.users, u64::try_from(count).unwrap_or_default());
    abroad.house.close().await
}

#[tokio::test]
async fn cb_10_only_a_verified_address_is_kept() -> Verdict {
    let abroad = Abroad::new().await?;
    for (verified, kept) in [
        (json!(true), true),
        (json!(false), false),
        (json!("true"), false),
        (json!(1), false),
        (json!(null), false),
    ] {
        let person =
            json!({"sub": "jane", "name": "Jane", "email": "jane@example.com", "email_verified": verified});
        let user = subject(&abroad, person).await?.parse().map_err(|_| "not a user id")?;
        let user =
            abroad.house.store.find_user(user).await.map_err(|error| error.to_string())?.ok_or("no user")?;
        assert_eq!(user.email.is_some(), kept, "{verified}");
    }
    abroad.house.close().await
}

#[tokio::test]
async fn cb_10_one_subject_at_two_providers_is_two_people() -> Verdict {
    let (abroad, other) = two_providers().await?;
    let here = subject(&abroad, json!({"sub": "one"})).await?;
    other.sign_in_as(json!({"sub": "one"}));
    let mut browser = abroad.house.browser();
    let login = abroad.login(&mut browser).await?;
    let there = super::depart(&mut browser, &login, "other").await?;
    let callback = browser.open(there.as_str()).await?.left()?;
    let consent = consents(browser.open_from_elsewhere(callback.as_str()).await?)?;
    let code = parameter(&allow(&mut browser, &consent).await?, "code").ok_or("no code")?;
    let there = Tokens::of(&abroad.client.redeem(&code, &Pkce::new("abroad").verifier).await?)?;
    assert_ne!(there.claims()?["sub"], here.as_str());
    abroad.house.close().await
}

fn staff_only() -> Plan {
    Plan { servers: vec![("notes", Access::Groups(vec!["staff".to_owned()]))], ..Plan::default() }
}

#[tokio::test]
async fn cb_11_groups_that_are_absent_or_look_alike_or_are_elsewhere_let_nobody_in() -> Verdict {
    let abroad = Abroad::with(staff_only(), |_| {}).await?;
    for person in [
        json!({"sub": "1"}),
        json!({"sub": "2", "groups": []}),
        json!({"sub": "3", "groups": ["Staff", "staff ", "staffs", "st\u{430}ff"]}),
        json!({"sub": "4", "groups": "staff,admin"}),
        json!({"sub": "5", "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example/"}}}),
        json!({"sub": "6", "groups": {"staff": true}}),
        json!({"sub": "7", "groups": [["staff"]]}),
        json!({"sub": "8", "groups": 7}),
        json!({"sub": "9", "roles": ["staff"]}),
    ] {
        abroad.provider.sign_in_as(person.clone());
        let mut browser = abroad.house.browser();
        let refused = abroad.sign_in(&mut browser).await?;
        assert!(!is_consent(&refused), "{person}: {}", refused.words());
        assert_eq!(refused.answer.status, 403, "{person}: {}", refused.words());
    }
    assert_eq!(abroad.house.counts().await?.grants, 0);
    abroad.provider.sign_in_as(json!({"sub": "10", "groups": ["other", "staff"]}));
    let mut browser = abroad.house.browser();
    consents(Place::Page(abroad.sign_in(&mut browser).await?))?;
    abroad.house.close().await
}

#[tokio::test]
async fn cb_11_a_domain_or_tenant_that_only_looks_like_ours_is_refused() -> Verdict {
    let abroad = Abroad::with(Plan::default(), |settings| {
        settings.email_domains = vec!["example.com".to_owned()];
        settings.required_claims.insert("tid".to_owned(), vec!["our-tenant".to_owned()]);
    })
    .await?;
    let honest =
        json!({"sub": "1", "email": "jane@example.com", "email_verified": true, "tid": "our-tenant"});
    for (claim, value) in [
        ("tid", json!(null)),
        ("tid", json!("Our-Tenant")),
        ("tid", json!("our-tenant.evil")),
        ("tid", json!({"our-tenant": 1})),
        ("email", json!(null)),
        ("email", json!("jane@example.com.evil.example")),
        ("email", json!("jane@evil-example.com")),
        ("email", json!("jane@sub.example.com")),
        ("email", json!("jane@evil.example@example.com")),
        ("email_verified", json!(false)),
        ("email_verified", json!("true")),
        ("email_verified", json!(null)),
    ] {
        let what = format!("{claim} = {value}");
        abroad.provider.sign_in_as(honest.clone());
        abroad.provider.repent();
        abroad.provider.lie(claim, value);
        let mut browser = abroad.house.browser();
        let refused = abroad.sign_in(&mut browser).await?;
        page(&refused.answer, http::StatusCode::FORBIDDEN).map_err(|why| format!("{what}: {why}"))?;
        nobody_came_in(&abroad, &refused).await.map_err(|why| format!("{what}: {why}"))?;
    }
    abroad.provider.repent();
    let mut browser = abroad.house.browser();
    consents(Place::Page(abroad.sign_in(&mut browser).await?))?;
    abroad.house.close().await
}

#[tokio::test]
async fn a_person_keeps_their_id_and_what_the_provider_says_of_them_is_brought_up_to_date() -> Verdict {
    let abroad = Abroad::new().await?;
    let first = subject(&abroad, json!({"sub": "jane", "name": "Jane Doe", "groups": ["staff"]})).await?;
    let again = subject(&abroad, json!({"sub": "jane", "name": "Jane Roe", "groups": ["board"]})).await?;
    assert_eq!(first, again);
    let id = first.parse().map_err(|_| "not a user id")?;
    let user = abroad.house.store.find_user(id).await.map_err(|error| error.to_string())?.ok_or("no user")?;
    assert_eq!((user.name.as_deref(), user.groups), (Some("Jane Roe"), vec!["board".to_owned()]));
    assert_eq!(abroad.house.counts().await?.users, 1);
    abroad.house.close().await
}

/// AS-240.
#[tokio::test]
async fn groups_of_the_provider_decide_over_access_and_a_change_counts_at_the_next_sign_in() -> Verdict {
    let abroad = Abroad::with(staff_only(), |_| {}).await?;
    abroad.provider.sign_in_as(json!({"sub": "jane", "groups": ["staff"]}));
    let mut browser = abroad.house.browser();
    let consent = consents(Place::Page(abroad.sign_in(&mut browser).await?))?;
    let code = parameter(&allow(&mut browser, &consent).await?, "code").ok_or("no code")?;
    let tokens = Tokens::of(&abroad.client.redeem(&code, &Pkce::new("abroad").verifier).await?)?;
    assert_eq!(abroad.house.echo("notes", &tokens.access).await?.status, 200);
    // She leaves the group, and signs in once more, in whatever browser.
    abroad.provider.sign_in_as(json!({"sub": "jane", "groups": []}));
    let mut other = abroad.house.browser();
    let refused = abroad.sign_in(&mut other).await?;
    assert_eq!(refused.answer.status, 403, "{}", refused.words());
    // Her old grant gives no token any more, and the token that is out is worth nothing within half a minute.
    testkit::outcomes::tok400(&abroad.client.refresh(&tokens.refresh).await?, "invalid_grant")?;
    abroad.house.advance(std::time::Duration::from_secs(31)).await?;
    assert_eq!(abroad.house.echo("notes", &tokens.access).await?.status, 403);
    abroad.house.close().await
}
