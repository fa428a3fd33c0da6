//! The examples of RFC 9449, and each way in which a proof does not hold.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::jose::SigningKey;
use crate::keys::{KeyId, KeyRing, SealingKey};
use crate::secret::Hash;
use crate::test_world::Counting;
use crate::world::Timestamp;

/// RFC 9449, section 4.1.
const AT_THE_TOKEN_ENDPOINT: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
/// RFC 9449, section 7.1.
const AT_A_RESOURCE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
/// RFC 9449, section 6.1.
const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

const URL: &str = "https://mcp.example.com/notes/mcp";
const NOW: i64 = 1_790_000_000;

#[test]
fn the_examples_of_the_standard_hold() {
    let mut expected = Expected {
        method: "POST",
        urls: &["https://server.example.com/token"],
        access_token: None,
        key: None,
        now: Timestamp::from_secs(1_562_262_616),
    };
    let proof = DpopProof::verify(AT_THE_TOKEN_ENDPOINT, &expected).unwrap();
    assert_eq!((proof.key.to_string().as_str(), proof.nonce), (JKT, None));
    let (token, key) = (Hash::of(TOKEN.as_bytes()), JKT.parse().unwrap());
    expected.method = "GET";
    expected.urls = &["https://resource.example.org/protectedresource"];
    expected.access_token = Some(&token);
    expected.key = Some(&key);
    let second = DpopProof::verify(AT_A_RESOURCE, &expected).unwrap();
    assert_eq!(second.key, key);
    assert_ne!(second.id, proof.id);
    // The one for the token endpoint is none here: it has no `ath`.
    expected.method = "POST";
    expected.urls = &["https://server.example.com/token"];
    assert_eq!(DpopProof::verify(AT_THE_TOKEN_ENDPOINT, &expected), Err(ProofError::Token));
}

/// RFC 8037, appendix A.3.
#[test]
fn the_thumbprint_of_an_ed25519_key_is_that_of_the_standard() {
    let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    let thumbprint = Thumbprint::of_ed25519(&x.try_into().unwrap());
    assert_eq!(thumbprint.to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert!("kPrK".parse::<Thumbprint>().is_err() && "".parse::<Thumbprint>().is_err());
}

struct Holder(SigningKey);

impl Holder {
    fn new() -> Self {
        let pkcs8 = SigningKey::generate_pkcs8().unwrap();
        Self(SigningKey::from_pkcs8(KeyId::from_bytes([1; 4]), &pkcs8).unwrap())
    }

    fn jwk(&self) -> Value {
        let mut jwk = self.0.public_jwk();
        let members = jwk.as_object_mut().unwrap();
        members.retain(|name, _| ["kty", "crv", "x", "y"].contains(&name.as_str()));
        jwk
    }

    fn header(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()})
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.0.sign_bytes(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn claims() -> Value {
    let ath = URL_SAFE_NO_PAD.encode(Hash::of(TOKEN.as_bytes()).as_bytes());
    json!({"jti": "one", "htm": "POST", "htu": URL, "iat": NOW, "ath": ath})
}

fn verify(text: &str) -> Result<DpopProof, ProofError> {
    let token = Hash::of(TOKEN.as_bytes());
    let expected = Expected {
        method: "POST",
        urls: &["https://other.example/notes/mcp", URL],
        access_token: Some(&token),
        key: None,
        now: Timestamp::from_secs(NOW),
    };
    DpopProof::verify(text, &expected)
}

fn with(mut value: Value, name: &str, member: Value) -> Value {
    value[name] = member;
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().unwrap().remove(name);
    value
}

#[test]
fn every_header_that_is_not_a_proof_s_is_refused() {
    let holder = Holder::new();
    let (good, good_claims) = (holder.header(), claims().to_string());
    let jwk = holder.jwk();
    let (x, y) = (jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap());
    let of_jwk = |jwk: Value| with(good.clone(), "jwk", jwk);
    let other = Holder::new().jwk();
    let table = [
        (without(good.clone(), "typ"), ProofError::Header),
        (with(good.clone(), "typ", "JWT".into()), ProofError::Type),
        (with(good.clone(), "typ", "at+jwt".into()), ProofError::Type),
        (without(good.clone(), "alg"), ProofError::Header),
        (with(good.clone(), "alg", "none".into()), ProofError::Algorithm),
        (with(good.clone(), "alg", "None".into()), ProofError::Algorithm),
        (with(good.clone(), "alg", "HS256".into()), ProofError::Algorithm),
        (with(good.clone(), "alg", "RS256".into()), ProofError::Algorithm),
        (with(good.clone(), "alg", "es256".into()), ProofError::Algorithm),
        (with(good.clone(), "alg", "EdDSA".into()), ProofError::Key),
        (with(good.clone(), "crit", json!(["b64"])), ProofError::Critical),
        (with(good.clone(), "crit", Value::Null), ProofError::Critical),
        (without(good.clone(), "jwk"), ProofError::Header),
        (of_jwk("x".into()), ProofError::Header),
        (of_jwk(json!({"kty": "oct", "k": "AAAA"})), ProofError::KeyPrivate),
        (of_jwk(with(jwk.clone(), "d", x.into())), ProofError::KeyPrivate),
        (of_jwk(with(jwk.clone(), "d", Value::Null)), ProofError::KeyPrivate),
        (of_jwk(with(jwk.clone(), "crv", "P-384".into())), ProofError::Key),
        (of_jwk(with(jwk.clone(), "kty", "OKP".into())), ProofError::Key),
        (of_jwk(without(jwk.clone(), "y")), ProofError::Key),
        (of_jwk(with(jwk.clone(), "y", format!("{y}=").into())), ProofError::Key),
        (of_jwk(with(jwk.clone(), "y", format!("{y}AA").into())), ProofError::Key),
        (of_jwk(with(jwk.clone(), "y", x.into())), ProofError::Signature),
        (of_jwk(other), ProofError::Signature),
        (json!([]), ProofError::Header),
    ];
    for (header, error) in table {
        let refused = verify(&holder.sign(&header.to_string(), &good_claims));
        assert_eq!(refused, Err(error), "{header}");
    }
    let twice = good.to_string().replacen('{', r#"{"alg":"none","#, 1);
    assert_eq!(verify(&holder.sign(&twice, &good_claims)), Err(ProofError::Header));
    for typ in ["DPoP+JWT", "application/dpop+jwt"] {
        let header = with(good.clone(), "typ", typ.into()).to_string();
        assert!(verify(&holder.sign(&header, &good_claims)).is_ok(), "{typ}");
    }
}

#[test]
fn every_claim_must_be_there_and_right() {
    let holder = Holder::new();
    let header = holder.header().to_string();
    let other = URL_SAFE_NO_PAD.encode(Hash::of(b"another token").as_bytes());
    let table = [
        (without(claims(), "jti"), ProofError::Claims),
        (with(claims(), "jti", "".into()), ProofError::Claims),
        (with(claims(), "jti", 7.into()), ProofError::Claims),
        (without(claims(), "htm"), ProofError::Claims),
        (with(claims(), "htm", "post".into()), ProofError::Method),
        (with(claims(), "htm", "GET".into()), ProofError::Method),
        (without(claims(), "htu"), ProofError::Claims),
        (with(claims(), "htu", "https://mcp.example.com/ledger/mcp".into()), ProofError::Url),
        (without(claims(), "iat"), ProofError::Claims),
        (with(claims(), "iat", "1790000000".into()), ProofError::Claims),
        (with(claims(), "iat", (-1).into()), ProofError::Claims),
        (with(claims(), "iat", (NOW - 301).into()), ProofError::Time),
        (with(claims(), "iat", (NOW + 301).into()), ProofError::Time),
        (with(claims(), "iat", i64::MAX.into()), ProofError::Time),
        (without(claims(), "ath"), ProofError::Token),
        (with(claims(), "ath", other.into()), ProofError::Token),
        (with(claims(), "ath", Value::Null), ProofError::Claims),
        (with(claims(), "nonce", 7.into()), ProofError::Claims),
    ];
    for (claims, error) in table {
        assert_eq!(verify(&holder.sign(&header, &claims.to_string())), Err(error), "{claims}");
    }
    for iat in [NOW - 300, NOW + 300] {
        let claims = with(claims(), "iat", iat.into()).to_string();
        assert!(verify(&holder.sign(&header, &claims)).is_ok(), "{iat}");
    }
    let twice = claims().to_string().replacen('{', r#"{"htm":"GET","#, 1);
    assert_eq!(verify(&holder.sign(&header, &twice)), Err(ProofError::Claims));
    let proof = verify(&holder.sign(&header, &with(claims(), "nonce", "n".into()).to_string())).unwrap();
    assert_eq!(proof.nonce.as_deref(), Some("n"));
    assert_eq!(proof.ends(), Timestamp::from_secs(NOW + 300));
}

#[test]
fn what_is_no_token_is_no_proof() {
    let holder = Holder::new();
    let good = holder.sign(&holder.header().to_string(), &claims().to_string());
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    let table = [
        (String::new(), ProofError::Malformed),
        ("a".to_owned(), ProofError::Malformed),
        ("a.b".to_owned(), ProofError::Malformed),
        ("..".to_owned(), ProofError::Header),
        (format!("{good}.x"), ProofError::Malformed),
        (unsigned, ProofError::Signature),
        (format!("{good}A"), ProofError::Signature),
        (good.replace('.', ". "), ProofError::Malformed),
        ("a".repeat(4097), ProofError::TooLarge),
    ];
    for (text, error) in table {
        assert_eq!(verify(&text), Err(error), "{text}");
    }
    assert!(verify(&good).is_ok());
}

/// A key has one name, however it is written; and two keys have two.
#[test]
fn the_order_of_members_and_what_stands_beside_them_change_no_thumbprint() {
    let holder = Holder::new();
    let jwk = holder.jwk();
    let (x, y) = (jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap());
    let usual = verify(&holder.sign(&holder.header().to_string(), &claims().to_string())).unwrap().key;
    for jwk in [
        format!(r#"{{"y":"{y}","x":"{x}","kty":"EC","crv":"P-256"}}"#),
        format!(
            r#"{{ "kid":"x\",\"y\":\"", "crv":"P-256", "kty":"EC", "x":"{x}", "y":"{y}", "alg":"ES256" }}"#
        ),
    ] {
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{jwk}}}"#);
        assert_eq!(verify(&holder.sign(&header, &claims().to_string())).unwrap().key, usual);
    }
    let swapped = Thumbprint::of_p256(&[1; 32], &[2; 32]);
    assert_ne!(swapped, Thumbprint::of_p256(&[2; 32], &[1; 32]));
    let bound = Expected {
        method: "POST",
        urls: &[URL],
        access_token: None,
        key: Some(&swapped),
        now: Timestamp::from_secs(NOW),
    };
    let text = holder.sign(&holder.header().to_string(), &claims().to_string());
    assert_eq!(DpopProof::verify(&text, &bound), Err(ProofError::OtherKey));
}

fn ring(id: u8, older: Vec<SealingKey>) -> KeyRing<SealingKey> {
    KeyRing::new(SealingKey::new(KeyId::from_bytes([id; 4]), &[id; 32]), older)
}

#[test]
fn a_nonce_is_taken_by_every_node_for_five_minutes_and_with_its_key() {
    let (chance, at) = (Counting::new(), |secs| Timestamp::from_secs(NOW + secs));
    let keys = ring(1, Vec::new());
    let nonces = Nonces::default();
    let nonce = nonces.current(&keys, at(0), &chance);
    assert_eq!(nonces.current(&keys, at(59), &chance), nonce, "one a minute");
    assert_ne!(nonces.current(&keys, at(60), &chance), nonce);
    for (secs, taken) in [(-61, false), (-60, true), (0, true), (299, true), (300, false)] {
        assert_eq!(Nonces::takes(&keys, &nonce, at(secs)), taken, "{secs}");
    }
    let rotated = ring(2, vec![SealingKey::new(KeyId::from_bytes([1; 4]), &[1; 32])]);
    assert!(Nonces::takes(&rotated, &nonce, at(0)), "another node has the new key first");
    assert_ne!(nonces.current(&rotated, at(61), &chance), nonces.current(&keys, at(61), &chance));
    assert!(!Nonces::takes(&ring(3, Vec::new()), &nonce, at(0)));
    // What was sealed for another place is none.
    let sealed = keys.active().seal(&[b"sessions"], &at(0).micros().to_be_bytes(), &chance);
    for forged in
        [URL_SAFE_NO_PAD.encode(sealed.as_bytes()), String::new(), "x".to_owned(), nonce.to_lowercase()]
    {
        assert!(!Nonces::takes(&keys, &forged, at(0)), "{forged}");
    }
}

#[test]
fn a_proof_is_new_once_while_it_is_good_and_memory_is_bounded() {
    let id = |number: u32| Hash::of(&number.to_be_bytes());
    let seen = Seen::of_at_most(2);
    let at = Duration::from_secs;
    assert!(seen.is_new(&id(1), at(1000)));
    assert!(!seen.is_new(&id(1), at(1000)) && !seen.is_new(&id(1), at(1599)));
    assert!(!seen.is_new(&id(1), at(1601)), "it is in the older half now");
    assert!(seen.is_new(&id(2), at(1602)) && seen.is_new(&id(3), at(1602)));
    // Too many: the oldest go, and the house goes on.
    assert!(seen.is_new(&id(4), at(1602)) && seen.is_new(&id(1), at(1602)));
    assert!(!seen.is_new(&id(3), at(1602)) && !seen.is_new(&id(4), at(1602)));
}
