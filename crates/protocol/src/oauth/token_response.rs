//! The successful answer of the token endpoint: RFC 6749, section 5.1.
//!
//! The one place where access and refresh tokens become text. Its answer is never cached (`no-store`).

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Scope;
use crate::jose::dpop::Thumbprint;
use crate::secret::Secret;

/// Tokens for a client.
#[derive(Debug)]
pub struct TokenResponse {
    /// The access token.
    pub access_token: Secret,
    /// Its life in seconds.
    pub expires_in: u64,
    /// What was issued, in the answer to an exchange (RFC 8693, section 2.2.1).
    pub issued_token_type: Option<&'static str>,
    /// The refresh token, if the client may have one.
    pub refresh_token: Option<Secret>,
    /// What was granted; always said, so that it need not be compared with what was asked.
    pub scope: Scope,
    /// How the access token is presented.
    pub token_type: TokenType,
}

/// How an access token is presented (RFC 6749, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// By whoever has it (RFC 6750).
    Bearer,
    /// With a proof of the key that it is bound to (RFC 9449, section 5).
    Dpop,
}

impl TokenType {
    /// Of a token that is bound to a key, or to none.
    #[must_use]
    pub const fn of(key: Option<&Thumbprint>) -> Self {
        match key {
            Some(_) => Self::Dpop,
            None => Self::Bearer,
        }
    }

    /// Its registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }
}

impl Serialize for TokenResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_map(None)?;
        self.access_token.expose(|token| json.serialize_entry("access_token", token))?;
        json.serialize_entry("token_type", self.token_type.as_str())?;
        json.serialize_entry("expires_in", &self.expires_in)?;
        if let Some(issued) = self.issued_token_type {
            json.serialize_entry("issued_token_type", issued)?;
        }
        if let Some(refresh_token) = &self.refresh_token {
            refresh_token.expose(|token| json.serialize_entry("refresh_token", token))?;
        }
        json.serialize_entry("scope", &self.scope)?;
        json.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(refresh_token: Option<&str>) -> TokenResponse {
        TokenResponse {
            access_token: Secret::new("2YotnFZFEjr1zCsicMWpAA".to_owned()),
            expires_in: 3600,
            issued_token_type: None,
            refresh_token: refresh_token.map(|token| Secret::new(token.to_owned())),
            scope: Scope::parse("read").unwrap(),
            token_type: TokenType::Bearer,
        }
    }

    /// RFC 6749, section 5.1, without its example parameter.
    ///
    /// AS-154.
    #[test]
    fn the_example_of_the_standard_is_written() {
        assert_eq!(
            serde_json::to_value(response(Some("tGzv3JOkF0XG5Qx2TlKWIA"))).unwrap(),
            serde_json::json!({
                "access_token": "2YotnFZFEjr1zCsicMWpAA",
                "token_type": "Bearer",
                "expires_in": 3600,
                "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA",
                "scope": "read",
            })
        );
    }

    /// RFC 9449, section 5.
    #[test]
    fn a_token_that_is_bound_to_a_key_says_so() {
        let key = Thumbprint::from_bytes([7; 32]);
        let bound = TokenResponse { token_type: TokenType::of(Some(&key)), ..response(None) };
        assert_eq!(serde_json::to_value(bound).unwrap()["token_type"], "DPoP");
    }

    #[test]
    fn no_refresh_token_is_no_member() {
        assert!(serde_json::to_value(response(None)).unwrap().get("refresh_token").is_none());
        assert!(!format!("{:?}", response(Some("tGzv"))).contains("tGzv"));
    }
}
