//! The media types that MCP knows, as they stand in `Content-Type` and `Accept` (RFC 9110, sections 8.3 and 12.5.1),
//! and the names of its headers.
//!
//! What is unknown is nothing: there is no guessing and no sniffing.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) static IDENTITY: HeaderName = HeaderName::from_static(crate::assertion::HEADER);
pub(crate) static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
pub(crate) static MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
pub(crate) static MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
pub(crate) static MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(crate) static MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub(crate) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// MCP 2026-07-28, transports, "Custom Headers from Tool Parameters".
pub(crate) const MCP_PARAM: &str = "mcp-param-";

pub(crate) static BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
pub(crate) static EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
pub(crate) static JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A media type that MCP knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Events,
    Json,
}

/// What `Content-Type` says; `None` if it is absent, repeated, of another type or in another character set.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<Media> {
    let value = single(headers, &CONTENT_TYPE)?;
    if value == JSON {
        return Some(Media::Json);
    }
    let mut parts = value.to_str().ok()?.split(';').map(str::trim);
    let media = media(parts.next()?)?;
    let utf8 = parts.filter(|part| !part.is_empty()).all(|part| match part.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        Some(_) => true,
        None => false,
    });
    utf8.then_some(media)
}

fn media(essence: &str) -> Option<Media> {
    if essence.eq_ignore_ascii_case("application/json") {
        Some(Media::Json)
    } else if essence.eq_ignore_ascii_case("text/event-stream") {
        Some(Media::Events)
    } else {
        None
    }
}

/// Which of the two a client takes. No `Accept` at all takes everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) json: bool,
    pub(crate) events: bool,
}

pub(crate) fn accepted(headers: &HeaderMap) -> Accepted {
    let mut accepted = Accepted { json: false, events: false };
    let mut any = false;
    for value in headers.get_all(ACCEPT) {
        any = true;
        if value == BOTH {
            return Accepted { json: true, events: true };
        }
        let Ok(value) = value.to_str() else { continue };
        for range in value.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let essence = parts.next().unwrap_or_default();
            if parts.any(is_not_wanted) {
                continue;
            }
            accepted.json |= ["application/json", "application/*", "*/*"]
                .iter()
                .any(|one| essence.eq_ignore_ascii_case(one));
            accepted.events |=
                ["text/event-stream", "text/*", "*/*"].iter().any(|one| essence.eq_ignore_ascii_case(one));
        }
    }
    if any { accepted } else { Accepted { json: true, events: true } }
}

/// `q=0`, `q=0.0` and the like (RFC 9110, section 12.4.2).
fn is_not_wanted(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, weight)| {
        let weight = weight.trim();
        name.trim().eq_ignore_ascii_case("q")
            && weight.starts_with('0')
            && weight.bytes().all(|b| b == b'0' || b == b'.')
    })
}

/// The value of a header that stands once.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut all = headers.get_all(name).iter();
    let only = all.next()?;
    all.next().is_none().then_some(only)
}

#[cfg(test)]
mod tests;
