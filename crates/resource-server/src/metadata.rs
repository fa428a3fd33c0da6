//! The protected resource metadata of one MCP server (RFC 9728, section 2).
//!
//! One document per MCP endpoint, whose `resource` is the endpoint's URL, byte for byte. It must never list more
//! scopes than basic use needs, or anything that depends on who asks.

use protocol::jose::dpop::ALGORITHM_NAMES;
use protocol::oauth::{DpopMode, ProtectedResourceMetadata};

use crate::settings::ServerSettings;

pub(crate) fn document(issuer: &str, server: &ServerSettings) -> ProtectedResourceMetadata {
    ProtectedResourceMetadata {
        resource: server.resource.clone(),
        authorization_servers: vec![issuer.to_owned()],
        scopes_supported: server.challenge_scope.iter().cloned().collect(),
        bearer_methods_supported: vec!["header"],
        dpop_signing_alg_values_supported: if server.dpop.is_offered() { ALGORITHM_NAMES } else { &[] },
        dpop_bound_access_tokens_required: server.dpop == DpopMode::Required,
        resource_name: Some(server.title.clone()),
        resource_documentation: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_document_names_the_endpoint_the_issuer_and_the_header() {
        let document = serde_json::to_value(document(fixture::ISSUER, &fixture::server("files"))).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "resource": "https://mcp.example.com/files/mcp",
                "authorization_servers": ["https://mcp.example.com"],
                "scopes_supported": ["read", "write"],
                "bearer_methods_supported": ["header"],
                "dpop_signing_alg_values_supported": ["ES256", "EdDSA"],
                "resource_name": "The files",
            })
        );
    }
}
