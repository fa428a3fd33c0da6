//! Grant types (RFC 6749, section 1.3; RFC 7591, section 2) that are issued tokens here.
//!
//! No other one is ever read as one of these: implicit and password are gone from OAuth 2.1 (section 10).

use serde::{Serialize, Serializer};

/// A grant type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantType {
    /// Section 4.1.
    AuthorizationCode,
    /// Section 4.3.
    RefreshToken,
}

impl GrantType {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::AuthorizationCode, Self::RefreshToken];

    /// Reads the registered value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == text)
    }

    /// The registered value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
        }
    }
}

impl Serialize for GrantType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_is_written_and_in_no_other_way() {
        for known in GrantType::ALL {
            assert_eq!(GrantType::parse(known.as_str()), Some(*known));
            assert_eq!(GrantType::parse(&known.as_str().to_ascii_uppercase()), None);
            assert_eq!(GrantType::parse(&format!("{} ", known.as_str())), None);
        }
        assert_eq!(GrantType::parse(""), None);
    }
}
