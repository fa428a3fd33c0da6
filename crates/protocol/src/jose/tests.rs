//! Tokens as we make them and as attackers do (attacks ST-14, JA-06, CB-07; RFC 8725).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::claims::{AccessTokenClaims, IdTokenClaims, IdentityAssertionClaims};
use super::*;
use crate::keys::KeyId;

const AT_JWT: Expect<'static> = Expect { typ: Some(&["at+jwt"]), algorithms: &[Algorithm::Es256] };
const ANY_JWT: Expect<'static> = Expect {
    typ: None,
    algorithms: &[Algorithm::EdDsa, Algorithm::Es256, Algorithm::Ps256, Algorithm::Rs256],
};

fn key(id: u8) -> SigningKey {
    SigningKey::from_pkcs8(KeyId::from_bytes([id; 4]), &SigningKey::generate_pkcs8().unwrap()).unwrap()
}

fn claims() -> AccessTokenClaims {
    AccessTokenClaims {
        iss: "https://sekisho.example".to_owned(),
        sub: "u".to_owned(),
        aud: "https://sekisho.example/docs/mcp".to_owned(),
        client_id: "c".to_owned(),
        grant_id: "g".to_owned(),
        scope: None,
        iat: 1_700_000_000,
        exp: 1_700_000_600,
        cnf: None,
        jti: "j".to_owned(),
        service_account: None,
        act: None,
    }
}

/// Signs any header and any payload with this key.
fn forge(key: &SigningKey, header: &str, payload: &str) -> String {
    // The signing key signs what it is given; the header is exchanged by signing the whole as an opaque message.
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = key.sign_bytes(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn refusal(keys: &VerifyingKeys, token: &str) -> JoseError {
    keys.verify::<AccessTokenClaims>(token, &AT_JWT).expect_err(token)
}

/// AS-170.
#[test]
fn what_we_sign_we_verify_and_others_can_too() {
    let key = key(0xab);
    let token = key.sign("at+jwt", &claims()).unwrap();
    let ours = VerifyingKeys::of([&key].into_iter());
    assert_eq!(ours.verify::<AccessTokenClaims>(&token, &AT_JWT).unwrap(), claims());
    let published = VerifyingKeys::from_jwks(&json!({ "keys": [key.public_jwk()] })).unwrap();
    assert_eq!(published.verify::<AccessTokenClaims>(&token, &AT_JWT).unwrap(), claims());
    assert!(published.has("abababab"));
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header, json!({ "typ": "at+jwt", "alg": "ES256", "kid": "abababab" }));
}

#[test]
fn a_changed_token_does_not_verify() {
    let key = key(1);
    let keys = VerifyingKeys::of([&key].into_iter());
    let token = key.sign("at+jwt", &claims()).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let other = URL_SAFE_NO_PAD
        .encode(serde_json::to_vec(&AccessTokenClaims { sub: "v".to_owned(), ..claims() }).unwrap());
    assert_eq!(refusal(&keys, &format!("{header}.{other}.{signature}")), JoseError::Signature);
    assert_eq!(refusal(&keys, &format!("{header}.{payload}.")), JoseError::Signature);
    assert_eq!(refusal(&keys, &format!("{header}.{payload}.{signature}=")), JoseError::Signature);
    assert_eq!(
        refusal(&VerifyingKeys::of([&super::tests::key(1)].into_iter()), &token),
        JoseError::Signature
    );
}

#[test]
fn only_three_segments_of_base64url_are_a_token() {
    let keys = VerifyingKeys::of([&key(1)].into_iter());
    for token in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "e30.e30",
        "e30.e30.e30.e30",
        "e30.e30.e30.e30.e30",
        "e30.e3 0.x",
        "e30=.e30.x",
    ] {
        let refused = refusal(&keys, token);
        assert!(matches!(refused, JoseError::Malformed | JoseError::Header), "{token}: {refused:?}");
    }
    assert_eq!(refusal(&keys, &"a".repeat(1_000_000)), JoseError::TooLarge);
}

#[test]
fn st_14_headers_that_must_not_count() {
    let key = key(1);
    let keys = VerifyingKeys::of([&key].into_iter());
    let payload = serde_json::to_string(&claims()).unwrap();
    let own = r#""typ":"at+jwt","alg":"ES256","kid":"01010101""#;
    for (header, refused) in [
        (r#"{"typ":"at+jwt","alg":"none","kid":"01010101"}"#.to_owned(), JoseError::Algorithm),
        (r#"{"typ":"at+jwt","alg":"None","kid":"01010101"}"#.to_owned(), JoseError::Algorithm),
        (r#"{"typ":"at+jwt","alg":"HS256","kid":"01010101"}"#.to_owned(), JoseError::Algorithm),
        (r#"{"typ":"at+jwt","alg":"RS256","kid":"01010101"}"#.to_owned(), JoseError::Algorithm),
        (r#"{"typ":"at+jwt","alg":"ES256"}"#.to_owned(), JoseError::KeyMissing),
        (r#"{"typ":"at+jwt","alg":"ES256","kid":"02020202"}"#.to_owned(), JoseError::KeyUnknown),
        (r#"{"typ":"at+jwt","alg":"ES256","kid":7}"#.to_owned(), JoseError::Header),
        (r#"{"typ":"at+jwt","alg":"ES256","kid":null}"#.to_owned(), JoseError::Header),
        (r#"{"typ":"JWT","alg":"ES256","kid":"01010101"}"#.to_owned(), JoseError::Type),
        (r#"{"alg":"ES256","kid":"01010101"}"#.to_owned(), JoseError::Type),
        (format!(r#"{{{own},"crit":["b64"],"b64":false}}"#), JoseError::Critical),
        (format!(r#"{{{own},"crit":[]}}"#), JoseError::Critical),
        (format!(r#"{{{own},"crit":null}}"#), JoseError::Critical),
        (format!(r#"{{{own},"alg":"ES256"}}"#), JoseError::Header),
        (format!("[{own}]"), JoseError::Header),
        (r#"["ES256","01010101","at+jwt",null]"#.to_owned(), JoseError::Header),
        (String::new(), JoseError::Header),
    ] {
        assert_eq!(refusal(&keys, &forge(&key, &header, &payload)), refused, "{header}");
    }
    // What would lead a verifier elsewhere is not read: the token counts by its own key only.
    for extra in
        [r#""jku":"https://evil.example""#, r#""jwk":{"kty":"oct"}"#, r#""zip":"DEF""#, r#""p2c":1000000000"#]
    {
        assert!(
            keys.verify::<AccessTokenClaims>(&forge(&key, &format!("{{{own},{extra}}}"), &payload), &AT_JWT)
                .is_ok()
        );
        let stranger = super::tests::key(2);
        assert_eq!(
            refusal(&keys, &forge(&stranger, &format!("{{{own},{extra}}}"), &payload)),
            JoseError::Signature
        );
    }
}

#[test]
fn the_type_may_be_written_as_a_media_type() {
    let key = key(1);
    let keys = VerifyingKeys::of([&key].into_iter());
    let payload = serde_json::to_string(&claims()).unwrap();
    for typ in ["application/at+jwt", "AT+JWT", "Application/At+Jwt"] {
        let header = format!(r#"{{"typ":"{typ}","alg":"ES256","kid":"01010101"}}"#);
        assert!(keys.verify::<AccessTokenClaims>(&forge(&key, &header, &payload), &AT_JWT).is_ok(), "{typ}");
    }
    // An access token is no ID token, whoever signed it (RFC 8725, section 3.11).
    let token = key.sign("at+jwt", &claims()).unwrap();
    assert_eq!(keys.verify::<Value>(&token, &ANY_JWT).unwrap_err(), JoseError::Type);
    for header in [r#"{"alg":"ES256","kid":"01010101"}"#, r#"{"typ":"JWT","alg":"ES256","kid":"01010101"}"#] {
        assert!(keys.verify::<Value>(&forge(&key, header, "{}"), &ANY_JWT).is_ok());
    }
}

#[test]
fn ja_06_mistyped_claims_are_invalid_and_not_absent() {
    let key = key(1);
    let keys = VerifyingKeys::of([&key].into_iter());
    let header = r#"{"typ":"at+jwt","alg":"ES256","kid":"01010101"}"#;
    let good = serde_json::to_string(&claims()).unwrap();
    assert!(keys.verify::<AccessTokenClaims>(&forge(&key, header, &good), &AT_JWT).is_ok());
    let exp = r#""exp":1700000600"#;
    assert!(good.contains(exp));
    for wrong in [
        r#""exp":"1700000600""#,
        r#""exp":1700000600.0"#,
        r#""exp":-1"#,
        r#""exp":1e400"#,
        r#""exp":null"#,
        r#""exp":18446744073709551615"#,
        r#""exp":1700000600,"exp":1900000000"#,
        r#""exp":1700000600,"scope":null"#,
        r#""exp":1700000600,"scope":["a"]"#,
        r#""x":1"#,
    ] {
        assert_eq!(
            refusal(&keys, &forge(&key, header, &good.replace(exp, wrong))),
            JoseError::Claims,
            "{wrong}"
        );
    }
    let list = good.replace(
        r#""aud":"https://sekisho.example/docs/mcp""#,
        r#""aud":["https://sekisho.example/docs/mcp"]"#,
    );
    for payload in [list.as_str(), "[]", "7", "", "{} x", "{\"a\":\"\u{0}\"}"] {
        assert_eq!(refusal(&keys, &forge(&key, header, payload)), JoseError::Claims, "{payload}");
    }
}

fn id_token(payload: &str) -> Result<IdTokenClaims, JoseError> {
    let key = key(1);
    let token = forge(&key, r#"{"alg":"ES256","kid":"01010101"}"#, payload);
    VerifyingKeys::of([&key].into_iter()).verify(&token, &ANY_JWT)
}

#[test]
fn an_id_token_has_one_audience_or_several() {
    let of = |aud: &str| {
        format!(r#"{{"iss":"i","sub":"s","aud":{aud},"exp":2,"iat":1,"groups":["a"],"email":null}}"#)
    };
    let one = id_token(&of(r#""me""#)).unwrap();
    assert!(one.aud.is_only("me") && one.aud.contains("me"));
    assert_eq!(one.other.find("groups"), Some(&json!(["a"])));
    assert_eq!((one.email, one.nonce), (None, None));
    assert!(id_token(&of(r#"["me"]"#)).unwrap().aud.is_only("me"));
    let two = id_token(&of(r#"["me","you"]"#)).unwrap();
    assert!(two.aud.contains("me") && !two.aud.is_only("me"));
    assert_eq!(two.aud.iter().count(), 2);
    assert!(!id_token(&of("[]")).unwrap().aud.contains("me"));
    for aud in ["7", "null", r#"["me",7]"#, "{}"] {
        assert_eq!(id_token(&of(aud)).unwrap_err(), JoseError::Claims, "{aud}");
    }
}

#[test]
fn cb_07_claims_of_an_id_token_are_strict() {
    let of = |more: &str| format!(r#"{{"iss":"i","sub":"s","aud":"me","exp":2,"iat":1{more}}}"#);
    assert!(id_token(&of("")).is_ok());
    for more in [
        r#","nonce":7"#,
        r#","nonce":null"#,
        r#","nonce":"a","nonce":"b""#,
        r#","azp":["me"]"#,
        r#","auth_time":"1""#,
        r#","auth_time":1.5"#,
        r#","nbf":-1"#,
        r#","email_verified":"true""#,
        r#","email":["a"]"#,
        r#","groups":["a"],"groups":["b"]"#,
        r#","sub":"t""#,
    ] {
        assert_eq!(id_token(&of(more)).unwrap_err(), JoseError::Claims, "{more}");
    }
    for payload in [r#"{"iss":"i","aud":"me","exp":2,"iat":1}"#, r#"{"iss":"i","sub":"s","exp":2,"iat":1}"#] {
        assert_eq!(id_token(payload).unwrap_err(), JoseError::Claims);
    }
}

#[test]
fn an_identity_assertion_goes_both_ways_and_leaves_out_what_is_not_there() {
    let assertion = IdentityAssertionClaims {
        iss: "i".to_owned(),
        aud: "a".to_owned(),
        sub: "s".to_owned(),
        iat: 1,
        exp: 2,
        client_id: "c".to_owned(),
        grant_id: "g".to_owned(),
        scope: None,
        groups: vec![],
        name: None,
        email: None,
        service_account: None,
        act: None,
    };
    let json = serde_json::to_value(&assertion).unwrap();
    assert_eq!(json.as_object().unwrap().len(), 7);
    assert_eq!(IdentityAssertionClaims::deserialize(&json).unwrap(), assertion);
}

/// RFC 7515, appendix A.3, with its key.
#[test]
fn the_es256_example_of_rfc_7515_verifies() {
    let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "rfc",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    let keys = VerifyingKeys::from_jwks(&json!({ "keys": [jwk] })).unwrap();
    // The example has no kid: its signature is checked as the library is called.
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert_eq!(keys.verify::<Value>(token, &ANY_JWT).unwrap_err(), JoseError::KeyMissing);
    assert!(keys.holds("rfc", token));
}

/// RFC 8037, appendix A.4: an Ed25519 key; RFC 7515, appendix A.2: an RSA key.
#[test]
fn foreign_keys_count_for_the_algorithms_of_their_type() {
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let keys = VerifyingKeys::from_jwks(&json!({ "keys": [ed] })).unwrap();
    assert!(keys.holds("ed", token));

    let rsa = json!({ "kty": "RSA", "kid": "rsa", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" });
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let keys = VerifyingKeys::from_jwks(&json!({ "keys": [rsa] })).unwrap();
    assert!(keys.holds("rsa", token));
}

#[test]
fn keys_that_cannot_verify_are_passed_over() {
    let good = key(1).public_jwk();
    let with = |member: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[member] = value;
        jwk
    };
    for jwk in [
        json!({ "kty": "oct", "kid": "01010101", "k": "AAAA" }),
        json!({ "kty": "RSA", "kid": "01010101", "n": "AQAB", "e": "AQAB" }),
        json!(7),
        with("use", json!("enc")),
        with("key_ops", json!(["sign"])),
        with("alg", json!("RS256")),
        with("alg", json!("ES384")),
        with("crv", json!("P-384")),
        with("x", json!("AAAA")),
        with("kid", json!(7)),
    ] {
        let keys = VerifyingKeys::from_jwks(&json!({ "keys": [jwk.clone()] })).unwrap();
        assert!(keys.is_empty() && !keys.has("01010101"), "{jwk}");
    }
    let keys = VerifyingKeys::from_jwks(&json!({ "keys": [7, good] })).unwrap();
    assert!(!keys.is_empty());
    assert_eq!(format!("{keys:?}"), r#"["01010101"]"#);
}

#[test]
fn what_is_no_jwk_set_is_refused() {
    for jwks in [json!({}), json!([]), json!({ "keys": {} }), json!({ "keys": vec![json!({}); 65] })] {
        assert_eq!(VerifyingKeys::from_jwks(&jwks).unwrap_err(), JoseError::KeySet);
    }
}

#[test]
fn an_algorithm_that_the_key_was_not_published_for_is_refused() {
    let key = key(1);
    let expect = Expect { typ: Some(&["at+jwt"]), algorithms: &[Algorithm::EdDsa, Algorithm::Rs256] };
    let keys = VerifyingKeys::of([&key].into_iter());
    let token = key.sign("at+jwt", &claims()).unwrap();
    assert_eq!(keys.verify::<Value>(&token, &expect).unwrap_err(), JoseError::Algorithm);
    let header = r#"{"typ":"at+jwt","alg":"EdDSA","kid":"01010101"}"#;
    assert_eq!(keys.verify::<Value>(&forge(&key, header, "{}"), &expect).unwrap_err(), JoseError::Algorithm);
}

#[test]
fn algorithms_are_known_by_their_names() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Ps256, Algorithm::Rs256] {
        assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
    }
    assert_eq!(Algorithm::parse("Ed25519"), Some(Algorithm::EdDsa));
    assert_eq!(Algorithm::parse("es256"), None);
}

#[test]
fn a_signing_key_is_a_p256_key_and_is_not_shown() {
    assert_eq!(SigningKey::from_pkcs8(KeyId::from_bytes([1; 4]), b"x").unwrap_err(), JoseError::Key);
    assert_eq!(format!("{:?}", key(0xab)), "SigningKey(abababab)");
    assert!(key(1).public_jwk().get("d").is_none());
}

#[test]
fn what_a_token_says_of_its_end_is_read_without_a_key_or_not_at_all() {
    let token = key(1).sign("at+jwt", &claims()).unwrap();
    assert_eq!(claimed_expiry(&token), Some(1_700_000_600));
    let says = |payload: &str| claimed_expiry(&format!("e30.{}.", URL_SAFE_NO_PAD.encode(payload)));
    assert_eq!(says(r#"{"exp":-9223372036854775808}"#), Some(i64::MIN));
    for nothing in [r#"{}"#, r#"{"exp":"1"}"#, r#"{"exp":1.5}"#, r#"{"exp":1,"exp":2}"#, "[1]", "null", ""] {
        assert_eq!(says(nothing), None, "{nothing}");
    }
    for no_token in ["", ".", "..", "a.b.c", "e30"] {
        assert_eq!(claimed_expiry(no_token), None, "{no_token}");
    }
    let long = format!("{{\"exp\":1,\"x\":\"{}\"}}", "x".repeat(20_000));
    assert_eq!(says(&long), None, "what is too long is not read");
}
