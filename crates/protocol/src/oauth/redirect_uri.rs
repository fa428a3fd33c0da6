//! Redirect URIs as clients register them: RFC 6749 3.1.2, OAuth 2.1 2.3, RFC 8252 7.
//!
//! The raw string is kept and compared; no parsed form ever takes part in a comparison. Only the port of a
//! loopback `http` URI is free (OAuth 2.1, section 8.4.2). It must never match a URI that was not registered.

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::form;
use super::uri::{self, Authority, Parts, UriFlaw};

/// The three spellings of the loopback interface whose port is free, and no others (RFC 8252, section 7.3;
/// `localhost` because widely used clients register it).
const LOOPBACK_HOSTS: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

/// Response parameters that a redirect URI may not bring along: the client could not tell them from ours.
const RESPONSE_PARAMETERS: [&str; 7] =
    ["code", "error", "error_description", "error_uri", "iss", "response", "state"];

/// Schemes that are never private-use, whatever the policy says: a browser acts on them itself.
const NEVER_PRIVATE: [&str; 18] = [
    "about",
    "blob",
    "chrome",
    "data",
    "file",
    "filesystem",
    "ftp",
    "http",
    "https",
    "intent",
    "javascript",
    "jar",
    "mailto",
    "ms-appx",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// Which private-use schemes may be registered (RFC 8252, section 7.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedirectPolicy {
    /// Lower-case schemes without the colon, such as `cursor`.
    pub private_schemes: Vec<String>,
    /// Our own origins, which are no client's: scheme, host in lower case, and the port unless it is the usual one.
    pub own_origins: Vec<String>,
}

impl RedirectPolicy {
    fn allows(&self, scheme: &str) -> bool {
        !NEVER_PRIVATE.contains(&scheme) && self.private_schemes.iter().any(|allowed| allowed == scheme)
    }

    /// Whether a URI leads to ourselves. An answer that comes back here is a request of our own making to our own pages:
    /// it would pass for one that the person began (product.md, P-9), and the person would be shown our host as the
    /// client's.
    #[must_use]
    pub fn is_own(&self, raw: &str) -> bool {
        let Ok(Parts { scheme, authority: Some(authority), .. }) = uri::split(raw) else { return false };
        let usual = if scheme == "https" { 443 } else { 80 };
        let mut origin = format!("{scheme}://{}", authority.host.to_ascii_lowercase());
        if let Some(port) = authority.port.filter(|port| *port != usual) {
            origin.push_str(&format!(":{port}"));
        }
        self.own_origins.contains(&origin)
    }
}

/// Where a redirect URI leads, for what a person is shown and for rules by destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A host elsewhere, over TLS; lower case.
    Https(String),
    /// This person's own machine, where any program may be listening; host in lower case.
    Loopback(String),
    /// An app that claimed a private-use scheme, which any app can claim.
    PrivateScheme(String),
}

/// A redirect URI that may be registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RedirectUri {
    raw: String,
    destination: Destination,
}

/// Why a redirect URI is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RedirectUriError {
    /// `http` to a host that is not `127.0.0.1`, `[::1]` or `localhost` (OAuth 2.1, section 1.5).
    #[error("`http` is for the loopback interface only, as 127.0.0.1, [::1] or localhost")]
    HttpOffLoopback,
    /// The text has more than one reading, or none.
    #[error("malformed: {0}")]
    Malformed(#[from] UriFlaw),
    /// It leads to ourselves.
    #[error("it leads to this authorization server itself")]
    Own,
    /// Its own query names a parameter of the authorization response.
    #[error("the query names a parameter of the authorization response")]
    ResponseParameter,
    /// A scheme that is neither `https`, nor `http`, nor on the list of private-use schemes, or not lower case.
    #[error("the scheme is not allowed")]
    Scheme,
}

impl RedirectUri {
    /// Reads a redirect URI of a registration.
    ///
    /// # Errors
    /// [`RedirectUriError`] for anything but `https`, loopback `http` or a listed private-use scheme, and for
    /// every text that could be read in two ways.
    pub fn parse(raw: &str, policy: &RedirectPolicy) -> Result<Self, RedirectUriError> {
        let parts = uri::split(raw)?;
        let destination = match (parts.scheme, parts.authority) {
            ("https", authority) => https_destination(authority)?,
            ("http", authority) => loopback_destination(authority)?,
            (scheme, authority) if policy.allows(scheme) => private_destination(scheme, authority, &parts)?,
            _ => return Err(RedirectUriError::Scheme),
        };
        if policy.is_own(raw) {
            return Err(RedirectUriError::Own);
        }
        if parts.query.is_some_and(names_response_parameter) {
            return Err(RedirectUriError::ResponseParameter);
        }
        Ok(Self { raw: raw.to_owned(), destination })
    }

    /// The URI as registered.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// Where it leads.
    #[must_use]
    pub const fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Whether a request may use `requested` on the strength of this registration: the same string, or the
    /// same string but for the port of a loopback `http` URI.
    ///
    /// "the authorization server MUST allow any port to be specified at the time of the request for loopback
    /// IP redirect URIs" (RFC 8252, section 7.3)
    #[must_use]
    pub fn matches(&self, requested: &str) -> bool {
        if self.raw == requested {
            return true;
        }
        match (without_loopback_port(&self.raw), without_loopback_port(requested)) {
            (Some(registered), Some(requested)) => registered == requested,
            _ => false,
        }
    }

    /// The URI with the free port taken out: one text for all installations of a native client.
    pub(super) fn without_port(&self) -> String {
        portless(&self.raw)
    }
}

impl Serialize for RedirectUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.raw)
    }
}

fn https_destination(authority: Option<Authority<'_>>) -> Result<Destination, RedirectUriError> {
    let host = authority.ok_or(UriFlaw::Host)?.host;
    uri::check_web_host(host)?;
    let lower = host.to_ascii_lowercase();
    Ok(if uri::is_this_machine(host) { Destination::Loopback(lower) } else { Destination::Https(lower) })
}

fn loopback_destination(authority: Option<Authority<'_>>) -> Result<Destination, RedirectUriError> {
    let host = authority.ok_or(UriFlaw::Host)?.host;
    if LOOPBACK_HOSTS.contains(&host) {
        Ok(Destination::Loopback(host.to_owned()))
    } else {
        Err(RedirectUriError::HttpOffLoopback)
    }
}

fn private_destination(
    scheme: &str,
    authority: Option<Authority<'_>>,
    parts: &Parts<'_>,
) -> Result<Destination, RedirectUriError> {
    // What follows the scheme is the app's own business, but it has to be something.
    if authority.is_none_or(|authority| authority.host.is_empty()) && parts.path.is_empty() {
        return Err(UriFlaw::Host.into());
    }
    Ok(Destination::PrivateScheme(scheme.to_owned()))
}

/// `;` once separated parameters as `&` does, case is folded by some frameworks and `code[]` is `code` to
/// others: whatever any of them could take for a response parameter counts as one.
fn names_response_parameter(query: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        let Ok(name) = form::decode(name.as_bytes()) else { return true };
        let name = name.split('[').next().unwrap_or_default().trim().to_ascii_lowercase();
        RESPONSE_PARAMETERS.contains(&name.as_str())
    })
}

/// A URI with the free port of a loopback `http` URI taken out; any other as it is.
pub(super) fn portless(raw: &str) -> String {
    match without_loopback_port(raw) {
        Some((host, rest)) => format!("http://{host}{rest}"),
        None => raw.to_owned(),
    }
}

/// Host and remainder of a loopback `http` URI, its port taken out; `None` for every other URI.
fn without_loopback_port(raw: &str) -> Option<(&str, &str)> {
    let after_scheme = raw.strip_prefix("http://")?;
    let (host, rest) =
        LOOPBACK_HOSTS.iter().find_map(|host| Some((*host, after_scheme.strip_prefix(host)?)))?;
    let rest = match rest.strip_prefix(':') {
        Some(with_port) => {
            let end = with_port.find(['/', '?']).unwrap_or(with_port.len());
            let (port, rest) = with_port.split_at(end);
            uri::read_port(port)?;
            rest
        }
        None => rest,
    };
    // `http://localhost.evil.example/` starts with a loopback host and is none.
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
}

#[cfg(test)]
mod tests;
