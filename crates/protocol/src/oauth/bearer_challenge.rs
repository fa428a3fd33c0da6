//! The bearer challenge: RFC 6750, section 3, with the `resource_metadata` of RFC 9728, section 5.1.
//!
//! One challenge, each parameter at most once, every value safe inside its quotes whatever it was made of.

use std::fmt;

use http::HeaderValue;

use super::{ErrorCode, Scope};

/// What `WWW-Authenticate` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerChallenge {
    /// URL of the resource's metadata document.
    pub resource_metadata: String,
    /// The scope that is needed, as far as it is to be named; never `offline_access`.
    pub scope: Option<Scope>,
    /// What was wrong with the token; none if the request brought none (RFC 6750, section 3.1).
    pub error: Option<ErrorCode>,
    /// The algorithms of proofs: then it is the scheme `DPoP` that is asked for (RFC 9449, section 7.1).
    pub algs: Option<&'static str>,
}

impl BearerChallenge {
    /// A challenge for a request without a token.
    #[must_use]
    pub const fn new(resource_metadata: String) -> Self {
        Self { resource_metadata, scope: None, error: None, algs: None }
    }

    /// The header value.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        // Every character is visible ASCII or a space by now, so the fallback is never taken.
        HeaderValue::try_from(self.to_string()).unwrap_or(HeaderValue::from_static("Bearer realm=\"mcp\""))
    }
}

impl fmt::Display for BearerChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.algs.is_some() { "DPoP" } else { "Bearer" };
        write!(f, "{scheme} resource_metadata=\"{}\"", quotable(&self.resource_metadata))?;
        if let Some(scope) = self.scope.as_ref().filter(|scope| !scope.is_empty()) {
            write!(f, ", scope=\"{}\"", quotable(&scope.to_string()))?;
        }
        if let Some(error) = self.error {
            write!(f, ", error=\"{error}\", error_description=\"{}\"", error.sentence())?;
        }
        if let Some(algs) = self.algs {
            write!(f, ", algs=\"{algs}\"")?;
        }
        Ok(())
    }
}

/// `%x20-21 / %x23-5B / %x5D-7E` (RFC 6750, section 3): nothing that could end the quotes or the header.
fn quotable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\x20'..='\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/files/mcp";

    #[test]
    fn a_request_without_a_token_is_told_no_error() {
        assert_eq!(
            BearerChallenge::new(METADATA.to_owned()).to_string(),
            format!("Bearer resource_metadata=\"{METADATA}\"")
        );
    }

    /// The example of the MCP authorization text for a scope challenge, in our order of parameters.
    #[test]
    fn a_token_with_too_little_scope_is_told_what_is_needed() {
        let challenge = BearerChallenge {
            scope: Some(Scope::parse("files:read files:write user:profile").unwrap()),
            error: Some(ErrorCode::InsufficientScope),
            ..BearerChallenge::new(METADATA.to_owned())
        };
        assert_eq!(
            challenge.header_value(),
            format!(
                "Bearer resource_metadata=\"{METADATA}\", scope=\"files:read files:write user:profile\", \
                 error=\"insufficient_scope\", error_description=\"{}\"",
                ErrorCode::InsufficientScope.sentence()
            )
        );
    }

    /// RFC 9449, section 7.1.
    #[test]
    fn a_proof_that_does_not_hold_is_told_by_its_own_scheme() {
        let challenge = BearerChallenge {
            error: Some(ErrorCode::InvalidDpopProof),
            algs: Some("ES256 EdDSA"),
            ..BearerChallenge::new(METADATA.to_owned())
        };
        let text = challenge.to_string();
        assert!(
            text.starts_with(&format!("DPoP resource_metadata=\"{METADATA}\", error=\"invalid_dpop_proof\""))
        );
        assert!(text.ends_with(", algs=\"ES256 EdDSA\""));
    }

    #[test]
    fn an_empty_scope_is_not_named() {
        let challenge =
            BearerChallenge { scope: Some(Scope::default()), ..BearerChallenge::new("u".to_owned()) };
        assert_eq!(challenge.to_string(), "Bearer resource_metadata=\"u\"");
    }

    #[test]
    fn no_value_can_leave_its_quotes() {
        let hostile = "https://h/\", error=\"x\\\"\r\nSet-Cookie: a=b\u{e9}\0".to_owned();
        let text = BearerChallenge::new(hostile).to_string();
        assert_eq!(text, "Bearer resource_metadata=\"https://h/, error=xSet-Cookie: a=b\"");
    }
}
