//! ID tokens that lie, and keys that change.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::openid_provider::{CLIENT_ID, Signature};
use testkit::outcomes::{Verdict, page400};

use super::{Abroad, consents, nobody_came_in};

#[tokio::test]
async fn cb_07_an_id_token_that_nobody_signed_who_may_is_refused() -> Verdict {
    for signature in [
        Signature::Nobody,
        Signature::HmacWithThePublicKey,
        Signature::OtherKey,
        Signature::UnknownKey,
        Signature::Broken,
    ] {
        let abroad = Abroad::new().await?;
        abroad.provider.change(|held| held.signature = signature);
        let mut browser = abroad.house.browser();
        let refused = abroad.sign_in(&mut browser).await?;
        page400(&refused.answer).map_err(|why| format!("{signature:?}: {why}"))?;
        nobody_came_in(&abroad, &refused).await.map_err(|why| format!("{signature:?}: {why}"))?;
        // Without the lie the same house lets the person in.
        abroad.provider.repent();
        consents(testkit::browser::Place::Page(abroad.sign_in(&mut browser).await?))?;
        abroad.house.close().await?;
    }
    Ok(())
}

/// What an ID token may not say; the provider's own clock is the house's.
fn lies(now: i64) -> Vec<(&'static str, Value)> {
    vec![
        ("iss", json!("https://evil.example")),
        ("iss", json!(null)),
        ("iss", json!(["x"])),
        ("aud", json!("somebody else")),
        ("aud", json!(null)),
        ("aud", json!([])),
        ("aud", json!([CLIENT_ID, "somebody else"])),
        ("aud", json!({ CLIENT_ID: true })),
        ("azp", json!("somebody else")),
        ("azp", json!(7)),
        ("nonce", json!("of another leg")),
        ("nonce", json!(null)),
        ("nonce", json!("")),
        ("nonce", json!(["x"])),
        ("exp", json!(now - 61)),
        ("exp", json!(null)),
        ("exp", json!("9999999999")),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("iat", json!(now + 120)),
        ("iat", json!(null)),
        ("iat", json!("now")),
        ("nbf", json!(now + 120)),
        ("nbf", json!("now")),
        ("sub", json!(null)),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!("a\nb")),
        ("sub", json!("s".repeat(256))),
        ("auth_time", json!("yesterday")),
    ]
}

#[tokio::test]
async fn cb_07_an_id_token_that_says_what_it_may_not_is_refused() -> Verdict {
    let abroad = Abroad::new().await?;
    let now = protocol::world::Clock::now(&*abroad.house.clock).secs();
    for (claim, value) in lies(now) {
        let what = format!("{claim} = {value}");
        abroad.provider.repent();
        abroad.provider.lie(claim, value);
        let mut browser = abroad.house.browser();
        let refused = abroad.sign_in(&mut browser).await?;
        page400(&refused.answer).map_err(|why| format!("{what}: {why}"))?;
        nobody_came_in(&abroad, &refused).await.map_err(|why| format!("{what}: {why}"))?;
    }
    abroad.provider.repent();
    // What is only unusual is taken: several audiences of which we are the party, a clock that is a little off.
    for (claim, value) in [
        ("azp", json!(CLIENT_ID)),
        ("iat", json!(now + 50)),
        ("exp", json!(now - 50)),
        ("aud", json!([CLIENT_ID])),
    ] {
        abroad.provider.lie(claim, value);
    }
    let mut browser = abroad.house.browser();
    consents(testkit::browser::Place::Page(abroad.sign_in(&mut browser).await?))?;
    abroad.house.close().await
}

#[tokio::test]
async fn cb_08_userinfo_about_somebody_else_is_refused() -> Verdict {
    let abroad = Abroad::with(testkit::house::Plan::default(), |settings| settings.userinfo = true).await?;
    for about in [
        json!({"sub": "somebody else"}),
        json!({}),
        json!({"sub": ["248289761001"]}),
        json!("jane"),
        json!([]),
    ] {
        abroad.provider.change(|held| held.userinfo = about.clone());
        let mut browser = abroad.house.browser();
        let refused = abroad.sign_in(&mut browser).await?;
        page400(&refused.answer).map_err(|why| format!("{about}: {why}"))?;
        nobody_came_in(&abroad, &refused).await?;
    }
    abroad.provider.change(|held| held.userinfo = json!({"sub": "248289761001", "groups": ["staff"]}));
    let mut browser = abroad.house.browser();
    consents(testkit::browser::Place::Page(abroad.sign_in(&mut browser).await?))?;
    abroad.house.close().await
}

#[tokio::test]
async fn cb_20_a_key_that_was_changed_is_fetched_once_and_a_flood_of_unknown_ones_is_not_a_flood() -> Verdict
{
    let abroad = Abroad::new().await?;
    let sign_in = async || {
        let mut browser = abroad.house.browser();
        abroad.sign_in(&mut browser).await
    };
    consents(testkit::browser::Place::Page(sign_in().await?))?;
    consents(testkit::browser::Place::Page(sign_in().await?))?;
    assert_eq!(abroad.provider.asked("/keys"), 1);
    abroad.provider.rotate(2)?;
    consents(testkit::browser::Place::Page(sign_in().await?))?;
    assert_eq!(abroad.provider.asked("/keys"), 2, "one more for the new key");
    // Ids of keys that nobody has, within the time in which nobody fetches again.
    abroad.provider.change(|held| held.signature = Signature::UnknownKey);
    for _ in 0..10 {
        page400(&sign_in().await?.answer)?;
    }
    assert_eq!(abroad.provider.asked("/keys"), 2);
    abroad.house.advance(Duration::from_secs(31)).await?;
    for _ in 0..10 {
        page400(&sign_in().await?.answer)?;
    }
    assert_eq!(abroad.provider.asked("/keys"), 3, "one more after half a minute");
    // And people with honest tokens came in all the while.
    abroad.provider.repent();
    consents(testkit::browser::Place::Page(sign_in().await?))?;
    abroad.house.close().await
}
