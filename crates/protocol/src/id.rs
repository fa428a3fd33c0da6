//! Ids that cannot be mixed up ([`Id`]) and the reference a person reads out ([`Reference`]).
//!
//! An id names a row and proves nothing: it is never a secret and never stands for permission.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use uuid::Uuid;

use crate::world::{Entropy, Timestamp};

/// An id of a `T`: a UUID (RFC 9562), version 7 when minted here, so that rows made together lie together.
///
/// Text form: 36 characters, hyphenated, lower case. No other spelling is parsed, so that an id has one text.
pub struct Id<T> {
    bytes: [u8; 16],
    of: PhantomData<fn() -> T>,
}

/// One authorization request on its way (RFC 6749, section 4.1).
#[derive(Debug)]
pub enum Authorization {}
/// An account of a person elsewhere, on its way to be connected.
#[derive(Debug)]
pub enum Connecting {}
/// An account of a person elsewhere, by which an MCP server is asked.
#[derive(Debug)]
pub enum Connection {}
/// A way in for one person while the identity provider is away.
#[derive(Debug)]
pub enum EmergencyLogin {}
/// The standing permission of a person for a client (RFC 6749, section 1.3).
#[derive(Debug)]
pub enum Grant {}
/// One attempt of a client to connect.
#[derive(Debug)]
pub enum SignIn {}
/// Who we are at somebody else's authorization server (RFC 7591).
#[derive(Debug)]
pub enum UpstreamClient {}
/// A person.
#[derive(Debug)]
pub enum User {}
/// One line of the audit record.
#[derive(Debug)]
pub enum AuditEvent {}

/// The text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an id: expected a hyphenated, lower-case uuid")]
pub struct IdError;

impl<T> Id<T> {
    /// A new id, made of the time (milliseconds) and 74 bits of chance.
    #[must_use]
    pub fn mint(now: Timestamp, entropy: &dyn Entropy) -> Self {
        let mut chance = [0; 10];
        entropy.fill(&mut chance);
        let millis = u64::try_from(now.micros() / 1000).unwrap_or(0);
        Self::from_bytes(uuid::Builder::from_unix_timestamp_millis(millis, &chance).into_uuid().into_bytes())
    }

    /// When it was minted, by its own word: the first 48 bits (RFC 9562, section 5.7).
    #[must_use]
    pub fn minted_at(&self) -> Timestamp {
        let millis = self.bytes.iter().take(6).fold(0_i64, |millis, byte| (millis << 8) | i64::from(*byte));
        Timestamp::from_micros(millis.saturating_mul(1000))
    }

    /// The id with these bytes, as the record keeps them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self { bytes, of: PhantomData }
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.bytes
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(Uuid::from_bytes(self.bytes).as_hyphenated(), f)
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = std::any::type_name::<T>().rsplit("::").next().unwrap_or("Id");
        write!(f, "{name}({self})")
    }
}

impl<T> FromStr for Id<T> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let hyphenated = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
        let uuid = Uuid::try_parse(text).map_err(|_| IdError)?;
        if hyphenated { Ok(Self::from_bytes(uuid.into_bytes())) } else { Err(IdError) }
    }
}

impl<T> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Digits of Crockford's base 32: no I, L, O or U.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The reference of a sign-in, such as `K7Q2-9XWD`: what a person reads from a page to whoever runs the place.
///
/// Eight digits of Crockford's base 32 (40 bits of chance) in two groups. It finds the audit events of one
/// sign-in and opens nothing. Reading is kind (lower case, no hyphen, `O` for `0`, `I` and `L` for `1`),
/// printing has one form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(String);

/// The text is not a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a reference: expected eight letters and digits such as K7Q2-9XWD")]
pub struct ReferenceError;

impl Reference {
    /// A new reference.
    #[must_use]
    pub fn mint(entropy: &dyn Entropy) -> Self {
        let mut chance = [0; 8];
        entropy.fill(&mut chance);
        // 256 is a multiple of 32, so the low five bits of a byte are as even as the byte.
        Self::grouped(chance.iter().filter_map(|byte| CROCKFORD.get(usize::from(byte & 31)).copied()))
    }

    /// Reads what a person typed.
    ///
    /// # Errors
    /// [`ReferenceError`] if it is not eight digits, with at most one hyphen, in the middle.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let text = text.trim_matches(' ');
        let compact = match text.split_once('-') {
            None => text.to_owned(),
            Some((first, second)) if first.len() == 4 => format!("{first}{second}"),
            Some(_) => return Err(ReferenceError),
        };
        if compact.len() != 8 {
            return Err(ReferenceError);
        }
        let digits: Option<Vec<u8>> = compact.bytes().map(canonical_digit).collect();
        Ok(Self::grouped(digits.ok_or(ReferenceError)?.into_iter()))
    }

    /// The text, in its one form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn grouped(digits: impl Iterator<Item = u8>) -> Self {
        let mut text = String::with_capacity(9);
        for (place, digit) in digits.enumerate() {
            if place == 4 {
                text.push('-');
            }
            text.push(char::from(digit));
        }
        Self(text)
    }
}

fn canonical_digit(typed: u8) -> Option<u8> {
    let digit = match typed.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    CROCKFORD.contains(&digit).then_some(digit)
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reference({})", self.0)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
