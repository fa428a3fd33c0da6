//! Key sets of others: kept by the word of their host within bounds, renewed without being a lever for strangers.

use std::sync::Arc;
use std::time::Duration;

use protocol::jose::{Algorithm, Expect, JoseError};
use protocol::world::Clock;
use serde_json::{Value, json};
use upstream::key_sets::{KeySetError, KeySets, KeySource};

use crate::provider::{Answer, DISCOVERY, KEYS, Provider};
use crate::signer::{Signer, hs256};
use crate::world::{TestClock, fetcher};

const EXPECT: Expect<'static> = Expect {
    typ: None,
    algorithms: &[Algorithm::EdDsa, Algorithm::Es256, Algorithm::Ps256, Algorithm::Rs256],
};
const UNKNOWN: KeySetError = KeySetError::Refused(JoseError::KeyUnknown);
const MINUTE: Duration = Duration::from_secs(60);

fn sets() -> (KeySets, Arc<TestClock>) {
    let clock = Arc::new(TestClock::default());
    let watched: Arc<dyn Clock> = Arc::<TestClock>::clone(&clock);
    (KeySets::new(fetcher(), watched, Duration::from_secs(10)), clock)
}

fn there(provider: &Provider) -> KeySource {
    KeySource::Uri(format!("{}{KEYS}", provider.issuer))
}

fn described(provider: &Provider) -> KeySource {
    KeySource::Discovery { issuer: provider.issuer.clone() }
}

fn token(provider: &Provider) -> String {
    provider.change_and_read(|held| held.signer.sign(&held.header, &held.claims))
}

async fn verify(sets: &KeySets, source: &KeySource, token: &str) -> Result<Value, KeySetError> {
    sets.verify(source, token, &EXPECT).await
}

#[tokio::test]
async fn a_token_is_verified_by_a_set_that_is_fetched_once_for_all_who_ask() {
    let provider = Provider::start().await;
    let (sets, _) = sets();
    let (source, token) = (there(&provider), token(&provider));
    let many = futures_util::future::join_all((0..100).map(|_| verify(&sets, &source, &token))).await;
    assert!(many.iter().all(|claims| claims.as_ref().unwrap()["sub"] == "248289761001"));
    assert_eq!(provider.seen(KEYS).len(), 1);
    assert_eq!(sets.examine(&source).await, Ok(1));
    assert_eq!(provider.seen(KEYS).len(), 1);
}

#[tokio::test]
async fn a_set_is_kept_as_long_as_its_host_says_within_bounds() {
    for (told, fresh) in [
        (None, 60 * MINUTE),
        (Some("max-age=600"), 10 * MINUTE),
        (Some("max-age=1"), MINUTE),
        (Some("no-store"), MINUTE),
        (Some("max-age=31536000"), 60 * MINUTE),
    ] {
        let provider = Provider::start().await;
        let keys = provider.change_and_read(|held| json!({ "keys": held.jwks }));
        provider.change(|held| {
            drop(held.answers.insert(KEYS, Answer { cache_control: told, ..Answer::json(&keys) }));
        });
        let (sets, clock) = sets();
        let (source, token) = (there(&provider), token(&provider));
        for (later, fetched) in [(Duration::ZERO, 1), (fresh - MINUTE / 60, 1), (MINUTE / 60, 2)] {
            clock.advance(later);
            verify(&sets, &source, &token).await.unwrap();
            assert_eq!(provider.seen(KEYS).len(), fetched, "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_new_key_is_learnt_and_invented_ones_are_one_fetch_in_thirty_seconds() {
    let provider = Provider::start().await;
    let (sets, clock) = sets();
    let source = there(&provider);
    let old = token(&provider);
    verify(&sets, &source, &old).await.unwrap();
    provider.change(|held| held.rotate(Signer::es256(), "second"));
    let new = token(&provider);
    verify(&sets, &source, &new).await.unwrap();
    assert_eq!(provider.seen(KEYS).len(), 2);
    let flood = async || {
        for number in 0..10 {
            provider.change(|held| held.header["kid"] = json!(format!("invented {number}")));
            let token = token(&provider);
            let many = futures_util::future::join_all((0..5).map(|_| verify(&sets, &source, &token))).await;
            assert!(many.iter().all(|answer| *answer == Err(UNKNOWN)));
        }
    };
    flood().await;
    clock.advance(Duration::from_micros(29_999_999));
    flood().await;
    assert_eq!(provider.seen(KEYS).len(), 2);
    clock.advance(Duration::from_micros(1));
    flood().await;
    assert_eq!(provider.seen(KEYS).len(), 3);
    verify(&sets, &source, &new).await.unwrap();
    assert_eq!(verify(&sets, &source, &old).await, Err(UNKNOWN), "and what was withdrawn is gone");
}

#[tokio::test]
async fn while_invented_keys_make_a_set_be_fetched_the_honest_do_not_wait() {
    let provider = Provider::start().await;
    let (sets, _) = sets();
    let source = there(&provider);
    let honest = token(&provider);
    verify(&sets, &source, &honest).await.unwrap();
    let release = provider.change_and_read(|held| {
        held.header["kid"] = json!("invented");
        held.silent = Some(KEYS);
        Arc::clone(&held.release)
    });
    let invented = token(&provider);
    let silence = provider.change_and_read(|held| Arc::clone(&held.silence));
    let (stranger, ()) = tokio::join!(verify(&sets, &source, &invented), async {
        silence.notified().await;
        verify(&sets, &source, &honest).await.unwrap();
        release.add_permits(1);
    });
    assert_eq!(stranger, Err(UNKNOWN));
}

#[tokio::test]
async fn while_a_set_is_fetched_again_what_is_there_serves_the_others() {
    let provider = Provider::start().await;
    let (sets, clock) = sets();
    let (source, token) = (there(&provider), token(&provider));
    verify(&sets, &source, &token).await.unwrap();
    clock.advance(60 * MINUTE);
    let (release, silence) = provider.change_and_read(|held| {
        held.silent = Some(KEYS);
        (Arc::clone(&held.release), Arc::clone(&held.silence))
    });
    let (first, ()) = tokio::join!(verify(&sets, &source, &token), async {
        silence.notified().await;
        let others = (0..10).map(|_| verify(&sets, &source, &token));
        assert!(futures_util::future::join_all(others).await.iter().all(Result::is_ok));
        release.add_permits(1);
    });
    first.unwrap();
    assert_eq!(provider.seen(KEYS).len(), 2);
}

#[tokio::test]
async fn keys_known_before_an_outage_serve_through_it_for_a_day() {
    let provider = Provider::start().await;
    let (sets, clock) = sets();
    let (source, token) = (there(&provider), token(&provider));
    verify(&sets, &source, &token).await.unwrap();
    provider.change(|held| drop(held.answers.insert(KEYS, Answer::status(503))));
    clock.advance(Duration::from_secs(24 * 60 * 60 - 1));
    verify(&sets, &source, &token).await.unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(verify(&sets, &source, &token).await, Err(KeySetError::Unreachable));
    // A set that came and is none does not let the old one serve.
    let (sets, clock) = self::sets();
    provider.change(|held| drop(held.answers.remove(KEYS)));
    verify(&sets, &source, &token).await.unwrap();
    provider.change(|held| drop(held.answers.insert(KEYS, Answer::status(404))));
    clock.advance(Duration::from_secs(60 * 60));
    assert_eq!(verify(&sets, &source, &token).await, Err(KeySetError::Malformed));
}

#[tokio::test]
async fn what_is_no_key_set_verifies_nothing_and_a_redirect_is_not_followed() {
    let elsewhere = Provider::start().await;
    for answer in [
        Answer::json(&json!({})),
        Answer::json(&json!([])),
        Answer::json(&json!({ "keys": vec![json!({}); 65] })),
        Answer::status(200),
        Answer::status(302),
        Answer { body: " ".repeat(300_000), ..Answer::json(&json!({})) },
    ] {
        let provider = Provider::start().await;
        provider.change(|held| drop(held.answers.insert(KEYS, answer)));
        let refused = verify(&sets().0, &there(&provider), &token(&provider)).await;
        assert_eq!(refused, Err(KeySetError::Malformed));
    }
    assert!(elsewhere.seen(KEYS).is_empty());
}

/// Clients of SDKs do not say which key signed: a rotated one is found all the same, and forgeries are no lever.
#[tokio::test]
async fn a_token_that_names_no_key_is_verified_by_a_rotated_one_too() {
    let provider = Provider::start().await;
    let (keys, clock) = sets();
    let source = there(&provider);
    let nameless = |signer: &Signer| signer.sign(&json!({"alg": signer.alg()}), &json!({"sub": "machine"}));
    let verify = async |token: &str| keys.verify_with_any::<Value>(&source, token, &EXPECT).await;
    provider.change(|held| held.rotate(Signer::es256(), "first"));
    let old = provider.change_and_read(|held| nameless(&held.signer));
    assert_eq!(verify(&old).await.unwrap()["sub"], "machine");
    assert_eq!(self::verify(&keys, &source, &old).await, Err(KeySetError::Refused(JoseError::KeyMissing)));
    provider.change(|held| held.rotate(Signer::rs256(), "second"));
    clock.advance(MINUTE);
    let new = provider.change_and_read(|held| nameless(&held.signer));
    verify(&new).await.unwrap();
    let forged = nameless(&Signer::es256());
    for _ in 0..20 {
        assert_eq!(verify(&forged).await, Err(KeySetError::Refused(JoseError::Signature)));
    }
    assert_eq!(verify(&old).await, Err(KeySetError::Refused(JoseError::Signature)));
    assert_eq!(provider.seen(KEYS).len(), 2);
}

#[tokio::test]
async fn only_asymmetric_keys_count_each_for_its_own_algorithm() {
    let provider = Provider::start().await;
    let source = there(&provider);
    let (header, claims, public) = provider.change_and_read(|held| {
        held.rotate(Signer::rs256(), "first");
        (held.header.clone(), held.claims.clone(), held.signer.public_bytes())
    });
    let mut symmetric = header.clone();
    symmetric["alg"] = json!("HS256");
    let by_public_key = hs256(&symmetric, &claims, &public);
    let algorithm = Err(KeySetError::Refused(JoseError::Algorithm));
    assert_eq!(verify(&sets().0, &source, &by_public_key).await, algorithm);
    // A key that is for one algorithm is for no other.
    let mut pss = header;
    pss["alg"] = json!("PS256");
    assert_eq!(verify(&sets().0, &source, &Signer::ps256().sign(&pss, &claims)).await, algorithm);
    // A secret that stands in the set is no key.
    provider
        .change(|held| held.jwks = vec![json!({"kty": "oct", "kid": "first", "alg": "HS256", "k": "AAAA"})]);
    let by_secret = hs256(&symmetric, &claims, &[0, 0, 0]);
    assert_eq!(verify(&sets().0, &source, &by_secret).await, algorithm);
    assert_eq!(verify(&sets().0, &source, &token(&provider)).await, Err(UNKNOWN));
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are_and_speaks_for_itself_alone() {
    let provider = Provider::start().await;
    let (keys, _) = sets();
    let source = described(&provider);
    verify(&keys, &source, &token(&provider)).await.unwrap();
    verify(&keys, &source, &token(&provider)).await.unwrap();
    assert_eq!((provider.seen(DISCOVERY).len(), provider.seen(KEYS).len()), (1, 1));
    for (member, value) in [
        ("issuer", json!("https://other.example.com")),
        ("issuer", json!(format!("{}/", provider.issuer))),
        ("jwks_uri", json!("http://keys.example.com/jwks")),
        ("jwks_uri", json!("file:///etc/passwd")),
        ("jwks_uri", json!("not a url")),
        ("jwks_uri", json!(7)),
    ] {
        let provider = Provider::start().await;
        let shown = value.to_string();
        provider.change(|held| held.discovery[member] = value);
        let refused = verify(&sets().0, &described(&provider), &token(&provider)).await;
        assert_eq!(refused, Err(KeySetError::Malformed), "{shown}");
    }
}

#[tokio::test]
async fn the_keys_of_one_do_not_speak_for_another_with_the_same_key_id() {
    let (one, other) = (Provider::start().await, Provider::start().await);
    let (sets, _) = sets();
    verify(&sets, &there(&one), &token(&one)).await.unwrap();
    let refused = verify(&sets, &there(&one), &token(&other)).await;
    assert_eq!(refused, Err(KeySetError::Refused(JoseError::Signature)));
    assert!(other.seen(KEYS).is_empty());
}

#[tokio::test]
async fn of_too_many_sets_the_one_longest_unused_makes_room() {
    let provider = Provider::start().await;
    let (sets, _) = sets();
    let token = token(&provider);
    let numbered = |number: usize| KeySource::Uri(format!("{}{KEYS}?{number}", provider.issuer));
    let fetched = |number: usize| provider.seen(&format!("{KEYS}?{number}")).len();
    provider.change(|held| {
        let keys = Answer::json(&json!({ "keys": held.jwks }));
        held.fallback = Some(keys);
    });
    for number in 0..256 {
        verify(&sets, &numbered(number), &token).await.unwrap();
    }
    verify(&sets, &numbered(0), &token).await.unwrap();
    verify(&sets, &numbered(256), &token).await.unwrap();
    assert_eq!(fetched(0), 1);
    verify(&sets, &numbered(0), &token).await.unwrap();
    assert_eq!(fetched(0), 1, "it was used lately");
    verify(&sets, &numbered(1), &token).await.unwrap();
    assert_eq!(fetched(1), 2, "it made room");
}
