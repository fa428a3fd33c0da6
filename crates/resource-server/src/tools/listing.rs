//! `tools/list` in the name of a caller, page by page, within bounds (MCP server/tools, "Listing Tools").

use std::collections::HashMap;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use protocol::mcp::{ParameterHeaders, ProtocolVersion};
use protocol::secret::Hash;
use protocol::world::Entropy;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use thiserror::Error;

use super::sse::Events;
use crate::call::{Asked, Operation};
use crate::definitions::{Definition, ToolsMode};
use crate::forward::request;
use crate::lists::{Item, List};
use crate::media::{Media, content_type};
use crate::session::Session;
use crate::vault::credential::Credentials;

const PAGES: usize = 10;
/// Bytes of one page.
const PAGE: usize = 2 * 1024 * 1024;
const TOOLS: usize = 10_000;
/// Bytes of all names: so that no one list fills the memory of all people's.
const NAMES: usize = 512 * 1024;

/// Why there is no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Flaw {
    #[error("the mcp server lets nobody in with this credential")]
    Forbidden,
    #[error("the mcp server answers with an error")]
    Refused,
    #[error("the answer is not a list of tools")]
    Malformed,
    #[error("the list is too long")]
    TooLong,
    #[error("the mcp server does not take the credential")]
    Unauthorized,
    #[error("the mcp server does not answer")]
    Unanswered,
}

/// What a tool says of itself to one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    /// Whether it says that it changes nothing.
    pub(crate) read_only: bool,
    /// Of its definition, where definitions are accepted; none, if the list says two things of it.
    pub(crate) fingerprint: Option<Hash>,
}

/// What all tools on the list say. Where a name stands twice, both must say so. What cannot be remembered is not believed:
/// nobody could tell later that it says something else.
pub(super) async fn read(
    asked: &Asked,
    session: &Session,
    credentials: &Credentials,
    entropy: &dyn Entropy,
) -> Result<HashMap<String, Said>, Flaw> {
    let server = &asked.who().server;
    let mode = server.settings().tools;
    let (mut all, mut tools) = (HashMap::new(), Vec::new());
    let mut cursor = None;
    for _ in 0..PAGES {
        let mut chance = [0; 8];
        entropy.fill(&mut chance);
        // In a session of older clients no id may be used twice (MCP 2025-11-25, "Requests").
        let id = format!("sekisho-{:016x}", u64::from_be_bytes(chance));
        let message = message(&id, asked, cursor.take());
        let request = request::build_list(asked, session, credentials.clone(), message);
        let answer = server.line().send(request, asked.who().person.user).await;
        let page = page(answer.map_err(|_| Flaw::Unanswered)?, &id).await?;
        for (name, said) in page.tools.iter().filter_map(|tool| said(tool.get(), mode)) {
            all.entry(name).and_modify(|known: &mut Said| known.beside(said)).or_insert(said);
        }
        if !has_room(all.keys()) {
            return Err(Flaw::TooLong);
        }
        tools.extend(page.tools);
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => {
                // The whole of it: what stands on two pages stands twice.
                server.tools().saw(mode, tools.iter().map(|tool| tool.get()));
                return Ok(all);
            }
        }
    }
    Err(Flaw::TooLong)
}

/// Whether so many names are remembered of one person's list.
pub(super) fn has_room<'n>(names: impl ExactSizeIterator<Item = &'n String>) -> bool {
    names.len() <= TOOLS && names.map(String::len).sum::<usize>() <= NAMES
}

fn message(id: &str, asked: &Asked, cursor: Option<String>) -> Bytes {
    let mut params = serde_json::Map::new();
    if let Some(cursor) = cursor {
        params.insert("cursor".to_owned(), Value::String(cursor));
    }
    if asked.is_modern() {
        let version = match &asked.operation {
            Operation::Call { call, .. } => call.version,
            Operation::EndSession { .. } | Operation::Listen { .. } => None,
        };
        // MCP 2026-07-28, "_meta": both must be there.
        params.insert(
            "_meta".to_owned(),
            json!({
                "io.modelcontextprotocol/protocolVersion": version.map(ProtocolVersion::as_str),
                "io.modelcontextprotocol/clientCapabilities": {},
            }),
        );
    }
    Bytes::from(json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list", "params": params }).to_string())
}

#[derive(Debug, Deserialize)]
struct Page {
    tools: Vec<Box<RawValue>>,
    #[serde(default, rename = "nextCursor")]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    result: Option<Page>,
}

#[derive(Deserialize)]
struct Tool {
    name: String,
}

impl Said {
    /// The same tool stands on the list once more, and says this.
    fn beside(&mut self, other: Self) {
        self.read_only &= other.read_only;
        if self.fingerprint != other.fingerprint {
            self.fingerprint = None;
        }
    }
}

/// A tool that cannot be read says nothing of itself, and one whose name cannot be read is none.
fn said(tool: &str, mode: ToolsMode) -> Option<(String, Said)> {
    let Ok(definition) = Definition::read(tool) else {
        let tool: Tool = serde_json::from_str(tool).ok()?;
        return Some((tool.name, Said { read_only: false, fingerprint: None }));
    };
    let fingerprint = match mode {
        ToolsMode::Approve => Some(definition.fingerprint()),
        ToolsMode::Follow => None,
    };
    // What no client may show is not believed either, nor what another reader could see otherwise (attacks PX-15).
    let is_plain = || Item::read(List::Tools, tool).is_some_and(|item| item.read_only);
    let read_only = definition.read_only() && is_plain() && ParameterHeaders::of_tool(tool).is_ok();
    Some((definition.name().to_owned(), Said { read_only, fingerprint }))
}

async fn page(answer: Response<Incoming>, id: &str) -> Result<Page, Flaw> {
    match answer.status() {
        status if status.is_success() => {}
        StatusCode::FORBIDDEN => return Err(Flaw::Forbidden),
        StatusCode::UNAUTHORIZED => return Err(Flaw::Unauthorized),
        _ => return Err(Flaw::Refused),
    }
    match content_type(answer.headers()) {
        Some(Media::Events) => from_events(answer.into_body(), id).await,
        Some(Media::Json) => from_json(answer.into_body(), id).await,
        None => Err(Flaw::Malformed),
    }
}

async fn from_json(body: Incoming, id: &str) -> Result<Page, Flaw> {
    let body = Limited::new(body, PAGE).collect().await.map_err(|_| Flaw::TooLong)?;
    let answer: Answer = serde_json::from_slice(&body.to_bytes()).map_err(|_| Flaw::Malformed)?;
    if answer.id != id {
        return Err(Flaw::Malformed);
    }
    answer.result.ok_or(Flaw::Refused)
}

/// Up to the answer, and no further: the stream may stay open. What else comes on it is not for us.
async fn from_events(mut body: Incoming, id: &str) -> Result<Page, Flaw> {
    let mut events = Events::default();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Flaw::Unanswered)?.into_data() else { continue };
        read += data.len();
        if read > PAGE {
            return Err(Flaw::TooLong);
        }
        for event in events.push(&data) {
            if let Ok(answer) = serde_json::from_slice::<Answer>(&event)
                && answer.id == id
            {
                return answer.result.ok_or(Flaw::Refused);
            }
        }
    }
    Err(Flaw::Malformed)
}
