//! The input schema of a definition, held against the arguments of a call (MCP server/tools, "Tool"; JSON Schema 2020-12).
//! Pure.
//!
//! Schema and arguments both come from strangers, so both are bounded: no schema that refers outside of itself
//! (requirements RS-191) or comes back to itself, none that unfolds to more than [`MOST_NODES`], patterns of an engine that
//! never backtracks, and no call in which schema and arguments together are more than [`MOST_WORK`].
//! Must never say anything of the values of arguments, nor name a member that the schema does not name.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};
use thiserror::Error;

/// Places that a schema may have with all that it refers to unfolded.
const MOST_NODES: usize = 2_000;
/// How deep they may lie in each other.
const DEEPEST: usize = 64;
/// Places of the schema times what is held against them: values in the arguments, and their letters, so many of which are
/// looked at in the time of a value.
const MOST_WORK: usize = 2_000_000;
const LETTERS: usize = 32;
/// Patterns that a schema may have, and bytes that each may be compiled to.
const MOST_PATTERNS: usize = 50;
const LARGEST_PATTERN: usize = 32 * 1024;
/// The same of a schema of few patterns: `\p{L}` alone is more than the above. Each place counts for so much more then.
const FEW_PATTERNS: usize = 6;
const WIDER: usize = 8;

/// Why no arguments can be held against a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SchemaFlaw {
    /// It refers to something that is not in it, or by another way than from its root.
    #[error("it refers to something outside of itself")]
    External,
    /// It is no schema that is understood, or has a pattern that is not.
    #[error("it is no JSON Schema that is understood, or holds a pattern that is not")]
    NotUnderstood,
    /// It comes back to itself.
    #[error("it comes back to itself")]
    Recursive,
    /// It is too large when unfolded.
    #[error("it is too large")]
    TooLarge,
}

/// What the arguments of a tool must be.
#[derive(Debug)]
pub struct ArgumentSchema {
    validator: Validator,
    nodes: usize,
}

/// Why arguments are refused: a sentence for the model, in words of the schema alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentsRefused(pub String);

impl ArgumentSchema {
    /// The input schema of a definition.
    ///
    /// # Errors
    /// [`SchemaFlaw`] if nothing can be held against it.
    pub fn of(definition: &Value) -> Result<Self, SchemaFlaw> {
        let anything = Value::Object(Map::new());
        let schema = definition.get("inputSchema").unwrap_or(&anything);
        let mut unfolding = Unfolding { root: schema, way: Vec::new(), nodes: 0, patterns: 0 };
        unfolding.schema(schema, 0)?;
        // MCP 2025-11-25, "JSON Schema Usage": 2020-12 unless `$schema` says otherwise, as the crate has it.
        let build = |largest: usize| {
            let patterns = PatternOptions::regex().size_limit(largest).dfa_size_limit(largest);
            let options = jsonschema::options().offline().should_validate_formats(false);
            options.with_pattern_options(patterns).build(schema).map_err(|_| SchemaFlaw::NotUnderstood)
        };
        let nodes = unfolding.nodes;
        match build(LARGEST_PATTERN) {
            Err(_) if (1..=FEW_PATTERNS).contains(&unfolding.patterns) => {
                Ok(Self { validator: build(LARGEST_PATTERN * WIDER)?, nodes: nodes.saturating_mul(WIDER) })
            }
            built => Ok(Self { validator: built?, nodes }),
        }
    }

    /// Whether the arguments are what the schema says. They are given as they were written; none are an empty object.
    ///
    /// # Errors
    /// [`ArgumentsRefused`] if they are not.
    pub fn check(&self, arguments: Option<&str>) -> Result<(), ArgumentsRefused> {
        let refused = |text: &str| ArgumentsRefused(text.to_owned());
        let text = arguments.unwrap_or("{}");
        let values = text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() + 1;
        if (values + text.len() / LETTERS).saturating_mul(self.nodes.max(1)) > MOST_WORK {
            return Err(refused("The arguments are too large to be checked."));
        }
        let Ok(value) = super::canonical::parse_arguments(text) else {
            return Err(refused("The arguments are no JSON object in which each member stands once."));
        };
        match self.validator.validate(&value) {
            Ok(()) => Ok(()),
            Err(error) => Err(ArgumentsRefused(words(&error))),
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's; for the rest the keyword says enough")]
fn words(error: &ValidationError<'_>) -> String {
    let place = place(error.evaluation_path().as_str());
    let what = match error.kind() {
        ValidationErrorKind::AdditionalProperties { .. }
        | ValidationErrorKind::UnevaluatedProperties { .. } => {
            "has members that the tool does not know".to_owned()
        }
        ValidationErrorKind::Required { property } => match property.as_str() {
            Some(name) => format!("lacks `{name}`"),
            None => "lacks a member".to_owned(),
        },
        ValidationErrorKind::Type { .. } => "is of another type".to_owned(),
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::Constant { .. } => {
            "is none of the values that it may be".to_owned()
        }
        ValidationErrorKind::Minimum { limit } => format!("is less than {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("is more than {limit}"),
        ValidationErrorKind::MinLength { limit } => format!("is shorter than {limit}"),
        ValidationErrorKind::MaxLength { limit } => format!("is longer than {limit}"),
        ValidationErrorKind::MinItems { limit } => format!("has fewer than {limit} items"),
        ValidationErrorKind::MaxItems { limit } => format!("has more than {limit} items"),
        other => format!("does not fit `{}`", other.keyword()),
    };
    format!("The arguments are not what the tool takes: {place} {what}.")
}

/// Where in the arguments, in names of the schema.
fn place(path: &str) -> String {
    let mut place = String::new();
    let mut steps = path.split('/').skip(1);
    while let Some(step) = steps.next() {
        match step {
            "properties" => {
                let name = steps.next().unwrap_or_default().replace("~1", "/").replace("~0", "~");
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(&name);
            }
            "items" | "prefixItems" => place.push_str("[]"),
            _ => {}
        }
    }
    if place.is_empty() { "the whole".to_owned() } else { format!("`{place}`") }
}

/// Counts what a schema is with all that it refers to.
struct Unfolding<'s> {
    root: &'s Value,
    /// What is being unfolded.
    way: Vec<&'s str>,
    nodes: usize,
    patterns: usize,
}

impl<'s> Unfolding<'s> {
    const fn count(&mut self, places: usize) -> Result<(), SchemaFlaw> {
        self.nodes = self.nodes.saturating_add(places);
        if self.nodes > MOST_NODES { Err(SchemaFlaw::TooLarge) } else { Ok(()) }
    }

    fn schema(&mut self, schema: &'s Value, depth: usize) -> Result<(), SchemaFlaw> {
        self.count(1)?;
        if depth > DEEPEST {
            return Err(SchemaFlaw::TooLarge);
        }
        let Value::Object(members) = schema else { return Ok(()) };
        // Each of these is held against the value by itself.
        for keyword in ["enum", "required"] {
            self.count(members.get(keyword).and_then(Value::as_array).map_or(0, Vec::len))?;
        }
        let named = members.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
        self.patterns += named + usize::from(members.contains_key("pattern"));
        if self.patterns > MOST_PATTERNS {
            return Err(SchemaFlaw::TooLarge);
        }
        for (keyword, value) in members {
            match keyword.as_str() {
                "$ref" => self.refer(value, depth)?,
                "$dynamicRef" | "$recursiveRef" => return Err(SchemaFlaw::Recursive),
                // Below it what is referred to would be looked for elsewhere.
                "$id" | "id" if depth > 0 && value.is_string() => return Err(SchemaFlaw::External),
                // Values, not schemas; and what counts only where it is referred to.
                "const" | "default" | "enum" | "examples" | "$defs" | "definitions" => {}
                "properties" | "patternProperties" | "dependentSchemas" | "dependencies" => {
                    for inner in value.as_object().into_iter().flat_map(Map::values) {
                        self.schema(inner, depth + 1)?;
                    }
                }
                _ => match value {
                    Value::Array(all) => {
                        for inner in all.iter().filter(|inner| inner.is_object()) {
                            self.schema(inner, depth + 1)?;
                        }
                    }
                    Value::Object(_) => self.schema(value, depth + 1)?,
                    Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
                },
            }
        }
        Ok(())
    }

    fn refer(&mut self, to: &'s Value, depth: usize) -> Result<(), SchemaFlaw> {
        let to = to.as_str().ok_or(SchemaFlaw::NotUnderstood)?;
        let pointer = to.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        let pointer = pointer.filter(|pointer| !pointer.contains('%')).ok_or(SchemaFlaw::External)?;
        if pointer.is_empty() || self.way.contains(&pointer) {
            return Err(SchemaFlaw::Recursive);
        }
        let target = self.root.pointer(pointer).ok_or(SchemaFlaw::External)?;
        self.way.push(pointer);
        self.schema(target, depth + 1)?;
        self.way.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(input: &Value) -> Result<ArgumentSchema, SchemaFlaw> {
        ArgumentSchema::of(&json!({ "name": "a", "inputSchema": input }))
    }

    fn said(input: &Value, arguments: &str) -> String {
        match schema(input).unwrap().check(Some(arguments)) {
            Ok(()) => String::new(),
            Err(ArgumentsRefused(text)) => {
                let said = text.strip_prefix("The arguments are not what the tool takes: ");
                said.map_or(text.clone(), str::to_owned)
            }
        }
    }

    #[test]
    fn arguments_are_refused_in_words_of_the_schema_alone() {
        let input = json!({
            "type": "object",
            "properties": {
                "to": { "type": "array", "items": { "$ref": "#/$defs/person" } },
                "when": { "enum": ["now", "later"] },
                "count": { "type": "integer", "minimum": 1 },
                "code": { "type": "string", "pattern": "^[a-z]{3}$" },
            },
            "required": ["to"],
            "additionalProperties": false,
            "$defs": { "person": { "type": "object", "properties": { "name": { "type": "string" } } } },
        });
        for (arguments, expected) in [
            (r#"{"to":[]}"#, ""),
            (r#"{"to":[{"name":"secret"}],"when":"now","count":1,"code":"abc"}"#, ""),
            ("{}", "the whole lacks `to`."),
            (r#"{"to":"secret"}"#, "`to` is of another type."),
            (r#"{"to":[{"name":["secret"]}]}"#, "`to[].name` is of another type."),
            (r#"{"to":[],"when":"secret"}"#, "`when` is none of the values that it may be."),
            (r#"{"to":[],"count":0}"#, "`count` is less than 1."),
            (r#"{"to":[],"code":"secret"}"#, "`code` does not fit `pattern`."),
            (r#"{"to":[],"secret":1}"#, "the whole has members that the tool does not know."),
            (r#"["secret"]"#, "The arguments are no JSON object in which each member stands once."),
            (
                r#"{"to":[],"to":"secret"}"#,
                "The arguments are no JSON object in which each member stands once.",
            ),
            ("", "The arguments are no JSON object in which each member stands once."),
        ] {
            let said = said(&input, arguments);
            assert_eq!(said, expected, "{arguments}");
            assert!(!said.contains("secret"));
        }
        let lacking = schema(&json!({ "required": ["a"] })).unwrap().check(None).unwrap_err();
        assert!(lacking.0.contains("lacks `a`"), "{lacking:?}");
        ArgumentSchema::of(&json!({ "name": "a" })).unwrap().check(Some(r#"{"any":1}"#)).unwrap();
    }

    /// What is held against a value one by one counts one by one, and so does the length of a text.
    #[test]
    fn what_would_take_long_is_not_begun() {
        let numbers = |most: u32| (0..most).collect::<Vec<_>>();
        let list = |most| json!({ "properties": { "a": { "items": { "enum": numbers(most) } } } });
        assert_eq!(schema(&list(3000)).err(), Some(SchemaFlaw::TooLarge));
        assert_eq!(said(&list(1000), r#"{"a":[7]}"#), "");
        let many = format!(r#"{{"a":[{}]}}"#, vec!["999"; 4000].join(","));
        assert_eq!(said(&list(1000), &many), "The arguments are too large to be checked.");
        let patterns = |most: u32| {
            let all: Vec<_> = (0..most).map(|number| json!({ "pattern": format!("a{number}") })).collect();
            json!({ "properties": { "a": { "anyOf": all } } })
        };
        assert_eq!(schema(&patterns(51)).err(), Some(SchemaFlaw::TooLarge));
        assert_eq!(said(&patterns(50), r#"{"a":"a7"}"#), "");
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(4 << 20));
        assert_eq!(said(&patterns(50), &long), "The arguments are too large to be checked.");
    }

    #[test]
    fn a_schema_that_has_no_bounds_is_not_held_against_anything() {
        let doubling: Map<String, Value> = (0..20)
            .map(|number| {
                let next = json!({ "$ref": format!("#/$defs/d{}", number + 1) });
                (format!("d{number}"), json!({ "anyOf": [next, next] }))
            })
            .chain([("d20".to_owned(), json!(true))])
            .collect();
        let deep = (0..70).fold(json!(true), |inner, _| json!({ "not": inner }));
        for (input, flaw) in [
            (json!({ "$ref": "#" }), SchemaFlaw::Recursive),
            (
                json!({ "properties": { "a": { "$ref": "#/$defs/a" } }, "$defs": { "a": { "items": { "$ref": "#/$defs/a" } } } }),
                SchemaFlaw::Recursive,
            ),
            (json!({ "$dynamicRef": "#a" }), SchemaFlaw::Recursive),
            (json!({ "$ref": "https://example.com/schema.json" }), SchemaFlaw::External),
            (json!({ "$ref": "file:///etc/passwd" }), SchemaFlaw::External),
            (json!({ "$ref": "other.json" }), SchemaFlaw::External),
            (json!({ "$ref": "#anchor" }), SchemaFlaw::External),
            (json!({ "$ref": "#/$defs/none" }), SchemaFlaw::External),
            (json!({ "items": { "$id": "http://127.0.0.1/x", "$ref": "#/a" } }), SchemaFlaw::External),
            (json!({ "$schema": "https://example.com/my-schema" }), SchemaFlaw::NotUnderstood),
            (json!({ "type": "nonsense" }), SchemaFlaw::NotUnderstood),
            (json!({ "pattern": "(" }), SchemaFlaw::NotUnderstood),
            (json!({ "pattern": "(?=a)b" }), SchemaFlaw::NotUnderstood),
            (json!({ "pattern": "((a{100}){100}){100}" }), SchemaFlaw::NotUnderstood),
            (json!({ "$ref": "#/$defs/d0", "$defs": doubling }), SchemaFlaw::TooLarge),
            (deep, SchemaFlaw::TooLarge),
        ] {
            assert_eq!(schema(&input).err(), Some(flaw), "{input}");
        }
    }

    /// Of ECMA-262, with the flag `u` (JSON Schema 2020-12, section 6.3.3).
    #[test]
    fn letters_of_all_scripts_are_a_pattern() {
        for pattern in
            [r"^\p{L}+$", r"^\p{Letter}+$", r"^[\p{L}\p{N}]+$", r"^\p{Lu}\p{Ll}*$|^\p{Script=Han}+$"]
        {
            let input = json!({ "properties": { "a": { "type": "string", "pattern": pattern } } });
            for (name, expected) in [("Ådne", ""), ("関所", ""), ("a b", "`a` does not fit `pattern`.")] {
                assert_eq!(said(&input, &json!({ "a": name }).to_string()), expected, "{pattern} {name}");
            }
        }
        let many: Vec<_> = (0..7).map(|_| json!({ "pattern": r"\p{L}" })).collect();
        assert_eq!(schema(&json!({ "anyOf": many })).err(), Some(SchemaFlaw::NotUnderstood));
    }

    #[test]
    fn an_argument_may_be_called_as_a_keyword_is() {
        let input = json!({ "properties": { "$ref": { "type": "string" }, "$id": { "type": "integer" } } });
        assert_eq!(said(&input, r#"{"$ref":"x","$id":1}"#), "");
        assert_eq!(said(&input, r#"{"$ref":1}"#), "`$ref` is of another type.");
    }

    #[test]
    fn a_pattern_that_others_take_for_ever_for_costs_nothing() {
        let input = json!({ "properties": { "a": { "pattern": "^(a+)+$" } } });
        let arguments = format!(r#"{{"a":"{}!"}}"#, "a".repeat(100_000));
        assert_eq!(said(&input, &arguments), "`a` does not fit `pattern`.");
    }

    #[test]
    fn arguments_that_would_take_too_long_are_refused() {
        let any: Vec<Value> = (0..200).map(|number| json!({ "const": number })).collect();
        let input = json!({ "properties": { "a": { "items": { "anyOf": any } } } });
        let arguments = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(100_000));
        assert_eq!(said(&input, &arguments), "The arguments are too large to be checked.");
    }
}
