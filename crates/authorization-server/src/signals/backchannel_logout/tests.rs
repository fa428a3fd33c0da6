use std::sync::Arc;

use protocol::jose::VerifyingKeys;
use serde_json::{Value, json};

use super::*;
use crate::trusted_issuers::IssuerKeys;

const NOW: i64 = 1_800_000_000;

fn source() -> BackchannelLogout {
    BackchannelLogout {
        client_id: "us".to_owned(),
        connector: "idp".to_owned(),
        issuer: "https://id.example".to_owned(),
        keys: IssuerKeys::Held(Arc::new(VerifyingKeys::default())),
        on_logout: OnLogout::Access,
    }
}

fn judged(changes: &Value) -> Result<Logout, SignalRefusal> {
    let mut claims = json!({
        "iss": "https://id.example", "aud": ["us", "others"], "iat": NOW, "exp": NOW + 120, "jti": "one",
        "sub": "jane", "sid": "s", "events": {(logout_token::EVENT): {}},
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    if let Some(claims) = claims.as_object_mut() {
        claims.retain(|_, value| !value.is_null());
    }
    decide(serde_json::from_value(claims).unwrap(), &source(), Timestamp::from_secs(NOW))
}

#[test]
fn every_reason_of_a_token_is_given() {
    for (changes, refusal) in [
        (json!({"iss": "https://id.example/"}), SignalRefusal::Issuer),
        (json!({"aud": "them"}), SignalRefusal::Audience),
        (json!({"events": {}}), SignalRefusal::Event),
        (json!({"events": {(logout_token::EVENT): "yes"}}), SignalRefusal::Event),
        (json!({"nonce": null, "jti": ""}), SignalRefusal::IdMissing),
        (json!({"nonce": "n"}), SignalRefusal::Nonce),
        (json!({"exp": NOW - 60}), SignalRefusal::Expired),
        (json!({"exp": NOW + 3601}), SignalRefusal::LivesTooLong),
        (json!({"iat": NOW + 61}), SignalRefusal::NotYet),
        (json!({"nbf": NOW + 61}), SignalRefusal::NotYet),
        (json!({"jti": "j".repeat(256)}), SignalRefusal::IdMissing),
        (json!({"sub": null, "sid": ""}), SignalRefusal::SubjectMissing),
        (json!({"sub": "", "sid": null}), SignalRefusal::SubjectMissing),
    ] {
        assert_eq!(judged(&changes).err(), Some(refusal), "{changes}");
    }
}

#[test]
fn a_good_one_says_whose_session_and_which() {
    let logout = judged(&json!({})).unwrap();
    assert_eq!((logout.subject.as_deref(), logout.session), (Some("jane"), Some(session_hash("idp", "s"))));
    assert_eq!(judged(&json!({"sid": null})).unwrap().session, None);
    assert_eq!(judged(&json!({"sub": null})).unwrap().subject, None);
    assert!(judged(&json!({"exp": NOW - 59})).is_ok() && judged(&json!({"iat": NOW + 60})).is_ok());
    // Another id is another word, and so is the same id of another issuer.
    assert_ne!(judged(&json!({"jti": "two"})).unwrap().once.hash, logout.once.hash);
    let word = |issuer| crate::signals::once(issuer, "one", Timestamp::from_secs(NOW)).unwrap().hash;
    assert_eq!(word("https://id.example"), logout.once.hash);
    assert_ne!(word("https://other.example"), logout.once.hash);
    assert_ne!(session_hash("idp", "s"), session_hash("other", "s"));
}
