//! What MCP servers say of their tools: of each tool the definition that counts, and the one that waits until somebody
//! accepts it.
//!
//! All that is known of one MCP server has a generation. Whoever changes something of it names the generation that they
//! read, and of two who do so one comes too late: so what a change was judged by is what it is made to. What is known is
//! written only when it changes. Must never judge a definition: texts and fingerprints are handed in.

use protocol::secret::Hash;
use protocol::world::Timestamp;

use crate::codec::Decoder;
use crate::engine::{Engine, Row, Step, Value, Write, Written, params};
use crate::statements::statement_list;
use crate::{Answer, AuditEvent, StoreError, audit_events};

/// A definition as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenDefinition {
    /// As the MCP server wrote it.
    pub text: String,
    /// Of what it says.
    pub fingerprint: Hash,
    /// When it was first seen.
    pub seen_at: Timestamp,
}

/// The definition that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedDefinition {
    /// The definition.
    pub definition: SeenDefinition,
    /// From when on.
    pub at: Timestamp,
    /// By whom.
    pub by: AcceptedBy,
}

/// By whom a definition was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptedBy {
    /// By nobody: the MCP server is set to be followed.
    Following,
    /// By an operator.
    Operator,
}

impl AcceptedBy {
    const ALL: [Self; 2] = [Self::Following, Self::Operator];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Following => "following",
            Self::Operator => "operator",
        }
    }
}

/// What is known of one tool. At least one of the two definitions is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRecord {
    /// By which it is called.
    pub tool: String,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// What counts; nothing if none was ever accepted.
    pub accepted: Option<AcceptedDefinition>,
    /// What waits.
    pub waiting: Option<SeenDefinition>,
}

/// What is known of the tools of one MCP server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolList {
    /// Of all of it; 0 if nothing was ever written.
    pub generation: u64,
    /// In the order of their names.
    pub tools: Vec<ToolRecord>,
}

/// A change of what is known of the tools of one MCP server.
#[derive(Debug, Clone)]
pub struct ToolChange {
    /// By our name.
    pub server: String,
    /// The generation that it was judged by.
    pub generation: u64,
    /// What is known from now on of these tools.
    pub put: Vec<ToolRecord>,
    /// Tools of which nothing is known from now on.
    pub forget: Vec<String>,
    /// What is written down of it.
    pub audit: Vec<AuditEvent>,
}

/// The definitions in the record.
pub trait ToolDefinitions: Send + Sync {
    /// The generation of every MCP server of whose tools anything was ever known.
    fn list_tool_generations(&self) -> Answer<'_, Vec<(String, u64)>>;

    /// What is known of the tools of an MCP server. If it is changed meanwhile, the generation is the one before.
    fn list_tools<'a>(&'a self, server: &'a str) -> Answer<'a, ToolList>;

    /// Makes a change, whole. Whether what is known still had the generation that it was judged by; if not, nothing was
    /// written.
    fn change_tools(&self, change: ToolChange) -> Answer<'_, bool>;
}

statement_list! {
    GENERATIONS = "SELECT server, generation FROM tool_lists ORDER BY server";
    GENERATION = "SELECT server, generation FROM tool_lists WHERE server = $1";
    BEGIN = "INSERT INTO tool_lists (server, generation) VALUES ($1, 1) ON CONFLICT (server) DO NOTHING";
    ADVANCE = "UPDATE tool_lists SET generation = generation + 1 WHERE server = $1 AND generation = $2";
    LIST = "SELECT tool, first_seen_at, fingerprint, definition, seen_at, accepted_at, accepted_by, \
        waiting_fingerprint, waiting_definition, waiting_seen_at FROM tool_definitions \
        WHERE server = $1 ORDER BY tool";
    FORGET = "DELETE FROM tool_definitions WHERE server = $1 AND tool = $2";
    PUT = "INSERT INTO tool_definitions (server, tool, first_seen_at, fingerprint, definition, seen_at, accepted_at, \
        accepted_by, waiting_fingerprint, waiting_definition, waiting_seen_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (server, tool) DO UPDATE SET \
        first_seen_at = excluded.first_seen_at, fingerprint = excluded.fingerprint, \
        definition = excluded.definition, seen_at = excluded.seen_at, accepted_at = excluded.accepted_at, \
        accepted_by = excluded.accepted_by, waiting_fingerprint = excluded.waiting_fingerprint, \
        waiting_definition = excluded.waiting_definition, waiting_seen_at = excluded.waiting_seen_at";
}

impl ToolDefinitions for Engine {
    fn list_tool_generations(&self) -> Answer<'_, Vec<(String, u64)>> {
        Box::pin(async move {
            self.few(GENERATIONS, params![]).await?.into_iter().map(decode_generation).collect()
        })
    }

    fn list_tools<'a>(&'a self, server: &'a str) -> Answer<'a, ToolList> {
        Box::pin(async move {
            // Read first: what is newer than it makes whoever changes something come too late, and read again.
            let generation =
                self.one(GENERATION, params![server]).await?.map(decode_generation).transpose()?;
            let rows = self.many(LIST, params![server]).await?;
            Ok(ToolList {
                generation: generation.map_or(0, |(_, generation)| generation),
                tools: rows.into_iter().map(decode).collect::<Result<_, _>>()?,
            })
        })
    }

    fn change_tools(&self, change: ToolChange) -> Answer<'_, bool> {
        Box::pin(async move {
            let server = change.server.as_str();
            let mut steps = vec![match change.generation {
                0 => Step::one(BEGIN, params![server]),
                known => {
                    let known = i64::try_from(known).map_err(StoreError::unavailable)?;
                    Step::one(ADVANCE, params![server, known])
                }
            }];
            let forget = change.forget.iter();
            steps.extend(forget.map(|tool| Step::at_most_one(FORGET, params![server, tool.as_str()])));
            steps.extend(change.put.into_iter().map(|tool| put(server, tool)));
            audit_events::push_all(&mut steps, &change.audit)?;
            // Up to thousands of tools, and nobody's request waits for it.
            Ok(matches!(self.write(Write::new(steps).long()).await?, Written::Done(_)))
        })
    }
}

fn put(server: &str, tool: ToolRecord) -> Step {
    let mut row = params![server, tool.tool, tool.first_seen_at];
    let (by, at) = tool.accepted.as_ref().map(|accepted| (accepted.by.as_str(), accepted.at)).unzip();
    seen(tool.accepted.map(|accepted| accepted.definition), &mut row);
    row.extend(params![at, by]);
    seen(tool.waiting, &mut row);
    Step::one(PUT, row)
}

fn seen(definition: Option<SeenDefinition>, row: &mut Vec<Value>) {
    match definition {
        Some(SeenDefinition { text, fingerprint, seen_at }) => {
            row.extend(params![fingerprint, text, seen_at])
        }
        None => row.extend([Value::Null, Value::Null, Value::Null]),
    }
}

fn decode_generation(row: Row) -> Result<(String, u64), StoreError> {
    let mut row = Decoder::new("tool_lists", row);
    Ok((row.text("server")?, row.count("generation")?))
}

fn decode(row: Row) -> Result<ToolRecord, StoreError> {
    let mut row = Decoder::new("tool_definitions", row);
    let tool = row.text("tool")?;
    let first_seen_at = row.time("first_seen_at")?;
    let definition = decode_seen(&mut row, ["fingerprint", "definition", "seen_at"])?;
    let at = row.opt_time("accepted_at")?;
    let by = row.opt_parsed("accepted_by", |text| {
        AcceptedBy::ALL.into_iter().find(|by| by.as_str() == text).ok_or(())
    })?;
    let accepted = match (definition, at, by) {
        (Some(definition), Some(at), Some(by)) => Some(AcceptedDefinition { definition, at, by }),
        (None, None, None) => None,
        (_, _, _) => return Err(row.corrupt("accepted_at")),
    };
    let waiting = decode_seen(&mut row, ["waiting_fingerprint", "waiting_definition", "waiting_seen_at"])?;
    if accepted.is_none() && waiting.is_none() {
        return Err(row.corrupt("definition"));
    }
    Ok(ToolRecord { tool, first_seen_at, accepted, waiting })
}

fn decode_seen(
    row: &mut Decoder,
    [fingerprint, text, seen_at]: [&'static str; 3],
) -> Result<Option<SeenDefinition>, StoreError> {
    match (row.opt_hash(fingerprint)?, row.opt_text(text)?, row.opt_time(seen_at)?) {
        (Some(fingerprint), Some(text), Some(seen_at)) => {
            Ok(Some(SeenDefinition { text, fingerprint, seen_at }))
        }
        (None, None, None) => Ok(None),
        (_, _, _) => Err(row.corrupt(text)),
    }
}
