//! The provider changes its keys (CB-20), loses them, or is flooded with tokens by keys that nobody has.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use upstream::connectors::{ConnectorError, Malformation};

use crate::provider::{Answer, CODE, KEYS, Provider, complete};
use crate::signer::Signer;

const UNKNOWN: ConnectorError = ConnectorError::Malformed(Malformation::UnknownKey);

#[tokio::test]
async fn keys_are_fetched_once_for_many_sign_ins() {
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    let many = futures_util::future::join_all((0..10).map(|_| complete(&oidc, CODE))).await;
    assert!(many.iter().all(Result::is_ok));
    assert_eq!(provider.seen(KEYS).len(), 1);
}

#[tokio::test]
async fn a_key_that_is_new_between_two_sign_ins_is_fetched_once_whoever_waits() {
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    complete(&oidc, CODE).await.unwrap();
    let release = provider.change_and_read(|held| {
        held.rotate(Signer::rs256(), "second");
        held.silent = Some(KEYS);
        Arc::clone(&held.release)
    });
    let many = futures_util::future::join_all((0..10).map(|_| complete(&oidc, CODE)));
    let (many, ()) = tokio::join!(many, async {
        // On a clock that stands, this ends when all ten have come to wait for the new keys.
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(1)).await;
        tokio::time::resume();
        release.add_permits(10);
    });
    assert!(many.iter().all(Result::is_ok), "{many:?}");
    assert_eq!(provider.seen(KEYS).len(), 2);
}

#[tokio::test]
async fn an_old_key_is_honoured_as_long_as_the_provider_publishes_it() {
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    let old = provider.change_and_read(|held| held.signer.sign(&held.header, &held.claims));
    let old_key = provider.change_and_read(|held| held.jwks.remove(0));
    provider.change(|held| {
        held.rotate(Signer::es256(), "second");
        held.jwks.push(old_key);
    });
    complete(&oidc, CODE).await.unwrap();
    provider.change(|held| held.id_token = Some(old));
    complete(&oidc, CODE).await.unwrap();
    assert_eq!(provider.seen(KEYS).len(), 1);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_ends_when_the_set_is_an_hour_old() {
    let provider = Provider::start().await;
    let (oidc, clock) = provider.connector();
    let old = provider.change_and_read(|held| held.signer.sign(&held.header, &held.claims));
    complete(&oidc, CODE).await.unwrap();
    provider.change(|held| {
        held.rotate(Signer::es256(), "second");
        held.id_token = Some(old);
    });
    complete(&oidc, CODE).await.unwrap();
    clock.advance(Duration::from_secs(60 * 60));
    assert_eq!(complete(&oidc, CODE).await, Err(UNKNOWN));
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_fetch_in_thirty_seconds() {
    let provider = Provider::start().await;
    let (oidc, clock) = provider.connector();
    complete(&oidc, CODE).await.unwrap();
    let flood = async || {
        for number in 0..10 {
            provider.change(|held| held.header["kid"] = json!(format!("invented {number}")));
            let many = futures_util::future::join_all((0..5).map(|_| complete(&oidc, CODE))).await;
            assert!(many.iter().all(|answer| *answer == Err(UNKNOWN)));
        }
    };
    flood().await;
    assert_eq!(provider.seen(KEYS).len(), 2);
    clock.advance(Duration::from_micros(29_999_999));
    flood().await;
    assert_eq!(provider.seen(KEYS).len(), 2);
    clock.advance(Duration::from_micros(1));
    flood().await;
    assert_eq!(provider.seen(KEYS).len(), 3);
    // And the honest key is not forgotten over it.
    provider.change(|held| held.header["kid"] = json!("first"));
    complete(&oidc, CODE).await.unwrap();
}

#[tokio::test]
async fn a_bad_signature_by_a_known_key_is_no_reason_to_fetch() {
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    complete(&oidc, CODE).await.unwrap();
    provider.change(|held| held.id_token = Some(Signer::es256().sign(&held.header, &held.claims)));
    assert!(complete(&oidc, CODE).await.is_err());
    assert_eq!(provider.seen(KEYS).len(), 1);
}

#[tokio::test]
async fn a_token_that_names_no_key_is_refused_and_is_no_reason_to_fetch() {
    let provider = Provider::start().await;
    let (oidc, _) = provider.connector();
    provider.change(|held| drop(held.header.as_object_mut().unwrap().remove("kid")));
    assert_eq!(complete(&oidc, CODE).await, Err(ConnectorError::Malformed(Malformation::IdTokenSignature)));
    assert_eq!(provider.seen(KEYS).len(), 1);
}

#[tokio::test]
async fn a_key_set_that_is_none_signs_nobody_in() {
    for (answer, told) in [
        (Answer::json(&json!({"keys": []})), None),
        (Answer::json(&json!({"keys": [{"kty": "oct", "kid": "first", "k": "AAAA"}]})), None),
        (Answer::json(&json!({})), Some(ConnectorError::Malformed(Malformation::KeySet))),
        (Answer::json(&json!([])), Some(ConnectorError::Malformed(Malformation::KeySet))),
        (Answer::status(200), Some(ConnectorError::Malformed(Malformation::KeySet))),
        (Answer::status(301), Some(ConnectorError::Malformed(Malformation::KeySet))),
        (Answer::status(500), Some(ConnectorError::Unreachable)),
        (
            Answer { body: " ".repeat(300_000), ..Answer::status(200) },
            Some(ConnectorError::Malformed(Malformation::KeySet)),
        ),
    ] {
        let provider = Provider::start().await;
        let shown = answer.body.chars().take(60).collect::<String>();
        provider.change(|held| drop(held.answers.insert(KEYS, answer)));
        let (oidc, _) = provider.connector();
        let error = complete(&oidc, CODE).await.unwrap_err();
        assert!(matches!(error, ConnectorError::Malformed(_) | ConnectorError::Unreachable));
        if let Some(told) = told {
            assert_eq!(error, told, "{shown}");
        }
    }
}

#[tokio::test]
async fn keys_known_before_an_outage_serve_through_it() {
    let provider = Provider::start().await;
    let (oidc, clock) = provider.connector();
    complete(&oidc, CODE).await.unwrap();
    provider.change(|held| drop(held.answers.insert(KEYS, Answer::status(503))));
    clock.advance(Duration::from_secs(2 * 60 * 60));
    complete(&oidc, CODE).await.unwrap();
    // A new key cannot be learnt now, which is not the same as being wrong.
    provider.change(|held| held.rotate(Signer::es256(), "second"));
    assert_eq!(complete(&oidc, CODE).await, Err(ConnectorError::Unreachable));
}
