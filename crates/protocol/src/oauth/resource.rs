//! Resource identifiers: RFC 8707, section 2, with the canonical form of the MCP authorization text.
//!
//! Scheme and host in lower case and no default port; path and query are compared exactly. It must never
//! make two different paths equal: the identifier is the audience of tokens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use super::uri::{self, UriFlaw};

/// A resource identifier in canonical form: an absolute `https` or `http` URI.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ResourceUri(String);

/// Why a text is not a resource identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ResourceError {
    /// The text has more than one reading, or none.
    #[error("malformed: {0}")]
    Malformed(#[from] UriFlaw),
    /// Neither `https` nor `http`.
    #[error("the scheme is neither https nor http")]
    Scheme,
}

impl ResourceUri {
    /// Reads a resource identifier and puts scheme, host and port into canonical form.
    ///
    /// # Errors
    /// [`ResourceError`] for a fragment, user information, a relative reference, a dot segment (escaped or
    /// not), and whatever else has two readings.
    pub fn parse(raw: &str) -> Result<Self, ResourceError> {
        let parts = uri::split(raw)?;
        let scheme = parts.scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return Err(ResourceError::Scheme),
        };
        let authority = parts.authority.ok_or(UriFlaw::Host)?;
        uri::check_web_host(authority.host)?;
        let mut canonical = format!("{scheme}://{}", authority.host.to_ascii_lowercase());
        if let Some(port) = authority.port.filter(|port| *port != default_port) {
            canonical.push_str(&format!(":{port}"));
        }
        canonical.push_str(parts.path);
        if let Some(query) = parts.query {
            canonical.push('?');
            canonical.push_str(query);
        }
        Ok(Self(canonical))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme, host and port: `https://mcp.example.com`.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.0.get(..self.path_start()).unwrap_or_default()
    }

    /// Path and query: `/files/mcp`. Empty if there is neither.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.get(self.path_start()..).unwrap_or_default()
    }

    fn path_start(&self) -> usize {
        let host = self.0.find("//").map_or(0, |at| at + 2);
        let after = self.0.get(host..).unwrap_or_default();
        after.find(['/', '?']).map_or(self.0.len(), |at| host + at)
    }
}

impl fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ResourceUri {
    type Err = ResourceError;

    fn from_str(text: &str) -> Result<Self, ResourceError> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for ResourceUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(raw: &str) -> String {
        ResourceUri::parse(raw).unwrap().to_string()
    }

    /// The examples of the MCP authorization text, section "Canonical Server URI".
    #[test]
    fn the_examples_of_the_standard_are_canonical() {
        for example in [
            "https://mcp.example.com/mcp",
            "https://mcp.example.com",
            "https://mcp.example.com:8443",
            "https://mcp.example.com/server/mcp",
        ] {
            assert_eq!(canonical(example), example);
        }
        assert_eq!(ResourceUri::parse("mcp.example.com"), Err(UriFlaw::Relative.into()));
        assert_eq!(ResourceUri::parse("https://mcp.example.com#fragment"), Err(UriFlaw::Fragment.into()));
    }

    /// RFC 8707, section 2.
    #[test]
    fn the_examples_of_rfc_8707_are_read() {
        assert_eq!(canonical("https://cal.example.com/"), "https://cal.example.com/");
        assert_eq!(canonical("https://contacts.example.com/app/"), "https://contacts.example.com/app/");
    }

    #[test]
    fn case_of_scheme_and_host_and_the_default_port_do_not_matter() {
        assert_eq!(canonical("HTTPS://MCP.Example.COM:443/a/MCP"), "https://mcp.example.com/a/MCP");
        assert_eq!(canonical("http://LocalHost:80/mcp"), "http://localhost/mcp");
        assert_eq!(canonical("http://localhost:443/mcp"), "http://localhost:443/mcp");
    }

    /// AS-164.
    #[test]
    fn paths_and_queries_are_exact() {
        let texts =
            ["https://h/a", "https://h/a/", "https://h/A", "https://h//a", "https://h/a?", "https://h/%61"];
        for (place, one) in texts.iter().enumerate() {
            for other in texts.iter().skip(place + 1) {
                assert_ne!(ResourceUri::parse(one).unwrap(), ResourceUri::parse(other).unwrap());
            }
        }
    }

    /// AZ-23.
    ///
    /// AS-163.
    #[test]
    fn texts_with_two_readings_are_refused() {
        for bad in [
            "",
            "/mcp",
            "//h/mcp",
            "urn:example:mcp",
            "https:mcp",
            "https://",
            "https:///mcp",
            "https://u@h/mcp",
            "https://h/a/../mcp",
            "https://h/%2e%2E/mcp",
            "https://h/./mcp",
            "https://h\\mcp",
            "https://h/m cp",
            "https://h/mcp#",
            "https://h:/mcp",
            "https://h:0443/mcp",
            "https://127.1/mcp",
            "https://h./mcp",
            "https://h/mcp\n",
            "https://h\u{e9}/mcp",
        ] {
            assert!(ResourceUri::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn origin_and_path_are_its_two_halves() {
        for (text, origin, path) in [
            ("https://h:1/a/mcp?x", "https://h:1", "/a/mcp?x"),
            ("https://h", "https://h", ""),
            ("https://[::1]?x=//", "https://[::1]", "?x=//"),
        ] {
            let resource = ResourceUri::parse(text).unwrap();
            assert_eq!((resource.origin(), resource.path()), (origin, path));
        }
    }
}
