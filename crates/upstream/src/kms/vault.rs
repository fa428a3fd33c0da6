//! HashiCorp Vault, transit engine: `encrypt` and `decrypt` (Vault HTTP API, "Transit"), bound by associated data.
//!
//! Who we are is told by a token in a file, which an agent may renew, or by AppRole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::secret::Secret;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{KeyServiceClient, KeyServiceError, guarded, json_request, read, read_file, wiped};

/// How Vault is told.
#[derive(Debug)]
pub struct VaultTransit {
    /// The name of the key in the transit engine.
    pub key: String,
    /// Where Vault is.
    pub address: String,
    /// Where the transit engine is mounted.
    pub mount: String,
    /// The namespace, where there are any.
    pub namespace: Option<String>,
    /// How we log in.
    pub login: VaultLogin,
    /// What the wrapped key is bound to.
    pub context: String,
}

/// How one logs in.
#[derive(Debug)]
pub enum VaultLogin {
    /// By AppRole.
    AppRole {
        /// Which role.
        role_id: String,
        /// Its secret.
        secret_id: Secret,
    },
    /// With the token in this file.
    TokenFile(String),
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
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
struct LoggedIn {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(deserialize_with = "wiped")]
    client_token: Zeroizing<String>,
}

impl VaultTransit {
    pub(super) async fn encrypt(
        &self,
        client: &KeyServiceClient,
        plaintext: &str,
    ) -> Result<String, KeyServiceError> {
        let body = json!({ "plaintext": plaintext, "associated_data": self.bound_to() });
        self.ask::<Encrypted>(client, "encrypt", body.to_string()).await.map(|answer| answer.ciphertext)
    }

    pub(super) async fn decrypt(
        &self,
        client: &KeyServiceClient,
        wrapped: &str,
    ) -> Result<Zeroizing<String>, KeyServiceError> {
        let body = json!({ "ciphertext": wrapped, "associated_data": self.bound_to() });
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
        let token = self.token(client).await?;
        let path = format!("{}/{verb}/{}", self.mount, self.key);
        read::<Answer<T>>(self.post(client, &path, Some(token.as_str()), body).await?)
            .map(|answer| answer.data)
    }

    async fn token(&self, client: &KeyServiceClient) -> Result<Zeroizing<String>, KeyServiceError> {
        match &self.login {
            VaultLogin::TokenFile(file) => read_file(file).await,
            VaultLogin::AppRole { role_id, secret_id } => {
                let body =
                    secret_id.expose(|secret| json!({ "role_id": role_id, "secret_id": secret }).to_string());
                let answer = self.post(client, "auth/approle/login", None, body).await?;
                read::<LoggedIn>(answer).map(|answer| answer.auth.client_token)
            }
        }
    }

    async fn post(
        &self,
        client: &KeyServiceClient,
        path: &str,
        token: Option<&str>,
        body: String,
    ) -> Result<http::Response<bytes::Bytes>, KeyServiceError> {
        let url = format!("{}/v1/{path}", guarded(&self.address, &[])?.trim_end_matches('/'));
        let mut headers = Vec::new();
        headers.extend(token.map(|token| ("x-vault-token", token)));
        headers.extend(self.namespace.as_deref().map(|namespace| ("x-vault-namespace", namespace)));
        client.send(json_request(&url, &headers, body)?).await
    }
}
