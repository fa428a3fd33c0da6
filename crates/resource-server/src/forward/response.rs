//! What of an MCP server's answer the client gets (product.md, P-14; requirements RS-160, RS-171).
//!
//! The status and a body of a media type that MCP knows; no header of the MCP server's but the few on the list. Its
//! cookies, CORS and site-wide security headers would speak for a host that is not its own, and its challenges would
//! name another resource. Must never follow a redirect (attack PX-26).

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use protocol::mcp::CallKind;

use crate::call::Operation;
use crate::media::{EVENTS, JSON, Media, content_type};
use crate::reason::CallReason;

static X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Should a browser ever show an answer, it is nobody's page.
static SANDBOX: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");

/// What becomes of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// None goes out.
    Empty,
    /// The MCP server's own words go out.
    Through(Media),
    /// It is an error in words that are not for an MCP client: ours go out under the same status.
    InOurWords,
}

/// The status that goes out, and what becomes of the body.
pub(crate) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    is_empty: bool,
    operation: &Operation,
) -> Result<(StatusCode, Passage), CallReason> {
    match status.as_u16() {
        // RFC 9110, section 15: what is above is no status, and a part of an answer was not asked for.
        ..=199 | 203 | 206 | 600.. => return Err(CallReason::UpstreamMalformed),
        300..=399 => return Err(CallReason::UpstreamRedirected),
        401 | 403 | 407 => return Err(CallReason::UpstreamRefused),
        _ => {}
    }
    if !status.is_success() {
        let through = !is_empty && !is_encoded(headers) && content_type(headers) == Some(Media::Json);
        return Ok((status, if through { Passage::Through(Media::Json) } else { Passage::InOurWords }));
    }
    match operation {
        // Some clients take 202 to DELETE for a failure.
        Operation::EndSession { .. } if status == StatusCode::ACCEPTED => {
            return Ok((StatusCode::NO_CONTENT, Passage::Empty));
        }
        Operation::EndSession { .. } => return Ok((status, Passage::Empty)),
        Operation::Call { .. } | Operation::Listen { .. } => {}
    }
    // MCP, transports, "Sending Messages to the Server": 202 without a body. There are MCP servers that answer what has no
    // answer, and nobody waits for it.
    let asks =
        !matches!(operation, Operation::Call { call, .. } if !matches!(call.kind, CallKind::Request(_)));
    if !asks && content_type(headers) == Some(Media::Json) {
        return Ok((StatusCode::ACCEPTED, Passage::Empty));
    }
    if is_empty || matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT)
    {
        // "The server MUST either return …": a request has an answer (requirements RS-066).
        return match operation {
            Operation::Call { call, .. } if matches!(call.kind, CallKind::Request(_)) => {
                Err(CallReason::UpstreamMalformed)
            }
            Operation::Call { .. } | Operation::EndSession { .. } | Operation::Listen { .. } => {
                Ok((status, Passage::Empty))
            }
        };
    }
    if is_encoded(headers) {
        return Err(CallReason::UpstreamEncoded);
    }
    match (operation, content_type(headers)) {
        // "… or 405": anything else makes clients come back for ever (requirements RS-071).
        (Operation::Listen { .. }, Some(Media::Json)) | (_, None) => Err(CallReason::UpstreamMediaType),
        (_, Some(media)) => Ok((status, Passage::Through(media))),
    }
}

/// The headers that go out, all of our own making.
pub(crate) fn headers(status: StatusCode, passage: Passage, from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, SANDBOX.clone());
    let caching = match passage {
        Passage::Through(Media::Events) => {
            headers.insert(CONTENT_TYPE, EVENTS.clone());
            // MCP 2026-07-28, transports, "Receiving Messages".
            headers.insert(X_ACCEL_BUFFERING.clone(), HeaderValue::from_static("no"));
            "no-cache"
        }
        Passage::Through(Media::Json) | Passage::InOurWords => {
            headers.insert(CONTENT_TYPE, JSON.clone());
            "no-store"
        }
        Passage::Empty => "no-store",
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if let Some(seconds) = from.get(RETRY_AFTER).filter(|value| is_seconds(value)) {
        headers.insert(RETRY_AFTER, seconds.clone());
    }
    headers
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn is_seconds(value: &HeaderValue) -> bool {
    (1..=5).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests;
