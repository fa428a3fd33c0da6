//! Google Cloud KMS: `:encrypt` and `:decrypt` (Cloud KMS REST reference), bound by additional authenticated data.
//!
//! Who we are is told by a service account's key file (`GOOGLE_APPLICATION_CREDENTIALS`; RFC 7523, section 2.1) or, where
//! there is none, by the metadata server of the machine, which is also how workload identity in GKE works.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{KeyServiceClient, KeyServiceError, guarded, json_request, read, read_file, wiped};
use crate::google_account::ServiceAccount;

const SERVICE: &str = "https://cloudkms.googleapis.com";
const METADATA: &str = "metadata.google.internal";
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";

/// How Google Cloud KMS is told.
#[derive(Debug)]
pub struct GoogleKms {
    /// `projects/P/locations/L/keyRings/R/cryptoKeys/K`.
    pub key: String,
    /// Another address than Google's own.
    pub endpoint: Option<String>,
    /// What the wrapped key is bound to.
    pub context: String,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    #[serde(deserialize_with = "wiped")]
    plaintext: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(deserialize_with = "wiped")]
    access_token: Zeroizing<String>,
}

impl GoogleKms {
    pub(super) async fn encrypt(
        &self,
        client: &KeyServiceClient,
        plaintext: &str,
    ) -> Result<String, KeyServiceError> {
        let body = json!({ "plaintext": plaintext, "additionalAuthenticatedData": self.bound_to() });
        self.ask::<Encrypted>(client, "encrypt", body.to_string()).await.map(|answer| answer.ciphertext)
    }

    pub(super) async fn decrypt(
        &self,
        client: &KeyServiceClient,
        wrapped: &str,
    ) -> Result<Zeroizing<String>, KeyServiceError> {
        let body = json!({ "ciphertext": wrapped, "additionalAuthenticatedData": self.bound_to() });
        self.ask::<Decrypted>(client, "decrypt", body.to_string()).await.map(|answer| answer.plaintext)
    }

    fn bound_to(&self) -> String {
        STANDARD.encode(&self.context)
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        client: &KeyServiceClient,
        verb: &str,
        body: String,
    ) -> Result<T, KeyServiceError> {
        let token = token(client).await?;
        let base = self.endpoint.as_deref().unwrap_or(SERVICE).trim_end_matches('/');
        let url = format!("{}/v1/{}:{verb}", guarded(base, &[])?, self.key);
        let bearer = Zeroizing::new(format!("Bearer {}", token.as_str()));
        read(client.send(json_request(&url, &[("authorization", &bearer)], body)?).await?)
    }
}

async fn token(client: &KeyServiceClient) -> Result<Zeroizing<String>, KeyServiceError> {
    let request = match client.surroundings.find("GOOGLE_APPLICATION_CREDENTIALS") {
        Some(file) => assertion(client, &read_file(file).await?)?,
        None => {
            let host = client.surroundings.find("GCE_METADATA_HOST").unwrap_or(METADATA);
            let path = "computeMetadata/v1/instance/service-accounts/default/token";
            Request::get(format!("http://{host}/{path}"))
                .header("metadata-flavor", "Google")
                .body(Bytes::new())
                .map_err(|_| KeyServiceError::Settings("`GCE_METADATA_HOST` is not a host"))?
        }
    };
    read::<Token>(client.send(request).await?).map(|token| token.access_token)
}

/// The request that buys a token with an assertion that the service account's key signed.
fn assertion(client: &KeyServiceClient, file: &str) -> Result<Request<Bytes>, KeyServiceError> {
    let account = ServiceAccount::parse(file).map_err(|_| KeyServiceError::Credentials)?;
    let form = account.form(SCOPE, None, client.clock.now()).map_err(|_| KeyServiceError::Credentials)?;
    Request::post(guarded(&account.token_uri, &[])?)
        .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Bytes::from(form))
        .map_err(|_| KeyServiceError::Credentials)
}
