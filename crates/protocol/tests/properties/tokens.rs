//! Tokens: no text makes verifying panic, and no changed one verifies.

use std::sync::LazyLock;

use proptest::prelude::*;
use protocol::jose::{Algorithm, Expect, SigningKey, VerifyingKeys};
use protocol::keys::KeyId;
use serde_json::{Value, json};

const EXPECT: Expect<'static> = Expect { typ: Some(&["at+jwt"]), algorithms: &[Algorithm::Es256] };

static KEY: LazyLock<SigningKey> = LazyLock::new(|| {
    let pkcs8 = SigningKey::generate_pkcs8().expect("a key");
    SigningKey::from_pkcs8(KeyId::from_bytes([1; 4]), &pkcs8).expect("a key")
});

proptest! {
    #[test]
    fn arbitrary_text_is_no_token(text in "[A-Za-z0-9_.=-]{0,80}|\\PC{0,80}") {
        let keys = VerifyingKeys::of([&*KEY].into_iter());
        prop_assert!(keys.verify::<Value>(&text, &EXPECT).is_err());
    }

    #[test]
    fn a_token_with_a_changed_byte_does_not_verify(sub in "\\PC{0,10}", place in any::<prop::sample::Index>(), other in "[A-Za-z0-9_.-]") {
        let keys = VerifyingKeys::of([&*KEY].into_iter());
        let claims = json!({ "sub": sub });
        let token = KEY.sign("at+jwt", &claims).expect("signed");
        prop_assert_eq!(keys.verify::<Value>(&token, &EXPECT), Ok(claims));
        let place = place.index(token.len());
        let changed = format!("{}{other}{}", &token[..place], &token[place + 1..]);
        prop_assert_eq!(keys.verify::<Value>(&changed, &EXPECT).is_ok(), changed == token);
    }
}
