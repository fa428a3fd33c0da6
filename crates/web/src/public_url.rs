//! `public_url`: the issuer, and the only place from which our own URLs are built (product.md, "The words").
//!
//! Never changed by anything in a request (attacks.md, DS-01).

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// Scheme and authority of this house, kept byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    authority: String,
    authority_with_port: String,
    port: u16,
    https: bool,
}

/// `public_url` is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    /// It is not a URL at all.
    #[error("`public_url` is not a URL")]
    Malformed,
    /// It has a path, a query, a fragment, a trailing slash or a user.
    #[error("`public_url` must be a scheme, a host and perhaps a port, and nothing after them")]
    MoreThanOrigin,
    /// Neither `https`, nor `http` for this computer alone.
    #[error("`public_url` must begin with `https://` (`http://` is for a loopback address)")]
    Scheme,
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let uri: Uri = text.parse().map_err(|_| PublicUrlError::Malformed)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(PublicUrlError::Malformed);
        };
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(PublicUrlError::Scheme),
        };
        if text != format!("{scheme}://{authority}") || authority.as_str().contains('@') {
            return Err(PublicUrlError::MoreThanOrigin);
        }
        if !https && !is_loopback(authority.host()) {
            return Err(PublicUrlError::Scheme);
        }
        let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
        Ok(Self {
            text: text.to_owned(),
            authority: authority.as_str().to_owned(),
            authority_with_port: format!("{}:{port}", authority.host()),
            port,
            https,
        })
    }
}

/// The names of this computer (RFC 8252, section 7.3).
fn is_loopback(host: &str) -> bool {
    matches!(host, "127.0.0.1" | "[::1]" | "localhost")
}

impl PublicUrl {
    /// As it is written in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is `https`.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// Its port, spelled out or not.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn authority_with_port(&self) -> &str {
        &self.authority_with_port
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AS-008.
    #[test]
    fn a_scheme_and_a_host_are_a_public_url() {
        for (text, port) in [
            ("https://mcp.example.com", 443),
            ("https://mcp.example.com:8443", 8443),
            ("http://127.0.0.1:8080", 8080),
            ("http://[::1]:8080", 8080),
            ("http://localhost", 80),
        ] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!((url.as_str(), url.port()), (text, port));
        }
    }

    /// AS-008, AS-025.
    #[test]
    fn anything_more_or_less_is_an_error() {
        for text in [
            "https://mcp.example.com/",
            "https://mcp.example.com/x",
            "https://mcp.example.com?x",
            "https://mcp.example.com#x",
            "https://a@mcp.example.com",
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(PublicUrlError::MoreThanOrigin), "{text}");
        }
        for text in ["", "mcp.example.com", "/x", "https://"] {
            assert_eq!(text.parse::<PublicUrl>(), Err(PublicUrlError::Malformed), "{text}");
        }
        for text in ["http://mcp.example.com", "ftp://mcp.example.com"] {
            assert_eq!(text.parse::<PublicUrl>(), Err(PublicUrlError::Scheme), "{text}");
        }
    }
}
