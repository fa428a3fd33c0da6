use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde_json::json;

use super::*;
use crate::jose::ProofKey;

const NOW: i64 = 1_618_884_473;
const URL: &str = "https://mcp.example.com/notes/mcp";
const BODY: &[u8] = br#"{"hello": "world"}"#;

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn input(text: &str) -> InnerList {
    let text = format!("sig={text}");
    match Parser::new(&text).parse::<Dictionary>().unwrap().into_iter().next().unwrap().1 {
        ListEntry::InnerList(list) => list,
        ListEntry::Item(_) => panic!("a list"),
    }
}

/// RFC 9421, appendix B.2.6 with the key of B.1.4.
#[test]
fn the_example_of_the_standard_holds_byte_for_byte() {
    let fields = headers(&[
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    ]);
    let target = "https://example.com/foo?param=Value&Pet=dog";
    let request = SignedRequest { method: "POST", targets: &[target], headers: &fields, body: BODY };
    let list = r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
    let list_read = input(list);
    let names = base::names(&list_read).unwrap();
    let base = base::build(&request, target, &names, &base::params(&list_read).unwrap()).unwrap();
    assert_eq!(
        base,
        format!(
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n\"@path\": /foo\n\"@authority\": example.com\n\
             \"content-type\": application/json\n\"content-length\": 18\n\"@signature-params\": {list}"
        )
    );
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"});
    let signature = STANDARD
        .decode("wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==")
        .unwrap();
    let key = ProofKey::of_jwk(&jwk).unwrap();
    assert!(key.signed(&base, &signature));
    assert!(!key.signed(&base.replace("POST", "GET"), &signature));
}

/// RFC 9421, sections 2.1 and 2.2: fields are joined and trimmed, what is derived is normalized.
#[test]
fn components_are_what_the_standard_says() {
    let fields =
        headers(&[("cache-control", "max-age=60"), ("cache-control", "  must-revalidate "), ("x", "")]);
    let target = "http://www.Example.com:80/path?param=value&foo=bar";
    let request = SignedRequest { method: "GET", targets: &[], headers: &fields, body: b"" };
    let list = input(r#"("cache-control" "x" "@authority" "@scheme" "@query" "@target-uri")"#);
    let base = base::build(&request, target, &base::names(&list).unwrap(), "()").unwrap();
    assert_eq!(
        base,
        "\"cache-control\": max-age=60, must-revalidate\n\"x\": \n\"@authority\": www.example.com\n\"@scheme\": http\n\
         \"@query\": ?param=value&foo=bar\n\"@target-uri\": http://www.Example.com:80/path?param=value&foo=bar\n\
         \"@signature-params\": ()"
    );
    for unknown in [r#"("@status")"#, r#"("Date")"#, r#"("gone")"#, r#"("a b")"#] {
        let list = input(unknown);
        let names = base::names(&list).unwrap();
        assert_eq!(base::build(&request, target, &names, "()"), Err(SignatureError::Component), "{unknown}");
    }
    for refused in [r#"("x" "x")"#, r#"("x";sf)"#, r#"("@query-param";name="a")"#] {
        assert_eq!(base::names(&input(refused)), Err(SignatureError::Component), "{refused}");
    }
}

/// RFC 9530, appendix B: of the same body.
#[test]
fn a_digest_is_of_the_body_and_of_nothing_else() {
    let good = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    let judge =
        |value: &str, body: &[u8]| digest::judge(&headers(&[("content-digest", value)]), body).is_ok();
    assert!(judge(good, BODY) && judge(&format!("sha-512=:AAAA:, {good}"), BODY));
    assert!(judge("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", b""));
    for (value, body) in [(good, &b"{}"[..]), ("sha-512=:AAAA:", BODY), ("sha-256=X", BODY), ("", BODY)] {
        assert!(!judge(value, body), "{value}");
    }
    assert!(digest::judge(&HeaderMap::new(), b"").is_err());
}

/// A client with a key.
struct Signer {
    pair: Ed25519KeyPair,
    jwk: serde_json::Value,
}

impl Signer {
    fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        Self { pair, jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": x}) }
    }

    fn thumbprint(&self) -> Thumbprint {
        *ProofKey::of_jwk(&self.jwk).unwrap().thumbprint()
    }

    fn agent(&self) -> String {
        let directory = json!({"keys": [Signer::jwk_of(9), self.jwk]}).to_string();
        format!(
            "{}{}",
            "data:application/http-message-signatures-directory+json;base64,",
            STANDARD.encode(directory)
        )
    }

    fn jwk_of(seed: u8) -> serde_json::Value {
        Self::new(seed).jwk
    }

    /// A signed request, with this list as its input, or the usual one.
    fn sign(&self, list: Option<&str>) -> HeaderMap {
        let mut fields = headers(&[
            ("content-digest", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
            ("mcp-protocol-version", "2025-11-25"),
            ("signature-agent", &self.agent()),
        ]);
        let usual = self.usual();
        let list = list.unwrap_or(&usual);
        let read = input(list);
        let request = SignedRequest { method: "POST", targets: &[URL], headers: &fields, body: BODY };
        let names = base::names(&read).unwrap();
        let base = base::build(&request, URL, &names, &base::params(&read).unwrap()).unwrap();
        let signature = STANDARD.encode(self.pair.sign(base.as_bytes()).as_ref());
        fields.extend(headers(&[
            ("signature-input", &format!("sig1={list}")),
            ("signature", &format!("sig1=:{signature}:")),
        ]));
        fields
    }

    fn usual(&self) -> String {
        self.with(r#""@method" "@target-uri" "content-digest" "mcp-protocol-version""#, "")
    }

    fn with(&self, covered: &str, more: &str) -> String {
        let key = self.thumbprint();
        format!(r#"({covered});created={NOW};nonce="0123456789abcdef";keyid="{key}";tag="{key}"{more}"#)
    }
}

fn verify(fields: &HeaderMap) -> Result<MessageSignature, SignatureError> {
    verify_at(fields, NOW, None)
}

fn verify_at(
    fields: &HeaderMap,
    now: i64,
    bound: Option<&Thumbprint>,
) -> Result<MessageSignature, SignatureError> {
    let targets = ["https://old.example.com/notes/mcp", URL];
    let request = SignedRequest { method: "POST", targets: &targets, headers: fields, body: BODY };
    MessageSignature::verify(&request, bound, Timestamp::from_secs(now))
}

#[test]
fn a_signed_request_holds_for_its_key_time_and_content() {
    let (signer, other) = (Signer::new(1), Signer::new(2));
    let fields = signer.sign(None);
    let signature = verify(&fields).unwrap();
    assert_eq!(signature.key, signer.thumbprint());
    assert_eq!(verify_at(&fields, NOW, Some(&signer.thumbprint())), Ok(signature));
    assert_eq!(verify_at(&fields, NOW, Some(&other.thumbprint())), Err(SignatureError::OtherKey));
    for (now, good) in [(NOW - 61, false), (NOW - 60, true), (NOW + 300, true), (NOW + 301, false)] {
        assert_eq!(verify_at(&fields, now, None).is_ok(), good, "{}", now - NOW);
    }
    let with = |change: &dyn Fn(&mut HeaderMap)| {
        let mut fields = fields.clone();
        change(&mut fields);
        verify(&fields).unwrap_err()
    };
    let version = |fields: &mut HeaderMap| {
        fields.insert("mcp-protocol-version", HeaderValue::from_static("2025-06-18"));
    };
    assert_eq!(with(&version), SignatureError::Signature, "a covered field was changed");
    let session = |fields: &mut HeaderMap| {
        fields.insert("mcp-session-id", HeaderValue::from_static("of somebody else"));
    };
    assert_eq!(with(&session), SignatureError::NotCovered, "a session that was not signed for");
    let agent = |fields: &mut HeaderMap| {
        fields.insert("signature-agent", HeaderValue::try_from(other.agent()).unwrap());
    };
    assert_eq!(with(&agent), SignatureError::Key);
    let fetched = |fields: &mut HeaderMap| {
        fields.insert("signature-agent", HeaderValue::from_static("https://agent.example"));
    };
    assert_eq!(with(&fetched), SignatureError::Key, "nobody is asked");
    let twice = |fields: &mut HeaderMap| {
        fields.append("signature", HeaderValue::from_static("sig2=:AAAA:"));
    };
    assert_eq!(with(&twice), SignatureError::Malformed);
    let label = |fields: &mut HeaderMap| {
        let text = fields["signature"].to_str().unwrap().replace("sig1", "sig2");
        fields.insert("signature", HeaderValue::try_from(text).unwrap());
    };
    assert_eq!(with(&label), SignatureError::Malformed);
    for (method, target, body) in [
        ("GET", URL, BODY),
        ("POST", "https://mcp.example.com/files/mcp", BODY),
        ("POST", "https://mcp.example.com/notes/mcp?x", BODY),
        ("POST", URL, &b"{}"[..]),
    ] {
        let request = SignedRequest { method, targets: &[target], headers: &fields, body };
        assert!(
            MessageSignature::verify(&request, None, Timestamp::from_secs(NOW)).is_err(),
            "{method} {target}"
        );
    }
}

#[test]
fn what_it_must_cover_and_say_is_covered_and_said() {
    let signer = Signer::new(1);
    let key = signer.thumbprint();
    let all = r#""@method" "@target-uri" "content-digest" "mcp-protocol-version""#;
    for left_out in ["\"@method\"", "\"@target-uri\"", "\"content-digest\"", "\"mcp-protocol-version\""] {
        let list = signer.with(&all.replace(left_out, ""), "");
        assert_eq!(verify(&signer.sign(Some(&list))), Err(SignatureError::NotCovered), "{left_out}");
    }
    let list = |parameters: &str| format!("({all}){parameters}");
    let created = format!(";created={NOW}");
    let nonce = ";nonce=\"0123456789abcdef\"";
    let id = format!(";keyid=\"{key}\"");
    for (parameters, why) in [
        (format!("{nonce}{id};tag=\"t\""), "created"),
        (format!("{created}{id};tag=\"t\""), "nonce"),
        (format!("{created}{nonce};tag=\"t\""), "keyid"),
        (format!("{created}{nonce}{id}"), "tag"),
        (format!("{created};nonce=\"short\"{id};tag=\"t\""), "short nonce"),
        (format!(";created=\"{NOW}\"{nonce}{id};tag=\"t\""), "created as text"),
        (format!("{created}{nonce};keyid=\"other\";tag=\"t\""), "keyid that is no thumbprint"),
    ] {
        assert_eq!(verify(&signer.sign(Some(&list(&parameters)))), Err(SignatureError::Parameters), "{why}");
    }
    let over = signer.with(all, &format!(";expires={NOW}"));
    assert_eq!(verify(&signer.sign(Some(&over))), Err(SignatureError::Time));
    // `alg` is ignored, whatever it says: the key tells.
    let alg = signer.with(all, &format!(";expires={};alg=\"hmac-sha256\"", NOW + 1));
    assert!(verify(&signer.sign(Some(&alg))).is_ok());
}

#[test]
fn a_key_that_gives_itself_away_or_is_of_another_kind_is_none() {
    let mut private = Signer::jwk_of(1);
    private["d"] = json!("secret");
    let p384 = json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"});
    for jwk in [private, p384, json!({"kty": "oct", "k": "AA"}), json!({}), json!([])] {
        assert!(ProofKey::of_jwk(&jwk).is_none(), "{jwk}");
    }
}

#[test]
fn every_reason_is_named_once() {
    let names: std::collections::BTreeSet<_> =
        SignatureError::ALL.iter().map(|error| error.reason()).collect();
    assert_eq!(names.len(), SignatureError::ALL.len());
}
