//! An `https` URL that a stranger chose and that we are to fetch: a client ID metadata document
//! (draft-ietf-oauth-client-id-metadata-document-02, section 3), or one named inside of it.
//!
//! Read by hand on the raw text, so that what is judged, what is dialled and what is compared are the same bytes; it
//! must never repair anything. It says nothing of where the host leads: that is seen when it is dialled.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use super::uri::{self, UriFlaw};

/// An absolute `https` URL without user information and fragment, whose host has its one spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpsUrl {
    text: String,
    host: String,
    port: u16,
    has_path: bool,
}

/// Why a text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HttpsUrlError {
    /// It has more than one reading, or none.
    #[error("{0}")]
    Flaw(#[from] UriFlaw),
    /// No path, where there must be one.
    #[error("there is no path")]
    Path,
    /// Another scheme, or this one in capitals.
    #[error("the scheme is not `https`")]
    Scheme,
}

impl HttpsUrl {
    /// The port of a URL that names none (RFC 9110, section 4.2.2).
    pub const PORT: u16 = 443;

    /// Reads one.
    ///
    /// # Errors
    /// [`HttpsUrlError`] for anything that is not exactly one.
    pub fn parse(raw: &str) -> Result<Self, HttpsUrlError> {
        let parts = uri::split(raw)?;
        if parts.scheme != "https" {
            return Err(HttpsUrlError::Scheme);
        }
        let authority = parts.authority.ok_or(UriFlaw::Host)?;
        uri::check_web_host(authority.host)?;
        Ok(Self {
            text: raw.to_owned(),
            host: authority.host.to_ascii_lowercase(),
            port: authority.port.unwrap_or(Self::PORT),
            has_path: !parts.path.is_empty(),
        })
    }

    /// The text, as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host in lower case, an IPv6 address in its brackets. Names of other scripts stay in Punycode.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The host, and the port if it is not the usual one: what people are shown.
    #[must_use]
    pub fn host_and_port(&self) -> String {
        if self.port == Self::PORT { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// The host, if it is an address.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        let bare = self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        bare.unwrap_or(&self.host).parse().ok()
    }

    /// Whether there is a path, be it `/` alone.
    #[must_use]
    pub const fn has_path(&self) -> bool {
        self.has_path
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_kept_as_it_came() {
        let url = HttpsUrl::parse("https://Client.example:8443/a%7Eb?x=1").unwrap();
        assert_eq!(url.as_str(), "https://Client.example:8443/a%7Eb?x=1");
        assert_eq!((url.host(), url.port(), url.has_path()), ("client.example", 8443, true));
        assert_eq!(url.host_and_port(), "client.example:8443");
        assert_eq!(HttpsUrl::parse("https://client.example:443/").unwrap().host_and_port(), "client.example");
        assert!(!HttpsUrl::parse("https://client.example?a/b").unwrap().has_path());
        let literal = |text: &str| HttpsUrl::parse(text).unwrap().address();
        assert_eq!(literal("https://[::1]/c"), "::1".parse().ok());
        assert_eq!(literal("https://10.0.0.1/c"), "10.0.0.1".parse().ok());
        assert_eq!(literal("https://client.example/c"), None);
    }

    #[test]
    fn what_has_two_readings_is_none() {
        for bad in [
            "",
            "http://a/",
            "HTTPS://a/",
            "ftp://a/",
            "https:a/b",
            "https:/a/b",
            "https:///b",
            "https://u@a/",
            "https://@a/",
            "https://:@a/",
            "https://a/#",
            "https://a/b#c",
            "https://a/./b",
            "https://a/../b",
            "https://a/%2e%2e/b",
            "https://a/.%2e",
            "https://a\\b/",
            " https://a/",
            "https://a/ ",
            "https://a/\t",
            "https://a/\n",
            "https://a/\0",
            "https://127.1/c",
            "https://0x7f.1/c",
            "https://2130706433/c",
            "https://0177.0.0.1/c",
            "https://127.0.0.1./c",
            "https://localhost./c",
            "https://\u{ff11}27.0.0.1/c",
            "https://\u{2460}27.0.0.1/c",
            "https://a:0/c",
            "https://a:/c",
        ] {
            assert!(HttpsUrl::parse(bad).is_err(), "{bad:?}");
        }
    }
}
