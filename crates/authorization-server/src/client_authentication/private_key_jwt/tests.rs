use serde_json::{Value, json};

use super::*;
use crate::test_house::*;

const NOW: i64 = 1_800_000_000;

fn claims(changes: &Value) -> ClientAssertionClaims {
    let mut claims =
        json!({"iss": "portal", "sub": "portal", "aud": ISSUER, "exp": NOW + 300, "iat": NOW, "jti": "one"});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    serde_json::from_value(claims).unwrap()
}

fn judged(changes: &Value, restored: Option<i64>, tolerated: Option<&str>) -> Result<Once, AssertionRefusal> {
    let client = ClientId::parse("portal").unwrap();
    let expected = Expected {
        client: &client,
        issuer: ISSUER,
        now: Timestamp::from_secs(NOW),
        restored: restored.map(Timestamp::from_secs),
        tolerated,
    };
    decide(&claims(changes), &expected)
}

#[test]
fn each_claim_is_judged() {
    use AssertionRefusal::*;
    let table = [
        (json!({}), None),
        (json!({"aud": [ISSUER]}), None),
        (json!({"iss": "other"}), Some(Issuer)),
        (json!({"sub": "other"}), Some(Issuer)),
        (json!({"iss": "other", "sub": "other"}), Some(Issuer)),
        (json!({"aud": "https://other.example"}), Some(Audience)),
        (json!({"aud": []}), Some(Audience)),
        (json!({"aud": [ISSUER, "https://other.example"]}), Some(Audience)),
        (json!({"aud": format!("{ISSUER}/")}), Some(Audience)),
        (json!({"aud": format!("{ISSUER}/oauth/token")}), Some(Audience)),
        (json!({"aud": "https://mcp.example.com//oauth/token"}), Some(Audience)),
        (json!({"aud": "HTTPS://MCP.EXAMPLE.COM"}), Some(Audience)),
        (json!({"exp": NOW - 59}), None),
        (json!({"exp": NOW - 60}), Some(Expired)),
        (json!({"exp": NOW + 360}), None),
        (json!({"exp": NOW + 361}), Some(LivesTooLong)),
        (json!({"exp": i64::MAX}), Some(LivesTooLong)),
        (json!({"nbf": NOW + 60}), None),
        (json!({"nbf": NOW + 61}), Some(NotYet)),
        (json!({"iat": NOW + 61}), Some(NotYet)),
        (json!({"iat": null}), None),
        (json!({"jti": null}), Some(IdMissing)),
        (json!({"jti": ""}), Some(IdMissing)),
    ];
    for (changes, refusal) in table {
        assert_eq!(judged(&changes, None, None).err(), refusal, "{changes}");
    }
}

/// AS-149.
#[test]
fn the_token_endpoint_is_an_audience_only_where_it_is_tolerated() {
    let endpoint = format!("{ISSUER}/oauth/token");
    assert!(judged(&json!({"aud": endpoint}), None, Some(&endpoint)).is_ok());
    assert!(judged(&json!({}), None, Some(&endpoint)).is_ok());
    for aud in [json!([ISSUER, endpoint]), json!("https://mcp.example.com//oauth/token")] {
        let refused = judged(&json!({"aud": aud}), None, Some(&endpoint));
        assert_eq!(refused, Err(AssertionRefusal::Audience), "{aud}");
    }
}

#[test]
fn what_may_have_been_used_before_a_restore_is_refused() {
    assert_eq!(judged(&json!({}), Some(NOW), None), Err(AssertionRefusal::Restored));
    assert!(judged(&json!({"iat": NOW + 1}), Some(NOW), None).is_ok());
    assert_eq!(judged(&json!({"iat": null}), Some(NOW), None), Err(AssertionRefusal::Restored));
    assert!(judged(&json!({"iat": null}), Some(NOW - 1), None).is_ok());
}

#[test]
fn one_id_is_one_use_of_one_client_until_nobody_takes_it() {
    let one = judged(&json!({}), None, None).unwrap();
    assert_eq!(one.expires_at, Timestamp::from_secs(NOW + 360));
    assert_eq!(judged(&json!({"exp": NOW + 200}), None, None).unwrap().hash, one.hash);
    assert_ne!(judged(&json!({"jti": "two"}), None, None).unwrap().hash, one.hash);
}

#[test]
fn every_refusal_is_an_invalid_client_with_a_reason_of_its_own() {
    use AssertionRefusal::*;
    let all = [
        Audience,
        Expired,
        IdMissing,
        Issuer,
        Jose(JoseError::Signature),
        KeysMissing,
        KeysUnreachable,
        LivesTooLong,
        NotYet,
        Replayed,
        Restored,
    ];
    let reasons: std::collections::BTreeSet<_> =
        all.iter().chain([&KeysAway]).map(|refusal| refusal.reason()).collect();
    assert_eq!(reasons.len(), all.len() + 1);
    // Not its fault: it comes again.
    assert_eq!(KeysAway.code(), ErrorCode::TemporarilyUnavailable);
    assert!(all.iter().all(|refusal| refusal.code() == ErrorCode::InvalidClient));
}
