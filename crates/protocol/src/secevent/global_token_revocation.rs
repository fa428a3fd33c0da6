//! The request to revoke everything of somebody, and the JWT of the identity provider that sends it
//! (draft-parecki-oauth-global-token-revocation-06, sections 3.2 and 3.5).

use serde::Deserialize;
use serde_json::Value;

use super::subject_identifier::SubjectIdentifier;
use crate::jose::claims::{Audience, present_seconds, seconds};

/// What Okta says its JWT is. The draft names no type, so none is borne as well.
pub const TYPES: &[&str] = &["global-token-revocation+jwt"];

/// The claims of the JWT.
#[derive(Debug, Clone, Deserialize)]
pub struct GlobalTokenRevocationClaims {
    /// The identity provider.
    pub iss: String,
    /// The URL of the endpoint, exactly.
    pub aud: Audience,
    /// When it was made, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    /// Before this it does not count.
    #[serde(default, deserialize_with = "present_seconds")]
    pub nbf: Option<i64>,
    /// Its own id, by which it is used once.
    pub jti: String,
}

/// Whom the request names. Okta's guide of 2024 says `subject` where the draft says `sub_id`.
///
/// `None` if the body is no such request.
#[must_use]
pub fn subject(body: &[u8]) -> Option<SubjectIdentifier> {
    #[derive(Deserialize)]
    struct Request {
        sub_id: Option<Value>,
        subject: Option<Value>,
    }
    let request: Request = serde_json::from_slice(body).ok()?;
    match (request.sub_id, request.subject) {
        (Some(one), None) | (None, Some(one)) => SubjectIdentifier::read(&one),
        (Some(_), Some(_)) | (None, None) => None,
    }
}
