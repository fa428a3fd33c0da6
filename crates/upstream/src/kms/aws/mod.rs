//! AWS KMS: `Encrypt` and `Decrypt` (AWS KMS API reference), bound to an encryption context.

mod credentials;
mod sigv4;

use std::fmt;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use self::sigv4::Signing;
use super::{KeyServiceClient, KeyServiceError, guarded, json_request, read, wiped};

/// The name under which the context stands in the encryption context.
const CONTEXT: &str = "sekisho";

/// How AWS KMS is told.
#[derive(Debug)]
pub struct AwsKms {
    /// Id, alias or ARN of the key.
    pub key: String,
    /// The region.
    pub region: String,
    /// Another address than the region's own.
    pub endpoint: Option<String>,
    /// What the wrapped key is bound to.
    pub context: String,
}

/// What requests are signed with.
struct Credentials {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypted {
    ciphertext_blob: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypted {
    #[serde(deserialize_with = "wiped")]
    plaintext: Zeroizing<String>,
}

impl AwsKms {
    pub(super) async fn encrypt(
        &self,
        client: &KeyServiceClient,
        plaintext: &str,
    ) -> Result<String, KeyServiceError> {
        let body = json!({
            "KeyId": self.key, "Plaintext": plaintext, "EncryptionContext": { CONTEXT: self.context },
        });
        self.ask::<Encrypted>(client, "TrentService.Encrypt", body.to_string())
            .await
            .map(|a| a.ciphertext_blob)
    }

    pub(super) async fn decrypt(
        &self,
        client: &KeyServiceClient,
        wrapped: &str,
    ) -> Result<Zeroizing<String>, KeyServiceError> {
        // The key is named, so that a blob of another one that we may use as well is refused.
        let body = json!({
            "KeyId": self.key, "CiphertextBlob": wrapped, "EncryptionContext": { CONTEXT: self.context },
        });
        self.ask::<Decrypted>(client, "TrentService.Decrypt", body.to_string()).await.map(|a| a.plaintext)
    }

    /// The address of a service of AWS in this region; China has a name of its own.
    fn address_of(&self, service: &str) -> String {
        let china = if self.region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://{service}.{}.amazonaws.com{china}/", self.region)
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        client: &KeyServiceClient,
        target: &'static str,
        body: String,
    ) -> Result<T, KeyServiceError> {
        const TYPE: &str = "application/x-amz-json-1.1";
        let credentials = credentials::find(self, client).await?;
        let url = match &self.endpoint {
            Some(endpoint) => format!("{}/", endpoint.trim_end_matches('/')),
            None => self.address_of("kms"),
        };
        let mut request = json_request(guarded(&url, &[])?, &[], body)?;
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let at = client.clock.now();
        let stamp = sigv4::date(at);
        let mut headers: Vec<(&'static str, &str)> =
            vec![("content-type", TYPE), ("host", host.as_str()), ("x-amz-date", stamp.as_str())];
        if let Some(token) = &credentials.session_token {
            headers.push(("x-amz-security-token", token.as_str()));
        }
        headers.push(("x-amz-target", target));
        let signing =
            Signing { region: &self.region, service: "kms", headers: &headers, body: request.body(), at };
        let authorization = signing.authorization(&credentials);
        headers.push(("authorization", &authorization));
        for (name, value) in headers {
            let mut value = HeaderValue::try_from(value).map_err(|_| KeyServiceError::Credentials)?;
            value.set_sensitive(true);
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        read(client.send(request).await?)
    }
}
