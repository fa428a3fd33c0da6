//! The request that the MCP server gets: built anew, from a list of what may pass (attacks PX-05 to PX-07).
//!
//! What is not on the list does not exist for the MCP server: the client's token, its cookies, whatever headers claim
//! an identity, in any spelling. The body is the very bytes that were judged.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::Full;

use crate::call::{Asked, Operation};
use crate::media::{
    BOTH, EVENTS, JSON, LAST_EVENT_ID, MCP_METHOD, MCP_NAME, MCP_PARAM, MCP_PROTOCOL_VERSION, MCP_SESSION_ID,
    TRACEPARENT, single,
};
use crate::session::Session;
use crate::vault::credential::Credentials;

static IDENTITY_CODING: HeaderValue = HeaderValue::from_static("identity");
/// An event id is the MCP server's own; ours would be shorter.
const LONGEST_EVENT_ID: usize = 1024;
/// Most of what a call needs.
const USUAL: usize = 12;

/// The request for an operation.
pub(crate) fn build(asked: &Asked, session: &Session, credentials: Credentials) -> Request<Full<Bytes>> {
    let mut headers = own(session, credentials);
    plain(&asked.headers, &mut headers);
    let (method, accept, body) = match &asked.operation {
        Operation::Call { body, .. } => {
            mirrored(&asked.headers, &mut headers);
            headers.insert(CONTENT_TYPE, JSON.clone());
            (Method::POST, &BOTH, body.clone())
        }
        Operation::EndSession { .. } => (Method::DELETE, &BOTH, Bytes::new()),
        Operation::Listen { .. } => {
            resumed(&asked.headers, session, &mut headers);
            (Method::GET, &EVENTS, Bytes::new())
        }
    };
    headers.insert(ACCEPT, accept.clone());
    request(method, headers, body)
}

/// The request for a list of our own, in the name of the same caller.
pub(crate) fn build_list(
    asked: &Asked,
    session: &Session,
    credentials: Credentials,
    body: Bytes,
) -> Request<Full<Bytes>> {
    let mut headers = own(session, credentials);
    if let Some(version) = single(&asked.headers, &MCP_PROTOCOL_VERSION) {
        headers.insert(MCP_PROTOCOL_VERSION.clone(), version.clone());
    }
    if asked.is_modern() {
        headers.insert(MCP_METHOD.clone(), HeaderValue::from_static("tools/list"));
    }
    headers.insert(CONTENT_TYPE, JSON.clone());
    headers.insert(ACCEPT, BOTH.clone());
    request(Method::POST, headers, body)
}

fn request(method: Method, headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    request
}

/// What we say ourselves.
fn own(session: &Session, credentials: Credentials) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(USUAL);
    // An answer that we cannot read is one that we cannot judge (attacks PX-19).
    headers.insert(ACCEPT_ENCODING, IDENTITY_CODING.clone());
    credentials.put(&mut headers);
    match session {
        Session::Known { upstream, .. } => {
            headers.insert(MCP_SESSION_ID.clone(), upstream.clone());
        }
        Session::None => {}
    }
    headers
}

/// What every request may say: the version, and the position in a trace.
fn plain(from: &HeaderMap, to: &mut HeaderMap) {
    if let Some(version) = single(from, &MCP_PROTOCOL_VERSION) {
        to.insert(MCP_PROTOCOL_VERSION.clone(), version.clone());
    }
    if let Some(value) = single(from, &TRACEPARENT).filter(|value| is_traceparent(value.as_bytes())) {
        to.insert(TRACEPARENT.clone(), value.clone());
    }
}

/// What mirrors the body and was compared with it, and what a tool's parameters mirror (requirements RS-163). Only beside
/// a body: without one there is nothing that it was compared with.
fn mirrored(from: &HeaderMap, to: &mut HeaderMap) {
    for name in [&MCP_METHOD, &MCP_NAME] {
        if let Some(value) = single(from, name) {
            to.insert(name.clone(), value.clone());
        }
    }
    for (name, value) in from {
        if name.as_str().starts_with(MCP_PARAM) {
            to.append(name.clone(), value.clone());
        }
    }
}

/// Resuming is within a session of this very caller or not at all (attacks SE-08).
fn resumed(from: &HeaderMap, session: &Session, to: &mut HeaderMap) {
    match (session, single(from, &LAST_EVENT_ID)) {
        (Session::Known { .. }, Some(id)) if id.len() <= LONGEST_EVENT_ID => {
            to.insert(LAST_EVENT_ID.clone(), id.clone());
        }
        (Session::Known { .. } | Session::None, _) => {}
    }
}

/// W3C Trace Context, section 3.2.2, version 00: `00-` 32 hex `-` 16 hex `-` 2 hex, no id all zeros.
fn is_traceparent(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b'-');
    let mut hex = |len: usize, may_be_zero: bool| {
        parts.next().is_some_and(|part| {
            part.len() == len
                && part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                && (may_be_zero || part.iter().any(|b| *b != b'0'))
        })
    };
    value.starts_with(b"00-")
        && hex(2, true)
        && hex(32, false)
        && hex(16, false)
        && hex(2, true)
        && parts.next().is_none()
}

#[cfg(test)]
mod tests;
