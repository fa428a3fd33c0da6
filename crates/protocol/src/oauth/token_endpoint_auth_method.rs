//! How clients authenticate at the token endpoint (RFC 7591, section 2).
//!
//! A client uses the method it registered and no other one.

use serde::{Serialize, Serializer};

/// A client authentication method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenEndpointAuthMethod {
    /// The secret in the `Authorization` header (RFC 6749, section 2.3.1).
    ClientSecretBasic,
    /// The secret in the body.
    ClientSecretPost,
    /// A public client, which has no secret.
    None,
}

impl TokenEndpointAuthMethod {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::ClientSecretBasic, Self::ClientSecretPost, Self::None];

    /// Reads the registered value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == text)
    }

    /// The registered value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::None => "none",
        }
    }
}

impl Serialize for TokenEndpointAuthMethod {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_is_written_and_in_no_other_way() {
        for known in TokenEndpointAuthMethod::ALL {
            assert_eq!(TokenEndpointAuthMethod::parse(known.as_str()), Some(*known));
            assert_eq!(TokenEndpointAuthMethod::parse(&known.as_str().to_ascii_uppercase()), None);
            assert_eq!(TokenEndpointAuthMethod::parse(&format!("{} ", known.as_str())), None);
        }
        assert_eq!(TokenEndpointAuthMethod::parse(""), None);
    }
}
