//! One item of a list: what it is called by, and what it says of itself. Pure.
//!
//! Must never read an item whose name two readers could read in two ways.

use std::borrow::Cow;
use std::fmt;

use protocol::mcp::{folds_to, is_a_name};
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::List;

/// An item of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    /// The JSON text, as the MCP server wrote it.
    pub(crate) text: &'a str,
    /// By which it is called.
    pub(crate) name: Cow<'a, str>,
    /// `annotations.readOnlyHint`, of a tool.
    pub(crate) read_only: bool,
}

impl<'a> Item<'a> {
    /// `None` if it has no name, more than one, or one that no call can name.
    pub(crate) fn read(list: List, text: &'a str) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_str(text);
        let members = de::Deserializer::deserialize_map(&mut json, Members(list.name())).ok()?;
        let name = members.name.filter(|name| is_a_name(name))?;
        Some(Self { text, name, read_only: list == List::Tools && members.read_only })
    }
}

/// A key, and whether it has an escape in it.
pub(super) struct Key<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) escaped: bool,
}

impl Key<'_> {
    /// Whether it is this key (`Ok(true)`), certainly not (`Ok(false)`), or something that a reader could take for it.
    pub(super) fn is(&self, known: &str) -> Result<bool, Odd> {
        if self.text == known {
            return if self.escaped { Err(Odd) } else { Ok(true) };
        }
        if folds_to(&self.text, known) { Err(Odd) } else { Ok(false) }
    }
}

/// Two readers could see two things.
#[derive(Debug)]
pub(super) struct Odd;

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Key<'de>, E> {
        Ok(Key { text: Cow::Borrowed(text), escaped: false })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Key<'de>, E> {
        Ok(Key { text: Cow::Owned(text.to_owned()), escaped: true })
    }
}

struct Members(&'static str);

#[derive(Default)]
struct Read<'a> {
    name: Option<Cow<'a, str>>,
    read_only: bool,
}

/// Takes a member that may stand once.
fn once<T, E: de::Error>(place: &mut Option<T>, value: T) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("twice")),
    }
}

fn is<E: de::Error>(key: &Key<'_>, known: &str) -> Result<bool, E> {
    key.is(known).map_err(|Odd| E::custom("odd"))
}

impl<'de> Visitor<'de> for Members {
    type Value = Read<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read<'de>, A::Error> {
        let (mut name, mut annotations) = (None, None);
        while let Some(key) = map.next_key::<Key<'de>>()? {
            if is(&key, self.0)? {
                once(&mut name, map.next_value::<Key<'de>>()?.text)?;
            } else if is(&key, "annotations")? {
                once(&mut annotations, map.next_value::<Annotations>()?)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Read { name, read_only: annotations.is_some_and(|annotations| annotations.0) })
    }
}

/// Whether `readOnlyHint` is there and true.
struct Annotations(bool);

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(AnnotationsVisitor)
    }
}

struct AnnotationsVisitor;

impl<'de> Visitor<'de> for AnnotationsVisitor {
    type Value = Annotations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("annotations")
    }

    fn visit_none<E: de::Error>(self) -> Result<Annotations, E> {
        Ok(Annotations(false))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Annotations, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
        let mut hint = None;
        while let Some(key) = map.next_key::<Key<'de>>()? {
            if is(&key, "readOnlyHint")? {
                once(&mut hint, map.next_value::<serde_json::Value>()?)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Annotations(hint == Some(serde_json::Value::Bool(true))))
    }
}
