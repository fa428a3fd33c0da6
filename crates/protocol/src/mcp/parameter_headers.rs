//! Which arguments of a tool are mirrored into `Mcp-Param-*` headers: `x-mcp-header` in its input schema (MCP 2026-07-28,
//! Streamable HTTP, "Custom Headers from Tool Parameters"; requirements RS-100 to RS-106). Pure.
//!
//! A tool with one annotation that is against the rules is a tool that no client may show. Names of headers that carry
//! credentials or say where a message goes and ends are against them too (attacks PX-29): the header would be
//! `Mcp-Param-Authorization`, and whoever takes the prefix off has a second opinion of who calls.
//! Must never take what stands in a default, an example or the name of a property for an annotation.

mod values;

use http::HeaderName;
use serde_json::{Map, Value};
use thiserror::Error;

pub use values::ParameterMismatch;

use super::keys::folds_to;
use crate::strict_json;

/// The member of a property's schema that names the header.
const ANNOTATION: &str = "x-mcp-header";
/// What the names of all these headers begin with.
const PREFIX: &str = "mcp-param-";
/// How deep the values of a definition may lie in each other.
const DEEPEST: usize = 48;
/// Annotations of one tool: a request with more headers than these is not read.
const MOST: usize = 64;
/// The longest name, in bytes: with its prefix it stands in a line of a request.
const LONGEST: usize = 128;
/// Headers that carry credentials, or by which a message is delivered or cut off.
const FORBIDDEN: [&str; 15] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "dpop",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why a tool is not to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ParameterHeaderFlaw {
    /// The name is that of a header which carries credentials or frames the message.
    #[error("x-mcp-header names a header that carries credentials or delivers the message")]
    Forbidden,
    /// Something else than a property has it, or one that is not reached by `properties` alone.
    #[error("x-mcp-header stands where no property is reached by `properties` alone")]
    Misplaced,
    /// It is no text, empty, too long, or no token (RFC 9110, section 5.1).
    #[error("x-mcp-header is no name of a header")]
    NoName,
    /// The property is no text, integer or boolean.
    #[error("x-mcp-header is on a property that is no string, integer or boolean")]
    NotPrimitive,
    /// Two properties have one name, letters' case aside.
    #[error("x-mcp-header names one header twice")]
    Repeated,
    /// There are more of them than a request could carry.
    #[error("there are more x-mcp-header than a request could carry")]
    TooMany,
    /// The definition that holds it can be read in two ways, or not at all.
    #[error("the definition that holds x-mcp-header cannot be read in one way")]
    Unreadable,
}

/// One argument that is mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ParameterHeader {
    name: HeaderName,
    /// The properties that lead to it.
    path: Vec<Step>,
}

/// One property on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    property: String,
    /// Other properties of the same schema that a careless reader could take for it.
    alike: Vec<String>,
}

/// The arguments of a tool that are mirrored, in no order that means anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterHeaders(Vec<ParameterHeader>);

impl ParameterHeaders {
    /// What the definition of a tool, as `tools/list` gives it, says of headers. One without annotations is not read.
    ///
    /// # Errors
    /// [`ParameterHeaderFlaw`] if a client must not show it (RS-106).
    pub fn of_tool(definition: &str) -> Result<Self, ParameterHeaderFlaw> {
        if !may_hold_annotation(definition) {
            return Ok(Self::default());
        }
        let tool = strict_json::object(definition.as_bytes(), DEEPEST)
            .map_err(|_| ParameterHeaderFlaw::Unreadable)?;
        let mut found = Finding::default();
        if let Some(schema) = tool.get("inputSchema") {
            found.schema(schema, true)?;
        }
        Ok(Self(found.headers))
    }

    /// Whether nothing is mirrored.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// About how many bytes they take.
    #[must_use]
    pub fn weight(&self) -> usize {
        let step = |step: &Step| step.property.len() + step.alike.iter().map(String::len).sum::<usize>() + 64;
        self.0.iter().map(|it| it.name.as_str().len() + it.path.iter().map(step).sum::<usize>() + 64).sum()
    }
}

/// Whether the text may hold the annotation: as it is, or with one of its letters as an escape. Most texts hold neither,
/// and are not read for it.
fn may_hold_annotation(text: &str) -> bool {
    let is_escaped = |rest: &str| matches!(rest.as_bytes(), [b'2' | b'6' | b'7', ..]);
    text.contains(ANNOTATION) || text.split("\\u00").skip(1).any(is_escaped)
}

#[derive(Default)]
struct Finding {
    headers: Vec<ParameterHeader>,
    /// The properties that lead to where we are.
    way: Vec<Step>,
}

impl Finding {
    /// Looks through a schema; `reached` if `properties` alone lead to it.
    fn schema(&mut self, schema: &Value, reached: bool) -> Result<(), ParameterHeaderFlaw> {
        let Value::Object(members) = schema else { return Ok(()) };
        if let Some(name) = members.get(ANNOTATION) {
            if !reached || self.way.is_empty() {
                return Err(ParameterHeaderFlaw::Misplaced);
            }
            self.take(name, members)?;
        }
        for (keyword, value) in members {
            match (keyword.as_str(), value) {
                // Values, not schemas.
                (ANNOTATION | "const" | "default" | "enum" | "example" | "examples", _) => {}
                ("properties", Value::Object(properties)) => self.properties(properties, reached)?,
                // Their members are names, not keywords.
                (
                    "$defs" | "definitions" | "dependencies" | "dependentSchemas" | "patternProperties",
                    Value::Object(named),
                ) => named.values().try_for_each(|inner| self.schema(inner, false))?,
                (_, Value::Array(all)) => all.iter().try_for_each(|inner| self.schema(inner, false))?,
                (_, inner) => self.schema(inner, false)?,
            }
        }
        Ok(())
    }

    fn properties(
        &mut self,
        properties: &Map<String, Value>,
        reached: bool,
    ) -> Result<(), ParameterHeaderFlaw> {
        for (property, schema) in properties {
            let others = properties.keys().filter(|other| *other != property && folds_to(other, property));
            let alike = others.cloned().collect();
            self.way.push(Step { property: property.clone(), alike });
            self.schema(schema, reached)?;
            self.way.pop();
        }
        Ok(())
    }

    fn take(&mut self, name: &Value, schema: &Map<String, Value>) -> Result<(), ParameterHeaderFlaw> {
        let name = name.as_str().filter(|name| is_token(name)).ok_or(ParameterHeaderFlaw::NoName)?;
        let name = name.to_ascii_lowercase();
        if FORBIDDEN.contains(&name.as_str()) {
            return Err(ParameterHeaderFlaw::Forbidden);
        }
        if !is_primitive(schema.get("type")) {
            return Err(ParameterHeaderFlaw::NotPrimitive);
        }
        let name = HeaderName::try_from([PREFIX, &name].concat()).map_err(|_| ParameterHeaderFlaw::NoName)?;
        if self.headers.iter().any(|known| known.name == name) {
            return Err(ParameterHeaderFlaw::Repeated);
        }
        if self.headers.len() == MOST {
            return Err(ParameterHeaderFlaw::TooMany);
        }
        self.headers.push(ParameterHeader { name, path: self.way.clone() });
        Ok(())
    }
}

/// `1*tchar` (RFC 9110, section 5.6.2).
fn is_token(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_letter)
}

/// One of the three types that may be mirrored, or that one beside `null`, for which no header stands.
fn is_primitive(kind: Option<&Value>) -> bool {
    let is_one = |kind: &Value| matches!(kind.as_str(), Some("boolean" | "integer" | "string"));
    match kind {
        Some(Value::Array(kinds)) => {
            let (nulls, others): (Vec<_>, Vec<_>) = kinds.iter().partition(|kind| *kind == "null");
            nulls.len() <= 1 && matches!(others.as_slice(), [only] if is_one(only))
        }
        Some(kind) => is_one(kind),
        None => false,
    }
}

#[cfg(test)]
mod tests;
