//! Key-management services: the master key lies wrapped beside the configuration, and the service alone can unwrap it
//! (product.md, P-15).
//!
//! Asked once at each start, and to wrap the first time; a Sekisho that runs has its master key in memory and does not
//! notice an outage. Must never make a master key: what cannot be unwrapped is an error.

pub mod aws;
mod error;
pub mod google;
pub mod vault;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use protocol::secret::Secret;
use protocol::world::Clock;
use serde::de::DeserializeOwned;
use zeroize::{Zeroize as _, Zeroizing};

pub use error::KeyServiceError;

use self::aws::AwsKms;
use self::google::GoogleKms;
use self::vault::VaultTransit;
use crate::egress::{Egress, FetchError, Limits};

/// A key service answers in a few kilobytes.
const LIMITS: Limits = Limits { total: Duration::from_secs(10), max_body: 64 * 1024 };

/// Which service, and how it is told.
#[derive(Debug)]
pub enum KeyService {
    /// AWS Key Management Service.
    Aws(AwsKms),
    /// Google Cloud Key Management Service.
    Google(GoogleKms),
    /// The transit engine of HashiCorp Vault.
    Vault(VaultTransit),
}

/// What surrounds this process: the environment variables in which the services' own tools keep credentials. They are
/// read elsewhere and handed in.
#[derive(Clone, Default)]
pub struct Surroundings(pub HashMap<String, String>);

impl Surroundings {
    fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Surroundings(..)")
    }
}

/// The way to a key service.
#[derive(Debug)]
pub struct KeyServiceClient {
    /// Which.
    pub service: KeyService,
    /// The way out.
    pub egress: Arc<dyn Egress>,
    /// Time, which signatures name.
    pub clock: Arc<dyn Clock>,
    /// Where credentials may be.
    pub surroundings: Surroundings,
}

impl KeyServiceClient {
    /// Has the service wrap the text of a master key; what comes back may be kept in the open.
    ///
    /// # Errors
    /// [`KeyServiceError`] if the service does not answer or refuses.
    pub async fn wrap(&self, master_key: &Secret) -> Result<String, KeyServiceError> {
        let text = master_key.expose(|text| Zeroizing::new(STANDARD.encode(text)));
        match &self.service {
            KeyService::Aws(aws) => aws.encrypt(self, &text).await,
            KeyService::Google(google) => google.encrypt(self, &text).await,
            KeyService::Vault(vault) => vault.encrypt(self, &text).await,
        }
    }

    /// The text of the master key that was wrapped.
    ///
    /// # Errors
    /// [`KeyServiceError`] if the service does not answer, refuses, or answers with something else.
    pub async fn unwrap(&self, wrapped: &str) -> Result<Secret, KeyServiceError> {
        let plaintext = match &self.service {
            KeyService::Aws(aws) => aws.decrypt(self, wrapped).await?,
            KeyService::Google(google) => google.decrypt(self, wrapped).await?,
            KeyService::Vault(vault) => vault.decrypt(self, wrapped).await?,
        };
        let bytes =
            Zeroizing::new(STANDARD.decode(plaintext.trim()).map_err(|_| KeyServiceError::Malformed)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| KeyServiceError::Malformed)?;
        Ok(Secret::new(text.to_owned()))
    }

    /// Sends one request. Any status is an answer.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, KeyServiceError> {
        self.egress.fetch(request, LIMITS).await.map_err(|error| match error {
            FetchError::TooLarge => KeyServiceError::Malformed,
            FetchError::TimedOut | FetchError::Unreachable => KeyServiceError::Unreachable,
        })
    }
}

/// A request with JSON in it.
fn json_request(
    url: &str,
    headers: &[(&'static str, &str)],
    body: String,
) -> Result<Request<Bytes>, KeyServiceError> {
    let mut request = Request::post(url)
        .body(Bytes::from(body))
        .map_err(|_| KeyServiceError::Settings("the address of the service is not a URL"))?;
    request.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        let mut value = HeaderValue::try_from(*value).map_err(|_| KeyServiceError::Credentials)?;
        value.set_sensitive(true);
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    Ok(request)
}

/// Reads an answer that is what it must be, and wipes it.
fn read<T: DeserializeOwned>(response: Response<Bytes>) -> Result<T, KeyServiceError> {
    let status = response.status();
    let body = response.into_body();
    if status != StatusCode::OK {
        return Err(KeyServiceError::of_status(status, error::code(&body)));
    }
    let read = serde_json::from_slice(&body).map_err(|_| KeyServiceError::Malformed);
    // Nobody else holds it: the whole document was collected for us.
    if let Ok(mut body) = body.try_into_mut() {
        body.as_mut().zeroize();
    }
    read
}

/// A secret member of an answer.
fn wiped<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
    <String as serde::Deserialize>::deserialize(from).map(Zeroizing::new)
}

/// The text of a small file, without white space around it.
async fn read_file(path: &str) -> Result<Zeroizing<String>, KeyServiceError> {
    let text = tokio::fs::read_to_string(path).await.map_err(|_| KeyServiceError::CredentialsFile)?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim().to_owned()))
}
