//! `application/x-www-form-urlencoded`, read strictly: queries of the authorization endpoint, bodies of the
//! token and revocation endpoints (RFC 6749, section 3.1 and 3.2).
//!
//! It must never choose among repeated parameters: not the first, not the last.

use std::collections::HashSet;
use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use super::uri::hex_value;

/// The most parameters in one form.
const MAX_PARAMETERS: usize = 200;

/// Parameters in the order in which they came.
pub struct Form {
    parameters: Vec<(String, Zeroizing<String>)>,
}

/// How often a parameter came, and what it said.
///
/// "Parameters sent without a value MUST be treated as if they were omitted from the request. [...] Request
/// and response parameters MUST NOT be included more than once." (RFC 6749, section 3.1)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Parameter<T> {
    /// It did not come, or came once without a value.
    #[default]
    Absent,
    /// It came once.
    Once(T),
    /// It came more than once, with whatever values.
    Repeated,
}

/// Why bytes are not a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FormError {
    /// A raw control character, or an escaped NUL.
    #[error("a control character")]
    Control,
    /// A `%` without two hexadecimal digits.
    #[error("a malformed percent escape")]
    Escape,
    /// Names or values that are not UTF-8, or a byte order mark.
    #[error("not utf-8 text")]
    NotText,
    /// Over 200 parameters.
    #[error("more than 200 parameters")]
    TooMany,
}

impl<T> Parameter<T> {
    /// The value, if it came once.
    pub fn once(self) -> Option<T> {
        match self {
            Self::Once(value) => Some(value),
            Self::Absent | Self::Repeated => None,
        }
    }

    /// Whether it came more than once.
    pub const fn is_repeated(&self) -> bool {
        matches!(self, Self::Repeated)
    }

    /// The same, borrowed.
    pub const fn as_ref(&self) -> Parameter<&T> {
        match self {
            Self::Absent => Parameter::Absent,
            Self::Once(value) => Parameter::Once(value),
            Self::Repeated => Parameter::Repeated,
        }
    }

    /// The same, with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Parameter<U> {
        match self {
            Self::Absent => Parameter::Absent,
            Self::Once(value) => Parameter::Once(change(value)),
            Self::Repeated => Parameter::Repeated,
        }
    }
}

impl Form {
    /// Reads a query or a body.
    ///
    /// # Errors
    /// [`FormError`] for a bad escape, a NUL or a raw control character, text that is not UTF-8, and more
    /// than 200 parameters.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormError> {
        Self::read(bytes, Nul::Refused)
    }

    /// The same for the authorization endpoint, where an escaped NUL stays in its value: which parameter it spoils
    /// decides whether a page or the client is told, and each has a grammar of its own that refuses it.
    ///
    /// # Errors
    /// [`FormError`] as for [`Self::parse`], but for an escaped NUL.
    pub fn parse_authorization_request(bytes: &[u8]) -> Result<Self, FormError> {
        Self::read(bytes, Nul::Kept)
    }

    fn read(bytes: &[u8], nul: Nul) -> Result<Self, FormError> {
        let mut parameters = Vec::new();
        for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if parameters.len() >= MAX_PARAMETERS {
                return Err(FormError::TooMany);
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode_with(halves.next().unwrap_or_default(), nul)?;
            if name.starts_with('\u{feff}') {
                return Err(FormError::NotText);
            }
            let value = decode_with(halves.next().unwrap_or_default(), nul)?;
            parameters.push((name, Zeroizing::new(value)));
        }
        Ok(Self { parameters })
    }

    /// Query and body of one request together: a parameter in both is repeated, never "the first wins".
    ///
    /// # Errors
    /// [`FormError::TooMany`] if together they are more than 200.
    pub fn join(mut self, other: Self) -> Result<Self, FormError> {
        self.parameters.extend(other.parameters);
        if self.parameters.len() > MAX_PARAMETERS { Err(FormError::TooMany) } else { Ok(self) }
    }

    /// One parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Parameter<&str> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (None | Some(""), None) => Parameter::Absent,
            (Some(value), None) => Parameter::Once(value),
            (_, Some(_)) => Parameter::Repeated,
        }
    }

    /// The values of a parameter that may be repeated, such as `resource` (RFC 8707, section 2); empty ones
    /// are left out.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.values(name).filter(|value| !value.is_empty()).collect()
    }

    /// Whether the parameter came at all, be it without a value: an empty secret is not "no secret".
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// Whether any parameter but those named came more than once.
    #[must_use]
    pub fn repeats_any_but(&self, repeatable: &[&str]) -> bool {
        let mut seen = HashSet::with_capacity(self.parameters.len());
        self.parameters.iter().any(|(name, _)| !seen.insert(name) && !repeatable.contains(&name.as_str()))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(move |(held, _)| held == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Form {
    /// Names only: values are codes, tokens and secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.parameters.iter().map(|(name, _)| name)).finish()
    }
}

/// What becomes of an escaped NUL.
#[derive(Clone, Copy)]
enum Nul {
    Kept,
    Refused,
}

/// Decodes one name or value.
pub(super) fn decode(encoded: &[u8]) -> Result<String, FormError> {
    decode_with(encoded, Nul::Refused)
}

fn decode_with(encoded: &[u8], nul: Nul) -> Result<String, FormError> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (bytes.next().and_then(hex_value), bytes.next().and_then(hex_value));
                match (high, low, nul) {
                    (Some(0), Some(0), Nul::Refused) => return Err(FormError::Control),
                    (Some(high), Some(low), Nul::Kept | Nul::Refused) => high * 16 + low,
                    _ => return Err(FormError::Escape),
                }
            }
            control if control.is_ascii_control() => return Err(FormError::Control),
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| FormError::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Form {
        Form::parse(text.as_bytes()).unwrap()
    }

    /// RFC 6749, section 4.1.3.
    #[test]
    fn the_example_of_the_standard_is_read() {
        let form = form(
            "grant_type=authorization_code&code=SplxlOBeZQQYbYS6WxSbIA&redirect_uri=https%3A%2F%2Fclient%2Eexample%2Ecom%2Fcb",
        );
        assert_eq!(form.get("grant_type"), Parameter::Once("authorization_code"));
        assert_eq!(form.get("redirect_uri"), Parameter::Once("https://client.example.com/cb"));
        assert_eq!(form.get("state"), Parameter::Absent);
    }

    /// RFC 6749, appendix B.
    #[test]
    fn the_example_of_the_encoding_is_read() {
        assert_eq!(form("v=+%25%26%2B%C2%A3%E2%82%AC").get("v"), Parameter::Once(" %&+\u{a3}\u{20ac}"));
    }

    /// AS-108.
    #[test]
    fn an_empty_value_is_absent_but_was_there() {
        for text in ["a=", "a", "&a=&", "b=1&a"] {
            assert_eq!(form(text).get("a"), Parameter::Absent);
            assert!(form(text).contains("a"));
        }
        assert!(!form("b=a").contains("a"));
    }

    #[test]
    fn a_repeated_parameter_has_no_value() {
        for text in ["a=1&a=2", "a=1&a=1", "a=&a=1", "a=1&%61=2", "a=&a="] {
            assert_eq!(form(text).get("a"), Parameter::Repeated, "{text}");
            assert!(form(text).repeats_any_but(&["b"]));
            assert!(!form(text).repeats_any_but(&["a"]));
        }
        assert_eq!(form("r=1&r=&r=2").all("r"), ["1", "2"]);
        assert!(!form("a=1&b=2&A=3").repeats_any_but(&[]));
    }

    /// AZ-13.
    #[test]
    fn a_parameter_in_query_and_body_is_repeated() {
        let both = form("client_id=a&state=1").join(form("client_id=a")).unwrap();
        assert_eq!(both.get("client_id"), Parameter::Repeated);
        assert_eq!(both.get("state"), Parameter::Once("1"));
    }

    /// TK-23.
    #[test]
    fn bytes_that_are_not_a_form_are_refused() {
        let error = |bytes: &[u8]| Form::parse(bytes).unwrap_err();
        for bad in ["a=%", "a=%4", "a=%zz", "%=1", "a=%u0041"] {
            assert_eq!(error(bad.as_bytes()), FormError::Escape, "{bad}");
        }
        for bad in ["a=%00", "%00=1", "a=\0", "a=1\r\nb", "a=\x7f"] {
            assert_eq!(error(bad.as_bytes()), FormError::Control, "{bad:?}");
        }
        assert_eq!(error(b"a=\xff"), FormError::NotText);
        assert_eq!(error(b"a=%C3"), FormError::NotText);
        assert_eq!(error(b"a=%ED%A0%80"), FormError::NotText);
        assert_eq!(error(b"\xef\xbb\xbfa=1"), FormError::NotText);
    }

    /// AZ-20.
    #[test]
    fn an_authorization_request_keeps_an_escaped_nul_for_its_parameter_to_refuse() {
        let form = Form::parse_authorization_request(b"scope=read%00&a%00=1").unwrap();
        assert_eq!(form.get("scope"), Parameter::Once("read\0"));
        assert_eq!(form.get("a"), Parameter::Absent);
        for bad in [&b"a=\0"[..], b"a=%0", b"a=%FF", b"a=%00\n"] {
            assert!(Form::parse_authorization_request(bad).is_err(), "{bad:?}");
        }
    }

    /// TK-22.
    #[test]
    fn a_form_has_at_most_200_parameters() {
        let many = |count: usize| vec!["a=1"; count].join("&");
        assert!(Form::parse(many(200).as_bytes()).is_ok());
        assert_eq!(Form::parse(many(201).as_bytes()).unwrap_err(), FormError::TooMany);
        assert_eq!(Form::parse(many(100_000).as_bytes()).unwrap_err(), FormError::TooMany);
        assert_eq!(form(&many(150)).join(form(&many(51))).unwrap_err(), FormError::TooMany);
        assert_eq!(form(&"&".repeat(1000)).get(""), Parameter::Absent);
    }

    #[test]
    fn a_form_shows_names_only() {
        assert_eq!(format!("{:?}", form("code=secret&state=x")), "{\"code\", \"state\"}");
    }
}
