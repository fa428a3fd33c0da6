//! Small JSON documents that others publish about themselves: metadata and keys.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AGE, CACHE_CONTROL, CONTENT_TYPE, EXPIRES};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use jiff::fmt::rfc2822;
use protocol::world::Timestamp;
use serde::de::DeserializeOwned;
use url::Url;

use crate::egress::{Egress, FetchError, Limits};
use crate::kept::Failure;

/// Why there is no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentError {
    /// What came is not the document: another status, another type, too large, not the JSON it must be.
    #[error("the answer is not the document")]
    Malformed,
    /// Nothing came, or the host says that it cannot now.
    #[error("the host of the document cannot be reached")]
    Unreachable,
}

impl Failure for DocumentError {
    fn is_passing(self) -> bool {
        match self {
            Self::Malformed => false,
            Self::Unreachable => true,
        }
    }
}

/// Fetches a document: status 200 and a JSON media type, or it is none. A redirect is no document.
pub(crate) async fn fetch<T: DeserializeOwned>(
    egress: &dyn Egress,
    url: &str,
    limits: Limits,
) -> Result<(T, HeaderMap), DocumentError> {
    let request = Request::get(url)
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .body(Bytes::new())
        .map_err(|_| DocumentError::Malformed)?;
    let response = egress.fetch(request, limits).await.map_err(|error| match error {
        FetchError::TooLarge => DocumentError::Malformed,
        FetchError::TimedOut | FetchError::Unreachable => DocumentError::Unreachable,
    })?;
    let status = response.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(DocumentError::Unreachable);
    }
    if status != StatusCode::OK || !is_json(response.headers()) {
        tracing::debug!(status = status.as_u16(), url, "not a document");
        return Err(DocumentError::Malformed);
    }
    let document = serde_json::from_slice(response.body()).map_err(|error| {
        tracing::debug!(line = error.line(), column = error.column(), url, "not the json it must be");
        DocumentError::Malformed
    })?;
    Ok((document, response.into_parts().0.headers))
}

pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = text(headers, &CONTENT_TYPE) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// How long the answer may be kept by its own word (RFC 9111, sections 4.2.1 and 5.2.2), if it has one.
pub(crate) fn freshness(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let directives = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = directives.flat_map(|value| value.split(',')).map(str::trim).peekable();
    if directives.peek().is_none() {
        let expires = text(headers, &EXPIRES)?;
        // What cannot be read is over (RFC 9111, section 5.3).
        let expires = rfc2822::DateTimeParser::new().parse_timestamp(expires);
        let expires = expires.map_or(Timestamp::from_secs(0), |at| Timestamp::from_secs(at.as_second()));
        return Some(expires.since(now));
    }
    let mut lifetime = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(Duration::ZERO);
        }
        if name.eq_ignore_ascii_case("max-age") && lifetime.is_none() {
            lifetime = Some(value.trim_matches('"').parse().map_or(Duration::ZERO, Duration::from_secs));
        }
    }
    let age =
        text(headers, &AGE).and_then(|age| age.parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
    lifetime.map(|lifetime| lifetime.saturating_sub(age))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether nobody on the way can read or change what is sent there: TLS, or it never leaves the machine.
pub(crate) fn protected(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(url::Host::Domain(name))) => name == "localhost",
        ("http", Some(url::Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(url::Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(784_111_777);

    fn told(headers: &[(&'static str, &'static str)]) -> Option<u64> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        freshness(&headers.collect(), NOW).map(|told| told.as_secs())
    }

    #[test]
    fn an_answer_is_as_fresh_as_it_says() {
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("cache-control", "public")]), None);
        assert_eq!(told(&[("cache-control", "public, Max-Age=300")]), Some(300));
        assert_eq!(told(&[("cache-control", "max-age=300, max-age=9")]), Some(300));
        assert_eq!(told(&[("cache-control", "max-age=300"), ("age", "100")]), Some(200));
        assert_eq!(told(&[("cache-control", "max-age=300"), ("age", "400")]), Some(0));
        assert_eq!(told(&[("cache-control", "max-age=300, no-cache")]), Some(0));
        assert_eq!(told(&[("cache-control", "no-store")]), Some(0));
        assert_eq!(told(&[("cache-control", "max-age=soon")]), Some(0));
        assert_eq!(told(&[("cache-control", "max-age=99999999999999999999")]), Some(0));
        assert_eq!(told(&[("expires", "Sun, 06 Nov 1994 08:54:37 GMT")]), Some(300));
        assert_eq!(told(&[("expires", "Sun, 06 Nov 1994 08:39:37 GMT")]), Some(0));
        assert_eq!(told(&[("expires", "0")]), Some(0));
        assert_eq!(told(&[("cache-control", "max-age=7"), ("expires", "0")]), Some(7));
    }
}
