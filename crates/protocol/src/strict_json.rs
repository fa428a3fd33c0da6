//! JSON objects, read strictly: a document that two parsers could read differently is refused.
//!
//! A name that occurs twice (in whatever spelling of its letters), a number that no double can hold and values that lie
//! too deep in each other are errors at every level. It must never recurse deeper than that.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Why bytes are not a JSON object with one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StrictJsonError {
    /// Not JSON, or JSON with a number out of range.
    #[error("not json")]
    Malformed,
    /// JSON, but not an object.
    #[error("not a json object")]
    NotAnObject,
    /// A name in it is repeated: one reader takes the first, another the last.
    #[error("a name in it is repeated")]
    Repeated,
    /// Nested too deeply.
    #[error("nested too deeply")]
    TooDeep,
}

/// Reads an object in which values lie no deeper in each other than `deepest`, the object counted.
///
/// # Errors
/// [`StrictJsonError`] if it is none with one reading.
pub fn object(bytes: &[u8], deepest: usize) -> Result<Map<String, Value>, StrictJsonError> {
    if !is_shallow(bytes, deepest) {
        return Err(StrictJsonError::TooDeep);
    }
    let repeated = Cell::new(false);
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { repeated: &repeated }.deserialize(&mut json);
    match read.and_then(|value| json.end().map(|()| value)) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(StrictJsonError::NotAnObject),
        Err(_) if repeated.get() => Err(StrictJsonError::Repeated),
        Err(_) => Err(StrictJsonError::Malformed),
    }
}

/// Counts brackets outside of strings, before anything recurses.
fn is_shallow(bytes: &[u8], deepest: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > deepest {
            return false;
        }
    }
    true
}

/// Reads a value and refuses names that are repeated.
#[derive(Clone, Copy)]
struct Strict<'r> {
    repeated: &'r Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                self.repeated.set(true);
                return Err(A::Error::custom("a name is repeated"));
            }
            let value = members.next_value_seed(self)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bytes: &[u8]) -> Result<Map<String, Value>, StrictJsonError> {
        super::object(bytes, 16)
    }

    fn error(text: &str) -> StrictJsonError {
        object(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn an_object_is_read_as_any_parser_reads_it() {
        let text =
            r#"{"a": [1, -2, 0.5, true, null, "\u00e9\n"], "b": {"a": {}}, "c": 18446744073709551615}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(object(text.as_bytes()).unwrap()), expected);
    }

    #[test]
    fn a_repeated_name_is_refused_at_every_level_and_in_every_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":2}}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
        ] {
            assert_eq!(error(text), StrictJsonError::Repeated, "{text}");
        }
        assert!(object(br#"{"a":1,"A":1}"#).is_ok());
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for text in ["null", "[]", "\"x\"", "1", "true"] {
            assert_eq!(error(text), StrictJsonError::NotAnObject, "{text}");
        }
        for text in [
            "",
            "{",
            "{}x",
            "{}{}",
            "\u{feff}{}",
            "{\"a\":1e999}",
            "{'a':1}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":1,}",
        ] {
            assert_eq!(error(text), StrictJsonError::Malformed, "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}").unwrap_err(), StrictJsonError::Malformed);
    }

    #[test]
    fn depth_is_bounded_before_anything_recurses() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(object(nested(15).as_bytes()).is_ok());
        assert_eq!(error(&nested(16)), StrictJsonError::TooDeep);
        assert_eq!(error(&"[".repeat(10_000)), StrictJsonError::TooDeep);
        assert!(object(br#"{"a":"[[[[[[[[[[[[[[[[[[[[\"[[[[["}"#).is_ok());
    }
}
