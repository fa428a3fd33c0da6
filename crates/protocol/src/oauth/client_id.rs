//! Client identifiers (RFC 6749, section 2.2) and how each says where it came from.
//!
//! Knowing one proves nothing (OAuth 2.1, section 2.2). Our own never start with `https://`
//! (draft-ietf-oauth-client-id-metadata-document-02, section 8).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use super::{HttpsUrl, HttpsUrlError};

/// What the identifiers of dynamic registrations start with.
pub(super) const DYNAMIC_PREFIX: &str = "dcr_";

/// What the identifiers begin with that service accounts have by themselves. No client of the configuration has one.
pub const SERVICE_ACCOUNT_PREFIX: &str = "service-account:";

/// A client identifier: 1 to 2048 printable ASCII characters without spaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ClientId(String);

/// How a client became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientIdKind {
    /// Dynamic client registration (RFC 7591): `dcr_…`, holding the metadata itself.
    Dynamic,
    /// A client ID metadata document: the identifier is its URL.
    MetadataDocument,
    /// Named in the configuration.
    PreRegistered,
}

/// The text cannot be a client identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a client identifier: expected 1 to 2048 printable ascii characters")]
pub struct ClientIdError;

impl ClientId {
    /// Reads an identifier.
    ///
    /// # Errors
    /// [`ClientIdError`] if it is empty, over 2048 bytes, or holds anything but printable ASCII.
    pub fn parse(text: &str) -> Result<Self, ClientIdError> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if printable && (1..=2048).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ClientIdError)
        }
    }

    /// The identifier of what acts as a service account and is no client that anybody registered: a workload. `name` is one
    /// of the configuration: small letters, digits and `-`.
    #[must_use]
    pub fn of_service_account(name: &str) -> Self {
        Self(format!("{SERVICE_ACCOUNT_PREFIX}{name}"))
    }

    /// An identifier made here out of base64url.
    pub(super) const fn made_here(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of a client ID metadata document, judged on the raw text (draft -02, section 3): `https`, with a path
    /// (`/` alone is one), without dot segments, fragment and user information. A port and a query may be; each makes
    /// another client, and so does every other byte, since identifiers are compared as they are (RFC 3986, section 6.2.1).
    ///
    /// # Errors
    /// [`HttpsUrlError`] if it is none.
    pub fn document_url(&self) -> Result<HttpsUrl, HttpsUrlError> {
        HttpsUrl::parse(&self.0)
            .and_then(|url| if url.has_path() { Ok(url) } else { Err(HttpsUrlError::Path) })
    }

    /// How the client became known, going by the form of the identifier.
    #[must_use]
    pub fn kind(&self) -> ClientIdKind {
        if self.0.starts_with(DYNAMIC_PREFIX) {
            ClientIdKind::Dynamic
        } else if self.0.starts_with("https://") {
            ClientIdKind::MetadataDocument
        } else {
            ClientIdKind::PreRegistered
        }
    }
}

impl ClientIdKind {
    /// The name under which it is recorded.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::MetadataDocument => "metadata_document",
            Self::PreRegistered => "pre_registered",
        }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClientId {
    type Err = ClientIdError;

    fn from_str(text: &str) -> Result<Self, ClientIdError> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6749, section 2.3.1.
    #[test]
    fn an_identifier_is_printable_ascii() {
        assert_eq!(ClientId::parse("s6BhdRkqt3").unwrap().as_str(), "s6BhdRkqt3");
        assert!(ClientId::parse(&"a".repeat(2048)).is_ok());
        for bad in ["", "a b", "a\n", "a\u{7f}", "caf\u{e9}", "\0", &"a".repeat(2049)] {
            assert_eq!(ClientId::parse(bad), Err(ClientIdError), "{bad:?}");
        }
    }

    /// AS-043.
    #[test]
    fn the_form_says_how_the_client_became_known() {
        let kind = |text: &str| ClientId::parse(text).unwrap().kind();
        assert_eq!(kind("dcr_AQID"), ClientIdKind::Dynamic);
        assert_eq!(kind("https://client.example/mcp.json"), ClientIdKind::MetadataDocument);
        for other in ["dcr", "http://client.example/", "HTTPS://client.example/", "console"] {
            assert_eq!(kind(other), ClientIdKind::PreRegistered);
        }
    }

    /// CM-01, CM-02; AS-049; attacks.md, D-7.
    #[test]
    fn the_url_of_a_document_has_a_path_and_one_reading() {
        let url = |text: &str| ClientId::parse(text).unwrap().document_url();
        for good in [
            "https://c.example/",
            "https://c.example/mcp.json",
            "https://c.example:8443/c?v=1",
            "https://[2606:4700::1]/c",
        ] {
            assert_eq!(url(good).unwrap().as_str(), good);
        }
        for pathless in ["https://c.example", "https://c.example?a/b", "https://c.example:8443"] {
            assert_eq!(url(pathless), Err(HttpsUrlError::Path), "{pathless}");
        }
        for bad in [
            "https://c.example/#",
            "https://@c.example/",
            "https://:@c.example/",
            "https://c.example/./a",
            "https://c.example/%2E%2e/a",
            "https://c.example\\@evil.example/",
            "https:/c.example/",
            "https:c.example/",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn json_holds_the_text() {
        let id: ClientId = serde_json::from_str("\"s6BhdRkqt3\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"s6BhdRkqt3\"");
        assert!(serde_json::from_str::<ClientId>("\"\"").is_err());
    }
}
