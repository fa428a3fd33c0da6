//! The issuer's metadata (RFC 8414) and its keys (RFC 7517). Everything here is read from [`crate::capabilities`], from
//! the settings and from the keys; nothing from a request (attacks.md, DS-01).

use protocol::jose::dpop::ALGORITHM_NAMES;
use protocol::oauth::{AuthorizationServerMetadata, GrantType};
use serde_json::Value;

use crate::settings::{DeviceFlow, Registration};
use crate::{AuthorizationServer, capabilities};

impl AuthorizationServer {
    /// The document of `/.well-known/oauth-authorization-server`.
    #[must_use]
    pub fn metadata(&self) -> AuthorizationServerMetadata {
        let at = |path: &str| format!("{}{path}", self.settings.issuer);
        let mut scopes = protocol::oauth::Scope::default();
        for server in &self.settings.servers {
            scopes = scopes.union(&server.known_scope());
        }
        AuthorizationServerMetadata {
            issuer: self.settings.issuer.clone(),
            authorization_endpoint: format!("{}/oauth/authorize", self.settings.pages_url),
            token_endpoint: at("/oauth/token"),
            registration_endpoint: (self.settings.registration != Registration::Closed)
                .then(|| at("/oauth/register")),
            device_authorization_endpoint: self.has_device_flow().then(|| at("/oauth/device_authorization")),
            pushed_authorization_request_endpoint: Some(at("/oauth/par")),
            require_pushed_authorization_requests: self.settings.pushed.all,
            revocation_endpoint: Some(at("/oauth/revoke")),
            introspection_endpoint: self.settings.introspection.then(|| at("/oauth/introspect")),
            introspection_endpoint_auth_methods_supported: if self.settings.introspection {
                capabilities::INTROSPECTION_AUTH_METHODS.to_vec()
            } else {
                Vec::new()
            },
            jwks_uri: at("/oauth/jwks"),
            scopes_supported: scopes.iter().cloned().collect(),
            response_types_supported: capabilities::RESPONSE_TYPES.to_vec(),
            response_modes_supported: capabilities::RESPONSE_MODES.to_vec(),
            grant_types_supported: self.grant_types(),
            authorization_grant_profiles_supported: if self.settings.trusted_issuers.is_empty() {
                Vec::new()
            } else {
                capabilities::GRANT_PROFILES.to_vec()
            },
            token_endpoint_auth_methods_supported: capabilities::AUTH_METHODS.to_vec(),
            token_endpoint_auth_signing_alg_values_supported: assertion_algorithms(),
            revocation_endpoint_auth_methods_supported: capabilities::AUTH_METHODS.to_vec(),
            revocation_endpoint_auth_signing_alg_values_supported: assertion_algorithms(),
            code_challenge_methods_supported: capabilities::CODE_CHALLENGE_METHODS.to_vec(),
            dpop_signing_alg_values_supported: if self
                .settings
                .servers
                .iter()
                .any(|server| server.dpop.is_offered())
            {
                ALGORITHM_NAMES
            } else {
                &[]
            },
            authorization_response_iss_parameter_supported: capabilities::ISS_IN_RESPONSES,
            client_id_metadata_document_supported: capabilities::client_id_metadata_documents(&self.settings),
            protected_resources: self.settings.servers.iter().map(|server| server.resource.clone()).collect(),
            service_documentation: None,
            subject_types_supported: Vec::new(),
            id_token_signing_alg_values_supported: Vec::new(),
        }
    }

    /// Whether any MCP server may be asked for without a browser.
    fn has_device_flow(&self) -> bool {
        self.settings.servers.iter().any(|server| server.device_flow != DeviceFlow::Off)
    }

    fn grant_types(&self) -> Vec<GrantType> {
        let all = capabilities::GRANT_TYPES.iter().copied();
        all.filter(|grant_type| self.serves(*grant_type)).collect()
    }

    /// Whether a grant type is served as configured: an assertion buys nothing where no issuer is trusted.
    pub(crate) fn serves(&self, grant_type: GrantType) -> bool {
        match grant_type {
            GrantType::AuthorizationCode
            | GrantType::ClientCredentials
            | GrantType::RefreshToken
            | GrantType::TokenExchange => true,
            GrantType::DeviceCode => self.has_device_flow(),
            GrantType::JwtBearer => {
                !self.settings.trusted_issuers.is_empty() || !self.settings.workload_issuers.is_empty()
            }
        }
    }

    /// The JWK set of `jwks_uri`: public halves only.
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.parts.keys.load().jwks()
    }
}

fn assertion_algorithms() -> Vec<&'static str> {
    capabilities::ASSERTION_ALGORITHMS.iter().map(|algorithm| algorithm.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use protocol::oauth::{GrantType, TokenEndpointAuthMethod};
    use serde_json::json;

    use crate::test_house::*;

    /// AS-013, AS-014, AS-015, AS-016, AS-018, AS-019, AS-023.
    ///
    /// AS-017, AS-022.
    #[tokio::test]
    async fn the_document_says_what_there_is() {
        let house = House::new().await;
        assert_eq!(
            serde_json::to_value(house.server.metadata()).unwrap(),
            json!({
                "issuer": ISSUER,
                "authorization_endpoint": "https://mcp.example.com/oauth/authorize",
                "token_endpoint": "https://mcp.example.com/oauth/token",
                "registration_endpoint": "https://mcp.example.com/oauth/register",
                "device_authorization_endpoint": "https://mcp.example.com/oauth/device_authorization",
                "pushed_authorization_request_endpoint": "https://mcp.example.com/oauth/par",
                "revocation_endpoint": "https://mcp.example.com/oauth/revoke",
                "jwks_uri": "https://mcp.example.com/oauth/jwks",
                "scopes_supported": ["read", "write"],
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code", "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none", "private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": ["EdDSA", "ES256", "PS256", "RS256"],
                "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none", "private_key_jwt"],
                "revocation_endpoint_auth_signing_alg_values_supported": ["EdDSA", "ES256", "PS256", "RS256"],
                "code_challenge_methods_supported": ["S256"],
                "dpop_signing_alg_values_supported": ["ES256", "EdDSA"],
                "authorization_response_iss_parameter_supported": true,
                "client_id_metadata_document_supported": true,
                "protected_resources": [NOTES, VAULT],
            })
        );
    }

    /// What is listed is taken: by registration, and by the request that names it.
    ///
    /// AS-014, AS-015, AS-016.
    #[tokio::test]
    async fn whatever_the_document_lists_can_be_registered_and_asked_for() {
        let house = House::new().await;
        let metadata = house.server.metadata();
        // One with a key is registered by hand, or has a document.
        for method in crate::capabilities::REGISTRABLE_AUTH_METHODS {
            assert!(metadata.token_endpoint_auth_methods_supported.contains(method));
            let registration = json!({
                "redirect_uris": [LOOPBACK],
                "token_endpoint_auth_method": method,
                "grant_types": crate::capabilities::REGISTRABLE_GRANT_TYPES,
                "response_types": metadata.response_types_supported,
            });
            let (client, secret) = house.register(&registration.to_string());
            assert_eq!(secret.is_some(), *method != TokenEndpointAuthMethod::None);
            let id = protocol::oauth::ClientId::parse(&client).unwrap();
            let known = house.server.resolve(&id).await.unwrap();
            let registrable = crate::capabilities::REGISTRABLE_GRANT_TYPES;
            for grant_type in GrantType::ALL {
                assert_eq!(known.may_use(*grant_type), registrable.contains(grant_type));
                assert_eq!(
                    metadata.grant_types_supported.contains(grant_type),
                    *grant_type != GrantType::JwtBearer
                );
            }
            for scope in &metadata.scopes_supported {
                let changes =
                    [("scope", scope.as_str()), ("response_mode", metadata.response_modes_supported[0])];
                house.authorize(&mut Cookies::default(), request(&client, &changes)).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn the_key_set_holds_no_private_half() {
        let house = House::new().await;
        let keys = house.server.jwks();
        let keys = keys["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 1);
        assert!(keys[0].get("d").is_none());
        assert_eq!(keys[0]["alg"], "ES256");
    }
}
