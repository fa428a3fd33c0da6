//! The declared types of arguments, read once when the files are loaded, so that no schema is asked at a call.
//!
//! Must never take a value that the schema would not: what cannot be told here is left to the schema.

use std::collections::BTreeMap;

use cedar_policy::RestrictedExpression;
use serde_json::{Map, Value};

use super::arguments::Unfit;

/// The whole of the arguments.
const ARGUMENTS: &str = "Arguments";

/// A declared type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    Boolean,
    /// What only the schema can tell: addresses, times, entities.
    Elsewhere,
    Number,
    Record(BTreeMap<String, Member>),
    Set(Box<Self>),
    Text,
}

/// An attribute of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    required: bool,
    typed: Typed,
}

/// Why a value has no expression here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Untold {
    /// The schema must be asked.
    Elsewhere,
    /// It is not of its type.
    Unfit,
}

impl From<Unfit> for Untold {
    fn from(Unfit: Unfit) -> Self {
        Self::Unfit
    }
}

impl Typed {
    /// The arguments as they are declared in the JSON form of the file, which the schema has taken: no type is in itself.
    pub(super) fn arguments(json: &Value) -> Self {
        let empty = Map::new();
        let common = json.pointer("/commonTypes").and_then(Value::as_object).unwrap_or(&empty);
        common.get(ARGUMENTS).map_or(Self::Elsewhere, |declared| Self::of(declared, common))
    }

    fn of(declared: &Value, common: &Map<String, Value>) -> Self {
        let text = |key: &str| declared.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "Boolean" => Self::Boolean,
            "EntityOrCommon" => match common.get(text("name")) {
                Some(declared) => Self::of(declared, common),
                None => Self::named(text("name")),
            },
            "Long" => Self::Number,
            "Record" => Self::record(declared, common),
            "Set" => declared
                .get("element")
                .map_or(Self::Elsewhere, |element| Self::Set(Box::new(Self::of(element, common)))),
            "String" => Self::Text,
            name => common.get(name).map_or(Self::Elsewhere, |declared| Self::of(declared, common)),
        }
    }

    fn named(name: &str) -> Self {
        match name.trim_start_matches("__cedar::") {
            "Bool" | "Boolean" => Self::Boolean,
            "Long" => Self::Number,
            "String" => Self::Text,
            _ => Self::Elsewhere,
        }
    }

    fn record(declared: &Value, common: &Map<String, Value>) -> Self {
        let Some(attributes) = declared.get("attributes").and_then(Value::as_object) else {
            return Self::Elsewhere;
        };
        let open = declared.get("additionalAttributes").is_some_and(|open| *open != Value::Bool(false));
        // Names of Cedar's own mean something else in its JSON.
        if open || attributes.keys().any(|name| name.starts_with("__")) {
            return Self::Elsewhere;
        }
        let member = |declared: &Value| Member {
            required: declared.get("required") != Some(&Value::Bool(false)),
            typed: Self::of(declared, common),
        };
        Self::Record(attributes.iter().map(|(name, declared)| (name.clone(), member(declared))).collect())
    }

    /// Whether a value of it can be one that only the schema can tell.
    pub(super) fn leaves_something_to_the_schema(&self) -> bool {
        match self {
            Self::Boolean | Self::Number | Self::Text => false,
            Self::Elsewhere => true,
            Self::Record(members) => {
                members.values().any(|member| member.typed.leaves_something_to_the_schema())
            }
            Self::Set(of) => of.leaves_something_to_the_schema(),
        }
    }

    /// The value, which is of this type.
    pub(super) fn express(&self, value: &Value) -> Result<RestrictedExpression, Untold> {
        match (self, value) {
            (Self::Elsewhere, _) => Err(Untold::Elsewhere),
            (Self::Boolean, Value::Bool(value)) => Ok(RestrictedExpression::new_bool(*value)),
            (Self::Number, Value::Number(number)) => {
                number.as_i64().map(RestrictedExpression::new_long).ok_or(Untold::Unfit)
            }
            (Self::Text, Value::String(text)) => Ok(RestrictedExpression::new_string(text.clone())),
            (Self::Set(of), Value::Array(values)) => {
                let values: Result<Vec<_>, _> = values.iter().map(|value| of.express(value)).collect();
                Ok(RestrictedExpression::new_set(values?))
            }
            (Self::Record(members), Value::Object(given)) => Self::express_record(members, given),
            (Self::Boolean | Self::Number | Self::Record(_) | Self::Set(_) | Self::Text, _) => {
                Err(Untold::Unfit)
            }
        }
    }

    fn express_record(
        members: &BTreeMap<String, Member>,
        given: &Map<String, Value>,
    ) -> Result<RestrictedExpression, Untold> {
        if members.iter().any(|(name, member)| member.required && !given.contains_key(name)) {
            return Err(Untold::Unfit);
        }
        let express = |(name, value): (&String, &Value)| {
            let member = members.get(name).ok_or(Untold::Unfit)?;
            Ok((name.clone(), member.typed.express(value)?))
        };
        let pairs: Result<Vec<_>, Untold> = given.iter().map(express).collect();
        RestrictedExpression::new_record(pairs?).map_err(|_| Untold::Unfit)
    }
}
