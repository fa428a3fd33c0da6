//! One definition: its text as the MCP server wrote it, and a fingerprint of what it says.
//!
//! Two texts have one fingerprint if they say the same: white space, the order of members and the spelling of strings do
//! not count, and nothing else is left out. The form that is hashed is that of RFC 8785 but for two things that need
//! only be the same for us: members are sorted by the bytes of their names, and numbers stand as `serde_json` writes them.
//! Must never give a fingerprint to a text that two readers could read in two ways: a member that stands twice.

use std::fmt;
use std::sync::{Arc, OnceLock};

use protocol::mcp::ParameterHeaders;
use protocol::secret::Hash;
use protocol::strict_json::{self, StrictJsonError};
use serde_json::Value;
use thiserror::Error;

use super::schema::{ArgumentSchema, SchemaFlaw};

/// The largest definition that is remembered, in bytes.
pub const LARGEST: usize = 64 * 1024;
/// How deep values may lie in each other.
const DEEPEST: usize = 48;
/// The longest name that is remembered, in bytes. MCP 2025-11-25, "Tool Names", allows 128 characters.
const LONGEST_NAME: usize = 512;

/// A definition that can be remembered.
#[derive(Clone)]
pub struct Definition {
    text: Arc<str>,
    fingerprint: Hash,
    name: String,
    read_only: bool,
    /// Compiled when it is first asked for.
    schema: Arc<OnceLock<Result<ArgumentSchema, SchemaFlaw>>>,
    /// Read when it is first asked for.
    parameters: Arc<OnceLock<Arc<ParameterHeaders>>>,
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Definition {}

/// Why a definition cannot be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// It has no name, or one that no record takes.
    #[error("it has no name that can be remembered")]
    Nameless,
    /// A member stands twice in one object: one reader takes the first, another the last.
    #[error("a member stands twice in it")]
    Repeated,
    /// It is no JSON object.
    #[error("it is no JSON object")]
    Syntax,
    /// Values lie too deep in each other.
    #[error("its values lie too deep in each other")]
    TooDeep,
    /// It is larger than what is remembered.
    #[error("it is larger than 64 KiB")]
    TooLarge,
}

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// [`Unreadable`] if it is not one that can be remembered.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let value = parse(text)?;
        let name = value.get("name").and_then(Value::as_str).filter(|name| is_name(name));
        let name = name.ok_or(Unreadable::Nameless)?.to_owned();
        let read_only = value.pointer("/annotations/readOnlyHint") == Some(&Value::Bool(true));
        let fingerprint = Hash::of(&canonical(&value));
        let (schema, parameters) = (Arc::default(), Arc::default());
        Ok(Self { text: text.into(), fingerprint, name, read_only, schema, parameters })
    }

    /// As the MCP server wrote it.
    #[must_use]
    pub const fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Of what it says.
    #[must_use]
    pub const fn fingerprint(&self) -> Hash {
        self.fingerprint
    }

    /// By which the tool is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it says that the tool changes nothing: `annotations.readOnlyHint`.
    #[must_use]
    pub const fn read_only(&self) -> bool {
        self.read_only
    }

    /// What its arguments must be.
    pub(crate) fn arguments(&self) -> &Result<ArgumentSchema, SchemaFlaw> {
        self.schema.get_or_init(|| ArgumentSchema::of(&self.value()))
    }

    /// Which of its arguments are mirrored into headers. None of a tool that is not shown for what it says of that.
    pub(super) fn parameter_headers(&self) -> &Arc<ParameterHeaders> {
        self.parameters.get_or_init(|| Arc::new(ParameterHeaders::of_tool(&self.text).unwrap_or_default()))
    }

    /// The value that it is.
    #[must_use]
    pub fn value(&self) -> Value {
        // It was read before.
        parse(&self.text).unwrap_or_default()
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition")
            .field("name", &self.name)
            .field("fingerprint", &self.fingerprint)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// Not every record takes NUL in a text (attacks ST-10).
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains('\0')
}

/// The value of a text in which no member stands twice.
pub(super) fn parse(text: &str) -> Result<Value, Unreadable> {
    if text.len() > LARGEST {
        return Err(Unreadable::TooLarge);
    }
    parse_arguments(text)
}

/// The same for arguments, which are bounded elsewhere.
pub(super) fn parse_arguments(text: &str) -> Result<Value, Unreadable> {
    strict_json::object(text.as_bytes(), DEEPEST).map(Value::Object).map_err(|flaw| match flaw {
        StrictJsonError::Malformed | StrictJsonError::NotAnObject => Unreadable::Syntax,
        StrictJsonError::Repeated => Unreadable::Repeated,
        StrictJsonError::TooDeep => Unreadable::TooDeep,
    })
}

/// The form that is hashed.
fn canonical(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            to.push(b'[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    to.push(b',');
                }
                write(item, to);
            }
            to.push(b']');
        }
        Value::Object(members) => {
            // In whatever order the map keeps them.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            to.push(b'{');
            for (place, (name, member)) in members.into_iter().enumerate() {
                if place > 0 {
                    to.push(b',');
                }
                text(name, to);
                to.push(b':');
                write(member, to);
            }
            to.push(b'}');
        }
        Value::String(string) => text(string, to),
        Value::Bool(_) | Value::Null | Value::Number(_) => to.extend_from_slice(value.to_string().as_bytes()),
    }
}

fn text(text: &str, to: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(to, text);
}

#[cfg(test)]
pub(super) mod tests;
