//! The arguments of a call as policies see them: of the bytes that are forwarded, what `arguments.cedarschema` declares.
//!
//! JSON says more than Cedar knows, and readers of JSON differ. What another reader could see otherwise (a key twice, a key
//! in other letters), and what has no value in Cedar (a fraction, a number beyond 64 bits, null in a list), is
//! unfit: whoever asks then decides without the arguments, and against the caller (attacks PX-15).

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// What of the arguments is judged has at most so many bytes.
const MOST_BYTES: usize = 64 * 1024;
/// What marks a value as more than a text in Cedar's JSON.
const ESCAPE: &str = "__";

/// The arguments cannot be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit;

/// The names of the declared arguments.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashSet<String>,
    folded: HashSet<String>,
}

impl FromIterator<String> for Names {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        let exact: HashSet<String> = names.into_iter().collect();
        let folded = exact.iter().map(|name| folded(name)).collect();
        Self { exact, folded }
    }
}

/// The declared ones among the arguments. One that is null counts as not given.
pub(super) fn declared(text: Option<&str>, names: &Names) -> Result<Value, Unfit> {
    let Some(text) = text else { return Ok(Value::Object(Map::new())) };
    let given: Option<Given<'_>> = serde_json::from_str(text).map_err(|_| Unfit)?;
    let (mut kept, mut bytes) = (Map::new(), 0_usize);
    for (name, value) in given.map_or_else(Vec::new, |given| given.0) {
        if names.exact.contains(&name) {
            bytes = bytes.saturating_add(value.get().len());
            if bytes > MOST_BYTES || kept.contains_key(&name) {
                return Err(Unfit);
            }
            let judged: Judged = serde_json::from_str(value.get()).map_err(|_| Unfit)?;
            kept.insert(name, judged.0);
        } else if names.folded.contains(&folded(&name)) {
            return Err(Unfit);
        }
    }
    kept.retain(|_, value| !value.is_null());
    Ok(Value::Object(kept))
}

/// As a reader that takes upper for lower case, or stops at NUL, would see it (attacks PX-15).
pub(super) fn folded(name: &str) -> String {
    let name = name.split('\0').next().unwrap_or_default();
    // Lower case of its own is two letters.
    name.replace('\u{130}', "i").to_uppercase().to_lowercase()
}

/// The members of an object in their order, unread.
struct Given<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Given<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Given<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("arguments")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Given(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A value without anything that Cedar has no value for.
struct Judged(Value);

impl<'de> Deserialize<'de> for Judged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JudgedVisitor)
    }
}

struct JudgedVisitor;

impl<'de> Visitor<'de> for JudgedVisitor {
    type Value = Judged;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that cedar knows")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Judged, E> {
        Ok(Judged(Value::Bool(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Judged, E> {
        Ok(Judged(Value::Number(Number::from(value))))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Judged, E> {
        i64::try_from(value).map_err(E::custom).and_then(|value| self.visit_i64(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Judged, E> {
        Ok(Judged(Value::String(value.to_owned())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Judged, E> {
        Ok(Judged(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Judged, A::Error> {
        let mut values = Vec::new();
        while let Some(Judged(value)) = list.next_element()? {
            if value.is_null() {
                return Err(de::Error::custom("null in a list"));
            }
            values.push(value);
        }
        Ok(Judged(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Judged, A::Error> {
        let mut members = Map::new();
        while let Some((name, Judged(value))) = map.next_entry::<String, Judged>()? {
            if name.starts_with(ESCAPE) || members.insert(name, value).is_some() {
                return Err(de::Error::custom("a key twice, or one of cedar's own"));
            }
        }
        members.retain(|_, value| !value.is_null());
        Ok(Judged(Value::Object(members)))
    }
}
