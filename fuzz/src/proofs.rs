//! Proofs of possession (RFC 9449): nothing holds but what its key signed, and `htu` names our URL to a second reader too.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::jose::dpop::{DpopProof, Expected, ProofError};
use protocol::world::Timestamp;
use serde_json::{Value, json};
use url::Url;

use crate::text::text;

/// The key of the examples of RFC 9449.
const JWK: &str = r#"{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}"#;
/// When they were made.
const THEN: i64 = 1_562_262_616;
const URLS: [&str; 3] = [
    "https://server.example.com/token",
    "https://resource.example.org/protectedresource",
    "http://[::1]:8080/a%20b/mcp",
];

fn verify(text: &str, method: &str) -> Result<DpopProof, ProofError> {
    let now = Timestamp::from_secs(THEN);
    DpopProof::verify(text, &Expected { method, urls: &URLS, access_token: None, key: None, now })
}

/// Any text as a proof, and as the URL in one.
pub(crate) fn proofs(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for method in ["GET", "POST"] {
        if verify(text, method).is_ok() {
            holds(text, method);
        }
    }
    names_our_url(text);
}

/// What holds is what another reader sees too: a public key, the method, one of our URLs.
fn holds(text: &str, method: &str) {
    let part = |number: usize| -> Value {
        let part = text.split('.').nth(number).unwrap_or_default();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap_or_default()).unwrap_or_default()
    };
    let (header, claims) = (part(0), part(1));
    assert_eq!(header["alg"], "ES256");
    assert_eq!(
        header["jwk"],
        serde_json::from_str::<Value>(JWK).unwrap_or_default(),
        "signed by nobody else"
    );
    assert_eq!((&header["jwk"]["d"], &header["crit"]), (&Value::Null, &Value::Null));
    assert_eq!(claims["htm"], method);
    assert!(is_ours(claims["htu"].as_str().unwrap_or_default()));
}

/// Whatever is taken for our URL is it to a reader of the WHATWG.
fn names_our_url(htu: &str) {
    let claims = json!({"jti": "j", "htm": "POST", "htu": htu, "iat": THEN}).to_string();
    let header = format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{JWK}}}"#);
    let proof = format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    match verify(&proof, "POST") {
        Ok(_) => assert!(htu.is_empty(), "nobody signed it"),
        Err(ProofError::Signature) => assert!(is_ours(htu), "{htu}"),
        Err(_) => {}
    }
}

/// The escapes of a path, all of them.
fn decoded(path: &str) -> Vec<u8> {
    let mut pieces = path.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (hex, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        match u8::from_str_radix(hex, 16) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend_from_slice(hex.as_bytes()),
        }
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

fn is_ours(htu: &str) -> bool {
    let spelled = |text: &str| {
        let url = Url::parse(text).ok()?;
        let path = decoded(url.path());
        let bare = url.username().is_empty() && url.password().is_none();
        bare.then(|| {
            (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default(), path)
        })
    };
    let theirs = spelled(htu);
    theirs.is_some() && URLS.iter().any(|ours| spelled(ours) == theirs)
}
