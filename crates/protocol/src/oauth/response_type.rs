//! Response types (RFC 6749, section 3.1.1): `code` and nothing else.
//!
//! A token must never travel through the browser (OAuth 2.1, section 10.1).

use serde::{Serialize, Serializer};

/// A response type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResponseType {
    /// The authorization code grant.
    Code,
}

impl ResponseType {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Code];

    /// Reads the registered value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == text)
    }

    /// The registered value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
        }
    }
}

impl Serialize for ResponseType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_is_written_and_in_no_other_way() {
        for known in ResponseType::ALL {
            assert_eq!(ResponseType::parse(known.as_str()), Some(*known));
            assert_eq!(ResponseType::parse(&known.as_str().to_ascii_uppercase()), None);
            assert_eq!(ResponseType::parse(&format!("{} ", known.as_str())), None);
        }
        assert_eq!(ResponseType::parse(""), None);
    }
}
