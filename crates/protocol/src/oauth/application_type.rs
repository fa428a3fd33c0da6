//! Kinds of application (OpenID Connect Dynamic Client Registration 1.0, section 2).
//!
//! A web application has no redirect URI on the person's own machine.

use serde::{Serialize, Serializer};

/// A kind of application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApplicationType {
    /// Runs on the person's machine.
    Native,
    /// Runs on a server.
    Web,
}

impl ApplicationType {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Native, Self::Web];

    /// Reads the registered value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == text)
    }

    /// The registered value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Web => "web",
        }
    }
}

impl Serialize for ApplicationType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_is_written_and_in_no_other_way() {
        for known in ApplicationType::ALL {
            assert_eq!(ApplicationType::parse(known.as_str()), Some(*known));
            assert_eq!(ApplicationType::parse(&known.as_str().to_ascii_uppercase()), None);
            assert_eq!(ApplicationType::parse(&format!("{} ", known.as_str())), None);
        }
        assert_eq!(ApplicationType::parse(""), None);
    }
}
