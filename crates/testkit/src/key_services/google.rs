//! Google Cloud KMS, the token endpoint and the metadata server (their REST references).

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Asked, KEY, State, ok, said};

pub(super) const BROKEN: (u16, &str) =
    (503, r#"{"error":{"code":503,"message":"The service is unavailable.","status":"UNAVAILABLE"}}"#);
pub(super) const THROTTLED: (u16, &str) =
    (429, r#"{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}}"#);
const TOKEN: &str = "ya29.a-token";
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";

/// A service account with its key.
#[derive(Debug)]
pub struct ServiceAccount {
    key: KeyPair,
    token_uri: String,
}

impl ServiceAccount {
    /// One whose tokens are bought there.
    pub(crate) fn at(token_uri: String) -> Result<Self, String> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| "no RSA key")?;
        Ok(Self { key, token_uri })
    }

    /// Its key file.
    pub(crate) fn file(&self) -> String {
        let der =
            self.key.as_der().map(|der: aws_lc_rs::encoding::Pkcs8V1Der<'_>| STANDARD.encode(der.as_ref()));
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", der.unwrap_or_default());
        json!({
            "type": "service_account", "client_email": "sekisho@project.iam.gserviceaccount.com",
            "private_key_id": "1", "private_key": pem, "token_uri": self.token_uri,
        })
        .to_string()
    }

    /// Whether the assertion is one of ours, for this scope and in the name of nobody else (RFC 7523, section 3).
    pub(crate) fn believes(&self, assertion: &str, scope: &str, person: Option<&str>) -> Option<()> {
        let (signed, signature) = assertion.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let life = claims["exp"].as_i64()? - claims["iat"].as_i64()?;
        (claims["aud"] == self.token_uri
            && claims["iss"] == "sekisho@project.iam.gserviceaccount.com"
            && claims["scope"] == scope
            && claims["sub"].as_str() == person
            && (1..=3600).contains(&life))
        .then_some(())
    }
}

/// Where tokens come from.
pub(super) fn around(asked: &Asked, state: &State) -> Option<(u16, String)> {
    let token = json!({ "access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer" });
    match asked.path.as_str() {
        "/token" => {
            let form: Vec<(String, String)> = url::form_urlencoded::parse(&asked.body).into_owned().collect();
            let assertion =
                form.iter().find(|(name, _)| name == "assertion").map(|(_, value)| value.as_str());
            let believed = assertion.and_then(|assertion| state.account.believes(assertion, SCOPE, None));
            Some(ok(believed.map(|()| token), json!({ "error": "invalid_grant" }), 400))
        }
        "/computeMetadata/v1/instance/service-accounts/default/token" => {
            let asked_rightly = asked.header("metadata-flavor") == "Google";
            Some(if asked_rightly { said(200, &token) } else { (403, String::new()) })
        }
        _ => None,
    }
}

fn refusal(code: u16, status: &str) -> Value {
    json!({ "error": { "code": code, "message": "said by the service", "status": status } })
}

pub(super) fn answer(asked: &Asked, state: &State) -> (u16, String) {
    if asked.header("authorization") != format!("Bearer {TOKEN}") {
        return said(401, &refusal(401, "UNAUTHENTICATED"));
    }
    let key = format!("/v1/projects/p/locations/l/keyRings/r/cryptoKeys/{KEY}");
    let Some(verb) = asked.path.strip_prefix(&key) else {
        return said(404, &refusal(404, "NOT_FOUND"));
    };
    let body = asked.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let context = text("additionalAuthenticatedData");
    let answer = match verb {
        ":encrypt" => {
            state.seal("google", context, text("plaintext")).map(|sealed| json!({ "ciphertext": sealed }))
        }
        ":decrypt" => {
            state.open("google", context, text("ciphertext")).map(|opened| json!({ "plaintext": opened }))
        }
        _ => None,
    };
    ok(answer, refusal(400, "INVALID_ARGUMENT"), 400)
}
