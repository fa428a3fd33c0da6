//! The keys of one JSON object, watched while they come (attack PX-15).
//!
//! Parsers disagree on a key that stands twice, and some take `Method`, `\u006dethod` or `param\u017f` for the
//! key they know (Go folds case, others stop at NUL). Whoever writes such a key wants two readers to see two
//! messages: it is refused, never repaired.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::refusal::Refusal;

/// More keys than any honest object of these has.
const MAX_OTHER_KEYS: usize = 100;

/// Where a reader leaves the reason when it gives up: serde's errors carry text only.
pub(super) type Flaw<'f> = &'f Cell<Option<Refusal>>;

pub(super) fn give_up<E: de::Error>(flaw: Flaw<'_>, refusal: Refusal) -> E {
    flaw.set(Some(refusal));
    E::custom("refused")
}

/// A key, and whether it was written with an escape.
pub(super) struct Key<'a> {
    text: Cow<'a, str>,
    escaped: bool,
}

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Key<'de>, E> {
        Ok(Key { text: Cow::Borrowed(text), escaped: false })
    }

    // The text could not be borrowed from the body: it had an escape.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Key<'de>, E> {
        Ok(Key { text: Cow::Owned(text.to_owned()), escaped: true })
    }
}

/// The keys of one object so far.
pub(super) struct Keys<'a, const N: usize> {
    known: [&'static str; N],
    /// A name space of which no other spelling is allowed, such as `io.modelcontextprotocol/`.
    reserved: Option<&'static str>,
    seen: [bool; N],
    others: Vec<Cow<'a, str>>,
}

impl<'a, const N: usize> Keys<'a, N> {
    pub(super) const fn new(known: [&'static str; N], reserved: Option<&'static str>) -> Self {
        Self { known, reserved, seen: [false; N], others: Vec::new() }
    }

    /// Takes the next key: the known one it is, or `None` for one that does not concern us.
    pub(super) fn admit(&mut self, key: Key<'a>) -> Result<Option<&'static str>, Refusal> {
        let exact = self.known.iter().zip(&mut self.seen).find(|(known, _)| **known == key.text);
        match exact {
            Some(_) if key.escaped => Err(Refusal::OddKey),
            Some((_, true)) => Err(Refusal::DuplicateKey),
            Some((known, seen)) => {
                *seen = true;
                Ok(Some(known))
            }
            None => self.admit_other(key).map(|()| None),
        }
    }

    fn admit_other(&mut self, key: Key<'a>) -> Result<(), Refusal> {
        if self.known.iter().any(|known| folds_to(&key.text, known)) {
            return Err(Refusal::OddKey);
        }
        if let Some(reserved) = self.reserved
            && folds_to_start(&key.text, reserved)
            && (key.escaped || !key.text.starts_with(reserved))
        {
            return Err(Refusal::OddKey);
        }
        if self.others.contains(&key.text) {
            return Err(Refusal::DuplicateKey);
        }
        if self.others.len() == MAX_OTHER_KEYS {
            return Err(Refusal::TooManyKeys);
        }
        self.others.push(key.text);
        Ok(())
    }
}

/// Up to here looking at each is cheaper than hashing.
const FEW: usize = 16;

/// The keys so far of one object that is nobody's business here: any of them, but each once, in whatever spelling.
#[derive(Default)]
pub(super) struct Once<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Once<'a> {
    pub(super) fn admit(&mut self, key: Key<'a>) -> Result<(), Refusal> {
        let is_new = if self.few.len() < FEW {
            let is_new = !self.few.contains(&key.text);
            self.few.push(key.text);
            is_new
        } else {
            !self.few.contains(&key.text) && self.many.insert(key.text)
        };
        if is_new { Ok(()) } else { Err(Refusal::DuplicateKey) }
    }
}

/// Whether a careless reader could take `key` for `known`: in another case, with letters outside ASCII, or up to NUL.
#[must_use]
pub fn folds_to(key: &str, known: &str) -> bool {
    let mut key = folded(key);
    known.bytes().all(|byte| key.next() == Some(char::from(byte.to_ascii_lowercase())))
        && key.next().is_none()
}

/// Whether a careless reader could take the start of `key` for `start`.
fn folds_to_start(key: &str, start: &str) -> bool {
    let mut key = folded(key);
    start.bytes().all(|byte| key.next() == Some(char::from(byte.to_ascii_lowercase())))
}

fn folded(key: &str) -> impl Iterator<Item = char> {
    key.chars().take_while(|letter| *letter != '\0').map(|letter| match letter {
        // The letters outside ASCII that lower- or upper-casing takes into it.
        '\u{130}' | '\u{131}' => 'i',
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_a_known_key_are_told() {
        for key in ["METHOD", "Method", "method\0", "method\0x"] {
            assert!(folds_to(key, "method"), "{key:?}");
        }
        assert!(folds_to("param\u{17f}", "params"));
        assert!(folds_to("tas\u{212a}\u{130}D", "taskId"));
        for key in ["", "metho", "methods", "m\u{e9}thod", "_method"] {
            assert!(!folds_to(key, "method"), "{key:?}");
        }
    }

    #[test]
    fn many_unknown_keys_end_in_a_refusal() {
        let mut keys = Keys::new(["a"], None);
        let key = |n: usize| Key { text: Cow::Owned(format!("k{n}")), escaped: false };
        for n in 0..MAX_OTHER_KEYS {
            assert_eq!(keys.admit(key(n)), Ok(None));
        }
        assert_eq!(keys.admit(key(0)), Err(Refusal::DuplicateKey));
        assert_eq!(keys.admit(key(MAX_OTHER_KEYS)), Err(Refusal::TooManyKeys));
    }
}
