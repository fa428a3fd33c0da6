//! Scopes: RFC 6749, section 3.3. A set of tokens, kept in order so that one set has one text.
//!
//! What a scope allows is not known here, and no token ever stands for another one.

use std::collections::BTreeSet;
use std::collections::btree_set;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// The most tokens in one scope.
const MAX_TOKENS: usize = 100;
/// The longest text of one scope.
const MAX_LENGTH: usize = 4096;

/// One scope token, `1*( %x21 / %x23-5B / %x5D-7E )`: safe inside the quotes of a challenge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ScopeToken(String);

/// A set of scope tokens, possibly empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(BTreeSet<ScopeToken>);

/// Why a text is not a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// A character outside the allowed set, such as a quote, a backslash or a line break.
    #[error("a character that a scope cannot hold")]
    Character,
    /// A leading, trailing or double space, or an empty token.
    #[error("tokens are separated by one space each")]
    Spacing,
    /// Over 100 tokens or 4096 bytes.
    #[error("more than 100 tokens or 4096 bytes")]
    TooLong,
}

impl ScopeToken {
    /// Reads one token.
    ///
    /// # Errors
    /// [`ScopeError`] if it is empty or holds a character outside the allowed set.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        if text.is_empty() {
            return Err(ScopeError::Spacing);
        }
        if text.len() > MAX_LENGTH {
            return Err(ScopeError::TooLong);
        }
        let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        if text.bytes().all(allowed) { Ok(Self(text.to_owned())) } else { Err(ScopeError::Character) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Scope {
    /// Reads a scope: tokens with one space between them. An empty text is the empty scope; a token that is
    /// repeated counts once.
    ///
    /// # Errors
    /// [`ScopeError`] for a foreign character, spaces that are not single, and more than 100 tokens.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.len() > MAX_LENGTH || text.bytes().filter(|byte| *byte == b' ').count() >= MAX_TOKENS {
            return Err(ScopeError::TooLong);
        }
        text.split(' ').map(ScopeToken::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is no token in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many tokens there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the token is in it.
    #[must_use]
    pub fn contains(&self, token: &str) -> bool {
        self.0.iter().any(|held| held.0 == token)
    }

    /// Whether every token of this one is in the other.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// The tokens of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// The tokens of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// The tokens of this one that are not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    /// The tokens in their order.
    pub fn iter(&self) -> btree_set::Iter<'_, ScopeToken> {
        self.0.iter()
    }
}

impl FromIterator<ScopeToken> for Scope {
    fn from_iter<I: IntoIterator<Item = ScopeToken>>(tokens: I) -> Self {
        Self(tokens.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Scope {
    type Item = &'a ScopeToken;
    type IntoIter = btree_set::Iter<'a, ScopeToken>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for ScopeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, token) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&token.0)?;
        }
        Ok(())
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::parse(text)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ScopeToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    #[test]
    fn the_order_of_tokens_and_their_repetition_mean_nothing() {
        assert_eq!(scope("write read"), scope("read write read"));
        assert_eq!(scope("write read").to_string(), "read write");
        assert!(scope("").is_empty());
        assert_eq!(scope("").to_string(), "");
    }

    /// AZ-20.
    #[test]
    fn a_text_outside_the_grammar_is_refused() {
        for bad in ["a\"b", "a\\b", "a\r\nb", "a\0", "a\tb", "caf\u{e9}", "a\u{7f}"] {
            assert_eq!(Scope::parse(bad), Err(ScopeError::Character), "{bad:?}");
        }
        for bad in [" ", " a", "a ", "a  b"] {
            assert_eq!(Scope::parse(bad), Err(ScopeError::Spacing), "{bad:?}");
        }
        let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(scope(&many(100)).len(), 100);
        assert_eq!(Scope::parse(&many(101)), Err(ScopeError::TooLong));
        assert_eq!(Scope::parse(&many(10_000)), Err(ScopeError::TooLong));
        assert_eq!(Scope::parse(&"a".repeat(4097)), Err(ScopeError::TooLong));
    }

    #[test]
    fn it_is_a_set() {
        assert!(scope("read").is_subset(&scope("read write")));
        assert!(!scope("read admin").is_subset(&scope("read write")));
        assert_eq!(scope("read").union(&scope("write")), scope("read write"));
        assert_eq!(scope("read write").intersection(&scope("write admin")), scope("write"));
        assert_eq!(scope("read write").difference(&scope("write")), scope("read"));
        assert!(scope("read write").contains("write"));
        assert!(!scope("read write").contains("writ"));
    }

    #[test]
    fn json_holds_the_text() {
        assert_eq!(serde_json::to_string(&scope("b a")).unwrap(), "\"a b\"");
        assert_eq!(serde_json::from_str::<Scope>("\"a b\"").unwrap(), scope("a b"));
        assert!(serde_json::from_str::<Scope>("\"a  b\"").is_err());
    }
}
