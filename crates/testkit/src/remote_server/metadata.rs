//! What it says of itself: as a resource (RFC 9728), and as an authorization server (RFC 8414).

use serde_json::json;

use super::{Desk, Knows, Reply, lock};

impl Desk {
    pub(super) fn resource_metadata(&self) -> Reply {
        let mut held = lock(&self.held);
        held.counts.metadata += 1;
        Reply::json(
            200,
            &json!({"resource": format!("{}/mcp", self.origin), "authorization_servers": [self.origin],
                "scopes_supported": held.scopes, "bearer_methods_supported": ["header"]}),
        )
    }

    pub(super) fn server_metadata(&self) -> Reply {
        let mut held = lock(&self.held);
        held.counts.metadata += 1;
        let at = |path: &str| format!("{}{path}", self.origin);
        let mut document = json!({
            "issuer": held.issuer.as_ref().unwrap_or(&self.origin),
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "revocation_endpoint": at("/revoke"),
            "scopes_supported": held.scopes,
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token",
                "urn:ietf:params:oauth:grant-type:token-exchange"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        });
        match self.knows {
            Knows::Documents => document["client_id_metadata_document_supported"] = true.into(),
            Knows::Dynamic => document["registration_endpoint"] = at("/register").into(),
            Knows::IdJag => {
                document["grant_types_supported"] = json!([
                    "authorization_code",
                    "refresh_token",
                    "urn:ietf:params:oauth:grant-type:jwt-bearer"
                ]);
                document["authorization_grant_profiles_supported"] =
                    json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
            }
            Knows::GithubApp | Knows::PreRegistered => {}
        }
        Reply::json(200, &document)
    }
}
