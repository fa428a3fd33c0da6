//! What is registered is read back as the same, and nothing that is sent can panic.

use proptest::prelude::*;
use protocol::oauth::ClientMetadata;
use serde_json::{Value, json};

use super::policy;
use super::redirect_uri::registered;

/// Registrations that are accepted.
pub(super) fn metadata() -> impl Strategy<Value = ClientMetadata> {
    (
        prop::collection::vec(registered(), 1..5),
        prop::option::of("[a-zA-Z0-9 ()._\\-\"\\\\é関\u{202e}\u{200b}]{0,100}"),
        prop::option::of("https://[a-z]{1,10}\\.example/[a-z]{0,10}"),
        prop::sample::select(vec!["none", "client_secret_basic", "client_secret_post"]),
        any::<bool>(),
        prop::option::of("[a-z]{1,8}( [a-z:]{1,8}){0,4}"),
        prop::option::of("[!-~]{1,20}"),
    )
        .prop_map(|(redirect_uris, client_name, client_uri, method, refresh, scope, software_id)| {
            let body = json!({
                "redirect_uris": redirect_uris,
                "client_name": client_name,
                "client_uri": client_uri,
                "grant_types": if refresh { vec!["authorization_code", "refresh_token"] } else { vec!["authorization_code"] },
                "token_endpoint_auth_method": method,
                "scope": scope,
                "software_id": software_id,
            });
            ClientMetadata::parse_registration(body.to_string().as_bytes(), &policy()).unwrap()
        })
}

/// Any JSON, with the names that are looked at.
fn hostile() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        registered().prop_map(Value::from),
        Just(json!("code")),
        Just(json!("authorization_code")),
        Just(json!("none")),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("(keys|kty|n|d|a)", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    let name = "(redirect_uris|client_name|client_uri|logo_uri|grant_types|response_types|scope|jwks|jwks_uri|application_type|software_id|token_endpoint_auth_method|x)";
    prop::collection::btree_map(name, value, 0..8)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #[test]
    fn what_is_kept_is_read_back_as_the_same(metadata in metadata()) {
        let json = metadata.to_json();
        let again = ClientMetadata::parse_registration(json.as_bytes(), &policy()).unwrap();
        prop_assert_eq!(&again, &metadata);
        prop_assert_eq!(again.to_json(), json);
        prop_assert_eq!(again.fingerprint(), metadata.fingerprint());
    }

    #[test]
    fn no_body_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), json in hostile()) {
        let _ = ClientMetadata::parse_registration(&bytes, &policy());
        if let Ok(metadata) = ClientMetadata::parse_registration(json.to_string().as_bytes(), &policy()) {
            prop_assert_eq!(ClientMetadata::parse_registration(metadata.to_json().as_bytes(), &policy()), Ok(metadata));
        }
    }

    #[test]
    fn a_shown_name_has_no_control_and_no_direction_characters(name in any::<String>()) {
        let body = json!({"redirect_uris": ["http://localhost/"], "client_name": name}).to_string();
        let metadata = ClientMetadata::parse_registration(body.as_bytes(), &policy()).unwrap();
        let shown = metadata.client_name.unwrap_or_default();
        prop_assert!(shown.chars().count() <= 80);
        let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
        let hidden = shown.chars().any(|c| c.is_control() || turns(c));
        prop_assert!(!hidden, "{:?}", shown);
    }
}
