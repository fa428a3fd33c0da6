//! What a client presents at the token and revocation endpoints to say who it is: RFC 6749, section 2.3.
//!
//! Nothing is verified here. It must never choose between two methods, and never read a secret from a URL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

use super::client_assertion::JWT_BEARER;
use super::{ClientAssertion, ClientId, ErrorCode, Form, Parameter, TokenEndpointAuthMethod, form};
use crate::secret::Secret;

/// Reads what a client presents.
#[derive(Debug, Clone, Copy)]
pub enum ClientAuthentication {}

/// What a client presented.
#[derive(Debug)]
pub struct Presented {
    /// How.
    pub method: TokenEndpointAuthMethod,
    /// Who it says it is.
    pub client_id: ClientId,
    /// Its assertion, with the method `private_key_jwt` only.
    pub assertion: Option<ClientAssertion>,
    /// Its secret, possibly empty; `None` with the methods `none` and `private_key_jwt` only.
    pub secret: Option<Secret>,
    /// Whether a refusal is to carry `WWW-Authenticate: Basic` (RFC 6749, section 5.2).
    pub basic_tried: bool,
}

/// Why nothing can be made of what a client presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PresentedError {
    /// An assertion that is no JWT, or names nobody.
    #[error("malformed client assertion")]
    AssertionMalformed,
    /// `Basic` credentials that are not base64 of two form-encoded halves with a colon between.
    #[error("malformed basic credentials")]
    BasicMalformed,
    /// The client identifier is not one.
    #[error("malformed client identifier")]
    ClientIdMalformed,
    /// The header and the body name different clients.
    #[error("header and body name different clients")]
    ClientIdMismatch,
    /// Nobody is named.
    #[error("no client is named")]
    ClientIdMissing,
    /// More than one method, or more than one `Authorization` header.
    #[error("more than one authentication method")]
    MethodAmbiguous,
    /// A scheme other than `Basic`, or an assertion of an unknown type.
    #[error("an authentication method that is not supported")]
    MethodUnsupported,
    /// A parameter of the client came more than once.
    #[error("a parameter is repeated")]
    Repeated,
}

impl ClientAuthentication {
    /// Reads the `Authorization` headers and the body of a request.
    ///
    /// # Errors
    /// [`PresentedError`] if the client is not named, named twice, or presents more than one method: "The
    /// client MUST NOT use more than one authentication method in each request." (RFC 6749, section 2.3)
    pub fn parse(authorization: &[&str], form: &Form) -> Result<Presented, PresentedError> {
        let own = ["client_id", "client_secret", "client_assertion", "client_assertion_type"];
        if own.iter().any(|name| form.get(name).is_repeated()) {
            return Err(PresentedError::Repeated);
        }
        let assertion = form.contains("client_assertion") || form.contains("client_assertion_type");
        // An empty secret is a secret: it is refused as a wrong one, not taken for a public client.
        let in_body = form.contains("client_secret");
        match (authorization, in_body, assertion) {
            ([], false, false) => Self::public(form),
            ([], true, false) => Self::post(form),
            ([], false, true) => Self::assertion(form),
            ([header], false, false) => Self::basic(header, form),
            _ => Err(PresentedError::MethodAmbiguous),
        }
    }

    fn public(form: &Form) -> Result<Presented, PresentedError> {
        let client_id = named_in_body(form)?;
        let method = TokenEndpointAuthMethod::None;
        Ok(Presented { method, client_id, assertion: None, secret: None, basic_tried: false })
    }

    fn post(form: &Form) -> Result<Presented, PresentedError> {
        let client_id = named_in_body(form)?;
        let secret = Secret::new(form.get("client_secret").once().unwrap_or_default().to_owned());
        let method = TokenEndpointAuthMethod::ClientSecretPost;
        Ok(Presented { method, client_id, assertion: None, secret: Some(secret), basic_tried: false })
    }

    /// "The "client_id" parameter is unnecessary for client assertion authentication [...]. If present, the value of the
    /// "client_id" parameter MUST identify the same client as is identified by the client assertion." (RFC 7521,
    /// section 4.2)
    fn assertion(form: &Form) -> Result<Presented, PresentedError> {
        if form.get("client_assertion_type").once() != Some(JWT_BEARER) {
            return Err(PresentedError::MethodUnsupported);
        }
        let text = form.get("client_assertion").once().ok_or(PresentedError::AssertionMalformed)?;
        let assertion = ClientAssertion::parse(text)?;
        let client_id = assertion.client_id().clone();
        if let Parameter::Once(named) = form.get("client_id")
            && named != client_id.as_str()
        {
            return Err(PresentedError::ClientIdMismatch);
        }
        let method = TokenEndpointAuthMethod::PrivateKeyJwt;
        Ok(Presented { method, client_id, assertion: Some(assertion), secret: None, basic_tried: false })
    }

    fn basic(header: &str, form: &Form) -> Result<Presented, PresentedError> {
        let (scheme, credentials) = header.split_once(' ').unwrap_or((header, ""));
        // "case-insensitive" (RFC 9110, section 11.1)
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(PresentedError::MethodUnsupported);
        }
        let (id, secret) =
            basic_halves(credentials.trim_start_matches(' ')).ok_or(PresentedError::BasicMalformed)?;
        let client_id = ClientId::parse(&id).map_err(|_| PresentedError::BasicMalformed)?;
        if let Parameter::Once(named) = form.get("client_id")
            && named != client_id.as_str()
        {
            return Err(PresentedError::ClientIdMismatch);
        }
        let method = TokenEndpointAuthMethod::ClientSecretBasic;
        Ok(Presented { method, client_id, assertion: None, secret: Some(secret), basic_tried: true })
    }
}

fn named_in_body(form: &Form) -> Result<ClientId, PresentedError> {
    let named = form.get("client_id").once().ok_or(PresentedError::ClientIdMissing)?;
    ClientId::parse(named).map_err(|_| PresentedError::ClientIdMalformed)
}

/// "The client identifier is encoded using the "application/x-www-form-urlencoded" encoding algorithm [...],
/// and the encoded value is used as the username; the client password is encoded using the same algorithm and
/// used as the password." (RFC 6749, section 2.3.1)
fn basic_halves(credentials: &str) -> Option<(String, Secret)> {
    let decoded = Zeroizing::new(STANDARD.decode(credentials).ok()?);
    let text = std::str::from_utf8(&decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form::decode(id.as_bytes()).ok()?, Secret::new(form::decode(secret.as_bytes()).ok()?)))
}

impl PresentedError {
    /// What the client is told (RFC 6749, section 5.2).
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::AssertionMalformed
            | Self::BasicMalformed
            | Self::ClientIdMalformed
            | Self::ClientIdMissing
            | Self::MethodUnsupported => ErrorCode::InvalidClient,
            Self::ClientIdMismatch | Self::MethodAmbiguous | Self::Repeated => ErrorCode::InvalidRequest,
        }
    }

    /// Whether the 401 is to carry `WWW-Authenticate: Basic`.
    #[must_use]
    pub const fn basic_tried(self) -> bool {
        matches!(self, Self::BasicMalformed)
    }
}

#[cfg(test)]
mod tests;
