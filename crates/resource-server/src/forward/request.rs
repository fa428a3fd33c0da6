//! The request that the MCP server gets: built anew, from a list of what may pass (attacks PX-05 to PX-07).
//!
//! What is not on the list does not exist for the MCP server: the client's token, its cookies, whatever headers claim
//! an identity, in any spelling. The body is the very bytes that were judged.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::Full;
use protocol::mcp::McpCall;

use crate::call::{Asked, Operation};
use crate::media::{
    BOTH, EVENTS, JSON, LAST_EVENT_ID, MCP_METHOD, MCP_NAME, MCP_PARAM, MCP_PROTOCOL_VERSION, MCP_SESSION_ID,
    TRACEPARENT, single,
};
use crate::session::Session;
use crate::trace;
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
    position(asked, &mut headers);
    let (method, accept, body) = match &asked.operation {
        Operation::Call { call, body } => {
            mirrored(call, &asked.headers, &mut headers);
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

/// The position in a trace: ours, if the call is recorded, else that of the client (W3C Trace Context, section 3.2).
fn position(asked: &Asked, to: &mut HeaderMap) {
    let position = match asked.entry.traced() {
        Some(traced) => traced.header(),
        None => {
            trace::header(&asked.headers).and_then(|header| HeaderValue::try_from(header.to_string()).ok())
        }
    };
    if let Some(position) = position {
        to.insert(TRACEPARENT.clone(), position);
    }
}

/// What every request may say: the version.
fn plain(from: &HeaderMap, to: &mut HeaderMap) {
    if let Some(version) = single(from, &MCP_PROTOCOL_VERSION) {
        to.insert(MCP_PROTOCOL_VERSION.clone(), version.clone());
    }
}

/// What mirrors the body and was compared with it, and what a tool's parameters mirror (requirements RS-163). Only beside
/// a body: without one there is nothing that it was compared with. What was not compared stays here (requirements RS-105): a name
/// that an older client sends beside a body without one, and parameters before 2026-07-28.
fn mirrored(call: &McpCall, from: &HeaderMap, to: &mut HeaderMap) {
    if let Some(value) = single(from, &MCP_METHOD) {
        to.insert(MCP_METHOD.clone(), value.clone());
    }
    if let Some(value) = single(from, &MCP_NAME).filter(|_| call.modern || call.name.is_some()) {
        to.insert(MCP_NAME.clone(), value.clone());
    }
    if !call.modern {
        return;
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

#[cfg(test)]
mod tests;
