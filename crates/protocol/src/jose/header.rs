//! The JOSE header (RFC 7515, section 4): what we read of it, and nothing else.
//!
//! `jku`, `x5u`, `x5c` and `jwk` are not fields here, so nothing can come to use them. `b64` and `zip` have no
//! effect without `crit`, which is refused.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::JoseError;

/// The read part of a header. A repeated or mistyped field is an error by the derive.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default, deserialize_with = "present")]
    pub(super) kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
}

impl Header {
    pub(super) fn parse(json: &[u8]) -> Result<Self, JoseError> {
        let header: Self = object(json).ok_or(JoseError::Header)?;
        if header.crit.is_some() {
            return Err(JoseError::Critical);
        }
        Ok(header)
    }

    /// Whether `typ` is one of the expected ones; where nothing is expected, absent or plain `JWT`.
    pub(super) fn is_of_type(&self, expected: Option<&[&str]>) -> bool {
        match (expected, self.typ.as_deref()) {
            (None, None) => true,
            (None, Some(typ)) => typ.eq_ignore_ascii_case("JWT"),
            (Some(_), None) => false,
            (Some(expected), Some(typ)) => is_type(typ, expected),
        }
    }
}

/// Whether this `typ` is one of the expected ones.
pub(crate) fn is_type(typ: &str, expected: &[&str]) -> bool {
    // RFC 7515, section 4.1.9: `application/` may be left out, and media types ignore case.
    let short = match typ.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        Some(_) | None => typ,
    };
    expected.iter().any(|one| one.eq_ignore_ascii_case(short))
}

/// Reads a JSON *object*. (Serde would take an array for a struct as well.)
pub(super) fn object<T: serde::de::DeserializeOwned>(json: &[u8]) -> Option<T> {
    // All of it is UTF-8, also where nobody looks (RFC 7519, section 7.2).
    let text = std::str::from_utf8(json).ok()?;
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return None;
    }
    serde_json::from_str(text).ok()
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
