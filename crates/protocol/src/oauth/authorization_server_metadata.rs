//! Authorization server metadata: RFC 8414, with the members of RFC 9207, RFC 9728 and client ID metadata
//! documents.
//!
//! It must never say what is not so: whoever fills it does so from what is enforced. "Claims with zero
//! elements MUST be omitted from the response." (section 3.2)

use serde::Serialize;

use super::{GrantType, ResourceUri, ResponseType, ScopeToken, TokenEndpointAuthMethod};

/// The metadata document.
#[derive(Debug, Clone, Serialize)]
pub struct AuthorizationServerMetadata {
    /// The issuer, byte for byte what `iss` says everywhere.
    pub issuer: String,
    /// RFC 6749, section 3.1.
    pub authorization_endpoint: String,
    /// RFC 6749, section 3.2.
    pub token_endpoint: String,
    /// RFC 7591, if offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    /// RFC 8628, section 4, if offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_authorization_endpoint: Option<String>,
    /// RFC 9126, section 5, if offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_authorization_request_endpoint: Option<String>,
    /// RFC 9126, section 5: that of every client.
    #[serde(skip_serializing_if = "is_false")]
    pub require_pushed_authorization_requests: bool,
    /// RFC 7009, if offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    /// RFC 7662, if a resource has credentials for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<String>,
    /// Methods at the introspection endpoint (RFC 8414, section 2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub introspection_endpoint_auth_methods_supported: Vec<TokenEndpointAuthMethod>,
    /// The keys that sign access tokens.
    pub jwks_uri: String,
    /// Scopes a client may ask for; neither `openid` nor `offline_access`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<ScopeToken>,
    /// Required (RFC 8414, section 2).
    pub response_types_supported: Vec<ResponseType>,
    /// `query`; without it the default would claim `fragment` too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_modes_supported: Vec<&'static str>,
    /// Always said, since the default includes `implicit`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grant_types_supported: Vec<GrantType>,
    /// Which assertions are taken as grants (draft-ietf-oauth-identity-assertion-authz-grant, section 7); never whose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_grant_profiles_supported: Vec<&'static str>,
    /// Always said, since the default excludes public clients.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_endpoint_auth_methods_supported: Vec<TokenEndpointAuthMethod>,
    /// What client assertions may be signed with; required with `private_key_jwt`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// Methods at the revocation endpoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revocation_endpoint_auth_methods_supported: Vec<TokenEndpointAuthMethod>,
    /// The same for the revocation endpoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    /// `S256`; MCP clients stop without it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub code_challenge_methods_supported: Vec<&'static str>,
    /// RFC 9449, section 5.1.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub dpop_signing_alg_values_supported: &'static [&'static str],
    /// RFC 9207, section 3.
    pub authorization_response_iss_parameter_supported: bool,
    /// draft-ietf-oauth-client-id-metadata-document-02, section 6.
    #[serde(skip_serializing_if = "is_false")]
    pub client_id_metadata_document_supported: bool,
    /// RFC 9728, section 4.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protected_resources: Vec<ResourceUri>,
    /// Where developers read about this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_documentation: Option<String>,
    /// OpenID Connect Discovery, section 3; in the OpenID alias only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_types_supported: Vec<&'static str>,
    /// OpenID Connect Discovery, section 3; in the OpenID alias only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub id_token_signing_alg_values_supported: Vec<&'static str>,
}

impl AuthorizationServerMetadata {
    /// The same document for `/.well-known/openid-configuration`: two more members, which strict parsers of
    /// OpenID Connect Discovery demand.
    #[must_use]
    pub fn openid_alias(mut self) -> Self {
        self.subject_types_supported = vec!["public"];
        self.id_token_signing_alg_values_supported = vec!["ES256"];
        self
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::pkce::S256;

    fn metadata() -> AuthorizationServerMetadata {
        AuthorizationServerMetadata {
            issuer: "https://server.example.com".to_owned(),
            authorization_endpoint: "https://server.example.com/authorize".to_owned(),
            token_endpoint: "https://server.example.com/token".to_owned(),
            registration_endpoint: None,
            device_authorization_endpoint: None,
            pushed_authorization_request_endpoint: None,
            require_pushed_authorization_requests: false,
            revocation_endpoint: None,
            introspection_endpoint: None,
            introspection_endpoint_auth_methods_supported: Vec::new(),
            jwks_uri: "https://server.example.com/jwks.json".to_owned(),
            scopes_supported: Vec::new(),
            response_types_supported: vec![ResponseType::Code],
            response_modes_supported: vec!["query"],
            grant_types_supported: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            authorization_grant_profiles_supported: Vec::new(),
            token_endpoint_auth_methods_supported: TokenEndpointAuthMethod::ALL.to_vec(),
            token_endpoint_auth_signing_alg_values_supported: Vec::new(),
            revocation_endpoint_auth_methods_supported: Vec::new(),
            revocation_endpoint_auth_signing_alg_values_supported: Vec::new(),
            code_challenge_methods_supported: vec![S256],
            dpop_signing_alg_values_supported: &[],
            authorization_response_iss_parameter_supported: true,
            client_id_metadata_document_supported: false,
            protected_resources: Vec::new(),
            service_documentation: None,
            subject_types_supported: Vec::new(),
            id_token_signing_alg_values_supported: Vec::new(),
        }
    }

    /// AS-012.
    #[test]
    fn members_without_a_value_are_left_out() {
        assert_eq!(
            serde_json::to_value(metadata()).unwrap(),
            serde_json::json!({
                "issuer": "https://server.example.com",
                "authorization_endpoint": "https://server.example.com/authorize",
                "token_endpoint": "https://server.example.com/token",
                "jwks_uri": "https://server.example.com/jwks.json",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none", "private_key_jwt"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": true,
            })
        );
    }

    #[test]
    fn the_openid_alias_has_two_members_more() {
        let plain = serde_json::to_value(metadata()).unwrap();
        let mut alias = serde_json::to_value(metadata().openid_alias()).unwrap();
        let members = alias.as_object_mut().unwrap();
        assert_eq!(members.remove("subject_types_supported"), Some(serde_json::json!(["public"])));
        assert_eq!(
            members.remove("id_token_signing_alg_values_supported"),
            Some(serde_json::json!(["ES256"]))
        );
        assert_eq!(alias, plain);
    }
}
