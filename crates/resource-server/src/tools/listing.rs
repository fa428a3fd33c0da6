//! `tools/list` in the name of a caller, page by page, within bounds (MCP server/tools, "Listing Tools").

use std::collections::HashMap;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use protocol::mcp::ProtocolVersion;
use protocol::world::Entropy;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use thiserror::Error;

use super::sse::Events;
use crate::call::{Asked, Operation};
use crate::forward::request;
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
    #[error("the mcp server answers with an error")]
    Refused,
    #[error("the answer is not a list of tools")]
    Malformed,
    #[error("the list is too long")]
    TooLong,
    #[error("the mcp server does not answer")]
    Unanswered,
}

/// The hints of all tools on the list. Where a name stands twice, both must say so.
pub(super) async fn read(
    asked: &Asked,
    session: &Session,
    credentials: &Credentials,
    entropy: &dyn Entropy,
) -> Result<HashMap<String, bool>, Flaw> {
    let mut hints = HashMap::new();
    let mut cursor = None;
    for _ in 0..PAGES {
        let mut chance = [0; 8];
        entropy.fill(&mut chance);
        // In a session of older clients no id may be used twice (MCP 2025-11-25, "Requests").
        let id = format!("sekisho-{:016x}", u64::from_be_bytes(chance));
        let message = message(&id, asked, cursor.take());
        let request = request::build_list(asked, session, credentials.clone(), message);
        let line = asked.who().server.line();
        let answer = line.send(request, asked.who().person.user).await.map_err(|_| Flaw::Unanswered)?;
        let page = page(answer, &id).await?;
        let server = &asked.who().server;
        server.tools().saw(server.settings().tools, page.tools.iter().map(|tool| tool.get()));
        for (name, hint) in page.tools.iter().filter_map(|tool| hint(tool.get())) {
            hints.entry(name).and_modify(|known| *known &= hint).or_insert(hint);
        }
        if hints.len() > TOOLS || hints.keys().map(String::len).sum::<usize>() > NAMES {
            return Err(Flaw::TooLong);
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok(hints),
        }
    }
    Err(Flaw::TooLong)
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
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(default, rename = "readOnlyHint")]
    read_only: bool,
}

/// A tool that cannot be read says nothing of itself.
fn hint(tool: &str) -> Option<(String, bool)> {
    match serde_json::from_str::<Tool>(tool) {
        Ok(tool) => Some((tool.name, tool.annotations.read_only)),
        Err(_) => None,
    }
}

async fn page(answer: Response<Incoming>, id: &str) -> Result<Page, Flaw> {
    if !answer.status().is_success() {
        return Err(Flaw::Refused);
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
