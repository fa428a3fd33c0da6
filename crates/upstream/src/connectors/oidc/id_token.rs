//! What an ID token must say (OpenID Connect Core 1.0, sections 2 and 3.1.3.7), once its signature is known to be good.

use std::time::Duration;

use protocol::jose::claims::Audience;
use protocol::world::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use super::super::Malformation;
use super::settings::Tenants;

/// How far the provider's clock and ours may be apart.
pub(super) const SKEW: Duration = Duration::from_secs(60);

/// The claims of an ID token: those that are judged by type, the others as they came.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: NumericDate,
    iat: NumericDate,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "present")]
    azp: Option<String>,
    #[serde(default, deserialize_with = "present")]
    nonce: Option<String>,
    #[serde(default, deserialize_with = "present")]
    auth_time: Option<NumericDate>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// What the token is measured by.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    /// If there are several tenants, each has an issuer of its own, and `issuer` is none.
    pub(super) tenants: Option<&'a Tenants>,
    pub(super) client_id: &'a str,
    /// None after a refresh: there was no request that it answers (section 12.2).
    pub(super) nonce: Option<&'a str>,
    pub(super) not_before_auth: Option<Timestamp>,
    pub(super) now: Timestamp,
}

/// What is left when everything has been judged.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) subject: String,
    pub(super) authenticated_at: Option<Timestamp>,
    /// Claims about the person: of no weight but what the provider's word gives them.
    pub(super) person: Map<String, Value>,
}

pub(super) fn judge(claims: Claims, expected: &Expected<'_>) -> Result<Verified, Malformation> {
    let is_issuer = match expected.tenants {
        Some(tenants) => tenants.issued(&claims.iss, claims.other.get("tid").and_then(Value::as_str)),
        None => claims.iss == expected.issuer,
    };
    if !is_issuer {
        return Err(Malformation::IdTokenIssuer);
    }
    if !claims.aud.contains(expected.client_id) {
        return Err(Malformation::IdTokenAudience);
    }
    match &claims.azp {
        Some(party) if party != expected.client_id => return Err(Malformation::IdTokenAuthorizedParty),
        // Other audiences beside us are borne only if the token says that it was issued to us.
        None if !claims.aud.is_only(expected.client_id) => return Err(Malformation::IdTokenAudience),
        Some(_) | None => {}
    }
    if expected.now >= claims.exp.0.plus(SKEW) {
        return Err(Malformation::IdTokenExpired);
    }
    let latest = expected.now.plus(SKEW);
    if claims.iat.0 > latest || claims.nbf.is_some_and(|begin| begin.0 > latest) {
        return Err(Malformation::IdTokenIssuedAt);
    }
    if expected.nonce.is_some() && claims.nonce.as_deref() != expected.nonce {
        return Err(Malformation::IdTokenNonce);
    }
    let length = claims.sub.chars().count();
    if length == 0 || length > 255 || claims.sub.chars().any(char::is_control) {
        return Err(Malformation::IdTokenSubject);
    }
    let authenticated_at = claims.auth_time.map(|time| time.0);
    if let Some(earliest) = expected.not_before_auth
        && authenticated_at.is_none_or(|at| at.plus(SKEW) < earliest || at > latest)
    {
        return Err(Malformation::AuthenticationTime);
    }
    Ok(Verified { subject: claims.sub, authenticated_at, person: claims.other })
}

/// Seconds since 1970, whole or not (RFC 7519, section 2).
#[derive(Clone, Copy, Debug)]
struct NumericDate(Timestamp);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        let moment = match (number.as_i64(), number.as_f64()) {
            (Some(secs), _) => Timestamp::from_secs(secs),
            (None, Some(secs)) => fractional(secs),
            (None, None) => return Err(serde::de::Error::custom("not a date")),
        };
        Ok(Self(moment))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast from float saturates, as all arithmetic on time does"
)]
fn fractional(secs: f64) -> Timestamp {
    Timestamp::from_micros((secs * 1e6) as i64)
}

/// A claim that is there must be of its type: `null` is not absence.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
