//! What goes into a statement and comes out of a row: the three column types, and nothing else.

use protocol::id::Id;
use protocol::keys::KeyId;
use protocol::secret::{Hash, Sealed};
use protocol::world::Timestamp;

/// One value of one column.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Bytes(Vec<u8>),
    Integer(i64),
    Null,
    Text(String),
}

/// One row, its columns in the order of the statement.
pub(crate) type Row = Vec<Value>;

/// The parameters of a statement, `$1` first.
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::engine::Value::from($value)),*] };
}
pub(crate) use params;

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The kind alone: names and addresses go through here.
        f.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::Integer(_) => "Integer",
            Self::Null => "Null",
            Self::Text(_) => "Text",
        })
    }
}

impl Value {
    /// Whether it is text that not every engine can hold (attacks.md, ST-10).
    pub(crate) fn has_nul(&self) -> bool {
        matches!(self, Self::Text(text) if text.as_bytes().contains(&0))
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Integer(value.micros())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl From<Hash> for Value {
    fn from(value: Hash) -> Self {
        Self::Bytes(value.as_bytes().to_vec())
    }
}

impl<T> From<Id<T>> for Value {
    fn from(value: Id<T>) -> Self {
        Self::Bytes(value.as_bytes().to_vec())
    }
}

impl From<KeyId> for Value {
    fn from(value: KeyId) -> Self {
        Self::Bytes(value.as_bytes().to_vec())
    }
}

impl From<&Sealed> for Value {
    fn from(value: &Sealed) -> Self {
        Self::Bytes(value.as_bytes().to_vec())
    }
}
