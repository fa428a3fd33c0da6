//! One call as it was asked: who, at which MCP server, and what, read once from headers and body together.
//!
//! Policy and forwarder take this same value, so that neither can see another call than the other (attacks PX-12 to
//! PX-16). Must never be made for a caller without a live access token.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use protocol::jose::dpop::Thumbprint;
use protocol::mcp::request_headers::decode_name;
use protocol::mcp::{self, CallKind, McpCall, ProtocolVersion, RequestId};
use protocol::oauth::Scope;

use crate::audit::{Entry, Who};
use crate::bearer::Scheme;
use crate::error::{CallError, ToolAnswer};
use crate::lists::{List, Wanted};
use crate::media::{self, MCP_PARAM, MCP_PROTOCOL_VERSION, MCP_SESSION_ID, Media};
use crate::reason::CallReason;
use crate::vault::question::{self, Answered};

/// How long a message may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The methods of the MCP endpoint (MCP transports, Streamable HTTP).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Delete,
    Get,
    Post,
}

impl Verb {
    pub(crate) fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::DELETE => Some(Self::Delete),
            Method::GET => Some(Self::Get),
            Method::POST => Some(Self::Post),
            _ => None,
        }
    }
}

/// What is asked.
#[derive(Debug)]
pub(crate) enum Operation {
    /// One message, and the very bytes it was read from.
    Call { call: McpCall, body: Bytes },
    /// DELETE of older clients.
    EndSession { modern: bool },
    /// The GET stream of older clients.
    Listen { modern: bool },
}

/// One call as it was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) entry: Entry,
    pub(crate) headers: HeaderMap,
    pub(crate) operation: Operation,
    /// What came back of a question of ours; it is not in the message any more.
    pub(crate) answered: Option<Answered>,
    /// The body as it arrived, which a signature covers.
    pub(crate) arrived: Bytes,
    /// The query of the URL, which a signature covers.
    pub(crate) query: Option<Box<str>>,
    /// The key that signed it.
    pub(crate) signer: Option<Thumbprint>,
}

impl Asked {
    /// Reads what a caller with a live access token asks.
    pub(crate) async fn read<B>(
        mut entry: Entry,
        verb: Verb,
        request: Request<B>,
        message_bytes: usize,
    ) -> Result<Self, CallError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let query = head.uri.query().map(Box::from);
        let headers = head.headers;
        let read = match verb {
            Verb::Delete | Verb::Get => {
                read_bodiless(verb, &headers).map(|operation| (operation, None, Bytes::new()))
            }
            Verb::Post => read_message(&headers, body, message_bytes).await,
        };
        match read {
            Ok((operation, answered, arrived)) => {
                match &operation {
                    Operation::Call { call, .. } if call.kind == CallKind::Response => {
                        entry.describe("response", None);
                    }
                    Operation::Call { call, .. } => entry.describe(&call.method, call.name.as_deref()),
                    Operation::EndSession { .. } => entry.describe("DELETE", None),
                    Operation::Listen { .. } => entry.describe("GET", None),
                }
                let asked = Self { entry, headers, operation, answered, arrived, query, signer: None };
                match &asked.operation {
                    Operation::Call { call, .. } if !parameters_are_sound(&asked.headers, call.modern) => {
                        Err(asked.refuse(CallReason::HeaderRefused))
                    }
                    Operation::Call { .. } | Operation::EndSession { .. } | Operation::Listen { .. } => {
                        Ok(asked)
                    }
                }
            }
            Err(reason) => {
                let id =
                    if let CallReason::MessageRefused(refused) = &reason { refused.id.clone() } else { None };
                Err(refuse(entry, reason, id, None))
            }
        }
    }

    pub(crate) const fn who(&self) -> &Who {
        self.entry.who()
    }

    /// The id that an error must echo.
    pub(crate) fn id(&self) -> Option<RequestId> {
        match &self.operation {
            Operation::Call { call, .. } => match &call.kind {
                CallKind::Request(id) => Some(id.clone()),
                CallKind::Notification | CallKind::Response => None,
            },
            Operation::EndSession { .. } | Operation::Listen { .. } => None,
        }
    }

    /// Of MCP 2026-07-28 or later: without sessions.
    pub(crate) const fn is_modern(&self) -> bool {
        match &self.operation {
            Operation::Call { call, .. } => call.modern,
            Operation::EndSession { modern } | Operation::Listen { modern } => *modern,
        }
    }

    /// Whether its answer is over by itself: a subscription's is not, nor is the GET stream of older clients.
    pub(crate) fn is_answered_once(&self) -> bool {
        match &self.operation {
            Operation::Call { call, .. } => call.method != "subscriptions/listen",
            Operation::EndSession { .. } | Operation::Listen { .. } => false,
        }
    }

    /// The list that it asks for, if it asks for one.
    pub(crate) fn list(&self) -> Option<List> {
        match &self.operation {
            Operation::Call { call, .. } => List::of_method(&call.method),
            Operation::EndSession { .. } | Operation::Listen { .. } => None,
        }
    }

    /// Whether it asks for the list of tools from its beginning.
    pub(crate) fn begins_tools(&self) -> bool {
        match &self.operation {
            Operation::Call { call, body } => call.method == "tools/list" && !mcp::has_cursor(body),
            Operation::EndSession { .. } | Operation::Listen { .. } => false,
        }
    }

    /// What is wanted where its answer comes.
    pub(crate) fn wanted(&self) -> Wanted {
        let id = self.id().filter(|_| self.is_answered_once());
        // There is a session where there is a GET, whatever version its headers name: then the MCP server may ask.
        let modern = matches!(&self.operation, Operation::Call { call, .. } if call.modern);
        Wanted::new(id, self.list(), modern)
    }

    /// Whether a session id on the request counts: not on the call that begins one, and not for clients of
    /// 2026-07-28 (MCP 2026-07-28, transports, "Backwards Compatibility").
    pub(crate) fn may_name_a_session(&self) -> bool {
        match &self.operation {
            Operation::Call { call, .. } => !call.modern && call.method != "initialize",
            Operation::EndSession { .. } | Operation::Listen { .. } => true,
        }
    }

    /// Refuses the call, and has that written down.
    pub(crate) fn refuse(self, reason: CallReason) -> CallError {
        let (id, modern) = (self.id(), self.is_modern());
        refuse(self.entry, reason, id, None).answering(ToolAnswer { modern, ..ToolAnswer::default() })
    }

    /// Refuses the call because of its arguments, in words that hold nothing of them.
    pub(crate) fn refuse_arguments(self, text: String) -> CallError {
        let (id, modern) = (self.id(), self.is_modern());
        let version = match &self.operation {
            Operation::Call { call, .. } => call.version,
            Operation::EndSession { .. } | Operation::Listen { .. } => None,
        };
        // MCP 2025-11-25, server/tools, "Error Handling": a model can correct itself only by what it is shown.
        let as_error = !modern && version.is_none_or(|version| version < ProtocolVersion::V2025_11_25);
        let answer = ToolAnswer { modern, text: Some(text), as_error };
        refuse(self.entry, CallReason::ArgumentsRefused, id, None).answering(answer)
    }

    /// Refuses the call for want of scope.
    pub(crate) fn refuse_for_scope(self, needed: &Scope) -> CallError {
        let id = self.id();
        refuse(self.entry, CallReason::ScopeInsufficient, id, Some(needed))
    }
}

fn refuse(entry: Entry, reason: CallReason, id: Option<RequestId>, needed: Option<&Scope>) -> CallError {
    let who = entry.who();
    let access = &who.verdict.access;
    // A token that came this far came by its own scheme.
    let scheme = if access.bound_to.is_some() { Scheme::Dpop } else { Scheme::Bearer };
    let challenge = who.server.challenges().for_reason(&reason, scheme, (Some(&access.scope), needed));
    let error = CallError::new(reason, id, challenge);
    entry.refused(&error);
    error
}

/// GET and DELETE, which only older clients send. One of 2026-07-28 gets 405, unless it opened its session by the
/// old handshake with the new version's name, as some do: then the session tells.
fn read_bodiless(verb: Verb, headers: &HeaderMap) -> Result<Operation, CallReason> {
    let modern = version(headers)?.is_some_and(ProtocolVersion::is_modern);
    let names_a_session = headers.contains_key(&MCP_SESSION_ID);
    if modern && !names_a_session {
        return Err(CallReason::MethodNotAllowed);
    }
    if verb == Verb::Delete {
        return if names_a_session {
            Ok(Operation::EndSession { modern })
        } else {
            Err(CallReason::SessionMissing)
        };
    }
    if !media::accepted(headers).events {
        return Err(CallReason::AcceptUnusable);
    }
    Ok(Operation::Listen { modern })
}

/// MCP 2025-06-18, transports, "Protocol Version Header": an invalid or unsupported version is 400.
fn version(headers: &HeaderMap) -> Result<Option<ProtocolVersion>, CallReason> {
    if !headers.contains_key(&MCP_PROTOCOL_VERSION) {
        return Ok(None);
    }
    media::single(headers, &MCP_PROTOCOL_VERSION)
        .and_then(|value| value.to_str().ok())
        .and_then(ProtocolVersion::parse)
        .map(Some)
        .ok_or(CallReason::VersionUnsupported)
}

async fn read_message<B>(
    headers: &HeaderMap,
    body: B,
    most: usize,
) -> Result<(Operation, Option<Answered>, Bytes), CallReason>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let accepted = media::accepted(headers);
    if !(accepted.json && accepted.events) {
        return Err(CallReason::AcceptUnusable);
    }
    if media::content_type(headers) != Some(Media::Json) {
        return Err(CallReason::ContentTypeUnsupported);
    }
    let arrived = read_body(body, most).await?;
    let call =
        McpCall::read(headers, &arrived).map_err(|refused| CallReason::MessageRefused(Box::new(refused)))?;
    let (answered, body) = match question::take(&call, &arrived) {
        Some((answered, rest)) => (Some(answered), rest),
        None => (None, arrived.clone()),
    };
    Ok((Operation::Call { call, body }, answered, arrived))
}

/// MCP 2026-07-28, transports, "Value Encoding": what is not plain goes as Base64. And each stands once: of two, one reader
/// takes the first and another the last. What says that it is Base64 is Base64, whoever the header is for (RS-101).
fn parameters_are_sound(headers: &HeaderMap, modern: bool) -> bool {
    let plain = |value: &HeaderValue| value.as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~'));
    let mut parameters = headers.keys().filter(|name| name.as_str().starts_with(MCP_PARAM));
    let decodes = |value: &HeaderValue| value.to_str().is_ok_and(|text| decode_name(text.trim()).is_some());
    parameters.all(|name| {
        media::single(headers, name).is_some_and(|value| plain(value) && (!modern || decodes(value)))
    })
}

async fn read_body<B>(body: B, most: usize) -> Result<Bytes, CallReason>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Refused by what it declares, before any of it is read.
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(CallReason::BodyTooLarge);
    }
    match tokio::time::timeout(BODY_TIME, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(CallReason::BodyTooLarge),
        Ok(Err(_)) => Err(CallReason::BodyUnreadable),
        Err(_) => Err(CallReason::BodyTimedOut),
    }
}

#[cfg(test)]
mod tests;
