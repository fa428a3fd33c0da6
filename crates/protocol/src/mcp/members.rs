//! The members of one JSON object as they were written, each of which stands once. Pure.
//!
//! Must never give a member that two readers could read in two ways.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::keys::folds_to;

/// Two readers could read two things.
#[derive(Debug)]
pub(super) struct Odd;

/// The members.
pub(super) struct Members<'a>(pub(super) HashMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Members<'a> {
    /// Reads an object; what is none, or holds a member twice, is odd.
    pub(super) fn read(text: &'a str) -> Result<Self, Odd> {
        serde_json::from_str(text).map_err(|_| Odd)
    }

    /// This member, if it is there; odd, if it is there in another spelling.
    pub(super) fn find(&self, known: &str) -> Result<Option<&'a str>, Odd> {
        if self.0.keys().any(|key| key != known && folds_to(key, known)) {
            return Err(Odd);
        }
        Ok(self.0.get(known).map(|value| value.get()))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = HashMap::new();
        while let Some(Name(key)) = map.next_key::<Name<'de>>()? {
            match members.entry(key) {
                Entry::Occupied(_) => return Err(de::Error::custom("twice")),
                Entry::Vacant(place) => place.insert(map.next_value::<&'de RawValue>()?),
            };
        }
        Ok(Members(members))
    }
}

/// A key, borrowed where it can be.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
