//! The logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4): an OpenID provider's word that a session of a person,
//! or all of them, are over.
//!
//! The types of the claims are judged here. Whether they are right is judged by the caller, who has a clock, and knows which
//! provider and which client is meant.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::jose::claims::{Audience, present, present_seconds, seconds};

/// What its `typ` should be. Providers that are older than the recommendation say `JWT`, or nothing.
pub const TYPES: &[&str] = &["logout+jwt"];
/// The member of `events` that makes a JWT a logout token.
pub const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Its claims.
#[derive(Debug, Clone, Deserialize)]
pub struct LogoutTokenClaims {
    /// The OpenID provider.
    pub iss: String,
    /// Whom it is for: our client id there.
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
    /// What happened.
    pub events: BTreeMap<String, Value>,
    /// Whose sessions are over.
    #[serde(default, deserialize_with = "present")]
    pub sub: Option<String>,
    /// Which session is over.
    #[serde(default, deserialize_with = "present")]
    pub sid: Option<String>,
    /// Prohibited: with it an ID token could pass for a logout token.
    #[serde(default, deserialize_with = "present")]
    pub nonce: Option<Value>,
}

impl LogoutTokenClaims {
    /// Whether `events` says that it is one (section 2.6, step 6).
    #[must_use]
    pub fn is_logout(&self) -> bool {
        self.events.get(EVENT).is_some_and(Value::is_object)
    }
}
