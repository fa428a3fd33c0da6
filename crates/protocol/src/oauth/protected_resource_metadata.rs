//! Protected resource metadata: RFC 9728.
//!
//! `resource` is identical to the URL the client used, or strict clients drop the document (section 3.3).

use serde::Serialize;

use super::{ResourceUri, ScopeToken};

/// Where the document of a resource lives, before the resource's own path (RFC 9728, section 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The metadata document of one resource.
#[derive(Debug, Clone, Serialize)]
pub struct ProtectedResourceMetadata {
    /// The resource.
    pub resource: ResourceUri,
    /// Issuers whose tokens it takes; at least one for MCP.
    pub authorization_servers: Vec<String>,
    /// What basic use needs, not the catalogue; never `offline_access`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<ScopeToken>,
    /// `header`; a token in a query or a body is not looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bearer_methods_supported: Vec<&'static str>,
    /// Algorithms of proofs of possession, if they are taken (RFC 9728, section 2; RFC 9449).
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub dpop_signing_alg_values_supported: &'static [&'static str],
    /// Whether a token that is bound to no key opens nothing.
    #[serde(skip_serializing_if = "is_false")]
    pub dpop_bound_access_tokens_required: bool,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// Where developers read about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_documentation: Option<String>,
}

impl ProtectedResourceMetadata {
    /// The URL of a resource's document: the well-known path goes between the host and the path, and "any
    /// terminating slash (/) following the host component MUST be removed" (RFC 9728, section 3.1).
    #[must_use]
    pub fn url_of(resource: &ResourceUri) -> String {
        let path = resource.path();
        let rest = if path == "/" { "" } else { path };
        let rest = rest.strip_prefix("/?").map_or_else(|| rest.to_owned(), |query| format!("?{query}"));
        format!("{}{WELL_KNOWN}{rest}", resource.origin())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9728, section 3.1.
    #[test]
    fn the_examples_of_the_standard_give_their_urls() {
        for (resource, url) in [
            (
                "https://resource.example.com",
                "https://resource.example.com/.well-known/oauth-protected-resource",
            ),
            (
                "https://resource.example.com/",
                "https://resource.example.com/.well-known/oauth-protected-resource",
            ),
            (
                "https://resource.example.com/resource1",
                "https://resource.example.com/.well-known/oauth-protected-resource/resource1",
            ),
            ("https://h:8443/a/mcp?x=1", "https://h:8443/.well-known/oauth-protected-resource/a/mcp?x=1"),
            ("https://h/?x=1", "https://h/.well-known/oauth-protected-resource?x=1"),
        ] {
            assert_eq!(ProtectedResourceMetadata::url_of(&ResourceUri::parse(resource).unwrap()), url);
        }
    }

    #[test]
    fn members_without_a_value_are_left_out() {
        let metadata = ProtectedResourceMetadata {
            resource: ResourceUri::parse("https://mcp.example.com/files/mcp").unwrap(),
            authorization_servers: vec!["https://mcp.example.com".to_owned()],
            scopes_supported: Vec::new(),
            bearer_methods_supported: vec!["header"],
            dpop_signing_alg_values_supported: &[],
            dpop_bound_access_tokens_required: false,
            resource_name: None,
            resource_documentation: None,
        };
        assert_eq!(
            serde_json::to_value(metadata).unwrap(),
            serde_json::json!({
                "resource": "https://mcp.example.com/files/mcp",
                "authorization_servers": ["https://mcp.example.com"],
                "bearer_methods_supported": ["header"],
            })
        );
    }
}
