//! Who we are at Google: a service account's key file, and the assertion that buys a token (RFC 7523, section 2.1).

use protocol::jose::sign_rs256;
use protocol::world::Timestamp;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

/// How long an assertion is good; an hour is the most.
const LIFE: i64 = 300;

/// A key file, read.
#[derive(Deserialize)]
pub(crate) struct ServiceAccount {
    client_email: String,
    #[serde(deserialize_with = "wiped")]
    private_key: Zeroizing<String>,
    private_key_id: Option<String>,
    /// Where the token is bought.
    pub(crate) token_uri: String,
}

/// It is no key file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoKeyFile;

impl ServiceAccount {
    pub(crate) fn parse(file: &str) -> Result<Self, NoKeyFile> {
        serde_json::from_str(file).map_err(|_| NoKeyFile)
    }

    /// The form that buys a token of this scope: as the account itself, or as the person whom it stands for
    /// (domain-wide delegation).
    pub(crate) fn form(
        &self,
        scope: &str,
        person: Option<&str>,
        now: Timestamp,
    ) -> Result<String, NoKeyFile> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(self.private_key.as_bytes()).map_err(|_| NoKeyFile)?;
        let now = now.secs();
        let mut claims = json!({
            "iss": self.client_email, "scope": scope, "aud": self.token_uri, "iat": now, "exp": now + LIFE,
        });
        if let Some(person) = person {
            claims["sub"] = person.into();
        }
        let signed = sign_rs256(key.secret_pkcs8_der(), self.private_key_id.as_deref(), &claims)
            .map_err(|_| NoKeyFile)?;
        let form = Serializer::new(String::new())
            .extend_pairs([
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", signed.as_str()),
            ])
            .finish();
        Ok(form)
    }
}

fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}
