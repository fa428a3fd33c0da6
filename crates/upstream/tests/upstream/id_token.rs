//! ID tokens as they must not be (CB-07): each is refused, and the honest one beside it is not.

use std::time::Duration;

use serde_json::{Value, json};
use upstream::connectors::{ConnectorError, Malformation};

use crate::provider::{CLIENT, CODE, Held, Provider, complete, complete_at};
use crate::signer::{Signer, hs256, message};
use crate::world::NOW;

use Malformation::{
    AuthenticationTime, IdTokenAudience, IdTokenAuthorizedParty, IdTokenClaims, IdTokenExpired,
    IdTokenIssuedAt, IdTokenIssuer, IdTokenNonce, IdTokenSignature, IdTokenSubject, IdTokenTooLarge,
    UnknownKey,
};

/// Signs in with an ID token changed by this.
async fn with(change: impl FnOnce(&mut Held)) -> Result<(), Malformation> {
    let provider = Provider::start().await;
    provider.change(change);
    let (oidc, _) = provider.connector();
    match complete(&oidc, CODE).await {
        Ok(_) => Ok(()),
        Err(ConnectorError::Malformed(malformation)) => Err(malformation),
        Err(other) => panic!("{other}"),
    }
}

async fn with_claim(name: &str, value: Value) -> Result<(), Malformation> {
    with(|held| held.claim(name, value)).await
}

#[tokio::test]
async fn every_accepted_algorithm_is_accepted() {
    for signer in [Signer::es256(), Signer::rs256(), Signer::ps256(), Signer::eddsa()] {
        let alg = signer.alg();
        assert_eq!(with(|held| held.rotate(signer, "other")).await, Ok(()), "{alg}");
    }
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    for alg in ["none", "None", "NONE", ""] {
        let refused = with(|held| {
            held.header["alg"] = json!(alg);
            held.id_token = Some(format!("{}.", message(&held.header, &held.claims)));
        });
        assert_eq!(refused.await, Err(IdTokenSignature), "{alg}");
    }
    let stripped = with(|held| held.id_token = Some(format!("{}.", message(&held.header, &held.claims))));
    assert_eq!(stripped.await, Err(IdTokenSignature));
}

#[tokio::test]
async fn a_public_key_is_not_a_secret() {
    for signer in [Signer::es256(), Signer::rs256(), Signer::eddsa()] {
        let refused = with(|held| {
            held.rotate(signer, "first");
            held.header["alg"] = json!("HS256");
            let secret = held.signer.public_bytes();
            held.id_token = Some(hs256(&held.header, &held.claims, &secret));
        });
        assert_eq!(refused.await, Err(IdTokenSignature));
    }
    // Nor is our client secret a key: HS256 is not on the list at all.
    let refused = with(|held| {
        held.header["alg"] = json!("HS256");
        held.id_token = Some(hs256(&held.header, &held.claims, b"hush: hush"));
    });
    assert_eq!(refused.await, Err(IdTokenSignature));
}

#[tokio::test]
async fn a_token_by_another_key_is_refused() {
    let same_kid = with(|held| held.id_token = Some(Signer::es256().sign(&held.header, &held.claims)));
    assert_eq!(same_kid.await, Err(IdTokenSignature));
    let other_kid = with(|held| {
        let other = Signer::es256();
        held.header["jwk"] = other.jwk("other");
        held.header["kid"] = json!("other");
        held.id_token = Some(other.sign(&held.header, &held.claims));
    });
    assert_eq!(other_kid.await, Err(UnknownKey));
}

#[tokio::test]
async fn an_algorithm_is_bound_to_its_key() {
    let refused = with(|held| {
        held.jwks = vec![Signer::rs256().jwk("first")];
        held.header = json!({"alg": "PS256", "kid": "first"});
        held.signer = Signer::ps256();
    });
    assert_eq!(refused.await, Err(IdTokenSignature));
}

#[tokio::test]
async fn changed_claims_and_things_that_are_no_token_are_refused() {
    let provider = Provider::start().await;
    let honest = provider.change_and_read(|held| held.signer.sign(&held.header, &held.claims));
    let (head, rest) = honest.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let forged = provider.change_and_read(|held| {
        held.claim("sub", json!("somebody else"));
        message(&held.header, &held.claims)
    });
    let forged_claims = forged.split_once('.').unwrap().1;
    for token in [
        format!("{head}.{forged_claims}.{signature}"),
        format!("{honest}.{signature}"),
        format!("{honest}="),
        rest.to_owned(),
        String::new(),
        "..".to_owned(),
        "a.b.c".to_owned(),
    ] {
        let shown = token.chars().take(80).collect::<String>();
        assert_eq!(with(|held| held.id_token = Some(token)).await, Err(IdTokenSignature), "{shown}");
    }
}

#[tokio::test]
async fn a_token_of_endless_groups_is_told_as_that() {
    let groups: Vec<_> = (0..2000).map(|number| format!("group {number}")).collect();
    assert_eq!(with_claim("groups", json!(groups)).await, Err(IdTokenTooLarge));
}

#[tokio::test]
async fn a_critical_extension_is_refused() {
    let refused = with(|held| {
        held.header["crit"] = json!(["b64"]);
        held.header["b64"] = json!(true);
    });
    assert_eq!(refused.await, Err(IdTokenSignature));
}

#[tokio::test]
async fn the_issuer_must_be_exact() {
    let provider = Provider::start().await;
    let slash = format!("{}/", provider.issuer);
    for issuer in [json!(slash), json!("https://other.example"), json!("")] {
        assert_eq!(with_claim("iss", issuer).await, Err(IdTokenIssuer));
    }
}

#[tokio::test]
async fn the_audience_must_be_us() {
    for (aud, azp, judged) in [
        (json!(CLIENT), json!(null), Ok(())),
        (json!([CLIENT]), json!(null), Ok(())),
        (json!(CLIENT), json!(CLIENT), Ok(())),
        (json!([CLIENT, "another"]), json!(CLIENT), Ok(())),
        (json!([CLIENT, "another"]), json!(null), Err(IdTokenAudience)),
        (json!([CLIENT, "another"]), json!("another"), Err(IdTokenAuthorizedParty)),
        (json!(CLIENT), json!("another"), Err(IdTokenAuthorizedParty)),
        (json!("another"), json!(null), Err(IdTokenAudience)),
        (json!("another"), json!(CLIENT), Err(IdTokenAudience)),
        (json!(["another"]), json!(CLIENT), Err(IdTokenAudience)),
        (json!([]), json!(CLIENT), Err(IdTokenAudience)),
        (json!(CLIENT.to_uppercase()), json!(null), Err(IdTokenAudience)),
    ] {
        let shown = format!("{aud} {azp}");
        let answer = with(|held| {
            held.claim("aud", aud);
            held.claim("azp", azp);
        });
        assert_eq!(answer.await, judged, "{shown}");
    }
}

#[tokio::test]
async fn the_nonce_must_be_of_this_leg() {
    for nonce in [json!(null), json!("nonce-of-another-leg"), json!("")] {
        assert_eq!(with_claim("nonce", nonce).await, Err(IdTokenNonce));
    }
}

#[tokio::test]
async fn the_subject_is_neither_empty_nor_endless() {
    for subject in ["".to_owned(), "s".repeat(256), "a\nb".to_owned()] {
        assert_eq!(with_claim("sub", json!(subject)).await, Err(IdTokenSubject));
    }
    assert_eq!(with_claim("sub", json!("s".repeat(255))).await, Ok(()));
}

#[tokio::test]
async fn times_are_judged_with_a_minute_of_grace() {
    let now = NOW.secs();
    for (name, time, judged) in [
        ("exp", json!(now - 59), Ok(())),
        ("exp", json!(now - 60), Err(IdTokenExpired)),
        ("exp", json!(f64::from(1_800_000_000) - 59.5), Ok(())),
        ("exp", json!(0), Err(IdTokenExpired)),
        ("exp", json!(-1), Err(IdTokenExpired)),
        ("exp", json!(i64::MIN), Err(IdTokenExpired)),
        ("exp", json!(1e300), Ok(())),
        ("iat", json!(now + 60), Ok(())),
        ("iat", json!(now + 61), Err(IdTokenIssuedAt)),
        ("iat", json!(u64::MAX), Err(IdTokenIssuedAt)),
        ("nbf", json!(now + 60), Ok(())),
        ("nbf", json!(now + 61), Err(IdTokenIssuedAt)),
    ] {
        let shown = format!("{name} {time}");
        assert_eq!(with_claim(name, time).await, judged, "{shown}");
    }
}

#[tokio::test]
async fn a_claim_that_is_missing_or_of_another_type_is_refused() {
    for (name, value) in [
        ("iss", json!(null)),
        ("sub", json!(null)),
        ("aud", json!(null)),
        ("exp", json!(null)),
        ("iat", json!(null)),
        ("iss", json!(["x"])),
        ("sub", json!(248_289_761_001_u64)),
        ("aud", json!({"client": CLIENT})),
        ("aud", json!([CLIENT, 7])),
        ("exp", json!("1800000300")),
        ("iat", json!("1800000000")),
        ("nbf", json!("0")),
        ("nonce", json!(["nonce-of-this-leg"])),
        ("azp", json!([CLIENT])),
        ("auth_time", json!("now")),
    ] {
        let shown = format!("{name} {value}");
        assert_eq!(with_claim(name, value).await, Err(IdTokenClaims), "{shown}");
    }
}

#[tokio::test]
async fn a_demanded_reauthentication_must_have_happened() {
    let begun = NOW.minus(Duration::from_secs(600));
    for (auth_time, judged) in [
        (json!(null), Err(AuthenticationTime)),
        (json!(begun.secs() - 61), Err(AuthenticationTime)),
        (json!(NOW.secs() + 61), Err(AuthenticationTime)),
        (json!(begun.secs() - 60), Ok(())),
        (json!(NOW.secs()), Ok(())),
    ] {
        let provider = Provider::start().await;
        let shown = auth_time.to_string();
        provider.change(|held| held.claim("auth_time", auth_time));
        let (oidc, _) = provider.connector();
        let answer = complete_at(&oidc, CODE, NOW, Some(begun)).await;
        assert_eq!(answer.map(|_| ()), judged.map_err(ConnectorError::Malformed), "{shown}");
        // Nobody demanded it: then it is not asked.
        assert!(complete(&oidc, CODE).await.is_ok());
    }
}
