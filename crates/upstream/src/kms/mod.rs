//! Key-management services: the master key lies wrapped beside the configuration, and the service alone can unwrap it
//! (product.md, P-15).
//!
//! Asked once at each start, and to wrap the first time; a Sekisho that runs has its master key in memory and does not
//! notice an outage. Must never make a master key: what cannot be unwrapped is an error.

pub mod aws;
mod error;
pub mod google;
#[cfg(test)]
mod tests;
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
use url::{Host, Url};
use zeroize::{Zeroize as _, Zeroizing};

pub use error::KeyServiceError;

use self::aws::AwsKms;
use self::google::GoogleKms;
use self::vault::VaultTransit;
use crate::egress::{Egress, FetchError, Limits};

/// A key service answers in a few kilobytes.
const LIMITS: Limits = Limits { total: Duration::from_secs(10), max_body: 64 * 1024 };

/// AWS takes what was signed five minutes ago (IAM User Guide, "Elements of an AWS API request signature"), Google an
/// assertion of about as much.
const BORNE: Duration = Duration::from_secs(4 * 60);

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

    /// Sends one request, whose answer must be 200.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, KeyServiceError> {
        let response = self.egress.fetch(request, LIMITS).await.map_err(|error| match error {
            FetchError::TooLarge => KeyServiceError::Malformed,
            FetchError::TimedOut | FetchError::Unreachable => KeyServiceError::Unreachable,
        })?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let error = KeyServiceError::of_status(status, error::code(response.body()));
        Err(match (error, self.clock_off(&response)) {
            (KeyServiceError::Refused { status, code }, Some(off_s)) => {
                KeyServiceError::ClockOff { off_s, status, code }
            }
            (error, _) => error,
        })
    }

    /// By how many seconds our clock is ahead of that of whoever answered, if it is more than the services bear
    /// (`Date`; RFC 9110, section 6.6.1).
    fn clock_off(&self, response: &Response<Bytes>) -> Option<i64> {
        let date = response.headers().get(http::header::DATE)?.to_str().ok()?;
        let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second();
        let off = self.clock.now().secs().checked_sub(theirs)?;
        (off.unsigned_abs() > BORNE.as_secs()).then_some(off)
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

/// Reads a document and wipes it.
fn read<T: DeserializeOwned>(response: Response<Bytes>) -> Result<T, KeyServiceError> {
    let body = response.into_body();
    let read = serde_json::from_slice(&body).map_err(|_| KeyServiceError::Malformed);
    // Nobody else holds it: the whole document was collected for us.
    if let Ok(mut body) = body.try_into_mut() {
        body.as_mut().zeroize();
    }
    read
}

/// Refuses a URL over which credentials or keys would travel for others to read. `beside` are hosts that are reached
/// without a network in between, as the service's own tools have it.
fn guarded<'a>(url: &'a str, beside: &[&str]) -> Result<&'a str, KeyServiceError> {
    let parsed =
        Url::parse(url).map_err(|_| KeyServiceError::Settings("the address of the service is not a URL"))?;
    let here = match parsed.host() {
        Some(Host::Domain(name)) => name == "localhost" || beside.contains(&name),
        Some(Host::Ipv4(address)) => address.is_loopback() || beside.contains(&address.to_string().as_str()),
        Some(Host::Ipv6(address)) => address.is_loopback() || beside.contains(&address.to_string().as_str()),
        None => false,
    };
    if parsed.scheme() == "https" || (parsed.scheme() == "http" && here) {
        Ok(url)
    } else {
        Err(KeyServiceError::InTheClear)
    }
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
